"""What goes back: a page for each student, the marks of the course, pairs that are alike."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils.grading.course import Course, Late
from course_utils.grading.export import LabScore, StudentMarks, days_late, export, marks
from course_utils.grading.feedback import render_feedback
from course_utils.grading.grade import read_pristine
from course_utils.grading.gradebook import Gradebook
from course_utils.grading.lab import is_answer, is_manual, read_lab
from course_utils.grading.results import Result, write_atomically
from course_utils.grading.roster import (
    Override,
    Student,
    find_student,
    read_marks,
    read_students,
)
from course_utils.grading.similar import Pair, similar_pairs
from course_utils.grading.similar_page import render_similar
from course_utils.grading.workspace import Workspace

__all__ = ["Page", "say_strangers", "write_feedback", "write_marks", "write_similar"]


@dataclass(frozen=True)
class Page:
    """One student's feedback page, and what the summary says of it."""

    student: str
    points: str
    state: str
    path: Path


def write_feedback(
    course: Course, labs: Path, lab: str, workspace: Workspace, db_url: str | None = None
) -> Iterator[Page]:
    """Write one HTML page for each student who was graded.

    Raises
    ------
    FileNotFoundError
        If nothing of this lab was graded in this folder.
    """
    results = _results(workspace, lab)
    item, pristine = course.lab(lab), read_pristine(labs / lab)
    known = {result.student for name in course.items for result in workspace.results(name)}
    students = read_students(workspace.folder / "students.csv")
    by_hand = _marks_by_hand(course, workspace, students, known)
    overruled = {mark.student: mark for mark in by_hand if mark.item == lab}
    with Gradebook(workspace.folder, db_url) as gradebook:
        scores = gradebook.scores(lab)
        for result in results:
            score = scores.get(result.student)
            late = _late(course.late, score.late_seconds) if score else ""
            if mark := overruled.get(result.student):
                late = _overruled(mark)
            shown = _shown(workspace, lab, result)
            page = render_feedback(
                result,
                pristine if shown is None else shown,
                gradebook.manual_grades(result.student, lab),
                item=item,
                course=course.title,
                pristine=pristine,
                late=late,
            )
            path = workspace.feedback(lab, result.student)
            write_atomically(path, page)
            points = f"{score.earned:.3g} of {score.points:g}" if score else "-"
            waits = bool(score and score.needs_manual)
            state = "to be graded by hand" if waits else result.status
            yield Page(result.student, points, state, path)


def write_marks(
    course: Course, workspace: Workspace, db_url: str | None, kind: str, target: Path
) -> tuple[list[StudentMarks], tuple[str, ...]]:
    """Write the marks of all students in one of the formats of `course_utils.grading.export`.

    Returns
    -------
    list of StudentMarks
        What was written.
    tuple of str
        What the platform will not take as it is, or what is provisional.
    """
    students = read_students(workspace.folder / "students.csv")
    results = {name: found for name in course.items if (found := workspace.results(name))}
    known = {result.student for found in results.values() for result in found}
    by_hand = _marks_by_hand(course, workspace, students, known)
    if not (results or by_hand):
        raise FileNotFoundError(
            f"no marks in {workspace.folder.absolute()}: run `course grade LAB ...`, or name the "
            "grading folder with --folder"
        )
    scores = []
    with Gradebook(workspace.folder, db_url) as gradebook:
        for lab in results:
            scores += [
                LabScore(
                    score.student,
                    lab,
                    score.earned,
                    score.points,
                    score.late_seconds,
                    score.needs_manual,
                )
                for score in gradebook.scores(lab).values()
            ]
    broken = {
        (result.student, lab)
        for lab, found in results.items()
        for result in found
        if result.status == "failed"
    }
    everyone = marks(course, students, scores, by_hand, now=datetime.now(UTC), broken=broken)
    written = export(kind, course, everyone)
    write_atomically(target, written.text)
    strangers = tuple(say_strangers(students, known))
    return everyone, (*strangers, *written.problems)


def write_similar(labs: Path, lab: str, workspace: Workspace) -> tuple[list[Pair], Path]:
    """Find pairs of answers that are alike and write them side by side for an instructor."""
    results = _results(workspace, lab)
    pristine, source = read_pristine(labs / lab), read_lab(labs / lab)
    given = {c.metadata.nbgrader.grade_id: c.source for c in pristine.cells if is_answer(c)}
    prose = {c.metadata.nbgrader.grade_id for c in pristine.cells if is_manual(c)}
    notebooks = {result.student: _shown(workspace, lab, result) for result in results}
    answers = {name: _answers(shown) for name, shown in notebooks.items() if shown is not None}
    known: dict[str, list[str]] = {}
    for cell in source.notebook.cells:
        if is_answer(cell):
            known.setdefault(cell.metadata.nbgrader.grade_id, []).append(cell.source)
    for answer in source.answers:
        known.setdefault(answer.question, []).append(answer.source)
    pairs = similar_pairs(answers, given, prose=prose, known=known)
    page = workspace.folder / "similar" / f"{lab}.html"
    title = f"{lab}: answers that are alike"
    write_atomically(page, render_similar(pairs, answers, title=title, course="", prose=prose))
    return pairs, page


def say_strangers(students: Sequence[Student], graded: Iterable[str]) -> Iterator[str]:
    """Name who was graded and is not on the roster, if there is one, and whom each may be."""
    known = {student.student for student in students}
    for name in sorted(set(graded) - known if known else ()):
        like = find_student(students, name.replace("_", " "))
        hint = f"; is it {like.student}?" if like else ""
        yield f"{name} was graded and is not in students.csv{hint}"


def _marks_by_hand(
    course: Course, workspace: Workspace, students: Sequence[Student], graded: Collection[str]
) -> tuple[Override, ...]:
    """Read marks.csv, whose students are those of the roster and those who were graded."""
    known = {student.student for student in students} | set(graded)
    return read_marks(workspace.folder / "marks.csv", course, known)


def _overruled(mark: Override) -> str:
    """Say which mark counts in place of the points."""
    what = "You are excused" if mark.percent is None else f"The mark is {mark.percent:g} %"
    return f"{what}, given by hand{f': {mark.reason}' if mark.reason else ''}."


def _late(late: Late, seconds: float) -> str:
    """Say what being late costs; nothing where the work was in time."""
    days = days_late(seconds, late)
    if not days:
        return ""
    when = f"Handed in on day {days} after the deadline"
    if days > late.days:
        return f"{when}: after {late.days} days nothing counts."
    return f"{when}: {min(100, days * late.percent_per_day):g} % of the mark are taken off."


def _results(workspace: Workspace, lab: str) -> list[Result]:
    results = workspace.results(lab)
    if not results:
        raise FileNotFoundError(
            f"nothing of {lab} is graded in {workspace.folder.absolute()}: "
            f"run `course grade {lab}`, or name the grading folder with --folder"
        )
    return results


def _shown(workspace: Workspace, lab: str, result: Result) -> NotebookNode | None:
    """Return a student's notebook as it was recorded; None where the grader broke off before."""
    path = workspace.autograded(lab, result.student)
    return nbformat.read(path, as_version=4) if path.exists() else None


def _answers(notebook: NotebookNode) -> dict[str, str]:
    return {c.metadata.nbgrader.grade_id: c.source for c in notebook.cells if is_answer(c)}
