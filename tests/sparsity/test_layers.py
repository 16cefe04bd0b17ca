"""The table of layers against counts of a model pruned by the frontier, and its warning."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import nn

from rewa.optim import prunable_weights
from rewa.sparsity import LayerRow, collapse_warning, collapsed_layers, layer_table, measure_frontier


def test_counts_are_those_of_the_pruned_models() -> None:
    """Every layer's non-zeros, counted while the frontier evaluates; zeros before pruning are not kept."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(8, 5), nn.Linear(5, 2)
    )
    with torch.no_grad():
        model[0].weight[0] = 0
        model[4].weight.mul_(0.01)
    scores = {name: torch.rand(w.shape) for name, w in prunable_weights(model).items()}
    for chosen in (None, scores):
        counts: list[list[int]] = []

        def spy(pruned: nn.Module, counts: list[list[int]] = counts) -> Mapping[str, float]:
            counts.append([int(w.count_nonzero()) for w in prunable_weights(pruned).values()])
            return {"val": 0.0}

        ratios = (1, 2, 5, 60)
        measure_frontier(model, spy, chosen, ratios, ())
        rows = layer_table(model, ratios, chosen)
        assert [row.layer for row in rows] == ["0", "3", "4"]
        assert [row.shape for row in rows] == [(4, 2, 3, 3), (5, 8), (2, 5)]
        assert [row.weights for row in rows] == [72, 40, 10]
        for ratio, expected in zip(ratios, counts, strict=True):
            assert [row.kept[ratio] for row in rows] == expected


def row(layer: str, **kept: int) -> LayerRow:
    return LayerRow(layer, (10, 10), 100, {float(ratio[1:]): count for ratio, count in kept.items()})


def test_collapsed_layers_are_named_from_where_they_collapse() -> None:
    rows = [
        row("conv1", x10=9, x100=3, x1000=1),
        row("layer4.1.conv2", x10=1, x100=0, x1000=0),
        row("fc", x10=2, x100=2, x1000=0),
    ]
    assert collapsed_layers(rows) == {100.0: ["layer4.1.conv2"], 1000.0: ["layer4.1.conv2", "fc"]}
    told = collapse_warning(rows)
    assert told.startswith(
        "layer collapse: at 100x layer4.1.conv2 has no weight left, so its output does not"
    )
    told = collapse_warning(rows, [10, 1000])
    assert told.startswith("layer collapse: at 1000x layer4.1.conv2 and 1 more have no weight left, so their")
    assert collapse_warning(rows, [10]) == ""
    assert collapsed_layers(rows[:1]) == {}


def test_the_warning_is_true() -> None:
    """A bare layer makes a chain constant in its input; with a shortcut the input still comes through."""
    layer = nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight.zero_()
    x = torch.randn(2, 4)
    with torch.no_grad():
        assert torch.equal(layer(x)[0], layer(x)[1])
        assert not torch.equal((x + layer(x))[0], (x + layer(x))[1])
    told = collapse_warning(layer_table(nn.Sequential(layer, nn.Linear(4, 2)), [1]))
    assert "0 has no weight left" in told
    assert "shortcuts" in told


def test_ratios_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"0\.5"):
        layer_table(nn.Linear(2, 2), [0.5])
