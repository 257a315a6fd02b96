"""Seven regularisers on a small network that overfits, trained by gradient descent.

``RegularizationLab`` trains the same network in the browser from the same seeded
generator, so that the settings stand for the same weights here and there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from course_utils.data import make_moons, make_xor
from course_utils.widgets.core.playground import Network, initial_network, predict

__all__ = ["DATASETS", "EVERY", "LR", "NUM_STEPS", "NUM_TRAIN", "NUM_VALIDATION", "PRESETS"]
__all__ += ["REGULARISERS", "WIDTH", "Points", "Preset", "Regulariser", "Run", "gradients"]
__all__ += ["load_points", "mean_loss", "normals", "soft_threshold", "stream", "train", "uniforms"]

WIDTH = 32
LR = 0.2
NUM_STEPS = 3000
EVERY = 20  # steps between two looks at the losses
NUM_TRAIN, NUM_VALIDATION, NUM_HELD_OUT = 40, 40, 200
_WORD = 0xFFFFFFFF
_STREAMS = {"input noise": 0x3C6EF372, "weight noise": 0x78DDE6E4, "dropout": 0xB54CDA56}


@dataclass(frozen=True)
class Regulariser:
    """What a strength means, the strengths a slider offers (0 is off), and the greatest."""

    symbol: str
    title: str
    values: tuple[float, ...]
    most: float


_PENALTIES = (0.0, 1e-4, 3e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
_TENTHS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
REGULARISERS = {
    "l2": Regulariser("λ", "each step also shrinks every weight by the factor 1 − ηλ",
                      (*_PENALTIES, 0.2), 1.0),
    "l1": Regulariser("λ", "each step also moves every weight by ηλ towards 0, not past it",
                      _PENALTIES, 1.0),
    "input noise": Regulariser("σ", "each step sees the points moved by fresh normal noise",
                               (*_TENTHS, 0.6, 0.8, 1.0), 2.0),
    "weight noise": Regulariser("σ", "each step takes its gradient at randomly moved weights",
                                (*_TENTHS, 0.6, 0.8, 1.0), 2.0),
    "label smoothing": Regulariser("ε", "the targets are ε and 1 − ε",
                                   (0.0, 0.01, 0.02, 0.03, *_TENTHS[1:-1]), 0.49),
    "dropout": Regulariser("p", "each step drops a hidden unit with probability p",
                           (*_TENTHS, 0.6, 0.7, 0.8, 0.9), 0.95),
    "early stopping": Regulariser("patience", "stop when the validation loss has found no new "
                                  "least value for this many steps, and go back to the least",
                                  (0.0, 1000.0, 500.0, 300.0, 200.0, 100.0, 60.0, 40.0, 20.0),
                                  3000.0),
}  # fmt: skip


@dataclass(frozen=True)
class Preset:
    """A setting that shows one thing; strengths left out are 0."""

    name: str
    title: str
    regulariser: str
    strengths: dict[str, float]


PRESETS = (
    Preset("overfit", "no regulariser: the training loss falls, the held-out loss rises", "l2", {}),
    Preset("weight decay", "all weights shrink, none is exactly 0", "l2", {"l2": 0.01}),
    Preset("exact zeros", "most weights become exactly 0", "l1", {"l1": 0.005}),
    Preset("stop early", "keep the weights of the least validation loss",
           "early stopping", {"early stopping": 200.0}),
    Preset("dropout", "half of the hidden units are dropped at each step",
           "dropout", {"dropout": 0.5}),
    Preset("too much", "a penalty so strong that the network cannot fit",
           "l2", {"l2": 0.2}),
)  # fmt: skip


@dataclass(frozen=True)
class Points:
    """Points with targets 0 and 1: to train on, to decide when to stop, to hold out."""

    X: Float[np.ndarray, "n 2"]
    y: Int[np.ndarray, " n"]

    @property
    def parts(self) -> tuple[slice, slice, slice]:
        """Return which rows are for training, validation, and held out."""
        first, second = NUM_TRAIN, NUM_TRAIN + NUM_VALIDATION
        return slice(0, first), slice(first, second), slice(second, None)


@dataclass(frozen=True)
class Run:
    """A training run, looked at every `EVERY` steps.

    Attributes
    ----------
    weights
        W1 row by row, b1, W2, b2 at each look.
    losses
        Mean cross-entropy (nats) in training, validation and held out.
    stopped, kept
        Where early stopping ended the run, and whose weights it kept; looks, or None.
        From there on the kept weights and losses are repeated.
    """

    weights: Float[np.ndarray, "looks parameters"]
    losses: Float[np.ndarray, "looks 3"]
    stopped: int | None
    kept: int | None

    def network(self, look: int) -> Network:
        """Return the network at a look."""
        row, n = self.weights[look], WIDTH
        return Network(row[: 2 * n].reshape(2, n), row[2 * n : 3 * n], row[3 * n : -1], row[-1])

    def penalised(self, look: int) -> Float[np.ndarray, " count"]:
        """Return the weights without the biases."""
        row = self.weights[look]
        return np.concatenate([row[: 2 * WIDTH], row[3 * WIDTH : -1]])


def _blobs(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two normal clouds that overlap; the best boundary is the line x1 + x2 = 0."""
    y = np.arange(count) % 2
    return rng.normal(size=(count, 2)) + 0.8 * (2 * y[:, None] - 1), y


# Each with the seed of its points, chosen so that the network overfits them visibly.
_MAKERS = {
    "moons": (57, lambda count, rng: make_moons(count, rng=rng, noise=0.35)),
    "xor": (35, lambda count, rng: make_xor(count, rng=rng, noise=0.6)),
    "blobs": (18, _blobs),
}
DATASETS = tuple(_MAKERS)


@cache
def load_points(name: str) -> Points:
    """Return a data set by name; the same points at every call, rounded to float32.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}; got {name!r}")
    count = NUM_TRAIN + NUM_VALIDATION + NUM_HELD_OUT
    seed, make = _MAKERS[name]
    X, y = make(count, np.random.default_rng(seed))
    return Points(X.astype(np.float32).astype(np.float64), y)


def stream(seed: int, name: str) -> int:
    """Return the seed of a regulariser's own random numbers."""
    return (seed + _STREAMS[name]) & _WORD


def uniforms(seed: int, start: int, count: int) -> Float[np.ndarray, " count"]:
    """Return numbers ``start`` to ``start + count`` of `mulberry32`, all at once."""
    k = np.arange(start + 1, start + count + 1, dtype=np.uint64)
    word = np.uint64(_WORD)
    state = (np.uint64(seed) + k * np.uint64(0x6D2B79F5)) & word
    t = ((state ^ (state >> np.uint64(15))) * (state | np.uint64(1))) & word
    t ^= (t + (t ^ (t >> np.uint64(7))) * (t | np.uint64(61))) & word
    return (t ^ (t >> np.uint64(14))) / 2.0**32


def normals(seed: int, start: int, count: int) -> Float[np.ndarray, " count"]:
    """Return normal numbers, one from each pair of uniform ones (Box and Muller, 1958)."""
    u = uniforms(seed, 2 * start, 2 * count).reshape(count, 2)
    return np.sqrt(-2 * np.log(1 - u[:, 0])) * np.cos(2 * np.pi * u[:, 1])


def gradients(
    network: Network,
    X: Float[np.ndarray, "n 2"],
    targets: Float[np.ndarray, " n"],
    kept: Bool[np.ndarray, "n width"] | None = None,
    drop: float = 0.0,
) -> Network:
    """Return the gradients of the mean cross-entropy of a ReLU network.

    ``kept`` says which hidden units stay at each point; those are divided by
    ``1 - drop``, so that their mean is that of the whole network.
    """
    hidden = np.maximum(X @ network.W1 + network.b1, 0.0)
    gate = (hidden > 0).astype(float) if kept is None else (hidden > 0) * kept / (1 - drop)
    hidden = hidden * gate
    delta = (1 / (1 + np.exp(-(hidden @ network.W2 + network.b2))) - targets) / len(X)
    back = delta[:, None] * network.W2 * gate
    return Network(X.T @ back, back.sum(axis=0), hidden.T @ delta, float(delta.sum()))


def soft_threshold(w: Float[np.ndarray, "*shape"], by: float) -> Float[np.ndarray, "*shape"]:
    """Return ``w`` moved towards 0 by ``by``, and exactly 0 where that would cross it."""
    return np.sign(w) * np.maximum(np.abs(w) - by, 0.0)


def train(dataset: str, strengths: Mapping[str, float], seed: int = 0) -> Run:
    """Return `NUM_STEPS` full-batch steps under all regularisers whose strength is not 0."""
    active = {name: value for name, value in sorted(strengths.items()) if value}
    return _train(dataset, tuple(active.items()), seed)


@lru_cache(maxsize=64)
def _train(dataset: str, strengths: tuple[tuple[str, float], ...], seed: int) -> Run:
    points, strength = load_points(dataset), dict(strengths)
    network, looks = initial_network(WIDTH, seed), NUM_STEPS // EVERY
    patience = strength.get("early stopping", 0.0) / EVERY
    weights, losses = np.empty((looks + 1, 4 * WIDTH + 1)), np.empty((looks + 1, 3))
    best = 0
    for look in range(looks + 1):
        weights[look] = np.concatenate([np.ravel(v) for v in vars(network).values()])
        losses[look] = [mean_loss(network, points.X[p], points.y[p]) for p in points.parts]
        if losses[look, 1] < losses[best, 1]:
            best = look
        elif patience and look - best >= patience:
            weights[look:], losses[look:] = weights[best], losses[best]
            return Run(weights, losses, look, best)
        if look < looks:
            for step in range(look * EVERY, (look + 1) * EVERY):
                _step(network, points, strength, seed, step)
    if patience:
        weights[-1], losses[-1] = weights[best], losses[best]
    return Run(weights, losses, None, best if patience else None)


def _step(network: Network, points: Points, strength: dict, seed: int, step: int) -> None:
    """Take one step in place."""
    X, y = points.X[:NUM_TRAIN], points.y[:NUM_TRAIN].astype(float)
    get = strength.get
    here, kept = network, None
    if sigma := get("input noise"):
        moved = normals(stream(seed, "input noise"), X.size * step, X.size)
        X = X + sigma * moved.reshape(X.shape)
    if sigma := get("weight noise"):
        moved = sigma * normals(stream(seed, "weight noise"), 3 * WIDTH * step, 3 * WIDTH)
        first = network.W1 + moved[: 2 * WIDTH].reshape(2, WIDTH)
        here = Network(first, network.b1, network.W2 + moved[2 * WIDTH :], network.b2)
    if drop := get("dropout", 0.0):
        size = WIDTH * NUM_TRAIN
        kept = uniforms(stream(seed, "dropout"), size * step, size).reshape(-1, WIDTH) >= drop
    smooth = get("label smoothing", 0.0)
    g = gradients(here, X, y * (1 - 2 * smooth) + smooth, kept, drop)
    for name in ("W1", "W2"):
        w = getattr(network, name)
        w = w - LR * (getattr(g, name) + get("l2", 0.0) * w)
        setattr(network, name, soft_threshold(w, LR * strength["l1"]) if get("l1") else w)
    network.b1 = network.b1 - LR * g.b1
    network.b2 = network.b2 - LR * g.b2


def mean_loss(network: Network, X: Float[np.ndarray, "n 2"], y: Int[np.ndarray, " n"]) -> float:
    """Return the mean cross-entropy (nats) against hard targets, without noise or dropout."""
    logits = predict(network, "relu", X)[1]
    return float(np.mean(np.logaddexp(0.0, logits) - y * logits))
