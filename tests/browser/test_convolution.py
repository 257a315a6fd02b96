"""ConvolutionStepper in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest
import torch

from course_utils.widgets import ConvolutionStepper
from course_utils.widgets.core.convolution import Settings, output_size, outputs
from tests.browser.widget_page import (
    LABEL,
    SPY,
    all_pixels,
    assert_kernel_prints,
    assert_lab_still_works,
    assert_nothing_left,
    assert_theme_repaints,
    copied,
    count_cells,
    painted,
    pixels,
    readout,
    trait,
)

pytestmark = pytest.mark.browser
IMAGE, KERNEL, MAP = (f"canvas[role=img] >> nth={k}" for k in range(3))
PLAYER = ".dlc-player input[type=range]"
STATE = ("source", "kernel", "stride", "padding", "dilation", "operation", "step", "whole")
STATE += ("weight",)
WIDE, HIGH = 284, 324
OUTPUTS = """cases => cases.map(([image, shape, kernel, now]) => {
  const {rows, cols, values} = esm.outputsOf(image, shape, kernel, now);
  return [rows, cols, Array.from(values, v => v === -Infinity ? null : v)];
})"""
NEAR = """([shape, taps, now, size]) => {
  const wrong = [];
  for (let i = 0; i < size[0]; i++) for (let j = 0; j < size[1]; j++) {
    const middle = esm.middleOf([i, j], taps, now);
    if (esm.windowNear(middle, size, taps, now) !== i * size[1] + j) wrong.push([i, j, middle]);
  }
  const far = esm.windowNear([99, 99], size, taps, now);
  return [wrong, far, esm.windowNear([-99, -99], size, taps, now)];
}"""


def control(page, name):
    return page.get_by_label(name, exact=True)


def at_cell(page, canvas, cell, count):
    """Return where the middle of a cell lies in the page; ``count`` cells fill a canvas."""
    rows, cols = count
    side = min(280 // cols, 276 // rows, 96)
    left = 2 + (280 - cols * side) // 2
    x, y = left + (cell[1] + 0.5) * side, 24 + (cell[0] + 0.5) * side
    box = page.locator(canvas).bounding_box()
    return box["x"] + x * box["width"] / WIDE, box["y"] + y * box["height"] / HIGH


def test_maths_equal_torch(mount):
    page = mount(ConvolutionStepper())
    rng, cases, expected = np.random.default_rng(0), [], []
    for shape, taps in [((7, 9), (3, 3)), ((28, 28), (7, 5)), ((1, 1), (1, 1)), ((6, 5), (2, 4))]:
        for stride, padding, dilation in [(1, 0, 1), (2, 1, 1), (3, 2, 2), (4, 6, 1), (1, 6, 3)]:
            for operation in ("sum", "max"):
                settings = Settings(stride, padding, dilation, operation)
                if not all(output_size(n, k, settings) for n, k in zip(shape, taps, strict=True)):
                    continue
                image, kernel = rng.uniform(-1, 0, shape), rng.normal(size=taps)
                now = {"stride": stride, "padding": padding, "dilation": dilation}
                cases.append([image.ravel().tolist(), shape, kernel.tolist(),
                              {**now, "operation": operation}])  # fmt: skip
                if operation == "max":
                    expected.append(outputs(image, kernel, settings))
                else:
                    x, w = (torch.tensor(a)[None, None] for a in (image, kernel))
                    expected.append(torch.nn.functional.conv2d(x, w, **now)[0, 0].numpy())
    assert len(cases) > 30
    for (rows, cols, values), right in zip(page.evaluate(OUTPUTS, cases), expected, strict=True):
        assert (rows, cols) == right.shape
        got = np.array([-np.inf if v is None else v for v in values]).reshape(right.shape)
        np.testing.assert_allclose(got, right, rtol=1e-9, atol=1e-12)
    assert page.evaluate(OUTPUTS, [[[1, 2], [1, 2], [[1, 1, 1]], cases[0][3]]]) == [[0, 0, []]]


def test_the_window_nearest_to_a_place(mount):
    page = mount(ConvolutionStepper())
    for shape, taps, settings in [
        ((9, 7), (3, 3), Settings()),
        ((8, 12), (2, 5), Settings(3, 2, 1)),
        ((6, 6), (3, 2), Settings(2, 3, 2)),
    ]:
        size = [output_size(n, k, settings) for n, k in zip(shape, taps, strict=True)]
        now = {"stride": settings.stride, "padding": settings.padding,
               "dilation": settings.dilation}  # fmt: skip
        wrong, last, first = page.evaluate(NEAR, [shape, taps, now, size])
        assert (wrong, last, first) == ([], size[0] * size[1] - 1, 0)


def test_presets_and_reset(mount):
    page = mount(ConvolutionStepper(np.eye(9), "identity", padding=1, step=11))
    first, start = all_pixels(page), readout(page)
    assert "patch · kernel = 0. All outputs: 0 to 1." in start
    seen = {}
    for name, preset in trait(page, "presets").items():
        page.click(f'[data-preset="{name}"]')
        seen[name] = readout(page)
        assert {k: trait(page, k) for k in STATE} == {k: preset[k] for k in STATE}
        assert all_pixels(page) != first
        assert page.locator("input.dlc-number").is_visible() == (preset["operation"] == "sum")
    assert len(set(seen.values())) == len(seen)
    assert "of 4 × 4: patch · kernel = 3. All outputs: −3 to 3." in seen["the lecture's 6 × 6"]
    assert "All outputs: −4 to 3." in seen["its second kernel"]
    assert "⌊(6 + 2·0 − 1·(3 − 1) − 1) / 1⌋ + 1 = 4" in seen["its second kernel"]
    assert "/ 3⌋ + 1 = 3" in seen["stride skips"]
    assert "largest pixel of the patch = 1" in seen["max pooling"]
    page.click(".dlc-reset")
    assert (readout(page), all_pixels(page)) == (start, first)


def test_controls_keep_the_window_in_place(mount):
    page = mount(ConvolutionStepper(step=26 * 10 + 7))
    assert "Output row 10, column 7 of 26 × 26" in readout(page)
    for name, words in [
        ("padding", "Output row 11, column 8 of 28 × 28"),
        ("stride", "Output row 6, column 4 of 14 × 14"),
        ("dilation", "Output row 6, column 4 of 13 × 13"),
    ]:
        before = all_pixels(page)
        control(page, name).focus()
        page.keyboard.press("ArrowRight")
        assert words in readout(page)
        after = all_pixels(page)
        assert after[0] != before[0]
        assert after[2] != before[2]
    assert page.get_attribute(PLAYER, "max") == "168"


def test_copied_code_gives_the_same_state(mount):
    image = np.random.default_rng(0).uniform(size=(11, 8)).astype(np.float32)
    names = {"ConvolutionStepper": ConvolutionStepper, "image": image}
    page = mount(ConvolutionStepper(image))

    def same():
        call = copied(page)
        again = eval(call, names)
        assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
        assert again.pixels == trait(page, "pixels") or trait(page, "source") == "lecture"
        return call

    assert same().startswith('ConvolutionStepper(image, "vertical edges", stride=1')
    page.focus(KERNEL)
    for key in ("ArrowRight", "ArrowDown", "+"):
        page.keyboard.press(key)
    control(page, "stride").focus()
    page.keyboard.press("ArrowRight")
    page.focus(MAP)
    page.keyboard.press("ArrowRight")
    call = same()
    assert "[[-1, 0, 1], [-1, 0.5, 1], [-1, 0, 1]], stride=2" in call
    assert "whole=False, weight=(1, 1))" in call
    for name in trait(page, "presets"):
        page.click(f'[data-preset="{name}"]')
        same()
    page.click('[data-preset="blur"]')
    assert 'image, "blur"' in same()
    page.click('[data-preset="its second kernel"]')
    assert same().startswith('ConvolutionStepper("lecture", "column"')


def test_the_default_image_copies_as_its_name(mount):
    page = mount(ConvolutionStepper())
    call = copied(page)
    assert call.startswith('ConvolutionStepper("camera", ')
    again = eval(call, {"ConvolutionStepper": ConvolutionStepper})
    assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}


def test_the_kernel_can_be_edited(mount):
    page = mount(ConvolutionStepper("lecture", [[1, 2, 3], [4, 5, 6]], step=0))

    def kernel():
        painted(page)
        return trait(page, "kernel")

    page.mouse.click(*at_cell(page, KERNEL, (1, 2), (2, 3)))
    assert trait(page, "weight") == [1, 2]
    assert page.input_value("input.dlc-number") == "6"
    before = readout(page)
    page.keyboard.press("+")
    assert kernel() == [[1, 2, 3], [4, 5, 6.5]]
    page.keyboard.press("-")
    page.keyboard.press("-")
    assert kernel()[1][2] == 5.5
    page.keyboard.press("7")
    painted(page)
    page.keyboard.type(".25")
    assert kernel() == [[1, 2, 3], [4, 5, 7.25]]
    assert readout(page) != before
    page.focus(KERNEL)
    for key, weight in [
        ("Home", [0, 0]),
        ("ArrowRight", [0, 1]),
        ("ArrowDown", [1, 1]),
        ("ArrowLeft", [1, 0]),
        ("ArrowUp", [0, 0]),
        ("End", [1, 2]),
    ]:
        page.keyboard.press(key)
        assert trait(page, "weight") == weight
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.className") == "dlc-number"
    page.fill("input.dlc-number", "-6")
    assert kernel()[1][2] == -6
    page.fill("input.dlc-number", "")
    page.fill("input.dlc-number", "-1e9")
    assert kernel()[1][2] == -99
    page.fill("input.dlc-number", "0")
    page.click("text=flip sign")
    assert kernel() == [[-1, -2, -3], [-4, -5, 0]]
    page.click("text=rotate 180")
    assert kernel() == [[0, -5, -4], [-3, -2, -1]]
    page.click("text=transpose")
    assert kernel() == [[0, -3], [-5, -2], [-4, -1]]
    assert trait(page, "weight") == [2, 1]
    assert "of 4 × 5" in readout(page)
    image = np.array(ConvolutionStepper("lecture").image)
    values = outputs(image, np.array(kernel(), float), Settings())
    row, column = divmod(trait(page, "step"), 5)
    assert f"= {values[row, column]:.4g}".replace("-", "−") in readout(page)


def test_the_player_fills_the_map(mount):
    page = mount(ConvolutionStepper("lecture", "diagonal"))
    full = all_pixels(page)[2]
    for canvas in (IMAGE, MAP):
        page.focus(canvas)
        for key, step in [
            ("Home", 0),
            ("ArrowLeft", 0),
            ("ArrowRight", 1),
            ("ArrowDown", 5),
            ("ArrowDown", 9),
            ("ArrowUp", 5),
            ("End", 15),
        ]:
            page.keyboard.press(key)
            painted(page)
            assert trait(page, "step") == step, key
            assert f"row {step // 4}, column {step % 4} of" in readout(page)
            assert f"row {step // 4}, column {step % 4} of" in page.evaluate(LABEL)
    assert trait(page, "whole")
    page.keyboard.press("Home")
    assert not trait(page, "whole")
    nearly_empty = all_pixels(page)[2]
    assert nearly_empty != full
    page.select_option(".dlc-player select", "30")
    page.keyboard.press("Space")
    page.wait_for_function("model.get('step') === 15")
    assert trait(page, "whole")
    page.emulate_media(reduced_motion="reduce")
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    assert (trait(page, "step"), trait(page, "whole")) == (15, True)


def test_pointer_looks_clicks_and_drags(mount):
    page = mount(ConvolutionStepper("lecture", "diagonal", step=0))
    start, seen = readout(page), all_pixels(page)
    page.mouse.move(*at_cell(page, MAP, (2, 3), (4, 4)))
    assert "row 2, column 3 of" in readout(page)
    assert trait(page, "step") == 0
    assert all(a != b for a, b in zip(seen, all_pixels(page), strict=True))
    page.mouse.move(2, 2)
    assert (readout(page), all_pixels(page)) == (start, seen)
    page.mouse.move(*at_cell(page, MAP, (1, 1), (4, 4)))
    page.mouse.down()
    assert trait(page, "step") == 5
    page.mouse.move(*at_cell(page, MAP, (3, 2), (4, 4)), steps=3)
    assert trait(page, "step") == 14
    page.mouse.up()
    page.mouse.click(*at_cell(page, IMAGE, (2, 3), (6, 6)))
    assert trait(page, "step") == 6
    assert "row 1, column 2 of" in readout(page)
    # Where the map is not whole, pointing does not give the next outputs away.
    page.focus(MAP)
    page.keyboard.press("Home")
    page.mouse.move(*at_cell(page, MAP, (3, 3), (4, 4)))
    assert "row 0, column 0 of" in readout(page)
    page.mouse.click(*at_cell(page, MAP, (3, 1), (4, 4)))
    assert (trait(page, "step"), trait(page, "whole")) == (13, True)


def test_python_moves_the_view(mount):
    page = mount(ConvolutionStepper())
    seen = all_pixels(page)
    page.evaluate("model.set('step', 30)")
    assert "row 1, column 4 of 26" in readout(page)
    page.evaluate("model.set('kernel', [[0, 1]])")
    assert "of 28 × 27" in readout(page)
    assert "Output height ⌊(28 + 2·0 − 1·(1 − 1) − 1) / 1⌋ + 1 = 28, width ⌊" in readout(page)
    page.evaluate("model.set('padding', 3)")
    assert control(page, "padding").input_value() == "3"
    assert "(2 of 2 pixels are padding)" in readout(page)
    page.evaluate("model.set('operation', 'max')")
    assert "largest pixel of the patch = −∞" in readout(page)
    assert "All outputs: −∞ to 0.8" in readout(page)
    assert all_pixels(page) != seen
    page.evaluate("model.set('operation', 'sum')")
    page.evaluate(
        """() => { const v = new Float32Array(784); v.fill(NaN);
        model.set('pixels', new DataView(v.buffer)); model.set('step', 400); }"""
    )
    assert "patch · kernel = NaN" in readout(page)
    assert page.is_hidden(".dlc-trouble")


def test_a_window_that_does_not_fit_is_said(mount):
    page = mount(ConvolutionStepper("lecture", "diagonal"))
    control(page, "dilation").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "No output: the window is larger than the padded image." in readout(page)
    assert "+ 1 = 0." in readout(page)
    for canvas in (IMAGE, KERNEL, MAP):
        page.focus(canvas)
        for key in ("ArrowRight", "ArrowDown", "End", "Space"):
            page.keyboard.press(key)
        page.mouse.click(*at_cell(page, canvas, (1, 1), (3, 3)))
    assert page.is_hidden(".dlc-trouble")
    control(page, "padding").focus()
    page.keyboard.press("ArrowRight")
    assert "of 2 × 2" in readout(page)


def test_themes_and_a_narrow_page(mount):
    page = mount(ConvolutionStepper("lecture"))
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '260px'")
    for canvas in (IMAGE, KERNEL, MAP):
        assert page.locator(canvas).bounding_box()["width"] <= 260
    page.locator(MAP).scroll_into_view_if_needed()
    page.mouse.click(*at_cell(page, MAP, (2, 1), (4, 4)))
    assert trait(page, "step") == 9


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(ConvolutionStepper())
    page.click(".dlc-play")
    assert_nothing_left(page)
    page.evaluate("model.set('step', 3)")
    painted(page)


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "convolution",
        [
            "from course_utils.widgets import ConvolutionStepper\n"
            "w = ConvolutionStepper('lecture', 'diagonal', step=0)\nw",
            "print('at', w.step, w.weight, w.kernel[0], w.readout[:22])",
        ],
    )
    page.wait_for_selector(MAP)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(KERNEL)
    for key in ("ArrowRight", "+", "x"):
        page.keyboard.press(key)
    page.wait_for_function("document.querySelector('.dlc-number').value === '-0.5'")
    before = pixels(page)
    page.focus(IMAGE)
    for key in ("ArrowRight", "ArrowDown", "x"):
        page.keyboard.press(key)
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.includes('row 1, column 1 of')"
    )
    assert pixels(page) != before
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at 5 [0, 1] [1.0, -0.5, -1.0] Output row 1, column 1")
