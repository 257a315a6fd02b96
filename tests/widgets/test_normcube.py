"""NormalizationCube: four normalisations against torch, and the widget without a browser."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from matplotlib.image import imread

from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import NormalizationCube
from course_utils.widgets.core.normcube import NORMS, members, normalise, num_statistics, share

SHAPES = [(3, 4, 5), (2, 6, 7), (5, 1, 3), (1, 3, 2)]


def torch_norm(x, norm, groups):
    """Normalise with torch's own functions, in training mode, without scale and shift."""
    return {
        "batch": lambda: F.batch_norm(x, None, None, training=True),
        "layer": lambda: F.layer_norm(x, x.shape[1:]),
        "instance": lambda: F.instance_norm(x),
        "group": lambda: F.group_norm(x, groups),
    }[norm]()


def cases():
    for shape in SHAPES:
        for norm in NORMS:
            divisors = [k for k in range(1, shape[1] + 1) if shape[1] % k == 0]
            for groups in divisors if norm == "group" else [1]:
                yield shape, norm, groups


def batch_of(shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=shape) * rng.uniform(0.5, 3, size=(1, shape[1], 1)) + 2.0


@pytest.mark.parametrize(("shape", "norm", "groups"), list(cases()))
def test_normalise_equals_torch(shape, norm, groups):
    batch = batch_of(shape)
    expected = torch_norm(torch.tensor(batch), norm, groups)
    np.testing.assert_allclose(normalise(batch, norm, groups), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("shape", "norm", "groups"), list(cases()))
def test_lit_values_are_those_that_the_output_depends_on(shape, norm, groups):
    """What torch's output at a cell has a gradient to is what the widget lights."""
    rng = np.random.default_rng(1)
    for _ in range(4):
        cell = tuple(int(rng.integers(n)) for n in shape)
        for alone in (False, True):
            x = torch.tensor(batch_of(shape, 2), requires_grad=True)
            part = x[cell[0] : cell[0] + 1] if alone else x
            at = (0 if alone else cell[0], *cell[1:])
            # From zero the distance squared: no gradient cancels by symmetry.
            (torch_norm(part, norm, groups)[at] * 7).backward()
            lit = members(shape, norm, groups, cell, alone)
            if lit.sum() > 2:  # two values become +1 and -1 whatever they are
                np.testing.assert_array_equal(lit, x.grad.numpy() != 0)
            got = share(batch_of(shape, 2), norm, groups, cell, alone)
            with torch.no_grad():
                expected = torch_norm(part, norm, groups)[at].item()
            assert got.after == pytest.approx(expected, rel=1e-9, abs=1e-12)
            assert got.std == pytest.approx(batch_of(shape, 2)[lit].std())


@pytest.mark.parametrize(("shape", "norm", "groups"), list(cases()))
def test_number_of_statistics_is_the_number_of_sets(shape, norm, groups):
    for alone in (False, True):
        cells = [c for c in np.ndindex(*shape) if not alone or c[0] == 0]
        sets = {members(shape, norm, groups, c, alone).tobytes() for c in cells}
        assert num_statistics(shape, norm, groups, alone) == len(sets)


def test_what_the_presets_claim():
    batch = batch_of((4, 6, 3))
    widget = NormalizationCube(batch)
    assert list(widget.presets) == [
        "batch",
        "layer",
        "instance",
        "group",
        "batch of one",
        "group = 1 is layer",
        "groups = C is instance",
    ]
    for name, same in (("group = 1 is layer", "layer"), ("groups = C is instance", "instance")):
        groups = widget.presets[name]["groups"]
        np.testing.assert_allclose(
            normalise(batch, "group", groups), normalise(batch, same), rtol=1e-12
        )
    for norm in NORMS:
        together = share(batch, norm, 2, (1, 2, 1)).after
        alone = share(batch, norm, 2, (1, 2, 1), True).after
        assert (together == pytest.approx(alone)) == (norm != "batch")
    instance = share(batch, "instance", 2, (1, 2, 1))
    np.testing.assert_array_equal(share(batch, "batch", 2, (1, 2, 1), True).lit, instance.lit)


def test_a_single_value_becomes_zero():
    got = share(batch_of((3, 2, 1)), "instance", 1, (2, 1, 0))
    assert (got.after, got.std, got.lit.sum()) == (0.0, 0.0, 1)


def test_traits_and_sizes():
    batch = torch.randn(8, 8, 16, generator=torch.Generator().manual_seed(0))
    widget = NormalizationCube(batch, "group", 4, cell=(1, 2, 3), alone=True)
    assert (widget.norm, widget.groups, widget.cell, widget.alone) == ("group", 4, [1, 2, 3], True)
    assert widget.values == batch.numpy().astype("<f4").tobytes()
    assert widget.shape == [8, 8, 16]
    assert sum(len(str(v)) for k, v in widget.get_state().items() if k[0] != "_") < 50_000
    assert len(str(widget._esm).encode()) <= 30_000
    assert [NormalizationCube(np.ones((1, c, 2))).groups for c in (1, 2, 3, 7, 8)] == [
        1, 2, 3, 7, 2,
    ]  # fmt: skip
    widget.norm = "batch"
    assert widget.share().kept == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"batch": np.ones((2, 3))},
            r"batch must have shape \('any', 'any', 'any'\); got \(2, 3\)",
        ),
        ({"batch": np.full((1, 2, 2), np.nan)}, "batch must be finite; got nan at index"),
        (
            {"batch": np.ones((9, 3, 4))},
            r"batch may have at most 8 x 8 x 16 .* got \(9, 3, 4\). Try batch\[:8, :8, :16\]",
        ),
        ({"norm": "bach"}, "norm must be one of batch, layer, instance, group; got 'bach'"),
        ({"groups": 4}, r"groups must divide the 6 channels: \[1, 2, 3, 6\]; got 4"),
        ({"groups": 0}, "groups must divide the 6 channels"),
        ({"cell": (0, 6, 0)}, r"cell must be .* below \(2, 6, 4\), from 0; got \(0, 6, 0\)"),
        ({"cell": (0, 0)}, "cell must be"),
        ({"cell": (-1, 0, 0)}, "cell must be"),
    ],
)
def test_errors_say_what_is_allowed(arguments, message):
    start = {"batch": np.ones((2, 6, 4))}
    with pytest.raises(ValueError, match=message):
        NormalizationCube(**start | arguments)
    name, value = next(iter(arguments.items()))
    if name != "batch":
        with pytest.raises(ValueError, match=message):
            setattr(NormalizationCube(**start), name, list(value) if name == "cell" else value)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(6, 6, 9), (1, 1, 1), (8, 8, 16)])
def test_fallback_shows_batch_and_histograms(norm, shape, tmp_path):
    batch = batch_of(shape) if shape != (1, 1, 1) else np.zeros(shape)
    widget = NormalizationCube(batch, norm, cell=tuple(n - 1 for n in shape), alone=True)
    figure = widget.picture()
    assert check_axes(figure) == []
    (tmp_path / "a.png").write_bytes(png_bytes(figure))
    assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    assert f"{norm.capitalize()} norm" in widget.description()
    assert "batch of 1:" in widget.description()
