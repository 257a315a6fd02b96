// Colours that follow JupyterLab's light and dark themes, and colour maps.

const VIRIDIS = [
  [68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142],
  [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37],
];

function interpolate(stops, t) {
  const clamped = Math.min(1, Math.max(0, Number.isFinite(t) ? t : 0));
  const position = clamped * (stops.length - 1);
  const low = Math.min(stops.length - 2, Math.floor(position));
  const f = position - low;
  return stops[low].map((v, k) => v + (stops[low + 1][k] - v) * f);
}

/** Map t in [0, 1] to [r, g, b] in 0..255. */
export function viridis(t) {
  return interpolate(VIRIDIS, t);
}

export function cssRgb([r, g, b], alpha = 1) {
  return `rgba(${Math.round(r)}, ${Math.round(g)}, ${Math.round(b)}, ${alpha})`;
}

function isDark(colour) {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = colour;
  const hex = probe.fillStyle;
  if (!hex.startsWith("#")) return false;
  const [r, g, b] = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  return 0.299 * r + 0.587 * g + 0.114 * b < 128;
}

/** Return the colours to draw with inside `el`, for the theme in force now. */
export function readTheme(el) {
  const css = getComputedStyle(el);
  const read = (name, fallback) => css.getPropertyValue(name).trim() || fallback;
  const paper = read("--jp-layout-color0", "#ffffff");
  const dark = isDark(paper);
  return {
    dark,
    paper,
    ink: read("--jp-content-font-color1", dark ? "#f0f0f0" : "#1a1a1a"),
    muted: dark ? "#b8b8b8" : "#595959",
    grid: dark ? "#4a4a4a" : "#d9d9d9",
    // Okabe-Ito hues; lightened on dark so that each keeps 3:1 against the page.
    series: dark
      ? ["#56B4E9", "#F5793A", "#2CC295", "#E3A3C7", "#F0E442", "#F0F0F0", "#B59CFF"]
      : ["#0072B2", "#D55E00", "#009E73", "#B0578D", "#7A6A00", "#1a1a1a", "#5B3FB0"],
  };
}

/** Call `redraw` when the theme changes; returns a function that stops it. */
export function onThemeChange(redraw) {
  const observer = new MutationObserver(redraw);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "data-jp-theme-name", "class", "style"],
  });
  return () => observer.disconnect();
}
