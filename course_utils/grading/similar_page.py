"""The page on which a person compares answers that are alike, side by side."""

from collections.abc import Collection, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Any

from course_utils.grading.fingerprints import prose_text, token_fragments
from course_utils.grading.markup import visible
from course_utils.grading.pages import render
from course_utils.grading.similar import Pair

__all__ = ["MAX_LINES", "MAX_PAIRS", "render_similar"]

MAX_PAIRS = 100
MAX_LINES = 400  # of an answer
MAX_ANSWER = 20_000  # characters


def render_similar(
    pairs: Sequence[Pair],
    answers: Mapping[str, Mapping[str, str]],
    *,
    title: str,
    course: str,
    prose: Collection[str] = (),
) -> str:
    """Return a page with the answers of each pair side by side, for instructors.

    Parameters
    ----------
    pairs, answers, prose
        As `similar_pairs` gave and took them.
    title, course
        Of the lab and of the course.
    """
    texts: dict[tuple[str, str], list[tuple[str, Any]]] = {}
    shown = []
    for pair in pairs[:MAX_PAIRS]:
        for student in pair.students:
            place = (student, pair.question)
            if place not in texts:
                texts[place] = _lines(answers[student][pair.question], pair.question in prose)
        columns = [texts[student, pair.question] for student in pair.students]
        shown.append(
            {
                "question": pair.question,
                "students": pair.students,
                "percent": round(100 * pair.score),
                "rows": _rows(columns, pair.lines),
            }
        )
    left_out = len(pairs) - len(shown)
    return render("similar.html.j2", title=title, course=course, pairs=shown, left_out=left_out)


def _lines(text: str, is_prose: bool) -> list[tuple[str, Any]]:
    """Return an answer's lines, each with what it says under any names."""
    text = visible(prose_text(text) if is_prose else text, MAX_ANSWER)
    return [(line, _key(line, is_prose)) for line in text.split("\n")[:MAX_LINES]]


def _rows(
    columns: Sequence[Sequence[tuple[str, Any]]], shared: Sequence[Collection[int]]
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Put the lines of two answers side by side where they say the same."""
    cells = [
        [{"text": text, "shared": number in marked} for number, (text, _) in enumerate(column, 1)]
        for column, marked in zip(columns, shared, strict=True)
    ]
    keys = [[key for _, key in column] for column in columns]
    empty = {"text": "", "shared": False}
    rows = []
    for _, a, b, c, d in SequenceMatcher(None, *keys, autojunk=False).get_opcodes():
        rows += zip_longest(cells[0][a:b], cells[1][c:d], fillvalue=empty)
    return rows


def _key(line: str, is_prose: bool) -> Any:
    """Return what two lines have in common that say the same in other names."""
    if is_prose:
        return " ".join(line.lower().split())
    return frozenset().union(*(fragment.runs for fragment in token_fragments(line)))
