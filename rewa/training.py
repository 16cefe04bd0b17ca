"""One training from seed to frontier. Knows workloads, methods and frontiers; no Ray, no MLflow."""

from __future__ import annotations

import itertools
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rewa.checkpoint import CheckpointFile
from rewa.descent import Descent, Epoch, OnStep
from rewa.distributed import of_rank_zero
from rewa.errors import UserError
from rewa.finetuning import FineTuning, finetune
from rewa.methods.base import GradientMethod, Method, Solver
from rewa.optim import prunable_weights
from rewa.precision import autocast
from rewa.sparsity.frontier import OperatingPoint, measure_frontier
from rewa.sparsity.layers import LayerRow, layer_table
from rewa.sparsity.recalibration import has_batch_norm, recalibrate
from rewa.workloads.base import Findings, Workload

COLLAPSE_PATIENCE = 10
COLLAPSE_GRACE = 0.5
"""A training has collapsed when, after this share of its epochs, the validation metric stayed within the
workload's margin of chance at this many evaluations in a row."""


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
        seconds: Wall time of training and evaluation, since the last resumption.
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


def pick_device(name: str) -> torch.device:
    """Return the device of that name; "auto" is the GPU where there is one.

    Raises:
        UserError: If the name is unknown or a GPU is asked for where there is none.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"unknown device {name!r}: choose auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("device 'cuda' was asked for, but torch finds no GPU here; use cpu or auto")
    return torch.device("cuda" if name != "cpu" and available else "cpu")


def fit(
    workload: Workload,
    method: Method,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None = None,
    *,
    watch: Watch | None = None,
    checkpoint: CheckpointFile | None = None,
    finetuning: FineTuning | None = None,
) -> TrainingResult:
    """Train one model and measure its frontier.

    The seed decides initialisation, data order and whatever the method draws; on a CPU, the result to the
    last bit. A loss that is not finite, or a validation metric that stays at chance, ends the training early
    as diverged. A solver fits the workload's linear problem instead of taking steps. In a process group
    (:mod:`rewa.distributed`) every process calls this, and all get the same result.

    Args:
        workload: Data, model and recipe.
        method: How sparsity is induced, with its config.
        seed: Any non-negative integer.
        on_epoch: Called after every evaluated epoch; short for ``watch``.
        watch: Who else is told how it goes.
        checkpoint: Where the state is kept, and taken up from if there is one. The caller removes it.
        finetuning: Also fine-tune pruned models; see :func:`rewa.finetuning.finetune`.

    Raises:
        UserError: If the method is a solver and the workload is no linear problem, or the checkpoint is
            another training's.
    """
    watch = watch or Watch(on_epoch)
    started = time.perf_counter()
    if workload.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    torch.manual_seed(seed)
    model = workload.build_model()
    history: list[Epoch] = []
    findings: Findings = {}
    speed: float | None = None
    watch.phase("training")
    if isinstance(method, GradientMethod):
        optimizer = method.prepare(model)
        descent = Descent(workload, model, optimizer, workload.schedule, workload.total_steps, seed)
        reason = _descend(descent, watch, checkpoint)
        history, speed = descent.history, descent.samples_per_second
        model = model if reason else method.dense_copy(model)
    elif isinstance(method, Solver):
        chosen = _solve(workload, method, model, seed)
        findings, reason = ({"solver": dict(chosen)} if chosen else {}), ""
    else:
        raise TypeError(f"{method.name!r} is neither a gradient method nor a solver.")
    if not reason and not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        reason = "a weight is not finite at the end"
    if reason:
        elapsed = time.perf_counter() - started
        return TrainingResult(
            *("diverged", reason, [], {}, history, elapsed, None),
            samples_per_second=speed,
            peak_memory_bytes=peak_memory(workload.device),
        )
    model.eval()
    watch.phase("frontier")
    scores = method.scores(prunable_weights(model), seed)
    points = frontier_of(workload, model, scores, watch.on_point)
    layers = layer_table(model, workload.headline_ratios, scores)
    with autocast(workload.device, workload.config.precision):
        findings = {**workload.findings(model), **findings}
    if finetuning:
        findings |= finetune(workload, model, scores, finetuning, seed, watch.on_phase, watch.on_step)
    return TrainingResult(
        status="completed",
        reason="",
        frontier=points,
        findings=findings,
        history=history,
        seconds=time.perf_counter() - started,
        model=model,
        layers=layers,
        samples_per_second=speed,
        peak_memory_bytes=peak_memory(workload.device),
    )


def check_pair(workload: type[Workload], method: type[Method]) -> None:
    """Refuse a solver on a workload that is no linear problem.

    Raises:
        UserError: Saying so.
    """
    if issubclass(method, Solver) and not workload.is_linear:
        raise UserError(
            f"method {method.name!r} fits linear models only, and the model of workload "
            f"{workload.name!r} is not linear"
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
    )


def peak_memory(device: torch.device) -> int:
    """Return the largest memory in bytes so far: allocated on the GPU, or this process's resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def _descend(descent: Descent, watch: Watch, checkpoint: CheckpointFile | None) -> str:
    """Train to the end, from a checkpoint if there is one; return why it diverged, empty if it did not."""
    workload = descent.workload
    epochs, every = int(workload.config.epochs), int(workload.config.eval_every)
    if checkpoint and (state := checkpoint.load()) is not None:
        descent.restore(state)
        watch.phase(f"training, taken up after epoch {descent.epoch}")
    while descent.epoch < epochs:
        lr = descent.lr
        train_loss = descent.run_epoch(watch.on_step)
        number = descent.epoch
        if not math.isfinite(train_loss):
            return f"the training loss became {train_loss} in epoch {number}"
        if number % every == 0 or number == epochs:
            epoch = Epoch(number, train_loss, descent.evaluate("val"), lr)
            descent.history.append(epoch)
            if watch.on_epoch:
                watch.on_epoch(epoch)
            if _collapsed(descent.history, workload):
                return f"validation {workload.metric.name} stayed at chance until epoch {number}"
        if checkpoint:
            checkpoint.save_when_due(descent.state, force=number == epochs)
    return ""


def _solve(workload: Workload, method: Solver, model: nn.Module, seed: int) -> dict[str, float]:
    """Fit the linear problem and write the solution into the model; return what the solver chose."""
    check_pair(type(workload), type(method))
    solution = method.solve(workload.linear_problem(), seed)
    workload.load_solution(model, solution)
    return solution.chosen


def _collapsed(history: list[Epoch], workload: Workload) -> bool:
    """Return whether the last evaluations all stayed at chance, after the grace period."""
    margin, metric = workload.collapse_margin, workload.metric
    recent = history[-COLLAPSE_PATIENCE:]
    if (
        margin is None
        or len(recent) < COLLAPSE_PATIENCE
        or recent[-1].epoch < COLLAPSE_GRACE * workload.config.epochs
    ):
        return False
    return all(metric.gain(epoch.val_metric, metric.chance) <= margin for epoch in recent)
