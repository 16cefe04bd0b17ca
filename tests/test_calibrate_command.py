"""`rewa calibrate` as a command: what it prints, its exit status, and its files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from planted_sweep import knee, plant, training

from rewa.calibrate_command import asked_targets
from rewa.sweep.folder import SweepFolder

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    return plant(tmp_path_factory.mktemp("sweep") / "out")


def test_sparsity_and_compression_ask_the_same(folder: SweepFolder, cli: Cli) -> None:
    answers = [
        json.loads(cli("calibrate", str(folder.path), "--json", *words)[1])
        for words in (("--sparsity", "90,95"), ("--compression", "20,10"))
    ]
    assert answers[0] == answers[1]
    assert [one["target"] for one in answers[0]["targets"]] == [10.0, 20.0]


def test_the_planted_penalty_is_found(folder: SweepFolder, cli: Cli) -> None:
    status, out, err = cli(
        "calibrate", str(folder.path), "--by", "weight_decay", "--compression", "20", "--json"
    )
    assert (status, err) == (0, "")
    told = json.loads(out)
    (one,) = told["targets"]
    number = math.log(20.0 / math.sqrt(0.1) / 10.0) / math.log(1.4)  # where a point is lost at 20x
    assert knee("rewa", 0) * 1.4**number * math.sqrt(0.1) == pytest.approx(20.0)
    assert one["value"] == pytest.approx(
        1e-4 * math.sqrt(2) ** number, rel=0.35
    )  # the targets are a coarse grid
    assert one["low"] <= one["value"] <= one["high"]
    assert told["correlations"]["weight_decay"]["rho"] == pytest.approx(1.0, abs=0.02)
    assert one["confirmed"]["trial"] == "rewa-0008"
    assert one["confirmed"]["test_values"] == [
        training("rewa", 8, "confirm", seed).metric_at("test")[20.0] for seed in (1, 2)
    ]
    assert one["suggestion"]["command"].count(f"weight_decay={one['suggestion']['weight_decay']!r}") == 1


def test_text_names_value_setting_and_what_was_not_trained(
    folder: SweepFolder, cli: Cli, tmp_path: Path
) -> None:
    picture = tmp_path / "a.png"
    words = ("--sparsity", "95", "--plot", str(picture))
    status, out, err = cli("calibrate", str(folder.path), *words)
    said = " ".join(out.split())
    assert (status, err) == (0, "")
    assert said.startswith("rewa: decay_budget ")
    assert "reached 20x (95 % sparsity), within 1 point of each trial's own unpruned accuracy." in said
    assert "For 20x, trained: rewa-" in said
    assert "Not trained yet, so without a test number: rewa-" in said
    lines = [line for line in out.splitlines() if line.startswith("rewa train digits rewa ")]
    assert len(lines) == 2
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_without_targets_the_reports_are_taken(folder: SweepFolder, cli: Cli) -> None:
    status, out, _ = cli("calibrate", str(folder.path))
    assert status == 0
    assert "settings for other targets: add --compression or --sparsity" in out
    assert "For 100x, trained: rewa-" in " ".join(out.split())
    assert "For 10x, trained" not in out, "the table has it; settings are the main target's"
    assert "rewa train digits rewa " in out
    told = json.loads(cli("calibrate", str(folder.path), "--json")[1])
    assert [one["target"] for one in told["targets"]] == [10.0, 100.0]


def test_no_relation_is_status_1(folder: SweepFolder, cli: Cli) -> None:
    status, out, err = cli("calibrate", str(folder.path), "--method", "magnitude", "--compression", "5")
    assert (status, err) == (1, "")
    said = " ".join(out.split())
    assert "told for magnitude: all 12 trials that can be fitted reached 2.32x, " in said
    status, out, _ = cli("calibrate", str(folder.path), "--compression", "5000")
    assert status == 1
    assert "more was not reached" in " ".join(out.split())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--compression", "10", "--sparsity", "90"), "give either --compression or --sparsity"),
        (("--compression", "ten"), "must be numbers separated by commas, such as 10,100"),
        (("--compression", "1"), "must be above 1"),
        (("--sparsity", "0.9"), "must be percent"),
        (("--sparsity", "100"), "must be percent"),
        (("--within", "-1"), "--within -1: must be at least 0"),
        (("--plot", "a.pdf"), "must be a .png in a directory that exists"),
        (("--method", "spred"), "has rewa and magnitude"),
        (("--by", "l1"), "did not vary among the trials of rewa; these did: "),
    ],
)
def test_bad_input_is_one_sentence(
    folder: SweepFolder, cli: Cli, words: tuple[str, ...], message: str
) -> None:
    status, out, err = cli("calibrate", str(folder.path), *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_targets_are_read_exactly() -> None:
    assert asked_targets("100, 10,10", None) == [10.0, 100.0]
    assert asked_targets(None, "90,99,99.9") == [10.0, 100.0, 1000.0]
    assert asked_targets(None, None) == []
