"""What a student gets back: one page that stands alone, with scores, reasons and own work.

It shows no hidden test, nothing that is for instructors only, and runs no script.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup
from nbformat import NotebookNode

from course_utils.grading.course import Item
from course_utils.grading.entries import NO_RESPONSE, ManualGrade
from course_utils.grading.judging import QuestionResult
from course_utils.grading.lab import is_answer
from course_utils.grading.markup import clean, is_made_here, to_html, visible
from course_utils.grading.pages import coloured, render
from course_utils.grading.pictures import Album
from course_utils.grading.results import Result

__all__ = ["MAX_PAGE", "render_feedback"]

MAX_PAGE = 5_000_000  # characters
MAX_CODE = 20_000  # characters of one answer that are shown
MAX_COLOURED = 100_000  # characters of all answers that are shown in colours

_HEADING = re.compile(r"<(/?)h[1-6]>")
_PICTURE = re.compile(r'<img src="[^"]*"(?: alt="([^"]*)")?>')
_REMEDIES = {
    "unreadable": "Open your notebook in Jupyter, run it, save it, and hand in the file that ends "
    "in .ipynb. Hand in the notebook of this lab, not another one. If the file was too large, or "
    "held too much, clear the outputs of the cells that print most before you save it.",
    "failed": "Your work is kept and has to be graded again; you need not do anything. "
    "Ask your instructor when it will be.",
}


def render_feedback(
    result: Result,
    notebook: NotebookNode,
    manual: Sequence[ManualGrade],
    *,
    item: Item,
    course: str,
    pristine: NotebookNode,
    late: str = "",
) -> str:
    """Return the page of one student for one lab, as HTML.

    Parameters
    ----------
    result
        The automatic scores. Its flags are not shown.
    notebook
        The student's notebook as `sanitise` made it.
    manual
        Grades by hand: of reports, known by their cell, and in place of an automatic
        score, known by the question's test cell.
    course
        The course's title.
    pristine
        The notebook as it was released, for what was asked.
    late
        A sentence about lateness and what it costs; empty where the work was in time.
    """
    head = {
        "student": result.student,
        "title": item.title,
        "course": course,
        "lab": item.name,
        "submitted": _moment(result.submitted_at, item.deadline),
        "late": late,
        "notes": result.notes,
    }
    if result.status != "graded":
        trouble = result.reason if result.status == "unreadable" else "The grader broke off."
        parts = {"trouble": trouble, "remedy": _REMEDIES[result.status]}
        return render("feedback.html.j2", **head, **parts, questions=[], reports=[])
    answers = {_grade_id(cell): cell for cell in notebook.cells if is_answer(cell)}
    by_hand = {grade.grade_id: grade for grade in manual}
    questions = _questions(result, answers, by_hand)
    grades = list(by_hand.values())
    # A page that is too large loses its pictures first, then the texts of reports.
    for keep in ("all", "words", "nothing"):
        reports = [
            {**_report(grade, answers, pristine, keep), "anchor": f"r{number}"}
            for number, grade in enumerate(grades, 1)
        ]
        total = _total(questions + reports)
        page = render(
            "feedback.html.j2",
            **head,
            trouble="",
            total=total,
            questions=questions,
            reports=reports,
        )
        if len(page) <= MAX_PAGE:
            break
    return page


def _questions(
    result: Result, answers: Mapping[str, NotebookNode], by_hand: dict[str, ManualGrade]
) -> list[dict[str, Any]]:
    """Describe the autograded questions; the grades that replace theirs leave ``by_hand``."""
    room, questions = MAX_COLOURED, []
    for number, question in enumerate(result.questions, 1):
        source = _source(answers.get(question.id))
        room -= len(source)
        graded = by_hand.pop(f"{question.id}_test", None)
        code = coloured(source) if source and room >= 0 else source
        questions.append({**_question(question, graded), "anchor": f"q{number}", "code": code})
    return questions


def _question(question: QuestionResult, graded: ManualGrade | None) -> dict[str, Any]:
    changed = graded is not None and graded.earned is not None
    return {
        "title": question.title,
        "points": question.points,
        "earned": graded.earned if changed else question.earned,
        "automatic": question.earned,
        "changed": changed,
        "how": "by a person" if changed else "by the checks",
        "comment": graded.comment if graded else "",
        "criteria": question.criteria,
    }


def _report(
    grade: ManualGrade, answers: Mapping[str, NotebookNode], pristine: NotebookNode, keep: str
) -> dict[str, Any]:
    answer = answers.get(grade.grade_id)
    if answer is None:
        shown = ""
    elif answer.cell_type == "code":
        shown = Markup(f'<pre class="code"><code>{coloured(_source(answer))}</code></pre>')
    else:
        shown = _written([answer], keep)
    return {
        "title": grade.grade_id.replace("_", " ").capitalize(),
        "points": grade.points,
        "earned": grade.earned,
        "how": _how(grade),
        "comment": grade.comment,
        "prompt": _written(_prompt(pristine, grade.grade_id), "words"),
        "answer": shown,
    }


def _how(grade: ManualGrade) -> str:
    if grade.earned is None:
        return "not yet"
    return "left empty" if grade.comment == NO_RESPONSE else "by a person"


def _total(parts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        "points": sum(part["points"] for part in parts),
        "earned": sum(part["earned"] or 0 for part in parts),
        "open": sum(part["points"] for part in parts if part["earned"] is None),
    }


def _prompt(pristine: NotebookNode, grade_id: str) -> list[NotebookNode]:
    """Return the given text cells right above an answer: the task and its rubric."""
    cells = pristine.cells
    place = next((n for n, c in enumerate(cells) if is_answer(c) and _grade_id(c) == grade_id), 0)
    first = place
    while (
        first > 0 and cells[first - 1].cell_type == "markdown" and not is_answer(cells[first - 1])
    ):
        first -= 1
    return cells[first:place]


def _written(cells: Sequence[NotebookNode], keep: str) -> Markup:
    """Return Markdown cells as HTML that keeps the order of the page's own headings."""
    if keep == "nothing":
        return Markup("<p>[left out: this page would be too large with it]</p>")
    html = "".join(
        clean(cell.source)
        if is_made_here(cell.source)
        else to_html(cell.source, Album(), cell.get("attachments"))
        for cell in cells
    )
    if keep == "words":
        html = _PICTURE.sub(r"<em>[picture left out: \1]</em>", html)
    html = _HEADING.sub(lambda m: "</p>" if m[1] else '<p class="heading">', html)
    return Markup(html.replace("&#10;", "\n"))


def _grade_id(cell: NotebookNode) -> str:
    return cell.metadata["nbgrader"]["grade_id"]


def _source(cell: NotebookNode | None) -> str:
    return visible(cell.source, MAX_CODE).strip("\n") if cell is not None else ""


def _moment(when: datetime | None, deadline: datetime | None) -> str:
    """Write a time in the time zone of the deadline, so that the two can be compared."""
    if when is None:
        return ""
    local = when.astimezone(deadline.tzinfo if deadline else UTC)
    return f"{local.day} {local:%B %Y, %H:%M (%Z)}"
