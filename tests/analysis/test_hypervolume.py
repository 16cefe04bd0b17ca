"""Hypervolume against an exact sum of rectangles and against random sampling."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.hypervolume import hypervolume, hypervolume_table, ranking_note
from rewa.metric import ACCURACY

CURVES = st.lists(st.tuples(st.floats(1.0, 2000.0), st.floats(0.0, 1.0)), min_size=0, max_size=15)


def staircase(points: list[tuple[float, float]], reference: float, cap: float) -> float:
    """Sum of the rectangles under the staircase, sorted from the sparsest."""
    area, height, decades = 0.0, reference, math.log10(cap)
    edges = sorted(((math.log10(min(c, cap)), a) for c, a in points), reverse=True)
    for x, accuracy in edges:
        if accuracy > height:
            area += x * (accuracy - height)
            height = accuracy
    return area / (decades * (1.0 - reference))


@settings(deadline=None, max_examples=150)
@given(CURVES, st.sampled_from([0.0, 0.1, 0.8]), st.sampled_from([50.0, 500.0]))
def test_equals_the_rectangles(points: list[tuple[float, float]], reference: float, cap: float) -> None:
    value = hypervolume([c for c, _ in points], [a for _, a in points], reference, cap, ACCURACY)
    assert 0.0 <= value <= 1.0 + 1e-12
    assert value == pytest.approx(staircase(points, reference, cap), abs=1e-9)


def test_equals_monte_carlo() -> None:
    rng = np.random.default_rng(0)
    compression, accuracy = [1.0, 20.0, 90.0, 400.0], [0.99, 0.98, 0.95, 0.6]
    x = rng.uniform(0.0, math.log10(500.0), 200_000)
    y = rng.uniform(0.5, 1.0, 200_000)
    hit = np.zeros(len(x), dtype=bool)
    for c, a in zip(compression, accuracy, strict=True):
        hit |= (x <= math.log10(c)) & (y <= a)
    assert hypervolume(compression, accuracy, 0.5, 500.0, ACCURACY) == pytest.approx(hit.mean(), abs=0.005)


def test_corners() -> None:
    assert hypervolume([500.0], [1.0], 0.8, 500.0, ACCURACY) == pytest.approx(1.0)
    assert hypervolume([math.inf], [1.0], 0.8, 500.0, ACCURACY) == pytest.approx(1.0)
    assert hypervolume([], [], 0.8, 500.0, ACCURACY) == 0.0
    assert hypervolume([math.nan, 10.0], [0.9, math.nan], 0.8, 500.0, ACCURACY) == 0.0
    assert hypervolume([10.0], [0.7], 0.8, 500.0, ACCURACY) == 0.0
    with pytest.raises(ValueError, match="no area"):
        hypervolume([10.0], [0.7], 1.0, 500.0, ACCURACY)


def planted() -> pd.DataFrame:
    """`steady` holds a high accuracy to 50x; `far` is mediocre up to 500x."""
    return pd.DataFrame(
        {
            "method": ["steady", "far"],
            "compression": [50.0, 500.0],
            "test_metric_mean": [0.97, 0.9],
        }
    )


def test_ranking_that_turns_with_the_reference_is_told() -> None:
    table = hypervolume_table(planted(), ["steady", "far", "none"], [0.1, 0.85], 500.0, ACCURACY)
    assert table.loc["none"].eq(0.0).all()
    note = ranking_note(table, ACCURACY)
    assert note == ("The ranking depends on the reference: far is first at 10 %; steady is first at 85 %.")


def test_ranking_that_stays_is_told_too() -> None:
    table = hypervolume_table(planted(), ["steady", "far"], [0.1, 0.2], 500.0, ACCURACY)
    assert ranking_note(table, ACCURACY) == "The ranking is the same at every reference."
    assert ranking_note(table[[0.1]], ACCURACY) == ""


def test_change_behind_the_first_is_told() -> None:
    table = pd.DataFrame({0.1: [0.9, 0.5, 0.4], 0.9: [0.8, 0.3, 0.35]}, index=["a", "b", "c"])
    note = ranking_note(table, ACCURACY)
    assert note == "a is first at every reference; the order behind depends on the reference."
