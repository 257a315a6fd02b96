"""The script for several processes, run for real: two on the CPU against one."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_utils.data import load_fashion_mnist

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "notebooks" / "scripts" / "train_ddp.py"
OPTIONS = ["--steps", "4", "--batch-size", "12", "--images", "40", "--seed", "3"]
LIMIT = 120  # seconds; a process that waits for a lost partner would wait much longer
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]


def run(*launcher, options, **variables):
    """Run the script in a clean launcher environment, on the CPU; return what it printed."""
    set_by_launchers = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}
    environment = {k: v for k, v in os.environ.items() if k not in set_by_launchers}
    environment |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | variables
    return subprocess.run(
        [sys.executable, *launcher, SCRIPT, *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return weights and printed lines of training in one process and in two."""
    folder, results = tmp_path_factory.mktemp("ddp"), {}
    for number, launcher in ((1, []), (2, [*TORCHRUN, "2"])):
        out = folder / f"{number}.pt"
        done = run(*launcher, options=[*OPTIONS, "--out", str(out)])
        assert done.returncode == 0, done.stderr
        lines = [line for line in done.stdout.splitlines() if line.startswith("step ")]
        results[number] = torch.load(out, weights_only=True), lines
    return results


def test_two_processes_take_the_steps_of_one(found):
    """Same weights in float64, up to the order in which the gradients are summed."""
    (one, _), (two, _) = found[1], found[2]
    assert one.keys() == two.keys()
    for name, alone in one.items():
        assert alone.dtype == torch.float64
        torch.testing.assert_close(two[name], alone, rtol=0, atol=1e-13)


def test_the_weights_moved(found):
    """The agreement is not that of two networks that stood still: biases start at 0."""
    weights, _ = found[1]
    moved = max(part.abs().max() for name, part in weights.items() if name.endswith("bias"))
    assert moved > 1e-3


def test_each_process_works_on_its_part(found):
    """Two processes that each took the whole batch would reach the same weights, too."""
    script = runpy.run_path(str(SCRIPT))
    fashion = load_fashion_mnist()
    order = torch.randperm(40, generator=torch.Generator().manual_seed(3))
    for number, (_, lines) in found.items():
        part = order[:12][::number]
        X = torch.from_numpy(fashion.X_train[:40]).double()[part, None]
        y = torch.from_numpy(fashion.y_train[:40])[part]
        loss = torch.nn.functional.cross_entropy(script["make_model"](3)(X), y).item()
        assert len(lines) == 4, "process 0 alone prints"
        assert lines[0].endswith(f" {loss:.4f}")


def test_a_batch_that_does_not_fit_is_refused():
    for options in (["--batch-size", "100", "--images", "40"], ["--batch-size", "0"]):
        done = run(options=options)
        assert done.returncode == 2
        assert "--batch-size" in done.stderr


def test_a_batch_that_cannot_be_shared_equally_is_refused():
    """Unequal parts would make the mean of the processes' means another one."""
    three = run(options=["--batch-size", "10"], WORLD_SIZE="3")
    assert three.returncode == 2
    assert "multiple of 3" in three.stderr
