"""ConvolutionStepper: a kernel steps over an image, patch, products and outputs linked."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from traitlets import Bool, Bytes, Float, Int, List, Unicode, validate
from traitlets import Dict as DictTrait

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget, as_bytes, finite_array
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.convolution import (
    CAMERA,
    KERNELS,
    LECTURE,
    OPERATIONS,
    PRESETS,
    Settings,
    output_size,
    outputs,
    patches,
)

__all__ = ["ConvolutionStepper"]

TASK = "Predict the next output before you step. Then edit the kernel: which edges does it answer?"
_LIMITS = {"stride": (1, 4), "padding": (0, 6), "dilation": (1, 4)}
_LARGEST, _MOST_TAPS = 28, 7
_MOST_OUTPUTS = (_LARGEST + 2 * 6) ** 2


class ConvolutionStepper(CourseWidget):
    """Show a kernel stepping over an image, and the output that it fills.

    As in torch, the kernel is not turned round (cross-correlation). Padding is zeros.

    Parameters
    ----------
    image
        Pixels in [0, 1] of shape (H, W), at most 28 x 28; "camera", a small photograph
        (None takes it too); or "lecture", the 6 x 6 example of the slides.
    kernel
        Weights of shape (kh, kw), each side 1 to 7, or a name: "vertical edges",
        "horizontal edges", "blur", "sharpen", "identity", "diagonal", "column",
        "average 2 x 2", "window 2 x 2".
    stride, padding, dilation
        In pixels: 1 to 4, 0 to 6, 1 to 4.
    operation
        "sum" adds the products; "max" takes the largest pixel under the window, and the
        weights do not count.
    step
        The output on show, row by row from 0; None takes the one farthest from 0.
    whole
        Whether the outputs after the one on show are drawn as well.
    weight
        The weight in hand, to be edited: its row and column in the kernel.

    Raises
    ------
    ValueError
        If an argument is unknown, out of range or not finite, or the window is larger
        than the padded image.
    """

    _esm = load_esm("convolution.js")
    source = Unicode("image", help="'image' or 'lecture'").tag(sync=True)
    kernel = List(List(Float())).tag(sync=True)
    stride = Int(1).tag(sync=True)
    padding = Int(0).tag(sync=True)
    dilation = Int(1).tag(sync=True)
    operation = Unicode("sum").tag(sync=True)
    step = Int(0).tag(sync=True)
    whole = Bool(True).tag(sync=True)
    weight = List(Int(), [0, 0], help="the weight in hand: row, column").tag(sync=True)
    pixels = Bytes(help="the image as float32").tag(sync=True)
    shape = List(Int()).tag(sync=True)
    given = Bool(help="whether the caller gave the image").tag(sync=True)
    lecture = Bytes(as_bytes(LECTURE)).tag(sync=True)
    kernels = DictTrait(KERNELS).tag(sync=True)
    limits = DictTrait(_LIMITS).tag(sync=True)
    presets = DictTrait().tag(sync=True)
    initial = DictTrait().tag(sync=True)

    def __init__(
        self,
        image: Any = None,
        kernel: Any = "vertical edges",
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        operation: str = "sum",
        step: int | None = None,
        whole: bool = True,
        weight: Sequence[int] = (0, 0),
        task: str = TASK,
    ) -> None:
        own = image is not None and not isinstance(image, str)
        if isinstance(image, str) and image not in ("camera", "lecture"):
            raise ValueError(f"image must be an array, 'camera' or 'lecture'; got {image!r}")
        self._given = _check_image(image if own else CAMERA)
        state = {
            "source": "lecture" if not own and image == "lecture" else "image",
            "kernel": _check_kernel(kernel),
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "operation": operation,
            "whole": whole,
        }
        state["step"] = self._first_step(state) if step is None else step
        state = {name: _check(name, value) for name, value in state.items()}
        super().__init__(
            task=task,
            pixels=as_bytes(self._given),
            shape=list(self._given.shape),
            given=own,
            presets=self._presets(),
            initial=state | {"weight": [int(k) for k in weight]},
            weight=[int(k) for k in weight],
            **state,
        )
        self._refuse_misfits()

    @validate("source", "kernel", "stride", "padding", "dilation", "operation", "step")
    def _valid(self, proposal: Any) -> Any:
        return _check(proposal["trait"].name, proposal["value"])

    @property
    def image(self) -> np.ndarray:
        """The image on show, float64 of shape (H, W)."""
        return LECTURE if self.source == "lecture" else self._given

    @property
    def settings(self) -> Settings:
        """How the window moves now."""
        return Settings(self.stride, self.padding, self.dilation, self.operation)

    def outputs(self) -> np.ndarray:
        """Return the whole feature map; empty where the window is larger than the image."""
        return outputs(self.image, np.array(self.kernel), self.settings)

    def place(self) -> tuple[int, int]:
        """Return row and column of the output on show."""
        rows, cols = self.outputs().shape
        return divmod(min(self.step, rows * cols - 1), cols)

    def description(self) -> str:
        """Say the sizes, the output on show and the range of all outputs."""
        height, width = self.image.shape
        text = (
            f"Image {height}×{width}, {self._window_text()}, stride {self.stride}, padding "
            f"{self.padding}, dilation {self.dilation}"
        )
        found = self.outputs()
        if not found.size:
            return f"{text}: the window is larger than the padded image, so there is no output."
        rows, cols = found.shape
        i, j = self.place()
        return (
            f"{text}: {rows}×{cols} outputs from {found.min():.4g} to {found.max():.4g}. The "
            f"output in row {i}, column {j} is {found[i, j]:.4g}."
        )

    def picture(self) -> Figure:
        """Draw the image with the window, the products under it, and the feature map."""
        fig = Figure(figsize=(9.0, 3.5), layout="constrained")
        left, middle, right = fig.subplots(1, 3)
        found = self.outputs()
        height, width = self.image.shape
        left.imshow(self.image, cmap="gray", vmin=0, vmax=1)
        pad = self.padding
        left.set(xlim=(-pad - 0.5, width + pad - 0.5), ylim=(height + pad - 0.5, -pad - 0.5))
        left.set(xlabel="column", ylabel="row", title=f"image {height}×{width}, padding {pad}")
        left.set_facecolor("#d9d9d9")
        if not found.size:
            for ax, name in ((middle, "no patch"), (right, "no output")):
                ax.set(xlabel="column", ylabel="row", title=name, xticks=[], yticks=[])
            return fig
        i, j = self.place()
        self._draw_window(left, i, j)
        self._draw_products(middle, i, j, found[i, j])
        finite = np.abs(found[np.isfinite(found)])
        most = float(finite.max(initial=0.0)) or 1.0
        drawn = right.imshow(found, cmap="RdBu_r", vmin=-most, vmax=most)
        right.add_patch(_frame(j, i, 1, 1, PALETTE["black"]))
        rows, cols = found.shape
        right.set(xlabel="column", ylabel="row", title=f"feature map {rows}×{cols}")
        fig.colorbar(drawn, ax=right, label="output", shrink=0.8)
        return fig

    def _window_text(self) -> str:
        size = "×".join(map(str, np.shape(self.kernel)))
        return f"kernel {size}" if self.operation == "sum" else f"largest pixel of {size}"

    def _draw_window(self, ax: Axes, i: int, j: int) -> None:
        top, left = (k * self.stride - self.padding for k in (i, j))
        for a, b in np.ndindex(*np.shape(self.kernel)):
            at = (left + b * self.dilation, top + a * self.dilation)
            ax.add_patch(_frame(*at, 1, 1, PALETTE["vermilion"]))

    def _draw_products(self, ax: Axes, i: int, j: int, total: float) -> None:
        kernel = np.array(self.kernel)
        patch = patches(self.image, kernel.shape, self.settings)[i, j]
        adds = self.operation == "sum"
        shown = patch * kernel if adds else np.where(np.isfinite(patch), patch, 0.0)
        most = float(np.abs(shown).max()) or 1.0
        ax.imshow(shown, cmap="RdBu_r", vmin=-2 * most, vmax=2 * most)
        size = max(5, 11 - max(kernel.shape))
        for a, b in np.ndindex(*kernel.shape):
            text = f"{patch[a, b]:.2g}"
            if adds:
                text += f"\n× {kernel[a, b]:.2g}\n= {shown[a, b] + 0.0:.2g}"
            ax.text(b, a, text, ha="center", va="center", fontsize=size)
        ax.set(xticks=range(kernel.shape[1]), yticks=range(kernel.shape[0]))
        what = "pixel × weight: sum" if adds else "pixels: largest"
        ax.set(xlabel="column", ylabel="row", title=f"{what} {total:.3g}")

    def _first_step(self, state: dict[str, Any]) -> int:
        """Return the place of the output farthest from 0."""
        image = LECTURE if state["source"] == "lecture" else self._given
        names = ("stride", "padding", "dilation", "operation")
        settings = Settings(*(_check(name, state[name]) for name in names))
        found = outputs(image, np.array(state["kernel"]), settings)
        return int(np.argmax(np.abs(np.nan_to_num(found, neginf=0.0)))) if found.size else 0

    def _presets(self) -> dict[str, dict]:
        presets = {}
        for name, (source, kernel, settings, title) in PRESETS.items():
            state = {"source": source, "kernel": _check_kernel(kernel), **asdict(settings)}
            state |= {"step": self._first_step(state), "whole": True, "weight": [0, 0]}
            presets[name] = {"title": title, **state}
        return presets

    def _refuse_misfits(self) -> None:
        """Refuse a call that shows nothing."""
        shape = np.shape(self.kernel)
        sizes = [
            output_size(n, k, self.settings) for n, k in zip(self.image.shape, shape, strict=True)
        ]
        if not all(sizes):
            raise ValueError(
                f"kernel of shape {shape} with dilation {self.dilation} is larger than the padded "
                f"image of shape {tuple(n + 2 * self.padding for n in self.image.shape)}. "
                "Take a smaller kernel or dilation, or more padding"
            )
        if self.step >= sizes[0] * sizes[1]:
            raise ValueError(f"step must lie in 0 to {sizes[0] * sizes[1] - 1}; got {self.step}")
        if len(self.weight) != 2 or not all(
            0 <= k < n for k, n in zip(self.weight, shape, strict=True)
        ):
            raise ValueError(
                f"weight must be (row, column) below {shape}; got {tuple(self.weight)}"
            )


def _check_image(image: Any) -> np.ndarray:
    """Return the pixels as the front end sees them, float32, in float64."""
    pixels = finite_array("image", image, (None, None))
    if max(pixels.shape) > _LARGEST:
        raise ValueError(
            f"image may have at most {_LARGEST} x {_LARGEST} pixels to be drawn; got shape "
            f"{pixels.shape}. Crop it, or take means over blocks"
        )
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"image must lie in [0, 1]; got {low:.4g} to {high:.4g}. "
            "Subtract the minimum and divide by the range"
        )
    return pixels.astype(np.float32).astype(np.float64)


def _check_kernel(kernel: Any) -> list[list[float]]:
    if isinstance(kernel, str):
        if kernel not in KERNELS:
            raise ValueError(f"kernel must be an array or one of {list(KERNELS)}; got {kernel!r}")
        kernel = KERNELS[kernel]
    weights = finite_array("kernel", kernel, (None, None))
    if max(weights.shape) > _MOST_TAPS:
        raise ValueError(
            f"kernel may have at most {_MOST_TAPS} x {_MOST_TAPS} weights; got {weights.shape}"
        )
    return weights.tolist()


def _check(name: str, value: Any) -> Any:
    """Return a piece of state in the form the trait holds, or raise ValueError."""
    if name == "kernel":
        return _check_kernel(value)
    if name in _LIMITS:
        low, high = _LIMITS[name]
        if value not in range(low, high + 1):
            raise ValueError(f"{name} must be a whole number from {low} to {high}; got {value!r}")
        return int(value)
    allowed = {"source": ("image", "lecture"), "operation": OPERATIONS}.get(name)
    if allowed and value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
    if name == "step" and value not in range(_MOST_OUTPUTS):
        raise ValueError(f"step must be a whole number from 0; got {value!r}")
    return value


def _frame(x: float, y: float, width: float, height: float, colour: str) -> Rectangle:
    corner = (x - 0.5, y - 0.5)
    return Rectangle(corner, width, height, fill=False, edgecolor=colour, linewidth=1.6)
