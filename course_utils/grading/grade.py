"""Grade one submission: repair, run in the sandbox, judge outside.

The same function serves a process pool on one machine and a cluster of many; what goes in
and comes out is plain data.
"""

import hashlib
import time
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path

import nbformat

from course_utils.grading.cases import PUBLIC_SEED, prepare
from course_utils.grading.course import Item
from course_utils.grading.flags import find_flags
from course_utils.grading.intake import Submission
from course_utils.grading.judging import judge_question
from course_utils.grading.lab import Lab, read_lab
from course_utils.grading.questions import PreparedQuestion
from course_utils.grading.repair import Repaired, Unreadable, repair
from course_utils.grading.results import Result, Status
from course_utils.grading.sandbox import Sandbox
from course_utils.grading.sanitise import sanitise
from course_utils.grading.session import Run, run_submission

__all__ = ["Graded", "Job", "fingerprint", "given_up", "grade_one", "read_pristine"]


@dataclass(frozen=True)
class Job:
    """One submission and all that grading it needs; ``folder`` is the lab's."""

    submission: Submission
    folder: Path
    item: Item
    seed: str
    sandbox: Sandbox


@dataclass(frozen=True)
class Graded:
    """A result, and the submitted notebook as it is safe to open (JSON text)."""

    result: Result
    notebook: str


def grade_one(job: Job) -> Graded:
    """Grade one submission; whatever happens becomes a result with a reason."""
    started = time.monotonic()
    pristine = read_pristine(job.folder)
    try:
        if job.submission.problem:
            raise Unreadable(job.submission.problem)
        repaired = repair(job.submission.content, pristine)
        result = _grade(job, repaired)
        graded = Graded(result, nbformat.writes(sanitise(repaired.cells, pristine)))
    except Unreadable as error:
        graded = given_up(job, str(error), "unreadable")
    except Exception as error:
        graded = given_up(job, f"the grader broke off: {type(error).__name__}: {error}")
    return replace(graded, result=replace(graded.result, seconds=time.monotonic() - started))


def given_up(job: Job, reason: str, status: Status = "failed") -> Graded:
    """Return what stands for work without scores, with the notebook as it was given out."""
    pristine = read_pristine(job.folder)
    result = replace(_blank(job), status=status, reason=reason)
    return Graded(result, nbformat.writes(sanitise(pristine.cells, pristine)))


def fingerprint(job: Job) -> str:
    """Return a digest of all that the scores depend on."""
    digest = hashlib.sha256(job.submission.content)
    digest.update(job.submission.problem.encode())
    for part in (_digest_of(job.folder), job.seed, repr(asdict(job.item)), job.sandbox.kind):
        digest.update(b"\0" + part.encode())
    return digest.hexdigest()


def read_pristine(folder: Path) -> nbformat.NotebookNode:
    """Return the notebook that students were given.

    Raises
    ------
    FileNotFoundError
        If the lab was not released.
    """
    path = folder / "release" / f"{folder.name}.ipynb"
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder.name} has no released notebook at {path}: run `course release {folder.name}`"
        )
    return nbformat.read(path, as_version=4)


def _blank(job: Job) -> Result:
    submission = job.submission
    return Result(
        submission.student,
        job.item.name,
        "failed",
        notes=submission.notes,
        fingerprint=fingerprint(job),
        submitted_at=submission.submitted_at,
        file=submission.file,
    )


def _grade(job: Job, repaired: Repaired) -> Result:
    blank = _blank(job)
    hidden, public = _questions(job.folder, _digest_of(job.folder), job.seed)
    run = run_submission(
        repaired.steps,
        hidden,
        public,
        sandbox=job.sandbox,
        limits=job.item.limits,
        absent=job.item.absent,
    )
    own = {step.id: step.source for step in repaired.steps if step.kind != "given"}
    return replace(
        blank,
        status="graded",
        notes=(*blank.notes, *repaired.notes, *_cell_notes(run)),
        flags=find_flags(own),
        questions=tuple(
            judge_question(prepared, run.outcomes[name]) for name, prepared in hidden.items()
        ),
        memory_mb=run.memory_mb,
    )


def _cell_notes(run: Run) -> list[str]:
    """Say which cells did not run through, unless they are unanswered."""
    said = {
        "timeout": "took too long",
        "died": "ended the process that ran it",
        "unrun": "was not run, as added cells before it took too long",
    }
    notes = []
    for name, outcome in run.cells.items():
        if outcome.detail != "NotImplementedError":
            how = said.get(outcome.state, f"raised {outcome.detail}: {outcome.text}")
            notes.append(f"The cell {name} {how}.")
    return notes


@lru_cache(maxsize=4)
def _questions(
    folder: Path, digest: str, seed: str
) -> tuple[dict[str, PreparedQuestion], dict[str, PreparedQuestion]]:
    """Prepare a lab once in a process; ``digest`` makes an edited lab another one."""
    lab: Lab = read_lab(folder)
    return prepare(lab, seed), prepare(lab, PUBLIC_SEED, public=True)


def _digest_of(folder: Path) -> str:
    """Return a digest of a lab's files."""
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("source/**/*.py"), *folder.glob("release/*")]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
