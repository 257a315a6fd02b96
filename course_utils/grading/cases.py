"""Draw a question's cases, and compute what right and known-wrong answers give for them.

This runs trusted code only: the lab's own questions and answers, never a student's.
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import numpy as np

from course_utils.grading.judging import agree
from course_utils.grading.lab import Lab
from course_utils.grading.questions import (
    Case,
    Criterion,
    Mistake,
    PreparedCriterion,
    PreparedQuestion,
    Question,
    run_program,
)
from course_utils.grading.values import decode, encode

__all__ = ["PUBLIC_SEED", "prepare", "public_checks"]

PUBLIC_SEED = "public"  # the graded cases come from another seed


def prepare(lab: Lab, seed: str, *, public: bool = False) -> dict[str, PreparedQuestion]:
    """Draw the cases of every question of a lab from a seed.

    Parameters
    ----------
    seed
        Any text; the same text gives the same cases. A student must not know it.
    public
        True leaves out what a student at home gets no check of.
    """
    prepared = {}
    for question in lab.questions.values():
        wrong = [a for a in lab.answers if a.question == question.id and a.told]
        namespaces = [(answer.told, _namespace(lab, answer.source)) for answer in wrong]
        criteria = [
            _prepare(question, criterion, _generator(seed, question.id, criterion.name), namespaces)
            for criterion in question.criteria
            if criterion.is_public or not public
        ]
        prepared[question.id] = PreparedQuestion(question, criteria)
    return prepared


def public_checks(lab: Lab) -> str:
    """Return the text of ``NAME.checks.json`` for a lab."""
    questions = {}
    for name, prepared in prepare(lab, PUBLIC_SEED, public=True).items():
        asked = prepared.question
        questions[name] = {
            "title": asked.title,
            "program": asked.program,
            "forbids": list(asked.forbids),
            "keeps_inputs": asked.keeps_inputs,
            "seconds": asked.seconds,
            "criteria": [_coded(c) for c in prepared.criteria if c.criterion.judge is None],
        }
    return json.dumps({"lab": lab.name, "questions": questions}) + "\n"


def _generator(*words: str) -> np.random.Generator:
    return np.random.default_rng(list("\0".join(words).encode()))


def _namespace(lab: Lab, source: str) -> dict[str, Any]:
    names = dict(lab.namespace)
    exec(compile(source, "<known answer>", "exec"), names)
    return names


def _prepare(
    question: Question,
    criterion: Criterion,
    rng: np.random.Generator,
    namespaces: Sequence[tuple[str, Mapping[str, Any]]],
) -> PreparedCriterion:
    cases = [c if isinstance(c, Case) else Case(c) for c in criterion.cases(rng)]
    if criterion.judge is not None:
        return PreparedCriterion(criterion, cases, [None] * len(cases), [])
    expect = criterion.expected or question.expected
    # Through the wire and back, so that both sides of a comparison are of plain kinds.
    expected = [decode(encode(expect(**deepcopy(case.inputs)))) for case in cases]
    mistakes = []
    for told, names in namespaces:
        results = [_result(question, names, case) for case in cases]
        # One that raises, or is right here, is not to be recognised in this criterion.
        if all(result is not None for result in results) and not all(
            agree(result, right, criterion.tolerance)
            for result, right in zip(results, expected, strict=True)
        ):
            mistakes.append(Mistake(told, results))
    return PreparedCriterion(criterion, cases, expected, mistakes)


def _result(question: Question, names: Mapping[str, Any], case: Case) -> Any:
    """Return what a known-wrong answer gives, or None where it does not get that far."""
    try:
        return decode(encode(run_program(question.program, names, deepcopy(case.inputs))))
    except Exception:
        return None


def _coded(prepared: PreparedCriterion) -> dict[str, Any]:
    return {
        "name": prepared.criterion.name,
        "points": prepared.criterion.points,
        "tolerance": prepared.criterion.tolerance,
        "cases": [encode(dict(case.inputs)) for case in prepared.cases],
        "expected": [encode(value) for value in prepared.expected],
        "mistakes": [
            {"told": m.told, "results": [encode(r) for r in m.results]} for m in prepared.mistakes
        ],
    }
