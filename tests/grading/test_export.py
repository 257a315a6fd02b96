"""Marks: totals computed by hand, boundaries of late work, and what platforms are given."""

import csv
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.grading.course import ASSIGNMENTS, Course, Item, Late, read_course
from course_utils.grading.export import FORMATS, LabScore, days_late, export, marks
from course_utils.grading.roster import Override, Student

AFTER = datetime(2027, 7, 1, tzinfo=UTC)
DAY = 86_400
DECK = read_course(ASSIGNMENTS / "course.toml")
LABS = ("lab1_cnn", "lab2_rnn", "lab3_gcn", "lab4_transformer", "lab5_gan")


def small(late: Late | None = None, **deadlines: datetime) -> Course:
    items = {
        "practice": Item("practice", "Practice", 0, deadlines.get("practice")),
        "lab": Item("lab", "Lab", 60, deadlines.get("lab")),
        "exam": Item("exam", "Exam", 40, is_lab=False),
    }
    return Course("Small", items, late or Late())


def one(course: Course, scores=(), overrides=(), now=AFTER, student="ann"):
    found = {own.student.student: own for own in marks(course, (), scores, overrides, now=now)}
    own = found[student]
    return own, {mark.item: mark for mark in own.items}


# ------------------------------------------------------------------------------------------ totals


def test_the_decks_weights_are_five_labs_a_project_and_the_rest():
    weights = [item.weight for item in DECK.items.values()]
    assert weights == [0, 14, 14, 14, 14, 14, 25, 5]


def test_a_full_term_by_hand():
    percents = (80, 90, 100, 70, 60)
    scores = [LabScore("ann", lab, p / 2, 50) for lab, p in zip(LABS, percents, strict=True)]
    by_hand = [Override("ann", "project", 88.0), Override("ann", "rest", 100.0)]
    own, _ = one(DECK, scores, by_hand)
    # 14 % of (80 + 90 + 100 + 70 + 60) + 25 % of 88 + 5 % of 100 = 56 + 22 + 5
    assert own.total == pytest.approx(83)
    assert own.so_far == pytest.approx(83)
    # Lab 1 excused: 83 - 11.2 of the 86 points that are left.
    own, items = one(DECK, scores, [*by_hand, Override("ann", "lab1_cnn", None, "ill")])
    assert own.total == pytest.approx(100 * 71.8 / 86)
    assert items["lab1_cnn"].state == "excused"
    assert items["lab1_cnn"].final is None
    assert items["lab1_cnn"].reason == "ill"
    assert items["lab2_rnn"].weight == pytest.approx(100 * 14 / 86)
    assert items["project"].weight == pytest.approx(100 * 25 / 86)
    assert sum(mark.weight for mark in items.values()) == pytest.approx(100)


def test_a_late_lab_by_hand():
    # 45 of 50 is 90 %; 15 minutes of grace, then two days begun at 10 % of the mark each.
    late = LabScore("ann", "lab1_cnn", 45, 50, late_seconds=900 + DAY + 1)
    own, items = one(DECK, [late], now=datetime(2027, 4, 20, tzinfo=UTC))
    mark = items["lab1_cnn"]
    assert (mark.state, mark.days_late, mark.penalty) == ("late", 2, 20.0)
    assert mark.percent == pytest.approx(90)
    assert mark.final == pytest.approx(72)
    assert own.so_far == pytest.approx(72)
    assert own.total == pytest.approx(14 * 0.72)


def test_what_is_open_counts_for_the_total_only():
    lab = LabScore("ann", "lab", 3, 4)
    own, items = one(small(), [lab])
    assert items["exam"].state == "open"
    assert items["exam"].final is None
    assert own.total == pytest.approx(45)
    assert own.so_far == pytest.approx(75)


def test_practice_is_listed_and_counts_nothing():
    own, items = one(small(), [LabScore("ann", "practice", 1, 10), LabScore("ann", "lab", 1, 1)])
    assert items["practice"].final == 10
    assert items["practice"].weight == 0
    assert own.so_far == 100
    own, items = one(small(), [LabScore("ann", "practice", 1, 10)])
    assert own.so_far is None
    assert own.total == 0


def test_all_excused_has_no_total():
    own, _ = one(small(), overrides=[Override("ann", "lab", None), Override("ann", "exam", None)])
    assert own.total is None
    assert own.so_far is None


def test_a_mark_by_hand_replaces_the_lab_and_its_penalty():
    late = LabScore("ann", "lab", 1, 10, late_seconds=3 * DAY, needs_manual=True)
    own, items = one(small(), [late], [Override("ann", "lab", 65.5, "oral exam")])
    assert (items["lab"].state, items["lab"].final, items["lab"].penalty) == ("graded", 65.5, 0)
    assert items["lab"].reason == "oral exam"
    assert not own.is_provisional


def test_an_excuse_goes_before_a_score():
    _, items = one(small(), [LabScore("ann", "lab", 1, 1)], [Override("ann", "lab", None)])
    assert items["lab"].state == "excused"


def test_ungraded_reports_make_the_row_provisional():
    score = LabScore("ann", "lab", 10, 20, late_seconds=DAY, needs_manual=True)
    own, items = one(small(Late(10, 5, 0)), [score])
    assert items["lab"].state == "to be graded by hand"
    assert items["lab"].is_provisional
    assert items["lab"].final == pytest.approx(45)
    assert own.is_provisional


# ------------------------------------------------------------------------------- late and missing


@pytest.mark.parametrize(
    ("late", "seconds", "expected"),
    [
        (Late(25, 2, 0), -5, 100),
        (Late(25, 2, 0), 0, 100),
        (Late(25, 2, 0), 0.5, 75),
        (Late(25, 2, 0), 1, 75),
        (Late(25, 2, 0), DAY, 75),
        (Late(25, 2, 0), DAY + 1, 50),
        (Late(25, 2, 0), 2 * DAY, 50),
        (Late(25, 2, 0), 2 * DAY + 1, 0),
        (Late(5, 7, 60), 3600, 100),
        (Late(5, 7, 60), 3601, 95),
        (Late(5, 7, 60), 3600 + 7 * DAY, 65),
        (Late(5, 7, 60), 3601 + 7 * DAY, 0),
        (Late(60, 5, 0), DAY + 1, 0),  # never below zero
        (Late(10, 0, 0), 1, 0),
        (Late(0, 3, 0), 3 * DAY, 100),
        (Late(12.5, 5, 0.5), 31, 87.5),
    ],
)
def test_late_policies_at_their_boundaries(late, seconds, expected):
    _, items = one(small(late), [LabScore("ann", "lab", 7, 7, late_seconds=seconds)])
    assert items["lab"].final == pytest.approx(expected)


@given(st.integers(-DAY, 20 * DAY), st.integers(0, 3000))
def test_days_are_counted_in_whole_seconds(seconds, grace):
    late = Late(grace_minutes=grace / 60)
    days = days_late(seconds, late)
    assert days >= 0
    if seconds > grace:
        assert (days - 1) * DAY < seconds - grace <= days * DAY
    else:
        assert days == 0


DEADLINE = datetime(2027, 4, 4, 23, 59, tzinfo=timezone(timedelta(hours=8)))


@pytest.mark.parametrize(
    ("now", "others", "state"),
    [
        (DEADLINE, True, "open"),
        (DEADLINE + timedelta(seconds=1), True, "missing"),
        (DEADLINE.astimezone(UTC) + timedelta(seconds=1), True, "missing"),
        (DEADLINE + timedelta(seconds=1), False, "open"),
        (DEADLINE - timedelta(days=1), False, "open"),
    ],
)
def test_missing_is_what_is_due_and_graded_for_others(now, others, state):
    scores = [LabScore("ann", "lab", 0, 0, submitted=False)]
    scores += [LabScore("bob", "lab", 1, 2)] if others else []
    own, items = one(small(lab=DEADLINE), scores, now=now)
    assert items["lab"].state == state
    assert items["lab"].final == (0 if state == "missing" else None)
    assert own.so_far == (0 if state == "missing" else None)


def test_without_a_deadline_labs_are_due_once_graded_and_others_are_not():
    by_hand = [Override("bob", "exam", 50.0)]
    _, items = one(small(), [LabScore("bob", "lab", 1, 2)], by_hand, student="bob")
    assert items["exam"].state == "graded"
    own = marks(small(), [Student("ann")], [LabScore("bob", "lab", 1, 2)], by_hand, now=AFTER)[0]
    assert [mark.state for mark in own.items] == ["open", "missing", "open"]


def test_everyone_with_a_mark_is_listed_after_the_roster():
    roster = [Student("zoe", "Zoe Z"), Student("ann", "Ann A")]
    scores = [LabScore("stranger", "lab", 1, 1), LabScore("ann", "lab", 1, 1)]
    found = marks(small(), roster, scores, [Override("late", "exam", 5.0)], now=AFTER)
    assert [own.student.student for own in found] == ["zoe", "ann", "stranger", "late"]
    assert found[0].student.name == "Zoe Z"


def test_scores_that_cannot_be():
    with pytest.raises(ValueError, match=r"ann has two scores for lab"):
        one(small(), [LabScore("ann", "lab", 1, 1)] * 2)
    with pytest.raises(ValueError, match="no lab 'quiz'"):
        one(small(), [LabScore("ann", "quiz", 1, 1)])
    with pytest.raises(ValueError, match="no lab 'exam'"):
        one(small(), [LabScore("ann", "exam", 1, 1)])
    with pytest.raises(ValueError, match="lab gives 0 points"):
        one(small(), [LabScore("ann", "lab", 1, 0)])


PERCENT = st.floats(0, 100)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.none() | PERCENT), min_size=1, max_size=6),
    st.lists(st.booleans(), min_size=6, max_size=6),
)
def test_totals_stay_between_the_worst_and_the_best_mark(items, excused):
    names = [f"lab{n}" for n in range(len(items))]
    course = Course(
        "Any",
        {n: Item(n, n, 100 * w / sum(w for w, _ in items)) for n, (w, _) in zip(names, items)},  # noqa: B905
        Late(),
    )
    by_hand = [
        Override("ann", name, None if out else percent)
        for name, (_, percent), out in zip(names, items, excused)  # noqa: B905
        if out or percent is not None
    ]
    if not by_hand:
        return
    own, found = one(course, overrides=by_hand)
    finals = [mark.final for mark in found.values() if mark.final is not None]
    weights = sum(mark.weight for mark in found.values())
    assert weights == pytest.approx(100) or all(m.state == "excused" for m in found.values())
    if finals:
        assert min(finals) - 1e-6 <= own.so_far <= max(finals) + 1e-6
        assert own.total <= own.so_far + 1e-6


# ---------------------------------------------------------------------------------------- formats

ROSTER = [
    Student("ann", "Ann Å, Dr.", "ann@x.org", "101", "m1"),
    Student("bob", "Bob B", "bob@x.org", "102", "m2"),
]


def everyone(roster=ROSTER, **changes):
    scores = [
        LabScore("ann", "lab", 9, 10, late_seconds=1),
        LabScore("bob", "lab", 1, 3, needs_manual=True),
    ]
    by_hand = [Override("bob", "exam", None, "ill; doctor's note")]
    return marks(small(Late(10, 5, 0)), roster, scores, by_hand, now=AFTER)


def rows(text):
    return list(csv.reader(io.StringIO(text)))


def test_csv_holds_all_there_is():
    result = export("csv", small(), everyone())
    header, ann, bob = rows(result.text)
    got = dict(zip(header, ann, strict=True))
    assert got["name"] == "Ann Å, Dr."
    assert (got["lab"], got["lab before penalty"], got["lab days late"]) == ("81.00", "90.00", "1")
    assert (got["lab state"], got["lab weight"], got["exam"]) == ("late", "60.00", "")
    assert (got["total"], got["so_far"], got["provisional"]) == ("48.60", "81.00", "")
    got = dict(zip(header, bob, strict=True))
    assert (got["lab"], got["lab weight"], got["total"]) == ("33.33", "100.00", "33.33")
    assert (got["provisional"], got["reasons"]) == ("provisional", "exam: ill; doctor's note")
    assert result.problems == ("Provisional marks in lab, to be graded by hand: bob.",)


def test_canvas():
    result = export("canvas", small(), everyone())
    assert rows(result.text) == [
        ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Practice", "Lab", "Exam"],
        ["Points Possible", "", "", "", "", "100", "100", "100"],
        ["Ann Å, Dr.", "101", "", "ann", "", "", "81.00", ""],
        ["Bob B", "102", "", "bob", "", "", "33.33", "EX"],
    ]
    assert len(result.problems) == 1  # the provisional marks


def test_canvas_reports_who_has_no_id_and_keeps_them():
    roster = [ROSTER[0], replace(ROSTER[1], canvas_id="", name="")]
    result = export("canvas", small(), everyone(roster))
    assert rows(result.text)[3][:4] == ["bob", "", "", "bob"]
    assert any("No canvas_id in students.csv for bob" in said for said in result.problems)


def test_moodle():
    result = export("moodle", small(), everyone())
    assert rows(result.text) == [
        ["Username", "ID number", "Email address", "Practice", "Lab", "Exam"],
        ["ann", "m1", "ann@x.org", "-", "81.00", "-"],
        ["bob", "m2", "bob@x.org", "-", "33.33", "-"],
    ]
    assert any("Exclude in Moodle by hand" in said and "bob from exam" in said
               for said in result.problems)  # fmt: skip


def test_moodle_has_no_column_that_names_only_some():
    roster = [ROSTER[0], replace(ROSTER[1], moodle_id="")]
    result = export("moodle", small(), everyone(roster))
    assert rows(result.text)[0][:3] == ["Username", "Email address", "Practice"]
    assert any("ID number is left out" in said and "bob" in said for said in result.problems)


def test_items_of_one_title_are_told_apart():
    course = small()
    items = {name: replace(item, title="Lab") for name, item in course.items.items()}
    found = marks(replace(course, items=items), ROSTER, (), (), now=AFTER)
    header = rows(export("moodle", replace(course, items=items), found).text)[0]
    assert header[3:] == ["Lab [practice]", "Lab [lab]", "Lab [exam]"]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "evil",
    ["=1+1", "+1", "-1+cmd", "@SUM(A1)", "\t=1", "\r=1", " =1", "x;=1", "x,\n=1", "＝1", "\0=1"],
)
def test_no_text_becomes_a_formula(kind, evil):
    student = Student(evil, evil, evil, "1", evil)
    course = small()
    items = {name: replace(item, title=f"{evil} {name}") for name, item in course.items.items()}
    course = replace(course, items=items)
    by_hand = [Override(evil, "exam", 5.0, evil)]
    text = export(kind, course, marks(course, [student], (), by_hand, now=AFTER)).text
    for row in rows(text):
        for value in row:
            # Spreadsheets of some countries split at other signs than the comma.
            for part in value.replace(";", "\n").replace(",", "\n").replace("\t", "\n").split("\n"):
                assert part.strip()[:1] not in {*"=+@＝", "\0"}
                assert not part.strip().startswith("-") or part == "-"


def test_numbers_are_not_disfigured():
    text = export("csv", small(), everyone()).text
    assert "'" not in text.replace("doctor's", "")


def test_formats_that_are_none():
    with pytest.raises(ValueError, match="no format 'xls'; there are csv, canvas, moodle"):
        export("xls", small(), [])
