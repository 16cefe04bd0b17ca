"""How an optimizer steps each weight of a model, where that is one of the rules that packs know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim.optimizer import Optimizer
from torch.optim.sgd import SGD

from rewa.optim import L1SGD, ReWA, signed_root
from rewa.reparam import HadamardParametrization

Mode = Literal["plain", "rewa", "sgd_l1", "spred"]

_NEUTRAL = {"nesterov": False, "dampening": 0, "maximize": False, "differentiable": False}
"""Settings of the optimizers that packs take at these values only."""


@dataclass(frozen=True)
class Rule:
    """How one weight is stepped.

    Attributes:
        mode: "plain" is SGD with weight decay; "rewa" Eq. 3; "sgd_l1" the L1 subgradient; "spred" SGD on two
            factors.
        params: The optimizer's parameters: the weight itself, or its two factors.
        group: Number of the optimizer's parameter group.
        settings: That group, whose lr changes from step to step.
    """

    mode: Mode
    params: tuple[nn.Parameter, ...]
    group: int
    settings: dict[str, Any]

    @property
    def weight(self) -> Tensor:
        """The weight that the model computes with now."""
        value = self.params[0].detach()
        return value * self.params[1].detach() if self.mode == "spred" else value

    def latent(self, optimizer: Optimizer, number: int = 0) -> Tensor:
        """Return what is stepped: the optimizer's latent, created as it would be, or the parameter."""
        p = self.params[number]
        if self.mode != "rewa" or self.settings["K"] == 1:
            return p.detach()
        state = optimizer.state[p]
        if "latent" not in state:
            state["latent"] = signed_root(p.detach(), self.settings["K"])
        latent: Tensor = state["latent"]
        return latent

    def momentum(self, optimizer: Optimizer, number: int = 0) -> Tensor | None:
        """Return the momentum buffer, created at zero if need be; ``None`` where momentum is 0."""
        if self.settings["momentum"] == 0:
            return None
        p = self.params[number]
        state = optimizer.state[p]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.zeros_like(p)
        buffer: Tensor = state["momentum_buffer"]
        return buffer


def rules_of(model: nn.Module, optimizer: Optimizer) -> dict[str, Rule] | None:
    """Return the rule of every weight by its name in the plain model.

    Returns:
        ``None`` if any of them is stepped in a way that packs do not know, is not float32, does not train, or
        stands at two places, and if something hooks into gradients or steps.
    """
    if type(optimizer) not in (SGD, L1SGD, ReWA) or _is_hooked(optimizer):
        return None
    groups = {id(p): (i, g) for i, g in enumerate(optimizer.param_groups) for p in g["params"]}
    rules: dict[str, Rule] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, parametrize.ParametrizationList) or _inside_parametrization(prefix):
            continue
        owned: dict[str, tuple[nn.Parameter, ...]] = {
            name: (p,) for name, p in module.named_parameters(recurse=False)
        }
        if parametrize.is_parametrized(module):
            factors = _two_factors(module)
            if factors is None:
                return None
            owned["weight"] = factors
        for name, params in owned.items():
            found = [groups.get(id(p)) for p in params]
            if not all(p.requires_grad and p.dtype == torch.float32 for p in params):
                return None
            if found[0] is None or any(other != found[0] for other in found):
                return None
            rule = _rule(params, *found[0])
            if rule is None:
                return None
            rules[f"{prefix}.{name}" if prefix else name] = rule
    held = [id(p) for rule in rules.values() for p in rule.params]
    return rules if sorted(held) == sorted(groups) else None


def _rule(params: tuple[nn.Parameter, ...], group: int, settings: dict[str, Any]) -> Rule | None:
    """Return the rule of one parameter group's settings."""
    if any(settings.get(name, value) != value for name, value in _NEUTRAL.items()):
        return None
    mode: Mode
    if len(params) == 2:
        mode = "spred"
        if settings.get("l1") or settings.get("K", 1) != 1 or settings.get("epsilon"):
            return None
    elif settings.get("l1"):
        mode = "sgd_l1"
        if settings["weight_decay"]:
            return None
    elif settings.get("K", 1) == 1 and not settings.get("M") and not settings.get("epsilon"):
        mode = "plain"
    else:
        mode = "rewa"
    return Rule(mode, params, group, settings)


def _is_hooked(optimizer: Optimizer) -> bool:
    """Return whether a step does more than its class says, or a gradient is changed on its way there."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    return (
        bool(optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks)
        or "step" in vars(optimizer)
        or any(p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None) for p in params)
    )


def _inside_parametrization(prefix: str) -> bool:
    return "parametrizations" in prefix.split(".")


def _two_factors(module: nn.Module) -> tuple[nn.Parameter, ...] | None:
    """Return the two factors of a weight that is their product; ``None`` for any other parametrization."""
    lists = module.parametrizations
    assert isinstance(lists, nn.ModuleDict)
    if set(lists) != {"weight"}:
        return None
    (inner,) = lists.values()
    assert isinstance(inner, parametrize.ParametrizationList)
    if len(inner) != 1 or not isinstance(inner[0], HadamardParametrization) or inner[0].depth != 2:
        return None
    return tuple(p for _, p in inner.named_parameters(recurse=False))
