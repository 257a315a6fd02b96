"""Which values share a mean and a standard deviation under the four normalisations."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

__all__ = ["EPS", "NORMS", "Share", "members", "normalise", "num_statistics", "share"]

NORMS = ("batch", "layer", "instance", "group")
EPS = 1e-5  # torch's default


@dataclass(frozen=True)
class Share:
    """What the chosen value is normalised with.

    Attributes
    ----------
    lit
        The values that share its mean and its standard deviation.
    mean, std
        Of those; the standard deviation divides by their number, without ``EPS``.
    before, after
        The chosen value, and what normalisation makes of it.
    kept
        Means (and as many standard deviations) that the whole batch needs.
    """

    lit: Bool[np.ndarray, "N C L"]
    mean: float
    std: float
    before: float
    after: float
    kept: int


def members(
    shape: tuple[int, int, int],
    norm: str,
    groups: int,
    cell: tuple[int, int, int],
    alone: bool = False,
) -> Bool[np.ndarray, "N C L"]:
    """Return which values share the statistics of ``cell`` (image, channel, place).

    With ``alone`` the image of ``cell`` is the whole batch.
    """
    image, channel, _ = np.indices(shape)
    n, c, _ = cell
    size = shape[1] // groups
    lit = {
        "batch": channel == c,
        "layer": image == n,
        "instance": (image == n) & (channel == c),
        "group": (image == n) & (channel // size == c // size),
    }[norm]
    return lit & (image == n) if alone else lit


def normalise(
    batch: Float[np.ndarray, "N C L"], norm: str, groups: int = 1
) -> Float[np.ndarray, "N C L"]:
    """Return the batch with mean 0 and variance 1 over the axes of a normalisation."""
    N, C, L = batch.shape
    blocks, axes = {
        "batch": (batch, (0, 2)),
        "layer": (batch, (1, 2)),
        "instance": (batch, (2,)),
        "group": (batch.reshape(N, groups, C // groups, L), (2, 3)),
    }[norm]
    centred = blocks - blocks.mean(axis=axes, keepdims=True)
    return (centred / np.sqrt(blocks.var(axis=axes, keepdims=True) + EPS)).reshape(N, C, L)


def num_statistics(shape: tuple[int, int, int], norm: str, groups: int, alone: bool = False) -> int:
    """Return how many means a batch of this shape needs."""
    N, C = (1 if alone else shape[0]), shape[1]
    return {"batch": C, "layer": N, "instance": N * C, "group": N * groups}[norm]


def share(
    batch: Float[np.ndarray, "N C L"],
    norm: str,
    groups: int,
    cell: tuple[int, int, int],
    alone: bool = False,
) -> Share:
    """Return what the value at ``cell`` is normalised with, and to what."""
    lit = members(batch.shape, norm, groups, cell, alone)
    mean, std = float(batch[lit].mean()), float(batch[lit].std())
    before = float(batch[cell])
    after = (before - mean) / np.sqrt(std**2 + EPS)
    return Share(lit, mean, std, before, after, num_statistics(batch.shape, norm, groups, alone))
