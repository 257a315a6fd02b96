// Histograms of many layers, one below the other, and a number for each beside them.

import { drawMarker, makeScale, ticks, tickText } from "./axes.js";
import { say } from "./dom.js";
import { decades } from "./scales.js";

const BINS = 60;

/** Ends of one axis for all layers, from the summary of each; as in core/flow.py. */
export function sharedRange(summaries) {
  const most = (f) => summaries.reduce((a, s) => Math.max(a, f(s)), 0);
  const largest = most((s) => Math.max(Math.abs(s.low), Math.abs(s.high)));
  const reach = Math.min(largest, 3.5 * most((s) => s.rms)) || 1;
  const power = 10 ** Math.floor(Math.log10(reach));
  const end = ([1, 2, 5, 10].find((m) => m * power >= reach * (1 - 1e-9)) ?? 10) * power;
  const low = summaries.reduce((a, s) => Math.min(a, s.low), 0);
  return [low < -0.2 * end ? -end : -0.2 * end, end];
}

/** Fill `counts` with how many of the values fall into equal bins from low to high. */
export function countInto(counts, values, low, high) {
  const n = counts.length;
  const per = n / (high - low);
  counts.fill(0);
  for (let o = 0; o < values.length; o++) {
    const bin = Math.floor((values[o] - low) * per);
    if (bin >= 0 && bin < n) counts[bin] += 1;
  }
  return counts;
}

/** Where the base line of each layer lies; `layerAt(y)` gives the layer at a height. */
export function makeRows({ top, bottom }, depth) {
  const pitch = (bottom - top) / (depth + 0.3);
  const base = (layer) => bottom - (depth - layer + 0.08) * pitch;
  const layerAt = (y) => Math.min(depth, Math.max(1, Math.ceil((y - top) / pitch - 0.3)));
  return { pitch, base, layerAt, depth, rise: pitch * (depth < 6 ? 0.8 : 1.25) };
}

/** Powers of ten at both ends of a logarithmic scale, and one between. */
function endTicks({ low, high }) {
  const [a, b] = [Math.log10(low), Math.log10(high)].map(Math.round);
  return [a, Math.round((a + b) / 2), b].map((e) => 10 ** e);
}

function bottomAxis(ctx, scale, { bottom }, theme, text, places) {
  const log = scale.log;
  ctx.font = "12px sans-serif";
  ctx.fillStyle = theme.ink;
  ctx.strokeStyle = theme.ink;
  ctx.lineWidth = 1;
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  ctx.beginPath();
  ctx.moveTo(scale.from, bottom);
  ctx.lineTo(scale.to, bottom);
  for (const t of places) {
    ctx.moveTo(scale(t), bottom);
    ctx.lineTo(scale(t), bottom + 4);
    ctx.fillText(tickText(t, log).replace("e+", "e"), scale(t), bottom + 6);
  }
  ctx.stroke();
  ctx.fillText(text, (scale.from + scale.to) / 2, bottom + 22);
}

/** A band behind the layer that the read-out describes. */
export function paintBand(ctx, rows, left, right, layer, theme) {
  ctx.globalAlpha = 0.6;
  ctx.fillStyle = theme.grid;
  ctx.fillRect(left, rows.base(layer) - 0.85 * rows.pitch, right - left, 0.95 * rows.pitch);
  ctx.globalAlpha = 1;
}

/** The numbers of the layers, to the left. */
export function paintLayers(ctx, rows, left, theme) {
  const step = rows.depth <= 12 ? 1 : 5;
  ctx.font = "12px sans-serif";
  ctx.fillStyle = theme.ink;
  ctx.textAlign = "right";
  ctx.textBaseline = "alphabetic";
  ctx.fillText("layer", left - 5, 15);
  for (let layer = 1; layer <= rows.depth; layer++)
    if (layer === 1 || layer % step === 0) ctx.fillText(layer, left - 5, rows.base(layer) + 1);
}

/** Histograms: `layerValues(l)` gives the numbers of layer l (from 1); `box` left, right, bottom. */
export function paintRidge(ctx, box, rows, layerValues, [low, high], look, theme) {
  const pad = 0.05 * high;
  const x = makeScale(low - pad, high + pad, box.left, box.right);
  const counts = new Uint32Array(BINS);
  const wide = (box.right - box.left) / BINS;
  ctx.lineWidth = 1;
  ctx.strokeStyle = look.colour;
  for (let layer = 1; layer <= rows.depth; layer++) {
    countInto(counts, layerValues(layer), low - pad, high + pad);
    const base = rows.base(layer);
    const unit = rows.rise / counts.reduce((a, v) => Math.max(a, v), 1);
    ctx.beginPath();
    ctx.moveTo(box.left, base);
    for (let k = 0; k < BINS; k++) {
      const y = base - counts[k] * unit;
      ctx.lineTo(box.left + k * wide, y);
      ctx.lineTo(box.left + (k + 1) * wide, y);
    }
    ctx.lineTo(box.right, base);
    ctx.globalAlpha = 0.4;
    ctx.fillStyle = look.colour;
    ctx.fill();
    ctx.globalAlpha = 1;
    ctx.stroke();
  }
  bottomAxis(ctx, x, box, theme, look.name, ticks(x.low, x.high, 4));
}

/** One number a layer on a logarithmic axis; what is 0 or no number leaves a cross at the edge. */
export function paintStrip(ctx, box, rows, values, layer, look, theme) {
  const [low, high] = decades(values);
  const x = makeScale(low, high, box.left + 8, box.right - 8, true);
  ctx.strokeStyle = theme.grid;
  ctx.lineWidth = 1;
  for (const t of endTicks(x)) ctx.strokeRect(x(t), box.top, 0, box.bottom - box.top);
  ctx.strokeStyle = look.colour;
  ctx.lineWidth = 2;
  ctx.beginPath();
  const middle = (l) => rows.base(l) - 0.35 * rows.pitch;
  values.forEach((v, k) => v > 0 && Number.isFinite(v) && ctx.lineTo(x(v), middle(k + 1)));
  ctx.stroke();
  values.forEach((v, k) => {
    const radius = k + 1 === layer ? 5.5 : Math.min(3.5, rows.pitch / 3);
    if (v > 0 && Number.isFinite(v))
      drawMarker(ctx, look.shape, x(v), middle(k + 1), radius, look.colour, theme.paper);
    else {
      ctx.font = "12px sans-serif";
      ctx.fillStyle = look.colour;
      ctx.textAlign = "left";
      ctx.textBaseline = "middle";
      ctx.fillText(v === 0 ? "0" : say(v), box.left, middle(k + 1));
    }
  });
  bottomAxis(ctx, x, box, theme, "std (log)", endTicks(x));
}
