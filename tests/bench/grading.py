"""Grade one class twice in one run: by ``course grade`` in its sandbox, by stock nbgrader.

Both get the same submissions: solved notebooks, each with one question answered by a known
right or wrong answer. Stock nbgrader runs the same hidden cases in the student's kernel.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path

import nbformat
import psutil
from rich.console import Console
from rich.table import Table

from course_utils.grading.course import ASSIGNMENTS
from course_utils.grading.grade import read_pristine
from course_utils.grading.lab import Lab, is_answer, read_lab

__all__ = ["compare"]

CLASSES = {"lab0_backprop": 24, "lab1_cnn": 4}
# nbgrader calls alembic by its name.
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
ENVIRONMENT = {**os.environ, "PATH": PATH}
CONFIG = "c = get_config()\nc.CourseDirectory.course_id = 'bench'\n"


def compare(console: Console) -> None:
    """Print wall time and memory a submission for both, and the ratio."""
    table = Table(
        "lab",
        "submissions",
        "course grade",
        "stock nbgrader",
        "times the throughput",
        "MB",
        "MB stock",
    )
    for name, count in CLASSES.items():
        with tempfile.TemporaryDirectory() as folder:
            ours, our_mb, stock, stock_mb = _compare(Path(folder), name, count)
        table.add_row(
            name,
            str(count),
            f"{ours / count:.2f} s",
            f"{stock / count:.2f} s",
            f"{stock / ours:.1f}",
            f"{our_mb:.0f}",
            f"{stock_mb:.0f}",
        )
    console.print(table)


def _compare(folder: Path, name: str, count: int) -> tuple[float, float, float, float]:
    """Return seconds for the class and MB (largest process tree), ours then stock."""
    lab = read_lab(ASSIGNMENTS / name)
    handed_in = folder / "class"
    for number in range(count):
        place = handed_in / f"student{number:02d}"
        place.mkdir(parents=True)
        nbformat.write(_answered(lab, number), place / f"{name}.ipynb")
    course = [str(Path(sys.executable).parent / "course"), "grade", name, str(handed_in)]
    course += ["--folder", str(folder / "grading")]
    ours, our_mb = _measure(course, folder)
    stock_folder = folder / "stock"
    _prepare_stock(stock_folder, lab, handed_in)
    # Its own limit of 30 s a cell would end some training runs and not others.
    nbgrader = [sys.executable, "-m", "nbgrader", "autograde", name, "--Execute.timeout=300"]
    stock, stock_mb = _measure(nbgrader, stock_folder)
    graded = list((stock_folder / "autograded").glob("*/*/*.ipynb"))
    if len(graded) != count:
        raise RuntimeError(f"stock nbgrader graded {len(graded)} of {count}")
    return ours, our_mb, stock, stock_mb


def _answered(lab: Lab, number: int) -> nbformat.NotebookNode:
    """Return the released notebook solved, with one question answered by a known answer."""
    notebook = read_pristine(lab.folder)
    answer = lab.answers[number % len(lab.answers)]
    solved = {cell.id: cell.source for cell in lab.notebook.cells}
    for cell in notebook.cells:
        if is_answer(cell):
            is_it = cell.metadata.nbgrader.grade_id == answer.question
            cell.source = lab.cell_with(answer) if is_it else solved[cell.id]
    return notebook


def _prepare_stock(folder: Path, lab: Lab, handed_in: Path) -> None:
    """Make an nbgrader course of the lab. Experiments are no part of either measurement."""
    source = folder / "source" / lab.name
    source.mkdir(parents=True)
    (folder / "nbgrader_config.py").write_text(CONFIG, encoding="utf-8")
    checks = lab.folder / "release" / f"{lab.name}.checks.json"
    shutil.copy(checks, source)
    nbformat.write(_without_experiments(deepcopy(lab.notebook)), source / f"{lab.name}.ipynb")
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", lab.name]
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, check=True)
    for place in sorted(handed_in.iterdir()):
        target = folder / "submitted" / place.name / lab.name
        target.mkdir(parents=True)
        shutil.copy(checks, target)
        notebook = nbformat.read(place / f"{lab.name}.ipynb", as_version=4)
        nbformat.write(_without_experiments(notebook), target / f"{lab.name}.ipynb")


def _without_experiments(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Drop training runs and figures; keep the cell that loads the checks."""
    notebook.cells = [
        cell
        for cell in notebook.cells
        if "experiment" not in cell.metadata.get("tags", []) or "PublicChecks" in cell.source
    ]
    return notebook


def _measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Run a command; return wall seconds and the largest memory of its process tree in MB."""
    started = time.perf_counter()
    process = psutil.Popen(
        command,
        cwd=folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    samples = []
    while process.poll() is None:
        used = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                used += one.memory_info().rss
            except psutil.Error:
                continue
        samples.append(used / 2**20)
        time.sleep(0.25)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.stderr.read()[-2000:]}")
    return seconds, max(samples)


if __name__ == "__main__":
    compare(Console())
