"""Match the cells of a submitted notebook to those of the notebook that was given out.

Evidence, strongest first: the same text; nbgrader's grade_id; the cell's id; the functions
and classes that an answer's stub declares; likeness of the words, in the gap between two
neighbours that are matched. An editor may have taken away or copied any of it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from nbformat import NotebookNode

from course_utils.grading.lab import EXPERIMENT, is_answer, is_test
from course_utils.grading.likeness import bare, declared, defined, is_like, is_prose, plain, words
from course_utils.grading.submitted import SubmittedCell

__all__ = ["Matching", "Target", "match", "read_targets"]

MAX_WINDOW = 60  # cells of a gap that one lost cell is compared with
ALIKE = 0.5  # share of words from which a lost cell is found again
DISTINCT = 15  # characters from which a text is no coincidence

Role = Literal["answer", "test", "experiment", "given"]


@dataclass(frozen=True)
class Target:
    """A cell of the notebook that was given out; ``names`` are what its stub declares."""

    index: int
    role: Role
    kind: str
    text: str
    grade_id: str
    id: str
    names: frozenset[str]


@dataclass
class Matching:
    """Which cells were found, by the target's index.

    Parameters
    ----------
    answers
        The cells that make up an answer, in order; more than one where it was split.
    same
        Cells of the other roles whose text is untouched.
    edited
        Cells of the other roles that were changed.
    copies
        How many cells claim to be this one, where it is more than one.
    by_content
        Answers that had lost their labels and were known by what they hold.
    extra
        What is left: the student's own cells.
    barred
        For the submitted indices of some cells: the target from whose place on they must not
        run, as they would undo an answer that came later; -1 where they never run.
    known
        How many targets were found by more than any notebook may hold.
    has_answer
        True where an answer was among these.
    strangers
        How many grade_ids the file has that the lab has not.
    """

    answers: dict[int, list[SubmittedCell]] = field(default_factory=dict)
    same: dict[int, SubmittedCell] = field(default_factory=dict)
    edited: dict[int, SubmittedCell] = field(default_factory=dict)
    copies: dict[int, int] = field(default_factory=dict)
    by_content: set[int] = field(default_factory=set)
    extra: list[SubmittedCell] = field(default_factory=list)
    barred: dict[int, int] = field(default_factory=dict)
    known: int = 0
    has_answer: bool = False
    strangers: int = 0

    def anchors(self) -> dict[int, int]:
        """Return the submitted index of each target that was found."""
        found = {target: cells[-1].index for target, cells in self.answers.items()}
        return found | {target: c.index for target, c in (self.same | self.edited).items()}


def read_targets(pristine: NotebookNode) -> list[Target]:
    """Describe the cells of the notebook that was given out."""
    return [_target(index, cell) for index, cell in enumerate(pristine.cells)]


def _target(index: int, cell: NotebookNode) -> Target:
    role: Role = "given"
    if is_answer(cell):
        role = "answer"
    elif is_test(cell):
        role = "test"
    elif EXPERIMENT in cell.metadata.get("tags", []):
        role = "experiment"
    grade_id = cell.metadata.get("nbgrader", {}).get("grade_id", "")
    names = frozenset(defined(cell.source) or declared(cell.source))
    names = names if role == "answer" and cell.cell_type == "code" else frozenset()
    return Target(
        index, role, cell.cell_type, plain(cell.source), grade_id, cell.get("id", ""), names
    )


def match(targets: Sequence[Target], cells: Sequence[SubmittedCell]) -> Matching:
    """Match submitted cells to targets; each step leaves to the next what it did not find."""
    matcher = _Matcher(targets, cells)
    matcher.take_untouched()
    matcher.take_answers()
    matcher.take_labelled()
    matcher.count_known()
    matcher.take_alike()
    matcher.take_by_place()
    return matcher.finish()


class _Matcher:
    """One matching at work: ``rest`` are the cells that belong to nothing yet, by index."""

    def __init__(self, targets: Sequence[Target], cells: Sequence[SubmittedCell]) -> None:
        self.targets, self.cells = targets, cells
        self.result = Matching()
        self.rest: dict[int, SubmittedCell] = {}
        self.stubs: dict[int, SubmittedCell] = {}
        self.names: dict[int, frozenset[str]] = {}
        self.by_grade_id = {t.grade_id: t for t in targets if t.grade_id}
        self.by_id = {t.id: t for t in targets if t.id}
        shared = Counter(name for target in targets for name in target.names)
        self.result.strangers = len({c.grade_id for c in cells} - {"", *self.by_grade_id})
        self.own_names = {t.index: {n for n in t.names if shared[n] == 1} for t in targets}

    def take_untouched(self) -> None:
        """Take the cells whose text is that of a target; copies of one are not kept."""
        texts = defaultdict(list)
        for target in self.targets:
            texts[target.text].append(target)
        texts.pop("", None)
        result = self.result
        for cell in self.cells:
            same = texts.get(plain(cell.source))
            if same is None:
                self.rest[cell.index] = cell
                continue
            labelled = [t for t in same if self._label(t, cell)]
            free = [t for t in same if t.index not in result.same and t.index not in self.stubs]
            index = (labelled or free or same)[0].index
            if self.targets[index].role == "answer":
                self.stubs[index] = cell
            elif index not in result.same or cell.outputs:
                result.same[index] = cell

    def take_answers(self) -> None:
        """Find each answer by label or by the names that it declares."""
        labelled, named = defaultdict(list), defaultdict(list)
        for cell in self.rest.values():
            self.names[cell.index] = frozenset(declared(cell.source))
            for label in {("grade_id", cell.grade_id), ("id", cell.id)}:
                labelled[label].append(cell)
            for name in self.names[cell.index]:
                named[name].append(cell)
        used = set()
        for target in self.targets:
            if target.role != "answer":
                continue
            near = [*labelled["grade_id", target.grade_id], *labelled["id", target.id]]
            for name in sorted(self.own_names[target.index]):
                near += named[name]
            claims = self._claims(target, near)
            if chosen := self._chosen(target, claims):
                self.result.answers[target.index] = chosen
                used |= {cell.index for cell in chosen}
                stubs = {claim.cell.index for claim in claims if not claim.is_edited}
                self.result.barred |= dict.fromkeys(stubs, -1)
                for cell in (cell for name in target.names for cell in named[name]):
                    if cell.index < chosen[-1].index:
                        self.result.barred.setdefault(cell.index, target.index)
            elif target.index in self.stubs:
                self.result.answers[target.index] = [self.stubs[target.index]]
        for index in used:
            del self.rest[index]

    def _claims(self, target: Target, near: Iterable[SubmittedCell]) -> list["_Claim"]:
        claims = []
        for cell in {cell.index: cell for cell in near}.values():
            label = self._label(target, cell)
            names = self.names[cell.index] & target.names
            is_full = names == target.names
            is_foreign = not label and (cell.kind == "markdown" or self._is_anothers(target, cell))
            # Another cell's place is taken for the answer's only where it has it all.
            if label or (names and (is_full or not is_foreign)):
                is_stub = bare(cell.source) == bare(target.text)
                rank = 2 if label else 0 if is_foreign else 1
                claims.append(_Claim(cell, rank, len(names), is_full, not is_stub))
        return claims

    def _chosen(self, target: Target, claims: list["_Claim"]) -> list[SubmittedCell]:
        """Return the cells of an answer: the last edited one, or the parts it was split into."""
        if not claims:
            return []
        best = max(claims, key=lambda claim: claim.key)
        if best.rank < 2:
            self.result.by_content.add(target.index)
        copies = sum(claim.rank == 2 for claim in claims) + (target.index in self.stubs)
        if copies > 1:
            self.result.copies[target.index] = copies
        if not best.is_full:
            parts = [claim for claim in claims if claim.rank and claim.names]
            covered = {n for claim in parts for n in self.names[claim.cell.index]}
            if covered >= target.names:
                return sorted((claim.cell for claim in parts), key=lambda cell: cell.index)
        return [best.cell]

    def take_labelled(self) -> None:
        """Find the edited cells of the other roles by their labels."""
        owned = defaultdict(list)
        for cell in self.rest.values():
            target = self.by_grade_id.get(cell.grade_id) or self.by_id.get(cell.id)
            if target is None or target.role == "answer":
                continue
            if cell.grade_id == target.grade_id != "" or is_like(target.text, cell.source):
                owned[target.index].append(cell)
        for index, cells in owned.items():
            role = self.targets[index].role
            if role != "given" or index not in self.result.same:
                self.result.same.pop(index, None)
                is_same = plain(cells[-1].source) == self.targets[index].text  # both are empty
                (self.result.same if is_same else self.result.edited)[index] = cells[-1]
                del self.rest[cells[-1].index]
            if role != "given":
                self.result.barred |= {cell.index: -1 for cell in cells}

    def count_known(self) -> None:
        """Count the targets found by more than a text or number that any notebook may have."""
        result = self.result
        known = {i for i in result.same if len(self.targets[i].text) >= DISTINCT}
        known |= {i for i in result.edited if self.targets[i].grade_id}
        result.known = len(known | set(result.answers))
        result.has_answer = bool(result.answers)

    def take_alike(self) -> None:
        """Find lost answers and experiments by their words, the most alike first."""
        anchors = self.result.anchors()
        pairs = []
        for target in self.targets:
            is_lost = target.index not in anchors and target.role in ("answer", "experiment")
            wanted = words(target.text) if is_lost else Counter()
            if len(wanted) < 3:
                continue
            after, before = _gap(target.index, anchors, len(self.cells))
            place = after + 1 if after >= 0 else before
            near = sorted(self.rest, key=lambda index: abs(index - place))[:MAX_WINDOW]
            for index in near:
                found = words(self.rest[index].source)
                shared = (wanted & found).total()
                # An answer grows out of its stub; an experiment stays of a size.
                is_grown = target.role == "answer"
                whole = wanted.total() if is_grown else max(wanted.total(), found.total())
                if shared >= ALIKE * whole:
                    pairs.append((-shared / whole, abs(index - place), target.index, index))
        for *_, target_index, index in sorted(pairs):
            if target_index not in self.result.anchors() and index in self.rest:
                self._take(self.targets[target_index], index)

    def take_by_place(self) -> None:
        """Find lost written answers as the text that stands where they stood."""
        anchors = self.result.anchors()
        gaps = defaultdict(list)
        for target in self.targets:
            is_written = target.role == "answer" and target.kind == "markdown"
            if is_written and target.index not in anchors:
                gaps[_gap(target.index, anchors, len(self.cells))].append(target)
        for (after, before), lost in gaps.items():
            inside = [i for i in self.rest if after < i < before][:MAX_WINDOW]
            texts = [i for i in inside if is_prose(self.rest[i])]
            if len(lost) == 1:  # the longest, as a heading of the student's own may stand there too
                texts.sort(key=lambda index: -len(self.rest[index].source))
            for target, index in zip(lost, texts, strict=False):
                self._take(target, index)

    def _take(self, target: Target, index: int) -> None:
        cell = self.rest.pop(index)
        if target.role == "answer":
            self.result.answers[target.index] = [cell]
            self.result.by_content.add(target.index)
        else:
            self.result.edited[target.index] = cell

    def finish(self) -> Matching:
        self.result.extra = [cell for cell in self.rest.values() if cell.source.strip()]
        return self.result

    def _label(self, target: Target, cell: SubmittedCell) -> bool:
        """Say whether a cell carries a target's grade_id, or its id and no other grade_id."""
        if cell.grade_id in self.by_grade_id:
            return cell.grade_id == target.grade_id
        return bool(cell.id) and cell.id == target.id

    def _is_anothers(self, target: Target, cell: SubmittedCell) -> bool:
        owner = self.by_grade_id.get(cell.grade_id) or self.by_id.get(cell.id)
        return owner is not None and owner is not target


@dataclass(frozen=True)
class _Claim:
    """A cell that may be an answer. ``rank``: 2 by label, 1 by names, 0 from another's place."""

    cell: SubmittedCell
    rank: int
    names: int
    is_full: bool
    is_edited: bool

    @property
    def key(self) -> tuple:
        return (self.is_edited, self.names, self.rank, self.cell.index)


def _gap(index: int, anchors: Mapping[int, int], end: int) -> tuple[int, int]:
    """Return the submitted indices between which a lost target stood."""
    below = [found for found in anchors if found < index]
    above = [found for found in anchors if found > index]
    return anchors[max(below)] if below else -1, anchors[min(above)] if above else end
