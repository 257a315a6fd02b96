"""Public checks: what a student can run at home, as data without solutions.

The release of a lab holds ``NAME.checks.json``: for each question its program and a few
cases with their right results, and the results of known mistakes with the sentence that
names each. There is no code in it that answers anything.

>>> from course_utils.grading import PublicChecks
>>> checks = PublicChecks("lab0_backprop.checks.json")  # doctest: +SKIP
>>> checks.run("neuron", globals())  # doctest: +SKIP
neuron: 2 of 2 points in the public checks.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from course_utils.grading.calls import call
from course_utils.grading.judging import Outcome, QuestionResult, judge_question
from course_utils.grading.questions import (
    Case,
    Criterion,
    Mistake,
    PreparedCriterion,
    PreparedQuestion,
    Question,
)
from course_utils.grading.values import decode

__all__ = ["PublicChecks", "outcomes_of", "read_checks"]


class PublicChecks:
    """The public checks of a lab, run beside the student's own cells.

    Parameters
    ----------
    path
        The file ``NAME.checks.json`` that came with the lab.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is missing or is none of ours.
    """

    def __init__(self, path: str | Path) -> None:
        self.questions = read_checks(Path(path))

    def run(self, question: str, namespace: Mapping[str, Any]) -> None:
        """Print how the answer to one question fares; never raises on an answer."""
        if question not in self.questions:
            known = ", ".join(self.questions)
            raise ValueError(f"no question {question!r} in this lab; there are {known}")
        result = self.judge(question, namespace)
        if not result.criteria:
            print(f"{question}: no public check; it is graded after you hand in.")
            return
        print(f"{question}: {result.earned:g} of {result.points:g} points in the public checks.")
        for remark in result.remarks:
            print(f"  {remark}")

    def judge(self, question: str, namespace: Mapping[str, Any]) -> QuestionResult:
        """Run the public cases of one question in this process and judge them."""
        prepared = self.questions[question]
        return judge_question(prepared, outcomes_of(prepared, namespace), public=True)


def outcomes_of(prepared: PreparedQuestion, namespace: Mapping[str, Any]) -> list[list[Outcome]]:
    """Run a question's cases in this process; returns the outcomes by criterion."""
    asked = prepared.question
    return [
        [
            _outcome(
                call(
                    asked.program,
                    namespace,
                    case.inputs,
                    forbids=asked.forbids,
                    keeps_inputs=asked.keeps_inputs,
                )
            )
            for case in criterion.cases
        ]
        for criterion in prepared.criteria
    ]


def _outcome(reply: Mapping[str, Any]) -> Outcome:
    """Turn a reply of `call` into an outcome whose value is plain."""
    if reply["state"] == "value":
        return Outcome("value", decode(reply["value"]))
    return Outcome(reply["state"], None, reply.get("detail", ""), reply.get("text", ""))


def read_checks(path: Path) -> dict[str, PreparedQuestion]:
    """Read a file of public checks.

    Raises
    ------
    FileNotFoundError
        If there is none; the message says where it comes from.
    ValueError
        If it is not such a file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no public checks at {path.absolute()}: keep the lab's .checks.json file beside its "
            "notebook, or unpack the lab's zip again"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {name: _read(name, body) for name, body in content["questions"].items()}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no file of public checks ({error}): fetch it again") from None


def _read(name: str, body: Mapping[str, Any]) -> PreparedQuestion:
    criteria = [_read_criterion(coded) for coded in body["criteria"]]
    question = Question(
        name,
        body["title"],
        body["program"],
        [c.criterion for c in criteria],
        forbids=tuple(body["forbids"]),
        keeps_inputs=body["keeps_inputs"],
        seconds=body["seconds"],
    )
    return PreparedQuestion(question, criteria)


def _read_criterion(coded: Mapping[str, Any]) -> PreparedCriterion:
    cases = [Case(decode(inputs, tensors=True)) for inputs in coded["cases"]]
    criterion = Criterion(
        coded["name"], coded["points"], lambda _: cases, tolerance=coded["tolerance"]
    )
    return PreparedCriterion(
        criterion,
        cases,
        [decode(value) for value in coded["expected"]],
        [Mistake(m["told"], [decode(r) for r in m["results"]]) for m in coded["mistakes"]],
    )
