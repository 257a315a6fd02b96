"""Make the README's coverage and parity tables from the ledger.

A system counts as *built* only when a run of its notebook recorded a check for
its row. A system that is *shown* or *told* counts when its notebook has a cell
tagged ``row-N``. Nothing is claimed by hand.
"""

import csv
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from course_utils.authoring.notebooks import read_source, sources

__all__ = ["Row", "read_ledger", "read_rows", "tables", "update"]

BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"
LEVELS = ("built", "shown", "told")
_KIND_ORDER = ("value", "gradient", "trajectory", "metric", "invariant")


@dataclass(frozen=True)
class Row:
    """A system of the syllabus: its number, name, notebook and level."""

    number: int
    system: str
    notebook: str
    level: str


def read_rows(path: Path) -> list[Row]:
    """Return the rows of ``notebooks/coverage.csv``."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Row(int(r["row"]), r["system"], r["notebook"], r["level"]) for r in csv.DictReader(file)
        ]


def read_ledger(path: Path) -> dict[int, list[dict]]:
    """Return the recorded checks by row.

    Raises
    ------
    FileNotFoundError
        If there is no ledger; ``make ledger`` writes it.
    """
    if not path.exists():
        raise FileNotFoundError(f"no ledger at {path}; run `make ledger` first")
    checks = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        checks[entry["row"]].append(entry)
    return dict(checks)


def tagged_rows(root: Path) -> set[tuple[str, int]]:
    """Return (notebook, row) for every cell tagged ``row-N``."""
    return {
        (source.stem, int(tag[4:]))
        for source in sources(root)
        for cell in read_source(source).cells
        for tag in cell.metadata.get("tags", [])
        if re.fullmatch(r"row-\d+", tag)
    }


def tables(root: Path, ledger: dict[int, list[dict]]) -> str:
    """Return the Markdown of both tables for the notebooks that exist."""
    rows = read_rows(root / "notebooks" / "coverage.csv")
    written = [source.stem for source in sources(root)]
    told = tagged_rows(root)

    def is_done(row: Row) -> bool:
        if row.level == "built":
            return any(c["notebook"] == row.notebook for c in ledger.get(row.number, []))
        return (row.notebook, row.number) in told

    lines = ["| notebook | built | shown | told | checks |", "|---|---|---|---|---|"]
    for name in written:
        mine = [row for row in rows if row.notebook == name]
        cells = []
        for level in LEVELS:
            asked = [row for row in mine if row.level == level]
            done = sum(map(is_done, asked))
            cells.append(f"{done} of {len(asked)}" if asked else "-")
        count = sum(c["notebook"] == name for entries in ledger.values() for c in entries)
        lines.append(f"| `{name}` | {' | '.join(cells)} | {count} |")
    lines += ["", f"Whole course: {sum(map(is_done, rows))} of {len(rows)} systems.", ""]
    lines += ["<details><summary>Every system with a recorded check</summary>", ""]
    lines += ["| row | system | notebook | checks | loosest tolerance against a reference |"]
    lines += ["|---|---|---|---|---|"]
    for row in rows:
        entries = [c for c in ledger.get(row.number, []) if c["notebook"] == row.notebook]
        if entries:
            system = row.system.replace("|", "\\|")
            lines.append(
                f"| {row.number} | {system} | `{row.notebook}` | {_kinds(entries)} "
                f"| {_loosest(entries)} |"
            )
    return "\n".join([*lines, "", "</details>"])


def _kinds(entries: list[dict]) -> str:
    counts = [(k, sum(c["kind"] == k for c in entries)) for k in _KIND_ORDER]
    return ", ".join(f"{n} {kind}" for kind, n in counts if n)


def _loosest(entries: list[dict]) -> str:
    errors = [c["tolerance"] for c in entries if c["kind"] in _KIND_ORDER[:3]]
    if not errors:
        return "-"
    return f"{max(errors):.0e}" if max(errors) else "exact"


def update(root: Path, *, check: bool = False) -> bool:
    """Write the tables into README.md; with ``check`` only compare.

    Returns
    -------
    bool
        True when README.md already held these tables.

    Raises
    ------
    ValueError
        If README.md has lost its two marker lines.
    """
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"README.md must hold the lines {BEGIN} and {END} once each")
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    new = (
        f"{head}{BEGIN}\n{tables(root, read_ledger(root / 'build' / 'ledger.jsonl'))}\n{END}{tail}"
    )
    if new == text:
        return True
    if not check:
        readme.write_text(new, encoding="utf-8")
    return False
