"""Steps in float64 from the equations, and records of arrays to try them on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from rewa.kernels import ADAMW, PLAIN, REWA, SGD_L1, SPRED, ArrayStep, settings_row

SETTINGS: dict[str, dict[str, Any]] = {
    "whole": {"mode": REWA, "K": 9, "M": 2, "momentum": 0.9, "weight_decay": 0.01},
    "no momentum": {"mode": REWA, "K": 3, "M": 1, "weight_decay": 0.01},
    "nesterov": {"mode": REWA, "K": 3, "M": 0, "momentum": 0.9, "nesterov": True},
    "dampened, ascending": {
        "mode": REWA,
        "K": 4,
        "M": 2,
        "momentum": 0.5,
        "dampening": 0.3,
        "maximize": True,
    },
    "epsilon": {"mode": REWA, "K": 5, "M": 2, "epsilon": 0.1, "momentum": 0.9},
    "real M": {"mode": REWA, "K": 9, "M": 1.74, "momentum": 0.9, "weight_decay": 0.01},
    "real K": {"mode": REWA, "K": 2.5, "M": 1, "momentum": 0.9},
    "real both": {"mode": REWA, "K": 2.25, "M": 1.25, "momentum": 0.9},
    "real and epsilon": {"mode": REWA, "K": 2.25, "M": 0.4, "epsilon": 0.01, "weight_decay": 0.01},
    "large powers": {"mode": REWA, "K": 40, "M": 17, "momentum": 0.5},
    "plain": {"mode": PLAIN, "momentum": 0.9, "weight_decay": 0.1},
    "l1": {"mode": SGD_L1, "l1": 0.3, "momentum": 0.9, "maximize": True},
    "spred": {"mode": SPRED, "momentum": 0.9, "weight_decay": 0.1},
    "spred without momentum": {"mode": SPRED, "maximize": True},
    "adamw": {"mode": ADAMW, "K": 3, "M": 1, "weight_decay": 0.1, "epsilon": 0.1},
}


@dataclass
class Reference:
    """The state of one array in float64, and its steps."""

    y: Tensor
    y2: Tensor
    settings: dict[str, Any]
    lr: float
    m: Tensor | None = None
    m2: Tensor | None = None
    count: int = field(default=0)

    def step(self, grad: Tensor) -> Tensor:
        """Take a step and return x."""
        s, g = self.settings, grad.double()
        self.count += 1
        if s.get("maximize"):
            g = -g
        mode, K = s["mode"], s.get("K", 1)
        if mode == SPRED:
            g1, g2 = g * self.y2, g * self.y
            self.y, self.m = self.sgd(self.y, self.m, g1)
            self.y2, self.m2 = self.sgd(self.y2, self.m2, g2)
            return self.y * self.y2
        if mode == SGD_L1:
            g = g + s["l1"] * self.y.sign() * (-1 if s.get("maximize") else 1)
        elif mode != PLAIN:
            a = self.y.abs()
            g = g * a ** s.get("M", 0)
            if s.get("epsilon"):
                g = g * a ** (K - 1) / (a ** (K - 1) + s["epsilon"])
        if mode == ADAMW:
            self.m = 0.9 * (0 if self.m is None else self.m) + 0.1 * g
            self.m2 = 0.999 * (0 if self.m2 is None else self.m2) + 0.001 * g * g
            m, v = self.m / (1 - 0.9**self.count), self.m2 / (1 - 0.999**self.count)
            self.y = self.y * (1 - self.lr * s.get("weight_decay", 0)) - self.lr * m / (v.sqrt() + 1e-8)
        else:
            self.y, self.m = self.sgd(self.y, self.m, g)
        return self.y.sign() * self.y.abs() ** K

    def sgd(self, y: Tensor, m: Tensor | None, g: Tensor) -> tuple[Tensor, Tensor | None]:
        s = self.settings
        bracket, mu = g + s.get("weight_decay", 0) * y, s.get("momentum", 0)
        if mu:
            m = bracket if m is None else mu * m + (1 - s.get("dampening", 0)) * bracket
            bracket = bracket + mu * m if s.get("nesterov") else m
        return y - self.lr * bracket, m


def row(name: str, lr: float, count: int) -> tuple[float, ...]:
    """Return the settings' row for step ``count``, from 1."""
    corrections = {"correction1": 1 - 0.9**count, "correction2": 1 - 0.999**count}
    return settings_row(lr=lr, first=count == 1, **SETTINGS[name], **corrections)


def record(number: int, name: str, like: Tensor, generator: torch.Generator) -> ArrayStep:
    """Return random arrays laid out like a tensor; momentum starts as garbage unless it is Adam's."""

    def drawn() -> Tensor:
        return torch.empty_like(like).copy_(0.9 * (2 * torch.rand(like.shape, generator=generator) - 1))

    adam, spred = SETTINGS[name]["mode"] == ADAMW, SETTINGS[name]["mode"] == SPRED
    moment = torch.zeros_like(like) if adam else torch.full_like(like, torch.nan)
    return ArrayStep(
        number,
        latent=drawn(),
        weight=None if SETTINGS[name]["mode"] in (PLAIN, SGD_L1) else torch.full_like(like, torch.nan),
        momentum=moment,
        second_latent=drawn() if spred else None,
        second_momentum=moment.clone() if adam or spred else None,
    )
