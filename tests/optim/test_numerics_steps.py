"""No finite weight, however small or large, makes a step produce NaN, infinity or subnormal weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rewa import ReWA, ReWAAdamW
from rewa.optim import X_FLOOR

Maker = Callable[..., Any]
POWERS = [(1, 0), (2, 0), (2, 1), (3, 1), (3, 2), (9, 0), (9, 2), (9, 8), (15, 3), (2.25, 1.25), (3.7, 0.4)]
EPSILONS = [0.0, 1e-50, 1e-12, 1e-3, 1.0]
KERNELS: list[dict[str, bool]] = [{"foreach": False}, {"foreach": True}, {"fused": True}]
VARIANTS: list[tuple[Maker, dict[str, Any]]] = [
    (ReWA, {}),
    (ReWA, {"momentum": 0.9, "nesterov": True}),
    (ReWAAdamW, {}),
    (ReWAAdamW, {"amsgrad": True}),
]
GRADIENTS = [1.0, -1.0, 0.0, 1e-20, 1e-38, -0.3]


def weights(largest: int, dtype: torch.dtype) -> Tensor:
    """Both signs of 1e-30 to 10^largest, and both zeros."""
    sizes = torch.logspace(-30, largest, 2 * (largest + 30) + 1, dtype=torch.float64).to(dtype)
    return torch.cat([sizes, -sizes, torch.tensor([0.0, -0.0], dtype=dtype)])


def check_steps(optimizer_class: Maker, start: Tensor, **options: Any) -> nn.Parameter:
    p = nn.Parameter(start.clone())
    optimizer = optimizer_class([p], **options)
    smallest = torch.finfo(p.dtype).tiny
    for gradient in GRADIENTS:
        p.grad = torch.full_like(p, gradient)
        optimizer.step()
        assert p.isfinite().all()
        assert all(value.isfinite().all() for value in optimizer.state[p].values())
        if options["K"] > 1:
            assert ((p == 0) | (p.abs() >= smallest)).all()
            assert ((p == 0) | (p.abs() >= 0.99 * X_FLOOR)).all()
    return p


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("K", "M"), POWERS)
@pytest.mark.parametrize(("optimizer_class", "flags"), VARIANTS)
def test_40_orders_of_magnitude(
    optimizer_class: Maker, flags: dict[str, Any], K: float, M: float, kernel: dict[str, bool]
) -> None:
    """The learning rate is one that leaves the exact result finite for the largest weight."""
    start = weights(10, torch.float32)
    for epsilon in EPSILONS:
        p = check_steps(
            optimizer_class, start, K=K, M=M, epsilon=epsilon, lr=1e-10, weight_decay=1e-2, **flags, **kernel
        )
        large = start.abs() > 1e-4
        torch.testing.assert_close(p[large].detach(), start[large], rtol=0.5, atol=0)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("K", "M"), POWERS)
@pytest.mark.parametrize(("optimizer_class", "flags"), VARIANTS)
def test_small_weights_and_large_steps(
    optimizer_class: Maker, flags: dict[str, Any], K: float, M: float, kernel: dict[str, bool]
) -> None:
    start = weights(0, torch.float32)
    for epsilon in EPSILONS:
        p = check_steps(
            optimizer_class, start, K=K, M=M, epsilon=epsilon, lr=0.1, weight_decay=1e-2, **flags, **kernel
        )
        assert (p != start).any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(("K", "M"), POWERS)
@pytest.mark.parametrize(("optimizer_class", "flags"), VARIANTS)
def test_other_precisions(
    optimizer_class: Maker, flags: dict[str, Any], K: float, M: float, dtype: torch.dtype
) -> None:
    for largest, lr in ((10, 1e-10), (0, 0.1)):
        for epsilon in EPSILONS:
            check_steps(optimizer_class, weights(largest, dtype), K=K, M=M, epsilon=epsilon, lr=lr, **flags)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("K", "M"), [(2, 1), (3, 1), (9, 2), (3.7, 0.4)])
@pytest.mark.parametrize(("optimizer_class", "flags"), VARIANTS)
def test_decay_ends_in_exact_zero_and_never_in_a_subnormal(
    optimizer_class: Maker, flags: dict[str, Any], K: float, M: float, kernel: dict[str, bool]
) -> None:
    """Halving y in every step takes x through the floor; from then on x is 0 and stays."""
    p = nn.Parameter(torch.tensor([1.0, -1.0, 1e-20]))
    optimizer = optimizer_class([p], lr=0.5, K=K, M=M, weight_decay=1.0, **{**flags, **kernel})
    if "momentum" in flags:
        optimizer.param_groups[0].update(momentum=0.0, nesterov=False)
    seen = []
    for _ in range(120):
        p.grad = torch.zeros(3)
        optimizer.step()
        assert ((p == 0) | (p.abs() > 0.99 * X_FLOOR)).all()
        seen.append(p.detach().clone())
    zero = torch.stack(seen) == 0
    assert zero[-1].all()
    assert not zero[0].any()
    assert (zero[1:] >= zero[:-1]).all()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("optimizer_class", "flags"), VARIANTS)
def test_zero_is_absorbing_for_positive_M(
    optimizer_class: Maker, flags: dict[str, Any], kernel: dict[str, bool]
) -> None:
    p = nn.Parameter(torch.tensor([0.0, -0.0, 1.0]))
    optimizer = optimizer_class([p], lr=0.1, K=9, M=2, weight_decay=0.1, **flags, **kernel)
    for gradient in (1.0, -2.0, 3.0):
        p.grad = torch.full((3,), gradient)
        optimizer.step()
    assert p[:2].tolist() == [0, 0]
    assert p[2] != 1


@pytest.mark.parametrize("kernel", KERNELS)
def test_adamw_leaves_zero_for_M_zero(kernel: dict[str, bool]) -> None:
    """Adam's first step has length gamma: y = -0.5 and x = -1/8."""
    p = nn.Parameter(torch.zeros(1))
    optimizer = ReWAAdamW([p], lr=0.5, K=3, M=0, **kernel)
    p.grad = torch.ones(1)
    optimizer.step()
    assert p.item() == pytest.approx(-0.125, rel=1e-6)
