// Lines through points.

/** Stroke a line through `points`, [[x, y], ...] in pixels. */
export function strokeCurve(ctx, points, { colour, dash }, width = 2) {
  ctx.strokeStyle = colour;
  ctx.lineWidth = width;
  ctx.lineJoin = "round";
  ctx.setLineDash(dash);
  ctx.beginPath();
  for (const [x, y] of points) ctx.lineTo(x, y);
  ctx.stroke();
  ctx.setLineDash([]);
}
