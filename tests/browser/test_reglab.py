"""RegularizationLab in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.widgets import RegularizationLab
from course_utils.widgets.core.reglab import (
    EVERY,
    LR,
    NUM_STEPS,
    REGULARISERS,
    WIDTH,
    load_points,
    soft_threshold,
    train,
)
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
STATE = ("dataset", "regulariser", "strengths", "step")
CANVASES = [f".dlc-stage canvas[height='{h}']" for h in (356, 190, 164)]
PLANE, CURVES, BARS = CANVASES
STRENGTH = ".dlc-controls input[type=range]"
RUN = """([settings, sets, looks]) => {
  const all = sets.map(([X, y]) => ({X: Float64Array.from(X.flat()), y: Float64Array.from(y)}));
  const run = esm.makeRun(settings, all);
  while (!run.done && run.losses.length <= looks) run.advance();
  return {weights: run.weights.map(w => Array.from(w)), losses: run.losses, done: run.done,
    stopped: run.stopped, kept: run.kept};
}"""


def run_in_page(page, dataset, strengths, looks=NUM_STEPS // EVERY, seed=0):
    points = load_points(dataset)
    sets = [[points.X[p].tolist(), points.y[p].tolist()] for p in points.parts]
    settings = {
        "width": WIDTH,
        "lr": LR,
        "numSteps": NUM_STEPS,
        "every": EVERY,
        "strengths": strengths,
        "seed": seed,
    }
    return page.evaluate(RUN, [settings, sets, looks])


def settled(page, words="", step=None):
    """Wait until training is done and the read-out speaks of the step and data asked for."""
    page.wait_for_function(
        """([words, step]) => { const {get} = model;
        return get('readout').startsWith(
          `Step ${step ?? get('step')} on ${get('dataset')}, ${words}`); }""",
        arg=[words, step],
    )
    return readout(page)


@pytest.mark.parametrize(
    ("dataset", "strengths"),
    [
        ("moons", {}),
        ("moons", {"l1": 0.005}),
        ("xor", {"l2": 0.01, "input noise": 0.3, "dropout": 0.3}),
        ("moons", {"weight noise": 0.3, "label smoothing": 0.1}),
        ("blobs", {"l1": 0.001, "dropout": 0.5, "early stopping": 500}),
    ],
    ids=["plain", "l1", "l2, inputs, dropout", "weights, labels", "l1, dropout, stopping"],
)
def test_whole_runs_equal_the_core(mount, dataset, strengths):
    page = mount(RegularizationLab())
    got, core = run_in_page(page, dataset, strengths), train(dataset, strengths)
    assert got["done"]
    assert (got["stopped"], got["kept"]) == (core.stopped, core.kept)
    np.testing.assert_allclose(got["losses"], core.losses, rtol=1e-5)
    np.testing.assert_allclose(got["weights"], core.weights, rtol=1e-5, atol=1e-6)
    if "l1" in strengths:
        np.testing.assert_array_equal(np.array(got["weights"]) == 0, core.weights == 0)


def test_another_seed_and_the_soft_threshold_equal_the_core(mount):
    page = mount(RegularizationLab())
    strengths = {"input noise": 0.2, "weight noise": 0.1}
    got = run_in_page(page, "xor", strengths, looks=5, seed=4_294_967_295)
    core = train("xor", strengths, 4_294_967_295)
    np.testing.assert_allclose(got["weights"][:6], core.weights[:6], rtol=1e-9, atol=1e-12)
    w = [-2.5, -0.3, 0.0, 0.29, 0.31, 4.0]
    got = page.evaluate("w => w.map(v => esm.softThreshold(v, 0.3))", w)
    np.testing.assert_allclose(got, soft_threshold(np.array(w), 0.3))


def test_presets_say_what_the_core_says(mount):
    page = mount(RegularizationLab("blobs"))
    start, first = settled(page, "no regulariser"), all_pixels(page)
    said = {}
    for name, preset in trait(page, "presets").items():
        page.click(f"[data-preset='{name}']")
        page.wait_for_function(
            "r => model.get('regulariser') === r", arg=preset["regulariser"], timeout=2000
        )
        active = [k for k, v in preset["strengths"].items() if v]
        said[name] = settled(page, active[0] if active else "no regulariser")
        losses = train("blobs", preset["strengths"]).losses[-1]
        gap = f"generalisation gap {losses[2] - losses[0]:.3g}.".replace("-", "−")
        assert gap in said[name], name
        assert page.input_value("select >> nth=1") == preset["regulariser"]
    assert len(set(said.values())) == 6
    assert said["overfit"] == start
    assert " 0 of 96 weights are exactly 0" in said["weight decay"]
    assert " 0 of 96 weights" not in said["exact zeros"]
    assert "Stopped at step" in said["stop early"]
    assert all_pixels(page) != first
    page.click(".dlc-reset")
    assert settled(page, "no regulariser") == start
    assert all_pixels(page) == first


def test_a_change_is_drawn_in_the_next_frame_and_then_refined(mount):
    page = mount(RegularizationLab())
    settled(page)
    before = pixels(page, PLANE)
    counts = page.evaluate(
        """() => new Promise(done => {
          const shown = () => document.querySelector("canvas[height='356']").toDataURL();
          model.set('strengths', {...model.get('strengths'), dropout: 0.45});
          requestAnimationFrame(() => requestAnimationFrame(() => done([shown()]))); })"""
    )
    assert counts[0] != before
    settled(page, "dropout p = 0.45")
    assert pixels(page, PLANE) != counts[0]


def test_controls_chips_and_copied_code(mount):
    page = mount(RegularizationLab())
    seen = {settled(page)}

    def same():
        again = eval(copied(page), {"RegularizationLab": RegularizationLab})
        assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
        return again

    same()
    assert page.locator(".dlc-controls output").inner_text() == "off"
    page.focus(STRENGTH)
    page.keyboard.press("End")
    seen.add(settled(page, "l2 λ = 0.2"))
    assert page.locator(".dlc-controls output").inner_text() == "λ = 0.2"
    page.select_option("select >> nth=1", "dropout")
    painted(page)
    assert page.locator(".dlc-controls output").inner_text() == "off"
    page.focus(STRENGTH)
    page.keyboard.press("ArrowRight")
    seen.add(settled(page, "l2 λ = 0.2, dropout p = 0.05"))
    assert page.locator("[data-chip]").all_inner_texts() == ["l2 λ = 0.2 ✕", "dropout p = 0.05 ✕"]
    page.select_option("select >> nth=0", "xor")
    page.wait_for_function("model.get('readout').includes('on xor')")
    seen.add(settled(page))
    again = same()
    assert {k: v for k, v in again.strengths.items() if v} == {"l2": 0.2, "dropout": 0.05}
    page.click("[data-chip='l2']")
    seen.add(settled(page, "dropout p = 0.05"))
    page.click("[data-chip='dropout']")
    seen.add(settled(page, "no regulariser"))
    assert page.inner_text("[aria-label='regularisers that act']") == "no regulariser acts"
    assert len(seen) == 6
    assert (same().dataset, page.evaluate("saved") > 5) == ("xor", True)


def test_every_regulariser_moves_the_read_out(mount):
    page = mount(RegularizationLab())
    plain = settled(page).split(": ")[1]
    for name, known in REGULARISERS.items():
        page.select_option("select >> nth=1", name)
        page.focus(STRENGTH)
        page.keyboard.press("End")
        words = f"{name} {known.symbol} = {known.values[-1]:g}:"
        assert settled(page, words).split(": ")[1] != plain
        page.keyboard.press("Home")
        assert plain in settled(page, "no regulariser")


def test_player_keys_and_scrubbing(mount):
    page = mount(RegularizationLab(regulariser="l1", strength=0.005))
    end = settled(page)
    for canvas in CANVASES:
        page.focus(canvas)
        for key, step in [("Home", 0), ("ArrowRight", 20), ("End", 3000), ("ArrowLeft", 2980)]:
            page.keyboard.press(key)
            settled(page, "l1 λ = 0.005", step)
            assert f"Step {step} on moons, l1" in page.evaluate(LABEL)
    assert page.locator(".dlc-player output").inner_text() == "step 2980 / 3000"
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    page.wait_for_function("model.get('step') > 100")
    box = page.locator(CURVES).bounding_box()
    scale = box["width"] / 510
    page.mouse.move(box["x"] + 275 * scale, box["y"] + 80)
    page.mouse.down()
    assert page.inner_text(".dlc-play") == "Play"
    settled(page, "l1", 1500)
    page.mouse.move(box["x"] + 600 * scale, box["y"] + 70, steps=3)
    page.mouse.up()
    assert settled(page) == end


def test_python_moves_the_view(mount):
    page = mount(RegularizationLab())
    settled(page)
    seen = all_pixels(page)
    page.evaluate("model.set('step', 400)")
    settled(page, "no regulariser", 400)
    page.evaluate("model.set('strengths', {...model.get('strengths'), l2: 0.0123})")
    text = settled(page, "l2 λ = 0.0123")
    losses = train("moons", {"l2": 0.0123}).losses[20]
    assert f"training loss {losses[0]:.3g} nats, held out {losses[2]:.3g}," in text
    assert page.locator(".dlc-controls output").inner_text() == "λ = 0.0123"
    page.evaluate("model.set('regulariser', 'l1')")
    painted(page)
    assert page.locator(".dlc-controls output").inner_text() == "off"
    page.evaluate("model.set('dataset', 'blobs')")
    settled(page, "l2 λ = 0.0123", 400)
    assert all(a != b for a, b in zip(seen, all_pixels(page), strict=True))


def test_numbers_that_are_none_are_shown(mount):
    page = mount(RegularizationLab())
    page.evaluate("model.set('strengths', {...model.get('strengths'), l2: 1e300})")
    page.wait_for_function("model.get('readout').includes('NaN')")
    assert page.is_hidden(".dlc-trouble")
    page.click(".dlc-reset")
    assert "NaN" not in settled(page, "no regulariser")


def test_themes_and_a_narrow_page(mount):
    page = mount(RegularizationLab(regulariser="early stopping", strength=200))
    settled(page)
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '300px'")
    for canvas in CANVASES:
        assert page.locator(canvas).bounding_box()["width"] <= 300


def test_without_motion_play_shows_the_end(mount, page):
    page.emulate_media(reduced_motion="reduce")
    mount(RegularizationLab(step=0))
    page.click(".dlc-play")
    settled(page, "no regulariser", 3000)


def test_cleanup_leaves_nothing_even_while_training(mount, page):
    page.evaluate(SPY)
    mount(RegularizationLab())
    page.click(".dlc-play")
    page.wait_for_function("model.get('step') < 3000 && model.get('step') > 20")
    page.evaluate("model.set('strengths', {...model.get('strengths'), dropout: 0.35})")
    assert_nothing_left(page)
    page.evaluate("model.set('step', 20)")
    painted(page)


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "reglab",
        [
            "from course_utils.widgets import RegularizationLab\nw = RegularizationLab()\nw",
            "print('at', w.step, w.strengths['l2'], w.readout[:30])",
        ],
    )
    page.wait_for_selector(PLANE)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    said = "t => document.querySelector('.dlc-readout').textContent.startsWith(t)"
    page.wait_for_function(said, arg="Step 3000 on moons, no regulariser")
    page.focus(PLANE)
    before = pixels(page)
    for key in ("Home", "ArrowRight", "x"):
        page.keyboard.press(key)
    page.wait_for_function(said, arg="Step 20 on moons, no regulariser")
    assert pixels(page) != before
    page.focus(STRENGTH)
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    page.wait_for_function(said, arg="Step 20 on moons, l2 λ = 0.001:")
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at 20 0.001 Step 20 on moons, l2 λ = 0.001")
