"""An operator that is taken out fails by every route, and comes back only where it should."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from course_utils.grading.operators import ForbiddenOperator, without

X, W = torch.rand(1, 2, 5, 5), torch.rand(3, 2, 2, 2)


def test_an_operator_is_gone_for_a_while():
    before = F.conv2d(X, W)
    one = torch.func.vmap(lambda x: F.conv2d(x[None], W)[0])
    routes = [lambda: F.conv2d(X, W), lambda: torch.conv2d(X, W), lambda: one(X)]
    with without(("convolution",)):
        for route in routes:
            with pytest.raises(ForbiddenOperator, match="convolution"):
                route()
        assert torch.equal(X @ X, torch.matmul(X, X))  # others stay
    assert torch.equal(F.conv2d(X, W), before)


@pytest.mark.parametrize("name", ["max_pool2d", "conv2d", "batch_norm", "*convolution*"])
def test_what_comes_back_is_whole(name):
    """Its gradient too, which torch would lose without a word for operators that call others."""
    layer = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 2), torch.nn.BatchNorm2d(3))

    def gradient():
        x = X.clone().requires_grad_()
        F.max_pool2d(layer(x), 2).sum().backward()
        return x.grad

    before = gradient()
    with without((name,)), pytest.raises(ForbiddenOperator):
        gradient()
    assert torch.equal(gradient(), before)


def test_it_comes_back_after_an_error():
    with pytest.raises(KeyError), without(("convolution",)):
        raise KeyError
    F.conv2d(X, W)


def test_a_pattern_takes_the_whole_family():
    routes = [
        lambda: torch.mkldnn_convolution(X, W, None, [0, 0], [1, 1], [1, 1], 1),
        lambda: torch._C._nn.thnn_conv2d(X, W, [2, 2]),
        lambda: F.conv_transpose2d(X, W.transpose(0, 1)),
        lambda: F.conv2d(X.double(), W.double()),
    ]
    with without(("convolution",)):
        routes[0]()  # one name is one operator
    with without(("*conv[_0-9]*", "*convolution*")):
        for route in routes:
            with pytest.raises(ForbiddenOperator):
                route()


def test_nothing_to_forbid_costs_no_torch():
    program = (
        "import sys; from course_utils.grading.operators import without\n"
        "with without(()): assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_name_that_fits_nothing_is_refused():
    with pytest.raises(ValueError, match="no operator no_such"), without(("no_such", "im2col")):
        pass


def test_what_is_taken_out_for_good_cannot_be_found_and_put_back():
    program = """
import gc
import torch
from course_utils.grading.operators import ForbiddenOperator, take_out

take_out(["convolution"])
things = gc.get_objects()
things += [part for thing in things if type(thing) is dict for part in thing.values()]
for thing in things:
    if type(thing).__name__ == "_DispatchModule":
        thing.reset()
try:
    torch.conv2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 1, 1))
except ForbiddenOperator:
    print("gone")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "gone\n"
