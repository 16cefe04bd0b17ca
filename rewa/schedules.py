"""Learning-rate schedules: pure functions from a step's number to a factor of the base rate."""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]
"""Maps a step, 0 for the first, to the factor of the base learning rate."""


def warmup_cosine(step: int, total: int, warmup: float) -> float:
    """Return the learning-rate factor of a step: linear warm-up, then cosine to zero.

    Args:
        step: 0 for the first step.
        total: Number of steps.
        warmup: Share of the steps that warm up.
    """
    ramp = round(warmup * total)
    if step < ramp:
        return (step + 1) / ramp
    return 0.5 * (1.0 + math.cos(math.pi * (step - ramp) / max(1, total - ramp)))


def triangle(step: int, total: int, peak: float) -> float:
    """Return the factor of the cyclic schedule: linear from 0 to 1, then linear to 0.

    FFCV's ImageNet recipe, which Appendix D.3 of the paper follows, peaks at epoch 2 of 88.

    Args:
        step: 0 for the first step.
        total: Number of steps.
        peak: Share of the steps at which the factor is 1, in [0, 1].
    """
    top = peak * total
    if step < top:
        return step / top
    return max(0.0, (total - step) / (total - top)) if total > top else 1.0


def schedule_sum(schedule: Schedule, total: int) -> float:
    """Return the sum of the factors over all steps (sum of gamma_t = lr times this)."""
    return math.fsum(schedule(step) for step in range(total))
