"""The frontier of one trained model: what it keeps of its quality as weights are removed.

Two criteria. ``ratio``: the weights with the largest scores are kept, globally, down to a target
compression; methods with different weight scales compare fairly. ``threshold``: every weight with
|x| <= t is removed, for the paper's 19 absolute thresholds (Appendix D.2), for parity with its plots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rewa.optim import prunable_weights

RATIOS: tuple[float, ...] = (1, 2, 5, 10, 20, 33, 50, 75, 100, 150, 200, 350, 500, 1000)
"""Target compression ratios of the primary axis."""

THRESHOLDS: tuple[float, ...] = (
    *(1e-8, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3),
    *(5e-3, 1e-2, 2e-2, 3e-2, 5e-2, 1e-1, 2e-1, 3e-1, 5e-1),
)
"""The paper's absolute thresholds on |x|."""

HEADLINE_RATIOS: tuple[float, ...] = (10, 50, 100, 200)
"""Compressions that are asked about where a workload does not say otherwise."""

Evaluate = Callable[[nn.Module], Mapping[str, float]]
"""Evaluates a model: metric by split ("val", "test")."""


@dataclass(frozen=True)
class OperatingPoint:
    """One row of a frontier.

    Attributes:
        split: "val" or "test".
        criterion: "ratio" or "threshold".
        value: The target ratio, or the threshold.
        compression: Prunable weights / non-zero prunable weights; inf when none is left. At a target
            ratio it can exceed the target, where the model holds exact zeros already.
        compression_total: All parameters / (non-zero prunable weights + all other parameters).
        metric: The workload's metric: an accuracy as a fraction in [0, 1], an error, a loss.
        recalibrated: Whether batch-norm statistics were recomputed after pruning.
    """

    split: str
    criterion: str
    value: float
    compression: float
    compression_total: float
    metric: float
    recalibrated: bool = False


def measure_frontier(
    model: nn.Module,
    evaluate: Evaluate,
    scores: Mapping[str, Tensor] | None = None,
    ratios: Sequence[float] = RATIOS,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[OperatingPoint]:
    """Prune a model step by step and evaluate it at every operating point.

    One sort serves all points, and points that keep the same number of weights share an evaluation.

    Args:
        model: A model with plain weights; restored before returning.
        evaluate: Called once per distinct number of weights kept.
        scores: For each prunable weight, a tensor of its shape; larger is kept longer. Default: magnitude.
        ratios: Target compression ratios, each >= 1.
        thresholds: Absolute thresholds; as many weights are removed as have |x| <= t, lowest scores
            first (for magnitude scores, exactly those weights).

    Returns:
        One point per split, criterion and value, in that order.

    Raises:
        ValueError: If the model has no prunable weights, or a ratio is below 1.
    """
    weights = prunable_weights(model)
    if not weights:
        raise ValueError("the model has no convolution or linear weights to prune.")
    if not ratios and not thresholds:
        raise ValueError("give at least one target ratio or threshold.")
    if any(ratio < 1 for ratio in ratios):
        raise ValueError(f"target ratios must be >= 1, got {min(ratios)}.")
    original = torch.cat([w.detach().flatten() for w in weights.values()])
    magnitude = original.abs()
    ranked = magnitude if scores is None else torch.cat([scores[name].flatten() for name in weights])
    order = ranked.argsort(descending=True, stable=True)
    total = sum(p.numel() for p in model.parameters())
    others = total - original.numel()
    kept_nonzero = (original[order] != 0).cumsum(0)

    keeps: list[tuple[str, float, int]] = [
        *(("ratio", float(r), max(1, int(original.numel() // r))) for r in ratios),
        *(("threshold", float(t), int((magnitude > t).sum())) for t in thresholds),
    ]
    measured: dict[int, Mapping[str, float]] = {}
    try:
        for keep in sorted({keep for _, _, keep in keeps}, reverse=True):
            pruned = original.clone()
            pruned[order[keep:]] = 0
            _write(weights, pruned)
            measured[keep] = evaluate(model)
    finally:
        _write(weights, original)

    points = []
    for split in next(iter(measured.values())):
        for criterion, value, keep in keeps:
            nonzero = int(kept_nonzero[keep - 1]) if keep else 0
            points.append(
                OperatingPoint(
                    split=split,
                    criterion=criterion,
                    value=value,
                    compression=original.numel() / nonzero if nonzero else float("inf"),
                    compression_total=total / (nonzero + others) if nonzero + others else float("inf"),
                    metric=float(measured[keep][split]),
                )
            )
    return points


@torch.no_grad()
def _write(weights: Mapping[str, nn.Parameter], flat: Tensor) -> None:
    """Copy a flat vector back into the weights."""
    pieces = torch.split(flat, [w.numel() for w in weights.values()])
    for weight, piece in zip(weights.values(), pieces, strict=True):
        weight.copy_(piece.view_as(weight))
