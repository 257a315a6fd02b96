"""OptimizerRace: optimizers against torch, the interpolant, and the widget without a browser."""

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from course_utils.figures import check_axes, png_bytes
from course_utils.landscape import TEST_FUNCTIONS, SurfaceGrid, descend
from course_utils.widgets import OptimizerRace
from course_utils.widgets.core.optimizers import (
    OPTIMIZERS,
    PRESETS,
    WEIGHT_DECAY,
    grid_problem,
    named_problem,
    run_optimizer,
)
from course_utils.widgets.core.surface import Interpolant, Scale, check_path, scale_of

TWINS = {
    "sgd": lambda p, lr, mu: torch.optim.SGD(p, lr=lr),
    "momentum": lambda p, lr, mu: torch.optim.SGD(p, lr=lr, momentum=mu),
    "adagrad": lambda p, lr, mu: torch.optim.Adagrad(p, lr=lr),
    "adadelta": lambda p, lr, mu: torch.optim.Adadelta(p, lr=1.0),
    "rmsprop": lambda p, lr, mu: torch.optim.RMSprop(p, lr=lr, alpha=0.9),
    "adam": lambda p, lr, mu: torch.optim.Adam(p, lr=lr),
    "adamw": lambda p, lr, mu: torch.optim.AdamW(p, lr=lr, weight_decay=WEIGHT_DECAY),
}
RATES = {"ravine": 0.03, "saddle": 0.07, "plateau": 0.3, "rosenbrock": 3e-4, "beale": 2e-3}


def make_grid(num_alphas: int = 23, num_betas: int = 17) -> SurfaceGrid:
    """A bowl with ripples, as over a network; not square, so that swapped axes show."""
    alphas, betas = np.linspace(-1, 1.5, num_alphas), np.linspace(-0.8, 0.7, num_betas)
    a, b = np.meshgrid(alphas, betas)
    return SurfaceGrid(alphas, betas, np.exp(a**2 + 2 * b**2) + 0.2 * np.sin(5 * a + 3 * b))


def central_difference(value, x, y, h=1e-6):
    across = (value(x + h, y) - value(x - h, y)) / (2 * h)
    return np.array([across, (value(x, y + h) - value(x, y - h)) / (2 * h)])


@pytest.mark.parametrize("function", RATES)
@pytest.mark.parametrize("name", TWINS)
def test_equals_torch(name, function):
    problem, lr, mu = named_problem(function), RATES[function], 0.85
    start = (problem.start[0] + 0.1, problem.start[1] + 0.05)
    run = run_optimizer(name, problem, start, lr=lr, momentum=mu, num_steps=80)
    assert run.stopped is None
    path = descend(TEST_FUNCTIONS[function], start, lambda p: TWINS[name](p, lr, mu), 80)
    np.testing.assert_allclose(run.path, path.numpy(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        run.loss, TEST_FUNCTIONS[function].value(path).numpy(), rtol=1e-8, atol=1e-12
    )


@pytest.mark.parametrize("function", RATES)
def test_nesterov_equals_torch_after_a_change_of_variables(function):
    problem, lr, mu = named_problem(function), RATES[function], 0.85
    run = run_optimizer("nesterov", problem, problem.start, lr=lr, momentum=mu, num_steps=60)
    velocity = np.diff(run.path, axis=0, prepend=run.path[:1])
    # torch stores the interim point, theta + alpha v, as its parameter.
    twin = descend(
        TEST_FUNCTIONS[function],
        problem.start,
        lambda p: torch.optim.SGD(p, lr=lr, momentum=mu, nesterov=True),
        60,
    )
    np.testing.assert_allclose(run.path + mu * velocity, twin.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("function", ["ravine", "saddle"])
def test_rmsprop_with_nesterov_follows_the_slide(function):
    problem, lr, alpha, rho = named_problem(function), 0.01, 0.7, 0.9
    run = run_optimizer(
        "rmsprop_nesterov", problem, (-2.0, 0.3), lr=lr, momentum=alpha, num_steps=50
    )
    theta = torch.tensor((-2.0, 0.3), dtype=torch.float64)
    r, v = torch.zeros(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    for point in run.path:
        np.testing.assert_allclose(point, theta.numpy(), rtol=1e-6, atol=1e-9)
        interim = (theta + alpha * v).requires_grad_()
        (g,) = torch.autograd.grad(TEST_FUNCTIONS[function].value(interim), interim)
        r = rho * r + (1 - rho) * g * g
        v = alpha * v - lr / torch.sqrt(r) * g
        theta = theta + v


@pytest.mark.parametrize("function", RATES)
def test_problem_agrees_with_the_test_function(function):
    problem, known = named_problem(function), TEST_FUNCTIONS[function]
    rng = np.random.default_rng(1)
    for x, y in rng.uniform(-1, 1, (9, 2)) * [problem.xlim[1], problem.ylim[1]]:
        point = torch.tensor([x, y], dtype=torch.float64, requires_grad=True)
        value = known.value(point)
        value.backward()
        assert problem.value(x, y) == pytest.approx(value.item(), rel=1e-12)
        np.testing.assert_allclose(problem.gradient(x, y), point.grad.numpy(), rtol=1e-10)
    assert (problem.xlim, problem.ylim, problem.start) == (known.xlim, known.ylim, known.start)
    for minimum in problem.minima:
        np.testing.assert_allclose(problem.gradient(*minimum), 0, atol=1e-12)
        assert problem.value(*minimum) == pytest.approx(problem.floor, abs=1e-12)


def test_gradient_descent_in_the_ravine_has_a_closed_form_and_a_limit():
    problem, lr = named_problem("ravine"), 0.082
    run = run_optimizer("sgd", problem, (-4.5, 1.0), lr=lr)
    # Each step multiplies y by 1 - 25 lr = -1.05; the reach is ten windows, 40.
    last = int(np.log(40) / np.log(1.05))
    assert run.stopped == last + 1
    expected = np.array([-4.5, 1.0]) * np.power(
        [[1 - lr, 1 - 25 * lr]], np.arange(last + 1)[:, None]
    )
    np.testing.assert_allclose(run.path[: last + 1], expected, rtol=1e-10)
    np.testing.assert_array_equal(run.path[last:], np.tile(run.path[last], (201 - last, 1)))
    assert run_optimizer("sgd", problem, (-4.5, 1.0), lr=0.0799).stopped is None
    # Momentum moves the limit to 2 (1 + momentum) / 25, Nesterov to a lower one.
    assert run_optimizer("momentum", problem, (-4.5, 1.0), lr=0.15).stopped is None
    assert run_optimizer("momentum", problem, (-4.5, 1.0), lr=0.16).stopped is not None
    limit = 2 * 1.9 / (25 * 2.8)
    assert run_optimizer("nesterov", problem, (-4.5, 1.0), lr=0.98 * limit).stopped is None
    assert run_optimizer("nesterov", problem, (-4.5, 1.0), lr=1.04 * limit).stopped is not None


def test_adadelta_has_no_learning_rate_to_set():
    problem = named_problem("plateau")
    runs = [run_optimizer("adadelta", problem, (-2.0, 1.0), lr=lr) for lr in (1e-3, 7.0)]
    np.testing.assert_array_equal(runs[0].path, runs[1].path)


def test_a_start_that_is_no_number_ends_at_once():
    run = run_optimizer("adam", named_problem("ravine"), (np.nan, 0.0), lr=0.1)
    assert run.stopped == 1
    with pytest.raises(ValueError, match=r"optimizers must be among .*'adam'.*got 'Adam'"):
        run_optimizer("Adam", named_problem("ravine"), (0.0, 0.0), lr=0.1)


def test_interpolant_passes_through_the_grid_and_has_the_right_slope():
    grid = make_grid()
    surface = Interpolant.of(grid)
    for j, i in [(0, 0), (16, 22), (5, 7), (16, 0), (8, 22)]:
        value = surface.value(float(grid.alphas[i]), float(grid.betas[j]))
        assert value == pytest.approx(grid.loss[j, i], rel=1e-6)
    rng = np.random.default_rng(2)
    for x, y in zip(rng.uniform(-0.99, 1.49, 20), rng.uniform(-0.79, 0.69, 20), strict=True):
        slope = central_difference(surface.value, x, y)
        np.testing.assert_allclose(surface.gradient(x, y), slope, rtol=1e-5, atol=1e-6)
        true = np.exp(x**2 + 2 * y**2) + 0.2 * np.sin(5 * x + 3 * y)
        assert surface.value(x, y) == pytest.approx(true, abs=0.05)
    assert surface.value(9.0, 0.0) == surface.value(1.5, 0.0)


def test_interpolant_is_exact_for_parabolas_inside():
    x, y = np.linspace(-2, 2, 9), np.linspace(0, 3, 7)
    a, b = np.meshgrid(x, y)
    surface = Interpolant.of(SurfaceGrid(x, y, a**2 - 3 * a * b + 0.5 * b**2))
    for u, v in [(0.3, 1.1), (-0.9, 2.2), (1.4, 0.6)]:
        assert surface.value(u, v) == pytest.approx(u**2 - 3 * u * v + 0.5 * v**2, rel=1e-6)
        np.testing.assert_allclose(surface.gradient(u, v), [2 * u - 3 * v, v - 3 * u], rtol=1e-5)


def test_runs_on_a_surface_end_at_its_border():
    problem = grid_problem(make_grid())
    run = run_optimizer("sgd", problem, (1.3, 0.5), lr=0.6)
    assert problem.ends == "left the map"
    assert run.stopped == 1
    np.testing.assert_array_equal(run.path, np.tile([1.3, 0.5], (201, 1)))
    calm = run_optimizer("sgd", problem, problem.start, lr=problem.lr)
    assert calm.stopped is None
    assert calm.loss[-1] < 1.2


def test_scales():
    assert scale_of(np.array([1.0, 19.0])) == Scale(1.0, 19.0, log=False)
    assert scale_of(np.array([1.0]), np.array([30.0])).log
    assert not scale_of(np.array([0.0, 30.0])).log
    np.testing.assert_allclose(Scale(1, 100, log=True)(np.array([0.1, 1, 10, 1e3])), [0, 0, 0.5, 1])
    assert Scale(2, 2, log=False)(np.array([2.0])) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": "bowl"}, r"function must be one of .*'ravine'.*got 'bowl'"),
        ({"lr": 0}, r"lr must be above 0; got 0. Try 0.04"),
        ({"lr": float("nan")}, r"lr must be finite; got nan"),
        ({"momentum": 1.0}, r"momentum must lie in \[0, 1\); got 1.0"),
        ({"start": (1.0, float("nan"))}, r"start must be finite; got nan at index \(1,\)"),
        ({"start": (1.0, 2.0, 3.0)}, r"start must have shape \(2,\); got \(3,\)"),
        ({"start": (400.0, 0.0)}, r"start must lie on the map, x from -5 to 5; got 400"),
        ({"optimizers": ("sgd", "adan")}, r"optimizers must be among .*got \['adan'\]"),
        ({"step": 201}, r"step must lie in 0 to 200; got 201"),
        ({"path": np.zeros((3, 2))}, r"path needs a surface"),
        ({"surface": make_grid(), "path": np.zeros((3, 3))}, r"path must have shape \('any', 2\)"),
        ({"surface": make_grid(), "path": np.full((3, 2), 7.0)}, r"path never enters the surface"),
        ({"surface": make_grid(), "path": [[0.0, np.inf]]}, r"path must be finite; got inf"),
        ({"surface": make_grid(), "start": (1.6, 0.0)}, r"start must lie on the map, x from -1 to"),
    ],
)
def test_errors_name_argument_and_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        OptimizerRace(**arguments)


def test_a_path_that_starts_on_the_border_gives_a_start_on_the_map():
    axis = np.linspace(-0.999977, 0.999966, 5)
    grid = SurfaceGrid(axis, axis, np.add.outer(axis**2, axis**2) + 1)
    start = [float(grid.alphas[-1]), float(grid.betas[0])]
    assert OptimizerRace(surface=grid, path=[start, [0.0, 0.0]]).start == start


def test_uneven_grids_are_refused():
    with pytest.raises(ValueError, match=r"alphas must hold .* evenly spaced.*linspace"):
        OptimizerRace(
            surface=SurfaceGrid(np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0]), np.ones((2, 3)))
        )
    with pytest.raises(ValueError, match="path never enters"):
        check_path("path", np.array([[5.0, 5.0]]), make_grid())


def test_traits_are_checked_when_they_change():
    widget = OptimizerRace()
    with pytest.raises(ValueError, match="lr must be above 0"):
        widget.lr = -1.0
    with pytest.raises(ValueError, match="function must be one of"):
        widget.function = "surface"
    widget.function = "saddle"
    widget.start = (1.0, 0.5)
    widget.optimizers = ["adam", "sgd"]
    assert widget.optimizers == ["sgd", "adam"]
    assert list(widget.runs()) == ["sgd", "adam"]
    assert widget.initial["function"] == "ravine"


def test_presets_hold_what_they_promise():
    widget = OptimizerRace()
    assert list(widget.presets) == [name for name, *_ in PRESETS]
    for name, preset in widget.presets.items():
        problem = named_problem(preset["function"])
        settings = {"lr": preset["lr"], "momentum": preset["momentum"]}
        run = run_optimizer("sgd", problem, tuple(preset["start"]), **settings)
        assert (run.stopped is not None) == (name == "diverge"), name
        assert len(preset["title"].split()) > 4


@pytest.mark.parametrize(
    "widget",
    [
        lambda: OptimizerRace(lr=0.082),
        lambda: OptimizerRace("beale", optimizers=list(OPTIMIZERS), step=57),
        lambda: OptimizerRace("saddle", optimizers=()),
        lambda: OptimizerRace(surface=make_grid(), path=np.linspace([1.2, 0.6], [0, 0], 30)),
    ],
)
def test_picture_and_words_where_it_cannot_run(widget):
    widget = widget()
    data, metadata = widget._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == widget.description()
    fig = widget.picture()
    assert check_axes(fig) == []

    image = imread(io.BytesIO(png_bytes(fig, dpi=60)))
    assert image[..., :3].std() > 0.05
    np.testing.assert_array_equal(image[0, 0, :3], 1.0)


def test_description_carries_the_numbers():
    text = OptimizerRace(lr=0.082, optimizers=("sgd", "adam")).description()
    assert "learning rate 0.082" in text
    assert "SGD diverged at step 76" in text
    assert "Adam reaches 7.3e-08" in text
    early = OptimizerRace(lr=0.082, optimizers=("sgd",), step=75).description()
    assert "SGD reaches" in early
    surface = OptimizerRace(surface=make_grid(), start=(1.3, 0.5), lr=0.6, optimizers=("sgd",))
    assert "left the map at step 1" in surface.description()


def test_state_and_code_stay_small():
    grid = SurfaceGrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101), np.ones((101, 101)))
    widget = OptimizerRace(surface=grid, path=np.zeros((500, 2)))
    state = widget.get_state()
    size = sum(len(v) if isinstance(v, bytes) else len(str(v)) for v in state.values())
    assert size <= 500_000
    assert len(widget._esm) <= 30_000
    assert widget.picture() is not None
