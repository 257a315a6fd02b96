"""Hooks record what a layer put out and its gradient, and leave nothing behind."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from course_utils import probes
from course_utils.models import make_mlp


@pytest.fixture
def model():
    generator = torch.Generator().manual_seed(0)
    return make_mlp([3, 5, 4, 2], nn.Tanh, generator=generator).double()


@pytest.fixture
def x():
    return torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_activations_are_those_of_the_layers_one_by_one(model, x):
    with probes.record(model) as seen:
        model(x)
    assert list(seen.activations) == ["0", "1", "2", "3", "4"]
    value = x
    for name, layer in model.named_children():
        value = layer(value)
        torch.testing.assert_close(seen.activations[name], value.detach(), rtol=0, atol=0)


def test_gradients_are_those_of_autograd_at_the_outputs(model, x):
    with probes.record(model, nn.Tanh) as seen:
        model(x).square().sum().backward()
    hidden = model[:2](x).detach().requires_grad_()
    model[2:](hidden).square().sum().backward()
    assert list(seen.gradients) == ["3", "1"]  # backward meets the last layer first
    torch.testing.assert_close(seen.gradients["1"], hidden.grad)


def test_the_hooks_are_gone_afterwards_also_after_an_error(model, x):
    def hooks():
        return sum(len(module._forward_hooks) for module in model.modules())

    def fail(seen):
        assert hooks() == 5
        assert seen.activations == {}
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), probes.record(model) as seen:
        fail(seen)
    assert hooks() == 0
    model(x)
    assert seen.activations == {}


def test_a_second_pass_replaces_the_first(model, x):
    with probes.record(model, nn.Tanh) as seen:
        model(x)
        model(x[:2])
    assert [tuple(a.shape) for a in seen.activations.values()] == [(2, 5), (2, 4)]


def test_without_gradients_only_activations_are_recorded(model, x):
    with torch.no_grad(), probes.record(model) as seen:
        model(x)
    assert len(seen.activations) == 5
    assert seen.gradients == {}


def test_what_is_not_there_is_refused(model):
    with (
        pytest.raises(ValueError, match=r"no Conv2d, ReLU module.*Linear, Sequential, Tanh"),
        probes.record(model, nn.Conv2d, nn.ReLU),
    ):
        pass


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=40))
def test_statistics_agree_with_their_definitions(values):
    tensor = torch.tensor(values)
    found = probes.summarise({"a": tensor})["a"]
    exact = tensor.double()
    mean = exact.sum().item() / len(values)
    assert found.mean == pytest.approx(mean, rel=1e-12, abs=1e-9)
    assert found.std**2 + found.mean**2 == pytest.approx(found.rms**2, rel=1e-9, abs=1e-12)
    assert found.zero_fraction == values.count(0.0) / len(values)
