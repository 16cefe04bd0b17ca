"""Handwritten digits (scikit-learn's bundled set) with LeNet-300-100."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from rewa.workloads.tensors import TensorClassification

SPLIT_SEED = 0
"""The split is part of the workload: it never changes with a trial's seed."""


class Digits(TensorClassification):
    """1,797 real 8x8 images in ten classes, split 60 / 20 / 20, stratified.

    Inputs are standardised per pixel with the training split's mean and deviation. The network is
    LeNet-300-100 (64-300-100-10): 50,200 prunable weights, 50,610 parameters.
    """

    name = "digits"
    summary = "scikit-learn's handwritten digits (1,797 images), LeNet-300-100"
    model_name = "LeNet-300-100"
    classes = 10

    def load_splits(self) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Return the standardised images, (n, 64), and their labels."""
        images, labels = load_digits(return_X_y=True)
        rest, test = train_test_split(
            np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=SPLIT_SEED
        )
        train, val = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=SPLIT_SEED)
        mean, std = images[train].mean(axis=0), images[train].std(axis=0)
        inputs = (images - mean) / np.where(std > 0, std, 1.0)
        return {
            name: (
                torch.tensor(inputs[index], dtype=torch.float32),
                torch.tensor(labels[index], dtype=torch.int64),
            )
            for name, index in {"train": train, "val": val, "test": test}.items()
        }

    def build_network(self) -> nn.Module:
        """Return LeNet-300-100 with PyTorch's default initialisation."""
        return nn.Sequential(
            nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 100), nn.ReLU(), nn.Linear(100, 10)
        )
