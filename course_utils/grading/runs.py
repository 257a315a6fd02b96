"""One run of grading: find, grade, record, keep; and the check that a student runs at home."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_utils.grading.batch import run_on_cluster, run_on_pool
from course_utils.grading.course import Course, Item
from course_utils.grading.grade import Graded, Job, fingerprint, read_pristine
from course_utils.grading.gradebook import (
    Gradebook,
    GradebookError,
    is_blank,
    prepare_folder,
)
from course_utils.grading.intake import Submission, find_submissions
from course_utils.grading.judging import QuestionResult, judge_question
from course_utils.grading.lab import is_manual, read_lab
from course_utils.grading.public import read_checks
from course_utils.grading.repair import Repaired, repair
from course_utils.grading.results import Result, read_result, write_result
from course_utils.grading.roster import read_students
from course_utils.grading.sandbox import Sandbox, find_sandbox, open_field
from course_utils.grading.session import run_submission
from course_utils.grading.workspace import Workspace

__all__ = ["Check", "GradingRun", "check_at_home"]

LATE = (
    "The platform marks this as late without saying by how much: the first day is counted, unless "
    "a person corrects it."
)


@dataclass(frozen=True)
class GradingRun:
    """What to grade and where to keep it.

    Parameters
    ----------
    labs
        The folder that holds course.toml and the labs.
    workers
        Processes on this machine, unless ``cluster`` is the address of a scheduler.
    resume
        True leaves alone what has a result for the same bytes, time, lab and seed.
    sandbox
        ``"bubblewrap"``, or ``"none"`` on explicit demand.
    """

    course: Course
    labs: Path
    lab: str
    workspace: Workspace
    db_url: str | None = None
    workers: int = 2
    cluster: str = ""
    resume: bool = False
    sandbox: str = "bubblewrap"

    def jobs(self, source: Path) -> list[Job]:
        """Find the submissions; a sandbox is looked for first, so that nothing runs without."""
        item = self.course.lab(self.lab)
        sandbox = open_field() if self.sandbox == "none" else find_sandbox()
        read_pristine(self.labs / self.lab)
        submissions = find_submissions(
            source,
            self.lab,
            max_bytes=item.limits.notebook_mb * 2**20,
            students=read_students(self.workspace.folder / "students.csv"),
            zone=None if item.deadline is None else item.deadline.tzinfo,
        )
        return [self._job(submission, item, sandbox) for submission in submissions]

    def _job(self, submission: Submission, item: Item, sandbox: Sandbox) -> Job:
        if not submission.has_time and item.deadline is not None:
            submission = self._timed(submission, item.deadline)
        return Job(submission, self.labs / self.lab, item, self.workspace.seed(), sandbox)

    def _timed(self, submission: Submission, latest: datetime) -> Submission:
        """Bound the time of a download, which Canvas and Moodle stamp files with.

        It is no lateness; and where the platform says late, it does not say by how much.
        """
        if submission.is_late:
            latest += timedelta(minutes=self.course.late.grace_minutes, seconds=1)
        if submission.submitted_at <= latest:
            return submission
        notes = (*submission.notes, *[LATE] * bool(submission.is_late))
        return replace(submission, submitted_at=latest.astimezone(UTC), notes=notes)

    def results(self, jobs: Sequence[Job]) -> Iterator[Result]:
        """Grade and record; yields one result a job, kept ones of earlier runs first."""
        prepare_folder(self.workspace.folder, self.db_url)
        with Gradebook(self.workspace.folder, self.db_url) as gradebook:
            gradebook.register(read_lab(self.labs / self.lab), self.course.lab(self.lab))
            todo = []
            for job in jobs:
                kept = self._kept(job) if self.resume else None
                if kept is None:
                    todo.append(job)
                else:
                    yield kept
            for job, graded in self._graded(todo):
                yield self._record(gradebook, job, graded)

    def _graded(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Graded]]:
        if not jobs:
            return iter(())
        if self.cluster:
            return run_on_cluster(jobs, self.cluster)
        return run_on_pool(jobs, self.workers)

    def _kept(self, job: Job) -> Result | None:
        """Return the result of an earlier run for the very same work."""
        result = read_result(self.workspace.result(self.lab, job.submission.student))
        if result is None or result.status == "failed":
            return None
        is_same = result.fingerprint == fingerprint(job)
        return result if is_same and result.submitted_at == job.submission.submitted_at else None

    def _record(self, gradebook: Gradebook, job: Job, graded: Graded) -> Result:
        """Write scores first and the result last: a kept result is one that was recorded."""
        notebook = nbformat.reads(graded.notebook, as_version=4)
        result = graded.result
        try:
            if result.status != "failed":
                gradebook.record(result, notebook, job.submission.content)
            write_result(self.workspace.result(self.lab, result.student), result)
        except (GradebookError, OSError) as error:
            return replace(result, status="failed", reason=f"not recorded: {error}")
        return result


@dataclass(frozen=True)
class Check:
    """What the public checks say of a notebook: results, notes, and what cannot be checked."""

    results: tuple[QuestionResult, ...]
    notes: tuple[str, ...]
    unchecked: tuple[str, ...]


def check_at_home(course: Course, labs: Path, lab: str, notebook: Path) -> Check:
    """Run the public checks on one's own notebook, without a sandbox.

    The checks are those beside the notebook, or those of the release.

    Raises
    ------
    FileNotFoundError, Unreadable, ValueError
        If the notebook or the checks are missing, or are none of this lab.
    """
    item = course.lab(lab)
    content, pristine = notebook.read_bytes(), read_pristine(labs / lab)
    repaired = repair(content, pristine)
    beside = notebook.parent / f"{lab}.checks.json"
    checks = beside if beside.is_file() else labs / lab / "release" / f"{lab}.checks.json"
    questions = read_checks(checks)
    run = run_submission(
        repaired.steps, questions, {}, sandbox=open_field(), limits=item.limits, absent=item.absent
    )
    results = tuple(
        judge_question(prepared, run.outcomes[name], public=True)
        for name, prepared in questions.items()
    )
    return Check(
        tuple(result for result in results if result.criteria),
        (*repaired.notes, *_empty_reports(pristine, repaired)),
        tuple(result.id for result in results if not result.criteria),
    )


def _empty_reports(pristine: NotebookNode, repaired: Repaired) -> Iterator[str]:
    """Say what a person would grade and find empty."""
    stubs = {cell.id: cell.source for cell in pristine.cells if is_manual(cell)}
    for cell in repaired.cells:
        if cell.id in stubs and is_blank(cell.source, {stubs[cell.id]}):
            yield f"{cell.metadata.nbgrader.grade_id} is still empty; a person will grade it."
