// A deep random network, forward and backward; the same numbers as core/flow.py.

import { makeRandom } from "./random.js";

export const BATCH = 32;
const SIDE = 64; // the widest layer; tables have this many rows and columns
const ROOM = SIDE * BATCH;
const LAYERS = 30;
const FLAT = 0.01; // a slope below this lets next to no gradient through
const EPS = 1e-5;

// A fit of the normal distribution's tail, times (3 + |x|) / exp(-x^2 / 2) / 3, as a polynomial
// in (3 - |x|) / (3 + |x|), highest power first; relative error below 2e-9.
const TAIL = [-3.30447779681e-6, 5.06782757707e-6, 2.17303127973e-5, -5.12887780443e-5,
  -8.2578430428e-5, 3.48258998278e-4, 3.41532016432e-4, -2.32406762056e-3, -3.48745957707e-3,
  0.0157543214943, 0.0766725633185, 0.169777328093, 0.243027896812];

/** P(X <= x) of a standard normal, given e = exp(-x^2 / 2). */
function normalBelow(x, e) {
  const size = Math.abs(x);
  const u = (3 - size) / (3 + size);
  let sum = 0;
  for (let k = 0; k < TAIL.length; k++) sum = sum * u + TAIL[k];
  const tail = size === Infinity ? 0 : (3 * e * sum) / (3 + size);
  return x > 0 ? 1 - tail : tail;
}

/**
 * Each activation fills h with f(z) and d with f'(z), given its parameter p if it has one.
 * Loops of their own, since a call for each number would cost more than the number.
 */
export const ACTIVATIONS = {
  step(z, h, d) {
    for (let o = 0; o < z.length; o++) h[o] = z[o] > 0 ? 1 : z[o] <= 0 ? 0 : NaN;
    d.fill(0);
  },
  logistic(z, h, d) {
    for (let o = 0; o < z.length; o++) {
      const e = Math.exp(-Math.abs(z[o]));
      const q = 1 / (1 + e);
      h[o] = z[o] > 0 ? q : e * q;
      d[o] = e * q * q;
    }
  },
  tanh(z, h, d) {
    for (let o = 0; o < z.length; o++) {
      const f = Math.tanh(z[o]);
      h[o] = f;
      d[o] = 1 - f * f;
    }
  },
  relu(z, h, d) {
    for (let o = 0; o < z.length; o++) {
      h[o] = Math.max(0, z[o]);
      d[o] = z[o] > 0 ? 1 : 0;
    }
  },
  "leaky relu"(z, h, d, p) {
    for (let o = 0; o < z.length; o++) {
      d[o] = z[o] > 0 ? 1 : p;
      h[o] = z[o] * d[o];
    }
  },
  elu(z, h, d, p) {
    for (let o = 0; o < z.length; o++) {
      h[o] = z[o] > 0 ? z[o] : p * Math.expm1(z[o]);
      d[o] = z[o] > 0 ? 1 : p * Math.exp(z[o]);
    }
  },
  softplus(z, h, d) {
    for (let o = 0; o < z.length; o++) {
      const e = Math.exp(-Math.abs(z[o]));
      h[o] = Math.max(z[o], 0) + Math.log1p(e);
      d[o] = (z[o] > 0 ? 1 : e) / (1 + e);
    }
  },
  swish(z, h, d, p) {
    for (let o = 0; o < z.length; o++) {
      const e = Math.exp(-Math.abs(p * z[o]));
      const q = 1 / (1 + e);
      const s = p * z[o] > 0 ? q : e * q;
      h[o] = z[o] * s;
      d[o] = s + p * z[o] * e * q * q;
    }
  },
  gelu(z, h, d) {
    for (let o = 0; o < z.length; o++) {
      const e = Math.exp(-0.5 * z[o] * z[o]);
      const below = normalBelow(z[o], e);
      h[o] = z[o] * below;
      d[o] = below + (z[o] * e) / Math.sqrt(2 * Math.PI);
    }
  },
};

/** The standard normal numbers of a seed: inputs, gradient at the top, and 64 x 64 a layer. */
export function makeTables(seed) {
  const uniform = makeRandom(seed);
  const all = new Float64Array(2 * ROOM + LAYERS * SIDE * SIDE);
  for (let k = 0; k < all.length; k += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    all[k] = radius * Math.cos(angle);
    all[k + 1] = radius * Math.sin(angle);
  }
  return { inputs: all.subarray(0, ROOM), top: all.subarray(ROOM, 2 * ROOM),
    layers: all.subarray(2 * ROOM) };
}

/**
 * Make the columns of layers from..to - 1 in `layers` orthonormal, one after the other: what
 * lies along a finished column is taken off those behind it (Gram and Schmidt, modified).
 */
export function orthogonalise(layers, from, to, width) {
  const along = new Float64Array(width);
  for (let l = from; l < to; l++) {
    const Q = layers.subarray(l * SIDE * SIDE, (l + 1) * SIDE * SIDE);
    for (let j = 0; j < width; j++) {
      let square = 0;
      for (let i = 0; i < width; i++) square += Q[i * SIDE + j] ** 2;
      const length = Math.sqrt(square);
      along.fill(0);
      for (let i = 0; i < width; i++) {
        const v = (Q[i * SIDE + j] /= length);
        for (let k = j + 1; k < width; k++) along[k] += v * Q[i * SIDE + k];
      }
      for (let i = 0; i < width; i++) {
        const v = Q[i * SIDE + j];
        for (let k = j + 1; k < width; k++) Q[i * SIDE + k] -= v * along[k];
      }
    }
  }
  return layers;
}

/** What an initialisation multiplies standard normal weights with. */
export function scaleOf(init, width) {
  return { zero: 0, small: 0.01, large: 1, xavier: 1 / Math.sqrt(width),
    he: Math.sqrt(2 / width), slide: 1 / Math.sqrt(2 / width), orthogonal: 1 }[init];
}

/**
 * out[j] = scale * (sum over k of W[k * stepIn + j * stepOut] * from[k]), for all samples at
 * once; unit k holds its samples at k * BATCH. Eight sums at a time stay in registers.
 */
function mix(W, stepIn, stepOut, width, scale, from, out) {
  for (let j = 0; j < width; j += 2) {
    const next = Math.min(j + 1, width - 1);
    for (let b = 0; b < BATCH; b += 4) {
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
      let w = j * stepOut;
      let v = next * stepOut;
      for (let k = 0, o = b; k < width; k++, o += BATCH) {
        const p = W[w];
        const q = W[v];
        const f0 = from[o];
        const f1 = from[o + 1];
        const f2 = from[o + 2];
        const f3 = from[o + 3];
        s0 += p * f0;
        s1 += p * f1;
        s2 += p * f2;
        s3 += p * f3;
        t0 += q * f0;
        t1 += q * f1;
        t2 += q * f2;
        t3 += q * f3;
        w += stepIn;
        v += stepIn;
      }
      const [o, n] = [j * BATCH + b, next * BATCH + b];
      out[o] = scale * s0;
      out[o + 1] = scale * s1;
      out[o + 2] = scale * s2;
      out[o + 3] = scale * s3;
      out[n] = scale * t0;
      out[n + 1] = scale * t1;
      out[n + 2] = scale * t2;
      out[n + 3] = scale * t3;
    }
  }
}

/** The runs of numbers that share a mean: [first, step, count]; a unit's, or a sample's. */
function groups(norm, width) {
  if (norm === "batch") return Array.from({ length: width }, (_, j) => [j * BATCH, 1, BATCH]);
  return norm === "layer" ? Array.from({ length: BATCH }, (_, b) => [b, BATCH, width]) : [];
}

/** Centre each run of `z` and divide it by its deviation, which goes to `deviations`. */
function normalise(z, runs, deviations) {
  runs.forEach(([first, step, count], r) => {
    let [mean, square] = [0, 0];
    for (let n = 0, o = first; n < count; n++, o += step) mean += z[o] / count;
    for (let n = 0, o = first; n < count; n++, o += step) square += (z[o] -= mean) ** 2 / count;
    deviations[r] = Math.sqrt(square + EPS);
    for (let n = 0, o = first; n < count; n++, o += step) z[o] /= deviations[r];
  });
}

/** Turn the gradient behind a normalisation into the one before it; `z` is what it gave. */
function backThroughNorm(g, z, runs, deviations) {
  runs.forEach(([first, step, count], r) => {
    let [mean, along] = [0, 0];
    for (let n = 0, o = first; n < count; n++, o += step) {
      mean += g[o] / count;
      along += (g[o] * z[o]) / count;
    }
    for (let n = 0, o = first; n < count; n++, o += step)
      g[o] = (g[o] - mean - z[o] * along) / deviations[r];
  });
}

/** Rooms for what `forward` and `backward` fill; layer l starts at l * 64 * 32. */
export function makeRooms() {
  const room = () => new Float64Array(LAYERS * ROOM);
  return { z: room(), h: room(), slopes: room(), gradients: room(),
    deviations: Array.from({ length: LAYERS }, () => new Float64Array(SIDE)),
    back: new Float64Array(ROOM) };
}

/** Layer `l` of a room, the numbers of a net of this width only. */
export function layerOf(room, l, width) {
  return room.subarray(l * ROOM, l * ROOM + width * BATCH);
}

/**
 * Send the inputs through a net {layers, scale, depth, width, activation, parameter, norm}.
 * Fills `rooms.z` (what the activation sees), `rooms.h` and `rooms.slopes`.
 */
export function forward(net, inputs, rooms) {
  const { layers, scale, depth, width, activation, parameter, norm } = net;
  const activate = ACTIVATIONS[activation];
  const runs = groups(norm, width);
  let from = inputs;
  for (let l = 0; l < depth; l++) {
    const [z, h, d] = ["z", "h", "slopes"].map((name) => layerOf(rooms[name], l, width));
    const W = layers.subarray(l * SIDE * SIDE, (l + 1) * SIDE * SIDE);
    mix(W, SIDE, 1, width, scale, from, z);
    normalise(z, runs, rooms.deviations[l]);
    activate(z, h, d, parameter);
    from = h;
  }
}

/** Send `top`, scaled to rms 1, back; fills `rooms.gradients` (by each layer's outputs). */
export function backward(net, top, rooms) {
  const { layers, scale, depth, width, norm } = net;
  const runs = groups(norm, width);
  const last = layerOf(rooms.gradients, depth - 1, width);
  last.set(top.subarray(0, last.length));
  const size = Math.sqrt(last.reduce((sum, v) => sum + v * v, 0) / last.length);
  for (let o = 0; o < last.length; o++) last[o] /= size;
  const back = rooms.back.subarray(0, width * BATCH);
  for (let l = depth - 1; l > 0; l--) {
    const [z, d, g] = ["z", "slopes", "gradients"].map((name) => layerOf(rooms[name], l, width));
    for (let o = 0; o < g.length; o++) back[o] = g[o] * d[o];
    backThroughNorm(back, z, runs, rooms.deviations[l]);
    const W = layers.subarray(l * SIDE * SIDE, (l + 1) * SIDE * SIDE);
    mix(W, 1, SIDE, width, scale, back, layerOf(rooms.gradients, l - 1, width));
  }
}

/** {mean, std, rms, low, high} of some numbers. */
export function summary(values) {
  let [sum, square, low, high] = [0, 0, Infinity, -Infinity];
  for (let o = 0; o < values.length; o++) {
    const v = values[o];
    sum += v;
    square += v * v;
    if (v < low) low = v;
    if (v > high) high = v;
  }
  const n = values.length;
  let around = 0;
  for (let o = 0; o < n; o++) around += (values[o] - sum / n) ** 2;
  return { mean: sum / n, std: Math.sqrt(around / n), rms: Math.sqrt(square / n), low, high };
}

/** Rms of what is left when each unit's mean over the batch is taken off. */
export function spreadOf(h) {
  let square = 0;
  for (let first = 0; first < h.length; first += BATCH) {
    let mean = 0;
    for (let o = first; o < first + BATCH; o++) mean += h[o] / BATCH;
    for (let o = first; o < first + BATCH; o++) square += (h[o] - mean) ** 2;
  }
  return Math.sqrt(square / h.length);
}

/** {flat, dead}: the fraction of outputs without a slope, the units flat on every input. */
export function flatness(slopes) {
  let [flat, dead] = [0, 0];
  for (let first = 0; first < slopes.length; first += BATCH) {
    let here = 0;
    for (let o = first; o < first + BATCH; o++) if (Math.abs(slopes[o]) < FLAT) here += 1;
    flat += here;
    if (here === BATCH) dead += 1;
  }
  return { flat: flat / slopes.length, dead };
}
