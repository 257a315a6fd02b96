// LossSurface: loss surfaces in three dimensions beside their contour maps.

import { drawAxes, drawMarker, makeScale, tickText, ticks } from "./axes.js";
import { button, checkbox, f32, h, makeCanvas, oncePerFrame, pointerAt, say } from "./dom.js";
import { makeGrid } from "./grid.js";
import { colourTable, drawColourBar, heatMap, place } from "./heat.js";
import { makePlayer } from "./player.js";
import { makeCamera, makeMesh, makeRaster, shadeTable } from "./raster.js";
import { makeShell } from "./shell.js";
import { linkTraits } from "./sync.js";
import { readTheme, viridis } from "./theme.js";

const SOLID = [480, 360];
const MAP = { width: 372, height: 360, left: 50, right: 304, top: 30, bottom: 318 };
const BANDS = 20;
const VIEWS = { "top view": [0, 90], "side view": [-30, 6] };
const TITLES = {
  "top view": "from above: the same picture as the map beside it",
  "side view": "almost from the side: how deep, how steep",
  "along the path": "looking from the path's start to its end, or from the point to the lowest place",
};
const KEEP = ["title", "point", "azimuth", "elevation", "shared", "log_height", "step"];

/** One scale {low, high, log} for the surfaces on show: their own limits, or all in common. */
export function commonScale(surfaces, log) {
  const low = Math.min(...surfaces.map((s) => s.low));
  const high = Math.max(...surfaces.map((s) => s.high));
  return { low, high, log: log && low > 0 };
}

/** The azimuth in degrees from which the way from one place (fractions) to another leads away. */
export function azimuthAlong([u0, v0], [u1, v1]) {
  return Math.round((Math.atan2(u1 - u0, v1 - v0) * 180) / Math.PI);
}

/** The Python call that shows `state` again. */
export function surfaceCall(state, hasPaths) {
  const flag = (v) => (v ? "True" : "False");
  return `LossSurface(surfaces, ${hasPaths ? "paths=paths, " : ""}title=${JSON.stringify(state.title)}, ` +
    `point=(${state.point.join(", ")}), azimuth=${state.azimuth}, elevation=${state.elevation}, ` +
    `shared=${flag(state.shared)}, log_height=${flag(state.log_height)}, step=${state.step})`;
}

/** Split what Python sent into surfaces with a value at every point. */
function unpack(model) {
  const losses = f32(model.get("losses"));
  const points = f32(model.get("paths"));
  return model.get("surfaces").map((about) => {
    const { n, m, offset, extent, path: [start, count] } = about;
    const loss = losses.slice(offset, offset + n * m);
    const path = Array.from({ length: count }, (_, k) =>
      Array.from(points.slice(start + 2 * k, start + 2 * k + 2)));
    return { ...about, loss, path, grid: makeGrid(loss, n, m, extent) };
  });
}

function render({ model, el }) {
  const state = () => Object.fromEntries(KEEP.map((name) => [name, model.get(name)]));
  let surfaces = unpack(model);
  let kept = {};
  let known = null;
  const request = oncePerFrame(() => draw());
  const { save, stop } = linkTraits(model, [...KEEP, "losses", "paths"], (name) => {
    if (name === "losses" || name === "paths") [surfaces, kept] = [unpack(model), {}];
    request();
  });
  const change = (values) => {
    save(values);
    request();
  };
  const hasPaths = surfaces.some(({ path }) => path.length);
  const shell = makeShell({
    model,
    el,
    presets: Object.entries(TITLES).map(([name, title]) => ({ name, title })),
    onPreset(name) {
      const now = current();
      const ends = now.path.length
        ? [now.path[0], now.path.at(-1)] : [model.get("point"), now.lowest];
      const along = azimuthAlong(...ends.map((point) => fractions(now, point)));
      const [azimuth, elevation] = VIEWS[name] ?? [along, 40];
      change({ azimuth, elevation });
    },
    onReset() {
      player.pause();
      change(model.get("initial"));
    },
    code: () => surfaceCall(state(), hasPaths),
    redraw: request,
  });

  const current = () => surfaces.find(({ title }) => title === model.get("title")) ?? surfaces[0];
  const tabs = h("div", { class: "dlc-bar", role: "group", "aria-label": "surfaces" });
  for (const { title } of surfaces)
    tabs.append(button(title, () => change({ title }), { "data-surface": title }));
  const shared = checkbox({
    label: "same scale for all",
    value: false,
    onInput: (value) => change({ shared: value }),
  });
  const log = checkbox({
    label: "logarithmic height",
    value: false,
    onInput: (value) => change({ log_height: value }),
  });
  if (surfaces.length > 1) shell.controls.append(tabs, shared.el);
  shell.controls.append(log.el);

  const solid = makeCanvas(...SOLID, "surface");
  const map = makeCanvas(MAP.width, MAP.height, "map");
  const ratio = solid.canvas.width / SOLID[0];
  const raster = makeRaster(solid.canvas.width, solid.canvas.height);
  const player = makePlayer({
    length: 1,
    speed: "10",
    label: "path step",
    onFrame: (step) => step !== model.get("step") && change({ step }),
  });
  shell.stage.append(solid.canvas, map.canvas);
  shell.stage.after(player.el, h("p", { class: "dlc-muted" },
    "Drag the surface to turn it, the map to move the point; or focus one and use the arrow keys. " +
    "A plane shows two directions of very many, and a path on it is a projection."));

  function fractions({ extent: [x0, x1, y0, y1] }, [x, y]) {
    return [(x - x0) / (x1 - x0), (y - y0) / (y1 - y0)];
  }
  const isOn = (u, v) => u >= 0 && u <= 1 && v >= 0 && v <= 1;

  /** Mesh, map and colours for the surface, scale and theme in force; made once for each. */
  function prepare(theme, now) {
    const [all, isLog] = [model.get("shared"), model.get("log_height")];
    return (kept[JSON.stringify([now.title, all, isLog, theme.paper])] ??= make(theme, now, all, isLog));
  }
  function make(theme, now, all, isLog) {
    const scale = commonScale(all ? surfaces : [now], isLog);
    const toUnit = place(scale);
    const paper = theme.dark ? 17 : 255;
    const soft = colourTable(viridis, [paper, paper, paper], 0.45);
    const [x0, x1, y0, y1] = now.extent;
    const heat = heatMap({
      width: 1.5 * (MAP.right - MAP.left),
      height: 1.5 * (MAP.bottom - MAP.top),
      sample: (u, v) => now.grid.value(x0 + u * (x1 - x0), y0 + v * (y1 - y0)),
      toUnit,
      table: soft,
      bands: BANDS,
    });
    const mesh = makeMesh(now.loss.map(toUnit), now.n, now.m);
    return { scale, toUnit, soft, heat, mesh, shades: shadeTable(colourTable()) };
  }

  /** A place on the surface, a little above it, as fractions with its height. */
  function lifted(now, point, lift = 0.006) {
    return [...fractions(now, point), known.toUnit(now.grid.value(...point)) + lift];
  }

  function drawFrame(ctx, camera, theme, now) {
    const corners = [[0, 0], [1, 0], [1, 1], [0, 1]];
    ctx.strokeStyle = theme.muted;
    ctx.lineWidth = 1;
    ctx.beginPath();
    for (const [u, v] of corners) ctx.lineTo(...camera(u, v, 0).slice(0, 2));
    ctx.closePath();
    ctx.stroke();
    if (model.get("elevation") > 75) return;
    ctx.font = "12px sans-serif";
    ctx.fillStyle = theme.ink;
    ctx.textAlign = "center";
    ctx.textBaseline = "middle";
    // Words go to the nearest edges, numbers to the corner farthest left.
    const near = (u, v) => camera(u, v, 0)[2];
    const write = (text, u, v) => {
      const [x, y] = camera(u, v, 0);
      ctx.fillText(text, x + (x < SOLID[0] / 2 ? -14 : 14), Math.min(SOLID[1] - 8, y + 14));
    };
    write("alpha", 0.5, near(0.5, 0) > near(0.5, 1) ? 0 : 1);
    write("beta", near(0, 0.5) > near(1, 0.5) ? 0 : 1, 0.5);
    const corner = corners.reduce((a, b) => (camera(...a, 0)[0] <= camera(...b, 0)[0] ? a : b));
    const [[x, y0], [, y1]] = [camera(...corner, 0), camera(...corner, 1)];
    ctx.strokeRect(x, y1, 0, y0 - y1);
    ctx.textAlign = "right";
    ctx.fillText(say(known.scale.low, 2), x - 4, y0);
    ctx.fillText(say(known.scale.high, 2), x - 4, y1);
    ctx.fillText("loss", x + 10, y1 - 15);
  }

  /** Draw the path up to the step; what the surface hides is faint. */
  function drawPath(ctx, step, path, toPixel, isSeen, theme) {
    for (let k = 1; k < path.length; k++) {
      const [a, b] = [toPixel(path[k - 1]), toPixel(path[k])];
      if (!a || !b) continue;
      ctx.globalAlpha = isSeen(path[k]) ? 1 : 0.35;
      for (const [colour, width] of [[theme.paper, 4.5], [theme.series[1], 2.2]]) {
        if (k > step && width > 3) continue;
        ctx.strokeStyle = colour;
        ctx.lineWidth = k > step ? 1 : width;
        ctx.setLineDash(k > step ? [2, 3] : []);
        ctx.beginPath();
        ctx.moveTo(...a);
        ctx.lineTo(...b);
        ctx.stroke();
      }
    }
    ctx.setLineDash([]);
    const end = path.length && toPixel(path[step]);
    ctx.globalAlpha = end && !isSeen(path[step]) ? 0.5 : 1;
    if (end) drawMarker(ctx, "square", ...end, 5, theme.series[1], theme.paper);
    ctx.globalAlpha = 1;
  }

  function drawSolid(theme, now, step) {
    const { ctx } = solid;
    const [azimuth, elevation] = [model.get("azimuth"), model.get("elevation")];
    const camera = makeCamera(azimuth, elevation, ...SOLID);
    const fine = makeCamera(azimuth, elevation, raster.canvas.width, raster.canvas.height);
    raster.paint(known.mesh, fine, known.shades, BANDS);
    ctx.clearRect(0, 0, ...SOLID);
    drawFrame(ctx, camera, theme, now);
    ctx.drawImage(raster.canvas, 0, 0, ...SOLID);
    const toPixel = (point) => {
      const place3 = lifted(now, point);
      return isOn(...place3) ? camera(...place3).slice(0, 2) : null;
    };
    drawPath(ctx, step, now.path, toPixel, (point) => raster.sees(fine(...lifted(now, point))), theme);
    // A pin in the surface; from above its head covers its foot.
    const foot = lifted(now, model.get("point"));
    const [x, y] = camera(...foot);
    const [, top] = camera(foot[0], foot[1], foot[2] + 0.17);
    ctx.globalAlpha = raster.sees(fine(...foot)) ? 1 : 0.45;
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    ctx.strokeRect(x, top, 0, y - top);
    drawMarker(ctx, "circle", x, top, 6, theme.series[0], theme.paper);
    ctx.globalAlpha = 1;
  }

  function drawMap(theme, now, step) {
    const { ctx } = map;
    const [x0, x1, y0, y1] = now.extent;
    const x = makeScale(x0, x1, MAP.left, MAP.right);
    const y = makeScale(y0, y1, MAP.bottom, MAP.top);
    ctx.clearRect(0, 0, MAP.width, MAP.height);
    ctx.drawImage(known.heat, MAP.left, MAP.top, MAP.right - MAP.left, MAP.bottom - MAP.top);
    const toPixel = (point) => (isOn(...fractions(now, point)) ? [x(point[0]), y(point[1])] : null);
    drawPath(ctx, step, now.path, toPixel, () => true, theme);
    const [px, py] = model.get("point");
    drawMarker(ctx, "circle", x(px), y(py), 6, theme.series[0], theme.paper);
    drawAxes(ctx, x, y, theme, { xLabel: "alpha", yLabel: "beta" });
    const { low, high, log: isLog } = known.scale;
    drawColourBar(ctx, { x: MAP.right + 12, y: MAP.top, width: 12, height: MAP.bottom - MAP.top }, {
      table: known.soft,
      toUnit: known.toUnit,
      labels: ticks(low, high, 5, isLog).map((t) => [t, tickText(t, isLog)]),
      title: isLog ? "loss (log)" : "loss",
    }, theme);
  }

  function syncControls(now) {
    for (const tab of tabs.children)
      tab.setAttribute("aria-pressed", tab.dataset.surface === now.title);
    shared.set(model.get("shared"));
    log.set(model.get("log_height"));
    log.input.disabled = surfaces.some((s) => s.low <= 0);
    player.el.hidden = now.path.length === 0;
    player.setLength(Math.max(1, now.path.length));
    const step = Math.max(0, Math.min(model.get("step"), now.path.length - 1));
    if (step !== player.index) player.show(step);
    return step;
  }

  const draw = shell.guard(() => {
    const theme = readTheme(el);
    const now = current();
    const step = syncControls(now);
    known = prepare(theme, now);
    drawSolid(theme, now, step);
    drawMap(theme, now, step);
    const point = model.get("point");
    const pair = (p) => `(${p.map((v) => say(v, 3)).join(", ")})`;
    const heights = surfaces.map((s) => `${s.title} ${say(s.grid.value(...point), 3)}`).join(", ");
    const on = now.path[step];
    const path = on ? ` Path step ${step} of ${now.path.length - 1}: ${pair(on)}, loss ` +
      `${say(now.grid.value(...on), 3)}.` : "";
    const limits = `${now.title}: lowest ${say(now.low, 3)} at ${pair(now.lowest)}, highest ` +
      `${say(now.high, 3)}.`;
    shell.readout(`Loss at ${pair(point)}: ${heights}.${path} ${limits}`);
    const view = `azimuth ${say(model.get("azimuth"))}, elevation ${say(model.get("elevation"))} degrees`;
    solid.canvas.setAttribute("aria-label",
      `Loss surface, ${limits} Seen from ${view}. Loss at ${pair(point)}: ${heights}.${path}`);
    map.canvas.setAttribute("aria-label", `Contour map, ${limits} Loss at ${pair(point)}: ${heights}.${path}`);
  });

  function turn(by, up) {
    const round = (v) => Math.round(v * 10) / 10;
    const azimuth = ((model.get("azimuth") + by + 540) % 360) - 180;
    const elevation = Math.min(90, Math.max(0, model.get("elevation") + up));
    change({ azimuth: round(azimuth), elevation: round(elevation) });
  }
  function movePoint([x, y]) {
    const [x0, x1, y0, y1] = current().extent;
    const keep = (v, low, high) => Math.min(high, Math.max(low, +v.toPrecision(4)));
    change({ point: [keep(x, x0, x1), keep(y, y0, y1)] });
  }
  const drag = (target, onMove) => {
    let last = null;
    const move = shell.guard((event) => {
      if (!target.canvas.hasPointerCapture(event.pointerId)) return;
      player.pause();
      const at = pointerAt(event, target);
      onMove(at, last ?? at);
      last = at;
    });
    target.canvas.addEventListener("pointerdown", (event) => {
      last = null;
      target.canvas.setPointerCapture(event.pointerId);
      move(event);
    });
    target.canvas.addEventListener("pointermove", move);
  };
  drag(solid, ([x, y], [u, v]) => turn((u - x) * 0.5, (y - v) * 0.5));
  drag(map, ([px, py]) => {
    const [x0, x1, y0, y1] = current().extent;
    const x = makeScale(x0, x1, MAP.left, MAP.right).invert(px);
    movePoint([x, makeScale(y0, y1, MAP.bottom, MAP.top).invert(py)]);
  });
  const keys = (target, onArrow) => target.canvas.addEventListener("keydown", shell.guard((event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return player.el.hidden ? false : player.handleKey(event);
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    event.preventDefault();
    event.stopPropagation();
    return onArrow(...by, event.shiftKey ? 10 : 1);
  }));
  keys(solid, (dx, dy, far) => turn(5 * dx * far, 5 * dy * far));
  keys(map, (dx, dy, far) => {
    const [x0, x1, y0, y1] = current().extent;
    const [x, y] = model.get("point");
    movePoint([x + (dx * far * (x1 - x0)) / 100, y + (dy * far * (y1 - y0)) / 100]);
  });

  shell.onCleanup(() => {
    player.destroy();
    request.cancel();
    stop();
  });
  draw();
  return shell.cleanup;
}

export default { render };
