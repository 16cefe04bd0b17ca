"""Prune, then fine-tune what is left: plain SGD under a fixed mask, from the trained weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

from pydantic import Field
from torch import Tensor, nn
from torch.optim.sgd import SGD

from rewa.config import Settings
from rewa.descent import Descent, OnStep
from rewa.schedules import warmup_cosine
from rewa.sparsity.masks import hold_masks, top_masks
from rewa.workloads.base import Findings, Workload


class FineTuning(Settings):
    """How pruned models are trained on.

    Attributes:
        ratios: Target compressions, each >= 1; one fine-tuned model per entry.
        epochs: Of each.
        lr: Base learning rate; cosine to zero.
        momentum: Of SGD; there is no weight decay, and no penalty.
    """

    ratios: tuple[float, ...] = Field(min_length=1)
    epochs: int = Field(default=10, ge=1)
    lr: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)


def finetune(
    workload: Workload,
    model: nn.Module,
    scores: Mapping[str, Tensor],
    settings: FineTuning,
    seed: int,
    on_phase: Callable[[str], None] | None = None,
    on_step: OnStep | None = None,
) -> Findings:
    """Return the metric after fine-tuning, by split and target compression; the model is left alone.

    Args:
        workload: Data, loss and metric.
        model: A trained model with plain weights.
        scores: Ranking of its prunable weights, as for the frontier.
        settings: Where and how.
        seed: Of the data order.
        on_phase: Told what begins, as text.
        on_step: Told about steps.

    Returns:
        ``finetuned_val_<metric>`` and ``finetuned_test_<metric>``: maps from "100x" to the value.
    """
    total = settings.epochs * workload.steps_per_epoch
    found: dict[str, dict[str, float]] = {split: {} for split in ("val", "test")}
    for ratio in settings.ratios:
        if on_phase:
            on_phase(f"fine-tuning at {ratio:g}x")
        pruned = copy.deepcopy(model)
        masks = top_masks(pruned, ratio, scores)
        trainable = [p for p in pruned.parameters() if p.requires_grad]
        optimizer = SGD(trainable, lr=settings.lr, momentum=settings.momentum)
        hold_masks(optimizer, pruned, masks)
        descent = Descent(
            workload, pruned, optimizer, lambda step: warmup_cosine(step, total, 0.0), total, seed
        )
        for _ in range(settings.epochs):
            descent.run_epoch(on_step)
        for split, values in found.items():
            values[f"{ratio:g}x"] = descent.evaluate(split)
    name = workload.metric.name
    return {f"finetuned_{split}_{name}": values for split, values in found.items()}
