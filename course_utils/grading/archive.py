"""The files of a folder or zip that came from outside, listed and read without trust.

Nothing is unpacked to disk, no link is followed, and nothing outside the folder is read.
Sizes are measured while reading, as what a zip says of itself may be false.
"""

import io
import os
import re
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice
from pathlib import Path

__all__ = ["Found", "Refused", "list_folder", "open_zip", "printable", "read_file", "time_of"]

MAX_MEMBERS = 50_000  # of a zip
MAX_SIBLINGS = 5_000  # files looked at in one folder below the first
MAX_IN_FOLDER = 20_000  # files looked at in one folder of the first level, all depths
MAX_DEPTH = 8
MEMBER = b"PK\x01\x02"  # what each entry of a zip's directory begins with
HIDDEN = {"__macosx", "thumbs.db", "desktop.ini"}
NO_DATE = (1980, 1, 1, 0, 0, 0)  # what a zip says where its maker knows of no date
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Refused(ValueError):
    """A file is not read; the message is the end of a sentence that begins with its name."""


@dataclass(frozen=True)
class Found:
    """One file or folder. ``parts`` are its names from the top, ``problem`` ends a sentence.

    ``read(n)`` returns the bytes of a file of at most ``n``, or raises `Refused`.
    """

    parts: tuple[str, ...]
    time: datetime
    read: Callable[[int], bytes]
    problem: str = ""
    is_folder: bool = False

    @property
    def name(self) -> str:
        return printable("/".join(self.parts))


def list_folder(root: Path) -> list[Found]:
    """List what lies in a folder, hidden files apart, in order of names."""
    found: list[Found] = []
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        if not _is_hidden(entry.name):
            found += islice(_walk(root, (entry.name,), entry), MAX_IN_FOLDER)
    return found


def _walk(root: Path, parts: tuple[str, ...], entry: os.DirEntry) -> Iterator[Found]:
    """Yield one entry of a folder and all below it."""
    problem, is_folder = "", False
    try:
        status = entry.stat(follow_symlinks=False)
        time = time_of(status.st_mtime)
        is_folder = stat.S_ISDIR(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            problem = "is a link, and links are not followed"
        elif not is_folder and not stat.S_ISREG(status.st_mode):
            problem = "is not an ordinary file"
    except OSError as error:
        time, problem = EPOCH, _cannot(error)
    below = []
    if is_folder and len(parts) < MAX_DEPTH:
        try:
            with os.scandir(entry.path) as inside:
                below = sorted(islice(inside, MAX_SIBLINGS), key=lambda entry: entry.name)
        except OSError as error:
            problem = _cannot(error)

    def read(limit: int) -> bytes:
        if problem:
            raise Refused(problem)
        return read_file(root, parts, limit)

    yield Found(parts, time, read, problem, is_folder)
    for child in below:
        if not _is_hidden(child.name):
            yield from _walk(root, (*parts, child.name), child)


def read_file(root: Path, parts: tuple[str, ...], limit: int) -> bytes:
    """Read an ordinary file below a folder; raise `Refused` for anything else.

    Between listing and reading a student may have put a link in the path's place: no
    component of it may be one.
    """
    try:
        with open(_open_beneath(root, parts), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Refused("is not an ordinary file")
            return _bounded(file.read(limit + 1), limit)
    except OSError as error:
        raise Refused(_cannot(error)) from None


def _open_beneath(root: Path, parts: tuple[str, ...]) -> int:
    if os.open not in os.supports_dir_fd:  # Windows
        return os.open(root.joinpath(*parts), os.O_RDONLY | getattr(os, "O_BINARY", 0))
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts[:-1]:
            there = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = there
        # A FIFO would wait for its writer without O_NONBLOCK.
        return os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=here)
    finally:
        os.close(here)


@contextmanager
def open_zip(
    source: Path | bytes, otherwise: datetime, zone: tzinfo | None = None
) -> Iterator[list[Found]]:
    """List what a zip holds, hidden files and unsafe names apart; read while it is open.

    Parameters
    ----------
    otherwise
        The time of members that have none.
    zone
        Where the clock stood that members' times were read from; None takes this machine's.

    Raises
    ------
    Refused
        If it is no zip, damaged, or holds too many members.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        # A student's is counted before its directory is parsed, which takes memory for every
        # member. A platform's holds students' bytes, in which anything may seem a member.
        if isinstance(source, bytes) and _count(file) > MAX_MEMBERS:
            raise Refused(f"holds more than {MAX_MEMBERS} files")
        try:
            archive = zipfile.ZipFile(file)
        except Exception:  # the parser meets bytes that anyone may have made
            raise Refused("is not a zip, or is damaged") from None
        with archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise Refused(f"holds more than {MAX_MEMBERS} files")
            found = []
            for member in archive.infolist():
                if parts := _parts_of(member):
                    time = _member_time(member, zone) or otherwise
                    found.append(_member(archive, member, parts, time))
            yield found


def _member(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, parts: tuple[str, ...], time: datetime
) -> Found:
    problem = ""
    if stat.S_ISLNK(member.external_attr >> 16):
        problem = "is a link, and links are not followed"
    elif member.flag_bits & 0x1:
        problem = "is protected by a password"
    elif member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The others are unpacked without a bound on what comes out.
        problem = "is packed by a method that is not accepted; use an ordinary zip"

    def read(limit: int) -> bytes:
        if problem:
            raise Refused(problem)
        try:
            with archive.open(member) as file:
                content = file.read(limit + 1)
        except Exception:  # as above
            raise Refused("is damaged in the zip") from None
        return _bounded(content, limit)

    return Found(parts, time, read, problem, member.filename.endswith(("/", "\\")))


def _parts_of(member: zipfile.ZipInfo) -> tuple[str, ...]:
    """Return a member's names from the top; none where it is hidden or leads outside."""
    name = member.filename
    if not member.flag_bits & 0x800 and not name.isascii():
        name = _decoded(name)
    name = name.replace("\\", "/")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    is_absolute = name.startswith("/") or re.match(r"[A-Za-z]:", name)
    # Hidden is what begins with a dot, and so is "..".
    if is_absolute or len(parts) > MAX_DEPTH or any(map(_is_hidden, parts)):
        return ()
    return parts


def _decoded(name: str) -> str:
    """Guess the letters of a name that zipfile took for code page 437.

    Some systems write UTF-8 without saying so; Chinese Windows writes GBK, which shows as
    signs that no name holds.
    """
    raw = name.encode("cp437", "replace")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if all(c.isalnum() or c.isascii() for c in name):
        return name
    return raw.decode("gb18030", "replace")


def _member_time(member: zipfile.ZipInfo, zone: tzinfo | None) -> datetime | None:
    """Return when a member was changed: exactly where it says so, else in local time."""
    extra = member.extra
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        # Info-ZIP's "extended timestamp": flags, then seconds since 1970 in UTC.
        if kind == 0x5455 and size >= 5 and len(extra) >= 9 and extra[4] & 1:
            return time_of(struct.unpack_from("<i", extra, 5)[0])
        extra = extra[4 + size :]
    if member.date_time == NO_DATE:
        return None
    try:
        return datetime(*member.date_time, tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def time_of(seconds: float) -> datetime:
    """Return a time given in seconds since 1970; 1970 itself for one that cannot be."""
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return EPOCH


def printable(text: str) -> str:
    """Return a name that can be written as UTF-8 on one line."""
    plain = text.encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in plain)


def _count(file: io.BufferedIOBase) -> int:
    """Count what may be entries of a zip's directory, and go back to the start."""
    count, tail = 0, b""
    while chunk := file.read(2**20):
        block = tail + chunk
        count += block.count(MEMBER)
        tail = block[-(len(MEMBER) - 1) :]
    file.seek(0)
    return count


def _bounded(content: bytes, limit: int) -> bytes:
    if len(content) > limit:
        raise Refused(f"is larger than {limit / 2**20:.3g} MB")
    return content


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in HIDDEN


def _cannot(error: OSError) -> str:
    return f"cannot be read ({(error.strerror or type(error).__name__).lower()})"
