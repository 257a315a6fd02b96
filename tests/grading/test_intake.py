"""Finding submissions: every layout a platform hands out, and every trap in a zip or folder."""

import contextlib
import io
import os
import stat
import struct
import warnings
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.grading import archive
from course_utils.grading.archive import Refused, list_folder, open_zip, read_file, time_of
from course_utils.grading.intake import IntakeError, Submission, find_submissions
from course_utils.grading.naming import owner_of, strip_lab
from course_utils.grading.roster import Student

LAB = "lab1_cnn"
MAX_BYTES = 1000


def fill(folder: Path, files: dict[str, bytes | str], times: dict[str, int] | None = None) -> Path:
    """Write files, each a day older than the one before unless a time is given."""
    for number, (name, content) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        seconds = (times or {}).get(name, 1_800_000_000 - 86_400 * number)
        os.utime(path, (seconds, seconds))
    return folder


def zipped(files: dict[str, bytes | str], **settings) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name, (2027, 4, 1, 12, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            for key, value in settings.items():
                setattr(member, key, value)
            archive.writestr(member, content)
    return buffer.getvalue()


def find(source: Path, **settings) -> dict[str, Submission]:
    found = find_submissions(source, LAB, **{"max_bytes": MAX_BYTES, **settings})
    assert [s.student for s in found] == sorted({s.student for s in found})
    assert all(bool(s.problem) != bool(s.content) for s in found)
    return {submission.student: submission for submission in found}


def contents(source: Path, **settings) -> dict[str, str]:
    return {name: s.content.decode() for name, s in find(source, **settings).items()}


LAYOUTS = {
    "a folder for each student": {"alice/lab1_cnn.ipynb": "A", "bob/my work.ipynb": "B"},
    "nbgrader": {
        "alice/lab1_cnn/lab1_cnn.ipynb": "A",
        "alice/lab0_backprop/lab0_backprop.ipynb": "other lab",
        "bob/lab1_cnn/lab1_cnn.ipynb": "B",
    },
    "nbgrader inside submitted": {
        "submitted/alice/lab1_cnn/lab1_cnn.ipynb": "A",
        "submitted/bob/lab1_cnn/lab1_cnn.ipynb": "B",
    },
    "files named by student": {"alice.ipynb": "A", "bob_lab1_cnn.ipynb": "B", "notes.txt": "-"},
    "files in a folder of the lab": {
        "lab1_cnn/alice.ipynb": "A",
        "lab1_cnn/Lab1-CNN bob.ipynb": "B",
    },
    "a release zip handed in": {
        "alice.zip": zipped(
            {"lab1_cnn/lab1_cnn.ipynb": "A", "lab1_cnn/lab1_cnn.checks.json": "{}"}
        ),
        "bob/lab1_cnn.zip": zipped({"lab1_cnn.ipynb": "B"}),
    },
    "hidden copies beside": {
        "alice/lab1_cnn.ipynb": "A",
        "alice/.ipynb_checkpoints/lab1_cnn-checkpoint.ipynb": "old",
        "bob/lab1_cnn.ipynb": "B",
        "__MACOSX/alice/._lab1_cnn.ipynb": "resource fork",
        ".DS_Store": "-",
    },
    "wrong endings": {"alice/lab1_cnn.ipynb.txt": "A", "bob/LAB1_CNN.IPYNB": "B"},
}


@pytest.mark.parametrize("form", ["folder", "zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_two_students(tmp_path, layout, form):
    source = fill(tmp_path / "class", LAYOUTS[layout])
    if form == "zip":
        source = tmp_path / "class.zip"
        source.write_bytes(zipped(LAYOUTS[layout]))
    assert contents(source) == {"alice": "A", "bob": "B"}


@pytest.mark.parametrize("wrapper", ["class", "submissions", "lab1_cnn", "Submitted/lab1_cnn"])
def test_the_folder_around_a_zipped_class_is_no_student(tmp_path, wrapper):
    source = tmp_path / "class.zip"
    names = {f"{wrapper}/alice/x.ipynb": "A", f"{wrapper}/bob/y.ipynb": "B"}
    source.write_bytes(zipped(names))
    assert contents(source) == {"alice": "A", "bob": "B"}


def test_a_folder_of_one_student_stays_one_student(tmp_path):
    source = tmp_path / "hand-in.zip"
    work = {"alice/lab1_cnn.ipynb": "A", "alice/old/x.ipynb": "X", "alice/older/y.ipynb": "Y"}
    source.write_bytes(zipped(work))
    assert contents(source) == {"alice": "A"}


def test_a_folder_without_notebooks_beside_named_files_is_no_student(tmp_path):
    fill(tmp_path, {"alice.ipynb": "A", "data/images.csv": "-", "bob/lab1_cnn.ipynb": "B"})
    assert contents(tmp_path) == {"alice": "A", "bob": "B"}


def test_moodles_folders_are_students_by_name(tmp_path):
    fill(
        tmp_path,
        {
            "Anna Groß_4711_assignsubmission_file_/lab1_cnn.ipynb": "A",
            "Anna Groß_4711_assignsubmission_onlinetext_/onlinetext.html": "see file",
            "Li Wei_12_assignsubmission_file/sub/deep.ipynb": "B",
            "Li Wei_77_assignsubmission_file/lab1_cnn.ipynb": "C",
            "Bo Ek_5_assignsubmission_file_lab1_cnn.ipynb": "D",
        },
    )
    found = find(tmp_path)
    # Two students of one name are told apart by Moodle's number.
    assert sorted(found) == ["Anna_Groß", "Bo_Ek", "Li_Wei_12", "Li_Wei_77"]
    assert [s.content for s in found.values()] == [b"A", b"D", b"B", b"C"]
    assert not any(s.has_time for s in found.values())


def test_the_time_of_a_download_does_not_choose(tmp_path):
    folder = "Anna Ek_1_assignsubmission_file_"
    fill(tmp_path, {f"{folder}/lab1_cnn.ipynb": "first", f"{folder}/lab1_cnn-2.ipynb": "second"})
    assert contents(tmp_path) == {"Anna_Ek": "second"}


def test_canvas_names_give_number_lateness_and_the_latest_file(tmp_path):
    fill(
        tmp_path,
        {
            "grossanna_101_9001_lab1_cnn.ipynb": "older upload, newer on disk",
            "grossanna_101_9002_lab1_cnn-2.ipynb": "A",
            "weili_LATE_102_9003_lab1_cnn.ipynb": "B",
            "ek_bo_103_9004_report.pdf": "%PDF",
            "noname_104_text.html": "<p>",
        },
    )
    found = find(tmp_path)
    assert found["grossanna_101"].content == b"A"
    assert [s.is_late for s in found.values()] == [False, False, False, True]
    assert "report.pdf" in found["ek_bo_103"].problem
    assert "expected lab1_cnn.ipynb" in found["noname_104"].problem
    assert not found["weili_102"].has_time


def test_the_roster_turns_platform_names_into_ids(tmp_path):
    students = [
        Student("s1", "Anna Groß", "anna@x.org", "101"),
        Student("s2", "Wei, Li", "liwei@x.org"),
        Student("s3", "Same Name"),
        Student("s4", "Same Name"),
    ]
    fill(
        tmp_path,
        {
            "grossannamaria_101_1_lab1_cnn.ipynb": "A",
            "weili_999_2_lab1_cnn.ipynb": "B",
            "samename_998_3_lab1_cnn.ipynb": "C",
        },
    )
    assert contents(tmp_path, students=students) == {"s1": "A", "s2": "B", "samename_998": "C"}
    again = fill(tmp_path / "second", {"Anna Groß_7_assignsubmission_file_/w.ipynb": "A"})
    assert contents(again, students=students) == {"s1": "A"}
    by_mail = fill(tmp_path / "third", {"anna@x.org.ipynb": "A", "LiWei_lab1_cnn.ipynb": "B"})
    assert contents(by_mail, students=students) == {"s1": "A", "s2": "B"}


def test_two_people_of_one_name_stay_two(tmp_path):
    one, other = "weizhang_111_1_lab1_cnn.ipynb", "weizhang_222_2_lab1_cnn.ipynb"
    canvas = fill(tmp_path / "canvas", {one: "A", other: "B"})
    known, unknown = Student("s1", "Wei Zhang", "", "111"), Student("s1", "Wei Zhang")
    assert contents(canvas, students=[known]) == {"s1": "A", "weizhang_222": "B"}
    assert contents(canvas, students=[unknown]) == {"weizhang_111": "A", "weizhang_222": "B"}
    folders = [f"Wei Zhang_{number}_assignsubmission_" for number in (1234, 5678)]
    moodle = fill(
        tmp_path / "moodle",
        {f"{folders[0]}file_/a.ipynb": "A", f"{folders[1]}file_/a.ipynb": "B"},
    )
    found = contents(moodle, students=[unknown])
    assert found == {"Wei_Zhang_1234": "A", "Wei_Zhang_5678": "B"}
    # One person's text and file have the same number.
    moodle = fill(
        tmp_path / "both",
        {f"{folders[0]}file_/a.ipynb": "A", f"{folders[0]}onlinetext_/onlinetext.html": "B"},
    )
    assert contents(moodle, students=[unknown]) == {"s1": "A"}


def test_one_notebook(tmp_path):
    fill(tmp_path, {"alice_lab1_cnn.ipynb": "A", "carol/lab1_cnn/lab1_cnn.ipynb": "C"})
    assert contents(tmp_path / "alice_lab1_cnn.ipynb") == {"alice": "A"}
    assert contents(tmp_path / "carol/lab1_cnn/lab1_cnn.ipynb") == {"carol": "C"}
    link = tmp_path / "dora.ipynb"
    link.symlink_to(tmp_path / "alice_lab1_cnn.ipynb")  # an instructor may name a link
    assert contents(link) == {"dora": "A"}
    (tmp_path / "erin.zip").write_bytes(zipped({"erin/lab1_cnn.ipynb": "E"}))
    assert contents(tmp_path / "erin.zip") == {"erin": "E"}
    assert contents(fill(tmp_path / "frank", {"lab1_cnn (1).ipynb": "F"})) == {"frank": "F"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alice_lab1_cnn_v2.ipynb", ("alice", (0, 2))),
        ("alice_lab1_cnn_final_v2.ipynb", ("alice", (0, 1002))),
        ("alice_lab1_cnn_corrected.ipynb", ("alice", (0, 1000))),
        ("alice_lab1_cnn-Copy1.ipynb", ("alice", (0, 1))),
        ("alice-Copy2.ipynb", ("alice", (0, 2))),
        ("lab1_cnn_07.ipynb", ("07", (0, 0))),
        ("hw_lab1_cnn_alice.ipynb", ("hw_alice", (0, 0))),
        ("alice (2).ipynb", ("alice", (0, 2))),
        ("张三_lab1_cnn.ipynb", ("张三", (0, 0))),
        ("alice.smith.ipynb", ("alice.smith", (0, 0))),
        ("lab1_cnn.ipynb", ("nobody", (0, 0))),
        ("LATE_anon_x5Yz1_99_lab.ipynb", ("anonymous", (99, 0))),
    ],
)
def test_names_of_files(name, expected):
    owner = owner_of((name,), LAB, "nobody")
    assert (owner.label, owner.version) == expected


def test_a_longer_lab_name_is_not_this_lab():
    assert strip_lab("lab1_cnn2_alice", LAB) == (None, 0)
    assert strip_lab("mylab1_cnn", LAB) == (None, 0)


def test_the_newest_of_two_files_is_graded_and_said(tmp_path):
    fill(tmp_path, {"alice.ipynb": "new", "alice_lab1_cnn.ipynb": "old", "bob.ipynb": "B"})
    found = find(tmp_path)
    assert found["alice"].content == b"new"
    assert found["alice"].notes == (
        "2 files were found: alice.ipynb is graded, the newest; not alice_lab1_cnn.ipynb.",
    )
    assert found["bob"].notes == ()


def test_a_name_of_the_lab_goes_before_newer_files_and_notebooks_before_zips(tmp_path):
    fill(
        tmp_path,
        {
            "alice/scratch.ipynb": "newest",
            "alice/lab1_cnn.zip": zipped({"lab1_cnn.ipynb": "zipped"}),
            "alice/lab1_cnn-mine.ipynb": "mine",
            "alice/lab1_cnn.ipynb": "oldest",
        },
    )
    (alice,) = find(tmp_path).values()
    assert alice.content == b"mine"
    assert alice.file == "alice/lab1_cnn-mine.ipynb"
    assert "the newest that is named after the lab" in alice.notes[0]
    assert "scratch.ipynb" in alice.notes[0]


def test_times_come_from_the_file_the_zip_or_nbgrader(tmp_path):
    fill(tmp_path / "one", {"alice.ipynb": "A"}, {"alice.ipynb": 1_800_000_000})
    assert find(tmp_path / "one")["alice"].submitted_at == datetime(2027, 1, 15, 8, tzinfo=UTC)
    (tmp_path / "two.zip").write_bytes(zipped({"alice.ipynb": "A"}))
    local = datetime(2027, 4, 1, 12).astimezone(UTC)
    assert find(tmp_path / "two.zip")["alice"].submitted_at == local
    exact = struct.pack("<HHBi", 0x5455, 5, 1, 1_800_000_000)
    noise = struct.pack("<HHB", 0x1234, 1, 0)
    (tmp_path / "three.zip").write_bytes(zipped({"alice.ipynb": "A"}, extra=noise + exact))
    assert find(tmp_path / "three.zip")["alice"].submitted_at == datetime(
        2027, 1, 15, 8, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-04-01 15:58:23.948203 Asia/Shanghai", datetime(2027, 4, 1, 7, 58, 23, 948203, UTC)),
        ("2027-04-01 15:58:23.948203 UTC\n", datetime(2027, 4, 1, 15, 58, 23, 948203, UTC)),
        ("2027-04-01T15:58:23+08:00", datetime(2027, 4, 1, 7, 58, 23, 0, UTC)),
        ("2027-04-01 15:58:23", datetime(2027, 4, 1, 15, 58, 23, 0, UTC)),
    ],
)
def test_nbgraders_timestamp_counts(tmp_path, text, expected):
    fill(tmp_path, {"alice/lab1_cnn/lab1_cnn.ipynb": "A", "alice/lab1_cnn/timestamp.txt": text})
    (alice,) = find(tmp_path).values()
    assert (alice.submitted_at, alice.notes) == (expected, ())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2027-04-01 15:58:23 XYZ/../..",
        "0001-01-01T00:00:00+14:00",
        b"\xff\xfe",
        "9" * 500,
    ],
)
def test_a_timestamp_that_says_nothing_is_not_believed(tmp_path, text):
    fill(
        tmp_path,
        {"alice/lab1_cnn/lab1_cnn.ipynb": "A", "alice/lab1_cnn/timestamp.txt": text},
        {"alice/lab1_cnn/lab1_cnn.ipynb": 1_800_000_000},
    )
    (alice,) = find(tmp_path).values()
    assert alice.submitted_at == datetime(2027, 1, 15, 8, tzinfo=UTC)
    assert "no time that can be read" in alice.notes[0]


def test_a_student_cannot_bring_a_timestamp_along(tmp_path):
    stamp = "2001-01-01 00:00:00 UTC"
    fill(
        tmp_path,
        {
            "Anna Ek_1_assignsubmission_file_/lab1_cnn.ipynb": "A",
            "Anna Ek_1_assignsubmission_file_/timestamp.txt": stamp,
            "carl/lab1_cnn.ipynb": "C",
            "carl/timestamp.txt": stamp,
            "Bo Ek_2_assignsubmission_file_/w.zip": zipped(
                {"x.ipynb": "B", "timestamp.txt": stamp}
            ),
        },
    )
    assert all(s.submitted_at.year > 2001 for s in find(tmp_path).values())


def test_what_seems_members_in_one_students_file_stops_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 100)
    seeming = b"PK\x01\x02" * 101
    whole = {"alice/lab1_cnn.ipynb": "A", "mallory/lab1_cnn.ipynb": seeming}
    (tmp_path / "class.zip").write_bytes(zipped(whole, compress_type=zipfile.ZIP_STORED))
    assert contents(tmp_path / "class.zip")["alice"] == "A"


def test_students_without_a_notebook_are_told(tmp_path):
    fill(
        tmp_path,
        {"alice/report.pdf": "%PDF", "alice/lab1_cnn.py": "pass", "bob/lab1_cnn.ipynb": "B"},
    )
    (tmp_path / "carol").mkdir()
    found = find(tmp_path)
    assert found["alice"].problem == (
        "No notebook was found: expected lab1_cnn.ipynb, found alice/lab1_cnn.py, alice/report.pdf."
    )
    assert (
        found["carol"].problem == "No notebook was found: expected lab1_cnn.ipynb, found nothing."
    )
    assert found["carol"].submitted_at.year > 2000
    assert found["bob"].content == b"B"


def test_other_labs_of_nbgrader_do_not_count(tmp_path):
    fill(tmp_path, {"alice/lab0/lab0.ipynb": "0", "bob/lab1_cnn/lab1_cnn.ipynb": "B"})
    assert "No notebook" in find(tmp_path)["alice"].problem


def test_too_large_is_a_problem_and_the_next_file_is_tried(tmp_path):
    fill(
        tmp_path,
        {
            "alice/lab1_cnn.ipynb": b"x" * (MAX_BYTES + 1),
            "bob/lab1_cnn.ipynb": b"x" * (MAX_BYTES + 1),
            "bob/older.ipynb": "B",
            "carol/lab1_cnn.ipynb": b"x" * MAX_BYTES,
        },
    )
    found = find(tmp_path)
    assert found["alice"].problem == "alice/lab1_cnn.ipynb is larger than 0.000954 MB."
    assert found["bob"].content == b"B"
    assert "is larger than" in found["bob"].notes[0]
    assert "the next that can be read" in found["bob"].notes[1]
    assert len(found["carol"].content) == MAX_BYTES


def test_all_together_are_bounded(tmp_path):
    fill(tmp_path, {f"{name}.ipynb": b"x" * 400 for name in "abc"})
    found = find(tmp_path, max_total=1000)
    assert [len(s.content) for s in found.values()] == [400, 400, 0]
    assert "All submissions together" in found["c"].problem


# ------------------------------------------------------------------------------- hostile folders


def test_links_fifos_and_sockets_are_not_read(tmp_path):
    secret = tmp_path / "secret.ipynb"
    secret.write_text("SECRET")
    source = tmp_path / "class"
    fill(source, {"zoe/lab1_cnn.ipynb": "Z", "mallory/other.txt": "-"})
    (source / "mallory" / "lab1_cnn.ipynb").symlink_to(secret)
    (source / "eve").symlink_to(tmp_path, target_is_directory=True)
    (source / "kim").mkdir()
    os.mkfifo(source / "kim" / "lab1_cnn.ipynb")
    (source / "lee").mkdir()
    (source / "lee" / "deep").symlink_to(tmp_path, target_is_directory=True)
    found = find(source)
    assert contents(source) == {"eve": "", "kim": "", "lee": "", "mallory": "", "zoe": "Z"}
    assert found["mallory"].problem == (
        "mallory/lab1_cnn.ipynb is a link, and links are not followed."
    )
    assert "eve is a link" in found["eve"].problem
    assert "not an ordinary file" in found["kim"].problem
    assert "lee/deep is a link" in found["lee"].problem


def test_a_link_put_in_place_after_listing_is_not_followed(tmp_path):
    secret = fill(tmp_path / "secret", {"lab1_cnn.ipynb": "SECRET"})
    source = fill(tmp_path / "class", {"alice/lab1_cnn.ipynb": "A", "bob/lab1_cnn.ipynb": "B"})
    files = {file.name: file for file in list_folder(source)}
    (source / "alice" / "lab1_cnn.ipynb").unlink()
    (source / "alice" / "lab1_cnn.ipynb").symlink_to(secret / "lab1_cnn.ipynb")
    (source / "bob").rename(source / "gone")
    (source / "bob").symlink_to(secret, target_is_directory=True)
    for name in ("alice/lab1_cnn.ipynb", "bob/lab1_cnn.ipynb"):
        with pytest.raises(Refused, match="cannot be read"):
            files[name].read(100)
    os.mkfifo(source / "pipe")
    with pytest.raises(Refused, match="not an ordinary file"):
        read_file(source, ("pipe",), 100)


def test_what_may_not_be_read_is_a_problem(tmp_path, monkeypatch):
    """As root nothing is forbidden, so the system's refusal is put in its place."""
    fill(tmp_path, {"alice/lab1_cnn.ipynb": "A", "bob/lab1_cnn.ipynb": "B"})
    really_open, really_scan = os.open, os.scandir

    def refuse_open(path, *args, **kwargs):
        if kwargs.get("dir_fd") and os.fspath(path) == "alice":
            raise PermissionError(13, "Permission denied")
        return really_open(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_open_beneath", lambda *_: refuse_open("alice", 0, dir_fd=1))
        assert "cannot be read (permission denied)" in find(tmp_path)["alice"].problem

    def refuse_scan(path):
        if os.fspath(path).endswith("alice"):
            raise PermissionError(13, "Permission denied")
        return really_scan(path)

    monkeypatch.setattr(archive.os, "scandir", refuse_scan)
    assert "alice cannot be read (permission denied)" in find(tmp_path)["alice"].problem
    assert find(tmp_path)["bob"].content == b"B"


def test_deep_and_crowded_folders_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_SIBLINGS", 20)
    monkeypatch.setattr(archive, "MAX_IN_FOLDER", 30)
    fill(tmp_path, {f"mallory/{a}/{b}.txt": "" for a in range(10) for b in range(30)})
    fill(tmp_path, {"eve/" + "d/" * 20 + "lab1_cnn.ipynb": "too deep", "zoe/w.ipynb": "Z"})
    assert len(list_folder(tmp_path)) == 30 + archive.MAX_DEPTH + 2
    assert contents(tmp_path) == {"eve": "", "mallory": "", "zoe": "Z"}


def test_ids_can_name_files_and_stay_apart(tmp_path):
    stems = [
        "a b",
        "a?b",
        "a_b",
        "ALICE",
        "Alice",
        "alice",
        "-rf",
        "CON",
        "……",
        "x" * 200,
        "=1+1",
        "a\nb",
    ]
    names = [f"{stem}.ipynb" for stem in stems]
    fill(tmp_path, {name: name for name in names})
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.ipynb"))).write_text("not UTF-8")
    found = find(tmp_path)
    assert len(found) == len(names) + 1
    assert len({name.casefold() for name in found}) == len(found)
    assert {"a_b", "ALICE", "rf", "_CON"} <= set(found)
    for name, submission in found.items():
        assert name.strip("._-")
        assert len(name) <= 64
        assert name == Path(name).name
        (submission.file + submission.problem).encode()
        assert "\n" not in submission.file


def test_collisions_do_not_depend_on_order_or_company(tmp_path):
    both = find(fill(tmp_path / "1", {"a b.ipynb": "1", "a?b.ipynb": "2"}))
    turned = find(fill(tmp_path / "2", {"a?b.ipynb": "2", "a b.ipynb": "1"}))
    assert {n: s.content for n, s in both.items()} == {n: s.content for n, s in turned.items()}


# ---------------------------------------------------------------------------------- hostile zips


def test_unsafe_names_in_a_zip_are_nobodys(tmp_path):
    source = tmp_path / "class.zip"
    source.write_bytes(
        zipped(
            {
                "alice/lab1_cnn.ipynb": "A",
                "../evil/lab1_cnn.ipynb": "up",
                "/abs/lab1_cnn.ipynb": "absolute",
                "C:/win/lab1_cnn.ipynb": "drive",
                "c:lab1_cnn.ipynb": "drive",
                "bob\\x.ipynb": "B",
                "bob/../../x.ipynb": "up",
                "..\\..\\y.ipynb": "up",
                "./carol//lab1_cnn.ipynb": "C",
            }
        )
    )
    assert contents(source) == {"alice": "A", "bob": "B", "carol": "C"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["class.zip"]  # nothing is unpacked


def test_links_and_passwords_in_a_zip(tmp_path):
    source = tmp_path / "class.zip"
    link = zipfile.ZipInfo("mallory/lab1_cnn.ipynb")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    locked = bytearray(zipped({"lab1_cnn.ipynb": "A"}))
    for marker, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(marker) + offset] |= 1
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("eve/lab1_cnn.zip", bytes(locked))
        archive.writestr("zoe/lab1_cnn.ipynb", "Z")
    found = find(source)
    assert "is a link" in found["mallory"].problem
    assert found["eve"].problem == (
        "eve/lab1_cnn.zip holds lab1_cnn.ipynb, which is protected by a password."
    )
    assert found["zoe"].content == b"Z"


def lying(content: bytes, says: int) -> bytes:
    """Return a zip of one notebook whose headers claim another size."""
    data = bytearray(zipped({"lab1_cnn.ipynb": content}))
    struct.pack_into("<I", data, data.index(b"PK\x03\x04") + 22, says)
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, says)
    return bytes(data)


def one_method(method: int, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("lab1_cnn.ipynb", content)
    return buffer.getvalue()


BAD_ZIPS = {
    "bomb": (zipped({"lab1_cnn.ipynb": b"\0" * 10_000_000}), "larger than"),
    "bomb that says it is small": (lying(b"\0" * 10_000_000, 10), "damaged in the zip"),
    "bomb that says it is huge": (lying(b"\0" * 10_000_000, 2**32 - 2), "larger than"),
    "bzip2 bomb": (one_method(zipfile.ZIP_BZIP2, b"\0" * 10_000_000), "method"),
    "lzma bomb": (one_method(zipfile.ZIP_LZMA, b"\0" * 10_000_000), "method"),
    "no zip": (b"this is no zip", "is not a zip"),
    "empty": (b"", "is not a zip"),
    "empty zip": (zipped({}), "a zip without a notebook"),
    "truncated": (zipped({"lab1_cnn.ipynb": b"x" * 500})[:-30], "is not a zip"),
    "zip in a zip": (zipped({"a.zip": zipped({"lab1_cnn.ipynb": "A"})}), "without a notebook"),
    "only unsafe names": (zipped({"../lab1_cnn.ipynb": "A"}), "without a notebook"),
    "wrong checksum": (
        zipped({"lab1_cnn.ipynb": b"hello"}).replace(
            struct.pack("<I", 0x3610A686), struct.pack("<I", 1)
        ),
        "damaged in the zip",
    ),
    "flag of UTF-8, name of none": (
        zipped({"lab1_cnn_é.ipynb": "A"}).replace("é".encode(), b"\xff\xfe"),
        "is not a zip",
    ),
    "a random tail": (b"PK\x05\x06" + bytes(range(200)), "is not a zip"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ZIPS)
def test_a_bad_zip_of_one_student_is_that_students_problem(tmp_path, name):
    content, problem = BAD_ZIPS[name]
    fill(tmp_path, {"mallory.zip": content, "zoe.ipynb": "Z"})
    found = find(tmp_path, max_bytes=20_000)
    assert problem in found["mallory"].problem
    assert found["zoe"].content == b"Z"


def test_too_many_members_are_counted_before_they_are_parsed(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_MEMBERS", 100)
    many = zipped({f"{n}.txt": "" for n in range(101)})
    monkeypatch.setattr(archive.zipfile, "ZipFile", None)  # parsing would raise
    with pytest.raises(Refused, match="more than 100 files"), open_zip(many, time_of(0)):
        pass


def test_a_member_twice_in_a_zip_is_the_newest(tmp_path):
    source = tmp_path / "class.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(source, "w") as archive:
        warnings.simplefilter("ignore")  # zipfile warns of the name's second use
        for year, content in ((2026, "middle"), (2027, "new"), (2025, "old")):
            archive.writestr(
                zipfile.ZipInfo("alice/lab1_cnn.ipynb", (year, 1, 1, 0, 0, 0)), content
            )
        archive.writestr("bob/lab1_cnn.ipynb", "B")
    assert contents(source) == {"alice": "new", "bob": "B"}


def in_code_page(names: dict[str, bytes]) -> bytes:
    """Return a zip whose names are bytes of any encoding, without the flag of UTF-8."""
    data = zipped({f"{n:04}.ipynb": key for n, key in enumerate(names)})
    for number, raw in enumerate(names.values()):
        assert len(raw) == 10
        data = data.replace(f"{number:04}.ipynb".encode(), raw)
    return data


def test_names_in_other_encodings(tmp_path):
    source = tmp_path / "class.zip"
    names = {
        "gbk": "张三.ipynb".encode("gbk"),
        "cp437": "José.ipynb".encode("cp437"),
        "utf8": "éé.ipynb".encode(),
    }
    source.write_bytes(in_code_page(names))
    assert contents(source) == {"José": "cp437", "éé": "utf8", "张三": "gbk"}


@pytest.mark.parametrize("date", [(0, 0), (0, 33)], ids=["month 0", "1980-01-01"])
def test_a_zip_without_dates_has_the_zips_own(tmp_path, date):
    source = tmp_path / "class.zip"
    data = bytearray(zipped({"alice.ipynb": "A"}))
    struct.pack_into("<HH", data, data.index(b"PK\x01\x02") + 12, *date)
    source.write_bytes(data)
    os.utime(source, (1_800_000_000, 1_800_000_000))
    assert find(source)["alice"].submitted_at == datetime(2027, 1, 15, 8, tzinfo=UTC)


def test_times_that_name_no_zone_are_those_of_the_course(tmp_path):
    source = tmp_path / "class.zip"
    source.write_bytes(zipped({"alice.ipynb": "A"}))  # at noon
    zone = timezone(timedelta(hours=8))
    assert find(source, zone=zone)["alice"].submitted_at == datetime(2027, 4, 1, 4, tzinfo=UTC)


def test_of_files_that_nothing_tells_apart_the_last_by_name_is_graded(tmp_path):
    folder = "Anna Ek_1_assignsubmission_file_"
    for other in ("final", "corrected", "Copy1", "v2", "(1)"):
        place = fill(
            tmp_path / other,
            {f"{folder}/lab1_cnn.ipynb": "A", f"{folder}/lab1_cnn-{other}.ipynb": "B"},
        )
        (anna,) = find(place).values()
        assert anna.content == b"B", other
        assert "the newest" in anna.notes[0]
    names = {f"{folder}/lab1_cnn_a.ipynb": "A", f"{folder}/lab1_cnn_bb.ipynb": "B"}
    (anna,) = find(fill(tmp_path / "same", names)).values()
    assert "by its name, as nothing tells which is newer" in anna.notes[0]


HONEST_ZIP = zipped({"alice/lab1_cnn.ipynb": "A" * 300, "bob/lab1_cnn.ipynb": "B" * 300})


@given(
    flips=st.lists(st.tuples(st.integers(0, len(HONEST_ZIP) - 1), st.integers(1, 255)), max_size=9),
    end=st.integers(0, len(HONEST_ZIP)),
    tail=st.binary(max_size=40),
)
@settings(max_examples=500, deadline=None)
def test_damaged_zips_raise_nothing_but_refused(flips, end, tail):
    data = bytearray(HONEST_ZIP)
    for place, bits in flips:
        data[place] ^= bits
    try:
        with open_zip(bytes(data[:end] if tail else data) + tail, time_of(0)) as files:
            for file in files:
                assert not {"", ".", ".."} & set(file.parts)
                with contextlib.suppress(Refused):
                    assert len(file.read(400)) <= 400
    except Refused:
        pass


# --------------------------------------------------------------------------------------- sources


def test_sources_that_are_none(tmp_path):
    with pytest.raises(IntakeError, match=r"nowhere does not exist; expected a folder or zip"):
        find(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(IntakeError, match="neither a folder nor a file"):
        find(tmp_path / "pipe")
    (tmp_path / "thing.pdf").write_text("%PDF")
    with pytest.raises(IntakeError, match=r"thing.pdf is not a zip"):
        find(tmp_path / "thing.pdf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(IntakeError, match="holds no submission of lab1_cnn"):
        find(tmp_path / "empty")
    (tmp_path / "empty" / "readme.txt").write_text("-")
    with pytest.raises(IntakeError, match="holds no submission"):
        find(tmp_path / "empty")


def test_times_that_cannot_be_are_1970():
    assert time_of(1e20) == time_of(0)
    assert time_of(float("nan")) == time_of(0)
