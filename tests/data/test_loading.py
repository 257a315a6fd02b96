"""From a source to a Dataset: the order of sources, damage, stand-ins, names."""

import gzip
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from course_utils import data
from course_utils.data.cache import CacheWarning
from course_utils.data.datasets import Dataset, StandInWarning, build, stratified_split
from course_utils.data.fetch import Unavailable, obtain_all
from course_utils.data.images import RECIPES, _read_idx
from course_utils.data.sources import InstalledFile

CONTENT = b"many bytes " * 1000

pytestmark = pytest.mark.usefixtures("cache", "unplugged")


@pytest.fixture
def put(tmp_path):
    """A function that makes a source which gives this content."""

    def make(name, content):
        path = tmp_path / name
        path.write_bytes(content)
        return InstalledFile(str(path))

    return make


def test_first_whole_source_wins_and_stays_in_the_cache(put, describe, tmp_path, capfd):
    absent = InstalledFile(str(tmp_path / "absent"))
    half, whole = put("half", CONTENT[:50]), put("whole", CONTENT)
    file = describe(CONTENT, absent, half, whole, put("later", CONTENT))
    found = obtain_all([file])[0]
    assert (found.content, found.origin) == (CONTENT, whole.label)
    (tmp_path / "whole").unlink()
    capfd.readouterr()
    assert obtain_all([file])[0].origin == "cache"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (CONTENT[:70], "truncated: 70 of 11,000 bytes"),
        (b"", "truncated: 0 of 11,000 bytes"),
        (b"<!doctype html>", "an HTML page"),
        (CONTENT + b"!", "sha256 is"),
    ],
    ids=["short", "empty", "page", "other"],
)
def test_damaged_cache_is_said_and_fetched_again(put, describe, cache, damaged, words):
    file = describe(CONTENT, put("whole", CONTENT))
    obtain_all([file])[0]
    (cache / file.path).write_bytes(damaged)
    with pytest.warns(CacheWarning, match=f"is damaged: {words}.* It is fetched again"):
        assert obtain_all([file])[0].content == CONTENT
    assert (cache / file.path).read_bytes() == CONTENT


def test_folder_in_place_of_the_file(put, describe, cache):
    file = describe(CONTENT, put("whole", CONTENT))
    (cache / file.path).mkdir(parents=True)
    with pytest.warns(CacheWarning) as caught:
        assert obtain_all([file])[0].content == CONTENT
    assert ["cannot be read" in str(w.message) for w in caught] == [True, False]


def test_every_reason_is_kept(put, describe, tmp_path):
    absent = InstalledFile(str(tmp_path / "absent"))
    file = describe(CONTENT, absent, put("page", b"<html>"), put("half", CONTENT[:9]))
    with pytest.raises(Unavailable) as caught:
        obtain_all([file])[0]
    assert [attempt.reason for attempt in caught.value.attempts] == [
        "not there",
        "not installed",
        "an HTML page instead of data (often the login page of a network)",
        "truncated: 9 of 11,000 bytes",
    ]
    assert str(caught.value).count("\n  - ") == 4


def test_only_missing_files_are_fetched(put, describe):
    one = describe(CONTENT, put("one", CONTENT), path="one")
    two = describe(b"2", put("two", b"2"), path="two")
    obtain_all([one])[0]
    assert [found.origin for found in obtain_all([one, two])] == ["cache", two.sources[0].label]
    assert obtain_all([]) == []


@pytest.fixture
def digits_from(monkeypatch, put):
    """A function that replaces the sources of mnist_5k."""

    def change(*sources, **changes):
        recipe = RECIPES["mnist_5k"]
        file = replace(recipe.files[0], sources=sources)
        monkeypatch.setitem(RECIPES, "mnist_5k", replace(recipe, files=(file,), **changes))

    return change


def test_stand_in_says_what_it_is_and_why(digits_from, put):
    digits_from(InstalledFile("/no/such/file"), put("page", b"<html>"))
    with pytest.warns(StandInWarning) as caught:
        digits = data.load("mnist_5k")
    (warning,) = caught
    message = str(warning.message)
    for words in ("SYNTHETIC STAND-IN", "cache: not there", "/no/such/file: not installed"):
        assert words in message
    assert "page: an HTML page instead" in message
    assert "Remedy: connect to the network once and run `course data`" in message
    assert digits.is_synthetic
    assert digits.name == "mnist_5k (synthetic stand-in)"
    assert digits.source == "drawn by course_utils.data.synthetic"
    assert digits.X_train.shape == (4000, 28, 28)
    assert np.bincount(digits.y_test).tolist() == [100] * 10


def test_stand_in_warning_points_at_the_callers_line(cache):
    """In a process of its own: here, shape checks put their frames in between."""
    code = (
        "import warnings; from dataclasses import replace; from course_utils import data\n"
        "file = replace(data.RECIPES['mnist_5k'].files[0], sources=())\n"
        "data.RECIPES['mnist_5k'] = replace(data.RECIPES['mnist_5k'], files=(file,))\n"
        "data.load_mnist_5k()\ndata.load('mnist_5k')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "<string>:4: StandInWarning: mnist_5k is a SYNTHETIC STAND-IN" in done.stderr
    assert "<string>:5: StandInWarning: mnist_5k is a SYNTHETIC STAND-IN" in done.stderr


def test_no_stand_in_where_none_is_named(digits_from):
    digits_from(stand_in=None)
    with pytest.raises(Unavailable):
        data.load_mnist_5k()


def test_contents_are_read(put, describe):
    """A tiny table in the place of the 5,000 digits goes the whole way to a Dataset."""
    pixels = 51 * np.random.default_rng(0).integers(0, 6, (1100, 784))
    table = np.column_stack([pixels, np.arange(1100) % 10])
    text = "\n".join(",".join(map(str, row)) for row in table.tolist()).encode()
    zipped = gzip.compress(text, compresslevel=1, mtime=0)
    file = describe(zipped, put("table", zipped), path="mnist-5k/mnist_5k.csv.gz")
    shapes = ((100, 28, 28), (1000, 28, 28))
    recipe = replace(RECIPES["mnist_5k"], files=(file,), shapes=shapes)
    digits = build(recipe)
    assert (digits.name, digits.is_synthetic) == ("mnist_5k", False)
    both = np.concatenate([digits.X_train, digits.X_test]).reshape(1100, 784)
    expected = (pixels / 255).astype(np.float32)
    assert set(map(bytes, both)) == set(map(bytes, expected))
    with pytest.raises(ValueError, match=r"mnist_5k: expected shapes \(\(4000, 28, 28\)"):
        build(replace(recipe, shapes=RECIPES["mnist_5k"].shapes))


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean 'mnist_5k'\? Known: fashion_mnist, mnist"):
        data.load("MNIST-5k")
    with pytest.raises(ValueError, match="did you mean 'fashion_mnist'"):
        data.load("fashionmnist")
    with pytest.raises(ValueError, match=r"no data set of that name\. Known: "):
        data.load("zzz")


def test_fetch_all(digits_from, put, describe):
    digits_from(InstalledFile("/no/such/file"))
    (digits,) = data.fetch_all(["mnist_5k"])
    assert digits.state == "stand-in"
    assert "/no/such/file: not installed" in digits.reason
    (built_in,) = data.fetch_all(["digits_8x8"])
    assert built_in.state == "built in"
    with pytest.raises(ValueError, match="did you mean"):
        list(data.fetch_all(["digits"]))


def test_fetch_all_says_where_from(put, describe, monkeypatch):
    files = [describe(bytes([k]), put(f"f{k}", bytes([k])), path=f"f{k}") for k in range(2)]
    recipe = replace(RECIPES["mnist_5k"], files=tuple(files))
    monkeypatch.setitem(RECIPES, "mnist_5k", recipe)
    (first,), (second,) = (list(data.fetch_all(["mnist_5k"])) for _ in range(2))
    assert (first.state, first.size) == ("fetched", 2)
    assert first.origin == ", ".join(file.sources[0].label for file in files)
    assert (second.state, second.origin) == ("cached", "")


def test_digits_8x8():
    from sklearn.datasets import load_digits

    digits, original = data.load_digits_8x8(), load_digits()
    assert digits.X_train.shape == (1437, 8, 8)
    assert digits.X_test.shape == (360, 8, 8)
    assert np.bincount(digits.y_test).tolist() == [36] * 10
    X = np.concatenate([digits.X_train, digits.X_test]) * 16
    assert sorted(map(bytes, X)) == sorted(map(bytes, original.images.astype(np.float32)))
    assert len(np.unique(digits.y_train[:30])) > 5  # Shuffled, so a slice holds many classes.
    assert repr(digits) == "Dataset(digits_8x8: 1,437 train, 360 test, 8 x 8, 10 classes)"


def test_split_is_the_same_everywhere():
    train, test = stratified_split(np.repeat(np.arange(3), 4), 1)
    assert test.tolist() == [11, 2, 6]
    assert sorted([*train.tolist(), *test.tolist()]) == list(range(12))


def good():
    X, y = np.zeros((4, 2, 2), dtype=np.float32), np.array([0, 1, 0, 1])
    parts = {"X_train": X, "y_train": y, "X_test": X.copy(), "y_test": y.copy()}
    return {"name": "toy", **parts, "class_names": ("a", "b"), "source": "", "licence": ""}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"X_train": np.zeros((4, 2, 2))}, "toy, train: expected float32 pictures"),
        ({"y_test": np.zeros(4, dtype=np.int32)}, "toy, test: expected float32 .* int32"),
        ({"X_test": np.zeros((4, 3, 2), dtype=np.float32)}, r"expected \(N, \(2, 2\)\)"),
        ({"y_train": np.array([0, 1])}, r"found \(4, 2, 2\) and \(2,\)"),
        ({"X_train": np.full((4, 2, 2), np.nan, dtype=np.float32)}, "found nan to nan"),
        ({"X_train": np.full((4, 2, 2), 255, dtype=np.float32)}, "found 255.0 to 255.0"),
        ({"y_train": np.array([0, 1, 2, 0])}, "expected labels 0 to 1, found 0 to 2"),
        ({"y_test": np.array([0, 1, -1, 0])}, "found -1 to 1"),
    ],
)
def test_dataset_checks_what_it_holds(change, words):
    Dataset(**good())
    with pytest.raises(ValueError, match=words):
        Dataset(**{**good(), **change})


def test_idx_format():
    content = bytes([0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
    assert _read_idx(content).tolist() == [[1, 2, 3], [4, 5, 6]]
    with pytest.raises(ValueError, match="not an idx file of bytes"):
        _read_idx(b"\x1f\x8b" + content)
