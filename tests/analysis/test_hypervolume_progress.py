"""Search progress against a sum of rectangles, and random sampling, on growing prefixes of the trials."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import META, Record, decay, error_sweep, make_record, run_row, with_recalibrated

from analysis.evidence.progress import search_ends, search_progress, time_unit
from analysis.merge import merge
from analysis.summary import summarise
from rewa.metric import Metric
from rewa.sweep_tables import SweepRecord

RESOURCES = {"cpu": 2.0, "gpu": 0.0, "workers": 1, "pack": 10}


def space(**resources: Any) -> dict[str, Any]:
    return {**META, "space": {"resources": {**RESOURCES, **resources}}}


def rectangles(points: pd.DataFrame, reference: float, cap: float, metric: Metric) -> float:
    """Area under the staircase of some points, summed from the sparsest to the densest."""
    total, height = 0.0, 0.0
    full = metric.gain(metric.ideal, reference)
    for compression, value in sorted(
        zip(points["compression"], points["metric"], strict=True), key=lambda point: -point[0]
    ):
        gain = min(metric.gain(value, reference), full)
        if gain > height:
            total += math.log10(min(compression, cap)) * (gain - height)
            height = gain
    return total / (math.log10(cap) * full)


def prefix(record: Record, method: str, trials: int) -> pd.DataFrame:
    names = [f"{method}-{trial:04d}" for trial in range(trials)]
    table = record.frontier
    return table[
        (table["phase"] == "search")
        & (table["split"] == "val")
        & (table["criterion"] == "ratio")
        & table["trial"].isin(names)
        & ~table["recalibrated"].astype(bool)
    ]


def noisy(trials: int = 8) -> Record:
    methods = {"rewa": decay(90.0, 0.9, 0.03, 1), "spred": decay(40.0, 0.95, 0.03, 2)}
    return make_record(methods, trials=trials, seeds=(1,))


@pytest.mark.parametrize("record", [noisy(), error_sweep()], ids=["accuracy", "error"])
def test_every_prefix_has_the_area_of_its_rectangles(record: Record) -> None:
    summary = summarise(record)
    objective = record.meta["objective"]
    progress = search_progress(summary)
    assert progress["method"].drop_duplicates().tolist() == summary.methods[: progress["method"].nunique()]
    for row in progress.to_dict("records"):
        points = prefix(record, row["method"], row["number"])
        points = points[np.isfinite(points["metric"].astype(float))]
        expected = rectangles(points, objective["reference"], objective["max_compression"], summary.metric)
        assert row["hypervolume"] == pytest.approx(expected, abs=1e-12)
        assert row["trial"] == f"{row['method']}-{row['number'] - 1:04d}"
    gains = progress.groupby("method")["gain"].sum()
    ends = progress.groupby("method")["hypervolume"].last()
    assert gains.to_numpy() == pytest.approx(ends.to_numpy())
    assert (progress["gain"] >= -1e-12).all()


def test_the_area_is_the_part_of_the_box_that_random_points_find_dominated() -> None:
    record = noisy(5)
    progress = search_progress(summarise(record))
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.0, math.log10(500.0), 20_000), rng.uniform(0.8, 1.0, 20_000)
    for number in (1, 3, 5):
        points = prefix(record, "rewa", number)
        corners = np.log10(points["compression"].to_numpy()), points["metric"].to_numpy()
        hit = ((corners[0][:, None] >= x) & (corners[1][:, None] >= y)).any(axis=0)
        own = progress[(progress["method"] == "rewa") & (progress["number"] == number)]
        assert own["hypervolume"].item() == pytest.approx(hit.mean(), abs=0.012)


def test_lost_trials_cost_and_gain_nothing() -> None:
    record = noisy(4)
    lost = (record.runs["phase"] == "search") & (record.runs["trial"] == "rewa-0000")
    runs = record.runs.assign(status=record.runs["status"].mask(lost, "diverged"))
    gone = (record.frontier["phase"] == "search") & (record.frontier["trial"] == "rewa-0000")
    progress = search_progress(summarise(replace(record, runs=runs, frontier=record.frontier[~gone])))
    first = progress[progress["trial"] == "rewa-0000"]
    assert first[["number", "hypervolume", "gain", "seconds", "status"]].iloc[0].tolist() == [
        *(1, 0.0, 0.0, 12.5, "diverged")
    ]
    assert progress.loc[progress["trial"] == "rewa-0001", "spent"].item() == 25.0


def test_nothing_below_the_reference_counts_and_recalibrated_points_do_where_the_objective_says_so() -> None:
    record = with_recalibrated(make_record({"rewa": lambda *_: 0.5}, trials=2), lambda value: value + 0.4)
    raw = search_progress(summarise(record))
    assert (raw["hypervolume"] == 0.0).all()
    meta = {**META, "objective": {**META["objective"], "recalibrated": True}}
    renewed = search_progress(summarise(replace(record, meta=meta)))
    assert renewed["hypervolume"].tolist() == pytest.approx([0.5, 0.5])  # 0.9 halves 0.8 to 1


def test_confirmations_and_test_values_do_not_count() -> None:
    record = noisy(3)
    untouched = search_progress(summarise(record))
    other = (record.frontier["phase"] == "confirm") | (record.frontier["split"] == "test")
    changed = record.frontier.assign(metric=record.frontier["metric"].mask(other, 0.123))
    pd.testing.assert_frame_equal(untouched, search_progress(summarise(replace(record, frontier=changed))))


@pytest.mark.parametrize(
    ("resources", "unit", "each"),
    [
        ({"cpu": 2.0}, "CPU-core-seconds", 25.0),
        ({"cpu": 4.0, "gpu": 0.5}, "GPU-seconds", 6.25),
        ({"cpu": 1.0, "gpu": 1.0, "workers": 4}, "GPU-seconds", 50.0),
    ],
)
def test_cost_is_time_by_devices(resources: dict[str, Any], unit: str, each: float) -> None:
    record = replace(noisy(3), meta=space(**resources))
    progress = search_progress(summarise(record))
    assert time_unit(record.meta) == unit
    for _, own in progress.groupby("method"):
        assert own["spent"].tolist() == pytest.approx([each, 2 * each, 3 * each])


def test_trials_go_as_they_were_numbered() -> None:
    record = noisy(3)
    names = {"rewa-0000": "rewa-10", "rewa-0001": "rewa-9", "rewa-0002": "rewa-2"}
    tables = {
        name: getattr(record, name).assign(trial=getattr(record, name)["trial"].replace(names))
        for name in ("runs", "frontier")
    }
    progress = search_progress(summarise(replace(record, **tables)))
    assert progress.loc[progress["method"] == "rewa", "trial"].tolist() == ["rewa-2", "rewa-9", "rewa-10"]


def test_the_end_of_a_search_by_hand() -> None:
    areas = [0.0, 0.2, 0.2, 0.5, 0.5, 0.5, 0.6, 0.6]
    rows = {
        "method": "rewa",
        "number": range(1, 9),
        "trial": [f"rewa-{number}" for number in range(8)],
        "spent": np.arange(1.0, 9.0),
        "hypervolume": areas,
        "gain": np.diff([0.0, *areas]),
    }
    end = search_ends(pd.DataFrame(rows)).iloc[0]
    assert (end["trials"], end["late_trials"], end["last"], end["trial"]) == (8, 2, 7, "rewa-6")
    assert end["late"] == pytest.approx(0.1)
    assert end["hypervolume"] == 0.6
    assert end["spent"] == 8.0
    still = search_ends(pd.DataFrame({**rows, "hypervolume": 0.0, "gain": 0.0})).iloc[0]
    assert (still["last"], still["trial"], still["late"]) == (0, "", 0.0)


def test_hand_made_runs_are_followed_too() -> None:
    record = noisy(2)
    tables = {}
    for name in ("runs", "frontier"):
        table = getattr(record, name)
        tables[name] = table[table["phase"] == "search"].assign(phase="train")
    bare = replace(record, meta={}, **tables)
    progress = search_progress(summarise(bare))
    assert len(progress) == 4
    assert time_unit(bare.meta) == "seconds of training"
    unknown = bare.runs.assign(seconds=math.nan)
    assert search_progress(summarise(replace(bare, runs=unknown)))["spent"].tolist() == [0.0] * 4


def test_merged_sweeps_follow_each_other() -> None:
    methods = {"rewa": decay(90.0, 0.9, 0.03, 1)}
    records = []
    for name, trials in (("tuesday", 3), ("monday", 2)):  # merged in this order, which is not the alphabet's
        record = make_record(methods, trials=trials, seeds=(1,), meta=space())
        start = 10 if name == "monday" else 0  # other settings, else they would count once
        tables = {
            table: getattr(record, table).assign(sweep=name, weight_decay=0.001 + start)
            for table in ("runs", "frontier")
        }
        records.append(
            SweepRecord(
                name,
                record.meta,
                **tables,
                layers=record.layers,
                draws=record.draws,
                config_columns=[*record.config_columns],
            )
        )
    merged = merge(records)
    progress = search_progress(summarise(merged))
    assert progress["trial"].tolist() == [
        *("tuesday/rewa-0000", "tuesday/rewa-0001", "tuesday/rewa-0002"),
        *("monday/rewa-0000", "monday/rewa-0001"),
    ]
    assert time_unit(merged.meta) == "seconds of training"
    assert progress["spent"].iloc[-1] == pytest.approx(5 * 12.5)


def test_nothing_searched_gives_an_empty_table() -> None:
    record = noisy(1)
    nothing = replace(record, runs=record.runs.iloc[:0], frontier=record.frontier.iloc[:0])
    assert search_progress(summarise(nothing)).empty
    assert search_ends(search_progress(summarise(nothing))).empty


def test_a_failed_run_without_a_time_costs_nothing() -> None:
    record = noisy(1)
    failed = pd.DataFrame([run_row("rewa", 1, 0, "search", status="failed", score=None, seconds=None)])
    runs = pd.concat([record.runs, failed], ignore_index=True)
    progress = search_progress(summarise(replace(record, runs=runs)))
    own = progress[progress["method"] == "rewa"]
    assert own["number"].tolist() == [1, 2]
    assert own["spent"].tolist() == [12.5, 12.5]
