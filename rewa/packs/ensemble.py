"""Several trainings of one workload that take their steps together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from rewa.descent import Descent
from rewa.workloads.base import Workload


class Ensemble(ABC):
    """Advances descents by whole epochs; they are known by their numbers, the rows.

    A row does what its descent would have done alone, up to rounding: the same batches in the same order, the
    same schedule. Rows may stand at different epochs, and leave at any.

    Args:
        descents: All of one workload, and each one that :meth:`takes`.
    """

    def __init__(self, descents: Sequence[Descent]) -> None:
        self.descents = list(descents)
        self.workload: Any = descents[0].workload

    @staticmethod
    @abstractmethod
    def suits(workload: Workload) -> bool:
        """Return whether trainings of a workload can be taken."""

    @staticmethod
    @abstractmethod
    def takes(descent: Descent) -> bool:
        """Return whether a training of a workload that suits is one that can be taken."""

    @abstractmethod
    def run_epoch(self, rows: Sequence[int]) -> list[float]:
        """Train rows for one epoch and return each one's mean training loss, not finite if it diverged."""

    @abstractmethod
    def evaluate(self, rows: Sequence[int]) -> list[float]:
        """Return the validation metric of rows."""

    @abstractmethod
    def store(self, row: int) -> None:
        """Make a descent's model and optimizer what was trained here."""

    def state(self, row: int) -> dict[str, Any]:
        """Return the state of a row, such as its descent alone would have."""
        self.store(row)
        own: dict[str, Any] = _cloned(self.descents[row].state())
        return own

    def close(self) -> None:  # noqa: B027 (most hold nothing)
        """Give back what is held beside memory; the ensemble is not used after."""


def _cloned(value: Any) -> Any:
    """Return a copy in which no tensor is a view, since torch would save all that it is a view of."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _cloned(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cloned(item) for item in value)
    return value


def epoch_order(descent: Descent, samples: int) -> Tensor:
    """Draw the order of a descent's next epoch, as :class:`rewa.data.resident.ResidentSplit` does."""
    return torch.randperm(samples, generator=descent.order)
