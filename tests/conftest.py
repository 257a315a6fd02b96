"""Shared by all tests: shapes in signatures are checked while tests run; a sandbox to grade in."""

import os
import platform

import matplotlib
import pytest
from jaxtyping import install_import_hook

matplotlib.use("agg")
# Must come before the first import of the package in the test process.
install_import_hook("course_utils", "typecheck.checked")


@pytest.fixture(scope="session")
def sandbox():
    """The sandbox of this machine. Without one: skipped, or failed where CI is set on Linux."""
    from course_utils.grading.sandbox import SandboxUnavailable, find_sandbox

    try:
        return find_sandbox()
    except SandboxUnavailable as error:
        if os.environ.get("CI") and platform.system() == "Linux":
            raise
        pytest.skip(str(error))
