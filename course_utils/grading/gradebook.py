"""Scores in nbgrader's gradebook, where its form grader finds them.

The machine writes automatic scores and comments; what a person gave by hand is kept. One
submission is one transaction, and its files are written after it.
"""

import html
import re
from collections.abc import Collection, Mapping
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils.grading import entries
from course_utils.grading.course import Item
from course_utils.grading.database import GradebookError, open_database, transact
from course_utils.grading.entries import ManualGrade, Score
from course_utils.grading.folder import gradebook_url, prepare_folder
from course_utils.grading.lab import Lab
from course_utils.grading.release import notebook_with_tests, release_notebook
from course_utils.grading.results import Result, write_atomically
from course_utils.grading.sanitise import ADDED, sanitise

__all__ = ["Gradebook", "GradebookError", "ManualGrade", "Score", "is_blank", "prepare_folder"]

MAX_NAME = 128  # characters of a name that nbgrader's tables hold


class Gradebook:
    """The gradebook of a grading folder; use it in a ``with`` statement.

    Parameters
    ----------
    folder
        The grading folder, an nbgrader course directory.
    db_url
        Address of the database; None takes what the folder's ``nbgrader_config.py`` says,
        or the file ``gradebook.db`` in it.
    """

    def __init__(self, folder: Path, db_url: str | None = None) -> None:
        self.folder = folder
        self.url = gradebook_url(folder, db_url)
        self._given: dict[str, dict[str, set[str]]] = {}  # texts of unanswered cells, by lab

    def __enter__(self) -> "Gradebook":
        self._book = open_database(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self._book.close()

    def register(self, lab: Lab, item: Item) -> None:
        """Enter a lab, or what has changed in it, and file its source and release notebooks.

        Raises
        ------
        GradebookError
            If a cell would be dropped that a person has graded, or writing fails.
        """
        notebook = notebook_with_tests(lab)
        transact(self._book, lambda session: entries.enter_lab(session, lab.name, item, notebook))
        self._write(Path("source", lab.name, f"{lab.name}.ipynb"), nbformat.writes(lab.notebook))
        released = nbformat.writes(release_notebook(lab))
        self._write(Path("release", lab.name, f"{lab.name}.ipynb"), released)
        self._given.pop(lab.name, None)

    def record(self, result: Result, notebook: NotebookNode, raw: bytes) -> None:
        """Enter one submission's scores and comments, and file its notebooks.

        A grade by hand is kept. Where the answer or the automatic score has changed since,
        it is marked for another look.

        Parameters
        ----------
        notebook
            As the form grader shows it: the cells of the release with the student's answers.
        raw
            The file as it was handed in.

        Raises
        ------
        GradebookError
            If the lab is not registered as it was graded, or writing fails.
        """
        if result.status == "failed" or result.submitted_at is None:
            raise ValueError("expected the result of work that was handed in and graded or refused")
        _check_name(result.student)
        name = f"{result.lab}.ipynb"
        submitted = Path("submitted", result.student, result.lab)
        shown = Path("autograded", result.student, result.lab, name)
        texts, before = _texts(notebook), self._filed(shown)
        changed = {cell for cell, text in texts.items() if text != before.get(cell)}
        given = self._given_texts(result.lab)
        unanswered = {cell for cell, text in texts.items() if is_blank(text, given.get(cell, ()))}
        if any(map(_is_own_prose, notebook.cells)):  # a report may stand there
            unanswered = set()
        transact(
            self._book,
            lambda session: entries.enter_result(session, result, unanswered, changed),
        )
        # The files come last: what was not entered must still count as changed.
        self._write(submitted / name, raw)
        # nbgrader takes work for ungraded unless this agrees with the gradebook.
        when = entries.naive_utc(result.submitted_at).isoformat(" ")
        self._write(submitted / "timestamp.txt", f"{when} UTC\n")
        self._write(shown, nbformat.writes(notebook) + "\n")

    def submissions(self, lab: str) -> list[str]:
        """Return the students who handed in a lab, sorted."""
        return sorted(self.scores(lab))

    def scores(self, lab: str) -> dict[str, Score]:
        """Return what each student who handed in has for a lab.

        Raises
        ------
        GradebookError
            If the lab is not in the gradebook, or it cannot be read.
        """
        return transact(self._book, lambda session: entries.scores(session, lab))

    def manual_grades(self, student: str, lab: str) -> list[ManualGrade]:
        """Return a student's grades by hand: every report, then automatic scores replaced.

        Raises
        ------
        GradebookError
            If the lab is not in the gradebook, or it cannot be read.
        """
        grades = transact(self._book, lambda session: entries.manual_grades(session, student, lab))
        order = [*self._filed(Path("release", lab, f"{lab}.ipynb")), *(g.grade_id for g in grades)]
        return sorted(grades, key=lambda grade: order.index(grade.grade_id))

    def _given_texts(self, lab: str) -> dict[str, set[str]]:
        """Return what stands in each answer cell of a release, as it is and as it is shown."""
        if lab not in self._given:
            path = self.folder / "release" / lab / f"{lab}.ipynb"
            try:
                pristine = nbformat.read(path, as_version=4)
            except (OSError, ValueError) as error:
                raise GradebookError(
                    f"cannot read {path}: register {lab} in this grading folder first"
                ) from error
            as_shown = _texts(sanitise(pristine.cells, pristine))
            given = _texts(pristine)
            self._given[lab] = {cell: {given[cell], as_shown[cell]} for cell in given}
        return self._given[lab]

    def _filed(self, path: Path) -> Mapping[str, str]:
        """Return the texts of a notebook that was filed before; none where it is missing."""
        try:
            return _texts(nbformat.read(self.folder / path, as_version=4))
        except (OSError, ValueError):
            return {}

    def _write(self, path: Path, content: str | bytes) -> None:
        try:
            write_atomically(self.folder / path, content)
        except OSError as error:
            raise GradebookError(
                f"cannot write {self.folder / path} ({error.strerror}): make room or mend its "
                "permissions, then run this again; the scores are in the gradebook already"
            ) from error


def _texts(notebook: NotebookNode) -> dict[str, str]:
    """Return what stands in each cell that nbgrader knows, by its grade_id."""
    return {
        cell.metadata["nbgrader"]["grade_id"]: cell.source
        for cell in notebook.cells
        if "grade_id" in cell.metadata.get("nbgrader", {})
    }


def is_blank(text: str, given: Collection[str]) -> bool:
    """Say whether an answer is as it was given, or holds neither words nor pictures."""
    said = html.unescape(re.sub(r"<(?!img)[^>]*>", "", text))
    return not said.strip() or text.strip() in given


def _is_own_prose(cell: NotebookNode) -> bool:
    """Say whether a student added this cell and wrote text into it."""
    is_text = cell.cell_type == "markdown" and not is_blank(cell.source, ())
    return is_text and cell.get("id", "").startswith(ADDED)


def _check_name(student: str) -> None:
    """Refuse a name that is no single folder, or that the tables cannot hold."""
    is_folder = re.fullmatch(r"[^/\\\x00-\x1f\x7f\ud800-\udfff]+", student) and student.strip(". ")
    if not is_folder or len(student) > MAX_NAME:
        raise GradebookError(
            f"{student[:80]!r} cannot be a student's name in the gradebook: expected at most "
            f"{MAX_NAME} characters that can name one folder"
        )
