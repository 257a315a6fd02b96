// Playground: a network with one hidden layer, trained in the page.

import { drawAxes, makeScale } from "./axes.js";
import { boundaryEnds } from "./boundary.js";
import { button, f32, h, makeCanvas, oncePerFrame, say, select, slider } from "./dom.js";
import { divergingTable, makeFieldPainter, strokeZero } from "./field.js";
import { label } from "./label.js";
import { gradientsInto, initialNetwork, makeTraining, predictInto } from "./network.js";
import { drawSamples, equalScales, windowOf } from "./plane.js";
import { makeRandom } from "./random.js";
import { makeShell } from "./shell.js";
import { drawStroke } from "./strokes.js";
import { linkTraits } from "./sync.js";
import { readTheme } from "./theme.js";

export { gradientsInto, initialNetwork, makeRandom, makeTraining, predictInto };

const SETTINGS = ["dataset", "width", "activation", "lr", "seed"];
const GRID = 60; // points a side at which the network is asked
const STEPS_A_FRAME = 10;
const BUDGET_MS = 8; // of training in a frame
const MAX_STEPS = 20000;
const SAVE_EVERY_MS = 250;
const LEGEND = "Circle: class 1, square: class 0; filled: training, open: held out; line: " +
  "p = 0.5. Small pictures: each hidden unit over the same plane, its line where its input is 0, and its " +
  "output weight (a thicker frame for a larger one).";

function number(x, digits = 3) {
  return say(x, digits).replace("-", "−");
}

/** Split the bytes of all data sets into {name: {rows, box, train, held}}. */
function readData(model) {
  const flat = Array.from(f32(model.get("points")));
  const [count, numTrain] = [model.get("num_points"), model.get("num_train")];
  return Object.fromEntries(model.get("dataset_names").map((name, k) => {
    const rows = Array.from({ length: count }, (_, i) =>
      flat.slice(3 * (k * count + i), 3 * (k * count + i) + 3));
    const set = (part) => ({ X: Float64Array.from(part.flatMap((r) => r.slice(0, 2))),
      y: Float64Array.from(part, (r) => r[2]) });
    return [name, { rows, box: windowOf(rows), train: set(rows.slice(0, numTrain)),
      held: set(rows.slice(numTrain)) }];
  }));
}

/** The points at which the picture asks the network, row by row from the bottom left. */
function gridOf(x, y) {
  const out = new Float64Array(2 * GRID * GRID);
  const at = (scale, k) => scale.low + ((k + 0.5) / GRID) * (scale.high - scale.low);
  for (let j = 0, o = 0; j < GRID; j++)
    for (let i = 0; i < GRID; i++) {
      out[o++] = at(x, i);
      out[o++] = at(y, j);
    }
  return out;
}

/** Thin a curve to pairs of its least and greatest value in each stretch of steps. */
function thin(losses, part, pieces = 250) {
  const size = Math.max(1, Math.ceil(losses.length / pieces));
  const out = [];
  for (let from = 0; from < losses.length; from += size) {
    let [low, high] = [from, from];
    for (let k = from; k < Math.min(from + size, losses.length); k++) {
      if (losses[k][part] < losses[low][part]) low = k;
      if (losses[k][part] > losses[high][part]) high = k;
    }
    for (const k of [Math.min(low, high), Math.max(low, high)]) out.push([k, losses[k][part]]);
  }
  return out;
}

/** Draw both losses against the step, the loss on a logarithmic axis. */
function paintCurves(face, losses, theme) {
  const { ctx, width, height } = face;
  const all = losses.flat().filter((v) => Number.isFinite(v) && v > 1e-4);
  const low = 10 ** Math.floor(Math.log10(all.reduce((a, v) => Math.min(a, v), 0.3)));
  const high = 10 ** Math.ceil(Math.log10(all.reduce((a, v) => Math.max(a, v), 1)));
  const x = makeScale(0, Math.max(100, losses.length - 1), 60, width - 66);
  const y = makeScale(low, high, height - 42, 8, true);
  ctx.clearRect(0, 0, width, height);
  drawAxes(ctx, x, y, theme, { xLabel: "step", yLabel: "loss (nats)", grid: true });
  const ends = [];
  for (const [part, name, colour, dash] of [[0, "training", theme.ink, []],
    [1, "held out", theme.series[2], [6, 3]]]) {
    ctx.save();
    ctx.strokeStyle = colour;
    ctx.setLineDash(dash);
    ctx.lineWidth = 1.8;
    ctx.beginPath();
    const clamp = (v) => Math.min(high, Math.max(low, v));
    for (const [k, v] of thin(losses, part)) if (Number.isFinite(v)) ctx.lineTo(x(k), y(clamp(v)));
    ctx.stroke();
    ctx.restore();
    const last = losses.at(-1)[part];
    ends.push([name, x(losses.length - 1) + 5, y(Number.isFinite(last) ? clamp(last) : high)]);
  }
  const gap = ends[1][2] - ends[0][2];
  if (Math.abs(gap) < 15) {
    const push = (15 - Math.abs(gap)) / 2;
    const held = gap >= 0 ? 1 : 0; // the lower label on the page
    ends[held][2] += push;
    ends[1 - held][2] -= push;
  }
  for (const [name, px, py] of ends) label(ctx, name, px, py, theme);
}

/** The ReLU units that are 0 on every training point. */
function deadUnits(training, activation) {
  const { hidden, network: { width } } = training;
  const alive = new Set();
  hidden.forEach((v, o) => v > 0 && alive.add(o % width));
  return activation !== "relu" ? []
    : Array.from({ length: width }, (_, k) => k).filter((k) => !alive.has(k));
}

function render({ model, el }) {
  const data = readData(model);
  const field = makeFieldPainter(GRID);
  // The small pictures use every second point.
  const coarse = Int32Array.from({ length: (GRID / 2) ** 2 }, (_, o) =>
    2 * GRID * Math.floor((2 * o) / GRID) + ((2 * o) % GRID));
  const smallField = makeFieldPainter(GRID / 2);
  const [plane, units, curves] = [makeCanvas(356, 370, ""), makeCanvas(510, 196, ""),
    makeCanvas(510, 174, "")];
  const gridLogits = new Float64Array(GRID * GRID);
  let theme = readTheme(el);
  let settings;
  let training;
  let scales;
  let grid;
  let gridHidden;
  let goal = 0;
  let playing = false;
  let visible = true;
  let ticking = 0;
  let savedAt = 0;

  const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const restartWith = (values) => {
    link.save({ steps: 0, ...values });
    rebuild();
  };
  /** Start again from the seed; train up to the trait `steps`. */
  function rebuild() {
    settings = Object.fromEntries(SETTINGS.map((name) => [name, model.get(name)]));
    const set = data[settings.dataset];
    training = makeTraining(settings, set);
    scales = equalScales(set.box, 50, 8, plane.width - 8, plane.height - 44);
    grid = gridOf(scales.x, scales.y);
    gridHidden = new Float64Array(GRID * GRID * settings.width);
    showControls();
    goTo(model.get("steps"));
  }
  function goTo(steps) {
    if (steps < training.step) return rebuild();
    goal = steps;
    return visible && training.step < goal ? run() : draw();
  }
  function run() {
    if (!ticking && visible && training.step < goal) ticking = requestAnimationFrame(tick);
  }
  function halt() {
    cancelAnimationFrame(ticking);
    ticking = 0;
    playing = false;
    goal = training.step;
    playButton.textContent = "Play";
    save();
    draw();
  }
  function save() {
    savedAt = performance.now();
    if (model.get("steps") !== training.step) link.save({ steps: training.step });
  }
  const tick = (start) => {
    ticking = 0;
    const most = playing ? STEPS_A_FRAME : Infinity;
    for (let n = 0; n < most && training.step < goal && !training.broken; n++) {
      training.advance();
      if (n % 8 === 7 && performance.now() - start > BUDGET_MS) break;
    }
    if (training.step >= goal || training.broken) {
      halt();
      draw.cancel(); // painted now, not in the next frame
    } else run();
    if (!ticking || !still()) draw.now();
  };
  function play(until = MAX_STEPS) {
    if (training.broken || training.step >= MAX_STEPS) return;
    // With reduced motion nothing moves by itself: train, then show the result.
    playing = !still();
    goal = playing ? until : Math.min(until, training.step + 500);
    if (playing) playButton.textContent = "Pause";
    run();
  }
  const toggle = () => (playing ? halt() : play());
  function stepBy(count) {
    if (playing) halt();
    if (!training.broken) goTo(Math.min(MAX_STEPS, goal + count));
  }
  function restart() {
    halt();
    restartWith({});
  }
  function change(values) {
    const again = playing;
    halt();
    restartWith(values);
    if (again) play();
  }
  function preset(name) {
    const { steps, ...chosen } = model.get("presets").find((p) => p.name === name);
    halt();
    restartWith(Object.fromEntries(SETTINGS.map((key) => [key, chosen[key]])));
    play(steps);
  }
  function reset() {
    halt();
    const names = [...SETTINGS, "steps"];
    link.save(Object.fromEntries(names.map((name) => [name, model.get(`first_${name}`)])));
    rebuild();
  }
  function code() {
    halt();
    const { dataset, width, activation, lr, seed } = settings;
    return `Playground(dataset="${dataset}", width=${width}, activation="${activation}", ` +
      `lr=${lr}, seed=${seed}, steps=${training.step})`;
  }

  const shell = makeShell({
    model, el, code, presets: model.get("presets"), onPreset: preset, onReset: reset,
    redraw: () => {
      theme = readTheme(el);
      draw();
    },
  });
  const draw = oncePerFrame(shell.guard(paint));
  draw.now = shell.guard(paint);
  const link = linkTraits(model, [...SETTINGS, "steps"], shell.guard((name) => {
    if (name === "steps" && model.get("steps") === training.step) return;
    const wanted = model.get("steps");
    if (playing) halt();
    if (name !== "steps") rebuild();
    else {
      link.save({ steps: wanted });
      goTo(wanted);
    }
  }));

  function paintUnits() {
    const { ctx } = units;
    const { W1, b1, W2, width } = training.network;
    const columns = width <= 8 ? 4 : 8;
    const cell = units.width / columns;
    const side = Math.min(cell - 12, 74);
    const table = divergingTable(theme.series[4], theme.series[6], theme);
    const dead = deadUnits(training, settings.activation);
    ctx.clearRect(0, 0, units.width, units.height);
    for (let k = 0; k < width; k++) {
      const left = (k % columns) * cell + (cell - side) / 2;
      const top = Math.floor(k / columns) * 98 + 4;
      let most = 1e-12;
      if (settings.activation === "relu")
        for (let o = k; o < gridHidden.length; o += width) most = Math.max(most, gridHidden[o]);
      const middle = { tanh: (v) => (v + 1) / 2, sigmoid: (v) => v,
        relu: (v) => 0.5 + (0.5 * v) / most }[settings.activation];
      smallField(ctx, (o) => middle(gridHidden[coarse[o] * width + k]), table, left, top, side,
        side);
      const [x, y] = ["x", "y"].map((axis) => (v) => (scales[axis](v) - scales[axis].from) /
        (scales[axis].to - scales[axis].from));
      const ends = boundaryEnds(scales.x, scales.y, [W1[k], W1[width + k]], b1[k]);
      if (ends) drawStroke(ctx, ...ends.map(([u, v]) => [left + side * x(u),
        top + side * (1 - y(v))]), { colour: theme.ink, width: 1 });
      ctx.strokeStyle = theme.ink;
      ctx.lineWidth = 1 + Math.min(5, Math.abs(W2[k]) / 2);
      ctx.strokeRect(left, top, side, side);
      const sign = W2[k] < 0 ? "" : "+";
      label(ctx, dead.includes(k) ? "dead" : sign + number(W2[k], 2), left + side / 2,
        top + side + 12, theme, "center");
    }
    return dead;
  }
  function paintPlane() {
    const { ctx, width, height } = plane;
    const { x, y } = scales;
    const box = [x.from, y.to, x.to - x.from, y.from - y.to];
    ctx.clearRect(0, 0, width, height);
    const table = divergingTable(theme.series[1], theme.series[0], theme);
    field(ctx, (o) => 1 / (1 + Math.exp(-gridLogits[o])), table, ...box);
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    strokeZero(ctx, gridLogits, GRID, ...box);
    const rows = data[settings.dataset].rows;
    const numTrain = model.get("num_train");
    drawSamples(ctx, x, y, rows, theme, { radius: 3.5, hollow: (i) => i >= numTrain });
    drawAxes(ctx, x, y, theme, { xLabel: "x₁", yLabel: "x₂" });
  }
  function paint() {
    predictInto(training.network, settings.activation, grid, gridHidden, gridLogits);
    paintPlane();
    const dead = paintUnits();
    paintCurves(curves, training.losses, theme);
    stepText.textContent = `step ${training.step}`;
    if (ticking && performance.now() - savedAt < SAVE_EVERY_MS) return;
    write(dead);
    // On the way to a step that was asked for, the trait already holds that step.
    if (playing || training.step >= goal) save();
    savedAt = performance.now();
  }
  function write(dead) {
    const { train, held } = training.scores;
    const percent = (v) => `${number(100 * v)} %`;
    const broken = training.broken ? " The loss is no longer a number: the run has diverged." : "";
    const lost = dead.length ? ` ${dead.length} of ${settings.width} units are dead: 0 on every ` +
      "training point." : "";
    const text = `Step ${training.step}: loss ${number(train.loss)} nats in training, ` +
      `${number(held.loss)} held out; accuracy ${percent(train.accuracy)} in training, ` +
      `${percent(held.accuracy)} held out.${lost}${broken}`;
    shell.readout(text);
    const keys = "Space plays, right steps, End goes on 100 steps, Home starts again.";
    const weights = Array.from(training.network.W2, (v) => number(v, 2)).join(", ");
    for (const [face, words] of [[plane, `Decision surface on ${settings.dataset}. ${text}`],
      [units, `What each hidden unit computes; output weights ${weights}.`],
      [curves, `Loss against step, training and held out. ${text}`]])
      face.canvas.setAttribute("aria-label", `${words} ${keys}`);
  }

  const onKey = shell.guard((event) => {
    const act = { " ": toggle, ArrowRight: () => stepBy(1), End: () => stepBy(100),
      Home: restart }[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    act();
    event.preventDefault();
    event.stopPropagation();
  });
  for (const { canvas } of [plane, units, curves]) canvas.addEventListener("keydown", onKey);

  const asOptions = (names) => names.map((name) => [name, name]);
  const controls = {
    dataset: select({ label: "data", options: asOptions(Object.keys(data)), value: "",
      onInput: shell.guard((dataset) => change({ dataset })) }),
    width: slider({ label: "width", min: 1, max: 16, step: 1, value: 1,
      onInput: shell.guard((width) => change({ width })) }),
    activation: select({ label: "activation", options: asOptions(model.get("activations")),
      value: "", onInput: shell.guard((activation) => change({ activation })) }),
    lr: slider({ label: "learning rate", min: -3, max: 1.5, step: "any", value: 0,
      format: (v) => say(10 ** v, 2),
      onInput: shell.guard((v) => change({ lr: +(10 ** v).toPrecision(2) })) }),
  };
  const seedBox = h("input", { type: "number", min: 0, step: 1, class: "dlc-number" });
  seedBox.addEventListener("change", shell.guard(() => {
    const seed = Math.max(0, Math.round(+seedBox.value) || 0);
    change({ seed: Math.min(seed, 2 ** 32 - 1) });
  }));
  function showControls() {
    for (const name of ["dataset", "width", "activation"]) controls[name].set(settings[name]);
    const shown = 10 ** +controls.lr.input.value;
    if (+shown.toPrecision(2) !== settings.lr) controls.lr.set(Math.log10(settings.lr));
    seedBox.value = settings.seed;
  }

  const playButton = button("Play", shell.guard(toggle), { class: "dlc-play" });
  const stepText = h("output", {});
  const bar = h("div", { class: "dlc-bar", role: "group", "aria-label": "training" }, playButton,
    button("Step", shell.guard(() => stepBy(1))),
    button("100 steps", shell.guard(() => stepBy(100))),
    button("Start again", shell.guard(restart)), stepText);
  shell.controls.append(bar, ...Object.values(controls).map((c) => c.el),
    h("label", { class: "dlc-control" }, "seed ", seedBox));
  shell.stage.append(plane.canvas, h("div", { class: "dlc-column" }, units.canvas, curves.canvas),
    h("p", { class: "dlc-muted" }, LEGEND));

  const watcher = new IntersectionObserver(([entry]) => see(entry.isIntersecting));
  const onVisibility = () => see(!document.hidden);
  function see(now) {
    visible = now;
    if (playing && !now) halt();
    else if (now) run();
  }
  watcher.observe(shell.stage);
  document.addEventListener("visibilitychange", onVisibility);
  shell.onCleanup(() => document.removeEventListener("visibilitychange", onVisibility));
  shell.onCleanup(() => watcher.disconnect());
  shell.onCleanup(() => cancelAnimationFrame(ticking));
  for (const stop of [link.stop, draw.cancel]) shell.onCleanup(stop);
  shell.guard(rebuild)();
  return shell.cleanup;
}

export default { render };
