"""The multilayer perceptron of notebook ``01_perceptron_backprop``, of any depth, seeded."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["draw_weights", "make_mlp"]

_NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.modules.instancenorm._InstanceNorm,
)


def make_mlp(
    widths: Sequence[int],
    activation: Callable[[], nn.Module] = nn.ReLU,
    *,
    generator: torch.Generator,
    init: Callable[..., Tensor] = nn.init.kaiming_normal_,
    norm: Callable[[int], nn.Module] | None = None,
) -> nn.Sequential:
    """Return a multilayer perceptron whose weights come from ``generator``.

    Between two affine layers stand ``norm``, if given, and the activation; the last
    affine layer has neither, so the outputs are logits or real values.

    Parameters
    ----------
    widths
        Features of the input, of each hidden layer, and of the output.
    activation
        Makes a fresh activation module, such as ``nn.Tanh``.
    init
        Fills a weight in place and takes ``generator=``, as those of `torch.nn.init`
        do. He's rule by default, which suits ReLU.
    norm
        Makes a normalisation module for a width, such as ``nn.BatchNorm1d``.

    Raises
    ------
    ValueError
        If there are fewer than two widths, or one is below 1.

    Examples
    --------
    >>> generator = torch.Generator().manual_seed(0)
    >>> make_mlp([2, 8, 1], nn.Tanh, generator=generator)
    Sequential(
      (0): Linear(in_features=2, out_features=8, bias=True)
      (1): Tanh()
      (2): Linear(in_features=8, out_features=1, bias=True)
    )
    """
    if len(widths) < 2 or min(widths) < 1:
        raise ValueError(f"widths needs two or more numbers from 1; got {list(widths)}")
    layers: list[nn.Module] = []
    for in_features, out_features in pairwise(widths):
        layers.append(nn.utils.skip_init(nn.Linear, in_features, out_features))
        if norm is not None:
            layers.append(norm(out_features))
        layers.append(activation())
    del layers[-1 if norm is None else -2 :]
    return draw_weights(nn.Sequential(*layers), generator=generator, init=init)


@torch.no_grad()
def draw_weights(
    model: nn.Module,
    *,
    generator: torch.Generator,
    init: Callable[..., Tensor] = nn.init.kaiming_normal_,
) -> nn.Module:
    """Draw every affine and convolutional weight anew, in order; return the model.

    Biases become 0, and normalisation layers the identity: weight 1, bias 0, running
    mean 0 and running variance 1.

    Parameters
    ----------
    init
        Fills a weight in place and takes ``generator=``.

    Raises
    ------
    ValueError
        If there is no affine or convolutional layer to draw.

    Notes
    -----
    Making a layer draws from torch's global source, which a notebook of the course must
    not depend on. Drawing again from a generator gives the same network on every run.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.modules.conv._ConvNd)]
    if not layers:
        raise ValueError(f"{type(model).__name__} has no affine or convolutional layer to draw")
    for layer in layers:
        init(layer.weight, generator=generator)
        if layer.bias is not None:
            layer.bias.zero_()
    for layer in model.modules():
        if isinstance(layer, _NORMS):
            layer.reset_parameters()
    return model
