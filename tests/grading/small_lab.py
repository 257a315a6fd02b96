"""A tiny lab for tests: two questions in plain NumPy, one report, a course.toml."""

import json
from pathlib import Path
from string import Template

__all__ = ["COURSE", "NAME", "write_small_lab"]

NAME = "lab_small"
COURSE = """title = "A small course"

[late]
percent_per_day = 10
days = 5
grace_minutes = 15

[limits]
cell_seconds = 5
call_seconds = 5
notebook_seconds = 30

[labs.lab_small]
title = "A small lab"
weight = 60
deadline = 2027-03-14T23:59:00+08:00
absent = ["torch", "sklearn", "scipy", "sympy"]

[others.project]
title = "A project"
weight = 40
"""
NOTEBOOK = '''# %% [markdown]
# # Compute a neuron
#
# Fill in the cells that hold `raise NotImplementedError`, then write the report.

# %%
import numpy as np

scale = 2.0

# %% tags=["experiment"]
from course_utils.grading import PublicChecks

checks = PublicChecks("lab_small.checks.json")

# %% [markdown]
# ## The neuron
#
# `neuron(x, W, b)` maps `(B, in_features)` to `(B, out_features)`.

# %% nbgrader=$neuron
def neuron(x, W, b):
    """Return x W^T + b for a batch x of shape (B, in_features)."""
    ### BEGIN SOLUTION
    weighted_inputs = x @ W.T
    return weighted_inputs + b
    ### END SOLUTION


# %% nbgrader=$neuron_test
checks.run("neuron", globals())
### BEGIN HIDDEN TESTS
from course_utils.grading.stock import hidden_test

hidden_test("lab_small", "neuron", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## The sigmoid
#
# It must not overflow.

# %% nbgrader=$sigmoid
def sigmoid(z):
    """Return 1 / (1 + exp(-z)) for an array z."""
    ### BEGIN SOLUTION
    small_side = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small_side) / (1.0 + small_side)
    ### END SOLUTION


# %% nbgrader=$sigmoid_test
checks.run("sigmoid", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab_small", "sigmoid", globals())
### END HIDDEN TESTS

# %% tags=["experiment"]
print("at zero:", sigmoid(np.zeros(1)))

# %% [markdown]
# ## Report
#
# | criterion | points |
# |---|---|
# | says what happens for large inputs | 3 |
# | says why | 2 |

# %% [markdown] nbgrader=$report_sigmoid
# ### BEGIN SOLUTION
# The exponential of a large number overflows, so only exponentials of negative numbers are taken.
# ### END SOLUTION
'''
QUESTIONS = '''"""The questions of the small lab."""

import numpy as np

from course_utils.grading.questions import Criterion, Question


def one_row(rng):
    return [{"x": rng.normal(size=(1, 3)), "W": rng.normal(size=(2, 3)), "b": np.zeros(2)}]


def many_rows(rng):
    sizes = [(5, 3, 2), (1, 1, 4)]
    return [
        {
            "x": rng.normal(size=(rows, inputs)),
            "W": rng.normal(size=(outputs, inputs)),
            "b": rng.normal(size=outputs),
        }
        for rows, inputs, outputs in sizes
    ]


def einsum_reference(x, W, b):
    return np.einsum("bi,oi->bo", x, W) + b[None, :]


def moderate(rng):
    return [{"z": rng.normal(size=(3, 4))}]


def extreme(rng):
    return [{"z": np.array([-800.0, 0.0, 800.0])}]


def tanh_reference(z):
    return 0.5 * (1.0 + np.tanh(0.5 * z))


QUESTIONS = [
    Question(
        "neuron",
        "A linear neuron",
        "result = neuron(x, W, b)",
        [
            Criterion("one row", 1, one_row),
            Criterion("a batch with a bias", 2, many_rows),
        ],
        expected=einsum_reference,
    ),
    Question(
        "sigmoid",
        "The sigmoid",
        "result = sigmoid(z)",
        [
            Criterion("moderate inputs", 1, moderate),
            Criterion("large inputs", 1, extreme, is_public=False),
        ],
        expected=tanh_reference,
    ),
]
'''
NEURON = """# %% right: einsum
def neuron(x, W, b):
    return np.einsum("bi,oi->bo", x, W) + b


# %% wrong: no bias
# The bias is left out.
def neuron(x, W, b):
    return x @ W.T + 0.0 * b


# %% wrong: bias subtracted
# The bias is subtracted instead of added.
def neuron(x, W, b):
    return x @ W.T - b
"""
SIGMOID = """# %% right: tanh
def sigmoid(z):
    return (1.0 + np.tanh(z / 2.0)) / 2.0


# %% wrong: tanh itself
# This is the hyperbolic tangent, which runs from -1 to 1.
def sigmoid(z):
    return np.tanh(z / 2.0)


# %% wrong: sign
# The exponent has the wrong sign.
def sigmoid(z):
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(z))
"""


def write_small_lab(folder: Path) -> Path:
    """Write ``course.toml`` and the lab's folder into ``folder``; return the lab's folder."""
    source = folder / NAME / "source"
    (source / "answers").mkdir(parents=True)
    (folder / "course.toml").write_text(COURSE, encoding="utf-8")
    (source / f"{NAME}.py").write_text(_notebook(), encoding="utf-8")
    (source / "questions.py").write_text(QUESTIONS, encoding="utf-8")
    (source / "answers" / "neuron.py").write_text(NEURON, encoding="utf-8")
    (source / "answers" / "sigmoid.py").write_text(SIGMOID, encoding="utf-8")
    return source.parent


def _notebook() -> str:
    return Template(NOTEBOOK).substitute(
        neuron=_settings("neuron", solution=True),
        neuron_test=_settings("neuron_test", points=3),
        sigmoid=_settings("sigmoid", solution=True),
        sigmoid_test=_settings("sigmoid_test", points=2),
        report_sigmoid=_settings("report_sigmoid", points=5, solution=True),
    )


def _settings(grade_id: str, *, points: float | None = None, solution: bool = False) -> str:
    settings = {
        "grade": points is not None,
        "grade_id": grade_id,
        "locked": not solution,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    return json.dumps(settings if points is None else {**settings, "points": points})
