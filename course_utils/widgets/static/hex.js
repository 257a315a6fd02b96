// Colours written as hex.

/** "#rrggbb" as [r, g, b]. */
export function parseHex(hex) {
  return [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
}
