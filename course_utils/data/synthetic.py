"""Drawings that stand in for picture data sets where no network is.

They have the shapes, ranges and number of classes of the real data, so that code
runs; they are no data, and numbers computed on them say nothing about it. Each
class has one outline; each picture is that outline turned, sheared, scaled, moved
and dimmed at random, with noise.
"""

from itertools import pairwise

import numpy as np

__all__ = ["draw_digits", "draw_garments"]

FINE = 112  # Pixels across an outline drawing; four for each pixel of a picture.
SIDE = 28
CHUNK = 2_000  # Pictures drawn at once, which bounds the memory used.

# Strokes through points (x right, y down), in a square from -1 to 1.
DIGIT_STROKES = (
    [[(0, -0.7), (0.4, -0.4), (0.4, 0.4), (0, 0.7), (-0.4, 0.4), (-0.4, -0.4), (0, -0.7)]],
    [[(-0.2, -0.5), (0.05, -0.7), (0.05, 0.7)]],
    [[(-0.4, -0.4), (0, -0.7), (0.4, -0.4), (0.3, 0), (-0.4, 0.7), (0.45, 0.7)]],
    [[(-0.4, -0.6), (0.2, -0.7), (0.3, -0.3), (-0.1, 0), (0.4, 0.3), (0.1, 0.7), (-0.4, 0.6)]],
    [[(0, -0.7), (-0.45, 0.2), (0.45, 0.2)], [(0.2, -0.2), (0.2, 0.7)]],
    [[(0.4, -0.7), (-0.3, -0.7), (-0.35, 0), (0.2, -0.1), (0.4, 0.3), (0, 0.7), (-0.4, 0.6)]],
    [[(0.3, -0.7), (-0.3, 0), (-0.35, 0.5), (0, 0.7), (0.35, 0.4), (0, 0.05), (-0.35, 0.3)]],
    [[(-0.4, -0.7), (0.45, -0.7), (-0.1, 0.7)]],
    [
        [(0, -0.05), (-0.3, -0.4), (0, -0.7), (0.3, -0.4), (0, -0.05)],
        [(0, -0.05), (-0.4, 0.35), (0, 0.7), (0.4, 0.35), (0, -0.05)],
    ],
    [[(0.35, -0.3), (0, 0), (-0.35, -0.3), (0, -0.7), (0.35, -0.4), (0.3, 0.2), (0.1, 0.7)]],
)

# The right half of an outline from top to bottom, mirrored; or a whole outline.
GARMENT_HALVES = {
    0: [(0.2, -0.7), (0.8, -0.4), (0.65, -0.1), (0.42, -0.2), (0.42, 0.7)],
    1: [(0.35, -0.8), (0.42, 0.8), (0.15, 0.8), (0.05, -0.3)],
    2: [(0.2, -0.7), (0.6, -0.5), (0.8, 0.6), (0.6, 0.65), (0.42, -0.1), (0.42, 0.7)],
    3: [(0.25, -0.8), (0.2, -0.3), (0.5, 0.8)],
    4: [(0.25, -0.8), (0.62, -0.6), (0.75, 0.5), (0.58, 0.5), (0.48, 0), (0.5, 0.85), (0.06, 0.85)],
    6: [(0.1, -0.75), (0.55, -0.6), (0.7, 0.3), (0.5, 0.35), (0.42, -0.1), (0.35, 0.75)],
    8: [(0.25, -0.3), (0.7, -0.3), (0.8, 0.6)],
}
GARMENT_WHOLES = {
    5: [(-0.8, 0.3), (-0.2, 0.1), (0.5, -0.3), (0.6, -0.2), (0.1, 0.2), (0.8, 0.3), (0.8, 0.4),
        (-0.8, 0.4)],
    7: [(-0.85, 0.4), (-0.8, 0.15), (-0.2, 0), (0.3, -0.25), (0.75, -0.2), (0.85, 0.4)],
    9: [(-0.8, 0.6), (-0.75, 0.3), (0, 0.1), (0.1, -0.7), (0.7, -0.7), (0.75, 0.6)],
}  # fmt: skip


def draw_digits(num_samples: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pen strokes in ten classes: float32 pictures in [0, 1], int64 labels.

    Examples
    --------
    >>> X, y = draw_digits(20, seed=0)
    >>> X.shape, np.bincount(y).tolist()
    ((20, 28, 28), [2, 2, 2, 2, 2, 2, 2, 2, 2, 2])
    """
    return _draw(np.stack([_ink(strokes) for strokes in DIGIT_STROKES]), num_samples, seed)


def draw_garments(num_samples: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return filled outlines in ten classes, as :func:`draw_digits` does strokes."""
    outlines = dict(GARMENT_WHOLES)
    for label, half in GARMENT_HALVES.items():
        outlines[label] = half + [(-x, y) for x, y in reversed(half)]
    return _draw(np.stack([_filled(outlines[k]) for k in range(10)]), num_samples, seed)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Return x and y of the fine drawing's pixel centres, in [-1, 1]."""
    axis = (np.arange(FINE) + 0.5) * 2 / FINE - 1
    x, y = np.meshgrid(axis, axis)
    return x, y


def _ink(strokes: list[list[tuple[float, float]]]) -> np.ndarray:
    """Return a drawing of pen strokes: 1 on the line, falling to 0 beside it."""
    x, y = _grid()
    nearest = np.full(x.shape, np.inf)
    for stroke in strokes:
        for (x0, y0), (x1, y1) in pairwise(stroke):
            dx, dy = x1 - x0, y1 - y0
            t = np.clip(((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy), 0, 1)
            nearest = np.minimum(nearest, np.hypot(x - x0 - t * dx, y - y0 - t * dy))
    return np.clip(1.5 - nearest / 0.09, 0, 1)


def _filled(outline: list[tuple[float, float]]) -> np.ndarray:
    """Return a drawing of a filled outline, by the even-odd rule."""
    x, y = _grid()
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(outline, outline[1:] + outline[:1], strict=True):
        if y0 != y1:
            crossing = x0 + (y - y0) * (x1 - x0) / (y1 - y0)
            inside ^= ((y0 > y) != (y1 > y)) & (x < crossing)
    return inside.astype(float)


def _draw(drawings: np.ndarray, num_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return so many random versions of the drawings, equally many of each."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(num_samples) % len(drawings))
    X = np.empty((num_samples, SIDE, SIDE), dtype=np.float32)
    fine = drawings.astype(np.float32).reshape(-1)
    for start in range(0, num_samples, CHUNK):
        part = slice(start, start + CHUNK)
        X[part] = _warp(fine, y[part], rng)
    return X, y.astype(np.int64)


def _warp(fine: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one randomly placed picture for each label."""
    num, shape = len(y), (len(y), 1, 1)
    axis = ((np.arange(SIDE) + 0.5) * 2 / SIDE - 1).astype(np.float32)
    turn = rng.normal(0, 0.15, shape).astype(np.float32)
    shear = rng.normal(0, 0.15, shape).astype(np.float32)
    scale = rng.uniform(0.9, 1.3, (2, *shape)).astype(np.float32)
    shift = rng.normal(0, 0.08, (2, *shape)).astype(np.float32)
    across, down = axis[None, None, :] - shift[0], axis[None, :, None] - shift[1]
    x = scale[0] * (across + (shear - turn) * down)
    height = scale[1] * (down + turn * across)
    column, row = (np.clip((p + 1) * (FINE / 2), 0, FINE - 1).astype(np.int32) for p in (x, height))
    picture = fine[y.reshape(shape) * (FINE * FINE) + row * FINE + column]
    picture *= rng.uniform(0.5, 1, shape).astype(np.float32)
    picture += rng.normal(0, 0.08, (num, 1, 1)).astype(np.float32) * picture
    picture += 0.1 * rng.standard_normal(picture.shape, dtype=np.float32) * (picture > 0)
    return np.clip(picture, 0, 1)
