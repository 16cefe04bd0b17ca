"""How the hypervolume of each method, and with it the ranking, depends on the reference value.

A reference below which a network counts as worthless is a matter of taste, and a ranking by one number at
one reference hides that. Here all references between chance and ideal stand side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.hypervolume import box_end, hypervolume_table
from analysis.pareto import DIGITS
from analysis.summary import Summary

STEPS = 200
"""References between chance and ideal."""


@dataclass(frozen=True)
class Stretch:
    """References, next to each other, at which the same methods are first.

    Attributes:
        first: The methods with the largest hypervolume, several where they tie; none where no method beats
            the reference at any compression.
        start: The reference nearest to chance.
        end: The reference nearest to ideal.
    """

    first: tuple[str, ...]
    start: float
    end: float


def reference_strip(summary: Summary, steps: int = STEPS) -> pd.DataFrame:
    """Hypervolume on test of every method at evenly spaced references, chance included and ideal not.

    Args:
        summary: What `summarise` returned; the points are those it recommends, chosen on validation.
        steps: Number of references.

    Returns:
        References, from chance towards ideal, by methods that have points, in display order. Each value is
        what `analysis.hypervolume.hypervolume` returns, relative to the box above that reference: compare
        methods at one reference, not one method at two.
    """
    metric = summary.metric
    grid = metric.chance + (metric.ideal - metric.chance) * np.arange(steps) / steps
    present = set(summary.points["method"])
    methods = [method for method in summary.methods if method in present]
    cap = box_end(summary.record.meta, summary.points)
    return hypervolume_table(summary.points, methods, grid.tolist(), cap, metric).T


def stretches(strip: pd.DataFrame) -> list[Stretch]:
    """Divide the references by which method is first.

    Args:
        strip: What `reference_strip` returned.

    Returns:
        Stretches from chance towards ideal that together hold every reference once.
    """
    found: list[Stretch] = []
    for reference, row in strip.round(DIGITS).iterrows():
        at, best = float(str(reference)), row.max() if len(row) else 0.0
        first = tuple(str(method) for method in row.index[row == best]) if best > 0.0 else ()
        if found and found[-1].first == first:
            found[-1] = Stretch(first, found[-1].start, at)
        else:
            found.append(Stretch(first, at, at))
    return found
