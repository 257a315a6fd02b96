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
# # See what a convolution computes, and derive its backward pass
#
# **You will build** convolution from the integral to `nn.Conv2d`: by loops, by one matrix product
# and by Fourier transform, with pooling, unpooling, and the gradients of all of them.
#
# **You will learn** to
# - tell convolution from cross-correlation, and say when the difference matters;
# - predict output shape, parameters and multiply-adds from the options of a layer;
# - derive the gradient of a convolution, and recognise the transposed convolution in it;
# - compute a receptive field, and measure how much of it is used;
# - show where translation equivariance holds, where it breaks, and what a blur mends.
#
# **You need** notebooks 01 and 06, about three hours, and a CPU. Reviewed 2026-11-22.

# %%
import math
import time

import matplotlib.pyplot as plt
import numpy as np
import skimage
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import data
from course_utils.checks import Ledger, check_exercise
from course_utils.figures import MARKERS, PALETTE, show, use_course_style
from course_utils.models import draw_weights
from course_utils.training import accuracy, fit
from course_utils.widgets import ConvolutionStepper

use_course_style()

# %% [markdown]
# ## Why
#
# A linear classifier reads a picture as a list of 784 unrelated numbers. Below, one is fitted by
# least squares (with a small penalty on the weights) to 6000 pictures of clothes, and tested on 500
# others, as they are and moved.
#
# **Predict.** How many pixels may the clothes move before one prediction in two is wrong?

# %%
ledger = Ledger("08_convolution")
F64 = torch.float64
fashion = data.load_fashion_mnist()
TRAIN = (
    torch.from_numpy(fashion.X_train[:6000])[:, None],
    torch.from_numpy(fashion.y_train[:6000]),
)
TEST = (torch.from_numpy(fashion.X_test[:500])[:, None], torch.from_numpy(fashion.y_test[:500]))


# %%
def move(x, rows, columns):
    """Move pictures down and to the right; black enters, and what leaves the frame is lost."""
    return F.pad(x, (columns, -columns, rows, -rows))


def accuracy_when_moved(predict, distance, back=False):
    """Return the mean test accuracy over four directions; `back` undoes the move, not the cut."""
    right = []
    directions = {(0, distance), (0, -distance), (distance, 0), (-distance, 0)}  # 1 if it is 0
    for rows, columns in directions:
        x = move(TEST[0], rows, columns)
        with torch.no_grad():
            logits = predict(move(x, -rows, -columns) if back else x)
        right.append(logits.argmax(dim=1) == TEST[1])
    return torch.cat(right).double().mean().item()


# %%
DISTANCES = (0, 1, 2, 3, 4, 6)
flat, targets = TRAIN[0].flatten(1).double(), F.one_hot(TRAIN[1], 10).double()
W_LINEAR = torch.linalg.solve(flat.T @ flat + 30 * torch.eye(784), flat.T @ targets)


def predict_linear(x):
    """Return the scores of the linear classifier."""
    return x.flatten(1).double() @ W_LINEAR


linear_curve = [accuracy_when_moved(predict_linear, distance) for distance in DISTANCES]
print("moved by", DISTANCES, "pixels:", [round(value, 3) for value in linear_curve])
print(f"moved by 6 and back: {accuracy_when_moved(predict_linear, 6, back=True):.3f}")

# %%
fig, axs = plt.subplots(1, 2, figsize=(6, 2.5), width_ratios=(1, 1.7))
axs[0].imshow(W_LINEAR[:, 0].view(28, 28), cmap="RdBu_r", vmin=-0.15, vmax=0.15)
axs[0].set(xticks=[], yticks=[], title="weights of T-shirt/top")
axs[1].plot(DISTANCES, linear_curve, marker=MARKERS[0])
axs[1].axhline(0.1, color="0.6", linewidth=1, linestyle=":")
axs[1].set(xlabel="distance moved (pixels)", ylabel="test accuracy (fraction)", ylim=(0, 1))
show(
    fig,
    alt="Left: the weights of the T-shirt class, red and blue pixels scattered about the sleeves "
    "and borders. Right: test accuracy falls from eight tenths to two tenths at six pixels.",
)

# %% [markdown]
# *Figure 1. Left: weights of one class of a linear classifier (red positive, blue negative). Right:
# its accuracy on moved test pictures, mean of four directions; dotted: guessing. What leaves the
# frame is lost.*
#
# Between two and three pixels are enough, and the cut at the edge is hardly the reason: most of the
# pictures that are cut and moved back are still recognised. Every weight belongs to one pixel, so
# what was learnt about a sleeve in one place need not hold two pixels on. A convolution asks the
# same small question at every place, with the same weights.

# %% [markdown]
# ## The idea in symbols: convolution and correlation
#
# **Convolution** (卷积) and **cross-correlation** (互相关) of a signal $x$ with a kernel $w$ (the
# lecture's $h$):
#
# $$(x*w)(t)=\int x(\tau)\,w(t-\tau)\,d\tau,\qquad (w\star x)(t)=\int x(t+\tau)\,w(\tau)\,d\tau .$$
#
# The first turns the kernel round before it slides, the second does not. In samples:
#
# $$(x*w)_p=\sum_u x_{p-u}\,w_u,\qquad (w\star x)_p=\sum_u x_{p+u}\,w_u,\qquad
# (w\star x)_{pq}=\sum_{u,v}x_{p+u,\,q+v}\,w_{uv}.$$
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $t,\tau$ | `t`, `tau` | scalars | time |
# | $N$; $C,C'$; $H,W$; $H',W'$ | `N`; ... | integers | pictures; channels; rows, columns in, out |
# | $x$; $\tilde x$, the padded $x$ | `x`; `pad(x)` | $(N,C,H,W)$ | that of the input |
# | $w$, kernel (卷积核); $b$, bias | `w`, `b` | $(C',C/G,K_H,K_W)$; $(C',)$ | learnt |
# | $y$, output or feature map (特征图) | `y` | $(N,C',H',W')$ | that of the output |
# | $p,q$; $u,v$: place in the output; in the kernel | `p, q`; `u, v` | integers | from 0 |
# | $n,c,o$: picture, input channel, output channel | `n, c, o` | integers | from 0 |
# | $K,S,P,D$: kernel size, stride, padding, dilation | `kernel`, `stride`, ... | pairs | pixels |
# | $k,l$, place in the padded input; $m$, a move | `rows, columns` | integers | pixels |
# | $a$, pointwise kernel; $d$, depthwise kernel | `a`; `d` | $(C',C)$; $(C,1,K_H,K_W)$ | learnt |
# | $G$, groups | `groups` | integer | divides $C$ and $C'$ |
# | $J$, loss; $\delta=\partial J/\partial y$ | `loss`; `delta` | scalar; as $y$ | real |
# | $\ell$, layer; $r_\ell$, receptive field; $j_\ell$, jump | `r`, `jump` | integers | pixels |
#
# ## Build it: the sliding integral
#
# The lecture's example: $x$ is a box of height 1 on $[0,1]$; $w$ lives on $[0,2]$ and is either a
# box of height 1/2 or a triangle that rises with slope 1/2. The box $x$ cuts a piece out of $w$:
# $y(t)=\int_{t-1}^{t}w$. So both answers can be written down piece by piece.


# %%
def box(t):
    """Return the kernel that is 1/2 on [0, 2]."""
    return np.where((t >= 0) & (t <= 2), 0.5, 0.0)


def ramp(t):
    """Return the kernel that rises as t/2 on [0, 2]."""
    return box(t) * t


def box_answer(t):
    """Return the convolution of the unit box with `box`."""
    return np.select([t < 0, t < 1, t < 2, t < 3], [0 * t, t / 2, 0 * t + 0.5, (3 - t) / 2], 0)


def ramp_answer(t):
    """Return the convolution of the unit box with `ramp`."""
    pieces = [0 * t, t**2 / 4, (2 * t - 1) / 4, (4 - (t - 1) ** 2) / 4]
    return np.select([t < 0, t < 1, t < 2, t < 3], pieces, 0)


# %%
TAU = (np.arange(2000) + 0.5) / 2000  # midpoints of 2000 pieces of [0, 1], where x is 1


def integrate_convolution(w, t):
    """Return the integral of x(tau) w(t - tau) for each t, by the midpoint rule."""
    return w(t[:, None] - TAU).mean(axis=1)


def integrate_correlation(w, t):
    """Return the integral of x(t + tau) w(tau); s = t + tau is the place where x is read."""
    return w(TAU - t[:, None]).mean(axis=1)


times = np.linspace(-2.5, 3.5, 241)
swept = {
    "convolution": integrate_convolution(ramp, times),
    "correlation": integrate_correlation(ramp, times),
}

# %% [markdown]
# **Predict.** Where is the correlation with the ramp largest, and does it rise slowly and fall
# fast, or the other way round?

# %%
fig, axs = plt.subplots(1, 2, figsize=(6, 2.6), sharey=True)
tau_line = np.linspace(-2.5, 3.5, 601)
for t, shade in ((0.5, "0.75"), (1.5, "0.55"), (2.5, "0.35")):
    axs[0].plot(tau_line, ramp(t - tau_line), "-", color=shade, linewidth=1)
    axs[0].text(t - 2, 1.05, f"{t}", fontsize=10, ha="center")
axs[0].text(-2.4, 1.05, "$t=$", fontsize=10)
axs[0].fill_between([0, 1], 1, color=PALETTE["blue"], alpha=0.25, linewidth=0)
axs[0].text(0.5, 0.05, r"$x(\tau)$", ha="center", color=PALETTE["blue"])
axs[0].set(xlabel=r"$\tau$ (time)", ylabel="value", ylim=(0, 1.25))
for label, series in swept.items():
    axs[1].plot(times, series, label=label)
axs[1].set(xlabel="$t$ (time)")
axs[1].legend(fontsize=10, loc="upper center")
show(
    fig,
    alt="Left: three mirrored ramps slide to the right across a box on 0 to 1. Right: the "
    "convolution rises until t is 2 and falls to 0 at 3; the correlation is its mirror image.",
)

# %% [markdown]
# *Figure 2. Left: the box $x(\tau)$ and the turned ramp $w(t-\tau)$ at three times. Right:
# convolution and correlation of the two.*
#
# The correlation is largest at $t=-1$, where the box lies over the high end of the ramp; it rises
# fast and falls slowly.
#
# ## Check it: the sliding integral
#
# Against adaptive quadrature. Where no jump lies inside, the midpoint rule is exact for a straight
# line. And because $x$ is its own mirror image about 1/2, the correlation is the mirrored
# convolution: $(w\star x)(1-t)=(x*w)(t)$.

# %%
from scipy.integrate import quad

rng = np.random.default_rng(0)
moments = np.sort(rng.uniform(-0.5, 3.5, size=25))
smooth = (moments > 1) & (moments < 2)
for w, answer in ((box, box_answer), (ramp, ramp_answer)):
    exact = answer(moments)
    by_quad = [
        quad(lambda tau, w=w, t=t: w(t - tau), 0, 1, points=np.clip([t - 2, t], 0, 1))[0]
        for t in moments
    ]
    ledger.check_close(57, f"{w.__name__}: closed form = quadrature", exact, by_quad)
    rule = integrate_convolution(w, moments)
    ledger.check_close(57, f"{w.__name__}: midpoint rule", rule, exact, tolerance=1e-3)
    ledger.check_close(57, f"{w.__name__}: rule, no jump", rule[smooth], exact[smooth])
    mirror = integrate_correlation(w, 1 - moments)
    ledger.check_close(57, f"{w.__name__}: correlation, mirrored", mirror, exact, tolerance=1e-3)

# %% [markdown]
# ## Build it: one dimension, in samples
#
# With finite signals one must say which places count. `full` keeps every place where kernel and
# signal touch, `valid` those where the shorter lies wholly inside the longer, `same` as many as the
# longer has, centred. Correlation is convolution with the kernel turned round.


# %%
def convolve(x, w, mode="full"):
    """Return the sum over u of x[p - u] w[u]."""
    full = np.zeros(len(x) + len(w) - 1)
    for u, weight in enumerate(w):
        full[u : u + len(x)] += weight * x
    short, long = sorted((len(x), len(w)))
    size = {"full": len(full), "same": long, "valid": long - short + 1}[mode]
    first = (len(full) - size) // 2
    return full[first : first + size]


def correlate(x, w, mode="valid"):
    """Return the sum over u of x[p + u] w[u]."""
    return convolve(x, w[::-1], mode)


four, three = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 0.0, -1.0])
print("convolve", convolve(four, three, "valid"), "correlate", correlate(four, three))

# %% [markdown]
# ## Check it: one dimension, in samples
#
# Against NumPy, for signals no shorter than the kernel (where it is longer, NumPy may centre a
# `same` correlation one place off ours). Convolution commutes; correlation with exchanged arguments
# gives the mirrored answer. Last, `torch` is asked what it calls a convolution.

# %%
for mode in ("full", "same", "valid"):
    pairs = [(rng.normal(size=a), rng.normal(size=k)) for a, k in ((11, 4), (8, 3), (7, 7))]
    ours = np.concatenate([f(a, k, mode) for a, k in pairs for f in (convolve, correlate)])
    numpys = [f(a, k, mode) for a, k in pairs for f in (np.convolve, np.correlate)]
    ledger.check_close(57, f"convolve, correlate = NumPy, {mode}", ours, np.concatenate(numpys))
signal, kernel_1d = rng.normal(size=11), rng.normal(size=4)
swapped = convolve(kernel_1d, signal)
ledger.check_close(57, "convolution commutes", convolve(signal, kernel_1d), swapped)
ahead, back = correlate(signal, kernel_1d, "full"), correlate(kernel_1d, signal, "full")
with ledger.refuses(57, "correlation commutes"):
    ledger.check_close(57, "correlation, exchanged", ahead, back)
ledger.check_close(57, "correlation, exchanged, is mirrored", ahead, back[::-1])

# %%
by_torch = F.conv1d(*(torch.from_numpy(part)[None, None] for part in (signal, kernel_1d)))[0, 0]
with ledger.refuses(57, "torch's conv1d is a convolution"):
    ledger.check_close(57, "conv1d", by_torch, convolve(signal, kernel_1d, "valid"))
ledger.check_close(57, "conv1d = correlate", by_torch, correlate(signal, kernel_1d))

# %% [markdown]
# What deep learning calls convolution is cross-correlation. For a learnt kernel the difference is a
# matter of storage: training finds the kernel turned or not. It matters when you bring a kernel
# from a book on signals, and once more in the backward pass.
#
# ## Build it: two dimensions, and the lecture's example
#
# The lecture slides two $3\times3$ kernels over a $6\times6$ picture and keeps the largest of each
# $2\times2$ block.


# %%
def correlate2d(x, w):
    """Slide w over x; every place where it fits gives one number."""
    height, width = (size - taps + 1 for size, taps in zip(x.shape, w.shape, strict=True))
    y = torch.empty(height, width, dtype=x.dtype)
    for p in range(height):
        for q in range(width):
            y[p, q] = (x[p : p + w.shape[0], q : q + w.shape[1]] * w).sum()
    return y


def convolve2d(x, w):
    """Slide the kernel turned by 180 degrees."""
    return correlate2d(x, w.flip(0, 1))


# %%
ROWS = ("100001", "010010", "001100", "100010", "010010", "001010")
lecture_picture = torch.tensor([[float(digit) for digit in line] for line in ROWS])
lecture_kernels = {
    "diagonal": torch.tensor([[1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]),
    "column": torch.tensor([[-1.0, 1.0, -1.0]] * 3),
}
panels = {"picture": lecture_picture}
for name, w in lecture_kernels.items():
    panels[f"{name} kernel"] = w
    panels[f"{name} map"] = correlate2d(lecture_picture, w)
    panels[f"{name} pooled"] = F.max_pool2d(panels[f"{name} map"][None], 2)[0]

# %%
fig, axs = plt.subplots(2, 4, figsize=(6.2, 3.2))
axs[1, 0].axis("off")
for ax, (name, values) in zip([*axs[0], *axs[1, 1:]], panels.items(), strict=True):
    ax.imshow(values, cmap="RdBu_r", vmin=-6, vmax=6)
    ax.set_title(name, fontsize=10)
    ax.axis("off")
    for (p, q), value in np.ndenumerate(values.numpy()):
        ax.text(q, p, f"{value:.0f}", ha="center", va="center", fontsize=8)
show(
    fig,
    alt="The lecture's six by six picture, two kernels of three by three, their four by four maps "
    "and the two by two results of pooling, all with their numbers.",
)

# %% [markdown]
# *Figure 3. The lecture's example: picture, kernels, feature maps, and the largest of each block
# (red positive, blue negative).*
#
# ## Check it: two dimensions, and the lecture's example
#
# The first map to the digit against the slide; the second, of which the slide shows scraps, against
# SciPy. Then random shapes, and a question: can the lecture's example tell a convolution from a
# correlation?

# %%
from scipy import signal as scipy_signal

first_map = [[3, -1, -3, -1], [-3, 1, 0, -3], [-3, -3, 0, 1], [3, -2, -2, -1]]
ledger.check_equal(57, "lecture, first map", panels["diagonal map"], first_map)
by_scipy = scipy_signal.correlate2d(lecture_picture, lecture_kernels["column"], mode="valid")
ledger.check_close(57, "lecture, second map = SciPy", panels["column map"], by_scipy)

# %%
picture, odd_kernel = (torch.from_numpy(rng.normal(size=size)) for size in ((9, 12), (4, 3)))
for function in (correlate2d, convolve2d):
    reference = getattr(scipy_signal, function.__name__)(picture, odd_kernel, mode="valid")
    ledger.check_close(57, f"{function.__name__} = SciPy", function(picture, odd_kernel), reference)
for name, w in lecture_kernels.items():
    turned_map = convolve2d(lecture_picture, w)
    ledger.check_equal(57, f"{name}: convolution = correlation", turned_map, panels[f"{name} map"])
turned_map, plain_map = convolve2d(picture, odd_kernel), correlate2d(picture, odd_kernel)
with ledger.refuses(57, "the two agree for any kernel"):
    ledger.check_close(57, "random", turned_map, plain_map)

# %% [markdown]
# It cannot: both of its kernels look the same after half a turn, and then either definition passes.
# So the checks draw their kernels at random.

# %% [markdown]
# ## Try it: filters from before deep learning
#
# Five kernels people designed, on a photograph: a horizontal step (right minus left), a blur
# (bell-shaped weights), sharpen (twice the picture minus the blur), a difference of two blurs (of
# Gaussians), and a Gabor kernel (a wave under a bell). **Predict** for each whether a flat region
# comes out as 0 or unchanged: what decides?

# %%
camera = torch.from_numpy(skimage.data.camera()).double()[40:232:2, 140:332:2] / 255  # (96, 96)
offsets = torch.arange(-4.0, 5.0, dtype=F64)
bell, wide_bell = (torch.exp(-(offsets**2) / (2 * width**2)) for width in (1.0, 1.6))
bell, wide_bell = bell / bell.sum(), wide_bell / wide_bell.sum()
blur, wide_blur = torch.outer(bell, bell), torch.outer(wide_bell, wide_bell)
unit = torch.zeros(9, 9, dtype=F64)
unit[4, 4] = 1
gabor = 8 * torch.cos(1.5 * (offsets[:, None] + offsets) / math.sqrt(2)) * wide_blur

# %%
FILTERS = {
    "horizontal step": torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=F64),
    "blur": blur,
    "sharpen": 2 * unit - blur,
    "difference of Gaussians": blur - wide_blur,
    "Gabor, 45 degrees": gabor - gabor.sum() * wide_blur,
}
filtered = {name: correlate2d(camera, w) for name, w in FILTERS.items()}
for name, w in FILTERS.items():
    print(f"{name:24s} sum of the weights {w.sum():6.3f}")

# %%
fig, axs = plt.subplots(2, 3, figsize=(5, 3.5))
for ax, (name, values) in zip(axs.flat, {"photograph": camera, **filtered}.items(), strict=True):
    signed = name not in ("photograph", "blur", "sharpen")
    limit = values.abs().quantile(0.99) if signed else 1
    ax.imshow(values, cmap="gray", vmin=-limit if signed else 0, vmax=limit)
    ax.set_title(name, fontsize=9)
    ax.axis("off")
show(
    fig,
    alt="A cameraman and five filtered versions: upright edges, a blurred one, a sharp one with "
    "halos, outlines of all directions, and only the edges along one diagonal.",
)

# %% [markdown]
# *Figure 4. A photograph (scikit-image's `camera`) and five filters. In the three with signed
# values mid-grey is zero.*
#
# A flat region comes out as its value times the sum of the weights: 0 for three of the kernels,
# unchanged for blur and sharpen. The horizontal step answers to upright edges; others, and the
# widget below, speak of vertical edges. Not seen, because all panels are drawn equally large: the
# outputs have lost a border, four pixels wide for the $9\times9$ kernels.
#
# ## The idea in symbols: Conv2d
#
# A layer has $C$ input channels and $C'$ kernels, each of which reads all channels of its group:
#
# $$y_{nopq}=b_o+\sum_{c}\sum_{u,v}\tilde x_{n,\,c,\,S_Hp+D_Hu,\,S_Wq+D_Wv}\;w_{ocuv},\qquad
# H'=\Big\lfloor\frac{H+2P_H-D_H(K_H-1)-1}{S_H}\Big\rfloor+1 ,$$
#
# where $c$ runs over the $C/G$ channels of the group of $o$ (in $w$, counted from the start of the
# group), and $W'$ goes the same way (Dumoulin and Visin, 2016). **Stride** (步幅) $S$ moves the
# window by $S$ places at a time, **padding** (填充) $P$ adds a border, **dilation** (空洞) $D$ puts
# $D-1$ gaps between neighbouring **taps** (the single weights of a kernel), **groups** (分组) $G$
# cut the channels into separate convolutions. Parameters: $C'\,(C/G)\,K_HK_W+C'$.
#
# ## Build it: padding and the loops
#
# Padding is a list of places to read: each padded position shows one input position, or a zero.


# %%
def border_index(size, padding, mode):
    """Return which input position each padded position shows; -1 stands for the fill value."""
    place = torch.arange(-padding, size + padding)
    if mode == "replicate":
        return place.clamp(0, size - 1)
    if mode == "circular":
        return place % size
    if mode == "reflect":
        return size - 1 - (size - 1 - place.abs()).abs()
    return torch.where((place >= 0) & (place < size), place, -1)


for mode in ("zeros", "reflect", "replicate", "circular"):
    print(f"{mode:10s}", border_index(5, 3, mode).tolist())


# %%
def pad(x, padding, mode="zeros", fill=0.0):
    """Add a border to the last two axes."""
    axes = zip(x.shape[-2:], padding, strict=True)
    rows, columns = (border_index(size, border, mode) for size, border in axes)
    inside = (rows >= 0)[:, None] & (columns >= 0)
    return torch.where(inside, x[..., rows, :][..., columns], fill)


# %%
def output_size(size, kernel, stride=1, padding=0, dilation=1):
    """Return how many places a window takes along one axis."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


# %%
def conv2d_loops(x, w, b, *, stride, padding, dilation, groups, mode):
    """Return the layer's output, one output value at a time."""
    x = pad(x, padding, mode)
    height, width = map(output_size, x.shape[2:], w.shape[2:], stride, (0, 0), dilation)
    y = torch.empty(len(x), len(w), height, width, dtype=x.dtype)
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    for o in range(len(w)):
        first = o // (len(w) // groups) * w.shape[1]
        channels = x[:, first : first + w.shape[1]]
        for p in range(height):
            rows = slice(p * stride[0], p * stride[0] + reach[0], dilation[0])
            for q in range(width):
                columns = slice(q * stride[1], q * stride[1] + reach[1], dilation[1])
                y[:, o, p, q] = (channels[:, :, rows, columns] * w[o]).sum(dim=(1, 2, 3)) + b[o]
    return y


# %% [markdown]
# ## Check it: padding and the loops
#
# Sixteen random layers, all four padding modes, against torch (with `F.pad` for the three modes
# that `F.conv2d` does not have).


# %%
def draw_case(rng, mode="zeros"):
    """Return x, w, b and the options of a random convolution."""
    groups = int(rng.choice([1, 2, 3]))
    fan, out = rng.integers(1, 4, size=2)
    size, kernel, padding = (rng.integers(*ends, size=2) for ends in ((9, 15), (1, 5), (0, 4)))
    x = torch.from_numpy(rng.normal(size=(rng.integers(1, 4), groups * fan, *size)))
    w = torch.from_numpy(rng.normal(size=(groups * out, fan, *kernel)))
    options = {"stride": rng.integers(1, 4, size=2), "padding": padding}
    options["dilation"] = rng.integers(1, 3, size=2)
    options = {name: tuple(map(int, pair)) for name, pair in options.items()}
    b = torch.from_numpy(rng.normal(size=groups * out))
    return x, w, b, options | {"groups": groups, "mode": mode}


# %%
def torch_conv2d(x, w, b, *, mode, padding, **options):
    """Return torch's answer."""
    if mode != "zeros":
        x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]), mode=mode)
        padding = 0
    return F.conv2d(x, w, b, padding=padding, **options)


# %%
MODES = ("zeros", "reflect", "replicate", "circular")
cases = [draw_case(rng, mode) for mode in MODES for _ in range(4)]


def compare_with_torch(name, function):
    """Check a convolution against torch on all random cases."""
    for mode in MODES:
        chosen = [case for case in cases if case[3]["mode"] == mode]
        ours, torchs = (
            torch.cat([f(x, w, b, **options).flatten() for x, w, b, options in chosen])
            for f in (function, torch_conv2d)
        )
        ledger.check_close(58, f"{name} = torch, padding mode {mode}", ours, torchs)


compare_with_torch("loops", conv2d_loops)

# %% [markdown]
# ## Build it: one matrix product, or a Fourier transform
#
# The loops read every input value many times. A **view** can show all windows at once without
# copying anything: two more axes $u,v$ whose steps in memory (torch's `x.stride()`, not the stride
# of the layer) are those of the rows and columns, times the dilation; the steps of $p,q$ are
# multiplied by the stride. Written out as the columns of a matrix (**im2col**; this does copy, each
# value into up to $K_HK_W$ columns), the windows make a convolution one matrix product for each
# group.


# %%
def windows(x, kernel, stride=(1, 1), dilation=(1, 1)):
    """Return a view (N, C, H', W', K_H, K_W): what lies under each place of the output."""
    counts = map(output_size, x.shape[2:], kernel, stride, (0, 0), dilation)
    image, channel, *steps = x.stride()
    places = [step * s for step, s in zip(steps, stride, strict=True)]
    taps = [step * d for step, d in zip(steps, dilation, strict=True)]
    return x.as_strided((*x.shape[:2], *counts, *kernel), (image, channel, *places, *taps))


# %%
def conv2d(x, w, b, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, mode="zeros"):
    """Return the layer's output by one matrix product for each group."""
    seen = windows(pad(x, padding, mode), w.shape[2:], stride, dilation)
    N, _, height, width = seen.shape[:4]
    columns = seen.unflatten(1, (groups, -1)).permute(1, 2, 5, 6, 0, 3, 4)  # (G, c, u, v, n, p, q)
    columns = columns.reshape(groups, w[0].numel(), N * height * width)
    y = w.reshape(groups, -1, w[0].numel()) @ columns  # (G, C'/G, N H' W')
    y = y.view(len(w), N, height, width).transpose(0, 1)  # (N, C', H', W')
    return y + b[:, None, None]


# %% [markdown]
# The other fast way uses the convolution theorem. Put $x$ on a circle of $H$ places, so that
# indices count modulo $H$, and write $\hat x_f=\sum_p x_p\,e^{-2\pi\mathrm{i}fp/H}$ for its
# frequencies $f$. Then for $y_p=\sum_u x_{p+u}\,w_u$
#
# $$\hat y_f=\sum_u w_u\,e^{2\pi\mathrm{i}fu/H}\sum_p x_{p+u}\,e^{-2\pi\mathrm{i}f(p+u)/H}
# =\overline{\hat w_f}\;\hat x_f :$$
#
# a correlation multiplies each frequency of $x$ by the conjugate of $w$'s. Places where the window
# would wrap round are thrown away, stride drops others after the work is done, and dilation puts
# zeros between the taps.


# %%
def conv2d_fft(x, w, b, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, mode="zeros"):
    """Return the layer's output by way of its frequencies."""
    x = pad(x, padding, mode)
    reach = [d * (k - 1) + 1 for k, d in zip(w.shape[2:], dilation, strict=True)]
    spread_taps = torch.zeros(*w.shape[:2], *reach, dtype=w.dtype)
    spread_taps[:, :, :: dilation[0], :: dilation[1]] = w
    size = x.shape[2:]
    waves = torch.fft.rfft2(x).unflatten(1, (groups, -1))
    taps = torch.fft.rfft2(spread_taps, s=size).conj().unflatten(0, (groups, -1))
    product = torch.einsum("ngchw,gochw->ngohw", waves, taps).flatten(1, 2)
    rows, columns = (slice(0, n - r + 1, s) for n, r, s in zip(size, reach, stride, strict=True))
    return torch.fft.irfft2(product, s=size)[:, :, rows, columns] + b[:, None, None]


# %% [markdown]
# ## Check it: one matrix product, or a Fourier transform
#
# The same sixteen layers. To be refused: without the conjugate, the frequencies give a true
# convolution on the circle.

# %%
compare_with_torch("im2col", conv2d)
compare_with_torch("FFT", conv2d_fft)
x_circle, w_circle = torch.from_numpy(rng.normal(size=(2, 1, 1, 8, 8)))
no_bias = torch.zeros(1, dtype=F64)
around = conv2d(F.pad(x_circle, (0, 7, 0, 7), mode="circular"), w_circle, no_bias)
with ledger.refuses(58, "FFT without the conjugate"):
    unconjugated = torch.fft.irfft2(torch.fft.rfft2(x_circle) * torch.fft.rfft2(w_circle))
    ledger.check_close(58, "no conjugate", unconjugated, around)

# %% [markdown]
# ## Check it: predict a layer before you run it
#
# The lecture's three examples of `nn.Conv2d`, and one with groups, on an input of shape
# $(20,16,50,100)$. A **multiply-add** (乘加) is one product added to a sum; a layer needs one for
# each tap of each output. The formulas are compared with torch on its `meta` device, which knows
# shapes and holds no numbers.
#
# **Predict** the output shape and the parameters of the second example by hand:
# `nn.Conv2d(16, 33, (3, 5), stride=(2, 1), padding=(4, 2))`.


# %%
def pair(value):
    """Return (value, value) for a number, and a pair as it is."""
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def predict_conv(shape, out_channels, kernel, stride=1, padding=0, dilation=1, groups=1):
    """Return N, C', H', W', the parameters and the multiply-adds of a layer."""
    axes = zip(shape[2:], *map(pair, (kernel, stride, padding, dilation)), strict=True)
    height, width = (output_size(*axis) for axis in axes)
    weights = out_channels * shape[1] // groups * math.prod(pair(kernel))
    work = shape[0] * height * width * weights
    return shape[0], out_channels, height, width, weights + out_channels, work


# %%
from torch.utils.flop_counter import FlopCounterMode


def ask_torch(layer, shape):
    """Return the same for a layer on the meta device, as torch counts it."""
    with FlopCounterMode(display=False) as counter:
        y = layer(torch.empty(shape, device="meta"))
    parameters = sum(parameter.numel() for parameter in layer.parameters())
    return *y.shape, parameters, counter.get_total_flops() // 2


# %%
uneven = {"stride": (2, 1), "padding": (4, 2)}
print("kernel, options -> (N, C', H', W', parameters, multiply-adds)")
for out_channels, kernel, options in (
    (33, 3, {"stride": 2}),
    (33, (3, 5), uneven),
    (33, (3, 5), uneven | {"dilation": (3, 1)}),
    (36, 3, {"padding": 1, "groups": 4}),
):
    predicted = predict_conv((20, 16, 50, 100), out_channels, kernel, **options)
    print(f"{kernel}, {options} -> {predicted}")
    layer = nn.Conv2d(16, out_channels, kernel, **options, device="meta")
    found = ask_torch(layer, (20, 16, 50, 100))
    ledger.check_equal(58, f"Conv2d(16, {out_channels}, {kernel}, ...)", predicted, found)

# %% [markdown]
# ## Try it: what each way costs
#
# Loops and matrix product are direct: they need the multiply-adds just predicted. The Fourier way
# transforms $C$ maps forwards and $C'$ back, about $\tfrac52HW\log_2(HW)$ operations each (the
# usual estimate for a real transform), counted here as half as many multiply-adds, and multiplies
# $HW/2$ complex pairs (of a real map half the frequencies say everything), four multiply-adds each,
# for each pair of channels. It transforms the $CC'$ kernels as well, once for a batch.
#
# **Predict** from which kernel size on the Fourier way needs fewer, for $C=C'=16$, pictures of
# $64\times64$ that keep their size, and batches of 2 and of 64.


# %%
def fourier_cost(size, kernel, in_channels, out_channels, batch):
    """Return the multiply-adds of one square picture; its maps are padded by kernel - 1."""
    area = (size + kernel - 1) ** 2
    transforms = in_channels + out_channels + in_channels * out_channels / batch
    return transforms * 1.25 * area * math.log2(area) + in_channels * out_channels * 2 * area


def seconds(function, *arguments, **options):
    """Return the shortest of three measured times."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        function(*arguments, **options)
        times.append(time.perf_counter() - start)
    return min(times)


# %%
KERNELS = (1, 3, 5, 7, 11, 15)
direct = [predict_conv((1, 16, 64, 64), 16, k, padding=k // 2)[-1] for k in KERNELS]
cost_ratio = {
    batch: [fourier_cost(64, k, 16, 16, batch) / d for k, d in zip(KERNELS, direct, strict=True)]
    for batch in (2, 64)
}
crossings = [KERNELS[np.argmax(np.array(ratios) < 1)] for ratios in cost_ratio.values()]
print(f"by count, Fourier is cheaper from {crossings[0]} (batch 2), {crossings[1]} (batch 64) on")
ledger.check_equal(58, "where Fourier becomes cheaper by count", crossings, [5, 3])

# %%
x_cost, b_cost = torch.from_numpy(rng.normal(size=(2, 16, 64, 64))), torch.zeros(16, dtype=F64)
time_ratio = {"im2col": [], "FFT": []}
for kernel in KERNELS:
    w_cost = torch.from_numpy(rng.normal(size=(16, 16, kernel, kernel)))
    border = (kernel // 2, kernel // 2)
    base = seconds(F.conv2d, x_cost, w_cost, b_cost, padding=border)
    for name, function in (("im2col", conv2d), ("FFT", conv2d_fft)):
        spent = seconds(function, x_cost, w_cost, b_cost, padding=border)
        time_ratio[name].append(spent / base)
plain = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "mode": "zeros"}
corner = (x_cost[:, :, :20, :20].contiguous(), w_cost, b_cost)
slow = seconds(conv2d_loops, *corner, **plain) / seconds(F.conv2d, *corner)
print(f"loops, 15 x 15: {slow:.0f} times as long as torch, with the same multiply-adds")

# %%
fig, ax = plt.subplots(figsize=(5.6, 2.8))
for (batch, ratios), style in zip(cost_ratio.items(), ("k:", "k-."), strict=True):
    ax.semilogy(KERNELS, ratios, style, linewidth=1, label=f"FFT, multiply-adds, batch {batch}")
for (name, ratios), marker in zip(time_ratio.items(), MARKERS, strict=False):
    ax.semilogy(KERNELS, ratios, marker=marker, markersize=4, label=f"{name}, time")
ax.axhline(1, color="0.6", linewidth=1)
ax.set(xlabel="kernel size (pixels)", ylabel="ratio to F.conv2d (log scale)", xticks=KERNELS)
ax.legend(fontsize=10)
show(
    fig,
    alt="The counts of the Fourier way fall from above one at one by one to far below one at "
    "fifteen. Its measured time falls too, but from higher up; that of im2col stays nearer to one.",
)

# %% [markdown]
# *Figure 5. Multiply-adds of the Fourier way over those of the direct way, and measured times over
# that of `F.conv2d` (float64, batch of 2, one run; no time is asserted).*
#
# By count the Fourier way wins from $5\times5$ on in a batch of two, from $3\times3$ on in one of
# 64. Compare where its time crosses 1. A count says what is needed, a clock what is spent.

# %% [markdown]
# ## The idea in symbols: pooling
#
# **Max pooling** (最大池化) keeps the largest value of each window of each channel, **average
# pooling** (平均池化) the mean. Neither has weights, and the stride is by default the window size.
# **Global average pooling** (全局平均池化) takes one mean over a whole map:
#
# $$y_{ncpq}=\max_{u,v}\tilde x_{n,c,\,S_Hp+D_Hu,\,S_Wq+D_Wv},\qquad
# y_{ncpq}=\frac1{|\cdot|}\sum_{u,v}\tilde x_{n,c,\,S_Hp+u,\,S_Wq+v},\qquad
# y_{nc}=\frac1{HW}\sum_{p,q}x_{ncpq}.$$
#
# Three things differ from a convolution. The border of max pooling is $-\infty$, never 0. The mean
# divides by $|\cdot|$, the number of values in the window, which may count the border's zeros or
# not (`count_include_pad`). And `ceil_mode` rounds the output size up, so that the last window may
# hang over the edge (what lies beyond the border is never counted in a mean); but torch drops a
# window that would *start* beyond the input and its left border.
#
# ## Build it: the size of a pooled map


# %%
def rounded_up_size(size, kernel, stride, padding=0, dilation=1):
    """Return the size by the formula of convolution, the floor turned into a ceiling."""
    return math.ceil((size + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1


def pooled_size(size, kernel, stride, padding=0, dilation=1, ceil_mode=False):
    """Return the number of windows that torch takes along one axis."""
    if not ceil_mode:
        return output_size(size, kernel, stride, padding, dilation)
    count = rounded_up_size(size, kernel, stride, padding, dilation)
    return count - ((count - 1) * stride >= size + padding)


# %% [markdown]
# ## Check it: the size of a pooled map
#
# The lecture's examples of `nn.MaxPool2d`, then every combination of small sizes, against torch.

# %%
for kernel, stride in ((3, 2), ((3, 2), (2, 1))):
    predicted = (20, 16, *map(pooled_size, (50, 32), pair(kernel), pair(stride)))
    pooled = nn.MaxPool2d(kernel, stride=stride)(torch.empty(20, 16, 50, 32, device="meta"))
    name = f"MaxPool2d({kernel}, stride={stride})"
    print(f"{name} -> {predicted}")
    ledger.check_equal(59, name, predicted, tuple(pooled.shape))

# %%
settings = [
    (size, kernel, stride, padding, dilation)
    for size in range(3, 11)
    for kernel in range(1, 5)
    for stride in range(1, 5)
    for padding in range(kernel // 2 + 1)
    for dilation in (1, 2)
    if size + 2 * padding > dilation * (kernel - 1)
]
by_torch = [
    len(F.max_pool1d(torch.empty(1, size, device="meta"), *options, ceil_mode=True)[0])
    for size, *options in settings
]
ours = [pooled_size(*setting, ceil_mode=True) for setting in settings]
ledger.check_equal(59, f"ceil_mode, {len(settings)} combinations", ours, by_torch)
with ledger.refuses(59, "ceil_mode as rounding up only"):
    too_many = [rounded_up_size(*one) - size for one, size in zip(settings, by_torch, strict=True)]
    ledger.check_equal(59, "windows too many", sum(too_many), 0)

# %% [markdown]
# ## Build it: max pooling, average pooling, unpooling
#
# One function cuts out the windows; `fill` stands in the border, `over` beyond it, where only
# `ceil_mode` looks. Max pooling also returns **indices**: for each output, the place of its input
# in the unpadded map, counted row by row. **Unpooling** puts values back there, and zeros
# elsewhere.


# %%
def frames(x, kernel, stride, padding=(0, 0), dilation=(1, 1), ceil_mode=False, fill=0.0, over=0.0):
    """Return the windows of a padded map, (N, C, H', W', K_H K_W)."""
    axes = zip(x.shape[2:], kernel, stride, padding, dilation, strict=True)
    counts = [pooled_size(*axis, ceil_mode=ceil_mode) for axis in axes]
    x = pad(x, padding, fill=fill)
    missing = [
        max(0, (count - 1) * s + d * (k - 1) + 1 - size)
        for count, k, s, d, size in zip(counts, kernel, stride, dilation, x.shape[2:], strict=True)
    ]
    x = F.pad(x, (0, missing[1], 0, missing[0]), value=over)
    return windows(x, kernel, stride, dilation).flatten(4)


# %%
def max_pool2d(x, **options):
    """Return the largest value of each window, and where it was."""
    places = torch.arange(x[0, 0].numel()).view(1, 1, *x.shape[2:])
    seen = frames(x, **options, fill=-torch.inf, over=-torch.inf)
    places = frames(places, **options, fill=-1, over=-1).expand_as(seen)
    y = seen.amax(dim=-1, keepdim=True)
    first = (seen == y).int().argmax(dim=-1, keepdim=True)  # the first, where several are equal
    return y[..., 0], places.gather(-1, first)[..., 0]


# %%
def window_counts(x, count_include_pad=True, **options):
    """Return by how much each sum is divided, (1, 1, H', W')."""
    ones = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype)
    return frames(ones, **options, fill=float(count_include_pad)).sum(dim=-1)


def avg_pool2d(x, count_include_pad=True, **options):
    """Return the mean of each window."""
    return frames(x, **options).sum(dim=-1) / window_counts(x, count_include_pad, **options)


def global_avg_pool(x):
    """Return the mean of each map, (N, C)."""
    return x.mean(dim=(2, 3))


def max_unpool2d(y, indices, size):
    """Return maps of the given size with the pooled values where they came from."""
    x = torch.zeros(*y.shape[:2], math.prod(size), dtype=y.dtype)
    return x.scatter(2, indices.flatten(2), y.flatten(2)).unflatten(2, tuple(size))


# %% [markdown]
# ## Check it: max pooling, average pooling, unpooling
#
# Small integers, so that ties are common; below zero, so that a border of zeros would win. And the
# lecture's two poolings.

# %%
POOLS = [
    {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "ceil_mode": False},
    {"kernel": (3, 4), "stride": (5, 3), "padding": (1, 1), "dilation": (2, 1), "ceil_mode": True},
    {"kernel": (4, 4), "stride": (4, 3), "padding": (2, 1), "dilation": (1, 1), "ceil_mode": True},
]
x_pool = torch.from_numpy(rng.integers(-9, -4, size=(2, 3, 11, 13))).double()


def for_torch(options):
    """Return the options under torch's names."""
    return {"kernel_size" if name == "kernel" else name: v for name, v in options.items()}


# %%
for number, options in enumerate(POOLS):
    y, indices = max_pool2d(x_pool, **options)
    y_torch, indices_torch = F.max_pool2d(x_pool, **for_torch(options), return_indices=True)
    ledger.check_close(59, f"max pooling {number} = torch", y, y_torch)
    ledger.check_equal(59, f"indices {number} = torch", indices, indices_torch)
with ledger.refuses(59, "max pooling with a border of zeros"):
    zero_border = F.max_pool2d(pad(x_pool, (2, 1)), (4, 4), (4, 3), ceil_mode=True)
    ledger.check_close(59, "border", zero_border, y_torch)
for name, slide in (("diagonal", [[3, 0], [3, 1]]), ("column", [[-1, 1], [0, 3]])):
    y, _ = max_pool2d(panels[f"{name} map"][None, None], kernel=(2, 2), stride=(2, 2))
    ledger.check_equal(59, f"lecture, {name} map pooled", y[0, 0], slide)

# %%
for number, options in enumerate(POOLS):
    options = {name: value for name, value in options.items() if name != "dilation"}
    for counted in (True, False):
        ours = avg_pool2d(x_pool, count_include_pad=counted, **options)
        torchs = F.avg_pool2d(x_pool, **for_torch(options), count_include_pad=counted)
        ledger.check_close(60, f"average {number}, border counted: {counted}", ours, torchs)
by_torch = F.adaptive_avg_pool2d(x_pool, 1).flatten(1)
ledger.check_close(60, "global average = adaptive pooling to 1", global_avg_pool(x_pool), by_torch)
with ledger.refuses(60, "a mean over K_H K_W values, whatever the window holds"):
    always_16 = frames(x_pool, **options).mean(dim=-1)
    ledger.check_close(60, "hanging over the edge", always_16, avg_pool2d(x_pool, **options))

# %% [markdown]
# Two maps of different sizes, 10 and 11 rows, pool to the same five: so unpooling must be told
# which one to return (`output_size` in `nn.MaxUnpool2d`).

# %%
for rows in (10, 11):
    x_odd = x_pool[:, :, :rows] + torch.from_numpy(rng.normal(size=(2, 3, rows, 13)))
    y, indices = max_pool2d(x_odd, kernel=(2, 2), stride=(2, 2))
    ours = max_unpool2d(y, indices, x_odd.shape[2:])
    torchs = nn.MaxUnpool2d(2, 2)(y, indices, output_size=x_odd.shape[2:])
    print(f"{rows} rows -> {y.shape[2]} -> {ours.shape[2]}")
    ledger.check_close(59, f"unpooling to {rows} rows = torch", ours, torchs)

# %% [markdown]
# ## The idea in symbols: the way back
#
# Given $\delta=\partial J/\partial y$, sum over every output that a number took part in:
#
# $$\frac{\partial J}{\partial b_o}=\sum_{n,p,q}\delta_{nopq},\qquad
# \frac{\partial J}{\partial w_{ocuv}}
# =\sum_{n,p,q}\delta_{nopq}\,\tilde x_{n,c,\,S_Hp+D_Hu,\,S_Wq+D_Wv},$$
#
# $$\frac{\partial J}{\partial\tilde x_{nckl}}=\sum_{o}\sum_{p,u:\,S_Hp+D_Hu=k}\;
# \sum_{q,v:\,S_Wq+D_Wv=l}\delta_{nopq}\,w_{ocuv}.$$
#
# In the third sum $o$ runs over the group of $c$. The first two read the same windows as the
# forward pass. The third goes the other way: each $\delta$ is multiplied by the kernel and *added
# into* the window it came from. For stride 1 and dilation 1, $p=k-u$, so the sum is
# $\sum\delta_{k-u,\,l-v}\,w_{uv}$: a true convolution, `full`, with the turned kernel that the
# forward pass did without. As a layer, the third sum is the **transposed convolution** (转置卷积):
# the forward pass is a matrix times $x$, this is its transpose times $\delta$.
#
# ## Build it: the backward pass of a convolution
#
# `windows` gives a view; read, it cuts windows out, and written, it puts them back. Neighbouring
# windows overlap, so values are added one tap $(u,v)$ at a time: for one tap no two places agree.


# %%
def spread(delta, w, size, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Add each delta, times the kernel, into the window it came from; return (N, C, *size)."""
    by_group = delta.unflatten(1, (groups, -1)), w.unflatten(0, (groups, -1))
    shares = torch.einsum("ngopq,gocuv->ngcpquv", *by_group).flatten(1, 2)
    rows, columns = (n + 2 * border for n, border in zip(size, padding, strict=True))
    x = torch.zeros(*shares.shape[:2], rows, columns, dtype=delta.dtype)
    view = windows(x, w.shape[2:], stride, dilation)
    for u in range(w.shape[2]):
        for v in range(w.shape[3]):
            view[..., u, v] += shares[..., u, v]
    return x[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]]


# %%
def conv2d_backward(delta, x, w, *, stride, padding, dilation, groups):
    """Return the gradients with respect to x, w and b."""
    seen = windows(pad(x, padding), w.shape[2:], stride, dilation).unflatten(1, (groups, -1))
    by_group = delta.unflatten(1, (groups, -1))
    grad_w = torch.einsum("ngopq,ngcpquv->gocuv", by_group, seen).flatten(0, 1)
    shape = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return spread(delta, w, x.shape[2:], **shape), grad_w, delta.sum(dim=(0, 2, 3))


# %% [markdown]
# ## Check it: the backward pass of a convolution
#
# Against autograd through torch's own layer on eight new random cases. The loss is
# $J=\sum\delta\odot y$ with a drawn $\delta$, whose gradient with respect to $y$ is $\delta$.

# %%
collected = {name: ([], []) for name in ("input", "weight", "bias")}
for _ in range(8):
    x, w, b, options = draw_case(rng)
    leaves = [part.clone().requires_grad_() for part in (x, w, b)]
    y = torch_conv2d(*leaves, **options)
    delta = torch.from_numpy(rng.normal(size=y.shape))
    by_autograd = torch.autograd.grad((delta * y).sum(), leaves)
    del options["mode"]
    for store, *gradients in zip(
        collected.values(), conv2d_backward(delta, x, w, **options), by_autograd, strict=True
    ):
        for part, gradient in zip(store, gradients, strict=True):
            part.append(gradient.flatten())
for name, (ours, autograds) in collected.items():
    name = f"gradient of the {name} = autograd"
    ledger.check_close(58, name, torch.cat(ours), torch.cat(autograds), kind="gradient")

# %% [markdown]
# And against central differences, for one case with everything switched on.

# %%
x, w, b = (torch.from_numpy(rng.normal(size=s)) for s in ((2, 4, 6, 7), (6, 2, 3, 2), (6,)))
options = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 3), "groups": 2}
delta = torch.from_numpy(rng.normal(size=conv2d(x, w, b, **options).shape))
arguments = {"input": x, "weight": w, "bias": b}
for name, gradient in zip(arguments, conv2d_backward(delta, x, w, **options), strict=True):

    def loss(value, name=name):
        """Return J with one argument replaced."""
        changed = (arguments | {name: torch.from_numpy(value)}).values()
        return (delta * conv2d(*changed, **options)).sum().item()

    ledger.check_gradient(58, f"gradient of the {name}", loss, arguments[name], gradient)

# %% [markdown]
# Now the turned kernel. At stride 1 the gradient of the input is a full convolution; the unturned
# kernel, a mistake that raises no error, must be refused.

# %%
delta_1, w_1 = (torch.from_numpy(rng.normal(size=size)) for size in ((5, 6), (3, 4)))
gradient = spread(delta_1[None, None], w_1[None, None], (7, 9))[0, 0]
full = scipy_signal.convolve2d(delta_1, w_1, mode="full")
ledger.check_close(57, "input gradient = full convolution", gradient, full, kind="gradient")
with ledger.refuses(57, "input gradient with the kernel not turned"):
    unturned = scipy_signal.correlate2d(delta_1, w_1, mode="full")
    ledger.check_close(57, "not turned", unturned, gradient, kind="gradient")

# %% [markdown]
# ## Build it: the backward pass of pooling
#
# A maximum passes $\delta$ to the input that won, and nothing to the others; an input that won in
# several windows collects from all. A mean shares $\delta$ equally: it is a convolution of each
# channel by itself ($G=C$) with a kernel of ones, then a division by the count; on the way back
# first divide $\delta$ by the count, then spread it.


# %%
def max_pool2d_backward(delta, indices, size):
    """Return the gradient of the input from the places of the maxima."""
    x = torch.zeros(*delta.shape[:2], math.prod(size), dtype=delta.dtype)
    return x.scatter_add(2, indices.flatten(2), delta.flatten(2)).unflatten(2, tuple(size))


def avg_pool2d_backward(delta, x, kernel, stride, padding, count_include_pad=True):
    """Return the gradient of the input of average pooling."""
    options = {"stride": stride, "padding": padding}
    share = delta / window_counts(x, count_include_pad, kernel=kernel, **options)
    ones = torch.ones(x.shape[1], 1, *kernel, dtype=x.dtype)
    return spread(share, ones, x.shape[2:], **options, groups=x.shape[1])


# %% [markdown]
# ## Check it: the backward pass of pooling
#
# Overlapping windows, against autograd. The values are all different, because where several inputs
# share the maximum no derivative exists. The global average is one window as large as the map.

# %%
leaf = torch.from_numpy(rng.permutation(2 * 9 * 7).reshape(1, 2, 9, 7) / 10).requires_grad_()
start = leaf.detach()
wide = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (1, 2)}
wide["ceil_mode"] = True
y, indices = max_pool2d(start, **wide)
delta = torch.from_numpy(rng.normal(size=y.shape))
y_torch = F.max_pool2d(leaf, **for_torch(wide))
(by_autograd,) = torch.autograd.grad((delta * y_torch).sum(), leaf)
gradient = max_pool2d_backward(delta, indices, (9, 7))
ledger.check_close(59, "max pooling = autograd", gradient, by_autograd, kind="gradient")
with ledger.refuses(59, "overlapping windows: unpooling as the gradient"):
    put = max_unpool2d(delta, indices, (9, 7))
    ledger.check_close(59, "put, not added", put, by_autograd, kind="gradient")

# %%
options = {"kernel": (3, 2), "stride": (2, 1), "padding": (1, 1)}
for counted in (True, False):
    y_torch = F.avg_pool2d(leaf, **for_torch(options), count_include_pad=counted)
    delta = torch.from_numpy(rng.normal(size=y_torch.shape))
    (by_autograd,) = torch.autograd.grad((delta * y_torch).sum(), leaf)
    gradient = avg_pool2d_backward(delta, start, **options, count_include_pad=counted)
    name = f"average, border counted: {counted} = autograd"
    ledger.check_close(60, name, gradient, by_autograd, kind="gradient")
delta = torch.from_numpy(rng.normal(size=(1, 2, 1, 1)))
(by_autograd,) = torch.autograd.grad((delta * F.adaptive_avg_pool2d(leaf, 1)).sum(), leaf)
gradient = avg_pool2d_backward(delta, start, (9, 7), (1, 1), (0, 0))
ledger.check_close(60, "global average = autograd", gradient, by_autograd, kind="gradient")

# %% [markdown]
# ## The idea in symbols: receptive fields
#
# The **receptive field** (感受野) of a unit is the piece of the input it can see. Layer $\ell$ adds
# $K_\ell-1$ taps, each $D_\ell$ units of the layer below apart, and those units are $j_{\ell-1}$
# pixels apart:
#
# $$r_\ell=r_{\ell-1}+D_\ell(K_\ell-1)\,j_{\ell-1},\qquad j_\ell=j_{\ell-1}S_\ell,\qquad
# r_0=j_0=1 .$$
#
# ## Build it: receptive fields


# %%
def receptive_field(layers):
    """Return receptive field and jump of (kernel, stride, dilation) layers, in pixels."""
    r, jump = 1, 1
    for kernel, stride, dilation in layers:
        r += dilation * (kernel - 1) * jump
        jump *= stride
    return r, jump


# %% [markdown]
# ## Check it: receptive fields
#
# Against the span of the nonzero gradient, for random stacks of layers.


# %%
def seen_pixels(layers, size=250):
    """Return the gradient of one middle output; weights of 1 let nothing cancel."""
    x = torch.ones(1, 1, size, dtype=F64, requires_grad=True)
    y = x
    for kernel, stride, dilation in layers:
        y = F.conv1d(y, torch.ones(1, 1, kernel, dtype=F64), stride=stride, dilation=dilation)
    return torch.autograd.grad(y[0, 0, y.shape[2] // 2], x)[0][0, 0]


stacks = [[tuple(map(int, rng.integers(1, 4, size=3))) for _ in range(4)] for _ in range(12)]
spans = [np.ptp(seen_pixels(stack).nonzero().numpy()) + 1 for stack in stacks]
by_rule = [receptive_field(stack)[0] for stack in stacks]
ledger.check_equal(58, "receptive fields of twelve stacks", by_rule, spans)

# %% [markdown]
# The claim behind VGG: three $3\times3$ layers see as much as one $7\times7$. Without
# nonlinearities between them they *are* one, whose kernel is the convolution of the three.

# %%
ledger.check_equal(58, "three of 3 see 7", receptive_field([(3, 1, 1)] * 3), (7, 1))
small = torch.from_numpy(rng.normal(size=(3, 1, 1, 3, 3)))
joined = scipy_signal.convolve2d(small[1, 0, 0], small[2, 0, 0])
joined = torch.from_numpy(scipy_signal.convolve2d(small[0, 0, 0], joined))
x_seven = torch.from_numpy(rng.normal(size=(1, 1, 11, 9)))
chained = x_seven
for kernel in small:
    chained = conv2d(chained, kernel, no_bias)
in_one = F.conv2d(x_seven, joined[None, None])
ledger.check_close(58, "three linear 3 x 3 = one 7 x 7", chained, in_one)
seen = int((seen_pixels([(3, 1, 2)] * 3) > 0).sum())
print(f"dilation 2 three times: sees {seen} of {receptive_field([(3, 1, 2)] * 3)[0]}")

# %% [markdown]
# The last line warns: layers that share a dilation of 2 see only every second pixel.
#
# ## Try it: how much of the field is used
#
# Seeing a pixel is not the same as being moved by it. Luo et al. (2016) found that the influence of
# a pixel falls off like a bell curve from the centre. Each layer of size $K$ adds $(K^2-1)/12$ to
# its variance, as each step of a random walk does.
#
# **Predict.** Random $3\times3$ layers with eight channels: from depth 2 to depth 32 the receptive
# field grows from 5 to 65 pixels, thirteen times. By what factor does the bell grow? And does a
# ReLU change that?

# %%
DEPTHS = (2, 4, 8, 16, 32)


def influence(depth, use_relu, seed):
    """Return the mean squared gradient of one output over its receptive field."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 8, 2 * depth + 1, 2 * depth + 1, generator=generator).requires_grad_()
    y = x
    for _ in range(depth):
        w = torch.randn(8, 8, 3, 3, generator=generator) * math.sqrt((1 + use_relu) / 72)
        y = F.conv2d(F.relu(y) if use_relu else y, w)
    return torch.autograd.grad(y[0, 0, 0, 0], x)[0].double().square().mean(dim=(0, 1))


maps = {
    (use_relu, depth): [influence(depth, use_relu, seed) for seed in range(6)]
    for use_relu in (False, True)
    for depth in DEPTHS
}
with ledger.refuses(58, "a ReLU changes nothing in one draw"):
    shares = [maps[use_relu, 8][0] / maps[use_relu, 8][0].sum() for use_relu in (False, True)]
    ledger.check_close(58, "ReLU", *shares, tolerance=1e-4)


# %%
def step_variance(kernel):
    """Return the variance of a uniform step over `kernel` neighbours."""
    return (kernel**2 - 1) / 12


def bell_width(squares):
    """Return the standard deviation of the influence along the columns, in pixels."""
    share = squares.sum(dim=0) / squares.sum()
    place = torch.arange(len(share)) - len(share) // 2
    return math.sqrt((share * place**2).sum())


steps = (2, 3, 5)
by_numpy = [np.var(np.arange(kernel)) for kernel in steps]
ledger.check_close(58, "variance of a step", [step_variance(kernel) for kernel in steps], by_numpy)

# %%
widths = {key: [bell_width(one) for one in six] for key, six in maps.items()}
expected_widths = [math.sqrt(depth * step_variance(3)) for depth in DEPTHS]
for use_relu, name in ((False, "linear"), (True, "ReLU")):
    means = [np.mean(widths[use_relu, depth]) for depth in DEPTHS]
    slope = np.polyfit(np.log(DEPTHS), np.log(means), 1)[0]
    print(f"{name:6s} width grows as depth to the power {slope:.2f}; widths {np.round(means, 2)}")
    ledger.check_at_most(58, f"{name}: distance of the power from 1/2", abs(slope - 0.5), 0.1)
    apart = np.abs(np.array(means) / expected_widths - 1).max()
    ledger.check_at_most(58, f"{name}: width against the random walk, worst", apart, 0.15)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6, 2.8), width_ratios=(1, 1.4))
axs[0].imshow(torch.stack(maps[True, 32]).mean(dim=0).sqrt(), cmap="gray")
axs[0].set(xticks=[], yticks=[], title="depth 32, ReLU")
sees = [receptive_field([(3, 1, 1)] * depth)[0] for depth in DEPTHS]
axs[1].loglog(DEPTHS, sees, color="0.4", label="receptive field")
for (use_relu, name), mark in zip(((False, "linear"), (True, "ReLU")), MARKERS, strict=False):
    four = 4 * np.array([widths[use_relu, depth] for depth in DEPTHS])
    axs[1].errorbar(
        DEPTHS, four.mean(axis=1), four.std(axis=1), marker=mark, label=f"4 widths, {name}"
    )
axs[1].set(xlabel="depth (layers, log scale)", ylabel="size (pixels, log scale)")
axs[1].set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
axs[1].set_yticks((5, 10, 20, 50), ("5", "10", "20", "50"))
axs[1].minorticks_off()
axs[1].legend(fontsize=9)
show(
    fig,
    alt="Left: a bright blob in the middle of a dark square. Right: on log axes the receptive "
    "field is a steep line, four widths of the bell a line of half its slope, the same with ReLU.",
)

# %% [markdown]
# *Figure 6. Left: root mean square influence over the $65\times65$ receptive field, from 0 (black)
# to its largest (white). Right: receptive field, and four standard deviations of the influence;
# mean ± standard deviation of six draws.*
#
# From depth 2 to 32 the bell grows about four times, the root of 16, with or without ReLU, as the
# random walk says. This holds for weights as drawn; Luo et al. report that training widens the
# bell, which is not tested here.
#
# ## Check it: translation equivariance
#
# A map is **equivariant** to translation (平移等变) when moving the input moves the output and
# changes nothing else. For a convolution on a circle that is one line: put $x_{p-m}$ for $x_p$, and
# $y_p$ becomes $y_{p-m}$. With stride 2, odd moves fall between the places that are kept; with
# zeros at the border it fails there, and only there.

# %%
x_moved, w_moved, b_moved = (
    torch.from_numpy(rng.normal(size=s)) for s in ((2, 3, 12, 14), (4, 3, 3, 3), (4,))
)
circle = {"padding": (1, 1), "mode": "circular"}
still = conv2d(x_moved, w_moved, b_moved, **circle)
for m in rng.integers(-9, 10, size=(3, 2)).tolist():
    y = conv2d(torch.roll(x_moved, m, (2, 3)), w_moved, b_moved, **circle)
    ledger.check_close(58, f"circular: moved by {m}", y, torch.roll(still, m, (2, 3)))

# %%
halves = [
    conv2d(torch.roll(x_moved, m, 3), w_moved, b_moved, **circle, stride=(2, 2)) for m in range(3)
]
ledger.check_close(58, "stride 2, moved by 2", halves[2], torch.roll(halves[0], 1, 3))
candidates = [torch.roll(halves[0], m, 3) for m in range(halves[0].shape[3])]
nearest = min(candidates, key=lambda y: (y - halves[1]).norm())
with ledger.refuses(58, "stride 2, moved by 1: some move of the output fits"):
    ledger.check_close(58, "stride 2, moved by 1", halves[1], nearest)

# %%
bordered = conv2d(x_moved, w_moved, b_moved, padding=(1, 1))
y = conv2d(torch.roll(x_moved, 2, 3), w_moved, b_moved, padding=(1, 1))
returned = torch.roll(y, -2, 3)
with ledger.refuses(58, "zero padding is equivariant"):
    ledger.check_close(58, "zero padding, moved by 2", returned, bordered)
# Columns 1 to 10 of 14: no window there, moved or not, reads the left or the right border.
ledger.check_close(58, "zero padding, inside", returned[..., 1:-3], bordered[..., 1:-3])

# %% [markdown]
# ## Try it: stride, aliasing, and a blur
#
# A move by one pixel is half a place of a map with stride 2. If no detail is finer than the new
# grid can hold, the new map is the old one moved by half a place, which Fourier's sum computes
# exactly. Finer detail comes back as something else: **aliasing** (混叠). Zhang (2019) blurs before
# dropping places.
#
# Four ways to halve a map of edges (ReLU of the horizontal step), on five photographs, with
# circular borders (the seam is one more edge): stride 2 (keep every second place); max pooling;
# blur, then stride 2; and max pooling with a blur between its maximum and its stride. Measured: the
# root mean square difference between the map of the moved picture and the moved map, in standard
# deviations of the map. **Predict** the order of the four.


# %%
def grey_square(name):
    """Return the upper left 256 x 256 pixels of a bundled picture in grey, (1, 1, 256, 256)."""
    image = skimage.util.img_as_float(getattr(skimage.data, name)())
    grey = skimage.color.rgb2gray(image) if image.ndim == 3 else image
    return torch.from_numpy(grey[:256, :256].copy())[None, None]


def edges(x):
    """Return the ReLU of the horizontal step."""
    w = FILTERS["horizontal step"][None, None]
    return F.relu(conv2d(x, w, no_bias, padding=(1, 1), mode="circular"))


# %%
def soften(x):
    """Blur with the binomial weights 1, 4, 6, 4, 1."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=F64) / 16
    w = torch.outer(line, line)[None, None]
    return conv2d(x, w, no_bias, padding=(2, 2), mode="circular")


def running_max(x):
    """Return the largest of each 2 x 2 window, stride 1, on a circle."""
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1), mode="circular"), 2, stride=1)


# %%
HALVINGS = {
    "stride 2": lambda x: x[..., ::2, ::2],
    "max pooling": lambda x: running_max(x)[..., ::2, ::2],
    "max, blur, stride 2": lambda x: soften(running_max(x))[..., ::2, ::2],
    "blur, stride 2": lambda x: soften(x)[..., ::2, ::2],
}


def roll_half(x):
    """Move a periodic map half a place to the right, frequency by frequency."""
    turn = torch.exp(-1j * math.pi * torch.fft.fftfreq(x.shape[3], dtype=F64))
    return torch.fft.ifft2(torch.fft.fft2(x) * turn).real


def change(halve, picture):
    """Return what a move by one pixel does beyond a move, in standard deviations of the map."""
    still, moved = (halve(edges(x)) for x in (picture, torch.roll(picture, 1, 3)))
    return ((moved - roll_half(still)).square().mean().sqrt() / still.std()).item()


# %%
PHOTOGRAPHS = ("camera", "coins", "chelsea", "astronaut", "coffee")
changes = np.array(
    [[change(halve, grey_square(name)) for name in PHOTOGRAPHS] for halve in HALVINGS.values()]
)
for name, row in zip(HALVINGS, changes, strict=True):
    print(f"{name:20s} {row.mean():.3f} ± {row.std():.3f}")
coins = edges(grey_square("coins"))
halved, pooled_by_torch = HALVINGS["max pooling"](coins), F.max_pool2d(coins, 2)
ledger.check_close(59, "running maximum, halved = max pooling", halved, pooled_by_torch)

# %%
fig, ax = plt.subplots(figsize=(6, 2.8))
for place, (name, row) in enumerate(zip(HALVINGS, changes, strict=True)):
    ax.bar(np.arange(5) + 0.2 * place, row, 0.19, label=name, color=list(PALETTE.values())[place])
ax.set(ylabel="change (std. deviations)", xlabel="photograph", ylim=(0, 1.15 * changes.max()))
ax.set_xticks(np.arange(5) + 0.3, PHOTOGRAPHS)
fig.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=9)
show(
    fig,
    alt="Bars for five photographs. Stride 2 alone changes most, max pooling less, and the two "
    "ways with a blur are several times lower.",
)
# %% [markdown]
# *Figure 7. What a move by one pixel changes beyond a move, for four ways to halve a map; 0 would
# be no aliasing.*

# %%
rankings = [np.argsort(-column).tolist() for column in changes.T]
ledger.check_equal(59, "from most to least change, each photograph", rankings, [[0, 1, 3, 2]] * 5)
for sharp, soft in (("stride 2", "blur, stride 2"), ("max pooling", "max, blur, stride 2")):
    ways = list(HALVINGS)
    ratio = (changes[ways.index(soft)] / changes[ways.index(sharp)]).max()
    ledger.check_at_most(59, f"{soft} over {sharp}, worst photograph", ratio, 0.3)

# %% [markdown]
# On all five stride 2 alone changes most, then max pooling, the blur, and the blur after the
# maximum. The blur takes away most of the change, with max pooling or without. It also removes fine
# detail, and costs one more (cheap, channel by channel) convolution.
#
# ## The idea in symbols: three relatives
#
# - **Pointwise**, $1\times1$: no neighbours, only channels; one linear map, used at every pixel.
# - **Depthwise** (深度卷积), $G=C$: no channels, only neighbours. Depthwise, then pointwise, is
#   **separable** (可分离卷积): its joint kernel $w_{ocuv}=a_{oc}\,d_{c0uv}$ has $CK^2+CC'$ numbers
#   instead of $CC'K^2$, a factor of $1/C'+1/K^2$.
# - **Transposed**: the `spread` of the backward pass as a layer. It reads $H'$ rows and returns
#   $H$, more if the stride is above 1: $H=(H'-1)S_H-2P_H+D_H(K_H-1)+1$, plus an `output_padding`
#   that says which of the $S_H$ sizes with the same $H'$ is meant.
#
# ## Build it: three relatives


# %%
def pointwise(x, a, b):
    """Return the linear map a, b of the channels at every pixel."""
    return (x.movedim(1, -1) @ a.T + b).movedim(-1, 1)


def separable(x, d, a, b, **options):
    """Return depthwise d (C, 1, K_H, K_W), then pointwise a (C', C)."""
    zeros = torch.zeros(len(d), dtype=x.dtype)
    return pointwise(conv2d(x, d, zeros, **options, groups=len(d)), a, b)


def conv_transpose2d(y, w, b, *, stride, padding, output_padding, dilation, groups):
    """Return the transposed convolution; w is (C', C/G, K_H, K_W), as in the forward layer."""
    axes = zip(y.shape[2:], w.shape[2:], stride, padding, output_padding, dilation, strict=True)
    size = [(n - 1) * s - 2 * p + d * (k - 1) + extra + 1 for n, k, s, p, extra, d in axes]
    shape = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return spread(y, w, size, **shape) + b[:, None, None]


# %% [markdown]
# ## Check it: three relatives
#
# Against torch, layers and costs; and the name: with $A$ the layer without bias and $A^\top$ its
# transposed, $\langle Ax,\delta\rangle=\langle x,A^\top\delta\rangle$.

# %%
x_rel, a_rel, d_rel = (
    torch.from_numpy(rng.normal(size=s)) for s in ((2, 6, 9, 11), (8, 6), (6, 1, 3, 5))
)
b_rel = torch.from_numpy(rng.normal(size=8))
by_conv = F.conv2d(x_rel, a_rel[:, :, None, None], b_rel)
ledger.check_close(58, "pointwise = 1 x 1 Conv2d", pointwise(x_rel, a_rel, b_rel), by_conv)
options = {"stride": (2, 1), "padding": (1, 3), "dilation": (1, 2)}
joint = a_rel[:, :, None, None] * d_rel[None, :, 0]  # (8, 6, 3, 5)
ours = separable(x_rel, d_rel, a_rel, b_rel, **options)
ledger.check_close(58, "separable = joint kernel", ours, F.conv2d(x_rel, joint, b_rel, **options))

# %%
y_rel = torch.from_numpy(rng.normal(size=(2, 8, 4, 5)))
w_rel, b_six = (torch.from_numpy(rng.normal(size=s)) for s in ((8, 3, 3, 2), (6,)))
options = {"stride": (3, 2), "padding": (1, 3), "dilation": (1, 2), "groups": 2}
ours = conv_transpose2d(y_rel, w_rel, b_six, **options, output_padding=(1, 0))
by_torch = F.conv_transpose2d(y_rel, w_rel, b_six, **options, output_padding=(1, 0))
ledger.check_close(58, "transposed = torch", ours, by_torch)
x_big = torch.from_numpy(rng.normal(size=by_torch.shape))
left = (conv2d(x_big, w_rel, torch.zeros(8, dtype=F64), **options) * y_rel).sum()
right = (x_big * (ours - b_six[:, None, None])).sum()
ledger.check_close(58, "the transpose of the layer's matrix", left, right)

# %%
with torch.device("meta"):
    full_layer = nn.Conv2d(64, 128, 3, padding=1, bias=False)
    depth_layer = nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False)
    parts = nn.Sequential(depth_layer, nn.Conv2d(64, 128, 1, bias=False))
counts = [ask_torch(model, (1, 64, 28, 28))[-2:] for model in (full_layer, parts)]
print(f"3 x 3, 64 to 128 channels: {counts[0]}, separable: {counts[1]} parameters, multiply-adds")
savings = [few / many for many, few in zip(*counts, strict=True)]
ledger.check_close(58, "separable: both costs, 1/C' + 1/K^2", savings, [1 / 128 + 1 / 9] * 2)

# %% [markdown]
# ## Try it: the chequered pattern
#
# Put a constant map into a transposed convolution with a constant kernel. **Predict** for which
# kernel sizes at stride 2 the output is constant away from the border.

# %%
painted = {}
for kernel in (2, 3, 4, 5):
    stamp, size = torch.ones(1, 1, kernel, kernel, dtype=F64), (7 * 2 + kernel,) * 2
    painted[kernel] = spread(torch.ones(1, 1, 8, 8, dtype=F64), stamp, size, stride=(2, 2))[0, 0]

# %%
fig, axs = plt.subplots(2, 4, figsize=(6, 3), height_ratios=(2, 1), sharey="row")
for (above, below), (kernel, values) in zip(axs.T, painted.items(), strict=True):
    above.imshow(values, cmap="viridis", vmin=0, vmax=9)
    above.set_title(f"K = {kernel}, S = 2", fontsize=10)
    above.axis("off")
    below.step(range(len(values)), values[len(values) // 2], where="mid", linewidth=1.2)
    below.set(xlabel="column (pixels)", ylim=(0, 10))
axs[1, 0].set_ylabel("times painted")
show(
    fig,
    alt="Four squares and a row through the middle of each: constant inside for kernel sizes 2 and "
    "4, a pattern like a chessboard for sizes 3 and 5.",
)
# %% [markdown]
# *Figure 8. How many windows reach (paint) each output pixel of a transposed convolution of stride
# 2 (violet 0, yellow 9), and the middle row of each; other rows may be painted more or less often.*
#
# Where the stride does not divide the kernel size, some pixels are painted more often than their
# neighbours (Odena, Dumoulin and Olah, 2016). Divisible sizes remove this cause; trained weights
# can still draw a pattern.

# %%
is_even, divides = [], []
for kernel in range(1, 7):
    for stride in range(1, kernel + 1):
        ones, stamp = torch.ones(1, 1, 12), torch.ones(1, 1, kernel)
        middle = F.conv_transpose1d(ones, stamp, stride=stride)[0, 0, kernel:-kernel]
        is_even.append(bool(middle.min() == middle.max()))
        divides.append(kernel % stride == 0)
ledger.check_equal(58, "painted evenly = the stride divides the kernel", is_even, divides)

# %% [markdown]
# ## Try it: a small network, moved pictures
#
# Back to the clothes. Three networks of about 24,000 parameters: a multilayer perceptron (MLP), and
# two of three convolutions and a linear layer, which gets the maps **flattened** in one and
# **averaged** (global average pooling) in the other. All are trained alike, for four epochs on 2000
# unmoved pictures (Figure 1 had 6000, so its numbers do not compare). A picture moved by "6 and
# back" is only cut.
#
# **Predict** which is best without a move, and which at six pixels.


# %%
def conv_block(in_channels, out_channels):
    """Return a 3 x 3 convolution that keeps the size, and its ReLU."""
    return nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU()


def make_net(name):
    """Return one of the three networks."""
    if name == "MLP":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 31), nn.ReLU(), nn.Linear(31, 10))
    front = (*conv_block(1, 8), nn.MaxPool2d(2), *conv_block(8, 16), nn.MaxPool2d(2))
    if name == "flattened":
        return nn.Sequential(*front, *conv_block(16, 35), nn.Flatten(), nn.Linear(35 * 49, 10))
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(144, 10))
    return nn.Sequential(*front, *conv_block(16, 144), *last)


# %%
FAR = (0, 2, 4, 6)
NETS = ("MLP", "flattened", "averaged")


def train_and_move(name, seed):
    """Return test accuracy at each distance, at 6 and back, and accuracy in training."""
    generator = torch.Generator().manual_seed(seed)
    model = draw_weights(make_net(name), generator=generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    options = {"num_epochs": 4, "batch_size": 50, "generator": generator, "progress": False}
    few = (TRAIN[0][:2000], TRAIN[1][:2000])
    fit(model, optimizer, F.cross_entropy, few, **options)
    moved = [accuracy_when_moved(model, distance) for distance in FAR]
    with torch.no_grad():
        learnt = accuracy(model(few[0]), few[1])
    return [*moved, accuracy_when_moved(model, 6, back=True), learnt]


# %%
with torch.device("meta"):
    sizes = {name: sum(p.numel() for p in make_net(name).parameters()) for name in NETS}
curves = np.array([[train_and_move(name, seed) for seed in range(3)] for name in NETS])  # (3, 3, 6)
print("parameters; moved by", FAR, "pixels; 6 and back; unmoved training pictures")
for name, rows in zip(NETS, curves, strict=True):
    print(f"{name:10s} {sizes[name]}", rows.mean(axis=0).round(3), "±", rows.std(axis=0).round(3))

# %%
fig, ax = plt.subplots(figsize=(5.6, 2.9))
for name, rows, mark in zip(NETS, curves[:, :, :4], MARKERS, strict=False):
    ax.errorbar(FAR, rows.mean(axis=0), rows.std(axis=0), marker=mark, markersize=5, label=name)
ax.axhline(0.1, color="0.6", linewidth=1, linestyle=":")
ax.set(xlabel="distance moved (pixels)", ylabel="test accuracy (fraction)", ylim=(0, 0.95))
ax.set_xticks(FAR)
ax.legend(loc=(0.02, 0.15), fontsize=10)  # above the line of guessing
show(
    fig,
    alt="Without a move the averaged network is below the other two; at six pixels it is far above "
    "them.",
)

# %% [markdown]
# *Figure 9. Accuracy on moved test pictures, mean of four directions; mean ± standard deviation of
# three seeds. Dotted: guessing.*

# %%
mlp, flattened, averaged = curves
gain = (flattened[:, 1] - mlp[:, 1]).min()
ledger.check_at_least(58, "moved by 2: flattened above MLP, worst seed", gain, 0.03)
gain = (averaged[:, 3] - np.maximum(mlp[:, 3], flattened[:, 3])).min()
ledger.check_at_least(60, "moved by 6: averaged above both, worst seed", gain, 0.07)
lost = (averaged[:, 0] - averaged[:, 4]).mean()
ledger.check_at_least(60, "averaged: lost by the cut alone, mean of seeds", lost, 0.03)
part = lost / (averaged[:, 0] - averaged[:, 3]).mean()
ledger.check_at_most(60, "averaged: the cut's part of the loss at 6, mean of seeds", part, 0.75)
behind = (curves[:2, :, 5] - averaged[:, 5]).mean(axis=1).min()
ledger.check_at_least(60, "training pictures: averaged below both, mean of seeds", behind, 0.04)

# %% [markdown]
# Unmoved, the flattened network has the best mean, a little above the MLP's. At two pixels its
# convolutions help, at six hardly: its maps move with the picture (up to strides and borders), but
# the linear layer behind them is as bound to a place as the classifier of Figure 1. A mean over a
# map keeps no record of the place, so the averaged network loses least, and part of that by the cut
# alone. Unmoved it is last, but on its own training pictures as well: four epochs have not taught
# it enough, and this run cannot say what forgetting the place costs a network that has finished
# learning. Equivariance is what a convolution gives; **invariance** has to be built behind it, or
# learnt from moved pictures (notebook 07).
#
# ## Explore it: step a kernel over a T-shirt
#
# A test picture of class 0. The kernel can be edited, turned, and moved with stride, padding and
# dilation.
#
# 1. The kernel shown has its largest output on the left edge of the T-shirt. What does it give on
#    the right edge? Find a kernel whose largest output lies under a sleeve.
# 2. With stride 1, which padding makes the output as large as the input, at dilation 1 and 2? Which
#    would at stride 2?
# 3. Turn the kernel by 180 degrees. For which kernels does nothing change, for which only the sign?

# %%
ConvolutionStepper(fashion.X_test[fashion.y_test == 0][0], "vertical edges")

# %% [markdown]
# ## Exercises
#
# ### 1. Predict a layer (easy, 10 minutes)
#
# `nn.Conv2d(6, 9, (5, 3), stride=(2, 3), padding=(2, 0), dilation=(1, 2), groups=3)` gets an input
# of shape $(4,6,30,31)$. Give $H'$, $W'$ and the number of parameters.

# %% tags=["exercise"]
answer_1 = None  # (H', W', parameters)

# %%
check_exercise(
    answer_1,
    (15, 9, 279),
    mistakes={
        "Each kernel reads the channels of its group only.": (15, 9, 819),
        "Where are the biases?": (15, 9, 270),
        "The size formula ends in + 1: the first place counts too.": (14, 8, 279),
        "Padding (2, 0) is two rows above and below, and no columns.": (13, 11, 279),
        "Dilation widens the kernel: it spans D (K - 1) + 1 columns.": (15, 10, 279),
        "Padding is added on both sides.": (14, 9, 279),
        "Where are the two rows of padding above and below?": (13, 9, 279),
        "Round the quotient down: a window must lie wholly inside.": (16, 10, 279),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# height = (30 + 2 * 2 - 1 * (5 - 1) - 1) // 2 + 1
# width = (31 + 2 * 0 - 2 * (3 - 1) - 1) // 3 + 1
# answer_1 = (height, width, 9 * (6 // 3) * 5 * 3 + 9)
# ```
# </details>

# %% [markdown]
# ### 2. Send it back by hand (medium, 10 minutes)
#
# A layer in one dimension with $w=(1,-2,3)$, stride 2 and no padding reads five numbers and gives
# two. From above comes $\delta=(2,-1)$. Give $\partial J/\partial x$, five numbers.

# %% tags=["exercise"]
answer_2 = None  # five numbers

# %%
check_exercise(
    answer_2,
    (2, -4, 5, 2, -3),
    mistakes={
        "The forward pass does not turn the kernel, so window p gets delta[p] * w as it is.":
            (6, -4, -1, 2, -1),
        "Windows overlap: add where you put.": (2, -4, -1, 2, -3),
        "The second window starts at x[2]: the stride counts on the way back too.":
            (2, -5, 8, -3, 0),
    },
)  # fmt: skip

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# gradient = np.zeros(5)
# for p, value in enumerate((2, -1)):
#     gradient[2 * p : 2 * p + 3] += value * np.array([1, -2, 3])
# answer_2 = gradient
# ```
# </details>

# %% [markdown]
# ### 3. What one unit sees (medium, 10 minutes)
#
# Three blocks, each of two $3\times3$ convolutions (stride 1) and a $2\times2$ max pooling of
# stride 2. Give the receptive field of one output, the jump, and the receptive field if the second
# convolution of every block is dilated by 2.

# %% tags=["exercise"]
answer_3 = None  # (receptive field, jump, dilated receptive field)

# %%
check_exercise(
    answer_3,
    (36, 8, 50),
    mistakes={
        "One step in a later layer is several pixels: multiply by the jump.": (16, 8, 22),
        "A layer's own stride counts for the layers after it, not for itself.": (43, 8, 57),
        "Pooling windows see too.": (29, 8, 43),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# plain = receptive_field([(3, 1, 1), (3, 1, 1), (2, 2, 1)] * 3)
# dilated = receptive_field([(3, 1, 1), (3, 1, 2), (2, 2, 1)] * 3)
# answer_3 = (*plain, dilated[0])
# ```
# </details>

# %% [markdown]
# ### 4. Find the left edge (open, 20 minutes)
#
# Design one kernel, at most $7\times7$, whose largest output is above 0 and lies in the left half
# of the map for at least nine in ten of the test T-shirts below, and which gives 0 on every flat
# region. Then ask the same of the $3\times3$ kernel with rows $(-1,0,1)$: on which T-shirts does it
# fail, and what helps: more rows, more columns, a blur?

# %% tags=["exercise"]
T_SHIRTS = TEST[0][TEST[1] == 0].double()
answer_4 = None  # a tensor of shape (K_H, K_W)


# %%
def judge(w):
    """Return how a kernel does on the T-shirts."""
    try:
        w = torch.as_tensor(w, dtype=F64)
    except (TypeError, ValueError):
        return "shape"
    if w.ndim != 2 or min(w.shape) < 1 or max(w.shape) > 7:
        return "shape"
    if abs(float(w.sum())) > 1e-6:
        return "flat"
    y = F.conv2d(T_SHIRTS, w[None, None])
    if not (y.flatten(1).amax(dim=1) > 0).all():
        return "silent"
    share = (y.flatten(1).argmax(dim=1) % y.shape[3] < y.shape[3] / 2).double().mean()
    return "left" if share >= 0.9 else "right" if share <= 0.1 else "mixed"


# %%
check_exercise(
    answer_4 if answer_4 is None else judge(answer_4),
    "left",
    mistakes={
        "The kernel needs two axes, of at most 7.": "shape",
        "On a flat region the output is the sum of the weights: make it 0.": "flat",
        "On some T-shirt no output is above 0: nothing was found.": "silent",
        "That finds right edges: torch does not turn the kernel.": "right",
        "Too many T-shirts answer elsewhere: look at one of them.": "mixed",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# T_SHIRTS = TEST[0][TEST[1] == 0].double()
# answer_4 = torch.tensor([[-1.0, -1.0, 0.0, 1.0, 1.0]] * 7)
# ```
# Dark columns on the left, bright ones on the right. The $3\times3$ kernel fails where a print has
# sharper edges than the T-shirt; more columns or a blur along the rows mend that, more rows hardly.
# </details>

# %% [markdown]
# ## Recap
#
# - Deep learning's convolution is cross-correlation. The turned kernel, true convolution, appears
#   in the gradient of the input.
# - Loops, one matrix product on a view of windows, and Fourier transforms give the same numbers at
#   different cost; $\lfloor(H+2P-D(K-1)-1)/S\rfloor+1$ predicts the shape.
# - Backward, every $\delta$ is added into the window it came from. That sum is the transposed
#   convolution; max pooling sends $\delta$ to the winner, average pooling shares it.
# - The receptive field grows with the sum of $D(K-1)j$; what drawn weights use of it grows as the
#   root of depth.
# - Convolutions are equivariant up to borders and strides. A blur took away most of the aliasing of
#   an edge map; invariance comes from what stands behind the maps.
#
# **In practice** libraries choose between direct, matrix, Winograd and Fourier methods by layer and
# device, and can keep channels last in memory; networks often halve maps by stride instead of
# pooling, and learn from moved pictures.
#
# **Roads not taken**: Winograd's algorithm, deformable and group-equivariant convolutions,
# steerable filters, convolutions in three dimensions.

# %% [markdown]
# **Answers to the questions in Explore it.** Negative weights on the left, positive on the right:
# the left edge gives large positive outputs, the right edge negative ones. Positive rows above
# negative ones answer to lower edges: here, under a sleeve. Padding must equal the dilation for a
# $3\times3$ kernel; at stride 2 it would be 15 for 28 pixels (16 at dilation 2), beyond the
# control, and most outputs would see border only. Half a turn changes nothing for kernels that are
# symmetric about their centre, such as a blur, and only the sign for antisymmetric ones, such as an
# edge.

# %% [markdown]
# **References.** Luo, Li, Urtasun and Zemel (2016), Understanding the effective receptive field in
# deep convolutional neural networks. Odena, Dumoulin and Olah (2016), Deconvolution and
# checkerboard artifacts. Dumoulin and Visin (2016), A guide to convolution arithmetic for deep
# learning. Zhang (2019), Making convolutional networks shift-invariant again.
