"""Pairs of answers that are suspiciously alike: for a person to look at, never a verdict.

Each answer is taken apart into short runs of tokens (`course_utils.grading.fingerprints`).
A run counts the more, the fewer answers hold it: what was given, and what most of a class
writes, says little about two of them.
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from course_utils.grading.fingerprints import (
    CODE_RUN,
    WORD_RUN,
    Fragment,
    code_fragments,
    prose_fragments,
    token_fragments,
)

__all__ = ["MIN_SCORE", "MIN_SHARED", "Pair", "similar_pairs"]

MIN_SCORE = 0.55  # in the tests disguised copies have 0.70 and more, others 0.38 and less
MIN_SHARED = 100.0  # nats: about six lines of code that nobody else has
CLASS = 20  # answers; a smaller class is weighed as if it had so many
PROSE = 0.5  # of the smallest score; independent texts share hardly a run of four words
TOKENS = 0.5  # weight of an answer's tokens, beside that of its syntax tree
STANDS_OUT = 0.5  # of a fragment's runs: so many are shared where it is marked

Reader = Callable[[str], list[Fragment] | None]


@dataclass(frozen=True)
class Pair:
    """Two answers to one question that are alike.

    ``score`` is the part of the two that is shared, 0 to 1, weighed by rarity.
    ``lines`` are those of the first and of the second that hold what is shared,
    counted from 1.
    """

    question: str
    students: tuple[str, str]
    score: float
    lines: tuple[tuple[int, ...], tuple[int, ...]]


def similar_pairs(
    answers: Mapping[str, Mapping[str, str]],
    pristine: Mapping[str, str],
    *,
    prose: Collection[str] = (),
    known: Mapping[str, Sequence[str]] | None = None,
    min_score: float = MIN_SCORE,
    min_shared: float = MIN_SHARED,
) -> list[Pair]:
    """Return the pairs that stand out, most alike first.

    Parameters
    ----------
    answers
        By student, then by the answer's ``grade_id``.
    pristine
        What was given, by ``grade_id``; what an answer keeps of it does not count.
    prose
        The ``grade_id`` of answers that are text; all others are Python.
    known
        Answers of other origin, such as the known right ones, by ``grade_id``: what they
        hold is no sign of copying.
    min_score
        Smallest score of a pair of code, 0 to 1; of a pair of texts it is half of that.
    min_shared
        Smallest weight of what a pair shares, in nats. Answers to the same question are
        alike where they are short: below this nothing can be said.
    """
    pairs = []
    for question, given in pristine.items():
        texts = {
            student: own[question]
            for student, own in answers.items()
            if own.get(question, "").strip() not in ("", given.strip())
        }
        others = (known or {}).get(question, ())
        if question in prose:
            found = _Answers(texts, given, others, prose_fragments, WORD_RUN)
            pairs += _over(found, question, min_score * PROSE, min_shared)
            continue
        found = _Answers(texts, given, others, code_fragments, CODE_RUN)
        pairs += _over(found, question, min_score, min_shared)
        broken = texts.keys() - found.fragments.keys()
        if broken:
            found = _Answers(texts, given, others, token_fragments, CODE_RUN)
            rough = _over(found, question, min_score, min_shared * TOKENS)
            pairs += [pair for pair in rough if broken.intersection(pair.students)]
    return sorted(pairs, key=lambda pair: (-pair.score, pair.question, pair.students))


def _over(answers: "_Answers", question: str, min_score: float, min_shared: float) -> list[Pair]:
    return [
        Pair(
            question,
            (answers.students[first], answers.students[second]),
            score,
            (answers.lines(first, second), answers.lines(second, first)),
        )
        for first, second, score, weight in answers.alike()
        if score >= min_score and weight >= min_shared
    ]


class _Answers:
    """The answers to one question, read in one way, beside what was given and known."""

    def __init__(
        self, texts: Mapping[str, str], given: str, known: Sequence[str], read: Reader, run: int
    ) -> None:
        read_all = {student: read(text) for student, text in texts.items()}
        self.fragments = {student: found for student, found in read_all.items() if found}
        self.students = list(self.fragments)
        self.runs = [_runs_of(found) for found in self.fragments.values()]
        counts = Counter(run for runs in self.runs for run in runs)
        counts.update(run for text in known for run in _runs_of(read(text) or []))
        size = max(CLASS, len(self.students) + len(known))
        self.weights = {
            # A short run is a short statement, which more answers have by chance.
            tokens: len(tokens) / run * math.log((size + 1) / count)
            for tokens, count in counts.items()
        } | dict.fromkeys(_runs_of(read(given) or []), 0.0)

    def alike(self) -> Iterator[tuple[int, int, float, float]]:
        """Yield each two answers' numbers, the part that they share, and its weight in nats."""
        import numpy as np
        from scipy.sparse import csr_array

        places = {tokens: place for place, tokens in enumerate(self.weights)}
        rows = [row for row, runs in enumerate(self.runs) for _ in runs]
        columns = [places[tokens] for runs in self.runs for tokens in runs]
        shape = (len(self.runs), len(places))
        holds = csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)
        shared = (holds * np.array(list(self.weights.values())) @ holds.T).toarray()
        own = shared.diagonal()
        for first, second in zip(*np.triu_indices(len(own), 1), strict=True):
            both = own[first] + own[second]
            if both > 0:
                weight = float(shared[first, second])
                yield int(first), int(second), 2 * weight / float(both), weight

    def lines(self, one: int, other: int) -> tuple[int, ...]:
        """Return the lines of one answer that stand in the other too."""
        shared = {tokens for tokens in self.runs[one] & self.runs[other] if self.weights[tokens]}
        marked: set[int] = set()
        for fragment in self.fragments[self.students[one]]:
            if len(fragment.runs & shared) >= STANDS_OUT * len(fragment.runs):
                marked.update(fragment.lines)
        return tuple(sorted(marked))


def _runs_of(fragments: Sequence[Fragment]) -> frozenset[tuple[str, ...]]:
    return frozenset().union(*(fragment.runs for fragment in fragments))
