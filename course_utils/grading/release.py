"""What students are given: a lab without its solutions and hidden tests, scanned before it leaves.

nbgrader's own preprocessors cut the notebook. What they leave is searched for everything
that must stay behind, since a misspelt marker or a pasted cell is enough to give it away.
"""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils.grading.cases import public_checks
from course_utils.grading.lab import Lab
from course_utils.grading.leaks import scan
from course_utils.grading.results import write_atomically

__all__ = ["ReleaseError", "notebook_with_tests", "release_notebook", "scan", "write_release"]

README = """{title}

Keep the files of this folder together:
  {name}.ipynb         the lab; open it and follow it from the top
  {name}.checks.json   the checks that you can run at home

To start, set up the course as its README.md says (`make lab` does it), then

  .venv/bin/jupyter lab PATH/TO/{name}.ipynb

Write your answers into the cells that say so; add cells where you like, but delete none.
After an answer, run the check below it, or all of them from a terminal:

  .venv/bin/course check {name} PATH/TO/{name}.ipynb

The checks say what is wrong and why. Grading uses other numbers, and more of them.

To hand in, restart the kernel, run all cells, save, and upload the one file {name}.ipynb.
"""
FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can say


class ReleaseError(ValueError):
    """A lab cannot be released: it does not pass nbgrader, or would give something away."""


def release_notebook(lab: Lab) -> NotebookNode:
    """Return the students' notebook: no solutions, no hidden tests, no outputs.

    Raises
    ------
    ReleaseError
        If nbgrader refuses the notebook, for example for a region that does not end.
    """
    return _through(
        lab,
        notebook_with_tests(lab),
        ["ClearHiddenTests", "ClearMarkScheme", "ComputeChecksums", "CheckCellMetadata"],
    )


def notebook_with_tests(lab: Lab) -> NotebookNode:
    """Return the notebook without solutions but with hidden tests, as nbgrader's gradebook has it.

    Raises
    ------
    ReleaseError
        If nbgrader refuses the notebook.
    """
    return _through(
        lab,
        lab.notebook,
        ["LockCells", "ClearSolutions", "ClearOutput", "CheckCellMetadata", "ComputeChecksums"],
    )


def write_release(
    lab: Lab, folder: Path, archive: Path | None = None, *, secrets: Sequence[str] = ()
) -> list[Path]:
    """Write ``NAME.ipynb`` and ``NAME.checks.json`` into a folder, and a zip of both.

    Parameters
    ----------
    archive
        Path of the zip, which also holds a README; None makes no zip. The same lab
        gives the same bytes.
    secrets
        More texts that must not be in it, such as the seed of the graded cases.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    ReleaseError
        If something would leak; nothing is written then.
    """
    texts = {
        f"{lab.name}.ipynb": nbformat.writes(release_notebook(lab)) + "\n",
        f"{lab.name}.checks.json": public_checks(lab),
        "README.txt": README.format(title=_title(lab), name=lab.name),
    }
    if leaks := scan(lab, texts, secrets):
        raise ReleaseError(f"{lab.name} is not released, it would leak:\n  " + "\n  ".join(leaks))
    files = {folder / name: text for name, text in texts.items() if name != "README.txt"}
    for path, text in files.items():
        write_atomically(path, text)
    if archive is None:
        return list(files)
    write_atomically(archive, _zipped(lab.name, texts))
    return [*files, archive]


def _through(lab: Lab, notebook: NotebookNode, names: Sequence[str]) -> NotebookNode:
    """Send a copy of a notebook through some of nbgrader's preprocessors."""
    from nbgrader import preprocessors

    notebook, resources = nbformat.from_dict(notebook), {}
    for name in names:
        try:
            notebook, resources = getattr(preprocessors, name)().preprocess(notebook, resources)
        except Exception as error:  # nbgrader raises plain RuntimeErrors and its own kinds
            raise ReleaseError(f"{lab.name}: nbgrader's {name} refuses it: {error}") from error
    for cell in notebook.cells:
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's note on the layout of the source
    nbformat.validate(notebook)
    return notebook


def _title(lab: Lab) -> str:
    """Return the first heading of the notebook, else the lab's name."""
    for cell in lab.notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("# "):
            return cell.source.splitlines()[0].removeprefix("# ").strip()
    return lab.name


def _zipped(name: str, texts: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file, text in sorted(texts.items()):
            entry = zipfile.ZipInfo(f"{name}/{file}", FIRST_DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # as Unix does it, on every system
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, text)
    return buffer.getvalue()
