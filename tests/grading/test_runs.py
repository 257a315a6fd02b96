"""What a run of grading makes of the times that files come with."""

import os
from datetime import UTC, datetime, timedelta

import pytest

from course_utils.grading.course import read_course
from course_utils.grading.lab import read_lab
from course_utils.grading.release import write_release
from course_utils.grading.runs import GradingRun
from course_utils.grading.workspace import Workspace
from tests.grading.small_lab import NAME

DEADLINE = datetime(2027, 3, 14, 15, 59, tzinfo=UTC)
FIRST_DAY = timedelta(minutes=15, seconds=1)  # the first moment after the grace


@pytest.mark.parametrize(
    ("file", "after", "counted"),
    [
        # Downloaded from Canvas after the deadline: only its mark says late.
        ("grossanna_101_9001_lab_small.ipynb", timedelta(days=6), timedelta(0)),
        ("grossanna_LATE_101_9001_lab_small.ipynb", timedelta(days=6), FIRST_DAY),
        ("grossanna_LATE_101_9001_lab_small.ipynb", timedelta(days=-6), timedelta(days=-6)),
        ("grossanna_101_9001_lab_small.ipynb", timedelta(days=-6), timedelta(days=-6)),
        # From Moodle, which marks nothing.
        ("Anna Gross_4711_assignsubmission_file/lab_small.ipynb", timedelta(days=6), timedelta(0)),
        # A file of its own says itself when it was made.
        ("anna/lab_small.ipynb", timedelta(days=6), timedelta(days=6)),
    ],
)
def test_the_time_of_a_download_is_no_lateness(small_lab, tmp_path, file, after, counted):
    write_release(read_lab(small_lab), small_lab / "release")
    path = tmp_path / "in" / file
    path.parent.mkdir(parents=True)
    path.write_bytes((small_lab / "release" / f"{NAME}.ipynb").read_bytes())
    stamp = (DEADLINE + after).timestamp()
    os.utime(path, (stamp, stamp))
    course = read_course(small_lab.parent / "course.toml")
    run = GradingRun(
        course, small_lab.parent, NAME, Workspace(tmp_path / "grading"), sandbox="none"
    )
    (job,) = run.jobs(tmp_path / "in")
    assert job.submission.submitted_at == DEADLINE + counted
    assert any("late without saying" in note for note in job.submission.notes) == (
        counted == FIRST_DAY
    )


def test_resuming_takes_another_time_for_other_work(small_lab, tmp_path):
    write_release(read_lab(small_lab), small_lab / "release")
    path = tmp_path / "in" / "anna.ipynb"
    path.parent.mkdir()
    path.write_bytes((small_lab / "release" / f"{NAME}.ipynb").read_bytes())
    course = read_course(small_lab.parent / "course.toml")
    place = Workspace(tmp_path / "grading")
    options = {"workers": 1, "sandbox": "none", "resume": True}
    run = GradingRun(course, small_lab.parent, NAME, place, **options)
    stamps = []
    for days in (1, 1, -1):
        stamp = (DEADLINE + timedelta(days=days)).timestamp()
        os.utime(path, (stamp, stamp))
        (result,) = run.results(run.jobs(path.parent))
        stamps.append((result.submitted_at - DEADLINE, result.seconds))
    assert [lateness.days for lateness, _ in stamps] == [1, 1, -1]
    assert stamps[0] == stamps[1], "the same work is not graded twice"
