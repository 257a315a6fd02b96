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


@pytest.mark.parametrize(
    ("file", "after", "counted"),
    [
        # Downloaded from Canvas after the deadline: only its mark says late.
        ("grossanna_101_9001_lab_small.ipynb", timedelta(days=6), timedelta(0)),
        ("grossanna_LATE_101_9001_lab_small.ipynb", timedelta(days=6), timedelta(days=6)),
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
