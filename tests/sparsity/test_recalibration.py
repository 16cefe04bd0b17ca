"""Batch-norm statistics against averages by hand, torch's own update_bn, and two processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from rewa.sparsity import has_batch_norm, recalibrate


def network(seed: int = 0) -> nn.Sequential:
    """A small residual-free network whose statistics are those of other data."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        *(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, momentum=0.3), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(48, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU()),
        nn.Linear(5, 2),
    )
    model.train()
    with torch.no_grad():
        for batch in inputs(3, seed=seed + 100):
            model(7 * batch - 2)
    return model.eval()


def inputs(count: int, seed: int = 1, sizes: tuple[int, ...] = (8,)) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(sizes[i % len(sizes)], 2, 6, 6, generator=generator) + 0.1 * i for i in range(count)]


def test_first_layer_by_hand() -> None:
    """Mean over all batches of each batch's mean and unbiased variance, whatever the sizes of the batches."""
    model, batches = network(), inputs(5, sizes=(8, 3))
    with torch.no_grad():
        seen = [model[0](batch).transpose(0, 1).flatten(1) for batch in batches]  # (channel, values)
    recalibrate(model, batches)
    mean = torch.stack([values.mean(1) for values in seen]).mean(0)
    variance = torch.stack([values.var(1, unbiased=True) for values in seen]).mean(0)
    torch.testing.assert_close(model[1].running_mean, mean)
    torch.testing.assert_close(model[1].running_var, variance)
    assert int(model[1].num_batches_tracked) == 5


def test_agrees_with_torch_where_nothing_is_random() -> None:
    ours, theirs = network(), network()
    recalibrate(ours, iter(inputs(4)))
    update_bn(inputs(4), theirs)
    assert not torch.equal(ours[1].running_mean, network()[1].running_mean)
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_only_statistics_change() -> None:
    model, before = network(), network()
    model.train()
    model[2].eval()
    recalibrate(model, inputs(2))
    for (name, new), old in zip(model.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(new, old), name
        assert new.grad is None
    assert [module.training for module in model] == [True, True, False, *[True] * 5]
    assert (model[1].momentum, model[5].momentum) == (0.3, 0.1)


def test_dropout_stays_off_and_untracked_layers_are_left_alone() -> None:
    """With dropout at work the second layer's mean could not be that of the identity."""
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False))
    batch = torch.arange(12.0).view(4, 3)
    recalibrate(model, [batch])
    torch.testing.assert_close(model[1].running_mean, batch.mean(0))
    assert model[2].running_mean is None


def test_who_has_batch_norm() -> None:
    assert has_batch_norm(network())
    assert not has_batch_norm(nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2), nn.GroupNorm(1, 2)))
    assert not has_batch_norm(nn.BatchNorm2d(3, track_running_stats=False))
    recalibrate(nn.Linear(2, 2), [])  # nothing to do, so nothing is needed


def test_without_a_batch_nothing_changes() -> None:
    model, before = network(), network().state_dict()
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(model, [])
    with pytest.raises(RuntimeError):
        recalibrate(model, [*inputs(1), torch.randn(4, 9, 6, 6)])  # too many channels
    for name, value in before.items():
        assert torch.equal(model.state_dict()[name], value), name
    assert model[1].momentum == 0.3
    assert not model[1].training


WORKER = """
import sys
from datetime import timedelta
import torch
import torch.distributed as dist
from torch import nn
from rewa.sparsity import recalibrate

torch.set_num_threads(1)
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", f"file://{folder}/rendezvous", timedelta(seconds=60), 2, rank)
model = nn.BatchNorm1d(3)
batches = torch.load(f"{folder}/batches.pt", weights_only=True)
recalibrate(model, batches[:1] if rank else batches[1:])
torch.save(model.state_dict(), f"{folder}/rank{rank}.pt")
dist.barrier()
dist.destroy_process_group()
"""


def test_two_processes_average_over_all_batches(tmp_path: Path) -> None:
    """One process has one batch, the other three: the average is over the four."""
    batches = [torch.randn(6, 3) + i for i in range(4)]
    torch.save(batches, tmp_path / "batches.pt")
    command = [sys.executable, "-c", WORKER]
    workers = [subprocess.Popen([*command, str(rank), str(tmp_path)]) for rank in range(2)]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    alone = nn.BatchNorm1d(3)
    recalibrate(alone, batches)
    for rank in range(2):
        state = torch.load(tmp_path / f"rank{rank}.pt", weights_only=True)
        for name, value in alone.state_dict().items():
            torch.testing.assert_close(state[name], value)
