// ConvolutionStepper: a kernel steps over an image, patch, products and outputs linked.

import { middleOf, outputSize, outputsOf, patchAt, windowNear } from "./correlate.js";
import { button, f32, h, makeCanvas, pointerAt, say, slider } from "./dom.js";
import { cellsIn, frameCells, inkOn, makeCellPainter, signedColours } from "./pixels.js";
import { makePlayer } from "./player.js";
import { readTheme } from "./theme.js";
import { wireShell } from "./wire.js";

export { middleOf, outputsOf, windowNear };

const KEEP = ["source", "kernel", "stride", "padding", "dilation", "operation", "step", "whole",
  "weight"];
const [WIDE, HIGH] = [284, 324];
const BOX = { x: 2, y: 24, width: WIDE - 4, height: HIGH - 48 };
const HINT = "The player fills the feature map output by output; a click on the image or on the " +
  "map moves the window and shows the whole map, pointing looks only. Arrows step, up and down " +
  "move by a row. On the kernel arrows choose a weight, + and − change it by 0.5, Enter or a " +
  "digit types it. Warm is positive, blue with a dash negative. Rows and columns count from 0.";

function number(x, digits = 3) {
  if (Math.abs(x) === Infinity) return x < 0 ? "−∞" : "∞";
  return say(Math.abs(x) < 1e-12 ? 0 : x, digits).replace("-", "−");
}

/** The Python call that shows `state` again; `image` is the array it was made with. */
export function stepperCall(state, given, kernels) {
  const flag = (on) => (on ? "True" : "False");
  const name = Object.keys(kernels).find((k) => String(kernels[k]) === String(state.kernel) &&
    kernels[k].length === state.kernel.length);
  const rows = state.kernel.map((row) => `[${row.join(", ")}]`);
  const image = state.source === "lecture" ? '"lecture"' : given ? "image" : '"camera"';
  const parts = [image, name ? `"${name}"` : `[${rows.join(", ")}]`];
  for (const key of ["stride", "padding", "dilation"]) parts.push(`${key}=${state[key]}`);
  parts.push(`operation="${state.operation}"`, `step=${state.step}`, `whole=${flag(state.whole)}`,
    `weight=(${state.weight.join(", ")})`);
  return `ConvolutionStepper(${parts.join(", ")})`;
}

/** The largest size among finite values, 0 if there is none. */
function largestOf(values) {
  let most = 0;
  for (const v of values) if (Math.abs(v) > most && v !== -Infinity) most = Math.abs(v);
  return most;
}

/** Write a number of a cell in its middle where it fits, else a dash below 0. */
function paintNumbers(ctx, cells, values, colourOf) {
  const { cell, cols, left, top } = cells;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.font = `${cell < 36 ? 10 : 13}px sans-serif`;
  const most = largestOf(values);
  for (let k = 0; k < values.length; k++) {
    // Where no number fits, a dash marks what is below 0.
    if (values[k] === undefined || (cell < 24 && !(values[k] < -0.02 * most && cell >= 6))) continue;
    const [x, y] = [left + ((k % cols) + 0.5) * cell, top + (Math.floor(k / cols) + 0.5) * cell];
    ctx.fillStyle = inkOn(colourOf(k) ?? [0, 0, 0]);
    // Decimals rather than digits: what lies beside each other is compared.
    if (cell >= 24) ctx.fillText(number(+values[k].toFixed(cell < 44 ? 1 : 2)), x, y + 1);
    else ctx.fillRect(x - 1.5, y - 0.5, 3, 1);
  }
}

function writeLine(ctx, text, y, theme, bold = false) {
  ctx.font = `${bold ? "bold 14px" : "12px"} sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  ctx.fillStyle = theme.ink;
  ctx.fillText(text, WIDE / 2, y);
}

function paintImage({ ctx }, paint, scene, theme) {
  const { image, shape, taps, now, at, cells } = scene;
  const [H, W] = shape;
  const p = now.padding;
  const inner = (k) => {
    const [r, c] = [Math.floor(k / cells.cols) - p, (k % cells.cols) - p];
    return r < 0 || c < 0 || r >= H || c >= W ? undefined : image[r * W + c];
  };
  const grey = (k) => {
    const v = inner(k);
    if (v === undefined) return theme.dark ? [60, 60, 66] : [222, 222, 228];
    return Number.isFinite(v) ? new Array(3).fill(Math.round(255 * v)) : null;
  };
  ctx.clearRect(0, 0, WIDE, HIGH);
  paint(ctx, cells, grey);
  if (cells.cell >= 24) {
    const numbers = Array.from({ length: cells.rows * cells.cols }, (_, k) =>
      inner(k) ?? (now.operation === "max" ? undefined : 0));
    paintNumbers(ctx, cells, numbers, grey);
  }
  ctx.strokeStyle = theme.muted;
  ctx.lineWidth = 1;
  ctx.setLineDash(p ? [4, 3] : []);
  ctx.strokeRect(cells.left + p * cells.cell, cells.top + p * cells.cell, W * cells.cell,
    H * cells.cell);
  ctx.setLineDash([]);
  const around = p ? `, padding ${p}${now.operation === "max" ? " (never the largest)" : ""}` : "";
  writeLine(ctx, `image ${H} × ${W}${around}`, 11, theme);
  if (!at) return;
  const look = { ink: theme.series[1], halo: theme.paper };
  const [top, left] = at.map((k) => k * now.stride);
  const reach = taps.map((k) => now.dilation * (k - 1) + 1);
  if (now.dilation > 1)
    for (let a = 0; a < taps[0]; a++)
      for (let b = 0; b < taps[1]; b++)
        frameCells(ctx, cells, [top + a * now.dilation, left + b * now.dilation], [1, 1],
          { ...look, width: 1.5 });
  else frameCells(ctx, cells, [top, left], reach, look);
  if (now.operation === "sum")
    frameCells(ctx, cells, [top + now.weight[0] * now.dilation, left + now.weight[1] *
      now.dilation], [1, 1], { ink: theme.ink, halo: theme.paper, width: 1.5 });
  const [rows, columns] = [top, left].map((k, n) =>
    `${number(k - p)} to ${number(k - p + reach[n] - 1)}`);
  writeLine(ctx, `window over rows ${rows}, columns ${columns}`, HIGH - 11, theme);
}

function paintProducts({ ctx }, paint, scene, theme) {
  const { taps, now, at, patch, weights, total, grid } = scene;
  ctx.clearRect(0, 0, WIDE, HIGH);
  const adds = now.operation === "sum";
  const pixels = patch ?? weights.map(() => 0);
  const products = pixels.map((v, k) => (adds ? v * weights[k] : v));
  const most = largestOf(products) || 1;
  const colours = adds ? signedColours(most, theme, 0.55) : signedColours(1, theme, 0.4);
  const colour = (k) => colours(products[k]);
  paint(ctx, grid, colour);
  const { cell, left, top, cols } = grid;
  const lines = !adds ? 1 : cell >= 50 ? 3 : 2;
  const size = Math.max(9, Math.min(14, Math.floor(cell / 4.6)));
  const digits = cell < 64 ? 2 : 3;
  const best = adds ? -1 : products.indexOf(total);
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  products.forEach((product, k) => {
    const [x, y] = [left + ((k % cols) + 0.5) * cell, top + (Math.floor(k / cols) + 0.5) * cell];
    const short = (v) => number(cell < 64 ? +v.toFixed(2) : v, digits);
    const blank = lines === 3 ? " " : "";
    const words = [short(pixels[k]), `×${blank}${short(weights[k])}`, `=${blank}${short(product)}`]
      .slice(...(lines === 1 ? [0, 1] : [3 - lines]));
    ctx.fillStyle = inkOn(colour(k) ?? (theme.dark ? [17, 17, 17] : [255, 255, 255]));
    words.forEach((word, n) => {
      ctx.font = `${lines > 1 && n === lines - 2 ? "bold " : ""}${size}px sans-serif`;
      ctx.fillText(word, x, y + (n - (lines - 1) / 2) * size * 1.3);
    });
    ctx.strokeStyle = theme.grid;
    ctx.lineWidth = 1;
    ctx.strokeRect(x - cell / 2, y - cell / 2, cell, cell);
  });
  const look = { ink: theme.ink, halo: theme.paper, width: 2.5 };
  if (adds) frameCells(ctx, grid, now.weight, [1, 1], look);
  else if (best >= 0) frameCells(ctx, grid, [Math.floor(best / cols), best % cols], [1, 1], look);
  const window = `${taps[0]} × ${taps[1]}`;
  writeLine(ctx, adds ? `pixel × weight, ${window}` : `pixels under the window, ${window}`, 11,
    theme);
  if (at) writeLine(ctx, `${adds ? "sum" : "largest"} ${number(total)}`, grid.bottom + 14, theme,
    true);
}

function paintMap({ ctx }, paint, scene, theme) {
  const { found, at, index, limit, most, field } = scene;
  ctx.clearRect(0, 0, WIDE, HIGH);
  if (!at) {
    writeLine(ctx, "no output: the window is too large", HIGH / 2, theme);
    return;
  }
  const shown = Array.from(found.values, (v, k) => (k <= limit || k === index ? v : undefined));
  const colours = signedColours(most, theme);
  const colour = (k) => (shown[k] === undefined ? null : colours(shown[k]));
  paint(ctx, field, colour);
  paintNumbers(ctx, field, shown, colour);
  ctx.strokeStyle = theme.muted;
  ctx.lineWidth = 1;
  ctx.strokeRect(field.left, field.top, field.right - field.left, field.bottom - field.top);
  frameCells(ctx, field, at, [1, 1], { ink: theme.series[1], halo: theme.paper });
  writeLine(ctx, `feature map ${found.rows} × ${found.cols}`, 11, theme);
  writeLine(ctx, `full colour at ±${number(most)}`, HIGH - 11, theme);
}

function sizeText(size, taps, { stride, padding, dilation }) {
  return `⌊(${size} + 2·${padding} − ${dilation}·(${taps} − 1) − 1) / ${stride}⌋ + 1 = ` +
    `${outputSize(size, taps, { stride, padding, dilation })}`;
}

/** The read-out: the output on show, the range of all, the size and its formula. */
function readoutOf({ shape, taps, now, at, total, outside, found }) {
  const [high, wide] = shape.map((size, k) => sizeText(size, taps[k], now));
  const size = high === wide ? `Output size ${high}.` : `Output height ${high}, width ${wide}.`;
  if (!at) return `No output: the window is larger than the padded image. ${size}`;
  const what = now.operation === "sum" ? "patch · kernel" : "largest pixel of the patch";
  const under = outside ? ` (${outside} of ${taps[0] * taps[1]} pixels are padding)` : "";
  const [low, top] = [(a, v) => (v < a ? v : a), (a, v) => (v > a ? v : a)]
    .map((f) => number(found.values.reduce(f)));
  return `Output row ${at[0]}, column ${at[1]} of ${found.rows} × ${found.cols}: ${what} = ` +
    `${number(total, 4)}${under}. All outputs: ${low} to ${top}. ${size}`;
}

function render({ model, el }) {
  let peek = -1;
  const { shell, state, change } = wireShell({
    model, el, keep: KEEP, follow: ["pixels"], before: () => player.pause(),
    code: () => stepperCall({ ...state(), step: sceneOf().index }, model.get("given"),
      model.get("kernels")),
    draw: () => draw(),
  });
  const limits = model.get("limits");
  const sliders = Object.fromEntries(["stride", "padding", "dilation"].map((name) => {
    const [min, max] = limits[name];
    return [name, slider({
      label: name, min, max, step: 1, value: min, onInput: (v) => reshape({ [name]: v }),
    })];
  }));
  const player = makePlayer({
    length: 1,
    label: "output",
    onFrame(index) {
      const scene = sceneOf();
      if (index === scene.index) return;
      peek = -1;
      change({ step: index, whole: index === scene.found.values.length - 1 });
    },
  });
  const faces = ["image", "kernel", "feature map"].map((name) => makeCanvas(WIDE, HIGH, name));
  const [picture, products, map] = faces;
  const paint = makeCellPainter();
  const field = h("input", { type: "number", step: 0.5, min: -99, max: 99, class: "dlc-number",
    "aria-label": "weight in hand" });
  const tools = h("div", { class: "dlc-bar" }, h("label", {}, "weight ", field),
    button("flip sign", () => turn((row) => row.map((w) => (w ? -w : 0)))),
    button("transpose", () => reshape({ kernel: transpose(state().kernel),
      weight: [...state().weight].reverse() })),
    button("rotate 180°", () => turn((row) => [...row].reverse(), true),
      { title: "from cross-correlation to convolution with the same kernel, and back" }));
  const middle = h("div", {}, products.canvas, tools);
  for (const part of [picture.canvas, middle, map.canvas])
    Object.assign(part.style, { flex: "1 1 210px", maxWidth: `${WIDE}px`, minWidth: "0" });
  shell.controls.append(...Object.values(sliders).map((s) => s.el), player.el);
  shell.stage.append(picture.canvas, middle, map.canvas, h("p", { class: "dlc-muted" }, HINT));

  const transpose = (kernel) => kernel[0].map((_, b) => kernel.map((row) => row[b]));
  function turn(f, upsideDown = false) {
    const rows = state().kernel.map(f);
    change({ kernel: upsideDown ? rows.reverse() : rows });
  }
  function setWeight(value) {
    const now = sceneOf().now;
    const held = Math.max(-99, Math.min(99, value));
    if (Number.isFinite(held)) change({ kernel: now.kernel.map((row, a) => row.map((w, b) =>
      (a === now.weight[0] && b === now.weight[1] ? held : w))) });
  }

  /** All that is drawn, from the traits as they are now. */
  function sceneOf(pointed = -1) {
    const now = state();
    const lecture = now.source === "lecture";
    const image = f32(model.get(lecture ? "lecture" : "pixels"));
    const shape = lecture ? [6, 6] : model.get("shape");
    const taps = [now.kernel.length, now.kernel[0].length];
    now.weight = now.weight.map((k, n) => Math.min(k, taps[n] - 1));
    const found = outputsOf(image, shape, now.kernel, now);
    const count = found.values.length;
    const step = Math.min(now.step, Math.max(0, count - 1));
    const index = pointed >= 0 && pointed < count ? pointed : step;
    const at = count ? [Math.floor(index / found.cols), index % found.cols] : null;
    return { now, image, shape, taps, found, index, step, at,
      limit: now.whole ? count : step,
      weights: now.kernel.flat(),
      patch: at && patchAt(image, shape, taps, now, ...at),
      total: at ? found.values[index] : NaN,
      most: largestOf(found.values) || 1,
      outside: at ? outsideOf(shape, taps, now, at) : 0,
      cells: cellsIn(shape[0] + 2 * now.padding, shape[1] + 2 * now.padding, BOX),
      grid: cellsIn(...taps, BOX),
      field: cellsIn(found.rows, found.cols, BOX) };
  }
  /** How many pixels under the window are padding. */
  function outsideOf(shape, taps, now, at) {
    const nowhere = new Float32Array(shape[0] * shape[1]).fill(1);
    return patchAt(nowhere, shape, taps, now, ...at).filter((v) => v !== 1).length;
  }
  /** Change the window's form; it stays as near as it can to where it was. */
  function reshape(values) {
    const { now, shape, taps, at, step } = sceneOf();
    const next = { ...now, ...values };
    const after = [next.kernel.length, next.kernel[0].length];
    const size = shape.map((n, k) => outputSize(n, after[k], next));
    const moved = at && size[0] && size[1]
      ? windowNear(middleOf(at, taps, now), size, after, next) : step;
    player.pause();
    change({ ...values, step: moved });
  }

  const draw = shell.guard(() => {
    const scene = sceneOf(peek);
    const { now, found, step } = scene;
    const theme = readTheme(el);
    for (const [name, control] of Object.entries(sliders)) control.set(now[name]);
    player.setLength(Math.max(1, found.values.length));
    if (player.index !== step) player.show(step);
    tools.hidden = now.operation === "max";
    const held = now.kernel[now.weight[0]][now.weight[1]];
    const written = String(+held.toPrecision(4));
    if (+field.value !== +written) field.value = written;
    paintImage(picture, paint, scene, theme);
    paintProducts(products, paint, scene, theme);
    paintMap(map, paint, scene, theme);
    const text = readoutOf(scene);
    shell.readout(text);
    const place = `row ${now.weight[0]}, column ${now.weight[1]}`;
    const words = [`Image of ${scene.shape.join(" by ")} pixels with the window.`,
      now.operation === "max" ? "The pixels under the window."
        : `The kernel; the weight in hand, ${place}, is ${number(held)}.`,
      "The feature map."];
    faces.forEach(({ canvas }, k) => canvas.setAttribute("aria-label", `${words[k]} ${text}`));
  });

  const isPlain = (event) => !event.ctrlKey && !event.metaKey && !event.altKey;
  const take = (event) => {
    event.preventDefault();
    event.stopPropagation();
  };
  function onPlaceKey(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || !isPlain(event)) return player.handleKey(event);
    const { step, found } = sceneOf();
    const next = step + by * found.cols;
    player.pause();
    if (next >= 0 && next < found.values.length) player.show(next);
    return take(event);
  }
  function onKernelKey(event) {
    if (event.key === " " || !isPlain(event)) return player.handleKey(event);
    const { now, taps } = sceneOf();
    if (now.operation === "max") return undefined;
    const by = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1],
      Home: [-9, -9], End: [9, 9] }[event.key];
    const more = { "+": 0.5, "=": 0.5, "-": -0.5 }[event.key];
    if (by) change({ weight: now.weight.map((k, n) =>
      Math.max(0, Math.min(taps[n] - 1, k + by[n]))) });
    else if (more) setWeight(now.kernel[now.weight[0]][now.weight[1]] + more);
    else if (event.key === "Enter" || /^[\d.]$/.test(event.key)) {
      field.focus();
      field.select();
      // A digit is then typed into the field.
      return event.key === "Enter" ? take(event) : undefined;
    } else return undefined;
    return take(event);
  }
  /** The output that belongs to a place in the image or in the map. */
  function outputAt(face, event) {
    const { now, cells, field: mapped, found, taps } = sceneOf();
    if (!found.values.length) return -1;
    const [i, j] = (face === map ? mapped : cells).at(pointerAt(event, face));
    if (face === map) return i * found.cols + j;
    return windowNear([i - now.padding, j - now.padding], [found.rows, found.cols], taps, now);
  }
  const look = (index) => {
    if (index === peek) return;
    peek = index;
    change({});
  };
  function choosePlace(face, event) {
    const index = outputAt(face, event);
    if (face.canvas.hasPointerCapture(event.pointerId)) {
      peek = -1;
      const now = state();
      if (index >= 0 && (index !== now.step || !now.whole)) change({ step: index, whole: true });
    } else if (state().whole && !player.playing) look(index);
  }
  function chooseWeight(event) {
    const { grid, now } = sceneOf();
    const weight = grid.at(pointerAt(event, products));
    if (now.operation === "sum" && String(weight) !== String(now.weight)) change({ weight });
  }
  for (const face of [picture, map]) {
    const { canvas } = face;
    canvas.addEventListener("pointerdown", shell.guard((event) => {
      player.pause();
      canvas.setPointerCapture(event.pointerId);
      choosePlace(face, event);
    }));
    canvas.addEventListener("pointermove", shell.guard((event) => choosePlace(face, event)));
    canvas.addEventListener("pointerleave", shell.guard(() => look(-1)));
    canvas.addEventListener("keydown", shell.guard(onPlaceKey));
  }
  products.canvas.addEventListener("pointerdown", shell.guard(chooseWeight));
  products.canvas.addEventListener("keydown", shell.guard(onKernelKey));
  field.addEventListener("input", shell.guard(() => field.value !== "" && setWeight(+field.value)));

  shell.onCleanup(player.destroy);
  draw();
  return shell.cleanup;
}

export default { render };
