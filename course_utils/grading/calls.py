"""Run one program of a question where the student's code lives, and tell plainly how it ended.

The same function serves the student's own notebook and the process in the sandbox.
"""

import copy
import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from course_utils.grading.operators import ForbiddenOperator, without
from course_utils.grading.questions import run_program
from course_utils.grading.values import ValueRefused, encode

__all__ = ["MAX_TEXT", "attempt", "call", "raised_at", "text_of"]

MAX_TEXT = 500  # characters kept of an exception's message
# How IPython, and its kernel, call the file that a cell is.
_CELL = re.compile(r"<ipython-input-[^>]*>(, )?|\S*ipykernel_\d+\S*?\.py(, )?")


def call(
    program: str,
    namespace: Mapping[str, Any],
    inputs: Mapping[str, Any],
    *,
    forbids: Sequence[str] = (),
    keeps_inputs: bool = True,
) -> dict[str, Any]:
    """Run a program and return how it ended: ``state``, and ``value``, ``detail`` or ``text``.

    ``value`` is coded as `course_utils.grading.values.encode` does. Only KeyboardInterrupt
    and SystemExit pass through.
    """
    given = copy.deepcopy(dict(inputs))
    with without(forbids):
        reply = attempt(program, namespace, given)
    if keeps_inputs and reply["state"] == "value":
        for name, before in inputs.items():
            if not _same(before, given[name]):
                return {"state": "changed", "detail": name}
    return reply


def attempt(
    program: str, namespace: Mapping[str, Any], inputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Do what `call` does, on the very inputs, which the student's code may change."""
    try:
        # A value may compute itself while it is looked at: that, too, is the student's code.
        return {"state": "value", "value": encode(run_program(program, namespace, inputs))}
    except ForbiddenOperator as error:
        return {"state": "forbidden", "detail": str(error)}
    except ValueRefused as error:
        return {"state": "refused", "detail": str(error)[:MAX_TEXT]}
    except Exception as error:
        return {
            "state": "raised",
            "detail": type(error).__name__[:MAX_TEXT],
            "text": text_of(error),
        }


def _same(before: Any, after: Any) -> bool:
    if isinstance(before, Mapping):
        return all(_same(before[key], after[key]) for key in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_same, before, after))
    if hasattr(before, "detach"):
        before, after = before.detach().cpu().numpy(), after.detach().cpu().numpy()
    if isinstance(before, np.ndarray):
        return np.array_equal(before, after, equal_nan=before.dtype.kind in "fc")
    return True


def text_of(error: BaseException) -> str:
    """Return what an exception says, and the line of the student's cell where it was raised."""
    try:
        text = _CELL.sub("", str(error))[:MAX_TEXT]
    except Exception:  # a student's own exception may not know how to print itself
        text = ""
    if isinstance(error, ImportError) and error.name and "None in sys.modules" in text:
        return f"{error.name} is not there when graded"
    lines = _lines(error)
    return f"{text} (line {lines[-1]} of the cell)" if lines else text


def raised_at(error: BaseException) -> int | None:
    """Return the line of the student's cell at whose statement an exception came through."""
    return next(iter(_lines(error)), None)


def _lines(error: BaseException) -> list[int]:
    """Return the lines of students' cells on an exception's way, the outermost first."""
    return [
        number
        for frame, number in traceback.walk_tb(error.__traceback__)
        if _CELL.match(frame.f_code.co_filename)
    ]
