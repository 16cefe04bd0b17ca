"""Bootstrap intervals and paired tests against enumerations of all resamples and of all sign patterns."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats
from synthetic import MSE, decay, error_sweep, make_record, realistic

from analysis.evidence.intervals import comparisons, holm, paired, ratio_intervals, seed_interval
from analysis.noise import compare
from analysis.summary import summarise
from rewa.metric import ACCURACY

SHARES = st.integers(0, 360).map(lambda hits: hits / 360.0)  # what a test split of 360 examples gives


def by_seed(values: list[float], first: int = 1) -> dict[int, float]:
    return {first + index: value for index, value in enumerate(values)}


@pytest.mark.parametrize("values", [(0.9, 0.93, 0.97), (0.91, 0.91, 0.95), (0.1, 0.2, 0.6, 0.9)])
def test_interval_is_that_of_all_resamples(values: tuple[float, ...]) -> None:
    means = np.array([np.mean(resample) for resample in product(values, repeat=len(values))])
    found = seed_interval(values)
    assert found.mean == pytest.approx(np.mean(values))
    for end, tail in ((found.low, 0.025), (found.high, 0.975)):  # drawing 9999 moves a tail by 0.5 % at most
        around = [np.quantile(means, tail + shift, method="inverted_cdf") for shift in (-0.005, 0.005)]
        assert around[0] - 1e-12 <= end <= around[1] + 1e-12
    assert found == seed_interval(values)


def test_interval_of_three_seeds_is_their_range() -> None:
    values = (0.3, 0.7, 0.35)
    found = seed_interval(values)
    assert (found.low, found.high) == (pytest.approx(0.3), pytest.approx(0.7))


def test_interval_of_many_seeds_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(0.5, 0.1, size=(60, 40))
    inside = [(found := seed_interval(row)).low <= 0.5 <= found.high for row in samples]
    assert 0.85 <= np.mean(inside) <= 1.0


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((), "no runs"),
        ((0.9,), "one seed"),
        ((0.9, 0.9, 0.9), "no spread between the seeds"),
        ((0.9, math.inf, 0.8), "a value that is not finite"),
        ((0.9, math.nan), "a value that is not finite"),
    ],
)
def test_interval_says_why_there_is_none(values: tuple[float, ...], reason: str) -> None:
    found = seed_interval(values)
    assert found.unknown == reason
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.seeds == len(values)


@settings(deadline=None, max_examples=60)
@given(pairs=st.lists(st.tuples(SHARES, SHARES), min_size=2, max_size=7))
@example(
    pairs=[(0.0, 16 / 360), (0.0, 67 / 360), (1 / 360, 0.0), (83 / 360, 0.0)]
)  # sums tie but for rounding
def test_sign_flips_by_hand(pairs: list[tuple[float, float]]) -> None:
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    assume(max(a) > min(a) or max(b) > min(b))
    hits = [round(360 * x) - round(360 * y) for x, y in pairs]  # whole numbers: no rounding to argue about
    observed = abs(sum(hits))
    sums = [
        abs(sum(sign * hit for sign, hit in zip(signs, hits, strict=True)))
        for signs in product((1, -1), repeat=len(hits))
    ]
    expected = sum(total >= observed for total in sums) / len(sums)
    found = paired(by_seed(a), by_seed(b), ACCURACY)
    assert found.p_signs == pytest.approx(min(1.0, expected))
    assert found.least == 2.0 ** (1 - len(hits))
    assert found.p_signs >= found.least


@settings(deadline=None, max_examples=60)
@given(
    values=st.lists(st.tuples(st.floats(0.1, 1.0), st.floats(0.1, 1.0)), min_size=2, max_size=8),
    metric=st.sampled_from([ACCURACY, MSE]),
)
def test_t_interval_and_test_from_their_formula(values: list[tuple[float, float]], metric: object) -> None:
    assert metric in (ACCURACY, MSE)
    used = ACCURACY if metric is ACCURACY else MSE
    gaps = np.array([(x - y) * (1.0 if used is ACCURACY else -1.0) for x, y in values])
    assume(np.ptp(gaps) > 1e-3)
    found = paired(by_seed([x for x, _ in values]), by_seed([y for _, y in values]), used)
    error = gaps.std(ddof=1) / math.sqrt(len(gaps))
    reach = stats.t.ppf(0.975, len(gaps) - 1) * error
    assert found.difference == pytest.approx(gaps.mean())
    assert found.low == pytest.approx(gaps.mean() - reach)
    assert found.high == pytest.approx(gaps.mean() + reach)
    assert found.p == pytest.approx(2.0 * stats.t.sf(abs(gaps.mean()) / error, len(gaps) - 1))
    assert (found.p < 0.05) == (found.low > 0.0 or found.high < 0.0)


def test_swapping_the_methods_mirrors_the_comparison() -> None:
    a, b = by_seed([0.9, 0.95, 0.94]), by_seed([0.88, 0.91, 0.95])
    one, other = paired(a, b, ACCURACY), paired(b, a, ACCURACY)
    assert one.difference == pytest.approx(-other.difference)
    assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))
    assert (one.p, one.p_signs) == (pytest.approx(other.p), pytest.approx(other.p_signs))


def test_only_common_seeds_are_paired() -> None:
    a = {1: 0.9, 2: 0.95, 3: 0.94, 7: 0.1}
    b = {2: 0.91, 3: 0.95, 1: 0.88, 9: 1.0}
    assert paired(a, b, ACCURACY) == paired(by_seed([0.9, 0.95, 0.94]), by_seed([0.88, 0.91, 0.95]), ACCURACY)
    assert paired(a, b, ACCURACY).seeds == 3


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [
        ({}, {1: 0.9}, "no common seed"),
        ({1: 0.9, 2: 0.8}, {3: 0.9, 4: 0.8}, "no common seed"),
        ({1: 0.9, 2: 0.8}, {2: 0.9, 4: 0.8}, "one common seed"),
        ({1: 0.9, 2: math.nan}, {1: 0.9, 2: 0.8}, "a value that is not finite"),
        ({1: 0.9, 2: 0.8}, {1: 0.9, 2: -math.inf}, "a value that is not finite"),
        ({1: 0.9, 2: 0.9}, {1: 0.8, 2: 0.8}, "both are the same at every seed"),
        ({1: 1e200, 2: 1.0}, {1: 0.8, 2: 0.9}, "values too large to compare"),
    ],
)
def test_no_test_and_why(a: dict[int, float], b: dict[int, float], reason: str) -> None:
    found = paired(a, b, ACCURACY)
    assert found.unknown == reason
    assert all(math.isnan(value) for value in (found.low, found.high, found.p, found.p_signs))


def test_the_same_difference_at_every_seed_leaves_signs_only() -> None:
    found = paired(by_seed([0.5, 0.75, 0.625]), by_seed([0.25, 0.5, 0.375]), ACCURACY)
    assert found.unknown == "the same difference at every seed"
    assert math.isnan(found.p)
    assert found.p_signs == 0.25
    assert found.difference == 0.25


def test_holm_by_hand() -> None:
    nan = math.nan
    found = holm([0.01, nan, 0.04, 0.03, 0.005])  # times 3, -, 1, 2, 4; then 0.04 not below 0.06
    assert found[0] == pytest.approx(0.03)
    assert math.isnan(found[1])
    assert found[2:] == [pytest.approx(0.06), pytest.approx(0.06), pytest.approx(0.02)]
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@settings(deadline=None, max_examples=60)
@given(p=st.lists(st.floats(1e-4, 1.0), min_size=1, max_size=8), level=st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_stepping_down_rejects(p: list[float], level: float) -> None:
    rejected, left = set(), sorted(range(len(p)), key=lambda index: p[index])
    while left and p[left[0]] * len(left) <= level:
        rejected.add(left.pop(0))
    assert {index for index, value in enumerate(holm(p)) if value <= level} == rejected


def test_comparisons_of_a_sweep() -> None:
    summary = summarise(realistic())
    table = comparisons(summary)
    assert len(table) == len(summary.ratios) * 10  # five methods
    test = summary.record.frontier[
        (summary.record.frontier["split"] == "test") & (summary.record.frontier["phase"] == "confirm")
    ]
    for row in table.to_dict("records"):
        values = {}
        for method in (row["method"], row["rival"]):
            chosen = summary.points[
                (summary.points["method"] == method) & (summary.points["value"] == row["ratio"])
            ]["trial"].item()
            own = test[
                (test["trial"] == chosen) & (test["value"] == row["ratio"]) & (test["criterion"] == "ratio")
            ]
            values[method] = own.set_index("seed")["metric"]
        gaps = values[row["method"]] - values[row["rival"]]
        assert row["difference"] == pytest.approx(gaps.mean())
        assert row["difference"] >= -1e-9
        if not row["unknown"]:
            expected = stats.ttest_rel(values[row["method"]], values[row["rival"]])
            assert row["p"] == pytest.approx(expected.pvalue)
        welch = compare(tuple(values[row["method"]]), tuple(values[row["rival"]]), ACCURACY)
        assert row["welch"] is welch.beyond
    known = table["p"].notna()
    assert table.loc[known, "p_adjusted"].tolist() == pytest.approx(holm(table.loc[known, "p"].tolist()))
    best = summary.points.groupby("value")["test_metric_mean"].max()
    for ratio, own in table[table["leads"]].groupby("ratio"):
        assert own["method"].nunique() == 1
        leader = summary.points[
            (summary.points["value"] == ratio) & (summary.points["method"] == own["method"].iloc[0])
        ]
        assert leader["test_metric_mean"].item() == pytest.approx(best[ratio])


def test_solvers_without_seed_noise_and_infinite_errors_are_not_tested() -> None:
    table = comparisons(summarise(error_sweep()))
    solvers = ["lasso", "adaptive_lasso", "l0_5", "l2_3", "scad"]
    both = table["method"].isin(solvers) & table["rival"].isin(solvers)
    assert (table.loc[both, "unknown"] == "both are the same at every seed").all()
    random = table[(table["rival"] == "random") & (table["ratio"] >= 100.0)]
    assert (random["unknown"] == "a value that is not finite").all()
    intervals = ratio_intervals(summarise(error_sweep()))
    assert set(intervals["method"]) > set(solvers)
    assert (intervals.loc[intervals["method"].isin(solvers), "unknown"] != "").all()


def test_one_seed_or_unequal_seeds() -> None:
    one = comparisons(summarise(make_record({"rewa": decay(400.0), "spred": decay(300.0)}, seeds=(1,))))
    assert (one["unknown"] == "one common seed").all()
    record = make_record({"rewa": decay(400.0, salt=1), "spred": decay(300.0, salt=2)}, seeds=(1, 2, 3, 4))
    gone = (record.frontier["method"] == "spred") & (record.frontier["seed"] == 2)
    table = comparisons(summarise(replace(record, frontier=record.frontier[~gone])))
    assert (table["seeds"] == 3).all()
    assert (table["least"] == 0.25).all()


def test_no_result_gives_empty_tables() -> None:
    record = make_record({"rewa": decay(400.0)})
    summary = summarise(replace(record, frontier=record.frontier.iloc[:0]))
    assert ratio_intervals(summary).empty
    assert comparisons(summary).empty
