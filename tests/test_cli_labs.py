"""The commands for labs, as an instructor and a student type them, on the small lab."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from course_utils.cli import app
from course_utils.grading.lab import is_answer, read_lab
from tests.grading.small_lab import write_small_lab

COMMANDS = ("release", "check", "grade", "feedback", "export", "similar")


@pytest.fixture
def course(monkeypatch, tmp_path):
    """A function that runs a command on the small lab, in a folder of its own."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    labs = write_small_lab(tmp_path / "assignments").parent

    def run(command, *arguments):
        return CliRunner().invoke(app, [command, *map(str, arguments), "--labs", str(labs)])

    run.labs = labs
    return run


@pytest.fixture
def handed_in(course, tmp_path):
    """A folder of four students: the solution, a mistake, an untouched notebook, no notebook."""
    assert course("release", "lab_small").exit_code == 0
    released = course.labs / "lab_small" / "release" / "lab_small.ipynb"
    lab = read_lab(course.labs / "lab_small")
    solved = {cell.id: cell.source for cell in lab.notebook.cells}
    wrong = next(answer for answer in lab.answers if answer.told)
    for student, answers in {
        "ada": solved,
        "bob": {**solved, wrong.question: wrong.source},
        "cy": {},
    }.items():
        notebook = nbformat.read(released, as_version=4)
        for cell in filter(is_answer, notebook.cells):
            cell.source = answers.get(cell.id, cell.source)
        (tmp_path / "class" / student).mkdir(parents=True)
        nbformat.write(notebook, tmp_path / "class" / student / "lab_small.ipynb")
    (tmp_path / "class" / "dee").mkdir()
    (tmp_path / "class" / "dee" / "lab_small.ipynb").write_text("not a notebook")
    return wrong


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    result = CliRunner().invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Usage: course {command}" in result.stdout


def test_help_is_quick():
    code = (
        "import sys, course_utils.cli\n"
        "heavy = {'torch', 'numpy', 'nbformat', 'nbgrader', 'distributed', 'psutil'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_release(course, tmp_path):
    result = course("release", "lab_small", "--zip", tmp_path / "out.zip")
    assert result.exit_code == 0, result.output
    assert "Scanned: no solution" in result.stdout
    folder = course.labs / "lab_small" / "release"
    assert {path.name for path in folder.iterdir()} == {"lab_small.ipynb", "lab_small.checks.json"}
    assert (tmp_path / "out.zip").exists()


def test_a_release_that_would_leak_is_refused(course):
    source = course.labs / "lab_small" / "source" / "lab_small.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("### END SOLUTION", "### ENDE SOLUTION", 1), encoding="utf-8")
    result = course("release", "lab_small")
    assert result.exit_code == 2
    assert "lab_small" in result.stderr
    assert not (course.labs / "lab_small" / "release").exists()


def test_check_at_home(course, handed_in, tmp_path):
    right = course("check", "lab_small", tmp_path / "class" / "ada" / "lab_small.ipynb")
    assert right.exit_code == 0, right.output
    assert "4 of 4 points in the public checks" in right.stdout
    wrong = course("check", "lab_small", tmp_path / "class" / "bob" / "lab_small.ipynb")
    assert wrong.exit_code == 1
    assert handed_in.told in wrong.stdout
    untouched = course("check", "lab_small", tmp_path / "class" / "cy" / "lab_small.ipynb")
    assert untouched.exit_code == 1
    assert untouched.stdout.count("Not answered yet") == 2, "once for each question"
    assert "report_sigmoid is still empty; a person will grade it." in untouched.stdout


def test_the_instructors_day(course, handed_in, sandbox, tmp_path):
    graded = course("grade", "lab_small", tmp_path / "class")
    assert graded.exit_code == 0, graded.output
    assert "4 submissions: 3 graded, 1 unreadable (no points), 0 failed." in graded.stdout
    results = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (tmp_path / "grading" / "results" / "lab_small").glob("*.json")
    }
    earned = {
        name: sum(question["earned"] for question in result["questions"])
        for name, result in results.items()
    }
    assert earned["ada"] == 5
    assert 0 < earned["bob"] < 5
    assert earned["cy"] == earned["dee"] == 0

    again = course("grade", "lab_small", tmp_path / "class", "--resume")
    assert again.exit_code == 0
    assert "3 graded, 1 unreadable" in again.stdout

    pages = course("feedback", "lab_small")
    assert pages.exit_code == 0, pages.output
    page = tmp_path / "grading" / "feedback" / "bob" / "lab_small" / "lab_small.html"
    assert handed_in.told in re.sub(r"\s+", " ", page.read_text(encoding="utf-8")).replace(
        "&#39;", "'"
    )
    assert (tmp_path / "grading" / "feedback" / "dee" / "lab_small" / "lab_small.html").exists()

    marks = course("export")
    assert marks.exit_code == 0, marks.output
    with (tmp_path / "grading" / "marks-csv.csv").open(encoding="utf-8-sig", newline="") as file:
        assert {row["student"] for row in csv.DictReader(file)} == {"ada", "bob", "cy", "dee"}
    for name in ("canvas", "moodle"):
        assert course("export", "--format", name).exit_code == 0
    (tmp_path / "grading" / "students.csv").write_text("student,name\ne1,Ada\nbob,Bob\n")
    assert "ada was graded and is not in students.csv; is it e1?" in course("export").stderr
    overruled = "student,item,mark,reason\nbob,lab_small,80,a reason\n"
    (tmp_path / "grading" / "marks.csv").write_text(overruled)
    assert course("feedback", "lab_small").exit_code == 0
    assert "The mark is 80 %, given by hand: a reason." in page.read_text(encoding="utf-8")
    assert course("similar", "lab_small").exit_code == 0


def test_one_that_the_grader_failed_on_stops_nobody_else(course, handed_in, sandbox, tmp_path):
    """Its process was killed, so that nothing of it was recorded."""
    assert course("grade", "lab_small", tmp_path / "class").exit_code == 0
    grading = tmp_path / "grading"
    path = grading / "results" / "lab_small" / "bob.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    result |= {"status": "failed", "reason": "the grader gave up", "questions": []}
    path.write_text(json.dumps(result), encoding="utf-8")
    shutil.rmtree(grading / "autograded" / "bob")
    for command in ("feedback", "similar"):
        assert course(command, "lab_small").exit_code == 0
    pages = sorted(page.parents[1].name for page in grading.glob("feedback/*/*/*.html"))
    assert pages == ["ada", "bob", "cy", "dee"]
    exported = course("export")
    assert "No mark in lab_small, as the grader failed" in exported.stderr
    with (grading / "marks-csv.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert (rows["bob"]["lab_small"], rows["bob"]["lab_small state"]) == ("", "not graded")
    assert rows["bob"]["provisional"] == "provisional"
    assert rows["ada"]["lab_small"] == "50.00"  # its report has still to be graded


def test_grading_in_a_folder_that_is_in_use(course, handed_in, sandbox, tmp_path):
    from course_utils.grading.workspace import Workspace

    with Workspace(tmp_path / "grading").lock():
        result = course("grade", "lab_small", tmp_path / "class")
    assert result.exit_code == 1
    assert "another run is grading in" in result.stderr
    assert not (tmp_path / "grading" / "results").exists()


def test_no_sandbox_nothing_runs(course, handed_in, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    result = course("grade", "lab_small", tmp_path / "class")
    assert result.exit_code == 1
    for words in ("bubblewrap", "--sandbox none"):
        assert words in result.stderr
    assert not (tmp_path / "grading" / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("grade", "lab_smal", "class"), 2, "no lab 'lab_smal' in course.toml; there are"),
        (("grade", "lab_small", "class"), 1, "run `course release lab_small`"),
        (("check", "lab_small", "nowhere.ipynb"), 1, "nowhere.ipynb"),
        (("feedback", "lab_small"), 1, "run `course grade lab_small`"),
        (("similar", "lab_small"), 1, "run `course grade lab_small`"),
        (("export", "--format", "excel"), 2, "excel"),
        (("grade", "lab_small", "class", "--workers", "0"), 2, "workers"),
    ],
)
def test_mistakes_are_named_without_a_traceback(course, arguments, status, words):
    result = course(*arguments)
    assert (result.exit_code, "Traceback" in result.output) == (status, False), result.output
    assert words in result.output


def test_before_a_release_grading_says_so(course, tmp_path):
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "ada.ipynb").write_text("{}")
    result = course("grade", "lab_small", tmp_path / "class", "--sandbox", "none")
    assert result.exit_code == 1
    assert "run `course release lab_small`" in result.stderr


def test_without_the_grading_packages_the_remedy_is_named(course, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    monkeypatch.setitem(sys.modules, "course_utils.grading.runs", None)
    result = course("grade", "lab_small", "class")
    assert result.exit_code == 1
    assert "make grading" in result.stderr


# The page for instructors


ROOT = Path(__file__).parents[1]
PAGE = ROOT / "assignments" / "README.md"


@pytest.mark.skipif(sys.platform == "win32", reason="the page is for Linux")
def test_the_page_for_instructors_is_true(tmp_path, sandbox):
    """Every block is run as it stands, in a folder that looks like the checkout."""
    for name in ("assignments", "course_utils", "Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert len(blocks) == 7
    # The environment of this very run must stay as it is; that the target exists is enough.
    script = "\n".join(blocks).replace("make grading", "make --dry-run grading")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 submissions: 2 graded" in done.stdout
    for student in ("ada", "emmy"):
        assert (tmp_path / "grading/feedback" / student / "lab0_backprop").is_dir()
    assert (tmp_path / "grading" / "marks-csv.csv").exists()


def test_the_page_names_only_what_exists():
    text = PAGE.read_text(encoding="utf-8")
    commands = set(re.findall(r"bin/course (\w+)|`course (\w+) ?\w*`", text))
    named = {name for pair in commands for name in pair if name}
    assert named - {"doctor", "data"} == set(COMMANDS)
