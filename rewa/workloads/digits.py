"""Handwritten digits (scikit-learn's bundled set) with LeNet-300-100."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rewa.data.resident import ResidentSplit
from rewa.metric import Metric
from rewa.workloads.base import Batch, Workload, WorkloadConfig

SPLIT_SEED = 0
"""The split is part of the workload: it never changes with a trial's seed."""


class Digits(Workload):
    """1,797 real 8x8 images in ten classes, split 60 / 20 / 20, stratified.

    Inputs are standardised per pixel with the training split's mean and deviation. The network is
    LeNet-300-100 (64-300-100-10): 50,200 prunable weights, 50,610 parameters.
    """

    name = "digits"
    summary = "scikit-learn's handwritten digits (1,797 images), LeNet-300-100"
    model_name = "LeNet-300-100"

    def __init__(self, config: WorkloadConfig, device: torch.device) -> None:
        super().__init__(config, device)
        images, labels = load_digits(return_X_y=True)
        rest, test = train_test_split(
            np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=SPLIT_SEED
        )
        train, val = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=SPLIT_SEED)
        mean, std = images[train].mean(axis=0), images[train].std(axis=0)
        inputs = (images - mean) / np.where(std > 0, std, 1.0)
        self.splits = {
            name: ResidentSplit(
                torch.tensor(inputs[index], dtype=torch.float32, device=device),
                torch.tensor(labels[index], dtype=torch.int64, device=device),
            )
            for name, index in {"train": train, "val": val, "test": test}.items()
        }

    @classmethod
    def metric_for(cls, config: WorkloadConfig) -> Metric:
        """Return top-1 accuracy over ten classes."""
        return Metric("accuracy", "max", chance=0.1, ideal=1.0)

    def build_model(self) -> nn.Module:
        """Return LeNet-300-100 with PyTorch's default initialisation."""
        return nn.Sequential(
            nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
        ).to(self.device)

    @property
    def split_sizes(self) -> dict[str, int]:
        """Number of images per split."""
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
        correct = model(data.inputs).argmax(dim=1) == data.targets
        return int(correct.sum()) / len(data)
