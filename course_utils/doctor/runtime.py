"""Checks of what runs a notebook: Python, torch, GPU, kernel, widgets."""

import importlib.metadata
import json
import re
import shutil
import sys
from pathlib import Path

from course_utils.doctor.finding import REINSTALL, Finding, output_of

__all__ = ["check_gpu", "check_kernel", "check_python", "check_torch", "check_widgets"]

NEEDED_PYTHON = (3, 11)
NEEDED_WIDGETS = {"anywidget": (0, 11), "ipywidgets": (8, 1), "jupyterlab_widgets": (3, 0)}
LAB_EXTENSIONS = ("@jupyter-widgets/jupyterlab-manager", "anywidget")


def check_python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if tuple(sys.version_info[:2]) < NEEDED_PYTHON:
        needed = ".".join(str(part) for part in NEEDED_PYTHON)
        return Finding(
            "Python",
            "problem",
            f"this is Python {version}; the course needs {needed} or newer",
            f"install Python {needed} or newer and make a new environment with it",
        )
    return Finding("Python", "ok", f"Python {version} at {sys.executable}")


def check_torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch", "problem", f"torch cannot be imported: {error}", REINSTALL)
    except OSError as error:  # A shared library that does not load, mostly on Windows.
        remedy = f"reinstall torch ({REINSTALL}); on Windows also the Visual C++ runtime"
        return Finding("torch", "problem", f"torch is broken: {error}", remedy)
    build = f"for CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    return Finding("torch", "ok", f"torch {torch.__version__}, {build}")


def check_gpu() -> Finding:
    name, card = "GPU", _nvidia_card()
    try:
        import torch
    except (ImportError, OSError):
        return Finding(name, "warning", "not looked at, because torch does not work", REINSTALL)
    if torch.cuda.is_available():
        return _try_cuda(name)
    if not card:
        return Finding(name, "ok", "no NVIDIA GPU; every notebook runs on the CPU")
    if torch.version.cuda is None:
        why = f"there is a GPU ({card}), but this torch is a CPU build"
        remedy = "install the CUDA build of torch, if you want to use the GPU"
    else:
        why = f"the driver of the GPU ({card}) does not serve CUDA {torch.version.cuda}"
        remedy = "install a newer NVIDIA driver, or a torch build for an older CUDA"
    return Finding(name, "warning", f"{why}; notebooks run on the CPU", remedy)


def check_kernel() -> Finding:
    name, install = "Jupyter kernel", f"{sys.executable} -m ipykernel install --sys-prefix"
    try:
        from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    except ImportError as error:
        return Finding(name, "problem", f"Jupyter is not installed: {error}", REINSTALL)
    try:
        spec = KernelSpecManager().get_kernel_spec("python3")
    except NoSuchKernel:
        return Finding(name, "problem", "there is no kernel named python3", f"run `{install}`")
    command = spec.argv[0] if spec.argv else ""
    # Jupyter itself replaces a bare "python" by the Python that runs the server.
    bare = {"python", "python3", f"python3.{sys.version_info[1]}"}
    found = sys.executable if command in bare else shutil.which(command)
    if found is None:
        why = f"the kernel python3 starts {command!r}, which does not exist ({spec.resource_dir})"
        return Finding(name, "problem", why, f"run `{install}`")
    if not _same_python(Path(found), Path(sys.executable)):
        why = f"the kernel python3 starts {found}, not the Python of the course ({sys.executable})"
        return Finding(name, "warning", why, f"run `{install}`")
    return Finding(name, "ok", f"python3 starts {found}")


def check_widgets() -> Finding:
    name, faults, found = "widgets", [], []
    for package, needed in NEEDED_WIDGETS.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            faults.append(f"{package} is not installed")
            continue
        found.append(f"{package} {version}")
        if _numbers(version) < needed:
            faults.append(f"{package} is {version}, needed {'.'.join(map(str, needed))} or newer")
    faults += [f"JupyterLab lacks the extension {one}" for one in _missing_extensions()]
    if faults:
        remedy = f"{REINSTALL}; then restart JupyterLab and reload its page"
        return Finding(name, "problem", "; ".join(faults), remedy)
    return Finding(name, "ok", ", ".join(found))


def _same_python(one: Path, other: Path) -> bool:
    """Compare interpreters: ``python`` and ``python3`` of one environment are the same.

    Two environments may link to one file, so the folders are compared as well.
    """
    return one.parent.resolve() == other.parent.resolve() and one.resolve() == other.resolve()


def _nvidia_card() -> str:
    """Return the name and driver of an NVIDIA GPU, or an empty string."""
    query = ["--query-gpu=name,driver_version", "--format=csv,noheader"]
    if shutil.which("nvidia-smi") is None:
        return ""
    worked, text = output_of(["nvidia-smi", *query])
    return text.splitlines()[0].replace(",", ", driver") if worked and text else ""


def _try_cuda(name: str) -> Finding:
    """Compute one sum on the GPU: an old GPU is found, and then refuses to compute."""
    import torch

    try:
        card = torch.cuda.get_device_name(0)
        total = torch.ones(2, device="cuda").sum().item()
    except RuntimeError as error:
        why = f"there is a GPU, but it cannot compute: {str(error).splitlines()[0]}"
        remedy = "use pick_device('cpu'), or install a torch build that serves this GPU and driver"
        return Finding(name, "problem", why, remedy)
    if total != 2:
        return Finding(name, "problem", f"{card} computed 1 + 1 = {total}", "replace the GPU")
    return Finding(name, "ok", f"{card}, CUDA {torch.version.cuda}")


def _missing_extensions() -> list[str]:
    """Return the JupyterLab extensions that draw widgets and are not where it looks."""
    from jupyter_core.paths import jupyter_path

    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    return [one for one in LAB_EXTENSIONS if not any(_is_package(f / one) for f in folders)]


def _is_package(folder: Path) -> bool:
    """Say whether a folder holds a readable package.json."""
    try:
        return bool(json.loads((folder / "package.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return False


def _numbers(version: str) -> tuple[int, ...]:
    """Return the first two numbers of a version."""
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
