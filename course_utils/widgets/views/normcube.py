"""NormalizationCube: which values of a batch share their mean and standard deviation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from traitlets import Bool, Bytes, Float, Int, List, Unicode, validate
from traitlets import Dict as DictTrait

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget, as_bytes, finite_array
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.normcube import EPS, NORMS, Share, share

__all__ = ["NormalizationCube"]

TASK = "Which values share a mean with the chosen one? Whose output changes in a batch of one?"
_MOST = (8, 8, 16)
_AXES = ("images", "channels", "places")


class NormalizationCube(CourseWidget):
    """Show a batch of feature maps, and which values are normalised together.

    Parameters
    ----------
    batch
        Real numbers of shape (N, C, L): images, channels, places (height times width,
        flattened); at most 8, 8 and 16, so that every value can be seen.
    norm
        "batch", "layer", "instance" or "group".
    groups
        Of channels, for group normalisation; must divide C. None takes 2 where C is
        even, else the least divisor of C above 1.
    cell
        The chosen value: image, channel, place, counted from 0.
    alone
        Whether the chosen value's image is the whole batch.

    Raises
    ------
    ValueError
        If the batch has another shape or a number that is not finite, or another
        argument does not fit it.
    """

    _esm = load_esm("normcube.js")
    values = Bytes(help="the batch as float32").tag(sync=True)
    shape = List(Int()).tag(sync=True)
    norm = Unicode("batch").tag(sync=True)
    groups = Int(1).tag(sync=True)
    cell = List(Int(), [0, 0, 0]).tag(sync=True)
    alone = Bool().tag(sync=True)
    eps = Float(EPS).tag(sync=True)
    presets = DictTrait().tag(sync=True)
    initial = DictTrait().tag(sync=True)

    def __init__(
        self,
        batch: Any,
        norm: str = "batch",
        groups: int | None = None,
        *,
        cell: Sequence[int] = (0, 0, 0),
        alone: bool = False,
        task: str = TASK,
    ) -> None:
        array = finite_array("batch", batch, (None, None, None)).astype(np.float32)
        if any(have > most for have, most in zip(array.shape, _MOST, strict=True)):
            raise ValueError(
                f"batch may have at most {' x '.join(map(str, _MOST))} values (images x channels "
                f"x places) to be drawn; got {array.shape}. Try batch[:8, :8, :16]"
            )
        self._batch = array.astype(np.float64)
        channels = array.shape[1]
        start = {
            "norm": norm,
            "groups": _default_groups(channels) if groups is None else groups,
            "cell": [int(k) for k in cell],
            "alone": alone,
        }
        super().__init__(
            task=task,
            values=as_bytes(array),
            shape=list(array.shape),
            presets=_presets(channels),
            initial=dict(start),
            **start,
        )

    @validate("norm")
    def _norm_is_known(self, proposal: Any) -> str:
        if proposal["value"] not in NORMS:
            raise ValueError(f"norm must be one of {', '.join(NORMS)}; got {proposal['value']!r}")
        return proposal["value"]

    @validate("groups")
    def _groups_divide(self, proposal: Any) -> int:
        groups, channels = proposal["value"], self._batch.shape[1]
        if groups < 1 or channels % groups:
            known = [k for k in range(1, channels + 1) if channels % k == 0]
            raise ValueError(f"groups must divide the {channels} channels: {known}; got {groups}")
        return groups

    @validate("cell")
    def _cell_is_in_the_batch(self, proposal: Any) -> list[int]:
        cell, shape = proposal["value"], self._batch.shape
        fits = len(cell) == 3 and all(0 <= k < n for k, n in zip(cell, shape, strict=False))
        if not fits:
            raise ValueError(
                f"cell must be (image, channel, place) below {shape}, from 0; got {tuple(cell)}"
            )
        return cell

    def share(self) -> Share:
        """Return what the chosen value is normalised with, and to what."""
        return share(self._batch, self.norm, self.groups, tuple(self.cell), self.alone)

    def description(self) -> str:
        """Say which values are lit, their mean and spread, and what normalisation does."""
        now = self.share()
        n, c, place = self.cell
        size = 1 if self.alone else self._batch.shape[0]
        return (
            f"{self._title()}, batch of {size}: the value at image {n}, channel {c}, place "
            f"{place} shares its statistics with {int(now.lit.sum())} of {size}×"
            f"{self._batch.shape[1]}×{self._batch.shape[2]} values (mean {now.mean:.4g}, "
            f"standard deviation {now.std:.4g}); {now.before:.4g} becomes {now.after:.4g}. "
            f"The batch needs {now.kept} means and {now.kept} standard deviations."
        )

    def picture(self) -> Figure:
        """Draw each image as channels by places with the lit values framed, and histograms."""
        now = self.share()
        fig = Figure(figsize=(8.0, 4.4), layout="constrained")
        top, bottom = fig.subfigures(2, 1)
        top.suptitle(f"{self._title()}: {int(now.lit.sum())} values lit", fontsize=11)
        axes = top.subplots(1, len(self._batch), squeeze=False)[0]
        most = float(np.abs(self._batch).max()) or 1.0
        colours = {"cmap": "RdBu_r", "norm": Normalize(-most, most)}
        for n, ax in enumerate(axes):
            lamp = np.ma.masked_equal(now.lit[n].T, 0)
            ax.imshow(lamp, cmap=ListedColormap(["#ffe98a"]), aspect="auto")
            faded = np.where(now.lit[n].T, 0.75, 0.22)
            ax.imshow(self._batch[n].T, **colours, aspect="auto", alpha=faded)
            _mark_cells(ax, now.lit[n], self.cell[1:] if n == self.cell[0] else None)
            out = self.alone and n != self.cell[0]
            ax.set_title(f"image {n}" + (" (out)" if out else ""), fontsize=9)
            ax.set(xlabel="channel", xticks=range(self._batch.shape[1]))
            ax.set_yticks([])
        places = self._batch.shape[2]
        axes[0].set(ylabel="place", yticks=range(0, places, 1 + (places - 1) // 8))
        top.colorbar(ScalarMappable(**colours), ax=axes, label="value (lit: full colour)")
        self._draw_histograms(bottom, now)
        return fig

    def _draw_histograms(self, figure: Any, now: Share) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        before = self._batch[now.lit]
        after = (before - now.mean) / np.sqrt(now.std**2 + EPS)
        for ax, numbers, chosen, name in (
            (left, before, now.before, "before"),
            (right, after, now.after, "after"),
        ):
            ax.hist(numbers, bins=20, color=PALETTE["blue"], alpha=0.6)
            ax.axvline(numbers.mean(), color="black", linestyle="--", label="mean")
            ax.axvline(chosen, color=PALETTE["vermilion"], label="chosen value")
            mean = np.round(numbers.mean(), 6) + 0.0  # no rounding noise, no minus zero
            ax.set(xlabel=f"lit values {name}: mean {mean:.3g}, std {numbers.std():.3g}")
        left.set(ylabel="count")
        left.legend(frameon=False, fontsize=9)

    def _title(self) -> str:
        groups = f", {self.groups} groups" if self.norm == "group" else ""
        return f"{self.norm.capitalize()} norm{groups}"


def _default_groups(channels: int) -> int:
    return next((k for k in range(2, channels + 1) if channels % k == 0), 1)


def _presets(channels: int) -> dict[str, dict]:
    """Return the settings that show one thing each."""
    half = _default_groups(channels)
    table = [
        ("batch", "batch", half, False, "one mean for each channel, over all images"),
        ("layer", "layer", half, False, "one mean for each image, over all channels"),
        ("instance", "instance", half, False, "one mean for each channel of each image"),
        ("group", "group", half, False, "one mean for each group of channels of each image"),
        ("batch of one", "batch", half, True,
         "alone, batch norm is instance norm: no other image adds to its statistics"),
        ("group = 1 is layer", "group", 1, False, "a single group holds all channels"),
        ("groups = C is instance", "group", channels, False, "every channel is its own group"),
    ]  # fmt: skip
    return {
        name: {"title": title, "norm": norm, "groups": groups, "alone": alone}
        for name, norm, groups, alone, title in table
    }


def _mark_cells(ax: Axes, lit: np.ndarray, chosen: Sequence[int] | None) -> None:
    """Frame the lit values, and the chosen one thickly."""
    for c, place in np.argwhere(lit).tolist():
        ax.add_patch(_frame(c, place, 0.6))
    if chosen is not None:
        ax.add_patch(_frame(*chosen, 2.6))


def _frame(c: int, place: int, width: float) -> Rectangle:
    return Rectangle((c - 0.5, place - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=width)
