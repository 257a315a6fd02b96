"""Notebooks are built one way, stored clean, and the README's tables come from the ledger."""

import json

import nbformat
import pytest

from course_utils.authoring import coverage, notebooks

HEADER = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

"""
SOURCE = """# %% [markdown]
# # Count to three

# %%
import os
from course_utils.checks import Ledger
ledger = Ledger("01_demo")

# %% [markdown]
# ## Check it: adding

# %%
ledger.check_equal(2, "one and two", 1 + 2, 3)

# %% [markdown] tags=["row-3"]
# A story of long ago.
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "notebooks" / "source").mkdir(parents=True)
    (tmp_path / "build").mkdir()
    (tmp_path / "notebooks" / "source" / "01_demo.py").write_text(HEADER + SOURCE)
    (tmp_path / "notebooks" / "coverage.csv").write_text(
        "row,system,notebook,level\n1,Forgotten,01_demo,built\n2,Adding,01_demo,built\n"
        "3,History,01_demo,told\n4,Later,02_later,built\n"
    )
    (tmp_path / "README.md").write_text(f"before\n{coverage.BEGIN}\n{coverage.END}\nafter\n")
    return tmp_path


def build(root):
    [source] = notebooks.sources(root)
    return notebooks.build(source, ledger=root / "build" / "ledger.jsonl")


def test_cell_ids_follow_the_sections(root):
    [source] = notebooks.sources(root)
    ids = [cell.id for cell in notebooks.read_source(source).cells]
    assert ids == [
        "count-to-three-1",
        "count-to-three-2",
        "check-it-adding-1",
        "check-it-adding-2",
        "check-it-adding-3",
    ]


def test_a_cell_added_to_one_section_leaves_other_ids_alone(root):
    [source] = notebooks.sources(root)
    before = {cell.source: cell.id for cell in notebooks.read_source(source).cells}
    source.write_text(source.read_text().replace("ledger = ", "\n# %%\nledger = "))
    after = {cell.source: cell.id for cell in notebooks.read_source(source).cells}
    shared = before.keys() & after.keys()
    assert len(shared) == 4
    assert all(before[text] == after[text] for text in shared)


def test_build_executes_records_and_stores_clean(root):
    assert build(root) > 0
    notebook = nbformat.read(root / "notebooks" / "01_demo.ipynb", as_version=4)
    assert "ok  row 2" in notebook.cells[3].outputs[0].text
    assert "widgets" not in notebook.metadata
    [entry] = (root / "build" / "ledger.jsonl").read_text().splitlines()
    assert json.loads(entry)["row"] == 2
    assert not list(root.glob("notebooks/*.partial"))


def test_a_failing_notebook_leaves_the_old_one_as_it_was(root):
    build(root)
    old = (root / "notebooks" / "01_demo.ipynb").read_bytes()
    [source] = notebooks.sources(root)
    source.write_text(source.read_text().replace("1 + 2, 3", "1 + 2, 4"))
    with pytest.raises(Exception, match="one and two: got 3, expected 4"):
        build(root)
    assert (root / "notebooks" / "01_demo.ipynb").read_bytes() == old


def test_a_warning_stops_the_build(root):
    [source] = notebooks.sources(root)
    source.write_text(source.read_text() + "\n# %%\nimport warnings\nwarnings.warn('old name')\n")
    with pytest.raises(notebooks.NotebookError, match="old name"):
        build(root)


def test_a_notebook_that_is_too_large_is_refused(root, monkeypatch):
    monkeypatch.setattr(notebooks, "MAX_BYTES", 100)
    with pytest.raises(notebooks.NotebookError, match="fewer or simpler figures"):
        build(root)


def test_strip_keeps_a_widgets_picture_and_drops_a_progress_bar():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    outputs = [
        nbformat.v4.new_output("display_data", {**view, "image/png": "x", "text/plain": "a race"}),
        nbformat.v4.new_output("display_data", {**view, "text/plain": "100%"}),
        nbformat.v4.new_output("stream", text="kept"),
    ]
    cell = nbformat.v4.new_code_cell("w", outputs=outputs)
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {}}})
    notebooks.strip(notebook)
    assert "widgets" not in notebook.metadata
    assert [sorted(o.get("data", {})) for o in cell.outputs] == [["image/png", "text/plain"], []]


def test_tables_count_only_what_was_recorded_or_tagged(root):
    build(root)
    assert not coverage.update(root)
    text = (root / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "| `01_demo` | 1 of 2 | - | 1 of 1 | 1 |" in text
    assert "Whole course: 2 of 4 systems." in text
    assert "| 2 | Adding | `01_demo` | 1 value | exact |" in text
    assert "Forgotten" not in text
    assert coverage.update(root, check=True)


def test_check_sees_a_claim_that_no_run_backs(root):
    build(root)
    coverage.update(root)
    readme = root / "README.md"
    readme.write_text(readme.read_text().replace("1 of 2", "2 of 2"))
    claimed = readme.read_text()
    assert not coverage.update(root, check=True)
    assert readme.read_text() == claimed


def test_missing_ledger_and_markers_are_named(root):
    with pytest.raises(FileNotFoundError, match="make ledger"):
        coverage.update(root)
    build(root)
    (root / "README.md").write_text("no markers")
    with pytest.raises(ValueError, match="once each"):
        coverage.update(root)
