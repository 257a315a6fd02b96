"""Count what a network costs, layer by layer: shapes, parameters, multiply-adds.

Notebook ``09_cnn_architectures`` writes the counter by hand; `count_layers` does the
same for any network, and on the meta device, where tensors have a shape and no values,
so that a network of a hundred million parameters costs neither memory nor time.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["LayerCount", "copy_without_values", "count_layers", "multiply_adds", "receptive_field"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_PRODUCTS_INSIDE = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention, nn.Bilinear)


@dataclass(frozen=True)
class LayerCount:
    """What one layer puts out and what it costs for one example.

    Attributes
    ----------
    name
        As in ``model.named_modules()``.
    kind
        Name of the layer's class, such as ``"Conv2d"``.
    shape
        Of the output, without the batch.
    parameters
        Weights and biases; 0 where an earlier row has counted the same tensors.
    multiply_adds
        Products of a weight and an input, each with its addition; biases, norm
        layers, activations and pooling count 0.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def count_layers(model: nn.Module, shape: Sequence[int]) -> list[LayerCount]:
    """Return the cost of every layer, in the order in which one example meets them.

    Parameters
    ----------
    model
        Any network; it is neither run nor changed. A copy without values runs in
        evaluation mode.
    shape
        Of one input without the batch, such as ``(3, 224, 224)``.

    Returns
    -------
    list of LayerCount
        One row for every call of a module that has no modules of its own, or that
        has parameters of its own. Modules which the forward pass leaves out, such
        as auxiliary heads in evaluation mode, have no row.

    Raises
    ------
    ValueError
        If ``shape`` is not made of positive whole numbers, if the network does not
        run on it, or if it holds a layer that is not counted here (recurrent,
        attention, bilinear).

    Notes
    -----
    Multiply-adds are counted for convolutions, transposed convolutions and linear
    layers. Products that lie in the padding count like the others. A product that a
    ``forward`` method writes out itself (``x @ weight``, ``F.conv2d``) is not seen.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(2))
    >>> for layer in count_layers(model, (3, 12, 12)):
    ...     print(layer.kind, layer.shape, layer.parameters, layer.multiply_adds)
    Conv2d (8, 8, 8) 608 38400
    ReLU (8, 8, 8) 0 0
    MaxPool2d (8, 4, 4) 0 0
    """
    shape = tuple(shape)
    if not shape or any(not isinstance(n, int) or n < 1 for n in shape):
        raise ValueError(f"shape must hold positive whole numbers, as (3, 224, 224); got {shape}")
    ghost = copy_without_values(model).eval()
    counted: set[int] = set()
    rows: list[LayerCount] = []
    for name, module in ghost.named_modules():
        if isinstance(module, _PRODUCTS_INSIDE):
            raise ValueError(
                f"model.{name} is a {type(module).__name__}, whose multiply-adds are not "
                "counted here; count the part of the network without it"
            )
        module._forward_hooks.clear()  # the copy shares them with the model
        if not list(module.children()) or module._parameters:
            module.register_forward_hook(_make_hook(rows, name, counted))
    dtype = next((p.dtype for p in ghost.parameters() if p.is_floating_point()), torch.float32)
    try:
        with torch.no_grad(), torch.device("meta"):
            ghost(torch.empty(1, *shape, dtype=dtype))
    except Exception as error:
        after = f" after {rows[-1].name} {rows[-1].shape}" if rows else ""
        raise ValueError(
            f"model does not run on one input of shape {shape}{after}: {error}"
        ) from error
    return rows


def copy_without_values(model: nn.Module) -> nn.Module:
    """Return a copy of a network on the meta device, without copying a single value."""
    ghosts: dict[int, Tensor] = {
        id(p): nn.Parameter(p.detach().to("meta"), p.requires_grad) for p in model.parameters()
    }
    ghosts |= {id(b): b.detach().to("meta") for b in model.buffers()}
    return copy.deepcopy(model, ghosts)


def _make_hook(rows: list[LayerCount], name: str, counted: set[int]):
    """Return a forward hook that adds a module's row."""

    def add_row(module: nn.Module, inputs: tuple, output: object) -> None:
        first = output[0] if isinstance(output, (tuple, list)) else output
        own = {id(p): p.numel() for p in module.parameters(recurse=False)}
        rows.append(
            LayerCount(
                name=name,
                kind=type(module).__name__,
                shape=tuple(first.shape[1:]) if isinstance(first, Tensor) else (),
                parameters=sum(size for key, size in own.items() if key not in counted),
                multiply_adds=multiply_adds(module, inputs, first),
            )
        )
        counted.update(own)

    return add_row


def multiply_adds(module: nn.Module, inputs: tuple, output: object) -> int:
    """Return the products of weight and input behind one output."""
    if isinstance(module, nn.Linear):
        return output.numel() * module.in_features
    if isinstance(module, _CONVOLUTIONS):  # each output sums one filter's worth of products
        return output.numel() * math.prod(module.weight.shape[1:])
    if isinstance(module, _TRANSPOSED):  # each input is spread over one filter
        return inputs[0].numel() * math.prod(module.weight.shape[1:])
    return 0


def receptive_field(layers: Iterable[nn.Module]) -> tuple[int, int]:
    """Return the pixels across that one unit behind a chain of layers sees, and its jump.

    The jump is the distance between two neighbouring units, in pixels. Notebook
    ``08_convolution`` derives the rule ``r += dilation * (kernel - 1) * jump``.

    Parameters
    ----------
    layers
        One behind the other. Convolutions and pooling windows count, by their width;
        other layers are taken to look at one place.

    Examples
    --------
    >>> receptive_field([nn.Conv2d(1, 1, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(1, 1, 5)])
    (12, 2)
    """
    field = jump = 1
    for layer in layers:
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)):
            sizes = layer.kernel_size, layer.stride, getattr(layer, "dilation", 1)
            kernel, stride, dilation = (n if isinstance(n, int) else n[-1] for n in sizes)
            field += dilation * (kernel - 1) * jump
            jump *= stride
    return field, jump
