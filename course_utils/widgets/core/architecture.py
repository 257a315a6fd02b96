"""Networks as chains of blocks: what each costs, what its units see, its maps of an image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, fx, nn
from torch.nn import functional as F

from course_utils.widgets.core.receptive import Field
from course_utils.widgets.core.tracing import Step, trace

__all__ = ["QUANTITIES", "Block", "Maps", "amounts", "blocks_of", "default_shape", "fit_image"]
__all__ += ["maps_of", "presets_of", "thin_maps", "unit_at"]

QUANTITIES = ("parameters", "multiply-adds", "activations", "receptive field")
MAX_MAPS, MAX_VALUES, MAX_SIDE = 16, 64, 28


@dataclass
class Block:
    """One block of the picture: a layer, or a place where paths meet, with what follows it.

    Attributes
    ----------
    name
        Path of the module that does the main part.
    words
        What happens in it, step by step.
    kind
        "conv", "linear", "pool", "merge" or "other".
    shape
        Of what it hands on, without the batch.
    field
        What its units see.
    parents
        Blocks that it reads; -1 for the image.
    parameters, multiply_adds
        As `course_utils.counting` counts them.
    last
        Node of the traced graph that holds its result.
    """

    name: str
    words: list[str]
    kind: str
    shape: tuple[int, ...]
    field: Field
    parents: list[int]
    parameters: int
    multiply_adds: int
    last: str

    @property
    def activations(self) -> int:
        """Values that the block hands on for one example."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Maps:
    """Feature maps of one block; ``low`` and ``high`` are the values of 0 and 255."""

    pixels: UInt8[np.ndarray, "count height width"]
    low: float
    high: float


def blocks_of(model: nn.Module, shape: Sequence[int]) -> tuple[fx.Graph, list[Block]]:
    """Return the traced graph of a network and its blocks, in the order of the forward pass.

    A norm, an activation or another step that changes each value in its place joins the
    block before it, or where that block's result is used elsewhere too, the one after.

    Raises
    ------
    ValueError
        If the network cannot be traced, does not run on the shape, or has no layers.
    """
    graph, steps = trace(model, shape)
    by_node = {step.node: step for step in steps}
    blocks: list[Block] = []
    home: dict[str, int] = {}  # the block whose result a node holds, -1 for the image
    waiting: dict[str, list[Step]] = {}  # steps that join the block after them
    for step in steps:
        if step.role == "input":
            home[step.node] = -1
        elif step.role == "silent":
            home[step.node] = home[step.parents[0]]
            waiting[step.node] = waiting.get(step.parents[0], [])
        else:
            number = home[step.parents[0]]
            if _joins(step, blocks, number, home, by_node):
                _extend(blocks[number], step, home)
            elif step.role == "tail" and _leads_to_layer(step, by_node):
                waiting[step.node] = [*waiting.get(step.parents[0], []), step]
            else:
                number = len(blocks)
                blocks.append(_start(step, waiting, home))
            home[step.node] = number
    if not blocks:
        raise ValueError("has no layers")
    return graph, blocks


def _joins(
    step: Step, blocks: list[Block], number: int, home: dict[str, int], by_node: dict[str, Step]
) -> bool:
    """Return whether a step belongs to block ``number``, that of its first parent."""
    if number < 0 or step.role != "tail":
        return False
    node = by_node[step.parents[0]]
    while node.role == "silent" and len(node.users) == 1:
        node = by_node[node.parents[0]]
    return node.node == blocks[number].last and len(node.users) == 1


def _leads_to_layer(step: Step, by_node: dict[str, Step]) -> bool:
    """Return whether all that reads a step is one layer, or a chain of steps before one."""
    while len(step.users) == 1:
        step = by_node[step.users[0]]
        if step.role in ("conv", "linear", "pool"):
            return True
        if step.role not in ("tail", "silent"):
            return False
    return False


def _start(step: Step, waiting: dict[str, list[Step]], home: dict[str, int]) -> Block:
    """Return a new block with its main step and those that waited for it."""
    before = [s for parent in step.parents for s in waiting.get(parent, [])]
    return Block(
        name=step.module or step.words,
        words=[s.words for s in before] + [step.words],
        kind="other" if step.role == "tail" else step.role,
        shape=step.shape,
        field=step.field,
        parents=list(dict.fromkeys(home[p] for p in step.parents)),
        parameters=sum(s.parameters for s in [*before, step]),
        multiply_adds=step.multiply_adds,
        last=step.node,
    )


def _extend(block: Block, step: Step, home: dict[str, int]) -> None:
    """Add a step to the block that it follows."""
    own = home[step.parents[0]]
    block.words.append(step.words)
    block.shape, block.field, block.last = step.shape, step.field, step.node
    block.parents += [h for h in (home[p] for p in step.parents) if h not in (own, *block.parents)]
    block.parameters += step.parameters
    block.multiply_adds += step.multiply_adds


def amounts(blocks: Sequence[Block], quantity: str) -> list[float]:
    """Return what the bars show: one number for each block."""
    return {
        "parameters": [float(b.parameters) for b in blocks],
        "multiply-adds": [float(b.multiply_adds) for b in blocks],
        "activations": [float(b.activations) for b in blocks],
        "receptive field": [float(max(b.field.size)) for b in blocks],
    }[quantity]


def unit_at(shape: Sequence[int], place: Sequence[float]) -> tuple[int, int]:
    """Return row and column of the unit at ``place``, fractions of a map's width and height."""
    if len(shape) != 3:
        return 0, 0
    (_, height, width), (u, v) = shape, place
    return min(height - 1, int(v * height)), min(width - 1, int(u * width))


def presets_of(
    blocks: Mapping[str, list[Block]], shapes: Mapping[str, tuple[int, int, int]]
) -> dict[str, dict]:
    """Return the settings that answer one question each, for the network that has most of it."""
    presets = {}
    for question, quantity, words in (
        ("where are the weights?", "parameters", "of its weights"),
        ("where is the work?", "multiply-adds", "of its multiply-adds"),
        ("where are the activations?", "activations", "of the values it hands on"),
    ):
        totals = {name: sum(amounts(chain, quantity)) for name, chain in blocks.items()}
        best = max(totals, key=totals.get)
        numbers = amounts(blocks[best], quantity)
        block = numbers.index(max(numbers))
        share = numbers[block] / max(1.0, totals[best])
        title = f"block {block} of {best} has {share:.0%} {words}"
        presets[question] = _preset(title, best, quantity, block)
    deep = max(blocks, key=lambda name: len(blocks[name]))
    half = max(shapes[deep][1:]) / 2
    sizes = amounts(blocks[deep], "receptive field")
    block = next((k for k, size in enumerate(sizes) if size >= half), len(sizes) - 1)
    title = f"from block {block} on, a unit of {deep} sees at least half the image's width"
    presets["what does one unit see?"] = _preset(title, deep, "receptive field", block)
    meets = [
        (n, k) for n, chain in blocks.items() for k, b in enumerate(chain) if b.kind == "merge"
    ]
    if meets:
        name, block = meets[0]
        title = f"block {block} of {name} joins two paths or more: it sees all that they see"
        presets["where do paths meet?"] = _preset(title, name, "receptive field", block)
    return presets


def _preset(title: str, network: str, quantity: str, block: int) -> dict:
    place = [0.5, 0.5]
    return {
        "title": title,
        "network": network,
        "quantity": quantity,
        "block": block,
        "place": place,
    }


def default_shape(model: nn.Module) -> tuple[int, int, int]:
    """Return (C, 224, 224) with the channels of the first convolution.

    Raises
    ------
    ValueError
        If there is none.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            return (module.in_channels, 224, 224)
    raise ValueError("has no convolution to read the number of channels from: give shape=(C, H, W)")


def fit_image(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Return an image (C, H, W) as a network takes it: its channels, height and width.

    A grey image is repeated, a coloured one averaged; another size is resampled.

    Raises
    ------
    ValueError
        If the numbers of channels differ otherwise.
    """
    channels, *size = shape
    if len(image) != channels:
        if 1 not in (len(image), channels):
            raise ValueError(f"takes {channels} channels, but image has {len(image)}")
        image = image.mean(0, keepdim=True).expand(channels, -1, -1)
    if list(image.shape[1:]) != size:
        image = F.interpolate(
            image[None], size=size, mode="bilinear", align_corners=False, antialias=True
        )[0]
    return image


@torch.no_grad()
def maps_of(
    model: nn.Module, graph: fx.Graph, blocks: Sequence[Block], image: Tensor
) -> list[Maps] | None:
    """Return each block's first maps of an image, or None if the network has no values.

    At most 16 channels of at most 28 rows and columns, resampled by averages; of a vector
    its first 64 values, as maps of one pixel.

    Raises
    ------
    ValueError
        If a block puts out a number that is not finite.
    """
    first = next(model.parameters(), torch.empty(0))
    if first.is_meta:
        return None
    kept = _Keep(fx.GraphModule(model, graph), {block.last for block in blocks})
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        kept.run(image[None].to(first.device, first.dtype))
    finally:
        for module, mode in modes.items():
            module.training = mode
    return [_shrink(kept.results[block.last], block.name) for block in blocks]


class _Keep(fx.Interpreter):
    """Run a traced network and keep the results of some of its nodes."""

    def __init__(self, module: fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(module)
        self.wanted = wanted
        self.results: dict[str, Tensor] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.wanted:
            first = result[0] if isinstance(result, (tuple, list)) else result
            self.results[n.name] = first[0].clone()  # a later step may work in place
        return result


def _shrink(result: Tensor, name: str) -> Maps:
    """Return the first maps of one result, small and in whole numbers."""
    values = result.double().cpu()
    if not values.isfinite().all():
        raise ValueError(f"puts out numbers that are not finite in {name}; check its weights")
    if values.ndim != 3:
        values = values.flatten()[:MAX_VALUES, None, None]
    else:
        values = values[:MAX_MAPS]
        scale = min(1.0, MAX_SIDE / max(values.shape[1:]))
        if scale < 1:
            size = [max(1, round(n * scale)) for n in values.shape[1:]]
            values = F.interpolate(values[None], size=size, mode="area")[0]
    low, high = values.min().item(), values.max().item()
    pixels = (values - low) * (255 / (high - low or 1.0))
    return Maps(pixels.round().to(torch.uint8).numpy(), low, high)


def thin_maps(maps: Sequence[Maps], budget: int) -> list[Maps | None]:
    """Return maps of at most ``budget`` bytes in all: fewer channels, then fewer blocks."""
    for most in (MAX_MAPS, 12, 9, 6, 4):
        cut: list[Maps | None] = [
            Maps(m.pixels[:most] if m.pixels[0].size > 1 else m.pixels, m.low, m.high) for m in maps
        ]
        if sum(m.pixels.size for m in cut) <= budget:
            return cut
    every = math.ceil(sum(m.pixels.size for m in cut) / budget)
    while sum(m.pixels.size for m in cut[::every]) > budget:
        every += 1
    return [m if k % every == 0 else None for k, m in enumerate(cut)]
