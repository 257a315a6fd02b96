"""The process in which a student's code runs: cells first, then the programs of questions.

Started by `course_utils.grading.session` as ``python -m course_utils.grading.runner``, in
the sandbox. It reads one JSON request a line on standard input and answers each with one
line on standard output. Nothing here is secret: expected results never come in.
"""

import ast
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from course_utils.grading.calls import MAX_TEXT, attempt, raised_at, text_of
from course_utils.grading.operators import take_out
from course_utils.grading.syscalls import close_doors
from course_utils.grading.values import decode, encode

__all__ = ["TimeIsUp", "main"]


class TimeIsUp(BaseException):
    """The time for a cell or a call is over; not an Exception, so that few answers catch it."""


def main() -> None:
    """Serve requests until standard input ends."""
    settings = json.loads(sys.argv[1])
    _confine(settings)
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    _silence()
    for name in settings["absent"]:
        sys.modules[name] = None  # importing it raises ImportError, as if it were not installed
    if settings["forbids"]:
        take_out(settings["forbids"])  # before any student's code could keep a way to them
    shell = _make_shell()
    process = os.getpid()
    _send(replies, {"state": "ready"})
    for line in requests:
        reply = _serve(shell, json.loads(line))
        if os.getpid() != process:
            os._exit(0)  # a fork of a student's code that came back here must not answer
        _send(replies, reply)


def _serve(shell: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    run = {"cell": _run_cell, "call": _run_call}[request["do"]]
    try:
        with _time_limit(request["seconds"]):
            return run(shell, request)
    except TimeIsUp:
        return {"state": "timeout"}
    except BaseException as error:  # SystemExit and whatever a student derives from it
        return {"state": "raised", "detail": type(error).__name__[:MAX_TEXT]}


def _run_cell(shell: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    result = shell.run_cell(request["source"], store_history=False)
    error = result.error_before_exec or result.error_in_exec
    if isinstance(result.error_in_exec, Exception):
        _go_on(shell, request["source"], result.error_in_exec)
    if isinstance(error, TimeIsUp):
        return {"state": "timeout"}
    if error is None:
        return {"state": "value"}
    return {
        "state": "raised",
        "detail": type(error).__name__[:MAX_TEXT],
        "text": text_of(error),
    }


def _go_on(shell: Any, source: str, error: Exception) -> None:
    """Run the statements of a cell that follow the one that raised, each by itself.

    An answer may compare itself with a library that is not there when graded, or draw with
    one, and is no worse for it.
    """
    last = raised_at(error)
    if last is None:
        return
    for statement in ast.parse(shell.transform_cell(source)).body:
        if statement.lineno <= last:
            continue
        code = compile(ast.Module([statement], []), "<ipython-input-again>", "exec")
        try:
            exec(code, shell.user_ns)
        except Exception:
            continue


def _run_call(shell: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    inputs = {k: decode(v, tensors=True) for k, v in request["inputs"].items()}
    reply = attempt(request["program"], shell.user_ns, inputs)
    if request["keeps_inputs"] and reply["state"] == "value":
        reply["inputs"] = {name: encode(value) for name, value in inputs.items()}
    return reply


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeIsUp after some seconds, where the system has alarms.

    What does not listen, the session ends from outside.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: Any) -> None:
        raise TimeIsUp

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _make_shell() -> Any:
    """Return an IPython shell: magics and top-level await work as in a notebook."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell.instance(config=config)
    quiet: Callable[..., None] = lambda *_, **__: None  # noqa: E731
    # Errors are told by the reply; rendering a traceback would take longer than most cells.
    shell.showtraceback = shell.showsyntaxerror = quiet
    # What is printed goes nowhere; IPython would keep a copy of it in memory.
    shell._tee = lambda channel: nullcontext()
    # What notebooks say to their machine means nothing here, and must not stop a cell.
    shell.system = quiet
    shell.enable_matplotlib = lambda gui=None: ("agg", "agg")
    for name in ("pip", "conda", "mamba", "uv"):
        shell.register_magic_function(quiet, "line", name)
    return shell


def _silence() -> None:
    """Send what is printed nowhere, at the level of the system, so that it fills nothing."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _confine(settings: Mapping[str, Any]) -> None:
    """Give up root, where there is root to give up, and set the limits of this process."""
    if settings["uid"] is not None:
        os.setgroups([])
        os.setresgid(*[settings["uid"]] * 3)
        os.setresuid(*[settings["uid"]] * 3)
    if not settings["limits"]:
        return
    import resource

    for name, value in settings["limits"].items():
        resource.setrlimit(getattr(resource, name), (value, value))
    close_doors()


def _send(replies: Any, reply: Mapping[str, Any]) -> None:
    data = memoryview(json.dumps(reply).encode() + b"\n")
    while data:
        data = data[replies.write(data) :]


if __name__ == "__main__":
    main()
