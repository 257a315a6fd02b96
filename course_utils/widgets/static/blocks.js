// A network as a chain of blocks with arcs for further paths, and bars below.

import { makeScale, tickText, ticks } from "./axes.js";
import { say } from "./dom.js";
import { label } from "./label.js";
import { drawStroke } from "./strokes.js";

/** Width and height of the drawing, and where it leaves room for axes. */
export const CHAIN = [880, 348];
const [LEFT, RIGHT] = [76, 874];
const [ARCS, MIDDLE, TALL, LETTERS, SIZES] = [4, 104, 96, 164, 178];
const BARS = { top: 206, bottom: 306 };
const LEGEND = 340;
const MOST_CHANNELS = 1024;
// Letter, colour, words; boxes of layers without weights are hollow.
const KINDS = {
  conv: ["C", 0, "convolution"],
  linear: ["L", 1, "linear"],
  pool: ["P", 2, "pooling"],
  merge: ["+", 3, "add or concatenate"],
  other: ["o", 6, "other"],
};

/** A large number in few digits: 138 M, 4.1 G. */
export function short(x) {
  if (x < 1e4) return say(x);
  const power = Math.min(4, Math.floor(Math.log10(x) / 3 + 1e-9));
  return say(x / 1000 ** power, 3) + ["", " k", " M", " G", " T"][power];
}

/** Left, middle, width and height of every block. */
export function layoutBlocks(blocks) {
  const gap = blocks.length > 120 ? 1 : blocks.length > 40 ? 2 : 5;
  const wide = blocks.map(({ shape }) => 3 + Math.sqrt(Math.min(shape[0], MOST_CHANNELS)));
  const sum = wide.reduce((a, b) => a + b, 0);
  const room = RIGHT - LEFT - gap * blocks.length;
  const unit = Math.min(room / sum, 110 / Math.max(...wide));
  const high = blocks.map(({ shape }) => Math.sqrt(shape[1] ?? 1));
  const most = Math.max(...high);
  let left = LEFT + gap;
  return wide.map((part, k) => {
    const width = part * unit;
    const box = { left, width, middle: left + width / 2, height: Math.max(3, (TALL * high[k]) / most) };
    left += width + gap;
    return box;
  });
}

/** The block at or next to a pixel. */
export function blockAt(boxes, x) {
  let best = 0;
  boxes.forEach(({ middle }, k) => {
    if (Math.abs(middle - x) < Math.abs(boxes[best].middle - x)) best = k;
  });
  return best;
}

function paintBlock(ctx, { kind }, box, theme, strong) {
  const colour = theme.series[KINDS[kind][1]];
  const { left, width, height } = box;
  const top = MIDDLE - height / 2;
  const solid = kind === "conv" || kind === "linear";
  ctx.fillStyle = solid ? colour : theme.paper;
  ctx.fillRect(left, top, width, height);
  ctx.strokeStyle = colour;
  ctx.lineWidth = 1;
  if (!solid && width > 3) ctx.strokeRect(left + 0.5, top + 0.5, width - 1, height - 1);
  else if (!solid) ctx.strokeRect(left + width / 2, top, 0, height);
  if (!strong) return;
  for (const [ink, line] of [[theme.paper, 5], [theme.ink, 2.5]]) {
    ctx.strokeStyle = ink;
    ctx.lineWidth = line;
    ctx.strokeRect(left - 1, top - 1, width + 2, height + 2);
  }
}

function paintArcs(ctx, blocks, boxes, focus, theme) {
  const far = blocks.map(({ parents }, k) => Math.max(0, ...parents.map((p) => k - p)));
  const most = Math.max(...far);
  const tallest = MIDDLE - Math.max(...boxes.map((box) => box.height)) / 2;
  const trace = (k, parent) => {
    const [x0, x1] = [parent < 0 ? LEFT : boxes[parent].middle, boxes[k].middle];
    const [y0, y1] = [parent, k].map((p) => MIDDLE - (boxes[Math.max(0, p)].height / 2));
    const top = tallest - (tallest - ARCS) * Math.sqrt((k - parent) / most) * 1.3;
    ctx.moveTo(x0, y0);
    ctx.bezierCurveTo(x0, top, x1, top, x1, y1);
  };
  for (const mine of [false, true]) {
    ctx.beginPath();
    blocks.forEach(({ parents }, k) => parents.forEach((parent) => {
      const near = k === focus || parent === focus;
      if (parent === k - 1) {
        if (mine || k === 0) return;
        ctx.moveTo(boxes[k - 1].left + boxes[k - 1].width, MIDDLE);
        ctx.lineTo(boxes[k].left, MIDDLE);
      } else if (near === mine) trace(k, parent);
    }));
    ctx.strokeStyle = mine ? theme.ink : theme.muted;
    ctx.lineWidth = mine ? 2.5 : blocks.length > 120 ? 0.5 : 1;
    ctx.stroke();
  }
}

/** The kind's letter under each block and the map's height where it changes, if they fit. */
function paintLetters(ctx, blocks, boxes, theme) {
  ctx.font = "11px sans-serif";
  ctx.textAlign = "center";
  ctx.textBaseline = "middle";
  const free = [];
  const fits = (x, room) => free.every((taken) => Math.abs(taken - x) >= room);
  for (const kinds of [["linear", "pool", "other"], ["merge"], ["conv"]])
    blocks.forEach(({ kind }, k) => {
      const x = boxes[k].middle;
      if (!kinds.includes(kind) || !fits(x, 10)) return;
      free.push(x);
      ctx.fillStyle = theme.series[KINDS[kind][1]];
      ctx.fillText(KINDS[kind][0], x, LETTERS);
    });
  ctx.fillStyle = theme.ink;
  let end = 0;
  blocks.forEach(({ shape }, k) => {
    const text = String(shape[1] ?? "");
    if (!text || shape[1] === blocks[k - 1]?.shape[1] || boxes[k].middle < end) return;
    ctx.fillText(text, boxes[k].middle, SIZES);
    end = boxes[k].middle + 22;
  });
  ctx.textAlign = "right";
  ctx.fillText("kind", LEFT - 16, LETTERS);
  ctx.fillText("height", LEFT - 16, SIZES);
}

/** Bars of one number for each block; `line` {at, words} is drawn across them. */
function paintBars(ctx, blocks, numbers, boxes, focus, line, theme) {
  const most = Math.max(...numbers) || 1;
  const y = makeScale(0, most, BARS.bottom, BARS.top);
  ctx.font = "12px sans-serif";
  ctx.textAlign = "right";
  ctx.lineWidth = 1;
  for (const t of ticks(0, most, 3)) {
    ctx.strokeStyle = theme.grid;
    ctx.strokeRect(LEFT, y(t), RIGHT - LEFT, 0);
    ctx.fillStyle = theme.ink;
    ctx.fillText(t < 1e4 ? tickText(t) : short(t), LEFT - 6, y(t));
  }
  numbers.forEach((value, k) => {
    const { left, width } = boxes[k];
    ctx.fillStyle = theme.series[KINDS[blocks[k].kind][1]];
    const bar = [left, y(value), Math.max(1, width), BARS.bottom - y(value)];
    ctx.fillRect(...bar);
    if (k !== focus) return;
    ctx.strokeStyle = theme.ink;
    ctx.lineWidth = 2;
    ctx.strokeRect(...bar);
  });
  if (!line) return;
  const level = y(Math.min(most, line.at));
  drawStroke(ctx, [LEFT, level], [RIGHT, level], { colour: theme.ink, width: 1.2, dash: [6, 4] });
  label(ctx, line.words, LEFT + 6, level - 9, theme);
}

/** What the letters and colours mean. */
function paintLegend(ctx, blocks, theme) {
  ctx.font = "12px sans-serif";
  ctx.textAlign = "left";
  let x = LEFT;
  for (const [kind, [letter, colour, words]] of Object.entries(KINDS)) {
    if (!blocks.some((block) => block.kind === kind)) continue;
    ctx.fillStyle = theme.series[colour];
    ctx.fillText(letter, x, LEGEND);
    ctx.fillStyle = theme.ink;
    ctx.fillText(words, x + 13, LEGEND);
    x += ctx.measureText(words).width + 34;
  }
}

/**
 * Draw blocks and bars. `numbers`: one for each block, under the words `title`; `focus`: the
 * block that stands out; `line`: a level {at, words} to compare the bars with, or null.
 */
export function paintChain(ctx, { blocks, boxes, numbers, title, focus, line }, theme) {
  ctx.clearRect(0, 0, ...CHAIN);
  paintArcs(ctx, blocks, boxes, focus, theme);
  blocks.forEach((block, k) => paintBlock(ctx, block, boxes[k], theme, false));
  paintBlock(ctx, blocks[focus], boxes[focus], theme, true);
  paintLetters(ctx, blocks, boxes, theme);
  paintBars(ctx, blocks, numbers, boxes, focus, line, theme);
  paintLegend(ctx, blocks, theme);
  label(ctx, title, LEFT, BARS.top - 11, theme);
  ctx.textAlign = "center";
  const middle = Math.min(RIGHT - 24, Math.max(LEFT + 24, boxes[focus].middle));
  ctx.fillText(`block ${focus}`, middle, BARS.bottom + 13);
}
