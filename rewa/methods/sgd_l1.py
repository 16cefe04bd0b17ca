"""SGD with an L1 penalty on the weights, by subgradient."""

from __future__ import annotations

from pydantic import Field
from torch import nn
from torch.optim.optimizer import Optimizer

from rewa.methods.base import GradientConfig, GradientMethod, weights_and_rest
from rewa.optim import L1SGD


class SGDL1Config(GradientConfig):
    """Settings of SGD-L1."""

    l1: float = Field(default=1e-4, ge=0, description="coefficient of the L1 penalty on the weights")


class SGDL1(GradientMethod):
    """Minimise loss + l1 * |weights|; biases and normalisation are not penalised."""

    name = "sgd_l1"
    summary = "SGD with an L1 subgradient on the weights"
    Config = SGDL1Config
    penalty_setting = "l1"
    budget_name = "l1_budget"

    def budget(self, schedule_sum: float) -> float:
        """Return how far the penalty moves a weight towards zero that no gradient supports."""
        config: SGDL1Config = self.config
        return config.l1 * config.lr * schedule_sum / (1 - config.momentum)

    def prepare(self, model: nn.Module) -> Optimizer:
        """Return SGD with the L1 subgradient on the weights only."""
        config: SGDL1Config = self.config
        weights, rest = weights_and_rest(model)
        groups = [{"params": weights, "l1": config.l1}, {"params": rest, "l1": 0.0}]
        return L1SGD(groups, lr=config.lr, momentum=config.momentum)
