from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from rewa import training
from rewa.descent import CHECK_EVERY, Epoch
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.metric import Metric
from rewa.schedules import warmup_cosine
from rewa.sparsity.frontier import RATIOS, THRESHOLDS
from rewa.training import TrainingResult, fit, pick_device
from rewa.workloads.base import Batch, Workload, WorkloadConfig
from rewa.workloads.digits import Digits

CPU = torch.device("cpu")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """These models are too small to share."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits() -> Digits:
    """Three epochs of digits."""
    return Digits(WorkloadConfig(epochs=3), CPU)


def run(workload: Workload, method: str, seed: int = 0, **values: Any) -> TrainingResult:
    return fit(workload, get_method(method).from_values({"lr": 0.1, **values}), seed)


@pytest.mark.parametrize("method", ["rewa", "random"])
def test_a_training_is_decided_by_its_seed(digits: Digits, method: str) -> None:
    """Bit-equal whatever the global generator's state was; another seed differs."""
    first = run(digits, method, seed=1)
    torch.manual_seed(99)
    torch.randn(3)
    again, other = run(digits, method, seed=1), run(digits, method, seed=2)
    assert first.status == again.status == "completed"
    assert first.frontier == again.frontier
    assert first.history == again.history
    assert first.model is not None
    assert again.model is not None
    for p, q in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(p, q)
    assert other.frontier != first.frontier
    assert other.history != first.history


def test_digits_are_learnt(digits: Digits) -> None:
    result = run(Digits(WorkloadConfig(epochs=10), CPU), "magnitude", momentum=0.9)
    assert result.status == "completed"
    assert result.reason == ""
    assert result.history[-1].val_metric > 0.9
    unpruned = {p.split: p.metric for p in result.frontier if p.criterion == "ratio" and p.value == 1}
    assert unpruned["val"] == result.history[-1].val_metric
    assert unpruned["test"] > 0.9
    assert result.model is not None
    assert digits.evaluate(result.model, "test") == unpruned["test"]


def test_history_and_frontier_are_complete(digits: Digits) -> None:
    seen: list[Epoch] = []
    method = get_method("sgd_l1").from_values({"lr": 0.1})
    result = fit(digits, method, 0, seen.append)
    assert seen == result.history
    assert [e.epoch for e in seen] == [1, 2, 3]
    total = 3 * math.ceil(1077 / 64)
    expected = [0.1 * warmup_cosine(step, total, 0.05) for step in (0, total // 3, 2 * total // 3)]
    assert [e.lr for e in seen] == pytest.approx(expected)
    keys = [(p.split, p.criterion, p.value) for p in result.frontier]
    assert keys == [
        (split, criterion, value)
        for split in ("val", "test")
        for criterion, values in (("ratio", RATIOS), ("threshold", THRESHOLDS))
        for value in values
    ]


@pytest.mark.parametrize("method", ["magnitude", "rewa", "spred", "sgd_l1"])
def test_an_exploding_training_is_reported(digits: Digits, method: str) -> None:
    result = run(digits, method, lr=1e8)
    assert result.status == "diverged"
    assert "loss became" in result.reason
    assert any(word in result.reason for word in ("nan", "inf"))
    assert result.frontier == []
    assert result.model is None
    assert all(math.isfinite(e.train_loss) for e in result.history)


class Spied(Digits):
    """Records which split is evaluated."""

    def __init__(self, config: WorkloadConfig) -> None:
        super().__init__(config, CPU)
        self.asked: list[str] = []

    def evaluate(self, model: nn.Module, split: str) -> float:
        assert not model.training
        self.asked.append(split)
        return super().evaluate(model, split)


def test_the_test_split_is_for_the_frontier_only() -> None:
    workload = Spied(WorkloadConfig(epochs=3))
    asked_by_epoch: list[list[str]] = []
    method = get_method("magnitude").from_values({"lr": 0.1})
    fit(workload, method, 0, lambda _: asked_by_epoch.append(list(workload.asked)))
    assert asked_by_epoch == [["val"], ["val"] * 2, ["val"] * 3]
    assert set(workload.asked[3:]) == {"val", "test"}


class Scripted(Workload):
    """Ten epochs of a one-weight model whose validation metric is given in advance."""

    name = "scripted"

    @classmethod
    def metric_for(cls, config: WorkloadConfig) -> Metric:
        return Metric("accuracy", "max", chance=0.1, ideal=1.0)

    def __init__(self, accuracies: list[float], last_loss: float = 1.0) -> None:
        super().__init__(WorkloadConfig(epochs=len(accuracies), batch_size=1), CPU)
        self.accuracies = iter(accuracies)
        self.last_loss = last_loss
        self.training_modes: list[bool] = []

    def build_model(self) -> nn.Module:
        return nn.Linear(1, 1)

    @property
    def split_sizes(self) -> dict[str, int]:
        return {"train": 1, "val": 1, "test": 1}

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        yield torch.ones(1, 1), torch.zeros(1)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        self.training_modes.append(model.training)
        output: Tensor = model(batch[0])
        return 0.0 * output.sum() + self.last_loss

    def evaluate(self, model: nn.Module, split: str) -> float:
        return next(self.accuracies, 0.5)


@pytest.mark.parametrize(
    ("accuracies", "collapses_in"),
    [
        ([0.1] * 40, 20),  # never learns: after half of the epochs
        ([0.9] * 25 + [0.1] * 15, 35),  # falls back: ten epochs later
        ([0.9] * 5 + [0.1] * 35, 20),
        ([0.1] * 12, 10),  # short: ten epochs are needed anyway
        ([0.1] * 9, None),
        ([0.14] * 40, 20),  # 0.1 and a margin of 0.05
        ([0.16] * 40, None),
        (([0.1] * 9 + [0.9]) * 4, None),
        ([0.9] * 31 + [0.1] * 9, None),
    ],
)
def test_collapse(accuracies: list[float], collapses_in: int | None) -> None:
    workload = Scripted(accuracies)
    result = run(workload, "magnitude")
    assert all(workload.training_modes)
    if collapses_in is None:
        assert result.status == "completed"
        assert len(result.history) == len(accuracies)
    else:
        assert result.status == "diverged"
        assert "stayed at chance" in result.reason
        assert len(result.history) == collapses_in
        assert result.frontier == []
        assert result.model is None


def test_weights_that_are_not_finite_are_a_divergence() -> None:
    class Breaking(Scripted):
        def evaluate(self, model: nn.Module, split: str) -> float:
            with torch.no_grad():
                model.weight.fill_(math.inf)  # type: ignore[operator, union-attr]
            return 0.9

    result = run(Breaking([0.9]), "magnitude")
    assert result.status == "diverged"
    assert "weight is not finite" in result.reason
    assert result.frontier == []


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_training(loss: float) -> None:
    seen: list[Epoch] = []
    method = get_method("magnitude").from_values({"lr": 0.1})
    result = fit(Scripted([0.9] * 5, last_loss=loss), method, 0, seen.append)
    assert (result.status, result.history, seen) == ("diverged", [], [])
    assert result.reason == f"the training loss became {loss} in epoch 1"


def test_a_long_epoch_is_left_soon_after_its_loss_broke() -> None:
    class Long(Scripted):
        def batches(self, generator: torch.Generator) -> Iterator[Batch]:
            for step in range(10_000):
                self.last_loss = math.nan if step == 150 else 1.0
                yield torch.ones(1, 1), torch.zeros(1)

    workload = Long([0.9] * 2)
    result = run(workload, "magnitude")
    assert result.reason == "the training loss became nan in epoch 1"
    assert len(workload.training_modes) == CHECK_EVERY


def test_throughput_and_memory_are_measured(digits: Digits) -> None:
    result = run(digits, "magnitude")
    assert result.samples_per_second is not None
    assert 1077 * 3 / result.seconds < result.samples_per_second < 1e8
    assert result.peak_memory_bytes is not None
    assert 5e7 < result.peak_memory_bytes < 1e12


def test_layers_are_counted_at_the_headline_ratios(digits: Digits) -> None:
    layers = run(digits, "magnitude").layers
    assert [(row.layer, row.weights) for row in layers] == [("0", 19_200), ("2", 30_000), ("4", 1_000)]
    for ratio in digits.headline_ratios:
        assert sum(row.kept[ratio] for row in layers) == 50_200 // ratio


@pytest.mark.parametrize(
    ("name", "has_gpu", "expected"),
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_devices(
    monkeypatch: pytest.MonkeyPatch, name: str, has_gpu: bool, expected: Literal["cpu", "cuda"]
) -> None:
    monkeypatch.setattr(training.torch.cuda, "is_available", lambda: has_gpu)
    assert pick_device(name).type == expected


def test_wrong_devices_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no GPU"):
        pick_device("cuda")
    with pytest.raises(UserError, match=r"'gpu'.*auto, cpu or cuda"):
        pick_device("gpu")
