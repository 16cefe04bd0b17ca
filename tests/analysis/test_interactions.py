"""Where the best quarter lies, against counting; which quantities a method is looked at by."""

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
from synthetic import Record, run_row

from analysis.evidence.interactions import Interaction, interaction, interaction_sentence
from analysis.page.parts.interactions import _log_ticks


def look(record: Record, method: str = "rewa") -> Interaction:
    found = interaction(record, method)
    assert found is not None
    return found


def with_p(count: int, seed: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "K": float(row["k"]),
            "p": 0.7 + 0.3 * row["a"],
            "effective_step": row["b"],
            "decay_budget": row["c"],
        }
        for row in drawn(count, seed)
    ]


SPACE = {
    "p": {"uniform": [0.7, 1.0]},
    "decay_budget": {"log_uniform": [1e-4, 1.0]},
    "K": {"choice": [3, 5, 7, 9]},
}


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(8, 30))
def test_the_box_of_the_best_quarter(seed: int, count: int) -> None:
    rows = with_p(count, seed)
    found = look(
        searched(
            rows, lambda d: 0.1 + d["p"] * d["effective_step"], fails=lambda d: d["p"] > 0.95, space=SPACE
        )
    )
    scores = [0.0 if d["p"] > 0.95 else 0.1 + d["p"] * d["effective_step"] for d in rows]
    good = [s for s in scores if s > 0.0]
    wanted = round(count / 4)
    if len(good) < wanted:
        return
    edge = sorted(scores, reverse=True)[wanted - 1]
    best = [d for d, s in zip(rows, scores, strict=True) if s >= edge]
    low, high = min(d["p"] for d in best), max(d["p"] for d in best)
    bottom, top = (f(d["decay_budget"] for d in best) for f in (min, max))
    box = [low <= d["p"] <= high and bottom <= d["decay_budget"] <= top for d in rows]
    assert found.fourth == len(best) == wanted
    assert found.inside == sum(box)
    assert found.lost_inside == sum(b and d["p"] > 0.95 for b, d in zip(box, rows, strict=True))
    assert found.corners[0] == pytest.approx((low, high))
    assert found.corners[1] == pytest.approx((math.log10(bottom), math.log10(top)))


def test_rewa_is_looked_at_by_p_and_decay_budget() -> None:
    found = look(searched(with_p(20), lambda d: d["effective_step"], space=SPACE))
    assert (found.x.name, found.y.name if found.y else "") == ("p", "decay_budget")
    assert (found.x.kind, found.y.kind if found.y else "") == ("linear", "log")
    assert {region.name for region in found.beside} == {"K", "effective_step"}


def test_p_is_computed_where_it_was_not_drawn() -> None:
    rng = np.random.default_rng(0)
    rows = [{"K": 9.0, "M": float(m), "weight_decay": float(rng.random())} for m in rng.uniform(0, 4, 20)]
    rows.append({"K": 3.0, "M": 5.0, "weight_decay": 0.5})  # no setting of ReWA: M > K - 1
    record = searched(rows, lambda d: d["weight_decay"], on_record=False)
    found = look(record)
    assert (found.x.name, found.y.name if found.y else "") == ("p", "weight_decay")
    assert found.trials["x"].to_numpy() == pytest.approx([(10.0 - row["M"]) / 9.0 for row in rows[:-1]])
    assert found.missing == 1


def test_others_are_looked_at_by_what_matters() -> None:
    record = searched(drawn(40), lambda d: 2.0 * d["b"] + math.log10(d["c"]), method="spred")
    found = look(record, "spred")
    assert {found.x.name, found.y.name if found.y else ""} == {"b", "c"}


def test_one_quantity_is_drawn_against_the_score() -> None:
    found = look(searched(drawn(20, names=["a"]), lambda d: d["a"]))
    assert found.y is None
    assert found.trials["y"].to_numpy() == pytest.approx(found.trials["score"].to_numpy())
    assert interaction_sentence(found).startswith("The best quarter of rewa's trials (5 of 20) has a 0.")


def test_confirmed_settings_are_marked_and_replaced_ones_are_not() -> None:
    record = searched(with_p(10), lambda d: d["p"], space=SPACE)
    runs = [record.runs, pd.DataFrame([run_row("rewa", n, 1, "confirm") for n in (2, 5)])]
    record = replace(record, runs=pd.concat(runs, ignore_index=True))
    both = look(record).trials
    assert list(both.loc[both["confirmed"], "trial"]) == ["rewa-0002", "rewa-0005"]
    assert len(both) == 10
    later = look(replace(record, meta={**record.meta, "confirmed": {"rewa": ["rewa-0005"]}})).trials
    assert list(later.loc[later["confirmed"], "trial"]) == ["rewa-0005"]


def test_the_end_of_a_range_is_told() -> None:
    found = look(searched(with_p(40), lambda d: d["p"], space=SPACE))
    by_name = {region.name: region for region in (*found.regions, *found.beside)}
    assert by_name["p"].rim == ("upper" if sum(d["p"] >= 0.97 for d in with_p(40)) > 5 else "")
    low = look(searched(with_p(40), lambda d: -math.log10(d["decay_budget"]), space=SPACE))
    assert {region.name: region.rim for region in low.regions}["decay_budget"] in ("lower", "")
    clear = [{**row, "p": 1.0 if n < 10 else 0.8} for n, row in enumerate(with_p(40))]
    found = look(searched(clear, lambda d: d["p"], space=SPACE))
    assert found.regions[0].rim == "upper"
    assert "at the upper end of the searched p" in interaction_sentence(found)


def test_no_quarter_is_best() -> None:
    assert look(searched(with_p(7), lambda d: d["p"], space=SPACE)).regions == ()
    ties = look(searched(with_p(40), lambda d: 0.5 if d["p"] > 0.75 else 0.1, space=SPACE))
    assert ties.regions == ()
    assert interaction_sentence(ties) == ""
    nothing = look(searched(with_p(40), lambda d: 0.5, fails=lambda d: True, space=SPACE))
    assert nothing.regions == ()


def test_nothing_tuned() -> None:
    assert interaction(searched([{"a": 0.5}] * 20, lambda _: 0.5), "rewa") is None
    assert interaction(searched(drawn(20), lambda _: 0.5), "spred") is None


@given(low=st.floats(1e-8, 1e4), factor=st.floats(1.01, 1e6))
def test_ticks_lie_in_the_range(low: float, factor: float) -> None:
    ticks = _log_ticks(low, low * factor)
    assert ticks == sorted(set(ticks))
    assert all(0.9 * low <= tick <= 1.1 * low * factor for tick in ticks)
    assert 1 <= len(ticks) <= 6
