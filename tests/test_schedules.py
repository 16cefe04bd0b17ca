from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewa.schedules import schedule_sum, triangle, warmup_cosine

steps = st.integers(1, 500)
shares = st.floats(0, 0.99)


@given(total=steps, warmup=shares)
def test_schedule_ends_peak_and_range(total: int, warmup: float) -> None:
    ramp = round(warmup * total)
    factors = [warmup_cosine(step, total, warmup) for step in range(total + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    if ramp < total:
        assert factors[total] == pytest.approx(0, abs=1e-15)
        assert factors[ramp] == 1
        assert all(a >= b for a, b in zip(factors[ramp:], factors[ramp + 1 :], strict=False))
    assert factors[:ramp] == pytest.approx([(step + 1) / ramp for step in range(ramp)])


def test_schedule_by_hand() -> None:
    """Two steps up, then the cosine at 0, 60, 120 and 180 degrees."""
    factors = [warmup_cosine(step, 5, 0.4) for step in range(6)]
    assert factors == pytest.approx([0.5, 1, 1, 0.75, 0.25, 0], abs=1e-15)


@given(total=steps, warmup=shares)
def test_schedule_sum_in_closed_form(total: int, warmup: float) -> None:
    """A ramp of r steps adds (r + 1) / 2, a cosine of n steps adds (n + 1) / 2."""
    ramp = round(warmup * total)
    expected = sum((count + 1) / 2 for count in (ramp, total - ramp) if count)
    assert schedule_sum(lambda step: warmup_cosine(step, total, warmup), total) == pytest.approx(
        expected, rel=1e-12
    )


def test_triangle_is_ffcvs_interpolation() -> None:
    """FFCV's recipe interpolates (0, 0), (2, 1), (88, 0) over epochs."""
    epochs, per_epoch = 88, 10
    for step in range(0, epochs * per_epoch, 7):
        expected = np.interp(step / per_epoch, [0, 2, epochs], [0, 1, 0])
        assert triangle(step, epochs * per_epoch, 2 / epochs) == pytest.approx(expected, abs=1e-12)


@given(total=steps, peak=st.floats(0, 1))
def test_triangle_rises_to_the_peak_and_falls_to_zero(total: int, peak: float) -> None:
    factors = [triangle(step, total, peak) for step in range(total + 1)]
    assert all(0 <= factor <= 1 for factor in factors)
    rising = factors[: int(peak * total) + 1]
    assert rising == sorted(rising)
    falling = factors[int(peak * total) + 1 :]
    assert falling == sorted(falling, reverse=True)
    assert peak == 1 or factors[total] == pytest.approx(0, abs=1e-12)
