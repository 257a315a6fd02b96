"""pick_device: the rule, and what it says when it cannot obey."""

import subprocess
import sys

import pytest
import torch

from course_utils.device import available_devices, pick_device


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine with so many CUDA devices, with or without MPS."""

    def pretend(cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


def test_cuda_first_then_cpu(machine):
    machine(cuda=1)
    assert pick_device() == torch.device("cuda")
    machine(cuda=0)
    assert pick_device() == torch.device("cpu")


def test_mps_only_by_name(machine):
    machine(mps=True)
    assert pick_device() == torch.device("cpu")
    assert pick_device("mps") == torch.device("mps")


def test_name_is_obeyed(machine):
    machine(cuda=2)
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    assert pick_device(" CPU ") == torch.device("cpu")
    assert available_devices() == ["cuda", "cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize("prefer", ["cuda", "cuda:0", "mps"])
def test_missing_device_names_remedy(machine, prefer):
    machine()
    with pytest.raises(ValueError, match=r"no usable \w+ device; here: cpu\. Remedy: "):
        pick_device(prefer)


def test_number_out_of_range(machine):
    machine(cuda=1)
    with pytest.raises(ValueError, match="no cuda device with that number; here: cuda, cuda:0"):
        pick_device("cuda:7")


@pytest.mark.parametrize("prefer", ["gpu", "", "cpu:x", "tpu:0"])
def test_not_a_name(machine, prefer):
    machine()
    with pytest.raises(ValueError, match="not a device name; expected 'cpu', 'cuda'"):
        pick_device(prefer)


def test_import_does_not_wake_cuda():
    code = "import course_utils.device, torch; assert not torch.cuda.is_initialized()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
