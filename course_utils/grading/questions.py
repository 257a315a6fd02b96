"""What an autograded question is: a program, cases drawn from a seed, and named criteria.

A lab's ``questions.py`` lists them. A *program* is a few lines that run beside the
student's cells, with a case's inputs as names, and leave their finding in ``result``.
What is right is computed by trusted code on the other side of the sandbox's wall.
"""

import builtins
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = [
    "Answer",
    "Case",
    "Criterion",
    "Mistake",
    "PreparedCriterion",
    "PreparedQuestion",
    "Question",
    "run_program",
]


@dataclass(frozen=True)
class Case:
    """One trial of a program: what it is given, and what only the judge knows."""

    inputs: Mapping[str, Any]
    secret: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Criterion:
    """One named part of a question, earned or lost as a whole unless a judge grades it.

    Parameters
    ----------
    name
        What is asked, as the student reads it: "stride and padding".
    points
        What it is worth.
    cases
        Draws the cases from a random source: a list of input dicts, or of `Case`.
        Use odd and unequal sizes.
    expected
        Computes the right result from a case's inputs; None takes the question's.
    judge
        Instead of comparing: returns the fraction earned (0 to 1) and a sentence,
        from the result and the case. It must not name hidden values.
    tolerance
        Largest error allowed, relative to ``max(1, max|expected|)``.
    is_public
        False where a student at home gets no check of this criterion.
    """

    name: str
    points: float
    cases: Callable[[np.random.Generator], Sequence[Mapping[str, Any] | Case]]
    expected: Callable[..., Any] | None = None
    judge: Callable[[Any, Case], tuple[float, str]] | None = None
    tolerance: float = 1e-6
    is_public: bool = True


@dataclass(frozen=True)
class Question:
    """An autograded question.

    Parameters
    ----------
    id
        The ``grade_id`` of its answer cell; its test cell is ``{id}_test``.
    program
        Python lines; names are those of the student's notebook and the case's inputs.
        They set ``result``.
    expected
        Computes the right result from a case's inputs, by another route than the
        solution where there is one.
    forbids
        Names of torch's operators (``"convolution"``) that the answer has to do without;
        they raise while the program runs.
    keeps_inputs
        True where an answer that changes its input arrays is wrong.
    seconds
        Time for one case; None takes ``call_seconds`` from course.toml.
    """

    id: str
    title: str
    program: str
    criteria: Sequence[Criterion]
    expected: Callable[..., Any] | None = None
    forbids: tuple[str, ...] = ()
    keeps_inputs: bool = True
    seconds: float | None = None

    @property
    def points(self) -> float:
        return sum(criterion.points for criterion in self.criteria)


@dataclass(frozen=True)
class Answer:
    """An answer that is known to be right, or wrong in a known way.

    ``told`` is the sentence a student hears who gives this wrong answer; it is empty
    for a right one.
    """

    question: str
    name: str
    source: str
    told: str = ""


@dataclass(frozen=True)
class Mistake:
    """What one known-wrong answer gives for each case of a criterion; None where it raises."""

    told: str
    results: Sequence[Any]


@dataclass(frozen=True)
class PreparedCriterion:
    """A criterion with its cases drawn and all that they are compared with computed."""

    criterion: Criterion
    cases: Sequence[Case]
    expected: Sequence[Any]
    mistakes: Sequence[Mistake]


@dataclass(frozen=True)
class PreparedQuestion:
    question: Question
    criteria: Sequence[PreparedCriterion]


def run_program(program: str, namespace: Mapping[str, Any], inputs: Mapping[str, Any]) -> Any:
    """Run a question's program beside a notebook's names and return its ``result``.

    Warnings are silent: an overflow on the way to a wrong result is no error of its own.

    Raises
    ------
    Exception
        Whatever the student's code raises.
    """
    # A student's own `list` or `sum` is not the program's.
    own = {name: value for name, value in vars(builtins).items() if name[0] != "_"}
    names = {**namespace, **own, **inputs}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(program, "<question>", "exec"), names)
    return names["result"]
