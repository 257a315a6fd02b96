// A function on a square grid: colours on both sides of a middle value, and its level line.

import { parseHex } from "./hex.js";

/** 256 opaque pixels from `low` over the page's colour to `high` (hex colours). */
export function divergingTable(low, high, theme) {
  const page = theme.dark ? [17, 17, 17] : [255, 255, 255];
  const ends = [parseHex(low), parseHex(high)];
  return Uint32Array.from({ length: 256 }, (_, k) => {
    const t = (2 * k) / 255 - 1;
    const end = ends[t > 0 ? 1 : 0];
    const [r, g, b] = page.map((v, c) => Math.round(v + (end[c] - v) * 0.5 * Math.abs(t)));
    return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  });
}

/** A painter of n x n fields; row 0 is at the bottom. `unit(i)` in [0, 1] picks the colour. */
export function makeFieldPainter(n) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = n;
  const own = canvas.getContext("2d");
  const image = own.createImageData(n, n);
  const pixels = new Uint32Array(image.data.buffer);
  return (ctx, unit, table, left, top, width, height) => {
    for (let j = 0, o = 0; j < n; j++)
      for (let i = 0; i < n; i++, o++)
        pixels[(n - 1 - j) * n + i] = table[Math.round(255 * unit(o))] ?? table[128];
    own.putImageData(image, 0, 0);
    ctx.drawImage(canvas, left, top, width, height);
  };
}

/** Stroke the line where `values` (n x n, row 0 at the bottom) cross 0: marching squares. */
export function strokeZero(ctx, values, n, left, top, width, height) {
  // Samples sit in the middle of the painted pixels.
  const x = (i) => left + ((i + 0.5) / n) * width;
  const y = (j) => top + height - ((j + 0.5) / n) * height;
  ctx.beginPath();
  for (let j = 0; j < n - 1; j++)
    for (let i = 0; i < n - 1; i++) {
      const o = j * n + i;
      const above = (values[o] >= 0) + (values[o + 1] >= 0) + (values[o + n] >= 0) +
        (values[o + n + 1] >= 0);
      if (above === 0 || above === 4) continue;
      const corners = [[i, j, values[o]], [i + 1, j, values[o + 1]],
        [i + 1, j + 1, values[o + n + 1]], [i, j + 1, values[o + n]]];
      const hits = [];
      for (let k = 0; k < 4; k++) {
        const [a, b] = [corners[k], corners[(k + 1) % 4]];
        if (a[2] >= 0 === b[2] >= 0) continue;
        const f = a[2] / (a[2] - b[2]);
        hits.push([x(a[0] + f * (b[0] - a[0])), y(a[1] + f * (b[1] - a[1]))]);
      }
      for (let k = 0; k + 1 < hits.length; k += 2) {
        ctx.moveTo(...hits[k]);
        ctx.lineTo(...hits[k + 1]);
      }
    }
  ctx.stroke();
}
