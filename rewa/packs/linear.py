"""Linear models trained together: one pass over the data for all, in :mod:`rewa.kernels`."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewa.descent import Descent
from rewa.packed.pack import I64, Pack, checked, shares, thread_pool
from rewa.packed.table import PackedMethod, PackedTrial
from rewa.packs.ensemble import Ensemble, epoch_order
from rewa.packs.layers import chain
from rewa.packs.rules import Rule, rules_of
from rewa.workloads.base import Workload
from rewa.workloads.sparse_recovery import SparseRecovery

WEIGHT, BIAS = "weight", "bias"

EVALUATED = 16
"""Rows in one product over the validation split, in any pack: how a product rounds depends on its shape."""


class LinearEnsemble(Ensemble):
    """Rows are ``nn.Linear(d, 1)`` on the sparse recovery problem, on a CPU.

    A row's results are the same to the bit in every pack of two or more; an ensemble of one takes its sums in
    another, faster order.
    """

    def __init__(self, descents: Sequence[Descent]) -> None:
        super().__init__(descents)
        data = self.workload.splits["train"]
        inputs, targets = data.inputs.numpy(), data.targets.numpy()
        self._inputs = checked("inputs", inputs, inputs.shape)
        self._targets = checked("targets", targets, targets.shape)
        self._rules = [_rules(descent) for descent in descents]
        weights = np.stack([rules[WEIGHT].weight.flatten().numpy() for rules in self._rules])
        biases = np.array([rules[BIAS].weight.item() for rules in self._rules], np.float32)
        trials = [
            _trial(rules[WEIGHT], descent.rates[rules[WEIGHT].group])
            for rules, descent in zip(self._rules, descents, strict=True)
        ]
        self._pack = Pack(trials, weights, biases)
        for row in range(len(descents)):
            self._take_up(row)
        self._workers = torch.get_num_threads()
        self._pool: ThreadPoolExecutor = thread_pool(self._workers)

    @staticmethod
    def suits(workload: Workload) -> bool:
        """Return whether it is sparse recovery, with its own loss and batches, in float32 on a CPU."""
        kind: Any = type(workload)
        return (
            isinstance(workload, SparseRecovery)
            and all(
                getattr(kind, name) is getattr(SparseRecovery, name)
                for name in ("loss", "_loss", "batches", "evaluate")
            )
            and workload.device.type == "cpu"
            and workload.config.precision == "fp32"
        )

    @staticmethod
    def takes(descent: Descent) -> bool:
        """Return whether the model is the linear one and its optimizer's rules are known."""
        rules = rules_of(descent.model, descent.optimizer)
        layers = chain(descent.model)
        if layers is None or len(layers) != 1 or rules is None or set(rules) != {WEIGHT, BIAS}:
            return False
        weight, bias = rules[WEIGHT], rules[BIAS]
        return (
            bias.mode == "plain"
            and not bias.settings["weight_decay"]
            and bias.settings["momentum"] == weight.settings["momentum"]
            and descent.rates[bias.group] == descent.rates[weight.group]
        )

    def run_epoch(self, rows: Sequence[int]) -> list[float]:
        """Train rows for one epoch; those that see the data in the same order share the passes."""
        pack, batch = self._pack, int(self.workload.config.batch_size)
        steps = int(self.workload.steps_per_epoch)
        groups: dict[tuple[int, bytes], list[int]] = {}
        for row in rows:
            order = epoch_order(self.descents[row], len(self._targets)).numpy()
            groups.setdefault((self.descents[row].step, order.tobytes()), []).append(row)
        tasks = []
        for (first, order_bytes), members in groups.items():
            index = np.frombuffer(order_bytes, np.int64).copy()
            factors = np.array([self.workload.schedule(first + s) for s in range(steps)])
            if len(self.descents) == 1:
                tasks.append(partial(self._run_alone, index, batch, factors, members[0]))
                continue
            parts = max(1, self._workers // len(groups))
            for share in shares(np.array(members), pack.table, parts):
                tasks.append(partial(self._run, index, batch, factors, share))
        pack.losses[:] = 0
        for done in [self._pool.submit(task) for task in tasks]:
            done.result()
        for row in rows:
            self.descents[row].advance(steps)
        with np.errstate(over="ignore"):  # summed in float32, as alone
            means = pack.losses.astype(np.float32) / np.float32(steps)
        return [float("nan") if pack.died[row] else float(means[row]) for row in rows]

    @torch.no_grad()
    def evaluate(self, rows: Sequence[int]) -> list[float]:
        """Return the validation metric of rows, from products over the split of ``EVALUATED`` rows each.

        A row that is alone in its ensemble needs no such product.
        """
        data = self.workload.splits["val"]
        batch = (data.inputs, data.targets)
        values: list[float] = []
        size = EVALUATED if len(self.descents) > 1 else 1
        for first in range(0, len(rows), size):
            part = np.asarray(rows[first : first + size], np.int64)
            weights = torch.zeros(size, self._pack.d)
            weights[: len(part)] = torch.from_numpy(self._pack.weights(part))
            outputs = data.inputs @ weights.T
            outputs[:, : len(part)] += torch.from_numpy(self._pack.biases[0, part])
            for column in outputs.split(1, dim=1)[: len(part)]:
                values.append(float(self.workload.loss(lambda _, column=column: column, batch)))
        return values

    @torch.no_grad()
    def store(self, row: int) -> None:
        """Write weights, factors or latents, and momenta, from the pack."""
        for ours, theirs in self._state(row):
            theirs.copy_(torch.from_numpy(ours).view_as(theirs))
        rule = self._rules[row][WEIGHT]
        if rule.mode != "spred":
            weights = self._pack.weights(np.array([row]))
            rule.params[0].copy_(torch.from_numpy(weights).view_as(rule.params[0]))

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, index: I64, batch: int, factors: NDArray[np.float64], share: I64) -> None:
        from rewa.kernels.linear import run_steps

        p = self._pack
        # fmt: off
        run_steps(self._inputs, self._targets, index, batch, factors, p.table, share, p.latents, p.biases,
                  p.losses, p.died, self.workload.config.loss == "logistic", True, p.width)
        # fmt: on

    def _run_alone(self, index: I64, batch: int, factors: NDArray[np.float64], row: int) -> None:
        from rewa.kernels.lone import run_alone

        p = self._pack
        # fmt: off
        run_alone(self._inputs, self._targets, index, batch, factors, p.table, row, p.latents, p.biases,
                  p.losses, p.died, self.workload.config.loss == "logistic", True)
        # fmt: on

    def _take_up(self, row: int) -> None:
        """Start a row from its descent's state."""
        for ours, theirs in self._state(row):
            ours[...] = theirs.detach().numpy().reshape(ours.shape)

    def _state(self, row: int) -> list[tuple[NDArray[np.float32], Tensor]]:
        """Return the row's arrays of the pack, each with the tensor of its descent that it stands for."""
        pack, optimizer = self._pack, self.descents[row].optimizer
        weight, bias = self._rules[row][WEIGHT], self._rules[row][BIAS]
        pairs: list[tuple[NDArray[np.float32], Tensor]] = []
        for number in range(len(weight.params)):  # Spred's second factor stands two further
            pairs.append((pack.latents[2 * number, row, : pack.d], weight.latent(optimizer, number)))
            if (momentum := weight.momentum(optimizer, number)) is not None:
                pairs.append((pack.latents[2 * number + 1, row, : pack.d], momentum))
        pairs.append((pack.biases[0, row : row + 1], bias.params[0].detach()))
        if (momentum := bias.momentum(optimizer)) is not None:
            pairs.append((pack.biases[1, row : row + 1], momentum))
        return pairs


def _rules(descent: Descent) -> dict[str, Rule]:
    rules = rules_of(descent.model, descent.optimizer)
    assert rules is not None
    return rules


def _trial(rule: Rule, lr: float) -> PackedTrial:
    """Return the settings of a row for the compiled loops; the schedule's factor is applied there."""
    names = {
        "plain": ("weight_decay",),
        "rewa": ("K", "M", "epsilon", "weight_decay"),
        "sgd_l1": ("l1",),
        "spred": ("weight_decay",),
    }[rule.mode]
    method: PackedMethod = "rewa" if rule.mode == "plain" else rule.mode
    values = {name: float(rule.settings[name]) for name in names}
    return PackedTrial(method, lr, momentum=float(rule.settings["momentum"]), **values)
