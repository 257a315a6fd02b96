"""What a student's process may not ask of Linux: the ways around the sandbox's walls.

bubblewrap hides files, processes and the network. Still open are memory that belongs to no
process (so that nobody counts it; large buffers of sockets are such), keyrings that outlive
the sandbox (so that one submission could leave hidden inputs to the next), new namespaces (in
which one is root and may mount disks), other programs, and the choice of a processor.

References
----------
seccomp(2), https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html
"""

import ctypes
import errno
import os
import platform
import struct

__all__ = ["close_doors", "filter_program"]

# Numbers on x86_64 and on aarch64; the second are those of every newer architecture.
REFUSED = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "execve": (59, 221),
    "execveat": (322, 281),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "mount": (165, 40),
    "mq_open": (240, 180),
    "msgget": (68, 186),
    "perf_event_open": (298, 241),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
    "request_key": (249, 218),
    "sched_setaffinity": (203, 122),
    "semget": (64, 190),
    "setns": (308, 268),
    "setsid": (112, 157),
    "shmget": (29, 194),
    "syslog": (103, 116),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
CLONE, CLONE3, SOCKET, SECCOMP = (56, 220), (435, 435), (41, 198), (317, 277)
SET_OPTION = (54, 208)  # of a socket
ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
NEW_NAMESPACES = 0x7E020000  # flags of clone
LOCAL = 1  # the family of sockets within the machine
BUFFER_SIZES = (7, 8, 32, 33)  # options of sockets
X32 = 0x40000000  # numbers from here on are the same calls by another door

_LOAD, _IS, _AT_LEAST, _HAS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _THIRD = 0, 4, 16, 32  # where each stands in what a filter sees
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000
_SET_FILTER, _ALL_THREADS, _NO_NEW_PRIVILEGES = 1, 1, 38


def close_doors() -> None:
    """Refuse the listed system calls to this process and all that comes from it, for good.

    Raises
    ------
    OSError
        If Linux does not take the filter, or runs on a machine whose numbers are not known.
    """
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise OSError(
            f"student code runs on {' or '.join(ARCHITECTURES)}, this machine is {machine}"
        )
    program = filter_program(machine)
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a length, padding, a pointer.
    whole = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.syscall(
        SECCOMP[ARCHITECTURES[machine][0]], _SET_FILTER, _ALL_THREADS, whole
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"no filter of system calls: {os.strerror(number)}")


def filter_program(machine: str) -> bytes:
    """Return the filter for a machine, as instructions of the kernel's packet filter."""
    column, architecture = ARCHITECTURES[machine]
    refuse = _line(_RETURN, _REFUSE | errno.EPERM)
    lines = [_line(_LOAD, _ARCHITECTURE), _line(_IS, architecture, 1, 0), refuse]
    lines += [_line(_LOAD, _NUMBER), _line(_AT_LEAST, X32, 0, 1), refuse]
    for numbers in REFUSED.values():
        lines += [_line(_IS, numbers[column], 0, 1), refuse]
    # Unknown to this kernel, as the C library is told, it falls back on clone, whose flags show.
    lines += [_line(_IS, CLONE3[column], 0, 1), _line(_RETURN, _REFUSE | errno.ENOSYS)]
    lines += [_line(_IS, CLONE[column], 0, 4), _line(_LOAD, _FIRST)]
    lines += [_line(_HAS, NEW_NAMESPACES, 0, 1), refuse, _line(_RETURN, _ALLOW)]
    lines += [_line(_IS, SET_OPTION[column], 0, len(BUFFER_SIZES) * 2 + 2), _line(_LOAD, _THIRD)]
    for option in BUFFER_SIZES:
        lines += [_line(_IS, option, 0, 1), refuse]
    lines += [_line(_RETURN, _ALLOW)]
    lines += [_line(_IS, SOCKET[column], 0, 3), _line(_LOAD, _FIRST)]
    lines += [_line(_IS, LOCAL, 1, 0), refuse, _line(_RETURN, _ALLOW)]
    return b"".join(lines)


def _line(code: int, value: int, if_so: int = 0, if_not: int = 0) -> bytes:
    """Return one instruction; the jumps count the lines that are left out."""
    return struct.pack("HBBI", code, if_so, if_not, value)
