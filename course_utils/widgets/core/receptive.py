"""Receptive fields: which rows and columns of the input a unit looks at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Field", "merge", "pad", "pool_all", "rescale", "seen", "slide", "spread", "take"]


@dataclass(frozen=True)
class Field:
    """The input that units of a map see, first along the height, then along the width.

    The unit at ``i`` sees from ``low + i * jump`` to ``high + i * jump``, both included;
    what lies outside the image is padding.
    """

    low: tuple[float, float] = (0.0, 0.0)
    high: tuple[float, float] = (0.0, 0.0)
    jump: tuple[float, float] = (1.0, 1.0)

    @property
    def size(self) -> tuple[float, float]:
        """Rows and columns that one unit sees, padding included."""
        return tuple(b - a + 1 for a, b in zip(self.low, self.high, strict=True))


def slide(
    field: Field,
    kernel: Sequence[float],
    stride: Sequence[float],
    padding: Sequence[float],
    dilation: Sequence[float] = (1, 1),
) -> Field:
    """Return the field after a convolution or a pooling window."""
    jumps = field.jump
    return Field(
        tuple(a - p * j for a, p, j in zip(field.low, padding, jumps, strict=True)),
        tuple(
            b + ((k - 1) * d - p) * j
            for b, k, d, p, j in zip(field.high, kernel, dilation, padding, jumps, strict=True)
        ),
        tuple(s * j for s, j in zip(stride, jumps, strict=True)),
    )


def spread(
    field: Field,
    kernel: Sequence[float],
    stride: Sequence[float],
    padding: Sequence[float],
    dilation: Sequence[float] = (1, 1),
) -> Field:
    """Return the field after a transposed convolution; the widest of its units."""
    jumps = field.jump
    reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
    before = [(p - r) / s for p, r, s in zip(padding, reach, stride, strict=True)]
    after = [p / s for p, s in zip(padding, stride, strict=True)]
    return Field(
        tuple(a + t * j for a, t, j in zip(field.low, before, jumps, strict=True)),
        tuple(b + t * j for b, t, j in zip(field.high, after, jumps, strict=True)),
        tuple(j / s for s, j in zip(stride, jumps, strict=True)),
    )


def pad(field: Field, before: Sequence[int]) -> Field:
    """Return the field after so many rows above and columns to the left were added."""
    return slide(field, (1, 1), (1, 1), before)


def take(field: Field, starts: Sequence[int], steps: Sequence[int]) -> Field:
    """Return the field of every ``steps``-th row and column from ``starts`` on."""
    return slide(field, (1, 1), steps, [-s for s in starts])


def pool_all(field: Field, size: Sequence[int]) -> Field:
    """Return the field of a unit that looks at the whole map of this height and width."""
    return slide(field, size, size, (0, 0))


def rescale(field: Field, size: Sequence[int], to: Sequence[int]) -> Field:
    """Return the field after a map was resized; shrunk, each unit sees its whole share."""
    kernel = [math.ceil(n / m) + (n % m > 0 and n > m) for n, m in zip(size, to, strict=True)]
    return slide(field, kernel, [n / m for n, m in zip(size, to, strict=True)], (0, 0))


def merge(fields: Sequence[Field]) -> Field:
    """Return the field after maps were added or stacked: all that any of them sees."""
    axes = (0, 1)
    return Field(
        tuple(min(f.low[k] for f in fields) for k in axes),
        tuple(max(f.high[k] for f in fields) for k in axes),
        tuple(max(f.jump[k] for f in fields) for k in axes),
    )


def seen(
    field: Field, unit: Sequence[int], size: Sequence[int] | None = None
) -> tuple[float, float, float, float]:
    """Return top, left, bottom, right of what a unit sees, the last two excluded.

    With ``size``, the image's height and width, only the part inside the image.
    """
    low = [a + i * j for a, i, j in zip(field.low, unit, field.jump, strict=True)]
    high = [b + i * j + 1 for b, i, j in zip(field.high, unit, field.jump, strict=True)]
    if size is not None:
        low = [max(0.0, a) for a in low]
        high = [min(float(n), b) for n, b in zip(size, high, strict=True)]
    return low[0], low[1], high[0], high[1]
