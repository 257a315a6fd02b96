"""The release of a lab holds what students need and nothing of what they must not have."""

import base64
import json
import zipfile

import nbformat
import pytest

from course_utils.grading.lab import read_lab
from course_utils.grading.release import (
    ReleaseError,
    notebook_with_tests,
    release_notebook,
    scan,
    write_release,
)
from tests.grading.small_lab import NAME, write_small_lab

SOLUTION = "    weighted_inputs = x @ W.T\n    return weighted_inputs + b\n"


@pytest.fixture
def folder(tmp_path):
    return write_small_lab(tmp_path / "assignments")


@pytest.fixture
def lab(folder):
    return read_lab(folder)


@pytest.fixture
def texts(lab, tmp_path):
    """The texts of a clean release, by file name."""
    return {path.name: path.read_text() for path in write_release(lab, tmp_path / "clean")}


def edit(folder, old, new):
    """Change the lab's source, as an author would, and read it again."""
    path = folder / "source" / f"{NAME}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return read_lab(folder)


def test_students_get_stubs_with_stable_ids_and_the_public_half_of_the_tests(lab):
    notebook = release_notebook(lab)
    nbformat.validate(notebook)
    assert [c.id for c in notebook.cells] == [c.id for c in lab.notebook.cells]
    assert notebook.metadata.kernelspec.name == "python3"
    cells = {cell.id: cell for cell in notebook.cells}
    assert "raise NotImplementedError()" in cells["neuron"].source
    assert "def neuron(x, W, b):" in cells["neuron"].source
    assert cells["neuron-test"].source == 'checks.run("neuron", globals())'
    assert cells["report-sigmoid"].source == "YOUR ANSWER HERE"
    assert cells["cell-2"].metadata == {"tags": ["experiment"]}


def test_the_lab_itself_is_not_changed(lab):
    before = nbformat.writes(lab.notebook)
    release_notebook(lab)
    assert nbformat.writes(lab.notebook) == before


def test_cells_are_locked_and_summed_as_nbgrader_does_it(lab):
    from nbgrader.utils import compute_checksum

    cells = {cell.id: cell for cell in release_notebook(lab).cells}
    for cell in cells.values():
        if "nbgrader" in cell.metadata:
            assert cell.metadata.nbgrader.checksum == compute_checksum(cell)
    assert cells["neuron-test"].metadata.editable is False
    assert cells["neuron"].metadata.deletable is False
    assert "editable" not in cells["neuron"].metadata


def test_the_gradebook_keeps_the_hidden_tests_and_no_solution(lab):
    cells = {cell.id: cell.source for cell in notebook_with_tests(lab).cells}
    assert 'hidden_test("lab_small", "neuron", globals())' in cells["neuron-test"]
    assert "weighted_inputs" not in cells["neuron"]


def test_a_region_without_end_is_refused(folder):
    lab = edit(folder, "### END HIDDEN TESTS\n\n# %% [markdown]\n# ## The sigmoid", "\n# %%\n")
    with pytest.raises(ReleaseError, match="lab_small: nbgrader's ClearHiddenTests refuses it"):
        release_notebook(lab)


def test_a_clean_lab_passes(lab, texts):
    assert scan(lab, texts) == []


def test_what_given_cells_and_the_public_checks_say_is_no_leak(folder, tmp_path):
    lab = edit(folder, "scale = 2.0", "scale = 2.0\nexample = np.ones((1, 3)) @ np.ones((2, 3)).T")
    lab = edit(folder, "weighted_inputs = x @ W.T", "example = np.ones((1, 3)) @ np.ones((2, 3)).T")
    assert write_release(lab, tmp_path / "release")


def test_a_known_answer_that_is_the_stub_is_no_leak(folder, tmp_path):
    answers = folder / "source" / "answers" / "neuron.py"
    stub = "def neuron(x, W, b):\n    raise NotImplementedError()\n"
    answers.write_text(f"{answers.read_text()}\n\n# %% wrong: stub\n# Not answered.\n{stub}")
    assert write_release(read_lab(folder), tmp_path / "release")


def in_markdown(cells):
    cells["cell-3"]["source"] = "A hint:\n\n```python\n" + SOLUTION + "```\n"


def in_list_of_lines(cells):
    cells["cell-3"]["source"] = ["The answer\n", *SOLUTION.splitlines(keepends=True)]


def in_output(cells):
    cells["neuron"]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": SOLUTION}]


def in_html(cells):
    line = "return np.where(z &gt;= 0, 1.0, <b>small_side</b>) / (1.0 + small_side)"
    cells["cell-6"]["source"] = f"<pre>{line}</pre>"


def in_metadata(cells):
    cells["neuron"]["metadata"]["backup"] = {"old": [SOLUTION]}


def in_comment_indented_otherwise(cells):
    cells["cell-1"]["source"] += "\n#\t\tweighted_inputs=x@W.T"


def in_nested_json(cells):
    cells["cell-1"]["metadata"]["saved"] = json.dumps({"cell": json.dumps({"source": SOLUTION})})


def marker_after_code(cells):
    cells["cell-1"]["source"] += "\nfirst, second, third = 1, 2, 3  # END_HIDDEN TESTS"


def in_base64(cells):
    cells["cell-3"]["attachments"] = {"a.txt": base64.b64encode(SOLUTION.encode()).decode()}


def right_answer(cells):
    cells["sigmoid"]["source"] = "def sigmoid(z):\n    return (1.0 + np.tanh(z / 2.0)) / 2.0"


def wrong_answer(cells):
    cells["sigmoid"]["source"] += '\n    with np.errstate(over = "ignore"):\n        pass'


def reference_of_questions(cells):
    cells["cell-1"]["source"] += "\nreference = np.einsum('bi,oi->bo', x, W) + b[None, :]"


def hidden_test(cells):
    cells["sigmoid-test"]["source"] += '\nhidden_test("lab_small", "sigmoid", globals())'


def written_answer(cells):
    cells["report-sigmoid"]["source"] = (
        "The exponential of a large number overflows, so only exponentials of negative numbers "
        "are taken."
    )


def any_output(cells):
    cells["cell-9"]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "0.5"}]


@pytest.mark.parametrize(
    ("plant", "told"),
    [
        (in_markdown, "a line of the solution of neuron: weighted_inputs = x @ W.T"),
        (in_list_of_lines, "a line of the solution of neuron"),
        (in_output, "a line of the solution of neuron"),
        (in_html, "a line of the solution of sigmoid"),
        (in_metadata, "a line of the solution of neuron"),
        (in_comment_indented_otherwise, "a line of the solution of neuron"),
        (in_nested_json, "a line of the solution of neuron"),
        (marker_after_code, "a marker: first, second"),
        (in_base64, "a line of the solution of neuron"),
        (right_answer, "a line of the right answer 'tanh' to sigmoid"),
        (wrong_answer, "a line of the wrong answer 'sign' to sigmoid"),
        (reference_of_questions, "a line of questions.py: return np.einsum"),
        (hidden_test, "a line of a hidden test of sigmoid-test"),
        (written_answer, "a line of the solution of report-sigmoid"),
        (any_output, "the output of the cell cell-9"),
    ],
)
def test_a_leak_in_the_notebook_is_found(lab, texts, plant, told):
    notebook = json.loads(texts[f"{NAME}.ipynb"])
    plant({cell["id"]: cell for cell in notebook["cells"]})
    leaks = scan(lab, {f"{NAME}.ipynb": json.dumps(notebook)})
    assert any(leak.startswith(f"{NAME}.ipynb: {told}") for leak in leaks), leaks


def test_a_solution_in_the_checks_is_found(lab, texts):
    checks = json.loads(texts[f"{NAME}.checks.json"])
    checks["questions"]["neuron"]["note"] = SOLUTION
    leaks = scan(lab, {"checks": json.dumps(checks)})
    assert leaks == ["checks: a line of the solution of neuron: weighted_inputs = x @ W.T"]


def test_a_seed_is_found(lab):
    found = scan(lab, {"README.txt": "drawn with e4b1d2"}, secrets=["e4b1d2"])
    assert found == ["README.txt: a text that was named secret"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("### BEGIN HIDDEN TESTS", "### BEGIN HIDDEN TEST", "a marker: ### BEGIN HIDDEN TEST"),
        ("### BEGIN HIDDEN TESTS", "### BEIGN HIDDEN TESTS", "a marker: ### BEIGN HIDDEN TESTS"),
        ("scale = 2.0", "## begin solution\nscale = 2.0", "a marker: ## begin solution"),
        (
            "# `neuron(x, W, b)` maps",
            "# weighted_inputs = x @ W.T\n# return weighted_inputs + b\n# `neuron(x, W, b)` maps",
            "all of the solution of neuron, in one cell: weighted_inputs = x @ W.T",
        ),
    ],
)
def test_an_authors_slip_is_refused_and_nothing_is_written(folder, tmp_path, old, new, told):
    lab = edit(folder, old, new)
    with pytest.raises(ReleaseError) as caught:
        write_release(lab, tmp_path / "release", tmp_path / "lab.zip")
    assert f"lab_small is not released, it would leak:\n  {NAME}.ipynb: " in str(caught.value)
    assert told in str(caught.value)
    assert not (tmp_path / "release").exists()
    assert not (tmp_path / "lab.zip").exists()


def test_a_named_secret_is_refused(lab, tmp_path):
    with pytest.raises(ReleaseError, match="named secret"):
        write_release(lab, tmp_path / "release", secrets=["Compute a neuron"])


def test_the_same_lab_gives_the_same_bytes(folder, tmp_path):
    first, second = (
        write_release(read_lab(folder), tmp_path / name, tmp_path / f"{name}.zip")
        for name in ("one", "two")
    )
    assert [path.name for path in first] == [f"{NAME}.ipynb", f"{NAME}.checks.json", "one.zip"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted(p.name for p in (tmp_path / "one").iterdir()) == sorted(
        path.name for path in first[:2]
    )


def test_the_zip_holds_the_files_and_says_how_to_start(lab, tmp_path):
    notebook, checks, archive = write_release(lab, tmp_path / "release", tmp_path / "lab.zip")
    with zipfile.ZipFile(archive) as opened:
        assert opened.namelist() == [
            f"{NAME}/README.txt",
            f"{NAME}/{NAME}.checks.json",
            f"{NAME}/{NAME}.ipynb",
        ]
        assert opened.read(f"{NAME}/{NAME}.ipynb") == notebook.read_bytes()
        assert opened.read(f"{NAME}/{NAME}.checks.json") == checks.read_bytes()
        readme = opened.read(f"{NAME}/README.txt").decode()
    assert readme.startswith("Compute a neuron\n")
    assert "course check lab_small" in readme
