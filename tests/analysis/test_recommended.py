"""The recommended settings: the best on validation, whatever test says; agreement with `rewa best`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Record, error_sweep, flat, make_record, realistic

from analysis.decision import decide
from analysis.page.links import needs_server, run_link, setting_links
from analysis.page.next_steps import next_steps
from analysis.recommended import Choice, recommended
from analysis.summary import Summary, summarise

THIN = (0.0, -0.001, 0.001)


def with_test(record: Record, change: dict[str, float]) -> Record:
    """The same sweep with test values moved by method; validation stays."""
    moved = record.frontier["method"].map(change).fillna(0.0)
    on_test = record.frontier["split"] == "test"
    values = record.frontier["metric"].where(~on_test, record.frontier["metric"] + moved)
    return replace(record, frontier=record.frontier.assign(metric=values))


def taken(summary: Summary) -> dict[str, Choice]:
    return {choice.question: choice for choice in recommended(summary) if choice.taken}


@pytest.mark.parametrize("make", [realistic, error_sweep])
def test_what_is_taken_is_what_the_command_says(make: Any) -> None:
    summary = summarise(make())
    choices = taken(summary)
    for ratio in summary.ratios:
        row = decide(summary, compression=ratio).answers.iloc[0]
        choice = choices[f"{ratio:g}x"]
        assert (choice.method, choice.trial) == (row["method"], row["trial"])
    losses = (0.5, 1.0, 2.0) if summary.metric.is_share else (0.01, 0.05, 0.1)
    for loss in losses:
        row = decide(summary, max_drop=loss).answers.iloc[0]
        unit = "" if not summary.metric.is_share else " point" if loss == 1.0 else " points"
        choice = choices[f"within {loss:g}{unit}"]
        assert (choice.method, choice.trial) == (row["method"], row["trial"])
        assert choice.compression == f"{row['compression']:.3g}x" or row["compression"] >= 100


@settings(max_examples=12)
@given(st.lists(st.integers(-40, 40), min_size=3, max_size=3))
def test_test_values_decide_nothing(moves: list[int]) -> None:
    """Whatever is added to the test values, the same settings are taken."""
    planted = {"rewa": flat(0.90, THIN), "spred": flat(0.91, THIN), "magnitude": flat(0.895, THIN)}
    record = make_record(planted, trials=1, ratios=(1, 10, 100))
    moved = with_test(record, {method: move / 100 for method, move in zip(planted, moves, strict=True)})
    for choice in taken(summarise(moved)).values():
        assert choice.method == "spred"


def test_whoever_is_ahead_on_test_is_named_with_the_verdict() -> None:
    planted = {"rewa": flat(0.90, THIN), "spred": flat(0.91, THIN), "magnitude": flat(0.895, THIN)}
    record = with_test(make_record(planted, trials=1, ratios=(1, 100)), {"rewa": 0.05})
    rows = [choice for choice in recommended(summarise(record)) if choice.question == "100x"]
    first, focus = rows
    assert (first.method, first.taken, focus.method, focus.taken) == ("spred", True, "rewa", False)
    assert first.verdict == "rewa is 4.0 points better: beyond the seed noise"
    assert focus.verdict == "1st of 3 on test"
    assert (first.test, focus.test) == ("91.0 ± 0.1", "95.0 ± 0.1")
    assert (first.change, focus.change) == ("+1.5", "+5.5"), "against dense, 89.5 %"


def test_a_lead_a_tie_and_a_method_alone() -> None:
    lead = make_record({"rewa": flat(0.95, THIN), "spred": flat(0.90, THIN)}, trials=1, ratios=(1, 100))
    assert taken(summarise(lead))["100x"].verdict == "5.0 points ahead of spred: beyond the seed noise"
    tie = make_record({"rewa": flat(0.95, THIN), "spred": flat(0.95, THIN)}, trials=1, ratios=(1, 100))
    assert re.fullmatch("ties with (rewa|spred)", taken(summarise(tie))["100x"].verdict)
    alone = make_record({"rewa": flat(0.95, THIN)}, trials=1, ratios=(1, 100))
    assert taken(summarise(alone))["100x"].verdict == "the only method with results there"


def test_a_loss_is_answered_by_compression() -> None:
    def until(limit: float) -> Any:
        return lambda ratio, trial, seed: 0.9 if ratio <= limit else 0.5

    planted = {"rewa": until(10.0), "spred": until(100.0), "magnitude": flat(0.9)}
    planted["magnitude"] = until(1.0)
    choice = taken(summarise(make_record(planted, trials=1, ratios=(1, 10, 100, 200))))["within 1 point"]
    assert (choice.method, choice.compression) == ("spred", "100x")
    assert choice.verdict == "next is rewa with 10x"


def test_nothing_to_recommend() -> None:
    assert recommended(summarise(make_record({}, meta={}))) == [
        Choice(goal, question, "", verdict="no setting of any method gets there")
        for goal, question in [
            ("Most compression within a distance of dense, both on validation", f"within {drop}")
            for drop in ("0.5 points", "1 point", "2 points")
        ]
    ]


def test_links_lead_to_the_first_seed_of_the_confirmation() -> None:
    record = make_record({"rewa": flat(0.9)}, trials=2, seeds=(4, 5))
    ui = {"base": "http://127.0.0.1:5000/", "experiment_id": "3", "summary_run": "x"}
    linked = replace(record, meta={**record.meta, "ui": ui})
    base = "http://127.0.0.1:5000/#/experiments/3/runs/"
    assert setting_links(summarise(linked)) == {
        ("rewa", "rewa-0000"): f"{base}rewa0confirm4",
        ("rewa", "rewa-0001"): f"{base}rewa1confirm4",
    }
    assert needs_server(linked.meta)
    assert not needs_server({"ui": {**ui, "base": "https://mlflow.example.org"}})
    assert setting_links(summarise(record)) == {}, "hand-made and merged records say nothing of a UI"


@pytest.mark.parametrize(
    "ui",
    [
        *({}, {"base": "http://x"}, {"experiment_id": "3"}, {"base": "", "experiment_id": "3"}),
        *({"base": "javascript:alert(1)", "experiment_id": "3"}, "http://x", None),
    ],
)
def test_no_link_without_an_address(ui: Any) -> None:
    assert run_link({"ui": ui}, "abc") == ""


def test_no_link_without_a_run() -> None:
    ui = {"base": "http://x", "experiment_id": "3"}
    assert run_link({"ui": ui}, "a b") == "http://x/#/experiments/3/runs/a%20b"
    assert [run_link({"ui": ui}, run) for run in ("", None, pd.NA, float("nan"))] == [""] * 4


def test_next_steps_ask_for_what_was_measured() -> None:
    lines = [command for _, command in next_steps(summarise(realistic()))]
    assert lines == [
        "rewa best digits --compression 100",
        "rewa best digits --max-drop 1",
        "rewa calibrate digits --method rewa --compression 100",
        "rewa register digits --compression 100",
        "rewa ui --sweep digits",
    ]
    errors = [command for _, command in next_steps(summarise(error_sweep()))]
    assert "rewa best sparse_recovery --max-drop 0.05" in errors
    small = make_record({"rewa": flat(0.9)}, ratios=(1, 5))
    assert next_steps(summarise(small))[0][1] == "rewa best digits --compression 5"
    named = replace(realistic(), name="a b; c")
    assert next_steps(summarise(named))[0][1] == "rewa best 'a b; c' --compression 100"
    assert next_steps(summarise(make_record({"rewa": flat(0.9)}, meta={}))) == []
