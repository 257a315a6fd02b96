"""A browser, a blank page that can run a widget without Jupyter, and a JupyterLab.

Where no Chromium is found the tests are skipped on a person's machine and fail
where ``CI`` is set, so that a green run has seen the widgets.
"""

import os
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import BrowserContext, Error, Page, sync_playwright

from tests.browser.harness import Lab, launch, mount_widget, running_lab


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
    """See `tests.browser.harness.mount_widget`; the page is this test's own."""
    return lambda widget: mount_widget(page, widget)


@pytest.fixture(scope="session")
def lab(tmp_path_factory) -> Iterator[Lab]:
    with running_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def open_notebook(lab, page) -> Iterator[Callable[[str, list[str]], Page]]:
    """Write a notebook of code cells, open it in JupyterLab and run it to the end."""
    yield lambda name, cells: lab.open(page, lab.write(name, cells))
    lab.stop_kernels()
