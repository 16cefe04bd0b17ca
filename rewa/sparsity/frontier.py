"""The frontier of one trained model: what it keeps of its quality as weights are removed.

Two criteria. ``ratio``: the weights with the largest scores are kept, globally, down to a target
compression; methods with different weight scales compare fairly. ``threshold``: every weight with
|x| <= t is removed, for the paper's 19 absolute thresholds (Appendix D.2), for parity with its plots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rewa.sparsity.ranking import Pruning, check_ratios, rank_weights

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

EvaluateEach = Callable[[Iterator[nn.Module]], Sequence[Mapping[str, float]]]
"""Evaluates models one after another: each is there, in the same module, until the next is asked for."""

Recalibrate = Callable[[nn.Module], None]
"""Recomputes a model's batch-norm statistics in place."""


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
        metric: The workload's metric: an accuracy as a fraction in [0, 1], an error, a loss. NaN is kept.
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
    recalibrate: Recalibrate | None = None,
    evaluate_each: EvaluateEach | None = None,
) -> list[OperatingPoint]:
    """Prune a model step by step and evaluate it at every operating point.

    One sort serves all points, and points that leave the same weights share an evaluation: those that keep
    the same number, and those that differ in zeros only.

    Args:
        model: A model with plain weights; restored before returning, buffers included.
        evaluate: Called once per distinct set of weights left, and once more for it if recalibrated.
        scores: For each prunable weight, a tensor of its shape; larger is kept longer. Default: magnitude.
        ratios: Target compression ratios, each >= 1.
        thresholds: Absolute thresholds; as many weights are removed as have |x| <= t, lowest scores
            first (for magnitude scores, exactly those weights).
        recalibrate: Recomputes batch-norm statistics of the pruned model in place, such as
            :func:`rewa.sparsity.recalibration.recalibrate` on fixed inputs; it may change buffers only.
            Every set of weights left is then evaluated a second time after it, all of them included.
            Default: none, and no recalibrated points.
        evaluate_each: Used instead of ``evaluate`` where nothing is recalibrated, for models that are faster
            evaluated together.

    Returns:
        One point per split, criterion and value, in that order; then the recalibrated ones likewise.

    Raises:
        ValueError: If the model has no prunable weights, or a ratio is below 1.
    """
    if not ratios and not thresholds:
        raise ValueError("give at least one target ratio or threshold.")
    check_ratios(ratios)
    ranking = rank_weights(model, scores)
    magnitude = ranking.values.abs()
    keeps: list[tuple[str, float, int]] = [
        *(("ratio", float(r), ranking.kept_at(r)) for r in ratios),
        *(("threshold", float(t), int(torch.count_nonzero(magnitude > t))) for t in thresholds),
    ]
    del magnitude
    nonzero_at: dict[int, int] = {}
    measured: dict[tuple[bool, int], Mapping[str, float]] = {}  # by the weights left that are not zero
    buffers = {} if recalibrate is None else {name: b.clone() for name, b in model.named_buffers()}
    pruning = Pruning(ranking)

    def steps() -> Iterator[int]:
        """Prune to every distinct set of weights and yield how many of them are not zero."""
        for keep in sorted({keep for _, _, keep in keeps}, reverse=True):
            seen = set(nonzero_at.values())
            nonzero = nonzero_at[keep] = pruning.prune_to(keep)
            if nonzero not in seen:  # else nothing but zeros was removed
                yield nonzero

    try:
        if evaluate_each is not None and recalibrate is None:
            results = evaluate_each(model for _ in steps())
            distinct = dict.fromkeys(nonzero_at.values())
            measured = {(False, nonzero): r for nonzero, r in zip(distinct, results, strict=True)}
        else:
            for nonzero in steps():
                measured[False, nonzero] = evaluate(model)
                if recalibrate is not None:
                    recalibrate(model)
                    measured[True, nonzero] = evaluate(model)
                    _restore(model, buffers)
    finally:
        pruning.undo()
        _restore(model, buffers)

    weights, total = ranking.values.numel(), sum(p.numel() for p in model.parameters())
    others = total - weights
    points = []
    for recalibrated in (False, True) if recalibrate is not None else (False,):
        for split in measured[False, nonzero_at[keeps[0][2]]]:
            for criterion, value, keep in keeps:
                nonzero = nonzero_at[keep]
                points.append(
                    OperatingPoint(
                        split=split,
                        criterion=criterion,
                        value=value,
                        compression=weights / nonzero if nonzero else float("inf"),
                        compression_total=total / (nonzero + others) if nonzero + others else float("inf"),
                        metric=float(measured[recalibrated, nonzero][split]),
                        recalibrated=recalibrated,
                    )
                )
    return points


@torch.no_grad()
def _restore(model: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    """Copy saved buffers back."""
    for name, buffer in model.named_buffers():
        if name in buffers:
            buffer.copy_(buffers[name])
