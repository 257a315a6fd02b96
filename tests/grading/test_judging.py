"""Verdicts: who agrees, what kind of mistake is named, and that nothing hidden is said."""

import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.grading.judging import (
    TORCH_SAYS,
    CriterionResult,
    Outcome,
    QuestionResult,
    agree,
    judge_question,
)
from course_utils.grading.questions import (
    Case,
    Criterion,
    Mistake,
    PreparedCriterion,
    PreparedQuestion,
    Question,
)

MATRIX = np.array([[1.0, 2.0, 3.0], [4.0, -5.0, 6.0]])


def prepared(expected, *, judge=None, mistakes=(), tolerance=1e-6, points=2.0):
    criterion = Criterion("a criterion", points, lambda rng: [], judge=judge, tolerance=tolerance)
    cases = [Case({"x": 1}, {"hidden": 7}) for _ in expected]
    part = PreparedCriterion(criterion, cases, expected, mistakes)
    return PreparedQuestion(Question("q", "A question", "result = 1", [criterion]), [part])


def verdict(value, expected, *, public=False, **options):
    """Return points and message for one criterion with one case."""
    outcome = value if isinstance(value, Outcome) else Outcome("value", value)
    result = judge_question(prepared([expected], **options), [[outcome]], public=public)
    return result.earned, result.message


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (MATRIX + 1e-9, MATRIX),
        (MATRIX.tolist(), MATRIX),
        (MATRIX.astype("f4"), MATRIX),
        (3, 3.0),
        (True, True),
        ("relu", "relu"),
        (None, None),
        ({"a": [1, 2.0], "b": None}, {"a": [1, 2], "b": None}),
        ([MATRIX, 1.0], [MATRIX, 1.0]),
        ([], []),
        (np.array([np.nan, np.inf, 1.0]), np.array([np.nan, np.inf, 1.0])),
        (np.array([1e8 + 1.0]), np.array([1e8])),
        (np.array([1 + 1j]), np.array([1 + 1j])),
    ],
)
def test_what_agrees(actual, expected):
    assert agree(actual, expected, 1e-6)
    assert verdict(actual, expected) == (2.0, "")


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (MATRIX + 1e-2, MATRIX, "right up to a constant that is added"),
        (-MATRIX, MATRIX, "wrong sign"),
        (3.7, 2.0, "The numbers of the result are wrong"),
        (2 * MATRIX, MATRIX, "up to a constant factor"),
        (MATRIX[:2, :2].T, MATRIX[:2, :2], "transposed"),
        (MATRIX * [[1, 1, 1], [1, 1, 2]], MATRIX, "Some numbers"),
        (MATRIX[::-1] * 1.7, MATRIX, "The numbers of the result are wrong"),
        (np.full((2, 3), np.nan), MATRIX, "NaN or infinity"),
        (MATRIX.ravel(), MATRIX, "wrong number of axes; expected 2"),
        (MATRIX[:, :2], MATRIX, "axis 1 is too short"),
        (np.vstack([MATRIX, MATRIX]), MATRIX, "axis 0 is too long"),
        (None, MATRIX, "is a `return` missing?"),
        ("text", MATRIX, "not made of numbers"),
        ([1, [2, 3]], MATRIX, "not made of numbers"),
        (10**400, 1.0, "not made of numbers"),
        ({"a": 1}, {"a": 1, "b": 2}, "lacks 'b'"),
        ({"a": 1, "b": 2, "c": 3}, {"a": 1, "b": 2}, "holds more than was asked"),
        ({"a": -2, "b": 2}, {"a": 2, "b": 2}, "a: The result has the wrong sign"),
        ([MATRIX], [MATRIX, "x"], "should have 2 parts"),
        ([MATRIX, -3.0], [MATRIX, "x"], "Part 2"),
        ([-MATRIX, None], [MATRIX, None], "Part 1 of the result: The result has the wrong sign"),
        ("tanh", "relu", "not the one asked for"),
        (MATRIX, {"a": 1}, "not of the kind"),
        (3.0, [MATRIX, "x"], "should have 2 parts"),
        (np.nan, 1.0, "NaN"),
        (1.0, np.nan, ""),
    ],
)
def test_what_differs_is_named(actual, expected, message):
    earned, said = verdict(actual, expected)
    assert earned == 0
    assert message in said


@given(st.floats(allow_nan=True), st.floats(allow_nan=False))
def test_agreement_of_numbers_is_a_distance(a, b):
    close = a == b or abs(a - b) <= 1e-6 * max(1.0, abs(b) if np.isfinite(b) else 1.0)
    assert agree(a, b, 1e-6) == bool(close)


def test_texts_take_no_more_memory_than_they_have():
    texts = ["x" * 1_000_000] + [""] * 300
    tracemalloc.start()
    try:
        assert not agree(texts, np.zeros(301), 1e-6)
        assert not agree([texts], np.zeros(301), 1e-6)
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_all_cases_of_a_criterion_must_agree():
    both = prepared([MATRIX, MATRIX])
    right, wrong = Outcome("value", MATRIX), Outcome("value", -MATRIX)
    assert judge_question(both, [[right, right]]).earned == 2
    assert judge_question(both, [[right, wrong]]).earned == 0
    assert judge_question(both, [[wrong, right]]).earned == 0


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (Outcome("raised", None, "NotImplementedError"), "Not answered yet"),
        (
            Outcome(
                "raised",
                None,
                "NotImplementedError",
                'Module [Leak] is missing the required "forward"',
            ),
            "has no `forward` of its own",
        ),
        (Outcome("raised", None, "KeyError", "0.123"), "Your code raises KeyError."),
        (Outcome("raised", None, "Leak_0_123", "0.123"), "raises an exception of its own."),
        (Outcome("raised", None, "__debug__"), "raises an exception of its own."),
        (Outcome("raised", None, "KeyError", "0.1", "KeyError: 'W'"), "raises KeyError: 'W'."),
        (Outcome("refused", None, "a value of type Leak"), "of a kind that cannot be compared"),
        (Outcome("forbidden", None, "x"), "library's own version"),
        (Outcome("changed", None, "x"), "changes its input"),
        (Outcome("timeout"), "does not finish"),
        (Outcome("died"), "ended the process"),
        (Outcome("missing", said="SyntaxError: x"), "cell of this question fails: SyntaxError: x."),
    ],
)
def test_runs_that_give_no_value(outcome, message):
    earned, said = verdict(outcome, MATRIX)
    assert earned == 0
    assert message in said
    assert "0.1" not in said
    assert "Leak" not in said


def test_at_home_more_is_said():
    raised = Outcome("raised", None, "MyError", "no such layer")
    assert "MyError: no such layer" in verdict(raised, MATRIX, public=True)[1]
    assert "Expected shape (2, 3), got (3,)." in verdict(MATRIX[0], MATRIX, public=True)[1]


def test_what_all_criteria_are_told_is_said_once():
    def result(*messages):
        criteria = [CriterionResult(f"part {n}", 1, 0, said) for n, said in enumerate(messages)]
        return QuestionResult("q", "A question", 2, 0, tuple(criteria))

    assert result("No.", "No.").remarks == ["No."]
    assert result("No.", "").remarks == ["part 0: No."]
    assert result("No.", "Neither.").remarks == ["part 0: No.", "part 1: Neither."]
    assert result("", "").remarks == []


def test_what_is_only_imprecise_is_told_so():
    right = np.array([0.25, 0.5, 0.125])
    assert "nearly right" in verdict(right + 1e-5 * np.array([1, -1, 0.5]), right)[1]
    assert "nearly right" in verdict(right * (1 + 1e-5), right)[1]
    assert "constant factor" in verdict(right * 1.01, right)[1]
    small = 1e-5 * right  # here such an error is large
    assert "nearly" not in verdict(small + 1e-5 * np.array([1, -1, 0.5]), small)[1]


def test_truth_is_told_by_its_name():
    right = {"in training mode": False, "left in training mode": True}
    wrong = {"in training mode": False, "left in training mode": False}
    assert verdict(wrong, right)[1] == "left in training mode: This should be True."


def test_torch_still_says_that_a_forward_is_missing():
    import torch

    with pytest.raises(NotImplementedError, match=TORCH_SAYS):
        torch.nn.ModuleList()(torch.ones(1))


@pytest.mark.parametrize("value", [MATRIX[:, :1], np.ones((7, 13, 17)), MATRIX * 3.25, "0.32525"])
def test_no_number_of_the_students_choice_is_repeated(value):
    _, said = verdict(value, MATRIX)
    assert set(re.findall(r"\d+", said)) <= {"0", "1", "2"}


def test_a_known_mistake_is_told():
    mistakes = [Mistake("You forgot b.", [MATRIX + 1]), Mistake("Never.", [None])]
    assert verdict(MATRIX + 1, MATRIX, mistakes=mistakes) == (0, "You forgot b.")
    assert "wrong sign" in verdict(-MATRIX, MATRIX, mistakes=mistakes)[1]


def test_a_known_mistake_must_match_every_case():
    question = prepared([MATRIX, MATRIX], mistakes=[Mistake("You forgot b.", [MATRIX + 1, MATRIX])])
    outcomes = [Outcome("value", MATRIX + 1), Outcome("value", -MATRIX)]
    assert "forgot" not in judge_question(question, [outcomes]).message


def test_known_mistakes_are_told_part_by_part():
    """dW as one known-wrong answer has it, db as another has it."""
    right = {"dW": MATRIX, "db": 2.0, "dX": 1.0}
    mistakes = [
        Mistake("dW is averaged.", [{**right, "dW": MATRIX / 4}]),
        Mistake("db is averaged.", [{**right, "db": 0.5}]),
        Mistake("dX has lost its sign.", [{**right, "dX": -1.0}]),
    ]
    both = {**right, "dW": MATRIX / 4, "db": 0.5}
    assert verdict(both, right, mistakes=mistakes)[1] == "dW is averaged. db is averaged."
    other = {**right, "dW": MATRIX / 3, "db": 0.5}
    assert verdict(other, right, mistakes=mistakes)[1] == "db is averaged."
    assert "is a `return` missing?" in verdict(None, right, mistakes=mistakes)[1]


def test_a_judge_gives_parts_and_the_worst_case_counts():
    def judge(value, case):
        assert case.secret == {"hidden": 7}
        return value, f"worth {value}"

    question = prepared([None, None], judge=judge)
    outcomes = [Outcome("value", 0.75), Outcome("value", 0.5)]
    result = judge_question(question, [outcomes])
    assert (result.earned, result.message) == (1.0, "worth 0.5")
    assert judge_question(question, [[Outcome("value", 1.0)] * 2]).message == ""


@pytest.mark.parametrize("value", [None, "text", {"a": 1}, float("inf"), -5])
def test_a_judge_that_trips_gives_nothing(value):
    def judge(value, case):
        return float(np.log(np.asarray(value, dtype=float))), "said"

    earned, _ = verdict(value, None, judge=judge)
    assert 0 <= earned <= 2
    if value is None or isinstance(value, str | dict):
        assert earned == 0
