"""Read a submitted file as a list of cells, whatever state it is in.

Only what is used is taken from the file, and each piece is checked on its way: sources are
text, outputs have the form of nbformat 4, and nothing else of the file goes further.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nbformat import NotebookNode

__all__ = ["Kind", "SubmittedCell", "Unreadable", "read_submitted"]

MAX_PARTS = 500_000  # brackets in a file: what parsing takes memory for
MAX_CELLS = 20_000

Kind = Literal["code", "markdown", "raw"]


class Unreadable(ValueError):
    """The file is no notebook of this lab; the message is for the student."""


@dataclass(frozen=True)
class SubmittedCell:
    """One cell as a student left it. ``grade_id`` and ``id`` are empty where there is none."""

    index: int
    kind: Kind
    source: str
    grade_id: str = ""
    id: str = ""
    tags: frozenset[str] = frozenset()
    outputs: tuple[NotebookNode, ...] = ()
    attachments: NotebookNode | None = None


def read_submitted(content: bytes) -> tuple[list[SubmittedCell], list[str]]:
    """Return the cells of a file, and sentences about what was odd in it.

    Raises
    ------
    Unreadable
        If the file is no notebook.
    """
    text, notes = _decode(content)
    body = _parse(text)
    found = _cells_of(body)
    if found is None:
        raise Unreadable("The file is JSON but not a notebook: it has no list of cells.")
    cells = [cell for cell in found if isinstance(cell, Mapping)]
    if len(cells) < len(found):
        notes.append(f"{len(found) - len(cells)} entries of the notebook are no cells.")
    if len(cells) > MAX_CELLS:
        raise Unreadable(f"The notebook has {len(cells)} cells, more than {MAX_CELLS}.")
    return [_read(number, cell) for number, cell in enumerate(cells)], notes


def _decode(content: bytes) -> tuple[str, list[str]]:
    if not content.strip():
        raise Unreadable("The file is empty.")
    encoding = json.detect_encoding(content)  # UTF-8, -16 or -32, with or without a mark
    try:
        return content.decode(encoding), []
    except UnicodeDecodeError:
        text = content.decode(encoding, "replace")
        return text, ["Some characters of the file could not be read and were replaced."]


def _parse(text: str) -> Any:
    if text.count("[") + text.count("{") > MAX_PARTS:
        raise Unreadable("The file holds too many parts to be a notebook.")
    try:
        return json.loads(text)
    except RecursionError:
        raise Unreadable("The file is no notebook: it is nested too deep.") from None
    except ValueError:
        what = "it is a web page" if text.lstrip()[:1] == "<" else "it is not JSON"
        raise Unreadable(
            f"The file is no notebook: {what}, or was cut off while it was saved or uploaded. "
            "Open it in Jupyter, and hand it in anew."
        ) from None


def _cells_of(body: Any) -> Sequence[Any] | None:
    """Return the cells of nbformat 4, or those of the worksheets of nbformat 3."""
    if not isinstance(body, Mapping):
        return None
    if isinstance(body.get("cells"), list):
        return body["cells"]
    if not isinstance(body.get("worksheets"), list):
        return None
    sheets = [sheet.get("cells") for sheet in body["worksheets"] if isinstance(sheet, Mapping)]
    return [cell for cells in sheets if isinstance(cells, list) for cell in cells]


def _read(number: int, cell: Mapping[str, Any]) -> SubmittedCell:
    metadata = cell.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    settings = metadata.get("nbgrader")
    grade_id = settings.get("grade_id") if isinstance(settings, Mapping) else None
    tags = metadata.get("tags")
    outputs = cell.get("outputs")
    source = _text(cell.get("source", cell.get("input")))
    if cell.get("cell_type") == "heading":  # of nbformat 3
        source = f"## {source}"
    return SubmittedCell(
        number,
        _kind(cell),
        source,
        grade_id if isinstance(grade_id, str) else "",
        cell["id"] if isinstance(cell.get("id"), str) else "",
        frozenset(t for t in tags if isinstance(t, str)) if isinstance(tags, list) else frozenset(),
        tuple(_outputs(outputs)) if isinstance(outputs, list) else (),
        _attachments(cell.get("attachments")),
    )


def _kind(cell: Mapping[str, Any]) -> Kind:
    kind = cell.get("cell_type")
    if kind in ("code", "markdown", "raw"):
        return kind
    if kind == "heading":
        return "markdown"
    return "code" if "outputs" in cell or "input" in cell else "raw"


def _text(value: Any) -> str:
    """Return text however it is kept, with Unix line ends, and fit to be written as UTF-8."""
    if isinstance(value, list):
        value = "".join(part for part in value if isinstance(part, str))
    elif value is None or isinstance(value, Mapping):
        value = ""
    text = str(value).replace("\r\n", "\n").replace("\r", "\n")
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be written


def _outputs(outputs: Sequence[Any]) -> Iterator[NotebookNode]:
    """Yield the outputs that have nbformat 4's form; of results, what is kept as text."""
    for output in outputs:
        if not isinstance(output, Mapping):
            continue
        kind = output.get("output_type")
        if kind == "stream":
            name = "stderr" if output.get("name") == "stderr" else "stdout"
            yield NotebookNode(output_type=kind, name=name, text=_text(output.get("text")))
        elif kind == "error":
            traceback = output.get("traceback")
            yield NotebookNode(
                output_type=kind,
                ename=_text(output.get("ename")),
                evalue=_text(output.get("evalue")),
                traceback=list(map(_text, traceback)) if isinstance(traceback, list) else [],
            )
        elif kind in ("display_data", "execute_result"):
            data = _bundle(output.get("data"))
            node = NotebookNode(output_type=kind, data=data, metadata=NotebookNode())
            if kind == "execute_result":
                node.execution_count = None
            yield node


def _bundle(data: Any) -> NotebookNode:
    """Keep the entries of a dict of media types that are text."""
    if not isinstance(data, Mapping):
        return NotebookNode()
    return NotebookNode({_text(k): _text(v) for k, v in data.items() if isinstance(v, str | list)})


def _attachments(value: Any) -> NotebookNode | None:
    if not isinstance(value, Mapping):
        return None
    kept = {_text(name): _bundle(data) for name, data in value.items() if isinstance(data, Mapping)}
    return NotebookNode(kept) or None
