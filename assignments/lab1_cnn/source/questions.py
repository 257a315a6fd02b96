"""The first graded lab's questions: what is run, which cases are drawn, what is right.

Right results come from torch's own layers, schedulers and automatic differentiation, in
double precision. The last question trains on pictures of Fashion-MNIST, moved and mirrored
as the seed says, with the ten classes numbered anew.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.grading.questions import Case, Criterion, Question

__all__ = ["QUESTIONS"]

Inputs = dict[str, Any]
# Whole families: what is named singly is forgotten singly.
WINDOWS = ("im2col", "col2im")
CONVOLUTION = ("*conv*",)
POOLING = ("*pool*",)
NORMALISATION = tuple(f"*{kind}_norm*" for kind in ("batch", "layer", "group", "instance", "rms"))
# What torch's automatic differentiation calls on its way back through slices and windows.
AUTOGRAD = ("slice_backward", "select_backward", "unfold_backward")


def _draw(rng: np.random.Generator, *shape: int) -> Tensor:
    return torch.from_numpy(rng.normal(size=shape))


# ---- conv_forward ------------------------------------------------------------------------


def _conv_case(
    rng: np.random.Generator,
    x: Sequence[int],
    weight: Sequence[int],
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    *,
    has_bias: bool = False,
) -> Inputs:
    bias = rng.choice([-1, 1], weight[0]) * rng.uniform(0.5, 1.5, weight[0]) * has_bias
    return {
        "x": _draw(rng, *x),
        "weight": _draw(rng, *weight),
        "bias": torch.from_numpy(bias),
        "stride": list(stride),
        "padding": list(padding),
    }


def _one_channel(rng: np.random.Generator) -> list[Inputs]:
    wide = int(rng.integers(5, 8))
    return [
        _conv_case(rng, (1, 1, 4, wide), (1, 1, 2, 3)),
        _conv_case(rng, (1, 1, wide, 4), (1, 1, 3, 2)),
    ]


def _many_channels(rng: np.random.Generator) -> list[Inputs]:
    batch, maps = (int(n) for n in rng.permutation([2, 3]))
    return [
        _conv_case(rng, (batch, 3, 4, 5), (maps, 3, 3, 2), has_bias=True),
        _conv_case(rng, (maps, 2, 3, 4), (4, 2, 2, 2), has_bias=True),
    ]


def _strides(rng: np.random.Generator) -> list[Inputs]:
    """Draw cases in which the last window ends before the border does."""
    low, high = (int(n) for n in rng.permutation([2, 3]))
    return [
        _conv_case(rng, (2, 2, 5, 6), (2, 2, 3, 2), (2, 3), (1, 2)),
        _conv_case(rng, (1, 2, 7, 4), (high, 2, 2, low), (3, 1), (0, 1)),
    ]


def _conv_expected(
    x: Tensor, weight: Tensor, bias: Tensor, stride: list[int], padding: list[int]
) -> Tensor:
    return F.conv2d(x, weight, bias, stride, padding)


CONV_FORWARD = Question(
    "conv_forward",
    "Convolution, forward",
    """\
import torch

with torch.inference_mode():
    result = conv2d(x, weight, bias, stride, padding)
""",
    [
        Criterion("one picture, one channel", 1, _one_channel),
        Criterion("pictures, channels, kernels and bias", 1, _many_channels),
        Criterion("stride and padding", 1, _strides),
    ],
    expected=_conv_expected,
    forbids=(*CONVOLUTION, *WINDOWS),
)

# ---- conv_backward -----------------------------------------------------------------------


def _with_delta(rng: np.random.Generator, case: Inputs, part: str) -> Inputs:
    shape = _conv_expected(**case).shape
    del case["bias"]
    return {"delta": _draw(rng, *shape), **case, "part": part}


def _bias_gradients(rng: np.random.Generator) -> list[Inputs]:
    maps = int(rng.integers(2, 4))
    return [
        _with_delta(rng, _conv_case(rng, (3, 2, 4, 3), (maps, 2, 2, 2)), "bias"),
        _with_delta(rng, _conv_case(rng, (2, 1, 5, 4), (4, 1, 3, 1), (2, 2), (1, 0)), "bias"),
    ]


def _weight_gradients(rng: np.random.Generator) -> list[Inputs]:
    return [
        _with_delta(rng, _conv_case(rng, (2, 2, 4, 5), (3, 2, 2, 3)), "weight"),
        *(_with_delta(rng, case, "weight") for case in _strides(rng)),
    ]


def _plain_input_gradients(rng: np.random.Generator) -> list[Inputs]:
    wide = int(rng.integers(4, 6))
    return [
        _with_delta(rng, _conv_case(rng, (1, 2, 4, wide), (2, 2, 3, 2)), "x"),
        _with_delta(rng, _conv_case(rng, (2, 1, wide, 4), (3, 1, 2, 3)), "x"),
    ]


def _strided_input_gradients(rng: np.random.Generator) -> list[Inputs]:
    return [_with_delta(rng, case, "x") for case in _strides(rng)]


def _conv_gradient(
    delta: Tensor, x: Tensor, weight: Tensor, stride: list[int], padding: list[int], part: str
) -> Tensor:
    leaves = {"x": x, "weight": weight, "bias": torch.zeros(len(weight), dtype=x.dtype)}
    leaves = {name: leaf.requires_grad_() for name, leaf in leaves.items()}
    y = F.conv2d(*leaves.values(), stride, padding)
    return torch.autograd.grad(y, leaves[part], delta)[0]


CONV_BACKWARD = Question(
    "conv_backward",
    "Convolution, backward",
    """\
import torch

with torch.inference_mode():
    gradients = conv2d_backward(delta, x, weight, stride, padding)
    result = dict(zip(("x", "weight", "bias"), gradients, strict=True))[part]
""",
    [
        Criterion("gradient of the bias", 1, _bias_gradients),
        Criterion("gradient of the weight", 1, _weight_gradients),
        Criterion("gradient of the input, stride 1 without padding", 1, _plain_input_gradients),
        Criterion("gradient of the input, stride and padding", 1, _strided_input_gradients),
    ],
    expected=_conv_gradient,
    forbids=(*CONVOLUTION, *WINDOWS, *AUTOGRAD),
)

# ---- max_pool ----------------------------------------------------------------------------


def _tiles(rng: np.random.Generator) -> Inputs:
    """Draw windows side by side, all values negative."""
    return {
        "x": -torch.from_numpy(rng.permutation(np.arange(1.0, 49)).reshape(2, 1, 4, 6)),
        "kernel": [2, 3],
        "stride": [2, 3],
    }


def _overlaps(rng: np.random.Generator) -> list[Inputs]:
    """Draw windows that overlap, leave gaps, and do not reach the border; no two values equal."""
    kernel = [int(n) for n in rng.permutation([2, 3])]
    return [
        {
            "x": torch.from_numpy(rng.permutation(60.0 - np.arange(84)).reshape(1, 2, 6, 7)),
            "kernel": kernel,
            "stride": [3, 1],
        },
        {
            "x": torch.from_numpy(rng.permutation(30.0 - np.arange(36)).reshape(1, 1, 6, 6)),
            "kernel": [3, 3],
            "stride": [2, 2],
        },
    ]


def _ties(rng: np.random.Generator) -> list[Inputs]:
    """Draw windows side by side whose maximum stands in several places."""
    cases = []
    for _ in range(2):
        x = rng.integers(-3, 2, size=(1, 1, 6, 6)).astype(float)
        x[:, :, 1::3, ::3] = x[:, :, 2::3, 2::3] = 5
        cases.append({"x": torch.from_numpy(x), "kernel": [3, 3], "stride": [3, 3]})
    return cases


def _pooled_forward(case: Inputs) -> Inputs:
    return {**case, "delta": None}


def _pooled_backward(rng: np.random.Generator, case: Inputs) -> Inputs:
    y = F.max_pool2d(case["x"], case["kernel"], case["stride"])
    return {**case, "delta": _draw(rng, *y.shape)}


def _pool_expected(x: Tensor, kernel: list[int], stride: list[int], delta: Tensor | None) -> Tensor:
    if delta is None:
        return F.max_pool2d(x, kernel, stride)
    x.requires_grad_()
    return torch.autograd.grad(F.max_pool2d(x, kernel, stride), x, delta)[0]


MAX_POOL = Question(
    "max_pool",
    "Max pooling, forward and backward",
    """\
import torch

with torch.inference_mode():
    if delta is None:
        result = max_pool2d(x, kernel, stride)
    else:
        result = max_pool2d_backward(delta, x, kernel, stride)
""",
    [
        Criterion("windows side by side", 1, lambda rng: [_pooled_forward(_tiles(rng))]),
        Criterion(
            "windows that overlap or do not fit",
            1,
            lambda rng: [_pooled_forward(case) for case in _overlaps(rng)],
        ),
        Criterion(
            "gradient, windows side by side",
            1,
            lambda rng: [_pooled_backward(rng, _tiles(rng))],
        ),
        Criterion(
            "gradient, overlapping windows and equal values",
            1,
            lambda rng: [_pooled_backward(rng, c) for c in (*_overlaps(rng), *_ties(rng))],
        ),
    ],
    expected=_pool_expected,
    forbids=(*POOLING, *WINDOWS, *AUTOGRAD),
)

# ---- batch_norm --------------------------------------------------------------------------


def _norm_case(
    rng: np.random.Generator,
    shapes: Sequence[Sequence[int]],
    part: str,
    *,
    training: bool,
    has_past: bool = True,
) -> Inputs:
    channels = shapes[0][1]
    spread = torch.from_numpy(rng.uniform(0.5, 2, size=(1, channels, 1, 1)))
    shift = 3 * _draw(rng, 1, channels, 1, 1)
    return {
        "batches": [_draw(rng, *shape) * spread + shift for shape in shapes],
        "weight": torch.from_numpy(rng.uniform(0.5, 2, size=channels)),
        "bias": _draw(rng, channels),
        "mean": _draw(rng, channels) if has_past else None,
        "var": torch.from_numpy(rng.uniform(0.5, 2, size=channels)) if has_past else None,
        "eps": float(rng.uniform(0.05, 0.2)),
        "momentum": float(rng.uniform(0.1, 0.4)),
        "training": training,
        "part": part,
    }


def _norm_training(rng: np.random.Generator) -> list[Inputs]:
    batch = int(rng.integers(2, 4))
    shapes = ((batch, 3, 2, 3), (4, 2, 1, 3))
    cases = [_norm_case(rng, [shape], "output", training=True) for shape in shapes]
    return [*cases, {**cases[0], "part": "parameters"}]


def _norm_statistics(rng: np.random.Generator) -> list[Inputs]:
    shapes = [(2, 3, 2, 2), (3, 3, 2, 1), (1, 3, 2, 3)]
    cases = [
        _norm_case(rng, shapes, "statistics", training=True, has_past=False),
        _norm_case(rng, shapes[1:], "statistics", training=True),
    ]
    return [*cases, {**cases[0], "part": "buffers"}]


def _norm_evaluation(rng: np.random.Generator) -> list[Inputs]:
    shapes = ((2, 3, 2, 3), (1, 2, 1, 1))  # one number a channel has no spread of its own
    return [_norm_case(rng, [shape], "output", training=False) for shape in shapes]


def _norm_kept(rng: np.random.Generator) -> list[Inputs]:
    return [_norm_case(rng, [(2, 3, 2, 2), (3, 3, 1, 2)], "statistics", training=False)]


def _norm_expected(
    batches: list[Tensor],
    weight: Tensor,
    bias: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    eps: float,
    momentum: float,
    training: bool,
    part: str,
) -> Tensor | dict[str, Any]:
    if part == "parameters":
        return {"weight is a parameter": True, "bias is a parameter": True}
    if part == "buffers":
        return {"running_mean is a buffer": True, "running_var is a buffer": True}
    layer = torch.nn.BatchNorm2d(len(weight), eps=eps, momentum=momentum).double()
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        if mean is not None:
            layer.running_mean.copy_(mean)
            layer.running_var.copy_(var)
        layer.train(training)
        for x in batches:
            y = layer(x)
    if part == "output":
        return y
    return {"running_mean": layer.running_mean, "running_var": layer.running_var}


BATCH_NORM = Question(
    "batch_norm",
    "Batch normalisation",
    """\
import torch

layer = BatchNorm(len(weight), eps=eps, momentum=momentum).double()
with torch.no_grad():
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    if mean is not None:
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(var)
    layer.train(training)
    for x in batches:
        y = layer(x)
    if part == "output":
        result = y
    elif part == "parameters":
        found = dict(layer.named_parameters())
        result = {f"{name} is a parameter": name in found for name in ("weight", "bias")}
    elif part == "buffers":
        found, names = dict(layer.named_buffers()), ("running_mean", "running_var")
        result = {f"{name} is a buffer": name in found for name in names}
    else:
        result = {"running_mean": layer.running_mean, "running_var": layer.running_var}
""",
    [
        Criterion("output in training", 1, _norm_training),
        Criterion("running statistics", 1, _norm_statistics),
        Criterion("output in evaluation", 1, _norm_evaluation),
        Criterion("evaluation keeps the statistics", 1, _norm_kept),
    ],
    expected=_norm_expected,
    forbids=NORMALISATION,
)

# ---- residual_block ----------------------------------------------------------------------


def _block_shapes(in_channels: int, out_channels: int, stride: int) -> dict[str, list[int]]:
    """Return the shapes of all parameters and running statistics by their names."""
    shapes = {}

    def add(conv: str, norm: str, weight: list[int]) -> None:
        shapes[f"{conv}.weight"] = weight
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{name}"] = [out_channels]

    add("conv1", "norm1", [out_channels, in_channels, 3, 3])
    add("conv2", "norm2", [out_channels, out_channels, 3, 3])
    if stride != 1 or in_channels != out_channels:
        add("shortcut.0", "shortcut.1", [out_channels, in_channels, 1, 1])
    return shapes


def _block_case(
    rng: np.random.Generator,
    in_channels: int,
    out_channels: int,
    stride: int,
    size: Sequence[int] | None,
) -> Inputs:
    shapes = _block_shapes(in_channels, out_channels, stride)
    positive = {n for n in shapes if n.endswith("running_var")}
    parameters = {
        name: torch.from_numpy(rng.uniform(0.5, 2, size=shape))
        if name in positive
        else _draw(rng, *shape)
        for name, shape in shapes.items()
    }
    return {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "stride": stride,
        "parameters": {} if size is None else parameters,
        "x": None if size is None else _draw(rng, 2, in_channels, *size),
    }


def _block_layers(rng: np.random.Generator) -> list[Inputs]:
    few = int(rng.integers(2, 5))
    settings = ((few, few, 1), (few, few + 1, 2), (few + 1, few, 1), (few, few, 2))
    return [_block_case(rng, *setting, None) for setting in settings]


def _block_identity(rng: np.random.Generator) -> list[Inputs]:
    return [_block_case(rng, 2, 2, 1, (3, int(rng.integers(4, 6))))]


def _block_projection(rng: np.random.Generator) -> list[Inputs]:
    return [
        _block_case(rng, 1, 2, 2, (5, int(rng.integers(3, 5)))),
        _block_case(rng, 2, 2, 2, (4, 5)),
        _block_case(rng, 2, 1, 1, (2, 3)),
    ]


def _block_expected(
    in_channels: int,
    out_channels: int,
    stride: int,
    parameters: Mapping[str, Tensor],
    x: Tensor | None,
) -> Tensor | dict[str, list[int]]:
    if x is None:
        return _block_shapes(in_channels, out_channels, stride)

    def norm(y: Tensor, name: str) -> Tensor:
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(y, *(parameters[f"{name}.{part}"] for part in names))

    y = norm(F.conv2d(x, parameters["conv1.weight"], None, stride, 1), "norm1").relu()
    y = norm(F.conv2d(y, parameters["conv2.weight"], None, 1, 1), "norm2")
    if "shortcut.0.weight" in parameters:
        x = norm(F.conv2d(x, parameters["shortcut.0.weight"], None, stride), "shortcut.1")
    return (x + y).relu()


RESIDUAL_BLOCK = Question(
    "residual_block",
    "A residual block",
    """\
import torch

block = ResidualBlock(in_channels, out_channels, stride).double()
named = {n: t for n, t in block.state_dict().items() if not n.endswith("num_batches_tracked")}
if x is None:
    result = {name: list(tensor.shape) for name, tensor in named.items()}
else:
    with torch.no_grad():
        for name, tensor in named.items():
            if name in parameters:
                tensor.copy_(parameters[name])
            else:  # a tensor that the block should not have
                tensor.fill_(0.0 if name.endswith("bias") else 0.1)
        result = block.eval()(x)
""",
    [
        Criterion("layers, names and shapes", 1, _block_layers),
        Criterion("output with an identity shortcut", 1, _block_identity),
        Criterion("output with a projection", 2, _block_projection),
    ],
    expected=_block_expected,
)

# ---- lr_schedule -------------------------------------------------------------------------


def _schedule_cases(rng: np.random.Generator, part: str, *warmups: int) -> list[Inputs]:
    return [
        {
            "num_steps": warmup + int(rng.integers(6, 12)),
            "lr": float(rng.uniform(0.2, 0.9)),
            "warmup_steps": warmup,
            "lr_min": float(rng.uniform(0.01, 0.05)),
            "part": part,
        }
        for warmup in warmups
    ]


def _schedule_expected(
    num_steps: int, lr: float, warmup_steps: int, lr_min: float, part: str
) -> list[float]:
    from torch.optim import SGD, lr_scheduler

    optimizer = SGD([torch.zeros(1, requires_grad=True)], lr)
    if part == "warm-up":
        count = warmup_steps
        scheduler = lr_scheduler.LinearLR(optimizer, 1 / count, 1.0, count - 1)
    else:
        count = num_steps - warmup_steps
        scheduler = lr_scheduler.CosineAnnealingLR(optimizer, count - 1, lr_min)
    rates = []
    for _ in range(count):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


LR_SCHEDULE = Question(
    "lr_schedule",
    "A learning-rate schedule",
    """\
rates = list(lr_schedule(num_steps, lr, warmup_steps, lr_min))
result = rates[:warmup_steps] if part == "warm-up" else rates[warmup_steps:]
""",
    [
        Criterion("warm-up", 1, lambda rng: _schedule_cases(rng, "warm-up", 3, 5)),
        Criterion("cosine decay", 1, lambda rng: _schedule_cases(rng, "cosine", 0, 4)),
    ],
    expected=_schedule_expected,
)

# ---- evaluation --------------------------------------------------------------------------


def _standardise_cases(rng: np.random.Generator) -> list[Inputs]:
    channels = int(rng.integers(2, 4))
    shapes = ((4, channels, 2, 3), (2, channels, 2, 3), (3, channels, 2, 3))
    shifts = (0, 1, -2)
    sets = [
        (1 + n) * _draw(rng, *shape) + torch.arange(channels)[:, None, None] + shift
        for n, (shape, shift) in enumerate(zip(shapes, shifts, strict=True))
    ]
    return [dict(zip(("x_train", "x_val", "x_test"), sets, strict=True)) | {"part": "standardise"}]


def _standardise_expected(x_train: Tensor, part: str, **others: Tensor) -> list[Tensor]:
    from sklearn.preprocessing import StandardScaler

    def as_columns(x: Tensor) -> np.ndarray:
        return x.movedim(1, -1).flatten(0, -2).numpy()

    scaler = StandardScaler().fit(as_columns(x_train))
    return [
        torch.from_numpy(scaler.transform(as_columns(x)))
        .unflatten(0, (len(x), *x.shape[2:]))
        .movedim(-1, 1)
        for x in (x_train, *others.values())
    ]


def _evaluate_cases(rng: np.random.Generator, part: str) -> list[Inputs]:
    """Draw sets whose last minibatch is smaller, for a model in either mode."""
    count = int(rng.integers(9, 12))
    return [
        {
            "x": _draw(rng, number, 1, 2, 3),
            "y": torch.from_numpy(rng.integers(0, 4, size=number)),
            "weight": _draw(rng, 6, 4),
            "batch_size": batch_size,
            "training": training,
            "part": part,
        }
        for number, batch_size, training in ((count, 4 if count % 4 else 6, True), (7, 5, False))
    ]


def _mean_expected(
    x: Tensor, y: Tensor, weight: Tensor, batch_size: int, training: bool, part: str
) -> dict[str, float]:
    logits = x.flatten(1) @ weight
    return {
        "loss": F.cross_entropy(logits, y).item(),
        "accuracy": (logits.argmax(dim=1) == y).double().mean().item(),
    }


def _mode_expected(batch_size: int, training: bool, **_: Any) -> dict[str, Any]:
    return {
        "in training mode": False,
        "with gradients": False,
        "largest batch": batch_size,
        "left in training mode": training,
    }


def _choice_cases(rng: np.random.Generator) -> list[Inputs]:
    """Draw accuracies of five settings: another is best on each set, and none is first or last."""
    cases = []
    for best in (1, 2):
        names = [f"setting {n}" for n in rng.permutation(9)[:5]]
        scores = {s: (rng.permutation(49)[:5] / 100 + 0.4) for s in ("train", "val", "test")}
        scores["val"][best], scores["test"][3], scores["train"][3 - best] = 0.95, 0.96, 0.97
        scores = {split: values.tolist() for split, values in scores.items()}
        cases.append({"names": names, "scores": scores, "part": "choice"})
    return cases


def _choice_expected(
    names: list[str], scores: Mapping[str, list[float]], part: str
) -> dict[str, Any]:
    best = int(np.argmax(scores["val"]))
    return {"chosen": names[best], "accuracy": scores["test"][best], "tested": [names[best]]}


EVALUATION = Question(
    "evaluation",
    "An evaluation that does not leak",
    """\
import torch
from torch import nn


class Recorder(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight, self.calls = nn.Parameter(weight.clone()), []

    def forward(self, x):
        self.calls.append((self.training, torch.is_grad_enabled(), len(x)))
        return x.flatten(1) @ self.weight


if part == "standardise":
    result = list(standardise(x_train, x_val, x_test))
elif part == "choice":
    tested = []

    def score(name, split):
        if split == "test":
            tested.append(name)
        return scores[split][names.index(name)]

    chosen, accuracy = choose_and_test(list(names), score)
    result = {"chosen": chosen, "accuracy": accuracy, "tested": tested}
else:
    model = Recorder(weight).train(training)
    loss, accuracy = evaluate(model, x, y, batch_size)
    if part == "mean":
        result = {"loss": loss, "accuracy": accuracy}
    else:
        modes, gradients, sizes = zip(*model.calls)
        result = {
            "in training mode": any(modes),
            "with gradients": any(gradients),
            "largest batch": max(sizes),
            "left in training mode": model.training,
        }
""",
    [
        Criterion("standardising", 1, _standardise_cases, _standardise_expected),
        Criterion(
            "mean over all pictures", 1, lambda rng: _evaluate_cases(rng, "mean"), _mean_expected
        ),
        Criterion(
            "mode, gradients, batches", 1, lambda rng: _evaluate_cases(rng, "mode"), _mode_expected
        ),
        Criterion("choice and one test", 1, _choice_cases, _choice_expected),
    ],
)

# ---- training ----------------------------------------------------------------------------

NUM_TRAIN, NUM_VAL, NUM_HIDDEN = 2000, 500, 2000
MAX_MOVE = 3  # pixels of the 28 x 28 picture
NUM_FEW = 200  # pictures in the check of repeatability
CONSTANT_SHARE = 0.95
# Accuracy, what is earned from there on, and what may be wrong below it.
STEPS = (
    (0.22, 0.0, "The accuracy is about chance: is `optimizer.step()` called, and do pictures and "
     "labels still belong together after shuffling?"),
    (0.40, 0.0, "The accuracy is above chance, but low: how many steps does your loop take, and "
     "does it see every minibatch of every epoch?"),
    (0.55, 0.25, "The accuracy is that of a training on few pictures or for a short time: does "
     "each epoch go through all of `x_train`, and does the loss still fall at the end?"),
    (0.66, 0.50, "The accuracy is about that of a linear classifier, which a moved picture "
     "confuses: where are your convolutions, and the nonlinearities between them?"),
    (0.74, 0.75, "The accuracy is about that of a good network without convolutions: what would "
     "let yours see the same thing at another place, and does the learning rate decay?"),
)  # fmt: skip


@lru_cache(maxsize=1)
def _fashion() -> Any:
    from course_utils.data import load_fashion_mnist

    pictures = load_fashion_mnist()
    if pictures.is_synthetic:
        raise ValueError(
            "the question 'training' needs Fashion-MNIST, and only its synthetic stand-in is "
            "here: connect to the network once and run `course data`"
        )
    return pictures


def _small_pictures(
    rng: np.random.Generator, X: np.ndarray, y: np.ndarray, count: int
) -> tuple[Tensor, np.ndarray]:
    """Draw pictures, move and mirror each at random, halve them; grey values from 0 to 255."""
    chosen = rng.choice(len(X), count, replace=False)
    framed = np.pad(X[chosen], ((0, 0), (MAX_MOVE, MAX_MOVE), (MAX_MOVE, MAX_MOVE)))
    mirrored = rng.random(count) < 0.5
    framed[mirrored] = framed[mirrored, :, ::-1]
    corners = rng.integers(0, 2 * MAX_MOVE + 1, size=(count, 2))
    moved = np.stack(
        [
            picture[row : row + 28, column : column + 28]
            for picture, (row, column) in zip(framed, corners, strict=True)
        ]
    )
    small = moved.reshape(count, 1, 14, 2, 14, 2).mean(axis=(3, 5))
    return torch.from_numpy((255 * small).round().astype(np.uint8)), y[chosen]


def _training_sets(rng: np.random.Generator, num_train: int, num_val: int) -> Inputs:
    fashion = _fashion()
    classes = rng.permutation(10)  # so that knowing Fashion-MNIST's labels is of no use
    x, y = _small_pictures(rng, fashion.X_train, classes[fashion.y_train], num_train + num_val)
    y = torch.from_numpy(y)
    return {
        "x_train": x[:num_train],
        "y_train": y[:num_train],
        "x_val": x[num_train:],
        "y_val": y[num_train:],
        "seed": int(rng.integers(2**31)),
        "classes": torch.from_numpy(classes),
    }


def _accuracy_cases(rng: np.random.Generator) -> list[Case]:
    inputs = _training_sets(rng, NUM_TRAIN, NUM_VAL)
    fashion, classes = _fashion(), inputs.pop("classes").numpy()
    pictures, y = _small_pictures(rng, fashion.X_test, classes[fashion.y_test], NUM_HIDDEN)
    inputs["seeds"] = [inputs.pop("seed")]
    return [Case({**inputs, "pictures": pictures}, {"y": y})]


def _repeat_cases(rng: np.random.Generator) -> list[Case]:
    inputs = _training_sets(rng, NUM_FEW, NUM_FEW // 4)
    del inputs["classes"]
    seed = inputs.pop("seed")
    return [Case({**inputs, "pictures": inputs["x_train"], "seeds": [seed, seed, seed + 1]})]


def _judge_accuracy(result: Any, case: Case) -> tuple[float, str]:
    y = case.secret["y"]
    logits = np.asarray(result[0], dtype=float)
    if logits.shape != (len(y), 10):
        return 0.0, "The network should give one row for each picture and ten columns."
    if not np.isfinite(logits).all():
        return 0.0, (
            "The network's output is NaN or infinite: the training has diverged; look at the loss "
            "of the first steps, and at the learning rate."
        )
    answers = logits.argmax(axis=1)
    if np.bincount(answers).max() > CONSTANT_SHARE * len(y):
        return 0.0, (
            "The network says the same class for nearly every picture: it has not learnt, or its "
            "units are dead; look at the learning rate and at the loss of every epoch."
        )
    accuracy = (answers == y).mean()
    for bound, fraction, message in STEPS:
        if accuracy < bound:
            return fraction, message
    return 1.0, ""


def _judge_repeat(result: Any, case: Case) -> tuple[float, str]:
    first, second, other = (np.asarray(part, dtype=float) for part in result)
    y = np.asarray(case.inputs["y_train"])
    if first.shape != (len(y), 10) or (first.argmax(axis=1) == y).mean() < 0.3:
        return 0.0, "There is nothing to repeat yet: not even the training pictures are learnt."
    if not np.allclose(first, second, rtol=1e-3, atol=1e-3, equal_nan=True):
        return 0.0, (
            "Two runs with the same `generator` give different networks: draw the weights and the "
            "order of the pictures from it, and seed torch's global source from it for the rest."
        )
    if np.allclose(first, other, rtol=1e-3, atol=1e-3, equal_nan=True):
        return 0.0, (
            "Generators with different seeds give the same network: draw from `generator`, not "
            "from a seed of your own, and train anew in each call."
        )
    return 1.0, ""


TRAINING = Question(
    "training",
    "A training run",
    """\
import torch

result = []
for run, seed in enumerate(seeds):
    torch.manual_seed(run)  # another one each time: `generator` alone has to decide
    generator = torch.Generator().manual_seed(seed)
    model = train_model(x_train / 255, y_train, x_val / 255, y_val, generator)
    model.eval()
    with torch.no_grad():
        result.append(model(pictures / 255))
""",
    [
        Criterion(
            "accuracy on new pictures", 4, _accuracy_cases, judge=_judge_accuracy, is_public=False
        ),
        Criterion(
            "the same generator, the same network",
            1,
            _repeat_cases,
            judge=_judge_repeat,
            is_public=False,
        ),
    ],
    keeps_inputs=False,
    seconds=95,  # three calls of at most 30 in the case that repeats itself
)

QUESTIONS = [
    CONV_FORWARD,
    CONV_BACKWARD,
    MAX_POOL,
    BATCH_NORM,
    RESIDUAL_BLOCK,
    LR_SCHEDULE,
    EVALUATION,
    TRAINING,
]
