// JupyterLab listens for keys in the capture phase: arrows never reach a slider
// in an output, and `x` cuts the cell. The attribute below switches its shortcuts
// off for one element, but Ctrl+S with them; so it is set key by key.

const ATTRIBUTE = "data-lm-suppress-shortcuts";

/** Let plain keys reach the controls inside `root`; returns the cleanup. */
export function guardKeys(root) {
  const guard = (event) => {
    const target = event.target;
    if (!(target instanceof Element) || !root.contains(target)) return;
    if (event.ctrlKey || event.metaKey) target.removeAttribute(ATTRIBUTE);
    else target.setAttribute(ATTRIBUTE, "true");
  };
  window.addEventListener("keydown", guard, true);
  return () => window.removeEventListener("keydown", guard, true);
}
