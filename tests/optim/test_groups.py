from __future__ import annotations

import pytest
import torch
from torch import nn

from rewa import ReWA, param_groups
from rewa.optim import prunable_weights
from rewa.reparam import factorise


class Mixed(nn.Module):
    """Convolutions, normalisation, an embedding tied to the head, a frozen layer and a free scale."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.up = nn.ConvTranspose2d(4, 2, 3, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.embedding = nn.Embedding(7, 5)
        self.body = nn.Linear(5, 5)
        self.again = self.body
        self.head = nn.Linear(5, 7)
        self.frozen = nn.Linear(5, 5).requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(1))


def names(model: nn.Module, params: list[nn.Parameter]) -> list[str]:
    known = {id(p): name for name, p in model.named_parameters()}
    return sorted(known[id(p)] for p in params)


def test_weights_are_told_from_the_rest() -> None:
    model = Mixed()
    weights, rest = param_groups(model, plain_weight_decay=0.3, lr=0.7)
    assert names(model, weights["params"]) == ["body.weight", "conv.weight", "head.weight", "up.weight"]
    assert names(model, rest["params"]) == [
        *("body.bias", "conv.bias", "embedding.weight", "head.bias"),
        *("norm.bias", "norm.weight", "scale"),
    ]
    assert set(weights) == {"params"}
    del rest["params"]
    assert rest == {"K": 1, "M": 0, "epsilon": 0.0, "weight_decay": 0.3, "lr": 0.7}


def test_a_weight_shared_by_two_layers_is_there_once() -> None:
    model = Mixed()
    model.head.weight = model.embedding.weight
    weights, rest = param_groups(model)
    together = [id(p) for p in weights["params"] + rest["params"]]
    assert len(together) == len(set(together))
    assert sum(p is model.head.weight for p in weights["params"]) == 1
    assert list(prunable_weights(model)).count("head.weight") == 1


def test_tied_layers_count_once() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    model[1].weight = model[0].weight
    assert list(prunable_weights(model)) == ["0.weight"]


def test_every_trainable_parameter_is_optimised() -> None:
    model = Mixed()
    groups = param_groups(model)
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    assert {id(p) for group in groups for p in group["params"]} == trainable


def test_empty_groups_are_left_out() -> None:
    assert [len(g["params"]) for g in param_groups(nn.Linear(2, 2, bias=False))] == [1]
    (only,) = param_groups(nn.LayerNorm(3))
    assert only["K"] == 1


def test_a_bare_layer_has_a_name() -> None:
    assert list(prunable_weights(nn.Linear(2, 3))) == ["weight"]


def test_nothing_trainable_is_an_error() -> None:
    with pytest.raises(ValueError, match="requires a gradient"):
        param_groups(nn.Linear(2, 2).requires_grad_(False))


def test_a_parametrized_layer_is_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    factorise([model[1]], 2, "balanced")
    with pytest.raises(ValueError, match="layer '1' is parametrized"):
        prunable_weights(model)


def test_the_plain_group_is_sgd() -> None:
    """From zero a bias takes SGD's step -lr * g while the weights obey zero's absorption."""
    model = nn.Linear(2, 2)
    with torch.no_grad():
        model.weight.zero_()
        model.bias.zero_()
    optimizer = ReWA(param_groups(model), lr=0.5, K=9, M=2, weight_decay=0.1)
    model.weight.grad, model.bias.grad = torch.ones(2, 2), torch.tensor([1.0, -2.0])
    optimizer.step()
    assert model.bias.tolist() == [-0.5, 1.0]
    assert not model.weight.any()
