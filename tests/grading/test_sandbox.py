"""Where no sandbox can be had, nothing runs, and the message says what to do."""

import platform

import pytest

from course_utils.grading import sandbox as module
from course_utils.grading.course import Limits
from course_utils.grading.sandbox import Sandbox, SandboxUnavailable, find_sandbox


@pytest.mark.parametrize("system", ["Darwin", "Windows"])
def test_other_systems_are_told_what_to_do(monkeypatch, system):
    monkeypatch.setattr(platform, "system", lambda: system)
    with pytest.raises(SandboxUnavailable, match="only on Linux") as refusal:
        find_sandbox()
    for remedy in ("container", "--sandbox none", "bubblewrap"):
        assert remedy in str(refusal.value)


def test_no_bubblewrap(monkeypatch):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SandboxUnavailable, match=r"bubblewrap is not installed\. Install"):
        find_sandbox()


@pytest.mark.skipif(platform.system() == "Windows", reason="the stand-in is a shell script")
def test_a_bubblewrap_that_is_forbidden_to_work(monkeypatch, tmp_path):
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(SandboxUnavailable, match="does not work: bwrap: No permissions"):
        find_sandbox()


def test_the_wall_shows_neither_checkout_nor_home(sandbox):
    command = sandbox.wall(Limits(), ())
    shown = {command[n + 1] for n, word in enumerate(command) if word.startswith("--ro-bind")}
    checkout = module.PACKAGE.parent
    assert str(checkout) not in shown
    assert not any(str(checkout / "assignments").startswith(f"{path}/") for path in shown)
    assert "--unshare-net" in command
    assert "--bind" not in command  # nothing of the host can be written


def test_limits_reach_the_process():
    command = Sandbox("user").command(Limits(memory_mb=100, processes=7), ["torch"])
    assert '"RLIMIT_DATA": 104857600' in command[-1]
    assert '"RLIMIT_NPROC": 7' in command[-1]
    assert '"absent": ["torch"]' in command[-1]
    assert Sandbox("none").command(Limits(), [])[0] == module.sys.executable


def test_only_no_sandbox_shows_the_environment(monkeypatch):
    monkeypatch.setenv("COURSE_GRADEBOOK", "postgresql://secret")
    assert "COURSE_GRADEBOOK" not in Sandbox("user").environment()
    assert "COURSE_GRADEBOOK" in Sandbox("none").environment()
