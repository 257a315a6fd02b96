"""ScheduleExplorer: schedules against torch, the noise floor, the widget without a browser."""

import io
import math

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch.optim import lr_scheduler

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import ScheduleExplorer
from course_utils.widgets.core.schedules import (
    CURVATURES,
    NOISE,
    NUM_STEPS,
    SCHEDULES,
    constant_floor,
    learning_rates,
    noise_table,
    noisy_descent,
    tail_mean,
)
from course_utils.widgets.views.schedule import PRESETS


def warm_up_then_cosine(optimizer, steps, num_steps):
    rise = lr_scheduler.LinearLR(optimizer, start_factor=0.01, total_iters=steps)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps - steps)
    return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[steps])


TWINS = {
    "constant": lambda o, s, n: lr_scheduler.ConstantLR(o, factor=1.0),
    "step": lambda o, s, n: lr_scheduler.StepLR(o, step_size=s, gamma=0.1),
    "linear": lambda o, s, n: lr_scheduler.LinearLR(o, 1.0, end_factor=s, total_iters=n),
    "1/t": lambda o, s, n: lr_scheduler.LambdaLR(o, lambda t: s / (s + t)),
    "exponential": lambda o, s, n: lr_scheduler.ExponentialLR(o, gamma=0.5 ** (1 / s)),
    "cosine": lambda o, s, n: lr_scheduler.CosineAnnealingLR(o, n, eta_min=0.3 * s),
    "warm-up": warm_up_then_cosine,
    "cyclic": lambda o, s, n: lr_scheduler.CyclicLR(o, 0.03, 0.3, s, cycle_momentum=False),
    "SGDR": lambda o, s, n: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=s, T_mult=2),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("num_steps", [NUM_STEPS, 217])
def test_equals_torch(schedule, num_steps):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.3)
    shape = {"linear": 0.2, "cosine": 0.15, "constant": 0.0}.get(schedule, 37)
    scheduler = TWINS[schedule](optimizer, shape, num_steps)
    expected = []
    for _ in range(num_steps):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    lrs = learning_rates(schedule, 0.3, shape, num_steps)
    np.testing.assert_allclose(lrs, expected, rtol=1e-9, atol=1e-12)


def test_one_direction_without_noise_by_hand():
    lrs = np.full(NUM_STEPS, 0.05)
    descent = noisy_descent(lrs, np.zeros((NUM_STEPS, len(CURVATURES))))
    steps = np.arange(NUM_STEPS + 1)[:, None]
    expected = 0.5 * (CURVATURES * (1 - 0.05 * CURVATURES) ** (2 * steps)).sum(axis=1)
    np.testing.assert_allclose(descent.loss, expected, rtol=1e-9)


def test_sgd_equals_torch_on_minibatch_losses():
    noise = noise_table(np.random.default_rng(3), 30)
    lrs = learning_rates("SGDR", 0.15, 20, 30)
    theta = torch.ones(len(CURVATURES), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=1.0)
    curvatures, losses = torch.tensor(CURVATURES), []
    for lr, shift in zip(lrs, torch.tensor(noise), strict=True):
        optimizer.param_groups[0]["lr"] = lr
        optimizer.zero_grad()
        (0.5 * curvatures * (theta - shift) ** 2).sum().backward()
        optimizer.step()
        losses.append((0.5 * curvatures * theta**2).sum().item())
    np.testing.assert_allclose(noisy_descent(lrs, noise).loss[1:], losses, rtol=1e-9)


@pytest.mark.parametrize("lr", [0.05, 0.1, 0.15])
def test_noise_floor_is_where_a_constant_rate_ends(lr):
    rng = np.random.default_rng(11)
    ends = [tail_mean(noisy_descent(np.full(1500, lr), noise_table(rng, 1500))) for _ in range(60)]
    error = np.std(ends) / math.sqrt(len(ends))
    assert np.mean(ends) == pytest.approx(constant_floor(lr), abs=4 * error)
    assert 4 * error < 0.3 * constant_floor(lr)


def test_noise_floor_by_hand_and_beyond_the_limit():
    pull = 0.1 * CURVATURES
    expected = (0.5 * CURVATURES * NOISE**2 * pull / (2 - pull)).sum()
    assert constant_floor(0.1) == pytest.approx(expected)
    assert constant_floor(0.2) == math.inf
    run = noisy_descent(learning_rates("constant", 0.21, 0), np.zeros((NUM_STEPS, 10)))
    # The steepest direction, half of 10 to begin with, grows by 1.1 squared a step.
    first = 0.5 * CURVATURES.sum()
    expected = math.ceil(math.log(1e6 * first / 5) / (2 * math.log(1.1)))
    assert run.stopped == expected
    assert tail_mean(run) == math.inf
    assert np.isfinite(run.loss[: run.stopped]).all()


def test_presets_teach_what_their_names_say():
    ends = {}
    for name, (schedule, lr, title) in PRESETS.items():
        widget = ScheduleExplorer(schedule, base_lr=lr)
        ends[name] = [tail_mean(run) for run in widget.descents()]
        assert len(title.split()) > 4
    assert ends["too low"][0] > 10 * ends["just right"][0]
    assert ends["too high"][0] == math.inf
    own, constant = ends["noise floor"]
    assert constant > 10 * own
    # What the task asks for exists: cosine beats every constant rate.
    best = min(tail_mean(ScheduleExplorer("constant", base_lr=lr).descents()[0])
               for lr in np.geomspace(1e-3, 0.19, 40).tolist())  # fmt: skip
    assert tail_mean(ScheduleExplorer("cosine").descents()[0]) < best / 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "cosin"}, r"schedule must be one of .*'cosine'.*got 'cosin'"),
        ({"base_lr": 0}, r"base_lr must lie in \(0, 1\]; got 0. Try 0.1"),
        ({"base_lr": float("nan")}, r"base_lr must be finite; got nan"),
        ({"shape": 1.5}, r"shape of 'cosine' \(last fraction of the base\) must lie in 0 to 1"),
        ({"schedule": "step", "shape": 3}, r"must lie in 20 to 400; got 3. Try 150"),
        ({"shape": float("inf")}, r"shape must be finite; got inf"),
        ({"step": -1}, r"step must lie in 0 to 420; got -1"),
    ],
)
def test_errors_name_argument_and_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        ScheduleExplorer(**arguments)
    with pytest.raises(ValueError, match="schedule must be one of"):
        learning_rates("cosin", 0.1, 0)


def test_traits_are_checked_and_the_shape_follows_the_schedule():
    widget = ScheduleExplorer()
    with pytest.raises(ValueError, match="base_lr must lie in"):
        widget.base_lr = 2.0
    widget.schedule = "step"
    assert widget.shape == 150
    widget.shape = 33
    widget.schedule = "SGDR"
    assert widget.shape == 33
    widget.schedule = "cosine"
    assert widget.shape == 0
    assert widget.initial == {"schedule": "cosine", "base_lr": 0.1, "shape": 0.0, "step": 420}
    assert ScheduleExplorer().noise == widget.noise


@pytest.mark.parametrize("schedule", ["constant", "cyclic", "warm-up"])
@pytest.mark.parametrize("base_lr", [0.01, 0.25])
def test_picture_and_words_where_it_cannot_run(schedule, base_lr):
    widget = ScheduleExplorer(schedule, base_lr=base_lr, step=100)
    data, metadata = widget._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == widget.description()
    assert ("diverged at step" in widget.description()) == (base_lr == 0.25)
    end = tail_mean(widget.descents()[0])
    assert (f": mean loss {end:.3g} over" in widget.description()) == math.isfinite(end)
    fig = widget.picture()
    assert check_axes(fig) == []
    image = imread(io.BytesIO(png_bytes(fig, dpi=60)))
    assert image[..., :3].std() > 0.05
    np.testing.assert_array_equal(image[0, 0, :3], 1.0)


def test_state_and_code_stay_small():
    widget = ScheduleExplorer()
    state = widget.get_state()
    size = sum(len(v) if isinstance(v, bytes) else len(str(v)) for v in state.values())
    assert size <= 100_000
    assert len(widget._esm) <= 30_000
