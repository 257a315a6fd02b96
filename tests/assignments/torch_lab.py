"""A tiny lab for tests: a correlation that torch's own must not compute, a dict, a judge."""

import json
from pathlib import Path
from string import Template

__all__ = ["FULL", "NAME", "write_torch_lab"]

NAME = "lab_torch"
FULL = {"correlate": 4, "moments": 2, "classify": 2}
NOTEBOOK = '''# %% [markdown]
# # Correlate, measure, classify
#
# Write each function without torch's own version of it.

# %%
import torch
import torch.nn.functional as F

# %% tags=["experiment"]
from course_utils.grading import PublicChecks

checks = PublicChecks("lab_torch.checks.json")

# %% [markdown]
# ## Correlation
#
# `correlate(x, w)` slides `w` of shape `(O, C, h, w)` over `x` of shape `(B, C, H, W)`.

# %% nbgrader=$correlate
def correlate(x, w):
    """Return the correlation of x with w, without padding."""
    ### BEGIN SOLUTION
    windows = x.unfold(2, w.shape[2], 1).unfold(3, w.shape[3], 1)
    return torch.einsum("bchwij,ocij->bohw", windows, w)
    ### END SOLUTION


# %% nbgrader=$correlate_test
checks.run("correlate", globals())
### BEGIN HIDDEN TESTS
from course_utils.grading.stock import hidden_test

hidden_test("lab_torch", "correlate", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Moments

# %% nbgrader=$moments
def moments(x):
    """Return a dict with the mean and the variance of each column."""
    ### BEGIN SOLUTION
    centred = x - x.mean(0)
    return {"mean": x.mean(0), "var": (centred * centred).mean(0)}
    ### END SOLUTION


# %% nbgrader=$moments_test
checks.run("moments", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab_torch", "moments", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Classes
#
# `classify(x)` returns 1 for rows whose sum is positive, else 0.

# %% nbgrader=$classify
def classify(x):
    """Return the class of each row."""
    ### BEGIN SOLUTION
    return x.sum(dim=1).gt(0).long()
    ### END SOLUTION


# %% nbgrader=$classify_test
checks.run("classify", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab_torch", "classify", globals())
### END HIDDEN TESTS
'''
QUESTIONS = '''"""The questions of the torch lab."""

import numpy as np
import torch

from course_utils.grading.questions import Case, Criterion, Question


def trial(rng, *sizes):
    return torch.from_numpy(rng.normal(size=sizes))


def square(rng):
    return [{"x": trial(rng, 2, 1, 5, 5), "w": trial(rng, 1, 1, 3, 3)}]


def odd(rng):
    return [{"x": trial(rng, 2, 3, 7, 6), "w": trial(rng, 4, 3, 2, 3)}]


def wide(rng):
    return [{"x": trial(rng, 1, 2, 4, 6), "w": trial(rng, 3, 2, 1, 5)}]


def by_loops(x, w):
    height, width = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    out = np.zeros((x.shape[0], w.shape[0], height, width))
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            part = x.numpy()[:, :, i : i + height, j : j + width]
            out += np.einsum("bchw,oc->bohw", part, w.numpy()[:, :, i, j])
    return out


def columns(rng):
    return [{"x": trial(rng, 6, 3)}]


def by_numpy(x):
    return {"mean": x.numpy().mean(0), "var": x.numpy().var(0)}


def rows(rng):
    x = trial(rng, 9, 3)
    return [Case({"x": x}, {"label": (x.sum(1) > 0).long().numpy()})]


def right_of(result, case):
    right = float(np.mean(np.asarray(result).reshape(-1) == case.secret["label"]))
    return float(right == 1), "Some rows are in the wrong class."


QUESTIONS = [
    Question(
        "correlate",
        "Correlation",
        "result = correlate(x, w)",
        [
            Criterion("one channel", 1, square),
            Criterion("several channels", 2, odd),
            Criterion("a wide kernel", 1, wide),
        ],
        expected=by_loops,
        forbids=("*conv[_0-9]*", "*convolution*", "im2col"),
    ),
    Question(
        "moments",
        "Moments",
        "result = moments(x)",
        [Criterion("mean and variance", 2, columns)],
        expected=by_numpy,
    ),
    Question(
        "classify",
        "Classes",
        "result = classify(x)",
        [Criterion("all rows", 2, rows, judge=right_of, is_public=False)],
    ),
]
'''
ANSWERS = {
    "correlate": """# %% right: loops
def correlate(x, w):
    rows, columns = x.shape[2] - w.shape[2] + 1, x.shape[3] - w.shape[3] + 1
    out = x.new_zeros(len(x), len(w), rows, columns)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            part = x[:, :, i : i + rows, j : j + columns]
            out += torch.einsum("bchw,oc->bohw", part, w[:, :, i, j])
    return out


# %% wrong: turned round
# The kernel is turned round, as in a convolution.
def correlate(x, w):
    windows = x.unfold(2, w.shape[2], 1).unfold(3, w.shape[3], 1)
    return torch.einsum("bchwij,ocij->bohw", windows, w.flip(2, 3))
""",
    "moments": """# %% wrong: the other variance
# The variance is divided by one less than the number of rows.
def moments(x):
    return {"mean": x.mean(0), "var": x.var(0)}
""",
}


def write_torch_lab(folder: Path) -> Path:
    """Write the lab's folder into ``folder``, whose course.toml must name it; return it."""
    source = folder / NAME / "source"
    (source / "answers").mkdir(parents=True)
    cells = {name: _settings(name, None) for name in FULL}
    cells |= {f"{name}_test": _settings(f"{name}_test", p) for name, p in FULL.items()}
    notebook = Template(NOTEBOOK).substitute(cells)
    (source / f"{NAME}.py").write_text(notebook, encoding="utf-8")
    (source / "questions.py").write_text(QUESTIONS, encoding="utf-8")
    for name, text in ANSWERS.items():
        (source / "answers" / f"{name}.py").write_text(text, encoding="utf-8")
    return source.parent


def _settings(grade_id: str, points: float | None) -> str:
    is_test = points is not None
    settings = {"grade_id": grade_id, "grade": is_test, "locked": is_test, "solution": not is_test}
    settings |= {"schema_version": 3, "task": False}
    return json.dumps({**settings, "points": points} if is_test else settings)
