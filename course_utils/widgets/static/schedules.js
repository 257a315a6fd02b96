// ScheduleExplorer: a learning-rate schedule, and minibatch SGD under it on a noisy quadratic.

import { drawAxes, drawMarker, makeScale } from "./axes.js";
import { strokeCurve } from "./curve.js";
import { f32, makeCanvas, pointerAt, say, select, slider } from "./dom.js";
import { makePlayer } from "./player.js";
import { rateSlider } from "./rate.js";
import { readTheme } from "./theme.js";
import { wireShell } from "./wire.js";

const BOX = { left: 60, right: 362, top: 14, bottom: 284 };
const SIZE = [380, 324];
const LOSSES = [1e-4, 100];
const TAIL = 40;
const EXPLODED = 1e6;
const KEEP = ["schedule", "base_lr", "shape", "step"];

const halfCosine = (fraction) => (1 + Math.cos(Math.PI * fraction)) / 2;

/** Each takes the step, the shape and the number of steps; returns the fraction of the base. */
const FACTORS = {
  constant: () => 1,
  step: (t, steps) => 0.1 ** Math.floor(t / steps),
  linear: (t, last, n) => 1 + ((last - 1) * t) / n,
  "1/t": (t, half) => 1 / (1 + t / half),
  exponential: (t, half) => 0.5 ** (t / half),
  cosine: (t, last, n) => last + (1 - last) * halfCosine(t / n),
  "warm-up": (t, steps, n) =>
    t < steps ? 0.01 + (0.99 * t) / steps : halfCosine((t - steps) / (n - steps)),
  cyclic: (t, steps) => 0.1 + 0.9 * (1 - Math.abs(((t / steps) % 2) - 1)),
  SGDR(t, first) {
    let length = first;
    while (t >= length) [t, length] = [t - length, 2 * length];
    return halfCosine(t / length);
  },
};

/** The learning rate of each step. */
export function learningRates(schedule, base, shape, numSteps) {
  return Array.from({ length: numSteps }, (_, t) => base * FACTORS[schedule](t, shape, numSteps));
}

/**
 * Minibatch SGD on the quadratic with these curvatures, from distance 1 in each direction.
 * `noise` holds each minibatch's shift, step by step. Returns {loss, stopped}; the loss is
 * infinite from a divergence on.
 */
export function noisyDescent(lrs, noise, curvatures) {
  const theta = curvatures.map(() => 1);
  const height = () => 0.5 * theta.reduce((sum, v, k) => sum + curvatures[k] * v * v, 0);
  const loss = new Array(lrs.length + 1).fill(Infinity);
  loss[0] = height();
  for (let t = 0; t < lrs.length; t++) {
    curvatures.forEach((c, k) => {
      theta[k] -= lrs[t] * c * (theta[k] - noise[t * theta.length + k]);
    });
    const value = height();
    if (!(value < EXPLODED * loss[0])) return { loss, stopped: t + 1 };
    loss[t + 1] = value;
  }
  return { loss, stopped: null };
}

/** Mean loss of the last steps. */
export function tailMean({ loss }) {
  return loss.slice(-TAIL).reduce((sum, v) => sum + v, 0) / TAIL;
}

/** The loss about which a constant learning rate ends. */
export function constantFloor(lr, curvatures, sigma) {
  if (lr * Math.max(...curvatures) >= 2 - 1e-12) return Infinity;
  const part = (c) => (c * lr * c * sigma ** 2) / (2 - lr * c);
  return 0.5 * curvatures.reduce((sum, c) => sum + part(c), 0);
}

/** What to read aloud: the final losses of the schedule and of the constant rate. */
export function scheduleWords(schedule, run, constant) {
  const end = ({ loss, stopped }, of) =>
    stopped === null ? `final loss${of} ${say(tailMean({ loss }), 3)}` : `diverged at step ${stopped}`;
  const mean = ` (mean of ${TAIL} steps)`;
  const own = `${schedule}: ${end(run, mean)}`;
  if (schedule === "constant") return `${own}.`;
  const times = tailMean(constant) / tailMean(run);
  const ratio = Number.isFinite(times) ? `, ${say(times, 2)} times as high` : "";
  return `${own}; constant: ${end(constant, "")}${ratio}.`;
}

/** The Python call that shows `state` again. */
export function scheduleCall({ schedule, base_lr, shape, step }) {
  return `ScheduleExplorer(schedule="${schedule}", base_lr=${base_lr}, shape=${shape}, step=${step})`;
}

function render({ model, el }) {
  const numSteps = model.get("num_steps");
  const schedules = model.get("schedules");
  const curvatures = model.get("curvatures");
  const sigma = model.get("sigma");
  const { shell, state, change } = wireShell({
    model,
    el,
    keep: KEEP,
    follow: ["noise"],
    before: () => player.pause(),
    code: scheduleCall,
    draw: () => draw(),
  });

  const schedule = select({
    label: "schedule",
    options: Object.keys(schedules).map((name) => [name, name]),
    value: model.get("schedule"),
    onInput: (name) => change({ schedule: name, shape: schedules[name].default }),
  });
  const base = rateSlider({
    label: "base learning rate",
    low: -3,
    high: 0,
    read: () => model.get("base_lr"),
    onInput: (value) => change({ base_lr: value }),
  });
  let shape = null;
  shape = slider({
    label: "shape",
    min: 0,
    max: 1,
    step: 0.01,
    value: 0,
    // A shape set from Python may lie between two places of the slider.
    format(v) {
      const exact = model.get("shape");
      return say(Math.abs(exact - v) < 0.51 * shape?.input.step ? exact : v);
    },
    onInput: (value) => change({ shape: value }),
  });
  shell.controls.append(schedule.el, base.el, shape.el);

  const left = makeCanvas(...SIZE, "learning rate against step");
  const right = makeCanvas(...SIZE, "loss against step");
  const player = makePlayer({
    length: numSteps + 1,
    index: model.get("step"),
    speed: "30",
    onFrame: (step) => step !== model.get("step") && change({ step }),
  });
  shell.stage.append(left.canvas, right.canvas);
  shell.stage.after(player.el);

  let shown = {};
  function syncControls(now) {
    schedule.set(now.schedule);
    if (now.base_lr !== shown.base_lr) base.set(now.base_lr);
    const { label, low, high, step } = schedules[now.schedule];
    if (now.schedule !== shown.schedule) {
      Object.assign(shape.input, { min: low, max: high, step });
      shape.el.querySelector("label").textContent = label;
      shape.el.hidden = low === high;
    }
    if (now.shape !== shown.shape || now.schedule !== shown.schedule) shape.set(now.shape);
    if (now.step !== player.index) player.show(now.step);
    shown = now;
  }

  /** What the lines mean; under the constant schedule there is only one. */
  function legend(now, theme) {
    const constant = ["constant", theme.series[1], [8, 4]];
    if (now.schedule === "constant") return [constant];
    return [[now.schedule, theme.series[0], []], constant];
  }

  function drawCursor(ctx, x, y, theme, points, now) {
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    ctx.strokeRect(x, BOX.top, 0, BOX.bottom - BOX.top);
    points.forEach(([value, kind]) => {
      if (now.schedule === "constant" && kind === 0) return;
      const height = Math.min(BOX.bottom, Math.max(BOX.top, y(value)));
      drawMarker(ctx, kind ? "square" : "circle", x, height, 5, theme.series[kind], theme.paper);
    });
  }

  function drawWords(ctx, lines, theme) {
    ctx.font = "12px sans-serif";
    ctx.textAlign = "right";
    ctx.textBaseline = "middle";
    lines.forEach(([text, colour, dash], k) => {
      const y = BOX.top + 10 + 17 * k;
      ctx.fillStyle = theme.ink;
      ctx.fillText(text, BOX.right - 38, y);
      strokeCurve(ctx, [[BOX.right - 32, y], [BOX.right - 2, y]], { colour, dash });
    });
  }

  function clipped(ctx, paint) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(BOX.left, BOX.top - 6, BOX.right - BOX.left + 8, BOX.bottom - BOX.top + 12);
    ctx.clip();
    paint();
    ctx.restore();
  }

  function drawRates(now, lrs, theme) {
    const { ctx } = left;
    const limit = 2 / Math.max(...curvatures);
    const x = makeScale(0, numSteps, BOX.left, BOX.right);
    const y = makeScale(0, 1.3 * now.base_lr, BOX.bottom, BOX.top);
    ctx.clearRect(0, 0, ...SIZE);
    drawAxes(ctx, x, y, theme, { xLabel: "step", yLabel: "learning rate", grid: true, gap: 58 });
    clipped(ctx, () => {
      const dotted = [[BOX.left, y(limit)], [BOX.right, y(limit)]];
      strokeCurve(ctx, dotted, { colour: theme.ink, dash: [2, 3] }, 1.5);
      const level = y(now.base_lr);
      strokeCurve(ctx, [[BOX.left, level], [BOX.right, level]], { colour: theme.series[1], dash: [8, 4] });
      const at = lrs[Math.min(now.step, numSteps - 1)];
      if (now.schedule !== "constant")
        strokeCurve(ctx, lrs.map((lr, t) => [x(t), y(lr)]), { colour: theme.series[0], dash: [] });
      drawCursor(ctx, x(now.step), y, theme, [[now.base_lr, 1], [at, 0]], now);
    });
    const words = legend(now, theme);
    if (limit < y.high) words.push([`limit ${say(limit)}`, theme.ink, [2, 3]]);
    drawWords(ctx, words, theme);
  }

  function drawLosses(now, run, constant, theme) {
    const { ctx } = right;
    const floor = constantFloor(now.base_lr, curvatures, sigma);
    const x = makeScale(0, numSteps, BOX.left, BOX.right);
    const y = makeScale(...LOSSES, BOX.bottom, BOX.top, true);
    const points = ({ loss }) => loss.filter(Number.isFinite).map((v, t) =>
      [x(t), y(Math.max(LOSSES[0] / 10, Math.min(v, LOSSES[1] * 10)))]);
    ctx.clearRect(0, 0, ...SIZE);
    drawAxes(ctx, x, y, theme, { xLabel: "step", yLabel: "loss (log)", grid: true, gap: 54 });
    clipped(ctx, () => {
      if (floor < LOSSES[1])
        strokeCurve(ctx, [[BOX.left, y(floor)], [BOX.right, y(floor)]],
          { colour: theme.ink, dash: [2, 3] }, 1.5);
      strokeCurve(ctx, points(constant), { colour: theme.series[1], dash: [8, 4] }, 1.5);
      if (now.schedule !== "constant") strokeCurve(ctx, points(run), { colour: theme.series[0], dash: [] }, 1.5);
      const at = (of) => Math.min(LOSSES[1] * 10, of.loss[now.step]);
      drawCursor(ctx, x(now.step), y, theme, [[at(constant), 1], [at(run), 0]], now);
    });
    const words = legend(now, theme);
    if (run.stopped !== null) words.push([`diverged at step ${run.stopped}`, theme.paper, []]);
    if (floor < LOSSES[1]) words.push(["noise floor, constant", theme.ink, [2, 3]]);
    drawWords(ctx, words, theme);
  }

  const draw = shell.guard(() => {
    const now = state();
    const theme = readTheme(el);
    syncControls(now);
    const noise = f32(model.get("noise"));
    const lrs = learningRates(now.schedule, now.base_lr, now.shape, numSteps);
    const run = noisyDescent(lrs, noise, curvatures);
    const steady = learningRates("constant", now.base_lr, 0, numSteps);
    const constant = noisyDescent(steady, noise, curvatures);
    drawRates(now, lrs, theme);
    drawLosses(now, run, constant, theme);
    const rate = say(lrs[Math.min(now.step, numSteps - 1)], 3);
    const name = `Base learning rate ${say(now.base_lr)}`;
    const words = scheduleWords(now.schedule, run, constant);
    const here = `Step ${now.step} of ${numSteps}: learning rate ${rate}, loss ${say(run.loss[now.step], 3)}.`;
    shell.readout(`${name}. ${words} ${here}`);
    left.canvas.setAttribute("aria-label", `Learning rate against step, ${now.schedule}. ${name}. ${here}`);
    right.canvas.setAttribute("aria-label", `Loss against step. ${name}. ${words} ${here}`);
  });

  for (const target of [left, right]) {
    const { canvas } = target;
    const scrub = shell.guard((event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      player.pause();
      player.show(makeScale(0, numSteps, BOX.left, BOX.right).invert(pointerAt(event, target)[0]));
    });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      scrub(event);
    });
    canvas.addEventListener("pointermove", scrub);
    canvas.addEventListener("keydown", player.handleKey);
  }

  shell.onCleanup(() => player.destroy());
  draw();
  return shell.cleanup;
}

export default { render };
