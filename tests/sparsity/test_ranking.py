"""The ranking against torch's own sort, and pruning step by step against pruning afresh."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rewa.optim import prunable_weights
from rewa.sparsity.frontier import measure_frontier
from rewa.sparsity.ranking import Pruning, descending, rank_weights

AWKWARD = (0.0, -0.0, 1.0, -1.0, 0.1, -0.1, 1e-45, -1e-45, math.inf, -math.inf, math.nan, -math.nan, 3e38)


def awkward(count: int, seed: int) -> Tensor:
    """Draw from values that sorts get wrong, many of them equal."""
    generator = torch.Generator().manual_seed(seed)
    return torch.tensor(AWKWARD)[torch.randint(len(AWKWARD), (count,), generator=generator)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(AWKWARD), st.floats(width=32)), min_size=1, max_size=40))
def test_the_order_is_that_of_torchs_stable_sort(values: list[float]) -> None:
    scores = torch.tensor(values, dtype=torch.float32)
    assert torch.equal(descending(scores), scores.argsort(descending=True, stable=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_long_vectors_of_every_type(dtype: torch.dtype) -> None:
    """Long enough for torch to sort by radix, in every type that scores may have."""
    scores = awkward(100_000, 1)
    if not dtype.is_floating_point:
        scores = scores.nan_to_num(0.0).clamp(-9, 9)
    scores = scores.to(dtype)
    scores[::3] = torch.randint(-5, 6, (scores[::3].numel(),), generator=torch.Generator().manual_seed(2)).to(
        dtype
    )
    before = scores.clone()
    assert torch.equal(descending(scores), scores.argsort(descending=True, stable=True))
    assert torch.equal(scores.nan_to_num(7.0), before.nan_to_num(7.0)), "the scores must not be changed"


class Tied(nn.Module):
    """Two layers that share a weight, one in channels-last memory, and one of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(4, 4), nn.Linear(4, 4), nn.Conv2d(2, 3, 3)
        self.second.weight = self.first.weight
        self.third.to(memory_format=torch.channels_last)


def pruned_afresh(values: Tensor, order: Tensor, keep: int) -> Tensor:
    """What is left of flat weights, by the definition."""
    left = torch.zeros_like(values)
    left[order[:keep]] = values[order[:keep]]
    return left


def flat(model: nn.Module) -> Tensor:
    return torch.cat([w.detach().flatten() for w in prunable_weights(model).values()])


@pytest.mark.parametrize("scored", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_step_by_step_is_afresh(seed: int, scored: bool) -> None:
    """Shared weights, exact zeros, ties, scores that are no number; with scores zeros may be kept longest."""
    model = Tied()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for index, weight in enumerate(prunable_weights(model).values()):
            weight.copy_(awkward(weight.numel(), 10 * seed + index).nan_to_num(0.5).view(weight.shape))
    scores = {name: awkward(w.numel(), seed).view(w.shape) for name, w in prunable_weights(model).items()}
    ranking = rank_weights(model, scores if scored else None)
    values = flat(model).clone()
    assert values.numel() == 16 + 54, "a shared weight is ranked once"
    pruning = Pruning(ranking)
    for keep in sorted(torch.randint(0, 71, (12,), generator=generator).tolist(), reverse=True):
        nonzero = pruning.prune_to(keep)
        expected = pruned_afresh(values, ranking.order, keep)
        assert torch.equal(flat(model), expected)
        assert nonzero == int(torch.count_nonzero(expected))
        assert torch.equal(model.second.weight, model.first.weight)
    with pytest.raises(ValueError, match="cannot be kept"):
        pruning.prune_to(71)
    pruning.undo()
    assert torch.equal(flat(model), values)
    assert model.third.weight.is_contiguous(memory_format=torch.channels_last)


def test_points_that_differ_in_zeros_only_share_an_evaluation() -> None:
    """Of 100 weights 90 are zero: 1x to 10x are one model, and it is recalibrated once."""
    model = nn.Sequential(nn.Linear(10, 10, bias=False), nn.BatchNorm1d(10))
    with torch.no_grad():
        model[0].weight.zero_().diagonal().copy_(torch.arange(1.0, 11.0))
    seen: list[int] = []
    renewed: list[int] = []

    def evaluate(pruned: nn.Module) -> dict[str, float]:
        seen.append(int(torch.count_nonzero(pruned[0].weight)))
        return {"val": float(seen[-1])}

    points = measure_frontier(
        model, evaluate, None, (1, 2, 5, 10, 20), (0.5,), lambda _: renewed.append(len(seen))
    )
    assert seen == [10, 10, 5, 5]
    assert len(renewed) == 2
    assert [p.metric for p in points] == [10, 10, 10, 10, 5, 10] * 2
    assert [p.compression for p in points] == [10, 10, 10, 10, 20, 10] * 2
