"""What stops stock nbgrader in a grading folder: it runs work without a sandbox.

`course_utils.grading.folder` names this class in ``nbgrader_config.py``, so that the
buttons *Autograde* and *Generate feedback* of the form grader do nothing.
"""

from typing import Any

from nbconvert.exporters import NotebookExporter

__all__ = ["Refused"]


class Refused(NotebookExporter):
    """An exporter that cannot be made, which ends a command before it touches a file."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError(
            "nbgrader would run students' code without a sandbox and show hidden tests in its "
            "feedback: use `course grade` and `course feedback`, or delete the two lines that "
            "name course_utils.grading.refusal from nbgrader_config.py"
        )
