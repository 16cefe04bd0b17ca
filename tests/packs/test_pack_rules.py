"""How an optimizer steps each weight, and which optimizers packs do not know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.optim import SGD, AdamW
from torch.optim.optimizer import Optimizer

from rewa.methods import get_method
from rewa.optim import L1SGD, ReWA, ReWAAdamW
from rewa.packs.rules import rules_of
from rewa.reparam import HadamardParametrization, PowerParametrization, factorise


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 2, bias=False)))


@pytest.mark.parametrize(
    ("name", "values", "mode", "params"),
    [
        ("rewa", {"K": 3, "M": 1}, "rewa", 1),
        ("rewa", {"K": 1, "M": 0}, "plain", 1),
        ("rewa", {"K": 1, "M": 0, "epsilon": 0.1}, "rewa", 1),
        ("sgd_l1", {"l1": 0.1}, "sgd_l1", 1),
        ("sgd_l1", {"l1": 0.0}, "plain", 1),
        ("spred", {}, "spred", 2),
        ("magnitude", {}, "plain", 1),
        ("random", {}, "plain", 1),
    ],
)
def test_rules_of_the_methods(name: str, values: dict[str, Any], mode: str, params: int) -> None:
    model = network()
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    optimizer = get_method(name).from_values({"lr": 0.1, **values}).prepare(model)  # type: ignore[attr-defined]
    rules = rules_of(model, optimizer)
    assert rules is not None
    assert set(rules) == {"0.weight", "0.bias", "2.0.weight"}
    for key, rule in rules.items():
        weight = key.endswith("weight")
        assert (rule.mode, len(rule.params)) == ((mode, params) if weight else ("plain", 1))
        assert optimizer.param_groups[rule.group] is rule.settings
        assert all(any(p is q for q in rule.settings["params"]) for p in rule.params)
        torch.testing.assert_close(rule.weight, before[key])


def test_momentum_is_made_where_the_optimizer_would_find_it() -> None:
    model = network()
    for momentum in (0.0, 0.9):
        optimizer = SGD(model.parameters(), lr=0.1, momentum=momentum)
        rules = rules_of(model, optimizer)
        assert rules is not None
        buffer = rules["0.weight"].momentum(optimizer)
        assert (buffer is None) == (momentum == 0)
        if buffer is not None:
            assert optimizer.state[model[0].weight]["momentum_buffer"] is buffer  # type: ignore[index]
            assert rules["0.weight"].momentum(optimizer) is buffer


def plain(model: nn.Module) -> Optimizer:
    return SGD(model.parameters(), lr=0.1)


def after(change: Callable[[nn.Module], Any], optimizer: Callable[[nn.Module], Optimizer] = plain) -> Any:
    def prepare(model: nn.Module) -> Optimizer:
        change(model)
        return optimizer(model)

    return prepare


def with_(**settings: Any) -> Callable[[nn.Module], Optimizer]:
    return lambda model: SGD(model.parameters(), lr=0.1, **settings)


def hooked(before: bool) -> Callable[[nn.Module], Optimizer]:
    def prepare(model: nn.Module) -> Optimizer:
        optimizer = plain(model)
        hook = optimizer.register_step_pre_hook if before else optimizer.register_step_post_hook
        hook(lambda *_: None)
        return optimizer

    return prepare


def own_step(model: nn.Module) -> Optimizer:
    optimizer = plain(model)
    optimizer.step = lambda closure=None: None  # type: ignore[assignment, method-assign, misc]
    return optimizer


def factors(depth: int, optimizer: Callable[[list[nn.Parameter]], Optimizer]) -> Any:
    return lambda model: optimizer([*factorise([model[0], model[2][0]], depth, "balanced"), model[0].bias])


class OwnSGD(SGD):
    pass


def tie(model: Any) -> None:
    model.append(nn.Linear(4, 5, bias=False))
    model[3].weight = model[0].weight


REFUSED: dict[str, Callable[[nn.Module], Optimizer]] = {
    "AdamW": lambda model: AdamW(model.parameters(), lr=0.1),
    "ReWAAdamW": lambda model: ReWAAdamW(model.parameters(), lr=0.1),
    "subclass": lambda model: OwnSGD(model.parameters(), lr=0.1),
    "nesterov": with_(momentum=0.9, nesterov=True),
    "dampening": with_(momentum=0.9, dampening=0.1),
    "maximize": with_(maximize=True),
    "differentiable": with_(differentiable=True),
    "ReWA nesterov": lambda model: ReWA(model.parameters(), lr=0.1, momentum=0.9, nesterov=True),
    "l1 and decay": lambda model: L1SGD(model.parameters(), lr=0.1, l1=0.1, weight_decay=0.1),
    "hook before": hooked(before=True),
    "hook after": hooked(before=False),
    "own step": own_step,
    "hook on a gradient": after(lambda m: m[0].bias.register_hook(lambda g: g)),
    "hook after a gradient": after(lambda m: m[0].bias.register_post_accumulate_grad_hook(lambda p: None)),
    "frozen": after(lambda m: m[0].bias.requires_grad_(False)),
    "double": after(lambda m: m.double()),
    "left out": lambda model: SGD(list(model.parameters())[1:], lr=0.1),
    "more than the model": lambda model: SGD([*model.parameters(), nn.Parameter(torch.ones(1))], lr=0.1),
    "tied": after(tie),
    "three factors": factors(3, lambda params: SGD(params, lr=0.1)),
    "factors with l1": factors(2, lambda params: L1SGD(params, lr=0.1, l1=0.1)),
    "powers of factors": factors(2, lambda params: ReWA(params, lr=0.1, K=3)),
    "epsilon on factors": factors(2, lambda params: ReWA(params, lr=0.1, K=1, M=0, epsilon=0.1)),
    "factors in two groups": factors(
        2, lambda params: SGD([{"params": params[:1]}, {"params": params[1:]}], lr=0.1)
    ),
    "another parametrization": after(
        lambda m: parametrize.register_parametrization(m[0], "weight", PowerParametrization(3))
    ),
    "a bias of factors": after(
        lambda m: parametrize.register_parametrization(m[0], "bias", HadamardParametrization(2))
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    model = network()
    assert rules_of(model, REFUSED[name](model)) is None


def test_the_plain_ones_are_not_refused() -> None:
    """What the table above changes, unchanged."""
    for optimizer in (plain, with_(momentum=0.9, foreach=True), factors(2, lambda p: SGD(p, lr=0.1))):
        model = network()
        assert rules_of(model, optimizer(model)) is not None
