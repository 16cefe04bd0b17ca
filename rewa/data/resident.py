"""Data that fits on the device: whole tensors there, batches by index, no workers and no copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from rewa.data.batching import to_device


@dataclass(frozen=True)
class ResidentSplit:
    """Inputs and targets of one split, on one device.

    Attributes:
        inputs: Shape (n, ...).
        targets: Shape (n,), int64 for classification.
    """

    inputs: Tensor
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def batches(self, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield shuffled batches; the order depends on the generator only, the last may be smaller."""
        order = to_device(torch.randperm(len(self), generator=generator), self.targets.device)
        for index in torch.split(order, batch_size):
            yield self.inputs[index], self.targets[index]
