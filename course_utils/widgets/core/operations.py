"""Scalar operations: value, and derivative by each argument.

Where a value does not exist (the logarithm of a negative number) it is NaN, as in
torch, so that a graph can show it instead of stopping.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["OPERATIONS", "Operation", "find_operation"]


def _power_slopes(base: float, exponent: float) -> tuple[float, float]:
    """As torch.pow: no slope by the exponent where the base is negative."""
    by_base = exponent * _power(base, exponent - 1) if exponent else 0.0
    if base == 0 and exponent >= 0:
        return by_base, 0.0
    return by_base, _power(base, exponent) * _log(base)


def _power(base: float, exponent: float) -> float:
    if base == 0 and exponent < 0:
        return math.inf
    value = base**exponent
    return math.nan if isinstance(value, complex) else value


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _divide(a: float, b: float) -> float:
    if b:
        return a / b
    return math.copysign(math.inf, a) * math.copysign(1.0, b) if a else math.nan


def _exp(x: float) -> float:
    return math.exp(x) if x < 709 else math.inf


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


@dataclass(frozen=True)
class Operation:
    """How many parents an operation has, its value, and its derivative by each parent."""

    arity: int
    value: Callable[..., float]
    slopes: Callable[..., tuple[float, ...]]


OPERATIONS = {
    "+": Operation(2, lambda a, b: a + b, lambda a, b: (1.0, 1.0)),
    "-": Operation(2, lambda a, b: a - b, lambda a, b: (1.0, -1.0)),
    "*": Operation(2, lambda a, b: a * b, lambda a, b: (b, a)),
    "/": Operation(2, _divide, lambda a, b: (_divide(1.0, b), _divide(-a, b * b))),
    "**": Operation(2, _power, _power_slopes),
    "neg": Operation(1, lambda a: -a, lambda a: (-1.0,)),
    "tanh": Operation(1, math.tanh, lambda a: (1 - math.tanh(a) ** 2,)),
    "sigmoid": Operation(1, _sigmoid, lambda a: (_sigmoid(a) * (1 - _sigmoid(a)),)),
    "exp": Operation(1, _exp, lambda a: (_exp(a),)),
    "log": Operation(1, _log, lambda a: (_divide(1.0, a),)),
    "relu": Operation(1, lambda a: max(0.0, a), lambda a: (float(a > 0),)),
    "sin": Operation(1, math.sin, lambda a: (math.cos(a),)),
    "cos": Operation(1, math.cos, lambda a: (-math.sin(a),)),
}


def find_operation(op: str) -> tuple[Operation, tuple[float, ...]]:
    """Return the operation and the constants that stand in its name, as in "**2".

    Raises
    ------
    KeyError, ValueError
        If there is no such operation.
    """
    if op.startswith("**") and op != "**":
        return OPERATIONS["**"], (float(op[2:]),)
    return OPERATIONS[op], ()
