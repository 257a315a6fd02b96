"""Make a folder an nbgrader course directory, and find which gradebook belongs to it."""

from pathlib import Path

from course_utils.grading.database import (
    GradebookError,
    is_same_database,
    resolve_url,
    safe_url,
)
from course_utils.grading.results import write_atomically

__all__ = ["gradebook_url", "prepare_folder"]

CONFIG = "nbgrader_config.py"
FOLDERS = ("source", "release", "submitted", "autograded", "feedback", "results")
TEMPLATE = '''"""nbgrader's settings for this grading folder, written once: edit them freely.

The form grader reads this file when JupyterLab is started in this folder.
"""

from pathlib import Path

c = get_config()  # noqa: F821
c.CourseDirectory.root = str(Path(__file__).resolve().parent)
{database}
# The page *Manage Assignments* would show these settings, a password among them.
c.FormgradeExtension.debug = False

# Stock nbgrader runs students' code on this machine without a sandbox, and its feedback
# shows hidden tests. Delete these two lines to let it.
c.Autograde.exporter_class = "course_utils.grading.refusal.Refused"
c.GenerateFeedback.exporter_class = "course_utils.grading.refusal.Refused"
'''


def prepare_folder(folder: Path, db_url: str | None = None) -> str:
    """Make a grading folder ready for nbgrader; returns the address of its gradebook.

    Parameters
    ----------
    db_url
        Where the gradebook is; None takes what the folder's settings say, or an SQLite
        file in the folder. Settings that are there already are never changed.

    Raises
    ------
    GradebookError
        If the folder cannot be written, or its settings name another gradebook.
    """
    path = folder / CONFIG
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in FOLDERS:
            (folder / name).mkdir(exist_ok=True)
        if not path.exists():
            url = resolve_url(db_url) if db_url else None
            line = "" if url is None else f"c.CourseDirectory.db_url = {url!r}\n"
            write_atomically(path, TEMPLATE.format(database=line))
            path.chmod(0o600)
    except OSError as error:
        raise GradebookError(
            f"cannot prepare the grading folder {folder} ({error.strerror}): check that it is "
            "yours and that the disk has room"
        ) from error
    wanted, named = gradebook_url(folder, db_url), gradebook_url(folder)
    if not is_same_database(wanted, named):
        raise GradebookError(
            f"{path} names the gradebook {safe_url(named)}, not {safe_url(wanted)}, and the form "
            "grader would work on that one: set c.CourseDirectory.db_url there, or leave the "
            "option away"
        )
    return wanted


def gradebook_url(folder: Path, db_url: str | None = None) -> str:
    """Return the address of a folder's gradebook: the one given, else what its settings say.

    Raises
    ------
    GradebookError
        If the settings cannot be read.
    """
    if db_url:
        return resolve_url(db_url)
    found = _configured(folder / CONFIG)
    return resolve_url(found or f"sqlite:///{(folder / 'gradebook.db').absolute()}")


def _configured(path: Path) -> str | None:
    from traitlets.config.loader import PyFileConfigLoader

    if not path.exists():
        return None
    try:
        settings = PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
    except Exception as error:  # the file is a program, and may fail in any way
        raise GradebookError(
            f"{path} cannot be read ({type(error).__name__}: {error}): mend it, or delete it to "
            "get a new one"
        ) from error
    return settings.CourseDirectory.get("db_url")
