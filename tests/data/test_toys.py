"""Toy data: the geometry each docstring promises."""

import numpy as np
import pytest
from scipy.optimize import linprog
from sklearn.datasets import make_moons as sklearn_moons

from course_utils.data import make_moons, make_separable, make_spirals, make_xor

MAKERS = (make_separable, make_xor, make_moons, make_spirals)


def new_rng(seed=0):
    return np.random.default_rng(seed)


def has_separating_line(X, y):
    """Ask a linear programme for (w, b) with sign * (w . x + b) >= 1 everywhere."""
    signs = 2 * y - 1
    rows = -signs[:, None] * np.column_stack([X, np.ones(len(X))])
    solved = linprog(np.zeros(3), rows, -np.ones(len(X)), bounds=[(None, None)] * 3)
    return solved.status == 0


def widest_margin(X, y):
    """Return half the widest gap between the classes, over a fine fan of directions."""
    angles = np.linspace(0, 2 * np.pi, 7200, endpoint=False)
    along = X @ np.stack([np.cos(angles), np.sin(angles)])
    return (along[y == 1].min(axis=0) - along[y == 0].max(axis=0)).max() / 2


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("num_samples", [2, 3, 7, 50, 201])
def test_form(make, num_samples):
    X, y = make(num_samples, rng=new_rng())
    assert (X.shape, X.dtype, y.shape, y.dtype) == ((num_samples, 2), float, (num_samples,), int)
    assert np.isfinite(X).all()
    counts = np.bincount(y, minlength=2)
    assert abs(counts[0] - counts[1]) <= 1
    assert counts.min() >= 1
    again, labels = make(num_samples, rng=new_rng())
    np.testing.assert_array_equal(again, X)
    np.testing.assert_array_equal(labels, y)
    assert not np.array_equal(make(num_samples, rng=new_rng(1))[0], X)


@pytest.mark.parametrize("make", MAKERS)
def test_classes_are_mixed(make):
    _, y = make(100, rng=new_rng())
    assert 5 < np.count_nonzero(np.diff(y)) < 95


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("margin", [0.0, 0.05, 0.2, 1.5])
def test_separable_with_the_margin_asked_for(seed, margin):
    X, y = make_separable(61, rng=new_rng(seed), margin=margin)
    assert has_separating_line(X, y)
    # The fan's nearest direction may be off by a quarter of a thousandth of a radian.
    assert widest_margin(X, y) >= margin - 1e-3


def test_margin_is_not_far_more_than_asked_for():
    X, y = make_separable(2000, rng=new_rng(), margin=0.2)
    assert widest_margin(X, y) == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize("make", [make_xor, make_moons, make_spirals])
def test_others_need_more_than_a_line(make):
    assert not has_separating_line(*make(80, rng=new_rng()))


def test_xor_corners():
    X, y = make_xor(40, rng=new_rng(), noise=0.0)
    found = {(*point, label) for point, label in zip(X.tolist(), y.tolist(), strict=True)}
    assert found == {(-1, -1, 0), (1, 1, 0), (-1, 1, 1), (1, -1, 1)}


@pytest.mark.parametrize("num_samples", [2, 5, 100])
def test_moons_are_those_of_sklearn(num_samples):
    X, y = make_moons(num_samples, rng=new_rng(), noise=0.0)
    expected, labels = sklearn_moons(num_samples, shuffle=False)
    ours = np.column_stack([X, y])
    theirs = np.column_stack([expected, labels])
    np.testing.assert_allclose(
        ours[np.lexsort(ours.round(9).T)], theirs[np.lexsort(theirs.round(9).T)], atol=1e-12
    )


def test_one_spiral_is_the_other_turned_round():
    X, y = make_spirals(200, rng=new_rng(), noise=0.0)
    one, two = X[y == 0], -X[y == 1]
    by_radius = [part[np.argsort(np.linalg.norm(part, axis=1))] for part in (one, two)]
    np.testing.assert_allclose(*by_radius, atol=1e-12)
    radius = np.linalg.norm(by_radius[0], axis=1)
    np.testing.assert_allclose(radius[[0, -1]], [0.05, 1.0])
    turns = np.unwrap(np.arctan2(by_radius[0][:, 1], by_radius[0][:, 0])) / (2 * np.pi)
    assert turns[-1] - turns[0] == pytest.approx(1.5 * 0.95)


@pytest.mark.parametrize("make", [make_xor, make_moons, make_spirals])
def test_noise_is_a_standard_deviation(make):
    quiet = make(20_000, rng=new_rng(), noise=0.0)
    loud = make(20_000, rng=new_rng(), noise=0.3)
    extra = loud[0].var(axis=0) - quiet[0].var(axis=0)
    np.testing.assert_allclose(extra, 0.09, rtol=0.15)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("num_samples", [1, 0, -3])
def test_too_few_samples(make, num_samples):
    with pytest.raises(ValueError, match=f"num_samples={num_samples}: expected at least 2"):
        make(num_samples, rng=new_rng())


@pytest.mark.parametrize("amount", [-0.1, float("nan"), float("inf")])
def test_impossible_amounts(amount):
    for make in (make_xor, make_moons, make_spirals):
        with pytest.raises(ValueError, match=r"noise=.*: expected a finite number, 0 or more"):
            make(10, rng=new_rng(), noise=amount)
    with pytest.raises(ValueError, match=r"margin=.*: expected a finite number"):
        make_separable(10, rng=new_rng(), margin=amount)


@pytest.mark.parametrize("make", MAKERS)
def test_seed_in_place_of_a_generator(make):
    with pytest.raises(TypeError):
        make(10, rng=0)
