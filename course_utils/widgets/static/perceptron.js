// The perceptron rule and the bound on its mistakes; the same as core/perceptron.py.

/** Which of the three cases: 0 right, 1 raises the score, 2 lowers it. */
export function perceptronCase(target, output) {
  return target === output ? 0 : target > output ? 1 : 2;
}

/**
 * Every step of the rule from w = 0, b = 0 on rows [x1, x2, target].
 * A frame is {sample, score, output, w1, w2, b, mistakes}; frame 0 is the start.
 */
export function perceptronRun(samples, order, maxSteps) {
  let [w1, w2, b, mistakes, right] = [0, 0, 0, 0, 0];
  const frames = [{ sample: -1, score: NaN, output: -1, w1, w2, b, mistakes }];
  const seen = new Map([["0 0 0 0", 0]]);
  for (let step = 1; step <= maxSteps; step++) {
    const sample = order[(step - 1) % order.length];
    const [x1, x2, target] = samples[sample];
    const score = w1 * x1 + w2 * x2 + b;
    const output = score >= 0 ? 1 : 0;
    const error = target - output;
    w1 += error * x1;
    w2 += error * x2;
    b += error;
    mistakes += Math.abs(error);
    right = error ? 0 : right + 1;
    frames.push({ sample, score, output, w1, w2, b, mistakes });
    if (right === order.length) return { frames, ending: "converged", repeatsFrom: -1 };
    const key = `${step % order.length} ${w1} ${w2} ${b}`;
    if (seen.has(key)) return { frames, ending: "repeats", repeatsFrom: seen.get(key) };
    seen.set(key, step);
  }
  return { frames, ending: "stopped", repeatsFrom: -1 };
}

function dot3(a, b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/**
 * Radius, largest margin and Novikoff's bound, the bias counted as a third weight.
 *
 * The margin is the distance from the origin to the convex hull of z = ±(x, 1); weight moves
 * from the farthest point in use to the nearest (Mitchell, Demyanov and Malozemov, 1974).
 */
export function separation(samples) {
  const z = samples.map(([u, v, t]) => (t ? [u, v, 1] : [-u, -v, -1]));
  const radius = Math.max(...z.map((p) => Math.hypot(...p)));
  const weights = z.map((_, i) => (i ? 0 : 1));
  let here = z[0];
  let lowest = 0;
  for (let round = 0; round < 20000; round++) {
    let [low, high] = [0, -1];
    const heights = z.map((p) => dot3(p, here));
    heights.forEach((height, i) => {
      if (height < heights[low]) low = i;
      if (weights[i] > 0 && (high < 0 || height > heights[high])) high = i;
    });
    lowest = heights[low];
    const gap = heights[high] - lowest;
    if (gap <= 1e-8 * dot3(here, here)) break;
    const way = z[low].map((v, k) => v - z[high][k]);
    const part = Math.min(weights[high], gap / dot3(way, way));
    weights[low] += part;
    weights[high] -= part;
    here = here.map((v, k) => v + part * way[k]);
    if (Math.hypot(...here) <= 1e-9 * radius) break;
  }
  // What every sample keeps from this plane; nothing is claimed that was not reached.
  const margin = lowest / Math.hypot(...here);
  if (!(margin > 1e-6 * radius)) return { radius, margin: 0, bound: Infinity };
  return { radius, margin, bound: (radius / margin) ** 2 };
}
