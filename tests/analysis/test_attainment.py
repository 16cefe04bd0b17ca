"""Attainment surfaces against counting: a point is attained at a level if enough seeds attain it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import DOWN, MSE, UP, Record, decay, error_sweep, make_record, realistic

from analysis.evidence.attainment import (
    LEVELS,
    attainment,
    surface_band,
    surface_steps,
    surfaces_of,
    value_at,
)
from analysis.summary import summarise
from rewa.metric import ACCURACY, Metric

COMPRESSIONS = st.sampled_from([1.0, 2.0, 5.0, 10.0, 100.4, 1000.0, math.inf])
VALUES = st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0, math.inf, -math.inf, math.nan])
SETS = st.lists(st.lists(st.tuples(COMPRESSIONS, VALUES), max_size=6), min_size=1, max_size=6)
FINITE = (1.0, 2.0, 5.0, 10.0, 100.4, 1000.0)


def attains(points: list[tuple[float, float]], compression: float, value: float, metric: Metric) -> bool:
    """Whether a training has a point at least as good in both."""
    return any(math.isfinite(own) and c >= compression and not metric.better(value, own) for c, own in points)


def surfaces(sets: list[list[tuple[float, float]]], metric: Metric) -> pd.DataFrame:
    flat = [(number, *point) for number, points in enumerate(sets) for point in points]
    table = pd.DataFrame(flat, columns=["set", "compression", "metric"]).astype(float)
    return surfaces_of(table["compression"], table["metric"], table["set"], len(sets), metric)


@settings(deadline=None, max_examples=60)
@given(sets=SETS, metric=st.sampled_from([ACCURACY, DOWN]))
def test_a_point_is_attained_at_a_level_iff_that_many_sets_attain_it(
    sets: list[list[tuple[float, float]]], metric: Metric
) -> None:
    table = surfaces(sets, metric)
    needed = {"best": 1, "median": (len(sets) + 1) // 2, "worst": len(sets)}
    for level, number in needed.items():
        own = table[table["level"] == level]
        assert (own["attained_by"] == number).all()
        corners = list(zip(own["compression"], own["value"], strict=True))
        for compression in (0.5, 1.5, *FINITE, 1e9, math.inf):
            for value in (0.05, 0.1, 0.2, 0.25, 0.5, 0.7, 0.9, 0.95, 1.0, 1.1):
                counted = sum(attains(points, compression, value, metric) for points in sets) >= number
                assert attains(corners, compression, value, metric) == counted


@pytest.mark.parametrize("count", [1, 2, 3, 7, 29, 49, 100])
def test_levels_are_counted_right_for_any_number_of_seeds(count: int) -> None:
    # Seed i reaches value i at one compression: level k is the k-th largest value.
    table = surfaces([[(10.0, float(number))] for number in range(count)], UP)
    found = table.set_index("level")["value"]
    assert found["best"] == count - 1
    assert found["median"] == count - math.ceil(count / 2)
    assert found["worst"] == 0


@settings(deadline=None, max_examples=40)
@given(sets=SETS, metric=st.sampled_from([ACCURACY, DOWN]))
def test_surfaces_are_staircases_one_below_the_other(
    sets: list[list[tuple[float, float]]], metric: Metric
) -> None:
    table = surfaces(sets, metric)
    for _, own in table.groupby("level"):
        assert own["compression"].is_monotonic_increasing
        assert own["compression"].is_unique
        assert own["value"].is_unique
        assert (
            own["value"].is_monotonic_decreasing
            if metric is ACCURACY
            else (own["value"].is_monotonic_increasing)
        )
    for compression in FINITE:
        best, median, worst = (
            value_at(table[table["level"] == level], compression, metric) for level in LEVELS
        )
        assert not metric.better(median, best)
        assert not metric.better(worst, median)


@settings(deadline=None, max_examples=40)
@given(sets=SETS, metric=st.sampled_from([ACCURACY, MSE]))
def test_steps_and_band_pass_through_the_surface(
    sets: list[list[tuple[float, float]]], metric: Metric
) -> None:
    table = surfaces(sets, metric)
    scale = 100.0 if metric.is_share else 1.0
    for level in LEVELS:
        own = table[table["level"] == level]
        x, y = surface_steps(own, metric)
        assert len(x) == len(y) == 2 * len(own)
        assert (np.diff(x) >= 0.0).all()
        assert np.isfinite(x).all()
        if len(own) == 0:
            continue
        assert x[0] == 1.0
        assert ((np.diff(x) == 0.0) | (np.diff(y) == 0.0)).all()  # horizontal or vertical
        for middle in (1.5, 3.0, 7.0, 50.0, 500.0):
            if middle < x[-1]:
                drawn_at = y[np.searchsorted(x, middle)]
                assert drawn_at == pytest.approx(scale * value_at(own, middle, metric))
    grid, low, high = surface_band(table, metric)
    assert len(grid) == len(low) == len(high)
    bottom = 0.0 if metric.is_share else 2.5
    for middle in (1.5, 3.0, 7.0, 50.0, 500.0):
        if len(grid) and middle < grid[-1]:
            for level, drawn_at in (("worst", low), ("best", high)):
                value = value_at(table[table["level"] == level], middle, metric)
                expected = scale * value if math.isfinite(value) else bottom
                assert drawn_at[np.searchsorted(grid, middle)] == pytest.approx(expected)


def test_infinite_compression_is_attained_and_drawn_at_the_end() -> None:
    table = surfaces([[(10.0, 0.9), (math.inf, 0.4)], [(10.0, 0.8), (math.inf, 0.5)]], ACCURACY)
    best = table[table["level"] == "best"]
    assert best["compression"].tolist() == [10.0, math.inf]
    assert best["value"].tolist() == [0.9, 0.5]
    x, y = surface_steps(best, ACCURACY, end=1000.0)
    assert x.tolist() == [1.0, 10.0, 10.0, 1000.0]
    assert y.tolist() == [90.0, 90.0, 50.0, 50.0]


@pytest.mark.parametrize("record", [realistic(), error_sweep()], ids=["accuracy", "error"])
def test_of_a_sweep_by_counting_its_frontier_table(record: Record) -> None:
    summary = summarise(record)
    table = attainment(summary)
    assert table["method"].drop_duplicates().tolist() == [
        method for method in summary.methods if method in set(table["method"])
    ]
    test = record.frontier[
        (record.frontier["split"] == "test")
        & (record.frontier["criterion"] == "ratio")
        & (record.frontier["phase"] == "confirm")
    ]
    for method, own in table.groupby("method"):
        chosen = summary.points[summary.points["method"] == method]
        sets: dict[int, list[tuple[float, float]]] = {1: [], 2: [], 3: []}
        for trial, value in zip(chosen["trial"], chosen["value"], strict=True):
            for row in test[(test["trial"] == trial) & (test["value"] == value)].to_dict("records"):
                sets[row["seed"]].append((row["compression"], row["metric"]))
        for level, number in zip(LEVELS, (1, 2, 3), strict=True):
            surface = own[own["level"] == level]
            for compression in sorted({c for points in sets.values() for c, _ in points}):
                reached = [
                    summary.metric.best(
                        [v for c, v in points if c >= compression and math.isfinite(v)]
                        or [summary.metric.worst]
                    )
                    for points in sets.values()
                ]
                ordered = sorted(reached, reverse=summary.metric.direction == "max")
                assert value_at(surface, compression, summary.metric) == ordered[number - 1]


def test_one_seed_makes_three_equal_surfaces() -> None:
    table = attainment(summarise(make_record({"rewa": decay(400.0)}, seeds=(1,))))
    best, median, worst = (
        table[table["level"] == level][["compression", "value"]].reset_index(drop=True) for level in LEVELS
    )
    assert len(best)
    assert best.equals(median)
    assert best.equals(worst)
    assert (table["seeds"] == 1).all()


def test_a_lost_seed_attains_nothing() -> None:
    record = make_record({"rewa": decay(400.0)}, trials=1)
    lost = (record.runs["phase"] == "confirm") & (record.runs["seed"] == 3)
    runs = record.runs.assign(status=record.runs["status"].mask(lost, "diverged"))
    gone = (record.frontier["phase"] == "confirm") & (record.frontier["seed"] == 3)
    table = attainment(summarise(replace(record, runs=runs, frontier=record.frontier[~gone])))
    assert set(table["level"]) == {"best", "median"}
    assert (table["seeds"] == 3).all()
    _, low, high = surface_band(table, ACCURACY)
    assert (low == 0.0).all()
    assert (high > 0.0).all()


def test_a_seed_without_a_point_attains_there_what_its_sparser_points_do() -> None:
    record = make_record({"rewa": lambda ratio, trial, seed: 0.9 - 0.1 * (ratio > 10)}, trials=1)
    gone = (record.frontier["phase"] == "confirm") & (record.frontier["seed"] == 3)
    gone &= record.frontier["value"] == 10.0
    table = attainment(summarise(replace(record, frontier=record.frontier[~gone])))
    worst, median = table[table["level"] == "worst"], table[table["level"] == "median"]
    assert value_at(median, 10.0, ACCURACY) == 0.9
    assert value_at(worst, 10.0, ACCURACY) == pytest.approx(0.8)
    assert value_at(worst, 5.0, ACCURACY) == 0.9


def test_merged_sweeps_count_first_seed_with_first_seed() -> None:
    # Sweep a has the better setting at low compression, b at high; they were confirmed on other seeds.
    a = make_record({"rewa": lambda ratio, trial, seed: 0.9 if ratio < 30 else 0.2}, trials=1)
    b = make_record(
        {"rewa": lambda ratio, trial, seed: 0.8 if ratio < 30 else 0.7}, trials=1, seeds=(11, 12, 13)
    )
    tables = {}
    for name in ("runs", "frontier"):
        parts = [
            getattr(record, name).assign(sweep=sweep, trial=f"{sweep}/" + getattr(record, name)["trial"])
            for sweep, record in (("a", a), ("b", b))
        ]
        tables[name] = pd.concat(parts, ignore_index=True)
    table = attainment(summarise(replace(a, **tables)))
    worst = table[table["level"] == "worst"]
    assert (table["seeds"] == 3).all()
    assert value_at(worst, 10.0, ACCURACY) == 0.9
    assert value_at(worst, 100.0, ACCURACY) == 0.7


def test_nothing_confirmed_or_nothing_at_all() -> None:
    searched = attainment(summarise(make_record({"rewa": decay(400.0)}, seeds=())))
    assert (searched["seeds"] == 1).all()
    record = make_record({"rewa": decay(400.0)}, seeds=())
    empty = attainment(summarise(replace(record, frontier=record.frontier.iloc[:0])))
    assert empty.empty
    x, y = surface_steps(empty, ACCURACY)
    assert len(x) == len(y) == 0
