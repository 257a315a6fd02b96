// Short texts on a drawing.

/** Write a short text that stays readable over maps, lines and points. */
export function label(ctx, text, px, py, theme, align = "left") {
  ctx.save();
  ctx.font = "13px sans-serif";
  ctx.textAlign = align;
  ctx.textBaseline = "middle";
  ctx.strokeStyle = theme.paper;
  ctx.lineWidth = 3;
  ctx.strokeText(text, px, py);
  ctx.fillStyle = theme.ink;
  ctx.fillText(text, px, py);
  ctx.restore();
}
