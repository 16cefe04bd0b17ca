"""The training loop. Knows workloads, methods and frontiers; no Ray, no MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from rewa.errors import UserError
from rewa.methods.base import Method
from rewa.optim import prunable_weights
from rewa.sparsity.frontier import OperatingPoint, measure_frontier
from rewa.workloads.base import Workload

COLLAPSE_MARGIN = 0.05
COLLAPSE_PATIENCE = 10
COLLAPSE_GRACE = 0.5
"""A training has collapsed when, after this share of its epochs, the validation metric stayed within
the margin of chance for this many epochs in a row."""


@dataclass(frozen=True)
class Epoch:
    """What is known after one epoch; ``val_accuracy`` is the workload's metric."""

    epoch: int
    train_loss: float
    val_accuracy: float
    lr: float


@dataclass(frozen=True)
class TrainingResult:
    """Outcome of one training.

    Attributes:
        status: "completed" or "diverged".
        reason: Why it diverged; empty otherwise.
        frontier: All operating points on "val" and "test"; empty if diverged.
        history: One entry per finished epoch.
        seconds: Wall time of training and evaluation.
        model: The trained model with plain weights; ``None`` if diverged.
    """

    status: str
    reason: str
    frontier: list[OperatingPoint]
    history: list[Epoch]
    seconds: float
    model: nn.Module | None = field(repr=False)


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


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """Return the learning-rate factor of a step: linear warm-up, then cosine to zero.

    Args:
        step: 0 for the first step.
        total: Number of steps.
        warmup: Share of the steps that warm up.
    """
    ramp = round(warmup * total)
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1.0 + math.cos(math.pi * (step - ramp) / max(1, total - ramp)))


def schedule_sum(total: int, warmup: float) -> float:
    """Return the sum of the schedule's factors over all steps (sum of gamma_t = lr times this)."""
    return math.fsum(warmup_cosine(step, total, warmup) for step in range(total))


def fit(
    workload: Workload,
    method: Method,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train one model and measure its frontier.

    The seed decides initialisation, data order and whatever the method draws. A loss that is not
    finite, or a validation metric that stays at chance, ends the training early as diverged.

    Args:
        workload: Data, model and recipe.
        method: How sparsity is induced, with its config.
        seed: Any non-negative integer.
        on_epoch: Called after every epoch.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    order = torch.Generator().manual_seed(seed)
    model = workload.build_model()
    optimizer = method.prepare(model)
    epochs = workload.config.epochs
    total, warmup = epochs * workload.steps_per_epoch, workload.config.warmup
    scheduler = LambdaLR(optimizer, lambda step: warmup_cosine(step, total, warmup))
    history: list[Epoch] = []

    def result(reason: str, trained: nn.Module | None, points: list[OperatingPoint]) -> TrainingResult:
        status = "diverged" if reason else "completed"
        elapsed = time.perf_counter() - started
        return TrainingResult(status, reason, points, history, elapsed, trained)

    for number in range(1, epochs + 1):
        lr = float(scheduler.get_last_lr()[0])
        model.train()
        summed = torch.zeros((), device=workload.device)
        batches = 0
        for batch in workload.batches(order):
            optimizer.zero_grad(set_to_none=True)
            loss = workload.loss(model, batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            scheduler.step()
            summed += loss.detach()
            batches += 1
        model.eval()
        epoch = Epoch(number, float(summed) / batches, workload.evaluate(model, "val"), lr)
        if not math.isfinite(epoch.train_loss):
            return result(f"the training loss became {epoch.train_loss} in epoch {number}", None, [])
        history.append(epoch)
        if on_epoch:
            on_epoch(epoch)
        if _collapsed(history, epochs, workload.chance):
            reason = f"validation {workload.metric} stayed at chance until epoch {number}"
            return result(reason, None, [])

    dense = method.dense_copy(model)
    if not all(bool(torch.isfinite(p).all()) for p in dense.parameters()):
        return result("a weight is not finite after the last epoch", None, [])
    scores = method.scores(prunable_weights(dense), seed)
    points = measure_frontier(
        dense, lambda m: {split: workload.evaluate(m, split) for split in ("val", "test")}, scores
    )
    return result("", dense, points)


def _collapsed(history: list[Epoch], epochs: int, chance: float) -> bool:
    """Return whether the last epochs all stayed at chance, after the grace period."""
    recent = history[-COLLAPSE_PATIENCE:]
    return (
        len(history) >= max(COLLAPSE_PATIENCE, COLLAPSE_GRACE * epochs)
        and max(e.val_accuracy for e in recent) <= chance + COLLAPSE_MARGIN
    )
