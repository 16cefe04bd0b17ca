"""Recalibrated points stand beside the raw ones and leave no trace, in those or in the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from rewa.optim import prunable_weights
from rewa.sparsity import measure_frontier, recalibrate

RATIOS = (1, 2, 10, 11, 500)
THRESHOLDS = (0.0, 0.1, 9.0)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).eval()


INPUTS = [torch.randn(16, 4, generator=torch.Generator().manual_seed(i)) for i in range(3)]


def output(model: nn.Module) -> Mapping[str, float]:
    with torch.no_grad():
        found = model(INPUTS[0])
    return {"val": float(found.sum()), "test": float(found.std())}


def prune_by_hand(keep: int) -> nn.Sequential:
    """A fresh copy in which the smallest weights are zero."""
    model = network()
    weights = list(prunable_weights(model).values())
    flat = torch.cat([w.detach().flatten() for w in weights])
    cut = flat.abs().sort(descending=True).values[keep] if keep < flat.numel() else -1.0
    with torch.no_grad():
        for weight in weights:
            weight.masked_fill_(weight.abs() <= cut, 0)
    return model


def test_raw_points_are_as_without_and_come_first() -> None:
    raw = measure_frontier(network(), output, None, RATIOS, THRESHOLDS)
    model = network()
    both = measure_frontier(model, output, None, RATIOS, THRESHOLDS, partial(recalibrate, batches=INPUTS))
    assert both[: len(raw)] == raw
    again = both[len(raw) :]
    assert all(point.recalibrated for point in again)
    for old, new in zip(raw, again, strict=True):
        assert (new.split, new.criterion, new.value) == (old.split, old.criterion, old.value)
        assert (new.compression, new.compression_total) == (old.compression, old.compression_total)
    assert again[0].metric != raw[0].metric, "the unpruned model is recalibrated too"
    for name, value in network().state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


@pytest.mark.parametrize("ratio", [1, 2, 10])
def test_recalibrated_metric_is_that_of_a_model_pruned_by_hand(ratio: int) -> None:
    points = measure_frontier(network(), output, None, RATIOS, (), partial(recalibrate, batches=INPUTS))
    (found,) = [p for p in points if p.recalibrated and p.value == ratio and p.split == "test"]
    model = prune_by_hand(42 // ratio)
    recalibrate(model, INPUTS)
    assert found.metric == output(model)["test"]


def test_each_number_of_weights_is_recalibrated_once() -> None:
    seen: list[int] = []

    def spy(model: nn.Module) -> None:
        seen.append(sum(int(w.count_nonzero()) for w in prunable_weights(model).values()))
        recalibrate(model, INPUTS)

    measure_frontier(network(), output, None, (1, 1.01, 2, 20, 21, 500), (0.0, 9.0), spy)
    assert seen == [42, 41, 21, 2, 1, 0]


def test_a_failure_restores_weights_and_statistics() -> None:
    def fails(model: nn.Module) -> None:
        recalibrate(model, INPUTS)
        raise ArithmeticError

    model = network()
    with pytest.raises(ArithmeticError):
        measure_frontier(model, output, None, RATIOS, (), fails)
    for name, value in network().state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_a_metric_that_is_no_number_is_kept_where_it_is() -> None:
    """One point without a value costs no other point its own."""
    calls: list[int] = []

    def evaluate(model: nn.Module) -> Mapping[str, float]:
        calls.append(1)
        return {"val": math.nan if len(calls) == 4 else float(len(calls)), "test": -math.inf}

    def nothing(_: nn.Module) -> None:
        return

    points = measure_frontier(network(), evaluate, None, (1, 2, 10), (), nothing)
    values = [p.metric for p in points if p.split == "val"]
    assert values[:4] == [1, 3, 5, 2]
    assert math.isnan(values[4])
    assert values[5] == 6


def test_buffers_keep_their_identity() -> None:
    model = network()
    mean: Tensor = model[1].running_mean
    measure_frontier(model, output, None, RATIOS, (), partial(recalibrate, batches=INPUTS))
    assert model[1].running_mean is mean
