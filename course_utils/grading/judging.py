"""Compare what a student's code gave with what is right, and name the kind of mistake.

Runs outside the sandbox, on plain values. What it says never holds a hidden value: where
a check is not public, no number, shape or text that the student's code chose is repeated.
"""

import builtins
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from course_utils.grading.questions import PreparedCriterion, PreparedQuestion

__all__ = ["UNANSWERED", "CriterionResult", "Outcome", "QuestionResult", "agree", "judge_question"]

UNANSWERED = "Not answered yet: `raise NotImplementedError()` still stands there."
TORCH_SAYS = 'missing the required "forward"'  # of a module that has none
NO_FORWARD = (
    "A module has no `forward` of its own: look at the name and the indentation of the one you "
    "wrote; and nn.ModuleList has none, where nn.Sequential has."
)
NEARLY = 1e-4  # what single precision and an added epsilon keep
State = Literal[
    "value", "raised", "refused", "forbidden", "changed", "timeout", "died", "unrun", "missing"
]


@dataclass(frozen=True)
class Outcome:
    """How one run of a program ended.

    ``detail`` is the name of an exception, operator, input or type; ``text`` an
    exception's message. Both come from the student's side and may carry hidden values;
    ``said`` is what was raised where nothing hidden was near, and may be told.
    """

    state: State
    value: Any = None
    detail: str = ""
    text: str = ""
    said: str = ""


@dataclass(frozen=True)
class CriterionResult:
    name: str
    points: float
    earned: float
    message: str = ""


@dataclass(frozen=True)
class QuestionResult:
    id: str
    title: str
    points: float
    earned: float
    criteria: tuple[CriterionResult, ...]

    @property
    def message(self) -> str:
        """The sentences of the criteria that lost points, each once."""
        return " ".join(dict.fromkeys(c.message for c in self.criteria if c.message))

    @property
    def remarks(self) -> list[str]:
        """A line for each criterion that lost points; one for all that are told the same."""
        if len({c.message for c in self.criteria}) == 1:
            return [self.message] if self.message else []
        return [f"{c.name}: {c.message}" for c in self.criteria if c.message]


def judge_question(
    prepared: PreparedQuestion, outcomes: Sequence[Sequence[Outcome]], *, public: bool = False
) -> QuestionResult:
    """Judge a question from the outcomes of its cases, listed by criterion.

    Parameters
    ----------
    public
        True at home, where shapes and exceptions may be told in full.
    """
    question = prepared.question
    criteria = tuple(
        _judge_criterion(criterion, results, public)
        for criterion, results in zip(prepared.criteria, outcomes, strict=True)
    )
    return QuestionResult(
        question.id,
        question.title,
        sum(c.points for c in criteria),
        sum(c.earned for c in criteria),
        criteria,
    )


def agree(actual: Any, expected: Any, tolerance: float) -> bool:
    """Say whether two plain values are the same, numbers within a tolerance.

    The error is measured by ``max(1, max|expected|)`` of each array. NaN agrees with
    nothing, except where NaN is expected.
    """
    if isinstance(expected, dict):
        return (
            isinstance(actual, dict)
            and actual.keys() == expected.keys()
            and all(agree(actual[key], expected[key], tolerance) for key in expected)
        )
    if isinstance(expected, list) and not _is_numeric(expected):
        return (
            isinstance(actual, list)
            and len(actual) == len(expected)
            and all(agree(a, e, tolerance) for a, e in zip(actual, expected, strict=True))
        )
    if expected is None or isinstance(expected, str):
        return type(actual) is type(expected) and actual == expected
    a, e = _numbers(actual), _numbers(expected)
    if a is None or e is None or a.shape != e.shape:
        return False
    if e.size == 0:
        return True
    size = max(1.0, float(np.max(np.abs(e), initial=0.0, where=np.isfinite(e))))
    return bool(np.allclose(a, e, rtol=0, atol=tolerance * size, equal_nan=True))


def _judge_criterion(
    prepared: PreparedCriterion, outcomes: Sequence[Outcome], public: bool
) -> CriterionResult:
    criterion = prepared.criterion
    bad = next((o for o in outcomes if o.state != "value"), None)
    if bad is not None:
        return CriterionResult(criterion.name, criterion.points, 0.0, _describe(bad, public))
    values = [outcome.value for outcome in outcomes]
    if criterion.judge is not None:
        return _ask_judge(prepared, values)
    wrong = [
        number
        for number, value in enumerate(values)
        if not agree(value, prepared.expected[number], criterion.tolerance)
    ]
    if not wrong:
        return CriterionResult(criterion.name, criterion.points, criterion.points)
    message = _known_mistake(prepared, values) or _difference(
        values[wrong[0]], prepared.expected[wrong[0]], criterion.tolerance, public
    )
    return CriterionResult(criterion.name, criterion.points, 0.0, message)


def _ask_judge(prepared: PreparedCriterion, values: Sequence[Any]) -> CriterionResult:
    """Take the worst verdict; a judge that trips over a strange value gives nothing."""
    criterion = prepared.criterion
    verdicts = []
    for value, case in zip(values, prepared.cases, strict=True):
        try:
            fraction, message = criterion.judge(value, case)
            verdicts.append((min(1.0, max(0.0, float(fraction))), message))
        except Exception:
            verdicts.append((0.0, "The result has not the form that the question asks for."))
    fraction, message = min(verdicts, key=lambda verdict: verdict[0])
    return CriterionResult(
        criterion.name,
        criterion.points,
        criterion.points * fraction,
        message if fraction < 1 else "",
    )


def _known_mistake(prepared: PreparedCriterion, values: Sequence[Any]) -> str:
    """Return what the known-wrong answer is told that gives these very values.

    Where none gives them all, each wrong part of a dict is looked for by itself.
    """
    tolerance = prepared.criterion.tolerance
    for mistake in prepared.mistakes:
        if _agree_all(values, mistake.results, tolerance):
            return mistake.told
    if not all(isinstance(right, dict) for right in prepared.expected):
        return ""
    told = []
    for key in prepared.expected[0]:
        own, right = _part(values, key), _part(prepared.expected, key)
        if _agree_all(own, right, tolerance):
            continue
        for mistake in prepared.mistakes:
            wrong = _part(mistake.results, key)
            if _agree_all(own, wrong, tolerance) and not _agree_all(wrong, right, tolerance):
                told.append(mistake.told)
                break
    return " ".join(dict.fromkeys(told))


def _agree_all(values: Sequence[Any], others: Sequence[Any], tolerance: float) -> bool:
    return all(agree(a, b, tolerance) for a, b in zip(values, others, strict=True))


def _part(values: Sequence[Any], key: str) -> list[Any]:
    return [value.get(key) if isinstance(value, dict) else None for value in values]


def _describe(outcome: Outcome, public: bool) -> str:
    """Say why a run gave no value."""
    if outcome.state == "raised":
        if outcome.detail == "NotImplementedError":
            return NO_FORWARD if TORCH_SAYS in outcome.text else UNANSWERED
        if outcome.said:
            return f"Your code raises {outcome.said}."
        known = isinstance(getattr(builtins, outcome.detail, None), type)
        name = outcome.detail if public or known else "an exception of its own"
        return f"Your code raises {name}{f': {outcome.text}' if public else ''}."
    sentences = {
        "refused": "The result is of a kind that cannot be compared"
        + (f" ({outcome.detail})." if public else "; return numbers or arrays."),
        "forbidden": "Your code calls the library's own version of what it should compute itself.",
        "changed": "Your code changes its input"
        + (f" {outcome.detail}" if public else "")
        + "; work on a copy.",
        "timeout": "Your code does not finish in the time that the question allows.",
        "died": "Your code ended the process that ran it: it crashed, called exit, "
        "or took more memory than is allowed.",
        "unrun": "The time for the whole notebook ran out in this question or before it.",
        "missing": f"The cell of this question fails: {outcome.said}.",
    }
    return sentences[outcome.state]


def _difference(actual: Any, expected: Any, tolerance: float, public: bool) -> str:
    """Say what kind of difference there is, without giving the right value away."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in expected:
            if key not in actual:
                return f"The result lacks {key!r}."
            if not agree(actual[key], expected[key], tolerance):
                said = _difference(actual[key], expected[key], tolerance, public)
                return f"{key}: {said}"
        extra = ", ".join(sorted(actual.keys() - expected.keys())) if public else ""
        return f"The result holds more than was asked for{extra and ': '}{extra}."
    if isinstance(expected, list) and not _is_numeric(expected):
        if not isinstance(actual, list) or len(actual) != len(expected):
            return f"The result should have {len(expected)} parts."
        for number, (a, e) in enumerate(zip(actual, expected, strict=True), 1):
            if not agree(a, e, tolerance):
                said = _difference(a, e, tolerance, public)
                return f"Part {number} of the result: {said}"
    if expected is None or isinstance(expected, str):
        return "The result is not the one asked for."
    if actual is None:
        return "The result is None: is a `return` missing?"
    if isinstance(expected, bool):
        return f"This should be {expected}."
    a, e = _numbers(actual), _numbers(expected)
    if a is None:
        return "The result is not made of numbers."
    if e is None:
        return "The result is not of the kind that the question asks for."
    return _shape_difference(a, e, public) or _number_difference(a, e, tolerance)


def _shape_difference(a: np.ndarray, e: np.ndarray, public: bool) -> str:
    if a.shape == e.shape:
        return ""
    if public:
        return f"Expected shape {e.shape}, got {a.shape}."
    if a.ndim != e.ndim:
        return f"The result has the wrong number of axes; expected {e.ndim}."
    axis = next(n for n in range(e.ndim) if a.shape[n] != e.shape[n])
    much = "long" if a.shape[axis] > e.shape[axis] else "short"
    return f"The result has the wrong shape: its axis {axis} is too {much}."


def _number_difference(a: np.ndarray, e: np.ndarray, tolerance: float) -> str:
    if not np.isfinite(a).all():
        return "The result holds NaN or infinity."
    if agree(-a, e, tolerance):
        return "The result has the wrong sign."
    if a.ndim == 2 and a.shape[0] == a.shape[1] and agree(a.T, e, tolerance):
        return "The result is transposed."
    largest = np.max(np.abs(e), initial=0.0)
    if largest > 0 and np.allclose(a, e, rtol=0, atol=NEARLY * largest):
        return "The result is nearly right: work in double precision, and add nothing small to it."
    big = np.abs(e) > 1e-3 * largest
    ratios = (a[big] / e[big]).real if big.any() else np.ones(1)
    # A single number is always right up to a factor, which says nothing.
    is_scaled = ratios.size > 1 and np.ptp(ratios) < 1e-4 * np.abs(ratios).max()
    if is_scaled and agree(a, ratios.flat[0] * e, 1e-4):
        return "The result is right up to a constant factor."
    if np.ptp((a - e).real) < 1e-6 * max(1.0, np.abs(e).max()) and a.size > 1:
        return "The result is right up to a constant that is added."
    off = np.abs(a - e) > tolerance * max(1.0, float(np.abs(e).max(initial=0.0)))
    if off.all():
        return "The numbers of the result are wrong."
    return "Some numbers of the result are wrong, others are right: look at the special cases."


def _is_numeric(value: list) -> bool:
    return bool(value) and _numbers(value) is not None


def _numbers(value: Any) -> np.ndarray | None:
    """Return a plain value as an array of numbers, or None when it is none."""
    if _holds_text(value):  # NumPy would give each of many parts the length of the longest
        return None
    try:
        array = np.asarray(value)
    except ValueError:  # parts of different lengths
        return None
    if array.dtype.kind not in "biufc":
        return None
    return array.astype(complex if array.dtype.kind == "c" else float)


def _holds_text(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_text, value))
    return isinstance(value, str)
