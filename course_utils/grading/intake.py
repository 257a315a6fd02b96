"""Find each student's notebook in what a learning platform hands out.

Accepted are a folder for each student (flat, nbgrader's STUDENT/LAB/LAB.ipynb, Moodle's
"Full Name_1234_assignsubmission_file_"), a folder of files named by student (alice.ipynb,
alice_lab1_cnn.ipynb, Canvas's), a zip of any of these, or one notebook; and a zip that a
student handed in instead of the notebook. `course_utils.grading.archive` says how files are
read without trust.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path

from course_utils.grading.archive import Found, Refused, list_folder, open_zip, read_file, time_of
from course_utils.grading.candidates import Group, Submission, choose, is_candidate
from course_utils.grading.naming import NOTEBOOK, Owner, is_platform_name, owner_of, stem_of
from course_utils.grading.roster import Student, find_student, safe_id, short_hash

__all__ = ["MAX_TOTAL", "IntakeError", "Submission", "find_submissions"]

MAX_TOTAL = 2 * 2**30  # bytes of all notebooks together, as all are held in memory
WRAPPERS = {"submissions", "submission", "submitted", "collected", "inbound"}
ACCEPTED = (
    "expected a folder or zip with a folder for each student or with files named by student, "
    "or one notebook"
)


class IntakeError(ValueError):
    """The source is nothing that submissions can be found in."""


def find_submissions(
    source: Path,
    lab: str,
    *,
    max_bytes: int,
    students: Sequence[Student] = (),
    zone: tzinfo | None = None,
    max_total: int = MAX_TOTAL,
) -> list[Submission]:
    """Return one submission for each student found, in order of ids.

    Parameters
    ----------
    max_bytes
        Largest notebook, and largest zip of one student.
    students
        The roster, by which names and numbers of platforms become ids; may be empty.
    zone
        The time zone of a zip's times, which tell none; None takes this machine's.
    max_total
        Bytes of all notebooks together.

    Raises
    ------
    IntakeError
        If the source does not exist, is none of what is accepted, or holds no submission.
    """
    with ExitStack() as stack:
        files, nobody = _open(source, lab, zone, stack)
        groups = _by_id(_groups(files, lab, nobody), students)
        if not groups:
            raise IntakeError(f"{source} holds no submission of {lab}; {ACCEPTED}")
        found, left = [], max_total
        for student, group in sorted(groups.items()):
            submission = choose(student, group, lab, min(max_bytes, left))
            if submission.problem and left < max_bytes:
                said = f"All submissions together are larger than {max_total / 2**20:.3g} MB."
                submission = replace(submission, problem=f"{submission.problem} {said}")
            left -= len(submission.content)
            found.append(submission)
    return found


def _open(source: Path, lab: str, zone: tzinfo | None, stack: ExitStack) -> tuple[list[Found], str]:
    """List the files of a source, and give the label of files that name no student."""
    path = source.absolute()
    try:
        if path.is_dir():
            return _unwrapped(list_folder(path), lab, ""), path.name
        if not path.is_file():
            what = "is neither a folder nor a file" if path.exists() else "does not exist"
            raise IntakeError(f"{source} {what}; {ACCEPTED}")
        time = time_of(path.stat().st_mtime)
        if NOTEBOOK.search(path.name):
            return [_alone(path)], (
                path.parents[1] if path.parent.name == lab else path.parent
            ).name
        files = stack.enter_context(open_zip(path, time, zone))
    except Refused as error:
        raise IntakeError(f"{source} {error}; {ACCEPTED}") from None
    except OSError as error:
        raise IntakeError(f"cannot read {source}: {error.strerror}; {ACCEPTED}") from None
    return _unwrapped(files, lab, path.stem), path.stem


def _alone(path: Path) -> Found:
    parts = (path.name,)
    target = path.resolve()  # an instructor may name a link
    return Found(
        parts,
        time_of(path.stat().st_mtime),
        lambda limit: read_file(target.parent, (target.name,), limit),
    )


def _unwrapped(files: list[Found], lab: str, stem: str) -> list[Found]:
    """Take off folders around the whole class, such as a zip's own.

    ``stem`` is the zip's name, empty for a folder.
    """
    for _ in range(3):
        tops = {file.parts[0] for file in files}
        inner = [replace(f, parts=f.parts[1:]) for f in files if len(f.parts) > 1]
        if len(tops) != 1 or not inner or not _is_wrapper(*tops, inner, lab, stem):
            break
        files = inner
    return files


def _is_wrapper(name: str, inner: Sequence[Found], lab: str, stem: str) -> bool:
    """Say whether a folder that holds everything is the class's and not one student's."""
    if is_platform_name(name):
        return False
    if name == lab or any(is_platform_name(file.parts[0]) for file in inner):
        return True
    if _holds_lab(inner, lab):
        return False
    if name == stem or name.casefold() in WRAPPERS:
        return True
    folders = {f.parts[0] for f in inner if len(f.parts) > 1 and is_candidate(f)}
    return bool(stem) and len(folders) > 1


def _holds_lab(files: Iterable[Found], lab: str) -> bool:
    """Say whether LAB.ipynb or LAB/LAB.ipynb is there, as in one student's folder."""
    return any(stem_of(file.parts[-1]) == lab and file.parts[:-1] in ((), (lab,)) for file in files)


def _groups(files: Sequence[Found], lab: str, nobody: str) -> list[Group]:
    """Put files to students; files that belong to nobody are left out."""
    # nbgrader keeps all labs in one folder: STUDENT/LAB/LAB.ipynb.
    is_nbgrader = any(len(f.parts) == 3 and _holds_lab([_below(f)], lab) for f in files)
    is_flat = any(len(file.parts) == 1 and is_candidate(file) for file in files)
    groups: dict[tuple[str, str], Group] = {}
    for file in files:
        owner = owner_of((*file.parts, "") if _is_top_folder(file) else file.parts, lab, nobody)
        if owner is None:
            continue
        group = groups.setdefault((owner.label, owner.number), Group(owner))
        is_other_lab = is_nbgrader and len(file.parts) > 2 and file.parts[1] != lab
        if not is_other_lab or owner.platform:
            group.files.append((file, owner))
    # Beside files named by student, a folder without any notebook is nobody's.
    return [
        group
        for group in groups.values()
        if not is_flat or group.owner.platform or any(is_candidate(f) for f, _ in group.files)
    ]


def _is_top_folder(file: Found) -> bool:
    """Say whether a file stands where students' folders do; a link may stand for one."""
    is_link = bool(file.problem) and "." not in file.parts[0]
    return len(file.parts) == 1 and (file.is_folder or is_link)


def _below(file: Found) -> Found:
    return replace(file, parts=file.parts[1:])


def _by_id(groups: Sequence[Group], students: Sequence[Student]) -> dict[str, Group]:
    """Give each group an id of its own; groups of one student of the roster are one."""
    by_id: dict[str, Group] = {}
    strangers: list[tuple[str, Group]] = []
    known = [find_student(students, g.owner.label, _lasting(g.owner)) for g in groups]
    numbers: dict[tuple[Student | None, str], set[str]] = defaultdict(set)
    for group, student in zip(groups, known, strict=True):
        numbers[student, group.owner.platform].add(group.owner.number)
    for group, student in zip(groups, known, strict=True):
        owner, number = group.owner, _lasting(group.owner)
        # Two numbers of a platform are two people of one name: which of them is it?
        is_sure = len(numbers[student, owner.platform]) == 1 or not owner.platform
        if student is not None and (is_sure or student.canvas_id == number != ""):
            by_id.setdefault(student.student, Group(owner)).files.extend(group.files)
        else:
            strangers.append((f"{owner.label}_{number}" if number else owner.label, group))
    alike = Counter(safe_id(label).casefold() for label, _ in strangers)
    taken = {name.casefold() for name in by_id}
    for label, group in sorted(strangers, key=lambda s: (s[0], s[1].owner.number)):
        name = safe_id(label)
        if alike[name.casefold()] > 1 and name != label:
            moodle = group.owner.platform == "moodle"
            name = safe_id(f"{label}_{group.owner.number}") if moodle else _hashed(name, label)
        if name.casefold() in taken:
            name = _hashed(name, f"{label}_{group.owner.number}")
        taken.add(name.casefold())
        by_id[name] = group
    return by_id


def _lasting(owner: Owner) -> str:
    """Return Canvas's number, which stays a student's over a course; Moodle's does not."""
    return owner.number if owner.platform == "canvas" else ""


def _hashed(name: str, label: str) -> str:
    return f"{name}-{short_hash(label)}"
