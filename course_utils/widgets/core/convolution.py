"""A kernel that steps over an image: patches, outputs, kernels worth knowing.

The notebook ``08_convolution`` derives the operation; this module computes it for
``ConvolutionStepper``. As in torch, the kernel is not turned round: what is computed
is cross-correlation.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

__all__ = ["CAMERA", "KERNELS", "LECTURE", "OPERATIONS", "PRESETS", "Settings"]
__all__ += ["output_size", "outputs", "patches"]

OPERATIONS = ("sum", "max")
KERNELS = {
    "vertical edges": [[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]],
    "horizontal edges": [[-1, -1, -1], [0, 0, 0], [1, 1, 1]],
    "blur": [[1 / 9] * 3] * 3,
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
    "diagonal": [[1, -1, -1], [-1, 1, -1], [-1, -1, 1]],
    "column": [[-1, 1, -1], [-1, 1, -1], [-1, 1, -1]],
    "average 2 x 2": [[1 / 4] * 2] * 2,
    "window 2 x 2": [[1] * 2] * 2,
}

_LECTURE_ROWS = ("100001", "010010", "001100", "100010", "010010", "001010")
# Means over 10 × 10 pixels of scikit-image's "camera" (Lav Varshney, CC0), in 16 grey levels.
_CAMERA_ROWS = (
    "cccccccccccccccccccccccccccc",
    "cccccccccccb89bccccccccccccc",
    "cccccccccc732236bccccccccccc",
    "ccccccccc62332224bcccccccccc",
    "cccccccc9123343124bccccccccc",
    "dcccccc831123332216ccccccccc",
    "dddddb4111111232212ccccccccc",
    "ddc8732211211243223ccccccccc",
    "b63222221174158955bccccccccc",
    "32222222219738755468bbbaaddd",
    "22222222724668a9bc7acccaaddd",
    "2222222267456799ac7abaa9cddd",
    "122222222c4356789d6899974dbb",
    "1222121228733456bcb634442b9d",
    "1122122227a3124389941241289c",
    "1122112226923333887432424868",
    "2111111223333333573022426656",
    "1211111123333322492116335556",
    "122111121322321048111757bd78",
    "122112222221211021045779aaa9",
    "1111122222111111000395999999",
    "12212122222111111100477a9999",
    "112121222222211111012879aaa9",
    "111221122222211111012aaaaa99",
    "1112211121124211101389999999",
    "1111111000128961116999986699",
    "1111100011269999799956669999",
    "0000000122599999999833489999",
)
LECTURE = np.array([[int(digit, 16) for digit in row] for row in _LECTURE_ROWS], float)
CAMERA = np.array([[int(digit, 16) / 15 for digit in row] for row in _CAMERA_ROWS])


@dataclass(frozen=True)
class Settings:
    """How the window moves: pixels from output to output, zeros around, pixels between taps.

    With ``operation`` "max" the largest pixel of the window is taken, the padding never;
    the kernel then gives the window's shape alone.
    """

    stride: int = 1
    padding: int = 0
    dilation: int = 1
    operation: str = "sum"


_PLAIN = Settings()
_HALVE = Settings(stride=2)
# name: image, kernel, settings, what it shows
PRESETS = {
    "vertical edges": (
        "image", "vertical edges", _PLAIN,
        "right minus left: positive from dark to bright, negative from bright to dark"),
    "blur": ("image", "blur", Settings(padding=1), "the mean of nine pixels: edges go soft"),
    "sharpen": (
        "image", "sharpen", Settings(padding=1),
        "a pixel and its difference from its neighbours; the padding makes a false border"),
    "the lecture's 6 × 6": (
        "lecture", "diagonal", _PLAIN, "3 where the diagonal lies in the image, the most it can"),
    "its second kernel": ("lecture", "column", _PLAIN, "the same image asked for columns"),
    "stride skips": (
        "image", "vertical edges", Settings(stride=3),
        "windows side by side: an edge between two of them is missed"),
    "dilated": (
        "image", "vertical edges", Settings(dilation=3), "nine weights reach over 7 × 7 pixels"),
    "average pooling": (
        "image", "average 2 x 2", _HALVE, "a convolution with equal weights and stride 2"),
    "max pooling": (
        "image", "window 2 x 2", Settings(stride=2, operation="max"),
        "the largest pixel of each window: no weights, and no sum"),
}  # fmt: skip


def output_size(size: int, taps: int, settings: Settings) -> int:
    """Return how many outputs fit along one side; 0 if the window is larger than the image.

    Examples
    --------
    >>> output_size(28, 3, Settings(stride=2, padding=1))
    14
    """
    room = size + 2 * settings.padding - settings.dilation * (taps - 1) - 1
    return 0 if room < 0 else room // settings.stride + 1


def patches(
    image: Float[np.ndarray, "H W"], shape: tuple[int, int], settings: Settings
) -> Float[np.ndarray, "rows cols kh kw"]:
    """Return the pixels under the window of ``shape`` at each place of the output."""
    fill = 0.0 if settings.operation == "sum" else -np.inf
    padded = np.pad(image, settings.padding, constant_values=fill)
    rows, cols = (output_size(n, k, settings) for n, k in zip(image.shape, shape, strict=True))
    if not rows * cols:
        return np.empty((rows, cols, *shape))
    gap, stride = settings.dilation, settings.stride
    reach = tuple(gap * (k - 1) + 1 for k in shape)
    windows = np.lib.stride_tricks.sliding_window_view(padded, reach)
    return windows[::stride, ::stride, ::gap, ::gap]


def outputs(
    image: Float[np.ndarray, "H W"], kernel: Float[np.ndarray, "kh kw"], settings: Settings
) -> Float[np.ndarray, "rows cols"]:
    """Return the sum of pixel times weight, or the largest pixel, at each place.

    A window that holds nothing but padding has no largest pixel and gives -infinity.
    """
    under = patches(image, kernel.shape, settings)
    if settings.operation == "max":
        return under.max(axis=(2, 3), initial=-np.inf)
    return np.einsum("rckl,kl->rc", under, kernel)
