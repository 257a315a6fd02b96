"""How tests and benchmarks start Chromium and a JupyterLab of their own."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
from ipywidgets import DOMWidget
from playwright.sync_api import Browser, Page, Playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Without these waits "run all" silently does nothing.
READY = """async () => {
  const app = window.jupyterapp;
  await app.restored;
  for (let n = 0; n < 800 && !app.shell.currentWidget?.sessionContext; n++)
    await new Promise(r => setTimeout(r, 25));
  const panel = app.shell.currentWidget;
  await panel.context.ready;
  await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""
# A stand-in for the widget model of Jupyter: get, set, on, off, save_changes and no more.
MOUNT = """async ({esm, css, state}) => {
  const decode = v => v && v.base64 !== undefined
    ? new DataView(Uint8Array.from(atob(v.base64), c => c.charCodeAt(0)).buffer) : v;
  const values = Object.fromEntries(Object.entries(state).map(([k, v]) => [k, decode(v)]));
  const listeners = {};
  window.saved = 0;
  window.model = {
    get: k => values[k],
    set(k, v) { if (values[k] === v) return; values[k] = v;
      for (const f of listeners['change:' + k] ?? []) f(); },
    save_changes() { window.saved += 1; },
    on(e, f) { (listeners[e] ??= []).push(f); },
    fire(e) { for (const f of listeners[e] ?? []) f(); },
    off(e, f) { listeners[e] = (listeners[e] ?? []).filter(g => g !== f); },
  };
  window.listenerCount = () => Object.values(listeners).reduce((n, l) => n + l.length, 0);
  const style = document.head.appendChild(document.createElement('style'));
  style.textContent = css;
  const url = URL.createObjectURL(new Blob([esm], {type: 'text/javascript'}));
  window.esm = await import(url);
  const el = document.body.appendChild(document.createElement('div'));
  el.id = 'widget';
  window.cleanup = await window.esm.default.render({model: window.model, el});
  await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
}"""
RUN_ALL = "async () => { await window.jupyterapp.commands.execute('notebook:run-all-cells') }"


def launch(playwright: Playwright) -> Browser:
    """Start Debian's Chromium where there is one, else Playwright's own."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    return playwright.chromium.launch(executable_path=found, headless=True, args=FLAGS)


def mount_widget(page: Page, widget: DOMWidget) -> Page:
    """Run a widget's JavaScript in a blank page, against a stand-in model.

    In the page: ``model``, ``saved`` (calls of save_changes), ``esm`` (the module's
    exports), ``cleanup`` (what render returned), ``listenerCount()``.
    """
    skip = {"layout", "tabbable", "tooltip", "comm"}
    state = {
        name: {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
        for name, value in widget.get_state().items()
        if not name.startswith("_") and name not in skip
    }
    page.evaluate(MOUNT, {"esm": str(widget._esm), "css": str(widget._css), "state": state})
    return page


def request(url: str, method: str = "GET") -> bytes:
    """Return what the server answers, within five seconds."""
    with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=5) as answer:
        return answer.read()


@dataclass(frozen=True)
class Lab:
    """A running JupyterLab: its address and the folder that it serves."""

    url: str
    root: Path

    def write(self, name: str, cells: Sequence[str]) -> str:
        """Write a notebook of code cells into the folder; returns its file name."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={
                "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
            },
        )
        nbformat.write(notebook, self.root / f"{name}.ipynb")
        return f"{name}.ipynb"

    def open(self, page: Page, file: str) -> Page:
        """Open a notebook and run it to its end."""
        page.goto(f"{self.url}/doc/tree/{file}?reset", wait_until="domcontentloaded")
        page.wait_for_function("() => window.jupyterapp", timeout=60_000)
        page.evaluate(READY)
        page.evaluate(RUN_ALL)
        return page

    def stop_kernels(self) -> None:
        """End every session, so that the next notebook starts afresh."""
        for session in json.loads(request(f"{self.url}/api/sessions")):
            request(f"{self.url}/api/sessions/{session['id']}", method="DELETE")


@contextmanager
def running_lab(root: Path) -> Iterator[Lab]:
    """Start a JupyterLab on a free port that serves ``root`` and reads no one's settings."""
    settings = root / "settings"
    settings.mkdir()
    quiet = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}
    (settings / "overrides.json").write_text(
        json.dumps({"@jupyterlab/apputils-extension:notification": quiet})
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {
        name: str(root / name.lower())
        for name in (
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
        )
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", f"--ServerApp.root_dir={root}"]
    command += ["--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"]
    command += ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]
    command += [f"--LabApp.app_settings_dir={settings}"]
    lab = Lab(f"http://127.0.0.1:{port}", root)
    with (root / "lab.log").open("w") as log:
        server = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait_until_up(lab)
            yield lab
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


def _wait_until_up(lab: Lab) -> None:
    for _ in range(600):
        try:
            request(f"{lab.url}/api/status")
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"JupyterLab did not start: {(lab.root / 'lab.log').read_text()}")
