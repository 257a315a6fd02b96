"""SignalFlow in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.widgets import SignalFlow
from course_utils.widgets.core.flow import ACTIVATIONS, normal_tables, signal_flow, weights
from course_utils.widgets.views.flow import PRESETS
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
    pixels,
    readout,
    trait,
)

pytestmark = pytest.mark.browser
STATE = ("depth", "width", "activation", "init", "norm", "seed", "layer")
CANVASES = ("canvas[role=img] >> nth=0", "canvas[role=img] >> nth=1")
COMPUTE = """([parameters, settings]) => {
  const flow = esm.makeFlow(parameters)(settings);
  const layers = Array.from({length: settings.depth}, (_, l) => l + 1);
  return {activations: layers.map(l => [...flow.activations(l)]),
    gradients: layers.map(l => [...flow.gradients(l)]), flat: flow.flat.map(f => f.flat),
    dead: flow.flat.map(f => f.dead), std: flow.forward.map(s => s.std)};
}"""
CASES = [
    (6, 64, "tanh", "small", "none"),
    (8, 64, "tanh", "large", "none"),
    (30, 64, "relu", "slide", "none"),
    (30, 37, "leaky relu", "he", "batch"),
    (30, 64, "elu", "xavier", "layer"),
    (12, 64, "gelu", "he", "none"),
    (10, 5, "swish", "large", "batch"),
    (9, 13, "softplus", "orthogonal", "layer"),
    (30, 64, "tanh", "orthogonal", "none"),
    (7, 2, "logistic", "xavier", "batch"),
    (4, 16, "step", "he", "none"),
    (5, 9, "relu", "zero", "batch"),
]


def test_network_equals_the_core(mount):
    page = mount(SignalFlow())
    parameters = {name: known.default for name, known in ACTIVATIONS.items()}
    for case in CASES:
        settings = dict(zip(STATE[:5], case, strict=True)) | {"seed": 4_000_000_007}
        got = page.evaluate(COMPUTE, [parameters, settings])
        flow = signal_flow(*case, seed=4_000_000_007)
        for name in ("activations", "gradients"):
            # The page keeps the samples of a unit side by side.
            there = np.array(got[name], float).reshape(case[0], case[1], -1).transpose(0, 2, 1)
            here = getattr(flow, name)
            size = np.sqrt(np.mean(here**2, axis=(1, 2), keepdims=True))
            np.testing.assert_allclose(
                there / (size + (size == 0)), here / (size + (size == 0)), rtol=1e-5, atol=1e-5
            )
        is_flat = np.abs(flow.slopes) < 0.01
        np.testing.assert_allclose(got["flat"], is_flat.mean(axis=(1, 2)), atol=1e-12)
        assert got["dead"] == is_flat.all(axis=1).sum(axis=1).tolist()
        std = np.array(got["std"], float)
        np.testing.assert_allclose(std, flow.activations.std(axis=(1, 2)), rtol=1e-6)


def test_chaos_changes_outputs_and_keeps_statistics(mount):
    """Thirty saturated layers blow the last bit of a sum up: only summaries can agree."""
    page = mount(SignalFlow())
    settings = dict(zip(STATE, (30, 64, "tanh", "slide", "none", 0), strict=False))
    got = page.evaluate(COMPUTE, [{"tanh": 0}, settings])
    flow = signal_flow(30, 64, "tanh", "slide", "none")
    np.testing.assert_allclose(got["std"], flow.activations.std(axis=(1, 2)), rtol=0.01)
    np.testing.assert_allclose(got["std"][:5], flow.activations.std(axis=(1, 2))[:5], rtol=1e-9)


def test_tables_and_orthogonal_weights_equal_the_core(mount):
    page = mount(SignalFlow())
    got = page.evaluate("""() => { const t = esm.makeTables(11);
      const rows = (layers, width) => Array.from({length: width},
        (_, i) => [...layers.slice(i * 64, i * 64 + width)]);
      return {inputs: [...t.inputs], top: [...t.top], first: rows(t.layers, 64),
        square: rows(esm.orthogonalise(t.layers.slice(), 0, 1, 21), 21)}; }""")
    tables = normal_tables(11)
    np.testing.assert_allclose(got["inputs"], tables.inputs.T.ravel(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(got["top"], tables.top.T.ravel(), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(got["first"], tables.layers[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(got["square"], weights("orthogonal", 1, 21, 11)[0], atol=1e-10)


def test_presets_and_reset(mount):
    page = mount(SignalFlow(12, 40, "elu", "xavier", "layer"))
    first, said, seen = all_pixels(page), {readout(page)}, set()
    for name, (depth, activation, init, norm, _) in PRESETS.items():
        page.click(f'[data-preset="{name}"]')
        said.add(readout(page))
        seen.add(all_pixels(page))
        now = [trait(page, key) for key in STATE[:5]]
        assert now == [depth, 64, activation, init, norm]
        assert page.input_value("select >> nth=1") == init
    assert len(said) == len(seen) + 1 == len(PRESETS) + 1
    page.click("[data-preset='collapse']")
    assert "Std of activations: 0.0802 at layer 1, 1.01e-11 at layer 10." in readout(page)
    page.click('[data-preset="the slide\'s code explodes"]')
    assert "6.01e44 (overflow in float32) at layer 30." in readout(page)
    page.click(".dlc-reset")
    assert all_pixels(page) == first


def test_every_control_moves_it(mount):
    page = mount(SignalFlow())
    said = [readout(page)]
    for place, key in ((0, "ArrowRight"), (1, "ArrowLeft")):
        page.locator(".dlc-controls input").nth(place).focus()
        page.keyboard.press(key)
        said.append(readout(page))
    assert (trait(page, "depth"), trait(page, "width")) == (11, 63)
    for place, value in ((0, "gelu"), (1, "he"), (2, "batch")):
        page.locator("select").nth(place).select_option(value)
        said.append(readout(page))
    page.click("text=Draw again")
    said.append(readout(page))
    assert len(set(said)) == len(said)
    state = [trait(page, name) for name in STATE]
    assert state == [11, 63, "gelu", "he", "batch", 1, 1]
    again = eval(copied(page), {"SignalFlow": SignalFlow})
    assert [getattr(again, name) for name in STATE] == state
    s = again.flow().activations.std(axis=(1, 2))
    assert f"Std of activations: {s[0]:.3g} at layer 1, {s[-1]:.3g} at layer 11." in readout(page)


def test_nothing_and_too_much_are_said(mount):
    page = mount(SignalFlow(init="zero"))
    text = readout(page)
    assert "0 (vanished) at layer 1, 0 (vanished) at layer 10" in text
    assert "The gradient at layer 1 is 0 (vanished) times" in text
    page.evaluate("model.set('depth', 30)")
    page.evaluate("model.set('width', 20)")
    page.evaluate("model.set('activation', 'relu')")
    page.evaluate("model.set('init', 'small')")
    assert "(vanished)" in readout(page)
    page.evaluate("model.set('width', 64)")
    page.evaluate("model.set('init', 'slide')")
    assert "(overflow in float32)" in readout(page)
    assert page.evaluate("esm.default && esm.layerWords(1, 2, {forward: [{mean: NaN, std: NaN}],"
                         " backward: [{std: Infinity}], flat: [{flat: 0, dead: 0}]})") == (
        "Layer 1: activations mean NaN, std NaN; gradient std infinity (overflow in float32); "
        "0 % flat, 0 of 2 dead."
    )  # fmt: skip
    assert page.is_hidden(".dlc-trouble")


def test_keys_and_drag_choose_the_layer(mount):
    page = mount(SignalFlow(depth=8))
    for canvas in CANVASES:
        page.focus(canvas)
        for key, layer in [("End", 8), ("ArrowUp", 7), ("Home", 1), ("ArrowRight", 2)]:
            page.keyboard.press(key)
            assert f" Layer {layer}: activations mean" in readout(page)
            assert f" Layer {layer}: activations mean" in page.get_attribute(canvas, "aria-label")
    before = all_pixels(page)
    box = page.locator(CANVASES[1]).bounding_box()
    page.mouse.move(box["x"] + 150, box["y"] + 370)
    page.mouse.down()
    assert " Layer 8: " in readout(page)
    page.mouse.move(box["x"] + 150, box["y"] - 30, steps=3)
    assert " Layer 1: " in readout(page)
    page.mouse.up()
    page.mouse.move(box["x"] + 150, box["y"] + 370)
    assert " Layer 1: " in readout(page)
    assert before != all_pixels(page)


def test_python_moves_the_view(mount):
    page = mount(SignalFlow())
    seen = all_pixels(page)
    page.evaluate("model.set('depth', 4)")
    assert "at layer 4." in readout(page)
    assert all_pixels(page) != seen
    assert page.input_value(".dlc-controls input >> nth=0") == "4"
    page.evaluate("model.set('layer', 30)")  # more than there are: the last
    assert " Layer 4: " in readout(page)
    page.evaluate("model.set('norm', 'layer')")
    readout(page)
    assert page.input_value("select >> nth=2") == "layer"


def test_dark_theme_and_narrow_page(mount):
    page = mount(SignalFlow())
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '300px'")
    box = page.locator(CANVASES[1]).bounding_box()
    assert box["width"] <= 300
    at = {"x": 0.4 * box["width"], "y": 0.88 * box["height"]}
    page.locator(CANVASES[1]).click(position=at)
    assert " Layer 10: " in readout(page)


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(SignalFlow())
    page.evaluate("model.set('depth', 12)")
    assert_nothing_left(page)
    page.evaluate("model.set('depth', 3)")


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "flow",
        [
            "from course_utils.widgets import SignalFlow\nw = SignalFlow(6)\nw",
            "print('at', w.layer, w.depth, w.readout[:27])",
        ],
    )
    page.wait_for_selector(CANVASES[0])
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(CANVASES[0])
    before = pixels(page)
    for key in ("End", "ArrowUp", "x"):
        page.keyboard.press(key)
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.includes('Layer 5:')"
    )
    assert pixels(page) != before
    assert "Layer 5:" in page.evaluate(LABEL)
    page.locator(".dlc-controls input").first.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.includes('at layer 7.')"
    )
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at 5 7 Std of activations: 0.0802")
