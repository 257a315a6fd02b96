"""Tiny ImageNet from a folder: what is read, and each way in which a folder can be wrong."""

import re

import numpy as np
import pytest
from PIL import Image

from course_utils.data import load_tiny_imagenet

CLASSES = ("n01", "n02", "n03")


def save(path, grey, size=(64, 64), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, grey if mode == "L" else (grey, 0, 255)).save(path, format="JPEG")


@pytest.fixture
def folder(tmp_path):
    """Three classes with three training and two validation pictures each."""
    root = tmp_path / "tiny-imagenet-200"
    lines = []
    for label, name in enumerate(CLASSES):
        for number in range(3):
            save(root / "train" / name / "images" / f"{name}_{number}.JPEG", 40 * label + number)
        for number in range(2):
            file = f"val_{2 * label + number}.JPEG"
            save(root / "val" / "images" / file, 40 * label + 20)
            lines.append(f"{file}\t{name}\t0\t0\t63\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(reversed(lines)))
    (root / "words.txt").write_text("n01\tgoldfish, Carassius auratus\nn03\tbullfrog\nn99\tno\n")
    return root


def test_pictures_and_labels_belong_together(folder):
    pictures = load_tiny_imagenet(folder, num_classes=3, per_class=2)
    for X, y, shift in (
        (pictures.X_train, pictures.y_train, 0.5),
        (pictures.X_test, pictures.y_test, 20),
    ):
        assert X.shape == (6, 3, 64, 64)
        assert np.bincount(y).tolist() == [2, 2, 2]
        # JPEG is not exact; the classes are 40 grey values apart.
        assert np.allclose(X[:, 0].mean(axis=(1, 2)) * 255, 40 * y + shift, atol=5)
        assert np.allclose(X[:, 2], 1, atol=0.03)
    assert pictures.y_train.tolist() != sorted(pictures.y_train)
    assert pictures.class_names == ("goldfish, Carassius auratus", "n02", "bullfrog")
    assert not pictures.is_synthetic
    again = load_tiny_imagenet(str(folder), 3, 2)
    assert np.array_equal(again.X_train, pictures.X_train)


def test_a_part_of_the_classes(folder):
    pictures = load_tiny_imagenet(folder, num_classes=2, per_class=3)
    assert len(pictures.X_train) == 6
    assert len(pictures.X_test) == 4
    assert set(pictures.y_test) == {0, 1}


def test_grey_pictures_are_taken_as_three_equal_channels(folder):
    save(folder / "train" / "n01" / "images" / "n01_0.JPEG", 100, mode="L")
    pictures = load_tiny_imagenet(folder, num_classes=2, per_class=1)
    grey = pictures.X_train[pictures.y_train == 0][0]
    assert np.allclose(grey, 100 / 255, atol=0.02)


def test_words_are_optional(folder):
    (folder / "words.txt").unlink()
    assert load_tiny_imagenet(folder, 2, 1).class_names == ("n01", "n02")


@pytest.mark.parametrize("numbers", [(1, 1), (2, 0)])
def test_numbers_that_make_no_sense(folder, numbers):
    with pytest.raises(ValueError, match=r"expected at least 2 classes and 1 picture .*; choose"):
        load_tiny_imagenet(folder, *numbers)


def refuse(error, words, *arguments):
    """Check that what was expected, what came and the remedy are told."""
    with pytest.raises(error, match=re.compile(words, re.DOTALL)):
        load_tiny_imagenet(*arguments)


def test_no_such_folder(folder):
    words = r"expected a folder that holds train/ .*, found no such folder; unpack"
    refuse(FileNotFoundError, words, folder / "absent")


def test_the_folder_above_is_named(folder):
    words = "found a folder with tiny-imagenet-200; give path='.*tiny-imagenet-200'"
    refuse(FileNotFoundError, words, folder.parent)


def test_no_list_of_validation_pictures(folder):
    (folder / "val" / "val_annotations.txt").unlink()
    refuse(FileNotFoundError, r"found a folder with train, val, words.txt; unpack", folder)


def test_too_few_classes(folder):
    words = r"num_classes=4: expected at least as many .*found 3; ask for fewer classes"
    refuse(ValueError, words, folder, 4, 1)


def test_too_few_pictures(folder):
    words = r"per_class=4: expected at least as many .*found 3; ask for fewer pictures"
    refuse(ValueError, words, folder, 2, 4)


@pytest.mark.parametrize(
    ("part", "settings", "found"),
    [
        ("train/n01/images/n01_0.JPEG", {"size": (64, 32)}, "64 x 32, RGB"),
        ("val/images/val_1.JPEG", {"size": (128, 128)}, "128 x 128, RGB"),
        ("train/n02/images/n02_0.JPEG", {"mode": "CMYK"}, "64 x 64, CMYK"),
    ],
)
def test_pictures_of_another_form(folder, part, settings, found):
    if settings.get("mode") == "CMYK":
        Image.new("CMYK", (64, 64)).save(folder / part, format="JPEG")
    else:
        save(folder / part, 1, **settings)
    words = rf"{part}: expected 64 x 64 pixels, RGB or grey, found {found}; resize and convert"
    refuse(ValueError, words, folder, 2, 1)


def test_damaged_picture(folder):
    path = folder / "train" / "n01" / "images" / "n01_0.JPEG"
    path.write_bytes(path.read_bytes()[:300])
    refuse(ValueError, r"n01_0.JPEG: expected a whole JPEG picture .*; unpack", folder, 2, 1)


def test_listed_picture_is_not_there(folder):
    (folder / "val" / "images" / "val_0.JPEG").unlink()
    words = "val_0.JPEG: expected this picture, found no file; unpack"
    refuse(FileNotFoundError, words, folder, 2, 1)


def test_list_of_another_form(folder):
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG n01\n")
    words = r"line 1: expected a file name, a tab and a class, found 'val_0.JPEG n01'; unpack"
    refuse(ValueError, words, folder, 2, 1)


def test_class_without_validation_pictures(folder):
    (folder / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\t0\t0\t9\t9\n")
    words = "expected validation pictures of each of 2 classes, found none of n02; unpack"
    refuse(ValueError, words, folder, 2, 1)
