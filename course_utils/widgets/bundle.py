"""Make one ES module out of a view's JavaScript and the modules it imports.

A browser takes a widget's code as a single module, so the shared parts in
``static/`` are written as ordinary ES modules, joined here and minified by rjsmin.
"""

import re
from functools import cache
from pathlib import Path

from rjsmin import jsmin

__all__ = ["STATIC", "bundle", "load_css", "load_esm"]

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import\s+\{[^}]*\}\s+from\s+"\./([\w.]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(async )?(function|const|let|class)\b)", re.MULTILINE)


@cache
def load_esm(name: str) -> str:
    """Return the view ``static/<name>``, bundled with the modules it imports."""
    return bundle(_read(name))


def bundle(source: str) -> str:
    """Return a module's source with the local modules it imports put in front.

    Only the form ``import { a, b } from "./file.js";`` is understood, without
    renaming, so two modules of one bundle must not declare the same name.

    Raises
    ------
    FileNotFoundError
        If an imported module does not exist.
    """
    needed: dict[str, str] = {}
    _collect(source, needed)
    shared = [_EXPORT.sub("", _IMPORT.sub("", text)) for text in needed.values()]
    return jsmin("\n".join([*shared, _IMPORT.sub("", source)]))


def load_css() -> str:
    """Return the style sheet that all widgets share."""
    return _read("widget.css")


def _read(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _collect(source: str, needed: dict[str, str]) -> None:
    """Add what ``source`` imports to ``needed``, each module after those it imports."""
    for name in _IMPORT.findall(source):
        if name not in needed:
            text = _read(name)
            _collect(text, needed)
            needed[name] = text
