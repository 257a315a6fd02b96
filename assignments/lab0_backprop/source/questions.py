"""The practice lab's questions: what is run, which cases are drawn, what is right.

Right results come from another route than the notebook's solutions: from SciPy and
PyTorch's automatic differentiation, or from a closed form.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from course_utils.grading.questions import Case, Criterion, Question

__all__ = ["QUESTIONS"]

Inputs = dict[str, Any]
Draw = Callable[[np.random.Generator], list[Inputs]]
GOOD_ACCURACY = 0.93  # over 400 seeds a right loop was above 0.95, a straight line below 0.75
FAIR_ACCURACY = 0.85


def _unequal(rng: np.random.Generator, count: int, low: int = 2, high: int = 9) -> list[int]:
    """Draw sizes that all differ, so that a transposed product cannot pass."""
    return [int(n) for n in rng.permutation(np.arange(low, high))[:count]]


def _away_from_zero(rng: np.random.Generator) -> float:
    return float(rng.choice([-1, 1]) * rng.uniform(0.5, 1.5))


# ---- neuron ------------------------------------------------------------------------------


def _neuron_samples(rng: np.random.Generator) -> list[Inputs]:
    batch, width = _unequal(rng, 2)
    return [
        {"X": rng.normal(size=(B, n)), "w": rng.normal(size=n), "b": _away_from_zero(rng)}
        for B, n in ((batch, width), (1, width + 1), (batch + 2, 1))
    ]


def _neuron_large(rng: np.random.Generator) -> list[Inputs]:
    sides = rng.permutation([1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 0.0])
    X = np.column_stack([sides, rng.normal(size=7)])
    return [{"X": X, "w": np.array([1000.0, rng.normal()]), "b": _away_from_zero(rng)}]


def _neuron_expected(X: np.ndarray, w: np.ndarray, b: float) -> np.ndarray:
    from scipy.special import expit

    return expit(np.einsum("bn,n->b", X, w) + b)


NEURON = Question(
    "neuron",
    "A neuron's forward pass",
    "result = neuron(X, w, b)",
    [
        Criterion("a batch of samples", 1, _neuron_samples),
        Criterion("scores up to 1000 either way", 1, _neuron_large),
    ],
    expected=_neuron_expected,
)

# ---- activate ----------------------------------------------------------------------------


def _activation_cases(name: str) -> Draw:
    def draw(rng: np.random.Generator) -> list[Inputs]:
        rows, columns = _unequal(rng, 2, high=6)
        return [
            {"z": rng.normal(size=(rows, columns)), "name": name},
            {"z": np.append(rng.uniform(-3, 3, size=rows), [0.0, 0.0]), "name": name},
            {"z": np.array([-1000.0, 0.0, 1000.0]), "name": name},
        ]

    return draw


def _activation_expected(z: np.ndarray, name: str) -> dict[str, np.ndarray]:
    import torch

    leaf = torch.tensor(z, requires_grad=True)
    h = torch.tanh(leaf) if name == "tanh" else torch.nn.functional.leaky_relu(leaf, 0.1)
    (slope,) = torch.autograd.grad(h.sum(), leaf)
    return {"h": h.detach().numpy(), "slope": slope.numpy()}


ACTIVATE = Question(
    "activate",
    "An activation and its slope",
    'h, slope = activate(z, name)\nresult = {"h": h, "slope": slope}',
    [
        Criterion("tanh", 1, _activation_cases("tanh")),
        Criterion("leaky ReLU", 1, _activation_cases("leaky_relu")),
    ],
    expected=_activation_expected,
)

# ---- softmax_cross_entropy ---------------------------------------------------------------


def _scores(rng: np.random.Generator, part: str) -> list[Inputs]:
    batch, classes = _unequal(rng, 2, low=3)
    return [
        {"Z": rng.normal(0, 2, size=(B, K)), "y": rng.integers(K, size=B), "part": part}
        for B, K in ((batch, classes), (1, classes + 1), (batch + 4, 2))
    ]


def _large_scores(rng: np.random.Generator) -> list[Inputs]:
    Z = rng.normal(size=(5, 3))
    Z[1] += 1000
    Z[2] -= 1000
    Z[3] = rng.permutation([1000.0, 0.0, -1000.0])
    y = rng.integers(3, size=5)
    y[3] = np.argmin(Z[3])  # as wrong as can be: the loss is large and has to stay finite
    return [{"Z": Z, "y": y, "part": "both"}]


def _cross_entropy_expected(Z: np.ndarray, y: np.ndarray, part: str) -> Any:
    import torch

    leaf = torch.tensor(Z, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(leaf, torch.tensor(y))
    (gradient,) = torch.autograd.grad(loss, leaf)
    both = {"loss": loss.item(), "gradient": gradient.numpy()}
    return both if part == "both" else both[part]


SOFTMAX_CROSS_ENTROPY = Question(
    "softmax_cross_entropy",
    "A stable loss and its gradient",
    "loss, G = softmax_cross_entropy(Z, y)\n"
    'both = {"loss": loss, "gradient": G}\n'
    'result = both if part == "both" else both[part]',
    [
        Criterion("loss", 1, lambda rng: _scores(rng, "loss")),
        Criterion("gradient", 1, lambda rng: _scores(rng, "gradient")),
        Criterion("scores up to 1000 either way", 1, _large_scores),
    ],
    expected=_cross_entropy_expected,
)

# ---- dense -------------------------------------------------------------------------------


def _dense_cases(part: str) -> Draw:
    def draw(rng: np.random.Generator) -> list[Inputs]:
        batch, n_in, n_out = _unequal(rng, 3, high=7)
        sizes = ((batch, n_in, n_out), (1, n_out, 1), (n_in, 1, batch))
        return [
            {
                "X": rng.normal(size=(B, i)),
                "W": rng.normal(size=(i, o)),
                "b": rng.normal(size=(1, o)),
                "G": rng.normal(size=(B, o)),
                "part": part,
            }
            for B, i, o in sizes
        ]

    return draw


def _dense_expected(X: np.ndarray, W: np.ndarray, b: np.ndarray, G: np.ndarray, part: str) -> Any:
    import torch

    leaves = [torch.tensor(a, requires_grad=True) for a in (X, W, b)]
    Z = torch.addmm(leaves[2], leaves[0], leaves[1])
    dX, dW, db = (g.numpy() for g in torch.autograd.grad(Z, leaves, torch.tensor(G)))
    return {"Z": Z.detach().numpy(), "dX": dX, "parameters": {"dW": dW, "db": db}}[part]


DENSE = Question(
    "dense",
    "A dense layer, forward and backward",
    "Z, cache = dense_forward(X, W, b)\n"
    'if part == "Z":\n'
    "    result = Z\n"
    "else:\n"
    "    dX, dW, db = dense_backward(G, cache)\n"
    '    result = dX if part == "dX" else {"dW": dW, "db": db}',
    [
        Criterion("forward pass", 1, _dense_cases("Z")),
        Criterion("gradient with respect to X", 1, _dense_cases("dX")),
        Criterion("gradients with respect to W and b", 1, _dense_cases("parameters")),
    ],
    expected=_dense_expected,
)

# ---- numeric_gradient --------------------------------------------------------------------


def _numeric_cases(rng: np.random.Generator) -> list[Inputs]:
    shapes = (tuple(_unequal(rng, 1)), tuple(_unequal(rng, 2)), tuple(_unequal(rng, 3, high=6)))
    return [
        {"p": rng.normal(size=shape), "A": rng.normal(size=shape), "h": h}
        for shape, h in zip(shapes, rng.uniform(0.1, 0.7, size=3).tolist(), strict=True)
    ]


def _numeric_integers(rng: np.random.Generator) -> list[Inputs]:
    shape = tuple(_unequal(rng, 2, high=6))
    p = rng.integers(-3, 4, size=shape)
    return [{"p": p, "A": rng.normal(size=shape), "h": float(rng.uniform(0.1, 0.7))}]


def _numeric_expected(p: np.ndarray, A: np.ndarray, h: float) -> np.ndarray:
    """Return what central differences give: for a cube they are off by h^2, exactly."""
    return A * (3 * p**2 + h**2) + 3 * p.sum() ** 2 + h**2


NUMERIC_GRADIENT = Question(
    "numeric_gradient",
    "A numerical gradient",
    "def f(p):\n"
    "    return float((A * p**3).sum() + p.sum() ** 3)\n"
    "\n"
    "result = numeric_gradient(f, p, h)",
    [
        Criterion("parameters of any shape", 1, _numeric_cases),
        Criterion("parameters that are whole numbers", 1, _numeric_integers),
    ],
    expected=_numeric_expected,
)

# ---- mlp ---------------------------------------------------------------------------------


def _mlp_case(rng: np.random.Generator, batch: int, widths: Sequence[int], part: str) -> Inputs:
    layers = [
        [rng.normal(0, n_in**-0.5, size=(n_in, n_out)), rng.normal(size=(1, n_out))]
        for n_in, n_out in pairwise(widths)
    ]
    X, G = rng.normal(size=(batch, widths[0])), rng.normal(size=(batch, widths[-1]))
    return {"layers": layers, "X": X, "G": G, "part": part}


def _mlp_cases(part: str) -> Draw:
    def draw(rng: np.random.Generator) -> list[Inputs]:
        batch, *widths = _unequal(rng, 5, high=7)
        shapes = [(batch, widths), (1, [widths[0], 1, widths[1]])]
        if part != "hidden":
            shapes.append((batch + 1, widths[1:3]))
        return [_mlp_case(rng, B, sizes, part) for B, sizes in shapes]

    return draw


def _mlp_expected(layers: list, X: np.ndarray, G: np.ndarray, part: str) -> Any:
    import torch

    leaves = [[torch.tensor(p, requires_grad=True) for p in layer] for layer in layers]
    Z = torch.tensor(X)
    for number, (W, b) in enumerate(leaves):
        Z = torch.addmm(b, torch.tanh(Z) if number else Z, W)
    if part == "scores":
        return Z.detach().numpy()
    flat = [p for layer in leaves for p in layer]
    gradients = [g.numpy() for g in torch.autograd.grad(Z, flat, torch.tensor(G))]
    pairs = [{"dW": dW, "db": db} for dW, db in zip(gradients[::2], gradients[1::2], strict=True)]
    return pairs[-1] if part == "output" else pairs[:-1]


MLP = Question(
    "mlp",
    "Backpropagation through a network",
    "Z, cache = mlp_forward(layers, X)\n"
    'if part == "scores":\n'
    "    result = Z\n"
    "else:\n"
    "    gradients = mlp_backward(layers, G, cache)\n"
    '    pairs = [{"dW": dW, "db": db} for dW, db in gradients]\n'
    '    result = pairs[-1] if part == "output" else pairs[:-1]',
    [
        Criterion("forward pass", 1, _mlp_cases("scores")),
        Criterion("gradients of the output layer", 1, _mlp_cases("output")),
        Criterion("gradients of the hidden layers", 1, _mlp_cases("hidden")),
    ],
    expected=_mlp_expected,
)

# ---- sgd_step ----------------------------------------------------------------------------


def _sgd_case(rng: np.random.Generator, momentum: float, weight_decay: float) -> Inputs:
    n_in, n_out, num_steps = _unequal(rng, 3, high=6)
    shapes = ((n_in, n_out), (1, n_out))
    return {
        "params": [rng.normal(size=shape) for shape in shapes],
        "velocity": [rng.normal(size=shape) for shape in shapes],
        "steps": [[rng.normal(size=shape) for shape in shapes] for _ in range(num_steps)],
        "lr": float(rng.uniform(0.2, 0.8)),
        "momentum": momentum,
        "weight_decay": weight_decay,
    }


def _sgd_momentum(rng: np.random.Generator) -> list[Inputs]:
    return [_sgd_case(rng, momentum, 0.0) for momentum in (0.0, 0.9)]


def _sgd_decay(rng: np.random.Generator) -> list[Inputs]:
    return [_sgd_case(rng, momentum, decay) for momentum, decay in ((0.0, 0.3), (0.7, 0.2))]


def _sgd_expected(
    params: list, velocity: list, steps: list, lr: float, momentum: float, weight_decay: float
) -> dict[str, list]:
    """Return the state after all steps: each step is one and the same linear map."""
    step = np.array([[momentum, weight_decay], [-lr * momentum, 1 - lr * weight_decay]])
    states = []
    for place, start in enumerate(zip(velocity, params, strict=True)):
        state = np.stack(start)  # (2, ...): velocity, parameter
        for gradients in steps:
            g = gradients[place]
            state = np.tensordot(step, state, axes=1) + np.stack([g, -lr * g])
        states.append(state)
    return {"params": [s[1] for s in states], "velocity": [s[0] for s in states]}


SGD_STEP = Question(
    "sgd_step",
    "A step of gradient descent with momentum",
    "for gradients in steps:\n"
    "    params, velocity = sgd_step(params, gradients, velocity, lr, momentum, weight_decay)\n"
    'result = {"params": list(params), "velocity": list(velocity)}',
    [
        Criterion("momentum", 1, _sgd_momentum),
        Criterion("weight decay", 1, _sgd_decay),
    ],
    expected=_sgd_expected,
)

# ---- train -------------------------------------------------------------------------------


def _clouds(num_samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return four clouds at the corners of a square; opposite corners share a target."""
    corners = rng.choice([-1.0, 1.0], size=(num_samples, 2))
    X = corners + rng.normal(0, 0.35, size=(num_samples, 2))
    return X, -corners.prod(axis=1)


def _start(n_in: int, width: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [
        rng.normal(size=(n_in, width)),
        rng.normal(size=(1, width)),
        rng.normal(0, width**-0.5, size=(width, 1)),
        np.zeros((1, 1)),
    ]


def _train_case(rng: np.random.Generator, N: int, batch_size: int, num_epochs: int) -> Inputs:
    n_in, width = _unequal(rng, 2, high=6)
    return {
        "params": _start(n_in, width, rng),
        "X": rng.normal(size=(N, n_in)),
        "y": rng.choice([-1.0, 1.0], size=N) + rng.normal(0, 0.1, size=N),
        "lr": float(rng.uniform(0.1, 0.3)),
        "num_epochs": num_epochs,
        "batch_size": batch_size,
        "seed": int(rng.integers(10**6)),
    }


def _train_whole(rng: np.random.Generator) -> list[Inputs]:
    N = int(rng.integers(6, 10))
    return [_train_case(rng, N, int(N + rng.integers(0, 6)), 3)]


def _train_minibatches(rng: np.random.Generator) -> list[Inputs]:
    N = int(rng.integers(3, 6))
    return [_train_case(rng, 4 * N + 1, N, 3), _train_case(rng, N + 2, 1, 2)]


def _train_unseen(rng: np.random.Generator) -> list[Case]:
    cases = []
    for _ in range(2):
        X, y = _clouds(121, rng)
        X_unseen, y_unseen = _clouds(401, rng)
        inputs = {
            "params": _start(2, 8, rng),
            "X": X,
            "y": y,
            "lr": 0.2,
            "num_epochs": 15,
            "batch_size": 16,
            "seed": int(rng.integers(10**6)),
        }
        cases.append(Case(inputs, {"X": X_unseen, "y": y_unseen}))
    return cases


def _judge_unseen(result: Any, case: Case) -> tuple[float, str]:
    params = [np.asarray(result[name], dtype=float) for name in ("W1", "b1", "W2", "b2")]
    given = [p.shape for p in case.inputs["params"]]
    if [p.shape for p in params] != given:
        return 0.0, "The trained parameters should have the shapes of those that you were given."
    if not all(np.isfinite(p).all() for p in params):
        return 0.0, "The trained parameters hold NaN or infinity: does each step go downhill?"
    W1, b1, W2, b2 = params
    scores = (np.tanh(case.secret["X"] @ W1 + b1) @ W2 + b2)[:, 0]
    accuracy = float((np.sign(scores) == case.secret["y"]).mean())
    if accuracy >= GOOD_ACCURACY:
        return 1.0, ""
    sentence = (
        f"The trained network is right on less than {{}} of the points that it has not seen; a "
        f"loop that follows the text reaches {GOOD_ACCURACY:.0%}."
    )
    if accuracy >= FAIR_ACCURACY:
        return 0.5, sentence.format(f"{GOOD_ACCURACY:.0%}")
    return 0.0, sentence.format(f"{FAIR_ACCURACY:.0%}")


def _train_expected(
    params: list,
    X: np.ndarray,
    y: np.ndarray,
    lr: float,
    num_epochs: int,
    batch_size: int,
    seed: int,
) -> dict[str, np.ndarray]:
    import torch

    leaves = [torch.tensor(p, requires_grad=True) for p in params]
    W1, b1, W2, b2 = leaves
    optimizer = torch.optim.SGD(leaves, lr=lr)
    rng = np.random.default_rng(seed)
    for _ in range(num_epochs):
        for index in torch.tensor(rng.permutation(len(X))).split(batch_size):
            scores = (torch.tanh(torch.tensor(X)[index] @ W1 + b1) @ W2 + b2).squeeze(1)
            optimizer.zero_grad()
            (0.5 * torch.nn.functional.mse_loss(scores, torch.tensor(y)[index])).backward()
            optimizer.step()
    return {n: p.detach().numpy() for n, p in zip(("W1", "b1", "W2", "b2"), leaves, strict=True)}


TRAIN = Question(
    "train",
    "A training loop",
    "import numpy as np\n"
    "\n"
    "rng = np.random.default_rng(seed)\n"
    "trained = train(params, X, y, slow_gradient, lr, num_epochs, batch_size, rng)\n"
    'result = dict(zip(("W1", "b1", "W2", "b2"), trained, strict=True))',
    [
        Criterion("a batch size of N or more", 1, _train_whole),
        Criterion("minibatches in a new order each epoch", 1, _train_minibatches),
        Criterion("accuracy on points not seen", 1, _train_unseen, judge=_judge_unseen),
    ],
    expected=_train_expected,
)

QUESTIONS = [
    NEURON,
    ACTIVATE,
    SOFTMAX_CROSS_ENTROPY,
    DENSE,
    NUMERIC_GRADIENT,
    MLP,
    SGD_STEP,
    TRAIN,
]
