"""What one check of ``course doctor`` says, and two helpers that checks share."""

import subprocess
from dataclasses import dataclass
from typing import Literal

__all__ = ["REINSTALL", "Finding", "State", "output_of"]

State = Literal["ok", "warning", "problem"]

REINSTALL = "run `make lab`, or `pip install -e . -c constraints.txt` in the course's folder"
SECONDS = 20  # A program that only reports on the machine answers at once, or hangs.


@dataclass(frozen=True)
class Finding:
    """What one check found: a state, a sentence, and a remedy unless all is well."""

    name: str
    state: State
    message: str
    remedy: str = ""


def output_of(command: list[str]) -> tuple[bool, str]:
    """Run a small program; return whether it succeeded, and what it said."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return False, str(error)
    return done.returncode == 0, (done.stdout or done.stderr).strip()
