"""The first sentence says what the data say, whoever wins."""

from __future__ import annotations

import pytest
from synthetic import CONFIG, META, Accuracy, flat, make_record, realistic

from analysis.headline import headline
from analysis.pareto import best_attained, mean_frontier
from analysis.summary import summarise
from rewa.metric import ACCURACY

WIDE = (0.0, -0.02, 0.02)  # by seed modulo 3: a standard deviation of 2 points
THIN = (0.0, -0.001, 0.001)


def say(
    methods: dict[str, Accuracy],
    seeds: tuple[int, ...] = (1, 2, 3),
    ratios: tuple[float, ...] = (1, 10, 50, 100, 200),
    test_size: int | None = None,
) -> list[str]:
    record = make_record(methods, seeds=seeds, ratios=ratios)
    points = best_attained(mean_frontier(record.frontier, CONFIG, ACCURACY), ACCURACY)
    return headline(points, ACCURACY, test_size=test_size)


def test_a_baseline_that_wins_is_named_first() -> None:
    first, others = say({"rewa": flat(0.967, THIN), "sgd_l1": flat(0.971, THIN)})
    assert first.startswith(
        "At 100x compression sgd_l1 leads with 97.1 % test accuracy, 0.4 points ahead of rewa "
        "(3 seeds each): beyond the seed noise (95 % interval of the lead +0.2 to +0.6 points)"
    )
    assert others == "At 10x, 50x and 200x sgd_l1 leads rewa by 0.4 points (97.1 %; beyond the seed noise)."


def test_within_the_noise_is_said() -> None:
    first = say({"rewa": flat(0.967, WIDE), "sgd_l1": flat(0.971, WIDE)})[0]
    assert "sgd_l1 leads with 97.1 % test accuracy, 0.4 points ahead of rewa" in first
    assert "within the seed noise" in first
    assert "beyond" not in first


def test_rewa_winning_reads_the_same_way() -> None:
    first = say({"rewa": flat(0.971, THIN), "sgd_l1": flat(0.967, THIN)})[0]
    assert first.startswith("At 100x compression rewa leads with 97.1 % test accuracy, 0.4 points")
    assert "ahead of sgd_l1" in first


def test_a_tie_is_a_tie() -> None:
    first, others = say({"rewa": flat(0.97), "sgd_l1": flat(0.97)})
    assert first == "At 100x compression rewa and sgd_l1 tie at 97.0 % test accuracy (3 seeds each)."
    assert others.startswith("At 10x, 50x and 200x rewa and sgd_l1 tie")


def test_rewa_behind_two_others_is_in_the_first_sentence() -> None:
    methods = {
        "rewa": flat(0.9, THIN),
        "sgd_l1": flat(0.97, WIDE),
        "spred": flat(0.96, WIDE),
        "random": flat(0.1, THIN),
    }
    first, others = say(methods)
    assert "sgd_l1 leads with 97.0 %" in first
    assert "rewa is 3rd of 4 with 90.0 %, 7.0 points behind: beyond the seed noise." in first
    assert "rewa is 3rd of 4, 7.0 points behind (beyond the seed noise)" in others


def test_one_seed_is_no_ground_for_a_verdict() -> None:
    first = say({"rewa": flat(0.9), "sgd_l1": flat(0.95)}, seeds=(1,))[0]
    assert "(1 seed each): seed noise unknown with one seed each." in first


def test_seeds_without_spread_are_no_ground_either() -> None:
    first = say({"rewa": flat(0.9), "sgd_l1": flat(0.95)})[0]
    assert "seed noise unknown with no spread between the seeds" in first


def test_unconfirmed_runs_are_marked() -> None:
    first = say({"rewa": flat(0.9), "sgd_l1": flat(0.95)}, seeds=())[0]
    assert "(1 seed each, not confirmed)" in first


def test_a_small_test_split_qualifies_a_lead() -> None:
    methods = {"rewa": flat(0.967, THIN), "sgd_l1": flat(0.971, THIN)}
    first = say(methods, test_size=360)[0]
    assert "beyond the seed noise" in first
    assert first.endswith("but less than the up to \u00b12.5 points that 360 test examples leave open.")
    assert "leave open" not in say(methods, test_size=1_000_000)[0]


def test_one_method_is_not_a_winner() -> None:
    first, others = say({"rewa": flat(0.9)})
    assert "rewa, the only method with results there, reaches 90.0 % test accuracy" in first
    assert "leads" not in first
    assert others == "At 10x, 50x and 200x only rewa has results (90.0 %)."


def test_nothing_to_compare() -> None:
    assert say({}) == ["No method completed a run, so there is nothing to compare."]
    assert "No method was measured" in say({"rewa": flat(0.9)}, ratios=(1, 2))[0]


def test_largest_ratio_stands_in_for_a_missing_100x() -> None:
    first, others = say({"rewa": flat(0.9), "spred": flat(0.8)}, ratios=(1, 10, 50))
    assert first.startswith("At 50x compression rewa leads")
    assert others.startswith("At 10x ")


def test_unequal_seed_counts_are_told() -> None:
    record = make_record({"rewa": flat(0.9, WIDE), "spred": flat(0.8, WIDE)})
    lost = (record.frontier.method == "spred") & (record.frontier.seed == 3)
    points = best_attained(mean_frontier(record.frontier[~lost], CONFIG, ACCURACY), ACCURACY)
    assert "(3 and 2 seeds)" in headline(points, ACCURACY)[0]


@pytest.mark.parametrize("metric", ["accuracy", "F1"])
def test_dense_and_metric_are_named(metric: str) -> None:
    meta = {**META, "workload": {**META["workload"], "metric": metric}}
    summary = summarise(realistic(meta=meta))
    assert summary.dense is not None
    assert f"test {metric} (dense: {100 * summary.dense.test:.1f} %)" in summary.headline[0]
    assert (summary.test_size is None) is (metric != "accuracy")


def test_groups_split_where_the_story_changes() -> None:
    def crossing(ratio: float, trial: int, seed: int) -> float:
        return {10: 0.9, 50: 0.88}.get(ratio, 0.7) + THIN[seed % 3]

    others = say({"rewa": flat(0.8, THIN), "sgd_l1": crossing})[1]
    assert others.startswith("At 10x and 50x sgd_l1 leads rewa by 10.0 and 8.0 points (90.0 % and 88.0 %;")
    assert "; at 200x rewa leads sgd_l1 by 10.0 points" in others


def test_a_lead_among_collapsed_networks_is_told_as_such() -> None:
    def falling(ratio: float, trial: int, seed: int) -> float:
        return 0.98 if ratio < 100 else 0.3 + THIN[seed % 3]

    record = make_record({"magnitude": falling, "rewa": flat(0.2, THIN)})
    first, others = summarise(record).headline
    assert first.startswith("At 100x compression magnitude leads with 30.0 % test accuracy (dense: ")
    assert first.endswith("; no method keeps half of the dense accuracy there.")
    assert "at 200x no method keeps half of the dense accuracy (best: magnitude 30.0 %)." in others


def test_a_tie_among_collapsed_networks_names_all() -> None:
    def falling(ratio: float, trial: int, seed: int) -> float:
        return 0.98 if ratio < 200 else 0.1

    others = summarise(make_record({"magnitude": falling, "rewa": falling})).headline[1]
    assert "(best: rewa and magnitude 10.0 %)" in others
