"""ReWA's nesterov, dampening, maximize and fused against a loop over floats and against torch.optim.SGD."""

from __future__ import annotations

import copy
import itertools
import math
import re
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from exponents import exponents
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rewa import ReWA

KERNELS = {
    "loop": {"foreach": False, "fused": False},
    "foreach": {"foreach": True, "fused": False},
    "fused": {"foreach": False, "fused": True},
}
ULP = 2.0**-23


@dataclass(frozen=True)
class Setting:
    """Hyper-parameters of Eq. 3 and SGD's flags."""

    lr: float
    K: float
    M: float
    epsilon: float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    maximize: bool = False


def eq3_with_flags(x: float, gradients: list[float], s: Setting) -> float:
    """Return x after one step per gradient; the first bracket enters the buffer whole, as in torch's SGD."""
    y, buffer = math.copysign(abs(x) ** (1 / s.K), x), None
    for gradient in gradients:
        power = abs(y) ** (s.K - 1)
        ratio = power / (power + s.epsilon) if s.epsilon else 1.0
        bracket = ratio * abs(y) ** s.M * (-gradient if s.maximize else gradient) + s.weight_decay * y
        if s.momentum:
            buffer = bracket if buffer is None else s.momentum * buffer + (1 - s.dampening) * bracket
            bracket = bracket + s.momentum * buffer if s.nesterov else buffer
        y -= s.lr * bracket
    return math.copysign(abs(y) ** s.K, y)


def train(start: Tensor, gradients: Tensor, optimizer_class: Any, **options: Any) -> nn.Parameter:
    p = nn.Parameter(start.clone())
    optimizer = optimizer_class([p], **options)
    for row in gradients:
        p.grad = row.clone()
        optimizer.step()
    return p


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("flags", "y"),
    [
        ({"nesterov": True}, 0.58 - 0.1 * (1 + 0.5 * 2.4)),
        ({"dampening": 0.75}, 0.72 - 0.1 * 1.65),
        ({"maximize": True}, 1.28 + 0.1 * 2.4),
    ],
)
def test_flags_by_hand(flags: dict[str, Any], y: float, kernel: str) -> None:
    """K = 2, M = 0, epsilon = 0, momentum 1/2, gamma = 0.1, from y = 1, gradients 2.8 and 1.

    First bracket 2.8, so b = 2.8 in every case (dampening spares the first); y = 1 - 0.28 = 0.72, with
    Nesterov 1 - 0.1 (2.8 + 1.4) = 0.58, ascending 1.28. Second: b = 1.4 + 1 = 2.4; dampened 1.4 + 1/4.
    """
    gradients = torch.tensor([[2.8], [1.0]], dtype=torch.float64)
    start = torch.ones(1, dtype=torch.float64)
    p = train(start, gradients, ReWA, lr=0.1, K=2, M=0, momentum=0.5, **flags, **KERNELS[kernel])
    assert p.item() == pytest.approx(y**2, rel=1e-12)


@st.composite
def any_setting(draw: st.DrawFn) -> Setting:
    K = draw(st.sampled_from([1, 2, 3, 4, 5, 9, 13, 1.5, 2.25, 6.7]))
    whole = st.sampled_from([M for M in (0, 1, 2, 4, 8) if M <= K - 1])
    momentum = draw(st.sampled_from([0.0, 0.5, 0.9]))
    nesterov = momentum > 0 and draw(st.booleans())
    return Setting(
        lr=draw(st.sampled_from([0.0, 0.00317, 0.0371, 0.2113])),
        K=K,
        M=draw(whole | exponents(K)),
        epsilon=draw(st.sampled_from([0.0, 1e-3, 0.1, 2.0])),
        weight_decay=draw(st.sampled_from([0.0, 1e-3, 0.2])),
        momentum=momentum,
        dampening=0.0 if nesterov else draw(st.sampled_from([0.0, 0.1, 0.9])),
        nesterov=nesterov,
        maximize=draw(st.booleans()),
    )


starts = st.lists(st.floats(1e-3, 2) | st.floats(-2, -1e-3) | st.just(0.0), min_size=3, max_size=3)
sequences = st.lists(st.lists(st.floats(-2, 2), min_size=3, max_size=3), min_size=1, max_size=5)


@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=100, deadline=None)
@given(start=starts, rows=sequences, setting=any_setting())
def test_steps_are_eq3_with_flags(
    kernel: str, start: list[float], rows: list[list[float]], setting: Setting
) -> None:
    gradients = torch.tensor(rows, dtype=torch.float64)
    p = train(torch.tensor(start, dtype=torch.float64), gradients, ReWA, **asdict(setting), **KERNELS[kernel])
    try:
        expected = [eq3_with_flags(x, gradients[:, i].tolist(), setting) for i, x in enumerate(start)]
    except OverflowError:
        reject()
    assume(all(abs(x) < 1e30 for x in expected))  # large steps can diverge: that is Eq. 3's own
    assert p.tolist() == pytest.approx(expected, rel=1e-8, abs=1e-10)


FLAGS: list[dict[str, Any]] = [
    {"momentum": momentum, "nesterov": nesterov, "dampening": dampening, "maximize": maximize}
    for momentum, nesterov, dampening, maximize in itertools.product(
        [0.0, 0.9], [False, True], [0.0, 0.3], [False, True]
    )
    if not nesterov or (momentum and not dampening)
]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("flags", FLAGS)
def test_K1_M0_is_torch_sgd_exactly(flags: dict[str, Any], weight_decay: float, kernel: str) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(5, 7), torch.randn(10, 5, 7)
    shared = {"lr": 0.05, "weight_decay": weight_decay, **flags, **KERNELS[kernel]}
    ours = train(start, gradients, ReWA, K=1, M=0, epsilon=0.0, **shared)
    assert torch.equal(ours, train(start, gradients, torch.optim.SGD, **shared))
    assert not torch.allclose(ours, start, rtol=0.01)


def latents_of_a_step(setting: Setting, seed: int) -> dict[str, Tensor]:
    """Return all latents after one more float32 step from the same state, for each kernel."""
    torch.manual_seed(seed)
    params = [nn.Parameter(torch.randn(shape)) for shape in [(3, 4), (5,), (1, 2, 2)]]
    with torch.no_grad():
        params[0][0] = 0
    optimizer = ReWA(params, **asdict(setting))
    gradients = [[torch.randn_like(p) for p in params] for _ in range(3)]
    results = {}
    for kernel, choice in KERNELS.items():
        twins, twin = copy.deepcopy((params, optimizer))
        for row in gradients:
            if row is gradients[-1]:
                twin.param_groups[0].update(choice)
            for p, gradient in zip(twins, row, strict=True):
                p.grad = gradient.clone()
            twin.step()
        results[kernel] = torch.cat([twin.state[p].get("latent", p).detach().flatten() for p in twins])
    return results


@settings(max_examples=100, deadline=None)
@given(setting=any_setting(), seed=st.integers(0, 1000))
def test_kernels_agree(setting: Setting, seed: int) -> None:
    """Foreach repeats the loop bit by bit; fused orders its operations differently: 2 ulp of 1 + |y|.

    (Of the largest |y|: a step of length 5 that lands at 0.1 leaves an error of its own size.)
    """
    results = latents_of_a_step(setting, seed)
    assert torch.equal(results["foreach"], results["loop"])
    largest = max(1.0, results["loop"].abs().max().item())
    torch.testing.assert_close(results["fused"], results["loop"], rtol=2 * ULP, atol=2 * ULP * largest)


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("flags", FLAGS)
def test_the_capturable_step_is_the_ordinary_one(flags: dict[str, Any], K: float, shape: tuple[int]) -> None:
    """With lr as a tensor it stays on the device; rounding apart, it is the same step."""
    start, gradients = torch.linspace(-1, 1, 6).double(), torch.linspace(-2, 1, 30).double().reshape(5, 6)
    options = {"K": K, "M": 0, "weight_decay": 0.1, **flags}
    ordinary = train(start, gradients, ReWA, lr=0.125, **options)
    lr = torch.full(shape, 0.125)
    captured = train(start, gradients, ReWA, lr=lr, capturable=True, **options)
    torch.testing.assert_close(captured, ordinary, rtol=1e-12, atol=1e-14)
    single = [train(start[0], gradients[:, 0], ReWA, lr=lr, capturable=True, **options)]
    torch.testing.assert_close(single[0], ordinary[0], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("M", [0, 1])
@pytest.mark.parametrize("flags", FLAGS)
def test_a_step_leaves_the_gradient_alone(flags: dict[str, Any], M: float, kernel: str) -> None:
    """Whatever M is: whoever logs or reuses p.grad after the step must find what backward left there."""
    p = nn.Parameter(torch.ones(3))
    optimizer = ReWA([p], lr=0.1, K=3, M=M, **flags, **KERNELS[kernel])
    p.grad = torch.tensor([1.0, 2.0, 3.0])
    for _ in range(3):
        optimizer.step()
    assert p.grad.tolist() == [1, 2, 3]


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_parameter_that_gets_its_first_gradient_later_joins(kernel: str) -> None:
    """As when a layer is unfrozen: its buffer starts then, the other's goes on."""
    early, late = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = ReWA([early, late], lr=0.1, K=3, M=0, momentum=0.5, **KERNELS[kernel])
    early.grad = torch.ones(2)
    optimizer.step()
    late.grad = torch.ones(2)
    optimizer.step()
    assert early.tolist() == pytest.approx([0.75**3] * 2)  # y = 1 - 0.1 - 0.15
    assert late.tolist() == pytest.approx([0.9**3] * 2)


NEEDS = "nesterov = True needs momentum > 0 and dampening = 0."
CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"nesterov": True}, NEEDS),
    ({"nesterov": True, "momentum": 0.0, "dampening": 0.5}, NEEDS),
    ({"nesterov": True, "momentum": 0.9, "dampening": 0.5}, NEEDS),
    ({"foreach": True, "fused": True}, "foreach and fused cannot both be True."),
    *(
        ({"dampening": v}, f"dampening = {v} is out of range: it must satisfy 0 <= dampening < 1.")
        for v in (-0.1, 1, 1.5, float("nan"), float("inf"))
    ),
]


@pytest.mark.parametrize(("bad", "message"), CONTRADICTIONS)
def test_contradictions_are_refused(bad: dict[str, Any], message: str) -> None:
    p, good = nn.Parameter(torch.ones(1)), {"lr": 0.1, "K": 9, "M": 2}
    exactly = f"^{re.escape(message)}$"
    with pytest.raises(ValueError, match=exactly):
        ReWA([p], **good, **bad)
    with pytest.raises(ValueError, match=exactly):
        ReWA([{"params": [p], **bad}], **good)
    optimizer = ReWA([nn.Parameter(torch.ones(1))], **good)
    with pytest.raises(ValueError, match=exactly):
        optimizer.add_param_group({"params": [p], **bad})
    saved = optimizer.state_dict()
    saved["param_groups"][0].update(bad)
    with pytest.raises(ValueError, match=exactly):
        optimizer.load_state_dict(saved)


@pytest.mark.parametrize("lr", [torch.tensor([0.1, 0.2]), torch.tensor([])])
def test_a_tensor_as_lr_has_one_element(lr: Tensor) -> None:
    """As in torch.optim.SGD, a ValueError and not what truth-testing several elements raises."""
    with pytest.raises(ValueError, match="lr"):
        ReWA([nn.Parameter(torch.ones(1))], lr=lr)


def test_a_capturable_step_never_asks_the_device_for_a_number() -> None:
    """A tensor on the meta device has no value to ask for, so reading lr on the host raises here.

    On CUDA that reading would be a synchronisation, which a graph capture forbids.
    """
    p = nn.Parameter(torch.empty(3, device="meta"))
    p.grad = torch.empty(3, device="meta")
    lr = torch.empty((), device="meta")
    optimizer = ReWA([p], lr=0.1, K=3, M=1, epsilon=0.1, momentum=0.9, weight_decay=0.1, capturable=True)
    optimizer.param_groups[0]["lr"] = lr
    optimizer.step()
    assert "latent" in optimizer.state[p]
