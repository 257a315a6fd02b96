// One player for everything that happens in time: recorded frames, scrubbed.

import { button, h, select } from "./dom.js";

const SPEEDS = [["2", "slow"], ["10", "normal"], ["30", "fast"]];

/**
 * Build a player over `length` frames.
 *
 * `onFrame(index)` is called on every change. `handleKey(event)` gives a canvas the
 * same keys as the player: Space plays, arrows step, Home and End jump.
 * `stride`: what the shown number grows by from frame to frame.
 * Returns {el, show, setLength, play, pause, playing, index, handleKey, destroy}.
 */
export function makePlayer({
  length, index = 0, onFrame, label = "step", speed = "10", stride = 1,
}) {
  let timer = 0;
  let now = index;
  let count = length;
  const range = h("input", { type: "range", min: 0, step: 1, "aria-label": label });
  const output = h("output", {});
  const playButton = button("Play", () => (timer ? pause() : play()), { class: "dlc-play" });
  const pace = select({ label: "speed", options: SPEEDS, value: speed, onInput: () => restart() });

  function paint() {
    range.max = Math.max(0, count - 1);
    range.value = now;
    output.textContent = `${label} ${now * stride} / ${Math.max(0, count - 1) * stride}`;
    range.setAttribute("aria-valuetext", output.textContent);
  }
  function show(i) {
    now = Math.min(count - 1, Math.max(0, Math.round(i)));
    paint();
    onFrame(now);
  }
  function step(by) {
    pause();
    show(now + by);
  }
  function pause() {
    clearInterval(timer);
    timer = 0;
    playButton.textContent = "Play";
  }
  function play() {
    if (now >= count - 1) show(0);
    // With reduced motion nothing moves by itself: go to the end, leave the scrubbing.
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      show(count - 1);
      return;
    }
    playButton.textContent = "Pause";
    clearInterval(timer);
    timer = setInterval(() => (now >= count - 1 ? pause() : show(now + 1)), 1000 / +pace.get());
  }
  function restart() {
    if (timer) play();
  }
  function handleKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const act = {
      " ": () => (timer ? pause() : play()),
      ArrowRight: () => step(1),
      ArrowLeft: () => step(-1),
      Home: () => step(-Infinity),
      End: () => step(Infinity),
    }[event.key];
    if (!act) return false;
    act();
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  range.addEventListener("input", () => {
    pause();
    show(+range.value);
  });
  range.addEventListener("keydown", handleKey);
  range.addEventListener("pointerenter", pause);
  const el = h(
    "div",
    { class: "dlc-player", role: "group", "aria-label": "player" },
    playButton,
    button("Back", () => step(-1), { "aria-label": "one step back" }),
    button("Step", () => step(1), { "aria-label": "one step forward" }),
    range,
    output,
    pace.el,
  );
  paint();
  return {
    el,
    show,
    play,
    pause,
    handleKey,
    destroy: pause,
    setLength(n) {
      count = n;
      now = Math.min(now, Math.max(0, n - 1));
      paint();
    },
    get playing() {
      return timer !== 0;
    },
    get index() {
      return now;
    },
  };
}
