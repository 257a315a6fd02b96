"""Read a loss surface between its grid points, and choose the scale of its colours."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from course_utils.landscape import SurfaceGrid

__all__ = ["Interpolant", "Scale", "camera_scale", "check_path", "project", "scale_of"]

# A ratio of largest to smallest loss from which colours are logarithmic.
LOG_RATIO = 20.0
# Height of the drawn surface, where its base is 2 by 2.
TALL = 1.1


@dataclass(frozen=True)
class Scale:
    """The losses at the two ends of a colour scale; ``log`` for logarithmic steps."""

    low: float
    high: float
    log: bool

    def __call__(self, loss: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return where a loss lies on the scale: 0 at ``low``, 1 at ``high``, clipped."""
        bend = np.log if self.log else np.asarray
        low, high = bend(self.low), bend(self.high)
        if high == low:
            return np.zeros(np.shape(loss))
        return (bend(np.clip(loss, self.low, self.high)) - low) / (high - low)


def scale_of(*losses: np.ndarray, log: bool | None = None) -> Scale:
    """Return one scale that holds all of ``losses``.

    Parameters
    ----------
    log
        None takes logarithmic steps when all losses are positive and the largest
        is more than twenty times the smallest.
    """
    low = min(float(loss.min()) for loss in losses)
    high = max(float(loss.max()) for loss in losses)
    if log is None:
        log = low > 0 and high > LOG_RATIO * low
    return Scale(low, high, log)


@dataclass(frozen=True)
class Interpolant:
    """A smooth surface through the points of a grid: Catmull-Rom cubics along both axes.

    The surface passes through every grid point and its slope has no jumps. One ring of
    points is added around the grid by going on straight, and a point outside the
    square is read at the nearest point of its border.
    """

    padded: Float[np.ndarray, "rows columns"]
    extent: tuple[float, float, float, float]

    @classmethod
    def of(cls, grid: SurfaceGrid) -> "Interpolant":
        """Return the interpolant of a grid after checking that it is evenly spaced."""
        x0, x1 = _ends("alphas", grid.alphas)
        y0, y1 = _ends("betas", grid.betas)
        loss = np.asarray(grid.loss, dtype=np.float64)
        # Twice the edge minus its neighbour, first for rows, then for columns.
        rows = np.vstack([2 * loss[0] - loss[1], loss, 2 * loss[-1] - loss[-2]])
        left, right = 2 * rows[:, 0] - rows[:, 1], 2 * rows[:, -1] - rows[:, -2]
        return cls(np.column_stack([left, rows, right]), (x0, x1, y0, y1))

    def value(self, x: float, y: float) -> float:
        """Return the loss at a point."""
        patch, (u, v), _ = self._patch(x, y)
        return _mix(patch, _weights(u), _weights(v))

    def gradient(self, x: float, y: float) -> Float[np.ndarray, " 2"]:
        """Return the slope along both axes, per unit of alpha and of beta."""
        patch, (u, v), (dx, dy) = self._patch(x, y)
        across = _mix(patch, _slopes(u), _weights(v)) / dx
        up = _mix(patch, _weights(u), _slopes(v)) / dy
        return np.array([across, up])

    def _patch(self, x: float, y: float) -> tuple:
        """Return the 4 x 4 points around (x, y), the place in their middle cell, the spacing."""
        m, n = np.subtract(self.padded.shape, 2)
        x0, x1, y0, y1 = self.extent
        dx, dy = (x1 - x0) / (n - 1), (y1 - y0) / (m - 1)
        s = min(max((x - x0) / dx, 0.0), n - 1.0)
        t = min(max((y - y0) / dy, 0.0), m - 1.0)
        i, j = min(int(s), n - 2), min(int(t), m - 2)
        return self.padded[j : j + 4, i : i + 4], (s - i, t - j), (dx, dy)


def check_path(name: str, path: Float[np.ndarray, "points 2"], grid: SurfaceGrid) -> np.ndarray:
    """Return ``path`` after checking that at least one of its points lies on the grid.

    Raises
    ------
    ValueError
        If all points lie outside, as when the axes of the path are not the grid's.
    """
    x0, x1, y0, y1 = Interpolant.of(grid).extent
    x, y = path.T
    if not ((x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)).any():
        raise ValueError(
            f"{name} never enters the surface: it spans {x.min():.3g} to {x.max():.3g} and "
            f"{y.min():.3g} to {y.max():.3g}, the surface {x0:.3g} to {x1:.3g} and {y0:.3g} to "
            f"{y1:.3g}. Project it with the directions that made the surface."
        )
    return path


def _ends(name: str, axis: Float[np.ndarray, " n"]) -> tuple[float, float]:
    steps = np.diff(np.asarray(axis, dtype=np.float64))
    if len(steps) == 0 or steps.min() <= 0 or np.ptp(steps) > 1e-3 * steps.mean():
        raise ValueError(
            f"{name} must hold at least two increasing, evenly spaced values; got "
            f"{np.round(np.asarray(axis)[:4], 4)}... Make the grid with numpy.linspace."
        )
    return float(axis[0]), float(axis[-1])


def _weights(t: float) -> list[float]:
    """Return how much the four points about a cell count at ``t`` in [0, 1] of it."""
    return [
        (t * (t * (2 - t) - 1)) / 2,
        (t * t * (3 * t - 5) + 2) / 2,
        (t * (t * (4 - 3 * t) + 1)) / 2,
        (t * t * (t - 1)) / 2,
    ]


def _slopes(t: float) -> list[float]:
    """Return the derivative of `_weights`."""
    return [
        (t * (4 - 3 * t) - 1) / 2,
        (t * (9 * t - 10)) / 2,
        (t * (8 - 9 * t) + 1) / 2,
        (t * (3 * t - 2)) / 2,
    ]


def _mix(patch: Float[np.ndarray, "4 4"], across: list[float], up: list[float]) -> float:
    # Summed in the order of static/grid.js, so that both give the same bits.
    total = 0.0
    for weight, row in zip(up, patch.tolist(), strict=True):
        for share, loss in zip(across, row, strict=True):
            total += weight * share * loss
    return total


def camera_scale(elevation: float, width: float, height: float) -> float:
    """Return the pixels per unit at which the whole cube fits for every azimuth."""
    tilt = np.radians(elevation)
    tall = np.sqrt(2) * np.sin(tilt) + TALL / 2 * np.cos(tilt)
    return float(min(0.42 * width / np.sqrt(2), 0.46 * height / tall))


def project(
    points: Float[np.ndarray, "points 3"],
    azimuth: float,
    elevation: float,
    width: float = 480.0,
    height: float = 360.0,
) -> Float[np.ndarray, "points 3"]:
    """Return pixel across, pixel down and nearness of points, seen from far away.

    Parameters
    ----------
    points
        Fractions of the surface's width, depth and height, each 0 to 1.
    azimuth, elevation
        In degrees. At (0, 90) alpha runs right and beta up, as on a map.
    """
    turn, tilt = np.radians(azimuth), np.radians(elevation)
    x, y = 2 * points[:, 0] - 1, 2 * points[:, 1] - 1
    z = TALL * (points[:, 2] - 0.5)
    across, away = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
    up = away * np.sin(tilt) + z * np.cos(tilt)
    near = z * np.sin(tilt) - away * np.cos(tilt)
    scale = camera_scale(elevation, width, height)
    return np.column_stack([width / 2 + scale * across, height / 2 - scale * up, near])
