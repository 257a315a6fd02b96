"""What the tests of single widgets ask of the page that runs them."""

import base64

from playwright.sync_api import Page

# Counts what a widget leaves running; evaluate it before the widget is mounted. Only calls out of
# the widget's module (a blob) count: Playwright has listeners and observers of its own.
SPY = """() => {
  const own = () => new Error().stack.includes('blob:');
  const live = window.live = {timers: new Set(), frames: new Set(), observers: new Set(),
    listeners: 0};
  for (const [ask, drop, kind] of [['setInterval', 'clearInterval', 'timers'],
      ['setTimeout', 'clearTimeout', 'timers'],
      ['requestAnimationFrame', 'cancelAnimationFrame', 'frames']]) {
    const [start, stop] = [window[ask], window[drop]];
    window[ask] = (f, ...rest) => {
      const mine = own();
      const id = start((...a) => { if (ask !== 'setInterval') live[kind].delete(id); f(...a); },
        ...rest);
      if (mine) live[kind].add(id);
      return id;
    };
    window[drop] = id => { live[kind].delete(id); stop(id); };
  }
  for (const name of ['MutationObserver', 'ResizeObserver', 'IntersectionObserver']) {
    const Own = window[name];
    window[name] = class extends Own {
      constructor(...a) { super(...a); if (own()) live.observers.add(this); }
      disconnect() { live.observers.delete(this); super.disconnect(); }
    };
  }
  for (const target of [window, document]) {
    const [add, remove] = [target.addEventListener, target.removeEventListener];
    target.addEventListener = (...a) => { if (own()) live.listeners += 1; add.apply(target, a); };
    target.removeEventListener = (...a) => { if (own()) live.listeners -= 1;
      remove.apply(target, a); };
  }
}"""
LIVE = """() => ({timers: live.timers.size, frames: live.frames.size, traits: listenerCount(),
  observers: live.observers.size, listeners: live.listeners})"""
TRAIT = """name => { const v = model.get(name); if (!(v instanceof DataView)) return v;
  const bytes = new Uint8Array(v.buffer, v.byteOffset, v.byteLength);
  return {base64: btoa(Array.from(bytes, b => String.fromCharCode(b)).join(''))}; }"""
FRAMES = """count => new Promise(done => { let n = count;
  const next = () => n-- ? requestAnimationFrame(next) : done(); next(); })"""
DARK = """() => { document.body.style.setProperty('--jp-layout-color0', '#111');
  document.body.setAttribute('data-jp-theme-light', 'false'); }"""
COUNT = """([number, hex]) => {
  const canvas = document.querySelectorAll('canvas[role=img]')[number];
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  const [r, g, b] = [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));
  let count = 0;
  for (let i = 0; i < data.length; i += 4)
    if (data[i] === r && data[i + 1] === g && data[i + 2] === b && data[i + 3] === 255) count++;
  return count; }"""
LABEL = "() => document.querySelector('.dlc-stage canvas').getAttribute('aria-label')"


def painted(page: Page, count: int = 2) -> Page:
    """Wait until what was asked for has been drawn."""
    page.evaluate(FRAMES, count)
    return page


def trait(page: Page, name: str):
    """Return a trait as the view holds it; bytes as bytes."""
    value = page.evaluate(TRAIT, name)
    return (
        base64.b64decode(value["base64"])
        if isinstance(value, dict) and "base64" in value
        else value
    )


def readout(page: Page) -> str:
    """Return the read-out after the next frame, having checked that trait and page agree."""
    painted(page)
    text = page.inner_text(".dlc-readout")
    assert trait(page, "readout") == text
    return text


def pixels(page: Page, selector: str = ".dlc-stage canvas") -> str:
    """Return a canvas's pixels as a data URL, after the next frame."""
    painted(page)
    return page.evaluate("s => document.querySelector(s).toDataURL()", selector)


def all_pixels(page: Page) -> tuple[str, ...]:
    """Return the pixels of every drawing, as data URLs, after the next frame."""
    painted(page)
    script = "[...document.querySelectorAll('canvas[role=img]')].map(c => c.toDataURL())"
    return tuple(page.evaluate(script))


def inked(page: Page, number: int, colour: str) -> int:
    """Return how many pixels of a drawing, counted from 0, have exactly this colour."""
    painted(page)
    return page.evaluate(COUNT, [number, colour])


def assert_theme_repaints(page: Page) -> None:
    """Change to the dark theme and check that every drawing changes."""
    light = all_pixels(page)
    page.evaluate(DARK)
    assert all(a != b for a, b in zip(light, all_pixels(page), strict=True))


def copied(page: Page) -> str:
    """Press "Copy as code" and return the call."""
    page.click(".dlc-copy")
    return page.input_value(".dlc-code")


def assert_nothing_left(page: Page) -> None:
    """Clean the widget up and check that no timer, frame, observer or listener stays."""
    page.evaluate("cleanup()")
    left = page.evaluate(LIVE)
    assert not any(left.values()), left
    assert page.locator("#widget").inner_html() == ""


def count_cells(page: Page) -> int:
    """Return how many cells the open notebook has."""
    return page.evaluate("jupyterapp.shell.currentWidget.content.widgets.length")


def assert_lab_still_works(page: Page, cells: int) -> None:
    """Check that the keys pressed in a widget cut none of the cells, and that Ctrl+S saves."""
    assert count_cells(page) == cells
    page.evaluate("jupyterapp.shell.currentWidget.context.model.dirty = true")
    page.keyboard.press("Control+s")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")


def assert_kernel_prints(page: Page, text: str) -> None:
    """Run the second cell in JupyterLab until it prints ``text``.

    The front end holds its newest state back until the kernel has answered for the one
    before, so the first run may still see that one.
    """
    run = """async () => { const panel = jupyterapp.shell.currentWidget;
      panel.content.activeCellIndex = 1;
      await jupyterapp.commands.execute('notebook:run-cell');
      return panel.content.widgets[1].node.querySelector('.jp-Cell-outputArea').innerText; }"""
    said = []
    for _ in range(20):
        said.append(page.evaluate(run))
        if text in said[-1]:
            return
    raise AssertionError(f"the kernel printed {set(said)}, not {text!r}")
