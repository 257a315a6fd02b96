"""Labs: released, checked at home, graded without trust, returned.

A student's notebook needs one name, `PublicChecks`. The commands of ``course`` for
instructors live in the modules of this package; ``assignments/README.md`` shows them.
"""

from course_utils.grading.public import PublicChecks

__all__ = ["PublicChecks"]
