"""What all widgets of the course share: traits, style, and a picture without a browser."""

import base64
from typing import Any

import anywidget
import numpy as np
from matplotlib.figure import Figure
from traitlets import Unicode

from course_utils.figures import png_bytes
from course_utils.widgets.bundle import load_css

__all__ = ["CourseWidget", "as_bytes", "finite_array"]


class CourseWidget(anywidget.AnyWidget):
    """A widget that leaves a picture and a sentence where it cannot run.

    Subclasses set ``_esm``, and write `picture` and `description`.

    Attributes
    ----------
    task
        One line that says what to find out.
    readout
        The numbers on show, written by the front end.
    """

    _css = load_css()
    task = Unicode().tag(sync=True)
    readout = Unicode().tag(sync=True)

    def picture(self) -> Figure:
        """Draw the present state; a Figure that does not belong to pyplot."""
        raise NotImplementedError

    def description(self) -> str:
        """Say in a sentence or two what `picture` shows."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict, dict]:
        data, metadata = super()._repr_mimebundle_(**kwargs)
        text = self.description()
        data["text/plain"] = text
        data["image/png"] = base64.b64encode(png_bytes(self.picture(), dpi=90)).decode()
        return data, {**metadata, "image/png": {"alt": text}}


def finite_array(name: str, values: Any, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return ``values`` as float64 after checking its shape and that all is finite.

    Parameters
    ----------
    name
        What to call the argument in an error.
    shape
        Expected lengths; None allows any length from 1.

    Raises
    ------
    ValueError
        If the shape differs, or a number is NaN or infinite; says which.
    """
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must hold real numbers; got dtype {array.dtype}")
    array = array.astype(np.float64)
    wanted = tuple("any" if n is None else n for n in shape)
    fits = array.ndim == len(shape) and all(
        have == want or (want is None and have > 0)
        for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{name} must have shape {wanted}; got {array.shape}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        index = tuple(int(i) for i in bad[0])
        raise ValueError(
            f"{name} must be finite; got {array[index]} at index {index} "
            f"({len(bad)} such of {array.size}). Drop or replace them first."
        )
    return array


def as_bytes(array: Any) -> bytes:
    """Return an array as little-endian float32 bytes, the form the front end reads."""
    return np.ascontiguousarray(array, dtype="<f4").tobytes()
