"""What a person is asked to look at."""

import pytest

from course_utils.grading.flags import find_flags


@pytest.mark.parametrize(
    ("source", "used"),
    [
        ("import subprocess", "subprocess"),
        ("import os.path as p", "os"),
        ("from importlib import reload", "importlib"),
        ("def f(x):\n    import ctypes\n    return x", "ctypes"),
        ("exec('x = 1')", "exec"),
        ("%matplotlib inline\nimport gc", "gc"),
        ("listing = !ls\n" * 10_000 + "import gc", "gc"),
        (f"%time weights = {'x' * 3000!r}", "a long literal"),
        ("torch.autograd.grad(y, x)", "autograd"),
        (f"weights = {'x' * 3000!r}", "a long literal"),
        ("torch._C.something()", "_C"),
        ("torch.ops.aten.convolution(x)", "ops"),
        ("sys._getframe(1).f_locals", "_getframe, f_locals"),
        ("y = open('file').read(); __import__('os')", "__import__, open"),
        ("conv = getattr(torch, 'o' + 'ps').conv", "getattr with a computed name"),
        ("a," * 1_000_000, "a very long text"),
        ("%magic\n" + ("b" * 1999 + "\n") * 50 + "import os", "os"),
    ],
)
def test_what_reaches_further_than_answers_need_is_named(source, used):
    assert find_flags({"neuron": source}) == (f"neuron uses {used}",)


@pytest.mark.parametrize(
    "source",
    [
        "%matplotlib inline\n!ls",
        "import numpy as np\nfrom torch import nn\ndef f(x): return np.exp(-x)",
        "def broken(:",
        "pattern = '\\d'",
        "x.open = 3",
        "x = getattr(torch, 'float64')",
        "((" * 500,
    ],
)
def test_ordinary_and_broken_code_is_not(source):
    assert find_flags({"neuron": source, "other": source}) == ()
