"""Points in the plane, in two classes: small enough to print, draw and reason about.

Every function returns ``X``, one point (x, y) per row as float64 (dimensionless),
and ``y``, int64 labels 0 and 1 in shuffled order. Randomness comes only from the
``rng`` you pass in.
"""

import math
import operator

import numpy as np

__all__ = ["make_moons", "make_separable", "make_spirals", "make_xor"]

Sample = tuple[np.ndarray, np.ndarray]


def make_separable(
    num_samples: int, *, rng: np.random.Generator, margin: float = 0.2
) -> tuple[np.ndarray, np.ndarray]:
    """Return two classes that a straight line parts, with room to spare.

    Parameters
    ----------
    num_samples
        At least 2, one for each class; the classes differ by at most one sample.
    rng
        Draws the line's direction and offset, the points and their order.
    margin
        Least distance of any point from the line, in units of the axes, not
        negative. A perceptron needs at most (R / margin)^2 updates, with R the
        length of the longest point (both measured with the bias as third
        coordinate; Novikoff, 1962).

    Examples
    --------
    >>> X, y = make_separable(6, rng=np.random.default_rng(0))
    >>> X.shape, sorted(y.tolist())
    ((6, 2), [0, 0, 0, 1, 1, 1])
    """
    num_samples = _check(num_samples, rng, margin=margin)
    y = np.arange(num_samples) % 2
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(-0.25, 0.25)
    normal = np.array([math.cos(angle), math.sin(angle)])
    tangent = np.array([-normal[1], normal[0]])
    distance = (2 * y - 1) * (margin + rng.uniform(0, 1, num_samples))
    along = rng.uniform(-1, 1, num_samples)
    X = np.outer(offset + distance, normal) + np.outer(along, tangent)
    return _shuffle(X, y, rng)


def make_xor(
    num_samples: int, *, rng: np.random.Generator, noise: float = 0.25
) -> tuple[np.ndarray, np.ndarray]:
    """Return four clouds at the corners of a square, opposite corners alike.

    Label 1 means that x and y have different signs at the corner, so no straight
    line parts the classes. ``noise`` is the standard deviation of a cloud; the
    corners are 2 apart.

    Examples
    --------
    >>> X, y = make_xor(4, rng=np.random.default_rng(0), noise=0.0)
    >>> bool(np.all((X[:, 0] * X[:, 1] < 0) == (y == 1)))
    True
    """
    num_samples = _check(num_samples, rng, noise=noise)
    corners = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
    corner = np.arange(num_samples) % 4
    return _shuffle(_add_noise(corners[corner], noise, rng), corner % 2, rng)


def make_moons(
    num_samples: int, *, rng: np.random.Generator, noise: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Return two half circles of radius 1, each reaching into the other.

    Without noise these are the points of ``sklearn.datasets.make_moons``.
    ``noise`` is the standard deviation added to both coordinates.

    Examples
    --------
    >>> X, y = make_moons(200, rng=np.random.default_rng(0))
    >>> X.shape, int(y.sum())
    ((200, 2), 100)
    """
    num_samples = _check(num_samples, rng, noise=noise)
    num_upper = num_samples // 2
    upper = np.linspace(0, math.pi, num_upper)
    lower = np.linspace(0, math.pi, num_samples - num_upper)
    x = np.concatenate([np.cos(upper), 1 - np.cos(lower)])
    height = np.concatenate([np.sin(upper), 0.5 - np.sin(lower)])
    y = np.repeat([0, 1], [num_upper, num_samples - num_upper])
    return _shuffle(_add_noise(np.stack([x, height], axis=1), noise, rng), y, rng)


def make_spirals(
    num_samples: int, *, rng: np.random.Generator, noise: float = 0.02
) -> tuple[np.ndarray, np.ndarray]:
    """Return two interleaved spirals, each of one and a half turns and radius 1.

    Without noise, one class is the other turned by half a circle. The arms lie 1/3
    apart; ``noise`` is the standard deviation added to both coordinates.

    Examples
    --------
    >>> X, y = make_spirals(100, rng=np.random.default_rng(0), noise=0.0)
    >>> bool(np.linalg.norm(X, axis=1).max() <= 1)
    True
    """
    num_samples = _check(num_samples, rng, noise=noise)
    y = np.arange(num_samples) % 2
    # Every sample pair shares a radius; the centre itself, where the arms meet, is left out.
    radius = 0.05 + 0.95 * (np.arange(num_samples) // 2) / max(1, (num_samples - 1) // 2)
    angle = 3 * math.pi * radius + math.pi * y
    X = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return _shuffle(_add_noise(X, noise, rng), y, rng)


def _check(num_samples: int, rng: np.random.Generator, **amounts: float) -> int:
    """Refuse what cannot be drawn, naming the argument and what came."""
    try:
        count = operator.index(num_samples)
    except TypeError:
        raise ValueError(f"num_samples={num_samples!r}: expected a whole number") from None
    if count < 2:
        raise ValueError(f"num_samples={count}: expected at least 2, one for each class")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"rng={rng!r}: expected a numpy Generator, such as np.random.default_rng(0)"
        )
    for name, amount in amounts.items():
        if not (math.isfinite(amount) and amount >= 0):
            raise ValueError(f"{name}={amount}: expected a finite number, 0 or more")
    return count


def _add_noise(X: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    return X + noise * rng.standard_normal(X.shape)


def _shuffle(X: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Sample:
    """Return both in one random order, so that any slice holds both classes."""
    order = rng.permutation(len(X))
    return X[order].astype(np.float64), y[order].astype(np.int64)
