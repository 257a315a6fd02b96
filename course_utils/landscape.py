"""Loss surfaces: five test functions, and planes cut through a real network's loss.

The notebook ``04_optimizers`` derives filter normalisation (Li et al., 2018) and
draws its surfaces with these functions; the widgets ``OptimizerRace`` and
``LossSurface`` start from :data:`TEST_FUNCTIONS` and :class:`SurfaceGrid`.

A direction in weight space is a flat vector, in the order of
``torch.nn.utils.parameters_to_vector``; a plane is two of them.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.utils import parameters_to_vector

__all__ = ["TEST_FUNCTIONS", "ProjectedPath", "SurfaceGrid", "TestFunction", "descend"]
__all__ += ["loss_surface", "pca_directions", "project_path", "random_directions"]

_NORM_LAYERS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class SurfaceGrid:
    """A loss sampled on a grid: ``loss[j, i]`` belongs to ``alphas[i], betas[j]``."""

    alphas: Float[np.ndarray, " n"]
    betas: Float[np.ndarray, " m"]
    loss: Float[np.ndarray, "m n"]

    def __post_init__(self) -> None:
        for name in ("alphas", "betas", "loss"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float32))
        expected = (len(self.betas), len(self.alphas))
        if self.loss.shape != expected:
            raise ValueError(f"loss has shape {self.loss.shape}, expected (m, n) = {expected}")
        if not np.isfinite(self.loss).all():
            j, i = np.argwhere(~np.isfinite(self.loss))[0]
            raise ValueError(
                f"loss is {self.loss[j, i]} at alpha={self.alphas[i]:.3g}, "
                f"beta={self.betas[j]:.3g}; take a smaller extent or a trained model"
            )


@dataclass(frozen=True)
class TestFunction:
    """A function of two variables on which optimizers are compared."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    name: str
    formula: str  # LaTeX
    value: Callable[[Tensor], Tensor]  # points (..., 2) to heights (...)
    xlim: tuple[float, float]  # the window to draw
    ylim: tuple[float, float]
    start: tuple[float, float]
    minimum: tuple[float, float]  # the saddle has a second one, (0, -1)

    def grid(self, resolution: int = 101) -> SurfaceGrid:
        """Return the heights over the window, ``resolution`` points a side."""
        x, y = torch.linspace(*self.xlim, resolution), torch.linspace(*self.ylim, resolution)
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # (m, n, 2)
        return SurfaceGrid(x.numpy(), y.numpy(), self.value(points).numpy())


def _of_points(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda points: function(*points.unbind(-1))


# name, formula, value of (x, y), xlim, ylim, start, minimum
_ROWS = (
    ("ravine", r"\tfrac{1}{2}(x^2 + 25 y^2)",
     lambda x, y: 0.5 * (x**2 + 25 * y**2),
     (-5.0, 5.0), (-2.0, 2.0), (-4.5, 1.0), (0.0, 0.0)),
    ("saddle", r"\tfrac{1}{2} x^2 - \tfrac{1}{2} y^2 + \tfrac{1}{4} y^4",
     lambda x, y: 0.5 * x**2 - 0.5 * y**2 + 0.25 * y**4,
     (-2.5, 2.5), (-2.0, 2.0), (-2.0, 0.001), (0.0, 1.0)),
    ("plateau", r"1 - \exp(-(x^2 + 2 y^2) / 4)",
     lambda x, y: 1 - torch.exp(-(x**2 + 2 * y**2) / 4),
     (-5.0, 5.0), (-3.0, 3.0), (-4.0, 1.5), (0.0, 0.0)),
    ("rosenbrock", "(1 - x)^2 + 100 (y - x^2)^2",
     lambda x, y: (1 - x) ** 2 + 100 * (y - x**2) ** 2,
     (-2.0, 2.0), (-1.0, 3.0), (-1.2, 1.0), (1.0, 1.0)),
    ("beale", "(1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2",
     lambda x, y: (1.5 - x + x * y)**2 + (2.25 - x + x * y**2)**2 + (2.625 - x + x * y**3)**2,
     (-4.5, 4.5), (-4.5, 4.5), (1.0, 1.5), (3.0, 0.5)),
)  # fmt: skip
TEST_FUNCTIONS: dict[str, TestFunction] = {
    name: TestFunction(name, formula, _of_points(value), *rest)
    for name, formula, value, *rest in _ROWS
}


def descend(
    function: TestFunction | Callable[[Tensor], Tensor],
    start: tuple[float, float] | Float[Tensor, " 2"],
    make_optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer],
    num_steps: int,
) -> Float[Tensor, "points 2"]:
    """Return the path of an optimizer, start included, in float64.

    Raises FloatingPointError where a coordinate stops being finite.

    Examples
    --------
    >>> path = descend(TEST_FUNCTIONS["ravine"], (1.0, 1.0),
    ...                lambda params: torch.optim.SGD(params, lr=0.04), num_steps=1)
    >>> path[1].numpy().round(9).tolist()
    [0.96, -0.0]
    """
    value = getattr(function, "value", function)
    point = torch.as_tensor(start, dtype=torch.float64).clone().requires_grad_()
    optimizer = make_optimizer([point])
    path = [point.detach().clone()]
    for step in range(1, num_steps + 1):
        optimizer.zero_grad()
        value(point).backward()
        optimizer.step()
        if not point.isfinite().all():
            raise FloatingPointError(f"the path left the finite numbers at step {step}: lower lr")
        path.append(point.detach().clone())
    return torch.stack(path)


def random_directions(
    model: nn.Module, *, generator: torch.Generator, number: int = 2
) -> Float[Tensor, "number num_params"]:
    r"""Return random directions whose filters have the norms of the model's filters.

    Every row of a linear layer and every filter of a convolution, :math:`w_i`, gets a
    Gaussian :math:`d_i` scaled to :math:`d_i \lVert w_i \rVert / \lVert d_i \rVert`.
    Biases and the parameters of normalisation layers get zero (Li et al., 2018,
    section 4, https://arxiv.org/abs/1712.09913).
    """
    owners = dict(model.named_modules())

    def draw(name: str, weight: Tensor) -> Tensor:
        owner = owners[name.rpartition(".")[0]]
        if weight.ndim < 2 or isinstance(owner, _NORM_LAYERS):
            return torch.zeros_like(weight).flatten()
        rows = weight.detach().flatten(1)  # (filters, weights of a filter)
        noise = torch.randn(rows.shape, generator=generator, dtype=rows.dtype).to(rows.device)
        scale = rows.norm(dim=1, keepdim=True) / noise.norm(dim=1, keepdim=True)
        return (noise * scale).flatten()

    return torch.stack(
        [torch.cat([draw(*pair) for pair in model.named_parameters()]) for _ in range(number)]
    )


def loss_surface(
    model: nn.Module,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    X: Tensor,
    y: Tensor,
    *,
    directions: Float[Tensor, "2 num_params"],
    extent: float | tuple[float, float, float, float] = 1.0,
    resolution: int = 51,
    chunk_size: int = 16,
) -> SurfaceGrid:
    r"""Return the loss on the plane :math:`\theta + \alpha d_1 + \beta d_2`.

    The model is read in evaluation mode and left as it was.

    Parameters
    ----------
    extent
        Half the side of a square about the model, or (left, right, bottom, top).
    chunk_size
        How many copies of the network are held at once; bounds the memory.

    Raises ValueError where the loss is not a finite scalar, or directions do not fit.
    """
    center = parameters_to_vector(model.parameters()).detach()
    _check_columns("directions", directions, (2, center.numel()))
    left, right, bottom, top = extent if isinstance(extent, tuple) else (-extent, extent) * 2
    directions = directions.to(center)
    alphas = torch.linspace(left, right, resolution).to(center)
    betas = torch.linspace(bottom, top, resolution).to(center)
    shapes = {name: weight.shape for name, weight in model.named_parameters()}
    sizes = [shape.numel() for shape in shapes.values()]

    def loss_at(steps: Float[Tensor, " 2"]) -> Float[Tensor, ""]:
        pieces = (center + steps @ directions).split(sizes)
        weights = {n: piece.view(shapes[n]) for n, piece in zip(shapes, pieces, strict=True)}
        return loss_fn(functional_call(model, weights, (X,)), y)

    points = torch.cartesian_prod(betas, alphas).flip(-1)  # alpha runs fastest
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            loss = vmap(loss_at, chunk_size=chunk_size)(points)
    finally:
        for module, training in modes.items():
            module.training = training
    if loss.ndim != 1:
        raise ValueError(f"loss_fn must return a scalar, got shape {tuple(loss.shape[1:])}")
    loss = loss.view(resolution, resolution)
    return SurfaceGrid(*(part.cpu().numpy() for part in (alphas, betas, loss)))


def pca_directions(
    weights: Float[Tensor, "steps num_params"], center: Float[Tensor, " num_params"]
) -> Float[Tensor, "2 num_params"]:
    """Return the two orthonormal directions in which a path moves most about ``center``."""
    return torch.linalg.svd(weights - center, full_matrices=False).Vh[:2]


class ProjectedPath(NamedTuple):
    """A path's coordinates in a plane, and how much of it lies there."""

    coordinates: Float[Tensor, "steps 2"]
    captured: float  # fraction of the summed squared displacement from the centre


def project_path(
    weights: Float[Tensor, "steps num_params"],
    center: Float[Tensor, " num_params"],
    directions: Float[Tensor, "2 num_params"],
) -> ProjectedPath:
    """Return the least-squares shadow of a path on a plane through ``center``.

    Examples
    --------
    >>> weights, plane = torch.tensor([[3.0, 0.0, 4.0]]), torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    >>> shadow = project_path(weights, torch.zeros(3), plane)
    >>> shadow.coordinates.tolist(), round(shadow.captured, 2)
    ([[3.0, 0.0]], 0.36)
    """
    _check_columns("directions", directions, (2, center.numel()))
    _check_columns("weights", weights, (len(weights), center.numel()))
    moved = (weights - center).double()
    plane = directions.double()
    coordinates = torch.linalg.lstsq(plane.T, moved.T).solution.T  # (steps, 2)
    if not moved.any():
        raise ValueError("the path never leaves center: there is nothing to project")
    captured = (coordinates @ plane).square().sum() / moved.square().sum()
    return ProjectedPath(coordinates, captured.item())


def _check_columns(name: str, value: Tensor, expected: tuple[int, int]) -> None:
    if tuple(value.shape) != expected:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, expected {expected}")
