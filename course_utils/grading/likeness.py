"""What two texts of cells have in common, in time that grows with their length only."""

import ast
import re
import warnings
from collections import Counter

from course_utils.grading.submitted import SubmittedCell

__all__ = ["bare", "declared", "defined", "is_like", "is_prose", "parsed", "plain", "words"]

MAX_TEXT = 4_000  # characters of a cell that are compared
HARDLY_ALIKE = 0.2  # share of words below which an id alone proves nothing

_DEFINED = re.compile(r"^(?:async[ \t]+)?(?:def|class)[ \t]+([^\W\d]\w*)", re.MULTILINE)
_ASSIGNED = re.compile(r"^([^\W\d]\w*)[ \t]*(?::[^=\n]*)?=(?!=)", re.MULTILINE)


def plain(text: str) -> str:
    """Return a text without the blanks around it and at the ends of its lines."""
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


def bare(text: str) -> list[str]:
    """Return the lines that are neither empty nor comments."""
    lines = (line.strip() for line in text.split("\n"))
    return [line for line in lines if line and not line.startswith("#")]


def defined(source: str) -> list[str]:
    """Return the functions and classes that code defines at its outermost level."""
    return _DEFINED.findall(source)


def declared(source: str) -> list[str]:
    """Return what code defines or assigns at its outermost level; it need not parse."""
    return [*_DEFINED.findall(source), *_ASSIGNED.findall(source)]


def words(text: str) -> Counter[str]:
    """Count the words at a text's beginning."""
    return Counter(re.findall(r"\w+", text[:MAX_TEXT]))


def is_like(one: str, other: str) -> bool:
    """Say whether two texts have enough in common for an id to be believed."""
    a, b = words(one), words(other)
    return (a & b).total() >= HARDLY_ALIKE * max(a.total(), b.total())


def is_prose(cell: SubmittedCell) -> bool:
    """Say whether a cell holds written text, though its type may say code."""
    if not cell.source.strip():
        return False
    if cell.kind != "code":
        return True
    is_magic = cell.source.lstrip().startswith(("%", "!"))
    return parsed(cell.source[:MAX_TEXT]) is None and not is_magic


def parsed(source: str) -> ast.Module | None:
    """Return a stranger's code as Python reads it, or None where it does not.

    It takes a thousand times the text's length in memory: bound that before.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of a student's invalid escapes
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
