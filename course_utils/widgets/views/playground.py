"""Playground: a network with one hidden layer, trained where it is shown."""

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from traitlets import Bytes, Float, Int, List, Unicode, validate
from traitlets import Dict as DictTrait

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget, as_bytes
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.playground import (
    ACTIVATIONS,
    DATASETS,
    NUM_TRAIN,
    PRESETS,
    Split,
    Training,
    accuracy,
    load_split,
    predict,
    train,
)

__all__ = ["Playground"]

_MAX_STEPS = 20_000
_PREVIEW_STEPS = 500  # the picture of an untrained network would show nothing
_COLOURS = LinearSegmentedColormap.from_list(
    "classes", [PALETTE["vermilion"], "#ffffff", PALETTE["blue"]]
)


class Playground(CourseWidget):
    """Train a network 2 -> width -> 1 on points in the plane, in the browser.

    The output is a sigmoid, the loss the mean cross-entropy in nats, the method
    full-batch gradient descent from seeded normal weights; settings, seed and steps
    determine the weights.

    Parameters
    ----------
    dataset
        "moons", "xor", "spirals" or "separable"; 160 points to train on, 80 held out.
    width
        Hidden units, 1 to 16.
    activation
        "tanh", "sigmoid" or "relu".
    lr
        Learning rate, above 0 and at most 100.
    seed
        Of the starting weights, 0 to 2^32 - 1.
    steps
        Gradient steps taken when the widget opens, up to 20,000.
    """

    _esm = load_esm("playground.js")
    dataset = Unicode().tag(sync=True)
    width = Int().tag(sync=True)
    activation = Unicode().tag(sync=True)
    lr = Float().tag(sync=True)
    seed = Int().tag(sync=True)
    steps = Int(help="gradient steps taken").tag(sync=True)
    first_dataset = Unicode().tag(sync=True)
    first_width = Int().tag(sync=True)
    first_activation = Unicode().tag(sync=True)
    first_lr = Float().tag(sync=True)
    first_seed = Int().tag(sync=True)
    first_steps = Int().tag(sync=True)
    points = Bytes(help="rows x1, x2, target of every data set, as float32").tag(sync=True)
    dataset_names = List(Unicode()).tag(sync=True)
    num_points = Int(help="in each data set; the first num_train are for training").tag(sync=True)
    num_train = Int(NUM_TRAIN).tag(sync=True)
    activations = List(Unicode()).tag(sync=True)
    presets = List(DictTrait()).tag(sync=True)

    def __init__(
        self,
        dataset: str = "moons",
        width: int = 4,
        activation: str = "tanh",
        lr: float = 0.1,
        seed: int = 0,
        *,
        steps: int = 0,
        **kwargs: Any,
    ) -> None:
        tables = [_as_table(load_split(name)) for name in DATASETS]
        start = {
            "dataset": dataset,
            "width": width,
            "activation": activation,
            "lr": float(lr),
            "seed": seed,
            "steps": steps,
        }
        super().__init__(
            task="Which shapes can the boundary take with 1, 2, 3 units? "
            "And at which learning rate does the loss stop falling?",
            points=b"".join(as_bytes(table) for table in tables),
            dataset_names=list(DATASETS),
            num_points=len(tables[0]),
            activations=list(ACTIVATIONS),
            presets=[asdict(preset) for preset in PRESETS],
            **start,
            **{f"first_{name}": value for name, value in start.items()},
            **kwargs,
        )

    @validate("dataset")
    def _dataset_is_known(self, proposal: Any) -> str:
        return _one_of("dataset", proposal["value"], DATASETS)

    @validate("activation")
    def _activation_is_known(self, proposal: Any) -> str:
        return _one_of("activation", proposal["value"], ACTIVATIONS)

    @validate("width", "seed", "steps")
    def _whole_number_in_range(self, proposal: Any) -> int:
        name = proposal["trait"].name
        low, high = {"width": (1, 16), "seed": (0, 2**32 - 1), "steps": (0, _MAX_STEPS)}[name]
        if not low <= proposal["value"] <= high:
            raise ValueError(f"{name} must be from {low} to {high}; got {proposal['value']}")
        return proposal["value"]

    @validate("lr")
    def _lr_is_positive(self, proposal: Any) -> float:
        lr = proposal["value"]
        if not (math.isfinite(lr) and 0 < lr <= 100):
            raise ValueError(f"lr must be above 0 and at most 100; got {lr}")
        return lr

    def training(self, steps: int | None = None) -> Training:
        """Return the network and its losses after ``steps`` (None: those taken so far)."""
        taken = self.steps if steps is None else steps
        return train(
            self.width, self.activation, self.lr, self.seed, taken, load_split(self.dataset)
        )

    def description(self) -> str:
        data, run, taken = load_split(self.dataset), self._shown(), self._shown_steps()
        right = [
            accuracy(run.network, self.activation, X, y)
            for X, y in ((data.X_train, data.y_train), (data.X_held, data.y_held))
        ]
        return (
            f"Network 2-{self.width}-1 ({self.activation}) on {self.dataset} after {taken} steps "
            f"at learning rate {self.lr:g} from seed {self.seed}: training loss "
            f"{run.train_loss[-1]:.3g} nats, held out {run.held_loss[-1]:.3g}; accuracy "
            f"{right[0]:.1%} in training, {right[1]:.1%} held out."
        )

    def picture(self) -> Figure:
        data, run = load_split(self.dataset), self._shown()
        fig = Figure(figsize=(8, 3.6), layout="constrained")
        left, right = fig.subplots(1, 2)
        _draw_surface(left, run, self.activation, data)
        left.set_title(f"{self.dataset}, {self.width} units, {self._shown_steps()} steps")
        right.semilogy(run.train_loss, color=PALETTE["black"], label="training")
        right.semilogy(run.held_loss, color=PALETTE["green"], linestyle="--", label="held out")
        right.set(xlabel="step", ylabel="loss (nats), logarithmic")
        right.legend(frameon=False)
        return fig

    def _shown_steps(self) -> int:
        return self.steps or _PREVIEW_STEPS

    def _shown(self) -> Training:
        return self.training(self._shown_steps())


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}; got {value!r}")
    return value


def _as_table(data: Split) -> np.ndarray:
    """Return rows x1, x2, target: first the training points, then the held-out ones."""
    X = np.concatenate([data.X_train, data.X_held])
    return np.column_stack([X, np.concatenate([data.y_train, data.y_held])])


def _draw_surface(ax: Axes, run: Training, activation: str, data: Split) -> None:
    """Draw p(class 1) over the plane, the line p = 0.5, and both sets of points."""
    everything = np.concatenate([data.X_train, data.X_held])
    low, high = everything.min(axis=0) - 0.3, everything.max(axis=0) + 0.3
    x, y = np.linspace(low[0], high[0], 120), np.linspace(low[1], high[1], 120)
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    with np.errstate(all="ignore"):
        logits = predict(run.network, activation, grid.reshape(-1, 2))[1].reshape(120, 120)
        probs = 1 / (1 + np.exp(-logits))
    mesh = ax.pcolormesh(x, y, probs, cmap=_COLOURS, vmin=0, vmax=1, alpha=0.6, rasterized=True)
    ax.figure.colorbar(mesh, ax=ax, label="p(class 1)")
    if np.isfinite(logits).all() and logits.min() < 0 < logits.max():
        ax.contour(x, y, logits, levels=[0.0], colors="black", linewidths=1.5)
    for target, marker, colour in ((1, "o", PALETTE["blue"]), (0, "s", PALETTE["vermilion"])):
        ax.scatter(*data.X_train[data.y_train == target].T, marker=marker, color=colour, s=12)
        ax.scatter(
            *data.X_held[data.y_held == target].T,
            marker=marker, facecolor="white", edgecolor=colour, s=12,
        )  # fmt: skip
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
