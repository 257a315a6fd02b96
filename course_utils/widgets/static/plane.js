// Points of two classes in the plane: a window with equal scales, and their markers.

import { drawMarker, makeScale } from "./axes.js";

/** Shape and colour of a class; 0 is a square, 1 a circle, so colour is never alone. */
export function classLook(target, theme) {
  return target ? { shape: "circle", colour: theme.series[0] }
    : { shape: "square", colour: theme.series[1] };
}

/** The window of data that holds all `points` (and the origin), a tenth wider than needed. */
export function windowOf(points) {
  const xs = [0, ...points.map((p) => p[0])];
  const ys = [0, ...points.map((p) => p[1])];
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const pad = 0.1 * Math.max(x1 - x0, y1 - y0, 1);
  return { x0: x0 - pad, x1: x1 + pad, y0: y0 - pad, y1: y1 + pad };
}

/** Scales that show `box` with one unit equally long both ways, in left, top, right, bottom. */
export function equalScales(box, left, top, right, bottom) {
  const unit = Math.min((right - left) / (box.x1 - box.x0), (bottom - top) / (box.y1 - box.y0));
  const half = [(right - left) / unit / 2, (bottom - top) / unit / 2];
  const middle = [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2];
  return {
    x: makeScale(middle[0] - half[0], middle[0] + half[0], left, right),
    y: makeScale(middle[1] - half[1], middle[1] + half[1], bottom, top),
  };
}

/** Draw the samples [x1, x2, target]; `hollow(i)` leaves a marker open. */
export function drawSamples(ctx, x, y, samples, theme, { radius = 6, hollow = () => false } = {}) {
  samples.forEach(([u, v, target], i) => {
    const { shape, colour } = classLook(target, theme);
    drawMarker(ctx, shape, x(u), y(v), radius, hollow(i) ? theme.paper : colour, colour);
  });
}
