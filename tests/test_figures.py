"""Figures carry words: alternative text, labelled axes, contrast."""

import base64
import io

import matplotlib as mpl
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib import pyplot as plt
from PIL import Image

from course_utils import figures
from course_utils.figures import PALETTE, check_axes, png_bytes, show, use_course_style


@pytest.fixture(autouse=True)
def course_style():
    with mpl.rc_context():
        use_course_style()
        yield
        plt.close("all")


def labelled():
    fig, ax = plt.subplots()
    ax.plot([0, 1], [1, 2])
    ax.set(xlabel="time (s)", ylabel="loss (nats)")
    return fig


@pytest.fixture
def shown(monkeypatch):
    """What `show` displayed: a list of (data, metadata) as a notebook would store them."""
    shown = []
    monkeypatch.setattr(
        figures.ipython, "display", lambda image: shown.append(DisplayFormatter().format(image))
    )
    return shown


def test_show_displays_a_png_with_words_and_closes_the_figure(shown):
    show(labelled(), alt="The loss rises from one to two nats.")
    [(data, metadata)] = shown
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == "The loss rises from one to two nats."
    assert plt.get_fignums() == []


@pytest.mark.parametrize("alt", ["", "plot", "loss curve"])
def test_show_refuses_empty_words(alt):
    with pytest.raises(ValueError, match="say in a sentence"):
        show(labelled(), alt=alt)


def test_check_axes_names_what_has_no_label():
    fig, axs = plt.subplots(1, 2, sharey=True)
    axs[0].set_ylabel("loss (nats)")
    assert check_axes(fig) == ["axes 0 x", "axes 1 x"]
    fig.supxlabel("step")
    assert check_axes(fig) == []


def test_pictures_need_no_labels():
    fig, axs = plt.subplots(1, 2)
    axs[0].set_axis_off()
    axs[1].set(xticks=[], yticks=[])
    assert check_axes(fig) == []


def test_show_warns_of_unlabelled_axes(shown):
    fig, ax = plt.subplots()
    ax.plot([0, 1])
    with pytest.warns(UserWarning, match="axes without a label"):
        show(fig, alt="A line that rises from zero to one.")


def test_png_is_the_same_twice():
    assert png_bytes(labelled()) == png_bytes(labelled())


def luminance(colour: str) -> float:
    channels = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in mpl.colors.to_rgb(colour)
    ]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


@pytest.mark.parametrize("colour", PALETTE.values())
def test_every_colour_keeps_a_contrast_of_3_to_1_on_white(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 3


def test_lines_differ_by_dash_as_well_as_colour():
    cycle = list(mpl.rcParams["axes.prop_cycle"])
    assert len({str(style["linestyle"]) for style in cycle}) == len(cycle)


def test_lines_are_stored_in_few_colours_and_colour_maps_in_all():
    assert Image.open(io.BytesIO(png_bytes(labelled()))).mode == "P"
    fig, axs = plt.subplots(1, 2)
    x = np.linspace(-3, 3, 300)
    axs[0].imshow(np.exp(-(x**2) - x[:, None] ** 2))
    axs[1].imshow(np.sin(x) * x[:, None], cmap="RdBu_r")
    assert Image.open(io.BytesIO(png_bytes(fig))).mode == "RGB"
