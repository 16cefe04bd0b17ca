"""pareto.csv against loops over the frontier table."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import pandas as pd
import pytest
from synthetic import CONFIG, Record, decay, flat, make_record, realistic

from analysis.questions import pareto_table
from rewa.metric import ACCURACY

NUMBERS = ("val_metric", "test_metric_mean", "test_metric_std", "compression")
QUESTIONS = [
    "accuracy@10x",
    "accuracy@50x",
    "accuracy@100x",
    "accuracy@200x",
    "compression@drop0.5",
    "compression@drop1.0",
    "compression@drop2.0",
]


def means(record: Record, split: str) -> dict[tuple[str, str, float], list[float]]:
    """(method, trial, ratio) -> accuracies over the confirm seeds."""
    out = defaultdict(list)
    for row in record.frontier.to_dict("records"):
        wanted = ("confirm", split, "ratio")
        if (row["phase"], row["split"], row["criterion"]) == wanted:
            out[row["method"], row["trial"], row["value"]].append(row["metric"])
    return out


def by_hand(record: Record, method: str, question: str) -> dict[str, Any] | None:
    val = {key: sum(v) / len(v) for key, v in means(record, "val").items()}
    kind, _, what = question.partition("@")
    own = {(t, r): acc for (m, t, r), acc in val.items() if m == method}
    if kind == "accuracy":
        able = {t: acc for (t, r), acc in own.items() if r == float(what[:-1])}
        best = max(able.values())
        return {"ratio": float(what[:-1]), "val": best}
    dense = max(acc for (m, _, r), acc in val.items() if m in ("magnitude", "random") and r == 1.0)
    floor = dense - float(what.removeprefix("drop")) / 100.0
    reached = [r for (_, r), acc in own.items() if acc >= floor - 1e-9]
    if not reached:
        return None
    ratio = max(reached)
    return {"ratio": ratio, "val": max(acc for (_, r), acc in own.items() if r == ratio)}


def test_every_answer_equals_brute_force() -> None:
    record = realistic()
    table = pareto_table(record.frontier, CONFIG, ACCURACY)
    test = means(record, "test")
    assert len(table) == 5 * len(QUESTIONS)
    for row in table.to_dict("records"):
        expected = by_hand(record, row["method"], row["question"])
        if expected is None:
            assert row["seeds"] == 0
            assert all(
                math.isnan(row[name])
                for name in (
                    "val_metric",
                    "test_metric_mean",
                    "test_metric_std",
                    "compression",
                )
            )
            continue
        assert row["seeds"] == 3
        assert row["compression"] == pytest.approx(expected["ratio"])
        assert row["val_metric"] == pytest.approx(expected["val"])
        values = test[row["method"], row["trial"], expected["ratio"]]
        assert row["test_metric_mean"] == pytest.approx(sum(values) / 3)


def test_columns_are_the_contracts() -> None:
    table = pareto_table(make_record({"rewa": flat(0.9)}).frontier, CONFIG, ACCURACY)
    assert list(table.columns) == [
        "method",
        "question",
        "val_metric",
        "test_metric_mean",
        "test_metric_std",
        "compression",
        "seeds",
        "trial",
        *CONFIG,
    ]
    assert list(table["question"]) == QUESTIONS
    assert table["seeds"].dtype.kind == "i"


def test_a_method_that_cannot_has_a_row_that_says_so() -> None:
    record = make_record({"magnitude": flat(0.98), "random": decay(2.0, 0.9, noise=0.0)})
    table = pareto_table(record.frontier, CONFIG, ACCURACY).set_index(["method", "question"])
    row = table.loc[("random", "compression@drop2.0")]
    assert row["seeds"] == 0
    assert math.isnan(row["compression"])
    assert table.loc[("magnitude", "compression@drop0.5"), "compression"] == 1000.0


def test_a_method_without_completed_runs_has_rows_too() -> None:
    table = pareto_table(make_record({"rewa": flat(0.9)}).frontier, CONFIG, ACCURACY, ["rewa", "spred"])
    assert (table.loc[table["method"] == "spred", "seeds"] == 0).all()
    nothing = pareto_table(make_record({}).frontier, CONFIG, ACCURACY, ["rewa"])
    assert len(nothing) == len(QUESTIONS)
    assert (nothing["seeds"] == 0).all()


def test_a_drop_met_exactly_is_met() -> None:
    def exact(ratio: float, trial: int, seed: int) -> float:
        return 0.97 if ratio <= 50 else 0.96  # 0.97 - 0.01 is not 0.96 in binary

    record = make_record({"magnitude": flat(0.97), "rewa": exact})
    table = pareto_table(record.frontier, CONFIG, ACCURACY).set_index(["method", "question"])
    assert table.loc[("rewa", "compression@drop1.0"), "compression"] == 1000.0
    assert table.loc[("rewa", "compression@drop0.5"), "compression"] == 50.0


def test_actual_compression_is_reported_where_the_network_is_sparser() -> None:
    record = make_record({"rewa": flat(0.9)}, trials=1)
    record.frontier.loc[:, "compression"] = record.frontier["compression"].clip(lower=33.5)
    table = pareto_table(record.frontier, CONFIG, ACCURACY).set_index("question")
    assert table.loc["accuracy@10x", "compression"] == pytest.approx(33.5)


def test_one_seed_has_no_deviation() -> None:
    table = pareto_table(make_record({"rewa": flat(0.9)}, seeds=(1,)).frontier, CONFIG, ACCURACY)
    assert set(table["seeds"]) == {1}
    assert table["test_metric_std"].isna().all()


def test_missing_ratio_targets_are_no_answers() -> None:
    record = make_record({"rewa": flat(0.9)}, ratios=(1, 10))
    table: pd.DataFrame = pareto_table(record.frontier, CONFIG, ACCURACY).set_index("question")
    assert table.loc["accuracy@10x", "seeds"] == 3
    assert table.loc["accuracy@100x", "seeds"] == 0
