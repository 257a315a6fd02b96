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
# # Compare activation functions by what their derivatives do to a deep net
#
# **You will build** the eleven activation functions of the lecture with their derivatives, in
# forms that survive large inputs, and a prediction of what each does to a deep network.
#
# **You will learn** to
# - derive each slope and prove it symbolically and numerically;
# - spot a formula that overflows, and mend it;
# - predict how fast a gradient grows or fades from one integral over the slope;
# - measure saturation, dead units and the cost of a mean that is not zero;
# - put a claim from a paper to the test, over seeds.
#
# **You need** notebook 01, about two and a half hours, and a CPU. Reviewed 2026-11-22.

# %%
import itertools
import math
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import data, probes
from course_utils.checks import Ledger, check_exercise
from course_utils.figures import MARKERS, PALETTE, show, use_course_style
from course_utils.models import make_mlp
from course_utils.widgets import ActivationExplorer

use_course_style()
ledger = Ledger("02_activations")

# %% [markdown]
# ## Why
#
# The logistic function $\sigma(x)=1/(1+e^{-x})$ and $\tanh$ are one curve:
# $\tanh x=2\,\sigma(2x)-1$, stretched and shifted. A layer can undo a stretch with its weights and
# a shift with its bias. Here are networks with five hidden layers of 32 units that read the
# digits of scikit-learn (8 x 8 pixels, ten classes), once with each function, from the same
# random weights.
#
# **Predict.** At a well-chosen learning rate, how much will the choice matter?


# %%
def draw_nets(widths, num_seeds, gain, seed, copies=1):
    """Return weights of std gain / sqrt(inputs) and zero biases for a stack of nets."""
    generator = torch.Generator().manual_seed(seed)
    stack = []
    for a, b in itertools.pairwise(widths):
        W = torch.randn(num_seeds, a, b, generator=generator) * gain / a**0.5
        stack.append((W.repeat(copies, 1, 1), torch.zeros(copies * num_seeds, b)))
    return stack


def forward_nets(params, h, f):
    """Return the net inputs of every layer, (nets, N, units) each; the last are the logits."""
    net_inputs, h = [], h.expand(len(params[0][0]), -1, -1)
    for W, b in params:
        net_inputs.append(torch.baddbmm(b[:, None], h, W))  # (nets, N, units)
        h = f(net_inputs[-1])
    return net_inputs


# %% [markdown]
# Many networks are trained side by side in one stack of matrices: five seeds, each with its own
# weights and its own minibatches, at several learning rates. Their losses are added, each
# multiplied by its own learning rate. The gradient of that sum, for the weights of one network, is
# its rate times its own gradient, and of nothing else; so one step of gradient descent on the sum
# is the right step for all.


# %%
def losses_of(params, h, y, f):
    """Return the mean cross-entropy (nats) of each net in the stack."""
    logits = forward_nets(params, h, f)[-1]  # (nets, N, classes)
    targets = y.expand(logits.shape[:2]).flatten()
    each = F.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
    return each.view(len(logits), -1).mean(dim=1)


def plain_sgd(weights):
    """Return gradient descent whose learning rates are already in the losses."""
    return torch.optim.SGD(weights, lr=1.0)


def train_nets(f, params, X, y, *, num_steps, seed, rates=1.0, copies=1, make_optimizer=plain_sgd):
    """Train a stack of nets in place, copies on the same batches; return losses (steps, nets)."""
    generator = torch.Generator().manual_seed(seed)
    batches = (len(params[0][0]) // copies, 64)  # 64 samples for each seed
    flat = [part.requires_grad_() for layer in params for part in layer]
    optimizer, history = make_optimizer(flat), []
    for _ in range(num_steps):
        index = torch.randint(len(X), batches, generator=generator).repeat(copies, 1)
        losses = losses_of(params, X[index], y[index], f)
        optimizer.zero_grad()
        (rates * losses).sum().backward()
        optimizer.step()
        history.append(losses.detach())
    return torch.stack(history)


# %%
def train_at_rates(f, X, y, rates, *, num_steps, seed, gain=1.0):
    """Train five nets of WIDTHS at every rate; return the losses, (steps, rates, seeds)."""
    params = draw_nets(WIDTHS, 5, gain, seed, copies=len(rates))
    each = torch.tensor(rates).repeat_interleave(5)
    history = train_nets(
        f, params, X, y, num_steps=num_steps, seed=seed, rates=each, copies=len(rates)
    )
    return history.view(num_steps, len(rates), 5)


# %%
digits = data.load_digits_8x8()
X_TRAIN = torch.from_numpy(digits.X_train).flatten(1)
centre, spread = X_TRAIN.mean(dim=0), X_TRAIN.std()
X_TRAIN = (X_TRAIN - centre) / spread  # (1437, 64)
Y_TRAIN = torch.from_numpy(digits.y_train)
X_TEST = (torch.from_numpy(digits.X_test).flatten(1) - centre) / spread
Y_TEST = torch.from_numpy(digits.y_test)

# %%
WIDTHS = [64, 32, 32, 32, 32, 32, 10]
RATES = (0.01, 0.1, 1.0)
why_curves = {
    name: train_at_rates(f, X_TRAIN, Y_TRAIN, RATES, num_steps=400, seed=0)
    for name, f in (("logistic", torch.sigmoid), ("tanh", torch.tanh))
}
why_ends = {name: losses[-50:].mean(dim=0) for name, losses in why_curves.items()}
for name, by_rate in why_ends.items():
    for lr, last in zip(RATES, by_rate, strict=True):
        print(f"{name:8s} lr {lr:<4g} loss: {last.mean():.3f} ± {last.std():.3f} nats")
print(f"guessing all ten classes equally: {math.log(10):.3f} nats")

# %%
LOOKS = ((0.01, "blue", "-"), (0.1, "vermilion", "--"), (1.0, "green", ":"))
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.6), sharey=True)
for ax, name in zip(axs, ("logistic", "tanh"), strict=True):
    for place, (lr, color, style) in enumerate(LOOKS):
        smooth = why_curves[name][:, place].unfold(0, 20, 20).mean(dim=-1)  # (20, 5)
        steps = range(10, 400, 20)
        ax.plot(steps, smooth.mean(dim=1), style, color=PALETTE[color], label=f"lr = {lr:g}")
        low, high = smooth.min(dim=1).values, smooth.max(dim=1).values
        ax.fill_between(steps, low, high, color=PALETTE[color], alpha=0.2, linewidth=0)
    ax.axhline(math.log(10), color="0.6", linewidth=1)
    ax.set(title=name, xlabel="step", yscale="log")
axs[0].set_ylabel("loss (nats, log scale)")
axs[0].legend(loc="center")
show(
    fig,
    alt="Left: with the logistic function the loss stays on the line of guessing at every learning "
    "rate. Right: with tanh it falls at every rate, by three orders of magnitude at the largest.",
)

# %% [markdown]
# *Figure 1. Training loss of a net with five hidden layers, at three learning rates; bands span
# five seeds, the grey line is guessing. The logistic net learns nothing in 400 steps at any of the
# rates.*

# %%
ledger.check_at_least(46, "logistic, any rate and seed: loss", why_ends["logistic"].min(), 2.2)
ledger.check_at_most(47, "tanh, lr 0.1 or 1, any seed: loss", why_ends["tanh"][1:].max(), 0.2)

# %% [markdown]
# The same curve, up to a stretch and a shift; at weights of the usual size and within 400 steps,
# one network learns and the other does not. (With weights four times as large the logistic net
# learns too; the last but one experiment comes back to it.) How different are the digits still,
# for a hidden unit? Here is the standard deviation of its output, before training.

# %%
for row, name, f in ((46, "logistic", torch.sigmoid), (47, "tanh", torch.tanh)):
    net_inputs = forward_nets(draw_nets(WIDTHS, 5, 1.0, seed=0), X_TRAIN, f)[:-1]
    spreads = [f(x).std(dim=1).mean().item() for x in net_inputs]
    print(f"{name:8s}", "  ".join(f"layer {i}: {s:.1e}" for i, s in enumerate(spreads, 1)))
    kept = spreads[-1] / spreads[0]
    if name == "logistic":
        ledger.check_at_most(row, "logistic, spread of layer 5 / layer 1", kept, 0.02)
    else:
        ledger.check_at_least(row, "tanh, spread of layer 5 / layer 1", kept, 0.2)

# %% [markdown]
# What a layer *could* undo, it does not find by itself. The gradient fades on its way down by the
# slope, and so do the differences between the samples on their way up: the logistic net's last
# layer sees nearly the same input for every digit. This notebook looks at activation functions
# through their derivatives.

# %% [markdown]
# ## The idea in symbols
#
# Layer $l$ computes $x^l=h^{l-1}W^l+b^l$ and $h^l=f(x^l)$. Going back, with
# $\delta=\partial L/\partial x$ (notebook 01 gave $\delta$ the other sign),
#
# $$\delta^{l}=f'(x^l)\odot\delta^{l+1}\big(W^{l+1}\big)^{\!\top}.$$
#
# An **activation function** (激活函数) appears once per layer on the way forward, and its
# *derivative* once per layer on the way back.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $x$, net input of a unit | `x` | any | real |
# | $f,\;f'$ | `relu`, `relu_slope` and so on | as $x$ | dimensionless |
# | $h^l$, output of layer $l$; $h^0$ the data | `h` | $(N,\text{units})$ | range of $f$ |
# | $W^l,\;b^l$, weights and biases | `W`, `b` | (inputs, units), (units,) | real |
# | $\delta^l=\partial L/\partial x^l$ | `delta` | as $x^l$ | loss per net input |
# | $\sigma$, logistic function | `logistic` | as $x$ | $(0,1)$ |
# | $\Phi=P(X\le x)$, $X\sim N(0,1)$ | `normal_cdf` | as $x$ | $(0,1)$ |
# | $\varphi=\Phi'$, its density | `normal_density` | as $x$ | $>0$ |
# | $\gamma$, slope or depth on the left | `gamma` | scalar or (channels,) | real |
# | $\beta$, sharpness of a smooth bend | `beta` | scalar | $>0$; in a limit 0 |
# | $g$, **gain**: weights have std $g/\sqrt{\text{inputs}}$ | `gain` | scalar | $>0$ |
# | $q$, mean square of a net input | `q` | scalar | $\ge0$ |
# | $\chi$, growth of the squared gradient per layer | `chi` | scalar | $\ge0$ |
#
# The lecture's first three, from the neuron's hard limit to its smooth versions:
#
# $$\text{step}(x)=\mathbb 1[x\ge0],\qquad\sigma(x)=\frac1{1+e^{-x}},\qquad
# \tanh x=\frac{e^x-e^{-x}}{e^x+e^{-x}} .$$

# %% [markdown]
# ## Build it: step, logistic, tanh
#
# As printed, number by number, on five inputs.

# %%
FIVE = [-2.0, -0.5, 0.0, 0.5, 2.0]
for x in FIVE:
    up, down = math.exp(x), math.exp(-x)
    tanh_x = (up - down) / (up + down)
    print(f"{x:5.1f}  step {x >= 0:d}  logistic {1 / (1 + down):.4f}  tanh {tanh_x:.4f}")

# %% [markdown]
# And as tensors. **Predict.** A net input of $-800$ is unusual but legal. What do the printed
# formulas give, and what does automatic differentiation make of them?


# %%
def logistic_printed(x):
    """Return 1 / (1 + e^-x), as printed."""
    return 1 / (1 + torch.exp(-x))


def tanh_printed(x):
    """Return (e^x - e^-x) / (e^x + e^-x), as printed."""
    return (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x))


def slope_of(f, x):
    """Return f'(x) at each entry, by automatic differentiation."""
    x = x.detach().clone().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0]


FAR = torch.tensor([-800.0, -30.0, 0.0, 30.0, 800.0], dtype=torch.float64)
for f in (logistic_printed, tanh_printed):
    print(f"{f.__name__:16s}  f  {f(FAR).tolist()}")
    print(f"{'':16s}  f' {slope_of(f, FAR).tolist()}")

# %% [markdown]
# $e^{800}$ is infinite in float64. The logistic value survives, since $1/\infty=0$; its slope is
# $0\cdot\infty$, which is NaN. The tanh is NaN already in its value. One such entry turns a whole
# training run into NaN. The remedy is always the same: let no exponential see a large positive
# number, and use `expm1` ($e^x-1$, exact for small $x$) where a difference would cancel.


# %%
def step(x, at_zero=1.0):
    """Return 1 for positive x, 0 for negative x, and at_zero at 0."""
    return (x > 0).to(x.dtype) + at_zero * (x == 0).to(x.dtype)


def logistic(x):
    """Return 1 / (1 + e^-x) through the branch whose exponential cannot overflow."""
    e = torch.exp(x.clamp(max=0))
    return torch.where(x >= 0, 1 / (1 + torch.exp(-x.clamp(min=0))), e / (1 + e))


def tanh(x):
    """Return (e^2x - 1) / (e^2x + 1); beyond 20 it is 1 to the last digit of float64."""
    e = torch.expm1(2 * x.clamp(max=20))
    return e / (e + 2)


# %% [markdown]
# The slopes of the lecture's table: $\sigma'=f(1-f)$ and $\tanh'=1-f^2$. Both subtract from 1, so
# for $x=40$, where $f$ rounds to 1, they return 0. The symmetric forms below keep their digits;
# $1-\tanh^2x=4\,\sigma(2x)\,\sigma(-2x)$.


# %%
def step_slope(x):
    """Return 0: the step is flat everywhere but at its jump, where there is no slope."""
    return torch.zeros_like(x)


def logistic_slope(x):
    """Return f (1 - f), with 1 - f written as the logistic of -x."""
    return logistic(x) * logistic(-x)


def tanh_slope(x):
    """Return 1 - f^2, written without a difference."""
    return 4 * logistic_slope(2 * x)


# %% [markdown]
# ## Check it: step, logistic, tanh
#
# Each function will meet the same four judges: torch's own version, its autograd, central
# differences, and (further down) sympy. The points are random, in an odd shape, kept away from 0.


# %%
def draw_points(*shape, seed, scale=3.0):
    """Return random float64 numbers with no entry closer to 0 than 0.01."""
    generator = torch.Generator().manual_seed(seed)
    x = scale * torch.randn(*shape, generator=generator, dtype=torch.float64)
    return torch.where(x.abs() < 0.01, x + 0.05, x)


def check_function(row, name, f, slope, reference, seed):
    """Check a function and its slope against torch's version and central differences."""
    x = draw_points(3, 7, 5, seed=seed)
    ledger.check_close(row, f"{name}: value", f(x), reference(x))
    ledger.check_close(
        row, f"{name}: slope", slope(x), slope_of(reference, x), kind="gradient", tolerance=1e-8
    )
    point = draw_points(2, 3, seed=seed + 1)
    ledger.check_gradient(
        row,
        f"{name}: differences",
        lambda p: f(torch.from_numpy(p)).sum().item(),
        point,
        slope(point),
    )


check_function(46, "logistic", logistic, logistic_slope, torch.sigmoid, seed=1)
check_function(47, "tanh", tanh, tanh_slope, torch.tanh, seed=2)
x_odd = draw_points(4, 9, seed=3)
ledger.check_close(47, "tanh from our logistic", tanh(x_odd), 2 * logistic(2 * x_odd) - 1)

# %% [markdown]
# Then the far inputs, where the printed versions must fail and the mended ones must hold: in
# value, in slope, and in the slope that autograd finds in *our* code, at 0 as well.

# %%
for row, f, slope, printed, reference in (
    (46, logistic, logistic_slope, logistic_printed, torch.sigmoid),
    (47, tanh, tanh_slope, tanh_printed, torch.tanh),
):
    name, expected = f.__name__, slope_of(reference, FAR)
    ledger.check_close(row, f"{name}: far inputs", f(FAR), reference(FAR))
    ledger.check_close(row, f"{name}: far slopes", slope(FAR), expected, kind="gradient")
    ledger.check_close(row, f"{name}: autograd", slope_of(f, FAR), expected, kind="gradient")
    with ledger.refuses(row, f"{name} as printed, far slopes"):
        ledger.check_close(row, "printed", slope_of(printed, FAR), expected, kind="gradient")
edge = torch.linspace(-19, 19, 41, dtype=torch.float64)
ledger.check_close(47, "tanh: last digits", tanh(edge), torch.tanh(edge), tolerance=1e-15)
small = torch.tensor([1e-9, -3e-12], dtype=torch.float64)
ledger.check_close(47, "tanh: tiny inputs, relative", tanh(small) / torch.tanh(small), [1.0, 1.0])

# %% [markdown]
# The step has a slope of 0 wherever it has one. So no gradient gets through a layer of steps to
# the weights below; the perceptron's rule of notebook 01 is not a gradient of its output. Central
# differences for the first weights of a net with two layers agree.

# %%
x_odd[0, :3] = 0.0
for at_zero in (1.0, 0.0, 0.5):
    expected = torch.heaviside(x_odd, torch.tensor(at_zero, dtype=torch.float64))
    ledger.check_equal(45, f"step with {at_zero} at 0", step(x_odd, at_zero), expected)
h_few, W_low, W_up = (draw_points(*shape, seed=4) for shape in ((4, 9), (9, 3), (3, 2)))
delta = torch.ones(4, 2, dtype=torch.float64) @ W_up.T * step_slope(h_few @ W_low)
ledger.check_gradient(
    45,
    "no gradient below a layer of steps",
    lambda W: (step(h_few @ torch.from_numpy(W)) @ W_up).sum().item(),
    W_low,
    h_few.T @ delta,
)

# %% [markdown]
# And the stack of networks of the first section: its third network, trained as a single
# `nn.Sequential` with torch's SGD on the same batches, must go through the same losses.

# %%
stack = draw_nets([64, 9, 7, 10], 4, 1.0, seed=5)
single = make_mlp([64, 9, 7, 10], nn.Tanh, generator=torch.Generator().manual_seed(0))
for layer, (W, b) in zip((single[0], single[2], single[4]), stack, strict=True):
    layer.weight.data, layer.bias.data = W[2].T.clone(), b[2].clone()
stack_losses = train_nets(
    torch.tanh,
    stack,
    X_TRAIN,
    Y_TRAIN,
    num_steps=40,
    seed=6,
    rates=torch.tensor([1.0, 0.01, 0.3, 0.1]),
)[:, 2]
sgd, draw, single_losses = torch.optim.SGD(single.parameters(), lr=0.3), torch.Generator(), []
draw.manual_seed(6)
for _ in range(40):
    index = torch.randint(len(X_TRAIN), (4, 64), generator=draw)[2]
    loss = F.cross_entropy(single(X_TRAIN[index]), Y_TRAIN[index])
    sgd.zero_grad()
    loss.backward()
    sgd.step()
    single_losses.append(loss.item())
torch.testing.assert_close(stack_losses, torch.tensor(single_losses), atol=1e-5, rtol=0)
print(f"both end at {stack_losses[-1]:.4f} nats after {len(single_losses)} steps")

# %% [markdown]
# ## The idea in symbols: the ReLU and its relatives
#
# The **rectified linear unit** (修正线性单元) has slope 1 on the whole right side. Its relatives
# change what happens on the left. The lecture prints
#
# | name | printed | slope |
# |---|---|---|
# | ReLU | $\max(0,x)$ | $\mathbb 1[x>0]$ |
# | leaky ReLU | $\max(\gamma x,x)$, or $\max(0.1x,x)$ | 1 or $\gamma$ |
# | PReLU, a learned $\gamma_i$ for each channel | $\max(\gamma_ix,x)$ | 1 or $\gamma_i$ |
# | ELU | $\max(0,x)+\min(0,\gamma(e^x-1))$ | $\mathbb 1[x>0]+\mathbb 1[x\le0]\,\gamma e^x$ |
#
# With its slope learned, PReLU has one more gradient. Only inputs on the left depend on
# $\gamma_i$:
#
# $$\frac{\partial L}{\partial\gamma_i}=
# \sum_n\frac{\partial L}{\partial f(x_{ni})}\,\min(0,x_{ni}) .$$
#
# torch calls $\gamma$ `negative_slope` in the leaky ReLU and `alpha` in the ELU.

# %% [markdown]
# ## Build it: the ReLU and its relatives
#
# On the five inputs first, by `max`; then as tensors. `leaky_relu` chooses by the *sign of the
# input*, which is not quite what the table prints. You will see the difference below.

# %%
for x in FIVE:
    elu_x = max(0, x) + min(0, 1.7 * (math.exp(x) - 1))
    print(f"{x:5.1f}  ReLU {max(0, x):.2f}  leaky {max(0.1 * x, x):5.2f}  ELU {elu_x:5.2f}")


# %%
def relu(x):
    """Return max(0, x)."""
    return torch.where(x > 0, x, 0.0)


def relu_slope(x):
    """Return 1 right of 0, else 0."""
    return (x > 0).to(x.dtype)


def leaky_relu(x, gamma):
    """Return x right of 0, gamma x elsewhere."""
    return torch.where(x > 0, x, gamma * x)


def leaky_relu_slope(x, gamma):
    """Return 1 right of 0, gamma elsewhere."""
    return torch.where(x > 0, torch.ones_like(x), gamma)


def elu(x, gamma):
    """Return x right of 0, gamma (e^x - 1) elsewhere; the exponential sees no large number."""
    return torch.where(x > 0, x, gamma * torch.expm1(x.clamp(max=0)))


def elu_slope(x, gamma):
    """Return 1 right of 0, gamma e^x elsewhere."""
    return torch.where(x > 0, 1.0, gamma * torch.exp(x.clamp(max=0)))


# %% [markdown]
# PReLU as a module with its own backward pass, so that the formula for $\partial L/\partial\gamma$
# is ours and not autograd's. Channels are axis 1; all other axes are summed.


# %%
class LearnedSlope(torch.autograd.Function):
    """The PReLU of one slope per channel, forward and backward."""

    @staticmethod
    def forward(ctx, x, gamma):
        """Return x right of 0 and gamma x elsewhere."""
        gamma = gamma.view(1, -1, *[1] * (x.ndim - 2))  # channels on axis 1
        ctx.save_for_backward(x, gamma)
        return leaky_relu(x, gamma)

    @staticmethod
    def backward(ctx, grad_output):
        """Return dL/dx, and dL/dgamma summed over all but the channels."""
        x, gamma = ctx.saved_tensors
        left = grad_output * x.clamp(max=0)
        other_axes = [axis for axis in range(x.ndim) if axis != 1]
        return grad_output * leaky_relu_slope(x, gamma), left.sum(dim=other_axes)


prelu = LearnedSlope.apply

# %% [markdown]
# ## Check it: the ReLU and its relatives
#
# Never at the defaults alone: an ELU that forgets its $\gamma$ passes every test at $\gamma=1$, and
# one with $e^x-1$ in place of `expm1` passes every test away from 0.

# %%
check_function(48, "ReLU", relu, relu_slope, F.relu, seed=5)
for gamma in (0.01, 0.37, -0.6, 1.8):
    check_function(
        49,
        f"leaky ReLU, gamma {gamma}",
        lambda x, gamma=gamma: leaky_relu(x, gamma),
        lambda x, gamma=gamma: leaky_relu_slope(x, gamma),
        lambda x, gamma=gamma: F.leaky_relu(x, negative_slope=gamma),
        seed=6,
    )
for gamma in (1.0, 0.3, 1.7):
    check_function(
        51,
        f"ELU, gamma {gamma}",
        lambda x, gamma=gamma: elu(x, gamma),
        lambda x, gamma=gamma: elu_slope(x, gamma),
        lambda x, gamma=gamma: F.elu(x, alpha=gamma),
        seed=7,
    )
share = elu(-small.abs(), 1.7) / (-1.7 * small.abs())
ledger.check_close(51, "ELU: tiny inputs, relative", share, [1.0, 1.0], tolerance=1e-8)

# %% [markdown]
# PReLU against `torch.nn.functional.prelu`: value and both gradients, for plain, sequence and
# picture shapes, with slopes of both signs and above 1.

# %%
for shape in ((6, 3), (2, 3, 7), (2, 3, 5, 4)):
    gamma = torch.tensor([0.25, -0.4, 1.6], dtype=torch.float64, requires_grad=True)
    x = draw_points(*shape, seed=8).requires_grad_()
    weight = draw_points(*shape, seed=9)  # dL/df
    ours, theirs = prelu(x, gamma), F.prelu(x, gamma)
    found = torch.autograd.grad((weight * ours).sum(), [x, gamma])
    wanted = torch.autograd.grad((weight * theirs).sum(), [x, gamma])
    ledger.check_close(50, f"PReLU {shape}: value", ours, theirs)
    ledger.check_close(50, f"PReLU {shape}: dL/dx", found[0], wanted[0], kind="gradient")
    ledger.check_close(50, f"PReLU {shape}: dL/dgamma", found[1], wanted[1], kind="gradient")

# %% [markdown]
# The ELU written as printed meets the same fate as the logistic function: the branch that is
# *not* taken overflows, and $0\cdot\infty$ poisons the gradient of the branch that is. (And at 0 it
# gives $1+\gamma$, since both clamps count as open there; the section on the kink explains.)


# %%
def elu_printed(x, gamma):
    """Return max(0, x) + min(0, gamma (e^x - 1))."""
    return x.clamp(min=0) + (gamma * (torch.exp(x) - 1)).clamp(max=0)


expected = slope_of(lambda x: F.elu(x, alpha=1.7), FAR)
found = slope_of(lambda x: elu(x, 1.7), FAR)
print("as printed:", slope_of(lambda x: elu_printed(x, 1.7), FAR).tolist())
ledger.check_close(51, "ELU: far slopes by autograd", found, expected, kind="gradient")
with ledger.refuses(51, "ELU as printed, far slopes"):
    found = slope_of(lambda x: elu_printed(x, 1.7), FAR)
    ledger.check_close(51, "printed", found, expected, kind="gradient")

# %% [markdown]
# ## Try it: a leaky slope above 1
#
# **Predict.** The lecture writes $\max(\gamma x,x)$. For which $\gamma$ is that the leaky ReLU?
# Think of $\gamma=1.8$, and of $\gamma=-1$.


# %%
def leaky_relu_printed(x, gamma):
    """Return max(gamma x, x)."""
    return torch.maximum(gamma * x, x)


x_line = torch.linspace(-2, 2, 9, dtype=torch.float64)
for gamma in (0.1, -1.0, 1.0, 1.8):
    gap = (leaky_relu_printed(x_line, gamma) - leaky_relu(x_line, gamma)).abs().max()
    print(f"gamma {gamma:4}: largest difference {gap:.2f}")
for gamma in (0.1, -1.0, 1.0):
    printed = leaky_relu_printed(x_odd, gamma)
    ledger.check_close(49, f"max(gamma x, x), gamma {gamma}", printed, F.leaky_relu(x_odd, gamma))
with ledger.refuses(49, "max(gamma x, x) with gamma 1.8"):
    ledger.check_close(49, "printed", leaky_relu_printed(x_odd, 1.8), F.leaky_relu(x_odd, 1.8))

# %% [markdown]
# The printed form is right for every $\gamma\le1$, negative ones included; $\gamma=-1$ gives
# $|x|$. Above 1 the two pieces change sides: the slope is $\gamma$ on the *right* and 1 on the
# left. With $\gamma=0.1$ nobody would notice. PReLU *learns* $\gamma$, and nothing keeps it below
# 1. Let the data come from a unit with slope 1.6 on the left.


# %%
def learn_gamma(f, target, gamma, lr, num_steps):
    """Return the path of gamma under gradient descent on half the mean squared error."""
    x = draw_points(200, 1, seed=10, scale=1.0)
    y, path = leaky_relu(x, target), [gamma]
    gamma = torch.tensor([gamma], dtype=torch.float64, requires_grad=True)
    for _ in range(num_steps):
        loss = 0.5 * ((f(x, gamma) - y) ** 2).mean()
        gamma.data -= lr * torch.autograd.grad(loss, gamma)[0]
        path.append(gamma.item())
    return path


by_sign = learn_gamma(prelu, 1.6, gamma=0.25, lr=0.2, num_steps=120)
by_max = learn_gamma(leaky_relu_printed, 1.6, gamma=0.25, lr=0.2, num_steps=120)
print(f"chosen by sign: {by_sign[-1]:.4f}, by max: {by_max[-1]:.4f}; wanted 1.6")
ledger.check_close(50, "learned slope reaches 1.6", by_sign[-1], 1.6, tolerance=1e-3)
with ledger.refuses(50, "learned slope of max(gamma x, x)"):
    ledger.check_close(50, "printed", by_max[-1], 1.6, tolerance=1e-1)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.5))
x_plot = torch.linspace(-2, 2, 201, dtype=torch.float64)
for ax, (xs, right, wrong) in zip(
    axs,
    (
        (x_plot, leaky_relu(x_plot, 1.8), leaky_relu_printed(x_plot, 1.8)),
        (range(121), by_sign, by_max),
    ),
    strict=True,
):
    ax.plot(xs, right, label="by sign (torch)")
    ax.plot(xs, wrong, label="max(γx, x)")
    ax.legend()
axs[0].set(xlabel="net input x", ylabel="f(x), γ = 1.8")
axs[1].axhline(1.6, color="0.6", linewidth=1)
axs[1].set(xlabel="step", ylabel="learned γ")
show(
    fig,
    alt="Left: with slope 1.8 the leaky ReLU bends down on the left, the printed form bends up on "
    "the right. Right: the learned slope reaches 1.6 by sign and stops at 1 with the maximum.",
)

# %% [markdown]
# *Figure 2. Left: both forms at $\gamma=1.8$. Right: learning $\gamma$ when the data have 1.6; the
# form with the maximum is held at 1.*
#
# Beyond 1 the maximum moves $\gamma$ to the right side, where the data ask for slope 1, so the
# gradient pushes it back. Write the branch by the sign of $x$, as torch does.

# %% [markdown]
# ## Try it: the derivative at the kink
#
# At 0 the ReLU has no derivative; any number in $[0,1]$ is a slope of a line that touches it from
# below. **Predict** what torch returns there for `relu`, `leaky_relu`, `elu`, `maximum(x, 0)`,
# $(x+|x|)/2$ and `clamp(min=0)`. And: $x=\max(0,x)-\max(0,-x)$ holds for every $x$, so what is the
# derivative of the right side at 0?

# %%
ZERO = torch.zeros(1, dtype=torch.float64)
at_kink = {
    "relu": F.relu,
    "maximum(x, 0)": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "(x + |x|) / 2": lambda x: (x + x.abs()) / 2,
    "clamp(x, min=0)": lambda x: x.clamp(min=0),
    "leaky_relu, gamma 0.3": lambda x: F.leaky_relu(x, 0.3),
    "elu, gamma 1.7": lambda x: F.elu(x, alpha=1.7),
    "relu(x) - relu(-x), which is x": lambda x: F.relu(x) - F.relu(-x),
}
slopes_at_0 = {name: slope_of(f, ZERO).item() for name, f in at_kink.items()}
for name, found in slopes_at_0.items():
    print(f"{name:32s} slope at 0: {found:.1f}")

# %% [markdown]
# Ours must follow torch's, in the written slope and in the one that autograd finds in our code.

# %%
for row, name, ours, slope, theirs in (
    (48, "ReLU", relu, relu_slope, "relu"),
    (49, "leaky ReLU", partial(leaky_relu, gamma=0.3), partial(leaky_relu_slope, gamma=0.3),
     "leaky_relu, gamma 0.3"),
    (51, "ELU", partial(elu, gamma=1.7), partial(elu_slope, gamma=1.7), "elu, gamma 1.7"),
):  # fmt: skip
    found = [slope(ZERO).item(), slope_of(ours, ZERO).item()]
    ledger.check_close(row, f"{name}: slope at 0, both ways", found, [slopes_at_0[theirs]] * 2)
gamma, zeros = torch.tensor([0.25, -0.4], dtype=torch.float64), ZERO.expand(3, 2)
found, wanted = (slope_of(lambda x, f=f: f(x, gamma), zeros) for f in (prelu, F.prelu))
ledger.check_equal(50, "PReLU: slope at 0", found, wanted, kind="gradient")

# %% [markdown]
# One function, four programs, three slopes at its kink; and the last line gives 0 where the true
# derivative is 1. Automatic differentiation treats each operation by itself, with a convention at
# its kink. torch's activation functions take the slope from the left, as the lecture's
# $\mathbb 1[x>0]$ does. An input of exactly 0 is rare with random weights; it is the normal case
# behind a layer whose outputs are all 0, and a trap inside formulas, as softplus will show.

# %% [markdown]
# ## The idea in symbols: maxout
#
# **Maxout** (Goodfellow et al., 2013) does not apply a function to a net input; it takes the
# largest of $K$ net inputs (the lecture draws $K=2$):
#
# $$f(h)=\max_{k=1\dots K}\big(w_k^\top h+b_k\big).$$
#
# A maximum of affine functions is convex and made of flat pieces, and every such function is a
# maxout unit. Its gradient goes to the winning piece and to no other; at a tie torch shares it.
#
# ## Build it: maxout
#
# By loops, as the formula says, and as one product. `W` is (units, pieces, inputs).


# %%
def maxout_by_loop(h, W, b):
    """Return the largest piece of each unit, one number at a time."""
    return [
        [
            max(
                sum(w_i * h_i for w_i, h_i in zip(w, sample, strict=True)) + offset
                for w, offset in zip(pieces, offsets, strict=True)
            )
            for pieces, offsets in zip(W.tolist(), b.tolist(), strict=True)
        ]
        for sample in h.tolist()
    ]


def maxout(h, W, b):
    """Return the same for a batch: (N, inputs) to (N, units)."""
    return (torch.einsum("ni,uki->nuk", h, W) + b).amax(dim=-1)


# %% [markdown]
# ## Check it: maxout
#
# The loops; the gradient of the weights, given to the winning piece by hand; the ReLU, the leaky
# ReLU and $|x|$ as units of two pieces; and convexity, $f(\frac{u+v}2)\le\frac{f(u)+f(v)}2$, which
# no setting of the weights can break.

# %%
h_in, W_max, b_max = (draw_points(*s, seed=17, scale=1.0) for s in ((6, 4), (3, 5, 4), (3, 5)))
out = maxout(h_in, W_max, b_max)
ledger.check_close(52, "maxout: loops", out, maxout_by_loop(h_in, W_max, b_max))
pieces = torch.einsum("ni,uki->nuk", h_in, W_max) + b_max
winner = F.one_hot(pieces.argmax(dim=-1), 5).double()  # (N, units, pieces)
by_hand = torch.einsum("nu,nuk,ni->uki", 2 * pieces.amax(dim=-1), winner, h_in)
ledger.check_gradient(
    52,
    "maxout: only the winning piece gets a gradient",
    lambda W: maxout(h_in, torch.from_numpy(W), b_max).square().sum().item(),
    W_max,
    by_hand,
)
found = slope_of(lambda W: maxout(h_in, W, b_max).square(), W_max)
ledger.check_close(52, "maxout: autograd", found, by_hand, kind="gradient")

# %%
single_input = draw_points(50, 1, seed=18)
for name, two_slopes, reference in (
    ("ReLU", [0.0, 1.0], F.relu),
    ("leaky ReLU, gamma 0.3", [0.3, 1.0], lambda x: F.leaky_relu(x, 0.3)),
    ("|x|", [-1.0, 1.0], torch.abs),
):
    W_two = torch.tensor(two_slopes, dtype=torch.float64).view(1, 2, 1)
    found = maxout(single_input, W_two, torch.zeros(1, 2, dtype=torch.float64))
    ledger.check_close(52, f"two pieces make {name}", found, reference(single_input))
u, v = draw_points(500, 4, seed=19), draw_points(500, 4, seed=20)
at_middle, at_u, at_v = (maxout(h, W_max, b_max) for h in ((u + v) / 2, u, v))
ledger.check_at_most(
    52, "convex: middle above mean", (at_middle - (at_u + at_v) / 2).max(), 1e-12, kind="invariant"
)

# %% [markdown]
# ## Try it: any convex function
#
# $K$ tangents of $x^2$, touching at the centres of $K$ equal parts of $[-1,1]$, are a maxout unit.
# Neighbouring tangents cross at the border of their parts, a distance $1/K$ from where they touch,
# so the error is exactly $1/K^2$. **Predict:** and how well can it fit $\sin(3x)$?


# %%
def tangents_of_square(num_pieces):
    """Return weights and offsets of the tangents 2 t x - t^2 at the centres t."""
    t = (2 * torch.arange(num_pieces, dtype=torch.float64) + 1) / num_pieces - 1
    return (2 * t).view(1, -1, 1), -(t**2).view(1, -1)


UNIT_LINE = torch.linspace(-1, 1, 4201, dtype=torch.float64)[:, None]  # holds all the borders
for num_pieces in (2, 3, 5, 10):
    gap = (UNIT_LINE**2 - maxout(UNIT_LINE, *tangents_of_square(num_pieces))).max().item()
    ledger.check_close(52, f"x² by {num_pieces} pieces: error", gap, 1 / num_pieces**2)


# %% [markdown]
# For $\sin(3x)$, gradient descent on a unit with eight pieces, and on the *difference* of two such
# units (which is as many as any continuous function needs, as the paper shows).


# %%
def fit_maxout(signs, seed, num_pieces=8, num_steps=1000):
    """Return the fit of sin(3x) by a signed sum of maxout units."""
    x = UNIT_LINE[::50].float()
    y, signs = torch.sin(3 * x), torch.tensor(signs)
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(len(signs), num_pieces, 1, generator=generator).requires_grad_()
    b = (0.5 * torch.randn(len(signs), num_pieces, generator=generator)).requires_grad_()
    optimizer = torch.optim.Adam([W, b], lr=0.02)
    for _ in range(num_steps):
        loss = ((maxout(x, W, b) @ signs - y[:, 0]) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    winners = (torch.einsum("ni,uki->nuk", x, W) + b).argmax(dim=-1)  # (N, units)
    used = [len(unit.unique()) for unit in winners.T]
    return x[:, 0], (maxout(x, W, b) @ signs).detach(), loss.item(), used


ratios = []
for seed in range(3):
    one_unit, two_units = fit_maxout([1.0], seed), fit_maxout([1.0, -1.0], seed)
    for name, (_, _, error, used) in (("one unit", one_unit), ("difference", two_units)):
        print(f"{name:10s} mean squared error {error:.5f}, pieces that win somewhere: {used}")
    ratios.append(one_unit[2] / two_units[2])
ledger.check_at_least(52, "sin(3x), any start: one unit / difference of two", min(ratios), 10)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.5))
axs[0].plot(UNIT_LINE, UNIT_LINE**2, color="0.6", linestyle="-", label="x²")
for num_pieces, style in ((2, "--"), (5, ":")):
    fitted = maxout(UNIT_LINE, *tangents_of_square(num_pieces))
    axs[0].plot(UNIT_LINE, fitted, style, label=f"K = {num_pieces}")
axs[1].plot(one_unit[0], torch.sin(3 * one_unit[0]), color="0.6", linestyle="-", label="sin 3x")
axs[1].plot(one_unit[0], one_unit[1], "--", label="one unit")
axs[1].plot(two_units[0], two_units[1], ":", label="difference")
for ax, place in zip(axs, ("upper center", "lower right"), strict=True):
    ax.set(xlabel="input h", ylabel="output f(h)")
    ax.legend(loc=place)
show(
    fig,
    alt="Left: two and five tangents under a parabola. Right: one maxout unit can only bend up "
    "and misses the hump of the sine; the difference of two follows it.",
)

# %% [markdown]
# *Figure 3. Left: $x^2$ as a maximum of $K$ tangents. Right: $\sin3x$ by one maxout unit with eight
# pieces, which stays convex, and by the difference of two; the last of three starts.*
#
# Maxout learns its own activation function, at the price of $K$ times the weights. It goes flat
# only where a piece with zero weights wins, which random weights do not give it. But a piece that
# wins nowhere gets no gradient: here most of the eight end up unused.

# %% [markdown]
# ## The idea in symbols: smooth bends
#
# $$\text{softplus}(x)=\log(1+e^x),\qquad\text{swish}(x)=x\,\sigma(\beta x),\qquad
# \text{GELU}(x)=x\,P(X\le x)=x\,\Phi(x).$$
#
# Softplus is the integral of the logistic function. **Swish** multiplies $x$ by a gate that
# depends on $x$ itself. **GELU** does the same with the distribution function of
# $X\sim N(\mu,s^2)$, usually $\mu=0$, $s=1$ (the lecture writes $\sigma$ for $s$; here $\sigma$ is
# the logistic function). The lecture prints two approximations:
#
# $$\text{GELU}(x)\approx\tfrac12x\Big(1+\tanh\big(\sqrt{2/\pi}\,(x+0.044715\,x^3)\big)\Big),\qquad
# \text{GELU}(x)\approx x\,\sigma(1.702\,x).$$
#
# By the product rule, with $f=\text{swish}(x)$,
#
# $$\text{softplus}'=\sigma(x),\qquad\text{swish}'=\beta f+\sigma(\beta x)(1-\beta f),\qquad
# \text{GELU}'=\Phi(x)+x\,\varphi(x).$$

# %% [markdown]
# ## Build it: smooth bends
#
# $\log(1+e^x)=\max(0,x)+\log(1+e^{-|x|})$, and now no exponential can overflow. `log1p` keeps
# the digits where $e^x$ is tiny beside 1. **Predict:** the two terms have kinks at 0, which cancel.
# Will autograd see that?


# %%
def softplus_printed(x):
    """Return log(1 + e^x), as printed."""
    return torch.log(1 + torch.exp(x))


def softplus_with_relu(x):
    """Return relu(x) + log(1 + e^-|x|)."""
    return F.relu(x) + torch.log1p(torch.exp(-x.abs()))


print("printed, value       ", softplus_printed(FAR).tolist())
print("printed, slope       ", slope_of(softplus_printed, FAR).tolist())
print("two kinks, value     ", softplus_with_relu(FAR).tolist())
print("two kinks, slope     ", slope_of(softplus_with_relu, FAR).tolist())

# %% [markdown]
# The printed form is infinite at 800. The second form has good values everywhere, and slope 0 at
# $x=0$, where the right one is $\frac12$: both conventions at 0 said "0". With
# `torch.maximum`, which shares the slope equally, the kinks cancel. Like swish, softplus may have
# a sharpness: $\frac1\beta\log(1+e^{\beta x})$ has the slope $\sigma(\beta x)$.


# %%
def softplus(x, beta=1.0):
    """Return log(1 + e^(beta x)) / beta, right in slope at 0 too."""
    u = beta * x
    return (torch.maximum(u, torch.zeros_like(u)) + torch.log1p(torch.exp(-u.abs()))) / beta


def swish(x, beta=1.0):
    """Return x times the logistic of beta x."""
    return x * logistic(beta * x)


def swish_slope(x, beta=1.0):
    """Return beta f + s (1 - beta f), where s is the logistic of beta x."""
    f = swish(x, beta)
    return beta * f + logistic(beta * x) * (1 - beta * f)


# %%
def normal_cdf(x):
    """Return P(X <= x) for a standard normal X; erfc keeps digits far on the left."""
    return 0.5 * torch.special.erfc(-x / math.sqrt(2))


def normal_density(x):
    """Return the density of a standard normal."""
    return torch.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)


def gelu(x, mean=0.0, std=1.0):
    """Return x P(X <= x) for X normal with this mean and standard deviation."""
    return x * normal_cdf((x - mean) / std)


def gelu_slope(x):
    """Return the derivative for mean 0 and standard deviation 1."""
    return normal_cdf(x) + x * normal_density(x)


def gelu_tanh(x):
    """Return the approximation with tanh."""
    return 0.5 * x * (1 + tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


# %% [markdown]
# ## Check it: smooth bends
#
# torch has swish for $\beta=1$ only, as `silu`; in general it is $\text{silu}(\beta x)/\beta$.

# %%
for beta in (1.0, 0.3, 4.2):
    check_function(
        53,
        f"softplus, beta {beta}",
        lambda x, beta=beta: softplus(x, beta),
        lambda x, beta=beta: logistic(beta * x),
        lambda x, beta=beta: F.softplus(x, beta=beta),
        seed=11,
    )
    check_function(
        54,
        f"swish, beta {beta}",
        lambda x, beta=beta: swish(x, beta),
        lambda x, beta=beta: swish_slope(x, beta),
        lambda x, beta=beta: F.silu(beta * x) / beta,
        seed=12,
    )
check_function(55, "GELU", gelu, gelu_slope, F.gelu, seed=13)
theirs = F.gelu(x_odd, approximate="tanh")
ledger.check_close(55, "GELU with tanh, as torch has it", gelu_tanh(x_odd), theirs)

# %% [markdown]
# And the far inputs: values, slopes, and the slopes that autograd finds in our code.

# %%
for beta in (1.0, 2.3):
    ours, theirs = partial(swish, beta=beta), lambda x, beta=beta: F.silu(beta * x) / beta
    found = torch.stack([ours(FAR), swish_slope(FAR, beta), slope_of(ours, FAR)])
    wanted = torch.stack([theirs(FAR), slope_of(theirs, FAR), slope_of(theirs, FAR)])
    ledger.check_close(54, f"swish, beta {beta}: far inputs and slopes", found, wanted)
found, wanted = (torch.stack([f(FAR), slope_of(f, FAR)]) for f in (gelu, F.gelu))
ledger.check_close(55, "GELU: far inputs and slopes", found, wanted)
ledger.check_close(53, "softplus: far inputs", softplus(FAR), F.softplus(FAR))
ledger.check_close(
    53, "softplus: autograd at 0 too", slope_of(softplus, FAR), torch.sigmoid(FAR), kind="gradient"
)
for name, f in (("as printed", softplus_printed), ("with two kinks", softplus_with_relu)):
    with ledger.refuses(53, f"softplus {name}, slopes"):
        slopes = slope_of(f, FAR)
        ledger.check_close(53, name, slopes, torch.sigmoid(FAR), kind="gradient")

# %% [markdown]
# ### How many digits are right?
#
# A check on the *absolute* error is blind to a tail. The next cell compares with 60-digit
# arithmetic and looks at the *relative* error, for the printed forms and the mended ones. For GELU
# and its slope the printed form has $\Phi=\frac12\big(1+\operatorname{erf}(x/\sqrt2)\big)$, which
# cancels far on the left. The figure shows three of the five.

# %%
import mpmath

mpmath.mp.dps = 60
EXACT = {
    "slope of logistic": lambda x: 1 / ((1 + mpmath.exp(-x)) * (1 + mpmath.exp(x))),
    "softplus": lambda x: mpmath.log(1 + mpmath.exp(x)),
    "GELU": lambda x: x * mpmath.ncdf(x),
    "slope of tanh": lambda x: 4 / (mpmath.exp(x) + mpmath.exp(-x)) ** 2,
    "slope of GELU": lambda x: mpmath.ncdf(x) + x * mpmath.npdf(x),
}


def cdf_printed(x):
    """Return P(X <= x) by the error function."""
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


FORMS = {  # printed, mended
    "slope of logistic": (lambda x: logistic(x) * (1 - logistic(x)), logistic_slope),
    "softplus": (softplus_printed, softplus),
    "GELU": (lambda x: x * cdf_printed(x), gelu),
    "slope of tanh": (lambda x: 1 - tanh(x) ** 2, tanh_slope),
    "slope of GELU": (lambda x: cdf_printed(x) + x * normal_density(x), gelu_slope),
}

# %%
x_wide = torch.linspace(-36.3, 36.1, 80, dtype=torch.float64)
relative_error = {}
for name, exact in EXACT.items():
    truth = [exact(mpmath.mpf(x)) for x in x_wide.tolist()]
    for form, f in zip(("printed", "mended"), FORMS[name], strict=True):
        pairs = zip(f(x_wide).tolist(), truth, strict=True)
        errors = [float(abs((mpmath.mpf(value) - t) / t)) for value, t in pairs]
        relative_error[name, form] = np.array(errors)

# %%
fig, axs = plt.subplots(1, 3, figsize=(6.6, 2.5), sharey=True)
for ax, name in zip(axs, ("slope of logistic", "softplus", "GELU"), strict=True):
    for form, mark in (("printed", "s"), ("mended", ".")):
        shown = np.clip(relative_error[name, form], 1e-18, None)
        ax.semilogy(x_wide, shown, mark, markersize=4, fillstyle="none", label=form)
    ax.set(title=name, xlabel="net input x")
axs[0].set_ylabel("relative error (log scale)")
axs[0].legend(loc="upper left")
show(
    fig,
    alt="Three panels: the relative error of the printed forms climbs to 0.2, 0.3 and 1 in one "
    "tail each; the mended forms stay below 1e-12 everywhere.",
)

# %% [markdown]
# *Figure 4. Relative error of a value in float64 against 60-digit arithmetic; errors of exactly 0
# are drawn at $10^{-18}$. A relative error of 1 means that the value came out as 0.*
#
# The mended GELU loses digits slowly: an exponent $-x^2/2$ with a relative rounding error
# $\epsilon$ gives the value a relative error of $\epsilon x^2/2$.

# %%
for row, name in zip((46, 53, 55, 47, 55), EXACT, strict=True):
    good, bad = (relative_error[name, form] for form in ("mended", "printed"))
    print(f"{name}: worst relative error {bad.max():.1g} printed, {good.max():.1g} mended")
    ledger.check_close(row, f"{name}: all tails", good, np.zeros(80), tolerance=1e-12)
    with ledger.refuses(row, f"{name} as printed: all tails"):
        ledger.check_close(row, "printed", bad, np.zeros(80), tolerance=1e-12)

# %% [markdown]
# ### The derivative table, symbolically
#
# Sympy differentiates the lecture's formulas; the difference to the lecture's table (and to the
# slopes above) must simplify to 0, as a formula. Then our code must return sympy's numbers, at
# points of both signs.

# %%
import sympy as sp

x_, gamma_, beta_ = sp.symbols("x gamma beta", real=True)
SIGMA, RIGHT, FIRST_WINS = 1 / (1 + sp.exp(-x_)), x_ > 0, 2 * x_ + 1 > -x_
swish_, gate_ = x_ / (1 + sp.exp(-beta_ * x_)), 1 / (1 + sp.exp(-beta_ * x_))
Phi_ = (1 + sp.erf(x_ / sp.sqrt(2))) / 2
phi_ = sp.exp(-(x_**2) / 2) / sp.sqrt(2 * sp.pi)


def either(first, second, condition=RIGHT):
    """Return a sympy function that is `first` where the condition holds, else `second`."""
    return sp.Piecewise((first, condition), (second, True))


def two_pieces(x):
    """Return the maxout unit of 2 x + 1 and -x."""
    W = torch.tensor([[[2.0], [-1.0]]], dtype=torch.float64)
    return maxout(x[:, None], W, torch.tensor([[1.0, 0.0]], dtype=torch.float64))[:, 0]


# %%
SYMBOLIC = {  # row: name, function, claimed slope, our code with gamma 1.7 or beta 2.3
    46: ("logistic", SIGMA, SIGMA * (1 - SIGMA), logistic_slope),
    47: ("tanh", sp.tanh(x_), 1 - sp.tanh(x_) ** 2, tanh_slope),
    48: ("ReLU", either(x_, 0), either(1, 0), relu_slope),
    49: (
        "leaky ReLU",
        either(x_, gamma_ * x_),
        either(1, gamma_),
        lambda x: leaky_relu_slope(x, 1.7),
    ),
    50: (
        "PReLU, by gamma",
        either(x_, gamma_ * x_),
        either(0, x_),
        lambda x: slope_of(lambda gamma: prelu(x[None], gamma), torch.full_like(x, 1.7)),
    ),
    51: (
        "ELU",
        either(x_, gamma_ * (sp.exp(x_) - 1)),
        either(1, gamma_ * sp.exp(x_)),
        lambda x: elu_slope(x, 1.7),
    ),
}

# %%
SYMBOLIC |= {
    52: (
        "maxout of 2x + 1 and -x",
        either(2 * x_ + 1, -x_, FIRST_WINS),
        either(2, -1, FIRST_WINS),
        lambda x: slope_of(two_pieces, x),
    ),
    53: ("softplus", sp.log(1 + sp.exp(x_)), SIGMA, logistic),
    54: (
        "swish",
        swish_,
        beta_ * swish_ + gate_ * (1 - beta_ * swish_),
        lambda x: swish_slope(x, 2.3),
    ),
    55: ("GELU", x_ * Phi_, Phi_ + x_ * phi_, gelu_slope),
}
constants = {gamma_: sp.Rational(17, 10), beta_: sp.Rational(23, 10)}
points = draw_points(11, seed=15)
for row, (name, function, claimed, code) in SYMBOLIC.items():
    derivative = sp.diff(function, gamma_ if "by gamma" in name else x_)
    residual = sp.simplify(derivative - claimed)
    ledger.check_equal(row, f"{name}: sympy's residual", str(residual), "0", kind="gradient")
    numbers = derivative.subs(constants)
    expected = [float(numbers.subs(x_, x).evalf(20)) for x in points.tolist()]
    ledger.check_close(row, f"{name}: sympy's slope", code(points), expected, kind="gradient")

# %% [markdown]
# ### All of them at a glance


# %%
def bowl(x):
    """Return a maxout unit of one input: the largest of -x - 1, 0.3 x and 1.2 x - 0.5."""
    W = torch.tensor([[[-1.0], [0.3], [1.2]]], dtype=torch.float64)
    b = torch.tensor([[-1.0, 0.0, -0.5]], dtype=torch.float64)
    return maxout(x.reshape(-1, 1), W, b).view_as(x)


GALLERY = {
    "step": (step, step_slope),
    "logistic": (logistic, logistic_slope),
    "tanh": (tanh, tanh_slope),
    "ReLU": (relu, relu_slope),
    "leaky 0.1": (lambda x: leaky_relu(x, 0.1), lambda x: leaky_relu_slope(x, 0.1)),
    "PReLU, γ -0.4": (lambda x: leaky_relu(x, -0.4), lambda x: leaky_relu_slope(x, -0.4)),
    "ELU 1": (lambda x: elu(x, 1.0), lambda x: elu_slope(x, 1.0)),
    "maxout": (bowl, lambda x: slope_of(bowl, x)),
    "softplus": (softplus, logistic),
    "swish 1": (swish, swish_slope),
    "GELU": (gelu, gelu_slope),
}

# %%
x_plot = torch.linspace(-4, 4, 401, dtype=torch.float64)
fig, axs = plt.subplots(3, 4, figsize=(6.8, 4.8), sharex=True, sharey=True)
for ax, (name, (f, slope)) in zip(axs.flat, GALLERY.items(), strict=False):
    ax.axhline(0, color="0.8", linewidth=0.8)
    ax.plot(x_plot, f(x_plot))
    ax.plot(x_plot, slope(x_plot))
    ax.set(title=name, ylim=(-1.3, 2.2))
axs[-1, -1].set_axis_off()
axs[1, -1].tick_params(labelbottom=True)
fig.supxlabel("net input x")
fig.supylabel("f(x) solid, slope dashed")
show(
    fig,
    alt="Eleven panels with a function and its slope each: the step's slope is 0, the logistic's a "
    "low bump, that of tanh a bump of height 1, those of the ReLU family and of maxout jump, and "
    "swish and GELU overshoot 1 slightly.",
)

# %% [markdown]
# *Figure 5. Eleven activation functions (solid) and their slopes (dashed); the maxout unit has
# three pieces.*

# %%
X_DENSE = torch.linspace(-10, 10, 20001, dtype=torch.float64)
print("              slope at 0  largest slope  least slope")
for name, (_, slope) in GALLERY.items():
    slopes = slope(X_DENSE)
    at_zero = slope(ZERO).item()
    print(f"{name:13s} {at_zero:10.3f} {slopes.max():14.3f} {slopes.min():12.3f}")
largest = logistic_slope(X_DENSE).max().item()
ledger.check_close(46, "largest slope of the logistic", largest, 0.25, kind="gradient")

# %% [markdown]
# The logistic slope never exceeds a quarter. Of the smooth ones, swish and GELU alone fall on part
# of the left side, and their slopes exceed 1 on the right.

# %% [markdown]
# ## Try it: swish from a line to a ReLU
#
# **Predict** the two limits of $x\,\sigma(\beta x)$: $\beta\to0$ and $\beta\to\infty$. How far from
# the ReLU is it at $\beta=10$?
#
# With $u=\beta|x|$ the distance is $\frac1\beta\,u/(1+e^u)$ on both sides, and on the left it is
# how far swish dips below 0. Its maximum is $W(1/e)/\beta$, where $W$ solves $We^W=1/e$ (Lambert's
# function).

# %%
from scipy.special import lambertw

dip = float(lambertw(math.exp(-1)).real)  # the largest value of u / (1 + e^u)
x_fine = torch.linspace(-30, 30, 600_001, dtype=torch.float64)
for beta in (0.5, 2.0, 10.0):
    gap = (swish(x_fine, beta) - relu(x_fine)).abs().max().item()
    print(f"beta {beta:4}: largest distance from the ReLU {gap:.4f}, lowest value {-gap:.4f}")
    ledger.check_close(54, f"beta {beta}: distance W(1/e) / beta", gap, dip / beta, tolerance=1e-7)
    lowest = swish(x_fine, beta).min()
    ledger.check_close(54, f"beta {beta}: lowest value", lowest, -dip / beta, tolerance=1e-7)
tiny = 1e-5
linear = (swish(x_odd, tiny) - x_odd / 2) / tiny
ledger.check_close(54, "beta near 0: x/2 + beta x²/4", linear, x_odd**2 / 4, tolerance=1e-6)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.5))
for beta in (0.1, 1.0, 10.0):
    axs[0].plot(x_plot, swish(x_plot, beta), label=f"β = {beta:g}")
    axs[1].plot(x_plot, swish_slope(x_plot, beta))
axs[0].plot(x_plot, relu(x_plot), color="0.5", linestyle=":", label="ReLU")
axs[0].set(xlabel="net input x", ylabel="swish")
axs[0].legend()
axs[1].set(xlabel="net input x", ylabel="slope")
show(
    fig,
    alt="Left: swish bends gently around x/2 for beta 0.1, dips below zero for beta 1, and follows "
    "the ReLU for beta 10. Right: the slopes, from flat to a steep step that overshoots.",
)

# %% [markdown]
# *Figure 6. Swish for three $\beta$ and its slope. The distance to the ReLU is $W(1/e)/\beta$; near
# $\beta=0$ swish is half the identity.*
#
# A learned $\beta$ would let each unit choose between a line and a ReLU.

# %% [markdown]
# ## Try it: GELU as an expectation
#
# $x\,P(X\le x)$ is the mean of $x\cdot\mathbb 1[X\le x]$: an input that is kept or set to zero at
# random, and kept more often the larger it is (Hendrycks and Gimpel, 2016). Monte Carlo must
# agree within a few standard errors, for a normal distribution that is not the standard one too.

# %%
from scipy.stats import norm

rng = np.random.default_rng(0)
XS = torch.tensor([-1.5, -0.4, 0.3, 0.9, 2.1], dtype=torch.float64)
for mean, std in ((0.0, 1.0), (0.7, 1.9)):
    draws = torch.from_numpy(rng.normal(mean, std, size=(100_000, 1)))
    kept = XS * (draws <= XS)  # (100000, 5)
    error = kept.std(dim=0) / len(draws) ** 0.5
    off = ((kept.mean(dim=0) - gelu(XS, mean, std)) / error).abs().max()
    ledger.check_at_most(55, f"Monte Carlo, mean {mean}, std {std}: standard errors off", off, 4)

expected = XS.numpy() * norm.cdf(XS.numpy(), loc=0.7, scale=1.9)
ledger.check_close(55, "GELU with mean 0.7 and std 1.9: scipy", gelu(XS, 0.7, 1.9), expected)

# %% [markdown]
# The two approximations save an error function. **Predict** which is better, and by what factor.

# %%
approximation = {
    "with tanh": gelu_tanh(X_DENSE) - gelu(X_DENSE),
    "x σ(1.702 x)": swish(X_DENSE, 1.702) - gelu(X_DENSE),
}
worst_error = {name: error.abs().max().item() for name, error in approximation.items()}
fig, ax = plt.subplots(figsize=(6.0, 2.6))
for name, error in approximation.items():
    ax.semilogy(
        X_DENSE, error.abs().clamp(min=1e-9), label=f"{name}: at most {worst_error[name]:.2g}"
    )
ax.set(xlabel="net input x", ylabel="error (log scale)", xlim=(-5, 5), ylim=(1e-7, 20))
ax.legend(loc="upper center")
show(
    fig,
    alt="Two error curves on a log scale: the one with tanh lies one to three orders of magnitude "
    "below the one with the logistic function, but for its zeros; both fall off at both ends.",
)

# %% [markdown]
# *Figure 7. Absolute error of the two approximations of GELU; "at most" is the largest.*

# %%
from scipy.optimize import minimize_scalar

ledger.check_at_most(55, "error of the form with tanh", worst_error["with tanh"], 6e-4)
ratio = worst_error["x σ(1.702 x)"] / worst_error["with tanh"]
print(f"the form with tanh is better by a factor of {ratio:.0f}")
ledger.check_at_least(55, "the logistic form is worse, factor", ratio, 20)


def cdf_gap(c):
    """Return the largest distance between the logistic of c x and the normal cdf."""
    return (logistic(c * X_DENSE) - normal_cdf(X_DENSE)).abs().max().item()


best_c = minimize_scalar(cdf_gap, bounds=(1.5, 1.9), method="bounded", options={"xatol": 1e-6}).x
print(f"best constant {best_c:.4f}")
ledger.check_close(55, "where 1.702 comes from", best_c, 1.702, tolerance=1e-3)

# %% [markdown]
# The constant 1.702 brings the logistic function as close to $\Phi$ as it can get in the largest
# error. A network trained with one form and run with another sees these errors in every unit;
# keep the form that the weights were trained with.

# %% [markdown]
# ## The idea in symbols: what a slope does to a deep net
#
# Take layers of equal width $n$ and random weights of standard deviation $g/\sqrt n$. A net
# input is a sum of many terms, so nearly normal with mean square $q$. With $z\sim N(0,1)$,
#
# $$q^{l+1}=g^2\,\mathbb E\big[f(\sqrt{q^l}\,z)^2\big],\qquad
# \frac{\mathbb E[(\delta^{l})^2]}{\mathbb E[(\delta^{l+1})^2]}=\chi=
# g^2\,\mathbb E\big[f'(\sqrt{q^l}\,z)^2\big].$$
#
# (The second takes forward and backward signals as independent; Poole et al., 2016, and Schoenholz
# et al., 2017.) A gradient survives many layers only if $\chi$ stays near 1. For the logistic
# function $f'\le\frac14$, so $\chi\le g^2/16$ whatever $q$ is.
#
# ## Build it: one integral per layer
#
# The mean over $z$ as a sum over small steps; 0 is a border of steps and never a point, so a kink
# there does no harm.


# %%
def gaussian_mean(function, q, num_points=40_000, limit=10.0):
    """Return the mean of function(sqrt(q) z) over a standard normal z."""
    width = 2 * limit / num_points
    z = (torch.arange(num_points, dtype=torch.float64) + 0.5) * width - limit
    return (function(math.sqrt(q) * z) * normal_density(z)).sum().item() * width


def predict_signal(f, slope, gain, depth, q):
    """Return q for each layer, and chi for each, starting from the first layer's q."""
    qs, chis = [], []
    for _ in range(depth):
        qs.append(q)
        chis.append(gain**2 * gaussian_mean(lambda x: slope(x) ** 2, q))
        q = gain**2 * gaussian_mean(lambda x: f(x) ** 2, q)
    return np.array(qs), np.array(chis)


# %% [markdown]
# ## Check it: one integral per layer
#
# Closed forms for the functions with two straight pieces,
# $\mathbb E[f^2]=q\,\frac{1+\gamma^2}2$ and $\mathbb E[f'^2]=\frac{1+\gamma^2}2$, and scipy's
# adaptive integration for the others.

# %%
from scipy.integrate import quad


def adaptive_mean(function, q):
    """Return the same mean by scipy's adaptive integration."""
    density = norm(scale=math.sqrt(q)).pdf
    edge = 10 * math.sqrt(q)
    whole = [
        quad(lambda x: function(torch.tensor(x, dtype=torch.float64)).item() * density(x), *ends)[0]
        for ends in ((-edge, 0), (0, edge))
    ]
    return sum(whole)


for row, gamma in ((48, 0.0), (49, 0.3)):
    qs, chis = predict_signal(
        lambda x, gamma=gamma: leaky_relu(x, gamma),
        lambda x, gamma=gamma: leaky_relu_slope(x, gamma),
        1.2, 2, q=0.7,
    )  # fmt: skip
    factor = 1.2**2 * (1 + gamma**2) / 2
    ledger.check_close(row, f"gamma {gamma}: q and chi", [qs[1], chis[0]], [0.7 * factor, factor])
for row, name in ((46, "logistic"), (47, "tanh"), (51, "ELU 1"), (54, "swish 1"), (55, "GELU")):
    f, slope = GALLERY[name]
    for q in (0.4, 5.0):
        found = [gaussian_mean(lambda x, p=part: p(x) ** 2, q) for part in (f, slope)]
        wanted = [adaptive_mean(lambda x, p=part: p(x) ** 2, q) for part in (f, slope)]
        ledger.check_close(row, f"{name}, q {q}: E f², E f'²", found, wanted, tolerance=1e-7)

# %% [markdown]
# ## Try it: a gradient on its way down
#
# Now a real network of 20 layers. To look inside, register a **hook** (钩子): a function that
# torch calls whenever a module has computed its output.

# %%
generator = torch.Generator().manual_seed(0)


def scaled_init(gain):
    """Return an init for make_mlp: normal weights of std gain / sqrt(inputs)."""

    def fill(weight, generator):
        return nn.init.normal_(weight, std=gain / weight.shape[1] ** 0.5, generator=generator)

    return fill


small_net = make_mlp([5, 8, 8, 2], nn.Tanh, generator=generator, init=scaled_init(1.0))
OUTPUTS = {}


def keep_output(module, inputs, output):
    """Store what a module has computed; called by torch."""
    OUTPUTS[module] = output.detach()


handles = [m.register_forward_hook(keep_output) for m in small_net if isinstance(m, nn.Tanh)]
x_few = torch.randn(3, 5, generator=generator)
small_net(x_few)
for handle in handles:
    handle.remove()
print([tuple(output.shape) for output in OUTPUTS.values()])

# %% [markdown]
# `course_utils.probes` does this for a whole network, records the gradients on the way back as
# well, and takes its hooks off again. It must see what the raw hooks saw.

# %%
with probes.record(small_net, nn.Tanh) as seen:
    small_net(x_few).sum().backward()
for recorded, raw in zip(seen.activations.values(), OUTPUTS.values(), strict=True):
    torch.testing.assert_close(recorded, raw, rtol=0, atol=0)
last_weight = small_net[4].weight.detach().sum(dim=0).expand(3, 8)
torch.testing.assert_close(seen.gradients["3"], last_weight)
print("probes agree on", list(seen.activations), "and on the gradient of the last tanh")

# %% [markdown]
# Twenty layers of 300 units, gain 1, three seeds. The gradient enters at the top as random
# numbers. **Predict** the order of the five functions by how much gradient reaches the bottom.


# %%
def measure_signal(make_activation, gain, seed, depth=20, width=300):
    """Return the rms of net inputs and of deltas for each hidden layer, in order."""
    generator = torch.Generator().manual_seed(seed)
    widths = [width] * (depth + 1) + [width]
    net = make_mlp(widths, make_activation, generator=generator, init=scaled_init(gain))
    x = torch.randn(64, width, generator=generator)
    top = torch.randn(64, width, generator=generator)
    with probes.record(net, nn.Linear) as seen:
        (net(x) * top).sum().backward()
    forward = [s.rms for s in probes.summarise(seen.activations).values()]
    names = list(seen.activations)
    backward = probes.summarise({name: seen.gradients[name] for name in names})
    return np.array(forward)[:-1], np.array([s.rms for s in backward.values()])[:-1]


MODULES = {
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "ReLU": nn.ReLU,
    "softplus": nn.Softplus,
    "GELU": nn.GELU,
}
signals = {
    name: np.array([measure_signal(make, 1.0, seed) for seed in range(3)])
    for name, make in MODULES.items()
}  # each (seeds, 2, layers)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.6, 3.0))
layers = np.arange(1, 21)
fitted_rates = {}
for (name, signal), mark in zip(signals.items(), MARKERS, strict=True):
    qs, chis = predict_signal(*GALLERY[name], 1.0, 20, q=1.0)
    fading = np.sqrt(np.cumprod(chis[:-1][::-1])[::-1])  # from the top layer down to each
    relative = signal[:, 1] / signal[:, 1, -1:]
    (line,) = axs[0].semilogy(layers, np.sqrt(qs), linewidth=1.2)
    axs[0].semilogy(layers, signal[:, 0].mean(axis=0), mark, color=line.get_color(), markersize=4)
    axs[1].semilogy(layers[:-1], fading, linewidth=1.2)
    axs[1].semilogy(
        layers, relative.mean(axis=0), mark, color=line.get_color(), markersize=4, label=name
    )
    fitted_rates[name] = (np.log10(relative[:, 0]), math.log10(fading[0]))
axs[0].set(xlabel="layer", ylabel="rms of net inputs (log scale)")
axs[1].set(xlabel="layer", ylabel="rms of gradient (top = 1, log)")
for ax in axs:
    ax.set_xticks([1, 5, 10, 15, 20])
axs[1].legend(fontsize=9)
show(
    fig,
    alt="Left: net inputs per layer stay level or fade. Right: the gradient falls from layer 20 to "
    "1, most steeply, in a straight line, for the logistic function; marks lie on the lines.",
)

# %% [markdown]
# *Figure 8. Net inputs (left) and gradients (right) in 20 layers of 300 units at gain 1. Lines:
# the integrals. Marks: measured, mean of three seeds.*

# %%
for name, row in (("logistic", 46), ("tanh", 47), ("ReLU", 48), ("softplus", 53), ("GELU", 55)):
    found, wanted = fitted_rates[name]
    print(
        f"{name:8s} gradient at layer 1, log10: {found.round(2)} measured, {wanted:.2f} predicted; "
        f"per layer x {10 ** (wanted / 19):.2f}; "
        f"net inputs at layer 20 {signals[name][:, 0, -1].mean():.1e}"
    )
    off = np.abs(found - wanted).max()
    ledger.check_at_most(row, f"{name}: decades off after 19 layers", off, 0.25)

# %% [markdown]
# The marks lie on the lines: one integral over the slope tells what 19 layers do. The order is
# tanh, ReLU, softplus, GELU, logistic. The logistic function loses a factor of about four in each
# layer, as its largest slope says; the differences between samples shrank by as much on the way up
# in the first section, behind net inputs whose rms stays level. Half the squared gradient is lost
# per layer with the ReLU, since half its units are off; a gain of $\sqrt2$ would restore it, and
# notebook 05 starts there. Softplus keeps its net inputs and still loses gradient in every layer.
# GELU's net inputs shrink toward 0, where its slope is only $\frac12$. **Predict**: does a larger
# gain mend that?

# %%
gelu_rms = {
    gain: math.sqrt(predict_signal(gelu, gelu_slope, gain, 20, 1.0)[0][-1])
    for gain in (2**0.5, 1.6)
}
for gain, rms in gelu_rms.items():
    print(f"GELU at gain {gain:.2f}: rms of net inputs {rms:.2g} at layer 20")
ledger.check_at_most(55, "GELU at gain 1.41: rms at layer 20", gelu_rms[2**0.5], 0.1)
ledger.check_at_least(55, "GELU at gain 1.6: rms at layer 20", gelu_rms[1.6], 2)

# %% [markdown]
# It does not: at $\sqrt2$ they still shrink, at 1.6 they grow. A level between stays only as long
# as nothing disturbs it.

# %% [markdown]
# ## Try it: saturation
#
# An output is **saturated** (饱和) where the slope is nearly 0: $|\tanh x|>0.95$, say. The
# lecture's rule is that large weights saturate the units and kill the gradient. **Predict.** In a
# net of ten tanh layers, gain 1 against gain 5: which share of the outputs is saturated, and which
# net has the larger gradient at the bottom?

# %%
GAINS = (0.5, 1.0, 2.0, 5.0, 15.0)
SATURATED = 0.95
saturation = {}
for gain in GAINS:
    measured = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        net = make_mlp([300] * 12, nn.Tanh, generator=generator, init=scaled_init(gain))
        x, top = (torch.randn(64, 300, generator=generator) for _ in range(2))
        with probes.record(net, nn.Tanh, nn.Linear) as seen:
            (net(x) * top).sum().backward()
        # Modules are numbered Linear 0, Tanh 1, ..., Linear 18, Tanh 19, Linear 20.
        flat = seen.activations["19"].abs() > SATURATED
        bottom, upper = seen.gradients["0"].square(), seen.gradients["18"].square()
        growth = (bottom.mean() / upper.mean()).sqrt().item()
        carried = (upper[flat].sum() / upper.sum()).item()  # share of the saturated outputs
        measured.append((flat.float().mean().item(), growth, carried))
    saturation[gain] = np.array(measured)
    share, growth, carried = saturation[gain].mean(axis=0)
    print(f"gain {gain:4}: {share:.0%} saturated, with {carried:.1%} of delta squared; ", end="")
    print(f"gradient bottom / top {growth:.2g}")

# %% [markdown]
# With gain 5 most outputs are saturated, and the gradient *grows* on its way down. The rule fails
# here. The integral says why. For large $g$ nearly every output is $\pm1$, so $q=g^2$. The slope
# $1/\cosh^2x$ is a peak so narrow that the density of $x$ under it is constant, $1/(g\sqrt{2\pi})$:
# few units have a slope, but each weight that leads there is $g$ times as large. With
# $\int\cosh^{-4}x\,dx=\frac43$,
#
# $$\chi\to g^2\cdot\frac{4/3}{g\sqrt{2\pi}}=\frac{4\,g}{3\sqrt{2\pi}} .$$

# %%
for gain in (30.0, 100.0):
    chi = predict_signal(tanh, tanh_slope, gain, 1, q=gain**2)[1][0]
    limit = 4 * gain / (3 * math.sqrt(2 * math.pi))
    ledger.check_close(47, f"gain {gain}: chi against its limit", chi, limit, tolerance=1e-3)
for gain, most, factor in ((5.0, 0.5, 10), (15.0, 0.8, 1000)):
    share, growth, carried = saturation[gain].mean(axis=0)
    ledger.check_at_least(47, f"gain {gain}: saturated share", share, most)
    ledger.check_at_least(
        47, f"gain {gain}: gradient grows over nine layers, factor", growth, factor
    )
    ledger.check_at_most(47, f"gain {gain}: squared gradient in saturated outputs", carried, 0.02)
ledger.check_at_most(47, "gain 0.5: gradient fades, factor", saturation[0.5][:, 1].mean(), 0.05)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.8))
for column, ax in enumerate(axs):
    values = np.array([saturation[gain][:, column] for gain in GAINS])
    ax.errorbar(GAINS, values.mean(axis=1), yerr=np.ptp(values, axis=1) / 2, marker="o", capsize=3)
    ax.set(xscale="log", xlabel="gain (log scale)")
    ax.set_xticks(GAINS, [f"{gain:g}" for gain in GAINS])
    ax.minorticks_off()
axs[0].set_ylabel("saturated (fraction)")
axs[1].set(yscale="log", ylabel="bottom / top gradient (log)")
axs[1].axhline(1, color="0.6", linewidth=1)
show(
    fig,
    alt="Left: the share of saturated tanh outputs climbs from 0 to nearly all with the gain. "
    "Right: the gradient at the bottom relative to the top grows with the gain, far beyond 1.",
)

# %% [markdown]
# *Figure 9. Ten tanh layers of 300 units: saturated outputs of the last layer, and growth of the
# gradient over nine layers; bars span three seeds and are smaller than the marks.*
#
# Large random weights make a deep net's gradient *explode*, carried by the few outputs that are not
# saturated: the others get less than a hundredth of it. What does kill the gradient is a *single*
# saturated unit seen from its own weights: its slope is nearly 0, so the weights that saturated it
# hardly move. Both are true, at different places.

# %%
for f, slope in ((logistic, logistic_slope), (tanh, tanh_slope)):
    inputs = torch.tensor([0.0, 2.0, 5.0, 10.0], dtype=torch.float64)
    print(f.__name__, [f"{s:.1e}" for s in slope(inputs).tolist()])

# %% [markdown]
# ## Try it: dead units
#
# A ReLU unit whose net input is negative for *every* sample is **dead**: output 0, slope 0,
# gradient 0. **Predict.** Can it come back? Take a net with one hidden layer of 16 units, train it
# for ten steps, lower the bias of one unit until the unit is dead by a hair, and train on: once
# for each unit and three seeds, with three optimizers (notebook 04 builds them).


# %%
def deaths(f, make_optimizer, lr):
    """Kill one unit in each of 48 nets; return how far its weights move, and who is revived."""
    params = draw_nets([64, 16, 10], 3, gain=2**0.5, seed=0, copies=16)
    kept = make_optimizer([part.requires_grad_() for layer in params for part in layer])
    settings = {"rates": lr, "copies": 16, "make_optimizer": lambda weights: kept}
    train_nets(f, params, X_TRAIN, Y_TRAIN, num_steps=10, seed=0, **settings)
    net, unit = torch.arange(48), torch.arange(48) // 3
    W, b = params[0]
    with torch.no_grad():
        largest = forward_nets(params, X_TRAIN, f)[0].amax(dim=1)  # (48, 16)
        b[net, unit] -= largest[net, unit] + 0.02
        before = W[net, :, unit].clone()
    train_nets(f, params, X_TRAIN, Y_TRAIN, num_steps=50, seed=1, **settings)
    with torch.no_grad():
        largest = forward_nets(params, X_TRAIN, f)[0].amax(dim=1)
    moved = (W.detach()[net, :, unit] - before).norm(dim=1)
    return moved, largest[net, unit] > 0


def leaky_tenth(x):
    """Return the leaky ReLU with slope 0.1."""
    return F.leaky_relu(x, 0.1)


heavy_ball = partial(torch.optim.SGD, lr=1.0, momentum=0.9)
fates = {
    "ReLU, plain SGD": deaths(torch.relu, plain_sgd, 0.05),
    "leaky, plain SGD": deaths(leaky_tenth, plain_sgd, 0.05),
    "ReLU, momentum": deaths(torch.relu, heavy_ball, 0.05),
    "ReLU, Adam": deaths(torch.relu, partial(torch.optim.Adam, lr=0.01), 1.0),
}
for name, (moved, alive) in fates.items():
    print(f"{name:16s} weights move by {moved.mean():.3f}; {alive.sum()} of 48 units revived")

# %%
moved, alive = fates["ReLU, plain SGD"]
ledger.check_equal(48, "plain SGD: a dead unit moves by", moved.max(), 0.0, kind="invariant")
ledger.check_at_least(49, "leaky: least move", fates["leaky, plain SGD"][0].min(), 0.001)
ledger.check_at_least(48, "Adam: share revived", fates["ReLU, Adam"][1].float().mean(), 0.75)

# %% [markdown]
# Under plain gradient descent without weight decay a dead unit of the first layer does not move by
# a hair, and stays dead. A running mean of gradients (notebook 04) keeps it moving for a while, and
# often revives it; a leak lets it move by itself. In a higher layer the inputs change with the
# layers below, which may revive a unit, or kill it. Units die by too large a step. Here three
# hidden layers are trained with Adam at four rates, five seeds each, and the dead units are
# counted over the whole training set.


# %%
@torch.no_grad()
def never_positive(params, X, f):
    """Return the share of units with no positive net input on X, (nets, hidden layers)."""
    hidden = forward_nets(params, X, f)[:-1]  # net inputs
    return torch.stack([(x <= 0).all(dim=1).float().mean(dim=1) for x in hidden], dim=1)


@torch.no_grad()
def accuracy_of(params, X, y, f):
    """Return the accuracy of each net in the stack."""
    return (forward_nets(params, X, f)[-1].argmax(dim=-1) == y).float().mean(dim=1)


DEAD_RATES = (0.001, 0.01, 0.03, 0.1)
negative, test_accuracy = {}, {}
for name, f in (("ReLU", torch.relu), ("leaky 0.1", leaky_tenth)):
    for lr in DEAD_RATES:
        params = draw_nets([64, 64, 64, 64, 10], 5, gain=2**0.5, seed=1)
        adam = partial(torch.optim.Adam, lr=lr)
        train_nets(f, params, X_TRAIN, Y_TRAIN, num_steps=300, seed=1, make_optimizer=adam)
        negative[name, lr] = never_positive(params, X_TRAIN, f)
        test_accuracy[name, lr] = accuracy_of(params, X_TEST, Y_TEST, f)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.6))
for name, mark in (("ReLU", "o"), ("leaky 0.1", "s")):
    for ax, table in zip(axs, (negative, test_accuracy), strict=True):
        values = torch.stack([table[name, lr].view(5, -1).mean(dim=1) for lr in DEAD_RATES])
        (line,) = ax.plot(DEAD_RATES, values.mean(dim=1), marker=mark, label=name)
        low, high = values.min(dim=1).values, values.max(dim=1).values
        ax.fill_between(DEAD_RATES, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
axs[0].set_ylabel("never positive (fraction)")
axs[1].set(ylabel="test accuracy", ylim=(0, 1.02))
for ax in axs:
    ax.set(xlabel="learning rate (log scale)", xscale="log")
    ax.legend()
show(
    fig,
    alt="Left: units that are never positive rise steeply with the learning rate. Right: the ReLU "
    "net's accuracy collapses at the largest rate, the leaky net's falls little.",
)

# %% [markdown]
# *Figure 10. Share of hidden units whose net input is negative on the whole training set, and test
# accuracy, after 300 steps of Adam; bands span five seeds. In the ReLU net these units are dead;
# in the leaky one they still pass a tenth of the gradient.*

# %%
for lr in (0.001, 0.1):
    print(
        f"lr {lr}: ReLU dead {negative['ReLU', lr].mean():.0%}, "
        f"test {test_accuracy['ReLU', lr].mean():.0%}; "
        f"leaky never positive {negative['leaky 0.1', lr].mean():.0%}, "
        f"test {test_accuracy['leaky 0.1', lr].mean():.0%}"
    )
by_layer = negative["ReLU", 0.1].mean(dim=0)
print("lr 0.1, ReLU dead in layers 1, 2, 3:", "  ".join(f"{share:.0%}" for share in by_layer))
at_low, at_high = (negative["ReLU", lr].mean(dim=1) for lr in (0.001, 0.1))
ledger.check_at_most(48, "dead units at lr 0.001", at_low.max(), 0.05)
ledger.check_at_least(48, "dead units at lr 0.1", at_high.min(), 0.3)
ledger.check_at_most(48, "dead units of the first layer at lr 0.1", by_layer[0], 0.02)
ahead = (test_accuracy["leaky 0.1", 0.1] - test_accuracy["ReLU", 0.1]).mean()
ledger.check_at_least(49, "lr 0.1: leaky ahead of ReLU in accuracy", ahead, 0.2)
close = (test_accuracy["leaky 0.1", 0.001] - test_accuracy["ReLU", 0.001]).mean().abs()
ledger.check_at_most(49, "lr 0.001: difference in accuracy", close, 0.02)

# %% [markdown]
# At a sensible rate there is nothing to rescue, and the two are alike. The dead units of the
# largest rate are all in the layers above the first. The leak is an insurance against steps that
# are too large.

# %% [markdown]
# ## The idea in symbols: a mean that is not zero
#
# The gradient of a unit's weights is $\delta\,h_i$ for input $i$. If no $h_i<0$, as after a
# logistic or ReLU layer, every entry has the *sign of* $\delta$ or is 0: for one sample the weights
# can only rise together or fall together. That is the argument on many slides. With a mini-batch
# the signs mix, so what remains?
#
# Take a linear unit without bias, half the squared loss, and $D$ inputs with mean $m$ and unit
# variance, uncorrelated. The Hessian is $\mathbb E[hh^\top]=I+m^2\mathbf 1\mathbf 1^\top$. Its
# eigenvalues are $1$ ($D-1$ times) and $1+Dm^2$ (along $\mathbf 1$), so the condition number is
#
# $$\kappa=1+Dm^2 .$$
#
# The learning rate must stay below $2/(1+Dm^2)$, while every other direction would like a rate
# near 1 (LeCun et al., 1998).
#
# ## Build it: a mean that is not zero
#
# Data whose sample covariance is *exactly* the identity and whose sample mean is exactly $m$: the
# orthonormal columns of a QR decomposition, scaled, all orthogonal to the constant.


# %%
def make_shifted(num_samples, num_inputs, mean, seed):
    """Return inputs with covariance exactly I and every mean exactly this."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.randn(num_samples, num_inputs, generator=generator, dtype=torch.float64)
    constant = torch.ones(num_samples, 1, dtype=torch.float64)
    Q = torch.linalg.qr(torch.cat([constant, raw], dim=1)).Q[:, 1:]
    return mean + math.sqrt(num_samples) * Q  # (N, D)


def steps_to_learn(H, w_error, tolerance=1e-3):
    """Return the steps of gradient descent, at the best fixed rate, until the error is small."""
    curvature = torch.linalg.eigvalsh(H)
    lr = 2 / (curvature[0] + curvature[-1])
    start = w_error.norm()
    for num_steps in range(100_000):
        if w_error.norm() <= tolerance * start:
            return num_steps
        w_error = w_error - lr * H @ w_error
    return num_steps


# %% [markdown]
# ## Check it: a mean that is not zero

# %%
D_INPUTS = 12
shifted = {mean: make_shifted(60, D_INPUTS, mean, seed=1) for mean in (0.0, 0.25, 0.5, 1.0, 2.0)}
for mean, h in shifted.items():
    curvature = torch.linalg.eigvalsh(h.T @ h / len(h))
    wanted = torch.ones(D_INPUTS, dtype=torch.float64)
    wanted[-1] += D_INPUTS * mean**2
    torch.testing.assert_close(curvature, wanted)
    print(f"mean {mean}: eigenvalues {curvature[0]:.4f} (least), {curvature[-1]:.4f} (largest)")

# %% [markdown]
# ## Try it: what a mean costs
#
# At the best fixed rate a step multiplies the error along both curvatures by
# $\pm(\kappa-1)/(\kappa+1)$, so the first $n$ with
# $\big(\frac{\kappa-1}{\kappa+1}\big)^n\le10^{-3}$ is the number of steps, and it grows like
# $\kappa$. **Predict** the path for two inputs of mean 1.5, from the error $(1,-0.6)$: does the
# part along $\mathbf 1$ or the part across it change sign in every step?

# %%
needed, closed_form = [], []
for mean, h in shifted.items():
    start = torch.linspace(-1, 1.2, D_INPUTS, dtype=torch.float64)
    needed.append(steps_to_learn(h.T @ h / len(h), start))
    kappa = 1 + D_INPUTS * mean**2
    rate = (kappa - 1) / (kappa + 1)
    closed_form.append(math.ceil(math.log(1e-3) / math.log(rate)) if rate else 1)
    print(f"mean {mean:4}: condition number {kappa:4.1f}, {needed[-1]} steps")
assert needed == closed_form, closed_form
kappas = [1 + D_INPUTS * mean**2 for mean in shifted]

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.7))
for mean, mark in ((0.0, "o"), (0.5, "s"), (1.5, "^")):
    h = make_shifted(60, 2, mean, seed=1)
    H, w = h.T @ h / len(h), torch.tensor([1.0, -0.6], dtype=torch.float64)
    curvature = torch.linalg.eigvalsh(H)
    lr, path = 2 / (curvature[0] + curvature[-1]), [w]
    for _ in range(12):
        path.append(path[-1] - lr * H @ path[-1])
    axs[0].plot(*torch.stack(path).T, marker=mark, markersize=3, linewidth=1, label=f"m = {mean}")
axs[0].set(xlabel="error of weight 1", ylabel="error of weight 2")
axs[0].set_aspect("equal", "datalim")
axs[0].legend(loc="upper right")
axs[1].plot(kappas, needed, "o", label="measured")
axs[1].plot(kappas, closed_form, label="closed form")
axs[1].set(xlabel="condition number 1 + Dm²", ylabel="steps needed")
axs[1].legend()
show(
    fig,
    alt="Left: with mean 0 one step reaches the origin, with a mean the path zigzags along the "
    "diagonal. Right: the steps needed grow in proportion to the condition number.",
)

# %% [markdown]
# *Figure 11. Left: twelve steps from one start at the best fixed rate, two inputs with mean $m$.
# Right: steps at the best rate until a thousandth of the error is left, 12 inputs; all five counts
# equal the closed form.*
#
# The zigzag is that of a badly scaled bowl: the error along $\mathbf 1$ overshoots in every step,
# that across it keeps its sign, and no rate speeds up the one without slowing the other.
# Mini-batches do not remove it. Now the signs, in a network: gradients of a second layer's weights.


# %%
def shared_sign(make_activation, batch_size, seed, num_batches=10):
    """Return the mean share of a unit's weights whose gradients have the commoner sign."""
    generator = torch.Generator().manual_seed(seed)
    net = make_mlp([64, 50, 30, 10], make_activation, generator=generator, init=scaled_init(1.0))
    shares = []
    for _ in range(num_batches):
        index = torch.randint(len(X_TRAIN), (batch_size,), generator=generator)
        loss = F.cross_entropy(net(X_TRAIN[index]), Y_TRAIN[index])
        grad = torch.autograd.grad(loss, net[2].weight)[0]  # (30, 50)
        positive, minus = (grad > 0).sum(dim=1), (grad < 0).sum(dim=1)
        moving = positive + minus > 0
        most = torch.maximum(positive, minus)[moving]
        shares.append((most / (positive + minus)[moving]).mean().item())
    return np.mean(shares)


# %%
BATCHES = (1, 4, 16, 64, 256)
FOUR = (("logistic", nn.Sigmoid), ("softplus", nn.Softplus), ("ReLU", nn.ReLU), ("tanh", nn.Tanh))
sharing = {
    name: [np.mean([shared_sign(make, size, seed) for seed in range(3)]) for size in BATCHES]
    for name, make in FOUR
}
((W_first, _),) = draw_nets([64, 50], 1, 1.0, seed=0)
for name, make in FOUR:
    h = make()(X_TRAIN @ W_first[0])
    ratio = (h.mean(dim=0).abs() / h.std(dim=0)).mean()
    shares = "  ".join(f"B={b}: {s:.2f}" for b, s in zip(BATCHES, sharing[name], strict=True))
    print(f"{name:8s}", shares, f" mean / std of an output: {ratio:.2f}")
for row, name in ((46, "logistic"), (53, "softplus"), (48, "ReLU")):
    ledger.check_close(row, f"{name}, one sample: all signs agree", sharing[name][0], 1.0)
ledger.check_at_most(47, "tanh, one sample: share of the commoner sign", sharing["tanh"][0], 0.7)
ledger.check_at_least(46, "logistic, 256 samples: share", sharing["logistic"][-1], 0.8)
ledger.check_at_most(48, "ReLU, 256 samples: share", sharing["ReLU"][-1], 0.8)

# %% [markdown]
# For one sample the slide's argument holds exactly. (With tanh an even split of 50 signs would
# show a commoner sign slightly above one half.) With growing batches the signs of the ReLU
# mix; those of the logistic function and of softplus stay together even at 256 samples. The last
# column fits: it is their mean that is large beside their spread.

# %% [markdown]
# ## Try it: slope or mean?
#
# The logistic function differs from tanh in its slope at 0, $\frac14$, and in its mean, which is
# large *beside the spread of its outputs*. $\sigma-\frac12$ mends the mean. $4\sigma$ mends the
# slope and keeps the mean as large beside the spread as it was; $4\sigma-\frac32$ has slope 1 and
# the old value $\frac12$ at 0; $4\sigma-2=2\tanh(x/2)$ has both repaired. And $\sigma$ with weights
# four times as large is $4\sigma$ with the old ones, from layer 2 on.
#
# **Predict** which of the two was to blame in the first section.

# %%
LOGISTICS = {  # function, gain
    "σ: f' = 1/4, f = 1/2": (torch.sigmoid, 1.0),
    "σ - 1/2: f' = 1/4, f = 0": (lambda x: torch.sigmoid(x) - 0.5, 1.0),
    "4σ: f' = 1, f = 2": (lambda x: 4 * torch.sigmoid(x), 1.0),
    "4σ - 3/2: f' = 1, f = 1/2": (lambda x: 4 * torch.sigmoid(x) - 1.5, 1.0),
    "4σ - 2: f' = 1, f = 0": (lambda x: 4 * torch.sigmoid(x) - 2, 1.0),
    "σ, gain 4": (torch.sigmoid, 4.0),
}
ABLATION_RATES = (0.1, 0.3, 1.0, 3.0)
ablation = {}
print(f"{'loss at rates':26s} {ABLATION_RATES}")
for name, (f, gain) in LOGISTICS.items():
    losses = train_at_rates(f, X_TRAIN, Y_TRAIN, ABLATION_RATES, num_steps=300, seed=2, gain=gain)
    ablation[name] = losses[-50:].mean(dim=0)  # (rates, seeds)
    print(f"{name:26s}", "  ".join(f"{loss:7.3f}" for loss in ablation[name].mean(dim=1)))

# %%
fig, ax = plt.subplots(figsize=(6.8, 2.8))
looks = zip(PALETTE.values(), ("-", "--", "-.", ":", "-"), MARKERS, strict=False)
for (name, values), (color, style, mark) in zip(list(ablation.items())[:5], looks, strict=True):
    ax.loglog(
        ABLATION_RATES, values.mean(dim=1), marker=mark, color=color, linestyle=style, label=name
    )
    low, high = values.min(dim=1).values, values.max(dim=1).values
    ax.fill_between(ABLATION_RATES, low, high, color=color, alpha=0.2, linewidth=0)
ax.set(xlabel="learning rate (log scale)", ylabel="loss (nats, log scale)")
ax.legend(fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))
show(
    fig,
    alt="Loss against learning rate for five versions of the logistic function: slope one quarter "
    "stays at the loss of guessing up to rate 1; slope 1 learns, alike with value 0 or one half "
    "at 0, and worse with value 2.",
)

# %% [markdown]
# *Figure 12. Mean loss of steps 250 to 300, five hidden layers; bands span five seeds. The labels
# give slope and value at 0; the last row of the table is left out.*

# %%
plain, centred, steep, shifted_up, both, wide = ablation.values()  # (rates, seeds)
at_quarter = min(plain[:3].min(), centred[:3].min())
ledger.check_at_least(46, "slope 1/4, rates to 1, centred or not: loss", at_quarter, 2.0)
ledger.check_at_most(
    46, "gain 4, not centred, any seed: best loss", wide.min(dim=0).values.max(), 0.2
)
gain_by_centring = (plain[-1] - centred[-1]).mean()
ledger.check_at_least(46, "slope 1/4, rate 3: gain by centring (nats)", gain_by_centring, 0.3)
best = [values.mean(dim=1).min() for values in (steep, shifted_up, both)]
ledger.check_at_least(46, "slope 1: value 2 / value 0, best loss", best[0] / best[2], 4)
ledger.check_at_most(46, "slope 1: value 1/2 / value 0, best loss", best[1] / best[2], 2)

# %% [markdown]
# The slope comes first. Slope times gain decides whether the net starts to learn: with gain 4 the
# plain logistic function learns in these steps too. A large rate helps the centred function within
# 300 steps; the other one leaves its plateau later, if at all. With slope 1 a value of $\frac12$ at
# 0 does no harm; a value of 2, as large beside the spread as before, costs a factor of ten in the
# loss, and the rate 0.3. How much it costs depends on how the net is written: as $\sigma$ with
# weights four times as large, a step moves the net inputs a sixteenth as far, so the last row needs
# larger rates, and there loses less.

# %% [markdown]
# ## Try it: is ReLU better than softplus?
#
# "Glorot et al. (2011) discourage softplus", says the slide: it is smooth and has a slope
# everywhere, yet the ReLU did better in that paper, and its exact zeros were offered as the reason.
# The test needs more candidates: $\frac1\beta\log(1+e^{\beta x})$ with $\beta=4$ is closer to the
# ReLU and has *no* exact zeros either; $\text{softplus}-\log2$ has the slope and the bend of
# softplus, and a smaller mean.
#
# Pictures of Fashion-MNIST, averaged to 14 x 14; three hidden layers of 64 units, five seeds with
# their own weights and minibatches. Each function has its own learning rate: for the training loss
# the one that fits best, for the test accuracy the one with the lowest validation loss. All of this
# twice: at gain 1 for everyone, and at gain $\sqrt2$, since Figure 8 shows that gain 1 costs
# softplus more gradient than the ReLU. **Predict** who wins at each gain.

# %%
fashion = data.load_fashion_mnist()


def shrink(pictures):
    """Return pictures averaged over 2 x 2 pixels, flat."""
    return F.avg_pool2d(torch.from_numpy(pictures)[:, None], 2).flatten(1)


X_FASHION = shrink(fashion.X_train[:12_000])  # (12000, 196)
fashion_centre, fashion_spread = X_FASHION[:8000].mean(dim=0), X_FASHION[:8000].std()
X_FASHION = (X_FASHION - fashion_centre) / fashion_spread
Y_FASHION = torch.from_numpy(fashion.y_train[:12_000])
X_CLOTH = (shrink(fashion.X_test[:5000]) - fashion_centre) / fashion_spread
Y_CLOTH = torch.from_numpy(fashion.y_test[:5000])
RIVALS = {
    "ReLU": torch.relu,
    "softplus": F.softplus,  # as ours, and faster
    "softplus, centred": lambda x: F.softplus(x) - math.log(2),
    "softplus, β = 4": lambda x: F.softplus(x, beta=4.0),
}
FASHION_WIDTHS = [196, 64, 64, 64, 10]
FASHION_RATES = (0.1, 0.2, 0.4)
NUM_RIVALS = 5  # seeds


# %%
def race_nets(f, gain, num_steps=500):
    """Return validation and training loss, test accuracy and share of zeros, (rates, seeds)."""
    params = draw_nets(FASHION_WIDTHS, NUM_RIVALS, gain, seed=3, copies=len(FASHION_RATES))
    each = torch.tensor(FASHION_RATES).repeat_interleave(NUM_RIVALS)
    X, y = X_FASHION[:8000], Y_FASHION[:8000]
    settings = {"num_steps": num_steps, "seed": 3, "rates": each, "copies": len(FASHION_RATES)}
    history = train_nets(f, params, X, y, **settings)
    with torch.no_grad():
        val_loss = losses_of(params, X_FASHION[8000:], Y_FASHION[8000:], f)
        hidden = torch.stack([f(x) for x in forward_nets(params, X_CLOTH[:500], f)[:-1]])
    zeros = (hidden == 0).float().mean(dim=(0, 2, 3))
    test = accuracy_of(params, X_CLOTH, Y_CLOTH, f)
    results = (val_loss, history[-100:].mean(dim=0), test, zeros)
    return [part.view(-1, NUM_RIVALS) for part in results]


GAIN_1, GAIN_HE = 1.0, 2**0.5
race = {}
for gain, (name, f) in itertools.product((GAIN_1, GAIN_HE), RIVALS.items()):
    val_loss, last, test, zeros = race_nets(f, gain)
    best, fits = val_loss.mean(dim=1).argmin(), last.mean(dim=1).argmin()
    race[name, gain] = last[fits], test[best], zeros[best]
    by_rate = "  ".join(f"{100 * accuracy:.1f}" for accuracy in test.mean(dim=1))
    print(f"gain {gain:.2f} {name:17s} test {by_rate} %; ", end="")
    print(f"rates {FASHION_RATES[fits]}, {FASHION_RATES[best]}; {zeros[best].mean():.0%} zeros")
print(f"test at the rates {FASHION_RATES}; rates chosen for training loss, for test; exact zeros")

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.8, 2.8))
for (name, gain), results in race.items():
    place, is_first = list(RIVALS).index(name), gain == GAIN_1
    across = place + np.linspace(-0.08, 0.08, NUM_RIVALS) + (-0.15 if is_first else 0.15)
    for ax, values in zip(axs, (results[0], 100 * results[1]), strict=True):
        ax.plot(
            across,
            values,
            MARKERS[place],
            color=list(PALETTE.values())[place],
            fillstyle="none" if is_first else "full",
            markersize=4,
            label=f"gain {gain:.2f}" if place == 0 else None,
        )
for ax, label in zip(axs, ("training loss (nats)", "test accuracy (%)"), strict=True):
    ax.set(xlabel="function", ylabel=label, xlim=(-0.5, 3.5))
    ax.set_xticks(range(4), ["ReLU", "softplus", "centred", "β = 4"], fontsize=9)
axs[0].legend(loc="upper right")
show(
    fig,
    alt="Two panels of dots for ReLU, softplus, softplus minus log 2 and the sharper softplus, at "
    "two gains: softplus has the largest training loss at both; test accuracies overlap.",
)

# %% [markdown]
# *Figure 13. Training loss (mean of the last 100 of 500 steps) and test accuracy of five seeds,
# at gain 1 (open) and $\sqrt2$ (filled); the rate is chosen for each function and panel.*

# %%
leads = {}
for gain, rival in itertools.product((GAIN_1, GAIN_HE), list(RIVALS)[1:]):
    lag = race[rival, gain][0] - race["ReLU", gain][0]  # paired by seed
    ahead = race["ReLU", gain][1] - race[rival, gain][1]
    leads[rival, gain] = lag, ahead
    print(
        f"gain {gain:.2f}, ReLU ahead of {rival:17s}: {lag.mean():+.3f} ± {lag.std():.3f} nats, "
        f"{ahead.mean():+.1%} ± {ahead.std():.1%} accuracy"
    )

# %%
for gain in (GAIN_1, GAIN_HE):
    plain_lag = leads["softplus", gain][0]
    name = f"gain {gain:.2f}, softplus"
    ledger.check_at_least(48, f"{name}: behind in training loss, any seed", plain_lag.min(), 0.02)
    for rival, most in (("softplus, centred", 0.7), ("softplus, β = 4", 0.5)):
        share = leads[rival, gain][0].mean() / plain_lag.mean()
        ledger.check_at_most(53, f"gain {gain:.2f}, {rival}: share of that lag", share, most)
    sharp_ahead, sharp_zeros = leads["softplus, β = 4", gain][1], race["softplus, β = 4", gain][2]
    ledger.check_at_most(53, f"{name}, β = 4: behind in accuracy", sharp_ahead.mean(), 0.01)
    ledger.check_at_most(53, f"{name}, β = 4: share of exact zeros", sharp_zeros.max(), 0.001)
    ledger.check_at_least(
        48, f"gain {gain:.2f}, ReLU: share of exact zeros", race["ReLU", gain][2].min(), 0.2
    )

# %% [markdown]
# The claim holds in part. In training loss the ReLU is ahead of softplus in every seed, at both
# gains; in test accuracy the lead is one point at gain 1 and half a point at $\sqrt2$, about the
# scatter of the seeds. The reason
# is not the exact zeros: the sharper softplus has none, and keeps up. Half or more of the lag goes
# when $\log2$ is taken off, with slope and bend untouched: it is the mean. Sharpening the bend also
# lowers the mean, so $\beta=4$ does not separate the two. This is one small task and 500 steps; the
# paper's nets were larger, and trained to the end.

# %% [markdown]
# ## Explore it
#
# The widget sends random inputs through 30 layers of 64 units. Its gain multiplies He's standard
# deviation $\sqrt{2/n}$, so its gain 1 is $g=\sqrt2$ in the symbols above.
#
# 1. At its gain 1 one of ReLU and tanh wanders, with no level of its own; the other settles within
#    a few layers, at the same level for other weights too (`seed=1` in the call). Which, and why?
# 2. Lower the gain of tanh. Where is the border below which the signal dies? Compare with $g=1$.
# 3. Take tanh to gain 4. Which share of its *outputs* is flat (slope below 0.01)? What does the
#    section on saturation say about the gradient of such a net?
# 4. Choose the logistic function and read the mean of its outputs. Can any gain bring it to 0?

# %%
ActivationExplorer(activations=("relu", "tanh"), gain=1.0)

# %% [markdown]
# ## Exercises
#
# ### 1. How deep is too deep? (easy, 5 minutes)
#
# Take a chain of logistic units, one in each layer, with weights 1. The gradient with respect to
# the *output* of the top unit is 1. After passing back through how many units (one slope each) is
# it *certain*, whatever the inputs, that the gradient is below $10^{-6}$?

# %% tags=["exercise"]
answer_1 = None  # a whole number

# %%
check_exercise(
    answer_1,
    10,
    mistakes={
        "One short: at 9 units the factor may still be above a millionth.": 9,
        "One too many: each unit passed counts one slope, the top one too.": 11,
        "Round up: units are whole.": math.log(1e-6) / math.log(0.25),
        "You used the slope 1/2; that is the value of the logistic function at 0.": 20,
        "Give the number of units, not the factor.": 0.25**10,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_1 = math.ceil(math.log(1e-6) / math.log(0.25))
# ```
# The largest slope is $\frac14$, and $4^{-10}$ is the first power below $10^{-6}$.
# </details>

# %% [markdown]
# ### 2. Hard swish (medium, 10 minutes)
#
# MobileNetV3 replaces the logistic function in swish by straight pieces:
# $x\cdot\min(\max(x+3,0),6)/6$ (Howard et al., 2019). Write its *slope* as a function, without
# autograd, and evaluate it at `SOME`.

# %% tags=["exercise"]
SOME = torch.tensor([-4.0, -2.0, -0.5, 1.0, 2.5, 7.0], dtype=torch.float64)


def hard_swish_slope(x):
    """Return the derivative of x min(max(x + 3, 0), 6) / 6."""
    return None


answer_2 = None  # hard_swish_slope(SOME)

# %%
check_exercise(
    answer_2,
    slope_of(F.hardswish, SOME),
    mistakes={
        "That is the gate alone; the product rule has a second term.": F.hardsigmoid(SOME),
        "You differentiated the gate only in the second factor: add the gate itself.": SOME
        * slope_of(F.hardsigmoid, SOME),
        "Far on the right the gate stops at 1, so the slope is 1 there.": torch.where(
            SOME > -3, (2 * SOME + 3) / 6, 0.0
        ),
        "The gate is constant left of -3 and right of 3.": (2 * SOME + 3) / 6,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# SOME = torch.tensor([-4.0, -2.0, -0.5, 1.0, 2.5, 7.0], dtype=torch.float64)
#
#
# def hard_swish_slope(x):
#     """Return the derivative of x min(max(x + 3, 0), 6) / 6."""
#     return torch.where(x > 3, 1.0, torch.where(x > -3, (2 * x + 3) / 6, 0.0))
#
#
# answer_2 = hard_swish_slope(SOME)
# ```
# </details>

# %% [markdown]
# ### 3. The gain of a leaky ReLU (medium, 10 minutes)
#
# For which gain $g$ does a leaky ReLU with $\gamma=0.3$ keep the squared gradient, $\chi=1$?

# %% tags=["exercise"]
answer_3 = None  # a number

# %%
check_exercise(
    answer_3,
    nn.init.calculate_gain("leaky_relu", 0.3),
    mistakes={
        "That is the gain of the ReLU; the left side passes something too.": math.sqrt(2),
        "Squared slopes are averaged, not slopes.": math.sqrt(2 / 1.3),
        "That is the square of the gain.": 2 / 1.09,
        "Half the inputs are on each side: average the two squared slopes.": math.sqrt(1 / 1.09),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_3 = math.sqrt(2 / (1 + 0.3**2))
# ```
# $\chi=g^2\,\frac{1+\gamma^2}2$.
# </details>

# %% [markdown]
# ### 4. A maxout unit by hand (medium, 10 minutes)
#
# Write $|h|+|h-1|$ as a maxout unit with one input and as few pieces as possible: give its slopes,
# in rising order, and the offsets that belong to them.

# %% tags=["exercise"]
answer_4 = None  # ([slopes], [offsets])

# %%
check_exercise(
    answer_4,
    ([-2.0, 0.0, 2.0], [1.0, 1.0, -1.0]),
    mistakes={
        "The offsets have the wrong sign: try h = 3.": ([-2.0, 0.0, 2.0], [-1.0, -1.0, 1.0]),
        "Between 0 and 1 the sum is 1, not 0.": ([-2.0, 0.0, 2.0], [1.0, 0.0, -1.0]),
        "One piece too many: 0 h - 1 never wins.": ([-2.0, 0.0, 0.0, 2.0], [1.0, -1.0, 1.0, -1.0]),
        "One piece too many; 0 h - 1 never wins.": ([-2.0, 0.0, 0.0, 2.0], [1.0, 1.0, -1.0, -1.0]),
        "Two pieces miss the flat part between 0 and 1.": ([-2.0, 2.0], [1.0, -1.0]),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_4 = ([-2.0, 0.0, 2.0], [1.0, 1.0, -1.0])
# ```
# Left of 0: $-h-(h-1)$. Between: $h-(h-1)$. Right of 1: $h+(h-1)$.
# </details>

# %% [markdown]
# ### 5. An activation of your own (open, 20 minutes)
#
# Find a function that is *not* a straight line, and whose signal settles by itself: at gain 1, from
# $q=0.3$ and also from $q=3$, after 60 layers $q$ lies between 0.5 and 2 and the product of all
# $\chi$ between 0.001 and 1000. Give the function; it takes a tensor, acts on each entry by itself,
# and returns a tensor.

# %% tags=["exercise"]
answer_5 = None  # a function of a tensor


# %%
def judge(f):
    """Return what 60 layers do to the signal of an activation function."""
    try:
        y = f(torch.linspace(-10, 10, 1001, dtype=torch.float64))
        bend = (y - torch.lerp(y[0], y[-1], torch.linspace(0, 1, 1001, dtype=y.dtype))).abs().max()
        runs = [predict_signal(f, lambda x: slope_of(f, x), 1.0, 60, q) for q in (0.3, 3.0)]
    except (TypeError, ValueError, IndexError, AttributeError, RuntimeError):
        return "not a function"
    if bend < 0.01:
        return "straight"
    if not all(np.isfinite(qs).all() and 0.5 <= qs[-1] <= 2 for qs, _ in runs):
        return "signal"
    products = [np.log10(chis).sum() for _, chis in runs]
    return "keeps" if max(np.abs(products)) <= 3 else "gradient"


check_exercise(
    answer_5 if answer_5 is None else judge(answer_5),
    "keeps",
    mistakes={
        "A straight line keeps everything and computes nothing new.": "straight",
        "The net inputs do not settle between 0.5 and 2.": "signal",
        "The net inputs settle, and the gradient fades or explodes.": "gradient",
        "Give a function that maps a tensor to a tensor.": "not a function",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def answer_5(x):
#     """Return 1.0507 times the ELU with gamma 1.67326."""
#     return 1.0507 * elu(x, 1.67326)
# ```
# One of many: SELU, whose two constants were chosen so that mean 0 and variance 1 are a stable
# fixed point (Klambauer et al., 2017).
# </details>

# %% [markdown]
# ## Recap
#
# - A deep net multiplies slopes. One integral, $\chi=g^2\,\mathbb E[f'^2]$, predicts what twenty
#   layers do to a gradient.
# - At the usual weights the logistic function loses by its slope of at most a quarter, and again
#   by a mean that is large beside its spread.
# - Printed formulas overflow, and lose digits in a tail. Branch on the sign, use `expm1`, `log1p`
#   and `erfc`, and test the slope that autograd finds at 0.
# - Large gains saturate tanh and make the gradient *explode*; dead ReLUs come from steps that are
#   too large, and a leak insures against them.
# - ReLU fitted faster than softplus at both gains. Exact zeros were not the reason: a sharper
#   softplus kept up, and taking off its mean repaired most of the lag.
#
# **In practice** take ReLU in convolutional nets, GELU or swish in transformers, logistic for
# gates and probabilities, tanh in recurrent states, and call torch's versions: they are fused,
# stable and work in half precision. Write leaky slopes by sign. Say which GELU you trained with.
#
# **Roads not taken**: SELU with its dropout, gated linear units, periodic activations, splines
# learned per edge, and straight-through gradients for steps.

# %% [markdown]
# **Answers to the questions in Explore it.** *1:* ReLU wanders: at $g=\sqrt2$ its $\chi$ is 1
# whatever $q$ is, and 64 units are few, so the rms drifts, by a factor of two or more. Tanh settles
# at the fixed point of its own $q$. *2:* At the widget's gain $1/\sqrt2$, which is $g=1$: below it
# the slope at 0 times $g$ is less than 1; at the border itself the signal fades slowly. *3:* More
# than half; the gradient explodes all the same, as Figure 9 shows. *4:* No: its outputs are all
# positive. Random weights of either sign keep the mean near $\frac12$ at every gain.

# %% [markdown]
# **References.** LeCun, Bottou, Orr and Müller (1998), Efficient backprop. Dugas et al. (2001),
# Incorporating second-order functional knowledge for better option pricing (softplus). Glorot,
# Bordes and Bengio (2011), Deep sparse rectifier neural networks. Goodfellow et al. (2013), Maxout
# networks. Maas, Hannun and Ng (2013), Rectifier nonlinearities improve neural network acoustic
# models. He et al. (2015), Delving deep into rectifiers (PReLU). Clevert, Unterthiner and
# Hochreiter (2016), Fast and accurate deep network learning by exponential linear units. Hendrycks
# and Gimpel (2016), Gaussian error linear units. Poole et al. (2016), Exponential expressivity in
# deep neural networks through transient chaos. Ramachandran, Zoph and Le (2017), Searching for
# activation functions (swish). Schoenholz et al. (2017), Deep information propagation. Klambauer et
# al. (2017), Self-normalizing neural networks. Howard et al. (2019), Searching for MobileNetV3.
