// DistributionPair: two distributions as bars, and what it costs to take one for the other.

import { drawMarker, makeScale, tickText, ticks } from "./axes.js";
import { button, checkbox, h, makeCanvas, pointerAt, say } from "./dom.js";
import { readTheme } from "./theme.js";
import { wireShell } from "./wire.js";

const SIZE = [425, 310];
const BARS = { left: 50, right: 419, top: 34, bottom: 272 };
const SCALE = { left: 10, right: 412, top: 6, bottom: 272 };
const KEEP = ["p", "q", "unit", "edited", "outcome"];
const GRAINS = 1e6;
const ROW = 53;

function cross(p, q) {
  return p.reduce((sum, v, k) => (v > 0 ? sum - v * Math.log(q[k]) : sum), 0);
}

function klOf(p, q) {
  const sum = p.reduce((part, v, k) => (v > 0 ? part + v * Math.log(v / q[k]) : part), 0);
  return sum < 0 ? 0 : sum;
}

/** Entropies, cross-entropy and divergences of p and q, in nats divided by `nats`. */
export function measures(p, q, nats = 1) {
  // A NaN anywhere must not pass for an outcome that never happens.
  const bad = [...p, ...q].find(Number.isNaN) === undefined ? 0 : NaN;
  const m = p.map((v, k) => (v + q[k]) / 2);
  const all = {
    h_p: cross(p, p),
    h_q: cross(q, q),
    h_pq: cross(p, q),
    kl_pq: klOf(p, q),
    kl_qp: klOf(q, p),
    js: (klOf(p, m) + klOf(q, m)) / 2,
  };
  return Object.fromEntries(Object.entries(all).map(([k, v]) => [k, v / nats + bad]));
}

/** The distribution with one entry set and the others scaled, in millionths, to the sum 1. */
export function rescale(values, index, value) {
  const wanted = Math.floor(Math.min(1, Math.max(0, value)) * GRAINS + 0.5);
  const others = [...values.keys()].filter((j) => j !== index);
  const total = others.reduce((sum, j) => sum + values[j], 0);
  const share = (j) => (total > 0 ? values[j] / total : 1 / others.length);
  const ideal = others.map((j) => (GRAINS - wanted) * share(j));
  const grains = ideal.map((amount) => Math.floor(amount + 1e-6));
  // What rounding down left over goes to the largest remainders.
  const left = GRAINS - wanted - grains.reduce((sum, v) => sum + v, 0);
  const order = [...grains.keys()].sort((a, b) => grains[a] - ideal[a] - (grains[b] - ideal[b]));
  for (const k of order.slice(0, Math.max(0, left))) grains[k] += 1;
  const result = values.map(() => wanted / GRAINS);
  others.forEach((j, k) => (result[j] = grains[k] / GRAINS));
  return result;
}

const tuple = (values) => `(${values.join(", ")})`;
const short = (values) => `(${values.map((v) => say(v, 3)).join(", ")})`;

/** The Python call that shows `state` again. */
export function pairCall({ p, q, unit, edited, outcome }) {
  return `DistributionPair(p=${tuple(p)}, q=${tuple(q)}, unit="${unit}", edited="${edited}", ` +
    `outcome=${outcome})`;
}

/** What to read aloud: all that is measured. */
export function pairWords(m, unit) {
  return `In ${unit}: H(p) ${say(m.h_p)}, H(q) ${say(m.h_q)}, H(p, q) ${say(m.h_pq)} = ` +
    `H(p) + KL(p‖q); KL(p‖q) ${say(m.kl_pq)}, KL(q‖p) ${say(m.kl_qp)}, JS ${say(m.js)}.`;
}

/** A probability beside its bar: two digits, no leading zero. */
function percent(v) {
  if (!Number.isFinite(v)) return "NaN";
  if (v === 0 || v === 1) return String(v);
  if (v < 0.005) return "≈0";
  return v > 0.995 ? "≈1" : v.toFixed(2).slice(1);
}

/** A box in one of four looks: full, or with strokes or dots, so that colour is never alone. */
function paintBox(ctx, x, y, width, height, { colour, fill }) {
  if (!(width >= 0 && height >= 0)) return;
  ctx.save();
  ctx.fillStyle = ctx.strokeStyle = colour;
  ctx.beginPath();
  ctx.rect(x, y, width, height);
  if (fill === "full") ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.stroke();
  ctx.clip();
  ctx.beginPath();
  if (fill === "dots") {
    for (let a = x + 4; a < x + width; a += 7)
      for (let b = y + 4; b < y + height; b += 7) ctx.rect(a, b, 2, 2);
    ctx.fill();
  } else if (fill !== "full") {
    const lean = fill === "back" ? -1 : 1;
    for (let a = x - height; a < x + width + height; a += 6) {
      ctx.moveTo(a, lean > 0 ? y + height : y);
      ctx.lineTo(a + height, lean > 0 ? y : y + height);
    }
    ctx.lineWidth = 1.3;
    ctx.stroke();
  }
  ctx.restore();
}

function looksOf({ series }) {
  return {
    p: { colour: series[0], fill: "full" },
    q: { colour: series[1], fill: "rise" },
    kl: { colour: series[3], fill: "back" },
    js: { colour: series[2], fill: "dots" },
  };
}

/** The rows of the scale: words, and the boxes they are made of. */
function rowsOf(m, unit) {
  const both = m.kl_pq === Infinity
    ? "is infinite: q is 0 where p is not"
    : `= ${say(m.h_p)} + ${say(m.kl_pq)} = ${say(m.h_pq)}`;
  const limit = unit === "bits" ? "1" : "ln 2";
  return [
    [`H(p) = ${say(m.h_p)}`, [[m.h_p, "p"]]],
    [`H(q) = ${say(m.h_q)}`, [[m.h_q, "q"]]],
    [`H(p, q) = H(p) + KL(p‖q) ${both}`, [[m.h_p, "p"], [m.kl_pq, "kl"]]],
    [`KL(q‖p) = ${say(m.kl_qp)}`, [[m.kl_qp, "kl"]]],
    [`JS = ${say(m.js)} (at most ${limit})`, [[m.js, "js"]]],
  ];
}

/** The end of the scale: the next of a few round numbers, so that it seldom jumps. */
function scaleEnd(m) {
  const longest = Math.max(...Object.values(m).filter(Number.isFinite), 0);
  const round = [1, 1.5, 2, 3, 4, 6, 8, 10, 15, 20, 30, 50];
  return round.find((end) => end >= 1.02 * longest) ?? 1.1 * longest;
}

function drawScale(ctx, m, nats, unit, theme) {
  const x = makeScale(0, scaleEnd(m), SCALE.left, SCALE.right);
  const looks = looksOf(theme);
  ctx.clearRect(0, 0, ...SIZE);
  ctx.font = "12px sans-serif";
  ctx.textBaseline = "top";
  rowsOf(m, unit).forEach(([words, parts], row) => {
    const y = SCALE.top + ROW * row;
    ctx.fillStyle = theme.ink;
    ctx.textAlign = "left";
    ctx.fillText(words, SCALE.left, y);
    let from = SCALE.left;
    for (const [value, look] of parts) {
      const to = value === Infinity ? SCALE.right : from + x(value) - SCALE.left;
      paintBox(ctx, from, y + 18, to - from, 18, looks[look]);
      if (value === Infinity) drawArrow(ctx, to, y + 27, looks[look].colour);
      from = to;
    }
  });
  drawLimit(ctx, x(Math.LN2 / nats), theme);
  drawTicks(ctx, x, unit, theme);
}

/** A bar that has no end. */
function drawArrow(ctx, x, y, colour) {
  ctx.fillStyle = colour;
  ctx.beginPath();
  ctx.moveTo(x + 12, y);
  ctx.lineTo(x, y - 14);
  ctx.lineTo(x, y + 14);
  ctx.fill();
}

/** The largest JS there is. */
function drawLimit(ctx, x, theme) {
  const y = SCALE.top + 4 * ROW;
  ctx.strokeStyle = theme.ink;
  ctx.setLineDash([3, 3]);
  ctx.beginPath();
  ctx.moveTo(x, y + 14);
  ctx.lineTo(x, y + 40);
  ctx.stroke();
  ctx.setLineDash([]);
}

function drawTicks(ctx, x, unit, theme) {
  ctx.strokeStyle = ctx.fillStyle = theme.ink;
  ctx.lineWidth = 1;
  ctx.strokeRect(x.from, SCALE.bottom, x.to - x.from, 0);
  ctx.textAlign = "center";
  for (const t of ticks(x.low, x.high, 6)) {
    ctx.strokeRect(x(t), SCALE.bottom, 0, 4);
    ctx.fillText(tickText(t), x(t), SCALE.bottom + 6);
  }
  ctx.fillText(unit, (x.from + x.to) / 2, SCALE.bottom + 21);
}

/** Left end and width of the bar of `name` at an outcome. */
function barBox(name, k, count) {
  const group = (BARS.right - BARS.left) / count;
  const width = Math.min(40, 0.4 * group);
  const middle = BARS.left + (k + 0.5) * group;
  return [name === "p" ? middle - width - 1 : middle + 1, width];
}

/** The scale of probabilities; the outcomes have names instead of a scale. */
function drawFrame(ctx, y, theme) {
  ctx.font = "12px sans-serif";
  ctx.lineWidth = 1;
  ctx.fillStyle = theme.ink;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const t of ticks(0, 1, 5)) {
    ctx.strokeStyle = t === 0 ? theme.ink : theme.grid;
    ctx.strokeRect(BARS.left, y(t), BARS.right - BARS.left, 0);
    ctx.fillText(tickText(t), BARS.left - 6, y(t));
  }
  ctx.textAlign = "center";
  ctx.fillText("outcome", (BARS.left + BARS.right) / 2, BARS.bottom + 29);
  ctx.save();
  ctx.translate(8, (BARS.top + BARS.bottom) / 2);
  ctx.rotate(-Math.PI / 2);
  ctx.fillText("probability", 0, 0);
  ctx.restore();
}

/** Frame the chosen bar, and point at it from below. */
function markBar(ctx, left, top, width, ink) {
  ctx.strokeStyle = ctx.fillStyle = ink;
  ctx.lineWidth = 2.5;
  ctx.strokeRect(left, top, width, BARS.bottom - top);
  drawMarker(ctx, "triangle", left + width / 2, BARS.bottom + 9, 4, ink);
}

function drawBars(ctx, { p, q, edited, outcome }, theme) {
  const looks = looksOf(theme);
  const y = makeScale(0, 1, BARS.bottom, BARS.top);
  ctx.clearRect(0, 0, ...SIZE);
  drawFrame(ctx, y, theme);
  ctx.textAlign = "center";
  ctx.font = p.length > 6 ? "10px sans-serif" : "12px sans-serif";
  for (const [name, values] of [["p", p], ["q", q]])
    values.forEach((v, k) => {
      const [left, width] = barBox(name, k, p.length);
      const top = Number.isFinite(v) ? y(v) : BARS.bottom;
      paintBox(ctx, left, top, width, BARS.bottom - top, looks[name]);
      ctx.fillStyle = theme.ink;
      ctx.textBaseline = "bottom";
      ctx.fillText(percent(v), left + width / 2, top - 3);
      if (name === edited && k === outcome)
        markBar(ctx, left, top, width, theme.ink);
    });
  ctx.font = "12px sans-serif";
  ctx.textBaseline = "top";
  ctx.fillStyle = theme.ink;
  p.forEach((_, k) => {
    const [left, width] = barBox("p", k, p.length);
    ctx.fillText(k + 1, left + width + 1, BARS.bottom + 6);
  });
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  ["p", "q"].forEach((name, k) => {
    paintBox(ctx, BARS.right - 96 + 52 * k, 6, 24, 10, looks[name]);
    ctx.fillStyle = theme.ink;
    ctx.fillText(name, BARS.right - 67 + 52 * k, 11);
  });
}

function render({ model, el }) {
  const { shell, state, change } = wireShell({
    model,
    el,
    keep: KEEP,
    before: () => (grabbed = null),
    code: pairCall,
    draw: () => draw(),
  });
  let grabbed = null; // the distribution as it was when a bar was taken
  const bits = checkbox({
    label: "in bits",
    value: model.get("unit") === "bits",
    onInput: (on) => change({ unit: on ? "bits" : "nats" }),
  });
  const swap = button("Swap with next outcome", shell.guard(() => {
    const { edited, outcome, ...now } = state();
    const values = [...now[edited]];
    const next = (outcome + 1) % values.length;
    [values[outcome], values[next]] = [values[next], values[outcome]];
    change({ [edited]: values, outcome: next });
  }), { class: "dlc-swap" });
  shell.controls.append(bits.el, swap);

  const bars = makeCanvas(...SIZE, "two distributions");
  const scale = makeCanvas(...SIZE, "entropies and divergences");
  shell.stage.append(bars.canvas, scale.canvas);
  shell.stage.after(h("p", { class: "dlc-muted" },
    "Drag a bar; the others of its distribution keep their proportions and the sum 1. Or focus " +
    "the bars: left and right choose an outcome, Space p or q, up and down move the bar by 0.01 " +
    "(Shift: 0.1), Home and End set it to 0 and 1."));

  const draw = shell.guard(() => {
    const now = state();
    const theme = readTheme(el);
    const nats = now.unit === "bits" ? Math.LN2 : 1;
    const m = measures(now.p, now.q, nats);
    bits.set(now.unit === "bits");
    drawBars(bars.ctx, now, theme);
    drawScale(scale.ctx, m, nats, now.unit, theme);
    const words = pairWords(m, now.unit);
    const chosen = `Chosen: ${now.edited} of outcome ${now.outcome + 1}, ` +
      `${say(now[now.edited][now.outcome])}.`;
    shell.readout(`${words} ${chosen}`);
    bars.canvas.setAttribute("aria-label",
      `Two distributions: p = ${short(now.p)}, q = ${short(now.q)}. ${chosen}`);
    scale.canvas.setAttribute("aria-label", `Entropies and divergences. ${words}`);
  });

  function setBar(value, from) {
    const { edited, outcome } = state();
    const values = from ?? model.get(edited);
    change({ [edited]: rescale(values, outcome, value) });
  }
  const heightAt = (event) => {
    const [, py] = pointerAt(event, bars);
    const v = makeScale(0, 1, BARS.bottom, BARS.top).invert(py);
    return Math.round(Math.min(1, Math.max(0, v)) * 200) / 200;
  };
  const take = shell.guard((event) => {
    const [px, py] = pointerAt(event, bars);
    if (py > BARS.bottom + 20) return;
    bars.canvas.setPointerCapture(event.pointerId);
    const count = model.get("p").length;
    const place = ((px - BARS.left) / (BARS.right - BARS.left)) * count;
    const outcome = Math.min(count - 1, Math.max(0, Math.floor(place)));
    const edited = place - outcome < 0.5 ? "p" : "q";
    grabbed = model.get(edited);
    change({ edited, outcome });
    setBar(heightAt(event), grabbed);
  });
  const pull = shell.guard((event) => {
    if (!grabbed || !bars.canvas.hasPointerCapture(event.pointerId)) return;
    setBar(heightAt(event), grabbed);
  });
  const press = shell.guard((event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { edited, outcome, ...now } = state();
    const step = event.shiftKey ? 0.1 : 0.01;
    const count = now[edited].length;
    const actions = {
      ArrowLeft: () => change({ outcome: (outcome + count - 1) % count }),
      ArrowRight: () => change({ outcome: (outcome + 1) % count }),
      ArrowUp: () => setBar(now[edited][outcome] + step),
      ArrowDown: () => setBar(now[edited][outcome] - step),
      Home: () => setBar(0),
      End: () => setBar(1),
      " ": () => change({ edited: edited === "p" ? "q" : "p" }),
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    actions[event.key]();
  });
  bars.canvas.addEventListener("pointerdown", take);
  bars.canvas.addEventListener("pointermove", pull);
  bars.canvas.addEventListener("pointerup", () => (grabbed = null));
  for (const { canvas } of [bars, scale]) canvas.addEventListener("keydown", press);

  draw();
  return shell.cleanup;
}

export default { render };
