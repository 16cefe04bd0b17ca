"""Reparameterisations as ``torch.nn.utils.parametrize`` modules."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

Initialisation = Literal["balanced", "original"]


class HadamardParametrization(nn.Module):
    """A tensor as the element-wise product of ``depth`` factors ([Cp] of the paper; Spred for 2).

    With L2 decay on every factor this is the paper's problem [Cp], whose minimisers are those of the
    l_p penalty with p = 2 / depth (Lemma 3.1).

    Args:
        depth: Number of factors, >= 1.
        init: ``"balanced"`` gives every factor magnitude |w|^(1/depth), so the product is the weight
            that was there. ``"original"`` is Spred's published start: independent factors drawn from
            the layer's own initialisation (here the weight and shuffles of its entries), so the
            product is smaller than the weight by one initial scale per extra factor.

    Raises:
        ValueError: If depth < 1 or init is unknown.
    """

    def __init__(self, depth: int = 2, init: Initialisation = "balanced") -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"depth = {depth} is out of range: it must be >= 1.")
        if init not in ("balanced", "original"):
            raise ValueError(f"init = {init!r} is unknown: choose 'balanced' or 'original'.")
        self.depth = depth
        self.init = init

    def forward(self, *factors: Tensor) -> Tensor:
        """Return the product of the factors, all of one shape."""
        product = factors[0]
        for factor in factors[1:]:
            product = product * factor
        return product

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Return the factors that training starts from."""
        if self.init == "original":
            return (weight, *(_shuffled(weight) for _ in range(self.depth - 1)))
        magnitude = weight.abs().pow(1.0 / self.depth)
        return (magnitude.copysign(weight), *(magnitude.clone() for _ in range(self.depth - 1)))


def _shuffled(weight: Tensor) -> Tensor:
    """Return the weight's entries in random order: an independent draw from the same distribution."""
    order = torch.randperm(weight.numel(), device=weight.device)
    return weight.flatten()[order].view_as(weight).clone()


def factorise(module: nn.Module, depth: int, init: Initialisation) -> list[nn.Parameter]:
    """Replace a module's ``weight`` by factors, in place, and return the factors."""
    parametrize.register_parametrization(module, "weight", HadamardParametrization(depth, init))
    parametrizations = module.parametrizations
    assert isinstance(parametrizations, nn.ModuleDict)
    return list(parametrizations["weight"].parameters())


def materialise(module: nn.Module) -> None:
    """Replace a parametrized ``weight`` by its current value, in place."""
    parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
