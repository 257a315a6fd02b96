"""OptimizerRace: the lecture's optimizers side by side on one map."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from traitlets import Bytes, Dict, Float, Int, List, Unicode, validate

from course_utils.landscape import SurfaceGrid
from course_utils.widgets.base import CourseWidget, as_bytes, finite_array
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.optimizers import (
    GRID_PRESETS,
    OPTIMIZERS,
    PRESETS,
    Problem,
    Run,
    grid_problem,
    named_problem,
    run_optimizer,
)
from course_utils.widgets.core.surface import check_path
from course_utils.widgets.views.race_picture import axis_names, draw_race

__all__ = ["OptimizerRace"]

NUM_STEPS = 200
SHOWN_FIRST = ("sgd", "momentum", "adagrad", "rmsprop", "adam")
TASK = "Find the learning rate at which SGD begins to diverge. Which optimizers survive it?"
GRID_TASK = (
    "A plane cut through a network's loss (a path on it is a projection). "
    "Drag the start: who finds the valley?"
)


class OptimizerRace(CourseWidget):
    """Race optimizers over a test function, or over a slice of a network's loss.

    Parameters
    ----------
    function
        "ravine", "saddle", "plateau", "rosenbrock" or "beale".
    surface
        Race on this grid instead. Between its points the loss is a smooth
        interpolant, and a run that leaves the square ends there.
    path
        A training path to draw on the surface, in the grid's coordinates.
    start
        Where all start; None takes the function's own start, or the path's.
    lr
        Learning rate of all optimizers but AdaDelta, which has none to set.
    momentum
        Of Momentum, Nesterov and RMSProp + Nesterov; in [0, 1).
    optimizers
        Keys of `course_utils.widgets.core.optimizers.OPTIMIZERS`, drawn at first.
    step
        The step on show, 0 to 200.

    Raises
    ------
    ValueError
        If an argument is unknown, out of range or not finite.
    """

    _esm = load_esm("race.js")
    function = Unicode().tag(sync=True)
    start = List(Float()).tag(sync=True)
    lr = Float().tag(sync=True)
    momentum = Float().tag(sync=True)
    optimizers = List(Unicode()).tag(sync=True)
    step = Int().tag(sync=True)
    num_steps = Int(NUM_STEPS).tag(sync=True)
    labels = Dict(OPTIMIZERS).tag(sync=True)
    problems = Dict().tag(sync=True)
    presets = Dict().tag(sync=True)
    initial = Dict().tag(sync=True)
    loss = Bytes().tag(sync=True)
    path = Bytes().tag(sync=True)

    def __init__(
        self,
        function: str = "ravine",
        *,
        surface: SurfaceGrid | None = None,
        path: Any = None,
        start: Any = None,
        lr: float | None = None,
        momentum: float = 0.9,
        optimizers: Sequence[str] = SHOWN_FIRST,
        step: int = NUM_STEPS,
        task: str | None = None,
    ) -> None:
        if surface is None:
            if path is not None:
                raise ValueError("path needs a surface to lie on; pass surface=grid with it")
            constant = self._race_on_functions()
            problem = named_problem(function)
        else:
            constant = self._race_on_surface(surface, path)
            problem = self._problems["surface"]
        state = {
            "function": problem.name,
            "start": problem.start if start is None else start,
            "lr": problem.lr if lr is None else lr,
            "momentum": momentum,
            "optimizers": optimizers,
            "step": step,
        }
        state = {name: _check(name, value, problem) for name, value in state.items()}
        super().__init__(
            **state, **constant | ({"task": task} if task else {}), initial=dict(state)
        )

    def _race_on_functions(self) -> dict[str, Any]:
        """Return the traits that never change, for a race on the test functions."""
        self._problems = {name: named_problem(name) for _, name, _, _ in PRESETS}
        self._surface = None
        return {
            "task": TASK,
            "problems": {name: _for_browser(p, ()) for name, p in self._problems.items()},
            "presets": {
                name: _preset(self._problems[of], title, lr) for name, of, lr, title in PRESETS
            },
        }

    def _race_on_surface(self, surface: SurfaceGrid, path: Any) -> dict[str, Any]:
        """Return the traits that never change, for a race on a grid."""
        problem, points = grid_problem(surface), np.empty((0, 2))
        if path is not None:
            points = check_path("path", finite_array("path", path, (None, 2)), surface)
            if problem.inside(points[0]):
                low, high = np.transpose([problem.xlim, problem.ylim])
                start = np.clip(points[0].round(4), low, high).tolist()
                problem = replace(problem, start=tuple(start))
        self._problems, self._surface = {"surface": problem}, surface
        return {
            "task": GRID_TASK,
            "loss": as_bytes(surface.loss),
            "path": as_bytes(points),
            "problems": {"surface": _for_browser(problem, surface.loss.shape)},
            "presets": {
                name: _preset(problem, title, float(f"{factor * problem.lr:.2g}"))
                for name, factor, title in GRID_PRESETS
            },
        }

    @validate("start", "lr", "momentum", "optimizers", "step", "function")
    def _valid(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "function" and value not in self._problems:
            raise ValueError(f"function must be one of {sorted(self._problems)}; got {value!r}")
        return _check(name, value, self._problems[self.function or next(iter(self._problems))])

    def runs(self) -> dict[str, Run]:
        """Return the run of each optimizer that is on, computed in Python."""
        problem = self._problems[self.function]
        return {
            name: run_optimizer(
                name,
                problem,
                tuple(self.start),
                lr=self.lr,
                momentum=self.momentum,
                num_steps=self.num_steps,
            )
            for name in self.optimizers
        }

    def description(self) -> str:
        """Say which losses are reached, and who ended early."""
        problem, parts = self._problems[self.function], []
        for name, run in self.runs().items():
            if run.stopped is not None and run.stopped <= self.step:
                parts.append(f"{OPTIMIZERS[name]} {problem.ends} at step {run.stopped}")
            else:
                parts.append(f"{OPTIMIZERS[name]} reaches {run.loss[self.step]:.3g}")
        where = ", ".join(f"{v:.4g}" for v in self.start)
        return (
            f"Optimizers on {_title(problem)} from ({where}), learning rate {self.lr:.4g}, "
            f"after {self.step} steps: {'; '.join(parts) or 'none is on'}."
        )

    def picture(self) -> Figure:
        """Draw the map with the paths, and the loss against the step."""
        path = np.frombuffer(self.path, "<f4").reshape(-1, 2)
        problem = self._problems[self.function]
        return draw_race(
            problem, self.runs(), self.start, self.step, self.num_steps, self._surface, path
        )


def _preset(problem: Problem, title: str, lr: float | None) -> dict[str, Any]:
    return {
        "title": title,
        "function": problem.name,
        "start": list(problem.start),
        "lr": min(max(lr or problem.lr, 1e-4), 10.0),
        "momentum": 0.9,
        "step": NUM_STEPS,
    }


def _title(problem: Problem) -> str:
    return "the surface of a network" if problem.name == "surface" else f"the {problem.name}"


def _for_browser(problem: Problem, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "title": _title(problem),
        "axes": axis_names(problem),
        "xlim": problem.xlim,
        "ylim": problem.ylim,
        "minima": problem.minima,
        "colours": asdict(problem.colours),
        "floor": problem.floor,
        "curve": asdict(problem.curve),
        "ends": problem.ends,
        "shape": shape,
    }


def _check(name: str, value: Any, problem: Problem) -> Any:
    """Return a piece of state in the form the trait holds, or raise ValueError."""
    if name == "start":
        point = finite_array("start", value, (2,))
        # Traits change one by one: a start may lie off the map until it has followed.
        reach = 0.5 if problem.name == "surface" else 5
        for v, (low, high), axis in zip(point, (problem.xlim, problem.ylim), "xy", strict=True):
            if abs(v - (low + high) / 2) > reach * (high - low):
                raise ValueError(
                    f"start must lie on the map, {axis} from {low:.4g} to {high:.4g}; got {v:.4g}"
                )
        return [float(v) for v in point]
    if name == "lr":
        rate = float(finite_array("lr", [value], (1,))[0])
        if not rate > 0:
            raise ValueError(f"lr must be above 0; got {value!r}. Try {problem.lr:g}")
        return rate
    if name == "momentum":
        rate = float(finite_array("momentum", [value], (1,))[0])
        if not 0 <= rate < 1:
            raise ValueError(f"momentum must lie in [0, 1); got {value!r}. Try 0.9")
        return rate
    if name == "optimizers":
        unknown = [key for key in value if key not in OPTIMIZERS]
        if unknown or isinstance(value, str):
            raise ValueError(
                f"optimizers must be among {sorted(OPTIMIZERS)}; got {unknown or value!r}"
            )
        return [key for key in OPTIMIZERS if key in value]
    if name == "step" and not 0 <= value <= NUM_STEPS:
        raise ValueError(f"step must lie in 0 to {NUM_STEPS}; got {value!r}")
    return value
