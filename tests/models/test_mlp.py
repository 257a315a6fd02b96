"""Seeded networks: the layers asked for, weights from the generator alone."""

import pytest
import torch
from torch import nn

from course_utils.models import draw_weights, make_mlp


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_layers_stand_in_order_and_the_last_is_affine():
    model = make_mlp([3, 5, 4, 2], nn.GELU, generator=seeded(), norm=nn.LayerNorm)
    kinds = [type(layer).__name__ for layer in model]
    assert kinds == [*["Linear", "LayerNorm", "GELU"] * 2, "Linear"]
    assert [tuple(layer.weight.shape) for layer in model if isinstance(layer, nn.Linear)] == [
        (5, 3),
        (4, 5),
        (2, 4),
    ]
    assert model(torch.zeros(6, 3)).shape == (6, 2)


def test_a_single_affine_layer_needs_no_activation():
    assert [type(layer) for layer in make_mlp([3, 2], generator=seeded())] == [nn.Linear]


def test_weights_depend_on_the_generator_and_on_nothing_else():
    one = make_mlp([4, 6, 2], generator=seeded(3))
    state = torch.get_rng_state()
    two = make_mlp([4, 6, 2], generator=seeded(3))
    assert torch.equal(torch.get_rng_state(), state), "it drew from the global source"
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(make_mlp([4, 6, 2], generator=seeded(4))))


def test_weights_are_those_of_the_rule_drawn_in_order():
    generator = seeded(5)
    first = nn.init.xavier_uniform_(torch.empty(6, 4), generator=generator)
    second = nn.init.xavier_uniform_(torch.empty(2, 6), generator=generator)
    model = make_mlp([4, 6, 2], generator=seeded(5), init=nn.init.xavier_uniform_)
    assert torch.equal(model[0].weight, first)
    assert torch.equal(model[2].weight, second)
    assert not model[0].bias.any()
    assert not model[2].bias.any()


def test_norm_layers_return_to_the_identity():
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm(3)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
        model[1].running_mean.fill_(7.0)
    assert draw_weights(model, generator=seeded()) is model
    for norm in model[1:]:
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert torch.equal(norm.bias, torch.zeros_like(norm.bias))
    assert not model[1].running_mean.any()
    assert model[0].weight.std() < 2


@pytest.mark.parametrize("widths", [[], [3], [3, 0, 2]])
def test_widths_that_make_no_network_are_refused(widths):
    with pytest.raises(ValueError, match="two or more numbers from 1"):
        make_mlp(widths, generator=seeded())


def test_a_network_without_weights_is_refused():
    with pytest.raises(ValueError, match="ReLU has no affine"):
        draw_weights(nn.ReLU(), generator=seeded())
