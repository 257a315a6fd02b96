"""What a person should look at in a submission: code that reaches where answers need not.

A flag takes no points. It is for instructors: wrong suspicions stay among them.
"""

import ast
import re
from collections.abc import Iterator, Mapping

from course_utils.grading.likeness import parsed

__all__ = ["find_flags"]

SUSPICIOUS_MODULES = {
    "ctypes",
    "gc",
    "importlib",
    "inspect",
    "multiprocessing",
    "nbgrader",
    "os",
    "pickle",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "threading",
}
SUSPICIOUS_NAMES = {"__import__", "_getframe", "eval", "exec", "globals", "open"}
SUSPICIOUS_ATTRIBUTES = {
    "_C",
    "__builtins__",
    "__globals__",
    "_decomp",
    "_refs",
    "autograd",
    "enable_grad",
    "f_back",
    "f_locals",
    "inference_mode",
    "ops",
    "vjp",
}
MAX_CELL = 200_000  # characters; no answer has a tenth of them
MAX_LITERAL = 2000  # characters of a text in code: more may be weights, or a table of answers


def find_flags(cells: Mapping[str, str]) -> tuple[str, ...]:
    """Return one sentence for each cell, by id, that uses something suspicious."""
    flags = []
    for name, source in cells.items():
        if len(source) > MAX_CELL:  # a parser takes a thousand times its length in memory
            flags.append(f"{name} uses a very long text")
            continue
        tree = parsed(source)
        # Without one it is a magic, or nothing that runs. IPython's own reading of it may take
        # for ever.
        used = set(_suspicious_words(source) if tree is None else _suspicious(tree))
        if used:
            flags.append(f"{name} uses {', '.join(sorted(used))}")
    return tuple(flags)


def _suspicious_words(source: str) -> Iterator[str]:
    known = SUSPICIOUS_MODULES | SUSPICIOUS_NAMES | SUSPICIOUS_ATTRIBUTES
    yield from known.intersection(re.findall(r"\w+", source))
    if max(map(len, source.split()), default=0) > MAX_LITERAL:
        yield "a long literal"


def _suspicious(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Name):
            yield from {node.id} & SUSPICIOUS_NAMES
            continue
        elif isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            if len(node.value) > MAX_LITERAL:
                yield "a long literal"
            continue
        elif isinstance(node, ast.Attribute):
            yield from {node.attr} & (SUSPICIOUS_ATTRIBUTES | {"_getframe"})
            continue
        elif isinstance(node, ast.Call) and _is_computed(node):
            yield "getattr with a computed name"
            continue
        else:
            continue
        yield from {name.partition(".")[0] for name in names} & SUSPICIOUS_MODULES


def _is_computed(call: ast.Call) -> bool:
    """Say whether a call is ``getattr(x, name)`` with a name that is no literal."""
    is_getattr = isinstance(call.func, ast.Name) and call.func.id == "getattr"
    return is_getattr and len(call.args) > 1 and not isinstance(call.args[1], ast.Constant)
