// A network 2 -> width -> 1 (ReLU) under seven regularisers; the same as core/reglab.py.
// Its weights are one row: W1 (two rows of width), b1, W2, b2.

import { makeRandom } from "./random.js";

/** A source of normal numbers, one from each pair of uniform ones (Box and Muller, 1958). */
export function makeNormal(seed) {
  const uniform = makeRandom(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Move `w` towards 0 by `by`; exactly 0 where that would cross it. */
export function softThreshold(w, by) {
  return w > by ? w - by : w < -by ? w + by : 0;
}

/** Starting weights: normal with standard deviation sqrt(2 / fan-in); biases 0. */
function startRow(width, seed) {
  const normal = makeNormal(seed);
  const row = new Float64Array(4 * width + 1);
  for (let k = 0; k < 2 * width; k++) row[k] = normal();
  for (let k = 3 * width; k < 4 * width; k++) row[k] = normal() * Math.sqrt(2 / width);
  return row;
}

/**
 * Fill `hidden` (n rows of width) and `logits` (n) for the points X (n rows of 2).
 * `factor()`, if given, is what the next hidden unit is multiplied with.
 */
export function forwardInto(row, width, X, hidden, logits, factor) {
  for (let i = 0, o = 0; i < logits.length; i++) {
    let sum = row[4 * width];
    for (let k = 0; k < width; k++, o++) {
      const z = X[2 * i] * row[k] + X[2 * i + 1] * row[width + k] + row[2 * width + k];
      hidden[o] = z > 0 ? z : 0;
      if (factor) hidden[o] *= factor();
      sum += hidden[o] * row[3 * width + k];
    }
    logits[i] = sum;
  }
}

/** Fill `out` with the gradients of the mean cross-entropy; kept units were scaled by `scale`. */
function gradientInto(row, width, X, targets, hidden, logits, scale, out) {
  out.fill(0);
  for (let i = 0, o = 0; i < targets.length; i++) {
    const delta = (1 / (1 + Math.exp(-logits[i])) - targets[i]) / targets.length;
    out[4 * width] += delta;
    for (let k = 0; k < width; k++, o++) {
      if (!hidden[o]) continue;
      const back = delta * row[3 * width + k] * scale;
      out[k] += back * X[2 * i];
      out[width + k] += back * X[2 * i + 1];
      out[2 * width + k] += back;
      out[3 * width + k] += delta * hidden[o];
    }
  }
}

/** Mean cross-entropy (nats) of logits against targets 0 and 1. */
function lossOf(logits, y) {
  return logits.reduce((sum, z, i) =>
    sum + Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - y[i] * z, 0) / y.length;
}

/** Return the function that takes one step of gradient descent on `row` in place. */
function makeStep(row, width, { X, y }, strengths, seed, lr) {
  const [l2, l1, sigma, eta, smooth, drop] = ["l2", "l1", "input noise", "weight noise",
    "label smoothing", "dropout"].map((name) => strengths[name] || 0);
  const [gradient, here, moved] = [row.slice(), row.slice(), X.slice()];
  const targets = y.map((v) => v * (1 - 2 * smooth) + smooth);
  const hidden = new Float64Array(width * y.length);
  const logits = new Float64Array(y.length);
  // Each regulariser has random numbers of its own.
  const inputs = makeNormal(seed + 0x3c6ef372);
  const weights = makeNormal(seed + 0x78dde6e4);
  const uniform = makeRandom(seed + 0xb54cda56);
  const scale = 1 / (1 - drop);
  const factor = drop ? () => (uniform() >= drop ? scale : 0) : null;
  const isWeight = (k) => k < 2 * width || (k >= 3 * width && k < 4 * width);
  return () => {
    if (sigma) X.forEach((v, k) => (moved[k] = v + sigma * inputs()));
    row.forEach((w, k) => (here[k] = eta && isWeight(k) ? w + eta * weights() : w));
    forwardInto(here, width, moved, hidden, logits, factor);
    gradientInto(here, width, moved, targets, hidden, logits, scale, gradient);
    row.forEach((w, k) => {
      const penalised = isWeight(k);
      const next = w - lr * (gradient[k] + (penalised ? l2 * w : 0));
      row[k] = l1 && penalised ? softThreshold(next, lr * l1) : next;
    });
  };
}

/**
 * A training run that can be continued. `sets`: training, validation, held out, each {X, y};
 * `strengths`: {name: number}, 0 for off. Every `every` steps the run looks at itself:
 * `weights[look]` is a row of weights, `losses[look]` [training, validation, held out].
 * `advance()` goes on to the next look; `done` says that all are there.
 */
export function makeRun({ width, lr, numSteps, every, strengths, seed = 0 }, sets) {
  const row = startRow(width, seed);
  const step = makeStep(row, width, sets[0], strengths, seed, lr);
  const rooms = sets.map(({ y }) => [new Float64Array(y.length * width), new Float64Array(y.length)]);
  const run = { weights: [], losses: [], stopped: null, kept: null, done: false };
  const patience = (strengths["early stopping"] || 0) / every;
  const looks = numSteps / every;
  let best = 0;
  function look() {
    run.weights.push(row.slice());
    run.losses.push(sets.map(({ X, y }, k) => {
      forwardInto(row, width, X, ...rooms[k]);
      return lossOf(rooms[k][1], y);
    }));
    const at = run.losses.length - 1;
    if (run.losses[at][1] < run.losses[best][1]) best = at;
    const stops = patience && at > best && at - best >= patience;
    run.done = stops || at >= looks;
    if (!run.done || !patience) return;
    if (stops) run.stopped = at;
    run.kept = best;
    for (let k = at; k <= looks; k++) {
      run.weights[k] = run.weights[best];
      run.losses[k] = run.losses[best];
    }
  }
  look();
  run.advance = () => {
    for (let k = 0; k < every; k++) step();
    look();
  };
  return run;
}

/** What the weights (without biases) are like: {sizes, largest first, zeros, units in use}. */
export function weightsOf(row, width) {
  const used = (k) => row[3 * width + k] && (row[k] || row[width + k]);
  const sizes = Float64Array.from([...row.slice(0, 2 * width), ...row.slice(3 * width, 4 * width)],
    Math.abs).sort().reverse();
  return { sizes, zeros: sizes.filter((v) => v === 0).length,
    units: Array.from({ length: width }, (_, k) => k).filter(used).length };
}
