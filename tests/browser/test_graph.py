"""ComputationGraph in a browser: a blank page, then JupyterLab."""

import math

import numpy as np
import pytest

from course_utils.widgets import ComputationGraph
from course_utils.widgets.core.graph import (
    Graph,
    accumulation_frame,
    evaluate,
    gradients,
    read_graph,
)
from course_utils.widgets.core.operations import OPERATIONS
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
from tests.widgets.scalars import Value, neuron, shared
from tests.widgets.test_graph import random_root

pytestmark = pytest.mark.browser
CANVAS = ".dlc-stage canvas"


def place_of(page, widget, name):
    """Where the middle of a node is on the page."""
    box = page.locator(CANVAS).bounding_box()
    column, row = widget._layout.nodes[widget._graph.names.index(name)]
    natural = page.evaluate(f"parseFloat(document.querySelector('{CANVAS}').style.width)")
    zoom = box["width"] / natural
    return box["x"] + zoom * (75 + 182 * column), box["y"] + zoom * (41 + 76 * row)


def test_presets_jump_and_reset_returns(mount):
    widget = ComputationGraph(shared())
    page = mount(widget)
    first = pixels(page)
    assert readout(page) == "Step 0 of 13, the leaves have their values."
    page.click("[data-preset=forward]")
    assert readout(page) == "Step 1 of 13, forward: d = a * b = (−2) * 3 = −6."
    page.click("[data-preset=backward]")
    assert readout(page) == "Step 7 of 13, seed: dL/dL = 1."
    backward = pixels(page)
    assert backward != first
    page.click("[data-preset=fan-out]")
    assert trait(page, "step") == accumulation_frame(widget._graph)
    assert trait(page, "selected") == "a"
    assert "2 of 3 shares so far" in readout(page)
    assert pixels(page) != backward
    page.click(".dlc-reset")
    assert readout(page) == "Step 0 of 13, the leaves have their values."
    assert trait(page, "selected") == ""
    assert pixels(page) == first


def test_fan_out_is_hidden_where_no_node_is_used_twice(mount):
    page = mount(ComputationGraph(neuron()))
    assert page.locator("[data-preset=fan-out]").count() == 0
    assert page.locator("[data-preset=backward]").count() == 1


def test_keys_step_and_select(mount):
    page = mount(ComputationGraph(shared()))
    page.locator(CANVAS).focus()
    for key, step in [("ArrowRight", 1), ("End", 13), ("ArrowLeft", 12), ("Home", 0)]:
        page.keyboard.press(key)
        assert trait(page, "step") == step
        assert readout(page).startswith(f"Step {step} of 13")
        assert f"Step {step} of 13" in page.evaluate(LABEL)
    before = pixels(page)
    page.keyboard.press("ArrowDown")
    assert trait(page, "selected") == "a"
    assert "a = −2, a leaf" in readout(page)
    assert pixels(page) != before
    page.keyboard.press("ArrowUp")
    assert trait(page, "selected") == "L"
    page.keyboard.press("End")
    page.keyboard.press("ArrowDown")
    assert "dL/da = dL/d" in readout(page)
    assert readout(page).endswith("= 32.")
    page.keyboard.press("Home")
    page.select_option(".dlc-player select", "30")
    page.locator(CANVAS).focus()
    page.keyboard.press(" ")
    page.wait_for_function("model.get('step') === 13")


def test_hover_and_click_show_the_equations(mount):
    widget = ComputationGraph(neuron(), step=11)
    page = mount(widget)
    calm = pixels(page)
    page.mouse.move(*place_of(page, widget, "n"))
    text = readout(page)
    slope = 1 - math.tanh(0.5) ** 2
    assert "n = v" in text
    assert "+ b = (−5.5) + 6 = 0.5" in text
    assert f"do/dn = do/do · do/dn = 1 · {slope:.3f} = {slope:.3f}" in text
    assert pixels(page) != calm
    assert trait(page, "selected") == ""
    page.mouse.move(5, 5)
    assert pixels(page) == calm
    page.mouse.click(*place_of(page, widget, "w1"))
    assert trait(page, "selected") == "w1"
    page.mouse.move(5, 5)
    assert f"· 2 = {2 * slope:.2f}" in readout(page)
    assert page.input_value(".dlc-bar select") == "w1"


def test_a_leaf_changes_everything_after_it(mount):
    widget = ComputationGraph(shared(), step=13)
    page = mount(widget)
    before = pixels(page)
    page.select_option(".dlc-bar select", "b")
    assert trait(page, "selected") == "b"
    slider = page.locator(".dlc-bar input[type=range]")
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    painted(page)
    leaf_values = trait(page, "leaf_values")
    assert leaf_values[0] == -2
    assert leaf_values[1] < 3
    graph = widget._graph
    grads = dict(zip(graph.names, gradients(graph, evaluate(graph, leaf_values)), strict=True))
    shown = float(readout(page).rstrip(".").split("= ")[-1].replace("−", "-"))
    assert shown == pytest.approx(grads["b"], rel=5e-3)
    assert pixels(page) != before
    again = eval(copied(page), {"ComputationGraph": ComputationGraph, "root": shared()})
    for name in ("leaf_values", "selected", "step"):
        assert trait(page, name) == getattr(again, name), name


def test_values_and_gradients_equal_the_core(mount):
    page = mount(ComputationGraph(shared()))
    for seed in range(12):
        graph = read_graph(random_root(seed, num_inner=25))
        leaf_values = np.random.default_rng(seed).uniform(-0.8, 1.2, len(graph.leaves)).tolist()
        values = evaluate(graph, leaf_values)
        got = page.evaluate(
            """([names, ops, parents, leaves]) => { const g = {names, ops, parents};
            const v = esm.evaluateGraph(g, leaves);
            return [v, esm.gradientsOf(g, v)].map(a => a.map(x => Number.isFinite(x) ? x : 1e99));
            }""",
            [graph.names, graph.ops, graph.parents, leaf_values],
        )
        expected = [
            np.nan_to_num(a, nan=1e99, posinf=1e99, neginf=1e99)
            for a in (values, gradients(graph, values))
        ]
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(got[1], expected[1], rtol=1e-9, atol=1e-12)


def test_each_operation_equals_the_core(mount):
    page = mount(ComputationGraph(shared()))
    for name, operation in OPERATIONS.items():
        for pair in ((0.7, 1.3), (-1.2, 2.0), (2.0, -0.5)):
            names = ("a", "b")[: operation.arity]
            graph = Graph(
                (*names, "c"),
                ("",) * len(names) + (name,),
                ((),) * len(names) + (tuple(range(len(names))),),
                (),
            )
            values = evaluate(graph, pair)
            got = page.evaluate(
                """([ops, parents, leaves]) => { const g = {ops, parents};
                const v = esm.evaluateGraph(g, leaves);
                return [v.at(-1), ...esm.gradientsOf(g, v)].map(String); }""",
                [graph.ops, graph.parents, pair[: operation.arity]],
            )
            expected = [values[-1], *gradients(graph, values)]
            np.testing.assert_allclose([float(v) for v in got], expected, rtol=1e-12)


def test_python_moves_the_view_and_nan_is_readable(mount):
    x = Value(0.5, label="x")
    root = Value(math.log(0.5), (x,), (), "log", "L")
    page = mount(ComputationGraph(root))
    page.evaluate("model.set('step', 1)")
    assert readout(page) == "Step 1 of 3, forward: L = log(x) = log(0.5) = −0.693."
    page.evaluate("model.set('leaf_values', [2.5])")
    assert "log(2.5) = 0.916" in readout(page)
    assert page.inner_text(".dlc-bar output") == "2.5"
    page.evaluate("model.set('leaf_values', [-1])")
    assert "L = log(x) = log(−1) = NaN" in readout(page)
    page.evaluate("model.set('selected', 'x')")
    assert "x = −1, a leaf" in readout(page)


def test_themes_and_a_narrow_page(mount):
    page = mount(ComputationGraph(shared(), step=12))
    light = pixels(page)
    page.evaluate(DARK)
    assert pixels(page) != light
    page.evaluate("document.querySelector('#widget').style.width = '400px'")
    box = page.locator(CANVAS).bounding_box()
    scroll = page.locator(".dlc-scroll").bounding_box()
    assert box["width"] > scroll["width"]
    page.locator(CANVAS).focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    painted(page)
    left = page.evaluate("document.querySelector('.dlc-scroll').scrollLeft")
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    painted(page)
    assert page.evaluate("document.querySelector('.dlc-scroll').scrollLeft") > left


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(ComputationGraph(shared()))
    page.click(".dlc-play")
    page.wait_for_function("model.get('step') > 0")
    page.evaluate("model.set('step', 4)")
    assert_nothing_left(page)
    page.evaluate("model.set('step', 5)")


def test_in_jupyterlab(open_notebook):
    source = (
        "from types import SimpleNamespace as V\n"
        "from course_utils.widgets import ComputationGraph\n"
        "a = V(data=2.0, grad=0.0, parents=(), op='', label='a')\n"
        "w = ComputationGraph(V(data=4.0, grad=0.0, parents=(a, a), op='*', label='L'))\nw"
    )
    page = open_notebook("graph", [source, "print('at', w.step, w.leaf_values, w.readout[:11])"])
    canvas = page.locator(CANVAS)
    canvas.wait_for()
    cells = count_cells(page)
    canvas.focus()
    before = pixels(page)
    for key in ("ArrowRight", "ArrowRight", "x"):
        page.keyboard.press(key)
    assert pixels(page) != before
    assert page.inner_text(".dlc-readout").startswith("Step 2 of 3, seed")
    assert_lab_still_works(page, cells)
    slider = page.locator(".dlc-bar input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    painted(page)
    assert_kernel_prints(page, "at 2 [2.1] Step 2 of 3")
