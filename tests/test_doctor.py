"""``course doctor``: every failure it names is brought about here for real."""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import jupyter_core.paths
import pytest
import torch
from matplotlib import font_manager

from course_utils import doctor
from course_utils.data import cache as cache_module
from course_utils.data.images import RECIPES
from course_utils.doctor import finding, runtime, surroundings

EXAMPLE = RECIPES["mnist_5k"].files[0]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("COURSE_DATA", str(folder))
    monkeypatch.setattr(cache_module, "_replacements", {})
    return folder


def test_every_check_says_something_and_how_to_mend_it(cache):
    findings = doctor.examine()
    assert [one.name for one in findings] == list(doctor.CHECKS)
    for one in findings:
        assert one.message
        assert bool(one.remedy) == (one.state != "ok")


def test_check_that_breaks_off_is_a_row_of_its_own(monkeypatch):
    def lack():
        raise ModuleNotFoundError("No module named 'pooch'")

    def stumble():
        raise RuntimeError("surprise")

    monkeypatch.setattr(doctor, "CHECKS", {"one": lack, "two": stumble})
    one, two = doctor.examine()
    assert (one.state, two.state) == ("problem", "problem")
    assert "No module named 'pooch'" in one.message
    assert "RuntimeError: surprise" in two.message


# Python, torch, GPU


def test_old_python(monkeypatch):
    assert runtime.check_python().state == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    found = runtime.check_python()
    assert (found.state, found.message) == (
        "problem",
        "this is Python 3.10.4; the course needs 3.11 or newer",
    )


def test_without_torch_the_rest_is_still_examined(cache):
    code = "import sys; sys.modules['torch'] = None; from course_utils.cli import app; app()"
    done = subprocess.run(
        [sys.executable, "-c", code, "doctor"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "220"},
    )
    assert done.returncode == 1
    assert "torch cannot be imported" in done.stdout
    assert "Remedy: run `make lab`" in done.stdout
    assert "not looked at, because torch does not work" in done.stdout
    assert "data files" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_torch_with_a_broken_library(monkeypatch):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "torch":
                raise OSError("[WinError 126] c10.dll")

    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    found = runtime.check_torch()
    assert found.state == "problem"
    assert "torch is broken: [WinError 126] c10.dll" in found.message
    assert runtime.check_gpu().state == "warning"


def test_torch_build_is_named(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    assert runtime.check_torch().message.endswith("CPU build")
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert runtime.check_torch().message.endswith("for CUDA 12.8")


@pytest.fixture
def gpu(monkeypatch, tmp_path):
    """A function that sets up a machine: its card, torch's CUDA build, and what CUDA says."""

    def machine(card="", cuda=None, available=False):
        monkeypatch.setattr(runtime, "_nvidia_card", lambda: card)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
        return runtime.check_gpu()

    return machine


def test_gpu(gpu):
    assert gpu().message == "no NVIDIA GPU; every notebook runs on the CPU"
    found = gpu(card="Card 9000, driver 1.2")
    assert (found.state, "this torch is a CPU build" in found.message) == ("warning", True)
    found = gpu(card="Card 9000, driver 1.2", cuda="12.8")
    assert found.state == "warning"
    assert found.message.startswith("the driver of the GPU (Card 9000, driver 1.2) does not serve")


def test_gpu_that_computes(gpu, monkeypatch):
    ones = torch.ones
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Card 9000")
    monkeypatch.setattr(torch, "ones", lambda size, device: ones(size))
    found = gpu(cuda="12.8", available=True)
    assert (found.state, found.message) == ("ok", "Card 9000, CUDA 12.8")


def test_gpu_that_is_found_but_cannot_compute(gpu, monkeypatch):
    def refuse(size, device):
        raise RuntimeError("no kernel image is available\nfor execution")

    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "Card 1")
    monkeypatch.setattr(torch, "ones", refuse)
    found = gpu(cuda="12.8", available=True)
    assert found.state == "problem"
    assert found.message.endswith("it cannot compute: no kernel image is available")


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """A function that makes PATH hold these programs and nothing else."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name, script):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return make


posix = pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for a program")


@posix
def test_nvidia_card(programs):
    assert runtime._nvidia_card() == ""
    programs("nvidia-smi", "echo 'Card 9000, 570.1'")
    assert runtime._nvidia_card() == "Card 9000, driver 570.1"
    programs("nvidia-smi", "exit 9")
    assert runtime._nvidia_card() == ""


# Kernel and widgets


@pytest.fixture
def jupyter(tmp_path, monkeypatch):
    """A folder that is the only place where Jupyter looks for kernels and extensions."""
    folder = tmp_path / "jupyter"
    for name in ("kernels", "labextensions"):
        (folder / name).mkdir(parents=True)
    monkeypatch.setenv("JUPYTER_PATH", "")
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(folder))
    monkeypatch.setattr(jupyter_core.paths, "ENV_JUPYTER_PATH", [])
    monkeypatch.setattr(jupyter_core.paths, "SYSTEM_JUPYTER_PATH", [])
    monkeypatch.setattr("site.ENABLE_USER_SITE", False)
    return folder


def add_kernel(folder, *argv):
    place = folder / "kernels" / "python3"
    place.mkdir(exist_ok=True)
    spec = {"argv": [*argv, "-m", "ipykernel_launcher"], "display_name": "", "language": "python"}
    (place / "kernel.json").write_text(json.dumps(spec))


def test_kernel_of_this_python(jupyter):
    for command in ("python", "python3", sys.executable):
        add_kernel(jupyter, command)
        assert runtime.check_kernel().state == "ok"


def test_kernel_of_an_environment_that_is_gone(jupyter, tmp_path):
    gone = tmp_path / "gone" / "bin" / "python"
    add_kernel(jupyter, str(gone))
    found = runtime.check_kernel()
    assert found.state == "problem"
    assert f"starts {str(gone)!r}, which does not exist" in found.message
    assert "-m ipykernel install --sys-prefix" in found.remedy


@posix
def test_kernel_of_another_python(jupyter, programs, tmp_path):
    programs("python-of-another", "exit 0")
    other = tmp_path / "programs" / "python-of-another"
    add_kernel(jupyter, str(other))
    found = runtime.check_kernel()
    assert found.state == "warning"
    assert f"starts {other}, not the Python of the course" in found.message


@posix
def test_kernel_by_another_name_of_the_same_python(jupyter, tmp_path, monkeypatch):
    for name in ("python", "python3"):
        for environment in ("mine", "other"):
            path = tmp_path / environment / name
            path.parent.mkdir(exist_ok=True)
            path.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "mine" / "python3"))
    add_kernel(jupyter, str(tmp_path / "mine" / "python"))
    assert runtime.check_kernel().state == "ok"
    add_kernel(jupyter, str(tmp_path / "other" / "python"))
    assert runtime.check_kernel().state == "warning"


def test_no_kernel_at_all(jupyter, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel.kernelspec", None)
    found = runtime.check_kernel()
    assert (found.state, found.message) == ("problem", "there is no kernel named python3")


def test_no_jupyter(monkeypatch):
    monkeypatch.setitem(sys.modules, "jupyter_client.kernelspec", None)
    found = runtime.check_kernel()
    assert (found.state, "Jupyter is not installed" in found.message) == ("problem", True)


def add_extensions(folder):
    for name in runtime.LAB_EXTENSIONS:
        place = folder / "labextensions" / name
        place.mkdir(parents=True, exist_ok=True)
        (place / "package.json").write_text('{"version": "1"}')


def test_widget_front_end(jupyter):
    found = runtime.check_widgets()
    assert found.state == "problem"
    assert "JupyterLab lacks the extension @jupyter-widgets/jupyterlab-manager" in found.message
    add_extensions(jupyter)
    assert runtime.check_widgets().state == "ok"
    (jupyter / "labextensions" / "anywidget" / "package.json").write_text("{")
    assert runtime.check_widgets().message == "JupyterLab lacks the extension anywidget"


def test_widget_packages(jupyter, monkeypatch):
    versions = {"ipywidgets": "7.8.1", "jupyterlab_widgets": "3.0.0rc1"}

    def version(name):
        if name in versions:
            return versions[name]
        raise importlib.metadata.PackageNotFoundError(name)

    add_extensions(jupyter)
    monkeypatch.setattr(importlib.metadata, "version", version)
    found = runtime.check_widgets()
    assert found.state == "problem"
    assert found.message == "anywidget is not installed; ipywidgets is 7.8.1, needed 8.1 or newer"


# Fonts, disk, data, browser, sandbox


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows", "OtherOS"])
def test_no_chinese_font(monkeypatch, system):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [SimpleNamespace(name="DejaVu Sans")])
    monkeypatch.setattr("platform.system", lambda: system)
    found = surroundings.check_fonts()
    assert found.state == "warning"
    assert "no font with Chinese characters" in found.message
    assert "so that matplotlib looks again" in found.remedy


def test_chinese_font(monkeypatch):
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [SimpleNamespace(name="PingFang SC")])
    found = surroundings.check_fonts()
    assert (found.state, found.message) == ("ok", "PingFang SC")


@pytest.mark.parametrize(
    ("free", "state"), [(5 * 10**9, "ok"), (10**9, "warning"), (10**6, "problem")]
)
def test_disk(cache, tmp_path, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free))
    found = surroundings.check_disk()
    assert found.state == state
    assert f"{free / 1e9:.1f} GB free at {tmp_path}" in found.message


def test_cache_that_cannot_be_written(cache, monkeypatch):
    assert surroundings.check_cache().state == "ok"
    shutil.rmtree(cache)
    cache.write_text("a file where the folder should be")
    found = surroundings.check_cache()
    assert found.state == "problem"
    assert "COURSE_DATA" in found.remedy
    assert surroundings.check_disk().state != "problem"  # A file is no folder to measure.
    cache.unlink()
    monkeypatch.setattr(cache_module, "is_writable", lambda folder: False)
    assert surroundings.check_cache().state == "problem"


def test_data_files(cache, monkeypatch):
    found = surroundings.check_files()
    assert found.state == "warning"
    assert found.message == "not fetched yet: fashion_mnist, mnist_5k"
    path = cache / EXAMPLE.path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    found = surroundings.check_files()
    assert found.state == "problem"
    assert found.message == f"{path} is damaged: truncated: 4 of 1,106,785 bytes"
    assert found.remedy == "run `course data`, which fetches them again"
    monkeypatch.setattr(cache_module, "look_up", lambda file: (b"whole", ""))
    assert surroundings.check_files().message == "5 files, each as its sha256 says"


@posix
def test_browser(programs, tmp_path, monkeypatch):
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path / "browsers"))
    found = surroundings.check_browser()
    assert found.state == "warning"
    assert "playwright install chromium" in found.remedy
    (tmp_path / "browsers" / "chromium-1200").mkdir(parents=True)
    assert surroundings.check_browser().message.endswith("chromium-1200")
    programs("google-chrome", "exit 0")
    assert surroundings.check_browser().message.endswith("programs/google-chrome")


@pytest.mark.parametrize("system", ["Linux", "Darwin", "Windows"])
def test_no_browser_on_any_system(monkeypatch, tmp_path, system):
    monkeypatch.setenv("PATH", "")
    for name in ("CHROMIUM", "PLAYWRIGHT_BROWSERS_PATH"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("platform.system", lambda: system)
    assert surroundings.check_browser().state == "warning"


@posix
def test_sandbox(programs, monkeypatch):
    found = surroundings.check_sandbox()
    assert found.state == "warning"
    assert "bubblewrap is not installed; only instructors" in found.message
    programs("bwrap", "echo 'No permissions to create a new namespace' >&2; exit 1")
    found = surroundings.check_sandbox()
    assert found.state == "warning"
    assert "does not work: No permissions to create a new namespace" in found.message
    programs("bwrap", "exit 0")  # what starts and does not run the student's process
    assert surroundings.check_sandbox().state == "warning"
    programs("bwrap", """echo '{"state": "ready"}'""")
    assert surroundings.check_sandbox().state == "ok"
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert surroundings.check_sandbox().remedy.startswith("grade on Linux")


def test_program_that_hangs_or_cannot_start(monkeypatch):
    worked, text = finding.output_of(["no-such-program-here"])
    assert (worked, "no-such-program-here" in text) == (False, True)

    def expire(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", expire)
    assert finding.output_of(["slow"])[0] is False
