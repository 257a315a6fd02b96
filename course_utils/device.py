"""Choose the device that tensors live on.

Every notebook calls :func:`pick_device` in its set-up cell, so the same training
code runs on a laptop CPU and on a GPU.
"""

import torch

__all__ = ["available_devices", "pick_device"]

REMEDIES = {
    "cuda": "install a CUDA build of torch and an NVIDIA driver that fits it; "
    "`course doctor` says which of the two is missing",
    "mps": "use a Mac with Apple silicon and macOS 14 or newer, with a torch build for it",
}


def available_devices() -> list[str]:
    """Return the names this machine accepts, fastest first.

    Examples
    --------
    >>> "cpu" in available_devices()
    True
    """
    names = []
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        names += ["cuda", *(f"cuda:{index}" for index in range(count))] if count else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return [*names, "cpu"]


def pick_device(prefer: str | None = None) -> torch.device:
    """Return the device to compute on: CUDA where there is one, else the CPU.

    Parameters
    ----------
    prefer
        ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``. None picks CUDA, then the
        CPU. MPS is never picked unasked: it has no float64, which the gradient
        checks of the course need.

    Raises
    ------
    ValueError
        If ``prefer`` is no device name, or names a device this machine lacks.
        Falling back in silence would make a measurement lie about its hardware.

    Examples
    --------
    >>> pick_device("cpu")
    device(type='cpu')
    """
    names = available_devices()
    if prefer is None:
        return torch.device("cuda" if "cuda" in names else "cpu")
    name = prefer.strip().lower() if isinstance(prefer, str) else prefer
    if name in names:
        return torch.device(name)
    raise ValueError(_explain(prefer, name, names))


def _explain(prefer: object, name: object, names: list[str]) -> str:
    """Say what was asked for, what is there, and what to do."""
    there = ", ".join(names)
    kind, _, index = name.partition(":") if isinstance(name, str) else ("", "", "")
    if kind in names and index.isdigit():
        return f"prefer={prefer!r}: there is no {kind} device with that number; here: {there}"
    if kind in REMEDIES and kind not in names:
        return (
            f"prefer={prefer!r}: this machine has no usable {kind} device; here: {there}. "
            f"Remedy: {REMEDIES[kind]}; or call pick_device() to take the best one there is"
        )
    return (
        f"prefer={prefer!r} is not a device name; expected 'cpu', 'cuda', 'cuda:0' or 'mps'; "
        f"here: {there}"
    )
