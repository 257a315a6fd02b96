"""Only plain values cross the wall, and what comes is what was sent."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from course_utils.grading.values import ValueRefused, decode, encode

ARRAYS = hnp.arrays(
    st.sampled_from(["?", "i1", "u2", "<i8", ">i4", "f2", "f4", ">f8", "c16"]),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def there_and_back(value, **options):
    return decode(json.loads(json.dumps(encode(value))), **options)


@given(ARRAYS)
def test_arrays_arrive_whole(array):
    arrived = there_and_back(array)
    assert arrived.shape == array.shape
    assert arrived.dtype == array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(arrived, array)


@given(PLAIN)
def test_plain_values_arrive_as_they_are(value):
    assert repr(there_and_back(value)) == repr(value)


def test_tensors_arrive_as_tensors_only_where_asked():
    tensor = torch.arange(6.0, dtype=torch.float32).reshape(2, 3).T
    assert torch.equal(there_and_back(tensor, tensors=True), tensor)
    assert isinstance(there_and_back(tensor), np.ndarray)
    assert there_and_back({"a": (tensor, 1)})["a"][0].shape == (3, 2)


@pytest.mark.parametrize(
    "value",
    [
        torch.ones(2, requires_grad=True) * 2,
        torch.ones(2, dtype=torch.bfloat16) * 2,
        torch.sparse_coo_tensor([[0, 1]], [2.0, 2.0], (2,), check_invariants=True),
        torch.nn.Parameter(torch.full((2,), 2.0)),
        torch.tensor([2 + 0j, 2 + 0j]).conj(),
    ],
    ids=["with gradient", "bfloat16", "sparse", "parameter", "conjugate"],
)
def test_any_tensor_becomes_its_numbers(value):
    np.testing.assert_array_equal(there_and_back(value), [2.0, 2.0])


def test_a_subclass_cannot_pretend():
    class Lying(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return torch.full((2,), 9.0)

        def numpy(self):
            return np.full(2, 9.0)

    class LyingArray(np.ndarray):
        shape = (7,)

        def __array__(self, *args, **kwargs):
            return np.full(2, 9.0)

        def tobytes(self, *args):
            return b"9" * 16

    tensor = torch.ones(2).as_subclass(Lying)
    np.testing.assert_array_equal(there_and_back(tensor), [1.0, 1.0])
    array = np.ones(2).view(LyingArray)
    np.testing.assert_array_equal(there_and_back(array), [1.0, 1.0])


class Number(float):
    def __repr__(self):
        return "nan"


@pytest.mark.parametrize(
    ("value", "expected"), [(Number(2.5), 2.5), (np.float32(2.5), 2.5), (np.array(["a"])[0], "a")]
)
def test_numbers_of_other_classes_become_plain(value, expected):
    assert there_and_back(value) == expected


def deep(levels):
    value = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1, 2},
        b"bytes",
        {1: 2},
        (part for part in "abc"),
        np.array([object()]),
        np.array(["text"]),
        np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
        deep(20),
        lambda: 1,
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_kinds_are_refused(value):
    with pytest.raises(ValueRefused):
        encode(value)


ARRAY = {"dtype": "<f8", "shape": [2], "data": "AAAAAAAAAAAAAAAAAAAAAA=="}


@pytest.mark.parametrize(
    "coded",
    [
        {},
        {"array": None},
        {"array": {**ARRAY, "shape": [10**12]}},
        {"array": {**ARRAY, "shape": [-1, -2]}},
        {"array": {**ARRAY, "shape": [3]}},
        {"array": {**ARRAY, "shape": [True, 2]}},
        {"array": {**ARRAY, "shape": [1] * 40}},
        {"array": {**ARRAY, "dtype": "O"}},
        {"array": {**ARRAY, "dtype": "|V8"}},
        {"array": {**ARRAY, "dtype": "nonsense"}},
        {"array": {**ARRAY, "data": "!!!!"}},
        {"float": "1e400"},
        {"float": "__import__"},
        {"list": {"0": 1}},
        {"dict": [1]},
        {"list": [1], "dict": {}},
        {"other": 1},
        [1, 2],
        json.loads("[" * 50 + "]" * 50),
    ],
    ids=str,
)
def test_malformed_messages_are_refused(coded):
    with pytest.raises(ValueRefused):
        decode(coded)
    with pytest.raises(ValueRefused):
        decode({"list": [coded]})


def test_the_malformed_messages_differ_from_a_good_one():
    np.testing.assert_array_equal(decode({"array": ARRAY}), [0.0, 0.0])
