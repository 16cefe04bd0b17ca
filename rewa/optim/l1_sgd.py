"""SGD on loss + l1 * |x|, by subgradient: the L1 baseline."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.optimizer import ParamsT
from torch.optim.sgd import SGD


class L1SGD(SGD):
    """``torch.optim.SGD`` whose gradient carries l1 * sign(x), with sign(0) = 0.

    ``l1`` is a setting of each parameter group, so that biases can be left out of the penalty.

    Args:
        params: Parameters or parameter groups.
        lr: Learning rate.
        l1: Coefficient of the penalty; >= 0.
        **kwargs: Passed to ``torch.optim.SGD``.

    Raises:
        ValueError: If l1 is negative or not finite.
    """

    def __init__(self, params: ParamsT, lr: float, l1: float = 0.0, **kwargs: Any) -> None:
        self._l1 = l1
        super().__init__(params, lr=lr, **kwargs)
        self.defaults["l1"] = l1

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; a missing ``l1`` takes the default."""
        value = param_group.setdefault("l1", self._l1)
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"l1 = {value} is out of range: it must be finite and >= 0.")
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take SGD's step on gradient + l1 * sign(x); the gradients themselves are left as they are."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        penalised = [
            (p, p.grad, group["l1"])
            for group in self.param_groups
            if group["l1"] != 0
            for p in group["params"]
            if p.grad is not None
        ]
        try:
            for p, grad, l1 in penalised:
                p.grad = torch.add(grad, p.sign(), alpha=l1)
            super().step()
        finally:
            for p, grad, _ in penalised:
                p.grad = grad
        return loss
