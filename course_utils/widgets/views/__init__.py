"""The widgets themselves: traits and observers, thin over `course_utils.widgets.core`."""
