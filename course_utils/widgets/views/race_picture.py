"""The still picture of an optimizer race."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from course_utils.figures import MARKERS
from course_utils.landscape import SurfaceGrid
from course_utils.widgets.core.optimizers import OPTIMIZERS, Problem, Run

__all__ = ["axis_names", "draw_race"]

# Colour and dash of each optimizer in the still picture, as near as print allows.
_LOOKS = {
    "sgd": ("#1a1a1a", "-"),
    "momentum": ("#0072B2", (0, (5, 2))),
    "nesterov": ("#5B3FB0", ":"),
    "adagrad": ("#009E73", "-."),
    "adadelta": ("#7A6A00", (0, (2, 2))),
    "rmsprop": ("#D55E00", (0, (7, 2))),
    "rmsprop_nesterov": ("#D55E00", ":"),
    "adam": ("#B0578D", "-"),
    "adamw": ("#B0578D", (0, (3, 2))),
}


def axis_names(problem: Problem) -> tuple[str, str]:
    """Return what the map's two axes are called."""
    return ("alpha", "beta") if problem.name == "surface" else ("x", "y")


def draw_race(
    problem: Problem,
    runs: Mapping[str, Run],
    start: Sequence[float],
    step: int,
    num_steps: int,
    surface: SurfaceGrid | None,
    path: np.ndarray,
) -> Figure:
    """Draw the map with the paths up to a step, and the loss against the step.

    Parameters
    ----------
    step, num_steps
        The step on show, and the last one on the axis.
    surface
        The grid that is raced on; None for a test function.
    path
        A training path on the surface; may be empty.
    """
    fig = Figure(figsize=(9.0, 3.9), layout="constrained")
    left, right = fig.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_map(fig, left, problem, surface, path)
    for number, (name, run) in enumerate(runs.items()):
        end = step if run.stopped is None else min(step, run.stopped - 1)
        colour, dash = _LOOKS[name]
        line = {"color": colour, "linestyle": dash, "linewidth": 1.6}
        ended = run.stopped is not None and run.stopped <= step
        mark = {"marker": "x" if ended else MARKERS[number % 5], "markevery": [-1]}
        left.plot(*run.path[: end + 1].T, **line, **mark)
        height = np.maximum(run.loss[: end + 1] - problem.floor, problem.curve.low)
        right.plot(height, **line, **mark, label=OPTIMIZERS[name])
    left.plot(*start, "o", color="white", markeredgecolor="black", markersize=9)
    if problem.curve.log:
        right.set_yscale("log")
    margin = 1 if problem.curve.log else 0.02
    right.set(
        xlabel="step",
        ylabel="loss above the minimum (log)" if problem.floor else _curve_label(problem),
        xlim=(0, num_steps),
        ylim=(problem.curve.low * margin, problem.curve.high),
    )
    right.spines[["top", "right"]].set_visible(False)
    if runs:
        fig.legend(
            *right.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=5,
            frameon=False,
        )
    return fig


def _draw_map(
    fig: Figure, ax: Any, problem: Problem, surface: SurfaceGrid | None, path: np.ndarray
) -> None:
    """Fill the contours of the loss, with the minima and the training path."""
    x, y = np.linspace(*problem.xlim, 101), np.linspace(*problem.ylim, 101)
    if surface is not None:
        x, y, height = surface.alphas, surface.betas, surface.loss
    else:
        height = np.array([[problem.value(u, v) for u in x] for v in y])
    low, high, log = problem.colours.low, problem.colours.high, problem.colours.log
    high = high if high > low else low + 1
    levels = np.geomspace(low, high, 25) if log else np.linspace(low, high, 25)
    norm = LogNorm(low, high) if log else Normalize(low, high)
    filled = ax.contourf(
        x, y, np.clip(height, low, high), levels, norm=norm, cmap="viridis", alpha=0.6
    )
    bar = fig.colorbar(filled, ax=ax, label="loss (log scale)" if log else "loss")
    if log:
        first, last = np.ceil(np.log10(low)), np.floor(np.log10(high))
        if last > first:
            bar.set_ticks(10.0 ** np.arange(first, last + 1))
    labels = axis_names(problem)
    ax.set(xlim=problem.xlim, ylim=problem.ylim, xlabel=labels[0], ylabel=labels[1])
    for point in problem.minima:
        ax.plot(*point, "*", color="black", markersize=9)
    ax.plot(*path.T, ":", color="black")


def _curve_label(problem: Problem) -> str:
    return "loss (log)" if problem.curve.log else "loss"
