"""ScheduleExplorer in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.figures import PALETTE
from course_utils.widgets import ScheduleExplorer
from course_utils.widgets.core.schedules import (
    CURVATURES,
    NOISE,
    NUM_STEPS,
    SCHEDULES,
    constant_floor,
    learning_rates,
    noise_table,
    noisy_descent,
)
from course_utils.widgets.views.schedule import PRESETS
from tests.browser.widget_page import (
    SPY,
    all_pixels,
    assert_kernel_prints,
    assert_lab_still_works,
    assert_nothing_left,
    assert_theme_repaints,
    copied,
    count_cells,
    inked,
    pixels,
    readout,
    trait,
)

pytestmark = pytest.mark.browser
STATE = ("schedule", "base_lr", "shape", "step")
LEFT, RIGHT = "canvas[role=img] >> nth=0", "canvas[role=img] >> nth=1"
SHAPE = ".dlc-controls input[type=range] >> nth=1"
MATHS = """([schedules, noise, curvatures, sigma]) => schedules.map(([name, base, shape]) => {
  const lrs = esm.learningRates(name, base, shape, 420);
  const run = esm.noisyDescent(lrs, noise, curvatures);
  return {lrs, loss: run.loss.map(v => Number.isFinite(v) ? v : -1), stopped: run.stopped,
    floor: esm.constantFloor(base, curvatures, sigma)};
})"""


def test_both_curves_are_stroked_in_both_drawings(mount):
    page = mount(ScheduleExplorer("cosine"))
    for number in (0, 1):
        for colour in (PALETTE["blue"], PALETTE["vermilion"]):
            assert inked(page, number, colour) > 200  # the markers alone have about 60


def test_maths_equal_the_core(mount):
    page = mount(ScheduleExplorer())
    cases = [
        (name, base, shape)
        for name, known in SCHEDULES.items()
        for base in (0.1, 0.21)
        for shape in (known.default, known.low + 0.37 * (known.high - known.low))
    ]
    noise = noise_table(np.random.default_rng(5))
    results = page.evaluate(MATHS, [cases, noise.ravel().tolist(), CURVATURES.tolist(), NOISE])
    for (name, base, shape), got in zip(cases, results, strict=True):
        lrs = learning_rates(name, base, shape)
        np.testing.assert_allclose(got["lrs"], lrs, rtol=1e-9, atol=1e-15)
        run = noisy_descent(lrs, noise)
        assert got["stopped"] == run.stopped
        loss = np.where(np.isfinite(run.loss), run.loss, -1)
        np.testing.assert_allclose(got["loss"], loss, rtol=1e-7)
        assert (got["floor"] or np.inf) == pytest.approx(constant_floor(base))


def test_presets_and_reset(mount):
    page = mount(ScheduleExplorer(base_lr=0.08))
    first, said = all_pixels(page), {readout(page)}
    for name, (schedule, base_lr, _) in PRESETS.items():
        page.click(f"[data-preset='{name}']")
        said.add(readout(page))
        assert all_pixels(page) != first
        assert (trait(page, "schedule"), trait(page, "base_lr")) == (schedule, base_lr)
        assert page.input_value("select >> nth=0") == schedule
    assert len(said) == 5
    assert "constant: final loss 0.0556, 21 times as high." in readout(page)
    page.click("[data-preset='too high']")
    assert "constant: diverged at step 72." in readout(page)
    assert page.is_hidden(SHAPE)
    page.click(".dlc-reset")
    assert all_pixels(page) == first
    assert page.is_visible(SHAPE)


def test_each_schedule_has_its_shape(mount):
    page = mount(ScheduleExplorer("constant"))
    seen = set()
    for name, known in SCHEDULES.items():
        page.select_option("select >> nth=0", name)
        words = readout(page)
        assert words.startswith(f"Base learning rate 0.1. {name}: final loss")
        assert trait(page, "shape") == known.default
        seen.add(all_pixels(page))
        if known.low == known.high:
            continue
        page.get_by_label(known.label, exact=True).focus()
        page.keyboard.press("End" if name == "cosine" else "Home")
        assert trait(page, "shape") == (known.high if name == "cosine" else known.low)
        assert readout(page) != words
    assert len(seen) == len(SCHEDULES)
    before = readout(page)
    page.get_by_label("base learning rate", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    assert trait(page, "base_lr") == 0.0977
    assert readout(page) != before
    assert page.evaluate("saved") > 0


def test_keys_scrub_and_play(mount):
    page = mount(ScheduleExplorer())
    for canvas in (LEFT, RIGHT):
        page.focus(canvas)
        for key, step in [("End", 420), ("ArrowLeft", 419), ("Home", 0), ("ArrowRight", 1)]:
            page.keyboard.press(key)
            assert f"Step {step} of 420: learning rate" in readout(page)
            assert f"Step {step} of 420: learning rate" in page.get_attribute(canvas, "aria-label")
    page.keyboard.press("Space")
    page.wait_for_function("model.get('step') > 4")
    box = page.locator(LEFT).bounding_box()
    page.mouse.move(box["x"] + 211, box["y"] + 100)
    page.mouse.down()
    assert page.inner_text(".dlc-play") == "Play"
    assert "Step 210 of 420: learning rate 0.05," in readout(page)
    page.mouse.move(box["x"] + 60, box["y"] + 90, steps=3)
    page.mouse.up()
    assert "Step 0 of 420: learning rate 0.1, loss 12" in readout(page)


def test_copied_code_gives_the_same_state(mount):
    page = mount(ScheduleExplorer("SGDR", shape=33, step=17))
    assert page.locator(".dlc-controls output").nth(1).inner_text() == "33"
    page.get_by_label("base learning rate", exact=True).focus()
    page.keyboard.press("ArrowRight")
    again = eval(copied(page), {"ScheduleExplorer": ScheduleExplorer})
    assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
    assert again.base_lr == 0.102


def test_python_moves_the_view(mount):
    page = mount(ScheduleExplorer())
    seen = all_pixels(page)
    page.evaluate("model.set('base_lr', 0.0375)")
    assert readout(page).startswith("Base learning rate 0.0375. cosine")
    assert page.locator(".dlc-controls output").first.inner_text() == "0.0375"
    assert all_pixels(page) != seen
    page.evaluate("model.set('shape', 0.125)")
    readout(page)
    assert page.locator(".dlc-controls output").nth(1).inner_text() == "0.125"
    page.evaluate("model.set('step', 7)")
    assert "Step 7 of 420" in readout(page)
    assert page.locator(".dlc-player input").input_value() == "7"
    page.evaluate("model.set('noise', new DataView(new Float32Array(4200).buffer))")
    calm = noisy_descent(learning_rates("cosine", 0.0375, 0.125), np.zeros((NUM_STEPS, 10)))
    assert f"loss {calm.loss[7]:.3g}." in readout(page)
    page.evaluate("model.set('base_lr', NaN)")
    assert "cosine: diverged at step 1;" in readout(page)
    assert page.is_hidden(".dlc-trouble")


def test_dark_theme_and_narrow_page(mount):
    page = mount(ScheduleExplorer())
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '300px'")
    box = page.locator(RIGHT).bounding_box()
    assert box["width"] <= 300
    assert box["width"] / box["height"] == pytest.approx(380 / 324, rel=0.01)
    page.mouse.click(box["x"] + 211 / 380 * box["width"], box["y"] + 50)
    assert trait(page, "step") == 210


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(ScheduleExplorer())
    page.click(".dlc-play")
    page.wait_for_function("model.get('step') > 1 && model.get('step') < 400")
    page.evaluate("model.set('base_lr', 0.01)")
    assert_nothing_left(page)


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "schedule",
        [
            "from course_utils.widgets import ScheduleExplorer\nw = ScheduleExplorer()\nw",
            "print('at', w.step, w.base_lr, w.readout[:25])",
        ],
    )
    page.wait_for_selector(LEFT)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(LEFT)
    before = pixels(page, "canvas[role=img]")
    for key in ("Home", "ArrowRight", "x"):
        page.keyboard.press(key)
    assert pixels(page, "canvas[role=img]") != before
    page.get_by_label("base learning rate", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.dlc-readout').textContent.includes('0.102')")
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at 1 0.102 Base learning rate 0.102.")
