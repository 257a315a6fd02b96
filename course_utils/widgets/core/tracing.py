"""Take a network apart into the steps of its forward pass, with shape, cost and field of each."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx, nn

from course_utils.counting import copy_without_values, multiply_adds
from course_utils.widgets.core.receptive import (
    Field,
    merge,
    pad,
    pool_all,
    rescale,
    slide,
    spread,
    take,
)

__all__ = ["Step", "trace"]

_MERGES = {"add", "sub", "mul", "iadd", "isub", "imul", "add_", "mul_", "maximum"}
_MERGES |= {"cat", "concat", "concatenate", "stack"}
_SILENT = {"flatten", "view", "reshape", "contiguous", "squeeze", "unsqueeze", "clone", "detach"}
_SILENT |= {"Flatten", "Unflatten", "Identity", "size", "getattr", "dim", "chunk", "split"}


@dataclass(frozen=True)
class Step:
    """One step of a forward pass.

    Attributes
    ----------
    node, module
        Name in the traced graph; path of the module in which the step is taken.
    words
        What it does, such as ``"Conv2d 3×3, stride 2"``; in a ``group``, the module's class.
    role
        "input", "conv", "linear", "pool", "merge"; "silent" where values are handed on as
        they are, "tail" where each becomes another in its place; or "other".
    shape
        Of the result without the batch.
    field
        What its units see.
    parents
        Nodes that it reads and that depend on the input.
    parameters, multiply_adds
        As `course_utils.counting` counts them.
    users
        Nodes that read it.
    group
        Path of the handwritten module without modules of its own whose steps this is;
        else empty.
    before
        Shape of what it reads first.
    """

    node: str
    module: str
    words: str
    role: str
    shape: tuple[int, ...] | None
    field: Field
    parents: tuple[str, ...]
    parameters: int
    multiply_adds: int
    users: tuple[str, ...]
    group: str
    before: tuple[int, ...] | None


class _Tracer(fx.Tracer):
    """Follow what every module does, or with ``shallow`` leave handwritten ones whole."""

    def __init__(self, shallow: bool) -> None:
        super().__init__()
        self.shallow = shallow

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        whole = self.shallow and not list(m.children())
        return whole or super().is_leaf_module(m, module_qualified_name)


class _Walk(fx.Interpreter):
    """Run a traced network and write every step down."""

    def __init__(self, model: nn.Module, graph: fx.Graph) -> None:
        super().__init__(fx.GraphModule(model, graph))
        self.model = model  # the graph's own module lacks those that it does not call
        self.steps: dict[str, Step] = {}
        self.counted: set[int] = set()
        self.owed: dict[str, int] = {}  # parameters of constants, for the step that reads them

    def run_node(self, n: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        result = super().run_node(n)
        if n.op != "output":
            self.steps[n.name] = self._step(n, args, kwargs, result)
        return result

    def _step(self, n: fx.Node, args: tuple, kwargs: dict, result: Any) -> Step:
        module = self.module.get_submodule(n.target) if n.op == "call_module" else None
        name = _name(n, module)
        first = result[0] if isinstance(result, (tuple, list)) and result else result
        shape = tuple(first.shape[1:]) if isinstance(first, Tensor) else None
        before = [self.steps[p.name] for p in n.all_input_nodes if p.name in self.steps]
        parents = [s for s in before if s.role != "constant" and s.shape is not None]
        parameters = self._parameters(n, module) + sum(self.owed.pop(s.node, 0) for s in before)
        role = _role(n, name, module, parents, shape)
        if role == "constant":
            self.owed[n.name] = parameters
        stack = list(n.meta.get("nn_module_stack", {}).values())
        path = stack[-1][0] if stack else ""
        owner = self.model.get_submodule(path)
        whole = path != "" and _is_handwritten(owner)
        return Step(
            node=n.name,
            module=path,
            words=type(owner).__name__ if whole else _words(name, module, args, kwargs),
            role=role,
            shape=shape,
            field=_field(name, module, args, kwargs, parents, shape),
            parents=tuple(s.node for s in parents),
            parameters=0 if role == "constant" else parameters,
            multiply_adds=0 if module is None else multiply_adds(module, args, first),
            users=tuple(user.name for user in n.users if user.op != "output"),
            group=path if whole else "",
            before=parents[0].shape if parents else None,
        )

    def _parameters(self, n: fx.Node, module: nn.Module | None) -> int:
        """Return how many parameters a step is the first to use."""
        own = list(module.parameters()) if module is not None else []
        if n.op == "get_attr" and isinstance(self.fetch_attr(n.target), nn.Parameter):
            own = [self.fetch_attr(n.target)]
        new = {id(p): p.numel() for p in own if id(p) not in self.counted}
        self.counted.update(new)
        return sum(new.values())


def trace(model: nn.Module, shape: Sequence[int]) -> tuple[fx.Graph, list[Step]]:
    """Return the graph of a forward pass in evaluation mode, and its steps in order.

    Parameters
    ----------
    model
        A network of one input whose ``forward`` does not decide by values.
    shape
        Of one input without the batch.

    Raises
    ------
    ValueError
        If the network cannot be traced, or does not run on the shape.
    """
    ghost = copy_without_values(model).eval()
    try:
        graph = _Tracer(shallow=False).trace(ghost)
    except Exception:
        graph = _trace_whole_modules(ghost)
    dtype = next((p.dtype for p in ghost.parameters() if p.is_floating_point()), torch.float32)
    walk = _Walk(ghost, graph)
    try:
        with torch.no_grad(), torch.device("meta"):
            walk.run(torch.empty(1, *shape, dtype=dtype))
    except Exception as error:
        cause = next((line for line in str(error).splitlines() if line), repr(error))
        raise ValueError(f"does not run on one input of shape {tuple(shape)}: {cause}") from error
    return graph, _collapse(walk.steps)


def _collapse(steps: dict[str, Step]) -> list[Step]:
    """Return the steps that hand on images or maps, each handwritten module as one of them."""
    runs: list[list[Step]] = []
    for step in steps.values():
        if step.role == "constant" or step.shape is None:
            continue
        if step.group and runs and runs[-1][0].group == step.group:
            runs[-1].append(step)
        else:
            runs.append([step])
    alias = {step.node: run[-1].node for run in runs for step in run}
    return [_join(run, alias) for run in runs]


def _join(run: list[Step], alias: dict[str, str]) -> Step:
    """Return a run of steps as one, with the names of its neighbours as in ``alias``."""
    last = run[-1]
    parents = dict.fromkeys(alias[p] for step in run for p in step.parents)
    users = dict.fromkeys(alias[u] for u in last.users if u in alias)
    whole = replace(
        last,
        parents=tuple(p for p in parents if p != last.node),
        users=tuple(users),
        parameters=sum(step.parameters for step in run),
        multiply_adds=sum(step.multiply_adds for step in run),
    )
    if not last.group:
        return whole
    roles = {step.role for step in run}
    role = next((name for name in ("conv", "linear") if name in roles), None)
    if role is None and whole.shape == run[0].before and len(whole.parents) == 1:
        role = "tail"
    return replace(whole, role=role or ("pool" if "pool" in roles else "other"))


def _trace_whole_modules(ghost: nn.Module) -> fx.Graph:
    try:
        return _Tracer(shallow=True).trace(ghost)
    except Exception as error:
        raise ValueError(
            f"cannot be traced: {error}. Its forward must not branch or loop on values; put "
            "such a part into a module of its own"
        ) from error


def _is_handwritten(module: nn.Module) -> bool:
    return not type(module).__module__.startswith("torch.nn") and not list(module.children())


def _name(n: fx.Node, module: nn.Module | None) -> str:
    if module is not None:
        return type(module).__name__
    return n.target if isinstance(n.target, str) else getattr(n.target, "__name__", str(n.target))


def _role(
    n: fx.Node,
    name: str,
    module: nn.Module | None,
    parents: list[Step],
    shape: tuple[int, ...] | None,
) -> str:
    """Return what part a step has in the picture; see `Step`."""
    if n.op == "placeholder":
        return "input"
    if not parents:
        return "constant"
    if len(parents) > 1 and name in _MERGES:
        return "merge"
    if shape is None or name in _SILENT or "ropout" in name:
        return "silent"
    if isinstance(module, nn.Linear) or name == "linear":
        return "linear"
    if name.lower().startswith("conv"):
        return "conv"
    before = parents[0].shape
    if "pool" in name.lower() or (len(before) == 3 and name in ("mean", "amax", "sum")):
        return "pool"
    if name == "getitem" and before == shape:
        return "silent"
    return "tail" if shape == before else "other"


def _pair(value: Any) -> tuple:
    return tuple(value) if isinstance(value, (tuple, list)) else (value, value)


def _window(name: str, module: nn.Module | None, args: tuple, kwargs: dict) -> tuple | None:
    """Return kernel, stride, padding and dilation of a sliding window, or None."""
    names = ("kernel_size", "stride", "padding", "dilation")
    if module is not None and all(hasattr(module, part) for part in names[:2]):
        kernel, stride, padding, dilation = (getattr(module, part, None) for part in names)
    elif name in ("conv2d", "conv_transpose2d", "max_pool2d", "avg_pool2d"):
        order = ("input", "kernel_size", "stride", "padding", "dilation")
        if name.startswith("conv"):
            order = ("input", "weight", "bias", *names[1:])
            if "transpose" in name:
                order = (*order[:-1], "output_padding", "groups", "dilation")
        elif name == "avg_pool2d":
            order = order[:4]
        given = dict(zip(order, args, strict=False)) | kwargs
        if "weight" in given:
            given |= {"kernel_size": tuple(given["weight"].shape[2:])}
            given.setdefault("stride", 1)
        kernel, stride, padding, dilation = (given.get(part) for part in names)
    else:
        return None
    kernel, dilation = _pair(kernel), _pair(dilation or 1)
    if padding == "same":
        padding = [d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True)]
    padding = 0 if padding in (None, "valid") else padding
    stride = kernel if stride in (None, ()) else _pair(stride)
    return kernel, stride, _pair(padding), dilation


def _words(name: str, module: nn.Module | None, args: tuple, kwargs: dict) -> str:
    """Say what a step does, with the size of its window."""
    window = _window(name, module, args, kwargs)
    if window is None:
        return name
    by = "×".join
    text = f"{name} {by(str(k) for k in window[0])}"
    for word, pair, usual in (("stride", window[1], (1, 1)), ("dilation", window[3], (1, 1))):
        if tuple(pair) != usual:
            text += f", {word} {pair[0] if len(set(pair)) == 1 else by(map(str, pair))}"
    groups = getattr(module, "groups", 1)
    return text if groups == 1 else f"{text}, {groups} groups"


def _field(
    name: str,
    module: nn.Module | None,
    args: tuple,
    kwargs: dict,
    parents: list[Step],
    shape: tuple[int, ...] | None,
) -> Field:
    """Return what the units after a step see; an unknown step looks at its own place."""
    if not parents:
        return Field()
    field, before = merge([s.field for s in parents]), parents[0].shape
    if shape is None or len(before) != 3:
        return field
    window = _window(name, module, args, kwargs)
    if window is not None and len(window[0]) == 2:
        return (spread if "ranspose" in name else slide)(field, *window)
    if len(shape) != 3:
        return pool_all(field, before[1:])
    if name == "pad" or name.endswith("Pad2d"):
        own = args[1] if len(args) > 1 else kwargs.get("pad")
        given = own if module is None else module.padding
        left, _, top, _ = [*given, 0, 0, 0, 0][:4]
        return pad(field, (top, left))
    if name == "getitem" and isinstance(args[1], tuple) and len(args[1]) > 2:
        parts = [s.indices(n) for s, n in zip(args[1][-2:], before[1:], strict=True)]
        return take(field, [p[0] for p in parts], [p[2] for p in parts])
    return field if shape[1:] == before[1:] else rescale(field, before[1:], shape[1:])
