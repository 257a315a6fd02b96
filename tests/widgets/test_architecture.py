"""ArchitectureExplorer: blocks, costs and receptive fields, and the widget without a browser."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread
from torch import nn
from torch.nn import functional as F

from course_utils.counting import count_layers
from course_utils.figures import check_axes, png_bytes
from course_utils.widgets import ArchitectureExplorer
from course_utils.widgets.core.architecture import (
    QUANTITIES,
    amounts,
    blocks_of,
    fit_image,
    maps_of,
    thin_maps,
    unit_at,
)
from course_utils.widgets.core.receptive import seen

STATE = ("network", "quantity", "block", "place")


class Residual(nn.Module):
    """Two convolutions and a path around them."""

    def __init__(self, channels=4, stride=1):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.norm, self.relu = nn.BatchNorm2d(channels), nn.ReLU(inplace=True)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)
        self.stride = stride

    def forward(self, x):
        y = self.second(self.relu(self.norm(self.first(x))))
        y += x[:, :, :: self.stride, :: self.stride]
        return self.relu(y)


class Scale(nn.Module):
    """A handwritten layer that loops over the channels."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return torch.stack([x[:, k] * self.gain[k] for k in range(x.shape[1])], 1)


class Branches(nn.Module):
    """Paths of different reach whose maps are stacked, as in Inception and DenseNet."""

    def __init__(self):
        super().__init__()
        self.near, self.far = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, (5, 3), padding=(2, 1))
        self.norm = nn.BatchNorm2d(9)

    def forward(self, x):
        return F.relu(self.norm(torch.cat([x, self.near(x), F.relu(self.far(x))], 1)))


def small_net(channels=1):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5, padding=2), nn.ReLU(), Residual(), Residual(stride=2), Scale(),
        Branches(), nn.Dropout(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 10),
    )  # fmt: skip


def plain_net():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 13 * 13, 5)
    )


def a_picture(shape=(28, 28)):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def networks():
    with torch.device("meta"):
        large = nn.Sequential(nn.Conv2d(1, 64, 3), nn.Flatten(), nn.Linear(64 * 26 * 26, 4096))
    return {"small": small_net(), "plain": plain_net(), "large": large}


@pytest.fixture(scope="module")
def widget(networks):
    return ArchitectureExplorer(networks, a_picture())


def test_blocks_are_layers_with_what_follows_them():
    _, blocks = blocks_of(small_net(), (1, 28, 28))
    assert [(b.name, b.kind, ", ".join(b.words), b.parents) for b in blocks] == [
        ("0", "conv", "Conv2d 5×5, ReLU", [-1]),
        ("2.first", "conv", "Conv2d 3×3, BatchNorm2d, ReLU", [0]),
        ("2.second", "conv", "Conv2d 3×3", [1]),
        ("2", "merge", "add, ReLU", [2, 0]),
        ("3.first", "conv", "Conv2d 3×3, stride 2, BatchNorm2d, ReLU", [3]),
        ("3.second", "conv", "Conv2d 3×3", [4]),
        ("3", "other", "getitem", [3]),
        ("3", "merge", "add, ReLU, Scale", [5, 6]),
        ("5.near", "conv", "Conv2d 1×1", [7]),
        ("5.far", "conv", "Conv2d 5×3, relu", [7]),
        ("5", "merge", "cat, BatchNorm2d, relu", [7, 8, 9]),
        ("7", "pool", "AdaptiveAvgPool2d", [10]),
        ("9", "linear", "Linear", [11]),
    ]
    assert [b.shape for b in blocks[-3:]] == [(9, 14, 14), (9, 1, 1), (10,)]


@pytest.mark.parametrize("make", [small_net, plain_net])
def test_costs_add_up_to_those_of_the_counter(make):
    model = make()
    _, blocks = blocks_of(model, (1, 28, 28))
    layers = count_layers(model, (1, 28, 28))
    assert sum(b.parameters for b in blocks) == sum(p.numel() for p in model.parameters())
    assert sum(b.multiply_adds for b in blocks) == sum(r.multiply_adds for r in layers)
    assert amounts(blocks, "activations") == [float(np.prod(b.shape)) for b in blocks]


class Handmade(nn.Module):
    """What a notebook writes by hand: a padded convolution and what is done to its maps."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3, 1, 3, 3))

    def forward(self, x):
        return F.conv2d(F.pad(x, (1, 1, 1, 1)), self.weight, stride=2)


class Respond(nn.Module):
    def forward(self, x):
        squares = F.pad(x * x, (0, 0, 0, 0, 1, 1))
        return x / (2 + sum(squares[:, k : k + x.shape[1]] for k in range(3))) ** 0.75


class Subsample(nn.Module):
    def __init__(self):
        super().__init__()
        self.gain, self.bias = (nn.Parameter(torch.ones(3, 1, 1)) for _ in range(2))

    def forward(self, x):
        return self.gain * F.avg_pool2d(x, 2) + self.bias


def test_handwritten_modules_are_taken_as_a_whole():
    model = nn.Sequential(nn.ZeroPad2d((2, 0, 1, 0)), Handmade(), Respond(), Subsample())
    _, blocks = blocks_of(model, (1, 16, 16))
    assert [(b.name, b.kind, b.words, b.parameters) for b in blocks] == [
        ("0", "other", ["ZeroPad2d"], 0),
        ("1", "conv", ["Handmade", "Respond"], 27),
        ("3", "pool", ["Subsample"], 6),
    ]
    assert seen(blocks[0].field, (1, 2)) == (0, 0, 1, 1)
    assert seen(blocks[2].field, (0, 0)) == (-2, -3, 3, 2)
    assert blocks[2].field.size == (5, 5)


def test_a_norm_before_a_layer_joins_the_layer_after():
    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1)

        def forward(self, x):
            return torch.cat([x, self.conv(F.relu(self.norm(x)))], 1)

    _, blocks = blocks_of(nn.Sequential(nn.Conv2d(1, 2, 1), Dense()), (1, 8, 8))
    assert [", ".join(b.words) for b in blocks] == [
        "Conv2d 1×1", "BatchNorm2d, relu, Conv2d 3×3", "cat",
    ]  # fmt: skip
    assert [b.parameters for b in blocks] == [4, 4 + 57, 0]


def test_a_layer_used_twice_has_its_weights_counted_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x):
            return self.conv(self.conv(x))

    _, blocks = blocks_of(Twice(), (1, 8, 8))
    assert [b.parameters for b in blocks] == [10, 0]
    assert [b.multiply_adds for b in blocks] == [576, 576]
    assert blocks[1].field.size == (5, 5)


def support(model, shape, block, graph, unit):
    """Return top, left, bottom, right of the pixels on which a unit has a gradient."""
    model = model.double()
    for p in model.parameters():
        nn.init.constant_(p, 0.1)
    x = torch.ones(1, *shape, dtype=torch.float64, requires_grad=True)
    kept = {}

    class Run(torch.fx.Interpreter):
        def run_node(self, n):
            kept[n.name] = super().run_node(n)
            return kept[n.name]

    Run(torch.fx.GraphModule(model.eval(), graph)).run(x)
    kept[block.last][0, :, unit[0], unit[1]].sum().backward()
    rows, columns = np.nonzero(x.grad[0].abs().sum(0).numpy())
    if not len(rows):
        return None
    return rows.min(), columns.min(), rows.max() + 1, columns.max() + 1


KERNEL = st.tuples(st.integers(1, 4), st.integers(1, 4))
STEP = st.tuples(st.integers(1, 2), st.integers(1, 2))


class Around(nn.Module):
    """A layer and the identity, added where their shapes agree."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x) + x


class Other(nn.Module):
    """What networks do without a module: pad, crop, take every second row, pool."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        if self.kind == "pad":
            return F.pad(x, (1, 0, 2, 1))
        if self.kind == "slice":
            return x[:, :, 1::2, ::2]
        if self.kind == "conv":
            weight = torch.ones(2, 2, 3, 2, dtype=x.dtype)
            return F.conv2d(x, weight, stride=(2, 1), padding=(1, 0), dilation=2)
        return F.avg_pool2d(x, (2, 3), stride=1, padding=(1, 0))


@st.composite
def layers(draw):
    kind = draw(st.sampled_from(["conv", "pool", "around", "other"]))
    kernel = draw(KERNEL)
    if kind == "conv":
        padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
        return nn.Conv2d(2, 2, kernel, draw(STEP), padding, draw(STEP))
    if kind == "pool":
        return nn.AvgPool2d(kernel, draw(STEP), tuple(k // 2 for k in kernel))
    if kind == "around":
        return Around(nn.Conv2d(2, 2, kernel, padding="same"))
    return Other(draw(st.sampled_from(["pad", "slice", "conv", "pool"])))


@settings(max_examples=40, deadline=None)
@given(st.lists(layers(), min_size=1, max_size=4), st.data())
def test_receptive_fields_are_where_the_gradient_is(stack, data):
    shape = (2, 29, 26)
    model = nn.Sequential(*stack)
    try:
        graph, blocks = blocks_of(model, shape)
    except ValueError:
        return  # the map has become too small for the next layer
    block = blocks[-1]
    unit = [data.draw(st.integers(0, n - 1)) for n in block.shape[1:]]
    found = support(model, shape, block, graph, unit)
    top, left, bottom, right = seen(block.field, unit)
    if min(top, left) >= 0 and bottom <= shape[1] and right <= shape[2]:
        assert (top, left, bottom, right) == found
    elif found is not None:  # a unit at the border may see nothing but padding
        # With dilation, the pixels between the taps and the border are inside the box only.
        top, left, bottom, right = seen(block.field, unit, shape[1:])
        assert top <= found[0] < found[2] <= bottom
        assert left <= found[1] < found[3] <= right


@pytest.mark.parametrize("to", [1, 3, 4, 6])
def test_adaptive_pooling_sees_its_share(to):
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.AdaptiveAvgPool2d(to))
    graph, blocks = blocks_of(model, (2, 12, 12))
    for unit in range(to):
        found = support(model, (2, 12, 12), blocks[-1], graph, (unit, unit))
        assert seen(blocks[-1].field, (unit, unit), (12, 12)) == found


def test_transposed_convolution_and_resizing_see_no_more_than_said():
    for layer in (nn.ConvTranspose2d(2, 2, 4, 2, 1), nn.Upsample(scale_factor=2)):
        model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), layer)
        graph, blocks = blocks_of(model, (2, 8, 8))
        widest = 0
        for unit in range(4, 12):
            found = support(model, (2, 8, 8), blocks[-1], graph, (unit, unit))
            low, _, high, _ = seen(blocks[-1].field, (unit, unit))
            assert np.floor(low) <= found[0] < found[2] <= np.ceil(high)
            widest = max(widest, found[2] - found[0])
        assert widest == int(blocks[-1].field.size[0])


def test_three_small_kernels_see_what_a_large_one_sees():
    three = nn.Sequential(*[nn.Conv2d(1, 1, 3, padding=1) for _ in range(3)])
    one = nn.Sequential(nn.Conv2d(1, 1, 7, padding=3))
    fields = [blocks_of(model, (1, 20, 20))[1][-1].field for model in (three, one)]
    assert fields[0] == fields[1]


def test_maps_are_those_of_the_layers():
    model, x = small_net().train(), a_picture()[None]
    graph, blocks = blocks_of(model, (1, 28, 28))
    maps = maps_of(model, graph, blocks, x)
    assert all(m.training for m in model.modules())
    model.eval()
    with torch.no_grad():
        value = x[None]
        for layer, number in zip(model[:5], [None, 0, 3, None, 7], strict=True):
            value = layer(value)
            if number is not None:
                m = maps[number]
                scale = 255 / (m.high - m.low)
                expected = (value[0].numpy() - m.low) * scale
                np.testing.assert_allclose(m.pixels, expected, atol=0.51)
        logits = model(x[None])[0].numpy()
    assert maps[-1].pixels.shape == (10, 1, 1)
    assert (maps[-1].low, maps[-1].high) == pytest.approx((logits.min(), logits.max()))


def test_large_maps_are_averaged_and_thinned():
    model = nn.Sequential(nn.Conv2d(1, 40, 1), *[nn.Conv2d(40, 40, 1) for _ in range(9)])
    graph, blocks = blocks_of(model, (1, 84, 56))
    maps = maps_of(model, graph, blocks, a_picture((1, 84, 56)))
    assert {m.pixels.shape for m in maps} == {(16, 28, 19)}
    for budget, kept, channels in ((90_000, 10, 16), (30_000, 10, 4), (10_000, 4, 4)):
        thin = thin_maps(maps, budget)
        assert sum(m.pixels.size for m in thin if m) <= budget
        assert [sum(m is not None for m in thin), len(thin[0].pixels)] == [kept, channels]


def test_an_image_is_fitted_to_the_network():
    grey, colour = a_picture((1, 8, 8)), a_picture((3, 8, 8))
    assert torch.equal(fit_image(grey, (3, 8, 8)), grey.expand(3, -1, -1))
    assert torch.allclose(fit_image(colour, (1, 8, 8))[0], colour.mean(0))
    assert fit_image(colour, (3, 16, 12)).shape == (3, 16, 12)
    with pytest.raises(ValueError, match="takes 4 channels, but image has 3"):
        fit_image(colour, (4, 8, 8))


def test_traits_and_sizes(widget, networks):
    state = {k: v for k, v in widget.get_state().items() if k[0] != "_" and k != "layout"}
    size = sum(len(v) if isinstance(v, bytes) else len(json.dumps(v)) for v in state.values())
    assert size <= 500_000
    assert len(str(widget._esm).encode()) <= 30_000
    assert [len(net["blocks"]) for net in widget.networks.values()] == [13, 3, 2]
    assert [net["meta"] for net in widget.networks.values()] == [False, False, True]
    assert widget.image_size == [28, 28]
    assert len(widget.image) == 28 * 28 * 3
    rows = widget.networks["small"]["blocks"]
    assert rows[0]["maps"][:4] == [0, 4, 28, 28]
    assert len(widget.maps) == sum(
        np.prod(row["maps"][1:4]) for net in widget.networks.values()
        for row in net["blocks"] if "maps" in row
    )  # fmt: skip
    assert unit_at((4, 14, 10), (0.5, 1.0)) == (13, 5)
    assert unit_at((10,), (0.5, 1.0)) == (0, 0)


def test_a_shorter_network_moves_the_block(networks):
    widget = ArchitectureExplorer(networks, a_picture(), block=12)
    widget.network = "large"
    assert widget.block == 1
    with pytest.raises(ValueError, match=r"block must be from 0 to 1 in large; got 12"):
        widget.block = 12
    widget.set_state({"network": "small", "block": 12})
    assert (widget.network, widget.block) == ("small", 12)


def test_presets_show_what_they_say(widget):
    presets = widget.presets
    for name, quantity in (
        ("where are the weights?", "parameters"),
        ("where is the work?", "multiply-adds"),
        ("where are the activations?", "activations"),
    ):
        preset = presets[name]
        numbers = amounts(widget.blocks(preset["network"]), quantity)
        assert preset["quantity"] == quantity
        assert numbers[preset["block"]] == max(numbers)
        assert f"{max(numbers) / sum(numbers):.0%}" in preset["title"]
    one = presets["what does one unit see?"]
    sizes = amounts(widget.blocks(one["network"]), "receptive field")
    assert sizes[one["block"]] >= 14 > max(sizes[: one["block"]])
    meet = presets["where do paths meet?"]
    assert widget.blocks(meet["network"])[meet["block"]].kind == "merge"
    assert (
        "where do paths meet?" not in ArchitectureExplorer({"a": plain_net()}, a_picture()).presets
    )


def test_the_shape_is_that_of_the_image_or_given_by_name(networks):
    with torch.device("meta"):
        net = nn.Sequential(nn.Conv2d(3, 8, 11, 4), nn.ReLU())
    assert ArchitectureExplorer({"a": net}).networks["a"]["input"] == [3, 224, 224]
    two = ArchitectureExplorer({"a": net, "b": net}, shape={"a": (3, 227, 227)})
    assert [n["blocks"][0]["shape"] for n in two.networks.values()] == [[8, 55, 55], [8, 54, 54]]
    assert two.arguments == "networks, shape=shape"
    grown = ArchitectureExplorer({"a": plain_net()}, a_picture((3, 40, 20)), shape=(1, 28, 28))
    assert grown.networks["a"]["blocks"][0]["maps"][1:4] == [3, 26, 26]
    assert grown.arguments == "networks, image, shape=shape"


class ByValue(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.conv(x) if x.sum() > 0 else x


def broken():
    net = plain_net()
    nn.init.constant_(net[0].weight, float("nan"))
    return net


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"networks": {}}, "networks must map names to modules"),
        ({"networks": {"a": nn.Sequential()}}, r"networks\['a'\] has no layers"),
        ({"networks": {"a": ByValue()}}, r"networks\['a'\] cannot be traced: .*branch or loop"),
        ({"networks": {"a": broken()}}, "puts out numbers that are not finite in 0"),
        ({"image": a_picture((30, 20))}, r"does not run on one input of shape \(1, 30"),
        ({"image": np.full((28, 28), np.nan)}, "image must be finite; got nan"),
        ({"image": a_picture((28, 28, 3))}, r"image must .* \(C, H, W\) with channels first"),
        ({"image": np.ones(3)}, "image must have shape"),
        ({"shape": (28, 28)}, r"shape must be \(C, H, W\)"),
        ({"shape": {"a": (0, 28, 28)}}, r"shape must be \(C, H, W\).* for 'a'"),
        ({"network": "b"}, r"network must be one of \['a'\]; got 'b'"),
        ({"quantity": "flops"}, "quantity must be one of .*'multiply-adds'.*; got 'flops'"),
        ({"block": 3}, "block must be from 0 to 2 in a; got 3"),
        ({"block": -1}, "block must be from 0 to 2"),
        ({"place": (0.5, 1.2)}, r"place must be two fractions from 0 to 1; got \(0.5, 1.2\)"),
    ],
)  # fmt: skip
def test_errors_say_what_is_allowed(arguments, message):
    start = {"networks": {"a": plain_net()}, "image": a_picture()}
    with pytest.raises(ValueError, match=message):
        ArchitectureExplorer(**start | arguments)
    name, value = next(iter(arguments.items()))
    if name in STATE:
        with pytest.raises(ValueError, match=message):
            setattr(ArchitectureExplorer(**start), name, list(value) if name == "place" else value)


def test_a_network_without_convolution_needs_a_shape():
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(ValueError, match=r"networks\['a'\] has no convolution.*give shape="):
        ArchitectureExplorer({"a": net})
    assert len(ArchitectureExplorer({"a": net}, shape=(1, 4, 4)).blocks()) == 1


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("network", ["small", "large"])
def test_fallback_shows_blocks_bars_and_field(networks, network, quantity, tmp_path):
    last = {"small": 12, "large": 1}[network]
    for block in (0, last):
        widget = ArchitectureExplorer(
            networks, a_picture(), network=network, quantity=quantity, block=block
        )
        figure = widget.picture()
        assert check_axes(figure) == []
        (tmp_path / "a.png").write_bytes(png_bytes(figure))
        assert imread(tmp_path / "a.png")[..., :3].std() > 0.05
    data, metadata = widget._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == data["text/plain"] == widget.description()
    total = sum(p.numel() for p in networks[network].parameters())
    assert (
        f"{network} on 1 × 28 × 28: {last + 1} blocks, {total:,} parameters" in data["text/plain"]
    )
