"""NormalizationCube in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.widgets import NormalizationCube
from course_utils.widgets.core.normcube import EPS, NORMS, members, share
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
CUBE, BARS = "canvas[role=img] >> nth=0", "canvas[role=img] >> nth=1"
GROUPS = ".dlc-controls input[type=range]"
STATE = ("norm", "groups", "cell", "alone")
SHARES = """([values, shape, states, eps]) => states.map(state => {
  const {lit, mean, std, before, after, kept} = esm.shareOf(values, shape, state, eps);
  return {lit: Array.from(lit), mean, std, before, after, kept};
})"""
# Every cell of a layout, asked for at its middle and near its four corners.
HITS = """([shape, width, height]) => {
  const layout = esm.layoutOf(shape, width, height);
  const {dx, dy, cell} = layout;
  const wrong = [];
  for (let n = 0; n < shape[0]; n++) for (let c = 0; c < shape[1]; c++)
    for (let l = 0; l < shape[2]; l++) for (const u of [0.1, 0.5, 0.9])
      for (const v of [0.1, 0.5, 0.9]) {
        const [x, y] = layout.corner(n, c, l);
        const found = layout.at(x + u * dx, y - u * dy + v * cell);
        if (String(found) !== String([n, c, l])) wrong.push([n, c, l, found]);
        if (x < 0 || x + dx > width || y - dy < 0 || y + cell > height) wrong.push([x, y]);
      }
  return {wrong, smallest: Math.min(dx, cell)};
}"""


def batch_of(shape=(4, 6, 9)):
    rng = np.random.default_rng(0)
    return np.float32(rng.normal(size=shape) + rng.normal(size=(shape[0], shape[1], 1)))


def place_of(page, cell, shape=(4, 6, 9)):
    """Return where the middle of a cell lies in the page."""
    x, y = page.evaluate(
        """([shape, [n, c, l]]) => { const layout = esm.layoutOf(shape, 560, 350);
        const [x, y] = layout.corner(n, c, l);
        return [x + layout.dx / 2, y - layout.dy / 2 + layout.cell / 2]; }""",
        [shape, cell],
    )
    box = page.locator(CUBE).bounding_box()
    return box["x"] + x * box["width"] / 560, box["y"] + y * box["height"] / 350


@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 1, 1), (8, 8, 16), (5, 3, 2)])
def test_maths_equal_the_core(mount, shape):
    page = mount(NormalizationCube(np.zeros((1, 2, 3))))
    batch, rng = batch_of(shape).astype(float), np.random.default_rng(1)
    states = []
    for norm in NORMS:
        for groups in [k for k in range(1, shape[1] + 1) if shape[1] % k == 0]:
            for alone in (False, True):
                cell = [int(rng.integers(n)) for n in shape]
                states.append({"norm": norm, "groups": groups, "cell": cell, "alone": alone})
    got = page.evaluate(SHARES, [batch.ravel().tolist(), shape, states, EPS])
    for state, mine in zip(states, got, strict=True):
        arguments = (state["norm"], state["groups"], tuple(state["cell"]), state["alone"])
        expected = share(batch, *arguments)
        lit = np.array(mine["lit"], bool).reshape(shape)
        np.testing.assert_array_equal(lit, members(shape, *arguments))
        for name in ("mean", "std", "before", "after", "kept"):
            assert mine[name] == pytest.approx(getattr(expected, name), rel=1e-9, abs=1e-12)


def test_every_cell_can_be_seen_and_clicked(mount):
    page = mount(NormalizationCube(np.zeros((1, 2, 3))))
    for shape in [(8, 8, 16), (1, 1, 1), (6, 6, 9), (2, 8, 16), (8, 1, 2), (1, 8, 1)]:
        got = page.evaluate(HITS, [shape, 560, 350])
        assert got["wrong"] == []
        assert got["smallest"] > 4


def test_presets_and_reset(mount):
    page = mount(NormalizationCube(batch_of(), "layer", cell=(1, 2, 3)))
    first, start = all_pixels(page), readout(page)
    seen = {}
    for name, preset in trait(page, "presets").items():
        page.click(f"[data-preset='{name}']")
        seen[name] = readout(page)
        assert trait(page, "norm") == preset["norm"] == page.input_value("select")
        assert all_pixels(page) != first or "layer" in name
        assert page.is_visible(GROUPS) == (preset["norm"] == "group")
    assert "with 36 of 216 values" in seen["batch"]
    assert seen["layer"] == start
    assert "with 54 of 216 values" in seen["layer"]
    assert "4 means" in seen["layer"]
    assert "with 9 of 216 values" in seen["instance"]
    assert "Group norm with 2 groups" in seen["group"]
    assert "batch of 1:" in seen["batch of one"]
    assert "with 9 of 54 values" in seen["batch of one"]
    change = {name: text.split("; ")[1].split(". ")[0] for name, text in seen.items()}
    assert change["group = 1 is layer"] == change["layer"] != change["group"]
    assert change["groups = C is instance"] == change["instance"] == change["batch of one"]
    page.click(".dlc-reset")
    assert (readout(page), all_pixels(page)) == (start, first)


def test_a_batch_of_one_changes_batch_norm_alone(mount):
    page = mount(NormalizationCube(batch_of(), cell=(1, 2, 3)))
    for norm in NORMS:
        page.select_option("select", norm)
        together = readout(page).split("→ ")[1].split(". ")[0]
        page.check("input[type=checkbox]")
        alone = readout(page)
        assert (f"→ {together}. " in alone) == (norm != "batch")
        assert f"In the batch of 4 it would become {together}." in alone
        page.uncheck("input[type=checkbox]")


def test_controls_and_copied_code(mount):
    batch = batch_of()
    page = mount(NormalizationCube(batch))

    def same():
        again = eval(copied(page), {"NormalizationCube": NormalizationCube, "batch": batch})
        assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
        return again

    same()
    before = readout(page)
    page.select_option("select", "group")
    assert readout(page) != before
    page.focus(GROUPS)
    page.keyboard.press("ArrowRight")
    assert trait(page, "groups") == 3
    assert page.locator(".dlc-controls output").inner_text() == "3 of 2"
    assert "with 18 of 216 values" in readout(page)
    page.check("input[type=checkbox]")
    page.focus(CUBE)
    page.keyboard.press("End")
    again = same()
    assert (again.norm, again.groups, again.cell, again.alone) == ("group", 3, [3, 5, 8], True)
    assert page.evaluate("saved") > 3


def test_keys_and_pointer_choose_a_value(mount):
    page = mount(NormalizationCube(batch_of()))
    for canvas in (CUBE, BARS):
        page.focus(canvas)
        for key, cell in [
            ("End", [3, 5, 8]),
            ("ArrowRight", [3, 5, 8]),
            ("ArrowLeft", [2, 5, 8]),
            ("Shift+ArrowLeft", [2, 4, 8]),
            ("ArrowUp", [2, 4, 7]),
            ("PageDown", [2, 3, 7]),
            ("PageUp", [2, 4, 7]),
            ("Home", [0, 0, 0]),
            ("Shift+ArrowRight", [0, 1, 0]),
            ("ArrowDown", [0, 1, 1]),
        ]:
            page.keyboard.press(key)
            assert trait(page, "cell") == cell, key
        assert "image 0, channel 1, place 1 shares" in readout(page)
        assert "image 0, channel 1, place 1 shares" in page.evaluate(LABEL)
    for norm in ("layer", "instance", "group", "batch"):
        page.keyboard.press("Space")
        assert trait(page, "norm") == norm
    before = all_pixels(page)
    page.mouse.move(*place_of(page, (3, 2, 4)))
    page.mouse.down()
    assert trait(page, "cell") == [3, 2, 4]
    page.mouse.move(*place_of(page, (1, 5, 8)), steps=4)
    assert trait(page, "cell") == [1, 5, 8]
    page.mouse.up()
    page.mouse.move(*place_of(page, (0, 0, 0)))
    assert trait(page, "cell") == [1, 5, 8]
    assert all_pixels(page) != before


def test_python_moves_the_view(mount):
    page = mount(NormalizationCube(batch_of()))
    seen = all_pixels(page)
    page.evaluate("model.set('norm', 'group')")
    page.evaluate("model.set('groups', 6)")
    assert "Group norm with 6 groups" in readout(page)
    assert page.locator(".dlc-controls output").inner_text() == "6 of 1"
    page.evaluate("model.set('cell', [2, 1, 0])")
    assert "image 2, channel 1, place 0" in readout(page)
    assert all_pixels(page) != seen
    page.evaluate("model.set('alone', true)")
    assert page.is_checked("input[type=checkbox]")
    page.evaluate(
        """() => { const v = new Float32Array(216); v.fill(NaN);
        model.set('values', new DataView(v.buffer)); }"""
    )
    assert "NaN → NaN" in readout(page)
    assert page.is_hidden(".dlc-trouble")


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (batch_of((3, 2, 1)), "→ 0. A single value becomes 0, whatever it is."),
        (np.zeros((2, 3, 4)), "(mean 0, standard deviation 0); 0 → 0. In a batch of one"),
    ],
    ids=["single", "zeros"],
)
def test_values_without_spread_become_zero(mount, batch, words):
    page = mount(NormalizationCube(batch, "instance"))
    assert words in readout(page)
    assert page.is_hidden(".dlc-trouble")


def test_themes_and_a_narrow_page(mount):
    page = mount(NormalizationCube(batch_of()))
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '300px'")
    for canvas in (CUBE, BARS):
        assert page.locator(canvas).bounding_box()["width"] <= 300
    page.mouse.click(*place_of(page, (2, 3, 4)))
    assert trait(page, "cell") == [2, 3, 4]


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(NormalizationCube(batch_of()))
    page.evaluate("model.set('norm', 'layer')")
    page.evaluate("model.set('norm', 'batch')")
    assert_nothing_left(page)
    page.evaluate("model.set('norm', 'layer')")
    painted(page)


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "cube",
        [
            "import numpy as np\nfrom course_utils.widgets import NormalizationCube\n"
            "w = NormalizationCube(np.random.default_rng(0).normal(size=(4, 6, 9)))\nw",
            "print('at', w.norm, w.cell, w.groups, w.readout[:10])",
        ],
    )
    page.wait_for_selector(CUBE)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(CUBE)
    before = pixels(page)
    for key in ("ArrowRight", "ArrowDown", "x"):
        page.keyboard.press(key)
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.includes('image 1, channel 0, place 1')"
    )
    assert pixels(page) != before
    page.click("[data-preset='group']")
    page.focus(GROUPS)
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.includes('with 3 groups')"
    )
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at group [1, 0, 1] 3 Group norm")
