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
# # Build a convolutional network, and study what makes it learn
#
# **You will build** convolution, pooling and batch normalisation from tensors, a residual block and
# a training run from PyTorch's layers, and a study of five choices with a report.
#
# **You will learn** to
# - compute a convolution and its three gradients without the library;
# - keep the two modes of batch normalisation apart;
# - train a network whose accuracy on new pictures you can predict;
# - compare settings over several seeds, and touch the test set once;
# - report what you measured, and how sure you are of it.
#
# **You need** notebooks 04, 06, 07, 08 and 09, a CPU, about four hours for the questions and three
# for study and report. 14 % of the course. Reviewed 2026-11-30.

# %% [markdown]
# ## How this lab works
#
# Eight questions are graded by programs (30 points), a report of three parts by a person (20
# points). Replace each `raise NotImplementedError()` by your code, and keep the names of functions,
# classes and arguments: the grader calls them.
#
# - **At home.** The cell below each answer runs public checks: points for each criterion, and the
#   name of a mistake that it knows. `course check lab1_cnn lab1_cnn.ipynb` in a terminal runs all,
#   and says which part of the report is still empty.
# - **When graded**, your functions are called on other cases, drawn from a seed that you do not
#   have: other sizes, other values. Points are given for each criterion that holds.
# - **Each question stands alone.** Do not call the answer to one question from that to another: a
#   mistake would cost twice. Functions of one question may call each other, and the study uses your
#   answers to questions 6 and 7.
# - **Inputs are read-only**, except in question 8. Return new tensors.
# - **By hand.** In questions 1 to 4 the library's own convolution, pooling, normalisation and
#   `F.unfold` are taken away and autograd is off. `F.pad`, slices, the tensor method `unfold`,
#   `as_strided` and `einsum` are there. From question 5 on you may use all of PyTorch.
# - Pictures are $(N, C, H, W)$, kernels $(C', C, K_H, K_W)$. A pair is (rows, columns). Work in the
#   `dtype` of what you are given: double precision in questions 1 to 7.
# - **What is there.** Answers may use the imports of the locked cell below, and imports and helpers
#   from cells that you add. What the first code cell imports is for the experiments only, and SciPy,
#   scikit-learn and scikit-image are absent when graded. `course check` sees what the grader sees:
#   run it before you hand in.
# - **Hand in** this notebook, saved with its outputs after *Restart Kernel and Run All Cells*: who
#   grades the report looks at your figures. Add cells where you like, but write each part of the
#   report into the cell that is there for it.

# %% tags=["experiment"]
import time
from textwrap import fill

import matplotlib.pyplot as plt

from course_utils import data
from course_utils.device import pick_device
from course_utils.figures import MARKERS, show, use_course_style
from course_utils.grading import PublicChecks
from course_utils.training import DivergedError, accuracy, fit

use_course_style()
checks = PublicChecks("lab1_cnn.checks.json")

# %% nbgrader={"grade": false, "grade_id": "given_imports", "locked": true, "schema_version": 3, "solution": false, "task": false}
import copy
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_utils.models import draw_weights

# %% [markdown]
# ## Question 1. Convolution (3 points)
#
# What deep learning calls convolution is a cross-correlation: the kernel is not turned. With the
# input $\tilde x$, padded by zeros on all four sides,
#
# $$y_{nopq}=b_o+\sum_{c,u,v}\tilde x_{n,\,c,\,S_Hp+u,\,S_Wq+v}\;w_{ocuv},\qquad
# H'=\Big\lfloor\frac{H+2P_H-K_H}{S_H}\Big\rfloor+1 ,$$
#
# and $W'$ likewise.
#
# | symbol | code | shape | range |
# |---|---|---|---|
# | $x$ pictures | `x` | $(N,C,H,W)$ | real |
# | $w$ kernels, $b$ bias | `weight`, `bias` | $(C',C,K_H,K_W)$, $(C',)$ | real |
# | $S$ stride, $P$ padding | `stride`, `padding` | pairs | from 1, from 0 |
# | $y$ output | return value | $(N,C',H',W')$ | real |
#
# Write `conv2d`. A loop over the $K_HK_W$ places of the kernel is fast enough.


# %% nbgrader={"grade": false, "grade_id": "conv_forward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def conv2d(x, weight, bias, stride, padding):
    """Return the output of a convolution."""
    ### BEGIN SOLUTION
    (rows, columns), (K_H, K_W) = stride, weight.shape[2:]
    padded = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    height = (padded.shape[2] - K_H) // rows + 1
    width = (padded.shape[3] - K_W) // columns + 1
    y = bias[:, None, None].repeat(len(x), 1, height, width)
    for u in range(K_H):
        for v in range(K_W):
            seen = padded[:, :, u : u + rows * height : rows, v : v + columns * width : columns]
            y += torch.einsum("ncpq,oc->nopq", seen, weight[:, :, u, v])
    return y
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "conv_forward_test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.run("conv_forward", globals())
### BEGIN HIDDEN TESTS
from course_utils.grading.stock import hidden_test

hidden_test("lab1_cnn", "conv_forward", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Question 2. Convolution, backward (4 points)
#
# From above comes $\delta=\partial J/\partial y$. Every output in which a number took part sends it
# a share of the gradient:
#
# $$\frac{\partial J}{\partial b_o}=\sum_{n,p,q}\delta_{nopq},\qquad
# \frac{\partial J}{\partial w_{ocuv}}=\sum_{n,p,q}\delta_{nopq}\,
# \tilde x_{n,\,c,\,S_Hp+u,\,S_Wq+v},\qquad
# \frac{\partial J}{\partial\tilde x_{nckl}}=\sum_{o}
# \sum_{\substack{p,u\,:\,S_Hp+u=k\\q,v\,:\,S_Wq+v=l}}\delta_{nopq}\,w_{ocuv} .$$
#
# | symbol | code | shape |
# |---|---|---|
# | $\delta$ | `delta` | $(N,C',H',W')$ |
# | the three gradients | return values, in this order: input, weight, bias | of `x`, `weight`, $(C',)$ |
#
# Write `conv2d_backward`. The gradient of the input is that of `x`, without the border. Any factor
# such as $1/N$ is in $\delta$ already.


# %% nbgrader={"grade": false, "grade_id": "conv_backward", "locked": false, "schema_version": 3, "solution": true, "task": false}
def conv2d_backward(delta, x, weight, stride, padding):
    """Return the gradients of the loss with respect to x, weight and bias."""
    ### BEGIN SOLUTION
    (rows, columns), (P_H, P_W), (height, width) = stride, padding, delta.shape[2:]
    padded = F.pad(x, (P_W, P_W, P_H, P_H))
    grad_weight, grad_padded = torch.zeros_like(weight), torch.zeros_like(padded)
    for u in range(weight.shape[2]):
        for v in range(weight.shape[3]):
            seen = (
                ...,
                slice(u, u + rows * height, rows),
                slice(v, v + columns * width, columns),
            )
            grad_weight[:, :, u, v] = torch.einsum("nopq,ncpq->oc", delta, padded[seen])
            grad_padded[seen] += torch.einsum("nopq,oc->ncpq", delta, weight[:, :, u, v])
    grad_x = grad_padded[:, :, P_H : P_H + x.shape[2], P_W : P_W + x.shape[3]]
    return grad_x, grad_weight, delta.sum(dim=(0, 2, 3))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "conv_backward_test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.run("conv_backward", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab1_cnn", "conv_backward", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Question 3. Max pooling (4 points)
#
# Max pooling keeps the largest value of each window, in each map by itself. There is no padding,
# and a window that does not fit is left out, as in a convolution:
#
# $$y_{ncpq}=\max_{u,v}\,x_{n,\,c,\,S_Hp+u,\,S_Wq+v} .$$
#
# On the way back $\delta$ goes to the input that won, and an input that won in several windows
# collects from all. Where several inputs of a window share the maximum, the first in reading order
# (row by row) takes all: that is torch's convention.
#
# | symbol | code | shape |
# |---|---|---|
# | $x$; $y$, return value of `max_pool2d` | `x` | $(N,C,H,W)$; $(N,C,H',W')$ |
# | window, stride | `kernel`, `stride` | pairs |
# | $\delta$; $\partial J/\partial x$, return value of `max_pool2d_backward` | `delta` | of $y$; of $x$ |
#
# Write both functions.


# %% nbgrader={"grade": false, "grade_id": "max_pool", "locked": false, "schema_version": 3, "solution": true, "task": false}
def max_pool2d(x, kernel, stride):
    """Return the largest value of each window."""
    ### BEGIN SOLUTION
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    return windows.amax(dim=(4, 5))
    ### END SOLUTION


def max_pool2d_backward(delta, x, kernel, stride):
    """Return the gradient of the loss with respect to x."""
    ### BEGIN SOLUTION
    windows = x.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
    winner = windows.flatten(4).argmax(dim=4)  # the first of equal ones
    (rows, columns), (height, width), grad_x = stride, delta.shape[2:], torch.zeros_like(x)
    for u in range(kernel[0]):
        for v in range(kernel[1]):
            share = delta * (winner == u * kernel[1] + v)
            grad_x[:, :, u : u + rows * height : rows, v : v + columns * width : columns] += share
    return grad_x
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "max_pool_test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.run("max_pool", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab1_cnn", "max_pool", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Question 4. Batch normalisation (4 points)
#
# For each channel, with mean $\mu$ and variance $\sigma^2$ over pictures, rows and columns,
#
# $$y=\gamma\,\frac{x-\mu}{\sqrt{\sigma^2+\epsilon}}+\beta .$$
#
# In **training** $\mu$ and $\sigma^2$ are those of the batch, $\sigma^2$ the biased one (divided by
# $n=NHW$), and the layer remembers
#
# $$\mu_{\text{run}}\leftarrow(1-\tau)\,\mu_{\text{run}}+\tau\,\mu,\qquad
# \sigma^2_{\text{run}}\leftarrow(1-\tau)\,\sigma^2_{\text{run}}
# +\tau\,\tfrac{n}{n-1}\,\sigma^2 ,$$
#
# starting from 0 and 1. In **evaluation** it uses what it remembers, and changes nothing.
#
# | symbol | code | shape | at the start |
# |---|---|---|---|
# | $\gamma$, $\beta$, parameters | `weight`, `bias` | $(C,)$ | 1, 0 |
# | $\mu_{\text{run}}$, $\sigma^2_{\text{run}}$, buffers | `running_mean`, `running_var` | $(C,)$ | 0, 1 |
# | $\epsilon$, $\tau$ | `eps`, `momentum` | numbers | given |
#
# Write the class `BatchNorm` with these attributes. `self.training` says which mode is on. The
# grader also looks for weight and bias among the layer's parameters (`nn.Parameter`), where an
# optimizer finds them, and for the running statistics among its buffers (`register_buffer`), which
# are saved and moved with it.


# %% nbgrader={"grade": false, "grade_id": "batch_norm", "locked": false, "schema_version": 3, "solution": true, "task": false}
class BatchNorm(nn.Module):
    """Batch normalisation of (N, C, H, W)."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1):
        super().__init__()
        ### BEGIN SOLUTION
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(dim=(0, 2, 3)), x.var(dim=(0, 2, 3), correction=0)
            n = x.numel() // x.shape[1]
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                self.running_var += self.momentum * (var * n / (n - 1) - self.running_var)
        scale = self.weight / torch.sqrt(var + self.eps)
        return (x - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "batch_norm_test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.run("batch_norm", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab1_cnn", "batch_norm", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Question 5. A residual block (4 points)
#
# A block learns the difference $F$ to its input, $y=\operatorname{ReLU}(F(x)+s(x))$:
#
# $$F(x)=\text{norm}_2(\text{conv}_2(\operatorname{ReLU}(\text{norm}_1(\text{conv}_1(x))))) .$$
#
# Both convolutions are $3\times3$ with padding 1 and no bias (the norm after it has one);
# $\text{conv}_1$ has the stride. The shortcut $s$ is the identity where input and output have the
# same shape, else a projection: a $1\times1$ convolution without bias, with the stride, and a batch
# norm.
#
# | layer | name | kind |
# |---|---|---|
# | convolutions | `conv1`, `conv2` | `nn.Conv2d` |
# | batch norms | `norm1`, `norm2` | `nn.BatchNorm2d` |
# | $s$ | `shortcut` | `nn.Identity`, or `nn.Sequential` of convolution and batch norm |
#
# Write the class `ResidualBlock`. The grader writes its own numbers into the tensors of these
# names.


# %% nbgrader={"grade": false, "grade_id": "residual_block", "locked": false, "schema_version": 3, "solution": true, "task": false}
class ResidualBlock(nn.Module):
    """Return relu(F(x) + shortcut(x))."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        ### BEGIN SOLUTION
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )
        ### END SOLUTION

    def forward(self, x):
        ### BEGIN SOLUTION
        residual = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(residual + self.shortcut(x))
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "residual_block_test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.run("residual_block", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab1_cnn", "residual_block", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Question 6. A learning-rate schedule (2 points)
#
# Return a list of `num_steps` learning rates, one for each step.
#
# - The first `warmup_steps` of them rise by equal amounts: the first is `lr / warmup_steps`, the last
#   of them is `lr` itself. `warmup_steps` may be 0.
# - The others follow half a cosine wave: the first of them is `lr`, the last is `lr_min`. So after a
#   warm-up `lr` stands twice in a row.
#
# There are at least two steps after the warm-up. Write `lr_schedule`, and try it on paper with seven
# steps, three of them warm-up. (torch's `LinearLR` and `CosineAnnealingLR` count the intervals
# between rates, not the rates: a formula is shorter.)


# %% nbgrader={"grade": false, "grade_id": "lr_schedule", "locked": false, "schema_version": 3, "solution": true, "task": false}
def lr_schedule(num_steps, lr, warmup_steps, lr_min):
    """Return one learning rate for each step: warm-up, then half a cosine wave."""
    ### BEGIN SOLUTION
    rising = [lr * (step + 1) / warmup_steps for step in range(warmup_steps)]
    last = num_steps - warmup_steps - 1
    waves = [(1 + math.cos(math.pi * step / last)) / 2 for step in range(last + 1)]
    return rising + [lr_min + (lr - lr_min) * wave for wave in waves]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "lr_schedule_test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.run("lr_schedule", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab1_cnn", "lr_schedule", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Question 7. An evaluation that does not leak (4 points)
#
# A test accuracy is an estimate for new pictures only as long as nothing was fitted to or chosen by
# the test set. Write three functions.
#
# - `standardise(x_train, x_val, x_test)` returns the three sets $(N,C,H,W)$ with, for each channel,
#   a mean subtracted and the result divided by a standard deviation (the biased one), both taken
#   over pictures, rows and columns *of the set where that is allowed*.
# - `evaluate(model, x, y, batch_size)` returns the mean cross-entropy in nats and the accuracy as a
#   fraction over all pictures. It takes minibatches of `batch_size`, the last of which may be
#   smaller. It runs the model in evaluation mode and without gradients, and leaves it in the mode
#   that it was in.
# - `choose_and_test(names, score)` chooses among settings (or epochs) and returns the name of the
#   chosen one and its test accuracy. `score(name, split)` gives the accuracy of a setting on
#   `"train"`, `"val"` or `"test"`; you decide which numbers to ask for, and how often.


# %% nbgrader={"grade": false, "grade_id": "evaluation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def standardise(x_train, x_val, x_test):
    """Return the three sets, standardised."""
    ### BEGIN SOLUTION
    mean = x_train.mean(dim=(0, 2, 3), keepdim=True)
    std = x_train.std(dim=(0, 2, 3), correction=0, keepdim=True)
    return tuple((x - mean) / std for x in (x_train, x_val, x_test))
    ### END SOLUTION


def evaluate(model, x, y, batch_size):
    """Return the mean cross-entropy and the accuracy over all pictures."""
    ### BEGIN SOLUTION
    was_training = model.training
    model.eval()
    loss, correct = 0.0, 0
    with torch.no_grad():
        for x_part, y_part in zip(x.split(batch_size), y.split(batch_size), strict=True):
            logits = model(x_part)
            loss += F.cross_entropy(logits, y_part, reduction="sum").item()
            correct += (logits.argmax(dim=1) == y_part).sum().item()
    model.train(was_training)
    return loss / len(x), correct / len(x)
    ### END SOLUTION


def choose_and_test(names, score):
    """Return the name of the chosen setting, and its test accuracy."""
    ### BEGIN SOLUTION
    chosen = max(names, key=lambda name: score(name, "val"))
    return chosen, score(chosen, "test")
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "evaluation_test", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.run("evaluation", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab1_cnn", "evaluation", globals())
### END HIDDEN TESTS

# %% [markdown]
# ## Question 8. A training run (5 points)
#
# Write `train_model`: your own network and your own loop. It gets 2000 training and 500 validation
# pictures and returns a trained network, which the grader then asks about 2000 pictures that your
# code has not seen.
#
# | code | what | shape, range |
# |---|---|---|
# | `x_train`, `x_val` | Fashion-MNIST, $14\times14$ | $(N,1,14,14)$, grey values in [0, 1] |
# | `y_train`, `y_val` | classes | $(N,)$, 0 to 9 |
# | `generator` | the only source of randomness | `torch.Generator` |
# | return value | an `nn.Module` that gives logits | $(N,1,14,14)\to(N,10)$ |
#
# The network gets new pictures as you get yours: in [0, 1], single precision, on the CPU. What you do
# to them first, such as standardising, belongs inside it.
#
# - Every picture, training pictures and new ones, was moved by up to three of its original 28
#   pixels in each direction, mirrored at random and halved. The ten classes are numbered anew for
#   each run.
# - **Accuracy (4 points).** On the new pictures 40 % earn 1 point, 55 % 2, 66 % 3 and 74 % 4.
# - **Repeatable (1 point).** Generators of the same seed give the same network, others another. Draw
#   weights with `draw_weights(model, generator=generator)`, which returns the model, and orders with
#   `torch.randperm(..., generator=generator)`. If you use what draws from torch's global source, such
#   as `nn.Dropout`, begin with `torch.manual_seed(generator.initial_seed())`. This is tried with a
#   training set of 200 pictures.
# - **Time.** One core, at most 30 seconds a call; about four are enough for all points.
#
# There is no public check. The two cells after it try your answer on pictures like the grader's: one
# measures accuracy on 2000 other pictures, your test set here (the grader's number will be about
# that, give or take 0.02), the other trains three times on 200. Choose by `x_val`: chosen by the test
# number again and again, that number would no longer tell how you do on new pictures.


# %% nbgrader={"grade": false, "grade_id": "training", "locked": false, "schema_version": 3, "solution": true, "task": false}
def train_model(x_train, y_train, x_val, y_val, generator):
    """Return a trained network."""
    ### BEGIN SOLUTION
    num_epochs, batch_size, best = 10, 50, (-1.0, None)

    def conv(in_channels, out_channels):
        layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        return layer, nn.BatchNorm2d(out_channels), nn.ReLU()

    body = (*conv(1, 16), nn.MaxPool2d(2), *conv(16, 32), *conv(32, 32), nn.MaxPool2d(2))
    head = (*conv(32, 64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    model = draw_weights(nn.Sequential(*body, *head), generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
    num_steps = num_epochs * math.ceil(len(x_train) / batch_size)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=num_steps)
    for _ in range(num_epochs):
        model.train()
        for index in torch.randperm(len(x_train), generator=generator).split(batch_size):
            is_mirrored = torch.rand(len(index), 1, 1, 1, generator=generator) < 0.5
            x = torch.where(is_mirrored, x_train[index].flip(3), x_train[index])
            loss = F.cross_entropy(model(x), y_train[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
        model.eval()
        with torch.no_grad():
            val = (model(x_val).argmax(dim=1) == y_val).double().mean().item()
        if val > best[0]:
            best = (val, copy.deepcopy(model.state_dict()))
    model.load_state_dict(best[1])
    return model
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "training_test", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
checks.run("training", globals())
### BEGIN HIDDEN TESTS
hidden_test("lab1_cnn", "training", globals())
### END HIDDEN TESTS

# %% [markdown]
# Pictures like the grader's, from Fashion-MNIST's training set. Without the data set on your
# machine a stand-in is drawn and says so; then run `course data`, since its accuracies say nothing.


# %% tags=["experiment"]
def draw_moved(X, y, generator):
    """Return pictures as question 8 has them: moved, mirrored, halved."""
    framed = F.pad(torch.from_numpy(X), (3, 3, 3, 3))
    moves = torch.randint(0, 7, (len(X), 2), generator=generator).tolist()
    mirrored = torch.rand(len(X), generator=generator) < 0.5
    framed[mirrored] = framed[mirrored].flip(2)
    moved = [p[r : r + 28, c : c + 28] for p, (r, c) in zip(framed, moves, strict=True)]
    return F.avg_pool2d(torch.stack(moved)[:, None], 2), torch.from_numpy(y)


fashion = data.load_fashion_mnist()
moved_x, moved_y = draw_moved(
    fashion.X_train[:4500], fashion.y_train[:4500], torch.Generator().manual_seed(0)
)
started = time.perf_counter()
trained = train_model(
    moved_x[:2000],
    moved_y[:2000],
    moved_x[2000:2500],
    moved_y[2000:2500],
    torch.Generator().manual_seed(1),
)
seconds = time.perf_counter() - started
with torch.no_grad():
    measured = accuracy(trained.eval()(moved_x[2500:]), moved_y[2500:])
print(f"accuracy on 2000 other pictures: {measured:.3f}, after {seconds:.0f} s of training")

# %% tags=["experiment"]
few = moved_x[:200], moved_y[:200], moved_x[2000:2050], moved_y[2000:2050]
with torch.random.fork_rng(devices=[]):
    networks = [train_model(*few, torch.Generator().manual_seed(seed)) for seed in (2, 2, 3)]
with torch.no_grad():
    first, second, other = (network.eval()(few[0]) for network in networks)
print("same seed, same network:", torch.allclose(first, second, rtol=1e-3, atol=1e-3))
print("another seed, another network:", not torch.allclose(first, other, rtol=1e-3, atol=1e-3))

# %% [markdown]
# ## The study
#
# Now measure what five choices do to a network: **dropout, normalisation, learning-rate decay,
# residual connections and depth**. First the data. By default it is Fashion-MNIST, $14\times14$. If
# you have Tiny ImageNet, give the path of the folder: ten of its classes, $32\times32$ and
# coloured, take its place (use a GPU, or fewer pictures). Its own validation set is the test set,
# as its test labels are not public; training and validation set come out of its training set.

# %% tags=["experiment"]
TINY_IMAGENET = None  # or the path of an unpacked tiny-imagenet-200
NUM_TRAIN, NUM_VAL, NUM_TEST = 1000, 2000, 2000

if TINY_IMAGENET is None:
    pictures = fashion
    X, X_final = pictures.X_train[:, None], pictures.X_test[:, None]
else:
    pictures = data.load_tiny_imagenet(TINY_IMAGENET, num_classes=10, per_class=300)
    X, X_final = pictures.X_train, pictures.X_test
order = np.random.default_rng(0).permutation(len(X))[: NUM_TRAIN + NUM_VAL]
x_all, y_all = (torch.from_numpy(part[order]) for part in (X, pictures.y_train))
x_all = F.avg_pool2d(x_all, 2)
x_final = F.avg_pool2d(torch.from_numpy(X_final[:NUM_TEST]), 2)
x_train, x_val, x_test = standardise(x_all[:NUM_TRAIN], x_all[NUM_TRAIN:], x_final)
SPLITS = {
    "train": (x_train, y_all[:NUM_TRAIN]),
    "val": (x_val, y_all[NUM_TRAIN:]),
    "test": (x_test, torch.from_numpy(pictures.y_test[:NUM_TEST])),
}
device = pick_device()
print({name: tuple(x.shape) for name, (x, _) in SPLITS.items()}, device)

# %% [markdown]
# Build the network, with all of PyTorch. It returns logits and has
#
# - a **stem**: a $3\times3$ convolution with stride 2 to 16 channels, a norm, a ReLU;
# - **blocks** of two $3\times3$ convolutions, each with its norm, and a ReLU after each. `depth`
#   counts the convolutions of stem and blocks and the linear layer: 6, 14 and 26 make 2, 6 and 12
#   blocks. The first half of the blocks has 16 channels. The first convolution of the next block has
#   stride 2 and doubles the channels, and they stay so to the end;
# - with `residual=True` a shortcut around each block, added before its last ReLU: the input itself,
#   or where the shape changes a $1\times1$ convolution with the stride, without a norm;
# - a **head**: `nn.AdaptiveAvgPool2d(4)`, dropout, one linear layer from $32\cdot4\cdot4$ numbers.
#
# All $3\times3$ convolutions have padding 1 and all layers their bias, since there may be no norm;
# initial weights are torch's own. `norm` is `"batch"`, `"group"` (of four groups) or `"none"`. This
# cell earns no points by itself; the report needs it. The cell after it counts parameters: compare.


# %% nbgrader={"grade": false, "grade_id": "study_net", "locked": false, "schema_version": 3, "solution": true, "task": false}
def study_net(depth, norm, dropout, residual, in_channels=1, num_classes=10):
    """Return the network of the study."""
    ### BEGIN SOLUTION
    make_norm = {
        "batch": nn.BatchNorm2d,
        "group": lambda channels: nn.GroupNorm(4, channels),
        "none": lambda channels: nn.Identity(),
    }[norm]

    class Block(nn.Module):
        """Two convolutions, with or without a shortcut."""

        def __init__(self, before, after):
            super().__init__()
            stride = after // before
            self.body = nn.Sequential(
                nn.Conv2d(before, after, 3, stride, 1), make_norm(after), nn.ReLU(),
                nn.Conv2d(after, after, 3, 1, 1), make_norm(after),
            )  # fmt: skip
            self.shortcut = nn.Identity() if stride == 1 else nn.Conv2d(before, after, 1, stride)
            self.shortcut = self.shortcut if residual else None

        def forward(self, x):
            y = self.body(x)
            return F.relu(y if self.shortcut is None else y + self.shortcut(x))

    half, rest = (depth - 2) // 4, (depth - 2) // 2 - (depth - 2) // 4
    blocks = [Block(16, 16) for _ in range(half)] + [Block(16, 32)]
    blocks += [Block(32, 32) for _ in range(rest - 1)]
    stem = (nn.Conv2d(in_channels, 16, 3, 2, 1), make_norm(16), nn.ReLU())
    head = (nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(dropout))
    return nn.Sequential(*stem, *blocks, *head, nn.Linear(32 * 16, num_classes))
    ### END SOLUTION


# %% tags=["experiment"]
WANTED = {(6, False): 24042, (14, False): 70698, (26, True): 141226}
for (depth, residual), wanted in WANTED.items():
    model = study_net(depth, "batch", 0.0, residual)
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"depth {depth}, residual {residual}: {count} parameters, {wanted} expected")

# %% [markdown]
# The harness. `run_study` trains each setting with three seeds; a setting names what differs from
# the baseline. A schedule is a function of the number of steps and the learning rate that returns
# one rate a step. A run whose loss becomes infinite is kept and counts as an accuracy of guessing.
# All studies together take three to ten minutes on a laptop's CPU.

# %% tags=["experiment"]
from tqdm.auto import tqdm

SEEDS, NUM_EPOCHS, BATCH_SIZE = (0, 1, 2), 12, 50
MAX_LOSS = 2.5  # nats; guessing among ten classes costs 2.3
HEADER = (
    "| setting | validation accuracy | training loss | validation loss | seeds |\n"
    + "|---" * 5
    + "|"
)
NUM_STEPS = NUM_EPOCHS * math.ceil(NUM_TRAIN / BATCH_SIZE)
NUM_CLASSES = len(pictures.class_names)


def constant(num_steps, lr):
    """Return the same rate for every step."""
    return [lr] * num_steps


BASELINE = {"depth": 6, "norm": "batch", "dropout": 0.0, "residual": False}
BASELINE |= {"schedule": constant, "lr": 0.02}


def run_once(seed, schedule, lr, **network):
    """Return a trained network and its History, which is None where the loss was infinite."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for initial weights and nn.Dropout
        generator = torch.Generator().manual_seed(seed)  # for the order of the pictures
        model = study_net(**network, in_channels=x_train.shape[1], num_classes=NUM_CLASSES)
        rates = schedule(NUM_STEPS, lr)
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
        scheduler = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: rates[min(step, NUM_STEPS - 1)]
        )
        options = {"num_epochs": NUM_EPOCHS, "batch_size": BATCH_SIZE, "generator": generator}
        options |= {"val": SPLITS["val"], "metrics": {"accuracy": accuracy}, "device": device}
        try:
            history = fit(
                model, optimizer, F.cross_entropy, SPLITS["train"],
                scheduler=scheduler, progress=False, **options,
            )  # fmt: skip
        except DivergedError:
            history = None
    return model, history


def run_study(settings):
    """Return name -> [(model, History), one for each seed]."""
    runs = {name: [] for name in settings}
    for name, seed in tqdm([(name, seed) for name in settings for seed in SEEDS], desc="runs"):
        runs[name].append(run_once(seed, **(BASELINE | settings[name])))
    return runs


# %% tags=["experiment"]
def final_accuracies(results):
    """Return the validation accuracy of each seed after the last epoch."""
    return np.array([h.metrics["accuracy"][-1] if h else 1 / NUM_CLASSES for _, h in results])


def draw_curves(ax, values, mark, colour):
    """Draw the mean of the seeds over the epochs, and their range as a band."""
    values = np.array(values)
    epochs = range(1, values.shape[1] + 1)
    ax.plot(epochs, values.mean(axis=0), marker=mark, markersize=4, color=colour)
    band = values.min(axis=0), values.max(axis=0)
    ax.fill_between(epochs, *band, alpha=0.15, linewidth=0, color=colour)


def summary(name, results):
    """Return a row of the table: setting, accuracy, losses after the last epoch, seeds."""
    last, histories = final_accuracies(results), [h for _, h in results if h]
    spread = last.std(ddof=1) if len(last) > 1 else math.nan
    losses = [(h.train_loss[-1], h.val_loss[-1]) for h in histories] or [(math.nan, math.nan)]
    train_loss, val_loss = np.mean(losses, axis=0)
    diverged = f", {len(last) - len(histories)} diverged" * (len(histories) < len(last))
    measured = f"{last.mean():.3f} ± {spread:.3f} | {train_loss:.2f} | {val_loss:.2f}"
    return f"| {name:30s} | {measured} | {len(last)}{diverged} |"


def show_study(runs):
    """Print a row for each setting; draw its curves, and the last accuracy of each seed."""
    fig, axs = plt.subplots(1, 4, figsize=(11, 2.9), width_ratios=(3, 3, 3, 2))
    rows = [summary(name, results) for name, results in runs.items()]
    print(HEADER, *rows, sep="\n")
    for number, results in enumerate(runs.values()):
        colour = f"C{number % 5}"
        mark = MARKERS[(number + number // 5) % len(MARKERS)]  # a sixth setting has another one
        last, histories = final_accuracies(results), [h for _, h in results if h]
        if histories:
            draw_curves(axs[0], [h.train_loss for h in histories], mark, colour)
            draw_curves(axs[1], [h.val_loss for h in histories], mark, colour)
            draw_curves(axs[2], [h.metrics["accuracy"] for h in histories], mark, colour)
        axs[3].plot(last, [number] * len(last), mark, color=colour, markersize=6, alpha=0.7)
    for ax, which in zip(axs, ("training", "validation"), strict=False):
        ax.set(xlabel="epoch", ylabel=f"{which} loss (nats)", ylim=(0, MAX_LOSS))
    axs[2].set(xlabel="epoch", ylabel="validation accuracy", ylim=(0.1, 0.9))
    axs[3].set(xlabel="last accuracy", ylabel="setting", ylim=(len(runs) - 0.5, -0.5))
    axs[3].set_yticks(range(len(runs)), [fill(name, 14) for name in runs])
    show(fig, alt=f"Learning curves. After the last epoch: {' '.join(rows)}")


# %% [markdown]
# One choice at a time, all else as in the baseline. The baseline is given; **add two to four settings
# to each study**, such as `settings["lr 0.1"] = {"lr": 0.1}`; the keys are those of `BASELINE`. Before
# you run a study, write into a cell of your own what you expect and why: the report asks for it. Keep
# the figures.
#
# Each row holds a setting, its validation accuracy ± the sample standard deviation over the seeds
# (divided by $n-1=2$), and the two losses after the last epoch; rows may be copied into the report as
# a table. The training loss is that of the training steps, with dropout at work, and is no lower bound
# of the validation loss then. In the figures lines are means and bands ranges over the seeds that did
# not diverge; losses are cut off at 2.5 nats, a little above guessing; on the right each seed has its
# mark. The baseline appears in several studies: with the same seeds it is the same run, not another
# confirmation.
#
# ### Dropout

# %% nbgrader={"grade": false, "grade_id": "study_dropout", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
settings = {"no dropout": {}}
### BEGIN SOLUTION
settings |= {f"dropout {share}": {"dropout": share} for share in (0.2, 0.5, 0.8)}
### END SOLUTION
dropout_runs = run_study(settings)
show_study(dropout_runs)

# %% [markdown]
# ### Normalisation

# %% nbgrader={"grade": false, "grade_id": "study_norm", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
settings = {"batch": {}}
### BEGIN SOLUTION
settings |= {norm: {"norm": norm} for norm in ("group", "none")}
settings["none, lr 0.05"] = {"norm": "none", "lr": 0.05}
### END SOLUTION
norm_runs = run_study(settings)
show_study(norm_runs)

# %% [markdown]
# ### Learning-rate decay
#
# Use your schedule of question 6, and at least one other, such as a step decay.

# %% nbgrader={"grade": false, "grade_id": "study_decay", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
settings = {"constant": {}}
### BEGIN SOLUTION
settings["warm-up, cosine"] = {"schedule": lambda steps, lr: lr_schedule(steps, lr, steps // 10, 0)}
settings["step"] = {
    "schedule": lambda steps, lr: [lr * 0.1 ** (3 * s // steps) for s in range(steps)]
}
settings["constant, lr 0.05"] = {"lr": 0.05}
settings["warm-up, cosine, lr 0.05"] = settings["warm-up, cosine"] | {"lr": 0.05}
### END SOLUTION
decay_runs = run_study(settings)
show_study(decay_runs)

# %% [markdown]
# ### Depth
#
# Without shortcuts. Three depths are enough, 26 takes the longest.

# %% nbgrader={"grade": false, "grade_id": "study_depth", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
settings = {"depth 6": {}}
### BEGIN SOLUTION
settings |= {f"depth {depth}": {"depth": depth} for depth in (14, 26)}
### END SOLUTION
depth_runs = run_study(settings)
show_study(depth_runs)

# %% [markdown]
# ### Residual connections
#
# The same depths with shortcuts, beside those without.

# %% nbgrader={"grade": false, "grade_id": "study_residual", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
settings = {"residual 6": {"residual": True}}
### BEGIN SOLUTION
settings |= {f"residual {depth}": {"depth": depth, "residual": True} for depth in (14, 26)}
### END SOLUTION
residual_runs = run_study(settings)
show_study(depth_runs | residual_runs)

# %% [markdown]
# ### One test
#
# Combine what helped into two to four candidates, and let your `choose_and_test` choose by
# validation accuracy (mean of the seeds) and ask for one test accuracy. Run it once, at the very
# end: every change after it would be a choice by the test set.

# %% nbgrader={"grade": false, "grade_id": "study_test", "locked": false, "schema_version": 3, "solution": true, "task": false} tags=["experiment"]
candidates = {"baseline": {}}
### BEGIN SOLUTION
cosine = {"schedule": lambda steps, lr: lr_schedule(steps, lr, steps // 10, 0)}
candidates["cosine"] = cosine
candidates["cosine, residual"] = {"residual": True, **cosine}
candidates["cosine, residual, dropout 0.5"] = {"residual": True, "dropout": 0.5, **cosine}
### END SOLUTION
candidate_runs = run_study(candidates)
asked = []


def score(name, split):
    """Return the mean accuracy over the seeds, and note what was asked."""
    x, y = (part.to(device) for part in SPLITS[split])
    found = np.mean([evaluate(model, x, y, 500)[1] for model, _ in candidate_runs[name]])
    asked.append(f"{name}, {split}: {found:.3f}")
    return found


chosen, test_accuracy = choose_and_test(list(candidates), score)
print(*asked, f"chosen: {chosen}; test accuracy {test_accuracy:.3f}", sep="\n")

# %% [markdown]
# ## Report
#
# Three parts, 20 points, graded by a person by the tables below. Write whole sentences, refer to
# the figures and lines above, and give numbers with their spread. A result that contradicts your
# prediction earns as much as one that meets it.
#
# ### Method (4 points)
#
# What was done, so that another student could repeat it.
#
# | criterion | points |
# |---|---|
# | data: what they are, sizes of the three sets, how they were prepared, which statistics were used | 1 |
# | network and training: layers, loss, optimizer, rates, epochs, batch size, in words of your own | 2 |
# | comparison: what is held fixed, number of seeds, what is measured on which set, when the test set was used | 1 |

# %% [markdown] nbgrader={"grade": true, "grade_id": "report_method", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# *An example of an answer that earns all points.*
#
# Data: Fashion-MNIST, halved to 14 x 14 by averaging; 1000 training and 2000 validation pictures
# out of its training set, 2000 test pictures out of its test set. All are standardised with mean
# and standard deviation of the 1000 training pictures. The network is a stem of stride 2, two
# blocks of two 3 x 3 convolutions with 16 and 32 channels, batch norm and ReLU after each,
# averages of 4 x 4 and one linear layer; cross-entropy, SGD with momentum 0.9, constant rate 0.02,
# 12 epochs of minibatches of 50, torch's default initial weights. Each study changes one choice and
# keeps the rest; each setting runs with the seeds 0, 1 and 2, which change initial weights, order
# and dropout. Accuracy and loss were read on the validation set after the last epoch. The test set
# was asked once, at the end, for the setting with the best mean validation accuracy.

# %% [markdown]
# ### Results (8 points)
#
# What came out, without explaining it yet. One table with all settings, and what your figures show.
#
# | criterion | points |
# |---|---|
# | a table of all settings: validation accuracy as mean ± standard deviation, number of seeds | 2 |
# | for each of the five studies one sentence that says what changed and what did not | 3 |
# | curves: what the training loss shows that the accuracy does not (speed, overfitting, failure) | 2 |
# | the one test accuracy, beside the validation accuracy of the same setting | 1 |

# %% [markdown] nbgrader={"grade": true, "grade_id": "report_results", "locked": false, "points": 8, "schema_version": 3, "solution": true, "task": false}
# *An example of an answer that earns all points.*
#
# | setting (baseline: depth 6, batch norm, rate 0.02) | validation accuracy, 3 seeds | training loss |
# |---|---|---|
# | baseline | 0.798 ± 0.015 | 0.06 |
# | dropout 0.2; 0.5; 0.8 | 0.793 ± 0.011; 0.800 ± 0.012; 0.787 ± 0.010 | 0.13; 0.22; 0.51 |
# | group norm | 0.800 ± 0.006 | 0.15 |
# | no norm; at rate 0.05 | 0.732 ± 0.030; 0.774 ± 0.001 | 0.61; 0.46 |
# | warm-up and cosine; at rate 0.05 | 0.807 ± 0.007; 0.813 ± 0.010 | 0.06; 0.09 |
# | step decay | 0.816 ± 0.003 | 0.15 |
# | constant rate 0.05 | 0.793 ± 0.014 | 0.15 |
# | depth 14; 26 | 0.766 ± 0.014; 0.524 ± 0.239 | 0.38; 0.97 |
# | residual 6; 14; 26 | 0.804 ± 0.002; 0.786 ± 0.003; 0.718 ± 0.025 | 0.04; 0.15; 0.72 |
#
# Dropout raised the training loss at every strength and, from 0.5 on, lowered the validation loss
# (0.75 without, then 0.64 and 0.61), but moved the accuracy by less than the seeds do. Without a
# norm the first epochs hardly learn, and the accuracy is lower by 0.07 at the same rate; group norm
# is not distinguishable from batch norm. Both decays gained 0.01 to 0.02, and the seeds lie closer
# together. Plain networks became worse with depth: at depth 26 two seeds came to about 0.66, one to
# 0.25. Shortcuts won two thirds of the difference back (0.718 against 0.524 in the mean), made a
# small difference at depth 14 and no clear one at depth 6.
#
# The curves: the baseline has almost nothing left to learn on its training pictures (0.06) while
# its validation loss is 0.75, so it overfits; the deep plain network has a training loss of 0.97,
# so it fails in training. The one test: 0.818 for cosine, shortcuts and dropout 0.5, whose
# validation accuracy was 0.814.

# %% [markdown]
# ### Discussion (8 points)
#
# Why, how sure, and what next.
#
# | criterion | points |
# |---|---|
# | an explanation of each effect that could be wrong, and what would show that it is (dropout, norm, decay, depth with shortcuts) | 4 |
# | differences within the spread of the seeds are called that; what three seeds cannot tell | 2 |
# | limits: what of this need not hold for more data, longer training or other pictures; a prediction that failed | 1 |
# | the next experiment, and what each outcome would mean | 1 |

# %% [markdown] nbgrader={"grade": true, "grade_id": "report_discussion", "locked": false, "points": 8, "schema_version": 3, "solution": true, "task": false}
# *An example of an answer that earns all points.*
#
# The baseline overfits, so a regulariser should help. Dropout made the network less sure of itself
# (a lower validation loss) without making more answers right. If that is the reason, it should help
# more with 300 pictures, and not at all with 10,000. Batch norm keeps the scale of the activations
# and so lets 0.02 be a useful rate: then the network without it should catch up at a larger rate,
# and at 0.05 it nearly does. A constant rate ends in a cloud around the minimum; if decay helps by
# shrinking it, the last epochs of the constant run should scatter more from epoch to epoch, as
# those at rate 0.05 do. The deep plain network has a high *training* loss: it is not overfitting
# but optimisation that fails. Shortcuts give the gradient a way around each block; then the
# gradient of the first block should be small or noisy without them, which was not measured.
#
# With three seeds a difference of 0.01 is not one: the order of the dropout settings, group against
# batch norm and residual against plain at depth 6 may turn round with other seeds. Norm, decay (all
# three seeds above two of the baseline's three) and depth are larger than the spread; that of 0.239
# at depth 26 is one failed run, of which three seeds say little: one in three, or one in twenty? I
# had predicted that dropout 0.5 would gain 0.03 and that 14 layers would beat 6; both failed.
#
# All this holds for 1000 small grey pictures and 12 epochs: deeper networks had 240 steps in which
# to learn, and one rate for all. Next I would give each depth its own rate, chosen by validation,
# and 60 epochs: if depth 26 then reaches depth 6, it was the time; if only the one with shortcuts
# does, it was the way of the gradient.
