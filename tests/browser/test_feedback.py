"""The pages that students and instructors open from a folder: feedback, and answers alike."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page

from course_utils.grading.similar import Pair
from course_utils.grading.similar_page import render_similar
from tests.grading import test_feedback as made
from tests.grading.hostile_markup import MARKDOWN

pytestmark = pytest.mark.browser

EVERYTHING = "\n\n".join(source for source in MARKDOWN if len(source) < 999)
CODE = '''@decorator
class Net(Base):
    """Doc."""

    def forward(self, x):  # why
        if x is None and not self:
            raise ValueError(f"{x} < 3")
        return len(x) + 0x1F * 2.5e-3
'''
# For each element that holds text: the contrast of that text with what is behind it.
CONTRASTS = """() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = channels(colour).map(v => v / 255)
      .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (channels(colour)[3] !== 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    const [a, b] = [getComputedStyle(element).color, behind(element)].map(light);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = element.localName + "." + element.className;
    found[name] = Math.min(found[name] ?? 99, ratio);
  }
  return found;
}"""


@pytest.fixture
def asked(page) -> Iterator[list[str]]:
    """What a page asked for beyond itself, and the dialogs that it opened."""
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    return seen


def feedback() -> str:
    grades = [
        made.ManualGrade("report_loss", 3, 2, "Good."),
        made.ManualGrade("neuron_test", 3, 1, "The idea is right."),
    ]
    notebook = made.handed_in(CODE, f"{made.REPORT}\n\n{EVERYTHING}")
    return made.page(*grades, notebook=notebook, late="Handed in late.")


def alike() -> str:
    answers = {"ada": {"q": CODE}, "bob": {"q": CODE + EVERYTHING}}
    pair = Pair("q", ("ada", "bob"), 0.9, (tuple(range(1, 9)), tuple(range(1, 9))))
    return render_similar([pair], answers, title="A lab", course="A course")


@pytest.fixture(params=[feedback, alike], ids=["feedback", "alike"])
def opened(request, page, asked, tmp_path) -> Page:
    """A page, opened as a file, as its reader does."""
    path: Path = tmp_path / "page.html"
    path.write_text(request.param(), encoding="utf-8")
    page.allowed_errors += [path.as_uri()]  # the page itself
    page.goto(path.as_uri())
    page.wait_for_timeout(200)
    return page


def test_nothing_runs_and_nothing_is_fetched(opened, asked):
    assert [url for url in asked if not url.startswith(("file:", "data:image/"))] == []
    assert sum(url.startswith("file:") for url in asked) == 1
    assert opened.locator("script, iframe, object, embed, form, svg, link").count() == 0
    assert opened.evaluate("document.images.length") == opened.locator("img[alt]").count()
    handlers = "[...document.querySelectorAll('*')].filter(e => /\\bon\\w+=/.test(e.outerHTML"
    assert opened.evaluate(f"{handlers}.split('>')[0])).length") == 0
    protocols = "[...new Set([...document.links].map(link => link.protocol))]"
    assert set(opened.evaluate(protocols)) <= {"file:", "https:", "http:", "mailto:"}


def test_pictures_are_seen(page, asked, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(feedback(), encoding="utf-8")
    page.allowed_errors += [path.as_uri()]
    page.goto(path.as_uri())
    assert page.evaluate("[...document.images].map(image => image.naturalWidth)") == [1]


def test_the_policy_holds_where_the_sanitiser_would_not(page, asked, tmp_path):
    path = tmp_path / "page.html"
    attack = "<script>alert(1)</script><img src='http://evil.test/a.png' onerror='alert(1)'>"
    path.write_text(feedback().replace("</main>", f"{attack}</main>"), encoding="utf-8")
    page.allowed_errors += [path.as_uri(), "Content Security Policy", "evil.test"]
    failed = []
    page.on("requestfailed", lambda request: failed.append((request.url, request.failure)))
    page.goto(path.as_uri())
    page.wait_for_timeout(200)
    assert failed == [("http://evil.test/a.png", "csp")]  # blocked before it left
    assert "1" not in asked  # what the dialog would have said


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(opened, scheme):
    opened.emulate_media(color_scheme=scheme)
    contrasts = opened.evaluate(CONTRASTS)
    assert len(contrasts) >= 10
    assert {name: ratio for name, ratio in contrasts.items() if ratio < 4.5} == {}
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("width", [480, 1100])
def test_a_page_fits_its_window(opened, width):
    opened.set_viewport_size({"width": width, "height": 900})
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_paper_is_white_and_holds_all(opened):
    opened.emulate_media(media="print", color_scheme="dark")
    opened.set_viewport_size({"width": 700, "height": 900})
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    assert opened.evaluate("document.documentElement.scrollWidth") <= 700
