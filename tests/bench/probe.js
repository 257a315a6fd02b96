// Measure from a key press to the frame that shows its effect, in a JupyterLab output.
// A draw on a canvas, or an image that has loaded, marks the page dirty; the time is taken
// in the task after the next frame, when that frame has been handed to the compositor.
() => {
  const probe = { waiting: null };
  window.courseProbe = probe;
  let inFrame = false;
  const realFrame = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (callback) =>
    realFrame((time) => {
      inFrame = true;
      try {
        callback(time);
      } finally {
        inFrame = false;
      }
    });
  const afterPaint = (done) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  };
  const dirty = () => {
    const waiting = probe.waiting;
    if (!waiting || waiting.dirty) return;
    waiting.dirty = true;
    const finish = () => afterPaint(() => {
      probe.waiting = null;
      waiting.resolve(performance.now() - waiting.pressed);
    });
    if (inFrame) finish();
    else realFrame(finish);
  };
  for (const name of ["fill", "stroke", "fillRect", "clearRect", "drawImage", "putImageData"]) {
    const real = CanvasRenderingContext2D.prototype[name];
    CanvasRenderingContext2D.prototype[name] = function (...args) {
      if (this.canvas.isConnected) dirty();
      return real.apply(this, args);
    };
  }
  document.addEventListener("load", (e) => e.target.tagName === "IMG" && dirty(), true);
  document.addEventListener("keydown", (e) => {
    if (probe.waiting && !probe.waiting.pressed) probe.waiting.pressed = e.timeStamp;
  }, true);
  // Call before the key press; the promise resolves with milliseconds.
  probe.arm = () => {
    probe.latency = new Promise((resolve) => { probe.waiting = { resolve }; });
  };
}
