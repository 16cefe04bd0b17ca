from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewa.sparsity.area import frontier_area

GRID = (1.0, 2.0, 10.0, 50.0, 100.0, 500.0, 1000.0)
accuracies = st.lists(st.floats(0, 1), min_size=len(GRID), max_size=len(GRID))
references = st.floats(0, 0.99)
ends = st.floats(1.01, 1000)


@pytest.mark.parametrize("reference", [0.0, 0.5, 0.8])
@pytest.mark.parametrize("end", [10, 137.5, 500, 1000])
@pytest.mark.parametrize("accuracy", [0.0, 0.7, 0.9, 1.0])
def test_constant_accuracy(accuracy: float, end: float, reference: float) -> None:
    expected = max(0.0, accuracy - reference) / (1 - reference)
    area = frontier_area(dict.fromkeys(GRID, accuracy), end, reference)
    assert area == pytest.approx(expected, abs=1e-12)


def test_step_by_hand() -> None:
    """1 up to 10x, falling to the reference at 100x: one decade, then a triangle of half, of two."""
    assert frontier_area({1: 1.0, 10: 1.0, 100: 0.5}, 100, 0.5) == pytest.approx(1.5 / 2)


def test_values_below_the_reference_are_clipped_at_the_nodes() -> None:
    """1, 1, then 0: clipped to the reference 1/2 at 100x, so the same as falling to 1/2 there."""
    assert frontier_area({1: 1.0, 10: 1.0, 100: 0.0}, 100, 0.5) == pytest.approx(1.5 / 2)


def test_the_right_end_is_interpolated() -> None:
    """A line from 1 at 1x to 0 at 100x, up to 10x: mean height of 1 and 1/2."""
    assert frontier_area({1: 1.0, 100: 0.0}, 10, 0.0) == pytest.approx(0.75)


def test_points_beyond_the_right_end_do_not_matter() -> None:
    curve = {1: 0.9, 10: 0.8, 100: 0.3}
    assert frontier_area({**curve, 1000: 1.0}, 100, 0.1) == frontier_area(curve, 100, 0.1)


def test_order_of_the_points_does_not_matter() -> None:
    assert frontier_area({100: 0.3, 1: 0.9, 10: 0.8}, 100, 0.1) == pytest.approx(
        frontier_area({1: 0.9, 10: 0.8, 100: 0.3}, 100, 0.1)
    )


@given(accuracies, ends, references)
def test_area_is_a_sum_of_trapezoids(values: list[float], end: float, reference: float) -> None:
    """Clip at the nodes, then add up trapezoids, in plain Python."""
    logs = [math.log10(r) for r in GRID]
    top = math.log10(end)

    def raw(x: float) -> float:
        for (a, left), (b, right) in pairwise(zip(logs, values, strict=True)):
            if x <= b:
                return left + (right - left) * (x - a) / (b - a)
        return values[-1]

    nodes = [x for x in logs if x < top] + [top]
    heights = [max(0.0, raw(x) - reference) for x in nodes]
    area = sum((nodes[i + 1] - nodes[i]) * (heights[i] + heights[i + 1]) / 2 for i in range(len(nodes) - 1))
    got = frontier_area(dict(zip(GRID, values, strict=True)), end, reference)
    assert got == pytest.approx(area / (top * (1 - reference)), rel=1e-9, abs=1e-9)


@given(accuracies, ends, references)
def test_area_is_between_0_and_1(values: list[float], end: float, reference: float) -> None:
    area = frontier_area(dict(zip(GRID, values, strict=True)), end, reference)
    assert 0 <= area <= 1 + 1e-12


@given(accuracies, accuracies, ends, references)
def test_more_accuracy_is_never_less_area(
    a: list[float], b: list[float], end: float, reference: float
) -> None:
    better = frontier_area(dict(zip(GRID, map(max, a, b), strict=True)), end, reference)
    for values in (a, b):
        assert better >= frontier_area(dict(zip(GRID, values, strict=True)), end, reference) - 1e-12


@pytest.mark.parametrize(
    ("curve", "end", "reference"),
    [
        ({1: 1.0, 100: 1.0}, 1, 0.5),
        ({1: 1.0, 100: 1.0}, 0.5, 0.5),
        ({1: 1.0, 100: 1.0}, math.nan, 0.5),
        ({1: 1.0, 100: 1.0}, 10, 1.0),
        ({1: 1.0, 100: 1.0}, 10, -0.1),
        ({1: 1.0, 100: 1.0}, 10, math.nan),
        ({1: 1.0, 100: 1.0}, 101, 0.5),
        ({2: 1.0, 100: 1.0}, 10, 0.5),
        ({}, 10, 0.5),
    ],
)
def test_wrong_requests_are_refused(curve: dict[float, float], end: float, reference: float) -> None:
    with pytest.raises(ValueError, match=r"max_compression|span"):
        frontier_area(curve, end, reference)
