"""Training by gradient steps, an epoch at a time, with a state that can be saved and taken up again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from rewa.compilation import compiled
from rewa.distributed import (
    gathered,
    of_rank_zero,
    parallel,
    rank,
    share_buffers,
    sum_over_ranks,
    world_size,
)
from rewa.precision import autocast, grad_scaler
from rewa.workloads.base import Batch, Workload

CHECK_EVERY = 200
"""Steps between looks at whether the loss is still finite; each look waits for the device."""

OnStep = Callable[[int, int], None]
"""Called after every step with the number of steps done and the number of all."""


@dataclass(frozen=True)
class Epoch:
    """What is known after one epoch that was evaluated; ``val_metric`` is the workload's metric."""

    epoch: int
    train_loss: float
    val_metric: float
    lr: float


class Descent:
    """One model in training.

    Same seed, same bits on a CPU: the data order comes from a generator of its own, everything else from
    torch's global one. :meth:`state` and :meth:`restore` continue a training bit by bit.

    The host never waits for the device between steps, except every ``CHECK_EVERY`` of them, at the end of an
    epoch and, in float16, where torch's loss scaling reads whether a gradient overflowed. Only the training's
    passes go through the model compiled, if the workload's settings have ``compile``.

    Args:
        workload: Data, loss and recipe.
        model: What is trained, already prepared by a method.
        optimizer: Over the model's parameters; its rates are the schedule's base rates.
        schedule: Learning-rate factor of a step.
        total_steps: Number of steps of the whole training, for progress.
        seed: Of the data order.
    """

    def __init__(
        self,
        workload: Workload,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: Callable[[int], float],
        total_steps: int,
        seed: int,
    ) -> None:
        self.workload, self.model, self.optimizer = workload, model, optimizer
        self.schedule, self.total_steps = schedule, total_steps
        self.order = torch.Generator().manual_seed(seed)
        self.scaler = grad_scaler(workload.device, workload.config.precision)
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]
        self.parallel = parallel(model)
        self.forward = self.parallel  # what the training's passes go through
        if getattr(workload.config, "compile", False):
            self.forward = compiled(self.parallel, workload.device)
        self.step = self.epoch = 0
        self.history: list[Epoch] = []
        self._speed = Speed()
        if world_size() > 1:  # one start for all, then draws (dropout) of each process's own
            torch.manual_seed(seed + 1_000_003 * rank())
        self._set_rates()

    @property
    def lr(self) -> float:
        """Learning rate of the next step (of the first parameter group)."""
        return float(self.optimizer.param_groups[0]["lr"])

    @property
    def samples_per_second(self) -> float | None:
        """Training throughput over all processes, evaluation excluded; ``None`` before the first epoch."""
        return self._speed.rate

    def run_epoch(self, on_step: OnStep | None = None) -> float:
        """Train for one epoch and return the mean training loss; not finite if the training diverged."""
        self.model.train()
        self.forward.train()
        precision = self.workload.config.precision
        summed = torch.zeros((), device=self.workload.device)
        batches = samples = 0
        with self._speed.measured() as count:
            for batch in self.workload.batches(self.order):
                part, weight, size = self._part(batch, samples)
                self.optimizer.zero_grad(set_to_none=True)
                with autocast(self.workload.device, precision):
                    loss = self.workload.loss(self.forward, part)
                if weight != 1.0:
                    loss = loss * weight
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                self.scaler.step(self.optimizer)
                self.scaler.update()
                self.step += 1
                self._set_rates()
                summed += loss.detach()
                batches += 1
                samples += size
                if on_step:
                    on_step(self.step, self.total_steps)
                if batches % CHECK_EVERY == 0 and not math.isfinite(self._mean(summed, batches)):
                    break
            mean = self._mean(summed, batches)
            count(samples)
        self.epoch += 1
        share_buffers(self.model)
        return mean

    def evaluate(self, split: str) -> float:
        """Return the workload's metric on a split, the same on every process."""
        self.model.eval()
        with autocast(self.workload.device, self.workload.config.precision):
            return of_rank_zero(self.workload.evaluate(self.model, split))

    def state(self) -> dict[str, Any]:
        """Return everything that decides how the training goes on; every process must call it."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "order": self.order.get_state(),
            "history": [asdict(epoch) for epoch in self.history],
            "random": gathered(_random_state()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state; with another number of processes, what they draw globally starts anew."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.order.set_state(state["order"])
        self.epoch, self.step = int(state["epoch"]), int(state["step"])
        self.history[:] = [Epoch(**entry) for entry in state["history"]]
        if len(state["random"]) == world_size():
            _set_random_state(state["random"][rank()])
        self._set_rates()

    def advance(self, steps: int) -> None:
        """Note that an epoch of so many steps was taken elsewhere (:mod:`rewa.packs`)."""
        self.step += steps
        self.epoch += 1
        self._set_rates()

    def _set_rates(self) -> None:
        """Give the optimizer the rates of the next step."""
        factor = self.schedule(self.step)
        for group, base in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = base * factor

    def _part(self, batch: Batch, before: int) -> tuple[Batch, float, int]:
        """Return this process's part of a batch, the weight of its mean loss, and the whole batch's size.

        Gradients are averaged over processes; weighting by size makes that the whole batch's mean.
        """
        if (processes := world_size()) == 1:
            return batch, 1.0, len(batch[1])
        inputs, targets = batch
        if self.workload.shares_batches:
            whole = min(int(self.workload.config.batch_size), self.workload.split_sizes["train"] - before)
        else:
            whole = len(targets)
            inputs, targets = inputs[rank() :: processes], targets[rank() :: processes]
        weight = len(targets) * processes / whole
        if not len(targets):  # fewer samples than processes: one that counts nothing
            inputs, targets = batch[0][:1], batch[1][:1]
        return (inputs, targets), weight, whole

    def _mean(self, summed: Tensor, batches: int) -> float:
        """Return the mean loss over batches and processes."""
        return float(sum_over_ranks(summed.clone())) / world_size() / batches


class Speed:
    """Samples per second, over all epochs but the first, which warms up (over that one if it is alone)."""

    def __init__(self) -> None:
        self._epochs: list[tuple[int, float]] = []

    @property
    def rate(self) -> float | None:
        """Samples per second so far."""
        epochs = self._epochs[1:] or self._epochs
        seconds = sum(elapsed for _, elapsed in epochs)
        return sum(samples for samples, _ in epochs) / seconds if seconds > 0 else None

    def measured(self) -> _Stopwatch:
        """Return a context that times an epoch."""
        return _Stopwatch(self._epochs)


class _Stopwatch:
    """Times a block; the block tells it how many samples it was."""

    def __init__(self, epochs: list[tuple[int, float]]) -> None:
        self._epochs, self._samples = epochs, 0

    def __enter__(self) -> Callable[[int], None]:
        self._started = time.perf_counter()
        return self._count

    def __exit__(self, *_: object) -> None:
        self._epochs.append((self._samples, time.perf_counter() - self._started))

    def _count(self, samples: int) -> None:
        self._samples = samples


def _random_state() -> dict[str, Tensor]:
    """Return the states of torch's global generators."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: Mapping[str, Tensor]) -> None:
    """Set torch's global generators."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
