"""Numbers and commands as text."""

from __future__ import annotations

import math
import shlex

import pytest
from synthetic import CONFIG, config

from analysis import text
from analysis.tables import natural_key, order_methods


def test_setting_is_readable_and_command_exact() -> None:
    found = text.config_of(config("rewa", 0), CONFIG)
    assert text.setting(found) == "lr=0.0621 momentum=0.9 weight_decay=0.0013 K=9 M=1.74"
    assert text.train_command("digits", "rewa", found, 40, 1) == (
        "rewa train digits rewa --set lr=0.062134567891 --set momentum=0.9 "
        "--set weight_decay=0.0013 --set K=9 --set M=1.7423456789 --epochs 40 --seed 1"
    )


def test_command_quotes_text_and_leaves_out_what_is_unknown() -> None:
    found = text.config_of(config("spred", 0), CONFIG)
    command = text.train_command("digits", "spred", found, None, 3)
    assert "--epochs" not in command
    assert "init=zero product" in shlex.split(command)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (text.percent(0.9714), "97.1 %"),
        (text.mean_std(0.971, 0.002), "97.1 \u00b1 0.2"),
        (text.mean_std(0.971, math.nan), "97.1"),
        (text.mean_std(math.nan, math.nan), text.DASH),
        (text.points(-0.004), "0.4"),
        (text.points(0.0004), "0.04"),
        (text.points(0.00001), "less than 0.01"),
        (text.ratio(8.876), "8.88x"),
        (text.ratio(150.4), "150x"),
        (text.ratio(math.inf), "all weights zero"),
        (text.ratio(math.nan), text.DASH),
        (text.duration(45.2), "45 s"),
        (text.duration(600), "10 min"),
        (text.duration(5025), "1 h 24 min"),
        (text.join(["a", "b", "c"]), "a, b and c"),
        (text.join([]), ""),
        (text.in_turn(["1", "2", "1"]), "1, 2 and 1"),
        (text.in_turn(["1", "1", "1"]), "1"),
        (text.in_turn([]), ""),
        (
            [text.ordinal(n) for n in (1, 2, 3, 4, 11, 22)],
            ["1st", "2nd", "3rd", "4th", "11th", "22nd"],
        ),
        (text.config_value(True), "True"),
        (text.config_value(3e-4), "0.0003"),
    ],
)
def test_numbers(found: object, expected: object) -> None:
    assert found == expected


def test_methods_known_first_controls_last() -> None:
    names = ["random", "zeta", "sgd_l1", "magnitude", "alpha", "rewa"]
    assert order_methods(names) == ["rewa", "sgd_l1", "alpha", "zeta", "magnitude", "random"]


def test_trials_sort_by_number() -> None:
    assert sorted(["rewa-10", "rewa-2"], key=natural_key) == ["rewa-2", "rewa-10"]
