"""What every widget must have, and the parts they share."""

import base64
import re

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from course_utils import widgets
from course_utils.widgets.base import CourseWidget, as_bytes, finite_array
from course_utils.widgets.bundle import STATIC, bundle, load_css


class Line(CourseWidget):
    _esm = "export default { render() {} }"

    def picture(self) -> Figure:
        fig = Figure(figsize=(3, 2))
        fig.add_subplot().plot([0, 1])
        return fig

    def description(self) -> str:
        return "A line from zero to one."


def test_a_picture_and_words_stand_beside_the_live_view():
    data, metadata = Line()._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"] == "A line from zero to one."
    assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")
    assert metadata["image/png"]["alt"] == "A line from zero to one."


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 2.0, 3.0]], r"X must have shape \('any', 2\); got \(1, 3\)"),
        ([1.0, 2.0], r"X must have shape .* got \(2,\)"),
        (np.empty((0, 2)), r"X must have shape .* got \(0, 2\)"),
        ([[1.0, np.nan]], r"X must be finite; got nan at index \(0, 1\) \(1 such of 2\)"),
        ([[np.inf, np.nan]], r"got inf at index \(0, 0\) \(2 such of 2\)"),
        ([["a", "b"]], "X must hold real numbers"),
        ([[1j, 2]], "X must hold real numbers"),
    ],
)
def test_bad_arrays_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        finite_array("X", values, (None, 2))


def test_good_arrays_pass():
    X = finite_array("X", torch.ones(3, 2, requires_grad=True), (None, 2))
    assert X.dtype == np.float64
    assert X.shape == (3, 2)
    assert np.frombuffer(as_bytes(X[:, ::-1]), "<f4").tolist() == [1.0] * 6


def test_a_bundle_holds_each_module_once_and_no_import():
    text = bundle(
        'import { makeShell } from "./shell.js";\n'
        'import { h } from "./dom.js";\n'
        "export default {};\n"
    )
    assert text.count("function makeShell(") == 1
    assert text.count("function h(") == 1
    assert "import" not in text
    assert text.count("export") == 1


def test_a_missing_module_is_named():
    with pytest.raises(FileNotFoundError, match=r"nothing\.js"):
        bundle('import { a } from "./nothing.js";\n')


@pytest.mark.parametrize("path", sorted(STATIC.glob("*")), ids=lambda p: p.name)
def test_nothing_is_loaded_from_elsewhere(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|\bimport\(|\bfetch\(|XMLHttpRequest|@import|url\(", text)
    assert "innerHTML" not in text
    assert not re.search(r"\bwindow\.\w+\s*=[^=]", text), "a global on window"


def modules_of(name: str) -> set[str]:
    """Return the static modules that end up in a bundle with ``name``, itself included."""
    text = (STATIC / name).read_text(encoding="utf-8")
    needed = re.findall(r'from "\./([\w.]+)";', text)
    return {name}.union(*map(modules_of, needed))


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda p: p.name)
def test_top_level_names_of_a_bundle_are_unique(path):
    pattern = re.compile(r"^(?:export )?(?:async )?(?:function|const|let|class) (\w+)", re.M)
    names = [
        found
        for module in modules_of(path.name)
        for found in pattern.findall((STATIC / module).read_text(encoding="utf-8"))
    ]
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})


@pytest.mark.parametrize("name", widgets.__all__)
def test_every_widget_is_small_and_says_its_part(name):
    cls = getattr(widgets, name)
    assert issubclass(cls, CourseWidget)
    assert len(str(cls._esm)) <= 30_000
    assert cls.__doc__
    assert "Parameters" in cls.__doc__
    assert str(cls._css) == load_css()
