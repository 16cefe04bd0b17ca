from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewa.metric import ACCURACY, Metric
from rewa.sparsity.area import frontier_area

MSE = Metric("mse", "min", chance=2.0, ideal=1.0)
MIRROR = Metric("share", "max", chance=0.0, ideal=1.0)
"""1 - (mse - 1): the same quality, turned round."""
values = st.floats(0, 5)


@given(values, values)
def test_direction(one: float, other: float) -> None:
    assert MSE.better(one, other) == (one < other)
    assert ACCURACY.better(one, other) == (one > other)
    assert MSE.gain(one, other) == -ACCURACY.gain(one, other)
    assert (MSE.best([one, other]), ACCURACY.best([one, other])) == (min(one, other), max(one, other))


def test_nothing_is_worse_than_worst_and_nan_is_not_better() -> None:
    for metric in (MSE, ACCURACY):
        assert metric.better(0.5, metric.worst)
        assert metric.best([0.5, metric.worst]) == 0.5
        assert not metric.better(math.nan, 0.5)
        assert not metric.better(0.5, math.nan)


def test_only_an_accuracy_is_a_share() -> None:
    assert ACCURACY.is_share
    assert not MSE.is_share


def test_a_description_gives_the_metric_back_and_old_ones_mean_accuracy() -> None:
    assert Metric.from_description({"name": "x", **MSE.describe()}) == MSE
    assert Metric.from_description({"name": "digits", "metric": "accuracy"}) == ACCURACY
    assert Metric.from_description({}) == ACCURACY


@pytest.mark.parametrize(("direction", "chance", "ideal"), [("min", 1, 2), ("max", 1, 1), ("up", 0, 1)])
def test_contradictions_are_refused(direction: str, chance: float, ideal: float) -> None:
    with pytest.raises(ValueError, match=r"must be"):
        Metric("m", direction, chance, ideal)  # type: ignore[arg-type]


@given(st.lists(values, min_size=4, max_size=4), st.floats(1.05, 3), st.floats(1.5, 1000))
def test_the_area_of_an_error_is_that_of_its_mirror_image(
    errors: list[float], reference: float, end: float
) -> None:
    curve = dict(zip((1.0, 10.0, 100.0, 1000.0), errors, strict=True))
    mirrored = {ratio: 2.0 - error for ratio, error in curve.items()}
    turned = Metric("m", "max", chance=-9.0, ideal=1.0)
    if 2.0 - reference < 0:
        turned = Metric("m", "max", chance=-9.0, ideal=1.0 + 1e-12)  # no share: may be negative
    expected = frontier_area(mirrored, end, 2.0 - reference, turned)
    assert frontier_area(curve, end, reference, MSE) == pytest.approx(expected, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("bad", [math.inf, math.nan, 1e38])
def test_hopeless_values_are_worthless_and_nothing_more(bad: float) -> None:
    """Ideal to 10x, then hopeless: one decade, and a triangle of half a decade's worth, of three."""
    area = frontier_area({1: 1.0, 10: 1.0, 100: bad, 1000: bad}, 1000, 2.0, MSE)
    assert area == pytest.approx(1.5 / 3)


def test_a_reference_better_than_ideal_is_refused() -> None:
    with pytest.raises(ValueError, match="reference worse than 1"):
        frontier_area({1: 1.0, 10: 1.0}, 10, 0.8, MSE)
