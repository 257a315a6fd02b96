// RegularizationLab: a network that overfits, and seven regularisers to act on it.

import { drawAxes, drawMarker, makeScale } from "./axes.js";
import { button, f32, h, makeCanvas, pointerAt, say, select, slider } from "./dom.js";
import { divergingTable, makeFieldPainter, strokeZero } from "./field.js";
import { label } from "./label.js";
import { drawSamples, equalScales, windowOf } from "./plane.js";
import { makePlayer } from "./player.js";
import { forwardInto, makeRun, softThreshold, weightsOf } from "./regnet.js";
import { readTheme } from "./theme.js";
import { wireShell } from "./wire.js";

export { forwardInto, makeRun, softThreshold, weightsOf };

const KEEP = ["dataset", "regulariser", "strengths", "step"];
const GRID = 60; // points a side at which the network is asked
const BUDGET_MS = 6; // of training in a frame
const PAINT_EVERY_MS = 100; // while a run is under way, so that keys are not kept waiting
const KEPT_RUNS = 24;
const LEGEND = "Circle: class 1, square: class 0; filled: training, open: held out; line: p = 0.5. " +
  "Losses are measured without noise, dropout or smoothing. Biases are not penalised.";

function number(x, digits = 3) {
  return say(x, digits).replace("-", "−");
}

/** Split the bytes of all data sets into {name: {box, sets: training, validation, held out}}. */
function readData(model) {
  const { datasets, sizes: [first, second, count] } = model.get("facts");
  const flat = Array.from(f32(model.get("points")));
  return Object.fromEntries(datasets.map((name, k) => {
    const rows = Array.from({ length: count }, (_, i) =>
      flat.slice(3 * (k * count + i), 3 * (k * count + i) + 3));
    const set = (from, to) => ({ rows: rows.slice(from, to),
      X: Float64Array.from(rows.slice(from, to).flatMap((r) => r.slice(0, 2))),
      y: Float64Array.from(rows.slice(from, to), (r) => r[2]) });
    return [name, { box: windowOf(rows),
      sets: [set(0, first), set(first, first + second), set(first + second, count)] }];
  }));
}

/** The points at which the picture asks the network, row by row from the bottom left. */
function gridOf(x, y) {
  const at = (scale, k) => scale.low + ((k + 0.5) / GRID) * (scale.high - scale.low);
  return Float64Array.from({ length: 2 * GRID * GRID }, (_, o) => {
    const k = o >> 1;
    return o & 1 ? at(y, Math.floor(k / GRID)) : at(x, k % GRID);
  });
}

/** The regularisers that act, as [[name, "l2 λ = 0.01"], ...]. */
export function acting(strengths, known) {
  return Object.keys(known).filter((name) => strengths[name])
    .map((name) => [name, `${name} ${known[name].symbol} = ${say(strengths[name])}`]);
}

/** The Python call that shows `state` again. */
export function labCall({ dataset, regulariser, strengths, step }) {
  const others = Object.entries(strengths).filter(([name, v]) => v && name !== regulariser)
    .map(([name, v]) => `"${name}": ${v}`).join(", ");
  const more = others ? `, others={${others}}` : "";
  return `RegularizationLab(dataset="${dataset}", regulariser="${regulariser}", ` +
    `strength=${strengths[regulariser]}${more}, step=${step})`;
}

function render({ model, el }) {
  const data = readData(model);
  const facts = model.get("facts");
  const known = facts.regularisers;
  const { width, every } = facts;
  const looks = facts.num_steps / every;
  const [plane, curves, bars] = [[340, 356], [510, 190], [510, 164]].map(([w, h]) =>
    makeCanvas(w, h, ""));
  const field = makeFieldPainter(GRID);
  const hidden = new Float64Array(GRID * GRID * width);
  const logits = new Float64Array(GRID * GRID);
  const runs = new Map();
  let ticking = 0;
  let now;
  let painted = 0;

  const { shell, state, change } = wireShell({
    model, el, keep: KEEP, before: () => player.pause(), code: labCall, draw: () => draw(),
  });
  /** The run under these settings, as far as it has come. */
  function runOf(dataset, strengths) {
    const key = JSON.stringify([dataset, ...Object.keys(known).map((name) => strengths[name] || 0)]);
    const run = runs.get(key) ?? makeRun({ width, lr: facts.lr, numSteps: facts.num_steps, every,
      strengths }, data[dataset].sets);
    runs.delete(key);
    runs.set(key, run); // the newest last
    if (runs.size > KEPT_RUNS) runs.delete(runs.keys().next().value);
    return run;
  }
  /** Train for a few milliseconds: first the run on show, then the one to compare with. */
  function work(run, plain) {
    const end = performance.now() + BUDGET_MS;
    while (!(run.done && plain.done) && performance.now() < end) (run.done ? plain : run).advance();
  }

  const setStrength = (name, value) =>
    change({ strengths: { ...model.get("strengths"), [name]: value } });
  const options = (names) => names.map((name) => [name, name]);
  const dataset = select({ label: "data", options: options(facts.datasets), value: "",
    onInput: (value) => change({ dataset: value }) });
  const regulariser = select({ label: "regulariser", options: options(Object.keys(known)),
    value: "l2", onInput: (value) => change({ regulariser: value }) });
  const strength = slider({
    label: "strength", min: 0, max: 1, step: 1, value: 0,
    format: () => now?.strengths[now.regulariser]
      ? `${known[now.regulariser].symbol} = ${say(now.strengths[now.regulariser])}` : "off",
    onInput: (k) => setStrength(now.regulariser, known[now.regulariser].values[k]),
  });
  const chips = h("div", { class: "dlc-bar", role: "group", style: "min-height: 29px",
    "aria-label": "regularisers that act" });
  shell.controls.append(dataset.el, regulariser.el, strength.el);
  shell.controls.after(chips);
  function showControls() {
    const { values, title, symbol } = known[now.regulariser];
    dataset.set(now.dataset);
    regulariser.set(now.regulariser);
    strength.input.max = values.length - 1;
    strength.el.title = `${symbol}: ${title}`;
    const value = now.strengths[now.regulariser];
    const away = values.map((v) => Math.abs(v - value));
    strength.set(away.indexOf(Math.min(...away)));
    const parts = acting(now.strengths, known);
    const text = JSON.stringify(parts);
    if (chips.dataset.shown === text) return;
    chips.dataset.shown = text;
    chips.replaceChildren(...(parts.length ? parts.map(([name, words]) =>
      button(`${words} ✕`, () => setStrength(name, 0), { title: "switch off", "data-chip": name }))
      : ["no regulariser acts"]));
  }

  const player = makePlayer({
    length: looks + 1, index: model.get("step") / every, speed: "30", stride: every,
    onFrame: (look) => look * every !== model.get("step") && change({ step: look * every }),
  });
  shell.stage.append(plane.canvas, h("div", { class: "dlc-column" }, curves.canvas, bars.canvas),
    h("p", { class: "dlc-muted" }, LEGEND));
  shell.stage.after(player.el);

  function paintPlane(row, theme) {
    const { ctx } = plane;
    const { box, sets: [train, , held] } = data[now.dataset];
    const { x, y } = equalScales(box, 50, 8, plane.width - 8, plane.height - 44);
    forwardInto(row, width, gridOf(x, y), hidden, logits);
    const frame = [x.from, y.to, x.to - x.from, y.from - y.to];
    ctx.clearRect(0, 0, plane.width, plane.height);
    const table = divergingTable(theme.series[1], theme.series[0], theme);
    field(ctx, (o) => 1 / (1 + Math.exp(-logits[o])), table, ...frame);
    drawSamples(ctx, x, y, held.rows, theme, { radius: 2, hollow: () => true });
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    strokeZero(ctx, logits, GRID, ...frame);
    drawSamples(ctx, x, y, train.rows, theme, { radius: 4.5 });
    drawAxes(ctx, x, y, theme, { xLabel: "x₁", yLabel: "x₂" });
  }

  const xScale = makeScale(0, facts.num_steps, 58, 492);
  function stroke(ctx, points, colour, width, dash = []) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = width;
    ctx.setLineDash(dash);
    ctx.beginPath();
    for (const [x, y] of points) ctx.lineTo(x, y);
    ctx.stroke();
    ctx.setLineDash([]);
  }
  function paintCurves(run, plain, look, theme) {
    const { ctx, height } = curves;
    const high = Math.min(5, Math.max(...run.losses.flat(), ...plain.losses.flat())) * 1.04;
    const y = makeScale(0, high, height - 42, 24);
    const clipped = (v) => y(Math.min(high, v));
    ctx.clearRect(0, 0, curves.width, height);
    drawAxes(ctx, xScale, y, theme, { xLabel: "step", yLabel: "loss (nats)", grid: true });
    const acts = acting(now.strengths, known).length > 0;
    const lines = [["training", run, 0, theme.ink, 2, []],
      ["held out", run, 2, theme.series[2], 2, [7, 3]],
      run.kept !== null && ["validation", run, 1, theme.series[3], 1.5, [8, 3, 2, 3]],
      acts && ["held out without", plain, 2, theme.muted, 1.5, [2, 3]]];
    let left = 60;
    for (const [words, of, part, ...look] of lines.filter(Boolean)) {
      stroke(ctx, of.losses.map((v, k) => [xScale(k * every), clipped(v[part])]), ...look);
      stroke(ctx, [[left, 9], [left + 22, 9]], ...look);
      label(ctx, words, left + 26, 9, theme);
      ctx.font = "13px sans-serif";
      left += 38 + ctx.measureText(words).width;
    }
    if (run.stopped !== null) {
      const x = xScale(run.stopped * every);
      stroke(ctx, [[x, y.from], [x, y.to]], theme.series[3], 1.5);
      drawMarker(ctx, "diamond", xScale(run.kept * every), clipped(run.losses[run.kept][1]), 5,
        theme.series[3], theme.paper);
      label(ctx, `stopped at ${run.stopped * every}, kept ${run.kept * every} ◆`, x + 5, y.to + 10,
        theme);
    }
    paintGap(ctx, run.losses[look], xScale(look * every), y, clipped, theme);
  }
  /** The generalisation gap as a bar between the two losses at the step on show. */
  function paintGap(ctx, [train, , held], x, y, clipped, theme) {
    const [a, b] = [clipped(train), clipped(held)];
    stroke(ctx, [[x, y.from], [x, y.to]], theme.muted, 1);
    stroke(ctx, [[x, a], [x, b]], theme.series[1], 5);
    const side = x > 300 ? -8 : 8; // away from the nearer end of the axis
    const at = Math.abs(a - b) > 30 ? (a + b) / 2 : Math.min(a, b) - 12;
    label(ctx, `gap ${number(held - train)}`, x + side, Math.max(y.to + 26, at), theme,
      side < 0 ? "right" : "left");
  }

  function paintBars(row, plainRow, theme) {
    const { ctx, height } = bars;
    const { sizes, zeros, units } = weightsOf(row, width);
    const plain = weightsOf(plainRow, width).sizes;
    const x = makeScale(0, sizes.length, 58, 492);
    const y = makeScale(0, Math.max(sizes[0], plain[0], 1e-6) * 1.05, height - 42, 8);
    const wide = x(1) - x(0);
    ctx.clearRect(0, 0, bars.width, height);
    ctx.fillStyle = theme.series[0];
    sizes.forEach((v, k) => v && ctx.fillRect(x(k) + 0.5, y(v), wide - 1, Math.max(0.5, y(0) - y(v))));
    drawAxes(ctx, x, y, theme, { xLabel: "weights, largest first", yLabel: "size |w|" });
    for (let k = sizes.length - zeros; k < sizes.length; k++)
      drawMarker(ctx, "circle", x(k + 0.5), y(0), 2, theme.paper, theme.series[1]);
    stroke(ctx, Array.from(plain, (v, k) => [x(k + 0.5), y(v)]), theme.muted, 1.5, [2, 3]);
    [`○ ${zeros} of ${sizes.length} exactly 0`, `${units} of ${width} units in use`,
      "dotted: no regulariser"].forEach((text, k) => label(ctx, text, 490, 14 + 17 * k, theme, "right"));
  }

  /** Write what is on show as words, for all to read and to hear. */
  function write(run, look) {
    const [train, , held] = run.losses[look];
    const { sizes, zeros, units } = weightsOf(run.weights[look], width);
    const mean = sizes.reduce((sum, v) => sum + v, 0) / sizes.length;
    const parts = acting(now.strengths, known).map(([, text]) => text);
    const stop = run.stopped === null ? "" : ` Stopped at step ${run.stopped * every}, kept step ` +
      `${run.kept * every}.`;
    const text = `Step ${look * every} on ${now.dataset}, ${parts.join(", ") || "no regulariser"}: training loss ` +
      `${number(train)} nats, held out ${number(held)}, generalisation gap ` +
      `${number(held - train)}. ${zeros} of ${sizes.length} weights are exactly 0, mean size ` +
      `${number(mean)}; ${units} of ${width} units in use.${stop}`;
    shell.readout(text);
    for (const [face, what] of [[plane, "Decision surface"],
      [curves, "Losses against step"], [bars, "Sizes of the weights"]])
      face.canvas.setAttribute("aria-label", `${what}. ${text} Space plays, arrows step.`);
  }

  const draw = shell.guard(() => {
    cancelAnimationFrame(ticking);
    ticking = 0;
    now = state();
    const theme = readTheme(el);
    const run = runOf(now.dataset, now.strengths);
    const plain = runOf(now.dataset, {});
    work(run, plain);
    const wanted = now.step / every;
    const look = Math.min(wanted, run.weights.length - 1);
    showControls();
    if (player.index !== wanted) player.show(wanted);
    paintPlane(run.weights[look], theme);
    paintCurves(run, plain, look, theme);
    paintBars(run.weights[look], plain.weights[Math.min(wanted, plain.weights.length - 1)], theme);
    if (look === wanted) write(run, look);
    painted = performance.now();
    if (!run.done || !plain.done) ticking = requestAnimationFrame(trainOn);
  });
  const trainOn = shell.guard(() => {
    const run = runOf(now.dataset, now.strengths);
    const plain = runOf(now.dataset, {});
    work(run, plain);
    const paint = (run.done && plain.done) || performance.now() - painted > PAINT_EVERY_MS;
    if (paint) draw();
    else ticking = requestAnimationFrame(trainOn);
  });

  const scrub = shell.guard((event) => {
    if (!curves.canvas.hasPointerCapture(event.pointerId)) return;
    player.pause();
    player.show(xScale.invert(pointerAt(event, curves)[0]) / every);
  });
  curves.canvas.addEventListener("pointerdown", (event) => {
    curves.canvas.setPointerCapture(event.pointerId);
    scrub(event);
  });
  curves.canvas.addEventListener("pointermove", scrub);
  for (const { canvas } of [plane, curves, bars])
    canvas.addEventListener("keydown", player.handleKey);

  shell.onCleanup(() => {
    player.destroy();
    cancelAnimationFrame(ticking);
  });
  draw();
  return shell.cleanup;
}

export default { render };
