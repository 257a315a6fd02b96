"""Marks of a course: weights, late work, excused and missing work, and files for platforms.

Everything is a pure function of plain data; `course_utils.grading.roster` reads what was
written by hand. Formats follow what the platforms' own importers read:

- Canvas: ``lib/gradebook_importer.rb`` of https://github.com/instructure/canvas-lms. The
  header begins Student, ID, SIS User ID, SIS Login ID, Section; a column that is no known
  assignment's title makes a new assignment; a row "Points Possible" may follow; ``EX``
  excuses.
- Moodle: ``grade/import/csv/classes/load_data.php`` of https://github.com/moodle/moodle.
  One column, chosen while importing, names the user by username, ID number or email
  address; ``-`` is no grade. A row in which that cell is empty counts for the user of the
  row before, so a column that is not full is left out here.
"""

import csv
import io
import math
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from course_utils.grading.course import Course, Item, Late
from course_utils.grading.roster import Override, Student

__all__ = [
    "FORMATS",
    "Export",
    "ItemMark",
    "LabScore",
    "StudentMarks",
    "days_late",
    "export",
    "marks",
]

DAY = 86_400  # seconds
FULL = 100  # points of each item on a platform, so that a score is a percentage
# What spreadsheets take for the beginning of a formula, also after another separator
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = re.compile(r"(^|[;,])(\s*)([=+\-@＝＋－＠])")

State = Literal[
    "graded", "late", "missing", "excused", "to be graded by hand", "not graded", "open"
]


@dataclass(frozen=True)
class LabScore:
    """What a student got in a lab.

    Parameters
    ----------
    earned, points
        Points earned so far and points to be had, autograded and manual together.
    late_seconds
        Seconds after the deadline; zero or less is in time.
    needs_manual
        True while a person has still to grade a part.
    submitted
        False where nothing was handed in.
    """

    student: str
    lab: str
    earned: float
    points: float
    late_seconds: float = 0.0
    needs_manual: bool = False
    submitted: bool = True


@dataclass(frozen=True)
class ItemMark:
    """One student's mark in one item.

    Parameters
    ----------
    percent, final
        Percent before and after the penalty; None where there is none yet, or never.
    penalty
        Percent of the mark that being late costs.
    weight
        Percent of the total, with the weights of excused items shared out.
    is_provisional
        True where a part is still to be graded.
    """

    item: str
    state: State
    percent: float | None = None
    final: float | None = None
    penalty: float = 0.0
    days_late: int = 0
    weight: float = 0.0
    is_provisional: bool = False
    reason: str = ""


@dataclass(frozen=True)
class StudentMarks:
    """One student's marks. ``total`` is out of 100 and counts what is open as nothing;
    ``so_far`` is the percentage of what can be graded. None where nothing counts."""

    student: Student
    items: tuple[ItemMark, ...]
    total: float | None
    so_far: float | None
    is_provisional: bool


@dataclass(frozen=True)
class Export:
    """A file's text, and sentences about what the platform will not take as it is."""

    text: str
    problems: tuple[str, ...] = ()


def days_late(late_seconds: float, late: Late) -> int:
    """Return the days begun after the deadline and its grace.

    Examples
    --------
    >>> late = Late(grace_minutes=15)
    >>> [days_late(seconds, late) for seconds in (900, 901, 87300, 87301)]
    [0, 1, 1, 2]
    """
    # To the millisecond, as minutes with decimals are not exact.
    return max(0, math.ceil(round(late_seconds - 60 * late.grace_minutes, 3) / DAY))


def marks(
    course: Course,
    roster: Sequence[Student],
    scores: Iterable[LabScore],
    overrides: Iterable[Override],
    *,
    now: datetime,
    broken: Collection[tuple[str, str]] = (),
) -> list[StudentMarks]:
    """Compute every student's marks: those of the roster first, then others with a mark.

    A lab nobody has been graded in, and an item that is not handed in before its deadline,
    is open. So is an item other than a lab that has no deadline, until it has a mark.

    Parameters
    ----------
    now
        With a time zone; deadlines before it have passed.
    broken
        Students and labs whose last grading failed: no mark, not even an older one.

    Raises
    ------
    ValueError
        If a score is for no lab of the course, comes twice, or is out of no points.
    """
    by_place = _by_place(course, scores)
    by_hand = {(override.student, override.item): override for override in overrides}
    begun = {item for (_, item), score in by_place.items() if score.submitted}
    begun |= {item for (_, item), override in by_hand.items() if override.percent is not None}
    students = {student.student: student for student in roster}
    for name, _ in [*by_place, *by_hand]:
        students.setdefault(name, Student(name))
    everyone = []
    for name, student in students.items():
        found = []
        for item in course.items.values():
            place = (name, item.name)
            is_open = _is_open(item, item.name in begun, now)
            if place in broken and place not in by_hand:
                mark = ItemMark(item.name, "not graded", weight=item.weight, is_provisional=True)
            else:
                mark = _mark(item, by_place.get(place), by_hand.get(place), course.late, is_open)
            found.append(mark)
        everyone.append(_summed(student, found))
    return everyone


def _by_place(course: Course, scores: Iterable[LabScore]) -> dict[tuple[str, str], LabScore]:
    by_place: dict[tuple[str, str], LabScore] = {}
    for score in scores:
        place = (score.student, score.lab)
        course.lab(score.lab)
        if place in by_place:
            raise ValueError(f"{score.student} has two scores for {score.lab}; expected one")
        if score.submitted and not score.points > 0:
            raise ValueError(
                f"{score.lab} gives {score.points:g} points, expected a number above zero"
            )
        by_place[place] = score
    return by_place


def _is_open(item: Item, has_begun: bool, now: datetime) -> bool:
    """Say whether an item that was not handed in does not count yet."""
    if not has_begun:
        return True
    return item.deadline >= now if item.deadline is not None else not item.is_lab


def _mark(
    item: Item, score: LabScore | None, override: Override | None, late: Late, is_open: bool
) -> ItemMark:
    """Return an item's mark, with its own weight."""
    if override is not None:
        blank = ItemMark(item.name, "excused", weight=item.weight, reason=override.reason)
        if override.percent is None:
            return blank
        return replace(blank, state="graded", percent=override.percent, final=override.percent)
    if score is None or not score.submitted:
        if is_open:
            return ItemMark(item.name, "open", weight=item.weight)
        return ItemMark(item.name, "missing", 0.0, 0.0, weight=item.weight)
    percent = 100 * score.earned / score.points
    days = days_late(score.late_seconds, late)
    penalty = 100.0 if days > late.days else min(100.0, days * late.percent_per_day)
    state: State = "late" if days else "graded"
    return ItemMark(
        item.name,
        "to be graded by hand" if score.needs_manual else state,
        percent,
        percent * (100 - penalty) / 100,
        float(penalty),
        days,
        item.weight,
        score.needs_manual,
    )


def _summed(student: Student, items: Sequence[ItemMark]) -> StudentMarks:
    """Share out the weights of excused items, and sum up."""
    left = sum(mark.weight for mark in items if mark.state != "excused")
    shared = [
        replace(mark, weight=0.0 if mark.state == "excused" else 100 * mark.weight / left)
        if left
        else replace(mark, weight=0.0)
        for mark in items
    ]
    counted = [mark for mark in shared if mark.final is not None]
    earned = sum(mark.weight * mark.final for mark in counted)
    gradable = sum(mark.weight for mark in counted)
    return StudentMarks(
        student,
        tuple(shared),
        earned / 100 if left else None,
        earned / gradable if gradable else None,
        any(mark.is_provisional for mark in shared),
    )


def export(kind: str, course: Course, everyone: Sequence[StudentMarks]) -> Export:
    """Write marks in one of `FORMATS`: UTF-8 text of a CSV file.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    if kind not in FORMATS:
        raise ValueError(f"no format {kind!r}; there are {', '.join(FORMATS)}")
    return FORMATS[kind](course, everyone)


def _csv(course: Course, everyone: Sequence[StudentMarks]) -> Export:
    """All there is, one row a student."""
    details = ("", " before penalty", " days late", " penalty", " weight", " state")
    header = ["student", "name", "email", "canvas_id", "moodle_id"]
    header += [item + detail for item in course.items for detail in details]
    header += ["total", "so_far", "provisional", "reasons"]
    rows = []
    for own in everyone:
        row = list(vars(own.student).values())
        for mark in own.items:
            row += [_number(mark.final), _number(mark.percent), mark.days_late]
            row += [_number(mark.penalty), _number(mark.weight), mark.state]
        reasons = "; ".join(f"{mark.item}: {mark.reason}" for mark in own.items if mark.reason)
        row += [_number(own.total), _number(own.so_far)]
        row += ["provisional" if own.is_provisional else "", reasons]
        rows.append(row)
    mark = "\ufeff"  # without which Excel takes UTF-8 for another encoding
    return Export(mark + _written([header, *rows]), tuple(_provisional(everyone)))


def _canvas(course: Course, everyone: Sequence[StudentMarks]) -> Export:
    """For Canvas: Grades, Import. Each item is an assignment of 100 points; give its group the
    item's weight there."""
    titles = _titles(course)
    rows = [["Student", "ID", "SIS User ID", "SIS Login ID", "Section", *titles]]
    rows.append(["Points Possible", "", "", "", "", *[FULL] * len(titles)])
    for own in everyone:
        student = own.student
        rows.append(
            [student.name or student.student, student.canvas_id, "", student.student, ""]
            + ["EX" if mark.state == "excused" else _number(mark.final) for mark in own.items]
        )
    problems = list(_provisional(everyone))
    if lost := [own.student.student for own in everyone if not own.student.canvas_id]:
        problems.append(
            f"No canvas_id in students.csv for {', '.join(lost)}: Canvas looks for them by login "
            "and name, and may take them for new students."
        )
    return Export(_written(rows), tuple(problems))


def _moodle(course: Course, everyone: Sequence[StudentMarks]) -> Export:
    """For Moodle: Grades, Import, CSV file. Each item is a grade item of 100 points."""
    students = [own.student for own in everyone]
    keys = {"Username": "student", "ID number": "moodle_id", "Email address": "email"}
    problems = list(_provisional(everyone))
    for title, field in list(keys.items()):
        if lost := [s.student for s in students if not getattr(s, field)]:
            del keys[title]
            problems.append(
                f"The column {title} is left out: students.csv has no {field} for "
                f"{', '.join(lost)}, and Moodle would take their rows for another's."
            )
    excused = [
        f"{own.student.student} from {mark.item}"
        for own in everyone
        for mark in own.items
        if mark.state == "excused"
    ]
    if excused:
        problems.append(f"Exclude in Moodle by hand, as it cannot import it: {', '.join(excused)}.")
    rows = [[*keys, *_titles(course)]]
    for own in everyone:
        row = [getattr(own.student, field) for field in keys.values()]
        rows.append(row + [_number(mark.final) or "-" for mark in own.items])
    return Export(_written(rows), tuple(problems))


def _provisional(everyone: Sequence[StudentMarks]) -> Iterable[str]:
    waiting: dict[tuple[str, str], list[str]] = defaultdict(list)
    for own in everyone:
        for mark in own.items:
            if mark.is_provisional:
                waiting[mark.item, mark.state].append(own.student.student)
    for (item, state), names in waiting.items():
        said = f"Provisional marks in {item}, to be graded by hand"
        if state == "not graded":
            said = f"No mark in {item}, as the grader failed (grade again with --resume)"
        yield f"{said}: {', '.join(names)}."


def _titles(course: Course) -> list[str]:
    titles = [item.title for item in course.items.values()]
    return [
        title if titles.count(title) == 1 else f"{title} [{name}]"
        for title, name in zip(titles, course.items, strict=True)
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _written(rows: Sequence[Sequence[object]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return buffer.getvalue()


def _cell(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula; numbers are never below zero."""
    if not isinstance(value, str):
        return value
    plain = "".join(c if c.isprintable() else " " for c in value)  # all on one line
    if re.fullmatch(r"-|\d+\.\d\d", plain):
        return plain
    return _FORMULA.sub(r"\1\2'\3", plain)


FORMATS: Mapping[str, Callable[[Course, Sequence[StudentMarks]], Export]] = {
    "csv": _csv,
    "canvas": _canvas,
    "moodle": _moodle,
}
