"""Fronts, seed means and choices, against loops that compute them the slow way."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import CONFIG, decay, flat, make_record, realistic

from analysis.pareto import (
    best_attained,
    candidates,
    dense_reference,
    mean_frontier,
    pareto_front,
)
from rewa.errors import UserError
from rewa.metric import ACCURACY

POINTS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 2.0, 5.0, 10.5, 100.0, math.inf]),
        st.integers(0, 8).map(lambda hits: hits / 8.0),
    ),
    min_size=1,
    max_size=25,
)


def front_by_hand(points: list[tuple[float, float]]) -> set[tuple[float, float]]:
    return {p for p in points if not any(q[0] >= p[0] and q[1] >= p[1] and q != p for q in points)}


@settings(deadline=None, max_examples=150)
@given(POINTS)
def test_pareto_front_equals_brute_force(points: list[tuple[float, float]]) -> None:
    table = pd.DataFrame(points, columns=["compression", "val_metric"])
    table = table.assign(method="m", trial=[f"m-{i}" for i in range(len(table))])
    front = pareto_front(table, ACCURACY)
    found = list(zip(front["compression"], front["val_metric"], strict=True))
    assert len(found) == len(set(found)), "equal points are kept once"
    assert set(found) == front_by_hand(points)
    assert front["compression"].is_monotonic_increasing


def test_pareto_front_of_nothing_is_empty() -> None:
    table = pd.DataFrame({"compression": [math.nan], "val_metric": [0.5]})
    assert pareto_front(table, ACCURACY).empty


def test_mean_frontier_equals_loops() -> None:
    record = realistic()
    table = mean_frontier(record.frontier, CONFIG, ACCURACY)
    rows = record.frontier
    for point in table.sample(20, random_state=0).to_dict("records"):
        own = rows[
            (rows.method == point["method"])
            & (rows.trial == point["trial"])
            & (rows.value == point["value"])
            & (rows.criterion == "ratio")
            & (rows.phase == "confirm")
        ]
        val = [float(a) for a in own[own.split == "val"].metric]
        test = [float(a) for a in own[own.split == "test"].metric]
        mean = sum(test) / 3
        assert point["seeds"] == 3
        assert point["first_seed"] == 1
        assert point["val_metric"] == pytest.approx(sum(val) / 3)
        assert point["test_metric_mean"] == pytest.approx(mean)
        variance = sum((a - mean) ** 2 for a in test) / 2
        assert point["test_metric_std"] == pytest.approx(math.sqrt(variance), abs=1e-9)
        assert sorted(point["test_values"]) == pytest.approx(sorted(test))


def test_a_seed_measured_twice_counts_once() -> None:
    record = make_record({"rewa": flat(0.9, (0.0, 0.0, 0.03))}, trials=1)
    again = record.frontier[record.frontier.seed == 2]
    table = mean_frontier(pd.concat([record.frontier, again, again]), CONFIG, ACCURACY)
    assert set(table["seeds"]) == {3}
    assert table["test_metric_mean"].to_numpy() == pytest.approx(0.91)


def test_infinite_compression_stays_infinite() -> None:
    record = make_record({"rewa": flat(0.9)}, trials=1)
    table = mean_frontier(record.frontier, CONFIG, ACCURACY, "threshold").set_index("value")
    assert math.isinf(table.loc[0.5, "compression"])
    assert math.isfinite(table.loc[1e-3, "compression"])


def test_candidates_are_confirmed_settings_where_there_are_any() -> None:
    confirmed = make_record({"rewa": flat(0.9)}).frontier
    bare = make_record({"spred": flat(0.9)}, seeds=()).frontier
    rows = candidates(pd.concat([confirmed, bare]))
    assert set(rows.loc[rows.method == "rewa", "phase"]) == {"confirm"}
    assert set(rows.loc[rows.method == "spred", "phase"]) == {"search"}


def test_choice_never_looks_at_test() -> None:
    record = make_record({"rewa": lambda ratio, trial, seed: 0.9 - 0.01 * trial}, trials=3)
    test = record.frontier.split == "test"
    best_on_test = record.frontier.trial == "rewa-0002"
    record.frontier.loc[test & best_on_test, "metric"] = 1.0
    chosen = best_attained(mean_frontier(record.frontier, CONFIG, ACCURACY), ACCURACY)
    assert set(chosen["trial"]) == {"rewa-0000"}


def test_ties_go_to_the_sparser_then_to_the_earlier_trial() -> None:
    record = make_record({"rewa": flat(0.9)}, trials=11)
    chosen = best_attained(mean_frontier(record.frontier, CONFIG, ACCURACY), ACCURACY)
    assert set(chosen["trial"]) == {"rewa-0000"}
    sparser = record.frontier.trial == "rewa-0010"
    record.frontier.loc[sparser, "compression"] *= 1.5
    chosen = best_attained(mean_frontier(record.frontier, CONFIG, ACCURACY), ACCURACY)
    assert set(chosen["trial"]) == {"rewa-0010"}


def test_best_attained_is_the_best_on_validation() -> None:
    table = mean_frontier(realistic().frontier, CONFIG, ACCURACY)
    chosen = best_attained(table, ACCURACY)
    assert not chosen.duplicated(["method", "value"]).any()
    top = table.groupby(["method", "value"])["val_metric"].max()
    got = chosen.set_index(["method", "value"])["val_metric"]
    pd.testing.assert_series_equal(got, top)


def test_dense_reference_is_magnitudes_even_when_another_is_better() -> None:
    record = make_record({"rewa": flat(0.99), "magnitude": decay(40, 0.97, noise=0.0)})
    dense = dense_reference(mean_frontier(record.frontier, CONFIG, ACCURACY), ACCURACY)
    assert dense is not None
    assert dense.method == "magnitude"
    assert dense.val < 0.98


def test_dense_reference_is_the_better_of_the_dense_trainings() -> None:
    """Random pruning trains as magnitude does; magnitude's confirmed settings may all be shaky ones."""
    record = make_record({"rewa": flat(0.99), "magnitude": flat(0.7), "random": decay(2, 0.97, noise=0.0)})
    dense = dense_reference(mean_frontier(record.frontier, CONFIG, ACCURACY), ACCURACY)
    assert dense is not None
    assert dense.method == "random"
    assert dense.val > 0.9


def test_dense_reference_without_magnitude_is_the_best_of_all() -> None:
    record = make_record({"rewa": flat(0.9), "spred": flat(0.95)})
    dense = dense_reference(mean_frontier(record.frontier, CONFIG, ACCURACY), ACCURACY)
    assert dense is not None
    assert (dense.method, dense.val) == ("spred", pytest.approx(0.95))
    assert dense_reference(mean_frontier(record.frontier, CONFIG, ACCURACY).iloc[:0], ACCURACY) is None


def test_a_missing_column_is_named() -> None:
    record = make_record({"rewa": flat(0.9)})
    with pytest.raises(UserError, match="frontier table lacks the column compression_total"):
        mean_frontier(record.frontier.drop(columns="compression_total"), CONFIG, ACCURACY)


def test_a_setting_that_lost_a_confirm_seed_is_no_candidate() -> None:
    record = realistic()
    confirmed = record.frontier[(record.frontier.phase == "confirm") & (record.frontier.method == "rewa")]
    unlucky, *others = confirmed.trial.unique()
    assert others, "the planted sweep must leave something to choose"
    seed = confirmed.seed.max()
    rows = record.frontier
    lost = (rows.phase == "confirm") & (rows.trial == unlucky) & (rows.seed == seed)
    left = candidates(rows[~lost])
    assert set(left[left.method == "rewa"].trial) == set(others)
    assert set(left[left.method != "rewa"].trial) == set(candidates(rows).query("method != 'rewa'").trial)
    every = (rows.phase == "confirm") & (rows.method == "rewa") & (rows.seed == seed)
    assert set(candidates(rows[~every]).query("method == 'rewa'").trial) == {unlucky, *others}
