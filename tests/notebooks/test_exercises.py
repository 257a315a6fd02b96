"""Each exercise is open in the notebook, and its folded solution earns "Correct."."""

import re
from pathlib import Path

import pytest
from nbclient import NotebookClient

from course_utils.authoring.notebooks import read_source, sources

ROOT = Path(__file__).parents[2]
SOLUTION = re.compile(r"<details><summary>Solution</summary>\s+```python\n(.*?)```", re.S)


def is_exercise(cell) -> bool:
    return "exercise" in cell.metadata.get("tags", [])


@pytest.fixture(scope="module", params=sources(ROOT), ids=lambda p: p.stem)
def solved(request):
    """The notebook after a run in which every stub was replaced by its solution."""
    notebook = read_source(request.param)
    stub = None
    for cell in notebook.cells:
        if is_exercise(cell):
            assert stub is None, f"{stub.id} has no solution"
            stub = cell
        elif stub is not None and (found := SOLUTION.search(cell.source)):
            stub.source = found[1]
            stub = None
    assert stub is None, f"{stub.id} has no solution"
    NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": request.param.parents[1]}}
    ).execute()
    return notebook


def verdicts(notebook) -> list[str]:
    """Return what each check cell of an exercise printed, in order."""
    return [
        "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.cell_type == "code" and "check_exercise(" in cell.source and not is_exercise(cell)
    ]


def test_every_solution_is_correct(solved):
    said = verdicts(solved)
    assert len(said) >= 3
    assert all(line == "Correct." for text in said for line in text.strip().splitlines()), said


@pytest.mark.parametrize("source", sources(ROOT), ids=lambda p: p.stem)
def test_every_exercise_is_left_open(source):
    import nbformat

    notebook = nbformat.read(source.parents[1] / f"{source.stem}.ipynb", as_version=4)
    assert sum(map(is_exercise, notebook.cells)) == len(verdicts(notebook))
    for text in verdicts(notebook):
        assert set(text.strip().splitlines()) == {"Not answered yet."}
