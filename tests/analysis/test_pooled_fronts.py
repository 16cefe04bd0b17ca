"""The fronts of methods and over all of them, against comparing every point with every other."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import MSE, Record, decay, error_sweep, make_record, realistic

from analysis.evidence.fronts import method_fronts, worthwhile
from analysis.pareto import pareto_front
from analysis.summary import Summary, summarise
from rewa.metric import ACCURACY, Metric

POINT = ["method", "trial", "value"]


def beats(one: dict[Any, Any], other: dict[Any, Any], metric: Metric) -> bool:
    """Whether one is at least as good in both and better in one."""
    no_worse = one["compression"] >= other["compression"] and not metric.better(
        other["val_metric"], one["val_metric"]
    )
    return no_worse and (
        one["compression"] > other["compression"] or metric.better(one["val_metric"], other["val_metric"])
    )


def check(summary: Summary) -> None:
    metric = summary.metric
    rows = summary.settings.round({"val_metric": 9})
    rows = rows[rows["compression"] < math.inf]
    if not metric.is_share:
        rows = rows[rows["val_metric"] < metric.chance]
    pool = rows.to_dict("records")
    table = method_fronts(summary)
    listed = {tuple(row[name] for name in POINT): row for row in table.to_dict("records")}
    assert len(listed) == len(table)
    places: dict[str, set[tuple[float, float]]] = {method: set() for method in summary.methods}
    for row in listed.values():
        places[row["method"]].add((row["compression"], round(row["val_metric"], 9)))
    for row in pool:
        own = [other for other in pool if other["method"] == row["method"]]
        alone = not any(beats(other, row, metric) for other in own)
        assert alone == ((row["compression"], row["val_metric"]) in places[row["method"]])
        key = tuple(row[name] for name in POINT)
        if key in listed:
            first = not any(beats(other, row, metric) for other in pool)
            assert listed[key]["on_overall"] == first
            assert listed[key]["test_metric_mean"] == pytest.approx(row["test_metric_mean"])


@pytest.mark.parametrize("record", [realistic(), error_sweep(), realistic(seeds=())])
def test_fronts_are_what_no_other_point_beats(record: Record) -> None:
    check(summarise(record))


SETTINGS = st.lists(
    st.tuples(
        st.sampled_from(["rewa", "spred", "magnitude"]),
        st.sampled_from([1.0, 2.0, 10.0, 100.0, math.inf]),
        st.sampled_from([0.1, 0.5, 0.5 + 1e-12, 0.9, 2.0, 2.5]),
    ),
    max_size=12,
)
TEMPLATE = summarise(make_record({"rewa": decay(400.0)}))


@settings(deadline=None, max_examples=40)
@given(points=SETTINGS, metric=st.sampled_from([ACCURACY, MSE]))
def test_on_random_settings_with_ties(points: list[tuple[str, float, float]], metric: Metric) -> None:
    table = pd.DataFrame(points, columns=["method", "compression", "val_metric"])
    table = table.assign(trial=[f"t{i}" for i in range(len(table))], value=table["compression"])
    table = table.assign(test_metric_mean=np.arange(len(table), dtype=float)).astype({"method": object})
    check(replace(TEMPLATE, settings=table, methods=["rewa", "spred", "magnitude"], metric=metric))


def test_the_overall_points_are_one_pooled_front_and_its_ties() -> None:
    for record in (realistic(), error_sweep()):
        summary = summarise(record)
        table = method_fronts(summary)
        overall = table[table["on_overall"]]
        shown = pareto_front(worthwhile(summary.settings, summary.metric), summary.metric)
        assert set(zip(*(shown[name] for name in POINT), strict=True)) <= set(
            zip(*(overall[name] for name in POINT), strict=True)
        )
        assert overall["compression"].nunique() == len(shown)  # the others are ties between methods


def test_equal_points_of_two_methods_are_both_on_the_overall_front() -> None:
    same = decay(400.0)
    table = method_fronts(summarise(make_record({"rewa": same, "spred": same}, trials=1)))
    assert table["on_overall"].all()
    assert set(table["method"]) == {"rewa", "spred"}


def test_no_completed_run_gives_no_front() -> None:
    record = make_record({"rewa": decay(400.0)})
    table = method_fronts(summarise(replace(record, frontier=record.frontier.iloc[:0])))
    assert table.empty
    assert "on_overall" in table
