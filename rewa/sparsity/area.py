"""One number for a frontier: the area under accuracy over log10(compression)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def frontier_area(accuracy_at: Mapping[float, float], max_compression: float, reference: float) -> float:
    """Return the normalised area under a frontier, above a reference accuracy.

    The curve is piecewise linear in log10(compression) from 1 to ``max_compression``, clipped from
    below at the reference at its nodes, and divided by the area of a perfect model: 1 keeps accuracy 1
    everywhere, 0 never rises above the reference.

    Args:
        accuracy_at: Accuracy (fraction) at each target compression; must include 1.
        max_compression: Right end, > 1; the curve is interpolated there if it is not a target.
        reference: Accuracy counted as worthless, in [0, 1). The ranking of methods can depend on it.

    Raises:
        ValueError: If an argument is out of range or the curve does not span the interval.
    """
    if not (max_compression > 1 and 0 <= reference < 1):
        raise ValueError(
            f"need max_compression > 1 and 0 <= reference < 1, got {max_compression}, {reference}."
        )
    ratios = sorted(accuracy_at)
    if not ratios or ratios[0] > 1 or ratios[-1] < max_compression:
        raise ValueError(f"the frontier must span compressions 1 to {max_compression:g}.")
    end = math.log10(max_compression)
    x = np.log10(ratios)
    y = np.array([accuracy_at[ratio] for ratio in ratios])
    nodes = np.append(x[x < end], end)
    height = np.clip(np.interp(nodes, x, y) - reference, 0.0, None)
    return float(np.trapezoid(height, nodes) / (end * (1.0 - reference)))
