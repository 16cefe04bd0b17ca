"""ReWA and ReWAAdamW in a training loop behave as torch's own optimizers do there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from rewa import ReWA, ReWAAdamW

Maker = Callable[..., Optimizer]
SETTINGS: dict[Maker, dict[str, Any]] = {
    ReWA: {"K": 3, "M": 1, "weight_decay": 0.01, "momentum": 0.9},
    ReWAAdamW: {"K": 3, "M": 1, "weight_decay": 0.01},
}
KERNELS: list[dict[str, bool]] = [{"foreach": False}, {"foreach": True}, {"fused": True}]
both = pytest.mark.parametrize("optimizer_class", list(SETTINGS))
every_kernel = pytest.mark.parametrize("kernel", KERNELS)


def make(optimizer_class: Maker, params: Any, **changes: Any) -> Any:
    return optimizer_class(params, **{"lr": 0.05, **SETTINGS[optimizer_class], **changes})


def small_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
    return x, x.sum(1, keepdim=True)


def loss_of(model: nn.Module, seed: int = 0) -> Tensor:
    x, y = batch(seed)
    return nn.functional.mse_loss(model(x), y)


def train(model: nn.Module, optimizer: Optimizer, count: int) -> None:
    for seed in range(count):
        optimizer.zero_grad()
        loss_of(model, seed).backward()
        optimizer.step()


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def states(optimizer: Optimizer) -> list[dict[str, Any]]:
    return [
        {name: value.clone() for name, value in state.items() if isinstance(value, Tensor)}
        for state in optimizer.state.values()
    ]


def same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def same_states(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> bool:
    return all(
        a.keys() == b.keys() and same([*a.values()], [*b.values()]) for a, b in zip(ours, theirs, strict=True)
    )


@both
def test_a_closure_is_called_once_and_its_loss_returned(optimizer_class: Maker) -> None:
    """The closure that LBFGS asks for, unchanged."""
    model, plain = small_model(), small_model()
    optimizer, twin = make(optimizer_class, model.parameters()), make(optimizer_class, plain.parameters())
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss

    before = loss_of(model).item()
    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.item() == before
    train(plain, twin, 1)
    assert same(values(model), values(plain))
    assert optimizer.step() is None


@both
@every_kernel
def test_a_parameter_without_gradient_is_left_alone_with_its_state(
    optimizer_class: Maker, kernel: dict[str, bool]
) -> None:
    trained, still = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer = make(optimizer_class, [trained, still], **kernel)
    trained.grad, still.grad = torch.ones(3), torch.ones(3)
    optimizer.step()
    still.grad = None
    before, state = still.detach().clone(), {k: v.clone() for k, v in optimizer.state[still].items()}
    version = still._version
    for _ in range(3):
        optimizer.step()
    assert torch.equal(still, before)
    assert still._version == version
    assert same([*optimizer.state[still].values()], [*state.values()])
    assert (trained < before).all()


@both
def test_a_parameter_that_never_had_a_gradient_has_no_state(optimizer_class: Maker) -> None:
    used, unused = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    optimizer = make(optimizer_class, [used, unused])
    used.grad = torch.ones(3)
    optimizer.step()
    assert unused.tolist() == [1, 1, 1]
    assert unused not in optimizer.state
    assert "latent" in optimizer.state[used]


@both
@pytest.mark.parametrize("set_to_none", [True, False])
def test_zero_grad(optimizer_class: Maker, set_to_none: bool) -> None:
    """With None a parameter rests; with zeros momentum and decay go on."""
    p = nn.Parameter(torch.ones(3))
    optimizer = make(optimizer_class, [p])
    p.grad = torch.ones(3)
    optimizer.step()
    before = p.detach().clone()
    optimizer.zero_grad(set_to_none=set_to_none)
    assert p.grad is None if set_to_none else p.grad.tolist() == [0, 0, 0]
    optimizer.step()
    assert torch.equal(p, before) == set_to_none


@pytest.mark.parametrize(
    ("optimizer_class", "kernel"),
    [
        *((ReWA, kernel) for kernel in KERNELS),
        *((ReWAAdamW, kernel) for kernel in KERNELS if "foreach" not in kernel or not kernel["foreach"]),
    ],
)
def test_a_tensor_as_lr_is_the_number_in_it(optimizer_class: Maker, kernel: dict[str, bool]) -> None:
    """Torch's AdamW has no foreach kernel for it on a CPU; ReWAAdamW refuses that, tested elsewhere."""
    results = []
    for lr in (0.125, torch.tensor(0.125)):
        model = small_model()
        optimizer = make(optimizer_class, model.parameters(), lr=lr, **kernel)
        train(model, optimizer, 3)
        if isinstance(lr, Tensor):
            lr.fill_(0.0625)
        else:
            optimizer.param_groups[0]["lr"] = 0.0625
        train(model, optimizer, 3)
        results.append(values(model))
    for number, tensor in zip(*results, strict=True):
        torch.testing.assert_close(tensor, number, rtol=1e-6, atol=1e-7)


SCHEDULES: dict[str, Callable[[Optimizer], LRScheduler]] = {
    "step": lambda o: lr_scheduler.StepLR(o, 2, gamma=0.5),
    "one-cycle": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.2, total_steps=12),
    "sequential": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, 0.1, total_iters=3), lr_scheduler.CosineAnnealingLR(o, 7)],
        milestones=[3],
    ),
    "plateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("ours", "theirs", "shared"),
    [
        (ReWA, torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.01}),
        (ReWAAdamW, torch.optim.AdamW, {"weight_decay": 0.01}),
    ],
)
def test_schedulers_drive_it_like_torchs_own(
    ours: Maker, theirs: Maker, shared: dict[str, Any], schedule: str
) -> None:
    """With K = 1 the same parameters come out; learning rates and cycled momenta agree in every step."""
    runs = []
    for optimizer_class, extra in ((ours, {"K": 1, "M": 0}), (theirs, {})):
        model = small_model()
        optimizer = optimizer_class(model.parameters(), lr=0.1, **shared, **extra)
        scheduler = SCHEDULES[schedule](optimizer)
        rates = []
        with warnings.catch_warnings():
            # SequentialLR calls the deprecated epoch argument of its parts
            warnings.simplefilter("ignore", UserWarning)
            for _ in range(10):
                train(model, optimizer, 1)
                scheduler.step(*((1.0,) if schedule == "plateau" else ()))
                group = optimizer.param_groups[0]
                rates.append((group["lr"], group.get("momentum"), group.get("betas")))
        runs.append((rates, values(model)))
    assert runs[0][0] == runs[1][0]
    assert len({rate[0] for rate in runs[0][0]}) > 3
    assert same(runs[0][1], runs[1][1])


@both
def test_a_scheduler_fills_a_tensor_lr_in_place(optimizer_class: Maker) -> None:
    lr = torch.tensor(0.5)
    model = small_model()
    optimizer = make(optimizer_class, model.parameters(), lr=lr)
    scheduler = lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    train(model, optimizer, 1)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25


@both
@every_kernel
def test_grad_scaler_skips_an_infinite_step_entirely(optimizer_class: Maker, kernel: dict[str, bool]) -> None:
    model = small_model()
    optimizer = make(optimizer_class, model.parameters(), **kernel)
    scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=2.0**10)
    train(model, optimizer, 2)
    before, state = values(model), states(optimizer)
    optimizer.zero_grad()
    (scaler.scale(loss_of(model)) * float("inf")).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert same(values(model), before)
    assert same_states(states(optimizer), state)
    assert scaler.get_scale() == 2.0**9


@both
@every_kernel
@pytest.mark.parametrize("unscale", [False, True])
def test_grad_scaler_changes_nothing_otherwise(
    optimizer_class: Maker, kernel: dict[str, bool], unscale: bool
) -> None:
    """The scale is a power of two, so the unscaled gradients are the same to the last bit."""
    scaled, plain = small_model(), small_model()
    optimizer = make(optimizer_class, scaled.parameters(), **kernel)
    scaler = torch.amp.GradScaler("cpu", enabled=True, init_scale=2.0**10)
    for seed in range(4):
        optimizer.zero_grad()
        scaler.scale(loss_of(scaled, seed)).backward()
        if unscale:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.update()
    train(plain, make(optimizer_class, plain.parameters(), **kernel), 4)
    assert same(values(scaled), values(plain))


@both
def test_clipped_gradients_are_what_the_step_sees(optimizer_class: Maker) -> None:
    clipped, scaled = small_model(), small_model()
    optimizers = [make(optimizer_class, model.parameters()) for model in (clipped, scaled)]
    for seed in range(3):
        for model, optimizer in zip((clipped, scaled), optimizers, strict=True):
            optimizer.zero_grad()
            loss_of(model, seed).backward()
        norm = nn.utils.clip_grad_norm_(clipped.parameters(), 0.01)
        assert norm > 0.01
        for p in scaled.parameters():
            p.grad.mul_(0.01 / (norm + 1e-6))
        for optimizer in optimizers:
            optimizer.step()
    assert same(values(clipped), values(scaled))


@both
@every_kernel
def test_a_group_added_in_mid_training_has_its_own_settings(
    optimizer_class: Maker, kernel: dict[str, bool]
) -> None:
    """It trains as in an optimizer of its own, and the first group does not notice."""
    first, second = nn.Parameter(torch.ones(3)), nn.Parameter(torch.full((4,), 0.5))
    alone = [nn.Parameter(p.detach().clone()) for p in (first, second)]
    own = {"K": 5, "M": 2, "epsilon": 0.1, "lr": 0.2}
    optimizer = make(optimizer_class, [first], **kernel)
    single = [make(optimizer_class, alone[:1], **kernel), make(optimizer_class, alone[1:], **own, **kernel)]
    first.grad, alone[0].grad = torch.ones(3), torch.ones(3)
    for each in (optimizer, single[0]):
        each.step()
    optimizer.add_param_group({"params": [second], **own})
    second.grad, alone[1].grad = torch.ones(4), torch.ones(4)
    for _ in range(3):
        for each in (optimizer, *single):
            each.step()
    assert torch.equal(first, alone[0])
    assert torch.equal(second, alone[1])
    assert optimizer.param_groups[1]["K"] == 5
    assert optimizer.param_groups[1]["weight_decay"] == 0.01


@both
def test_a_parameter_is_in_one_group_only(optimizer_class: Maker) -> None:
    p = nn.Parameter(torch.ones(1))
    optimizer = make(optimizer_class, [p])
    with pytest.raises(ValueError, match="more than one parameter group"):
        optimizer.add_param_group({"params": [p]})


@both
def test_step_hooks_fire_around_the_step(optimizer_class: Maker) -> None:
    p = nn.Parameter(torch.ones(1))
    optimizer = make(optimizer_class, [p])
    seen: list[tuple[str, float]] = []
    handles = [
        optimizer.register_step_pre_hook(lambda *_: seen.append(("before", p.item()))),
        optimizer.register_step_post_hook(lambda *_: seen.append(("after", p.item()))),
    ]
    p.grad = torch.ones(1)
    optimizer.step()
    assert seen == [("before", 1.0), ("after", p.item())]
    assert p.item() < 1
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(seen) == 2


@both
def test_a_pre_hook_may_change_the_gradient_and_a_post_hook_the_weight(optimizer_class: Maker) -> None:
    hooked, free = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer, plain = make(optimizer_class, [hooked]), make(optimizer_class, [free])

    def negate(*_: Any) -> None:
        hooked.grad = -hooked.grad

    def mask(*_: Any) -> None:
        with torch.no_grad():
            hooked[1] = 0

    optimizer.register_step_pre_hook(negate)
    optimizer.register_step_post_hook(mask)
    for _ in range(4):
        hooked.grad, free.grad = -torch.ones(2), torch.ones(2)
        optimizer.step()
        plain.step()
    assert hooked[0] == free[0]
    assert hooked[1] == 0
    assert optimizer.state[hooked]["latent"][0] == plain.state[free]["latent"][0]


@both
def test_state_dict_hooks_and_its_form_are_torchs(optimizer_class: Maker) -> None:
    """Parameters are numbered in order, settings sit in their group, every tensor of the state is plain."""
    model = small_model()
    optimizer = make(optimizer_class, model.parameters())
    train(model, optimizer, 1)
    optimizer.register_state_dict_post_hook(lambda _, state: state | {"note": 1})
    saved = optimizer.state_dict()
    assert saved["note"] == 1
    assert saved["param_groups"][0]["params"] == [0, 1, 2, 3]
    assert sorted(saved["state"]) == [0, 1, 2, 3]
    assert {key for state in saved["state"].values() for key in state} >= {"latent"}
    assert not any(value.requires_grad for state in saved["state"].values() for value in state.values())


@both
def test_complex_and_sparse_gradients_are_refused_before_anything_changes(optimizer_class: Maker) -> None:
    dense, table = nn.Parameter(torch.ones(2)), nn.Embedding(5, 2, sparse=True)
    optimizer = make(optimizer_class, [dense, table.weight])
    dense.grad = torch.ones(2)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=f"{optimizer_class.__name__} does not support sparse gradients"):
        optimizer.step()
    assert dense.tolist() == [1, 1]
    wave = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    wave.grad = torch.ones(2, dtype=torch.complex64)
    with pytest.raises(RuntimeError, match=f"{optimizer_class.__name__} does not support complex"):
        make(optimizer_class, [wave]).step()
