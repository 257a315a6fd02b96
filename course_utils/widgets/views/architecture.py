"""ArchitectureExplorer: the layers of networks as blocks, what they cost and what they see."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from traitlets import Bytes, Float, Int, List, Unicode, observe, validate
from traitlets import Dict as DictTrait

from course_utils.widgets.base import CourseWidget, finite_array
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.architecture import (
    QUANTITIES,
    Block,
    Maps,
    amounts,
    blocks_of,
    default_shape,
    fit_image,
    maps_of,
    presets_of,
    thin_maps,
    unit_at,
)
from course_utils.widgets.core.receptive import seen
from course_utils.widgets.views.architecture_picture import draw_architecture

__all__ = ["ArchitectureExplorer"]

TASK = "Which blocks hold the weights, which do the work, and how much of the image does one see?"
_BUDGET = 380_000  # bytes of feature maps, all networks together
_IMAGE_SIDE = 160


class ArchitectureExplorer(CourseWidget):
    """Show networks block by block: shapes, costs, receptive fields, maps of an image.

    Parameters
    ----------
    networks
        Name to network, such as ``{"AlexNet": alexnet, "VGG-16": vgg}``. Each takes one
        image; full-size ones may lie on the meta device, and then have no feature maps.
    image
        Real numbers of shape (C, H, W) or (H, W), as the networks take them; drawn with
        the receptive field on it, and run through every network that has values.
    shape
        Of one input, (C, H, W), for all networks or by name; None takes the image's
        shape, or without an image (C, 224, 224) with the channels of the first layer.
        The image is resampled to it.
    network
        The network on show; None takes the first.
    quantity
        What the bars show: "parameters", "multiply-adds", "activations" or
        "receptive field".
    block
        The chosen block, counted from 0. A norm or an activation belongs to the block of
        the layer before it; an addition or a concatenation is a block.
    place
        Where the chosen unit lies in its map: fractions of the width and the height.

    Raises
    ------
    ValueError
        If a network cannot be traced or does not run on its shape, if the image or a
        feature map holds a number that is not finite, or if another argument does not fit.

    Notes
    -----
    A block keeps at most 16 maps of at most 28 x 28; where networks are many or long, all
    their blocks keep fewer, and then not every block. Products that a ``forward`` method
    writes out itself count no multiply-adds, as in `course_utils.counting`.
    """

    _esm = load_esm("architecture.js")
    networks = DictTrait(help="name to input shape and blocks").tag(sync=True)
    maps = Bytes(help="feature maps, a byte each").tag(sync=True)
    image = Bytes(help="the image, red, green, blue, a byte each").tag(sync=True)
    image_size = List(Int(), help="height and width; empty without an image").tag(sync=True)
    quantities = List(Unicode(), list(QUANTITIES)).tag(sync=True)
    network = Unicode().tag(sync=True)
    quantity = Unicode("parameters").tag(sync=True)
    block = Int().tag(sync=True)
    place = List(Float(), [0.5, 0.5]).tag(sync=True)
    arguments = Unicode(help="the call's first arguments").tag(sync=True)
    presets = DictTrait().tag(sync=True)
    initial = DictTrait().tag(sync=True)

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        image: Any = None,
        *,
        shape: Sequence[int] | Mapping[str, Sequence[int]] | None = None,
        network: str | None = None,
        quantity: str = "parameters",
        block: int = 0,
        place: Sequence[float] = (0.5, 0.5),
        task: str = TASK,
    ) -> None:
        _check_networks(networks)
        self._image = None if image is None else _as_image(image)
        self._shapes = {
            name: _shape_of(name, model, self._image, shape) for name, model in networks.items()
        }
        self._blocks, self._maps = _take_apart(networks, self._shapes, self._image)
        start = {
            "network": next(iter(networks)) if network is None else network,
            "quantity": quantity,
            "block": block,
            "place": [float(p) for p in place],
        }
        for name, value in start.items():
            self._check(name, value, start["network"])
        table, pixels = _as_table(self._blocks, self._maps, self._shapes)
        picture = np.zeros((0, 0, 3), np.uint8) if image is None else _as_picture(self._image)
        super().__init__(
            **start,
            task=task,
            networks=table,
            maps=pixels,
            image=picture.tobytes(),
            image_size=[] if image is None else list(picture.shape[:2]),
            arguments=_first_arguments(image, shape),
            presets=presets_of(self._blocks, self._shapes),
            initial=dict(start),
        )

    @validate("network", "quantity", "block", "place")
    def _valid(self, proposal: Any) -> Any:
        name, value = proposal["trait"].name, proposal["value"]
        return self._check(name, value, self.network)

    @observe("network")
    def _keep_block(self, change: Any) -> None:
        self.block = min(self.block, len(self._blocks[self.network]) - 1)

    def _check(self, name: str, value: Any, network: str) -> Any:
        """Return a piece of state as it is, or raise ValueError."""
        if name == "network" and value not in self._blocks:
            raise ValueError(f"network must be one of {list(self._blocks)}; got {value!r}")
        if name == "quantity" and value not in QUANTITIES:
            raise ValueError(f"quantity must be one of {list(QUANTITIES)}; got {value!r}")
        if name == "block" and not 0 <= value < len(self._blocks[network]):
            count = len(self._blocks[network])
            raise ValueError(f"block must be from 0 to {count - 1} in {network}; got {value}")
        if name == "place" and not (len(value) == 2 and all(0 <= p <= 1 for p in value)):
            raise ValueError(f"place must be two fractions from 0 to 1; got {tuple(value)}")
        return value

    def blocks(self, network: str | None = None) -> list[Block]:
        """Return the blocks of a network; None takes the one on show."""
        return list(self._blocks[self.network if network is None else network])

    def description(self) -> str:
        """Say what the chosen block is, what it costs, and what its units see."""
        blocks, shape = self._blocks[self.network], self._shapes[self.network]
        now = blocks[self.block]
        totals = [sum(amounts(blocks, quantity)) for quantity in QUANTITIES[:2]]
        rows, columns = (f"{n:g}" for n in now.field.size)
        return (
            f"{self.network} on {_times(shape)}: {len(blocks)} blocks, {totals[0]:,.0f} "
            f"parameters, {totals[1]:,.0f} multiply-adds. Block {self.block}, {now.name} "
            f"({', '.join(now.words)}): output {_times(now.shape)}, {now.parameters:,} "
            f"parameters, {now.multiply_adds:,} multiply-adds; one unit sees {rows} × {columns} "
            f"of {shape[1]} × {shape[2]} pixels."
        )

    def picture(self) -> Figure:
        """Draw the blocks, the bars, the image with the receptive field, and the maps."""
        blocks, shape = self._blocks[self.network], self._shapes[self.network]
        now, maps = blocks[self.block], self._maps[self.network]
        image = None if self._image is None else _as_picture(self._image)
        return draw_architecture(
            f"{self.network}: {self.quantity} of {len(blocks)} blocks",
            blocks,
            self.block,
            (self.quantity, amounts(blocks, self.quantity)),
            (shape[1:], image, seen(now.field, unit_at(now.shape, self.place), shape[1:])),
            None if maps is None else maps[self.block],
        )


def _check_networks(networks: Mapping[str, nn.Module]) -> None:
    fits = isinstance(networks, Mapping) and len(networks) > 0
    if not fits or not all(isinstance(model, nn.Module) for model in networks.values()):
        raise ValueError(
            f'networks must map names to modules, as {{"LeNet": lenet}}; got {networks!r:.80}'
        )


def _as_image(image: Any) -> Tensor:
    """Return the image as float32 of shape (C, H, W)."""
    grey = np.ndim(image) == 2
    array = finite_array("image", image, (None, None) if grey else (None, None, None))
    if not grey and len(array) > 4:
        raise ValueError(
            f"image must have shape (C, H, W) with channels first; got {array.shape}. "
            "Try image.transpose(2, 0, 1)"
        )
    return torch.tensor(array, dtype=torch.float32).reshape(-1, *array.shape[-2:])


def _shape_of(
    name: str, model: nn.Module, image: Tensor | None, shape: Any
) -> tuple[int, int, int]:
    """Return the shape of one input of a network."""
    given = shape.get(name) if isinstance(shape, Mapping) else shape
    if given is None and image is not None:
        given = tuple(image.shape)
    try:
        given = default_shape(model) if given is None else tuple(int(n) for n in given)
    except ValueError as error:
        raise ValueError(f"networks[{name!r}] {error}") from error
    if len(given) != 3 or min(given) < 1:
        raise ValueError(f"shape must be (C, H, W), as (3, 224, 224); got {given} for {name!r}")
    return given


def _take_apart(
    networks: Mapping[str, nn.Module],
    shapes: Mapping[str, tuple[int, int, int]],
    image: Tensor | None,
) -> tuple[dict[str, list[Block]], dict[str, list[Maps | None] | None]]:
    """Return the blocks of each network, and their maps where there are any."""
    blocks: dict[str, list[Block]] = {}
    maps: dict[str, list[Maps | None] | None] = dict.fromkeys(networks)
    for name, model in networks.items():
        try:
            graph, blocks[name] = blocks_of(model, shapes[name])
            if image is not None:
                maps[name] = maps_of(model, graph, blocks[name], fit_image(image, shapes[name]))
        except ValueError as error:
            raise ValueError(f"networks[{name!r}] {error}") from error
    sizes = {name: sum(m.pixels.size for m in found) for name, found in maps.items() if found}
    left = _BUDGET
    for number, name in enumerate(sorted(sizes, key=sizes.get)):  # small ones leave room
        maps[name] = thin_maps(maps[name], left // (len(sizes) - number))
        left -= sum(m.pixels.size for m in maps[name] if m is not None)
    return blocks, maps


def _as_table(
    blocks: Mapping[str, list[Block]],
    maps: Mapping[str, list[Maps | None] | None],
    shapes: Mapping[str, tuple[int, int, int]],
) -> tuple[dict[str, dict], bytes]:
    """Return what the front end reads: the blocks, and the pixels of all maps in a row."""
    pixels = bytearray()
    table = {}
    for name, chain in blocks.items():
        rows = []
        for number, block in enumerate(chain):
            found = maps[name][number] if maps[name] else None
            row = {
                "name": block.name,
                "words": ", ".join(block.words),
                "kind": block.kind,
                "shape": list(block.shape),
                "parents": block.parents,
                "field": [*block.field.low, *block.field.high, *block.field.jump],
                "amounts": [amounts([block], quantity)[0] for quantity in QUANTITIES],
            }
            if found is not None:
                row["maps"] = [len(pixels), *found.pixels.shape, found.low, found.high]
                pixels += found.pixels.tobytes()
            rows.append(row)
        table[name] = {"input": list(shapes[name]), "blocks": rows, "meta": maps[name] is None}
    return table, bytes(pixels)


def _as_picture(image: Tensor) -> np.ndarray:
    """Return an image as bytes of shape (H, W, 3), from its least value to its greatest."""
    if len(image) not in (1, 3):
        image = image.mean(0, keepdim=True)
    scale = min(1.0, _IMAGE_SIDE / max(image.shape[1:]))
    size = [max(1, round(n * scale)) for n in image.shape[1:]]
    small = F.interpolate(image[None], size=size, mode="area")[0].expand(3, -1, -1)
    low, high = small.min(), small.max()
    scaled = (small - low) * (255 / (high - low).clamp_min(1e-12))
    return scaled.round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def _first_arguments(image: Any, shape: Any) -> str:
    parts = ["networks"] + ["image"] * (image is not None) + ["shape=shape"] * (shape is not None)
    return ", ".join(parts)


def _times(shape: Sequence[int]) -> str:
    return " × ".join(str(n) for n in shape)
