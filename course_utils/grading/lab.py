"""A lab as its author wrote it: notebook with solutions, questions, known answers.

The folder ``assignments/NAME/source`` holds ``NAME.py`` (jupytext percent, nbgrader's
cell metadata), ``questions.py`` (a list QUESTIONS) and ``answers/QUESTION.py``.
"""

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from course_utils.grading.questions import Answer, Question

__all__ = ["EXPERIMENT", "Lab", "LabError", "is_answer", "is_manual", "is_test", "read_lab"]

EXPERIMENT = "experiment"  # tag of cells that are for the student's eyes and not for grading
_ANSWER = re.compile(r"^# %% (right|wrong): (.+)$", re.M)


class LabError(ValueError):
    """A lab's folder is not what a lab must be."""


def is_answer(cell: NotebookNode) -> bool:
    """Say whether students write in this cell."""
    return bool(cell.metadata.get("nbgrader", {}).get("solution"))


def is_test(cell: NotebookNode) -> bool:
    """Say whether this cell holds an autograded question's points."""
    settings = cell.metadata.get("nbgrader", {})
    return bool(settings.get("grade")) and not settings.get("solution")


def is_manual(cell: NotebookNode) -> bool:
    """Say whether a person grades what the student writes here."""
    return is_answer(cell) and bool(cell.metadata["nbgrader"].get("grade"))


@dataclass(frozen=True)
class Lab:
    """One lab: its folder, its notebook with solutions, its questions by id."""

    name: str
    folder: Path
    notebook: NotebookNode
    questions: Mapping[str, Question]
    answers: tuple[Answer, ...]

    @cached_property
    def namespace(self) -> dict[str, Any]:
        """The names of the solved notebook: the trusted ground that answers stand on."""
        names: dict[str, Any] = {"__name__": "__lab__"}
        for cell in self.notebook.cells:
            is_experiment = EXPERIMENT in cell.metadata.get("tags", [])
            if cell.cell_type == "code" and not is_experiment and not is_test(cell):
                exec(compile(cell.source, f"<{self.name} {cell.id}>", "exec"), names)
        return names

    def cell_with(self, answer: Answer) -> str:
        """Return the source of an answer's cell with this answer in it.

        A wrong one stands on the solution: it replaces what it has wrong, or derives from it.
        """
        solution = next(
            cell.source
            for cell in self.notebook.cells
            if cell.metadata.get("nbgrader", {}).get("grade_id") == answer.question
        )
        return f"{solution}\n\n\n{answer.source}" if answer.told else answer.source

    @property
    def max_points(self) -> float:
        """Points of the autograded and the manually graded cells."""
        return sum(
            float(cell.metadata["nbgrader"]["points"])
            for cell in self.notebook.cells
            if cell.metadata.get("nbgrader", {}).get("grade")
        )


def read_lab(folder: Path) -> Lab:
    """Read and validate a lab.

    Raises
    ------
    LabError
        If a file is missing, an id is used twice, or points disagree.
    """
    import jupytext

    name = folder.name
    source = folder / "source"
    for needed in (source / f"{name}.py", source / "questions.py"):
        if not needed.is_file():
            raise LabError(f"{name}: expected the file {needed}, which does not exist")
    notebook = jupytext.read(source / f"{name}.py")
    _name_cells(notebook)
    questions = _load_questions(source / "questions.py")
    lab = Lab(name, folder, notebook, questions, tuple(_read_answers(source / "answers")))
    _validate(lab)
    return lab


def _name_cells(notebook: NotebookNode) -> None:
    """Give every cell a stable id: its grade_id, else its place."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(display_name="Python 3", language="python", name="python3"),
        language_info=NotebookNode(name="python"),
    )
    for number, cell in enumerate(notebook.cells):
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.id = grade_id.replace("_", "-") if grade_id else f"cell-{number}"


def _load_questions(path: Path) -> dict[str, Question]:
    # The lab's name is part of the module's, so that two labs can be open at once.
    spec = importlib.util.spec_from_file_location(f"questions_of_{path.parts[-3]}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    questions = {question.id: question for question in module.QUESTIONS}
    if len(questions) != len(module.QUESTIONS):
        raise LabError(f"{path}: two questions have the same id")
    return questions


def _read_answers(folder: Path) -> list[Answer]:
    """Read ``# %% right: name`` and ``# %% wrong: name`` cells.

    The comment that follows ``wrong`` is the sentence that the student is told.
    """
    answers = []
    for path in sorted(folder.glob("*.py")):
        parts = _ANSWER.split(path.read_text(encoding="utf-8"))[1:]
        for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            lines = body.strip().splitlines()
            comment = []
            while lines and lines[0].startswith("#"):
                comment.append(lines.pop(0).lstrip("# "))
            told = " ".join(comment) if kind == "wrong" else ""
            if kind == "wrong" and not told:
                raise LabError(f"{path}: the wrong answer {name!r} has no comment saying why")
            answers.append(Answer(path.stem, name.strip(), "\n".join(lines).strip() + "\n", told))
    return answers


def _validate(lab: Lab) -> None:
    cells = {c.metadata["nbgrader"]["grade_id"]: c for c in lab.notebook.cells if _graded(c)}
    if len(cells) != sum(map(_graded, lab.notebook.cells)):
        raise LabError(f"{lab.name}: two cells have the same grade_id")
    tests = {grade_id for grade_id, cell in cells.items() if is_test(cell)}
    if tests != {f"{question}_test" for question in lab.questions}:
        raise LabError(
            f"{lab.name}: test cells are {sorted(tests)}, questions are {sorted(lab.questions)}; "
            "each question needs the test cell QUESTION_test"
        )
    for question in lab.questions.values():
        if question.id not in cells or not is_answer(cells[question.id]):
            raise LabError(f"{lab.name}: question {question.id} has no answer cell of that id")
        points = float(cells[f"{question.id}_test"].metadata["nbgrader"]["points"])
        if abs(points - question.points) > 1e-9:
            raise LabError(
                f"{lab.name}: the cell {question.id}_test gives {points:g} points, the criteria "
                f"of question {question.id} sum to {question.points:g}"
            )
    unknown = {answer.question for answer in lab.answers} - set(lab.questions)
    if unknown:
        raise LabError(f"{lab.name}: answers to questions that do not exist: {sorted(unknown)}")


def _graded(cell: NotebookNode) -> bool:
    return "grade_id" in cell.metadata.get("nbgrader", {})
