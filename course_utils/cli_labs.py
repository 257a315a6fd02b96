"""The commands of ``course`` for labs: release, check, grade, feedback, export, similar.

Nothing heavy is imported until a command needs it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from course_utils.grading.course import Course
    from course_utils.grading.results import Result

__all__ = ["add_commands"]

STATUS_COLOURS = {"graded": "green", "unreadable": "yellow", "failed": "red"}

LabName = Annotated[str, typer.Argument(metavar="LAB", help="A lab's name, such as lab1_cnn.")]
Folder = Annotated[
    Path,
    typer.Option(
        envvar="COURSE_GRADING", help="The grading folder: submissions, scores, feedback."
    ),
]
Labs = Annotated[
    Path | None, typer.Option(help="The folder of course.toml and the labs.", show_default=False)
]
Db = Annotated[
    str | None,
    typer.Option(
        envvar="COURSE_GRADEBOOK",
        help="Address of the gradebook, such as postgresql://... Default: SQLite in the folder.",
        show_default=False,
    ),
]
GRADING = Path("grading")


class SandboxChoice(StrEnum):
    """What stands between submissions and this machine."""

    bubblewrap = "bubblewrap"
    none = "none"


class Format(StrEnum):
    """Whom the marks are written for."""

    csv = "csv"
    canvas = "canvas"
    moodle = "moodle"


def add_commands(app: typer.Typer) -> None:
    """Add the commands to the command line ``course``."""
    for command in (release, check, grade, feedback, export, similar):
        app.command()(command)


def release(
    lab: LabName,
    archive: Annotated[
        Path | None, typer.Option("--zip", help="Where the zip goes. Default: build/LAB.zip.")
    ] = None,
    labs: Labs = None,
) -> None:
    """Make what students get: the notebook without solutions, its public checks, a zip."""
    with _plain_errors():
        from course_utils.grading.lab import read_lab
        from course_utils.grading.release import write_release

        folder, _ = _course(labs, lab)
        target = archive or Path("build") / f"{lab}.zip"
        written = write_release(read_lab(folder / lab), folder / lab / "release", target)
    _table(("file", "size"), [(str(p), f"{p.stat().st_size / 1000:.1f} KB") for p in written])
    typer.echo("Scanned: no solution, hidden test or known answer is in it.")


def check(
    lab: LabName,
    notebook: Annotated[Path, typer.Argument(help="Your notebook.")],
    labs: Labs = None,
) -> None:
    """Run the public checks of a lab on your notebook, as you have saved it.

    The exit status is 1 while a public check fails.
    """
    with _plain_errors():
        from course_utils.grading.runs import check_at_home

        folder, course = _course(labs, lab)
        found = check_at_home(course, folder, lab, notebook)
    for number, result in enumerate(found.results, 1):
        typer.echo(f"{number}. {result.title}: {_points(result.earned, result.points)}")
        for remark in result.remarks:
            typer.echo(f"   {remark}")
    for note in found.notes:
        typer.echo(f"Note: {note}")
    if found.unchecked:
        typer.echo(f"Graded only after you hand in: {', '.join(found.unchecked)}.")
    earned = sum(result.earned for result in found.results)
    points = sum(result.points for result in found.results)
    typer.echo(
        f"{earned:g} of {points:g} points in the public checks. The graded cases are other ones."
    )
    raise typer.Exit(0 if earned == points else 1)


def grade(
    lab: LabName,
    source: Annotated[
        Path, typer.Argument(metavar="FOLDER_OR_ZIP", help="What the platform handed out.")
    ],
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes on this machine. Default: one for each usable core."),
    ] = None,
    cluster: Annotated[str, typer.Option(help="Address of a dask scheduler instead.")] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep what is graded for the same bytes.")
    ] = False,
    sandbox: Annotated[
        SandboxChoice,
        typer.Option(help="`none` runs submissions with all your rights: for your own files only."),
    ] = SandboxChoice.bubblewrap,
    folder: Folder = GRADING,
    db: Db = None,
    labs: Labs = None,
) -> None:
    """Grade submissions in a sandbox and write their scores into the gradebook.

    The exit status is 1 when a submission has no score: the table says why.
    """
    with _plain_errors():
        from joblib import cpu_count  # it knows of quotas and affinities
        from tqdm import tqdm

        from course_utils.grading.returns import say_strangers
        from course_utils.grading.roster import read_students
        from course_utils.grading.runs import GradingRun
        from course_utils.grading.workspace import Workspace

        where, course = _course(labs, lab)
        workspace = Workspace(folder)
        workers = workers or cpu_count()
        run = GradingRun(course, where, lab, workspace, db, workers, cluster, resume, sandbox.value)
        results = []
        with workspace.lock():
            jobs = run.jobs(source)
            try:
                for result in tqdm(run.results(jobs), total=len(jobs), desc=lab, unit="notebook"):
                    results.append(result)
            except KeyboardInterrupt:
                typer.echo(
                    f"Stopped after {len(results)} of {len(jobs)}. What is graded is kept; "
                    "the same command with --resume goes on.",
                    err=True,
                )
                raise typer.Exit(130) from None
        students = read_students(folder / "students.csv")
    for stranger in say_strangers(students, [result.student for result in results]):
        typer.echo(f"Note: {stranger}", err=True)
    _report(results, course, lab)


def feedback(lab: LabName, folder: Folder = GRADING, db: Db = None, labs: Labs = None) -> None:
    """Write one HTML page a student: scores, reasons, own cells, comments by hand."""
    with _plain_errors():
        from tqdm import tqdm

        from course_utils.grading.returns import write_feedback
        from course_utils.grading.workspace import Workspace

        where, course = _course(labs, lab)
        rows = []
        for page in tqdm(
            write_feedback(course, where, lab, Workspace(folder), db), desc=lab, unit="page"
        ):
            rows.append((page.student, page.points, page.state, str(page.path)))
    _table(("student", "points", "state", "page"), rows)


def export(
    format: Annotated[Format, typer.Option(help="Whom the file is for.")] = Format.csv,
    output: Annotated[
        Path | None, typer.Option(help="Default: marks-FORMAT.csv in the grading folder.")
    ] = None,
    folder: Folder = GRADING,
    db: Db = None,
    labs: Labs = None,
) -> None:
    """Write the marks of the course: weights, late work, excused and missing work applied."""
    with _plain_errors():
        from course_utils.grading.returns import write_marks
        from course_utils.grading.workspace import Workspace

        _, course = _course(labs, None)
        target = output or folder / f"marks-{format.value}.csv"
        everyone, problems = write_marks(course, Workspace(folder), db, format.value, target)
    rows = [
        (
            own.student.student,
            "-" if own.so_far is None else f"{own.so_far:.1f}",
            "-" if own.total is None else f"{own.total:.1f}",
            ", ".join(f"{mark.item}: {mark.state}" for mark in own.items if mark.state != "open"),
        )
        for own in everyone
    ]
    _table(("student", "so far (%)", "total of 100", "items"), rows)
    for problem in problems:
        typer.echo(f"Note: {problem}", err=True)
    typer.echo(f"Written: {target}")


def similar(lab: LabName, folder: Folder = GRADING, labs: Labs = None) -> None:
    """List pairs of answers that are suspiciously alike, for a person to judge."""
    with _plain_errors():
        from course_utils.grading.returns import write_similar
        from course_utils.grading.workspace import Workspace

        where, _ = _course(labs, lab)
        pairs, page = write_similar(where, lab, Workspace(folder))
    rows = [(pair.question, *pair.students, f"{pair.score:.2f}") for pair in pairs]
    _table(("question", "student", "student", "alike"), rows)
    typer.echo(f"{len(pairs)} pairs. Side by side: {page}" if pairs else "No pair stands out.")


def _course(labs: Path | None, lab: str | None) -> tuple[Path, Any]:
    """Return the folder of the labs and the course; a lab that is named must exist."""
    from course_utils.grading.course import ASSIGNMENTS, CourseError, read_course

    folder = labs or ASSIGNMENTS
    course = read_course(folder / "course.toml")
    if lab is not None:
        course.lab(lab)
        if not (folder / lab).is_dir():
            raise CourseError(f"{lab} is in course.toml, but there is no folder {folder / lab}")
    return folder, course


def _report(results: "Sequence[Result]", course: "Course", lab: str) -> None:
    """Print one row a submission, and count; exit with 1 when one has no score."""
    from course_utils.grading.export import days_late

    rows, deadline = [], course.lab(lab).deadline
    for result in sorted(results, key=lambda result: result.student):
        remarks = [result.reason, *result.notes, *(f"LOOK: {flag}" for flag in result.flags)]
        if deadline is not None and result.submitted_at is not None:
            seconds = (result.submitted_at - deadline).total_seconds()
            if days := days_late(seconds, course.late):
                remarks.insert(0, f"Late: day {days}.")
        said = " ".join(filter(None, remarks))
        points = "-" if result.status == "failed" else _points(result.earned, result.points)
        rows.append((result.student, points, result.status, said))
    _table(("student", "points", "state", "remarks"), rows, colour=2)
    states = [result.status for result in results]
    typer.echo(
        f"{len(results)} submissions: {states.count('graded')} graded, "
        f"{states.count('unreadable')} unreadable (no points), {states.count('failed')} failed."
    )
    if states.count("failed"):
        typer.echo("Mend what the table says and run it again with --resume.", err=True)
        raise typer.Exit(1)


def _points(earned: float, points: float) -> str:
    return f"{earned:.3g} of {points:g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], colour: int | None = None) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*head)
    for row in rows:
        cells = [Text(str(cell), overflow="fold") for cell in row]
        if colour is not None:
            cells[colour].stylize(STATUS_COLOURS[str(row[colour])])
        table.add_row(*cells)
    Console().print(table)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Turn a mistake of the user, or of the machine, into a sentence and an exit status."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, typer.Exit | KeyboardInterrupt):
            raise
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(2 if isinstance(error, ValueError) else 1) from None
    except ImportError as error:
        typer.echo(
            f"Error: {error}. Grading needs more packages: run `make grading`, or "
            "`pip install -e '.[grading]' -c constraints.txt`.",
            err=True,
        )
        raise typer.Exit(1) from None
