"""PerceptronStepper: the perceptron rule, one sample at a time."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from traitlets import Bytes, CBytes, Int, List, Unicode, observe, validate

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget, as_bytes, finite_array
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.perceptron import (
    PRESETS,
    Run,
    Separation,
    perceptron_run,
    preset_samples,
    separation,
)

__all__ = ["PerceptronStepper"]

_MAX_SAMPLES = 100
_TABLES = {name: np.column_stack(preset_samples(name)) for name in PRESETS}


class PerceptronStepper(CourseWidget):
    """Step through the perceptron rule on points in the plane.

    The output is 1 where ``w . x + b >= 0``, else 0: the boundary belongs to class 1.
    The run starts at ``w = 0, b = 0`` and ends with a pass without a mistake, with
    weights that repeat, or after ``max_steps``.

    Parameters
    ----------
    X, y
        2 to 100 points, one a row, and their targets 0 or 1. Without them the preset
        is shown.
    order
        The order of one pass; None takes the samples as they come.
    preset
        "separable", "narrow margin", "outlier" or "XOR".
    step
        The step to show first.
    """

    _esm = load_esm("stepper.js")
    samples = CBytes(help="rows x1, x2, target as float32").tag(sync=True)
    order = List(Int()).tag(sync=True)
    max_steps = Int(500).tag(sync=True)
    step = Int(0, help="the frame shown; 0 is the start").tag(sync=True)
    preset = Unicode(help="the name of the preset shown, empty for other points").tag(sync=True)
    first_samples = Bytes().tag(sync=True)
    first_order = List(Int()).tag(sync=True)
    first_step = Int(0).tag(sync=True)
    first_preset = Unicode().tag(sync=True)
    preset_samples = Bytes().tag(sync=True)
    preset_names = List(Unicode()).tag(sync=True)
    preset_sizes = List(Int()).tag(sync=True)

    def __init__(
        self,
        X: Any = None,
        y: Any = None,
        order: Any = None,
        max_steps: int = 500,
        *,
        preset: str = "separable",
        step: int = 0,
        **kwargs: Any,
    ) -> None:
        if (X is None) != (y is None):
            raise ValueError("X and y must come together; got only one of them")
        if X is None:
            _check_preset(preset)
        table = _TABLES[preset] if X is None else _as_table(X, y)
        if not 1 <= max_steps <= 5000:
            raise ValueError(f"max_steps must be from 1 to 5000; got {max_steps}")
        start = {
            "samples": as_bytes(table),
            "order": _as_order(order, len(table)),
            "step": max(0, int(step)),
            "preset": preset if X is None else "",
        }
        super().__init__(
            task="Before each step, predict: does this sample move the line, and which way? "
            "Then find out what makes the mistakes grow in number.",
            max_steps=max_steps,
            preset_samples=b"".join(as_bytes(rows) for rows in _TABLES.values()),
            preset_names=list(_TABLES),
            preset_sizes=[len(rows) for rows in _TABLES.values()],
            **start,
            **{f"first_{name}": value for name, value in start.items()},
            **kwargs,
        )

    @property
    def X(self) -> np.ndarray:
        """The points as shown now, float64 of shape (n, 2)."""
        return self._table()[:, :2]

    @property
    def y(self) -> np.ndarray:
        """Their targets, 0 or 1."""
        return self._table()[:, 2].astype(np.int64)

    def run(self) -> Run:
        """Return every frame of the run on the points as shown now."""
        order = self.order or range(len(self.X))
        return perceptron_run(self.X, self.y, order, self.max_steps)

    @validate("samples")
    def _samples_are_finite(self, proposal: Any) -> bytes:
        finite_array("samples", np.frombuffer(proposal["value"], "<f4").reshape(-1, 3), (None, 3))
        return proposal["value"]

    @validate("order")
    def _order_visits_all(self, proposal: Any) -> list[int]:
        return _as_order(proposal["value"], len(self._table()))

    @validate("preset")
    def _preset_is_known(self, proposal: Any) -> str:
        if proposal["value"]:
            _check_preset(proposal["value"])
        return proposal["value"]

    @observe("preset")
    def _load_preset(self, change: Any) -> None:
        if not change["new"] or self.samples == as_bytes(_TABLES[change["new"]]):
            return
        with self.hold_sync():
            self.samples = as_bytes(_TABLES[change["new"]])
            self.order = []
            self.step = 0

    def _table(self) -> np.ndarray:
        return np.frombuffer(self.samples, dtype="<f4").reshape(-1, 3).astype(np.float64)

    def description(self) -> str:
        run, apart = self.run(), separation(self.X, self.y)
        now = min(self.step, len(run) - 1) or len(run) - 1
        w1, w2, b = run.weights[now]
        return (
            f"Perceptron on {len(self.X)} samples: after step {now} of {len(run) - 1} "
            f"w = ({w1:.4g}, {w2:.4g}), b = {b:.4g}, mistakes {run.mistakes[now]} "
            f"({_bound_text(apart)}). {_ending_text(run)}"
        )

    def picture(self) -> Figure:
        run, apart = self.run(), separation(self.X, self.y)
        now = min(self.step, len(run) - 1) or len(run) - 1
        fig = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = fig.subplots(1, 2)
        _draw_plane(left, self.X, self.y, run.weights[now])
        left.set_title(f"after step {now}")
        right.step(range(len(run)), run.mistakes, where="post", color=PALETTE["blue"])
        right.axvline(now, color=PALETTE["black"], linestyle=":", linewidth=1)
        right.yaxis.get_major_locator().set_params(integer=True)
        right.set(xlabel="step", ylabel="mistakes so far", title=_bound_text(apart))
        return fig


def _check_preset(preset: str) -> None:
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}; got {preset!r}")


def _as_table(X: Any, y: Any) -> np.ndarray:
    points = finite_array("X", X, (None, 2))
    targets = finite_array("y", y, (len(points),))
    if not 2 <= len(points) <= _MAX_SAMPLES:
        raise ValueError(f"X must hold 2 to {_MAX_SAMPLES} points; got {len(points)}. Take fewer.")
    wrong = targets[(targets != 0) & (targets != 1)]
    if len(wrong):
        raise ValueError(
            f"y must hold targets 0 or 1; got {wrong[0]:g}. For -1 and 1 pass (y + 1) // 2."
        )
    return np.column_stack([points, targets])


def _as_order(order: Any, count: int) -> list[int]:
    if order is None or len(order) == 0:
        return []
    visited = [int(i) for i in order]
    if set(visited) != set(range(count)):
        raise ValueError(
            f"order must name each of the samples 0 to {count - 1} at least once; got {visited}"
        )
    return visited


def _bound_text(apart: Separation) -> str:
    if apart.margin == 0:
        return "not separable: no bound"
    return f"bound R²/γ² = {apart.bound:.3g}"


def _ending_text(run: Run) -> str:
    last = len(run) - 1
    if run.ending == "converged":
        return f"The run converges at step {last}."
    if run.ending == "repeats":
        return (
            f"At step {last} the weights are those of step {run.repeats_from}: "
            f"they repeat every {last - run.repeats_from} steps, for ever."
        )
    return f"The run is not finished after {last} steps."


def _draw_plane(ax: Axes, X: np.ndarray, y: np.ndarray, weights: np.ndarray) -> None:
    """Draw the points, the boundary, and w as an arrow from the origin."""
    for target, marker, colour in ((1, "o", PALETTE["blue"]), (0, "s", PALETTE["vermilion"])):
        chosen = X[y == target]
        ax.scatter(*chosen.T, marker=marker, color=colour, label=f"t = {target}", zorder=3)
    w, b = weights[:2], weights[2]
    low, high = np.minimum(X.min(axis=0), 0), np.maximum(X.max(axis=0), 0)
    pad = 0.1 * max(*(high - low), 1)
    if np.any(w):
        foot = -b * w / (w @ w)
        ax.axline(foot, foot + np.array([-w[1], w[0]]), color=PALETTE["black"], linestyle="-")
        scale = min(1.0, 0.45 * float(min(high - low)) / float(np.linalg.norm(w)))
        ax.annotate(
            "", scale * w, (0, 0), arrowprops={"arrowstyle": "-|>", "color": "black", "lw": 2}
        )
        ax.annotate("w", scale * w, (4, 4), textcoords="offset points")
    ax.set(xlim=(low[0] - pad, high[0] + pad), ylim=(low[1] - pad, high[1] + pad))
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
