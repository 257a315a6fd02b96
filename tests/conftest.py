"""Shared by all tests: shapes in signatures are checked while tests run."""

import matplotlib
from jaxtyping import install_import_hook

matplotlib.use("agg")
# Must come before the first import of the package in the test process.
install_import_hook("course_utils", "typecheck.checked")
