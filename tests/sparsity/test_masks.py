"""Masks against the frontier's own pruning, and held weights against steps taken without any mask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from rewa import ReWA, ReWAAdamW
from rewa.optim import L1SGD, prunable_weights
from rewa.sparsity import apply_masks, hold_masks, measure_frontier, top_masks

VALUES = [0.0, 0.1, -0.1, 0.2, -0.2, 0.5, 1.0, -1.0]


def model_of(values: list[float]) -> nn.Sequential:
    """12 prunable weights, no other parameter."""
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
    flat = torch.tensor(values)
    with torch.no_grad():
        model[0].weight.copy_(flat[:6].view(3, 2))
        model[1].weight.copy_(flat[6:].view(2, 3))
    return model


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.sampled_from(VALUES), min_size=12, max_size=12),
    ratio=st.floats(1, 30),
    ranks=st.none() | st.permutations(range(12)),
)
def test_masks_are_what_the_frontier_keeps(
    values: list[float], ratio: float, ranks: list[int] | None
) -> None:
    """Ties and zeros included: the pruned models are the same, weight by weight."""
    scores = None
    if ranks is not None:
        order = torch.tensor(ranks, dtype=torch.float32) // 2  # ties here too
        scores = {"0.weight": order[:6].view(3, 2), "1.weight": order[6:].view(2, 3)}
    model = model_of(values)
    seen: list[Tensor] = []

    def spy(pruned: nn.Module) -> Mapping[str, float]:
        seen.append(torch.cat([w.detach().flatten() for w in prunable_weights(pruned).values()]))
        return {"val": 0.0}

    measure_frontier(model, spy, scores, [ratio], [])
    masks = top_masks(model, ratio, scores)
    assert sum(int(mask.sum()) for mask in masks.values()) == max(1, int(12 // ratio))
    apply_masks(model, masks)
    assert torch.equal(torch.cat([w.detach().flatten() for w in model.parameters()]), seen[0])


Make = Callable[[list[Any]], Optimizer]
OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "sgd_plain": lambda p: SGD(p, lr=0.1),
    "l1": lambda p: L1SGD(p, lr=0.1, momentum=0.9, l1=0.01),
    "adamw": lambda p: AdamW(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    "rewa": lambda p: ReWA(p, lr=0.05, K=5, M=1.5, weight_decay=0.02, momentum=0.9),
    "rewa_M0": lambda p: ReWA(p, lr=0.01, K=3, M=0, epsilon=1e-3, momentum=0.8),
    "rewa_K1": lambda p: ReWA(p, lr=0.05, K=1, M=0, weight_decay=0.02, momentum=0.9),
    "rewa_adamw": lambda p: ReWAAdamW(p, lr=0.01, K=3, weight_decay=0.1),
}


@pytest.mark.parametrize("before", [0, 4], ids=["fresh", "mid-training"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_stay_zero_and_others_move_as_if_alone(name: str, before: int) -> None:
    """The truth: the same steps on the kept weights only, with nothing pruned anywhere."""
    generator = torch.Generator().manual_seed(3)
    layer = nn.Linear(12, 10, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(10, 12, generator=generator))
        layer.weight[0, :4] = 1e-32  # written as zero by ReWA, while its latent lives on
    alone = nn.Parameter(layer.weight.detach().clone().flatten())
    grads = torch.randn(25, 10, 12, generator=generator)
    optimizer, reference = OPTIMIZERS[name]([layer.weight]), OPTIMIZERS[name]([alone])
    mask = torch.rand(10, 12, generator=generator) < 0.4
    mask[0, :2] = True
    hold = None
    for step, grad in enumerate(grads):
        if step == before:
            hold = hold_masks(optimizer, layer, {"weight": mask})
        layer.weight.grad, alone.grad = grad.clone(), grad.flatten().clone()
        optimizer.step()
        reference.step()
        if hold:
            assert not layer.weight[~mask].any()
            for state in optimizer.state[layer.weight].values():
                if isinstance(state, Tensor) and state.shape == mask.shape:
                    assert not state[~mask].any()
        assert torch.equal(layer.weight[mask], alone.view(10, 12)[mask]), f"step {step}"
        if "latent" in optimizer.state[layer.weight]:
            latent, truth = optimizer.state[layer.weight]["latent"], reference.state[alone]["latent"]
            assert torch.equal(latent[mask], truth.view(10, 12)[mask]), f"step {step}"
    assert layer.weight[mask].any()


def test_masked_sgd_by_hand_through_a_network() -> None:
    """Gradients are those of the pruned network, and the step is written out in NumPy."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    masks = top_masks(model, 3)
    optimizer = SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=0.05)
    hold_masks(optimizer, model, masks)
    w1, b1, w2, b2 = (p.detach().numpy().copy() for p in model.parameters())
    m1, m2 = masks["0.weight"].numpy(), masks["2.weight"].numpy()
    buffers = [np.zeros_like(value) for value in (w1, b1, w2, b2)]
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.standard_normal((8, 5)), rng.standard_normal((8, 3))
        optimizer.zero_grad()
        nn.functional.mse_loss(model(torch.tensor(x)), torch.tensor(y)).backward()
        optimizer.step()
        hidden = np.tanh(x @ w1.T + b1)
        error = 2 * (hidden @ w2.T + b2 - y) / y.size
        back = (error @ w2) * (1 - hidden**2)
        slopes = [(back.T @ x) * m1, back.sum(0), (error.T @ hidden) * m2, error.sum(0)]
        for value, buffer, slope in zip((w1, b1, w2, b2), buffers, slopes, strict=True):
            buffer[...] = 0.9 * buffer + slope + 0.05 * value
            value -= 0.2 * buffer
        for found, value in zip(model.parameters(), (w1, b1, w2, b2), strict=True):
            np.testing.assert_allclose(found.detach().numpy(), value, rtol=1e-9, atol=1e-12)
        assert not model[0].weight.detach().numpy()[~m1].any()


def test_infinite_gradients_of_pruned_weights_and_closures_do_no_harm() -> None:
    layer = nn.Linear(4, 1, bias=False)
    mask = torch.tensor([[True, False, True, False]])
    optimizer = SGD(layer.parameters(), lr=0.1, momentum=0.9)
    hold_masks(optimizer, layer, {"weight": mask})
    layer.weight.grad = torch.tensor([[1.0, float("inf"), 1.0, float("nan")]])
    optimizer.step()
    assert torch.isfinite(layer.weight).all()

    def closure() -> float:
        layer.weight.grad = torch.full((1, 4), 2.0)
        return 0.0

    optimizer.step(closure)
    assert not layer.weight[~mask].any()
    assert not optimizer.state[layer.weight]["momentum_buffer"][~mask].any()


def test_a_removed_hold_lets_go() -> None:
    layer = nn.Linear(3, 1, bias=False)
    optimizer = SGD(layer.parameters(), lr=0.1)
    hold = hold_masks(optimizer, layer, {"weight": torch.zeros(1, 3, dtype=torch.bool)})
    hold.remove()
    hold.remove()
    layer.weight.grad = torch.ones(1, 3)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), torch.full((1, 3), -0.1))


def test_masks_that_do_not_fit_are_refused() -> None:
    model = model_of([1.0] * 12)
    optimizer = SGD(model.parameters(), lr=0.1)
    good = top_masks(model, 2)
    with pytest.raises(ValueError, match=r"mask '7\.weight' is of no"):
        hold_masks(optimizer, model, {**good, "7.weight": good["0.weight"]})
    with pytest.raises(ValueError, match=r"mask '0\.weight' must be bool of shape \(3, 2\)"):
        apply_masks(model, {"0.weight": good["0.weight"].float()})
    with pytest.raises(ValueError, match="belongs to another model"):
        hold_masks(SGD(model_of([1.0] * 12).parameters(), lr=0.1), model, good)
    assert torch.equal(model[0].weight, torch.ones(3, 2)), "refused before anything is written"
    with pytest.raises(ValueError, match=r"0\.5"):
        top_masks(model, 0.5)
