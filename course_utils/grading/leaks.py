"""Search what students are given for what must stay behind.

Texts are compared without blanks, quotes and mark-up, so that a solution is found again
when it is indented otherwise, commented out, printed, or wrapped in JSON or HTML.
"""

import ast
import base64
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from course_utils.grading.lab import Lab, is_answer

__all__ = ["scan"]

REGIONS = {"SOLUTION": "the solution", "HIDDEN TESTS": "a hidden test", "MARK SCHEME": "the rubric"}
MARKERS = [f"{side} {region}" for region in REGIONS for side in ("BEGIN", "END")]
STUBS = ("# YOUR CODE HERE\nraise NotImplementedError()", "YOUR ANSWER HERE")
MIN_LINE = 8  # characters without blanks: shorter lines say nothing
MIN_VALUE = 12  # of the right-hand side of a line, to be looked for by itself
MIN_WHOLE = 30  # of all lines of an answer, before its standing in given text counts
MIN_LIKENESS = 0.85  # to a marker, of a short line: "BEIGN SOLUTION" has 0.93, "solution" 0.8
_MARKER = re.compile(r"(BEGIN|END)[\W_]*(SOLUTION|HIDDEN[\W_]*TEST|MARK(ING)?[\W_]*SCHEME)")
_DROPPED = re.compile(r"\x1b\[[0-9;]*m|[\s\"'`\\]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{16,}={0,2}\s*")


@dataclass(frozen=True)
class _Secret:
    """Lines that must stay behind; ``is_answer`` where they answer a question by themselves."""

    where: str
    lines: tuple[str, ...]
    is_answer: bool = False


def scan(lab: Lab, texts: Mapping[str, str], secrets: Sequence[str] = ()) -> list[str]:
    """Return one sentence for each thing in the texts that students must not have.

    Found are the markers of nbgrader's regions, also misspelt ones; lines of solutions,
    hidden tests, rubrics, known answers and the code of ``questions.py``; outputs.
    A line that stands in a given cell too does not count, unless the whole answer does.

    Parameters
    ----------
    texts
        The text of each file, by its name. JSON, notebooks included, is looked into.
    secrets
        More texts to look for, such as a seed.
    """
    hidden, given = list(_secrets(lab)), "\n".join(map(_squeeze, _given(lab)))
    leaks: list[str] = []
    for name, text in texts.items():
        body = _parse(text)
        pieces = list(_pieces(body))
        squeezed = list(dict.fromkeys(filter(None, map(_squeeze, pieces))))
        found = [
            *_markers(pieces),
            *_lines(hidden, given, squeezed),
            *_outputs(body),
            *("a text that was named secret" for s in secrets if s and s in text),
        ]
        leaks += [f"{name}: {leak}" for leak in dict.fromkeys(found)]
    return leaks


def _secrets(lab: Lab) -> Iterator[_Secret]:
    for cell in lab.notebook.cells:
        regions = list(_regions(cell.source))
        for kind, lines in regions:
            yield _Secret(f"{REGIONS[kind]} of {cell.id}", lines, kind != "MARK SCHEME")
        if is_answer(cell) and not any(kind == "SOLUTION" for kind, _ in regions):
            yield _Secret(f"the solution of {cell.id}", tuple(cell.source.splitlines()), True)
    for answer in lab.answers:
        kind = "wrong" if answer.told else "right"
        where = f"the {kind} answer {answer.name!r} to {answer.question}"
        yield _Secret(where, tuple(answer.source.splitlines()), kind == "right")
    for path in sorted((lab.folder / "source").glob("*.py")):
        if path.stem != lab.name:
            yield _Secret(path.name, tuple(_code_lines(path.read_text(encoding="utf-8"))))


def _regions(source: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the kind and the lines of each region between nbgrader's markers."""
    for kind in REGIONS:
        parts = re.split(rf"^.*(?:BEGIN|END) {kind}.*$", source, flags=re.M)
        for inside in parts[1::2]:
            yield kind, tuple(inside.strip("\n").splitlines())


def _code_lines(text: str) -> Iterator[str]:
    """Yield the lines of all functions of a module, without signatures and docstrings."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Lambda):
            yield ast.get_source_segment(text, node.body) or ""
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body:
                yield from lines[body[0].lineno - 1 : node.end_lineno]


def _given(lab: Lab) -> Iterator[str]:
    """Yield what students may see: given cells, stubs, and what the public checks say."""
    yield from STUBS
    for cell in lab.notebook.cells:
        regions = list(_regions(cell.source))
        if not is_answer(cell) or any(kind == "SOLUTION" for kind, _ in regions):
            rest = cell.source
            for _, lines in regions:
                rest = rest.replace("\n".join(lines), "", 1) if lines else rest
            yield rest
    for question in lab.questions.values():
        yield from (question.title, question.program, *question.forbids)
        yield from (criterion.name for criterion in question.criteria)
    yield from (answer.told for answer in lab.answers)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _pieces(body: Any) -> Iterator[str]:
    """Yield every text in a parsed file, in each form that it may be read in."""
    if isinstance(body, dict):
        for key, value in body.items():
            yield key
            yield from _pieces(value)
    elif isinstance(body, list) and all(isinstance(part, str) for part in body):
        yield from _pieces("".join(body))
    elif isinstance(body, list):
        for part in body:
            yield from _pieces(part)
    elif isinstance(body, str):
        yield body
        if "<" in body:
            yield re.sub(r"<[^>]*>", "", body)
        if _BASE64.fullmatch(body):
            with suppress(ValueError):  # an array or an image, as most are
                yield base64.b64decode(body).decode("utf-8")


def _squeeze(text: str) -> str:
    return _DROPPED.sub("", html.unescape(text))


def _core(line: str) -> str:
    """Return what a line of code says, whatever it is assigned to or returned from."""
    value = re.sub(r"^\s*(return |yield |[\w., ]+ = )", "", line)
    return _squeeze(value if len(_squeeze(value)) >= MIN_VALUE else line)


def _markers(pieces: Sequence[str]) -> Iterator[str]:
    for line in (line for piece in pieces for line in piece.splitlines()):
        words = line.strip(" \t#<>!-*/%").replace("_", " ").upper()
        is_like = len(words) < 30 and get_close_matches(words, MARKERS, 1, MIN_LIKENESS)
        if is_like or _MARKER.search(line):
            yield f"a marker: {line.strip()[:60]}"


def _lines(hidden: Sequence[_Secret], given: str, pieces: Sequence[str]) -> Iterator[str]:
    """Find lines that stand nowhere in what is given, and answers that stand somewhere whole."""
    everything = "\n".join(pieces)
    for secret in hidden:
        lines = {_core(line): line.strip() for line in secret.lines}
        lines = {short: line for short, line in lines.items() if len(short) >= MIN_LINE}
        new = [line for short, line in lines.items() if short in everything and short not in given]
        if new:
            yield f"a line of {secret.where}: {new[0][:60]}"
            continue
        is_whole = secret.is_answer and sum(map(len, lines)) >= MIN_WHOLE
        if is_whole and any(all(short in piece for short in lines) for piece in pieces):
            yield f"all of {secret.where}, in one cell: {secret.lines[0].strip()[:60]}"


def _outputs(body: Any) -> Iterator[str]:
    cells = body.get("cells", []) if isinstance(body, dict) else []
    for cell in cells if isinstance(cells, list) else []:
        if isinstance(cell, dict) and cell.get("outputs"):
            yield f"the output of the cell {cell.get('id', '')}"
