"""Playground: generator, gradients, what the presets claim, and the widget without a browser."""

import math

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import Playground
from course_utils.widgets.core.playground import (
    ACTIVATIONS,
    DATASETS,
    PRESETS,
    accuracy,
    dead_units,
    initial_network,
    load_split,
    loss_and_gradients,
    mulberry32,
    predict,
    train,
)

SEEDS = range(8)
PRESET = {preset.name: preset for preset in PRESETS}


def run(preset, seed, width=None, lr=None, steps=None):
    """Train as a preset says, but from another seed."""
    data = load_split(preset.dataset)
    training = train(
        width or preset.width,
        preset.activation,
        lr or preset.lr,
        seed,
        steps or preset.steps,
        data,
    )
    return training, accuracy(training.network, preset.activation, data.X_train, data.y_train)


def test_generator_gives_the_published_numbers():
    # What the JavaScript form of mulberry32 gives from seed 0.
    uniform = mulberry32(0)
    assert [int(next(uniform) * 2**32) for _ in range(3)] == [1144304738, 1416247, 958946056]
    draws = mulberry32(12345)
    numbers = np.array([next(draws) for _ in range(20_000)])
    assert abs(numbers.mean() - 0.5) < 0.01
    assert 0 <= numbers.min() < 0.001 < 0.999 < numbers.max() < 1


def test_initial_weights_have_the_stated_spread():
    networks = [initial_network(8, seed) for seed in range(300)]
    assert np.std([n.W1 for n in networks]) == pytest.approx(1.0, rel=0.05)
    assert np.std([n.W2 for n in networks]) == pytest.approx(0.5, rel=0.05)
    assert not np.any(networks[0].b1)
    assert networks[0].b2 == 0.0
    np.testing.assert_array_equal(networks[3].W1, initial_network(8, 3).W1)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("width", [1, 5, 16])
def test_gradients_equal_autograd(activation, width):
    data = load_split("moons")
    network = initial_network(width, 7)
    rng = np.random.default_rng(width)
    network.b1, network.b2 = rng.normal(size=width), 0.3
    loss, gradients = loss_and_gradients(network, activation, data.X_train, data.y_train)
    parameters = [
        torch.tensor(v, dtype=torch.float64, requires_grad=True)
        for v in (network.W1, network.b1, network.W2, network.b2)
    ]
    W1, b1, W2, b2 = parameters
    hidden = getattr(torch, activation)(torch.tensor(data.X_train) @ W1 + b1)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        hidden @ W2 + b2, torch.tensor(data.y_train, dtype=torch.float64)
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for mine, parameter in zip(
        (gradients.W1, gradients.b1, gradients.W2, gradients.b2), parameters, strict=True
    ):
        np.testing.assert_allclose(mine, parameter.grad.numpy(), rtol=1e-9, atol=1e-14)


def test_training_is_plain_gradient_descent():
    data = load_split("xor")
    result = train(3, "tanh", 0.5, 4, 5, data)
    parameters = [
        torch.tensor(v, dtype=torch.float64, requires_grad=True)
        for v in vars(initial_network(3, 4)).values()
    ]
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    for _ in range(5):
        optimizer.zero_grad()
        W1, b1, W2, b2 = parameters
        logits = torch.tanh(torch.tensor(data.X_train) @ W1 + b1) @ W2 + b2
        torch.nn.functional.binary_cross_entropy_with_logits(
            logits, torch.tensor(data.y_train, dtype=torch.float64)
        ).backward()
        optimizer.step()
    for mine, parameter in zip(vars(result.network).values(), parameters, strict=True):
        np.testing.assert_allclose(mine, parameter.detach().numpy(), rtol=1e-10)
    assert len(result.train_loss) == len(result.held_loss) == 6


@pytest.mark.parametrize("name", DATASETS)
def test_data_sets_have_both_classes_in_both_parts(name):
    data = load_split(name)
    assert data.X_train.shape == (160, 2)
    assert data.X_held.shape == (80, 2)
    assert 0.3 < data.y_train.mean() < 0.7
    assert 0.3 < data.y_held.mean() < 0.7
    np.testing.assert_array_equal(data.X_train, data.X_train.astype(np.float32))


def test_one_unit_cannot():
    for seed in SEEDS:
        assert run(PRESET["one unit cannot"], seed)[1] < 0.8


def test_two_lines_from_most_starts():
    preset = PRESET["two lines"]
    right = [run(preset, seed)[1] > 0.97 for seed in SEEDS]
    assert right[preset.seed]
    assert len(SEEDS) / 2 < sum(right) < len(SEEDS)  # most, but not all: worth trying others


def test_too_fast_makes_the_loss_jump():
    preset = PRESET["too fast"]

    def rises(seed, lr):
        losses = run(preset, seed, lr=lr)[0].train_loss
        return np.mean(np.diff(losses) > 0), losses.max()

    for seed in SEEDS:
        share, most = rises(seed, preset.lr)
        assert share > 0.2
        assert most > 5
        assert rises(seed, 0.3)[0] == 0
    assert rises(preset.seed, preset.lr)[0] > 0.4


def test_spiral_needs_width():
    preset = PRESET["spiral needs width"]
    for seed in range(3):
        assert run(preset, seed)[1] < 0.8
        assert run(preset, seed, width=16)[1] > 0.95


def test_dead_relu():
    preset = PRESET["dead relu"]
    X = load_split(preset.dataset).X_train
    dead = [len(dead_units(run(preset, seed)[0].network, X)) for seed in SEEDS]
    calm = [len(dead_units(run(preset, seed, lr=0.3)[0].network, X)) for seed in SEEDS]
    assert dead[preset.seed] >= 5
    assert np.mean(dead) > 3
    assert np.mean(calm) < 0.5
    training, right = run(preset, preset.seed)
    assert right < 0.8
    # A dead unit gets no gradient, so it stays dead.
    lost = dead_units(training.network, X)
    data = load_split(preset.dataset)
    _, gradients = loss_and_gradients(training.network, "relu", data.X_train, data.y_train)
    assert not np.any(gradients.W1[:, lost])
    assert not np.any(gradients.b1[lost])


def test_overflow_shows_as_a_loss_that_is_no_number():
    training = train(8, "relu", 100.0, 0, 300, load_split("moons"))
    assert len(training.train_loss) == 301


def test_traits_and_sizes():
    widget = Playground(dataset="xor", width=2, lr=0.5, seed=3, steps=20)
    assert (widget.dataset, widget.width, widget.activation) == ("xor", 2, "tanh")
    assert (widget.lr, widget.seed, widget.steps) == (0.5, 3, 20)
    assert len(widget.points) == 4 * 240 * 3 * 4
    assert sum(len(str(v)) for k, v in widget.get_state().items() if k[0] != "_") < 100_000
    assert len(str(widget._esm).encode()) <= 30_000
    assert len(widget.training().train_loss) == 21
    widget.width = 7
    assert widget.training(0).network.W1.shape == (2, 7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "moon"}, "dataset must be one of moons, xor, spirals, separable; got 'moon'"),
        ({"activation": "gelu"}, "activation must be one of tanh, sigmoid, relu; got 'gelu'"),
        ({"width": 17}, "width must be from 1 to 16; got 17"),
        ({"width": 0}, "width must be from 1 to 16; got 0"),
        ({"lr": 0.0}, "lr must be above 0 and at most 100; got 0.0"),
        ({"lr": math.nan}, "lr must be above 0 and at most 100; got nan"),
        ({"seed": -1}, "seed must be from 0 to 4294967295; got -1"),
        ({"steps": 20_001}, "steps must be from 0 to 20000; got 20001"),
    ],
)
def test_errors_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        Playground(**arguments)
    widget, (name, value) = Playground(), next(iter(arguments.items()))
    with pytest.raises(ValueError, match=message):
        setattr(widget, name, value)


@pytest.mark.parametrize(
    "widget", [Playground(), Playground("xor", 8, "relu", 10.0, 5, steps=150)], ids=["new", "dead"]
)
def test_fallback_shows_surface_and_losses(widget, tmp_path):
    figure = widget.picture()
    assert check_axes(figure) == []
    (tmp_path / "a.png").write_bytes(png_bytes(figure))
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    assert "held out" in widget.description()


def test_prediction_on_the_line_is_class_one():
    network = initial_network(2, 0)
    network.W2[:] = 0.0
    hidden, logits = predict(network, "tanh", np.zeros((3, 2)))
    assert hidden.shape == (3, 2)
    assert not logits.any()
    assert accuracy(network, "tanh", np.zeros((3, 2)), np.array([1, 1, 0])) == pytest.approx(2 / 3)
