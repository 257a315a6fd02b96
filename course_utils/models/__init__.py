"""Networks and layers that a notebook derived and later notebooks use."""

from course_utils.models.mlp import draw_weights, make_mlp

__all__ = ["draw_weights", "make_mlp"]
