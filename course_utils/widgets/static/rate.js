// A logarithmic slider for a learning rate.

import { say, slider } from "./dom.js";

/** The value at a place of the slider, as it is stored and copied: three digits. */
export function rateAt(position) {
  return +(10 ** position).toPrecision(3);
}

/**
 * A slider from 10^low to 10^high. `read()` gives the value in force, which may lie
 * between two places of the slider or beyond its ends.
 */
export function rateSlider({ label, low, high, read, onInput }) {
  const control = slider({
    label,
    min: low,
    max: high,
    step: 0.01,
    value: Math.log10(read()),
    format(v) {
      const exact = read();
      const at = Math.min(high, Math.max(low, Math.log10(exact)));
      return say(Math.abs(at - v) < 0.0051 ? exact : rateAt(v));
    },
    onInput: (v) => onInput(rateAt(v)),
  });
  return { ...control, set: (value) => control.set(Math.log10(value)) };
}
