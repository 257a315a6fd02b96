// A network 2 -> width -> 1 and its gradient descent; the same as core/playground.py.

import { makeRandom } from "./random.js";

/** {width, W1: two rows, b1, W2, b2: [1 number]}: normal weights, zero biases. */
export function initialNetwork(width, seed) {
  const uniform = makeRandom(seed);
  const draws = Float64Array.from({ length: 3 * width }, () =>
    Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
  return { width, W1: draws.slice(0, 2 * width), b1: new Float64Array(width),
    W2: draws.slice(2 * width).map((v) => v * Math.sqrt(2 / width)), b2: new Float64Array(1) };
}

/** Fill `hidden` (n rows of width) and `logits` (n) for the points X (n rows of 2). */
export function predictInto({ width, W1, b1, W2, b2 }, activation, X, hidden, logits) {
  const n = logits.length;
  for (let i = 0, o = 0; i < n; i++) {
    const [x, y] = [X[2 * i], X[2 * i + 1]];
    let sum = b2[0];
    for (let k = 0; k < width; k++, o++) {
      const z = x * W1[k] + y * W1[width + k] + b1[k];
      const value = activation === "tanh" ? Math.tanh(z)
        : activation === "relu" ? (z > 0 ? z : z <= 0 ? 0 : NaN) : 1 / (1 + Math.exp(-z));
      hidden[o] = value;
      sum += value * W2[k];
    }
    logits[i] = sum;
  }
}

/** {loss, accuracy} of logits: mean cross-entropy in nats; a logit of 0 counts as class 1. */
export function score(logits, targets) {
  let [loss, right] = [0, 0];
  for (let i = 0; i < logits.length; i++) {
    const z = logits[i];
    loss += Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z))) - targets[i] * z;
    right += (z >= 0 ? 1 : 0) === targets[i] && Number.isFinite(z) ? 1 : 0;
  }
  return { loss: loss / logits.length, accuracy: right / logits.length };
}

/** The gradients, in the form of a network, given what `predictInto` filled. */
export function gradientsInto(network, activation, X, targets, hidden, logits, out) {
  const { width, W2 } = network;
  const n = logits.length;
  for (const part of [out.W1, out.b1, out.W2, out.b2]) part.fill(0);
  for (let i = 0, o = 0; i < n; i++) {
    const delta = (1 / (1 + Math.exp(-logits[i])) - targets[i]) / n;
    out.b2[0] += delta;
    for (let k = 0; k < width; k++, o++) {
      const value = hidden[o];
      const slope = activation === "tanh" ? 1 - value * value
        : activation === "relu" ? (value > 0 ? 1 : 0) : value * (1 - value);
      const back = delta * W2[k] * slope;
      out.W2[k] += delta * value;
      out.b1[k] += back;
      out.W1[k] += back * X[2 * i];
      out.W1[width + k] += back * X[2 * i + 1];
    }
  }
  return out;
}

/**
 * A training run that can be continued. `data`: {train: {X, y}, held: {X, y}}.
 * `advance()` takes one step; `losses[k]` is [train, held out] after k steps.
 */
export function makeTraining({ width, activation, lr, seed }, data) {
  const network = initialNetwork(width, seed);
  const gradients = initialNetwork(width, seed);
  const room = (set) => [new Float64Array(set.y.length * width), new Float64Array(set.y.length)];
  const rooms = { train: room(data.train), held: room(data.held) };
  const losses = [];
  const scores = {};
  function look() {
    for (const part of ["train", "held"]) {
      predictInto(network, activation, data[part].X, ...rooms[part]);
      scores[part] = score(rooms[part][1], data[part].y);
    }
    losses.push([scores.train.loss, scores.held.loss]);
  }
  look();
  return {
    network, gradients, losses, scores,
    hidden: rooms.train[0],
    get step() {
      return losses.length - 1;
    },
    get broken() {
      return !Number.isFinite(losses.at(-1)[0]);
    },
    advance() {
      gradientsInto(network, activation, data.train.X, data.train.y, ...rooms.train, gradients);
      for (const name of ["W1", "b1", "W2", "b2"])
        for (let k = 0; k < network[name].length; k++) network[name][k] -= lr * gradients[name][k];
      look();
    },
  };
}
