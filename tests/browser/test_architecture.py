"""ArchitectureExplorer in a browser: a blank page, then JupyterLab."""

import numpy as np
import pytest
import torch
from torch import nn

from course_utils.widgets import ArchitectureExplorer
from course_utils.widgets.core.architecture import QUANTITIES, blocks_of, unit_at
from course_utils.widgets.core.receptive import seen
from tests.browser.widget_page import (
    LABEL,
    SPY,
    all_pixels,
    assert_kernel_prints,
    assert_lab_still_works,
    assert_nothing_left,
    assert_theme_repaints,
    copied,
    count_cells,
    inked,
    painted,
    pixels,
    readout,
    trait,
)

pytestmark = pytest.mark.browser
CHAIN, IMAGE, MAPS = (f"canvas[role=img] >> nth={k}" for k in range(3))
NETWORK, BARS = "select >> nth=0", "select >> nth=1"
STATE = ("network", "quantity", "block", "place")
SEEN = "([rows, size]) => rows.map(([field, unit]) => esm.seenBy(field, unit, size))"
UNITS = "rows => rows.map(([shape, place]) => esm.unitAt(shape, place))"
# Of one network: boxes apart and on the canvas, and the middle of each finds its block.
LAYOUT = """name => {
  const {blocks} = model.get('networks')[name];
  const boxes = esm.layoutBlocks(blocks);
  const wrong = boxes.flatMap((box, k) => {
    const next = boxes[k + 1]?.left ?? 880;
    const fits = box.left >= 0 && box.width > 0 && box.left + box.width < next;
    return fits && esm.blockAt(boxes, box.middle) === k ? [] : [k];
  });
  return {wrong, count: boxes.length, middles: boxes.map(box => box.middle),
    heights: boxes.map(box => box.height), widths: boxes.map(box => box.width)};
}"""


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, 1, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x):
        return torch.relu(x + self.second(torch.relu(self.first(x))))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 10),
    )  # fmt: skip


def residual_net(count, channels=4):
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, 1, 1), *[Residual(channels) for _ in range(count)],
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10),
    )  # fmt: skip


def networks():
    with torch.device("meta"):
        long = residual_net(60, 64)
    return {"LeNet": lenet(), "skips": residual_net(3), "long-183": long}


def a_picture():
    rng = np.random.default_rng(0)
    return np.add.outer(np.linspace(0, 1, 28), np.linspace(0, 2, 28)) + rng.uniform(
        0, 0.5, (28, 28)
    )


def explorer(**state):
    return ArchitectureExplorer(networks(), a_picture(), **state)


def middle_of(page, network, block):
    """Return where the middle of a block lies in the page."""
    x = page.evaluate(LAYOUT, network)["middles"][block]
    box = page.locator(CHAIN).bounding_box()
    return box["x"] + x * box["width"] / 880, box["y"] + 104 * box["width"] / 880


def test_maths_equal_the_core(mount):
    page = mount(explorer())
    rng = np.random.default_rng(1)
    model = nn.Sequential(
        nn.Conv2d(1, 2, (3, 5), (2, 1), (1, 0), (1, 2)), nn.MaxPool2d(3, 2, 1), nn.Flatten(),
        nn.Linear(2 * 8 * 10, 3),
    )  # fmt: skip
    _, blocks = blocks_of(model, (1, 30, 28))
    units, rows, expected = [], [], []
    for block in blocks:
        for place in [(0, 0), (1, 1), (0.5, 0.5), *rng.uniform(size=(10, 2)).tolist()]:
            unit = unit_at(block.shape, place)
            units.append([list(block.shape), list(place)])
            field = block.field
            rows.append([[*field.low, *field.high, *field.jump], list(unit)])
            expected.append(seen(field, unit, (30, 28)))
    assert page.evaluate(UNITS, units) == [row[1] for row in rows]
    np.testing.assert_allclose(page.evaluate(SEEN, [rows, [30, 28]]), expected, rtol=1e-9)
    short = page.evaluate("v => v.map(esm.short)", [0, 850, 5554, 61706, 138357544, 4.09e9, 2e13])
    assert short == ["0", "850", "5554", "61.7 k", "138 M", "4.09 G", "20 T"]


def test_blocks_keep_apart_and_follow_their_sizes(mount):
    page = mount(explorer())
    for name, count in (("LeNet", 6), ("skips", 12), ("long-183", 183)):
        got = page.evaluate(LAYOUT, name)
        assert (got["wrong"], got["count"]) == ([], count)
    lenet = page.evaluate(LAYOUT, "LeNet")
    high, wide = lenet["heights"], lenet["widths"]
    assert high[1] / high[0] == pytest.approx(0.5**0.5)
    assert wide[4] / wide[2] == pytest.approx((3 + 120**0.5) / (3 + 4))


def test_presets_and_reset(mount):
    page = mount(explorer(network="skips", block=3))
    first, start = all_pixels(page), readout(page)
    seen_texts = set()
    for name, preset in trait(page, "presets").items():
        page.click(f"[data-preset='{name}']")
        assert {k: trait(page, k) for k in STATE} == {k: preset[k] for k in STATE}
        assert page.input_value(NETWORK) == preset["network"]
        assert page.input_value(BARS) == preset["quantity"]
        seen_texts.add(readout(page))
        assert all_pixels(page) != first
    assert len(seen_texts) >= 4
    page.click(".dlc-reset")
    assert (readout(page), all_pixels(page)) == (start, first)


def test_readout_says_what_the_block_is(mount):
    page = mount(explorer(block=2))
    assert readout(page) == (
        "LeNet, block 2 of 6, module 3, Conv2d 5×5, Tanh. Output 16 × 10 × 10, 1,600 values. 2,416 "
        "parameters (4.7 % of 51.9 k), 240,000 multiply-adds (59 % of 407 k). A unit sees 14 × 14 "
        "of 28 × 28 pixels, jump 2; the chosen one is at row 5, column 5."
    )
    page.select_option(NETWORK, "skips")
    page.evaluate("model.set('block', 3)")
    assert "reads block 0. Output 4 × 28 × 28" in readout(page)
    page.evaluate("model.set('block', 11)")
    assert "Output 10, 10 values" in readout(page)
    assert "jump" not in readout(page)


def test_controls_and_copied_code(mount):
    given = {"networks": networks(), "image": a_picture()}
    page = mount(ArchitectureExplorer(**given))

    def same():
        again = eval(copied(page), {"ArchitectureExplorer": ArchitectureExplorer, **given})
        assert {k: trait(page, k) for k in STATE} == {k: getattr(again, k) for k in STATE}
        return again

    same()
    for quantity in QUANTITIES[1:]:
        before = pixels(page)
        page.select_option(BARS, quantity)
        assert pixels(page) != before
        assert trait(page, "quantity") == quantity
    page.evaluate("model.set('block', 3)")
    page.select_option(NETWORK, "skips")
    assert trait(page, "block") == round(3 / 5 * 11)
    page.focus(CHAIN)
    page.keyboard.press("Shift+ArrowRight")
    again = same()
    assert (again.network, again.quantity, again.block) == ("skips", "receptive field", 7)
    assert again.place == [0.5536, 0.5179]
    assert page.evaluate("saved") > 3


def test_keys_choose_block_network_quantity_and_unit(mount):
    page = mount(explorer())
    for canvas in (CHAIN, IMAGE, MAPS):
        page.focus(canvas)
        page.keyboard.press("Home")
        for key, block in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 5),
                           ("ArrowRight", 5), ("Home", 0), ("ArrowLeft", 0)]:  # fmt: skip
            page.keyboard.press(key)
            assert trait(page, "block") == block, key
            assert f"block {block} of 6" in readout(page)
        assert "block 0 of 6" in page.evaluate(LABEL)
    for name in ("skips", "long-183", "LeNet"):
        page.keyboard.press("ArrowDown")
        assert trait(page, "network") == name
    page.keyboard.press("ArrowUp")
    assert trait(page, "network") == "long-183"
    page.keyboard.press("ArrowDown")
    for quantity in (*QUANTITIES[1:], QUANTITIES[0]):
        page.keyboard.press("Space")
        assert trait(page, "quantity") == quantity
    for key, words in [("Left", "row 14, column 13"), ("Up", "row 13, column 13"),
                       ("Right", "row 13, column 14"), ("Down", "row 14, column 14")]:  # fmt: skip
        page.keyboard.press(f"Shift+Arrow{key}")
        assert words in readout(page)


def test_pointer_chooses_previews_and_drags(mount):
    page = mount(explorer())
    start = readout(page)
    page.mouse.move(*middle_of(page, "LeNet", 4))
    assert "block 4 of 6" in readout(page)
    assert trait(page, "block") == 0
    page.mouse.move(*middle_of(page, "LeNet", 4)[:1], 850)
    assert readout(page) == start
    page.mouse.move(*middle_of(page, "LeNet", 3))
    page.mouse.down()
    assert trait(page, "block") == 3
    page.mouse.move(*middle_of(page, "LeNet", 1), steps=5)
    assert trait(page, "block") == 1
    page.mouse.up()
    page.mouse.move(10, 10)
    assert "block 1 of 6" in readout(page)
    box, before = page.locator(IMAGE).bounding_box(), all_pixels(page)
    page.mouse.move(box["x"] + 3, box["y"] + 3)
    page.mouse.down()
    assert trait(page, "place")[0] < 0.02
    page.mouse.move(box["x"] + 700, box["y"] + 120, steps=4)
    assert trait(page, "place")[0] == 1
    page.mouse.up()
    assert "column 13" in readout(page)
    assert all(a != b for a, b in zip(before[1:], all_pixels(page)[1:], strict=True))


def test_python_moves_the_view(mount):
    page = mount(explorer(block=5))
    seen_pixels = all_pixels(page)
    page.evaluate("model.set('network', 'long-183')")
    assert "long-183, block 5 of 183" in readout(page)
    assert page.input_value(NETWORK) == "long-183"
    page.evaluate("model.set('block', 180)")
    assert "block 180 of 183" in readout(page)
    assert all_pixels(page) != seen_pixels
    page.evaluate("model.set('network', 'LeNet')")  # has no block 180
    assert "LeNet, block 5 of 6" in readout(page)
    page.evaluate("model.set('quantity', 'activations')")
    assert page.input_value(BARS) == "activations"
    page.evaluate("model.set('place', [0, 1])")
    page.evaluate("model.set('block', 0)")
    assert "row 27, column 0" in readout(page)
    assert page.is_hidden(".dlc-trouble")


def test_maps_show_the_networks_that_have_values(mount):
    page = mount(explorer())
    assert "6 feature maps" in page.get_attribute(MAPS, "aria-label")
    with_maps = pixels(page, ".dlc-stage > canvas:nth-of-type(2)")
    page.select_option(NETWORK, "long-183")
    assert "No feature maps." in page.get_attribute(MAPS, "aria-label")
    assert pixels(page, ".dlc-stage > canvas:nth-of-type(2)") != with_maps
    assert page.is_hidden(".dlc-trouble")


def test_without_an_image_and_with_one_block(mount):
    page = mount(ArchitectureExplorer({"one": nn.Conv2d(3, 2, 5)}))
    assert "block 0 of 1" in readout(page)
    assert "5 × 5 of 224 × 224" in readout(page)
    for key in ("ArrowRight", "ArrowDown", "End", "Shift+ArrowUp"):
        page.focus(CHAIN)
        page.keyboard.press(key)
    assert page.is_hidden(".dlc-trouble")
    assert inked(page, 1, "#1a1a1a") > 20  # the frame of the field


def test_a_field_that_is_not_a_number_is_shown_as_such(mount):
    page = mount(explorer())
    page.evaluate(
        """() => { const nets = structuredClone(model.get('networks'));
        nets.LeNet.blocks[0].field[2] = NaN; nets.LeNet.blocks[0].amounts[0] = NaN;
        model.set('networks', nets); }"""
    )
    assert "NaN parameters" in readout(page)
    assert "sees NaN × 5" in readout(page)
    assert page.is_hidden(".dlc-trouble")


def test_themes_and_a_narrow_page(mount):
    page = mount(explorer())
    assert_theme_repaints(page)
    page.evaluate("document.querySelector('#widget').style.width = '320px'")
    for part in (".dlc-scroll", IMAGE, MAPS):
        assert page.locator(part).bounding_box()["width"] <= 320
    page.mouse.click(*middle_of(page, "LeNet", 4))
    assert trait(page, "block") == 4


def test_cleanup_leaves_nothing(mount, page):
    page.evaluate(SPY)
    mount(explorer())
    page.evaluate("model.set('network', 'skips')")
    page.evaluate("model.set('quantity', 'activations')")
    assert_nothing_left(page)
    page.evaluate("model.set('network', 'LeNet')")
    painted(page)


def test_in_jupyterlab(open_notebook):
    page = open_notebook(
        "architecture",
        [
            "import torch\nfrom torch import nn\n"
            "from course_utils.widgets import ArchitectureExplorer\n"
            "net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), "
            "nn.Conv2d(4, 6, 3))\n"
            "generator = torch.Generator().manual_seed(0)\n"
            "w = ArchitectureExplorer({'a': net, 'b': net[:1]}, torch.rand(12, 12, "
            "generator=generator))\nw",
            "print('at', w.network, w.block, w.quantity, w.readout[:20])",
        ],
    )
    page.wait_for_selector(CHAIN)
    assert page.is_hidden(".dlc-trouble")
    cells = count_cells(page)
    page.focus(CHAIN)
    before = pixels(page)
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "x"):
        page.keyboard.press(key)
    page.wait_for_function(
        "document.querySelector('.dlc-readout').textContent.includes('a, block 1 of 3')"
    )
    assert pixels(page) != before
    page.keyboard.press("ArrowDown")
    page.wait_for_function("document.querySelector('.dlc-controls select').value === 'b'")
    page.click("[data-preset='where is the work?']")
    page.wait_for_function("document.querySelector('.dlc-controls select').value === 'a'")
    assert_lab_still_works(page, cells)
    assert_kernel_prints(page, "at a 0 multiply-adds a, block 0 of 3")
