// NormalizationCube: a batch of feature maps, and which values are normalised together.

import { drawAxes, drawMarker, makeScale } from "./axes.js";
import { checkbox, f32, h, makeCanvas, pointerAt, say, select, slider } from "./dom.js";
import { parseHex } from "./hex.js";
import { label } from "./label.js";
import { drawStroke } from "./strokes.js";
import { readTheme } from "./theme.js";
import { wireShell } from "./wire.js";

const KEEP = ["norm", "groups", "cell", "alone"];
const NORMS = ["batch", "layer", "instance", "group"];
const SIZE = [560, 350];
const HISTOGRAM = [300, 350];
const BINS = 20;
const HINT = "Click a value, or move with the keys: left and right for the image, up and down for " +
  "the place, shift and left or right for the channel, space for the next normalisation. Lit " +
  "values are framed on yellow; warm is positive, blue with a dash is negative.";

function number(x, digits = 3) {
  return say(x, digits).replace("-", "−");
}

/** 1 for each value (image, channel, place, row by row) that shares the statistics of `cell`. */
export function membersOf([N, C, L], norm, groups, [n, c], alone = false) {
  const lit = new Uint8Array(N * C * L);
  const group = (k) => Math.floor(k / (C / groups));
  const rule = {
    batch: (i, k) => k === c && (!alone || i === n),
    layer: (i) => i === n,
    instance: (i, k) => i === n && k === c,
    group: (i, k) => i === n && group(k) === group(c),
  }[norm];
  for (let i = 0, o = 0; i < N; i++)
    for (let k = 0; k < C; k++)
      for (let l = 0; l < L; l++, o++) lit[o] = rule(i, k) ? 1 : 0;
  return lit;
}

/** {lit, numbers, mean, std, before, after, kept}: what the value at `cell` is normalised with. */
export function shareOf(values, shape, { norm, groups, cell, alone }, eps) {
  const [N, C, L] = shape;
  const lit = membersOf(shape, norm, groups, cell, alone);
  const numbers = Array.from(values).filter((_, o) => lit[o]);
  const mean = numbers.reduce((sum, v) => sum + v, 0) / numbers.length;
  const std = Math.sqrt(numbers.reduce((sum, v) => sum + (v - mean) ** 2, 0) / numbers.length);
  const before = values[(cell[0] * C + cell[1]) * L + cell[2]];
  const images = alone ? 1 : N;
  const kept = { batch: C, layer: images, instance: images * C, group: images * groups }[norm];
  const scale = Math.sqrt(std ** 2 + eps);
  return { lit, numbers, mean, std, before, after: (before - mean) / scale, kept, scale };
}

/** Where the cells lie: sheets side by side, channels receding, places downwards. */
export function layoutOf([N, C, L], width, height) {
  const [left, top, bottom] = [58, 14, 40];
  const pitch = Math.min((width - left - 4) / N, 240);
  const dx = Math.min((pitch - (N > 1 ? 12 : 0)) / C, 44);
  const dy = Math.min(0.45 * dx, (0.3 * (height - top - bottom)) / C);
  const cell = Math.min((height - top - bottom - C * dy) / L, 40);
  const base = top + C * dy;
  return {
    dx, dy, cell,
    corner: (n, c, l) => [left + n * pitch + c * dx, base - c * dy + l * cell],
    /** The cell at a pixel, or null. */
    at(x, y) {
      const n = Math.floor((x - left) / pitch);
      const across = (x - left - n * pitch) / dx;
      const c = Math.floor(across);
      const l = Math.floor((y - base + across * dy) / cell);
      const inside = n >= 0 && n < N && c >= 0 && c < C && l >= 0 && l < L;
      return inside ? [n, c, l] : null;
    },
  };
}

/** The Python call that shows `state` again; `batch` is the array it was made with. */
export function cubeCall({ norm, groups, cell, alone }) {
  return `NormalizationCube(batch, norm="${norm}", groups=${groups}, cell=(${cell.join(", ")}), ` +
    `alone=${alone ? "True" : "False"})`;
}

/** Blue below 0, warm above; at 0 the page, or for a lit value a lamp's yellow. */
function signedColour(value, most, theme, lit) {
  const dim = theme.dark ? "#111111" : "#ffffff";
  const page = parseHex(lit ? (theme.dark ? "#6b5c12" : "#ffe98a") : dim);
  const end = parseHex(theme.series[value < 0 ? 0 : 1]);
  // The root lets small values show their sign beside a few large ones.
  const t = Math.sqrt(Math.min(1, Math.abs(value) / most)) * (lit ? 0.9 : 0.3);
  const [r, g, b] = page.map((v, k) => Math.round(v + (end[k] - v) * t));
  return `rgb(${r}, ${g}, ${b})`;
}

function tracePath(ctx, corners) {
  ctx.beginPath();
  corners.forEach(([x, y], k) => (k ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.closePath();
}

function render({ model, el }) {
  const shape = model.get("shape");
  const [N, C, L] = shape;
  const eps = model.get("eps");
  const layout = layoutOf(shape, ...SIZE);
  const divisors = Array.from({ length: C }, (_, k) => k + 1).filter((k) => C % k === 0);
  const { shell, state, change } = wireShell({
    model, el, keep: KEEP, follow: ["values"], code: cubeCall, draw: () => draw(),
  });

  const norm = select({
    label: "normalisation", options: NORMS.map((name) => [name, `${name} norm`]), value: "batch",
    onInput: (value) => change({ norm: value }),
  });
  const groups = slider({
    label: "groups", min: 0, max: divisors.length - 1, step: 1, value: 0,
    format: (k) => `${divisors[k]} of ${C / divisors[k]}`,
    onInput: (k) => change({ groups: divisors[k] }),
  });
  const alone = checkbox({
    label: "batch of one", value: false, onInput: (value) => change({ alone: value }),
  });
  shell.controls.append(norm.el, alone.el, groups.el);

  const cube = makeCanvas(...SIZE, "the batch");
  const bars = makeCanvas(...HISTOGRAM, "histograms of the lit values");
  shell.stage.append(cube.canvas, bars.canvas, h("p", { class: "dlc-muted" }, HINT));

  function quad(n, c, l, across = 1, down = 1) {
    const { corner } = layout;
    return [corner(n, c, l), corner(n, c + across, l), corner(n, c + across, l + down),
      corner(n, c, l + down)];
  }
  function paintCell(ctx, value, most, lit, corners, theme) {
    const { dx, cell } = layout;
    tracePath(ctx, corners);
    ctx.fillStyle = signedColour(value, most, theme, lit);
    ctx.fill();
    if (!lit) return;
    ctx.lineWidth = 1.6;
    ctx.strokeStyle = theme.ink;
    ctx.stroke();
    const [x, y] = [0, 1].map((k) => (corners[0][k] + corners[2][k]) / 2);
    ctx.fillStyle = ctx.strokeStyle = theme.ink;
    if (dx >= 30 && cell >= 13) {
      ctx.font = "11px sans-serif";
      ctx.fillText(number(+value.toFixed(2), 2), x, y);
    } else if (value < 0 && Math.min(dx, cell) >= 6) ctx.strokeRect(x - 1.5, y, 3, 0);
  }
  /** The lines between the cells of a sheet, in one stroke; the lit cells are drawn over them. */
  function paintGrid(ctx, n, theme) {
    const { corner } = layout;
    ctx.beginPath();
    for (let c = 1; c < C; c++) {
      ctx.moveTo(...corner(n, c, 0));
      ctx.lineTo(...corner(n, c, L));
    }
    for (let l = 1; l < L; l++) {
      ctx.moveTo(...corner(n, 0, l));
      ctx.lineTo(...corner(n, C, l));
    }
    ctx.lineWidth = 1;
    ctx.strokeStyle = theme.grid;
    ctx.stroke();
  }
  function paintSheet(ctx, n, values, most, now, lit, theme) {
    const out = now.alone && n !== now.cell[0];
    const paintCells = (wanted) => {
      for (let c = 0; c < C; c++)
        for (let l = 0; l < L && !out; l++) {
          const o = (n * C + c) * L + l;
          if (lit[o] === wanted) paintCell(ctx, values[o], most, lit[o], quad(n, c, l), theme);
        }
    };
    paintCells(0);
    if (!out) paintGrid(ctx, n, theme);
    paintCells(1);
    tracePath(ctx, quad(n, 0, 0, C, L));
    ctx.lineWidth = 1;
    ctx.strokeStyle = theme.muted;
    ctx.setLineDash(out ? [4, 4] : []);
    ctx.stroke();
    ctx.setLineDash([]);
    const [x, y] = layout.corner(n, 0, L);
    ctx.textAlign = "left";
    ctx.fillStyle = theme.ink;
    ctx.font = "12px sans-serif";
    const word = N > 6 ? "" : "image ";
    ctx.fillText(out ? `${n} out` : `${word}${n}`, x, y + 12);
  }
  function paintCube(values, now, share, theme) {
    const { ctx } = cube;
    const most = values.reduce((a, v) => Math.max(a, Math.abs(v)), 0) || 1;
    ctx.clearRect(0, 0, ...SIZE);
    ctx.textBaseline = "middle";
    for (let n = 0; n < N; n++) {
      ctx.textAlign = "center";
      paintSheet(ctx, n, values, most, now, share.lit, theme);
    }
    tracePath(ctx, quad(...now.cell));
    for (const [colour, width] of [[theme.paper, 6], [theme.ink, 3]]) {
      ctx.strokeStyle = colour;
      ctx.lineWidth = width;
      ctx.stroke();
    }
    const [x, y] = layout.corner(0, 0, L);
    const [, top] = layout.corner(0, 0, 0);
    const arrow = { colour: theme.muted, width: 1.2, head: true };
    drawStroke(ctx, [x - 12, top], [x - 12, y], arrow);
    drawStroke(ctx, [x - 8, top - 8], [x - 8 + 30, top - 8 - (30 * layout.dy) / layout.dx], arrow);
    label(ctx, "place", 0, (top + y) / 2, theme);
    label(ctx, "channel", 0, top - 22, theme);
    if (N > 6) label(ctx, "image", 0, y + 12, theme);
  }

  /** One histogram: bars, the mean dashed, the standard deviation as a bar, the chosen value. */
  function paintBars(ctx, top, numbers, [low, high], chosen, words, theme) {
    const count = new Array(BINS).fill(0);
    for (const v of numbers) count[Math.max(0, Math.min(BINS - 1,
      Math.floor(((v - low) / (high - low)) * BINS)))]++;
    const x = makeScale(low, high, 42, HISTOGRAM[0] - 10);
    const y = makeScale(0, Math.max(...count, 1) * 1.35, top + 124, top + 22);
    const mean = numbers.reduce((sum, v) => sum + v, 0) / numbers.length;
    const std = Math.sqrt(numbers.reduce((sum, v) => sum + (v - mean) ** 2, 0) / numbers.length);
    ctx.fillStyle = theme.series[2];
    const wide = (x.to - x.from) / BINS;
    count.forEach((v, k) => ctx.fillRect(x.from + k * wide + 0.5, y(v), wide - 1, y(0) - y(v)));
    drawAxes(ctx, x, y, theme, { xLabel: words, yLabel: "count", gap: 38 });
    drawStroke(ctx, [x(mean), y.from], [x(mean), y.to], { colour: theme.ink, width: 1.5,
      dash: [5, 3] });
    drawStroke(ctx, [x(Math.max(low, mean - std)), y.to + 6], [x(Math.min(high, mean + std)),
      y.to + 6], { colour: theme.ink, width: 2 });
    drawMarker(ctx, "diamond", x(chosen), y.from, 6, theme.series[1], theme.ink);
    label(ctx, `mean ${number(Math.abs(mean) < 5e-7 ? 0 : mean)}, std ${number(std)}`, 42, top + 9,
      theme);
    label(ctx, `◆ ${number(chosen)}`, HISTOGRAM[0] - 10, top + 9, theme, "right");
  }
  function paintHistograms(values, share, theme) {
    const { ctx } = bars;
    ctx.clearRect(0, 0, ...HISTOGRAM);
    const low = values.reduce((a, v) => Math.min(a, v), 0);
    const high = values.reduce((a, v) => Math.max(a, v), low + 1e-9);
    paintBars(ctx, 0, share.numbers, [low, high], share.before, "lit values before", theme);
    const after = share.numbers.map((v) => (v - share.mean) / share.scale);
    const most = Math.max(3, Math.ceil(after.reduce((a, v) => Math.max(a, Math.abs(v)), 0)));
    paintBars(ctx, 178, after, [-most, most], share.after, "lit values after", theme);
  }

  function write(values, now, share) {
    const [n, c, l] = now.cell;
    const images = now.alone ? 1 : N;
    const other = shareOf(values, shape, { ...now, alone: !now.alone }, eps);
    const title = now.norm[0].toUpperCase() + now.norm.slice(1);
    const parts = now.norm === "group" ? ` with ${now.groups} groups` : "";
    const single = share.numbers.length === 1 ? " A single value becomes 0, whatever it is." : "";
    const where = now.alone ? `In the batch of ${N}` : "In a batch of one";
    const text = `${title} norm${parts}, batch of ${images}: the value at image ${n}, channel ` +
      `${c}, place ${l} shares its statistics with ${share.numbers.length} of ` +
      `${images * C * L} values (mean ${number(share.mean)}, standard deviation ` +
      `${number(share.std)}); ${number(share.before)} → ${number(share.after)}.${single} ${where} ` +
      `it would become ${number(other.after)}. The batch needs ${share.kept} means and ` +
      `${share.kept} standard deviations.`;
    shell.readout(text);
    cube.canvas.setAttribute("aria-label", `Batch of ${images} images, ${C} channels, ${L} ` +
      `places. ${text}`);
    bars.canvas.setAttribute("aria-label", `Histograms of the lit values before and after. ${text}`);
  }
  const draw = shell.guard(() => {
    const now = state();
    const theme = readTheme(el);
    const values = f32(model.get("values"));
    norm.set(now.norm);
    alone.set(now.alone);
    groups.set(divisors.indexOf(now.groups));
    groups.el.hidden = now.norm !== "group";
    const share = shareOf(values, shape, now, eps);
    paintCube(values, now, share, theme);
    paintHistograms(values, share, theme);
    write(values, now, share);
  });

  function move(axis, by) {
    const cell = [...model.get("cell")];
    cell[axis] = Math.max(0, Math.min(shape[axis] - 1, cell[axis] + by));
    change({ cell });
  }
  const onKey = shell.guard((event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const across = event.shiftKey ? 1 : 0;
    const act = {
      ArrowLeft: () => move(across, -1),
      ArrowRight: () => move(across, 1),
      ArrowUp: () => move(2, -1),
      ArrowDown: () => move(2, 1),
      PageUp: () => move(1, 1),
      PageDown: () => move(1, -1),
      Home: () => change({ cell: [0, 0, 0] }),
      End: () => change({ cell: shape.map((count) => count - 1) }),
      " ": () => change({ norm: NORMS[(NORMS.indexOf(model.get("norm")) + 1) % NORMS.length] }),
    }[event.key];
    if (!act) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  });
  const choose = shell.guard((event) => {
    if (!cube.canvas.hasPointerCapture(event.pointerId)) return;
    const cell = layout.at(...pointerAt(event, cube));
    if (cell && String(cell) !== String(model.get("cell"))) change({ cell });
  });
  cube.canvas.addEventListener("pointerdown", (event) => {
    cube.canvas.setPointerCapture(event.pointerId);
    choose(event);
  });
  cube.canvas.addEventListener("pointermove", choose);
  for (const { canvas } of [cube, bars]) canvas.addEventListener("keydown", onKey);

  draw();
  return shell.cleanup;
}

export default { render };
