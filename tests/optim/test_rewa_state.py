"""Where ReWA keeps its latents, and that they survive saving, copying, masking and loading."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rewa import ReWA

PRECISION = [torch.float32, torch.float64, torch.bfloat16]
SETTINGS: dict[str, Any] = {"lr": 0.05, "K": 3, "M": 1, "weight_decay": 0.01, "momentum": 0.9}


def small_model(dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 3, bias=False).to(dtype)


def steps(model: nn.Linear, optimizer: ReWA, count: int, seed: int = 0) -> None:
    """Take steps along gradients that depend on the seed only."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        drawn = torch.randn(model.weight.shape, generator=generator)
        model.weight.grad = drawn.to(model.weight.dtype)
        optimizer.step()


@pytest.mark.parametrize(
    ("dtype", "master"),
    [
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
    ],
)
def test_latents_are_kept_in_the_master_precision(dtype: torch.dtype, master: torch.dtype) -> None:
    model = small_model(dtype)
    optimizer = ReWA(model.parameters(), **SETTINGS)
    steps(model, optimizer, 2)
    latent = optimizer.state[model.weight]["latent"]
    assert latent.dtype == master
    assert optimizer.state[model.weight]["momentum_buffer"].dtype == master
    assert model.weight.dtype == dtype
    torch.testing.assert_close(latent.double().pow(3).to(dtype), model.weight.detach())


@pytest.mark.parametrize("K", [1, 3])
def test_bf16_accumulates_steps_below_its_resolution(K: int) -> None:
    """1,000 steps of 1e-4 each: in bf16 alone (spacing 1/128 below 2) none of them would register."""
    p = nn.Parameter(torch.ones(1, dtype=torch.bfloat16))
    optimizer = ReWA([p], lr=1e-4, K=K, M=0)
    p.grad = torch.ones(1, dtype=torch.bfloat16)
    for _ in range(1000):
        optimizer.step()
    assert p.item() == pytest.approx(0.9**K, rel=2**-8)


def test_gradients_and_foreign_parameters_are_left_alone() -> None:
    used, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer = ReWA([used, unused], **SETTINGS)
    used.grad = torch.tensor([1.0, 2.0, 3.0])
    for _ in range(3):
        optimizer.step()
    assert used.grad.tolist() == [1, 2, 3]
    assert unused.tolist() == [1, 1, 1]
    assert not optimizer.state[unused]
    assert (used < 1).all()


def mask_in_place(p: nn.Parameter, mask: Tensor, optimizer: ReWA) -> None:
    with torch.no_grad():
        p.mul_(mask)


def mask_data(p: nn.Parameter, mask: Tensor, optimizer: ReWA) -> None:
    p.data.mul_(mask)
    optimizer.sync_latents()


def mask_new_data(p: nn.Parameter, mask: Tensor, optimizer: ReWA) -> None:
    p.data = p.data * mask


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("apply", [mask_in_place, mask_data, mask_new_data])
def test_masked_weights_stay_zero_and_the_others_do_not_notice(
    apply: Callable[[nn.Parameter, Tensor, ReWA], None], dtype: torch.dtype
) -> None:
    masked, free = small_model(dtype), small_model(dtype)
    optimizers = [ReWA(model.parameters(), **SETTINGS) for model in (masked, free)]
    mask = (torch.arange(12).view(3, 4) % 2 == 0).to(dtype)
    for model, optimizer in zip((masked, free), optimizers, strict=True):
        steps(model, optimizer, 5)
    apply(masked.weight, mask, optimizers[0])
    for model, optimizer in zip((masked, free), optimizers, strict=True):
        steps(model, optimizer, 20, seed=1)
    assert torch.equal(masked.weight, free.weight * mask)
    assert (free.weight != 0).all()


def test_a_mask_over_a_weight_already_written_as_zero_holds() -> None:
    """x = y^9 below the floor reads as 0 while y does not; a mask must hold there too."""
    p = nn.Parameter(torch.tensor([1e-31, 1.0]))
    optimizer = ReWA([p], lr=0.1, K=9, M=1, momentum=0.9)
    p.grad = torch.zeros(2)
    optimizer.step()
    assert p[0] == 0
    with torch.no_grad():
        p.mul_(torch.tensor([0.0, 1.0]))
    p.grad = torch.tensor([-1.0, 0.0])
    for _ in range(30):
        optimizer.step()
    assert p[0] == 0


@pytest.mark.parametrize("foreach", [False, True])
def test_latents_follow_a_loaded_model(foreach: bool) -> None:
    """After load_state_dict the next step is that of a new optimizer on the loaded weights."""
    settings = {**SETTINGS, "momentum": 0.0, "foreach": foreach}
    other = nn.Linear(4, 3, bias=False).state_dict()
    trained, fresh = small_model(), small_model()
    optimizer = ReWA(trained.parameters(), **settings)
    steps(trained, optimizer, 5)
    for model in (trained, fresh):
        model.load_state_dict(other)
    steps(trained, optimizer, 1, seed=1)
    steps(fresh, ReWA(fresh.parameters(), **settings), 1, seed=1)
    assert torch.equal(trained.weight, fresh.weight)


def test_bf16_latents_keep_their_precision_when_one_weight_changes() -> None:
    model = small_model(torch.bfloat16)
    optimizer = ReWA(model.parameters(), **SETTINGS)
    steps(model, optimizer, 5)
    before = optimizer.state[model.weight]["latent"].clone()
    with torch.no_grad():
        model.weight[0, 0] = 0.125
    optimizer.sync_latents()
    after = optimizer.state[model.weight]["latent"]
    assert after[0, 0].item() == pytest.approx(0.5)
    assert torch.equal(after.flatten()[1:], before.flatten()[1:])


def test_a_change_of_K_in_a_group_keeps_the_parameter() -> None:
    model = small_model(torch.float64)
    optimizer = ReWA(model.parameters(), **{**SETTINGS, "momentum": 0.0, "weight_decay": 0.0})
    steps(model, optimizer, 3)
    before = model.weight.detach().clone()
    optimizer.param_groups[0].update(K=5, M=2)
    model.weight.grad = torch.zeros_like(model.weight)
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before, rtol=1e-12, atol=1e-15)
    model.weight.grad = torch.ones_like(model.weight)
    optimizer.step()
    y = before.sign() * before.abs() ** 0.2
    y = y - SETTINGS["lr"] * y.abs() ** 2
    torch.testing.assert_close(model.weight.detach(), y.sign() * y.abs() ** 5, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("dtype", PRECISION)
def test_saved_state_continues_bit_identically(dtype: torch.dtype, foreach: bool) -> None:
    model = small_model(dtype)
    settings = {**SETTINGS, "K": 5, "M": 1.5, "epsilon": 1e-3, "foreach": foreach}
    optimizer = ReWA(model.parameters(), **settings)
    steps(model, optimizer, 5)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)

    resumed = nn.Linear(4, 3, bias=False).to(dtype)
    resumed_optimizer = ReWA(resumed.parameters(), lr=1.0, K=9, M=2)
    resumed.load_state_dict(saved["model"])
    resumed_optimizer.load_state_dict(saved["optimizer"])
    group = resumed_optimizer.param_groups[0]
    assert {key: group[key] for key in settings} == settings

    steps(model, optimizer, 10, seed=1)
    steps(resumed, resumed_optimizer, 10, seed=1)
    assert torch.equal(model.weight, resumed.weight)
    assert torch.equal(
        optimizer.state[model.weight]["latent"], resumed_optimizer.state[resumed.weight]["latent"]
    )


def test_loading_a_state_does_not_tie_the_two_optimizers() -> None:
    model, other = small_model(), small_model()
    optimizer, loaded = (ReWA(m.parameters(), **SETTINGS) for m in (model, other))
    steps(model, optimizer, 3)
    saved = optimizer.state_dict()
    before = saved["state"][0]["latent"].clone()
    other.load_state_dict(model.state_dict())
    loaded.load_state_dict(saved)
    steps(other, loaded, 3)
    assert torch.equal(saved["state"][0]["latent"], before)


def by_pickle(pair: tuple[nn.Linear, ReWA]) -> tuple[nn.Linear, ReWA]:
    copied: tuple[nn.Linear, ReWA] = pickle.loads(pickle.dumps(pair))
    return copied


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
@pytest.mark.parametrize("dtype", PRECISION)
def test_copies_continue_bit_identically(
    duplicate: Callable[[Any], tuple[nn.Linear, ReWA]], dtype: torch.dtype
) -> None:
    model = small_model(dtype)
    optimizer = ReWA(model.parameters(), **SETTINGS)
    steps(model, optimizer, 5)
    twin, twin_optimizer = duplicate((model, optimizer))
    at_copy = twin.weight.detach().clone()
    steps(model, optimizer, 10, seed=1)
    assert torch.equal(twin.weight, at_copy)
    steps(twin, twin_optimizer, 10, seed=1)
    assert torch.equal(model.weight, twin.weight)


def test_closure_is_called_once_with_gradients_enabled() -> None:
    x = nn.Parameter(torch.tensor([8.0]))
    optimizer = ReWA([x], lr=0.1, K=3, M=1)
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = 0.5 * (x**2).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss == 32
    assert x.item() == pytest.approx(0.4**3)  # y = 2 - 0.1 * 2 * 8
    assert optimizer.step() is None


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    optimizer = ReWA(table.parameters(), **SETTINGS)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="sparse"):
        optimizer.step()


BAD = [
    *(("lr", value) for value in (-0.1, float("nan"), float("inf"))),
    *(("K", value) for value in (0.5, 0, -3, float("nan"), float("inf"))),
    *(("M", value) for value in (-0.1, 8.5, float("nan"), float("inf"))),
    *(("epsilon", value) for value in (-1e-9, float("nan"), float("inf"))),
    *(("weight_decay", value) for value in (-1e-9, float("nan"), float("inf"))),
    *(("momentum", value) for value in (-0.1, 1, 1.5, float("nan"))),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_values_out_of_range_are_named(name: str, value: float) -> None:
    good = {"lr": 0.1, "K": 9, "M": 2}
    p = nn.Parameter(torch.ones(1))
    with pytest.raises(ValueError, match=f"^{name} = {value} "):
        ReWA([p], **{**good, name: value})
    with pytest.raises(ValueError, match=f"^{name} = {value} "):
        ReWA([{"params": [p], name: value}], **good)
    optimizer = ReWA([nn.Parameter(torch.ones(1))], **good)
    with pytest.raises(ValueError, match=f"^{name} = {value} "):
        optimizer.add_param_group({"params": [p], name: value})


@pytest.mark.parametrize(("K", "M"), [(1, 0), (1.0, 0.0), (9, 8), (2.5, 1.5), (2.3, 1.3), (1.1, 0.1)])
def test_ends_of_the_range_are_accepted(K: float, M: float) -> None:
    p = nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    ReWA([p], lr=0.1, K=K, M=M).step()
    assert p.item() < 1


def test_import_needs_torch_only() -> None:
    heavy = ["ray", "mlflow", "optuna", "pandas", "sklearn", "pydantic", "yaml", "typer", "scipy"]
    code = f"import sys, rewa; print(*[m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
