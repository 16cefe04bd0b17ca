"""The frontier against brute force: NumPy sorts, counts by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rewa.optim import prunable_weights
from rewa.sparsity.frontier import RATIOS, THRESHOLDS, OperatingPoint, measure_frontier


def build(values: list[float] | np.ndarray) -> nn.Sequential:
    """Return a model whose prunable weights are these 12 values; 3 + 4 + 4 other parameters."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(4), nn.Linear(3, 2, bias=False))
    flat = torch.tensor(np.asarray(values), dtype=torch.float32)
    with torch.no_grad():
        model[0].weight.copy_(flat[:6].view(3, 2))
        model[2].weight.copy_(flat[6:].view(2, 3))
    return model


def flat_weights(model: nn.Module) -> np.ndarray:
    return torch.cat([w.detach().flatten() for w in prunable_weights(model).values()]).numpy()


def magnitudes(model: nn.Module) -> dict[str, Tensor]:
    return {name: w.detach().abs() for name, w in prunable_weights(model).items()}


class Spy:
    """Records the pruned weights; the metric is their number of non-zeros."""

    def __init__(self) -> None:
        self.seen: list[np.ndarray] = []

    def __call__(self, model: nn.Module) -> Mapping[str, float]:
        self.seen.append(flat_weights(model).copy())
        left = float(np.count_nonzero(self.seen[-1]))
        return {"val": left, "test": -left}


def points_of(points: list[OperatingPoint], split: str, criterion: str) -> list[OperatingPoint]:
    return [p for p in points if (p.split, p.criterion) == (split, criterion)]


weights_of_few_values = st.lists(
    st.sampled_from([0.0, 0.1, -0.1, 0.2, -0.2, 0.5, 1.0, -1.0]), min_size=12, max_size=12
)


@settings(max_examples=100, deadline=None)
@given(
    values=weights_of_few_values,
    ratios=st.lists(st.floats(1, 40), min_size=1, max_size=4, unique=True),
    thresholds=st.lists(st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.7, 1.0, 2.0]), unique=True),
)
def test_magnitude_frontier_is_a_sort(
    values: list[float], ratios: list[float], thresholds: list[float]
) -> None:
    """Ties and zeros included: what is kept is some set of the largest, counted by hand."""
    model, spy = build(values), Spy()
    points = measure_frontier(model, spy, magnitudes(model), ratios, thresholds)
    sizes = np.sort(np.abs(np.float32(values)))[::-1]
    expected = [("ratio", r, max(1, math.floor(12 / r))) for r in ratios]
    expected += [("threshold", t, int(np.count_nonzero(sizes > np.float32(t)))) for t in thresholds]
    assert [(p.split, p.criterion, p.value) for p in points] == [
        (split, criterion, value) for split in ("val", "test") for criterion, value, _ in expected
    ]
    for point, (_, _, keep) in zip(points, expected * 2, strict=True):
        nonzero = int(np.count_nonzero(sizes[:keep]))
        assert point.metric == (nonzero if point.split == "val" else -nonzero)
        assert point.compression == (12 / nonzero if nonzero else math.inf)
        assert point.compression_total == 23 / (nonzero + 11)
    for kept in spy.seen:
        changed = kept != np.float32(values)
        assert not kept[changed].any()
        left = np.abs(np.float32(values))
        if changed.any() and not changed.all():
            assert left[changed].max() <= left[~changed & (left > 0)].min(initial=np.inf)


def test_compression_by_hand() -> None:
    """12 weights of which 4 are zero, 11 other parameters: two denominators."""
    model = build([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    points = measure_frontier(model, Spy(), magnitudes(model), ratios=[1, 1.5, 2, 5, 12, 100], thresholds=[])
    val = points_of(points, "val", "ratio")
    assert [p.compression for p in val] == [1.5, 1.5, 2, 6, 12, 12]
    totals = [23 / 19, 23 / 19, 23 / 17, 23 / 13, 23 / 12, 23 / 12]
    assert [p.compression_total for p in val] == totals


def test_thresholds_remove_what_equals_them() -> None:
    """0.5 and 0.25 are exact in float32: |x| <= t goes, larger stays."""
    above = float(np.nextafter(np.float32(0.5), np.float32(1)))
    values = [0.25, -0.25, 0.5, -0.5, above, -above, 1, 1, 1, 1, 1, 1]
    model, spy = build(values), Spy()
    points = measure_frontier(model, spy, magnitudes(model), [], [0.0, 0.25, 0.5, 1.0])
    counts = [p.metric for p in points_of(points, "val", "threshold")]
    assert counts == [12, 10, 8, 0]
    assert points_of(points, "val", "threshold")[-1].compression == math.inf


def test_a_threshold_between_floats_is_the_papers() -> None:
    """0.1 has no exact float32; a weight written as 0.1 is not larger than the threshold 0.1."""
    model = build([0.1] * 6 + [0.2] * 6)
    points = measure_frontier(model, Spy(), magnitudes(model), [], [0.1])
    assert [p.metric for p in points_of(points, "val", "threshold")] == [6]


@settings(max_examples=50, deadline=None)
@given(values=weights_of_few_values, order=st.permutations(range(12)))
def test_other_scores_decide_the_order(values: list[float], order: list[int]) -> None:
    model, spy = build(values), Spy()
    ranks = torch.tensor(order, dtype=torch.float32)
    scores = {"0.weight": ranks[:6].view(3, 2), "2.weight": ranks[6:].view(2, 3)}
    points = measure_frontier(model, spy, scores, [1, 2, 3, 6], [0.15])
    for point in points_of(points, "val", "ratio"):
        keep = int(12 / point.value)
        kept = [values[i] for i in range(12) if order[i] >= 12 - keep]
        assert point.metric == np.count_nonzero(kept)
    keep = sum(abs(v) > 0.15 for v in values)
    kept = [values[i] for i in range(12) if order[i] >= 12 - keep]
    assert points_of(points, "val", "threshold")[0].metric == np.count_nonzero(kept)


def test_one_evaluation_per_number_of_weights_kept() -> None:
    model, spy = build(np.arange(1, 13) / 10), Spy()
    measure_frontier(model, spy, magnitudes(model), [1, 2, 2.1, 2.4, 6, 50, 90], [0.0, 0.15, 0.65, 5])
    assert [np.count_nonzero(kept) for kept in spy.seen] == [12, 11, 6, 5, 2, 1, 0]


def test_the_model_is_restored() -> None:
    model = build(np.linspace(-1, 1, 12))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure_frontier(model, Spy(), magnitudes(model))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())

    def fails(_: nn.Module) -> Mapping[str, float]:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        measure_frontier(model, fails, magnitudes(model))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_convolutions_are_pruned_too_and_the_default_grid_is_used() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 50, 3), nn.Flatten(), nn.Linear(50, 20))
    points = measure_frontier(model, Spy(), magnitudes(model))
    assert len(points) == 2 * (len(RATIOS) + len(THRESHOLDS)) == 2 * (14 + 19)
    val = points_of(points, "val", "ratio")
    assert [p.metric for p in val] == [max(1, int(1450 // r)) for r in RATIOS]


def test_wrong_requests_are_refused() -> None:
    model = build(np.ones(12))
    with pytest.raises(ValueError, match=r"0\.5"):
        measure_frontier(model, Spy(), magnitudes(model), ratios=[2, 0.5])
    with pytest.raises(ValueError, match="no convolution or linear weights"):
        measure_frontier(nn.BatchNorm1d(3), Spy(), {})
