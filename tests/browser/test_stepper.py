"""PerceptronStepper in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.widgets import PerceptronStepper
from course_utils.widgets.base import as_bytes
from course_utils.widgets.core.perceptron import (
    PRESETS,
    perceptron_run,
    preset_samples,
    separation,
)
from tests.browser.widget_page import (
    DARK,
    LABEL,
    SPY,
    assert_kernel_prints,
    assert_lab_still_works,
    assert_nothing_left,
    copied,
    count_cells,
    painted,
    pixels,
    readout,
    trait,
)

pytestmark = pytest.mark.browser
STATE = ("samples", "order", "max_steps", "step", "preset")


def drag(page, start, by, steps=4):
    """Drag from a place on the canvas (CSS pixels) by so much."""
    box = page.locator(".dlc-stage canvas").bounding_box()
    x, y = box["x"] + start[0], box["y"] + start[1]
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by[0], y + by[1], steps=steps)
    page.mouse.up()


def centre_of(page, point):
    """Where on the canvas a point of XOR lies: the window is [-1.2, 1.2] both ways."""
    left, top, side = 52, 10, 378
    scale = side / 2.4
    return left + side / 2 + point[0] * scale, top + 382 / 2 - point[1] * scale


def test_presets_move_readout_and_picture(mount):
    page = mount(PerceptronStepper(step=3))
    first = pixels(page)
    assert len(first) > 2_000
    assert readout(page).startswith("Step 3 of 24: sample 2")
    for name in PRESETS:
        page.click(f"[data-preset='{name}']")
        X, y = preset_samples(name)
        run = perceptron_run(X, y, range(len(X)), 500)
        assert readout(page).startswith(f"Step 0 of {len(run) - 1}: start; w = (0, 0), b = 0;")
        assert trait(page, "preset") == name
        assert trait(page, "samples") == as_bytes(np.column_stack([X, y]))
        page.locator(".dlc-stage canvas").focus()
        page.keyboard.press("End")
        assert f"mistakes {run.mistakes[-1]};" in readout(page)
    assert "not separable: no bound. The weights are those of step 0 again" in readout(page)
    assert "they repeat every 4 steps, for ever" in readout(page)
    assert pixels(page) != first
    page.click(".dlc-reset")
    assert readout(page).startswith("Step 3 of 24")
    assert pixels(page) == first


def test_keys_buttons_and_label(mount):
    page = mount(PerceptronStepper(preset="XOR"))
    canvas = page.locator(".dlc-stage canvas")
    canvas.focus()
    seen = {pixels(page)}
    steps = {"ArrowRight": 1, "End": 4, "ArrowLeft": 3, "Home": 0}
    for key, step in steps.items():
        page.keyboard.press(key)
        assert readout(page).startswith(f"Step {step} of 4")
        assert page.evaluate(LABEL).startswith("Two classes and the perceptron's boundary. Step")
        assert f"Step {step} of 4" in page.evaluate(LABEL)
        assert trait(page, "step") == step
        seen.add(pixels(page))
    assert len(seen) >= 4
    page.keyboard.press(" ")
    page.wait_for_function("model.get('step') === 4")
    page.click("[data-preset='narrow margin']")
    for mistakes in (1, 2, 3):
        page.click("text=Next mistake")
        assert f"; mistakes {mistakes};" in readout(page)
    page.focus(".dlc-player select")
    page.select_option(".dlc-player select", "30")
    page.click(".dlc-play")
    page.wait_for_function("model.get('step') > 20")
    page.click(".dlc-play")
    assert trait(page, "step") < 101


def test_panel_says_the_equation_with_numbers(mount):
    page = painted(mount(PerceptronStepper(preset="XOR", step=1)))
    text = page.inner_text(".dlc-panel")
    assert "sample 0: x = (−1, −1), target t = 0" in text
    assert "d = 0·(−1) + 0·(−1) + 0 = 0" in text
    assert "d ≥ 0, so output y = 1" in text
    assert "▶ 3. t = 0, y = 1: w ← w − x, b ← b − 1" in text
    assert "w: (0, 0) → (1, 1), b: 0 → −1" in text


def test_dragging_a_sample_runs_the_rule_again(mount):
    page = mount(PerceptronStepper(preset="XOR"))
    before = pixels(page)
    drag(page, centre_of(page, (1, 1)), (-60, -10))
    assert trait(page, "preset") == ""
    moved = np.frombuffer(trait(page, "samples"), "<f4").reshape(4, 3)
    assert moved[3, 0] < 0.8
    assert moved[3, 1] > 1
    np.testing.assert_array_equal(moved[:3, :2], preset_samples("XOR")[0][:3])
    assert pixels(page) != before
    run = perceptron_run(moved[:, :2].astype(float), moved[:, 2].astype(int), range(4), 500)
    assert readout(page).startswith(f"Step 0 of {len(run) - 1}:")
    page.click("text=Next mistake")  # sample 0 in hand
    page.keyboard.press("Tab")
    page.locator(".dlc-stage canvas").focus()
    page.keyboard.press("Shift+ArrowUp")
    readout(page)
    assert np.frombuffer(trait(page, "samples"), "<f4")[1] == np.float32(-0.9)
    page.click(".dlc-reset")
    assert trait(page, "preset") == "XOR"
    assert pixels(page) == before


def test_copied_code_gives_the_same_state(mount):
    page = mount(PerceptronStepper([[0.1, 1], [1, -0.3], [2, 2]], [0, 1, 1], order=[2, 1, 0]))
    page.locator(".dlc-stage canvas").focus()

    def same():
        again = eval(copied(page), {"PerceptronStepper": PerceptronStepper})
        for name in STATE:
            assert trait(page, name) == getattr(again, name), name

    same()
    page.keyboard.press("End")
    same()
    page.locator(".dlc-stage canvas").focus()
    page.keyboard.press("Shift+ArrowRight")
    same()
    page.click("[data-preset=outlier]")
    page.click("text=Next mistake")
    same()


def test_rule_and_bound_equal_the_core(mount):
    page = mount(PerceptronStepper())
    rng = np.random.default_rng(3)
    for num_samples, gap in ((4, 0.3), (17, 0.1), (60, 0.03), (60, -1)):
        X = rng.uniform(-3, 3, (num_samples, 2)).astype(np.float32).astype(float)
        d = X @ [0.7, -0.6] + 0.2
        y = (d + (rng.normal(size=num_samples) if gap < 0 else 0) >= 0).astype(np.int64)
        X = X[np.abs(d) > gap]
        y = y[np.abs(d) > gap]
        order = rng.permutation(len(X)).tolist()
        rows = np.column_stack([X, y]).tolist()
        run, apart = perceptron_run(X, y, order, 700), separation(X, y)
        script = "([s, o]) => ({...esm.perceptronRun(s, o, 700), ...esm.separation(s)})"
        got = page.evaluate(script, [rows, order])
        frames = got["frames"]
        assert (got["ending"], got["repeatsFrom"]) == (run.ending, run.repeats_from)
        assert [f["sample"] for f in frames] == run.samples.tolist()
        assert [f["mistakes"] for f in frames] == run.mistakes.tolist()
        weights = [[f["w1"], f["w2"], f["b"]] for f in frames]
        np.testing.assert_allclose(weights, run.weights, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose([f["score"] for f in frames[1:]], run.scores[1:], atol=1e-12)
        assert got["radius"] == pytest.approx(apart.radius, rel=1e-9)
        assert got["margin"] == pytest.approx(apart.margin, rel=1e-6)
        assert (got["margin"] == 0) == (gap < 0)


def test_python_moves_the_view(mount):
    page = mount(PerceptronStepper(preset="XOR"))
    before = pixels(page)
    page.evaluate("model.set('step', 3)")
    assert readout(page).startswith("Step 3 of 4")
    assert pixels(page) != before
    page.evaluate("model.set('step', 900)")
    assert readout(page).startswith("Step 4 of 4")
    data = as_bytes([[0, 1, 0], [1, 0, 1]])
    page.evaluate("b => model.set('samples', new DataView(Uint8Array.from(b).buffer))", list(data))
    assert readout(page).startswith("Step 4 of 4: sample 1, t = 1, y = 1, case 1; w = (1, −1)")


def test_dark_theme_narrow_page_and_nan(mount):
    page = mount(PerceptronStepper(preset="XOR", step=2))
    light = pixels(page)
    page.evaluate(DARK)
    assert pixels(page) != light
    page.evaluate("document.querySelector('#widget').style.width = '300px'")
    canvas = page.locator(".dlc-stage canvas")
    box = canvas.bounding_box()
    assert box["width"] <= 300
    assert box["width"] == pytest.approx(box["height"], abs=1)
    drag(page, tuple(v * box["width"] / 440 for v in centre_of(page, (-1, 1))), (30, 30))
    assert trait(page, "preset") == ""
    page.evaluate("model.set('samples', new DataView(Float32Array.of(NaN, 1, 0, 1, 0, 1).buffer))")
    assert "sample 0 is not finite: NaN, 1, 0" in page.inner_text(".dlc-trouble")
    page.allowed_errors.append("sample 0 is not finite")
    page.click(".dlc-reset")
    assert page.is_hidden(".dlc-trouble")
    assert readout(page).startswith("Step 2 of 4")


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(PerceptronStepper(preset="narrow margin"))
    page.click(".dlc-play")
    page.wait_for_function("model.get('step') > 1")
    page.evaluate("model.set('step', 0)")
    assert_nothing_left(page)
    page.evaluate("model.set('step', 5)")


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "stepper",
        [
            "from course_utils.widgets import PerceptronStepper\nw = PerceptronStepper()\nw",
            "print('at', w.step, w.preset, w.X.shape, w.readout[:9])",
        ],
    )
    canvas = page.locator(".dlc-stage canvas")
    canvas.wait_for()
    cells = count_cells(page)
    canvas.focus()
    before = pixels(page)
    for key in ("ArrowRight", "ArrowRight", "x"):
        page.keyboard.press(key)
    painted(page)
    assert page.inner_text(".dlc-readout").startswith("Step 2 of 24")
    assert pixels(page) != before
    assert_lab_still_works(page, cells)
    page.keyboard.press("Shift+ArrowUp")
    page.wait_for_function("document.querySelector('.dlc-readout').textContent.includes('Step 2')")
    assert_kernel_prints(page, "at 2  (16, 2) Step 2 of")
