"""The drawn stand-ins: of the real data's form, the same every time, and learnable."""

import numpy as np
import pytest

from course_utils.data.synthetic import draw_digits, draw_garments


@pytest.mark.parametrize("draw", [draw_digits, draw_garments])
def test_form(draw):
    X, y = draw(2_010, seed=0)  # More than one chunk.
    assert (X.shape, X.dtype, y.dtype) == ((2_010, 28, 28), np.float32, np.int64)
    assert X.min() == 0
    assert 0.9 < X.max() <= 1
    assert np.bincount(y).tolist() == [201] * 10
    assert (X.reshape(len(X), -1).max(axis=1) > 0.3).all()  # No picture is blank.


@pytest.mark.parametrize("draw", [draw_digits, draw_garments])
def test_seed(draw):
    (X, y), (again, labels), (other, _) = draw(50, seed=3), draw(50, seed=3), draw(50, seed=4)
    np.testing.assert_array_equal(X, again)
    np.testing.assert_array_equal(y, labels)
    assert not np.array_equal(X, other)


@pytest.mark.parametrize("draw", [draw_digits, draw_garments])
def test_classes_can_be_learned(draw):
    """The nearest class mean is right far more often than the 10 % of guessing."""
    X, y = draw(2_000, seed=0)
    X_test, y_test = draw(500, seed=1)
    means = np.stack([X[y == label].mean(axis=0).ravel() for label in range(10)])
    distances = ((X_test.reshape(500, 1, -1) - means) ** 2).sum(axis=-1)
    assert (distances.argmin(axis=1) == y_test).mean() > 0.6
