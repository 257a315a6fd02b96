// PerceptronStepper: the perceptron rule, one sample at a time.

import { drawAxes } from "./axes.js";
import { boundaryEnds } from "./boundary.js";
import { button, f32, h, makeCanvas, oncePerFrame, pointerAt, say } from "./dom.js";
import { label } from "./label.js";
import { perceptronCase, perceptronRun, separation } from "./perceptron.js";
import { classLook, drawSamples, equalScales, windowOf } from "./plane.js";
import { makePlayer } from "./player.js";
import { makeShell } from "./shell.js";
import { drawStroke } from "./strokes.js";
import { linkTraits, shortNumber } from "./sync.js";
import { readTheme } from "./theme.js";

export { perceptronRun, separation };

const PRESETS = [
  { name: "separable", title: "a line with room on both sides: few mistakes" },
  { name: "narrow margin", title: "the same points, nearer to the line: more mistakes" },
  { name: "outlier", title: "one sample far away: each mistake on it swings the line" },
  { name: "XOR", title: "no line exists: the weights go round for ever" },
];
const CASES = ["t = y: nothing changes", "t = 1, y = 0: w ← w + x, b ← b + 1",
  "t = 0, y = 1: w ← w − x, b ← b − 1"];
const LEGEND = "Circle: t = 1. Square: t = 0. Open: on the wrong side now. Ring: the sample in " +
  "hand. Dashed: before the update. Drag a sample to move it.";
const SIDE = 440;
const SCALES = [1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001];

/** Split float32 bytes into rows [x1, x2, target]. */
export function readSamples(view) {
  const flat = Array.from(f32(view));
  return Array.from({ length: flat.length / 3 }, (_, i) => flat.slice(3 * i, 3 * i + 3));
}

function toBytes(samples) {
  return new DataView(Float32Array.from(samples.flat()).buffer);
}

function number(x) {
  return say(x, 3).replace("-", "−");
}

function factor(x) {
  return x < 0 ? `(${number(x)})` : number(x);
}

function signed(x) {
  return x < 0 ? `− ${number(-x)}` : `+ ${number(x)}`;
}

function vector(frame) {
  return `(${number(frame.w1)}, ${number(frame.w2)})`;
}

/** The equation of one frame with its numbers, line by line. */
function equation(before, after, samples) {
  if (after.sample < 0)
    return ["Start: w = (0, 0), b = 0.", "d = w·x + b, output y = 1 if d ≥ 0, else 0",
      "(the boundary itself belongs to y = 1)", ""];
  const [u, v, t] = samples[after.sample];
  const stays = after.mistakes === before.mistakes;
  return [
    `sample ${after.sample}: x = (${number(u)}, ${number(v)}), target t = ${t}`,
    `d = ${number(before.w1)}·${factor(u)} ${signed(before.w2)}·${factor(v)} ` +
      `${signed(before.b)} = ${number(after.score)}`,
    `d ${after.score >= 0 ? "≥" : "<"} 0, so output y = ${after.output}`,
    stays ? `w = ${vector(after)}, b = ${number(after.b)} stay`
      : `w: ${vector(before)} → ${vector(after)}, b: ${number(before.b)} → ${number(after.b)}`,
  ];
}

/** What the end of the run was, for its last frame. */
function ending({ frames, ending: kind, repeatsFrom }, pass) {
  const last = frames.length - 1;
  if (kind === "converged")
    return ` Converged: the last ${pass} samples, a whole pass, were all right.`;
  if (kind === "repeats")
    return ` The weights are those of step ${repeatsFrom} again: they repeat every ` +
      `${last - repeatsFrom} steps, for ever.`;
  return ` Not finished after ${last} steps, and no repeat seen.`;
}

/** Corners of the part of the window where w . x + b >= 0 (or < 0 with `sign` -1). */
function halfPlane(x, y, w, b, sign = 1) {
  const corners = [[x.low, y.low], [x.high, y.low], [x.high, y.high], [x.low, y.high]];
  const height = ([u, v]) => sign * (w[0] * u + w[1] * v + b);
  const out = [];
  corners.forEach((p, k) => {
    const q = corners[(k + 1) % 4];
    const [hp, hq] = [height(p), height(q)];
    if (hp >= 0) out.push(p);
    if (hp >= 0 !== hq >= 0) {
      const f = hp / (hp - hq);
      out.push([p[0] + f * (q[0] - p[0]), p[1] + f * (q[1] - p[1])]);
    }
  });
  return out;
}

/** Fill a polygon given in data units. */
function fillPolygon(ctx, x, y, corners, colour, alpha) {
  if (corners.length < 3) return;
  ctx.save();
  ctx.globalAlpha = alpha;
  ctx.fillStyle = colour;
  ctx.beginPath();
  for (const [u, v] of corners) ctx.lineTo(x(u), y(v));
  ctx.fill();
  ctx.restore();
}

/** Index of the sample nearest to a pixel position, or -1 where none is within `reach`. */
function nearestSample(samples, x, y, [px, py], reach = 20) {
  let best = -1;
  let least = reach;
  samples.forEach(([u, v], i) => {
    const distance = Math.hypot(x(u) - px, y(v) - py);
    if (distance <= least) [best, least] = [i, distance];
  });
  return best;
}

/** Shade the two sides of the boundary and name their outputs. */
function paintSides(ctx, x, y, { w1, w2, b }, theme) {
  for (const side of [1, 0]) {
    const corners = halfPlane(x, y, [w1, w2], b, side ? 1 : -1);
    if (corners.length < 3 || (!side && !w1 && !w2 && b >= 0)) continue;
    fillPolygon(ctx, x, y, corners, classLook(side, theme).colour, theme.dark ? 0.2 : 0.12);
    const height = ([u, v]) => Math.abs(w1 * u + w2 * v + b) + 1e-9 * v;
    const [u, v] = corners.reduce((a, p) => (height(p) > height(a) ? p : a));
    const [right, top] = [x(u) > SIDE / 2, y(v) < SIDE / 2];
    label(ctx, `output ${side}`, x(u) + (right ? -6 : 6), y(v) + (top ? 12 : -10), theme,
      right ? "right" : "left");
  }
}

/** Draw w from the origin; after an update also the old w and the x that was added. */
function paintArrows(ctx, x, y, frames, step, target, theme) {
  const [before, after] = [frames[Math.max(0, step - 1)], frames[step]];
  const longest = Math.max(...frames.map((f) => Math.hypot(f.w1, f.w2)));
  const room = 0.45 * Math.min(x.high - x.low, y.high - y.low);
  const k = SCALES.find((s) => s * longest <= room) ?? room / longest;
  const tip = ({ w1, w2 }) => [x(k * w1), y(k * w2)];
  const origin = [x(0), y(0)];
  if (before.mistakes < after.mistakes) {
    const colour = classLook(target, theme).colour;
    drawStroke(ctx, origin, tip(before), { colour: theme.muted, dash: [5, 4], head: true });
    drawStroke(ctx, tip(before), tip(after), { colour, width: 1.5, head: true });
  }
  if (!after.w1 && !after.w2) return;
  drawStroke(ctx, origin, tip(after), { colour: theme.ink, width: 3, head: true });
  const [px, py] = tip(after);
  const right = px > SIDE - 80;
  label(ctx, k === 1 ? "w" : `${+k.toPrecision(2)} w`, px + (right ? -8 : 8), py - 10, theme,
    right ? "right" : "left");
}

function paintLine(ctx, x, y, { w1, w2, b }, style) {
  const ends = boundaryEnds(x, y, [w1, w2], b);
  if (ends) drawStroke(ctx, ...ends.map(([u, v]) => [x(u), y(v)]), style);
}

function paintScene(ctx, x, y, { samples, step }, frames, theme) {
  const [before, after] = [frames[Math.max(0, step - 1)], frames[step]];
  const wrong = ([u, v, t]) => (after.w1 * u + after.w2 * v + after.b >= 0 ? 1 : 0) !== t;
  ctx.clearRect(0, 0, SIDE, SIDE);
  ctx.save();
  ctx.beginPath();
  ctx.rect(x.from, y.to, x.to - x.from, y.from - y.to);
  ctx.clip();
  paintSides(ctx, x, y, after, theme);
  if (before.mistakes < after.mistakes)
    paintLine(ctx, x, y, before, { colour: theme.muted, dash: [7, 5] });
  paintLine(ctx, x, y, after, { colour: theme.ink });
  drawSamples(ctx, x, y, samples, theme, { hollow: (i) => wrong(samples[i]) });
  const held = samples[after.sample];
  if (held) {
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    ctx.beginPath();
    ctx.arc(x(held[0]), y(held[1]), 12, 0, 2 * Math.PI);
    ctx.stroke();
  }
  paintArrows(ctx, x, y, frames, step, held?.[2], theme);
  ctx.restore();
  drawAxes(ctx, x, y, theme, { xLabel: "x₁", yLabel: "x₂" });
}

function render({ model, el }) {
  let theme = readTheme(el);
  let state;
  let run;
  let apart;
  let box;
  let dragged = -1;
  const face = makeCanvas(SIDE, SIDE, "");
  const { canvas, ctx } = face;
  const panel = h("div", { class: "dlc-panel" });

  /** Take the state from the traits and run the rule on it. */
  function follow() {
    const samples = readSamples(model.get("samples"));
    const bad = samples.findIndex((row) => !row.every(Number.isFinite));
    if (bad >= 0) throw new Error(`sample ${bad} is not finite: ${samples[bad].join(", ")}`);
    const order = model.get("order");
    const fits = order.length && order.every((i) => i < samples.length);
    state = { samples, order: fits ? order : samples.map((_, i) => i), step: model.get("step") };
    box = windowOf(samples);
    rerun();
  }
  function rerun() {
    run = perceptronRun(state.samples, state.order, model.get("max_steps"));
    apart = separation(state.samples);
    player.setLength(run.frames.length);
    player.show(state.step);
  }
  function load(values) {
    player.pause();
    link.save(values);
    follow();
  }
  function loadPreset(preset) {
    const sizes = model.get("preset_sizes");
    const k = model.get("preset_names").indexOf(preset);
    const from = sizes.slice(0, k).reduce((a, n) => a + n, 0);
    const rows = readSamples(model.get("preset_samples")).slice(from, from + sizes[k]);
    load({ samples: toBytes(rows), order: [], preset, step: 0 });
  }
  function reset() {
    const names = ["samples", "order", "step", "preset"];
    load(Object.fromEntries(names.map((name) => [name, model.get(`first_${name}`)])));
  }
  function code() {
    const rows = state.samples.map(([u, v]) => `[${shortNumber(u)}, ${shortNumber(v)}]`);
    const parts = model.get("preset") ? [`preset="${model.get("preset")}"`]
      : [`[${rows.join(", ")}]`, `[${state.samples.map((s) => s[2]).join(", ")}]`];
    if (model.get("order").length) parts.push(`order=[${model.get("order").join(", ")}]`);
    parts.push(`max_steps=${model.get("max_steps")}`, `step=${state.step}`);
    return `PerceptronStepper(${parts.join(", ")})`;
  }

  const shell = makeShell({
    model, el, presets: PRESETS, code, onPreset: loadPreset, onReset: reset,
    redraw: () => {
      theme = readTheme(el);
      draw();
    },
  });
  const link = linkTraits(model, ["samples", "order", "max_steps", "step", "preset"],
    shell.guard((name) => (name === "step" ? player.show(model.get("step")) : follow())));
  const draw = oncePerFrame(shell.guard(paint));
  const player = makePlayer({
    length: 1,
    onFrame(index) {
      state.step = index;
      if (model.get("step") !== index) link.save({ step: index });
      draw();
    },
  });

  function nextMistake() {
    player.pause();
    const now = run.frames[state.step].mistakes;
    const found = run.frames.findIndex((frame) => frame.mistakes > now);
    player.show(found < 0 ? run.frames.length - 1 : found);
  }
  function moveSample(i, u, v) {
    // Hundredths keep the copied code short.
    const fit = (value, low, high) =>
      Math.fround(Math.round(100 * Math.min(high, Math.max(low, value))) / 100);
    state.samples[i] = [fit(u, box.x0, box.x1), fit(v, box.y0, box.y1), state.samples[i][2]];
    link.save({ samples: toBytes(state.samples), preset: "" });
    rerun();
  }
  function scales() {
    return equalScales(box, 52, 10, SIDE - 10, SIDE - 48);
  }

  function paint() {
    const { x, y } = scales();
    paintScene(ctx, x, y, state, run.frames, theme);
    const [before, after] = [run.frames[Math.max(0, state.step - 1)], run.frames[state.step]];
    const target = state.samples[after.sample]?.[2];
    const taken = after.sample < 0 ? -1 : perceptronCase(target, after.output);
    const last = state.step === run.frames.length - 1 ? ending(run, state.order.length) : "";
    const bound = apart.margin ? `bound R²/γ² = ${number(apart.bound)}` : "not separable: no bound";
    panel.replaceChildren(
      ...equation(before, after, state.samples).map((text) => h("p", {}, text)),
      ...CASES.map((text, k) => h("p", { class: k === taken ? "dlc-case dlc-on" : "dlc-case" },
        `${k === taken ? "▶" : "\u2003"} ${k + 1}. ${text}`)),
      h("p", {}, `mistakes so far ${after.mistakes}; ${bound}`),
      h("p", {}, apart.margin ? `R = ${number(apart.radius)}, γ = ${number(apart.margin)}, ` +
        "the bias counted as a third weight" : ""),
      h("p", { class: "dlc-muted" }, LEGEND),
    );
    const seen = taken < 0 ? "start" : `sample ${after.sample}, t = ${target}, ` +
      `y = ${after.output}, case ${taken + 1}`;
    const text = `Step ${state.step} of ${run.frames.length - 1}: ${seen}; w = ${vector(after)}, ` +
      `b = ${number(after.b)}; mistakes ${after.mistakes}; ${bound}.${last}`;
    shell.readout(text);
    canvas.setAttribute("aria-label", `Two classes and the perceptron's boundary. ${text} ` +
      "Space plays, arrows step, Shift and arrows move the sample in hand.");
  }

  function onKey(event) {
    const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1],
      ArrowDown: [0, -0.1] }[event.key];
    const i = run.frames[state.step].sample;
    if (!event.shiftKey || !by || i < 0) return player.handleKey(event);
    event.preventDefault();
    event.stopPropagation();
    return moveSample(i, state.samples[i][0] + by[0], state.samples[i][1] + by[1]);
  }
  function onDown(event) {
    const { x, y } = scales();
    dragged = nearestSample(state.samples, x, y, pointerAt(event, face));
    if (dragged < 0) return;
    canvas.setPointerCapture(event.pointerId);
    player.pause();
  }
  function onMove(event) {
    const { x, y } = scales();
    const at = pointerAt(event, face);
    if (dragged >= 0) moveSample(dragged, x.invert(at[0]), y.invert(at[1]));
    else canvas.style.cursor = nearestSample(state.samples, x, y, at) < 0 ? "default" : "grab";
  }
  const drop = () => (dragged = -1);
  const events = { keydown: onKey, pointerdown: onDown, pointermove: onMove, pointerup: drop,
    pointercancel: drop };
  for (const [name, handler] of Object.entries(events))
    canvas.addEventListener(name, shell.guard(handler));

  shell.controls.append(player.el, button("Next mistake", shell.guard(nextMistake)));
  shell.stage.append(canvas, panel);
  for (const stop of [link.stop, draw.cancel, player.destroy]) shell.onCleanup(stop);
  shell.guard(follow)();
  return shell.cleanup;
}

export default { render };
