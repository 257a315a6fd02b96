// ActivationExplorer: activations, their slopes, and what 30 layers of them do to a signal.

import { drawAxes, drawMarker, makeScale } from "./axes.js";
import { strokeCurve } from "./curve.js";
import { ACTIVATIONS, flatness, forward, layerOf, makeRooms, makeTables, spreadOf, summary } from "./deepnet.js";
import { makeCanvas, pointerAt, say, select, slider } from "./dom.js";
import { label } from "./label.js";
import { rateSlider } from "./rate.js";
import { decades, sayRange } from "./scales.js";
import { readTheme } from "./theme.js";
import { wireShell } from "./wire.js";

export { ACTIVATIONS, flatness, forward, layerOf, makeRooms, makeTables, spreadOf, summary };

const KEEP = ["activations", "gain", "parameters", "x", "layer", "seed"];
const [DEPTH, WIDTH, REACH, MOST] = [30, 64, 6, 3];
const SIZE = [430, 430];
const UPPER = [208, 26]; // bottom and top of the two plots of a canvas
const LOWER = [388, 242];
const PLACES = Float64Array.from({ length: 481 }, (_, k) => -REACH + (2 * REACH * k) / 480);
const NONE = "none";
const DASHES = [[], [8, 4], [9, 3, 2, 3]];
const SHAPES = ["circle", "square", "triangle"];

/** The Python call that shows `state` again. */
export function explorerCall({ activations, gain, parameters, x, layer, seed }) {
  const names = activations.map((name) => `"${name}",`).join(" ");
  const own = Object.keys(parameters).length ? `parameters=${JSON.stringify(parameters)}, ` : "";
  return `ActivationExplorer((${names}), gain=${gain}, ${own}x=${x}, layer=${layer}, seed=${seed})`;
}

/** Run the net of an activation; returns a list of {rms, mean, spread, flat, dead} by layer. */
export function makeRunner() {
  const rooms = makeRooms();
  let tables = null;
  const known = new Map();
  return (activation, parameter, gain, seed) => {
    if (tables?.seed !== seed) tables = { seed, ...makeTables(seed) };
    const key = [activation, parameter, gain, seed].join(" ");
    if (known.has(key)) return known.get(key);
    if (known.size > 20) known.clear();
    forward({ layers: tables.layers, scale: gain * Math.sqrt(2 / WIDTH), depth: DEPTH,
      width: WIDTH, activation, parameter, norm: "none" }, tables.inputs, rooms);
    const at = (name, l) => layerOf(rooms[name], l, WIDTH);
    const layers = Array.from({ length: DEPTH }, (_, l) => ({ ...summary(at("h", l)),
      spread: spreadOf(at("h", l)), ...flatness(at("slopes", l)) }));
    const run = { input: summary(tables.inputs).rms, layers };
    known.set(key, run);
    return run;
  };
}

/** What to read aloud of one activation. */
export function explorerWords({ title, here: [value, slope], net }, layer) {
  const here = net.layers[layer - 1];
  return `${title}: f ${say(value, 3)}, f′ ${say(slope, 3)}; layer ${layer}: rms ` +
    `${sayRange(here.rms)}, mean ${sayRange(here.mean)}, differences between inputs ` +
    `${sayRange(here.spread)}, ${Math.round(100 * here.flat)} % flat, ${here.dead} of ${WIDTH} dead.`;
}

/** f and f' of an activation at some places. */
export function curveOf(name, parameter, places) {
  const out = [new Float64Array(places.length), new Float64Array(places.length)];
  ACTIVATIONS[name](Float64Array.from(places), ...out, parameter);
  return out;
}

function render({ model, el }) {
  const known = model.get("known");
  const run = makeRunner();
  const { shell, state, change } = wireShell({ model, el, keep: KEEP, code: explorerCall,
    draw: () => draw() });
  const parameterOf = (name) => model.get("parameters")[name] ?? known[name].default;

  /** Put another activation in a place; one that is in use elsewhere changes places. */
  function choose(place, name) {
    const names = [...model.get("activations")];
    const other = names.indexOf(name);
    if (other >= 0 && names[place]) names[other] = names[place];
    if (name === NONE) names.splice(place, 1);
    else if (other < 0 || names[place]) names[Math.min(place, names.length)] = name;
    change({ activations: names });
  }
  function makePick(place) {
    const options = [...Object.keys(known), ...(place ? [NONE] : [])].map((name) => [name, name]);
    const choice = select({ label: ["first", "second", "third"][place],
      options, value: NONE, onInput: (name) => choose(place, name) });
    const name = () => model.get("activations")[place];
    let own = null;
    own = slider({ label: "", min: 0, max: 1, step: 0.01, value: 0,
      // A value set from Python may lie between two places of the slider.
      format(v) {
        const exact = name() ? parameterOf(name()) : v;
        return say(Math.abs(exact - v) < 0.51 * own?.input.step ? exact : v, 3);
      },
      onInput: (v) => change({ parameters: { ...model.get("parameters"), [name()]: v } }) });
    const set = () => {
      const now = name();
      choice.set(now ?? NONE);
      own.el.hidden = !known[now]?.symbol;
      if (own.el.hidden) return;
      const { symbol, low, high, step } = known[now];
      own.el.querySelector("label").textContent = symbol;
      Object.assign(own.input, { min: low, max: high, step });
      own.set(parameterOf(now));
    };
    shell.controls.append(choice.el, own.el);
    return set;
  }
  const picks = Array.from({ length: MOST }, (_, place) => makePick(place));
  const gain = rateSlider({ label: "gain", low: -1, high: 1, read: () => model.get("gain"),
    onInput: (value) => change({ gain: value }) });
  shell.controls.append(gain.el);
  const [curves, signal] = [makeCanvas(...SIZE, "activations"), makeCanvas(...SIZE, "signal")];
  shell.stage.append(curves.canvas, signal.canvas);

  const xScale = makeScale(-REACH, REACH, 52, 420);
  const layerScale = makeScale(0, DEPTH, 56, 420);

  function drawLegend(ctx, shown, theme, word) {
    ctx.font = "12px sans-serif";
    ctx.textAlign = "left";
    ctx.textBaseline = "middle";
    let left = 8;
    for (const { look, [word]: text } of shown) {
      strokeCurve(ctx, [[left, 10], [left + 38, 10]], look);
      drawMarker(ctx, look.shape, left + 19, 10, 4, look.colour, theme.paper);
      ctx.fillStyle = theme.ink;
      ctx.fillText(text, left + 43, 10);
      left += 43 + ctx.measureText(text).width + 14;
    }
  }
  function inside(ctx, [bottom, top], paint) {
    ctx.save();
    ctx.beginPath();
    ctx.rect(46, top - 5, 380, bottom - top + 10);
    ctx.clip();
    paint();
    ctx.restore();
  }
  function cursor(ctx, x, [bottom, top], theme) {
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    ctx.strokeRect(x, top, 0, bottom - top);
  }
  function drawCurves(shown, at, theme) {
    const { ctx } = curves;
    ctx.clearRect(0, 0, ...SIZE);
    for (const [ends, low, high, name, xLabel, part] of [
      [UPPER, -2.2, 4.2, "f(x)", "", 0], [LOWER, -0.3, 1.3, "f′(x)", "x", 1]]) {
      const y = makeScale(low, high, ...ends);
      const height = (v) => Math.min(ends[0] + 50, Math.max(ends[1] - 50, y(v)));
      drawAxes(ctx, xScale, y, theme, { xLabel, yLabel: name, grid: true, gap: 46 });
      inside(ctx, ends, () => {
        cursor(ctx, xScale(at), ends, theme);
        for (const { curve, look } of shown) {
          const points = [];
          curve[part].forEach((value, k) => {
            // A jump is drawn as one.
            if (k > 0 && Math.abs(height(value) - points.at(-1)[1]) > 40)
              points.push([xScale(PLACES[k]), points.at(-1)[1]]);
            points.push([xScale(PLACES[k]), height(value)]);
          });
          strokeCurve(ctx, points, look);
        }
        for (const { here: [f, slope], look } of shown)
          drawMarker(ctx, look.shape, xScale(at), height(part ? slope : f), 5, look.colour,
            theme.paper);
      });
    }
    drawLegend(ctx, shown, theme, "title");
  }
  function drawSignal(shown, layer, theme) {
    const { ctx } = signal;
    const sizes = shown.flatMap(({ net }) => [net.input, ...net.layers.map((s) => s.rms)]);
    const [low, high] = decades(sizes);
    const y = makeScale(low / 1.3, high * 1.3, ...UPPER, true);
    const part = makeScale(0, 1, ...LOWER);
    ctx.clearRect(0, 0, ...SIZE);
    drawAxes(ctx, layerScale, y, theme, { yLabel: "rms (log)", grid: true, gap: 54 });
    drawAxes(ctx, layerScale, part, theme, { xLabel: "layer", grid: true, gap: 54,
      yLabel: "fraction" });
    for (const ends of [UPPER, LOWER]) cursor(ctx, layerScale(layer), ends, theme);
    for (const { net, look } of shown) {
      const every = (list, from) => list.map((v, k) => [k + from, v])
        .filter(([, v]) => Number.isFinite(v));
      const rms = every([net.input, ...net.layers.map((s) => s.rms)], 0).filter(([, v]) => v > 0)
        .map(([k, v]) => [layerScale(k), y(v)]);
      const flat = every(net.layers.map((s) => s.flat), 1).map(([k, v]) => [layerScale(k), part(v)]);
      const dead = every(net.layers.map((s) => s.dead / WIDTH), 1)
        .map(([k, v]) => [layerScale(k), part(v)]);
      strokeCurve(ctx, rms, look);
      strokeCurve(ctx, flat, look);
      strokeCurve(ctx, dead, { colour: look.colour, dash: [1, 3] }, 1.5);
      for (const [points, fill] of [[rms, look.colour], [flat, look.colour], [dead, theme.paper]])
        points.forEach(([px, py], k) => k % 3 === 0 &&
          drawMarker(ctx, look.shape, px, py, 3.5, fill, fill === theme.paper ? look.colour : fill));
    }
    drawLegend(ctx, shown, theme, "name");
    label(ctx, "filled: flat outputs, open: dead units", 64, LOWER[1] + 9, theme);
  }

  let drawn = null;
  const draw = shell.guard(() => {
    const now = state();
    const theme = readTheme(el);
    for (const set of picks) set();
    gain.set(now.gain);
    const shown = now.activations.map((name, k) => {
      const parameter = parameterOf(name);
      const { symbol } = known[name];
      const both = (x) => curveOf(name, parameter, x);
      return { name, title: symbol ? `${name} (${symbol} = ${say(parameter, 3)})` : name,
        curve: both(PLACES), here: both([now.x]).map(([v]) => v),
        net: run(name, parameter, now.gain, now.seed),
        look: { colour: theme.series[k], dash: DASHES[k], shape: SHAPES[k] } };
    });
    // A gain leaves the curves as they are.
    const key = JSON.stringify([now.activations, now.parameters, now.x, theme]);
    if (key !== drawn) drawCurves(shown, now.x, theme);
    drawn = key;
    drawSignal(shown, now.layer, theme);
    const text = `Gain ${say(now.gain, 3)}, x = ${say(now.x, 3)}. ` +
      shown.map((s) => explorerWords(s, now.layer)).join(" ");
    shell.readout(text);
    curves.canvas.setAttribute("aria-label", `Activations and their slopes against x. ${text}`);
    signal.canvas.setAttribute("aria-label",
      `Rms of the signal, flat outputs and dead units in 30 layers of 64 units. ${text}`);
  });

  const toX = (x) => change({ x: +Math.min(REACH, Math.max(-REACH, x)).toFixed(2) });
  const toLayer = (k) => change({ layer: Math.min(DEPTH, Math.max(1, Math.round(k))) });
  function wireCanvas(face, scale, move, ends, step) {
    const { canvas } = face;
    const drag = shell.guard((event) => {
      if (canvas.hasPointerCapture(event.pointerId)) move(scale.invert(pointerAt(event, face)[0]));
    });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      drag(event);
    });
    canvas.addEventListener("pointermove", drag);
    canvas.addEventListener("keydown", shell.guard((event) => {
      const [at, by] = step(event.shiftKey);
      const to = { ArrowLeft: at - by, ArrowDown: at - by, ArrowRight: at + by, ArrowUp: at + by,
        Home: ends[0], End: ends[1] }[event.key];
      if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation();
      move(to);
    }));
  }
  wireCanvas(curves, xScale, toX, [-REACH, REACH], (far) => [model.get("x"), far ? 1 : 0.1]);
  wireCanvas(signal, layerScale, toLayer, [1, DEPTH], (far) => [model.get("layer"), far ? 5 : 1]);
  draw();
  return shell.cleanup;
}

export default { render };
