"""The perceptron rule on one sample at a time, recorded step by step.

The notebook ``01_perceptron_backprop`` derives the rule; this module records what
it does so that ``PerceptronStepper`` can show it. Targets are 0 or 1, and the
output is 1 where ``w . x + b >= 0``: a point on the boundary belongs to class 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

__all__ = ["CASES", "PRESETS", "Run", "Separation", "perceptron_run", "preset_samples"]
__all__ += ["separation"]

CASES = ("right: nothing changes", "t = 1, y = 0: w += x, b += 1", "t = 0, y = 1: w -= x, b -= 1")
PRESETS = ("separable", "narrow margin", "outlier", "XOR")
_TINY = 1e-6  # margins below this fraction of the radius are rounding, not distance


@dataclass(frozen=True)
class Run:
    """Frames of one run: frame 0 is the start, frame s is what sample s - 1 of the run did.

    Attributes
    ----------
    samples
        Which sample was in hand; -1 at the start.
    scores
        ``d = w . x + b`` before the update; NaN at the start.
    outputs
        1 where the score is at least 0; -1 at the start.
    weights
        ``(w1, w2, b)`` after each frame, so frame s moved from row s - 1 to row s.
    mistakes
        How many samples have been wrong so far.
    ending
        "converged": a whole pass without a mistake. "repeats": weights and place in
        the order are those of frame ``repeats_from``, so the run goes on for ever.
        "stopped": neither within the steps allowed.
    """

    samples: Int[np.ndarray, " frames"]
    scores: Float[np.ndarray, " frames"]
    outputs: Int[np.ndarray, " frames"]
    weights: Float[np.ndarray, "frames 3"]
    mistakes: Int[np.ndarray, " frames"]
    ending: str
    repeats_from: int = -1

    def __len__(self) -> int:
        return len(self.samples)


@dataclass(frozen=True)
class Separation:
    """How far apart two classes are, with the bias counted as a third weight.

    ``radius`` is the length of the longest ``(x, 1)``; ``margin`` the largest distance
    that all of them can keep from a plane through the origin, 0 if no plane separates
    the classes; ``bound = (radius / margin) ** 2`` limits the mistakes (infinite if not).
    """

    radius: float
    margin: float
    bound: float


def perceptron_run(
    X: Float[np.ndarray, "n 2"],
    y: Int[np.ndarray, " n"],
    order: Sequence[int],
    max_steps: int,
) -> Run:
    """Return every step of the perceptron rule from ``w = 0, b = 0``.

    Parameters
    ----------
    y
        Targets, 0 or 1.
    order
        Indices of the samples in one pass; it is gone through again and again and
        must name each sample at least once.
    max_steps
        Samples looked at before a run without an end is given up.
    """
    w1, w2, b = 0.0, 0.0, 0.0
    rows: list[tuple] = [(-1, np.nan, -1, w1, w2, b, 0)]
    seen = {(0, w1, w2, b): 0}
    right_in_a_row, mistakes, ending, repeats_from = 0, 0, "stopped", -1
    for step in range(1, max_steps + 1):
        i = int(order[(step - 1) % len(order)])
        d = w1 * X[i, 0] + w2 * X[i, 1] + b
        output = int(d >= 0)
        error = int(y[i]) - output  # (t - y): 0, +1 or -1, the three cases
        w1, w2, b = w1 + error * X[i, 0], w2 + error * X[i, 1], b + error
        mistakes += abs(error)
        right_in_a_row = 0 if error else right_in_a_row + 1
        rows.append((i, d, output, w1, w2, b, mistakes))
        if right_in_a_row == len(order):
            ending = "converged"
            break
        repeats_from = seen.setdefault((step % len(order), w1, w2, b), step)
        if repeats_from < step:
            ending = "repeats"
            break
        repeats_from = -1
    table = np.array(rows, dtype=float)
    whole = table[:, [0, 2, 6]].astype(np.int64)
    return Run(
        whole[:, 0], table[:, 1], whole[:, 1], table[:, 3:6], whole[:, 2], ending, repeats_from
    )


def separation(X: Float[np.ndarray, "n 2"], y: Int[np.ndarray, " n"]) -> Separation:
    r"""Return radius, largest margin and the bound on the number of mistakes.

    With :math:`z_i = \pm (x_i, 1)`, plus for class 1, the largest margin is the distance
    from the origin to the convex hull of the :math:`z_i`. Non-negative least squares
    finds the nearest point of the hull up to a scale.

    References
    ----------
    Novikoff (1962), "On convergence proofs on perceptrons": at most
    :math:`(R / \gamma)^2` mistakes, in whatever order the samples come.
    """
    z = np.column_stack([X, np.ones(len(X))]) * np.where(y == 1, 1.0, -1.0)[:, None]
    radius = float(np.linalg.norm(z, axis=1).max())
    system = np.vstack([z.T / radius, np.ones(len(z))])
    # Here, because importing scipy.optimize takes as long as the rest of this package.
    from scipy.optimize import nnls

    weights, _ = nnls(system, np.array([0.0, 0.0, 0.0, 1.0]))
    margin = float(np.linalg.norm(z.T @ weights) / weights.sum())
    if margin <= _TINY * radius:
        return Separation(radius, 0.0, float("inf"))
    return Separation(radius, margin, (radius / margin) ** 2)


def preset_samples(name: str) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"]]:
    """Return the points and targets of a preset, the same at every call.

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    if name == "XOR":
        X = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]])
        return X, np.array([0, 1, 1, 0])
    if name == "separable":
        return _two_bands(np.random.default_rng(7), gap=0.5)
    if name == "narrow margin":
        return _two_bands(np.random.default_rng(7), gap=0.05)
    if name == "outlier":
        X, y = _two_bands(np.random.default_rng(7), gap=0.5)
        # As far from the line as its neighbours, but far along it: only the radius grows.
        X[8], y[8] = (-6.0, 4.5), 0
        return X, y
    raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {name!r}")


def _two_bands(
    rng: np.random.Generator, gap: float, num_samples: int = 16
) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"]]:
    """Draw points on both sides of a slanted line, none nearer to it than ``gap``."""
    normal, offset = np.array([0.6, 0.8]), 0.5
    y = np.arange(num_samples) % 2
    rng.shuffle(y)
    along = rng.uniform(-2, 2, num_samples)
    across = (gap + rng.uniform(0, 1.2, num_samples)) * np.where(y == 1, 1, -1)
    tangent = np.array([normal[1], -normal[0]])
    X = (across + offset)[:, None] * normal + along[:, None] * tangent
    return X.round(2), y
