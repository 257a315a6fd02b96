// A kernel that steps over an image; the same as core/convolution.py.

/** How many outputs fit along one side; 0 if the window is larger than the image. */
export function outputSize(size, taps, { stride, padding, dilation }) {
  const room = size + 2 * padding - dilation * (taps - 1) - 1;
  return room < 0 ? 0 : Math.floor(room / stride) + 1;
}

/**
 * The pixels under a window of `taps` [kh, kw] at output (i, j), row by row. Outside the image
 * they are 0, or for the operation "max" -Infinity.
 */
export function patchAt(image, [H, W], [kh, kw], now, i, j) {
  const out = new Array(kh * kw);
  const outside = now.operation === "max" ? -Infinity : 0;
  for (let a = 0, o = 0; a < kh; a++)
    for (let b = 0; b < kw; b++, o++) {
      const r = i * now.stride - now.padding + a * now.dilation;
      const c = j * now.stride - now.padding + b * now.dilation;
      out[o] = r < 0 || c < 0 || r >= H || c >= W ? outside : image[r * W + c];
    }
  return out;
}

/** {rows, cols, values}: the sum of pixel times weight, or the largest pixel, at each place. */
export function outputsOf(image, shape, kernel, now) {
  const taps = [kernel.length, kernel[0].length];
  let [rows, cols] = shape.map((size, k) => outputSize(size, taps[k], now));
  if (!rows || !cols) [rows, cols] = [0, 0];
  const values = new Float64Array(rows * cols);
  const most = now.operation === "max";
  const [H, W] = shape;
  for (let o = 0; o < values.length; o++) {
    const top = Math.floor(o / cols) * now.stride - now.padding;
    const left = (o % cols) * now.stride - now.padding;
    let total = most ? -Infinity : 0;
    for (let a = 0; a < taps[0]; a++) {
      const r = top + a * now.dilation;
      if (r < 0 || r >= H) continue;
      for (let b = 0; b < taps[1]; b++) {
        const c = left + b * now.dilation;
        if (c < 0 || c >= W) continue;
        const v = image[r * W + c];
        if (!most) total += v * kernel[a][b];
        else if (!(v <= total)) total = v;
      }
    }
    values[o] = total;
  }
  return { rows, cols, values };
}

/**
 * The output of the window whose middle lies nearest to the middle (y, x), in pixels of the image
 * from its first pixel's middle.
 */
export function windowNear([y, x], [rows, cols], [kh, kw], { stride, padding, dilation }) {
  const near = (at, taps, count) => {
    const k = Math.round((at + padding - (dilation * (taps - 1)) / 2) / stride);
    return Math.max(0, Math.min(count - 1, k));
  };
  return near(y, kh, rows) * cols + near(x, kw, cols);
}

/** The pixel in the middle of output (i, j)'s window; may lie between two. */
export function middleOf([i, j], [kh, kw], { stride, padding, dilation }) {
  const middle = (k, taps) => k * stride - padding + (dilation * (taps - 1)) / 2;
  return [middle(i, kh), middle(j, kw)];
}
