"""ConvolutionStepper: outputs against torch and the lecture, and the widget without a browser."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.image import imread

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import ConvolutionStepper
from course_utils.widgets.core.convolution import (
    CAMERA,
    KERNELS,
    LECTURE,
    Settings,
    output_size,
    outputs,
    patches,
)

SHAPES = [
    ((7, 9), (3, 3)),
    ((6, 6), (2, 5)),
    ((13, 8), (1, 1)),
    ((5, 11), (4, 3)),
    ((1, 1), (1, 1)),
]
STATE = ("source", "kernel", "stride", "padding", "dilation", "operation", "step", "whole")
STATE += ("weight",)


def picture_of(shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape)


def torch_outputs(image, kernel, settings):
    """Return what torch's own layers give, in float64."""
    x = torch.tensor(image)[None, None]
    step = {"stride": settings.stride, "padding": settings.padding, "dilation": settings.dilation}
    if settings.operation == "max":
        return F.max_pool2d(x, kernel.shape, **step)[0, 0].numpy()
    return F.conv2d(x, torch.tensor(kernel)[None, None], **step)[0, 0].numpy()


def settings_that_fit(shape, taps):
    for stride in (1, 2, 3):
        for padding in (0, 1, 3):
            for dilation in (1, 2):
                found = Settings(stride, padding, dilation)
                if all(output_size(n, k, found) for n, k in zip(shape, taps, strict=True)):
                    yield found


@pytest.mark.parametrize(("shape", "taps"), SHAPES)
def test_sums_equal_torch(shape, taps):
    image, kernel = picture_of(shape), np.random.default_rng(1).normal(size=taps)
    tried = 0
    for settings in settings_that_fit(shape, taps):
        expected = torch_outputs(image, kernel, settings)
        np.testing.assert_allclose(outputs(image, kernel, settings), expected, atol=1e-13)
        tried += 1
    assert tried >= 6


@pytest.mark.parametrize(("shape", "taps"), SHAPES)
def test_maxima_equal_torch(shape, taps):
    image = picture_of(shape) - 2.0  # below 0, so that a padding of zeros would win
    for settings in settings_that_fit(shape, taps):
        pooling = Settings(settings.stride, settings.padding, settings.dilation, "max")
        if 2 * pooling.padding > min(taps):  # torch refuses these
            continue
        expected = torch_outputs(image, np.ones(taps), pooling)
        np.testing.assert_array_equal(outputs(image, np.ones(taps), pooling), expected)


def test_a_window_of_padding_has_no_largest_pixel():
    found = outputs(np.ones((2, 2)), np.ones((1, 1)), Settings(padding=1, operation="max"))
    np.testing.assert_array_equal(np.isinf(found), np.pad(np.zeros((2, 2)), 1, constant_values=1))


def test_patches_are_what_unfold_cuts_out():
    image, settings = picture_of((8, 7)), Settings(2, 1, 2)
    cut = F.unfold(torch.tensor(image)[None, None], (3, 2), stride=2, padding=1, dilation=2)
    got = patches(image, (3, 2), settings)
    np.testing.assert_array_equal(got.reshape(-1, 6).T, cut[0])


def test_the_lecture_to_the_digit():
    first = [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]
    second = [[-1, -1, -1, -1], [-1, -1, -2, 1], [-1, -1, -2, 1], [-1, 0, -4, 3]]
    for name, expected in (("diagonal", first), ("column", second)):
        widget = ConvolutionStepper("lecture", name)
        np.testing.assert_array_equal(widget.outputs(), expected)
    np.testing.assert_array_equal(widget.image, LECTURE)


def test_what_the_presets_claim():
    widget = ConvolutionStepper()
    presets = widget.presets
    for name, preset in presets.items():
        shown = {k: v for k, v in preset.items() if k in STATE and k != "source"}
        image = "lecture" if preset["source"] == "lecture" else None
        again = ConvolutionStepper(image, **shown)
        assert again.step == ConvolutionStepper(image, **{**shown, "step": None}).step, name
    lecture = outputs(LECTURE, np.array(presets["the lecture's 6 × 6"]["kernel"]), Settings())
    assert lecture.max() == 3
    blur = np.array(presets["blur"]["kernel"])
    assert blur.sum() == pytest.approx(1)
    average = presets["average pooling"]
    x = torch.tensor(CAMERA)[None, None]
    mean = outputs(CAMERA, np.array(average["kernel"]), Settings(stride=2))
    np.testing.assert_allclose(mean, F.avg_pool2d(x, 2)[0, 0], atol=1e-14)
    largest = outputs(CAMERA, np.ones((2, 2)), Settings(stride=2, operation="max"))
    np.testing.assert_array_equal(largest, F.max_pool2d(x, 2)[0, 0])
    assert presets["stride skips"]["stride"] == len(presets["stride skips"]["kernel"])
    assert presets["dilated"]["dilation"] * (len(presets["dilated"]["kernel"]) - 1) + 1 == 7
    # A maximum is no convolution: it does not add up.
    a, b = picture_of((4, 4)), picture_of((4, 4), 1)
    pool = Settings(stride=2, operation="max")
    together, apart = (
        outputs(a + b, np.ones((2, 2)), pool),
        outputs(a, np.ones((2, 2)), pool) + outputs(b, np.ones((2, 2)), pool),
    )
    assert (together <= apart).all()
    assert (together < apart - 1e-3).any()


def test_turning_the_kernel_makes_it_a_convolution():
    from scipy.signal import convolve2d

    image, kernel = picture_of((9, 8)), np.random.default_rng(3).normal(size=(3, 2))
    np.testing.assert_allclose(
        outputs(image, kernel[::-1, ::-1], Settings()),
        convolve2d(image, kernel, mode="valid"),
        atol=1e-13,
    )


def test_traits_and_sizes():
    image = torch.rand(28, 21, generator=torch.Generator().manual_seed(0))
    widget = ConvolutionStepper(image, "sharpen", stride=2, padding=1, dilation=2, step=5)
    assert (widget.stride, widget.padding, widget.dilation, widget.step) == (2, 1, 2, 5)
    assert widget.pixels == image.numpy().astype("<f4").tobytes()
    assert (widget.shape, widget.given) == ([28, 21], True)
    expected = torch_outputs(image.double().numpy(), np.array(KERNELS["sharpen"]) * 1.0,
                             widget.settings)  # fmt: skip
    np.testing.assert_allclose(widget.outputs(), expected, atol=1e-12)
    assert widget.place() == divmod(5, expected.shape[1])
    first = ConvolutionStepper(image).outputs()
    i, j = ConvolutionStepper(image).place()
    assert abs(first[i, j]) == np.abs(first).max()
    assert sum(len(str(v)) for k, v in widget.get_state().items() if k[0] != "_") < 50_000
    assert len(str(widget._esm).encode()) <= 30_000
    assert not ConvolutionStepper().given
    assert ConvolutionStepper("camera").pixels == ConvolutionStepper().pixels
    widget.kernel = [[1, 2], [3, 4]]
    assert widget.kernel == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image": np.ones(4)}, r"image must have shape \('any', 'any'\); got \(4,\)"),
        ({"image": np.full((2, 2), np.nan)}, "image must be finite; got nan at index"),
        ({"image": np.ones((29, 3))}, r"at most 28 x 28 .* got shape \(29, 3\). Crop it"),
        ({"image": 255 * np.ones((3, 3))}, r"image must lie in \[0, 1\]; got 255 to 255. Subtract"),
        ({"image": "moon"}, "image must be an array, 'camera' or 'lecture'; got 'moon'"),
        ({"kernel": "edge"}, r"kernel must be an array or one of \['vertical.* got 'edge'"),
        ({"kernel": np.ones(3)}, "kernel must have shape"),
        ({"kernel": [[1, np.inf]]}, "kernel must be finite; got inf at index"),
        ({"kernel": np.ones((8, 2))}, r"at most 7 x 7 weights; got \(8, 2\)"),
        ({"stride": 0}, "stride must be a whole number from 1 to 4; got 0"),
        ({"stride": 5}, "stride must be a whole number from 1 to 4; got 5"),
        ({"padding": -1}, "padding must be a whole number from 0 to 6; got -1"),
        ({"dilation": 0}, "dilation must be a whole number from 1 to 4; got 0"),
        ({"operation": "mean"}, "operation must be one of sum, max; got 'mean'"),
        ({"step": -1}, "step must be a whole number from 0; got -1"),
        ({"step": 16}, "step must lie in 0 to 15; got 16"),
        ({"weight": (3, 0)}, r"weight must be \(row, column\) below \(3, 3\); got \(3, 0\)"),
        (
            {"dilation": 3},
            r"shape \(3, 3\) with dilation 3 is larger than the padded image of shape \(6, 6\)",
        ),
    ],
)
def test_errors_say_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvolutionStepper(**({"image": "lecture"} | arguments))
    name, value = next(iter(arguments.items()))
    if name in ("stride", "padding", "operation") or (np.ndim(value) == 2 and name == "kernel"):
        with pytest.raises(ValueError, match=message):
            setattr(ConvolutionStepper(), name, np.array(value).tolist())


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"image": "lecture", "kernel": "column"},
        {"operation": "max", "kernel": "window 2 x 2", "stride": 2, "padding": 2},
        {"image": np.zeros((1, 1)), "kernel": [[0.0]]},
        {"kernel": np.ones((7, 5)) / 3, "dilation": 2, "padding": 6},
    ],
    ids=["first", "lecture", "max", "one pixel", "large"],
)
def test_fallback_shows_image_products_and_map(arguments, tmp_path):
    widget = ConvolutionStepper(**arguments)
    figure = widget.picture()
    assert check_axes(figure) == []
    (tmp_path / "a.png").write_bytes(png_bytes(figure))
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    i, j = widget.place()
    assert f"row {i}, column {j} is {widget.outputs()[i, j]:.4g}." in widget.description()


def test_a_window_that_does_not_fit_is_said():
    widget = ConvolutionStepper("lecture")
    widget.dilation = 3
    assert widget.outputs().size == 0
    assert "larger than the padded image, so there is no output" in widget.description()
    assert check_axes(widget.picture()) == []
