"""Sparse recovery: the paper's synthetic study (Section 4.1, Appendix D.1), and what lies around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from math import log
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, mse_loss

from rewa.data.resident import ResidentSplit
from rewa.data.synthetic import (
    Design,
    Signs,
    bayes_log_loss,
    covariance,
    draw_design,
    draw_targets,
    sparse_truth,
)
from rewa.linear import LinearLoss, LinearProblem, LinearSolution
from rewa.metric import Metric
from rewa.sparsity.frontier import RATIOS
from rewa.workloads.base import Batch, Findings, Workload, WorkloadConfig

PAPER_THRESHOLDS = (1e-7, 5e-7, 1e-6, 5e-6, 1e-5, 1e-4, 1e-3)
"""Thresholds on |x| at which the paper counts sparsity on synthetic data."""

LARGE_RATIOS = (2000, 5000, 10000)

FEW = 64
"""Where at most one weight in so many is left, reading their columns alone beats a pass over all inputs."""


class SparseRecoveryConfig(WorkloadConfig):
    """The defaults are the paper's: one non-zero entry of 10,000, 2,000 samples, unit noise."""

    epochs: int = Field(default=800, ge=1)
    batch_size: int = Field(default=25, ge=1)
    warmup: float = Field(default=0.0, ge=0, lt=1, description="share of the steps, linear from 0")
    eval_every: int = Field(default=20, ge=1, description="epochs between evaluations on validation")
    loss: LinearLoss = Field(default="squared", description="squared or logistic")
    d: int = Field(default=10_000, ge=1, description="features")
    n: int = Field(default=2_000, ge=2, description="training samples")
    n_val: int = Field(default=4_000, ge=1, description="validation samples")
    n_test: int = Field(default=4_000, ge=1, description="test samples")
    k: int = Field(default=1, ge=1, le=5000, description="non-zero entries of the truth, the first ones")
    amplitude: float = Field(default=1.0, gt=0, description="their size")
    signs: Signs = Field(default="positive", description="positive, or random")
    noise: float = Field(default=1.0, ge=0, description="of the targets: standard deviation, logistic: scale")
    design: Design = Field(default="independent", description="independent, toeplitz or equicorrelated")
    correlation: float = Field(default=0.0, ge=0, lt=1, description="of the design's features")
    data_seed: int = Field(default=9913, ge=0, description="the data do not change with a trial's seed")
    support_threshold: float = Field(default=1e-3, ge=0, description="|x| above it is in the support")

    @model_validator(mode="after")
    def _consistent(self) -> SparseRecoveryConfig:
        if self.k > self.d:
            raise ValueError(f"k = {self.k} non-zero entries do not fit into d = {self.d} features")
        if self.loss == "logistic" and self.noise == 0:
            raise ValueError("noise = 0: the logistic variant needs noise > 0")
        if self.correlation and self.design == "independent":
            raise ValueError(
                f"correlation = {self.correlation:g} has no meaning with design = 'independent'; "
                "use design toeplitz or equicorrelated"
            )
        return self


class SparseRecovery(Workload):
    """Recover a sparse v from y = Xv + noise with a linear model, or from classes drawn by logistic noise.

    Training, validation and test rows are independent draws of one distribution. The model is a linear
    layer with bias and PyTorch's default initialisation, uniform in (-1/sqrt(d), 1/sqrt(d)); the d weights
    are prunable, the bias is not.
    """

    name = "sparse_recovery"
    summary = "sparse linear regression, one of 10,000 weights is non-zero (the paper's synthetic study)"
    model_name = "linear"
    collapse_margin = None
    default_seed = 9913  # the authors'; from most others w_1 starts where ReWA cannot recover it (see README)
    is_linear = True
    Config = SparseRecoveryConfig
    method_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # The paper's; its script decays y by 5e-5 per step outside the learning rate: lambda = 5e-5 / 2e-4.
        # They are for the squared loss; the logistic loss has smaller gradients and wants smaller penalties.
        "rewa": {"lr": 2e-4, "K": 9, "M": 4, "epsilon": 0.0, "weight_decay": 0.25, "momentum": 0.0},
        # Equivalent penalties: M = 1, epsilon = 0 would be l1 with coefficient lambda.
        "sgd_l1": {"lr": 2e-4, "l1": 0.25, "momentum": 0.0},
        "spred": {"lr": 2e-4, "weight_decay": 0.25, "momentum": 0.0},
        "magnitude": {"lr": 2e-4, "weight_decay": 0.0, "momentum": 0.0},
        "random": {"lr": 2e-4, "weight_decay": 0.0, "momentum": 0.0},
    }

    def __init__(self, config: WorkloadConfig, device: torch.device) -> None:
        super().__init__(config, device)
        c = self.config
        self.truth = sparse_truth(c.d, c.k, c.amplitude, c.signs, c.data_seed)
        sizes = {"train": c.n, "val": c.n_val, "test": c.n_test}
        self.splits = {
            split: self._draw(size, stream) for stream, (split, size) in enumerate(sizes.items(), start=1)
        }

    def _draw(self, size: int, stream: int) -> ResidentSplit:
        """Draw one split from its own stream, so that no split depends on another's size."""
        c = self.config
        generator = np.random.default_rng([c.data_seed, stream])
        inputs = draw_design(size, c.d, c.design, c.correlation, generator)
        scores = inputs[:, : c.k].astype(np.float64) @ self.truth[: c.k]
        targets = draw_targets(scores, c.noise, c.loss, generator)
        return ResidentSplit(
            torch.from_numpy(inputs).to(self.device),
            torch.from_numpy(targets.astype(np.float32)).to(self.device),
        )

    @classmethod
    def metric_for(cls, config: SparseRecoveryConfig) -> Metric:
        """Return the mean squared error (ideal: the noise's variance) or the log loss (ideal: Bayes')."""
        head = sparse_truth(config.k, config.k, config.amplitude, config.signs, config.data_seed)
        signal = float(head @ covariance(config.k, config.design, config.correlation) @ head)
        if config.loss == "squared":
            return Metric("mse", "min", chance=signal + config.noise**2, ideal=config.noise**2)
        return Metric("log_loss", "min", chance=log(2), ideal=bayes_log_loss(signal**0.5 / config.noise))

    @classmethod
    def ratios_for(cls, config: SparseRecoveryConfig) -> tuple[float, ...]:
        """Return the usual targets up to d, and the one that keeps as many weights as the truth has."""
        usual = [ratio for ratio in (*RATIOS, *LARGE_RATIOS) if ratio <= config.d]
        return tuple(sorted({*map(float, usual), float(config.d // config.k)}))

    @property
    def headline_ratios(self) -> tuple[float, ...]:
        """Powers of ten, and the compression of the truth."""
        c = self.config
        powers = [ratio for ratio in (10, 100, 1000, 10000) if ratio <= c.d]
        return tuple(sorted({*powers, c.d // c.k}))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """The paper's seven."""
        return PAPER_THRESHOLDS

    def build_model(self) -> nn.Module:
        """Return the linear model with PyTorch's default initialisation."""
        return nn.Linear(self.config.d, 1).to(self.device)

    @property
    def split_sizes(self) -> dict[str, int]:
        """Number of samples per split."""
        return {name: len(split) for name, split in self.splits.items()}

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield one shuffled epoch."""
        return self.splits["train"].batches(self.config.batch_size, generator)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean squared error (without a half, as PyTorch's) or the mean log loss."""
        inputs, targets = batch
        return self._loss(model(inputs).squeeze(1), targets)

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        if self.config.loss == "squared":
            return mse_loss(outputs, targets)
        return binary_cross_entropy_with_logits(outputs, targets)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, split: str) -> float:
        """Return the metric: the same as the training loss, over the whole split."""
        data = self.splits[split]
        return float(self._loss(_outputs(model, data.inputs), data.targets))

    @torch.no_grad()
    def evaluate_each(self, models: Iterable[nn.Module], splits: Sequence[str]) -> list[dict[str, float]]:
        """Return the metric on several splits, from one product of all models' weights and each split."""
        if type(self).evaluate is not SparseRecovery.evaluate:
            return super().evaluate_each(models, splits)
        layers = [(_linear(model).weight[0].clone(), _linear(model).bias.clone()) for model in models]
        weights = torch.stack([weight for weight, _ in layers])
        biases = torch.cat([bias for _, bias in layers])
        found: list[dict[str, float]] = [{} for _ in layers]
        for split in splits:
            data = self.splits[split]
            outputs = torch.addmm(biases, data.inputs, weights.T)
            for values, column in zip(found, outputs.unbind(1), strict=True):
                values[split] = float(self._loss(column, data.targets))
        return found

    def findings(self, model: nn.Module) -> Findings:
        """Return how well the truth was recovered, unpruned.

        ``test_mse`` (or ``test_log_loss`` and ``test_accuracy``); ``support_precision``, ``support_recall``,
        ``support_f1`` and ``support_size`` of the weights above ``support_threshold``; ``estimation_error``,
        the Euclidean distance to the true weights (in the logistic variant to v / noise, its logits); and
        ``sparsity``, the share of weights of size at or below each of the paper's thresholds.
        """
        weight = _linear(model).weight.detach().double().flatten().cpu().numpy()
        found: dict[str, float | dict[str, float]] = {
            f"test_{self.metric.name}": self.evaluate(model, "test")
        }
        if self.config.loss == "logistic":
            found["test_accuracy"] = self._accuracy(model)
        found.update(support_scores(weight, self.truth, self.config.support_threshold))
        found["estimation_error"] = float(np.linalg.norm(weight - self.target_weights))
        found["sparsity"] = {f"{t:g}": float((np.abs(weight) <= t).mean()) for t in PAPER_THRESHOLDS}
        return found

    @torch.no_grad()
    def _accuracy(self, model: nn.Module) -> float:
        data = self.splits["test"]
        return float(((_outputs(model, data.inputs) > 0) == (data.targets > 0.5)).double().mean())

    @property
    def target_weights(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The weights of the best linear model: v, or v / noise for the logistic variant."""
        return self.truth if self.config.loss == "squared" else self.truth / self.config.noise

    @cached_property
    def _problem(self) -> LinearProblem:
        data = self.splits["train"]
        targets = data.targets.double().cpu().numpy()
        return LinearProblem(
            np.asfortranarray(data.inputs.cpu().numpy(), dtype=np.float64),
            targets if self.config.loss == "squared" else 2.0 * targets - 1.0,
            self.config.loss,
        )

    def linear_problem(self) -> LinearProblem:
        """Return the training split for solvers."""
        return self._problem

    @torch.no_grad()
    def load_solution(self, model: nn.Module, solution: LinearSolution) -> None:
        """Write a solver's weights and intercept into the model."""
        layer = _linear(model)
        layer.weight.copy_(torch.from_numpy(solution.weights).view_as(layer.weight))
        layer.bias.fill_(solution.intercept)


def support_scores(
    weight: np.ndarray[Any, Any], truth: np.ndarray[Any, Any], threshold: float
) -> dict[str, float]:
    """Compare the support of an estimate with the truth's; an empty support has precision 0.

    Args:
        weight: Estimate, shape (d,).
        truth: Shape (d,).
        threshold: An entry is in the estimate's support if its size is above this.
    """
    found, wanted = np.abs(weight) > threshold, truth != 0
    hits, size = int((found & wanted).sum()), int(found.sum())
    precision, recall = hits / max(size, 1), hits / int(wanted.sum())
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return {
        "support_precision": precision,
        "support_recall": recall,
        "support_f1": f1,
        "support_size": float(size),
    }


def _outputs(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the predictions, shape (n,); of a model with few weights from their columns alone."""
    if isinstance(model, nn.Linear):
        weight = model.weight[0]
        kept = weight.nonzero().squeeze(1)
        if len(kept) * FEW <= len(weight):
            return inputs.index_select(1, kept) @ weight[kept] + model.bias
    outputs: Tensor = model(inputs).squeeze(1)
    return outputs


def _linear(model: nn.Module) -> nn.Linear:
    assert isinstance(model, nn.Linear)
    return model
