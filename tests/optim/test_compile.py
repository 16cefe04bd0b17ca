"""A compiled step and a captured one take the eager step."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rewa import ReWA, ReWAAdamW

Maker = Callable[..., Any]
VARIANTS: list[tuple[Maker, dict[str, Any], float]] = [
    (ReWA, {"K": 3, "M": 1, "epsilon": 0.1, "momentum": 0.9, "weight_decay": 0.01}, 1e-5),
    (ReWA, {"K": 2.5, "M": 0.5, "momentum": 0.9, "nesterov": True}, 1e-5),
    (ReWAAdamW, {"K": 3, "M": 0, "weight_decay": 0.01}, 1e-4),
    (ReWAAdamW, {"K": 3, "M": 1, "epsilon": 0.1, "amsgrad": True}, 1e-4),
]
"""With tolerances: inside a graph Adam's 1 - beta2^t is a float32, 6e-5 off its value at the first step."""
RATES = [0.05, 0.05, 0.1, 0.02, 0.02, 0.05]


def build(optimizer_class: Maker, device: str, **options: Any) -> tuple[list[nn.Parameter], Any]:
    """Reparameterised weights and a plain bias, with gradients to be filled in place."""
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(s, generator=generator).to(device)) for s in [(8, 8), (3, 5), (5,)]]
    for p in params:
        p.grad = torch.zeros_like(p)
    plain = {"K": 1, "M": 0, "epsilon": 0.0}
    groups = [{"params": params[:2]}, {"params": params[2:], **plain}]
    lr = torch.tensor(RATES[0], device=device)
    return params, optimizer_class(groups, lr=lr, **options)


def fill_gradients(params: list[nn.Parameter], generator: torch.Generator) -> None:
    for p in params:
        assert p.grad is not None
        p.grad.copy_(torch.randn(p.shape, generator=generator))


def run(params: list[nn.Parameter], optimizer: Any, step: Callable[[], Any]) -> list[Tensor]:
    """Take one step per learning rate and return the parameters."""
    generator = torch.Generator().manual_seed(1)
    for rate in RATES:
        for group in optimizer.param_groups:
            group["lr"].fill_(rate)
        fill_gradients(params, generator)
        step()
    return [p.detach().clone() for p in params]


def assert_close(ours: list[Tensor], eager: list[Tensor], tolerance: float) -> None:
    for one, other in zip(ours, eager, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler for the CPU, and there is none here",
)
@pytest.mark.parametrize(("optimizer_class", "options", "tolerance"), VARIANTS)
def test_a_compiled_step_is_the_eager_step(
    optimizer_class: Maker, options: dict[str, Any], tolerance: float
) -> None:
    torch.compiler.reset()
    params, optimizer = build(optimizer_class, "cpu", **options)
    eager = run(params, optimizer, optimizer.step)
    params, optimizer = build(optimizer_class, "cpu", **options)
    start = [p.detach().clone() for p in params]
    compiled = run(params, optimizer, torch.compile(lambda: optimizer.step()))
    assert_close(compiled, eager, tolerance)
    assert all((one - other).abs().max() > 0.05 for one, other in zip(compiled, start, strict=True))


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler for the CPU, and there is none here",
)
@pytest.mark.parametrize("optimizer_class", [ReWA, ReWAAdamW])
def test_latents_follow_a_mask_between_compiled_steps(optimizer_class: Maker) -> None:
    torch.compiler.reset()
    params, optimizer = build(optimizer_class, "cpu", K=3, M=1)
    step = torch.compile(lambda: optimizer.step())
    run(params, optimizer, step)
    with torch.no_grad():
        params[0][0] = 0
    run(params, optimizer, step)
    assert (params[0][0] == 0).all()
    assert (params[0][1:] != 0).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a CUDA device")
@pytest.mark.parametrize("kernel", [{}, {"foreach": False}, {"foreach": True}, {"fused": True}])
@pytest.mark.parametrize(("optimizer_class", "options", "tolerance"), VARIANTS)
def test_a_captured_step_replays_with_new_gradients_and_learning_rates(
    optimizer_class: Maker, options: dict[str, Any], tolerance: float, kernel: dict[str, bool]
) -> None:
    """Warm-up steps on a side stream and the captured ones follow the same sequence as the eager twin."""
    options = {**options, **kernel, "capturable": True}
    params, optimizer = build(optimizer_class, "cuda", **options)
    twins, twin = build(optimizer_class, "cuda", **options)
    generators = [torch.Generator().manual_seed(2) for _ in range(2)]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            fill_gradients(params, generators[0])
            optimizer.step()
    torch.cuda.current_stream().wait_stream(side)
    for _ in range(3):
        fill_gradients(twins, generators[1])
        twin.step()

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        optimizer.step()  # recorded, not run
    captured = run(params, optimizer, graph.replay)
    eager = run(twins, twin, twin.step)
    assert_close(captured, eager, tolerance)
