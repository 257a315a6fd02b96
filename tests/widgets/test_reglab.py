"""RegularizationLab: each regulariser against torch, the presets' claims, and the picture."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.image import imread

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import RegularizationLab
from course_utils.widgets.core.playground import initial_network, mulberry32
from course_utils.widgets.core.reglab import (
    DATASETS,
    EVERY,
    LR,
    NUM_STEPS,
    NUM_TRAIN,
    PRESETS,
    REGULARISERS,
    WIDTH,
    gradients,
    load_points,
    normals,
    soft_threshold,
    stream,
    train,
    uniforms,
)

PRESET = {preset.name: preset.strengths for preset in PRESETS}
LOOKS = NUM_STEPS // EVERY


def as_tensors(network):
    return [
        torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in vars(network).values()
    ]


def loss_of(parameters, X, targets, kept=None, drop=0.0):
    W1, b1, W2, b2 = parameters
    hidden = torch.relu(torch.as_tensor(X) @ W1 + b1)
    if kept is not None:
        hidden = hidden * torch.as_tensor(kept) / (1 - drop)
    targets = torch.as_tensor(targets, dtype=torch.float64)
    return F.binary_cross_entropy_with_logits(hidden @ W2 + b2, targets)


def train_with_torch(dataset, strengths, seed, steps):
    """Train with autograd and torch.optim, drawing the same noise one number at a time."""
    points, get = load_points(dataset), lambda name: strengths.get(name, 0.0)
    X, y = points.X[:NUM_TRAIN], points.y[:NUM_TRAIN].astype(float)
    parameters = as_tensors(initial_network(WIDTH, seed))
    weights = [parameters[0], parameters[2]]
    optimizer = torch.optim.SGD(
        [
            {"params": weights, "weight_decay": get("l2")},
            {"params": [parameters[1], parameters[3]]},
        ],
        lr=LR,
    )
    draws = {n: mulberry32(stream(seed, n)) for n in ("input noise", "weight noise", "dropout")}

    def normal(name):
        u = draws[name]
        return math.sqrt(-2 * math.log(1 - next(u))) * math.cos(2 * math.pi * next(u))

    for _ in range(steps):
        moved = X.copy()
        if get("input noise"):
            moved += get("input noise") * np.reshape(
                [normal("input noise") for _ in range(X.size)], X.shape
            )
        kept = None
        if get("dropout"):
            u = [next(draws["dropout"]) for _ in range(NUM_TRAIN * WIDTH)]
            kept = np.reshape(u, (NUM_TRAIN, WIDTH)) >= get("dropout")
        noise = [torch.zeros_like(w) for w in weights]
        if get("weight noise"):
            noise = [
                get("weight noise")
                * torch.tensor(
                    [normal("weight noise") for _ in range(w.numel())], dtype=torch.float64
                ).reshape(w.shape)
                for w in weights
            ]
        optimizer.zero_grad()
        with torch.no_grad():
            for w, e in zip(weights, noise, strict=True):
                w += e
        smooth = get("label smoothing")
        targets = np.where(y == 1, 1 - smooth, smooth)
        loss_of(parameters, moved, targets, kept, get("dropout")).backward()
        with torch.no_grad():
            for w, e in zip(weights, noise, strict=True):
                w -= e
        optimizer.step()
        with torch.no_grad():
            for w in weights:
                w.copy_(F.softshrink(w, LR * get("l1")))
    return np.concatenate([p.detach().numpy().ravel() for p in parameters])


@pytest.mark.parametrize(
    "strengths",
    [
        {},
        {"l2": 0.03},
        {"l1": 0.02},
        {"input noise": 0.3},
        {"weight noise": 0.2},
        {"label smoothing": 0.1},
        {"dropout": 0.4},
        {"l2": 0.01, "l1": 0.003, "input noise": 0.1, "weight noise": 0.1,
         "label smoothing": 0.05, "dropout": 0.2},
    ],
    ids=lambda s: "+".join(s) or "none",
)  # fmt: skip
def test_twenty_steps_equal_torch(strengths):
    run = train("xor", strengths, seed=3)
    expected = train_with_torch("xor", strengths, 3, EVERY)
    np.testing.assert_allclose(run.weights[1], expected, rtol=1e-8, atol=1e-10)
    assert not np.allclose(run.weights[1], run.weights[0])


def test_gradients_equal_autograd():
    rng = np.random.default_rng(0)
    X, targets = rng.normal(size=(11, 2)), rng.uniform(size=11)
    network = initial_network(5, 1)
    network.b1 = rng.normal(size=5)
    kept = rng.uniform(size=(11, 5)) > 0.4
    for mask, drop in ((None, 0.0), (kept, 0.4)):
        parameters = as_tensors(network)
        loss_of(parameters, X, targets, mask, drop).backward()
        got = gradients(network, X, targets, mask, drop)
        for mine, parameter in zip(vars(got).values(), parameters, strict=True):
            np.testing.assert_allclose(mine, parameter.grad, rtol=1e-9, atol=1e-14)


def test_losses_are_measured_without_noise():
    everything = {
        "dropout": 0.5, "input noise": 0.5, "weight noise": 0.5, "label smoothing": 0.2,
    }  # fmt: skip
    run, points = train("blobs", everything), load_points("blobs")
    for look in (0, 7, LOOKS):
        parameters = as_tensors(run.network(look))
        expected = [loss_of(parameters, points.X[p], points.y[p]).item() for p in points.parts]
        np.testing.assert_allclose(run.losses[look], expected, rtol=1e-9)


def test_random_numbers_equal_the_scalar_generator():
    for seed in (0, 5, 4_294_967_295):
        scalar = list(itertools.islice(mulberry32(seed), 50))
        np.testing.assert_array_equal(uniforms(seed, 0, 50), scalar)
        np.testing.assert_array_equal(uniforms(seed, 13, 9), scalar[13:22])
    network = initial_network(WIDTH, 8)
    np.testing.assert_array_equal(network.W1.ravel(), normals(8, 0, 2 * WIDTH))
    draws = normals(1, 10, 40_000)
    assert abs(draws.mean()) < 0.02
    assert draws.std() == pytest.approx(1.0, rel=0.02)


def test_random_numbers_of_two_regularisers_do_not_overlap():
    # The generator counts by an odd step through all 32-bit words, each stream from its own place.
    inverse = pow(0x6D2B79F5, -1, 2**32)
    names = ("input noise", "weight noise", "dropout")
    places = [*sorted(stream(0, name) * inverse % 2**32 for name in names), 2**32]
    most = NUM_STEPS * NUM_TRAIN * WIDTH
    assert places[0] > most  # the starting weights use the first numbers
    assert min(b - a for a, b in itertools.pairwise(places)) > most


def test_soft_threshold_is_the_minimum_of_its_problem():
    candidates = np.linspace(-3, 3, 60_001)
    for w in (-2.3, -0.4, 0.0, 0.2, 1.7):
        for by in (0.0, 0.3, 1.0):
            best = candidates[np.argmin((candidates - w) ** 2 / 2 + by * np.abs(candidates))]
            assert soft_threshold(np.array([w]), by)[0] == pytest.approx(best, abs=1e-4)


def test_early_stopping_keeps_the_least_validation_loss():
    plain = train("moons", {})
    for patience in (60.0, 200.0, 1000.0):
        run = train("moons", {"early stopping": patience})
        assert run.stopped - run.kept == patience / EVERY
        seen = plain.losses[: run.stopped + 1, 1]
        assert run.kept == np.argmin(seen)
        np.testing.assert_array_equal(run.weights[: run.stopped], plain.weights[: run.stopped])
        for look in (run.stopped, LOOKS):
            np.testing.assert_array_equal(run.weights[look], plain.weights[run.kept])
            np.testing.assert_array_equal(run.losses[look], plain.losses[run.kept])
    never = train("moons", {"early stopping": 3000.0})
    assert (never.stopped, never.kept) == (None, int(plain.losses[:, 1].argmin()))
    np.testing.assert_array_equal(never.weights[-1], plain.weights[never.kept])


@pytest.mark.parametrize("dataset", DATASETS)
def test_presets_show_what_they_name(dataset):
    runs = {name: train(dataset, strengths) for name, strengths in PRESET.items()}
    fit = {name: run.losses[-1, 0] for name, run in runs.items()}
    held = {name: run.losses[-1, 2] for name, run in runs.items()}
    weights = {name: run.penalised(-1) for name, run in runs.items()}
    assert held["overfit"] - fit["overfit"] > 0.5
    assert held["overfit"] > 2 * runs["overfit"].losses[:, 2].min()
    assert np.all(np.diff(runs["overfit"].losses[5:, 0]) < 0)
    for name in ("weight decay", "exact zeros", "stop early", "dropout"):
        assert held[name] < 0.7 * held["overfit"], name
        assert held[name] - fit[name] < 0.5 * (held["overfit"] - fit["overfit"]), name
    zeros = {name: int((w == 0).sum()) for name, w in weights.items()}
    assert (zeros["overfit"], zeros["weight decay"], zeros["dropout"]) == (0, 0, 0)
    assert zeros["exact zeros"] > 70
    sizes = [np.sort(np.abs(weights[name])) for name in ("weight decay", "overfit")]
    assert np.all(sizes[0][-60:] < sizes[1][-60:])
    assert runs["stop early"].stopped < LOOKS / 2
    assert fit["too much"] > 3 * fit["overfit"]
    assert held["too much"] > held["weight decay"]


@pytest.mark.parametrize("dataset", DATASETS)
def test_data_sets(dataset):
    points = load_points(dataset)
    assert [len(points.y[part]) for part in points.parts] == [40, 40, 200]
    assert all(0.3 < points.y[part].mean() < 0.7 for part in points.parts)
    np.testing.assert_array_equal(points.X, points.X.astype(np.float32))
    with pytest.raises(ValueError, match="dataset must be one of moons, xor, blobs; got 'moon'"):
        load_points("moon")


@pytest.mark.parametrize("name", REGULARISERS)
def test_every_strength_on_offer_trains(name):
    known = REGULARISERS[name]
    assert known.values[0] == 0
    assert all(0 <= v <= known.most for v in known.values)
    rising = np.diff(known.values[1:])
    assert np.all(rising < 0) if name == "early stopping" else np.all(rising > 0)
    assert all(v % EVERY == 0 for v in known.values) or name != "early stopping"
    for value in (known.values[1], known.values[-1], known.most):
        assert np.isfinite(train("xor", {name: value}).losses).all(), value


def test_traits_and_sizes():
    widget = RegularizationLab("xor", "dropout", 0.5, others={"l2": 0.01}, step=400)
    assert (widget.dataset, widget.regulariser, widget.step) == ("xor", "dropout", 400)
    assert {k: v for k, v in widget.strengths.items() if v} == {"dropout": 0.5, "l2": 0.01}
    assert list(widget.strengths) == list(REGULARISERS)
    assert len(widget.points) == 3 * 280 * 3 * 4
    assert sum(len(str(v)) for k, v in widget.get_state().items() if k[0] != "_") < 60_000
    assert len(str(widget._esm).encode()) <= 30_000
    widget.strengths = {"l1": 0.005}
    assert widget.strengths["dropout"] == 0.0
    np.testing.assert_array_equal(widget.training().weights, train("xor", {"l1": 0.005}).weights)
    assert (RegularizationLab(strength=0.0).strengths) == dict.fromkeys(REGULARISERS, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dataset": "moon"}, "dataset must be one of moons, xor, blobs; got 'moon'"),
        ({"regulariser": "l3"}, "regulariser must be one of l2, l1, input noise, .* got 'l3'"),
        ({"strength": -1.0}, r"strength of 'l2' \(λ\) must be from 0 to 1; got -1. Try 0.007"),
        ({"strength": math.nan}, "strength of 'l2' .* got nan"),
        ({"regulariser": "dropout", "strength": 1.0}, r"strength of 'dropout' \(p\) .* to 0.95"),
        ({"others": {"l3": 1.0}}, "regulariser must be one of .* got 'l3'"),
        ({"others": {"l1": 2.0}}, "strength of 'l1'"),
        ({"step": 15}, "step must be a multiple of 20, 0 to 3000; got 15"),
        ({"step": 3020}, "step must be a multiple of 20"),
    ],
)
def test_errors_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        RegularizationLab(**arguments)


def test_traits_refuse_the_same_values():
    widget = RegularizationLab()
    for name, value in (
        ("dataset", "moon"), ("regulariser", "l3"), ("step", 7), ("strengths", {"l2": -1.0}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match="must be"):
            setattr(widget, name, value)


@pytest.mark.parametrize(
    "widget",
    [
        RegularizationLab(),
        RegularizationLab("blobs", "early stopping", 200, others={"l1": 0.003}),
        RegularizationLab("xor", "l2", 1.0, step=0),
    ],
    ids=["new", "stopped", "start"],
)
def test_fallback_shows_surface_losses_and_weights(widget, tmp_path):
    figure = widget.picture()
    assert check_axes(figure) == []
    (tmp_path / "a.png").write_bytes(png_bytes(figure))
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    assert "generalisation gap" in widget.description()
    stops = widget.strengths["early stopping"] > 0
    assert ("Stopped at step" in widget.description()) == stops
