// ComputationGraph: values forward, gradients backward, node by node.

import { edgeFlows, evaluateGraph, gradientsOf } from "./autograd.js";
import { f32, h, makeCanvas, oncePerFrame, pointerAt, say, select, slider } from "./dom.js";
import { label } from "./label.js";
import { makePlayer } from "./player.js";
import { makeShell } from "./shell.js";
import { drawStroke } from "./strokes.js";
import { linkTraits } from "./sync.js";
import { cssRgb, readTheme } from "./theme.js";

export { evaluateGraph, gradientsOf };

const PRESETS = [
  { name: "forward", title: "the first operation is evaluated" },
  { name: "backward", title: "all values are known; the gradient starts at the root" },
  { name: "fan-out", title: "a node that is used twice adds up what it gets" },
];
const [WIDTH, HEIGHT, ACROSS, DOWN, EDGE] = [126, 58, 182, 76, 12];

/**
 * What happens in frame `step`: {phase, node, forward, backward}, where the last two count
 * the operations done. Frame 0 shows the leaves; after the last value the root gets its seed.
 */
export function frameAt({ ops }, step) {
  const inner = ops.flatMap((op, i) => (op ? [i] : []));
  const n = inner.length;
  if (step === 0) return { phase: "leaves", node: -1, forward: 0, backward: -1 };
  if (step <= n) return { phase: "forward", node: inner[step - 1], forward: step, backward: -1 };
  const backward = step - n - 1;
  if (!backward) return { phase: "seed", node: ops.length - 1, forward: n, backward };
  return { phase: "backward", node: inner[n - backward], forward: n, backward };
}

function number(x) {
  return say(x, 3).replace("-", "−");
}

function factor(x) {
  return x < 0 ? `(${number(x)})` : number(x);
}

/** An operation written out: "a * b", "tanh(n)", "v**2". */
function written(op, parts) {
  if (op.startsWith("**") && op !== "**") return parts[0] + op;
  return parts.length === 2 ? `${parts[0]} ${op} ${parts[1]}` : `${op}(${parts[0]})`;
}

/** "c = a * b = 2 * (−3) = −6" */
function forwardText({ names, ops, parents }, values, i) {
  if (!ops[i]) return `${names[i]} = ${number(values[i])}, a leaf`;
  const bare = parents[i].length === 1 && !ops[i].startsWith("**");
  const given = parents[i].map((p) => (bare ? number : factor)(values[p]));
  return `${names[i]} = ${written(ops[i], parents[i].map((p) => names[p]))} = ` +
    `${written(ops[i], given)} = ${number(values[i])}`;
}

/** Every use of node `i`: {child, slope, flow}, in the order of the backward pass. */
function usesOf(graph, values, grads, i) {
  const uses = [];
  for (let child = graph.ops.length - 1; child > i; child--)
    if (graph.parents[child].includes(i))
      for (const edge of edgeFlows(graph, values, grads, child))
        if (edge.parent === i) uses.push({ child, ...edge });
  return uses;
}

/** "dL/da = dL/dc · dc/da = −2 · 3 = −6", a term for each use that has been reached. */
function backwardText(graph, values, grads, i, reached) {
  const { names } = graph;
  const root = names.at(-1);
  const by = (top, bottom) => `d${top}/d${bottom}`;
  if (i === names.length - 1) return `${by(root, root)} = 1`;
  const all = usesOf(graph, values, grads, i);
  const uses = all.filter(({ child }) => reached(child));
  if (!uses.length) return `${by(root, names[i])}: not reached yet`;
  const terms = uses.map(({ child }) =>
    `${by(root, names[child])} · ${by(names[child], names[i])}`);
  const numbers = uses.map(({ child, slope }) => `${factor(grads[child])} · ${factor(slope)}`);
  const part = uses.length < all.length ? ` (${uses.length} of ${all.length} shares so far)` : "";
  return `${by(root, names[i])} = ${terms.join(" + ")} = ${numbers.join(" + ")} = ` +
    `${number(uses.reduce((sum, { flow }) => sum + flow, 0))}${part}`;
}

/**
 * For each parent of `node`: points from its right side, by the bends, to a port on the left of
 * the node. Ports are in the order in which the edges come in, so that those do not cross.
 */
function routesTo(places, bends, { parents }, node) {
  const routes = parents[node].map((parent, slot) =>
    [[places[parent][0] + WIDTH / 2, places[parent][1]], ...(bends[`${node} ${slot}`] ?? [])]);
  const order = routes.map((_, slot) => slot)
    .sort((a, b) => routes[a].at(-1)[1] - routes[b].at(-1)[1] || a - b);
  const [x, y] = places[node];
  order.forEach((slot, k) =>
    routes[slot].push([x - WIDTH / 2, y + (k - (order.length - 1) / 2) * 24]));
  return routes;
}

function tracePath(ctx, points) {
  ctx.beginPath();
  ctx.moveTo(...points[0]);
  for (let k = 1; k < points.length; k++) {
    const [[x0, y0], [x1, y1]] = [points[k - 1], points[k]];
    ctx.bezierCurveTo((x0 + x1) / 2, y0, (x0 + x1) / 2, y1, x1, y1);
  }
}

/** Draw an edge; backwards flow gets an arrow head at the parent. */
function paintEdge(ctx, points, { colour, width, dash = [], back = false }) {
  ctx.save();
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  tracePath(ctx, points);
  ctx.stroke();
  ctx.restore();
  const [tip, from] = back ? [points[0], 1] : [points.at(-1), -1];
  drawStroke(ctx, [tip[0] + 9 * from, tip[1]], tip, { colour, width, head: true });
}

/** Draw one node: name and operation, value, gradient. `look`: {fill, edge, width, dash}. */
function paintNode(ctx, [x, y], lines, look, theme) {
  ctx.save();
  ctx.beginPath();
  ctx.roundRect(x - WIDTH / 2, y - HEIGHT / 2, WIDTH, HEIGHT, 6);
  ctx.fillStyle = theme.paper;
  ctx.fill();
  ctx.fillStyle = look.fill;
  ctx.fill();
  ctx.setLineDash(look.dash);
  ctx.lineWidth = look.width;
  ctx.strokeStyle = look.edge;
  ctx.stroke();
  ctx.fillStyle = theme.ink;
  ctx.textBaseline = "middle";
  ctx.textAlign = "left";
  lines.forEach((text, k) => {
    ctx.font = k === 0 ? "bold 13px sans-serif" : "12px sans-serif";
    ctx.fillText(text, x - WIDTH / 2 + 8, y + (k - 1) * 17, WIDTH - 14);
  });
  ctx.restore();
}

function render({ model, el }) {
  const graph = { names: model.get("names"), ops: model.get("ops"), parents: model.get("parents") };
  const leaves = graph.ops.flatMap((op, i) => (op ? [] : [i]));
  const inner = graph.ops.length - leaves.length;
  const flat = Array.from(f32(model.get("places")));
  const toPixels = ([c, r]) => [EDGE + WIDTH / 2 + c * ACROSS, EDGE + HEIGHT / 2 + r * DOWN];
  const places = graph.names.map((_, i) => toPixels(flat.slice(2 * i, 2 * i + 2)));
  const bends = {};
  const rows = Array.from(f32(model.get("bends")));
  for (let k = 0; k < rows.length; k += 4) {
    const [x, y] = toPixels(rows.slice(k + 2, k + 4));
    // Level along the whole column, so that the edge stays clear of the boxes there.
    (bends[`${rows[k]} ${rows[k + 1]}`] ??= []).push([x - WIDTH / 2, y], [x + WIDTH / 2, y]);
  }
  const routes = graph.names.map((_, i) => routesTo(places, bends, graph, i));
  const size = [0, 1].map((k) => Math.max(...places.map((p) => p[k]),
    ...Object.values(bends).flat().map((p) => p[k])));
  const face = makeCanvas(size[0] + WIDTH / 2 + EDGE, size[1] + HEIGHT / 2 + EDGE, "");
  const { canvas, ctx } = face;
  const scroll = h("div", { class: "dlc-scroll" }, canvas);
  // Boxes may shrink by a quarter to fit the page; beyond that the graph scrolls.
  canvas.style.minWidth = `${0.75 * face.width}px`;
  let theme = readTheme(el);
  let values;
  let step = model.get("step");
  let hovered = -1;

  const chosen = () => graph.names.indexOf(model.get("selected"));
  const leafShown = () => (leaves.includes(chosen()) ? chosen() : leaves[0]);
  const reachOf = (i) => {
    const own = model.get("own_leaf_values")[leaves.indexOf(i)];
    return [1, 2, 5].flatMap((m) => [m, 10 * m, 100 * m, 1000 * m]).sort((a, b) => a - b)
      .find((r) => r >= 2 * Math.abs(own)) ?? 4 * Math.abs(own);
  };
  function compute() {
    values = evaluateGraph(graph, model.get("leaf_values"));
    draw();
  }
  function showLeaf() {
    const i = leafShown();
    const value = model.get("leaf_values")[leaves.indexOf(i)];
    const reach = Math.max(reachOf(i), Math.abs(value));
    Object.assign(knob.input, { min: -reach, max: reach });
    knob.set(value);
    which.set(graph.names[i]);
  }
  function choose(i) {
    link.save({ selected: graph.names[i] ?? "" });
    showLeaf();
    draw();
  }
  function setLeaf(value) {
    const reach = +knob.input.max;
    const tidy = +(Math.round((200 * value) / reach) * (reach / 200)).toPrecision(12);
    const i = leafShown();
    const next = model.get("leaf_values").map((v, k) => (leaves[k] === i ? tidy : v));
    link.save({ leaf_values: next, selected: graph.names[i] });
    compute();
  }
  function preset(name) {
    player.pause();
    const at = { forward: 1, backward: inner + 1, "fan-out": model.get("fan_out") }[name];
    if (name === "fan-out") {
      const { node, backward } = frameAt(graph, at);
      const before = gotShares(backward - 1);
      choose(graph.parents[node].find((p, slot, all) => before.has(p) || all.indexOf(p) < slot));
    }
    player.show(Math.min(at, 2 * inner + 1));
  }
  function reset() {
    player.pause();
    const names = ["leaf_values", "selected", "step"];
    link.save(Object.fromEntries(names.map((name) => [name, model.get(`first_${name}`)])));
    follow();
  }
  function follow() {
    compute();
    showLeaf();
    player.show(model.get("step"));
  }
  function code() {
    const own = model.get("own_leaf_values");
    const changed = model.get("leaf_values").flatMap((v, k) =>
      v === own[k] ? [] : [`${JSON.stringify(graph.names[leaves[k]])}: ${v}`]);
    const parts = ["root"];
    if (changed.length) parts.push(`values={${changed.join(", ")}}`);
    if (model.get("selected")) parts.push(`selected=${JSON.stringify(model.get("selected"))}`);
    return `ComputationGraph(${[...parts, `step=${step}`].join(", ")})`;
  }

  const shell = makeShell({
    model, el, code, onPreset: preset, onReset: reset,
    presets: PRESETS.filter(({ name }) => name !== "fan-out" || model.get("fan_out") >= 0),
    redraw: () => {
      theme = readTheme(el);
      draw();
    },
  });
  const draw = oncePerFrame(shell.guard(paint));
  const link = linkTraits(model, ["leaf_values", "selected", "step"], shell.guard(follow));
  const player = makePlayer({
    length: 2 * inner + 2,
    speed: "2",
    onFrame(index) {
      step = index;
      if (model.get("step") !== index) link.save({ step });
      draw();
    },
  });
  const which = select({ label: "leaf", value: graph.names[leaves[0]],
    options: leaves.map((i) => [graph.names[i], graph.names[i]]),
    onInput: shell.guard((name) => choose(graph.names.indexOf(name))) });
  const knob = slider({ label: "its value", min: -1, max: 1, step: "any", value: 0,
    format: number, onInput: shell.guard(setLeaf) });

  /** The nodes that have got a gradient after `count` operations of the backward pass. */
  function gotShares(count) {
    const got = new Set(count < 0 ? [] : [graph.names.length - 1]);
    for (let k = 1; k <= count; k++)
      graph.parents[frameAt(graph, inner + 1 + k).node].forEach((p) => got.add(p));
    return got;
  }
  /** The line "grad ..." of a node; where a second share arrives, the sum is written out. */
  function gradText(i, frame, got) {
    if (!got.has(i)) return "";
    const grads = gradientsOf(graph, values, frame.backward);
    if (frame.phase !== "backward" || !graph.parents[frame.node].includes(i))
      return `grad ${number(grads[i])}`;
    const shares = edgeFlows(graph, values, grads, frame.node).filter((e) => e.parent === i)
      .map((e) => number(e.flow));
    if (gotShares(frame.backward - 1).has(i))
      shares.unshift(number(gradientsOf(graph, values, frame.backward - 1)[i]));
    if (shares.length === 1) return `grad ${shares[0]}`;
    return `grad ${shares.join(" += ")} = ${number(grads[i])}`;
  }
  function lookOf(i, frame, known, near) {
    const active = i === frame.node;
    const signal = theme.series[frame.backward >= 0 ? 1 : 0];
    const focus = i === (hovered >= 0 ? hovered : chosen());
    return {
      fill: cssRgb(theme.dark ? [86, 180, 233] : [0, 114, 178], graph.ops[i] && known ? 0.14 : 0),
      edge: active ? signal : near.has(i) || focus || known ? theme.ink : theme.muted,
      width: active || focus ? 3 : near.has(i) ? 2.5 : 1,
      dash: known ? (focus && !active ? [6, 2] : []) : [3, 3],
    };
  }
  function paint() {
    const frame = frameAt(graph, step);
    const order = graph.ops.flatMap((op, i) => (op ? [i] : []));
    const known = new Set([...leaves, ...order.slice(0, frame.forward)]);
    const got = gotShares(frame.backward);
    const sent = new Set(order.slice(inner - Math.max(0, frame.backward)));
    const focus = hovered >= 0 ? hovered : chosen();
    const near = new Set(focus < 0 ? [] : graph.parents[focus]);
    graph.parents.forEach((above, i) => above.includes(focus) && near.add(i));
    const grads = gradientsOf(graph, values);
    ctx.clearRect(0, 0, face.width, face.height);
    const labels = [];
    graph.parents.forEach((above, node) => above.forEach((parent, slot) => {
      const points = routes[node][slot];
      const active = node === frame.node && frame.phase !== "seed";
      const back = sent.has(node);
      const close = node === focus || parent === focus;
      paintEdge(ctx, points, {
        colour: active ? theme.series[back ? 1 : 0] : known.has(node) ? theme.ink : theme.muted,
        width: active || close ? 2.5 : 1, dash: known.has(node) ? [] : [3, 3], back });
      if (!back) return;
      const { slope, flow } = edgeFlows(graph, values, grads, node)[slot];
      const k = Math.ceil(points.length / 2);
      const [a, b] = [points[k - 1], points[k]];
      const text = active ? `${number(grads[node])}·${factor(slope)}` : number(flow);
      labels.push([text, (a[0] + b[0]) / 2, (a[1] + b[1]) / 2]);
    }));
    graph.names.forEach((name, i) =>
      paintNode(ctx, places[i], [graph.ops[i] ? `${name}   ${graph.ops[i]}` : name,
        known.has(i) ? number(values[i]) : "?", gradText(i, frame, got)],
      lookOf(i, frame, known.has(i), near), theme));
    for (const [text, x, y] of labels) label(ctx, text, x, y, theme, "center");
    write(frame, grads, sent, focus);
  }
  function stepText({ phase, node }, grads) {
    const root = graph.names.at(-1);
    if (phase === "leaves") return "the leaves have their values";
    if (phase === "forward") return `forward: ${forwardText(graph, values, node)}`;
    if (phase === "seed") return `seed: d${root}/d${root} = 1`;
    const flows = edgeFlows(graph, values, grads, node).map(({ parent, slope, flow }) =>
      `${graph.names[parent]}.grad += ${factor(grads[node])} · ${factor(slope)} = ${number(flow)}`);
    return `backward through ${graph.names[node]}: ${flows.join("; ")}`;
  }
  function write(frame, grads, sent, focus) {
    const about = focus < 0 ? "" : ` ${forwardText(graph, values, focus)}. ` +
      `${backwardText(graph, values, grads, focus, (child) => sent.has(child))}.`;
    const text = `Step ${step} of ${2 * inner + 1}, ${stepText(frame, grads)}.${about}`;
    shell.readout(text);
    canvas.setAttribute("aria-label", `Computation graph of ${graph.names.length} nodes. ${text} ` +
      "Space plays, left and right step, up and down select a node.");
    const [x] = places[Math.max(0, frame.node)];
    const shown = (x * canvas.clientWidth) / face.width;
    if (frame.node >= 0 && (shown < scroll.scrollLeft + 70 ||
      shown > scroll.scrollLeft + scroll.clientWidth - 70))
      scroll.scrollLeft = shown - scroll.clientWidth / 2;
  }

  function nodeAt(event) {
    const [px, py] = pointerAt(event, face);
    return places.findIndex(([x, y]) =>
      Math.abs(px - x) < WIDTH / 2 && Math.abs(py - y) < HEIGHT / 2);
  }
  function onMove(event) {
    const i = nodeAt(event);
    canvas.style.cursor = i < 0 ? "default" : "pointer";
    if (i === hovered) return;
    hovered = i;
    draw();
  }
  function onKey(event) {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!by || event.ctrlKey || event.metaKey) return player.handleKey(event);
    event.preventDefault();
    event.stopPropagation();
    const count = graph.names.length;
    return choose(chosen() < 0 ? (by > 0 ? 0 : count - 1) : (chosen() + by + count) % count);
  }
  const leave = () => {
    hovered = -1;
    draw();
  };
  const events = { keydown: onKey, pointermove: onMove, pointerleave: leave,
    pointerdown: (event) => choose(nodeAt(event)) };
  for (const [name, handler] of Object.entries(events))
    canvas.addEventListener(name, shell.guard(handler));

  shell.controls.append(player.el, h("div", { class: "dlc-bar" }, which.el, knob.el));
  shell.stage.append(scroll);
  for (const stop of [link.stop, draw.cancel, player.destroy]) shell.onCleanup(stop);
  shell.guard(follow)();
  return shell.cleanup;
}

export default { render };
