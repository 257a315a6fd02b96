import re
from datetime import UTC, datetime, timedelta, timezone
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_utils.grading.course import Item
from course_utils.grading.entries import ManualGrade
from course_utils.grading.feedback import MAX_PAGE, render_feedback
from course_utils.grading.judging import CriterionResult, QuestionResult
from course_utils.grading.results import Result
from course_utils.grading.sanitise import sanitise
from tests.grading.hostile_markup import ATTACKS, MARKDOWN, PNG

EAST = timezone(timedelta(hours=8))
ITEM = Item("lab_small", "A small <lab>", 60, datetime(2027, 3, 14, 23, 59, tzinfo=EAST))
CODE = "def neuron(x):\n    return x if x < 3 else '<b>'\n"
REPORT = "# My findings\n\nThe loss is $\\alpha < 1$; see ![the loss](attachment:loss.png)."


def answer(kind, grade_id: str, source: str, **more) -> NotebookNode:
    own = {"grade": False, "grade_id": grade_id, "locked": False, "schema_version": 3}
    metadata = {"nbgrader": {**own, "solution": True, "task": False, **more}}
    return kind(source, id=grade_id, metadata=metadata)


def released() -> NotebookNode:
    rubric = "## Report\n\nSay what you saw.\n\n|criterion|points|\n|-|-|\n|evidence|3|"
    return new_notebook(
        cells=[
            new_markdown_cell("# Lab: INTRODUCTION", id="title"),
            answer(new_code_cell, "neuron", "raise NotImplementedError"),
            new_code_cell("checks.run('neuron', globals())", id="neuron-test"),
            new_markdown_cell(rubric, id="rubric"),
            answer(new_markdown_cell, "report_loss", "*Answer*", grade=True, points=3),
        ]
    )


def handed_in(neuron: str = CODE, report: str = REPORT) -> NotebookNode:
    cells = released().cells
    cells[1].source, cells[4].source = neuron, report
    cells[4].attachments = {"loss.png": {"image/png": PNG}}
    cells.insert(4, new_markdown_cell("OWN NOTES", id="own"))
    return sanitise(cells, released())


def result(**changes) -> Result:
    criteria = (
        CriterionResult("values", 2, 2),
        CriterionResult("large z", 1, 0, "exp overflows for <large> z."),
    )
    parts = {
        "student": "ada <b>",
        "lab": "lab_small",
        "status": "graded",
        "notes": ("The cell neuron stood twice; the last is graded.",),
        "flags": ("neuron uses SECRET",),
        "questions": (QuestionResult("neuron", "The neuron", 3, 2, criteria),),
        "submitted_at": datetime(2027, 3, 14, 12, 5, tzinfo=UTC),
    }
    return Result(**{**parts, **changes})


def page(*manual: ManualGrade, notebook: NotebookNode | None = None, late="", **changes) -> str:
    return render_feedback(
        result(**changes),
        notebook or handed_in(),
        manual or [ManualGrade("report_loss", 3, None)],
        item=ITEM,
        course="Deep learning",
        pristine=released(),
        late=late,
    )


class Page(HTMLParser):
    """The words of a page, and its tags in order with their attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words, self.tags = "", []
        self.feed(html)
        self.words = " ".join(self.words.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.words += " " * (tag in ("td", "th", "p", "h3", "caption"))

    def handle_data(self, data):
        self.words += data


def test_scores_criteria_and_messages():
    words = Page(page()).words
    assert "2 of 6 points so far" in words
    assert "3 points are still to be graded by hand." in words
    assert "values 2 of 2 Right." in words
    assert "large z 0 of 1 exp overflows for <large> z." in words
    assert "The neuron: 2 of 3 points" in words


def test_who_what_and_when():
    words = Page(page(late="Handed in late: 10 % off.")).words
    assert "A small <lab>" in words
    assert "Feedback for ada <b>, handed in 14 March 2027, 20:05 (UTC+08:00)." in words
    assert "Handed in late: 10 % off." in words
    assert "The cell neuron stood twice" in words


def test_the_own_code_is_shown():
    assert "return x if x < 3 else '<b>'" in Page(page()).words


def test_a_report_with_its_task_score_and_comment():
    html = page(ManualGrade("report_loss", 3, 2.5, "Good.\n<i>Seeds?</i> $x$ [a](b)"))
    words = Page(html).words
    assert "4.5 of 6 points" in words
    assert "so far" not in words
    assert "Report loss: 2.5 of 3 points" in words
    assert "<i>Seeds?</i> $x$ [a](b)" in words
    assert "Say what you saw." in words
    assert "evidence 3" in words
    assert "INTRODUCTION" not in words
    assert "OWN NOTES" not in words
    assert "The loss is $\\alpha < 1$; see" in words
    assert '<img src="data:image/png;base64,' in html
    assert 'alt="the loss"' in html


def test_the_task_is_what_stands_right_above_the_answer():
    pristine = released()
    more = answer(new_markdown_cell, "report_more", "*More*", grade=True, points=1)
    pristine.cells += [new_markdown_cell("SECOND TASK", id="task"), more]
    grades = [ManualGrade("report_loss", 3, 1), ManualGrade("report_more", 1, 1)]
    html = render_feedback(
        result(), sanitise([], pristine), grades, item=ITEM, course="x", pristine=pristine
    )
    words = Page(html).words
    assert words.count("SECOND TASK") == 1
    assert words.count("Say what you saw.") == 1


def test_a_score_that_a_person_changed():
    grades = [ManualGrade("report_loss", 3, 0), ManualGrade("neuron_test", 3, 3, "Fine.")]
    words = Page(page(*grades)).words
    assert "The neuron: 3 of 3 points" in words
    assert "the checks alone gave 2 of 3" in words
    assert "Fine." in words
    assert "3 of 6 points" in words


def test_a_report_in_a_code_cell_is_code():
    pristine = released()
    pristine.cells[4] = answer(new_code_cell, "report_loss", "pass", grade=True, points=3)
    cells = pristine.copy().cells
    html = render_feedback(
        result(),
        sanitise(cells, pristine),
        [ManualGrade("report_loss", 3, 1)],
        item=ITEM,
        course="x",
        pristine=pristine,
    )
    assert '<pre class="code"><code><span class="k">pass</span>' in html


def test_what_is_not_for_students_is_not_there():
    html = page()
    assert "SECRET" not in html
    assert "checks.run" not in html
    failed = page(status="failed", reason="broke off: SECRET in /home/grader", questions=())
    assert "SECRET" not in failed
    assert "you need not do anything" in Page(failed).words


def test_an_unreadable_submission_is_told_why_and_what_to_do():
    words = Page(page(status="unreadable", reason="The file is empty.", questions=())).words
    assert "The file is empty." in words
    assert "Open your notebook in Jupyter" in words
    assert "points" not in words


def test_an_answer_that_is_missing_is_said_to_be():
    notebook = sanitise([], released())
    assert Page(page(notebook=notebook)).words.count("There is none.") == 2


def test_a_page_stands_alone_and_runs_nothing():
    seen = Page(page(ManualGrade("report_loss", 3, 2)))
    names = {tag for tag, _ in seen.tags}
    assert not names & {"script", "link", "iframe", "form", "object", "svg", "base"}
    policy = next(a["content"] for _, a in seen.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    for tag, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith(("#", "https:", "http:", "mailto:"))
        assert tag == "a" or "href" not in attributes
    assert "url(" not in page()


@pytest.mark.parametrize("sanitised", [True, False])
def test_attacks_in_a_report_reach_nobody(sanitised):
    everything = "\n\n".join(source for source in MARKDOWN if len(source) < 999)
    cells = released().cells
    cells[4].source = everything
    notebook = handed_in(report=everything) if sanitised else new_notebook(cells=cells)
    seen = Page(page(notebook=notebook))
    allowed = {"href", "src", "alt", "class", "rel", "id", "scope", "lang", "start"}
    body = seen.tags[[tag for tag, _ in seen.tags].index("body") :]
    assert {name for _, attributes in body for name in attributes} <= allowed
    assert not {tag for tag, _ in body} & {"script", "svg", "iframe", "style", "input", "link"}


def test_attacks_in_names_and_notes_are_text():
    attack = "<img src=x onerror=alert(1)>"
    html = page(student=attack, notes=(attack,), late=attack)
    assert attack not in html
    assert Page(html).words.count(attack) == 4  # the title too
    assert len(ATTACKS) > 60


def test_headings_come_in_order():
    report = "###### deep\n\n# high\n\n## x"
    grade = ManualGrade("report_loss", 3, 2, "x")
    tags = [tag for tag, _ in Page(page(grade, notebook=handed_in(report=report))).tags]
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_have_headers_and_pictures_words():
    seen = Page(page())
    assert ("html", {"lang": "en"}) in seen.tags
    tables = [tag for tag, _ in seen.tags if tag in ("table", "caption")]
    assert tables.count("caption") == 2
    assert sum(attributes.get("scope") == "row" for _, attributes in seen.tags) == 4
    assert all(attributes.get("alt") for tag, attributes in seen.tags if tag == "img")


def test_a_page_is_bounded():
    huge = handed_in(neuron="x = 1\n" * 10**5)
    html = page(notebook=huge)
    assert len(html) < 300_000
    assert "more characters]" in Page(html).words
    cells = handed_in().cells
    picture = f'<img src="data:image/png;base64,{"A" * 150_000}" alt="x">'
    for part, left_out in (
        (picture, "[picture left out: x]"),
        ("y" * 150_000, "this page would be too large"),
    ):
        body = f"<p>{part}</p>" * 40
        cells[5].source = f'<div class="mathjax_ignore tex2jax_ignore">{body}</div>'
        html = page(notebook=new_notebook(cells=cells))
        assert len(html) <= MAX_PAGE
        assert left_out in html
