"""The filter of system calls, run here as the kernel would run it, and once by the kernel."""

import errno
import platform
import struct
import subprocess
import sys

import pytest

from course_utils.grading import syscalls
from course_utils.grading.syscalls import ARCHITECTURES, REFUSED, close_doors, filter_program

ALLOWED = 0x7FFF0000
ORDINARY = {"read": (0, 63), "openat": (257, 56), "futex": (202, 98), "mmap": (9, 222)}


def verdict(
    machine: str, number: int, first: int = 0, third: int = 0, architecture: int | None = None
) -> int:
    """Return what the filter says of a call: allowed, or the number of the error."""
    code = filter_program(machine)
    lines = [struct.unpack_from("HBBI", code, at) for at in range(0, len(code), 8)]
    seen = {0: number, 4: architecture or ARCHITECTURES[machine][1], 16: first, 32: third}
    place, value = 0, 0
    while True:
        kind, if_so, if_not, k = lines[place]
        place += 1
        if kind == 0x20:
            value = seen[k]
        elif kind == 0x06:
            return ALLOWED if k == ALLOWED else k & 0xFFFF
        else:
            holds = {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[kind]
            place += if_so if holds else if_not


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_what_is_refused_and_what_is_not(machine, column):
    assert {verdict(machine, numbers[column]) for numbers in REFUSED.values()} == {errno.EPERM}
    for numbers in ORDINARY.values():
        assert verdict(machine, numbers[column]) == ALLOWED
    clone, clone3 = syscalls.CLONE[column], syscalls.CLONE3[column]
    assert verdict(machine, clone, 0x01200011) == ALLOWED  # fork
    assert verdict(machine, clone, 0x003D0F00) == ALLOWED  # a thread
    assert verdict(machine, clone, 0x10000000 | 17) == errno.EPERM  # a namespace of users
    assert verdict(machine, clone3) == errno.ENOSYS
    socket = syscalls.SOCKET[column]
    assert verdict(machine, socket, 1) == ALLOWED
    assert {verdict(machine, socket, family) for family in (0, 2, 10, 16, 17, 40)} == {errno.EPERM}
    option = syscalls.SET_OPTION[column]
    assert {verdict(machine, option, 3, third) for third in (7, 8, 32, 33)} == {errno.EPERM}
    assert {verdict(machine, option, 3, third) for third in (2, 6, 9, 31, 34)} == {ALLOWED}


def test_other_doors_to_the_same_calls_are_closed():
    assert verdict("x86_64", 0x40000000) == errno.EPERM  # x32
    assert verdict("x86_64", 0, architecture=0x40000003) == errno.EPERM  # 32 bits


def test_a_machine_whose_numbers_are_not_known_runs_nothing(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="x86_64 or aarch64, this machine is riscv64"):
        close_doors()


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in ARCHITECTURES,
    reason="needs Linux on a machine whose system calls are known",
)
def test_the_kernel_takes_it():
    program = """
import os, socket, subprocess, sys, threading
from course_utils.grading.syscalls import close_doors
threads = []
ready, go = threading.Event(), threading.Event()
def later():
    ready.set(); go.wait()
    try: os.memfd_create("m")
    except PermissionError: threads.append("thread too")
thread = threading.Thread(target=later); thread.start(); ready.wait()
close_doors(); go.set(); thread.join()
for call in (lambda: os.memfd_create("m"), os.setsid, lambda: socket.socket(16, 3, 0),
             lambda: os.execv(sys.executable, [sys.executable, "-V"])):
    try: call()
    except PermissionError: continue
    raise SystemExit(f"{call} passed")
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
    local.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # multiprocessing does
    try: local.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 10**8)
    except PermissionError: pass
    else: raise SystemExit("a large buffer")
if os.fork() == 0: os._exit(0)
assert os.wait()[1] == 0
print(*threads)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("thread too\n", "")
