"""One process of a student's code: its pipes, its time, and the watch over its memory.

Whatever it writes is read without trust; whatever it starts ends with it.
"""

import asyncio
import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import psutil

from course_utils.grading.calls import MAX_TEXT
from course_utils.grading.course import Limits
from course_utils.grading.judging import Outcome
from course_utils.grading.sandbox import WRITABLE
from course_utils.grading.values import decode

__all__ = ["SessionError", "StudentProcess"]

START_SECONDS = 60
GRACE_SECONDS = 2.0  # between the alarm inside and the end from outside
MAX_REPLY = 64 * 2**20  # bytes
MAX_PARTS = 1_000_000  # of the JSON of a reply
WATCH_SECONDS = 0.2
BYTES_A_SOCKET = 2**18  # of the kernel's memory, where its buffer is full: 221 KB were seen
BYTES_A_FILE = 1500  # of the kernel's memory, for its entry alone


class SessionError(RuntimeError):
    """The student's process cannot be started at all: the machine's fault."""


class StudentProcess:
    """One process of a student's code, its pipes, and the watch over its memory."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits, has_wall: bool) -> None:
        self._process, self._limits, self._has_wall = process, limits, has_wall
        self._is_swollen = self._is_ready = False
        self.is_usable, self.memory_mb = True, 0.0
        self._watch = asyncio.create_task(self._watch_memory())

    @classmethod
    async def start(
        cls, command: Sequence[str], environment: Mapping[str, str], limits: Limits
    ) -> "StudentProcess":
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            limit=MAX_REPLY,
        )
        self = cls(process, limits, has_wall=command[0] == "bwrap")
        reply = None
        try:
            reply = await self._exchange(b"", START_SECONDS)
        finally:  # an interrupted run, too, leaves no process
            self._is_ready = reply is not None and reply.get("state") == "ready"
            if not self._is_ready:
                await self.stop()
        if not self._is_ready:
            said = (await process.stderr.read(4000)).decode(errors="replace").strip()
            raise SessionError(f"the process for student code does not start: {said or 'silence'}")
        return self

    async def ask(self, request: Mapping[str, Any], seconds: float) -> Outcome:
        """Send a request; whatever comes back, or fails to come, becomes an outcome."""
        started = time.monotonic()
        reply = await self._exchange(json.dumps(request).encode() + b"\n", seconds)
        if reply is None:
            self.is_usable = False
            is_late = time.monotonic() - started >= seconds and not self._is_swollen
            return Outcome("timeout" if is_late else "died")
        try:
            changed = _changed(request, reply)
            return Outcome("changed", None, changed[0]) if changed else _outcome(reply)
        except Exception:  # a parser of NumPy or Python may trip over it in any way
            self.is_usable = False  # what writes such replies may write any
            return Outcome("died")

    async def stop(self) -> None:
        """End the process and all its offspring, and wait until they are gone."""
        self._watch.cancel()
        self._measure()  # a short run ends between two looks
        self._kill()
        self._process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(GRACE_SECONDS):
                await self._process.wait()
                return
        with suppress(psutil.Error):
            psutil.Process(self._process.pid).kill()
        await self._process.wait()

    async def _exchange(self, data: bytes, seconds: float) -> dict[str, Any] | None:
        """Write, and read one line, within the time; None when that fails."""
        try:
            async with asyncio.timeout(seconds):
                self._process.stdin.write(data)
                reading = asyncio.create_task(self._process.stdout.readline())
                try:
                    await self._process.stdin.drain()
                    line = await reading
                finally:
                    reading.cancel()
            # Short text may stand for much memory: [[],[],[]... takes twenty times its length.
            is_bomb = sum(map(line.count, (b",", b"[", b"{"))) > MAX_PARTS
            reply = None if is_bomb else json.loads(line)
        except (TimeoutError, OSError, ValueError, RecursionError):
            return None
        return reply if isinstance(reply, dict) else None

    async def _watch_memory(self) -> None:
        while self._measure() <= self._limits.memory_mb:
            await asyncio.sleep(WATCH_SECONDS)
        self._is_swollen = True
        self._kill()

    def _measure(self) -> float:
        """Return the largest memory so far of the processes and of their disk, in MB."""
        tree = self._tree()
        # Before it is ready, the last of its processes may still see the disks of the host.
        held = _disk_used(tree[-1].pid) if tree and self._is_ready and self._has_wall else 0
        held += sum(map(_buffered, tree))
        used = held + sum(map(_resident, tree))
        if used > self._limits.memory_mb * 2**20:  # counts again what forks share
            used = held + sum(map(_proportional, tree))
        self.memory_mb = max(self.memory_mb, used / 2**20)
        return self.memory_mb

    def _kill(self) -> None:
        tree = self._tree()
        # bubblewrap ends when all behind its wall has ended, and leaves no zombie.
        # Not by asyncio's own kill, which may reap the process before asyncio's watcher does.
        for process in tree[1:] if self._has_wall else tree:
            with suppress(psutil.Error):
                process.kill()

    def _tree(self) -> list[psutil.Process]:
        with suppress(psutil.Error):
            root = psutil.Process(self._process.pid)
            return [root, *root.children(recursive=True)]
        return []


def _resident(process: psutil.Process) -> int:
    """Return what a process holds in memory, in bytes; 0 when it is gone."""
    with suppress(psutil.Error):
        return process.memory_info().rss
    return 0


def _proportional(process: psutil.Process) -> int:
    """Return what a process holds, in bytes, with its part of what it shares; slower."""
    with suppress(psutil.Error, AttributeError, OSError):
        return process.memory_full_info().pss
    return _resident(process)


def _buffered(process: psutil.Process) -> int:
    """Return what a process's sockets may hold in the kernel, in bytes; no process counts it."""
    folder, sockets = f"/proc/{process.pid}/fd", 0
    with suppress(OSError):
        for name in os.listdir(folder):
            with suppress(OSError):
                sockets += os.readlink(f"{folder}/{name}").startswith("socket:")
    return sockets * BYTES_A_SOCKET


def _disk_used(pid: int) -> int:
    """Return what the sandbox's disks in memory take, in bytes; an empty file takes some too."""
    used = 0
    for folder in WRITABLE:
        with suppress(OSError):
            disk = os.statvfs(f"/proc/{pid}/root{folder}")
            used += (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            used += (disk.f_files - disk.f_ffree) * BYTES_A_FILE
    return used


def _outcome(reply: Mapping[str, Any]) -> Outcome:
    """Read a reply; a student's process may have written anything."""
    state = reply["state"]
    if state == "value":
        return Outcome("value", decode(reply.get("value")))
    if state not in ("raised", "refused", "forbidden", "changed", "timeout"):
        raise KeyError("state")
    return Outcome(state, None, _plain(reply.get("detail")), _plain(reply.get("text")))


def _plain(text: Any) -> str:
    """Return text that a terminal, a database and a page can take: nothing unseen in it."""
    if not isinstance(text, str):
        return ""
    kept = (sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text[:MAX_TEXT])
    return "".join(kept)


def _changed(request: Mapping[str, Any], reply: Mapping[str, Any]) -> list[str]:
    """Return the inputs that do not come back as they were sent.

    Compared here, as what compares over there is in the student's hands.
    """
    if not request.get("keeps_inputs") or reply["state"] != "value":
        return []
    return [name for name, sent in request["inputs"].items() if reply["inputs"].get(name) != sent]
