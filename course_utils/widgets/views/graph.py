"""ComputationGraph: values forward, gradients backward, node by node."""

import math
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from traitlets import Bytes, Float, Int, List, Unicode, observe, validate

from course_utils.figures import PALETTE
from course_utils.widgets.base import CourseWidget, as_bytes
from course_utils.widgets.bundle import load_esm
from course_utils.widgets.core.graph import (
    accumulation_frame,
    evaluate,
    gradients,
    read_graph,
)
from course_utils.widgets.core.layout import layered_layout

__all__ = ["ComputationGraph"]


class ComputationGraph(CourseWidget):
    """Step through a computation graph of scalars, forward and then backward.

    Step 0 shows the leaves; then each operation is evaluated, the root gets the
    gradient 1, and each operation sends upstream gradient times local derivative to its
    parents, which add up what they get.

    Parameters
    ----------
    root
        A scalar Value with ``data``, ``grad``, ``parents``, ``op`` and ``label``, at
        most 60 nodes. It is read once and never changed.
    values
        Other values for leaves, by name.
    selected
        The name of the node whose equations are shown.
    step
        The step to show first.
    """

    _esm = load_esm("graph.js")
    names = List(Unicode()).tag(sync=True)
    ops = List(Unicode()).tag(sync=True)
    parents = List(List(Int())).tag(sync=True)
    places = Bytes(help="column and row of each node as float32").tag(sync=True)
    bends = Bytes(help="rows node, slot, column, row as float32").tag(sync=True)
    fan_out = Int(-1, help="first step at which a gradient adds up; -1 if none").tag(sync=True)
    leaf_values = List(Float(), help="in the order of the nodes").tag(sync=True)
    step = Int(0).tag(sync=True)
    selected = Unicode(help="a node's name; empty for none").tag(sync=True)
    first_leaf_values = List(Float()).tag(sync=True)
    first_step = Int(0).tag(sync=True)
    first_selected = Unicode().tag(sync=True)
    own_leaf_values = List(Float(), help="the leaves of the root itself").tag(sync=True)

    def __init__(
        self,
        root: Any,
        *,
        values: Mapping[str, float] | None = None,
        selected: str = "",
        step: int = 0,
        **kwargs: Any,
    ) -> None:
        self._graph = graph = read_graph(root)
        layout = layered_layout(graph.parents)
        self._layout = layout
        bends = [[*edge, *at] for edge, chain in layout.bends.items() for at in chain]
        leaves = {graph.names[i]: graph.data[i] for i in graph.leaves}
        own = list(leaves.values())
        for name, value in (values or {}).items():
            if name not in leaves:
                raise ValueError(f"values has no leaf {name!r}; leaves are: {', '.join(leaves)}")
            leaves[name] = float(value)
        start = {
            "leaf_values": list(leaves.values()),
            "step": min(max(0, int(step)), graph.num_frames - 1),
            "selected": selected,
        }
        accumulates = accumulation_frame(graph)
        super().__init__(
            task="Predict each gradient before it appears. Where do two shares add up, "
            "and where does the gradient vanish?",
            names=list(graph.names),
            ops=list(graph.ops),
            parents=[list(above) for above in graph.parents],
            places=as_bytes(layout.nodes),
            bends=as_bytes(bends),
            fan_out=-1 if accumulates is None else accumulates,
            own_leaf_values=own,
            **start,
            **{f"first_{name}": value for name, value in start.items()},
            **kwargs,
        )

    @validate("leaf_values")
    def _leaves_are_finite(self, proposal: Any) -> list[float]:
        values, leaves = proposal["value"], self._graph.leaves
        if len(values) != len(leaves):
            raise ValueError(f"leaf_values must hold {len(leaves)} numbers; got {len(values)}")
        for value, leaf in zip(values, leaves, strict=True):
            if not math.isfinite(value):
                raise ValueError(f"leaf {self._graph.names[leaf]!r} must be finite; got {value}")
        return values

    @validate("selected")
    def _selected_is_known(self, proposal: Any) -> str:
        if proposal["value"] and proposal["value"] not in self._graph.names:
            raise ValueError(
                f"selected must be a node's name; got {proposal['value']!r}. "
                f"Nodes are: {', '.join(self._graph.names)}"
            )
        return proposal["value"]

    @observe("step")
    def _keep_step_in_range(self, change: Any) -> None:
        self.step = min(max(0, change["new"]), self._graph.num_frames - 1)

    def values(self) -> dict[str, float]:
        """Return every node's value for the leaves as they stand."""
        found = evaluate(self._graph, self.leaf_values)
        return dict(zip(self._graph.names, found, strict=True))

    def gradients(self) -> dict[str, float]:
        """Return the derivative of the root by every node."""
        found = gradients(self._graph, list(self.values().values()))
        return dict(zip(self._graph.names, found, strict=True))

    def description(self) -> str:
        values, grads = self.values(), self.gradients()
        root = self._graph.names[-1]
        leaves = ", ".join(
            f"{self._graph.names[i]} = {values[self._graph.names[i]]:.4g} "
            f"(gradient {grads[self._graph.names[i]]:.4g})"
            for i in self._graph.leaves
        )
        return (
            f"Computation graph of {len(values)} nodes with {root} = {values[root]:.4g}; "
            f"leaves: {leaves}."
        )

    def picture(self) -> Figure:
        columns = max(c for c, _ in self._layout.nodes) + 1
        rows = max(r for _, r in self._layout.nodes) + 1
        fig = Figure(figsize=(max(4.0, 1.75 * columns), max(1.6, 0.95 * rows)), layout="none")
        ax = fig.add_axes((0.0, 0.0, 1.0, 1.0))
        ax.set(xlim=(-0.55, columns - 0.45), ylim=(rows - 0.4, -0.6))
        ax.axis("off")
        self._draw(ax)
        return fig

    def _draw(self, ax: Axes) -> None:
        values, grads = self.values(), self.gradients()
        at = self._layout.nodes
        for (node, slot), chain in self._layout.bends.items():
            line = [at[self._graph.parents[node][slot]], *chain, at[node]]
            ax.plot(
                *zip(*line, strict=True), color="#606060", linestyle="-", linewidth=1.2, zorder=1
            )
        for i, name in enumerate(self._graph.names):
            op = self._graph.ops[i]
            ax.text(
                *at[i],
                f"{name}  {op}\n{values[name]:.3g}\ngrad {grads[name]:.3g}".replace("  \n", "\n"),
                ha="center",
                va="center",
                fontsize=10,
                bbox={
                    "boxstyle": "round,pad=0.45",
                    "facecolor": "#e8f1f8" if op else "white",
                    "edgecolor": PALETTE["blue"] if op else PALETTE["black"],
                },
            )
