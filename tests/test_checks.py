"""The ledger compares, complains readably, and records; each check is able to fail."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.checks import CheckFailed, Ledger, check_exercise


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("99_test")


def test_close_accepts_tensors_and_lists(ledger, capsys):
    ledger.check_close(1, "sum", torch.tensor([1.0, 2.0]), [1.0, 2.0 + 1e-12])
    assert capsys.readouterr().out.startswith("ok  row 1  sum: error ")


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        ([1.0, 2.0], [1.0, 2.1], r"error .* exceeds the tolerance 1e-09; worst at index \(1,\)"),
        ([1.0], [1.0, 2.0], r"got shape \(1,\), the reference has \(2,\)"),
        ([np.nan], [np.nan], r"the result has nan at index \(0,\)"),
        ([1.0], [np.inf], r"the reference has inf at index \(0,\)"),
        ([], [], "nothing to compare"),
    ],
)
def test_close_fails(ledger, actual, expected, message):
    with pytest.raises(CheckFailed, match=message):
        ledger.check_close(1, "thing", actual, expected)


def test_close_is_relative_for_large_references_only(ledger):
    ledger.check_close(1, "large", [1e6 + 0.5], [1e6], tolerance=1e-6)
    with pytest.raises(CheckFailed):
        ledger.check_close(1, "small", [1e-3 + 1e-5], [1e-3], tolerance=1e-6)


def test_close_refuses_what_are_not_numbers(ledger):
    with pytest.raises(TypeError, match="expected numbers"):
        ledger.check_close(1, "words", ["a"], ["a"])


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=5))
def test_gradient_of_a_cubic(values):
    x = np.array(values)
    Ledger("99_test").check_gradient(1, "cubic", lambda v: (v**3).sum(), x, 3 * x**2)


def test_gradient_fails_on_a_wrong_factor(ledger):
    with pytest.raises(CheckFailed, match="exceeds the tolerance"):
        ledger.check_gradient(1, "square", lambda v: (v**2).sum(), [1.0, 2.0], [1.0, 2.0])


def test_equal(ledger):
    ledger.check_equal(1, "labels", torch.tensor([0, 1]), [0, 1])
    ledger.check_equal(1, "word", "AND", "AND")
    for actual, expected in [([0, 1], [1, 0]), ("AND", "OR"), ([0], [0, 0])]:
        with pytest.raises(CheckFailed, match="expected"):
            ledger.check_equal(1, "wrong", actual, expected)


def test_bounds_and_nan(ledger):
    ledger.check_at_least(1, "accuracy", 0.95, 0.94)
    ledger.check_at_most(1, "loss", 0.1, 0.2)
    for check, value in [
        (ledger.check_at_least, 0.93),
        (ledger.check_at_least, float("nan")),
        (ledger.check_at_most, 0.95),
        (ledger.check_at_most, float("nan")),
    ]:
        with pytest.raises(CheckFailed):
            check(1, "bound", value, 0.94)


@pytest.mark.parametrize("name", ["check_at_least", "check_at_most"])
def test_a_bound_is_no_reference(ledger, name):
    with pytest.raises(ValueError, match="a bound proves a metric or an invariant"):
        getattr(ledger, name)(1, "x", 1.0, 1.0, kind="value")


def test_refuses_wants_a_failure_and_records_nothing_inside(ledger, tmp_path, monkeypatch, capsys):
    path = tmp_path / "ledger.jsonl"
    monkeypatch.setenv("COURSE_LEDGER", str(path))
    with ledger.refuses(7, "half a sum"):
        ledger.check_close(7, "true part", 1.0, 1.0)
        ledger.check_close(7, "wrong part", 1.0, 2.0)
    assert [json.loads(line)["name"] for line in path.read_text().splitlines()] == [
        "refused: half a sum"
    ]
    assert "refused, as it must be: wrong part: error" in capsys.readouterr().out
    with (
        pytest.raises(CheckFailed, match="the check inside passed"),
        ledger.refuses(7, "nothing wrong"),
    ):
        ledger.check_close(7, "fine", 1.0, 1.0)
    ledger.check_close(7, "printed again", 1.0, 1.0)
    assert "printed again" in capsys.readouterr().out


def test_unknown_kind(ledger):
    with pytest.raises(ValueError, match="expected one of value, gradient"):
        ledger.check_close(1, "x", 1.0, 1.0, kind="guess")


def test_records_only_what_held(ledger, tmp_path, monkeypatch):
    path = tmp_path / "ledger.jsonl"
    monkeypatch.setenv("COURSE_LEDGER", str(path))
    ledger.check_close(7, "weights", [1.0], [1.0], kind="trajectory", tolerance=1e-6)
    with pytest.raises(CheckFailed):
        ledger.check_at_least(7, "accuracy", 0.1, 0.9)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {
            "row": 7,
            "notebook": "99_test",
            "name": "weights",
            "kind": "trajectory",
            "value": 0.0,
            "tolerance": 1e-6,
        }
    ]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "Not answered yet."),
        (0.5, "Correct."),
        (torch.tensor(0.5), "Correct."),
        (1.0, "Not yet. You forgot to halve."),
        (0.7, "Not yet. Your answer is too large."),
        (-0.7, "Not yet. Your answer is too small."),
        (0.503, "Not yet. Close: compute it exactly, or to a relative precision of 1e-06."),
        ([0.5, 0.5], "Not yet. Expected shape (), got (2,)."),
        (float("nan"), "Not yet. Your answer holds NaN or infinity."),
        ("half", "Not yet. 'half' is not the answer."),
        (object(), "Not yet."),
        (True, "Not yet. True is not the answer."),
    ],
)
def test_exercise(answer, said, capsys):
    check_exercise(answer, 0.5, mistakes={"You forgot to halve.": 1.0})
    assert capsys.readouterr().out.strip().startswith(said)


def test_exercise_says_which_entries_are_off(capsys):
    check_exercise([1.0, 5.0, 7.0], [1.0, 2.0, 3.0])
    out = capsys.readouterr().out
    assert out == "Not yet. 2 of 3 entries are off, the first at index (1,).\n"


def test_exercise_answered_with_parts_of_different_lengths(capsys):
    check_exercise((np.array([1.0, 2.0]), 0.5), (1.0, 2.0, 0.5))
    assert capsys.readouterr().out.startswith("Not yet. Expected shape (3,), got [array(")


def test_exercise_with_an_array_of_bools(capsys):
    check_exercise([True, False], [True, False])
    check_exercise([True, True], [True, False])
    out = capsys.readouterr().out
    assert out.startswith("Correct.\nNot yet.")


@pytest.mark.parametrize("width", [14, 27, 28.5])
def test_a_large_part_of_a_tuple_does_not_excuse_a_small_one(width, capsys):
    """A layer's width was "Correct." when wrong, beside its millions of multiply-adds."""
    check_exercise((width, 27_840, 21_676_032), (28, 27_840, 21_676_032))
    assert capsys.readouterr().out == "Not yet. 1 of 3 entries are off, the first at index (0,).\n"


def test_exercise_is_close_by_the_size_of_the_answer(capsys):
    check_exercise(0.036, 0.0439)
    check_exercise(0.0440, 0.0439)
    too_small, close = capsys.readouterr().out.splitlines()
    assert too_small == "Not yet. Your answer is too small."
    assert close.startswith("Not yet. Close:")
