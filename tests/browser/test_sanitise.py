"""The notebook that an instructor opens, in nbgrader's own form grader page, in a browser."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Page

from course_utils.grading.sanitise import sanitise
from tests.grading.hostile_markup import EVIL, attack_cells

pytestmark = pytest.mark.browser

ADDRESS = "http://127.0.0.1"  # nothing listens there: every request is answered by the test
SURVEY = """() => {
  const all = [...document.querySelectorAll("#notebook-container *")];
  return {
    elements: [...new Set(all.map(e => e.localName))],
    handlers: all.flatMap(e => [...e.attributes].map(a => a.name)).filter(n => /^on/i.test(n)),
    styles: all.filter(e => e.hasAttribute("style")).length,
    links: [...new Set(all.filter(e => e.hasAttribute("href")).map(e => e.protocol))],
    sources: [...new Set(all.filter(e => e.hasAttribute("src")).map(e => e.src.slice(0, 11)))],
    ids: all.map(e => e.id).filter(id => id),
  };
}"""
ELEMENTS = "a blockquote code div em h1 img li main p pre span table tbody td th thead tr ul"


@pytest.fixture(scope="module")
def exporter() -> Any:
    from nbconvert import HTMLExporter
    from nbgrader.server_extensions.formgrader import handlers

    return HTMLExporter(template_name="formgrade", extra_template_basedirs=[handlers.template_path])


def form_grader(exporter: Any, notebook: NotebookNode) -> str:
    """Render a notebook as the form grader does."""
    keys = ("assignment_id", "notebook_id", "submission_id", "student", "notebook_path")
    resources = dict.fromkeys((*keys, "last_name", "first_name"), "x")
    resources |= {"index": 0, "total": 1, "base_url": ADDRESS}
    return exporter.from_notebook_node(notebook, resources=resources)[0]


def show(page: Page, html: str, wait: int) -> tuple[list[str], list[str]]:
    """Open a page with the form grader's own scripts; return dialogs seen and what it asked for."""
    import nbgrader.server_extensions.formgrader as package

    static = Path(package.__file__).parent / "static"
    dialogs, asked = [], []

    def answer(route: Any) -> None:
        url = route.request.url
        path = static / url.partition("/formgrader/static/")[2]
        if url == f"{ADDRESS}/page":
            route.fulfill(body=html, content_type="text/html")
        elif path.is_file():
            route.fulfill(path=path)
        elif url.startswith(f"{ADDRESS}/formgrader/api/"):
            route.fulfill(body="[]", content_type="application/json")
        else:
            asked.append(url)
            route.fulfill(body="", content_type="text/javascript")

    def dismiss(dialog: Any) -> None:
        dialogs.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.route("**/*", answer)
    page.goto(f"{ADDRESS}/page")
    page.wait_for_timeout(wait)
    return dialogs, [url for url in asked if "mathjax" not in url]


def notebook_of(cells: Sequence[NotebookNode]) -> NotebookNode:
    metadata = {"language_info": {"name": "python"}}
    return new_notebook(cells=list(cells), metadata=metadata)


def test_no_attack_reaches_the_form_grader(exporter, page):
    page.allowed_errors += ["cdnjs.cloudflare.com", "MathJax"]  # nbgrader's own, not there now
    honest = [new_markdown_cell("# Report"), new_code_cell("x = 1")]
    cells = [*attack_cells(), *honest]
    html = form_grader(exporter, sanitise(cells, notebook_of([])))
    dialogs, asked = show(page, html, 1500)
    seen = page.evaluate(SURVEY)
    assert dialogs == []
    assert asked == []
    assert set(seen["elements"]) <= set(ELEMENTS.split())
    assert seen["handlers"] == []
    assert seen["styles"] == 0
    assert set(seen["links"]) <= {"https:", "http:", "mailto:"}
    assert set(seen["sources"]) <= {"data:image/"}
    own = {"notebook", "notebook-container"}
    assert all(name in own or name.startswith("cell-id=added-") for name in seen["ids"])
    assert page.locator("h1", has_text="Report").count() == 1


LIVE = [  # words that find one attack of each kind
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "```mermaid",
    f"![track]({EVIL}",
    "@import",
    "&colon;",
    "attachment:missing",
    "'text/html': '<script>",
    "application/javascript",
    "'execution_count': '<script>",
    "\\x1b[38mx",
]


@pytest.mark.parametrize("words", LIVE, ids=range(len(LIVE)))
def test_the_attacks_are_live_without_the_sanitiser(exporter, browser, words):
    """What is handed in runs, fetches, links to a script or breaks the page."""
    cell = next(cell for cell in attack_cells() if words in str(cell))
    assert _reaches(exporter, browser, cell)


def _reaches(exporter: Any, browser: Any, cell: NotebookNode) -> bool:
    page = browser.new_page()
    try:
        dialogs, asked = show(page, form_grader(exporter, notebook_of([cell])), 50)
        seen = page.evaluate(SURVEY)
    except Exception:  # the exporter or the page gave up: nothing can be graded
        return True
    finally:
        page.close()
    return bool(dialogs or asked or seen["handlers"] or "javascript:" in seen["links"])
