"""ActivationExplorer: what the presets claim, the critical gain, the widget without a browser."""

import math

import numpy as np
import pytest
from matplotlib.image import imread

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import ActivationExplorer
from course_utils.widgets.core.flow import activate, run_network, statistics, weights
from course_utils.widgets.views.activations import PRESETS

SEEDS = range(5)


def after(name, gain, seed):
    widget = ActivationExplorer((name,), gain, seed=seed)
    return statistics(widget.flow(name))


def shown(preset, seed):
    names, gain, _, _ = PRESETS[preset]
    return [after(name, gain, seed) for name in names]


@pytest.mark.parametrize("seed", SEEDS)
def test_presets_show_what_they_name(seed):
    logistic, tanh = shown("saturates", seed)
    assert tanh.flat.min() > 0.4
    assert logistic.flat.mean() > 0.1
    relu, leaky = shown("dies", seed)
    assert relu.dead[0] == 0
    assert relu.dead[-10:].min() >= 10
    assert not leaky.flat.any()
    relu, swish, gelu = shown("smooth cousins", seed)
    assert swish.rms[-1] < relu.rms[-1]
    assert gelu.flat.mean() < 0.1 < 0.4 < relu.flat.mean()
    logistic, tanh = shown("not zero-centred", seed)
    assert logistic.mean.mean() == pytest.approx(0.5, abs=0.05)
    assert abs(tanh.mean.mean()) < 0.05
    assert logistic.spread[-1] < 1e-9 < 0.1 < tanh.spread[-1]
    (critical,) = shown("critical gain of tanh", seed)
    assert 0.05 < critical.rms[-1] < 0.3


def test_tanh_needs_a_gain_of_one_over_root_two():
    """At small signals a layer multiplies rms by about gain * sqrt(2), whatever the depth."""
    for gain in (0.3, 0.5, 0.6):
        rms = np.mean([np.log(after("tanh", gain, seed).rms) for seed in SEEDS], axis=0)
        rate = (rms[-1] - rms[9]) / 20
        assert rate == pytest.approx(math.log(gain * math.sqrt(2)), abs=0.04)
    for gain in (1.0, 2.0):
        assert min(after("tanh", gain, seed).rms[-1] for seed in SEEDS) > 0.45


def test_gain_scales_every_relu_layer():
    one, two = (after("relu", gain, 3).rms for gain in (1.0, 2.0))
    np.testing.assert_allclose(two, one * 2.0 ** np.arange(1, 31), rtol=1e-9)


def test_parameters_reach_the_network_and_the_words():
    widget = ActivationExplorer(("leaky relu", "swish"), parameters={"leaky relu": 0.3}, x=-2.0)
    flow = widget.flow("leaky relu")
    W = weights("he", 30, 64, 0)
    np.testing.assert_allclose(
        flow.activations, run_network(W, "leaky relu", parameter=0.3).activations
    )
    text = widget.description()
    assert "leaky relu (γ = 0.3): f = -0.6 and f' = 0.3 at x = -2" in text
    (f,), (slope,) = activate("swish", np.array([-2.0]))
    assert f"swish (β = 1): f = {f:.3g} and f' = {slope:.3g}" in text


def test_traits_and_sizes():
    widget = ActivationExplorer("gelu", 2, layer=3, seed=5)
    assert (widget.activations, widget.gain, widget.parameters) == (["gelu"], 2.0, {})
    assert (widget.x, widget.layer, widget.seed) == (1.0, 3, 5)
    assert sum(len(str(v)) for k, v in widget.get_state().items() if k[0] != "_") < 20_000
    assert len(str(widget._esm).encode()) <= 30_000
    for preset in widget.presets.values():
        again = ActivationExplorer(
            preset["activations"], preset["gain"], x=preset["x"], layer=preset["layer"]
        )
        assert again.activations == preset["activations"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activations": ["sigmoid"]}, "activations must be out of step, .*gelu; got 'sigmoid'"),
        ({"activations": []}, r"activations must be one to three different names; got \[\]"),
        ({"activations": ["relu", "relu"]}, "one to three different names"),
        ({"activations": ["relu", "tanh", "elu", "gelu"]}, "one to three different names"),
        ({"gain": 0.0}, "gain must be from 0.1 to 10; got 0.0"),
        ({"gain": math.nan}, "gain must be from 0.1 to 10; got nan"),
        ({"x": 7.0}, "x must be from -6 to 6; got 7.0"),
        ({"layer": 31}, "layer must be from 1 to 30; got 31"),
        ({"seed": -1}, "seed must be from 0 to 4294967295; got -1"),
        (
            {"parameters": {"relu": 1.0}},
            "parameters must be for leaky relu, elu, swish; got 'relu'",
        ),
        ({"parameters": {"elu": 4.0}}, "parameter of 'elu' must be from 0 to 3; got 4.0"),
        ({"parameters": {"swish": math.inf}}, "parameter of 'swish' must be from 0 to 10; got inf"),
    ],
)
def test_errors_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        ActivationExplorer(**arguments)
    widget, (name, value) = ActivationExplorer(), next(iter(arguments.items()))
    with pytest.raises(ValueError, match=message):
        setattr(widget, name, value)


@pytest.mark.parametrize("names", [("relu", "tanh"), ("step",), ("elu", "softplus", "gelu")])
def test_fallback_shows_curves_and_layers(names, tmp_path):
    widget = ActivationExplorer(names, 10.0)
    figure = widget.picture()
    assert check_axes(figure) == []
    (tmp_path / "a.png").write_bytes(png_bytes(figure))
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    for name in names:
        assert name in widget.description()
