"""The folder that keeps data files, and the rule that only whole files are used.

A file enters under its own name in one step, after its sha256 was checked, and
the sha256 is checked again at every reading. The folder is the environment
variable ``COURSE_DATA``, or the usual cache folder of the operating system.
"""

import atexit
import gzip
import hashlib
import io
import os
import secrets
import shutil
import tempfile
import time
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

__all__ = [
    "CacheWarning",
    "Damaged",
    "DataFile",
    "cache_directory",
    "damage_of",
    "is_writable",
    "look_up",
    "looks_like_html",
    "store",
]

CHUNK = 1 << 20
STALE_SECONDS = 24 * 3600
GZIP_MAGIC = b"\x1f\x8b"

# Folders of this process that stand in for cache folders nobody can write to.
_replacements: dict[Path, Path] = {}


class CacheWarning(UserWarning):
    """The data cache is damaged or cannot be written; work goes on without it."""


class Damaged(Exception):
    """A file is not what its sha256 promises."""


@dataclass(frozen=True)
class DataFile:
    """One file of a data set, known by its content.

    ``sha256`` and ``size`` (in bytes) describe the file after any gzip layer is
    taken off, because the same data is compressed differently in different
    places. ``sources`` are tried in order until one gives that content.
    """

    path: str
    sha256: str
    size: int
    sources: tuple[Any, ...] = ()


def cache_directory() -> Path:
    """Return the folder where data files are kept; it may not exist yet."""
    chosen = os.environ.get("COURSE_DATA", "").strip()
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("deep-learning-course"))


def is_writable(directory: Path) -> bool:
    """Say whether files can be put into ``directory``, by putting one there."""
    probe = directory / f".probe-{secrets.token_hex(4)}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError:
        return False
    return True


def damage_of(content: bytes, file: DataFile) -> str:
    """Return what is wrong with ``content``, in words; empty when it is whole.

    Examples
    --------
    >>> damage_of(b"ab", DataFile("x.txt", sha256="0" * 64, size=3))
    'truncated: 2 of 3 bytes'
    """
    return _damage(hashlib.sha256(content).hexdigest(), len(content), content[:512], file)


def look_up(file: DataFile) -> tuple[bytes | None, str]:
    """Return a cached file's content, or None and what is wrong with it.

    The second value is empty when the file is whole, and when it is not there.
    """
    problem = ""
    for folder in _folders():
        path = folder / file.path
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror or error}"
            continue
        damage = damage_of(content, file)
        if not damage:
            return content, ""
        problem = f"{path} is damaged: {damage}"
    return None, problem


def store(found: Path, file: DataFile) -> Path:
    """Check ``found`` and put it into the cache in one step; return where it lies.

    Raises
    ------
    Damaged
        If the content is not the one that ``file`` promises; nothing is stored.
    OSError
        If neither the cache nor a temporary folder takes the file.
    """
    directory = cache_directory()
    if directory not in _replacements:
        if is_writable(directory):
            try:
                return _install(found, directory / file.path, file)
            except OSError as error:
                reason = error.strerror or str(error)
        else:
            reason = "it is not a folder that you may write to"
        _replace(directory, reason)
    return _install(found, _replacements[directory] / file.path, file)


def _folders() -> list[Path]:
    """Return the folders to look in: a cache that is read-only can still be read."""
    directory = cache_directory()
    replacement = _replacements.get(directory)
    return [directory] if replacement is None else [directory, replacement]


def _replace(directory: Path, reason: str) -> None:
    """Make a temporary folder take the place of ``directory``, and say so once."""
    folder = Path(tempfile.mkdtemp(prefix="course-data-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _replacements[directory] = folder
    warnings.warn(
        f"The data cache {directory} cannot be written ({reason}). Files are kept in {folder} "
        "until this process ends, and fetched again next time. Remedy: set the environment "
        "variable COURSE_DATA to a folder that you may write to.",
        CacheWarning,
        stacklevel=2,
    )


def _install(found: Path, target: Path, file: DataFile) -> Path:
    """Write a checked copy beside ``target``, then rename it: never a half file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with _open_content(found, file) as source, part.open("xb") as sink:
            damage = _copy(source, sink, file)
        if damage:
            raise Damaged(damage)
        _rename(part, target, file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Damaged(f"truncated or damaged gzip file: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return target


def _open_content(found: Path, file: DataFile) -> io.BufferedIOBase:
    """Open ``found``, taking off the gzip layer unless the file wanted is a gzip file."""
    with found.open("rb") as stream:
        zipped = stream.read(2) == GZIP_MAGIC
    if zipped and not file.path.endswith((".gz", ".tgz")):
        return gzip.open(found, "rb")
    return found.open("rb")


def _copy(source: io.BufferedIOBase, sink: io.BufferedIOBase, file: DataFile) -> str:
    """Copy in chunks; return what is wrong with what went through."""
    digest, size, head = hashlib.sha256(), 0, b""
    while chunk := source.read(CHUNK):
        head = head or chunk[:512]
        digest.update(chunk)
        size += len(chunk)
        sink.write(chunk)
    sink.flush()
    os.fsync(sink.fileno())
    return _damage(digest.hexdigest(), size, head, file)


def _rename(part: Path, target: Path, file: DataFile) -> None:
    """Give the finished file its name; another process may have done so already."""
    try:
        os.replace(part, target)
    except PermissionError:
        # Windows refuses while another process reads the target: then the file is there.
        if not target.is_file() or damage_of(target.read_bytes(), file):
            raise


def _sweep(target: Path) -> None:
    """Remove what a process that was killed a day ago or earlier left unfinished."""
    for part in target.parent.glob(f".{target.name}.*.part"):
        try:
            if time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()
        except OSError:
            continue


def _damage(sha256: str, size: int, head: bytes, file: DataFile) -> str:
    """Compare with the promise, and name the usual causes."""
    if sha256 == file.sha256:
        return ""
    if looks_like_html(head):
        return "an HTML page instead of data (often the login page of a network)"
    if size < file.size:
        return f"truncated: {size:,} of {file.size:,} bytes"
    return f"sha256 is {sha256[:12]}..., expected {file.sha256[:12]}..."


def looks_like_html(head: bytes) -> bool:
    """Say whether these first bytes begin a web page."""
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head"))
