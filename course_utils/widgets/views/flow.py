"""SignalFlow: what depth, initialisation and normalisation do to a signal and its gradient."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from traitlets import Dict, Int, List, Unicode, validate

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.flow import (
    ACTIVATIONS,
    INITS,
    MAX_DEPTH,
    MAX_WIDTH,
    NORMS,
    Flow,
    decades,
    shared_range,
    signal_flow,
    statistics,
)

__all__ = ["SignalFlow"]

TASK = "Find settings that keep both curves of std upright through 30 layers: for tanh, for ReLU."
INIT_LABELS = {
    "zero": "zero",
    "small": "0.01 · randn",
    "large": "1 · randn",
    "xavier": "Xavier",
    "he": "He",
    "slide": "He as printed",
    "orthogonal": "orthogonal",
}
# name: depth, activation, init, norm, what it shows; all of them 64 wide
PRESETS = {
    "collapse": (10, "tanh", "small", "none", "small weights: each layer shrinks the signal"),
    "saturate": (10, "tanh", "large", "none", "large weights: most outputs are near -1 or 1"),
    "Xavier and tanh": (10, "tanh", "xavier", "none", "std falls slowly, the gradient holds"),
    "Xavier and ReLU dies slowly": (
        30, "relu", "xavier", "none", "ReLU halves the mean square at each layer",
    ),
    "He": (30, "relu", "he", "none", "twice the variance makes up for the half that ReLU cuts"),
    "the slide's code explodes": (
        30, "relu", "slide", "none", "divided by sqrt(2 / fan_in) instead of multiplied",
    ),
    "batch norm rescues": (
        10, "tanh", "small", "batch", "the weights of the first preset, each unit normalised",
    ),
}  # fmt: skip
_CHOICES = {"activation": tuple(ACTIVATIONS), "init": INITS, "norm": NORMS}
_RANGES = {
    "depth": (2, MAX_DEPTH),
    "width": (2, MAX_WIDTH),
    "seed": (0, 2**32 - 1),
    "layer": (1, MAX_DEPTH),
}
_BINS = 60


class SignalFlow(CourseWidget):
    """Show histograms of activations and gradients in each layer of a random network.

    A batch of 32 normal inputs goes through layers h -> activation(norm(h W)); a random
    gradient of rms 1 with respect to the last layer's outputs goes back. All of it is
    computed in the browser, from the seed.

    Parameters
    ----------
    depth
        Layers, 2 to 30.
    width
        Units in each layer, 2 to 64.
    activation
        "step", "logistic", "tanh", "relu", "leaky relu" (0.1), "elu" (1), "softplus",
        "swish" (1) or "gelu".
    init
        Standard normal weights times a factor: "zero", "small" (0.01), "large" (1),
        "xavier" (1 / sqrt(fan_in)), "he" (sqrt(2 / fan_in)), "slide" (1 / sqrt(2 / fan_in),
        as printed in the lecture); or "orthogonal".
    norm
        "none", "batch" or "layer", before the activation, without gain and bias.
    seed
        Of inputs, weights and gradient, 0 to 2^32 - 1.
    layer
        The layer that the read-out describes, 1 to 30; the last one where there are fewer.

    Raises
    ------
    ValueError
        If an argument is unknown or out of range.
    """

    _esm = load_esm("flow.js")
    depth = Int(10).tag(sync=True)
    width = Int(64).tag(sync=True)
    activation = Unicode("tanh").tag(sync=True)
    init = Unicode("small").tag(sync=True)
    norm = Unicode("none").tag(sync=True)
    seed = Int().tag(sync=True)
    layer = Int(1).tag(sync=True)
    activations = Dict({name: known.default for name, known in ACTIVATIONS.items()}).tag(sync=True)
    inits = Dict(INIT_LABELS).tag(sync=True)
    norms = List(Unicode(), list(NORMS)).tag(sync=True)
    presets = Dict().tag(sync=True)
    initial = Dict().tag(sync=True)

    def __init__(
        self,
        depth: int = 10,
        width: int = 64,
        activation: str = "tanh",
        init: str = "small",
        norm: str = "none",
        *,
        seed: int = 0,
        layer: int = 1,
        task: str = TASK,
    ) -> None:
        state = {
            "depth": depth,
            "width": width,
            "activation": activation,
            "init": init,
            "norm": norm,
            "seed": seed,
            "layer": layer,
        }
        names = ("depth", "activation", "init", "norm", "title")
        presets = {
            name: {"width": MAX_WIDTH, **dict(zip(names, values, strict=True))}
            for name, values in PRESETS.items()
        }
        super().__init__(task=task, presets=presets, initial=dict(state), **state)

    @validate(*_CHOICES)
    def _is_known(self, proposal: Any) -> str:
        name, value = proposal["trait"].name, proposal["value"]
        if value not in _CHOICES[name]:
            raise ValueError(f"{name} must be one of {', '.join(_CHOICES[name])}; got {value!r}")
        return value

    @validate(*_RANGES)
    def _is_in_range(self, proposal: Any) -> int:
        name, value = proposal["trait"].name, proposal["value"]
        low, high = _RANGES[name]
        if not low <= value <= high:
            raise ValueError(f"{name} must be from {low} to {high}; got {value}")
        return value

    def flow(self) -> Flow:
        """Return what every layer computes, and the gradients."""
        settings = (self.depth, self.width, self.activation, self.init, self.norm)
        return signal_flow(*settings, seed=self.seed)

    def description(self) -> str:
        """Say std and gradient at both ends, and how much is flat or dead."""
        s = statistics(self.flow())
        ratio = s.gradient_rms[0] / s.gradient_rms[-1]
        return (
            f"{self.depth} layers of {self.width} units ({self.activation}, "
            f"{INIT_LABELS[self.init]}, normalisation: {self.norm}): std of activations "
            f"{s.std[0]:.3g} at layer 1, {s.std[-1]:.3g} at layer {self.depth}; the gradient at "
            f"layer 1 is {ratio:.3g} times that at layer {self.depth}; {s.flat.mean():.0%} of "
            f"the outputs have a slope below 0.01, {s.dead.sum()} of "
            f"{self.depth * self.width} units have so for every input."
        )

    def picture(self) -> Figure:
        """Draw the histograms of all layers, and std against layer, both ways."""
        flow = self.flow()
        s = statistics(flow)
        fig = Figure(figsize=(9.2, 4.2), layout="constrained")
        axs = fig.subplots(1, 4, sharey=True, width_ratios=(2.4, 1, 2.4, 1))
        for (left, right), layers, std, colour, name in (
            (axs[:2], flow.activations, s.std, PALETTE["blue"], "activation"),
            (axs[2:], flow.gradients, s.gradient_std, PALETTE["vermilion"], "gradient"),
        ):
            _draw_ridge(left, layers, colour)
            left.set_xlabel(name)
            _draw_std(right, std, colour)
            right.set_xlabel("std (log)")
        numbers = [n for n in range(1, self.depth + 1) if self.depth <= 12 or n == 1 or n % 5 == 0]
        axs[0].set(ylabel="layer", ylim=(self.depth + 0.5, -0.2), yticks=numbers)
        axs[0].set_title("forward, downwards")
        axs[2].set_title("backward, upwards")
        return fig


def _draw_ridge(ax: Axes, layers: np.ndarray, colour: str) -> None:
    """Draw one histogram for each layer, all on one axis, each to its own height."""
    low, high = shared_range(layers)
    edges = np.linspace(low - 0.05 * high, high * 1.05, _BINS + 1)
    rise = 0.85 if len(layers) < 6 else 1.3
    for number, values in enumerate(layers, 1):
        counts = np.histogram(values, edges)[0]
        heights = number + 0.4 - rise * counts / max(counts.max(), 1)
        ax.stairs(heights, edges, baseline=number + 0.4, fill=True, color=colour, alpha=0.35)
        ax.stairs(heights, edges, baseline=None, color=colour, linewidth=0.9)
    ax.set_xlim(edges[0], edges[-1])


def _draw_std(ax: Axes, std: np.ndarray, colour: str) -> None:
    ax.plot(np.where(std > 0, std, np.nan), np.arange(1, len(std) + 1), "o-", color=colour, ms=3)
    low, high = decades(std)
    ax.set_xscale("log")
    ax.set_xlim(low / 2, high * 2)
    ax.grid(axis="x", alpha=0.4)
    if not std.any():
        ax.text(0.5, 0.5, "all 0", transform=ax.transAxes, ha="center")
