"""Who takes the course: ids that can name files, and clear words about a spreadsheet's faults."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.grading.course import Course, Item, Late
from course_utils.grading.roster import (
    MAX_ID,
    Override,
    RosterError,
    Student,
    find_student,
    read_marks,
    read_students,
    safe_id,
)

COURSE = Course(
    "Small",
    {"lab1_cnn": Item("lab1_cnn", "Lab", 60), "project": Item("project", "P", 40, is_lab=False)},
    Late(),
)


def students(tmp_path, text: str | bytes):
    path = tmp_path / "students.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_students(path)


def given_marks(tmp_path, text: str, known=("ann", "bob")):
    path = tmp_path / "marks.csv"
    path.write_text(text, encoding="utf-8")
    return read_marks(path, COURSE, known)


# ------------------------------------------------------------------------------------------- ids


@given(st.text(max_size=100))
def test_any_text_becomes_the_name_of_a_file(text):
    name = safe_id(text)
    assert name
    assert name == Path(name).name == safe_id(name)
    assert not name.startswith((".", "-"))
    assert not name.endswith(".")
    assert not {*'/\\:*?"<>|\n\0 '} & set(name)
    assert len(name) <= MAX_ID + 1
    assert len(name.encode()) < 240


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("alice", "alice"),
        ("alice@x.org", "alice@x.org"),
        ("a+b-c_d.e", "a+b-c_d.e"),
        ("Ole\u0301", "Olé"),  # macOS writes letter and accent apart
        ("हिन्दी", "हिन्दी"),
        ("-rf", "rf"),
        (".hidden", "hidden"),
        ("nul.txt", "_nul.txt"),
        ("COM1", "_COM1"),
        ("a\u202eb", "a_b"),  # turns what follows round on the screen
    ],
)
def test_ids_by_example(text, name):
    assert safe_id(text) == name


@pytest.mark.parametrize("text", ["", "..", "...", "-", "_", "???", "/"])
def test_names_without_a_letter_are_told_apart(text):
    assert safe_id(text).startswith("unnamed-")
    assert safe_id(text) != safe_id(text + " ")


def test_long_names_stay_apart():
    assert safe_id("x" * 100) != safe_id("x" * 101)


ROSTER = (
    Student("s1", "Anna Maria Groß", "a.gross@x.org", "11"),
    Student("s2", "Li, Wei", "wei@x.org", "12"),
    Student("s3", "Bo Ek", "bo@x.org", "13"),
    Student("s4", "Bo Ek", "bo2@x.org", "14"),
    Student("s5", "Cy Oz", "cy@x.org"),
)


@pytest.mark.parametrize(
    ("label", "number", "found"),
    [
        ("s2", "", "s2"),
        ("S2", "", "s2"),
        ("anything", "12", "s2"),
        ("Anna Maria Groß", "", "s1"),
        ("großannamaria", "", "s1"),
        ("GROSS ANNA MARIA", "", "s1"),
        ("liwei", "", "s2"),
        ("Wei Li", "99", None),  # another of that name
        ("Cy Oz", "99", "s5"),  # whose number the roster does not know
        ("a.gross@x.org", "", "s1"),
        ("a.gross", "", "s1"),
        ("Bo Ek", "", None),  # two of them
        ("Bo Ek", "14", "s4"),
        ("nobody", "", None),
        ("", "", None),
        ("()", "", None),
    ],
)
def test_students_are_found_by_what_platforms_write(label, number, found):
    student = find_student(ROSTER, label, number)
    assert (student.student if student else None) == found


# ------------------------------------------------------------------------------------ students.csv


def test_students(tmp_path):
    text = 'student,name,email,canvas_id,moodle_id\nann,"Å, Ann",a@x.org,7,m7\n\nbob,,,,\n'
    expected = (Student("ann", "Å, Ann", "a@x.org", "7", "m7"), Student("bob"))
    assert students(tmp_path, text) == expected
    assert students(tmp_path, b"\xef\xbb\xbf" + text.encode()) == expected
    assert students(tmp_path, text.replace("\n", "\r\n")) == expected
    assert read_students(tmp_path / "none.csv") == ()


def test_columns_may_be_few_in_any_order_and_split_by_semicolons(tmp_path):
    text = " Name ;STUDENT\nAnn, the first; ann \n"
    assert students(tmp_path, text) == (Student("ann", "Ann, the first"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: the column 'student' is missing; expected the columns student, name,"),
        ("studnet,name\n", r"line 1: unknown column 'studnet' \(did you mean 'student'\?\)"),
        ("student,phone\n", r"line 1: unknown column 'phone'; expected the columns"),
        ("student,student\n", r"line 1: the column 'student' stands twice"),
        ("student,name\nann\n", r"line 2: expected 2 cells, found 1"),
        ("student,name\nann,A,B\n", r"line 2: expected 2 cells, found 3; put text that holds"),
        ("student,name\n,A\n", r"line 2: student is empty"),
        ("student\nann\nbob\nAnn\n", r"line 4: student 'Ann' stands in line 2 already"),
        ("student,email\na,x@y\nb,X@y\n", r"line 3: email 'X@y' stands in line 2 already"),
        ("student,canvas_id\na,12b\n", r"line 2: canvas_id is '12b', expected the number"),
        ("student,canvas_id\na,\u0661\n", r"line 2: canvas_id is"),
        ("student\na/b\n", r"line 2: 'a/b' cannot be a student's id; .* such as 'a_b'"),
        ("student\n../x\n", r"line 2: '../x' cannot be a student's id"),
        ('student,name\nann,"A\n', r"line 2: not CSV"),
        ('student,name\nann,"A"x\n', r"line 2: not CSV"),
        ("student\na\0\n", r"holds NUL bytes"),
        (b"student,name\nann,\xe9\n", r"is not UTF-8 text: save it as .CSV UTF-8."),
        ("student,name\n".encode("utf-16"), r"not UTF-8|NUL bytes"),
    ],
)  # fmt: skip
def test_faults_of_students(tmp_path, text, message):
    with pytest.raises(RosterError, match=rf"students\.csv.*{message}"):
        students(tmp_path, text)


def test_a_folder_is_no_roster(tmp_path):
    (tmp_path / "students.csv").mkdir()
    with pytest.raises(RosterError, match="cannot read"):
        read_students(tmp_path / "students.csv")


# --------------------------------------------------------------------------------------- marks.csv


def test_marks(tmp_path):
    text = (
        'student,item,mark,reason,,\nann,project,87.5,,,\nbob,project,"62,5%",good,,\n'
        "ann,lab1_cnn,Excused,ill\nbob,lab1_cnn,0,\n"
    )
    assert given_marks(tmp_path, text) == (
        Override("ann", "project", 87.5),
        Override("bob", "project", 62.5, "good"),
        Override("ann", "lab1_cnn", None, "ill"),
        Override("bob", "lab1_cnn", 0.0),
    )
    assert read_marks(tmp_path / "none.csv", COURSE, ()) == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("anne,project,5", r"line 2: no student 'anne'; did you mean 'ann'\?"),
        ("xyz,project,5", r"line 2: no student 'xyz'; there are ann, bob"),
        ("ann,lab1-cnn,5", r"line 2: no item 'lab1-cnn'; did you mean 'lab1_cnn'\?"),
        ("ann,quiz,5", r"line 2: no item 'quiz'; there are lab1_cnn, project"),
        ("ann,project,101", r"line 2: mark is '101', expected a percentage from 0 to 100"),
        ("ann,project,-1", r"line 2: mark is '-1'"),
        ("ann,project,nan", r"line 2: mark is 'nan'"),
        ("ann,project,inf", r"line 2: mark is 'inf'"),
        ("ann,project,A", r"line 2: mark is 'A', expected .* or the word excused"),
        ("ann,project,", r"line 2: mark is empty"),
        ("ann,project,5\nann,project,6", r"line 3: ann has a mark for project in line 2 already"),
    ],
)
def test_faults_of_marks(tmp_path, row, message):
    with pytest.raises(RosterError, match=rf"marks\.csv, {message}"):
        given_marks(tmp_path, f"student,item,mark\n{row}\n")


def test_lines_are_counted_through_quoted_line_ends(tmp_path):
    text = 'student,item,mark,reason\nann,project,5,"two\nlines"\nbob,project,x,\n'
    with pytest.raises(RosterError, match="line 4: mark is 'x'"):
        given_marks(tmp_path, text)


@given(text=st.text(max_size=200))
def test_any_text_is_read_or_refused(text, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "students.csv"
    for body in (text, f"student,name\n{text}", f"student;name\n{text}"):
        path.write_bytes(body.encode("utf-8", "replace"))
        try:
            for student in read_students(path):
                assert student.student == safe_id(student.student)
        except RosterError as error:
            assert "students.csv" in str(error)  # noqa: PT017
