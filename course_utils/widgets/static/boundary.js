// A straight boundary in the plane.

/** The two ends of the line w . x + b = 0 in the window, or null where it is not in it. */
export function boundaryEnds(x, y, w, b) {
  if (w[0] === 0 && w[1] === 0) return null;
  const size = Math.hypot(...w);
  const foot = [(-b * w[0]) / size ** 2, (-b * w[1]) / size ** 2];
  const along = [-w[1] / size, w[0] / size];
  let [low, high] = [-Infinity, Infinity];
  for (const [k, scale] of [[0, x], [1, y]]) {
    if (along[k] === 0) {
      if (foot[k] < scale.low || foot[k] > scale.high) return null;
      continue;
    }
    const s = (scale.low - foot[k]) / along[k];
    const t = (scale.high - foot[k]) / along[k];
    low = Math.max(low, Math.min(s, t));
    high = Math.min(high, Math.max(s, t));
  }
  if (!(low < high)) return null;
  return [low, high].map((t) => [foot[0] + t * along[0], foot[1] + t * along[1]]);
}
