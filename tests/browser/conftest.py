"""A browser, a blank page that can run a widget without Jupyter, and a JupyterLab.

Where no Chromium is found the tests are skipped on a person's machine and fail
where ``CI`` is set, so that a green run has seen the widgets.
"""

import base64
import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Error, Page, sync_playwright

from tests.browser.harness import Lab, launch, running_lab

# A stand-in for the widget model of Jupyter: get, set, on, off, save_changes and no more.
MOUNT = """async ({esm, css, state}) => {
  const decode = v => v && v.base64 !== undefined
    ? new DataView(Uint8Array.from(atob(v.base64), c => c.charCodeAt(0)).buffer) : v;
  const values = Object.fromEntries(Object.entries(state).map(([k, v]) => [k, decode(v)]));
  const listeners = {};
  window.saved = 0;
  window.model = {
    get: k => values[k],
    set(k, v) { if (values[k] === v) return; values[k] = v;
      for (const f of listeners['change:' + k] ?? []) f(); },
    save_changes() { window.saved += 1; },
    on(e, f) { (listeners[e] ??= []).push(f); },
    fire(e) { for (const f of listeners[e] ?? []) f(); },
    off(e, f) { listeners[e] = (listeners[e] ?? []).filter(g => g !== f); },
  };
  window.listenerCount = () => Object.values(listeners).reduce((n, l) => n + l.length, 0);
  const style = document.head.appendChild(document.createElement('style'));
  style.textContent = css;
  const url = URL.createObjectURL(new Blob([esm], {type: 'text/javascript'}));
  window.esm = await import(url);
  const el = document.body.appendChild(document.createElement('div'));
  el.id = 'widget';
  window.cleanup = await window.esm.default.render({model: window.model, el});
  await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
}"""


@pytest.fixture(scope="session")
def browser() -> Iterator[BrowserContext]:
    with sync_playwright() as playwright:
        try:
            chromium = launch(playwright)
        except Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"no Chromium; install it, or run `playwright install chromium` ({error})")
        yield chromium.new_context(viewport={"width": 1000, "height": 900})
        chromium.close()


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """A blank page that fails its test on a script error or an external request."""
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on(
        "console",
        lambda message: errors.append(message.text) if message.type == "error" else None,
    )
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("blob:", "data:", "about:", "http://127.0.0.1"))
            else errors.append(f"external request: {request.url}")
        ),
    )
    page.allowed_errors = []  # a test that provokes an error adds a part of its text
    yield page
    page.close()
    assert [e for e in errors if not any(part in e for part in page.allowed_errors)] == []


@pytest.fixture
def mount(page) -> Callable[..., Page]:
    """Run a widget's JavaScript in the blank page, against a stand-in model.

    In the page: ``model``, ``saved`` (calls of save_changes), ``esm`` (the module's
    exports), ``cleanup`` (what render returned), ``listenerCount()``.
    """

    def run(widget) -> Page:
        skip = {"layout", "tabbable", "tooltip", "comm"}
        state = {
            name: {"base64": base64.b64encode(value).decode()}
            if isinstance(value, bytes)
            else value
            for name, value in widget.get_state().items()
            if not name.startswith("_") and name not in skip
        }
        page.evaluate(MOUNT, {"esm": str(widget._esm), "css": str(widget._css), "state": state})
        return page

    return run


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def open_notebook(lab, page) -> Iterator[Callable[[str, list[str]], Page]]:
    """Write a notebook of code cells, open it in JupyterLab and run it to the end."""
    yield lambda name, cells: lab.open(page, lab.write(name, cells))
    lab.stop_kernels()
