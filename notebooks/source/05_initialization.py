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
# # Choose the first weights so that a deep net can learn
#
# **You will build** every initialisation rule of the lecture, from a constant to data-dependent
# scaling, and measure what each does to the signal and to its gradient.
#
# **You will learn** to
# - predict how a signal grows or dies from layer to layer, before training;
# - derive Xavier's and He's variances and say for which activation each holds;
# - initialise with orthogonal matrices and explain what that buys;
# - scale weights with a batch of data when no formula fits;
# - choose biases: output, ReLU and forget gate.
#
# **You need** notebooks 01 and 02, about two and a half hours, and a CPU. Reviewed 2026-11-22.

# %%
import math
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import integrate, special, stats
from torch import nn
from torch.nn.functional import batch_norm, cross_entropy, one_hot, softplus

from course_utils import data, probes
from course_utils.checks import Ledger, check_exercise
from course_utils.figures import MARKERS, PALETTE, show, use_course_style
from course_utils.models import draw_weights
from course_utils.widgets import SignalFlow

# %%
use_course_style()
ledger = Ledger("05_initialization")
F64 = torch.float64
NUM_CLASSES = 10
fashion = data.load_fashion_mnist()
RAW = torch.from_numpy(fashion.X_train[:4096])
X_FASHION = ((RAW - RAW.mean()) / RAW.std()).flatten(1)  # (4096, 784), mean square 1
Y_FASHION = torch.from_numpy(fashion.y_train[:4096])

# %% [markdown]
# ## Why
#
# Nine layers with tanh, 784-64-...-64-10, learn to sort pictures of clothes. Data, architecture,
# learning rate and number of steps are the same in all runs; what differs is one number, the
# standard deviation of the first weights: 0.01, 1, or $1/\sqrt{n}$ with $n$ the inputs of a unit.
#
# **Predict.** Which of the three have learnt something after 150 steps?
#
# To compare many runs at once, a *stack* holds the same layer of all runs in one tensor
# $(R,n_{\text{in}},n_{\text{out}})$. The inputs stand on the left, `x @ W`, as in the lecture.


# %%
def draw_layers(widths, std_of, seed):
    """Return one Gaussian weight matrix per layer, of standard deviation std_of(n_in, n_out)."""
    generator = torch.Generator().manual_seed(seed)
    return [
        std_of(n_in, n_out) * torch.randn(n_in, n_out, generator=generator)
        for n_in, n_out in pairwise(widths)
    ]


def stack_runs(runs):
    """Return, for each layer, the weights of all runs as one tensor (R, n_in, n_out)."""
    return [torch.stack(layers) for layers in zip(*runs, strict=True)]


def forward_stack(x, weights, biases, activation):
    """Return the logits of all runs, (R, B, K)."""
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        x = activation(x @ W + b)
    return x @ weights[-1] + biases[-1]


# %%
def zero_biases(weights):
    """Return one zero bias (R, 1, n_out) for each layer of a stack."""
    return [torch.zeros(len(W), 1, W.shape[2]) for W in weights]


def losses_of(logits, y):
    """Return the mean cross-entropy of each run, (R,)."""
    log_probs = logits.log_softmax(dim=-1)
    return -(log_probs * one_hot(y, logits.shape[-1])).sum(dim=-1).mean(dim=-1)


def train_stack(weights, biases, rates, activation, samples, num_steps, batch_size=64):
    """Train all runs by SGD on the same minibatches; return the loss of each step, (R, steps)."""
    X, y = samples
    params = [p.clone().requires_grad_() for p in weights + biases]
    half, generator, history = len(weights), torch.Generator().manual_seed(0), []
    lr = torch.as_tensor(rates).reshape(-1, 1, 1)
    for _ in range(num_steps):
        index = torch.randint(len(X), (batch_size,), generator=generator)
        losses = losses_of(
            forward_stack(X[index], params[:half], params[half:], activation), y[index]
        )
        history.append(losses.detach())
        # Runs share no weight, so the gradient of the sum holds that of each.
        for p, grad in zip(params, torch.autograd.grad(losses.sum(), params), strict=True):
            p.data -= lr * grad
    return torch.stack(history, dim=1)


# %%
SCALES = {
    "0.01": lambda n_in, n_out: 0.01,
    "1": lambda n_in, n_out: 1.0,
    "1/√n": lambda n_in, n_out: n_in**-0.5,
}
nine_layers = [784] + [64] * 8 + [10]
first_stack = stack_runs(
    [draw_layers(nine_layers, std_of, seed) for std_of in SCALES.values() for seed in range(3)]
)
first_losses = train_stack(
    first_stack, zero_biases(first_stack), [0.1] * 9, torch.tanh, (X_FASHION, Y_FASHION), 150
).view(3, 3, 150)
ended = first_losses[:, :, -20:].mean(dim=2)  # (scale, seed)
for name, of_seeds in zip(SCALES, ended, strict=True):
    print(f"std {name:5s} loss {of_seeds.mean():.3f} ± {of_seeds.std():.3f} nats")
guess = torch.full((3,), math.log(10))
ledger.check_close(108, "std 0.01: still at ln 10", ended[0], guess, kind="metric", tolerance=0.01)
ledger.check_at_least(108, "std 1: has learnt next to nothing (nats)", ended[1].min(), 2.1)
ledger.check_at_most(110, "std 1/sqrt(n): learns", ended[2].max(), 1.0)

# %%
fig, ax = plt.subplots(figsize=(6.0, 2.8))
for name, runs in zip(SCALES, first_losses, strict=True):
    smooth = runs.unfold(1, 10, 5).mean(dim=2)  # means of ten steps
    (line,) = ax.plot(torch.arange(smooth.shape[1]) * 5 + 5, smooth.mean(dim=0), label=name)
    ax.fill_between(
        torch.arange(smooth.shape[1]) * 5 + 5,
        smooth.amin(dim=0),
        smooth.amax(dim=0),
        alpha=0.2,
        color=line.get_color(),
    )
ax.set(xlabel="step", ylabel="loss (nats)")
ax.legend(title="std of the weights")
show(
    fig,
    alt="Loss against training step for three scales of the first weights: 0.01 stays flat at "
    "2.3 nats, 1 begins near ten and comes down to about 2.3, one over root n falls below both.",
)

# %% [markdown]
# *Figure 1. Loss of a nine-layer tanh net on Fashion-MNIST, learning rate 0.1, mean of ten steps;
# mean and range of three seeds. Only the scale of the first weights differs.*
#
# After 150 steps two of three are no better than a guess, $\ln 10$ nats: 0.01 has not moved; 1 has
# only just unlearnt its confident wrong answers (given several times as many steps it does learn,
# slowly). The rest of the notebook says which number to choose, and why.

# %% [markdown]
# ## The idea in symbols
#
# Layer $l$ computes $y_l=x_lW_l+b_l$ and hands $x_{l+1}=\phi(y_l)$ to the next. The weights are
# independent, with mean 0 and variance $v$, independent of $x_l$. Then each output is a sum of
# $n_{\text{in}}$ uncorrelated terms:
#
# $$\operatorname{Var}[y_l]=n_{\text{in}}\,v\;\mathbb E[x_l^2],\qquad
# \mathbb E[\delta_{l-1}^2]=n_{\text{out}}\,v\;\mathbb E[\delta_l^2]\;\mathbb E[\phi'(y_{l-1})^2],
# \qquad\delta_l=\frac{\partial\mathcal L}{\partial y_l}.$$
#
# $\mathbb E$ is taken over the draw of the weights and over the inputs. The second equation is the
# same sum read backwards; it takes $\delta_l$ as independent of $W_l$ and of the slope, as He et
# al. do: an approximation, which the measurements below test. A signal that is to cross many layers
# must neither grow nor shrink at each: a factor of 0.8 is harmless once and fatal thirty times.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $n_{\text{in}},n_{\text{out}}$, **fan-in, fan-out** | `n_in`, `n_out` | integers | $\ge1$ |
# | $W_l$ | `W` | $(n_{\text{in}},n_{\text{out}})$ | weights |
# | $b_l$ | `b` | $(n_{\text{out}},)$ | weights |
# | $v$, variance of a weight; the lecture's $\sigma^2$ | `variance` | scalar | $>0$ |
# | $c=\sqrt v$, factor of `randn` | `std` | scalar | $>0$ |
# | $r$, weights uniform in $[-r,r]$ | `r` | scalar | $>0$ |
# | $g$, **gain** (增益): $v=g^2/n$ | `gain` | scalar | $>0$ |
# | $x_l,\;y_l$, inputs and sums of layer $l$ | `x`, `pre` | $(B,n)$ | signal |
# | $q_l=\mathbb E[y_l^2]$ | `q` | scalar | signal² |
# | $\delta_l$, back-propagated gradient | `delta` | $(B,n)$ | loss per signal |
# | $\phi$; $\operatorname{sig}$, the logistic function | `activation` | function | |
# | $\alpha$, slope of PReLU for $y<0$ | `slope` | scalar | usually $[0,1)$ |
# | $L$, number of layers | `depth` | integer | $\ge1$ |
# | $\eta$, learning rate | `lr` | scalar | $>0$ |
# | $\mathcal L$, loss | `loss` | scalar | nats or squared units |
#
# Fan-in and fan-out (扇入, 扇出) are the numbers of inputs and of outputs of a layer; the lecture's
# table calls them $M_{l-1}$ and $M_l$, its derivation $n_l$. Where both are equal, or where one of
# them is chosen, it is $n$.

# %% [markdown]
# ## Build it: equal weights
#
# First the trap: why not zero, or the same number everywhere? A net of one hidden layer,
# $\hat z=\tanh(xW+b)\,w+d$ for a target $z$, small enough to print.


# %%
def train_tiny(W, w, X, y, *, lr_in=0.3, lr_out=0.3, lr_bias=0.3, num_steps=60):
    """Return the paths of W, w, d and the loss under gradient descent; b and d start at 0."""
    b, d = torch.zeros(W.shape[1], dtype=F64), torch.zeros((), dtype=F64)
    params = [p.clone().requires_grad_() for p in (W, b, w, d)]
    path = {"W": [W], "w": [w], "d": [d.clone()], "loss": []}
    for _ in range(num_steps):
        W, b, w, d = params
        loss = 0.5 * ((torch.tanh(X @ W + b) @ w + d - y) ** 2).mean()
        gradients = torch.autograd.grad(loss, params)
        rates = (lr_in, lr_in, lr_out, lr_bias)
        for p, grad, lr in zip(params, gradients, rates, strict=True):
            p.data -= lr * grad
        for name, value in zip(("W", "w", "d", "loss"), (W, w, d, loss), strict=True):
            path[name].append(value.detach().clone())
    return {name: torch.stack(values) for name, values in path.items()}


# %%
def make_tiny_task(seed, num_samples=40):
    """Return inputs and targets of a task that needs more than one hidden unit."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(num_samples, 3, generator=generator, dtype=F64)
    return X, torch.sin(2 * X[:, 0]) + X[:, 1] * X[:, 2] + 0.5


X_TINY, Y_TINY = make_tiny_task(seed=0)
EQUAL_W = torch.full((3, 5), 0.4, dtype=F64)
EQUAL_W_OUT = torch.full((5,), 0.3, dtype=F64)
equal_path = train_tiny(EQUAL_W, EQUAL_W_OUT, X_TINY, Y_TINY)
equal_path["W"][-1]

# %% [markdown]
# After sixty steps the five columns are still the same unit, five times. Swap two of them and the
# net is unchanged, so their gradients are equal, so they stay equal: a **symmetry** (对称性) that
# gradient descent cannot break.
#
# ## Check it: equal weights
#
# Five equal units act as *one* unit with the output weight $5w$. Seen from it, the inner weights
# get a fifth of the gradient and the outer sum moves five times as fast: the large net must
# follow, step for step, a one-unit net with the rates $\eta/5$ inside and $5\eta$ outside. That
# is an independent route to the same path.

# %%
one_path = train_tiny(
    EQUAL_W[:, :1], 5 * EQUAL_W_OUT[:1], X_TINY, Y_TINY, lr_in=0.3 / 5, lr_out=0.3 * 5
)
many, one = equal_path["W"], one_path["W"].expand(-1, -1, 5)
ledger.check_close(107, "five equal units = one unit", many, one, kind="trajectory")
many, one = 5 * equal_path["w"], one_path["w"].expand(-1, 5)
ledger.check_close(107, "their output weights = a fifth", many, one, kind="trajectory")
rank = torch.linalg.matrix_rank(equal_path["W"][-1], atol=1e-9)
ledger.check_equal(107, "rank of W after training", rank, 1, kind="invariant")

# %% [markdown]
# All zero is worse. With $W=0$ the hidden values are $\tanh 0=0$, so $w$ gets no gradient; with
# $w=0$ neither does $W$. Only the output bias moves, and gradient descent on it has the closed
# form $d_t=\bar z\,\big(1-(1-\eta)^t\big)$, with $\bar z$ the mean target.

# %%
ZERO_W, ZERO_W_OUT = torch.zeros(3, 5, dtype=F64), torch.zeros(5, dtype=F64)
zero_path = train_tiny(ZERO_W, ZERO_W_OUT, X_TINY, Y_TINY)
closed_form = Y_TINY.mean() * (1 - 0.7 ** torch.arange(61, dtype=F64))
ledger.check_close(107, "all zero: the output bias", zero_path["d"], closed_form, kind="trajectory")
moved = max(zero_path["W"].abs().max(), zero_path["w"].abs().max())
ledger.check_equal(107, "all zero: no weight ever moves", moved, 0.0, kind="invariant")

# %% [markdown]
# Random weights break the symmetry, and zero biases do not bring it back. Same task, four seeds,
# 500 steps: constant weights against random ones, all biases at zero in both.


# %%
def compare_starts(seed):
    """Return (rank of W, loss) after training from equal and from random weights."""
    X, y = make_tiny_task(seed)
    generator = torch.Generator().manual_seed(100 + seed)
    random_W = 0.4 * torch.randn(3, 5, generator=generator, dtype=F64)
    random_w = 0.3 * torch.randn(5, generator=generator, dtype=F64)
    paths = [
        train_tiny(W, w, X, y, num_steps=500)
        for W, w in ((EQUAL_W, EQUAL_W_OUT), (random_W, random_w))
    ]
    return [(torch.linalg.matrix_rank(p["W"][-1], atol=1e-6), p["loss"][-1]) for p in paths]


starts = torch.tensor([compare_starts(seed) for seed in range(4)])  # (seed, start, rank or loss)
for name, of_seeds in zip(("equal", "random"), starts.unbind(dim=1), strict=True):
    print(f"{name:7s} rank {of_seeds[:, 0].tolist()}  loss {of_seeds[:, 1].mean():.3f}")
ledger.check_equal(107, "random weights, zero biases: rank", starts[:, 1, 0], [3.0] * 4)
gain_of_breaking = (starts[:, 0, 1] / starts[:, 1, 1]).min()
ledger.check_at_least(107, "loss, equal over random, worst seed", gain_of_breaking, 1.5)

# %% [markdown]
# A trained layer of equal units has rank 1 however wide it is. What the start has to provide is
# *difference*; random numbers are the cheapest.
#
# ## Build it: Gaussian and uniform numbers
#
# The lecture writes `W = c*randn(fan_in, fan_out)` for Gaussian weights and, for uniform ones in
# $[-r,r]$, `W = r*rand`. `rand` draws from $[0,1)$, so the second, read literally, is something
# else. A uniform variable on $[-r,r]$ has the variance $r^2/3$; to match a Gaussian,
# $r=\sqrt{3v}$.


# %%
def gaussian(shape, std, generator):
    """Return numbers of mean 0 and standard deviation std."""
    return std * torch.randn(shape, generator=generator, dtype=F64)


def uniform(shape, r, generator):
    """Return numbers spread evenly over [-r, r)."""
    return r * (2 * torch.rand(shape, generator=generator, dtype=F64) - 1)


def uniform_as_printed(shape, r, generator):
    """Return r * rand, as the lecture has it."""
    return r * torch.rand(shape, generator=generator, dtype=F64)


def half_width(variance):
    """Return the r of a uniform distribution with this variance."""
    return math.sqrt(3 * variance)


# %% [markdown]
# ## Check it: Gaussian and uniform numbers
#
# Against `torch.nn.init` with the same source of randomness: number for number. Then against the
# distributions themselves: `scipy`'s Kolmogorov-Smirnov distance between the sample and the
# distribution function, which for $N$ true draws exceeds $1.95/\sqrt N$ once in a thousand times.


# %%
def seeded(seed):
    """Return a fresh source of randomness."""
    return torch.Generator().manual_seed(seed)


SHAPE = (37, 53)
EMPTY = torch.empty(SHAPE, dtype=F64)
ours, theirs = (
    gaussian(SHAPE, 0.07, seeded(1)),
    nn.init.normal_(EMPTY, std=0.07, generator=seeded(1)),
)
ledger.check_close(108, "c * randn = nn.init.normal_", ours, theirs)
ours, theirs = (
    uniform(SHAPE, 0.3, seeded(2)),
    nn.init.uniform_(EMPTY, -0.3, 0.3, generator=seeded(2)),
)
ledger.check_close(109, "r * (2 rand - 1) = nn.init.uniform_", ours, theirs)

# %%
sample_bound = 1.95 / math.sqrt(37 * 53)
v = 0.02  # one variance for both
draws = gaussian(SHAPE, math.sqrt(v), seeded(3)).flatten().numpy()
distance = stats.kstest(draws, stats.norm(scale=math.sqrt(v)).cdf).statistic
ledger.check_at_most(108, "distance from the Gaussian", distance, sample_bound)
symmetric = stats.uniform(-half_width(v), 2 * half_width(v))
ledger.check_close(109, "variance at r = sqrt(3 v)", symmetric.var(), v)
draws = uniform(SHAPE, half_width(v), seeded(4)).flatten().numpy()
distance = stats.kstest(draws, symmetric.cdf).statistic
ledger.check_at_most(109, "distance from the uniform", distance, sample_bound)
printed_draws = uniform_as_printed(SHAPE, half_width(v), seeded(4)).flatten().numpy()
with ledger.refuses(109, "r * rand is uniform on [-r, r]"):
    distance = stats.kstest(printed_draws, symmetric.cdf).statistic
    ledger.check_at_most(109, "distance, as printed", distance, sample_bound)

# %% [markdown]
# What is wrong with a positive mean? Every unit then computes nearly the same: the mean of its
# inputs, times $n\,r/2$. The difference between units, which was the point, is a small ripple on
# a large common wave. Measure it: the mean correlation between the outputs of two units.

# %%
pixels = X_FASHION[:500].double()
as_printed, centred = (
    torch.corrcoef((pixels @ draw((784, 60), 0.05, seeded(5))).T).abs().mean().item()
    for draw in (uniform_as_printed, uniform)
)
print(f"mean |correlation| of two units: r * rand {as_printed:.2f}, [-r, r] {centred:.2f}")
ledger.check_at_least(109, "r * rand: units nearly equal", as_printed, 0.9)
ledger.check_at_most(109, "[-r, r]: units differ", centred, 0.5)

# %% [markdown]
# ## The idea in symbols: Xavier and He
#
# **Xavier** (Glorot and Bengio, 2010). Near zero tanh is the identity: $\phi'=1$, $\mathbb
# E[x_l^2]=\operatorname{Var}[y_{l-1}]$. The signal keeps its size when $n_{\text{in}}v=1$, the
# gradient when $n_{\text{out}}v=1$; both only in square layers. The compromise divides by the mean
# of the two fans:
#
# $$v=\frac{1}{n_{\text{in}}},\qquad v=\frac1{n_{\text{out}}},\qquad
# v=\frac{2}{n_{\text{in}}+n_{\text{out}}}\ \Rightarrow\
# r=\sqrt{\frac{6}{n_{\text{in}}+n_{\text{out}}}} .$$
#
# **He** (2015). A ReLU throws away half. If $y_{l-1}$ is symmetric about zero, with slope
# $\alpha$ on the negative side (PReLU; $\alpha=0$ for ReLU),
#
# $$\mathbb E[x_l^2]=\tfrac12(1+\alpha^2)\operatorname{Var}[y_{l-1}]
# \quad\Rightarrow\quad v=\frac{2}{(1+\alpha^2)\,n_{\text{in}}}.$$
#
# **Logistic.** $\operatorname{sig}(y)\approx\frac12+\frac y4$: a slope of $\operatorname{sig}'(0)
# =\frac14$ takes a factor $\frac1{16}$ from the variance, so give it back, $v=16\cdot\frac2
# {n_{\text{in}}+n_{\text{out}}}$. All are $v=g^2/n$ with a **gain** $g$. The lecture's summary, the
# *table of gains*, with $n_+=n_{\text{in}}+n_{\text{out}}$:
#
# | activation | rule | $r$ | $v$ | gain $g$ |
# |---|---|---|---|---|
# | logistic | Xavier, slope $\frac14$ | $4\sqrt{6/n_+}$ | $16\cdot2/n_+$ | 4 |
# | tanh, linear | Xavier | $\sqrt{6/n_+}$ | $2/n_+$ | 1 |
# | ReLU | He | $\sqrt{6/n_{\text{in}}}$ | $2/n_{\text{in}}$ | $\sqrt2$ |
# | PReLU | He | $g\sqrt{3/n_{\text{in}}}$ | $g^2/n_{\text{in}}$ | $\sqrt{2/(1+\alpha^2)}$ |
#
# The lecture's listings and the paper by He et al. call $v=1/n_{\text{in}}$ Xavier as well. So does
# this notebook where a net of the lecture is meant (ten layers, 22 and 30 layers, six starts);
# `xavier_variance` and the convolutional net use the compromise. In a convolution one output sums
# over $n_{\text{in}}=C_{\text{in}}k^2$ inputs, and one input feeds $n_{\text{out}}=C_{\text{out}}
# k^2$ outputs.
#
# ## Build it: Xavier and He


# %%
def fans(shape):
    """Return (n_in, n_out) of a weight in torch's layout (out, in, *kernel)."""
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel


def xavier_variance(shape, gain=1.0):
    """Return the compromise between the forward and the backward condition."""
    n_in, n_out = fans(shape)
    return gain**2 * 2 / (n_in + n_out)


def he_variance(shape, slope=0.0, mode="fan_in"):
    """Return 2 / ((1 + slope^2) n), n the fan that is to keep its signal."""
    n = fans(shape)[0 if mode == "fan_in" else 1]
    return 2 / ((1 + slope**2) * n)


GAINS = {"linear": 1.0, "tanh": 1.0, "relu": math.sqrt(2), "logistic": 4.0}

# %% [markdown]
# ## Check it: Xavier and He
#
# Number for number against torch, for a dense layer, a two-dimensional and a one-dimensional
# convolution of odd sizes, both distributions, both fans and slopes other than zero.


# %%
def all_shapes(draw):
    """Return the numbers that draw gives for three odd shapes, in one row."""
    return torch.cat([draw(shape).flatten() for shape in ((37, 53), (7, 5, 3, 3), (11, 6, 5))])


def all_torch(init, **options):
    """Return the numbers that a function of nn.init gives for the three shapes, in one row."""
    return all_shapes(
        lambda shape: init(torch.empty(shape, dtype=F64), generator=seeded(6), **options)
    )


ours = all_shapes(lambda s: uniform(s, half_width(xavier_variance(s, 1.7)), seeded(6)))
theirs = all_torch(nn.init.xavier_uniform_, gain=1.7)
ledger.check_close(110, "xavier_uniform_, gain 1.7", ours, theirs)
ours = all_shapes(lambda s: gaussian(s, math.sqrt(xavier_variance(s, 0.6)), seeded(6)))
ledger.check_close(110, "xavier_normal_", ours, all_torch(nn.init.xavier_normal_, gain=0.6))
for row, slope in ((111, 0.0), (112, 0.37)):
    for mode in ("fan_in", "fan_out"):
        ours = all_shapes(
            lambda s, a=slope, m=mode: gaussian(s, math.sqrt(he_variance(s, a, m)), seeded(6))
        )
        theirs = all_torch(nn.init.kaiming_normal_, a=slope, mode=mode)
        ledger.check_close(row, f"kaiming_normal_, a = {slope}, {mode}", ours, theirs)

# %% [markdown]
# Then the table of gains, as the lecture has it: $r$ and $v$ for 37 inputs and 53 outputs, and the
# gain as one over the slope at zero. torch's `calculate_gain` differs: see what it prints.

# %%
for name, function, times_larger in (("logistic", special.expit, 4), ("tanh", np.tanh, 1)):
    v = xavier_variance((53, 37), GAINS[name])
    table_row = [times_larger * math.sqrt(6 / 90), times_larger**2 * 2 / 90]
    ledger.check_close(110, f"table, {name}: r and v", [half_width(v), v], table_row)
    slope = (function(1e-4) - function(-1e-4)) / 2e-4
    ledger.check_close(110, f"gain of {name} = 1 / slope", 1 / GAINS[name], slope, tolerance=1e-7)
v = he_variance((53, 37))
ledger.check_close(111, "table, ReLU: r and v", [half_width(v), v], [math.sqrt(6 / 37), 2 / 37])
ledger.check_close(111, "gain of ReLU", GAINS["relu"], nn.init.calculate_gain("relu"))
print({name: round(nn.init.calculate_gain(name), 3) for name in ("sigmoid", "tanh")})

# %% [markdown]
# torch's gain is 1 for the logistic function, which leaves its slope out, and $\frac53$ for tanh,
# which pays for the bend. Do the formulas agree with the world? Send a signal of mean square 3
# through one layer with a slope of $\alpha$. The exact $\mathbb E[\phi(y)^2]$ and $\mathbb E
# [\phi'(y)^2]$ for Gaussian $y$ come from numerical integration, independent of the derivation; the
# measured variance of the next sums from a layer 300 wide.


# %%
def gaussian_mean(function, q):
    """Return E[function(y)] for y of mean 0 and variance q, by integration."""
    z = np.linspace(-9, 9, 36001)  # the kink of ReLU lies on the grid
    return np.trapezoid(function(math.sqrt(q) * z) * stats.norm.pdf(z), z)


def prelu(y, slope):
    """Return y above zero and slope * y below."""
    return np.where(y > 0, y, slope * y)


for slope in (0.0, 0.25, 1.0, -0.5):
    row = 111 if slope == 0 else 112
    exact = gaussian_mean(lambda y, slope=slope: prelu(y, slope) ** 2, 3.0)
    half = (1 + slope**2) / 2
    ledger.check_close(row, f"E[x^2] at slope {slope}", half * 3.0, exact, tolerance=1e-6)
    exact = gaussian_mean(
        lambda y, slope=slope: np.heaviside(y, 0.5) + slope**2 * np.heaviside(-y, 0.5), 3.0
    )
    ledger.check_close(row, f"E[slope^2] at slope {slope}", half, exact, tolerance=1e-6)
    x = prelu(gaussian((2000, 300), math.sqrt(3.0), seeded(9)), slope)
    W = gaussian((300, 200), math.sqrt(he_variance((200, 300), slope)), seeded(10))
    out = (torch.as_tensor(x) @ W).var()
    ledger.check_close(
        row, f"variance after the layer, slope {slope}", out, 3.0, kind="metric", tolerance=0.05
    )

# %% [markdown]
# At slope 1 PReLU is the identity and He's variance becomes $1/n_{\text{in}}$, Xavier's forward
# condition. The expectation for the way back, $\mathbb E[\phi'(y)^2]=\frac12(1+\alpha^2)$, is the
# same number: with He's variance activations *and* gradients keep their size where widths are
# equal.
#
# ## Build it: the lecture's ten layers
#
# A thousand inputs of 500 standard normal numbers, ten layers of 500 units, no training: what
# are mean and standard deviation of the activations after each layer? The lecture prints the
# answer for five choices. **Predict** what you will see in the tenth layer for `0.01 * randn` with
# tanh: every layer multiplies the standard deviation by $\sqrt{500}\cdot0.01$, or a little less.


# %%
def relu(y):
    """Return max(y, 0)."""
    return y.clamp(min=0)


LECTURE_NETS = {  # name: activation, standard deviation of the weights for n inputs
    "0.01, tanh": (torch.tanh, lambda n_in, n_out: 0.01),
    "1, tanh": (torch.tanh, lambda n_in, n_out: 1.0),
    "Xavier, tanh": (torch.tanh, lambda n_in, n_out: 1 / math.sqrt(n_in)),
    "Xavier, ReLU": (relu, lambda n_in, n_out: 1 / math.sqrt(n_in)),
    "He, ReLU": (relu, lambda n_in, n_out: math.sqrt(2 / n_in)),
}


def ten_layers(activation, std_of, seed):
    """Return mean and standard deviation after each of ten layers of 500, (10, 2)."""
    x = torch.randn(1000, 500, generator=torch.Generator().manual_seed(1000 + seed))
    rows = []
    for W in draw_layers([500] * 11, std_of, seed):
        x = activation(x @ W)
        rows.append((x.mean(), x.std(correction=0)))
    return torch.tensor(rows, dtype=F64)


# %%
measured = {
    name: torch.stack([ten_layers(*net, seed) for seed in range(12)])
    for name, net in LECTURE_NETS.items()
}  # (seed, layer, mean or std)

# %% [markdown]
# ## Check it: the lecture's ten layers
#
# First without the lecture: in a wide net $y_l$ is Gaussian with variance $q_l$, and
# $q_{l+1}=n\,v\,\mathbb E[\phi(y_l)^2]$, so the whole table follows from ten integrals and no
# random number at all.


# %%
def predicted_table(activation, std, n=500, depth=10):
    """Return mean and standard deviation after each layer of an infinitely wide net."""
    q, rows = n * std**2, []
    for _ in range(depth):
        mean = gaussian_mean(activation, q)
        square = gaussian_mean(lambda y: activation(y) ** 2, q)
        rows.append((mean, math.sqrt(square - mean**2)))
        q = n * std**2 * square
    return torch.tensor(rows, dtype=F64)


predicted = {
    name: predicted_table(np.tanh if "tanh" in name else lambda y: prelu(y, 0.0), std_of(500, 500))
    for name, (_, std_of) in LECTURE_NETS.items()
}
ROWS = {
    "0.01, tanh": 108,
    "1, tanh": 108,
    "Xavier, tanh": 110,
    "Xavier, ReLU": 110,
    "He, ReLU": 111,
}
for name, runs in measured.items():
    mean, std = runs.mean(dim=0).unbind(dim=1)
    exact_mean, exact_std = predicted[name].unbind(dim=1)
    row, ones = ROWS[name], torch.ones(10, dtype=F64)
    ledger.check_close(row, f"{name}: std over integral", std / exact_std, ones, tolerance=0.06)
    away = (mean - exact_mean) / exact_std
    ledger.check_close(row, f"{name}: mean, in units of the std", away, 0 * ones, tolerance=0.06)

# %% [markdown]
# Now the table as printed in the lecture (of the first column the first line is lost). One run
# differs from the next, so each printed number is held against the spread of our twelve runs: how
# many standard deviations, that of a single run about their mean, is it away? Of a hundred numbers
# one or two may lie beyond 2.5; the bound is 3.5.

# %%
PRINTED = """
nan     nan  -.000430 .981879   .001198 .627953   .398623 .582273   .562488 .825232
-.000001 .047551  -.000849 .981649  -.000175 .486051   .272352 .403795   .553614 .827835
-.000002 .010630   .000566 .981601   .000055 .407723   .186076 .276912   .545867 .813855
.000001 .002378   .000483 .981755  -.000306 .357108   .136442 .198685   .565396 .826902
.000002 .000532  -.000682 .981614   .000142 .320917   .099568 .140299   .547678 .834092
-.0 .000119  -.000401 .981560  -.000389 .292116   .072234 .103280   .587103 .860035
.0 .000026  -.000237 .981520  -.000228 .273387   .049775 .072748   .596867 .870610
-.0 .000006  -.000448 .981913  -.000291 .254935   .035138 .051572   .623214 .889348
.0 .000001  -.000899 .981728   .000361 .239266   .025404 .038583   .567498 .845357
-.0 .000000   .000584 .981736   .000139 .228008   .018408 .026076   .552531 .844523
"""  # ten layers; mean and standard deviation for each of the five nets, in the order above
table = torch.tensor([float(number) for number in PRINTED.split()], dtype=F64).view(10, 5, 2)
printed = dict(zip(LECTURE_NETS, table.unbind(dim=1), strict=True))  # name: (layer, mean or std)


# %%
def distance_in_std(numbers, runs):
    """Return how far the printed numbers lie from the runs, in standard deviations of one run."""
    known = ~numbers.isnan()
    rounding = 5e-7  # six decimals
    away = ((numbers - runs.mean(dim=0)).abs() - rounding).clamp(min=0)
    spread = runs.std(dim=0) * math.sqrt(1 + 1 / len(runs))
    return (away / spread)[known]


print("std, layer" + "".join(f"{name:>20s}" for name in printed))
print("          " + "     printed    ours " * 5)
for layer in range(10):
    ours = [measured[name][:, layer, 1].mean() for name in printed]
    cells = [
        f"{printed[name][layer, 1]:12.6f}" + (f"{std:8.4f}" if std > 1e-3 else f"{std:8.0e}")
        for name, std in zip(printed, ours, strict=True)
    ]
    print(f"       {layer + 1:2d} " + "".join(cells))
for name, numbers in printed.items():
    away = distance_in_std(numbers, measured[name])
    ledger.check_at_most(
        ROWS[name], f"{name}: printed table, worst distance (std)", away.max(), 3.5
    )

# %% [markdown]
# Ours is the mean of twelve runs. All five columns are reproduced. Read them: 0.01 shrinks by
# $0.01\sqrt{500}$ at every layer until nothing is left; 1 drives every unit to $\pm1$, where
# $\tanh'$ is nearly zero; Xavier holds for tanh, though it sinks slowly, since tanh bends; the same
# Xavier with ReLU halves the mean square at each layer; He holds it.

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8))
layer_numbers = torch.arange(1, 11)
for (name, runs), marker in zip(measured.items(), MARKERS, strict=True):
    axs[0].semilogy(
        layer_numbers, runs[:, :, 1].mean(dim=0), marker=marker, markersize=4, label=name
    )
for exact in predicted.values():
    axs[0].semilogy(layer_numbers, exact[:, 1], color="black", linewidth=0.6, linestyle="-")
axs[0].set(xlabel="layer", ylabel="std of activations (log scale)")
for name, colour in (("1, tanh", "vermilion"), ("Xavier, tanh", "green")):
    activation, std_of = LECTURE_NETS[name]
    x = torch.randn(200, 500, generator=seeded(0))
    for W in draw_layers([500] * 11, std_of, 0):
        x = activation(x @ W)
    axs[1].hist(x.flatten().numpy(), bins=40, histtype="step", color=PALETTE[colour], label=name)
axs[1].set(xlabel="activation in layer 10", ylabel="count (log scale)", yscale="log")
axs[0].legend(fontsize=8)
axs[1].legend(fontsize=8)
show(
    fig,
    alt="Left: standard deviation by layer; 0.01 falls on a straight line below one millionth, "
    "Xavier with ReLU falls more slowly and with tanh sinks a little, 1 with tanh and He with ReLU "
    "stay level. Right: scale 1 piles up at plus and minus one.",
)

# %% [markdown]
# *Figure 2. Left: standard deviation of the activations after each of ten layers, mean of twelve
# runs (marks) and the integrals for infinite width (thin black lines through them). Right:
# activations of the tenth layer; with scale 1 they sit at the ends, where tanh has no slope.*
#
# ### The line that explodes
#
# The lecture's listing for He reads `np.random.randn(fan_in, fan_out) / np.sqrt(2/fan_in)`. Its
# printed statistics cannot have come from that. **Predict** the standard deviation after ten
# layers: the variance is now $n/2$ instead of $2/n$.


# %%
def std_as_printed(n_in, n_out):
    """Return 1 / sqrt(2 / fan_in), the factor in the lecture's listing."""
    return 1 / math.sqrt(2 / n_in)


exploded = ten_layers(relu, std_as_printed, seed=0)
print("as printed:", " ".join(f"{std:.0e}" for std in exploded[:, 1]))
with ledger.refuses(111, "randn / sqrt(2/fan_in) gives the lecture's table"):
    ledger.check_close(111, "as printed", exploded, printed["He, ReLU"], tolerance=0.2)
growth = (exploded[1:, 1] / exploded[:-1, 1]).log().mean().exp()
ledger.check_close(111, "as printed: factor a layer is n / 2", growth, 500 / 2, tolerance=0.1)
mended = ten_layers(relu, lambda n_in, n_out: math.sqrt(2 / n_in), seed=0)
ledger.check_close(111, "mended: * sqrt(2/fan_in)", mended, printed["He, ReLU"], tolerance=0.2)

# %% [markdown]
# A factor of 250 at each layer. The mended line multiplies by $\sqrt{2/n_{\text{in}}}$, or
# divides by $\sqrt{n_{\text{in}}/2}$.

# %% [markdown]
# ## Try it: does the logistic row keep its promise?
#
# The gain 4 undoes the slope $\frac14$, and nothing undoes the offset $\frac12$: the inputs of
# the next layer have $\mathbb E[x^2]\ge\frac14$ however small the signal is. **Predict** the
# variance of the sums behind one layer with $v=16/n$, if the sums before it are tiny.
#
# The integrals answer for square layers of infinite width. Besides $q_l$ they give the factor by
# which the mean square of a gradient changes in one layer, $n\,v\,\mathbb E[\phi'(y)^2]$.


# %%
def settle(activation, slope, variance_times_n, num_layers=60):
    """Return q and the factor of a squared gradient in a layer, far down a deep net."""
    q = 1.0
    for _ in range(num_layers):
        q = variance_times_n * gaussian_mean(lambda y: activation(y) ** 2, q)
    return q, variance_times_n * gaussian_mean(lambda y: slope(y) ** 2, q)


def logistic_slope(y):
    """Return the derivative of the logistic function."""
    return special.expit(y) * special.expit(-y)


one_layer = 16 * gaussian_mean(lambda y: special.expit(y) ** 2, 1e-9)
print(f"tiny sums, gain 4: Var[y] behind the next layer {one_layer:.2f}")
for name, activation in (
    ("gain 1", special.expit),
    ("gain 4", special.expit),
    ("gain 4, centred", lambda y: special.expit(y) - 0.5),
):
    q, factor = settle(activation, logistic_slope, 1.0 if name == "gain 1" else 16.0)
    print(f"{name:15s} after 60 layers: Var[y] {q:.3f}, squared gradient x {factor:.3f} a layer")

# %% [markdown]
# With gain 4 the sums settle far out, where the slope is well below $\frac14$: the gradient
# shrinks at every layer, though much less than with gain 1. So the logistic row of the table of
# gains does not do what its derivation says for the function as it is. The *centred* function,
# $\operatorname{sig}(y)-\frac12=\frac12\tanh\frac y2$, does what the derivation says near zero:
# $4W\cdot\frac12\tanh\frac y2=2W\tanh\frac y2$, so half the sum goes through a tanh net with
# Xavier, exactly, and sinks as slowly. Check all of it on nets 400 wide, the gradient by autograd.

# %%
_, factor_1 = settle(special.expit, logistic_slope, 1.0)
q_4, factor_4 = settle(special.expit, logistic_slope, 16.0)
with ledger.refuses(110, "logistic with gain 4 keeps the gradient"):
    ledger.check_close(110, "factor", factor_4, 1.0, kind="metric", tolerance=0.2)
ledger.check_at_least(110, "logistic: gain 4 over gain 1, gradient factor", factor_4 / factor_1, 2)
square = [
    gaussian((400, 400), xavier_variance((400, 400)) ** 0.5, seeded(21 + k)) for k in range(12)
]
tanh_sums = gaussian((300, 400), 1.0, seeded(20))
centred_sums, x, sums = 2 * tanh_sums, (tanh_sums / 4).requires_grad_(), []
for W in square:
    tanh_sums = torch.tanh(tanh_sums) @ W
    centred_sums = (torch.sigmoid(centred_sums) - 0.5) @ (GAINS["logistic"] * W)
    sums.append(x @ (GAINS["logistic"] * W))
    x = torch.sigmoid(sums[-1])
ledger.check_close(110, "centred logistic = tanh with Xavier", centred_sums / 2, tanh_sums)
spread = sums[-1].square().mean() / q_4
ledger.check_close(110, "Var[y], gain 4, over its limit", spread, 1.0, kind="metric", tolerance=0.1)
readout = (x @ gaussian((400, 1), 1.0, seeded(1))).sum()
squares = [grad.square().mean() for grad in torch.autograd.grad(readout, sums)]
ratio_seen = (squares[2] / squares[9]) ** (1 / 7) / factor_4
ledger.check_close(
    110, "gradient factor, gain 4, over theory", ratio_seen, 1.0, kind="metric", tolerance=0.1
)

# %% [markdown]
# ## Build it: which fan?
#
# Widths that change from layer to layer cannot keep both directions. A deep linear net shows it
# without the help or harm of an activation: forward mean square and backward mean square at each
# layer, for the three choices of $n$. The exact answer is a product of $n_{\text{in}}v$, or
# $n_{\text{out}}v$, over the layers passed.

# %%
WIDTHS = (300, 100, 400, 150, 450, 200)
FAN_RULES = {
    "fan_in": lambda n_in, n_out: n_in**-0.5,
    "fan_out": lambda n_in, n_out: n_out**-0.5,
    "compromise": lambda n_in, n_out: xavier_variance((n_out, n_in)) ** 0.5,
}


def mean_squares(std_of, seed, num_samples=400):
    """Return the mean square of the signal and of its gradient after each linear layer."""
    weights = draw_layers(WIDTHS, std_of, seed)
    x = torch.randn(num_samples, WIDTHS[0], generator=seeded(500 + seed))
    delta = torch.randn(num_samples, WIDTHS[-1], generator=seeded(900 + seed))
    forward, backward = [], []
    for W in weights:
        x = x @ W
        forward.append(x.square().mean())
    for W in reversed(weights):
        delta = delta @ W.T
        backward.append(delta.square().mean())
    return torch.tensor([forward, backward[::-1]])  # backward[k]: at the input of layer k


# %% [markdown]
# ## Check it: which fan?
#
# Simulation, with its own draws for each rule, against the products.

# %%
for rule, (name, std_of) in enumerate(FAN_RULES.items()):
    seeds = range(12 * rule, 12 * rule + 12)
    simulated = torch.stack([mean_squares(std_of, seed) for seed in seeds]).mean(dim=0)
    variances = [std_of(n_in, n_out) ** 2 for n_in, n_out in pairwise(WIDTHS)]
    forward = np.cumprod(np.multiply(WIDTHS[:-1], variances))
    backward = np.cumprod(np.multiply(WIDTHS[1:], variances)[::-1])[::-1]
    print(f"{name:11s} forward {np.round(forward, 2)}  backward {np.round(backward, 2)}")
    over = simulated / torch.tensor(np.stack([forward, backward]))
    title = f"{name}: signal and gradient over the products"
    ledger.check_close(110, title, over, torch.ones(2, 5), kind="metric", tolerance=0.12)
first_variance = FAN_RULES["compromise"](300, 100) ** 2
ledger.check_close(110, "compromise, 300 to 100: variance", first_variance, 2 / 400)

# %% [markdown]
# With `fan_in` the signal is steady and the gradient ends with the factor $n_{\text{last}}/
# n_{\text{first}}$, whatever lies between: the product telescopes. He et al. (2015) conclude from
# this that either fan will do. The compromise divides the error of each single layer between the
# two directions; it does not telescope, so over five layers it loses in both (0.60 and 0.40).
#
# ## Try it: 22 layers and 30 layers
#
# He et al. (2015, figures 2 and 3, on the slide) train convolutional nets of 22 and 30 layers
# with $\frac n2v=1$ (theirs) and $nv=1$ (Xavier): at 22 both converge, theirs sooner; at 30
# Xavier stalls. Here: ReLU nets of width 48 on Fashion-MNIST with 22 and 30 layers, and with 8 to
# compare; five learning rates for each rule, three seeds, 200 steps. **Predict** the size of the
# signal in the last layer of the 30, for Xavier.

# %%
RATES = (0.003, 0.01, 0.03, 0.1, 0.3)
HE_AND_XAVIER = {"He": LECTURE_NETS["He, ReLU"][1], "Xavier": LECTURE_NETS["Xavier, ReLU"][1]}


def race_depth(depth):
    """Return the losses (rule, rate, seed, step) of ReLU nets of this many layers."""
    widths = [784] + [48] * (depth - 1) + [10]
    weights = stack_runs(
        [
            draw_layers(widths, std_of, seed)
            for std_of in HE_AND_XAVIER.values()
            for _ in RATES
            for seed in range(3)
        ]
    )
    rates = [lr for _ in HE_AND_XAVIER for lr in RATES for _ in range(3)]
    samples = (X_FASHION, Y_FASHION)
    losses = train_stack(weights, zero_biases(weights), rates, torch.relu, samples, 200)
    return losses.view(2, len(RATES), 3, -1)


depth_losses = {depth: race_depth(depth) for depth in (8, 22, 30)}

# %%
best_runs = {}  # (depth, rule): (seed, step) at the rate with the lowest mean final loss
for depth, losses in depth_losses.items():
    final = losses[..., -20:].mean(dim=3).nan_to_num(math.inf)  # (rule, rate, seed)
    for rule, (name, by_rate) in enumerate(zip(HE_AND_XAVIER, final, strict=True)):
        chosen = by_rate.mean(dim=1).argmin()
        best_runs[depth, name] = losses[rule, chosen]
        text = " ".join(f"{value:.3f}" for value in by_rate[chosen])
        print(f"{depth:2d} layers, {name:6s} lr {RATES[chosen]:<5} final loss (nats) {text}")
end = {key: runs[:, -20:].mean(dim=1) for key, runs in best_runs.items()}
ledger.check_at_least(
    111,
    "30 layers: Xavier's best behind He's worst (nats)",
    end[30, "Xavier"].min() - end[30, "He"].max(),
    0.3,
)
ledger.check_at_least(
    111, "22 layers: the same (nats)", end[22, "Xavier"].min() - end[22, "He"].max(), 0.3
)
gap = {depth: end[depth, "Xavier"].mean() - end[depth, "He"].mean() for depth in depth_losses}
ledger.check_at_most(111, "difference of the means, 8 layers over 22", gap[8] / gap[22], 0.3)

# %%
fig, axs = plt.subplots(1, 3, figsize=(6.6, 2.5), sharey=True)
for ax, depth in zip(axs, depth_losses, strict=True):
    for name in HE_AND_XAVIER:
        smooth = best_runs[depth, name].unfold(1, 10, 5).mean(dim=2)
        at = torch.arange(smooth.shape[1]) * 5 + 5
        (line,) = ax.plot(at, smooth.mean(dim=0), label=name)
        ax.fill_between(
            at, smooth.amin(dim=0), smooth.amax(dim=0), alpha=0.2, color=line.get_color()
        )
    ax.set(xlabel="step", title=f"{depth} layers")
axs[0].set_ylabel("loss (nats)")
axs[0].legend()
show(
    fig,
    alt="Loss against step for nets of 8, 22 and 30 layers: at 8 both rules fall, He first, at 22 "
    "Xavier starts late or hardly, at 30 it stays flat while He falls.",
)

# %% [markdown]
# *Figure 3. Training loss with He's and Xavier's variance, each at the best of five rates; mean
# and range of three seeds, means of ten steps.*
#
# At 8 layers both learn, He a little ahead; at 22 and 30 He learns and Xavier is still at or near
# the start. None of the chosen rates lies at the edge of the grid; Xavier's at 30 layers means
# nothing, since no rate learns. The slide's 22-layer net with Xavier did converge, later; within
# our 200 steps ours
# does not catch up, and we have not looked further. The cause is arithmetic: a factor $\sqrt{1/2}$
# a layer.

# %%
x = X_FASHION[:500]
for W in draw_layers([784] + [48] * 29, HE_AND_XAVIER["Xavier"], seed=0):
    x = relu(x @ W)
print(f"Xavier, ReLU, 29 hidden layers: {math.sqrt(0.5) ** 29:.0e} of the input by formula", end="")
print(f", {x.square().mean().sqrt():.0e} in one net")

# %% [markdown]
# ## The idea in symbols: orthogonal weights
#
# Right on average is not right in every direction. A square Gaussian matrix of variance $1/n$
# stretches some directions by up to 2 and squeezes others to nothing, and in a product these
# factors multiply. A square **orthogonal** (正交) matrix times a gain, $W^\top W=g^2I$, multiplies
# *every* length by $g$. (One that is not square has orthonormal rows or columns, and keeps lengths
# only where it does not narrow.) To draw one evenly, take the QR decomposition of a Gaussian matrix
# and fix the signs (Mezzadri, 2007): QR is unique only if $\operatorname{diag}R>0$, and libraries
# do not choose so.
#
# ## Build it: orthogonal weights


# %%
def orthogonal(shape, generator, gain=1.0, fix_signs=True):
    """Return a matrix with orthonormal columns, or rows if it is wide, times the gain."""
    rows, columns = shape[0], math.prod(shape[1:])
    tall = torch.randn(rows, columns, generator=generator, dtype=F64)
    tall = tall if rows >= columns else tall.T
    Q, R = torch.linalg.qr(tall)
    if fix_signs:
        Q = Q * R.diagonal().sign()
    return gain * (Q if rows >= columns else Q.T).reshape(shape)


# %% [markdown]
# ## Check it: orthogonal weights
#
# Against torch, number for number, tall, wide and convolutional; the property itself; and the
# signs: evenly drawn orthogonal matrices have $\mathbb E[Q_{11}]=0$. Over 400 small ones the mean
# has a standard error of $1/\sqrt{6\cdot400}$.

# %%
for shape in ((7, 4), (4, 9), (6, 5, 3, 3)):
    ours = orthogonal(shape, seeded(30), gain=1.3)
    theirs = nn.init.orthogonal_(torch.empty(shape, dtype=F64), gain=1.3, generator=seeded(30))
    label = "x".join(map(str, shape))
    ledger.check_close(113, f"orthogonal_, {label}", ours, theirs)
    flat = ours.flatten(1)
    small = flat.T @ flat if shape[0] >= flat.shape[1] else flat @ flat.T
    identity = 1.3**2 * torch.eye(len(small), dtype=F64)
    ledger.check_close(113, f"W'W = g^2 I, {label}", small, identity, kind="invariant")

# %%
sign_bound = 4 / math.sqrt(6 * 400)  # four standard errors of the mean of Q_11
corners = {
    fix: torch.stack(
        [orthogonal((6, 6), seeded(s), fix_signs=fix)[0, 0] for s in range(400)]
    ).mean()
    for fix in (True, False)
}
print({fix: round(mean.item(), 3) for fix, mean in corners.items()})
ledger.check_at_most(113, "mean of Q_11, signs fixed", corners[True].abs(), sign_bound)
with ledger.refuses(113, "QR without the sign fix is evenly drawn"):
    ledger.check_at_most(113, "mean of Q_11, no fix", corners[False].abs(), sign_bound)

# %% [markdown]
# Without the fix the corner leans to one sign: orthogonal still, but not an even draw. Now the
# products of $L$ Gaussian factors of variance $1/n$. The mean of $s^2$ over the singular values
# $s$ stays 1, in expectation. The mean of $s^4$, call it $\kappa$, does not. With $\tau$ the
# expected *square* of the mean of $s^2$, which differs from draw to draw, each further factor gives
#
# $$\kappa\leftarrow\Big(1+\frac1n\Big)\kappa+\tau,\qquad\tau\leftarrow\tau+\frac{2\kappa}{n^2},
# \qquad\kappa_0=\tau_0=1;$$
#
# in a wide net $\kappa=L+1$. With the mean of $s^2$ fixed, this means a few large values and many
# tiny ones.


# %%
def product_spectrum(depth, kind, seed, n=256):
    """Return the singular values of a product of square matrices, largest first."""
    product = torch.eye(n, dtype=F64)
    for layer in range(depth):
        source = seeded(1000 * seed + layer)
        W = (
            orthogonal((n, n), source)
            if kind == "orthogonal"
            else gaussian((n, n), n**-0.5, source)
        )
        product = W @ product
    return torch.linalg.svdvals(product)


def fourth_moment(depth, n):
    """Return the expected mean of s^4 for a product of Gaussian matrices."""
    kappa = tau = 1.0
    for _ in range(depth):
        kappa, tau = (1 + 1 / n) * kappa + tau, tau + 2 * kappa / n**2
    return kappa


def mean_fourth_power(depth, n=64, num_products=200):
    """Return the mean of s^4 over many products; the sum of s^4 is a trace."""
    product = torch.eye(n, dtype=F64)
    for layer in range(depth):
        product = gaussian((num_products, n, n), n**-0.5, seeded(40 + layer)) @ product
    return (product.mT @ product).square().sum(dim=(1, 2)).mean() / n


for depth in (1, 4, 10):
    over_theory = mean_fourth_power(depth) / fourth_moment(depth, 64)
    name = f"Gaussian product of {depth}: mean s^4 over theory"
    ledger.check_close(113, name, over_theory, 1.0, kind="metric", tolerance=0.05)

# %%
spectra = {depth: product_spectrum(depth, "Gaussian", seed=depth) for depth in (1, 4, 10)}
spectra["orthogonal"] = product_spectrum(10, "orthogonal", seed=0)
ledger.check_close(
    113, "orthogonal product of 10: all s", spectra["orthogonal"], torch.ones(256), kind="invariant"
)
squeezed = (spectra[10] < 0.1).double().mean()
ledger.check_at_least(113, "Gaussian product of 10: share of s below 0.1", squeezed, 0.5)

# %%
fig, ax = plt.subplots(figsize=(6.0, 2.7))
for name, values in spectra.items():
    label = "10 orthogonal" if name == "orthogonal" else f"{name} Gaussian"
    ax.semilogy(torch.arange(256) + 1, values.clamp(min=1e-9), label=label)
ax.set(xlabel="singular value, by rank", ylabel="size (log scale)", ylim=(1e-7, 20))
ax.legend(title="product of")
show(
    fig,
    alt="Singular values by rank: ten orthogonal factors stay at 1; products of 1, 4 and 10 "
    "Gaussian factors fall ever more steeply, the last to below one hundred thousandth.",
)

# %% [markdown]
# *Figure 4. Singular values of products of $256\times256$ matrices, cut at $10^{-7}$. One Gaussian
# factor loses few directions; ten factors leave six directions in ten with less than a tenth of
# their length.*
#
# ### What it does to learning: Saxe's exact solution
#
# Saxe et al. write columns: a two-layer *linear* net $\hat z=W_2W_1x$ with white inputs, $\mathbb
# E[xx^\top]=I$, learns the map $\Sigma=\mathbb E[zx^\top]=P\operatorname{diag}(s)Q^\top$ to a
# target $z$. Gradient flow, at unit rate,
#
# $$\dot W_1=W_2^\top(\Sigma-W_2W_1),\qquad\dot W_2=(\Sigma-W_2W_1)W_1^\top ,$$
#
# is nonlinear in the weights although the net is linear. Saxe, McClelland and Ganguli (2013)
# solve it: begin with $W_1,W_2$ aligned with the singular vectors and balanced, each direction
# with the strength $u_0$. Then the directions do not disturb one another, and
#
# $$\dot u=2u\,(s-u)\quad\Rightarrow\quad u(t)=\frac{s\,e^{2st}}{e^{2st}-1+s/u_0}.$$
#
# ## Build it: gradient flow of a linear net


# %%
def flow_derivative(t, flat, Sigma, num_hidden):
    """Return the time derivative of both weight matrices, as one long vector."""
    num_out, num_in = Sigma.shape
    W1 = flat[: num_hidden * num_in].reshape(num_hidden, num_in)
    W2 = flat[num_hidden * num_in :].reshape(num_out, num_hidden)
    error = Sigma - W2 @ W1
    return np.concatenate([(W2.T @ error).ravel(), (error @ W1.T).ravel()])


def flow(W1, W2, Sigma, times):
    """Return the product W2 W1 at the given times, (T, out, in)."""
    start = np.concatenate([W1.ravel(), W2.ravel()])
    solution = integrate.solve_ivp(
        flow_derivative,
        (0, times[-1]),
        start,
        "DOP853",
        times,
        args=(Sigma, len(W1)),
        rtol=1e-10,
        atol=1e-12,
    ).y.T
    split = W1.size
    return np.stack([y[split:].reshape(W2.shape) @ y[:split].reshape(W1.shape) for y in solution])


def saxe_strength(t, s, u_0):
    """Return the strength of one direction at time t."""
    return s * np.exp(2 * s * t) / (np.exp(2 * s * t) - 1 + s / u_0)


# %%
STRENGTHS = np.array([4.0, 2.0, 1.0])
U_0 = 0.002
OUT_AXES = orthogonal((6, 3), seeded(31)).numpy()  # output directions
IN_AXES = orthogonal((5, 3), seeded(32)).numpy()  # input directions
HIDDEN_AXES = orthogonal((4, 3), seeded(33)).numpy()  # hidden directions: any will do
SIGMA = OUT_AXES @ np.diag(STRENGTHS) @ IN_AXES.T
times = np.linspace(0, 6, 121)
aligned = flow(
    math.sqrt(U_0) * HIDDEN_AXES @ IN_AXES.T,
    math.sqrt(U_0) * OUT_AXES @ HIDDEN_AXES.T,
    SIGMA,
    times,
)
strengths = np.stack([np.diag(OUT_AXES.T @ product @ IN_AXES) for product in aligned])  # (T, 3)

# %% [markdown]
# ## Check it: gradient flow of a linear net
#
# The integrated matrices against the closed form; the derivative against central differences of
# the squared error $\frac12\lVert\Sigma-W_2W_1\rVert^2$; and the time at which half of a direction
# is learnt against $\frac1{2s}\ln(\frac s{u_0}-1)$.

# %%
saxe_exact = np.stack([saxe_strength(times, s, U_0) for s in STRENGTHS], axis=1)
ledger.check_close(
    113, "strengths = Saxe's formula", strengths, saxe_exact, kind="trajectory", tolerance=1e-7
)
half_times = [np.interp(s / 2, strengths[:, k], times) for k, s in enumerate(STRENGTHS)]
by_formula = np.log(STRENGTHS / U_0 - 1) / (2 * STRENGTHS)
ledger.check_close(
    113, "half of a direction learnt: time", half_times, by_formula, kind="metric", tolerance=0.05
)
point = gaussian((4 * 5 + 6 * 4,), 0.5, seeded(34)).numpy()


def flow_loss(flat):
    """Return half the squared distance of the product to the target map."""
    return 0.5 * ((SIGMA - flat[20:].reshape(6, 4) @ flat[:20].reshape(4, 5)) ** 2).sum()


ledger.check_gradient(
    113, "flow = minus the gradient", flow_loss, point, -flow_derivative(0.0, point, SIGMA, 4)
)

# %%
random_start = flow(
    gaussian((4, 5), 0.02, seeded(35)).numpy(),
    gaussian((6, 4), 0.02, seeded(36)).numpy(),
    SIGMA,
    times,
)
seen_flow = np.stack([np.diag(OUT_AXES.T @ product @ IN_AXES) for product in random_start])
fig, ax = plt.subplots(figsize=(6.0, 2.8))
for k, (s, colour) in enumerate(zip(STRENGTHS, PALETTE.values(), strict=False)):
    ax.plot(times, saxe_exact[:, k], color=colour, linestyle="-", label=f"s = {s:g}")
    ax.plot(times[::6], strengths[::6, k], "o", color=colour, markersize=4)
    ax.plot(times, seen_flow[:, k], color=colour, linestyle=":")
ax.set(xlabel="time (1 / learning rate)", ylabel="strength u")
ax.legend()
show(
    fig,
    alt="Three S-shaped curves: the strongest direction is learnt first, the weakest last; marks "
    "of the simulation lie on the formula, dotted curves from random weights have the same shape "
    "and come later.",
)

# %% [markdown]
# *Figure 5. Strength of three directions of a linear map while a two-layer linear net learns it:
# closed form (lines), integrated matrices (marks), and small random weights (dotted).*
#
# Each direction waits on a plateau and then rises quickly; strong ones first. The wait is about
# $\frac{1}{2s}\ln\frac{s}{u_0}$: small first weights cost time even in a net with two layers.
# Random small weights are not aligned at first and come later, most of all in the weak direction.
#
# ### Depth for free?
#
# Saxe et al. also found that with orthogonal first weights the number of steps a deep linear net
# needs does not grow with its depth, at the best learning rate for each. Test it: nets of
# $24\times24$ layers that learn an orthogonal map, rates $\eta/L$ with four values of $\eta$,
# three seeds; count the steps until the squared error is a tenth of the target's size. At every
# depth the map must be equally far from the start, or luck decides: take the orthogonal map nearest
# to the product of the first weights, and turn it by a rotation that depends on the seed alone.
# (With Gaussian weights, whose product is not orthogonal, the distance is only similar.)
# (Full-batch gradients with white inputs: no data needed.)


# %%
def draw_square(kind, seed):
    """Return a 24 x 24 matrix, orthogonal or Gaussian of variance 1/24."""
    if kind == "orthogonal":
        return orthogonal((24, 24), seeded(seed)).float()
    return gaussian((24, 24), 24**-0.5, seeded(seed)).float()


def draw_turn(seed, largest_angle=2.8):
    """Return a 24 x 24 rotation whose largest angle is given, in radians."""
    A = gaussian((24, 24), 1.0, seeded(seed))
    A = A - A.T
    return torch.linalg.matrix_exp(largest_angle * A / torch.linalg.matrix_norm(A, 2)).float()


# %%
ETAS = (0.1, 0.3, 1.0, 2.0)


def steps_to_learn(kind, depth, num_steps=200):
    """Return the steps (rate, seed) after which a deep linear net has learnt its map."""
    runs = [(eta, seed) for eta in ETAS for seed in range(3)]
    W = [torch.stack([draw_square(kind, 100 * seed + k) for _, seed in runs]) for k in range(depth)]
    turn = torch.stack([draw_turn(9000 + seed) for _, seed in runs])
    lr = torch.tensor([eta / depth for eta, _ in runs]).view(-1, 1, 1)
    arrived = torch.full((len(runs),), math.inf)
    for step in range(num_steps):
        before = [torch.eye(24).expand_as(turn)]
        for W_k in W:
            before.append(W_k @ before[-1])
        if step == 0:
            U, _, Vh = torch.linalg.svd(before[-1])
            target = turn @ U @ Vh  # U Vh is the orthogonal matrix nearest to the product
        delta = before[-1] - target
        close = delta.square().sum(dim=(1, 2)) < 0.1 * 24
        arrived[close & arrived.isinf()] = step
        for k in reversed(range(depth)):
            W[k], delta = W[k] - lr * (delta @ before[k].mT), W[k].mT @ delta
    return arrived.view(len(ETAS), 3)


# %%
learnt_after = {
    (kind, depth): steps_to_learn(kind, depth)
    for kind in ("orthogonal", "Gaussian")
    for depth in (4, 16, 64)
}
mean_steps = {}  # at the best rate
for (kind, depth), of_rates in learnt_after.items():
    best = of_rates.mean(dim=1).argmin()
    mean_steps[kind, depth] = of_rates[best].mean()
    said = f"lr {ETAS[best]:g} / L, steps {of_rates[best].tolist()}"
    arrives = of_rates[best].isfinite().all()
    print(f"{kind:10s} {depth:2d} layers:", said if arrives else "no rate arrives with all seeds")
growth = {
    depth: mean_steps["orthogonal", 64] / mean_steps["orthogonal", depth] for depth in (4, 16)
}
ledger.check_at_most(113, "orthogonal: steps at 64 layers over 16", growth[16], 1.3)
ledger.check_at_most(113, "orthogonal: steps at 64 layers over 4", growth[4], 2.5)
deep = torch.stack([learnt_after["Gaussian", depth] for depth in (16, 64)])
arrivals = deep.isfinite().sum()
ledger.check_equal(113, "Gaussian, 16 and 64 layers: arrivals", arrivals, 0, kind="metric")

# %% [markdown]
# Steps grow from 4 to 16 layers and then hardly: they saturate. Gaussian weights of the right
# variance arrive within 200 steps at none of the four rates at 16 and 64 layers: right on average,
# wrong in nearly every direction.

# %% [markdown]
# ## The idea in symbols: the walk of the gradient's length
#
# In a net that is not infinitely wide, the length of the back-propagated gradient changes a
# little at each layer, up or down, and the changes multiply. Sussillo and Abbott (2014) look at
# the logarithm, where they add: $\ln\lVert\delta\rVert^2$ makes a **random walk** (随机游走). With
# $v=g^2/n$ and all layers of width $n$, a linear layer multiplies $\lVert\delta\rVert^2$ by
# $\frac{g^2}{n}\chi^2_n$, a ReLU layer by $\frac{g^2}{n}\chi^2_m$ with $m$ active units. Choose $g$
# so that the *mean of the logarithm* is zero, rather than the logarithm of the mean:
#
# $$\text{linear: }g=e^{1/(2n)},\qquad
# \text{ReLU: }g=\sqrt2\,\exp\!\Big(\frac{1.2}{\max(n,6)-2.4}\Big).$$
#
# The first is their approximation, the second their fit to simulations. $\chi^2_m$ is the sum of
# $m$ squared standard normal numbers; exact is $\mathbb E\ln\chi^2_m=\psi(m/2)+\ln2$, with the
# digamma function $\psi=(\ln\Gamma)'$. For ReLU average over $m$, binomial with $p=\frac12$ given
# $m\ge1$. The variance of one step is $\psi'(n/2)\approx2/n$ for a linear layer.
#
# ## Build it: the walk of the gradient's length


# %%
def walk_gain(n, kind):
    """Return Sussillo and Abbott's gain."""
    if kind == "linear":
        return math.exp(1 / (2 * n))
    return math.sqrt(2) * math.exp(1.2 / (max(n, 6) - 2.4))


def log_step(n, kind, gain):
    """Return exact mean and variance of one layer's change of the log squared length."""
    active = np.arange(1, n + 1)
    share = stats.binom.pmf(active, n, 0.5) if kind == "ReLU" else (active == n) * 1.0
    share = share / share.sum()
    log_length = special.digamma(active / 2) + math.log(2)
    mean = share @ log_length
    variance = share @ special.polygamma(1, active / 2) + share @ (log_length - mean) ** 2
    return 2 * math.log(gain) - math.log(n) + mean, variance


# %%
def gradient_walks(n, kind, gain, *, seed, depth=60, num_nets=300):
    """Return ln |delta_l|^2 relative to the top, for many nets at once, (depth + 1, nets)."""
    generator = torch.Generator().manual_seed(seed)
    size = (depth, num_nets, n, n)
    weights = gain / math.sqrt(n) * torch.randn(size, generator=generator)
    x = torch.randn(num_nets, n, 1, generator=generator)
    slopes = []
    for W in weights:
        pre = W @ x
        slopes.append((pre > 0).float() if kind == "ReLU" else torch.ones_like(pre))
        x = pre * slopes[-1]
    delta = slopes[-1] * torch.randn(num_nets, n, 1, generator=generator)
    lengths = [delta.square().sum(dim=(1, 2))]
    for W, slope in zip(reversed(weights[1:]), reversed(slopes[:-1]), strict=True):
        delta = slope * (W.mT @ delta)
        lengths.append(delta.square().sum(dim=(1, 2)))
    return (torch.stack(lengths) / lengths[0]).log()


# %% [markdown]
# ## Check it: the walk of the gradient's length
#
# First whether the nets back-propagate: against autograd. Then how much of the needed correction
# the two gains make, as logarithms, and 300 nets of width 32, with their own draws for each gain,
# against both moments of the walk. The mean must lie within four standard errors. **Predict** the
# sign of the drift for $g=1$ in a linear net, where the mean *square* is kept exactly.

# %%
source = seeded(5)  # the same draws, in the same order, as in gradient_walks
walk_weights = 1.3 / math.sqrt(12) * torch.randn(4, 3, 12, 12, generator=source)
h, sums = torch.randn(3, 12, 1, generator=source), []
for W in walk_weights:
    sums.append((W @ h).requires_grad_())
    h = relu(sums[-1])
top = (h * torch.randn(3, 12, 1, generator=source)).sum()
squares = torch.stack(
    [grad.square().sum(dim=(1, 2)) for grad in torch.autograd.grad(top, sums[::-1])]
)
walk = gradient_walks(12, "ReLU", 1.3, seed=5, depth=4, num_nets=3)
by_autograd = (squares / squares[0]).log()
ledger.check_close(114, "walk = autograd", walk, by_autograd, kind="gradient", tolerance=1e-5)

# %%
for kind, plain in (("linear", 1.0), ("ReLU", math.sqrt(2))):
    for n in (8, 32, 100):
        exact_gain = math.exp(-log_step(n, kind, 1.0)[0] / 2)
        made = math.log(walk_gain(n, kind) / plain) / math.log(exact_gain / plain)
        name = f"{kind}, n = {n}: correction over exact"
        ledger.check_close(114, name, made, 1.0, tolerance=0.09)
ledger.check_equal(114, "ReLU: no gain below n = 6", walk_gain(3, "ReLU"), walk_gain(6, "ReLU"))

# %%
walks = {}
for kind, plain in (("linear", 1.0), ("ReLU", math.sqrt(2))):
    for name, gain in (("plain", plain), ("corrected", walk_gain(32, kind))):
        walks[kind, name] = gradient_walks(32, kind, gain, seed=40 + len(walks))
        mean, variance = log_step(32, kind, gain)
        walk_end = walks[kind, name][-1].double()
        print(f"{kind}, {name}: drift {walk_end.mean():+.2f}, exact {59 * mean:+.2f}")
        away = abs(walk_end.mean() - 59 * mean) / math.sqrt(59 * variance / 300)
        ledger.check_at_most(114, f"{kind}, {name}: drift, standard errors off", away, 4)
        over = walk_end.var() / (59 * variance)
        title = f"{kind}, {name}: variance over theory"
        ledger.check_close(114, title, over, 1.0, kind="metric", tolerance=0.3)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8), sharey=True)
for ax, kind in zip(axs, ("linear", "ReLU"), strict=True):
    for name, colour in (("plain", "vermilion"), ("corrected", "blue")):
        ax.plot(walks[kind, name][:, :8], color=PALETTE[colour], linewidth=0.5, linestyle="-")
        ax.plot(walks[kind, name].mean(dim=1), color=PALETTE[colour], linewidth=3, label=name)
    ax.set(xlabel="layers passed", title=kind)
axs[0].set_ylabel(r"$\ln\|\delta\|^2$, relative to the top")
axs[1].legend(loc="lower left")
show(
    fig,
    alt="Random walks of the log squared gradient length over 60 layers. With the plain gain the "
    "mean drifts down, most for ReLU; with the corrected gain it stays at zero while walks spread.",
)

# %% [markdown]
# *Figure 6. Squared length of the gradient on its way down through nets of width 32, logarithm:
# eight nets each (thin) and the mean of 300 (thick), for the plain gain (1, or $\sqrt2$) and
# Sussillo and Abbott's.*
#
# With the plain gain the drift is negative: the mean of a logarithm lies below the logarithm of the
# mean, so most nets sink while a few large ones keep the mean square. The correction removes the
# drift. It cannot remove the spread, whose variance grows as $2L/n$
# for a linear net: a very deep, narrow net is a lottery under any gain. The remedy is width, or
# skip connections, or normalisation (notebook 06).
#
# ## The idea in symbols: ask the data
#
# A formula needs to know the activation, and the whole path of the signal. A batch of data shows
# what comes out.
#
# **Krähenbühl et al. (2015)**, two stages. *Within* a layer: draw any weights, run the batch, and
# give every unit mean 0 and standard deviation 1 over it, $W_{\cdot i}\leftarrow
# W_{\cdot i}/\sigma_i$, $b_i\leftarrow-\mu_i/\sigma_i$, with $\mu_i,\sigma_i$ the mean and standard
# deviation of $xW_{\cdot i}$, layer by layer. *Between* layers: no layer
# should learn much faster than another. The relative rate of change of layer $k$,
# $C_k^2=\mathbb E\lVert\partial\ell/\partial W_k\rVert^2/\lVert W_k\rVert^2$ for a random linear
# loss $\ell$ of the outputs, is brought to the same value in all layers by scaling weights and
# biases of layer $k$ by $\rho_k$ and the weights after it by $1/\rho_k$, which with ReLU leaves the
# function unchanged.
#
# **LSUV** (Mishkin and Matas, 2015): orthonormal weights, then divide each layer by the standard
# deviation of its outputs, repeated until the variance is 1 to within a tolerance.
#
# ## Build it: data-dependent weights


# %%
def within_layers(weights, x, activation=relu):
    """Return weights and biases with which every unit has mean 0 and variance 1 on the batch."""
    scaled, biases = [], []
    for W in weights:
        pre = x @ W
        mean, std = pre.mean(dim=0), pre.std(dim=0, correction=0)
        scaled.append(W / std)
        biases.append(-mean / std)
        x = activation(pre / std - mean / std)
    return scaled, biases


def layer_signals(weights, biases, x):
    """Return the input of each layer, and the outputs of the net last."""
    signals = [x]
    for W, b in zip(weights, biases, strict=True):
        signals.append((relu(signals[-1]) if len(signals) > 1 else x) @ W + b)
    return signals


# %%
def change_rates(weights, biases, x, direction):
    """Return C_k^2 of every layer for the loss `direction . output`, averaged over samples."""
    signals = layer_signals(weights, biases, x)
    delta, rates = direction.expand(len(x), -1), []
    for k in reversed(range(len(weights))):
        inputs = relu(signals[k]) if k else x
        # The gradient of one sample is an outer product: its square norm is a product.
        square = (inputs.square().sum(dim=1) * delta.square().sum(dim=1)).mean()
        rates.append(square / weights[k].square().sum())
        delta = (delta @ weights[k].T) * (signals[k] > 0)
    return torch.stack(rates[::-1])


def balance(weights, biases, x, direction, num_rounds=40):
    """Return weights and biases with equal change rates that compute the same function."""
    weights, biases = list(weights), list(biases)
    for _ in range(num_rounds):
        rates = change_rates(weights, biases, x, direction)
        for k, rate in enumerate(rates[:-1]):
            rho = (rate / rates.log().mean().exp()) ** 0.125  # damped
            weights[k], biases[k] = rho * weights[k], rho * biases[k]
            weights[k + 1] = weights[k + 1] / rho
    return weights, biases


# %%
def lsuv(weights, x, activation, *, tolerance=1e-3, max_rounds=10):
    """Return weights whose layers have output variance 1, and the rounds each layer took."""
    scaled, rounds = [], []
    for W in weights:
        count = 0
        while abs((x @ W).var(correction=0) - 1) > tolerance and count < max_rounds:
            W, count = W / (x @ W).std(correction=0), count + 1
        x = activation(x @ W)
        scaled.append(W)
        rounds.append(count)
    return scaled, rounds


# %% [markdown]
# ## Check it: data-dependent weights
#
# Within layers: on the same batch the net must compute what torch's *batch normalisation*, put
# behind every untouched layer, computes. Between layers: the rates against per-sample gradients
# by `torch.func`; then equal rates, and an unchanged function.

# %%
BATCH = X_FASHION[:300].double()
sizes = (784, 60, 35, 50, 10)
raw = [gaussian(pair, 1.0, seeded(60 + k)) for k, pair in enumerate(pairwise(sizes))]
data_weights, data_biases = within_layers(raw, BATCH)
logits = layer_signals(data_weights, data_biases, BATCH)[-1]
reference = BATCH
for k, W in enumerate(raw):
    inputs = relu(reference) if k else reference
    reference = batch_norm(inputs @ W, None, None, training=True, eps=1e-14)
ledger.check_close(115, "within layers = batch normalisation", logits, reference)

# %%
DIRECTION = gaussian((10,), 1.0, seeded(70))


def one_loss(weights, biases, x):
    """Return the random linear loss of one sample."""
    return layer_signals(weights, biases, x)[-1] @ DIRECTION


per_sample = torch.func.vmap(torch.func.grad(one_loss), (None, None, 0))(
    data_weights, data_biases, BATCH[:40]
)
by_autograd = torch.stack(
    [
        G.square().sum(dim=(1, 2)).mean() / W.square().sum()
        for G, W in zip(per_sample, data_weights, strict=True)
    ]
)
rates_before = change_rates(data_weights, data_biases, BATCH[:40], DIRECTION)
ledger.check_close(115, "change rates: per-sample gradients", rates_before, by_autograd)

# %%
balanced = balance(data_weights, data_biases, BATCH, DIRECTION)
before = change_rates(data_weights, data_biases, BATCH, DIRECTION)
after = change_rates(*balanced, BATCH, DIRECTION)
print("C^2 before", [f"{rate:.2g}" for rate in before], " after", [f"{rate:.2g}" for rate in after])
ledger.check_close(
    115,
    "between layers: rates over their mean",
    after / after.mean(),
    torch.ones(4),
    kind="metric",
    tolerance=1e-3,
)
ledger.check_close(
    115,
    "between layers: same function",
    layer_signals(*balanced, BATCH)[-1],
    logits,
    kind="invariant",
)

# %% [markdown]
# LSUV. With ReLU, which commutes with positive factors, all scales follow from *one* pass through
# the orthonormal net: layer $k$ is divided by the ratio of its standard deviation to that of the
# layer before. That is a second route. For tanh there is none, so recompute the variances.

# %%
orthonormal = [orthogonal(pair, seeded(80 + k)) for k, pair in enumerate(pairwise(sizes))]
x, raw_std = BATCH.numpy(), [1.0]
for W in orthonormal:
    raw_std.append((x @ W.numpy()).std())
    x = np.maximum(x @ W.numpy(), 0)
one_pass = [W * a / b for W, (a, b) in zip(orthonormal, pairwise(raw_std), strict=True)]
lsuv_relu, rounds = lsuv(orthonormal, BATCH, relu)
for k, (W, expected) in enumerate(zip(lsuv_relu, one_pass, strict=True)):
    ledger.check_close(116, f"LSUV, ReLU, layer {k + 1} = one pass", W, expected)
lsuv_tanh, _ = lsuv(orthonormal, BATCH, torch.tanh)
x, variances = BATCH.numpy(), []
for W in lsuv_tanh:
    variances.append((x @ W.numpy()).var())
    x = np.tanh(x @ W.numpy())
ledger.check_close(116, "LSUV, tanh: variances", variances, np.ones(4), kind="invariant")
scale = lsuv_tanh[1].T @ lsuv_tanh[1]
ledger.check_close(
    116, "columns stay orthogonal", scale / scale[0, 0], torch.eye(35), kind="invariant"
)
ledger.check_equal(116, "rounds needed", rounds, [1, 1, 1, 1])

# %% [markdown]
# One round is enough: the variance of a layer without bias is exactly quadratic in its scale. The
# loop in the paper guards against fresh batches and nonlinear blocks.
#
# ## Try it: six starts, two activations
#
# Twelve layers of width 48 on Fashion-MNIST, 120 steps, four rates for each start, three seeds.
# The starts: 0.01; Xavier ($v=1/n_{\text{in}}$); He; orthogonal with gain $\sqrt2$; LSUV; and *data
# mean and std*, the within-layer stage of Krähenbühl et al. (The between-layer stage needs ReLU and
# stays out of the race.) First ReLU, for which a formula exists; then softplus, $\ln(1+e^y)$, for
# which the table of gains has none: it is treated by He's formula as a ReLU would be. Its outputs
# are positive, so each layer passes a large common mean. **Predict** who learns with softplus.

# %%
TWELVE = [784] + [48] * 11 + [10]


def draw_start(name, activation, seed):
    """Return weights and biases of one start."""
    if name in ("0.01", "Xavier", "He"):
        std_of = LECTURE_NETS[
            {"0.01": "0.01, tanh", "Xavier": "Xavier, ReLU", "He": "He, ReLU"}[name]
        ][1]
        weights = draw_layers(TWELVE, std_of, seed)
    elif name == "data mean and std":
        weights = draw_layers(TWELVE, lambda n_in, n_out: 1.0, seed)
    else:
        pairs = enumerate(pairwise(TWELVE))
        weights = [orthogonal(p, seeded(100 * seed + k), math.sqrt(2)).float() for k, p in pairs]
    biases = [torch.zeros(W.shape[1]) for W in weights]
    if name == "LSUV":
        weights, _ = lsuv(weights, X_FASHION[:500], activation)
    if name == "data mean and std":
        weights, biases = within_layers(weights, X_FASHION[:500], activation)
    return weights, [b[None] for b in biases]


# %%
STARTS = ("0.01", "Xavier", "He", "orthogonal", "LSUV", "data mean and std")
START_RATES = (0.01, 0.03, 0.1, 0.3)


def race_starts(activation):
    """Return the loss over the last 20 steps, (start, rate, seed)."""
    runs = [
        draw_start(s, activation, seed) for s in STARTS for _ in START_RATES for seed in range(3)
    ]
    weights = stack_runs([run[0] for run in runs])
    biases = stack_runs([run[1] for run in runs])
    rates = [lr for _ in STARTS for lr in START_RATES for _ in range(3)]
    losses = train_stack(
        weights, biases, rates, activation, (X_FASHION, Y_FASHION), 120, batch_size=48
    )
    return losses[:, -20:].mean(dim=1).view(len(STARTS), -1, 3).nan_to_num(math.inf)


raced = {"ReLU": race_starts(torch.relu), "softplus": race_starts(softplus)}

# %%
at_best = {}  # (activation, start): losses of three seeds at the best rate
for activation, losses in raced.items():
    for name, by_rate in zip(STARTS, losses, strict=True):
        chosen = by_rate.mean(dim=1).argmin()
        at_best[activation, name] = by_rate[chosen]
        text = " ".join(f"{loss:.3f}" for loss in by_rate[chosen])
        print(f"{activation:9s} {name:18s} lr {START_RATES[chosen]:<5} loss (nats) {text}")
mean_loss = {key: losses.mean() for key, losses in at_best.items()}
for name in ("He", "orthogonal", "LSUV"):
    cost = mean_loss["ReLU", "data mean and std"] - mean_loss["ReLU", name]
    row = 116 if name == "LSUV" else 111
    ledger.check_at_least(row, f"ReLU: data mean and std minus {name} (nats)", cost, 0.03)
apart = abs(mean_loss["ReLU", "LSUV"] - mean_loss["ReLU", "orthogonal"])
ledger.check_at_most(116, "ReLU: LSUV and orthogonal apart (nats)", apart, 0.05)
ahead = at_best["softplus", "LSUV"].min() - at_best["softplus", "data mean and std"].max()
ledger.check_at_least(115, "softplus: data mean and std ahead of LSUV (nats)", ahead, 0.5)
ahead = at_best["softplus", "He"].min() - at_best["softplus", "data mean and std"].max()
ledger.check_at_least(115, "softplus: ahead of He (nats)", ahead, 0.1)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.7), sharey=True)
for ax, activation in zip(axs, raced, strict=True):
    for place, name in enumerate(STARTS):
        ax.plot(
            at_best[activation, name], [place] * 3, "o", color=PALETTE["blue"], fillstyle="none"
        )
    ax.axvline(math.log(10), color="0.5", linewidth=1, linestyle="--")
    ax.set(xlabel="loss (nats)", title=activation, xlim=(0.6, 2.5))
axs[0].set_yticks(range(len(STARTS)), STARTS)
axs[0].set_ylabel("first weights")
show(
    fig,
    alt="Loss after 120 steps for six starts. ReLU: He, orthogonal and LSUV lowest, 0.01 at ln 10. "
    "Softplus: data mean and std lowest, LSUV, Xavier and 0.01 at ln 10.",
)

# %% [markdown]
# *Figure 7. Loss over the last 20 of 120 steps, twelve layers, each start at the best of four
# rates; three seeds. Dashed: a guess.*
#
# With ReLU orthogonal weights and LSUV are level and He is a little behind; centring every unit
# costs more. With softplus the order turns: centring wins, at the smallest rate of the grid. LSUV,
# the method that promises unit variance for any activation, learns nothing here. It measures the
# variance over the batch *and* the units together. How much of it is the difference between
# pictures?


# %%
def signal_share(name, activation):
    """Return, per layer, the share of the mean square of y that varies over the batch."""
    weights, biases = draw_start(name, activation, seed=0)
    x, shares = X_FASHION[:500], []
    for W, b in zip(weights, biases, strict=True):
        pre = x @ W + b
        shares.append((pre.var(dim=0, correction=0).mean() / pre.square().mean()).item())
        x = activation(pre)
    return shares


cases = {
    "LSUV, softplus": signal_share("LSUV", softplus),
    "mean and std, softplus": signal_share("data mean and std", softplus),
    "He, softplus": signal_share("He", softplus),
    "LSUV, ReLU": signal_share("LSUV", torch.relu),
}
for name, values in cases.items():
    print(f"{name:22s}", " ".join(f"{share:.0e}" for share in values))
last_share = {name: values[-1] for name, values in cases.items()}
over_lsuv = last_share["He, softplus"] / last_share["LSUV, softplus"]
ledger.check_at_least(116, "softplus: last share, He over LSUV", over_lsuv, 100)
ledger.check_at_least(116, "ReLU, LSUV: last share", last_share["LSUV, ReLU"], 0.05)
ledger.check_close(
    115,
    "mean and std: share of the signal",
    cases["mean and std, softplus"],
    np.ones(12),
    kind="invariant",
    tolerance=1e-4,
)

# %% [markdown]
# In the last layers nearly all of LSUV's unit variance lies *between units*: a constant pattern,
# the same for every picture. Subtracting each unit's mean removes it. The share decides: He's
# formula, with larger weights, keeps over a thousand times more of it than LSUV with softplus, and
# learns. ReLU's outputs have a positive mean as well, but a ReLU switches off where the pattern is
# negative, and the share falls far more slowly.

# %% [markdown]
# ## The idea in symbols: biases
#
# The lecture's rules:
#
# - **0** nearly everywhere: the weights break the symmetry.
# - **Output**: with class shares $\pi$, choose $\operatorname{softmax}(b)=\pi$, that is
#   $b_k=\ln\pi_k+\text{const}$. A net whose other inputs to the softmax are near zero then starts
#   at the entropy of the shares, $H(\pi)=-\sum_k\pi_k\ln\pi_k$, instead of $\ln K$ with $K$
#   classes, and nothing is left for the bias to learn.
# - **ReLU**: 0.1, so that more units are active at the start.
# - **Gate**: a unit $h\in[0,1]$ that others pass through should begin near 1. In the **LSTM**
#   (长短期记忆), notebook 09, the forget gate $f=\operatorname{sig}(\cdot+b_f)$ multiplies the
#   memory once per time step, so after $T$ steps about $\operatorname{sig}(b_f)^T$ is left.
#
# ## Build it: the output bias


# %%
def prior_bias(y, num_classes):
    """Return the logarithm of the class shares."""
    return torch.log(torch.bincount(y, minlength=num_classes) / len(y))


def take_skewed(X, y, shares, seed):
    """Return pictures and labels drawn with the given class shares."""
    classes = torch.multinomial(shares, 2000, replacement=True, generator=seeded(seed))
    rows = torch.empty(2000, dtype=torch.int64)
    for k in range(len(shares)):
        members, wanted = (y == k).nonzero()[:, 0], (classes == k).nonzero()[:, 0]
        rows[wanted] = members[
            torch.randint(len(members), (len(wanted),), generator=seeded(seed + k))
        ]
    return X[rows], y[rows]


SHARES = 0.6 ** torch.arange(10.0)
SHARES = SHARES / SHARES.sum()  # the commonest class has two fifths of the pictures
X_SKEWED, Y_SKEWED = take_skewed(X_FASHION, Y_FASHION, SHARES, seed=0)
output_bias = prior_bias(Y_SKEWED, NUM_CLASSES)

# %% [markdown]
# ## Check it: the output bias
#
# scipy's softmax must give the shares back; with zero output weights the loss must be scipy's
# entropy, and the gradient with respect to the bias exactly zero.

# %%
seen_shares = np.bincount(Y_SKEWED, minlength=10) / len(Y_SKEWED)
ledger.check_close(
    117, "softmax(b) = shares", special.softmax(output_bias.double()), seen_shares, tolerance=1e-6
)
b = output_bias.double().requires_grad_()
start_loss = cross_entropy(b.expand(2000, -1), Y_SKEWED)
ledger.check_close(
    117, "loss at the start = entropy", start_loss, stats.entropy(seen_shares), tolerance=1e-6
)
(bias_grad,) = torch.autograd.grad(start_loss, b)
ledger.check_close(
    117, "gradient of the bias is zero", bias_grad, torch.zeros(10), kind="gradient", tolerance=1e-6
)
uniform_loss = cross_entropy(torch.zeros(2000, 10, dtype=F64), Y_SKEWED)
ledger.check_close(117, "zero bias: ln K", uniform_loss, math.log(10))
print(f"entropy {start_loss:.3f} nats, ln K {math.log(10):.3f} nats")

# %% [markdown]
# ## Try it: the hockey stick
#
# A loss curve with a steep first part and a long flat one, like a hockey stick, has often spent
# its first steps on learning the class shares. One hidden layer, small output weights, five
# seeds, with and without the prior in the bias. **Predict**: how much of the steep part does the
# prior take away, and who is ahead after 60 steps?

# %%
hockey_weights = stack_runs(
    [draw_layers([784, 64, 10], LECTURE_NETS["He, ReLU"][1], s) for s in range(5)] * 2
)
hockey_weights[1] = 0.1 * hockey_weights[1]
hockey_biases = zero_biases(hockey_weights)
hockey_biases[1][5:] = output_bias
hockey = train_stack(
    hockey_weights, hockey_biases, [0.02] * 10, torch.relu, (X_SKEWED, Y_SKEWED), 60, batch_size=100
).view(2, 5, 60)
first, last = hockey[:, :, 0], hockey[:, :, -10:].mean(dim=2)
for name, losses in (("first step", first), ("last ten", last)):
    zero, prior = (f"{runs.mean():.3f} ± {runs.std():.3f}" for runs in losses)
    print(f"{name:10s} bias 0: {zero}, bias = log share: {prior}")
ledger.check_at_least(
    117, "first loss, zero bias minus prior (nats)", (first[0] - first[1]).min(), 0.3
)
fall = hockey[:, :, 0] - hockey[:, :, 10:15].mean(dim=2)  # in the first ten steps or so
print("fall in ten steps, bias 0:", *(f"{x:.2f}" for x in fall[0]), " prior:", end=" ")
print(*(f"{x:.2f}" for x in fall[1]))
ledger.check_at_most(117, "fall in ten steps, prior over zero", (fall[1] / fall[0]).max(), 0.6)
ledger.check_at_most(117, "last ten, apart (nats)", (last[1] - last[0]).abs().max(), 0.1)
behind = (hockey[1] - hockey[0])[:, 10:].mean(dim=1).min()
ledger.check_at_least(117, "prior minus zero from step ten on, every seed (nats)", behind, 0)

# %%
fig, ax = plt.subplots(figsize=(6.0, 2.7))
for name, runs in zip(("bias 0", "bias = log share"), hockey, strict=True):
    (line,) = ax.plot(runs.mean(dim=0), label=name)
    ax.fill_between(
        range(60), runs.amin(dim=0), runs.amax(dim=0), alpha=0.2, color=line.get_color()
    )
ax.axhline(start_loss.item(), color="0.5", linewidth=1, label="entropy of the shares")
ax.set(xlabel="step", ylabel="loss (nats)", ylim=(0, None))
ax.legend(loc="lower left")
show(
    fig,
    alt="Loss against step: with zero output bias it begins at 2.3 nats and falls steeply, with "
    "the prior it begins near the entropy of the class shares; later they nearly run together.",
)

# %% [markdown]
# *Figure 8. Training loss on skewed classes with the output bias at zero and at the logarithm of
# the class shares; mean and range of five seeds.*
#
# The prior takes away more than half of the steep part; the rest is learning. After about ten steps
# the runs from zero are a few hundredths of a nat ahead, in every seed, and stay so (we have not
# looked why): the gain is at the first steps only. What lasts is diagnostic: the first loss can
# be computed beforehand, here the entropy, and a little more is seen, since the output weights are
# small but not zero. A net that begins far from it has a fault.
#
# ## Build it: the ReLU bias
#
# A unit with $y=xw+b$, $\mathbb E[(xw)^2]=q$, is active with probability $\Phi(b/\sqrt q)$, where
# $\Phi$ is the standard normal distribution function. And a whole input can die: with zero
# biases each of $n$ units is off with probability $\frac12$, whatever the nonzero input, so some
# layer among $L$ stops it with
# probability $1-(1-2^{-n})^L$. Very narrow nets show it.


# %%
def share_stopped(bias, *, num_units=3, depth=20, num_nets=4000, seed=0):
    """Return the share of nets in which some layer has no active unit for a given input."""
    generator = seeded(seed)
    x = torch.randn(num_nets, 1, num_units, generator=generator)
    stopped = torch.zeros(num_nets, dtype=torch.bool)
    for _ in range(depth):
        W = math.sqrt(2 / num_units) * torch.randn(
            num_nets, num_units, num_units, generator=generator
        )
        x = relu(x @ W + bias)
        stopped |= (x == 0).all(dim=2)[:, 0]
    return stopped.double().mean().item()


# %% [markdown]
# ## Check it: the ReLU bias
#
# Both probabilities against counts, over 4000 units and over 4000 nets.

# %%
W = math.sqrt(2 / 784) * torch.randn(784, 4000, generator=seeded(3))
for bias in (0.0, 0.1, 0.5):
    # Each picture has its own q, twice its mean square.
    chance = stats.norm.cdf(bias / (2 * X_FASHION[:50].square().mean(dim=1)).sqrt()).mean()
    active = (X_FASHION[:50] @ W + bias > 0).double().mean()
    print(f"bias {bias}: {active:.3f} of the units active")
    ledger.check_close(
        117, f"share of active units, bias {bias}", active, chance, kind="metric", tolerance=0.01
    )
stopped = {bias: share_stopped(bias) for bias in (0.0, 0.1)}
print(
    f"20 layers of 3 units, input stopped: bias 0 {stopped[0.0]:.3f}, bias 0.1 {stopped[0.1]:.3f}"
)
for width, share in ((3, stopped[0.0]), (6, share_stopped(0.0, num_units=6))):
    exact, name = 1 - (1 - 2.0**-width) ** 20, f"stopped inputs, bias 0, {width} units"
    ledger.check_close(117, name, share, exact, kind="metric", tolerance=0.03)
ledger.check_at_most(117, "stopped inputs, bias 0.1", stopped[0.1], stopped[0.0] - 0.05)

# %% [markdown]
# A bias of 0.1 lifts the share of active units a little: $q$ is twice the mean square of the
# pixels, and $b/\sqrt q$ is small. On inputs of this size it is a mild measure. In narrow deep nets
# it saves some inputs, and most still die. Width does it better: the probability that a layer stops
# an input falls as $2^{-n}$.
#
# ## Build it: the forget gate
#
# One LSTM cell in torch's order of gates (input, forget, cell, output), for a stack of runs.


# %%
def lstm_last(x, W_x, W_h, b):
    """Return the last output (R, B, H) of LSTMs on inputs (T, B, D)."""
    h = cell = torch.zeros(len(W_h), x.shape[1], W_h.shape[1], dtype=x.dtype)
    for x_t in x:
        i, f, g, o = (x_t @ W_x + h @ W_h + b).chunk(4, dim=-1)
        cell = torch.sigmoid(f) * cell + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(cell)
    return h


def draw_lstm(num_inputs, num_hidden, forget_bias, seed):
    """Return W_x, W_h and b; uniform weights as torch's default, biases 0 but for one gate."""
    generator, r = seeded(seed), num_hidden**-0.5
    W_x = uniform((num_inputs, 4 * num_hidden), r, generator).float()
    W_h = uniform((num_hidden, 4 * num_hidden), r, generator).float()
    b = torch.zeros(1, 4 * num_hidden)
    b[:, num_hidden : 2 * num_hidden] = forget_bias
    return W_x, W_h, b


# %% [markdown]
# ## Check it: the forget gate
#
# Against `torch.nn.LSTM`, which has *two* biases that are added: setting the forget part of both
# to 1 makes 2. Then the memory: with all weights zero, and half of $b_f$ in each of the two, the
# cell state must fade by $\operatorname{sig}(b_f)$ a step.

# %%
parts = draw_lstm(3, 5, forget_bias=1.5, seed=7)
biased = parts[2][0].nonzero()[:, 0]
ledger.check_equal(117, "the forget gate, and no other, is biased", biased, list(range(5, 10)))
torch_lstm = nn.LSTM(3, 5)  # every weight is replaced below
values = (parts[0].T, parts[1].T, parts[2][0], torch.zeros(20))
names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
torch_lstm.load_state_dict(dict(zip(names, values, strict=True)))
x = torch.randn(11, 4, 3, generator=seeded(8))
ours = lstm_last(x, *(part[None] for part in parts))[0]
ledger.check_close(117, "LSTM = torch.nn.LSTM", ours, torch_lstm(x)[0][-1], tolerance=1e-6)

# %%
for forget_bias in (0.0, 1.0, 2.0):
    cell_start = torch.ones(1, 4, 5)
    for name, part in torch_lstm.named_parameters():
        part.data.zero_()
        if "bias" in name:
            part.data[5:10] = forget_bias / 2
    _, (_, cell) = torch_lstm(torch.zeros(20, 4, 3), (torch.zeros(1, 4, 5), cell_start))
    left = special.expit(forget_bias) ** 20
    print(f"forget bias {forget_bias:g}: {left:.1e} of the memory left after 20 steps")
    name = f"memory left over theory, forget bias {forget_bias:g}"
    ledger.check_close(117, name, cell / left, torch.ones(1, 4, 5), tolerance=1e-4)

# %% [markdown]
# ## Try it: remember one bit
#
# The first of 20 inputs is $+1$ or $-1$; noise follows; at the end the net must say which it was.
# Eight hidden units, Adam, 180 steps, biases 0, 1 and 2, four seeds. **Predict** from the numbers
# above which of them can learn it.


# %%
def bit_task(generator, num_steps=20, batch_size=48):
    """Return inputs (T, B, 2), value and marker, and the bit (B,) to be remembered."""
    bit = 2.0 * torch.randint(2, (batch_size,), generator=generator) - 1
    x = torch.zeros(num_steps, batch_size, 2)
    x[:, :, 0] = torch.randn(num_steps, batch_size, generator=generator)
    x[0, :, 0], x[0, :, 1] = bit, 1.0
    return x, bit


def train_lstms(forget_biases, num_seeds=4, num_steps=180):
    """Return the accuracy of each batch during training, (bias, seed, step)."""
    runs = [
        (*draw_lstm(2, 8, bias, seed), uniform((8, 1), 8**-0.5, seeded(900 + seed)).float())
        for bias in forget_biases
        for seed in range(num_seeds)
    ]
    params = [part.requires_grad_() for part in stack_runs(runs)]
    optimizer, generator, history = torch.optim.Adam(params, lr=0.02), seeded(9), []
    for _ in range(num_steps):
        x, bit = bit_task(generator)
        margin = (lstm_last(x, *params[:3]) @ params[3])[:, :, 0] * bit
        optimizer.zero_grad()
        softplus(-margin).mean(dim=1).sum().backward()  # logistic loss of each run
        optimizer.step()
        history.append((margin > 0).double().mean(dim=1))
    return torch.stack(history, dim=1).view(len(forget_biases), num_seeds, num_steps)


remembered = train_lstms((0.0, 1.0, 2.0))

# %%
at_the_end = remembered[:, :, -30:].mean(dim=2)
for forget_bias, of_seeds in zip((0, 1, 2), at_the_end, strict=True):
    print(f"forget bias {forget_bias}: accuracy", " ".join(f"{value:.2f}" for value in of_seeds))
ledger.check_at_most(117, "forget bias 0: best seed stays at chance", at_the_end[0].max(), 0.6)
ledger.check_at_least(117, "forget bias 2: worst seed learns", at_the_end[2].min(), 0.8)


# %%
def gradient_sizes(forget_bias, seed=0):
    """Return the rms of the gradient of the last output for the first and the last input."""
    x, _ = bit_task(seeded(9))
    h = lstm_last(x.requires_grad_(), *(p[None] for p in draw_lstm(2, 8, forget_bias, seed)))
    (grad,) = torch.autograd.grad(h.sum(), x)
    return [grad[t].square().mean().sqrt().item() for t in (0, -1)]


at_start = {forget_bias: gradient_sizes(forget_bias) for forget_bias in (0.0, 1.0, 2.0)}
for forget_bias, (first_input, last_input) in at_start.items():
    print(f"forget bias {forget_bias:g}: gradient of the first input {first_input:.0e}", end="")
    print(f", of the last {last_input:.0e}")
shares = [first_input / last_input for first_input, last_input in at_start.values()]
ledger.check_at_most(117, "first over last, forget bias 0", shares[0], 1e-3)
ledger.check_at_least(117, "first over last, forget bias 2", shares[2], 0.02)

# %%
fig, ax = plt.subplots(figsize=(6.0, 2.6))
for name, runs, colour in zip((0, 1, 2), remembered, PALETTE.values(), strict=False):
    smooth = runs.unfold(1, 10, 5).mean(dim=2)
    at = torch.arange(smooth.shape[1]) * 5 + 5
    lines = ax.plot(at, smooth.T, color=colour, linewidth=1.2, linestyle=("-", "--", ":")[name])
    lines[0].set_label(f"forget bias {name}")
ax.set(xlabel="step", ylabel="accuracy (fraction)", ylim=(0.3, 1.02))
ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
show(
    fig,
    alt="Accuracy against step, a line for each seed: forget bias 0 stays near one half, with 1 "
    "two of four seeds end near one and two rise and fall back, with 2 all four end near one.",
)

# %% [markdown]
# *Figure 9. Remembering one bit over 20 steps with three biases of the forget gate; each line one
# of four seeds, means of ten batches.*
#
# With bias 0 no seed learns the task within 180 steps: before training, the gradient that reaches
# the first input is tens of thousands of times smaller than that of the last (one seed).
# With 1 two seeds keep what they
# find and two lose it again; with 2 all four keep it. torch leaves this bias near zero; Jozefowicz
# et al. (2015) recommend 1.
#
# ## Try it: a convolutional net and real pictures
#
# Neighbouring pixels are strongly correlated; do the rules survive? (The derivation needs
# independent *weights*; of the inputs it asks nothing but their mean square.) Ten convolutions
# $3\times3$ on Fashion-MNIST at $14\times14$, zero padding, ReLU: one from 1 channel to 16, then
# nine from 16 to 16. `probes.record` keeps what every convolution puts out and the gradient that
# comes back. Xavier is the compromise, $2/(n_{\text{in}}+n_{\text{out}})$. **Predict** the ratio of
# Xavier's signal to He's after ten layers. Both start from the same random numbers, and ReLU passes
# a positive factor on.


# %%
def make_conv_net(init, seed, *, padding="zeros", channels=16):
    """Return convolutions with ReLU and a linear classifier, drawn from one seed."""
    layers = []
    for k in range(10):
        conv = nn.utils.skip_init(
            nn.Conv2d, channels if k else 1, channels, 3, padding=1, padding_mode=padding
        )
        layers += [conv, nn.ReLU()]
    readout = nn.utils.skip_init(nn.Linear, channels * 196, 10)
    model = nn.Sequential(*layers, nn.Flatten(), readout)
    return draw_weights(model, generator=seeded(seed), init=init)


def probe_conv_net(model, images, labels):
    """Return the root mean square of each convolution's output, and of its gradient, (2, depth)."""
    with probes.record(model, nn.Conv2d) as seen:
        cross_entropy(model(images), labels).backward()
    return torch.tensor(
        [
            [values.rms for values in probes.summarise(part).values()]
            for part in (
                seen.activations,
                dict(sorted(seen.gradients.items(), key=lambda p: int(p[0]))),
            )
        ]
    )


# %%
IMAGES = nn.functional.avg_pool2d(X_FASHION[:64].view(-1, 1, 28, 28), 2)
LABELS = Y_FASHION[:64]
CONV_INITS = {
    "0.01": lambda weight, generator: nn.init.normal_(weight, std=0.01, generator=generator),
    "Xavier": nn.init.xavier_normal_,
    "He": nn.init.kaiming_normal_,
}
conv_seen = {
    name: torch.stack([probe_conv_net(make_conv_net(init, s), IMAGES, LABELS) for s in range(3)])
    for name, init in CONV_INITS.items()
}  # (seed, signal or gradient, layer)

# %%
ratio = (conv_seen["Xavier"] / conv_seen["He"])[:, 0]
first_ratio = math.sqrt(xavier_variance((16, 1, 3, 3)) / he_variance((16, 1, 3, 3)))
exact_ratio = first_ratio * 0.5 ** (torch.arange(10) / 2)
over, ones = ratio / exact_ratio, torch.ones(3, 10)
title = "conv net: Xavier's signal over He's"
ledger.check_close(111, title, over, ones, kind="invariant", tolerance=1e-4)
print(f"Xavier's signal over He's: layer 1 {ratio[0, 0]:.3f}, layer 10 {ratio[0, -1]:.4f}")


# %%
def factor_per_layer(rms):
    """Return the geometric mean of the factors from the first layer to the last, per run."""
    return (rms[:, -1] / rms[:, 0]) ** (1 / (rms.shape[1] - 1))


for name in ("He", "Xavier"):
    signal, gradient = conv_seen[name].unbind(dim=1)
    for kind, rms in (("signal", signal), ("gradient", gradient.flip(1))):
        text = " ".join(f"{factor:.2f}" for factor in factor_per_layer(rms))
        print(f"{name:7s} {kind:9s} factor a layer, three seeds: {text}")
he_back, xavier_back = (
    factor_per_layer(conv_seen[name][:, 1].flip(1)) for name in ("He", "Xavier")
)
ledger.check_close(
    111, "He: gradient, factor a layer", he_back.mean(), 1.0, kind="metric", tolerance=0.1
)
ledger.check_at_most(110, "Xavier: gradient, factor a layer, every seed", xavier_back.max(), 0.8)

# %% [markdown]
# The ratio is algebra: $\sqrt{9/153}=0.243$ from the first convolution, with 9 inputs and 144
# outputs, and $2^{-1/2}$ from each of the other nine. It says nothing yet about He. He's signal
# keeps 0.84 to 0.99 at each layer. Is it the border, where the padding puts zeros, or the number of
# channels?

# %%
setups = (("zeros", 16), ("circular", 16), ("circular", 64))
factors = {
    (padding, channels): factor_per_layer(
        torch.stack(
            [
                probe_conv_net(
                    make_conv_net(nn.init.kaiming_normal_, s, padding=padding, channels=channels),
                    IMAGES[:32],
                    LABELS[:32],
                )
                for s in range(6)
            ]
        )[:, 0]
    )
    for padding, channels in setups
}
for (padding, channels), of_seeds in factors.items():
    mean = of_seeds.log().mean().exp()
    print(f"{padding:8s} {channels} channels: {mean:.3f} ± {of_seeds.std() / 6**0.5:.3f}")
ledger.check_close(111, "He, 64 channels, no border", mean, 1.0, kind="metric", tolerance=0.05)
border = (factors["zeros", 16] - factors["circular", 16]).max()
ledger.check_at_most(111, "zero padding costs signal, every seed", border, 0)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.7))
for (name, runs), marker in zip(conv_seen.items(), MARKERS, strict=False):
    for ax, of_kind in zip(axs, runs.unbind(dim=1), strict=True):
        centre = of_kind.log().mean(dim=0).exp()
        (line,) = ax.semilogy(range(1, 11), centre, marker=marker, markersize=4, label=name)
        ax.fill_between(
            range(1, 11),
            of_kind.amin(dim=0),
            of_kind.amax(dim=0),
            alpha=0.2,
            color=line.get_color(),
        )
axs[0].set(xlabel="convolution", ylabel="rms, output (log scale)")
axs[1].set(xlabel="convolution", ylabel="rms, gradient (log scale)")
axs[0].legend()
show(
    fig,
    alt="Output and gradient size by layer for a ten-layer convolutional net: with 0.01 both fall "
    "by many orders of magnitude, with Xavier by one or two, with He they nearly stay.",
)

# %% [markdown]
# *Figure 10. Root mean square of the outputs of ten convolutions (left) and of the gradients that
# reach them (right) on Fashion-MNIST; geometric mean and range of three seeds.*
#
# The rules survive. Padding takes a small share in every seed. The rest is narrowness: with 16
# channels the signal drifts down and scatters from seed to seed, as the gradient does in Figure 6
# (here the gradient drifts less, 0.95 to 1.03 a layer); with 64 channels and circular padding,
# which has no border, He's signal keeps its size.
#
# ## Explore it: the signal, layer by layer
#
# 1. Take tanh and `0.01 · randn`. At which layer does the histogram become a spike, and by which
#    factor does the standard deviation fall at each? Which product predicts it?
# 2. With ReLU, go from Xavier to He. Which of the two columns of histograms changes more,
#    activations or gradients, and why both?
# 3. Make the layers narrow with He. What do you see that the variance formula does not say?

# %%
SignalFlow(depth=10, width=64, activation="tanh", init="small", norm="none")

# %% [markdown]
# ## Exercises
#
# ### 1. What torch does by default (easy, 5 minutes)
#
# `nn.Linear` draws its weights uniformly from $[-1/\sqrt{n_{\text{in}}},\,1/\sqrt{n_{\text{in}}}]$.
# By which factor does $\mathbb E[y^2]$ change from one layer to the next in a deep net with ReLU?
# (Leave the biases out. Give a fraction, or six digits.)

# %% tags=["exercise"]
answer_1 = None  # a number, such as 2 / 7

# %%
check_exercise(
    answer_1,
    1 / 6,
    mistakes={
        "That is n times the variance; the ReLU takes its half as well.": 1 / 3,
        "1/n is the square of the half-width r; what is the variance of a uniform variable?": 1 / 2,
        "r^2 / 12 belongs to the interval [0, r]; here it is twice as long.": 1 / 24,
        "That is the factor of the root mean square; square it.": 1 / math.sqrt(6),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# variance_times_n = 1 / 3  # r^2 / 3 with r^2 = 1 / n
# answer_1 = variance_times_n / 2
# ```
# Thirty such layers are as good as mute, without normalisation.
# </details>

# %% [markdown]
# ### 2. A convolution with leaky ReLU (easy, 5 minutes)
#
# Give the standard deviation of He's Gaussian weights for a convolution from 24 to 40 channels
# with $5\times5$ kernels, behind a leaky ReLU of slope 0.2, such that the *backward* signal keeps
# its size.

# %% tags=["exercise"]
answer_2 = None  # a number

# %%
check_exercise(
    answer_2,
    math.sqrt(he_variance((40, 24, 5, 5), slope=0.2, mode="fan_out")),
    mistakes={
        "That keeps the forward signal; backward, one input feeds the output channels.": math.sqrt(
            he_variance((40, 24, 5, 5), slope=0.2)
        ),
        "That is the variance; the question asks for its root.": he_variance(
            (40, 24, 5, 5), slope=0.2, mode="fan_out"
        ),
        "One input feeds 25 positions of each output channel.": math.sqrt(2 / (1.04 * 40)),
        "Where is the slope? It is squared and added to 1.": math.sqrt(2 / 1000),
        "The slope is squared: 1 + 0.2^2.": math.sqrt(2 / 1200),
        "That is the compromise; the question asks for the backward signal only.": math.sqrt(
            2 / (1.04 * 800)
        ),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_2 = math.sqrt(2 / ((1 + 0.2**2) * 40 * 5 * 5))
# ```
# </details>

# %% [markdown]
# ### 3. A gain for an activation without a formula (medium, 15 minutes)
#
# For $\phi(y)=y\operatorname{sig}(y)$ (swish) find the gain $g$, with $v=g^2/n$, that keeps
# $\mathbb E[y^2]$ at exactly 1 from layer to layer. Use `gaussian_mean` and `special.expit`.

# %% tags=["exercise"]
answer_3 = None  # a number

# %%
swish_square = gaussian_mean(lambda y: (y * special.expit(y)) ** 2, 1.0)
swish_mean = gaussian_mean(lambda y: y * special.expit(y), 1.0)
check_exercise(
    answer_3,
    1 / math.sqrt(swish_square),
    mistakes={
        "That is the gain of ReLU; swish lets less through.": math.sqrt(2),
        "That is g^2: one root is missing.": 1 / swish_square,
        "The weights multiply the mean too: use E[x^2], not the variance of x.": 1
        / math.sqrt(swish_square - swish_mean**2),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_3 = 1 / math.sqrt(gaussian_mean(lambda y: (y * special.expit(y)) ** 2, 1.0))
# ```
# Unlike that of ReLU, this gain holds at $q=1$ only: swish is not homogeneous.
# </details>

# %% [markdown]
# ### 4. A rare class (medium, 10 minutes)
#
# A detector has *one* logit, whose weights are zero at the start, and a logistic output; one sample
# in a hundred is positive. Which output bias makes the prediction right on average, and what is the
# loss then, in nats? (Six digits.)

# %% tags=["exercise"]
answer_4 = None  # (bias, loss)

# %%
rare_loss = stats.entropy([0.01, 0.99])
check_exercise(
    answer_4,
    (special.logit(0.01), rare_loss),
    mistakes={
        "ln(share) is right for a softmax with a logit per class; here use the log-odds.": (
            math.log(0.01),
            rare_loss,
        ),
        "The sign: a rare positive needs a negative logit.": (special.logit(0.99), rare_loss),
        "The loss is in bits; divide by log2(e).": (special.logit(0.01), rare_loss / math.log(2)),
        "ln 2 is the loss with bias 0.": (special.logit(0.01), math.log(2)),
        "One logit: use the log-odds; and ln 2 is the loss with bias 0.": (
            math.log(0.01),
            math.log(2),
        ),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_4 = (math.log(0.01 / 0.99), -0.01 * math.log(0.01) - 0.99 * math.log(0.99))
# ```
# Lin et al. (2017) do this for object detectors, where nearly every box is background.
# </details>

# %% [markdown]
# ### 5. Thirty layers of tanh (open, 20 minutes)
#
# Xavier's gain of 1 sinks slowly, as the ten layers showed. Find a gain $g$ with which the standard
# deviation of the activations in the thirtieth layer of a tanh net, 200 wide, lies between 0.3
# and 0.5. Then ask what your gain does to the gradient: `settle` tells.

# %% tags=["exercise"]
answer_5 = None  # a gain


# %%
def judge(gain):
    """Return how the activations of a 30-layer tanh net end."""
    try:
        gain = float(gain)
    except (TypeError, ValueError):
        return "not a positive number"
    if not 0 < gain < 100:
        return "not a positive number"
    x = torch.randn(300, 200, generator=seeded(0))
    for W in draw_layers([200] * 31, lambda n_in, n_out: gain / math.sqrt(n_in), seed=1):
        x = torch.tanh(x @ W)
    return "too small" if x.std() < 0.3 else "too large" if x.std() > 0.5 else "between"


check_exercise(
    answer_5 if answer_5 is None else judge(answer_5),
    "between",
    mistakes={
        "The signal still sinks too far: a larger gain.": "too small",
        "The units go too far out: a smaller gain.": "too large",
        "Give one positive number, below 100.": "not a positive number",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_5 = 1.2
# ```
# One of many; `predicted_table(np.tanh, g / math.sqrt(200), 200, 30)` finds them without a net.
# `settle(np.tanh, lambda y: 1 - np.tanh(y) ** 2, 1.2**2)` gives 1.033 a layer: the squared gradient
# grows 2.7 times in thirty layers, and at gain 1.3, which passes as well, 6.5 times.
# </details>

# %% [markdown]
# ## Recap
#
# - Equal weights stay equal; zero weights stay zero. Random weights break the symmetry, so biases
#   may be zero.
# - $v=g^2/n$ with $g^2=1$ for linear and tanh (Xavier), $g^2=\frac{2}{1+\alpha^2}$ for ReLU and its
#   leaky kin (He). A wrong factor counts once per layer.
# - The logistic row of the table of gains holds for the centred function only.
# - Square orthogonal weights keep every direction, not the average alone; the log of the
#   gradient's length walks at random in narrow nets.
# - A batch of data can replace the formula. Where outputs have a large mean, centre each unit.
#
# **In practice** defaults differ from library to library (Keras: Xavier; torch: exercise 1),
# normalisation (notebook 06) forgives much, and residual branches begin near zero. The output bias
# is set to the class shares and the forget gate's to 1 or 2. Compare the first loss with the one
# you expect.
#
# **Roads not taken**: Fixup and ReZero, $\mu$P, dynamical isometry for nonlinear nets,
# delta-orthogonal convolutions, pretraining as initialisation (notebook 07).

# %% [markdown]
# **Answers to the questions in Explore it.** *Small weights:* at the second; the factor is
# $c\sqrt n=0.01\sqrt{64}=0.08$ at each. *Xavier and He:* both columns change alike, since for ReLU
# $\mathbb E[\phi^2]/q$ and $\mathbb E[\phi'^2]$ are the same one half. *Narrow layers:* the sizes
# jump about from draw to draw, the random walk of Figure 6; the formula speaks of the mean only.

# %% [markdown]
# **References**, by year of first appearance. Mezzadri (2007), How to generate random matrices from
# the classical compact groups (signs of QR). Glorot and Bengio (2010), Understanding the
# difficulty of training deep feedforward neural networks. Saxe, McClelland and Ganguli (2013),
# Exact solutions to the nonlinear dynamics of learning in deep linear neural networks. Sussillo and
# Abbott (2014), Random walk initialization for training very deep feedforward networks. He, Zhang,
# Ren and Sun (2015), Delving deep into rectifiers. Krähenbühl, Doersch, Donahue and Darrell (2015),
# Data-dependent initializations of convolutional neural networks. Mishkin and Matas (2015), All you
# need is a good init. Jozefowicz, Zaremba and Sutskever (2015), An empirical exploration of
# recurrent network architectures (forget bias). Lin et al. (2017), Focal loss for dense object
# detection (output bias).
