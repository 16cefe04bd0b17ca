"""Reparameterisations as ``torch.nn.utils.parametrize`` modules."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rewa.optim.power import signed_power, signed_root

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


class PowerParametrization(nn.Module):
    """A tensor as the sign-preserving power x = sign(y)|y|^K of a latent of its shape.

    Autograd then trains y with the chain rule's factor K|y|^(K-1), which is the non-adaptive iteration (2) of
    the paper; :class:`rewa.ReWA` is the adaptive one and needs no parametrization.

    Args:
        K: Exponent, real and >= 1.

    Raises:
        ValueError: If K is below 1 or not finite.
    """

    def __init__(self, K: float) -> None:
        super().__init__()
        if not (K >= 1 and math.isfinite(K)):
            raise ValueError(f"K = {K} is out of range: it must be finite and >= 1.")
        self.K = K

    def forward(self, y: Tensor) -> Tensor:
        """Return sign(y)|y|^K, of the latent's shape."""
        return signed_power(y, self.K)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return the latent that stands for a weight."""
        return signed_root(weight, self.K)


def _shuffled(weight: Tensor) -> Tensor:
    """Return the weight's entries in random order: an independent draw from the same distribution."""
    order = torch.randperm(weight.numel(), device=weight.device)
    return weight.flatten()[order].view_as(weight).clone()


def factorise(modules: Iterable[nn.Module], depth: int, init: Initialisation) -> list[nn.Parameter]:
    """Replace the ``weight`` of modules by factors, in place.

    Modules that share one weight share its factors.

    Args:
        modules: Modules with a plain parameter ``weight``.
        depth: Number of factors per weight.
        init: See :class:`HadamardParametrization`.

    Returns:
        All factors, shared ones once.
    """
    factors_of: dict[int, list[nn.Parameter]] = {}
    for module in modules:
        weight = module.weight
        parametrize.register_parametrization(module, "weight", HadamardParametrization(depth, init))
        originals = _originals(module)
        for name, shared in zip(originals, factors_of.get(id(weight), []), strict=False):
            setattr(_parametrizations(module), name, shared)
        factors_of.setdefault(id(weight), [getattr(_parametrizations(module), n) for n in originals])
    return [factor for factors in factors_of.values() for factor in factors]


def materialise(modules: Iterable[nn.Module]) -> None:
    """Replace parametrized weights by their current values, in place; shared ones stay shared."""
    dense: dict[tuple[int, ...], nn.Parameter] = {}
    for module in modules:
        if not parametrize.is_parametrized(module, "weight"):
            continue
        key = tuple(id(getattr(_parametrizations(module), name)) for name in _originals(module))
        _give_own_class(module)
        parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        if not isinstance(weight, nn.Parameter):  # torch leaves a frozen weight behind as a plain tensor
            weight = nn.Parameter(weight.detach(), requires_grad=False)
            del module.weight
        module.weight = dense.setdefault(key, weight)


def _parametrizations(module: nn.Module) -> nn.Module:
    """Return the parametrization list of a module's weight, which holds the factors."""
    everything = module.parametrizations
    assert isinstance(everything, nn.ModuleDict)
    return everything["weight"]


def _originals(module: nn.Module) -> list[str]:
    """Return the names of a weight's factors, in order: original0, original1, ..."""
    return [name for name, _ in _parametrizations(module).named_parameters(recurse=False)]


def _give_own_class(module: nn.Module) -> None:
    """Undo the sharing of the parametrized class between a module and its deep copies.

    Removing a parametrization deletes a property from that class, which would break the others.
    """
    shared = type(module)
    own = {k: v for k, v in vars(shared).items() if k not in ("__dict__", "__weakref__")}
    module.__class__ = type(shared.__name__, shared.__bases__, own)
