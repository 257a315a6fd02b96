"""What is left of an answer when names, layout, comments and order are taken away.

An answer becomes fragments: statements of code, or paragraphs of prose, each with the
lines where it stands and the short runs of tokens that occur in it. Two answers share
what their fragments have in common, wherever it stands.
"""

import ast
import builtins
import keyword
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape

from course_utils.grading.markup import is_made_here

__all__ = ["Fragment", "code_fragments", "prose_fragments", "prose_text", "token_fragments"]

CODE_RUN = 6  # tokens
WORD_RUN = 4  # words
MAX_SOURCE = 50_000  # characters that are looked at

_MAGIC = re.compile(r"^\s*[%!?].*$", re.M)
_TOKEN = re.compile(r"""\w+|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\S""")
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")  # a Chinese sign is a word of its own
_SWAPPED = ([ast.Gt], [ast.GtE])  # written the other way round
# Where nested statements stand: they are fragments of their own.
_BODIES = ("body", "orelse", "finalbody", "handlers", "cases")
_SKIPPED = ("annotation", "returns", "decorator_list", "ctx", "type_comment", "type_params")


@dataclass(frozen=True)
class Fragment:
    """Lines (counted from 1) and the runs of tokens in them."""

    lines: range
    runs: frozenset[tuple[str, ...]]


def code_fragments(source: str) -> list[Fragment] | None:
    """Return the fragments of Python code, or None where it does not parse."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python warns of a student's invalid escapes
            tree = ast.parse(_MAGIC.sub("", source[:MAX_SOURCE]))
        own = set(_own_names(tree))
        return [
            Fragment(_lines_of(statement), _runs([where, *_Tokens(statement, own)], CODE_RUN))
            for where, statement in _statements(tree, "")
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def token_fragments(source: str) -> list[Fragment]:
    """Return fragments of code line by line; it need not parse."""
    fragments = []
    for number, line in enumerate(source[:MAX_SOURCE].split("\n"), 1):
        tokens, before = [], ""
        for text in _TOKEN.findall(line.partition("#")[0]):
            is_own = text.isidentifier() and not (
                keyword.iskeyword(text) or hasattr(builtins, text)
            )
            tokens.append(
                "text" if text[0] in "\"'" else "name" if is_own and before != "." else text
            )
            before = text
        if tokens:
            fragments.append(Fragment(range(number, number + 1), _runs(tokens, CODE_RUN)))
    return fragments


def prose_fragments(source: str) -> list[Fragment]:
    """Return the fragments of a text: its paragraphs, with runs of words."""
    fragments, first = [], 1
    for paragraph in re.split(r"(\n\s*\n)", prose_text(source)[:MAX_SOURCE]):
        words = _WORD.findall(paragraph.lower())
        after = first + paragraph.count("\n")
        if words:
            fragments.append(Fragment(range(first, after + 1), _runs(words, WORD_RUN)))
        first = after
    return fragments


def prose_text(source: str) -> str:
    """Return a report as text, also where `course_utils.grading.markup` made it HTML."""
    if not is_made_here(source):
        return source
    blocks = re.sub(r"</(?:p|li|tr|pre|h[1-6])>", "\n", source)
    return unescape(re.sub(r"<[^>]*>", "", blocks))


def _runs(tokens: Sequence[str], length: int) -> frozenset[tuple[str, ...]]:
    count = max(1, len(tokens) - length + 1)
    return frozenset(tuple(tokens[n : n + length]) for n in range(count))


def _statements(node: ast.AST, where: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield every statement with the kind of statement that it stands in."""
    for field in _BODIES:
        for child in getattr(node, field, None) or ():
            if not _says_nothing(child):
                yield where, child
                yield from _statements(child, type(child).__name__)


def _says_nothing(statement: ast.AST) -> bool:
    is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    is_bare = isinstance(statement, ast.AnnAssign) and statement.value is None
    return is_text or is_bare or isinstance(statement, ast.Pass)


def _lines_of(statement: ast.AST) -> range:
    """Return the lines of a statement without those of statements in it."""
    first = getattr(statement, "lineno", None) or statement.pattern.lineno
    inner = [child.lineno for _, child in _statements(statement, "") if hasattr(child, "lineno")]
    last = min([getattr(statement, "end_lineno", first) + 1, *(n for n in inner if n > first)])
    return range(first, max(first + 1, last))


def _own_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that the answer binds itself: they can be changed at will."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else f".{node.attr}"
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            yield node.name or ""
        elif isinstance(node, ast.arg):
            yield node.arg


class _Tokens:
    """A statement's parts in order; own names are numbered by their first place in it."""

    def __init__(self, statement: ast.AST, own: set[str]) -> None:
        self.statement, self.own = statement, own
        self.numbers: dict[str, int] = {}

    def __iter__(self) -> Iterator[str]:
        return self.walk(self.statement)

    def name(self, text: str) -> str:
        if text not in self.own:
            return text
        return f"name{self.numbers.setdefault(text, len(self.numbers))}"

    def walk(self, node: ast.AST) -> Iterator[str]:
        skipped = (*_SKIPPED, *_BODIES) if node is self.statement else _SKIPPED
        node = _plain(node)
        if isinstance(node, ast.Name):
            yield self.name(node.id)
            return
        yield type(node).__name__
        if isinstance(node, ast.Attribute):
            yield "name" if f".{node.attr}" in self.own else f".{node.attr}"
        elif isinstance(node, ast.Constant):
            yield "text" if isinstance(node.value, str) else repr(node.value)[:20]
        elif isinstance(node, ast.arg):
            yield self.name(node.arg)
        elif isinstance(node, ast.keyword):
            yield f"{node.arg}="
        for field, value in ast.iter_fields(node):
            if field not in skipped:
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from self.walk(child)


def _plain(node: ast.AST) -> ast.AST:
    """Return the plainer form of what can be written in two ways."""
    if isinstance(node, ast.AugAssign):
        return ast.Assign([node.target], ast.BinOp(node.target, node.op, node.value))
    if isinstance(node, ast.AnnAssign):
        return ast.Assign([node.target], node.value)
    if isinstance(node, ast.Compare) and [type(op) for op in node.ops] in _SWAPPED:
        swapped = ast.Lt() if isinstance(node.ops[0], ast.Gt) else ast.LtE()
        return ast.Compare(node.comparators[0], [swapped], [node.left])
    return node
