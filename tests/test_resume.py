"""A training that was stopped and taken up again ends with the same bits as one that was not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from rewa.checkpoint import CheckpointFile
from rewa.descent import Epoch
from rewa.methods import REGISTRY, GradientMethod, get_method
from rewa.training import TrainingResult, Watch, fit
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.digits import Digits

CPU = torch.device("cpu")
GRADIENT_METHODS = [name for name in REGISTRY if issubclass(get_method(name), GradientMethod)]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Noisy(Digits):
    """Digits with a network that has running statistics and draws from the global generator."""

    def build_model(self) -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))
        )


class StoppedError(Exception):
    """The machine went away."""


def train(
    method: str, folder: Path | None, precision: str = "fp32", stop_in: int = 0, eval_every: int = 1
) -> TrainingResult:
    config = WorkloadConfig(epochs=4, precision=precision, eval_every=eval_every)  # type: ignore[arg-type]
    checkpoint = CheckpointFile(folder / "checkpoint.pt", {"method": method}, every=0) if folder else None
    values = {"lr": 0.01 if "adam" in method else 0.1}
    done = 0

    def on_step(step: int, _: int) -> None:
        nonlocal done
        done += 1
        if stop_in and step == stop_in:
            raise StoppedError

    workload = Noisy(config, CPU)
    watch = Watch(on_step=on_step)
    return fit(workload, get_method(method).from_values(values), 3, watch=watch, checkpoint=checkpoint)


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    assert one.status == other.status == "completed"
    assert one.history == other.history
    assert one.frontier == other.frontier
    assert one.layers == other.layers
    assert one.model is not None
    assert other.model is not None
    for (name, a), b in zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_every_method_goes_on_bit_by_bit(method: str, tmp_path: Path) -> None:
    """StoppedError in the middle of the third of four epochs; 17 steps each."""
    whole = train(method, None)
    with pytest.raises(StoppedError):
        train(method, tmp_path, stop_in=40)
    torch.manual_seed(99)  # another process would have another state
    assert_same(train(method, tmp_path), whole)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision_goes_on_bit_by_bit(precision: str, tmp_path: Path) -> None:
    whole = train("rewa", None, precision)
    assert whole.history != train("rewa", None, "fp32").history
    with pytest.raises(StoppedError):
        train("rewa", tmp_path, precision, stop_in=40)
    assert_same(train("rewa", tmp_path, precision), whole)


def test_it_really_was_taken_up(tmp_path: Path) -> None:
    """The second process trains only what was left, and says so."""
    with pytest.raises(StoppedError):
        train("rewa", tmp_path, stop_in=40)
    seen: list[int] = []
    phases: list[str] = []
    watch = Watch(on_step=lambda step, _: seen.append(step), on_phase=phases.append)
    workload = Noisy(WorkloadConfig(epochs=4), CPU)
    checkpoint = CheckpointFile(tmp_path / "checkpoint.pt", {"method": "rewa"}, every=0)
    fit(workload, get_method("rewa").from_values({"lr": 0.1}), 3, watch=watch, checkpoint=checkpoint)
    assert seen == list(range(35, 69))
    assert phases == ["training", "training, taken up after epoch 2", "frontier"]


def test_a_run_killed_during_the_frontier_does_not_train_again(tmp_path: Path) -> None:
    class Fragile(Noisy):
        def evaluate(self, model: nn.Module, split: str) -> float:
            if split == "test":
                raise StoppedError
            return super().evaluate(model, split)

    method = get_method("rewa").from_values({"lr": 0.1})
    config = WorkloadConfig(epochs=2)
    checkpoint = CheckpointFile(tmp_path / "c.pt", {}, every=0)
    with pytest.raises(StoppedError):
        fit(Fragile(config, CPU), method, 0, checkpoint=checkpoint)
    steps: list[int] = []
    watch = Watch(on_step=lambda step, _: steps.append(step))
    resumed = fit(Noisy(config, CPU), method, 0, watch=watch, checkpoint=checkpoint)
    assert steps == []
    assert_same(resumed, fit(Noisy(config, CPU), method, 0))


def test_rare_evaluations_go_on_too(tmp_path: Path) -> None:
    whole = train("sgd_l1", None, eval_every=3)
    with pytest.raises(StoppedError):
        train("sgd_l1", tmp_path, stop_in=40, eval_every=3)
    resumed = train("sgd_l1", tmp_path, eval_every=3)
    assert [epoch.epoch for epoch in resumed.history] == [3, 4]
    assert_same(resumed, whole)


def test_callbacks_see_only_new_epochs(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        train("rewa", tmp_path, stop_in=40)
    seen: list[Epoch] = []
    config: Any = WorkloadConfig(epochs=4)
    checkpoint = CheckpointFile(tmp_path / "checkpoint.pt", {"method": "rewa"}, every=0)
    method = get_method("rewa").from_values({"lr": 0.1})
    result = fit(Noisy(config, CPU), method, 3, seen.append, checkpoint=checkpoint)
    assert [epoch.epoch for epoch in seen] == [3, 4]
    assert [epoch.epoch for epoch in result.history] == [1, 2, 3, 4]
