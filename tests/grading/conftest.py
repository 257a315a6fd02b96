"""The small lab, for all grading tests."""

from pathlib import Path

import pytest

from tests.grading.small_lab import write_small_lab


@pytest.fixture
def small_lab(tmp_path) -> Path:
    """The folder of the small lab, beside its course.toml."""
    return write_small_lab(tmp_path / "assignments")
