"""torch's operators that an answer has to do without: taken out, so that every route fails.

A layer, a function, a method, an operator's own name, a thread, a script: all of them end
in torch's dispatcher, where the operator then raises.
"""

import ctypes
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any

__all__ = ["ForbiddenOperator", "take_out", "without"]

# The second and third are tensors of the CPU in other layouts; the last is what backends share.
KEYS = ("CPU", "MkldnnCPU", "QuantizedCPU", "CompositeExplicitAutograd")


class ForbiddenOperator(RuntimeError):
    """The answer called an operator that it should do without."""


def take_out(operators: Sequence[str]) -> None:
    """Make operators raise in this process for good.

    Parameters
    ----------
    operators
        Names, or patterns such as ``"*conv*"``, of operators in all of torch's namespaces.

    Raises
    ------
    ValueError
        If a name or pattern fits no operator.
    """
    for handle in _replace(operators):
        # Kept where no other code of this process finds it to undo the replacement.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(handle))


@contextmanager
def without(operators: Sequence[str]) -> Iterator[None]:
    """Make operators raise for a while, in every thread; names as for `take_out`."""
    handles = _replace(operators) if operators else []
    try:
        yield
    finally:
        for handle in handles:
            handle.reset()


def _replace(operators: Sequence[str]) -> list[Any]:
    """Put a function that raises in the place of operators; return what holds it there."""
    import torch

    def refuse(*_: Any, **__: Any) -> None:
        raise ForbiddenOperator(", ".join(operators))

    handles: dict[tuple[str, str], Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that an operator is replaced
        for space, name in _named(tuple(operators)):
            for key in _keys(torch, f"{space}::{name}"):
                if (space, key) not in handles:
                    handles[space, key] = torch._C._dispatch_library("IMPL", space, key, "", 0)
                handles[space, key].impl(name, key, refuse)
    return list(handles.values())


def _keys(torch: Any, operator: str) -> tuple[str, ...]:
    """Return where an operator is replaced.

    One that only calls others has a single place, and torch does not mend the rest of it
    when another is taken and given back.
    """
    composite = "CompositeImplicitAutograd"
    has_one = torch._C._dispatch_has_kernel_for_dispatch_key(operator, composite)
    return (composite,) if has_one else KEYS


@lru_cache
def _named(operators: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return namespace and name, with overload, of the operators that are meant."""
    import torch

    found, unused = [], set(operators)
    for full in torch._C._dispatch_get_all_op_names():
        space, _, name = full.partition("::")
        fitting = {o for o in operators if fnmatchcase(name.partition(".")[0], o)}
        if fitting:
            found.append((space, name))
            unused -= fitting
    if unused:
        raise ValueError(f"torch has no operator {', '.join(sorted(unused))}: check `forbids`")
    return found
