"""Make the hostile set: submissions that attack the grader, and honest ones that are damaged.

The code that runs stands in ``hostile_cells.txt``; what is wrong with the files themselves
is made here. Each submission says which threat it stands for and what it must come to.
"""

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output, new_raw_cell

from course_utils.grading.lab import Lab
from course_utils.grading.release import release_notebook
from tests.assignments import torch_lab
from tests.grading import small_lab
from tests.grading.hostile_markup import attack_cells

__all__ = [
    "FULL",
    "MARK",
    "OTHERS_WORK",
    "THREATS",
    "Hostile",
    "hostile_set",
    "solved",
    "write_layout",
]

MARK = "HOSTILE_MARK"  # in the name of every file and process that is to be left behind
OTHERS_WORK = "CANARY-work-of-another"  # in the submission of the student "honest"
FULL = {small_lab.NAME: {"neuron": 3, "sigmoid": 2}, torch_lab.NAME: torch_lab.FULL}
HONEST = {
    "neuron": "def neuron(x, W, b):\n    return x @ W.T + b\n",
    "sigmoid": "def sigmoid(z):\n    return 0.5 * (1.0 + np.tanh(0.5 * z))\n",
    "report_sigmoid": "Large numbers overflow, so only exponentials of negative ones are taken.\n",
    "correlate": "def correlate(x, w):\n    parts = x.unfold(2, w.shape[2], 1)"
    ".unfold(3, w.shape[3], 1)\n    return torch.einsum('bchwij,ocij->bohw', parts, w)\n",
    "moments": "def moments(x):\n    return {'mean': x.mean(0), 'var': x.var(0, correction=0)}\n",
    "classify": "def classify(x):\n    return (x.sum(1) > 0).long()\n",
}
# What shared rules call the threats that every run must survive, and two more.
THREATS = (
    "loops for ever",
    "kills its kernel",
    "takes all memory",
    "prints without end",
    "forks",
    "leaves a process behind",
    "is no notebook",
    "is empty",
    "is huge",
    "is another notebook",
    "has cells deleted, edited, copied or moved",
    "has metadata stripped or rewritten",
    "has an unknown kernel",
    "has the wrong file name",
    "imports what is not there",
    "reads what is hidden",
    "opens the network",
    "writes outside its folder",
    "fills the disk",
    "replaces what compares",
    "returns objects that lie",
    "reads its caller's frame",
    "calls the library",
    "writes scores",
    "sends script",
    "detects grading",
    "forges replies",
    "leaks hidden inputs",
)


@dataclass(frozen=True)
class Hostile:
    """One submission and what it must come to.

    Parameters
    ----------
    name
        The student's name too.
    content
        The bytes handed in.
    scores
        Points by question; None where the file is unreadable.
    said
        Words that stand in what the student is told.
    file
        The file's name.
    others
        More files beside it, by path.
    """

    name: str
    threat: str
    lab: str
    content: bytes
    scores: Mapping[str, float] | None
    said: str = ""
    file: str = ""
    others: Mapping[str, bytes] | None = None


def hostile_set(labs: Sequence[Lab], hidden: Sequence[Path]) -> list[Hostile]:
    """Return the hostile set for the small lab and the torch lab.

    Parameters
    ----------
    hidden
        Files and folders of this machine that submissions try to read and to write.
    """
    small, torch = labs
    found = [*_coded(small, torch, hidden), *_damaged(small), *_unreadable(small)]
    return [*found, *_scripted(small), *_scoring(small), *_named(small)]


def solved(lab: Lab, **answers: str) -> NotebookNode:
    """Return a lab's notebook as a student with honest answers, or the given ones, has it."""
    notebook = deepcopy(release_notebook(lab))
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = {**HONEST, **answers}.get(grade_id, cell.source)
    return notebook


def write_layout(folder: Path, submissions: Sequence[Hostile]) -> None:
    """Write submissions as a folder for each student."""
    for hostile in submissions:
        place = folder / hostile.name
        place.mkdir(parents=True)
        (place / (hostile.file or f"{hostile.lab}.ipynb")).write_bytes(hostile.content)
        for name, content in (hostile.others or {}).items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)


def _coded(small: Lab, torch: Lab, hidden: Sequence[Path]) -> Iterator[Hostile]:
    """Yield what ``hostile_cells.txt`` holds, in notebooks with honest answers."""
    text = Path(__file__).with_name("hostile_cells.txt").read_text(encoding="utf-8")
    text = text.replace("@MARK@", MARK).replace("@PLACES@", repr([str(path) for path in hidden]))
    parts = re.split(r"^# %% (\w+): (.+)\n", text, flags=re.M)[1:]
    helpers = {}
    for kind, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        settings = dict(re.findall(r"^#: (\w+): (.+)\n", body, flags=re.M))
        source = re.sub(r"^#: .+\n", "", body, flags=re.M).strip("\n")
        if kind == "helper":
            helpers[name] = source
            continue
        lab = torch if kind == "torch" else small
        full = FULL[lab.name]
        points = map(float, settings.get("earned", "").split())
        scores = dict(zip(full, points, strict=True)) if "earned" in settings else full
        if kind == "answer" and "earned" not in settings:
            scores = {**full, "sigmoid": 0}
        source = f"{helpers[settings['helper']]}\n{source}" if "helper" in settings else source
        if kind == "cell":
            notebook = solved(lab)
            _insert(notebook, source)
        else:
            notebook = solved(lab, **{settings.get("place", "sigmoid"): source})
        yield Hostile(
            name, settings["threat"], lab.name, _bytes(notebook), scores, settings.get("said", "")
        )


def _damaged(lab: Lab) -> Iterator[Hostile]:
    """Yield honest work in files that an editor, a platform or a student has damaged."""

    def damaged(
        name: str,
        threat: str,
        damage: Callable[[NotebookNode], object] = lambda _: None,
        encode: Callable[[NotebookNode], bytes] = _bytes,
        file: str = "",
        **answers: str,
    ) -> Hostile:
        notebook = solved(lab, **answers)
        damage(notebook)
        return Hostile(name, threat, lab.name, encode(notebook), FULL[lab.name], file=file)

    cells = "has cells deleted, edited, copied or moved"
    yield damaged("honest", cells, sigmoid=f"# {OTHERS_WORK}\n{HONEST['sigmoid']}")
    yield damaged("only-answers-left", cells, lambda n: _keep(n, lambda c: _grade_id(c) in HONEST))
    yield damaged("tests-deleted", cells, lambda n: _keep(n, lambda c: "test" not in _grade_id(c)))
    yield damaged("tests-edited", cells, _edit_tests)
    yield damaged("set-up-edited", cells, _edit_set_up)
    yield damaged("answers-copied", cells, lambda n: n.cells.extend(deepcopy(n.cells)))
    yield damaged("cells-reversed", cells, lambda n: n.cells.reverse())
    yield damaged(
        "helper-in-a-cell-of-its-own",
        cells,
        lambda n: n.cells.insert(2, new_code_cell("def half(v):\n    return v / 2\n")),
        sigmoid="def sigmoid(z):\n    return half(1 + np.tanh(half(z)))\n",
    )
    rewritten = "has metadata stripped or rewritten"
    yield damaged("metadata-stripped", rewritten, _strip)
    yield damaged("metadata-and-ids-stripped", rewritten, lambda n: _strip(n, ids=True))
    yield damaged("metadata-rewritten", rewritten, _rewrite)
    yield damaged("grade-ids-exchanged", rewritten, _exchange)
    yield damaged("tags-added", rewritten, lambda n: _tag(n, ["experiment", "skip-execution"]))
    yield damaged("format-3", rewritten, encode=_as_format_3)
    yield damaged("with-a-byte-order-mark", rewritten, encode=lambda n: b"\xef\xbb\xbf" + _bytes(n))
    yield damaged("utf-16", rewritten, encode=lambda n: _bytes(n).decode().encode("utf-16"))
    yield damaged("line-ends-of-windows", rewritten, encode=_with_windows_line_ends)
    yield damaged("kernel-of-r", "has an unknown kernel", lambda n: n.metadata.update(_KERNEL_OF_R))
    yield damaged("no-kernel", "has an unknown kernel", lambda n: n.metadata.clear())
    name = "has the wrong file name"
    yield damaged("misnamed", name, file="Untitled (2).ipynb")
    yield damaged("named-by-a-browser", name, file=f"{lab.name}(1).ipynb.txt")
    yield damaged("zipped", name, encode=_zipped, file="a.zip")
    yield damaged(
        "imports-lost",
        "imports what is not there",
        lambda n: n.cells.insert(
            1, new_code_cell("import no_such_module\nfrom nowhere import all")
        ),
    )


def _unreadable(lab: Lab) -> Iterator[Hostile]:
    """Yield files that are no notebook of the lab; each is told why."""

    def unreadable(name: str, threat: str, content: bytes, said: str = "") -> Hostile:
        return Hostile(name, threat, lab.name, content, None, said)

    whole = _bytes(solved(lab))
    none = "is no notebook"
    yield unreadable("text", none, b"I did not finish this lab.\n", "not JSON")
    yield unreadable("web-page", none, b"<!DOCTYPE html><title>Sign in</title>", "web page")
    yield unreadable("truncated", none, whole[: len(whole) // 2], "cut off")
    yield unreadable("random-bytes", none, bytes(range(256)) * 40)
    yield unreadable("number", none, b"42")
    yield unreadable("a-list", none, json.dumps([solved(lab)]).encode())
    yield unreadable("cells-of-a-wrong-kind", none, b'{"cells": {"a": 1}, "nbformat": 4}')
    yield unreadable("no-cells", none, _bytes(new_notebook()))
    yield unreadable("empty", "is empty", b"", "empty")
    yield unreadable("blanks", "is empty", b" \n\n", "empty")
    yield unreadable("nested", "is huge", b"[" * 10**5 + b"]" * 10**5, "nested too deep")
    yield unreadable("too-large", "is huge", whole.replace(b"overflow", b"o" * 3_000_000))
    yield unreadable(
        "many-parts", "is huge", b'{"cells": [' + b"[]," * 650_000 + b"[]]}", "too many parts"
    )
    cells = [new_code_cell("1") for _ in range(25_000)]
    yield unreadable("many-cells", "is huge", json.dumps({"cells": cells}).encode(), "cells")
    others = [new_code_cell(f"import pandas\nprint({n})") for n in range(6)]
    other = _bytes(new_notebook(cells=others))
    yield unreadable("another-notebook", "is another notebook", other, "not the notebook")
    titled = new_notebook(cells=[new_markdown_cell("# Compute a neuron"), *others])
    yield unreadable("another-under-its-title", "is another notebook", _bytes(titled))


def _scripted(lab: Lab) -> Iterator[Hostile]:
    """Yield notebooks whose texts, outputs and names are for the browser of who opens them."""
    page = "<script>alert(1)</script><img src=x onerror=alert(1)>"

    def scripted(name: str, change: Callable[[NotebookNode], object], **answers: str) -> Hostile:
        notebook = solved(lab, **answers)
        change(notebook)
        return Hostile(name, "sends script", lab.name, _bytes(notebook), FULL[lab.name])

    yield scripted("script-in-cells", lambda n: n.cells.extend(attack_cells()))
    yield scripted("script-in-outputs", lambda n: _give_outputs(n, page))
    yield scripted("script-in-report", lambda n: None, report_sigmoid=f"{page}\n[x](javascript:1)")
    yield scripted("script-in-metadata", lambda n: _script_metadata(n, page))
    slow = "*a **b " * 30_000 + "[" * 50_000 + "<" * 50_000 + "$" * 50_000
    yield scripted("markdown-that-is-slow", lambda n: n.cells.append(new_markdown_cell(slow)))
    odd = "x = 1  # \ud800 \x00 \u202e \x1b[2J"
    yield scripted("characters-unseen", lambda n: _insert(n, odd))
    deep = "x = 1\ny = x" + ".real" * 50_000
    yield scripted("code-that-is-deep", lambda n: _insert(n, deep))
    magic = "listing = !ls\n" * 600
    yield scripted("code-of-many-magics", lambda n: _insert(n, magic))
    long = "import os\n" * 150_000
    yield scripted("code-that-is-long", lambda n: _insert(n, long))


def _scoring(lab: Lab) -> Iterator[Hostile]:
    """Yield submissions that bring scores of their own; they earn what their answers earn."""
    wrong = solved(lab, sigmoid="def sigmoid(z):\n    return z\n")
    expected = {**FULL[lab.name], "sigmoid": 0}
    for cell in wrong.cells:
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader |= {"points": 1000, "auto_score": 1000, "manual_score": 1000}
            cell.metadata.nbgrader |= {"score": 1000, "extra_credit": 1000, "grade": True}
    yield Hostile("scores-in-metadata", "writes scores", lab.name, _bytes(wrong), expected)
    others = {
        "gradebook.db": b"SQLite format 3\0" + bytes(100),
        "marks.csv": b"student,item,mark,reason\nscores-beside,lab_small,100,excused\n",
        "seed": b"0\n",
        "questions.py": b"QUESTIONS = []\n",
        "sitecustomize.py": b"raise SystemExit\n",
        "conftest.py": b"raise SystemExit\n",
        f"results/{lab.name}/scores-beside.json": b'{"status": "graded"}',
        f"feedback/{lab.name}.html": b"<script>alert(1)</script>",
    }
    name = "scores-beside"
    yield Hostile(name, "writes scores", lab.name, _bytes(wrong), expected, others=others)
    code = "import sqlite3, json\nfrom nbgrader.api import Gradebook\n"
    code += "for url in ('gradebook.db', '/gradebook.db', '../gradebook.db'):\n"
    code += "    Gradebook(f'sqlite:///{url}').update_or_create_submission('lab_small', 'me')\n"
    wrong.cells.append(new_code_cell(code))
    name = "scores-in-a-gradebook"
    yield Hostile(name, "writes scores", lab.name, _bytes(wrong), expected)


def _named(lab: Lab) -> Iterator[Hostile]:
    """Yield honest work under names that are paths, markup or formulas elsewhere."""
    for name in (
        "<script>alert(1)<script>",
        "=HYPERLINK('evil.test')",
        "a\x1b[2J\u202eb",
    ):
        content = _bytes(solved(lab))
        yield Hostile(name, "sends script", lab.name, content, FULL[lab.name])


_KERNEL_OF_R = {
    "kernelspec": {"name": "ir", "display_name": "R", "language": "R"},
    "language_info": {"name": "R"},
}


def _bytes(notebook: NotebookNode) -> bytes:
    """Write a notebook as it is: nbformat would mend some of what is wrong with it."""
    return json.dumps(notebook, indent=1).encode()


def _zipped(notebook: NotebookNode) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("my work/mine.ipynb", _bytes(notebook))
    return packed.getvalue()


def _grade_id(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def _insert(notebook: NotebookNode, source: str) -> None:
    """Put a cell before the first answer: what stands after the last is not run."""
    place = next(n for n, cell in enumerate(notebook.cells) if _grade_id(cell) == "neuron")
    notebook.cells.insert(place, new_code_cell(source))


def _keep(notebook: NotebookNode, wanted: Callable[[NotebookNode], bool]) -> None:
    notebook.cells = [cell for cell in notebook.cells if wanted(cell)]


def _edit_tests(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if "test" in _grade_id(cell):
            cell.source = "import os\nos._exit(0)\n"


def _edit_set_up(notebook: NotebookNode) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "code" and not _grade_id(cell):
            cell.source = "import numpy as np\nimport math\n\nscale = 0\n"


def _strip(notebook: NotebookNode, *, ids: bool = False) -> None:
    notebook.metadata = NotebookNode()
    for cell in notebook.cells:
        cell.metadata = NotebookNode()
        if ids:
            del cell["id"]
    notebook.nbformat_minor = 4 if ids else notebook.nbformat_minor


def _rewrite(notebook: NotebookNode) -> None:
    for number, cell in enumerate(notebook.cells):
        cell.id = f"c{number}"
        cell.metadata = NotebookNode(
            id=f"X{number}", colab={"base_uri": "x"}, vscode={"languageId": "python"}
        )
    notebook.metadata |= {"colab": {"provenance": []}, "widgets": {"state": {}}}


def _exchange(notebook: NotebookNode) -> None:
    """Give each answer the other's label, as pasting cells may do."""
    one, two = (c for c in notebook.cells if _grade_id(c) in ("neuron", "sigmoid"))
    one.metadata, two.metadata = two.metadata, one.metadata


def _tag(notebook: NotebookNode, tags: list[str]) -> None:
    for cell in notebook.cells:
        cell.metadata.tags = tags


def _as_format_3(notebook: NotebookNode) -> bytes:
    return nbformat.writes(notebook, version=3).encode()


def _with_windows_line_ends(notebook: NotebookNode) -> bytes:
    for cell in notebook.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    return _bytes(notebook).replace(b"\n", b"\r\n")


def _give_outputs(notebook: NotebookNode, page: str) -> None:
    kinds = ("text/html", "image/svg+xml", "application/javascript", "text/markdown", "text/latex")
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                new_output("display_data", data=dict.fromkeys(kinds, page)),
                new_output("display_data", data={"image/png": f'"><{page}'}),
                new_output("stream", text=page),
                new_output("error", ename=page, evalue=page, traceback=[page, f"\x1b[31m{page}"]),
            ]
            cell.execution_count = page


def _script_metadata(notebook: NotebookNode, page: str) -> None:
    notebook.metadata.title = notebook.metadata.name = page
    notebook.metadata.widgets = {
        "application/vnd.jupyter.widget-state+json": {"state": {"a": page}}
    }
    notebook.cells.append(new_raw_cell(page, metadata={"format": "text/html"}))
    notebook.cells.append(new_markdown_cell("![x](attachment:x.png)"))
    notebook.cells[-1].attachments = {"x.png": {"image/png": f'"><{page}', "text/html": page}}
    for cell in notebook.cells:
        cell.metadata.tags = [page]
        cell.metadata.name = page
        if cell.cell_type == "code":
            cell.id = page
