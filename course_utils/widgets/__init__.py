"""Widgets of the course; each leaves a picture where it cannot run."""

from course_utils.widgets.views.stepper import PerceptronStepper

__all__ = ["PerceptronStepper"]
