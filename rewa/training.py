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
from rewa.methods.base import GradientMethod, Method, Solver
from rewa.optim import prunable_weights
from rewa.sparsity.frontier import OperatingPoint, measure_frontier
from rewa.workloads.base import Findings, Workload

COLLAPSE_PATIENCE = 10
COLLAPSE_GRACE = 0.5
"""A training has collapsed when, after this share of its epochs, the validation metric stayed within the
workload's margin of chance at this many evaluations in a row."""


@dataclass(frozen=True)
class Epoch:
    """What is known after one epoch that was evaluated; ``val_metric`` is the workload's metric."""

    epoch: int
    train_loss: float
    val_metric: float
    lr: float


@dataclass(frozen=True)
class TrainingResult:
    """Outcome of one training.

    Attributes:
        status: "completed" or "diverged".
        reason: Why it diverged; empty otherwise.
        frontier: All operating points on "val" and "test"; empty if diverged.
        findings: What the workload measures beside its metric, and what a solver chose; empty if diverged.
        history: One entry per evaluated epoch; empty for a solver.
        seconds: Wall time of training and evaluation.
        model: The trained model with plain weights; ``None`` if diverged.
    """

    status: str
    reason: str
    frontier: list[OperatingPoint]
    findings: Findings
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


def fit(
    workload: Workload,
    method: Method,
    seed: int,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> TrainingResult:
    """Train one model and measure its frontier.

    The seed decides initialisation, data order and whatever the method draws. A loss that is not
    finite, or a validation metric that stays at chance, ends the training early as diverged. A solver fits
    the workload's linear problem instead of taking steps.

    Args:
        workload: Data, model and recipe.
        method: How sparsity is induced, with its config.
        seed: Any non-negative integer.
        on_epoch: Called after every evaluated epoch.

    Raises:
        UserError: If the method is a solver and the workload is no linear problem.
    """
    started = time.perf_counter()
    torch.manual_seed(seed)
    model = workload.build_model()
    history: list[Epoch] = []
    findings: Findings = {}
    if isinstance(method, GradientMethod):
        model, reason = _descend(workload, method, model, seed, history, on_epoch)
    elif isinstance(method, Solver):
        chosen = _solve(workload, method, model, seed)
        findings, reason = ({"solver": dict(chosen)} if chosen else {}), ""
    else:
        raise TypeError(f"{method.name!r} is neither a gradient method nor a solver.")
    if not reason and not all(bool(torch.isfinite(p).all()) for p in model.parameters()):
        reason = "a weight is not finite at the end"
    if reason:
        elapsed = time.perf_counter() - started
        return TrainingResult("diverged", reason, [], {}, history, elapsed, None)
    points = frontier_of(workload, method, model, seed)
    findings = {**workload.findings(model), **findings}
    elapsed = time.perf_counter() - started
    return TrainingResult("completed", "", points, findings, history, elapsed, model)


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


def frontier_of(workload: Workload, method: Method, model: nn.Module, seed: int) -> list[OperatingPoint]:
    """Return the frontier of a trained model with plain weights, on "val" and "test"."""
    scores = method.scores(prunable_weights(model), seed)
    return measure_frontier(
        model,
        lambda pruned: {split: workload.evaluate(pruned, split) for split in ("val", "test")},
        scores,
        workload.ratios,
        workload.thresholds,
    )


def _descend(
    workload: Workload,
    method: GradientMethod,
    model: nn.Module,
    seed: int,
    history: list[Epoch],
    on_epoch: Callable[[Epoch], None] | None,
) -> tuple[nn.Module, str]:
    """Train by gradient steps, adding to the history; return plain weights, and why it diverged if so."""
    order = torch.Generator().manual_seed(seed)
    optimizer = method.prepare(model)
    epochs, every = workload.config.epochs, workload.config.eval_every
    scheduler = LambdaLR(optimizer, workload.schedule)
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
        train_loss = float(summed) / batches
        if not math.isfinite(train_loss):
            return model, f"the training loss became {train_loss} in epoch {number}"
        if number % every and number < epochs:
            continue
        model.eval()
        epoch = Epoch(number, train_loss, workload.evaluate(model, "val"), lr)
        history.append(epoch)
        if on_epoch:
            on_epoch(epoch)
        if _collapsed(history, epochs, workload):
            return model, f"validation {workload.metric.name} stayed at chance until epoch {number}"
    model.eval()
    return method.dense_copy(model), ""


def _solve(workload: Workload, method: Solver, model: nn.Module, seed: int) -> dict[str, float]:
    """Fit the linear problem and write the solution into the model; return what the solver chose."""
    check_pair(type(workload), type(method))
    solution = method.solve(workload.linear_problem(), seed)
    workload.load_solution(model, solution)
    model.eval()
    return solution.chosen


def _collapsed(history: list[Epoch], epochs: int, workload: Workload) -> bool:
    """Return whether the last evaluations all stayed at chance, after the grace period."""
    margin, metric = workload.collapse_margin, workload.metric
    recent = history[-COLLAPSE_PATIENCE:]
    if margin is None or len(recent) < COLLAPSE_PATIENCE or recent[-1].epoch < COLLAPSE_GRACE * epochs:
        return False
    return all(metric.gain(epoch.val_metric, metric.chance) <= margin for epoch in recent)
