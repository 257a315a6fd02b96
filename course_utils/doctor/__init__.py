"""What would go wrong on this machine, and how to mend it: ``course doctor``.

Each check is a function without arguments that returns a Finding. Everything heavy
is imported inside the check that needs it, so that one missing package is one row
of the report and not its end.
"""

from collections.abc import Callable

from course_utils.doctor.finding import REINSTALL, Finding
from course_utils.doctor.runtime import (
    check_gpu,
    check_kernel,
    check_python,
    check_torch,
    check_widgets,
)
from course_utils.doctor.surroundings import (
    check_browser,
    check_cache,
    check_disk,
    check_files,
    check_fonts,
    check_sandbox,
)

__all__ = ["CHECKS", "Finding", "examine"]

CHECKS: dict[str, Callable[[], Finding]] = {
    "Python": check_python,
    "torch": check_torch,
    "GPU": check_gpu,
    "Jupyter kernel": check_kernel,
    "widgets": check_widgets,
    "Chinese font": check_fonts,
    "disk": check_disk,
    "data cache": check_cache,
    "data files": check_files,
    "browser for tests": check_browser,
    "sandbox for grading": check_sandbox,
}


def examine() -> list[Finding]:
    """Run every check; one that breaks off is a problem of its own, not the end."""
    return [_guarded(name, check) for name, check in CHECKS.items()]


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """Run one check and turn what it raises into a finding."""
    try:
        return check()
    except ImportError as error:
        return Finding(name, "problem", f"a package is missing: {error}", REINSTALL)
    except Exception as error:
        why = f"the check broke off: {type(error).__name__}: {error}"
        return Finding(name, "problem", why, "report this with the whole table to the course")
