"""What each layer keeps when a model is pruned globally, and which layers are left with nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rewa.sparsity.frontier import RATIOS
from rewa.sparsity.ranking import check_ratios, rank_weights


@dataclass(frozen=True)
class LayerRow:
    """One layer of a pruned model.

    Attributes:
        layer: Dotted name of the convolution or linear layer.
        shape: Shape of its weight.
        weights: Number of its weights.
        kept: Weights that are not zero, by target ratio of the whole model.
    """

    layer: str
    shape: tuple[int, ...]
    weights: int
    kept: dict[float, int]


def layer_table(
    model: nn.Module, ratios: Sequence[float] = RATIOS, scores: Mapping[str, Tensor] | None = None
) -> list[LayerRow]:
    """Count what every layer keeps at every target ratio, under one ranking of all weights.

    Args:
        model: A model with plain weights; not changed.
        ratios: Target compression ratios of the whole model, each >= 1.
        scores: As for :func:`rewa.sparsity.measure_frontier`.

    Returns:
        One row per prunable weight, in the model's order. Weights that are zero already do not count as kept.

    Raises:
        ValueError: If the model has no prunable weights, or a ratio is below 1.
    """
    check_ratios(ratios)
    ranking = rank_weights(model, scores)
    sizes = [w.numel() for w in ranking.weights.values()]
    owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    ranked = owner.to(ranking.order.device)[ranking.order]
    nonzero = ranking.values[ranking.order] != 0
    counts: dict[float, list[int]] = {}
    for ratio in ratios:
        keep = ranking.kept_at(ratio)
        layers = ranked[:keep][nonzero[:keep]]
        counts[float(ratio)] = torch.bincount(layers, minlength=len(sizes)).tolist()
    return [
        LayerRow(
            layer=name.removesuffix(".weight"),
            shape=tuple(weight.shape),
            weights=weight.numel(),
            kept={ratio: found[index] for ratio, found in counts.items()},
        )
        for index, (name, weight) in enumerate(ranking.weights.items())
    ]


def collapsed_layers(rows: Sequence[LayerRow]) -> dict[float, list[str]]:
    """Return the layers that have no weight left, by rising target ratio; ratios without any are left out."""
    found: dict[float, list[str]] = {}
    for ratio in sorted({ratio for row in rows for ratio in row.kept}):
        if bare := [row.layer for row in rows if row.kept.get(ratio) == 0]:
            found[ratio] = bare
    return found


def collapse_warning(rows: Sequence[LayerRow], ratios: Sequence[float] | None = None) -> str:
    """Say in one sentence at which ratio layers first have no weight left, and what that means.

    Args:
        rows: What :func:`layer_table` returned.
        ratios: The target ratios that matter; default all in the table.

    Returns:
        The sentence, without a final stop; empty when every layer keeps a weight at all of them.
    """
    found = collapsed_layers(rows)
    asked = [ratio for ratio in found if ratios is None or ratio in ratios]
    if not asked:
        return ""
    first, *others = found[asked[0]]
    more = f" and {len(others)} more" if others else ""
    have = "have" if others else "has"
    they = "their outputs do" if others else "its output does"
    return (
        f"layer collapse: at {asked[0]:g}x {first}{more} {have} no weight left, so {they} not depend on the "
        "input any more; only shortcuts around such layers, if the model has any, still carry the signal"
    )
