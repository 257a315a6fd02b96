// The frame around every widget: task, presets, reset, copy as code, read-out, errors.

import { button, h } from "./dom.js";
import { guardKeys } from "./keys.js";
import { onThemeChange } from "./theme.js";

/**
 * Lay out a widget in `el`.
 *
 * `presets`: [{name, title}], a button each, `onPreset(name)`. `onReset()` goes back to the
 * state the widget was made with. `code()` returns the Python call that shows what is shown now.
 * `redraw()` is called on a change of theme. The task line is the trait `task`, the read-out is
 * written back to the trait `readout`.
 *
 * Returns {controls, stage, readout(text), guard(fn), onCleanup(fn), cleanup}.
 */
export function makeShell({ model, el, presets = [], onPreset, onReset, code, redraw }) {
  const cleanups = [];
  const task = h("p", { class: "dlc-task" }, model.get("task") || "");
  const bar = h("div", { class: "dlc-bar", role: "group", "aria-label": "presets" });
  const controls = h("div", { class: "dlc-controls" });
  const stage = h("div", { class: "dlc-stage" });
  const readout = h("p", { class: "dlc-readout", role: "status", "aria-live": "polite" });
  const trouble = h("p", { class: "dlc-trouble", role: "alert", hidden: true });
  const root = h("div", { class: "dlc-widget" }, task, bar, controls, stage, readout, trouble);

  /** Run `fn`; an exception is shown in the widget instead of vanishing into the console. */
  const guard = (fn) => (...args) => {
    try {
      const result = fn(...args);
      trouble.hidden = true;
      return result;
    } catch (error) {
      trouble.hidden = false;
      trouble.textContent = `This widget met an error: ${error.message}`;
      console.error(error);
      return undefined;
    }
  };

  for (const { name, title } of presets)
    bar.append(button(name, guard(() => onPreset(name)), { title, "data-preset": name }));
  bar.append(button("Reset", guard(onReset), { class: "dlc-reset" }));
  const codeBox = h("textarea", { class: "dlc-code", readonly: true, hidden: true, rows: 2,
    "aria-label": "the call that shows this" });
  bar.append(
    button("Copy as code", guard(() => {
      codeBox.value = code();
      codeBox.hidden = false;
      codeBox.select();
      // Where the clipboard is closed to pages, the selected text is still there to copy.
      navigator.clipboard?.writeText(codeBox.value).catch(() => {});
    }), { class: "dlc-copy" }),
  );
  root.append(codeBox);

  const kernelGone = () => {
    trouble.hidden = false;
    trouble.textContent =
      "The kernel behind this widget is gone. It still works; run its cell again to link them.";
  };
  model.on("comm_live_update", kernelGone);
  cleanups.push(() => model.off?.("comm_live_update", kernelGone));

  cleanups.push(guardKeys(root), onThemeChange(guard(redraw)));
  el.append(root);
  let last = null;
  return {
    controls,
    stage,
    guard,
    readout(text) {
      if (text === last) return;
      last = text;
      readout.textContent = text;
      model.set("readout", text);
      model.save_changes();
    },
    onCleanup: (fn) => cleanups.push(fn),
    cleanup() {
      for (const fn of cleanups.splice(0)) fn();
      root.remove();
    },
  };
}
