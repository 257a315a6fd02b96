"""course.toml: what it may say, and how clearly a slip is refused."""

from datetime import timedelta

import pytest

from course_utils.grading.course import ASSIGNMENTS, CourseError, read_course

GOOD = """
title = "A course"
[late]
percent_per_day = 20
[limits]
cell_seconds = 7
[labs.one]
title = "One"
weight = 60
deadline = 2027-03-14T23:59:00+08:00
absent = ["torch"]
limits = { call_seconds = 3 }
[others.rest]
title = "Rest"
weight = 40
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "course.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_course(written):
    course = read_course(written(GOOD))
    one = course.lab("one")
    assert (one.weight, one.absent, one.is_lab) == (60, ("torch",), True)
    assert one.deadline.utcoffset() == timedelta(hours=8)
    assert (one.limits.cell_seconds, one.limits.call_seconds) == (7, 3)
    assert course.items["rest"].limits.call_seconds == 10
    assert (course.late.percent_per_day, course.late.days) == (20, 5)
    assert not course.items["rest"].is_lab


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("weight = 40", "weight = 41", "weights sum to 101, expected 100"),
        ("weight = 40", "", "title or weight missing"),
        ("+08:00", "", "needs a time zone"),
        ("percent_per_day", "percent", "unknown setting percent; there are days"),
        ("cell_seconds = 7", "cell_seconds = -7", "cell_seconds is -7, expected a number"),
        ("cell_seconds = 7", "cell_seconds = true", "expected a number"),
        ("call_seconds = 3", "seconds = 3", "unknown setting seconds"),
        ('absent = ["torch"]', "point = 3", "unknown: point"),
        ("[late]", "[late", "is not TOML"),
    ],
)
def test_slips_are_refused(written, old, new, message):
    assert old in GOOD
    with pytest.raises(CourseError, match=message):
        read_course(written(GOOD.replace(old, new, 1)))


def test_a_missing_file_and_an_unknown_lab(tmp_path, written):
    with pytest.raises(CourseError, match="cannot read"):
        read_course(tmp_path / "none.toml")
    course = read_course(written(GOOD))
    with pytest.raises(CourseError, match=r"no lab 'rest' in course\.toml; there are one"):
        course.lab("rest")


def test_the_course_weighs_as_the_lecture_set_it():
    """Five labs of 14 %, a project of 25 %, 5 % for the rest, and practice that counts nothing."""
    course = read_course(ASSIGNMENTS / "course.toml")
    weights = {name: item.weight for name, item in course.items.items()}
    counted = {name: weight for name, weight in weights.items() if weight}
    assert sorted(counted.values()) == [5, 14, 14, 14, 14, 14, 25]
    assert weights["project"] == 25
    assert weights["lab0_backprop"] == 0
