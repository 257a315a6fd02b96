// Arrays shown as square cells: colours, numbers, frames.

import { parseHex } from "./hex.js";

/** Where rows x cols cells lie in a box: cells a whole number of pixels wide, in the middle. */
export function cellsIn(rows, cols, { x, y, width, height, largest = 96 }) {
  const fits = Math.min(width / Math.max(1, cols), height / Math.max(1, rows), largest);
  const cell = Math.max(1, Math.floor(fits));
  const left = x + Math.floor((width - cols * cell) / 2);
  return {
    rows, cols, cell, left, top: y, right: left + cols * cell, bottom: y + rows * cell,
    /** The cell at a pixel, held inside the grid. */
    at([px, py]) {
      const hold = (k, count) => Math.max(0, Math.min(count - 1, Math.floor(k)));
      return [hold((py - y) / cell, rows), hold((px - left) / cell, cols)];
    },
  };
}

/** A painter of cells: `paint(ctx, cells, colour)`; `colour(k)` is [r, g, b], or null for none. */
export function makeCellPainter() {
  const canvas = document.createElement("canvas");
  const own = canvas.getContext("2d");
  return (ctx, { rows, cols, left, top, right, bottom }, colour) => {
    if (!rows || !cols) return;
    canvas.width = cols;
    canvas.height = rows;
    const image = own.createImageData(cols, rows);
    const { data } = image;
    for (let k = 0, o = 0; k < rows * cols; k++, o += 4) {
      const rgb = colour(k);
      if (rgb) [data[o], data[o + 1], data[o + 2], data[o + 3]] = [rgb[0], rgb[1], rgb[2], 255];
    }
    own.putImageData(image, 0, 0);
    ctx.imageSmoothingEnabled = false;
    ctx.drawImage(canvas, left, top, right - left, bottom - top);
  };
}

/** Frame cells from row i, column j, `down` x `across` of them; a halo keeps the frame visible. */
export function frameCells(ctx, { cell, left, top }, [i, j], [down, across], { ink, halo, width = 2 }) {
  const box = [left + j * cell, top + i * cell, across * cell, down * cell];
  for (const [colour, thick] of [[halo, width + 2.5], [ink, width]]) {
    ctx.strokeStyle = colour;
    ctx.lineWidth = thick;
    ctx.strokeRect(...box);
  }
}

/**
 * Colours of signed values: blue below 0, warm above, the page at 0, full colour at ±most. Returns
 * a function from a value to [r, g, b], or null where it is not finite.
 */
export function signedColours(most, theme, strength = 1) {
  const page = theme.dark ? [17, 17, 17] : [255, 255, 255];
  const [cold, warm] = [parseHex(theme.series[0]), parseHex(theme.series[1])];
  return (value) => {
    if (!Number.isFinite(value)) return null;
    const end = value < 0 ? cold : warm;
    const t = Math.min(1, Math.abs(value) / most) * strength;
    const mix = (k) => Math.round(page[k] + (end[k] - page[k]) * t);
    return [mix(0), mix(1), mix(2)];
  };
}

/** The ink that is read best on a colour. */
export function inkOn([r, g, b]) {
  return 0.299 * r + 0.587 * g + 0.114 * b > 140 ? "#000000" : "#ffffff";
}
