"""The package as a whole: imports without effect, modules of a readable size."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "course_utils").rglob("*.py"))
MAX_MODULE, MAX_FUNCTION = 250, 40  # lines of code; of a function, those of its body


def lines_of_code(node: ast.AST, source: list[str]) -> int:
    """Count the lines of a body that hold code: no blanks, comments or docstrings."""
    docstrings: set[int] = set()
    for inner in ast.walk(node):
        body = getattr(inner, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            docstrings.update(range(first.lineno, first.end_lineno + 1))
    start = node.body[0].lineno if isinstance(node, ast.FunctionDef) else 1
    end = getattr(node, "end_lineno", len(source))
    return sum(
        number not in docstrings and text.strip() != "" and not text.strip().startswith("#")
        for number, text in enumerate(source[start - 1 : end], start)
    )


def test_modules_and_functions_stay_small():
    table, too_long = [], []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        source, tree = text.splitlines(), ast.parse(text)
        functions = {
            node.name: lines_of_code(node, source)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
        }
        longest = max(functions, key=functions.get, default="-")
        size = lines_of_code(tree, source)
        name = path.relative_to(ROOT)
        table.append(f"{size:5d}  {functions.get(longest, 0):4d}  {name}  ({longest})")
        if size > MAX_MODULE:
            too_long.append(f"{name}: {size} lines")
        too_long += [f"{name}: {f} has {n} lines" for f, n in functions.items() if n > MAX_FUNCTION]
    print("\nlines  longest function\n" + "\n".join(table))
    assert too_long == []


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_module_says_what_it_is_and_what_it_offers(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "no module docstring"
    public = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    ]
    names = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    if public and path.name not in ("cli.py", "__main__.py"):
        assert "__all__" in names, "public names but no __all__"


def test_importing_has_no_effect(tmp_path):
    """Every module imports with the network shut, printing, writing and drawing nothing."""
    program = """
import socket, sys
def shut(*args, **kwargs): raise AssertionError("a socket was opened")
socket.socket.connect = shut
import numpy, torch, matplotlib
before = (matplotlib.rcParams.copy(), torch.initial_seed(), numpy.random.get_state()[1].sum())
for name in sys.argv[1:]:
    __import__(name)
after = (matplotlib.rcParams.copy(), torch.initial_seed(), numpy.random.get_state()[1].sum())
assert before == after, "importing changed a global state"
"""
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in MODULES
        if path.name != "__main__.py"
    ]
    result = subprocess.run(
        [sys.executable, "-c", program, *names],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_modules_do_not_import_each_other_in_a_ring():
    graph = {}
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        graph[name] = {
            node.module
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("course_utils")
        }

    def walk(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"import ring: {' -> '.join([*above, name])}"
        for needed in graph.get(name, ()):
            walk(needed, (*above, name))

    for name in graph:
        walk(name, ())
