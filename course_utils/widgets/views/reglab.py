"""RegularizationLab: a network that overfits, and seven regularisers to act on it."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from traitlets import Bytes, Int, Unicode, validate
from traitlets import Dict as DictTrait

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget, as_bytes
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.playground import predict
from course_utils.widgets.core.reglab import (
    DATASETS,
    EVERY,
    LR,
    NUM_STEPS,
    NUM_TRAIN,
    NUM_VALIDATION,
    PRESETS,
    REGULARISERS,
    WIDTH,
    Run,
    load_points,
    train,
)

__all__ = ["RegularizationLab"]

TASK = "Which regulariser and strength give the least held-out loss? Can two together do better?"
_COLOURS = LinearSegmentedColormap.from_list(
    "classes", [PALETTE["vermilion"], "#ffffff", PALETTE["blue"]]
)


class RegularizationLab(CourseWidget):
    """Train a network 2 -> 32 -> 1 (ReLU) on 40 noisy points under regularisers.

    Full-batch gradient descent on the mean cross-entropy (nats), 3,000 steps at learning
    rate 0.2 from seeded weights. Weights are penalised, biases are not. 40 more points
    decide when early stopping ends the run; 200 are held out.

    Parameters
    ----------
    dataset
        "moons", "xor" or "blobs".
    regulariser
        Whose strength the slider sets: "l2", "l1", "input noise", "weight noise",
        "label smoothing", "dropout" or "early stopping".
    strength
        Of that regulariser, 0 for off: the factor of the penalty, the noise's standard
        deviation, the targets' distance from 0 and 1, the drop rate, or the patience in
        steps.
    others
        Strengths of further regularisers that act at the same time.
    step
        The training step on show, a multiple of 20 up to 3000.

    Raises
    ------
    ValueError
        If a name is unknown, or a number out of range or not finite.
    """

    _esm = load_esm("reglab.js")
    dataset = Unicode("moons").tag(sync=True)
    regulariser = Unicode("l2").tag(sync=True)
    strengths = DictTrait().tag(sync=True)
    step = Int(NUM_STEPS).tag(sync=True)
    points = Bytes(help="rows x1, x2, target of every data set, as float32").tag(sync=True)
    facts = DictTrait(help="names, sizes and steps that do not change").tag(sync=True)
    presets = DictTrait().tag(sync=True)
    initial = DictTrait().tag(sync=True)

    def __init__(
        self,
        dataset: str = "moons",
        regulariser: str = "l2",
        strength: float = 0.0,
        *,
        others: Mapping[str, float] | None = None,
        step: int = NUM_STEPS,
        task: str = TASK,
    ) -> None:
        _one_of("regulariser", regulariser, REGULARISERS)
        start = {
            "dataset": dataset,
            "regulariser": regulariser,
            "strengths": _checked({**(others or {}), regulariser: strength}),
            "step": step,
        }
        super().__init__(
            task=task,
            points=b"".join(as_bytes(_as_table(name)) for name in DATASETS),
            facts=_facts(),
            presets=_presets(),
            initial=dict(start),
            **start,
        )

    @validate("dataset")
    def _dataset_is_known(self, proposal: Any) -> str:
        return _one_of("dataset", proposal["value"], DATASETS)

    @validate("regulariser")
    def _regulariser_is_known(self, proposal: Any) -> str:
        return _one_of("regulariser", proposal["value"], REGULARISERS)

    @validate("strengths")
    def _strengths_are_in_range(self, proposal: Any) -> dict[str, float]:
        return _checked(proposal["value"])

    @validate("step")
    def _step_was_looked_at(self, proposal: Any) -> int:
        step = proposal["value"]
        if not 0 <= step <= NUM_STEPS or step % EVERY:
            raise ValueError(f"step must be a multiple of {EVERY}, 0 to {NUM_STEPS}; got {step}")
        return step

    def training(self) -> Run:
        """Return the run under the strengths now set."""
        return train(self.dataset, self.strengths)

    def description(self) -> str:
        """Say which regularisers act, both losses, their gap, and what the weights did."""
        run, look = self.training(), self.step // EVERY
        w, (fit, _, held) = run.penalised(look), run.losses[look]
        ended = ""
        if run.stopped is not None:
            ended = f" Stopped at step {run.stopped * EVERY}, kept step {run.kept * EVERY}."
        return (
            f"Network 2-{WIDTH}-1 on {self.dataset} with {self._acting()}, step {self.step}: "
            f"training loss {fit:.3g} nats, held out {held:.3g}, generalisation gap "
            f"{held - fit:.3g}; {int((w == 0).sum())} of {len(w)} weights exactly 0, mean size "
            f"{np.abs(w).mean():.3g}.{ended}"
        )

    def picture(self) -> Figure:
        """Draw the decision surface, both losses, and the weights by size."""
        run, plain = self.training(), train(self.dataset, {})
        look = self.step // EVERY
        fig = Figure(figsize=(10.0, 3.5), layout="constrained")
        left, middle, right = fig.subplots(1, 3)
        _draw_surface(left, run, look, self.dataset)
        steps = np.arange(len(run.losses)) * EVERY
        middle.plot(steps, run.losses[:, 0], color=PALETTE["black"], label="training")
        held = {"color": PALETTE["green"], "linestyle": "--"}
        middle.plot(steps, run.losses[:, 2], **held, label="held out")
        grey = {"color": "#767676", "linestyle": ":", "label": "no regulariser"}
        middle.plot(steps, plain.losses[:, 2], **grey | {"label": "held out without"})
        middle.axvline(self.step, color="#767676", linewidth=0.8)
        middle.set(xlabel="step", ylabel="loss (nats)", ylim=(0, None))
        middle.set_title(f"gap {run.losses[look, 2] - run.losses[look, 0]:.3g}")
        sizes = np.sort(np.abs(run.penalised(look)))[::-1]
        right.bar(np.arange(len(sizes)), sizes, width=1.0, color=PALETTE["blue"])
        right.plot(np.sort(np.abs(plain.penalised(look)))[::-1], **grey)
        right.set(xlabel="weights, by size", ylabel="size |w|")
        right.set_title(f"{int((sizes == 0).sum())} of {len(sizes)} exactly 0")
        for ax in (middle, right):
            ax.legend(frameon=False, fontsize=8)
        fig.suptitle(f"{self.dataset}, {self._acting()}, step {self.step}", fontsize=11)
        return fig

    def _acting(self) -> str:
        parts = [
            f"{name} {REGULARISERS[name].symbol} = {value:g}"
            for name, value in self.strengths.items()
            if value
        ]
        return ", ".join(parts) or "no regulariser"


def _one_of(name: str, value: str, known: Any) -> str:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    return value


def _checked(strengths: Mapping[str, Any]) -> dict[str, float]:
    """Return every regulariser's strength, in order, or raise ValueError."""
    for name in strengths:
        _one_of("regulariser", name, REGULARISERS)
    checked = {}
    for name, known in REGULARISERS.items():
        value = float(strengths.get(name, 0.0))
        if not (math.isfinite(value) and 0 <= value <= known.most):
            raise ValueError(
                f"strength of {name!r} ({known.symbol}) must be from 0 to {known.most:g}; "
                f"got {value:g}. Try {known.values[len(known.values) // 2]:g}"
            )
        checked[name] = value
    return checked


def _facts() -> dict:
    return {
        "datasets": list(DATASETS),
        "regularisers": {name: asdict(known) for name, known in REGULARISERS.items()},
        "sizes": [NUM_TRAIN, NUM_VALIDATION, len(load_points(DATASETS[0]).y)],
        "width": WIDTH,
        "lr": LR,
        "num_steps": NUM_STEPS,
        "every": EVERY,
    }


def _presets() -> dict[str, dict]:
    return {
        preset.name: {
            "title": preset.title,
            "regulariser": preset.regulariser,
            "strengths": _checked(preset.strengths),
            "step": NUM_STEPS,
        }
        for preset in PRESETS
    }


def _as_table(name: str) -> np.ndarray:
    """Return rows x1, x2, target: training, validation, held-out points."""
    points = load_points(name)
    return np.column_stack([points.X, points.y])


def _draw_surface(ax: Axes, run: Run, look: int, dataset: str) -> None:
    """Draw p(class 1), the line p = 0.5, the training points and, open, those held out."""
    points, network = load_points(dataset), run.network(look)
    low, high = points.X.min(axis=0) - 0.3, points.X.max(axis=0) + 0.3
    x, y = np.linspace(low[0], high[0], 100), np.linspace(low[1], high[1], 100)
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    logits = predict(network, "relu", grid)[1].reshape(100, 100)
    probs = 0.5 + 0.5 * np.tanh(logits / 2)
    mesh = ax.pcolormesh(x, y, probs, cmap=_COLOURS, vmin=0, vmax=1, alpha=0.6, rasterized=True)
    ax.figure.colorbar(mesh, ax=ax, label="p(class 1)")
    if logits.min() < 0 < logits.max():
        ax.contour(x, y, logits, levels=[0.0], colors="black", linewidths=1.5)
    first, _, last = points.parts
    for target, marker, colour in ((1, "o", PALETTE["blue"]), (0, "s", PALETTE["vermilion"])):
        for part, fill, size in ((last, "white", 7), (first, colour, 22)):
            X = points.X[part][points.y[part] == target]
            ax.scatter(*X.T, marker=marker, facecolor=fill, edgecolor=colour, s=size, lw=0.7)
    ax.set(xlabel="$x_1$", ylabel="$x_2$")
