"""What a workload is: data splits, a model, a loss, a metric and a training recipe."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from rewa.config import Settings
from rewa.linear import LinearProblem, LinearSolution
from rewa.metric import Metric
from rewa.precision import Precision
from rewa.schedules import schedule_sum, warmup_cosine
from rewa.sparsity.frontier import HEADLINE_RATIOS, RATIOS, THRESHOLDS

Batch = tuple[Tensor, Tensor]

Findings = dict[str, float | dict[str, float]]
"""What a workload measures beside its metric: numbers by name, or maps of them."""


class WorkloadConfig(Settings):
    """The recipe every workload has; defaults are overridden per workload."""

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=64, ge=1)
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps, linear from 0")
    eval_every: int = Field(default=1, ge=1, description="epochs between evaluations on validation")
    precision: Precision = Field(default="fp32", description="of the forward pass; weights stay float32")

    machine: ClassVar[frozenset[str]] = frozenset()
    """Settings that say where data are and how they are read, not what is trained: runs that differ only in
    these are runs of one setting."""


class Workload(ABC):
    """Base class of the workloads.

    Args:
        config: A validated instance of ``Config``.
        device: Where data and models live.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    model_name: ClassVar[str]
    collapse_margin: ClassVar[float | None] = 0.05
    """A training counts as collapsed while its metric is no better than chance plus this; ``None``: never."""
    method_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Per method, settings for ``rewa train`` where the command line gives none."""
    default_seed: ClassVar[int] = 0
    """Seed of ``rewa train`` where the command line gives none."""
    shares_batches: ClassVar[bool] = False
    """Whether :meth:`batches` yields only this process's share when several processes train one model (items
    r, r + w, r + 2w, ... of every batch for process r of w); otherwise the training loop takes the share."""
    is_linear: ClassVar[bool] = False
    """Whether :meth:`linear_problem` gives one, so that solvers can be used."""
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

    @classmethod
    @abstractmethod
    def metric_for(cls, config: Any) -> Metric:
        """Return the metric under a config, without loading any data."""

    @classmethod
    def ratios_for(cls, config: Any) -> tuple[float, ...]:
        """Return the target compressions of the frontier under a config; they include 1."""
        return RATIOS

    @classmethod
    def label_for(cls, config: Any) -> str:
        """Return the name under which runs by hand are kept; variants that must not be mixed differ in it."""
        return cls.name

    @property
    def label(self) -> str:
        """Name under which runs by hand are kept."""
        return self.label_for(self.config)

    @property
    def metric(self) -> Metric:
        """What the models are judged by."""
        return self.metric_for(self.config)

    @property
    def ratios(self) -> tuple[float, ...]:
        """Target compressions of the frontier."""
        return self.ratios_for(self.config)

    @property
    def headline_ratios(self) -> tuple[float, ...]:
        """Compressions that the report asks about."""
        return HEADLINE_RATIOS

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Absolute thresholds of the frontier."""
        return THRESHOLDS

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

    def evaluate_each(self, models: Iterable[nn.Module], splits: Sequence[str]) -> list[dict[str, float]]:
        """Return the metric on several splits for models that follow one another in the same module.

        Default: :meth:`evaluate`, one by one; for models that are faster evaluated together.
        """
        return [{split: self.evaluate(model, split) for split in splits} for model in models]

    def calibration_batches(self) -> Iterator[Tensor] | None:
        """Return inputs from the training split to recompute batch-norm statistics on, always the same.

        Default: ``None``, for models without batch norm; the frontier then has no recalibrated points.
        """
        return None

    def description(self) -> dict[str, Any]:
        """Return what a result says of the workload beside its settings, such as the loader of the data."""
        return {}

    def findings(self, model: nn.Module) -> Findings:
        """Return what else is worth knowing of a trained model, by name; a map for several of a kind.

        It stands in ``result.json`` under these names. Default: nothing.
        """
        return {}

    def linear_problem(self) -> LinearProblem:
        """Return the training data as a linear problem.

        Raises:
            NotImplementedError: If the model is not linear (``is_linear`` says so).
        """
        raise NotImplementedError(f"workload {self.name!r} is no linear problem.")

    def load_solution(self, model: nn.Module, solution: LinearSolution) -> None:
        """Write a solver's weights and intercept into a model, in place.

        Raises:
            NotImplementedError: If the model is not linear.
        """
        raise NotImplementedError(f"workload {self.name!r} is no linear problem.")

    def schedule(self, step: int) -> float:
        """Return the learning-rate factor of a step, 0 for the first. Default: warm-up and cosine."""
        return warmup_cosine(step, self.total_steps, self.config.warmup)

    @property
    def schedule_sum(self) -> float:
        """Sum of the learning-rate factors over all steps."""
        return schedule_sum(self.schedule, self.total_steps)

    @property
    def total_steps(self) -> int:
        """Optimizer steps in a whole training."""
        return int(self.config.epochs) * self.steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch; the last, partial batch is used."""
        return -(-self.split_sizes["train"] // int(self.config.batch_size))
