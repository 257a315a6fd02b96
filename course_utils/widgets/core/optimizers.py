"""Race the lecture's optimizers over a function of two variables.

The notebook ``04_optimizers`` derives the update rules; ``static/optimizers.js`` holds
the same rules for the browser, and the tests compare the two.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from course_utils.landscape import TEST_FUNCTIONS, SurfaceGrid
from course_utils.widgets.core.surface import Interpolant, Scale, scale_of

__all__ = ["GRID_PRESETS", "OPTIMIZERS", "PRESETS", "Problem", "Run", "grid_problem"]
__all__ += ["named_problem", "run_optimizer"]

# Key and the name on show. AdaDelta needs no learning rate (Zeiler, 2012): its lr stays 1.
OPTIMIZERS = {
    "sgd": "SGD",
    "momentum": "Momentum",
    "nesterov": "Nesterov",
    "adagrad": "Adagrad",
    "adadelta": "AdaDelta (lr 1)",
    "rmsprop": "RMSProp",
    "rmsprop_nesterov": "RMSProp + Nesterov",
    "adam": "Adam",
    "adamw": "AdamW",
}
RHO = 0.9  # of AdaDelta, RMSProp and RMSProp + Nesterov
BETAS = (0.9, 0.999)  # of Adam and AdamW
WEIGHT_DECAY = 0.1  # of AdamW: ten times torch's default, so that the pull to (0, 0) shows
LOOKS_AHEAD = ("nesterov", "rmsprop_nesterov")
# Preset name, test function, learning rate (None: the function's own), what it teaches.
PRESETS = (
    ("ravine", "ravine", None, "steep across, flat along: the steep side limits the learning rate"),
    ("saddle", "saddle", None, "the slope vanishes at (0, 0): who leaves it first?"),
    ("plateau", "plateau", None, "almost no slope: who crosses it, who stands still?"),
    ("valley", "rosenbrock", None, "a bent valley with steep walls and a nearly flat floor"),
    ("beale", "beale", None, "steep walls at the border, a flat floor in between"),
    ("diverge", "ravine", 0.082, "just above 2 / 25, the limit of gradient descent in the ravine"),
)
# The same on a network's surface: name, factor of the first learning rate, what it teaches.
GRID_PRESETS = (
    ("network", 1.0, "a learning rate that fits the curvature of this surface"),
    ("small steps", 0.05, "a twentieth of it: who still gets down?"),
    ("large steps", 20.0, "twenty times as much: who leaves the map?"),
)
# A point this many windows away from the middle of the map counts as diverged.
REACH = 10.0

Vector = Float[np.ndarray, " 2"]


@dataclass(frozen=True)
class Problem:
    """A loss over the plane, the window to draw, and where a run ends early."""

    name: str
    value: Callable[[float, float], float]
    gradient: Callable[[float, float], Vector]
    xlim: tuple[float, float]
    ylim: tuple[float, float]
    start: tuple[float, float]
    minima: tuple[tuple[float, float], ...]
    lr: float  # the learning rate to begin with
    colours: Scale
    floor: float  # taken from the loss before it is drawn against the step
    curve: Scale
    ends: str  # what is said of a run that ends early

    def inside(self, point: Vector) -> bool:
        """Say whether a run may go on from ``point``; never for NaN."""
        reach = 0.5 if self.ends == "left the map" else REACH
        for value, (low, high) in zip(point, (self.xlim, self.ylim), strict=True):
            if not abs(value - (low + high) / 2) <= reach * (high - low) * (1 + 1e-12):
                return False
        return True


@dataclass(frozen=True)
class Run:
    """Where an optimizer went; after an early end the last point is repeated."""

    path: Float[np.ndarray, "points 2"]
    loss: Float[np.ndarray, " points"]
    stopped: int | None  # the step at which it diverged or left the map


# The operations and their order are those of static/optimizers.js: where a run hops to and fro,
# as RMSProp does at the end, rounding differences grow until they show.
def _ravine(x: float, y: float) -> tuple[float, tuple[float, float]]:
    return 0.5 * (x * x + 25 * y * y), (x, 25 * y)


def _saddle(x: float, y: float) -> tuple[float, tuple[float, float]]:
    return 0.5 * x * x - 0.5 * y * y + 0.25 * y * y * y * y, (x, y * y * y - y)


def _plateau(x: float, y: float) -> tuple[float, tuple[float, float]]:
    bump = np.exp(-(x * x + 2 * y * y) / 4)
    return 1 - bump, (x / 2 * bump, y * bump)


def _rosenbrock(x: float, y: float) -> tuple[float, tuple[float, float]]:
    a, b = 1 - x, y - x * x
    return a * a + 100 * b * b, (-2 * a - 400 * x * b, 200 * b)


def _beale(x: float, y: float) -> tuple[float, tuple[float, float]]:
    a, b, c = 1.5 - x + x * y, 2.25 - x + x * y * y, 2.625 - x + x * y * y * y
    along_x = 2 * (a * (y - 1) + b * (y * y - 1) + c * (y * y * y - 1))
    along_y = 2 * x * (a + 2 * b * y + 3 * c * y * y)
    return a * a + b * b + c * c, (along_x, along_y)


# Value and gradient, the learning rate to begin with, the scale of the colours.
_MATHS = {
    "ravine": (_ravine, 0.04, Scale(0.01, 100.0, log=True)),
    "saddle": (_saddle, 0.05, Scale(-0.25, 5.2, log=False)),
    "plateau": (_plateau, 0.1, Scale(0.0, 1.0, log=False)),
    "rosenbrock": (_rosenbrock, 0.001, Scale(0.1, 3000.0, log=True)),
    "beale": (_beale, 0.02, Scale(0.1, 1e5, log=True)),
}


def named_problem(name: str) -> Problem:
    """Return one of the five test functions, ready to race on."""
    if name not in _MATHS:
        raise ValueError(f"function must be one of {sorted(_MATHS)}; got {name!r}")
    function = TEST_FUNCTIONS[name]
    both, lr, colours = _MATHS[name]
    floor = both(*function.minimum)[0]
    top = 10 ** np.ceil(np.log10(colours.high - floor))
    return Problem(
        name=name,
        value=lambda x, y: float(both(x, y)[0]),
        gradient=lambda x, y: np.array(both(x, y)[1]),
        xlim=function.xlim,
        ylim=function.ylim,
        start=function.start,
        minima=(function.minimum, *((0.0, -1.0),) * (name == "saddle")),
        lr=lr,
        colours=colours,
        floor=float(floor),
        curve=Scale(float(top * 1e-9), float(top), log=True),
        ends="diverged",
    )


def grid_problem(grid: SurfaceGrid) -> Problem:
    """Return the smooth surface through a grid, ready to race on; runs end at its border.

    The learning rate to begin with is one over the curvature of the steeper half of the
    surface, so that plain gradient descent neither creeps nor jumps.
    """
    surface = Interpolant.of(grid)
    x0, x1, y0, y1 = surface.extent
    start = (x0 + 0.1 * (x1 - x0), y0 + 0.85 * (y1 - y0))
    colours = scale_of(grid.loss)
    return Problem(
        name="surface",
        value=surface.value,
        gradient=surface.gradient,
        xlim=(x0, x1),
        ylim=(y0, y1),
        start=(float(f"{start[0]:.4g}"), float(f"{start[1]:.4g}")),
        minima=(),
        lr=_calm_lr(grid),
        colours=colours,
        floor=0.0,
        curve=colours,
        ends="left the map",
    )


def _calm_lr(grid: SurfaceGrid) -> float:
    loss = np.asarray(grid.loss, dtype=np.float64)
    curvature = [
        np.abs(np.diff(loss, 2, axis=axis)).ravel() / np.diff(values).mean() ** 2
        for axis, values in ((1, grid.alphas), (0, grid.betas))
        if len(values) > 2
    ]
    typical = np.percentile(np.concatenate([*curvature, [0.0]]), 75)
    lr = 1 / typical if typical > 0 else 0.1
    return float(f"{min(max(lr, 1e-4), 10.0):.2g}")


@dataclass
class _State:
    lr: float
    momentum: float
    v: Vector  # velocity
    r: Vector  # running squares of the gradient
    s: Vector  # running mean of the gradient, or of the squared updates


def _sgd(state: _State, g: Vector, t: int, p: Vector) -> Vector:
    return -state.lr * g


def _momentum(state: _State, g: Vector, t: int, p: Vector) -> Vector:
    state.v = state.momentum * state.v - state.lr * g
    return state.v


def _adagrad(state: _State, g: Vector, t: int, p: Vector) -> Vector:
    state.r = state.r + g * g
    return -state.lr * g / (np.sqrt(state.r) + 1e-10)


def _adadelta(state: _State, g: Vector, t: int, p: Vector) -> Vector:
    state.r = RHO * state.r + (1 - RHO) * g * g
    change = -np.sqrt(state.s + 1e-6) / np.sqrt(state.r + 1e-6) * g
    state.s = RHO * state.s + (1 - RHO) * change * change
    return change


def _rmsprop(state: _State, g: Vector, t: int, p: Vector) -> Vector:
    state.r = RHO * state.r + (1 - RHO) * g * g
    return -state.lr * g / (np.sqrt(state.r) + 1e-8)


def _rmsprop_nesterov(state: _State, g: Vector, t: int, p: Vector) -> Vector:
    state.v = state.momentum * state.v + _rmsprop(state, g, t, p)
    return state.v


def _adam(state: _State, g: Vector, t: int, p: Vector) -> Vector:
    b1, b2 = BETAS
    state.s = b1 * state.s + (1 - b1) * g
    state.r = b2 * state.r + (1 - b2) * g * g
    s_hat, r_hat = state.s / (1 - b1**t), state.r / (1 - b2**t)
    return -state.lr * s_hat / (np.sqrt(r_hat) + 1e-8)


def _adamw(state: _State, g: Vector, t: int, p: Vector) -> Vector:
    return -state.lr * WEIGHT_DECAY * p + _adam(state, g, t, p)


# Each takes the state, the gradient, the step from 1 and the point; returns the change.
_RULES = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _momentum,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "rmsprop": _rmsprop,
    "rmsprop_nesterov": _rmsprop_nesterov,
    "adam": _adam,
    "adamw": _adamw,
}


def run_optimizer(
    name: str,
    problem: Problem,
    start: tuple[float, float],
    *,
    lr: float,
    momentum: float = 0.9,
    num_steps: int = 200,
) -> Run:
    """Return the path of one optimizer, start included, in float64.

    Nesterov and RMSProp + Nesterov take the gradient at the interim point
    ``p + momentum * v``, as on the slides; the path holds ``p``.

    Raises
    ------
    ValueError
        If there is no such optimizer.
    """
    if name not in _RULES:
        raise ValueError(f"optimizers must be among {sorted(_RULES)}; got {name!r}")
    rule = _RULES[name]
    state = _State(lr, momentum, np.zeros(2), np.zeros(2), np.zeros(2))
    p = np.array(start, dtype=np.float64)
    path = np.tile(p, (num_steps + 1, 1))
    loss = np.full(num_steps + 1, problem.value(*p))
    for t in range(1, num_steps + 1):
        at = p + momentum * state.v if name in LOOKS_AHEAD else p
        p = p + rule(state, problem.gradient(*at), t, p)
        if not problem.inside(p):
            return Run(path, loss, t)
        path[t:] = p
        loss[t:] = problem.value(*p)
    return Run(path, loss, None)
