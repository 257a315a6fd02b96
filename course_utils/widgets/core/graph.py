"""A computation graph of scalars: read once, evaluated, and differentiated node by node.

The notebook ``01_perceptron_backprop`` derives scalar automatic differentiation; these
functions read the graph of such values and say what flows along each edge, so that
``ComputationGraph`` can show it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from course_utils.widgets.core.operations import OPERATIONS, find_operation

__all__ = ["MAX_NODES", "Graph", "accumulation_frame", "edge_flows", "evaluate", "gradients"]
__all__ += ["read_graph"]

MAX_NODES = 60
_AGREEMENT = 1e-6  # relative; what a value or gradient may differ from its recomputation


@dataclass(frozen=True)
class Graph:
    """A graph in topological order: every node after its parents, the root last.

    ``ops[i]`` is a key of `OPERATIONS`, "**k" with a number k, or "" for a leaf;
    ``names`` are unique; ``data`` are the values as they were when the graph was read.
    """

    names: tuple[str, ...]
    ops: tuple[str, ...]
    parents: tuple[tuple[int, ...], ...]
    data: tuple[float, ...]

    @property
    def leaves(self) -> tuple[int, ...]:
        return tuple(i for i, op in enumerate(self.ops) if not op)

    @property
    def inner(self) -> tuple[int, ...]:
        return tuple(i for i, op in enumerate(self.ops) if op)

    @property
    def num_frames(self) -> int:
        """Leaves; one frame an operation forward; the seed; one an operation backward."""
        return 2 * len(self.inner) + 2


def read_graph(root: Any) -> Graph:
    """Return the graph behind ``root`` after checking that it hangs together.

    Parameters
    ----------
    root
        A scalar with ``data``, ``parents`` and ``op``, and where wanted ``label`` and
        ``grad``; it is only read.

    Raises
    ------
    ValueError
        If the graph has a cycle, more than 60 nodes, an unknown operation, a value that
        is not finite or not what its operation gives, or if ``root.grad`` is set and a
        gradient is not what the chain rule gives.
    """
    nodes = _walk(root)
    place = {id(node): i for i, node in enumerate(nodes)}
    graph = Graph(
        _names(nodes),
        tuple(str(node.op or "") for node in nodes),
        tuple(tuple(place[id(parent)] for parent in node.parents) for node in nodes),
        tuple(float(node.data) for node in nodes),
    )
    for i, name in enumerate(graph.names):
        _check_operation(graph, i, name)
    _check_values(graph)
    if float(getattr(root, "grad", 0.0) or 0.0):
        _check_gradients(graph, [float(getattr(node, "grad", 0.0) or 0.0) for node in nodes])
    return graph


def evaluate(graph: Graph, leaf_values: Sequence[float]) -> list[float]:
    """Return every node's value for other values of the leaves (in the order of the nodes)."""
    given = iter(leaf_values)
    values: list[float] = []
    for i, op in enumerate(graph.ops):
        values.append(float(_apply(graph, i, values)) if op else float(next(given)))
    return values


def edge_flows(
    graph: Graph, values: Sequence[float], grads: Sequence[float], node: int
) -> list[tuple[float, float]]:
    """Return for each parent of ``node`` the local derivative and the gradient sent to it."""
    operation, constants = find_operation(graph.ops[node])
    arguments = [values[parent] for parent in graph.parents[node]]
    slopes = operation.slopes(*arguments, *constants)[: len(arguments)]
    return [(slope, grads[node] * slope) for slope in slopes]


def gradients(graph: Graph, values: Sequence[float]) -> list[float]:
    """Return the derivative of the root by every node, accumulated from the root backwards."""
    grads = [0.0] * len(graph.names)
    grads[-1] = 1.0
    for node in reversed(graph.inner):
        flows = edge_flows(graph, values, grads, node)
        for parent, (_, flow) in zip(graph.parents[node], flows, strict=True):
            grads[parent] += flow
    return grads


def accumulation_frame(graph: Graph) -> int | None:
    """Return the first frame in which a node gets a second share of its gradient."""
    reached = set()
    for order, node in enumerate(reversed(graph.inner)):
        for parent in graph.parents[node]:
            if parent in reached:
                return len(graph.inner) + 2 + order
            reached.add(parent)
    return None


def _walk(root: Any) -> list[Any]:
    """List every node after its parents; without recursion, for the sake of long chains."""
    order, state, stack = [], {}, [(root, False)]
    while stack:
        node, parents_done = stack.pop()
        if parents_done:
            state[id(node)] = "done"
            order.append(node)
            continue
        if state.get(id(node)) == "open":
            raise ValueError(f"the graph has a cycle through {_called(node)}; no order exists")
        if id(node) in state:
            continue
        for attribute in ("data", "parents", "op"):
            if not hasattr(node, attribute):
                raise ValueError(
                    f"root must be a scalar Value with data, grad, parents, op and label; "
                    f"a {type(node).__name__} has no {attribute!r}"
                )
        state[id(node)] = "open"
        if len(state) > MAX_NODES:
            raise ValueError(
                f"the graph has more than {MAX_NODES} nodes, too many to read on a page; "
                "show a part of it, such as one unit on one sample"
            )
        stack.append((node, True))
        stack.extend((parent, False) for parent in reversed(tuple(node.parents)))
    return order


def _called(node: Any) -> str:
    return repr(getattr(node, "label", "") or f"a node {node.op!r}")


def _names(nodes: Sequence[Any]) -> tuple[str, ...]:
    """Give each node its label where that is unique, else a name that is."""
    names: list[str] = []
    taken = {str(getattr(node, "label", "") or "") for node in nodes}
    for i, node in enumerate(nodes):
        name = str(getattr(node, "label", "") or "")
        if not name or name in names:
            stem = f"{name}_" if name else "L" if node is nodes[-1] and "L" not in taken else "v"
            tries = [stem] if stem == "L" else [f"{stem}{k}" for k in range(i, i + len(nodes) + 1)]
            name = next(t for t in tries if t not in taken)
            taken.add(name)
        names.append(name)
    return tuple(names)


def _apply(graph: Graph, i: int, values: Sequence[float]) -> float:
    operation, constants = find_operation(graph.ops[i])
    try:
        return operation.value(*(values[parent] for parent in graph.parents[i]), *constants)
    except OverflowError:
        return math.inf


def _check_operation(graph: Graph, i: int, name: str) -> None:
    op, count = graph.ops[i], len(graph.parents[i])
    if not op:
        if count:
            raise ValueError(f"node {name!r} has {count} parents but no op; name its operation")
        return
    try:
        operation, constants = find_operation(op)
    except (KeyError, ValueError):
        known = ", ".join([*OPERATIONS, "**2"])
        raise ValueError(f"node {name!r} has the unknown op {op!r}; known are: {known}") from None
    if operation.arity != count + len(constants):
        hint = "; write a fixed exponent into op, as in '**2'" if op == "**" else ""
        raise ValueError(
            f"op {op!r} of node {name!r} takes {operation.arity} parents; got {count}{hint}"
        )


def _check_values(graph: Graph) -> None:
    for name, value in zip(graph.names, graph.data, strict=True):
        if not math.isfinite(value):
            raise ValueError(f"data of node {name!r} must be finite; got {value}")
    computed = evaluate(graph, [graph.data[i] for i in graph.leaves])
    for name, got, expected in zip(graph.names, graph.data, computed, strict=True):
        if not abs(got - expected) <= _AGREEMENT * max(1.0, abs(expected)):
            raise ValueError(
                f"data of node {name!r} is {got:.6g}, but its op gives {expected:.6g} on its "
                "parents; compute the graph again after changing a leaf"
            )


def _check_gradients(graph: Graph, found: Sequence[float]) -> None:
    for name, got, expected in zip(graph.names, found, gradients(graph, graph.data), strict=True):
        if abs(got - expected) > _AGREEMENT * max(1.0, abs(expected)):
            raise ValueError(
                f"grad of node {name!r} is {got:.6g}, but the chain rule gives {expected:.6g}; "
                "set all gradients to 0 before backward(), and check that it adds up (+=)"
            )
