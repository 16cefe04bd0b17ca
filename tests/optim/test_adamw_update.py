"""ReWAAdamW's step against Algorithm 2, by hand and by a loop over Python floats."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from exponents import exponents
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rewa import ReWAAdamW

KERNELS = {
    "loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters of Algorithm 2."""

    lr: float
    K: float
    M: float
    epsilon: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = False
    maximize: bool = False


def algorithm2(x: float, gradients: list[float], s: Setting) -> float:
    """Return x after one step of Algorithm 2 per gradient, in plain Python."""
    beta1, beta2 = s.betas
    y, m, v, largest = math.copysign(abs(x) ** (1 / s.K), x), 0.0, 0.0, 0.0
    for t, gradient in enumerate(gradients, start=1):
        power = abs(y) ** (s.K - 1)
        ratio = power / (power + s.epsilon) if s.epsilon else 1.0
        g = ratio * abs(y) ** s.M * (-gradient if s.maximize else gradient)
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        largest = max(largest, v)
        m_hat = m / (1 - beta1**t)
        v_hat = (largest if s.amsgrad else v) / (1 - beta2**t)
        y = y * (1 - s.lr * s.weight_decay) - s.lr * m_hat / (math.sqrt(v_hat) + s.eps)
    return math.copysign(abs(y) ** s.K, y)


def train(start: Tensor, gradients: Tensor, **options: Any) -> tuple[nn.Parameter, ReWAAdamW]:
    """Return a parameter after one step per row of gradients, and its optimizer."""
    p = nn.Parameter(start.clone())
    optimizer = ReWAAdamW([p], **options)
    for row in gradients:
        p.grad = row.clone()
        optimizer.step()
    return p, optimizer


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_step_by_hand(kernel: str) -> None:
    """K = 3, M = 1, epsilon = 1/4, y = 1/2 (x = 1/8), g = 8, betas 1/2 and 3/4, eps = 1, lambda = 1/2.

    Ratio (1/4) / (1/4 + 1/4) = 1/2, times |y|^1 = 1/2, times 8: scaled gradient 2.
    m = 2/2 = 1, v = 4/4 = 1; m_hat = 1 / (1/2) = 2, v_hat = 1 / (1/4) = 4.
    y = 0.5 (1 - 0.3 * 0.5) - 0.3 * 2 / (2 + 1) = 0.425 - 0.2 = 0.225; x = 0.225^3.
    """
    start, gradient = torch.tensor([0.125]).double(), torch.tensor([[8.0]]).double()
    options: dict[str, Any] = {"lr": 0.3, "K": 3, "M": 1, "epsilon": 0.25, "eps": 1.0, "weight_decay": 0.5}
    p, optimizer = train(start, gradient, betas=(0.5, 0.75), **options, **KERNELS[kernel])
    state = optimizer.state[p]
    assert state["exp_avg"].item() == pytest.approx(1.0, rel=1e-12)
    assert state["exp_avg_sq"].item() == pytest.approx(1.0, rel=1e-12)
    assert state["step"].item() == 1
    assert state["latent"].item() == pytest.approx(0.225, rel=1e-12)
    assert p.item() == pytest.approx(0.011390625, rel=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("amsgrad", "last"), [(False, 0.75 - 1 / 6), (True, 0.75 - 1 / 24)])
@pytest.mark.parametrize("kernel", KERNELS)
def test_amsgrad_and_maximize_by_hand(kernel: str, amsgrad: bool, last: float, sign: int) -> None:
    """K = 2, M = 0, epsilon = 0, from y = 1; gradients 4 and -1; betas 1/2 and 0, eps = 0, gamma = 1/4.

    Step 1: m = 2, m_hat = 4, v = 16: y = 1 - 4/4/4 = 0.75.
    Step 2: m = 1 - 0.5, m_hat = 0.5 / 0.75 = 2/3, v = 1 (or its maximum, 16):
    y = 0.75 - 2/3/4 = 0.75 - 1/6 (or 0.75 - 2/3/4/4 = 0.75 - 1/24).
    """
    gradients = sign * torch.tensor([[4.0], [-1.0]]).double()
    options: dict[str, Any] = {"lr": 0.25, "K": 2, "M": 0, "betas": (0.5, 0.0), "eps": 0.0}
    options |= {"amsgrad": amsgrad, "maximize": sign < 0}
    p, _ = train(torch.ones(1).double(), gradients, **options, **KERNELS[kernel])
    assert p.item() == pytest.approx(last**2, rel=1e-12)


def test_defaults_are_the_documented_ones() -> None:
    p, optimizer = train(torch.ones(2), torch.ones(1, 2), lr=0.1)
    group = optimizer.param_groups[0]
    expected = {"K": 9, "M": 0, "epsilon": 0, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0}
    assert {name: group[name] for name in expected} == expected
    assert p.tolist() == pytest.approx([0.9**9] * 2, rel=1e-5)


@st.composite
def any_setting(draw: st.DrawFn) -> Setting:
    K = draw(st.sampled_from([1, 2, 3, 4, 5, 9, 13, 1.5, 2.25, 6.7]))
    whole = st.sampled_from([M for M in (0, 1, 2, 4, 8) if M <= K - 1])
    return Setting(
        lr=draw(st.sampled_from([0.0, 0.00317, 0.0371, 0.2113])),
        K=K,
        M=draw(whole | exponents(K)),
        epsilon=draw(st.sampled_from([0.0, 1e-3, 0.1, 2.0])),
        betas=(draw(st.sampled_from([0.0, 0.5, 0.9])), draw(st.sampled_from([0.5, 0.9, 0.999]))),
        eps=draw(st.sampled_from([1e-8, 1e-3, 1.0])),
        weight_decay=draw(st.sampled_from([0.0, 1e-3, 0.2])),
        amsgrad=draw(st.booleans()),
        maximize=draw(st.booleans()),
    )


starts = st.lists(st.floats(1e-3, 2) | st.floats(-2, -1e-3) | st.just(0.0), min_size=3, max_size=3)
sequences = st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=1, max_size=6)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=80, deadline=None)
@given(start=starts, rows=sequences, setting=any_setting())
def test_steps_are_algorithm_2(
    kernel: str, start: list[float], rows: list[list[float]], setting: Setting
) -> None:
    gradients = torch.tensor(rows, dtype=torch.float64)
    p, _ = train(torch.tensor(start, dtype=torch.float64), gradients, **asdict(setting), **KERNELS[kernel])
    expected = [algorithm2(x, gradients[:, i].tolist(), setting) for i, x in enumerate(start)]
    assert p.tolist() == pytest.approx(expected, rel=1e-8, abs=1e-10)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "flags",
    [
        {},
        {"weight_decay": 0.1, "betas": (0.5, 0.9), "eps": 1e-3},
        {"amsgrad": True, "weight_decay": 0.1},
        {"maximize": True},
    ],
)
def test_K1_is_torch_adamw_exactly(flags: dict[str, Any], dtype: torch.dtype, kernel: str) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(5, 7, dtype=dtype), torch.randn(20, 5, 7, dtype=dtype)
    shared = {"lr": 0.05, "weight_decay": 0.0, **flags, **KERNELS[kernel]}
    ours, _ = train(start, gradients, K=1, M=0, epsilon=0.0, **shared)
    theirs = nn.Parameter(start.clone())
    optimizer = torch.optim.AdamW([theirs], **shared)
    for row in gradients:
        theirs.grad = row.clone()
        optimizer.step()
    assert torch.equal(ours, theirs)
    assert not torch.allclose(ours, start, rtol=0.01)


ULP = 2.0**-23


def latents_of_a_step(setting: Setting, seed: int) -> dict[str, Tensor]:
    """Return all latents after one more float32 step from the same state, for each kernel."""
    torch.manual_seed(seed)
    params = [nn.Parameter(torch.randn(shape)) for shape in [(3, 4), (5,), (1, 2, 2)]]
    with torch.no_grad():
        params[0][0] = 0
    optimizer = ReWAAdamW(params, **asdict(setting))
    gradients = [[torch.randn_like(p) for p in params] for _ in range(4)]
    results = {}
    for kernel, choice in KERNELS.items():
        twins, twin = copy.deepcopy((params, optimizer))
        for row in gradients:
            if row is gradients[-1]:
                twin.param_groups[0].update(choice)
            for p, gradient in zip(twins, row, strict=True):
                p.grad = gradient
            twin.step()
        results[kernel] = torch.cat([twin.state[p].get("latent", p).detach().flatten() for p in twins])
    return results


@settings(max_examples=100, deadline=None)
@given(setting=any_setting(), seed=st.integers(0, 1000))
def test_kernels_agree(setting: Setting, seed: int) -> None:
    """Foreach repeats the loop bit by bit; fused orders its operations differently: 2 ulp of 1 + |y|."""
    results = latents_of_a_step(setting, seed)
    assert torch.equal(results["foreach"], results["loop"])
    torch.testing.assert_close(results["fused"], results["loop"], rtol=2 * ULP, atol=2 * ULP)
