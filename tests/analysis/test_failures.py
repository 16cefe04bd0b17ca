"""Causes and counts by hand; the separating threshold against brute force and against chance."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import drawn, searched
from synthetic import flat, make_record, run_row

from analysis.evidence.failures import cause_of, epoch_of, failures, rule_sentence, separating_rule


@pytest.mark.parametrize(
    ("status", "reason", "cause", "epoch"),
    [
        ("diverged", "the training loss became nan in epoch 9", "loss not finite", 9),
        ("diverged", "the training loss became -inf in epoch 28", "loss not finite", 28),
        ("diverged", "validation mse stayed at chance until epoch 50", "stayed at chance", 50),
        ("failed", "timed out after 60 s at descent.py:12 in step", "timed out", None),
        ("failed", "its worker was lost 3 times (the node died)", "worker lost", None),
        ("failed", "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "out of memory", None),
        ("failed", "RuntimeError: CUDA out of memory", "out of memory", None),
        ("failed", "MemoryError: ", "out of memory", None),
        ("failed", "ValueError: bad value in epoch", "failed with ValueError", None),
        ("failed", "torch.cuda.CudaError: launch failed", "failed with CudaError", None),
        ("failed", "", "no reason recorded", None),
        ("diverged", None, "no reason recorded", None),
        ("diverged", math.nan, "no reason recorded", None),
        ("diverged", "something else in epoch 3", "something else", 3),
        ("failed", "x" * 100, "x" * 59 + "\u2026", None),
    ],
)
def test_causes(status: str, reason: Any, cause: str, epoch: int | None) -> None:
    assert cause_of(status, reason) == cause
    found = epoch_of(reason)
    assert math.isnan(found) if epoch is None else found == epoch


def test_counts_by_hand() -> None:
    """Every run takes 12.5 s but where said; rewa: 2 search, 6 confirm, and these."""
    nan = "the training loss became nan in epoch "
    record = make_record({"rewa": flat(0.9), "spred": flat(0.9)}, meta={})
    extra = [
        run_row("rewa", 7, 0, "search", status="diverged", reason=f"{nan}3", score=0.0, seconds=10.0),
        run_row("rewa", 8, 0, "search", status="diverged", reason=f"{nan}8", score=None, seconds=20.0),
        run_row("rewa", 9, 0, "search", status="failed", reason="", score=None, seconds=5.0),
        run_row("rewa", 1, 4, "confirm", status="diverged", reason=f"{nan}5", score=0.0, seconds=15.0),
    ]
    table = failures(replace(record, runs=pd.concat([record.runs, pd.DataFrame(extra)], ignore_index=True)))
    told = table[["method", "phase", "cause", "count", "of", "seconds"]].values.tolist()
    assert told == [
        ["rewa", "search", "loss not finite", 2, 5, 30.0],
        ["rewa", "search", "no reason recorded", 1, 5, 5.0],
        ["rewa", "confirm", "loss not finite", 1, 7, 15.0],
    ]
    assert table["share"].tolist() == pytest.approx([30.0 / 150.0, 5.0 / 150.0, 15.0 / 150.0])
    assert table["epoch"].tolist() == pytest.approx([5.5, math.nan, 5.0], nan_ok=True)
    assert table["told"].tolist() == [f"{nan}3", "", f"{nan}5"]


def test_nothing_failed() -> None:
    assert failures(make_record({"rewa": flat(0.9)})).empty
    assert failures(make_record({}, meta={})).empty


def test_replaced_confirmations_do_not_count() -> None:
    record = make_record({"rewa": flat(0.9)}, meta={"confirmed": {"rewa": ["rewa-0000"]}})
    lost = run_row("rewa", 1, 4, "confirm", status="diverged", reason="", score=0.0)
    record = replace(record, runs=pd.concat([record.runs, pd.DataFrame([lost])], ignore_index=True))
    assert failures(record).empty


def best_accuracy(lost: list[float], kept: list[float]) -> float:
    """Of every threshold between two values, in both directions."""
    values = sorted({*lost, *kept})
    return max(
        max(accuracy, 1.0 - accuracy)
        for at in values
        for accuracy in [(np.mean([v > at for v in lost]) + np.mean([v <= at for v in kept])) / 2.0]
    )


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(20, 60),
    edge=st.floats(0.1, 0.9),
    below=st.booleans(),
    digits=st.integers(1, 8),
)
def test_the_rule_is_the_best_threshold(seed: int, count: int, edge: float, below: bool, digits: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [{"a": round(float(a), digits), "other": float(o)} for a, o in rng.random((count, 2))]
    flip = {id(row): bool(rng.random() < 0.1) for row in rows}

    def fails(row: Any) -> bool:
        return ((row["a"] < edge) == below) != flip[id(row)]

    rule = separating_rule(searched(rows, lambda _: 0.5, fails=fails), "rewa")
    lost, kept = ([row["a"] for row in rows if fails(row) is bad] for bad in (True, False))
    accuracy = best_accuracy(lost, kept) if lost and kept else 0.0
    if rule is None:
        assert accuracy < 1.0 or min(len(lost), len(kept)) < 8  # else chance has less than 1 in 3,000
        return
    values = {name: [row[name] for row in rows] for name in ("a", "other")}[rule.name]
    there = [v > rule.threshold if rule.above else v < rule.threshold for v in values]
    bad = [fails(row) for row in rows]
    assert rule.lost_there == sum(t and b for t, b in zip(there, bad, strict=True))
    assert rule.kept_there == sum(t and not b for t, b in zip(there, bad, strict=True))
    assert (rule.lost, rule.kept) == (len(lost), len(kept))
    assert rule.threshold not in values
    own = best_accuracy(*([v for v, b in zip(values, bad, strict=True) if b is w] for w in (True, False)))
    assert rule.accuracy == pytest.approx(own)


def test_chance_rarely_makes_a_rule() -> None:
    """Failures that have nothing to do with the draws: at most one search in twenty may have a rule."""
    rng = np.random.default_rng(1)
    rules = [
        separating_rule(
            searched(drawn(40, seed), lambda _: 0.5, fails=lambda _: bool(rng.random() < 0.2)), "rewa"
        )
        for seed in range(40)
    ]
    assert sum(rule is not None for rule in rules) <= 4


def test_the_sentence_has_the_counts() -> None:
    rows = [{"effective_step": 0.01 * (n + 1), "p": 0.5 + 0.1 * (n % 3)} for n in range(40)]
    lost = {29, 32, 34, 35, 36, 37, 38, 39}  # one of them among the completed ones
    rule = separating_rule(
        searched(rows, lambda _: 0.5, fails=lambda d: round(100 * d["effective_step"]) - 1 in lost), "rewa"
    )
    assert rule is not None
    assert rule_sentence(rule) == (
        "All 8 rewa trials that diverged or failed have effective_step (\u03b7) > 0.295; "
        "so have 3 of the 32 that completed."
    )


def test_choices_with_an_order_are_looked_at_and_texts_are_not() -> None:
    rows = [{**row, "init": "zero" if n % 2 else "one"} for n, row in enumerate(drawn(40))]
    by_k = separating_rule(searched(rows, lambda _: 0.5, fails=lambda d: d["k"] >= 9), "rewa")
    assert by_k is not None
    assert (by_k.name, by_k.above, by_k.threshold, by_k.accuracy) == ("k", True, 8.0, 1.0)
    assert separating_rule(searched(rows, lambda _: 0.5, fails=lambda d: d["init"] == "zero"), "rewa") is None


def test_too_few_failures_make_no_rule() -> None:
    assert separating_rule(searched(drawn(40), lambda _: 0.5, fails=lambda d: d["a"] > 0.97), "rewa") is None
    assert separating_rule(make_record({}, meta={}), "rewa") is None
