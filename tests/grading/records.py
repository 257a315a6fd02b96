"""Submissions of the small lab as a gradebook gets them, and what it then holds.

``python -m tests.grading.records LABS FOLDER URL START STUDENT...`` records some, once the
file START exists; tests start several at a time.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from course_utils.grading.course import read_course
from course_utils.grading.gradebook import Gradebook
from course_utils.grading.judging import CriterionResult, QuestionResult
from course_utils.grading.lab import read_lab
from course_utils.grading.release import release_notebook
from course_utils.grading.results import Result
from course_utils.grading.sanitise import sanitise
from tests.grading.small_lab import NAME

__all__ = ["answered", "dump", "graded", "main"]

WHEN = datetime(2027, 3, 14, 12, 0, tzinfo=UTC)


def graded(student: str, neuron: float = 3, sigmoid: float = 2, **changes: Any) -> Result:
    """Return a result; points that a question lacks are explained."""
    lost = "The bias is left out."
    questions = tuple(
        QuestionResult(
            name, name, points, earned, (CriterionResult("all", points, earned, message),)
        )
        for name, points, earned, message in (
            ("neuron", 3.0, float(neuron), "" if neuron == 3 else lost),
            ("sigmoid", 2.0, float(sigmoid), "" if sigmoid == 2 else lost),
        )
    )
    values = {"status": "graded", "questions": questions, "submitted_at": WHEN, **changes}
    return Result(student, NAME, **values)


def answered(folder: Path, **answers: str) -> NotebookNode:
    """Return the sanitised notebook of a student with these answers, by grade_id."""
    pristine = release_notebook(read_lab(folder))
    cells = [NotebookNode(cell) for cell in pristine.cells]
    for cell in cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(grade_id, cell.source)
    return sanitise(cells, pristine)


def dump(gradebook: Gradebook) -> dict[str, list[tuple]]:
    """Return all that is known of students, free of ids and of order."""
    book = gradebook._book
    try:
        return {
            submission.student_id: [
                ("handed in", submission.timestamp),
                *sorted(
                    (g.cell.name, g.auto_score, g.manual_score, g.needs_manual_grade)
                    for g in submission.notebooks[0].grades
                ),
                *sorted(
                    (f"{c.cell.name} comment", str(c.auto_comment), str(c.manual_comment))
                    for c in submission.notebooks[0].comments
                ),
            ]
            for submission in book.assignment_submissions(NAME)
        }
    finally:
        book.db.remove()


def main(labs: str, folder: str, url: str, start: str, *students: str) -> None:
    """Record some students' work, once a file exists; says by another that it is ready."""
    lab = read_lab(Path(labs) / NAME)
    item = read_course(Path(labs) / "course.toml").lab(NAME)
    notebooks = [
        answered(lab.folder, report_sigmoid=f"It overflows. {student}") for student in students
    ]
    import nbgrader.api  # noqa: F401  it takes seconds, and the race should be close

    Path(start).with_suffix(f".{students[0]}").touch()
    while not Path(start).exists():
        time.sleep(0.01)
    with Gradebook(Path(folder), url) as gradebook:
        gradebook.register(lab, item)
        for student, notebook in zip(students, notebooks, strict=True):
            gradebook.record(graded(student, len(student) % 4), notebook, student.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
