"""The hostile set, graded twice as `course grade` does it: nothing stops, leaks, stays or wins."""

import hashlib
import os
import re
import resource
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import psutil
import pytest

import course_utils
from course_utils.grading.cases import prepare
from course_utils.grading.course import read_course
from course_utils.grading.lab import read_lab
from course_utils.grading.release import write_release
from course_utils.grading.results import Result
from course_utils.grading.returns import write_feedback
from course_utils.grading.runs import GradingRun
from course_utils.grading.values import decode, encode
from course_utils.grading.workspace import Workspace
from tests.assignments import torch_lab
from tests.assignments.hostile import (
    MARK,
    OTHERS_WORK,
    THREATS,
    Hostile,
    hostile_set,
    write_layout,
)
from tests.grading import small_lab

LABS = (small_lab.NAME, torch_lab.NAME)
COURSE = """title = "A hostile course"

[limits]
cell_seconds = 3
call_seconds = 2
notebook_seconds = 20
memory_mb = 400
processes = 32
files = 64
disk_mb = 16
notebook_mb = 2

[labs.lab_small]
title = "A small lab"
weight = 50
absent = ["torch", "sklearn", "scipy", "sympy", "$absent"]

[labs.lab_torch]
title = "A torch lab"
weight = 50
absent = ["sklearn", "scipy", "$absent"]
limits = { cell_seconds = 20, call_seconds = 20, notebook_seconds = 60, memory_mb = 1000 }
"""
CANARIES = {
    place: f"CANARY-{place}-{number}"
    for number, place in enumerate(("solution", "questions", "answers", "environment", "host"))
}
MAX_GRADER_MB = 1500
MAX_FOLDER_MB = 80


@dataclass
class Graded:
    """Both runs over the hostile set, and the state of this machine around them."""

    submissions: list[Hostile]
    runs: list[dict[str, dict[str, Result]]]
    labs: Path
    workspace: Workspace
    guarded: tuple[dict[str, str], dict[str, str]]
    left: list[str]
    grader_mb: float

    def pages(self, lab: str) -> dict[str, str]:
        """Return each student's feedback."""
        course = read_course(self.labs / "course.toml")
        written = write_feedback(course, self.labs, lab, self.workspace)
        return {page.student: page.path.read_text(encoding="utf-8") for page in written}

    def notebooks(self, lab: str) -> dict[str, nbformat.NotebookNode]:
        """Return what the form grader shows of each student."""
        paths = {name: self.workspace.autograded(lab, name) for name in self.runs[-1][lab]}
        return {name: nbformat.read(path, as_version=4) for name, path in paths.items()}


@pytest.fixture(scope="module")
def graded(sandbox, tmp_path_factory) -> Graded:
    """The set, graded twice in one grading folder."""
    root = tmp_path_factory.mktemp("hostile")
    marker = f"absent_{uuid.uuid4().hex}"
    labs, workspace = root / "labs", Workspace(root / "grading")
    for write in (small_lab.write_small_lab, torch_lab.write_torch_lab):
        _plant(write(labs))
    (labs / "course.toml").write_text(COURSE.replace("$absent", marker))
    read = [read_lab(labs / name) for name in LABS]
    for lab in read:
        write_release(lab, lab.folder / "release")
    secret = root / "host" / "secret"
    secret.parent.mkdir()
    secret.write_text(CANARIES["host"])
    hidden = [secret, secret.parent, labs / "lab_small" / "source" / "questions.py"]
    hidden += [workspace.folder / "seed", workspace.folder / "gradebook.db", root / "handed-in"]
    submissions = hostile_set(read, hidden)
    for name in LABS:
        write_layout(root / "handed-in" / name, [h for h in submissions if h.lab == name])
    before = _hashes(root, workspace.folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_CANARY", CANARIES["environment"])
        runs = [{name: _run(labs, name, workspace, root) for name in LABS} for _ in range(2)]
    grader_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    after = _hashes(root, workspace.folder)
    left = _left_over(marker)
    return Graded(submissions, runs, labs, workspace, (before, after), left, grader_mb)


def _plant(folder: Path) -> None:
    """Put a text of its own into each part of a lab that students must not see."""
    source = folder / "source"
    notebook = source / f"{folder.name}.py"
    text = notebook.read_text(encoding="utf-8")
    begin = "### BEGIN SOLUTION\n    "
    text = text.replace(begin, f"{begin}# {CANARIES['solution']}\n    ")
    notebook.write_text(text, encoding="utf-8")
    for place in ("questions", "answers"):
        for path in [source / "questions.py", *(source / "answers").glob("*.py")]:
            if place in str(path.relative_to(source)):
                with path.open("a", encoding="utf-8") as file:
                    file.write(f"\n# {CANARIES[place]}\n")


def _run(labs: Path, lab: str, workspace: Workspace, root: Path) -> dict[str, Result]:
    run = GradingRun(read_course(labs / "course.toml"), labs, lab, workspace, workers=2)
    with workspace.lock():
        jobs = run.jobs(root / "handed-in" / lab)
        return {result.student: result for result in run.results(jobs)}


def _hashes(root: Path, but: Path) -> dict[str, str]:
    """Return a digest of every file below a folder, another folder left out."""
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_relative_to(but)
    }


def _left_over(marker: str) -> list[str]:
    """Return processes that carry a mark, and files, after a moment for them to go."""
    for _ in range(50):
        found = []
        for process in psutil.process_iter(["pid", "cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            if process.pid != os.getpid() and (marker in line or MARK in line):
                found.append(line)
        if not found:
            break
        time.sleep(0.1)
    places = [Path(p) for p in ("/", "/tmp", "/var/tmp", "/dev/shm", "/usr", "/etc", sys.prefix)]
    places += [Path.home(), Path.cwd(), Path(tempfile.gettempdir()), Path(np.__file__).parent]
    places += [path for path in Path(course_utils.__file__).parent.rglob("*") if path.is_dir()]
    for place in places:
        found += [str(path) for path in place.iterdir() if MARK in path.name]
    return found


def test_the_set_covers_every_threat_in_several_ways(graded):
    counted = Counter(hostile.threat for hostile in graded.submissions)
    assert set(counted) == set(THREATS)
    assert min(counted.values()) >= 2
    assert len(graded.submissions) >= 50
    print(f"\n{len(graded.submissions)} submissions, {len(THREATS)} threats")


@pytest.mark.parametrize("run", [0, 1])
def test_every_submission_ends_with_its_scores(graded, run):
    """The scores are exactly those expected, in the second run as in the first."""
    wrong = {}
    for lab in LABS:
        results = dict(graded.runs[run][lab])
        for hostile in (h for h in graded.submissions if h.lab == lab):
            # A student's name that can be no file's is changed: those are looked at below.
            result = results.pop(hostile.name, None)
            if result is not None and _scores(result) != hostile.scores:
                wrong[hostile.name] = (_scores(result), hostile.scores, result.reason)
        assert [r for r in results.values() if sum(_scores(r).values()) != 5] == []
    assert wrong == {}


def test_no_batch_stops(graded):
    for lab in LABS:
        expected = sum(hostile.lab == lab for hostile in graded.submissions)
        assert [len(run[lab]) for run in graded.runs] == [expected, expected]
        assert [r.reason for r in graded.runs[0][lab].values() if r.status == "failed"] == []


def test_every_loss_has_a_reason(graded):
    for run in graded.runs:
        for result in (result for lab in LABS for result in run[lab].values()):
            assert result.status == "graded" or result.reason
            lost = [c for q in result.questions for c in q.criteria if c.earned < c.points]
            assert all(criterion.message for criterion in lost), result.student


def test_students_are_told_what_happened(graded):
    missing = {}
    for hostile in graded.submissions:
        result = graded.runs[0][hostile.lab].get(hostile.name)
        if result is not None and hostile.said not in _told(result):
            missing[hostile.name] = (hostile.said, _told(result))
    assert missing == {}
    for result in (result for lab in LABS for result in graded.runs[0][lab].values()):
        # Nothing that commands a terminal, turns text round, or a database cannot hold.
        assert _told(result).replace("\n", "").replace("\t", "").isprintable(), result.student


def test_nothing_hidden_comes_out(graded):
    """No canary and no hidden number stands in a feedback page, a message or a notebook."""
    canaries = [*CANARIES.values(), graded.workspace.seed()]
    for lab in LABS:
        numbers = _hidden_numbers(graded.labs / lab, graded.workspace.seed())
        assert len(numbers) > 20
        pages, notebooks = graded.pages(lab), graded.notebooks(lab)
        assert set(pages) == set(notebooks) == set(graded.runs[0][lab])
        for student, page in pages.items():
            told = " ".join(_told(run[lab][student]) for run in graded.runs)
            text = f"{page} {nbformat.writes(notebooks[student])} {told}"
            seen = [canary for canary in canaries if canary in text]
            seen += [OTHERS_WORK] if OTHERS_WORK in text and student != "honest" else []
            assert seen == [], student
            assert [number for number in numbers if number in text] == [], student


def test_hidden_numbers_would_be_found(graded):
    """The search above finds a number however it is printed."""
    lab = read_lab(graded.labs / "lab_small")
    (case,) = prepare(lab, graded.workspace.seed())["sigmoid"].criteria[0].cases
    numbers = _hidden_numbers(lab.folder, graded.workspace.seed())
    for text in (str(case.inputs["z"]), repr(case.inputs["z"].tolist())):
        assert any(number in text for number in numbers)


def test_nothing_runs_where_it_is_opened(graded):
    for lab in LABS:
        for student, page in graded.pages(lab).items():
            assert _active(page) == [], student
        for student, notebook in graded.notebooks(lab).items():
            for cell in notebook.cells:
                if cell.cell_type != "code":
                    assert _active(cell.source) == [], student
                for output in cell.get("outputs", ()):
                    allowed = {"text/plain", "image/png", "image/jpeg"}
                    assert set(output.get("data", ())) <= allowed, student


def test_nothing_outside_the_work_folder_changed(graded):
    before, after = graded.guarded
    assert after == before


def test_nothing_is_left_behind(graded):
    assert graded.left == []


def test_memory_and_disk_are_bounded(graded):
    course = read_course(graded.labs / "course.toml")
    for lab in LABS:
        limit = course.lab(lab).limits.memory_mb
        # Between two looks a program takes what it can touch in that time.
        swollen = {r.student: r.memory_mb for r in graded.runs[0][lab].values()}
        assert {s: mb for s, mb in swollen.items() if mb > 3 * limit} == {}
    assert graded.grader_mb < MAX_GRADER_MB
    sizes = [path.stat().st_size for path in graded.workspace.folder.rglob("*") if path.is_file()]
    assert sum(sizes) < MAX_FOLDER_MB * 2**20


def _scores(result: Result) -> dict[str, float] | None:
    if result.status != "graded":
        return None if result.status == "unreadable" else {}
    return {question.id: question.earned for question in result.questions}


def _told(result: Result) -> str:
    messages = [c.message for q in result.questions for c in q.criteria]
    return " ".join([result.reason, *result.notes, *messages])


def _hidden_numbers(folder: Path, seed: str) -> list[str]:
    """Return the numbers of hidden cases and of what is right for them, to 6 decimals."""
    values = []
    for prepared in prepare(read_lab(folder), seed).values():
        for criterion in prepared.criteria:
            for case in criterion.cases:
                values += [*case.inputs.values(), *case.secret.values()]
            values += [v for v in criterion.expected if v is not None]
    texts = set()
    for value in values:
        plain = decode(encode(value))
        for part in plain.values() if isinstance(plain, dict) else [plain]:
            for number in np.abs(np.ravel(part)).astype(float):
                text = f"{number:.12f}"
                if not text.endswith("000"):
                    texts.add(text[:-6])
    return sorted(texts)


class _Active(HTMLParser):
    """Collects what a browser would run or fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "svg", "form", "link", "base", "math"):
            self.found.append(tag)
        for name, value in attrs:
            is_fetched = name == "src" and not (value or "").startswith("data:image/")
            is_run = re.match(r"\s*(javascript|vbscript|data:text)", value or "", re.I)
            if name.startswith("on") or is_fetched or (name == "href" and is_run):
                self.found.append(f"{tag} {name}={value}")


def _active(html: str) -> list[str]:
    parser = _Active()
    parser.feed(html)
    return parser.found
