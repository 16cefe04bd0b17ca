"""Hypervolume of a frontier in (log10 compression, accuracy), at several reference accuracies.

The ranking of two methods can turn with the reference, so one number is never enough: a low
reference rewards whoever stays above chance at extreme compression, a high one whoever holds
nearly dense accuracy.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import moocore
import numpy as np
import pandas as pd

from analysis.text import join, percent

REFERENCES = (0.1, 0.5, 0.8, 0.9, 0.95)
DEFAULT_MAX_COMPRESSION = 1000.0


def hypervolume(
    compression: Iterable[float],
    accuracy: Iterable[float],
    reference: float,
    max_compression: float,
) -> float:
    """Area dominated by the points, over the area of the whole box.

    Args:
        compression: Compression ratios; beyond `max_compression` (infinity included) they count as
            that.
        accuracy: Accuracies, fractions.
        reference: Reference accuracy; with compression 1 it is the reference point.
        max_compression: Upper end of the compression axis.

    Returns:
        A number in [0, 1]: 1 for perfect accuracy at `max_compression`, 0 when nothing beats the
        reference.

    Raises:
        ValueError: The box has no area.
    """
    if not (max_compression > 1.0 and reference < 1.0):
        raise ValueError(f"no area above reference {reference} up to compression {max_compression}")
    decades = math.log10(max_compression)
    x = np.asarray(list(compression), dtype=float)
    y = np.asarray(list(accuracy), dtype=float)
    usable = (x > 1.0) & (y > reference)  # false for NaN
    if not usable.any():
        return 0.0
    points = np.column_stack([np.log10(np.minimum(x[usable], max_compression)), y[usable]])
    area = float(moocore.hypervolume(points, ref=[0.0, reference], maximise=True))
    return area / (decades * (1.0 - reference))


def hypervolume_table(
    points: pd.DataFrame,
    methods: Sequence[str],
    references: Iterable[float],
    max_compression: float,
) -> pd.DataFrame:
    """Hypervolume on test of every method at every reference.

    Args:
        points: What `best_attained` returned.
        methods: Methods, the rows of the result.
        references: Reference accuracies, the columns of the result.
        max_compression: Upper end of the compression axis.

    Returns:
        Methods by references; 0 for a method without points.
    """
    groups = {method: points[points["method"] == method] for method in methods}
    return pd.DataFrame(
        {
            reference: {
                method: hypervolume(
                    rows["compression"], rows["test_accuracy_mean"], reference, max_compression
                )
                for method, rows in groups.items()
            }
            for reference in references
        },
        index=list(methods),
    )


def ranking_note(table: pd.DataFrame) -> str:
    """Say in one line whether the ranking depends on the reference; empty with nothing to rank.

    Args:
        table: What `hypervolume_table` returned.
    """
    told = table.loc[:, (table > 0.0).any()]
    if told.shape[1] < 2 or told.shape[0] < 2:
        return ""
    orders = {ref: tuple(told[ref].round(9).rank(ascending=False, method="min")) for ref in told}
    if len(set(orders.values())) == 1:
        return "The ranking is the same at every reference."
    leaders: dict[str, list[str]] = {}
    for reference in told:
        best = told.index[told[reference].round(9) == told[reference].round(9).max()]
        leaders.setdefault(join(list(best)), []).append(percent(float(str(reference)), 0))
    if len(leaders) == 1:
        first = next(iter(leaders))
        return f"{first} is first at every reference; the order behind depends on the reference."
    parts = [f"{names} is first at {join(refs)}" for names, refs in leaders.items()]
    return f"The ranking depends on the reference: {'; '.join(parts)}."
