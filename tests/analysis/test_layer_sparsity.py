"""What layers keep, by hand, and of which settings it is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from synthetic import Record, flat, make_record

from analysis.evidence.layers import layer_name, layers_sentence, main_ratio, share_text, shown_settings
from analysis.summary import summarise
from rewa.sweep_tables import LAYER_COLUMNS

WEIGHTS = {"conv": 1000, "fc": 200}


def with_layers(record: Record, kept: dict[str, dict[str, list[int]]], value: float = 100.0) -> Record:
    """`kept` by method, layer and seed, for trial 0; the other trial keeps all."""
    rows: list[tuple[Any, ...]] = []
    for method, layers in kept.items():
        for trial in (0, 1):
            for place, seed in enumerate((1, 2, 3)):
                for layer, counts in layers.items():
                    count = counts[place] if trial == 0 else WEIGHTS[layer]
                    rows.append(
                        (
                            method,
                            f"{method}-{trial:04d}",
                            seed,
                            "confirm",
                            layer,
                            WEIGHTS[layer],
                            value,
                            count,
                        )
                    )
    return replace(record, layers=pd.DataFrame(rows, columns=list(LAYER_COLUMNS)))


def first_is_best(level: float) -> Any:
    return lambda ratio, trial, seed: level - 0.01 * trial


RECORD = with_layers(
    make_record({"rewa": first_is_best(0.9), "spred": first_is_best(0.95), "random": flat(0.1)}),
    {"rewa": {"conv": [10, 20, 30], "fc": [0, 2, 4]}, "spred": {"conv": [8, 8, 8], "fc": [4, 4, 4]}},
)


def test_shares_by_hand() -> None:
    best, rewa = shown_settings(summarise(RECORD))
    assert (best.method, best.trial, best.ratio) == ("spred", "spred-0000", 100.0)
    assert best.table["layer"].tolist() == ["conv", "fc"]
    assert best.table["mean"].tolist() == pytest.approx([0.008, 0.02])
    assert (rewa.method, rewa.trial) == ("rewa", "rewa-0000")
    by_layer = rewa.table.set_index("layer")
    assert by_layer.loc["conv", ["mean", "low", "high"]].tolist() == pytest.approx([0.02, 0.01, 0.03])
    assert by_layer.loc["fc", ["mean", "low", "high"]].tolist() == pytest.approx([0.01, 0.0, 0.02])
    assert by_layer["kept"].tolist() == pytest.approx([20.0, 2.0])
    assert by_layer["bare"].tolist() == [0, 1]
    assert by_layer["seeds"].tolist() == [3, 3]


def test_sentences_by_hand() -> None:
    best, rewa = shown_settings(summarise(RECORD))
    assert layers_sentence(best) == (
        "At 100x, spred (spred-0000) keeps 2 % of fc and 0.8 % of conv; 67 % of what is left is in conv, "
        "which had 83 % of the weights."
    )
    assert layers_sentence(rewa).endswith("fc has no weight left on 1 of 3 seeds.")


def test_one_setting_where_rewa_is_best() -> None:
    record = with_layers(
        make_record({"rewa": first_is_best(0.96), "spred": first_is_best(0.95)}),
        {"rewa": {"conv": [10, 10, 10], "fc": [2, 2, 2]}},
    )
    assert [one.method for one in shown_settings(summarise(record))] == ["rewa"]


def test_validation_chooses() -> None:
    record = make_record({"rewa": first_is_best(0.9), "spred": first_is_best(0.95)})
    on_test = record.frontier["split"] == "test"
    swapped = record.frontier["metric"].where(~on_test, 1.0 - record.frontier["metric"])
    record = with_layers(
        replace(record, frontier=record.frontier.assign(metric=swapped)),
        {m: {"conv": [10, 10, 10], "fc": [2, 2, 2]} for m in ("rewa", "spred")},
    )
    assert [one.method for one in shown_settings(summarise(record))] == ["spred", "rewa"]


def test_the_main_ratio_is_the_headlines() -> None:
    assert main_ratio(summarise(RECORD)) == 100.0
    assert main_ratio(summarise(replace(RECORD, layers=RECORD.layers.assign(value=50.0)))) == 50.0
    assert main_ratio(summarise(make_record({"rewa": flat(0.9)}))) is None


def test_nothing_to_show() -> None:
    one_layer = with_layers(make_record({"rewa": flat(0.9)}), {"rewa": {"conv": [10, 10, 10]}})
    assert shown_settings(summarise(one_layer)) == []
    assert shown_settings(summarise(make_record({}, meta={}))) == []


def test_wording() -> None:
    assert [share_text(s) for s in (0.0, 0.00031, 0.012, 0.5, 1.0)] == [
        "nothing",
        "0.031 %",
        "1.2 %",
        "50 %",
        "100 %",
    ]
    assert [layer_name(n) for n in ("0", "features.3", "1.2", 4)] == [
        "layer 0",
        "features.3",
        "layer 1.2",
        "layer 4",
    ]
