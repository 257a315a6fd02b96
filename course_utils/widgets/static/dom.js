// Small pieces of page: elements, controls, canvases, bytes, one draw per frame.

/** An id that no other widget on the page has. */
function freshId() {
  return `dlc-${Math.random().toString(36).slice(2)}`;
}

/** Build an element: h("div", {class: "a"}, child, "text"). */
export function h(tag, attributes = {}, ...children) {
  const el = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (value === true) el.setAttribute(name, "");
    else if (value !== false && value != null) el.setAttribute(name, value);
  }
  el.append(...children);
  return el;
}

export function button(label, onClick, attributes = {}) {
  return h("button", { type: "button", onclick: onClick, ...attributes }, label);
}

/** A labelled range input. Returns {el, input, get, set}; `onInput(value)` on every move. */
export function slider({ label, min, max, step, value, format = String, onInput }) {
  const id = freshId();
  const input = h("input", { type: "range", id, min, max, step });
  const output = h("output", { for: id });
  const say = () => {
    output.textContent = format(+input.value);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  const set = (v) => {
    input.value = v;
    say();
  };
  set(value);
  input.addEventListener("input", () => {
    say();
    onInput(+input.value);
  });
  const el = h("div", { class: "dlc-control" }, h("label", { for: id }, label), input, output);
  return { el, input, get: () => +input.value, set };
}

/** A labelled drop-down. `options`: [[value, text], ...]. Returns {el, input, get, set}. */
export function select({ label, options, value, onInput }) {
  const id = freshId();
  const input = h("select", { id }, ...options.map(([v, text]) => h("option", { value: v }, text)));
  input.value = value;
  input.addEventListener("change", () => onInput(input.value));
  const el = h("div", { class: "dlc-control" }, h("label", { for: id }, label), input);
  return { el, input, get: () => input.value, set: (v) => (input.value = v) };
}

/** A labelled checkbox. Returns {el, input, get, set}. */
export function checkbox({ label, value, onInput }) {
  const id = freshId();
  const input = h("input", { type: "checkbox", id });
  input.checked = value;
  input.addEventListener("change", () => onInput(input.checked));
  const el = h("div", { class: "dlc-check" }, input, h("label", { for: id }, label));
  return { el, input, get: () => input.checked, set: (v) => (input.checked = v) };
}

/** A canvas of width x height CSS pixels, sharp on dense screens, focusable, with words. */
export function makeCanvas(width, height, label) {
  const canvas = h("canvas", { tabindex: 0, role: "img", "aria-label": label });
  const ratio = Math.min(2, window.devicePixelRatio || 1);
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.width = `${width}px`;
  canvas.style.aspectRatio = `${width} / ${height}`;
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  return { canvas, ctx, width, height };
}

/** Position of a pointer event in a canvas's own units (it may be shown smaller). */
export function pointerAt(event, { canvas, width, height }) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) / box.width) * width,
    ((event.clientY - box.top) / box.height) * height,
  ];
}

/** Copy the float32 numbers out of a DataView, which may start at an odd byte. */
export function f32(view) {
  if (!view || view.byteLength === 0) return new Float32Array(0);
  return new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/**
 * Return `request`: however often it is called, `draw` runs at most twice a frame.
 * The first call draws as soon as its event handler is done, so that the next frame shows it;
 * calls that come before that frame share one more drawing.
 */
export function oncePerFrame(draw) {
  let handle = 0;
  let again = false;
  const request = () => {
    again = handle !== 0;
    if (again) return;
    handle = requestAnimationFrame(() => {
      handle = 0;
      if (again) request();
    });
    queueMicrotask(() => handle && draw());
  };
  request.cancel = () => {
    cancelAnimationFrame(handle);
    handle = 0;
    again = false;
  };
  return request;
}

/** A number for a read-out: four significant digits, no noise. */
export function say(x, digits = 4) {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "NaN" : x > 0 ? "infinity" : "-infinity";
  if (x === 0) return "0";
  const size = Math.abs(x);
  return size >= 1e4 || size < 1e-3 ? x.toExponential(2) : String(+x.toPrecision(digits));
}
