"""Checks that compare, complain readably, and keep a record.

Every "Check it" cell of a notebook calls a method of a `Ledger`. Each method
compares what the notebook built with an independent reference, raises
`CheckFailed` when they disagree, prints one line when they agree, and, when the
environment variable ``COURSE_LEDGER`` names a file, appends what it saw to that
file as one JSON object. From those records the README's coverage tables are
made, so nothing is claimed there that no run has seen.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["KINDS", "LEDGER_VARIABLE", "CheckFailed", "Ledger", "check_exercise"]

LEDGER_VARIABLE = "COURSE_LEDGER"
KINDS = ("value", "gradient", "trajectory", "metric", "invariant")


class CheckFailed(AssertionError):
    """What was built disagrees with its reference."""


class Ledger:
    """The checks of one notebook, each printed, and recorded when asked.

    Parameters
    ----------
    notebook
        Name of the notebook, such as ``"02_activations"``.

    Examples
    --------
    >>> ledger = Ledger("02_activations")
    >>> ledger.check_close(48, "ReLU at -1 and 2", [0.0, 2.0], [0.0, 2.0])
    ok  row 48  ReLU at -1 and 2: error 0 <= 1e-09
    """

    def __init__(self, notebook: str) -> None:
        self.notebook = notebook
        self._is_silent = False

    def check_close(
        self,
        row: int,
        name: str,
        actual: Any,
        expected: Any,
        *,
        kind: str = "value",
        tolerance: float = 1e-9,
    ) -> None:
        """Check that two arrays agree to within a tolerance.

        The error is the largest absolute difference divided by
        ``max(1, max|expected|)``: absolute for small numbers, relative to the
        largest one otherwise. Dimensionless.

        Raises
        ------
        CheckFailed
            If shapes differ, a number is NaN or infinite, or the error exceeds
            ``tolerance``.
        """
        a, e = _array(actual), _array(expected)
        if a.shape != e.shape:
            raise CheckFailed(f"{name}: got shape {a.shape}, the reference has {e.shape}")
        if a.size == 0:
            raise CheckFailed(f"{name}: nothing to compare, both arrays are empty")
        if not np.isfinite(a).all() or not np.isfinite(e).all():
            raise CheckFailed(f"{name}: {_first_bad(a, e)}")
        error = float(np.max(np.abs(a - e)) / max(1.0, float(np.max(np.abs(e)))))
        if not error <= tolerance:
            where = np.unravel_index(np.argmax(np.abs(a - e)), a.shape)
            raise CheckFailed(
                f"{name}: error {error:.3g} exceeds the tolerance {tolerance:.3g}; worst at "
                f"index {tuple(int(i) for i in where)}: got {a[where]!s}, expected {e[where]!s}"
            )
        self._record(row, name, kind, error, tolerance, f"error {error:.2g} <= {tolerance:.2g}")

    def check_gradient(
        self,
        row: int,
        name: str,
        function: Callable[[np.ndarray], float],
        point: Any,
        gradient: Any,
        *,
        tolerance: float = 1e-6,
    ) -> None:
        """Check a gradient against central differences in float64.

        Parameters
        ----------
        function
            Maps an array of the shape of ``point`` to a number.
        point
            Where to compare. Keep it away from kinks, where no gradient exists.
        gradient
            The gradient to be checked, of the shape of ``point``.
        tolerance
            Bound on the error as `check_close` defines it.

        Raises
        ------
        CheckFailed
            If the two gradients disagree.
        """
        x = _array(point).astype(np.float64)
        numeric = np.empty_like(x)
        for index in np.ndindex(x.shape):
            # The cube root of the machine epsilon balances truncation and rounding.
            h = 6e-6 * max(1.0, abs(x[index]))
            up, down = x.copy(), x.copy()
            up[index] += h
            down[index] -= h
            numeric[index] = (float(function(up)) - float(function(down))) / (2 * h)
        self.check_close(row, name, gradient, numeric, kind="gradient", tolerance=tolerance)

    def check_equal(
        self, row: int, name: str, actual: Any, expected: Any, *, kind: str = "value"
    ) -> None:
        """Check that two things are exactly equal: integers, strings, tuples, arrays."""
        a, e = np.asarray(_plain(actual)), np.asarray(_plain(expected))
        if a.shape != e.shape or not np.array_equal(a, e):
            raise CheckFailed(f"{name}: got {_short(actual)}, expected {_short(expected)}")
        self._record(row, name, kind, 0.0, 0.0, "equal")

    def check_at_least(
        self, row: int, name: str, value: float, bound: float, *, kind: str = "metric"
    ) -> None:
        """Check that a number reaches a bound; NaN never does. A bound is no reference."""
        _refuse_reference_kinds(kind)
        value, bound = float(value), float(bound)
        if not value >= bound:
            raise CheckFailed(f"{name}: {value:.6g} does not reach {bound:.6g}")
        self._record(row, name, kind, value, bound, f"{value:.4g} >= {bound:.4g}")

    def check_at_most(
        self, row: int, name: str, value: float, bound: float, *, kind: str = "metric"
    ) -> None:
        """Check that a number stays below a bound; NaN never does. A bound is no reference."""
        _refuse_reference_kinds(kind)
        value, bound = float(value), float(bound)
        if not value <= bound:
            raise CheckFailed(f"{name}: {value:.6g} exceeds {bound:.6g}")
        self._record(row, name, kind, value, bound, f"{value:.4g} <= {bound:.4g}")

    @contextmanager
    def refuses(self, row: int, name: str) -> Iterator[None]:
        """Check that a check inside the ``with`` block fails, as it must on wrong code.

        What passes inside is neither printed nor recorded: it would be evidence from
        code that is known to be wrong.

        Raises
        ------
        CheckFailed
            If every check inside passes.
        """
        self._is_silent = True
        try:
            yield
        except CheckFailed as failure:
            said = f"refused, as it must be: {failure}"
        else:
            raise CheckFailed(f"{name}: the check inside passed, though it should fail")
        finally:
            self._is_silent = False
        self._record(row, f"refused: {name}", "invariant", 1.0, 1.0, said)

    def _record(
        self, row: int, name: str, kind: str, value: float, tolerance: float, said: str
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}")
        if self._is_silent:
            return
        print(f"ok  row {row}  {name}: {said}")
        path = os.environ.get(LEDGER_VARIABLE)
        if not path:
            return
        entry = {
            "row": int(row),
            "notebook": self.notebook,
            "name": name,
            "kind": kind,
            "value": value,
            "tolerance": tolerance,
        }
        # One write in append mode: two kernels may share the file.
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")


def check_exercise(
    answer: Any,
    expected: Any,
    *,
    mistakes: Mapping[str, Any] | None = None,
    tolerance: float = 1e-6,
) -> None:
    """Say whether an exercise is answered, and name the mistake when it is known.

    Never raises on an answer, so that a notebook with open exercises still runs
    from top to bottom.

    Parameters
    ----------
    answer
        The student's answer, or None while there is none.
    expected
        The right answer: a number, an array, a string or a tuple.
    mistakes
        Message -> the value that this mistake gives. The first that matches is
        printed.
    tolerance
        Largest error, as `Ledger.check_close` defines it, that counts as right. Each part
        of a tuple is measured by its own size.

    Examples
    --------
    >>> check_exercise(None, 0.5)
    Not answered yet.
    >>> check_exercise(0.5, 0.5)
    Correct.
    >>> check_exercise(1.0, 0.5, mistakes={"You forgot to halve.": 1.0})
    Not yet. You forgot to halve.
    >>> check_exercise((14, 2e7), (28, 2e7))
    Not yet. 1 of 2 entries are off, the first at index (0,).
    """
    if answer is None:
        print("Not answered yet.")
        return
    if _matches(answer, expected, tolerance):
        print("Correct.")
        return
    for message, wrong in (mistakes or {}).items():
        if _matches(answer, wrong, tolerance):
            print(f"Not yet. {message}")
            return
    print(f"Not yet. {_difference(answer, expected, tolerance)}")


def _refuse_reference_kinds(kind: str) -> None:
    if kind not in ("metric", "invariant"):
        raise ValueError(f"kind is {kind!r}; a bound proves a metric or an invariant")


def _matches(answer: Any, expected: Any, tolerance: float) -> bool:
    try:
        a, e = np.asarray(_plain(answer)), np.asarray(_plain(expected))
    except (ValueError, TypeError):
        return False
    if a.shape != e.shape:
        return False
    if a.dtype.kind in "OUSb" or e.dtype.kind in "OUSb":
        return a.dtype.kind == e.dtype.kind and bool(np.array_equal(a, e))
    bound = tolerance * np.maximum(1.0, _sizes(expected))
    return bool(np.all(np.abs(a - e) <= bound))


def _sizes(expected: Any) -> np.ndarray:
    """Return what each entry's error is measured by: the largest entry of its array.

    The parts of a tuple or list are different quantities, so each has its own size.
    """
    if isinstance(expected, (list, tuple)):
        return np.array([_sizes(part) for part in expected])
    part = np.abs(np.asarray(_plain(expected)))
    return np.full(part.shape, np.max(part, initial=0.0), dtype=float)


def _difference(answer: Any, expected: Any, tolerance: float) -> str:
    """Say how an answer is wrong, without giving the right one away."""
    e = np.asarray(_plain(expected))
    try:
        a = np.asarray(_plain(answer))
    except ValueError:  # parts of different lengths
        return f"Expected shape {e.shape}, got {_short(answer)}."
    if a.dtype.kind in "OUSb" or e.dtype.kind in "OUSb":
        return f"{_short(answer)} is not the answer."
    if a.shape != e.shape:
        return f"Expected shape {e.shape}, got {a.shape}."
    if not np.isfinite(a).all():
        return "Your answer holds NaN or infinity."
    size = _sizes(expected)
    wrong = np.abs(a - e) > tolerance * np.maximum(1.0, size)
    if np.all(np.abs(a - e) < 0.01 * np.where(size == 0, 1.0, size)):
        return f"Close: compute it exactly, or to a relative precision of {tolerance:g}."
    if a.ndim == 0:
        return f"Your answer is too {'large' if a > e else 'small'}."
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    return f"{int(wrong.sum())} of {wrong.size} entries are off, the first at index {index}."


def _plain(thing: Any) -> Any:
    """Turn a tensor, or a sequence of tensors, into NumPy; leave the rest alone."""
    if hasattr(thing, "detach"):
        return thing.detach().cpu().numpy()
    if isinstance(thing, (list, tuple)):
        return [_plain(part) for part in thing]
    return thing


def _array(thing: Any) -> np.ndarray:
    array = np.asarray(_plain(thing))
    if array.dtype.kind not in "biufc":
        raise TypeError(f"expected numbers, got an array of dtype {array.dtype}")
    return array.astype(np.result_type(array.dtype, np.float64))


def _first_bad(a: np.ndarray, e: np.ndarray) -> str:
    for label, array in (("the result", a), ("the reference", e)):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            index = tuple(int(i) for i in bad[0])
            return f"{label} has {array[index]} at index {index}"
    return "none"


def _short(thing: Any) -> str:
    text = repr(_plain(thing))
    return text if len(text) <= 120 else text[:117] + "..."
