"""Pictures that a student already has in folders: Tiny ImageNet, or a part of it.

Nothing is fetched here. The lab on convolutional networks takes these pictures in
place of Fashion-MNIST where a path is given.

References
----------
Le, Yang (2015), "Tiny ImageNet Visual Recognition Challenge", Stanford CS231n.
Russakovsky et al. (2015), "ImageNet Large Scale Visual Recognition Challenge".
https://arxiv.org/abs/1409.0575
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from course_utils.data.datasets import Dataset

__all__ = ["load_tiny_imagenet"]

SIDE = 64  # pixels
_GREY_OR_RGB = ("RGB", "L")  # some pictures of the original are grey
_AGAIN = "unpack tiny-imagenet-200.zip again"


def load_tiny_imagenet(path: str | Path, num_classes: int = 10, per_class: int = 200) -> Dataset:
    """Return pictures of Tiny ImageNet from an unpacked folder, as (N, 3, 64, 64).

    Parameters
    ----------
    path
        The folder with ``train/CLASS/images/*.JPEG`` and ``val/val_annotations.txt``.
        It may hold fewer than the original's 200 classes.
    num_classes
        How many of its classes, the first in the order of their names.
    per_class
        Training pictures of each, the first by name; the original has 500. All 200
        classes with 500 pictures take 5 GB of memory.

    Returns
    -------
    Dataset
        The training pictures, shuffled the same way on every machine; as its test set
        the original's validation pictures of these classes, because the labels of the
        original's test set are not public.

    Raises
    ------
    FileNotFoundError
        If the folder, or a file that its list names, is not there.
    ValueError
        If there are too few classes or pictures, or a picture is not 64 x 64 and RGB
        or grey.
    """
    root = Path(path).expanduser()
    if num_classes < 2 or per_class < 1:
        raise ValueError(
            f"num_classes={num_classes}, per_class={per_class}: expected at least 2 classes and "
            "1 picture of each; choose larger numbers"
        )
    classes = _find_classes(root, num_classes)
    train = [
        (picture, label)
        for label, name in enumerate(classes)
        for picture in _training_files(root / "train" / name / "images", per_class)
    ]
    # RandomState, because numpy freezes its stream.
    train = [train[k] for k in np.random.RandomState(0).permutation(len(train))]
    test = _validation_files(root / "val", {name: label for label, name in enumerate(classes)})
    words = _read_words(root / "words.txt")
    return Dataset(
        "tiny_imagenet",
        *_read_pictures(train, "training pictures"),
        *_read_pictures(test, "validation pictures"),
        class_names=tuple(words.get(name, name) for name in classes),
        source=f"Tiny ImageNet (Le and Yang, 2015), from {root}",
        licence="ImageNet's terms of access: research and teaching, not commercial",
    )


def _find_classes(root: Path, num_classes: int) -> list[str]:
    """Return the names of the first classes; refuse a folder that is not such a data set."""
    if not (root / "train").is_dir() or not (root / "val" / "val_annotations.txt").is_file():
        found = sorted(p.name for p in root.iterdir()) if root.is_dir() else None
        nested = root / "tiny-imagenet-200"
        remedy = f"give path={str(nested)!r}" if (nested / "train").is_dir() else _AGAIN
        came = "no such folder" if found is None else f"a folder with {', '.join(found[:5]) or '-'}"
        raise FileNotFoundError(
            f"path={str(root)!r}: expected a folder that holds train/ and "
            f"val/val_annotations.txt, found {came}; {remedy}"
        )
    classes = sorted(p.name for p in (root / "train").iterdir() if (p / "images").is_dir())
    if len(classes) < num_classes:
        raise ValueError(
            f"num_classes={num_classes}: expected at least as many folders CLASS/images in "
            f"{root / 'train'}, found {len(classes)}; ask for fewer classes, or {_AGAIN}"
        )
    return classes[:num_classes]


def _training_files(folder: Path, per_class: int) -> list[Path]:
    files = sorted(folder.glob("*.JPEG"))
    if len(files) < per_class:
        raise ValueError(
            f"per_class={per_class}: expected at least as many *.JPEG in {folder}, found "
            f"{len(files)}; ask for fewer pictures, or {_AGAIN}"
        )
    return files[:per_class]


def _validation_files(folder: Path, labels: Mapping[str, int]) -> list[tuple[Path, int]]:
    """Return the pictures of the chosen classes that the list of the folder names."""
    listing = folder / "val_annotations.txt"
    files, seen = [], set()
    for number, line in enumerate(listing.read_text(encoding="utf-8").splitlines(), 1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise ValueError(
                f"{listing}, line {number}: expected a file name, a tab and a class, found "
                f"{line[:60]!r}; {_AGAIN}"
            )
        name, label = columns[0], columns[1].strip()
        if label in labels:
            files.append((folder / "images" / name, labels[label]))
            seen.add(label)
    missing = sorted(set(labels) - seen)
    if missing:
        raise ValueError(
            f"{listing}: expected validation pictures of each of {len(labels)} classes, found "
            f"none of {', '.join(missing[:5])}; {_AGAIN}"
        )
    return files


def _read_words(path: Path) -> dict[str, str]:
    """Return class name -> words for people; a folder without the list gives none."""
    if not path.is_file():
        return {}
    lines = (line.partition("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return {name: words.strip() for name, _, words in lines if words}


def _read_pictures(files: Sequence[tuple[Path, int]], what: str) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures (N, 3, 64, 64) as float32 in [0, 1], and labels."""
    from tqdm.auto import tqdm

    X = np.empty((len(files), 3, SIDE, SIDE), np.float32)
    for row, (path, _) in enumerate(tqdm(files, desc=what, leave=False)):
        X[row] = _read_picture(path)
    X /= 255
    return X, np.array([label for _, label in files], np.int64)


def _read_picture(path: Path) -> np.ndarray:
    """Return one picture as (3, 64, 64), from 0 to 255."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            size, mode = picture.size, picture.mode
            pixels = np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: expected this picture, found no file; {_AGAIN}") from None
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path}: expected a whole JPEG picture ({error}); {_AGAIN}") from None
    if size != (SIDE, SIDE) or mode not in _GREY_OR_RGB:
        raise ValueError(
            f"{path}: expected {SIDE} x {SIDE} pixels, RGB or grey, found {size[0]} x {size[1]}, "
            f"{mode}; resize and convert your pictures, or {_AGAIN}"
        )
    return pixels
