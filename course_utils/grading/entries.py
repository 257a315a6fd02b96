"""Labs and submissions as rows of nbgrader's tables.

Every function works inside a transaction that its caller opened; see
`course_utils.grading.database.transact`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from nbformat import NotebookNode

from course_utils.grading.course import Item
from course_utils.grading.database import COURSE, GradebookError
from course_utils.grading.results import Result

__all__ = [
    "ManualGrade",
    "Score",
    "enter_lab",
    "enter_result",
    "manual_grades",
    "naive_utc",
    "scores",
]

NO_RESPONSE = "No response."  # nbgrader's own words for an answer that was left as it was


@dataclass(frozen=True)
class ManualGrade:
    """What a person gives: for a report, or in place of an automatic score.

    ``earned`` is None while nobody has graded it; an unanswered report has 0. ``grade_id``
    is the report's cell, or the test cell of an autograded question.
    """

    grade_id: str
    points: float
    earned: float | None
    comment: str = ""


@dataclass(frozen=True)
class Score:
    """What one student has for a lab, manual grades and extra credit included.

    ``late_seconds`` counts from the deadline, after an extension that nbgrader knows of.
    While ``needs_manual`` is True a person has to grade, or to look again.
    """

    student: str
    earned: float
    points: float
    submitted_at: datetime
    late_seconds: float
    needs_manual: bool


def naive_utc(when: datetime) -> datetime:
    """Return a time as nbgrader's tables hold it: in UTC, without saying so."""
    return when.astimezone(UTC).replace(tzinfo=None)


def enter_lab(session: Any, lab: str, item: Item, notebook: NotebookNode) -> None:
    """Enter a lab, or what has changed in it.

    Parameters
    ----------
    notebook
        With hidden tests and without solutions, as nbgrader keeps it.

    Raises
    ------
    GradebookError
        If a cell would be dropped that a person has graded.
    """
    from nbgrader import api

    assignment = _find_or_add(session, api.Assignment, name=lab)
    assignment.course_id = COURSE
    assignment.duedate = naive_utc(item.deadline) if item.deadline else None
    session.flush()
    stored = _find_or_add(session, api.Notebook, name=lab, assignment_id=assignment.id)
    stored.kernelspec = json.dumps(notebook.metadata.kernelspec)
    session.flush()
    dropped: list[Any] = []
    for kind, wanted in _wanted_cells(notebook).items():
        cells = {cell.name: cell for cell in _all(session, kind, notebook_id=stored.id)}
        for name, values in wanted.items():
            if name not in cells:
                session.add(kind(name=name, notebook_id=stored.id, **values))
                continue
            cell = cells.pop(name)
            for key, value in values.items():
                setattr(cell, key, value)
        dropped += cells.values()
    _drop(session, lab, dropped)
    session.flush()
    for submitted in _all(session, api.SubmittedNotebook, notebook_id=stored.id):
        _complete(session, submitted.id, _cells(session, stored.id))


def enter_result(
    session: Any, result: Result, unanswered: Collection[str], changed: Collection[str]
) -> None:
    """Enter the automatic scores and comments of one submission.

    Parameters
    ----------
    unanswered
        The reports, by grade_id, that are as they were given.
    changed
        The answers, by grade_id, that are other than when they were entered last.
    """
    from nbgrader import api

    notebook = _notebook(session, result.lab)
    cells = _cells(session, notebook.id)
    points, comments = _judged(result, cells, unanswered)
    if session.get(api.Student, result.student) is None:
        session.add(api.Student(id=result.student))
        session.flush()
    submission = _find_or_add(
        session,
        api.SubmittedAssignment,
        assignment_id=notebook.assignment_id,
        student_id=result.student,
    )
    submission.timestamp = naive_utc(result.submitted_at)
    session.flush()
    submitted = _find_or_add(
        session, api.SubmittedNotebook, notebook_id=notebook.id, assignment_id=submission.id
    )
    session.flush()
    _complete(session, submitted.id, cells)
    for name, grade in _rows(session, api.Grade, submitted.id, cells.graded).items():
        _set_score(grade, points[name], name.removesuffix("_test") in changed)
    for name, remark in _rows(session, api.Comment, submitted.id, cells.answers).items():
        remark.auto_comment = comments[name]


def scores(session: Any, lab: str) -> dict[str, Score]:
    """Return what each student who handed in has for a lab, by student."""
    from nbgrader import api
    from sqlalchemy import select

    assignment = session.get(api.Assignment, _notebook(session, lab).assignment_id)
    handed_in = api.SubmittedAssignment
    query = select(
        handed_in.student_id,
        handed_in.score,
        handed_in.timestamp,
        handed_in.extension,
        handed_in.needs_manual_grade,
    ).where(handed_in.assignment_id == assignment.id, handed_in.timestamp.is_not(None))
    found = {}
    for student, earned, when, extension, needs_manual in session.execute(query):
        late = 0.0
        if assignment.duedate is not None:
            deadline = assignment.duedate + (extension or timedelta())
            late = max(0.0, (when - deadline).total_seconds())
        points, when = float(assignment.max_score), when.replace(tzinfo=UTC)
        found[student] = Score(student, float(earned), points, when, late, bool(needs_manual))
    return dict(sorted(found.items()))


def manual_grades(session: Any, student: str, lab: str) -> list[ManualGrade]:
    """Return a student's reports, and the automatic scores that a person replaced."""
    from nbgrader import api
    from sqlalchemy import select

    notebook = _notebook(session, lab)
    submitted = session.scalars(
        select(api.SubmittedNotebook)
        .join(api.SubmittedNotebook.assignment)
        .where(
            api.SubmittedAssignment.student_id == student,
            api.SubmittedNotebook.notebook_id == notebook.id,
        )
    ).one_or_none()
    if submitted is None:
        return []
    cells = _cells(session, notebook.id)
    points = {c.name: c.max_score for c in _all(session, api.GradeCell, notebook_id=notebook.id)}
    remarks = _rows(session, api.Comment, submitted.id, cells.answers)
    found = []
    for name, grade in _rows(session, api.Grade, submitted.id, cells.graded).items():
        is_by_hand = grade.manual_score is not None or grade.extra_credit is not None
        if name in cells.answers or is_by_hand:
            earned = grade.auto_score if grade.manual_score is None else grade.manual_score
            if earned is not None:
                earned += grade.extra_credit or 0.0
            remark = remarks.get(name.removesuffix("_test"))
            said = remark and (remark.manual_comment or remark.auto_comment)
            found.append(ManualGrade(name, points[name], earned, said or ""))
    return found


class _Cells(NamedTuple):
    """The ids of a notebook's cells, by name: those with points, and those students write in."""

    graded: dict[str, str]
    answers: dict[str, str]


def _wanted_cells(notebook: NotebookNode) -> dict[Any, dict[str, dict[str, Any]]]:
    """Return what each table of cells has to hold, by the name of the cell."""
    from nbgrader import api, utils

    graded, answers, sources = {}, {}, {}
    for cell in notebook.cells:
        if not (utils.is_grade(cell) or utils.is_solution(cell) or utils.is_locked(cell)):
            continue
        settings = cell.metadata.nbgrader
        if utils.is_grade(cell):
            points = float(settings.points)
            graded[settings.grade_id] = {"max_score": points, "cell_type": cell.cell_type}
        if utils.is_solution(cell):
            answers[settings.grade_id] = {}
        sources[settings.grade_id] = {
            "cell_type": cell.cell_type,
            "locked": utils.is_locked(cell),
            "source": cell.source,
            "checksum": settings.checksum,
        }
    return {api.GradeCell: graded, api.SolutionCell: answers, api.SourceCell: sources}


def _drop(session: Any, lab: str, cells: Sequence[Any]) -> None:
    """Delete cells with their automatic scores; refuse where a person gave something."""
    from nbgrader import api
    from sqlalchemy import delete, or_, select

    ids = [cell.id for cell in cells]
    grade, comment = api.Grade, api.Comment
    by_hand = or_(grade.manual_score.is_not(None), grade.extra_credit.is_not(None))
    kept = {
        *session.scalars(select(grade.cell_id).where(grade.cell_id.in_(ids), by_hand)),
        *session.scalars(
            select(comment.cell_id).where(
                comment.cell_id.in_(ids), comment.manual_comment.is_not(None)
            )
        ),
    }
    if kept:
        names = ", ".join(sorted({cell.name for cell in cells if cell.id in kept}))
        raise GradebookError(
            f"{lab} has no cell {names} any more, and a person has graded it: put it back, or "
            "empty its scores and comments in the form grader first"
        )
    for kind in (grade, comment):
        session.execute(delete(kind).where(kind.cell_id.in_(ids)))
    for cell in cells:
        session.delete(cell)


def _judged(
    result: Result, cells: _Cells, unanswered: Collection[str]
) -> tuple[dict[str, float | None], dict[str, str | None]]:
    """Return the automatic score of every graded cell and the comment on every answer.

    None as a score leaves it to a person.
    """
    if result.status == "unreadable":
        return dict.fromkeys(cells.graded, 0.0), dict.fromkeys(cells.answers, _plain(result.reason))
    reports = cells.graded.keys() & cells.answers.keys()
    points = {f"{question.id}_test": question.earned for question in result.questions}
    if points.keys() != cells.graded.keys() - reports:
        differing = ", ".join(sorted(points.keys() ^ (cells.graded.keys() - reports)))
        raise GradebookError(
            f"{result.lab} was graded with other questions than the gradebook knows ({differing}): "
            "release it again, then grade again"
        )
    comments = {question.id: _plain(question.message) or None for question in result.questions}
    # What one part lacks may stand in another: only a report that is empty throughout needs nobody.
    is_empty = reports <= set(unanswered)
    for name in reports:
        points[name] = 0.0 if is_empty else None
        comments[name] = NO_RESPONSE if is_empty else None
    return points, {name: comments.get(name) for name in cells.answers}


def _set_score(grade: Any, points: float | None, is_changed: bool) -> None:
    """Set an automatic score; a grade by hand stays, to be looked at again where work changed."""
    is_changed = is_changed or grade.auto_score != points
    grade.auto_score = points
    if grade.manual_score is None:
        grade.needs_manual_grade = points is None
    else:
        grade.needs_manual_grade = grade.needs_manual_grade or is_changed


def _notebook(session: Any, lab: str) -> Any:
    from nbgrader import api
    from sqlalchemy import select

    query = select(api.Notebook).join(api.Notebook.assignment)
    query = query.where(api.Assignment.name == lab, api.Notebook.name == lab)
    found = session.scalars(query).one_or_none()
    if found is None:
        raise GradebookError(f"the gradebook holds no lab {lab}: run `course grade {lab}` first")
    return found


def _cells(session: Any, notebook_id: str) -> _Cells:
    from nbgrader import api

    return _Cells(
        {cell.name: cell.id for cell in _all(session, api.GradeCell, notebook_id=notebook_id)},
        {cell.name: cell.id for cell in _all(session, api.SolutionCell, notebook_id=notebook_id)},
    )


def _complete(session: Any, submitted_id: str, cells: _Cells) -> None:
    """Add the grades and comments that a submission lacks, as after a new question."""
    from nbgrader import api

    for kind, ids in ((api.Grade, cells.graded), (api.Comment, cells.answers)):
        for name in ids.keys() - _rows(session, kind, submitted_id, ids).keys():
            session.add(kind(notebook_id=submitted_id, cell_id=ids[name]))
    session.flush()


def _rows(session: Any, kind: Any, submitted_id: str, ids: Mapping[str, str]) -> dict[str, Any]:
    """Return a submission's grades or comments by cell, held until the transaction ends."""
    from sqlalchemy import select

    query = select(kind).where(kind.notebook_id == submitted_id).order_by(kind.id)
    found = {row.cell_id: row for row in session.scalars(query.with_for_update(of=kind))}
    return {name: found[cell_id] for name, cell_id in sorted(ids.items()) if cell_id in found}


def _all(session: Any, kind: Any, **values: Any) -> list[Any]:
    from sqlalchemy import select

    return list(session.scalars(select(kind).filter_by(**values)))


def _find_or_add(session: Any, kind: Any, **values: Any) -> Any:
    found = _all(session, kind, **values)
    if found:
        return found[0]
    row = kind(**values)
    session.add(row)
    return row


def _plain(text: str) -> str:
    """Return text as any database takes it: PostgreSQL refuses NUL, and no one half letters."""
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
