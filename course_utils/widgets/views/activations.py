"""ActivationExplorer: functions, their derivatives, and what 30 layers of them do to a signal."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from traitlets import Dict, Float, Int, List, Unicode, validate

from course_utils.figures import MARKERS, PALETTE
from course_utils.widgets.base import CourseWidget
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.flow import (
    ACTIVATIONS,
    MAX_DEPTH,
    MAX_WIDTH,
    Flow,
    activate,
    decades,
    run_network,
    statistics,
    weights,
)

__all__ = ["ActivationExplorer"]

TASK = "Which activation keeps its signal through 30 layers at gain 1? Which gain does tanh need?"
MOST = 3
REACH = 6.0  # the curves are shown from -6 to 6
GAINS = (0.1, 10.0)
# name: activations, gain, x, what it shows
PRESETS = {
    "saturates": (
        ("logistic", "tanh"), 4.0, 3.0, "large inputs: outputs rest where the slope is next to 0",
    ),
    "dies": (
        ("relu", "leaky relu"), 1.0, -1.0, "ReLU has slope 0 below 0; with a leak no unit dies",
    ),
    "smooth cousins": (
        ("relu", "swish", "gelu"), 1.0, -1.0, "near ReLU for large x, yet smooth and below 0",
    ),
    "not zero-centred": (
        ("logistic", "tanh"), 1.0, 0.0, "logistic outputs have mean 0.5, and forget the input",
    ),
    "critical gain of tanh": (
        ("tanh",), 0.707, 0.0, "below 1 / sqrt(2) the signal dies, above it stays",
    ),
}  # fmt: skip
_STYLES = (("blue", "-"), ("vermilion", "--"), ("green", "-."))


class ActivationExplorer(CourseWidget):
    """Compare activations: curves, slopes, and a signal on its way through 30 layers.

    The network has 64 units in each layer and normal weights of standard deviation
    gain * sqrt(2 / 64); its 32 inputs are standard normal.

    Parameters
    ----------
    activations
        One to three different names out of "step", "logistic", "tanh", "relu",
        "leaky relu", "elu", "softplus", "swish" and "gelu".
    gain
        Factor on He's standard deviation, 0.1 to 10.
    parameters
        By name, where another value is wanted: the slope of "leaky relu" below 0 (0 to 1,
        default 0.1), the depth of "elu" (0 to 3, default 1), the steepness of "swish"
        (0 to 10, default 1).
    x
        Where the curves are read, -6 to 6.
    layer
        The layer that the read-out describes, 1 to 30.
    seed
        Of inputs and weights, 0 to 2^32 - 1.

    Raises
    ------
    ValueError
        If an argument is unknown, out of range or not finite.
    """

    _esm = load_esm("activations.js")
    activations = List(Unicode()).tag(sync=True)
    gain = Float(1.0).tag(sync=True)
    parameters = Dict().tag(sync=True)
    x = Float(1.0).tag(sync=True)
    layer = Int(MAX_DEPTH).tag(sync=True)
    seed = Int().tag(sync=True)
    known = Dict(
        {
            name: {
                "symbol": a.symbol,
                "default": a.default,
                "low": a.low,
                "high": a.high,
                "step": 0.05 if a.high > 1 else 0.01,
            }
            for name, a in ACTIVATIONS.items()
        }
    ).tag(sync=True)
    presets = Dict().tag(sync=True)
    initial = Dict().tag(sync=True)

    def __init__(
        self,
        activations: Iterable[str] = ("relu", "tanh"),
        gain: float = 1.0,
        *,
        parameters: Mapping[str, float] | None = None,
        x: float = 1.0,
        layer: int = MAX_DEPTH,
        seed: int = 0,
        task: str = TASK,
    ) -> None:
        state = {
            "activations": [activations] if isinstance(activations, str) else list(activations),
            "gain": float(gain),
            "parameters": dict(parameters or {}),
            "x": float(x),
            "layer": layer,
            "seed": seed,
        }
        presets = {
            name: {"title": title, "activations": list(names), "gain": of, "x": at,
                   "layer": MAX_DEPTH, "parameters": {}}
            for name, (names, of, at, title) in PRESETS.items()
        }  # fmt: skip
        super().__init__(task=task, presets=presets, initial=dict(state), **state)

    @validate("activations")
    def _names_are_known(self, proposal: Any) -> list[str]:
        names = proposal["value"]
        unknown = [name for name in names if name not in ACTIVATIONS]
        if unknown:
            raise ValueError(
                f"activations must be out of {', '.join(ACTIVATIONS)}; got {unknown[0]!r}"
            )
        if not 1 <= len(names) <= MOST or len(set(names)) < len(names):
            raise ValueError(f"activations must be one to three different names; got {names}")
        return names

    @validate("parameters")
    def _parameters_are_in_range(self, proposal: Any) -> dict[str, float]:
        for name, value in proposal["value"].items():
            a = ACTIVATIONS.get(name)
            if a is None or not a.symbol:
                having = [n for n, other in ACTIVATIONS.items() if other.symbol]
                raise ValueError(f"parameters must be for {', '.join(having)}; got {name!r}")
            _between(f"parameter of {name!r}", value, a.low, a.high)
        return proposal["value"]

    @validate("gain", "x", "layer", "seed")
    def _is_in_range(self, proposal: Any) -> float:
        ranges = {
            "gain": GAINS,
            "x": (-REACH, REACH),
            "layer": (1, MAX_DEPTH),
            "seed": (0, 2**32 - 1),
        }
        name = proposal["trait"].name
        return _between(name, proposal["value"], *ranges[name])

    def flow(self, name: str) -> Flow:
        """Return what the 30 layers compute with an activation."""
        W = weights("he", MAX_DEPTH, MAX_WIDTH, self.seed) * self.gain
        return run_network(W, name, seed=self.seed, parameter=self.parameters.get(name))

    def description(self) -> str:
        """Say f, f' and the state of the shown layer for each activation."""
        parts = []
        for name in self.activations:
            (f,), (slope,) = activate(name, np.array([self.x]), self.parameters.get(name))
            s, k = statistics(self.flow(name)), self.layer - 1
            parts.append(
                f"{self._label(name)}: f = {f:.3g} and f' = {slope:.3g} at x = {self.x:.3g}; in "
                f"layer {self.layer} rms {s.rms[k]:.3g}, mean {s.mean[k]:.3g}, {s.flat[k]:.0%} of "
                f"the outputs with slope below 0.01, {s.dead[k]} of 64 units so for every input"
            )
        return f"Gain {self.gain:.3g}. " + ". ".join(parts) + "."

    def picture(self) -> Figure:
        """Draw curves and slopes, and rms and flat outputs against the layer."""
        fig = Figure(figsize=(9.0, 5.0), layout="constrained")
        (curve, signal), (slope, flat) = fig.subplots(2, 2, sharex="col")
        x, layers, sizes = np.linspace(-REACH, REACH, 601), np.arange(MAX_DEPTH + 1), []
        for name, (colour, line), marker in zip(self.activations, _STYLES, MARKERS, strict=False):
            look = {"color": PALETTE[colour], "linestyle": line, "linewidth": 1.6}
            f, df = activate(name, x, self.parameters.get(name))
            curve.plot(x, f, **look, label=self._label(name))
            slope.plot(x, df, **look)
            flow = self.flow(name)
            s = statistics(flow)
            rms = np.concatenate([[np.sqrt(np.mean(flow.inputs**2))], s.rms])
            sizes.append(rms)
            dots = {"marker": marker, "markersize": 3.5, "markevery": 3}
            signal.semilogy(layers, rms, **look, **dots)
            flat.plot(layers[1:], s.flat, **look, **dots)
            dots |= {"color": look["color"], "markerfacecolor": "white"}
            flat.plot(layers[1:], s.dead / MAX_WIDTH, ":", linewidth=1, **dots)
        low, high = decades(np.concatenate(sizes))
        signal.set(ylim=(low / 1.5, high * 1.5), ylabel="rms (log)")
        curve.set(ylabel="f(x)", ylim=(-2.2, 4.2))
        slope.set(xlabel="x", ylabel="f'(x)", ylim=(-0.3, 1.35))
        flat.set(xlabel="layer", ylabel="fraction", ylim=(-0.05, 1.05))
        flat.set_title("filled: flat outputs, open: dead units", fontsize="medium")
        curve.legend(frameon=False)
        for ax in (curve, slope):
            ax.axvline(self.x, color="#595959", linewidth=0.8)
        return fig

    def _label(self, name: str) -> str:
        known = ACTIVATIONS[name]
        if not known.symbol:
            return name
        return f"{name} ({known.symbol} = {self.parameters.get(name, known.default):.3g})"


def _between(name: str, value: float, low: float, high: float) -> float:
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"{name} must be from {low:.12g} to {high:.12g}; got {value}")
    return value
