// SignalFlow: histograms of activations and gradients in each layer of a deep random network.

import { backward, flatness, forward, layerOf, makeRooms, makeTables, orthogonalise, scaleOf, summary } from "./deepnet.js";
import { button, makeCanvas, pointerAt, select, slider } from "./dom.js";
import { makeRows, paintBand, paintLayers, paintRidge, paintStrip, sharedRange } from "./ridge.js";
import { sayRange } from "./scales.js";
import { readTheme } from "./theme.js";
import { wireShell } from "./wire.js";

export { backward, flatness, forward, layerOf, makeRooms, makeTables, orthogonalise, scaleOf, summary };

const KEEP = ["depth", "width", "activation", "init", "norm", "seed", "layer"];
const SIZE = [430, 420];
const RIDGE = { left: 40, right: 264, top: 26, bottom: 378 };
const STRIP = { left: 298, right: 420, top: 26, bottom: 378 };

/** The Python call that shows `state` again. */
export function flowCall({ depth, width, activation, init, norm, seed, layer }) {
  return `SignalFlow(depth=${depth}, width=${width}, activation="${activation}", ` +
    `init="${init}", norm="${norm}", seed=${seed}, layer=${layer})`;
}

/** Keep what a seed determines, and compute a network only when its settings change. */
export function makeFlow(parameters) {
  const rooms = makeRooms();
  let tables = null;
  let square = null;
  let known = null;
  function orthogonal(depth, width) {
    if (square?.tables !== tables || square.width !== width)
      square = { tables, width, layers: tables.layers.slice(), done: 0 };
    orthogonalise(square.layers, square.done, depth, width);
    square.done = Math.max(square.done, depth);
    return square.layers;
  }
  return ({ depth, width, activation, init, norm, seed }) => {
    if (tables?.seed !== seed) tables = { seed, ...makeTables(seed) };
    const asked = [depth, width, activation, init, norm, seed].join(" ");
    if (known?.asked === asked) return known;
    const layers = init === "orthogonal" ? orthogonal(depth, width) : tables.layers;
    const net = { layers, scale: scaleOf(init, width), depth, width, activation, norm,
      parameter: parameters[activation] };
    forward(net, tables.inputs, rooms);
    backward(net, tables.top, rooms);
    const all = Array.from({ length: depth }, (_, l) => l);
    const of = (name) => (l) => layerOf(rooms[name], l - 1, width);
    known = { asked, activations: of("h"), gradients: of("gradients"),
      forward: all.map((l) => summary(layerOf(rooms.h, l, width))),
      backward: all.map((l) => summary(layerOf(rooms.gradients, l, width))),
      flat: all.map((l) => flatness(layerOf(rooms.slopes, l, width))) };
    return known;
  };
}

/** What to read aloud of a whole network. */
export function flowWords({ depth, width }, { forward: up, backward: down, flat }) {
  const dead = flat.reduce((sum, f) => sum + f.dead, 0);
  const part = flat.reduce((sum, f) => sum + f.flat, 0) / depth;
  return `Std of activations: ${sayRange(up[0].std)} at layer 1, ${sayRange(up.at(-1).std)} at ` +
    `layer ${depth}. The gradient at layer 1 is ${sayRange(down[0].rms / down.at(-1).rms)} times ` +
    `that at layer ${depth}. ${Math.round(100 * part)} % of the outputs are flat (slope below ` +
    `0.01); ${dead} of ${depth * width} units are dead (flat for every input).`;
}

/** What to read aloud of one layer. */
export function layerWords(layer, width, { forward: up, backward: down, flat }) {
  const [a, g, f] = [up[layer - 1], down[layer - 1], flat[layer - 1]];
  return `Layer ${layer}: activations mean ${sayRange(a.mean)}, std ${sayRange(a.std)}; gradient ` +
    `std ${sayRange(g.std)}; ${Math.round(100 * f.flat)} % flat, ${f.dead} of ${width} dead.`;
}

function render({ model, el }) {
  const compute = makeFlow(model.get("activations"));
  const { shell, state, change } = wireShell({ model, el, keep: KEEP, code: flowCall,
    draw: () => draw() });
  const asOptions = (names) => names.map((name) => [name, name]);
  const pick = (name, label, options) => select({ label, options, value: model.get(name),
    onInput: (value) => change({ [name]: value }) });
  const controls = {
    depth: slider({ label: "layers", min: 2, max: 30, step: 1, value: model.get("depth"),
      onInput: (depth) => change({ depth }) }),
    width: slider({ label: "units in each", min: 2, max: 64, step: 1, value: model.get("width"),
      onInput: (width) => change({ width }) }),
    activation: pick("activation", "activation", asOptions(Object.keys(model.get("activations")))),
    init: pick("init", "weights", Object.entries(model.get("inits"))),
    norm: pick("norm", "normalisation", asOptions(model.get("norms"))),
  };
  const again = button("Draw again", shell.guard(() => change({ seed: (model.get("seed") + 1) >>> 0 })),
    { title: "other random numbers for inputs, weights and gradient" });
  shell.controls.append(...Object.values(controls).map((c) => c.el), again);
  const faces = [makeCanvas(...SIZE, "activations"), makeCanvas(...SIZE, "gradients")];
  shell.stage.append(...faces.map((face) => face.canvas));

  function paint({ ctx }, rows, layer, title, values, summaries, look, theme) {
    ctx.clearRect(0, 0, ...SIZE);
    for (const box of [RIDGE, STRIP]) paintBand(ctx, rows, box.left, box.right, layer, theme);
    ctx.font = "13px sans-serif";
    ctx.fillStyle = theme.ink;
    ctx.textAlign = "left";
    ctx.textBaseline = "top";
    ctx.fillText(title, RIDGE.left + 6, 4);
    paintLayers(ctx, rows, RIDGE.left, theme);
    paintRidge(ctx, RIDGE, rows, values, sharedRange(summaries), look, theme);
    paintStrip(ctx, STRIP, rows, summaries.map((s) => s.std), layer, look, theme);
  }
  const draw = shell.guard(() => {
    const now = state();
    const theme = readTheme(el);
    for (const [name, control] of Object.entries(controls)) control.set(now[name]);
    const flow = compute(now);
    const layer = Math.min(now.layer, now.depth);
    const rows = makeRows(RIDGE, now.depth);
    paint(faces[0], rows, layer, "activations, forward ↓", flow.activations, flow.forward,
      { colour: theme.series[0], shape: "circle", name: "activation" }, theme);
    paint(faces[1], rows, layer, "gradients by the layer's outputs, backward ↑", flow.gradients,
      flow.backward, { colour: theme.series[1], shape: "square", name: "gradient" }, theme);
    const [all, one] = [flowWords(now, flow), layerWords(layer, now.width, flow)];
    shell.readout(`${all} ${one}`);
    const net = `${now.depth} layers of ${now.width} units, ${now.activation}, weights ` +
      `${model.get("inits")[now.init]}, normalisation ${now.norm}`;
    faces.forEach(({ canvas }, k) => canvas.setAttribute("aria-label",
      `Histograms of ${["activations", "gradients"][k]} in ${net}. ${one} ${all}`));
  });

  const show = (layer) => change({ layer: Math.min(model.get("depth"), Math.max(1, layer)) });
  for (const face of faces) {
    const { canvas } = face;
    const point = shell.guard((event) => {
      if (!canvas.hasPointerCapture(event.pointerId)) return;
      show(makeRows(RIDGE, model.get("depth")).layerAt(pointerAt(event, face)[1]));
    });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      point(event);
    });
    canvas.addEventListener("pointermove", point);
    canvas.addEventListener("keydown", shell.guard((event) => {
      const at = Math.min(model.get("layer"), model.get("depth"));
      const to = { ArrowUp: at - 1, ArrowLeft: at - 1, ArrowDown: at + 1, ArrowRight: at + 1,
        Home: 1, End: model.get("depth") }[event.key];
      if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      show(to);
    }));
  }
  draw();
  return shell.cleanup;
}

export default { render };
