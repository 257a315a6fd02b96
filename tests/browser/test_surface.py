"""LossSurface in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.landscape import SurfaceGrid
from course_utils.widgets import LossSurface
from course_utils.widgets.bundle import bundle
from course_utils.widgets.core.surface import project, scale_of
from tests.browser.widget_page import (
    SPY,
    all_pixels,
    assert_kernel_prints,
    assert_lab_still_works,
    assert_nothing_left,
    assert_theme_repaints,
    copied,
    count_cells,
    pixels,
    readout,
    trait,
)

pytestmark = pytest.mark.browser
STATE = ("title", "point", "azimuth", "elevation", "shared", "log_height", "step")
SOLID, MAP = "canvas[role=img] >> nth=0", "canvas[role=img] >> nth=1"
PATH = np.linspace([-0.8, 0.7], [0, 0], 12)
MATHS = bundle(
    'import { makeCamera, makeMesh, makeRaster, shadeTable } from "./raster.js";\n'
    'import { colourTable, heatMap, place } from "./heat.js";\n'
    "export { makeCamera, makeMesh, makeRaster, shadeTable, colourTable, heatMap, place };\n"
)
LOAD = """async source => {
  window.maths = await import(URL.createObjectURL(new Blob([source], {type: 'text/javascript'})));
}"""
RASTER = """({t, n, m, azimuth, elevation, asks}) => {
  const raster = maths.makeRaster(480, 360);
  const camera = maths.makeCamera(azimuth, elevation, 480, 360);
  const mesh = maths.makeMesh(Float32Array.from(t), n, m);
  raster.paint(mesh, camera, maths.shadeTable(maths.colourTable()), 10);
  const data = raster.canvas.getContext('2d').getImageData(0, 0, 480, 360).data;
  let covered = 0;
  for (let k = 3; k < data.length; k += 4) covered += data[k] > 0;
  return {covered, seen: asks.map(p => raster.sees(camera(...p)))};
}"""


def make_surfaces() -> dict[str, SurfaceGrid]:
    alphas, betas = np.linspace(-1, 1, 21), np.linspace(-1, 1.2, 17)
    a, b = np.meshgrid(alphas, betas)
    return {
        "plain": SurfaceGrid(alphas, betas, 0.4 + 20 * (a**2 + b**2) * (1.2 + np.sin(6 * a))),
        'with "skips"': SurfaceGrid(alphas, betas, 0.3 + 2 * a**2 + 3 * b**2),
    }


def make_widget(**state) -> LossSurface:
    return LossSurface(make_surfaces(), {"plain": PATH}, **state)


def test_camera_and_scale_equal_the_core(page):
    page.evaluate(LOAD, MATHS)
    points = np.random.default_rng(0).uniform(size=(40, 3))
    script = """([points, azimuth, elevation]) => {
      const camera = maths.makeCamera(azimuth, elevation, 480, 360);
      return points.map(p => camera(...p)); }"""
    for azimuth, elevation in [(0, 90), (-35, 35), (123.4, 0), (179, 61.5)]:
        got = page.evaluate(script, [points.tolist(), azimuth, elevation])
        np.testing.assert_allclose(got, project(points, azimuth, elevation), atol=1e-9)
    losses = np.array([0.1, 0.4, 3.0, 22.0])
    for log in (False, True):
        scale = scale_of(losses, log=log)
        about = {"low": scale.low, "high": scale.high, "log": log}
        got = page.evaluate("([s, v]) => v.map(maths.place(s))", [about, losses.tolist()])
        np.testing.assert_allclose(got, scale(losses), atol=1e-12)


def test_raster_covers_and_hides(page):
    page.evaluate(LOAD, MATHS)
    flat = {"t": [0.5] * 9, "n": 3, "m": 3, "azimuth": 30, "elevation": 90, "asks": []}
    side = np.ptp(project(np.array([[0, 0, 0.5], [1, 0, 0.5]], float), 0, 90)[:, 0])
    assert page.evaluate(RASTER, flat)["covered"] == pytest.approx(side**2, rel=0.01)
    flat |= {"azimuth": -20, "elevation": 30}
    tilted = side**2 / 2 * (project(np.eye(3), 0, 30)[0, 0] - 240) ** 2 / (side / 2) ** 2
    assert page.evaluate(RASTER, flat)["covered"] == pytest.approx(tilted, rel=0.01)
    # A wall in the middle row of beta hides what lies behind, not what lies before.
    wall = [0.0] * 15 + [1.0] * 5 + [0.0] * 15
    asks = [[0.5, 0.9, 0.01], [0.5, 0.1, 0.01], [0.5, 0.5, 1.0]]
    scene = {"t": wall, "n": 5, "m": 7, "azimuth": 0, "elevation": 15, "asks": asks}
    assert page.evaluate(RASTER, scene)["seen"] == [False, True, True]
    assert page.evaluate(RASTER, scene | {"azimuth": 180})["seen"] == [True, False, True]


def test_heat_map_shows_values_where_they_are(page):
    page.evaluate(LOAD, MATHS)
    script = """() => { const table = maths.colourTable();
      const at = (canvas, x, y) => canvas.getContext('2d').getImageData(x, y, 1, 1).data;
      const c = maths.heatMap({width: 101, height: 40, sample: (u, v) => u > .5 ? NaN : v,
        toUnit: v => v, table});
      return [...at(c, 3, 39), ...at(c, 3, 0), ...at(c, 90, 20)]; }"""
    got = page.evaluate(script)
    np.testing.assert_allclose(got[:3], [68, 1, 84], atol=8)
    np.testing.assert_allclose(got[4:7], [253, 231, 37], atol=8)
    assert (got[3], got[7], got[11]) == (255, 255, 0)


def test_presets_and_reset(mount):
    page = mount(make_widget())
    first, views = all_pixels(page), []
    for name in ("top view", "side view", "along the path"):
        page.click(f"[data-preset='{name}']")
        views.append((trait(page, "azimuth"), trait(page, "elevation")))
        shown = all_pixels(page)
        assert shown[0] != first[0]
        assert shown[1] == first[1]
        label = page.get_attribute(SOLID, "aria-label")
        assert f"azimuth {views[-1][0]}, elevation {views[-1][1]} degrees" in label
    # The path leads from (0.1, 0.77) to (0.5, 0.45) of the square's sides.
    assert views == [(0, 90), (-30, 6), (round(np.degrees(np.arctan2(0.4, -0.7 / 2.2))), 40)]
    page.click(".dlc-reset")
    assert all_pixels(page) == first


def test_controls_move_what_is_shown(mount):
    page = mount(make_widget())
    seen, said = [all_pixels(page)], readout(page)
    plain, skips = make_surfaces().values()
    assert f"plain: lowest {plain.loss.min():.3g} at" in said
    assert "Path step 11 of 11: (0, 0), loss" in said
    page.get_by_label("logarithmic height").click()
    seen.append(all_pixels(page))
    page.click("[data-surface='plain'] ~ button")
    seen.append(all_pixels(page))
    assert f"""with "skips": lowest {skips.loss.min():.3g} at""" in readout(page)
    assert "Path" not in readout(page)
    assert page.is_hidden(".dlc-player")
    page.get_by_label("same scale for all").click()
    seen.append(all_pixels(page))
    assert len({shown[0] for shown in seen}) == 4
    assert len({shown[1] for shown in seen}) == 4
    assert page.locator("[aria-pressed=true]").inner_text() == 'with "skips"'
    assert (trait(page, "shared"), trait(page, "log_height")) == (False, False)


def test_keys_turn_move_and_play(mount):
    page = mount(make_widget())
    page.focus(SOLID)
    for key, view in [
        ("ArrowRight", (-30, 35)),
        ("ArrowUp", (-30, 40)),
        ("Shift+ArrowLeft", (-80, 40)),
        ("Shift+ArrowUp", (-80, 90)),
        ("ArrowUp", (-80, 90)),
    ]:
        page.keyboard.press(key)
        assert (trait(page, "azimuth"), trait(page, "elevation")) == view
    page.focus(MAP)
    for key, point in [("ArrowRight", [-0.78, 0.7]), ("Shift+ArrowDown", [-0.78, 0.48])]:
        page.keyboard.press(key)
        assert trait(page, "point") == pytest.approx(point)
    before = readout(page)
    assert before.startswith("Loss at (-0.78, 0.48): plain ")
    page.keyboard.press("Home")
    assert "Path step 0 of 11: (-0.8, 0.7)" in readout(page)
    page.keyboard.press("Space")
    page.wait_for_function("model.get('step') === 11")
    assert readout(page) == before


def test_drag_turns_the_surface_and_moves_the_point(mount):
    page = mount(make_widget())
    before = all_pixels(page)
    box = page.locator(SOLID).bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 150)
    page.mouse.down()
    page.mouse.move(box["x"] + 240, box["y"] + 130, steps=4)
    page.mouse.up()
    assert (trait(page, "azimuth"), trait(page, "elevation")) == (-55, 25)
    turned = all_pixels(page)
    assert turned[0] != before[0]
    assert turned[1] == before[1]
    box = page.locator(MAP).bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + (50 + 304) / 2, box["y"] + (30 + 318) / 2, steps=4)
    page.mouse.up()
    assert trait(page, "point") == pytest.approx([0, 0.1], abs=0.01)
    assert all(a != b for a, b in zip(all_pixels(page), turned, strict=True))
    widget = make_widget(point=trait(page, "point"))
    loss = widget.loss_at("plain", widget.point)
    assert f": plain {loss:.3g}, with" in readout(page)


def test_the_point_stays_on_an_odd_square(mount):
    axis = np.linspace(-0.999977, 0.999966, 5)
    surfaces = {"odd": SurfaceGrid(axis, axis, np.add.outer(axis**2, axis**2) + 1)}
    page = mount(LossSurface(surfaces))
    page.focus(MAP)
    for _ in range(8):
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowDown")
    x, y = trait(page, "point")
    ends = surfaces["odd"].alphas
    assert (x, y) == (ends[-1], ends[0])
    names = {"LossSurface": LossSurface, "surfaces": surfaces}
    assert eval(copied(page), names).point == [x, y]


def test_copied_code_gives_the_same_state(mount):
    page = mount(make_widget(title='with "skips"', step=3))
    page.focus(SOLID)
    page.keyboard.press("ArrowUp")
    page.get_by_label("same scale for all").click()
    names = {"LossSurface": LossSurface, "surfaces": make_surfaces(), "paths": {"plain": PATH}}
    again = eval(copied(page), names)
    same = {k: trait(page, k) for k in STATE}
    assert same == {k: getattr(again, k) for k in STATE}
    assert not same["shared"]


def test_python_moves_the_view_and_one_surface_suffices(mount):
    grid = make_surfaces()["plain"]
    page = mount(LossSurface({"net": grid}))
    assert page.locator("[data-surface]").count() == 0
    assert page.is_hidden(".dlc-player")
    seen = all_pixels(page)
    page.evaluate("model.set('point', [0.5, 0.5])")
    page.evaluate("model.set('elevation', 70)")
    assert readout(page).startswith("Loss at (0.5, 0.5): net 1")
    assert all(a != b for a, b in zip(all_pixels(page), seen, strict=True))
    page.click("[data-preset='along the path']")  # without a path: from the point to the lowest
    assert trait(page, "azimuth") != -35
    flat = np.full((17, 21), 2, "<f4").tobytes()
    page.evaluate("b => model.set('losses', new DataView(Uint8Array.from(b).buffer))", list(flat))
    assert readout(page).startswith("Loss at (0.5, 0.5): net 2.")
    page.evaluate("model.set('point', [NaN, 0.5])")
    assert readout(page).startswith("Loss at (NaN, 0.5): net NaN.")
    assert page.is_hidden(".dlc-trouble")


def test_dark_theme_and_narrow_page(mount):
    page = mount(make_widget())
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '320px'")
    box = page.locator(SOLID).bounding_box()
    assert box["width"] <= 320
    assert box["width"] / box["height"] == pytest.approx(480 / 360, rel=0.01)
    box = page.locator(MAP).bounding_box()
    page.mouse.click(box["x"] + 177 / 372 * box["width"], box["y"] + 174 / 360 * box["height"])
    assert trait(page, "point") == pytest.approx([0, 0.1], abs=0.02)


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(make_widget())
    page.click(".dlc-play")
    page.wait_for_function("model.get('step') > 1 && model.get('step') < 11")
    page.evaluate("model.set('azimuth', 10)")
    assert_nothing_left(page)


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "surface",
        [
            "from course_utils.landscape import TEST_FUNCTIONS\n"
            "from course_utils.widgets import LossSurface\n"
            "w = LossSurface({n: TEST_FUNCTIONS[n].grid(51) for n in ('saddle', 'plateau')})\nw",
            "print('at', w.azimuth, w.title, w.point, w.readout[:7])",
        ],
    )
    page.wait_for_selector(SOLID)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(SOLID)
    before = pixels(page, "canvas[role=img]")
    for key in ("ArrowRight", "ArrowRight", "x"):
        page.keyboard.press(key)
    assert pixels(page, "canvas[role=img]") != before
    page.click("[data-surface=plateau]")
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.includes('plateau:')"
    )
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at -25.0 plateau [-1.0, 0.8] Loss at")
