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
# # Derive, check and race the optimizers
#
# **You will build** every optimizer of the lecture from its equation, prove each equal to the
# library's, and look at the surface they walk on.
#
# **You will learn** to
# - compute the largest learning rate a loss can bear, and see what lies beyond it;
# - write momentum, Nesterov, Adagrad, AdaDelta, RMSProp, Adam and AdamW in two to four lines
#   each;
# - say where a textbook's formula and `torch.optim` differ, and when that matters;
# - choose schedules, clipping and batch size with a measurement behind the choice;
# - read a loss-landscape picture without believing too much of it.
#
# **You need** notebooks 01 and 03, about three hours, and a CPU. Reviewed 2026-11-21.

# %%
import itertools
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from course_utils import data, landscape
from course_utils.checks import Ledger, check_exercise
from course_utils.figures import MARKERS, PALETTE, show, use_course_style
from course_utils.training import DivergedError, accuracy, fit
from course_utils.widgets import LossSurface, OptimizerRace, ScheduleExplorer

use_course_style()
ledger = Ledger("04_optimizers")

# %% [markdown]
# ## Why
#
# Here is a valley that bends gently along $x$ and 25 times as strongly along $y$. Plain gradient
# descent has one knob, the size of its step. It starts at the left end and may take 40 steps.
#
# **Predict.** Is there a setting of the knob that brings it within 0.1 of the lowest point?

# %%
RAVINE = landscape.TEST_FUNCTIONS["ravine"]


def descend_ravine(lr, momentum=0.0, num_steps=40):
    """Return the path of torch's SGD on the ravine."""
    return landscape.descend(
        RAVINE,
        RAVINE.start,
        lambda params: torch.optim.SGD(params, lr=lr, momentum=momentum),
        num_steps,
    )


# %%
def draw_contours(ax, function, levels):
    """Draw level lines of a test function, evenly spaced in the root of the height."""
    grid = function.grid(101)
    floor = grid.loss.min()
    ax.contour(
        grid.alphas,
        grid.betas,
        (grid.loss - floor) ** 0.5,
        levels=levels,
        colors="0.8",
        linewidths=0.8,
        antialiased=False,
    )
    ax.set(xlim=function.xlim, ylim=function.ylim)


fig, axs = plt.subplots(1, 3, figsize=(6.6, 2.0), sharey=True)
for ax, lr in zip(axs, (0.01, 0.076, 0.0815), strict=True):
    draw_contours(ax, RAVINE, 3)
    ax.plot(*descend_ravine(lr).T, marker="o", markersize=3, linewidth=1)
    ax.plot(*RAVINE.minimum, marker="*", color=PALETTE["vermilion"], markersize=12)
    ax.set(xlabel="x (dimensionless)", title=f"lr = {lr}")
axs[0].set_ylabel("y (dimensionless)")
show(
    fig,
    alt="Three paths on a long narrow valley: a small step stops half-way along the floor, "
    "a large one zigzags between the walls, a slightly larger one climbs out.",
)

# %% [markdown]
# *Figure 1. Forty steps of gradient descent on $\frac12(x^2+25y^2)$; the star is the minimum.
# Left: too small a step has not gone far. Middle: a large one zigzags across the floor. Right: a
# slightly larger one climbs the walls.*
#
# Perhaps there is a good value in between. Try 80 of them, and then a second method with a
# memory, which you will derive below.

# %%
rates = torch.linspace(0.001, 0.08, 80).tolist()
distances = [descend_ravine(lr)[-1].norm().item() for lr in rates]
best = min(distances)
with_memory = descend_ravine(lr=0.11, momentum=0.44)[-1].norm().item()
print(f"best of {len(rates)} learning rates: {best:.3f} at lr = {rates[distances.index(best)]:.3f}")
print(f"with momentum: {with_memory:.1e}")
ledger.check_at_least(88, "no learning rate brings gradient descent within 0.1", best, 0.1)
ledger.check_at_most(101, "momentum arrives in the same 40 steps", with_memory, 1e-4)

# %% [markdown]
# No setting works: the step that the walls allow is too short for the floor. The method with
# momentum takes longer steps than gradient descent could survive, and arrives. The rest of this
# notebook explains why, and what else can be done about a badly scaled loss.

# %% [markdown]
# ## The idea in symbols
#
# Training looks for $\theta^*=\arg\min_\theta L(\theta)$. **Gradient descent** (梯度下降) repeats
#
# $$\theta^{t+1}=\theta^t-\eta\,\nabla L(\theta^t),\qquad
# L(\theta)=\frac1N\sum_{n=1}^N\ell\big(y^{(n)},f(x^{(n)};\theta)\big).$$
#
# The **mini-batch** (小批量) version replaces $L$ by
# $L_{\mathcal B}=\frac1B\sum_{i\in\mathcal B} \ell(y^{(i)},f(x^{(i)};\theta))$ over $B$ samples
# drawn afresh; $B=1$ is stochastic gradient descent in the narrow sense.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $\theta$ | `theta` | $(P,)$ | weights |
# | $g=\nabla L$ | `grad` | $(P,)$ | loss per weight |
# | $\eta$ (in the lecture's boxes $\epsilon$), **learning rate** (学习率) | `lr` | scalar | $>0$ |
# | $N,\;B$ | `num_samples`, `batch_size` | integers | $1\le B\le N$ |
# | $\lambda_i,\lambda_{\max}$, Hessian eigenvalues | `curvature` | scalars | loss per weight² |
# | $\lambda$ (in the boxes $\alpha$), **momentum** (动量) | `momentum` | scalar | $[0,1)$ |
# | $v$ | `v` | $(P,)$ | weights per step |
# | $r$, running sum or mean of $g\odot g$ | `r` | $(P,)$ | $\ge0$ |
# | $\rho,\rho_1,\rho_2$, decay rates | `alpha`, `rho`, `betas` | scalars | $[0,1)$ |
# | $\delta$ (in the unified form $\epsilon$) | `eps` | scalar | $>0$, small |
#
# Code names are those of `torch.optim`, so that one set of hyperparameters drives both versions.

# %% [markdown]
# ## Build it: batch and mini-batch gradients
#
# The smallest example that can be printed: a straight line through twelve points, squared loss
# $\ell=\frac12(x^\top\theta-y)^2$, two weights.


# %%
def make_line(num_samples, seed):
    """Return inputs with a constant column, and noisy targets of a line."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(num_samples, generator=generator, dtype=torch.float64) * 2 - 1
    noise = torch.randn(num_samples, generator=generator, dtype=torch.float64)
    return torch.stack([torch.ones_like(x), x], dim=1), 0.5 + 2.0 * x + 0.3 * noise


def line_loss(theta, X, y):
    """Return half the mean squared error."""
    return 0.5 * ((X @ theta - y) ** 2).mean()


X_line, y_line = make_line(num_samples=12, seed=0)
torch.cat([X_line, y_line[:, None]], dim=1)[:4]


# %% [markdown]
# The gradient sample by sample, as the sum in the equation says, and the same in one line.
# Descent is then one loop for all three methods; only the list of batches differs.


# %%
def gradient_by_loop(theta, X, y):
    """Return the mean over samples of (x . theta - y) x."""
    total = torch.zeros_like(theta)
    for x_n, y_n in zip(X, y, strict=True):
        total += (x_n @ theta - y_n) * x_n
    return total / len(X)


def line_gradient(theta, X, y):
    """Return the same mean as one product."""
    return X.T @ (X @ theta - y) / len(X)


def descend_batches(theta, X, y, batches, lr):
    """Return the path of theta, one point for each batch of sample numbers."""
    path = [theta]
    for index in batches:
        theta = theta - lr * line_gradient(theta, X[index], y[index])
        path.append(theta)
    return torch.stack(path)


def draw_batches(num_samples, batch_size, num_epochs, seed):
    """Return shuffled batches of sample numbers; the last of an epoch may be smaller."""
    generator = torch.Generator().manual_seed(seed)
    epochs = (torch.randperm(num_samples, generator=generator) for _ in range(num_epochs))
    return [index for order in epochs for index in order.split(batch_size)]


# %% [markdown]
# ## Check it: batch and mini-batch gradients
#
# The loop against the product, the product against central differences, and full-batch descent
# against the least-squares solution it must end in.

# %%
THETA_0 = torch.tensor([-1.0, -1.5], dtype=torch.float64)
ledger.check_close(
    88,
    "full gradient: loop and product",
    gradient_by_loop(THETA_0, X_line, y_line),
    line_gradient(THETA_0, X_line, y_line),
)
ledger.check_gradient(
    88,
    "full gradient: central differences",
    lambda point: line_loss(torch.from_numpy(point), X_line, y_line),
    THETA_0,
    line_gradient(THETA_0, X_line, y_line),
)
full_batches = [torch.arange(12)] * 400
solution = torch.linalg.lstsq(X_line, y_line[:, None]).solution[:, 0]
gd_path = descend_batches(THETA_0, X_line, y_line, full_batches, lr=0.5)
ledger.check_close(88, "batch descent ends at least squares", gd_path[-1], solution)

# %% [markdown]
# Against `torch.optim.SGD`, on batches of five out of twelve: the last batch of each epoch holds
# two samples, the case in which a sloppy mean goes wrong.


# %%
def torch_sgd_path(theta, X, y, batches, lr):
    """Return the path of torch.optim.SGD on the same batches."""
    theta = theta.clone().requires_grad_()
    optimizer = torch.optim.SGD([theta], lr=lr)
    path = [theta.detach().clone()]
    for index in batches:
        optimizer.zero_grad()
        line_loss(theta, X[index], y[index]).backward()
        optimizer.step()
        path.append(theta.detach().clone())
    return torch.stack(path)


for row, batch_size in ((88, 12), (89, 5), (89, 1)):
    batches = draw_batches(12, batch_size, num_epochs=210 * batch_size // 12 + 1, seed=1)
    args = (THETA_0, X_line, y_line, batches, 0.3)
    name = f"batch size {batch_size}: {len(batches)} steps of torch.optim.SGD"
    ledger.check_close(row, name, descend_batches(*args), torch_sgd_path(*args), kind="trajectory")

# %% [markdown]
# ### Is a mini-batch gradient honest?
#
# Draw $B$ of $N$ samples without replacement. Averaged over all possible draws, each sample turns
# up equally often, so the mini-batch gradient is an **unbiased** estimate of the full one:
# $\mathbb E[g_{\mathcal B}]=\nabla L$. Its variance is that of sampling from a finite population,
#
# $$\operatorname{Var}[g_{\mathcal B}]=\frac{\sigma^2}{B}\cdot\frac{N-B}{N-1},\qquad
# \sigma^2=\frac1N\sum_n\big(g^{(n)}-\nabla L\big)^2 .$$
#
# With $N=8$ there are only 255 non-empty batches: no need for statistics, take them all.

# %%
X_TINY, Y_TINY = make_line(num_samples=8, seed=3)
full_gradient = line_gradient(THETA_0, X_TINY, Y_TINY)
EACH_GRADIENT = torch.stack(
    [line_gradient(THETA_0, X_TINY[[n]], Y_TINY[[n]]) for n in range(8)]
)  # (8, 2)
spread = (EACH_GRADIENT - full_gradient).square().mean(dim=0)


def all_batch_gradients(batch_size):
    """Return the gradient of every subset of the eight samples that has this size."""
    subsets = itertools.combinations(range(8), batch_size)
    return torch.stack([EACH_GRADIENT[list(subset)].mean(dim=0) for subset in subsets])


sizes = range(1, 9)
means = torch.stack([all_batch_gradients(size).mean(dim=0) for size in sizes])
variances = torch.stack([all_batch_gradients(size).var(dim=0, correction=0) for size in sizes])
predicted = torch.stack([spread / size * (8 - size) / (8 - 1) for size in sizes])
ledger.check_close(89, "mini-batch gradient is unbiased", means, full_gradient.expand(8, 2))
ledger.check_close(89, "variance of the mini-batch gradient", variances, predicted)

# %% [markdown]
# Both hold to the last digit. In practice an epoch is one **partition** of the data rather than
# all subsets. Equal parts average to the full gradient; a smaller last part does not, unless each
# part is weighted by its size.


# %%
def mean_over_parts(part_size, weighted):
    """Return the mean gradient over the parts of one partition of the eight samples."""
    parts = torch.arange(8).split(part_size)
    gradients = torch.stack([line_gradient(THETA_0, X_TINY[p], Y_TINY[p]) for p in parts])
    weights = torch.tensor([len(p) if weighted else 1 for p in parts], dtype=torch.float64)
    return weights @ gradients / weights.sum()


ledger.check_close(89, "four parts of two", mean_over_parts(2, weighted=False), full_gradient)
ledger.check_close(89, "3 + 3 + 2, weighted", mean_over_parts(3, weighted=True), full_gradient)
bias = (mean_over_parts(3, weighted=False) - full_gradient).abs().max()
ledger.check_at_least(89, "3 + 3 + 2, unweighted: off by", bias, 0.01)

# %% [markdown]
# ## Try it: what an epoch costs, and what it buys
#
# An epoch reads every sample once, whatever the batch size; what changes is how many steps it
# makes of them. **Predict.** After three epochs over 512 points, which is closest to the
# solution: one sample at a time, sixteen, or all of them? And who has the steadiest curve?

# %%
X_many, y_many = make_line(num_samples=512, seed=5)
best_theta = torch.linalg.lstsq(X_many, y_many[:, None]).solution[:, 0]
best_loss = line_loss(best_theta, X_many, y_many)
paths = {
    size: descend_batches(
        THETA_0, X_many, y_many, draw_batches(512, size, num_epochs=3, seed=0), lr=0.2
    )
    for size in (512, 16, 1)
}
excess_after, wobble_of = {}, {}
for size, path in paths.items():
    excess = (line_loss(path[-1], X_many, y_many) - best_loss).item()
    wobble = path[-(len(path) // 3) :].std(dim=0, correction=0).norm().item()
    print(f"B = {size:3d}: {len(path) - 1:4d} steps, excess loss {excess:.1e}, wobble {wobble:.3f}")
    excess_after[size], wobble_of[size] = excess, wobble
ledger.check_at_least(
    89, "equal epochs: B = 512 behind B = 16, factor", excess_after[512] / excess_after[16], 100
)
ledger.check_at_least(89, "B = 1 jitters more than B = 16, factor", wobble_of[1] / wobble_of[16], 2)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.4))
axs[0].plot(sizes, variances.sum(dim=1), "o", label="all subsets, exact")
axs[0].plot(sizes, predicted.sum(dim=1), label="formula")
axs[0].plot(sizes, spread.sum() / torch.tensor(sizes), label=r"$\sigma^2/B$ alone")
axs[0].set(xlabel="batch size B (samples)", ylabel="variance (gradient²)")
axs[0].legend()
for size, path in paths.items():
    thinned = path[:: max(1, 64 // size)]
    losses = [(line_loss(theta, X_many, y_many) - best_loss).item() for theta in thinned]
    axs[1].semilogy(torch.linspace(0, 3, len(losses)), losses, label=f"B = {size}")
axs[1].set(xlabel="samples read (epochs)", ylabel="excess loss (log scale)", ylim=(1e-7, 10))
axs[1].legend(loc="lower left")
show(
    fig,
    alt="Left: gradient variance falls with batch size, to zero at the full set, on the formula. "
    "Right: batch size 1 falls fastest and then jitters, 512 has barely moved after three epochs.",
)

# %% [markdown]
# *Figure 2. Left: variance of the mini-batch gradient, summed over both weights; $N=8$. The
# factor $(N-B)/(N-1)$ brings it to zero at $B=N$; $\sigma^2/B$ alone would not. Right: excess
# loss against samples read, lr 0.2 (of $B=1$ every 64th step). One at a time is quick and noisy;
# three full-batch steps have barely begun.*
#
# Reading the data once costs the same number of sample gradients in all three. Small batches buy
# more steps with them and pay in noise, which at a fixed learning rate never dies out. What an
# epoch costs in seconds is measured below, on a real network.

# %% [markdown]
# ## The idea in symbols: how large may a step be?
#
# Near a minimum $L\approx L^*+\frac12(\theta-\theta^*)^\top H(\theta-\theta^*)$ with the Hessian
# $H$. Along an eigenvector of $H$ with eigenvalue $\lambda_i$ one step multiplies the error by
# $1-\eta\lambda_i$. It shrinks exactly when $|1-\eta\lambda_i|<1$ for all $i$:
#
# $$0<\eta<\frac{2}{\lambda_{\max}} .$$
#
# The speed is set by the *smallest* eigenvalue, the limit by the *largest*. Their ratio, the
# condition number, is what made the ravine hard.
#
# ## Build it: the learning-rate limit


# %%
def lr_limit(loss, theta):
    """Return 2 / lambda_max of the Hessian at theta."""
    hessian = torch.autograd.functional.hessian(loss, theta)
    return (2 / torch.linalg.eigvalsh(hessian).max()).item()


ravine_limit = lr_limit(RAVINE.value, torch.zeros(2, dtype=torch.float64))
line_limit = lr_limit(lambda theta: line_loss(theta, X_line, y_line), solution)
print(f"ravine {ravine_limit:.4f}, straight line {line_limit:.4f}")

# %% [markdown]
# ## Check it: the learning-rate limit
#
# Against closed forms: the ravine's largest eigenvalue is 25, the line's Hessian is $X^\top X/N$.
# Then by experiment: half a percent below the limit the distance must shrink, half a percent
# above it must grow.

# %%
ledger.check_close(88, "limit on the ravine", ravine_limit, 2 / 25)
top = torch.linalg.svdvals(X_line)[0] ** 2 / 12
ledger.check_close(88, "limit of the straight line", line_limit, 2 / top)


def shrink_factor(gradient, theta, minimum, lr, num_steps=500):
    """Return the distance to the minimum after many steps, in units of the first distance."""
    start = (theta - minimum).norm()
    for _ in range(num_steps):
        theta = theta - lr * gradient(theta)
    return ((theta - minimum).norm() / start).item()


cases = {
    "ravine": (lambda p: p * torch.tensor([1.0, 25.0]), torch.zeros(2), ravine_limit),
    "line": (lambda p: line_gradient(p, X_line, y_line), solution, line_limit),
}
for name, (gradient, minimum, limit) in cases.items():
    below, above = (
        shrink_factor(gradient, THETA_0, minimum, lr=part * limit) for part in (0.995, 1.005)
    )
    ledger.check_at_most(88, f"{name}: 0.5 % below the limit the error shrinks to", below, 0.1)
    ledger.check_at_least(88, f"{name}: 0.5 % above the limit it grows to", above, 10)

# %% [markdown]
# ## Try it: too low, about right, too high
#
# A real loss is no quadratic, and its Hessian changes on the way. **Predict** the shape of three
# loss curves of a small network on 8 × 8 digits: learning rate 0.003, 1 and 30. Will the last one
# end in infinity?


# %%
def make_mlp(sizes, seed):
    """Return a ReLU network with He's initialisation, drawn from its own generator."""
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for n_in, n_out in itertools.pairwise(sizes):
        linear = nn.utils.skip_init(nn.Linear, n_in, n_out)
        nn.init.normal_(linear.weight, std=math.sqrt(2 / n_in), generator=generator)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


digits = data.load_digits_8x8()
digits_mean = torch.from_numpy(digits.X_train).flatten(1).mean(dim=0)
X_DIGITS = torch.from_numpy(digits.X_train).flatten(1) - digits_mean  # (1437, 64)
Y_DIGITS = torch.from_numpy(digits.y_train)


# %%
def train(model, optimizer, samples, num_epochs, batch_size, seed, val=None):
    """Run the course's training loop on cross-entropy; return its history."""
    settings = {"num_epochs": num_epochs, "batch_size": batch_size, "val": val, "progress": False}
    shuffle = torch.Generator().manual_seed(seed)
    return fit(model, optimizer, cross_entropy, samples, generator=shuffle, **settings)


def train_digits(lr, seed):
    """Return the training loss of SGD in each of ten epochs."""
    model = make_mlp((64, 24, 10), seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    return train(model, optimizer, (X_DIGITS, Y_DIGITS), 10, 64, seed).train_loss


lr_curves = {lr: [train_digits(lr, seed) for seed in range(3)] for lr in (0.003, 1.0, 30.0)}
last = {lr: [curve[-1] for curve in curves] for lr, curves in lr_curves.items()}
ledger.check_at_most(88, "lr 1: worst of 3 seeds after 10 epochs", max(last[1.0]), 0.1)
ledger.check_at_least(88, "lr 0.003: best of 3 seeds, still above", min(last[0.003]), 1.5)
ledger.check_at_least(88, "lr 30: best of 3 seeds, still above", min(last[30.0]), math.log(10))

# %%
fig, ax = plt.subplots(figsize=(5.0, 2.5))
for (lr, curves), style in zip(lr_curves.items(), ("-.", "-", "--"), strict=True):
    color = {0.003: "green", 1.0: "blue", 30.0: "vermilion"}[lr]
    for seed, curve in enumerate(curves):
        label = f"lr = {lr:g}" if seed == 0 else None
        ax.semilogy(range(1, 11), curve, style, color=PALETTE[color], label=label)
ax.axhline(math.log(10), color="0.6", linewidth=1, linestyle=":")
ax.set(xlabel="epoch", ylabel="loss (nats, log scale)", ylim=(0.02, 200))
ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
show(
    fig,
    alt="Loss of three learning rates, three seeds each: the low one creeps, the middle one falls "
    "far, the high one jumps up at once and stays above the loss of guessing.",
)

# %% [markdown]
# *Figure 3. Training loss on 8 × 8 digits, three seeds each; dotted: guessing, $\ln 10$ nats.*
#
# The high rate does not run to infinity: after a jump the loss stays above that of guessing. A
# bounded, flat, bad curve is as much a sign of too large a step as a NaN.

# %% [markdown]
# ## Build it: a test bench for optimizers
#
# Every optimizer below is one function `step(theta, grad, state, **hyper) -> (theta, state)`: one
# equation a line, the state in a dictionary.
#
# Four problems to try each on, in float64: a rotated quadratic in five dimensions; Rosenbrock's
# curved valley; the loss of a small tanh network; and one whose gradient is zero in most
# coordinates at every step, and in one coordinate always (the embedding of a word that never
# comes). The last is where a careless division shows.

# %%
F64 = torch.float64
bench = torch.Generator().manual_seed(4)
ROTATION = torch.linalg.qr(torch.randn(5, 5, generator=bench, dtype=F64)).Q
CURVATURE = ROTATION @ torch.diag(torch.tensor([0.1, 0.5, 1, 3, 8], dtype=F64)) @ ROTATION.T
X_NET = torch.randn(20, 2, generator=bench, dtype=F64)
Y_NET = torch.sign(X_NET.prod(dim=1))  # XOR-like


def sgd(theta, grad, state, *, lr):
    """Take one step against the gradient; plain descent needs no state."""
    return theta - lr * grad, state


def quadratic_gradient(theta, step):
    """Return the gradient of a quadratic with its minimum at (1, ..., 1)."""
    return CURVATURE @ (theta - 1)


def sparse_gradient(theta, step):
    """Return a gradient that touches one or two of twelve coordinates, the last one never."""
    touched = torch.zeros_like(theta)
    touched[[step % 11, step * 5 % 11]] = 1.0
    return touched * (theta - 2)


# %%
def net_loss(theta):
    """Return the squared error of a 2-4-1 tanh network whose 17 weights are theta."""
    W_1, b_1, w_2, b_2 = theta.split([8, 4, 4, 1])
    return ((torch.tanh(X_NET @ W_1.view(2, 4) + b_1) @ w_2 + b_2 - Y_NET) ** 2).mean()


def rosenbrock_loss(theta):
    """Return Rosenbrock's function, made a hundred times flatter."""
    return landscape.TEST_FUNCTIONS["rosenbrock"].value(theta) / 100


def gradient_of(loss):
    """Return a gradient function (theta, step) by automatic differentiation."""

    def gradient(theta, step):
        theta = theta.detach().requires_grad_()
        return torch.autograd.grad(loss(theta), theta)[0]

    return gradient


PROBLEMS = {  # name: (gradient function, start)
    "quadratic": (quadratic_gradient, torch.zeros(5, dtype=F64)),
    "rosenbrock": (gradient_of(rosenbrock_loss), torch.tensor([-1.2, 1.0], dtype=F64)),
    "network": (gradient_of(net_loss), 0.5 * torch.randn(17, generator=bench, dtype=F64)),
    "sparse": (sparse_gradient, torch.ones(12, dtype=F64)),
}

# %% [markdown]
# The bench runs a hand-written optimizer and its twin from `torch.optim` side by side on all four
# problems, 220 steps each, and compares every point of every path. The `l2` argument adds the
# gradient of an $L_2$ penalty, $g\leftarrow g+w\theta$; torch calls it `weight_decay`.


# %%
def run_steps(step, problem, num_steps=220, *, l2=0.0, look=None, **hyper):
    """Return the path of a hand-written optimizer, start included."""
    gradient, theta = problem
    state, path = {}, [theta]
    for t in range(num_steps):
        point = theta if look is None else look(theta, state, **hyper)
        grad = gradient(point, t) + l2 * point
        theta, state = step(theta, grad, state, **hyper)
        path.append(theta)
    return torch.stack(path)


def run_torch(make_optimizer, problem, num_steps=220):
    """Return the path of a torch optimizer, start included."""
    gradient, start = problem
    theta = nn.Parameter(start.clone())
    optimizer = make_optimizer([theta])
    path = [start]
    for t in range(num_steps):
        theta.grad = gradient(theta.detach(), t)
        optimizer.step()
        path.append(theta.detach().clone())
    return torch.stack(path)


# %%
def compare_with_torch(row, name, step, torch_class, *, l2=0.0, only_torch=None, **hyper):
    """Check a hand-written optimizer against torch's on all four problems."""
    for_torch = {**hyper, **(only_torch or {})}
    if l2:
        name, for_torch["weight_decay"] = f"{name}, weight decay", l2
    ours, theirs = [], []
    for problem in PROBLEMS.values():
        ours.append(run_steps(step, problem, l2=l2, **hyper).flatten())
        theirs.append(run_torch(lambda p: torch_class(p, **for_torch), problem).flatten())
    ledger.check_close(
        row, f"{name} = torch", torch.cat(ours), torch.cat(theirs), kind="trajectory"
    )


# %% [markdown]
# ## Check it: the test bench
#
# Plain descent against `torch.optim.SGD`, without and with weight decay. And the bench itself: a
# step with a wrong sign in the penalty must fail it, or it proves nothing.

# %%
compare_with_torch(88, "gradient descent", sgd, torch.optim.SGD, lr=0.11)
compare_with_torch(88, "gradient descent", sgd, torch.optim.SGD, lr=0.11, l2=0.05)
wrong = run_steps(sgd, PROBLEMS["network"], lr=0.11, l2=-0.05)
right = run_torch(lambda p: torch.optim.SGD(p, lr=0.11, weight_decay=0.05), PROBLEMS["network"])
gap = (wrong - right).abs().max()
ledger.check_at_least(88, "the bench sees a penalty of the wrong sign", gap, 1e-3)

# %% [markdown]
# ## The idea in symbols: momentum
#
# Let the step remember earlier ones:
#
# $$v^{t+1}=\lambda v^t-\eta\nabla L(\theta^t),\qquad\theta^{t+1}=\theta^t+v^{t+1},\qquad v^0=0 .$$
#
# Put each line into the next and the memory unrolls into a sum over all gradients so far, the
# older the fainter: $v^t=-\eta\sum_{k=0}^{t-1}\lambda^{t-1-k}\nabla L(\theta^k)$. Steps that keep
# their direction add up, to $1/(1-\lambda)$ times a plain step in the end; steps that zigzag
# cancel.
#
# ## Build it: momentum
#
# The lecture's form, and torch's, which keeps the learning rate out of the memory.


# %%
def momentum_lecture(theta, grad, state, *, lr, momentum):
    """Take one step with momentum as the lecture writes it."""
    v = momentum * state.get("v", 0.0) - lr * grad
    return theta + v, {"v": v}


def momentum_torch(theta, grad, state, *, lr, momentum):
    """Take one step with momentum as torch.optim.SGD writes it."""
    v = momentum * state.get("v", 0.0) + grad
    return theta - lr * v, {"v": v}


# %% [markdown]
# ## Check it: momentum
#
# While the learning rate stays the same both forms give the same path: the second memory is the
# first divided by $-\eta$. The unrolled sum is checked on gradients recorded along a run.

# %%
momentum_hyper = {"lr": 0.03, "momentum": 0.83}
compare_with_torch(101, "momentum, torch's form", momentum_torch, torch.optim.SGD, **momentum_hyper)
compare_with_torch(
    101, "momentum, lecture's form", momentum_lecture, torch.optim.SGD, **momentum_hyper
)
compare_with_torch(
    101, "momentum, lecture's form", momentum_lecture, torch.optim.SGD, **momentum_hyper, l2=0.04
)
gradient, start = PROBLEMS["rosenbrock"]
path = run_steps(momentum_lecture, PROBLEMS["rosenbrock"], num_steps=60, **momentum_hyper)
gradients = torch.stack([gradient(theta, t) for t, theta in enumerate(path[:-1])])  # (60, 2)
age = torch.arange(59, -1, -1, dtype=F64)  # t - 1 - k for k = 0 .. t - 1
v_60 = -momentum_hyper["lr"] * (momentum_hyper["momentum"] ** age) @ gradients
ledger.check_close(101, "momentum unrolled: v^60 as a sum", v_60, path[60] - path[59])

# %% [markdown]
# ### Where the two forms part
#
# **Predict.** After 100 steps of a constant gradient the learning rate drops from 0.1 to 0.01. In
# which form does the next step shrink at once?


# %%
def steps_around_a_drop(step, momentum=0.9):
    """Return the displacements when lr falls from 0.1 to 0.01 after 100 steps."""
    theta, state, moves = torch.zeros(1, dtype=F64), {}, []
    for t in range(140):
        lr = 0.1 if t < 100 else 0.01
        new_theta, state = step(theta, torch.ones(1, dtype=F64), state, lr=lr, momentum=momentum)
        moves.append((new_theta - theta).item())
        theta = new_theta
    return moves


lecture_moves = steps_around_a_drop(momentum_lecture)
torch_moves = steps_around_a_drop(momentum_torch)
for label, moves in (("lecture", lecture_moves), ("torch", torch_moves)):
    print(f"{label:8s} before {moves[99]:.3f}  just after {moves[100]:.3f}  later {moves[-1]:.3f}")
seen = [lecture_moves[99], lecture_moves[100], torch_moves[100]]
by_hand = [-0.1 / (1 - 0.9), 0.9 * -1.0 - 0.01, -0.01 / (1 - 0.9)]
ledger.check_close(101, "terminal step; lecture's and torch's next", seen, by_hand, tolerance=1e-4)

# %% [markdown]
# In torch's form the step follows the new rate at once; in the lecture's the old speed has to die
# out first. With a schedule the two are different algorithms, so a learning-rate schedule taken
# from a paper is only reproducible together with the form of momentum.
#
# ### How good can it get?
#
# On a quadratic with curvatures between $\mu$ and $\Lambda$, plain descent at its best rate
# multiplies the error by $(\kappa-1)/(\kappa+1)$ a step, $\kappa=\Lambda/\mu$. Polyak (1964)
# showed that momentum reaches $(\sqrt\kappa-1)/(\sqrt\kappa+1)$. The rate is the spectral radius
# of the matrix that maps $(\theta,v)$ to its successor; compute it.


# %%
def contraction(curvature, lr, momentum):
    """Return the spectral radius of one momentum step on 1/2 curvature theta^2."""
    one_step = torch.tensor(
        [[1 - lr * curvature, momentum], [-lr * curvature, momentum]], dtype=F64
    )  # (theta, v) -> (theta + v', v')
    return torch.linalg.eigvals(one_step).abs().max()


root = math.sqrt(25.0)  # the ravine: curvatures 1 and 25
polyak = {"lr": 4 / (root + 1) ** 2, "momentum": ((root - 1) / (root + 1)) ** 2}
factors = torch.stack([contraction(curvature, **polyak) for curvature in (1.0, 25.0)])
plain_factor = max(contraction(curvature, 2 / 26, 0.0) for curvature in (1.0, 25.0))
print(f"factor a step: plain {plain_factor:.3f}, momentum {factors.max():.3f}")
by_polyak = torch.full((2,), (root - 1) / (root + 1), dtype=F64)
ledger.check_close(101, "Polyak's factor on the ravine", factors, by_polyak, tolerance=1e-6)
ledger.check_close(101, "plain descent's best factor", plain_factor, 24 / 26)

# %% [markdown]
# With momentum the condition number counts by its square root only. The first section used these
# settings, 0.111 and 0.444, rounded. The factor is that of the long run: at Polyak's settings the
# two eigenvalues coincide, so the error falls like $t$ times the factor to the power $t$.

# %% [markdown]
# ## The idea in symbols: a ball with friction
#
# Read the loss as height. A particle of mass 1 feels the force $-\nabla J(\theta)$ and a drag
# proportional to its speed:
#
# $$\dot\theta=v,\qquad\dot v=-\nabla J(\theta)-c\,v .$$
#
# Euler's method with time step $h$ replaces a derivative by a difference. The **explicit** form
# uses old values on the right; the form the lecture ends with moves $\theta$ with the *new*
# speed, which is the **semi-implicit** Euler step:
#
# $$v_{n+1}=(1-ch)\,v_n-h\nabla J(\theta_n),\qquad
# \theta_{n+1}=\theta_n+h\,v_n\ \text{(explicit)}\quad\text{or}\quad
# \theta_n+h\,v_{n+1}\ \text{(semi-implicit)}.$$
#
# ## Build it: Euler's method
#
# The potential is a spring, $J=\frac12\theta^2$, whose exact motion is known.


# %%
def explicit_step(theta, v, h, c):
    """Move with the old speed."""
    return theta + h * v, (1 - c * h) * v - h * theta


def semi_implicit_step(theta, v, h, c):
    """Move with the new speed."""
    v = (1 - c * h) * v - h * theta
    return theta + h * v, v


def simulate(step, h, c, time):
    """Return positions and speeds from (1, 0), shape (steps + 1, 2)."""
    points = [(1.0, 0.0)]
    for _ in range(round(time / h)):
        points.append(step(*points[-1], h, c))
    return torch.tensor(points, dtype=F64)


def exact_position(time, c):
    """Return the damped oscillation that starts at (1, 0), for c < 2."""
    omega = math.sqrt(1 - c**2 / 4)
    return math.exp(-c * time / 2) * (
        math.cos(omega * time) + c / (2 * omega) * math.sin(omega * time)
    )


# %% [markdown]
# ## Check it: the physics of momentum
#
# First, without drag. The explicit step gains energy by the factor $1+h^2$ each time: it spirals
# out. The semi-implicit one keeps $\theta^2+v^2-h\theta v$ exactly: it orbits for ever.

# %%
h = 0.1
spiral = simulate(explicit_step, h, c=0.0, time=40.0)
orbit = simulate(semi_implicit_step, h, c=0.0, time=40.0)
energy = (spiral**2).sum(dim=1)
ledger.check_close(
    102,
    "explicit Euler gains 1 + h^2 a step",
    energy[1:] / energy[:-1],
    torch.full((400,), 1 + h**2, dtype=F64),
    kind="invariant",
)
kept = (orbit**2).sum(dim=1) - h * orbit.prod(dim=1)
ledger.check_close(
    102,
    "semi-implicit Euler keeps its invariant",
    kept,
    torch.ones(401, dtype=F64),
    kind="invariant",
)

# %% [markdown]
# With drag it settles. As $h$ shrinks both forms approach the exact motion, with an error
# proportional to $h$: halving the step should halve the error.
#
# And the bridge: measure displacement per step, $V=hv$. The semi-implicit step turns into
# $V'=(1-ch)V-h^2\nabla J$, $\theta'=\theta+V'$, which is momentum with $\lambda=1-c\,h$ and
# $\eta=h^2$.

# %%
settled = simulate(semi_implicit_step, h, c=0.5, time=40.0)
ledger.check_at_most(102, "with drag it comes to rest", settled[-1].norm(), 1e-3)
ledger.check_at_least(102, "without drag it does not", orbit[-100:].norm(dim=1).min(), 0.9)
time_steps = [0.1 / 2**k for k in range(6)]
euler_errors = {
    step.__name__: torch.tensor(
        [abs(simulate(step, h, 0.5, 5.0)[-1, 0] - exact_position(5.0, 0.5)) for h in time_steps]
    )
    for step in (explicit_step, semi_implicit_step)
}
for name, errors in euler_errors.items():
    order = torch.log2(errors[:-1] / errors[1:])[-1]
    ledger.check_close(102, f"order of {name}", order, 1.0, kind="metric", tolerance=0.03)

spring = (lambda theta, step: theta, torch.ones(1, dtype=F64))
as_momentum = run_steps(momentum_lecture, spring, num_steps=400, lr=h**2, momentum=1 - 0.5 * h)
ledger.check_close(
    102,
    "momentum = semi-implicit Euler, 1 - c h and h^2",
    as_momentum[:, 0],
    settled[:, 0],
    kind="trajectory",
)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.6, 2.5))
for label, points in (("explicit", spiral), ("semi-implicit", orbit), ("with drag", settled)):
    axs[0].plot(*points[:251].T, label=label)
axs[0].set(xlabel=r"position $\theta$", ylabel="speed $v$", aspect="equal")
axs[0].set(xlim=(-3.4, 3.4), ylim=(-3.4, 3.4))
axs[0].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=9)
for (name, errors), marker in zip(euler_errors.items(), MARKERS, strict=False):
    axs[1].loglog(
        time_steps, errors, marker=marker, label=name.removesuffix("_step").replace("_", "-")
    )
axs[1].set(xlabel="time step h (log scale)", ylabel="error (log scale)")
axs[1].legend(fontsize=9)
show(
    fig,
    alt="Left: three curves in the plane of position and speed; one spirals out, one is a closed "
    "oval, one spirals into the origin. Right: two straight lines, error proportional to step.",
)

# %% [markdown]
# *Figure 4. Left: a spring from (1, 0), $h=0.1$, up to time 25: explicit and semi-implicit Euler
# without drag, semi-implicit with $c=0.5$. Right: error at time 5, both with drag; slope 1.*
#
# Momentum is friction turned round: $\lambda=0.9$ means that a tenth of the speed is lost each
# step. Without loss ($\lambda=1$) the ball never rests in the valley it has found.

# %% [markdown]
# ## The idea in symbols: Nesterov's look ahead
#
# The momentum part of the next step is already known. Nesterov's method takes it first and
# measures the slope *there*:
#
# $$\tilde\theta=\theta+\alpha v,\qquad g=\nabla L(\tilde\theta),\qquad
# v\leftarrow\alpha v-\epsilon g,\qquad\theta\leftarrow\theta+v .$$
#
# torch's `nesterov=True` reads differently: it takes the gradient at its own weights and steps by
# $-\eta\,(g+\mu b)$ with $b\leftarrow\mu b+g$.
#
# ## Build it: Nesterov


# %%
def look_ahead(theta, state, *, lr, momentum):
    """Return where the known part of the next step leads."""
    return theta + momentum * state.get("v", 0.0)


def nesterov_torch(theta, grad, state, *, lr, momentum):
    """Take one step in torch's form, the gradient taken at theta itself."""
    v = momentum * state.get("v", 0.0) + grad
    return theta - lr * (grad + momentum * v), {"v": v}


# %% [markdown]
# The lecture's form needs no new step: it is `momentum_lecture`, fed with the gradient at
# `look_ahead`. How do the two fit together? Write $\phi_t=\theta_t+\alpha v_t$ for the interim
# point of the lecture's form. Then
#
# $$\phi_{t+1}=\theta_{t+1}+\alpha v_{t+1}=\underbrace{\theta_t+\alpha v_t}_{\phi_t}
# -\,\epsilon g(\phi_t)+\alpha v_{t+1},\qquad v_{t+1}=\alpha v_t-\epsilon g(\phi_t).$$
#
# With $v=-\epsilon b$ this is $\phi_{t+1}=\phi_t-\epsilon\,(g+\alpha b_{t+1})$,
# $b_{t+1}=\alpha b_t+g$: torch's form. So torch stores the *interim* point and calls it the
# weights. Both start from the same place, as $v_0=0$.
#
# ## Check it: Nesterov
#
# torch's form against torch; then the change of variables along 220 steps of all four problems.

# %%
nesterov_hyper = {"lr": 0.04, "momentum": 0.77}
nesterov = {"nesterov": True}
for l2 in (0.0, 0.03):
    compare_with_torch(
        103,
        "Nesterov",
        nesterov_torch,
        torch.optim.SGD,
        only_torch=nesterov,
        l2=l2,
        **nesterov_hyper,
    )
for name, problem in PROBLEMS.items():
    lecture = run_steps(momentum_lecture, problem, look=look_ahead, **nesterov_hyper)
    velocity = torch.diff(lecture, dim=0)  # v_1, v_2, ...
    interim = lecture[1:] + nesterov_hyper["momentum"] * velocity
    in_torch = run_torch(lambda p: torch.optim.SGD(p, **nesterov_hyper, **nesterov), problem)
    ledger.check_close(
        103,
        f"lecture's interim point = torch's weights, {name}",
        interim,
        in_torch[1:],
        kind="trajectory",
    )
    print(
        f"    largest distance between the two sets of weights: "
        f"{(lecture - in_torch).norm(dim=1).max():.3f}"
    )

# %% [markdown]
# The weights themselves differ on the way, by the length of one look ahead, and meet where the
# velocity dies out.
#
# Why does looking ahead help? On a quadratic with curvature $\lambda_i$ the gradient at
# $\theta+\alpha v$ is $\lambda_i\theta+\lambda_i\alpha v$, so
# $v\leftarrow\alpha(1-\epsilon\lambda_i)v -\epsilon\lambda_i\theta$: momentum with *less memory
# in steep directions*. On the ravine, with $\epsilon=0.03$, that is a memory of $0.97\,\alpha$
# along the floor and $0.25\,\alpha$ across.

# %%
in_ravine = (lambda p, step: p * torch.tensor([1.0, 25.0]), torch.tensor([-4.5, 1.0], dtype=F64))
ahead = run_steps(momentum_lecture, in_ravine, look=look_ahead, lr=0.03, momentum=0.9)
memory = 0.9 * (1 - 0.03 * torch.tensor([1.0, 25.0], dtype=F64))  # 0.9 * (0.97, 0.25)
same = run_steps(momentum_lecture, in_ravine, lr=0.03, momentum=memory)
ledger.check_close(
    103, "Nesterov = momentum with less memory where it is steep", ahead, same, kind="trajectory"
)
behind = run_steps(momentum_lecture, in_ravine, lr=0.03, momentum=0.9)
swings = [path[20:, 1].abs().max().item() for path in (behind, ahead)]
print(f"swing across the floor after 20 steps: {swings[0]:.1e} momentum, {swings[1]:.1e} Nesterov")
ledger.check_at_least(103, "swing, momentum over Nesterov", swings[0] / swings[1], 10)

# %% [markdown]
# ## The idea in symbols: a rate for each weight
#
# One learning rate for all weights suits none where slopes differ. **Adaptive** (自适应) methods
# divide by the size that a weight's own gradients have had. Adagrad sums their squares for ever,
# RMSProp averages them with a fading memory:
#
# $$\text{Adagrad: } r\leftarrow r+g\odot g,\qquad
# \text{RMSProp: } r\leftarrow\rho r+(1-\rho)\,g\odot g,\qquad
# \Delta\theta=-\frac{\eta}{\delta+\sqrt r}\odot g .$$
#
# AdaDelta also asks for the right unit: a step should be measured in weights, so it replaces
# $\eta$ by the root mean square of its own earlier steps,
#
# $$\Delta\theta=-\frac{\sqrt{u+\delta}}{\sqrt{r+\delta}}\odot g,\qquad
# u\leftarrow\rho u+(1-\rho)\,\Delta\theta\odot\Delta\theta .$$
#
# ## Build it: Adagrad, RMSProp, AdaDelta
#
# The small $\delta$ stands outside the root in some formulas and inside in others, so it gets a
# function of its own.


# %%
def outside(r, eps):
    """Return sqrt(r) + eps, as torch's Adagrad, RMSprop and Adam have it."""
    return r.sqrt() + eps


def inside(r, eps):
    """Return sqrt(r + eps), as AdaDelta and the lecture's unified form have it."""
    return (r + eps).sqrt()


def adagrad(theta, grad, state, *, lr, eps, root=outside):
    """Take one step divided by the root of the sum of all squared gradients."""
    r = state.get("r", 0.0) + grad**2
    return theta - lr * grad / root(r, eps), {"r": r}


def rmsprop(theta, grad, state, *, lr, alpha, eps, root=outside):
    """Take one step divided by the root of a fading mean of squared gradients."""
    r = alpha * state.get("r", 0.0) + (1 - alpha) * grad**2
    return theta - lr * grad / root(r, eps), {"r": r}


def adadelta(theta, grad, state, *, lr, rho, eps):
    """Take one step as large as earlier steps were; lr is torch's extra factor."""
    r = rho * state.get("r", 0.0) + (1 - rho) * grad**2
    u = state.get("u", torch.zeros_like(theta))
    move = -grad * inside(u, eps) / inside(r, eps)
    return theta + lr * move, {"r": r, "u": rho * u + (1 - rho) * move**2}


# %% [markdown]
# ## Check it: Adagrad, RMSProp, AdaDelta
#
# Each against its twin, with settings far from the defaults, without and with weight decay. Why
# are rates small and `eps` large here? Close to a minimum the divisor is about `eps`; if
# `lr / eps` exceeds the limit $2/\lambda_{\max}$ these methods jitter for ever, and rounding
# errors grow until two right programs part.
#
# The coordinate that never receives a gradient is the edge case: $r=0$ there, and without
# $\delta$ the step is $0/0$.

# %%
for l2 in (0.0, 0.03):
    compare_with_torch(98, "Adagrad", adagrad, torch.optim.Adagrad, lr=0.07, eps=0.03, l2=l2)
    compare_with_torch(
        99, "RMSProp", rmsprop, torch.optim.RMSprop, lr=0.013, alpha=0.83, eps=0.06, l2=l2
    )
    compare_with_torch(
        100, "AdaDelta", adadelta, torch.optim.Adadelta, lr=0.2, rho=0.88, eps=1e-3, l2=l2
    )
untouched = run_steps(adagrad, PROBLEMS["sparse"], lr=0.21, eps=1e-4)[-1, -1]
careless = run_steps(adagrad, PROBLEMS["sparse"], lr=0.21, eps=0.0)[-1, -1]
print(f"with eps {untouched.item()}, without {careless.item()}")
ledger.check_equal(98, "a weight without gradient stays where it was", untouched, 1.0)
ledger.check_equal(98, "eps = 0 makes it NaN", bool(careless.isnan()), True)

# %% [markdown]
# ### RMSProp by hand, and a first value that differs
#
# The lecture's first picture of RMSProp starts with $\sigma^0=|g^0|$, which unrolls to
# $(\sigma^t)^2=\rho^t(g^0)^2+(1-\rho)\sum_{i=1}^t\rho^{t-i}(g^i)^2$. Its boxed algorithm, like
# torch, starts from $r=0$, so the first gradient too carries the factor $1-\rho$. **Predict** by
# how much $(\sigma^t)^2$ and $r$ differ, and how long one notices.

# %%
recorded = torch.randn(30, generator=torch.Generator().manual_seed(2), dtype=F64)  # g^0 .. g^29
rho = 0.8
sigma_squared, r = recorded[0] ** 2, (1 - rho) * recorded[0] ** 2
for grad in recorded[1:]:
    sigma_squared = rho * sigma_squared + (1 - rho) * grad**2
    r = rho * r + (1 - rho) * grad**2
age = torch.arange(29, -1, -1, dtype=F64)
weights = (1 - rho) * rho**age
weights[0] = rho**29
closed_form = weights @ recorded**2
ledger.check_close(99, "closed form of sigma squared", closed_form, sigma_squared)
difference = rho**30 * recorded[0] ** 2
ledger.check_close(99, "sigma^2 - r", sigma_squared - r, difference, tolerance=1e-15)
first_steps = [1.0, 1 / math.sqrt(1 - rho)]  # |g| / sigma^0 and |g| / sqrt((1 - rho) g^2)
print(f"first step in units of lr: picture {first_steps[0]:.2f}, box {first_steps[1]:.2f}")

# %% [markdown]
# The difference is $\rho^{t+1}(g^0)^2$: gone after a few times $1/(1-\rho)$ steps, but the very
# first step is longer by $1/\sqrt{1-\rho}$ in the boxed form. Adam's bias correction, below,
# repairs just this.
#
# ## Try it: a memory that never fades
#
# **Predict.** The gradient is 1 at every step. How do the steps of Adagrad and RMSProp change
# with time? And what does AdaDelta do, which was given no learning rate?

# %%
ones = (lambda theta, step: torch.ones_like(theta), torch.zeros(1, dtype=F64))
sizes_of_steps = {
    "Adagrad": run_steps(adagrad, ones, lr=0.1, eps=1e-12),
    "RMSProp": run_steps(rmsprop, ones, lr=0.1, alpha=0.9, eps=1e-12),
    "AdaDelta": run_steps(adadelta, ones, lr=1.0, rho=0.9, eps=1e-6),
}
sizes_of_steps = {name: -torch.diff(path[:, 0]) for name, path in sizes_of_steps.items()}
t = torch.arange(1, 221, dtype=F64)
ledger.check_close(98, "Adagrad's step is lr / sqrt(t)", sizes_of_steps["Adagrad"], 0.1 / t.sqrt())
ledger.check_close(
    99, "RMSProp's is lr / sqrt(1 - rho^t)", sizes_of_steps["RMSProp"], 0.1 / (1 - 0.9**t).sqrt()
)
first = math.sqrt(1e-6 / (0.1 + 1e-6))
ledger.check_close(100, "AdaDelta's first step is set by eps", sizes_of_steps["AdaDelta"][0], first)

# %%
fig, ax = plt.subplots(figsize=(5.0, 2.6))
for name, lengths in sizes_of_steps.items():
    ax.loglog(t, lengths, label=name)
ax.set(xlabel="step (log scale)", ylabel="step length (log scale)")
ax.legend(ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
show(
    fig,
    alt="Step length against time for a constant gradient: Adagrad falls as one over root t, "
    "RMSProp levels off at lr, AdaDelta starts far lower and grows.",
)

# %% [markdown]
# *Figure 5. Step length under a constant gradient of 1. Adagrad's falls for ever, RMSProp's
# levels off, AdaDelta's starts near $\sqrt{\delta/(1-\rho)}$ and grows.*
#
# Adagrad counts every gradient since the start: its step is small not since the minimum is near
# but since time has passed. That is what RMSProp's fading memory cures. AdaDelta has hidden a
# learning rate in its $\delta$.

# %% [markdown]
# ## Build it: RMSProp with Nesterov
#
# The lecture's box: $\tilde\theta=\theta+\alpha v$; $g$ at $\tilde\theta$;
# $r\leftarrow\rho r+(1-\rho)g\odot g$; $v\leftarrow\alpha v-\frac{\epsilon}{\sqrt r}\odot g$;
# and, as printed, $\theta\leftarrow\theta+\Delta\theta$. But no line of the box defines
# $\Delta\theta$.
#
# It is left over from the RMSProp box. Filling it in from there,
# $\Delta\theta=-\frac{\epsilon}{\sqrt r}\odot g$, would run, but then $v$ moves nothing but the
# look ahead. What is meant is $\theta\leftarrow\theta+v$. The box has no $\delta$ either; it goes
# where torch's RMSprop has it.


# %%
def rmsprop_nesterov(theta, grad, state, *, lr, momentum, alpha, eps):
    """Take one step of RMSProp with momentum; grad is taken at the interim point."""
    r = alpha * state.get("r", 0.0) + (1 - alpha) * grad**2
    v = momentum * state.get("v", 0.0) - lr * grad / outside(r, eps)
    return theta + v, {"r": r, "v": v}


def left_over(theta, grad, state, *, lr, momentum, alpha, eps):
    """Take the step that the left-over delta theta would give."""
    r = alpha * state.get("r", 0.0) + (1 - alpha) * grad**2
    move = -lr * grad / outside(r, eps)
    return theta + move, {"r": r, "v": momentum * state.get("v", 0.0) + move}


def interim_point(theta, state, *, momentum, **others):
    """Return theta + momentum * v."""
    return theta + momentum * state.get("v", 0.0)


# %% [markdown]
# ## Check it: RMSProp with Nesterov
#
# torch has no twin, so two other routes lead to the same path. **Route 1** puts two verified
# pieces together: scale the gradient as `rmsprop` does, hand it to `nesterov_torch`, and
# translate the interim points back to weights.


# %%
def composed(theta, grad, state, *, lr, momentum, alpha, eps):
    """Take RMSProp's unit step, and give it to Nesterov as its gradient."""
    move, memory = rmsprop(0.0, grad, state.get("rms", {}), lr=1.0, alpha=alpha, eps=eps)
    theta, velocity = nesterov_torch(theta, -move, state.get("nag", {}), lr=lr, momentum=momentum)
    return theta, {"rms": memory, "nag": velocity, "back": lr * momentum * velocity["v"]}


box_hyper = {"lr": 0.011, "momentum": 0.7, "alpha": 0.85, "eps": 0.1}
for name, problem in PROBLEMS.items():
    box = run_steps(rmsprop_nesterov, problem, look=interim_point, **box_hyper)
    theta, state, weights = problem[1], {}, [problem[1]]
    for step in range(220):
        theta, state = composed(theta, problem[0](theta, step), state, **box_hyper)
        weights.append(theta + state["back"])
    ledger.check_close(
        104,
        f"box = RMSProp composed with Nesterov, {name}",
        box,
        torch.stack(weights),
        kind="trajectory",
    )

# %% [markdown]
# **Route 2** uses no recursion at all: both averages as closed sums over the whole past,
# $v_t=-\epsilon\sum_k\alpha^{t-k}g_k/(\delta+\sqrt{r_k})$ and
# $r_k=(1-\rho)\sum_{j\le k}\rho^{k-j}g_j^2$, in decimal arithmetic with 40 digits, on
# $L=\theta^2$.

# %%
from decimal import Decimal, localcontext


def closed_sums(theta, num_steps, *, lr, momentum, alpha, eps):
    """Return the path of the box on theta^2, all sums taken from the start."""
    lr, momentum, alpha, eps = (Decimal(repr(x)) for x in (lr, momentum, alpha, eps))
    path, scaled, gradients, v = [Decimal(theta)], [], [], Decimal(0)
    for t in range(num_steps):
        gradients.append(2 * (path[-1] + momentum * v))
        r = (1 - alpha) * sum(alpha ** (t - j) * g * g for j, g in enumerate(gradients))
        scaled.append(gradients[-1] / (eps + r.sqrt()))
        v = -lr * sum(momentum ** (t - k) * s for k, s in enumerate(scaled))
        path.append(path[-1] + v)
    return [float(point) for point in path]


with localcontext() as context:
    context.prec = 40
    exact_path = closed_sums(1, 220, **box_hyper)
parabola = (lambda theta, step: 2 * theta, torch.ones(1, dtype=F64))
box = run_steps(rmsprop_nesterov, parabola, look=interim_point, **box_hyper)[:, 0]
ledger.check_close(104, "box = closed sums with 40 digits", box, exact_path, kind="trajectory")
filled_in = run_steps(left_over, parabola, look=interim_point, **box_hyper)[:, 0]
steps_needed = [int((path.abs() < 0.5).nonzero()[0]) for path in (box, filled_in)]
print(
    f"steps to half the distance: {steps_needed[0]} with theta + v, "
    f"{steps_needed[1]} with the left-over"
)
ledger.check_at_least(104, "the left-over is slower, factor", steps_needed[1] / steps_needed[0], 2)

# %% [markdown]
# The left-over version runs without complaint and is slower by about the factor that momentum
# should have gained, $1/(1-\alpha)$. Silent errors of this kind are why each optimizer here is
# compared with a second route.

# %% [markdown]
# ## The idea in symbols: Adam
#
# Momentum for the direction, RMSProp for the scale, and a correction for both averages having
# started at zero:
#
# $$s\leftarrow\rho_1s+(1-\rho_1)g,\quad r\leftarrow\rho_2r+(1-\rho_2)g\odot g,\quad
# \hat s=\frac{s}{1-\rho_1^t},\ \hat r=\frac{r}{1-\rho_2^t},\quad
# \Delta\theta=-\epsilon\,\frac{\hat s}{\delta+\sqrt{\hat r}} .$$
#
# $1-\rho^t$ is the sum of the weights $(1-\rho)\rho^{t-i}$, $i=1..t$: dividing by it turns the
# sum into a weighted mean. **AdamW** (Loshchilov and Hutter, 2019) shrinks the weights directly,
# $\theta\leftarrow(1-\eta w)\theta$, and keeps the penalty out of $g$, so that it is not divided
# by $\sqrt{\hat r}$.
#
# ## Build it: Adam and AdamW


# %%
def adam(theta, grad, state, *, lr, betas, eps, root=outside, correct=True):
    """Take one Adam step; correct=False leaves the bias correction out."""
    t = state.get("t", 0) + 1
    s = betas[0] * state.get("s", 0.0) + (1 - betas[0]) * grad
    r = betas[1] * state.get("r", 0.0) + (1 - betas[1]) * grad**2
    s_hat, r_hat = (s / (1 - betas[0] ** t), r / (1 - betas[1] ** t)) if correct else (s, r)
    return theta - lr * s_hat / root(r_hat, eps), {"t": t, "s": s, "r": r}


def adamw(theta, grad, state, *, lr, betas, eps, weight_decay):
    """Shrink the weights, then take one Adam step."""
    return adam((1 - lr * weight_decay) * theta, grad, state, lr=lr, betas=betas, eps=eps)


# %% [markdown]
# ## Check it: Adam and AdamW

# %%
adam_hyper = {"lr": 0.03, "betas": (0.82, 0.97), "eps": 0.05}
for l2 in (0.0, 0.03):
    compare_with_torch(105, "Adam", adam, torch.optim.Adam, l2=l2, **adam_hyper)
for weight_decay in (0.1, 0.6):
    compare_with_torch(
        105,
        f"AdamW({weight_decay})",
        adamw,
        torch.optim.AdamW,
        weight_decay=weight_decay,
        **adam_hyper,
    )

# %% [markdown]
# ## Try it: Adam's first steps
#
# **Predict.** With a constant gradient $g$ and $\rho_1=0.9,\ \rho_2=0.999$, how long is Adam's
# first step? And without the correction: longer or shorter?

# %%
defaults = {"lr": 0.1, "betas": (0.9, 0.999), "eps": 1e-12}
with_correction = -torch.diff(run_steps(adam, ones, **defaults)[:, 0])
without = -torch.diff(run_steps(adam, ones, **defaults, correct=False)[:, 0])
t = torch.arange(1, 221, dtype=F64)
print("corrected  ", [f"{step:.3f}" for step in with_correction[:4]])
print("uncorrected", [f"{step:.3f}" for step in without[:4]], f"... {without[-1]:.3f}")
ledger.check_close(105, "corrected: every step is lr", with_correction, torch.full_like(t, 0.1))
loud = (lambda theta, step: torch.full_like(theta, 1000.0), torch.zeros(1, dtype=F64))
loud_steps = -torch.diff(run_steps(adam, loud, **defaults)[:, 0])
ledger.check_close(105, "the same for a gradient of 1000", loud_steps, with_correction)
ledger.check_close(
    105,
    "uncorrected: lr (1 - 0.9^t) / sqrt(1 - 0.999^t)",
    without,
    0.1 * (1 - 0.9**t) / (1 - 0.999**t).sqrt(),
)

# %% [markdown]
# Without the correction $s$ and $r$ are both too small at first, but $\sqrt r$ more so: the steps
# are several times *too long*, and still too long after 220 of them. With it they have length
# `lr` from the start, whatever the size of the gradient: Adam's learning rate is a distance per
# step.
#
# ### Why AdamW
#
# **Predict.** Two weights start at 1. Their gradients are pure noise, a hundred times larger for
# the second. Which of the two does an $L_2$ penalty inside Adam shrink?

# %%
NOISE = torch.tensor([1.0, 100.0], dtype=F64)
coin = torch.Generator().manual_seed(0)
SIGNS = (torch.randint(0, 2, (400, 2), generator=coin) * 2 - 1).to(F64)
only_noise = (lambda theta, step: SIGNS[step] * NOISE, torch.ones(2, dtype=F64))
settings = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8}
shrunk = {}
for label, step, extra in (
    ("Adam + L2", adam, {"l2": 1.0}),
    ("AdamW", adamw, {"weight_decay": 1.0}),
    ("no decay", adam, {}),
):
    shrunk[label] = run_steps(step, only_noise, num_steps=400, **settings, **extra)[-1]
for label in ("Adam + L2", "AdamW"):
    change = shrunk[label] - shrunk["no decay"]
    print(f"{label:9s} moved the weights by {change[0]:+.3f} and {change[1]:+.3f}")
l2_effect, w_effect = (shrunk[label] - shrunk["no decay"] for label in ("Adam + L2", "AdamW"))
ledger.check_at_least(
    105, "L2 in Adam: quiet weight shrinks more, factor", l2_effect[0] / l2_effect[1], 20
)
ledger.check_at_most(
    105, "AdamW: the two shrink alike, ratio - 1", (w_effect[0] / w_effect[1] - 1).abs(), 0.2
)
for_sgd = run_steps(sgd, PROBLEMS["network"], lr=0.1, l2=0.2)[1]
decoupled = 0.98 * PROBLEMS["network"][1] - 0.1 * gradient_of(net_loss)(PROBLEMS["network"][1], 0)
ledger.check_close(105, "in plain SGD both kinds of decay are one", for_sgd, decoupled)

# %% [markdown]
# Inside Adam the penalty is divided by $\sqrt{\hat r}$ with the rest: the weight with loud
# gradients hardly feels it. AdamW treats both alike. In plain SGD there is no such division, and
# the two kinds of decay are the same thing.

# %% [markdown]
# ## The idea in symbols: where epsilon stands
#
# The lecture's boxes have $\delta+\sqrt r$, its unified form $\sqrt{G+\epsilon}$; torch has the
# first in Adagrad, RMSprop and Adam, the second in AdaDelta. Compare them with
# $\epsilon=\delta^2$: from $0\le(a-b)^2$ follows $a^2+b^2\le(a+b)^2\le2(a^2+b^2)$ for $a,b\ge0$,
# and with $a=\sqrt r$, $b=\delta$
#
# $$1\le\frac{\delta+\sqrt r}{\sqrt{r+\delta^2}}\le\sqrt2,$$
#
# with equality on the left at $r=0$ and on the right at $r=\delta^2$. So they agree but for a
# factor below 1.42, *if* the number under the root is squared. With the **same** number in both
# places the floor of the denominator is $\delta$ in one and $\sqrt\delta$ in the other.
#
# ## Check it: where epsilon stands
#
# The bound, on two thousand values of $r$. Then a gradient of $10^{-6}$, as in an early layer of
# a deep net, against one of ordinary size, with the default $10^{-8}$ in both places. **Predict**
# for which of the two it matters.

# %%
delta = 1e-4
r = torch.cat([torch.zeros(1), torch.logspace(-14, 2, 2001)]).to(F64)
ratio = outside(r, delta) / inside(r, delta**2)
ledger.check_at_least(105, "outside / inside, smallest", ratio.min(), 1 - 1e-12)
ledger.check_at_most(105, "outside / inside, largest", ratio.max(), math.sqrt(2) + 1e-12)
worst = torch.tensor(delta**2, dtype=F64)
at_worst = outside(worst, delta) / inside(worst, delta**2)
ledger.check_close(105, "the bound is reached at r = delta^2", at_worst, math.sqrt(2))
same_number = inside(r[0], 1e-8) / outside(r[0], 1e-8)
ledger.check_close(98, "same number, r = 0: floors differ by 1 / sqrt(eps)", same_number, 1e4)

# %%
tiny = (lambda theta, step: torch.full_like(theta, 1e-6), torch.zeros(1, dtype=F64))
settings = {"lr": 0.001, "betas": (0.9, 0.999), "eps": 1e-8}
moved_outside = run_steps(adam, tiny, **settings)[-1].abs().item()
moved_inside = run_steps(adam, tiny, **settings, root=inside)[-1].abs().item()
print(f"moved in 220 steps: {moved_outside:.3f} (outside), {moved_inside:.1e} (inside)")
ledger.check_at_least(105, "tiny gradient: outside moves more", moved_outside / moved_inside, 50)
outside_path = run_steps(adam, PROBLEMS["network"], **settings)
inside_path = run_steps(adam, PROBLEMS["network"], **settings, root=inside)
gap = (outside_path - inside_path).abs().max()
ledger.check_at_most(105, "ordinary gradients: largest difference", gap, 0.01)

# %% [markdown]
# With gradients far above $\delta$ it hardly matters; with tiny ones it decides whether a weight
# learns. When you carry hyperparameters from a paper to a library, carry the place of $\epsilon$
# too.

# %% [markdown]
# ## The idea in symbols: one form for all
#
# The lecture gathers the methods in one line,
#
# $$\Delta\theta_t=-\frac{\alpha_t}{\sqrt{G_t+\epsilon}}\,M_t,\qquad
# G_t=\psi(g_1,\dots,g_t),\quad M_t=\phi(g_1,\dots,g_t).$$
#
# | method | $\psi$ (scale) | $\phi$ (direction) | $\alpha_t$ |
# |---|---|---|---|
# | gradient descent | 1 | $g_t$ | $\eta$, or a schedule |
# | momentum | 1 | $\sum_i\lambda^{t-i}g_i$ | $\eta$ |
# | Nesterov | 1 | $g_t+\lambda\sum_i\lambda^{t-i}g_i$ | $\eta$ |
# | clipping | 1 | $g_t\min(1,c/\lVert g_t\rVert)$ | $\eta$ |
# | Adagrad | $\sum_ig_i^2$ | $g_t$ | $\eta$ |
# | RMSProp | $(1-\rho)\sum_i\rho^{t-i}g_i^2$ | $g_t$ | $\eta$ |
# | AdaDelta | as RMSProp | $g_t$ | $\sqrt{u_{t-1}+\epsilon}$, from earlier steps |
# | Adam | as RMSProp, over $1-\rho_2^t$ | the like with $g_i$ and $\rho_1$ | $\eta$ |
#
# Here $g_i$ is always the gradient at the current weights, so momentum and Nesterov appear in
# torch's form. Where $\psi=1$ there is nothing to protect and $\epsilon=0$.
#
# ## Build it: one form for all
#
# One function, which keeps no state but the whole history and sums it anew at every step. It is
# slow, and shares no code with the recursions above: a second route to each of them.


# %%
def unified(problem, psi, phi, alpha, eps, num_steps=80):
    """Return the path of -alpha_t / sqrt(G_t + eps) * M_t, from the whole history."""
    gradient, theta = problem
    path, history, moves = [theta], [], [torch.zeros_like(theta)]
    for t in range(num_steps):
        history.append(gradient(theta, t))
        g = torch.stack(history)  # (t + 1, P)
        moves.append(-alpha(torch.stack(moves)) / (psi(g) + eps).sqrt() * phi(g))
        theta = theta + moves[-1]
        path.append(theta)
    return torch.stack(path)


# %%
def fading_sum(decay, power=1):
    """Return the function g_1 .. g_t -> sum over i of decay^(t - i) g_i^power."""
    return lambda g: decay ** torch.arange(len(g) - 1, -1, -1, dtype=F64) @ g**power


def fading_mean(decay, power=1, corrected=False):
    """Return the same sum with weights (1 - decay), or with weights that add up to 1."""
    total = fading_sum(decay, power)
    return lambda g: (1 - decay) / ((1 - decay ** len(g)) if corrected else 1.0) * total(g)


def latest(g):
    """Return g_t."""
    return g[-1]


def one(g):
    """Return 1."""
    return torch.ones_like(g[-1])


def constant(lr):
    """Return the function that ignores earlier moves."""
    return lambda moves: lr


# %%
LR, EPS = 0.02, 0.04
UNIFIED = {  # row, name: psi, phi, alpha, eps
    (88, "gradient descent"): (one, latest, constant(LR), 0.0),
    (101, "momentum"): (one, fading_sum(0.8), constant(LR), 0.0),
    (103, "Nesterov"): (one, lambda g: g[-1] + 0.8 * fading_sum(0.8)(g), constant(LR), 0.0),
    (106, "clipping"): (
        one,
        lambda g: g[-1] * (0.05 / g[-1].norm()).clamp(max=1),
        constant(LR),
        0.0,
    ),
    (98, "Adagrad"): (fading_sum(1.0, power=2), latest, constant(LR), EPS),
    (99, "RMSProp"): (fading_mean(0.9, power=2), latest, constant(LR), EPS),
    (100, "AdaDelta"): (
        fading_mean(0.9, power=2),
        latest,
        lambda moves: 0.1 * (fading_mean(0.9, power=2)(moves / 0.1) + EPS).sqrt(),
        EPS,
    ),
    (105, "Adam"): (
        fading_mean(0.95, power=2, corrected=True),
        fading_mean(0.8, corrected=True),
        constant(LR),
        EPS,
    ),
}

# %% [markdown]
# ## Check it: one form for all
#
# Each instance against its recursion, with $\epsilon$ inside the root on both sides, on the
# curved valley and on the problem with missing gradients. (AdaDelta runs with torch's extra
# factor 0.1, so its earlier moves are divided by it before they are averaged.)


# %%
def clipped_sgd(theta, grad, state, *, lr):
    """Take one plain step with the gradient's norm limited to 0.05."""
    return theta - lr * grad / max(1.0, grad.norm().item() / 0.05), state


RECURSIONS = {
    "gradient descent": (sgd, {"lr": LR}),
    "momentum": (momentum_torch, {"lr": LR, "momentum": 0.8}),
    "Nesterov": (nesterov_torch, {"lr": LR, "momentum": 0.8}),
    "clipping": (clipped_sgd, {"lr": LR}),
    "Adagrad": (adagrad, {"lr": LR, "eps": EPS, "root": inside}),
    "RMSProp": (rmsprop, {"lr": LR, "alpha": 0.9, "eps": EPS, "root": inside}),
    "AdaDelta": (adadelta, {"lr": 0.1, "rho": 0.9, "eps": EPS}),
    "Adam": (adam, {"lr": LR, "betas": (0.8, 0.95), "eps": EPS, "root": inside}),
}
for (row, name), (psi, phi, alpha, eps) in UNIFIED.items():
    step, hyper = RECURSIONS[name]
    by_history, by_recursion = [], []
    for problem in (PROBLEMS["rosenbrock"], PROBLEMS["sparse"]):
        by_history.append(unified(problem, psi, phi, alpha, eps).flatten())
        by_recursion.append(run_steps(step, problem, num_steps=80, **hyper).flatten())
    ledger.check_close(
        row,
        f"unified form: {name}",
        torch.cat(by_history),
        torch.cat(by_recursion),
        kind="trajectory",
    )

# %% [markdown]
# Two methods do not fit as they stand. RMSProp with Nesterov divides each gradient by the root of
# *its own* time. And the lecture's momentum under a changing rate has old rates inside its sum,
# as the drop of the rate showed above. Both fit only if $\phi$ may see more than the gradients.

# %% [markdown]
# ## The idea in symbols: schedules
#
# With mini-batches and a constant learning rate the weights end in a cloud around the minimum. On
# $\frac12k\theta^2$ with gradient noise of variance $\sigma^2$ one step maps the variance $m$ of
# $\theta$ to $(1-\eta k)^2m+\eta^2\sigma^2$; it comes to rest at
#
# $$m=\frac{\eta\,\sigma^2}{k\,(2-\eta k)} .$$
#
# A smaller $\eta$ shrinks the cloud but takes longer to get there. A **schedule** (学习率调度)
# starts large and ends small. $\eta_0$ is `lr`, $t$ is `step`, counted from 0.
#
# | schedule | $\eta_t$ |
# |---|---|
# | step decay | $\eta_0\,\gamma^{\lfloor t/p\rfloor}$ |
# | linear decay | $\eta_0+(\eta_T-\eta_0)\,t/T$ |
# | inverse time, $1/t$ | $\eta_0/(1+qt)$ |
# | exponential; natural with $\gamma=e^{-q}$ | $\eta_0\,\gamma^t$ |
# | cosine | $\eta_{\min}+\frac12(\eta_0-\eta_{\min})(1+\cos\pi t/T)$ |
# | **warm-up** (预热) | $\eta_0\,(a+(1-a)\,t/W)$ up to $t=W$ |
# | cyclic (Smith, 2017) | a triangle between $\eta_{\min}$ and $\eta_{\max}$ |
# | SGDR (Loshchilov and Hutter, 2017) | cosine, restarted, each cycle longer by a factor |
#
# ## Build it: schedules
#
# One line each.


# %%
def step_decay(step, lr, period, factor):
    """Return lr, multiplied by factor every period steps."""
    return lr * factor ** (step // period)


def linear_decay(step, lr, num_steps, lr_end):
    """Return a straight line from lr to lr_end, constant afterwards."""
    return lr + (lr_end - lr) * min(step / num_steps, 1.0)


def inverse_time_decay(step, lr, rate):
    """Return lr / (1 + rate * step)."""
    return lr / (1 + rate * step)


def exponential_decay(step, lr, factor):
    """Return lr, multiplied by factor at every step."""
    return lr * factor**step


def cosine_decay(step, lr, num_steps, lr_min):
    """Return half a cosine wave from lr down to lr_min."""
    return lr_min + 0.5 * (lr - lr_min) * (1 + math.cos(math.pi * step / num_steps))


def warm_up(step, lr, num_steps, start):
    """Return a straight line from start * lr up to lr, constant afterwards."""
    return lr * (start + (1 - start) * min(step / num_steps, 1.0))


def cyclic(step, lr_min, lr_max, half_period):
    """Return a triangle wave that starts at lr_min."""
    return lr_max - (lr_max - lr_min) * abs(step % (2 * half_period) / half_period - 1)


def sgdr(step, lr, first, factor, lr_min):
    """Return cosine decay that restarts after first, first * factor, ... steps."""
    while step >= first:
        step, first = step - first, first * factor
    return cosine_decay(step, lr, first, lr_min)


# %% [markdown]
# ## Check it: schedules
#
# Each against its twin in `torch.optim.lr_scheduler`, stepped 120 times with odd settings. $1/t$
# has no class of its own there; besides `LambdaLR` a second look: its reciprocals must rise by
# equal amounts.

# %%
from torch.optim import lr_scheduler as twins


def torch_schedule(make_scheduler, lr, num_steps):
    """Return the learning rates that a torch scheduler sets."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = make_scheduler(optimizer)
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


SCHEDULES = {  # row, name: our function, its settings, torch's twin
    (91, "step"): (step_decay, {"period": 17, "factor": 0.6},
        lambda o: twins.StepLR(o, step_size=17, gamma=0.6)),
    (92, "linear"): (linear_decay, {"num_steps": 90, "lr_end": 0.03},
        lambda o: twins.LinearLR(o, start_factor=1.0, end_factor=0.1, total_iters=90)),
    (93, "1/t"): (inverse_time_decay, {"rate": 0.07},
        lambda o: twins.LambdaLR(o, lambda step: 1 / (1 + 0.07 * step))),
    (94, "exponential"): (exponential_decay, {"factor": math.exp(-0.03)},
        lambda o: twins.ExponentialLR(o, gamma=math.exp(-0.03))),
    (95, "cosine"): (cosine_decay, {"num_steps": 119, "lr_min": 0.02},
        lambda o: twins.CosineAnnealingLR(o, T_max=119, eta_min=0.02)),
    (95, "warm-up"): (warm_up, {"num_steps": 23, "start": 0.2},
        lambda o: twins.LinearLR(o, start_factor=0.2, total_iters=23)),
    (96, "cyclic"): (cyclic, {"lr_max": 0.3, "half_period": 19},
        lambda o: twins.CyclicLR(o, 0.05, 0.3, step_size_up=19, cycle_momentum=False)),
    (97, "SGDR"): (sgdr, {"first": 17, "factor": 2, "lr_min": 0.01},
        lambda o: twins.CosineAnnealingWarmRestarts(o, T_0=17, T_mult=2, eta_min=0.01)),
}  # fmt:skip

# %%
schedule_values = {}
for (row, name), (function, settings, twin) in SCHEDULES.items():
    first = {"lr_min": 0.05} if name == "cyclic" else {"lr": 0.3}
    values = [function(step, **first, **settings) for step in range(120)]
    theirs = torch_schedule(twin, lr=0.3, num_steps=120)
    ledger.check_close(row, f"{name} = torch, 120 steps", values, theirs, kind="trajectory")
    schedule_values[name] = values
to_zero = [linear_decay(step, 0.3, 90, 0.0) for step in range(120)]
theirs = torch_schedule(lambda o: twins.PolynomialLR(o, 90, power=1.0), 0.3, 120)
ledger.check_close(92, "linear to 0 = PolynomialLR", to_zero, theirs, kind="trajectory")
reciprocals = 1 / torch.tensor(schedule_values["1/t"], dtype=F64)
steps_up = torch.diff(reciprocals)
ledger.check_close(93, "1/lr rises evenly", steps_up, torch.full_like(steps_up, 0.07 / 0.3))

# %%
fig, axs = plt.subplots(2, 4, figsize=(6.6, 2.5), sharex=True, sharey=True)
for ax, (name, values) in zip(axs.flat, schedule_values.items(), strict=True):
    ax.plot(values)
    ax.set_title(name)
fig.supxlabel("step")
fig.supylabel("learning rate")
show(
    fig,
    alt="Eight small panels of learning rate against step: staircase, line, hyperbola, "
    "exponential, half cosine, rising ramp, triangle wave, cosine with ever longer restarts.",
)

# %% [markdown]
# *Figure 6. Eight schedules over 120 steps, $\eta_0=0.3$ (cyclic: between 0.05 and 0.3).*
#
# ## Try it: how small is the cloud?
#
# 20,000 runs of a noisy quadratic at once, with each schedule. **Predict** which end lowest.


# %%
def noisy_quadratic(rates, curvature, sigma, seed, num_runs=20_000):
    """Return the mean of theta^2 after each step, over independent runs from theta = 1."""
    noise = torch.Generator().manual_seed(seed)
    theta, squares = torch.ones(num_runs, dtype=F64), []
    for lr in rates:
        grad = curvature * theta + sigma * torch.randn(num_runs, generator=noise, dtype=F64)
        theta = theta - lr * grad
        squares.append(theta.square().mean().item())
    return squares


ends = {"constant": noisy_quadratic([0.3] * 120, 1.0, 1.0, seed=0)[-1]}
for name, values in schedule_values.items():
    ends[name] = noisy_quadratic(values, 1.0, 1.0, seed=0)[-1]
print({name: round(end, 4) for name, end in sorted(ends.items(), key=lambda item: item[1])})
predicted_floor = 0.3 / (2 - 0.3)
in_floors = ends["constant"] / predicted_floor
ledger.check_close(89, "constant rate: cloud / formula", in_floors, 1.0, tolerance=0.05)
for row, name in ((91, "step"), (92, "linear"), (93, "1/t"), (94, "exponential"), (95, "cosine")):
    ledger.check_at_least(row, f"{name}: constant over this", ends["constant"] / ends[name], 2)
restart = noisy_quadratic(schedule_values["SGDR"], 1.0, 1.0, seed=0)
ledger.check_at_least(97, "SGDR: cloud after / before", max(restart[51:60]) / restart[50], 3)

# %% [markdown]
# The constant rate ends on the predicted floor. Everything that comes down ends lower; SGDR is
# low just before a restart (step 50 is the last of its second cycle) and high after it, so it is
# to be stopped at the end of a cycle. (The sum of the exponential rates is finite, so it may also
# stop short of the minimum; Robbins and Monro (1951) ask for an infinite sum and a finite sum of
# squares, as $1/t$ has.)

# %% [markdown]
# ## Explore it: schedules
#
# 1. Choose constant and find the learning rate with the lowest final loss. Which formula above
#    did you walk along?
# 2. Choose SGDR. At which moments would you stop the run?
# 3. Lengthen the warm-up. On a quadratic, what does it gain? Name a reason why deep nets use it
#    all the same.

# %%
ScheduleExplorer(schedule="cosine")

# %% [markdown]
# ## The idea in symbols: gradient clipping
#
# **Gradient clipping** (梯度裁剪) keeps the direction and bounds the length:
# $g\leftarrow g\cdot\min\big(1,\,c/\lVert g\rVert_2\big)$, the norm taken over *all* parameters
# together. The lecture's listing computes $n=\sum g^2$, compares $n$ with the threshold and
# multiplies by threshold$/n$. There is no root in it.
#
# ## Build it: gradient clipping


# %%
def clip_as_printed(grads, threshold):
    """Clip as the listing does: with the squared norm."""
    n = sum((grad**2).sum() for grad in grads)
    return [grad * threshold / n for grad in grads] if n > threshold else grads


def clip_by_norm(grads, threshold, eps=0.0):
    """Scale all gradients together so that their joint norm is at most threshold."""
    norm = torch.sqrt(sum((grad**2).sum() for grad in grads))
    return [grad * (threshold / (norm + eps)).clamp(max=1.0) for grad in grads]


def clip_by_value(grads, limit):
    """Cut every entry to [-limit, limit]; this changes the direction."""
    return [grad.clamp(-limit, limit) for grad in grads]


# %% [markdown]
# ## Check it: gradient clipping
#
# **Predict.** Threshold 5. What is the norm after the printed code for gradients of norm 3, 6 and
# 100? And with threshold 0.5, for a gradient of norm 0.6?


# %%
def flat(grads):
    """Return all gradients as one vector."""
    return torch.cat([grad.flatten() for grad in grads])


def norm_of(grads):
    """Return the joint norm."""
    return flat(grads).norm()


draw = torch.Generator().manual_seed(7)
shapes = [(3, 4), (5,), (2, 1, 3)]
random_grads = [torch.randn(shape, generator=draw, dtype=F64) for shape in shapes]
unit = [grad / norm_of(random_grads) for grad in random_grads]
for threshold, norm in ((5, 3.0), (5, 6.0), (5, 100.0), (0.5, 0.6)):
    grads = [norm * grad for grad in unit]
    printed = norm_of(clip_as_printed(grads, threshold)).item()
    right = norm_of(clip_by_norm(grads, threshold)).item()
    print(f"threshold {threshold}: norm {norm:5.1f} -> {printed:.3f} as printed, {right:.3f} right")

# %% [markdown]
# As printed the norm after clipping is threshold$/\lVert g\rVert$: the larger the gradient the
# *smaller* the step; a gradient of norm 3 is cut although it is below 5; and with a threshold
# below 1 a gradient above it passes. Now the right one against torch. Torch adds $10^{-6}$ to the
# norm; with the same `eps` ours agrees to the last digits.


# %%
def torch_clip(grads, threshold, clip=torch.nn.utils.clip_grad_norm_):
    """Return what torch's clipping makes of the gradients."""
    params = [nn.Parameter(torch.zeros_like(grad)) for grad in grads]
    for param, grad in zip(params, grads, strict=True):
        param.grad = grad.clone()
    clip(params, threshold)
    return [param.grad for param in params]


for norm in (0.2, 3.0, 100.0):
    grads = [norm * grad for grad in unit]
    ours, theirs = clip_by_norm(grads, 1.7, eps=1e-6), torch_clip(grads, 1.7)
    ledger.check_close(106, f"clip_grad_norm_, norm {norm}", flat(ours), flat(theirs))
printed = norm_of(clip_as_printed([100.0 * grad for grad in unit], 5.0))
ledger.check_close(106, "as printed: norm 100 becomes threshold / norm", printed, 5 / 100)
passed = norm_of(clip_as_printed([0.6 * grad for grad in unit], 0.5))
ledger.check_close(106, "as printed: 0.6 passes a threshold of 0.5", passed, 0.6)
by_value = clip_by_value(unit, 0.15)
theirs = torch_clip(unit, 0.15, torch.nn.utils.clip_grad_value_)
ledger.check_close(106, "clip_grad_value_", flat(by_value), flat(theirs))
turned = nn.functional.cosine_similarity(flat(by_value), flat(unit), dim=0)
ledger.check_at_most(106, "by value turns the gradient: cosine", turned, 0.99)

# %% [markdown]
# ## Try it: a cliff
#
# A recurrent net multiplies by the same matrix again and again. Here the state is multiplied by
# $W$ twenty times and compared with a target that some rotation reaches; the start is a rotation
# made 10 % too large. **Predict** what happens to plain SGD in the first three steps, and whether
# the printed clipping helps.


# %%
def recurrent_loss(W, x, y):
    """Return the squared error of the state after twenty multiplications by W."""
    state = x
    for _ in range(20):
        state = state @ W.T
    return ((state - y) ** 2).mean()


def train_recurrent(seed, clip, num_steps=200, lr=0.01):
    """Return the losses of SGD with a clipping function; inf from where it breaks."""
    draw = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=draw, dtype=F64)).Q
    x = torch.randn(16, 4, generator=draw, dtype=F64)
    y = x @ torch.linalg.matrix_power(rotation, 20).T
    W = (1.1 * rotation + 0.05 * torch.randn(4, 4, generator=draw, dtype=F64)).requires_grad_()
    losses = []
    for _ in range(num_steps):
        loss = recurrent_loss(W, x, y)
        losses.append(loss.item() if loss.isfinite() else math.inf)
        grad = clip(torch.autograd.grad(loss, [W]))[0]
        W = (W - lr * grad).detach().requires_grad_()
    return losses


# %%
CLIPPING = {
    "none": lambda grads: grads,
    "as printed, 1": lambda grads: clip_as_printed(grads, 1.0),
    "by norm, 1": lambda grads: clip_by_norm(grads, 1.0),
    "by value, 0.5": lambda grads: clip_by_value(grads, 0.5),
}
cliff = {
    name: [train_recurrent(seed, clip) for seed in range(5)] for name, clip in CLIPPING.items()
}
for name, runs in cliff.items():
    finals = sorted(run[-1] for run in runs)
    print(f"{name:14s} final loss of 5 seeds: {finals[0]:.2g} to {finals[-1]:.2g}")
broken = sum(math.isinf(run[-1]) for run in cliff["none"])
ledger.check_equal(106, "runs out of 5 that end in infinity without clipping", broken, 5)
worst = max(run[-1] for run in cliff["by norm, 1"])
ledger.check_at_most(106, "clipped by norm: worst final loss of 5 seeds", worst, 0.05)
stuck = min(run[-1] for run in cliff["as printed, 1"])
ledger.check_at_least(106, "clipped as printed: best final loss of 5 seeds", stuck, 5)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.4))
norms = torch.logspace(-0.5, 2, 60, dtype=F64)
for label, clip in (("as printed", clip_as_printed), ("by norm", clip_by_norm)):
    after = [norm_of(clip([norm * grad for grad in unit], 5.0)) for norm in norms]
    axs[0].loglog(norms, after, label=label)
axs[0].axhline(5, color="0.6", linewidth=1, linestyle=":")
axs[0].set(xlabel="norm before (log scale)", ylabel="norm after (log scale)")
axs[0].legend()
for (name, runs), color, style in zip(
    list(cliff.items())[:3], ("vermilion", "green", "blue"), (":", "--", "-"), strict=True
):
    for seed, run in enumerate(runs):
        label = name if seed == 0 else None
        axs[1].semilogy(run, style, color=PALETTE[color], linewidth=1, label=label)
axs[1].set(xlabel="step", ylabel="loss (log scale)", ylim=(1e-4, 1e9))
axs[1].legend()
show(
    fig,
    alt="Left: clipping by norm levels off at the threshold, the printed code falls beyond it. "
    "Right: without clipping the loss shoots up; clipped by norm it falls in all five seeds.",
)

# %% [markdown]
# *Figure 7. Left: norm after clipping with threshold 5 (dotted). Right: a product of twenty
# matrices, lr 0.01, five seeds each; the runs without clipping leave the picture at once.*
#
# Clipped by norm, all five runs come down the cliff. As printed, none gets anywhere: at the top
# the gradient is large, so its step is tiny. That version never crashes, which makes it a costly
# bug.

# %% [markdown]
# ## Try it: the paths they take
#
# The lecture's picture, recomputed: a valley, and a **saddle** (鞍点) whose start lies almost on
# the ridge. Rates are chosen so that each method shows its temper; this is no ranking.
# **Predict** who leaves the saddle first and who last.

# %%
from functools import partial

FAMILIES = {
    "one rate for all": {
        "SGD": (torch.optim.SGD, {"lr": 0.07}),
        "Momentum": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9}),
        "NAG": (torch.optim.SGD, {"lr": 0.02, "momentum": 0.9, "nesterov": True}),
    },
    "a rate for each weight": {
        "Adagrad": (torch.optim.Adagrad, {"lr": 0.4}),
        "AdaDelta": (torch.optim.Adadelta, {"lr": 1.0, "eps": 1e-3}),
        "RMSProp": (torch.optim.RMSprop, {"lr": 0.05, "alpha": 0.9}),
        "Adam": (torch.optim.Adam, {"lr": 0.1}),
    },
}


def race(function, num_steps=120):
    """Return the path of each optimizer from the function's start."""
    members = {**FAMILIES["one rate for all"], **FAMILIES["a rate for each weight"]}
    return {
        name: landscape.descend(function, function.start, partial(make, **hyper), num_steps)
        for name, (make, hyper) in members.items()
    }


SADDLE = landscape.TEST_FUNCTIONS["saddle"]
races = {function.name: race(function) for function in (RAVINE, SADDLE)}

# %%
fig, axs = plt.subplots(2, 2, figsize=(6.2, 4.0))
for column, (family, members) in enumerate(FAMILIES.items()):
    for ax, function in zip(axs[:, column], (RAVINE, SADDLE), strict=True):
        draw_contours(ax, function, 3)
        for name, marker in zip(members, MARKERS, strict=False):
            path = races[function.name][name]
            ax.plot(*path.T, marker=marker, markevery=20, markersize=5, label=name)
        ax.set(xlabel="x (dimensionless)", ylabel="y (dimensionless)")
    axs[0, column].set_title(family)
    axs[0, column].legend(loc="lower right", fontsize=9)
show(
    fig,
    alt="Top, ravine: SGD zigzags, momentum swings wide, adaptive methods go almost straight. "
    "Bottom, saddle: the first three run along the ridge to its middle, the others leave it early.",
)

# %% [markdown]
# *Figure 8. 120 steps on the ravine (top) and the saddle (bottom); a marker every 20 steps.*

# %%
escape = {}
for name, path in races["saddle"].items():
    away = (path[:, 1].abs() > 0.5).nonzero()
    escape[name] = int(away[0]) if len(away) else 999
print("steps until |y| > 0.5 (999: not within 120):", escape)
slowest_adaptive = max(escape[name] for name in FAMILIES["a rate for each weight"])
for row, name in ((98, "Adagrad"), (99, "RMSProp"), (100, "AdaDelta"), (105, "Adam")):
    ledger.check_at_most(
        row, f"{name} leaves the saddle before SGD, steps", escape[name], escape["SGD"] - 20
    )
ledger.check_at_most(
    101, "momentum leaves the saddle before SGD", escape["Momentum"], escape["SGD"] - 20
)

# %% [markdown]
# Near the ridge the gradient along $y$ is tiny beside that along $x$. A method that divides each
# coordinate by the size of its own gradients does not see this difference and turns off at once;
# momentum has to build up speed first; SGD grows away from the ridge by a fixed factor a step.
#
# ## Explore it: the optimizer race
#
# 1. On the ravine, find the learning rate at which SGD stops converging, to two digits. Where is
#    that number in this notebook?
# 2. Give momentum 0.99. What does the path look like, and which picture above is it?
# 3. Choose the saddle and start exactly on the ridge, $y=0$. Who gets off it?

# %%
OptimizerRace(function="ravine")

# %% [markdown]
# ## Try it: does the batch size matter if the learning rate follows?
#
# A lecture figure compares SGD with (batch, lr) = (128, 0.1), (256, 0.2) and (1024, 0.8): the
# **linear scaling rule**. The idea: eight small steps, between which the gradient changes little,
# go about as far as one step of eight times the rate. So at equal *epochs* the curves should
# agree. The fourth run, (1024, 0.1), keeps the rate.
#
# Data: 8,192 pictures of Fashion-MNIST, each pixel centred; a network 784-64-10; three seeds.
# **Predict** which of the four curves coincide per epoch, and which per step.

# %%
fashion = data.load_fashion_mnist()
X_FASHION = torch.from_numpy(fashion.X_train[:8192]).flatten(1)
pixel_mean = X_FASHION.mean(dim=0)
X_FASHION = X_FASHION - pixel_mean  # (8192, 784)
Y_FASHION = torch.from_numpy(fashion.y_train[:8192])


def train_fashion(X, batch_size, lr, seed):
    """Return a network trained by SGD, and its loss before and after each of eight epochs."""
    model = make_mlp((784, 64, 10), seed)
    with torch.no_grad():
        start = cross_entropy(model(X), Y_FASHION).item()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    samples = (X, Y_FASHION)
    history = train(model, optimizer, samples, 8, batch_size, seed, val=samples)
    return model, torch.tensor([start, *history.val_loss])  # (9,)


# %%
scaling, gaps = {}, {}
for setting in ((128, 0.1), (256, 0.2), (1024, 0.8), (1024, 0.1)):
    runs = [train_fashion(X_FASHION, *setting, seed)[1] for seed in range(3)]
    scaling[setting] = torch.stack(runs)  # (3 seeds, 9 moments)
    reference = scaling[128, 0.1][:, 1:]
    gaps[setting] = ((scaling[setting][:, 1:] - reference).abs().mean() / reference.mean()).item()
    print(
        f"{setting}: {8192 // setting[0]} steps an epoch; per epoch {gaps[setting]:.1%} away from "
        f"(128, 0.1)"
    )
ledger.check_at_most(90, "(256, 0.2) follows (128, 0.1), relative gap", gaps[256, 0.2], 0.05)
ledger.check_at_most(90, "(1024, 0.8) stays near, relative gap", gaps[1024, 0.8], 0.25)
ledger.check_at_least(
    90, "(1024, 0.1) lags, gap in units of (1024, 0.8)'s", gaps[1024, 0.1] / gaps[1024, 0.8], 3
)
after_64_steps = scaling[1024, 0.1][:, 8] / scaling[128, 0.1][:, 1]
per_step = (after_64_steps - 1).abs().max()
ledger.check_at_most(90, "equal rates, 64 steps each: relative gap", per_step, 0.05)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.4), sharey=True)
for (batch_size, lr), losses in scaling.items():
    epochs = torch.arange(9)
    for ax, x, first in zip(axs, (epochs, epochs * 8192 // batch_size), (0, 1), strict=True):
        (line,) = ax.plot(x[first:], losses.mean(dim=0)[first:], label=f"{batch_size}, lr {lr}")
        for one_seed in losses:
            ax.plot(x[first:], one_seed[first:], ".", color=line.get_color(), markersize=4)
axs[0].set(xlabel="epochs", ylabel="loss (nats, log scale)", yscale="log")
axs[0].set_yticks([0.4, 0.6, 1, 2], ["0.4", "0.6", "1", "2"])
axs[0].minorticks_off()
axs[1].set(xlabel="steps (log scale)", xscale="log")
axs[0].legend(loc="upper right", fontsize=9)
show(
    fig,
    alt="Per epoch three curves with scaled learning rate lie close together and the unscaled one "
    "is far above; per step the run (1024, 0.1) ends at the point where (128, 0.1) begins.",
)

# %% [markdown]
# *Figure 9. Training loss (log scale) after each epoch for four pairs of batch size and learning
# rate, against epochs (left) and steps (right). Lines: mean of three seeds; dots: each.*
#
# Per epoch, doubling both is hardly visible; eight times both stays near but is rougher, which is
# why Goyal et al. (2017) begin with a warm-up. With the rate unscaled the large batch lags far
# behind. Per step, the two runs with equal rates agree (the dotted one ends where the solid one
# begins): a larger batch only makes each step less noisy, and it makes fewer of them in an epoch.
#
# The rule cannot hold for ever, since steps beyond $2/\lambda_{\max}$ are unstable, whatever the
# batch. The same pixels, standardised as a whole instead of centred one by one, have a larger
# $\lambda_{\max}$. **Predict** what lr 0.8 does to them.


# %%
def top_curvature(model, X, y, num_steps=60):
    """Return the Hessian's eigenvalue of largest size, by power iteration with autograd."""
    params = list(model.parameters())
    grads = torch.autograd.grad(cross_entropy(model(X), y), params, create_graph=True)
    start = torch.Generator().manual_seed(0)
    v = [torch.randn(param.shape, generator=start) for param in params]
    for _ in range(num_steps):
        norm = norm_of(v)
        v = [part / norm for part in v]
        v = torch.autograd.grad(grads, params, v, retain_graph=True)
    return norm_of(v).item()


X_whole = (X_FASHION + pixel_mean - pixel_mean.mean()) / (X_FASHION + pixel_mean).std()


# %%
def show_limits(label, models, X):
    """Print and return 2 / lambda_max of each model."""
    limits = [2 / top_curvature(model, X[:1024], Y_FASHION[:1024]) for model in models]
    print(f"{label}: 2 / lambda_max = {', '.join(f'{limit:.2f}' for limit in limits)}")
    return limits


fresh = [make_mlp((784, 64, 10), seed) for seed in range(3)]
centred_limits = show_limits("centred by pixel, at the start", fresh, X_FASHION)
whole_limits = show_limits("standardised as a whole, at the start", fresh, X_whole)
small_lr, large_lr = (
    [train_fashion(X_whole, *setting, seed) for seed in range(3)]
    for setting in ((128, 0.1), (1024, 0.8))
)
trained_limits = show_limits("  after (128, 0.1)", [model for model, _ in small_lr], X_whole)
finals = [[round(losses[-1].item(), 2) for _, losses in runs] for runs in (small_lr, large_lr)]
print(f"final loss: {finals[0]} with (128, 0.1), {finals[1]} with (1024, 0.8)")
ratio = max(whole_limits) / min(centred_limits)
ledger.check_at_most(90, "limits at the start: whole / centred", ratio, 0.5)
ledger.check_at_most(90, "whole, at the start: the limit is below lr 0.1", max(whole_limits), 0.1)
moved_up = min(trained_limits) / max(whole_limits)
ledger.check_at_least(90, "whole, (128, 0.1): limit after training / before", moved_up, 2)
lost_by = min(finals[1]) / max(finals[0])
ledger.check_at_least(90, "whole: final loss (1024, 0.8) / (128, 0.1)", lost_by, 2)

# %% [markdown]
# Same data, same network, same rule, and it breaks. With centred pixels 0.8 sits at the limit;
# here it is far beyond. The limit is a local thing: even 0.1 lies beyond the one at the start,
# and that run survives, because its first steps carry it to a place where the limit is higher.
# From 0.8 it does not recover within eight epochs. "Linear scaling holds" is a statement about
# rates that the loss can bear, not about batch sizes.

# %% [markdown]
# ## The idea in symbols: looking at a real loss
#
# A network's **loss landscape** (损失曲面) lies over thousands of dimensions. Li et al. (2018)
# cut a plane through it, $f(a,b)=L(\theta^*+a\,d_1+b\,d_2)$, along two random directions. A raw
# random direction misleads: multiply one ReLU layer by 10 and divide the next by 10, and the
# network computes the same, but a step of length 1 is now tiny for the first and huge for the
# second. So each **filter** (each row of a weight matrix) of the direction gets the norm of the
# weight's,
#
# $$d_i\leftarrow\frac{d_i}{\lVert d_i\rVert}\,\lVert w_i\rVert,$$
#
# and biases and normalisation layers get zero. Then a step of 1 is "as large as the weights".
#
# ## Build it: filter-normalised directions


# %%
def filter_normalise(direction, weight):
    """Return the direction with each row scaled to the norm of the weight's row."""
    return direction * (weight.norm(dim=1) / direction.norm(dim=1))[:, None]


def draw_direction(model, generator, normalise=True):
    """Return a random direction for a ReLU network as one flat vector."""
    parts = []
    for param in model.parameters():
        if param.ndim < 2:
            parts.append(torch.zeros(param.numel()))
            continue
        direction = torch.randn(param.shape, generator=generator)
        direction = filter_normalise(direction, param.detach()) if normalise else direction
        parts.append(direction.flatten())
    return torch.cat(parts)


# %% [markdown]
# ## Check it: filter-normalised directions
#
# Against `landscape.random_directions`, which later notebooks import; row norms against the
# weights'; and the invariance it was made for, on two networks that compute the same function.

# %%
small = make_mlp((64, 16, 10), seed=0)
rescaled = make_mlp((64, 16, 10), seed=0)
with torch.no_grad():
    rescaled[0].weight *= 10.0
    rescaled[2].weight /= 10.0
ours = draw_direction(small, torch.Generator().manual_seed(1))
package = landscape.random_directions(small, generator=torch.Generator().manual_seed(1), number=1)
ledger.check_close(87, "direction = the package's", ours, package[0], tolerance=1e-6)
rows = ours[: 16 * 64].view(16, 64)
ledger.check_close(
    87, "row norms are the weights'", rows.norm(dim=1), small[0].weight.norm(dim=1), tolerance=1e-6
)
ledger.check_equal(87, "bias directions are zero", ours[16 * 64 : 16 * 65], torch.zeros(16))


# %%
def slice_through(model, normalise):
    """Return the loss on a 9 x 9 plane along two random directions of a fixed seed."""
    draw = torch.Generator().manual_seed(2)
    plane = torch.stack([draw_direction(model, draw, normalise) for _ in range(2)])
    return landscape.loss_surface(
        model, cross_entropy, X_DIGITS[:200], Y_DIGITS[:200], directions=plane, resolution=9
    ).loss


ledger.check_close(
    87,
    "same function, same surface",
    slice_through(rescaled, normalise=True),
    slice_through(small, normalise=True),
    tolerance=1e-4,
)
raw = abs(slice_through(rescaled, normalise=False) / slice_through(small, normalise=False) - 1)
ledger.check_at_least(
    87, "raw directions: same function, surfaces differ by a relative", raw.max(), 1.0
)

# %% [markdown]
# ## Try it: with and without skip connections
#
# The lecture shows deep nets' surfaces, rugged without skip connections, smooth with them. Small
# enough for this page: networks of width 24 on 8 × 8 digits, 4 or 12 hidden layers, plain or with
# $h\leftarrow h+\operatorname{ReLU}(Wh+b)$. Blocks with a skip start with weights 0.3 times as
# large, or twelve doublings would swamp the signal. Adam, 12 epochs, three seeds. **Predict**
# which of the three has the roughest surroundings.


# %%
class DeepNet(nn.Module):
    """A narrow deep ReLU network, with or without skip connections."""

    def __init__(self, depth, skip, seed, width=24):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shapes = [(64, width), *[(width, width)] * depth, (width, 10)]
        self.layers = nn.ModuleList(nn.utils.skip_init(nn.Linear, *shape) for shape in shapes)
        self.skip = skip
        for layer in self.layers:
            scale = 0.3 if skip and layer.in_features == layer.out_features else 1.0
            std = scale * math.sqrt(2 / layer.in_features)
            nn.init.normal_(layer.weight, std=std, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        h = torch.relu(self.layers[0](x))
        for layer in self.layers[1:-1]:
            block = torch.relu(layer(h))
            h = h + block if self.skip else block
        return self.layers[-1](h)


# %%
def train_recorded(model, seed, num_epochs=12):
    """Train with Adam; return the weights before and after each epoch, (epochs + 1, P)."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    weights = [parameters_to_vector(model.parameters()).detach().clone()]
    for epoch in range(num_epochs):
        train(model, optimizer, (X_DIGITS, Y_DIGITS), 1, 64, seed=100 * seed + epoch)
        weights.append(parameters_to_vector(model.parameters()).detach().clone())
    return torch.stack(weights)


SAMPLE = (X_DIGITS[:256], Y_DIGITS[:256])  # on which surfaces are measured
KINDS = {
    "plain, 4 layers": (4, False),
    "plain, 12 layers": (12, False),
    "skips, 12 layers": (12, True),
}
trained, training_paths = {}, {}
for kind, (depth, skip) in KINDS.items():
    for seed in range(3):
        trained[kind, seed] = DeepNet(depth, skip, seed)
        training_paths[kind, seed] = train_recorded(trained[kind, seed], seed)

# %% [markdown]
# Two numbers for each network, from two random planes each: the **rise** of the loss, averaged
# over the ring at distance 0.5; and the **share of negative curvature**: on how much of the plane
# the Hessian of the plane (by differences) has a negative eigenvalue. A convex bowl has none.


# %%
def distance_from_centre(grid):
    """Return the distance of each grid point from (0, 0)."""
    return torch.from_numpy((grid.betas[:, None] ** 2 + grid.alphas**2) ** 0.5)


def plane_curvatures(grid):
    """Return the smaller and the larger eigenvalue of the plane's Hessian at each grid point."""
    loss = torch.from_numpy(grid.loss).double()
    spacing = float(grid.alphas[1] - grid.alphas[0])
    f_a, f_b = torch.gradient(loss, spacing=spacing, dim=(1, 0))
    f_aa, f_ab = torch.gradient(f_a, spacing=spacing, dim=(1, 0))
    f_bb = torch.gradient(f_b, spacing=spacing, dim=0)[0]
    middle, half = (f_aa + f_bb) / 2, (((f_aa - f_bb) / 2) ** 2 + f_ab**2).sqrt()
    return middle - half, middle + half


def roughness(grid):
    """Return the rise at distance 0.5 and the share of negative curvature inside the border."""
    loss, distance = torch.from_numpy(grid.loss), distance_from_centre(grid)
    rise = loss[(distance - 0.5).abs() < 0.06].mean() - loss.flatten()[distance.argmin()]
    negative = plane_curvatures(grid)[0][2:-2, 2:-2] < -0.01
    return rise.item(), negative.double().mean().item()


# %%
def random_plane(model, seed, resolution):
    """Return the loss on a random filter-normalised plane, [-1, 1] squared."""
    directions = landscape.random_directions(model, generator=torch.Generator().manual_seed(seed))
    return landscape.loss_surface(
        model, cross_entropy, *SAMPLE, directions=directions, resolution=resolution
    )


# %%
measured = {}  # (3 seeds: training loss, rise, negative share)
for kind in KINDS:
    rows = []
    for seed in range(3):
        model = trained[kind, seed]
        with torch.no_grad():
            train_loss = cross_entropy(model(X_DIGITS), Y_DIGITS).item()
        found = [roughness(random_plane(model, 100 + plane, resolution=25)) for plane in range(2)]
        rows.append([train_loss, *torch.tensor(found).mean(dim=0).tolist()])
    measured[kind] = torch.tensor(rows)
    for label, values in zip(("train loss", "rise", "negative"), measured[kind].T, strict=True):
        print(f"{kind:17s} {label:10s}", [f"{value:.3f}" for value in values])

deep, skips, shallow = (measured[f"{k} layers"] for k in ("plain, 12", "skips, 12", "plain, 4"))
rise_without = deep[:, 1].min()
ledger.check_at_least(87, "rise: 12 plain, min / skips, max", rise_without / skips[:, 1].max(), 1.5)
ledger.check_at_least(87, "rise: 12 plain, min / 4, max", rise_without / shallow[:, 1].max(), 1.5)
negative_gap = deep[:, 2].min() - skips[:, 2].max()
ledger.check_at_least(87, "negative share: 12 plain, min - skips, max", negative_gap, 0.05)

# %%
surfaces = {kind: random_plane(trained[kind, 0], 100, resolution=51) for kind in KINDS}
fig, axs = plt.subplots(1, 3, figsize=(6.4, 2.3), sharex=True, sharey=True)
levels = [10 ** (exponent / 2) for exponent in range(-1, 7)]
for ax, (kind, grid) in zip(axs, surfaces.items(), strict=True):
    drawn = ax.contour(
        grid.alphas, grid.betas, grid.loss, levels=levels, norm="log", antialiased=False
    )
    ax.plot(0, 0, "k+")
    ax.set(title=kind, aspect="equal")
    inner = (slice(2, -2), slice(2, -2))  # at the border the differences are one-sided
    bends = distance_from_centre(grid)[inner][plane_curvatures(grid)[0][inner] < -0.01]
    nearest = f"{bends.min():.2f}" if len(bends) else "none within the square"
    print(f"{kind}: nearest point that bends downwards {nearest}")
fig.supxlabel("a (in filter norms)", fontsize=11)
fig.supylabel("b (in filter norms)", fontsize=11)
fig.colorbar(drawn, ax=axs, label="loss (nats, log scale)", shrink=0.9)
show(
    fig,
    alt="Three contour maps on the same square and levels: four plain layers a bowl, twelve plain "
    "layers steep with bent contours, twelve layers with skips a wide round bowl.",
)

# %% [markdown]
# *Figure 10. Loss on one random filter-normalised plane through each trained network, seed 0,
# same square and same levels; + marks the trained weights.*
#
# As Li et al. report: deeper plain networks are rougher, and skips undo it, in every seed here;
# though twelve layers show nothing like the chaos of their 56-layer pictures. What may be
# concluded? These are *random planes*: they show that some directions are rough, never that a
# surface is free of bad ones. The plain deep nets also end at a higher loss, and their blocks
# started larger; part of the difference may come from there. And a relative change $a$ of all
# twelve layers compounds in a plain net, while skips carry the signal past it: the ring measures
# that too.
#
# ## Build it: the path in the plane
#
# Where did training walk? Projecting the recorded weights on a plane is least squares; the share
# of their squared distance from the end that the plane captures says how much of the walk one
# sees. **Predict** this share for a random plane in some nine thousand dimensions, and for the
# plane of the two principal components of the path.

# %%
grids, shadows, lost = {}, {}, {}
DEEP = ("plain, 12 layers", "skips, 12 layers")
for kind in DEEP:
    model, weights = trained[kind, 0], training_paths[kind, 0]
    at_random = landscape.random_directions(model, generator=torch.Generator().manual_seed(100))
    components = landscape.pca_directions(weights, weights[-1])
    lost[kind] = landscape.project_path(weights, weights[-1], at_random)
    shadows[kind] = landscape.project_path(weights, weights[-1], components)
    print(
        f"{kind}: {len(weights[0])} weights; random plane captures {lost[kind].captured:.1g}, "
        f"principal plane {shadows[kind].captured:.3f}"
    )
    reach = 1.2 * shadows[kind].coordinates.abs().max().item()
    grids[kind] = landscape.loss_surface(
        model, cross_entropy, *SAMPLE, directions=components, extent=reach, resolution=51
    )

# %% [markdown]
# ## Check it: the path in the plane
#
# The share by principal components must be that of the two largest singular values of the path.
# And a plane through the trained weights cannot bend more than the space around it: the largest
# curvature in the plane is at most $\lambda_{\max}$ of the network (Cauchy's interlacing
# theorem).

# %%
for kind, shadow in shadows.items():
    weights = training_paths[kind, 0].double()
    moved = weights - weights[-1]
    singular = torch.linalg.svdvals(moved).square()
    share = (singular[:2].sum() / singular.sum()).item()
    ledger.check_close(87, f"{kind}: share", shadow.captured, share, tolerance=1e-6)
    ledger.check_at_least(87, f"{kind}: share in the principal plane", shadow.captured, 0.6)
    ledger.check_at_most(87, f"{kind}: share in a random plane", lost[kind].captured, 0.01)
    in_plane = plane_curvatures(grids[kind])[1][25, 25].item()
    in_space = top_curvature(trained[kind, 0], *SAMPLE)
    print(f"    2 / curvature: about {2 / in_plane:.0f} in the plane, {2 / in_space:.2f} in all")
    ledger.check_at_most(87, f"{kind}: curvature, plane / network", in_plane / in_space, 0.1)

# %% [markdown]
# A random plane shows the neighbourhood and nothing of the walk: a path drawn there would be a
# dot. The principal plane shows most of the walk, since it was chosen to; its contours belong to
# two special directions.
#
# ## Explore it: the surfaces of two trained networks
#
# The lines are the training paths, projected. Height and colour are on a log scale; the box
# switches to a linear one, and "same scale for all" compares the surfaces fairly.
#
# 1. On the random planes, which surface rises faster? Switch the log scale off: what becomes of
#    the gentler one?
# 2. Switch to the principal planes. Does the path follow the steepest descent that you see?
#    Should it?
# 3. Which share of the movement does each plane capture? (Printed above.)


# %%
LossSurface(
    surfaces={
        **{f"{kind}, random plane": surfaces[kind] for kind in DEEP},
        **{f"{kind}, principal plane": grids[kind] for kind in DEEP},
    },
    paths={
        **{f"{kind}, random plane": lost[kind].coordinates.numpy() for kind in DEEP},
        **{f"{kind}, principal plane": shadows[kind].coordinates.numpy() for kind in DEEP},
    },
)

# %% [markdown]
# The optimizers can race on such a slice as well. The surface is the real loss; the walk is not,
# for all directions but two are frozen.
#
# 1. Drag the start close to the trained weights, at (0, 0). Does SGD stay there at rate 1, at 5?
#    Compare with the two limits printed above.
# 2. Does the order of arrival agree with the race on the ravine? With the comparison below?

# %%
OptimizerRace(surface=grids[DEEP[1]], path=shadows[DEEP[1]].coordinates.numpy())

# %% [markdown]
# ## Try it: which optimizer is best? A fair trial
#
# A ranking of optimizers can be turned round by tuning one more than another (Choi et al., 2019).
# Here each gets the same effort: four learning rates, each tried on two seeds; the one with the
# lowest *validation* loss goes on; three **new** seeds train with it; the test set is used once,
# at the end. Fashion-MNIST, 3,072 training and 1,024 validation pictures, 784-64-10, three
# epochs. **Predict** how many points of accuracy lie between the best and the worst, and how many
# between two seeds.

# %%
TRAIN = (X_FASHION[:3072], Y_FASHION[:3072])
VAL = (X_FASHION[4096:5120], Y_FASHION[4096:5120])
X_TEST = torch.from_numpy(fashion.X_test).flatten(1) - pixel_mean
Y_TEST = torch.from_numpy(fashion.y_test)

CANDIDATES = {  # name: class, fixed settings, the four learning rates
    "SGD": (torch.optim.SGD, {}, (0.1, 0.3, 1.0, 3.0)),
    "Momentum": (torch.optim.SGD, {"momentum": 0.9}, (0.01, 0.03, 0.1, 0.3)),
    "Nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, (0.03, 0.1, 0.3, 1.0)),
    "Adagrad": (torch.optim.Adagrad, {}, (0.01, 0.03, 0.1, 0.3)),
    "AdaDelta": (torch.optim.Adadelta, {}, (0.1, 0.3, 1.0, 3.0)),
    "RMSProp": (torch.optim.RMSprop, {}, (0.0003, 0.001, 0.003, 0.01)),
    "Adam": (torch.optim.Adam, {}, (0.001, 0.003, 0.01, 0.03)),
    "AdamW": (torch.optim.AdamW, {"weight_decay": 0.1}, (0.001, 0.003, 0.01, 0.03)),
}


# %%
def train_candidate(name, lr, seed):
    """Return a trained model and its validation loss, infinite where training broke."""
    make, settings, _ = CANDIDATES[name]
    model = make_mlp((784, 64, 10), seed)
    optimizer = make(model.parameters(), lr=lr, **settings)
    try:
        return model, train(model, optimizer, TRAIN, 3, 128, seed, val=VAL).val_loss[-1]
    except DivergedError:
        return model, math.inf


scores = {  # mean validation loss over two seeds
    name: {lr: sum(train_candidate(name, lr, seed)[1] for seed in (0, 1)) / 2 for lr in rates}
    for name, (_, _, rates) in CANDIDATES.items()
}
chosen = {name: min(by_rate, key=by_rate.get) for name, by_rate in scores.items()}
for name, by_rate in scores.items():
    listed = "  ".join(
        f"{lr:g}: {score:.3f}" if score < 100 else f"{lr:g}: diverged"
        for lr, score in by_rate.items()
    )
    print(f"{name:9s} {listed}  -> {chosen[name]:g}")
print(f"largest over smallest chosen rate: {max(chosen.values()) / min(chosen.values()):.0f}")

# %% [markdown]
# No common rate would be fair to all. Now the test set, once.


# %%
@torch.no_grad()
def test_accuracy(model):
    """Return the fraction of test pictures classified correctly."""
    return accuracy(model(X_TEST), Y_TEST)


tuned = {
    name: torch.tensor([test_accuracy(train_candidate(name, lr, seed)[0]) for seed in (10, 11, 12)])
    for name, lr in chosen.items()
}
winner = max(values.mean().item() for values in tuned.values())
for (name, values), row in zip(tuned.items(), (89, 101, 103, 98, 100, 99, 105, 105), strict=True):
    print(f"{name:9s} {values.mean():.1%} ± {values.std():.1%}")
    behind = winner - values.mean().item()
    ledger.check_at_most(row, f"{name}, tuned: accuracy behind the best", behind, 0.06)
at_their_best = [min(by_rate.values()) for by_rate in scores.values()]
between = max(at_their_best) - min(at_their_best)
within = sorted(max(by_rate.values()) - min(by_rate.values()) for by_rate in scores.values())
print(f"validation loss: methods differ by {between:.3f}, rates by {within[0]:.3f} or more")
ledger.check_at_least(
    89, "median over rates / over methods", within[len(within) // 2] / between, 1.5
)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.7), sharey=True)
for row, name in enumerate(CANDIDATES):
    losses = [min(loss, 3.0) for loss in scores[name].values()]
    for loss in losses:  # a run that diverged, or nearly so, is an arrow at the edge
        mark = ">" if loss == 3.0 else "o"
        axs[0].plot(loss, row, mark, color=PALETTE["blue"], fillstyle="none")
    axs[0].plot(min(losses), row, "o", color=PALETTE["blue"])
    axs[1].plot(100 * tuned[name], [row] * 3, "D", color=PALETTE["vermilion"])
axs[0].set_yticks(range(len(CANDIDATES)), list(CANDIDATES))
axs[0].set(xlabel="validation loss (nats, log scale)", xscale="log")
axs[0].set_xticks([0.4, 0.6, 1, 2, 3], ["0.4", "0.6", "1", "2", "3"])
axs[0].minorticks_off()
axs[0].set_ylabel("optimizer")
axs[1].set(xlabel="test accuracy (%)")
show(
    fig,
    alt="Left: for each optimizer four marks, one per learning rate, spread widely, arrows at the "
    "edge for diverged runs; the best nearly line up. Right: test accuracies of three seeds, all "
    "within a few points of one another.",
)

# %% [markdown]
# *Figure 11. Left: validation loss for four learning rates, mean of two seeds; the chosen one is
# filled, an arrow is a loss of 3 or more. Right: test accuracy at the chosen rate, three new
# seeds.*
#
# With equal tuning most methods end close together, and with three seeds no order among those
# that overlap is proven. Over rates that span a factor of thirty, a wrong rate costs more
# validation loss than a wrong method. Methods differ in how forgiving they are: look at the
# spread of the marks in each row. This is one small task, three epochs, no schedule; a method
# that starts slowly, as AdaDelta does, is judged early.

# %% [markdown]
# ## Exercises
#
# ### 1. The largest step (easy, 5 minutes)
#
# A loss has the Hessian $\begin{pmatrix}6&2\\2&3\end{pmatrix}$ at its minimum. Compute the
# learning rate at which gradient descent stops converging.

# %% tags=["exercise"]
HESSIAN = torch.tensor([[6.0, 2.0], [2.0, 3.0]], dtype=F64)
answer_1 = None  # a number

# %%
check_exercise(
    answer_1,
    2 / 7,
    mistakes={
        "That is 1 / lambda_max, the rate that removes the steepest error in one step; twice as "
        "much still converges.": 1 / 7,
        "You took the smallest eigenvalue; the steepest direction sets the limit.": 2 / 2,
        "You used the trace; that is the sum of the eigenvalues.": 2 / 9,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# HESSIAN = torch.tensor([[6.0, 2.0], [2.0, 3.0]], dtype=F64)
# answer_1 = (2 / torch.linalg.eigvalsh(HESSIAN).max()).item()
# ```
# The eigenvalues are 7 and 2.
# </details>

# %% [markdown]
# ### 2. Noise of a mini-batch (medium, 10 minutes)
#
# Five samples have the gradients 1, 4, 4, 7, 9 (one weight). Compute the variance of the gradient
# of a mini-batch of three, drawn without replacement. Check it by brute force if you like.

# %% tags=["exercise"]
SAMPLE_GRADIENTS = torch.tensor([1.0, 4.0, 4.0, 7.0, 9.0], dtype=F64)
answer_2 = None  # a number

# %%
check_exercise(
    answer_2,
    SAMPLE_GRADIENTS.var(correction=0).item() / 3 * (5 - 3) / (5 - 1),
    mistakes={
        "That is sigma^2 / B: right for drawing with replacement.": 7.6 / 3,
        "That is the variance of a single sample; a mean of three varies less.": 7.6,
        "sigma^2 has N below the bar here, not N - 1.": 9.5 / 3 * 2 / 4,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# SAMPLE_GRADIENTS = torch.tensor([1.0, 4.0, 4.0, 7.0, 9.0], dtype=F64)
# batches = [sum(batch) / 3 for batch in itertools.combinations(SAMPLE_GRADIENTS.tolist(), 3)]
# answer_2 = torch.tensor(batches, dtype=F64).var(correction=0).item()
# ```
# Brute force over the ten subsets; the formula is $\frac{7.6}{3}\cdot\frac{5-3}{5-1}$.
# </details>

# %% [markdown]
# ### 3. A brake with a delay (medium, 10 minutes)
#
# The gradient is 2 at every step, $\lambda=0.8$, and the rate has been 0.3 for a very long time.
# Now it becomes 0.1. Give the next displacement as a pair: first in the lecture's form, then in
# torch's.

# %% tags=["exercise"]
answer_3 = None  # (lecture, torch)

# %%
check_exercise(
    answer_3,
    (-2.6, -1.0),
    mistakes={
        "In the lecture's form the old speed is not rescaled by the new rate.": (-1.0, -1.0),
        "torch multiplies its whole memory by the new rate.": (-2.6, -2.6),
        "The other way round.": (-1.0, -2.6),
        "Both have the sign of the gradient; a step goes against it.": (2.6, 1.0),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# speed, memory = -0.3 * 2 / (1 - 0.8), 2 / (1 - 0.8)  # lecture's v, torch's buffer
# answer_3 = (0.8 * speed - 0.1 * 2, -0.1 * (0.8 * memory + 2))
# ```
# </details>

# %% [markdown]
# ### 4. AMSGrad (medium, 15 minutes)
#
# Adam's $r$ may shrink, and its step grow, long after the large gradients. AMSGrad (Reddi, Kale
# and Kumar, 2018) divides by the root of the *largest* $r$ seen so far. torch keeps the maximum
# of $r$ itself and corrects the bias of that maximum. Write it as a step on our bench.

# %% tags=["exercise"]
AMSGRAD_SETTINGS = {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3}


def amsgrad(theta, grad, state, *, lr, betas, eps):
    """Return the next weights and state of AMSGrad."""
    return None


answer_4 = None  # run_steps(amsgrad, PROBLEMS["rosenbrock"], **AMSGRAD_SETTINGS)[-1]

# %%
check_exercise(
    answer_4,
    run_torch(
        lambda p: torch.optim.Adam(p, amsgrad=True, **AMSGRAD_SETTINGS), PROBLEMS["rosenbrock"]
    )[-1],
    mistakes={
        "This is Adam: where is the maximum?": run_steps(
            adam, PROBLEMS["rosenbrock"], **AMSGRAD_SETTINGS
        )[-1],
        "This is Adam without bias correction.": run_steps(
            adam, PROBLEMS["rosenbrock"], **AMSGRAD_SETTINGS, correct=False
        )[-1],
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# AMSGRAD_SETTINGS = {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3}
#
#
# def amsgrad(theta, grad, state, *, lr, betas, eps):
#     """Return the next weights and state of AMSGrad."""
#     t = state.get("t", 0) + 1
#     s = betas[0] * state.get("s", 0.0) + (1 - betas[0]) * grad
#     r = betas[1] * state.get("r", 0.0) + (1 - betas[1]) * grad**2
#     largest = torch.maximum(state.get("largest", torch.zeros_like(r)), r)
#     s_hat, r_hat = s / (1 - betas[0] ** t), largest / (1 - betas[1] ** t)
#     state = {"t": t, "s": s, "r": r, "largest": largest}
#     return theta - lr * s_hat / outside(r_hat, eps), state
#
#
# answer_4 = run_steps(amsgrad, PROBLEMS["rosenbrock"], **AMSGRAD_SETTINGS)[-1]
# ```
# </details>

# %% [markdown]
# ### 5. Down the banana (open, 15 minutes)
#
# Find a learning rate and a momentum for torch's Nesterov with which it comes within 0.01 of the
# minimum of the *unscaled* Rosenbrock function *after* 400 steps. Then ask how you would have
# found them without knowing where the minimum is.

# %% tags=["exercise"]
answer_5 = None  # (lr, momentum)


# %%
def judge(answer):
    """Return how a Nesterov run on Rosenbrock's function ended."""
    rosenbrock = landscape.TEST_FUNCTIONS["rosenbrock"]
    try:
        lr, momentum = answer
        path = landscape.descend(
            rosenbrock,
            rosenbrock.start,
            lambda p: torch.optim.SGD(p, lr=lr, momentum=momentum, nesterov=True),
            400,
        )
    except FloatingPointError:
        return "diverged"
    except (TypeError, ValueError):
        return "not two positive numbers"
    distances = (path - torch.tensor(rosenbrock.minimum)).norm(dim=1)
    if distances[-1] < 0.01:
        return "arrived"
    return "overshot" if distances.min() < 0.01 else "on the way"


check_exercise(
    answer_5 if answer_5 is None else judge(answer_5),
    "arrived",
    mistakes={
        "The path left the finite numbers: the start lies on a steep wall.": "diverged",
        "Still on the way: with a small rate, what brings more speed?": "on the way",
        "It passed by and left again: too much speed for this rate.": "overshot",
        "Give a pair (lr, momentum), both positive.": "not two positive numbers",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_5 = (0.001, 0.95)
# ```
# One of many. Without the minimum: watch the loss, which a small rate with growing momentum
# brings down fastest until it starts to swing.
# </details>

# %% [markdown]
# ## Recap
#
# - A step survives below $2/\lambda_{\max}$; the smallest curvature sets the pace.
# - A mini-batch gradient is unbiased, its variance falls as $1/B$ while $B\ll N$; a constant rate
#   ends in a cloud.
# - Momentum is a ball with friction, $\lambda=1-ch$. torch's Nesterov stores the interim point.
# - Adagrad, RMSProp, AdaDelta and Adam are one formula with different memories.
# - Tuned alike, methods differ less than their rates do.
#
# **In practice** torch updates many tensors in one call, keeps `eps` outside the root, clips
# before the step, and warm-up plus cosine is the usual schedule.
#
# **Roads not taken**: second-order methods (L-BFGS, K-FAC), Lion, Muon, averaging of weights,
# sharpness-aware steps.

# %% [markdown]
# **Answers to the questions in Explore it.** *Schedules:* the constant rate trades speed against
# the floor $\eta\sigma^2/(k(2-\eta k))$. SGDR is best stopped just before a restart. Warm-up
# gains nothing on a quadratic, whose curvature is the same everywhere; the badly scaled network
# above had its lowest limit at the start. *Race:* SGD stops converging on the ravine at 0.08,
# `lr_limit` above. Momentum 0.99 nearly orbits, as the ball without drag. From $y=0$ exactly
# nobody leaves: the gradient along $y$ is zero, and dividing zero by anything is zero.
# *Surfaces:* the plain net rises faster; on a linear scale of its height the one with skips is a
# flat floor, and a log scale bends every bowl downwards further out. The path need not follow the
# slope you see: it follows the gradient in all dimensions, with Adam's scaling, on mini-batches.
# *Race on the slice:* in two dimensions every method may look good. SGD stays at both rates,
# below the limit printed for the plane and far above that of the network: the slice forgives what
# the network does not.

# %% [markdown]
# **References.** Robbins and Monro (1951), A stochastic approximation method. Polyak (1964), Some
# methods of speeding up the convergence of iteration methods. Nesterov (1983), A method of
# solving a convex programming problem with convergence rate $O(1/k^2)$. Duchi, Hazan and Singer
# (2011), Adaptive subgradient methods. Tieleman and Hinton (2012), RMSProp, Coursera lecture 6.5.
# Zeiler (2012), ADADELTA. Pascanu, Mikolov and Bengio (2013), On the difficulty of training
# recurrent neural networks (clipping). Kingma and Ba (2015), Adam. Smith (2017), Cyclical
# learning rates. Loshchilov and Hutter (2017), SGDR; (2019), Decoupled weight decay
# regularization. Choi et al. (2019), On empirical comparisons of optimizers for deep learning.
# Goyal et al. (2017), Accurate, large minibatch SGD. Li et al. (2018), Visualizing the loss
# landscape of neural nets. Reddi, Kale and Kumar (2018), On the convergence of Adam and beyond.
