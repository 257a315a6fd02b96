"""ActivationExplorer in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.figures import PALETTE
from course_utils.widgets import ActivationExplorer
from course_utils.widgets.core.flow import ACTIVATIONS, activate, statistics
from course_utils.widgets.views.activations import PRESETS
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
STATE = ("activations", "gain", "parameters", "x", "layer", "seed")
CURVES, SIGNAL = "canvas[role=img] >> nth=0", "canvas[role=img] >> nth=1"
GAIN = ".dlc-control:has-text('gain') input"
SLIDERS = ".dlc-controls input[type=range]"


def test_curves_are_stroked_in_both_drawings(mount):
    page = mount(ActivationExplorer())
    for number, markers in ((0, 148), (1, 746)):  # pixels without the lines
        for colour in (PALETTE["blue"], PALETTE["vermilion"]):
            assert inked(page, number, colour) > 1.3 * markers


def test_curves_equal_the_core(mount):
    page = mount(ActivationExplorer())
    x = np.concatenate([np.linspace(-12, 12, 481), [-800.0, 800.0, 1e-9, -1e-9]])
    for name, known in ACTIVATIONS.items():
        for parameter in (known.default, 0.3 * known.low + 0.7 * known.high):
            got = page.evaluate(
                "a => esm.curveOf(...a).map(v => [...v])", [name, parameter, x.tolist()]
            )
            f, slope = activate(name, x, parameter)
            np.testing.assert_allclose(got[0], f, rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(got[1], slope, rtol=1e-8, atol=1e-9)


def test_layers_equal_the_core(mount):
    page = mount(ActivationExplorer())
    cases = [(name, None, 1.0) for name in ACTIVATIONS]
    cases += [("tanh", None, 2.0), ("leaky relu", 0.4, 0.3), ("elu", 2.0, 0.9), ("swish", 5.0, 1.2)]
    for name, parameter, gain in cases:
        own = {} if parameter is None else {name: parameter}
        widget = ActivationExplorer((name,), gain, parameters=own, seed=77)
        value = ACTIVATIONS[name].default if parameter is None else parameter
        got = page.evaluate("a => esm.makeRunner()(...a)", [name, value, gain, 77])
        expected = statistics(widget.flow(name))
        for key in ("rms", "mean", "spread", "flat", "dead"):
            there = np.array([layer[key] for layer in got["layers"]], float)
            atol = 1e-12 if key == "spread" else 1e-6 * np.abs(expected.rms).max()
            np.testing.assert_allclose(
                there, getattr(expected, key), rtol=1e-5, atol=0 if key == "rms" else atol
            )


def test_presets_and_reset(mount):
    page = mount(ActivationExplorer(("elu", "step"), 0.7, x=2.0))
    first, said, seen = all_pixels(page), {readout(page)}, set()
    for name, (names, gain, x, _) in PRESETS.items():
        page.click(f"[data-preset='{name}']")
        said.add(readout(page))
        seen.add(all_pixels(page))
        assert (trait(page, "activations"), trait(page, "gain")) == (list(names), gain)
        assert trait(page, "x") == x
        assert page.input_value("select >> nth=0") == names[0]
    assert len(said) == len(seen) + 1 == len(PRESETS) + 1
    page.click("[data-preset='dies']")
    assert "23 of 64 dead. leaky relu (γ = 0.1): f −0.1".replace("−", "-") in readout(page)
    page.click(".dlc-reset")
    assert all_pixels(page) == first
    assert trait(page, "activations") == ["elu", "step"]


def test_picks_and_their_parameters(mount):
    page = mount(ActivationExplorer())
    choose = [page.locator("select").nth(k).select_option for k in range(3)]
    said = [readout(page)]
    assert page.locator(f"{SLIDERS}:visible").count() == 1
    for place, name, expected in [
        (2, "swish", ["relu", "tanh", "swish"]),
        (0, "swish", ["swish", "tanh", "relu"]),  # in use elsewhere: they change places
        (1, "none", ["swish", "relu"]),
        (2, "elu", ["swish", "relu", "elu"]),
    ]:
        choose[place](name)
        said.append(readout(page))
        assert trait(page, "activations") == expected
    shown = [page.locator("select").nth(k).input_value() for k in range(3)]
    assert shown == ["swish", "relu", "elu"]
    assert page.locator(f"{SLIDERS}:visible").count() == 3
    for place, key in ((0, "ArrowRight"), (2, "ArrowLeft")):
        page.locator(SLIDERS).nth(place).focus()
        page.keyboard.press(key)
        said.append(readout(page))
    assert trait(page, "parameters") == {"swish": 1.05, "elu": 0.95}
    page.focus(GAIN)
    page.keyboard.press("ArrowRight")
    said.append(readout(page))
    assert trait(page, "gain") == 1.02
    assert "swish (β = 1.05)" in said[-1]
    assert len(set(said)) == len(said)
    again = eval(copied(page), {"ActivationExplorer": ActivationExplorer})
    assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
    page.evaluate("model.set('parameters', {swish: 1.234})")
    assert "swish (β = 1.23)" in readout(page)
    choose[1]("none")
    choose[1]("none")
    readout(page)
    assert trait(page, "activations") == ["swish"]
    assert "('swish',)" in copied(page).replace('"', "'")


def test_a_last_place_that_is_asked_for_a_name_in_use_stays(mount):
    page = mount(ActivationExplorer())
    page.locator("select").nth(2).select_option("relu")
    readout(page)
    assert trait(page, "activations") == ["relu", "tanh"]
    assert page.input_value("select >> nth=2") == "none"


def test_keys_and_drag_read_the_curves(mount):
    page = mount(ActivationExplorer(("tanh", "leaky relu")))
    page.focus(CURVES)
    for key, x in [("Home", -6), ("ArrowRight", -5.9), ("Shift+ArrowRight", -4.9), ("End", 6)]:
        page.keyboard.press(key)
        assert f", x = {x}. tanh: f {np.tanh(x):.3g}".rstrip("0") in readout(page)
        assert f"x = {x}." in page.get_attribute(CURVES, "aria-label")
    box = page.locator(CURVES).bounding_box()
    page.mouse.move(box["x"] + 236, box["y"] + 100)
    page.mouse.down()
    assert "x = 0. tanh: f 0, f′ 1;" in readout(page)
    page.mouse.move(box["x"] - 30, box["y"] + 90, steps=3)
    page.mouse.up()
    assert "x = -6. " in readout(page)
    before = all_pixels(page)
    page.focus(SIGNAL)
    for key, layer in [("Home", 1), ("ArrowUp", 2), ("Shift+ArrowRight", 7), ("End", 30)]:
        page.keyboard.press(key)
        assert f"layer {layer}: rms" in readout(page)
    box = page.locator(SIGNAL).bounding_box()
    page.mouse.click(box["x"] + 56 + 364 / 2, box["y"] + 300)
    assert "layer 15: rms" in readout(page)
    after = all_pixels(page)
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_python_moves_the_view(mount):
    page = mount(ActivationExplorer())
    seen = all_pixels(page)
    page.evaluate("model.set('activations', ['gelu'])")
    assert "gelu: f 0.841" in readout(page)
    assert all_pixels(page) != seen
    assert page.input_value("select >> nth=1") == "none"
    page.evaluate("model.set('gain', 0.3333)")
    assert readout(page).startswith("Gain 0.333,")
    assert page.locator(f"{GAIN} + output").inner_text() == "0.3333"
    page.evaluate("model.set('gain', NaN)")
    assert "rms NaN" in readout(page)
    assert page.is_hidden(".dlc-trouble")
    page.evaluate("model.set('gain', 1)")
    assert "NaN" not in readout(page)


def test_dark_theme_and_narrow_page(mount):
    page = mount(ActivationExplorer())
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '300px'")
    box = page.locator(CURVES).bounding_box()
    assert box["width"] <= 300
    at = {"x": 236 / 430 * box["width"], "y": 50}
    page.locator(CURVES).click(position=at)
    assert abs(trait(page, "x")) < 0.05


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(ActivationExplorer())
    page.evaluate("model.set('gain', 2)")
    assert_nothing_left(page)
    page.evaluate("model.set('gain', 3)")


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "activations",
        [
            "from course_utils.widgets import ActivationExplorer\nw = ActivationExplorer()\nw",
            "print('at', w.x, w.gain, w.readout[:10])",
        ],
    )
    page.wait_for_selector(CURVES)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(CURVES)
    before = pixels(page)
    for key in ("End", "ArrowLeft", "x"):
        page.keyboard.press(key)
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.includes('x = 5.9.')"
    )
    assert pixels(page) != before
    page.focus(GAIN)
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.startsWith('Gain 1.02')"
    )
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at 5.9 1.02 Gain 1.02,")
