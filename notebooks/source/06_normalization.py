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
# # Normalise inputs and layers, and measure what it buys
#
# **You will build** feature scaling, and batch, layer, instance and group normalisation as one
# function over axes, with the backward pass, the running statistics and the folding.
#
# **You will learn** to
# - say what scaling does to the condition number, and what it cannot do;
# - derive the gradient of a layer whose statistics depend on its input;
# - tell training mode from inference mode by their mistakes;
# - choose the axes of a normalisation from the batch size and the task;
# - measure larger rates, noise and placement instead of quoting them.
#
# **You need** notebooks 02, 04 and 05, about two and a half hours, and a CPU. Reviewed 2026-11-22.

# %%
import copy
import itertools
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import data
from course_utils.checks import Ledger, check_exercise
from course_utils.figures import MARKERS, PALETTE, show, use_course_style
from course_utils.models import draw_weights, make_mlp
from course_utils.training import accuracy, fit
from course_utils.widgets import NormalizationCube

use_course_style()
ledger = Ledger("06_normalization")

# %% [markdown]
# ## Why
#
# The lecture's example: one feature takes the values 1, 2, ..., the other 100, 200, ... A plane
# $\hat y=b+w_1x_1+w_2x_2$ is fitted to sixty such points by gradient descent. Take the first
# feature for the number of rooms of a flat, the second for its area in square feet.
#
# **Predict.** Both runs below may use nine tenths of the largest learning rate they can bear. One
# sees the features as they are, the other their z-scores: each feature minus its mean, divided by
# its spread. How far does each come in 40 steps?


# %%
F64 = torch.float64


def make_flats(num_samples, seed):
    """Return rooms and area, (R, 2), and a price that is linear in them, with noise."""
    generator = torch.Generator().manual_seed(seed)
    rooms = torch.randint(1, 10, (num_samples,), generator=generator).to(F64)
    extra = torch.randint(1, 6, (num_samples,), generator=generator).to(F64)
    features = torch.stack([rooms, 100 * (rooms // 2 + extra)], dim=1)
    noise = torch.randn(num_samples, generator=generator, dtype=F64)
    return features, 3.0 + features @ torch.tensor([0.5, 0.01], dtype=F64) + 0.3 * noise


# %%
def descend(A, y, start, num_steps):
    """Return the path of gradient descent on half the mean squared error, (steps + 1, weights)."""
    lr = 0.9 * 2 / torch.linalg.eigvalsh(A.T @ A / len(A)).max()
    path = [start]
    for _ in range(num_steps):
        path.append(path[-1] - lr * A.T @ (A @ path[-1] - y) / len(A))
    return torch.stack(path)


X_flats, y_flats = make_flats(num_samples=60, seed=0)
X_flats[:4]

# %%
centred_flats = X_flats - X_flats.mean(dim=0)
views = {"as measured": X_flats, "z-scores": centred_flats / X_flats.std(dim=0, correction=0)}
walks, bottoms = {}, {}
for view, columns in views.items():
    # The constant is held at its best value, so that two weights are left to draw.
    full = torch.cat([columns, torch.ones(60, 1, dtype=F64)], dim=1)
    *bottom, b_best = torch.linalg.lstsq(full, y_flats[:, None]).solution[:, 0]
    bottoms[view] = torch.stack(bottom)
    start = bottoms[view] + torch.tensor([-1.2, 0.8], dtype=F64)
    walks[view] = descend(columns, y_flats - b_best, start, num_steps=40)
    left = (walks[view][-1] - bottoms[view]).norm() / (start - bottoms[view]).norm()
    print(f"{view:12s} part of the distance that is left after 40 steps: {left:.2g}")

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.7), sharey=True)
line = torch.linspace(-1.5, 1.5, 101, dtype=F64)
offsets = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)  # (101, 101, 2)
for ax, view in zip(axs, views, strict=True):
    hessian = views[view].T @ views[view] / 60
    height = 0.5 * torch.einsum("abi,ij,abj->ab", offsets, hessian, offsets)
    levels = [height.max().item() * share for share in (0.001, 0.01, 0.05, 0.15, 0.35)]
    ax.contour(line, line, height, levels=levels, colors="0.75", linewidths=0.8)
    ax.plot(*(walks[view] - bottoms[view]).T, marker="o", markersize=3, linewidth=1)
    ax.plot(0, 0, "*", color=PALETTE["vermilion"], markersize=12)
    ax.set(xlabel="$w_1$ from its best value", title=view, aspect="equal")
axs[0].set_ylabel("$w_2$ from its best value")
show(
    fig,
    alt="Left: contours are nearly horizontal lines, the path jumps up and down and does not move "
    "towards the star. Right: contours are ellipses, the path ends at the star.",
)

# %% [markdown]
# *Figure 1. Forty steps of gradient descent from the same offset. Left: raw features; the contours
# are ellipses so long that a piece of them looks straight. Right: z-scores.*
#
# On the left the steep direction, $w_2$, uses up the learning rate, and the flat one stays where
# it was. The cure is a subtraction and a division, and the rest of this notebook carries both into
# the inside of a network.

# %% [markdown]
# ## The idea in symbols
#
# **Standardisation** or z-score (标准化) and **min-max normalisation** (最小-最大归一化) of
# feature $i$, over the $R$ samples of the training set:
#
# $$x_i^r\leftarrow\frac{x_i^r-m_i}{\sigma_i},\quad m_i=\frac1R\sum_r x_i^r,\quad
# \sigma_i^2=\frac1R\sum_r(x_i^r-m_i)^2;\qquad
# x_i^r\leftarrow\frac{x_i^r-\min_i}{\max_i-\min_i}\in[0,1].$$
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $x_i^r$, feature $i$ of sample $r\le R$ | `X[r, i]` | $(R,D)$ | that of the feature |
# | $m_i$ or $\min_i$; $\sigma_i$ or $\max_i-\min_i$ | `shift`; `scale` | $(D,)$ | the feature's |
# | $J$, the loss ($L$ is a length here) | `loss` | scalar | nats, or squared error |
# | $\kappa$, **condition number** (条件数) of the Hessian | `condition` | scalar | $\ge1$ |
# | $N,C$: samples (lecture: $K$), channels | `x.shape` | integers | $\ge1$ |
# | $L$ or $H,W$: positions of a sequence, of a picture | `x.shape` | integers | $\ge1$ |
# | $z$; $\mu,\sigma^2$, its mean and variance | `z`; `mean`, `var` | e.g. $(N,C)$; $(C,)$ | |
# | $\hat z$, the normalised $z$ | `z_hat` | as $z$ | dimensionless |
# | $\gamma,\beta$, learnt scale and shift | `gamma`, `beta` | $(C,)$ | those of the output |
# | $\epsilon$; $\tilde\sigma=\sqrt{\sigma^2+\epsilon}$ | `eps`; `sigma` | scalar; $(C,)$ | $>0$ |
# | $g=\partial J/\partial y$ for $y=\gamma\hat z+\beta$ | `grad` | as $z$ | loss per output |
# | $\tau$, weight of the newest batch | `momentum` | scalar | $[0,1]$ |
# | $G$, number of groups | `num_groups` | integer | divides $C$ |
# | $P,U$: pictures per worker, workers | `per_worker`, `workers` | integers | $\ge1$ |
# | $\eta$; $\rho$, correlation of two features | `lr`; `correlation` | scalars | $>0$; $[-1,1]$ |
#
# ## Build it: feature scaling
#
# Each method is a fit, which looks at data and returns a shift and a scale, and one way to apply
# them. A feature that never changes has $\sigma_i=0$ and would give 0/0; it gets the scale 1. The
# test asks the values, not $\sigma_i$: 37 times 0.1 does not average to exactly 0.1 in floating
# point, and $\sigma_i$ comes out tiny instead of 0.


# %%
def fit_z_score(X):
    """Return the mean and the standard deviation (divisor R) of each feature."""
    shift, scale = X.mean(dim=0), X.std(dim=0, correction=0)
    return shift, torch.where(X.amax(dim=0) == X.amin(dim=0), 1.0, scale)


def fit_min_max(X):
    """Return the minimum and the range of each feature."""
    shift = X.amin(dim=0)
    scale = X.amax(dim=0) - shift
    return shift, torch.where(scale == 0, 1.0, scale)


def rescale(X, shift, scale):
    """Return (X - shift) / scale, feature by feature."""
    return (X - shift) / scale


# %% [markdown]
# ## Check it: feature scaling
#
# Against scikit-learn, fitted on 37 samples and applied to 5 others; column 2 is constant on the
# training samples and not on the new ones. The lecture's formulas, which have no guard for that,
# are tried as well (*as printed*). In the lines below, `row` is the line of `coverage.csv`: 118
# z-score, 119 min-max; later 120 batch, 121 layer, 122 instance and 123 group norm.

# %%
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

draw = torch.Generator().manual_seed(1)
X_fit = torch.randn(37, 4, generator=draw, dtype=F64) * torch.tensor([1e-3, 1.0, 0.0, 50.0]) + 7
X_new = torch.randn(5, 4, generator=draw, dtype=F64) * torch.tensor([4e-3, 4.0, 1.0, 200.0]) + 7
for row, fit_scale, reference in (
    (118, fit_z_score, StandardScaler()),
    (119, fit_min_max, MinMaxScaler()),
):
    name = type(reference).__name__
    expected = reference.fit(X_fit.numpy()).transform(X_new.numpy())
    ledger.check_close(row, f"new samples = {name}", rescale(X_new, *fit_scale(X_fit)), expected)
    ours = rescale(X_fit, *fit_scale(X_fit))
    ledger.check_close(row, f"fitted = {name}", ours, reference.transform(X_fit.numpy()))
tenths = torch.full((37, 1), 0.1, dtype=F64)
expected = StandardScaler().fit(tenths.numpy()).transform(tenths.numpy() + 0.2)
ours = rescale(tenths + 0.2, *fit_z_score(tenths))
ledger.check_close(118, "constant 0.1 = StandardScaler", ours, expected)

# %%
as_printed = (X_fit - X_fit.mean(dim=0)) / X_fit.std(dim=0, correction=0)
with ledger.refuses(118, "z-score as printed, with a constant feature"):
    ledger.check_close(118, "constant feature", as_printed, rescale(X_fit, *fit_z_score(X_fit)))
lowest, highest = X_fit.amin(dim=0), X_fit.amax(dim=0)
with ledger.refuses(119, "min-max as printed, with a constant feature"):
    ledger.check_close(
        119, "constant", (X_fit - lowest) / (highest - lowest), torch.zeros_like(X_fit)
    )
new_range = rescale(X_new, *fit_min_max(X_fit))[:, [0, 1, 3]]
print(f"new samples lie between {new_range.min():.2f} and {new_range.max():.2f}")
ledger.check_at_most(119, "lowest new sample after min-max", new_range.min(), -0.1)

# %% [markdown]
# Two things to keep. One constant pixel turns the printed formula into NaN. And min-max promises
# $[0,1]$ for the samples it was fitted on, not for new ones.
#
# ## Build it: the condition number
#
# With a column of ones for $b$, half the mean squared error has the Hessian $A^\top A/R$. Its
# condition number $\kappa=\lambda_{\max}/\lambda_{\min}$ sets the pace of gradient descent
# (notebook 04). **Predict** the order of four versions, from worst to best: raw, centred, min-max,
# z-score. Does any of them remove the correlation of the features?


# %%
def with_constant(X):
    """Return the features with a column of ones behind them."""
    return torch.cat([X, torch.ones(len(X), 1, dtype=X.dtype)], dim=1)


def condition(X):
    """Return the condition number of the Hessian of a linear model with a constant."""
    A = with_constant(X)
    curvature = torch.linalg.eigvalsh(A.T @ A / len(A))
    return (curvature[-1] / curvature[0]).item()


# %%
versions = {
    "raw": X_flats,
    "centred": centred_flats,
    "min-max": rescale(X_flats, *fit_min_max(X_flats)),
    "z-score": rescale(X_flats, *fit_z_score(X_flats)),
}
conditions = {version: condition(columns) for version, columns in versions.items()}
for version, kappa in conditions.items():
    print(f"{version:8s} condition number {kappa:12.1f}")

# %% [markdown]
# ## Check it: the condition number
#
# Against NumPy's, which takes singular values of $A$. After the z-score the Hessian is the
# correlation matrix with a 1 beside it, so for two features
# $\kappa=(1+|\rho|)/(1-|\rho|)$ exactly. And $\kappa$ does not depend on the units of the
# features any more.

# %%
import numpy as np

for row, version in ((118, "raw"), (118, "z-score"), (119, "min-max")):
    by_numpy = np.linalg.cond(with_constant(versions[version]).numpy()) ** 2
    name = f"condition number, {version}"
    ledger.check_close(row, name, conditions[version], by_numpy, tolerance=1e-6)
correlation = np.corrcoef(X_flats.T.numpy())[0, 1]
by_correlation = (1 + abs(correlation)) / (1 - abs(correlation))
ledger.check_close(118, "z-score: closed form", conditions["z-score"], by_correlation)
in_other_units = X_flats * torch.tensor([12.0, 0.0929]) + torch.tensor([-3.0, 40.0])
for row, fit_scale in ((118, fit_z_score), (119, fit_min_max)):
    rescaled = rescale(in_other_units, *fit_scale(in_other_units))
    original = rescale(X_flats, *fit_scale(X_flats))
    name = f"{fit_scale.__name__}: same numbers in other units"
    ledger.check_close(row, name, rescaled, original, kind="invariant")

# %% [markdown]
# ## Try it: what a smaller condition number is worth
#
# All three weights from zero, each version at nine tenths of its own limit.

# %%
fig, ax = plt.subplots(figsize=(5.4, 2.7))
excess = {}
for (version, columns), mark in zip(versions.items(), MARKERS, strict=False):
    A = with_constant(columns)
    best = torch.linalg.lstsq(A, y_flats[:, None]).solution[:, 0]
    steps = descend(A, y_flats, torch.zeros(3, dtype=F64), num_steps=300)
    loss = (((steps - best) @ A.T) ** 2).mean(dim=1) / 2  # above the least possible
    excess[version] = loss / loss[0]
    ax.semilogy(excess[version].clamp(min=1e-12), marker=mark, markevery=60, label=version)
ax.set(xlabel="step", ylabel="excess loss / first (log scale)", ylim=(1e-10, 3))
ax.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9)
show(
    fig,
    alt="Excess loss over 300 steps: raw and centred stay on plateaus, min-max falls steadily, "
    "z-score drops to the floor of the figure within some dozens of steps.",
)

# %% [markdown]
# *Figure 2. Excess loss (log scale) of the linear model for four versions of the same features;
# markers every 60 steps.*

# %%
needed_steps = {version: int((values > 1e-6).sum()) for version, values in excess.items()}
print("steps until a millionth is left (301: never):", needed_steps)
ledger.check_equal(118, "raw features: never within 300 steps", needed_steps["raw"], 301)
ratio = needed_steps["min-max"] / needed_steps["z-score"]
ledger.check_at_least(119, "steps, min-max / z-score", ratio, 2)

# %% [markdown]
# Centring alone lowers $\kappa$ and is slower here: it makes the constant the flat direction, and
# most of the loss lies along it. The condition number is a worst case, not a forecast. Min-max
# leaves every feature positive, so $b$ and the weights stay entangled. What remains after the
# z-score is the correlation: none of the four removes it, only a rotation (whitening) would.
#
# ### One outlier
#
# **Predict.** Of 200 values one is wrong by a factor of 1000. Which part of $[0,1]$ do the other
# 199 share after min-max? Are z-scores safe?

# %%
heights = 1.7 + 0.1 * torch.randn(200, 1, generator=draw, dtype=F64)
mistyped = heights.clone()
mistyped[0] *= 1000
for name, fit_scale in (("min-max", fit_min_max), ("z-score", fit_z_score)):
    clean, dirty = (rescale(sample, *fit_scale(sample))[1:] for sample in (heights, mistyped))
    part = ((dirty.max() - dirty.min()) / (clean.max() - clean.min())).item()
    print(f"{name}: the other 199 keep {part:.5f} of their spread")
    row = {"min-max": 119, "z-score": 118}[name]
    ledger.check_at_most(row, f"{name}: spread kept beside one outlier", part, 0.01)
quartiles = torch.quantile(mistyped, torch.tensor([0.25, 0.75], dtype=F64), dim=0)
robust = rescale(mistyped, mistyped.quantile(0.5, dim=0), quartiles[1] - quartiles[0])
by_sklearn = RobustScaler().fit_transform(mistyped.numpy())
ledger.check_close(119, "median and quartiles = RobustScaler", robust, by_sklearn)

# %% [markdown]
# Both break: a minimum, a maximum, a mean and a standard deviation all listen to a single value.
# The median and the quartiles do not; scikit-learn calls that scaler `RobustScaler`.
#
# ### Fit on the training data only
#
# The shift and the scale are learnt, so they belong to the model. Two ways to get this wrong.
# First: fit on all data, test samples included. Then a test value changes the *training*
# features, which is **leakage** (数据泄漏); below, one test picture of pixels 3.0, which no picture
# has, squeezes them. Second: give the test samples statistics of their own. **Predict** what the
# second does to a classifier when the test samples of one class arrive together.

# %%
digits = data.load_digits_8x8()
X_DIGITS, Y_DIGITS = torch.from_numpy(digits.X_train).flatten(1), torch.from_numpy(digits.y_train)
X_CHECK, Y_CHECK = torch.from_numpy(digits.X_test).flatten(1), torch.from_numpy(digits.y_test)
disturbed = X_CHECK.clone()
disturbed[0] = 3.0
leaky = [rescale(X_DIGITS, *fit_min_max(torch.cat([X_DIGITS, X]))) for X in (X_CHECK, disturbed)]
leaked = (leaky[1] - leaky[0]).abs().max()
ledger.check_at_least(119, "fitted on all: a training feature moves by", leaked, 0.5)


# %%
def nearest_mean(X_train, y_train, X):
    """Return for each sample the class whose mean is nearest."""
    means = torch.stack([X_train[y_train == label].mean(dim=0) for label in range(10)])
    return torch.cdist(X, means).argmin(dim=1)


# %%
shift, scale = fit_z_score(X_DIGITS)
scored = rescale(X_DIGITS, shift, scale)
share_right = {"statistics of the training set": 0.0, "statistics of each test class": 0.0}
for label in range(10):
    arrived = X_CHECK[label == Y_CHECK]
    readings = (rescale(arrived, shift, scale), rescale(arrived, *fit_z_score(arrived)))
    for kind, reading in zip(share_right, readings, strict=True):
        right = (nearest_mean(scored, Y_DIGITS, reading) == label).sum()
        share_right[kind] += right.item() / len(X_CHECK)
print({kind: round(share, 3) for kind, share in share_right.items()})
lost = share_right["statistics of the training set"] - share_right["statistics of each test class"]
ledger.check_at_least(118, "accuracy lost by scaling each test class by itself", lost, 0.4)

# %% [markdown]
# With statistics of its own, every class has mean zero, and what told it apart is gone. Remember
# this picture: batch normalisation in the wrong mode makes exactly this mistake.

# %% [markdown]
# ## The idea in symbols: batch normalisation
#
# Scaled inputs do not stay scaled: after one layer with input $a$ the features are $z=Wa+b$, and
# their means and spreads change with every step of training. **Batch normalisation** (批归一化,
# Ioffe and Szegedy, 2015) applies the z-score there, over the $N$ samples of the current mini-batch
# ($\odot$: entry by entry):
#
# $$\mu=\frac1N\sum_n z_n,\quad\sigma^2=\frac1N\sum_n(z_n-\mu)\odot(z_n-\mu),\quad
# \hat z_n=\frac{z_n-\mu}{\sqrt{\sigma^2+\epsilon}},\quad y_n=\gamma\odot\hat z_n+\beta .$$
#
# The usual place is after the affine map and before the activation. $\gamma$ and $\beta$ are
# learnt, so that the layer can undo the normalisation where that helps.
#
# ## Build it: batch normalisation, forward
#
# First as the sums say, one unit and one sample at a time; then on whole columns.


# %%
def batch_norm_by_loop(z, gamma, beta, eps):
    """Return gamma * z_hat + beta for z of shape (N, C), by loops."""
    y = torch.empty_like(z)
    for c in range(z.shape[1]):
        mu = sum(z_n[c] for z_n in z) / len(z)
        var = sum((z_n[c] - mu) * (z_n[c] - mu) for z_n in z) / len(z)
        for n in range(len(z)):
            y[n, c] = gamma[c] * (z[n, c] - mu) / math.sqrt(var + eps) + beta[c]
    return y


def batch_norm(z, gamma, beta, eps):
    """Return the same for all units at once."""
    mean, var = z.mean(dim=0), z.var(dim=0, correction=0)
    return gamma * (z - mean) / torch.sqrt(var + eps) + beta


# %% [markdown]
# ## Check it: batch normalisation, forward
#
# On 7 samples of 3 units, with a large $\epsilon$ and no default anywhere. The likely slip is the
# variance with $N-1$.


# %%
def draw_layer(N, C, seed):
    """Return z, gamma, beta and an upstream gradient of a random layer."""
    generator = torch.Generator().manual_seed(seed)
    z, grad = (torch.randn(N, C, generator=generator, dtype=F64) for _ in range(2))
    gamma, beta = (torch.randn(C, generator=generator, dtype=F64) for _ in range(2))
    return 2 * z + 3, gamma, beta, grad


EPS = 0.05
z, gamma, beta, grad = draw_layer(7, 3, seed=0)
by_torch = F.batch_norm(z, None, None, gamma, beta, training=True, eps=EPS)
ledger.check_close(120, "forward, loop", batch_norm_by_loop(z, gamma, beta, EPS), by_torch)
ledger.check_close(120, "forward, tensor", batch_norm(z, gamma, beta, EPS), by_torch)
with ledger.refuses(120, "variance with divisor N - 1"):
    unbiased = (z - z.mean(dim=0)) / torch.sqrt(z.var(dim=0) + EPS)
    ledger.check_close(120, "forward, N - 1", gamma * unbiased + beta, by_torch)

# %% [markdown]
# ## The idea in symbols: the backward pass
#
# $\mu$ and $\sigma$ depend on *every* sample, so the loss of one sample has a gradient on all
# others. Write $h=\gamma\odot g$ for the gradient at $\hat z$ and
# $\tilde\sigma=\sqrt{\sigma^2+\epsilon}$. With
#
# $$\frac{\partial\mu}{\partial z_n}=\frac1N,\qquad
# \frac{\partial\sigma^2}{\partial z_n}=\frac2N(z_n-\mu)$$
#
# (in $\sigma^2$ the change of $\mu$ cancels, since $\sum_n(z_n-\mu)=0$) and, all products and
# quotients entry by entry,
#
# $$\frac{\partial J}{\partial\mu}=-\frac1{\tilde\sigma}\sum_k h_k,\qquad
# \frac{\partial J}{\partial\sigma^2}=-\frac1{2\tilde\sigma^2}\sum_k h_k\hat z_k ,$$
#
# the three routes from $z_n$ to the loss (directly, through $\mu$, through $\sigma^2$) add up, with
# $z_n-\mu=\tilde\sigma\hat z_n$, to
#
# $$\frac{\partial J}{\partial z_n}=\frac1{\tilde\sigma}\Big(h_n-\frac1N\sum_k h_k
# -\hat z_n\,\frac1N\sum_k h_k\hat z_k\Big),\qquad
# \frac{\partial J}{\partial\gamma}=\sum_n g_n\hat z_n,\qquad
# \frac{\partial J}{\partial\beta}=\sum_n g_n .$$
#
# Read it as geometry: of the upstream gradient, what would only shift or stretch the batch is
# taken away, since the layer undoes such changes anyway (the stretch exactly for $\epsilon\to0$).
#
# ## Build it: batch normalisation, backward


# %%
def batch_norm_backward(grad, z, gamma, eps):
    """Return the gradients with respect to z, gamma and beta."""
    mean, var = z.mean(dim=0), z.var(dim=0, correction=0)
    sigma = torch.sqrt(var + eps)
    z_hat = (z - mean) / sigma
    h = gamma * grad
    grad_z = (h - h.mean(dim=0) - z_hat * (h * z_hat).mean(dim=0)) / sigma
    return grad_z, (grad * z_hat).sum(dim=0), grad.sum(dim=0)


# %% [markdown]
# ## Check it: batch normalisation, backward
#
# Against torch's derivative of its own layer, and against central differences of the loop. Then
# the popular wrong version, which treats $\mu$ and $\sigma$ as constants.

# %%
tracked = [part.clone().requires_grad_() for part in (z, gamma, beta)]
out = F.batch_norm(tracked[0], None, None, *tracked[1:], training=True, eps=EPS)
by_torch_grads = torch.autograd.grad((out * grad).sum(), tracked)
by_hand_grads = batch_norm_backward(grad, z, gamma, EPS)
for name, ours, theirs in zip(("z", "gamma", "beta"), by_hand_grads, by_torch_grads, strict=True):
    ledger.check_close(120, f"backward, {name}: torch", ours, theirs, kind="gradient")
ledger.check_gradient(
    120,
    "backward, z: central differences",
    lambda point: (batch_norm_by_loop(torch.from_numpy(point), gamma, beta, EPS) * grad).sum(),
    z,
    by_hand_grads[0],
)
with ledger.refuses(120, "gradient with mean and variance held constant"):
    direct_only = gamma * grad / torch.sqrt(z.var(dim=0, correction=0) + EPS)
    ledger.check_close(120, "direct route only", direct_only, by_torch_grads[0])

# %% [markdown]
# ### Can the layer be the identity?
#
# The lecture: with $\gamma=\sigma$ and $\beta=\mu$ batch normalisation is the identity. **Predict**
# two things. Is this exact? And if the outputs equal the inputs, is the gradient passed on
# unchanged as well?

# %%
mean, var = z.mean(dim=0), z.var(dim=0, correction=0)
with ledger.refuses(120, "identity with gamma = sigma, as printed"):
    ledger.check_close(120, "identity as printed", batch_norm(z, var.sqrt(), mean, EPS), z)
sigma = torch.sqrt(var + EPS)
ledger.check_close(120, "identity with gamma = sqrt(var + eps)", batch_norm(z, sigma, mean, EPS), z)
grad_inside = batch_norm_backward(grad, z, sigma, EPS)[0]
with ledger.refuses(120, "gradient of the layer that acts as the identity is the identity's"):
    ledger.check_close(120, "identity's gradient", grad_inside, grad)
ledger.check_close(120, "what is passed on has mean zero", grad_inside.mean(dim=0), torch.zeros(3))

# %% [markdown]
# It is exact only when $\gamma$ includes $\epsilon$. And it is the identity for this batch, not as
# a function: $\gamma$ and $\beta$ are fixed numbers while $\mu$ and $\sigma$ follow $z$, so a
# common shift of the batch still vanishes, and so does its gradient. Were $\gamma$ and $\beta$ to
# follow the batch as well, the layer would be the identity in every respect:

# %%
z_moving = z.clone().requires_grad_()
follows = torch.sqrt(z_moving.var(dim=0, correction=0) + EPS)
out = F.batch_norm(z_moving, None, None, follows, z_moving.mean(dim=0), training=True, eps=EPS)
grad_through = torch.autograd.grad((out * grad).sum(), z_moving)[0]
ledger.check_close(
    120, "gamma, beta follow the batch: gradient passes", grad_through, grad, kind="gradient"
)

# %% [markdown]
# ### What becomes of $b$ and of the size of $W$
#
# In $\operatorname{BN}(Wa+b)$ the bias shifts every sample alike, and the length of a row of $W$
# stretches every sample alike. **Predict** the gradient with respect to $b$, and the angle between
# a row of $W$ and its gradient.


# %%
def layer_gradients(W, b, a, grad, eps=1e-30):
    """Return output, and gradients with respect to W and b, of normalised a W^T + b."""
    W, b = W.clone().requires_grad_(), b.clone().requires_grad_()
    y = F.batch_norm(a @ W.T + b, None, None, training=True, eps=eps)
    return y.detach(), *torch.autograd.grad((y * grad).sum(), (W, b))


# %%
draw = torch.Generator().manual_seed(3)
a_in = torch.randn(7, 5, generator=draw, dtype=F64)
W_layer = torch.randn(3, 5, generator=draw, dtype=F64)
y_once, grad_W, grad_b = layer_gradients(W_layer, beta, a_in, grad)
y_tripled, grad_tripled, _ = layer_gradients(3 * W_layer, beta, a_in, grad)
ledger.check_close(120, "b has no gradient", grad_b, torch.zeros(3), kind="gradient")
along = (W_layer * grad_W).sum(dim=1)
ledger.check_close(120, "W's gradient is at right angles to W", along, torch.zeros(3))
ledger.check_close(120, "3 W computes the same", y_tripled, y_once, kind="invariant")
ledger.check_close(120, "and has a third of the gradient", grad_tripled, grad_W / 3)
grad_usual = layer_gradients(W_layer, beta, a_in, grad, eps=1e-5)[1]
cosines = F.cosine_similarity(W_layer, grad_usual).abs()
print(f"largest cosine between W and its gradient at the usual eps 1e-5: {cosines.max():.1e}")

# %% [markdown]
# So $b$ is redundant, and code leaves it out (`bias=False`): $\beta$ does its work. The right angle
# is exact only for a vanishing $\epsilon$; the usual one leaves a small cosine.
#
# The right angle has a consequence. By Pythagoras each step of gradient descent *lengthens* $W$,
# $\lVert W\rVert^2\leftarrow\lVert W\rVert^2+\eta^2\lVert\nabla_WJ\rVert^2$, and since only the
# direction matters, what counts is the effective rate $\eta/\lVert W\rVert^2$: one factor because
# the gradient shrinks with the length (a third, above), one because the same step turns a longer
# $W$ less. **Predict** the order of the effective rates after 60 steps at $\eta=0.1,1,10,100$.


# %%
def grow(lr, W, b, a, target, num_steps=60):
    """Return squared length of W and of its gradient, and the loss, along a descent."""
    records = []
    for _ in range(num_steps):
        # The loss is half the squared distance of the output to the target.
        y = layer_gradients(W, b, a, target)[0]
        step = layer_gradients(W, b, a, y - target)[1]
        records.append((W.square().sum(), step.square().sum(), (y - target).square().sum() / 2))
        W = W - lr * step
    return torch.tensor(records).T  # (3, num_steps)


# %%
rates = (0.1, 1.0, 10.0, 100.0)
grown = {lr: grow(lr, W_layer, beta, a_in, target=grad) for lr in rates}
for lr, (length, slope, loss) in grown.items():
    print(f"lr {lr:5g}: loss {loss[0]:.2f} at first, {loss[-1]:.2f} at the end")
    ledger.check_at_least(120, f"lr {lr:g}: the loss falls, factor", loss[0] / loss[-1], 2)
    pythagoras = length[0] + lr**2 * slope[:-1].cumsum(dim=0)
    ledger.check_close(
        120, f"lr {lr:g}: length by Pythagoras", length[1:], pythagoras, kind="trajectory",
        tolerance=1e-6,
    )  # fmt: skip

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.5))
for (lr, (length, *_)), mark in zip(grown.items(), MARKERS, strict=False):
    for ax, height in zip(axs, (length.sqrt(), lr / length), strict=True):
        ax.semilogy(height, marker=mark, markevery=20, label=f"lr {lr:g}")
axs[0].set(xlabel="step", ylabel="length of W (log scale)")
axs[1].set(xlabel="step", ylabel="lr / length² (log scale)")
fig.legend(*axs[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
show(
    fig,
    alt="Left: the length of W jumps up in the first step, the more the larger the rate. Right: "
    "the effective rates of the four runs; the largest rate has the largest one at the start and "
    "the smallest after one step.",
)

# %% [markdown]
# *Figure 3. Left: length of $W$ during gradient descent on a normalised layer. Right: the effective
# rate. Both on log scales; markers every 20 steps.*

# %%
effective = torch.stack([lr / length for lr, (length, *_) in grown.items()])  # (4, 60)
print(
    "effective rates at the end:",
    {lr: f"{e:.2g}" for lr, e in zip(rates, effective[:, -1], strict=True)},
)
apart = effective.amax(dim=0) / effective.amin(dim=0)
print(f"largest over smallest effective rate: {apart[0]:.0f} at first, {apart[-1]:.0f} at the end")
ledger.check_at_least(120, "effective rates draw together, factor", apart[0] / apart[-1], 5)
ledger.check_equal(120, "lr 100 ends with the smallest rate", int(effective[:, -1].argmin()), 3)

# %% [markdown]
# A large rate throws $W$ far out, and out there the same rate is a small one: of the four, 0.1 and
# 1 end close together, and the largest with the smallest effective rate. Its loss falls least, but
# it falls: no rate diverges. That is one reason why normalised networks survive rates that would
# break others (Arora, Li and Lyu, 2019). It also means that weight decay on $W$ no longer limits
# the function, only the length and with it the effective rate (van Laarhoven, 2017).
#
# ## The idea in symbols: running statistics
#
# At inference there may be one sample and no batch. The layer then uses numbers remembered from
# training, the **running statistics** (滑动统计量),
#
# $$\mu_{\text{run}}\leftarrow(1-\tau)\,\mu_{\text{run}}+\tau\,\mu,\qquad
# \sigma^2_{\text{run}}\leftarrow(1-\tau)\,\sigma^2_{\text{run}}+\tau\,\tfrac{N}{N-1}\sigma^2,$$
#
# starting from 0 and 1; for pictures $N$ counts samples times positions, $N\cdot H\cdot W$. Three
# conventions hide here. In torch $\tau$ (`momentum`, 0.1) weighs the
# *new* value; elsewhere the same word weighs the old one. The remembered variance is the unbiased
# one, though the batch itself is divided by the biased one. And `momentum=None` takes the plain
# average of all batches so far, for which `num_batches_tracked` counts.
#
# ## Build it: the layer
#
# For pictures the axes of the mean are all but the channel: shape $(C,)$ again, or
# $1\times C\times1\times1$ as the lecture writes it.


# %%
class BatchNorm(nn.Module):
    """Batch normalisation of (N, C), (N, C, L) or (N, C, H, W), as torch defines it."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    @torch.no_grad()
    def remember(self, mean, var):
        """Move the running statistics towards those of a batch."""
        self.num_batches_tracked += 1
        average = 1.0 / self.num_batches_tracked.item()
        momentum = average if self.momentum is None else self.momentum
        self.running_mean += momentum * (mean - self.running_mean)
        self.running_var += momentum * (var - self.running_var)

    def forward(self, x):
        per_channel = (1, -1, *[1] * (x.ndim - 2))
        mean, var = self.running_mean, self.running_var
        if self.training:
            axes = (0, *range(2, x.ndim))
            mean, var = x.mean(dim=axes), x.var(dim=axes, correction=0)
            count = x.numel() // x.shape[1]
            if count == 1:
                raise ValueError("one value per channel has no spread")
            self.remember(mean, var * count / (count - 1))
        scale = self.weight / torch.sqrt(var + self.eps)
        return (x - mean.view(per_channel)) * scale.view(per_channel) + self.bias.view(per_channel)


# %% [markdown]
# ## Check it: the layer
#
# Eleven training batches of changing size and mean, then one pass in inference mode, for three
# shapes and three momenta, no parameter at its default; outputs, all gradients and all buffers
# against `torch.nn`.


# %%
@torch.no_grad()
def fill(module, seed):
    """Fill every parameter and float buffer of a module with seeded numbers; return it."""
    generator = torch.Generator().manual_seed(seed)
    for part in (*module.parameters(), *module.buffers()):
        if part.is_floating_point():
            part.copy_(0.3 + torch.rand(part.shape, generator=generator))
    return module.double().eval()


def stream(shape, seed, num_batches=11):
    """Return batches of odd, changing size whose mean drifts."""
    generator = torch.Generator().manual_seed(seed)
    return [
        2 * torch.randn(3 + step % 4, *shape, generator=generator, dtype=F64) + step
        for step in range(num_batches)
    ]


# %%
def history_of(layer, batches):
    """Return outputs, gradients and final buffers of a layer, as one flat vector."""
    layer = fill(layer, 9).train()
    outputs = [layer(x.requires_grad_()) for x in batches]
    sum(out.pow(3).sum() for out in outputs).backward()
    slopes = [part.grad for part in (*batches, *layer.parameters())]
    outputs.append(layer.eval()(batches[0]))
    everything = (*outputs, *slopes, *layer.buffers())
    return torch.cat([part.detach().flatten().double() for part in everything])


# %%
for momentum in (0.0, 0.37, None):
    for kind, shape in (("1d", (5,)), ("1d", (5, 3)), ("2d", (5, 3, 2))):
        torch_layer = {"1d": nn.BatchNorm1d, "2d": nn.BatchNorm2d}[kind]
        ours = history_of(BatchNorm(5, 1e-3, momentum), stream(shape, 1))
        theirs = history_of(torch_layer(5, 1e-3, momentum), stream(shape, 1))
        name = f"layer, momentum {momentum}, (N, {', '.join(map(str, shape))})"
        ledger.check_close(120, name, ours, theirs, kind="trajectory")


# %% [markdown]
# Two other conventions must not pass. And one value per channel must be refused: it has no spread,
# and $N/(N-1)$ would write NaN into the memory.


# %%
class OtherConvention(BatchNorm):
    """The same layer with momentum as the weight of the old value."""

    def remember(self, mean, var):
        self.running_mean.lerp_(mean, 1 - self.momentum)
        self.running_var.lerp_(var, 1 - self.momentum)
        self.num_batches_tracked += 1


class BiasedMemory(BatchNorm):
    """The same layer, remembering the biased variance of batches of three."""

    def remember(self, mean, var):
        super().remember(mean, var * 2 / 3)


# %%
for layer_class, every in ((OtherConvention, 1), (BiasedMemory, 4)):
    with ledger.refuses(120, layer_class.__name__):
        theirs = history_of(nn.BatchNorm1d(5), stream((5,), 1)[::every])
        ours = history_of(layer_class(5), stream((5,), 1)[::every])
        ledger.check_close(120, "buffers", ours, theirs)


def complaint(function, x):
    """Return the beginning of the message with which a function refuses x."""
    try:
        function(x)
    except ValueError as refusal:
        return str(refusal).partition(" when")[0]
    return "accepted"


said = [complaint(layer, torch.ones(1, 3)) for layer in (BatchNorm(3), nn.BatchNorm1d(3))]
refusals = ["one value per channel has no spread", "Expected more than 1 value per channel"]
ledger.check_equal(120, "one value per channel: we refuse, torch refuses", said, refusals)

# %% [markdown]
# ### How long until the memory is right?
#
# Starting from zero, after $t$ batches of a constant mean the memory holds $1-(1-\tau)^t$ of it.
# **Predict** how many batches it takes to come within one per cent at $\tau=0.1$.

# %%
steady = torch.tensor([[3.0], [5.0]], dtype=F64)  # mean 4
memory_of = {}
for momentum in (0.1, 0.01, None):
    layer, held = BatchNorm(1, momentum=momentum).double(), []
    for _ in range(500):
        layer(steady)
        held.append(layer.running_mean.item() / 4)
    memory_of[momentum] = torch.tensor(held, dtype=F64)
batch_count = torch.arange(1, 501, dtype=F64)

# %%
for momentum in (0.1, 0.01):
    closed_form = 1 - (1 - momentum) ** batch_count
    name = f"memory at momentum {momentum}"
    ledger.check_close(120, name, memory_of[momentum], closed_form, kind="trajectory")
needed = {momentum: int((held < 0.99).sum()) + 1 for momentum, held in memory_of.items()}
print("batches until within 1 %:", needed)
by_logarithm = [math.ceil(math.log(0.01) / math.log(1 - momentum)) for momentum in (0.1, 0.01)]
ledger.check_equal(120, "batches needed", [needed[0.1], needed[0.01]], by_logarithm)

# %% [markdown]
# A network evaluated before that many steps uses statistics that still remember the start. With
# `momentum=None` the memory is right at once on a steady stream, and lags behind a moving one.
#
# ## Build it: fold it away
#
# In inference mode the layer is an affine map of fixed numbers, and two affine maps in a row are
# one: with $s=\gamma/\sqrt{\sigma_{\text{run}}^2+\epsilon}$,
#
# $$\operatorname{BN}(Wa+b)=(s\odot W)\,a+s\odot(b-\mu_{\text{run}})+\beta ,$$
#
# each row of $W$ (each filter of a convolution) times its own $s$.


# %%
@torch.no_grad()
def fold(layer, norm):
    """Return a copy of a linear or convolutional layer with a batch norm folded into it."""
    s = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    b = torch.zeros_like(s) if layer.bias is None else layer.bias
    folded = copy.deepcopy(layer)
    folded.weight = nn.Parameter(layer.weight * s.view(-1, *[1] * (layer.weight.ndim - 1)))
    folded.bias = nn.Parameter(s * (b - norm.running_mean) + norm.bias)
    return folded


# %% [markdown]
# ## Check it: fold it away
#
# On layers whose buffers and parameters are all random; against the two layers in a row, and
# against torch's own fusion. Then a case in which folding is *not* exact: batch norm *before* a
# convolution with zero padding. The border is padded after the shift, with zeros that the folded
# layer would have to shift too.

# %%
LINEAR, CONV = fill(nn.Linear(5, 3), 0), fill(nn.Conv2d(2, 3, 3, stride=2, padding=1), 1)
NORMS = {1: fill(nn.BatchNorm1d(3, eps=0.01), 2), 2: fill(nn.BatchNorm2d(3, eps=0.01), 3)}
draw = torch.Generator().manual_seed(4)
rows_in = torch.randn(6, 5, generator=draw, dtype=F64)
maps_in = torch.randn(2, 2, 7, 5, generator=draw, dtype=F64)
for layer, norm, x, fuse in (
    (LINEAR, NORMS[1], rows_in, nn.utils.fusion.fuse_linear_bn_eval),
    (CONV, NORMS[2], maps_in, nn.utils.fusion.fuse_conv_bn_eval),
):
    name = type(layer).__name__
    ours = fold(layer, norm)
    ledger.check_close(120, f"folded {name} = both layers", ours(x), norm(layer(x)))
    ledger.check_close(
        120, f"folded {name} = torch's weights", ours.weight, fuse(layer, norm).weight
    )

# %%
bare, wide_eps = fill(nn.Conv2d(2, 4, 3, bias=False), 7), fill(nn.BatchNorm2d(4, eps=0.3), 8)
ours, theirs = fold(bare, wide_eps)(maps_in), wide_eps(bare(maps_in))
ledger.check_close(120, "folded Conv2d without bias", ours, theirs)

# %%
before = fill(nn.BatchNorm2d(2), 5)
dense = fill(nn.Conv2d(2, 3, 3, padding=1), 6)
s = before.weight / torch.sqrt(before.running_var + before.eps)
t = before.bias - s * before.running_mean
wanted = dense(before(maps_in))
absorbed = F.conv2d(
    maps_in,
    dense.weight * s[:, None, None],
    dense.bias + (dense.weight.sum(dim=(2, 3)) @ t),
    padding=1,
)
inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
ledger.check_close(120, "norm before conv: folds inside", absorbed[inner], wanted[inner])
with ledger.refuses(120, "norm before conv with zero padding: folds at the border"):
    ledger.check_close(120, "border", absorbed, wanted)

# %% [markdown]
# ## Try it: the two modes, and how to mistake them
#
# A small network 196-64-64-10 with `nn.BatchNorm1d` learns Fashion-MNIST, pictures shrunk to
# 14 × 14 and standardised with the mean and spread of the training pixels. Then it is tested
# once rightly and in six wrong ways: in training mode, the test set shuffled and in batches of 100,
# or of 4, or sorted by class; in inference mode, but after the test set was read in training mode,
# shuffled, or sorted; and in inference mode after three training batches only. **Predict** which
# mistakes cost most. Which of them would you notice?

# %%
fashion = data.load_fashion_mnist()


def shrink(X):
    """Return pictures as (N, 1, 14, 14), each pixel the mean of four."""
    return F.avg_pool2d(torch.from_numpy(X)[:, None], 2)


X_PICTURES = shrink(fashion.X_train[:4096])
PIXEL_MEAN, PIXEL_STD = X_PICTURES[:3072].mean(), X_PICTURES[:3072].std()
X_PICTURES = (X_PICTURES - PIXEL_MEAN) / PIXEL_STD
X_TEST = (shrink(fashion.X_test[:4000]) - PIXEL_MEAN) / PIXEL_STD
Y_PICTURES = torch.from_numpy(fashion.y_train[:4096])
Y_TEST = torch.from_numpy(fashion.y_test[:4000])
TRAIN, VAL = (X_PICTURES[:3072], Y_PICTURES[:3072]), (X_PICTURES[3072:], Y_PICTURES[3072:])


# %%
def train_with_norm(norm, seed):
    """Return a network with normalisation layers after three epochs of SGD."""
    generator = torch.Generator().manual_seed(seed)
    model = make_mlp((196, 64, 64, 10), norm=norm, generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    flat = (TRAIN[0].flatten(1), TRAIN[1])
    settings = {"num_epochs": 3, "batch_size": 64, "progress": False}
    fit(model, optimizer, F.cross_entropy, flat, generator=generator, **settings)
    return model


@torch.no_grad()
def share_correct(model, order, batch_size, training):
    """Return accuracy on the test pictures, read in this order and batch size."""
    model = copy.deepcopy(model).train(training)
    right = 0
    for index in order.split(batch_size):
        right += (model(X_TEST[index].flatten(1)).argmax(dim=1) == Y_TEST[index]).sum().item()
    return right / len(order)


# %%
SHUFFLED = torch.randperm(4000, generator=torch.Generator().manual_seed(0))
BY_CLASS = Y_TEST.argsort(stable=True)


# %%
@torch.no_grad()
def polluted(model, order):
    """Return a copy that was left in training mode while it read the test set."""
    model = copy.deepcopy(model).train()
    for index in order.split(100):
        model(X_TEST[index].flatten(1))
    return model


@torch.no_grad()
def barely_warm(model, num_batches=3):
    """Return a copy whose running statistics have seen three training batches only."""
    model = copy.deepcopy(model).train()
    for layer in model:
        if isinstance(layer, nn.BatchNorm1d):
            layer.reset_running_stats()
    for batch in range(num_batches):
        model(TRAIN[0][64 * batch : 64 * (batch + 1)].flatten(1))
    return model


# %%
outcomes = {}
for seed in range(3):
    model = train_with_norm(nn.BatchNorm1d, seed)
    for name, tested, order, size, training in (
        ("eval(), the right way", model, SHUFFLED, 100, False),
        ("train(), shuffled, batches of 100", model, SHUFFLED, 100, True),
        ("train(), shuffled, batches of 4", model, SHUFFLED, 4, True),
        ("train(), sorted by class", model, BY_CLASS, 100, True),
        (
            "eval() after train() on the shuffled test set",
            polluted(model, SHUFFLED),
            SHUFFLED,
            100,
            False,
        ),
        (
            "eval() after train() on the sorted test set",
            polluted(model, BY_CLASS),
            SHUFFLED,
            100,
            False,
        ),
        ("eval() after three batches", barely_warm(model), SHUFFLED, 100, False),
    ):
        outcomes.setdefault(name, []).append(share_correct(tested, order, size, training))
for name, shares in outcomes.items():
    print(f"{name:46s}", " ".join(f"{share:.3f}" for share in shares))

# %%
right_way = torch.tensor(outcomes["eval(), the right way"])
for name, least_loss in (
    ("train(), shuffled, batches of 4", 0.1),
    ("train(), sorted by class", 0.4),
    ("eval() after train() on the sorted test set", 0.02),
    ("eval() after three batches", 0.03),
):
    loss_by_seed = right_way - torch.tensor(outcomes[name])
    ledger.check_at_least(120, f"{name}: every seed loses", loss_by_seed.min(), least_loss)
for name in ("train(), shuffled, batches of 100", "eval() after train() on the shuffled test set"):
    unseen = (right_way - torch.tensor(outcomes[name])).abs().max()
    ledger.check_at_most(120, f"{name}: hardly visible", unseen, 0.02)
said = complaint(model.train(), X_TEST[:1].flatten(1))
ledger.check_equal(120, "one picture in training mode", said, refusals[1])

# %% [markdown]
# A shuffled test set in large batches hides the mistake: the numbers look right, though each answer
# depends on the other pictures of its batch. Sorted by class it is the mistake of the first section
# again. An earlier reading in training mode is the worst to find: the test itself is in the right
# mode, but the running statistics have been replaced by those of the test set. Shuffled they hardly
# differ; sorted they are those of the classes that came last. With one sample torch refuses, since
# $z-\mu=0$ whatever $z$ was.
#
# ## The idea in symbols: the other axes
#
# Nothing forces the mean to run over the batch. For $x$ of shape $(N,C,H,W)$ all four methods are
# the same z-score and differ in the axes it runs over:
#
# | method | mean over | shape of $\mu$ | learnt $\gamma,\beta$ in torch |
# |---|---|---|---|
# | batch norm | $N,H,W$ | $1\times C\times1\times1$ | one per channel |
# | **layer norm** (层归一化) | $C,H,W$ | $N\times1\times1\times1$ | one per entry of $(C,H,W)$ |
# | **instance norm** (实例归一化) | $H,W$ | $N\times C\times1\times1$ | none by default |
# | **group norm** (组归一化) | $C/G$ channels, $H,W$ | $N\times G$ | one per channel |
#
# Instance norm learns one pair per channel with `affine=True`. The last three never look at another
# sample: training and inference are the same, and there is nothing to remember (unless instance
# norm is told `track_running_stats=True`). For $(N,C)$, the lecture's case of layer norm, $\mu$ is
# $N\times1$ and $\gamma$ is $1\times C$.
#
# ## Build it: one function over axes


# %%
def normalise(x, axes, eps=1e-5):
    """Return x with mean 0 and variance 1 over the given axes."""
    if not axes:
        raise ValueError("no axes to normalise over: each value would be its own mean")
    mean, var = x.mean(dim=axes, keepdim=True), x.var(dim=axes, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(var + eps)


def normalise_as(norm, x, eps=1e-5, num_groups=None):
    """Return x of shape (N, C, ...) normalised by one of the four methods."""
    if norm == "group":
        grouped = x.unflatten(1, (num_groups, -1))  # (N, G, C / G, ...)
        return normalise(grouped, tuple(range(2, grouped.ndim)), eps).flatten(1, 2)
    first = {"batch": (0,), "layer": (1,), "instance": ()}[norm]
    return normalise(x, (*first, *range(2, x.ndim)), eps)


# %% [markdown]
# ## Check it: one function over axes
#
# Against torch's four functions, for three shapes, an unusual $\epsilon$, and a batch of one. Two
# cases have no answer, and torch raises too: batch norm of a single $(1,C)$, and instance norm
# without positions. For the second our function raises; without that line `mean(dim=())` would
# run over *everything* and return a plausible array.

# %%
ROWS = {"batch": 120, "layer": 121, "instance": 122, "group": 123}
ODD = 3e-3  # an epsilon that is nobody's default
TORCH_NORMS = {
    "batch": lambda x: F.batch_norm(x, None, None, training=True, eps=ODD),
    "layer": lambda x: F.layer_norm(x, x.shape[1:], eps=ODD),
    "instance": lambda x: F.instance_norm(x, eps=ODD),
    "group": lambda x: F.group_norm(x, 3, eps=ODD),
}
draw = torch.Generator().manual_seed(6)
for shape in ((5, 6), (4, 6, 7), (3, 6, 5, 2), (1, 6, 7), (1, 6, 5, 2)):
    x = 1 + 2 * torch.randn(shape, generator=draw, dtype=F64)
    for norm, row in ROWS.items():
        if norm == "instance" and len(shape) == 2:
            continue
        ours = normalise_as(norm, x, ODD, num_groups=3)
        ledger.check_close(row, f"{norm} norm of {shape}", ours, TORCH_NORMS[norm](x))

# %%
said = complaint(TORCH_NORMS["instance"], torch.ones(5, 6))
ledger.check_equal(122, "torch, (N, C)", said, "Expected more than 1 spatial element")
said = complaint(lambda x: normalise_as("instance", x), torch.ones(5, 6))
no_axes = "no axes to normalise over: each value would be its own mean"
ledger.check_equal(122, "so do we, without positions", said, no_axes)
said = complaint(TORCH_NORMS["batch"], torch.ones(1, 6))
ledger.check_equal(120, "torch, (1, C)", said, "Expected more than 1 value per channel")
alone = torch.randn(1, 6, generator=draw, dtype=F64)
lost_sample = normalise_as("batch", alone)
ledger.check_close(120, "batch norm of (1, C) is zero whatever it held", lost_sample, 0 * alone)
without_positions = normalise(alone, (0, 1))
with ledger.refuses(122, "instance norm of (N, C) as a mean over everything"):
    ledger.check_close(122, "instance norm", without_positions, 0 * alone)

# %% [markdown]
# The four are relatives. **Predict** which group norms are layer norm and instance norm, and what
# batch norm becomes for a batch of one picture.

# %%
maps = 2 + torch.randn(4, 6, 5, 3, generator=draw, dtype=F64)
by_group = {G: normalise_as("group", maps, num_groups=G) for G in (1, 2, 6)}
ledger.check_close(123, "G = 1 is layer norm", by_group[1], F.layer_norm(maps, maps.shape[1:]))
ledger.check_close(123, "G = C is instance norm", by_group[6], F.instance_norm(maps))
by_picture = torch.cat([normalise_as("batch", picture[None]) for picture in maps])
ledger.check_close(
    122, "instance norm is batch norm of one", normalise_as("instance", maps), by_picture
)
with ledger.refuses(123, "G = 2 on interleaved channels (0, 2, 4), (1, 3, 5)"):
    interleaved = normalise(maps.unflatten(1, (-1, 2)), (1, 3, 4)).flatten(1, 2)
    ledger.check_close(123, "groups", interleaved, F.group_norm(maps, 2))

# %% [markdown]
# With $\gamma$ and $\beta$ the first kinship has a catch: torch's layer norm learns one pair for
# each entry of $(C,H,W)$, group norm one for each channel.

# %%
for affine in (nn.LayerNorm([6, 5, 3]), nn.GroupNorm(1, 6)):
    print(type(affine).__name__, "learns", tuple(affine.weight.shape))
pair = torch.randn(2, 6, 1, 1, generator=draw, dtype=F64)
for row, G, by_torch in (
    (121, 1, F.layer_norm(maps, (6, 5, 3), *pair.expand(2, 6, 5, 3))),
    (122, 6, F.instance_norm(maps, None, None, *pair.flatten(1))),
    (123, 2, F.group_norm(maps, 2, *pair.flatten(1))),
):
    ours = by_group[G] * pair[0] + pair[1]
    ledger.check_close(row, f"{G} groups, with gamma, beta", ours, by_torch)

# %% [markdown]
# The backward pass needs no new derivation either: it is that of batch norm, the means taken over
# the other axes.


# %%
def normalise_backward(h, x, axes, eps=1e-5):
    """Return the gradient at x, given the gradient h at the normalised values."""
    x_hat = normalise(x, axes, eps)
    sigma = torch.sqrt(x.var(dim=axes, correction=0, keepdim=True) + eps)
    common = h.mean(dim=axes, keepdim=True) + x_hat * (h * x_hat).mean(dim=axes, keepdim=True)
    return (h - common) / sigma


# %%
upstream = torch.randn(maps.shape, generator=draw, dtype=F64)
for norm, axes in (("batch", (0, 2, 3)), ("layer", (1, 2, 3)), ("instance", (2, 3)), ("group", ())):
    inside = maps.clone().requires_grad_()
    by_torch = torch.autograd.grad((TORCH_NORMS[norm](inside) * upstream).sum(), inside)[0]
    if norm == "group":
        parts = (array.unflatten(1, (3, 2)) for array in (upstream, maps))
        ours = normalise_backward(*parts, (2, 3, 4), ODD).flatten(1, 2)
    else:
        ours = normalise_backward(upstream, maps, axes, ODD)
    ledger.check_close(ROWS[norm], f"{norm} norm, backward", ours, by_torch, kind="gradient")

# %% [markdown]
# ### Who shares a mean with whom
#
# The picture to keep in mind, measured instead of drawn by hand: change one value, and mark every
# place whose output moves.


# %%
def touched_by(norm, shape, star):
    """Return 1 where the output depends on the input at the star, else 0, shape (N, C)."""
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    changed = x.clone()
    changed[star] += 1.0
    moved = normalise_as(norm, changed, num_groups=2) - normalise_as(norm, x, num_groups=2)
    return (moved.abs() > 1e-12).any(dim=-1).double()


# %%
STAR = (1, 2, 0)  # sample 1, channel 2, position 0 of (N, C, L)
reach = {norm: touched_by(norm, (4, 6, 5), STAR) for norm in ROWS}
sample, channel = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
should_reach = {
    "batch": channel == 2,
    "layer": sample == 1,
    "instance": (sample == 1) & (channel == 2),
    "group": (sample == 1) & (channel < 3),
}
for norm, row in ROWS.items():
    ledger.check_equal(row, f"{norm} norm couples", reach[norm].bool(), should_reach[norm])

# %%
fig, axs = plt.subplots(1, 4, figsize=(6.6, 2.0), sharey=True)
for ax, (norm, marks) in zip(axs, reach.items(), strict=True):
    ax.imshow(marks, cmap="Blues", vmin=0, vmax=1.6)
    ax.plot(STAR[1], STAR[0], "*", color=PALETTE["vermilion"], markersize=11)
    ax.set(title=f"{norm} norm", xlabel="channel", xticks=range(6), yticks=range(4))
    ax.set_xticks([edge - 0.5 for edge in range(1, 6)], minor=True)
    ax.set_yticks([0.5, 1.5, 2.5], minor=True)
    ax.grid(which="minor", color="0.8")
    ax.tick_params(which="minor", length=0)
axs[0].set_ylabel("sample")
show(
    fig,
    alt="Four grids of samples by channels, with a star at sample 1, channel 2. Batch norm marks "
    "the column, layer norm the row, instance norm the cell alone, group norm half the row.",
)

# %% [markdown]
# *Figure 4. Blue: places (sample, channel) whose output changes when one value at the star
# changes; $(N,C,L)=(4,6,5)$, two groups.*
#
# ### What each of them cannot see
#
# A normalisation is blind to whatever its mean and spread remove. Five changes: one sample times 3;
# one sample plus 2; one channel times 3; all values times 3; the last of four samples replaced.
# **Predict** for which methods the output of the first three samples stays the same. Batch norm
# uses the statistics of the batch here, as in training.

# %%
CHANGES = {
    "one sample times 3": lambda x: torch.cat([3 * x[:1], x[1:]]),
    "one sample plus 2": lambda x: torch.cat([2 + x[:1], x[1:]]),
    "one channel times 3": lambda x: torch.cat([3 * x[:, :1], x[:, 1:]], dim=1),
    "all values times 3": lambda x: 3 * x,
    "last sample replaced": lambda x: torch.cat([x[:-1], x[:1]]),
}

# %%
blind = {norm: [] for norm in ROWS}
for change, apply_change in CHANGES.items():
    for norm in ROWS:
        first_ones = [
            normalise_as(norm, x, eps=0.0, num_groups=2)[:-1] for x in (maps, apply_change(maps))
        ]
        blind[norm].append(int(torch.allclose(*first_ones, atol=1e-12)))
    print(f"{change:24s}", {norm: found[-1] for norm, found in blind.items()})
EXPECTED = {  # 1: the output stays the same under batch, layer, instance, group norm
    "one sample times 3": (0, 1, 1, 1),
    "one sample plus 2": (0, 1, 1, 1),
    "one channel times 3": (1, 0, 1, 0),
    "all values times 3": (1, 1, 1, 1),
    "last sample replaced": (0, 1, 1, 1),
}
for (norm, row), said in zip(ROWS.items(), zip(*EXPECTED.values(), strict=True), strict=True):
    ledger.check_equal(
        row, f"{norm} norm: what it is blind to", blind[norm], said, kind="invariant"
    )

# %% [markdown]
# Batch norm keeps the difference between a bright picture and a dark one; the others throw it
# away, and instance norm also the difference between channels. Whether that is a loss depends on
# the task: style transfer wants exactly that (Ulyanov, Vedaldi and Lempitsky, 2016).
#
# ### Sequences: why transformers use layer norm
#
# Two sentences of unequal length fill one array $(N,L,C)$: $L$ steps, the shorter sentence padded
# with zeros. **Predict** whose outputs change when the padding gets longer.

# %%
words = torch.randn(2, 4, 6, generator=draw, dtype=F64)
words[1, 3:] = 0.0  # the second sentence has three words
padded = {extra: F.pad(words, (0, 0, 0, extra)) for extra in (1, 5)}
for norm, row, axes in (("layer", 121, (2,)), ("batch", 120, (0, 1))):
    short, long = (normalise(padded[extra], axes)[:, :4] for extra in (1, 5))
    if norm == "layer":
        ledger.check_equal(row, "layer norm over C: padding changes nothing", long, short)
    else:
        moved = (long - short).abs().max()
        ledger.check_at_least(row, "batch norm: padding moves a word by", moved, 0.1)
by_steps = torch.stack([F.layer_norm(words[:, step], (6,)) for step in range(4)], dim=1)
ledger.check_close(121, "layer norm, step by step", normalise(words, (2,)), by_steps)

# %% [markdown]
# With the mean over $C$ alone each word is normalised by itself. So a recurrent network may read
# one step at a time, and a transformer any length, with the same result; Ba, Kiros and Hinton
# (2016) proposed it for this reason.

# %% [markdown]
# ## Build it: batches spread over workers
#
# The lecture shows the figure of Wu and He (2018): error against images *per worker*. In data
# parallel training each worker normalises with the statistics of its own images, while the
# gradient is that of all. That is a clean experiment, for the number of steps, the batch and the
# learning rate need not change. Here a batch always has 32 pictures, in groups of 32, 8, 4 or 2
# that share statistics.
#
# A trick makes it one call: read $(P\cdot U,C,\dots)$, $P$ pictures for each of $U$ workers, as
# $(P,U\cdot C,\dots)$; each worker then has channels of its own. At inference the workers' running
# statistics are averaged.


# %%
class WorkerBatchNorm(nn.Module):
    """Batch norm in which only every `32 / per_worker`-th picture shares statistics."""

    def __init__(self, num_features, per_worker, batch_size=32):
        super().__init__()
        self.workers = batch_size // per_worker
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(self.workers * num_features))
        self.register_buffer("running_var", torch.ones(self.workers * num_features))

    def forward(self, x):
        running = (self.running_mean, self.running_var)
        if not self.training:
            running = (part.view(self.workers, -1).mean(dim=0) for part in running)
            return F.batch_norm(x, *running, self.weight, self.bias)
        spread = x.reshape(-1, self.workers * x.shape[1], *x.shape[2:])
        spread = F.batch_norm(spread, *running, training=True).reshape(x.shape)
        return spread * self.weight[:, None, None] + self.bias[:, None, None]


# %% [markdown]
# ## Check it: batches spread over workers
#
# Two workers of six pictures: `F.batch_norm` with a memory of its own for each worker, then
# inference with the mean of the two memories.

# %%
spread_norm = fill(WorkerBatchNorm(3, per_worker=6, batch_size=12), 8).train()
memory = torch.stack([spread_norm.running_mean, spread_norm.running_var]).view(2, 2, 3).clone()
arriving = torch.randn(12, 3, 5, 2, generator=draw, dtype=F64)
learnt = (spread_norm.weight, spread_norm.bias)
shares = [
    F.batch_norm(arriving[u::2], *memory[:, u], *learnt, training=True)  # updates its memory
    for u in range(2)
]
together = torch.stack(shares, dim=1).flatten(0, 1)
ledger.check_close(120, "two workers, training", spread_norm(arriving), together)
ledger.check_close(120, "two workers, memory", spread_norm.running_var, memory[1].flatten())
by_mean = F.batch_norm(arriving, *memory.mean(dim=1), *learnt)
ledger.check_close(120, "two workers, inference", spread_norm.eval()(arriving), by_mean)

# %% [markdown]
# ## Try it: 32, 8, 4, 2 pictures for a mean
#
# Two networks: three convolutions of stride 2 leave maps of 2 × 2, four leave a single position.
# One epoch over 3,072 pictures, cosine schedule. Each method and size gets the same tuning on the
# deeper network: three learning rates on one seed, the best by validation accuracy after one epoch;
# then both networks on three **new** seeds and the test set. Group norm with four groups comes
# along; it does not know what a worker is, so one run stands for all sizes. **Predict** where the
# curves of batch norm and group norm cross, if they do, in each network.


# %%
def make_conv_net(norm, num_convs, seed):
    """Return convolutions of stride 2, each with a normalisation, and a linear classifier."""
    layers = []
    for c_in, c_out in itertools.pairwise((1, 8, 16, 32, 32)[: num_convs + 1]):
        conv = nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False)
        layers += [conv, norm(c_out), nn.ReLU()]
    positions = {3: 4, 4: 1}[num_convs]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * positions, 10))
    return draw_weights(model, generator=torch.Generator().manual_seed(seed))


def train_conv_net(norm, num_convs, lr, seed):
    """Return a network after one epoch of momentum SGD, in inference mode."""
    model = make_conv_net(norm, num_convs, seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(TRAIN[0]) // 32)
    settings = {"num_epochs": 1, "batch_size": 32, "progress": False, "scheduler": schedule}
    shuffle = torch.Generator().manual_seed(seed)
    fit(model, optimizer, F.cross_entropy, TRAIN, generator=shuffle, **settings)
    return model.eval()


# %%
@torch.no_grad()
def accuracy_on(model, X, y):
    """Return the fraction of pictures classified correctly."""
    return accuracy(model(X), y)


# %%
PER_WORKER = (32, 8, 4, 2)
CONTENDERS = {  # name: how to make a layer from its number of channels
    **{f"batch, {size}": lambda c, size=size: WorkerBatchNorm(c, size) for size in PER_WORKER},
    "group, G = 4": lambda c: nn.GroupNorm(4, c),
}
conv_nets, test_shares = {}, {3: {}, 4: {}}
for name, norm in CONTENDERS.items():
    tuning = {lr: accuracy_on(train_conv_net(norm, 4, lr, 0), *VAL) for lr in (0.05, 0.1, 0.2)}
    chosen = max(tuning, key=tuning.get)
    print(f"{name:13s}", {lr: round(share, 3) for lr, share in tuning.items()}, "->", chosen)
    for num_convs, by_name in test_shares.items():
        models = [train_conv_net(norm, num_convs, chosen, seed) for seed in (10, 11, 12)]
        conv_nets[name, num_convs] = models
        by_name[name] = torch.tensor([accuracy_on(model, X_TEST, Y_TEST) for model in models])
        print(f"    {num_convs} convolutions, test:", by_name[name].numpy().round(3))

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.7), sharey=True)
for ax, num_convs in zip(axs, (3, 4), strict=True):
    by_name = test_shares[num_convs]
    errors = 100 * (1 - torch.stack([by_name[f"batch, {size}"] for size in PER_WORKER]))
    level = 100 * (1 - by_name["group, G = 4"]).expand(4, 3)
    for values, name, mark in ((errors, "batch norm", "o"), (level, "group norm", "s")):
        (curve,) = ax.semilogy(range(4), values.mean(dim=1), marker=mark, markersize=3, label=name)
        ax.plot(range(4), values, "_", color=curve.get_color(), markersize=9)
    ax.set_xticks(range(4), PER_WORKER)
    ax.set(xlabel="pictures per worker", title=f"{num_convs} convolutions")
axs[0].set_ylabel("test error (%, log scale)")
axs[0].set_yticks([25, 35, 50, 70], ["25", "35", "50", "70"])
axs[0].minorticks_off()
fig.legend(*axs[0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
show(
    fig,
    alt="Test error against 32, 8, 4 and 2 pictures per worker. Left, three convolutions: both "
    "curves nearly level. Right, four: batch norm starts below the horizontal line of group norm, "
    "meets it near 4 and is far above it at 2.",
)

# %% [markdown]
# *Figure 5. Test error after one epoch (log scale) against the number of pictures that share
# statistics; lines: mean of three seeds, dashes: each. Group norm does not depend on it: one value,
# drawn four times.*

# %%
for num_convs in (3, 4):
    positions = [math.ceil(14 / 2**depth) ** 2 for depth in range(1, num_convs + 1)]
    print(f"{num_convs} convolutions, 2 pictures: values behind a mean", [2 * p for p in positions])
    group, many, few = (
        test_shares[num_convs][name] for name in ("group, G = 4", "batch, 32", "batch, 2")
    )
    name = f"one epoch, {num_convs} convolutions"
    distance = (many.mean() - group.mean()).abs()
    ledger.check_at_most(123, f"{name}: batch norm at 32 and group norm apart", distance, 0.07)
    if num_convs == 3:
        ledger.check_at_most(120, f"{name}: from 32 to 2", (many.mean() - few.mean()).abs(), 0.05)
    else:
        ledger.check_at_least(120, f"{name}: worst at 32 - best at 2", many.min() - few.max(), 0.15)
        ledger.check_at_least(123, f"{name}: worst group - best at 2", group.min() - few.max(), 0.1)

# %% [markdown]
# On the right the figure of Wu and He: batch norm is three points better at 32 and gets worse as
# fewer pictures share their statistics; group norm does not know how many do. The curves meet near
# 4. On the left almost nothing happens: they meet only at 2, within the spread of the seeds. What
# seems to count is not the number of pictures but of *values* behind a
# mean: after the fourth convolution a map has one position, and two pictures per worker mean two
# values. What is left of two values? And is it the memory that fails, or the training?

# %%
pair_nets = conv_nets["batch, 2", 4]
pair_train = torch.tensor([accuracy_on(model, *TRAIN) for model in pair_nets])
print("their own training pictures, running statistics:", pair_train.numpy().round(3))
with torch.no_grad():
    pictures = TRAIN[0].split(32)  # each batch read as in training: pairs share statistics
    read = [torch.cat([copy.deepcopy(m).train()(x) for x in pictures]) for m in pair_nets]
in_pairs = torch.tensor([accuracy(logits, TRAIN[1]) for logits in read])
print("the same pictures, statistics of pairs:", in_pairs.numpy().round(3))
ledger.check_at_most(120, "2 values: accuracy on the training pictures", pair_train.max(), 0.6)
ledger.check_at_most(120, "2 values: the same in pairs", in_pairs.max(), 0.6)

# %% [markdown]
# Not the memory: read as in training, with the statistics of pairs, these networks fail on the very
# pictures they were trained on, and do no better than with the memory. What two values leave of
# each other, the section on noise below computes.
#
# ### The brightness of the light
#
# The same trained networks see test pictures whose contrast was changed, $x\to cx$ about the mean
# grey. **Predict** who notices. Mind the mode: the networks are in inference mode, the table of
# what each is blind to was made with the statistics of the batch.

# %%
CONTRASTS = (0.2, 0.5, 1.0, 2.0, 5.0)
SOME_X, SOME_Y = X_TEST[:1000], Y_TEST[:1000]
seen_at, logits_moved = {}, {}
for name in ("batch, 32", "group, G = 4"):
    shares = [[accuracy_on(m, c * SOME_X, SOME_Y) for c in CONTRASTS] for m in conv_nets[name, 4]]
    seen_at[name] = torch.tensor(shares)  # (3 seeds, 5 contrasts)
    with torch.no_grad():
        moved = [(m(5 * SOME_X) - m(SOME_X)).abs().max() for m in conv_nets[name, 4]]
    logits_moved[name] = torch.stack(moved)

# %%
fig, ax = plt.subplots(figsize=(5.4, 2.6))
for (name, shares), mark in zip(seen_at.items(), MARKERS, strict=False):
    label = {"batch, 32": "batch norm, 32", "group, G = 4": "group norm"}[name]
    mean_share = 100 * shares.mean(dim=0)
    (curve,) = ax.semilogx(CONTRASTS, mean_share, marker=mark, markersize=3, label=label)
    ax.plot(CONTRASTS, 100 * shares.T, "_", color=curve.get_color(), markersize=9)
ax.set(xlabel="contrast c (factor, log scale)", ylabel="test accuracy (%)")
ax.set_xticks(CONTRASTS, [f"{c:g}" for c in CONTRASTS])
ax.minorticks_off()
ax.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
show(
    fig,
    alt="Test accuracy against contrast: batch norm peaks at 1 and falls on both sides, furthest "
    "at low contrast; group norm is level over the whole range.",
)

# %% [markdown]
# *Figure 6. Test accuracy on 1000 pictures whose contrast changes; the networks of four
# convolutions, trained at contrast 1. Lines: mean of three seeds, dashes: each.*

# %%
print("largest change of a logit at c = 5:", {n: f"{m.max():.1g}" for n, m in logits_moved.items()})
unmoved = logits_moved["group, G = 4"]
ledger.check_close(
    123, "c = 5 moves no logit", unmoved, 0 * unmoved, kind="invariant", tolerance=1e-3
)
fall = (seen_at["batch, 32"][:, 2] - seen_at["batch, 32"][:, 0]).min()
ledger.check_at_least(120, "batch norm loses at contrast 0.2", fall, 0.1)

# %% [markdown]
# The first convolution has no bias and pads with zeros, the mean grey, so a contrast $c$ only
# scales its output, and dividing by the spread of each picture's own values takes $c$ out again
# (up to $\epsilon$). Batch norm in training mode would take it out as well (fourth row of the
# table); in inference mode it compares with the contrast of the training set. That is right where
# contrast is information, and wrong where it is the light in the room.
#
# ## Try it: larger rates and careless starts
#
# The lecture lists what batch norm brings: larger learning rates, less care at initialisation,
# some regularisation. The next three experiments measure these claims on **fleets**: many small
# networks trained at once, their weights stacked along a first axis, each with its own rate and
# start. All members of a fleet see the same batches: its seeds differ in the starting weights only.


# %%
def draw_fleet(widths, members):
    """Return (W, b, gamma, beta) for each layer, stacked over members (lr, gain, seed)."""
    layers = []
    for depth, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        draws = [
            gain
            * torch.randn(n_in, n_out, generator=torch.Generator().manual_seed(99 * seed + depth))
            for _, gain, seed in members
        ]
        W = torch.stack(draws) * math.sqrt(2 / n_in)  # He's rule times the gain
        row = torch.zeros(len(members), 1, n_out)
        layers.append([W, row.clone(), row + 1, row.clone()])
    return [[part.requires_grad_() for part in layer] for layer in layers]


# %%
def fleet_logits(layers, x, place, norm):
    """Return logits (M, N, classes); norm stands before or after each ReLU, or nowhere."""
    for W, b, gamma, beta in layers[:-1]:
        x = x @ W + b  # (M, N, width)
        if place == "before":
            x = norm(x) * gamma + beta
        x = torch.relu(x)
        if place == "after":
            x = norm(x) * gamma + beta
    W, b, _, _ = layers[-1]
    return x @ W + b


def fleet_loss(logits, y):
    """Return the cross-entropy of each member, (M,)."""
    each = y.expand(len(logits), -1)
    return F.cross_entropy(logits.transpose(1, 2), each, reduction="none").mean(dim=1)


# %%
def in_groups(size):
    """Return a norm whose statistics are those of `size` rows of the batch."""
    return lambda z: normalise(z.unflatten(1, (-1, size)), (2,)).flatten(1, 2)


def from_first(count):
    """Return a norm with the statistics of the first `count` rows, for inference."""

    def norm(z):
        known = z[:, :count]
        return (z - known.mean(1, True)) / torch.sqrt(
            known.var(1, correction=0, keepdim=True) + 1e-5
        )

    return norm


# %%
def train_fleet(place, members, widths, samples, *, batch_size, num_steps, group_size):
    """Return the layers of a fleet after plain SGD, each member at its own rate."""
    layers = draw_fleet(widths, members)
    params = [part for layer in layers for part in layer]
    lr = torch.tensor([lr for lr, _, _ in members]).view(-1, 1, 1)
    shuffle, norm = torch.Generator().manual_seed(0), in_groups(group_size)
    X, y = samples
    for _ in range(num_steps):
        index = torch.randperm(len(X), generator=shuffle)[:batch_size]
        loss = fleet_loss(fleet_logits(layers, X[index], place, norm), y[index]).sum()
        slopes = torch.autograd.grad(loss, params, materialize_grads=True)
        with torch.no_grad():
            for param, slope in zip(params, slopes, strict=True):
                param -= lr * slope
    return layers


# %% [markdown]
# The tool first: all three placements, no parameter at its start value, against torch's functions
# for member 1; then the start, and the two kinds of statistics.

# %%
filled = torch.Generator().manual_seed(12)
random_fleet = [
    [torch.randn(2, *shape, generator=filled, dtype=F64) for shape in ((n, m), *[(1, m)] * 3)]
    for n, m in ((64, 16), (16, 8), (8, 10))
]
for place in ("none", "before", "after"):
    x = X_DIGITS[:12].double()
    for W, b, gamma_1, beta_1 in ([part[1] for part in layer] for layer in random_fleet[:-1]):
        x = F.linear(x, W.T, b[0])
        x = F.relu(x) if place == "after" else x
        if place != "none":
            x = F.batch_norm(x, None, None, gamma_1[0], beta_1[0], training=True)
        x = x if place == "after" else F.relu(x)
    expected = F.linear(x, random_fleet[-1][0][1].T, random_fleet[-1][1][1, 0])
    ours = fleet_logits(random_fleet, X_DIGITS[:12].double(), place, in_groups(12))[1]
    ledger.check_close(120, f"fleet, norm {place}", ours, expected)

# %%
fleet_start = draw_fleet((64, 200, 200, 10), [(0.1, 1.0, 4), (0.2, 0.5, 5)])
spreads = [[part.std().item() for part in W] for W, *_ in fleet_start[:2]]
he_rule = [[gain * math.sqrt(2 / n_in) for gain in (1.0, 0.5)] for n_in in (64, 200)]
ledger.check_close(120, "He's rule", spreads, he_rule, kind="metric", tolerance=0.03)
# %%
fleet_z = torch.randn(2, 12, 3, generator=draw, dtype=F64)
grouped = [F.batch_norm(part, None, None, training=True) for part in fleet_z[1].split(4)]
ledger.check_close(120, "groups of four", in_groups(4)(fleet_z)[1], torch.cat(grouped))
known = (fleet_z[1, :7].mean(dim=0), fleet_z[1, :7].var(dim=0, correction=0))
ledger.check_close(
    120, "statistics of seven rows", from_first(7)(fleet_z)[1], F.batch_norm(fleet_z[1], *known)
)

# %% [markdown]
# Now seven learning rates times five gains (the factor on He's initialisation), with and without
# batch norm before the activation; 64-32-32-32-32-10 on 8 × 8 digits, 120 steps, three starts.
# **Predict** the region in which training works (ends below 1 nat), in each case.

# %%
# One spread for all pixels: some are constant, others nearly so, and would be blown up.
DIGIT_SPREAD = X_DIGITS.mean(dim=0), X_DIGITS.std()
DIGIT_SAMPLES = (rescale(X_DIGITS, *DIGIT_SPREAD), Y_DIGITS)
RATES = [0.01 * 10 ** (step / 2) for step in range(7)]
GAINS = (0.1, 0.3, 1.0, 3.0, 10.0)
FLEET = [(lr, gain, seed) for lr in RATES for gain in GAINS for seed in range(3)]
DEEP, LONG = (64, 32, 32, 32, 32, 10), {"batch_size": 64, "num_steps": 120, "group_size": 64}
both = torch.cat([DIGIT_SAMPLES[0], rescale(X_CHECK, *DIGIT_SPREAD)])

# %%
fleet_losses, fleet_shares = {}, {}
for place in ("none", "before", "after"):
    layers = train_fleet(place, FLEET, DEEP, DIGIT_SAMPLES, **LONG)
    with torch.no_grad():
        logits = fleet_logits(layers, both, place, from_first(len(Y_DIGITS)))
    final = fleet_loss(logits[:, : len(Y_DIGITS)], Y_DIGITS).nan_to_num(nan=math.inf)
    fleet_losses[place] = final.view(7, 5, 3)  # rate, gain, seed
    right = (logits[:, len(Y_DIGITS) :].argmax(dim=2) == Y_CHECK).double().mean(dim=1)
    fleet_shares[place] = right.view(7, 5, 3)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.7), sharey=True)
for ax, place in zip(axs, ("none", "before"), strict=True):
    worst = fleet_losses[place].amax(dim=2).T.clamp(0.03, 3.0)
    drawn = ax.imshow(worst, norm="log", vmin=0.03, vmax=3.0, cmap="viridis_r", aspect="auto")
    ax.set_xticks(range(0, 7, 2), [f"{lr:g}" for lr in RATES[::2]])
    ax.set_yticks(range(5), [f"{gain:g}" for gain in GAINS])
    ax.set(xlabel="learning rate", title={"none": "no norm", "before": "batch norm"}[place])
axs[0].set_ylabel("gain at the start")
fig.colorbar(drawn, ax=axs, label="loss (nats, log scale)")
show(
    fig,
    alt="Two maps of final loss over learning rate and gain. Without norm only a few cells around "
    "gain 1 are low; with batch norm a broad region is low, least so at the largest gain.",
)

# %% [markdown]
# *Figure 7. Training loss after 120 steps, the worst of three starts, cut off at 3 nats (divergence
# included). Bright is good; guessing costs 2.3.*

# %%
works = {place: (losses.amax(dim=2) < 1.0) for place, losses in fleet_losses.items()}  # (7, 5)
for place, cells in works.items():
    largest = RATES[int(cells[:, 2].nonzero().max())]
    print(f"{place:7s} below 1 nat in {int(cells.sum())} of 35 cells; largest rate {largest:.2f}")
ratio = (works["before"][:, 2].nonzero().max() - works["none"][:, 2].nonzero().max()).item() / 2
ledger.check_at_least(120, "largest rate that works, gain 1: decades gained", ratio, 0.5)
cells_gained = works["before"].sum() / works["none"].sum()
ledger.check_at_least(120, "cells that work, factor", cells_gained, 3)
gains_that_work = {place: int(cells.any(dim=0).sum()) for place, cells in works.items()}
print("gains at which some rate works:", gains_that_work)
ledger.check_at_least(
    120, "gains that work: more by", gains_that_work["before"] - gains_that_work["none"], 2
)
lowest = {place: losses[:, 2].mean(dim=1).min().item() for place, losses in fleet_losses.items()}
print("lowest mean loss at gain 1:", {place: f"{loss:.3f}" for place, loss in lowest.items()})
between = max(lowest.values()) - min(lowest.values())
ledger.check_at_most(120, "lowest losses at gain 1 apart by", between, 0.02)

# %% [markdown]
# Both claims hold here: larger rates work, and some rate works for every gain. What it does not
# show is that the *best* setting is much better: with a good start and a good rate the losses
# differ by less than 0.02 nats. Batch norm widens the region more than it deepens it.
#
# ## Try it: before or after the activation?
#
# The lecture puts the layer before the activation, as its authors did. The third run above put it
# after. **Predict** whether the order matters.

# %%
fig, ax = plt.subplots(figsize=(5.4, 2.6))
for (place, losses), mark in zip(fleet_losses.items(), MARKERS, strict=False):
    cut = losses[:, 2].clamp(max=4.0)  # gain 1
    label = {"none": "no norm", "before": "norm before", "after": "norm after"}[place]
    (curve,) = ax.loglog(RATES, cut.mean(dim=1), marker=mark, markersize=3, label=label)
    ax.plot(RATES, cut, "_", color=curve.get_color(), markersize=9)
ax.set(xlabel="learning rate (log scale)", ylabel="loss (nats, log scale)")
ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
show(
    fig,
    alt="Loss against learning rate at gain 1: with the norm after the activation the loss is "
    "lower at small rates; near the best rate both placements meet.",
)

# %% [markdown]
# *Figure 8. Training loss after 120 steps at gain 1 (cut off at 4 nats), with the norm before or
# after the activation, or none; lines: mean of three starts, dashes: each.*

# %%
slow = {place: losses[0, 2] for place, losses in fleet_losses.items()}
tuned = {place: int(losses[:, 2].mean(dim=1).argmin()) for place, losses in fleet_losses.items()}
for place, step in tuned.items():
    shares = [round(share, 3) for share in fleet_shares[place][step, 2].tolist()]
    print(f"{place:7s} best rate {RATES[step]:.2f}, test accuracy {shares}")
head_start = slow["before"].min() / slow["after"].max()
ledger.check_at_least(120, "rate 0.01: loss before / after, worst starts", head_start, 1.1)
at_best = [fleet_shares[place][tuned[place], 2].mean() for place in ("before", "after")]
ledger.check_at_most(120, "tuned: test accuracy apart by", abs(at_best[0] - at_best[1]), 0.02)

# %% [markdown]
# At rate 0.01 the norm after the activation learns faster, from every start; with the rate tuned,
# the two end within two points of accuracy. Part of the head start may be scale alone: a
# normalised output has mean square 1, a rectified one about half of that, so `after` sends larger
# values into the next layer. No general rule follows from one small network.
#
# ## Try it: is the noise a regulariser?
#
# In training the output for one picture depends on the other pictures of its batch. Take a random
# linear layer and one fixed picture, and change its company 200 times.
# **Predict** how the spread of its $\hat z$ falls with the batch size. And what can $\hat z$ be in
# a batch of two?

# %%
with torch.no_grad():
    linear_map = torch.randn(196, 64, generator=draw, dtype=F64)
    z_all = TRAIN[0].flatten(1).double() @ linear_map  # (3072, 64)

# %%
company = torch.Generator().manual_seed(9)
jitter = {}
for size in (2, 4, 8, 16, 32, 64, 128):
    picks = torch.randint(1, 3072, (200, size), generator=company)
    picks[:, 0] = 0  # the fixed picture
    z_hat_first = normalise(z_all[picks], (1,), eps=1e-30)[:, 0]  # (200, 64)
    jitter[size] = z_hat_first.std(dim=0).square().mean().sqrt().item()
    if size == 2:
        ledger.check_close(
            120, "batch of two: z_hat is +1 or -1", z_hat_first.abs(), torch.ones(200, 64),
            tolerance=1e-6,
        )  # fmt: skip
print({size: round(value, 3) for size, value in jitter.items()})
decay = math.log(jitter[32] / jitter[128]) / math.log(128 / 32)
ledger.check_close(
    120, "noise falls as N^(-1/2): exponent", decay, 0.5, kind="metric", tolerance=0.1
)

# %% [markdown]
# In a batch of two only the *sign* of the difference is left of a linear layer's output, and of a
# convolution's where a map has one position: the fourth layer of the network above. The 8 values
# behind a mean at the end of the shallower network kept enough.
#
# Does this noise regularise? To change nothing else, the gradient batch stays at 128 pictures, and
# only the groups that share statistics shrink (Hoffer, Hubara and Soudry, 2017, call that ghost
# batches). 512 training pictures, 196-64-64-10, 200 steps, five starts; at the end the statistics
# of the whole training set. And because noise also slows fitting down: groups of 128 once more,
# stopped at 50 steps.

# %%
SMALL = (TRAIN[0][:512].flatten(1), TRAIN[1][:512])
SMALL_AND_TEST = torch.cat([SMALL[0], X_TEST[:2000].flatten(1)])
GHOSTS = (128, 32, 8, 4, 2)


def train_ghosts(size, num_steps):
    """Return training loss, test loss and test accuracy of five starts, (3, 5)."""
    layers = train_fleet(
        "before", [(0.3, 1.0, seed) for seed in range(5)], (196, 64, 64, 10), SMALL,
        batch_size=128, num_steps=num_steps, group_size=size,
    )  # fmt: skip
    with torch.no_grad():
        logits = fleet_logits(layers, SMALL_AND_TEST, "before", from_first(512))
    right = (logits[:, 512:].argmax(dim=2) == Y_TEST[:2000]).float().mean(dim=1)
    losses = fleet_loss(logits[:, :512], SMALL[1]), fleet_loss(logits[:, 512:], Y_TEST[:2000])
    return torch.stack([*losses, right])


# %%
on_train, on_test, right = torch.stack([train_ghosts(size, 200) for size in GHOSTS], dim=1)
early_train, early_test, early_right = train_ghosts(128, 50)
runs = {f"groups of {size}": row for size, row in zip(GHOSTS, right, strict=True)}
runs["groups of 128, 50 steps"] = early_right
for name, row in runs.items():
    print(f"{name:24s} test accuracy {row.mean():.3f} ± {row.std():.3f}")

# %%
fig, ax = plt.subplots(figsize=(5.4, 2.7))
for losses, split, mark in ((on_train, "training", "o"), (on_test, "test", "s")):
    (curve,) = ax.semilogx(GHOSTS, losses.mean(dim=1), marker=mark, markersize=3, label=split)
    ax.plot(GHOSTS, losses, "_", color=curve.get_color(), markersize=9)
    early = {"training": early_train, "test": early_test}[split].mean()
    ax.plot(128, early, "*", color=curve.get_color(), markersize=13, label=f"{split}, 50 steps")
ax.set(xlabel="pictures that share statistics (log scale)", ylabel="loss (nats)")
ax.set_xticks(GHOSTS, [str(size) for size in GHOSTS])
ax.minorticks_off()
ax.invert_xaxis()
fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=9)
show(
    fig,
    alt="With smaller groups training loss rises, test loss falls to a minimum at 4, and at 2 both "
    "jump up. The test loss of groups of 128 stopped at 50 steps is as low as that minimum.",
)

# %% [markdown]
# *Figure 9. Loss after 200 steps against the size of the groups; lines: mean of five starts,
# dashes: each. Stars: groups of 128 after 50 steps, mean of five starts.*

# %%
print("test loss, groups of 4, 200 steps:", on_test[3].numpy().round(3))
print("test loss, groups of 128, 50 steps:", early_test.numpy().round(3))
lowered, raised = (on_test[0] - on_test[3]).min(), (on_train[3] - on_train[0]).min()
ledger.check_at_least(120, "200 steps: test loss, 128 - 4, worst start", lowered, 0.03)
ledger.check_at_least(120, "200 steps: training loss, 4 - 128, worst start", raised, 0.05)
as_good = (early_test - on_test[3]).mean().abs()
ledger.check_at_most(120, "128 stopped at 50 steps and groups of 4: apart", as_good, 0.06)
ledger.check_at_least(
    120, "groups of 2 above 128, worst start", (on_test[4] - on_test[0]).min(), 0.1
)

# %% [markdown]
# At 200 steps smaller groups, down to four, have a higher training loss and a lower test loss, and
# an accuracy about one point lower where the test loss is lowest. But groups of 128, stopped at 50
# steps, have as low a test loss. What the noise buys here is slower fitting; beyond that this
# experiment shows nothing. At two only the sign of a difference is left of each value: training and
# test loss jump up together, and accuracy falls to one half. The strength of this noise comes with
# the batch size, where nobody would look for it; dropout and its kin (notebook 07) have a knob.
#
# ## Explore it: which values share a mean?
#
# Four test pictures after the first convolution of the trained network, eight channels, the maps
# pooled to 16 places. Choose a value and a method.
#
# 1. How many means does each method need for this batch? Write it as a formula in $N$, $C$, $G$.
# 2. Make the chosen picture the whole batch. For which methods does its output change?
# 3. Move $G$ from 1 to 8. Which two other methods do you meet at the ends?

# %%
with torch.no_grad():
    filtered = F.adaptive_avg_pool2d(conv_nets["batch, 32", 4][0][0](X_TEST[:4]), 4).flatten(2)
NormalizationCube(filtered.numpy(), norm="batch")

# %% [markdown]
# ## Exercises
#
# ### 1. How many means? (easy, 5 minutes)
#
# A batch has the shape $(N,C,H,W)=(8,6,5,5)$. Give the number of means that batch, layer, instance
# and group norm with $G=3$ compute, in this order.

# %% tags=["exercise"]
answer_1 = None  # (batch, layer, instance, group)

# %%
check_exercise(
    answer_1,
    (6, 8, 48, 24),
    mistakes={
        "These are the numbers of values behind each mean.": (200, 150, 25, 50),
        "G is the number of groups, not the number of channels in one.": (6, 8, 48, 16),
        "Layer norm of pictures runs over the positions too: one mean a sample.": (6, 200, 48, 24),
        "Batch norm and layer norm the other way round.": (8, 6, 48, 24),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# N, C, G = 8, 6, 3
# answer_1 = (C, N, N * C, N * G)
# ```
# </details>

# %% [markdown]
# ### 2. What the layer remembers (easy, 10 minutes)
#
# A fresh `nn.BatchNorm1d(1)` sees three batches in training mode, with means 2, 4 and 8. Give its
# running mean for `momentum=0.25`, then for `momentum=None`.

# %% tags=["exercise"]
BATCH_MEANS = (2.0, 4.0, 8.0)
answer_2 = None  # (momentum 0.25, momentum None)

# %%
check_exercise(
    answer_2,
    (3.03125, 14 / 3),
    mistakes={
        "In torch, momentum is the weight of the new batch, not of the memory.": (6.84375, 14 / 3),
        "The memory starts from 0, not from the first batch.": (3.875, 14 / 3),
        "None is the plain average of all batches, not a memory that never changes.": (3.03125, 0),
        "None is the average of all batches, not the last one.": (3.03125, 8),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# BATCH_MEANS = (2.0, 4.0, 8.0)
# held = 0.0
# for mean_seen in BATCH_MEANS:
#     held = 0.75 * held + 0.25 * mean_seen
# answer_2 = (held, sum(BATCH_MEANS) / 3)
# ```
# </details>

# %% [markdown]
# ### 3. Fold it by hand (medium, 15 minutes)
#
# Fold the batch norm below, in inference mode, into the linear layer before it. Give weight and
# bias as one array $(2,3)$: two columns of weights, then the bias.

# %% tags=["exercise"]
EX = {
    "W": torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=F64),
    "b": torch.tensor([0.2, -0.4], dtype=F64),
    "gamma": torch.tensor([2.0, -1.0], dtype=F64),
    "beta": torch.tensor([0.1, 0.3], dtype=F64),
    "mean": torch.tensor([1.0, -1.0], dtype=F64),
    "var": torch.tensor([0.21, 3.96], dtype=F64),
    "eps": 0.04,
}
answer_3 = None  # torch.column_stack([weight, bias])


# %%
def folded_by_hand(s, weight_scale, shift):
    """Return folded weight and bias for a scale s, as this exercise wants them."""
    return torch.column_stack([EX["W"] * weight_scale, s * shift + EX["beta"]])


s_right = EX["gamma"] / torch.sqrt(EX["var"] + EX["eps"])
s_bare = EX["gamma"] / torch.sqrt(EX["var"])
s_outside = EX["gamma"] / (torch.sqrt(EX["var"]) + EX["eps"])
check_exercise(
    answer_3,
    folded_by_hand(s_right, s_right[:, None], EX["b"] - EX["mean"]),
    mistakes={
        "Where is eps?": folded_by_hand(s_bare, s_bare[:, None], EX["b"] - EX["mean"]),
        "You scaled the columns of W (inputs); the scale belongs to its rows (outputs).":
            folded_by_hand(s_right, s_right, EX["b"] - EX["mean"]),
        "The running mean is missing from the bias.":
            folded_by_hand(s_right, s_right[:, None], EX["b"]),
        "The old bias is shifted like any other input of the norm: b - mean, not -mean.":
            folded_by_hand(s_right, s_right[:, None], -EX["mean"]),
        "eps stands inside the root, beside the variance.":
            folded_by_hand(s_outside, s_outside[:, None], EX["b"] - EX["mean"]),
        "The running mean is scaled too: s * (b - mean).":
            folded_by_hand(s_right, s_right[:, None], EX["b"] - EX["mean"] / s_right),
    },
)  # fmt: skip

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# EX = {
#     "W": torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=F64),
#     "b": torch.tensor([0.2, -0.4], dtype=F64),
#     "gamma": torch.tensor([2.0, -1.0], dtype=F64),
#     "beta": torch.tensor([0.1, 0.3], dtype=F64),
#     "mean": torch.tensor([1.0, -1.0], dtype=F64),
#     "var": torch.tensor([0.21, 3.96], dtype=F64),
#     "eps": 0.04,
# }
# s = EX["gamma"] / torch.sqrt(EX["var"] + EX["eps"])
# answer_3 = torch.column_stack(
#     [s[:, None] * EX["W"], s * (EX["b"] - EX["mean"]) + EX["beta"]]
# )
# ```
# The scales are 4 and -1/2.
# </details>

# %% [markdown]
# ### 4. RMSNorm (medium, 10 minutes)
#
# Many language models drop the mean: **RMSNorm** (Zhang and Sennrich, 2019) divides each vector of
# the last axis by the root of its mean square, $\epsilon$ inside the root. Write it in one line.

# %% tags=["exercise"]
TOKENS = torch.tensor([[[1.0, 2.0, 2.0], [0.0, 3.0, -1.0]], [[4.0, 1.0, 1.0], [0.5, 0.5, 0.0]]])


def rms_norm(x, eps):
    """Return x over the root mean square of its last axis."""
    return None


answer_4 = None  # rms_norm(TOKENS, eps=0.5)

# %%
check_exercise(
    answer_4,
    F.rms_norm(TOKENS, (3,), eps=0.5),
    mistakes={
        "That is layer norm: leave the mean where it is.": F.layer_norm(TOKENS, (3,), eps=0.5),
        "eps stands inside the root.": TOKENS / (TOKENS.square().mean(-1, True).sqrt() + 0.5),
        "The mean of the squares, not their sum.": TOKENS
        / (TOKENS.square().sum(-1, True) + 0.5).sqrt(),
        "One root for each vector, not one for the whole array.": TOKENS
        / (TOKENS.square().mean() + 0.5).sqrt(),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# TOKENS = torch.tensor([[[1.0, 2.0, 2.0], [0.0, 3.0, -1.0]], [[4.0, 1.0, 1.0], [0.5, 0.5, 0.0]]])
#
#
# def rms_norm(x, eps):
#     """Return x over the root mean square of its last axis."""
#     return x / torch.sqrt(x.square().mean(dim=-1, keepdim=True) + eps)
#
#
# answer_4 = rms_norm(TOKENS, eps=0.5)
# ```
# </details>

# %% [markdown]
# ### 5. Repair a network (open, 20 minutes)
#
# `barely_warm` gave a network with good weights and bad running statistics. Write a function that
# takes such a network and returns it repaired: no weight changed, only the pictures of `TRAIN` read
# (as often as you like; the check cannot see which you read), within two points of its accuracy
# before the damage. Then ask: would your repair also help the four convolutions trained with two
# pictures per worker?

# %% tags=["exercise"]
answer_5 = None  # a function: network -> network, ready for inference


# %%
def judge(repair):
    """Return how a repair of a damaged network ended."""
    healthy = train_with_norm(nn.BatchNorm1d, seed=7)
    model = repair(barely_warm(healthy))
    if not isinstance(model, nn.Module):
        return "nothing returned"
    if model.training:
        return "training mode"
    if any((a != b).any() for a, b in zip(model.parameters(), healthy.parameters(), strict=True)):
        return "weights changed"
    wanted, got = (share_correct(net, SHUFFLED, 100, training=False) for net in (healthy, model))
    return "repaired" if got > wanted - 0.02 else "still cold"


check_exercise(
    answer_5 if answer_5 is None else judge(answer_5),
    "repaired",
    mistakes={
        "Return the network.": "nothing returned",
        "Hand it back in inference mode.": "training mode",
        "The weights must stay as they are.": "weights changed",
        "The statistics are still off: how many batches does the memory need?": "still cold",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer_5(model):
#     """Read the training pictures once more, and remember their plain average."""
#     for layer in model:
#         if isinstance(layer, nn.BatchNorm1d):
#             layer.reset_running_stats()
#             layer.momentum = None
#     model.train()
#     with torch.no_grad():
#         for x in TRAIN[0].flatten(1).split(256):
#             model(x)
#     return model.eval()
# ```
# It would not help four convolutions with two pictures per worker: they fail on their training
# pictures too, also with the statistics of pairs (printed after Figure 5). Better means repair a
# memory, not weights: those adapted to noisy statistics stay what they are.
# </details>

# %% [markdown]
# ## Recap
#
# - z-scores bring the condition number of a linear model down to what correlation leaves; fit them
#   on training data only.
# - Batch norm is the z-score inside the network. Its gradient loses the mean and the part along
#   $\hat z$; $b$ becomes redundant and the length of $W$ sets the effective rate.
# - Training and inference use different statistics; most of its bugs live between the two.
# - Layer, instance and group norm are the same line over other axes, blind to the batch.
# - Measured here: larger rates and freer starts, yes; regularisation, no more than stopping
#   earlier; the order of norm and activation, little; two values behind a mean, ruinous.
#
# **In practice** convolutions before a norm have `bias=False`, weight decay spares $\gamma$ and
# $\beta$, batch norm is folded for deployment, statistics are synchronised across workers
# (`SyncBatchNorm`) or replaced by group norm, and transformers use layer norm or RMSNorm.
#
# **Roads not taken**: whitening, weight normalisation, spectral normalisation, batch
# renormalisation, networks without any norm.

# %% [markdown]
# **Answers to the questions in Explore it.** Batch norm needs $C$ means, layer norm $N$, instance
# norm $NC$, group norm $NG$. With the picture alone only batch norm changes its output, and it
# becomes instance norm. $G=1$ is layer norm, $G=C$ instance norm.

# %% [markdown]
# **References.** Ioffe and Szegedy
# (2015), Batch normalization. Ba, Kiros and Hinton (2016), Layer normalization. Ulyanov, Vedaldi
# and Lempitsky (2016), Instance normalization: the missing ingredient for fast stylization.
# Hoffer, Hubara and Soudry (2017), Train longer, generalize better. Van Laarhoven (2017), L2
# regularization versus batch and weight normalization. Wu and He (2018), Group
# normalization. Arora, Li and Lyu (2019), Theoretical analysis of auto rate-tuning by batch
# normalization. Zhang and Sennrich (2019), Root mean square layer normalization.
