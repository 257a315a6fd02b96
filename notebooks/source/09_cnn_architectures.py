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
# # Build the convolutional networks that won, and count what they cost
#
# **You will build** LeNet, AlexNet, ZFNet, NIN, VGG, GoogLeNet, ResNet and DenseNet, full size or
# small, and a counter that prices each of their layers.
#
# **You will learn** to
# - compute shapes, parameters and multiply-adds of a layer before running it;
# - say where a network keeps its weights and where it does its work;
# - check a printed architecture against its own numbers;
# - explain what $1\times1$ convolutions, branches and skips are for, and measure it;
# - compare two networks by what they represent, not by their accuracy alone.
#
# **You need** notebooks 06 and 08, a CPU, and about five hours in two sittings: the architectures
# until DenseNet; then training them and comparing them with a brain. Reviewed 2026-11-22.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import counting, data, probes
from course_utils.checks import Ledger, check_exercise
from course_utils.figures import MARKERS, PALETTE, show, use_course_style
from course_utils.models import draw_weights
from course_utils.training import accuracy, evaluate, fit
from course_utils.widgets import ArchitectureExplorer

use_course_style()
ledger = Ledger("09_cnn_architectures")
fashion = data.load_fashion_mnist()

# %% [markdown]
# ## Why
#
# The ImageNet challenge (ILSVRC) asked for one of 1000 classes; an answer counts as wrong when the
# class is not among five guesses. Below are the lowest errors of each year, and how many layers
# with weights the networks have. **Predict.** The error falls while the depth grows. Do the
# parameters grow as well?

# %%
# Top-5 test error (%), layers with weights (0: no network). Until 2014, and the human:
# Russakovsky et al. (2015); 2015: He et al. (2016).
CONTESTS = {
    "NEC-UIUC\n2010": (28.2, 0),
    "XRCE\n2011": (25.8, 0),
    "AlexNet\n2012": (16.4, 8),
    "Clarifai\n2013": (11.7, 8),
    "VGG\n2014": (7.3, 19),
    "GoogLeNet\n2014": (6.7, 22),
    "ResNet\n2015": (3.57, 152),
    "a human\n2014": (5.1, 0),
}
fig, ax = plt.subplots(figsize=(6, 1.8))
contest_errors, contest_depths = zip(*CONTESTS.values(), strict=True)
fills = [PALETTE["blue"] if depth else "white" for depth in contest_depths]
bars = ax.bar(list(CONTESTS), contest_errors, color=fills, edgecolor=PALETTE["blue"])
said = [f"{e:g}\n{d} layers" if d else f"{e:g}" for e, d in CONTESTS.values()]
ax.bar_label(bars, said, fontsize=8)
ax.tick_params(axis="x", labelsize=8)
ax.set(xlabel="entry and year", ylabel="top-5 error (%)", ylim=(0, 33))
show(
    fig,
    alt="Bars of top-5 error: 28 and 26 percent in 2010 and 2011 without networks, then 16, 12, "
    "7, 7 and 3.6 percent with 8, 8, 19, 22 and 152 layers; a human made 5.1.",
)

# %% [markdown]
# *Figure 1. Top-5 error of each year's winner, in 2014 of the second too (VGG), and of one trained
# human. Filled: convolutional networks, with their number of layers (2013: that of ZFNet).*
#
# Each filled bar is an ensemble of several such networks. One slide dates AlexNet 2013; it won in
# 2012, with 16 % against 26 % of the runner-up. And the 11.7 % "of ZFNet" are those of Clarifai,
# the company of its first author; Zeiler and Fergus (2014) report 14.8 %. Depth alone says little
# about cost: the parameters grow until VGG and not after it (61, 62, 144, 7 and 60 million from
# AlexNet to ResNet, with ZFNet for Clarifai; all counted below).

# %% [markdown]
# ## The idea in symbols
#
# A convolution of $C$ maps of $H\times W$ into $C'$ maps, kernel $k\times k$, stride $s$, padding
# $p$, $g$ groups (08: $K,S,P,G$; here $P$ counts parameters), dilation 1; $W'$ like $H'$:
#
# $$H'=\Big\lfloor\frac{H+2p-k}{s}\Big\rfloor+1,\qquad
# P=C'\Big(\frac{k^2C}{g}+1\Big),\qquad M=H'W'C'\,\frac{k^2C}{g},\qquad A=C'H'W'.$$
#
# A linear layer is the case $H=W=k=1$: each of its weights is used once, each of a convolution's
# $H'W'$ times.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $C,H,W$ and $C',H',W'$: maps, height, width; in, out | `shape` | $(C,H,W)$ | integers |
# | $k,s,p,g$ | `kernel_size`, `stride`, `padding`, `groups` | integers | $g$ divides $C$, $C'$ |
# | $P$, parameters with biases | `parameters` | integer | numbers |
# | $M$, **multiply-adds** (乘加) of one example | `multiply_adds` | integer | products |
# | $A$, **activations** (激活值) put out | `math.prod(shape)` | integer | numbers |
# | $r_l,j_l$: **receptive field** (感受野), jump of a unit | `field`, `jump` | integers | pixels |
# | $a_c$, map $c$; $\hat a_c$, the same normalised | `x` | $(H,W)$ | |
# | $\nu,\alpha,\beta,\kappa$ of local norm | `size`, `alpha`, `beta`, `k` | scalars | $\nu\ge1$ |
# | $\mu,\sigma^2,\gamma,t$ of batch norm (06: $t$ is $\beta$) | `running_mean`, ... | $(C',)$ | |
# | $\epsilon$, added to the variance | `eps` | scalar | $>0$ |
# | $w_c,b_c$: weights, bias of map $c$ | `weight`, `bias` | $(C,k,k)$; scalar | |
#
# Later sections have tables of their own; there $g$, $s$, $x$ and others return with new meanings.
#
# ## Build it: the counter
#
# A forward hook sees every layer's output. On the `meta` device tensors have a shape and no values:
# a network of any size is counted at once and without memory. Products are counted for `Conv2d` and
# `Linear` only: a layer that multiplies in its own `forward`, as two in LeNet below, counts 0.
# "FLOPs" are mostly $2M$, sometimes $M$.

# %%
import copy
import math
from collections import OrderedDict, namedtuple

LayerCount = namedtuple("LayerCount", "name kind shape parameters multiply_adds")


def count_by_hand(model, shape):
    """Return the LayerCount of every layer without children, in the order they run."""
    ghost, counts = copy.deepcopy(model).to("meta").eval(), []
    names = {layer: name for name, layer in ghost.named_modules()}

    def add_count(layer, inputs, output):
        size = sum(parameter.numel() for parameter in layer.parameters())
        has_products = isinstance(layer, nn.Conv2d | nn.Linear)
        products = output.numel() * layer.weight[0].numel() if has_products else 0
        kind, out_shape = type(layer).__name__, tuple(output.shape[1:])
        counts.append(LayerCount(names[layer], kind, out_shape, size, products))

    for layer in names:
        if not list(layer.children()):
            layer.register_forward_hook(add_count)
    ghost(torch.empty(1, *shape, device="meta"))
    return counts


def total(counts, quantity):
    """Return the sum of "parameters" or "multiply_adds" over the layers."""
    return sum(getattr(count, quantity) for count in counts)


# %% [markdown]
# ## Check it: the counter
#
# Against torch's own counter, which watches operations, not layers, and counts two a multiply-add;
# and against `course_utils.counting`, which the rest of this notebook uses. (In the lines below,
# `row` is the line of `coverage.csv` on the topic: 15 LeNet, 61 AlexNet, 62 local response
# normalisation, 63 ZFNet, 64 and 65 VGG, 81 and 82 batch norm in AlexNet and in NIN.)

# %%
from torch.utils.flop_counter import FlopCounterMode


def count_by_torch(model, shape):
    """Return the multiply-adds of one example according to torch's counter."""
    ghost = copy.deepcopy(model).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        ghost(torch.empty(1, *shape, device="meta"))
    return counter.get_total_flops() // 2


rng = np.random.default_rng(0)
for _ in range(3):
    groups, high, wide, size, dilation, stride = rng.integers(1, [4, 6, 6, 6, 4, 4]).tolist()
    steps = {"stride": stride, "padding": (2, 0), "dilation": dilation, "groups": groups}
    conv = nn.Conv2d(groups * size, groups * 3, (high, wide), **steps)
    head = nn.AdaptiveAvgPool2d((2, 3)), nn.Flatten(), nn.Linear(groups * 18, 5)
    mixed = nn.Sequential(conv, nn.ReLU(), *head)
    shape = (groups * size, *rng.integers(22, 40, 2).tolist())
    ours, by_torch = count_by_hand(mixed, shape), count_by_torch(mixed, shape)
    ledger.check_equal(61, "multiply-adds = torch's", total(ours, "multiply_adds"), by_torch)
    by_course = [str(tuple(vars(c).values())) for c in counting.count_layers(mixed, shape)]
    ledger.check_equal(61, "all columns = counting's", [str(tuple(c)) for c in ours], by_course)

# %% [markdown]
# ## Build it: LeNet, 1989 and 1998
#
# Two networks go by that name. That of **1989** reads zip codes of $16\times16$ pixels: 12 maps by
# $5\times5$ kernels with stride 2, 12 more by the same (each sees 8 of the 12), 30 hidden units, 10
# outputs. No pooling: the stride shrinks the maps. Kernels are shared, *biases are not*: every
# unit has its own. Which 8 maps, the paper does not say; here map $c$ leaves out four in turn.
# Beyond the border everything is $-1$, the background.
#
# **LeNet-5** of 1998 reads $32\times32$ pixels, shares its biases, and shrinks by *subsampling*:
# the mean of $2\times2$ values (the paper takes their sum; the learnt number makes up for the 4),
# times a learnt number, plus a learnt bias. Layers are named by kind and place: C convolution, S
# subsampling, F fully connected; H hidden in the network of 1989. The second convolution, C3,
# follows a table: six maps see 3 neighbouring maps, six see 4, three see 4 with a gap, the last
# sees all six. Behind F6 the paper measures how far its 84 outputs are from ten fixed codes, one
# for each digit; that is left out here. Both papers stretch the tanh a little; here it is plain.


# %%
class TableConv(nn.Module):
    """A convolution whose output map c reads only the input maps in table[c]."""

    def __init__(self, table, in_channels, kernel_size, stride=1, *, bias=True):
        super().__init__()
        outs = [out for out, inputs in enumerate(table) for _ in inputs]
        self.pairs = (outs, [i for inputs in table for i in inputs])
        self.full_shape = (len(table), in_channels, kernel_size, kernel_size)
        self.stride = stride
        self.weight = nn.Parameter(torch.zeros(len(outs), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(len(table))) if bias else None

    def kernels(self):
        """Return all kernels; a connection that is not there is 0."""
        kernels = self.weight.new_zeros(self.full_shape)
        kernels[self.pairs] = self.weight
        return kernels

    def forward(self, x):
        return F.conv2d(x, self.kernels(), self.bias, self.stride)


# %%
class Subsample(nn.Module):
    """The mean of each 2 x 2 block, times a factor, plus a bias; one of each for a map."""

    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x):
        return self.weight * F.avg_pool2d(x, 2) + self.bias


class UnitBias(nn.Module):
    """One bias for every unit: not shared over positions."""

    def __init__(self, *shape):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x):
        return x + self.bias


# %%
def make_lenet_1989(table):
    """Return the network of LeCun et al. (1989)."""
    layers = {"pad1": nn.ConstantPad2d(2, -1.0), "H1": nn.Conv2d(1, 12, 5, 2, bias=False)}
    layers |= {"bias1": UnitBias(12, 8, 8), "tanh1": nn.Tanh(), "pad2": nn.ConstantPad2d(2, -1.0)}
    layers |= {"H2": TableConv(table, 12, 5, 2, bias=False), "bias2": UnitBias(12, 4, 4)}
    layers |= {"tanh2": nn.Tanh(), "flatten": nn.Flatten(), "H3": nn.Linear(192, 30)}
    layers |= {"tanh3": nn.Tanh(), "output": nn.Linear(30, 10), "tanh4": nn.Tanh()}
    return nn.Sequential(OrderedDict(layers))


def make_lenet_5(table):
    """Return LeNet-5 up to its 84 features; distances to ten fixed codes follow in the paper."""
    layers = {"C1": nn.Conv2d(1, 6, 5), "tanh1": nn.Tanh(), "S2": Subsample(6), "tanh2": nn.Tanh()}
    layers |= {"C3": TableConv(table, 6, 5), "tanh3": nn.Tanh(), "S4": Subsample(16)}
    layers |= {"tanh4": nn.Tanh(), "C5": nn.Conv2d(16, 120, 5), "tanh5": nn.Tanh()}
    layers |= {"flatten": nn.Flatten(), "F6": nn.Linear(120, 84), "tanh6": nn.Tanh()}
    return nn.Sequential(OrderedDict(layers))


TABLE_1989 = [sorted((c + i) % 12 for i in range(8)) for c in range(12)]
TABLE_1998 = [sorted((c + i) % 6 for i in range(3)) for c in range(6)]
TABLE_1998 += [sorted((c + i) % 6 for i in range(4)) for c in range(6)]
TABLE_1998 += [sorted((c + i) % 6 for i in (0, 1, 3, 4)) for c in range(3)] + [list(range(6))]
generator = torch.Generator().manual_seed(0)
lenet_1989 = draw_weights(make_lenet_1989(TABLE_1989), generator=generator)
lenet_5 = draw_weights(make_lenet_5(TABLE_1998), generator=generator)
for layer in (lenet_1989.H2, lenet_5.C3):
    nn.init.normal_(layer.weight, std=0.1, generator=generator)

# %% [markdown]
# ## Check it: LeNet
#
# The papers print parameters and connections of each layer. A connection is an input, or a bias,
# that a unit adds up; here: put a 1 at one input after the other and count the units that notice.
# The table's convolution is compared with SciPy, pair by pair.


# %%
@torch.no_grad()
def count_connections(model, shape):
    """Return how many inputs the units of each layer with weights feel, plus one bias a unit."""
    connections = []
    for count in count_by_hand(model, shape):
        layer = copy.deepcopy(model.get_submodule(count.name)).double()
        if hasattr(layer, "weight"):
            basis = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
            is_felt = (layer(basis) - layer(torch.zeros_like(basis[:1]))).abs() > 1e-12  # rounding
            connections.append(int(is_felt.sum()) + is_felt[0].numel())
        shape = count.shape
    return connections


felt = count_connections(lenet_1989, (1, 16, 16))
in_print = [19_968, 38_592, 5_790, 310, 64_660]
ledger.check_equal(15, "1989: connections, and all", [*felt, sum(felt)], in_print)
felt = [*count_connections(lenet_5, (1, 32, 32)), 84 * 10]  # the fixed codes
in_print = [122_304, 5_880, 151_600, 2_000, 48_120, 10_164, 840, 340_908]
ledger.check_equal(15, "1998: connections, and all", [*felt, sum(felt)], in_print)
sizes = [c.parameters for c in count_by_hand(lenet_1989, (1, 16, 16)) if c.parameters]
in_print = [25 * 12, 768, 8 * 25 * 12, 192, 5_790, 310, 9_760]
ledger.check_equal(15, "1989: parameters, and all", [*sizes, sum(sizes)], in_print)
sizes = [c.parameters for c in count_by_hand(lenet_5, (1, 32, 32)) if c.parameters]
in_print = [156, 12, 1_516, 32, 48_120, 10_164, 60_000]
ledger.check_equal(15, "1998: parameters, and all", [*sizes, sum(sizes)], in_print)

# %%
# The paper's table: a row for each map of S2, a column for each of C3.
printed = "x...xxx..xxxx.xx xx...xxx..xxxx.x xxx...xxx..x.xxx .xxx..xxxx..x.xx ..xxx..xxxx.xx.x"
printed += " ...xxx..xxxx.xxx"
ours = ["".join("x" if i in inputs else "." for inputs in TABLE_1998) for i in range(6)]
ledger.check_equal(15, "1998: C3's table as printed", ours, printed.split())
tanhs = [c for c in count_by_hand(lenet_1989, (1, 16, 16)) if c.kind == "Tanh"]
units = 16**2 + sum(math.prod(count.shape) for count in tanhs)
ledger.check_equal(15, "1989: units, with the input, as printed", units, 1256)
x = y = torch.randn(2, 1, 32, 32, generator=generator)
for name in ("C1", "S2", "C3", "S4", "C5"):
    y = lenet_5.get_submodule(name)(y).tanh()
ours = lenet_5(x)
ledger.check_close(15, "1998: layer, tanh, in turn", ours, lenet_5.F6(y.flatten(1)).tanh())

# %%
from scipy.signal import correlate2d

table = [[0, 2], [1], [0, 1, 2]]
odd_conv, shrink = TableConv(table, 3, 4, 3).double(), Subsample(3).double()
for parameter in (*odd_conv.parameters(), *shrink.parameters()):
    nn.init.normal_(parameter, generator=generator)
picture = torch.randn(3, 12, 10, generator=generator, dtype=torch.float64)
by_scipy, kernels = [], iter(odd_conv.weight.detach().numpy())
for inputs, shift in zip(table, odd_conv.bias.tolist(), strict=True):
    maps = [correlate2d(picture[i], next(kernels), mode="valid") for i in inputs]
    by_scipy.append(sum(maps)[::3, ::3] + shift)
ledger.check_close(15, "table convolution = SciPy", odd_conv(picture[None])[0], by_scipy)
means = picture.reshape(3, 6, 2, 5, 2).mean(dim=(2, 4))
by_blocks = shrink.weight * means + shrink.bias
ledger.check_close(15, "subsampling = block means", shrink(picture[None])[0], by_blocks)

# %% [markdown]
# ## Try it: LeNet-5 learns
#
# One epoch on 4,096 pictures of Fashion-MNIST, a linear layer in place of the codes. **Predict.**
# Chance is 10 %. What will 60,000 parameters reach in 128 steps?


# %%
def as_lenet_input(pictures):
    """Return pictures from -1, the background, to 1, padded to 32 x 32."""
    return F.pad(2 * torch.from_numpy(pictures)[:, None] - 1, (2, 2, 2, 2), value=-1.0)


lenet_train = (as_lenet_input(fashion.X_train[:4096]), torch.from_numpy(fashion.y_train[:4096]))
lenet_test = (as_lenet_input(fashion.X_test[:2000]), torch.from_numpy(fashion.y_test[:2000]))
lenet_model = nn.Sequential(lenet_5, draw_weights(nn.Linear(84, 10), generator=generator))
optimizer = torch.optim.Adam(lenet_model.parameters(), lr=3e-3)
settings = {"num_epochs": 1, "batch_size": 32, "generator": generator, "progress": False}
fit(lenet_model, optimizer, F.cross_entropy, lenet_train, **settings)
_, scored = evaluate(lenet_model, F.cross_entropy, *lenet_test, {"accuracy": accuracy})
ledger.check_at_least(15, "LeNet-5: test accuracy (%)", 100 * scored["accuracy"], 60)

# %% [markdown]
# About three pictures in four. Its maps come under "Explore it".
#
# ## The idea in symbols: local response normalisation
#
# AlexNet (Krizhevsky, Sutskever and Hinton, 2012) is LeNet made large, with ReLUs: five
# convolutions, conv1 to conv5, pooling after the first, second and fifth, and three linear layers,
# fc6 to fc8. Two things in it are special. **Local response normalisation** (局部响应归一化) scales
# each value down by a power of its neighbours' size, over $\nu$ maps at the same place (a map that
# does not exist counts 0):
#
# $$\hat a_c=a_c\Big/\Big(\kappa+\alpha\sum_{c'=c-\lfloor\nu/2\rfloor}^{c+\lfloor(\nu-1)/2\rfloor}
# a_{c'}^2\Big)^{\beta},\qquad \kappa=2,\ \nu=5,\ \alpha=10^{-4},\ \beta=0.75.$$
#
# (The paper writes $k$ and $n$ for $\kappa$ and $\nu$.) The other special thing: the maps of
# conv2, conv4 and conv5 are split over two graphics cards, and each half reads its own card only:
# two *towers*, $g=2$.
#
# ## Build it: local response normalisation


# %%
def local_response_norm(x, size, alpha, beta, k):
    """Return x over (k + alpha * sum of squares over a window of maps) ** beta."""
    squares = F.pad(x.square(), (0, 0, 0, 0, size // 2, (size - 1) // 2))
    window_sums = squares.unfold(1, size, 1).sum(dim=-1)  # (N, C, H, W)
    return x / (k + alpha * window_sums) ** beta


# %% [markdown]
# ## Check it: local response normalisation
#
# Against torch's, for odd and even windows. **Predict.** Is torch's `alpha` the paper's?

# %%
maps = torch.randn(2, 7, 3, 5, generator=generator, dtype=torch.float64) * 3
for size, alpha, beta, k in ((5, 1e-4, 0.75, 2.0), (1, 2.0, 1.1, 0.5), (4, 0.3, 0.6, 1.5)):
    ours = local_response_norm(maps, size, alpha, beta, k)
    library = nn.LocalResponseNorm(size, alpha=alpha * size, beta=beta, k=k)
    ledger.check_close(62, f"window {size} = torch with alpha x size", ours, library(maps))
with ledger.refuses(62, "torch with the paper's alpha"):
    ledger.check_close(
        62, "window 4", ours, nn.LocalResponseNorm(4, alpha=0.3, beta=0.6, k=1.5)(maps)
    )
by_loop = torch.empty_like(maps)
for c in range(7):
    nearby = maps[:, max(0, c - 2) : c + 2]  # window 4: two maps before, itself, one behind
    by_loop[:, c] = maps[:, c] / (1.5 + 0.3 * nearby.square().sum(dim=1)) ** 0.6
ledger.check_close(62, "window 4 = loop over maps", ours, by_loop)
quiet = local_response_norm(maps, 5, 1e-4, 0.75, 2.0) / maps
print(f"the paper's constants, values of size 3: factor {quiet.min():.4f} to {quiet.max():.4f}")

# %% [markdown]
# torch divides `alpha` by the window: 5e-4 there is the paper's $10^{-4}$. And with these constants
# values of size 3 are scaled by nearly one number, $2^{-0.75}$: the normalisation acts on strong
# responses only. It did not help VGG (Simonyan and Zisserman, 2015), and is hardly used since.
#
# ## Build it: AlexNet and ZFNet
#
# The slide's order is convolution, ReLU, pooling, normalisation (as in the copy CaffeNet; the
# paper normalises before it pools, over four times as many values). Dropout has no parameters and
# does nothing at inference: it is left out here.
#
# **ZFNet**: Zeiler and Fergus found AlexNet's first filters to be of very high and very low
# frequency, few between, and aliasing from the stride of 4. Their network is AlexNet without
# towers, and with finer first layers: conv1 has kernel 7 and stride 2 (instead of 11 and 4), conv2
# kernel 5 and stride 2; pooling is $3\times3$ with stride 2, as in AlexNet. The slide's sizes are
# 224, 110, 26, 13, 13, 13, without paddings. **Predict**, before you read the code: which padding
# of conv1 makes 110, and how must the pooling round to make 26, if conv2 has no padding?


# %%
def make_alexnet(widths, conv1, conv2, groups, *, local_norm=True, ceil_mode=False):
    """Return AlexNet as named layers; conv1, conv2: kernel size, stride, padding."""
    a, b, c, d, e, hidden = widths
    convs = [nn.Conv2d(3, a, *conv1), nn.Conv2d(a, b, *conv2, groups=groups)]
    convs += [nn.Conv2d(b, c, 3, 1, 1), nn.Conv2d(c, d, 3, 1, 1, groups=groups)]
    convs += [nn.Conv2d(d, e, 3, 1, 1, groups=groups)]
    layers = OrderedDict()
    for number, conv in enumerate(convs, start=1):
        layers |= {f"conv{number}": conv, f"relu{number}": nn.ReLU()}
        if number in (1, 2, 5):
            layers[f"pool{number}"] = nn.MaxPool2d(3, 2, ceil_mode=ceil_mode)
        if number in (1, 2) and local_norm:
            layers[f"norm{number}"] = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    layers |= {"flatten": nn.Flatten(), "fc6": nn.Linear(36 * e, hidden), "relu6": nn.ReLU()}
    layers |= {"fc7": nn.Linear(hidden, hidden), "relu7": nn.ReLU()}
    layers["fc8"] = nn.Linear(hidden, 1000)
    return nn.Sequential(layers)


WIDTHS, ONE_TOWER = (96, 256, 384, 384, 256, 4096), (64, 192, 384, 256, 256, 4096)
with torch.device("meta"):
    alexnet = make_alexnet(WIDTHS, (11, 4, 0), (5, 1, 2), groups=2)
    one_tower = make_alexnet(ONE_TOWER, (11, 4, 2), (5, 1, 2), groups=1, local_norm=False)
    zfnet = make_alexnet(WIDTHS, (7, 2, 1), (5, 2, 0), groups=1, ceil_mode=True)
alexnet_counts = counting.count_layers(alexnet, (3, 227, 227))
alexnet_rows = [c for c in alexnet_counts if c.kind not in ("ReLU", "Flatten")]
print(f"{'layer':6s}{'shape':>12s}{'parameters':>12s}{'mult.-adds':>13s}")
for count in alexnet_rows:
    shape = "x".join(map(str, count.shape))
    print(f"{count.name:6s}{shape:>12s}{count.parameters:>12,}{count.multiply_adds:>13,}")

# %% [markdown]
# ## Check it: AlexNet and ZFNet
#
# The slide's shapes; torch's counter; and the form in today's model zoos, which goes back to the
# *one-tower* one of Krizhevsky (2014): fewer maps, no normalisation, 224 pixels with padding 2,
# published with 61,100,840 parameters. (`conv4` has 256 maps, as in his code; a footnote of his
# paper prints 384.) The paper of 2012 prints 224 pixels too, but no padding.

# %%
slide = [(96, 55, 55), (96, 27, 27), (96, 27, 27), (256, 27, 27), (256, 13, 13), (256, 13, 13)]
slide += [(384, 13, 13), (384, 13, 13), (256, 13, 13), (256, 6, 6), (4096,), (4096,), (1000,)]
ours = [str(count.shape) for count in alexnet_rows]
ledger.check_equal(61, "shapes as on the slide", ours, [str(shape) for shape in slide])
with ledger.refuses(61, "224 pixels without padding"):
    conv1 = counting.count_layers(alexnet[:1], (3, 224, 224))[0]
    ledger.check_equal(61, "conv1", conv1.shape, slide[0])
one_tower_counts = counting.count_layers(one_tower, (3, 224, 224))
ledger.check_equal(61, "one tower", total(one_tower_counts, "parameters"), 61_100_840)
alexnet_size = total(alexnet_counts, "parameters")
ledger.check_equal(61, "two towers", alexnet_size, 60_965_224)
zf_counts = counting.count_layers(zfnet, (3, 224, 224))
widths = [count.shape[-1] for count in zf_counts if count.kind == "Conv2d"]
ledger.check_equal(63, "sizes as on the slide", widths, [110, 26, 13, 13, 13])
with ledger.refuses(63, "pooling that rounds down"):
    zfnet_floor = make_alexnet((1,) * 6, (7, 2, 1), (5, 2, 0), groups=1)
    second = counting.count_layers(zfnet_floor[:5], (3, 224, 224))[-1]
    ledger.check_equal(63, "width of conv2", second.shape[-1], 26)
alexnet_work, zf_work = total(alexnet_counts, "multiply_adds"), total(zf_counts, "multiply_adds")
for row, model, side, work in ((61, alexnet, 227, alexnet_work), (63, zfnet, 224, zf_work)):
    by_torch = count_by_torch(model, (3, side, side))
    ledger.check_equal(row, "multiply-adds = torch's", work, by_torch)
extra = zf_work - alexnet_work
in_conv1 = zf_counts[0].multiply_adds - alexnet_counts[0].multiply_adds
print(f"{extra:,} multiply-adds more than AlexNet, {in_conv1 / extra:.0%} of them in conv1")

# %% [markdown]
# Padding 1 in conv1, none in conv2, and pooling that rounds *up* (`ceil_mode`, Caffe's rule). The
# finer first layer costs little; most of the extra work comes from undoing the towers. And from 224
# pixels AlexNet's $55\times55$ maps do not come without padding; 227 gives them.
#
# Counting does not see what a layer computes. The next function does without layers: it cuts
# patches, multiplies matrices, and takes maxima, for narrow copies of AlexNet, ZFNet, and below NIN
# and VGG.


# %%
@torch.no_grad()
def run_by_products(model, steps, x):
    """Return a network's output from its weights alone.

    Steps: stride, padding, groups, width of the pooling, normalised, for each convolution.
    """
    tensors = list(model.parameters())
    pairs = list(zip(tensors[::2], tensors[1::2], strict=True))
    for (weight, bias), step in zip(pairs, steps, strict=False):
        stride, padding, groups, pool, is_normed = step
        patches = F.unfold(x, weight.shape[-1], padding=padding, stride=stride)  # (N, C k k, H'W')
        parts = zip(weight.flatten(1).chunk(groups), patches.chunk(groups, 1), strict=True)
        x = (torch.cat([w @ part for w, part in parts], dim=1) + bias[:, None]).clamp(min=0)
        x = x.unflatten(2, [math.isqrt(x.shape[2])] * 2)
        if pool:  # a last window that is cut off counts
            odd = (x.shape[2] - pool) % 2
            x = F.pad(x, (0, odd, 0, odd)).unfold(2, pool, 2).unfold(3, pool, 2).amax(dim=(4, 5))
        if is_normed:
            x = local_response_norm(x, 5, 1e-4, 0.75, 2.0)  # as in the paper
    if len(pairs) == len(steps):  # NIN
        return x.mean(dim=(2, 3))
    x = x.flatten(1)
    for weight, bias in pairs[len(steps) :]:
        x = x.clamp(min=0) @ weight.T + bias
    return x


# %%
def randomise(model, generator):
    """Return the network in float64 with random weights, biases and statistics of its norms."""
    draw_weights(model.double(), generator=generator)
    for layer in model.modules():
        if getattr(layer, "bias", None) is not None:
            nn.init.normal_(layer.bias, std=0.1, generator=generator)
        if hasattr(layer, "running_var"):
            nn.init.normal_(layer.running_mean, generator=generator)
            for part in (layer.weight, layer.running_var):
                nn.init.uniform_(part, 0.5, 2.0, generator=generator)
    return model.eval()


# Stride, padding, groups, width of the pooling (0: none), normalised (0 or 1).
alexnet_steps = [(4, 0, 1, 3, 1), (1, 2, 2, 3, 1), (1, 1, 1, 0, 0)]
alexnet_steps += [(1, 1, 2, 0, 0), (1, 1, 2, 3, 0)]
zf_steps = [(2, 1, 1, 3, 1), (2, 0, 1, 3, 1), (1, 1, 1, 0, 0), (1, 1, 1, 0, 0), (1, 1, 1, 3, 0)]
narrow_alexnet = make_alexnet((4, 6, 10, 8, 4, 7), (11, 4, 0), (5, 1, 2), 2)
narrow_zfnet = make_alexnet((3, 4, 5, 4, 2, 6), (7, 2, 1), (5, 2, 0), 1, ceil_mode=True)
copies = (61, narrow_alexnet, alexnet_steps, 227), (63, narrow_zfnet, zf_steps, 224)
for row, model, steps, side in copies:
    x = torch.randn(2, 3, side, side, generator=generator, dtype=torch.float64) * 30
    ours, by_products = randomise(model, generator)(x), run_by_products(model, steps, x)
    ledger.check_close(row, "narrow copy = matrix products", ours, by_products)

# %% [markdown]
# ## The idea in symbols: a network in the network
#
# A convolution applies one *linear* map to every patch. **Network in network** (NIN; Lin, Chen and
# Yan, 2014) applies a small perceptron to every patch instead, and that is no new operation: a
# convolution, then $1\times1$ convolutions, each followed by a ReLU. It ends without linear layers:
# the last stage has one map for each class, and **global average pooling** (全局平均池化) takes its
# mean as the logit.
#
# With **batch norm** (notebook 06) behind a convolution, its bias is redundant, and at inference
# the norm is a fixed scale and shift that fold into the convolution:
#
# $$w_c\leftarrow\frac{\gamma_c}{\sqrt{\sigma_c^2+\epsilon}}\,w_c,\qquad
# b_c\leftarrow t_c-\frac{\gamma_c}{\sqrt{\sigma_c^2+\epsilon}}\,\mu_c.$$
#
# ## Build it: NIN, and batch norm for any of them
#
# `NIN_STAGES` is the authors' published configuration for ImageNet. BN-AlexNet and BN-NIN, names in
# the lecture's scatter plot, have norms put in; implementations differ. Here: behind every
# convolution and linear layer but the last, biases dropped.


# %%
def make_nin(stages):
    """Return NIN as named layers; a stage: kernel size, stride, padding, and three widths."""
    layers, in_channels = OrderedDict(), 3
    for number, (kernel_size, stride, padding, widths) in enumerate(stages, start=1):
        for letter, width in zip("abc", widths, strict=True):
            sizes = (kernel_size, stride, padding) if letter == "a" else (1,)
            layers[f"conv{number}{letter}"] = nn.Conv2d(in_channels, width, *sizes)
            layers[f"relu{number}{letter}"] = nn.ReLU()
            in_channels = width
        if number < len(stages):
            layers[f"pool{number}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    layers |= {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    return nn.Sequential(layers)


NIN_STAGES = [(11, 4, 0, (96, 96, 96)), (5, 1, 2, (256, 256, 256))]
NIN_STAGES += [(3, 1, 1, (384, 384, 384)), (3, 1, 1, (1024, 1024, 1000))]


# %%
def with_batch_norm(model):
    """Return a copy with a batch norm in place of every bias but the last layer's."""
    copied, layers = copy.deepcopy(model), OrderedDict()
    *inner, _ = [layer for layer in copied if isinstance(layer, nn.Conv2d | nn.Linear)]
    for name, layer in copied.named_children():
        layers[name] = layer
        if layer in inner:
            layer.bias = None
            norm = nn.BatchNorm2d if isinstance(layer, nn.Conv2d) else nn.BatchNorm1d
            layers[f"{name}_norm"] = norm(len(layer.weight), device=layer.weight.device)
    return nn.Sequential(layers)


@torch.no_grad()
def fold_batch_norm(model):
    """Return the network that does without its batch norms what it did at inference."""
    layers, before = OrderedDict(), None
    for name, layer in copy.deepcopy(model).named_children():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            scale = layer.weight / (layer.running_var + layer.eps).sqrt()
            before.weight *= scale.reshape(-1, *[1] * (before.weight.ndim - 1))
            before.bias = nn.Parameter(layer.bias - scale * layer.running_mean)
        else:
            layers[name] = before = layer
    return nn.Sequential(layers).eval()


# %% [markdown]
# ## Check it: NIN and batch norm
#
# NIN's count against the 29 MB (of $2^{20}$ bytes) of the authors' published file. Then narrow
# copies with norms in inference, against their folded weights in matrix products: perceptrons
# carried over the patches by hand. And torch's own folding of a layer.

# %%
with torch.device("meta"):
    nin = make_nin(NIN_STAGES)
nin_counts = counting.count_layers(nin, (3, 224, 224))
nin_size, nin_work = (total(nin_counts, column) for column in ("parameters", "multiply_adds"))
ledger.check_equal(82, "NIN: the published file in MB", round(4 * nin_size / 2**20), 29)
by_torch = count_by_torch(nin, (3, 224, 224))
ledger.check_equal(82, "NIN: multiply-adds = torch's counter", nin_work, by_torch)
# Each norm brings two numbers a map and makes one bias redundant.
grown = 3 * (96 + 256 + 384) + 2 * 1024, 64 + 192 + 384 + 256 + 256 + 2 * 4096
for row, model, extra in zip((82, 81), (nin, one_tower), grown, strict=True):
    normed_counts = counting.count_layers(with_batch_norm(model), (3, 224, 224))
    plain_size = sum(parameter.numel() for parameter in model.parameters())
    more = total(normed_counts, "parameters") - plain_size
    ledger.check_equal(row, "parameters that the norms add: one a map", more, extra)
print(f"NIN {nin_size:,}; a linear layer on its last maps alone {6 * 6 * 1024 * 1000:,}")
more_work = nin_work / alexnet_work
print(
    f"AlexNet / NIN: parameters {alexnet_size / nin_size:.1f}; NIN / AlexNet: work {more_work:.2f}"
)

# %%
from torch.nn.utils.fusion import fuse_conv_bn_eval

narrow_nin = make_nin([(11, 4, 0, (8, 7, 6)), (5, 1, 2, (9, 8, 5))])
nin_steps = [(4, 0, 1, 0, 0), (1, 0, 1, 0, 0), (1, 0, 1, 3, 0), (1, 2, 1, 0, 0)]
nin_steps += [(1, 0, 1, 0, 0)] * 2
bare_alexnet = make_alexnet((8, 12, 6, 10, 4, 16), (11, 4, 0), (5, 1, 2), 2, local_norm=False)
plain_steps = [(*step[:4], 0) for step in alexnet_steps]
copies = (81, bare_alexnet, plain_steps, 227), (82, narrow_nin, nin_steps, 224)
for row, model, steps, side in copies:
    x = torch.randn(3, 3, side, side, generator=generator, dtype=torch.float64)
    normed = randomise(with_batch_norm(model), generator)
    folded = fold_batch_norm(normed)
    by_products = run_by_products(folded, steps, x)
    ledger.check_close(row, "with norms = folded, by matrix products", normed(x), by_products)
    by_torch = fuse_conv_bn_eval(normed[0], normed[1])
    ledger.check_close(row, "folded first layer = torch's", folded[0](x), by_torch(x))

# %% [markdown]
# NIN has an eighth of AlexNet's parameters and half as much work again: $1\times1$ convolutions are
# small in weights and used at every place. The norms cost next to nothing, after folding nothing.
#
# ## The idea in symbols: VGG, only 3 × 3
#
# A unit's receptive field grows by $r_l=r_{l-1}+(k_l-1)\,j_{l-1}$, $j_l=s_lj_{l-1}$, from
# $r_0=j_0=1$ (notebook 08; with dilation $D$ the growth is $D$ times that;
# `counting.receptive_field` adds it up). So three $3\times3$ layers see as far as one $7\times7$,
# with $3(3^2C^2)=27C^2$ weights against $49C^2$, and three ReLUs against one. VGG (Simonyan and
# Zisserman, 2015) is nothing but that: $3\times3$ convolutions with padding 1, a $2\times2$ pooling
# after each stage, 64 maps at first and twice as many after each pooling up to 512, and AlexNet's
# head. VGG-16 has 2, 2, 3, 3 and 3 convolutions in its five stages, VGG-19 has 2, 2, 4, 4 and 4.
#
# ## Build it: VGG-16 and VGG-19


# %%
def make_vgg(depths, *, width=64, side=7, hidden=4096):
    """Return VGG with the given number of convolutions in each of its five stages."""
    layers, in_channels = OrderedDict(), 3
    for stage, depth in enumerate(depths, start=1):
        for number in range(1, depth + 1):
            out_channels = width * min(2 ** (stage - 1), 8)
            layers[f"conv{stage}_{number}"] = nn.Conv2d(in_channels, out_channels, 3, padding=1)
            layers[f"relu{stage}_{number}"] = nn.ReLU()
            in_channels = out_channels
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    layers |= {"flatten": nn.Flatten(), "fc6": nn.Linear(side**2 * in_channels, hidden)}
    layers |= {"relu6": nn.ReLU(), "fc7": nn.Linear(hidden, hidden), "relu7": nn.ReLU()}
    layers["fc8"] = nn.Linear(hidden, 1000)
    return nn.Sequential(layers)


# %% [markdown]
# ## Check it: VGG-16 and VGG-19
#
# The slide lists the weights of each layer, without biases, and the maps of one picture: 24M
# numbers, 96 MB in all. **Predict.** Add them up: conv, pooling and linear layers, and the input.

# %%
VGG_16, VGG_19 = (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)
with torch.device("meta"):
    vgg_16, vgg_19 = make_vgg(VGG_16), make_vgg(VGG_19)
vgg_counts = counting.count_layers(vgg_16, (3, 224, 224))
vgg_19_counts = counting.count_layers(vgg_19, (3, 224, 224))
vgg_layers = [count for count in vgg_counts if count.multiply_adds]
slide = [1_728, 36_864, 73_728, 147_456, 294_912, 589_824, 589_824, 1_179_648]
slide += [2_359_296] * 5 + [102_760_448, 16_777_216, 4_096_000]
ours = [count.parameters - count.shape[0] for count in vgg_layers]
ledger.check_equal(64, "VGG-16: weights of each layer as on the slide", ours, slide)
ledger.check_equal(64, "VGG-16: with biases", total(vgg_counts, "parameters"), 138_357_544)
ledger.check_equal(65, "VGG-19: with biases", total(vgg_19_counts, "parameters"), 143_667_240)
vgg_maps = [c for c in vgg_counts if c.kind in ("Conv2d", "MaxPool2d", "Linear")]
vgg_numbers = 3 * 224**2 + sum(math.prod(count.shape) for count in vgg_maps)
ledger.check_equal(64, "numbers in the input and the maps", vgg_numbers, 15_237_608)
with ledger.refuses(64, "24M numbers, 96 MB a picture, as printed"):
    ledger.check_close(64, "millions of numbers", vgg_numbers / 1e6, 24, tolerance=0.05)
print(f"{sum(slide):,} weights; {4 * vgg_numbers / 1e6:.0f} MB of maps")

# %%
for row, depths, counts, published in (
    (64, VGG_16, vgg_counts, 15.47),
    (65, VGG_19, vgg_19_counts, 19.63),
):
    work = total(counts, "multiply_adds") / 1e9
    ledger.check_equal(row, "G multiply-adds as torchvision's page", round(work, 2), published)
    narrow = randomise(make_vgg(depths, width=3, side=2, hidden=5), generator)
    steps = [(1, 1, 1, 2 * (i == depth - 1), 0) for depth in depths for i in range(depth)]
    x = torch.randn(2, 3, 64, 64, generator=generator, dtype=torch.float64)
    by_products = run_by_products(narrow, steps, x)
    ledger.check_close(row, "narrow copy = matrix products", narrow(x), by_products)

stack = nn.Sequential(*[nn.Conv2d(1, 1, 3)] * 3, nn.AvgPool2d(2), nn.Conv2d(1, 1, 5, 3))
for parameter in stack.parameters():
    nn.init.ones_(parameter)
for length, across in ((3, 7), (5, 16)):
    picture = torch.zeros(1, 1, 40, 40, requires_grad=True)
    stack[:length](picture)[0, 0, 3, 3].backward()
    felt = int((picture.grad[0, 0] != 0).any(dim=0).sum())
    ours = [counting.receptive_field(stack[:length])[0], felt]
    ledger.check_equal(64, "receptive field, and pixels with a gradient", ours, [across] * 2)

# %% [markdown]
# The printed 24M is wrong; where it comes from we do not know. Three $3\times3$ layers do see 7
# pixels.
#
# ## Try it: where the weights are, and where the work is
#
# **Predict.** Which layer of VGG-16 holds most of its parameters? Which stages do most of the
# work? Which layers hold most of the activations?

# %%
quantities = {
    "activations": [math.prod(count.shape) for count in vgg_layers],
    "parameters": [count.parameters for count in vgg_layers],
    "multiply-adds": [count.multiply_adds for count in vgg_layers],
}
vgg_shares = {name: 100 * np.array(v) / sum(v) for name, v in quantities.items()}
fig, ax = plt.subplots(figsize=(6, 1.7))
left, ends = np.zeros(3), (0, 2, 4, 7, 10, 13, 14, 16)
for n, part in enumerate(("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7-8")):
    share = np.array([shares[ends[n] : ends[n + 1]].sum() for shares in vgg_shares.values()])
    shade = plt.colormaps["Blues"](0.1 + 0.08 * n)
    bars = ax.barh(list(vgg_shares), share, left=left, color=shade, edgecolor="white")
    ax.bar_label(bars, [part if s > 7 else "" for s in share], label_type="center", fontsize=8)
    left += share
ax.set(xlabel="share of VGG-16's total (%)", ylabel="quantity", xlim=(0, 100))
ax.invert_yaxis()
show(
    fig,
    alt="Three bars of shares. Activations: conv1 nearly half, conv2 a quarter. Parameters: fc6 "
    "three quarters. Multiply-adds: conv3 and conv4 most, linear layers next to none.",
)

# %% [markdown]
# *Figure 2. Activations, parameters and multiply-adds of VGG-16 by stages, in the order of the
# layers; shares below 7 % carry no name.*

# %%
ledger.check_at_least(64, "fc6: % of the parameters", vgg_shares["parameters"][13], 70)
in_linear = vgg_shares["multiply-adds"][13:].sum()
ledger.check_at_most(64, "linear layers: % of multiply-adds", in_linear, 1)
ledger.check_at_least(64, "two layers: % of activations", vgg_shares["activations"][:2].sum(), 40)
priced = {"AlexNet": alexnet_counts, "ZFNet": zf_counts, "NIN": nin_counts}
priced |= {"VGG-16": vgg_counts, "VGG-19": vgg_19_counts}
print(f"{'':8s}{'parameters':>13s}{'linear':>8s}{'multiply-adds':>16s}{'activations':>13s}")
for name, counts in priced.items():
    parameters, work = (total(counts, column) for column in ("parameters", "multiply_adds"))
    numbers = sum(math.prod(c.shape) for c in counts if c.parameters)
    share = 100 * sum(c.parameters for c in counts if c.kind == "Linear") / parameters
    print(f"{name:8s}{parameters:13,}{share:7.0f}%{work:16,}{numbers:13,}")

# %% [markdown]
# (In the table, *linear* is the share of the parameters in linear layers; activations are those of
# layers with weights.) In VGG-16 the first two layers hold nearly half of the activations, `fc6`
# alone three quarters of the parameters, and the convolutions do all but one part in a hundred of
# the work, most in stages 3 and 4. So "a large network" may mean three things, cut in three
# different places. NIN cut the
# weights. The next networks cut the work.

# %% [markdown]
# ## Why: wider, deeper, and paid for
#
# VGG settles the question "which kernel size?" by decree: always 3 x 3. In 2014 another network
# answers "all of them at once", in 2015 a third one is eight times as deep as VGG (He et al.,
# 2016). Without a trick that of 2014 would be too dear, and that of 2015 would not train. The trick
# of 2014, in the lecture's own example: a map of 28 x 28 with 256 channels, and four branches that
# look at it side by side, 128 kernels of 1 x 1, 192 of 3 x 3, 96 of 5 x 5, and a 3 x 3 max
# pooling. Their outputs are stacked as channels.
#
# **Predict.** How many channels come out, and which branch does most of the multiplications?
#
# ## The idea in symbols: branches, shortcuts, concatenation
#
# Three ways to wire layers that are not a chain ($f$ is a branch or a layer with its activation):
#
# $$\text{Inception: } y=[f_1(x),\dots,f_4(x)],\qquad
# \text{residual: } y=\operatorname{ReLU}\big(F(x)+S(x)\big),\qquad
# \text{dense: } x_l=f_l\big([x_0,\dots,x_{l-1}]\big).$$
#
# Kernels may be $k_h\times k_w$ now; $k_hk_w$ takes the place of $k^2$ in $M$ and $P$.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $x,y$: maps in, out, of $N$ pictures; $x_l$, of layer $l$ | `x`; `maps[l]` | $(N,C,H,W)$ | |
# | $k_h\times k_w$, kernel | `kernel` | integers | pixels, odd |
# | $[\dots]$, channels concatenated | `torch.cat(..., dim=1)` | $(N,\sum C',H,W)$ | |
# | $F$, **residual** (残差) function | `residual` (not torch's `F`) | as $y$ | |
# | $S$, **shortcut** (捷径), mostly $S(x)=x$ | `shortcut` | as $y$ | |
# | $I$, identity matrix; $v$, $\partial J/\partial y$ of a loss $J$ | `v` | $v$ as $y$ | |
# | $\Delta$, **growth rate** (增长率) | `growth_rate` | integer | channels a layer |
# | $l\le L$, layer of a dense block | `num_layers` is $L$ | integer | $\ge1$ |


# %%
def draw_wiring(ax, title, boxes, wires):
    """Draw boxes (text, x, y) and wires (from, to, bend) between them, from bottom to top."""
    for start, end, bend in wires:
        style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}", "color": "0.3"}
        style |= {"shrinkA": 8, "shrinkB": 8}
        ax.annotate("", boxes[end][1:], boxes[start][1:], arrowprops=style)
    for text, *place in boxes:
        frame = {"boxstyle": "round", "facecolor": "white", "edgecolor": PALETTE["blue"]}
        ax.text(*place, text, ha="center", va="center", fontsize=9, bbox=frame)
    ax.set(title=title, xlim=(-0.5, 3.5), ylim=(-0.3, 3.3))
    ax.axis("off")


concat = "concatenate"
fork = [("$x$", 1.5, 0), ("1×1", 0, 1), ("1×1", 1, 1), ("1×1", 2, 1), ("pool", 3, 1)]
fork += [("3×3", 1, 2), ("5×5", 2, 2), ("1×1", 3, 2), (concat, 1.5, 3)]
forked = [(0, 1), (0, 2), (0, 3), (0, 4), (2, 5), (3, 6), (4, 7), (1, 8), (5, 8), (6, 8), (7, 8)]
skip = [("$x$", 1.5, 0), ("3×3", 1.5, 0.8), ("3×3", 1.5, 1.6), ("+", 1.5, 2.3), ("ReLU", 1.5, 3)]
dense = [("$x_0$", 1.5, 0), ("$f_1$", 1.5, 1), ("$f_2$", 1.5, 2), (concat, 1.5, 3)]
chains = [[(i, i + 1, 0) for i in range(len(boxes) - 1)] for boxes in (skip, dense)]
fig, axs = plt.subplots(1, 3, figsize=(6.0, 2.2))
draw_wiring(axs[0], "Inception", fork, [(*pair, -0.3 if pair == (1, 8) else 0) for pair in forked])
draw_wiring(axs[1], "residual", skip, [*chains[0], (0, 3, 0.7)])
draw_wiring(axs[2], "dense, $L=2$", dense, [*chains[1], (0, 2, 0.7), (1, 3, -0.7), (0, 3, 0.75)])
show(
    fig,
    alt="Inception: four branches from x, joined by concatenation. Residual: two convolutions, x "
    "led around them and added. Dense: every output goes to all later layers.",
)

# %% [markdown]
# *Figure 3. The three wirings; data flow upwards. Inception is drawn with its 1 x 1 reductions;
# norms, and ReLUs other than the last of the residual block, are left out.*
#
# ## Build it: an Inception module
#
# The papers print these networks as tables. A small interpreter lets us do the same: a list of
# steps, where a tuple is a convolution (channels, kernel, then if needed stride and padding), an
# inner list is a fork into branches, and anything else makes a layer without weights.


# %%
class Parallel(nn.Module):
    """Run branches on the same input and concatenate their channels."""

    def __init__(self, branches):
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def inception_conv(in_channels, out_channels, kernel, stride=1, padding=None, *, norm):
    """Return convolution, batch norm if wanted, ReLU; stride 1 keeps the map's size."""
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    padding = tuple(side // 2 for side in kernel) if padding is None else padding
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=not norm)
    norms = [nn.BatchNorm2d(out_channels, eps=1e-3)] if norm else []
    return nn.Sequential(conv, *norms, nn.ReLU())


# %%
from functools import partial

max_same = partial(nn.MaxPool2d, 3, 1, 1)  # 3 x 3, keeps the map's size


def inception_chain(in_channels, steps, *, norm):
    """Return the layers that a list of steps describes, and their number of output channels."""
    layers, channels = [], in_channels
    for step in steps:
        if isinstance(step, tuple):
            layers.append(inception_conv(channels, *step, norm=norm))
            channels = step[0]
        elif isinstance(step, list):
            pairs = [inception_chain(channels, branch, norm=norm) for branch in step]
            layers.append(Parallel([branch for branch, _ in pairs]))
            channels = sum(width for _, width in pairs)
        else:
            layers.append(step())
    return nn.Sequential(*layers), channels


def cost_of(model, shape):
    """Return the parameters and the multiply-adds of a network."""
    counts = counting.count_layers(model, shape)
    return total(counts, "parameters"), total(counts, "multiply_adds")


INCEPTION_NAIVE = [[(128, 1)], [(192, 3)], [(96, 5)], [max_same]]
INCEPTION_REDUCED = [[(128, 1)], [(64, 1), (192, 3)], [(64, 1), (96, 5)], [max_same, (64, 1)]]

# %% [markdown]
# The second table is the trick: a 1 x 1 convolution to 64 channels in front of the dear
# kernels, and one behind the pooling, which would otherwise hand on all its 256 channels. A 1 x 1
# convolution is one matrix, applied to the channels of every pixel: it mixes and never looks
# sideways. **Predict.** The reduced module has three convolutions more. Is it cheaper, and by what
# factor?
#
# ## Check it: an Inception module
#
# The cost against the lecture's products, written out, and against torch's own counter. For the
# naive module the lecture prints 854M, for the reduced one *358M ops* under six products that do
# not add up to it. (Rows: 69 naive module, 70 reduced module, 68 GoogLeNet, 71 and 72 Inception v3
# and v4, 73 residual block, 74 bottleneck, 75 to 79 the ResNets, 84 DenseNet.)

# %%
inception_terms = {  # kernels, kernel area, channels in
    "naive": [(128, 1, 256), (192, 9, 256), (96, 25, 256)],
    "reduced": [(64, 1, 256)] * 2 + [(128, 1, 256), (192, 9, 64), (96, 25, 64), (64, 1, 256)],
}
cases = (69, "naive", INCEPTION_NAIVE, 672), (70, "reduced", INCEPTION_REDUCED, 480)
for row, name, table, channels in cases:
    with torch.device("meta"):
        module, width = inception_chain(256, [table], norm=False)
    branches = [cost_of(branch, (256, 28, 28))[1] for branch in module[0].branches]
    print(f"{name}: {width} channels, millions: {[round(work / 1e6, 1) for work in branches]}")
    by_terms = sum(28 * 28 * math.prod(term) for term in inception_terms[name])
    ledger.check_equal(row, f"{name}: the lecture's products", sum(branches), by_terms)
    torch_work = count_by_torch(module, (256, 28, 28))
    ledger.check_equal(row, f"{name}: torch's counter", sum(branches), torch_work)
    out = module(torch.empty(1, 256, 28, 28, device="meta"))
    ledger.check_equal(row, f"{name}: output", tuple(out.shape), (1, channels, 28, 28))
    millions = {"naive": 854, "reduced": 271.4}[name]
    ledger.check_close(row, f"{name}: {millions}M", by_terms / 1e6, millions, tolerance=5e-4)
with ledger.refuses(70, "358M as printed"):
    ledger.check_close(70, "millions", by_terms / 1e6, 358, tolerance=5e-4)
twice = by_terms + 28 * 28 * 192 * 9 * 64
ledger.check_close(70, "358M = the 3 x 3 term twice", twice / 1e6, 358, tolerance=5e-4)

# %% [markdown]
# Then the outputs, against the same wiring in functional calls, on odd maps. `randomise` draws
# weights, biases, gains and running statistics, so that no default can hide a mistake. The helpers
# serve the later networks too.


# %%
def normalise(x, norm):
    """Return batch norm in inference mode."""
    return F.batch_norm(
        x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )


def unit_by_hand(x, conv, norm=None, *, stride=1, padding=0):
    """Return convolution and, if there is one, batch norm."""
    z = F.conv2d(x, conv.weight, conv.bias, stride, padding)
    return z if norm is None else normalise(z, norm)


# %%
def units_of(module):
    """Return the pairs of convolution and batch norm (None without norms) in order."""
    convs = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    return list(zip(convs, norms or [None] * len(convs), strict=True))


def follow(x, units, *paddings):
    """Run x through units, each convolution, norm, ReLU, with the given paddings."""
    for unit, padding in zip(units, paddings, strict=True):
        x = F.relu(unit_by_hand(x, *unit, padding=padding))
    return x


def reduced_by_hand(module, x):
    """Return a reduced module's output from its tensors."""
    u, pooled = units_of(module), F.max_pool2d(x, 3, 1, 1)
    ways = follow(x, u[:1], 0), follow(x, u[1:3], 0, 1), follow(x, u[3:5], 0, 2)
    return torch.cat([*ways, follow(pooled, u[5:], 0)], dim=1)


inception_draw = torch.Generator().manual_seed(0)
odd_maps = torch.randn(2, 5, 7, 9, generator=inception_draw, dtype=torch.float64)
module = randomise(inception_chain(5, [INCEPTION_NAIVE], norm=False)[0], inception_draw)
ways = [follow(odd_maps, [u], p) for u, p in zip(units_of(module), (0, 1, 2), strict=True)]
naive_by_hand = torch.cat([*ways, F.max_pool2d(odd_maps, 3, 1, 1)], dim=1)
ledger.check_close(69, "naive: output by hand", module(odd_maps), naive_by_hand)
module = randomise(inception_chain(5, [INCEPTION_REDUCED], norm=False)[0], inception_draw)
by_hand = reduced_by_hand(module, odd_maps)
ledger.check_close(70, "reduced: output by hand", module(odd_maps), by_hand)
weight = torch.randn(4, 5, 1, 1, generator=inception_draw, dtype=torch.float64)
per_pixel = torch.einsum("oc,nchw->nohw", weight[:, :, 0, 0], odd_maps)
ledger.check_close(70, "1 x 1 = a matrix for each pixel", F.conv2d(odd_maps, weight), per_pixel)

# %% [markdown]
# Out of the naive module come 672 channels. Most work is in the 5 x 5 branch, and the reductions
# make the module three times cheaper. They also make the number of channels a choice: the naive
# module hands on all its input channels through the pooling, so in a stack each would be wider than
# the last. What is lost: behind the 1 x 1 layer the 5 x 5 kernels see 64 mixtures of the 256
# channels, no more.
#
# ## Build it: GoogLeNet
#
# GoogLeNet (Szegedy et al., 2015) is a **stem** (the first layers, which shrink the picture), nine
# such modules and one linear layer. Its table 1 gives six numbers a module: 1 x 1; reduction and
# 3 x 3; reduction and 5 x 5; pooling projection.
# **Predict.** The lecture gives it 5M parameters, a twelfth of AlexNet's 60M. Which part of AlexNet
# had to go for that?

# %%
GOOGLENET = {
    "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64), "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128), "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}  # fmt: skip
max_half_up = partial(nn.MaxPool2d, 3, 2, ceil_mode=True)  # 112 -> 56


def googlenet_steps(five):
    """Return GoogLeNet as a table; five is the kernel of the "5 x 5" branch."""
    steps = [(64, 7, 2), max_half_up, (64, 1), (192, 3), max_half_up]
    for name, (one, to_3, three, to_5, wide, pool) in GOOGLENET.items():
        steps += [max_half_up] if name in ("4a", "5a") else []
        fork = [[(one, 1)], [(to_3, 1), (three, 3)], [(to_5, 1), (wide, five)]]
        steps.append([*fork, [max_same, (pool, 1)]])
    return steps


def inception_classifier(steps, *, norm=True):
    """Return table, global average and 1000 logits, without memory for its weights."""
    with torch.device("meta"):
        features, channels = inception_chain(3, steps, norm=norm)
        head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000)
    return nn.Sequential(features, *head).eval()


googlenet_paper = inception_classifier(googlenet_steps(five=5), norm=False)
googlenet_costs = cost_of(googlenet_paper, (3, 224, 224))
shipped_costs = cost_of(inception_classifier(googlenet_steps(five=3)), (3, 224, 224))
for name, (parameters, work) in (("paper", googlenet_costs), ("torchvision", shipped_costs)):
    print(f"{name:12s} {parameters:,} parameters, {work / 1e9:.3f} G multiply-adds")

# %% [markdown]
# Two forms, because the name stands for two networks. The paper's has biases, no batch norm, and
# 5 x 5 kernels (its dropout and its two local response normalisations have no weights and are left
# out). The one that torchvision ships has batch norm, and 3 x 3 kernels in the branch called 5 x 5:
# a slip of the TensorFlow code from which it was ported, and it stays, since the published weights
# fit no other kernel. Both counts leave out the **auxiliary heads**: small classifiers at two inner
# modules, whose losses bring the lower layers a gradient in training, and which are then dropped.
#
# ## Check it: GoogLeNet
#
# Parameters against a closed form and torchvision's published count, and one module's output by
# hand.

# %%
googlenet_sum, channels = 64 * (3 * 49 + 1) + 64 * (64 + 1) + 192 * (64 * 9 + 1), 192
for one, to_3, three, to_5, wide, pool in GOOGLENET.values():
    googlenet_sum += (channels + 1) * (one + to_3 + to_5 + pool)
    googlenet_sum += three * (9 * to_3 + 1) + wide * (25 * to_5 + 1)
    channels = one + three + wide + pool
googlenet_sum += 1000 * (channels + 1)
ledger.check_equal(68, "parameters, paper's form", googlenet_costs[0], googlenet_sum)
torch_work = count_by_torch(googlenet_paper, (3, 224, 224))
ledger.check_equal(68, "torch's counter", googlenet_costs[1], torch_work)
ledger.check_equal(68, "parameters, torchvision's form", shipped_costs[0], 6_624_904)
ledger.check_equal(68, "its published 1.498 G", round(shipped_costs[1] / 1e9, 3), 1.498)
with ledger.refuses(68, "5M parameters, a twelfth of AlexNet"):
    ledger.check_close(68, "millions", googlenet_costs[0] / 1e6, 5, tolerance=0.2)
module = randomise(inception_chain(5, googlenet_steps(five=5)[5:6], norm=False)[0], inception_draw)
by_hand = reduced_by_hand(module, odd_maps)
ledger.check_close(68, "module 3a by hand", module(odd_maps), by_hand)
out = googlenet_paper[0](torch.empty(1, 3, 224, 224, device="meta"))
ledger.check_equal(68, "map before the average", tuple(out.shape), (1, 1024, 7, 7))
print(f"AlexNet (60,965,224 parameters) / GoogLeNet: {60_965_224 / googlenet_costs[0]:.1f}")

# %% [markdown]
# GoogLeNet has seven million parameters, nearly nine times fewer than AlexNet, not five and not
# twelve; the twelve is the paper's own claim. What had to go are AlexNet's two wide linear layers:
# here a global average stands in their place.
#
# ## Build it: Inception v3 and v4, factorised kernels
#
# Inception v3 (Szegedy et al., 2016) takes large kernels apart. A 5 x 5 becomes two 3 x 3 (25
# weights against 18 for each pair of channels), an $n\times n$ becomes $1\times n$ and $n\times1$
# ($n^2$ against $2n$). **Predict.** Does the second replacement still reach every $7\times7$
# kernel? (The tables below are there to be counted; to follow, `v3_17` is enough.)

# %%
max_half = partial(nn.MaxPool2d, 3, 2)
average = partial(nn.AvgPool2d, 3, 1, 1, count_include_pad=False)  # padding is not averaged in


def v3_35(pool):
    """Return the module for 35 x 35 maps (the paper's figure 5)."""
    return [[(64, 1)], [(48, 1), (64, 5)], [(64, 1), (96, 3), (96, 3)], [average, (pool, 1)]]


def v3_17(c):
    """Return the module for 17 x 17 maps (figure 6 with n = 7)."""
    once, twice = [(c, 1), (c, (1, 7)), (192, (7, 1))], [(c, 1), (c, (7, 1)), (c, (1, 7))]
    return [[(192, 1)], once, [*twice, (c, (7, 1)), (192, (1, 7))], [average, (192, 1)]]


V3_SPLIT = [[(384, (1, 3))], [(384, (3, 1))]]
V3_8 = [[(320, 1)], [(384, 1), V3_SPLIT], [(448, 1), (384, 3), V3_SPLIT], [average, (192, 1)]]
V3_TO_17 = [[(384, 3, 2, 0)], [(64, 1), (96, 3), (96, 3, 2, 0)], [max_half]]
V3_SEVENS = [(192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2, 0)]
V3_TO_8 = [[(192, 1), (320, 3, 2, 0)], V3_SEVENS, [max_half]]
V3 = [(32, 3, 2, 0), (32, 3, 1, 0), (64, 3), max_half, (80, 1), (192, 3, 1, 0), max_half]
V3 += [v3_35(32), v3_35(64), v3_35(64), V3_TO_17]
V3 += [v3_17(128), v3_17(160), v3_17(160), v3_17(192), V3_TO_8, V3_8, V3_8]

# %% [markdown]
# This is the network as its authors released it, which differs from the paper's figures: in the
# modules for 35 x 35 one branch has a 5 x 5 where figure 5 draws a single 3 x 3. Where the map
# shrinks, convolutions with stride 2 and a pooling work side by side. Inception v4 (Szegedy et
# al., 2017) changes no principle: a stem with forks of its own, then 4, 7 and 3 equal modules.

# %%
V4_STEM = [
    (32, 3, 2, 0), (32, 3, 1, 0), (64, 3), [[max_half], [(96, 3, 2, 0)]],
    [[(64, 1), (96, 3, 1, 0)], [(64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1, 0)]],
    [[(192, 3, 2, 0)], [max_half]],
]  # fmt: skip
V4_35 = [[(96, 1)], [(64, 1), (96, 3)], [(64, 1), (96, 3), (96, 3)], [average, (96, 1)]]
V4_TO_17 = [[(384, 3, 2, 0)], [(192, 1), (224, 3), (256, 3, 2, 0)], [max_half]]
V4_17 = [
    [(384, 1)], [(192, 1), (224, (1, 7)), (256, (7, 1))],
    [(192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))],
    [average, (128, 1)],
]  # fmt: skip
V4_SEVENS = [(256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2, 0)]
V4_TO_8 = [[(192, 1), (192, 3, 2, 0)], V4_SEVENS, [max_half]]
V4_SPLIT = [[(256, (1, 3))], [(256, (3, 1))]]
V4_8 = [
    [(256, 1)], [(384, 1), V4_SPLIT], [(384, 1), (448, (3, 1)), (512, (1, 3)), V4_SPLIT],
    [average, (256, 1)],
]  # fmt: skip
V4 = [*V4_STEM, *[V4_35] * 4, V4_TO_17, *[V4_17] * 7, V4_TO_8, *[V4_8] * 3]

# %% [markdown]
# ## Check it: Inception v3 and v4, factorised kernels
#
# First the kernels. Without a ReLU between them, $1\times7$ and $7\times1$ are one $7\times7$
# convolution. Its kernels are sums of outer products, one for each of the channels in the middle:
# the column belongs to the output channel, the row to the input channel, and each serves in many
# pairs of the two. The receptive field is measured: one lit pixel, kernels of ones, and how many
# pixels light up. Then the outputs of three modules, since no count sees whether $1\times7$ or
# $7\times1$ comes first: those for 17 x 17, and v4's for 8 x 8, whose branches fork once more.

# %%
across = torch.randn(3, 2, 1, 7, generator=inception_draw, dtype=torch.float64)
down = torch.randn(4, 3, 7, 1, generator=inception_draw, dtype=torch.float64)
joint_kernel = torch.einsum("oma,mcb->oacb", down[..., 0], across[:, :, 0])  # (4, 7, 2, 7)
x = torch.randn(2, 2, 9, 12, generator=inception_draw, dtype=torch.float64)
in_two, in_one = F.conv2d(F.conv2d(x, across), down), F.conv2d(x, joint_kernel.permute(0, 2, 1, 3))
ledger.check_close(71, "1 x 7 then 7 x 1 = one 7 x 7", in_two, in_one)
kernel_rank = int(torch.linalg.matrix_rank(joint_kernel.reshape(4 * 7, 2 * 7)))
ledger.check_equal(71, "rank of all kernels together = channels in the middle", kernel_rank, 3)
for kernels, side in ((((3, 3), (3, 3)), 5), (((1, 7), (7, 1)), 7)):
    lit = F.pad(torch.ones(1, 1, 1, 1), (7, 7, 7, 7))
    for kernel in kernels:
        lit = F.conv2d(lit, torch.ones(1, 1, *kernel), padding="same")
    ledger.check_equal(71, f"field of {kernels}", int((lit > 0).sum()), side**2)
W7, H7, W3, H3 = (0, 3), (3, 0), (0, 1), (1, 0)  # paddings of 1 x 7, 7 x 1, 1 x 3, 3 x 1
x = odd_maps[:1]
odd_average = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
for row, name, table in ((71, "17 x 17", v3_17(6)), (72, "17 x 17", V4_17), (72, "8 x 8", V4_8)):
    module = randomise(inception_chain(5, [table], norm=True)[0], inception_draw)
    u = units_of(module)
    if name == "8 x 8":
        short, long = follow(x, u[1:2], 0), follow(x, u[4:7], 0, H3, W3)
        ways = [follow(short, u[2:3], W3), follow(short, u[3:4], H3)]
        ways += [follow(long, u[7:8], W3), follow(long, u[8:9], H3)]
    else:
        ways = [follow(x, u[1:4], 0, W7, H7), follow(x, u[4:9], 0, H7, W7, H7, W7)]
    ways = [follow(x, u[:1], 0), *ways, follow(odd_average, u[9:], 0)]
    ledger.check_close(row, f"module for {name}", module(x), torch.cat(ways, dim=1))

# %% [markdown]
# So not every $7\times7$ kernel is reached. For one pair of channels, seven channels in the middle
# would do (a 7 x 7 matrix has at most rank 7); for $C$ channels in and $C'$ out it takes
# $7\min(C,C')$, far more than v3 has. Next the two networks: parameters and multiply-adds as
# published by torchvision (v3) and timm (v4), without auxiliary head, and the shapes that the
# papers print.

# %%
inception_costs = {}
inception_facts = (  # parameters; G multiply-adds and the digits printed; maps
    (71, "v3", V3, 23_834_568, (5.713, 3), [(288, 35, 35), (768, 17, 17), (2048, 8, 8)]),
    (72, "v4", V4, 42_679_816, (12.3, 1), [(384, 35, 35), (1024, 17, 17), (1536, 8, 8)]),
)
for row, name, table, published, (printed, places), shapes in inception_facts:
    model = inception_classifier(table)
    parameters, work = inception_costs[name] = cost_of(model, (3, 299, 299))
    ledger.check_equal(row, f"{name}: parameters", parameters, published)
    ledger.check_equal(row, f"{name}: G multiply-adds", round(work / 1e9, places), printed)
    x, last_of_size = torch.empty(1, 3, 299, 299, device="meta"), {}
    for layer in model[0]:
        x = layer(x)
        last_of_size[x.shape[-1]] = tuple(x.shape[1:])
    ledger.check_equal(row, f"{name}: maps", [last_of_size[n] for n in (35, 17, 8)], shapes)

# %% [markdown]
# Every count agrees, and so do the maps. Note how little of these tables is an
# idea and how much is a number somebody chose. The next network has one idea and almost no numbers.
#
# ## Build it: a residual block
#
# He et al. (2016) ask a block to learn not the map $h(x)$ but its difference from the input,
# $F(x)=h(x)-x$, and add $x$ back: $y=\operatorname{ReLU}(F(x)+x)$. Where the block halves the map
# and widens it, $x$ has the wrong shape; the shortcut then takes every second pixel and either
# pads with zero channels or projects with a 1 x 1 convolution.


# %%
class Shortcut(nn.Module):
    """Take every stride-th pixel and append channels of zeros: a shortcut without weights."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.stride, self.extra = stride, out_channels - in_channels

    def forward(self, x):
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


def conv_norm(in_channels, out_channels, kernel, stride=1):
    """Return convolution and batch norm; no bias, since the norm has one."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return conv, nn.BatchNorm2d(out_channels)


def make_shortcut(in_channels, out_channels, stride, kind):
    """Return the identity where shapes agree, else zero padding ("pad") or a projection."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if kind == "pad":
        return Shortcut(in_channels, out_channels, stride)
    return nn.Sequential(*conv_norm(in_channels, out_channels, 1, stride))


# %% [markdown]
# The basic block has two 3 x 3 convolutions. The bottleneck block does its 3 x 3 on a quarter of
# the channels, between two 1 x 1, the same economy as GoogLeNet's. With `skip=False` the shortcut
# is missing, and the block is a piece of a plain network.


# %%
class ResidualBlock(nn.Module):
    """Return relu(residual(x) + shortcut(x)), or relu(residual(x)) without a skip."""

    def __init__(self, residual, shortcut):
        super().__init__()
        self.residual, self.shortcut, self.relu = nn.Sequential(*residual), shortcut, nn.ReLU()

    def forward(self, x):
        residual = self.residual(x)
        return self.relu(residual if self.shortcut is None else residual + self.shortcut(x))


class BasicBlock(ResidualBlock):
    """Two 3 x 3 convolutions and a shortcut."""

    expansion = 1

    def __init__(self, in_channels, channels, stride=1, *, skip=True, shortcut="projection"):
        first = conv_norm(in_channels, channels, 3, stride)
        kept = make_shortcut(in_channels, channels, stride, shortcut) if skip else None
        super().__init__([*first, nn.ReLU(), *conv_norm(channels, channels, 3)], kept)


class Bottleneck(ResidualBlock):
    """1 x 1 down, 3 x 3, 1 x 1 up to four times the channels, and a shortcut."""

    expansion = 4

    def __init__(self, in_channels, channels, stride=1, *, skip=True, shortcut="projection"):
        narrow = conv_norm(in_channels, channels, 1)
        middle = conv_norm(channels, channels, 3, stride)
        wide = conv_norm(channels, 4 * channels, 1)
        kept = make_shortcut(in_channels, 4 * channels, stride, shortcut) if skip else None
        super().__init__([*narrow, nn.ReLU(), *middle, nn.ReLU(), *wide], kept)


# %% [markdown]
# ## Check it: a residual block
#
# Both blocks on drawn weights and odd maps, with stride 1 and 2, both shortcuts and none, against
# functional calls.


# %%
def block_by_hand(block, x, *, stride, shortcut):
    """Return the output of a block from its tensors; shortcut names what to add."""
    units, z = units_of(block.residual), x
    sides, steps = ((1, 1), (stride, 1)) if len(units) == 2 else ((0, 1, 0), (1, stride, 1))
    for place, unit in enumerate(units):
        z = F.relu(z) if place else z
        z = unit_by_hand(z, *unit, stride=steps[place], padding=sides[place])
    if shortcut == "projection":
        z = z + unit_by_hand(x, *block.shortcut, stride=stride)
    elif shortcut == "pad":
        z[:, : x.shape[1]] += x[:, :, ::stride, ::stride]
    elif shortcut == "identity":
        z = z + x
    return F.relu(z)


for row, make, channels in ((73, BasicBlock, 8), (74, Bottleneck, 2)):
    for kind in ("identity", "projection", "pad", "none"):
        stride, width = (1, 8) if kind == "identity" else (2, 5)
        block = make(width, channels, stride, skip=kind != "none", shortcut=kind)
        x = torch.randn(2, width, 7, 9, generator=inception_draw, dtype=torch.float64)
        with torch.no_grad():
            by_hand = block_by_hand(
                randomise(block, inception_draw), x, stride=stride, shortcut=kind
            )
        ledger.check_close(row, f"{make.__name__}, stride {stride}, {kind}", block(x), by_hand)

# %% [markdown]
# Now what the shortcut is for. Before the last ReLU the derivative of a block is
# $I+\partial F/\partial x$. So where that ReLU is open, a gradient $v$ that arrives at $y$ comes
# out at $x$ as $v$ itself plus what $F$ makes of it. **Predict.** Gain and shift of the last batch
# norm are set to zero. What does the block compute?

# %%
block = randomise(BasicBlock(2, 2), inception_draw)
x, v = torch.randn(2, 1, 2, 3, 5, generator=inception_draw, dtype=torch.float64)
x.requires_grad_()
v_open = v * (block(x) > 0)
(through_block,) = torch.autograd.grad(block(x), x, v)
(through_residual,) = torch.autograd.grad(block.residual(x), x, v_open)
expected = v_open + through_residual
ledger.check_close(73, "gradient: v + what F makes of it", through_block, expected, kind="gradient")
ledger.check_gradient(
    73, "and by differences", lambda point: (v * block(torch.from_numpy(point))).sum().item(),
    x.detach(), through_block,
)  # fmt: skip
for row, make, width, channels in ((73, BasicBlock, 6, 6), (74, Bottleneck, 8, 2)):
    block = randomise(make(width, channels), inception_draw)
    nn.init.zeros_(block.residual[-1].weight)
    nn.init.zeros_(block.residual[-1].bias)
    x = torch.rand(2, width, 5, 3, generator=inception_draw, dtype=torch.float64)
    ledger.check_equal(row, "zero gain: the block is the identity", block(x), x, kind="invariant")
    passed = block(x - 0.5), F.relu(x - 0.5)
    ledger.check_equal(row, "... and a ReLU for both signs", *passed, kind="invariant")

# %% [markdown]
# With zero gain and shift $F$ is silent and the block hands on what it got, as long as that is not
# negative, which after a ReLU it never is. A plain block would hand on nothing. So a deep residual
# network can start out as a shallow one, and many implementations start it there (Goyal et al.,
# 2017).
#
# ## Build it: ResNet-18 to ResNet-152
#
# One definition for all: a stem, four stages of blocks, each later stage with half the map and
# twice the channels, a global average, one linear layer. The small stem is for small pictures.


# %%
def imagenet_stem(channels):
    """Return a 7 x 7 convolution and a 3 x 3 max pooling, both with stride 2."""
    return nn.Sequential(*conv_norm(3, channels, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))


def small_stem(channels, in_channels=1):
    """Return one 3 x 3 convolution, for small pictures."""
    return nn.Sequential(*conv_norm(in_channels, channels, 3), nn.ReLU())


class ResNet(nn.Module):
    """Stem, stages of blocks, global average, linear layer; kinds go to every block."""

    def __init__(self, block, depths, stem, *, channels=64, num_classes=1000, **kinds):
        super().__init__()
        self.stem, blocks, in_channels = stem, [], channels
        for stage, depth in enumerate(depths):
            width = channels * 2**stage
            for index in range(depth):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(block(in_channels, width, stride, **kinds))
                in_channels = width * block.expansion
        self.blocks = nn.Sequential(*blocks)
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten()
        self.head = nn.Linear(in_channels, num_classes)

    def forward(self, x):
        return self.head(self.flatten(self.pool(self.blocks(self.stem(x)))))


# %% [markdown]
# **Predict.** ResNet-152 has three times as many layers as ResNet-50. Three times the parameters?
# And against VGG-16's 15 G multiply-adds, is it more or less?

# %%
RESNETS = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
    101: (Bottleneck, (3, 4, 23, 3)),
    152: (Bottleneck, (3, 8, 36, 3)),
}
resnets, resnet_counts, resnet_costs = {}, {}, {}
for n, (make, depths) in RESNETS.items():
    with torch.device("meta"):
        resnets[n] = ResNet(make, depths, imagenet_stem(64))
    counts = resnet_counts[n] = counting.count_layers(resnets[n], (3, 224, 224))
    parameters, work = total(counts, "parameters"), total(counts, "multiply_adds")
    resnet_costs[n] = parameters, work
    print(f"ResNet-{n:<4d} {parameters:>11,} parameters  {work / 1e9:6.3f} G multiply-adds")

# %% [markdown]
# The number in the name counts the stem, two or three convolutions a block, and the linear layer:
# $1+3(3+4+6+3)+1=50$. ResNet-152 has somewhat more than twice the parameters of ResNet-50. Halving
# the map and doubling the channels leaves the work of a block unchanged and quadruples its
# parameters ($M$ and $P$ above); nearly all the added blocks sit in the third stage, where a block
# has about a quarter of the parameters of one in the last. And with 152 layers the network does
# less work than VGG-16 with 16.
#
# ## Check it: ResNet-18 to ResNet-152
#
# Parameters and work (in G, three digits) against torchvision's published numbers and, for one
# network of each block, torch's counter; the number in the name against the weight layers on the
# main path; the maps against table 1 of the paper.

# %%
resnet_published = {
    18: (75, 11_689_512, 1.814),
    34: (76, 21_797_672, 3.664),
    50: (77, 25_557_032, 4.089),
    101: (78, 44_549_160, 7.801),
    152: (79, 60_192_808, 11.514),
}
for n, (row, *published) in resnet_published.items():
    parameters, work = resnet_costs[n]
    ours = [parameters, round(work / 1e9, 3)]
    ledger.check_equal(row, f"ResNet-{n}: published parameters, G", ours, published)
    layers = [c for c in resnet_counts[n] if c.kind in ("Conv2d", "Linear")]
    on_path = sum("shortcut" not in c.name for c in layers)
    outputs = {c.shape[1]: c.shape[0] for c in resnet_counts[n] if c.name.endswith(".relu")}
    found, wide = [on_path, *map(outputs.get, (56, 28, 14, 7))], RESNETS[n][0].expansion
    expected = [n, 64 * wide, 128 * wide, 256 * wide, 512 * wide]
    ledger.check_equal(row, f"ResNet-{n}: layers, channels at 56, 28, 14, 7", found, expected)
    if n in (18, 50):
        torch_work = count_by_torch(resnets[n], (3, 224, 224))
        ledger.check_equal(row, f"ResNet-{n}: torch's counter", work, torch_work)

# %% [markdown]
# Counts do not see what is computed. Two thin ResNets, one with each stem and each block, against
# functional calls; and the 3.8 G that the paper prints for ResNet-50. Its blocks halve the map in
# the first 1 x 1 convolution, the library's in the 3 x 3, which keeps three quarters of the pixels
# from being thrown away unseen. The stride is moved back and counted.

# %%
cases = (
    (75, BasicBlock, small_stem(4, 3), (1, 1), ("identity", "identity", "projection", "identity")),
    (77, Bottleneck, imagenet_stem(4), (2, 3), ("projection", "identity") * 2),
)
for row, make, stem, (stride, padding), kinds in cases:
    thin = randomise(ResNet(make, (2, 2), stem, channels=4, num_classes=5), inception_draw)
    x = torch.randn(2, 3, 21, 27, generator=inception_draw, dtype=torch.float64)
    z = F.relu(unit_by_hand(x, thin.stem[0], thin.stem[1], stride=stride, padding=padding))
    z = F.max_pool2d(z, 3, 2, 1) if make is Bottleneck else z
    for block, step, kind in zip(thin.blocks, (1, 1, 2, 1), kinds, strict=True):
        z = block_by_hand(block, z, stride=step, shortcut=kind)
    logits = F.linear(z.mean(dim=(2, 3)), thin.head.weight, thin.head.bias)
    ledger.check_close(row, f"thin ResNet of {make.__name__}", thin(x), logits)
as_in_paper = copy.deepcopy(resnets[50])
for block in as_in_paper.blocks:
    narrow, middle = block.residual[0], block.residual[3]
    narrow.stride, middle.stride = middle.stride, narrow.stride
parameters, work = cost_of(as_in_paper, (3, 224, 224))
ledger.check_equal(77, "stride moved: same parameters", parameters, resnet_costs[50][0])
ledger.check_equal(77, "stride moved: G multiply-adds", round(work / 1e9, 2), 3.86)

# %% [markdown]
# That leaves 3.86 G: most of the difference, and what remains looks like rounding down.
#
# ## Build it: a dense block
#
# DenseNet (Huang et al., 2017) does not add, it concatenates: each layer sees all earlier maps and
# contributes $\Delta$ new ones. The lecture shows it as a Keras listing, in a form of its own. Its
# loop over `nb_layers` ends with
#
# ```
# x = Conv2D(growth_rate, (3, 3), padding='same', activation='relu')(x)
# feature_list.append(x)
# if i < nb_layers - 1:
#     x = Concatenate()(feature_list)
# ```
#
# and then the block returns `x`. **Predict.** The block gets $C$ channels. How many does it return:
# $C+L\Delta$, $L\Delta$ or $\Delta$?


# %%
def lecture_layer(in_channels, growth_rate):
    """Return a layer of the lecture's listing: convolution, ReLU."""
    return nn.Sequential(nn.Conv2d(in_channels, growth_rate, 3, padding=1), nn.ReLU())


def paper_layer(in_channels, growth_rate):
    """Return a layer of the paper: norm first, and a 1 x 1 bottleneck."""
    squeeze = nn.Conv2d(in_channels, 4 * growth_rate, 1, bias=False)
    spread = nn.Conv2d(4 * growth_rate, growth_rate, 3, padding=1, bias=False)
    first, second = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(4 * growth_rate)
    return nn.Sequential(first, nn.ReLU(), squeeze, second, nn.ReLU(), spread)


class DenseBlock(nn.Module):
    """Layers that each see all earlier maps; whole=False returns only the last layer's."""

    def __init__(self, in_channels, num_layers, growth_rate, make_layer, *, whole=True):
        super().__init__()
        widths = [in_channels + i * growth_rate for i in range(num_layers)]
        self.layers = nn.ModuleList(make_layer(width, growth_rate) for width in widths)
        self.whole = whole

    def forward(self, x):
        maps = [x]
        for layer in self.layers:
            maps.append(layer(torch.cat(maps, dim=1)))
        return torch.cat(maps, dim=1) if self.whole else maps[-1]


# %% [markdown]
# Between the lecture's blocks stands a transition: batch norm, a 1 x 1 convolution to $\Delta$
# channels with ReLU, and an average pooling. The paper's transition has the ReLU before the
# convolution and keeps half of what came instead of $\Delta$. Both networks begin with a stem that
# leaves 64 channels at 56 x 56. The lecture's `nb_layers` and `growth_rate` are arguments; we take
# 4 and 12. (Two columns of the listing have run together: that its last batch norm stands behind
# the global average is our reading.)


# %%
def lecture_densenet(num_layers, growth_rate, num_classes=2):
    """Return the network of the lecture's listing in today's PyTorch; it gives logits."""
    layers, channels = [nn.Conv2d(3, 64, 7, 2, 3), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for index in range(4):
        layers.append(DenseBlock(channels, num_layers, growth_rate, lecture_layer, whole=False))
        channels = growth_rate
        if index < 3:
            mix = nn.Conv2d(channels, growth_rate, 1)
            layers += [nn.BatchNorm2d(channels), mix, nn.ReLU(), nn.AvgPool2d(2)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(channels)]
    return nn.Sequential(*layers, nn.Linear(channels, num_classes))


def paper_densenet(depths, growth_rate=32, num_classes=1000):
    """Return the paper's network: DenseNet-121 has depths 6, 12, 24, 16."""
    layers, channels = list(imagenet_stem(64)), 64
    for index, depth in enumerate(depths):
        layers.append(DenseBlock(channels, depth, growth_rate, paper_layer))
        channels += depth * growth_rate
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        if index < len(depths) - 1:
            half = nn.Conv2d(channels, channels // 2, 1, bias=False)
            layers, channels = [*layers, half, nn.AvgPool2d(2)], channels // 2
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
    return nn.Sequential(*layers, *head)


# %% [markdown]
# ## Check it: a dense block
#
# Both networks, small, against functional calls: the lecture's loop line by line, the paper's with
# norm and ReLU before each convolution. The formula $C+L\Delta$ holds for the paper's block and is
# refused by the lecture's. Last, the parameters: the lecture's network against a closed form,
# DenseNet-121 against its published counts.


# %%
def keras_listing(x, model, nb_layers):
    """Follow the lecture's listing, its loop as printed; return the logits."""
    x = F.max_pool2d(F.relu(unit_by_hand(x, model[0], stride=2, padding=3)), 3, 2, 1)
    for start in (3, 8, 13, 18):
        w, feature_list = list(model[start].parameters()), [x]
        for i in range(nb_layers):
            x = F.relu(F.conv2d(x, w[2 * i], w[2 * i + 1], padding="same"))
            feature_list.append(x)
            if i < nb_layers - 1:
                x = torch.cat(feature_list, dim=1)
        if start < 18:
            norm, mix = model[start + 1], model[start + 2]
            x = F.avg_pool2d(F.relu(unit_by_hand(normalise(x, norm), mix)), 2)
    return F.linear(normalise(x.mean(dim=(2, 3)), model[-2]), model[-1].weight, model[-1].bias)


def paper_by_hand(x, model):
    """Return the logits of a paper's network with two blocks."""
    x = F.relu(unit_by_hand(x, model[0], model[1], stride=2, padding=3))
    x = F.max_pool2d(x, 3, 2, 1)
    for block, norm, half in ((model[4], model[5], model[7]), (model[9], model[10], None)):
        for first, _, squeeze, second, _, spread in block.layers:
            z = F.conv2d(F.relu(normalise(x, first)), squeeze.weight)
            z = F.conv2d(F.relu(normalise(z, second)), spread.weight, padding=1)
            x = torch.cat([x, z], dim=1)
        x = F.relu(normalise(x, norm))
        x = x if half is None else F.avg_pool2d(F.conv2d(x, half.weight), 2)
    return F.linear(x.mean(dim=(2, 3)), model[-1].weight, model[-1].bias)


# %%
x = torch.randn(2, 3, 65, 71, generator=inception_draw, dtype=torch.float64)
small_nets = (
    randomise(lecture_densenet(3, 5), inception_draw),
    randomise(paper_densenet((1, 2), 3, 7), inception_draw),
)
as_listed = keras_listing(x, small_nets[0], nb_layers=3)
ledger.check_close(84, "lecture's network = its listing", small_nets[0](x), as_listed)
ledger.check_close(84, "paper's network by hand", small_nets[1](x), paper_by_hand(x, small_nets[1]))
out = lecture_densenet(3, 4)[3].double()(torch.zeros(1, 64, 2, 2).double())
with ledger.refuses(84, "lecture's block returns C + L growth channels"):
    ledger.check_equal(84, "channels", out.shape[1], 64 + 3 * 4)
ledger.check_equal(84, "channels, lecture's block: growth", out.shape[1], 4)
out = DenseBlock(5, 3, 4, paper_layer).double()(odd_maps)
ledger.check_equal(84, "channels, paper's block: C + L growth", out.shape[1], 5 + 3 * 4)
with torch.device("meta"):
    dense_nets = lecture_densenet(4, 12), paper_densenet((6, 12, 24, 16))
# Four layers a block; each block has C channels at its entry, and 12 are added a layer.
in_blocks = sum(4 * 12 * (9 * C + 1) + 9 * 12**2 * (0 + 1 + 2 + 3) for C in (64, 12, 12, 12))
in_transitions, in_head = 3 * (2 * 12 + 12 * 13), 2 * 12 + 2 * 13
dense_sum = 64 * (3 * 49 + 1) + in_blocks + in_transitions + in_head
lecture_counts = counting.count_layers(dense_nets[0], (3, 224, 224))
ledger.check_equal(84, "lecture: parameters", total(lecture_counts, "parameters"), dense_sum)
dense_costs = cost_of(dense_nets[1], (3, 224, 224))
ours = dense_costs[0], round(dense_costs[1] / 1e9, 3)
ledger.check_equal(84, "DenseNet-121: published parameters, G", ours, (7_978_856, 2.834))

# %% [markdown]
# The last layer's output is not concatenated, so the lecture's block returns $\Delta$ channels, and
# nothing of what came in goes around it. Within its blocks the network is dense; from block to
# block it is a plain chain. The paper's blocks pass everything on.

# %% [markdown] tags=["row-83"]
# **ENet**, told only. One point of the lecture's scatter is called ENet. Paszke et al. (2016) made
# it to label every pixel of a street scene in real time: an encoder that shrinks the picture early,
# a small decoder, and blocks like ResNet's bottleneck whose middle convolution is plain, dilated,
# or split into 5 x 1 and 1 x 5; 0.37 million parameters by their count. It has no 1000-way output.
# The point in the scatter is a version that Canziani et al. (2016), two of whom made ENet, adapted
# to classification and trained on ImageNet themselves. Neither paper has a table of that version,
# so there is nothing here to rebuild and check.

# %% [markdown]
# ## Try it: accuracy, work and parameters
#
# The lecture closes with the scatter of Canziani, Paszke and Culurciello (2016). Here it is again
# with our own counts of work and parameters, and cited accuracies (next cell, last number of each
# entry). AlexNet is the one-tower form and GoogLeNet torchvision's, to which their accuracies
# belong: hence a ratio of 9.2 between their parameters below, and of 8.7 between the papers' forms.
#
# Accuracies: top-1 in per cent on ImageNet's 50,000 validation pictures, one centre crop, as
# torchvision documents its first weights (`IMAGENET1K_V1`) for networks with these very counts.
# Inception-v4 is not among them: its 80.0 is from its paper (one crop, one model, error 20.0,
# without the pictures on the organisers' blacklist), and drawn hollow; in the same table v3 has
# 78.8, a point and a half above its entry here. Training differs too: the weights of GoogLeNet and
# Inception-v3 were ported from TensorFlow, and v3 and v4 see 299 pixels instead of 224; the work
# counts include that. BN-NIN, BN-AlexNet and ENet are missing, since we know their accuracies
# from a drawing only.

# %%
plain_nets = ("AlexNet", one_tower_counts), ("VGG-16", vgg_counts), ("VGG-19", vgg_19_counts)
scatter = {
    name: (total(counts, "parameters"), total(counts, "multiply_adds"), top)
    for (name, counts), top in zip(plain_nets, (56.522, 71.592, 72.376), strict=True)
}
scatter |= {"GoogLeNet": (*shipped_costs, 69.778), "DenseNet-121": (*dense_costs, 74.434)}
for version, top in (("v3", 77.294), ("v4", 80.0)):
    scatter[f"Inception-{version}"] = (*inception_costs[version], top)
for n, top in zip(RESNETS, (69.758, 73.314, 76.130, 77.374, 78.312), strict=True):
    scatter[f"ResNet-{n}"] = (*resnet_costs[n], top)

# %%
fig, ax = plt.subplots(figsize=(6.0, 3.6))
scatter_families = ("AlexNet", "VGG", "Inception GoogLeNet", "ResNet", "DenseNet")
MARKER_AREAS = {"o": np.pi / 4, "s": 1, "^": 0.5, "D": 1, "v": 0.5}  # in squared widths
scatter_places = dict.fromkeys(scatter, ("left", 9, -4)) | {
    "ResNet-34": ("left", 8, -12), "ResNet-18": ("left", 9, -8), "GoogLeNet": ("center", 0, -17),
    "ResNet-50": ("right", -9, 3), "Inception-v3": ("right", 2, 8), "ResNet-101": ("left", 2, -18),
    "VGG-16": ("center", 0, -24), "VGG-19": ("center", 0, -24), "ResNet-152": ("left", 13, -5),
    "AlexNet": ("left", 13, -4),
}  # fmt: skip
for family, mark, colour in zip(scatter_families, MARKERS, PALETTE.values(), strict=True):
    for name in (name for name in scatter if name.split("-")[0] in family):
        (parameters, work, top), (side, *offset) = scatter[name], scatter_places[name]
        face = "none" if name == "Inception-v4" else colour
        style = {"marker": mark, "edgecolor": colour, "facecolor": face, "alpha": 0.6}
        ax.scatter(work / 1e9, top, parameters / 2.5e5 / MARKER_AREAS[mark], **style)
        place = {"xytext": offset, "textcoords": "offset points", "ha": side, "fontsize": 9}
        ax.annotate(name, (work / 1e9, top), **place)
ax.set(xlabel="multiply-adds for one picture (G)", ylabel="top-1 accuracy (%)", xlim=(-1, 23.5))
ax.set_ylim(53, 84)
for place, size in ((12, 5), (14, 50), (17, 150)):
    ax.scatter(place, 59.5, size * 4 / MARKER_AREAS["o"], facecolor="none", edgecolor="0.4")
    ax.annotate(f"{size} M", (place, 55), ha="center", fontsize=9)
show(
    fig,
    alt="Scatter of twelve networks. ResNets rise from 1.8 to 11.5 G; VGG lies far right and below "
    "them with the largest areas; GoogLeNet and DenseNet are small and left; AlexNet is lowest.",
)

# %% [markdown]
# *Figure 4. Accuracy against work; the area is the number of parameters (grey: scale). Counts are
# ours, accuracies cited (see above); hollow: another protocol.*
#
# **Predict** before you run the next cell: over these networks, does accuracy go rather with work
# or with parameters? (Rank correlation: the correlation of the places in the order, from 1 to 12.)

# %%
print("rank correlation of accuracy with")
for left_out in (("AlexNet", "VGG-16", "VGG-19"), ("AlexNet",), ()):
    kept = np.array([entry for name, entry in scatter.items() if name not in left_out])
    with_size, with_work = np.corrcoef(kept.argsort(axis=0).argsort(axis=0).T)[2, :2]
    without = ", ".join(left_out) or "nothing"
    print(f"work {with_work:.2f}, parameters {with_size:.2f}, left out: {without}")
ledger.check_at_least(68, "correlation with work - with parameters", with_work - with_size, 0.3)
for row, family in ((64, ["VGG-16", "VGG-19"]), (77, [f"ResNet-{n}" for n in RESNETS])):
    ranked = sorted(family, key=lambda member: scatter[member][2])
    by_work = sorted(family, key=lambda member: scatter[member][1])
    ledger.check_equal(row, f"{family[0]} ...: same order by work and accuracy", by_work, ranked)
points_above = scatter["ResNet-50"][2] - scatter["VGG-16"][2]
ledger.check_at_least(77, "ResNet-50 - VGG-16, points", points_above, 3)
for dear, cheap in (("VGG-16", "ResNet-50"), ("AlexNet", "GoogLeNet")):
    ratios = [scatter[dear][i] / scatter[cheap][i] for i in (0, 1)]
    print(f"{dear} / {cheap}: parameters {ratios[0]:.1f}, work {ratios[1]:.2f}")

# %% [markdown]
# Within ResNet and VGG accuracy rises with work. Between families size does not decide: ResNet-50
# beats VGG-16 at a quarter of the work and a fifth of the parameters. Over these twelve accuracy
# goes with work (0.55) and not with parameters (0.07), but three networks decide that: most of
# AlexNet's and VGG's parameters sit in linear layers that later networks do without. Leave AlexNet
# out, and the two are about alike; leave VGG out as well, and both are high. Twelve famous networks
# are no sample, and their training differs, so read differences of a point or two as noise.

# %% [markdown]
# ## Why: the deeper network was worse
#
# The winners grew deeper. Does depth alone do it? He et al. (2016) stacked 3 x 3 convolutions
# without any shortcut, 20 layers and 56, on CIFAR-10; the lecture shows their curves. The 56-layer
# network was worse on the test pictures. That could be overfitting, but it was worse on the
# *training* pictures too, and this is odd: let 36 of its layers pass their input on unchanged, and
# it computes what the 20 layers compute. Good weights exist, and training does not find them. The
# authors call it **degradation** (退化).
#
# ## The idea in symbols: depth
#
# These networks have three stages of $m$ blocks with two convolutions each, a first convolution
# and a linear layer: depth $d=6m+2$. Why should $F(x)+x$ be easier than $F(x)$? The chain rule
# through many blocks is a product of their Jacobians. With skips each factor is, up to the last
# ReLU, $I+\partial F/\partial x$, so the product contains a path on which nothing is multiplied;
# without them it holds nothing but the product of the $\partial F/\partial x$.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $m$, blocks a stage; $d=6m+2$, layers with weights | `blocks`; `depth` | integers | $\ge1$ |
# | $\theta$, all weights; $\delta$, a direction | `theta`; `direction` | flat vectors | |
# | $\theta_f,\delta_f$, their parts in filter $f$ (not a branch) | | vectors | |
# | $\lambda$, length of a step along $\delta$ | `step` | scalar | filter norms |
# | $E$, mean square of the logits | | scalar | $\ge0$ |
# | $U$, number of workers; $N$, pictures of a batch | `workers`; `len(X)` | integers | $\ge1$ |
# | $J_n$, loss of picture $n$ | `loss` is a mean of them | scalar | nats |
# | $G_i$, gradient of worker $i$ | an entry of `shares` | as $\theta$ | loss per weight |
#
# ## Build it: plain and residual networks of any depth
#
# Rows: 80 plain networks of 20 and 56 layers; 66 and 67, which the lecture calls VGG-56 and
# VGG-110: plain networks of Li et al. (2018), who take the shortcuts out of ResNets and call the
# rest "VGG-like". Shortcuts without weights (`"pad"`) give both kinds the same parameters, so that
# nothing but the skip differs. **Predict.** The form has 16, 32 and 64 channels. Has it, at 56
# layers, more parameters than LeNet-5? Than AlexNet?


# %%
def degradation_net(depth, *, skip, channels=16, in_channels=3, stem=None):
    """Return the network of He et al. for small pictures, with or without skips."""
    blocks, left = divmod(depth - 2, 6)
    if left or blocks < 1:
        raise ValueError(f"depth is {depth}; it must be 6 m + 2 for an m from 1")
    stem = stem or small_stem(channels, in_channels)
    shape = {"channels": channels, "num_classes": 10, "skip": skip, "shortcut": "pad"}
    return ResNet(BasicBlock, (blocks,) * 3, stem, **shape)


DEGRADATION_ROWS = {20: 80, 56: 66, 110: 67}  # depth: line of coverage.csv
with torch.device("meta"):
    deep_plain = {depth: degradation_net(depth, skip=False) for depth in DEGRADATION_ROWS}
deep_layers = {d: counting.count_layers(net, (3, 32, 32)) for d, net in deep_plain.items()}
for depth, layers in deep_layers.items():
    counted, work = total(layers, "parameters"), total(layers, "multiply_adds")
    print(f"plain-{depth:<3d} {counted:9,d} parameters, {work / 1e6:6.1f} M multiply-adds")

# %% [markdown]
# More than LeNet-5, far fewer than AlexNet: depth is not size. Global pooling removed the large
# matrices, and narrow layers are cheap.
#
# ## Check it: plain and residual networks of any depth
#
# The counts against a closed form, at the paper's width and, for both kinds, at another; and
# against the paper's table 6 (in millions). With $w$ channels in stage 1, the three stages hold
# $2m+(8m-2)+(32m-8)$ kernels of $9w^2$ weights (the first convolution of a later stage has half the
# inputs), and each of the $2m(1+2+4)w+w$ channels has a gain and a shift.

# %%
PAPER_MILLIONS = {20: (0.27, 2), 56: (0.85, 2), 110: (1.7, 1)}  # He et al. (2016); digits printed


def closed_form(depth, width, in_channels):
    """Return the parameters of the plain network: kernels, batch norms, linear layer."""
    m = (depth - 2) // 6
    kernels = 9 * width * in_channels + 9 * width**2 * (42 * m - 10)
    return kernels + 2 * width * (14 * m + 1) + (4 * width + 1) * 10


for depth, row in DEGRADATION_ROWS.items():
    counted = total(deep_layers[depth], "parameters")
    weighted = sum(layer.multiply_adds > 0 for layer in deep_layers[depth])
    millions, digits = PAPER_MILLIONS[depth]
    with torch.device("meta"):
        twins = [degradation_net(depth, skip=s, channels=5, in_channels=2) for s in (False, True)]
    sizes = [counted, *(sum(p.numel() for p in twin.parameters()) for twin in twins)]
    expected = [closed_form(depth, 16, 3), *[closed_form(depth, 5, 2)] * 2]
    ledger.check_equal(row, f"plain-{depth}: layers with weights", weighted, depth)
    ledger.check_equal(row, f"plain-{depth}, twins: parameters", sizes, expected)
    ledger.check_equal(row, f"plain-{depth}: table 6", round(counted / 1e6, digits), millions)

# %% [markdown]
# The forward pass against a function that knows nothing of modules: it takes the weights one after
# the other and counts for itself where a stage begins. Width 3, odd maps, float64, batch norm with
# drawn gains, training mode.


# %%
def plain_by_functions(model, x, *, skip=False):
    """Return the logits of a network from its weights in order, by functional calls."""
    weights = iter([p.detach() for p in model.parameters()])

    def unit(x, stride):
        x = F.conv2d(x, next(weights), stride=stride, padding=1)
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), correction=0, keepdim=True)
        gain, shift = (next(weights)[:, None, None] for _ in range(2))
        return (x - mean) / (var + 1e-5).sqrt() * gain + shift

    x = unit(x, 1).relu()
    blocks = (sum(p.ndim == 4 for p in model.parameters()) - 1) // 2
    for block in range(blocks):
        stride = 2 if block in (blocks // 3, 2 * blocks // 3) else 1
        inner = unit(unit(x, stride).relu(), 1)
        kept = x[:, :, ::stride, ::stride]
        kept = torch.cat([kept, torch.zeros_like(kept)], dim=1) if stride == 2 else kept
        x = (inner + kept if skip else inner).relu()
    return F.linear(x.mean((2, 3)), next(weights), next(weights))


# %%
def drawn_net(depth, *, skip=False):
    """Return a float64 network of width 3 in which every weight, gain and bias is drawn."""
    model = degradation_net(depth, skip=skip, channels=3).double()
    generator = torch.Generator().manual_seed(depth)
    for parameter in draw_weights(model, generator=generator).parameters():
        if parameter.ndim == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


x_drawn = torch.randn(2, 3, 13, 9, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
for depth, row in DEGRADATION_ROWS.items():
    for skip, name, line in ((False, "plain", row), (True, "residual", 73)):
        model = drawn_net(depth, skip=skip)
        found = model(x_drawn), plain_by_functions(model, x_drawn, skip=skip)
        error = 1e-6 if (depth, skip) == (110, False) else 1e-9
        ledger.check_close(line, f"{name}-{depth} = by functions", *found, tolerance=error)

# %% [markdown]
# Read the errors: both sides of each line differ in rounding alone. The residual networks keep that
# at the last digit; the plain ones magnify it with depth, and plain-110 by so much that its
# tolerance had to be wider. We shall meet this sensitivity again.
#
# Two premises remain. A residual network whose skips are taken out is the plain network with the
# same weights. And the good weights that training misses exist: plain-20, and 36 layers that hand
# on their input, are a plain-56 (statistics of batch norm kept).

# %%
without = degradation_net(20, skip=False, channels=3).double()
with_skips = drawn_net(20, skip=True)
without.load_state_dict(with_skips.state_dict())
with ledger.refuses(80, "residual-20 as it is = plain-20 with its weights"):
    ledger.check_close(80, "skips in place", with_skips(x_drawn), without(x_drawn))
for block in with_skips.blocks:
    block.shortcut = None
ledger.check_close(80, "residual-20, skips out = plain-20", with_skips(x_drawn), without(x_drawn))

deep = degradation_net(56, skip=False, channels=3).double()
for layer in deep.blocks.modules():
    if isinstance(layer, nn.Conv2d):
        nn.init.dirac_(layer.weight)  # hand on
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.constant_(layer.weight, (1 + layer.eps) ** 0.5)
deep.stem, deep.head = without.stem, without.head
for place, block in enumerate(without.blocks):
    deep.blocks[9 * (place // 3) + place % 3] = block
found = deep.eval()(x_drawn), without.eval()(x_drawn)
ledger.check_close(80, "a plain-56 that computes plain-20", *found)

# %% [markdown]
# ## Try it: twenty layers and fifty-six
#
# The paper trained for 64,000 steps; we take 32, on 1,024 Fashion-MNIST pictures averaged to
# 14 x 14, with 4 channels and a first convolution of stride 2. Both depths, with and without skips,
# three seeds each, SGD with momentum at one rate. After so few steps the running averages of batch
# norm lag behind the weights, so a pass over 256 training pictures sets them before the test.
# **Predict** the order of the four.

# %%
X_DEEP, X_DEEP_TEST = (
    F.avg_pool2d(torch.from_numpy(X)[:, None], 2)
    for X in (fashion.X_train[:1024], fashion.X_test[:1000])
)
Y_DEEP, Y_DEEP_TEST = (torch.from_numpy(y) for y in (fashion.y_train[:1024], fashion.y_test[:1000]))


def thin_net(depth, skip, seed):
    """Return a network of 4, 8 and 16 channels whose first convolution has stride 2."""
    stem = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
    model = degradation_net(depth, skip=skip, channels=4, stem=stem)
    return draw_weights(model, generator=torch.Generator().manual_seed(seed))


def settle_statistics(model, X):
    """Set the statistics of every batch norm to those of X; return the model."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None  # plain average, so that one pass sets them
    with torch.no_grad():
        model.train()(X)
    return model.eval()


# %%
DEGRADATION_SEEDS = range(3)
NET_KINDS = {"plain-20": (20, False), "plain-56": (56, False)}  # name: depth, skip
NET_KINDS |= {"residual-20": (20, True), "residual-56": (56, True)}


def train_thin(kind, seed):
    """Return the trained network, the loss of each step, and the test accuracy."""
    model = thin_net(*NET_KINDS[kind], seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    options = {"num_epochs": 2, "batch_size": 64, "progress": False}
    options["generator"] = torch.Generator().manual_seed(100 + seed)
    history = fit(model, optimizer, F.cross_entropy, (X_DEEP, Y_DEEP), **options)
    test = X_DEEP_TEST, Y_DEEP_TEST
    settle_statistics(model, X_DEEP[:256])
    _, found = evaluate(model, F.cross_entropy, *test, {"accuracy": accuracy})
    return model, np.array(history.step_loss), found["accuracy"]


degradation_runs = {kind: [train_thin(kind, s) for s in DEGRADATION_SEEDS] for kind in NET_KINDS}
final_loss = {k: np.array([run[1][-8:].mean() for run in r]) for k, r in degradation_runs.items()}
tested = {kind: np.array([run[2] for run in runs]) for kind, runs in degradation_runs.items()}
for kind, losses in final_loss.items():
    print(f"{kind:12s} loss of the last 8 steps", losses.round(2), " test accuracy", tested[kind])

# %%
for row, bad, good, loss_gap, test_gap in (
    (80, "plain-56", "plain-20", 0.2, 0.1),
    (73, "plain-56", "residual-56", 0.4, 0.2),
):
    gap = (final_loss[bad] - final_loss[good]).mean()
    ledger.check_at_least(row, f"mean training loss: {bad} - {good}", gap, loss_gap)
    gap = (tested[good] - tested[bad]).mean()
    ledger.check_at_least(row, f"mean test accuracy: {good} - {bad}", gap, test_gap)
gap = (final_loss["plain-20"] - final_loss["residual-56"]).mean()
ledger.check_at_least(73, "mean training loss: plain-20 - residual-56", gap, 0.15)

# %% [markdown]
# The lecture's claim shows within 32 steps: without skips the deeper network is worse in
# training *and* in testing, so it is not overfitting; nor did the lower rates at which the paper
# went on close its gap. With skips the deeper one is still behind, but by about half of the plain
# networks' gap. That 56 layers with skips become *better* than 20 needs the paper's patience, not
# 32 steps.
#
# Batch norm stands after every convolution, so in a plain network activations neither vanish nor
# explode, and over skips they grow slowly, block by block. **Predict** how the gradient fares on
# its way from the loss to the first block.

# %%
gradient_paths = {}  # kind: (seeds, blocks), norm of the gradient at each block's output
for kind, (depth, skip) in NET_KINDS.items():
    gradient_paths[kind] = np.empty((len(DEGRADATION_SEEDS), (depth - 2) // 2))
    for seed in DEGRADATION_SEEDS:
        fresh = thin_net(depth, skip, seed)
        with probes.record(fresh, BasicBlock) as seen:
            F.cross_entropy(fresh(X_DEEP[:64]), Y_DEEP[:64]).backward()
        # The gradients were seen from the last block to the first.
        norms = [seen.gradients[name].norm().item() for name in seen.activations]
        gradient_paths[kind][seed] = norms
growth = {kind: paths[:, 0] / paths[:, -1] for kind, paths in gradient_paths.items()}
for kind, factors in growth.items():
    print(f"{kind:12s} first block / last block", factors.round(1))
layer_factor = growth["plain-56"] ** (1 / 52)  # 26 blocks of two layers lie between
print("plain-56, a layer:", layer_factor.round(3))
ratio = growth["plain-56"].min() / growth["residual-56"].max()
ledger.check_at_least(80, "gradient growth: plain-56, least / residual-56, most", ratio, 10)

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.5))
for mark, (kind, runs) in zip(MARKERS, degradation_runs.items(), strict=False):
    losses = np.array([np.convolve(run[1], np.ones(8) / 8, mode="valid") for run in runs])
    steps = range(8, 8 + losses.shape[1])
    (drawn,) = left.plot(steps, losses.mean(axis=0))
    band = losses.min(axis=0), losses.max(axis=0)
    left.fill_between(steps, *band, alpha=0.15, color=drawn.get_color())
    paths = gradient_paths[kind] / gradient_paths[kind][:, -1:]
    places = np.arange(1, paths.shape[1] + 1) / paths.shape[1]
    right.semilogy(places, paths.mean(axis=0), marker=mark, markersize=4, label=kind)
left.set(xlabel="step", ylabel="training loss (nats)")
right.set(xlabel="block, as part of all blocks", ylabel="relative gradient (log)")
right.legend(fontsize=9)
show(
    fig,
    alt="Left: training loss; plain-56 stays near the start, plain-20 falls, both residual "
    "networks end lower. Right: the gradient of plain-56 grows towards the first block by three "
    "orders of magnitude, that of the others by about one at most.",
)

# %% [markdown]
# *Figure 5. Left: training loss, mean of 8 neighbouring steps; line the mean, band the range of
# three seeds; colours as on the right. Right: norm of the gradient with respect to each block's
# output before training, divided by that of the last block; mean of three seeds.*
#
# In plain-56 the gradient explodes by a factor a layer, small and compounded. Yang et al. (2019)
# derive one for wide, fully connected ReLU networks with batch norm,
# $\sqrt{\pi/(\pi-1)}\approx1.21$; our thin layers stay below it. With skips the growth is mild:
# the gradient also travels along $I$. Is this the cause of the degradation? It is a candidate, as
# one learning rate has to serve the first block and the last; we have not tested it. He et al.
# (2016) report gradients of healthy norms in their plain networks and leave the cause open.
#
# ## Try it: our own scatter
#
# Seven ideas of this notebook at a size that trains in a fraction of a second: for all seven Adam
# with one cycle and 16 steps, on 512 of the pictures above, batch norm in all. A table is enough,
# thanks to the interpreter from the Inception section; a dense layer is a fork of "nothing" and "8
# channels". **Predict** whether the order of the large scatter returns.

# %%
halve = partial(nn.MaxPool2d, 2)
TINY_FORK = [[(8, 1)], [(8, 1), (8, 3)], [(8, 1), (8, 5)], [max_same, (8, 1)]]
TINY_DENSE = [[], [(8, 3)]]
TINY_TABLES = {  # steps, then the width of the hidden linear layer (0: global average pooling)
    "LeNet": ([(6, 5), halve, (16, 5), halve], 120),
    "AlexNet": ([(16, 5, 2), (24, 3), (24, 3), halve], 128),
    "VGG": ([(8, 3), (8, 3), halve, (16, 3), (16, 3), halve], 128),
    "NIN": ([(16, 5, 2), (16, 1), (16, 1), (24, 3), (24, 1), (24, 1)], 0),
    "Inception": ([(16, 3, 2), TINY_FORK, halve, TINY_FORK], 0),
    "DenseNet": ([(16, 3, 2), *[TINY_DENSE] * 2, (16, 1), halve, *[TINY_DENSE] * 2], 0),
}


def tiny_net(name):
    """Return a tiny network of the named kind for pictures of 14 x 14."""
    if name in ("ResNet", "no skips"):
        stem = nn.Sequential(nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        return degradation_net(8, skip=name == "ResNet", channels=8, stem=stem)
    steps, hidden = TINY_TABLES[name]
    body, channels = inception_chain(1, steps, norm=True)
    if not hidden:
        return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    head = nn.Linear(channels * 9, hidden), nn.ReLU(), nn.Linear(hidden, 10)
    return nn.Sequential(body, nn.Flatten(), *head)


# %%
def tiny_score(name, seed):
    """Return the test accuracy of a tiny network after two epochs on 512 pictures."""
    model = draw_weights(tiny_net(name), generator=torch.Generator().manual_seed(seed))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=16)
    options = {"num_epochs": 2, "batch_size": 64, "progress": False, "scheduler": scheduler}
    options["generator"] = torch.Generator().manual_seed(100 + seed)
    fit(model, optimizer, F.cross_entropy, (X_DEEP[:512], Y_DEEP[:512]), **options)
    settle_statistics(model, X_DEEP[:256])
    test = (X_DEEP_TEST, Y_DEEP_TEST)
    return evaluate(model, F.cross_entropy, *test, {"accuracy": accuracy})[1]["accuracy"]


tiny_names = [*TINY_TABLES, "ResNet"]
tiny_scores = {n: np.array([tiny_score(n, seed) for seed in range(3)]) for n in tiny_names}
for name, scores in tiny_scores.items():
    size = sum(parameter.numel() for parameter in tiny_net(name).parameters())
    spread = f"{scores.mean():.3f} in [{scores.min():.3f}, {scores.max():.3f}]"
    print(f"{name:10s} {size:6,d} parameters, accuracy {spread}")
without_skips = np.mean([tiny_score("no skips", seed) for seed in range(3)])
print(f"ResNet without its skips: {without_skips:.3f}")
apart = abs(tiny_scores["ResNet"].mean() - without_skips)
ledger.check_at_most(73, "tiny ResNet, mean accuracy: with and without skips, apart", apart, 0.08)
with_hidden, pooled = (
    [tiny_scores[n] for n, (_, width) in TINY_TABLES.items() if (width > 0) == kept]
    for kept in (True, False)
)
gap = np.mean(with_hidden) - np.mean(pooled)
ledger.check_at_least(70, "mean accuracy: hidden linear layer - other tables", gap, 0.05)
gap = tiny_scores["ResNet"].min() - np.max(pooled)
ledger.check_at_least(73, "accuracy: tiny ResNet, worst - others with pooling, best", gap, 0.01)

# %%
fig, ax = plt.subplots(figsize=(5.4, 2.6))
for name, scores in tiny_scores.items():
    parameters, work = cost_of(tiny_net(name), (1, 14, 14))
    middle = scores.mean()
    spread = [[middle - scores.min()], [scores.max() - middle]]
    ax.errorbar(work / 1e6, middle, yerr=spread, color="0.4", linewidth=1, zorder=1)
    has_hidden = TINY_TABLES.get(name, (0, 0))[1] > 0
    colour = PALETTE["vermilion" if has_hidden else "blue"]
    ax.scatter(work / 1e6, middle, s=parameters / 150, color=colour, alpha=0.6, zorder=2)
    place = (7, -13) if name == "LeNet" else (7, 7)
    ax.annotate(name, (work / 1e6, middle), place, textcoords="offset points", fontsize=9)
ax.set(xlabel="multiply-adds (millions)", ylabel="test accuracy", xlim=(0.1, 0.55))
show(
    fig,
    alt="Seven discs, accuracy against multiply-adds: LeNet and ResNet high at the left, VGG and "
    "AlexNet about as high further right, Inception, DenseNet and NIN lower.",
)

# %% [markdown]
# *Figure 6. Seven tiny networks after 16 steps on 512 pictures: test accuracy (mean and range of
# three seeds) against work; area of a disc: parameters, from 6,010 (NIN) to 38,234 (AlexNet).
# Vermilion: with a hidden linear layer; blue: global average pooling.*
#
# The order of the large scatter does not return, and it should not be expected to: 16 steps measure
# who learns *fast*, and the four networks with 19,000 parameters or more do, not the three with
# less than 7,000. A hidden linear layer is one way to be large, but ResNet does without; nor does
# it owe its place to its skips, since without them it is about as good: at 8 layers there is
# nothing to cure. Nothing here tells which would be best after a hundred epochs on a million
# pictures.
#
# ## The idea in symbols: how far a step reaches
#
# Notebook 04 drew planes of filter-normalised directions through networks of up to 12 layers. What
# happens at 56 and 110? Let $\delta$ have in each filter $f$ a random direction of the filter's
# norm, and move by $\lambda$. On average $\delta_f$ is orthogonal to $\theta_f$, so the square of
# $\theta_f+\lambda\delta_f$ is $1+\lambda^2$ times that of $\theta_f$. If the batch norms keep the
# statistics they had, a plain layer hands this factor on, and the next multiplies it:
#
# $$\text{plain: }\frac{E(\lambda)}{E(0)}\approx(1+\lambda^2)^d .$$
#
# This is exponential in depth. With skips only the term that a block adds is magnified, while what
# arrives over the skip is kept, and the growth is slower. The estimate ignores ReLU, the means that
# the norms subtract, and the stages.
#
# ## Build it: a ray through the loss
#
# Which statistics should batch norm use while the weights move? The estimate *keeps* those of the
# weights at the centre, in evaluation mode. The other choice is *live*: recompute them from the
# pictures at every point, as training does.

# %%
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from course_utils import landscape


def losses_along(model, direction, steps, X, y, *, live=False):
    """Return the loss at theta + step * direction for each step, statistics kept or live."""
    theta = parameters_to_vector(model.parameters()).detach()
    moved, losses = copy.deepcopy(model).train(live), []
    for step in steps:
        vector_to_parameters(theta + step * direction, moved.parameters())
        with torch.no_grad():
            losses.append(F.cross_entropy(moved(X), y).item())
    return np.array(losses)


# %% [markdown]
# ## Check it: a ray through the loss
#
# Rows 66 and 67 at their full depth, float64: with kept statistics the ray is the middle row of the
# plane of `landscape.loss_surface` (stored in float32); with live ones the function from above,
# which takes the statistics from the batch, gives the same at every point.

# %%
norm = settle_statistics(nn.Sequential(nn.BatchNorm2d(3).double()), x_drawn)[0]
expected = [x_drawn.mean((0, 2, 3)), x_drawn.var((0, 2, 3))]
ledger.check_close(66, "settled statistics", [norm.running_mean, norm.running_var], expected)
y_drawn, ray_steps = torch.tensor([3, 8]), (-1.0, -0.5, 0.0, 0.5, 1.0)
for depth, row in ((56, 66), (110, 67)):
    model = settle_statistics(drawn_net(depth), x_drawn)
    theta, by_functions = parameters_to_vector(model.parameters()).detach(), []
    plane = landscape.random_directions(model, generator=torch.Generator().manual_seed(1))
    surface = landscape.loss_surface(
        model, F.cross_entropy, x_drawn, y_drawn, directions=plane, resolution=5
    )
    ray = model, plane[0], ray_steps, x_drawn, y_drawn
    kept, live = losses_along(*ray), losses_along(*ray, live=True)
    name = f"plain-{depth}: kept, the middle row of the plane"
    ledger.check_close(row, name, kept, surface.loss[2], tolerance=1e-4)
    for step in ray_steps:
        vector_to_parameters(theta + step * plane[0], model.parameters())
        by_functions.append(F.cross_entropy(plain_by_functions(model, x_drawn), y_drawn))
    ledger.check_close(row, f"plain-{depth}: live", live, by_functions, tolerance=1e-6)

# %% [markdown]
# ## Try it: landscapes of 56 and 110 layers
#
# First before any training, so that nothing but the skips differs: three seeds, statistics of the
# sample, then one step of $\lambda=1$. The loss of wrong logits grows as they do, and they grow
# as $\sqrt E$. **Predict** from the estimate by how many powers of ten in plain-110.

# %%
LANDSCAPE_SAMPLE = X_DEEP[:64], Y_DEEP[:64]


def random_ray(model, seed, *, live=False):
    """Return the losses of the sample at -1, 0 and 1 along a random direction."""
    draw = torch.Generator().manual_seed(200 + seed)
    direction = landscape.random_directions(model, generator=draw, number=1)[0]
    return losses_along(model, direction, (-1.0, 0.0, 1.0), *LANDSCAPE_SAMPLE, live=live)


def powers_of_ten(models):
    """Return for each the growth of log10(loss) over distance 1, mean of both sides."""
    rays = np.log10([random_ray(model, seed) for seed, model in enumerate(models)])
    return (rays[:, 0] + rays[:, 2]) / 2 - rays[:, 1]


fresh_growth = {}  # (depth, skip): (seeds,)
for depth in (20, 56, 110):
    for skip in (False, True):
        nets = [settle_statistics(thin_net(depth, skip, seed), X_DEEP[:64]) for seed in range(3)]
        fresh_growth[depth, skip] = powers_of_ten(nets)
    plain, residual = (fresh_growth[depth, skip].round(1) for skip in (False, True))
    print(f"depth {depth}: plain {plain}, estimate {depth / 2 * np.log10(2):.1f}; skips {residual}")
for row, above, depth, least in ((66, 20, 56, 3), (67, 56, 110, 6)):
    gap = fresh_growth[depth, False].min() - fresh_growth[depth, True].max()
    ledger.check_at_least(row, f"depth {depth}: powers of ten, plain - residual", gap, least)
    slope = fresh_growth[depth, False].mean() - fresh_growth[above, False].mean()
    per_layer = 10 ** (slope / (depth - above))
    print(f"plain, from {above} to {depth} layers: a factor of {per_layer:.2f} a layer")

# %% [markdown]
# Exponential indeed: from 20 to 56 and from 56 to 110 layers about the same factor a layer, 1.5
# where the estimate has $\sqrt2$: over 110 layers 19 to 20 powers of ten instead of 16.6. So part
# of what the famous pictures show is there before training. Now the trained networks of Figure 5,
# each along a random ray, on both kinds of statistics. **Predict** which of the two shows plain-56
# as the steepest.

# %%
kept_growth, live_rays = {}, {}  # kind: (seeds,) and (seeds, 3)
for kind, runs in degradation_runs.items():
    nets = [settle_statistics(model, LANDSCAPE_SAMPLE[0]) for model, _, _ in runs]
    kept_growth[kind] = powers_of_ten(nets)
    rays = [random_ray(net, seed, live=True) for seed, net in enumerate(nets)]
    live_rays[kind] = np.array(rays)
    middle = np.median(rays, axis=0).round(1)
    print(f"{kind:12s} kept: powers of ten {kept_growth[kind].round(1)}; live: losses {middle}")
gap = kept_growth["plain-56"].mean() - kept_growth["residual-56"].mean()
ledger.check_at_least(66, "kept: mean powers of ten, plain-56 - residual-56", gap, 1)
at_20 = abs(kept_growth["plain-20"].mean() - kept_growth["residual-20"].mean())
ledger.check_at_most(80, "kept: mean powers of ten, plain-20 and residual-20", at_20, 1)
flat = np.ptp(live_rays["plain-56"], axis=1).max()
steep = np.ptp(live_rays["residual-56"], axis=1).min()
ledger.check_at_least(66, "live: rise of residual-56, least / plain-56, most", steep / flat, 2)

# %%
fig, axs = plt.subplots(2, 3, figsize=(5.6, 3.6), sharex=True, sharey=True)
for place, ax in enumerate(axs.T.flat):
    skip, depth = place % 2 == 1, (110, 56, 56)[place // 2]
    kind = f"{'residual' if skip else 'plain'}-{depth}"
    model = degradation_runs[kind][0][0] if place > 3 else thin_net(depth, skip, 0)
    settle_statistics(model, LANDSCAPE_SAMPLE[0])
    plane = landscape.random_directions(model, generator=torch.Generator().manual_seed(300))
    grid = landscape.loss_surface(
        model, F.cross_entropy, X_DEEP[:16], Y_DEEP[:16],
        directions=plane, resolution=7, chunk_size=49,
    )  # fmt: skip
    levels = np.arange(0, 12.1, 1)
    drawn = ax.contourf(grid.alphas, grid.betas, np.log10(grid.loss), levels, extend="both")
    ax.plot(0, 0, "w+", markersize=8)
    ax.set_title(kind + (", trained" if place > 3 else ", fresh"), fontsize=10)
fig.supxlabel("first direction (filter norms)", fontsize=10)
fig.supylabel("second direction (filter norms)", fontsize=10)
fig.colorbar(drawn, ax=axs, label="loss (nats, log10)", shrink=0.9)
show(
    fig,
    alt="Six maps on one colour scale. Plain-110 leaves the scale at half the distance, plain-56 "
    "rises by many powers of ten, fewer when trained; the residual networks stay much lower.",
)

# %% [markdown]
# *Figure 7. Loss on a random filter-normalised plane, 7 x 7 points, statistics of the sample at the
# centre (+). Above without, below with skips. Fresh: before training; trained: the networks of
# Figure 5, seed 0.*
#
# On kept statistics plain-56 is the steepest; at 20 layers skips make no difference after training,
# and one power of ten or two before: the trouble comes with depth. But the other half of the table
# turns the picture round: on live statistics plain-56 is *flat*, near the loss of guessing, and
# residual-56 has the steeper walls. The maps speak of a network's sensitivity to its weights under
# frozen statistics as much as of valleys that trap an optimizer. What else remains mixed up: the
# two networks do not end at the same loss; a plane shows two directions of thousands; and a filter
# norm in every layer at once is a large step for 56 layers, as the estimate says. Li et al. trained
# theirs for hundreds of epochs, and saw rugged maps where we see steep ones; on seven points a side
# ruggedness could not be seen.
#
# ## Build it: the same lines on a GPU
#
# What a GPU needs is little: the weights and the pictures moved there, channels as the last axis in
# memory (`channels_last`, what its convolution kernels prefer), products in bfloat16 where that is
# safe (`autocast`; float16 would need a gradient scaler as well), and a compiler that fuses the
# small operations (`torch.compile`). One function serves both machines. ("float32" on a recent
# NVIDIA card means TF32 in its convolutions, which rounds the factors to 10 bits, unless one
# forbids it.)

# %%
import time

from course_utils.device import pick_device
from course_utils.training import minibatches


def train_fast(model, X, y, device, *, num_epochs, batch_size, seed, mixed=False, compiled=False):
    """Train in place with one cycle of SGD; return loss and seconds of each epoch."""
    model.to(device, memory_format=torch.channels_last).train()
    X, y = X.to(device), y.to(device)
    run = torch.compile(model) if compiled else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
    num_steps = num_epochs * -(-len(X) // batch_size)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=num_steps)
    generator, losses, seconds = torch.Generator().manual_seed(seed), [], []
    for _ in range(num_epochs):
        started, summed = time.perf_counter(), X.new_zeros(())
        for x, target in minibatches(X, y, batch_size, generator):
            with torch.autocast(device.type, torch.bfloat16, enabled=mixed):
                loss = F.cross_entropy(run(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            summed += len(x) * loss.detach()
        losses.append(summed.item() / len(X))  # item() waits for the device
        seconds.append(time.perf_counter() - started)
    return losses, seconds


# %%
from pathlib import Path

import course_utils

NOTEBOOKS = Path(course_utils.__file__).resolve().parents[1] / "notebooks"
FAST_VARIANTS = {"float32": {}, "bfloat16": {"mixed": True}}
COMPILED_VARIANTS = {"bfloat16, compiled": {"mixed": True, "compiled": True}}


def measure_variants(variants, train, test, device, *, depth, channels, **options):
    """Train a residual network in each variant; return what was measured, ready for JSON."""
    rows = {}
    for name, switches in variants.items():
        model = degradation_net(depth, skip=True, channels=channels, in_channels=1)
        draw_weights(model, generator=torch.Generator().manual_seed(0))
        losses, seconds = train_fast(model, *train, device, seed=1, **options, **switches)
        scores = [
            evaluate(model, F.cross_entropy, x.to(device), y.to(device), {"accuracy": accuracy})[1]
            for x, y in zip(*(part.split(1000) for part in test), strict=True)
        ]
        rows[name] = {
            "test_accuracy": float(np.mean([score["accuracy"] for score in scores])),
            "train_loss": losses,
            "first_epoch_s": seconds[0],  # with compilation, where there is one
            "later_epoch_s": float(np.median(seconds[1:])),
        }
    return rows


# %% [markdown]
# ## Check it: the same lines on a GPU
#
# On the CPU, which knows bfloat16 too, at a small size. In float64 the losses must be those of the
# course's `fit`, which knows neither autocast nor channels_last; in bfloat16 they may differ, by
# little.


# %%
def small_residual():
    """Return a float64 residual-8 of width 5 for grey pictures."""
    model = degradation_net(8, skip=True, channels=5, in_channels=1)
    return draw_weights(model, generator=torch.Generator().manual_seed(5)).double()


small, short = (X_DEEP[:100], Y_DEEP[:100]), {"num_epochs": 2, "batch_size": 32}
small_double, cpu = (small[0].double(), small[1]), torch.device("cpu")
ours, _ = train_fast(small_residual(), *small_double, cpu, seed=1, **short)
model = small_residual()
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
short["scheduler"] = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=8)
shuffle = {"generator": torch.Generator().manual_seed(1), "progress": False}
history = fit(model, optimizer, F.cross_entropy, small_double, **shuffle, **short)
ledger.check_close(73, "train_fast = fit", ours, history.train_loss, kind="trajectory")
del short["scheduler"]
found = measure_variants(FAST_VARIANTS, small, small, cpu, depth=8, channels=5, **short)
apart = np.subtract(*(found[name]["train_loss"] for name in FAST_VARIANTS))
ledger.check_at_most(73, "bfloat16 against float32: losses apart by (nats)", abs(apart).max(), 0.1)
ledger.check_at_least(73, "and not the same, so bfloat16 was used", abs(apart).max(), 1e-6)

# %% [markdown]
# ## Try it: a ResNet on Fashion-MNIST, on a GPU
#
# Where CUDA is found, the next cell trains residual-20 with 64, 128 and 256 channels on all 60,000
# pictures in three variants and writes what it measured, with machine and date, to
# `measured/09_resnet_gpu.json`. Elsewhere it shows the stored measurement; where
# none was taken, the check above is all that this section shows.

# %% tags=["gpu"]
import datetime
import json

GPU_FILE = NOTEBOOKS / "measured" / "09_resnet_gpu.json"
gpu = pick_device()
if gpu.type == "cuda":
    full = [
        (torch.from_numpy(X)[:, None], torch.from_numpy(y))
        for X, y in ((fashion.X_train, fashion.y_train), (fashion.X_test, fashion.y_test))
    ]
    options = {"depth": 20, "channels": 64, "num_epochs": 5, "batch_size": 500}
    rows = measure_variants({**FAST_VARIANTS, **COMPILED_VARIANTS}, *full, gpu, **options)
    record = {"machine": torch.cuda.get_device_name(gpu), "torch": torch.__version__}
    record |= {"date": datetime.date.today().isoformat(), "settings": options, "rows": rows}
    draft = GPU_FILE.with_suffix(".tmp")
    draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    draft.replace(GPU_FILE)
if GPU_FILE.exists():
    record = json.loads(GPU_FILE.read_text(encoding="utf-8"))
    print(f"{record['machine']}, torch {record['torch']}, {record['date']}: {record['settings']}")
    for name, row in record["rows"].items():
        print(f"{name:20s} {row['later_epoch_s']:.2f} s an epoch, test {row['test_accuracy']:.4f}")
else:
    print("There is no CUDA device here, and no measurement has been stored yet.")

# %% [markdown]
# ## Build it: several processes, one step
#
# With $U$ GPUs, $U$ processes hold the same weights; each computes the gradient $G_i$ of its share
# of the batch, and an **all-reduce** hands everybody the mean. The loss is a mean over pictures, so
# for equal shares
#
# $$\frac1U\sum_iG_i=\frac1U\sum_i\frac UN\sum_{n\in\text{share }i}\nabla J_n
# =\frac1N\sum_n\nabla J_n .$$
#
# **Predict.** This needs each picture's loss to depend on that picture only. Which layer of a
# ResNet breaks it?


# %%
def flat_gradient(model, X, y):
    """Return the gradient of the mean loss as one vector."""
    loss = F.cross_entropy(model(X), y)
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, model.parameters())])


def mean_of_shares(model, X, y, workers):
    """Return the mean of the gradients that the workers compute on their shares."""
    shares = [flat_gradient(model, X[i::workers], y[i::workers]) for i in range(workers)]
    return torch.stack(shares).mean(dim=0)


# %% [markdown]
# ## Check it: several processes, one step
#
# First with the statistics of batch norm kept (evaluation mode): the mean is exact for equal shares
# and wrong for unequal ones. Then in training mode, where every worker normalises with the
# statistics of its own share.

# %%
model = degradation_net(8, skip=True, channels=3, in_channels=1).double()
draw_weights(model, generator=torch.Generator().manual_seed(4)).eval()
x_joint, y_joint = X_DEEP[:12].double(), Y_DEEP[:12]
joint = flat_gradient(model, x_joint, y_joint)
for workers in (2, 3, 4):
    averaged = mean_of_shares(model, x_joint, y_joint, workers)
    name = f"mean over {workers} workers = joint batch"
    ledger.check_close(73, name, averaged, joint, kind="gradient", tolerance=1e-12)
with ledger.refuses(73, "five workers for twelve pictures"):
    averaged = mean_of_shares(model, x_joint, y_joint, 5)
    ledger.check_close(73, "mean over 5 workers", averaged, joint, tolerance=1e-6)
with ledger.refuses(73, "batch norm on each worker's own statistics"):
    averaged = mean_of_shares(model.train(), x_joint, y_joint, 2)
    expected = flat_gradient(model, x_joint, y_joint)
    ledger.check_close(73, "batch norm in training mode", averaged, expected, tolerance=1e-6)

# %% [markdown]
# So data-parallel training with batch norm differs from one large batch: each worker normalises a
# smaller one. `nn.SyncBatchNorm.convert_sync_batchnorm(model)` gathers the statistics of all
# workers, at the price of one more message a layer forward and one backward; group norm (notebook
# 06) has no such problem. The script below therefore uses a network without batch norm:

# %%
script = (NOTEBOOKS / "scripts" / "train_ddp.py").read_text(encoding="utf-8")
print(script[script.index("def train(") : script.index("def main(")].rstrip())

# %% [markdown]
# Run it from the root of the repository, with two processes on a CPU or one for each GPU:
# `torchrun --standalone --nproc-per-node=2 notebooks/scripts/train_ddp.py --out weights.pt`.
# `torchrun` starts the processes and tells each its `RANK` and the `WORLD_SIZE`; the processes talk
# through *gloo* on CPUs and *nccl* on GPUs. Every process draws the same order from the same seed
# and takes every `world_size`-th picture of a batch, so within a step no picture is seen twice. The
# course's tests run it with two processes and compare the weights with those of one.

# %% [markdown]
# ## Why: does the network see as a brain does?
#
# One idea in the networks above is older than they are. Cells of the **retina** (视网膜) compare
# a spot with its surroundings; the lateral geniculate nucleus (LGN) hands their signals on to the
# primary **visual cortex** (视觉皮层), V1, which keeps the map of the retina. There Hubel and
# Wiesel (1962) found, in cats, *simple cells*, which answer to an edge of one orientation at one
# place, and *complex cells*, which answer to the same edge anywhere in a small region. Fukushima's
# neocognitron (1980) stacked such layers, LeCun et al. (1989) trained them by gradients. Behind V1
# the way forks: *dorsal*, to the middle temporal area (MT) and the parietal lobe; *ventral*, to
# the inferior temporal cortex (IT).

# %%
fig, ax = plt.subplots(figsize=(5.6, 2.4))
pathways = [(0, 2, "black", ("retina", "LGN", "V1"))]
pathways += [(3, 2.8, "vermilion", ("V2", "MT (V5)", "parietal"))]
pathways += [(3, 1.3, "blue", ("V2", "V4", "IT"))]
for left, height, ink, areas in pathways:
    frame = {"boxstyle": "round", "facecolor": "white", "edgecolor": PALETTE[ink]}
    for step, area in enumerate(areas, start=left):
        ax.text(step, height, area, ha="center", va="center", fontsize=9.5, bbox=frame)
        arrow = {"arrowstyle": "->", "shrinkA": 22, "shrinkB": 22}
        if step > 0:
            tail = (step - 1, height if step != 3 else 2)
            ax.annotate("", xy=(step, height), xytext=tail, arrowprops=arrow)
for spot, feature in enumerate(("edges", "shapes", "objects", "faces"), start=2):
    circle = {"markersize": (3, 8, 14, 22)[spot - 2], "markerfacecolor": "none"}
    ax.plot(spot, 0.45, "o", color=PALETTE["blue"], **circle)
    ax.text(spot, -0.3, feature, ha="center", fontsize=9.5)
for line, remark in ((0.45, "receptive field"), (-0.3, "answers to")):
    ax.text(0, line, remark, va="baseline", fontsize=9.5)
ax.text(5.5, 3.3, "dorsal: where, how", ha="right", color=PALETTE["vermilion"], fontsize=10)
ax.text(5.5, 1.8, "ventral: what, who", ha="right", color=PALETTE["blue"], fontsize=10)
ax.set(xlim=(-0.5, 5.7), ylim=(-0.4, 3.6))
ax.axis("off")
show(
    fig,
    alt="Boxes from retina over LGN to V1, where the way forks: V2, MT and parietal cortex above, "
    "V2, V4 and IT below. Under V1, V2, V4 and IT stand circles of growing size.",
)

# %% [markdown]
# *Figure 8. The two pathways, and what the ventral areas answer to, in the lecture's words.
# Both lead through V2. Receptive fields grow along the ventral way; the circles are not to scale.*
#
# Likeness in words proves little. Two questions can be computed: do first layers learn the
# filters of V1? And do two systems with different units sort the same pictures alike?
#
# ## The idea in symbols: simple and complex cells
#
# A **Gabor function** (Gabor 函数) is a wave under a bell. Pixels $(u,v)$ count from the middle of
# the filter; the bell's centre is $(u_0,v_0)$, and the wave is turned by $\vartheta$. With
# $a=(u-u_0)\cos\vartheta+(v-v_0)\sin\vartheta$ across its stripes and
# $b=(v-v_0)\cos\vartheta-(u-u_0)\sin\vartheta$ along them,
#
# $$g_\varphi(u,v)=e^{-a^2/2s_a^2-b^2/2s_b^2}\cos(\omega a+\varphi),\qquad
# \text{simple: }\max\Big(0,\sum_{u,v}g_0x\Big),\qquad
# \text{complex: }\Big(\sum_{u,v} g_0x\Big)^2+\Big(\sum_{u,v} g_{-\pi/2}\,x\Big)^2 .$$
#
# This complex cell is the **energy model** (Adelson and Bergen, 1985): the cosine $g_0$ and the
# sine $g_{-\pi/2}$ stand a quarter of a wave apart.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $g_\varphi$; $x$, a piece of a picture | `gabor_pair` | as the filter | dimensionless |
# | $u,v$; $u_0,v_0$: pixel; centre | `u`, `v`; `u0`, `v0` | grid; scalars | pixels |
# | $\vartheta$; $\omega$, orientation; wave number | `angle`; `omega` | scalars | rad; rad/pixel |
# | $s_a,s_b$, widths of the bell | `width_a`, `width_b` | scalars | pixels |
# | $\varphi$; $\psi$, phase of filter; of grating | 0 and $-\pi/2$; `v1_phases` | scalars | rad |
# | $q=e^{-2\omega^2s_a^2}$ | `q` | scalar | $(0,1)$ |
# | $N$, pictures; $\mathbf x_i$, activations for picture $i$ | `patterns` | $(N,\cdot)$ | |
# | $D_{ij}$, dissimilarity | `rdm` | $(N,N)$ or its $N(N-1)/2$ pairs | $[0,2]$ |
# | $n_w,n_b,n$: entries within, between, all | `is_between`, `n` | integers | |
# | $R_b$, sum of ranks of the entries between | in `class_tau` | scalar | |
# | $\rho$, Spearman; $\tau_A,\tau_B$, Kendall | `spearman`; `tau_a` | scalars | $[-1,1]$ |
#
# The letters $a,b,D,g,n,s,v,x$ return with a new meaning; row 86 is all of this, up to RSA.
#
# ## Build it: Gabor functions
#
# `gabor_pair` takes any number of parameter rows at once; the fit below needs that.


# %%
def gabor_pair(params, size):
    """Return the cosine and the sine Gabor, (..., size, size), for rows of six parameters."""
    grid = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    v, u = torch.meshgrid(grid, grid, indexing="ij")
    u0, v0, angle, omega, width_a, width_b = (p[..., None, None] for p in params.unbind(dim=-1))
    a = (u - u0) * angle.cos() + (v - v0) * angle.sin()
    b = (v - v0) * angle.cos() - (u - u0) * angle.sin()
    bell = torch.exp(-0.5 * (a / width_a) ** 2 - 0.5 * (b / width_b) ** 2)
    return bell * torch.cos(omega * a), bell * torch.sin(omega * a)


# %% [markdown]
# ## Check it: Gabor functions
#
# Against `skimage.filters.gabor_kernel`, turned, and moved off the centre by $(2,-1)$ pixels. Then
# the answers to a grating $\cos(\omega u+\psi)$, for which the integrals have a closed form:
# $\pi s_as_b\cos\psi\,(1+q)$ for the cosine filter, $-\pi s_as_b\sin\psi\,(1-q)$ for the sine
# filter. Their squares add up to a constant only where $q$ vanishes.

# %%
from skimage.filters import gabor_kernel

by_skimage = gabor_kernel(0.14, theta=0.7, sigma_x=2.1, sigma_y=3.3, n_stds=4)
by_skimage = by_skimage * 2 * np.pi * 2.1 * 3.3  # skimage divides by the mass of the bell
gabor_params = torch.tensor([2, -1, 0.7, 2 * np.pi * 0.14, 2.1, 3.3], dtype=torch.float64)
made_pair = gabor_pair(gabor_params, len(by_skimage))
trim = (len(by_skimage) - by_skimage.shape[1]) // 2  # skimage cuts the columns closer
moved = [g[:-1, trim + 2 :][:, : by_skimage.shape[1]] for g in made_pair]
ledger.check_close(86, "cosine Gabor = skimage's", moved[0], by_skimage.real[1:])
ledger.check_close(86, "sine Gabor = skimage's", moved[1], by_skimage.imag[1:])

v1_omega, v1_width = 2 * np.pi / 8, 2.0
v1_pair = gabor_pair(torch.tensor([0, 0, 0, v1_omega, v1_width, 3.0], dtype=torch.float64), 41)
v1_phases = torch.linspace(0, 2 * np.pi, 73, dtype=torch.float64)
v1_gratings = torch.cos(v1_omega * (torch.arange(47) - 23) + v1_phases[:, None])  # one line each
v1_gratings = v1_gratings[:, None, None].expand(73, 1, 47, 47)
v1_answers = F.conv2d(v1_gratings, torch.stack(v1_pair)[:, None])  # (73, 2, 7, 7)
q = np.exp(-2 * (v1_omega * v1_width) ** 2)
closed = torch.stack([v1_phases.cos() * (1 + q), -v1_phases.sin() * (1 - q)], dim=1)
expected = np.pi * v1_width * 3.0 * closed
ledger.check_close(86, "answers to a grating", v1_answers[:, :, 3, 3], expected, tolerance=1e-7)

# %% [markdown]
# ## Try it: who notices the phase?
#
# The grating, with a wave of 8 pixels, glides by. **Predict** which of these cells keeps a steady
# answer: the simple cell; what a convolutional network has for a complex one, the maximum of the
# rectified answers at $3\times3$ or $7\times7$ neighbouring places; the energy model. The
# **modulation** is $(\max-\min)/(\max+\min)$ over the phases: 1 for a cell that falls silent.

# %%
trough = np.cos(np.pi - 3 * v1_omega)  # a trough in the middle of seven places
v1_cells = {  # answers, and the modulation in closed form
    "simple": (v1_answers[:, 0, 3, 3].relu(), 1.0),
    "max 3 x 3": (v1_answers[:, 0, 2:5, 2:5].relu().amax(dim=(1, 2)), 1.0),
    "max 7 x 7": (v1_answers[:, 0].relu().amax(dim=(1, 2)), (1 - trough) / (1 + trough)),
    "energy": (v1_answers.square().sum(dim=1)[:, 3, 3], 2 * q / (1 + q**2)),
}
for name, (answer, exact) in v1_cells.items():
    modulation = (answer.max() - answer.min()) / (answer.max() + answer.min())
    print(f"{name}: {modulation:.3f}")
    ledger.check_close(86, f"modulation, {name}", modulation, exact, tolerance=1e-6)

# %% [markdown]
# The energy is steady up to about $2q$. A pool becomes a complex cell only where it is wider than
# half a wave, from its first place to its last (five places span just half of ours): a narrower one
# can lie wholly in the dark half.
#
# ## Build it: fitting a Gabor function to a filter
#
# Six parameters enter nonlinearly. Given them, the best two amplitudes (of $g_0$ and
# $g_{-\pi/2}$: amplitude and phase of one wave) and a constant are a linear regression. So only its
# **share of variance explained** has to be maximised over the six: from the best two of a grid of
# starts, by Adam, for all filters at once.

# %%
import itertools

GABOR_GRID = torch.tensor(
    list(itertools.product((-2, 0, 2), (-2, 0, 2), np.arange(6) * np.pi / 6, (0.6, 1.2, 2.0),
                           (1.0, 1.8), (1.0, 1.8))), dtype=torch.float64)  # fmt: skip
GABOR_LOW = torch.tensor([-3, -3, -99, 0.15, 0.6, 0.6], dtype=torch.float64)
GABOR_HIGH = torch.tensor([3, 3, 99, np.pi, 4, 4], dtype=torch.float64)


def regress_gabors(filters, params):
    """Return the best constant + Gabor pair of params for each filter, and its share."""
    pair = gabor_pair(params, filters.shape[-1])
    basis = torch.stack([*pair, torch.ones_like(pair[0])], dim=-1).flatten(-3, -2)  # (..., 49, 3)
    gram = basis.mT @ basis + 1e-9 * torch.eye(3, dtype=basis.dtype)
    weights = torch.linalg.solve(gram, basis.mT @ filters.flatten(-2)[..., None])
    fitted = (basis @ weights).unflatten(-2, filters.shape[-2:])[..., 0]
    left_over = (filters - fitted).square().mean(dim=(-2, -1))
    return fitted, 1 - left_over / filters.var(dim=(-2, -1), correction=0)


# %%
def fit_gabors(filters, num_steps=60, num_starts=2):
    """Return the parameters (F, 6), fitted filters (F, k, k) and shares (F,) of F filters."""
    filters = filters.detach().double()
    starts = regress_gabors(filters[:, None], GABOR_GRID)[1].topk(num_starts, dim=1).indices
    params = GABOR_GRID[starts].requires_grad_()
    optimizer = torch.optim.Adam([params], lr=0.05)
    for _ in range(num_steps):
        loss = -regress_gabors(filters[:, None], params)[1].sum()
        params.grad = torch.autograd.grad(loss, params)[0]
        optimizer.step()
        params.data.clamp_(GABOR_LOW, GABOR_HIGH)
    with torch.no_grad():
        winner = regress_gabors(filters[:, None], params)[1].argmax(dim=1)
        best = params[torch.arange(len(params)), winner]
        return best, *regress_gabors(filters, best)


# %% [markdown]
# ## Check it: fitting a Gabor function to a filter
#
# Filters that *are* Gabor functions, with random parameters, amplitude, phase and constant, must be
# explained. On noise, the regression against NumPy's least squares, and the search against another
# one: SciPy's `differential_evolution`, which starts from everywhere, must not find much more.

# %%
from scipy.optimize import differential_evolution

draw_rng = np.random.default_rng(3)
lowest_params = np.array([-1.5, -1.5, 0, 0.8, 1.2, 1.2])
highest_params = np.array([1.5, 1.5, 3.1, 1.8, 2.0, 2.0])
true_params = torch.from_numpy(draw_rng.uniform(lowest_params, highest_params, (20, 6)))
true_pairs = gabor_pair(true_params, 7)
mixture = torch.from_numpy(draw_rng.normal(size=(2, 20, 1, 1)))
made_filters = mixture[0] * true_pairs[0] + mixture[1] * true_pairs[1] + 0.7
ledger.check_at_least(86, "share, worst of 20 true Gabors", fit_gabors(made_filters)[2].min(), 0.98)

noise_filters = torch.from_numpy(draw_rng.normal(size=(3, 7, 7)))
search_box = list(zip(GABOR_LOW.tolist(), GABOR_HIGH.tolist(), strict=True))
search_box[2] = (0, np.pi)
for target, start, share in zip(noise_filters, *fit_gabors(noise_filters)[::2], strict=True):
    regressors = [*(g.numpy().ravel() for g in gabor_pair(start, 7)), np.ones(49)]
    left_over = np.linalg.lstsq(np.stack(regressors, axis=1), target.numpy().ravel())[1][0]
    by_numpy = 1 - left_over / 49 / target.numpy().var()
    ledger.check_close(86, "share = NumPy's", share, by_numpy, tolerance=1e-6)
    searched = differential_evolution(
        lambda p, w: -regress_gabors(w, torch.from_numpy(p.T))[1].numpy(),
        search_box, args=(target,), rng=4, maxiter=60, vectorized=True, updating="deferred",
        polish=False)  # fmt: skip
    ledger.check_at_most(86, "share a global search adds", -searched.fun - share.item(), 0.02)

# %% [markdown]
# ## Try it: are learnt filters Gabor functions?
#
# Four small networks, trained alike, whose first layer has $7\times7$ filters, large enough for a
# wave. They start with first-layer weights at a tenth of He's size; a fifth starts at He's.
# **Predict** what a short training does to filters that start as noise of full size.

# %%
RSA_LAYERS = ("conv1", "conv2", "conv3", "hidden", "logits")
X_RSA = torch.from_numpy(fashion.X_train[:2500])[:, None]
Y_RSA = torch.from_numpy(fashion.y_train[:2500])


def make_viewer(seed, first_scale=0.1):
    """Return an untrained network; its modules named in RSA_LAYERS hold what is compared."""
    parts = {"filters": nn.Conv2d(1, 16, 7, stride=2, padding=3), "conv1": nn.ReLU()}
    parts |= {"pool1": nn.MaxPool2d(2), "c2": nn.Conv2d(16, 16, 3, padding=1), "conv2": nn.ReLU()}
    parts |= {"c3": nn.Conv2d(16, 16, 3, padding=1), "conv3": nn.ReLU(), "pool3": nn.MaxPool2d(2)}
    parts |= {"flatten": nn.Flatten(), "f4": nn.Linear(144, 64), "hidden": nn.ReLU()}
    model = nn.Sequential(OrderedDict(parts | {"logits": nn.Linear(64, 10)}))
    draw_weights(model, generator=torch.Generator().manual_seed(seed))
    model.filters.weight.data *= first_scale
    return model


def train_viewer(model, seed):
    """Train in place on 2500 pictures and return the model."""
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    shuffle = torch.Generator().manual_seed(seed)
    options = {"num_epochs": 3, "batch_size": 50, "progress": False}
    fit(model, optimizer, F.cross_entropy, (X_RSA, Y_RSA), generator=shuffle, **options)
    return model.eval()


trained_views = [train_viewer(make_viewer(seed), seed) for seed in range(4)]
untrained_views = [make_viewer(seed) for seed in range(4)]
he_view = train_viewer(make_viewer(5, first_scale=1.0), 5)
X_judge, y_judge = torch.from_numpy(fashion.X_test[:1000])[:, None], fashion.y_test[:1000]
with torch.no_grad():
    judged = [accuracy(m(X_judge), torch.from_numpy(y_judge)) for m in (*trained_views, he_view)]
ledger.check_at_least(86, "accuracy, worst of five networks", min(judged), 0.6)

# %% [markdown]
# Beside them stand the components that independent component analysis (ICA) finds: pictures whose
# weighted sums make up patches of photographs, with weights as independent as can be. Bell and
# Sejnowski (1997) and, with sparse weights, Olshausen and Field (1996) found them to look like
# simple cells. Nine free numbers explain a part of anything with 49 pixels, and more of anything
# smooth. So each family has a control: its own filters with the phases of their Fourier transform
# redrawn, as smooth as before and without structure. The cell prints both shares (medians, averaged
# over members of the family), and how many fits are "short": less than half a wave lies in the
# window.

# %%
from numpy.lib.stride_tricks import sliding_window_view
from skimage import data as pictures
from skimage.color import rgb2gray
from sklearn.decomposition import FastICA

crop_rng = np.random.default_rng(0)
photographs = [rgb2gray(picture) for picture in (pictures.astronaut(), pictures.chelsea())]
windows = [sliding_window_view(x, (7, 7)) for x in (*photographs, pictures.camera() / 255)]
ica_filters = []
for seed in range(2):
    corners = [crop_rng.integers(0, x.shape[:2], (1500, 2)) for x in windows]
    patches = [x[tuple(c.T)].reshape(1500, 49) for x, c in zip(windows, corners, strict=True)]
    patches = np.concatenate(patches)
    patches -= patches.mean(axis=1, keepdims=True)
    ica = FastICA(16, whiten="unit-variance", random_state=seed, tol=1e-3).fit(patches)
    ica_filters.append(torch.from_numpy(ica.mixing_.T.reshape(16, 7, 7)))


# %%
def redraw_phases(filters, generator):
    """Return filters with the same Fourier amplitudes and the phases of white noise."""
    noise = torch.randn(filters.shape, generator=generator, dtype=filters.dtype)
    phases = torch.fft.fft2(noise).angle()
    return torch.fft.ifft2(torch.polar(torch.fft.fft2(filters).abs(), phases)).real


families = {"untrained": untrained_views[:2], "from He's size": [he_view], "trained": trained_views}
families = {k: [m.filters.weight[:, 0].detach() for m in models] for k, models in families.items()}
families["ICA"] = ica_filters
control_draw = torch.Generator().manual_seed(11)
gabor_fits, gabor_shares = {}, {}
for name, members in families.items():
    gabor_fits[name] = fit_gabors(torch.cat(members))
    redrawn = fit_gabors(redraw_phases(torch.cat(members), control_draw))[2]
    shares = torch.stack([gabor_fits[name][2], redrawn]).reshape(2, -1, 16).median(dim=2).values
    gabor_shares[name] = shares  # (filters or redrawn, members)
    under_half = (7 * gabor_fits[name][0][:, 3] < np.pi).double().mean()
    means = shares.mean(dim=1)
    print(f"{name:15s} share {means[0]:.2f}, redrawn {means[1]:.2f}, short {under_half:.2f}")
spectra = [torch.fft.fft2(x).abs() for x in (redraw_phases(members[0], control_draw), members[0])]
ledger.check_close(86, "amplitudes kept where phases are redrawn", *spectra)
learnt = gabor_shares["trained"][0] - gabor_shares["untrained"][0].mean()
structure = gabor_shares["trained"][0] - gabor_shares["trained"][1]
hidden_by_draw = gabor_shares["from He's size"][0] - gabor_shares["untrained"][0]
over_trained = gabor_shares["ICA"][0].min() - gabor_shares["trained"][0].max()
ledger.check_at_least(86, "Gabor share, trained - untrained, worst network", learnt.min(), 0.15)
ledger.check_at_least(86, "Gabor share, trained - redrawn, mean", structure.mean(), 0.05)
ledger.check_at_most(86, "Gabor share, He's size - untrained", hidden_by_draw.max(), 0.15)
ledger.check_at_least(86, "Gabor share, worst ICA - best trained", over_trained, 0.08)

# %%
rows = []
for name in ("untrained", "trained", "ICA"):
    for drawn in (torch.cat(families[name]), gabor_fits[name][1]):
        largest = torch.cat(families[name])[:8].abs().amax(dim=(1, 2), keepdim=True)
        tiles = F.pad(drawn[:8] / largest, (0, 1, 0, 1), value=torch.nan)
        rows.append(torch.cat(list(tiles), dim=1))
fig, ax = plt.subplots(figsize=(4.8, 2.8))
filter_image = ax.imshow(torch.cat(rows), cmap="RdBu_r", vmin=-1, vmax=1)
ax.set(xticks=[], yticks=3 + 8 * np.arange(6), ylabel="family")
ax.set_yticklabels(["untrained", "its fit", "trained", "its fit", "ICA", "its fit"], fontsize=9)
ax.tick_params(length=0)
ax.spines[:].set_visible(False)
fig.colorbar(filter_image, label="weight / largest", shrink=0.8)
show(
    fig,
    alt="Six rows of eight small pictures. Untrained filters are noise and their fits miss it; "
    "trained ones are blobs and soft edges; ICA's are edges and bars, and the fits match them.",
)

# %% [markdown]
# *Figure 9. Eight filters of three families and, below each, the Gabor function (plus a constant)
# fitted to it, both divided by the filter's largest weight.*
#
# What came out is less than the slogan "networks learn Gabor filters". Started at He's size (one
# network) the filters stay the noise they were: the network reads through it. Started small they
# show what is learnt, and a Gabor function explains far more of it than of noise. But much of that
# gain is smoothness, which the control has too. They are blobs and soft edges; photographs make
# better Gabor functions, without any classes. And seven pixels are few: even in about half of the
# fits to ICA less than half a wave lies in the window. The first layer of AlexNet, with
# $11\times11$ filters and a million photographs, does show waves of many orientations (Krizhevsky,
# Sutskever and Hinton, 2012).
#
# ## The idea in symbols: representational similarity
#
# How can a layer be compared with a piece of cortex, or with a layer of another width? Unit by
# unit it cannot. **Representational similarity analysis** (RSA, 表征相似性分析; Kriegeskorte, Mur
# and Bandettini, 2008) compares what both say about the *same pictures*. Each system gives a
# **representational dissimilarity matrix** (RDM) over $N$ pictures, here with the lecture's one
# minus Pearson correlation across units; then the order of the entries is compared:
#
# $$D_{ij}=1-\operatorname{corr}(\mathbf x_i,\mathbf x_j),\qquad
# \tau_A=\frac{\text{concordant}-\text{discordant}}{n(n-1)/2},\qquad n=N(N-1)/2,$$
#
# and Spearman's $\rho$, the correlation of the ranks. A couple of entries is *concordant* when both
# RDMs put the two in the same order, *discordant* when in opposite orders, *tied* when the two are
# equal in one of them. $\tau_B$ differs in its denominator, which leaves out ties: $\sqrt{n_xn_y}$
# with $n_x$ and $n_y$ the couples not tied in the one and in the other. The **class model**, 0
# within a class and 1 between, is mostly ties.
#
# ## Build it: RDMs and rank correlations
#
# For the class model $\tau_A$ needs no $n^2$ signs. With $n_w$ entries within classes, $n_b$
# between and $R_b$ the sum of the ranks of those between, $R_b-n_b(n_b+1)/2$ counts the couples in
# which the entry between is the larger (Mann and Whitney's statistic). Twice that minus $n_wn_b$ is
# concordant minus discordant.


# %%
def make_rdm(patterns):
    """Return one minus the correlation of every two rows, (N, N)."""
    centred = patterns - patterns.mean(axis=1, keepdims=True)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    return 1 - unit @ unit.T


def rdm_pairs(rdm):
    """Return the entries above the diagonal, (N (N - 1) / 2,)."""
    return rdm[np.triu_indices(len(rdm), k=1)]


def rank_values(values):
    """Return ranks from 1; equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (count.cumsum() - (count - 1) / 2)[place]


def spearman(x, y):
    """Return the Pearson correlation of the ranks."""
    return np.corrcoef(rank_values(x), rank_values(y))[0, 1]


def tau_a(x, y):
    """Return (concordant - discordant) / all couples of entries, for two vectors."""
    concordance = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    return concordance.sum() / (len(x) * (len(x) - 1))


def class_tau(pairs, is_between):
    """Return tau_A of an RDM's entries with the class model (True between classes)."""
    n, n_between = len(pairs), is_between.sum()
    wins = rank_values(pairs)[is_between].sum() - n_between * (n_between + 1) / 2
    return (2 * wins - n_between * (n - n_between)) / (n * (n - 1) / 2)


# %% [markdown]
# ## Check it: RDMs and rank correlations
#
# On 13 patterns of 7 units, then on vectors of odd length with and without ties. SciPy's
# `kendalltau` is $\tau_B$: it must agree without ties and must not with them.

# %%
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, rankdata, spearmanr

rank_rng = np.random.default_rng(1)
random_patterns = rank_rng.normal(size=(13, 7)) + rank_rng.normal(size=7)
by_scipy = pdist(random_patterns, "correlation")
ledger.check_close(86, "RDM = pdist", rdm_pairs(make_rdm(random_patterns)), by_scipy)
smooth = rank_rng.normal(size=(2, 41))
tied_x = rank_rng.integers(0, 4, 41)
tied = tied_x, tied_x + rank_rng.integers(0, 6, 41)
for kind, (x, y) in (("smooth", smooth), ("tied", tied)):
    ledger.check_close(86, f"Spearman, {kind}", spearman(x, y), spearmanr(x, y).statistic)
    couples = itertools.combinations(zip(x, y, strict=True), 2)
    brute = np.mean([np.sign((p[0] - r[0]) * (p[1] - r[1])) for p, r in couples])
    ledger.check_close(86, f"tau_A by brute force, {kind}", tau_a(x, y), brute)
ledger.check_close(86, "tau_A = tau_B without ties", tau_a(*smooth), kendalltau(*smooth).statistic)
with ledger.refuses(86, "tau_A for tau_B, with ties"):
    ledger.check_close(86, "ties", tau_a(*tied), kendalltau(*tied).statistic)
for split in (3, 17):
    flags = np.arange(41) >= split
    ours, slow = class_tau(tied[1], flags), tau_a(tied[1], flags.astype(int))
    ledger.check_close(86, f"class_tau = tau_A, {split} within", ours, slow)

# %% [markdown]
# ## Try it: a model with ties
#
# Suppose the truth has three classes of ten *and* detail inside them, and a noisy measurement of
# it. Two models are compared with the measurement: the true one, and a coarse one that knows the
# classes only. **Predict** which of the two each coefficient prefers.

# %%
tie_rng = np.random.default_rng(2)
tie_labels = np.repeat(np.arange(3), 10)
coarse = rdm_pairs((tie_labels[:, None] != tie_labels).astype(float))
coefficients = {"tau_A": tau_a, "tau_B": lambda x, y: kendalltau(x, y).statistic}
coefficients["Spearman"] = spearman
advantage = {name: [] for name in coefficients}  # of the true model over the coarse one
for _ in range(20):
    truth = coarse + 0.5 * tie_rng.uniform(size=len(coarse))
    measured = truth + 0.5 * tie_rng.normal(size=len(coarse))
    for name, coefficient in coefficients.items():
        advantage[name].append(coefficient(truth, measured) - coefficient(coarse, measured))
for name, gains in advantage.items():
    print(f"{name:9s} true - coarse: {np.mean(gains):+.3f} +- {np.std(gains):.3f}")
ledger.check_at_least(86, "tau_A: true over coarse", np.mean(advantage["tau_A"]), 0.04)
ledger.check_at_most(86, "tau_B: true over coarse", np.mean(advantage["tau_B"]), -0.03)

# %% [markdown]
# $\tau_B$ forgives the coarse model the couples it says nothing about and prefers it; Spearman is
# undecided; $\tau_A$ prefers the truth. That is why Nili et al. (2014) advise $\tau_A$ where a
# model has ties, and why the lecture's figure gives it. The price: a model with ties cannot reach
# 1, whatever the data (exercise).
#
# ## Try it: RDMs along a network
#
# Sixty test pictures, six of each class, sorted by class; and four more sets of sixty, for what one
# set shows may be its own. **Predict** whether the ten blocks on the diagonal are visible
# in the pixels already, and in a hidden layer without training.

# %%
DEPTHS = ("pixels", *RSA_LAYERS)
first_thirty = [np.flatnonzero(fashion.y_test == c)[:30] for c in range(10)]
set_index = np.reshape(first_thirty, (10, 5, 6)).swapaxes(0, 1).reshape(5, 60)
X_sets = torch.from_numpy(fashion.X_test[set_index])[:, :, None]  # (5, 60, 1, 28, 28)
rsa_labels = np.repeat(np.arange(10), 6)
is_between = rdm_pairs(rsa_labels[:, None] != rsa_labels)


def layer_rdms(model, X):
    """Return the RDMs of pictures X at the pixels and at the layers named in RSA_LAYERS."""
    with torch.no_grad(), probes.record(model, nn.ReLU, nn.Linear) as seen:
        model(X)
    patterns = {"pixels": X} | {k: x for k, x in seen.activations.items() if k in RSA_LAYERS}
    return {name: make_rdm(x.flatten(1).double().numpy()) for name, x in patterns.items()}


trained_rdms, untrained_rdms = (
    [[layer_rdms(model, X) for X in X_sets] for model in views]
    for views in (trained_views, untrained_views)
)  # [network][set of pictures][layer]

# %%
rdm_panels = {name: trained_rdms[0][0][name] for name in ("pixels", "hidden")}
rdm_panels["untrained"] = untrained_rdms[0][0]["hidden"]
rdm_panels["class model"] = 1.0 * (rsa_labels[:, None] != rsa_labels)
fig, axs = plt.subplots(1, 4, figsize=(6, 1.6))
for ax, (name, rdm) in zip(axs, rdm_panels.items(), strict=True):
    ranked_rdm = np.zeros_like(rdm)
    ranks = rank_values(rdm_pairs(rdm))
    ranked_rdm[np.triu_indices(60, k=1)] = ranks / ranks.max()
    levels = plt.get_cmap("viridis", 8)
    rdm_image = ax.imshow(
        ranked_rdm + ranked_rdm.T, vmin=0, vmax=1, cmap=levels, interpolation="nearest"
    )
    ax.set_title(name, fontsize=9.5)
    ax.set(xticks=[], yticks=[])
fig.colorbar(rdm_image, ax=axs, label="rank / largest", shrink=0.8)
show(
    fig,
    alt="Four square matrices. Three share large blocks of tops against shoes; dark squares on "
    "the diagonal are clearest in the hidden layer; the class model has nothing but those.",
)

# %% [markdown]
# *Figure 10. RDMs of the same sixty pictures, as ranks: the pixels, the hidden layer of one network
# after and before training, and the class model. Six pictures of each class, in the order T-shirt,
# trousers, pullover, dress, coat, sandal, shirt, sneaker, bag, boot.*
#
# The large pattern, tops against shoes, is there from the pixels on; training sharpens most of the
# small blocks, above all those of sandals, coats and bags. Now as numbers, and beside them the
# lecture's: Khaligh-Razavi and Kriegeskorte (2014) compared the layers of an AlexNet with the IT of
# humans and of monkeys, who had seen the same photographs. **Predict** whether our last layer falls
# as theirs does.

# %%
taus = np.array([
    [[[class_tau(rdm_pairs(rdms[name]), is_between) for name in DEPTHS] for rdms in sets]
     for sets in group] for group in (trained_rdms, untrained_rdms)
])  # (trained or not, network, set, layer)  # fmt: skip
largest_tau = class_tau(is_between.astype(float), is_between)
tau_rise = taus[..., DEPTHS.index("hidden")] - taus[..., DEPTHS.index("conv1")]
last_step = taus[0, ..., DEPTHS.index("logits")] - taus[0, ..., DEPTHS.index("hidden")]
print("hidden - conv1, trained or not, by network:", *tau_rise.mean(axis=2).round(3))
print("trained, by set:", tau_rise[0].mean(axis=0).round(3))
ledger.check_at_least(
    86, "tau_A, hidden - conv1, worst trained", tau_rise[0].mean(axis=1).min(), 0.005
)
ledger.check_at_least(86, "the same, worst set", tau_rise[0].mean(axis=0).min(), 0.005)
ledger.check_at_least(
    86, "tau_A, rise, trained - untrained", tau_rise[0].mean() - tau_rise[1].mean(), 0.01
)
ledger.check_at_most(
    86, "tau_A, logits against hidden", np.abs(last_step.mean(axis=1)).max(), 0.008
)

# %%
LECTURE_HIT = [0.03, 0.12, 0.15, 0.17, 0.17, 0.23, 0.24, 0.13]
LECTURE_MIT = [0.08, 0.21, 0.23, 0.25, 0.24, 0.29, 0.29, 0.18]
fig, (ours_ax, brain_ax) = plt.subplots(1, 2, figsize=(5.6, 2.4))
for group, name, mark in zip(taus.mean(axis=2), ("trained", "untrained"), MARKERS, strict=False):
    ours_ax.plot(group.mean(axis=0), marker=mark, label=name)
    ours_ax.plot(group.T, "_", color="0.4", markersize=9)
ours_ax.axhline(largest_tau, color="0.6", linewidth=1)
ours_ax.set(xticks=range(6), xlabel="layer", ylabel=r"$\tau_A$ with classes", ylim=(0, 0.17))
ours_ax.set_xticklabels(DEPTHS, rotation=45)
brain_ax.plot(range(1, 9), LECTURE_HIT, marker="o", label="human IT")
brain_ax.plot(range(1, 9), LECTURE_MIT, marker="s", label="monkey IT")
brain_ax.set(xticks=range(1, 9), xlabel="layer of AlexNet", ylabel=r"$\tau_A$ with IT", ylim=0)
for ax in (ours_ax, brain_ax):
    ax.legend(fontsize=9, loc="lower right")
show(
    fig,
    alt="Left: tau rises with depth in the trained networks towards a line at 0.155 and not in the "
    "untrained. Right: tau with human and monkey IT rises to layer 7 and falls at layer 8.",
)

# %% [markdown]
# *Figure 11. Left: agreement of each layer with the class model, mean of five sets of pictures;
# line: mean of four networks, dashes: single networks, grey line: the largest value that a model
# with these ties allows. Right: agreement of AlexNet's layers (8: its class scores) with IT, after
# Khaligh-Razavi and Kriegeskorte (2014), as on the slide.*
#
# Class structure grows with depth in every trained network (mean of the sets) and on every set
# (mean of the networks), while without training it falls after `conv2`. It grows by little: the
# largest value is the grey line, 0.155 and not 1; the pixels of garments reach two thirds of it,
# the trained hidden layers five sixths. And our last layer does *not* fall. That is no
# contradiction: AlexNet's scores are measured against a brain, which need not sort by ImageNet's
# thousand classes; ours against the very classes it was trained on. Cichy et al. (2016) put time
# beside depth: early layers resemble the early brain signals after a picture, measured by
# magnetoencephalography, and later layers later ones.
#
# ## Build it: a noise ceiling
#
# How well can any model do, when the subjects differ? Take the four trained networks for four
# subjects with one "true" RDM and individual noise (Nili et al., 2014). *Upper*: mean correlation
# of each subject's ranks with the mean of the ranks of all, its own included; no RDM reaches a
# higher mean $\rho$. *Lower*: with the mean of the others'. A model between the two is as good as
# the noise lets us see.


# %%
def noise_ceiling(subjects):
    """Return the lower and the upper bound on the mean Spearman with subjects (S, pairs)."""
    ranked = np.array([rank_values(pairs) for pairs in subjects])
    others = (ranked.sum(axis=0) - ranked) / (len(ranked) - 1)
    lower = [np.corrcoef(mean, one)[0, 1] for mean, one in zip(others, ranked, strict=True)]
    upper = [np.corrcoef(ranked.mean(axis=0), one)[0, 1] for one in ranked]
    return np.mean(lower), np.mean(upper)


# %% [markdown]
# ## Check it: a noise ceiling
#
# Two subjects have a closed form: lower $\rho$, upper $\sqrt{(1+\rho)/2}$. For five the lower bound
# is computed from SciPy's ranks, one subject left out at a time; the upper one is the length of the
# mean of the ranks, each centred and scaled to length 1 (no ties).

# %%
ceiling_rng = np.random.default_rng(5)
five_subjects = ceiling_rng.normal(size=45) + ceiling_rng.normal(size=(5, 45))
pair_rho = spearmanr(five_subjects[0], five_subjects[1]).statistic
expected = (pair_rho, np.sqrt((1 + pair_rho) / 2))
ledger.check_close(86, "noise ceiling of two subjects", noise_ceiling(five_subjects[:2]), expected)
ranked_five = rankdata(five_subjects, axis=1)
left_out = [np.delete(ranked_five, i, axis=0).mean(axis=0) for i in range(5)]
by_scipy = np.mean([np.corrcoef(left_out[i], ranked_five[i])[0, 1] for i in range(5)])
length = np.linalg.norm((ranked_five.mean(axis=0) - 23) / np.sqrt(45 * (45**2 - 1) / 12))
ledger.check_close(86, "of five subjects", noise_ceiling(five_subjects), (by_scipy, length))

# %% [markdown]
# ## Try it: two nets, one geometry?
#
# The subjects are the hidden layers of the four trained networks. Candidates: the pixels, hidden
# layers of untrained networks, of three multilayer perceptrons trained on the same pictures, and of
# the network started at He's size. **Predict** which of them reaches the band between the bounds.


# %%
def make_flat_viewer(seed):
    """Return an untrained multilayer perceptron whose last hidden layer is called hidden."""
    parts = {"flatten": nn.Flatten(), "f1": nn.Linear(784, 128), "wide": nn.ReLU()}
    parts |= {"f2": nn.Linear(128, 64), "hidden": nn.ReLU(), "logits": nn.Linear(64, 10)}
    model = nn.Sequential(OrderedDict(parts))
    return draw_weights(model, generator=torch.Generator().manual_seed(seed))


flat_views = [train_viewer(make_flat_viewer(seed), seed) for seed in range(3)]
views = {"networks": trained_views, "untrained": untrained_views}
views |= {"perceptrons": flat_views, "from He's size": [he_view]}
hidden = {"pixels": [rdm_pairs(trained_rdms[0][0]["pixels"])]}
for name, models in views.items():
    hidden[name] = [rdm_pairs(layer_rdms(model, X_sets[0])["hidden"]) for model in models]
subjects = hidden.pop("networks")
lower_limit, upper_limit = noise_ceiling(subjects)
print(f"noise ceiling {lower_limit:.3f} to {upper_limit:.3f}")
nearness = {}
for name, candidates in hidden.items():
    nearness[name] = [np.mean([spearman(one, x) for one in subjects]) for x in candidates]
    print(f"{name:15s}", np.round(nearness[name], 3))
flat_gain = min(nearness["perceptrons"]) - nearness["pixels"][0]
ledger.check_at_least(86, "rho: worst perceptron - pixels", flat_gain, 0.03)
random_loss = nearness["pixels"][0] - np.mean(nearness["untrained"])
ledger.check_at_least(86, "rho: pixels - mean untrained", random_loss, 0.03)
under_ceiling = lower_limit - max(max(scores) for scores in nearness.values())
ledger.check_at_least(86, "rho: ceiling - best candidate", under_ceiling, 0.01)

# %% [markdown]
# Nobody reaches the band. Candidates that have learnt the task come nearer than the pixels, and
# untrained layers are on average further off than the pixels; a convolutional network from another
# start (only one) comes no nearer than the perceptrons. Now layer by layer: every layer of one
# trained network against every layer of another. **Predict** where the largest numbers stand. No
# two entries of these RDMs are equal, so SciPy's fast $\tau_B$ is $\tau_A$.

# %%
pairs_a, pairs_b = ([rdm_pairs(sets[0][name]) for name in DEPTHS] for sets in trained_rdms[:2])
kendall = np.array([[kendalltau(x, y).statistic for y in pairs_b] for x in pairs_a])
ledger.check_close(86, "tau_B = tau_A, hidden", kendall[4, 4], tau_a(pairs_a[4], pairs_b[4]))
rho = np.array([[spearman(x, y) for y in pairs_b] for x in pairs_a])
print("rows: layers of network 0, columns: of network 1; left rho, right tau_A")
for name, rho_row, tau_row in zip(DEPTHS, rho, kendall, strict=True):
    print(f"{name:7s}", *(f"{x:.2f}" for x in rho_row), "  ", *(f"{x:.2f}" for x in tau_row))
same = {}
for name, group in (("trained", trained_rdms), ("untrained", untrained_rdms)):
    by_layer = [[rdm_pairs(sets[0][layer]) for sets in group] for layer in RSA_LAYERS]
    same[name] = np.array([noise_ceiling(pairs)[0] for pairs in by_layer])
    print(f"{name} networks, each with the mean of the others:", *same[name].round(2))
drift = same["trained"][3] - same["untrained"][3]
ledger.check_at_least(86, "rho among hidden layers, trained - untrained", drift, 0.07)
far = np.array([[x[0, 5], x[5, 0]] for x in (rho, kendall)]).mean(axis=1)
near = np.array([np.diag(x)[1:].mean() for x in (rho, kendall)])
ledger.check_at_least(86, "same layer - pixels with logits", (near - far).min(), 0.07)

# %% [markdown]
# The largest stand on the diagonal or near it. Agreement falls with the distance in depth, and
# $\tau_A$ says so on a wider scale than $\rho$; but the three convolutional layers can
# hardly be told apart. Random layers drift apart from each other with depth; learning the same task
# holds the trained ones together. Mehrer et al. (2020) found larger differences between seeds, in
# deeper networks: one network is a weak witness for an architecture.
#
# ## Try it: what an RDM does not see
#
# **Predict** which of these changes of the hidden layer's patterns moves its RDM of Euclidean
# distances, and which that of one minus correlation: an orthogonal rotation of all units; the
# unit that varies most made ten times as strong; one pattern added to all (what subtracting the
# mean pattern undoes).

# %%
with torch.no_grad():
    before = trained_views[0][:-1](X_sets[0]).double().numpy()  # all modules but the last
recorded = rdm_pairs(trained_rdms[0][0]["hidden"])
ledger.check_close(86, "hidden RDM", recorded, pdist(before, "correlation"), tolerance=1e-6)
pitfall_rng = np.random.default_rng(6)
strong_unit = np.where(np.arange(64) == before.std(axis=0).argmax(), 10.0, 1.0)
rdm_changes = {
    "rotated": before @ np.linalg.qr(pitfall_rng.normal(size=(64, 64)))[0],
    "one unit x 10": before * strong_unit,
    "pattern added": before + 5 * before.std() * pitfall_rng.normal(size=64),
}
kept = {}
for (name, changed), metric in itertools.product(rdm_changes.items(), ("euclidean", "correlation")):
    kept[name, metric] = spearman(pdist(before, metric), pdist(changed, metric))
    print(f"{name:14s} {metric:12s} rho with the RDM before: {kept[name, metric]:.3f}")
for name in ("rotated", "pattern added"):
    ledger.check_close(86, f"Euclidean, {name}", pdist(rdm_changes[name]), pdist(before))
with ledger.refuses(86, "correlation RDM, rotated"):
    rotated = make_rdm(rdm_changes["rotated"])
    ledger.check_close(86, "correlation, rotated", rotated, make_rdm(before), tolerance=0.1)
for name in ("one unit x 10", "pattern added"):
    ledger.check_at_most(86, f"rho of correlation RDMs, {name}", kept[name, "correlation"], 0.95)

# %% [markdown]
# A rotation leaves the Euclidean RDM exactly and the order of the correlations nearly as they were
# (a correlation first takes away each pattern's part along one fixed direction, all units alike,
# and the patterns have turned against it), though no unit is what it was. So RSA compares
# geometries, not codes: equal RDMs do not mean equal units, nor that a class can be read from one
# of them. In the other direction it sees too much: one loud unit changes both RDMs (a silent one
# made louder would change nothing), and a pattern common to all pictures changes the correlations
# although all differences between pictures are the same. Whether the mean pattern was subtracted
# first has to be reported.

# %% [markdown]
# ## Explore it
#
# Choose a network and a quantity; choose a block to see its name, its maps and what one of its
# units sees. (In the upper row a box is as high as the square root of its map's height.) LeNet and
# residual-20 (seed 0) are those trained above; the others are full size and have no values, so no
# maps. LeNet's C3 is written here as a full convolution with zeros for the gaps, and the zeros are
# counted too: 2,416 parameters for 1,516; the products of its subsampling are not counted.
#
# 1. In which block of AlexNet does a unit first see more than half the width of the picture? And
#    in NIN, VGG-16 and ResNet-50? How much work is done up to and with it (add the bars, roughly)?
# 2. Where do paths meet? Find an addition in ResNet-50 and a concatenation in GoogLeNet. What does
#    each cost? Which of its inputs sees more, and by how much? And is a shortcut always free?
# 3. Follow LeNet's maps from block to block. Are C1's six maps six copies of the picture or six
#    parts of it? From which block on can you no longer tell the picture? And in residual-20? What
#    do you see in its `blocks.3.shortcut`?

# %%
explored_lenet = copy.deepcopy(lenet_model)
explored_c1 = explored_lenet[0].C1  # for pictures from 0 to 1: it takes 2 x - 1 over
explored_c1.bias.data -= explored_c1.weight.data.sum(dim=(1, 2, 3))
explored_c1.weight.data *= 2
explored_lenet[0].C3 = nn.utils.skip_init(nn.Conv2d, 6, 16, 5)
explored_lenet[0].C3.weight.data = lenet_5.C3.kernels().detach()
explored_lenet[0].C3.bias.data = lenet_5.C3.bias.detach().clone()
explored = {"LeNet-5": explored_lenet, "residual-20": degradation_runs["residual-20"][0][0]}
explored |= {"AlexNet": alexnet, "NIN": nin, "VGG-16": vgg_16}
explored |= {"GoogLeNet": googlenet_paper, "ResNet-50": resnets[50]}
explored_shapes = dict.fromkeys(explored, (3, 224, 224)) | {"AlexNet": (3, 227, 227)}
explored_shapes |= {"LeNet-5": (1, 32, 32), "residual-20": (1, 16, 16)}
framed = F.pad(torch.from_numpy(fashion.X_test[:1]), (2, 2, 2, 2))
ArchitectureExplorer(explored, framed, shape=explored_shapes, network="AlexNet")

# %% [markdown]
# ## Exercises
#
# ### 1. Price a layer (easy, 5 minutes)
#
# A convolution turns 64 maps of $56\times56$ into 192 maps: kernel $3\times3$, stride 2, padding 1,
# 4 groups, with biases. Give the width of the new maps, the parameters and the multiply-adds.

# %% tags=["exercise"]
answer_1 = None  # (width, parameters, multiply-adds)

# %%
check_exercise(
    answer_1,
    (28, 27_840, 21_676_032),
    mistakes={
        "Each output map reads only its own group: 16 maps, not 64.": (28, 110_784, 86_704_128),
        "The biases are missing.": (28, 27_648, 21_676_032),
        "These are FLOPs: a multiply-add counts once here.": (28, 27_840, 43_352_064),
        "The stride leaves a quarter of the places.": (56, 27_840, 86_704_128),
        "The size formula ends in + 1: the first place counts too.": (27, 27_840, 20_155_392),
        "Round down before you add 1.": (29, 27_840, 23_252_544),
        "A bias is added, not multiplied: it is no multiply-add.": (28, 27_840, 21_826_560),
    },
    tolerance=1e-9,
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# width = (56 + 2 - 3) // 2 + 1
# weights = 192 * 9 * 64 // 4
# answer_1 = (width, weights + 192, weights * width**2)
# ```
# </details>

# %% [markdown]
# ### 2. Two blocks for 256 channels (easy, 10 minutes)
#
# A basic block and a bottleneck block both map 256 channels to 256, at stride 1. Give the weights
# of the convolutions of each (no batch norm), and the side of the input region that one output of
# each sees through $F$.

# %% tags=["exercise"]
answer_2 = None  # (weights of basic, weights of bottleneck, region of basic, of bottleneck)

# %%
block_weights = 1_179_648, 69_632
check_exercise(
    answer_2,
    (*block_weights, 5, 3),
    mistakes={
        "A 1 x 1 convolution sees one pixel: count the 3 x 3 layers only.": (*block_weights, 5, 7),
        "Two 3 x 3 layers see 5 pixels: each adds 2.": (*block_weights, 6, 3),
        "Two 3 x 3 layers, one behind the other, see more than one.": (*block_weights, 3, 3),
        "The bottleneck has one 3 x 3 convolution, the basic block two.": (*block_weights, 5, 5),
        "There are no biases: each convolution has a norm behind it.": (1_180_160, 70_016, 5, 3),
        "The bottleneck's 3 x 3 works on 64 channels, not on 256.": (1_179_648, 622_592, 5, 3),
        "The bottleneck has two 1 x 1 convolutions, down and up.": (1_179_648, 53_248, 5, 3),
        "A kernel has weights for every input channel.": (4_608, 896, 5, 3),
        "The basic block has two convolutions.": (589_824, 69_632, 5, 3),
    },
    tolerance=1e-9,
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_2 = (2 * 9 * 256**2, 256 * 64 + 9 * 64**2 + 64 * 256, 1 + 2 + 2, 1 + 2)
# ```
# The bottleneck has seventeen times fewer weights, and sees less: depth is cheap there, and the
# field must come from the number of blocks.
# </details>

# %% [markdown]
# ### 3. Unequal shares (medium, 10 minutes)
#
# A batch of eight is split into five and three pictures. Each of the two workers multiplies the
# *mean* loss of its share by a factor of its own before `backward()`; the all-reduce still takes
# the plain mean over workers. Which two factors give the gradient of the joint batch?

# %% tags=["exercise"]
WORKER_SHARES = (5, 3)
answer_3 = None  # (factor of the first worker, factor of the second)

# %%
check_exercise(
    answer_3,
    (2 * 5 / 8, 2 * 3 / 8),
    mistakes={
        "These would be right if the all-reduce took the sum; it takes the mean.": (5 / 8, 3 / 8),
        "Then each of the three pictures counts more than each of the five.": (1.0, 1.0),
        "These turn the means into sums; the joint loss is a mean over eight.": (5.0, 3.0),
        "The other way round: a larger share needs more weight.": (2 * 3 / 8, 2 * 5 / 8),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# WORKER_SHARES = (5, 3)
# answer_3 = tuple(len(WORKER_SHARES) * share / sum(WORKER_SHARES) for share in WORKER_SHARES)
# ```
# The mean over workers divides by 2, so the factors are twice the shares of the batch.
# </details>

# %% [markdown]
# ### 4. The largest $\tau_A$ (medium, 15 minutes)
#
# An experiment shows 24 pictures: 12 faces, 8 houses and 4 tools. How large can $\tau_A$ with the
# class model be, for the best RDM there is? Then for 24 pictures of three classes of eight.

# %% tags=["exercise"]
answer_4 = None  # (12, 8 and 4 pictures; three classes of eight)


# %%
def largest_class_tau(sizes):
    """Return tau_A of the class model with itself, for classes of these sizes."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    pairs = rdm_pairs((labels[:, None] != labels).astype(float))
    return tau_a(pairs, pairs)


check_exercise(
    answer_4,
    (largest_class_tau((12, 8, 4)), largest_class_tau((8, 8, 8))),
    mistakes={
        "That is tau_B, which leaves out the ties.": (1.0, 1.0),
        "You divided by n (n - 1); each couple of entries counts once.": tuple(
            largest_class_tau(sizes) / 2 for sizes in ((12, 8, 4), (8, 8, 8))
        ),
        "n entries make n (n - 1) / 2 couples: none is a couple with itself.": tuple(
            largest_class_tau(sizes) * 275 / 276 for sizes in ((12, 8, 4), (8, 8, 8))
        ),
        "That is the share of entries between classes; count couples of entries.": (
            176 / 276,
            192 / 276,
        ),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# def best_tau(sizes):
#     """Return the largest tau_A with the class model for classes of these sizes."""
#     N = sum(sizes)
#     n = N * (N - 1) // 2
#     n_within = sum(size * (size - 1) // 2 for size in sizes)
#     return n_within * (n - n_within) / (n * (n - 1) / 2)
#
#
# answer_4 = (best_tau((12, 8, 4)), best_tau((8, 8, 8)))
# ```
# The best RDM puts every within entry below every between entry: $n_wn_b$ concordant couples, no
# discordant ones, out of $n(n-1)/2$. The largest value never exceeds one half by much.
# </details>

# %% [markdown]
# ### 5. A network on a budget (open, 20 minutes)
#
# Design a network for $1\times28\times28$ pictures and ten classes: at least four convolutions, at
# most 8,000 parameters and 400,000 multiply-adds, and a unit of the last convolution sees at least
# 20 pixels across. Give a flat `nn.Sequential`. Then ask: which of the limits was the hard one, and
# which trick of this notebook met it?

# %% tags=["exercise"]
answer_5 = None  # an nn.Sequential


# %%
def judge_design(model):
    """Return the first demand that a network does not meet, or "within budget"."""
    try:
        counts = counting.count_layers(model, (1, 28, 28))
        convs = [place for place, layer in enumerate(model) if isinstance(layer, nn.Conv2d)]
        field = counting.receptive_field(model[: convs[-1] + 1])[0] if convs else 1
    except (AttributeError, IndexError, TypeError, ValueError):
        return "does not run"
    demands = {
        "not ten numbers": counts[-1].shape == (10,),
        "too shallow": len(convs) >= 4,
        "short-sighted": field >= 20,
        "too much work": total(counts, "multiply_adds") <= 400_000,
        "too many parameters": total(counts, "parameters") <= 8_000,
    }
    return next((name for name, is_met in demands.items() if not is_met), "within budget")


# %%
check_exercise(
    answer_5 if answer_5 is None else judge_design(answer_5),
    "within budget",
    mistakes={
        "Give a flat nn.Sequential of layers that runs on (1, 28, 28).": "does not run",
        "Its output must be ten numbers.": "not ten numbers",
        "Four convolutions at least.": "too shallow",
        "A unit of the last convolution sees too little: what widens its view?": "short-sighted",
        "Too many multiply-adds: where are the maps large?": "too much work",
        "Too many parameters: is there a large linear layer?": "too many parameters",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_5 = nn.Sequential(
#     nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(),
#     nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(),
#     nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(),
#     nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU(),
#     nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10),
# )
# ```
# One of many: 6,058 parameters, 296,512 multiply-adds, 23 pixels. The hard limits were the work and
# the view, and early strides meet both: without them the same layers cost 4.6 million multiply-adds
# and see 9 pixels. Global average pooling does without a large linear layer: with all
# $16\times7\times7$ values led to it there are 13,738 parameters.
# </details>

# %% [markdown]
# ## Recap
#
# - A convolution's weight is used at every place, a linear layer's once: early maps hold VGG's
#   activations, linear layers its parameters, convolutions do the work. A printed table can be
#   checked; several are wrong.
# - A $1\times1$ convolution is one matrix at every place, with a ReLU a perceptron; before the dear
#   kernels it takes the lecture's Inception module from 854M to 271M multiply-adds. A shortcut
#   makes a block's derivative, before its last ReLU, $I+\partial F/\partial x$; DenseNet
#   concatenates where ResNet adds.
# - A plain network of 56 layers trains and tests worse than one of 20: an optimisation problem. In
#   32 steps skips halve the gap, and after the paper's 64,000 they turn it round. With frozen
#   batch-norm statistics one step changes a plain network exponentially in its depth, a residual
#   one far less.
# - RSA compares what two systems say about the same pictures, without matching units; equal RDMs
#   do not mean equal units. In our nets the last layers show more class structure than the pixels
#   only after training, and then not by much.
#
# **In practice** networks are taken pretrained, batch norm is folded, on a GPU `channels_last` and
# mixed precision are tried before a new architecture, and time is measured, not counted: memory
# traffic takes time too.
#
# **Roads not taken**: depthwise designs (MobileNet, EfficientNet), squeeze-and-excitation,
# architecture search, ConvNeXt, vision transformers, detection and segmentation.

# %% [markdown]
# **Answers to the questions in Explore it.** *Half the width:* AlexNet in `conv4`, after 0.6 G
# multiply-adds; NIN in `pool3`, after 0.9 G; ResNet-50 in `blocks.8`, after 2.4 G; VGG-16 in
# `conv5_1`, after 14 G: small kernels at stride 1 are a dear way to see far. *Where paths meet:*
# neither addition nor concatenation has parameters or multiply-adds. At the addition of `blocks.8`
# the residual function has seen 139 pixels and the shortcut 107; the sum sees 139. GoogLeNet's
# first module, `0.5`, stacks maps that see 27, 43, 59 and 43 pixels. A shortcut that changes the
# shape is not free: `blocks.3.shortcut.0` takes 132,096 parameters and 103 M multiply-adds. *Maps:*
# six filtered copies of the whole picture; in S2 the boot is still there, in C3 parts of it, in S4,
# with $5\times5$ values a map, hardly anything; C5 has no places left. In residual-20 a coarse boot
# comes over each addition as far as `blocks.2`; of the eight maps of `blocks.3.shortcut` four are
# empty, the channels of zeros that it appends.

# %% [markdown]
# **References.** Hubel and Wiesel (1962), Receptive fields, binocular interaction and functional
# architecture in the cat's visual cortex. Fukushima (1980), Neocognitron. Adelson and Bergen
# (1985), Spatiotemporal energy models for the perception of motion. LeCun et al. (1989),
# Backpropagation applied to handwritten zip code recognition. Olshausen and Field (1996), Emergence
# of simple-cell receptive field properties by learning a sparse code for natural images. Bell and
# Sejnowski (1997), The "independent components" of natural scenes are edge filters. LeCun et al.
# (1998), Gradient-based learning applied to document recognition. Kriegeskorte, Mur and Bandettini
# (2008), Representational similarity analysis. Krizhevsky, Sutskever and Hinton (2012), ImageNet
# classification with deep convolutional neural networks. Khaligh-Razavi and Kriegeskorte (2014),
# Deep supervised, but not unsupervised, models may explain IT cortical representation. Krizhevsky
# (2014), One weird trick for parallelizing convolutional neural networks. Lin, Chen and Yan (2014),
# Network in network. Nili et al. (2014), A toolbox for representational similarity analysis. Zeiler
# and Fergus (2014), Visualizing and understanding convolutional networks. Russakovsky et al.
# (2015), ImageNet large scale visual recognition challenge. Simonyan and Zisserman (2015), Very
# deep convolutional networks for large-scale image recognition. Szegedy et al. (2015), Going deeper
# with convolutions; (2016), Rethinking the Inception architecture for computer vision; (2017),
# Inception-v4, Inception-ResNet and the impact of residual connections on learning. Canziani,
# Paszke and Culurciello (2016), An analysis of deep neural network models. Cichy et al. (2016),
# Comparison of deep neural networks to spatio-temporal cortical dynamics. He et al. (2016), Deep
# residual learning for image recognition. Paszke et al. (2016), ENet. Goyal et al. (2017),
# Accurate, large minibatch SGD. Huang et al. (2017), Densely connected convolutional networks. H.
# Li et al. (2018), Visualizing the loss landscape of neural nets. Yang et al. (2019), A mean field
# theory of batch normalization. Mehrer et al. (2020), Individual differences among deep neural
# network models. S. Li et al. (2020), PyTorch Distributed.
