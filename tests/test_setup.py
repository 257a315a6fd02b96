"""The ways to set the course up agree with each other and with the truth."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = {
    name.lower().replace("_", "-"): version
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M
    )
}
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [
    requirement
    for text in PROJECT["dependencies"] + EXTRAS["grading"] + EXTRAS["dev"]
    # The extra `dev` names this very project with its extra `grading`.
    if (requirement := Requirement(text)).name != PROJECT["name"]
]


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_each_requirement_is_pinned_within_its_range(requirement):
    version = CONSTRAINTS[requirement.name.lower()]
    assert requirement.specifier.contains(version)


def test_constraints_are_exact_and_portable():
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in text.splitlines())
    assert CONSTRAINTS["torch"] == "2.13.0"


def test_the_conda_route_installs_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    python, pip, extra = environment["dependencies"]
    assert pip == "pip"
    assert extra == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    version = python.removeprefix("python=")
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{version}.0")


def makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([.\w/-]+):(?!=)", text, re.M))


def test_the_workflow_calls_targets_that_exist_when_it_says_it_does():
    workflow = yaml.safe_load(
        (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    )
    triggers = workflow[True]  # YAML reads the key `on` as a boolean
    assert {"push", "pull_request", "schedule"} <= set(triggers)
    _, _, day, month, weekday = triggers["schedule"][0]["cron"].split()
    assert (day, month) == ("*", "*")
    assert weekday.isdigit(), "once a week"
    commands = [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]
    called = [
        word
        for command in commands
        if command.startswith("make ")
        for word in command.split()[1:]
        if "=" not in word
    ]
    assert {"test", "newest"} <= set(called)
    assert set(called) <= makefile_targets()
    systems = [job["runs-on"] for job in workflow["jobs"].values()]
    systems += workflow["jobs"]["test"]["strategy"]["matrix"]["os"]
    assert {"ubuntu-latest", "macos-latest", "windows-latest"} <= set(systems)


def test_ci_calls_make_test():
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith("make test")


def test_lab_arguments_reach_jupyterlab():
    result = subprocess.run(
        ["make", "--dry-run", "lab", "LAB_ARGS=--no-browser --port=8899"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "jupyterlab --ServerApp.root_dir=notebooks" in result.stdout
    assert "--no-browser --port=8899" in result.stdout


def test_an_old_python_is_refused_with_a_remedy(tmp_path):
    old = tmp_path / "python2.7"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 2.7.18" && exit 0\nexit 1\n')
    old.chmod(0o755)
    result = subprocess.run(
        [
            "make",
            "-C",
            str(tmp_path),
            "-f",
            str(ROOT / "Makefile"),
            f"PYTHON={old}",
            ".venv/.python",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert "Python 3.11 or newer is needed" in result.stdout
    assert "make PYTHON=" in result.stdout
