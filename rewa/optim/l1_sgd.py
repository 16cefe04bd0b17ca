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
        super().__init__(params, lr=lr, **kwargs)
        self.defaults["l1"] = l1
        for group in self.param_groups:
            value = group.setdefault("l1", l1)
            if not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"l1 = {value} is out of range: it must be finite and >= 0.")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Add the subgradient to each gradient, then take SGD's step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["l1"] == 0:
                continue
            for p in group["params"]:
                if p.grad is not None:
                    p.grad.add_(p.sign(), alpha=group["l1"])
        super().step()
        return loss
