"""Look inside a network: the output of every layer and its gradient, by hooks.

Notebook ``02_activations`` registers the hooks by hand; `record` does the same for
a whole network and takes them off again. `summarise` turns what was seen into the
few numbers that tell a healthy signal from a dying or a saturated one.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

__all__ = ["Seen", "Statistics", "record", "summarise"]


@dataclass
class Seen:
    """What the hooks saw in the last pass, by the name of the module.

    Attributes
    ----------
    activations
        Output of each watched module, detached, in the order of the forward pass.
    gradients
        Derivative of what ``backward()`` was called on with respect to that output,
        of the same shape; empty before ``backward()``.
    """

    activations: dict[str, Tensor] = field(default_factory=dict)
    gradients: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Statistics:
    """Moments of one tensor, in the tensor's own unit.

    Attributes
    ----------
    mean, std
        Over all elements; ``std`` with divisor N.
    rms
        Root of the mean square, ``sqrt(mean**2 + std**2)``.
    zero_fraction
        Fraction of elements that are exactly 0, in [0, 1].
    """

    mean: float
    std: float
    rms: float
    zero_fraction: float


@contextmanager
def record(model: nn.Module, *kinds: type[nn.Module]) -> Iterator[Seen]:
    """Watch the modules of the given types while the ``with`` block runs.

    Parameters
    ----------
    model
        Network to look into. Its modules are named as in ``model.named_modules()``.
    kinds
        Types to watch, such as ``nn.Linear, nn.Tanh``. None given: every module
        that has no modules of its own.

    Raises
    ------
    ValueError
        If the network has no module of those types.

    Notes
    -----
    The hooks go when the block ends, also when it ends in an error. A second forward
    pass inside the block replaces what the first one left. A layer that works in place
    on its input (``nn.ReLU(inplace=True)``) overwrites what was recorded before it.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 2), nn.Tanh())
    >>> with record(model, nn.Tanh) as seen:
    ...     model(torch.zeros(4, 3)).sum().backward()
    >>> {name: tuple(gradient.shape) for name, gradient in seen.gradients.items()}
    {'1': (4, 2)}
    """
    watched = {
        name: module
        for name, module in model.named_modules()
        if (isinstance(module, kinds) if kinds else not list(module.children()))
    }
    if not watched:
        wanted = ", ".join(kind.__name__ for kind in kinds) or "leaf"
        raise ValueError(f"model has no {wanted} module; its modules are: {_names(model)}")
    seen = Seen()
    handles = [
        module.register_forward_hook(_make_hook(seen, name)) for name, module in watched.items()
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def summarise(tensors: Mapping[str, Tensor]) -> dict[str, Statistics]:
    """Return the statistics of each recorded tensor, under the same names.

    Examples
    --------
    >>> summarise({"relu": torch.tensor([0.0, 0.0, 3.0, 1.0])})["relu"].zero_fraction
    0.5
    """
    return {name: _statistics(tensor) for name, tensor in tensors.items()}


def _make_hook(seen: Seen, name: str):
    """Return a forward hook that records a module's output, and its gradient later."""

    def keep_gradient(gradient: Tensor) -> None:
        seen.gradients[name] = gradient.detach().clone()

    def keep_output(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        seen.activations.pop(name, None)  # a second pass keeps the order of that pass
        seen.activations[name] = output.detach()
        if output.requires_grad:
            output.register_hook(keep_gradient)

    return keep_output


def _statistics(tensor: Tensor) -> Statistics:
    """Return the moments of one tensor, computed in float64."""
    values = tensor.double()
    return Statistics(
        mean=values.mean().item(),
        std=values.std(correction=0).item(),
        rms=values.square().mean().sqrt().item(),
        zero_fraction=(values == 0).double().mean().item(),
    )


def _names(model: nn.Module) -> str:
    """Say which kinds of module a network is made of."""
    return ", ".join(sorted({type(module).__name__ for module in model.modules()}))
