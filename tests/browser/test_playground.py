"""Playground in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest

from course_utils.widgets import Playground
from course_utils.widgets.core.playground import (
    initial_network,
    load_split,
    loss_and_gradients,
    mulberry32,
    train,
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
SETTINGS = ("dataset", "width", "activation", "lr", "seed", "steps")
TRAIN = """([settings, sets, steps]) => {
  const set = ([X, y]) => ({X: Float64Array.from(X.flat()), y: Float64Array.from(y)});
  const t = esm.makeTraining(settings, {train: set(sets[0]), held: set(sets[1])});
  for (let k = 0; k < steps; k++) t.advance();
  const {W1, b1, W2, b2} = t.network;
  return {losses: t.losses, weights: [...W1, ...b1, ...W2, ...b2], scores: t.scores};
}"""


def arrived(page, step):
    """Wait until training has come to a step and rests there."""
    page.wait_for_function(
        "s => model.get('steps') === s && model.get('readout').startsWith(`Step ${s}:`)"
        " && document.querySelector('.dlc-play').textContent === 'Play'",
        arg=step,
    )
    return readout(page)


def sets_of(data):
    return [
        [data.X_train.tolist(), data.y_train.tolist()],
        [data.X_held.tolist(), data.y_held.tolist()],
    ]


@pytest.mark.parametrize(
    ("dataset", "width", "activation", "lr"),
    [
        ("moons", 4, "tanh", 0.1),
        ("xor", 3, "sigmoid", 1.0),
        ("spirals", 16, "tanh", 1.0),
        ("separable", 7, "relu", 0.2),
    ],
)
def test_trajectory_equals_the_core(mount, dataset, width, activation, lr):
    page = mount(Playground())
    data = load_split(dataset)
    settings = {"width": width, "activation": activation, "lr": lr, "seed": 11}
    got = page.evaluate(TRAIN, [settings, sets_of(data), 50])
    core = train(width, activation, lr, 11, 50, data)
    losses = np.array(got["losses"])
    np.testing.assert_allclose(losses[:, 0], core.train_loss, rtol=1e-9)
    np.testing.assert_allclose(losses[:, 1], core.held_loss, rtol=1e-9)
    n = core.network
    weights = np.concatenate([n.W1.ravel(), n.b1, n.W2, [n.b2]])
    np.testing.assert_allclose(got["weights"], weights, rtol=1e-8, atol=1e-10)


def test_generator_and_gradients_equal_the_core(mount):
    page = mount(Playground())
    for seed in (0, 1, 4_294_967_295):
        got = page.evaluate(
            "s => { const r = esm.makeRandom(s); return [r(), r(), r(), r()]; }", seed
        )
        uniform = mulberry32(seed)
        assert got == [next(uniform) for _ in range(4)]
    data = load_split("moons")
    for activation in ("tanh", "sigmoid", "relu"):
        got = page.evaluate(
            """([a, X, y]) => { const net = esm.initialNetwork(6, 2);
            const out = esm.initialNetwork(6, 2);
            const points = Float64Array.from(X.flat()), hidden = new Float64Array(6 * y.length);
            const logits = new Float64Array(y.length);
            esm.predictInto(net, a, points, hidden, logits);
            const g = esm.gradientsInto(net, a, points, y, hidden, logits, out);
            return [...g.W1, ...g.b1, ...g.W2, ...g.b2]; }""",
            [activation, data.X_train.tolist(), data.y_train.tolist()],
        )
        network = initial_network(6, 2)
        _, g = loss_and_gradients(network, activation, data.X_train, data.y_train)
        expected = np.concatenate([g.W1.ravel(), g.b1, g.W2, [g.b2]])
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-14)


def test_opens_at_the_step_asked_for(mount):
    widget = Playground("xor", 2, lr=0.5, steps=300)
    page = mount(widget)
    text = arrived(page, 300)
    run = widget.training()
    assert text.startswith(f"Step 300: loss {run.train_loss[-1]:.3g} nats in training, ")
    assert f"{run.held_loss[-1]:.3g} held out" in text
    assert "accuracy 100 % in training" in text


def test_presets_show_what_they_name(mount):
    page = mount(Playground())
    blank = pixels(page)
    said = {}
    for preset in trait(page, "presets"):
        if preset["name"] == "spiral needs width":
            continue  # 3,000 steps; its claim is tested in the core
        page.click(f"[data-preset='{preset['name']}']")
        said[preset["name"]] = arrived(page, preset["steps"])
        for name in ("dataset", "width", "activation", "lr", "seed"):
            assert trait(page, name) == preset[name]
        assert pixels(page) != blank
    assert "accuracy 7" in said["one unit cannot"]
    assert "accuracy 100 % in training" in said["two lines"]
    assert "6 of 8 units are dead" in said["dead relu"]
    page.click("[data-preset='spiral needs width']")
    assert trait(page, "dataset") == "spirals"
    page.click(".dlc-reset")
    assert readout(page).startswith("Step 0:")
    assert trait(page, "dataset") == "moons"
    assert pixels(page) == blank


def test_play_step_and_start_again(mount):
    page = mount(Playground(lr=0.5))
    start = readout(page)
    page.click(".dlc-play")
    assert page.inner_text(".dlc-play") == "Pause"
    page.wait_for_function("model.get('steps') > 30")
    page.click(".dlc-play")
    assert page.inner_text(".dlc-play") == "Play"
    at = trait(page, "steps")
    assert readout(page).startswith(f"Step {at}:")
    page.click("button:text-is('Step')")
    arrived(page, at + 1)
    page.click("text=Start again")
    assert readout(page) == start
    canvas = page.locator(".dlc-stage canvas").first
    canvas.focus()
    for key, step in [("ArrowRight", 1), ("ArrowRight", 2), ("End", 102), ("Home", 0)]:
        page.keyboard.press(key)
        assert arrived(page, step).startswith(f"Step {step}:")
        assert f"Step {step}:" in page.evaluate(LABEL)
    page.keyboard.press(" ")
    page.wait_for_function("model.get('steps') > 10")
    page.keyboard.press(" ")
    assert page.inner_text(".dlc-play") == "Play"


def test_every_control_starts_afresh_and_the_code_repeats_it(mount):
    page = mount(Playground(steps=20))
    arrived(page, 20)

    def same():
        again = eval(copied(page), {"Playground": Playground})
        for name in SETTINGS:
            assert trait(page, name) == getattr(again, name), name
        return again

    same()
    page.select_option(".dlc-controls select >> nth=0", "separable")
    assert readout(page).startswith("Step 0:")
    width = page.locator(".dlc-control input[max='16']")
    width.focus()
    page.keyboard.press("ArrowRight")
    assert trait(page, "width") == 5
    page.select_option(".dlc-controls select >> nth=1", "relu")
    rate = page.locator(".dlc-control input[max='1.5']")
    rate.focus()
    page.keyboard.press("ArrowRight")
    assert trait(page, "lr") == pytest.approx(0.11)
    page.fill(".dlc-number", "12")
    page.keyboard.press("Enter")
    assert trait(page, "seed") == 12
    assert trait(page, "steps") == 0
    page.click("text=100 steps")
    text = arrived(page, 100)
    again = same()
    assert (again.dataset, again.width, again.activation, again.seed) == (
        "separable",
        5,
        "relu",
        12,
    )
    run = again.training()
    assert f"loss {run.train_loss[-1]:.3g} nats" in text


def test_a_change_while_playing_goes_on_playing(mount):
    page = mount(Playground())
    page.click(".dlc-play")
    page.wait_for_function("model.get('steps') > 10")
    page.select_option(".dlc-controls select >> nth=0", "xor")
    assert page.inner_text(".dlc-play") == "Pause"
    page.wait_for_function("model.get('steps') > 10")
    page.click(".dlc-play")


def test_python_moves_the_view(mount):
    page = mount(Playground(lr=0.5))
    page.evaluate("model.set('steps', 40)")
    forty = arrived(page, 40)
    page.evaluate("model.set('steps', 10)")
    arrived(page, 10)
    page.evaluate("model.set('steps', 40)")
    assert arrived(page, 40) == forty
    page.evaluate("model.set('width', 9)")
    assert arrived(page, 40) != forty
    assert page.input_value(".dlc-control input[max='16']") == "9"


def test_training_stops_out_of_sight(mount, page):
    mount(Playground())
    page.evaluate("document.body.style.paddingTop = '3000px'")
    page.evaluate("scrollTo(0, 3000)")
    page.wait_for_function("document.querySelector('.dlc-play').getBoundingClientRect().top < 800")
    page.click(".dlc-play")
    page.wait_for_function("model.get('steps') > 10")
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_function("document.querySelector('.dlc-play').textContent === 'Play'")
    at = trait(page, "steps")
    painted(page, 5)
    assert trait(page, "steps") == at
    # A step that is asked for out of sight is computed when the widget is seen.
    page.evaluate("s => model.set('steps', s)", at + 7)
    painted(page, 5)
    assert not page.inner_text(".dlc-readout").startswith(f"Step {at + 7}:")
    page.evaluate("scrollTo(0, 3000)")
    arrived(page, at + 7)


def test_without_motion_play_shows_the_result(mount, page):
    page.emulate_media(reduced_motion="reduce")
    mount(Playground("xor", 4, lr=0.5))
    page.click(".dlc-play")
    arrived(page, 500)


def test_a_run_that_diverges_says_so(mount):
    page = mount(Playground("moons", 2, "relu"))
    page.evaluate("model.set('lr', 1e300)")
    page.click("text=100 steps")
    page.wait_for_function("model.get('readout').includes('diverged')")
    assert "NaN" in readout(page)
    page.click(".dlc-reset")
    assert "diverged" not in readout(page)


def test_themes_and_a_narrow_page(mount):
    page = mount(Playground(steps=20))
    arrived(page, 20)
    light = [pixels(page, f".dlc-stage canvas[height='{h}']") for h in (370, 196, 174)]
    page.evaluate(DARK)
    dark = [pixels(page, f".dlc-stage canvas[height='{h}']") for h in (370, 196, 174)]
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.evaluate("document.querySelector('#widget').style.width = '300px'")
    for k in range(3):
        assert page.locator(".dlc-stage canvas").nth(k).bounding_box()["width"] <= 300


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(Playground())
    page.click(".dlc-play")
    page.wait_for_function("model.get('steps') > 5")
    assert_nothing_left(page)
    page.evaluate("model.set('steps', 3)")


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "playground",
        [
            "from course_utils.widgets import Playground\nw = Playground('xor', 2, lr=0.5)\nw",
            "print('at', w.steps, w.width, w.readout[:7])",
        ],
    )
    canvas = page.locator(".dlc-stage canvas").first
    canvas.wait_for()
    cells = count_cells(page)
    canvas.focus()
    before = pixels(page)
    for key in ("ArrowRight", "End", "x"):
        page.keyboard.press(key)
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.startsWith('Step 101:')"
    )
    assert pixels(page) != before
    assert_lab_still_works(page, cells)
    page.click(".dlc-play")
    page.wait_for_function(
        "+document.querySelector('.dlc-readout').textContent.match(/\\d+/)[0] > 200"
    )
    page.click(".dlc-play")
    painted(page)
    shown = page.inner_text(".dlc-readout").split(":")[0].split()[1]
    assert_kernel_prints(page, f"at {shown} 2 Step {shown[:2]}")
