"""SignalFlow: the network against torch, what the presets claim, the widget without a browser."""

from itertools import islice

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch.nn import functional as F

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import SignalFlow
from course_utils.widgets.core.flow import (
    ACTIVATIONS,
    INITS,
    MAX_WIDTH,
    NORMS,
    activate,
    decades,
    normal_tables,
    run_network,
    shared_range,
    signal_flow,
    statistics,
    uniforms,
    weights,
)
from course_utils.widgets.core.playground import mulberry32
from course_utils.widgets.views.flow import PRESETS

SEEDS = range(5)
TORCH = {
    "step": lambda x, p: torch.heaviside(x, torch.zeros_like(x)),
    "logistic": lambda x, p: torch.sigmoid(x),
    "tanh": lambda x, p: torch.tanh(x),
    "relu": lambda x, p: torch.relu(x),
    "leaky relu": lambda x, p: F.leaky_relu(x, p),
    "elu": lambda x, p: F.elu(x, p),
    "softplus": lambda x, p: F.softplus(x, threshold=40),
    "swish": lambda x, p: x * torch.sigmoid(p * x),
    "gelu": lambda x, p: F.gelu(x),
}
NORMS_OF_TORCH = {
    "none": lambda z: z,
    "batch": lambda z: F.batch_norm(z, None, None, training=True),
    "layer": lambda z: F.layer_norm(z, z.shape[1:]),
}


def test_uniforms_are_those_of_the_generator():
    for seed in (0, 7, 2**32 - 1):
        assert uniforms(seed, 500).tolist() == list(islice(mulberry32(seed), 500))


def test_tables_are_normal_and_shared_by_all_sizes():
    tables = normal_tables(3)
    for part in (tables.inputs, tables.top, tables.layers):
        assert abs(part.mean()) < 0.06
        assert part.std() == pytest.approx(1, abs=0.03)
    # The fourth moment of a normal number is 3.
    assert np.mean(tables.layers**4) == pytest.approx(3, rel=0.05)
    assert abs(np.corrcoef(tables.layers.reshape(-1, 2).T)[0, 1]) < 0.01
    np.testing.assert_array_equal(weights("large", 4, 9, 3), tables.layers[:4, :9, :9])
    assert not np.array_equal(tables.inputs, normal_tables(4).inputs)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("share", [None, 0.37])
def test_activations_equal_torch(name, share):
    known = ACTIVATIONS[name]
    parameter = known.default if share is None else known.low + share * (known.high - known.low)
    x = torch.linspace(-20, 20, 801, dtype=torch.float64)
    x = torch.cat([x[x != 0], torch.tensor([-800.0, 800.0], dtype=torch.float64)])
    x.requires_grad_()
    expected = TORCH[name](x, parameter)
    f, slope = activate(name, x.detach().numpy(), parameter)
    np.testing.assert_allclose(f, expected.detach(), rtol=1e-10, atol=1e-15)
    if name != "step":
        expected.sum().backward()
        np.testing.assert_allclose(slope, x.grad, rtol=1e-9, atol=1e-15)
    else:
        assert not slope.any()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("depth", "width", "activation", "init"),
    [
        (2, 2, "tanh", "large"),
        (7, 13, "tanh", "xavier"),
        (5, 31, "relu", "he"),
        (6, 64, "elu", "orthogonal"),
        (4, 17, "gelu", "slide"),
        (3, 8, "logistic", "small"),
        (3, 8, "swish", "zero"),
    ],
)
def test_signal_and_gradients_equal_autograd(norm, depth, width, activation, init):
    flow = signal_flow(depth, width, activation, init, norm, seed=2)
    h, outputs = torch.tensor(flow.inputs), []
    for W in torch.tensor(weights(init, depth, width, 2)):
        h = TORCH[activation](NORMS_OF_TORCH[norm](h @ W), ACTIVATIONS[activation].default)
        outputs.append(h.requires_grad_())
    for output in outputs:
        output.retain_grad()
    top = torch.tensor(normal_tables(2).top[:, :width])
    (h * top / top.square().mean().sqrt()).sum().backward()
    for k, output in enumerate(outputs):
        np.testing.assert_allclose(flow.activations[k], output.detach(), rtol=1e-9, atol=1e-14)
        np.testing.assert_allclose(flow.gradients[k], output.grad, rtol=1e-8, atol=1e-13)
    assert statistics(flow).gradient_rms[-1] == pytest.approx(1)


def test_initialisations_have_the_stated_spread():
    expected = {"zero": 0, "small": 0.01, "large": 1, "xavier": 1 / 8, "he": (2 / 64) ** 0.5}
    expected |= {"slide": (64 / 2) ** 0.5, "orthogonal": 1 / 8}
    assert set(expected) == set(INITS)
    for init, std in expected.items():
        assert weights(init, 30, 64, 0).std() == pytest.approx(std, rel=0.01)
    for width in (2, 13, 64):
        Q = weights("orthogonal", 3, width, 1)
        np.testing.assert_allclose(Q.transpose(0, 2, 1) @ Q, [np.eye(width)] * 3, atol=1e-12)
        # Gram and Schmidt: each drawn column has a positive part along its own direction.
        assert (np.einsum("lij,lij->lj", Q, weights("large", 3, width, 1)) > 0).all()


def test_printed_he_multiplies_each_relu_layer_by_half_the_width():
    right, printed = (signal_flow(30, 64, "relu", init, "none") for init in ("he", "slide"))
    factors = 32.0 ** np.arange(1, 31)
    np.testing.assert_allclose(
        printed.activations, right.activations * factors[:, None, None], rtol=1e-9, atol=1e-300
    )


def test_he_keeps_the_mean_square_of_relu_on_average():
    squares = [statistics(signal_flow(4, 64, "relu", "he", "none", s)).rms ** 2 for s in range(60)]
    assert np.mean(squares, axis=0) == pytest.approx(1, abs=0.12)
    halved = [statistics(signal_flow(4, 64, "relu", "xavier", "none", s)).rms for s in range(60)]
    assert np.mean(np.square(halved), axis=0) == pytest.approx(0.5 ** np.arange(1, 5), rel=0.12)


def shown(name, seed):
    depth, activation, init, norm, _ = PRESETS[name]
    return statistics(signal_flow(depth, 64, activation, init, norm, seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_presets_show_what_they_name(seed):
    collapse, saturate, tanh, dying, he, slide, rescued = (shown(n, seed) for n in PRESETS)
    assert collapse.std[-1] < 1e-9
    assert collapse.gradient_rms[0] < 1e-8
    assert saturate.flat.min() > 0.6
    assert saturate.std.min() > 0.9
    assert 0.15 < tanh.std[-1] < tanh.std[0] < 0.7
    assert 0.2 < tanh.gradient_rms[0] < 2
    assert dying.std[-1] < 1e-4
    np.testing.assert_allclose(dying.rms * 2 ** (np.arange(1, 31) / 2), he.rms, rtol=1e-6)
    assert 0.02 < he.rms[-1] < 20
    assert slide.std[-1] > 1e42
    assert rescued.std.min() > 0.5
    assert 0.5 < rescued.gradient_rms[0] < 5


def test_presets_are_settings_that_the_traits_allow():
    for preset in SignalFlow().presets.values():
        settings = {name: value for name, value in preset.items() if name != "title"}
        again = SignalFlow(**settings)
        assert {name: getattr(again, name) for name in settings} == settings


def test_statistics_by_hand():
    flow = run_network(np.array([[[1.0, 0.0], [0.0, -1.0]]]), "relu", seed=1)
    x = normal_tables(1).inputs[:, :2] * [1, -1]
    s = statistics(flow)
    assert s.mean[0] == pytest.approx(np.maximum(x, 0).mean())
    assert s.flat[0] == pytest.approx((x <= 0).mean())
    assert s.dead[0] == 0
    assert s.spread[0] == pytest.approx(np.sqrt(np.maximum(x, 0).var(axis=0).mean()))
    nothing = statistics(signal_flow(2, 4, "relu", "zero", "none"))
    assert nothing.dead.tolist() == [4, 4]
    assert nothing.std.tolist() == [0, 0]


def test_ranges_are_round_and_hold_the_layers():
    layers = signal_flow(10, 64, "tanh", "large", "none").activations
    assert shared_range(layers) == (-1.0, 1.0)
    assert shared_range(np.full((1, 2, 2), 3.0)) == (-1.0, 5.0)
    assert shared_range(np.zeros((1, 2, 2))) == (-0.2, 1.0)
    assert shared_range(np.full((1, 2, 2), 3e-40)) == pytest.approx((-1e-40, 5e-40))
    assert decades(np.array([0.0, 0.02, 30.0])) == (0.01, 100.0)
    assert decades(np.array([0.5])) == (0.01, 1.0)
    assert decades(np.zeros(3)) == (0.01, 1.0)


def test_traits_and_sizes():
    widget = SignalFlow(30, 13, "gelu", "orthogonal", "layer", seed=9, layer=4)
    assert (widget.depth, widget.width, widget.activation) == (30, 13, "gelu")
    assert (widget.init, widget.norm, widget.seed, widget.layer) == ("orthogonal", "layer", 9, 4)
    assert widget.flow().activations.shape == (30, 32, 13)
    assert sum(len(str(v)) for k, v in widget.get_state().items() if k[0] != "_") < 20_000
    assert len(str(widget._esm).encode()) <= 30_000
    widget.width = MAX_WIDTH
    assert widget.flow().activations.shape == (30, 32, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 1}, "depth must be from 2 to 30; got 1"),
        ({"depth": 31}, "depth must be from 2 to 30; got 31"),
        ({"width": 65}, "width must be from 2 to 64; got 65"),
        ({"activation": "sigmoid"}, "activation must be one of step, .*gelu; got 'sigmoid'"),
        ({"init": "kaiming"}, "init must be one of zero, .*orthogonal; got 'kaiming'"),
        ({"norm": "group"}, "norm must be one of none, batch, layer; got 'group'"),
        ({"seed": -1}, "seed must be from 0 to 4294967295; got -1"),
        ({"layer": 0}, "layer must be from 1 to 30; got 0"),
    ],
)
def test_errors_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        SignalFlow(**arguments)
    widget, (name, value) = SignalFlow(), next(iter(arguments.items()))
    with pytest.raises(ValueError, match=message):
        setattr(widget, name, value)


@pytest.mark.parametrize(
    "settings",
    [{}, {"depth": 30, "activation": "relu", "init": "slide"}, {"init": "zero", "norm": "batch"}],
    ids=["collapse", "slide", "zero"],
)
def test_fallback_shows_every_layer(settings, tmp_path):
    widget = SignalFlow(**settings)
    figure = widget.picture()
    assert check_axes(figure) == []
    (tmp_path / "a.png").write_bytes(png_bytes(figure))
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    s = statistics(widget.flow())
    assert f"{s.std[-1]:.3g} at layer {widget.depth}" in widget.description()
