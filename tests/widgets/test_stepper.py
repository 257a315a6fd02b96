"""PerceptronStepper: the rule, the bound, and the widget without a browser."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from sklearn.svm import LinearSVC

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import PerceptronStepper
from course_utils.widgets.base import as_bytes
from course_utils.widgets.core.perceptron import (
    PRESETS,
    perceptron_run,
    preset_samples,
    separation,
)


def random_line_data(seed: int, num_samples: int, gap: float):
    rng = np.random.default_rng(seed)
    w, b = rng.normal(size=2), 0.3 * rng.normal()
    X = rng.uniform(-2, 2, (20 * num_samples, 2))
    d = (X @ w + b) / np.linalg.norm(w)
    keep = np.abs(d) >= gap
    return X[keep][:num_samples], (d[keep][:num_samples] >= 0).astype(np.int64)


def test_first_steps_by_hand():
    X, y = np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([0, 1])
    run = perceptron_run(X, y, [0, 1], 100)
    # d = 0 counts as output 1, so the first sample, of class 0, is a mistake at once.
    np.testing.assert_array_equal(run.samples[:4], [-1, 0, 1, 0])
    np.testing.assert_array_equal(run.outputs[1:4], [1, 0, 0])
    np.testing.assert_array_equal(run.scores[1:4], [0.0, -5.0, -1.0])
    np.testing.assert_array_equal(
        run.weights[:4], [[0, 0, 0], [-1, -2, -1], [1, -1, 0], [1, -1, 0]]
    )
    np.testing.assert_array_equal(run.mistakes[:4], [0, 1, 2, 2])


@given(st.integers(0, 10_000), st.integers(4, 40), st.floats(0.02, 0.5))
@settings(max_examples=25, deadline=None)
def test_separable_data_converge_within_the_bound(seed, num_samples, gap):
    X, y = random_line_data(seed, num_samples, gap)
    run, apart = perceptron_run(X, y, range(len(X)), 200_000), separation(X, y)
    assert run.ending == "converged"
    assert run.mistakes[-1] <= apart.bound
    w, b = run.weights[-1, :2], run.weights[-1, 2]
    np.testing.assert_array_equal((X @ w + b >= 0).astype(int), y)


def test_each_frame_follows_from_the_one_before():
    X, y = preset_samples("outlier")
    run = perceptron_run(X, y, range(len(X)), 500)
    for step in range(1, len(run)):
        x, t = X[run.samples[step]], y[run.samples[step]]
        w, b = run.weights[step - 1, :2], run.weights[step - 1, 2]
        assert run.scores[step] == pytest.approx(w @ x + b, abs=1e-12)
        assert run.outputs[step] == (run.scores[step] >= 0)
        change = (t - run.outputs[step]) * np.append(x, 1.0)
        np.testing.assert_allclose(run.weights[step] - run.weights[step - 1], change, atol=1e-12)


def test_xor_repeats_and_has_no_bound():
    X, y = preset_samples("XOR")
    run = perceptron_run(X, y, range(4), 500)
    assert (run.ending, run.repeats_from) == ("repeats", 0)
    np.testing.assert_array_equal(run.weights[-1], run.weights[run.repeats_from])
    assert (len(run) - 1 - run.repeats_from) % 4 == 0
    assert separation(X, y).bound == np.inf


def test_a_run_without_an_end_is_given_up():
    X = np.array([[0.0, 1.0], [0.0, 1.1], [0.3, 0.7]])
    run = perceptron_run(X, np.array([0, 1, 0]), range(3), 5)
    assert (run.ending, len(run)) == ("stopped", 6)


@pytest.mark.parametrize("seed", range(4))
def test_margin_is_that_of_a_hard_margin_machine(seed):
    X, y = random_line_data(seed, 30, 0.1)
    z = np.column_stack([X, np.ones(len(X))])
    machine = LinearSVC(C=1e7, loss="hinge", fit_intercept=False, max_iter=2_000_000, tol=1e-8)
    machine.fit(z, y)
    w = machine.coef_[0]
    margin = ((2 * y - 1) * (z @ w)).min() / np.linalg.norm(w)
    apart = separation(X, y)
    assert apart.margin == pytest.approx(margin, rel=1e-3)
    assert apart.margin >= margin * (1 - 1e-9)
    assert apart.radius == pytest.approx(np.linalg.norm(z, axis=1).max())


def test_presets_teach_what_they_name():
    mistakes, bounds = {}, {}
    for name in PRESETS:
        X, y = preset_samples(name)
        mistakes[name] = perceptron_run(X, y, range(len(X)), 500).mistakes[-1]
        bounds[name] = separation(X, y).bound
    assert mistakes["narrow margin"] >= 3 * mistakes["separable"]
    assert mistakes["outlier"] >= 3 * mistakes["separable"]
    assert bounds["separable"] < bounds["outlier"] < bounds["XOR"] == np.inf
    near, far = (separation(*preset_samples(name)) for name in ("separable", "outlier"))
    assert far.radius > 2 * near.radius
    assert far.margin > 0.7 * near.margin


def test_traits_and_state_size():
    widget = PerceptronStepper()
    assert widget.preset == "separable"
    np.testing.assert_allclose(widget.X, preset_samples("separable")[0], atol=1e-6)
    assert sum(len(v) for v in widget.get_state().values() if isinstance(v, bytes)) < 5_000
    assert len(str(widget._esm).encode()) <= 30_000
    widget.preset = "XOR"
    np.testing.assert_array_equal(widget.X, preset_samples("XOR")[0])
    assert (widget.step, widget.order) == (0, [])
    own = PerceptronStepper([[0, 1], [1, 0], [1, 1]], [0, 1, 1], order=[2, 1, 0, 1], step=2)
    assert (own.preset, own.order, own.step) == ("", [2, 1, 0, 1], 2)
    assert own.samples == as_bytes([[0, 1, 0], [1, 0, 1], [1, 1, 1]]) == own.first_samples
    np.testing.assert_array_equal(own.run().samples[:5], [-1, 2, 1, 0, 1])


def test_samples_moved_in_the_browser_reach_python():
    widget = PerceptronStepper()
    moved = memoryview(as_bytes([[0, 0, 1], [2, 1, 0]]))  # what a front end sends
    widget.set_state({"samples": moved, "preset": ""})
    np.testing.assert_array_equal(widget.X, [[0, 0], [2, 1]])
    np.testing.assert_array_equal(widget.y, [1, 0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": [[0, 1], [1, 0]]}, "X and y must come together"),
        ({"X": [[0, 1, 2]], "y": [0]}, r"X must have shape \('any', 2\); got \(1, 3\)"),
        ({"X": [[0, 1], [np.nan, 0]], "y": [0, 1]}, r"X must be finite; got nan at index \(1, 0\)"),
        ({"X": [[0, 1], [1, 0]], "y": [-1, 1]}, r"y must hold targets 0 or 1; got -1"),
        ({"X": [[0, 1], [1, 0]], "y": [0, 1, 1]}, r"y must have shape \(2,\); got \(3,\)"),
        ({"X": [[0, 1]], "y": [0]}, "X must hold 2 to 100 points; got 1"),
        ({"X": [[0, 1], [1, 0]], "y": [0, 1], "order": [0, 2]}, "order must name each"),
        ({"max_steps": 0}, "max_steps must be from 1 to 5000; got 0"),
        ({"preset": "parity"}, "preset must be one of separable, narrow margin"),
    ],
)
def test_errors_say_what_to_do(arguments, message):
    with pytest.raises(ValueError, match=message):
        PerceptronStepper(**arguments)


def test_setting_a_bad_order_or_bad_samples_is_refused():
    widget = PerceptronStepper(preset="XOR")
    with pytest.raises(ValueError, match="order must name each of the samples 0 to 3"):
        widget.order = [0, 1]
    with pytest.raises(ValueError, match="samples must be finite"):
        widget.samples = as_bytes([[0, np.inf, 1]])


def test_setting_an_unknown_preset_is_refused():
    with pytest.raises(ValueError, match="preset must be one of"):
        PerceptronStepper().preset = "parity"


@pytest.mark.parametrize("name", PRESETS)
def test_fallback_shows_the_run(name, tmp_path):
    widget = PerceptronStepper(preset=name)
    figure = widget.picture()
    assert check_axes(figure) == []
    (tmp_path / "a.png").write_bytes(png_bytes(figure))
    image = imread(tmp_path / "a.png")
    assert image.shape[0] > 200
    assert image[..., :3].std() > 0.05
    data, metadata = widget._repr_mimebundle_()
    assert {"image/png", "text/plain", "application/vnd.jupyter.widget-view+json"} <= set(data)
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    assert "mistakes" in widget.description()
    assert ("no bound" in widget.description()) == (name == "XOR")
