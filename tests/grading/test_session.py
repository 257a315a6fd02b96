"""One submission at a time, in the sandbox: whatever the code does, an outcome comes back."""

import os
import sys
from dataclasses import replace

import psutil
import pytest

from course_utils.grading import session
from course_utils.grading.cases import PUBLIC_SEED, prepare
from course_utils.grading.course import Limits
from course_utils.grading.judging import judge_question
from course_utils.grading.lab import read_lab
from course_utils.grading.questions import (
    Case,
    Criterion,
    PreparedCriterion,
    PreparedQuestion,
    Question,
)
from course_utils.grading.repair import Step
from course_utils.grading.sandbox import Sandbox, open_field
from course_utils.grading.session import SessionError, run_submission

LIMITS = Limits(
    cell_seconds=5, call_seconds=3, notebook_seconds=60, memory_mb=400, disk_mb=16, processes=20
)
HONEST = {
    "set-up": "import numpy as np",
    "neuron": "def neuron(x, W, b): return x @ W.T + b",
    "sigmoid": "def sigmoid(z): return np.exp(-np.logaddexp(0, -z))",
}
FULL = {"neuron": 3, "sigmoid": 2}


@pytest.fixture
def graded(small_lab, sandbox):
    """A function that runs cells, honest ones unless others are given, and judges them."""
    lab = read_lab(small_lab)
    hidden, public = prepare(lab, "hidden"), prepare(lab, PUBLIC_SEED, public=True)

    def grade(*, field: Sandbox = sandbox, limits: Limits = LIMITS, absent=(), **cells):
        steps = [Step(name, "answer", text) for name, text in {**HONEST, **cells}.items()]
        run = run_submission(steps, hidden, public, sandbox=field, limits=limits, absent=absent)
        results = {
            name: judge_question(prepared, run.outcomes[name]) for name, prepared in hidden.items()
        }
        return results, run

    return grade


def points(results):
    return {name: result.earned for name, result in results.items()}


def test_honest_work_earns_everything(graded):
    results, run = graded()
    assert points(results) == FULL
    assert run.cells == {}
    assert 10 < run.memory_mb < 400


def test_without_a_sandbox_on_explicit_demand(graded):
    results, _ = graded(field=open_field())
    assert points(results) == FULL


@pytest.mark.parametrize(
    ("trouble", "state"),
    [
        ("while True: pass", "timeout"),
        (
            "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass",
            "timeout",
        ),
        ("while True: print('x' * 10_000)", "timeout"),
        ("import os\nos._exit(0)", "died"),
        ("import ctypes\nctypes.string_at(0)", "died"),
        ("kept = []\nwhile True: kept.append(bytearray(30_000_000))", "died"),
        (
            "import mmap\nkept = []\nwhile True:\n    kept.append(mmap.mmap(-1, 10**7))\n"
            "    kept[-1].write(b'1' * 10**7)",
            "died",
        ),
        ("raise SystemExit", "raised"),
        ("import os\nwhile True: os.fork()", "raised"),
        ("open('big', 'wb').write(b'0' * 20_000_000)", "raised"),
        ("import no_such_module", "raised"),
        ("def broken(:", "raised"),
        ("input('?')", "raised"),
    ],
    ids=lambda value: value.splitlines()[-1][:30],
)
def test_a_cell_in_trouble_takes_nothing_from_the_others(graded, trouble, state):
    # Only what is to run out of time has little: a loaded machine is slow to fill its memory.
    limits = replace(LIMITS, cell_seconds=1 if state == "timeout" else 20)
    results, run = graded(trouble=trouble, limits=limits)
    assert run.cells["trouble"].state == state
    assert points(results) == FULL


def test_what_forks_share_counts_once(graded):
    forks = """
import os, time
kept = bytearray(b"1") * 200_000_000
for _ in range(3):
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
time.sleep(1)
"""
    results, run = graded(forks=forks, limits=replace(LIMITS, cell_seconds=20))
    assert run.cells == {}
    assert points(results) == FULL
    assert 200 < run.memory_mb < LIMITS.memory_mb


def test_a_data_loader_may_have_workers(graded):
    """They send tensors through sockets and files that the sandbox must leave them."""
    loader = """
import torch
from torch.utils.data import DataLoader
assert sum(len(part) for part in DataLoader(torch.rand(200, 3), 32, num_workers=2)) == 200
"""
    limits = replace(LIMITS, cell_seconds=60, memory_mb=2000, files=256, processes=64)
    results, run = graded(loader=loader, limits=limits)
    assert run.cells == {}
    assert points(results) == FULL


def test_what_sockets_hold_counts(graded):
    """Their buffers are memory of the kernel, which stands in no process's account."""
    full = """
import socket, time
kept = [socket.socketpair() for _ in range(900)]
time.sleep(2)
"""
    limits = replace(LIMITS, cell_seconds=20, files=2000)
    results, run = graded(full=full, limits=limits)
    assert run.cells["full"].state == "died"
    assert points(results) == FULL


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("def sigmoid(z):\n    while True: pass", "does not finish"),
        ("def sigmoid(z):\n    import os; os._exit(0)", "ended the process"),
        ("def sigmoid(z):\n    return bytearray(10**9)", "ended the process"),
        ("def sigmoid(z):\n    raise SystemExit", "raises SystemExit"),
        ("def sigmoid(z):\n    return object()", "cannot be compared"),
        ("def sigmoid(z):\n    z *= 1; z += 1; return z", "changes its input"),
        ("def sigmoid(z): return undefined_name", "name 'undefined_name' is not defined"),
        ("def sigmoid(z) return", "cell of this question fails: SyntaxError"),
        ("", "name 'sigmoid' is not defined"),
        ("def sigmoid(z): raise NotImplementedError", "Not answered yet"),
    ],
)
def test_an_answer_in_trouble_loses_its_own_question_and_is_told(graded, answer, message):
    results, _ = graded(sigmoid=answer)
    assert points(results) == {"neuron": 3, "sigmoid": 0}
    assert message in results["sigmoid"].message


def test_a_statement_that_raises_costs_itself_alone(graded):
    """Such as a comparison with a library that is not there when graded."""
    sigmoid = f"import no_such_module\nraise ValueError\n{HONEST['sigmoid']}\nplt.plot(0)"
    results, run = graded(sigmoid=sigmoid, own="left = [1]\nleft.append(2)\n1 / 0\nleft.append(3)")
    assert points(results) == FULL
    assert (run.cells["sigmoid"].detail, run.cells["own"].detail) == (
        "ModuleNotFoundError",
        "ZeroDivisionError",
    )
    results, _ = graded(
        own="left = [1]\n1 / 0\nleft.append(3)",
        sigmoid=("assert left == [1, 3]\ndef sigmoid(z): return 0 * z + len(left)"),
    )
    assert "wrong" in results["sigmoid"].message


def test_names_that_hide_pythons_own_do_not_harm_the_question(graded):
    results, _ = graded(own="list = dict = len = sum = [1, 2]")
    assert points(results) == FULL


def test_what_an_exception_says_of_hidden_values_is_not_told(graded):
    answer = """
seen = []
def sigmoid(z):
    seen.append(z)
    if len(seen) > 2:
        raise type(f"Seen{z.flat[0]}".replace(".", "_").replace("-", "m"), (Exception,), {})(str(z))
    return z
"""
    results, _ = graded(sigmoid=answer)
    assert "an exception of its own" in results["sigmoid"].message
    assert "Seen" not in results["sigmoid"].message


def test_magics_and_shell_commands_do_not_stop_a_cell(graded):
    cell = "%matplotlib inline\n!pip install nothing\n%pip install nothing\nx = 1\n"
    results, run = graded(magics=f"{cell}import asyncio\nawait asyncio.sleep(0)\nassert x == 1")
    assert run.cells == {}
    assert points(results) == FULL


def test_the_host_is_out_of_sight(graded, tmp_path):
    (tmp_path / "secret").write_text("secret")
    look = f"""
import os, socket
seen = []
for path in ({str(tmp_path / "secret")!r}, {str(tmp_path)!r}, "/etc/passwd", "/home", "/var"):
    try:
        os.stat(path)
        seen.append(path)
    except OSError:
        pass
try:
    socket.create_connection(("192.0.2.1", 80), timeout=0.5)
    seen.append("network")
except OSError:
    pass
for place in ("/", "/usr", "/dev", "/proc/sys/kernel", os.path.dirname(np.__file__)):
    try:
        open(os.path.join(place, "written"), "w")
        seen.append("written to " + place)
    except OSError:
        pass
seen += [name for name in os.environ if name.startswith(("COURSE", "PYTEST", "CI"))]
if len([name for name in os.listdir("/proc") if name.isdigit()]) > 4:
    seen.append("processes")
assert seen == [], seen
"""
    results, run = graded(look=look)
    assert run.cells == {}
    assert points(results) == FULL


def test_absent_packages_cannot_be_imported(graded):
    peek = """
import sys
for name in ("torch", "scipy"):
    sys.modules.pop(name, None)
    try:
        module = __import__(name)
    except ImportError:
        continue
    assert not hasattr(module, "__version__")
"""
    _, run = graded(peek=peek, absent=("torch", "scipy"))
    assert run.cells == {}


def test_no_process_is_left(graded):
    # A limit of its own tells its processes from those of tests that run beside it.
    limits = replace(LIMITS, files=256 + os.getpid() % 700)
    daemon = """
import os, time
if os.fork() == 0:
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
"""
    results, _ = graded(daemon=daemon, limits=limits)
    assert points(results) == FULL
    mark = f'"RLIMIT_NOFILE": {limits.files}'
    running = [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]
    assert [command for command in running if mark in command] == []


def test_a_machine_that_starts_nothing_is_told_apart(graded, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(SessionError, match="does not start"):
        graded()


def test_an_answer_that_ends_the_process_costs_one_start(graded, monkeypatch):
    """So that answers which do not, however many others do, are still run."""
    monkeypatch.setattr(session, "SPARE_STARTS", 0)
    results, _ = graded(neuron="def neuron(x, W, b):\n    import os; os._exit(0)")
    assert points(results) == {"neuron": 0, "sigmoid": 2}


def test_trials_of_ones_own_leave_the_questions_their_time(small_lab, sandbox):
    lab = read_lab(small_lab)
    trials = [Step(f"added-{n}", "added", "import time; time.sleep(9)") for n in range(20)]
    answers = [Step(name, "answer", text) for name, text in HONEST.items()]
    limits = replace(LIMITS, cell_seconds=1, notebook_seconds=24)
    run = run_submission(
        [*trials, *answers], prepare(lab, "hidden"), {}, sandbox=sandbox, limits=limits
    )
    results = {n: judge_question(p, run.outcomes[n]) for n, p in prepare(lab, "hidden").items()}
    assert points(results) == FULL
    states = [run.cells[step.id].state for step in trials]
    assert (states[0], states[-1]) == ("timeout", "unrun")


def test_when_the_time_is_used_up_the_rest_is_told_so(graded):
    limits = replace(LIMITS, notebook_seconds=2, call_seconds=9)
    deaf = "import signal; signal.setitimer(signal.ITIMER_REAL, 0)\n    while True: pass"
    results, _ = graded(neuron=f"def neuron(x, W, b):\n    {deaf}", limits=limits)
    for result in results.values():
        assert (result.earned, "time for the whole notebook" in result.message) == (0, True)


def test_an_answer_may_compare_itself_with_what_is_forbidden(sandbox):
    """The comparison fails where the library is taken out; what stands below it still counts."""
    criterion = Criterion("twice", 1, lambda rng: [{"n": 2}])
    question = Question("q", "A question", "result = twice(n)", [criterion], forbids=("conv2d",))
    case = PreparedCriterion(criterion, [Case({"n": 2})], [4], [])
    answer = (
        "import torch\n"
        "x = torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))\n"
        "def twice(n): return 2 * n"
    )
    asked = {"q": PreparedQuestion(question, [case])}
    limits = Limits(notebook_seconds=60)
    run = run_submission([Step("q", "answer", answer)], asked, {}, sandbox=sandbox, limits=limits)
    assert judge_question(asked["q"], run.outcomes["q"]).earned == 1
