import pytest

from course_utils.grading.fingerprints import (
    code_fragments,
    prose_fragments,
    prose_text,
    token_fragments,
)
from course_utils.grading.markup import to_html
from course_utils.grading.pictures import Album


def runs(source: str, read=code_fragments) -> set:
    return {run for fragment in read(source) for run in fragment.runs}


CODE = """def scale(x, factor=2):
    total = 0
    for row in x:
        total += row.sum() * factor
    return total
"""


@pytest.mark.parametrize(
    "changed",
    [
        CODE.replace("total", "t").replace("row", "r").replace("factor", "by"),
        CODE.replace("    total = 0\n", '    """Doc."""\n\n    # why\n    total = (0)\n'),
        CODE.replace("x, factor=2", "x: Tensor, factor: int = 2").replace("):", ") -> Tensor:"),
        CODE.replace("total += row.sum() * factor", "total = total + row.sum() * factor"),
        CODE.replace("total = 0", "total: int = 0"),
        CODE.replace("    total = 0\n", "    total = 0\n    pass\n    'note'\n    y: int\n"),
        "%matplotlib inline\n!ls\n" + CODE,
    ],
    ids=["names", "comments", "annotations", "augmented", "annotated", "nothing", "magics"],
)
def test_a_change_of_looks_changes_nothing(changed):
    assert changed != CODE
    assert runs(changed) == runs(CODE)


@pytest.mark.parametrize(
    "changed",
    [
        CODE.replace("sum", "mean"),
        CODE.replace("*", "/"),
        CODE.replace("total = 0", "total = 1"),
        CODE.replace("for row in x:\n        total", "if x:\n        total"),
        CODE.replace("factor\n", "factor * row\n"),
    ],
)
def test_a_change_of_meaning_changes_something(changed):
    assert runs(changed) != runs(CODE)


def test_order_does_not_count():
    one, two = "def f(a):\n    return a + 1\n", "def g(a):\n    return a * 2\n"
    assert runs(one + two) == runs(two + one)


def test_swapped_comparisons_are_the_same():
    assert runs("y = f(a > b)") == runs("y = f(b < a)")


def test_which_names_are_the_same_counts():
    assert runs("a = b = 1\nc = a + a") != runs("a = b = 1\nc = a + b")


def test_lines_are_those_of_the_statement_itself():
    lines = {tuple(fragment.lines) for fragment in code_fragments(CODE)}
    assert lines == {(1,), (2,), (3,), (4,), (5,)}
    (call,) = code_fragments("x = f(\n    1,\n)\n")
    assert call.lines == range(1, 4)


@pytest.mark.parametrize("broken", ["def f(:\n", "x = (", "\0", "(" * 5000, "-" * 49_000 + "1"])
def test_code_that_does_not_parse_is_read_by_its_tokens(broken):
    assert code_fragments(broken) is None
    token_fragments(broken)


def test_invalid_escapes_are_no_trouble():
    assert code_fragments("x = '\\d'") is not None


def test_every_kind_of_statement_is_read():
    source = """
@decorator
class A(B):
    async def f(self, *args, **kw):
        with open(x) as self.file, y:
            await z
        try:
            self.a: int = 3
        except (E, F) as error:
            raise error from None
        else:
            del q
        finally:
            return [i async for i in x if i]
match p:
    case [1, *rest] | {"k": v}:
        global g
    case _:
        f = lambda a, b=1: (yield)
"""
    assert len(code_fragments(source)) == 15


def test_tokens_forget_names_and_layout():
    one = runs("alpha = beta.sum(axis=1)  # why", token_fragments)
    assert one == runs("x = y.sum( axis = 1 )", token_fragments)
    assert one != runs("x = y.max(axis=1)", token_fragments)


def test_prose_is_read_by_words():
    text = "The loss falls.\nIt falls slowly.\n\nThen it stays."
    first, second = prose_fragments(text)
    assert (first.lines, second.lines) == (range(1, 3), range(4, 5))
    assert runs(text, prose_fragments) == runs(text.upper().replace(".", "!"), prose_fragments)
    assert ("损", "失", "很", "大") in runs("损失很大。", prose_fragments)


def test_prose_is_found_again_in_what_the_form_grader_shows():
    text = "The loss **falls** & stays < 1.\n\n- it `falls` slowly"
    shown = to_html(text, Album())
    assert "<" not in prose_text(shown).replace("< 1", "")
    assert runs(shown, prose_fragments) == runs(text, prose_fragments)
    assert prose_text(text) == text
