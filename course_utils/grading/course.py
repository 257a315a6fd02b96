"""What ``assignments/course.toml`` says: labs, weights, deadlines, limits, late work."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

__all__ = ["ASSIGNMENTS", "Course", "CourseError", "Item", "Late", "Limits", "read_course"]

ASSIGNMENTS = Path(__file__).parents[2] / "assignments"


class CourseError(ValueError):
    """course.toml is missing or says something that cannot be."""


@dataclass(frozen=True)
class Limits:
    """What one submission may take. Times are in seconds of wall time."""

    cell_seconds: float = 20
    call_seconds: float = 10
    notebook_seconds: float = 120
    memory_mb: int = 2048
    processes: int = 64
    files: int = 256
    disk_mb: int = 64
    notebook_mb: int = 20


@dataclass(frozen=True)
class Late:
    """What late work costs: percent of the mark for each day begun, until nothing counts."""

    percent_per_day: float = 10
    days: int = 5
    grace_minutes: float = 0


@dataclass(frozen=True)
class Item:
    """Something that counts towards the mark. ``deadline`` has a time zone, or is None.

    ``absent`` names packages that a lab is graded without.
    """

    name: str
    title: str
    weight: float
    deadline: datetime | None = None
    is_lab: bool = True
    absent: tuple[str, ...] = ()
    limits: Limits = Limits()


@dataclass(frozen=True)
class Course:
    title: str
    items: Mapping[str, Item]
    late: Late

    def lab(self, name: str) -> Item:
        """Return a lab by its name.

        Raises
        ------
        CourseError
            If course.toml has no such lab.
        """
        labs = [item.name for item in self.items.values() if item.is_lab]
        if name not in labs:
            raise CourseError(f"no lab {name!r} in course.toml; there are {', '.join(labs)}")
        return self.items[name]


def read_course(path: Path) -> Course:
    """Read and validate ``course.toml``.

    Raises
    ------
    CourseError
        If the file is missing or malformed, a name is unknown, or weights do not sum to 100.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CourseError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise CourseError(f"{path} is not TOML: {error}") from None
    limits = _filled(Limits, content.get("limits", {}), path)
    items = {}
    for kind in ("labs", "others"):
        for name, body in content.get(kind, {}).items():
            items[name] = _item(name, dict(body), kind == "labs", limits, path)
    total = sum(item.weight for item in items.values())
    if abs(total - 100) > 1e-9:
        raise CourseError(f"{path}: the weights sum to {total:g}, expected 100")
    late = _filled(Late, content.get("late", {}), path)
    return Course(str(content.get("title", "Course")), items, late)


def _item(name: str, body: dict[str, Any], is_lab: bool, limits: Limits, path: Path) -> Item:
    own = body.pop("limits", {})
    body["absent"] = tuple(body.get("absent", ()))
    unknown = set(body) - {"title", "weight", "deadline", "absent"}
    if unknown or "title" not in body or "weight" not in body:
        raise CourseError(
            f"{path}: {name} takes title, weight, deadline, absent and limits; "
            f"{'unknown: ' + ', '.join(sorted(unknown)) if unknown else 'title or weight missing'}"
        )
    deadline = body.get("deadline")
    if deadline is not None and getattr(deadline, "tzinfo", None) is None:
        raise CourseError(f"{path}: the deadline of {name} needs a time zone, such as +08:00")
    merged = _filled(Limits, {**vars(limits), **own}, path)
    return Item(name=name, is_lab=is_lab, limits=merged, **body)


def _filled(kind: type, body: Mapping[str, Any], path: Path) -> Any:
    """Make a dataclass of numbers from a table, all of them positive or zero."""
    known = {field.name for field in fields(kind)}
    if unknown := set(body) - known:
        raise CourseError(
            f"{path}: unknown setting {', '.join(sorted(unknown))}; "
            f"there are {', '.join(sorted(known))}"
        )
    for name, value in body.items():
        if type(value) not in (int, float) or value < 0:
            raise CourseError(f"{path}: {name} is {value!r}, expected a number from 0 up")
    return kind(**body)
