"""Importance on functions whose shares are known, and what it refuses to tell."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from planted import SPACE, drawn, searched
from synthetic import Record

from analysis.evidence.importance import MOST, Importance, Share, View, importance_sentence, importances


def only(record: Record, method: str = "rewa") -> Importance:
    (found,) = importances(record, method)
    return found


def shares(found: Importance) -> dict[str, float]:
    return {share.name: share.mean for share in found.shares}


@pytest.mark.parametrize("name", ["a", "c", "k"])
def test_one_quantity_explains_all(name: str) -> None:
    places = {"a": lambda d: d["a"], "c": lambda d: math.log10(d["c"]) / 4 + 1, "k": lambda d: d["k"] / 9}
    found = only(searched(drawn(40), places[name]))
    assert found.shares[0].name == name
    assert found.shares[0].mean > 0.85
    assert found.shares[0].stands_out
    assert all(share.mean < 0.05 for share in found.shares[1:])
    assert found.reason == ""


def test_shares_of_two_effects_are_their_parts_of_the_variance() -> None:
    found = shares(only(searched(drawn(120, seed=3), lambda d: (2.0 * d["a"] + d["b"]) / 3.0)))
    assert found["a"] == pytest.approx(0.8, abs=0.08)
    assert found["b"] == pytest.approx(0.2, abs=0.08)


def test_a_logarithmic_range_counts_by_its_logarithm() -> None:
    """Both effects have the variance 1/12; over plain values of c, the lower three decades would be 0.1 %."""
    found = shares(
        only(searched(drawn(120, seed=4), lambda d: (d["a"] + 1.0 + math.log10(d["c"]) / 4.0) / 2.0))
    )
    assert found["a"] == pytest.approx(0.5, abs=0.1)
    assert found["c"] == pytest.approx(0.5, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_what_does_nothing_rarely_stands_out(effect: float) -> None:
    """Some one idle quantity in twenty passes the floor, alone or beside one that matters."""
    rng = np.random.default_rng(5)
    found = [
        only(searched(drawn(40, seed), lambda d: effect * d["a"] + 0.3 * float(rng.random())))
        for seed in range(60)
    ]
    idle = [share.stands_out for one in found for share in one.shares if not (effect and share.name == "a")]
    assert np.mean(idle) < 0.09


@pytest.mark.slow
def test_the_range_over_the_rounds_is_that_of_repeated_searches() -> None:
    """In about three of four searches it holds the average over many searches."""
    rng = np.random.default_rng(7)
    found = [
        only(searched(drawn(40, seed), lambda d: 2 * d["a"] + d["b"] + 0.3 * float(rng.normal())))
        for seed in range(60)
    ]
    for name in ("a", "b"):
        own = [share for one in found for share in one.shares if share.name == name]
        average = np.mean([share.mean for share in own])
        assert 0.6 < np.mean([share.low <= average <= share.high for share in own]) <= 1.0


def test_a_quantity_that_makes_trials_fail_matters() -> None:
    found = only(searched(drawn(40), lambda d: 0.5 + 0.05 * d["b"], fails=lambda d: d["a"] > 0.8))
    assert (found.shares[0].name, found.trials, found.looked_at) == ("a", 40, 40)
    assert found.shares[0].mean > 0.7


def test_order_and_names_do_not_matter() -> None:
    record = searched(drawn(40), lambda d: d["a"] + 0.3 * d["b"])
    found = only(record)
    rename = {f"rewa-{n:04d}": f"monday/rewa-{(7 * n) % 40:04d}" for n in range(40)}  # and so the order
    shuffled = replace(
        record,
        runs=record.runs.assign(trial=record.runs["trial"].map(rename)).sample(frac=1.0, random_state=1),
        draws=record.draws.assign(trial=record.draws["trial"].map(rename)).sample(frac=1.0, random_state=2),
    )
    assert only(shuffled) == found
    names = {"a": "zeta", "b": "a", "c": "eta", "k": "b"}
    sample = {names[name]: kind for name, kind in SPACE.items()}
    meta = {**record.meta, "space": {"methods": {"rewa": {"sample": sample}}}}
    other = only(replace(record, draws=record.draws.rename(columns=names), meta=meta))
    assert [replace(share, name=names[share.name]) for share in found.shares] == list(other.shares)


def test_without_a_space_the_values_say_the_scale() -> None:
    record = searched(drawn(40), lambda d: 1.0 + math.log10(d["c"]) / 4.0)
    found = only(replace(record, meta={}))
    assert found.shares[0].name == "c"
    assert found.shares[0].mean > 0.85


def test_known_settings_outside_of_the_space_are_kept() -> None:
    rows = [*drawn(20), {"a": 1.5, "b": 0.5, "c": 3.0, "k": 11}]
    assert only(searched(rows, lambda d: d["a"])).looked_at == 21


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (searched(drawn(9), lambda d: d["a"]), "9 trials are too few: it takes 10"),
        (searched(drawn(20), lambda _: 0.5), "all trials have the same score"),
        (searched(drawn(20, names=["a"]), lambda d: d["a"]), "only one quantity was tuned, a"),
        (searched(drawn(20), lambda d: d["a"], fails=lambda _: True), "all trials have the same score"),
        (searched(drawn(20), lambda _: None), "0 trials are too few: it takes 10"),
        (searched([{"a": 0.5}] * 20, lambda _: 0.5, on_record=False), "all trials have the same score"),
    ],
)
def test_why_nothing_is_told(record: Record, reason: str) -> None:
    found = only(record)
    assert found.reason == reason
    assert found.shares == ()
    assert importance_sentence(found) == ""


def test_constants_and_conditional_quantities_are_left_out() -> None:
    rows: list[dict[str, Any]] = [{**row, "fixed": 0.9} for row in drawn(40)]
    for row in rows[:12]:
        del row["b"]
    found = only(searched(rows, lambda d: d["a"]))
    assert {share.name for share in found.shares} == {"a", "c", "k"}
    assert found.left_out == ("b was set in 28 of 40 trials only and is left out",)


def test_draws_and_settings_are_two_views_where_they_differ() -> None:
    rng = np.random.default_rng(6)
    rows = [{**row, "K": float(row["k"]), "lr": float(rng.random())} for row in drawn(30)]
    record = searched(rows, lambda d: d["a"])
    own = replace(record, draws=record.draws.drop(columns="lr"))
    by_draw, by_config = importances(own, "rewa")
    assert {share.name for share in by_draw.shares} == {"K", "k", "a", "b", "c"}
    assert (by_config.view, {share.name for share in by_config.shares}) == ("config", {"K", "lr"})
    assert [one.view for one in importances(record, "rewa")] == ["drawn"]
    without = replace(record, draws=record.draws.iloc[:0])
    assert [one.view for one in importances(without, "rewa")] == ["config"]
    assert importances(record, "spred") == []


def test_many_trials_are_sampled() -> None:
    found = only(searched(drawn(400), lambda d: d["a"]))
    assert (found.trials, found.looked_at) == (400, MOST)
    assert found.shares[0].mean > 0.9


def test_sentences() -> None:
    first = importance_sentence(only(searched(drawn(40), lambda d: d["a"])))
    assert first.startswith("a matters most for rewa, so tune it first: alone it explains 9")
    assert first.endswith("cannot be told from a quantity that does nothing in 40 trials.")


def told(*shares: tuple[str, float, bool], view: View = "drawn") -> str:
    found = tuple(Share(name, mean, mean - 0.01, mean + 0.01, out) for name, mean, out in shares)
    return importance_sentence(Importance("rewa", view, 40, 40, found, 0.02))


def test_sentences_by_what_stands_out() -> None:
    shares = (("lr", 0.6, True), ("K", 0.2, True), ("M", 0.03, True), ("l1", 0.01, False))
    assert told(*shares, view="config") == (
        "lr (\u03b3) matters most for rewa among its own settings, so tune it first: alone it explains 60 % "
        "of the variance of the score (the forests say 59 to 61 %); K (20 %) matters too; M explains less "
        "than 5 %; l1 cannot be told from a quantity that does nothing in 40 trials."
    )
    nothing = "For rewa, K and p cannot be told from a quantity that does nothing in 40 trials."
    assert told(("K", 0.1, False), ("p", 0.05, False)) == nothing
