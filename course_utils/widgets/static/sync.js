// State that lives in traits: written by the view, followed when Python moves it.

/**
 * Tie the traits `names` to a view. `onOutside(name)` is called when somebody else changed one.
 * Returns {save(values), stop}: `save` writes traits without calling `onOutside`.
 */
export function linkTraits(model, names, onOutside) {
  let own = false;
  const links = names.map((name) => [`change:${name}`, () => own || onOutside(name)]);
  for (const [event, handler] of links) model.on(event, handler);
  return {
    save(values) {
      own = true;
      try {
        for (const [name, value] of Object.entries(values)) model.set(name, value);
      } finally {
        own = false;
      }
      model.save_changes();
    },
    stop() {
      for (const [event, handler] of links) model.off(event, handler);
    },
  };
}

/** The shortest decimal that is still the same float32, for code that is to be copied. */
export function shortNumber(x) {
  const single = Math.fround(x);
  for (let digits = 1; digits < 9; digits++) {
    const text = single.toPrecision(digits);
    if (Math.fround(+text) === single) return String(+text);
  }
  return String(single);
}
