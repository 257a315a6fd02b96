// Straight strokes with arrow heads.

/** Draw a straight stroke between two pixel positions, with an arrow head if asked for. */
export function drawStroke(ctx, from, to, { colour, width = 2, dash = [], head = false }) {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  if (length < 0.5) return;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = width;
  ctx.setLineDash(dash);
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
  if (head) {
    const size = Math.min(11, 0.6 * length + 3);
    ctx.translate(...to);
    ctx.rotate(Math.atan2(to[1] - from[1], to[0] - from[0]));
    ctx.beginPath();
    ctx.moveTo(1, 0);
    ctx.lineTo(-size, size * 0.45);
    ctx.lineTo(-size, -size * 0.45);
    ctx.fill();
  }
  ctx.restore();
}
