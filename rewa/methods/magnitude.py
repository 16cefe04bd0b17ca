"""Dense SGD with weight decay, then global magnitude pruning without fine-tuning."""

from __future__ import annotations

from pydantic import Field
from torch import nn
from torch.optim.optimizer import Optimizer
from torch.optim.sgd import SGD

from rewa.methods.base import GradientConfig, GradientMethod, weights_and_rest
from rewa.theory import decay_budget


class MagnitudeConfig(GradientConfig):
    """Settings of dense training."""

    weight_decay: float = Field(default=1e-4, ge=0, description="L2 decay of the weights")


class Magnitude(GradientMethod):
    """Train densely; the frontier's pruning is all the sparsity there is."""

    name = "magnitude"
    summary = "dense SGD with weight decay, then global magnitude pruning"
    Config = MagnitudeConfig
    penalty_setting = "weight_decay"

    def budget(self, schedule_sum: float) -> float:
        """Return D: a weight without gradient shrinks by exp(-D)."""
        config: MagnitudeConfig = self.config
        return decay_budget(1, config.weight_decay, config.lr, config.momentum, schedule_sum)

    def prepare(self, model: nn.Module) -> Optimizer:
        """Return SGD with weight decay on the weights only."""
        config: MagnitudeConfig = self.config
        weights, rest = weights_and_rest(model)
        groups = [
            {"params": weights, "weight_decay": config.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        return SGD(groups, lr=config.lr, momentum=config.momentum)
