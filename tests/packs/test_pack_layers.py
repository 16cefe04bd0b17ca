"""Batched layers against autograd, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from rewa.packs.layers import POINTWISE, LinearLayer, Network, layer_for
from rewa.packs.networks import _cross_entropy

ROWS, SAMPLES = 3, 5


def network_of(modules: list[nn.Module], weights: list[list[Tensor | None]]) -> Network:
    """Return the layers of a pack: ``weights`` holds a stacked weight and bias for each linear module."""
    layers: list[object] = []
    stacked = iter(weights)
    for module in modules:
        if isinstance(module, nn.Linear):
            weight, bias = next(stacked)
            assert weight is not None
            layers.append(LinearLayer(weight, bias))
        else:
            layers.append(layer_for(module, bool(layers) and isinstance(layers[-1], LinearLayer)))
    return Network(layers)  # type: ignore[arg-type]


@pytest.mark.parametrize("activation", POINTWISE, ids=lambda kind: str(kind.__name__))
def test_gradients_are_autograds(activation: type[nn.Module]) -> None:
    """Two linear layers with bias and one without, the activation behind each, and ReLU behind that once."""
    torch.manual_seed(0)
    modules = [
        *(nn.Linear(6, 8), activation(), nn.ReLU(), nn.Linear(8, 7), activation()),
        *(nn.Linear(7, 4, bias=False),),
    ]
    plain = nn.Sequential(*modules).double()
    keys = [name for name, _ in plain.named_parameters()]
    rows = [{name: torch.randn_like(p) for name, p in plain.named_parameters()} for _ in range(ROWS)]
    stacks = {name: torch.stack([row[name] for row in rows]) for name in keys}
    weights = [
        [stacks[f"{i}.weight"], stacks[f"{i}.bias"].unsqueeze(1) if f"{i}.bias" in stacks else None]
        for i, module in enumerate(modules)
        if isinstance(module, nn.Linear)
    ]
    network = network_of(copy.deepcopy(modules), weights)
    for size in (SAMPLES, 2, SAMPLES):  # buffers are used again
        inputs = torch.randn(ROWS, size, 6, dtype=torch.float64)
        targets = torch.randint(4, (ROWS, size))
        with torch.no_grad():
            losses, grad = _cross_entropy(network.forward(inputs), targets)
            network.backward(grad)
        found = [
            g
            for layer in network.layers
            if isinstance(layer, LinearLayer)
            for g in (layer.weight_grad, layer.bias_grad)
        ]
        for t, row in enumerate(rows):
            wanted = {name: p.clone().requires_grad_() for name, p in row.items()}
            loss = cross_entropy(functional_call(plain, wanted, (inputs[t],)), targets[t])
            assert float(losses[t]) == pytest.approx(float(loss.detach()), rel=1e-12)
            expected = torch.autograd.grad(loss, [wanted[name] for name in keys])
            ours = [g[t] for g in found if g is not None]
            for one, other in zip(ours, expected, strict=True):
                torch.testing.assert_close(one.view_as(other), other, rtol=1e-9, atol=1e-13)


def test_inputs_are_left_alone() -> None:
    """The split is an expanded view at evaluation; an activation in place must not reach it."""
    network = network_of([nn.Linear(6, 4), nn.ReLU()], [[torch.randn(ROWS, 4, 6), None]])
    inputs = torch.randn(SAMPLES, 6)
    before = inputs.clone()
    outputs = network.forward(inputs.expand(ROWS, -1, -1))
    assert torch.equal(inputs, before)
    assert (outputs >= 0).all()
