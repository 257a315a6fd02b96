"""The gradebook holds what grading found, keeps what people gave, and survives many writers."""

import base64
import errno
import io
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from course_utils.grading import database, entries, gradebook
from course_utils.grading.course import read_course
from course_utils.grading.database import resolve_url
from course_utils.grading.gradebook import Gradebook, GradebookError, ManualGrade, prepare_folder
from course_utils.grading.lab import read_lab
from course_utils.grading.workspace import Workspace
from tests.grading.postgres import new_database, running_postgres
from tests.grading.records import WHEN, answered, dump, graded, main
from tests.grading.small_lab import NAME, write_small_lab

ROOT = Path(__file__).parents[2]
REPORT = "It **overflows** for large inputs."


@pytest.fixture(scope="session")
def server():
    with running_postgres() as url:
        yield url


@pytest.fixture
def postgres_url(server, request):
    name = f"{request.node.originalname[:40]}_{time.monotonic_ns()}"
    return new_database(server, name)


@pytest.fixture
def lab(tmp_path):
    return read_lab(write_small_lab(tmp_path / "labs"))


@pytest.fixture
def item(lab):
    return read_course(lab.folder.parent / "course.toml").lab(NAME)


@pytest.fixture
def folder(tmp_path):
    prepare_folder(tmp_path / "grading")
    return tmp_path / "grading"


@pytest.fixture(params=["sqlite", "postgres"])
def book(request, lab, item, folder):
    """An open gradebook that knows the small lab."""
    url = request.getfixturevalue("postgres_url") if request.param == "postgres" else None
    with Gradebook(folder, url) as book:
        book.register(lab, item)
        yield book


@pytest.fixture
def local(lab, item, folder):
    """The same on SQLite only, for what does not depend on the database."""
    with Gradebook(folder) as book:
        book.register(lab, item)
        yield book


def edit(lab, old, new):
    """Change a lab's source and read it again."""
    path = lab.folder / "source" / f"{NAME}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return read_lab(lab.folder)


def by_hand(book, student, cell, score=None, comment=None):
    """Grade as the form grader does."""
    own = book._book
    grade = own.find_grade(cell, NAME, NAME, student)
    grade.manual_score = score
    grade.needs_manual_grade = score is None and grade.auto_score is None
    if comment is not None:
        answer = cell.removesuffix("_test")
        own.find_comment(answer, NAME, NAME, student).manual_comment = comment
    own.db.commit()
    own.db.remove()


# The folder


def course_directory(folder):
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config.loader import PyFileConfigLoader

    settings = PyFileConfigLoader("nbgrader_config.py", path=str(folder)).load_config()
    return CourseDirectory(config=settings)


def test_a_prepared_folder_is_nbgraders_course_directory_wherever_it_is_moved(folder, tmp_path):
    assert course_directory(folder).root == str(folder)
    assert course_directory(folder).db_url == f"sqlite:///{folder}/gradebook.db"
    assert prepare_folder(folder) == f"sqlite:///{folder}/gradebook.db"
    moved = folder.rename(tmp_path / "moved")
    assert course_directory(moved).root == str(moved)
    assert prepare_folder(moved) == f"sqlite:///{moved}/gradebook.db"


def test_an_instructors_settings_are_kept_and_followed(folder, tmp_path):
    config = folder / "nbgrader_config.py"
    own = config.read_text() + f"c.CourseDirectory.db_url = 'sqlite:///{tmp_path}/own.db'\n"
    config.write_text(own)
    assert prepare_folder(folder) == f"sqlite:///{tmp_path}/own.db"
    assert config.read_text() == own
    with Gradebook(folder):
        assert (tmp_path / "own.db").exists()


def test_a_database_that_is_named_is_remembered_with_its_driver_for_the_form_grader(tmp_path):
    url = prepare_folder(tmp_path / "g", "postgresql://ada:secret@127.0.0.1:1/course")
    assert url == "postgresql+psycopg2://ada:secret@127.0.0.1:1/course"
    assert course_directory(tmp_path / "g").db_url == url
    assert (tmp_path / "g" / "nbgrader_config.py").stat().st_mode & 0o077 == 0
    assert (tmp_path / "g").stat().st_mode & 0o077 == 0
    locked = Workspace(tmp_path / "locked")  # before anything else, as the command does
    with locked.lock():
        locked.seed()
        prepare_folder(locked.folder)
    for private in (locked.folder, locked.folder / "seed"):
        assert private.stat().st_mode & 0o077 == 0
    bare = "postgresql://ada@127.0.0.1:1/course"  # the password comes from ~/.pgpass
    assert prepare_folder(tmp_path / "g", bare) == resolve_url(bare)
    with pytest.raises(GradebookError) as caught:
        prepare_folder(tmp_path / "g", "sqlite:///other.db")
    assert "names the gradebook postgresql+psycopg2://ada:***@127" in str(caught.value)


@pytest.mark.parametrize("url", ["gradebook.db", "sqlite://", "mysql://host/name", ""])
def test_what_is_no_database_is_refused(url):
    with pytest.raises(GradebookError, match="expected a database such as sqlite:"):
        resolve_url(url)


def test_a_relative_database_is_the_same_from_every_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert resolve_url("sqlite:///own.db") == f"sqlite:///{tmp_path}/own.db"


def test_settings_that_do_not_run_are_told(folder):
    (folder / "nbgrader_config.py").write_text("c = get_config(\n")
    with pytest.raises(GradebookError, match=r"cannot be read \(SyntaxError: .*mend it"):
        Gradebook(folder)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(GradebookError, match="cannot prepare the grading folder"):
        prepare_folder(tmp_path / "taken")


def test_stock_nbgrader_is_stopped_before_it_runs_or_overwrites_anything(local, folder, lab):
    local.record(graded("ada"), answered(lab.folder), b"handed in")
    shown = folder / "autograded" / "ada" / NAME / f"{NAME}.ipynb"
    before = shown.read_bytes()
    for command in (["autograde", NAME, "--force"], ["generate_feedback", NAME, "--force"]):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "use `course grade` and `course feedback`" in done.stderr
    assert shown.read_bytes() == before
    assert not list((folder / "feedback").iterdir())
    assert local.scores(NAME)["ada"].earned == 5


# Labs


def test_a_lab_is_entered_as_nbgrader_enters_it(book, folder):
    own = book._book
    notebook = own.find_notebook(NAME, NAME)
    points = {cell.name: cell.max_score for cell in notebook.grade_cells}
    assert points == {"neuron_test": 3, "sigmoid_test": 2, "report_sigmoid": 5}
    assert {c.name for c in notebook.solution_cells} == {"neuron", "sigmoid", "report_sigmoid"}
    sources = {cell.name: cell for cell in notebook.source_cells}
    assert 'hidden_test("lab_small", "neuron", globals())' in sources["neuron_test"].source
    assert sources["neuron_test"].locked
    assert not sources["neuron"].locked
    assert "weighted_inputs" not in sources["neuron"].source
    assert str(own.find_assignment(NAME).duedate) == "2027-03-14 15:59:00"
    own.db.remove()
    source = nbformat.read(folder / "source" / NAME / f"{NAME}.ipynb", as_version=4)
    assert "weighted_inputs" in source.cells[4].source
    release = nbformat.read(folder / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    assert "NotImplementedError" in release.cells[4].source


def test_entering_a_lab_again_changes_nothing(book, lab, item):
    book.record(graded("ada"), answered(lab.folder, report_sigmoid=REPORT), b"")
    by_hand(book, "ada", "report_sigmoid", 4)
    before = dump(book)
    book.register(lab, item)
    assert dump(book) == before
    assert book.scores(NAME)["ada"].points == 10


def test_other_points_and_another_deadline_are_taken_over(book, lab, item):
    book.record(graded("ada"), answered(lab.folder), b"")
    changed = edit(lab, '"points": 5', '"points": 7')
    book.register(changed, replace(item, deadline=WHEN - timedelta(hours=1)))
    score = book.scores(NAME)["ada"]
    assert (score.points, score.late_seconds) == (12, 3600)


def test_a_new_report_waits_for_a_person_in_work_that_is_there_already(book, lab, item):
    book.record(graded("ada"), answered(lab.folder), b"")
    assert not book.scores(NAME)["ada"].needs_manual
    path = lab.folder / "source" / f"{NAME}.py"
    report = path.read_text().rpartition("# %% [markdown] nbgrader")[2]
    more = "\n# %% [markdown] nbgrader" + report.replace("report_sigmoid", "report_more")
    book.register(edit(lab, path.read_text(), path.read_text() + more), item)
    assert book.scores(NAME)["ada"].needs_manual
    assert ManualGrade("report_more", 5, None) in book.manual_grades("ada", NAME)


def without_report(lab):
    path = lab.folder / "source" / f"{NAME}.py"
    kept = path.read_text().rpartition("# %% [markdown] nbgrader")[0]
    return edit(lab, path.read_text(), kept)


def test_a_cell_without_grades_by_hand_is_dropped_with_its_scores(book, lab, item):
    book.record(graded("ada"), answered(lab.folder, report_sigmoid=REPORT), b"")
    book.register(without_report(lab), item)
    score = book.scores(NAME)["ada"]
    assert (score.earned, score.points, score.needs_manual) == (5, 5, False)
    assert book.manual_grades("ada", NAME) == []


@pytest.mark.parametrize(("score", "comment"), [(4.0, None), (None, "Say why.")])
def test_a_cell_that_a_person_graded_is_not_dropped(book, lab, item, score, comment):
    book.record(graded("ada"), answered(lab.folder, report_sigmoid=REPORT), b"")
    by_hand(book, "ada", "report_sigmoid", score, comment)
    before = dump(book)
    with pytest.raises(GradebookError, match="no cell report_sigmoid any more, and a person"):
        book.register(without_report(lab), item)
    assert dump(book) == before


# Submissions


def test_scores_comments_and_files_of_a_submission(book, lab, folder):
    notebook = answered(lab.folder, neuron="def neuron(x): pass", report_sigmoid=REPORT)
    book.record(graded("ada", neuron=1.5), notebook, b"as handed in")
    assert dump(book)["ada"] == [
        ("handed in", WHEN.replace(tzinfo=None)),
        ("neuron_test", 1.5, None, False),
        ("report_sigmoid", None, None, True),
        ("sigmoid_test", 2, None, False),
        ("neuron comment", "The bias is left out.", "None"),
        ("report_sigmoid comment", "None", "None"),
        ("sigmoid comment", "None", "None"),
    ]
    place = Path("ada", NAME)
    assert (folder / "submitted" / place / f"{NAME}.ipynb").read_bytes() == b"as handed in"
    assert (folder / "submitted" / place / "timestamp.txt").read_text().endswith(" UTC\n")
    shown = nbformat.read(folder / "autograded" / place / f"{NAME}.ipynb", as_version=4)
    assert shown.cells == notebook.cells
    score = book.scores(NAME)["ada"]
    assert (score.earned, score.points, score.needs_manual) == (3.5, 10, True)
    assert (score.submitted_at, score.late_seconds) == (WHEN, 0)
    assert book.submissions(NAME) == ["ada"]


@pytest.mark.parametrize(
    "text", ["YOUR ANSWER HERE", "", "  \n", "YOUR ANSWER HERE\n\n", "> \n\n&nbsp;"]
)
def test_an_unanswered_report_has_zero_and_waits_for_nobody(local, lab, text):
    local.record(graded("ada"), answered(lab.folder, report_sigmoid=text), b"")
    assert local.manual_grades("ada", NAME) == [
        ManualGrade("report_sigmoid", 5, 0.0, "No response.")
    ]
    assert not local.scores(NAME)["ada"].needs_manual


def test_a_report_that_stands_elsewhere_waits_for_a_person(local, lab):
    notebook = answered(lab.folder)
    notebook.cells.append(nbformat.v4.new_markdown_cell("It overflows.", id="added-1"))
    local.record(graded("ada"), notebook, b"")
    assert local.manual_grades("ada", NAME) == [ManualGrade("report_sigmoid", 5, None)]
    notebook.cells[-1].source = " \n"
    local.record(graded("bob"), notebook, b"")
    assert local.manual_grades("bob", NAME)[0].earned == 0


def test_a_report_of_a_picture_only_is_answered(local, lab):
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    picture = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    local.record(graded("ada"), answered(lab.folder, report_sigmoid=f"![]({picture})"), b"")
    assert local.scores(NAME)["ada"].needs_manual


def test_what_cannot_be_read_has_zeros_and_the_reason(book, lab):
    result = graded("ada", status="unreadable", questions=(), reason="The file is empty.\0\ud800")
    book.record(result, answered(lab.folder), b"")
    rows = dump(book)["ada"]
    assert [row[1:] for row in rows[1:4]] == [(0, None, False)] * 3
    assert {row[1] for row in rows[4:]} == {"The file is empty.?"}
    assert book.scores(NAME)["ada"].earned == 0


def test_a_failure_of_the_grader_is_no_result(local, lab):
    with pytest.raises(ValueError, match="expected the result of work"):
        local.record(graded("ada", status="failed"), answered(lab.folder), b"")


def test_the_same_work_graded_again_keeps_what_a_person_gave(book, lab):
    notebook = answered(lab.folder, report_sigmoid=REPORT)
    book.record(graded("ada", neuron=1), notebook, b"")
    by_hand(book, "ada", "report_sigmoid", 4, "Good.")
    by_hand(book, "ada", "neuron_test", 2.5, "Nearly.")
    before = dump(book)
    book.record(graded("ada", neuron=1), notebook, b"")
    assert dump(book) == before
    assert book.manual_grades("ada", NAME) == [
        ManualGrade("neuron_test", 3, 2.5, "Nearly."),
        ManualGrade("report_sigmoid", 5, 4, "Good."),
    ]
    score = book.scores(NAME)["ada"]
    assert (score.earned, score.needs_manual) == (8.5, False)


@pytest.mark.parametrize(
    ("neuron", "answers"),
    [(1, {"report_sigmoid": "Another text."}), (3, {}), (1, {"neuron": "def neuron(): ..."})],
    ids=["report", "automatic score", "answer"],
)
def test_changed_work_keeps_the_grade_by_hand_and_asks_for_another_look(book, lab, neuron, answers):
    answers = {"report_sigmoid": REPORT, **answers}
    book.record(graded("ada", neuron=1), answered(lab.folder, report_sigmoid=REPORT), b"")
    by_hand(book, "ada", "report_sigmoid", 4)
    by_hand(book, "ada", "neuron_test", 2)
    for _ in range(2):  # the second time the work is the same, but nobody has looked yet
        book.record(graded("ada", neuron=neuron), answered(lab.folder, **answers), b"")
        score = book.scores(NAME)["ada"]
        assert (score.earned, score.needs_manual) == (8, True)


def test_extra_credit_counts(book, lab):
    book.record(graded("ada"), answered(lab.folder, report_sigmoid=REPORT), b"")
    by_hand(book, "ada", "report_sigmoid", 4)
    own = book._book
    own.find_grade("report_sigmoid", NAME, NAME, "ada").extra_credit = 1.5
    own.db.commit()
    own.db.remove()
    assert book.manual_grades("ada", NAME) == [ManualGrade("report_sigmoid", 5, 5.5)]
    assert book.scores(NAME)["ada"].earned == 10.5


def test_lateness_counts_after_an_extension_of_nbgrader(book, lab, item):
    late = item.deadline + timedelta(hours=30)
    book.record(graded("ada", submitted_at=late), answered(lab.folder), b"")
    assert book.scores(NAME)["ada"].late_seconds == 30 * 3600
    book._book.grant_extension(NAME, "ada", days=1)
    book._book.db.remove()
    assert book.scores(NAME)["ada"].late_seconds == 6 * 3600
    book.register(lab, replace(item, deadline=None))
    assert book.scores(NAME)["ada"].late_seconds == 0


def test_a_lab_that_was_never_entered_is_told(local):
    with pytest.raises(GradebookError, match="no lab lab9: run `course grade lab9` first"):
        local.scores("lab9")
    assert local.manual_grades("nobody", NAME) == []


def test_a_result_of_other_questions_is_refused_whole(local, lab):
    result = graded("ada")
    with pytest.raises(GradebookError, match=r"other questions .* \(sigmoid_test\)"):
        local.record(replace(result, questions=result.questions[:1]), answered(lab.folder), b"")
    assert local.submissions(NAME) == []


@pytest.mark.parametrize(
    "student", ["", "..", "../eve", "a/b", "a\\b", "a\nb", "x" * 129, "\udce4"], ids=repr
)
def test_a_name_that_is_no_folder_is_refused(local, lab, tmp_path, student):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(GradebookError, match="cannot be a student's name"):
        local.record(graded(student), answered(lab.folder), b"")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_submission_is_entered_whole_or_not_at_all(book, lab, monkeypatch):
    book.record(graded("ada", neuron=1), answered(lab.folder), b"")
    before = dump(book)

    def trip(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(entries, "_set_score", trip)
    for student in ("ada", "bob"):
        with pytest.raises(KeyboardInterrupt):
            book.record(graded(student), answered(lab.folder, report_sigmoid=REPORT), b"")
    assert dump(book) == before


# Trouble


def test_a_full_disk_is_told_and_mended_by_grading_again(local, lab, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(gradebook, "write_atomically", full)
        with pytest.raises(GradebookError, match=r"No space left on device\): make room"):
            local.record(graded("ada"), answered(lab.folder, report_sigmoid=REPORT), b"")
    local.record(graded("ada"), answered(lab.folder, report_sigmoid=REPORT), b"")
    assert local.scores(NAME)["ada"].needs_manual


def test_a_full_database_is_told(local, lab):
    from sqlalchemy import event

    engine = local._book.engine
    event.listen(engine, "connect", lambda c, _: c.execute("PRAGMA max_page_count = 1"))
    engine.dispose()
    text = "a long reason " * 10_000
    result = graded("ada", status="unreadable", questions=(), reason=text)
    with pytest.raises(GradebookError, match="the disk is full; make room"):
        local.record(result, answered(lab.folder), b"")
    assert local.submissions(NAME) == []


def test_a_database_that_another_program_holds_is_waited_for_then_told(
    folder, lab, item, monkeypatch
):
    with Gradebook(folder) as book:
        book.register(lab, item)
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.3)
    holder = sqlite3.connect(folder / "gradebook.db", isolation_level=None)
    with Gradebook(folder) as book:
        holder.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        with pytest.raises(GradebookError, match="another program has held it for too long"):
            book.record(graded("ada"), answered(lab.folder), b"")
        assert 0.3 <= time.monotonic() - started < 30  # half the usual wait
        holder.execute("ROLLBACK")
        book.record(graded("ada"), answered(lab.folder), b"")
    holder.close()


def test_a_form_grader_that_is_open_holds_nobody_up(local, lab, monkeypatch):
    from nbgrader.api import Gradebook as Theirs

    local.record(graded("ada"), answered(lab.folder), b"")
    with Theirs(local.url) as theirs:  # its session stays open between two clicks
        grade = theirs.find_grade("report_sigmoid", NAME, NAME, "ada")
        assert grade.auto_score == 0
        local.record(graded("bob"), answered(lab.folder, report_sigmoid=REPORT), b"")
        grade.manual_score = 2
        theirs.db.commit()
    assert local.manual_grades("ada", NAME)[0].earned == 2


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://ada:secret@127.0.0.1:1/course", "the server does not answer"),
        ("sqlite:////nowhere/at/all.db", "check that its folder exists"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_the_password(folder, url, told):
    with pytest.raises(GradebookError, match=told) as caught, Gradebook(folder, url):
        pass
    assert "secret" not in str(caught.value)


def test_a_server_without_the_database_says_how_to_make_it(server, folder):
    url = server.replace("/postgres?", "/none?")
    with pytest.raises(GradebookError, match="make it with `createdb`"), Gradebook(folder, url):
        pass


def test_a_file_that_is_no_database_is_told(folder):
    (folder / "gradebook.db").write_text("not a database, but long enough to be one " * 100)
    with pytest.raises(GradebookError, match="no SQLite database"), Gradebook(folder):
        pass


@pytest.mark.parametrize(
    "statement",
    ["CREATE TABLE student (id TEXT)", "CREATE TABLE alembic_version AS SELECT 'x' version_num"],
)
def test_tables_of_another_version_are_left_alone(folder, statement):
    with sqlite3.connect(folder / "gradebook.db") as connection:
        connection.execute(statement)
    connection.close()
    before = (folder / "gradebook.db").read_bytes()
    with pytest.raises(GradebookError, match="nbgrader db upgrade"), Gradebook(folder):
        pass
    assert (folder / "gradebook.db").read_bytes() == before


# Many writers


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_writers_at_once_make_the_gradebook_that_one_makes(request, lab, tmp_path, kind):
    students = [f"student{'x' * number}" for number in range(12)]
    if kind == "postgres":
        urls = [request.getfixturevalue("postgres_url")]
        urls.append(new_database(request.getfixturevalue("server"), f"one_{time.monotonic_ns()}"))
    else:
        urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("two", "one")]
    labs, start = lab.folder.parent, tmp_path / "start"
    # Both write every student, in opposite order, into tables that neither finds.
    race(labs, tmp_path, urls[0], start, [students, students[::-1]])
    main(str(labs), str(tmp_path / "one"), urls[1], str(start), *students)
    with Gradebook(tmp_path, urls[0]) as two, Gradebook(tmp_path, urls[1]) as one:
        assert dump(two) == dump(one)
        assert two.submissions(NAME) == sorted(students)


def race(labs, folder, url, start, batches):
    """Let processes record their batches at the same time, each with a grading folder."""
    program = [sys.executable, "-m", "tests.grading.records", labs]
    processes = [
        subprocess.Popen(
            [*program, folder / students[0], url, start, *students],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            text=True,
        )
        for students in batches
    ]
    for students in batches:
        while not start.with_suffix(f".{students[0]}").exists():
            time.sleep(0.01)
            assert all(process.poll() is None for process in processes)
    start.touch()
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert (process.returncode, said) == (0, "")
