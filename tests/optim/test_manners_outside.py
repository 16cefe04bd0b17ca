"""Others write to the parameters: averaging, loading, pruning, masks, flat vectors. Latents follow."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, prune, vector_to_parameters
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from rewa import ReWA, ReWAAdamW

Maker = Callable[..., Any]
SETTINGS: dict[Maker, dict[str, Any]] = {
    ReWA: {"lr": 0.05, "K": 3, "M": 1, "weight_decay": 0.01, "momentum": 0.9},
    ReWAAdamW: {"lr": 0.05, "K": 3, "M": 1, "weight_decay": 0.01},
}
FORGETFUL: dict[Maker, dict[str, Any]] = {
    ReWA: {"momentum": 0.0},
    ReWAAdamW: {"betas": (0.0, 0.0), "eps": 0.1},
}
"""Without memory of past gradients, a step depends on the weights and the gradient only."""

both = pytest.mark.parametrize("optimizer_class", list(SETTINGS))


def make(optimizer_class: Maker, params: Any, **changes: Any) -> Any:
    return optimizer_class(params, **{**SETTINGS[optimizer_class], **changes})


def small_model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def train(model: nn.Module, optimizer: Any, count: int, seed: int = 0) -> None:
    """Take steps along gradients that depend on the seed only."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        for p in model.parameters():
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()


def flat(model: nn.Module) -> Tensor:
    return parameters_to_vector(model.parameters()).detach().clone()


def assert_next_step_starts_from(
    weights: Tensor, model: nn.Module, optimizer: Any, optimizer_class: Maker
) -> None:
    """The next step is bit by bit that of a new, memoryless optimizer on a model with these weights."""
    assert torch.equal(flat(model), weights)
    fresh = small_model(seed=9)
    vector_to_parameters(weights.clone(), fresh.parameters())
    train(model, optimizer, 1, seed=5)
    train(fresh, make(optimizer_class, fresh.parameters(), **FORGETFUL[optimizer_class]), 1, seed=5)
    assert torch.equal(flat(model), flat(fresh))
    assert not torch.equal(flat(model), weights)


def trained(optimizer_class: Maker) -> tuple[nn.Sequential, Any]:
    model = small_model()
    optimizer = make(optimizer_class, model.parameters(), **FORGETFUL[optimizer_class])
    train(model, optimizer, 5)
    return model, optimizer


@both
def test_a_loaded_model_is_where_the_next_step_starts(optimizer_class: Maker) -> None:
    model, optimizer = trained(optimizer_class)
    other = small_model(seed=1)
    model.load_state_dict(other.state_dict())
    assert_next_step_starts_from(flat(other), model, optimizer, optimizer_class)


@both
def test_averages_are_of_x(optimizer_class: Maker) -> None:
    model = small_model()
    optimizer = make(optimizer_class, model.parameters())
    average, seen = AveragedModel(model), []
    for seed in range(4):
        train(model, optimizer, 1, seed)
        average.update_parameters(model)
        seen.append(flat(model))
    torch.testing.assert_close(flat(average), torch.stack(seen).mean(0))


@both
def test_averaging_does_not_disturb_training(optimizer_class: Maker) -> None:
    watched, alone = small_model(), small_model()
    optimizers = [make(optimizer_class, model.parameters()) for model in (watched, alone)]
    average = AveragedModel(watched, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for seed in range(4):
        for model, optimizer in zip((watched, alone), optimizers, strict=True):
            train(model, optimizer, 1, seed)
        average.update_parameters(watched)
    assert torch.equal(flat(watched), flat(alone))


@both
def test_a_moving_average_copied_back_is_where_the_next_step_starts(optimizer_class: Maker) -> None:
    model, optimizer = trained(optimizer_class)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    train(model, optimizer, 5, seed=1)
    average.update_parameters(model)
    expected = flat(average)
    with torch.no_grad():
        for p, mean in zip(model.parameters(), average.module.parameters(), strict=True):
            p.copy_(mean)
    assert_next_step_starts_from(expected, model, optimizer, optimizer_class)


@both
def test_averaged_weights_swapped_in_for_evaluation_and_out_again_leave_no_trace(
    optimizer_class: Maker,
) -> None:
    """The usual evaluation of a moving average: exchange, evaluate, exchange back."""
    swapped, alone = small_model(), small_model()
    optimizers = [make(optimizer_class, model.parameters()) for model in (swapped, alone)]
    average = AveragedModel(swapped, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for seed in range(4):
        own = copy.deepcopy(swapped.state_dict())
        swapped.load_state_dict(average.module.state_dict())
        swapped.load_state_dict(own)
        for model, optimizer in zip((swapped, alone), optimizers, strict=True):
            train(model, optimizer, 1, seed)
        average.update_parameters(swapped)
    assert torch.equal(flat(swapped), flat(alone))


@both
def test_flat_vectors_are_where_the_next_step_starts(optimizer_class: Maker) -> None:
    model, optimizer = trained(optimizer_class)
    for factor in (0.5, -1.0, 3.0):
        vector = flat(model) * factor
        vector_to_parameters(vector.clone(), model.parameters())
        assert_next_step_starts_from(vector, model, optimizer, optimizer_class)


@both
def test_the_last_of_several_flat_vectors_counts(optimizer_class: Maker) -> None:
    """A line search sets several vectors between two steps; memory of the first may serve the last."""
    model, optimizer = trained(optimizer_class)
    for trials in range(1, 7):
        for _ in range(trials):
            vector_to_parameters(flat(model) * 0.75, model.parameters())
        assert_next_step_starts_from(flat(model), model, optimizer, optimizer_class)


@both
def test_new_data_assigned_twice_is_where_the_next_step_starts(optimizer_class: Maker) -> None:
    """The second ``p.data = ...`` may get the memory that the optimizer wrote to: the address is no proof."""
    for size in (1000, 100_000, 1_000_000):
        p = nn.Parameter(torch.ones(size))
        optimizer = make(optimizer_class, [p], weight_decay=0.0, **FORGETFUL[optimizer_class])
        p.grad = torch.zeros(size)  # without gradient and decay, x stays where it was put
        for factor in (0.5, 2.0, 0.5, 2.0):
            optimizer.step()
            expected = p[0].item() * factor**2
            p.data = p.data * factor
            p.data = p.data * factor
            optimizer.step()
            assert p[0].item() == pytest.approx(expected, rel=1e-5)


@both
def test_another_part_of_the_same_storage_is_where_the_next_step_starts(optimizer_class: Maker) -> None:
    """Several models in one table, trained by turns: the storage is the same, the place in it is not."""
    table = torch.tensor([[1.0, 1.0], [0.125, 0.125]])
    p = nn.Parameter(torch.ones(2))
    optimizer = make(optimizer_class, [p], weight_decay=0.0, **FORGETFUL[optimizer_class])
    p.grad = torch.zeros(2)
    for row in (table[0], table[1], table[0]):
        expected = row.tolist()
        p.data = row
        optimizer.step()
        assert p.tolist() == pytest.approx(expected, rel=1e-5)


@both
def test_a_reused_flat_buffer_needs_sync_latents(optimizer_class: Maker) -> None:
    """Parameters that are views of the caller's buffer can change without autograd's version counter."""
    model, optimizer = trained(optimizer_class)
    buffer = flat(model)
    vector_to_parameters(buffer, model.parameters())
    train(model, optimizer, 1)
    buffer.mul_(-0.5)
    optimizer.sync_latents()
    assert_next_step_starts_from(buffer.clone(), model, optimizer, optimizer_class)


@both
@pytest.mark.parametrize("M", [0, 1])
def test_a_mask_after_every_step_holds_and_the_others_do_not_notice(optimizer_class: Maker, M: float) -> None:
    masked, free = nn.Parameter(torch.linspace(0.1, 1, 12)), nn.Parameter(torch.linspace(0.1, 1, 12))
    optimizers = [make(optimizer_class, [p], M=M, weight_decay=0.0) for p in (masked, free)]
    mask = torch.arange(12) % 2
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        masked.mul_(mask)
    for _ in range(20):
        gradient = torch.randn(12, generator=generator)
        for p, optimizer in zip((masked, free), optimizers, strict=True):
            p.grad = gradient.clone()
            optimizer.step()
        if M > 0:
            assert masked[::2].tolist() == [0] * 6  # zero is absorbing: no mask needed any more
        else:
            assert (masked[::2] * gradient[::2] < 0).all()  # from zero, down the gradient
        with torch.no_grad():
            masked.mul_(mask)
        assert torch.equal(masked, free * mask)


def test_a_masked_weight_starts_from_zero_each_time_for_M_zero() -> None:
    """Neither the latent nor the momentum of before the mask is left: y = -gamma g, x = -(gamma g)^3."""
    p = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = make(ReWA, [p], M=0, momentum=0.9, lr=0.5)
    for gradient in (1.0, 2.0, 0.5):
        with torch.no_grad():
            p.zero_()
        p.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
        assert p.item() == pytest.approx(-((0.5 * gradient) ** 3), rel=1e-12)


@both
def test_a_mask_on_top_of_a_mask_holds(optimizer_class: Maker) -> None:
    """Iterative pruning: masks that grow, each applied once, M > 0."""
    p = nn.Parameter(torch.linspace(0.1, 1, 12))
    optimizer = make(optimizer_class, [p])
    generator = torch.Generator().manual_seed(0)
    for kept in (12, 8, 4, 1):
        with torch.no_grad():
            p[kept:] = 0
        for _ in range(5):
            p.grad = torch.randn(12, generator=generator)
            optimizer.step()
        assert (p != 0).sum() == kept


def pruned_model() -> nn.Sequential:
    model = small_model()
    prune.l1_unstructured(model[0], "weight", amount=6)
    return model


def fit(model: nn.Module, optimizer: Any, count: int) -> list[float]:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(3))
    target = x[:, :2] - x[:, 2:]
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@both
@pytest.mark.parametrize("M", [0, 1])
def test_torchs_pruned_weights_stay_zero_in_the_forward_pass(optimizer_class: Maker, M: float) -> None:
    model = pruned_model()
    before = model[0].weight_orig.detach().clone()
    optimizer = make(optimizer_class, model.parameters(), M=M)
    losses = fit(model, optimizer, 40)
    model(torch.zeros(1, 4))
    pruned = model[0].weight_mask == 0
    assert pruned.sum() == 6
    assert (model[0].weight[pruned] == 0).all()
    assert (model[0].weight[~pruned] != before[~pruned]).all()
    assert losses[-1] < 0.8 * losses[0]


@both
def test_pruning_made_permanent_holds_in_further_training(optimizer_class: Maker) -> None:
    """prune.remove gives the trained parameter new data: y follows, and zero is absorbing for M > 0."""
    model = pruned_model()
    optimizer = make(optimizer_class, model.parameters())
    fit(model, optimizer, 10)
    pruned = model[0].weight_mask == 0
    assert (model[0].weight_orig[pruned] != 0).all()
    prune.remove(model[0], "weight")
    kept = model[0].weight[~pruned].detach().clone()
    fit(model, optimizer, 10)
    assert (model[0].weight[pruned] == 0).all()
    assert (model[0].weight[~pruned] != kept).all()


@both
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_moved_to_another_precision_trains_on(optimizer_class: Maker, dtype: torch.dtype) -> None:
    """model.to() changes p.data: what the parameter shows after the next step is its latent's power."""
    model = small_model()
    optimizer = make(optimizer_class, model.parameters())
    train(model, optimizer, 3)
    before = flat(model)
    model.to(dtype)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    assert all(p.dtype == dtype for p in model.parameters())
    assert flat(model).isfinite().all()
    assert (flat(model).float() - before).abs().max() < 0.2
