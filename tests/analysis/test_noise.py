"""Welch's interval against scipy and a table value; the cases in which there is none."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.noise import compare, difference_error, sampling_error
from rewa.metric import ACCURACY

ACCURACIES = st.lists(st.integers(300, 360).map(lambda hits: hits / 360.0), min_size=2, max_size=8)


@settings(deadline=None, max_examples=100)
@given(ACCURACIES, ACCURACIES)
def test_interval_equals_scipys(a: list[float], b: list[float]) -> None:
    if max(a) == min(a) or max(b) == min(b):
        return  # scipy warns of lost precision there
    found = compare(a, b, ACCURACY)
    expected = stats.ttest_ind(a, b, equal_var=False)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    if abs(expected.pvalue - 0.05) > 1e-9:
        assert found.beyond is bool(expected.pvalue < 0.05)


def test_interval_by_hand() -> None:
    # Equal sizes and variances: nu = 4, t(0.975, 4) = 2.776445, error = 0.01 * sqrt(2 / 3).
    found = compare([0.96, 0.97, 0.98], [0.93, 0.94, 0.95], ACCURACY)
    reach = 2.776445 * 0.01 * math.sqrt(2.0 / 3.0)
    assert found.difference == pytest.approx(0.03)
    assert (found.low, found.high) == pytest.approx((0.03 - reach, 0.03 + reach), rel=1e-6)
    assert found.beyond is True
    assert found.verdict == "beyond the seed noise"
    assert compare([0.96, 0.97, 0.98], [0.95, 0.96, 0.97], ACCURACY).verdict == "within the seed noise"


def test_spread_on_one_side_is_enough() -> None:
    found = compare([0.97, 0.97, 0.97], [0.93, 0.94, 0.95], ACCURACY)
    reach = 4.302653 * 0.01 / math.sqrt(3.0)  # nu = 2
    assert found.high - found.difference == pytest.approx(reach, rel=1e-6)
    assert found.beyond is True


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ([0.9], [0.8], "one seed each"),
        ([0.9], [0.8, 0.81], "one seed on one side"),
        ([0.9, 0.9, 0.9], [0.8, 0.8, 0.8], "no spread"),
        ([], [0.8, 0.81], "no runs"),
    ],
)
def test_no_interval_is_no_verdict(a: list[float], b: list[float], why: str) -> None:
    found = compare(a, b, ACCURACY)
    assert found.beyond is None
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert why in found.verdict
    assert "unknown" in found.verdict


def test_sampling_error_is_the_binomial_one() -> None:
    assert sampling_error(0.5, 100) == pytest.approx(1.959964 * 0.05, rel=1e-6)
    assert sampling_error(1.0, 100) == 0.0
    assert difference_error(0.5, 0.5, 100) == pytest.approx(1.959964 * 0.05 * math.sqrt(2))
