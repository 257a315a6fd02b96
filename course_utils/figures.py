"""One look for every figure: style, palette, and pictures that come with words.

The colours are those of Okabe and Ito that keep a contrast of at least 3:1 on
white; the line cycle changes dash with colour, so colour is never alone.
"""

import io
import warnings

import matplotlib as mpl
import numpy as np
from cycler import cycler
from IPython import display as ipython
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

__all__ = ["CJK_FONTS", "MARKERS", "PALETTE", "check_axes", "png_bytes", "show", "use_course_style"]

PALETTE = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "black": "#000000",
}
MARKERS = ("o", "s", "^", "D", "v")
_COLOURS = 128
_VISIBLE_CHANGE = 16  # of 255, in one colour channel
_CHANGED_PIXELS = 0.012  # fraction of the picture; smooth colour maps exceed it
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
# Fonts that hold Chinese, one for each common system; the first found is used.
CJK_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Source Han Sans SC",
    "PingFang SC",
    "Hiragino Sans GB",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
)


def use_course_style() -> None:
    """Set matplotlib's defaults for this course; nothing is fetched."""
    known = {font.name for font in font_manager.fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in CJK_FONTS if name in known)]
    mpl.rcParams.update(
        {
            "figure.figsize": (6.0, 3.5),
            "figure.dpi": 100,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "savefig.facecolor": "white",
            "font.family": fonts,
            "font.size": 11,
            "axes.titlesize": 11,
            "axes.labelsize": 11,
            "xtick.labelsize": 11,
            "ytick.labelsize": 11,
            "legend.fontsize": 11,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": cycler(color=list(PALETTE.values())) + cycler(linestyle=_DASHES),
            "image.cmap": "viridis",
            "lines.linewidth": 1.8,
        }
    )


def png_bytes(fig: Figure, *, dpi: float = 100) -> bytes:
    """Return a figure as the bytes of a PNG file with a white background.

    Where few colours are enough, as for lines and text, the file holds only those
    and is less than half as large; a smooth colour map keeps all of its own.
    """
    drawn = io.BytesIO()
    fig.savefig(drawn, format="png", dpi=dpi, facecolor="white")
    picture = Image.open(drawn).convert("RGB")
    reduced = picture.quantize(_COLOURS, dither=Image.Dither.NONE)
    change = np.abs(np.asarray(picture, np.int16) - np.asarray(reduced.convert("RGB"), np.int16))
    is_same = (change.max(axis=-1) > _VISIBLE_CHANGE).mean() < _CHANGED_PIXELS
    small = io.BytesIO()
    (reduced if is_same else picture).save(small, format="png", optimize=True)
    return small.getvalue()


def show(fig: Figure, alt: str) -> None:
    """Display a figure as a PNG with alternative text, then close it.

    Parameters
    ----------
    alt
        One or two sentences that say what is to be seen, for readers who cannot
        see it.

    Raises
    ------
    ValueError
        If ``alt`` is too short to say anything.
    """
    if len(alt.split()) < 5:
        raise ValueError(f"alt is {alt!r}; say in a sentence what the figure shows")
    unlabelled = check_axes(fig)
    if unlabelled:
        warnings.warn(f"axes without a label: {', '.join(unlabelled)}", stacklevel=2)
    ipython.display(ipython.Image(data=png_bytes(fig), format="png", alt=alt))
    plt.close(fig)


def check_axes(fig: Figure) -> list[str]:
    """Return what is unlabelled: visible axes with ticks but no words beside them.

    An axes whose ticks were removed, as for a picture, needs no label. Shared
    axes are covered by one label at the border or by ``fig.supxlabel``.
    """
    missing = []
    for number, ax in enumerate(fig.axes):
        if not ax.axison or not ax.get_visible():
            continue
        for side, label, axis, shared in (
            ("x", ax.get_xlabel(), ax.xaxis, fig.get_supxlabel()),
            ("y", ax.get_ylabel(), ax.yaxis, fig.get_supylabel()),
        ):
            ticks = [tick for tick in axis.get_ticklabels() if tick.get_text()]
            if ticks and not label and not shared:
                missing.append(f"axes {number} {side}")
    return missing
