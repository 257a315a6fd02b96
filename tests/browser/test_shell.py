"""The frame around every widget: presets, reset, code, read-out, errors, keys."""

import anywidget
import pytest
import traitlets

from course_utils.widgets.bundle import bundle, load_css

pytestmark = pytest.mark.browser

VIEW = """import { makePlayer } from "./player.js";
import { makeShell } from "./shell.js";
export default { render({ model, el }) {
  const shell = makeShell({ model, el, presets: [{ name: "ravine", title: "a long valley" }],
    onPreset: (name) => { if (window.fail) throw new Error("no such preset");
      shell.readout(`preset ${name}`); },
    onReset: () => shell.readout("reset"), code: () => "Demo(1)",
    redraw: () => { window.redraws = (window.redraws || 0) + 1; } });
  const player = makePlayer({ length: 5, onFrame: (i) => shell.readout(`frame ${i}`) });
  shell.stage.append(player.el);
  shell.onCleanup(player.destroy);
  return shell.cleanup;
} };
"""


class Demo(anywidget.AnyWidget):
    _esm = bundle(VIEW)
    _css = load_css()
    task = traitlets.Unicode("Find the valley.").tag(sync=True)
    readout = traitlets.Unicode().tag(sync=True)


def said(page) -> str:
    return page.inner_text(".dlc-readout")


def test_presets_reset_and_code(mount):
    page = mount(Demo())
    assert page.inner_text(".dlc-task") == "Find the valley."
    page.click("[data-preset=ravine]")
    assert said(page) == "preset ravine"
    assert page.evaluate("model.get('readout')") == "preset ravine"
    page.click(".dlc-reset")
    assert said(page) == "reset"
    page.click(".dlc-copy")
    assert page.input_value(".dlc-code") == "Demo(1)"


def test_an_exception_shows_in_the_widget(mount, page):
    mount(Demo())
    page.evaluate("window.fail = true")
    page.click("[data-preset=ravine]")
    assert "no such preset" in page.inner_text(".dlc-trouble")
    page.allowed_errors.append("no such preset")


def test_a_lost_kernel_is_said(mount):
    page = mount(Demo())
    assert page.is_hidden(".dlc-trouble")
    page.evaluate("model.fire('comm_live_update')")
    assert "run its cell again" in page.inner_text(".dlc-trouble")


def test_player_keys(mount):
    page = mount(Demo())
    slider = page.locator(".dlc-player input[type=range]")
    slider.focus()
    for key, frame in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 4)]:
        page.keyboard.press(key)
        assert said(page) == f"frame {frame}"
    page.keyboard.press("ArrowRight")
    assert said(page) == "frame 4"
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('.dlc-readout').textContent === 'frame 4'")
    page.wait_for_function("document.querySelector('.dlc-play').textContent === 'Play'")


def test_player_without_motion_jumps_to_the_end(mount, page):
    page.emulate_media(reduced_motion="reduce")
    mount(Demo())
    page.click(".dlc-play")
    assert said(page) == "frame 4"


def test_keys_are_kept_from_jupyterlab_except_with_ctrl(mount):
    page = mount(Demo())
    slider = page.locator(".dlc-player input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert slider.get_attribute("data-lm-suppress-shortcuts") == "true"
    page.keyboard.press("Control+k")
    assert slider.get_attribute("data-lm-suppress-shortcuts") is None


def test_theme_change_redraws_and_cleanup_ends_everything(mount):
    page = mount(Demo())
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'false')")
    page.wait_for_function("window.redraws === 1")
    page.evaluate("cleanup()")
    assert page.evaluate("listenerCount()") == 0
    assert page.locator("#widget").inner_html() == ""
    page.evaluate("document.body.setAttribute('data-jp-theme-light', 'true')")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.evaluate("window.redraws") == 1
