"""Two processes with half of each batch train as one with all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rewa import ReWA, ReWAAdamW

WORKER = """
import sys
from datetime import timedelta
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
import rewa

rank, folder = int(sys.argv[1]), sys.argv[2]
timeout = timedelta(seconds=60)
dist.init_process_group("gloo", f"file://{folder}/rendezvous", timeout, 2, rank)
cases = torch.load(f"{folder}/cases.pt", weights_only=True)
for case in cases.values():
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).to(case["inputs"].dtype)
    if rank == 0:
        model.load_state_dict(case["start"])
    replica = DistributedDataParallel(model)
    weights = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights}, {"params": biases, "K": 1, "M": 0}]
    optimizer = getattr(rewa, case["optimizer"])(groups, **case["settings"])
    for x, y in zip(case["inputs"], case["targets"]):
        optimizer.zero_grad()
        half = slice(4 * rank, 4 * rank + 4)
        nn.functional.mse_loss(replica(x[half]), y[half]).backward()
        optimizer.step()
    case["model"] = model.state_dict()
    case["latents"] = [optimizer.state[p]["latent"] for p in weights]
torch.save(cases, f"{folder}/rank{rank}.pt")
dist.barrier()
dist.destroy_process_group()
"""

CASES: dict[str, tuple[type[Optimizer], dict[str, Any], torch.dtype]] = {
    "sgd": (ReWA, {"M": 1, "momentum": 0.9, "weight_decay": 0.01}, torch.float32),
    "sgd-foreach": (ReWA, {"M": 0.5, "epsilon": 0.01, "foreach": True}, torch.float32),
    "adamw": (ReWAAdamW, {"M": 0, "weight_decay": 0.01}, torch.float64),
    "adamw-foreach": (ReWAAdamW, {"M": 1, "amsgrad": True, "foreach": True}, torch.float64),
}
Results = list[dict[str, Any]]


def network(dtype: torch.dtype) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).to(dtype)


def data(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(12, 8, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
    return inputs, inputs.sum(2, keepdim=True)


def settings(name: str) -> dict[str, Any]:
    return {"lr": 0.05, "K": 3, **CASES[name][1]}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What each of two processes has after training every case; rank 1 starts from weights of its own."""
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this build of torch has no gloo backend")
    folder: Path = tmp_path_factory.mktemp("ranks")
    cases = {}
    for name, (optimizer_class, _, dtype) in CASES.items():
        inputs, targets = data(dtype)
        cases[name] = {
            "optimizer": optimizer_class.__name__,
            "settings": settings(name),
            "start": network(dtype).state_dict(),
            "inputs": inputs,
            "targets": targets,
        }
    torch.save(cases, folder / "cases.pt")
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(folder)], stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    try:
        errors = [worker.communicate(timeout=120)[1] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_both_ranks_have_the_same_bits(name: str, ranks: Results) -> None:
    for key, value in ranks[0][name]["model"].items():
        assert torch.equal(value, ranks[1][name]["model"][key])
    for one, other in zip(ranks[0][name]["latents"], ranks[1][name]["latents"], strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", CASES)
def test_two_halves_train_as_the_whole(name: str, ranks: Results) -> None:
    optimizer_class, _, dtype = CASES[name]
    model = network(dtype)
    weights = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": weights}, {"params": biases, "K": 1, "M": 0}]
    optimizer = optimizer_class(groups, **settings(name))
    for x, y in zip(*data(dtype), strict=True):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    for key, start in network(dtype).state_dict().items():
        torch.testing.assert_close(
            ranks[0][name]["model"][key], model.state_dict()[key], rtol=1e-6, atol=1e-6
        )
        assert (model.state_dict()[key] - start).abs().max() > 0.01
