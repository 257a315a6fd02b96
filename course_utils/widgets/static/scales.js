// Numbers over many decades: how to say them, and which decades to show.

import { say } from "./dom.js";

const LARGEST = 3.4e38; // of float32, in which networks are mostly trained
const LEAST = 1.2e-38;

/** A number for a read-out that says where float32 would have lost it. */
export function sayRange(x) {
  const size = Math.abs(x);
  const lost = size > LARGEST ? " (overflow in float32)" : size < LEAST ? " (vanished)" : "";
  return say(x, 3).replace("e+", "e") + lost;
}

/** Powers of ten around the positive values, at least two decades apart. */
export function decades(values) {
  const logs = values.filter((v) => v > 0 && Number.isFinite(v)).map(Math.log10);
  if (!logs.length) return [0.01, 1];
  const high = Math.ceil(logs.reduce((a, v) => Math.max(a, v)));
  return [10 ** Math.min(Math.floor(logs.reduce((a, v) => Math.min(a, v))), high - 2), 10 ** high];
}
