"""Turn ``notebooks/source/NN.py`` into the executed ``notebooks/NN.ipynb``.

One way only: the ``.py`` is what authors edit, the ``.ipynb`` is a product.
"""

import os
import re
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

__all__ = ["MAX_BYTES", "NotebookError", "build", "execute", "read_source", "sources", "strip"]

MAX_BYTES = 500_000
CELL_TIMEOUT = 300  # seconds
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class NotebookError(RuntimeError):
    """A notebook cannot be published as it is."""


def sources(root: Path) -> list[Path]:
    """Return the notebook sources below the repository's root, in lecture order."""
    return sorted((root / "notebooks" / "source").glob("*.py"))


def read_source(source: Path) -> NotebookNode:
    """Return the notebook that a percent script describes: no outputs, stable cell ids.

    A cell's id is its section's heading and its number in that section, such as
    ``check-it-adam-2``, so that a cell added to one section leaves the ids of all
    others alone, and a translated twin can be matched cell by cell.
    """
    notebook = jupytext.read(source)
    notebook.metadata = NotebookNode(
        kernelspec=NotebookNode(display_name="Python 3", language="python", name="python3"),
        language_info=NotebookNode(name="python"),
    )
    slug, counts = "top", {}
    for cell in notebook.cells:
        heading = re.match(r"#{1,2} (.+)", cell.source) if cell.cell_type == "markdown" else None
        if heading:
            slug = re.sub(r"[^a-z0-9]+", "-", heading[1].lower()).strip("-")[:40] or "section"
        counts[slug] = counts.get(slug, 0) + 1
        cell.id = f"{slug}-{counts[slug]}"
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook: NotebookNode, folder: Path) -> float:
    """Run every cell in place, in ``folder``; return the wall time in seconds.

    Raises
    ------
    NotebookError
        If a cell writes to standard error: a warning is a fault to be mended.
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    started = time.perf_counter()
    client = NotebookClient(
        notebook, timeout=CELL_TIMEOUT, resources={"metadata": {"path": folder}}
    )
    client.execute()
    seconds = time.perf_counter() - started
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise NotebookError(f"cell {cell.id} wrote to standard error:\n{output.text}")
    return seconds


def strip(notebook: NotebookNode) -> None:
    """Remove what must not be stored: widget state, timings, live views, progress bars.

    A widget keeps its picture and its sentence; what has neither (a finished
    progress bar) goes away.
    """
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if _keep(output)]


def _keep(output: NotebookNode) -> bool:
    data: dict[str, Any] = output.get("data", {})
    if _WIDGET_VIEW not in data:
        return True
    del data[_WIDGET_VIEW]
    return "image/png" in data


def build(source: Path, *, ledger: Path) -> float:
    """Execute one source and write its notebook; return the seconds it took.

    Parameters
    ----------
    ledger
        File to which the notebook's checks are appended.

    Raises
    ------
    NotebookError
        If the result is larger than `MAX_BYTES`.
    """
    folder = source.parent.parent
    notebook = read_source(source)
    os.environ["COURSE_LEDGER"] = str(ledger)
    try:
        seconds = execute(notebook, folder)
    finally:
        del os.environ["COURSE_LEDGER"]
    strip(notebook)
    text = nbformat.writes(notebook) + "\n"
    if len(text.encode()) > MAX_BYTES:
        raise NotebookError(
            f"{source.stem} would be {len(text.encode()) / 1000:.0f} KB; at most "
            f"{MAX_BYTES // 1000} KB are stored. Draw fewer or simpler figures."
        )
    target = folder / f"{source.stem}.ipynb"
    partial = target.with_suffix(".ipynb.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(target)
    return seconds
