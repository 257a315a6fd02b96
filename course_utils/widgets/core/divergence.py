"""Entropies and divergences of two distributions, and how a dragged bar moves the others.

The notebook ``03_losses_information`` derives them; ``static/divergence.js`` holds the
same formulas for the browser.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["UNITS", "Measures", "measures", "rescale"]

UNITS = {"nats": 1.0, "bits": math.log(2)}  # nats in one unit
GRAINS = 1_000_000  # a moved distribution is made of millionths, so its sum stays 1


@dataclass(frozen=True)
class Measures:
    """What two distributions cost each other, in nats unless said otherwise.

    Attributes
    ----------
    h_p, h_q
        Entropies, 0 to ln K.
    h_pq
        Cross-entropy of believing q while p happens; ``h_p + kl_pq``.
    kl_pq, kl_qp
        KL divergences, 0 to infinity.
    js
        Jensen-Shannon divergence, 0 to ln 2.
    """

    h_p: float
    h_q: float
    h_pq: float
    kl_pq: float
    kl_qp: float
    js: float

    def in_unit(self, unit: str) -> "Measures":
        """Return the same in "nats" or "bits"."""
        return Measures(*(value / UNITS[unit] for value in vars(self).values()))


def _cross(p: np.ndarray, q: np.ndarray) -> float:
    """Return the mean surprise at p for one who believes q; 0 ln 0 counts as 0."""
    happens = p > 0
    if (q[happens] == 0).any():
        return math.inf
    return float(-(p[happens] @ np.log(q[happens]))) + 0.0


def _kl(p: np.ndarray, q: np.ndarray) -> float:
    happens = p > 0
    if (q[happens] == 0).any():
        return math.inf
    return max(0.0, float(p[happens] @ np.log(p[happens] / q[happens])))


def measures(p: Sequence[float], q: Sequence[float]) -> Measures:
    """Return entropies, cross-entropy and divergences of p and q in nats.

    Examples
    --------
    >>> round(measures((0, 1, 0), (0.2, 0.7, 0.1)).h_pq, 3)
    0.357
    >>> measures((0.5, 0.5), (1, 0)).kl_pq
    inf
    """
    p, q = np.asarray(p, np.float64), np.asarray(q, np.float64)
    m = (p + q) / 2
    return Measures(
        h_p=_cross(p, p),
        h_q=_cross(q, q),
        h_pq=_cross(p, q),
        kl_pq=_kl(p, q),
        kl_qp=_kl(q, p),
        js=(_kl(p, m) + _kl(q, m)) / 2,
    )


def rescale(values: Sequence[float], index: int, value: float) -> list[float]:
    """Return the distribution with one entry set and the others scaled to the sum 1.

    The others keep their proportions; where they are all 0 they share equally.

    Examples
    --------
    >>> rescale([0.2, 0.7, 0.1], 1, 0.4)
    [0.4, 0.4, 0.2]
    """
    wanted = math.floor(min(1.0, max(0.0, value)) * GRAINS + 0.5)
    others = [j for j in range(len(values)) if j != index]
    total = sum(values[j] for j in others)
    ideal = [
        (GRAINS - wanted) * (values[j] / total if total > 0 else 1 / len(others)) for j in others
    ]
    grains = [math.floor(amount + 1e-6) for amount in ideal]
    # What rounding down left over goes to the largest remainders.
    left = GRAINS - wanted - sum(grains)
    order = sorted(range(len(others)), key=lambda k: grains[k] - ideal[k])
    for k in order[:left]:
        grains[k] += 1
    result = [wanted / GRAINS] * len(values)
    for j, amount in zip(others, grains, strict=True):
        result[j] = amount / GRAINS
    return result
