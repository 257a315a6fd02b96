"""Copies are found under disguise; answers that were written apart are not."""

import ast
import re

import pytest

from course_utils.grading.course import ASSIGNMENTS
from course_utils.grading.lab import is_answer, read_lab
from course_utils.grading.similar import MIN_SCORE, similar_pairs
from tests.grading.independent_answers import (
    BATCH_NORM,
    CONVOLUTION,
    CROSS_ENTROPY,
    REPORTS,
)

QUESTIONS = {"convolution": CONVOLUTION, "batch_norm": BATCH_NORM, "cross_entropy": CROSS_ENTROPY}
STUBS = {
    "convolution": "def conv2d(x, w, stride=1, padding=0):\n    raise NotImplementedError\n",
    "batch_norm": "class BatchNorm(nn.Module):\n"
    "    def __init__(self, num_features, eps=1e-5, momentum=0.1):\n"
    "        super().__init__()\n        raise NotImplementedError\n\n"
    "    def forward(self, x):\n        raise NotImplementedError\n",
    "cross_entropy": "def softmax_cross_entropy(logits, y):\n    raise NotImplementedError\n",
    "report": "*Your answer here*",
}


def class_of(question: str, answers: list[str]) -> dict[str, dict[str, str]]:
    return {f"student{n}": {question: text} for n, text in enumerate(answers)}


def pairs_of(question: str, answers: list[str], **options) -> list:
    prose = ["report"] if question == "report" else []
    given = {question: STUBS[question]}
    return similar_pairs(class_of(question, answers), given, prose=prose, **options)


class Rename(ast.NodeTransformer):
    """Give every name that an answer binds another one, but for what is called from outside."""

    def __init__(self, tree: ast.AST) -> None:
        stored = [n for n in ast.walk(tree) if isinstance(getattr(n, "ctx", None), ast.Store)]
        names = {n.id for n in stored if isinstance(n, ast.Name)} | {"x", "w", "y", "logits"}
        names |= {n.attr for n in stored if isinstance(n, ast.Attribute)}
        self.names = {name: f"my_{number}" for number, name in enumerate(sorted(names))}

    def visit_Name(self, node):
        return ast.Name(self.names.get(node.id, node.id), node.ctx)

    def visit_arg(self, node):
        return ast.arg(self.names.get(node.arg, node.arg), node.annotation)

    def visit_Attribute(self, node):
        owner = self.visit(node.value)
        is_own = isinstance(node.value, ast.Name) and node.value.id == "self"
        return ast.Attribute(
            owner, self.names.get(node.attr, node.attr) if is_own else node.attr, node.ctx
        )


def rename(source: str) -> str:
    """Change the names, and the layout with them."""
    tree = ast.parse(source)
    return ast.unparse(ast.fix_missing_locations(Rename(tree).visit(tree)))


def comment(source: str) -> str:
    """Put comments, annotations, empty lines and a docstring in."""
    lines = []
    for line in source.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        lines += [f"{indent}# step {len(lines)}", line, ""]
        if line.rstrip().endswith("):") and "def " in line:
            lines[-1] = f'{indent}    """My own words."""'
    return "\n".join(lines).replace("stride=1,", "stride: int = 1,")


def reorder(source: str) -> str:
    """Split an answer: its last function comes first."""
    parts = re.split(r"(?m)^(?=    def |def )", source)
    return "".join([parts[0], *reversed(parts[1:])])


def pad(source: str) -> str:
    """Put statements in that do nothing."""
    junk = (
        "\n    debug = {}\n    debug['seen'] = len(debug) + 1\n    assert isinstance(debug, dict)"
    )
    return re.sub(r"(?m)^def .*:$", lambda match: match[0] + junk, source) + (
        f"\n\ndef helper(debug):{junk}\n"
    )


def rewrite(source: str) -> str:
    """Change what is computed in small ways."""
    for old, new in (
        ("padding, padding, padding, padding", "*[padding] * 2, padding, padding"),
        ("(window * w[o]).sum()", "(w[o] * window).sum()"),
        ("dim=(0, 2, 3)", "dim=[0, 2, 3]"),
        ("keepdims=True", "keepdims=1"),
        ("torch.sqrt", "torch.Tensor.sqrt"),
        ("total += ", "total = total + "),
    ):
        source = source.replace(old, new)
    return source


SHORT = CONVOLUTION[2]  # five lines
DISGUISES = [rename, comment, reorder, pad, rewrite, lambda s: pad(comment(rename(rewrite(s))))]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize(
    "disguise", DISGUISES, ids=["rename", "comment", "reorder", "pad", "rewrite", "all"]
)
def test_a_copy_is_found_under_disguise(question, disguise):
    for source in QUESTIONS[question]:
        if source == SHORT:
            continue
        others = [answer for answer in QUESTIONS[question] if answer != source]
        assert disguise(source) != source or disguise in (reorder, rewrite)
        (pair,) = pairs_of(question, [source, disguise(source), *others])
        assert pair.students == ("student0", "student1")
        assert pair.score >= MIN_SCORE + 0.1


@pytest.mark.parametrize("question", QUESTIONS)
def test_answers_written_apart_are_not_found(question):
    answers = QUESTIONS[question]
    assert pairs_of(question, answers) == []
    scores = [pair.score for pair in pairs_of(question, answers, min_score=0, min_shared=0)]
    assert len(scores) == len(answers) * (len(answers) - 1) / 2
    assert max(scores) <= MIN_SCORE - 0.1


@pytest.mark.parametrize(
    "lab", sorted(path.parents[1].name for path in ASSIGNMENTS.glob("*/source/questions.py"))
)
def test_right_answers_of_a_lab_are_not_found(lab):
    """Neither two right answers, nor one of them and the solution."""
    lab = read_lab(ASSIGNMENTS / lab)
    cells = {
        cell.metadata["nbgrader"]["grade_id"]: cell.source
        for cell in lab.notebook.cells
        if is_answer(cell)
    }
    for question in lab.questions:
        right = [a.source for a in lab.answers if a.question == question and not a.told]
        solution = re.sub(r".*### (BEGIN|END) SOLUTION\n?", "", cells[question])
        stub = re.sub(r"(?s)### BEGIN SOLUTION.*?### END SOLUTION", "pass", cells[question])
        assert similar_pairs(class_of(question, [*right, solution]), {question: stub}) == []


def test_a_short_answer_proves_nothing():
    assert pairs_of("convolution", [SHORT, SHORT]) == []
    (pair,) = pairs_of("convolution", [SHORT, SHORT], min_shared=0)
    assert pair.score == pytest.approx(1)


def test_what_most_of_a_class_writes_proves_nothing():
    usual, rare = CONVOLUTION[0], CONVOLUTION[1]
    assert len(pairs_of("convolution", [usual, usual])) == 1
    assert pairs_of("convolution", [usual] * 30 + CONVOLUTION[2:]) == []
    found = pairs_of("convolution", [usual] * 30 + [rare, rename(rare)])
    assert [pair.students for pair in found] == [("student30", "student31")]


def test_what_known_answers_hold_proves_nothing():
    answers = [CONVOLUTION[0]] * 2
    known = {"convolution": [CONVOLUTION[0]] * 18}
    assert pairs_of("convolution", answers, known=known) == []


def test_what_was_given_proves_nothing():
    stub = STUBS["convolution"]
    assert pairs_of("convolution", [stub, stub, "", " \n"], min_shared=0) == []
    given = {"convolution": CONVOLUTION[0]}
    answers = class_of("convolution", [CONVOLUTION[0] + "a = 1\n", CONVOLUTION[0] + "b = 2\n"])
    assert similar_pairs(answers, given) == []


def test_code_that_does_not_parse_is_compared_too():
    source, others = CONVOLUTION[1], CONVOLUTION[2:]
    broken = rename(source).replace("return", "return (")
    (pair,) = pairs_of("convolution", [source, broken, *others])
    assert pair.students == ("student0", "student1")
    assert pair.score >= MIN_SCORE + 0.1


def test_copied_reports_are_found():
    for text in REPORTS:
        changed = re.sub(r"\b(thirty|five|three|six|2)\b", "ten", text).replace(
            "结果一致", "结果相同"
        )
        others = [report for report in REPORTS if report != text]
        (pair,) = pairs_of("report", [text, changed.replace("\n", " "), *others])
        assert pair.students == ("student0", "student1")
        assert pair.score >= 0.7
    assert pairs_of("report", REPORTS, min_score=0.1, min_shared=0) == []


def test_a_pair_says_which_lines_are_shared():
    first = "import torch\n\n" + CONVOLUTION[1]
    second = rename(CONVOLUTION[1]) + "\nprint(conv2d(a, b).mean())\n"
    (pair,) = pairs_of("convolution", [first, second])
    assert set(pair.lines[0]) == set(range(4, 18))  # line 3 was given
    assert set(pair.lines[1]) == set(range(2, 16))


def test_pairs_come_in_order():
    answers = {
        name: {"b": BATCH_NORM[0], "a": text}
        for name, text in (("x", CONVOLUTION[1]), ("y", pad(CONVOLUTION[1])), ("z", ""))
    }
    found = similar_pairs(answers, {"a": "", "b": ""})
    assert [(pair.question, pair.students) for pair in found] == [
        ("b", ("x", "y")),
        ("b", ("x", "z")),
        ("b", ("y", "z")),
        ("a", ("x", "y")),
    ]
    assert found == similar_pairs(answers, {"b": "", "a": ""})
