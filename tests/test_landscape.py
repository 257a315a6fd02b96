"""Surfaces, directions and projections against closed forms."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from course_utils.landscape import (
    TEST_FUNCTIONS,
    SurfaceGrid,
    descend,
    loss_surface,
    pca_directions,
    project_path,
    random_directions,
)

# The package raises ValueError; jaxtyping's run-time check, on in the tests, comes first.
WRONG_SHAPE = (ValueError, TypeError)


def make_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
        nn.LayerNorm([27]), nn.Linear(27, 4),
    )  # fmt: skip


def mse(y_hat, y):
    return ((y_hat - y) ** 2).mean()


# --- test functions ---------------------------------------------------------------------

REFERENCE = {
    "ravine": lambda x, y: 0.5 * (x * x + 25 * y * y),
    "saddle": lambda x, y: 0.5 * x * x - 0.5 * y * y + 0.25 * y * y * y * y,
    "plateau": lambda x, y: 1 - np.exp(-0.25 * x * x - 0.5 * y * y),
    "rosenbrock": lambda x, y: (1 - x) ** 2 + 100 * (y - x * x) ** 2,
    "beale": lambda x, y: sum(
        (c - x * (1 - y**p)) ** 2 for c, p in ((1.5, 1), (2.25, 2), (2.625, 3))
    ),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_function_has_the_value_of_its_formula(name):
    points = torch.randn(7, 3, 2, generator=make_generator(), dtype=torch.float64)
    expected = REFERENCE[name](*points.numpy().transpose(2, 0, 1))
    np.testing.assert_allclose(TEST_FUNCTIONS[name].value(points).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("name", REFERENCE)
def test_gradient_of_function_equals_central_differences(name):
    function = TEST_FUNCTIONS[name]
    points = torch.randn(5, 2, generator=make_generator(1), dtype=torch.float64)
    assert torch.autograd.gradcheck(function.value, points.requires_grad_())


@pytest.mark.parametrize("name", REFERENCE)
def test_minimum_is_a_minimum(name):
    function = TEST_FUNCTIONS[name]
    point = torch.tensor(function.minimum, dtype=torch.float64, requires_grad=True)
    value = function.value(point)
    (gradient,) = torch.autograd.grad(value, point)
    hessian = torch.autograd.functional.hessian(function.value, point)
    assert gradient.abs().max() < 1e-12
    assert torch.linalg.eigvalsh(hessian).min() > 0
    assert function.grid(101).loss.min() >= value.item() - 1e-6


def test_saddle_has_two_minima_and_a_saddle_point():
    value = TEST_FUNCTIONS["saddle"].value
    ends = torch.tensor([[0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    assert value(ends).tolist() == [-0.25, -0.25]
    hessian = torch.autograd.functional.hessian(value, torch.zeros(2, dtype=torch.float64))
    assert torch.linalg.eigvalsh(hessian).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("name", REFERENCE)
def test_start_and_minimum_lie_in_the_window(name):
    function = TEST_FUNCTIONS[name]
    assert function.name == name
    for x, y in (function.start, function.minimum):
        assert function.xlim[0] <= x <= function.xlim[1]
        assert function.ylim[0] <= y <= function.ylim[1]


def test_grid_puts_x_along_columns():
    grid = TEST_FUNCTIONS["ravine"].grid(5)
    assert grid.loss.dtype == np.float32
    x, y = grid.alphas[3], grid.betas[1]
    assert grid.loss[1, 3] == pytest.approx(0.5 * (x**2 + 25 * y**2))


# --- descend ----------------------------------------------------------------------------


def test_descend_follows_the_closed_form_on_the_ravine():
    path = descend(TEST_FUNCTIONS["ravine"], (-4.5, 1.0), lambda p: torch.optim.SGD(p, lr=0.03), 20)
    steps = np.arange(21)
    expected = np.stack([-4.5 * (1 - 0.03) ** steps, (1 - 0.75) ** steps], axis=1)
    assert path.shape == (21, 2)
    np.testing.assert_allclose(path.numpy(), expected, rtol=1e-12, atol=1e-15)


def test_descend_takes_a_plain_function_and_leaves_the_start_alone():
    start = torch.tensor([1.0, 2.0], dtype=torch.float64)
    path = descend(lambda p: (p**2).sum(), start, lambda p: torch.optim.SGD(p, lr=0.5), 3)
    assert start.tolist() == [1.0, 2.0]
    assert path[-1].tolist() == [0.0, 0.0]


def test_descend_says_where_it_diverged():
    with pytest.raises(FloatingPointError, match=r"at step [0-9]+: lower lr"):
        descend(TEST_FUNCTIONS["rosenbrock"], (-1.2, 1.0), lambda p: torch.optim.SGD(p, lr=1.0), 50)


# --- directions -------------------------------------------------------------------------


def test_filters_of_a_direction_have_the_norms_of_the_weights():
    model = make_conv_net()
    direction = random_directions(model, generator=make_generator(), number=1)[0]
    shapes = {name: weight.shape for name, weight in model.named_parameters()}
    pieces = direction.split([shape.numel() for shape in shapes.values()])
    for (name, weight), piece in zip(model.named_parameters(), pieces, strict=True):
        if name in ("0.weight", "5.weight"):
            rows = piece.view(weight.shape).flatten(1)
            torch.testing.assert_close(rows.norm(dim=1), weight.flatten(1).norm(dim=1))
        else:  # biases, batch norm, and a layer norm
            assert not piece.any(), name


def test_layer_norm_with_a_matrix_of_gains_is_left_alone():
    direction = random_directions(nn.LayerNorm([2, 3]), generator=make_generator())
    assert not direction.any()


def test_directions_are_repeatable_and_differ():
    model = nn.Linear(5, 3)
    first = random_directions(model, generator=make_generator(3))
    again = random_directions(model, generator=make_generator(3))
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])


# --- surfaces ---------------------------------------------------------------------------


def test_surface_of_a_linear_model_is_the_quadratic_it_must_be():
    generator = make_generator()
    model = nn.Linear(3, 2).double()
    X, y = (torch.randn(11, n, generator=generator, dtype=torch.float64) for n in (3, 2))
    plane = torch.randn(2, 8, generator=generator, dtype=torch.float64)
    grid = loss_surface(
        model, mse, X, y, directions=plane, extent=(-1.0, 2.0, 0.0, 3.0), resolution=7, chunk_size=5
    )
    assert grid.alphas[[0, -1]].tolist() == [-1.0, 2.0]
    assert grid.betas[[0, -1]].tolist() == [0.0, 3.0]
    center = parameters_to_vector(model.parameters()).detach()
    for j, beta in enumerate(np.linspace(0.0, 3.0, 7)):
        for i, alpha in enumerate(np.linspace(-1.0, 2.0, 7)):
            theta = center + alpha * plane[0] + beta * plane[1]
            expected = mse(X @ theta[:6].view(2, 3).T + theta[6:], y).item()
            assert grid.loss[j, i] == pytest.approx(expected, rel=1e-6)


def test_surface_does_not_depend_on_the_chunk():
    model = make_conv_net()
    X = torch.randn(6, 1, 5, 5, generator=make_generator())
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    plane = random_directions(model, generator=make_generator(1))
    kwargs = {"directions": plane, "resolution": 5}
    one = loss_surface(model, nn.functional.cross_entropy, X, y, chunk_size=1, **kwargs)
    many = loss_surface(model, nn.functional.cross_entropy, X, y, chunk_size=25, **kwargs)
    np.testing.assert_allclose(one.loss, many.loss, rtol=1e-4)


def test_surface_leaves_the_model_as_it_was():
    model = make_conv_net()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    X, y = torch.randn(6, 1, 5, 5, generator=make_generator()), torch.zeros(6, 4)
    plane = random_directions(model, generator=make_generator(1))
    grid = loss_surface(model, mse, X, y, directions=plane, resolution=3)
    assert model.training
    assert [module.training for module in model[:2]] == [True, False]
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    model.eval()
    assert grid.loss[1, 1] == pytest.approx(mse(model(X), y).item(), rel=1e-5)


def test_surface_rejects_directions_of_another_model():
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=r"directions has shape \(2, 7\), expected \(2, 8\)"):
        loss_surface(model, mse, torch.ones(1, 3), torch.ones(1, 2), directions=torch.ones(2, 7))


def test_surface_rejects_a_loss_per_sample():
    def per_sample(y_hat, y):
        return ((y_hat - y) ** 2).mean(dim=1)

    with pytest.raises(WRONG_SHAPE, match=r"scalar|shape|return"):
        loss_surface(
            nn.Linear(3, 2), per_sample, torch.ones(4, 3), torch.ones(4, 2),
            directions=torch.ones(2, 8), resolution=3,
        )  # fmt: skip


def test_surface_says_where_the_loss_is_not_finite():
    def log_loss(y_hat, y):
        return torch.log(y_hat).mean()

    model = nn.Linear(1, 1)
    with torch.no_grad():
        model.weight.fill_(0.5), model.bias.zero_()
    with pytest.raises(ValueError, match=r"loss is (nan|-inf) at alpha=-1, beta="):
        loss_surface(
            model, log_loss, torch.ones(1, 1), torch.ones(1, 1),
            directions=torch.eye(2), resolution=3,
        )  # fmt: skip


def test_surface_grid_rejects_a_transposed_loss():
    with pytest.raises(WRONG_SHAPE, match=r"loss has shape \(3, 2\), expected .* \(2, 3\)|type"):
        SurfaceGrid(np.zeros(3), np.zeros(2), np.zeros((3, 2)))


# --- projections ------------------------------------------------------------------------


def test_projection_onto_a_skew_plane_finds_the_coordinates_it_was_made_from():
    generator = make_generator()
    center = torch.randn(9, generator=generator, dtype=torch.float64)
    plane = torch.randn(2, 9, generator=generator, dtype=torch.float64)
    coordinates = torch.randn(13, 2, generator=generator, dtype=torch.float64)
    shadow = project_path(center + coordinates @ plane, center, plane)
    torch.testing.assert_close(shadow.coordinates, coordinates)
    assert shadow.captured == pytest.approx(1.0)


def test_projection_leaves_a_residual_at_right_angles():
    generator = make_generator(1)
    center, plane = torch.zeros(6), torch.randn(2, 6, generator=generator)
    weights = torch.randn(4, 6, generator=generator)
    shadow = project_path(weights, center, plane)
    residual = weights.double() - shadow.coordinates @ plane.double()
    assert (residual @ plane.double().T).abs().max() < 1e-6
    share = 1 - residual.square().sum() / weights.double().square().sum()
    assert shadow.captured == pytest.approx(share.item())


def test_pca_plane_captures_at_least_what_a_random_one_does():
    generator = make_generator(2)
    weights = torch.randn(10, 30, generator=generator, dtype=torch.float64).cumsum(dim=0)
    center = weights[-1]
    plane = pca_directions(weights, center)
    torch.testing.assert_close(plane @ plane.T, torch.eye(2, dtype=torch.float64))
    best = project_path(weights, center, plane).captured
    singular = torch.linalg.svdvals(weights - center)
    assert best == pytest.approx((singular[:2].square().sum() / singular.square().sum()).item())
    for _ in range(5):
        other = torch.randn(2, 30, generator=generator, dtype=torch.float64)
        assert project_path(weights, center, other).captured < best


def test_projection_rejects_what_cannot_be_projected():
    center, plane = torch.zeros(4), torch.eye(4)[:2]
    with pytest.raises(ValueError, match="never leaves center"):
        project_path(torch.zeros(3, 4), center, plane)
    with pytest.raises(WRONG_SHAPE, match=r"expected \(2, 4\)|num_params"):
        project_path(torch.ones(3, 4), center, torch.eye(3)[:2])
