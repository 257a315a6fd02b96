"""An instructor's grading folder: where submissions, scores and feedback of a course lie.

It is an nbgrader course directory at the same time, so that the form grader works on it.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from course_utils.grading.results import Result, read_result, write_atomically

__all__ = ["Busy", "Workspace"]


class Busy(RuntimeError):
    """Another run is at work in this grading folder."""


@dataclass(frozen=True)
class Workspace:
    """The paths in a grading folder."""

    folder: Path

    def result(self, lab: str, student: str) -> Path:
        return self.folder / "results" / lab / f"{student}.json"

    def feedback(self, lab: str, student: str) -> Path:
        return self.folder / "feedback" / student / lab / f"{lab}.html"

    def autograded(self, lab: str, student: str) -> Path:
        return self.folder / "autograded" / student / lab / f"{lab}.ipynb"

    def results(self, lab: str) -> list[Result]:
        """Return the kept results of a lab, by student; damaged ones count as none."""
        found = sorted((self.folder / "results" / lab).glob("*.json"))
        return [result for path in found if (result := read_result(path)) is not None]

    def seed(self) -> str:
        """Return the secret from which hidden cases are drawn, made at the first use."""
        path = self.folder / "seed"
        if not path.exists():
            write_atomically(path, secrets.token_hex(16) + "\n")
            path.chmod(0o600)
        text = path.read_text(encoding="utf-8").strip()
        if not text:
            raise ValueError(f"{path} is empty: delete it, and grade everything anew")
        return text

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one run; the system lets go when the process ends.

        Raises
        ------
        Busy
            If another run holds it.
        """
        from filelock import FileLock, Timeout

        # Scores, work and the seed in it are nobody else's business.
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                yield
        except Timeout:
            raise Busy(
                f"another run is grading in {self.folder}; wait until it ends, or give this one "
                "a folder of its own with --folder"
            ) from None
