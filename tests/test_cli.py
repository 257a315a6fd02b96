"""The command ``course``: help, exit status, and errors a person can act on."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from course_utils import data, doctor
from course_utils.cli import app
from course_utils.data import cache as cache_module
from course_utils.data.images import RECIPES
from course_utils.data.sources import InstalledFile
from course_utils.doctor import Finding


@pytest.fixture
def course(monkeypatch):
    """A function that runs the command and returns its result."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("COURSE_DATA", str(folder))
    monkeypatch.setattr(cache_module, "_replacements", {})
    return folder


@pytest.fixture
def letters(tmp_path, monkeypatch):
    """One data set of one small file, in the place of those of the course."""
    origin = tmp_path / "letters.txt"
    origin.write_bytes(b"letters")
    sha256 = hashlib.sha256(b"letters").hexdigest()
    file = cache_module.DataFile("letters.txt", sha256, 7, (InstalledFile(str(origin)),))
    recipe = replace(RECIPES["digits_8x8"], files=(file,), licence="CC0")
    monkeypatch.setitem(RECIPES, "digits_8x8", recipe)
    monkeypatch.setattr(data, "DATASETS", ("digits_8x8",))
    return origin


def test_without_a_command_it_shows_help(course):
    result = course()
    assert result.exit_code == 2  # Nothing was done, and a script should notice.
    assert "Fetch the data sets of the course" in result.output
    assert "doctor" in result.output


@pytest.mark.parametrize("arguments", [["-h"], ["data", "--help"], ["doctor", "-h"]])
def test_help(course, arguments):
    result = course(*arguments)
    assert result.exit_code == 0
    assert "Usage: course" in result.stdout


def test_data_fetches_then_finds_the_cache(course, cache, letters):
    first = course("data")
    assert first.exit_code == 0
    for words in (str(cache), "digits_8x8", "0.0 MB", "CC0", "fetched", str(letters)[:20]):
        assert words in first.stdout
    letters.unlink()
    second = course("data")
    assert second.exit_code == 0
    assert "cached" in second.stdout
    assert (cache / "letters.txt").read_bytes() == b"letters"


def test_data_that_cannot_be_had(course, cache, letters):
    letters.write_bytes(b"<html>log in</html>")
    result = course("data")
    assert result.exit_code == 1
    assert "stand-in" in result.stdout
    assert "digits_8x8: only a synthetic stand-in is there." in result.stderr
    assert f"{letters}: an HTML page instead of data" in result.stderr
    assert "Remedy: connect to the network" in result.stderr
    assert "Traceback" not in result.output


def test_data_that_cannot_be_kept(course, cache, letters):
    cache.write_text("a file where the folder should be")
    result = course("data")
    assert result.exit_code == 1
    assert "Warning: The data cache" in result.stderr
    assert "set the environment variable COURSE_DATA" in result.stderr
    assert "What was fetched could not be kept" in result.stderr


def test_damaged_cache_is_said_and_mended(course, cache, letters):
    course("data")
    (cache / "letters.txt").write_bytes(b"lett")
    result = course("data", "digits_8x8")
    assert result.exit_code == 0
    assert "letters.txt is damaged: truncated: 4 of 7 bytes. It is fetched again." in result.stderr
    assert (cache / "letters.txt").read_bytes() == b"letters"


def test_unknown_data_set(course):
    result = course("data", "mnist-5k")
    assert result.exit_code == 2
    assert "did you mean 'mnist_5k'?" in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.output


def test_unknown_command(course):
    result = course("docter")
    assert result.exit_code == 2
    assert "No such command 'docter'" in result.stderr


def test_interrupt(course, monkeypatch):
    def interrupt(names):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "fetch_all", interrupt)
    result = course("data")
    assert result.exit_code == 130
    assert "Stopped. What was fetched so far is kept" in result.stderr


@pytest.mark.parametrize(
    ("states", "status", "words"),
    [
        (["ok", "ok"], 0, "no problems, no warnings."),
        (["ok", "warning"], 0, "no problems, 1 warning."),
        (["problem", "warning", "problem", "warning"], 1, "2 problems, 2 warnings."),
    ],
)
def test_doctor_exit_status(course, monkeypatch, states, status, words):
    findings = [Finding(f"check {k}", s, f"message {k}", "mend it") for k, s in enumerate(states)]
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    result = course("doctor")
    assert result.exit_code == status
    assert words in result.stdout
    for k, state in enumerate(states):
        assert f"check {k}" in result.stdout
        assert state in result.stdout
    assert "Remedy: mend it" in result.stdout


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_import_is_light():
    code = (
        "import sys, course_utils.cli\n"
        "heavy = {'torch', 'sklearn', 'numpy', 'matplotlib', 'pooch', 'jupyter_client'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert run_python(code).stdout == "[]\n"


def test_table_on_a_terminal_without_unicode():
    code = "from course_utils.cli import app; app(['data', 'digits_8x8'])"
    done = run_python(code, PYTHONIOENCODING="ascii", COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    assert "built in" in done.stdout
