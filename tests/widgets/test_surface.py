"""LossSurface: the camera, the scales, and the widget without a browser."""

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import nn

from course_utils.figures import check_axes, png_bytes
from course_utils.landscape import SurfaceGrid, loss_surface, random_directions
from course_utils.widgets import LossSurface
from course_utils.widgets.core.surface import TALL, camera_scale, project


def make_surfaces() -> dict[str, SurfaceGrid]:
    alphas, betas = np.linspace(-1, 1, 21), np.linspace(-1, 1.2, 17)
    a, b = np.meshgrid(alphas, betas)
    return {
        "plain": SurfaceGrid(alphas, betas, 0.4 + 20 * (a**2 + b**2) * (1.2 + np.sin(6 * a))),
        'with "skips"': SurfaceGrid(alphas, betas, 0.3 + 2 * a**2 + 3 * b**2),
    }


PATH = np.linspace([-0.8, 0.7], [0, 0], 12)


def test_from_above_it_is_a_map():
    corners = np.array([[0, 0, 0.2], [1, 0, 0.9], [1, 1, 0.5], [0, 1, 0.0]], dtype=float)
    seen = project(corners, 0.0, 90.0)
    scale = camera_scale(90, 480, 360)
    np.testing.assert_allclose(seen[:, 0], 240 + scale * np.array([-1, 1, 1, -1]))
    np.testing.assert_allclose(seen[:, 1], 180 - scale * np.array([-1, -1, 1, 1]))
    np.testing.assert_allclose(seen[:, 2], TALL * (corners[:, 2] - 0.5), atol=1e-12)


def test_from_the_side_height_goes_up_and_the_front_is_near():
    points = np.array([[0.5, 0, 0], [0.5, 0, 1], [0.5, 1, 0]], dtype=float)
    front, top, back = project(points, 0.0, 0.0)
    assert front[1] - top[1] == pytest.approx(TALL * camera_scale(0, 480, 360))
    assert front[2] - back[2] == pytest.approx(2)
    # Turned by 90 degrees, one looks along alpha.
    left, right = project(np.array([[0, 0.5, 0], [1, 0.5, 0]], dtype=float), 90.0, 0.0)
    assert left[2] - right[2] == pytest.approx(2)


@pytest.mark.parametrize("elevation", [0, 20, 50, 90])
def test_the_cube_fits_for_every_azimuth(elevation):
    cube = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(-1, 3).astype(float)
    for azimuth in range(0, 360, 15):
        seen = project(cube, azimuth, elevation)
        assert seen[:, 0].min() >= 36
        assert seen[:, 0].max() <= 444
        assert seen[:, 1].min() >= 10
        assert seen[:, 1].max() <= 350


def test_traits_and_defaults():
    widget = LossSurface(make_surfaces(), {"plain": PATH})
    assert widget.title == "plain"
    assert widget.point == [-0.8, 0.7]
    assert widget.step == 11
    assert widget.log_height
    assert widget.initial["azimuth"] == -35
    widget.log_height = False
    assert widget.scale().high == pytest.approx(make_surfaces()["plain"].loss.max())
    widget.shared = False
    widget.title = 'with "skips"'
    assert widget.scale().high == pytest.approx(0.3 + 2 + 3 * 1.2**2)
    assert widget.loss_at(widget.title, (0.5, 0.2)) == pytest.approx(0.92, abs=2e-3)
    losses = np.frombuffer(widget.losses, "<f4")
    np.testing.assert_array_equal(
        losses[21 * 17 :].reshape(17, 21), make_surfaces()[widget.title].loss
    )
    assert widget.surfaces[1]["offset"] == 21 * 17
    assert widget.surfaces[1]["path"] == [24, 0]
    assert not LossSurface({"a": SurfaceGrid(np.arange(3.0), np.arange(3.0), np.eye(3))}).log_height


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), r"surfaces must be a dict of title and SurfaceGrid.*got list"),
        (({},), r"surfaces must be a dict"),
        (({"a": np.ones((3, 3))},), r"surfaces\['a'\] must be a SurfaceGrid; got ndarray"),
        ((make_surfaces(), {"skip": PATH}), r"paths must have titles among .*got \['skip'\]"),
        ((make_surfaces(), {"plain": PATH + 9}), r"paths\['plain'\] never enters the surface"),
        ((make_surfaces(), {"plain": PATH.T}), r"paths\['plain'\] must have shape \('any', 2\)"),
        ((make_surfaces(), {"plain": PATH * np.nan}), r"paths\['plain'\] must be finite"),
    ],
)
def test_errors_of_data_name_argument_and_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        LossSurface(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"title": "skip"}, r"title must be one of \['plain'.*got 'skip'"),
        ({"point": (0.0, 1.3)}, r"point must lie on the surface, alpha -1 to 1, beta -1 to 1.2"),
        ({"point": (0.0, np.nan)}, r"point must be finite"),
        ({"azimuth": np.inf}, r"azimuth must be finite"),
        ({"elevation": 91.0}, r"elevation must lie in 0 to 90 degrees; got 91"),
        ({"step": 12}, r"step must lie in 0 to 11; got 12"),
    ],
)
def test_errors_of_state_name_argument_and_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        LossSurface(make_surfaces(), {"plain": PATH}, **arguments)


def test_limits_of_size_and_of_logarithms():
    axis = np.linspace(0, 1, 400)
    with pytest.raises(ValueError, match=r"hold 160000 points; at most .* lower resolution"):
        LossSurface({"fine": SurfaceGrid(axis, axis, np.ones((400, 400)))})
    flat = {"flat": SurfaceGrid(np.arange(3.0), np.arange(3.0), np.eye(3))}
    with pytest.raises(ValueError, match="log_height needs losses above 0; the lowest is 0"):
        LossSurface(flat, log_height=True)
    widget = LossSurface(make_surfaces())
    with pytest.raises(ValueError, match="elevation must lie"):
        widget.elevation = -5.0
    assert (widget.point, widget.step) == ([-0.4, 0.54], 0)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("title", list(make_surfaces()))
def test_picture_and_words_where_it_cannot_run(title, shared):
    widget = LossSurface(make_surfaces(), {"plain": PATH}, title=title, shared=shared)
    data, metadata = widget._repr_mimebundle_()
    text = widget.description()
    assert data["text/plain"] == metadata["image/png"]["alt"] == text
    grid = make_surfaces()[title]
    assert f"lowest {grid.loss.min():.3g}" in text
    assert ("the path is at step 11 of 11" in text) == (title == "plain")
    fig = widget.picture()
    assert check_axes(fig) == []
    image = imread(io.BytesIO(png_bytes(fig, dpi=60)))
    assert image[..., :3].std() > 0.05
    np.testing.assert_array_equal(image[-1, 0, :3], 1.0)


def test_a_real_network_and_the_budgets():
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator))
    X = torch.randn(20, 3, generator=generator)
    directions = random_directions(model, generator=generator)
    grid = loss_surface(
        model, nn.functional.mse_loss, X, X[:, :1], directions=directions, resolution=51
    )
    widget = LossSurface({"a": grid, "b": grid}, {"a": np.zeros((300, 2))})
    size = sum(len(v) if isinstance(v, bytes) else len(str(v)) for v in widget.get_state().values())
    assert size <= 100_000
    assert len(widget._esm) <= 30_000
    assert widget.loss_at("a", (0.0, 0.0)) == pytest.approx(float(grid.loss[25, 25]))
