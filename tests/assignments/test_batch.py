"""A batch of sixty, killed, doubled, starved and taken apart: the scores stay the same."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from course_utils.grading.batch import ClusterError, run_on_cluster, run_on_pool
from course_utils.grading.course import read_course
from course_utils.grading.grade import Job, grade_one
from course_utils.grading.gradebook import Gradebook
from course_utils.grading.intake import Submission
from course_utils.grading.lab import read_lab
from course_utils.grading.release import write_release
from course_utils.grading.runs import GradingRun
from course_utils.grading.workspace import Workspace
from tests.assignments.hostile import solved
from tests.grading.small_lab import NAME, write_small_lab

pytestmark = pytest.mark.usefixtures("sandbox")

STUDENTS = 60
FEW = 6
PATIENCE = 240  # seconds for anything to happen
COURSE = [sys.executable, "-c", "from course_utils.cli import app; app()"]
KINDS = (
    ({}, 5),
    ({"neuron": "def neuron(x, W, b):\n    return x @ W.T - b\n"}, 3),
    ({"sigmoid": "def sigmoid(z):\n    return np.tanh(z / 2)\n"}, 3),
    ({"neuron": "def neuron(x, W, b):\n    raise NotImplementedError\n"}, 2),
    ({"sigmoid": "def sigmoid(z):\n    raise KeyError(z)\n"}, 3),
    ({"neuron": "neuron = None\n", "sigmoid": "sigmoid = None\n"}, 0),
)


class World:
    """The lab, what sixty students handed in, and what each has earned."""

    def __init__(self, root: Path) -> None:
        self.root, self.labs = root, root / "labs"
        lab = read_lab(write_small_lab(self.labs))
        write_release(lab, lab.folder / "release")
        self.course = read_course(self.labs / "course.toml")
        self.earned = {}
        for number in range(STUDENTS):
            answers, points = KINDS[number % len(KINDS)]
            notebook = solved(lab, **answers, report_sigmoid=f"This is report {number}.")
            name = f"student{number:02d}"
            for folder in ("all", *(["few"] if number < FEW else [])):
                place = root / folder / name
                place.mkdir(parents=True)
                (place / f"{NAME}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
            # Moderate inputs of the wrong sigmoid are wrong, its limits at infinity too.
            self.earned[name] = points
        self.few = dict(list(self.earned.items())[:FEW])

    def command(self, folder: Path, source: str, *options: str) -> list[str]:
        """Return the command line that grades into a folder."""
        where = ["--labs", str(self.labs), "--folder", str(folder), "--workers", "2"]
        return [*COURSE, "grade", NAME, str(self.root / source), *where, *options]

    def run(
        self, folder: Path, source: str, *options: str, **variables: str
    ) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command(folder, source, *options),
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def start(self, folder: Path, source: str, *options: str) -> subprocess.Popen:
        """Start a run in a group of processes of its own."""
        return subprocess.Popen(
            self.command(folder, source, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def grading(self, folder: Path, **settings: object) -> GradingRun:
        return GradingRun(self.course, self.labs, NAME, Workspace(folder), **settings)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("batch"))


def results_of(folder: Path) -> dict[str, float]:
    return {r.student: r.earned for r in Workspace(folder).results(NAME) if r.status == "graded"}


def gradebook_of(folder: Path, url: str | None = None) -> dict[str, float]:
    with Gradebook(folder, url) as gradebook:
        return {name: score.earned for name, score in gradebook.scores(NAME).items()}


def wait_for_results(run: subprocess.Popen, folder: Path, number: int) -> None:
    until = time.monotonic() + PATIENCE
    while len(stamps(folder)) < number:
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.02)


def stamps(folder: Path) -> dict[str, int]:
    """Return when each result was written."""
    return {p.name: p.stat().st_mtime_ns for p in folder.glob(f"results/{NAME}/*.json")}


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def test_killed_half_way_and_resumed(world, tmp_path):
    """Half of sixty are graded, everything is killed, the rest is graded: nothing is lost."""
    run = world.start(tmp_path, "all")
    wait_for_results(run, tmp_path, STUDENTS // 2)
    family = descendants(run.pid)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert [process for process in alive if process.status() != "zombie"] == []
    kept = stamps(tmp_path)
    assert STUDENTS // 2 <= len(kept) < STUDENTS
    assert results_of(tmp_path).items() <= world.earned.items()
    for name, damage in zip(list(kept)[:2], ("{", "[]"), strict=True):
        (tmp_path / "results" / NAME / name).write_text(damage)  # by a disk, or by hand
        del kept[name]

    done = world.run(tmp_path, "all", "--resume")
    assert done.returncode == 0, done.stderr
    assert f"{STUDENTS} submissions: {STUDENTS} graded" in done.stdout
    assert results_of(tmp_path) == gradebook_of(tmp_path) == world.earned
    assert {name: stamps(tmp_path)[name] for name in kept} == kept  # none is graded twice

    straight = tmp_path / "straight"
    done = world.run(straight, "all")
    assert done.returncode == 0, done.stderr
    assert results_of(straight) == gradebook_of(straight) == world.earned


def test_of_two_runs_in_one_folder_one_is_refused(world, tmp_path):
    runs = [world.start(tmp_path, "few") for _ in range(2)]
    said = {run.returncode: words[1] for run, words in [(r, r.communicate()) for r in runs]}
    assert sorted(said) == [0, 1], said
    assert "another run is grading" in said[1]
    assert results_of(tmp_path) == gradebook_of(tmp_path) == world.few


def test_two_runs_on_one_database(world, tmp_path):
    url = f"sqlite:///{tmp_path / 'gradebook.db'}"
    runs = [world.start(tmp_path / name, "few", "--db", url) for name in ("one", "two")]
    for run in runs:
        _, said = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, said
    for name in ("one", "two"):
        assert results_of(tmp_path / name) == world.few
    assert gradebook_of(tmp_path / "one", url) == world.few


def test_interrupted_runs_keep_what_is_graded(world, tmp_path):
    run = world.start(tmp_path, "few")
    wait_for_results(run, tmp_path, 2)
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 130, said
    assert f"of {FEW}. What is graded is kept" in said
    assert "Traceback" not in said
    kept = stamps(tmp_path)
    assert 2 <= len(kept) < FEW

    done = world.run(tmp_path, "few", "--resume")
    assert done.returncode == 0, done.stderr
    assert {name: stamps(tmp_path)[name] for name in kept} == kept
    assert results_of(tmp_path) == gradebook_of(tmp_path) == world.few


def test_a_worker_that_is_killed_stops_nothing(world, tmp_path):
    run = world.grading(tmp_path)
    jobs = run.jobs(world.root / "few")
    results = run.results(jobs)
    seen = [next(results)]
    multiprocessing.active_children()[0].kill()
    seen += list(results)
    assert sorted(result.student for result in seen) == sorted(world.few)
    assert results_of(tmp_path) == gradebook_of(tmp_path) == world.few


class Deadly(bytes):
    """Bytes that end any process that receives them."""

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (1,)


@pytest.fixture
def jobs(world, tmp_path) -> list[Job]:
    return world.grading(tmp_path).jobs(world.root / "few")


def test_what_kills_its_worker_is_given_up_alone(jobs):
    deadly = replace(jobs[2], submission=replace(jobs[2].submission, content=Deadly(b"{}")))
    mixed = [*jobs[:2], deadly, *jobs[3:6]]
    graded = {job.submission.student: made.result for job, made in run_on_pool(mixed, 2)}
    assert len(graded) == 6
    failed = graded.pop("student02")
    assert failed.status == "failed"
    assert "its grading process was killed" in failed.reason
    assert {result.status for result in graded.values()} == {"graded"}


@pytest.mark.parametrize("error", [OSError(errno.EAGAIN, "no process"), BrokenProcessPool()])
def test_where_no_process_can_be_had_all_is_given_up(jobs, monkeypatch, error):
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr(ProcessPoolExecutor, "submit", refuse)
    graded = [made.result for _, made in run_on_pool(jobs[:3], 2)]
    assert [result.status for result in graded] == ["failed"] * 3
    assert "no grading process can be started" in graded[0].reason


@pytest.fixture
def cluster() -> Iterator:
    """A dask cluster of two processes on this machine."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        worker_dashboard_address=None,
        silence_logs=50,
    ) as cluster:
        yield cluster


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_cluster_that_loses_a_worker(world, tmp_path, cluster):
    """Two workers, one killed while it grades: all are graded, with the same scores."""
    workers = [nanny.process.process.pid for nanny in cluster.workers.values()]
    run = world.start(tmp_path, "few", "--cluster", cluster.scheduler_address)
    wait_for_results(run, tmp_path, 2)
    os.kill(workers[0], signal.SIGKILL)
    out, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    assert f"{FEW} submissions: {FEW} graded" in out
    assert results_of(tmp_path) == gradebook_of(tmp_path) == world.few


def test_no_cluster_at_the_address(jobs, monkeypatch):
    monkeypatch.setattr("course_utils.grading.batch.CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match="no dask scheduler answers"):
        list(run_on_cluster(jobs, "tcp://127.0.0.1:9"))


def test_a_disk_that_fills_up(world, tmp_path, monkeypatch):
    """What cannot be written whole is not written at all, and is said; resuming completes it."""
    write, room = Path.write_bytes, [18]

    def fill(path: Path, data: bytes) -> int:
        room[0] -= 1
        if room[0] >= 0 or not path.is_relative_to(tmp_path):
            return write(path, data)
        write(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    run = world.grading(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fill)
        seen = list(run.results(run.jobs(world.root / "few")))
    failed = [result for result in seen if result.status == "failed"]
    assert 0 < len(failed) < FEW
    assert all("No space left" in result.reason for result in failed)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if path.name.endswith(".partial")] == []
    for path in files:
        if path.suffix in (".json", ".ipynb"):
            json.loads(path.read_text(encoding="utf-8"))
    assert results_of(tmp_path).items() <= world.few.items()

    again = world.grading(tmp_path, resume=True)
    assert len(list(again.results(again.jobs(world.root / "few")))) == FEW
    assert results_of(tmp_path) == gradebook_of(tmp_path) == world.few


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk on which about half of the few submissions find room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=270k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_disk_that_is_full(world, small_disk):
    done = world.run(small_disk, "few")
    assert done.returncode == 1
    assert "No space left" in done.stdout + done.stderr or "full" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    done = world.run(small_disk, "few", "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert results_of(small_disk) == gradebook_of(small_disk) == world.few


def test_without_a_sandbox_nothing_runs(world, tmp_path):
    trace = tmp_path / "trace"
    handed_in = tmp_path / "in" / "mallory"
    handed_in.mkdir(parents=True)
    notebook = solved(read_lab(world.labs / NAME), neuron=f"open({str(trace)!r}, 'w').close()\n")
    (handed_in / f"{NAME}.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    source, folder = str(handed_in.parent), tmp_path / "grading"
    done = world.run(folder, source, PATH=str(tmp_path))
    assert done.returncode == 1
    for remedy in ("bubblewrap is not installed", "nstall", "--sandbox none"):
        assert remedy in done.stderr
    assert not trace.exists()
    assert stamps(folder) == {}
    # On explicit demand it runs, with all rights: that is what the refusal protects from.
    done = world.run(folder, source, "--sandbox", "none", PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert trace.exists()


def test_work_handed_in_while_grading_is_graded_by_resuming(world, tmp_path):
    source, few = tmp_path / "in", world.root / "few"
    shutil.copytree(few / "student00", source / "student00")
    run = world.grading(tmp_path / "grading", resume=True)
    assert [result.earned for result in run.results(run.jobs(source))] == [5]
    shutil.copytree(few / "student01", source / "student01")
    shutil.copytree(few / "student02", source / "student00", dirs_exist_ok=True)
    graded = {result.student: result.earned for result in run.results(run.jobs(source))}
    assert graded == results_of(tmp_path / "grading") == {"student00": 3, "student01": 3}


def test_what_intake_could_not_read_is_told(jobs):
    blank = Submission("nobody", "", b"", datetime.now(UTC), problem="There is no notebook.")
    made = grade_one(replace(jobs[0], submission=blank))
    assert (made.result.status, made.result.reason) == ("unreadable", "There is no notebook.")
