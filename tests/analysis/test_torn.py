"""Settings that fail on some seeds only are named, and no others."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import ERROR_META, ERROR_RATIOS, META, MSE, RATIOS, Accuracy, flat, make_record

from analysis.caveats import caveats
from analysis.decision import decide
from analysis.decision_text import notes, sentences
from analysis.summary import summarise
from analysis.torn import torn_text

SEEDS = tuple(range(1, 11))
TEN_CLASSES = {**META, "workload": {**META["workload"], "chance": 0.1}}


def told(methods: dict[str, Accuracy], errors: bool = False, seeds: Sequence[int] = SEEDS) -> list[str]:
    """The report's caveats about torn settings."""
    meta, ratios = (ERROR_META, ERROR_RATIOS) if errors else (TEN_CLASSES, RATIOS)
    lines = caveats(summarise(make_record(methods, seeds=seeds, meta=dict(meta), ratios=ratios)))
    return [line for line in lines if "describes neither" in line]


def by_seed(values: Sequence[float]) -> Accuracy:
    """The values of seeds 1, 2, ...; the search's seed 0 gets the last."""
    return lambda ratio, trial, seed: values[seed - 1]


def test_a_coin_flip_is_told_by_its_two_sides() -> None:
    coin = by_seed([2.157, 2.137, 2.14, 2.139, 1.017, 2.138, 1.017, 2.139, 1.018, 1.018])
    assert told({"rewa": coin, "lasso": flat(1.022)}, errors=True) == [
        "At 100x 6 of 10 seeds of rewa-0000 (rewa) fail (2.137 to 2.157 test mse; predicting the mean: 2.0), "
        "on the others it reaches 1.017 to 1.018: its mean, 1.692, describes neither."
    ]


def test_shares_are_in_percent_and_equal_values_written_once() -> None:
    methods = {"rewa": by_seed([0.1, 0.97] + 8 * [0.96]), "sgd_l1": flat(0.95)}
    assert told(methods) == [
        "At 100x 1 of 10 seeds of rewa-0000 (rewa) fail (10.0 % test accuracy; chance: 10 %), "
        "on the others it reaches 96.0 to 97.0 %: its mean, 87.5 %, describes neither."
    ]


def test_the_main_ratio_is_spoken_of_and_another_where_it_is_not_torn() -> None:
    def late(ratio: float, trial: int, seed: int) -> float:
        return 0.1 if ratio >= 200 and seed % 2 else 0.95

    def early(ratio: float, trial: int, seed: int) -> float:
        return 0.1 if ratio <= 100 and seed % 2 else 0.95

    (line,) = told({"rewa": late})
    assert line.startswith("At 200x 5 of 10 seeds")
    (line,) = told({"rewa": early})
    assert line.startswith("At 100x 5 of 10 seeds")


@pytest.mark.parametrize(
    "values",
    [
        10 * [0.1],  # fails on all
        10 * [0.95],
        [0.5 + 0.04 * n for n in range(10)],  # a wide spread, but no seed without skill
        [0.1, 0.12, *(8 * [0.11])],  # about chance on all: their best gains little
    ],
)
def test_a_setting_of_one_kind_is_not_torn(values: list[float]) -> None:
    assert told({"rewa": by_seed(values), "sgd_l1": flat(0.95)}) == []


def test_one_seed_cannot_be_torn() -> None:
    assert told({"rewa": flat(0.1), "sgd_l1": flat(0.95)}, seeds=(1,)) == []


@given(
    failing=st.lists(st.floats(-0.3, 0.05), min_size=0, max_size=6),
    working=st.lists(st.floats(0.8, 1.0), min_size=2, max_size=6),
    shuffle=st.randoms(use_true_random=False),
)
def test_as_many_seeds_are_told_as_were_made_to_fail(
    failing: list[float], working: list[float], shuffle: Random
) -> None:
    gains = [*failing, *working]
    shuffle.shuffle(gains)
    errors = [MSE.chance - gain * (MSE.chance - MSE.ideal) for gain in gains]
    row: dict[Hashable, Any] = {
        "method": "spred",
        "trial": "spred-0000",
        "value": 100.0,
        "test_values": tuple(errors),
    }
    row["test_metric_mean"] = sum(errors) / len(errors)
    line = torn_text(row, pd.DataFrame([row]), MSE)
    if failing:
        assert line.startswith(f"At 100x {len(failing)} of {len(errors)} seeds of spred-0000 (spred) fail")
    else:
        assert line == ""


def test_the_command_says_it_of_the_setting_it_recommends() -> None:
    coin = by_seed(5 * [1.02, 2.1])
    summary = summarise(
        make_record(
            {"rewa": coin, "lasso": flat(1.022)}, meta=dict(ERROR_META), ratios=ERROR_RATIOS, seeds=SEEDS
        )
    )
    assert any(
        "5 of 10 seeds of rewa-0000 (rewa) fail" in note
        for note in notes(decide(summary, compression=100, method="rewa"))
    )
    steady = decide(summary, compression=100, method="lasso")
    assert not any("fail" in note for note in notes(steady))
    assert "1.022 on test (10 seeds, all 1.022)" in sentences(steady)[0]
