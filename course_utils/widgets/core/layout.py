"""Place the nodes of a graph in columns from left to right, with few crossings."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Layout", "count_crossings", "layered_layout"]

_SWEEPS = 12
_BEND_GAP = 0.55  # rows an edge on its way takes, where a node takes 1


@dataclass(frozen=True)
class Layout:
    """Where things are, in columns and rows; the topmost row is 0.

    ``nodes[i]`` is (column, row). ``bends[(node, slot)]`` are the points that the edge to
    the parent number ``slot`` of ``node`` passes, from the parent to the node.
    """

    nodes: list[tuple[float, float]]
    bends: dict[tuple[int, int], list[tuple[float, float]]]


def layered_layout(parents: Sequence[Sequence[int]]) -> Layout:
    """Return a layout of nodes given in topological order, the root last.

    An operation stands one column right of its last parent, a leaf directly left of its
    first use. Edges over several columns get a bend in each, so that they pass between
    the nodes. The order in a column is improved by barycentres, keeping the best found.
    """
    column = _columns(parents)
    segments, bends, column = _with_bends(parents, column)
    layers = [[i for i, c in enumerate(column) if c == k] for k in range(max(column) + 1)]
    layers = _ordered(layers, segments)
    rows = _rows(layers, segments, len(parents))
    at = [(float(column[i]), rows[i]) for i in range(len(column))]
    return Layout(
        at[: len(parents)], {edge: [at[i] for i in chain] for edge, chain in bends.items()}
    )


def count_crossings(layers: Sequence[Sequence[int]], segments: Sequence[tuple[int, int]]) -> int:
    """Return how many pairs of edges between neighbouring columns cross."""
    place = {node: k for layer in layers for k, node in enumerate(layer)}
    column = {node: c for c, layer in enumerate(layers) for node in layer}
    total = 0
    for n, (a, b) in enumerate(segments):
        for c, d in segments[n + 1 :]:
            if column[a] == column[c]:
                total += (place[a] - place[c]) * (place[b] - place[d]) < 0
    return total


def _columns(parents: Sequence[Sequence[int]]) -> list[int]:
    column = [0] * len(parents)
    for i, above in enumerate(parents):
        column[i] = 1 + max((column[p] for p in above), default=-1)
    for leaf in (i for i, above in enumerate(parents) if not above):
        users = [column[i] for i, above in enumerate(parents) if leaf in above]
        column[leaf] = min(users, default=1) - 1
    return column


def _with_bends(
    parents: Sequence[Sequence[int]], column: Sequence[int]
) -> tuple[list[tuple[int, int]], dict[tuple[int, int], list[int]], list[int]]:
    """Cut long edges into segments between neighbouring columns, joined by bends."""
    column, segments, bends = list(column), [], {}
    for node, above in enumerate(parents):
        for slot, parent in enumerate(above):
            chain, left = [], parent
            for c in range(column[parent] + 1, column[node]):
                chain.append(len(column))
                column.append(c)
                segments.append((left, chain[-1]))
                left = chain[-1]
            segments.append((left, node))
            bends[node, slot] = chain
    return segments, bends, column


def _neighbours(segments: Sequence[tuple[int, int]], side: int) -> dict[int, list[int]]:
    """Return for each node those it is joined to on its left (side 0) or right (side 1)."""
    joined: dict[int, list[int]] = {}
    for pair in segments:
        joined.setdefault(pair[1 - side], []).append(pair[side])
    return joined


def _ordered(layers: list[list[int]], segments: Sequence[tuple[int, int]]) -> list[list[int]]:
    best, fewest = [list(layer) for layer in layers], count_crossings(layers, segments)
    for sweep in range(_SWEEPS):
        side = sweep % 2
        joined = _neighbours(segments, side)
        for k in range(len(layers)) if side == 0 else reversed(range(len(layers))):
            place = {node: i for layer in layers for i, node in enumerate(layer)}
            layers[k] = sorted(
                layers[k],
                key=lambda node, place=place: float(
                    np.mean([place[n] for n in joined.get(node, [node])])
                ),
            )
        crossings = count_crossings(layers, segments)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _rows(
    layers: Sequence[Sequence[int]], segments: Sequence[tuple[int, int]], num_nodes: int
) -> list[float]:
    """Pull every node towards its neighbours while keeping the order and the gaps."""
    rows = {node: float(k) for layer in layers for k, node in enumerate(layer)}
    both = [_neighbours(segments, 0), _neighbours(segments, 1)]
    gaps = {node: 1.0 if node < num_nodes else _BEND_GAP for layer in layers for node in layer}
    for sweep in range(2 * _SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wanted = []
            for node in layer:
                near = both[0].get(node, []) + both[1].get(node, [])
                wanted.append(float(np.mean([rows[n] for n in near])) if near else rows[node])
            placed = _spaced(wanted, [gaps[node] for node in layer])
            rows.update(zip(layer, placed, strict=True))
    top = min(rows[i] for i in range(num_nodes))
    return [float(rows[i] - top) for i in sorted(rows)]


def _spaced(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Return the positions nearest to ``wanted`` with no overlap, in the given order.

    Least squares under order constraints: pool neighbours that would overlap.
    """
    offsets = np.concatenate([[0.0], np.cumsum([(a + b) / 2 for a, b in pairwise(sizes)])])
    blocks: list[tuple[float, int]] = []  # mean of the members, how many
    for value in np.asarray(wanted) - offsets:
        mean, count = float(value), 1
        while blocks and blocks[-1][0] > mean:
            other, size = blocks.pop()
            mean, count = (mean * count + other * size) / (count + size), count + size
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(flat, offsets, strict=True)]
