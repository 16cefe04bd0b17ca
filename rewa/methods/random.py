"""The control: the same dense training, pruned at random."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rewa.methods.magnitude import Magnitude


class Random(Magnitude):
    """Dense SGD, then weights removed in an order drawn from the trial's seed."""

    name = "random"
    summary = "dense SGD with weight decay, then random pruning (the control)"

    def scores(self, weights: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
        """Return uniform random numbers instead of magnitudes."""
        generator = torch.Generator().manual_seed(seed)
        return {
            name: torch.rand(weight.shape, generator=generator).to(weight.device)
            for name, weight in weights.items()
        }
