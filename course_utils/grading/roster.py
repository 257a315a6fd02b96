"""Who takes the course, and what an instructor wrote down by hand.

Two optional files of the grading folder, made in any spreadsheet: ``students.csv``
(student, name, email, canvas_id, moodle_id) and ``marks.csv`` (student, item, mark,
reason). A mark is a percentage, or the word ``excused``.
"""

import csv
import hashlib
import io
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from course_utils.grading.course import Course

__all__ = [
    "EXCUSED",
    "Override",
    "RosterError",
    "Student",
    "find_student",
    "read_marks",
    "read_students",
    "safe_id",
]

EXCUSED = "excused"
MAX_ID = 56  # characters of a student's id, which names folders and files
STUDENT_COLUMNS = ("student", "name", "email", "canvas_id", "moodle_id")
MARK_COLUMNS = ("student", "item", "mark", "reason")
# Names that Windows keeps for devices, with any ending.
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(10))}


class RosterError(ValueError):
    """students.csv or marks.csv says something that cannot be."""


@dataclass(frozen=True)
class Student:
    """One student. ``canvas_id`` is the number in Canvas's ID column, ``moodle_id`` Moodle's
    ID number."""

    student: str
    name: str = ""
    email: str = ""
    canvas_id: str = ""
    moodle_id: str = ""


@dataclass(frozen=True)
class Override:
    """A mark given by hand: percent, or None where the student is excused."""

    student: str
    item: str
    percent: float | None
    reason: str = ""


def safe_id(text: str) -> str:
    """Turn a student's name or id into one that can name a file on any system.

    Letters of all scripts, digits and ``. _ @ + -`` stay, anything else becomes ``_``.

    Examples
    --------
    >>> safe_id("Zoë O'Neil"), safe_id("../x"), safe_id("张三")
    ('Zoë_O_Neil', '_x', '张三')
    """
    composed = unicodedata.normalize("NFC", text)
    # L, M, N: letters, the marks that some scripts write vowels with, digits.
    kept = "".join(
        c if c in "._@+-" or unicodedata.category(c)[0] in "LMN" else "_" for c in composed
    )
    # A leading dot hides a file, a leading dash is an option, a trailing dot is lost; and a
    # spreadsheet takes what begins with a plus or an @ for a formula.
    kept = kept.strip(".").lstrip("-.+@")
    if not kept.strip("._-"):
        return f"unnamed-{short_hash(text)}"
    if len(kept) > MAX_ID:
        kept = f"{kept[: MAX_ID - 7]}-{short_hash(text)}"
    return f"_{kept}" if kept.split(".")[0].casefold() in RESERVED else kept


def short_hash(text: str) -> str:
    """Return six characters that tell texts apart which look alike once cleaned."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def find_student(students: Sequence[Student], label: str, canvas_id: str = "") -> Student | None:
    """Return the student that a platform's file belongs to, or None where it is not clear.

    Canvas's id decides; then the student's id, email address or its part before the @;
    then the name, with family name first or last, when it is one student's only.
    """
    if canvas_id and (found := [s for s in students if s.canvas_id == canvas_id]):
        return found[0]
    # Who has another number is another person, also of the same name.
    students = [s for s in students if not (canvas_id and s.canvas_id)]
    wanted = {label.casefold(), _squeeze(label)} - {""}
    for keys in (_own_ids, _spellings):
        if found := [student for student in students if wanted & keys(student)]:
            return found[0] if len(found) == 1 else None
    return None


def _own_ids(student: Student) -> set[str]:
    email = student.email.casefold()
    return {student.student.casefold(), email, email.partition("@")[0]} - {""}


def _spellings(student: Student) -> set[str]:
    """Return a name's letters in its order, and turned round, as Canvas writes them."""
    family, comma, given = student.name.partition(",")
    words = [*given.split(), *family.split()] if comma else student.name.split()
    turns = [words[n:] + words[:n] for n in range(len(words))]
    return {_squeeze("".join(turn)) for turn in turns}


def _squeeze(text: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFC", text).casefold() if c.isalnum())


def read_students(path: Path) -> tuple[Student, ...]:
    """Read ``students.csv``; a file that does not exist is an empty roster.

    Raises
    ------
    RosterError
        With the line, what was expected and what was found.
    """
    if not path.exists():
        return ()
    seen: dict[tuple[str, str], int] = {}
    students = []
    for line, row in _rows(path, STUDENT_COLUMNS, needed=("student",)):
        if row["student"] != safe_id(row["student"]):
            raise RosterError(
                f"{path}, line {line}: {row['student']!r} cannot be a student's id; expected "
                f"letters, digits and . _ @ + - only, such as {safe_id(row['student'])!r}"
            )
        if row["canvas_id"] and not (row["canvas_id"].isascii() and row["canvas_id"].isdigit()):
            raise RosterError(
                f"{path}, line {line}: canvas_id is {row['canvas_id']!r}, expected the number in "
                "the column ID of a gradebook exported from Canvas"
            )
        for column in ("student", "email", "canvas_id", "moodle_id"):
            key = (column, row[column].casefold())
            if key[1] and key in seen:
                raise RosterError(
                    f"{path}, line {line}: {column} {row[column]!r} stands in line {seen[key]} "
                    "already; expected each once"
                )
            seen[key] = line
        students.append(Student(**row))
    return tuple(students)


def read_marks(path: Path, course: Course, students: Collection[str]) -> tuple[Override, ...]:
    """Read ``marks.csv``; a file that does not exist holds no marks.

    Parameters
    ----------
    students
        The ids that a mark may be given to: of the roster and of those who handed in.

    Raises
    ------
    RosterError
        With the line, what was expected and what was found.
    """
    if not path.exists():
        return ()
    seen: dict[tuple[str, str], int] = {}
    marks = []
    for line, row in _rows(path, MARK_COLUMNS, needed=("student", "item", "mark")):
        for column, known in (("student", students), ("item", course.items)):
            if row[column] not in known:
                raise RosterError(
                    f"{path}, line {line}: no {column} {row[column]!r}{_hint(row[column], known)}"
                )
        key = (row["student"], row["item"])
        if key in seen:
            raise RosterError(
                f"{path}, line {line}: {key[0]} has a mark for {key[1]} in line {seen[key]} "
                "already; expected one"
            )
        seen[key] = line
        percent = _percent(row["mark"], f"{path}, line {line}")
        marks.append(Override(row["student"], row["item"], percent, row["reason"]))
    return tuple(marks)


def _percent(text: str, where: str) -> float | None:
    if text.casefold() == EXCUSED:
        return None
    try:
        value = float(text.removesuffix("%").replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:  # NaN fails this too
        raise RosterError(
            f"{where}: mark is {text!r}, expected a percentage from 0 to 100, such as 87.5, "
            f"or the word {EXCUSED}"
        )
    return value


def _hint(word: str, known: Collection[str]) -> str:
    close = get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    some = sorted(known)[:8]
    return f"; there are {', '.join(some)}{', ...' if len(known) > 8 else ''}"


def _rows(
    path: Path, columns: Sequence[str], needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield each row with its line number; every column is there, stripped."""
    text = _read(path)
    lines = text.splitlines()
    delimiter = ";" if lines and lines[0].count(";") > lines[0].count(",") else ","
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    try:
        header = _without_empty_end([name.strip().casefold() for name in next(reader, [])])
        _check_header(path, header, columns, needed)
        for cells in reader:
            values = [cell.strip() for cell in cells]
            if not any(values):
                continue
            if not any(values[len(header) :]):
                values = values[: len(header)]
            if len(values) != len(header):
                raise RosterError(
                    f"{path}, line {reader.line_num}: expected {len(header)} cells, found "
                    f"{len(values)}; put text that holds a {delimiter!r} in double quotes"
                )
            row = dict.fromkeys(columns, "") | dict(zip(header, values, strict=True))
            if missing := [name for name in needed if not row[name]]:
                raise RosterError(f"{path}, line {reader.line_num}: {missing[0]} is empty")
            yield reader.line_num, row
    except csv.Error as error:
        raise RosterError(f"{path}, line {reader.line_num}: not CSV: {error}") from None


def _without_empty_end(header: list[str]) -> list[str]:
    """Leave out columns without a name at the end, which spreadsheets write."""
    while header and not header[-1]:
        header.pop()
    return header


def _read(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RosterError(
            f'{path} is not UTF-8 text: save it as "CSV UTF-8" in your spreadsheet'
        ) from None
    except OSError as error:
        raise RosterError(f"cannot read {path}: {error.strerror}") from None
    if "\0" in text:
        raise RosterError(f'{path} is not CSV: it holds NUL bytes; save it as "CSV UTF-8"')
    return text


def _check_header(
    path: Path, header: Sequence[str], columns: Sequence[str], needed: Sequence[str]
) -> None:
    expected = f"expected the columns {', '.join(columns)} in the first line"
    for name in header:
        if name not in columns:
            close = get_close_matches(name, columns, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise RosterError(f"{path}, line 1: unknown column {name!r}{hint}; {expected}")
        if header.count(name) > 1:
            raise RosterError(f"{path}, line 1: the column {name!r} stands twice; {expected}")
    if missing := [name for name in needed if name not in header]:
        raise RosterError(f"{path}, line 1: the column {missing[0]!r} is missing; {expected}")
