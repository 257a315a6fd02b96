"""Learning-rate schedules, and what they do to minibatch SGD on a noisy quadratic.

The notebook ``04_optimizers`` derives them; ``static/schedules.js`` holds the same
formulas for the browser.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["NUM_STEPS", "SCHEDULES", "Descent", "Schedule", "constant_floor", "learning_rates"]
__all__ += ["noise_table", "noisy_descent", "tail_mean"]

NUM_STEPS = 420  # three cycles of 60, 120 and 240 steps with warm restarts
# The quadratic: half the sum of curvature times squared distance, ten directions with
# curvatures 0.1 to 10, so the learning rate has its limit at 2 / 10.
CURVATURES = np.logspace(-1, 1, 10)
NOISE = 0.1  # standard deviation of a minibatch's minimum about the true one, each direction
TAIL = 40  # steps over which the final loss is averaged
EXPLODED = 1e6  # a loss so many times the first one counts as diverged


@dataclass(frozen=True)
class Schedule:
    """What the one shape parameter of a schedule means, and its range."""

    label: str
    low: float
    high: float
    step: float
    default: float


SCHEDULES = {
    "constant": Schedule("no shape to set", 0, 0, 1, 0),
    "step": Schedule("steps between divisions by 10", 20, 400, 1, 150),
    "linear": Schedule("last fraction of the base", 0, 1, 0.01, 0.01),
    "1/t": Schedule("steps until halved", 5, 200, 1, 40),
    "exponential": Schedule("half-life in steps", 10, 400, 1, 60),
    "cosine": Schedule("last fraction of the base", 0, 1, 0.01, 0),
    "warm-up": Schedule("warm-up steps, then cosine", 10, 200, 1, 40),
    "cyclic": Schedule("steps up, as many down", 10, 200, 1, 35),
    "SGDR": Schedule("steps of the first cycle", 20, 200, 1, 60),
}


def learning_rates(
    schedule: str, base_lr: float, shape: float, num_steps: int = NUM_STEPS
) -> Float[np.ndarray, " num_steps"]:
    """Return the learning rate of each step, from step 0.

    Linear decay and cosine run over all of ``num_steps``; cyclic goes between a tenth
    of the base and the base; each cycle of SGDR is twice as long as the one before
    (Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983).

    Raises
    ------
    ValueError
        If there is no such schedule.

    Examples
    --------
    >>> learning_rates("step", 0.1, 2, 5).round(6).tolist()
    [0.1, 0.1, 0.01, 0.01, 0.001]
    """
    if schedule not in _FACTORS:
        raise ValueError(f"schedule must be one of {sorted(_FACTORS)}; got {schedule!r}")
    factor = _FACTORS[schedule]
    return np.array([base_lr * factor(t, shape, num_steps) for t in range(num_steps)])


def _half_cosine(fraction: float) -> float:
    return (1 + math.cos(math.pi * fraction)) / 2


def _cosine(t: int, last: float, num_steps: int) -> float:
    return last + (1 - last) * _half_cosine(t / num_steps)


def _warm_up(t: int, steps: float, num_steps: int) -> float:
    if t < steps:
        return 0.01 + 0.99 * t / steps
    return _half_cosine((t - steps) / (num_steps - steps))


def _cyclic(t: int, steps: float, num_steps: int) -> float:
    place = t / steps % 2  # from 0 up to 1, down to 2
    return 0.1 + 0.9 * (1 - abs(place - 1))


def _sgdr(t: int, first: float, num_steps: int) -> float:
    length = first
    while t >= length:
        t, length = t - length, 2 * length
    return _half_cosine(t / length)


# Each takes the step, the shape and the number of steps; returns the fraction of the base.
_FACTORS = {
    "constant": lambda t, shape, n: 1.0,
    "step": lambda t, steps, n: 0.1 ** (t // steps),
    "linear": lambda t, last, n: 1 + (last - 1) * t / n,
    "1/t": lambda t, half, n: 1 / (1 + t / half),
    "exponential": lambda t, half, n: 0.5 ** (t / half),
    "cosine": _cosine,
    "warm-up": _warm_up,
    "cyclic": _cyclic,
    "SGDR": _sgdr,
}


def noise_table(
    rng: np.random.Generator, num_steps: int = NUM_STEPS
) -> Float[np.ndarray, "num_steps directions"]:
    """Return how far each minibatch's minimum lies from the true one."""
    table = NOISE * rng.standard_normal((num_steps, len(CURVATURES)))
    return table.astype(np.float32).astype(np.float64)


@dataclass(frozen=True)
class Descent:
    """The loss after each step, the first before any; infinite from ``stopped`` on."""

    loss: Float[np.ndarray, " points"]
    stopped: int | None


def noisy_descent(
    lrs: Float[np.ndarray, " num_steps"], noise: Float[np.ndarray, "num_steps directions"]
) -> Descent:
    r"""Return the true loss along minibatch SGD on the quadratic, from distance 1.

    A minibatch sees the same curvatures :math:`\lambda_i` about a shifted minimum, so
    its gradient is :math:`\lambda_i (\theta_i - \xi_i)`.
    """
    theta = np.ones(len(CURVATURES))
    loss = np.full(len(lrs) + 1, np.inf)
    loss[0] = 0.5 * float(CURVATURES @ theta**2)
    for t, (lr, shift) in enumerate(zip(lrs, noise, strict=True), start=1):
        theta = theta - lr * CURVATURES * (theta - shift)
        loss[t] = 0.5 * float(CURVATURES @ theta**2)
        if not loss[t] < EXPLODED * loss[0]:
            loss[t] = np.inf
            return Descent(loss, t)
    return Descent(loss, None)


def tail_mean(descent: Descent) -> float:
    """Return the loss averaged over the last forty steps; infinite after divergence."""
    return float(descent.loss[-TAIL:].mean())


def constant_floor(lr: float) -> float:
    r"""Return the expected loss about which a constant learning rate ends.

    Along curvature :math:`\lambda` the squared distance settles at
    :math:`\eta\lambda\sigma^2 / (2 - \eta\lambda)`; there is no floor, but infinity,
    once :math:`\eta\lambda \ge 2`.

    Examples
    --------
    >>> constant_floor(0.2)
    inf
    """
    pull = lr * CURVATURES
    if pull.max() >= 2 - 1e-12:
        return math.inf
    return float(0.5 * CURVATURES @ (pull * NOISE**2 / (2 - pull)))
