"""Spred (Ziyin and Wang, ICML 2023): two factors per weight, weight decay on both."""

from __future__ import annotations

from pydantic import Field
from torch import nn
from torch.optim.optimizer import Optimizer
from torch.optim.sgd import SGD

from rewa.methods.base import GradientConfig, GradientMethod, weights_and_rest
from rewa.optim import prunable_modules
from rewa.reparam import Initialisation, factorise, materialise
from rewa.theory import decay_budget


class SpredConfig(GradientConfig):
    """Settings of Spred."""

    weight_decay: float = Field(default=1e-4, ge=0, description="L2 decay of both factors")
    init: Initialisation = Field(
        default="balanced", description="square roots of the weight, or two independent draws"
    )


class Spred(GradientMethod):
    """SGD on w = u * v with weight decay on u and v, which is an L1 penalty on w."""

    name = "spred"
    summary = "w = u*v, SGD with weight decay on both factors (equivalent to an L1 penalty)"
    Config = SpredConfig
    penalty_setting = "weight_decay"

    def budget(self, schedule_sum: float) -> float:
        """Return D: a product of two factors decays as x = y^2 does."""
        config: SpredConfig = self.config
        return decay_budget(2, config.weight_decay, config.lr, config.momentum, schedule_sum)

    def prepare(self, model: nn.Module) -> Optimizer:
        """Factorise the weights in place and return SGD over the factors."""
        config: SpredConfig = self.config
        _, rest = weights_and_rest(model)
        layers = [module for _, module in prunable_modules(model)]
        factors = factorise(layers, depth=2, init=config.init)
        groups = [
            {"params": factors, "weight_decay": config.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        return SGD(groups, lr=config.lr, momentum=config.momentum)

    def materialise(self, model: nn.Module) -> None:
        """Multiply the factors out."""
        materialise([module for _, module in prunable_modules(model)])
