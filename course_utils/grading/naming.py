"""Whose file it is, read from its name, as platforms and students write names.

Moodle's zip holds a folder "Full Name_1234_assignsubmission_file" for each student, or
files with that prefix; 1234 is another number in each assignment
(https://github.com/moodle/moodle, mod/assign/classes/downloader.php). Canvas's zip holds
files "familygiven_LATE_123_4567_name.ipynb": 123 is the student's number, 4567 the file's,
and LATE stands in late ones only (https://github.com/instructure/canvas-lms,
lib/content_zipper.rb). Both write the time of the download, not of handing in.
"""

import re
from dataclasses import dataclass, replace

__all__ = ["NOTEBOOK", "Owner", "is_platform_name", "owner_of", "stem_of", "strip_lab"]

NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json)?$", re.IGNORECASE)  # browsers add the second ending
_ENDING = re.compile(r"\.(ipynb(\.txt|\.json)?|[a-z0-9]{1,5})$", re.IGNORECASE)
_MOODLE = re.compile(r"^(?P<name>[^_]+)_(?P<id>\d+)_assignsubmission_[a-z]+(_(?P<rest>.*))?$")
_CANVAS = re.compile(
    r"^(?:(?P<name>\w+?)_)??(?P<late>LATE_)?(?P<id>\d+|anon_\w+?)_"
    r"(?:(?P<file>\d+)_(?P<rest>.+)|text\.html|link\.html)$"
)
# What students and browsers add to a name they have used before.
_VERSION = re.compile(
    r"^(?:(?P<last>final|new|corrected|fixed)|copy(?P<copy>\d{0,2})|v?(?P<number>\d{1,2}))$",
    re.IGNORECASE,
)
_COPY = re.compile(r"(?:\s*\((\d{1,3})\)|-Copy(\d{1,3}))\s*$")
LAST = 1000  # above any number


@dataclass(frozen=True)
class Owner:
    """Whose file it is, as far as its name tells.

    Parameters
    ----------
    label
        The student's name or id as written.
    platform
        ``"canvas"``, ``"moodle"``, or empty; there ``number`` is the student's.
    names_lab
        True where the file is named after the lab, or after the student alone.
    version
        Sorts files of one student that may have no time: later ones are larger.
    is_late
        What Canvas says; None elsewhere.
    """

    label: str
    platform: str = ""
    number: str = ""
    names_lab: bool = False
    version: tuple[int, int] = (0, 0)
    is_late: bool | None = None


def is_platform_name(name: str) -> bool:
    """Say whether Moodle or Canvas gave a file or folder its name."""
    return bool(_MOODLE.match(name) or _CANVAS.match(name))


def owner_of(parts: tuple[str, ...], lab: str, nobody: str) -> Owner | None:
    """Return whose file or folder it is; None where the name tells of no student.

    Parameters
    ----------
    nobody
        The label of a file that is named after the lab alone.
    """
    own, rest = parts[0], parts[1:]
    if moodle := _MOODLE.match(own):
        name = parts[-1] if rest else moodle["rest"] or ""
        owner = Owner(moodle["name"], "moodle", moodle["id"])
        return _with_file(owner, name, lab)
    if rest:
        return _with_file(Owner(own), parts[-1], lab)
    if canvas := _CANVAS.match(own):
        owner = Owner(
            canvas["name"] or "anonymous",
            "canvas",
            canvas["id"],
            is_late=canvas["late"] is not None,
        )
        owner = _with_file(owner, canvas["rest"] or "", lab)
        return replace(owner, version=(int(canvas["file"] or 0), owner.version[1]))
    return _named_by_student(own, lab, nobody)


def _with_file(owner: Owner, name: str, lab: str) -> Owner:
    others, version = strip_lab(stem_of(name), lab, has_owner=True)
    return replace(owner, names_lab=others is not None, version=(0, version))


def _named_by_student(name: str, lab: str, nobody: str) -> Owner | None:
    if not (NOTEBOOK.search(name) or name.casefold().endswith(".zip")):
        return None
    stem = stem_of(name)
    others, version = strip_lab(stem, lab)
    if others is None:
        copy = _COPY.search(stem)
        label = stem[: copy.start()] if copy else stem
        return Owner(label, names_lab=True, version=(0, _number(copy) if copy else 0))
    return Owner(others or nobody, names_lab=True, version=(0, version))


def strip_lab(stem: str, lab: str, *, has_owner: bool = False) -> tuple[str | None, int]:
    """Take a lab's name out of a file's; return what is left, and a version number.

    None where the lab's name is not in it. A number after it may name the student, unless
    the file has an owner already.

    Examples
    --------
    >>> strip_lab("alice_lab1-cnn-2", "lab1_cnn"), strip_lab("Lab1_CNN (3)", "lab1_cnn")
    (('alice', 2), ('', 3))
    >>> strip_lab("lab0_backprop", "lab1_cnn")
    (None, 0)
    """
    words = r"[\W_]*".join(map(re.escape, re.split(r"[\W_]+", lab)))
    found = re.search(rf"(?:^|[\W_]){words}(?=$|[\W_])", stem, re.IGNORECASE)
    if found is None:
        return None, 0
    before = stem[: found.start()].strip(" _-.")
    after = stem[found.end() :]
    version = 0
    if copy := _COPY.search(after):
        after, version = after[: copy.start()], _number(copy)
    kept = []
    for word in re.split(r"[\s_\-.]+", after):
        if (before or has_owner) and (match := _VERSION.match(word)):
            version += _version(match)  # the second of the final ones is the last
        elif word:
            kept.append(word)
    return "_".join(filter(None, [before, *kept])), version


def _number(copy: re.Match) -> int:
    return int(copy[1] or copy[2])


def _version(word: re.Match) -> int:
    return LAST if word["last"] else int(word["number"] or word["copy"] or 1)


def stem_of(name: str) -> str:
    """Return a file's name without its ending."""
    return _ENDING.sub("", name)
