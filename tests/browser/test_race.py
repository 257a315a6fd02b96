"""OptimizerRace in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.landscape import SurfaceGrid
from course_utils.widgets import OptimizerRace
from course_utils.widgets.bundle import bundle
from course_utils.widgets.core.optimizers import (
    OPTIMIZERS,
    PRESETS,
    grid_problem,
    named_problem,
    run_optimizer,
)
from course_utils.widgets.core.surface import Interpolant
from tests.browser.widget_page import (
    DARK,
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
STATE = ("function", "start", "lr", "momentum", "optimizers", "step")
MAP, CURVE = "canvas[role=img] >> nth=0", "canvas[role=img] >> nth=1"
MATHS = bundle(
    'import { FUNCTIONS, runOptimizer } from "./optimizers.js";\n'
    'import { makeGrid } from "./grid.js";\n'
    "export { FUNCTIONS, runOptimizer, makeGrid };\n"
)
LOAD = """async source => {
  window.maths = await import(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})));
}"""
RUN = """([names, fn, problem, start, options, grid]) => {
  const maths = grid ? window.maths.makeGrid(...grid) : window.maths.FUNCTIONS[fn];
  return names.map(name => {
    const run = window.maths.runOptimizer(name, maths, problem, start, options);
    return {path: Array.from(run.path), loss: Array.from(run.loss), stopped: run.stopped};
  });
}"""
NARROW = "document.querySelector('#widget').style.width = '{}px'"


def make_grid() -> SurfaceGrid:
    alphas, betas = np.linspace(-1, 1.5, 23), np.linspace(-0.8, 0.7, 17)
    a, b = np.meshgrid(alphas, betas)
    return SurfaceGrid(alphas, betas, np.exp(a**2 + 2 * b**2) + 0.2 * np.sin(5 * a + 3 * b))


def canvas_pixels(page, number: int) -> str:
    painted(page)
    script = "n => document.querySelectorAll('canvas[role=img]')[n].toDataURL()"
    return page.evaluate(script, number)


def assert_same_runs(page, problem, start, lr, momentum=0.9, grid=None):
    """Run all optimizers in the page and in Python, and compare."""
    window = {"xlim": problem.xlim, "ylim": problem.ylim, "ends": problem.ends}
    options = {"lr": lr, "momentum": momentum, "numSteps": 200}
    arguments = [list(OPTIMIZERS), problem.name, window, start, options, grid]
    for name, got in zip(OPTIMIZERS, page.evaluate(RUN, arguments), strict=True):
        run = run_optimizer(name, problem, start, lr=lr, momentum=momentum)
        assert got["stopped"] == run.stopped, name
        path = np.reshape(got["path"], (-1, 2))
        np.testing.assert_allclose(path, run.path, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(got["loss"], run.loss, rtol=1e-5, atol=1e-7)


def test_maths_equal_the_core(page):
    page.evaluate(LOAD, MATHS)
    for _, function, lr, _ in PRESETS:
        problem = named_problem(function)
        assert_same_runs(page, problem, problem.start, lr or problem.lr)
    assert_same_runs(page, named_problem("saddle"), (0.7, -0.4), 0.3, momentum=0.35)


def test_interpolant_equals_the_core(page):
    page.evaluate(LOAD, MATHS)
    grid = make_grid()
    problem, surface = grid_problem(grid), Interpolant.of(grid)
    packed = [grid.loss.ravel().tolist(), 23, 17, surface.extent]
    script = """([grid, points]) => { const s = window.maths.makeGrid(...grid);
      return points.map(([x, y]) => [s.value(x, y), ...s.gradient(x, y)]); }"""
    points = np.random.default_rng(0).uniform([-1.3, -1], [1.8, 0.9], (60, 2)).tolist()
    expected = [[surface.value(*p), *surface.gradient(*p)] for p in points]
    np.testing.assert_allclose(page.evaluate(script, [packed, points]), expected, rtol=1e-9)
    for lr in (problem.lr, 20 * problem.lr):
        assert_same_runs(page, problem, (1.2, 0.5), lr, grid=packed)


def test_presets_and_reset(mount):
    page = mount(OptimizerRace(lr=0.05))
    first, said = canvas_pixels(page, 0), {readout(page)}
    assert "learning rate 0.05: loss SGD 1.24e-8, Momentum 1.61e-8" in readout(page)
    for name, *_ in PRESETS:
        page.click(f"[data-preset={name}]")
        said.add(readout(page))
        assert canvas_pixels(page, 0) != first
        description = OptimizerRace(**{k: trait(page, k) for k in STATE}).description()
        assert ("diverged" in description) == ("diverged" in readout(page))
    assert len(said) == 7
    assert "SGD diverged at step 76" in readout(page)
    page.click(".dlc-reset")
    assert canvas_pixels(page, 0) == first


def test_controls_and_legend_move_what_is_shown(mount):
    page = mount(OptimizerRace())
    for label, name in (("learning rate", "lr"), ("momentum", "momentum")):
        before = readout(page), pixels(page)
        page.get_by_label(label, exact=True).focus()
        page.keyboard.press("ArrowLeft")
        assert trait(page, name) < OptimizerRace().initial[name]
        assert (readout(page), pixels(page)) != before
    assert page.evaluate("saved") > 0
    before = pixels(page)
    for name, label in OPTIMIZERS.items():
        toggle = page.locator(f"[data-optimizer={name}]")
        was = toggle.get_attribute("aria-pressed")
        toggle.click()
        painted(page)
        assert toggle.get_attribute("aria-pressed") != was
        assert (toggle.get_attribute("aria-pressed") == "true") == (f" {label} " in readout(page))
    assert pixels(page) != before
    assert trait(page, "optimizers") == [
        name for name in OPTIMIZERS if name not in OptimizerRace().optimizers
    ]


def test_keys_move_the_start_and_play(mount):
    page = mount(OptimizerRace())
    page.focus(MAP)
    for key, start in [
        ("ArrowRight", [-4.4, 1]),
        ("ArrowUp", [-4.4, 1.04]),
        ("Shift+ArrowDown", [-4.4, 0.64]),
        ("Shift+ArrowLeft", [-5, 0.64]),
    ]:
        page.keyboard.press(key)
        assert trait(page, "start") == pytest.approx(start)
    painted(page)
    assert "Start (-5, 0.64). Step 200: loss SGD" in page.get_attribute(MAP, "aria-label")
    page.keyboard.press("Home")
    assert readout(page).startswith("Step 0 of 200")
    page.keyboard.press("Space")
    page.wait_for_function("model.get('step') > 3")
    page.keyboard.press("Space")
    assert 3 < trait(page, "step") < 200
    page.focus(CURVE)
    for key, step in [("End", 200), ("ArrowLeft", 199), ("Home", 0), ("ArrowRight", 1)]:
        page.keyboard.press(key)
        assert readout(page).startswith(f"Step {step} of 200")
        assert f"up to step {step}:" in page.get_attribute(CURVE, "aria-label")


def test_drag_moves_the_start_and_the_step(mount):
    page = mount(OptimizerRace())
    page.focus(MAP)
    page.keyboard.press("Home")
    page.keyboard.press("Space")
    before = canvas_pixels(page, 0)
    box = page.locator(MAP).bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 80)
    page.mouse.down()
    assert page.inner_text(".dlc-play") == "Play"  # a drag pauses
    page.mouse.move(box["x"] + 205, box["y"] + 165, steps=3)
    page.mouse.up()
    assert trait(page, "start") == pytest.approx([0, 0], abs=0.05)
    assert canvas_pixels(page, 0) != before
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    assert trait(page, "start") == pytest.approx([0, 0], abs=0.05)
    box = page.locator(CURVE).bounding_box()
    page.mouse.click(box["x"] + (58 + 344) / 2, box["y"] + 100)
    assert readout(page).startswith("Step 100 of 200")


def test_copied_code_gives_the_same_state(mount):
    page = mount(OptimizerRace("saddle", lr=0.123, step=17))
    page.focus(MAP)
    page.keyboard.press("ArrowUp")
    page.click("[data-optimizer=adamw]")
    again = eval(copied(page), {"OptimizerRace": OptimizerRace})
    assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
    assert again.optimizers[-1] == "adamw"


def test_a_surface_with_a_path(mount):
    grid, path = make_grid(), np.linspace([1.2, 0.6], [0, 0], 30)
    page = mount(OptimizerRace(surface=grid, path=path))
    assert trait(page, "start") == [1.2, 0.6]
    box = page.locator(MAP).bounding_box()
    page.mouse.click(box["x"] + 340, box["y"] + 40)
    page.click("[data-preset='large steps']")
    page.focus(MAP)
    page.keyboard.press("ArrowLeft")
    assert "left the map at step" in readout(page)
    names = {"OptimizerRace": OptimizerRace, "grid": grid, "path": path}
    again = eval(copied(page), names)
    assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
    seen = canvas_pixels(page, 0)
    flat = np.ones((17, 23), "<f4").tobytes()
    page.evaluate("b => model.set('loss', new DataView(Uint8Array.from(b).buffer))", list(flat))
    assert canvas_pixels(page, 0) != seen
    assert "SGD 1, Momentum 1," in readout(page)


def test_python_moves_the_view(mount):
    page = mount(OptimizerRace())
    seen = canvas_pixels(page, 0)
    page.evaluate("model.set('lr', 0.09)")
    assert "learning rate 0.09" in readout(page)
    assert page.locator("output").first.inner_text() == "0.09"
    assert canvas_pixels(page, 0) != seen
    page.evaluate("model.set('step', 3)")
    assert readout(page).startswith("Step 3 of")
    assert page.locator(".dlc-player input").input_value() == "3"
    page.evaluate("model.set('start', [NaN, 0])")
    assert "nobody is left" in readout(page)
    assert "SGD diverged at step 0" in readout(page)
    assert page.is_hidden(".dlc-trouble")


def test_dark_theme_and_narrow_page(mount):
    page = mount(OptimizerRace())
    light = canvas_pixels(page, 0), canvas_pixels(page, 1), pixels(page, ".dlc-legend canvas")
    page.evaluate(DARK)
    dark = canvas_pixels(page, 0), canvas_pixels(page, 1), pixels(page, ".dlc-legend canvas")
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.evaluate(NARROW.format(320))
    box = page.locator(MAP).bounding_box()
    assert box["width"] <= 320
    assert box["width"] / box["height"] == pytest.approx(430 / 340, rel=0.01)
    page.mouse.click(box["x"] + 205 / 430 * box["width"], box["y"] + 165 / 340 * box["height"])
    assert trait(page, "start") == pytest.approx([0, 0], abs=0.05)


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(OptimizerRace())
    page.click(".dlc-play")
    page.wait_for_function("model.get('step') > 1 && model.get('step') < 200")
    page.evaluate("model.set('lr', 0.01)")
    assert_nothing_left(page)


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "race",
        [
            "from course_utils.widgets import OptimizerRace\nw = OptimizerRace()\nw",
            "print('at', w.start, w.step, w.lr > 0.04, w.readout[:15])",
        ],
    )
    page.wait_for_selector(MAP)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(MAP)
    before = canvas_pixels(page, 0)
    for key in ("ArrowRight", "Home", "x"):
        page.keyboard.press(key)
    assert canvas_pixels(page, 0) != before
    page.get_by_label("learning rate", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('.dlc-readout').textContent.includes('0.0')")
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at [-4.4, 1.0] 0 True Step 0 of 200,")
