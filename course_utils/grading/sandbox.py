"""The wall between a student's code and the machine: a command line for bubblewrap.

Inside there is no network, no file of the host but Python and its packages, no process
but the student's own, and nothing to write to but a small disk in memory that goes away.

References
----------
https://github.com/containers/bubblewrap
"""

import json
import os
import platform
import shutil
import site
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from course_utils.grading.course import Limits

__all__ = ["WRITABLE", "Sandbox", "SandboxUnavailable", "find_sandbox", "open_field"]

PACKAGE = Path(__file__).parents[1]
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/fonts")
HOME = "/tmp"
WRITABLE = (HOME, "/dev/shm")  # disks in memory, gone with the sandbox
PROBE_SECONDS = 20
ENVIRONMENT = {
    "HOME": HOME,
    "USER": "student",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "agg",
    "MPLCONFIGDIR": f"{HOME}/.matplotlib",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
}
REMEDY = (
    "Install the package bubblewrap and allow user namespaces, or grade in a container that "
    "has both (on macOS and Windows: a Linux machine). To run submissions with the rights of "
    "your own account, all your files and the network open to them, say `--sandbox none`."
)


class SandboxUnavailable(RuntimeError):
    """No sandbox can be had here: ``why``, and what to do."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}. {REMEDY}")
        self.why = why


@dataclass(frozen=True)
class Sandbox:
    """How a student's process is started.

    ``kind`` is ``"root"`` (bubblewrap by root, who gives up root inside), ``"user"``
    (bubblewrap with a user namespace) or ``"none"``.
    """

    kind: str

    def command(
        self, limits: Limits, absent: Sequence[str], forbids: Sequence[str] = ()
    ) -> list[str]:
        """Return the command line that starts a runner within limits.

        ``forbids`` names torch's operators that its process has to do without.
        """
        # Each sandbox of root has a user of its own, so that none counts another's processes.
        uid = 20_000 + threading.get_native_id() % 40_000 if self.kind == "root" else None
        rlimits = {} if self.kind == "none" else _rlimits(limits)
        settings = {"uid": uid, "limits": rlimits, "absent": [*absent], "forbids": [*forbids]}
        python = [sys.executable, "-m", "course_utils.grading.runner", json.dumps(settings)]
        return python if self.kind == "none" else [*self.wall(limits, absent), *python]

    def environment(self) -> dict[str, str]:
        """Return the variables of the process; a sandbox has no others."""
        outside = dict(os.environ) if self.kind == "none" else {}
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        inside = {**ENVIRONMENT, "PATH": path, "PYTHONPATH": str(PACKAGE.parent)}
        if self.kind == "none":
            for name in ("HOME", "USER", "MPLCONFIGDIR"):
                del inside[name]
        return {**outside, **inside}

    def wall(self, limits: Limits, absent: Sequence[str]) -> list[str]:
        """Return bubblewrap's own part of the command line."""
        disk = str(limits.disk_mb * 2**20)
        command = ["bwrap", "--die-with-parent", "--new-session", "--hostname", "grading"]
        command += ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
        command += ["--unshare-cgroup-try", "--cap-drop", "ALL"]
        if self.kind == "root":
            command += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
        else:
            command += ["--unshare-user", "--uid", "65534", "--gid", "65534"]
        for folder in SYSTEM:
            command += ["--ro-bind-try", folder, folder]
        # Memory that looks like files is bounded too: /dev and /dev/shm are such memory.
        command += ["--proc", "/proc", "--dev", "/dev"]
        for folder in WRITABLE:
            command += ["--size", disk, "--perms", "1777", "--tmpfs", folder]
        command += ["--remount-ro", "/dev", "--chdir", HOME]
        for folder in _python_folders():
            # Folders that bubblewrap makes on the way are closed to all but their owner.
            for parent in reversed(folder.parents[:-1]):
                command += ["--perms", "0755", "--dir", str(parent)]
            command += ["--ro-bind", str(folder), str(folder)]
        for name in absent:
            for folder in _package_folders(name):
                command += ["--size", "4096", "--tmpfs", str(folder), "--remount-ro", str(folder)]
        fonts = _font_list()
        if fonts is not None:
            target = f"{HOME}/.matplotlib/{fonts.name}"
            command += ["--perms", "1777", "--dir", f"{HOME}/.matplotlib"]
            command += ["--ro-bind", str(fonts), target]
        return command


def find_sandbox() -> Sandbox:
    """Return a sandbox that was tried and works on this machine.

    Raises
    ------
    SandboxUnavailable
        If there is none; the message names the remedy.
    """
    if platform.system() != "Linux":
        raise SandboxUnavailable("bubblewrap exists only on Linux")
    if shutil.which("bwrap") is None:
        raise SandboxUnavailable("bubblewrap is not installed")
    why = ""
    for kind in ("root", "user") if os.geteuid() == 0 else ("user",):
        why = _try(Sandbox(kind))
        if not why:
            return Sandbox(kind)
    raise SandboxUnavailable(f"bubblewrap does not work: {why}")


def open_field() -> Sandbox:
    """Return no sandbox at all: for a student's own work at home, or on explicit demand."""
    return Sandbox("none")


def _try(sandbox: Sandbox) -> str:
    """Start and end a runner in a sandbox; return what went wrong, or nothing."""
    try:
        done = subprocess.run(
            sandbox.command(Limits(), ()),
            env=sandbox.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0 and '"ready"' in done.stdout:
        return ""
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"it ends with status {done.returncode}"


def _rlimits(limits: Limits) -> dict[str, int]:
    """Return the limits of each process; the session watches their sum."""
    return {
        "RLIMIT_DATA": limits.memory_mb * 2**20,
        # Addresses cost memory too, though no process seems to hold it: that of page tables.
        "RLIMIT_AS": (4 * limits.memory_mb + 4096) * 2**20,
        "RLIMIT_FSIZE": limits.disk_mb * 2**20,
        "RLIMIT_NOFILE": limits.files,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_CORE": 0,
    }


def _python_folders() -> list[Path]:
    """Return what Python needs and nothing above it: no checkout, no home, no data."""
    wanted = [Path(sys.base_prefix), Path(sys.prefix), PACKAGE]
    wanted += [Path(folder) for folder in {sysconfig.get_path("purelib"), *site.getsitepackages()}]
    folders: list[Path] = []
    for folder in dict.fromkeys(path for path in wanted if path.exists()):
        covered = any(folder.is_relative_to(other) for other in [Path("/usr"), *folders])
        if not covered:
            folders.append(folder)
    return folders


def _package_folders(name: str) -> list[Path]:
    return [
        folder
        for place in dict.fromkeys([sysconfig.get_path("purelib"), *site.getsitepackages()])
        if (folder := Path(place) / name).is_dir()
    ]


@lru_cache
def _font_list() -> Path | None:
    """Return matplotlib's list of fonts; without it every sandbox would search for fonts."""
    import matplotlib

    return next(iter(sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))), None)
