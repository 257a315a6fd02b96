// Test functions and the lecture's optimizers; the same rules as core/optimizers.py.

const RHO = 0.9;
const BETA1 = 0.9;
const BETA2 = 0.999;
const WEIGHT_DECAY = 0.1;
const REACH = 10;

/** Value and gradient of each test function. */
export const FUNCTIONS = {
  ravine: {
    value: (x, y) => 0.5 * (x * x + 25 * y * y),
    gradient: (x, y) => [x, 25 * y],
  },
  saddle: {
    value: (x, y) => 0.5 * x * x - 0.5 * y * y + 0.25 * y * y * y * y,
    gradient: (x, y) => [x, y * y * y - y],
  },
  plateau: {
    value: (x, y) => 1 - Math.exp(-(x * x + 2 * y * y) / 4),
    gradient(x, y) {
      const bump = Math.exp(-(x * x + 2 * y * y) / 4);
      return [(x / 2) * bump, y * bump];
    },
  },
  rosenbrock: {
    value(x, y) {
      const a = 1 - x;
      const b = y - x * x;
      return a * a + 100 * b * b;
    },
    gradient(x, y) {
      const b = y - x * x;
      return [-2 * (1 - x) - 400 * x * b, 200 * b];
    },
  },
  beale: {
    value: (x, y) => beale(x, y).reduce((sum, part) => sum + part * part, 0),
    gradient(x, y) {
      const [a, b, c] = beale(x, y);
      return [
        2 * (a * (y - 1) + b * (y * y - 1) + c * (y * y * y - 1)),
        2 * x * (a + 2 * b * y + 3 * c * y * y),
      ];
    },
  },
};

/** The three terms whose squares make Beale's function. */
function beale(x, y) {
  return [1.5 - x + x * y, 2.25 - x + x * y * y, 2.625 - x + x * y * y * y];
}

const sgd = (o, k, g) => -o.lr * g;
const momentum = (o, k, g) => (o.v[k] = o.momentum * o.v[k] - o.lr * g);
function rmsprop(o, k, g) {
  o.r[k] = RHO * o.r[k] + (1 - RHO) * g * g;
  return (-o.lr * g) / (Math.sqrt(o.r[k]) + 1e-8);
}
function adam(o, k, g, t) {
  o.s[k] = BETA1 * o.s[k] + (1 - BETA1) * g;
  o.r[k] = BETA2 * o.r[k] + (1 - BETA2) * g * g;
  const sHat = o.s[k] / (1 - BETA1 ** t);
  const rHat = o.r[k] / (1 - BETA2 ** t);
  return (-o.lr * sHat) / (Math.sqrt(rHat) + 1e-8);
}

/** Each takes its state, the coordinate, the gradient, the step from 1 and the point. */
const RULES = {
  sgd,
  momentum,
  nesterov: momentum,
  adagrad(o, k, g) {
    o.r[k] += g * g;
    return (-o.lr * g) / (Math.sqrt(o.r[k]) + 1e-10);
  },
  adadelta(o, k, g) {
    o.r[k] = RHO * o.r[k] + (1 - RHO) * g * g;
    const change = (-Math.sqrt(o.s[k] + 1e-6) / Math.sqrt(o.r[k] + 1e-6)) * g;
    o.s[k] = RHO * o.s[k] + (1 - RHO) * change * change;
    return change;
  },
  rmsprop,
  rmsprop_nesterov: (o, k, g) => (o.v[k] = o.momentum * o.v[k] + rmsprop(o, k, g)),
  adam,
  adamw: (o, k, g, t, p) => -o.lr * WEIGHT_DECAY * p + adam(o, k, g, t),
};
const LOOKS_AHEAD = ["nesterov", "rmsprop_nesterov"];

/** Whether a run may go on from (x, y); false for NaN. */
export function isInside({ xlim, ylim, ends }, x, y) {
  const reach = ends === "left the map" ? 0.5 : REACH;
  const near = (v, [low, high]) =>
    Math.abs(v - (low + high) / 2) <= reach * (high - low) * (1 + 1e-12);
  return near(x, xlim) && near(y, ylim);
}

/**
 * Run one optimizer from `start` for `numSteps` steps.
 *
 * `maths` has value(x, y) and gradient(x, y); `window` has xlim, ylim and ends. Returns
 * {path: [x0, y0, x1, y1, ...], loss, stopped}: after an early end the last point is
 * repeated and `stopped` is the step at which it ended, otherwise null.
 */
export function runOptimizer(name, maths, window, start, { lr, momentum: mu, numSteps }) {
  const state = { lr, momentum: mu, v: [0, 0], r: [0, 0], s: [0, 0] };
  const rule = RULES[name];
  const ahead = LOOKS_AHEAD.includes(name) ? mu : 0;
  const path = new Float64Array(2 * (numSteps + 1));
  const loss = new Float64Array(numSteps + 1);
  let p = [...start];
  let value = maths.value(...p);
  let stopped = isInside(window, ...p) ? null : 0;
  for (let t = 0; t <= numSteps; t++) {
    if (t > 0 && stopped === null) {
      const g = maths.gradient(p[0] + ahead * state.v[0], p[1] + ahead * state.v[1]);
      const next = p.map((c, k) => c + rule(state, k, g[k], t, c));
      if (isInside(window, ...next)) {
        p = next;
        value = maths.value(...p);
      } else stopped = t;
    }
    path.set(p, 2 * t);
    loss[t] = value;
  }
  return { path, loss, stopped };
}
