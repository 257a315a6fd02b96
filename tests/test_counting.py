"""Layer counts agree with torch's own flop counter and with the sizes of the tensors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from course_utils import probes
from course_utils.counting import LayerCount, count_layers, receptive_field

WHOLE = st.integers(1, 3)


def flops(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Return torch's count for one example, two operations for each multiply-add."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        model.to("meta").eval()(torch.empty(1, *shape))
    return counter.get_total_flops()


@st.composite
def convolutions(draw):
    """A convolution of one to three dimensions, plain or transposed, and a shape for it."""
    dims, groups = draw(st.integers(1, 3)), draw(WHOLE)
    transposed = draw(st.booleans())
    kinds = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    kind = (kinds if transposed else (nn.Conv1d, nn.Conv2d, nn.Conv3d))[dims - 1]
    each = st.tuples(*[WHOLE] * dims)
    channels = groups * draw(WHOLE)
    layer = kind(
        channels,
        groups * draw(WHOLE),
        draw(each),
        stride=draw(each),
        padding=0 if transposed else draw(each),
        dilation=draw(each),
        groups=groups,
        bias=draw(st.booleans()),
    )
    return layer, (channels, *draw(st.tuples(*[st.integers(7, 10)] * dims)))


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_convolutions_agree_with_the_flop_counter(case):
    layer, shape = case
    (row,) = count_layers(layer, shape)
    output = layer(torch.zeros(1, *shape))
    assert row.shape == tuple(output.shape[1:])
    assert row.parameters == sum(p.numel() for p in layer.parameters())
    assert 2 * row.multiply_adds == flops(layer, shape)
    assert row.kind == type(layer).__name__


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.integers(1, 5), st.booleans())
def test_linear_layers_agree_with_the_flop_counter(shape, width, bias):
    layer = nn.Linear(shape[-1], width, bias=bias)
    (row,) = count_layers(layer, shape)
    assert row.shape == (*shape[:-1], width)
    assert row.parameters == width * (shape[-1] + bias)
    assert 2 * row.multiply_adds == flops(layer, tuple(shape))


class Branches(nn.Module):
    """Two branches and a skip, with one layer used twice and one never."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 3, 2, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.left, self.right = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, (1, 3), padding=(0, 1))
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.head, self.auxiliary = nn.Linear(4, 5), nn.Linear(4, 100)
        self.scale = nn.Parameter(torch.ones(4, 1, 1))

    def forward(self, x):
        x = self.stem(x)
        x = x + torch.cat([self.left(x), self.left(x) + self.right(x)], 1) * self.scale
        x, _ = self.pool(x)
        return self.head(x.mean((2, 3)))


def test_branches_shared_layers_and_bare_parameters_are_counted_once():
    model = Branches()
    rows = count_layers(model, (3, 13, 11))
    assert [row.name for row in rows] == [
        "stem.0", "stem.1", "stem.2", "left", "left", "right", "pool", "head", "",
    ]  # fmt: skip
    assert [row.parameters for row in rows] == [108, 8, 0, 10, 0, 26, 0, 25, 4]
    assert rows[6].shape == (4, 3, 2)
    never = sum(p.numel() for p in model.auxiliary.parameters())
    assert sum(row.parameters for row in rows) == sum(p.numel() for p in model.parameters()) - never
    assert 2 * sum(row.multiply_adds for row in rows) == flops(model, (3, 13, 11))


def test_norm_pooling_and_activation_layers_multiply_nothing():
    model = nn.Sequential(nn.GroupNorm(2, 4), nn.LayerNorm([4, 6, 6]), nn.ELU(), nn.AvgPool2d(2))
    rows = count_layers(model, (4, 6, 6))
    assert [row.multiply_adds for row in rows] == [0, 0, 0, 0]
    assert [row.parameters for row in rows] == [8, 288, 0, 0]
    assert rows[-1] == LayerCount("3", "AvgPool2d", (4, 3, 3), 0, 0)


def test_the_model_is_left_as_it_was():
    model = Branches().train()
    values = {name: value.clone() for name, value in model.state_dict().items()}
    with probes.record(model, nn.Linear) as seen:
        count_layers(model, (3, 8, 8))
    assert seen.activations == {}
    assert all(module.training and not module._forward_hooks for module in model.modules())
    for name, value in model.state_dict().items():
        assert value.device.type == "cpu"
        torch.testing.assert_close(value, values[name], rtol=0, atol=0)


def test_a_network_that_holds_no_values_and_one_of_another_type_are_counted():
    with torch.device("meta"):
        wide = nn.Sequential(nn.Linear(50_000, 50_000), nn.BatchNorm1d(50_000)).double()
    linear, norm = count_layers(wide, (50_000,))
    assert linear.parameters == 50_000 * 50_001
    assert linear.multiply_adds == 50_000**2
    assert norm.parameters == 100_000


class Functional(nn.Module):
    def forward(self, x):
        return F.max_pool2d(x, 2) + torch.zeros(1)


def test_a_forward_that_makes_tensors_runs_too():
    assert count_layers(Functional(), (1, 4, 4)) == [LayerCount("", "Functional", (1, 2, 2), 0, 0)]


@pytest.mark.parametrize("shape", [(), (3, 0), (3, -1)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="shape must hold positive whole numbers"):
        count_layers(nn.Identity(), shape)


def test_a_shape_on_which_the_network_does_not_run_is_named_with_the_cause():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
    with pytest.raises(ValueError, match=r"input of shape \(1, 4, 4\) after 0 \(16,\): .*16"):
        count_layers(model, (1, 4, 4))


@pytest.mark.parametrize(
    "layer", [nn.LSTM(3, 2), nn.MultiheadAttention(4, 2), nn.Bilinear(2, 2, 1)]
)
def test_layers_that_would_be_counted_wrongly_are_refused(layer):
    with pytest.raises(ValueError, match=rf"{type(layer).__name__}, whose multiply-adds are not"):
        count_layers(nn.Sequential(layer), (5, 4))


@pytest.mark.parametrize("seed", range(6))
def test_a_receptive_field_is_where_the_gradient_is_not_zero(seed):
    rng = np.random.default_rng(seed)
    layers = []
    for kernel, stride, dilation in rng.integers(1, [5, 4, 4], (3, 3)).tolist():
        layers += [nn.Conv2d(1, 1, (1, kernel), (1, stride), dilation=(2, dilation)), nn.ReLU()]
    layers.insert(2, nn.AvgPool2d(3, 2, padding=1))
    model = nn.Sequential(*layers)
    for parameter in model.parameters():
        nn.init.ones_(parameter)  # no two paths cancel, and no ReLU closes
    picture = torch.zeros(1, 1, 9, 400, requires_grad=True)
    middle = model(picture)[0, 0, 2]
    seen = []
    for unit in (len(middle) // 2, len(middle) // 2 + 1):
        (gradient,) = torch.autograd.grad(middle[unit], picture, retain_graph=True)
        seen.append(gradient[0, 0].any(dim=0).nonzero().flatten().tolist())
    field, jump = receptive_field(model)
    assert (seen[0][-1] - seen[0][0] + 1, seen[1][0] - seen[0][0]) == (field, jump)
