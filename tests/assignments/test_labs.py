"""Each lab proves itself: its solution, known right and known wrong answers, its stub.

The answers run in this process, on the ground of the solved notebook; that the sandbox
gives the same scores is shown by tests/assignments/test_rails.py.
"""

import ast
import json
from functools import lru_cache

import pytest

from course_utils.grading.cases import PUBLIC_SEED, prepare
from course_utils.grading.course import ASSIGNMENTS, read_course
from course_utils.grading.judging import UNANSWERED, judge_question
from course_utils.grading.lab import EXPERIMENT, is_manual, is_test, read_lab
from course_utils.grading.public import outcomes_of
from course_utils.grading.values import encode

LABS = sorted(path.parent.parent for path in ASSIGNMENTS.glob("*/source/questions.py"))
SEEDS = ("one seed", "another")
MIN_WRONG = 5
lab_of = lru_cache(read_lab)
prepared_of = lru_cache(lambda folder, seed: prepare(lab_of(folder), seed))


def judged(prepared, names):
    """Run one question's cases on some names and judge them as hidden ones."""
    return judge_question(prepared, outcomes_of(prepared, names))


def with_answer(lab, answer):
    """Return the names of the solved notebook with one answer in the place of its own cell."""
    names = {"__name__": "__lab__"}
    for cell in lab.notebook.cells:
        if cell.cell_type != "code" or is_test(cell) or EXPERIMENT in cell.metadata.get("tags", []):
            continue
        is_it = cell.metadata.get("nbgrader", {}).get("grade_id") == answer.question
        exec(compile(lab.cell_with(answer) if is_it else cell.source, answer.name, "exec"), names)
    return names


def all_answers(*, wrong):
    return [
        pytest.param(folder, answer, id=f"{folder.name}-{answer.question}-{answer.name}")
        for folder in LABS
        for answer in lab_of(folder).answers
        if bool(answer.told) == wrong
    ]


def all_questions():
    return [
        pytest.param(folder, name, id=f"{folder.name}-{name}")
        for folder in LABS
        for name in lab_of(folder).questions
    ]


@pytest.mark.parametrize(("folder", "name"), all_questions())
@pytest.mark.parametrize("seed", SEEDS)
def test_the_solution_earns_every_point(folder, name, seed):
    result = judged(prepared_of(folder, seed)[name], lab_of(folder).namespace)
    assert (result.message, result.earned) == ("", result.points)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("folder", "answer"), all_answers(wrong=False))
def test_a_differently_written_answer_earns_every_point(folder, answer, seed):
    lab = lab_of(folder)
    result = judged(prepared_of(folder, seed)[answer.question], with_answer(lab, answer))
    assert (result.message, result.earned) == ("", result.points)


@pytest.mark.parametrize(("folder", "answer"), all_answers(wrong=True))
def test_a_wrong_answer_loses_points_and_is_told_why(folder, answer):
    lab = lab_of(folder)
    result = judged(prepared_of(folder, SEEDS[0])[answer.question], with_answer(lab, answer))
    assert result.earned < result.points
    assert answer.told in result.message


@pytest.mark.parametrize(("folder", "answer"), all_answers(wrong=True))
def test_a_wrong_answer_loses_only_its_own_points(folder, answer):
    """Other questions' programs run on the names that the wrong answer has replaced."""
    lab = lab_of(folder)
    names = with_answer(lab, answer)
    for question, prepared in prepared_of(folder, SEEDS[0]).items():
        # A question whose program trains is costly: it is enough that it names no answer.
        if question == answer.question or prepared.question.seconds:
            continue
        result = judged(prepared, names)
        assert (question, result.message) == (question, "")


@pytest.mark.parametrize(("folder", "name"), all_questions())
def test_known_answers_are_enough(folder, name):
    answers = [answer for answer in lab_of(folder).answers if answer.question == name]
    wrong = [answer for answer in answers if answer.told]
    assert len(wrong) >= MIN_WRONG
    assert len(answers) > len(wrong), "no differently written right answer"


@pytest.mark.parametrize(("folder", "name"), all_questions())
def test_the_untouched_stub_earns_nothing(folder, name):
    lab = lab_of(folder)
    names = dict(lab.namespace)

    def unanswered(*_, **__):
        raise NotImplementedError

    for made in _defined_by(lab, name):
        names[made] = unanswered
    result = judged(prepared_of(folder, SEEDS[0])[name], names)
    assert (result.earned, result.message) == (0, UNANSWERED)


def _defined_by(lab, question):
    cell = next(
        c for c in lab.notebook.cells if c.metadata.get("nbgrader", {}).get("grade_id") == question
    )
    return [
        node.name
        for node in ast.parse(cell.source).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]


@pytest.mark.parametrize("folder", LABS, ids=lambda folder: folder.name)
def test_public_cases_are_other_ones_than_the_graded(folder):
    """Each criterion has graded cases that are not public; fixed edge cases may be."""
    lab = lab_of(folder)
    public = prepare(lab, PUBLIC_SEED, public=True)
    for name, prepared in prepared_of(folder, SEEDS[0]).items():
        known = {
            json.dumps(encode(dict(case.inputs)))
            for criterion in public[name].criteria
            for case in criterion.cases
        }
        for criterion in prepared.criteria:
            drawn = {json.dumps(encode(dict(case.inputs))) for case in criterion.cases}
            # A case without an array in it is one of few, such as a layer's settings.
            is_drawn = any('"data"' in case for case in drawn)
            assert drawn - known or not is_drawn, (
                f"every graded case of {name}, {criterion.criterion.name}, is known"
            )


@pytest.mark.parametrize("folder", LABS, ids=lambda folder: folder.name)
def test_course_toml_knows_the_lab(folder):
    lab, item = lab_of(folder), read_course(ASSIGNMENTS / "course.toml").lab(folder.name)
    assert item.deadline is not None
    assert lab.max_points > 0
    manual = [cell for cell in lab.notebook.cells if is_manual(cell)]
    tests = [cell for cell in lab.notebook.cells if is_test(cell)]
    assert len(tests) == len(lab.questions)
    assert bool(manual) == (item.weight > 0), "a lab that counts has a report"
