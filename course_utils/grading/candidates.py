"""Choose and read the one file of a student that is graded, and say what was chosen."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from course_utils.grading.archive import EPOCH, Found, Refused, open_zip, printable
from course_utils.grading.naming import NOTEBOOK, Owner, stem_of, strip_lab

__all__ = ["Group", "Submission", "choose", "is_candidate"]

MAX_TRIES = 4  # files read for one student before giving up
MAX_NAMED = 5  # files named in a sentence
STAMP = "timestamp.txt"


@dataclass(frozen=True)
class Submission:
    """What one student handed in.

    Parameters
    ----------
    student
        An id that can name a file.
    file
        Where it was found, for people to read.
    content
        The bytes as handed in; empty where there is a problem.
    submitted_at
        In UTC: nbgrader's timestamp, the time of the zip's member, or of the file.
    problem
        A sentence saying why content is empty.
    notes
        Sentences saying what was chosen among several files.
    has_time
        False where the platform writes the time of the download into its zip, so that
        ``submitted_at`` says nothing about being late.
    is_late
        What the platform says of being late; None where it says nothing.
    """

    student: str
    file: str
    content: bytes
    submitted_at: datetime
    problem: str = ""
    notes: tuple[str, ...] = ()
    has_time: bool = True
    is_late: bool | None = None


@dataclass
class Group:
    """All files of one student, with what their names tell."""

    owner: Owner
    files: list[tuple[Found, Owner]] = field(default_factory=list)


def is_candidate(file: Found) -> bool:
    """Say whether a file may be, or hold, a notebook."""
    return not file.is_folder and (_is_notebook(file) or _is_zip(file))


def choose(student: str, group: Group, lab: str, limit: int) -> Submission:
    """Read the best of a student's files that can be read.

    Notebooks go before zips, those named after the lab before others, then the newest.

    Parameters
    ----------
    limit
        Largest number of bytes of a notebook, and of a zip.
    """
    ranked = sorted(
        ((file, owner) for file, owner in group.files if is_candidate(file)),
        key=_rank,
        reverse=True,
    )
    blank = Submission(
        student,
        "",
        b"",
        max((file.time for file, _ in group.files), default=EPOCH),
        has_time=not group.owner.platform,
        is_late=group.owner.is_late,
    )
    if not ranked:
        return replace(blank, problem=_nothing(group, lab))
    refused: list[str] = []
    for file, owner in ranked[:MAX_TRIES]:
        try:
            name, content, inside = _read(file, lab, limit)
        except Refused as error:
            refused.append(f"{file.name} {error}.")
            continue
        time, of_time = _time(file, group, lab)
        notes = (*refused, *_choice(file, ranked, bool(refused)), *inside, *of_time)
        return replace(
            blank,
            file=name,
            content=content,
            submitted_at=time,
            notes=notes,
            is_late=owner.is_late,
        )
    return replace(blank, file=ranked[0][0].name, problem=" ".join(refused))


def _rank(candidate: tuple[Found, Owner]) -> tuple:
    file, owner = candidate
    short = (-len(file.parts), -len(file.name), file.name)
    return (_is_notebook(file), owner.names_lab, *_age(candidate), *short)


def _age(candidate: tuple[Found, Owner]) -> tuple:
    """Return what grows from older to newer files, as far as anything tells."""
    file, owner = candidate
    # Platforms write the time of the download; the number of a file tells the later one.
    time = EPOCH if owner.platform else file.time
    number, version = owner.version
    return (number, time, version)


def _is_notebook(file: Found) -> bool:
    return bool(NOTEBOOK.search(file.parts[-1]))


def _is_zip(file: Found) -> bool:
    return file.parts[-1].casefold().endswith(".zip")


def _read(file: Found, lab: str, limit: int) -> tuple[str, bytes, list[str]]:
    """Return a notebook's name, bytes and notes; from inside a zip where it lies in one."""
    content = file.read(limit)
    if not _is_zip(file):
        return file.name, content, []
    with open_zip(content, file.time) as members:
        found = [member for member in members if not member.is_folder and _is_notebook(member)]
        if not found:
            raise Refused("is a zip without a notebook")
        found.sort(key=lambda member: (_names_lab(member, lab), member.time), reverse=True)
        refused = []
        for member in found[:MAX_TRIES]:
            name = f"{file.name}/{member.name}"
            try:
                notes = [f"The notebook is taken from the zip {file.name}."]
                if len(found) > 1:
                    notes.append(f"The zip holds {len(found)} notebooks; {member.name} is graded.")
                return name, member.read(limit), notes
            except Refused as error:
                refused.append(f"{member.name}, which {error}")
        raise Refused(f"holds {' and '.join(refused)}")


def _names_lab(member: Found, lab: str) -> bool:
    return strip_lab(stem_of(member.parts[-1]), lab)[0] is not None


def _nothing(group: Group, lab: str) -> str:
    """Say that there is no notebook, and what there is."""
    problems = [f"{file.name} {file.problem}." for file, _ in group.files if file.problem]
    names = [file.name for file, _ in group.files if not file.problem and not file.is_folder]
    there = f"found {_listed(names)}" if names else "found nothing"
    return " ".join([f"No notebook was found: expected {lab}.ipynb, {there}.", *problems])


def _choice(
    chosen: Found, ranked: Sequence[tuple[Found, Owner]], has_refused: bool
) -> tuple[str, ...]:
    """Say which of several files is graded, and why."""
    if len(ranked) == 1:
        return ()
    by_file = {file.name: owner for file, owner in ranked}
    others = [file for file, _ in ranked if file is not chosen]
    if has_refused:
        why = "the next that can be read"
    elif _is_notebook(chosen) and not any(map(_is_notebook, others)):
        why = "the only notebook"
    elif by_file[chosen.name].names_lab and not all(by_file[f.name].names_lab for f in others):
        named = [f for f in others if by_file[f.name].names_lab and _is_notebook(f)]
        why = "the newest that is named after the lab" if named else "named after the lab"
    elif not any(_age(candidate) < _age(ranked[0]) for candidate in ranked):
        why = "by its name, as nothing tells which is newer"
    else:
        why = "the newest"
    names = _listed([file.name for file in others])
    return (f"{len(ranked)} files were found: {chosen.name} is graded, {why}; not {names}.",)


def _time(file: Found, group: Group, lab: str) -> tuple[datetime, tuple[str, ...]]:
    """Return when a file was handed in; nbgrader keeps the time in STUDENT/LAB/timestamp.txt.

    Elsewhere that file would be the student's own, and is not believed.
    """
    beside = (*file.parts[:-1], STAMP)
    is_nbgrader = len(beside) == 3 and beside[1] == lab and not group.owner.platform
    stamps = [f for f, _ in group.files if f.parts == beside]
    if not stamps or not is_nbgrader:
        return file.time, ()
    try:
        return _parse(stamps[0].read(200).decode("ascii").strip()), ()
    except ValueError:  # and Refused, which is one
        said = f"{stamps[0].name} holds no time that can be read; the file's own time counts."
        return file.time, (said,)


def _parse(text: str) -> datetime:
    """Read nbgrader's "2027-04-01 15:58:23.948203 Asia/Shanghai"; UTC where no zone is given."""
    day, _, rest = text.partition(" ")
    clock, _, zone = rest.partition(" ")
    time = datetime.fromisoformat(f"{day} {clock}".strip())
    if zone and time.tzinfo is None:
        try:
            time = time.replace(tzinfo=ZoneInfo(zone))
        except (KeyError, OSError):
            raise ValueError(f"no time zone {zone!r}") from None
    if time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"no time: {text!r}") from None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(printable(name) for name in names[:MAX_NAMED]) + more
