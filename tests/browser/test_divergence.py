"""DistributionPair in a browser: a blank page, then JupyterLab."""

import math

import numpy as np
import pytest

from course_utils.widgets import DistributionPair
from course_utils.widgets.core.divergence import measures, rescale
from course_utils.widgets.views.divergence import PRESETS
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
STATE = ("p", "q", "unit", "edited", "outcome")
BARS, SCALE = "canvas[role=img] >> nth=0", "canvas[role=img] >> nth=1"
MATHS = """pairs => pairs.map(([p, q]) => Object.fromEntries(Object.entries(esm.measures(p, q))
  .map(([k, v]) => [k, v === Infinity ? 'infinite' : v])))"""
LEFT, WIDTH, TOP, BOTTOM = 50, 369, 34, 272  # of the bars, in the canvas's own pixels


def place(page, name: str, outcome: int, height: float, count: int = 3) -> tuple[float, float]:
    """Return page coordinates over one bar at a height in probability."""
    box = page.locator(BARS).bounding_box()
    scale = box["width"] / 425
    x = LEFT + WIDTH * (outcome + (0.3 if name == "p" else 0.7)) / count
    y = BOTTOM + height * (TOP - BOTTOM)
    return box["x"] + scale * x, box["y"] + scale * y


def test_maths_equal_the_core(mount):
    page = mount(DistributionPair())
    rng = np.random.default_rng(2)
    pairs = [rng.dirichlet(np.full(2 + n % 7, 0.6), size=2).tolist() for n in range(30)]
    pairs += [[[0, 1, 0], [0.2, 0.7, 0.1]], [[1, 0], [0, 1]], [[0.5, 0.5], [1, 0]]]
    for (p, q), got in zip(pairs, page.evaluate(MATHS, pairs), strict=True):
        for name, value in vars(measures(p, q)).items():
            if math.isinf(value):
                assert got[name] == "infinite"
            else:
                assert got[name] == pytest.approx(value, rel=1e-9, abs=1e-12), (name, p, q)


def test_moved_bars_equal_the_core(mount):
    page = mount(DistributionPair())
    rng = np.random.default_rng(3)
    cases = []
    for number in range(60):
        values = rng.dirichlet(np.full(2 + number % 7, 0.5)).round(number % 5 + 1)
        cases.append([values.tolist(), int(rng.integers(len(values))), rng.uniform(-0.1, 1.1)])
    cases += [[[0, 1, 0], 1, 0.4], [[0.2, 0.7, 0.1], 2, 1.0], [[0.5, 0.5], 0, 0.0]]
    moved = page.evaluate("cases => cases.map(c => esm.rescale(...c))", cases)
    for case, got in zip(cases, moved, strict=True):
        np.testing.assert_allclose(got, rescale(*case), atol=1e-12)


def test_presets_and_reset(mount):
    page = mount(DistributionPair(q=(0.5, 0.25, 0.25)))
    first, said, seen = all_pixels(page), {readout(page)}, set()
    for name, (p, q, _) in PRESETS.items():
        page.get_by_role("button", name=name, exact=True).click()
        said.add(readout(page))
        seen.add(all_pixels(page))
        assert (trait(page, "p"), trait(page, "q")) == (list(p), list(q))
    assert len(said) == len(PRESETS) + 1
    assert len(seen | {first}) == len(PRESETS) + 1
    page.click("[data-preset='one-hot target']")
    assert "H(p) 0, H(q) 0.8018, H(p, q) 0.3567 = H(p) + KL(p‖q);" in readout(page)
    page.click("[data-preset='missing outcome']")
    assert "KL(p‖q) infinity, KL(q‖p) 0.1075, JS 0.03648." in readout(page)
    page.click(".dlc-reset")
    assert all_pixels(page) == first


def test_keys_choose_and_move_bars(mount):
    page = mount(DistributionPair())
    page.focus(BARS)
    for key, chosen in [
        ("ArrowRight", "q of outcome 2, 0.3."),
        ("ArrowUp", "q of outcome 2, 0.31."),
        ("Shift+ArrowDown", "q of outcome 2, 0.21."),
        ("Home", "q of outcome 2, 0."),
        ("ArrowLeft", "q of outcome 1, "),
        ("ArrowLeft", "q of outcome 3, "),
        ("Space", "p of outcome 3, 0.1."),
        ("End", "p of outcome 3, 1."),
    ]:
        before = all_pixels(page)
        page.keyboard.press(key)
        assert f"Chosen: {chosen}" in readout(page)
        assert f"Chosen: {chosen}" in page.get_attribute(BARS, "aria-label")
        assert all_pixels(page)[0] != before[0]
    assert trait(page, "p") == [0, 0, 1]
    assert sum(trait(page, "q")) == pytest.approx(1, abs=1e-12)
    page.keyboard.press("ArrowDown")
    assert trait(page, "p") == [0.005, 0.005, 0.99]
    assert "H(p) 0.06293," in page.get_attribute(SCALE, "aria-label")
    page.keyboard.press("Alt+ArrowDown")
    assert trait(page, "p") == [0.005, 0.005, 0.99]


def test_dragging_keeps_the_proportions(mount):
    page = mount(DistributionPair())
    page.mouse.move(*place(page, "p", 1, 0.5))
    page.mouse.down()
    assert readout(page).endswith("Chosen: p of outcome 2, 0.5.")
    assert trait(page, "p") == [0.333333, 0.5, 0.166667]
    # Up to 1 and back within one drag: nothing is lost on the way.
    page.mouse.move(*place(page, "p", 1, 1.3), steps=4)
    assert trait(page, "p") == [0, 1, 0]
    page.mouse.move(*place(page, "p", 1, 0.4), steps=4)
    assert trait(page, "p") == [0.4, 0.4, 0.2]
    page.mouse.up()
    page.mouse.move(*place(page, "p", 1, 0.9))
    assert trait(page, "p") == [0.4, 0.4, 0.2]
    page.mouse.click(*place(page, "q", 2, 0))
    assert trait(page, "q")[2] == 0
    assert "KL(p‖q) infinity" in readout(page)


def test_swap_and_unit(mount):
    page = mount(DistributionPair(q=(0.2, 0.7, 0.1)))
    page.click(".dlc-swap")
    assert (trait(page, "q"), trait(page, "outcome")) == ([0.7, 0.2, 0.1], 1)
    words = readout(page)
    assert "KL(p‖q) 0.6264, KL(q‖p) 0.6264," in words
    before = all_pixels(page)
    page.get_by_role("checkbox").check()
    assert readout(page).startswith("In bits: H(p) 1.157,")
    assert all_pixels(page)[1] != before[1]
    page.get_by_role("checkbox").uncheck()
    assert readout(page) == words
    assert all_pixels(page) == before


def test_copied_code_gives_the_same_state(mount):
    page = mount(DistributionPair((1 / 3, 1 / 3, 1 / 3), (0.1, 0.2, 0.7), unit="bits", outcome=2))
    page.focus(BARS)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    again = eval(copied(page), {"DistributionPair": DistributionPair})
    assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
    assert (again.edited, again.p[0]) == ("p", 1 / 3)
    assert again.q[2] == 0.71


def test_python_moves_the_view(mount):
    page = mount(DistributionPair())
    seen = all_pixels(page)
    page.evaluate("model.set('q', [0.2, 0.7, 0.1])")
    assert "KL(p‖q) 0, KL(q‖p) 0, JS 0." in readout(page)
    assert all_pixels(page) != seen
    page.evaluate("model.set('unit', 'bits')")
    assert page.get_by_role("checkbox").is_checked()
    page.evaluate("model.set('outcome', 1)")
    assert readout(page).endswith("Chosen: q of outcome 2, 0.7.")
    page.evaluate("model.set('q', [NaN, 0.7, 0.1])")
    assert "H(p) NaN" in readout(page)
    page.evaluate("model.set('p', [0.9999999, 1e-7, 0]); model.set('q', [1e-12, 1, 0])")
    assert "KL(p‖q) 39.86" in readout(page)
    assert page.is_hidden(".dlc-trouble")


def test_dark_theme_and_narrow_page(mount):
    page = mount(DistributionPair())
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '300px'")
    box = page.locator(BARS).bounding_box()
    assert box["width"] <= 300
    assert box["width"] / box["height"] == pytest.approx(425 / 310, rel=0.01)
    page.mouse.click(*place(page, "q", 1, 0.6))
    assert trait(page, "q")[1] == pytest.approx(0.6, abs=0.01)


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(DistributionPair())
    page.focus(BARS)
    page.keyboard.press("ArrowUp")
    page.evaluate("model.set('unit', 'bits')")
    assert_nothing_left(page)


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "divergence",
        [
            "from course_utils.widgets import DistributionPair\nw = DistributionPair()\nw",
            "print('at', w.q, w.outcome, len(w.p), w.readout[:8])",
        ],
    )
    page.wait_for_selector(BARS)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(BARS)
    before = pixels(page, "canvas[role=img]")
    for key in ("End", "ArrowRight", "x"):
        page.keyboard.press(key)
    assert pixels(page, "canvas[role=img]") != before
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at [1.0, 0.0, 0.0] 1 3 In nats:")
    # A preset with six outcomes reaches the kernel whole.
    page.click("[data-preset='mode-seeking']")
    assert_kernel_prints(page, "at [0.24, 0.74, 0.005, 0.005, 0.005, 0.005] 0 6 In nats:")
