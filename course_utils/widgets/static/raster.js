// A surface drawn triangle by triangle into pixels with a depth buffer: no WebGL, no library.

import { darken } from "./heat.js";

const TALL = 1.1;
const SHADES = 32;

/**
 * A camera far away; angles in degrees. Returns a function from fractions (u, v, t) of the
 * surface's width, depth and height to [pixel across, pixel down, nearness].
 */
export function makeCamera(azimuth, elevation, width, height) {
  const [turn, tilt] = [azimuth, elevation].map((angle) => (angle * Math.PI) / 180);
  const [ca, sa, ce, se] = [Math.cos(turn), Math.sin(turn), Math.cos(tilt), Math.sin(tilt)];
  const tall = Math.SQRT2 * se + (TALL / 2) * ce;
  const scale = Math.min((0.42 * width) / Math.SQRT2, (0.46 * height) / tall);
  return (u, v, t) => {
    const [x, y, z] = [2 * u - 1, 2 * v - 1, TALL * (t - 0.5)];
    const away = x * sa + y * ca;
    return [
      width / 2 + scale * (x * ca - y * sa),
      height / 2 - scale * (away * se + z * ce),
      z * se - away * ce,
    ];
  };
}

/** Heights `t` (0 to 1, row by row, n columns, m rows) with the light on each point. */
export function makeMesh(t, n, m) {
  const light = new Float32Array(n * m);
  for (let k = 0; k < n * m; k++) {
    const [i, j] = [k % n, Math.floor(k / n)];
    const slope = (a, b, points) => ((b - a) * TALL * (points - 1)) / 4;
    const gx = slope(t[i > 0 ? k - 1 : k], t[i < n - 1 ? k + 1 : k], n);
    const gy = slope(t[j > 0 ? k - n : k], t[j < m - 1 ? k + n : k], m);
    const facing = (0.4 * gx + 0.3 * gy + 0.87) / Math.sqrt(1 + gx * gx + gy * gy);
    light[k] = Math.max(0, Math.min(1, facing));
  }
  return { t, n, m, light };
}

/** 32 rows of the 256 colours of `table`, from shadow to light. */
export function shadeTable(table) {
  const out = new Uint32Array(SHADES * 256);
  for (let s = 0; s < SHADES; s++)
    for (let k = 0; k < 256; k++) {
      const f = 0.5 + (0.55 * s) / (SHADES - 1);
      const part = (shift) => Math.min(255, ((table[k] >> shift) & 255) * f) << shift;
      out[s * 256 + k] = (0xff000000 | part(16) | part(8) | part(0)) >>> 0;
    }
  return out;
}

/** A painter of width x height pixels. `paint(mesh, camera, shades, bands)` fills `canvas`. */
export function makeRaster(width, height) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const ctx = canvas.getContext("2d");
  const image = ctx.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const depth = new Float32Array(width * height);
  const band = new Int16Array(width * height);
  let [X, Y, D] = [0, 0, 0].map(() => new Float32Array(0));

  function triangle(a, b, c, { t, light }, shades, bands) {
    const [x0, y0, x1, y1, x2, y2] = [X[a], Y[a], X[b] - X[a], Y[b] - Y[a], X[c] - X[a], Y[c] - Y[a]];
    const area = x1 * y2 - x2 * y1;
    if (area === 0) return;
    const [d0, d1, d2] = [D[a], D[b] - D[a], D[c] - D[a]];
    const [t0, t1, t2] = [t[a], t[b] - t[a], t[c] - t[a]];
    const [l0, l1, l2] = [light[a], light[b] - light[a], light[c] - light[a]];
    const left = Math.max(0, Math.ceil(x0 + Math.min(0, x1, x2)));
    const right = Math.min(width - 1, Math.floor(x0 + Math.max(0, x1, x2)));
    const top = Math.max(0, Math.ceil(y0 + Math.min(0, y1, y2)));
    const bottom = Math.min(height - 1, Math.floor(y0 + Math.max(0, y1, y2)));
    for (let y = top; y <= bottom; y++) {
      let p = ((left - x0) * y2 - x2 * (y - y0)) / area;
      let q = (x1 * (y - y0) - (left - x0) * y1) / area;
      for (let x = left, o = y * width + left; x <= right; x++, o++, p += y2 / area, q -= y1 / area) {
        if (p < -1e-5 || q < -1e-5 || p + q > 1.00001) continue;
        const d = d0 + p * d1 + q * d2;
        if (d <= depth[o]) continue;
        depth[o] = d;
        const unit = Math.min(0.999999, Math.max(0, t0 + p * t1 + q * t2));
        const lit = Math.min(1, Math.max(0, l0 + p * l1 + q * l2));
        pixels[o] = shades[((lit * (SHADES - 1)) | 0) * 256 + ((unit * 256) | 0)];
        band[o] = (unit * bands) | 0;
      }
    }
  }

  /** Darken the pixels where the band changes: contour lines in the picture. */
  function lines() {
    for (let o = pixels.length - 1; o > width; o--)
      if (pixels[o] && ((pixels[o - 1] && band[o] !== band[o - 1]) ||
          (pixels[o - width] && band[o] !== band[o - width]))) pixels[o] = darken(pixels[o]);
  }

  return {
    canvas,
    /** Whether a projected place lies on or before the surface. */
    sees: ([x, y, d]) => !(depth[Math.round(y) * width + Math.round(x)] > d + 0.02),
    paint(mesh, camera, shades, bands) {
      const { n, m, t } = mesh;
      if (X.length !== n * m) [X, Y, D] = [0, 0, 0].map(() => new Float32Array(n * m));
      for (let k = 0; k < n * m; k++)
        [X[k], Y[k], D[k]] = camera((k % n) / (n - 1), Math.floor(k / n) / (m - 1), t[k]);
      pixels.fill(0);
      depth.fill(-10);
      for (let j = 0; j < m - 1; j++)
        for (let i = 0; i < n - 1; i++) {
          const k = j * n + i;
          triangle(k, k + 1, k + n, mesh, shades, bands);
          triangle(k + 1, k + n + 1, k + n, mesh, shades, bands);
        }
      lines();
      ctx.putImageData(image, 0, 0);
    },
  };
}
