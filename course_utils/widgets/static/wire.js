// A shell whose whole state is traits: presets set some of them, reset sets them all back.

import { oncePerFrame } from "./dom.js";
import { makeShell } from "./shell.js";
import { linkTraits } from "./sync.js";

/**
 * Make a shell (see shell.js) for a view that keeps its state in the traits `keep`.
 *
 * The trait `presets`, {name: {title, ...values}}, says what each preset sets; Reset goes back to
 * the trait `initial`.
 * `follow`: further traits to draw anew for; `onOutside(name)` hears of each change that is not
 * the view's own. `before()` runs before a preset or reset. `code(state)` returns the Python call.
 * `draw()` paints; it is called at most once a frame.
 *
 * Returns {shell, state(), change(values)}.
 */
export function wireShell({
  model, el, keep, follow = [], before = () => {}, onOutside = () => {}, code, draw,
}) {
  const presets = model.get("presets");
  const state = () => Object.fromEntries(keep.map((name) => [name, model.get(name)]));
  const request = oncePerFrame(() => draw());
  const { save, stop } = linkTraits(model, [...keep, ...follow], (name) => {
    onOutside(name);
    request();
  });
  const change = (values) => {
    save(values);
    request();
  };
  const jump = (values) => {
    before();
    change(values);
  };
  const shell = makeShell({
    model,
    el,
    presets: Object.entries(presets).map(([name, { title }]) => ({ name, title })),
    onPreset(name) {
      const { title, ...values } = presets[name];
      jump(values);
    },
    onReset: () => jump(model.get("initial")),
    code: () => code(state()),
    redraw: request,
  });
  shell.onCleanup(() => {
    request.cancel();
    stop();
  });
  return { shell, state, change };
}
