"""Reading a lab's folder, and refusing one that contradicts itself."""

import re

import numpy as np
import pytest

from course_utils.grading.lab import LabError, is_answer, is_manual, is_test, read_lab


def edit(folder, name, old, new, count=1):
    path = folder / "source" / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def test_a_lab(small_lab):
    lab = read_lab(small_lab)
    assert set(lab.questions) == {"neuron", "sigmoid"}
    assert lab.max_points == 10  # 3 and 2 by checks, 5 by hand
    np.testing.assert_allclose(lab.namespace["sigmoid"](np.zeros(1)), 0.5)
    assert "checks" not in lab.namespace  # experiments and tests are not part of the ground
    kinds = [(is_answer(c), is_test(c), is_manual(c)) for c in lab.notebook.cells]
    assert [sum(kind) for kind in zip(*kinds, strict=True)] == [3, 2, 1]
    assert len({cell.id for cell in lab.notebook.cells}) == len(lab.notebook.cells)


def test_what_a_wrong_answer_leaves_out_is_right(small_lab):
    half = "@np.vectorize\ndef half(z):\n    return z / 2\n\n\n"
    edit(small_lab, "lab_small.py", "def sigmoid(z):", f"{half}def sigmoid(z):")
    path = small_lab / "source" / "answers" / "sigmoid.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(f"{text}\n\n# %% wrong: zero\n# It is 0.\ndef sigmoid(z):\n    return 0 * z\n")
    lab, names = read_lab(small_lab), {"np": np}
    exec(lab.cell_with(lab.answers[-1]), names)
    assert (names["sigmoid"](2.0), names["half"](2.0)) == (0, 1)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("questions.py", '"neuron",', '"nuron",', "each question needs the test cell"),
        ("lab_small.py", '"points": 3', '"points": 4', "gives 4 points, the criteria"),
        ("lab_small.py", '"grade_id": "sigmoid"', '"grade_id": "neuron"', "the same grade_id"),
    ],
)
def test_contradictions_are_refused(small_lab, name, old, new, message):
    edit(small_lab, name, old, new)
    with pytest.raises(LabError, match=message):
        read_lab(small_lab)


def test_missing_files_are_named(small_lab):
    (small_lab / "source" / "questions.py").unlink()
    with pytest.raises(LabError, match=re.escape("questions.py, which does not exist")):
        read_lab(small_lab)


def test_a_wrong_answer_must_say_why(small_lab):
    path = small_lab / "source" / "answers" / "neuron.py"
    path.write_text(f"{path.read_text(encoding='utf-8')}\n# %% wrong: silent\nx = 1\n")
    with pytest.raises(LabError, match="'silent' has no comment saying why"):
        read_lab(small_lab)
    (path.parent / "nuron.py").write_text("# %% right: other\nx = 1\n")
    path.unlink()
    with pytest.raises(LabError, match="answers to questions that do not exist"):
        read_lab(small_lab)
