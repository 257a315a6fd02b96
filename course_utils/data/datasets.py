"""What a loaded data set is, and how one is put together from its recipe."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from course_utils.data.cache import DataFile
from course_utils.data.fetch import Unavailable, obtain_all
from course_utils.data.sources import Staging

__all__ = ["Dataset", "Recipe", "StandInWarning", "build", "stratified_split"]

# X_train, y_train, X_test, y_test
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class StandInWarning(UserWarning):
    """A data set could not be had; drawings made by a program take its place."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled pictures, split into training and test set.

    ``X_train`` and ``X_test`` hold grey values as float32 in [0, 1], one picture
    per entry of the first axis; ``y_train`` and ``y_test`` hold int64 positions in
    ``class_names``. Where ``is_synthetic`` is true, nothing here was measured.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...]
    source: str
    licence: str
    is_synthetic: bool = False

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            X, y = getattr(self, f"X_{part}"), getattr(self, f"y_{part}")
            problem = _problem(X, y, len(self.class_names), self.X_train.shape[1:])
            if problem:
                raise ValueError(f"{self.name}, {part}: {problem}")

    def __repr__(self) -> str:
        sizes = f"{len(self.X_train):,} train, {len(self.X_test):,} test"
        shape = " x ".join(str(length) for length in self.X_train.shape[1:])
        return f"Dataset({self.name}: {sizes}, {shape}, {len(self.class_names)} classes)"


@dataclass(frozen=True)
class Recipe:
    """How to make a data set: its files, how to read them, and what stands in for them.

    ``shapes`` gives the shape of the training and of the test pictures.
    """

    name: str
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    files: tuple[DataFile, ...]
    read: Callable[[Sequence[bytes]], Arrays]
    stand_in: Callable[[], Arrays] | None
    class_names: tuple[str, ...]
    source: str
    licence: str

    @property
    def size(self) -> int:
        """Return the size of the files in the cache, in bytes."""
        return sum(file.size for file in self.files)


def build(recipe: Recipe, staging: Staging | None = None) -> Dataset:
    """Return the data set of ``recipe``, or its stand-in with a StandInWarning."""
    try:
        contents = [found.content for found in obtain_all(recipe.files, staging)]
    except Unavailable as failure:
        if recipe.stand_in is None:
            raise
        warnings.warn(_stand_in_message(recipe, failure), StandInWarning, stacklevel=3)
        return _assemble(recipe, recipe.stand_in(), is_synthetic=True)
    return _assemble(recipe, recipe.read(contents), is_synthetic=False)


def stratified_split(y: np.ndarray, test_per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shuffled positions for training and test, the same on every machine.

    The test set holds ``test_per_class`` samples of each class.

    Examples
    --------
    >>> train, test = stratified_split(np.array([0, 0, 0, 1, 1, 1]), 1)
    >>> len(train), len(test)
    (4, 2)
    """
    # RandomState, because numpy freezes its stream; a Generator's may change between versions.
    random = np.random.RandomState(0)
    order = random.permutation(len(y))
    in_test = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        in_test[order[y[order] == label][:test_per_class]] = True
    # Shuffled once more: the head of ``order`` went to the test set, class by class.
    return random.permutation(np.flatnonzero(~in_test)), random.permutation(np.flatnonzero(in_test))


def _assemble(recipe: Recipe, arrays: Arrays, *, is_synthetic: bool) -> Dataset:
    """Put arrays and description together, and check the shapes promised."""
    shapes = (arrays[0].shape, arrays[2].shape)
    if shapes != recipe.shapes:
        raise ValueError(f"{recipe.name}: expected shapes {recipe.shapes}, found {shapes}")
    return Dataset(
        f"{recipe.name} (synthetic stand-in)" if is_synthetic else recipe.name,
        *arrays,
        class_names=recipe.class_names,
        source="drawn by course_utils.data.synthetic" if is_synthetic else recipe.source,
        licence="MIT" if is_synthetic else recipe.licence,
        is_synthetic=is_synthetic,
    )


def _stand_in_message(recipe: Recipe, failure: Unavailable) -> str:
    """Say that this is not the data set, why, and what to do."""
    return (
        f"{recipe.name} is a SYNTHETIC STAND-IN: the real data could not be had, and a program "
        f"has drawn pictures of the same shape. Results on it say nothing about {recipe.name}.\n"
        f"{failure}\n"
        "Remedy: connect to the network once and run `course data` in a terminal; after that "
        "the data is kept on this machine."
    )


def _problem(X: np.ndarray, y: np.ndarray, num_classes: int, shape: tuple[int, ...]) -> str:
    """Return what is wrong with pictures and labels, or an empty string."""
    if X.dtype != np.float32 or y.dtype != np.int64:
        return f"expected float32 pictures and int64 labels, found {X.dtype} and {y.dtype}"
    if X.shape[1:] != shape or y.shape != (len(X),) or not len(X):
        return f"expected (N, {shape}) pictures and (N,) labels, found {X.shape} and {y.shape}"
    low, high = X.min(), X.max()
    # Written so that NaN, which compares false with everything, is caught too.
    if not (low >= 0 and high <= 1):
        return f"expected grey values in [0, 1], found {low} to {high}"
    if y.min() < 0 or y.max() >= num_classes:
        return f"expected labels 0 to {num_classes - 1}, found {y.min()} to {y.max()}"
    return ""
