"""Pages that stand alone: templates, code in colours, numbers as people write them."""

from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["coloured", "points", "render"]


def render(template: str, **values: Any) -> str:
    """Fill in one of the templates beside this module; text is escaped."""
    return _environment().get_template(template).render(values)


def points(number: float) -> str:
    """Write points with at most two digits after the point.

    Examples
    --------
    >>> points(2.0), points(0.125)
    ('2', '0.12')
    """
    return f"{number:.2f}".rstrip("0").rstrip(".")


def coloured(source: str) -> Any:
    """Return Python code as HTML whose elements carry Pygments' classes."""
    from markupsafe import Markup
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return Markup(highlight(source, PythonLexer(), HtmlFormatter(nowrap=True)))


@cache
def _environment() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = points
    return environment
