"""The picture that an ArchitectureExplorer leaves where it cannot run."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import EngFormatter

from course_utils.figures import PALETTE
from course_utils.widgets.core.architecture import Block, Maps

__all__ = ["draw_architecture"]

KINDS = {
    "conv": ("convolution", PALETTE["blue"], ""),
    "linear": ("linear", PALETTE["vermilion"], "xx"),
    "pool": ("pooling", PALETTE["green"], "//"),
    "merge": ("add or concatenate", PALETTE["purple"], "++"),
    "other": ("other", "#8a8a8a", ".."),
}


def draw_architecture(
    title: str,
    blocks: Sequence[Block],
    chosen: int,
    bars: tuple[str, Sequence[float]],
    view: tuple[Sequence[int], np.ndarray | None, tuple[float, float, float, float]],
    maps: Maps | None,
) -> Figure:
    """Draw blocks and bars on the left, the image with the field and the maps on the right.

    ``bars``: quantity and its numbers. ``view``: height and width of the input, the image
    if there is one, and top, left, bottom, right of what the chosen unit sees.
    """
    fig = Figure(figsize=(9.4, 4.6), layout="constrained")
    parts = fig.subfigures(1, 2, width_ratios=(2.4, 1))
    chain, heights = parts[0].subplots(2, 1, sharex=True)
    _draw_chain(chain, blocks, chosen)
    chain.set_title(title, fontsize=11)
    name, numbers = bars
    colours = [KINDS[block.kind][1] for block in blocks]
    heights.bar(range(len(blocks)), numbers, color=colours, width=0.8)
    line = 1.8 if len(blocks) < 100 else 1.0
    heights.bar(chosen, numbers[chosen], color="none", edgecolor="black", linewidth=line)
    unit = " (pixels)" if name == "receptive field" else ""
    heights.set(xlabel="block", ylabel=f"{name}{unit}")
    heights.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes = parts[1].subplots(2, 1) if maps is not None else [parts[1].subplots()]
    _draw_image(axes[0], *view)
    if maps is not None:
        _draw_maps(axes[1], maps, blocks[chosen])
    return fig


def _draw_chain(ax: Axes, blocks: Sequence[Block], chosen: int) -> None:
    """Draw every block as a box as high as the root of its map, with arcs for other paths."""
    heights = [math.sqrt(b.shape[1]) if len(b.shape) == 3 else 1.0 for b in blocks]
    labelled = set()
    for k, (block, high) in enumerate(zip(blocks, heights, strict=True)):
        words, colour, hatch = KINDS[block.kind]
        ax.add_patch(
            Rectangle(
                (k - 0.4, -high / 2), 0.8, high, facecolor=colour, alpha=0.8,
                hatch=hatch if len(blocks) < 60 else "", edgecolor="black",
                linewidth=(2.2 if len(blocks) < 100 else 1.4) if k == chosen else 0.3,
                label=None if words in labelled else words,
            )
        )  # fmt: skip
        labelled.add(words)
        for parent in block.parents:
            if parent != k - 1:
                start = (parent, heights[max(0, parent)] / 2)
                arc = FancyArrowPatch(
                    start, (k, high / 2), connectionstyle="arc3,rad=-0.35", arrowstyle="-",
                    color="#595959", linewidth=0.7,
                )  # fmt: skip
                ax.add_patch(arc)
    top = max(heights)
    ax.set(xlim=(-1.2, len(blocks) - 0.3), ylim=(-0.55 * top, 1.25 * top))
    ax.set(ylabel="root of height", xlabel="block", yticks=[])
    ax.legend(frameon=False, fontsize=8, ncols=3, loc="upper right")


def _draw_image(
    ax: Axes,
    size: Sequence[int],
    image: np.ndarray | None,
    box: tuple[float, float, float, float],
) -> None:
    """Draw the input with a frame around what the chosen unit sees."""
    blank = np.full((1, 1, 3), 235, np.uint8)
    ax.imshow(blank if image is None else image, extent=(0, size[1], size[0], 0))
    top, left, bottom, right = box
    for colour, width in (("white", 4.0), ("black", 1.8)):
        frame = (left, top), right - left, bottom - top
        ax.add_patch(Rectangle(*frame, fill=False, edgecolor=colour, linewidth=width))
    ax.set(xlabel="column", ylabel="row", xlim=(0, size[1]), ylim=(size[0], 0))
    ax.set_title("what the chosen unit sees", fontsize=10)


def _draw_maps(ax: Axes, maps: Maps, block: Block) -> None:
    """Draw the maps as one sheet."""
    count, high, wide = maps.pixels.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    gap = 1 if high > 1 else 0
    sheet = np.full((rows * (high + gap), columns * (wide + gap)), np.nan)
    for k, pixels in enumerate(maps.pixels):
        top, left = (k // columns) * (high + gap), (k % columns) * (wide + gap)
        sheet[top : top + high, left : left + wide] = pixels
    values = maps.low + sheet / 255 * (maps.high - maps.low)
    shown = ax.imshow(values, cmap="gray")
    ax.figure.colorbar(shown, ax=ax, label="value")
    ax.set(xticks=[], yticks=[], xlabel=f"first {count} of {block.shape[0]}", ylabel="maps")
