"""ReWA's step against Eq. 3, by hand and by a loop over Python floats."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from exponents import exponents
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rewa import ReWA
from rewa.optim import SMALLEST_M, X_FLOOR


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters of Eq. 3."""

    lr: float
    K: float
    M: float
    epsilon: float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.0


def eq3(x: float, gradients: list[float], s: Setting) -> float:
    """Return x after one step of Eq. 3 per gradient, in plain Python."""
    y, b = math.copysign(abs(x) ** (1 / s.K), x), 0.0
    try:
        for g in gradients:
            power = abs(y) ** (s.K - 1)
            ratio = power / (power + s.epsilon) if s.epsilon else 1.0
            b = s.momentum * b + ratio * abs(y) ** s.M * g + s.weight_decay * y
            y -= s.lr * b
        return math.copysign(abs(y) ** s.K, y)
    except OverflowError:  # a diverging draw, beyond Python's floats: nothing to compare with
        reject()


def train(start: list[float], gradients: Tensor, s: Setting, **options: bool) -> nn.Parameter:
    """Return a parameter after one ReWA step per row of gradients."""
    p = nn.Parameter(torch.tensor(start, dtype=gradients.dtype))
    optimizer = ReWA([p], **vars(s), **options)
    for row in gradients:
        p.grad = row.clone()
        optimizer.step()
    return p


@pytest.mark.parametrize("foreach", [False, True])
def test_three_steps_by_hand(foreach: bool) -> None:
    """K = 3, M = 1, epsilon = 1/2, lambda = 1/2, momentum 0.9, gamma = 0.2, from y = 1.

    Step 1, g = 3:   1/(1+1/2) * 1 * 3 + 1/2              = 2.5;   b = 2.5;  y = 1 - 0.5     = 0.5
    Step 2, g = -6:  (1/4)/(3/4) * 1/2 * -6 + 1/4          = -0.75; b = 1.5;  y = 0.5 - 0.3   = 0.2
    Step 3, g = 135: (1/25)/(27/50) * 1/5 * 135 + 1/10     = 2.1;   b = 3.45; y = 0.2 - 0.69  = -0.49
    """
    p = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = ReWA([p], lr=0.2, K=3, M=1, epsilon=0.5, weight_decay=0.5, momentum=0.9, foreach=foreach)
    for gradient, expected in [(3.0, 0.125), (-6.0, 0.008), (135.0, -0.117649)]:
        p.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        assert p.item() == pytest.approx(expected, rel=1e-12)
    assert optimizer.state[p]["latent"].item() == pytest.approx(-0.49, rel=1e-12)


def test_non_adaptive_step_by_hand() -> None:
    """Even K = 2, M = 1, epsilon = 0, x = -9, so y = -3: y - 0.1 * 3 * 4 = -4.2 and x = -17.64."""
    p = train([-9.0], torch.tensor([[4.0]], dtype=torch.float64), Setting(lr=0.1, K=2, M=1))
    assert p.item() == pytest.approx(-17.64, rel=1e-12)


@st.composite
def any_setting(draw: st.DrawFn) -> Setting:
    K = draw(st.sampled_from([1, 2, 3, 4, 5, 6, 9, 13, 1.5, 2.25, 6.7]))
    whole = st.sampled_from([M for M in (0, 1, 2, 4, 8) if M <= K - 1])
    return Setting(
        lr=draw(st.floats(0.0, 0.3)),
        K=K,
        M=draw(whole | exponents(K)),
        epsilon=draw(st.sampled_from([0.0, 1e-3, 0.1, 2.0])),
        weight_decay=draw(st.sampled_from([0.0, 1e-3, 0.2])),
        momentum=draw(st.sampled_from([0.0, 0.5, 0.9])),
    )


starts = st.lists(st.floats(1e-3, 2) | st.floats(-2, -1e-3) | st.just(0.0), min_size=3, max_size=3)
sequences = st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=1, max_size=5)


@pytest.mark.parametrize("foreach", [False, True])
@settings(max_examples=150, deadline=None)
@given(start=starts, rows=sequences, setting=any_setting())
def test_steps_are_eq3(foreach: bool, start: list[float], rows: list[list[float]], setting: Setting) -> None:
    p = train(start, torch.tensor(rows, dtype=torch.float64), setting, foreach=foreach)
    expected = [eq3(x, [row[i] for row in rows], setting) for i, x in enumerate(start)]
    assert p.tolist() == pytest.approx(expected, rel=1e-8, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(start=starts, rows=sequences, setting=any_setting())
def test_float32_steps_are_eq3_to_its_precision(
    start: list[float], rows: list[list[float]], setting: Setting
) -> None:
    p = train(start, torch.tensor(rows), setting)
    assert p.dtype == torch.float32
    expected = [eq3(x, [row[i] for row in rows], setting) for i, x in enumerate(start)]
    assume(all(abs(x) < 1e30 for x in expected))  # a step that runs away leaves float32, not float64
    assert p.tolist() == pytest.approx(expected, rel=2e-3, abs=2e-4)


@settings(max_examples=60, deadline=None)
@given(setting=any_setting(), seed=st.integers(0, 1000))
@example(setting=Setting(lr=0.25, K=2, M=SMALLEST_M), seed=0)  # zero must stay zero on every path
def test_foreach_is_the_loop(setting: Setting, seed: int) -> None:
    def run(foreach: bool) -> list[Tensor]:
        torch.manual_seed(seed)
        params = [nn.Parameter(torch.randn(shape)) for shape in [(3, 4), (5,), (1, 2, 2)]]
        params[0].data[0] = 0
        optimizer = ReWA(params, **vars(setting), foreach=foreach)
        for _ in range(3):
            for p in params:
                p.grad = torch.randn_like(p)
            optimizer.step()
        return [p.detach() for p in params]

    for loop, multi in zip(run(False), run(True), strict=True):
        torch.testing.assert_close(multi, loop, rtol=4e-6, atol=1e-7)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_K1_M0_is_torch_sgd(foreach: bool, momentum: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    start = torch.randn(20, dtype=dtype)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    shared = {"lr": 0.1, "weight_decay": 0.01, "momentum": momentum, "foreach": foreach}
    optimizers = [ReWA([ours], K=1, M=0, **shared), torch.optim.SGD([theirs], **shared)]
    for _ in range(10):
        ours.grad = torch.randn(20, dtype=dtype)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
    assert not torch.allclose(ours, start)


@pytest.mark.parametrize("K", [2, 3, 5, 2.5])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_M_of_K_minus_1_is_gradient_descent_on_y(K: float, momentum: float) -> None:
    """The chain rule's gradient on y is K |y|^(K-1) g: K times the bracket, and so is K lambda y."""
    torch.manual_seed(1)
    lr, decay = 0.02, 0.05
    y = nn.Parameter(torch.randn(6, dtype=torch.float64))
    x = nn.Parameter((y.sign() * y.abs() ** K).detach())
    target = torch.randn(6, dtype=torch.float64)
    on_x = ReWA([x], lr=lr, K=K, M=K - 1, weight_decay=decay, momentum=momentum)
    on_y = torch.optim.SGD([y], lr=lr / K, weight_decay=K * decay, momentum=momentum)
    for _ in range(20):
        on_x.zero_grad()
        ((x - target) ** 4).sum().backward()
        on_x.step()
        on_y.zero_grad()
        ((y.sign() * y.abs() ** K - target) ** 4).sum().backward()
        on_y.step()
    torch.testing.assert_close(x.detach(), (y.sign() * y.abs() ** K).detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(("K", "M"), [(3, 1), (9, 2), (5, 0.25), (3, 2)])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_zero_is_absorbing_for_positive_M(K: float, M: float, epsilon: float, foreach: bool) -> None:
    gradients = torch.randn(10, 4, generator=torch.Generator().manual_seed(0))
    setting = Setting(lr=0.1, K=K, M=M, epsilon=epsilon, weight_decay=0.1, momentum=0.9)
    p = train([0.0, 0.0, 1.0, -0.0], gradients, setting, foreach=foreach)
    assert p[[0, 1, 3]].tolist() == [0, 0, 0]
    assert p[2] != 1


@pytest.mark.parametrize("foreach", [False, True])
def test_zero_can_be_left_for_M_zero(foreach: bool) -> None:
    """At y = 0 with epsilon = 0 the ratio is 1, so y = -0.5 * 1 and x = -1/8."""
    p = train([0.0], torch.tensor([[1.0]]), Setting(lr=0.5, K=3, M=0), foreach=foreach)
    assert p.item() == -0.125


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-20, 1e-45, 1e-50])
def test_zero_stays_for_positive_epsilon(epsilon: float, foreach: bool) -> None:
    """At y = 0 the ratio is 0 / (0 + epsilon) = 0, however small epsilon is."""
    setting = Setting(lr=0.5, K=3, M=0, epsilon=epsilon)
    assert train([0.0], torch.tensor([[1.0]]), setting, foreach=foreach).item() == 0


@pytest.mark.parametrize(("M", "crosses"), [(0, True), (0.5, True), (2, False)])
def test_wrong_sign_of_example_3_2(M: float, crosses: bool) -> None:
    """Minimise (x - 1)^2 / 2 from x = -1/2 with K = 3; M = K - 1 is the non-adaptive iteration."""
    x = nn.Parameter(torch.tensor([-0.5], dtype=torch.float64))
    optimizer = ReWA([x], lr=0.05, K=3, M=M)
    for _ in range(2000):
        x.grad = (x - 1).detach()
        optimizer.step()
    if crosses:
        assert x.item() == pytest.approx(1.0, abs=1e-6)
    else:
        assert -1e-3 < x.item() <= 0


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_null_coordinates_move_by_decay_only(decay: float) -> None:
    """Example 3.8: x' H x / 2 with H = diag(1, 0); a null coordinate is y_0 (1 - gamma lambda)^T."""
    lr, K, steps = 0.1, 3, 3000
    x = nn.Parameter(torch.tensor([5.0, 5.0], dtype=torch.float64))
    optimizer = ReWA([x], lr=lr, K=K, M=1, weight_decay=decay)
    for _ in range(steps):
        x.grad = x.detach() * torch.tensor([1.0, 0.0], dtype=torch.float64)
        optimizer.step()
    assert x[0].abs() < 0.01
    assert x[1].item() == pytest.approx(5.0 * (1 - lr * decay) ** (K * steps), rel=1e-9)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("K", [1, 2, 3, 9, 2.25, 33])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_no_magnitude_breaks_a_step(K: float, share: float, foreach: bool) -> None:
    """Over 40 orders of |x| everything stays finite; |x| <= X_FLOOR is written as exact zero."""
    sizes = torch.logspace(-38, 2, 81)
    start = torch.cat([sizes, -sizes, torch.zeros(1)])
    for epsilon in (0.0, 1e-12, 1e-3):
        for momentum in (0.0, 0.9):
            setting = Setting(1e-3, K, share * (K - 1), epsilon, 1e-3, momentum)
            gradients = torch.ones(4, len(start)) * torch.tensor([[1.0], [-1.0], [0.0], [0.3]])
            p = train(start.tolist(), gradients, setting, foreach=foreach).detach()
            assert p.isfinite().all()
            if K > 1:
                assert (p[p != 0].abs() > 0.999 * X_FLOOR).all()


@pytest.mark.parametrize("K", [2, 9, 2.25])
def test_a_step_of_length_zero_only_clears_what_is_below_the_floor(K: float) -> None:
    start = torch.tensor([1e-38, 0.5e-30, 2e-30, 1e-20, -1e-10, 1.0, -50.0])
    p = train(start.tolist(), torch.ones(1, 7), Setting(lr=0.0, K=K, M=K - 1)).detach()
    assert p[:2].tolist() == [0, 0]
    torch.testing.assert_close(p[2:], start[2:], rtol=1e-4, atol=0)
