// Heat maps with contour lines, painted pixel by pixel, and the bar that explains them.

import { viridis } from "./theme.js";

/** 256 opaque pixels of a colour map, mixed with `paper` [r, g, b] by `wash` in [0, 1]. */
export function colourTable(map = viridis, paper = [255, 255, 255], wash = 0) {
  return Uint32Array.from({ length: 256 }, (_, k) => {
    const [r, g, b] = map(k / 255).map((c, n) => Math.round(c + (paper[n] - c) * wash));
    return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  });
}

/** Return a function from a value to its place on a scale {low, high, log}: 0 to 1. */
export function place({ low, high, log }) {
  const f = log ? Math.log : (x) => x;
  const a = f(low);
  const span = f(high) - a || 1;
  return (value) => (value <= low ? 0 : value >= high ? 1 : (f(value) - a) / span);
}

/**
 * Paint `sample(u, v)` (fractions of the width from the left, of the height from the bottom)
 * into a new canvas of width x height pixels; every second pixel is sampled.
 *
 * `toUnit(value)` gives the place in `table`. With `bands` below 255, colours go in that many
 * steps with a line between them. A value that is not finite stays transparent.
 */
export function heatMap({ width, height, sample, toUnit, table, bands = 255 }) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const w = (width >> 1) + 1;
  const coarse = new Float32Array(w * ((height >> 1) + 1));
  for (let k = 0; k < coarse.length; k++)
    coarse[k] = toUnit(sample((2 * (k % w)) / width, 1 - (2 * Math.floor(k / w)) / height));
  const band = new Int16Array(width * height);
  const shades = Uint32Array.from({ length: bands }, (_, b) => table[((b + 0.5) / bands) * 256 | 0]);
  const lines = bands < 255 ? shades.map(darken) : shades;
  for (let j = 0, o = 0; j < height; j++) {
    const below = (j & 1) * w;
    for (let i = 0; i < width; i++, o++) {
      const k = (j >> 1) * w + (i >> 1);
      const r = k + (i & 1);
      const t = (coarse[k] + coarse[r] + coarse[k + below] + coarse[r + below]) / 4;
      if (!(t >= 0)) continue;
      const b = t < 1 ? (t * bands) | 0 : bands - 1;
      const edge = (i && b !== band[o - 1]) || (j && b !== band[o - width]);
      band[o] = b;
      pixels[o] = edge ? lines[b] : shades[b];
    }
  }
  ctx.putImageData(image, 0, 0);
  return canvas;
}

/** A pixel at three quarters of its brightness. */
export function darken(pixel) {
  return (0xff000000 | (((pixel & 0xfcfcfc) >>> 2) * 3)) >>> 0;
}

/** Paint the colours of a scale upwards in a box, with `labels` [[value, text], ...] beside. */
export function drawColourBar(ctx, { x, y, width, height }, { table, toUnit, labels, title }, theme) {
  ctx.save();
  const strip = heatMap({ width: 1, height: 256, sample: (u, v) => v, toUnit: (v) => v, table });
  ctx.drawImage(strip, x, y, width, height);
  ctx.strokeStyle = theme.muted;
  ctx.strokeRect(x, y, width, height);
  ctx.fillStyle = theme.ink;
  ctx.font = "11px sans-serif";
  ctx.textAlign = "left";
  ctx.textBaseline = "middle";
  for (const [value, text] of labels)
    ctx.fillText(text, x + width + 4, y + height * (1 - toUnit(value)));
  ctx.textAlign = "right";
  ctx.textBaseline = "bottom";
  ctx.fillText(title, x + width + 34, y - 9);
  ctx.restore();
}
