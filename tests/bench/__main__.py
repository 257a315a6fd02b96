"""Measure what design.md budgets: imports, notebooks, widgets, grading. Prints, never fails.

All parts, or those that are named: ``make bench PARTS="grading widgets"``.

Machines are noisy and differ, so every widget is measured in the same run as a
stock ``interact`` that redraws a matplotlib figure, and the ratio is what counts.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from rich.console import Console
from rich.table import Table

from course_utils.authoring.notebooks import sources
from tests.bench.grading import compare
from tests.browser.harness import Lab, launch, running_lab

ROOT = Path(__file__).parents[2]
PROBE = (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")
KEYS = 40
FIGURE = """
import numpy as np
from matplotlib import pyplot as plt
from ipywidgets import IntSlider, interact
x, y = np.meshgrid(np.linspace(-5, 5, 100), np.linspace(-2, 2, 100))
def descend(lr, steps=200):
    path = [np.array([-4.5, 1.0])]
    for _ in range(steps):
        path.append(path[-1] - lr * path[-1] * [1, 25])
    return np.array(path)
"""
GRAPH = """
from dataclasses import dataclass
from course_utils.widgets import ComputationGraph
@dataclass(eq=False)
class Value:
    data: float
    parents: tuple = ()
    op: str = ""
    label: str = ""
    grad: float = 0.0
a, b = Value(2.0, label="a"), Value(-3.0, label="b")
c = Value(a.data * b.data, (a, b), "*", "c")
ComputationGraph(Value(c.data + a.data, (c, a), "+", "d"))
"""
# name, cells, the control that is moved by the keyboard
BASELINE = (
    "stock interact (contour and path)",
    [
        FIGURE,
        """
def draw(k):
    fig, ax = plt.subplots(figsize=(6, 4.5))
    ax.contourf(x, y, 0.5 * (x**2 + 25 * y**2), levels=20)
    path = descend(0.01 + 0.0015 * k)
    ax.plot(path[:, 0], path[:, 1], "r-"); ax.set(xlim=(-5, 5), ylim=(-2, 2)); plt.show()
_ = interact(draw, k=IntSlider(0, 0, 2 * 40))
""",
    ],
    ".jp-OutputArea-output .noUi-handle",
)
SLIDER = ".dlc-controls input[type=range]"
PLAYER = ".dlc-player input[type=range]"
STEPPER = """
import numpy as np
from course_utils import data
from course_utils.widgets import PerceptronStepper
PerceptronStepper(*data.make_separable(40, rng=np.random.default_rng(0)))
"""
SURFACE = """
import numpy as np
from course_utils.landscape import SurfaceGrid
from course_utils.widgets import LossSurface
a = np.linspace(-1, 1, 51)
z = (a[None] ** 2 + 4 * a[:, None] ** 2 + 0.2 * np.sin(9 * a)[None]).astype("float32")
LossSurface({"bowl": SurfaceGrid(a, a, z)})
"""
CUBE = """
import numpy as np
from course_utils.widgets import NormalizationCube
NormalizationCube(np.random.default_rng(0).normal(size=(8, 8, 16)))
"""
EXPLORER = """
import torch
from torch import nn
from course_utils.widgets import ArchitectureExplorer
layers = [nn.Conv2d(1, 8, 3, padding=1)] + [nn.Conv2d(8, 8, 3, padding=1) for _ in range(60)]
image = torch.rand(28, 28, generator=torch.Generator().manual_seed(0))
ArchitectureExplorer({"plain-61": nn.Sequential(*layers)}, image)
"""
IMPORT = "from course_utils.widgets import "
WIDGETS = [
    ("OptimizerRace", [IMPORT + "OptimizerRace\nOptimizerRace()"], SLIDER),
    ("ScheduleExplorer", [IMPORT + "ScheduleExplorer\nScheduleExplorer()"], SLIDER),
    ("LossSurface", [SURFACE], ".dlc-stage canvas"),
    ("PerceptronStepper", [STEPPER], PLAYER),
    ("ComputationGraph", [GRAPH], PLAYER),
    ("DistributionPair", [IMPORT + "DistributionPair\nDistributionPair()"], ".dlc-stage canvas"),
    ("Playground", [IMPORT + "Playground\nPlayground()"], SLIDER),
    ("NormalizationCube", [CUBE], ".dlc-stage canvas"),
    ("RegularizationLab", [IMPORT + "RegularizationLab\nRegularizationLab()"], SLIDER),
    (
        "ActivationExplorer",
        [IMPORT + "ActivationExplorer\nActivationExplorer(('relu', 'tanh', 'gelu'))"],
        ".dlc-control:has-text('gain') input",
    ),
    ("SignalFlow", [IMPORT + "SignalFlow\nSignalFlow(20)"], SLIDER),
    (
        "ConvolutionStepper",
        [IMPORT + "ConvolutionStepper\nConvolutionStepper()"],
        ".dlc-stage canvas",
    ),
    ("ArchitectureExplorer", [EXPLORER], ".dlc-stage canvas"),
]


def latencies(page: Page, lab: Lab, name: str, cells: list[str], selector: str) -> list[float]:
    """Return milliseconds from key to pixels for `KEYS` key presses, after a warm-up."""
    page.add_init_script(f"({PROBE})()")
    lab.open(page, lab.write(name, cells))
    control = page.locator(selector).first
    control.wait_for()
    control.focus()
    measured = []
    for number in range(KEYS + 5):
        page.evaluate("courseProbe.arm()")
        page.keyboard.press("ArrowRight" if (number // 10) % 2 == 0 else "ArrowLeft")
        measured.append(page.evaluate("courseProbe.latency"))
        page.wait_for_timeout(30)
    lab.stop_kernels()
    return sorted(measured[5:])


def widgets(console: Console) -> None:
    """Print each widget's latency beside that of a stock redraw in the same run."""
    table = Table("widget", "median ms", "p95 ms", "times faster than the redraw")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_lab(Path(folder)) as lab,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        base = None
        for number, (name, cells, selector) in enumerate([BASELINE, *WIDGETS]):
            page = browser.new_page(viewport={"width": 1000, "height": 1000})
            times = latencies(page, lab, f"bench{number}", cells, selector)
            page.close()
            median = statistics.median(times)
            base = base or median
            p95 = times[int(0.95 * len(times))]
            table.add_row(name, f"{median:.1f}", f"{p95:.1f}", f"{base / median:.1f}")
        browser.close()
    console.print(table)


def imports(console: Console) -> None:
    """Print the time that importing the package adds to importing torch."""
    modules = "checks, data, device, figures, landscape, training, widgets"
    programs = {"torch": "import torch", "all": f"import torch\nfrom course_utils import {modules}"}
    seconds = {}
    for name, program in programs.items():
        runs = []
        for _ in range(6):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            runs.append(time.perf_counter() - started)
        seconds[name] = statistics.median(runs[1:])
    console.print(
        f"import torch {seconds['torch']:.2f} s; with every module of the course "
        f"{seconds['all']:.2f} s (+{seconds['all'] - seconds['torch']:.2f} s)"
    )


def notebooks(console: Console) -> None:
    """Print the seconds that each notebook takes under nbval, one at a time."""
    table = Table("notebook", "seconds under nbval", "cells")
    for source in sources(ROOT):
        path = source.parents[1] / f"{source.stem}.ipynb"
        started = time.perf_counter()
        command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "-p", "no:cacheprovider"]
        command += ["--nbval-cell-timeout", "300", str(path)]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        cells = sum(c["cell_type"] == "code" for c in json.loads(path.read_text("utf-8"))["cells"])
        state = f"{seconds:.1f}" if result.returncode == 0 else f"{seconds:.1f} (failed)"
        table.add_row(source.stem, state, str(cells))
    console.print(table)


PARTS = {"imports": imports, "notebooks": notebooks, "widgets": widgets, "grading": compare}

if __name__ == "__main__":
    out = Console()
    for part in sys.argv[1:] or PARTS:
        PARTS[part](out)
