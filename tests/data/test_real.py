"""The real data sets, by the way a student gets them: cache, package, home."""

import os
import warnings

import numpy as np
import pytest

from course_utils import data


@pytest.fixture(scope="module")
def real():
    """A function that loads real data; where CI is set, having none is a failure."""

    def load(name):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", data.StandInWarning)
            found = data.load(name)
        if found.is_synthetic:
            reason = "\n".join(str(warning.message) for warning in caught)
            (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
        return found

    return load


def test_mnist_5k(real):
    digits = real("mnist_5k")
    assert digits.X_train.shape == (4000, 28, 28)
    assert digits.X_test.shape == (1000, 28, 28)
    assert np.bincount(digits.y_train).tolist() == [400] * 10
    assert np.bincount(digits.y_test).tolist() == [100] * 10
    assert (digits.X_train.min(), digits.X_train.max()) == (0, 1)
    assert "BSD-3-Clause" in digits.licence
    # The split is part of the course: results are quoted for it.
    assert digits.y_test[:12].tolist() == [0, 5, 1, 1, 5, 2, 5, 5, 5, 3, 2, 2]
    both = np.concatenate([digits.X_train, digits.X_test]).reshape(5000, -1)
    assert len(np.unique(both, axis=0)) == 5000


def test_fashion_mnist(real):
    fashion = real("fashion_mnist")
    assert fashion.X_train.shape == (60_000, 28, 28)
    assert fashion.X_test.shape == (10_000, 28, 28)
    assert np.bincount(fashion.y_train).tolist() == [6000] * 10
    assert np.bincount(fashion.y_test).tolist() == [1000] * 10
    # Mean and standard deviation as widely quoted for normalising Fashion-MNIST.
    assert fashion.X_train.mean() == pytest.approx(0.2860, abs=1e-4)
    assert fashion.X_train.std() == pytest.approx(0.3530, abs=1e-4)
    assert fashion.class_names[fashion.y_train[0]] == "Ankle boot"
    assert fashion.licence == "MIT"
