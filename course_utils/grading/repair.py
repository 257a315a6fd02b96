"""Put a student's answers back into the notebook that was given out.

What runs when grading is the notebook as it was given out, with the student's answers in
their cells and the student's own cells between them, whatever an editor has done to the
file. The file itself stays as it is.
"""

import ast
import sys
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

from nbformat import NotebookNode

from course_utils.grading.lab import EXPERIMENT
from course_utils.grading.likeness import parsed
from course_utils.grading.matching import Matching, Target, match, read_targets
from course_utils.grading.submitted import SubmittedCell, Unreadable, read_submitted

__all__ = ["Repaired", "Step", "Unreadable", "repair"]

MAX_LENT = 100_000  # characters of a cell that is looked into
LASTING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
MIN_KNOWN = 0.2  # share of the lab's cells by which a notebook without any answer is the lab's


@dataclass(frozen=True)
class Step:
    """A code cell to run. ``id`` is the grade_id of an answer, else the cell's id."""

    id: str
    kind: Literal["given", "answer", "added"]
    source: str


@dataclass(frozen=True)
class Repaired:
    """What a submission comes to.

    Parameters
    ----------
    steps
        What to run, in order: no cells with tests; of experiments, and of the student's own
        cells after the last answer, only imports and definitions.
    cells
        What to show: the cells given out, with their metadata and ids, holding the
        student's answers and experiments; and the student's own cells, with ids "added-N".
    notes
        Sentences about what was odd, which the student may read.
    """

    steps: tuple[Step, ...]
    cells: tuple[NotebookNode, ...]
    notes: tuple[str, ...]


def repair(content: bytes, pristine: NotebookNode) -> Repaired:
    """Match a submitted file to the notebook that was given out.

    Raises
    ------
    Unreadable
        If the file is no notebook, or the notebook of something else.
    """
    submitted, notes = read_submitted(content)
    targets = read_targets(pristine)
    matching = match(targets, submitted)
    is_known = matching.has_answer or matching.known >= MIN_KNOWN * len(targets)
    if not is_known or matching.strangers > matching.known:
        raise Unreadable(
            f"This is not the notebook of the lab{_title(pristine)}: of that lab's {len(targets)} "
            f"cells {matching.known} are in it. Hand in the notebook of this lab."
        )
    builder = _Builder(pristine, targets, matching)
    for index in range(-1, len(targets)):
        builder.add_place(index)
    return Repaired(
        tuple(builder.steps), tuple(builder.cells), (*notes, *_notes(targets, matching, builder))
    )


def _title(pristine: NotebookNode) -> str:
    headings = (cell.source.strip() for cell in pristine.cells if cell.cell_type == "markdown")
    first = next((text for text in headings if text.startswith("# ")), "")
    return f' "{first[2:].splitlines()[0].strip()}"' if first[2:].strip() else ""


class _Builder:
    """Collects steps and cells, in the order of the notebook that was given out."""

    def __init__(
        self, pristine: NotebookNode, targets: Sequence[Target], matching: Matching
    ) -> None:
        self.pristine, self.targets, self.matching = pristine, targets, matching
        self.steps: list[Step] = []
        self.cells: list[NotebookNode] = []
        self.unrun = 0
        self.added = 0
        self.last_answer = max(
            (t.index for t in targets if t.role == "answer" and t.kind == "code"), default=-1
        )
        self.last_test = max((t.index for t in targets if t.role == "test"), default=-1)
        self.asked = frozenset[str]().union(*(t.names for t in targets if t.role == "answer"))
        self.extra = _places(matching)

    def add_place(self, index: int) -> None:
        """Add a cell that was given out, and the student's own that follow it."""
        if index >= 0:
            getattr(self, f"_add_{self.targets[index].role}")(self.targets[index])
        for cell in self.extra.get(index, ()):
            self._add_own(cell, index)

    def _add_given(self, target: Target) -> None:
        self._show(target)
        if target.kind == "code":
            self.steps.append(Step(target.id, "given", self.pristine.cells[target.index].source))
        edited = self.matching.edited.get(target.index)
        if edited is not None and edited.source.strip():
            self._add_own(edited, target.index)

    def _add_test(self, target: Target) -> None:
        self._show(target)

    def _add_experiment(self, target: Target) -> None:
        found = self.matching.edited.get(target.index) or self.matching.same.get(target.index)
        given = self._show(target, [found] if found else []).source
        if target.kind == "code" and target.index < self.last_test:
            self._lend(target.id, given, self.pristine.cells[target.index].source)

    def _lend(self, name: str, source: str, given: str) -> None:
        """Run what answers may have come to rely on: a student's imports and definitions.

        Of an experiment that was given, also what it imports of Python's own library.
        """
        before = _lasting(given)
        lent = [text for text, node in before.items() if _is_of_python(node)]
        lent += [
            text
            for text, node in _lasting(source).items()
            if text not in before and getattr(node, "name", None) not in self.asked
        ]
        if lent:
            self.steps.append(Step(name, "added", "\n\n".join(lent)))

    def _add_answer(self, target: Target) -> None:
        parts = self.matching.answers.get(target.index, [])
        source = self._show(target, parts).source
        is_experiment = EXPERIMENT in self.pristine.cells[target.index].metadata.get("tags", [])
        if target.kind == "code" and not is_experiment:
            self.steps.append(Step(target.grade_id, "answer", source))

    def _show(self, target: Target, parts: Sequence[SubmittedCell] = ()) -> NotebookNode:
        """Add the cell that was given out, with the student's source and outputs if any."""
        cell = deepcopy(self.pristine.cells[target.index])
        if parts:
            cell.source = "\n\n".join(part.source for part in parts)
        for part in parts:
            if part.attachments and target.kind == "markdown":
                cell.attachments = {**cell.get("attachments", {}), **part.attachments}
        if target.kind == "code":
            cell.outputs = [output for part in parts for output in part.outputs]
            cell.execution_count = None
        self.cells.append(cell)
        return cell

    def _add_own(self, cell: SubmittedCell, place: int) -> None:
        """Add a cell of the student's own; code of before the last answer runs.

        Of what stands between that answer and its check, or right after it, only imports and
        definitions do: trials there may be long.
        """
        self.added += 1
        name = f"added-{self.added}"
        self.cells.append(_own_cell(name, cell))
        if cell.kind != "code" or EXPERIMENT in cell.tags:
            return
        if place < self.last_answer and place < self.matching.barred.get(cell.index, place + 1):
            self.steps.append(Step(name, "added", cell.source))
            return
        is_late = place > self.last_test or cell.index in self.matching.barred
        if lasting := {} if is_late else _lasting(cell.source):
            self.steps.append(Step(name, "added", "\n\n".join(lasting)))
        else:
            self.unrun += 1


def _lasting(source: str) -> dict[str, ast.stmt]:
    """Return a cell's imports and definitions by their text; none where it is no Python."""
    tree = parsed(source) if len(source) <= MAX_LENT else None
    lines, found = source.split("\n"), {}  # the lines that the parser counts
    for node in tree.body if tree else ():
        if isinstance(node, LASTING):
            starts = [node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))]
            found["\n".join(lines[min(starts) - 1 : node.end_lineno])] = node
    return found


def _is_of_python(node: ast.stmt) -> bool:
    names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
    return bool(names) and all(n.partition(".")[0] in sys.stdlib_module_names for n in names)


def _own_cell(name: str, cell: SubmittedCell) -> NotebookNode:
    node = NotebookNode(cell_type=cell.kind, id=name, metadata=NotebookNode(), source=cell.source)
    if cell.kind == "code":
        node.outputs, node.execution_count = list(cell.outputs), None
    elif cell.attachments:
        node.attachments = cell.attachments
    return node


def _places(matching: Matching) -> dict[int, list[SubmittedCell]]:
    """Give each cell of the student's own the found cell that it follows, or -1."""
    targets = {index: target for target, index in matching.anchors().items()}
    places: dict[int, list[SubmittedCell]] = {}
    extra = {cell.index: cell for cell in matching.extra}
    place = -1
    for index in sorted({*targets, *extra}):
        place = targets.get(index, place)
        if index in extra:
            places.setdefault(place, []).append(extra[index])
    return places


def _notes(targets: Sequence[Target], matching: Matching, builder: _Builder) -> Iterator[str]:
    """Say what was missing, doubled, moved into one, split or changed."""
    answers = {t.index: t.grade_id for t in targets if t.role == "answer"}
    if lost := [name for index, name in answers.items() if index not in matching.answers]:
        yield f"No cell was found for {_listed(lost)}, which counts as not answered."
    for index, count in matching.copies.items():
        if len(matching.answers[index]) == 1:
            yield f"There are {count} cells for {answers[index]}: the last edited one is graded."
    for index, parts in matching.answers.items():
        if len(parts) > 1:
            yield f"{answers[index]} stands in {len(parts)} cells, which are taken together."
    yield from _shared(matching, answers)
    if matching.by_content:
        names = [answers[index] for index in sorted(matching.by_content)]
        yield f"Labels were lost; recognised by what they hold: {_listed(names)}."
    roles = [targets[index].role for index in matching.edited]
    if count := roles.count("given"):
        yield f"{_were(count, 'given cell')} changed: the original runs first, then yours."
    if count := roles.count("test"):
        yield f"{_were(count, 'check cell')} changed: the original counts."
    found = matching.anchors()
    given = [t for t in targets if t.role in ("given", "test") and t.text]
    if count := sum(target.index not in found for target in given):
        yield f"{_were(count, 'given cell')} missing and put back."
    if builder.unrun:
        yield (
            f"{_were(builder.unrun, 'code cell')} kept but not run: of an experiment, after the "
            "last answer, or replaced by a later answer."
        )


def _shared(matching: Matching, answers: Mapping[int, str]) -> Iterator[str]:
    """Name the answers that stand in one cell."""
    owners: dict[int, list[str]] = {}
    for index, parts in matching.answers.items():
        for part in parts:
            owners.setdefault(part.index, []).append(answers[index])
    for names in owners.values():
        if len(names) > 1:
            yield f"{_listed(names)} stand in one cell, which is used for each of them."


def _were(count: int, thing: str) -> str:
    return f"1 {thing} was" if count == 1 else f"{count} {thing}s were"


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
