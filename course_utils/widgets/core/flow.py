"""A deep random network: what its layers do to a signal, and to a gradient coming back.

The browser computes the same numbers from the same seeded generator, so that a seed and
the settings stand for the same network here and there. A layer is
h -> activation(norm(h W)) without biases; W has as many rows as columns. Where a network is
chaotic (tanh, large weights, many layers), rounding grows from layer to layer, so that single
outputs differ between the two while their statistics agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.special import erfc

__all__ = ["ACTIVATIONS", "BATCH", "INITS", "MAX_DEPTH", "MAX_WIDTH", "NORMS"]
__all__ += ["Activation", "Flow", "LayerStatistics", "NormalTables", "activate", "decades"]
__all__ += ["normal_tables", "run_network", "shared_range", "signal_flow", "statistics", "uniforms"]
__all__ += ["weights"]

MAX_DEPTH = 30
MAX_WIDTH = 64
BATCH = 32
FLAT = 0.01  # a slope below this lets next to no gradient through
INITS = ("zero", "small", "large", "xavier", "he", "slide", "orthogonal")
NORMS = ("none", "batch", "layer")
_EPS = 1e-5  # torch's


@dataclass(frozen=True)
class Activation:
    """The formula x, parameter -> (f, f'), and the parameter's symbol and range, if any."""

    formula: Callable
    symbol: str = ""
    default: float = 0.0
    low: float = 0.0
    high: float = 0.0


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -x))


def _tanh(x: np.ndarray, _: float) -> tuple[np.ndarray, np.ndarray]:
    f = np.tanh(x)
    return f, 1 - f**2


def _sigmoid(x: np.ndarray, _: float) -> tuple[np.ndarray, np.ndarray]:
    f = _logistic(x)
    return f, f * _logistic(-x)


def _elu(x: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    below = np.minimum(x, 0.0)
    return np.where(x > 0, x, alpha * np.expm1(below)), np.where(x > 0, 1, alpha * np.exp(below))


def _swish(x: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    s = _logistic(beta * x)
    return x * s, s + beta * x * s * _logistic(-beta * x)


def _gelu(x: np.ndarray, _: float) -> tuple[np.ndarray, np.ndarray]:
    below = 0.5 * erfc(-x / np.sqrt(2))
    return x * below, below + x * np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)


ACTIVATIONS = {
    "step": Activation(lambda x, _: (np.where(x > 0, 1.0, 0.0), np.zeros_like(x))),
    "logistic": Activation(_sigmoid),
    "tanh": Activation(_tanh),
    "relu": Activation(lambda x, _: (np.maximum(x, 0.0), np.where(x > 0, 1.0, 0.0))),
    "leaky relu": Activation(
        lambda x, gamma: (np.where(x > 0, x, gamma * x), np.where(x > 0, 1.0, gamma)),
        "γ", 0.1, 0.0, 1.0,
    ),
    "elu": Activation(_elu, "α", 1.0, 0.0, 3.0),
    "softplus": Activation(lambda x, _: (np.logaddexp(0.0, x), _logistic(x))),
    "swish": Activation(_swish, "β", 1.0, 0.0, 10.0),
    "gelu": Activation(_gelu),
}  # fmt: skip


def activate(
    name: str, x: Float[np.ndarray, "*shape"], parameter: float | None = None
) -> tuple[Float[np.ndarray, "*shape"], Float[np.ndarray, "*shape"]]:
    """Return an activation and its derivative; at a kink, the derivative from the left."""
    known = ACTIVATIONS[name]
    with np.errstate(under="ignore"):
        return known.formula(x, known.default if parameter is None else parameter)


def uniforms(seed: int, count: int) -> Float[np.ndarray, " count"]:
    """Return the first ``count`` numbers of `playground.mulberry32`, all at once.

    Its state after k draws is the seed plus k times a constant, so that the draws need
    not wait for each other.
    """
    steps = np.arange(1, count + 1, dtype=np.uint32)
    state = np.uint32(seed) + steps * np.uint32(0x6D2B79F5)
    t = (state ^ (state >> np.uint32(15))) * (state | np.uint32(1))
    t ^= t + (t ^ (t >> np.uint32(7))) * (t | np.uint32(61))
    return (t ^ (t >> np.uint32(14))) / 2**32


@dataclass(frozen=True)
class NormalTables:
    """Standard normal numbers that every network of one seed is cut from."""

    inputs: Float[np.ndarray, "batch units"]
    top: Float[np.ndarray, "batch units"]
    layers: Float[np.ndarray, "depth units units"]


@lru_cache(maxsize=4)
def normal_tables(seed: int) -> NormalTables:
    """Return the tables of a seed: a narrower or shallower network uses their first part."""
    part = BATCH * MAX_WIDTH
    first, second = uniforms(seed, 2 * part + MAX_DEPTH * MAX_WIDTH**2).reshape(-1, 2).T
    # Box and Muller (1958), two normals from each pair.
    radius = np.sqrt(-2 * np.log(1 - first))
    angle = 2 * np.pi * second
    table = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).ravel()
    inputs, top = table[: 2 * part].reshape(2, MAX_WIDTH, BATCH).transpose(0, 2, 1)
    return NormalTables(inputs, top, table[2 * part :].reshape(MAX_DEPTH, MAX_WIDTH, MAX_WIDTH))


def weights(init: str, depth: int, width: int, seed: int) -> Float[np.ndarray, "depth width width"]:
    """Return the weights of all layers; rows are inputs.

    "small" is 0.01 randn, "large" 1 randn, "xavier" randn / sqrt(fan_in), "he"
    randn * sqrt(2 / fan_in), "slide" randn / sqrt(2 / fan_in) as the lecture prints it,
    "orthogonal" the Q of a QR decomposition with a positive diagonal in R.
    """
    draws = normal_tables(seed).layers[:depth, :width, :width]
    if init == "orthogonal":
        q, r = np.linalg.qr(draws)
        return q * np.sign(np.diagonal(r, axis1=1, axis2=2))[:, None, :]
    scale = {
        "zero": 0.0,
        "small": 0.01,
        "large": 1.0,
        "xavier": 1 / np.sqrt(width),
        "he": np.sqrt(2 / width),
        "slide": 1 / np.sqrt(2 / width),
    }[init]
    return draws * scale


@dataclass(frozen=True)
class Flow:
    """Every layer's outputs, the slopes f' there, and the gradient with respect to the outputs."""

    inputs: Float[np.ndarray, "batch width"]
    activations: Float[np.ndarray, "depth batch width"]
    slopes: Float[np.ndarray, "depth batch width"]
    gradients: Float[np.ndarray, "depth batch width"]


def run_network(
    W: Float[np.ndarray, "depth width width"],
    activation: str,
    *,
    norm: str = "none",
    seed: int = 0,
    parameter: float | None = None,
) -> Flow:
    """Send a batch of normal inputs through the layers, and a random gradient of rms 1 back."""
    depth, width, _ = W.shape
    tables = normal_tables(seed)
    inputs = tables.inputs[:, :width]
    h, outputs, slopes, scaled = inputs, [], [], []
    for layer in W:
        z, deviation = _normalise(h @ layer, norm)
        h, slope = activate(activation, z, parameter)
        outputs.append(h)
        slopes.append(slope)
        scaled.append((z, deviation))
    g = tables.top[:, :width]
    gradients = [g / np.sqrt(np.mean(g**2))]
    for k in range(depth - 1, 0, -1):
        back = _back_through_norm(gradients[-1] * slopes[k], *scaled[k], norm)
        gradients.append(back @ W[k].T)
    return Flow(inputs, np.array(outputs), np.array(slopes), np.array(gradients[::-1]))


def signal_flow(
    depth: int, width: int, activation: str, init: str, norm: str, seed: int = 0
) -> Flow:
    """Return what `run_network` gives with the weights of an initialisation."""
    return run_network(weights(init, depth, width, seed), activation, norm=norm, seed=seed)


def _axis(norm: str) -> int:
    return {"batch": 0, "layer": 1}[norm]


def _normalise(z: np.ndarray, norm: str) -> tuple[np.ndarray, np.ndarray | float]:
    """Return the normalised values (z, batch by width) and what they were divided by."""
    if norm == "none":
        return z, 1.0
    axis = _axis(norm)
    centred = z - z.mean(axis=axis, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=axis, keepdims=True) + _EPS)
    return centred / deviation, deviation


def _back_through_norm(
    g: np.ndarray, z: np.ndarray, deviation: np.ndarray | float, norm: str
) -> np.ndarray:
    """Return the gradient before a normalisation that gave ``z``, from that behind it."""
    if norm == "none":
        return g
    axis = _axis(norm)
    along = np.mean(g * z, axis=axis, keepdims=True)
    return (g - g.mean(axis=axis, keepdims=True) - z * along) / deviation


@dataclass(frozen=True)
class LayerStatistics:
    """One number for each layer.

    ``spread`` is the rms of what is left when each unit's mean over the batch is taken
    off: the part that tells inputs apart. ``flat`` is the fraction of outputs whose
    slope is below 0.01, ``dead`` the number of units that are flat on every input.
    """

    mean: Float[np.ndarray, " depth"]
    std: Float[np.ndarray, " depth"]
    rms: Float[np.ndarray, " depth"]
    spread: Float[np.ndarray, " depth"]
    flat: Float[np.ndarray, " depth"]
    dead: Int[np.ndarray, " depth"]
    gradient_std: Float[np.ndarray, " depth"]
    gradient_rms: Float[np.ndarray, " depth"]


def statistics(flow: Flow) -> LayerStatistics:
    """Summarise each layer of a flow."""
    h, g, both = flow.activations, flow.gradients, (1, 2)
    is_flat = np.abs(flow.slopes) < FLAT
    return LayerStatistics(
        mean=h.mean(axis=both),
        std=h.std(axis=both),
        rms=np.sqrt(np.mean(h**2, axis=both)),
        spread=np.sqrt(np.mean((h - h.mean(axis=1, keepdims=True)) ** 2, axis=both)),
        flat=is_flat.mean(axis=both),
        dead=is_flat.all(axis=1).sum(axis=1),
        gradient_std=g.std(axis=both),
        gradient_rms=np.sqrt(np.mean(g**2, axis=both)),
    )


def shared_range(layers: Float[np.ndarray, "depth batch width"]) -> tuple[float, float]:
    """Return the ends of one axis for the histograms of all layers.

    It reaches to 3.5 times the largest rms of a layer, or to the largest value where that
    is less, rounded up to 1, 2 or 5 times a power of ten; values below 0 that are small
    beside it, as of GELU, get a fifth of that.
    """
    rms = np.sqrt(np.mean(layers**2, axis=(1, 2))).max()
    reach = min(np.abs(layers).max(), 3.5 * rms) or 1.0
    power = 10.0 ** np.floor(np.log10(reach))
    end = float(next(m * power for m in (1, 2, 5, 10) if m * power >= reach * (1 - 1e-9)))
    return (-end if layers.min() < -0.2 * end else -0.2 * end), end


def decades(values: Float[np.ndarray, " depth"]) -> tuple[float, float]:
    """Return powers of ten around the positive values, at least two decades apart."""
    positive = values[values > 0]
    if not len(positive):
        return 0.01, 1.0
    low, high = np.floor(np.log10(positive.min())), np.ceil(np.log10(positive.max()))
    return float(10.0 ** min(low, high - 2)), float(10.0**high)
