"""One training from seed to frontier. Knows workloads, methods and frontiers; no Ray, no MLflow."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import nn

from rewa.checkpoint import CheckpointFile
from rewa.descent import Descent, Epoch
from rewa.errors import UserError
from rewa.finetuning import FineTuning
from rewa.methods.base import GradientMethod, Method, Solver
from rewa.outcome import Costs, TrainingResult, Watch, diverged, measured
from rewa.workloads.base import Findings, Workload

__all__ = ["TrainingResult", "Watch", "after_epoch", "check_pair", "fit", "pick_device"]

COLLAPSE_PATIENCE = 10
COLLAPSE_GRACE = 0.5
"""A training has collapsed when, after this share of its epochs, the validation metric stayed within the
workload's margin of chance at this many evaluations in a row."""


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
    model = fresh_model(workload, seed)
    history: list[Epoch] = []
    findings: Findings = {}
    speed: float | None = None
    reason = ""
    watch.phase("training")
    if isinstance(method, GradientMethod):
        descent = descent_of(workload, method, model, seed)
        reason = _descend(descent, watch, checkpoint)
        history, speed = descent.history, descent.samples_per_second
        model = model if reason else method.dense_copy(model)
    elif isinstance(method, Solver):
        chosen = _solve(workload, method, model, seed)
        findings = {"solver": dict(chosen)} if chosen else {}
    else:
        raise TypeError(f"{method.name!r} is neither a gradient method nor a solver.")
    costs = Costs(time.perf_counter() - started, speed)
    if reason:
        return diverged(workload, reason, history, costs)
    return measured(
        *(workload, method, model, seed, history, costs),
        solver=findings,
        watch=watch,
        finetuning=finetuning,
    )


def fresh_model(workload: Workload, seed: int) -> nn.Module:
    """Return the model that a training with this seed starts from."""
    torch.manual_seed(seed)
    return workload.build_model()


def descent_of(workload: Workload, method: GradientMethod, model: nn.Module, seed: int) -> Descent:
    """Prepare a model for a method, in place, and return its training."""
    optimizer = method.prepare(model)
    return Descent(workload, model, optimizer, workload.schedule, workload.total_steps, seed)


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


def _descend(descent: Descent, watch: Watch, checkpoint: CheckpointFile | None) -> str:
    """Train to the end, from a checkpoint if there is one; return why it diverged, empty if it did not."""
    workload = descent.workload
    epochs = int(workload.config.epochs)
    if checkpoint and (state := checkpoint.load()) is not None:
        descent.restore(state)
        watch.phase(f"training, taken up after epoch {descent.epoch}")
    while descent.epoch < epochs:
        lr = descent.lr
        train_loss = descent.run_epoch(watch.on_step)
        if reason := after_epoch(descent, train_loss, lr, watch.on_epoch):
            return reason
        if checkpoint:
            checkpoint.save_when_due(descent.state, force=descent.epoch == epochs)
    return ""


def after_epoch(
    descent: Descent,
    train_loss: float,
    lr: float,
    on_epoch: Callable[[Epoch], None] | None = None,
    evaluate: Callable[[], float] | None = None,
) -> str:
    """Evaluate after an epoch where that is due, and return why the training ends early, empty if it goes on.

    Args:
        descent: The training; its history grows.
        train_loss: Mean of the epoch's batch losses.
        lr: Learning rate at the epoch's start.
        on_epoch: Told of the evaluated epoch.
        evaluate: Returns the validation metric. Default: the descent's own evaluation.
    """
    workload, number = descent.workload, descent.epoch
    if not math.isfinite(train_loss):
        return f"the training loss became {train_loss} in epoch {number}"
    if is_evaluated(workload, number):
        value = evaluate() if evaluate else descent.evaluate("val")
        epoch = Epoch(number, train_loss, value, lr)
        descent.history.append(epoch)
        if on_epoch:
            on_epoch(epoch)
        if _collapsed(descent.history, workload):
            return f"validation {workload.metric.name} stayed at chance until epoch {number}"
    return ""


def is_evaluated(workload: Workload, epoch: int) -> bool:
    """Return whether the validation metric is taken after an epoch, 1 for the first."""
    return epoch % int(workload.config.eval_every) == 0 or epoch == int(workload.config.epochs)


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
