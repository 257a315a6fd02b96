"""Values that cross the wall of the sandbox: plain numbers, text and arrays, nothing that runs.

What a student's function returns is turned into JSON on the far side and read here
without trust: no pickle, no object of the student's class, no array larger than the
bytes that came.
"""

import base64
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["ValueRefused", "decode", "encode"]

KINDS = "biufc"  # bool, integer, float, complex: the arrays that may pass
MAX_DEPTH = 8


class ValueRefused(ValueError):
    """A value is not one of the plain kinds, or does not hold what it claims."""


def encode(value: Any, depth: int = 0) -> Any:
    """Turn a value into what `json.dumps` takes; raise ValueRefused for any other kind.

    Kept are None, bool, int, float, str, lists, tuples, dicts with text keys, NumPy
    arrays and torch tensors. Subclasses of these count as what they are built on.

    Examples
    --------
    >>> decode(encode({"y": np.arange(3), "n": 2}))
    {'y': array([0, 1, 2]), 'n': 2}
    """
    if depth > MAX_DEPTH:
        raise ValueRefused(f"nested deeper than {MAX_DEPTH}")
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, np.str_):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return _encode_array(np.asarray(value), "array")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _encode_array(_plain_tensor(torch, value), "tensor")
    if isinstance(value, list | tuple):
        return {"list": [encode(part, depth + 1) for part in list(value)]}
    if isinstance(value, Mapping):
        if not all(type(key) is str for key in value):
            raise ValueRefused("a dict whose keys are not text")
        return {"dict": {key: encode(part, depth + 1) for key, part in value.items()}}
    if isinstance(value, int | float | str):
        plain = int if isinstance(value, int) else float if isinstance(value, float) else str
        return encode(plain(value), depth + 1)
    raise ValueRefused(f"a value of type {type(value).__name__}")


def decode(coded: Any, depth: int = 0, *, tensors: bool = False) -> Any:
    """Turn what `encode` made back into values; refuse everything else.

    Parameters
    ----------
    tensors
        True gives torch tensors where tensors were; otherwise they come as NumPy
        arrays, so that the side that compares needs no torch.

    Raises
    ------
    ValueRefused
        If the message is malformed, claims more than it holds, or is nested too deep.
    """
    if depth > MAX_DEPTH:
        raise ValueRefused(f"nested deeper than {MAX_DEPTH}")
    if coded is None or type(coded) in (bool, int, float, str):
        return coded
    if type(coded) is not dict or len(coded) != 1:
        raise ValueRefused("malformed value")
    ((kind, body),) = coded.items()
    if kind == "float" and body in ("nan", "inf", "-inf"):
        return float(body)
    if kind == "list" and type(body) is list:
        return [decode(part, depth + 1, tensors=tensors) for part in body]
    if kind == "dict" and type(body) is dict:
        return {key: decode(part, depth + 1, tensors=tensors) for key, part in body.items()}
    if kind in ("array", "tensor") and type(body) is dict:
        array = _decode_array(body)
        if kind == "tensor" and tensors:
            import torch

            return torch.from_numpy(array)
        return array
    raise ValueRefused("malformed value")


def _plain_tensor(torch: Any, value: Any) -> np.ndarray:
    """Return the numbers of a tensor, past whatever a subclass of it pretends."""
    with torch._C.DisableTorchFunctionSubclass():
        plain = torch.Tensor.detach(value).cpu().resolve_conj().resolve_neg()
        if plain.layout != torch.strided:
            plain = plain.to_dense()
        if plain.dtype == torch.bfloat16:
            plain = plain.float()
        return plain.numpy()


def _encode_array(array: np.ndarray, kind: str) -> dict[str, Any]:
    array = np.ndarray.__array__(array)
    if array.dtype.kind not in KINDS:
        raise ValueRefused(f"an array of dtype {array.dtype}")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    return {kind: {"dtype": array.dtype.str, "shape": list(array.shape), "data": data}}


def _decode_array(body: dict[str, Any]) -> np.ndarray:
    shape, text = body.get("shape"), body.get("data")
    if type(shape) is not list or type(text) is not str or len(shape) > 32:
        raise ValueRefused("malformed array")
    if not all(type(size) is int and 0 <= size < 2**40 for size in shape):
        raise ValueRefused("malformed array")
    try:
        dtype = np.dtype(str(body.get("dtype")))
        data = base64.b64decode(text, validate=True)
    except (TypeError, ValueError) as error:
        raise ValueRefused("malformed array") from error
    if dtype.kind not in KINDS or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueRefused("an array that does not hold what it claims")
    return np.frombuffer(data, dtype).reshape(shape).copy()
