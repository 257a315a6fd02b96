# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Build a network that learns from its errors
#
# **You will build** every step from a single threshold unit to a network that reads handwritten
# digits: Hebb's rule, the McCulloch-Pitts neuron, the perceptron, ADALINE, a scalar automatic
# differentiation engine, and backpropagation written as the lecture's delta equations.
#
# **You will learn** to
# - prove that one neuron cannot compute XOR, and show which network can;
# - derive the perceptron and ADALINE updates and bound how long they take or how fast they may go;
# - compute any gradient by reverse-mode differentiation, and catch a wrong one with a numerical
#   check;
# - write the training loop of a multilayer perceptron in NumPy and in PyTorch and show that they
#   agree.
#
# **You need** Python, NumPy, derivatives, matrix products, eigenvalues; about 3 hours; a CPU.
#
# *Reviewed 2026-11-21.*

# %%
import math
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from course_utils import data
from course_utils.checks import Ledger, check_exercise
from course_utils.device import pick_device
from course_utils.figures import MARKERS, PALETTE, show, use_course_style

use_course_style()
ledger = Ledger("01_perceptron_backprop")
rng = np.random.default_rng(0)
device = pick_device()

# %% [markdown]
# ## Why
#
# Take the four corners of a square. Each corner has a target, 0 or 1; the three patterns below are
# the truth tables of AND, OR and XOR. Now draw straight lines at random, and call one side of each
# line 1 and the other 0.
#
# **Predict:** for each pattern, what fraction of 100,000 random lines gets all four corners right?

# %%
CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])  # (4, 2)
TARGETS = {  # each (4,)
    "AND": np.array([0, 0, 0, 1]),
    "OR": np.array([0, 1, 1, 1]),
    "XOR": np.array([0, 1, 1, 0]),
}
lines = rng.normal(size=(100_000, 3))  # two weights and an offset for each line
sides = lines[:, :2] @ CORNERS.T + lines[:, 2:] >= 0  # (100000, 4)
counts = {}
for gate, target in TARGETS.items():
    num_right = (sides == target).sum(axis=1)
    counts[gate] = np.bincount(num_right, minlength=5)
    print(f"{gate:4} lines with 0, 1, 2, 3, 4 corners right: {counts[gate]}")

# %%
fig, axs = plt.subplots(1, 3, figsize=(7, 2.6), sharey=True)
for ax, (gate, count) in zip(axs, counts.items(), strict=True):
    ax.bar(range(5), count / count.sum(), color=PALETTE["blue"])
    ax.set(title=gate, xlabel="corners right (of 4)")
axs[0].set_ylabel("fraction of lines")
show(
    fig,
    alt="Three bar charts: some random lines get all four corners of AND and of OR right; for XOR "
    "no line reaches four.",
)

# %% [markdown]
# *Figure 1. Some random lines get all four corners of AND and of OR right. For XOR no line does.*
#
# AND and OR are hit now and then; XOR is never hit, in 100,000 tries. Bad luck? This notebook shows
# why it is not, how a unit can find its line by itself where there is one, and how several units
# share the blame for an error where there is none.

# %% [markdown]
# ## The idea in symbols: Hebb's rule
#
# Hebb (1949) guessed how a connection could learn: when one neuron (神经元) repeatedly helps to
# fire another, the connection between them grows stronger. As a formula for the weight (权重)
# between input $i$ and output $j$:
#
# $$w_{ij} \leftarrow w_{ij} + x_i\,y_j$$
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $x$ activity of the inputs | `x` | (I,) | $\pm1$ or real |
# | $y$ activity of the outputs | `y` | (J,) | $\pm1$ or real |
# | $w_{ij}$ weight from $i$ to $j$ | `W[i, j]` | (I, J) | real, unbounded |
#
# There is no target and no error in it: the rule is unsupervised. It only notes what was active
# together.

# %% [markdown]
# ## Build it: Hebb's rule
#
# Two loops, as the formula says. Then three pairs (cue, answer) are shown once each.


# %%
def hebb_step(W, x, y):
    """Return the weights after one step of Hebb's rule."""
    W = W.copy()
    for i in range(len(x)):
        for j in range(len(y)):
            W[i, j] += x[i] * y[j]
    return W


cues = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1]])  # (3, 4), rows orthogonal
answers = np.array([[1, 1], [1, -1], [-1, 1]])  # (3, 2)
W_memory = np.zeros((4, 2))
for cue, answer_pattern in zip(cues, answers, strict=True):
    W_memory = hebb_step(W_memory, cue, answer_pattern)
print(W_memory)

# %% [markdown]
# ## Check it: Hebb's rule
#
# Each line that a check prints compares our result with an independent one. *Row* is a line of the
# course's coverage table; the *error* is the largest difference, divided by the largest reference
# value where that exceeds 1. A check that fails raises, and the notebook stops.
#
# Adding up $x_i y_j$ over all pairs is a matrix product, $W = X^\top Y$. And the memory works: a
# cue, sent through the weights and reduced to its sign, gives back its answer, because orthogonal
# cues do not disturb one another.

# %%
ledger.check_close(4, "Hebb's loop equals X^T Y", W_memory, cues.T @ answers)
ledger.check_equal(
    4, "orthogonal cues recall their answers", np.sign(cues @ W_memory), answers, kind="invariant"
)
x_odd, y_odd = rng.normal(size=(7, 5)), rng.normal(size=(7, 3))
W_odd = np.zeros((5, 3))
for x, y in zip(x_odd, y_odd, strict=True):
    W_odd = hebb_step(W_odd, x, y)
ledger.check_close(4, "Hebb on odd shapes", W_odd, np.einsum("ni,nj->ij", x_odd, y_odd))

# %% [markdown]
# The lecture's words are "both active: strengthen; otherwise weaken". Does the formula do that? It
# depends on how silence is written.

# %%
for silent, code in ((0, "0/1"), (-1, "-1/+1")):
    for x_on, y_on in product((True, False), repeat=2):
        x_value, y_value = (1 if on else silent for on in (x_on, y_on))
        change = hebb_step(np.zeros((1, 1)), [x_value], [y_value]).item()
        print(f"code {code:5}  input on {x_on!s:5}  output on {y_on!s:5}  change {change:+.0f}")

# %% [markdown]
# With 0 for silence nothing is ever weakened. With −1 a disagreement weakens, but two silent
# neurons strengthen their connection as two active ones do. The sentence and the formula agree in
# neither code; say which code you use.

# %% [markdown]
# ## Try it: Hebb's rule without a brake
#
# Let a single linear neuron $y = x^\top w$ feed its own output into Hebb's rule, with a small
# learning rate (学习率) and averaged over a data set with correlation matrix
# $C = \frac1N X^\top X$. Then
#
# $$w \leftarrow w + \text{lr}\cdot\tfrac1N\textstyle\sum_n x_n y_n = (I + \text{lr}\,C)\,w .$$
#
# **Predict:** what happens to the length of $w$, and where does $w$ point in the end?

# %%
X_cloud = rng.normal(size=(200, 2)) @ np.array([[1.5, 0.9], [0.0, 0.5]])  # (200, 2)
lr_hebb, num_hebb_steps = 0.05, 120
w_hebb, lengths = np.array([0.1, -0.1]), []
for _ in range(num_hebb_steps):
    y_cloud = X_cloud @ w_hebb  # (200,)
    w_hebb = w_hebb + lr_hebb * X_cloud.T @ y_cloud / len(X_cloud)
    lengths.append(np.linalg.norm(w_hebb))

eigenvalues, eigenvectors = np.linalg.eigh(X_cloud.T @ X_cloud / len(X_cloud))
growth = lengths[-1] / lengths[-2]
direction = abs(w_hebb @ eigenvectors[:, -1]) / lengths[-1]
ledger.check_close(
    4,
    "Hebb grows by 1 + lr lambda_max a step",
    growth,
    1 + lr_hebb * eigenvalues[-1],
    kind="trajectory",
)
ledger.check_close(4, "Hebb turns to the leading eigenvector", direction, 1.0, kind="invariant")

# %%
fig, ax = plt.subplots()
steps = np.arange(1, num_hebb_steps + 1)
ax.semilogy(steps, lengths, label="length of w")
predicted = lengths[-1] * (1 + lr_hebb * eigenvalues[-1]) ** (steps - num_hebb_steps)
ax.semilogy(steps, predicted, label="∝ (1 + lr λmax)^step")
ax.set(xlabel="step", ylabel="length of w (log scale)")
ax.legend()
show(
    fig,
    alt="On a log scale the length of the weight vector becomes a straight rising line that lies "
    "on the growth predicted by the largest eigenvalue.",
)

# %% [markdown]
# *Figure 2. The length of $w$ grows without bound, at the rate set by the largest eigenvalue of
# the correlation matrix.*
#
# The rule finds the direction of largest variance and then never stops growing. It also does not
# notice when a memory is full:


# %%
def recall_rate(num_pairs, rng, num_inputs=64):
    """Return the fraction of answer bits a Hebbian memory of random pairs gives back."""
    X = rng.choice([-1, 1], size=(num_pairs, num_inputs))
    Y = rng.choice([-1, 1], size=(num_pairs, 8))
    return (np.sign(X @ (X.T @ Y)) == Y).mean()


recall = {}
for num_pairs in (2, 8, 32, 128):
    rates = [recall_rate(num_pairs, np.random.default_rng(seed)) for seed in range(10)]
    recall[num_pairs] = rates
    print(f"{num_pairs:4} pairs: {np.mean(rates):.3f} of the bits right (lowest {min(rates):.3f})")
ledger.check_at_least(4, "overfull memory loses bits", min(recall[2]) - max(recall[128]), 0.1)

# %% [markdown]
# A few pairs come back whole; with twice as many pairs as inputs a good part of the bits is wrong,
# and nothing in the rule notices. What is missing is an error signal.

# %% [markdown]
# ## The idea in symbols: the McCulloch-Pitts neuron
#
# McCulloch and Pitts (1943) reduced a neuron to a sum and a threshold (阈值):
#
# $$y = f\Big(\sum_i w_i x_i - \theta\Big), \qquad
# f(z) = \begin{cases}1 & z \ge 0\\ 0 & z < 0\end{cases}$$
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $x$ inputs | `x` | (n,) or (N, n) | 0 or 1 |
# | $w$ weights | `w` | (n,) | real |
# | $\theta$ threshold | `theta` | scalar | real |
# | $y$ output | return value | scalar or (N,) | 0 or 1 |
#
# Nothing is learned here: someone chooses the numbers.

# %% [markdown]
# ## Build it: the McCulloch-Pitts neuron
#
# Three gates, by choice of weights and threshold. Cover the numbers and find your own first.


# %%
def threshold(z):
    """Return 1 where z >= 0, else 0."""
    return (np.asarray(z) >= 0).astype(int)


def mp_neuron(x, w, theta):
    """Return the output of a McCulloch-Pitts neuron."""
    return threshold(x @ np.asarray(w) - theta)


GATES = {"AND": ([1, 1], 1.5), "OR": ([1, 1], 0.5)}
NOT_GATE = ([-1], -0.5)
for gate, (w_gate, theta_gate) in GATES.items():
    print(gate, mp_neuron(CORNERS, w_gate, theta_gate))
print("NOT", mp_neuron(np.array([[0], [1]]), *NOT_GATE))

# %% [markdown]
# ## Check it: the McCulloch-Pitts neuron
#
# The whole truth table of each gate, against NumPy's logic.

# %%
left, right = CORNERS.T
ledger.check_equal(5, "AND gate", mp_neuron(CORNERS, *GATES["AND"]), np.logical_and(left, right))
ledger.check_equal(5, "OR gate", mp_neuron(CORNERS, *GATES["OR"]), np.logical_or(left, right))
ledger.check_equal(5, "NOT gate", mp_neuron(np.array([[0], [1]]), *NOT_GATE), [1, 0])
ledger.check_equal(5, "a sum equal to the threshold fires", mp_neuron(np.array([1]), [2], 2), 1)

# %% [markdown]
# ## Try it: XOR in one neuron
#
# Suppose weights $w_1, w_2$ and threshold $\theta$ compute XOR. The four corners then say
#
# | corner | target | condition |
# |---|---|---|
# | (0, 0) | 0 | $0 < \theta$ |
# | (0, 1) | 1 | $w_2 \ge \theta$ |
# | (1, 0) | 1 | $w_1 \ge \theta$ |
# | (1, 1) | 0 | $w_1 + w_2 < \theta$ |
#
# Add the two middle lines: $w_1 + w_2 \ge 2\theta$. With the last line, $2\theta < \theta$, so
# $\theta < 0$. The first line says $\theta > 0$. No such neuron exists (Minsky and Papert, 1969,
# made this and its relatives famous).
#
# A computer can look for the neuron too. With $s_i = 2t_i - 1 = \pm1$, "separate the corners" is
# the linear programme: find $w, \theta$ with $s_i(w^\top x_i - \theta) \ge 1$ for all $i$. (Any
# strict separation can be scaled up until the right-hand side is 1.)

# %%
from scipy.optimize import linprog


def separating_neuron(X, t):
    """Return (w, theta) with every sample on its side, or None if there is none."""
    s = 2 * np.asarray(t) - 1  # (N,)
    A = -s[:, None] * np.column_stack([X, -np.ones(len(X))])  # (N, n + 1)
    result = linprog(
        np.zeros(A.shape[1]), A_ub=A, b_ub=-np.ones(len(X)), bounds=[(None, None)] * A.shape[1]
    )
    return (result.x[:-1], result.x[-1]) if result.status == 0 else None


found = {gate: separating_neuron(CORNERS, target) for gate, target in TARGETS.items()}
for gate, neuron in found.items():
    print(gate, "no neuron" if neuron is None else f"w {neuron[0]}, theta {neuron[1]:.1f}")

# %%
for gate in ("AND", "OR"):
    ledger.check_equal(
        5,
        f"the programme's neuron computes {gate}",
        mp_neuron(CORNERS, *found[gate]),
        TARGETS[gate],
    )
ledger.check_equal(5, "no neuron computes XOR", found["XOR"] is None, True)
signs = 2 * TARGETS["XOR"] - 1
ledger.check_equal(
    5,
    "the four XOR conditions cancel",
    signs @ np.column_stack([CORNERS, -np.ones(4)]),
    np.zeros(3),
    kind="invariant",
)

# %% [markdown]
# The last check is the contradiction in one line: the four left-hand sides
# $s_i(w^\top x_i - \theta)$ add up to zero whatever $w$ and $\theta$ are, so they cannot all be
# positive.
#
# Is XOR an exception or the rule? Ask the programme about every truth table of two and of three
# inputs. The known counts are 14 of 16 and 104 of 256 (Muroga, 1971).


# %%
def count_separable(num_inputs):
    """Return how many truth tables of this many inputs one neuron can compute."""
    X = np.array(list(product([0, 1], repeat=num_inputs)))
    tables = product([0, 1], repeat=len(X))
    return sum(separating_neuron(X, table) is not None for table in tables)


ledger.check_equal(5, "separable functions of 2 inputs", count_separable(2), 14)
ledger.check_equal(5, "separable functions of 3 inputs", count_separable(3), 104)

# %% [markdown]
# For two inputs only XOR and its opposite fail; for three, more than half fail. Two layers of the
# same neurons mend it: "one or the other, but not both".


# %%
def xor_network(X):
    """Return XOR from two hidden neurons and one output neuron."""
    hidden = np.column_stack([mp_neuron(X, [1, 1], 0.5), mp_neuron(X, [-1, -1], -1.5)])  # OR, NAND
    return mp_neuron(hidden, [1, 1], 1.5)  # AND


ledger.check_equal(5, "two layers compute XOR", xor_network(CORNERS), np.logical_xor(left, right))

# %% [markdown] tags=["row-6"]
# The middle neurons form a *hidden layer* (隐藏层). Its weights were set by hand. In 1951 Marvin
# Minsky and Dean Edmonds tried to let a machine find its own: SNARC, the Stochastic Neural Analog
# Reinforcement Calculator, joined about 40 randomly wired units made of vacuum tubes, motors and
# clutches, and an operator's reward button made the recently used connections more likely to pass
# a signal. It learned to run a simulated rat through a maze (as Minsky told Bernstein, *The New
# Yorker*, 1981). The next rule comes with a guarantee.

# %% [markdown]
# ## The idea in symbols: the perceptron
#
# Rosenblatt's (1958) perceptron (感知机) is the same unit, with the threshold as a bias (偏置)
# $b = -\theta$, and it learns from labelled samples:
#
# $$d(x) = \sum_{i=1}^n w_i x_i + b, \qquad
# y = \begin{cases}1 & d(x) \ge 0\\ 0 & d(x) < 0\end{cases}$$
#
# The lecture gives the rule in three cases: (1) $t = y$: do nothing; (2) $y=0,\ t=1$:
# $w \leftarrow w + x,\ b \leftarrow b + 1$; (3) $y=1,\ t=0$:
# $w \leftarrow w - x,\ b \leftarrow b - 1$. All three in one line:
#
# $$w \leftarrow w + (t - y)\,x, \qquad b \leftarrow b + (t - y)$$
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $x$ sample, $X$ all samples | `x`, `X` | (n,), (N, n) | real |
# | $t$ target | `t` | scalar, (N,) | 0 or 1 |
# | $y$ output | `y` | scalar | 0 or 1 |
# | $w$, $b$ | `w`, `b` | (n,), scalar | real |
# | $d(x)$ signed score | `d` | scalar | real |

# %% [markdown]
# ## Build it: the perceptron rule
#
# Both forms, as they are written above.


# %%
def perceptron_step_cases(w, b, x, t):
    """Return w and b after one step, in the lecture's three cases."""
    y = threshold(w @ x + b)
    if t == y:
        return w, b
    if t == 1:
        return w + x, b + 1
    return w - x, b - 1


def perceptron_step(w, b, x, t):
    """Return w and b after one step, in the unified form."""
    y = threshold(w @ x + b)
    return w + (t - y) * x, b + (t - y)


# %% [markdown]
# ## Check it: the perceptron rule
#
# Random weights and samples with seven inputs, both targets: the two forms must agree on every one.

# %%
for t in (0, 1):
    w_random, x_random, b_random = rng.normal(size=(50, 7)), rng.normal(size=(50, 7)), 0.3
    pairs = [
        (perceptron_step_cases(w, b_random, x, t), perceptron_step(w, b_random, x, t))
        for w, x in zip(w_random, x_random, strict=True)
    ]
    by_cases, unified = (
        [np.append(w, b) for w, b in column] for column in zip(*pairs, strict=True)
    )
    ledger.check_close(7, f"unified rule equals the three cases, t = {t}", unified, by_cases)

# %% [markdown]
# ## Try it: the worked example, step by step
#
# The lecture works an example with $W = [0, 0]$, $b = 0$, but the entries of its matrix $X$ and
# target $T$ cannot be read in our copy. These four samples, one a column, are our choice: a set
# often used in exercises around Hagan, Demuth and Beale, *Neural Network Design*.
#
# **Predict:** go through the first row of the table by hand before you run the cell. Remember that
# $d = 0$ counts as $y = 1$.

# %%
X_demo = np.array([[2, 1, -2, -1], [2, -2, 2, 1]])  # (2, N): one sample a column
T_demo = np.array([0, 1, 0, 1])  # (N,)
w_trace, b_trace = np.zeros(2), 0.0
print("epoch    x        d   y  t   case         W            b")
for epoch in range(3):
    for x, t in zip(X_demo.T, T_demo, strict=True):
        d = w_trace @ x + b_trace
        y = threshold(d)
        w_trace, b_trace = perceptron_step(w_trace, b_trace, x, t)
        case = 1 if t == y else 2 if t == 1 else 3
        print(
            f"{epoch:3}   {x!s:8} {d:5.0f}   {y}  {t}    {case}    {w_trace!s:10}  {b_trace:5.0f}"
        )

# %% [markdown]
# The last epoch changes nothing, so the rule has stopped for good. Note the sample (1, −2) in
# epoch 1: it was right in epoch 0 and later steps broke it. Mending one sample may break another;
# that is why it is not evident that the rule ever stops.
#
# From here on the loop is a function. It also returns which sample caused each update.


# %%
def train_perceptron(X, t, max_epochs=2000):
    """Return weights, bias, and the index of the sample behind each update, in order."""
    w, b, updates = np.zeros(X.shape[1]), 0.0, []
    for _ in range(max_epochs):
        num_before = len(updates)
        for i, x in enumerate(X):
            if (w @ x + b >= 0) != t[i]:
                w, b = perceptron_step(w, b, x, t[i])
                updates.append(i)
        if len(updates) == num_before:
            break
    return w, b, updates


def dual_perceptron(X, t, num_epochs):
    """Return how often each sample was added, found from inner products alone."""
    gram, s, counts = X @ X.T + 1, 2 * t - 1, np.zeros(len(X))  # the +1 carries the bias
    for _ in range(num_epochs):
        for i in range(len(X)):
            counts[i] += ((counts * s) @ gram[i] >= 0) != t[i]
    return counts


# %% [markdown]
# Two independent references. The *dual form* never holds a weight: it counts how often each sample
# was added (`counts`, $\alpha_i$), and $w = \sum_i \alpha_i s_i x_i$ at the end. And scikit-learn's
# `Perceptron`, told to use step size 1, no shuffling and no early stop. One convention differs:
# scikit-learn counts $d = 0$ as a mistake for both classes. With real-valued data that can happen
# only at the start, where $w = 0$; a first sample of class 0 is a mistake in both conventions, so
# we put one first.

# %%
from sklearn.linear_model import Perceptron

X_sep, t_sep = data.make_separable(61, rng=rng, margin=0.05)
start = np.argmin(t_sep)
X_sep, t_sep = np.roll(X_sep, -start, axis=0), np.roll(t_sep, -start)
w_sep, b_sep, _ = train_perceptron(X_sep, t_sep)
reference = Perceptron(eta0=1, shuffle=False, tol=None, max_iter=300).fit(X_sep, t_sep)
counts_sep = dual_perceptron(X_sep, t_sep, num_epochs=300)
ledger.check_close(7, "weights equal scikit-learn's", w_sep, reference.coef_[0])
ledger.check_close(7, "bias equals scikit-learn's", b_sep, reference.intercept_[0])
w_dual = (counts_sep * (2 * t_sep - 1)) @ X_sep
ledger.check_close(7, "weights equal the dual form's", w_sep, w_dual)
by_hand = [-2, -3, 1]  # w1, w2, b on paper
ledger.check_equal(7, "traced example", [*w_trace, b_trace], by_hand, kind="trajectory")

# %% [markdown]
# ## Try it: why are $w$ and $b$ updated like this?
#
# The lecture asks this question; here are two answers.
#
# **The score moves the right way by a known amount.** After the update,
# $d_{\text{new}}(x) - d_{\text{old}}(x) = (t-y)\,x^\top x + (t-y) = (t-y)(\lVert x\rVert^2 + 1)$:
# up when the target was 1, down when it was 0.
#
# **It is a gradient step.** Take the loss $L = \max(0, -s\,d(x))$ with $s = 2t-1$: zero when the
# sample is right, and the distance of the score from zero when it is wrong. For a wrong sample
# $\partial L/\partial w = -s\,x = -(t-y)\,x$, and a step against it with learning rate 1 is the
# rule. (At $d = 0$ the loss has a kink; the rule uses one of its subgradients.)
#
# To check a gradient without deriving it, use *central differences*:
# $\partial f/\partial p\approx (f(p+h)-f(p-h))/2h$, one parameter at a time, with a small $h$.

# %%
w_why, x_why, b_why = rng.normal(size=5), rng.normal(size=5), 0.2
t_why = 1 - threshold(w_why @ x_why + b_why)  # the wrong label, so that the rule acts
w_moved, b_moved = perceptron_step(w_why, b_why, x_why, t_why)
shift = (w_moved @ x_why + b_moved) - (w_why @ x_why + b_why)
s_why = 2 * t_why - 1
ledger.check_close(7, "score moves by s (|x|^2 + 1)", shift, s_why * (x_why @ x_why + 1))


def perceptron_loss(parameters):
    """Return max(0, -s d(x)) at parameters (w, b)."""
    return max(0.0, -s_why * (parameters[:-1] @ x_why + parameters[-1]))


step_taken = np.append(w_moved - w_why, b_moved - b_why)
ledger.check_gradient(
    7, "update is minus the gradient", perceptron_loss, np.append(w_why, b_why), -step_taken
)

# %% [markdown]
# ## The idea in symbols: Novikoff's bound
#
# Put the bias into the vector: $\tilde x = [x, 1]$, $\tilde w = [w, b]$, $z_i = s_i\tilde x_i$.
# Suppose some unit vector $u$ separates with margin $\gamma > 0$, that is $u^\top z_i \ge \gamma$
# for all $i$, and let $R = \max_i \lVert\tilde x_i\rVert$. Every update adds one $z_i$ with
# $\tilde w^\top z_i \le 0$: it adds at least $\gamma$ to $\tilde w^\top u$, and at most $R^2$ to
# $\lVert\tilde w\rVert^2$, since $\lVert\tilde w+z_i\rVert^2=\lVert\tilde w\rVert^2
# +2\tilde w^\top z_i+\lVert z_i\rVert^2$. So after $k$ updates from zero
#
# $$\tilde w^\top u \ge k\gamma, \qquad \lVert\tilde w\rVert^2 \le kR^2, \qquad\text{hence}\qquad
# k\gamma \le \lVert\tilde w\rVert \le \sqrt{k}\,R, \quad k \le \frac{R^2}{\gamma^2}.$$
#
# The number of mistakes is bounded, whatever the order, the dimension and the number of samples
# (Novikoff, 1962).
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $z_i$ sample with bias entry and sign | `Z[i]` | (n + 1,) | real |
# | $u$ unit vector that separates | `u` | (n + 1,) | length 1 |
# | $\gamma$ margin, $R$ radius | `gamma`, `R` | scalars | > 0 |
# | $k$ updates so far | `len(updates)` | scalar | 0, 1, 2, ... |

# %% [markdown]
# ## Build it: Novikoff's bound
#
# You may skip how `best_margin` works: it returns $R$, the largest $\gamma$, and a ceiling on any
# $\gamma$. The best bound uses the largest margin. A support vector machine finds it; each $z_i$ is
# given twice, as $z_i$ and $-z_i$ with opposite labels, so that the machine has no use for an
# intercept of its own. Whatever the accuracy of its solver, the bound is valid: $\gamma$ is
# recomputed as the smallest $u^\top z_i$ of the unit vector that it found.

# %%
from sklearn.svm import SVC


def best_margin(X, t):
    """Return R, the largest margin found, and an upper bound on any margin."""
    Z = (2 * t[:, None] - 1) * np.column_stack([X, np.ones(len(X))])  # (N, n + 1)
    svm = SVC(kernel="linear", C=1e8, tol=1e-6)
    svm.fit(np.vstack([Z, -Z]), np.repeat([1, -1], len(Z)))
    u = svm.coef_[0] / np.linalg.norm(svm.coef_[0])
    # A mean of the z_i, of length r, allows no margin above r: u.z_i >= g for all i gives r >= g.
    mean = svm.dual_coef_[0] @ svm.support_vectors_ / np.abs(svm.dual_coef_[0]).sum()
    return np.linalg.norm(Z, axis=1).max(), (Z @ u).min(), np.linalg.norm(mean)


rows = []
rng_novikoff = np.random.default_rng(1)
for _ in range(200):
    X, t = data.make_separable(40, rng=rng_novikoff, margin=rng_novikoff.uniform(0.02, 0.4))
    R, gamma, ceiling = best_margin(X, t)
    rows.append((len(train_perceptron(X, t)[2]), R**2 / gamma**2, ceiling / gamma))
mistakes_seen, bounds, gaps = np.array(rows).T

# %% [markdown]
# ## Check it: Novikoff's bound
#
# **Predict:** over 200 random data sets, how close does the number of mistakes come to the bound?

# %%
ledger.check_at_most(
    7, "mistakes / Novikoff bound, 200 sets", (mistakes_seen / bounds).max(), 1.0, kind="invariant"
)
ledger.check_close(7, "margin meets its upper bound", gaps, np.ones(200), tolerance=1e-4)

# %%
fig, ax = plt.subplots()
ax.loglog(bounds, mistakes_seen, "o", color=PALETTE["blue"], markersize=4)
ends = np.array([bounds.min(), bounds.max()])
ax.loglog(ends, ends, color=PALETTE["vermilion"], linestyle="--")
ax.text(ends[0], ends[0] * 6, "mistakes = bound", color=PALETTE["vermilion"])
ax.set(xlabel="bound R²/γ² (updates, log scale)", ylabel="mistakes made (updates, log scale)")
show(
    fig,
    alt="Scatter of mistakes against the bound for 200 data sets, log axes; every point lies below "
    "the diagonal, most of them far below.",
)

# %% [markdown]
# *Figure 3. Mistakes made against Novikoff's bound, 200 random separable data sets. No point lies
# above the diagonal; most lie far below it.*
#
# The bound holds every time. It is generous, because it has to cover the worst data in the worst
# order.

# %% [markdown]
# ## Try it: the perceptron on XOR
#
# Novikoff's argument needs a separator. **Predict:** what does the rule do on XOR, which has none?


# %%
def mistakes_per_epoch(X, t, num_epochs):
    """Return the mistakes and the state (w, b) after each epoch."""
    w, b, mistakes, states = np.zeros(X.shape[1]), 0.0, [], []
    for _ in range(num_epochs):
        mistakes.append(0)
        for x, target in zip(X, t, strict=True):
            mistakes[-1] += int(threshold(w @ x + b) != target)
            w, b = perceptron_step(w, b, x, target)
        states.append((*w.tolist(), float(b)))
    return mistakes, states


histories = {gate: mistakes_per_epoch(CORNERS, target, 12) for gate, target in TARGETS.items()}
for gate, (mistakes, states) in histories.items():
    print(f"{gate:4} mistakes {mistakes}  last states (w1, w2, b) {states[-2:]}")
states_xor = histories["XOR"][1]
first_repeat = next(k for k, state in enumerate(states_xor) if state in states_xor[:k])
print(f"XOR: after epoch {first_repeat + 1} the state has been seen before")
ledger.check_equal(7, "XOR: an epoch leads back to its start", states_xor[-1], states_xor[-2])
ledger.check_equal(7, "XOR: mistakes in the last epoch", histories["XOR"][0][-1], 4)
ledger.check_equal(
    7, "AND, OR: no mistakes at the end", [histories[g][0][-1] for g in ("AND", "OR")], [0, 0]
)

# %%
fig, ax = plt.subplots()
for marker, (gate, (mistakes, _)) in zip(MARKERS, histories.items(), strict=False):
    ax.plot(range(1, 13), mistakes, marker=marker, label=gate)
ax.set(xlabel="epoch", ylabel="mistakes (of 4)", yticks=range(5))
ax.legend(loc="center right")
show(
    fig,
    alt="Mistakes per epoch: AND and OR fall to zero within a few epochs, XOR climbs to four and "
    "stays there.",
)

# %% [markdown]
# *Figure 4. AND and OR reach zero mistakes; XOR ends with four mistakes in every epoch.*
#
# After a whole epoch the weights are back where they were. The order of the samples is the same and
# the rule has no memory, so from then on it repeats itself for ever. Integer inputs make this
# certain to happen: on data that cannot be separated the weights stay bounded (the perceptron
# cycling theorem; Block and Levin, 1970), and a bounded grid has finitely many points.

# %% [markdown]
# ## Try it: two more limits
#
# The output is hard: a sample next to the line and one far from it both answer 1, so there is no
# degree of belief to read off. And the rule adds raw samples, so it is sensitive to outliers and to
# scale. **Predict:** what costs more updates, one far but correctly labelled sample, or one input
# measured in centimetres instead of metres?


# %%
def updates_needed(seed):
    """Return updates for plain data, with one far sample added, and with one input times 100."""
    X, t = data.make_separable(60, rng=np.random.default_rng(seed), margin=0.1)
    w, b, updates = train_perceptron(X, t)
    along, across = np.array([-w[1], w[0]]) / np.linalg.norm(w), w / np.linalg.norm(w)
    far = 100 * along - (0.2 + b / np.linalg.norm(w)) * across  # 0.2 deep on the side of class 0
    X_far, t_far = np.vstack([far, X]), np.append(0, t)
    num_far = len(train_perceptron(X_far, t_far, 20_000)[2])
    return len(updates), num_far, len(train_perceptron(X * [1, 100], t, 20_000)[2])


scores = (X_sep @ w_sep + b_sep)[t_sep == 1]
print(
    f"class 1: scores from {scores.min():.2f} to {scores.max():.2f}, outputs",
    np.unique(threshold(scores)),
)
needed = np.array([updates_needed(seed) for seed in range(20)])  # (20, 3)
for name, column in zip(("plain", "one far sample", "one input x 100"), needed.T, strict=True):
    print(
        f"{name:16} median {np.median(column):7.1f} updates, range {column.min()} to {column.max()}"
    )
plain, far, scaled = np.median(needed, axis=0)
ledger.check_at_least(7, "one far sample costs more updates", far / plain, 1.5)
ledger.check_at_least(7, "a badly scaled input costs more updates", scaled / plain, 10)
ledger.check_at_least(7, "median updates, scaled input / far sample", scaled / far, 1.5)

# %% [markdown]
# Both factors are 100, and over 20 data sets the change of unit costs more. A far sample is added
# whole, and many short ones are needed to undo it. A stretched input makes every update large in
# one weight, while the other weight and the bias still move in small steps. Standardise inputs
# before training.

# %% [markdown]
# ## Explore it: the perceptron sample by sample
#
# Step through the samples and watch the line. An open marker is on the wrong side.
# 1. Find a step at which the line does not move. Which of the three cases is it?
# 2. Find an update after which a sample that was right becomes wrong. Why does the rule still get
#    done?
# 3. Choose the XOR preset (its corners are at ±1). After how many steps do the weights repeat?

# %%
from course_utils.widgets import PerceptronStepper

X_walk, t_walk = data.make_separable(30, rng=np.random.default_rng(8), margin=0.1)
PerceptronStepper(X_walk, t_walk)

# %% [markdown]
# ## The idea in symbols: ADALINE
#
# Widrow and Hoff (1960) measured the error *before* the threshold. Their ADALINE (adaptive linear
# neuron) has a linear output $\hat y = x^\top w + b$, and the rule, called LMS (least mean
# squares), is the lecture's error-correction form (with one output, drop $j$):
#
# $$w_{ij} \leftarrow w_{ij} + \eta\,(t_j - \hat y_j)\,x_i$$
#
# It is stochastic gradient descent on the squared error. $\nabla^2L$ is the Hessian, the matrix of
# second derivatives. With $\tilde x = [x, 1]$,
# $\theta = [w, b]$ and all samples at once,
#
# $$L(\theta) = \frac1{2N}\lVert t - \tilde X\theta\rVert^2, \qquad
# \nabla L = -\frac1N \tilde X^\top (t - \tilde X\theta), \qquad
# \nabla^2 L = \frac1N \tilde X^\top\tilde X .$$
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $\tilde X$ inputs and a column of ones | `X1` | (N, n + 1) | real |
# | $t$ targets | `t` | (N,) | real |
# | $\theta$ weights and bias (no threshold here) | `theta` | (n + 1,) | real |
# | $\eta$ learning rate | `lr` | scalar | > 0 |

# %% [markdown]
# ## Build it: ADALINE
#
# The single-sample rule, and the gradient over all samples.


# %%
def with_ones(X):
    """Return X with a last column of ones, for the bias."""
    return np.column_stack([X, np.ones(len(X))])


def lms_step(theta, x1, t, lr):
    """Return theta after one Widrow-Hoff step on one sample."""
    return theta + lr * (t - x1 @ theta) * x1


def lms_gradient(theta, X1, t):
    """Return the gradient of half the mean squared error over all samples."""
    return -X1.T @ (t - X1 @ theta) / len(X1)


# %% [markdown]
# ## Check it: ADALINE
#
# PyTorch computes gradients by itself (`requires_grad`, then `backward()`); use it as an oracle
# here, you build its engine below. Against it, against central differences, and the single-sample
# rule against the whole gradient: averaged over the samples, its steps are $-\eta\nabla L$.

# %%
X1_odd, t_odd, theta_odd = (
    with_ones(rng.normal(size=(13, 4))),
    rng.normal(size=13),
    rng.normal(size=5),
)
leaf = torch.tensor(theta_odd, requires_grad=True)
(0.5 * (torch.tensor(t_odd) - torch.tensor(X1_odd) @ leaf).square().mean()).backward()
ledger.check_close(
    8,
    "LMS gradient equals autograd",
    lms_gradient(theta_odd, X1_odd, t_odd),
    leaf.grad,
    kind="gradient",
)
ledger.check_gradient(
    8,
    "LMS gradient, central differences",
    lambda p: 0.5 * np.mean((t_odd - X1_odd @ p) ** 2),
    theta_odd,
    lms_gradient(theta_odd, X1_odd, t_odd),
)
single = [lms_step(theta_odd, x1, t, 0.3) - theta_odd for x1, t in zip(X1_odd, t_odd, strict=True)]
ledger.check_close(
    8,
    "mean Widrow-Hoff step",
    np.mean(single, axis=0),
    -0.3 * lms_gradient(theta_odd, X1_odd, t_odd),
)

# %% [markdown]
# Now let the whole gradient run on the gates. **Predict:** the perceptron cycles on XOR. What will
# ADALINE do?

# %%
X1_corners = with_ones(CORNERS)  # (4, 3)
for gate, target in TARGETS.items():
    theta = np.zeros(3)
    for _ in range(2000):
        theta = theta - 0.5 * lms_gradient(theta, X1_corners, target)
    exact = np.linalg.lstsq(X1_corners, target, rcond=None)[0]
    ledger.check_close(8, f"{gate}: batch descent equals least squares", theta, exact)
    print(f"     theta {theta.round(3) + 0.0}, outputs {(X1_corners @ theta).round(3)}")

# %% [markdown]
# With the whole gradient it settles on the least-squares solution each time; read as a gate, an
# output above one half is a 1, and AND and OR come out right. For XOR that solution answers one
# half to everything: no cycle, and no use either. **Predict:** does the rule as Widrow and Hoff
# wrote it, one sample at a time, settle too?


# %%
def swing(lr, num_epochs):
    """Return how far theta moves to and fro within the last epoch of LMS on XOR."""
    theta = np.zeros(3)
    for _ in range(num_epochs):
        seen = [theta]
        for x1, t in zip(X1_corners, TARGETS["XOR"], strict=True):
            theta = lms_step(theta, x1, t, lr)
            seen.append(theta)
    return np.ptp(seen, axis=0).max()


for lr in (0.5, 0.05, 0.005):
    print(f"lr {lr}: theta swings by {swing(lr, 4000):.4f} within an epoch, for ever")
ledger.check_at_least(
    8, "one sample at a time: swing at lr 0.5 / at 0.005", swing(0.5, 4000) / swing(0.005, 4000), 50
)
ledger.check_at_least(8, "one sample at a time: lr 1.2 diverges", swing(1.2, 60), 1e3)

# %% [markdown]
# It never settles: each sample pulls its own way, and the swing is proportional to the learning
# rate. A small rate makes it small. Whichever form you take, ADALINE can represent no more than a
# perceptron. (At 1.2 the single-sample rule diverges; remember that number in the next section.)

# %% [markdown]
# ## Try it: how large may the learning rate be?
#
# The error from the minimum $\theta^*$ obeys
# $\theta_{k+1} - \theta^* = (I - \eta\nabla^2L)(\theta_k - \theta^*)$. Along the eigenvector of the
# Hessian with eigenvalue $\lambda$ it is multiplied by $1 - \eta\lambda$ in each step, so it
# shrinks only while $|1 - \eta\lambda| < 1$. For all eigenvalues at once that means
#
# $$0 < \eta < \frac{2}{\lambda_{\max}} .$$
#
# Whether the loss is the half mean, the mean or the half sum changes $\nabla^2 L$ and so the limit:
# never copy a limit, compute it. **Predict:** how do the three limits below compare?

# %%
X1_t, t_or = torch.tensor(X1_corners), torch.tensor(TARGETS["OR"], dtype=torch.float64)
LOSSES = {
    "half of the mean": lambda p: 0.5 * (t_or - X1_t @ p).square().mean(),
    "mean": lambda p: (t_or - X1_t @ p).square().mean(),
    "half of the sum": lambda p: 0.5 * (t_or - X1_t @ p).square().sum(),
}


def descend(loss_fn, lr, num_steps=300):
    """Return loss minus its minimum at each step of gradient descent from zero."""
    p, losses = torch.zeros(3, dtype=torch.float64), []
    best = loss_fn(torch.linalg.lstsq(X1_t, t_or[:, None]).solution[:, 0])
    for _ in range(num_steps):
        losses.append((loss_fn(p) - best).item())
        p = p - lr * torch.func.grad(loss_fn)(p)
    return np.array(losses)


zero = torch.zeros(3, dtype=torch.float64)
limits = {
    name: 2 / torch.linalg.eigvalsh(torch.func.hessian(loss_fn)(zero))[-1].item()
    for name, loss_fn in LOSSES.items()
}
for name, limit in limits.items():
    print(f"{name:17} learning-rate limit {limit:.4f}")

# %% [markdown]
# Check the limit for each convention, two per cent below and two per cent above. Above it, the loss
# must grow each step by the factor $(1 - 1.02 \cdot 2)^2$.

# %%
runs = {
    (name, factor): descend(loss_fn, factor * limits[name])
    for name, loss_fn in LOSSES.items()
    for factor in (0.98, 1.02)
}
for name in LOSSES:
    below, above = runs[name, 0.98], runs[name, 1.02]
    ledger.check_at_most(8, f"{name}: below the limit it converges", below[-1] / below[0], 1e-3)
    ledger.check_at_least(8, f"{name}: above the limit it diverges", above[-1] / above[0], 1e3)
    ledger.check_close(
        8,
        f"{name}: growth a step above the limit",
        above[-1] / above[-2],
        (1 - 1.02 * 2) ** 2,
        kind="trajectory",
        tolerance=1e-6,
    )
eigen_by_hand = np.linalg.eigvalsh(X1_corners.T @ X1_corners / 4)[-1]
ledger.check_close(8, "limit from X^T X / N", limits["half of the mean"], 2 / eigen_by_hand)

# %%
fig, ax = plt.subplots()
for factor in (0.98, 1.02):
    ax.semilogy(runs["half of the mean", factor], label=f"{factor} × limit")
ax.set(xlabel="step", ylabel="loss above its minimum (log scale)")
ax.legend(title="learning rate")
show(
    fig,
    alt="Excess loss on a log scale: at 0.98 of the limit it falls in a straight line, at 1.02 of "
    "the limit it rises in a straight line.",
)

# %% [markdown]
# *Figure 5. ADALINE on OR: gradient descent at 0.98 and at 1.02 times $2/\lambda_{\max}$. One falls
# steadily, the other grows without end.*
#
# A few per cent decide between an exact solution and none. Straight lines on a log scale: one
# factor for each step, as the check above computed.

# %% [markdown]
# ## The idea in symbols: automatic differentiation
#
# Deriving each gradient by hand does not scale. A program can do it: every arithmetic operation
# knows its own small derivative, and the chain rule joins them. Let node $v$ be used by the nodes
# $u_1, u_2, \dots$. Then
#
# $$\frac{\partial L}{\partial v} = \sum_{u\ \text{uses}\ v} \frac{\partial L}{\partial u}\,
# \frac{\partial u}{\partial v} .$$
#
# Walk the graph from the result backwards, so that $\partial L/\partial u$ is complete before it is
# passed on. This is reverse-mode automatic differentiation (自动微分; Linnainmaa, 1970).
#
# | symbol | code | shape | meaning |
# |---|---|---|---|
# | value of $v$ | `v.data` | scalar | computed going forward |
# | $\partial L/\partial v$ | `v.grad` | scalar | computed going backward |
# | what $v$ was made from | `v.parents` | tuple | the operands |
# | $\partial v/\partial p$ for each parent $p$ | `v.partials` | tuple | local derivatives |

# %% [markdown]
# ## Build it: a scalar engine
#
# Each operation returns a new node that knows its parents and the local derivatives.


# %%
class Value:
    """A number that remembers how it was computed."""

    def __init__(self, data, parents=(), partials=(), op="", label=""):
        self.data, self.grad = float(data), 0.0
        self.parents, self.partials = parents, partials
        self.op, self.label = op, label

    def __add__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0), "+")

    def __mul__(self, other):
        other = other if isinstance(other, Value) else Value(other)
        return Value(self.data * other.data, (self, other), (other.data, self.data), "*")

    def __pow__(self, n):
        return Value(self.data**n, (self,), (n * self.data ** (n - 1),), f"**{n}")

    def apply(self, op, data, slope):
        """Return a node made from this one alone."""
        return Value(data, (self,), (slope,), op)

    def __sub__(self, other):
        return self + other * -1

    def __rsub__(self, other):
        return self * -1 + other

    __radd__, __rmul__ = __add__, __mul__


# %% [markdown]
# Functions of one variable, the order of the nodes, and the backward pass. `topological_order`
# lists every node after its parents; it keeps its own stack, so that a long chain does not run into
# Python's recursion limit.


# %%
def tanh(v):
    """Return tanh of a Value."""
    y = math.tanh(v.data)
    return v.apply("tanh", y, 1 - y**2)


def exp(v):
    """Return e to the power of a Value."""
    y = math.exp(v.data)
    return v.apply("exp", y, y)


def relu(v):
    """Return max(0, v) of a Value."""
    return v.apply("relu", max(0.0, v.data), float(v.data > 0))


# %%
def topological_order(root):
    """Return every node that root depends on, each after its parents."""
    order, seen, stack = [], set(), [(root, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((parent, False) for parent in node.parents)
    return order


def backward(root):
    """Set the grad of every node to the derivative of root with respect to it."""
    order = topological_order(root)
    for node in order:
        node.grad = 0.0
    root.grad = 1.0
    for node in reversed(order):
        for parent, partial in zip(node.parents, node.partials, strict=True):
            parent.grad += partial * node.grad


# %% [markdown]
# The running example is one neuron with two inputs. Follow the table from the bottom up: each
# gradient is that of the node it feeds, times a local derivative.

# %%
x1, x2 = Value(1.0, label="x1"), Value(-2.0, label="x2")
w1, w2, b0 = Value(0.5, label="w1"), Value(0.25, label="w2"), Value(0.6, label="b")
neuron_out = tanh(x1 * w1 + x2 * w2 + b0)
neuron_out.label = "o"
backward(neuron_out)
for node in topological_order(neuron_out):
    made_from = ", ".join(parent.label or parent.op for parent in node.parents)
    name = f"{node.label or node.op:4} data {node.data:7.4f}  grad {node.grad:7.4f}"
    print(name, f" from {made_from}" if made_from else "")

# %% [markdown]
# ## Check it: a scalar engine
#
# Random programs of twelve operations each, run on `Value` and on torch scalars. Operands are drawn
# from everything computed so far, so nodes are used again and again.

# %%
OPERATIONS = [  # (on Values, on torch scalars)
    (lambda a, b: a + b, lambda a, b: a + b),
    (lambda a, b: a * b, lambda a, b: a * b),
    (lambda a, b: a - b, lambda a, b: a - b),
    (lambda a, b: tanh(a), lambda a, b: a.tanh()),
    (lambda a, b: exp(tanh(a)), lambda a, b: a.tanh().exp()),
    (lambda a, b: relu(a + 0.1), lambda a, b: (a + 0.1).relu()),
    (lambda a, b: (1 + exp(tanh(a))) ** -1.5, lambda a, b: (1 + a.tanh().exp()) ** -1.5),
]


def run_program(program, leaves, column):
    """Return the sum of all nodes after running a list of (operation, i, j)."""
    nodes = list(leaves)
    for k, i, j in program:
        nodes.append(OPERATIONS[k][column](nodes[i], nodes[j]))
    return sum(nodes[1:], nodes[0])


# %%
ours, theirs = [], []
rng_programs = np.random.default_rng(5)
for _ in range(100):
    program = [
        (rng_programs.integers(len(OPERATIONS)), *rng_programs.integers(0, 3 + n, size=2))
        for n in range(12)
    ]
    numbers = rng_programs.uniform(-1, 1, size=3)
    leaves = [Value(number) for number in numbers]
    backward(run_program(program, leaves, 0))
    torch_leaves = torch.tensor(numbers, requires_grad=True)
    run_program(program, list(torch_leaves), 1).backward()
    ours.append([leaf_value.grad for leaf_value in leaves])
    theirs.append(torch_leaves.grad.numpy())
scale = np.abs(theirs).max(axis=1, keepdims=True)  # some programs have huge gradients
ledger.check_close(
    10,
    "engine equals autograd on 100 random programs",
    ours / scale,
    theirs / scale,
    kind="gradient",
)
chain = start_value = Value(1.0)
for _ in range(5000):
    chain = chain + start_value
backward(chain)
ledger.check_equal(10, "a chain of 5,000 additions", start_value.grad, 5001.0, kind="gradient")

# %% [markdown]
# ## Try it: the bug that hides
#
# One character decides: `+=` or `=`. Below, the gradient is overwritten. **Predict:** for which of
# these two expressions does the result change, $2a + 5$ or $a\cdot a + a$?


# %%
def backward_overwriting(root):
    """Backward pass with the bug: grad is overwritten instead of accumulated."""
    root.grad = 1.0
    for node in reversed(topological_order(root)):
        for parent, partial in zip(node.parents, node.partials, strict=True):
            parent.grad = partial * node.grad


def grad_at_three(expression, backward_pass):
    """Return the derivative of an expression of one Value at 3."""
    a = Value(3.0)
    backward_pass(expression(a))
    return a.grad


for name, expression in (("a*2 + 5", lambda a: a * 2 + 5), ("a*a + a", lambda a: a * a + a)):
    slopes = [grad_at_three(expression, way) for way in (backward, backward_overwriting)]
    print(f"{name}: slope {slopes[0]}, overwriting gives {slopes[1]}")
with ledger.refuses(10, "overwriting backward on a*a + a"):
    ledger.check_gradient(10, "overwriting", lambda p: expression(Value(p)).data, 3.0, slopes[1])

# %% [markdown]
# Where each node is used once, overwriting is right, and a test on such an expression passes. Where
# a node is used twice, all but one of its contributions are lost and the check fails. In a network,
# every hidden unit that feeds several others is such a node. So test gradients on graphs that
# share.

# %% [markdown]
# ## Explore it: one hidden unit, two outputs
#
# The unit $h$ feeds two outputs, each with its own squared error. Step forward until the loss is
# lit, then backward.
# 1. Which node gets its gradient first, and what is it?
# 2. At which node do two shares add up? That sum returns below as an equation.
# 3. Set the leaf `b` to 5. What happens to the gradient of `w`, and at which operation?

# %%
from course_utils.widgets import ComputationGraph

x_in, w_in, b_in = Value(1.0, label="x"), Value(0.5, label="w"), Value(0.1, label="b")
u1, u2 = Value(2.0, label="u1"), Value(-1.0, label="u2")
h = tanh(x_in * w_in + b_in)
h.label = "h"
loss_two = (h * u1 - 1) ** 2 + (h * u2) ** 2
loss_two.label = "loss"
backward(loss_two)
ComputationGraph(loss_two)

# %% [markdown]
# ## The idea in symbols: the same with arrays
#
# One node for each number is slow. Take a whole layer as one operation, for a batch of samples in
# rows: $Z = XW + b$. With $G = \partial L/\partial Z$ coming from above, the sum over uses becomes
# a matrix product:
#
# $$\frac{\partial L}{\partial W} = X^\top G, \qquad \frac{\partial L}{\partial b} = \sum_{n} G_{n},
# \qquad \frac{\partial L}{\partial X} = G\,W^\top .$$
#
# In full, $\partial L/\partial W_{ij}=\sum_n X_{ni}G_{nj}$ over the $B$ samples of the batch. The
# shapes help you remember it: the gradient of a thing has the shape of the thing.
#
# | symbol | code | shape |
# |---|---|---|
# | $X$ inputs, one sample a row | `X` | (B, n_in) |
# | $W$, $b$ parameters of the layer | `W`, `b` | (n_in, n_out), (1, n_out) |
# | $Z$ pre-activations, $G$ their gradient | return value, `G` | (B, n_out) |

# %% [markdown]
# ## Build it: one layer
#
# Forward and backward, each in a line.


# %%
def linear_forward(X, W, b):
    """Return the pre-activations of a layer."""
    return X @ W + b  # (B, n_in) @ (n_in, n_out) + (1, n_out) -> (B, n_out)


def linear_backward(G, X, W):
    """Return the gradients with respect to X, W and b, given that of the output."""
    return G @ W.T, X.T @ G, G.sum(axis=0, keepdims=True)  # (B, n_in), (n_in, n_out), (1, n_out)


# %% [markdown]
# ## Check it: one layer
#
# Odd shapes, with one sample, one input and one output among them.

# %%
for shape in ((5, 3, 7), (1, 4, 1), (9, 1, 2)):  # batch, inputs, outputs
    B, n_in, n_out = shape
    sizes = ((B, n_in), (n_in, n_out), (1, n_out), (B, n_out))
    X_layer, W_layer, b_layer, G_layer = (rng.normal(size=size) for size in sizes)
    layer_leaves = [torch.tensor(a, requires_grad=True) for a in (X_layer, W_layer, b_layer)]
    (linear_forward(*layer_leaves) * torch.tensor(G_layer)).sum().backward()  # dL/dZ is G_layer
    for name, ours_grad, layer_leaf in zip(
        "XWb", linear_backward(G_layer, X_layer, W_layer), layer_leaves, strict=True
    ):
        ledger.check_close(
            10, f"layer {shape}: gradient of {name}", ours_grad, layer_leaf.grad, kind="gradient"
        )

# %% [markdown]
# ## The idea in symbols: backpropagation as delta equations
#
# A network is given by its units' activation, its topology and its learning rule. The lecture's "BP
# network" is a multilayer perceptron: inputs $I_i$, a hidden layer of sigmoid units $H_j$, outputs
# $O_k$ with targets $T_k$. For the error $E = \frac12\sum_k (T_k - O_k)^2$, summed over the samples
# of a batch, define for each unit $\delta = -\partial E/\partial z$, where $z$ is what goes into
# its activation. Then
#
# $$\delta_k = (T_k - O_k)\,O_k(1 - O_k), \qquad
# \delta_j = \Big(\sum_k \delta_k w_{kj}\Big) H_j(1 - H_j)$$
#
# $$w_{kj} \leftarrow w_{kj} + \alpha\,\delta_k H_j, \quad
# w_{ji} \leftarrow w_{ji} + \alpha\,\delta_j I_i,
# \quad b_k \leftarrow b_k + \beta\,\delta_k, \quad b_j \leftarrow b_j + \beta\,\delta_j$$
#
# The factor $s(1-s)$ is the derivative of the sigmoid $s(z)=1/(1+e^{-z})$. The sum over $k$ sends
# each output's error back through the same weights that carried the signal forward: backpropagation
# (反向传播).
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $I_i$ inputs, a batch | `X` | (B, I) | real |
# | $H_j$ hidden outputs | `H` | (B, J) | (0, 1) |
# | $O_k$, $T_k$ outputs, targets | `Y_hat`, `T` | (B, K) | real |
# | $w_{ji}$, $w_{kj}$ | `W1[i, j]`, `W2[j, k]` | (I, J), (J, K) | real |
# | $b_j$, $b_k$ | `b1`, `b2` | (1, J), (1, K) | real |
# | $\delta_j$, $\delta_k$ | `delta_j`, `delta_k` | (B, J), (B, K) | real |
# | $\alpha$, $\beta$ learning rates | `lr`, `lr_bias` | scalar | > 0 |
#
# The idea is in Werbos's thesis (1974); Rumelhart, Hinton and Williams (1986) made it widely known.
# (The slides misspell two names, "Webos" and "Rumehart".)

# %% [markdown]
# ## Build it: the delta equations
#
# One function for each equation. `.mT` transposes the last two axes and leaves any axes before them
# alone, so the same functions will later train many networks side by side.


# %%
def sigmoid(z):
    """Return 1 / (1 + e^-z)."""
    return 1 / (1 + np.exp(-z))


def delta_output_sigmoid(T, Y_hat):
    """Return delta_k of sigmoid outputs."""
    return (T - Y_hat) * Y_hat * (1 - Y_hat)  # (B, K)


def delta_hidden(delta_k, W2, H):
    """Return delta_j of sigmoid hidden units."""
    return (delta_k @ W2.mT) * H * (1 - H)  # (B, K) @ (K, J) -> (B, J)


def weight_change(source, delta, lr):
    """Return lr * delta * source, summed over the batch."""
    return lr * source.mT @ delta  # (n_in, B) @ (B, n_out) -> (n_in, n_out)


def bias_change(delta, lr_bias):
    """Return lr_bias * delta, summed over the batch."""
    return lr_bias * delta.sum(axis=-2, keepdims=True)  # (1, n_out)


# %%
def forward(params, X, output):
    """Return hidden outputs and network outputs."""
    W1, b1, W2, b2 = params
    H = sigmoid(linear_forward(X, W1, b1))
    return H, output(linear_forward(H, W2, b2))


def bp_step(params, X, T, lr, lr_bias, output, delta_output):
    """Return the parameters after one step of backpropagation."""
    W1, b1, W2, b2 = params
    H, Y_hat = forward(params, X, output)
    delta_k = delta_output(T, Y_hat)
    delta_j = delta_hidden(delta_k, W2, H)
    return (
        W1 + weight_change(X, delta_j, lr),
        b1 + bias_change(delta_j, lr_bias),
        W2 + weight_change(H, delta_k, lr),
        b2 + bias_change(delta_k, lr_bias),
    )


def random_params(sizes, rng, scale=1.0, copies=()):
    """Return W1, b1, W2, b2 for sizes (I, J, K); copies adds leading axes."""
    I, J, K = sizes  # noqa: E741
    shapes = ((I, J), (1, J), (J, K), (1, K))
    return tuple(rng.normal(0, scale, size=(*copies, *shape)) for shape in shapes)


# %% [markdown]
# ## Check it: the delta equations
#
# One step of the equations against one step of torch's `SGD` on $E$ with automatic differentiation,
# for odd shapes and two different learning rates; then central differences.


# %%
def torch_step(params, X, T, lr, lr_bias, output):
    """Return the parameters after one step of torch's SGD on half the squared error."""
    leaves = [torch.tensor(p, requires_grad=True) for p in params]
    W1, b1, W2, b2 = leaves
    Y_hat = output(torch.sigmoid(torch.tensor(X) @ W1 + b1) @ W2 + b2)
    (0.5 * (torch.tensor(T) - Y_hat).square().sum()).backward()
    groups = [{"params": [W1, W2], "lr": lr}, {"params": [b1, b2], "lr": lr_bias}]
    torch.optim.SGD(groups).step()
    return leaves


for batch, *sizes in ((7, 3, 5, 2), (1, 4, 1, 3), (11, 1, 6, 1)):
    params = random_params(sizes, rng)
    X, T = rng.normal(size=(batch, sizes[0])), rng.uniform(size=(batch, sizes[2]))
    ours_after = bp_step(params, X, T, 0.7, 0.2, sigmoid, delta_output_sigmoid)
    torch_after = torch_step(params, X, T, 0.7, 0.2, torch.sigmoid)
    for name, ours_p, torch_p in zip(
        ("W1", "b1", "W2", "b2"), ours_after, torch_after, strict=True
    ):
        ledger.check_close(
            10, f"BP step {(batch, *sizes)}: {name}", ours_p, torch_p, kind="gradient"
        )


# %%
def identity(z):
    """Return z: the activation of a linear output."""
    return z


def check_deltas(row, name, output, delta_output, rng):
    """Check the change of W1 (delta_j) and W2 (delta_k) against central differences of E."""
    params = random_params((3, 4, 2), rng)
    X, T = rng.normal(size=(5, 3)), rng.uniform(size=(5, 2))
    after = bp_step(params, X, T, 1.0, 1.0, output, delta_output)
    for place, weight in ((2, "W2"), (0, "W1")):

        def error(p, place=place):
            tried = (*params[:place], p, *params[place + 1 :])
            return 0.5 * ((T - forward(tried, X, output)[1]) ** 2).sum()

        gradient = params[place] - after[place]
        ledger.check_gradient(row, f"{name}, {weight}", error, params[place], gradient)


check_deltas(10, "sigmoid output", sigmoid, delta_output_sigmoid, np.random.default_rng(7))

# %% [markdown]
# ## Try it: the slide's network
#
# The slide says that the output layer is *linear* ("or sigmoid"), and prints one delta only, with
# the factor $O_k(1-O_k)$. That factor is a sigmoid's derivative. Run it as printed, and ask the
# check.

# %%
with ledger.refuses(10, "the slide's delta for a linear output"):
    check_deltas(10, "slide", identity, delta_output_sigmoid, np.random.default_rng(7))

# %% [markdown]
# The check refuses it. For a linear output $\partial O_k/\partial z_k = 1$, so the delta is
# $\delta_k = T_k - O_k$:


# %%
def delta_output_linear(T, Y_hat):
    """Return delta_k of linear outputs."""
    return T - Y_hat


check_deltas(
    10, "linear output, mended delta", identity, delta_output_linear, np.random.default_rng(7)
)

# %% [markdown]
# Does it matter in training? Fit $\sin \pi x$ on $[-1, 1]$ with both, five seeds each. **Predict:**
# an output is $-0.5$ and its target $-1$. Which way does the slide's delta push it?


# %%
def fit_sine(delta_output, seed, num_steps=3000, lr=0.01):
    """Return the loss at each step and the final outputs; stop once the loss explodes."""
    x = np.linspace(-1, 1, 33)[:, None]  # (33, 1)
    T = np.sin(np.pi * x)
    params, losses = random_params((1, 8, 1), np.random.default_rng(seed), scale=0.5), []
    for _ in range(num_steps):
        Y_hat = forward(params, x, identity)[1]
        losses.append(0.5 * np.mean((T - Y_hat) ** 2))
        if losses[-1] > 1e3:
            break
        params = bp_step(params, x, T, lr, lr, identity, delta_output)
    return losses, Y_hat


mended = [fit_sine(delta_output_linear, seed) for seed in range(5)]
printed = [fit_sine(delta_output_sigmoid, seed) for seed in range(5)]
for name, results in (("mended", mended), ("as printed", printed)):
    print(f"{name:10} final loss", [f"{losses[-1]:.3g}" for losses, _ in results])
outside = [int(((Y_hat < 0) | (Y_hat > 1)).sum()) for _, Y_hat in printed]
print(f"as printed: of 33 outputs, outside [0, 1] at the end: {outside}")
print("slide's delta at output -0.5, target -1:", delta_output_sigmoid(-1.0, -0.5))
worst_mended = max(losses[-1] for losses, _ in mended)
best_printed = min(losses[-1] for losses, _ in printed)
ledger.check_at_least(10, "slide's delta: best loss / worst mended", best_printed / worst_mended, 5)

# %%
fig, (ax_loss, ax_fit) = plt.subplots(1, 2, figsize=(7.5, 3))
styles = (("mended", mended, "blue", "-"), ("as printed", printed, "vermilion", "--"))
for name, results, colour, dash in styles:
    for k, (losses, _) in enumerate(results):
        ax_loss.loglog(
            range(1, len(losses) + 1),
            losses,
            color=PALETTE[colour],
            linestyle=dash,
            label=name if k == 0 else None,
        )
    stable = min(results, key=lambda result: result[0][-1])
    ax_fit.plot(np.linspace(-1, 1, 33), stable[1], color=PALETTE[colour], linestyle=dash)
ax_fit.plot(np.linspace(-1, 1, 33), np.sin(np.pi * np.linspace(-1, 1, 33)), "k.", markersize=4)
ax_loss.set(xlabel="step (log scale)", ylabel="loss (log scale)", ylim=(1e-3, 1e3))
ax_loss.legend(loc="upper right")
ax_fit.set(xlabel="input x", ylabel="output")
show(
    fig,
    alt="Left: losses of five seeds; the mended rule falls every time, the printed one stays high "
    "or shoots up. Right: the mended fit follows the sine, the best printed fit misses both bends.",
)

# %% [markdown]
# *Figure 6. Left: loss (half mean squared error) over training, five seeds for each rule; the curve
# that shoots up has diverged. Right: the best fit of each rule; dots: target.*
#
# The slide's delta at output −0.5 and target −1 is positive: it pushes the output up, away from its
# target. Outside $[0, 1]$ the factor $O(1-O)$ is negative and turns every push round; at 0 and at 1
# it is zero and there is no push at all. One of the five seeds diverges; the other four stay far
# above the mended runs, with outputs left where the sign is wrong. Nothing crashed: without the
# check, this would pass for a hard problem or a bad learning rate.

# %% [markdown]
# ## Try it: XOR, learned
#
# Now a network of sigmoids has to find the hidden layer that we set by hand. The starting point is
# random, so one run proves little: train 50 networks at once, for several hidden widths.
# **Predict:** two hidden units suffice in principle. Will they suffice in practice?


# %%
def train_xor(width, num_seeds=50, num_steps=5000, lr=1.0):
    """Return the trained networks, and for each whether all four corners are right."""
    T = TARGETS["XOR"][:, None].astype(float)  # (4, 1)
    params = random_params((2, width, 1), np.random.default_rng(11), copies=(num_seeds,))
    for _ in range(num_steps):
        params = bp_step(params, CORNERS, T, lr, lr, sigmoid, delta_output_sigmoid)
    Y_hat = forward(params, CORNERS, sigmoid)[1]  # (num_seeds, 4, 1)
    return params, ((Y_hat > 0.5) == T).all(axis=(-2, -1))


xor_runs = {width: train_xor(width) for width in (1, 2, 3, 4)}
for width, (_, solved) in xor_runs.items():
    print(f"{width} hidden units: {solved.sum()} of {len(solved)} starts solve XOR")
ledger.check_equal(9, "XOR with 1 hidden unit: none of 50", xor_runs[1][1].sum(), 0)
ledger.check_at_least(9, "XOR with 2 hidden units: solved of 50", xor_runs[2][1].sum(), 20)
ledger.check_at_least(9, "XOR with 4 hidden units: solved of 50", xor_runs[4][1].sum(), 47)
solved_more = int(xor_runs[4][1].sum() - xor_runs[2][1].sum())
ledger.check_at_least(9, "XOR: starts solved with 4 units, not with 2", solved_more, 3)

# %% [markdown]
# With two units some starts are stuck after all those steps; with four, nearly
# all have arrived. More
# units than needed make the search easier. Look inside a network of width two that solved it:

# %%
params_xor = [p[np.argmax(xor_runs[2][1])] for p in xor_runs[2][0]]  # the first that solved it
H_xor = forward(params_xor, CORNERS, sigmoid)[0]  # (4, 2)
H_all = forward([p[xor_runs[2][1]] for p in xor_runs[2][0]], CORNERS, sigmoid)[0]  # (solved, 4, 2)
pair_gaps = [np.linalg.norm(H_all[:, a] - H_all[:, b], axis=1) for a, b in ((0, 3), (1, 2))]
ledger.check_at_most(
    9, "solved nets: one pair of corners coincides", np.minimum(*pair_gaps).max(), 0.4
)
print(
    "target-1 corners are the closer pair in", (pair_gaps[1] < pair_gaps[0]).sum(), "of", len(H_all)
)

fig, axs = plt.subplots(1, 2, figsize=(6.5, 3))
grid = np.linspace(-0.15, 1.15, 101)
points = np.array([[a, b] for b in grid for a in grid])  # (10201, 2)
surfaces = (
    forward(params_xor, points, sigmoid)[1],
    sigmoid(points @ params_xor[2] + params_xor[3]),
)
for ax, places, surface in zip(axs, (CORNERS, H_xor), surfaces, strict=True):
    ax.contour(grid, grid, surface.reshape(101, 101), levels=[0.5], colors="black")
    for value, marker, colour in ((0, "s", "vermilion"), (1, "o", "blue")):
        ax.plot(*places[TARGETS["XOR"] == value].T, marker, color=PALETTE[colour], markersize=9)
axs[0].set(xlabel="input 1", ylabel="input 2")
axs[1].set(xlabel="hidden unit 1", ylabel="hidden unit 2")
show(
    fig,
    alt="Left: the four XOR corners in input space; two boundary lines cut off the two circles. "
    "Right: the same corners in hidden space, where one line parts circles from squares.",
)

# %% [markdown]
# *Figure 7. The four corners (squares: target 0, circles: target 1) in input space, left, and as
# the two hidden units see them, right. Black: where the output is one half.*
#
# In hidden space the two circles lie almost on top of each other, and one line is enough; in other
# runs it is the two squares that meet, as the count above says. That is what hidden layers are for:
# they rearrange the data until deciding is easy.

# %% [markdown]
# ## Explore it: a small network
#
# A network with one hidden layer, trained in front of you by gradient descent.
# 1. Set the width to 1. What shape does the boundary always have, however long you train?
# 2. Find the smallest width that parts the two moons within 2,000 steps from every seed you try.
# 3. Raise the learning rate until the loss starts to jump. Which section explained why there is
#    such a limit?

# %%
from course_utils.widgets import Playground

Playground(dataset="moons", width=4, activation="tanh", lr=1.0, seed=0)

# %% [markdown]
# ## The idea in symbols: universal approximation
#
# The slides say that three-layer networks approximate any continuous map, and quote Kolmogorov
# (1956):
#
# $$f(x_1,\dots,x_n) = \sum_{q=1}^{2n+1} W_q\Big[\sum_{p=1}^{n}\psi(x_p)\Big], \qquad
# \psi \text{ sigmoidal}.$$
#
# Read it with $W_q$ as numbers: then $f$ is a sum of curves, one for each input. Such a function
# has no interaction between inputs, $f(1,1) - f(1,0) - f(0,1) + f(0,0) = 0$ always, even with
# another $\psi$ for every $p$ and $q$. For XOR that number is −2. Read it with $W_q[\cdot]$ as
# functions of the bracket: then XOR can be had, but one shared $\psi$ treats all inputs alike, so
# $f(x_1, x_2) = f(x_2, x_1)$, and even $f = x_1$ is out of reach.
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $x$ inputs, $n = 2$ here | `X` | (N, n) | [0, 1] |
# | $W_q$ weights | `W` | (2n + 1,) | real |
# | $\psi$ one fixed function | `psi` | scalar to scalar | sigmoid here |


# %%
def slide_formula(X, W, psi):
    """Return the slide's sum over q, with W_q numbers, exactly as printed."""
    return sum(W_q * psi(X).sum(axis=1) for W_q in W)


def interaction(f):
    """Return f(1,1) - f(1,0) - f(0,1) + f(0,0)."""
    f00, f01, f10, f11 = f(CORNERS)
    return f11 - f10 - f01 + f00


W_slide = np.random.default_rng(13).normal(size=(100, 5))  # 100 choices, 2n + 1 = 5 weights each
printed_interactions = [interaction(lambda X, W=W: slide_formula(X, W, sigmoid)) for W in W_slide]
ledger.check_close(
    9, "slide's formula: interaction", printed_interactions, np.zeros(100), kind="invariant"
)
ledger.check_equal(
    9, "XOR: interaction", interaction(lambda X: TARGETS["XOR"]), -2, kind="invariant"
)
bracket = sigmoid(CORNERS).sum(axis=1)  # (4,), the same at (0, 1) and (1, 0)
xor_of_bracket = np.interp(bracket, bracket[[0, 1, 3]], [0, 1, 0])  # one function of it
ledger.check_equal(9, "a function of the bracket can be XOR", xor_of_bracket, TARGETS["XOR"])
ledger.check_close(9, "the bracket cannot tell x1 from x2", bracket[1], bracket[2])

# %% [markdown]
# So neither reading represents every continuous map. What is true:
#
# - **Kolmogorov (1957)**, with Arnold (1957) and after a step in 1956 that still used functions of
#   three variables: every continuous $f$ on $[0,1]^n$ is exactly
#   $\sum_{q=1}^{2n+1} g_q\big(\sum_{p=1}^n \psi_{qp}(x_p)\big)$. The inner $\psi_{qp}$ are fixed,
#   continuous and increasing, the same for all $f$, and far from smooth: they are not sigmoids. The
#   outer $g_q$ are functions, not numbers, and depend on $f$. This is no family with parameters to
#   be fitted; Girosi and Poggio (1989) called the theorem irrelevant for networks that learn.
# - **Cybenko (1989)** and **Hornik, Stinchcombe and White (1989)**: sums
#   $\sum_j v_j\,\sigma(w_j^\top x + b_j)$ come as close as you like to any continuous $f$ on a
#   bounded closed set, *if there are enough hidden units*. No number of units is given, and no
#   method that finds the weights. This is what the slide needs: universal approximation (通用近似).

# %% [markdown]
# ## Try it: widen the hidden layer
#
# One sigmoid hidden layer, a linear output, a curve with several bends, three random starts for
# each width, trained by a quasi-Newton method (L-BFGS) so that training is less of an obstacle.
# **Predict:** how does the error fall from 1 to 64 hidden units?


# %%
def wavy(x):
    """Return the target curve."""
    return torch.sin(3 * torch.pi * x) + 0.5 * torch.cos(7 * x)


def fit_curve(width, seed, x, y):
    """Return a network with one hidden layer fitted to y, and its root mean squared error."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(1, width), nn.Sigmoid(), nn.Linear(width, 1)).double()
    for parameter, std in zip(model.parameters(), (10, 10, 1, 0), strict=True):
        nn.init.normal_(parameter, std=std, generator=generator)
    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=200, line_search_fn="strong_wolfe", tolerance_change=1e-14
    )

    def closure():
        optimizer.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model, closure().item() ** 0.5


# %%
x_curve = torch.linspace(-1, 1, 101, dtype=torch.float64)[:, None]  # (101, 1)
y_curve = wavy(x_curve)
WIDTHS = (1, 2, 4, 8, 16, 32, 64)
fits = {
    (width, seed): fit_curve(width, seed, x_curve, y_curve) for width in WIDTHS for seed in range(3)
}
errors = np.array([[fits[width, seed][1] for seed in range(3)] for width in WIDTHS])  # (7, 3)
for width, row in zip(WIDTHS, errors, strict=True):
    print(f"width {width:2}: root mean squared error", np.array2string(row, precision=4))
ledger.check_at_least(
    9, "error at width 1 / at width 64, worst case", errors[0].min() / errors[-1].max(), 100
)
ledger.check_at_least(
    9, "error at width 4 / at width 32, worst case", errors[2].min() / errors[5].max(), 10
)

# %%
fig, (ax_error, ax_curve) = plt.subplots(1, 2, figsize=(7.5, 3))
ax_error.loglog(WIDTHS, np.median(errors, axis=1), marker="o")
ax_error.fill_between(
    WIDTHS, errors.min(axis=1), errors.max(axis=1), alpha=0.25, color=PALETTE["blue"]
)
ax_error.set_xticks(WIDTHS, labels=WIDTHS)
ax_error.minorticks_off()
ax_error.set(xlabel="hidden units (log scale)", ylabel="RMS error (log scale)")
x_wide = torch.linspace(-1.5, 1.5, 301, dtype=torch.float64)[:, None]
ax_curve.plot(x_wide[:, 0], wavy(x_wide)[:, 0], color="black", label="target")
for width, dash, colour in ((2, ":", "vermilion"), (64, "--", "blue")):
    curve = fits[width, 0][0](x_wide).detach()[:, 0]
    ax_curve.plot(x_wide[:, 0], curve, dash, color=PALETTE[colour], label=f"{width} units")
ax_curve.axvspan(-1, 1, color="0.93", zorder=0)
ax_curve.set(xlabel="input x", ylabel="output", ylim=(-4, 4))
ax_curve.legend(loc="lower center", ncols=2, columnspacing=0.8)
show(
    fig,
    alt="Left: error falls by more than a factor of a hundred as the hidden layer widens from 1 to "
    "64 units. Right: on the grey training range the curve of 64 units covers the target, outside "
    "it leaves the target.",
)

# %% [markdown]
# *Figure 8. Left: root mean squared (RMS) error against width; line: median, band: range of three
# starts. Right: target and two fits; grey: the range that was trained on.*
#
# The error falls by more than a factor of a hundred. Where a wider network ends above a narrower
# one, training is to blame, since the wider one could imitate the other: the theorem promises that
# good weights exist, not that a start finds them. And look outside the grey range: the promise ends
# where the bounded set ends.

# %% [markdown]
# ## Build it: the lecture's listings, in PyTorch of today
#
# The first listing is a class with two layers, Adam (a descent rule, notebook 04), and a loop over
# images flattened to 784 numbers. Its outputs are *logits*, scores that the loss turns into
# probabilities by softmax, as the next section does by hand; the loss is in nats, the unit of a
# natural logarithm. *Held-out* digits are not trained on. Apart from the data loader it needs no
# change. The helper gives the layers torch's default range, $\pm1/\sqrt{n_{\text{in}}}$, but from
# our own generator, so that runs repeat.


# %%
class NeuralNet(nn.Module):
    """The lecture's network: one hidden layer of ReLU units."""

    def __init__(self, input_size, hidden_size, num_classes):
        super().__init__()
        self.fc1 = nn.Linear(input_size, hidden_size)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(hidden_size, num_classes)

    def forward(self, x):
        return self.fc2(self.relu(self.fc1(x)))  # logits, (B, num_classes)


@torch.no_grad()
def draw_weights(model, seed):
    """Set every Linear layer to torch's default range, drawn from a seeded generator."""
    generator = torch.Generator().manual_seed(seed)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            bound = layer.in_features**-0.5
            layer.weight.uniform_(-bound, bound, generator=generator)
            layer.bias.uniform_(-bound, bound, generator=generator)
    return model


# %%
from course_utils.training import accuracy, minibatches

digits = data.load_mnist_5k()
images_train, labels_train = torch.from_numpy(digits.X_train), torch.from_numpy(digits.y_train)
images_test, labels_test = torch.from_numpy(digits.X_test), torch.from_numpy(digits.y_test)
model = draw_weights(NeuralNet(28 * 28, 100, 10), seed=0).to(device)
loss_fn = nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
generator = torch.Generator().manual_seed(0)
for epoch in range(5):
    for images, labels in minibatches(images_train, labels_train, 50, generator):
        images, labels = images.reshape(-1, 28 * 28).to(device), labels.to(device)
        loss = loss_fn(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        test_accuracy = accuracy(model(images_test.reshape(-1, 784).to(device)).cpu(), labels_test)
    print(f"epoch {epoch + 1}: loss {loss.item():.3f} nats, held-out accuracy {test_accuracy:.3f}")

# %% [markdown]
# ## Check it: the listing is our network
#
# Its forward pass is two of our layers with a ReLU between; `nn.Linear` stores its weight
# transposed, (n_out, n_in).

# %%
weights = [p.detach().cpu().double().numpy() for p in model.parameters()]
flat = digits.X_test[:50].reshape(50, -1).astype(float)
hidden = np.maximum(linear_forward(flat, weights[0].T, weights[1]), 0)
ledger.check_close(
    9,
    "NeuralNet equals two layers by hand",
    model.double()(torch.tensor(flat, device=device)),
    linear_forward(hidden, weights[2].T, weights[3]),
)
ledger.check_at_least(9, "the lecture's listing, held-out accuracy", test_accuracy, 0.85)

# %% [markdown]
# The second listing is Keras 1. Several of its names are gone from Keras; the ideas are not.
#
# | on the slide (Keras 1) | Keras 2 and 3 | PyTorch, below |
# |---|---|---|
# | `Sequential()` and `add` | `Sequential([...])` | `nn.Sequential(...)` |
# | `Dense(output_dim=64, ...)` | `Dense(units=64)` | `nn.Linear(100, 64)` |
# | `Dense(..., input_dim=100)` | `Input(shape=(100,))` | first number of `nn.Linear` |
# | `Activation("relu")` | the same | `nn.ReLU()` |
# | `Activation("softmax")` at the end | the same | none: the loss takes logits |
# | `loss="categorical_crossentropy"` | the same | `nn.CrossEntropyLoss()` |
# | one-hot targets | or numbers with `sparse_...` | class numbers or one-hot |
# | `optimizer="sgd"` | the same | `torch.optim.SGD(..., lr=0.01)` |
# | `metrics=["accuracy"]` | the same | a function of logits and targets |
# | `fit(X, Y, nb_epoch=5, ...)` | `fit(X, Y, epochs=5, ...)` | the loop above, or `fit` below |
# | `evaluate(X_test, Y_test, ...)` | the same | `model.eval()`, `torch.no_grad()` |

# %%
from course_utils.training import fit

sequential = draw_weights(nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)), seed=0)
optimizer_sgd = torch.optim.SGD(sequential.parameters(), lr=0.01)
history = fit(
    sequential,
    optimizer_sgd,
    nn.CrossEntropyLoss(),
    (images_train.reshape(-1, 784), labels_train),
    num_epochs=5,
    batch_size=32,
    generator=torch.Generator().manual_seed(0),
    metrics={"accuracy": accuracy},
    val=(images_test.reshape(-1, 784), labels_test),
    device=device,
    progress=False,
)
print("held-out accuracy after each epoch", [f"{a:.3f}" for a in history.metrics["accuracy"]])
logits = torch.randn(6, 10, generator=generator, dtype=torch.float64)
one_hot = nn.functional.one_hot(labels_test[:6], 10).double()
ledger.check_close(
    9,
    "cross-entropy: class numbers equal one-hot",
    nn.CrossEntropyLoss()(logits, labels_test[:6]),
    nn.CrossEntropyLoss()(logits, one_hot),
)

# %% [markdown]
# The accuracy is still rising after the slide's five epochs. Which optimizer, for how long and how
# fast, is the subject of notebook 04.

# %% [markdown]
# ## Build it: digits from scratch
#
# Everything is in place for a network in NumPy alone that reads digits. One new piece: for $K$
# classes the outputs become probabilities by softmax (more on it in notebook 03),
# $P_k = e^{z_k}/\sum_m e^{z_m}$, and the loss is the mean cross-entropy
# $-\frac1B\sum_n\log P_{n,\text{true}}$, in nats. Its delta is again "target minus output":
# $\delta_k = (T_k - P_k)/B$. The rest is `delta_hidden`, `weight_change` and `bias_change` as they
# stand.
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $z$ scores | `Z` | (B, 10) | real |
# | $P$ probabilities | `P` | (B, 10) | (0, 1), rows sum to 1 |
# | $T$ targets, one-hot | `T` | (B, 10) | 0 or 1 |


# %%
def softmax(Z):
    """Return probabilities; the largest score is subtracted first so that exp cannot overflow."""
    exponentials = np.exp(Z - Z.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def delta_output_softmax(T, P):
    """Return delta_k of softmax outputs under the mean cross-entropy."""
    return (T - P) / len(T)


def cross_entropy(T, P):
    """Return the mean cross-entropy in nats of one-hot targets."""
    return -np.log(P[T == 1]).mean()  # only the probability of the true class counts


def train_numpy(params, X, T, batches, lr):
    """Return trained parameters and the loss before each step."""
    losses = []
    for index in batches:
        losses.append(cross_entropy(T[index], forward(params, X[index], softmax)[1]))
        params = bp_step(params, X[index], T[index], lr, lr, softmax, delta_output_softmax)
    return params, losses


# %% [markdown]
# ## Check it: digits from scratch
#
# First the new delta, by central differences. Then the twin: the same weights, the same
# minibatches, but in PyTorch with `nn.CrossEntropyLoss`, automatic differentiation and `SGD`.

# %%
T_soft, Z_soft = np.eye(5)[[0, 3, 3]], rng.normal(size=(3, 5))
ledger.check_gradient(
    10,
    "softmax and cross-entropy delta",
    lambda Z: cross_entropy(T_soft, softmax(Z)),
    Z_soft,
    -delta_output_softmax(T_soft, softmax(Z_soft)),
)
large = np.array([[1000.0, 0.0, -1000.0], [3.0, 2.0, 1.0]])
ledger.check_close(
    10, "softmax of large scores", softmax(large), torch.softmax(torch.tensor(large), dim=-1)
)


# %%
def train_torch(params, X, y, batches, lr):
    """Return the same network trained by PyTorch, and the loss before each step."""
    W1, b1, W2, b2 = (torch.tensor(p) for p in params)
    model = nn.Sequential(nn.Linear(*W1.shape), nn.Sigmoid(), nn.Linear(*W2.shape)).double()
    for parameter, value in zip(model.parameters(), (W1.T, b1[0], W2.T, b2[0]), strict=True):
        parameter.data.copy_(value)
    optimizer, loss_fn, losses = (
        torch.optim.SGD(model.parameters(), lr=lr),
        nn.CrossEntropyLoss(),
        [],
    )
    for index in batches:
        loss = loss_fn(model(X[index]), y[index])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


# %%
def digit_start(seed, width=128, num_epochs=15, batch_size=10):
    """Return starting weights and the minibatch indices of a whole training run."""
    rng = np.random.default_rng(seed)
    W1, b1 = rng.normal(0, 1 / 28, size=(784, width)), np.zeros((1, width))
    W2, b2 = rng.normal(0, width**-0.5, size=(width, 10)), np.zeros((1, 10))
    orders = [rng.permutation(4000).reshape(-1, batch_size) for _ in range(num_epochs)]
    return (W1, b1, W2, b2), np.concatenate(orders)


X_pixels = digits.X_train.reshape(-1, 784).astype(np.float64)  # (4000, 784)
X_held_out = digits.X_test.reshape(-1, 784).astype(np.float64)  # (1000, 784)
T_train = np.eye(10)[digits.y_train]  # (4000, 10)
start_params, batches = digit_start(seed=0)
params_numpy, losses_numpy = train_numpy(start_params, X_pixels, T_train, batches, lr=1.0)
twin, losses_torch = train_torch(
    start_params, torch.tensor(X_pixels), labels_train, torch.tensor(batches), lr=1.0
)
ledger.check_close(
    10,
    "loss of 500 steps, NumPy and PyTorch",
    losses_numpy[:500],
    losses_torch[:500],
    kind="trajectory",
)
print(
    f"{len(batches)} steps; loss {losses_numpy[0]:.2f} nats at first, "
    f"{np.mean(losses_numpy[-500:]):.4f} over the last 500"
)

# %% [markdown]
# The two follow one trajectory: the delta equations *are* what PyTorch computes. Now the digits
# that neither has seen. **Predict:** will fifteen epochs of plain descent with minibatches of ten
# do better or worse than the listing's five epochs of Adam?


# %%
def held_out_accuracy(params):
    """Return the fraction of held-out digits a NumPy network gets right."""
    return (forward(params, X_held_out, softmax)[1].argmax(axis=1) == digits.y_test).mean()


with torch.no_grad():
    twin_accuracy = accuracy(twin(torch.tensor(X_held_out)), labels_test)
accuracies = [held_out_accuracy(params_numpy)]
for seed in (1, 2):
    other_start, other_batches = digit_start(seed)
    accuracies.append(
        held_out_accuracy(train_numpy(other_start, X_pixels, T_train, other_batches, 1.0)[0])
    )
print(
    "NumPy, three seeds:", *(f"{a:.3f}" for a in accuracies), f" PyTorch twin: {twin_accuracy:.3f}"
)
ledger.check_at_least(10, "digits from scratch, lowest of 3 seeds", min(accuracies), 0.94)
ledger.check_at_least(10, "digits, PyTorch twin", twin_accuracy, 0.94)

# %%
guesses = forward(params_numpy, X_held_out, softmax)[1].argmax(axis=1)
wrong = np.flatnonzero(guesses != digits.y_test)
fig, axs = plt.subplots(2, 6, figsize=(7, 2.8))
for ax, index in zip(axs.flat, wrong[:12], strict=True):
    ax.imshow(digits.X_test[index], cmap="gray_r")
    ax.set_title(f"{digits.y_test[index]} → {guesses[index]}")
    ax.axis("off")
show(
    fig,
    alt="Twelve handwritten digits that the network got wrong, each titled with the true digit and "
    "the network's answer; several are hard to read.",
)

# %% [markdown]
# *Figure 9. Twelve held-out digits that the network got wrong: true digit → answer.*
#
# Some would make a person hesitate; others are plain to us and not to the network, which sees 784
# numbers and knows nothing of neighbouring pixels. Notebook 08 gives it that knowledge.

# %% [markdown]
# ## Exercises
#
# ### Exercise 1. One step by hand (easy, 5 minutes)
#
# A perceptron has $w = (1, 1)$, $b = 0.5$. It sees $x = (2, -1)$ with target $t = 0$. What are
# $w_1, w_2, b$ after one step? Work on paper, then fill in the tuple `(w1, w2, b)`.

# %% tags=["exercise"]
answer_step = None

# %%
check_exercise(
    answer_step,
    (-1.0, 2.0, -0.5),
    mistakes={
        "You added the sample; the target is 0 and the output 1, so it is subtracted.": (
            3.0,
            0.0,
            1.5,
        ),
        "You forgot the bias: it moves by t - y too.": (-1.0, 2.0, 0.5),
        "Compute d = w.x + b again: is the output really right already?": (1.0, 1.0, 0.5),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# # d = 2 - 1 + 0.5 = 1.5, so y = 1 and t - y = -1.
# answer_step = (-1.0, 2.0, -0.5)
# ```
# </details>

# %% [markdown]
# ### Exercise 2. A learning-rate limit (medium, 10 minutes)
#
# Multiply the second input of the four samples below by 10, add the column of ones, and use *half
# of the mean* squared error. What is the largest learning rate below which gradient descent
# converges? `with_ones` and `np.linalg.eigvalsh` help.

# %% tags=["exercise"]
X_exercise = np.array([[0, 0], [0, 1], [1, 0], [3, 1]])  # (4, 2)
answer_limit = None


# %%
def exercise_limit(X1):
    """Return 2 / lambda_max of half the mean squared error over four samples."""
    return 2 / np.linalg.eigvalsh(X1.T @ X1 / 4)[-1]


stretched_samples = np.array([[0, 0], [0, 10], [1, 0], [3, 10]])
X1_stretched = with_ones(stretched_samples)
limit_right = exercise_limit(X1_stretched)
check_exercise(
    answer_limit,
    limit_right,
    mistakes={
        "That is 1/lambda_max, or the limit for the mean without the half.": limit_right / 2,
        "You divided by N once too few: the loss is a mean over 4 samples.": limit_right / 4,
        "The bias needs its column of ones.": exercise_limit(stretched_samples),
        "You used the smallest eigenvalue; the largest one breaks first.": 2
        / np.linalg.eigvalsh(X1_stretched.T @ X1_stretched / 4)[0],
        "The second input is not stretched yet.": exercise_limit(
            with_ones(stretched_samples * [1, 0.1])
        ),
        "You stretched the first input; the second was asked for.": exercise_limit(
            with_ones(stretched_samples * [10, 0.1])
        ),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# X_exercise = np.array([[0, 0], [0, 1], [1, 0], [3, 1]])  # (4, 2)
# stretched = with_ones(X_exercise * [1, 10])  # (4, 3)
# hessian = stretched.T @ stretched / 4  # (3, 3)
# answer_limit = 2 / np.linalg.eigvalsh(hessian)[-1]
# ```
# One large input sets the limit for all of them: another reason to standardise.
# </details>

# %% [markdown]
# ### Exercise 3. A new operation for the engine (medium, 10 minutes)
#
# Write `log(v)` for a `Value`, with the pattern of `exp`. Then use `backward` to find the
# derivative of $a\log a + a^3$ at $a = 2$.

# %% tags=["exercise"]
answer_slope = None

# %%
check_exercise(
    answer_slope,
    math.log(2) + 13,
    mistakes={
        "The slope of log at a is 1/a, not log a.": math.log(2) + 2 * math.log(2) + 12,
        "The slope of log at a is 1/a, not a.": math.log(2) + 4 + 12,
        "Only the last use of a counted: are gradients accumulated?": 12.0,
        "That is the value of the expression; the derivative is in a.grad.": 2 * math.log(2) + 8,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def log(v):
#     """Return the natural logarithm of a Value."""
#     return v.apply("log", math.log(v.data), 1 / v.data)
#
#
# a_leaf = Value(2.0)
# backward(a_leaf * log(a_leaf) + a_leaf**3)
# answer_slope = a_leaf.grad  # log a + 1 + 3 a^2
# ```
# </details>

# %% [markdown]
# ### Exercise 4. The delta of a tanh layer (medium, 10 minutes)
#
# Suppose the hidden units are $H_j = \tanh(z_j)$ instead of sigmoids. Given the arrays below,
# compute `delta_j`, shape (2, 3).

# %% tags=["exercise"]
delta_k_given = np.array([[0.5, -1.0], [2.0, 0.0]])  # (2, 2)
W2_given = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]])  # (3, 2)
H_given = np.array([[0.5, -0.2, 0.9], [0.0, 0.3, -0.6]])  # (2, 3)
answer_delta = None

# %%
delta_sum = delta_k_given @ W2_given.T  # (2, 3)
check_exercise(
    answer_delta,
    delta_sum * (1 - H_given**2),
    mistakes={
        "H(1 - H) is the slope of the sigmoid; tanh has another one.": delta_sum
        * H_given
        * (1 - H_given),
        "The sum over k is right; now multiply by the slope of tanh.": delta_sum,
        "You took tanh of H once more; H is the output of tanh already.": delta_sum
        * (1 - np.tanh(H_given) ** 2),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# delta_k_given = np.array([[0.5, -1.0], [2.0, 0.0]])  # (2, 2)
# W2_given = np.array([[1.0, 2.0], [0.0, -1.0], [3.0, 0.5]])  # (3, 2)
# H_given = np.array([[0.5, -0.2, 0.9], [0.0, 0.3, -0.6]])  # (2, 3)
# answer_delta = (delta_k_given @ W2_given.T) * (1 - H_given**2)
# ```
# </details>

# %% [markdown]
# ### Exercise 5. Read digits better (open, 45 minutes)
#
# With the same 4,000 training digits, reach a held-out accuracy of 0.955 or more. Everything else
# is yours: width, activation, optimizer, epochs, or more training pictures made from the given
# ones. Choose between your ideas on 500 digits set apart *from the training set*; look at the
# held-out digits once, at the end. `answer_accuracy` is a fraction.

# %% tags=["exercise"]
answer_accuracy = None

# %%
verdict = None
if isinstance(answer_accuracy, (int, float)):
    verdict = "a percentage" if answer_accuracy > 1 else str(answer_accuracy >= 0.955)
elif answer_accuracy is not None:
    verdict = "not a number"
check_exercise(
    verdict,
    "True",
    mistakes={
        "Give a fraction between 0 and 1, not a percentage.": "a percentage",
        "Give one number, the fraction of held-out digits that is right.": "not a number",
        "Not at 0.955 yet. What changes a picture but not the digit in it?": "False",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# shifts = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)]
# shifted = torch.cat([images_train.roll(shift, dims=(1, 2)) for shift in shifts]).reshape(-1, 784)
# better = draw_weights(nn.Sequential(nn.Linear(784, 200), nn.ReLU(), nn.Linear(200, 10)), seed=0)
# fit(
#     better, torch.optim.Adam(better.parameters(), lr=0.002), nn.CrossEntropyLoss(),
#     (shifted, labels_train.repeat(5)), num_epochs=4, batch_size=100,
#     generator=torch.Generator().manual_seed(0), progress=False,
# )
# with torch.no_grad():
#     answer_accuracy = accuracy(better(images_test.reshape(-1, 784)), labels_test)
# ```
# A digit moved by one pixel is the same digit. Five pictures for each given one teach the network
# so.
# </details>

# %% [markdown]
# ## Recap
#
# - Hebb's rule stores what was active together; with no error signal it neither stops nor notices
#   failure.
# - One threshold unit draws one line. The perceptron finds it in at most $R^2/\gamma^2$ mistakes if
#   it exists; if not, it never settles, and on integers it cycles. Batch ADALINE settles, below a
#   learning rate of $2/\lambda_{\max}$; one sample at a time it keeps swinging.
# - Backpropagation is the chain rule, walked backwards, adding up at every shared node. The delta
#   depends on output *and* loss: check it numerically.
# - Hidden layers rearrange data until a line suffices. Width helps; existence is not trainability.
#
# **Explore answers.** Perceptron: (1) case 1; (2) an update helps the sample in hand only, but each
# one moves the weights along the separator $u$ by at least $\gamma$, and there can be no more than
# $R^2/\gamma^2$ of them; (3) every four steps. Graph: (1) the loss, with gradient 1; (2) at $h$:
# the sum over $k$ in $\delta_j$; (3) it nearly vanishes at tanh, whose slope is $1 - h^2$.
# Playground: (1) a straight line; (2) three from nearly every seed, four from all that we tried;
# (3) ADALINE's.
#
# **In practice** PyTorch's autograd replaces hand-written deltas, ReLU replaces sigmoid in hidden
# layers, Adam replaces plain descent.
#
# **Roads not taken:** forward-mode differentiation, the pocket and voted perceptrons, Oja's brake
# on Hebb.
#
# **References.** Hebb, *The Organization of Behavior* (1949). McCulloch and Pitts, *Bull. Math.
# Biophys.* 5 (1943): the threshold unit. Rosenblatt, *Psychol. Rev.* 65 (1958): the perceptron.
# Novikoff, *Symp. Math. Theory of Automata* (1962): the mistake bound. Minsky and Papert,
# *Perceptrons* (1969): its limits. Widrow and Hoff, *IRE WESCON* (1960): ADALINE. Block and Levin,
# *Proc. AMS* 26 (1970): bounded cycling. Muroga, *Threshold Logic* (1971): counts. Werbos, thesis,
# Harvard (1974); Rumelhart, Hinton and Williams, *Nature* 323 (1986): backpropagation. Linnainmaa,
# thesis, Helsinki (1970): reverse-mode differentiation. Cybenko, *MCSS* 2 (1989); Hornik,
# Stinchcombe and White, *Neural Networks* 2 (1989): approximation. Girosi and Poggio, *Neural
# Computation* 1 (1989): against Kolmogorov for networks.
