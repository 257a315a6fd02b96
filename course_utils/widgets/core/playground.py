"""A network with one hidden layer on points in the plane, trained by gradient descent.

``Playground`` trains the same network in the browser from the same seeded generator, so
that a seed and a number of steps stand for the same weights here and there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from course_utils.data import make_moons, make_separable, make_spirals, make_xor

__all__ = ["ACTIVATIONS", "DATASETS", "PRESETS", "Network", "Preset", "Split", "Training"]
__all__ += ["accuracy", "dead_units", "initial_network", "load_split", "loss_and_gradients"]
__all__ += ["mulberry32", "predict", "train"]

DATASETS = ("moons", "xor", "spirals", "separable")
ACTIVATIONS = ("tanh", "sigmoid", "relu")
NUM_TRAIN = 160
NUM_HELD_OUT = 80
_WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Preset:
    """A setting that shows one thing, and how many steps it takes to show it."""

    name: str
    title: str
    dataset: str
    width: int
    activation: str
    lr: float
    seed: int
    steps: int


PRESETS = (
    Preset("one unit cannot", "one hidden unit: a straight boundary, however long you train",
           "xor", 1, "tanh", 0.5, 0, 600),
    Preset("two lines", "two units can do it, from most starts: try other seeds",
           "xor", 2, "tanh", 0.5, 0, 600),
    Preset("too fast", "a learning rate at which the loss jumps",
           "moons", 4, "tanh", 30.0, 5, 200),
    Preset("spiral needs width", "four units are not enough: raise the width",
           "spirals", 4, "tanh", 1.0, 0, 3000),
    Preset("dead relu", "large steps switch units off for good",
           "xor", 8, "relu", 10.0, 5, 150),
)  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Points with targets 0 and 1, to train on and to hold out."""

    X_train: Float[np.ndarray, "n 2"]
    y_train: Int[np.ndarray, " n"]
    X_held: Float[np.ndarray, "m 2"]
    y_held: Int[np.ndarray, " m"]


@dataclass
class Network:
    """Weights of 2 -> width -> 1; also the form in which gradients come."""

    W1: Float[np.ndarray, "2 width"]
    b1: Float[np.ndarray, " width"]
    W2: Float[np.ndarray, " width"]
    b2: float


@dataclass(frozen=True)
class Training:
    """A trained network and the losses (nats) after 0, 1, ... steps."""

    network: Network
    train_loss: Float[np.ndarray, " steps_and_start"]
    held_loss: Float[np.ndarray, " steps_and_start"]


@cache
def load_split(name: str) -> Split:
    """Return a data set by name; the points are the same at every call, rounded to float32.

    Raises
    ------
    ValueError
        If there is no such data set.
    """
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}; got {name!r}")
    rng, count = np.random.default_rng(0), NUM_TRAIN + NUM_HELD_OUT
    X, y = {
        "moons": lambda: make_moons(count, rng=rng, noise=0.15),
        "xor": lambda: make_xor(count, rng=rng),
        "spirals": lambda: make_spirals(count, rng=rng),
        "separable": lambda: make_separable(count, rng=rng, margin=0.1),
    }[name]()
    X = X.astype(np.float32).astype(np.float64)
    return Split(X[:NUM_TRAIN], y[:NUM_TRAIN], X[NUM_TRAIN:], y[NUM_TRAIN:])


def mulberry32(seed: int) -> Iterator[float]:
    """Yield uniform numbers in [0, 1) from a 32-bit generator that JavaScript can repeat."""
    state = seed & _WORD
    while True:
        state = (state + 0x6D2B79F5) & _WORD
        t = ((state ^ (state >> 15)) * (state | 1)) & _WORD
        t ^= (t + (t ^ (t >> 7)) * (t | 61)) & _WORD
        yield (t ^ (t >> 14)) / 2**32


def initial_network(width: int, seed: int) -> Network:
    """Return normal weights of standard deviation sqrt(2 / fan-in), and zero biases."""
    uniform = mulberry32(seed)
    # Box and Muller (1958), one normal from each pair.
    draws = [
        np.sqrt(-2 * np.log(1 - next(uniform))) * np.cos(2 * np.pi * next(uniform))
        for _ in range(3 * width)
    ]
    W1 = np.array(draws[: 2 * width]).reshape(2, width)
    W2 = np.array(draws[2 * width :]) * np.sqrt(2 / width)
    return Network(W1, np.zeros(width), W2, 0.0)


def predict(
    network: Network, activation: str, X: Float[np.ndarray, "n 2"]
) -> tuple[Float[np.ndarray, "n width"], Float[np.ndarray, " n"]]:
    """Return what the hidden units compute, and the output's logits."""
    z = X @ network.W1 + network.b1
    if activation == "relu":
        hidden = np.maximum(z, 0.0)
    else:
        hidden = np.tanh(z) if activation == "tanh" else 1 / (1 + np.exp(-z))
    return hidden, hidden @ network.W2 + network.b2


def loss_and_gradients(
    network: Network, activation: str, X: Float[np.ndarray, "n 2"], y: Int[np.ndarray, " n"]
) -> tuple[float, Network]:
    """Return the mean cross-entropy (nats) of the sigmoid output, and its gradients."""
    hidden, logits = predict(network, activation, X)
    loss = float(np.mean(np.logaddexp(0.0, logits) - y * logits))
    delta = (1 / (1 + np.exp(-logits)) - y) / len(X)
    slope = {"tanh": 1 - hidden**2, "sigmoid": hidden * (1 - hidden), "relu": hidden > 0}
    back = delta[:, None] * network.W2 * slope[activation]  # (n, width)
    gradients = Network(X.T @ back, back.sum(axis=0), hidden.T @ delta, float(delta.sum()))
    return loss, gradients


def train(width: int, activation: str, lr: float, seed: int, steps: int, data: Split) -> Training:
    """Return the network after ``steps`` full-batch gradient steps from ``seed``."""
    network = initial_network(width, seed)
    losses = np.empty((steps + 1, 2))
    # A learning rate that is too large may overflow; the losses then say so.
    with np.errstate(all="ignore"):
        for step in range(steps + 1):
            loss, gradients = loss_and_gradients(network, activation, data.X_train, data.y_train)
            losses[step] = loss, _loss(network, activation, data.X_held, data.y_held)
            if step < steps:
                network.W1 -= lr * gradients.W1
                network.b1 -= lr * gradients.b1
                network.W2 -= lr * gradients.W2
                network.b2 -= lr * gradients.b2
    return Training(network, losses[:, 0], losses[:, 1])


def accuracy(
    network: Network, activation: str, X: Float[np.ndarray, "n 2"], y: Int[np.ndarray, " n"]
) -> float:
    """Return the fraction of points on the right side of p = 0.5; the line itself is class 1."""
    return float(np.mean((predict(network, activation, X)[1] >= 0) == (y == 1)))


def dead_units(network: Network, X: Float[np.ndarray, "n 2"]) -> list[int]:
    """Return the ReLU units that are 0 on every point, so that no gradient reaches them."""
    return np.flatnonzero(predict(network, "relu", X)[0].max(axis=0) <= 0).tolist()


def _loss(network: Network, activation: str, X: np.ndarray, y: np.ndarray) -> float:
    logits = predict(network, activation, X)[1]
    return float(np.mean(np.logaddexp(0.0, logits) - y * logits))
