"""The notebook that an instructor opens: nothing in it runs, fetches or weighs too much.

nbgrader's form grader turns a notebook into HTML without cleaning it and shows it with
the instructor's cookies. So what a student wrote is made harmless before: given cells
are taken from the pristine notebook, and of the student's only what is listed here stays.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from course_utils.grading.lab import is_answer
from course_utils.grading.markup import as_typed, to_html, visible
from course_utils.grading.pictures import Album

__all__ = ["ADDED", "MAX_SOURCE", "sanitise"]

MAX_SOURCE = 200_000  # characters of one cell's source
MAX_OUTPUT = 20_000  # characters of one output's text
MAX_OUTPUTS = 50  # of one cell
ADDED = "added-"  # how the ids of cells begin that a student added
MAX_ADDED = 200  # cells that the student added
MAX_EXTRA = 1_000_000  # characters of all outputs and added cells together
MAX_EXTRA_MARKDOWN = 200_000  # characters of added Markdown that are parsed; that takes time
MAX_ALT = 500


@dataclass
class _Room:
    """What is left of the room that outputs and added cells share."""

    album: Album = field(default_factory=Album)
    characters: int = MAX_EXTRA
    markdown: int = MAX_EXTRA_MARKDOWN

    def fit(self, text: Any, limit: int, *, colours: bool = False) -> str:
        fitting = visible(text, min(limit, self.characters), colours=colours)
        self.characters = max(0, self.characters - len(fitting))
        return fitting


def sanitise(cells: Sequence[NotebookNode], pristine: NotebookNode) -> NotebookNode:
    """Return the notebook that is shown to whoever grades.

    Parameters
    ----------
    cells
        The student's cells as intake repaired them: those of the pristine notebook, known
        by their ids, in order, and the student's own between them.
    pristine
        The notebook as it was released.

    Returns
    -------
    NotebookNode
        Given cells hold the pristine source and metadata; answers the pristine metadata and
        the student's words; cells that the student added have the ids ``added-1``, ... and
        no metadata. Markdown that a student wrote is HTML on one line. Outputs are plain
        text, errors, PNG and JPEG. Sizes are bounded.
    """
    given = {cell.id: cell for cell in pristine.cells}
    room = _Room()
    kept, added, left_out = [], 0, 0
    for cell in cells:
        name = cell.get("id")
        model = given.pop(name, None) if isinstance(name, str) else None
        if model is not None:
            kept.append(_given_cell(cell, model, room))
        elif added < MAX_ADDED and room.characters > 0:
            added += 1
            kept.append(_added_cell(cell, f"{ADDED}{added}", room))
        else:
            left_out += 1
    if left_out:
        note = f"{left_out} more cells that the student added are left out."
        kept.append(_cell("markdown", "left-out", as_typed(note)))
    notebook = NotebookNode(pristine)
    notebook.cells = kept
    return notebook


def _given_cell(cell: NotebookNode, model: NotebookNode, room: _Room) -> NotebookNode:
    kept = deepcopy(model)
    if is_answer(model):
        source = visible(cell.get("source"), MAX_SOURCE)
        kept.source = source
        if model.cell_type != "code":
            kept.cell_type = "markdown"
            kept.source = to_html(source, room.album, cell.get("attachments"))
    if model.cell_type == "code":
        kept.outputs = list(_outputs(cell, room))
        kept.execution_count = _count(cell)
    return kept


def _added_cell(cell: NotebookNode, name: str, room: _Room) -> NotebookNode:
    source = room.fit(cell.get("source"), MAX_SOURCE)
    if cell.get("cell_type") == "code":
        kept = _cell("code", name, source)
        kept.outputs = list(_outputs(cell, room))
        kept.execution_count = _count(cell)
        return kept
    is_parsed = cell.get("cell_type") == "markdown" and len(source) <= room.markdown
    if not is_parsed:
        return _cell("markdown", name, as_typed(source))
    room.markdown -= len(source)
    return _cell("markdown", name, to_html(source, room.album, cell.get("attachments")))


def _cell(kind: str, name: str, source: str) -> NotebookNode:
    return NotebookNode(cell_type=kind, id=name, metadata=NotebookNode(), source=source)


def _count(cell: NotebookNode) -> int | None:
    """Return a cell's number; the form grader prints it as it stands, so it is a number."""
    count = cell.get("execution_count")
    return count if type(count) is int and 0 <= count < 10**6 else None


def _outputs(cell: NotebookNode, room: _Room) -> Iterator[NotebookNode]:
    outputs = cell.get("outputs")
    if not isinstance(outputs, Sequence) or isinstance(outputs, str):
        return
    for output in outputs[:MAX_OUTPUTS]:
        kept = _output(output, room) if isinstance(output, Mapping) else None
        if kept is not None:
            yield kept
    if len(outputs) > MAX_OUTPUTS:
        yield _stream("stdout", f"[left out: {len(outputs) - MAX_OUTPUTS} more outputs]\n")


def _output(output: Mapping[str, Any], room: _Room) -> NotebookNode | None:
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return _stream(name, _printed(output.get("text"), room))
    if kind == "error":
        return NotebookNode(
            output_type="error",
            ename=_printed(output.get("ename"), room),
            evalue=_printed(output.get("evalue"), room),
            traceback=_printed(_lines(output.get("traceback")), room).split("\n"),
        )
    data = output.get("data")
    if kind in ("display_data", "execute_result") and isinstance(data, Mapping):
        return _display(data, output.get("metadata"), room)
    return None


def _display(data: Mapping[str, Any], metadata: Any, room: _Room) -> NotebookNode | None:
    """Keep the picture of an output, or else its text."""
    kept, described = NotebookNode(), NotebookNode()
    for mime in ("image/png", "image/jpeg"):
        picture = room.album.take(data.get(mime)) if mime in data else None
        if picture is not None:
            kept[picture.mime] = picture.data
            own = metadata.get(mime) if isinstance(metadata, Mapping) else None
            alt = visible(own.get("alt"), MAX_ALT) if isinstance(own, Mapping) else ""
            described[picture.mime] = NotebookNode(alt=alt or "A picture without a description.")
            break
    text = _printed(data.get("text/plain"), room)
    if not kept and not text:
        text = f"[left out: {', '.join(sorted(visible(mime, 60) for mime in data)[:10])}]"
    if text:
        kept["text/plain"] = text
    if not kept:
        return None
    return NotebookNode(output_type="display_data", data=kept, metadata=described)


def _stream(name: str, text: str) -> NotebookNode:
    return NotebookNode(output_type="stream", name=name, text=text)


def _printed(text: Any, room: _Room) -> str:
    return room.fit(text, MAX_OUTPUT, colours=True)


def _lines(text: Any) -> Any:
    if isinstance(text, Sequence) and not isinstance(text, str):
        return "\n".join(part for part in text if isinstance(part, str))
    return text
