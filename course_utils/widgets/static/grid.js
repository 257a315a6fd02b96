// A smooth surface through the points of a grid; the same formulas as core/surface.py.

/** How much the four points about a cell count at t in [0, 1] of it (Catmull-Rom). */
function weights(t) {
  return [
    (t * (t * (2 - t) - 1)) / 2,
    (t * t * (3 * t - 5) + 2) / 2,
    (t * (t * (4 - 3 * t) + 1)) / 2,
    (t * t * (t - 1)) / 2,
  ];
}

/** The derivative of `weights`. */
function slopes(t) {
  return [
    (t * (4 - 3 * t) - 1) / 2,
    (t * (9 * t - 10)) / 2,
    (t * (8 - 9 * t) + 1) / 2,
    (t * (3 * t - 2)) / 2,
  ];
}

/** Add one ring of points by going on straight; n columns, m rows. */
function pad(loss, n, m) {
  const w = n + 2;
  const out = new Float64Array(w * (m + 2));
  for (let j = 0; j < m; j++)
    for (let i = 0; i < n; i++) out[(j + 1) * w + i + 1] = loss[j * n + i];
  const extend = (to, a, b) => (out[to] = 2 * out[a] - out[b]);
  for (let i = 1; i <= n; i++) {
    extend(i, w + i, 2 * w + i);
    extend((m + 1) * w + i, m * w + i, (m - 1) * w + i);
  }
  for (let j = 0; j < m + 2; j++) {
    extend(j * w, j * w + 1, j * w + 2);
    extend(j * w + n + 1, j * w + n, j * w + n - 1);
  }
  return out;
}

/**
 * The interpolant of `loss` (row by row, n columns, m rows) over [x0, x1, y0, y1].
 * Returns {value(x, y), gradient(x, y)}; points outside are read at the border.
 */
export function makeGrid(loss, n, m, [x0, x1, y0, y1]) {
  const padded = pad(loss, n, m);
  const w = n + 2;
  const dx = (x1 - x0) / (n - 1);
  const dy = (y1 - y0) / (m - 1);
  const clamp = (v, top) => Math.min(Math.max(v, 0), top);
  function mix(x, y, across, up) {
    const s = clamp((x - x0) / dx, n - 1);
    const t = clamp((y - y0) / dy, m - 1);
    const i = Math.min(Math.floor(s), n - 2);
    const j = Math.min(Math.floor(t), m - 2);
    const a = across(s - i);
    const b = up(t - j);
    let sum = 0;
    for (let q = 0; q < 4; q++)
      for (let p = 0; p < 4; p++) sum += b[q] * a[p] * padded[(j + q) * w + i + p];
    return sum;
  }
  return {
    value: (x, y) => mix(x, y, weights, weights),
    gradient: (x, y) => [mix(x, y, slopes, weights) / dx, mix(x, y, weights, slopes) / dy],
  };
}
