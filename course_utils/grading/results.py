"""What grading one submission ended with: always a result, always a reason."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from course_utils.grading.judging import CriterionResult, QuestionResult

__all__ = ["Result", "Status", "read_result", "write_atomically", "write_result"]

Status = Literal["graded", "unreadable", "failed"]


@dataclass(frozen=True)
class Result:
    """The scores of one submission with their reasons.

    Parameters
    ----------
    status
        ``graded``; ``unreadable`` where the file is no notebook of this lab; ``failed``
        where the grader itself broke, which says nothing about the work.
    reason
        Why it is not ``graded``; empty otherwise.
    notes
        What intake repaired, and what happened to cells, as the student may read it.
    flags
        What a person should look at, for instructors only.
    questions
        The autograded questions in the lab's order; empty unless ``graded``.
    fingerprint
        Of the submitted bytes, the lab and the seed: equal means nothing to grade anew.
    submitted_at
        With a time zone.
    seconds, memory_mb
        Wall time, and the largest memory of the sandbox that was seen.
    """

    student: str
    lab: str
    status: Status
    reason: str = ""
    notes: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    questions: tuple[QuestionResult, ...] = ()
    fingerprint: str = ""
    submitted_at: datetime | None = None
    seconds: float = 0.0
    memory_mb: float = 0.0
    file: str = field(default="", compare=False)

    @property
    def earned(self) -> float:
        """Points of the autograded questions."""
        return sum(question.earned for question in self.questions)

    @property
    def points(self) -> float:
        return sum(question.points for question in self.questions)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    data = content.encode() if isinstance(content, str) else content
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def write_result(path: Path, result: Result) -> None:
    """Keep a result as JSON."""
    body = asdict(result)
    body["submitted_at"] = result.submitted_at and result.submitted_at.isoformat()
    write_atomically(path, json.dumps(body, indent=1) + "\n")


def read_result(path: Path) -> Result | None:
    """Return a kept result, or None where there is none or the file is damaged."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        return _result(body)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _result(body: Mapping[str, Any]) -> Result:
    questions = tuple(
        QuestionResult(**{**q, "criteria": tuple(CriterionResult(**c) for c in q["criteria"])})
        for q in body["questions"]
    )
    when = body["submitted_at"]
    changed = {
        "questions": questions,
        "notes": tuple(body["notes"]),
        "flags": tuple(body["flags"]),
        "submitted_at": datetime.fromisoformat(when) if when else None,
    }
    return Result(**{**body, **changed})
