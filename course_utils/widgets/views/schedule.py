"""ScheduleExplorer: a learning-rate schedule, and what it does to minibatch SGD."""

from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from traitlets import Bytes, Dict, Float, Int, List, Unicode, observe, validate

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget, as_bytes, finite_array
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.schedules import (
    CURVATURES,
    NOISE,
    NUM_STEPS,
    SCHEDULES,
    TAIL,
    Descent,
    constant_floor,
    learning_rates,
    noise_table,
    noisy_descent,
    tail_mean,
)

__all__ = ["ScheduleExplorer"]

TASK = "Find a schedule and a base learning rate that end below every constant learning rate."
PRESETS = {
    "too low": ("constant", 0.003, "the flat directions have hardly moved after 420 steps"),
    "just right": ("constant", 0.03, "small enough for the noise, large enough to arrive"),
    "too high": ("constant", 0.21, "above 2 / 10: the steepest direction grows at each step"),
    "noise floor": ("step", 0.1, "the constant rate stays on its noise floor, decay goes below"),
}


class ScheduleExplorer(CourseWidget):
    """Show a learning-rate schedule beside the loss of minibatch SGD under it.

    The loss is a quadratic of ten directions with curvatures 0.1 to 10; each minibatch
    sees its minimum shifted by noise, which is the same for every schedule.

    Parameters
    ----------
    schedule
        "constant", "step", "linear", "1/t", "exponential", "cosine", "warm-up", "cyclic"
        or "SGDR".
    base_lr
        The largest learning rate of the schedule; the quadratic's limit is 0.2.
    shape
        The schedule's one shape parameter, whose meaning its label says; None takes
        its default.
    step
        The step on show, 0 to 420.

    Raises
    ------
    ValueError
        If an argument is unknown, out of range or not finite.
    """

    _esm = load_esm("schedules.js")
    schedule = Unicode("constant").tag(sync=True)
    base_lr = Float().tag(sync=True)
    shape = Float().tag(sync=True)
    step = Int().tag(sync=True)
    num_steps = Int(NUM_STEPS).tag(sync=True)
    schedules = Dict({name: asdict(schedule) for name, schedule in SCHEDULES.items()}).tag(
        sync=True
    )
    presets = Dict().tag(sync=True)
    initial = Dict().tag(sync=True)
    curvatures = List(Float(), CURVATURES.tolist()).tag(sync=True)
    sigma = Float(NOISE).tag(sync=True)
    noise = Bytes().tag(sync=True)

    def __init__(
        self,
        schedule: str = "cosine",
        *,
        base_lr: float = 0.1,
        shape: float | None = None,
        step: int = NUM_STEPS,
        task: str = TASK,
    ) -> None:
        _check("schedule", schedule, schedule)
        state = {
            "schedule": schedule,
            "base_lr": base_lr,
            "shape": SCHEDULES[schedule].default if shape is None else shape,
            "step": step,
        }
        state = {name: _check(name, value, schedule) for name, value in state.items()}
        presets = {
            name: {
                "title": title,
                "schedule": of,
                "base_lr": lr,
                "shape": SCHEDULES[of].default,
                "step": NUM_STEPS,
            }
            for name, (of, lr, title) in PRESETS.items()
        }
        self._noise = noise_table(np.random.default_rng(0))
        super().__init__(
            **state,
            task=task,
            presets=presets,
            initial=dict(state),
            noise=as_bytes(self._noise),
        )

    @validate("schedule", "base_lr", "shape", "step")
    def _valid(self, proposal: Any) -> Any:
        return _check(proposal["trait"].name, proposal["value"], self.schedule)

    @observe("schedule")
    def _fit_shape(self, change: Any) -> None:
        known = SCHEDULES[self.schedule]
        if not known.low <= self.shape <= known.high:
            self.shape = known.default

    def descents(self) -> tuple[Descent, Descent]:
        """Return the run under the schedule, and under the constant base learning rate."""
        rates = learning_rates(self.schedule, self.base_lr, self.shape)
        constant = learning_rates("constant", self.base_lr, 0.0)
        return noisy_descent(rates, self._noise), noisy_descent(constant, self._noise)

    def description(self) -> str:
        """Say the final loss under the schedule and under the constant rate."""
        run, constant = self.descents()
        text = f"{self.schedule}, base learning rate {self.base_lr:.4g}: {_ending(run)}"
        if self.schedule != "constant":
            text += f"; with the constant rate: {_ending(constant)}"
        return f"{text}."

    def picture(self) -> Figure:
        """Draw the schedule, and the loss with its noise floor."""
        run, constant = self.descents()
        fig = Figure(figsize=(9.0, 3.6), layout="constrained")
        left, right = fig.subplots(1, 2)
        solid = {"color": PALETTE["blue"], "linewidth": 1.6}
        dashed = {"color": PALETTE["vermilion"], "linestyle": "--", "linewidth": 1.4}
        dotted = {"color": PALETTE["black"], "linestyle": ":", "linewidth": 1.4}
        left.plot(learning_rates(self.schedule, self.base_lr, self.shape), **solid)
        left.axhline(self.base_lr, **dashed)
        left.set(xlabel="step", ylabel="learning rate", ylim=(0, 1.3 * self.base_lr))
        limit = 2 / CURVATURES.max()
        if limit < 1.3 * self.base_lr:
            left.axhline(limit, **dotted, label=f"limit {limit:.3g}")
            left.legend(frameon=False, loc="upper right")
        for descent, style, label in ((constant, dashed, "constant"), (run, solid, self.schedule)):
            right.plot(np.clip(descent.loss, 1e-4, 1e2), **style, label=label)
        floor = constant_floor(self.base_lr)
        if floor < 1e2:
            right.axhline(floor, **dotted, label="noise floor of the constant rate")
        right.set_yscale("log")
        right.set(xlabel="step", ylabel="loss (log)", ylim=(1e-4, 1e2))
        right.legend(frameon=False, loc="upper right")
        for ax in (left, right):
            ax.axvline(self.step, color="#595959", linewidth=0.8)
            ax.spines[["top", "right"]].set_visible(False)
        return fig


def _ending(descent: Descent) -> str:
    if descent.stopped is not None:
        return f"diverged at step {descent.stopped}"
    return f"mean loss {tail_mean(descent):.3g} over the last {TAIL} steps"


def _check(name: str, value: Any, schedule: str) -> Any:
    """Return a piece of state in the form the trait holds, or raise ValueError."""
    if name == "schedule" and value not in SCHEDULES:
        raise ValueError(f"schedule must be one of {list(SCHEDULES)}; got {value!r}")
    if name == "base_lr":
        rate = float(finite_array("base_lr", [value], (1,))[0])
        if not 0 < rate <= 1:
            raise ValueError(f"base_lr must lie in (0, 1]; got {value!r}. Try 0.1")
        return rate
    if name == "shape":
        number, known = float(finite_array("shape", [value], (1,))[0]), SCHEDULES[schedule]
        if not known.low <= number <= known.high:
            raise ValueError(
                f"shape of {schedule!r} ({known.label}) must lie in {known.low:g} to "
                f"{known.high:g}; got {value!r}. Try {known.default:g}"
            )
        return number
    if name == "step" and not 0 <= value <= NUM_STEPS:
        raise ValueError(f"step must lie in 0 to {NUM_STEPS}; got {value!r}")
    return value
