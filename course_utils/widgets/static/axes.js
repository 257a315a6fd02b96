// Scales, ticks and axes on a 2-D canvas.

/** Map [low, high] to pixels [from, to]; `log` for base-10 logarithmic axes. */
export function makeScale(low, high, from, to, log = false) {
  const f = log ? Math.log10 : (x) => x;
  const a = f(low);
  const span = f(high) - a || 1;
  const scale = (x) => from + ((f(x) - a) / span) * (to - from);
  scale.invert = (px) => {
    const value = a + ((px - from) / (to - from)) * span;
    return log ? 10 ** value : value;
  };
  Object.assign(scale, { low, high, from, to, log });
  return scale;
}

/** About `count` round numbers between low and high. */
export function ticks(low, high, count = 5, log = false) {
  if (log) {
    const first = Math.ceil(Math.log10(low) - 1e-9);
    const last = Math.floor(Math.log10(high) + 1e-9);
    const step = Math.max(1, Math.ceil((last - first + 1) / count));
    const out = [];
    for (let e = first; e <= last; e += step) out.push(10 ** e);
    return out;
  }
  const raw = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? power;
  const out = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++)
    out.push(+(k * step).toPrecision(12));
  return out;
}

/** A tick as text; powers of ten as 1e-3. */
export function tickText(value, log) {
  if (log) return `1e${Math.round(Math.log10(value))}`;
  return Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-4)
    ? value.toExponential(0)
    : String(value);
}

/** Draw both axes with ticks and labels, `gap` pixels to the left, around the scales' box. */
export function drawAxes(ctx, x, y, theme, { xLabel, yLabel, grid = false, gap = 44 } = {}) {
  ctx.save();
  ctx.font = "12px sans-serif";
  ctx.fillStyle = theme.ink;
  ctx.lineWidth = 1;
  const line = (x0, y0, x1, y1, colour) => {
    ctx.strokeStyle = colour;
    ctx.beginPath();
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
  };
  ctx.textAlign = "center";
  ctx.textBaseline = "top";
  for (const t of ticks(x.low, x.high, 6, x.log)) {
    if (grid) line(x(t), y.from, x(t), y.to, theme.grid);
    line(x(t), y.from, x(t), y.from + 4, theme.ink);
    ctx.fillText(tickText(t, x.log), x(t), y.from + 6);
  }
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  for (const t of ticks(y.low, y.high, 5, y.log)) {
    if (grid) line(x.from, y(t), x.to, y(t), theme.grid);
    line(x.from - 4, y(t), x.from, y(t), theme.ink);
    ctx.fillText(tickText(t, y.log), x.from - 6, y(t));
  }
  line(x.from, y.from, x.to, y.from, theme.ink);
  line(x.from, y.from, x.from, y.to, theme.ink);
  ctx.textAlign = "center";
  if (xLabel) {
    ctx.textBaseline = "bottom";
    ctx.fillText(xLabel, (x.from + x.to) / 2, y.from + 36);
  }
  if (yLabel) {
    ctx.translate(x.from - gap, (y.from + y.to) / 2);
    ctx.rotate(-Math.PI / 2);
    ctx.textBaseline = "top";
    ctx.fillText(yLabel, 0, 0);
  }
  ctx.restore();
}

/** Draw one marker; the shape tells classes apart where colour does not. */
export function drawMarker(ctx, shape, x, y, r, fill, edge) {
  ctx.beginPath();
  if (shape === "square") ctx.rect(x - r, y - r, 2 * r, 2 * r);
  else if (shape === "triangle") {
    ctx.moveTo(x, y - 1.2 * r);
    ctx.lineTo(x + 1.1 * r, y + r);
    ctx.lineTo(x - 1.1 * r, y + r);
    ctx.closePath();
  } else if (shape === "diamond") {
    ctx.moveTo(x, y - 1.3 * r);
    ctx.lineTo(x + 1.3 * r, y);
    ctx.lineTo(x, y + 1.3 * r);
    ctx.lineTo(x - 1.3 * r, y);
    ctx.closePath();
  } else ctx.arc(x, y, r, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
  if (edge) {
    ctx.lineWidth = 1.5;
    ctx.strokeStyle = edge;
    ctx.stroke();
  }
}
