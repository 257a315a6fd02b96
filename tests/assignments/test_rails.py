"""The labs on their rails: what is released is what the source gives, and grading agrees."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache

import nbformat
import pytest

from course_utils.grading.cases import PUBLIC_SEED, prepare
from course_utils.grading.course import ASSIGNMENTS, read_course
from course_utils.grading.grade import Job, grade_one, read_pristine
from course_utils.grading.intake import Submission
from course_utils.grading.judging import UNANSWERED, agree
from course_utils.grading.lab import is_answer, read_lab
from course_utils.grading.leaks import scan
from course_utils.grading.public import read_checks
from course_utils.grading.release import release_notebook
from course_utils.grading.values import decode, encode

LABS = sorted(path.parent.parent for path in ASSIGNMENTS.glob("*/source/questions.py"))
lab_of = lru_cache(read_lab)
on_labs = pytest.mark.parametrize("folder", LABS, ids=lambda folder: folder.name)


def plain(inputs):
    return decode(encode(dict(inputs)))


def graded(folder, sandbox, answers):
    """Grade the released notebook, with answers by question and solutions elsewhere."""
    solved = {cell.id: cell.source for cell in lab_of(folder).notebook.cells}
    notebook = read_pristine(folder)
    for cell in filter(is_answer, notebook.cells):
        cell.source = answers.get(cell.metadata.nbgrader.grade_id, solved[cell.id])
    content = nbformat.writes(notebook).encode()
    item = read_course(ASSIGNMENTS / "course.toml").lab(folder.name)
    # Tests run beside other work; what is tested is not the time.
    item = replace(item, limits=replace(item.limits, call_seconds=300, notebook_seconds=600))
    submission = Submission("ada", "lab.ipynb", content, datetime.now(UTC))
    return grade_one(Job(submission, folder, item, "a seed", sandbox)).result


@on_labs
def test_the_released_notebook_is_what_the_source_gives(folder):
    """`course release LAB` mends a difference."""
    released, made = read_pristine(folder), release_notebook(lab_of(folder))
    assert [dict(cell) for cell in released.cells] == [dict(cell) for cell in made.cells]


@on_labs
def test_the_released_checks_are_what_the_source_gives(folder):
    """Equal but for the last digits, which differ between processors."""
    released = read_checks(folder / "release" / f"{folder.name}.checks.json")
    made = prepare(lab_of(folder), PUBLIC_SEED, public=True)
    assert released.keys() == made.keys()
    for name, prepared in made.items():
        compared = [c for c in prepared.criteria if c.criterion.judge is None]
        assert released[name].question.program == prepared.question.program
        assert released[name].question.forbids == prepared.question.forbids
        for one, other in zip(compared, released[name].criteria, strict=True):
            assert one.criterion.name == other.criterion.name
            assert [m.told for m in one.mistakes] == [m.told for m in other.mistakes]
            assert agree(list(one.expected), list(other.expected), 1e-6)
            for a, b in zip(one.cases, other.cases, strict=True):
                assert agree(plain(a.inputs), plain(b.inputs), 1e-9)


@on_labs
def test_the_release_holds_no_solution(folder):
    texts = {p.name: p.read_text(encoding="utf-8") for p in (folder / "release").iterdir()}
    assert texts.keys() == {f"{folder.name}.ipynb", f"{folder.name}.checks.json"}
    assert scan(lab_of(folder), texts) == []


@on_labs
def test_in_the_sandbox_the_solution_earns_every_point(folder, sandbox):
    result = graded(folder, sandbox, {})
    assert (result.status, result.notes, result.flags) == ("graded", (), ())
    assert [(q.id, q.message) for q in result.questions if q.message] == []
    assert result.earned == sum(question.points for question in lab_of(folder).questions.values())


@on_labs
def test_in_the_sandbox_each_wrong_answer_is_told_why(folder, sandbox):
    lab = lab_of(folder)
    wrong = {answer.question: answer for answer in lab.answers if answer.told}
    cells = {name: lab.cell_with(answer) for name, answer in wrong.items()}
    result = graded(folder, sandbox, cells)
    for question in result.questions:
        assert question.earned < question.points
        assert wrong[question.id].told in question.message


@on_labs
def test_in_the_sandbox_untouched_work_earns_nothing(folder, sandbox):
    pristine = {
        cell.metadata.nbgrader.grade_id: cell.source
        for cell in read_pristine(folder).cells
        if is_answer(cell)
    }
    result = graded(folder, sandbox, pristine)
    assert (result.status, result.earned) == ("graded", 0)
    assert {question.message for question in result.questions} == {UNANSWERED}
