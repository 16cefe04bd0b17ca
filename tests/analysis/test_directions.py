"""An error is judged as the mirrored gain is, and as loops over its numbers say."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import CONFIG, DOWN, ERROR_CONFIG, MSE, UP, Record, error_sweep, flat, make_record

from analysis.hypervolume import hypervolume, hypervolume_table, ranking_note, references
from analysis.noise import compare
from analysis.pareto import best_attained, dense_reference, mean_frontier, pareto_front
from analysis.questions import answers, attained, questions
from analysis.standing import standing
from rewa.metric import ACCURACY, Metric

GRID = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0])
ERRORS = st.one_of(GRID, st.sampled_from([1e3, 1e300, math.inf]))
RATIOS = (1.0, 10.0, 50.0, 100.0)
METHODS = ("rewa", "spred", "magnitude")


@st.composite
def sweeps(draw: st.DrawFn) -> Record:
    """Three methods, two settings, two seeds, any values of UP on a grid."""
    table = {
        (method, trial, seed, ratio): draw(GRID)
        for method in METHODS
        for trial in (0, 1)
        for seed in (0, 1, 2)
        for ratio in RATIOS
    }

    def planted(method: str) -> object:
        return lambda ratio, trial, seed: table.get((method, trial, seed, ratio), 0.0)

    return make_record({m: planted(m) for m in METHODS}, trials=2, seeds=(1, 2), ratios=RATIOS)  # type: ignore[misc]


def mirrored(record: Record) -> Record:
    return replace(record, frontier=record.frontier.assign(metric=2.0 - record.frontier["metric"]))


def tables(record: Record, metric: Metric) -> tuple[pd.DataFrame, pd.DataFrame]:
    found = mean_frontier(record.frontier, CONFIG, metric)
    return found, best_attained(found, metric)


@settings(deadline=None, max_examples=25)
@given(sweeps())
def test_a_mirrored_metric_gives_the_same_choices_ranks_and_areas(record: Record) -> None:
    (up, up_points), (down, down_points) = tables(record, UP), tables(mirrored(record), DOWN)
    columns = ["method", "value", "trial"]
    pd.testing.assert_frame_equal(up_points[columns], down_points[columns])
    up_answers, down_answers = (
        answers(found, [*METHODS], metric)[["method", "question", "trial", "compression", "seeds"]]
        for found, metric in ((up, UP), (down, DOWN))
    )
    renamed = down_answers.assign(question=down_answers["question"].str.replace("loss", "score"))
    pd.testing.assert_frame_equal(up_answers, renamed)
    pd.testing.assert_frame_equal(
        pareto_front(up, UP)[["compression", "trial"]], pareto_front(down, DOWN)[["compression", "trial"]]
    )
    one, two = dense_reference(up, UP), dense_reference(down, DOWN)
    assert one
    assert two
    assert (one.val, one.test) == pytest.approx((2.0 - two.val, 2.0 - two.test))
    for ratio in RATIOS:
        first, second = standing(up_points, ratio, UP), standing(down_points, ratio, DOWN)
        assert [e.method for e in first.entries] == [e.method for e in second.entries]
        assert [first.rank(e) for e in first.entries] == [second.rank(e) for e in second.entries]
        assert (first.collapsed, len(first.tied)) == (second.collapsed, len(second.tied))
        for e, f in zip(first.entries, second.entries, strict=True):
            a, b = first.behind(e), second.behind(f)
            assert (a.difference, a.low, a.high) == pytest.approx((b.difference, b.low, b.high), nan_ok=True)
            assert (a.beyond, a.unknown) == (b.beyond, b.unknown)
    areas = [
        hypervolume_table(points, METHODS, references(metric, own), 100.0, metric)
        for points, metric, own in ((up_points, UP, 0.7), (down_points, DOWN, 1.3))
    ]
    assert areas[0].to_numpy() == pytest.approx(areas[1].to_numpy(), abs=1e-9)
    assert bool(ranking_note(areas[0], UP)) is bool(ranking_note(areas[1], DOWN))


POINTS = st.lists(
    st.tuples(st.sampled_from([1.0, 2.0, 5.0, 10.5, 100.0, math.inf]), ERRORS), min_size=1, max_size=25
)


@settings(deadline=None, max_examples=100)
@given(POINTS)
def test_front_of_an_error_equals_brute_force(points: list[tuple[float, float]]) -> None:
    table = pd.DataFrame(points, columns=["compression", "val_metric"])
    table = table.assign(method="m", trial=[f"m-{i}" for i in range(len(table))])
    front = pareto_front(table, MSE)
    found = list(zip(front["compression"], front["val_metric"], strict=True))
    expected = {p for p in points if not any(q[0] >= p[0] and q[1] <= p[1] and q != p for q in points)}
    assert len(found) == len(set(found))
    assert set(found) == expected


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(st.floats(1.0, 20000.0), ERRORS), max_size=15),
    st.sampled_from([1.05, 1.5, 2.0]),
    st.sampled_from([50.0, 10000.0]),
)
def test_hypervolume_of_an_error_equals_the_rectangles(
    points: list[tuple[float, float]], reference: float, cap: float
) -> None:
    area, depth = 0.0, reference
    for x, error in sorted(((math.log10(min(c, cap)), max(e, 1.0)) for c, e in points), reverse=True):
        if error < depth:
            area += x * (depth - error)
            depth = error
    expected = area / (math.log10(cap) * (reference - 1.0))
    found = hypervolume([c for c, _ in points], [e for _, e in points], reference, cap, MSE)
    assert found == pytest.approx(expected, abs=1e-9)
    assert 0.0 <= found <= 1.0 + 1e-12


def test_hypervolume_corners_of_an_error() -> None:
    assert hypervolume([100.0], [1.0], 2.0, 100.0, MSE) == pytest.approx(1.0)
    assert hypervolume([100.0], [0.9], 2.0, 100.0, MSE) == pytest.approx(1.0), "luck counts as ideal"
    assert hypervolume([100.0, 10.0], [math.inf, math.nan], 2.0, 100.0, MSE) == 0.0
    assert hypervolume([10.0], [1.5], 2.0, 100.0, MSE) == pytest.approx(0.25)
    with pytest.raises(ValueError, match="no area"):
        hypervolume([10.0], [0.7], 1.0, 500.0, MSE)


def test_references_lie_between_chance_and_ideal() -> None:
    assert references(MSE) == pytest.approx([2.0, 1.5, 1.2, 1.1, 1.05])
    assert references(MSE, 1.5) == pytest.approx([2.0, 1.5, 1.2, 1.1, 1.05])
    assert references(MSE, 3) == pytest.approx([3.0, 2.0, 1.5, 1.2, 1.1, 1.05])
    assert references(MSE, 0.9) == references(MSE, "?") == references(MSE, math.inf) == references(MSE)
    assert references(ACCURACY, 0.9) == [0.1, 0.5, 0.8, 0.9, 0.95]
    assert references(ACCURACY, 0.85) == [0.1, 0.5, 0.8, 0.85, 0.9, 0.95]


def test_every_answer_on_an_error_equals_brute_force() -> None:
    record, ratios = error_sweep(), (10.0, 100.0, 1000.0, 10000.0)
    rows = record.frontier[(record.frontier.phase == "confirm") & (record.frontier.criterion == "ratio")]
    val: dict[tuple[str, str, float], list[float]] = {}
    test: dict[tuple[str, str, float], list[float]] = {}
    for row in rows.to_dict("records"):
        error = math.inf if math.isnan(row["metric"]) else row["metric"]
        where = val if row["split"] == "val" else test
        where.setdefault((row["method"], row["trial"], row["value"]), []).append(error)
    means = {key: sum(errors) / 3 for key, errors in val.items()}
    lowest = min(means.values())
    found = mean_frontier(record.frontier, ERROR_CONFIG, MSE)
    assert attained(found, MSE) == pytest.approx(lowest)
    methods = list(record.meta["methods"])
    table = answers(found, methods, MSE, ratios).set_index(["method", "question"])
    assert len(table) == len(methods) * 7
    for (method, question), row in table.iterrows():
        kind, _, what = str(question).partition("@")
        own = {(t, r): error for (m, t, r), error in means.items() if m == method}
        if kind == "mse":
            ratio = float(what[:-1])
            best = min(error for (_, r), error in own.items() if r == ratio)
        else:
            bound = lowest + float(what.removeprefix("excess")) * (2.0 - 1.0)
            able = {key: error for key, error in own.items() if error <= bound + 1e-9}
            if not able:
                assert row["seeds"] == 0
                continue
            ratio = max(r for _, r in able)
            best = min(error for (_, r), error in able.items() if r == ratio)
        assert row["seeds"] == 3
        assert row["compression"] == pytest.approx(ratio)
        assert row["val_metric"] == pytest.approx(best)
        tested = test[str(method), row["trial"], ratio]
        assert row["test_metric_mean"] == pytest.approx(sum(tested) / 3)
        if np.isfinite(tested).all():
            assert row["test_metric_std"] == pytest.approx(np.std(tested, ddof=1), abs=1e-12)
    assert table.loc[("scad", "compression@excess0.01"), "compression"] == 10000.0
    assert table.loc[("lasso", "compression@excess0.05"), "seeds"] == 0


def test_excess_is_a_part_of_the_way_from_chance_to_ideal() -> None:
    wide = Metric("mse", "min", chance=21.0, ideal=1.0)
    asked = questions(wide, (10.0, 10000.0))
    assert [q.name for q in asked[:3]] == ["mse@10x", "mse@10000x", "compression@excess0.01"]
    assert asked[0].title == "Lowest mse at 10x compression"
    assert asked[2].title == "Most compression within 0.2 of the best validation mse attained"
    record = make_record({"rewa": lambda ratio, *_: 1.0 if ratio < 20 else 1.2 if ratio < 200 else 1.21})
    table = answers(mean_frontier(record.frontier, CONFIG, wide), ["rewa"], wide).set_index("question")
    assert table.loc["compression@excess0.01", "compression"] == 150.0


def test_a_value_that_is_no_number_counts_as_the_worst() -> None:
    """Left out of the mean, a seed that exploded would flatter its setting."""

    def sometimes(ratio: float, trial: int, seed: int) -> float:
        return math.nan if trial == 0 and seed == 3 else 1.0 + 0.5 * trial

    record = make_record({"rewa": sometimes}, trials=2)
    found, points = tables(record, MSE)
    assert set(points["trial"]) == {"rewa-0001"}
    lost = found[found["trial"] == "rewa-0000"]
    assert lost["val_metric"].map(math.isinf).all()
    assert (lost["seeds"] == 3).all()
    assert all(math.isinf(max(values)) for values in lost["test_values"])


def test_an_error_has_no_dense_reference_but_a_dense_net() -> None:
    bare = mean_frontier(make_record({"rewa": flat(1.1)}).frontier, CONFIG, MSE)
    assert dense_reference(bare, MSE) is None
    both = mean_frontier(make_record({"rewa": flat(1.1), "random": flat(1.9)}).frontier, CONFIG, MSE)
    dense = dense_reference(both, MSE)
    assert dense is not None
    assert (dense.method, dense.val) == ("random", pytest.approx(1.9))


def test_a_difference_with_infinity_has_no_verdict() -> None:
    found = compare([1.0, 1.1], [1.0, math.inf], MSE)
    assert found.difference == math.inf
    assert found.beyond is None
    assert found.verdict == "seed noise unknown with a value that is not finite"
    huge = compare([1.0, 1.1], [1e300, 2e300], MSE)
    assert huge.beyond is None
    lower = compare([0.9, 0.91, 0.92], [1.0, 1.01, 1.02], MSE)
    assert lower.difference == pytest.approx(0.1)
    assert lower.beyond is True
    assert lower.low > 0.0
