"""Public checks: written with the release, read at home, and holding no answer."""

import json

import numpy as np
import pytest

from course_utils.grading import PublicChecks
from course_utils.grading.cases import PUBLIC_SEED, prepare, public_checks
from course_utils.grading.lab import read_lab


@pytest.fixture
def lab(small_lab):
    return read_lab(small_lab)


@pytest.fixture
def checks(lab, tmp_path):
    path = tmp_path / "lab_small.checks.json"
    path.write_text(public_checks(lab), encoding="utf-8")
    return PublicChecks(path)


def test_a_right_answer(checks, capsys):
    checks.run("neuron", {"neuron": lambda x, W, b: x @ W.T + b})
    assert capsys.readouterr().out == "neuron: 3 of 3 points in the public checks.\n"


def test_every_known_wrong_answer_is_told_its_mistake(checks, lab, capsys):
    wrong = [answer for answer in lab.answers if answer.told]
    assert wrong
    for answer in wrong:
        names = {"np": np}
        exec(answer.source, names)
        checks.run(answer.question, names)
        assert answer.told in capsys.readouterr().out


def test_an_answer_that_is_missing_or_raises_does_not_stop_the_notebook(checks, capsys):
    checks.run("neuron", {})
    assert "NameError: name 'neuron' is not defined" in capsys.readouterr().out

    def neuron(x, W, b):
        raise NotImplementedError

    checks.run("neuron", {"neuron": neuron})
    assert "Not answered yet" in capsys.readouterr().out


def test_a_question_of_another_name_is_refused(checks):
    with pytest.raises(ValueError, match="no question 'nuron' in this lab; there are neuron"):
        checks.run("nuron", {})


def test_cases_come_back_as_they_were_drawn(checks, lab):
    for name, drawn in prepare(lab, PUBLIC_SEED, public=True).items():
        for one, other in zip(drawn.criteria, checks.questions[name].criteria, strict=True):
            assert one.criterion.name == other.criterion.name
            for a, b in zip(one.cases, other.cases, strict=True):
                assert a.inputs.keys() == b.inputs.keys()
                for key in a.inputs:
                    np.testing.assert_array_equal(a.inputs[key], b.inputs[key])


def test_graded_cases_are_other_ones(lab):
    public, hidden = prepare(lab, PUBLIC_SEED), prepare(lab, "secret")
    one = public["neuron"].criteria[0].cases[0].inputs["x"]
    other = hidden["neuron"].criteria[0].cases[0].inputs["x"]
    assert not np.array_equal(one, other)
    again = prepare(lab, "secret")["neuron"].criteria[0].cases[0].inputs["x"]
    np.testing.assert_array_equal(again, other)


@pytest.mark.parametrize("content", ["", "{}", "[1, 2]", '{"questions": {"a": {}}}', "\x00"])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "x.checks.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="fetch it again"):
        PublicChecks(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="keep the lab's"):
        PublicChecks(path)


def test_no_code_but_the_programs_is_in_the_file(lab):
    text = public_checks(lab)
    content = json.loads(text)
    assert "def " not in text
    programs = {name: body["program"] for name, body in content["questions"].items()}
    assert programs == {name: q.program for name, q in lab.questions.items()}
