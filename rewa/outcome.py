"""What a training comes to: its frontier and everything measured beside it."""

from __future__ import annotations

import itertools
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rewa.descent import Epoch, OnStep
from rewa.distributed import of_rank_zero
from rewa.finetuning import FineTuning, finetune
from rewa.methods.base import Method
from rewa.optim import prunable_weights
from rewa.precision import autocast
from rewa.sparsity.frontier import OperatingPoint, measure_frontier
from rewa.sparsity.layers import LayerRow, layer_table
from rewa.sparsity.recalibration import has_batch_norm, recalibrate
from rewa.workloads.base import Findings, Workload


@dataclass(frozen=True)
class Watch:
    """Who is told how a training goes; each may be ``None``.

    Attributes:
        on_epoch: Called after every evaluated epoch.
        on_step: Called after every step with the numbers of steps done and of all.
        on_phase: Called with what begins: "training", "frontier", "fine-tuning at 100x".
        on_point: Called before every evaluation of the frontier with its number and the most there can be.
    """

    on_epoch: Callable[[Epoch], None] | None = None
    on_step: OnStep | None = None
    on_phase: Callable[[str], None] | None = None
    on_point: OnStep | None = None

    def phase(self, name: str) -> None:
        """Tell what begins."""
        if self.on_phase:
            self.on_phase(name)


@dataclass(frozen=True)
class TrainingResult:
    """Outcome of one training.

    Attributes:
        status: "completed" or "diverged".
        reason: Why it diverged; empty otherwise.
        frontier: All operating points on "val" and "test"; empty if diverged.
        findings: What the workload measures beside its metric, and what a solver chose; empty if diverged.
        history: One entry per evaluated epoch; empty for a solver.
        seconds: Wall time of training and evaluation, since the last resumption; of a training in a pack, its
            share of the time that they were trained together.
        model: The trained model with plain weights; ``None`` if diverged.
        layers: What is kept of every layer at the headline compressions; empty if diverged.
        samples_per_second: Training throughput without evaluation; ``None`` for a solver.
        peak_memory_bytes: Largest memory of this process so far: of the GPU if there is one, else resident.
    """

    status: str
    reason: str
    frontier: list[OperatingPoint]
    findings: Findings
    history: list[Epoch]
    seconds: float
    model: nn.Module | None = field(repr=False)
    layers: list[LayerRow] = field(default_factory=list)
    samples_per_second: float | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True)
class Costs:
    """What a training took before its frontier was measured; see :class:`TrainingResult`."""

    seconds: float
    samples_per_second: float | None


def diverged(workload: Workload, reason: str, history: list[Epoch], costs: Costs) -> TrainingResult:
    """Return the outcome of a training that ended early."""
    return TrainingResult(
        *("diverged", reason, [], {}, history, costs.seconds, None),
        samples_per_second=costs.samples_per_second,
        peak_memory_bytes=peak_memory(workload.device),
    )


def measured(
    workload: Workload,
    method: Method,
    model: nn.Module,
    seed: int,
    history: list[Epoch],
    costs: Costs,
    *,
    solver: Findings | None = None,
    watch: Watch | None = None,
    finetuning: FineTuning | None = None,
) -> TrainingResult:
    """Measure the frontier and all else of a trained model with plain weights, if its weights are finite.

    Args:
        workload: Evaluates the model.
        method: Ranks its weights.
        model: In plain weights; left as it is, in evaluation mode.
        seed: The training's.
        history: Of the training.
        costs: What it took so far.
        solver: What a solver chose by itself.
        watch: Who is told.
        finetuning: Also fine-tune pruned models.
    """
    started, watch = time.perf_counter(), watch or Watch()
    if not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        return diverged(workload, "a weight is not finite at the end", history, costs)
    model.eval()
    watch.phase("frontier")
    scores = method.scores(prunable_weights(model), seed)
    points = frontier_of(workload, model, scores, watch.on_point)
    layers = layer_table(model, workload.headline_ratios, scores)
    with autocast(workload.device, workload.config.precision):
        findings = {**workload.findings(model), **(solver or {})}
    if finetuning:
        findings |= finetune(workload, model, scores, finetuning, seed, watch.on_phase, watch.on_step)
    return TrainingResult(
        status="completed",
        reason="",
        frontier=points,
        findings=findings,
        history=history,
        seconds=costs.seconds + time.perf_counter() - started,
        model=model,
        layers=layers,
        samples_per_second=costs.samples_per_second,
        peak_memory_bytes=peak_memory(workload.device),
    )


def frontier_of(
    workload: Workload, model: nn.Module, scores: Mapping[str, Tensor], on_point: OnStep | None = None
) -> list[OperatingPoint]:
    """Return the frontier of a trained model with plain weights, on "val" and "test".

    Where the model has batch norm, every point is measured again with statistics recomputed after pruning.

    Args:
        workload: Evaluates pruned models.
        model: Restored before returning.
        scores: Ranking of its prunable weights; larger is kept longer.
        on_point: See :class:`Watch`.
    """
    calibrated = has_batch_norm(model) and workload.calibration_batches() is not None
    total = (len(workload.ratios) + len(workload.thresholds)) * (2 if calibrated else 1)
    done = itertools.count(1)

    def evaluate(pruned: nn.Module) -> dict[str, float]:
        if on_point:
            on_point(next(done), total)
        with autocast(workload.device, workload.config.precision):
            return {split: of_rank_zero(workload.evaluate(pruned, split)) for split in ("val", "test")}

    def evaluate_each(models: Iterator[nn.Module]) -> list[dict[str, float]]:
        def counted() -> Iterator[nn.Module]:
            for pruned in models:
                if on_point:
                    on_point(next(done), total)
                yield pruned

        with autocast(workload.device, workload.config.precision):
            found = workload.evaluate_each(counted(), ("val", "test"))
        return [{split: of_rank_zero(value) for split, value in values.items()} for values in found]

    def renew_statistics(pruned: nn.Module) -> None:
        with autocast(workload.device, workload.config.precision):
            recalibrate(pruned, workload.calibration_batches() or iter(()))

    return measure_frontier(
        model,
        evaluate,
        scores,
        workload.ratios,
        workload.thresholds,
        recalibrate=renew_statistics if calibrated else None,
        evaluate_each=evaluate_each,
    )


def peak_memory(device: torch.device) -> int:
    """Return the largest memory in bytes so far: allocated on the GPU, or this process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024
