"""`rewa best`'s decision against loops over the frontier table, and against the report."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import (
    ERROR_RATIOS,
    META,
    MSE,
    RATIOS,
    Record,
    decay,
    error_sweep,
    flat,
    make_record,
    realistic,
    rise,
    with_recalibrated,
)

from analysis.commands import train_line
from analysis.decision import Decision, decide, unfinished
from analysis.decision_text import notes, sentences
from analysis.report import write_report
from analysis.summary import Summary, summarise
from rewa.errors import UserError


def val_means(record: Record, recalibrated: bool = False) -> dict[tuple[str, str, float], float]:
    """(method, trial, ratio) -> mean validation metric over the confirmation seeds."""
    out = defaultdict(list)
    for row in record.frontier.to_dict("records"):
        found = (row["phase"], row["split"], row["criterion"], row["recalibrated"])
        if found == ("confirm", "val", "ratio", recalibrated):
            out[row["method"], row["trial"], row["value"]].append(row["metric"])
    return {key: sum(values) / len(values) for key, values in out.items()}


@cache
def made(sweep: Callable[[], Record]) -> tuple[Record, Summary]:
    """A sweep and its summary; nothing may change them."""
    record = sweep()
    return record, summarise(record)


def taken(decision: Decision) -> tuple[str, str, float]:
    row = decision.answers.iloc[0]
    return str(row["method"]), str(row["trial"]), float(row["value"])


@pytest.mark.parametrize("ratio", [1, 20, 100, 350, 1000])
def test_what_is_taken_at_a_compression_has_the_best_validation_of_all(ratio: float) -> None:
    record, summary = made(realistic)
    decision = decide(summary, compression=ratio)
    at = {key: value for key, value in val_means(record).items() if key[2] == ratio}
    assert decision.answers["val_metric"].iloc[0] == pytest.approx(max(at.values()))
    assert at[taken(decision)] == pytest.approx(max(at.values()))
    for row in decision.answers.to_dict("records"):
        own = max(value for (method, _, _), value in at.items() if method == row["method"])
        assert row["val_metric"] == pytest.approx(own)
    assert len(decision.answers) == 5


@pytest.mark.parametrize("drop", [0.0, 0.3, 1.0, 2.5, 40.0, 100.0])
def test_the_most_compression_within_a_drop_equals_brute_force(drop: float) -> None:
    record, summary = made(realistic)
    decision = decide(summary, max_drop=drop)
    val = val_means(record)
    dense = max(
        v for (method, _, ratio), v in val.items() if method in ("magnitude", "random") and ratio == 1
    )
    able = {key: value for key, value in val.items() if value >= dense - drop / 100 - 1e-9}
    by_method = defaultdict(list)
    for method, _, ratio in able:
        by_method[method].append(ratio)
    assert {row["method"]: row["value"] for row in decision.answers.to_dict("records")} == {
        method: max(ratios) for method, ratios in by_method.items()
    }
    most = max(ratio for _, _, ratio in able)
    assert taken(decision)[2] == most
    assert able[taken(decision)] == pytest.approx(max(v for (_, _, r), v in able.items() if r == most))


@pytest.mark.parametrize("loss", [0.0, 0.02, 0.1, 0.5])
def test_a_loss_of_an_error_is_in_its_own_unit_from_the_best_attained(loss: float) -> None:
    record, summary = made(error_sweep)
    decision = decide(summary, max_drop=loss)
    val = {key: (value if value == value else math.inf) for key, value in val_means(record).items()}
    bound = min(val.values()) + loss + 1e-9
    most = {
        method: max(ratio for (m, _, ratio), value in val.items() if m == method and value <= bound)
        for method in {m for (m, _, _), value in val.items() if value <= bound}
    }
    assert {row["method"]: row["value"] for row in decision.answers.to_dict("records")} == most
    if decision.answers.empty:
        pytest.fail("the best attained itself is always within")


Asks = dict[str, dict[str, float]]
REPORTED: list[tuple[Callable[[], Record], Asks]] = [
    (realistic, {"accuracy@50x": {"compression": 50}, "compression@drop2.0": {"max_drop": 2.0}}),
    (error_sweep, {"mse@1000x": {"compression": 1000}, "compression@excess0.05": {"max_drop": 0.05}}),
]


def agrees(summary: Summary, asks: Asks, pareto: pd.DataFrame, mean: str) -> None:
    for question, ask in asks.items():
        table = pareto[(pareto["question"] == question) & (pareto["seeds"] > 0)].set_index("method")
        answers = decide(summary, **ask).answers.set_index("method").loc[table.index]  # type: ignore[arg-type]
        assert answers["trial"].to_dict() == table["trial"].to_dict()
        np.testing.assert_allclose(answers["test_metric_mean"], table[mean])
        np.testing.assert_allclose(answers["compression"], table["compression"])


@pytest.mark.parametrize(("sweep", "asks"), REPORTED)
def test_it_agrees_with_the_reports_table(sweep: Callable[[], Record], asks: Asks) -> None:
    _, summary = made(sweep)
    agrees(summary, asks, summary.answers, "test_metric_mean")


@pytest.mark.slow
@pytest.mark.parametrize(("sweep", "asks"), REPORTED)
def test_it_agrees_with_pareto_csv(sweep: Callable[[], Record], asks: Asks, tmp_path: Path) -> None:
    record, summary = made(sweep)
    write_report(record, tmp_path)
    pareto = pd.read_csv(tmp_path / "pareto.csv")
    if "recalibrated" in pareto:
        pareto = pareto[~pareto["recalibrated"].astype(bool)]
    agrees(summary, asks, pareto, f"test_{summary.metric.name}_mean")


def test_the_ranking_is_told_in_the_reports_words() -> None:
    _, summary = made(realistic)
    told = sentences(decide(summary, compression=100))
    headline = summary.headline[0]
    assert told[1] == f"On test, all methods: {headline[0].lower()}{headline[1:]}"


def test_test_numbers_decide_nothing() -> None:
    record, summary = made(realistic)
    asks: list[dict[str, Any]] = [{"compression": 100}, {"compression": 350}, {"max_drop": 1.0}]
    before = [taken(decide(summary, **ask)) for ask in asks]
    rng = np.random.default_rng(3)
    for _ in range(2):
        frontier = record.frontier.copy()
        test = frontier["split"] == "test"
        frontier.loc[test, "metric"] = rng.uniform(size=int(test.sum()))
        scrambled = summarise(replace(record, frontier=frontier))
        assert [taken(decide(scrambled, **ask)) for ask in asks] == before


def test_another_method_ahead_on_test_is_said() -> None:
    def lucky(ratio: float, trial: int, seed: int) -> float:
        return 0.90

    record = make_record({"rewa": flat(0.95), "sgd_l1": lucky, "magnitude": flat(0.97)}, trials=1)
    test = (record.frontier["split"] == "test") & (record.frontier["method"] == "sgd_l1")
    record.frontier.loc[test, "metric"] = 0.99
    told = sentences(decide(summarise(record), compression=100))
    assert "use magnitude" in told[0]
    assert told[2].startswith("sgd_l1 is ahead on test")


def test_a_compression_that_was_not_measured() -> None:
    _, summary = made(realistic)
    decision = decide(summary, compression=62)
    assert decision.question.ratio == 75
    assert "62x was not measured; the answer is at 75x" in notes(decision)[0]
    assert decide(summary, compression=1000).asked is None
    with pytest.raises(UserError, match=r"1000\.5: was not measured; the targets are 1x, 2x, .* and 1000x$"):
        decide(summary, compression=1000.5)
    for bad in (0.5, -3.0, math.nan):
        with pytest.raises(UserError, match="must be at least 1"):
            decide(summary, compression=bad)
    for loss in (-0.1, math.inf, math.nan):
        with pytest.raises(UserError, match="at least 0"):
            decide(summary, max_drop=loss)
    with pytest.raises(UserError, match="has rewa, spred, sgd_l1, magnitude and random"):
        decide(summary, compression=10, method="lasso")


def test_where_nothing_answers_the_nearest_is_told() -> None:
    record = make_record({"rewa": decay(100.0, 0.90), "magnitude": flat(0.98)}, trials=3)
    decision = decide(summarise(record), max_drop=0.5, method="rewa")
    assert decision.answers.empty
    own = {key: value for key, value in val_means(record).items() if key[0] == "rewa"}
    assert decision.nearest["val_metric"].item() == pytest.approx(max(own.values()))
    told = sentences(decision)
    assert len(told) == 1
    assert told[0].startswith("No setting of rewa stays within that: validation 97.5 % is allowed")
    assert str(decision.nearest["trial"].item()) in told[0]


def test_methods_without_a_completed_run_are_named() -> None:
    record = make_record({"rewa": flat(0.9), "magnitude": flat(0.95)})
    decision = decide(summarise(record), compression=10)
    assert set(decision.unable) == {"spred", "sgd_l1", "random"}
    assert "No completed run: spred, sgd_l1 and random." in notes(decision)


def test_only_unpruned_networks_are_no_compression() -> None:
    record = make_record({"magnitude": decay(1.2, 0.98, noise=0.0), "rewa": decay(1.1, 0.98, noise=0.0)})
    told = sentences(decide(summarise(record), max_drop=0.0))
    assert "at 1x" in told[0]
    assert "without any pruning" in told[0]


def test_the_objectives_recalibrated_values_are_taken() -> None:
    def renew(value: float) -> float:
        return 1.0 - value / 2.0  # turns the order round

    meta = {**META, "objective": {**META["objective"], "recalibrated": True}}
    record = with_recalibrated(realistic(meta=meta), renew)
    decision = decide(summarise(record), compression=200)
    at = {key: value for key, value in val_means(record, True).items() if key[2] == 200}
    assert at[taken(decision)] == pytest.approx(max(at.values()))
    assert any("recalibration" in note for note in notes(decision))


def test_an_unfinished_sweep_says_so() -> None:
    meta = {**META, "trials_per_method": 4, "methods": ["rewa", "magnitude"]}
    searching = make_record({"rewa": flat(0.9), "magnitude": flat(0.95)}, trials=3, seeds=(), meta=meta)
    assert "6 of 8 trials of the search" in unfinished(searching)
    decision = decide(summarise(searching), compression=10)
    assert any("Not confirmed on fresh seeds: magnitude and rewa" in note for note in notes(decision))
    assert "1 seed, not confirmed" in sentences(decision)[0]
    confirming = make_record({"rewa": flat(0.9), "magnitude": flat(0.95)}, trials=4, seeds=(1,), meta=meta)
    assert "8 of at most 18 trainings of the confirmation" in unfinished(confirming)
    done = replace(confirming, meta={**meta, "confirmed": {"rewa": ["rewa-0000"]}})
    assert unfinished(done) == ""
    assert unfinished(make_record({"rewa": flat(0.9)}, meta={})) == ""


def test_the_command_names_the_workload_as_the_space_does() -> None:
    space = {"workload": {"name": "mine:Lines", "root": "a b.txt", "epochs": 3}, "resources": {"cpu": 2}}
    record = make_record({"rewa": flat(0.9)}, trials=1, meta={**META, "space": space})
    row = decide(summarise(record), compression=100).answers.iloc[0].to_dict()
    line = train_line(record, row)
    assert line.startswith("rewa train mine:Lines rewa --set lr=0.062134567891 ")
    assert line.endswith("--set-workload 'root=a b.txt' --epochs 40 --seed 1 --threads 2")
    changed = train_line(record, row, {"weight_decay": 0.5})
    assert changed == line.replace("weight_decay=0.0013", "weight_decay=0.5")


def test_an_error_is_told_with_its_noise_floor() -> None:
    record = make_record(
        {"scad": rise(1.0), "lasso": rise(1.2)},
        ratios=ERROR_RATIOS,
        meta={**META, "workload": {**META["workload"], **MSE.describe()}},
    )
    told = sentences(decide(summarise(record), compression=RATIOS[-1]))
    assert "use scad" in told[0]
    assert told[0].endswith("noise floor: 1.0.")
