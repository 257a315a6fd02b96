"""The command ``course``: look after the machine, the data and the labs of the course.

Nothing heavy is imported until a command needs it, so that help is quick and
``course doctor`` works where torch is missing.
"""

import warnings
from typing import TYPE_CHECKING, Annotated

import typer

from course_utils.cli_labs import add_commands

if TYPE_CHECKING:
    from course_utils.data import Fetched
    from course_utils.doctor import Finding

__all__ = ["app"]

COLOURS = {
    "ok": "green",
    "cached": "green",
    "fetched": "green",
    "built in": "green",
    "warning": "yellow",
    "problem": "red",
    "stand-in": "red",
}

app = typer.Typer(
    name="course",
    help="Look after the machine, the data and the labs of the deep-learning course.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def doctor() -> None:
    """Say what would go wrong on this machine, and how to mend it.

    The exit status is 1 when there is a problem; a warning leaves it at 0.
    """
    from course_utils.doctor import examine

    findings = examine()
    _print_findings(findings)
    states = [finding.state for finding in findings]
    problems, cautions = states.count("problem"), states.count("warning")
    typer.echo(f"{_count(problems, 'problem')}, {_count(cautions, 'warning')}.")
    raise typer.Exit(code=1 if problems else 0)


@app.command()
def data(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets to fetch; all of them when none is named.")
    ] = None,
) -> None:
    """Fetch the data sets of the course, so that it runs without a network.

    The exit status is 1 when a data set cannot be had or cannot be kept.
    """
    from course_utils.data import DATASETS, CacheWarning, check_name, fetch_all
    from course_utils.data.cache import cache_directory, is_writable

    try:
        for name in names or ():
            check_name(name)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="NAMES") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", CacheWarning)
            warnings.showwarning = _show_warning
            fetched = list(fetch_all(names or DATASETS))
    except KeyboardInterrupt:
        typer.echo("Stopped. What was fetched so far is kept; run it again to go on.", err=True)
        raise typer.Exit(code=130) from None
    typer.echo(f"Data cache: {cache_directory()}")
    _print_fetched(fetched)
    lost = any(one.state == "fetched" for one in fetched) and not is_writable(cache_directory())
    raise typer.Exit(code=_report(fetched, lost))


add_commands(app)


def _report(fetched: "list[Fetched]", lost: bool) -> int:
    """Say on the error stream what is missing and why; return the exit status."""
    missing = [one for one in fetched if one.state == "stand-in"]
    for one in missing:
        typer.echo(f"\n{one.name}: only a synthetic stand-in is there. {one.reason}", err=True)
    if missing:
        typer.echo(
            "\nRemedy: connect to the network and run `course data` again. Behind a proxy, set "
            "HTTPS_PROXY; where pip has a mirror, name it in pip's own settings.",
            err=True,
        )
    if lost:
        typer.echo("\nWhat was fetched could not be kept: see the warning above.", err=True)
    return 1 if missing or lost else 0


def _print_findings(findings: "list[Finding]") -> None:
    """Print one row for each check: its state, what it means, the remedy."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("check", "state", "what it means", show_lines=True)
    for finding in findings:
        meaning = Text(finding.message)
        if finding.remedy:
            meaning.append(f"\nRemedy: {finding.remedy}", style="bold")
        table.add_row(finding.name, Text(finding.state, COLOURS[finding.state]), meaning)
    Console().print(table)


def _print_fetched(fetched: "list[Fetched]") -> None:
    """Print one row for each data set."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "size", "source", "licence", "state", show_lines=True)
    for one in fetched:
        size = f"{one.size / 1e6:.1f} MB" if one.size else "-"
        state = Text(one.state, COLOURS[one.state], overflow="fold")
        if one.origin:
            state.append(f"\n{one.origin}", style="default")
        table.add_row(one.name, size, Text(one.source), Text(one.licence), state)
    Console().print(table)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as a sentence, without the line of code that gave it."""
    typer.echo(f"Warning: {message}", err=True)


def _count(number: int, thing: str) -> str:
    return f"{number or 'no'} {thing}{'' if number == 1 else 's'}"
