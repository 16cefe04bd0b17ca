"""Classification of tensors that fit on the device: the shortest way to a workload of one's own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rewa.data.resident import ResidentSplit
from rewa.metric import Metric
from rewa.workloads.base import Batch, Workload, WorkloadConfig

EVAL_BATCH = 8192
"""Samples evaluated at once."""


class TensorClassification(Workload):
    """A network judged by top-1 accuracy on inputs and labels held on the device.

    Subclasses set ``name``, ``summary``, ``model_name`` and ``classes``, and give :meth:`load_splits` and
    :meth:`build_network`.
    """

    classes: ClassVar[int]
    """Number of classes."""

    def __init__(self, config: WorkloadConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.splits = {
            name: ResidentSplit(inputs.to(device), targets.to(device))
            for name, (inputs, targets) in self.load_splits().items()
        }

    @abstractmethod
    def load_splits(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Return inputs (n, ...) and int64 labels (n,) of "train", "val" and "test", always the same."""

    @abstractmethod
    def build_network(self) -> nn.Module:
        """Return a freshly initialised network, drawn from torch's global RNG; it maps inputs to logits."""

    @classmethod
    def metric_for(cls, config: Any) -> Metric:
        """Return top-1 accuracy; guessing gets one in ``classes`` right."""
        return Metric("accuracy", "max", chance=1 / cls.classes, ideal=1.0)

    def build_model(self) -> nn.Module:
        """Return the network on the device."""
        return self.build_network().to(self.device)

    @property
    def split_sizes(self) -> dict[str, int]:
        """Number of samples per split."""
        return {name: len(split) for name, split in self.splits.items()}

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield one shuffled epoch."""
        return self.splits["train"].batches(self.config.batch_size, generator)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross-entropy."""
        inputs, targets = batch
        return cross_entropy(model(inputs), targets)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, split: str) -> float:
        """Return top-1 accuracy as a fraction."""
        data = self.splits[split]
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        for begin in range(0, len(data), EVAL_BATCH):
            part = slice(begin, begin + EVAL_BATCH)
            correct += (model(data.inputs[part]).argmax(dim=1) == data.targets[part]).sum()
        return int(correct) / len(data)
