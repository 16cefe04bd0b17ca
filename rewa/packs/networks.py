"""Fully connected networks trained together: batched products over the rows, one compiled update for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from rewa.descent import Descent
from rewa.packs.ensemble import Ensemble, epoch_order
from rewa.packs.layers import LinearLayer, Network, chain, flattens, layer_for
from rewa.packs.rules import Rule, rules_of
from rewa.packs.update import RowsUpdate
from rewa.workloads.base import Workload
from rewa.workloads.tensors import EVAL_BATCH, TensorClassification


class NetworkEnsemble(Ensemble):
    """Rows are networks of linear layers and activations, judged by top-1 accuracy on resident tensors.

    The weights that the products read stand in stacks (rows, out, in); a model's own parameters are views of
    them, or, where an optimizer steps latents or factors, these stay the optimizer's and the stack is written
    from them by the update.
    """

    def __init__(self, descents: Sequence[Descent]) -> None:
        super().__init__(descents)
        rules = [rules_of(descent.model, descent.optimizer) for descent in descents]
        self._rules: list[dict[str, Rule]] = [found for found in rules if found is not None]
        self._rows: tuple[int, ...] = ()

    @staticmethod
    def suits(workload: Workload) -> bool:
        """Return whether it is classification of resident tensors as that class does it, in float32."""
        kind: Any = type(workload)
        return (
            isinstance(workload, TensorClassification)
            and all(
                getattr(kind, name) is getattr(TensorClassification, name)
                for name in ("loss", "batches", "evaluate")
            )
            and workload.config.precision == "fp32"
            and workload.device.type == "cpu"
        )

    @staticmethod
    def takes(descent: Descent) -> bool:
        """Return whether the network is a chain of known layers and its optimizer's rules are known."""
        layers = chain(descent.model)
        workload: Any = descent.workload
        if layers is None or not (workload.splits["train"].inputs.ndim == 2 or flattens(descent.model)):
            return False
        rules = rules_of(descent.model, descent.optimizer)
        return rules is not None and all(
            rules[name].mode in ("plain", "rewa") for name in rules if name.endswith("bias")
        )

    def run_epoch(self, rows: Sequence[int]) -> list[float]:
        """Train rows for one epoch."""
        self._stand(rows)
        data, size = self.workload.splits["train"], int(self.workload.config.batch_size)
        orders = torch.stack([epoch_order(self.descents[row], len(data)) for row in rows])
        inputs = data.inputs.flatten(1)
        summed, batches = torch.zeros(len(rows)), 0
        for index in torch.split(orders.to(data.inputs.device), size, dim=1):
            factors = [self.workload.schedule(self.descents[row].step + batches) for row in rows]
            targets = data.targets[index]
            outputs = self._network.forward(inputs[index])
            losses, grad = _cross_entropy(outputs, targets)
            self._network.backward(grad)
            self._update.run(np.array(factors))
            summed += losses
            batches += 1
        for row in rows:
            self.descents[row].advance(batches)
        return [float(value) / batches for value in summed]

    @torch.no_grad()
    def evaluate(self, rows: Sequence[int]) -> list[float]:
        """Return the top-1 accuracy of rows on validation."""
        self._stand(rows)
        data = self.workload.splits["val"]
        inputs = data.inputs.flatten(1)
        correct = torch.zeros(len(rows), dtype=torch.int64)
        for begin in range(0, len(data), EVAL_BATCH):
            part = slice(begin, begin + EVAL_BATCH)
            outputs = self._network.forward(inputs[part].expand(len(rows), -1, -1))
            correct += (outputs.argmax(dim=2) == data.targets[part]).sum(dim=1)
        return [int(count) / len(data) for count in correct]

    def store(self, row: int) -> None:
        """Do nothing: what is trained here are the descents' own parameters and states."""

    @torch.no_grad()
    def _stand(self, rows: Sequence[int]) -> None:
        """Build stacks, layers and update for these rows, unless they stand already."""
        if tuple(rows) == self._rows:
            return
        self._rows = tuple(rows)
        update = RowsUpdate()
        layers: list[Any] = []
        modules = chain(self.descents[rows[0]].model)
        assert modules is not None
        for name, module in modules:
            if not isinstance(module, nn.Linear):
                layers.append(layer_for(module, bool(layers) and isinstance(layers[-1], LinearLayer)))
                continue
            prefix = f"{name}." if name else ""
            weight = self._stacked(rows, f"{prefix}weight")
            has_bias = module.bias is not None
            bias = self._stacked(rows, f"{prefix}bias").unsqueeze(1) if has_bias else None
            layer = LinearLayer(weight, bias)
            layers.append(layer)
            for at, row in enumerate(rows):
                descent, rules = self.descents[row], self._rules[row]
                update.add(at, descent, rules[f"{prefix}weight"], weight[at], layer.weight_grad[at])
                if bias is not None and layer.bias_grad is not None:
                    grad = layer.bias_grad[at, 0]
                    update.add(at, descent, rules[f"{prefix}bias"], bias[at, 0], grad)
        self._network, self._update = Network(layers), update
        update.build()

    def _stacked(self, rows: Sequence[int], name: str) -> Tensor:
        """Return the rows' weights of one name in a stack; parameters that are weights become its views."""
        rules = [self._rules[row][name] for row in rows]
        stack = torch.stack([rule.weight for rule in rules])
        for at, rule in enumerate(rules):
            if rule.mode != "spred":
                if rule.mode == "rewa":
                    rule.latent(self.descents[rows[at]].optimizer)  # from the parameter, before it moves
                rule.params[0].data = stack[at]
        return stack


def _cross_entropy(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's mean loss, shape (T,), and its gradient by the outputs, shape (T, B, classes)."""
    grad = log_softmax(outputs, dim=2)
    index, share = targets.unsqueeze(2), 1.0 / targets.shape[1]
    right = grad.gather(2, index)
    losses = right.sum(dim=(1, 2)).mul_(-share)
    grad.exp_().scatter_(2, index, right.exp_().sub_(1.0))
    return losses, grad.mul_(share)
