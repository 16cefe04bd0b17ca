"""What a workload is: data splits, a model, a loss, a metric and a training recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from rewa.config import Settings

Batch = tuple[Tensor, Tensor]


class WorkloadConfig(Settings):
    """The recipe every workload has; defaults are overridden per workload."""

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=64, ge=1)
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps, linear from 0")


class Workload(ABC):
    """Base class of the workloads.

    Args:
        config: A validated instance of ``Config``.
        device: Where data and models live.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    model_name: ClassVar[str]
    metric: ClassVar[str] = "accuracy"
    chance: ClassVar[float]
    """Metric of a model that has learnt nothing; at or near it a training counts as collapsed."""
    Config: ClassVar[type[WorkloadConfig]] = WorkloadConfig

    def __init__(self, config: WorkloadConfig, device: torch.device) -> None:
        self.config: Any = config
        self.device = device

    @classmethod
    def from_values(cls, values: Mapping[str, Any], device: torch.device) -> Workload:
        """Build the workload from unvalidated settings.

        Raises:
            UserError: Naming the setting that is wrong.
        """
        return cls(cls.Config.parse(values, f"workload {cls.name!r}"), device)

    @abstractmethod
    def build_model(self) -> nn.Module:
        """Return a freshly initialised model on the device, drawn from torch's global RNG."""

    @property
    @abstractmethod
    def split_sizes(self) -> dict[str, int]:
        """Number of samples in "train", "val" and "test"."""

    @abstractmethod
    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield one epoch of training batches on the device, in an order drawn from the generator."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the scalar training loss of a batch."""

    @abstractmethod
    def evaluate(self, model: nn.Module, split: str) -> float:
        """Return the metric on a split; the model is in evaluation mode."""

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch; the last, partial batch is used."""
        return -(-self.split_sizes["train"] // int(self.config.batch_size))
