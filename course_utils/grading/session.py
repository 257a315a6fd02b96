"""Run one submission: its cells, then every question's cases, whatever the code does.

The student's process may hang, die, lie, flood or swell. Each request has its time, each
reply its size, the process tree its memory; what breaks one is ended and started again
without the cell that broke it.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from course_utils.grading.course import Limits
from course_utils.grading.judging import Outcome
from course_utils.grading.questions import Case, PreparedQuestion
from course_utils.grading.repair import Step
from course_utils.grading.sandbox import Sandbox
from course_utils.grading.student_process import GRACE_SECONDS, SessionError, StudentProcess
from course_utils.grading.values import encode

__all__ = ["Run", "SessionError", "run_submission"]

SPARE_STARTS = 8  # of processes, for cells that break one
OWN_SHARE = 0.25  # of the time for the notebook, which a student's own cells may take
GONE = ("timeout", "died")
FORBIDDEN = "ForbiddenOperator"


@dataclass
class Run:
    """What came of one submission.

    ``outcomes`` lists for each question the outcomes of its cases by criterion;
    ``cells`` the cells that did not run through, by id.
    """

    outcomes: dict[str, list[list[Outcome]]] = field(default_factory=dict)
    cells: dict[str, Outcome] = field(default_factory=dict)
    memory_mb: float = 0.0


def run_submission(
    steps: Sequence[Step],
    questions: Mapping[str, PreparedQuestion],
    public: Mapping[str, PreparedQuestion],
    *,
    sandbox: Sandbox,
    limits: Limits,
    absent: Sequence[str] = (),
) -> Run:
    """Run cells and cases of one submission; always returns.

    Parameters
    ----------
    public
        Public cases: the first of each question runs before any hidden one, so that the
        text of an exception can be told without a hidden value in it.

    Raises
    ------
    SessionError
        If not even an empty process starts.
    """
    return asyncio.run(_Grading(sandbox, limits, absent, steps).run(questions, public))


class _Grading:
    """The course of one submission's run, over as many processes as it takes."""

    def __init__(
        self, sandbox: Sandbox, limits: Limits, absent: Sequence[str], steps: Sequence[Step]
    ) -> None:
        self.sandbox, self.limits, self.absent, self.steps = sandbox, limits, absent, steps
        self.result, self.cells = Run(), {}
        self.forbids: list[str] = []
        self.ends_at = time.monotonic() + limits.notebook_seconds
        self.starts_left = 0
        self.process: StudentProcess | None = None

    async def run(
        self, questions: Mapping[str, PreparedQuestion], public: Mapping[str, PreparedQuestion]
    ) -> Run:
        # Questions that forbid operators go into a process that never had them.
        for strict in (False, True):
            names = [n for n, q in questions.items() if bool(q.question.forbids) == strict]
            self.forbids = sorted({o for n in names for o in questions[n].question.forbids})
            self.starts_left = SPARE_STARTS + len(names)  # a bad question costs one
            self.cells = {k: o for k, o in self.cells.items() if o.state in GONE}
            try:
                tried = {name: await self._try(public[name]) for name in names if name in public}
                for name in names:
                    outcomes = await self._question(questions[name], tried.get(name))
                    self.result.outcomes[name] = outcomes
            finally:
                await self._stop()
            for name, outcome in self.cells.items():
                if outcome.detail != FORBIDDEN:
                    self.result.cells.setdefault(name, outcome)
        return self.result

    async def _try(self, prepared: PreparedQuestion) -> Outcome | None:
        """Run the first public case, if there is one."""
        cases = [case for criterion in prepared.criteria for case in criterion.cases]
        return await self._case(prepared, cases[0]) if cases else None

    async def _question(
        self, prepared: PreparedQuestion, tried: Outcome | None
    ) -> list[list[Outcome]]:
        outcomes: list[list[Outcome]] = []
        # What ends the process ends the question, so that it does so only once.
        lost = tried if tried is not None and tried.state in GONE else None
        said = _told(tried) if tried is not None and tried.state == "raised" else ""
        for criterion in prepared.criteria:
            row = []
            for case in criterion.cases:
                outcome = lost or await self._case(prepared, case)
                if outcome.state in GONE:
                    lost = outcome
                row.append(self._explained(prepared.question.id, outcome, said))
            outcomes.append(row)
        return outcomes

    def _explained(self, question: str, outcome: Outcome, said: str) -> Outcome:
        """Add what may be told of an exception: what its own cell or a public case raised."""
        if outcome.state != "raised":
            return outcome
        cell = self.cells.get(question)
        if outcome.detail == "NameError" and cell is not None:
            if cell.detail == FORBIDDEN:
                return Outcome("forbidden")
            return Outcome("missing", None, cell.detail, said=_told(cell))
        if outcome.detail == "MemoryError":
            return Outcome("died")
        return replace(outcome, said=said if said.partition(":")[0] == outcome.detail else "")

    async def _case(self, prepared: PreparedQuestion, case: Case) -> Outcome:
        question = prepared.question
        process = await self._ready()
        if process is None:
            return Outcome("unrun")
        request = {
            "do": "call",
            "program": question.program,
            "inputs": {name: encode(value) for name, value in case.inputs.items()},
            "keeps_inputs": question.keeps_inputs,
        }
        outcome = await self._ask(process, request, question.seconds or self.limits.call_seconds)
        is_over = outcome.state == "timeout" and time.monotonic() > self.ends_at
        return Outcome("unrun") if is_over else outcome

    async def _ready(self) -> "StudentProcess | None":
        """Return a process in which all cells have run, or None when time or starts are used up."""
        while self.process is None:
            if self.starts_left <= 0 or time.monotonic() > self.ends_at:
                return None
            self.starts_left -= 1
            self.process = await StudentProcess.start(
                self.sandbox.command(self.limits, self.absent, self.forbids),
                self.sandbox.environment(),
                self.limits,
            )
            await self._run_cells()
        return self.process

    async def _run_cells(self) -> None:
        """Run all cells in a new process, as far as it lives."""
        left = OWN_SHARE * self.limits.notebook_seconds
        for step in self.steps:
            before = self.cells.get(step.id)
            if before is not None and before.state in GONE:
                continue
            seconds, started = self.limits.cell_seconds, time.monotonic()
            if step.kind == "added":
                seconds = min(seconds, left)
                if seconds <= 0:  # the questions need what time there is
                    self.cells[step.id] = Outcome("unrun")
                    continue
            outcome = await self._ask(self.process, {"do": "cell", "source": step.source}, seconds)
            if step.kind == "added":
                left -= time.monotonic() - started
            if outcome.detail == "MemoryError":
                # What it has taken would starve the questions: start again without it.
                outcome = Outcome("died")
                await self._stop()
            if outcome.state != "value":
                self.cells[step.id] = outcome
            if self.process is None:
                break

    async def _ask(
        self, process: "StudentProcess", request: Mapping[str, Any], seconds: float
    ) -> Outcome:
        seconds = max(0.1, min(seconds, self.ends_at - time.monotonic()))
        outcome = await process.ask({**request, "seconds": seconds}, seconds + GRACE_SECONDS)
        if not process.is_usable:
            await self._stop()
        return outcome

    async def _stop(self) -> None:
        if self.process is not None:
            process, self.process = self.process, None
            await process.stop()
            self.result.memory_mb = max(self.result.memory_mb, process.memory_mb)


def _told(cell: Outcome) -> str:
    if cell.state == "raised":
        return f"{cell.detail}: {cell.text}" if cell.text else cell.detail
    return "it does not finish" if cell.state == "timeout" else "it ends the process"
