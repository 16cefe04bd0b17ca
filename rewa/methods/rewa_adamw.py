"""ReWA with AdamW as its base optimizer, Algorithm 2 of the paper."""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import nn
from torch.optim.optimizer import Optimizer

from rewa.methods.base import GradientMethod, LearningRateConfig
from rewa.methods.rewa import check_powers
from rewa.optim import ReWAAdamW, param_groups
from rewa.theory import decay_budget


class ReWAAdamWConfig(LearningRateConfig):
    """Settings of ReWA with AdamW.

    There is no momentum: the first moment's ``beta1`` does not touch the decay, which is decoupled. A weight
    without gradient shrinks by exp(-D) with D = K * weight_decay * sum(lr_t), so ``weight_decay`` is not in
    the same unit as that of method ``rewa``, whose D is divided by 1 - momentum and whose lr is much larger.
    """

    K: float = Field(default=9, ge=1, description="power of the reparameterisation x = y^K")
    M: float = Field(
        default=0, ge=0, description="exponent of the adaptive rate, M <= K - 1; Adam acts like 0 already"
    )
    epsilon: float = Field(default=0.0, ge=0, description="stabiliser of the adaptive rate, as in Eq. 3")
    weight_decay: float = Field(default=0.1, ge=0, description="lambda, on y, decoupled from the gradient")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="decay rate of the first moment")
    beta2: float = Field(default=0.999, ge=0, lt=1, description="decay rate of the second moment")
    eps: float = Field(default=1e-8, gt=0, description="Adam's own epsilon, in the denominator")

    @model_validator(mode="after")
    def _M_below_K(self) -> ReWAAdamWConfig:  # noqa: N802
        check_powers(self.K, self.M)
        return self


class ReWAAdamWMethod(GradientMethod):
    """Train the latent y of x = y^K by AdamW; biases and normalisation by plain AdamW without decay."""

    name = "rewa_adamw"
    summary = "ReWA with AdamW as its base optimizer (the paper's Algorithm 2)"
    Config = ReWAAdamWConfig
    penalty_setting = "weight_decay"

    def budget(self, schedule_sum: float) -> float:
        """Return the D of :func:`rewa.theory.decay_budget`; the decay is decoupled from the moments."""
        config: ReWAAdamWConfig = self.config
        return decay_budget(config.K, config.weight_decay, config.lr, 0.0, schedule_sum)

    def prepare(self, model: nn.Module) -> Optimizer:
        """Return the ReWAAdamW optimizer; the model stays as it is."""
        config: ReWAAdamWConfig = self.config
        return ReWAAdamW(
            param_groups(model),
            lr=config.lr,
            K=config.K,
            M=config.M,
            epsilon=config.epsilon,
            betas=(config.beta1, config.beta2),
            eps=config.eps,
            weight_decay=config.weight_decay,
        )
