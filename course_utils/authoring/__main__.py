"""Command line for authors: ``python -m course_utils.authoring --help``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from tqdm import tqdm

from course_utils.authoring import coverage as tables
from course_utils.authoring import notebooks as books

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "build" / "ledger.jsonl"
app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
console = Console()


def _chosen(names: list[str]) -> list[Path]:
    found = books.sources(ROOT)
    if not names:
        return found
    unknown = set(names) - {source.stem for source in found}
    if unknown:
        known = ", ".join(source.stem for source in found)
        raise typer.BadParameter(f"no such notebook: {', '.join(unknown)}; there are {known}")
    return [source for source in found if source.stem in names]


def _forget(names: set[str]) -> None:
    """Drop the ledger's entries of these notebooks, keep the others'."""
    LEDGER.parent.mkdir(exist_ok=True)
    if LEDGER.exists():
        lines = LEDGER.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = [line for line in lines if not any(f'"notebook": "{n}"' in line for n in names)]
        LEDGER.write_text("".join(kept), encoding="utf-8")


@app.command()
def notebooks(names: Annotated[list[str] | None, typer.Argument()] = None) -> None:
    """Execute the sources into notebooks/NAME.ipynb and record their checks."""
    chosen = _chosen(names or [])
    _forget({source.stem for source in chosen})
    for source in tqdm(chosen, desc="notebooks"):
        seconds = books.build(source, ledger=LEDGER)
        size = source.parent.parent.joinpath(f"{source.stem}.ipynb").stat().st_size
        tqdm.write(f"{source.stem}: {seconds:.1f} s, {size / 1000:.0f} KB")


@app.command()
def coverage(check: Annotated[bool, typer.Option(help="Compare, do not write.")] = False) -> None:
    """Write the README's coverage and parity tables from the ledger."""
    same = tables.update(ROOT, check=check)
    if check and not same:
        console.print("README.md differs from the ledger: run `make ledger coverage`.", style="red")
        raise typer.Exit(1)
    console.print("README.md agrees with the ledger." if same else "README.md is written.")


if __name__ == "__main__":
    app()
