"""Two processes that train one model give what one process gives, up to the order of float sums."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from rewa.methods import get_method
from rewa.training import TrainingResult, fit
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.digits import Digits

pytestmark = pytest.mark.slow  # tests/optim/test_distributed.py is the quick one

METHODS = {
    "rewa": {"lr": 0.1, "K": 5, "M": 1.5, "weight_decay": 1e-3},
    "spred": {"lr": 0.1, "weight_decay": 1e-4},
    "rewa_adamw": {"lr": 0.01, "K": 3},
}
BATCH = 63
"""1,077 images: the last batch has 6, which two processes share unevenly in a batch of 63."""

WORKER = """
import sys, torch
from rewa.checkpoint import CheckpointFile
from rewa.distributed import process_group, rank, world_size
from rewa.methods import get_method
from rewa.training import Watch, fit
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.digits import Digits

torch.set_num_threads(1)
folder, methods, batch = sys.argv[1], eval(sys.argv[2]), int(sys.argv[3])
cpu = torch.device("cpu")


class Stop(Exception):
    pass


def stop(step, total):
    if step == 30:
        raise Stop


with process_group(cpu):
    assert world_size() == 2
    found = {}
    for name, values in methods.items():
        workload = Digits(WorkloadConfig(epochs=2, batch_size=batch), cpu)
        result = fit(workload, get_method(name).from_values(values), 0)
        found[name] = (result.model.state_dict(), [e.train_loss for e in result.history],
                       [e.val_metric for e in result.history], [p.metric for p in result.frontier])
    checkpoint = CheckpointFile(__import__("pathlib").Path(folder) / "c.pt", {}, every=0)
    method = get_method("rewa").from_values(methods["rewa"])
    try:
        fit(Digits(WorkloadConfig(epochs=2, batch_size=batch), cpu), method, 0,
            watch=Watch(on_step=stop), checkpoint=checkpoint)
    except Stop:
        pass
    resumed = fit(Digits(WorkloadConfig(epochs=2, batch_size=batch), cpu), method, 0, checkpoint=checkpoint)
    found["resumed"] = (resumed.model.state_dict(),)
    tiny = fit(Digits(WorkloadConfig(epochs=1, batch_size=1076), cpu), method, 0)
    found["tiny"] = (tiny.model.state_dict(), [e.train_loss for e in tiny.history])
    torch.save(found, f"{folder}/rank{rank()}.pt")
"""


def torchrun(*words: str) -> None:
    """Start two processes and wait for them."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, *words], capture_output=True, text=True, timeout=240, env=environment, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this build of torch has no gloo backend")
    folder = tmp_path_factory.mktemp("ranks")
    (folder / "worker.py").write_text(WORKER)
    torchrun(str(folder / "worker.py"), str(folder), repr(METHODS), str(BATCH))
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def alone(name: str, epochs: int = 2, batch: int = BATCH) -> TrainingResult:
    workload = Digits(WorkloadConfig(epochs=epochs, batch_size=batch), torch.device("cpu"))
    return fit(workload, get_method(name).from_values(METHODS[name]), 0)


@pytest.mark.parametrize("name", METHODS)
def test_both_processes_hold_the_same_bits(name: str, ranks: list[dict[str, Any]]) -> None:
    weights, *numbers = ranks[0][name]
    others, *other_numbers = ranks[1][name]
    assert all(torch.equal(value, others[key]) for key, value in weights.items())
    assert numbers == other_numbers


@pytest.mark.parametrize("name", METHODS)
def test_two_processes_are_one(name: str, ranks: list[dict[str, Any]]) -> None:
    weights, losses, accuracies, frontier = ranks[0][name]
    single = alone(name)
    assert single.model is not None
    for key, value in single.model.state_dict().items():
        torch.testing.assert_close(weights[key], value, rtol=1e-3, atol=2e-5)
    assert losses == pytest.approx([e.train_loss for e in single.history], rel=1e-4)
    assert accuracies == pytest.approx([e.val_metric for e in single.history], abs=0.006)
    assert frontier == pytest.approx([p.metric for p in single.frontier], abs=0.02)


def test_a_batch_smaller_than_the_processes_counts_once(ranks: list[dict[str, Any]]) -> None:
    """1,077 images in batches of 1,076: the last image goes to one process, the other has none."""
    weights, losses = ranks[0]["tiny"]
    single = alone("rewa", epochs=1, batch=1076)
    assert single.model is not None
    for key, value in single.model.state_dict().items():
        torch.testing.assert_close(weights[key], value, rtol=1e-4, atol=1e-6)
    assert losses == pytest.approx([e.train_loss for e in single.history], rel=1e-5)


def test_two_processes_go_on_from_their_checkpoint_bit_by_bit(ranks: list[dict[str, Any]]) -> None:
    for key, value in ranks[0]["rewa"][0].items():
        assert torch.equal(ranks[0]["resumed"][0][key], value)


@pytest.mark.slow
def test_rewa_train_under_torchrun_writes_once(tmp_path: Path) -> None:
    settings = [f"--set={key}={value}" for key, value in METHODS["rewa"].items()]
    output = tmp_path / "out"
    torchrun(
        *("-m", "rewa", "train", "digits", "rewa", "--epochs", "2", "--seed", "0", "--no-tracking"),
        *(f"--set-workload=batch_size={BATCH}", *settings, "--output", str(output)),
    )
    weights = torch.load(output / "model.pt", weights_only=True)
    single = alone("rewa")
    assert single.model is not None
    for key, value in single.model.state_dict().items():
        torch.testing.assert_close(weights[key], value, rtol=1e-3, atol=2e-5)
    assert (output / "result.json").is_file()
    assert not list(output.glob("*checkpoint*"))
