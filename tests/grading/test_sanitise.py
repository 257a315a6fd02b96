import copy

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import NotebookNode, from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_utils.grading.lab import is_answer
from course_utils.grading.markup import MAX_MARKDOWN, is_made_here
from course_utils.grading.sanitise import MAX_ADDED, MAX_OUTPUT, MAX_OUTPUTS, MAX_SOURCE, sanitise
from tests.grading.hostile_markup import ATTACKS, PNG, attack_cells


def settings_of(grade_id: str, **more) -> dict:
    own = {"grade": False, "grade_id": grade_id, "locked": False, "schema_version": 3}
    return {"nbgrader": {**own, "solution": True, "task": False, **more}}


def released() -> NotebookNode:
    return new_notebook(
        cells=[
            new_markdown_cell("# Lab <b>one</b>", id="title"),
            new_code_cell("import numpy as np", id="set-up"),
            new_code_cell("raise NotImplementedError", id="conv", metadata=settings_of("conv")),
            new_markdown_cell(
                "*Your answer*", id="report", metadata=settings_of("report", grade=True, points=4)
            ),
        ],
        metadata={"language_info": {"name": "python"}},
    )


def handed_in(**sources: str) -> list[NotebookNode]:
    cells = released().cells
    for cell in cells:
        cell.source = sources.get(cell.id, cell.source)
    return cells


def outputs_of(*outputs) -> list[NotebookNode]:
    """Return what stays of outputs of the answer."""
    cells = handed_in()
    cells[2].outputs = list(outputs)
    return sanitise(cells, released()).cells[2].outputs


def display(**data) -> dict:
    names = {"png": "image/png", "html": "text/html", "plain": "text/plain", "js": "x/javascript"}
    bundle = {names[name]: value for name, value in data.items()}
    return {"output_type": "display_data", "data": bundle, "metadata": {}}


def test_given_cells_are_those_of_the_release():
    cells = handed_in(title="# Mine <script>alert(1)</script>", **{"set-up": "import os"})
    for cell in cells:
        cell.metadata = {"nbgrader": {"points": 100}, "tags": ["x"]}
    notebook = sanitise(cells, released())
    for cell, model in zip(notebook.cells, released().cells, strict=True):
        assert cell.metadata == model.metadata
        assert cell.id == model.id
        if not is_answer(model):
            assert cell.source == model.source


def test_answers_are_the_students():
    notebook = sanitise(handed_in(conv="x = a < b", report="**Mine**"), released())
    assert notebook.cells[2].source == "x = a < b"
    assert "<strong>Mine</strong>" in notebook.cells[3].source
    assert is_made_here(notebook.cells[3].source)


def test_an_answer_keeps_the_kind_of_its_cell():
    cells = handed_in(report="x = 1")
    cells[3].cell_type = "code"
    cells[3].outputs = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    kept = sanitise(cells, released()).cells[3]
    assert kept.cell_type == "markdown"
    assert "outputs" not in kept


def test_cells_that_were_added_keep_their_place_and_no_metadata():
    cells = handed_in()
    own = new_markdown_cell("mine", id="zz", metadata={"nbgrader": {"grade": True}})
    cells[2:2] = [own, new_code_cell("y = 1", id="yy", metadata={"tags": ["x"]})]
    kept = sanitise(cells, released()).cells
    assert [c.id for c in kept] == ["title", "set-up", "added-1", "added-2", "conv", "report"]
    assert kept[2].metadata == kept[3].metadata == {}
    assert kept[3].source == "y = 1"


def test_a_copied_cell_is_one_that_was_added():
    cells = handed_in(conv="first")
    cells.insert(3, from_dict({**cells[2], "source": "second"}))
    kept = sanitise(cells, released()).cells
    assert [(c.id, c.source) for c in kept[2:4]] == [("conv", "first"), ("added-1", "second")]
    assert kept[3].metadata == {}


def test_nothing_that_was_handed_over_changes():
    cells, pristine = attack_cells() + handed_in(conv="x"), released()
    before = copy.deepcopy((cells, pristine))
    notebook = sanitise(cells, pristine)
    notebook.cells[-1].metadata["nbgrader"]["points"] = 100
    assert (cells, pristine) == before


def test_text_errors_and_pictures_stay():
    stream = new_output("stream", name="stderr", text="50%\r100%\n\x1b[31mred\x1b[0m <b>")
    error = new_output(
        "error", ename="ValueError", evalue="a < b", traceback=["\x1b[31mline\x1b[0m", "end"]
    )
    picture = {**display(png=PNG, plain="<Figure>"), "metadata": {"image/png": {"alt": "A loss"}}}
    kept = outputs_of(stream, error, picture)
    assert kept[0] == {**stream, "text": "100%\n\x1b[31mred\x1b[0m <b>"}
    assert kept[1] == error
    assert set(kept[2].data) == {"image/png", "text/plain"}
    assert kept[2].metadata == {"image/png": {"alt": "A loss"}}


@pytest.mark.parametrize(
    ("output", "text"),
    [
        (display(html="<script>"), "[left out: text/html]"),
        (display(html="<table>", plain="a table"), "a table"),
        (display(js="alert(1)"), "[left out: x/javascript]"),
        (display(png="not a picture"), "[left out: image/png]"),
        (display(png="not a picture", plain="<Figure>"), "<Figure>"),
        ({"output_type": "execute_result", "data": {"text/plain": "3"}}, "3"),
    ],
)
def test_other_outputs_leave_their_text_or_a_word(output, text):
    (kept,) = outputs_of(output)
    assert kept.data == {"text/plain": text}
    assert kept.metadata == {}


@pytest.mark.parametrize(
    "output",
    [None, "x", 3, {}, {"output_type": "x"}, {"output_type": "display_data", "data": []}],
)
def test_malformed_outputs_are_dropped(output):
    assert outputs_of(output) == []


def test_a_picture_without_words_says_so():
    (kept,) = outputs_of(display(png=PNG))
    assert kept.metadata["image/png"]["alt"] == "A picture without a description."


@pytest.mark.parametrize("count", ["<script>", -1, 10**6, True, 1.5, None])
def test_the_number_of_a_cell_is_a_number(count):
    cells = handed_in()
    cells[2].execution_count = count
    assert sanitise(cells, released()).cells[2].execution_count is None
    cells[2].execution_count = 7
    assert sanitise(cells, released()).cells[2].execution_count == 7


def test_sizes_are_bounded():
    cells = handed_in(conv="x" * 10**6, report="y" * 10**6)
    big = {"output_type": "stream", "name": "stdout", "text": "z" * 10**6}
    cells[2].outputs = [big] * (MAX_OUTPUTS + 9)
    added = {"cell_type": "code", "source": "w" * 10**5, "outputs": [big] * 9}
    cells += [from_dict(added) for _ in range(MAX_ADDED + 30)]
    kept = sanitise(cells, released())
    assert kept.cells[2].source.startswith("x" * MAX_SOURCE + "\n[left out: 800000 more")
    assert len(kept.cells[2].outputs) == MAX_OUTPUTS + 1
    assert kept.cells[2].outputs[0].text.startswith("z" * MAX_OUTPUT + "\n[left out:")
    assert kept.cells[2].outputs[-1].text == "[left out: 9 more outputs]\n"
    assert "more cells that the student added are left out" in kept.cells[-1].source
    assert len(nbformat.writes(kept)) < 3_000_000


def test_the_number_of_cells_is_bounded():
    cells = [new_code_cell("x") for _ in range(MAX_ADDED + 3)]
    kept = sanitise([*cells, *handed_in()], released()).cells
    assert len(kept) == MAX_ADDED + len(handed_in()) + 1
    assert "3 more cells" in kept[-1].source


def test_answers_have_room_whatever_else_is_there():
    flood = [new_code_cell("w" * 10**5) for _ in range(50)]
    kept = sanitise([*flood, *handed_in(conv="mine", report="words")], released())
    assert next(c for c in kept.cells if c.id == "conv").source == "mine"
    assert "words" in next(c for c in kept.cells if c.id == "report").source


def test_the_time_for_added_markdown_is_bounded():
    long = "word " * (MAX_MARKDOWN // 5)
    kept = sanitise([new_markdown_cell(long) for _ in range(9)], released())
    parsed = [cell for cell in kept.cells if "<pre>" not in cell.source]
    assert len(parsed) == 4


def test_raw_and_unknown_cells_are_shown_as_they_were_typed():
    raw = from_dict({"cell_type": "raw", "id": "x", "metadata": {}, "source": "<b>x</b>"})
    odd = from_dict({"cell_type": "odd", "id": "y", "metadata": {}, "source": "y"})
    kept = sanitise([raw, odd], released()).cells
    assert [cell.cell_type for cell in kept] == ["markdown", "markdown"]
    assert "<pre>&lt;b&gt;x&lt;/b&gt;</pre>" in kept[0].source


def test_attacks_give_a_valid_notebook():
    kept = sanitise(attack_cells(), released())
    assert len(kept.cells) == len(ATTACKS)
    nbformat.validate(kept)
    nbformat.reads(nbformat.writes(kept).encode().decode(), as_version=4)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=9,
)
CELL = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["conv", "report", "title"]) | JSON.filter(lambda v: v == v),
        "cell_type": st.sampled_from(["code", "markdown", "raw"]) | JSON,
        "source": st.text() | JSON,
        "metadata": JSON,
        "attachments": JSON | st.just({"a": {"image/png": PNG}}),
        "execution_count": JSON,
        "outputs": JSON
        | st.lists(
            st.fixed_dictionaries(
                {"output_type": st.sampled_from(["stream", "error", "display_data"])},
                optional={
                    "name": JSON,
                    "text": JSON,
                    "data": JSON | st.dictionaries(st.sampled_from(["image/png", "x"]), JSON),
                    "metadata": JSON,
                    "ename": JSON,
                    "evalue": JSON,
                    "traceback": JSON,
                },
            ),
            max_size=3,
        ),
    },
)


@settings(max_examples=200, deadline=None)
@given(st.lists(CELL, max_size=4))
def test_whatever_comes_becomes_a_valid_notebook(cells):
    kept = sanitise([from_dict(cell) for cell in cells], released())
    nbformat.validate(kept)
    nbformat.writes(kept).encode()
