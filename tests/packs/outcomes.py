"""Small workloads for packs, and what it means that two outcomes are equal, or equal up to rounding."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rewa.linear import LinearProblem, LinearSolution
from rewa.methods import Method, get_method
from rewa.methods.base import MethodConfig, Solver
from rewa.outcome import TrainingResult
from rewa.packs import Training, fit_together
from rewa.training import fit
from rewa.workloads.base import Workload, WorkloadConfig
from rewa.workloads.digits import Digits
from rewa.workloads.sparse_recovery import SparseRecovery
from rewa.workloads.tensors import TensorClassification

CPU = torch.device("cpu")
SPARSE = {"d": 200, "n": 100, "n_val": 50, "n_test": 200, "eval_every": 5}
SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("rewa", {"lr": 0.05, "K": 9, "M": 2, "weight_decay": 1e-3}),
    ("rewa", {"lr": 0.1, "K": 2.6, "M": 1.3, "epsilon": 1e-2, "momentum": 0.0}),
    ("rewa", {"lr": 0.05, "K": 1, "M": 0, "epsilon": 0.5, "momentum": 0.5}),
    ("sgd_l1", {"lr": 0.05, "l1": 1e-3}),
    ("spred", {"lr": 0.2, "weight_decay": 1e-3}),
    ("spred", {"lr": 0.3, "init": "original", "momentum": 0.0}),
    ("magnitude", {"lr": 0.05, "weight_decay": 1e-2}),
    ("random", {"lr": 0.1, "momentum": 0.0}),
    ("rewa_adamw", {"lr": 0.003}),
]
"""Every rule that packs know, at whole and real exponents, with and without momentum; and one they do not."""


class MeanOnly(Solver):
    """Fits the intercept, and no weight."""

    name, summary, Config = "mean_only", "predicts the mean", MethodConfig

    def solve(self, problem: LinearProblem, seed: int) -> LinearSolution:
        return LinearSolution(
            np.zeros(problem.inputs.shape[1]), float(problem.targets.mean()), {"lambda": 1.0}
        )


class Blobs(TensorClassification):
    """Three clusters in eight dimensions, noisy enough that nobody is right always."""

    name, summary, model_name, classes = "blobs", "three clusters", "8-12-3", 3
    shape: ClassVar[tuple[int, ...]] = (8,)

    def load_splits(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        draw = torch.Generator().manual_seed(0)
        centres = torch.randn(3, 8, generator=draw)
        labels = {split: torch.arange(n) % 3 for split, n in (("train", 70), ("val", 60), ("test", 45))}
        return {
            split: ((centres[y] + torch.randn(len(y), 8, generator=draw)).reshape(-1, *self.shape), y)
            for split, y in labels.items()
        }

    def build_network(self) -> nn.Module:
        return nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3))


@functools.cache
def digits(epochs: int = 3) -> Workload:
    return Digits(WorkloadConfig(epochs=epochs), CPU)


@functools.cache
def sparse(epochs: int = 20, **changes: Any) -> Workload:
    return SparseRecovery.from_values({**SPARSE, "epochs": epochs, **changes}, CPU)


def blobs(network: Callable[[], nn.Module] | None = None, kind: type[Blobs] = Blobs, **config: Any) -> Blobs:
    """Return the clusters, with the workload's own network if none is given."""
    if network is not None:
        kind = type("Own", (kind,), {"build_network": lambda self: network()})
    return kind(WorkloadConfig(**{"epochs": 3, "batch_size": 16, **config}), CPU)


def method(name: str, **values: Any) -> Method:
    return get_method(name).from_values(values)


def trainings(settings: Sequence[tuple[str, dict[str, Any]]], seeds: Sequence[int]) -> list[Training]:
    """Return a training per setting, on the seeds in turn."""
    return [Training(method(name, **v), seeds[i % len(seeds)]) for i, (name, v) in enumerate(settings)]


def with_partner(workload: Workload, training: Training) -> TrainingResult:
    """Return the outcome in a pack of two; a linear model alone goes another way, with other rounding."""
    return fit_together(workload, [training, Training(method("magnitude", lr=1e-5), 7)])[0]


def unpacked(workload: Workload, training: Training) -> TrainingResult:
    return fit(workload, training.method, training.seed, checkpoint=training.checkpoint)


def assert_same(one: TrainingResult, other: TrainingResult) -> None:
    """Equal to the bit, but for time and memory."""
    for name in ("status", "reason", "history", "frontier", "findings", "layers"):
        assert getattr(one, name) == getattr(other, name), name
    assert (one.model is None) == (other.model is None)
    if one.model is not None and other.model is not None:
        pairs = zip(one.model.state_dict().items(), other.model.state_dict().values(), strict=True)
        assert [name for (name, a), b in pairs if not torch.equal(a, b)] == []


def assert_close(ours: TrainingResult, fitted: TrainingResult, workload: Workload, rel: float = 1e-5) -> None:
    """Equal up to rounding; an accuracy may differ by a sample, and one weight may change sides."""
    assert (ours.status, ours.reason) == (fitted.status, fitted.reason)
    assert [(e.epoch, e.lr) for e in ours.history] == [(e.epoch, e.lr) for e in fitted.history]
    assert [e.train_loss for e in ours.history] == pytest.approx(
        [e.train_loss for e in fitted.history], rel=rel
    )
    metric = near(workload, "val", rel)
    assert all(metric(a.val_metric, b.val_metric) for a, b in zip(ours.history, fitted.history, strict=True))
    for a, b in zip(ours.frontier, fitted.frontier, strict=True):
        assert (a.split, a.criterion, a.value) == (b.split, b.criterion, b.value)
        left, also = 1 / a.compression, 1 / b.compression
        weights = sum(row.weights for row in fitted.layers)
        assert left == pytest.approx(also, abs=1.001 / weights), a
        same = left == also
        assert near(workload, a.split, rel)(a.metric, b.metric) or not same, (a, b)
    assert ours.findings.keys() == fitted.findings.keys()
    for name, value in fitted.findings.items():
        assert ours.findings[name] == pytest.approx(value, rel=10 * rel, abs=0.0051), name
    for row, other in zip(ours.layers, fitted.layers, strict=True):
        assert (row.layer, row.shape) == (other.layer, other.shape)
        assert row.kept == pytest.approx(other.kept, abs=1)


def near(workload: Workload, split: str, rel: float) -> Callable[[float, float], bool]:
    """Return what says whether two values of a workload's metric are equal up to rounding."""
    if workload.metric.name == "accuracy":
        return lambda a, b: abs(a - b) <= 1.001 / workload.split_sizes[split]
    return lambda a, b: a == pytest.approx(b, rel=rel)
