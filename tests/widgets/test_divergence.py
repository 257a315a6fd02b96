"""DistributionPair: divergences against scipy, moved bars, the widget without a browser."""

import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import DistributionPair
from course_utils.widgets.core.divergence import measures, rescale
from course_utils.widgets.views.divergence import DECK, PRESETS

HOT = (0.0, 1.0, 0.0)


def random_pairs(seed, count=40):
    """Return pairs over two to eight outcomes, some with outcomes that never happen under p."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        p, q = rng.dirichlet(np.full(2 + number % 7, 0.6), size=2)
        if number % 3 == 0:
            p[0] = 0
            p /= p.sum()
        yield p.tolist(), q.tolist()


def test_measures_equal_scipy():
    for p, q in random_pairs(0):
        m = measures(p, q)
        assert m.h_p == pytest.approx(entropy(p))
        assert m.h_q == pytest.approx(entropy(q))
        assert m.kl_pq == pytest.approx(entropy(p, q))
        assert m.kl_qp == pytest.approx(entropy(q, p))
        assert m.h_pq == pytest.approx(entropy(p) + entropy(p, q))
        assert m.js == pytest.approx(jensenshannon(p, q) ** 2, abs=1e-12)
        assert m.in_unit("bits").kl_pq == pytest.approx(entropy(p, q, base=2))


def test_edge_cases_by_hand():
    hot = measures(HOT, DECK)
    assert (hot.h_p, hot.h_pq) == (0, pytest.approx(-math.log(0.7)))
    assert hot.kl_pq == pytest.approx(hot.h_pq)
    assert hot.kl_qp == math.inf
    apart = measures((1, 0), (0, 1))
    assert (apart.kl_pq, apart.kl_qp) == (math.inf, math.inf)
    assert apart.js == pytest.approx(math.log(2))
    same = measures(DECK, DECK)
    assert (same.kl_pq, same.kl_qp, same.js) == (0, 0, 0)


@given(
    weights=st.lists(st.integers(0, 50), min_size=2, max_size=8).filter(any),
    index=st.integers(0, 7),
    value=st.floats(-0.5, 1.5),
)
def test_moved_bars_stay_a_distribution(weights, index, value):
    old = np.array(weights) / sum(weights)
    index %= len(old)
    new = np.array(rescale(old.tolist(), index, value))
    assert new.sum() == pytest.approx(1, abs=1e-12)
    assert (new >= 0).all()
    assert new[index] == pytest.approx(min(1, max(0, value)), abs=6e-7)
    others = np.delete(old, index)
    total = others.sum()
    share = others / total if total > 0 else np.full(len(others), 1 / len(others))
    np.testing.assert_allclose(np.delete(new, index), (1 - new[index]) * share, atol=1.1e-6)


def test_presets_teach_what_their_names_say():
    m = {name: measures(p, q) for name, (p, q, _) in PRESETS.items()}
    assert m["one-hot target"].h_p == 0
    assert m["one-hot target"].h_pq == pytest.approx(-math.log(0.7))
    assert m["equal"].kl_pq == m["equal"].kl_qp == m["equal"].js == 0
    assert m["missing outcome"].kl_pq == math.inf
    assert m["missing outcome"].js < math.log(2) / 10
    covering, seeking = m["mode-covering"], m["mode-seeking"]
    assert covering.kl_pq < seeking.kl_pq - 0.5
    assert seeking.kl_qp < covering.kl_qp - 0.1
    for p, q, title in PRESETS.values():
        assert len(title.split()) > 4
        DistributionPair(p, q)
    # What the task asks for exists: exchange two probabilities.
    swapped = measures(DECK, (0.7, 0.2, 0.1))
    assert swapped.kl_pq == pytest.approx(swapped.kl_qp)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"p": (0.5, 0.6)}, r"p must sum to 1; got 1.1. Divide it by its sum"),
        ({"q": (1.2, -0.2, 0)}, r"q must not be negative; got -0.2 at index 1"),
        ({"q": (0.5, float("nan"), 0.5)}, r"q must be finite; got nan at index \(1,\)"),
        ({"p": [1.0]}, r"p must hold 2 to 8 probabilities; got 1"),
        ({"p": np.full(9, 1 / 9)}, r"p must hold 2 to 8 probabilities; got 9"),
        ({"p": np.eye(3) / 3}, r"p must have shape \('any',\); got \(3, 3\)"),
        ({"p": (0.5, 0.5)}, r"p and q must have the same number of outcomes; got 2 and 3"),
        ({"unit": "bit"}, r"unit must be one of \('nats', 'bits'\); got 'bit'"),
        ({"edited": "r"}, r"edited must be one of \('p', 'q'\); got 'r'"),
        ({"outcome": 3}, r"outcome must lie in 0 to 2; got 3"),
    ],
)
def test_errors_name_argument_and_remedy(arguments, message):
    with pytest.raises(ValueError, match=message):
        DistributionPair(**arguments)


def test_traits_are_checked_and_both_may_grow_together():
    widget = DistributionPair()
    with pytest.raises(ValueError, match="q must sum to 1"):
        widget.q = [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="hold_trait_notifications"):
        widget.p = [0.5, 0.5]
    with pytest.raises(ValueError, match="outcome must lie in"):
        widget.outcome = 5
    with widget.hold_trait_notifications():
        widget.p, widget.q = [0.5, 0.5], [0.25, 0.75]
    assert widget.measures().kl_pq == pytest.approx(entropy([0.5, 0.5], [0.25, 0.75]))
    # A preset arrives from the browser as one message that changes the length.
    preset = {k: v for k, v in widget.presets["mode-seeking"].items() if k != "title"}
    widget.set_state(preset)
    assert len(widget.p) == len(widget.q) == 6
    assert widget.initial["p"] == [0.2, 0.7, 0.1]


@pytest.mark.parametrize("q", [(0.4, 0.3, 0.3), (0.25, 0.75, 0)])
@pytest.mark.parametrize("unit", ["nats", "bits"])
def test_picture_and_words_where_it_cannot_run(q, unit):
    widget = DistributionPair(DECK, q, unit=unit)
    data, metadata = widget._repr_mimebundle_()
    assert data["text/plain"] == metadata["image/png"]["alt"] == widget.description()
    assert ("infinity" in widget.description()) == (q[2] == 0)
    assert f"H(p) = {entropy(DECK, base=2 if unit == 'bits' else None):.4g}," in data["text/plain"]
    fig = widget.picture()
    assert check_axes(fig) == []
    image = imread(io.BytesIO(png_bytes(fig, dpi=60)))
    assert image[..., :3].std() > 0.05
    np.testing.assert_array_equal(image[0, 0, :3], 1.0)


def test_picture_writes_the_sum_on_its_row():
    _, scale = DistributionPair().picture().axes
    words = [text.get_text() for text in scale.texts]
    assert "H(p, q) = H(p) + KL(p‖q) = 0.8018 + 0.3446 = 1.146" in words
    assert "JS = 0.08429" in words
    assert scale.get_ylabel() == ""


def test_state_and_code_stay_small():
    widget = DistributionPair()
    assert sum(len(str(v)) for v in widget.get_state().values()) <= 100_000
    assert len(widget._esm) <= 22_000
