"""One number for a frontier: the area between it and a reference over log10(compression)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from rewa.metric import ACCURACY, Metric

HOPELESS = 1e300
"""How much worse than any reference a value that is not finite counts."""


def frontier_area(
    metric_at: Mapping[float, float], max_compression: float, reference: float, metric: Metric = ACCURACY
) -> float:
    """Return the normalised area between a frontier and a reference value of its metric.

    The curve is piecewise linear in log10(compression) from 1 to ``max_compression``; at its nodes it is
    clipped where it is worse than the reference, and the area is divided by that of an ideal model: 1 is
    ideal everywhere, 0 is never better than the reference. (A finite split can be kinder than ``ideal``
    says, so an error's area may exceed 1 by a little.)

    Args:
        metric_at: The metric at each target compression; must include 1. NaN and infinity are worthless.
        max_compression: Right end, > 1; the curve is interpolated there if it is not a target.
        reference: Value counted as worthless; worse than ``metric.ideal``. The ranking of methods can depend
            on it.
        metric: Direction and ideal value; default accuracy.

    Raises:
        ValueError: If an argument is out of range or the curve does not span the interval.
    """
    full = metric.gain(metric.ideal, reference)
    if not (max_compression > 1 and 0 < full < math.inf) or (metric.is_share and reference < 0):
        raise ValueError(
            f"need max_compression > 1 and a reference worse than {metric.ideal:g}, "
            f"got {max_compression}, {reference}."
        )
    ratios = sorted(metric_at)
    if not ratios or ratios[0] > 1 or ratios[-1] < max_compression:
        raise ValueError(f"the frontier must span compressions 1 to {max_compression:g}.")
    end = math.log10(max_compression)
    x = np.log10(ratios)
    gains = np.array([metric.gain(metric_at[ratio], reference) for ratio in ratios])
    gains = np.nan_to_num(gains, nan=-HOPELESS, neginf=-HOPELESS)  # infinity cannot be interpolated
    nodes = np.append(x[x < end], end)
    height = np.clip(np.interp(nodes, x, gains), 0.0, None)
    return float(np.trapezoid(height, nodes) / (end * full))
