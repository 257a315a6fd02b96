"""ComputationGraph: reading, chain rule, layout, and the widget without a browser."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import ComputationGraph
from course_utils.widgets.core.graph import (
    accumulation_frame,
    edge_flows,
    evaluate,
    gradients,
    read_graph,
)
from course_utils.widgets.core.layout import count_crossings, layered_layout
from course_utils.widgets.core.operations import OPERATIONS
from tests.widgets.scalars import Value, neuron, shared

TORCH = {
    "+": torch.add,
    "-": torch.sub,
    "*": torch.mul,
    "/": torch.div,
    "**": torch.pow,
    "neg": torch.neg,
    **{name: getattr(torch, name) for name in ("tanh", "sigmoid", "exp", "log", "relu")},
    "sin": torch.sin,
    "cos": torch.cos,
}


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= 1e-12 * max(1, abs(b))


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations_equal_torch_also_where_they_do_not_exist(name):
    operation = OPERATIONS[name]
    for given_values in itertools.product((-2.0, -0.5, 0.0, 0.7, 2.0, 3.0), repeat=operation.arity):
        tensors = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in given_values]
        y = TORCH[name](*tensors)
        y.backward()
        assert same(operation.value(*given_values), y.item()), given_values
        for slope, tensor in zip(operation.slopes(*given_values), tensors, strict=True):
            assert same(slope, tensor.grad.item()), given_values


def random_root(seed: int, num_leaves: int = 4, num_inner: int = 10) -> Value:
    """Return a graph of random operations; any node may be used often."""
    rng = np.random.default_rng(seed)
    nodes = [Value(v, label=f"x{i}") for i, v in enumerate(rng.uniform(0.3, 1.5, num_leaves))]
    for _ in range(num_inner):
        op = str(rng.choice(["+", "-", "*", "/", "tanh", "sigmoid", "exp", "relu", "**2"]))
        count = OPERATIONS[op].arity if op != "**2" else 1
        parents = tuple(nodes[i] for i in rng.integers(len(nodes), size=count))
        if (op == "/" and abs(parents[1].data) < 0.1) or (op == "exp" and parents[0].data > 3):
            continue
        given_values = [parent.data for parent in parents]
        value = given_values[0] ** 2 if op == "**2" else OPERATIONS[op].value(*given_values)
        nodes.append(Value(value, parents, (), op))
    return nodes[-1] + nodes[-2] * nodes[-3] + nodes[-4] * nodes[0]


def by_torch(graph, leaf_values):
    leaves = iter(torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in leaf_values)
    nodes = []
    for op, above in zip(graph.ops, graph.parents, strict=True):
        parts = [nodes[p] for p in above]
        if not op:
            nodes.append(next(leaves))
        elif op.startswith("**") and op != "**":
            nodes.append(parts[0] ** float(op[2:]))
        else:
            nodes.append(TORCH[op](*parts))
    for node in nodes:
        node.retain_grad()
    nodes[-1].backward()
    return [n.item() for n in nodes], [n.grad.item() if n.grad is not None else 0.0 for n in nodes]


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_values_and_gradients_equal_autograd(seed):
    graph = read_graph(random_root(seed))
    leaf_values = np.random.default_rng(seed + 1).uniform(0.2, 1.2, len(graph.leaves)).tolist()
    values, grads = by_torch(graph, leaf_values)
    # Where a leaf makes a division by zero, infinity times zero is a matter of convention.
    assume(np.isfinite([*values, *grads]).all())
    for got, expected in (
        (evaluate(graph, leaf_values), values),
        (gradients(graph, values), grads),
    ):
        # Sums may cancel, so the tolerance goes by the largest term.
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12 * np.abs(expected).max())


def test_gradients_are_the_roots_own():
    root = shared()
    root.backward()
    graph = read_graph(root)
    by_name = dict(zip(graph.names, gradients(graph, graph.data), strict=True))
    # L = u^2, u = ab(a + b) - a = -4: dL/da = 2u (2ab + b^2 - 1), dL/db = 2u (a^2 + 2ab).
    assert by_name["a"] == pytest.approx(-8 * (2 * -6 + 9 - 1)) == 32
    assert by_name["b"] == pytest.approx(-8 * (4 + 2 * -6)) == 64


def test_flows_along_edges_add_up():
    graph = read_graph(shared())
    values, grads = list(graph.data), gradients(graph, graph.data)
    total = [0.0] * len(values)
    total[-1] = 1.0
    for node in reversed(graph.inner):
        for parent, (slope, flow) in zip(
            graph.parents[node], edge_flows(graph, values, grads, node), strict=True
        ):
            assert flow == grads[node] * slope
            total[parent] += flow
    assert total == grads


def test_names_order_and_frames():
    graph = read_graph(shared())
    assert len(set(graph.names)) == len(graph.names) == 9
    assert {"a", "b", "d", "e", "L"} < set(graph.names)
    assert all(p < i for i, above in enumerate(graph.parents) for p in above)
    assert graph.num_frames == 2 * 6 + 2
    assert accumulation_frame(graph) is not None
    assert accumulation_frame(read_graph(neuron())) is None
    a = Value(3.0)
    square = read_graph(a * a)
    assert square.names == ("v0", "L")
    assert accumulation_frame(square) == 3
    assert gradients(square, square.data) == [6.0, 1.0]
    twins = read_graph(Value(1.0, label="x") * Value(2.0, label="x"))
    assert len(set(twins.names)) == 3
    assert read_graph(Value(1.0, label="x")).num_frames == 2


def broken(**changes):
    root = neuron()
    for name, value in changes.items():
        setattr(root, name, value)
    return root


def cyclic():
    a = Value(1.0, label="a")
    b = (a + Value(0.0)).named("b")
    a.parents, a.op = (b, b), "+"
    return b


def overwritten_gradients():
    root = shared()
    root.backward()
    root.parents[0].parents[1].parents[0].grad = 16.0  # the last share only
    return root


def chain(length):
    node = Value(0.5)
    for _ in range(length):
        node = node.tanh()
    return node


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (cyclic, "cycle through"),
        (lambda: chain(60), "more than 60 nodes"),
        (
            lambda: broken(op="softplus"),
            r"node 'o' has the unknown op 'softplus'; known are: \+, -",
        ),
        (lambda: broken(data=0.3), r"data of node 'o' is 0.3, but its op gives 0.462117"),
        (lambda: broken(data=math.nan), "data of node 'o' must be finite; got nan"),
        (lambda: broken(op="*"), r"op '\*' of node 'o' takes 2 parents; got 1"),
        (lambda: broken(op="**"), r"write a fixed exponent into op, as in '\*\*2'"),
        (lambda: broken(op=""), "node 'o' has 1 parents but no op"),
        (lambda: broken(grad=2.0), "grad of node .* but the chain rule gives"),
        (overwritten_gradients, r"grad of node 'a' is 16, but the chain rule gives 32"),
        (lambda: 3.0, "root must be a scalar Value .* a float has no 'data'"),
    ],
)
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(ValueError, match=message):
        read_graph(make())


def test_a_chain_of_sixty_is_read():
    assert len(read_graph(chain(59)).names) == 60


def segments_of(layout, parents):
    columns = {round(c): [] for c, _ in layout.nodes}
    points = dict(enumerate(layout.nodes))
    pairs = []
    for (node, slot), chain_ in layout.bends.items():
        left = parents[node][slot]
        for at in chain_:
            key = ("bend", node, slot, at)
            points[key] = at
            pairs.append((left, key))
            left = key
        pairs.append((left, node))
    for key, (c, r) in points.items():
        columns.setdefault(round(c), []).append((r, str(key), key))
    layers = [[key for *_, key in sorted(columns[c])] for c in sorted(columns)]
    return layers, pairs


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_layout_goes_left_to_right_without_overlap(seed):
    graph = read_graph(random_root(seed, num_inner=20))
    layout = layered_layout(graph.parents)
    for node, above in enumerate(graph.parents):
        assert all(layout.nodes[p][0] < layout.nodes[node][0] for p in above)
    places = [*layout.nodes, *(at for chain_ in layout.bends.values() for at in chain_)]
    for (c1, r1), (c2, r2) in itertools.combinations(places, 2):
        assert c1 != c2 or abs(r1 - r2) > 0.5
    for (c1, r1), (c2, r2) in itertools.combinations(layout.nodes, 2):
        assert c1 != c2 or abs(r1 - r2) >= 1 - 1e-9
    assert min(r for _, r in layout.nodes) == 0


def test_a_tree_is_drawn_without_crossings():
    graph = read_graph(neuron())
    layers, pairs = segments_of(layered_layout(graph.parents), graph.parents)
    assert count_crossings(layers, pairs) == 0


def test_traits_and_sizes():
    root = shared()
    widget = ComputationGraph(root, values={"b": 1.0}, selected="e", step=99)
    assert widget.step == 13
    assert root.grad == 0.0
    assert widget.values()["e"] == -1.0
    assert widget.gradients()["L"] == 1.0
    assert sum(len(str(v)) for k, v in widget.get_state().items() if k[0] != "_") < 5_000
    assert len(str(widget._esm).encode()) <= 30_000
    widget.leaf_values = [1.0, 2.0, -1.0]
    assert widget.values()["d"] == 2.0
    widget.step = -4
    assert widget.step == 0
    with pytest.raises(ValueError, match="leaf_values must hold 3 numbers; got 2"):
        widget.leaf_values = [1.0, 2.0]
    with pytest.raises(ValueError, match="leaf 'a' must be finite; got nan"):
        widget.leaf_values = [math.nan, 2.0, -1.0]
    with pytest.raises(ValueError, match="selected must be a node's name; got 'z'"):
        widget.selected = "z"
    with pytest.raises(ValueError, match="values has no leaf 'd'; leaves are: a, b"):
        ComputationGraph(shared(), values={"d": 1.0})


@pytest.mark.parametrize("make", [neuron, shared, lambda: chain(12), lambda: Value(2.0)])
def test_fallback_shows_values_and_gradients(make, tmp_path):
    widget = ComputationGraph(make())
    figure = widget.picture()
    assert check_axes(figure) == []
    texts = " ".join(text.get_text() for text in figure.axes[0].texts)
    for name, value in widget.gradients().items():
        assert name in texts
        assert f"grad {value:.3g}" in texts
    (tmp_path / "a.png").write_bytes(png_bytes(figure))
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.03
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    assert "gradient" in widget.description()
