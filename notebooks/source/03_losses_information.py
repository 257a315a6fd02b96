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
# # Measure surprise and train by it
#
# **You will build** entropy, cross-entropy and the divergences between distributions, the softmax
# that turns scores into a distribution, and the classifier that all three make together.
#
# **You will learn** to
# - compute surprise, entropy, cross-entropy and KL divergence, in nats and in bits, and say what
#   each costs;
# - write a softmax and a cross-entropy that survive any finite logit, with their derivatives;
# - show that logistic regression is softmax regression with two classes;
# - derive a loss from a likelihood, and say why squared error stalls on a sigmoid;
# - measure whether a classifier's probabilities can be believed, and repair them.
#
# **You need** notebook 01, logarithms and partial derivatives, about 3 hours, and a CPU.
# Reviewed 2026-11-22.

# %%
import heapq
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from scipy import optimize, stats

from course_utils import data
from course_utils.checks import Ledger, check_exercise
from course_utils.figures import PALETTE, show, use_course_style
from course_utils.widgets import DistributionPair

use_course_style()
ledger = Ledger("03_losses_information")

# %% [markdown]
# ## Why
#
# Each day brings sun, cloud or rain, with probabilities 0.2, 0.7 and 0.1. Three forecasters know
# the place well enough to name cloud as the most likely, day after day, so all three are right
# equally often. They differ in how sure they are.
#
# A bookmaker pays three times the stake on whatever comes. Each forecaster spreads her whole purse
# over the three outcomes as her forecast says, every day, for 500 days. **Predict.** Who grows
# rich, and does anyone go broke?

# %%
rng = np.random.default_rng(0)
F64 = torch.float64
FORECASTS = {
    "honest": torch.tensor([0.2, 0.7, 0.1], dtype=F64),
    "vague": torch.tensor([0.3, 0.4, 0.3], dtype=F64),
    "overconfident": torch.tensor([0.015, 0.98, 0.005], dtype=F64),
}
weather = torch.from_numpy(rng.choice(3, size=(20, 500), p=[0.2, 0.7, 0.1]))  # (runs, days)
log_wealth = {
    name: (3 * forecast[weather]).log().cumsum(dim=1) for name, forecast in FORECASTS.items()
}
for name, path in log_wealth.items():
    print(
        f"{name:14} purse after 500 days: between e^{path[:, -1].min():.0f} "
        f"and e^{path[:, -1].max():.0f}"
    )

# %%
fig, ax = plt.subplots(figsize=(6.0, 3.0))
days = range(1, 501)
for name, color, style in zip(log_wealth, ("blue", "green", "vermilion"), "-:-", strict=True):
    for run, path in enumerate(log_wealth[name]):
        label = name if run == 0 else None
        dashes = "--" if color == "vermilion" else style
        ax.plot(days, path, dashes, color=PALETTE[color], linewidth=0.7, label=label)
ax.axhline(0, color="0.6", linewidth=1)
ax.set(xlabel="day", ylabel="ln(purse / first purse)")
ax.legend()
show(
    fig,
    alt="Log purse over 500 days, twenty runs for each forecaster: honest rises steeply, vague "
    "rises a little, overconfident falls far below its start.",
)

# %% [markdown]
# *Figure 1. Twenty runs of 500 days for each forecaster. The scale is logarithmic, so a straight
# line is growth by a fixed factor a day.*
#
# Counting who was right cannot tell the three apart; the purse can. Each path wanders about a
# straight line, whose slope you can compute beforehand: it is what a classifier's loss measures.

# %% [markdown]
# ## The idea in symbols: surprise and its averages
#
# The **self-information** (自信息) of an outcome, its surprise, is $I(i)=-\ln p_i$. A sure thing
# carries none; two independent outcomes carry the sum of both. Its mean is the **entropy** (熵):
#
# $$H(p)=-\sum_i p_i\ln p_i .$$
#
# Now let $p$ be what happens and $q$ what you believe. Your mean surprise is the **cross-entropy**
# (交叉熵), and what you pay beyond $H(p)$ for believing $q$ is the **Kullback-Leibler divergence**
# (KL散度):
#
# $$H(p,q)=-\sum_i p_i\ln q_i = H(p)+D(p\Vert q),\qquad D(p\Vert q)=\sum_i p_i\ln\frac{p_i}{q_i}.$$
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $p$, the true or target distribution | `p` | $(\ldots,K)$ | $\ge0$, sums to 1 |
# | $q$, the believed or predicted one | `q` | $(\ldots,K)$ | $\ge0$, sums to 1 |
# | $H(p)$ | `entropy(p)` | $(\ldots)$ | nats, $0\ldots\ln K$ |
# | $H(p,q)$ | `cross_entropy(p, q)` | $(\ldots)$ | nats, $\ge0$, may be infinite |
# | $D(p\Vert q)$ | `kl(p, q)` | $(\ldots)$ | nats, $\ge0$, may be infinite |
# | $K,\;N$, classes and samples | `num_classes`, `len(X)` | integers | $\ge2,\;\ge1$ |
#
# With the natural logarithm the unit is the **nat**; with the logarithm to base 2 it is the
# **bit**. One bit is $\ln2$ nats.
#
# ## Build it: surprise and its averages
#
# An outcome that never happens contributes nothing: $0\ln0=0$. `torch.xlogy(p, q)` is $p\ln q$
# with that rule, and $-\infty$ where $q=0<p$.


# %%
def surprise(p):
    """Return -ln p, in nats."""
    return -torch.log(p)


def entropy(p):
    """Return the mean surprise of p under p, in nats."""
    return -torch.xlogy(p, p).sum(dim=-1)


def cross_entropy(p, q):
    """Return the mean surprise of someone who believes q while p happens, in nats."""
    return -torch.xlogy(p, q).sum(dim=-1)


def kl(p, q):
    """Return the surprise paid for believing q instead of p, in nats."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum(dim=-1)


def draw_distributions(shape, num_classes, rng, concentration=1.0):
    """Return random distributions from a symmetric Dirichlet distribution."""
    drawn = rng.dirichlet(np.full(num_classes, concentration), size=shape)
    return torch.from_numpy(drawn)


# %% [markdown]
# ## Check it: surprise and its averages
#
# Against scipy and torch on random distributions over seven outcomes, two of which never happen
# under $p$.

# %%
p_many = draw_distributions(50, 7, rng)
p_many[:, [1, 4]] = 0.0
p_many = p_many / p_many.sum(dim=1, keepdim=True)  # (50, 7)
q_many = draw_distributions(50, 7, rng)
ledger.check_close(
    56, "entropy (nats) = scipy", entropy(p_many), stats.entropy(p_many.numpy(), axis=1)
)

# %%
ledger.check_close(
    56,
    "entropy (bits) = scipy",
    entropy(p_many) / math.log(2),
    stats.entropy(p_many.numpy(), base=2, axis=1),
)
ledger.check_close(
    56, "KL = scipy", kl(p_many, q_many), stats.entropy(p_many.numpy(), q_many.numpy(), axis=1)
)
ledger.check_close(
    56,
    "cross-entropy = torch, soft targets",
    cross_entropy(p_many, q_many),
    # torch wants logits; ln q are logits whose softmax is q.
    F.cross_entropy(q_many.log(), p_many, reduction="none"),
)

# %%
both = p_many[0, [0, 2]][:, None] * q_many[0, :3]  # two independent events, six pairs
ledger.check_close(
    56,
    "surprise of independent events adds up",
    surprise(both),
    surprise(p_many[0, [0, 2]])[:, None] + surprise(q_many[0, :3]),
)

# %% [markdown]
# torch's own divergence takes its arguments the other way round: first $\ln q$, then $p$. In the
# order of the formula it computes something else, without a complaint.

# %%
p_pair, q_pair = draw_distributions((2, 30), 5, rng)
ledger.check_close(
    56,
    "KL = torch's kl_div(ln q, p)",
    kl(p_pair, q_pair).mean(),
    F.kl_div(q_pair.log(), p_pair, reduction="batchmean"),
)
with ledger.refuses(56, "kl_div with the arguments in the order of the formula"):
    ledger.check_close(
        56,
        "kl_div(p, q)",
        F.kl_div(p_pair, q_pair, reduction="batchmean"),
        kl(p_pair, q_pair).mean(),
    )

# %% [markdown]
# ### The lecture's example
#
# A classifier answers $q=(0.2,0.7,0.1)$ (the same numbers as the weather, now as a belief). The
# label names the second class (number 1), so the target is **one-hot**, $p=(0,1,0)$. **Predict**
# $H(p)$, $D(p\Vert q)$ and $H(p,q)$ before you run the cell.

# %%
ANSWER = torch.tensor([0.2, 0.7, 0.1], dtype=F64)
for p_hot in torch.eye(3, dtype=F64):
    print(
        f"target {p_hot.tolist()}: H(p) = {entropy(p_hot).abs():.3f}, "
        f"KL = {kl(p_hot, ANSWER):.3f}, H(p, q) = {cross_entropy(p_hot, ANSWER):.3f} nats"
    )

# %%
ledger.check_close(
    56,
    "one-hot targets: cross-entropy is -ln q of the class",
    cross_entropy(torch.eye(3, dtype=F64), ANSWER.expand(3, 3)),
    [-math.log(0.2), -math.log(0.7), -math.log(0.1)],
)
ledger.check_close(
    56,
    "H(p, q) = H(p) + KL(p||q)",
    cross_entropy(p_many, q_many),
    entropy(p_many) + kl(p_many, q_many),
)

# %% [markdown]
# A one-hot target has no entropy: nothing about it is uncertain. So cross-entropy and divergence
# are the same number, $-\ln q$ of the class that the label names. With soft targets $H(p)$ is not
# zero but still does not depend on $q$, so minimising either moves $q$ in the same way. The lecture
# sums this loss over the samples; this notebook takes the mean.
#
# A belief that rules out what happens pays without limit:

# %%
p_fair = torch.tensor([0.5, 0.5, 0.0], dtype=F64)
q_sure = torch.tensor([1.0, 0.0, 0.0], dtype=F64)
print(f"KL(p||q) = {kl(p_fair, q_sure):.3f}, KL(q||p) = {kl(q_sure, p_fair):.3f} nats")
ledger.check_equal(56, "KL is infinite where q = 0 < p", kl(p_fair, q_sure), math.inf)
ledger.check_close(56, "and finite the other way round", kl(q_sure, p_fair), math.log(2))

# %% [markdown]
# ## Try it: the slopes of the purses
#
# A day that brings outcome $i$ multiplies the purse by $3q_i$, so its logarithm grows by
# $\ln3-I_q(i)$ with $I_q(i)=-\ln q_i$, on average by $\ln3-H(p,q)$. **Predict** the sign of each
# slope: which forecaster has a cross-entropy above $\ln3$? And whose purse itself, without the
# logarithm, has the largest expected factor a day, $3\sum_ip_iq_i$?

# %%
TRUTH = FORECASTS["honest"]
for name, forecast in FORECASTS.items():
    slope = math.log(3) - cross_entropy(TRUTH, forecast)
    measured = log_wealth[name][:, -1] / 500
    error = measured.std() / math.sqrt(len(measured))
    print(
        f"{name:14} slope predicted {slope:+.3f}, measured {measured.mean():+.3f} ± {error:.3f} "
        f"(standard error); expected factor {3 * TRUTH @ forecast:.2f}"
    )
    ledger.check_at_most(
        56, f"{name}: standard errors off", (measured.mean() - slope).abs() / error, 3.5
    )

# %%
advantage = (log_wealth["honest"][:, -1] - log_wealth["overconfident"][:, -1]).min()
ledger.check_at_least(56, "honest ahead of overconfident in every run, by ln", advantage, 100)
expected_factors = [3 * (TRUTH @ FORECASTS[name]) for name in ("overconfident", "honest")]
ledger.check_at_least(
    56,
    "yet the overconfident expected factor is larger, by",
    expected_factors[0] - expected_factors[1],
    0.3,
)

# %% [markdown]
# Why, then, the logarithm? The overconfident purse grows most in expectation, but only by
# histories so lucky that you will not see one. Days multiply, so the typical purse follows the
# *mean logarithm*. A purse never reaches exactly 0, but $e^{-60}$ of one is broke.

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8))
grid_p = torch.linspace(0.001, 1, 400, dtype=F64)
axs[0].plot(grid_p, surprise(grid_p))
axs[0].set(xlabel="probability of the outcome", ylabel="surprise (nats)")
for heads, style in ((0.5, "-"), (0.7, "--"), (0.95, "-.")):
    p_coin = torch.tensor([heads, 1 - heads], dtype=F64)
    q_coin = torch.stack([grid_p, 1 - grid_p], dim=1)[:-1]
    axs[1].plot(grid_p[:-1], cross_entropy(p_coin, q_coin), style, label=f"true share {heads}")
    axs[1].plot(heads, entropy(p_coin), "o", color="black", markersize=5)
axs[1].set(xlabel="believed share of heads", ylabel="cross-entropy (nats)", ylim=(0, 3))
axs[1].legend()
show(
    fig,
    alt="Left: surprise falls from seven nats at a probability of 0.001 to zero at 1. Right: "
    "cross-entropy of a coin against the belief; each curve is lowest where belief equals truth.",
)

# %% [markdown]
# *Figure 2. Left: surprise against probability; each halving adds $\ln2$ nats, one bit. Right:
# mean surprise at three coins, for every belief. The dots are $H(p)$: each curve touches its dot
# where the belief is the truth, and lies above it everywhere else.*
#
# The honest forecaster cannot do better: her slope is $\ln3-H(p)$. The others lose $D(p\Vert q)$
# a day. Believing too much costs more here than believing too little, because the surprise runs
# to infinity on the side of certainty.

# %% [markdown]
# ## The idea in symbols: divergence is never negative
#
# $\ln$ is concave, so by Jensen's inequality the mean of a logarithm is at most the logarithm of
# the mean:
#
# $$-D(p\Vert q)=\sum_{p_i>0}p_i\ln\frac{q_i}{p_i}\;\le\;\ln\sum_{p_i>0}p_i\frac{q_i}{p_i}
# =\ln\sum_{p_i>0}q_i\;\le\;\ln1=0 ,$$
#
# with equality only for $q=p$. It is no distance, though: $D(p\Vert q)\ne D(q\Vert p)$ in general.
# The **Jensen-Shannon divergence** (JS散度) is symmetric and finite. It measures both against
# their mixture $m=\frac12(p+q)$:
#
# $$J(p,q)=\tfrac12D(p\Vert m)+\tfrac12D(q\Vert m)=H(m)-\tfrac12H(p)-\tfrac12H(q)\le\ln2 .$$
#
# ## Build it: divergences


# %%
def jensen_shannon(p, q):
    """Return the mean divergence of p and q from their mixture, in nats."""
    m = (p + q) / 2
    return (kl(p, m) + kl(q, m)) / 2


def total_variation(p, q):
    """Return the largest difference in probability that p and q give to any event."""
    return (p - q).abs().sum(dim=-1) / 2


# %% [markdown]
# ## Check it: divergences
#
# 40,000 random pairs over two to nine outcomes, half of them with very unequal probabilities. Not
# only $D\ge0$ but Pinsker's stronger bound $D\ge2V^2$ must hold, with the total variation
# $V(p,q)=\frac12\sum_i|p_i-q_i|$. It is the largest difference in probability that any event has
# under $p$ and $q$; with six outcomes there are 64 events to try.

# %%
num_pairs, lowest, slack = 0, math.inf, math.inf
for num_classes, concentration in itertools.product(range(2, 10), (1.0, 0.2)):
    p_some, q_some = draw_distributions((2, 2500), num_classes, rng, concentration)
    divergence = kl(p_some, q_some)
    lowest = min(lowest, divergence.min().item())
    slack = min(slack, (divergence - 2 * total_variation(p_some, q_some) ** 2).min().item())
    num_pairs += len(p_some)
print(f"{num_pairs} pairs: smallest divergence {lowest:.1e}, smallest slack {slack:.1e} nats")
ledger.check_at_least(56, "KL >= 0 on random pairs", lowest, -1e-12, kind="invariant")
ledger.check_at_least(56, "KL >= 2 V^2 on random pairs", slack, -1e-12, kind="invariant")
ledger.check_close(56, "KL of equals is 0", kl(q_some, q_some), torch.zeros(2500))

# %%
from scipy.spatial.distance import jensenshannon

p_js, q_js, r_js = draw_distributions((3, 2000), 6, rng, 0.5)
reference_js = jensenshannon(p_js.numpy(), q_js.numpy(), axis=1) ** 2
ledger.check_close(56, "JS = scipy", jensen_shannon(p_js, q_js), reference_js)
events = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6)), dtype=F64)  # (64, 6)
ledger.check_close(
    56,
    "total variation = best of 64 events",
    total_variation(p_js, q_js),
    ((p_js - q_js) @ events.T).amax(dim=1),
)

# %%
m_js = (p_js + q_js) / 2
ledger.check_close(
    56,
    "JS = H(m) - mean of H",
    jensen_shannon(p_js, q_js),
    entropy(m_js) - (entropy(p_js) + entropy(q_js)) / 2,
)

# %%
apart = torch.eye(2, dtype=F64)
ledger.check_close(56, "JS of disjoint distributions is ln 2", jensen_shannon(*apart), math.log(2))
detour = jensen_shannon(p_js, r_js).sqrt() + jensen_shannon(r_js, q_js).sqrt()
margin = (detour - jensen_shannon(p_js, q_js).sqrt()).min()
ledger.check_at_least(56, "sqrt(JS): no detour is shorter", margin, -1e-12, kind="invariant")

# %% [markdown]
# A distance is the same in both directions, and no detour is shorter. The root of $J$ meets both
# demands (Endres and Schindelin, 2003; the check tried 2,000 triples), $D$ itself neither:

# %%
low, middle, high = (torch.tensor([1 - x, x], dtype=F64) for x in (0.1, 0.3, 0.5))
print(f"KL(low||high) = {kl(low, high):.3f}, the other way {kl(high, low):.3f} nats")
print(f"by way of the middle: {kl(low, middle) + kl(middle, high):.3f} nats")
ledger.check_at_least(
    56,
    "KL: the detour saves",
    kl(low, high) - kl(low, middle) - kl(middle, high),
    0.1,
)
ledger.check_at_least(56, "KL: the two directions differ by", kl(high, low) - kl(low, high), 0.1)

# %% [markdown]
# ## Try it: which side of the divergence?
#
# A target $p$ with two humps, and one normal distribution $q$ to be fitted to it by a local search
# from two starts. **Predict** where it ends when you minimise $D(p\Vert q)$, and where when you
# minimise $D(q\Vert p)$.

# %%
GRID = torch.linspace(-18, 18, 2401, dtype=F64)


def log_normal(x, mean, sd):
    """Return log-probabilities of a normal distribution on an even grid of points."""
    return torch.log_softmax(-0.5 * ((x - mean) / sd) ** 2, dim=-1)


LOG_TARGET = torch.logaddexp(
    log_normal(GRID, -3.0, 0.7) + math.log(0.65), log_normal(GRID, 3.0, 1.0) + math.log(0.35)
)


def fit_normal(direction, start):
    """Return (mean, sd, divergence) of the best normal distribution found from a start."""

    def divergence(params):
        log_q = log_normal(GRID, params[0], math.exp(params[1]))
        first, second = (LOG_TARGET, log_q) if direction == "D(p||q)" else (log_q, LOG_TARGET)
        return (first.exp() * (first - second)).sum().item()

    best = optimize.minimize(
        divergence, [start, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}
    )
    return best.x[0], math.exp(best.x[1]), best.fun


# %%
fits = {
    (direction, start): fit_normal(direction, start)
    for direction in ("D(p||q)", "D(q||p)")
    for start in (-2.0, 4.0)
}
for (direction, start), (mean, sd, value) in fits.items():
    print(f"{direction} from {start:+.0f}: mean {mean:+.2f}, sd {sd:.2f}, {value:.2f} nats")

# %%
target = LOG_TARGET.exp()
target_mean = (target * GRID).sum()
target_sd = (target * (GRID - target_mean) ** 2).sum().sqrt()
for start in (-2.0, 4.0):
    ledger.check_close(
        56,
        f"D(p||q) from {start:+.0f} matches mean and spread of p",
        fits["D(p||q)", start][:2],
        (target_mean, target_sd),
        tolerance=1e-4,
    )

# %%
ledger.check_close(
    56,
    "D(q||p) settles on one hump, by its start",
    [fits["D(q||p)", -2.0][0], fits["D(q||p)", 4.0][0]],
    [-3.0, 3.0],
    tolerance=0.05,
)
hump_gap = fits["D(q||p)", 4.0][2] - fits["D(q||p)", -2.0][2]
ledger.check_at_least(56, "the right hump is only a local minimum, higher by", hump_gap, 0.3)

# %%
fig, ax = plt.subplots(figsize=(6.0, 3.0))
ax.fill_between(GRID, target / 0.015, color="0.85", label="target p")
for (direction, start), color, style in (
    (("D(p||q)", -2.0), "blue", "-"),
    (("D(q||p)", -2.0), "vermilion", "--"),
    (("D(q||p)", 4.0), "green", "-."),
):
    mean, sd, value = fits[direction, start]
    label = f"{direction} = {value:.2f} nats"
    ax.plot(
        GRID, log_normal(GRID, mean, sd).exp() / 0.015, style, color=PALETTE[color], label=label
    )
ax.set(
    xlabel="x (dimensionless)", ylabel="density (1 / unit of x)", xlim=(-9, 9), ylim=(-0.02, 0.8)
)
ax.legend(ncols=2)
show(
    fig,
    alt="A target with two humps. The fit by D(p||q) is broad and covers both; the two fits by "
    "D(q||p) are narrow, one on each hump.",
)

# %% [markdown]
# *Figure 3. One normal distribution fitted to two humps. Minimising $D(p\Vert q)$ covers both
# humps and the gap between them. For $D(q\Vert p)$ each hump is a minimum; the left one is the
# lower, the right one only a local minimum, found from a start on its side.*
#
# $D(p\Vert q)$ punishes $q\approx0$ where $p>0$: the fit must cover everything (it takes over the
# mean and spread of $p$). $D(q\Vert p)$ punishes $q>0$ where $p\approx0$: for humps this far apart
# the fit must avoid the gap. Training by cross-entropy is the first kind. Variational inference and
# some generative models use the second.

# %% [markdown]
# ## Explore it
#
# Drag the bars, or use the arrow keys. Moving one bar rescales the others of its distribution. The
# widget writes KL(p‖q) for $D(p\Vert q)$, and counts outcomes from 1.
#
# 1. Choose a bar of $q$, press "equal", then "Swap with next outcome". Which numbers move, and
#    which do not? Are the two directions of KL equal?
# 2. Press the swap button once more. Are they still?
# 3. Press "equal" again, leave $p$ at $(0.2,0.7,0.1)$ and make $D(p\Vert q)$ infinite. How large
#    can JS become, and how small can you keep it?

# %%
DistributionPair(p=(0.2, 0.7, 0.1), q=(0.4, 0.3, 0.3))

# %% [markdown]
# ## The idea in symbols: surprise is the length of a message
#
# Write outcomes as words of 0 and 1, none the beginning of another. Words of lengths $\ell_i$
# bits can be had exactly when $\sum_i2^{-\ell_i}\le1$ (Kraft's inequality). Where the sum is less
# than 1, some length is wasted; where it is exactly 1, choosing lengths is choosing a distribution
# $q_i=2^{-\ell_i}$, and the mean length under $p$ is
#
# $$\bar\ell=\sum_i p_i\ell_i=-\sum_ip_i\log_2q_i=H(p,q)\quad\text{in bits.}$$
#
# The best word for outcome $i$ would have $-\log_2p_i$ bits, which need not be whole. Rounding up
# gives Shannon's code and costs less than one bit: $H(p)\le\bar\ell<H(p)+1$ (with $H$ in bits).
#
# ## Build it: two codes
#
# Huffman's code (1952) is the best code with whole lengths: join the two least likely groups,
# over and over; each joining adds one bit to every word in both.


# %%
def shannon_lengths(q):
    """Return the word lengths -log2 q, rounded up."""
    return torch.ceil(surprise(q) / math.log(2) - 1e-12)


def huffman_words(p):
    """Return the words of Huffman's code, as strings of 0 and 1."""
    words = [""] * len(p)
    heap = [(weight, i, [i]) for i, weight in enumerate(p.tolist())]
    heapq.heapify(heap)
    for tie in range(len(p), 2 * len(p) - 1):
        (weight_0, _, group_0), (weight_1, _, group_1) = heapq.heappop(heap), heapq.heappop(heap)
        for bit, group in (("0", group_0), ("1", group_1)):
            for i in group:
                words[i] = bit + words[i]
        heapq.heappush(heap, (weight_0 + weight_1, tie, group_0 + group_1))
    return words


def huffman_lengths(p):
    """Return the word lengths of Huffman's code, in bits."""
    return torch.tensor([len(word) for word in huffman_words(p)], dtype=F64)


huffman_words(torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=F64))

# %% [markdown]
# ## Check it: two codes
#
# Three demands: a message can be read back without commas; no code with whole lengths is shorter
# (all admissible lengths tried, for five outcomes); both codes lie within one bit of the entropy.

# %%
p_code = draw_distributions((), 6, rng)
words = huffman_words(p_code)
message = rng.choice(6, size=400, p=p_code.numpy()).tolist()
sent, read, buffer = "".join(words[i] for i in message), [], ""
for bit in sent:
    buffer += bit
    if buffer in words:
        read.append(words.index(buffer))
        buffer = ""
ledger.check_equal(56, "400 words, sent and read back", read, message, kind="invariant")

# %%
admissible = torch.tensor(
    [x for x in itertools.product(range(1, 5), repeat=5) if sum(2.0**-n for n in x) <= 1],
    dtype=F64,
)
for p_5 in draw_distributions(5, 5, rng, 0.7):
    shortest = (admissible @ p_5).min()
    ledger.check_close(56, "Huffman = brute force", huffman_lengths(p_5) @ p_5, shortest)

# %%
over, kraft_sums = {"Huffman": [], "Shannon": []}, []
for num_classes in range(2, 20):
    for p_word in draw_distributions(20, num_classes, rng):
        bits = entropy(p_word) / math.log(2)
        over["Huffman"].append((huffman_lengths(p_word) @ p_word - bits).item())
        over["Shannon"].append((shannon_lengths(p_word) @ p_word - bits).item())
        kraft_sums.append((2.0 ** -shannon_lengths(p_word)).sum().item())
ledger.check_at_most(56, "Shannon: Kraft's sum", max(kraft_sums), 1, kind="invariant")
for name, excess in over.items():
    print(f"{name}: {min(excess):.3f} to {max(excess):.3f} bits above the entropy")
    ledger.check_at_least(56, f"{name}: H <= mean length", min(excess), 0, kind="invariant")
    ledger.check_at_most(56, f"{name}: mean length < H + 1", max(excess), 1, kind="invariant")

# %%
q_dyadic = torch.tensor([0.125, 0.5, 0.25, 0.125], dtype=F64)
p_other = draw_distributions((), 4, rng)
ledger.check_equal(56, "whole lengths stay", shannon_lengths(q_dyadic), [3, 1, 2, 3])
ledger.check_close(
    56,
    "a code for q, used on p, costs H(p) + KL(p||q) bits",
    huffman_lengths(q_dyadic) @ p_other,
    (entropy(p_other) + kl(p_other, q_dyadic)) / math.log(2),
)

# %% [markdown]
# ## Try it: whole messages instead of single words
#
# A coin that shows heads in nine throws of ten has an entropy below half a bit, yet a word for
# one throw has at least one bit. Give words to blocks of throws instead: the bit that rounding may
# cost is shared by the block. **Predict** where the rate of Shannon's code goes when it is made for
# the true coin, and when it believes $q=(0.6,0.4)$.

# %%
P_COIN = torch.tensor([0.9, 0.1], dtype=F64)
Q_COIN = torch.tensor([0.6, 0.4], dtype=F64)


def block_probabilities(p, block_size):
    """Return the probabilities of all blocks of independent throws."""
    block = p
    for _ in range(block_size - 1):
        block = torch.outer(block, p).flatten()
    return block


# %%
block_sizes = range(1, 10)
rates = {"right": [], "wrong": []}
for block_size in block_sizes:
    block_p, block_q = (block_probabilities(coin, block_size) for coin in (P_COIN, Q_COIN))
    rates["right"].append((shannon_lengths(block_p) @ block_p).item() / block_size)
    rates["wrong"].append((shannon_lengths(block_q) @ block_p).item() / block_size)

# %%
limits = {
    "right": entropy(P_COIN).item() / math.log(2),
    "wrong": cross_entropy(P_COIN, Q_COIN).item() / math.log(2),
}
for name, limit in limits.items():
    gaps = (torch.tensor(rates[name], dtype=F64) - limit) * torch.tensor(block_sizes)
    ledger.check_at_least(56, f"{name} belief: rate above its limit", gaps.min(), 0)
    ledger.check_at_most(56, f"{name} belief: at most a bit a block above it", gaps.max(), 1)

# %%
fig, ax = plt.subplots(figsize=(6.0, 3.0))
for name, marker, color in (("wrong", "s", "vermilion"), ("right", "o", "blue")):
    label = {"wrong": "code for q = (0.6, 0.4)", "right": "code for p"}[name]
    ax.plot(block_sizes, rates[name], marker=marker, color=PALETTE[color], label=label)
    ax.axhline(limits[name], color=PALETTE[color], linewidth=1, linestyle=":")
ax.annotate(
    "H(p, q)", (9, limits["wrong"]), xytext=(0, -14), textcoords="offset points", ha="right"
)
ax.annotate("H(p)", (9, limits["right"]), xytext=(0, -14), textcoords="offset points", ha="right")
ax.set(xlabel="block size (throws)", ylabel="rate (bits per throw)", ylim=(0.3, 1.4))
ax.legend(ncols=2, loc="upper right")
show(
    fig,
    alt="Bits per throw against block size: for the true coin the rate falls from 1.3 to about "
    "0.5, for the wrong belief from 1.1 to about 0.85; both stay above their dotted limits.",
)

# %% [markdown]
# *Figure 4. Shannon's code on blocks of throws of a coin with $p=(0.9,0.1)$. Dotted: the entropy
# $H(p)$ and the cross-entropy $H(p,q)$, $D(p\Vert q)$ apart. Rounding costs at most one bit a
# block, but what it costs a throw does not shrink at every step.*
#
# This is what a cross-entropy loss of 0.3 nats means: send the labels to someone who has your
# classifier and the inputs, and you need $0.3/\ln2$ bits a label, in long blocks.

# %% [markdown]
# ## The idea in symbols: softmax
#
# A network puts out $K$ real numbers $z$, the **logits**; a loss needs a distribution. The
# **softmax** (柔性最大值) exponentiates and normalises:
#
# $$q_k=\operatorname{softmax}(z)_k=\frac{e^{z_k}}{\sum_je^{z_j}},\qquad
# \ln q_k=z_k-\ln\sum_je^{z_j} .$$
#
# A constant added to all logits cancels, so you may subtract the largest: then no exponential
# exceeds 1. A **temperature** divides the logits before the softmax,
# $q=\operatorname{softmax}(z/T)$.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $z$, logits | `logits` | $(\ldots,K)$ | nats, real |
# | $T$, temperature | `temperature` | scalar | $>0$ |
#
# ## Build it: softmax
#
# First as the formula is printed, then in the form that computers bear.


# %%
def softmax_printed(logits):
    """Return the softmax as the formula is written."""
    return logits.exp() / logits.exp().sum(dim=-1, keepdim=True)


def softmax(logits, temperature=1.0):
    """Return the softmax of logits / temperature; the largest exponential is 1."""
    scaled = logits / temperature
    powers = torch.exp(scaled - scaled.amax(dim=-1, keepdim=True))
    return powers / powers.sum(dim=-1, keepdim=True)


def log_softmax(logits):
    """Return the logarithm of the softmax, without taking that of a tiny number."""
    shifted = logits - logits.amax(dim=-1, keepdim=True)
    return shifted - shifted.exp().sum(dim=-1, keepdim=True).log()


# %% [markdown]
# **Predict** what the printed form makes of the logits (1000, 999, 998) and (−1000, −999, −998),
# and what the logarithm of a softmax gives for (0, 200) in float32.

# %%
hard = torch.tensor([[1000.0, 999.0, 998.0], [-1000.0, -999.0, -998.0]])
print("as printed:\n", softmax_printed(hard))
print("shifted:\n", softmax(hard))
tiny = torch.tensor([0.0, 200.0])
print("log of softmax:", softmax(tiny).log(), " log_softmax:", log_softmax(tiny))

# %% [markdown]
# In the first row $\infty/\infty$, in the second $0/0$; and a probability of $e^{-200}$ is zero in
# float32, so that its logarithm is $-\infty$ although the right answer is $-200$. One confident
# mistake of that kind makes the whole loss infinite.
#
# ## Check it: softmax

# %%
generator = torch.Generator().manual_seed(0)
logits_odd = 30 * torch.randn(3, 7, 5, generator=generator, dtype=F64)
for temperature in (1.0, 0.37, 12.0):
    ledger.check_close(
        56,
        f"softmax at T = {temperature} = torch",
        softmax(logits_odd, temperature),
        torch.softmax(logits_odd / temperature, dim=-1),
    )
ledger.check_close(
    56, "log_softmax = torch", log_softmax(logits_odd), torch.log_softmax(logits_odd, dim=-1)
)

# %%
ledger.check_close(56, "large logits = torch", softmax(hard), torch.softmax(hard, dim=-1))
ledger.check_close(56, "log_softmax of (0, 200)", log_softmax(tiny), [-200.0, 0.0])
ledger.check_close(
    56, "log_softmax of large logits = torch", log_softmax(hard), torch.log_softmax(hard, dim=-1)
)
ledger.check_close(
    56, "a shift of all logits changes nothing", softmax(logits_odd + 123.4), softmax(logits_odd)
)

# %%
with ledger.refuses(56, "softmax as printed, on large logits"):
    ledger.check_close(56, "as printed", softmax_printed(hard), torch.softmax(hard, dim=-1))
with ledger.refuses(56, "the logarithm of a softmax"):
    ledger.check_close(56, "log of softmax", softmax(tiny).log(), [-200.0, 0.0])

# %% [markdown]
# ### The derivative
#
# From $\ln q_k=z_k-\ln\sum_je^{z_j}$ follows $\partial\ln q_k/\partial z_j=[k=j]-q_j$, where
# $[k=j]$ is 1 if $k=j$ and 0 otherwise. So the Jacobian matrix and, for a target $p$ whose entries
# sum to 1, the gradient of the loss are
#
# $$\frac{\partial q_k}{\partial z_j}=q_k\big([k=j]-q_j\big),\qquad
# \frac{\partial H(p,q)}{\partial z_j}=-\sum_kp_k\big([k=j]-q_j\big)=q_j-p_j .$$
#
# What you believe minus what happens. The entries of the gradient sum to zero, as they must when
# a common shift changes nothing.


# %%
def softmax_jacobian(logits):
    """Return the matrix of dq_k / dz_j."""
    q = softmax(logits)
    return torch.diag_embed(q) - q[..., :, None] * q[..., None, :]


def loss_gradient(logits, p):
    """Return the derivative of the cross-entropy H(p, softmax(z)) by the logits."""
    return softmax(logits) - p


# %%
z_point = 2 * torch.randn(6, generator=generator, dtype=F64)
p_point = draw_distributions((), 6, rng)
ledger.check_close(
    56,
    "Jacobian = autograd",
    softmax_jacobian(z_point),
    torch.autograd.functional.jacobian(lambda z: torch.softmax(z, dim=-1), z_point),
    kind="gradient",
)

# %%
for k in (0, 4):
    ledger.check_gradient(
        56,
        f"row {k} of the Jacobian: central differences",
        lambda z, k=k: softmax(torch.from_numpy(z))[k].item(),
        z_point,
        softmax_jacobian(z_point)[k],
    )
ledger.check_gradient(
    56,
    "q - p: central differences",
    lambda z: F.cross_entropy(torch.from_numpy(z), p_point).item(),
    z_point,
    loss_gradient(z_point, p_point),
)

# %% [markdown]
# The second derivative of the loss by the logits is the Jacobian once more. For any direction $v$
# it gives $v^\top\!\operatorname{diag}(q)v-(q^\top v)^2$: the variance of $v$ under $q$, never
# negative. So the loss is convex in the logits, and flat along one direction only.

# %%
ledger.check_close(
    56,
    "Hessian of the loss = Jacobian of the softmax",
    torch.autograd.functional.hessian(lambda z: F.cross_entropy(z, p_point), z_point),
    softmax_jacobian(z_point),
    kind="gradient",
)
curvature = torch.linalg.eigvalsh(softmax_jacobian(logits_odd / 30))  # (3, 7, 5), ascending
ledger.check_at_least(56, "smallest curvature", curvature.min(), -1e-12, kind="invariant")
ledger.check_close(56, "a common shift is flat", curvature[..., 0], torch.zeros(3, 7))
ledger.check_at_least(
    56, "all other directions are curved", curvature[..., 1].min(), 1e-3, kind="invariant"
)
v = torch.randn(6, generator=generator, dtype=F64)
q_point = softmax(z_point)
variance = (q_point * v**2).sum() - (q_point * v).sum() ** 2
ledger.check_close(56, "curvature = variance", v @ softmax_jacobian(z_point) @ v, variance)

# %% [markdown]
# ## Try it: temperature
#
# **Predict** the distribution for $T\to0$, $T=1$ and $T\to\infty$, and whether its entropy can fall
# while the temperature rises.

# %%
Z_SHOWN = torch.tensor([2.0, 1.0, 0.5, -1.0], dtype=F64)
temperatures = torch.logspace(-1.3, 1.7, 200, dtype=F64)
heated = softmax(Z_SHOWN.expand(200, 4), temperatures[:, None])  # (200, 4)
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8))
for k, style in enumerate(("-", "--", "-.", ":")):
    axs[0].semilogx(temperatures, heated[:, k], style, label=f"z = {Z_SHOWN[k]:g}")
axs[0].set(xlabel="temperature (log scale)", ylabel="probability")
axs[0].legend()
axs[1].semilogx(temperatures, entropy(heated))
axs[1].axhline(math.log(4), color="0.6", linewidth=1, linestyle=":")
axs[1].set(xlabel="temperature (log scale)", ylabel="entropy (nats)")
show(
    fig,
    alt="Left: four probabilities against temperature, one-hot when cold, all a quarter when hot. "
    "Right: the entropy rises steadily from zero to ln 4.",
)

# %% [markdown]
# *Figure 5. Softmax of four logits at temperatures from 0.05 to 50. Dotted: $\ln4$, the entropy of
# the uniform distribution.*
#
# Cold, it is one-hot at the largest logit; hot, it is uniform. The entropy only rises: its
# derivative is the variance of the logits under $q$, divided by $T^3$.

# %%
ledger.check_close(56, "T = 1e-3: one-hot", softmax(Z_SHOWN, 1e-3), F.one_hot(Z_SHOWN.argmax(), 4))
hot = softmax(Z_SHOWN, 1e9)
ledger.check_close(56, "T = 1e9: uniform", hot, torch.full((4,), 0.25), tolerance=1e-8)


# %%
def entropy_slope(logits, temperature):
    """Return Var_q(z) / T^3."""
    q = softmax(logits, temperature)
    return ((q * logits**2).sum() - (q * logits).sum() ** 2) / temperature**3


for temperature in (0.4, 1.0, 3.3):
    ledger.check_gradient(
        56,
        f"dH/dT at T = {temperature}",
        lambda T: entropy(softmax(Z_SHOWN, T.item())).item(),
        [temperature],
        entropy_slope(Z_SHOWN, temperature)[None],
    )

# %% [markdown]
# Why this formula and no other? Of all distributions, softmax is the one that makes
# $\sum_kq_kz_k+T\,H(q)$ largest: high scores, but spread out as far as $T$ rewards it. To see it,
# put $z_k=T\ln q_k+T\ln\sum_je^{z_j/T}$ into $\sum_kr_kz_k+T\,H(r)$ for any rival $r$: out comes
# $T\ln\sum_je^{z_j/T}-T\,D(r\Vert q)$, and the divergence is zero only for $r=q$.

# %%
r_rivals = draw_distributions(5000, 4, rng)
T_RIVALS = 0.8
rewards = r_rivals @ Z_SHOWN + T_RIVALS * entropy(r_rivals)
largest = T_RIVALS * torch.logsumexp(Z_SHOWN / T_RIVALS, dim=0)
shortfall = T_RIVALS * kl(r_rivals, softmax(Z_SHOWN, T_RIVALS))
ledger.check_close(56, "every rival falls short by T KL(r||q)", largest - rewards, shortfall)

# %% [markdown]
# ## The idea in symbols: softmax regression
#
# The smallest classifier has logits that are linear in the input: $z=Wx+b$. **Softmax regression**
# minimises the mean cross-entropy to the labels, here with an $L_2$ penalty on the weights:
#
# $$L(W,b)=-\frac1N\sum_n\ln\operatorname{softmax}(Wx_n+b)_{y_n}+\frac\lambda2\lVert W\rVert^2,
# \qquad\frac{\partial L}{\partial W}=\frac1N(Q-P)^\top X+\lambda W .$$
#
# A bias is a weight whose input is 1: $\partial L/\partial b$ is the mean of the rows of $Q-P$.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $X$; $y$ | `X`; `y` | $(N,d)$; $(N,)$ | inputs, $d$ a sample; classes $0\ldots K-1$ |
# | $P,\;Q$ | `P`, `Q` | $(N,K)$ | one-hot targets, predictions; rows sum to 1 |
# | $W,\;b$ | `W`, `b` | $(K,d),\;(K,)$ | nats per unit of input, nats |
# | $\lambda$, penalty | `penalty` | scalar | $\ge0$ |
#
# ## Build it: softmax regression
#
# The gradient is $q-p$ sent back through a linear layer. The loss is convex. With the penalty the
# best $W$ is unique, and $b$ up to a common constant, so a method that goes downhill with suitable
# steps ends at the same predictions. Notebook 04 derives such methods; here scipy's L-BFGS does the
# walking.


# %%
def regression_loss(W, b, X, y, penalty):
    """Return the penalised cross-entropy and its derivatives by W and b."""
    log_q = log_softmax(X @ W.T + b)  # (N, K)
    P = F.one_hot(y, len(b)).to(X.dtype)
    error = (log_q.exp() - P) / len(X)  # (N, K)
    loss = -(P * log_q).sum() / len(X) + penalty / 2 * (W**2).sum()
    return loss, error.T @ X + penalty * W, error.sum(dim=0)


def split_parameters(theta, num_classes):
    """Return W and b as views of one long vector; b comes first."""
    theta = torch.from_numpy(theta)
    return theta[num_classes:].view(num_classes, -1), theta[:num_classes]


def fit_softmax_regression(X, y, num_classes, penalty, max_steps=2000, start=None):
    """Return W and b that minimise the penalised cross-entropy; start is a pair (W, b)."""

    def flat_loss(theta):
        W, b = split_parameters(theta, num_classes)
        loss, grad_W, grad_b = regression_loss(W, b, X, y, penalty)
        return loss.item(), torch.cat([grad_b, grad_W.flatten()]).numpy()

    options = {"maxiter": max_steps, "maxfun": 2 * max_steps, "ftol": 1e-15, "gtol": 1e-9}
    theta = np.zeros(num_classes * (1 + X.shape[1]))
    if start is not None:
        theta = torch.cat([start[1], start[0].flatten()]).numpy()
    best = optimize.minimize(flat_loss, theta, jac=True, method="L-BFGS-B", options=options)
    return split_parameters(best.x, num_classes)


# %% [markdown]
# ## Check it: softmax regression
#
# Loss and gradient on odd shapes against autograd and central differences. Then the fitted model
# against scikit-learn, on 8 × 8 digits. Its `C` multiplies the *sum* of the losses instead of
# weighing the penalty, so $C=1/(N\lambda)$; neither penalises the bias.

# %%
X_ODD = torch.randn(11, 3, generator=generator, dtype=F64)
Y_ODD = torch.randint(5, (11,), generator=generator)
W_odd = torch.randn(5, 3, generator=generator, dtype=F64)
b_odd = torch.randn(5, generator=generator, dtype=F64)
loss_odd, grad_W_odd, grad_b_odd = regression_loss(W_odd, b_odd, X_ODD, Y_ODD, penalty=0.3)
leaf_W, leaf_b = W_odd.clone().requires_grad_(), b_odd.clone().requires_grad_()

# %%
theirs = F.cross_entropy(X_ODD @ leaf_W.T + leaf_b, Y_ODD) + 0.15 * leaf_W.square().sum()
theirs.backward()
ledger.check_close(85, "loss = torch", loss_odd, theirs)
ledger.check_close(85, "gradient by W = autograd", grad_W_odd, leaf_W.grad, kind="gradient")
ledger.check_close(85, "gradient by b = autograd", grad_b_odd, leaf_b.grad, kind="gradient")
ledger.check_gradient(
    85,
    "gradient by W: central differences",
    lambda W: regression_loss(torch.from_numpy(W), b_odd, X_ODD, Y_ODD, 0.3)[0].item(),
    W_odd,
    grad_W_odd,
)

# %%
from sklearn.linear_model import LogisticRegression

digits = data.load_digits_8x8()
X_DIGITS = torch.from_numpy(digits.X_train).flatten(1).double()[:600]  # (600, 64)
Y_DIGITS = torch.from_numpy(digits.y_train)[:600]
PENALTY = 0.02
W_digits, b_digits = fit_softmax_regression(X_DIGITS, Y_DIGITS, 10, PENALTY)

# %%
sklearn_model = LogisticRegression(C=1 / (600 * PENALTY), solver="newton-cg", tol=1e-10)
sklearn_model.fit(X_DIGITS.numpy(), Y_DIGITS.numpy())
ledger.check_close(85, "W = scikit-learn", W_digits, sklearn_model.coef_, tolerance=1e-5)
ledger.check_close(
    85,
    "b = scikit-learn",
    b_digits - b_digits.mean(),
    sklearn_model.intercept_ - sklearn_model.intercept_.mean(),
    tolerance=1e-5,
)

# %%
START = (
    torch.randn(10, 64, generator=generator, dtype=F64),
    torch.randn(10, generator=generator, dtype=F64),
)
W_again, _ = fit_softmax_regression(X_DIGITS, Y_DIGITS, 10, PENALTY, start=START)
ledger.check_close(85, "a random start finds the same W", W_again, W_digits, tolerance=1e-5)
column_sums = W_again.sum(dim=0)
ledger.check_close(85, "columns of W sum to zero", column_sums, torch.zeros(64), tolerance=1e-5)
W_free, _ = fit_softmax_regression(X_DIGITS, Y_DIGITS, 10, 0.0, max_steps=30, start=START)
with ledger.refuses(85, "columns sum to zero without a penalty"):
    ledger.check_close(85, "no penalty", W_free.sum(dim=0), torch.zeros(64), tolerance=1e-5)

# %% [markdown]
# The shift that softmax ignores shows twice: the penalty chooses, of all equivalent weights, those
# whose classes sum to zero, and the unpenalised biases agree only up to a constant.

# %% [markdown]
# ## The idea in symbols: "isn't this logistic regression?"
#
# A lecture slide on the softmax loss asks this in its title. With two classes,
#
# $$q_1=\frac{e^{z_1}}{e^{z_0}+e^{z_1}}=\frac1{1+e^{-(z_1-z_0)}}=\sigma(z_1-z_0) .$$
#
# Only the difference of the logits counts: $u=z_1-z_0=w^\top x+b$ with $w=w_1-w_0$. The loss
# becomes $-y\ln\sigma(u)-(1-y)\ln(1-\sigma(u))$, its derivative $\sigma(u)-y$. So the answer is
# yes, for $K=2$. For $K>2$ softmax regression is logistic regression's generalisation.
#
# ## Build it: logistic regression
#
# Because $-\ln\sigma(u)=\ln(1+e^{-u})$ and $-\ln(1-\sigma(u))=\ln(1+e^u)$, the loss is
# $y\ln(1+e^{-u})+(1-y)\ln(1+e^u)$, and $\ln(1+e^u)$ is `torch.logaddexp(u, 0)`. Written with
# $\max(u,0)$ and $|u|$ it has the same values, but autograd gives a wrong slope at exactly 0. The
# fit is Newton's method (each step solves second derivative · step = −gradient), in this case also
# called iteratively reweighted least squares.


# %%
def sigmoid(u):
    """Return 1 / (1 + exp(-u)) without overflow; for values only, not for autograd at 0."""
    small = torch.exp(-u.abs())  # at most 1
    return torch.where(u >= 0, 1 / (1 + small), small / (1 + small))


def binary_loss(u, y):
    """Return the cross-entropy of sigmoid(u) with the target y, entry by entry."""
    zero = torch.zeros_like(u)
    return y * torch.logaddexp(-u, zero) + (1 - y) * torch.logaddexp(u, zero)


def fit_logistic_regression(X, y, penalty, num_steps=30):
    """Return (w, b) by Newton's method; the bias is not penalised."""
    X_1 = torch.cat([X, torch.ones(len(X), 1, dtype=X.dtype)], dim=1)
    ridge = penalty * torch.ones(X_1.shape[1], dtype=X.dtype)
    ridge[-1] = 0.0
    theta = torch.zeros(X_1.shape[1], dtype=X.dtype)
    for _ in range(num_steps):
        q = sigmoid(X_1 @ theta)
        gradient = X_1.T @ (q - y) / len(X) + ridge * theta
        second = (X_1 * (q * (1 - q))[:, None]).T @ X_1 / len(X) + torch.diag(ridge)
        theta = theta - torch.linalg.solve(second, gradient)
    return theta[:-1], theta[-1]


# %% [markdown]
# ## Check it: logistic regression
#
# Against torch, at arguments up to ±800, where a loss written with $\ln\sigma(u)$ breaks.

# %%
u_wide = torch.cat(
    [torch.tensor([-800.0, 0.0, 800.0]), 9 * torch.randn(20, generator=generator)]
).double()
y_soft = torch.rand(23, generator=generator, dtype=F64)
reference_loss = F.binary_cross_entropy_with_logits(u_wide, y_soft, reduction="none")
ledger.check_close(85, "sigmoid = torch", sigmoid(u_wide), torch.sigmoid(u_wide))
ledger.check_close(85, "binary loss = torch", binary_loss(u_wide, y_soft), reference_loss)

# %%
naive_loss = (
    -y_soft * torch.sigmoid(u_wide).log() - (1 - y_soft) * (1 - torch.sigmoid(u_wide)).log()
)
with ledger.refuses(85, "the binary loss written with logarithms of sigmoids"):
    ledger.check_close(85, "written out", naive_loss, reference_loss)
ledger.check_gradient(
    85,
    "sigmoid(u) - y: central differences",
    lambda u: binary_loss(torch.from_numpy(u), y_soft).sum().item(),
    u_wide,
    sigmoid(u_wide) - y_soft,
)

# %%
u_edge = torch.tensor([-800.0, 0.0, 800.0], dtype=F64, requires_grad=True)
y_edge = torch.tensor([0.3, 0.2, 0.7], dtype=F64)
(slope_edge,) = torch.autograd.grad(binary_loss(u_edge, y_edge).sum(), u_edge)
ledger.check_close(
    85,
    "autograd of our loss at -800, 0, 800",
    slope_edge,
    sigmoid(u_edge) - y_edge,
    kind="gradient",
)
sure = torch.tensor([40.0, -40.0], dtype=F64)
ledger.check_close(
    85,
    "a loss of e^-40, relatively",
    binary_loss(sure, (sure > 0).double()) / math.exp(-40),
    torch.ones(2),
)

# %%
z_two = 5 * torch.randn(40, 2, generator=generator, dtype=F64)
u_two = z_two[:, 1] - z_two[:, 0]
ledger.check_close(
    85, "softmax of two = sigmoid of the difference", softmax(z_two)[:, 1], sigmoid(u_two)
)
p_two = torch.stack([1 - y_soft, y_soft], dim=1)
ledger.check_close(
    85,
    "gradients: q_1 - p_1 = sigmoid(u) - y",
    loss_gradient(z_two[:23], p_two)[:, 1],
    sigmoid(u_two[:23]) - y_soft,
    kind="gradient",
)

# %% [markdown]
# Now the two *fitted models*, on the digits 3 and 8. **Predict**: if softmax regression with two
# rows of weights has the penalty $\lambda$, which penalty makes logistic regression the same model?

# %%
PAIR = torch.from_numpy(np.isin(digits.y_train, (3, 8)))
X_PAIR = torch.from_numpy(digits.X_train).flatten(1).double()[PAIR]
Y_PAIR = (torch.from_numpy(digits.y_train)[PAIR] == 8).long()

# %%
w_pair, b_pair = fit_logistic_regression(X_PAIR, Y_PAIR, PENALTY / 2)
W_pair, b_rows = fit_softmax_regression(X_PAIR, Y_PAIR, 2, PENALTY)
reference_pair = LogisticRegression(C=2 / (len(X_PAIR) * PENALTY), solver="newton-cg", tol=1e-10)
reference_pair.fit(X_PAIR.numpy(), Y_PAIR.numpy())
ledger.check_close(85, "w = scikit-learn", w_pair, reference_pair.coef_[0], tolerance=1e-6)
ledger.check_close(
    85, "bias = scikit-learn", b_pair[None], reference_pair.intercept_, tolerance=1e-6
)

# %%
ledger.check_close(85, "w = w_1 - w_0 of softmax", w_pair, W_pair[1] - W_pair[0], tolerance=1e-6)
ledger.check_close(85, "b = b_1 - b_0", b_pair, b_rows[1] - b_rows[0], tolerance=1e-5)
w_full, _ = fit_logistic_regression(X_PAIR, Y_PAIR, PENALTY)
with ledger.refuses(85, "the same penalty in both models"):
    ledger.check_close(85, "same penalty", w_full, W_pair[1] - W_pair[0], tolerance=1e-6)

# %% [markdown]
# Half the penalty: softmax splits $w$ into $w_1=w/2$ and $w_0=-w/2$, whose squares sum to half of
# $\lVert w\rVert^2$. The models are one and the same once the penalties are made to agree.

# %% [markdown]
# ## The idea in symbols: why not squared error?
#
# For a sigmoid with target $y=1$, squared error $\frac12(\sigma(u)-y)^2$ is also zero for a perfect
# answer. The derivatives differ by one factor:
#
# $$\frac{\partial}{\partial u}\,\text{cross-entropy}=\sigma(u)-y,\qquad
# \frac{\partial}{\partial u}\,\text{squared error}=(\sigma(u)-y)\,\sigma(u)\,(1-\sigma(u)) .$$
#
# ## Build it: two losses on a sigmoid


# %%
def squared_loss(u, y):
    """Return half the squared error of sigmoid(u), entry by entry."""
    return (sigmoid(u) - y) ** 2 / 2


def binary_slope(u, y):
    """Return the derivative of the cross-entropy by u."""
    return sigmoid(u) - y


def squared_slope(u, y):
    """Return the derivative of the squared error by u."""
    return (sigmoid(u) - y) * sigmoid(u) * (1 - sigmoid(u))


# %% [markdown]
# ## Check it: two losses on a sigmoid

# %%
u_line = torch.linspace(-9, 9, 181, dtype=F64)
for goal in (0.0, 1.0, 0.3):
    leaf, goals = u_line.clone().requires_grad_(), torch.full_like(u_line, goal)
    half_squares = F.mse_loss(torch.sigmoid(leaf), goals, reduction="none") / 2
    (by_half_squares,) = torch.autograd.grad(half_squares.sum(), leaf)
    entropies = F.binary_cross_entropy_with_logits(leaf, goals, reduction="sum")
    (by_entropy,) = torch.autograd.grad(entropies, leaf)
    ledger.check_close(85, f"squared loss, y = {goal}", squared_loss(u_line, goal), half_squares)
    for name, ours, reference in (
        ("squared slope", squared_slope(u_line, goal), by_half_squares),
        ("cross-entropy slope", binary_slope(u_line, goal), by_entropy),
    ):
        ledger.check_close(85, f"{name}, y = {goal}", ours, reference, kind="gradient")

# %%
far = torch.tensor([-20.0, -30.0], dtype=F64)
ledger.check_close(
    85,
    "far out squared error pulls like e^u",
    -squared_slope(far, 1) / far.exp(),
    torch.ones(2),
    tolerance=1e-7,
)

# %%
second = {
    "squared error": torch.gradient(squared_slope(u_line, 1.0), spacing=(u_line,))[0],
    "cross-entropy": torch.gradient(binary_slope(u_line, 1.0), spacing=(u_line,))[0],
}
ledger.check_at_least(85, "cross-entropy is convex", second["cross-entropy"].min(), 0)
ledger.check_at_most(85, "squared error is not", second["squared error"].min(), -0.01)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.4, 2.8))
ones = torch.ones_like(u_line)
axs[0].plot(u_line, binary_loss(u_line, ones), label="cross-entropy")
axs[0].plot(u_line, squared_loss(u_line, ones), label="squared error")
axs[0].set(xlabel="logit u", ylabel="loss (nats, or ½ error²)")
axs[0].legend()
axs[1].plot(u_line, -binary_slope(u_line, ones))
axs[1].plot(u_line, -squared_slope(u_line, ones))
axs[1].set(xlabel="logit u", ylabel="pull towards y = 1")
show(
    fig,
    alt="Left: cross-entropy is a falling ramp, squared error a step that is flat on both sides. "
    "Right: the pull of cross-entropy is 1 for wrong logits, that of squared error a small bump.",
)

# %% [markdown]
# *Figure 6. Loss and pull (minus the derivative by the logit) for the target $y=1$. At $u=-9$ the
# answer is confidently wrong: cross-entropy pulls with strength almost 1, squared error hardly at
# all.*
#
# Below $u=-\ln2$, where its pull is largest, squared error pulls ever more weakly the more wrong
# the answer is: at $u\to-\infty$ like $e^{u}$.

# %% [markdown]
# ## Try it: a confidently wrong start
#
# The 3-against-8 model again. Five starts that are confidently wrong (the fitted weights with their
# sign turned, times six, plus noise), and five small random ones. Gradient descent, 300 steps; each
# loss gets, of ten learning rates between 0.1 and 3000, the one with the highest accuracy of the
# worst start, averaged over the steps. **Predict** the four accuracies.


# %%
def descend_sigmoid(slope, starts, lr, num_steps=300):
    """Return the accuracy of every start after every step of gradient descent, (S, steps + 1)."""
    centred = X_PAIR - X_PAIR.mean(dim=0)
    X_1 = torch.cat([centred, torch.ones(len(centred), 1, dtype=F64)], dim=1)
    theta, history = starts, []
    for step in range(num_steps + 1):
        u = theta @ X_1.T  # (S, N)
        history.append(((u > 0) == Y_PAIR).double().mean(dim=1))
        if step < num_steps:
            theta = theta - lr * slope(u, Y_PAIR) @ X_1 / len(X_1)
    return torch.stack(history, dim=1)


RATES = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000)


def best_descent(slope, starts):
    """Return (lr, accuracies) of the learning rate that serves the worst start best."""
    runs = {lr: descend_sigmoid(slope, starts, lr) for lr in RATES}
    lr = max(runs, key=lambda rate: runs[rate].min(dim=0).values.mean())
    return lr, runs[lr]


noise = torch.randn(5, 65, generator=generator, dtype=F64)
turned = -torch.cat([w_pair, torch.zeros(1, dtype=F64)])
STARTS = {"small": 0.01 * noise, "wrong": 6 * turned + 0.5 * noise}
SLOPES = {"cross-entropy": binary_slope, "squared error": squared_slope}

# %%
descents = {
    (kind, name): best_descent(slope, starts)
    for kind, starts in STARTS.items()
    for name, slope in SLOPES.items()
}
for (kind, name), (lr, runs) in descents.items():
    print(
        f"{kind} start, {name} (lr {lr:g}): accuracy after 20 steps {runs[:, 20].min():.3f} to "
        f"{runs[:, 20].max():.3f}, after 300 {runs[:, -1].min():.3f} to {runs[:, -1].max():.3f}"
    )
print(f"share of the 3s: {(Y_PAIR == 0).double().mean():.3f}")

# %%
ledger.check_at_least(
    85,
    "cross-entropy recovers: worst of 5",
    descents["wrong", "cross-entropy"][1][:, -1].min(),
    0.98,
)
ledger.check_at_most(
    85, "squared error does not: best of 5", descents["wrong", "squared error"][1][:, -1].max(), 0.7
)
ledger.check_at_least(
    85,
    "from small starts it does: worst of 5",
    descents["small", "squared error"][1][:, -1].min(),
    0.98,
)

# %%
fig, ax = plt.subplots(figsize=(6.0, 3.0))
for (kind, name), (_, runs) in descents.items():
    style = {"small": "-", "wrong": "--"}[kind]
    color = {"cross-entropy": "blue", "squared error": "vermilion"}[name]
    # The two solid bundles coincide: one is drawn wide and pale, so that both are seen.
    is_below = (kind, name) == ("small", "cross-entropy")
    look = {"linewidth": 3.5, "alpha": 0.35} if is_below else {"linewidth": 1.2}
    for run, curve in enumerate(runs):
        label = f"{name}, {kind} start" if run == 0 else None
        ax.semilogx(
            range(1, len(curve) + 1), curve, style, color=PALETTE[color], label=label, **look
        )
ax.set(xlabel="1 + step (log scale)", ylabel="training accuracy", ylim=(-0.02, 1.05))
ax.legend(loc="upper right", bbox_to_anchor=(1.0, 0.94), labelspacing=0.2)
show(
    fig,
    alt="Training accuracy against steps: from small starts both losses reach one; from wrong "
    "starts cross-entropy does too, squared error stays near one half.",
)

# %% [markdown]
# *Figure 7. Training accuracy, five starts each, each loss at its best rate. From small starts the
# curves coincide. From a confidently wrong start squared error ends on a plateau at the share of
# the 3s. The first large steps moved every picture to the side of the 3s; now the 8s are the
# confidently wrong ones.*
#
# From small starts both reach training accuracy 1 at their own best rates. That hides a difference
# of speed at the *same* rate. **Predict** it from the slopes near $u=0$. And is a wrong start
# hopeless because of its sign, or because of its size?

# %%
first_steps = {}
for name, pull in SLOPES.items():
    reached = descend_sigmoid(pull, STARTS["small"], lr=1) >= 0.98
    first_steps[name] = reached.double().argmax(dim=1)  # the first step that reached it
    print(f"small start, lr 1, {name}: accuracy 0.98 after steps {first_steps[name].tolist()}")
slowdown = first_steps["squared error"].min() / first_steps["cross-entropy"].max()
ledger.check_at_least(85, "same rate: squared error takes more steps, times", slowdown, 2)

# %%
rescued = {}
for factor in (2, 3, 4, 6):
    worst = {
        lr: descend_sigmoid(squared_slope, factor * turned + 0.5 * noise, lr)[:, -1].min().item()
        for lr in (*RATES, 1e4, 1e5, 1e6)
    }
    rescued[factor] = max(worst.values())
    print(
        f"squared error, turned and times {factor}: worst of 5 after 300 steps "
        f"{rescued[factor]:.3f} at its best rate"
    )
ledger.check_at_least(85, "squared error recovers from times 2", rescued[2], 0.98)
stuck = max(rescued[factor] for factor in (3, 4, 6))
ledger.check_at_most(85, "from times 3, 4, 6 not in every run, at any rate", stuck, 0.7)

# %% [markdown]
# Near $u=0$ squared error pulls a quarter as hard, so four times as many steps would be due. It
# takes about three: away from 0 the two losses weigh the pictures differently, and their paths
# part. Size, not sign, makes a start hopeless: from the turned weights times two squared error
# recovers in all runs; from times three on some run is stuck after 300 steps at every rate tried.
# So it is no bad loss here, but a bad one to start *badly* with: the surer the wrong
# answer, the less it pulls.

# %% [markdown]
# ## The idea in symbols: a loss is a likelihood
#
# Where do losses come from? Say how targets are distributed around the prediction, and ask for the
# parameters under which the observed targets are most likely. The negative logarithm of that
# likelihood, per sample, is a loss:
#
# - a number $a$, normal around $\hat a$ with standard deviation $s$:
#   $\;\frac{(a-\hat a)^2}{2s^2}+\ln s+\frac12\ln2\pi$, squared error up to scale and constant;
# - a class $y$, one of $K$ with probabilities $\operatorname{softmax}(z)$: $\;-\ln q_y$,
#   cross-entropy.
#
# Laplace's distribution gives the absolute error in the same way.
#
# ## Build it: two likelihoods


# %%
def normal_loss(a, a_hat, sd):
    """Return the mean negative log-likelihood of a normal distribution, in nats."""
    return ((a - a_hat) ** 2 / (2 * sd**2)).mean() + math.log(sd) + math.log(2 * math.pi) / 2


def categorical_loss(logits, y):
    """Return the mean negative log-likelihood of the classes y, in nats."""
    return -log_softmax(logits).gather(1, y[:, None]).mean()


# %% [markdown]
# ## Check it: two likelihoods
#
# Against scipy's and torch's densities. The gradients say more: that of the normal loss is that of
# the mean squared error divided by $2s^2$, so with a fixed $s$ both lead the same way.

# %%
a_real = torch.randn(17, generator=generator, dtype=F64)
a_guess = torch.randn(17, generator=generator, dtype=F64).requires_grad_()
SD = 0.7
density = stats.norm.logpdf(a_real.numpy(), a_guess.detach().numpy(), SD)
ledger.check_close(85, "normal loss = scipy", normal_loss(a_real, a_guess, SD), -density.mean())
(by_likelihood,) = torch.autograd.grad(normal_loss(a_real, a_guess, SD), a_guess)
(by_squares,) = torch.autograd.grad(F.mse_loss(a_guess, a_real), a_guess)
ledger.check_close(
    85,
    "its gradient = that of MSE / 2 s^2",
    by_likelihood,
    by_squares / (2 * SD**2),
    kind="gradient",
)

# %%
z_class = torch.randn(9, 4, generator=generator, dtype=F64)
y_class = torch.randint(4, (9,), generator=generator)
likelihood = torch.distributions.Categorical(logits=z_class).log_prob(y_class)
ledger.check_close(
    85, "categorical loss = torch", categorical_loss(z_class, y_class), -likelihood.mean()
)
ledger.check_close(
    85, "= cross-entropy", categorical_loss(z_class, y_class), F.cross_entropy(z_class, y_class)
)

# %% [markdown]
# ## Try it: the best constant
#
# A model without inputs can only predict a constant. **Predict** the best one under each loss: for
# the five numbers 1, 2, 3, 4, 40 under squared and under absolute error, for labels 0, 0, 0, 1, 2
# under cross-entropy.

# %%
numbers = torch.tensor([1.0, 2.0, 3.0, 4.0, 40.0], dtype=F64)
candidates = torch.linspace(0, 40, 4001, dtype=F64)[:, None]
squared_best = candidates[((numbers - candidates) ** 2).mean(dim=1).argmin()].item()
absolute_best = candidates[(numbers - candidates).abs().mean(dim=1).argmin()].item()
_, b_constant = fit_softmax_regression(
    torch.zeros(5, 1, dtype=F64), torch.tensor([0, 0, 0, 1, 2]), 3, penalty=0.1
)
print(
    f"squared error {squared_best:.2f}, absolute error {absolute_best:.2f}, "
    f"cross-entropy {[round(x, 3) for x in softmax(b_constant).tolist()]}"
)

# %%
ledger.check_close(85, "squared error: the mean", squared_best, numbers.mean(), tolerance=1e-9)
ledger.check_close(85, "absolute error: the median", absolute_best, numbers.median())
ledger.check_close(
    85, "cross-entropy: the frequencies", softmax(b_constant), [0.6, 0.2, 0.2], tolerance=1e-6
)

# %% [markdown]
# And which belief is best in an event that happens seven times in ten: under cross-entropy, under
# the squared and under the absolute difference between belief and outcome (1 or 0)? **Predict**
# three numbers, then look at events of other frequencies too.

# %%
EVENTS = (0.1, 0.35, 0.7, 0.95)
believed = torch.linspace(0, 1, 1001, dtype=F64)
best_beliefs = {"cross-entropy": [], "squared error": [], "absolute error": []}
for happens in EVENTS:
    expected = {
        "cross-entropy": happens * surprise(believed) + (1 - happens) * surprise(1 - believed),
        "squared error": happens * (1 - believed) ** 2 + (1 - happens) * believed**2,
        "absolute error": happens * (1 - believed) + (1 - happens) * believed,
    }
    for name, mean_loss in expected.items():
        best_beliefs[name].append(round(believed[mean_loss.argmin()].item(), 9))
print(best_beliefs)
for name in ("cross-entropy", "squared error"):
    ledger.check_close(85, f"{name}: honesty is best", best_beliefs[name], EVENTS)
ledger.check_equal(85, "absolute error: exaggerate", best_beliefs["absolute error"], [0, 0, 1, 1])

# %% [markdown]
# Cross-entropy and squared error reward an honest probability: they are **proper** scoring rules
# (Gneiting and Raftery, 2007). Absolute error rewards exaggeration, up to certainty: a reason not
# to train a classifier by it.

# %% [markdown]
# ## Try it: softmax regression on Fashion-MNIST
#
# 4,000 pictures of clothes (Xiao, Rasul and Vollgraf, 2017), ten classes, 7,850 parameters, and
# predictions at the minimum that are unique. So our model and scikit-learn's must agree in loss, in
# weights, in biases up to a constant and in every prediction.

# %%
fashion = data.load_fashion_mnist()
X_ALL = torch.from_numpy(fashion.X_train).flatten(1).double()
pixel_mean = X_ALL[:4000].mean(dim=0)
X_ALL = X_ALL - pixel_mean
Y_ALL = torch.from_numpy(fashion.y_train)
X_TEST = torch.from_numpy(fashion.X_test).flatten(1).double() - pixel_mean
Y_TEST = torch.from_numpy(fashion.y_test)
W_clothes, b_clothes = fit_softmax_regression(X_ALL[:4000], Y_ALL[:4000], 10, PENALTY)

# %%
clothes_model = LogisticRegression(C=1 / (4000 * PENALTY), solver="newton-cg", tol=1e-9)
clothes_model.fit(X_ALL[:4000].numpy(), Y_ALL[:4000].numpy())
logits_test = X_TEST @ W_clothes.T + b_clothes
guesses = logits_test.argmax(dim=1)
print(
    f"test accuracy {(guesses == Y_TEST).double().mean():.3f}, "
    f"test loss {categorical_loss(logits_test, Y_TEST):.3f} nats; guessing {math.log(10):.3f}"
)

# %%
from sklearn.metrics import log_loss

ledger.check_close(
    85, "Fashion-MNIST: W = scikit-learn", W_clothes, clothes_model.coef_, tolerance=1e-5
)
ledger.check_close(
    85,
    "b = scikit-learn",
    b_clothes - b_clothes.mean(),
    clothes_model.intercept_ - clothes_model.intercept_.mean(),
    tolerance=1e-5,
)
ledger.check_close(
    85,
    "test loss = scikit-learn",
    categorical_loss(logits_test, Y_TEST),
    log_loss(Y_TEST.numpy(), clothes_model.predict_proba(X_TEST.numpy())),
    tolerance=1e-6,
)
agreement = (guesses.numpy() == clothes_model.predict(X_TEST.numpy())).mean()
ledger.check_at_least(85, "share of equal predictions", agreement, 0.9999)
ledger.check_at_least(85, "test accuracy", (guesses == Y_TEST).double().mean(), 0.78)

# %% [markdown]
# **Predict** what the weights of one class look like as a picture: like a mean of its pictures?

# %%
fig, axs = plt.subplots(2, 5, figsize=(6.4, 2.9))
reach = W_clothes.abs().max().item()
for ax, row, name in zip(axs.flat, W_clothes, fashion.class_names, strict=True):
    picture = ax.imshow(row.view(28, 28), cmap="RdBu_r", vmin=-reach, vmax=reach)
    ax.set(title=name, xticks=[], yticks=[])
    ax.title.set_fontsize(9)
bar = fig.colorbar(picture, ax=axs, shrink=0.8)
bar.set_label("weight (nats per unit of grey value)")
show(
    fig,
    alt="Ten weight pictures, red positive and blue negative: the trouser class is red at the legs "
    "and blue in the gap between them, others show edges rather than whole garments.",
)

# %% [markdown]
# *Figure 8. The weights of the ten classes; red speaks for the class, blue against it.*
#
# Some garments can be made out, but how near to mean pictures are these? Compare each with the mean
# of its class, and with what is left of that mean after the mean of all classes is taken away.

# %%
overall = pixel_mean.numpy()
alike = []
for row, k in zip(W_clothes, range(10), strict=True):
    own = X_ALL[:4000][Y_ALL[:4000] == k].mean(dim=0).numpy()  # X_ALL is centred
    alike.append([np.corrcoef(row, own + overall)[0, 1], np.corrcoef(row, own)[0, 1]])
raw, centred = np.array(alike).T
print(f"correlation with the class mean {raw.min():.2f} to {raw.max():.2f}")
print(f"with class mean - overall mean {centred.min():.2f} to {centred.max():.2f}")
ledger.check_at_least(85, "nearer to the centred mean, on average by", (centred - raw).mean(), 0.15)

# %% [markdown]
# Not mean pictures, but related to what is left of them after the mean of all classes is taken
# away: a weight is large where a pixel *tells classes apart*.

# %% [markdown]
# ## The idea in symbols: may the probabilities be believed?
#
# A classifier is **calibrated** (校准) if, of all answers given with confidence 0.8, 80 % are
# right. Sort the answers by their confidence $\max_kq_k$ into bins $\mathcal B_c$ and compare in
# each bin the mean confidence with the accuracy. The **expected calibration error** (Naeini, Cooper
# and Hauskrecht, 2015) is
#
# $$\text{ECE}=\sum_c\frac{|\mathcal B_c|}{N}\,
# \big|\text{accuracy}(\mathcal B_c)-\text{confidence}(\mathcal B_c)\big| .$$
#
# **Temperature scaling** (Guo et al., 2017) repairs overconfidence with a single number: divide
# all logits by the $T$ that minimises the cross-entropy on held-out data. The order of the classes
# stays, and so does the accuracy. At the best $T$ the derivative by $1/T$ is zero: the mean of
# $\sum_kq_kz_k$ equals the mean of $z_y$.
#
# ## Build it: calibration


# %%
def reliability(logits, y, num_bins=15):
    """Return (share, confidence, accuracy) of every bin of confidence that is not empty."""
    confidence, guess = softmax(logits).max(dim=1)
    edges = torch.linspace(0, 1, num_bins + 1, dtype=logits.dtype)
    place = torch.bucketize(confidence, edges[1:-1])
    rows = []
    for c in place.unique():
        inside = place == c
        right = (guess == y)[inside].to(logits.dtype)
        rows.append((inside.double().mean(), confidence[inside].mean(), right.mean()))
    return torch.tensor(rows, dtype=logits.dtype).T


# %%
def calibration_error(logits, y, num_bins=15):
    """Return the expected calibration error, a fraction."""
    share, confidence, accuracy = reliability(logits, y, num_bins)
    return (share * (accuracy - confidence).abs()).sum()


def fit_temperature(logits, y):
    """Return the temperature with the lowest cross-entropy."""
    best = optimize.minimize_scalar(
        lambda log_T: categorical_loss(logits / math.exp(log_T), y).item(),
        bounds=(-4, 6),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return math.exp(best.x)


# %% [markdown]
# ## Check it: calibration
#
# Bins against scikit-learn and numpy's histogram, for 15 and for 7 bins. Labels of the first set
# are drawn from $\operatorname{softmax}(z/2.5)$: the logits $z$ are overconfident by that known
# factor.

# %%
from sklearn.calibration import calibration_curve

z_drawn = 4 * torch.randn(200_000, 6, generator=generator, dtype=F64)
draw = torch.rand(200_000, 1, generator=generator, dtype=F64)
y_drawn = (softmax(z_drawn, 2.5).cumsum(dim=1) < draw).sum(dim=1).clamp(max=5)
z_flat = torch.randn(400, 25, generator=generator, dtype=F64)  # low confidence
y_flat = torch.randint(25, (400,), generator=generator)

# %%
for z_set, y_set, num_bins in ((z_drawn, y_drawn, 15), (z_flat, y_flat, 7)):
    sureness = softmax(z_set).amax(dim=1).numpy()
    is_right = (z_set.argmax(dim=1) == y_set).numpy()
    options = {"bins": num_bins, "range": (0, 1)}
    counts, _ = np.histogram(sureness, **options)
    overshoot, _ = np.histogram(sureness, weights=sureness - is_right, **options)
    share, confidence, hit_rate = reliability(z_set, y_set, num_bins)
    sklearn_bins = calibration_curve(is_right, sureness, n_bins=num_bins)
    ledger.check_close(
        85, f"{num_bins} bins = scikit-learn", torch.stack([hit_rate, confidence]), sklearn_bins
    )
    ledger.check_close(85, "shares = numpy", share, counts[counts > 0] / len(y_set))
    reference_ece = np.abs(overshoot).sum() / len(y_set)
    ledger.check_close(85, "ECE = numpy", calibration_error(z_set, y_set, num_bins), reference_ece)

# %%
T_found = fit_temperature(z_drawn, y_drawn)
ledger.check_close(85, "temperature found again", T_found, 2.5, tolerance=0.01)
q_found = softmax(z_drawn, T_found)
ledger.check_close(
    85,
    "at the best T: mean expected logit = mean logit of the label",
    (q_found * z_drawn).sum(dim=1).mean(),
    z_drawn.gather(1, y_drawn[:, None]).mean(),
    tolerance=1e-6,
)
print(
    f"ECE {calibration_error(z_drawn, y_drawn):.3f} before, "
    f"{calibration_error(z_drawn / T_found, y_drawn):.3f} after"
)
ledger.check_at_most(85, "ECE after", calibration_error(z_drawn / T_found, y_drawn), 0.02)

# %% [markdown]
# ## Try it: a classifier that believes itself too much
#
# Train softmax regression on 1,500 pictures for 150 steps of L-BFGS, almost without a penalty; by
# then it makes no mistakes on them. Three models, on three disjoint parts of the data; 1,000
# further pictures for the temperature; 10,000 for the test. **Predict** the mean confidence on the
# test set, given an accuracy of a little under 0.8.

# %%
held_out = slice(50_000, 51_000)
parts = [slice(start, start + 1500) for start in (10_000, 11_500, 13_000)]
before, after, losses_by_T = [], [], []

# %%
for part, inside in enumerate(parts):
    W_sure, b_sure = fit_softmax_regression(X_ALL[inside], Y_ALL[inside], 10, 1e-6, max_steps=150)
    z_train = X_ALL[inside] @ W_sure.T + b_sure
    mistakes = (z_train.argmax(dim=1) != Y_ALL[inside]).sum()
    ledger.check_equal(85, f"model {part}: mistakes on its own pictures", mistakes, 0)
    z_held, z_test = X_ALL[held_out] @ W_sure.T + b_sure, X_TEST @ W_sure.T + b_sure
    T_best = fit_temperature(z_held, Y_ALL[held_out])
    before.append(z_test)
    after.append(z_test / T_best)
    losses_by_T.append(
        [categorical_loss(z_test / T, Y_TEST).item() for T in np.geomspace(0.5, 50, 40)]
    )
    hit = (z_test.argmax(dim=1) == Y_TEST).double().mean()
    print(
        f"model {part}: accuracy {hit:.3f}, confidence {softmax(z_test).amax(dim=1).mean():.3f}, "
        f"T = {T_best:.1f}"
    )
    ledger.check_equal(
        85, f"model {part}: same answers", after[-1].argmax(dim=1), z_test.argmax(dim=1)
    )

# %%
ece = {
    name: torch.stack([calibration_error(z, Y_TEST) for z in group])
    for name, group in (("before", before), ("after", after))
}
nats = {
    name: torch.stack([categorical_loss(z, Y_TEST) for z in group])
    for name, group in (("before", before), ("after", after))
}

# %%
for name in ece:
    print(
        f"{name:6} ECE {ece[name].mean():.3f} ± {ece[name].std():.3f}, "
        f"loss {nats[name].mean():.2f} ± {nats[name].std():.2f} nats (± standard deviation)"
    )
ledger.check_at_least(85, "overconfident: smallest ECE", ece["before"].min(), 0.12)
ledger.check_at_most(85, "scaled: largest ECE", ece["after"].max(), 0.06)
ledger.check_at_least(85, "loss saved, smallest", (nats["before"] - nats["after"]).min(), 0.5)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.6, 3.0))
axs[0].plot([0, 1], [0, 1], color="0.6", linewidth=1)
for group, marker, color, label in (
    (before, "s", "vermilion", "as trained"),
    (after, "o", "blue", "scaled"),
):
    for part, z in enumerate(group):
        share, confidence, hit_rate = reliability(z, Y_TEST, num_bins=10)
        is_filled = share >= 0.005
        axs[0].plot(
            confidence[is_filled],
            hit_rate[is_filled],
            marker=marker,
            markersize=4,
            linewidth=0.8,
            linestyle="-",
            color=PALETTE[color],
            label=label if part == 0 else None,
        )
axs[0].set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
axs[0].legend(loc="upper left")
for curve_T in losses_by_T:
    axs[1].semilogx(np.geomspace(0.5, 50, 40), curve_T, "-", color=PALETTE["blue"], linewidth=1)
axs[1].set(xlabel="temperature (log scale)", ylabel="test loss (nats)", ylim=(0, 4))
show(
    fig,
    alt="Left: as trained, accuracy lies far below confidence; after scaling, the points lie near "
    "the diagonal. Right: test loss against temperature has one minimum well above T = 1.",
)

# %% [markdown]
# *Figure 9. Left: accuracy against confidence in ten bins, three models, without bins that hold
# fewer than one answer in 200; on the grey diagonal confidence is deserved. Right: test loss of the
# same models against the temperature.*
#
# The models are nearly certain and wrong in more than a fifth of the cases. One number, fitted on
# 1,000 pictures, lowers the loss a great deal and changes no answer. Guo et al. (2017) found the
# same of deep networks. **Predict**: is a penalty, chosen beforehand, worse or better than scaling?

# %%
penalised, T_penalised = [], []
for inside in parts:
    W_calm, b_calm = fit_softmax_regression(X_ALL[inside], Y_ALL[inside], 10, PENALTY)
    penalised.append(X_TEST @ W_calm.T + b_calm)
    T_penalised.append(fit_temperature(X_ALL[held_out] @ W_calm.T + b_calm, Y_ALL[held_out]))
for z, T_best in zip(penalised, T_penalised, strict=True):
    print(
        f"penalty {PENALTY}: accuracy {(z.argmax(dim=1) == Y_TEST).double().mean():.3f}, "
        f"loss {categorical_loss(z, Y_TEST):.3f} nats, ECE {calibration_error(z, Y_TEST):.3f}, "
        f"T = {T_best:.2f}"
    )
saved = nats["after"] - torch.stack([categorical_loss(z, Y_TEST) for z in penalised])
ledger.check_at_most(85, "with a penalty: largest best T", max(T_penalised), 0.9)
ledger.check_at_least(85, "its loss is below the scaled one, smallest", saved.min(), 0.02)

# %% [markdown]
# Most of the excess loss was misplaced confidence. A penalty chosen beforehand gives a better model
# by loss and accuracy, though not by ECE: it is too modest, and its best $T$ lies below 1.

# %% [markdown]
# ## The idea in symbols: label smoothing
#
# A one-hot target asks for a probability of exactly 1, so the logits grow as long as you train.
# **Label smoothing** (标签平滑; Szegedy et al., 2016) asks for less: with $\epsilon>0$ the target
# is $1-\epsilon+\frac\epsilon K$ for the labelled class and $\frac\epsilon K$ for the others. The
# loss is lowest at $q=p$, where the labelled logit leads every other by
#
# $$g^*=\ln\frac{1-\epsilon+\epsilon/K}{\epsilon/K}=\ln\Big(1+\frac{K(1-\epsilon)}\epsilon\Big),$$
#
# and it is not zero there but $H(p)$. **Gradient flow**, gradient descent with infinitely small
# steps, moves the logits by $dz/dt=p-q$. From equal logits the $K-1$ others stay equal, each with
# $q_k=1/(e^g+K-1)$. Without smoothing $dg/dt=(1-q_y)+q_k=Kq_k$, so the lead obeys
# $dg/dt=K/(e^g+K-1)$, hence $e^g+(K-1)g=1+Kt$ from $g=0$: it grows like $\ln t$, for ever.
#
# ## Build it: label smoothing


# %%
def smooth_labels(y, num_classes, smoothing):
    """Return smoothed targets; the mass is spread over all classes, as in torch."""
    return (1 - smoothing) * F.one_hot(y, num_classes).to(F64) + smoothing / num_classes


def best_lead(num_classes, smoothing):
    """Return the lead of the labelled logit at the minimum, in nats."""
    return math.log1p(num_classes * (1 - smoothing) / smoothing)


# %% [markdown]
# ## Check it: label smoothing

# %%
for smoothing in (0.0, 0.1, 0.37):
    P_smooth = smooth_labels(y_class, 4, smoothing)
    ledger.check_close(
        56,
        f"smoothed loss = torch, eps = {smoothing}",
        cross_entropy(P_smooth, softmax(z_class)).mean(),
        F.cross_entropy(z_class, y_class, label_smoothing=smoothing),
    )

# %%
for num_classes, smoothing in ((3, 0.2), (10, 0.1), (7, 0.02)):
    p_smooth = smooth_labels(torch.tensor(1), num_classes, smoothing)
    lowest_loss = optimize.minimize(
        lambda z, p=p_smooth: F.cross_entropy(torch.from_numpy(z), p).item(),
        np.zeros(num_classes),
        jac=lambda z, p=p_smooth: loss_gradient(torch.from_numpy(z), p).numpy(),
        options={"gtol": 1e-10},
    )
    leads = (lowest_loss.x[1] - np.delete(lowest_loss.x, 1)).tolist()
    best = [best_lead(num_classes, smoothing)] * (num_classes - 1)
    ledger.check_close(56, f"lead at the minimum, K = {num_classes}", leads, best, tolerance=1e-5)
    ledger.check_close(56, "loss at the minimum = H(p)", lowest_loss.fun, entropy(p_smooth))

# %% [markdown]
# ## Try it: logits with and without a goal
#
# Let ten free logits follow the gradient. **Predict** how the lead of the labelled one grows when
# $\epsilon=0$, and when $\epsilon=0.1$.

# %%
from scipy.integrate import solve_ivp

TIMES = np.geomspace(0.1, 3000, 60)


def lead_over_time(smoothing, num_classes=10):
    """Return the lead of the labelled logit under gradient flow from zero."""
    p = smooth_labels(torch.tensor(0), num_classes, smoothing)
    flow = solve_ivp(
        lambda t, z: -loss_gradient(torch.from_numpy(z), p).numpy(),
        (0, TIMES[-1]),
        np.zeros(num_classes),
        t_eval=TIMES,
        rtol=1e-9,
        atol=1e-10,
    )
    return flow.y[0] - flow.y[1]


# %%
leads_of = {smoothing: lead_over_time(smoothing) for smoothing in (0.0, 0.01, 0.1, 0.3)}
implicit = np.exp(leads_of[0.0]) + 9 * leads_of[0.0]
ledger.check_close(
    56, "one-hot: e^g + 9g = 1 + 10t", implicit, 1 + 10 * TIMES, kind="trajectory", tolerance=1e-6
)
for smoothing in (0.1, 0.3):
    ledger.check_close(
        56,
        f"eps = {smoothing}: the lead ends at its closed form",
        leads_of[smoothing][-1],
        best_lead(10, smoothing),
        tolerance=1e-6,
    )

# %%
fig, ax = plt.subplots(figsize=(6.0, 3.0))
styles = zip(
    leads_of.items(), ("blue", "vermilion", "green", "purple"), ("-", "--", "-.", ":"), strict=True
)
for (smoothing, lead), color, style in styles:
    ax.semilogx(TIMES, lead, style, color=PALETTE[color], label=f"ε = {smoothing:g}")
    if smoothing:
        ax.hlines(best_lead(10, smoothing), 0.1, 3000, color=PALETTE[color], linewidth=0.7)
ax.set(xlabel="time (log scale)", ylabel="lead of the labelled logit (nats)")
ax.legend(ncols=2)
show(
    fig,
    alt="Lead of the labelled logit against time: without smoothing it keeps rising, in the "
    "end along a straight line on a log axis; with smoothing it levels off at its closed form.",
)

# %% [markdown]
# *Figure 10. Lead of the labelled logit under gradient flow, $K=10$. Thin lines: $g^*$.*
#
# Smoothing gives the logits a finite goal. The price: a smoothed loss never reaches zero, so
# compare losses only at equal $\epsilon$. Notebook 07 has the lecture's form, which spreads the
# mass over the other classes only.

# %% [markdown]
# ## Exercises
#
# ### 1. Bits of a wheel (easy, 5 minutes)
#
# A wheel shows A, B, C, D with probabilities 1/2, 1/4, 1/8, 1/8. Give its entropy in **bits**.

# %% tags=["exercise"]
WHEEL = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=F64)
answer_1 = None  # a number

# %%
check_exercise(
    answer_1,
    1.75,
    mistakes={
        "That is in nats; divide by ln 2.": entropy(WHEEL).item(),
        "You multiplied by ln 2; a bit is the smaller unit, so there are more of them.": (
            entropy(WHEEL).item() * math.log(2)
        ),
        "That is the mean of the four surprises; weigh each with its probability.": 2.25,
        "That holds for four equal parts.": 2.0,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# WHEEL = torch.tensor([0.5, 0.25, 0.125, 0.125], dtype=F64)
# answer_1 = (entropy(WHEEL) / math.log(2)).item()
# ```
# $\frac12\cdot1+\frac14\cdot2+\frac18\cdot3+\frac18\cdot3$.
# </details>

# %% [markdown]
# ### 2. The gradient of a minibatch (easy, 10 minutes)
#
# Compute the derivative of the *mean* cross-entropy of this minibatch by its logits, a tensor of
# shape (3, 4), without autograd.

# %% tags=["exercise"]
LOGITS = torch.tensor(
    [[2.0, 0.0, 1.0, -1.0], [0.5, 0.5, 0.5, 0.5], [-3.0, 4.0, 0.0, 1.0]], dtype=F64
)
LABELS = torch.tensor([2, 0, 1])
answer_2 = None  # a tensor of shape (3, 4)

# %%
check_exercise(
    answer_2,
    (softmax(LOGITS) - F.one_hot(LABELS, 4)) / 3,
    mistakes={
        "That is the derivative of the sum; the loss is a mean.": softmax(LOGITS)
        - F.one_hot(LABELS, 4),
        "That is the direction of descent: the gradient has the other sign.": (
            F.one_hot(LABELS, 4) - softmax(LOGITS)
        )
        / 3,
        "Your softmax runs over the samples; it must run over the classes.": (
            torch.softmax(LOGITS, dim=0) - F.one_hot(LABELS, 4)
        )
        / 3,
        "Three samples, not four classes, are averaged.": (softmax(LOGITS) - F.one_hot(LABELS, 4))
        / 4,
        "You averaged over all twelve entries; each sample has one loss, so divide by 3.": (
            softmax(LOGITS) - F.one_hot(LABELS, 4)
        )
        / 12,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# LOGITS = torch.tensor(
#     [[2.0, 0.0, 1.0, -1.0], [0.5, 0.5, 0.5, 0.5], [-3.0, 4.0, 0.0, 1.0]], dtype=F64
# )
# LABELS = torch.tensor([2, 0, 1])
# answer_2 = loss_gradient(LOGITS, F.one_hot(LABELS, 4)) / len(LOGITS)
# ```
# </details>

# %% [markdown]
# ### 3. The floor of a noisy data set (medium, 10 minutes)
#
# Ten classes. The inputs determine the true class. In a data set 20 % of the labels were replaced
# by one of the *nine other* classes, each equally likely. What is the lowest mean cross-entropy, in
# nats, that any classifier can expect on labels of this kind?

# %% tags=["exercise"]
FLIPPED = 0.2
answer_3 = None  # a number

# %%
check_exercise(
    answer_3,
    entropy(torch.tensor([0.8] + [0.2 / 9] * 9, dtype=F64)).item(),
    mistakes={
        "Zero needs certainty, and one label in five cannot be foreseen.": 0.0,
        "You treated the flipped labels as one class; which of the nine it is costs too.": entropy(
            torch.tensor([0.8, 0.2], dtype=F64)
        ).item(),
        "You spread the flips over ten classes; a flip never gives the true class.": entropy(
            torch.tensor([0.82] + [0.02] * 9, dtype=F64)
        ).item(),
        "That is the loss on the unflipped labels alone.": -math.log(0.8),
        "That is in bits; multiply by ln 2.": (
            entropy(torch.tensor([0.8] + [0.2 / 9] * 9, dtype=F64)).item() / math.log(2)
        ),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# FLIPPED = 0.2
# p_noisy = torch.tensor([1 - FLIPPED] + [FLIPPED / 9] * 9, dtype=F64)
# answer_3 = entropy(p_noisy).item()
# ```
# The best belief is the truth, $q=p$, and its cross-entropy is $H(p)$.
# </details>

# %% [markdown]
# ### 4. A loss that skips (medium, 15 minutes)
#
# Batches of text are padded; padding has the label −100 and must not count. Complete the function:
# the mean cross-entropy over the labels that are not −100, stable for any finite logit.

# %% tags=["exercise"]
PADDED_LOGITS = torch.tensor(
    [[900.0, 0.0, 2.0], [1.0, 2.0, 3.0], [0.0, -1.0, 4.0], [5.0, 1.0, 1.0]]
)
PADDED_LABELS = torch.tensor([2, -100, 1, 0])


def padded_loss(logits, y):
    """Return the mean cross-entropy over the labels that are not -100."""
    return None


answer_4 = padded_loss(PADDED_LOGITS, PADDED_LABELS)


# %%
def mark_infinity(loss):
    """Return "not finite" for an infinite or undefined loss, and any other answer unchanged."""
    try:
        return loss if loss is None or math.isfinite(loss) else "not finite"
    except (TypeError, ValueError):
        return loss


check_exercise(
    mark_infinity(answer_4),
    F.cross_entropy(PADDED_LOGITS, PADDED_LABELS).item(),
    mistakes={
        "You divided by all labels; the skipped one must not count there either.": (
            F.cross_entropy(PADDED_LOGITS, PADDED_LABELS, reduction="sum").item() / 4
        ),
        "That is the sum; take the mean.": F.cross_entropy(
            PADDED_LOGITS, PADDED_LABELS, reduction="sum"
        ).item(),
        "You counted the padding as a class: -100 was cut to 0.": F.cross_entropy(
            PADDED_LOGITS, PADDED_LABELS.clamp(min=0)
        ).item(),
        "Not finite: take log_softmax, not the logarithm of a softmax.": "not finite",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# PADDED_LOGITS = torch.tensor(
#     [[900.0, 0.0, 2.0], [1.0, 2.0, 3.0], [0.0, -1.0, 4.0], [5.0, 1.0, 1.0]]
# )
# PADDED_LABELS = torch.tensor([2, -100, 1, 0])
#
#
# def padded_loss(logits, y):
#     """Return the mean cross-entropy over the labels that are not -100."""
#     kept = y != -100
#     return categorical_loss(logits[kept], y[kept])
#
#
# answer_4 = padded_loss(PADDED_LOGITS, PADDED_LABELS)
# ```
# </details>

# %% [markdown]
# ### 5. Equal both ways (open, 15 minutes)
#
# For $p=(0.2,0.7,0.1)$ find a $q$ with $D(p\Vert q)=D(q\Vert p)$ that is no rearrangement of $p$.
# Near $p$ any $q$ comes close, so move at least one bar by 0.05, and let the two directions differ
# by less than a thousandth of $D(p\Vert q)$. Find the place roughly with the widget,
# then exactly by code (`optimize.brentq`), without rounding. Why must there be a whole curve of
# such $q$?

# %% tags=["exercise"]
answer_5 = None  # three numbers


# %%
def judge_pair(answer, p=(0.2, 0.7, 0.1)):
    """Return what is wrong with a proposed q, or "equal"."""
    p = torch.tensor(p, dtype=F64)
    try:
        q = torch.as_tensor(answer, dtype=F64)
    except (TypeError, ValueError):
        return "not a distribution"
    if q.shape != p.shape or (q < 0).any() or abs(q.sum().item() - 1) > 1e-6:
        return "not a distribution"
    if (q.sort().values - p.sort().values).abs().max() < 1e-3:
        return "rearranged"
    if (q - p).abs().max() < 0.05:
        return "near"
    return "equal" if (kl(p, q) - kl(q, p)).abs() < 1e-3 * kl(p, q) else "different"


check_exercise(
    answer_5 if answer_5 is None else judge_pair(answer_5),
    "equal",
    mistakes={
        "Give three numbers, none negative, with the sum 1.": "not a distribution",
        "That is p or a rearrangement of it.": "rearranged",
        "So near p both are almost 0; move at least one bar by 0.05.": "near",
        "The two directions still differ by over a thousandth; do not round.": "different",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def equal_gap(first):
#     """Return D(p||q) - D(q||p) on the line q = (first, 0.6, 0.4 - first)."""
#     q = torch.tensor([first, 0.6, 0.4 - first], dtype=F64)
#     p = torch.tensor([0.2, 0.7, 0.1], dtype=F64)
#     return (kl(p, q) - kl(q, p)).item()
#
#
# first = optimize.brentq(equal_gap, 0.01, 0.2)
# answer_5 = (first, 0.6, 0.4 - first)
# ```
# The difference of the two divergences is continuous in $q$ and has both signs. Any path from a
# place where it is positive to one where it is negative crosses zero, so the zeros form curves. You
# can walk roughly along one with the widget above.
# </details>

# %% [markdown]
# ## Recap
#
# - Cross-entropy is the mean surprise at what happens for one who believes $q$; it splits into
#   what nobody can avoid, $H(p)$, and the price of a wrong belief, $D(p\Vert q)\ge0$.
# - Subtract the largest logit, and take `log_softmax`, never the logarithm of a softmax. The
#   gradient is $q-p$.
# - Logistic regression is softmax regression with two classes, at half the penalty.
# - Squared error on a sigmoid stalls where it is confidently wrong; from a small start it is
#   slower only at the same rate.
# - A right answer may carry a wrong confidence. One temperature repairs much of it.
#
# **In practice** the loss takes logits and integer labels (`F.cross_entropy`), never probabilities;
# when training in half precision, compute the loss in float32; report loss *and* accuracy *and*
# calibration, each on held-out data.
#
# **Roads not taken**: mutual information, focal and margin losses, arithmetic coding, calibration
# by class, conformal prediction.

# %% [markdown]
# **Answers to the questions in Explore it.** *1.* The entropies stay, for they do not care which
# outcome has which probability; everything that compares $p$ with $q$ moves. Exchanging two
# probabilities makes both directions equal; so do the curves of exercise 5. *2.* No: after two
# swaps three outcomes have changed places. *3.* Pull to zero a bar of $q$ that $p$ needs. JS is
# largest with all of $q$ on the least likely outcome, and still below $\ln2$. It is smallest when
# the least likely bar of $q$ is zero and the other two keep the proportions of $p$.

# %%
swapped_once, swapped_twice, all_on_rain, no_rain = torch.tensor(
    [[0.7, 0.2, 0.1], [0.7, 0.1, 0.2], [0, 0, 1], [2 / 9, 7 / 9, 0]], dtype=F64
)
print(f"1. {kl(TRUTH, swapped_once):.3f} and {kl(swapped_once, TRUTH):.3f} nats")
print(f"2. {kl(TRUTH, swapped_twice):.3f} and {kl(swapped_twice, TRUTH):.3f} nats")
print(
    f"3. JS at most {jensen_shannon(TRUTH, all_on_rain):.3f} nats, "
    f"at least {jensen_shannon(TRUTH, no_rain):.3f}"
)

# %% [markdown]
# **References.** Shannon (1948), A mathematical theory of communication. Kraft (1949), A device for
# quantizing, grouping, and coding amplitude-modulated pulses. Kullback and Leibler (1951), On
# information and sufficiency. Huffman (1952), A method for the construction of minimum-redundancy
# codes. Kelly (1956), A new interpretation of information rate (the purses). Pinsker (1964),
# Information and information stability of random variables and processes. Lin (1991), Divergence
# measures based on the Shannon entropy. Endres and Schindelin (2003), A new metric for probability
# distributions. Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and
# estimation. Naeini, Cooper and Hauskrecht (2015), Obtaining well calibrated probabilities using
# Bayesian binning. Szegedy et al. (2016), Rethinking the Inception architecture for computer
# vision. Guo et al. (2017), On calibration of modern neural networks. Xiao, Rasul and Vollgraf
# (2017), Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms.
