"""ReWA, Algorithm 1 of the paper: power reparameterisation, weight decay, adaptive learning rate."""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import nn
from torch.optim.optimizer import Optimizer

from rewa.methods.base import GradientConfig, GradientMethod
from rewa.optim import ROUNDING, SMALLEST_M, ReWA, param_groups
from rewa.theory import decay_budget


class ReWAConfig(GradientConfig):
    """Settings of ReWA, in Eq. 3's units."""

    K: float = Field(default=9, ge=1, description="power of the reparameterisation x = y^K")
    M: float = Field(default=2, ge=0, description="exponent of the adaptive rate, M <= K - 1")
    epsilon: float = Field(default=0.0, ge=0, description="stabiliser of the adaptive rate")
    weight_decay: float = Field(default=1e-4, ge=0, description="lambda, on y, inside the momentum")

    @model_validator(mode="after")
    def _M_below_K(self) -> ReWAConfig:  # noqa: N802
        check_powers(self.K, self.M)
        return self


def check_powers(K: float, M: float) -> None:
    """Refuse an M above K - 1, or one that float32 cannot tell from 0.

    Raises:
        ValueError: Saying so, for pydantic to pass on.
    """
    if M > (K - 1) * (1 + ROUNDING):
        raise ValueError(
            f"M = {M:g} is larger than K - 1 = {K - 1:g}; the adaptive rate needs 0 <= M <= K - 1"
        )
    if 0 < M < SMALLEST_M:
        raise ValueError(f"M = {M:g} is too small: below {SMALLEST_M:g} it must be 0")


class ReWAMethod(GradientMethod):
    """Train the latent y of x = y^K; biases and normalisation by plain SGD."""

    name = "rewa"
    summary = "x = y^K, weight decay on y, learning rate scaled by |y|^M (the paper's Algorithm 1)"
    Config = ReWAConfig
    penalty_setting = "weight_decay"

    def budget(self, schedule_sum: float) -> float:
        """Return the D of :func:`rewa.theory.decay_budget`."""
        config: ReWAConfig = self.config
        return decay_budget(config.K, config.weight_decay, config.lr, config.momentum, schedule_sum)

    def prepare(self, model: nn.Module) -> Optimizer:
        """Return the ReWA optimizer; the model stays as it is."""
        config: ReWAConfig = self.config
        return ReWA(
            param_groups(model),
            lr=config.lr,
            K=config.K,
            M=config.M,
            epsilon=config.epsilon,
            weight_decay=config.weight_decay,
            momentum=config.momentum,
        )
