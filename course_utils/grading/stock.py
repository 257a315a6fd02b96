"""The hidden tests of a question for stock nbgrader, which runs them in the student's kernel.

`course grade` does not use this: it judges outside. It serves instructors who run
``nbgrader autograde``, and the benchmark that compares the two.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from course_utils.grading.cases import prepare
from course_utils.grading.course import ASSIGNMENTS
from course_utils.grading.judging import judge_question
from course_utils.grading.lab import read_lab
from course_utils.grading.public import outcomes_of
from course_utils.grading.questions import PreparedQuestion

__all__ = ["hidden_test"]


def hidden_test(lab: str, question: str, namespace: Mapping[str, Any]) -> None:
    """Raise AssertionError unless an answer earns all points of its question."""
    prepared = _prepared(lab)[question]
    result = judge_question(prepared, outcomes_of(prepared, namespace))
    assert result.earned == result.points, result.message


@lru_cache
def _prepared(lab: str) -> dict[str, PreparedQuestion]:
    # Without known answers: asserts name no mistake, and each kernel prepares anew.
    return prepare(replace(read_lab(ASSIGNMENTS / lab), answers=()), "stock")
