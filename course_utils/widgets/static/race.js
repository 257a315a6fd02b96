// OptimizerRace: optimizers side by side on one map, and their losses step by step.

import { drawAxes, drawMarker, makeScale, tickText, ticks } from "./axes.js";
import { button, f32, h, makeCanvas, pointerAt, say, slider } from "./dom.js";
import { makeGrid } from "./grid.js";
import { colourTable, drawColourBar, heatMap, place } from "./heat.js";
import { label } from "./label.js";
import { FUNCTIONS, runOptimizer } from "./optimizers.js";
import { makePlayer } from "./player.js";
import { rateSlider } from "./rate.js";
import { readTheme, viridis } from "./theme.js";
import { wireShell } from "./wire.js";

const MAP = { width: 430, height: 340, left: 52, right: 358, top: 30, bottom: 300 };
const CURVE = { width: 360, height: 340, left: 58, right: 344, top: 30, bottom: 300 };
const BANDS = 24;
const KEEP = ["function", "start", "lr", "momentum", "optimizers", "step"];
// Index of the series colour, dash, marker: no two optimizers share all three.
const LOOKS = {
  sgd: [5, [], "circle"],
  momentum: [0, [9, 4], "square"],
  nesterov: [6, [2, 3], "triangle"],
  adagrad: [2, [8, 3, 2, 3], "diamond"],
  adadelta: [4, [4, 3], "circle"],
  rmsprop: [1, [12, 3], "triangle"],
  rmsprop_nesterov: [1, [2, 3], "square"],
  adam: [3, [], "diamond"],
  adamw: [3, [5, 3], "circle"],
};

/** The Python call that shows `state` again. */
export function raceCall(state, hasPath) {
  const what = state.function === "surface"
    ? `surface=grid${hasPath ? ", path=path" : ""}`
    : `function="${state.function}"`;
  return `OptimizerRace(${what}, start=(${state.start.join(", ")}), lr=${state.lr}, ` +
    `momentum=${state.momentum}, optimizers=${JSON.stringify(state.optimizers)}, step=${state.step})`;
}

/** What to read aloud: the losses at this step, the lowest, and who ended early. */
export function raceWords(runs, labels, step, ends) {
  const going = [];
  const ended = [];
  let best = null;
  for (const [name, { loss, stopped }] of Object.entries(runs)) {
    if (hasEnded({ stopped }, step)) {
      ended.push(`${labels[name]} ${ends} at step ${stopped}`);
      continue;
    }
    going.push(`${labels[name]} ${say(loss[step], 3)}`);
    if (!best || loss[step] < runs[best].loss[step]) best = name;
  }
  const lowest = going.length > 1 ? ` Lowest: ${labels[best]}.` : "";
  const losses = going.length ? `loss ${going.join(", ")}.${lowest}` : "nobody is left.";
  return losses + (ended.length ? ` ${ended.join("; ")}.` : "");
}

function scalesOf({ left, right, top, bottom }, xlim, ylim, log = false) {
  return [makeScale(...xlim, left, right), makeScale(...ylim, bottom, top, log)];
}

function clipTo(ctx, { left, right, top, bottom }) {
  ctx.beginPath();
  ctx.rect(left, top, right - left, bottom - top);
  ctx.clip();
}

/** Stroke points [x0, y0, x1, y1, ...] in pixels, with a rim that sets them off the map. */
function strokeLine(ctx, points, count, { colour, dash, width = 2, rim }) {
  ctx.lineJoin = "round";
  ctx.beginPath();
  for (let k = 0; k < count; k++) ctx.lineTo(points[2 * k], points[2 * k + 1]);
  if (rim) {
    ctx.setLineDash([]);
    ctx.strokeStyle = rim;
    ctx.lineWidth = width + 2;
    ctx.stroke();
  }
  ctx.setLineDash(dash);
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.stroke();
  ctx.setLineDash([]);
}

function drawCross(ctx, x, y, colour, rim) {
  ctx.beginPath();
  for (const side of [-6, 6]) {
    ctx.moveTo(x - side, y - 6);
    ctx.lineTo(x + side, y + 6);
  }
  for ([ctx.strokeStyle, ctx.lineWidth] of [[rim, 5], [colour, 2.5]]) ctx.stroke();
}

function hasEnded({ stopped }, step) {
  return stopped !== null && stopped <= step;
}

/** Last step of a run that is to be drawn at `step`. */
function lastStep({ stopped }, step) {
  return stopped === null ? step : Math.max(0, Math.min(step, stopped - 1));
}

function render({ model, el }) {
  const numSteps = model.get("num_steps");
  const labels = model.get("labels");
  const problems = model.get("problems");
  const training = f32(model.get("path"));
  const { shell, state, change } = wireShell({
    model,
    el,
    keep: KEEP,
    follow: ["loss"],
    before: () => player.pause(),
    onOutside: (name) => name === "loss" && Object.assign(known, { maths: null, maps: {} }),
    code: (now) => raceCall(now, training.length > 0),
    draw: () => draw(),
  });

  // What is worth keeping between two drawings.
  const known = { maths: null, name: "", maps: {}, table: null, runs: null, runsKey: "" };
  let theme = readTheme(el);

  const lr = rateSlider({
    label: "learning rate",
    low: -4,
    high: 1,
    read: () => model.get("lr"),
    onInput: (value) => change({ lr: value }),
  });
  const momentum = slider({
    label: "momentum",
    min: 0,
    max: 0.99,
    step: 0.01,
    value: 0,
    format: (v) => String(v),
    onInput: (v) => change({ momentum: v }),
  });
  shell.controls.append(lr.el, momentum.el);

  const swatches = {};
  const legend = h("div", { class: "dlc-bar dlc-legend", role: "group", "aria-label": "optimizers" });
  for (const name of Object.keys(labels)) {
    const canvas = h("canvas", { width: 56, height: 24, "aria-hidden": "true" });
    const toggle = button("", () => {
      const on = model.get("optimizers");
      const chosen = on.includes(name) ? on.filter((n) => n !== name) : [...on, name];
      change({ optimizers: Object.keys(labels).filter((n) => chosen.includes(n)) });
    }, { "data-optimizer": name });
    toggle.append(canvas, labels[name]);
    swatches[name] = { canvas, toggle };
    legend.append(toggle);
  }
  shell.controls.after(legend);

  const map = makeCanvas(MAP.width, MAP.height, "map of the loss");
  const curve = makeCanvas(CURVE.width, CURVE.height, "loss against step");
  const player = makePlayer({
    length: numSteps + 1,
    index: model.get("step"),
    speed: "30",
    onFrame: (step) => step !== model.get("step") && change({ step }),
  });
  const hint = h("p", { class: "dlc-muted" },
    "Drag the start, or focus the map: arrows move it (Shift: farther), Space plays. All but " +
    "AdaDelta share the learning rate; momentum is for Momentum and both Nesterovs. A cross " +
    "marks where a run ended early.");
  shell.stage.append(map.canvas, curve.canvas);
  shell.stage.after(player.el, hint);

  function problem() {
    const name = model.get("function");
    if (known.name !== name || !known.maths) {
      const { shape: [m, n] = [], xlim, ylim } = problems[name];
      known.maths = name === "surface"
        ? makeGrid(f32(model.get("loss")), n, m, [...xlim, ...ylim])
        : FUNCTIONS[name];
      Object.assign(known, { name, runsKey: "" });
    }
    return problems[name];
  }

  function runs(p) {
    const { start, optimizers, ...rest } = state();
    const key = JSON.stringify([start, rest.lr, rest.momentum, optimizers]);
    if (known.runsKey !== key) {
      const settings = { lr: rest.lr, momentum: rest.momentum, numSteps };
      const run = (n) => [n, runOptimizer(n, known.maths, p, start, settings)];
      known.runs = Object.fromEntries(optimizers.map(run));
      known.runsKey = key;
    }
    return known.runs;
  }

  /** The map under the paths; painted once for each function and theme. */
  function paintedMap(p) {
    const paper = theme.dark ? 17 : 255;
    known.table = colourTable(viridis, [paper, paper, paper], 0.45);
    return (known.maps[known.name + paper] ??= heatMap({
      width: 1.5 * (MAP.right - MAP.left),
      height: 1.5 * (MAP.bottom - MAP.top),
      sample(u, v) {
        const [x, y] = [p.xlim, p.ylim];
        return known.maths.value(x[0] + u * (x[1] - x[0]), y[0] + v * (y[1] - y[0]));
      },
      toUnit: place(p.colours),
      table: known.table,
      bands: BANDS,
    }));
  }

  function look(name) {
    const [series, dash, shape] = LOOKS[name];
    return { colour: theme.series[series], dash, shape };
  }

  function drawMap(p, all, step) {
    const { ctx } = map;
    const [x, y] = scalesOf(MAP, p.xlim, p.ylim);
    ctx.clearRect(0, 0, MAP.width, MAP.height);
    ctx.drawImage(paintedMap(p), MAP.left, MAP.top, MAP.right - MAP.left, MAP.bottom - MAP.top);
    ctx.save();
    clipTo(ctx, MAP);
    const pixels = (path) => path.map((v, k) => (k % 2 ? y(v) : x(v)));
    if (training.length) {
      const line = { colour: theme.ink, dash: [1, 3], width: 1.5 };
      strokeLine(ctx, pixels(training), training.length / 2, line);
    }
    for (const [mx, my] of p.minima) label(ctx, "★", x(mx), y(my), theme, "center");
    const rim = theme.paper;
    for (const [name, run] of Object.entries(all))
      strokeLine(ctx, pixels(run.path), lastStep(run, step) + 1, { ...look(name), rim });
    const [sx, sy] = model.get("start");
    drawMarker(ctx, "circle", x(sx), y(sy), 7, theme.paper, theme.ink);
    drawMarker(ctx, "circle", x(sx), y(sy), 2, theme.ink);
    for (const [name, run] of Object.entries(all)) {
      const k = lastStep(run, step);
      const { colour, shape } = look(name);
      const [px, py] = [x(run.path[2 * k]), y(run.path[2 * k + 1])];
      if (hasEnded(run, step)) drawCross(ctx, px, py, colour, rim);
      else if (k > 0) drawMarker(ctx, shape, px, py, 5, colour, rim);
    }
    const side = y(sy) < MAP.top + 30 ? 17 : -17;
    const middle = Math.min(MAP.right - 18, Math.max(MAP.left + 18, x(sx)));
    label(ctx, "start", middle, y(sy) + side, theme, "center");
    ctx.restore();
    drawAxes(ctx, x, y, theme, { xLabel: p.axes[0], yLabel: p.axes[1] });
    const { low, high, log } = p.colours;
    drawColourBar(ctx, { x: MAP.right + 12, y: MAP.top, width: 12, height: MAP.bottom - MAP.top }, {
      table: known.table,
      toUnit: place(p.colours),
      labels: ticks(low, high, 5, log).map((t) => [t, tickText(t, log)]),
      title: log ? "loss (log)" : "loss",
    }, theme);
  }

  function drawCurve(p, all, step) {
    const { ctx } = curve;
    const { low, high, log } = p.curve;
    const [x, y] = scalesOf(CURVE, [0, numSteps], [low, high], log);
    ctx.clearRect(0, 0, CURVE.width, CURVE.height);
    const what = p.floor ? "loss above the minimum" : "loss";
    drawAxes(ctx, x, y, theme, {
      xLabel: "step",
      yLabel: log ? `${what} (log)` : what,
      grid: true,
      gap: 54,
    });
    ctx.save();
    clipTo(ctx, { ...CURVE, top: CURVE.top - 8, right: CURVE.right + 8, bottom: CURVE.bottom + 8 });
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    ctx.strokeRect(x(step), CURVE.top, 0, CURVE.bottom - CURVE.top);
    for (const [name, run] of Object.entries(all)) {
      const { colour, dash, shape } = look(name);
      // What is off the scale leaves the box; its marker stays at the border.
      const bottom = log ? low / 100 : low;
      const height = (v) => y(Math.min(high * 100, Math.max(bottom, v - p.floor)));
      const points = new Float64Array(2 * numSteps + 2);
      run.loss.forEach((v, t) => points.set([x(t), height(v)], 2 * t));
      const k = lastStep(run, step);
      ctx.globalAlpha = 0.3;
      if (step < numSteps) strokeLine(ctx, points, lastStep(run, numSteps) + 1, { colour, dash });
      ctx.globalAlpha = 1;
      strokeLine(ctx, points, k + 1, { colour, dash });
      const at = [points[2 * k], Math.min(CURVE.bottom, Math.max(CURVE.top, points[2 * k + 1]))];
      if (hasEnded(run, step)) drawCross(ctx, ...at, colour, theme.paper);
      else drawMarker(ctx, shape, ...at, 5, colour, theme.paper);
    }
    ctx.restore();
  }

  function drawLegend() {
    const on = model.get("optimizers");
    for (const [name, { canvas, toggle }] of Object.entries(swatches)) {
      const { colour, dash, shape } = look(name);
      const ctx = canvas.getContext("2d");
      ctx.setTransform(2, 0, 0, 2, 0, 0);
      ctx.clearRect(0, 0, 28, 12);
      strokeLine(ctx, [0, 6, 28, 6], 2, { colour, dash });
      drawMarker(ctx, shape, 14, 6, 4, colour, theme.paper);
      toggle.setAttribute("aria-pressed", on.includes(name));
    }
  }

  let shown = {};
  function syncControls() {
    const now = state();
    if (now.lr !== shown.lr) lr.set(now.lr);
    if (now.momentum !== shown.momentum) momentum.set(now.momentum);
    if (now.step !== player.index) player.show(now.step);
    if (now.optimizers !== shown.optimizers || theme.paper !== shown.paper) drawLegend();
    shown = { ...now, paper: theme.paper };
  }

  const draw = shell.guard(() => {
    theme = readTheme(el);
    syncControls();
    const p = problem();
    const all = runs(p);
    const step = model.get("step");
    const start = model.get("start").map((v) => say(v)).join(", ");
    drawMap(p, all, step);
    drawCurve(p, all, step);
    const words = raceWords(all, labels, step, p.ends);
    shell.readout(`Step ${step} of ${numSteps}, learning rate ${say(model.get("lr"))}: ${words}`);
    map.canvas.setAttribute("aria-label",
      `Map of the loss, ${p.title}. Start (${start}). Step ${step}: ${words}`);
    curve.canvas.setAttribute("aria-label", `Loss against step, up to step ${step}: ${words}`);
  });

  function moveStart(x, y) {
    const { xlim, ylim } = problem();
    const keep = (v, [low, high]) => Math.min(high, Math.max(low, +v.toPrecision(4)));
    change({ start: [keep(x, xlim), keep(y, ylim)] });
  }
  const drag = (canvas, toState) => {
    const move = shell.guard((event) => {
      if (!canvas.canvas.hasPointerCapture(event.pointerId)) return;
      player.pause();
      toState(pointerAt(event, canvas));
    });
    canvas.canvas.addEventListener("pointerdown", (event) => {
      canvas.canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    canvas.canvas.addEventListener("pointermove", move);
  };
  drag(map, ([px, py]) => {
    const [x, y] = scalesOf(MAP, problem().xlim, problem().ylim);
    moveStart(x.invert(px), y.invert(py));
  });
  drag(curve, ([px]) => player.show(makeScale(0, numSteps, CURVE.left, CURVE.right).invert(px)));
  map.canvas.addEventListener("keydown", shell.guard((event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (!by[event.key]) return player.handleKey(event);
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    event.preventDefault();
    event.stopPropagation();
    const { xlim, ylim } = problem();
    const far = (event.shiftKey ? 10 : 1) / 100;
    const [x, y] = model.get("start");
    const [dx, dy] = by[event.key];
    return moveStart(x + dx * far * (xlim[1] - xlim[0]), y + dy * far * (ylim[1] - ylim[0]));
  }));
  curve.canvas.addEventListener("keydown", player.handleKey);

  shell.onCleanup(() => player.destroy());
  draw();
  return shell.cleanup;
}

export default { render };
