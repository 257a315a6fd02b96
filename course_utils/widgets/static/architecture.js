// ArchitectureExplorer: the layers of networks as blocks, what they cost and what they see.

import { blockAt, CHAIN, layoutBlocks, paintChain, short } from "./blocks.js";
import { h, makeCanvas, pointerAt, say, select } from "./dom.js";
import { label } from "./label.js";
import { readTheme } from "./theme.js";
import { wireShell } from "./wire.js";

export { blockAt, layoutBlocks, short };

const KEEP = ["network", "quantity", "block", "place"];
const IMAGE = [270, 268];
const MAPS = [590, 268];
const HINT = "Click a block or press left and right; hover to look ahead. Up and down change the " +
  "network, space the quantity. Drag on the image, or shift and an arrow, moves the unit. A " +
  "block's height is the root of its map's height, its width the root of its channels (at most " +
  "1,024); arcs are paths from other blocks than the one before.";

const totalOf = (blocks, k) => blocks.reduce((sum, { amounts }) => sum + amounts[k], 0);
const signed = (x) => say(x, 3).replace("-", "−");
const whole = (x) => x.toLocaleString("en-US");
const times = (shape) => shape.join(" × ");

/** Row and column of the unit at `place`, fractions of a map's width and height. */
export function unitAt(shape, [u, v]) {
  if (shape.length !== 3) return [0, 0];
  const at = (n, t) => Math.min(n - 1, Math.floor(t * n));
  return [at(shape[1], v), at(shape[2], u)];
}

/** Top, left, bottom, right of what a unit sees inside an image of this height and width. */
export function seenBy([y0, x0, y1, x1, jumpY, jumpX], [i, j], [height, width]) {
  return [Math.max(0, y0 + i * jumpY), Math.max(0, x0 + j * jumpX),
    Math.min(height, y1 + i * jumpY + 1), Math.min(width, x1 + j * jumpX + 1)];
}

/** The Python call that shows `state` again. */
export function architectureCall(given, { network, quantity, block, place }) {
  return `ArchitectureExplorer(${given}, network=${JSON.stringify(network)}, ` +
    `quantity="${quantity}", block=${block}, place=(${place.join(", ")}))`;
}

/** A canvas that holds bytes as grey or coloured pixels. */
function asCanvas(bytes, height, width, channels) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let k = 0; k < width * height; k++) {
    for (let c = 0; c < 3; c++) image.data[4 * k + c] = bytes[k * channels + (c % channels)];
    image.data[4 * k + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

const bytesOf = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function render({ model, el }) {
  const quantities = model.get("quantities");
  const names = () => Object.keys(model.get("networks"));
  const { shell, state, change } = wireShell({
    model, el, keep: KEEP, follow: ["networks", "maps"], draw: () => draw(),
    code: (now) => architectureCall(model.get("arguments"), { ...now, block: shown().block }),
  });
  let hovered = -1;
  let photo = null;

  /** The network on show and its chosen block, which a shorter network may not have. */
  function shown() {
    const now = state();
    const net = model.get("networks")[now.network];
    return { ...now, net, block: Math.min(now.block, net.blocks.length - 1) };
  }
  function show(name) {
    const { net, block } = shown();
    const next = model.get("networks")[name].blocks.length;
    // At the same depth of the other network.
    const depth = net.blocks.length > 1 ? block / (net.blocks.length - 1) : 0;
    change({ network: name, block: Math.round(depth * (next - 1)) });
  }
  const asOptions = (list) => list.map((name) => [name, name]);
  const network = select({ label: "network", options: asOptions(names()), value: "",
    onInput: shell.guard(show) });
  const quantity = select({ label: "bars", options: asOptions(quantities), value: "",
    onInput: shell.guard((value) => change({ quantity: value })) });
  shell.controls.append(network.el, quantity.el);

  const chain = makeCanvas(...CHAIN, "");
  const image = makeCanvas(...IMAGE, "");
  const sheet = makeCanvas(...MAPS, "");
  // Blocks may shrink by a quarter to fit the page; beyond that they scroll.
  chain.canvas.style.minWidth = `${0.75 * CHAIN[0]}px`;
  const scroll = h("div", { class: "dlc-scroll" }, chain.canvas);
  shell.stage.append(scroll, image.canvas, sheet.canvas, h("p", { class: "dlc-muted" }, HINT));

  /** Where the input lies on its canvas: [x, y, width, height]. */
  function frameOf([, height, width]) {
    const scale = Math.min((IMAGE[0] - 4) / width, (IMAGE[1] - 30) / height);
    return [2, 2, width * scale, height * scale];
  }
  function paintImage(now, block, unit, theme) {
    const { ctx } = image;
    const [, height, width] = now.net.input;
    const [x, y, w, tall] = frameOf(now.net.input);
    const [top, left, bottom, right] = seenBy(block.field, unit, [height, width]);
    const toX = (v) => x + (v / width) * w;
    const toY = (v) => y + (v / height) * tall;
    const box = [toX(left), toY(top), toX(right) - toX(left), toY(bottom) - toY(top)];
    ctx.clearRect(0, 0, ...IMAGE);
    ctx.imageSmoothingEnabled = photo !== null && photo.width > 64;
    ctx.fillStyle = theme.grid;
    ctx.fillRect(x, y, w, tall);
    if (photo) {
      ctx.globalAlpha = 0.45;
      ctx.drawImage(photo, x, y, w, tall);
      ctx.globalAlpha = 1;
      ctx.save();
      ctx.beginPath();
      ctx.rect(...box);
      ctx.clip();
      ctx.drawImage(photo, x, y, w, tall);
      ctx.restore();
    } else {
      ctx.fillStyle = theme.paper;
      ctx.fillRect(...box);
    }
    for (const [colour, line] of [[theme.paper, 5], [theme.ink, 2]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = line;
      ctx.strokeRect(...box);
    }
    const [rows, columns] = [block.field[2] - block.field[0], block.field[3] - block.field[1]];
    const size = `${say(rows + 1)} × ${say(columns + 1)}`;
    label(ctx, `sees ${size} of ${height} × ${width} pixels`, 2, IMAGE[1] - 12, theme);
  }
  /** What all networks cost, where there are no maps to show. */
  function paintTable(ctx, current, theme) {
    const rows = [["network", "blocks", "parameters", "multiply-adds", "activations"]];
    for (const [name, { blocks }] of Object.entries(model.get("networks")).slice(0, 9))
      rows.push([name, blocks.length, ...[0, 1, 2].map((k) => short(totalOf(blocks, k)))]);
    rows.forEach((row, r) => row.forEach((text, c) => {
      const words = c === 0 && text === current ? "▸ " + text : String(text);
      label(ctx, words, c ? 170 + 105 * c : 10, 44 + 22 * r, theme, c ? "right" : "left");
    }));
  }
  function paintMaps(now, block, unit, theme) {
    const { ctx } = sheet;
    ctx.clearRect(0, 0, ...MAPS);
    if (!block.maps) {
      const none = now.net.meta ? (photo ? "the weights have no values (meta device)" : "no image")
        : "kept for fewer blocks";
      label(ctx, `No feature maps here: ${none}.`, 10, 12, theme);
      paintTable(ctx, now.network, theme);
      return;
    }
    const [offset, count, rows, columns, low, high] = block.maps;
    const bytes = bytesOf(model.get("maps")).subarray(offset, offset + count * rows * columns);
    const all = asCanvas(bytes, count * rows, columns, 1);
    const across = Math.min(count, Math.ceil(Math.sqrt((count * MAPS[0]) / MAPS[1])));
    const down = Math.ceil(count / across);
    const cell = Math.min((MAPS[0] - 8) / across, (MAPS[1] - 26) / down);
    const scale = (cell - 4) / Math.max(rows, columns);
    ctx.imageSmoothingEnabled = false;
    const [i, j] = unit;
    for (let k = 0; k < count; k++) {
      const [x, y] = [4 + (k % across) * cell, 2 + Math.floor(k / across) * cell];
      ctx.drawImage(all, 0, k * rows, columns, rows, x, y, columns * scale, rows * scale);
      ctx.strokeStyle = theme.muted;
      ctx.lineWidth = 1;
      ctx.strokeRect(x, y, columns * scale, rows * scale);
      if (rows * columns === 1) {
        if (cell > 26) label(ctx, String(k), x + 3, y + 9, theme);
        continue;
      }
      const centre = [x + ((j + 0.5) / block.shape[2]) * columns * scale,
        y + ((i + 0.5) / block.shape[1]) * rows * scale];
      for (const [colour, half] of [[theme.paper, 4], [theme.ink, 2.5]]) {
        ctx.fillStyle = colour;
        ctx.fillRect(centre[0] - half, centre[1] - half, 2 * half, 2 * half);
      }
    }
    const what = rows * columns === 1 ? "values" : "maps";
    label(ctx, `${count} of ${whole(block.shape[0])} ${what}; black ${signed(low)}, white ` +
      signed(high), 4, MAPS[1] - 12, theme);
  }
  function write(now, focus, block, unit) {
    const { blocks, input } = now.net;
    const [parameters, products, values] = block.amounts;
    const share = (x, k) => {
      const total = totalOf(blocks, k);
      return `${say((100 * x) / (total || 1), 2)} % of ${short(total)}`;
    };
    const [y0, x0, y1, x1, jump] = block.field;
    const others = block.parents.filter((p) => p !== focus - 1)
      .map((p) => (p < 0 ? "the image" : `block ${p}`)).join(", ");
    const from = others && `; reads ${others}`;
    const place = block.shape.length < 3 ? ""
      : `, jump ${say(jump)}; the chosen one is at row ${unit[0]}, column ${unit[1]}`;
    const path = block.words.split(", ").includes(block.name) ? "" : ` module ${block.name},`;
    const text = `${now.network}, block ${focus} of ${blocks.length},${path} ` +
      `${block.words}${from}. Output ` +
      `${times(block.shape)}, ${whole(values)} values. ${whole(parameters)} parameters ` +
      `(${share(parameters, 0)}), ${whole(products)} multiply-adds (${share(products, 1)}). ` +
      `A unit sees ${say(y1 - y0 + 1)} × ${say(x1 - x0 + 1)} of ${input[1]} × ${input[2]} pixels` +
      `${place}.`;
    shell.readout(text);
    chain.canvas.setAttribute("aria-label", `Blocks of ${now.network}, bars of ${now.quantity}. ${text}`);
    image.canvas.setAttribute("aria-label", `What a unit sees. ${text}`);
    sheet.canvas.setAttribute("aria-label", block.maps
      ? `${block.maps[1]} feature maps, from ${signed(block.maps[4])} to ${signed(block.maps[5])}. ${text}`
      : `No feature maps. ${text}`);
  }
  const boxesOf = (net) => layoutBlocks(net.blocks);
  function paintBlocks(now, focus, theme) {
    const { blocks, input } = now.net;
    const k = quantities.indexOf(now.quantity);
    const numbers = blocks.map((block) => block.amounts[k]);
    const sum = numbers.reduce((a, b) => a + b, 0) || 1;
    const share = k < 3 ? ` (${say((100 * numbers[focus]) / sum, 2)} %)` : " pixels";
    paintChain(chain.ctx, {
      blocks, numbers, focus, boxes: boxesOf(now.net),
      title: `${now.quantity} of block ${focus}: ${short(numbers[focus])}${share}`,
      line: k < 3 ? null : { at: Math.max(...input.slice(1)), words: "width of the image" },
    }, theme);
  }
  const draw = shell.guard(() => {
    const now = shown();
    const theme = readTheme(el);
    network.set(now.network);
    quantity.set(now.quantity);
    const [height, width] = model.get("image_size");
    photo ??= height ? asCanvas(bytesOf(model.get("image")), height, width, 3) : null;
    const focus = hovered >= 0 && hovered < now.net.blocks.length ? hovered : now.block;
    const block = now.net.blocks[focus];
    const unit = unitAt(block.shape, now.place);
    paintBlocks(now, focus, theme);
    paintImage(now, block, unit, theme);
    paintMaps(now, block, unit, theme);
    write(now, focus, block, unit);
  });

  const clamp = (v, top) => Math.max(0, Math.min(top, v));
  function goTo(block) {
    hovered = -1;
    change({ block: clamp(block, shown().net.blocks.length - 1) });
  }
  /** Move the unit by whole units of its map. */
  function moveUnit(across, down) {
    const { net, block, place } = shown();
    const { shape } = net.blocks[block];
    if (shape.length !== 3) return;
    const [row, column] = unitAt(shape, place);
    const middle = (k, by, n) => +((clamp(k + by, n - 1) + 0.5) / n).toPrecision(4);
    change({ place: [middle(column, across, shape[2]), middle(row, down, shape[1])] });
  }
  const cycle = (list, value, by) => list[(list.indexOf(value) + by + list.length) % list.length];
  const onKey = shell.guard((event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const now = shown();
    const act = event.shiftKey ? {
      ArrowLeft: () => moveUnit(-1, 0), ArrowRight: () => moveUnit(1, 0),
      ArrowUp: () => moveUnit(0, -1), ArrowDown: () => moveUnit(0, 1),
    }[event.key] : {
      ArrowLeft: () => goTo(now.block - 1), ArrowRight: () => goTo(now.block + 1),
      Home: () => goTo(0), End: () => goTo(Infinity),
      ArrowUp: () => show(cycle(names(), now.network, -1)),
      ArrowDown: () => show(cycle(names(), now.network, 1)),
      " ": () => change({ quantity: cycle(quantities, now.quantity, 1) }),
    }[event.key];
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  });
  const onChain = shell.guard((event) => {
    const block = blockAt(boxesOf(shown().net), pointerAt(event, chain)[0]);
    if (chain.canvas.hasPointerCapture(event.pointerId)) {
      if (block !== model.get("block") || hovered >= 0) goTo(block);
    } else if (block !== hovered) {
      hovered = block;
      change({});
    }
  });
  const onImage = shell.guard((event) => {
    if (!image.canvas.hasPointerCapture(event.pointerId)) return;
    const [x, y, w, tall] = frameOf(shown().net.input);
    const [px, py] = pointerAt(event, image);
    const place = [(px - x) / w, (py - y) / tall].map((t) => +clamp(t, 1).toPrecision(4));
    change({ place });
  });
  for (const [{ canvas }, move] of [[chain, onChain], [image, onImage]]) {
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    canvas.addEventListener("pointermove", move);
  }
  chain.canvas.addEventListener("pointerleave", () => {
    hovered = -1;
    change({});
  });
  for (const { canvas } of [chain, image, sheet]) canvas.addEventListener("keydown", onKey);
  draw();
  return shell.cleanup;
}

export default { render };
