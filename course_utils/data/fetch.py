"""Get a data file: from the cache, or else from the first source that has it."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from tqdm.auto import tqdm

from course_utils.data.cache import CacheWarning, Damaged, DataFile, look_up, store
from course_utils.data.sources import SourceFailed, Staging

__all__ = ["Attempt", "Obtained", "Unavailable", "obtain_all"]


@dataclass(frozen=True)
class Attempt:
    """A source that was tried, and why it gave nothing."""

    source: str
    reason: str

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


@dataclass(frozen=True)
class Obtained:
    """A whole file's content and where it came from (``"cache"`` or a source's label)."""

    content: bytes
    origin: str


class Unavailable(Exception):
    """No source could give the file; ``attempts`` says what each of them answered."""

    def __init__(self, file: DataFile, attempts: list[Attempt]) -> None:
        self.file = file
        self.attempts = attempts
        tried = "\n".join(f"  - {attempt}" for attempt in attempts)
        super().__init__(f"{file.path} could not be had. Tried:\n{tried}")


def obtain_all(files: Sequence[DataFile], staging: Staging | None = None) -> list[Obtained]:
    """Return every file's content, fetching what the cache lacks, with a progress bar.

    Raises
    ------
    Unavailable
        For the first file that no source can give: the rest would be of no use.
    """
    found = [_from_cache(file) for file in files]
    if all(found):
        return found
    with staging or Staging() as place, tqdm(total=len(files), unit="file", leave=False) as bar:
        for index, file in enumerate(files):
            bar.set_description(file.path, refresh=False)
            found[index] = found[index] or _fetch(file, place, bar)
            bar.update()
    return found


def _from_cache(file: DataFile) -> Obtained | None:
    """Look into the cache, and say aloud when what lies there is damaged."""
    content, problem = look_up(file)
    if content is not None:
        return Obtained(content, "cache")
    if problem:
        warnings.warn(f"{problem}. It is fetched again.", CacheWarning, stacklevel=2)
    return None


def _fetch(file: DataFile, staging: Staging, bar: tqdm) -> Obtained:
    """Try the sources in order; keep what each failure said."""
    attempts = [Attempt("cache", look_up(file)[1] or "not there")]
    for source in file.sources:
        bar.set_postfix_str(source.label)
        try:
            path = store(source.fetch(staging), file)
        except (SourceFailed, Damaged) as failure:
            attempts.append(Attempt(source.label, str(failure)))
        except OSError as error:
            attempts.append(Attempt(source.label, f"cannot be stored: {error}"))
        else:
            return Obtained(path.read_bytes(), source.label)
    raise Unavailable(file, attempts)
