"""The paper's fixed runs on images: what they scale, keep, resume, tabulate and say."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import figure3a, figure3b, image_study, table1
from benchmarks.figure3a_claims import findings
from benchmarks.image_page import data_sentence, is_official
from benchmarks.image_points import COLUMNS, authors, best_at, curve, reach
from benchmarks.image_scales import config_at, paper_schedule_sum
from benchmarks.image_study import ImageStudy, read_options
from rewa.errors import UserError
from rewa.presets import PRESETS
from rewa.training import TrainingResult
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.digits import Digits

NAMES = ("figure3a/rewa", "figure3a/sgd_l1_1e-5", "figure3a/spred_balanced_1e-4")


def digits(*_: Any) -> Digits:
    """LeNet on the digits: one epoch in a blink, whatever the preset."""
    return Digits(WorkloadConfig(epochs=1, batch_size=64), torch.device("cpu"))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_study, "build_workload", digits)


def options(output: Path, *words: str) -> image_study.Options:
    given = ("--scale", "smoke", "--output", str(output), *words)
    return read_options("benchmarks.figure3a", "", "unused", figure3a.NAMES, NAMES, given)


def table(rows: list[tuple[str, int, str, float, float, float]]) -> pd.DataFrame:
    """Points on the test split, raw: (preset, seed, criterion, value, compression, accuracy)."""
    return pd.DataFrame(
        [(p, seed, "test", kind, value, False, c, c, accuracy) for p, seed, kind, value, c, accuracy in rows],
        columns=COLUMNS,
    )


def curves(**heights: list[float]) -> pd.DataFrame:
    """Accuracy at 1, 10, 100 and 1000x of presets of Figure 3a, alike by threshold and by ratio."""
    rows = []
    for name, accuracies in heights.items():
        for kind in ("threshold", "ratio"):
            for c, accuracy in zip((1.0, 10.0, 100.0, 1000.0), accuracies, strict=True):
                rows.append((f"figure3a/{name}", 1, kind, c, c, accuracy))
    return table(rows)


@pytest.mark.parametrize("name", ["figure3a/rewa", "figure3a/spred_original_3e-4", "figure3a/dense"])
def test_a_small_training_spends_the_papers_decay_budget(name: str) -> None:
    """sum(lr_t) * lambda, step by step, at the paper's size (19,500 steps) and here."""
    preset, workload = PRESETS[name], digits()
    config = config_at(preset, "small", workload)
    steps, warm = 19_500, 975
    papers = 0.256 * sum(
        (s + 1) / warm if s < warm else 0.5 * (1 + math.cos(math.pi * (s - warm) / (steps - warm)))
        for s in range(steps)
    )
    here = config["lr"] * sum(workload.schedule(s) for s in range(workload.total_steps))
    assert config["lr"] == pytest.approx(0.256 * 64 / 256)
    assert config["weight_decay"] * here == pytest.approx(preset.config["weight_decay"] * papers, rel=1e-6)
    third = config_at(preset, "small", workload, share=0.3)
    assert third["weight_decay"] == pytest.approx(0.3 * config["weight_decay"])
    assert config_at(preset, "full", workload) == preset.config


def test_adamw_keeps_its_rate_and_l1_its_length() -> None:
    workload = digits()
    adamw = config_at(PRESETS["table1/rewa_adamw_M0"], "small", workload)
    assert adamw["lr"] == 1e-3
    l1 = config_at(PRESETS["figure3a/sgd_l1_1e-4"], "small", workload)
    total = paper_schedule_sum("cifar10")
    assert l1["l1"] * l1["lr"] * workload.schedule_sum == pytest.approx(1e-4 * 0.256 * total)
    assert adamw["weight_decay"] * workload.schedule_sum == pytest.approx(0.2048 * total)


def test_the_authors_curves_are_those_published() -> None:
    """Best accuracy at compression >= X, read off by hand from the published tables."""
    theirs = authors()
    expected = {
        ("figure3a/rewa", 50): 91.87,
        ("figure3a/rewa", 100): 90.24,
        ("figure3a/rewa", 150): 80.37,
        ("figure3a/sgd_l1_1e-5", 33): 90.57,
        ("figure3a/sgd_l1_1e-5", 50): 77.05,
        ("figure3a/sgd_l1_1e-4", 150): 82.34,
        ("figure3a/spred_original_1e-4", 10): 78.28,
        ("figure3a/rewa_no_wd", 8): 36.72,
    }
    for (preset, least), accuracy in expected.items():
        found = best_at(theirs, preset, least)
        assert found is not None
        assert found.mean == pytest.approx(accuracy), (preset, least)
    matching = theirs[theirs["preset"].str.startswith("table1/")].set_index("accuracy_percent")["compression"]
    for compression, accuracy in table1.PAPER:
        assert np.isclose(matching.loc[[accuracy]], compression, rtol=5e-3).any()


def test_best_at_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    rows = [
        ("p", seed, "threshold", float(i), float(c), float(a))
        for seed in (1, 2, 3)
        for i, (c, a) in enumerate(zip(np.exp(rng.uniform(0, 6, 19)), rng.uniform(10, 95, 19), strict=True))
    ]
    points = table(rows)
    for least in (1, 5, 20, 100):
        best = [max(a for _, s, _, _, c, a in rows if s == seed and c >= least) for seed in (1, 2, 3)]
        found = best_at(points, "p", least)
        assert found is not None
        assert (found.mean, found.std) == pytest.approx((np.mean(best), np.std(best, ddof=1)))
    assert best_at(points, "p", 1e9) is None
    recalibrated = points.assign(recalibrated=True, accuracy_percent=99.0)
    assert best_at(pd.concat([points, recalibrated]), "p", 5) == best_at(points, "p", 5)


def test_curves_average_over_seeds_and_leave_out_empty_networks() -> None:
    rows = [("p", 1, "threshold", 0.1, 10.0, 80.0), ("p", 2, "threshold", 0.1, 1000.0, 90.0)]
    rows += [("p", 1, "threshold", 0.5, 50.0, 20.0), ("p", 2, "threshold", 0.5, math.inf, 10.0)]
    found = curve(table(rows), "p", "threshold")
    assert found["compression"].tolist() == pytest.approx([100.0])  # the geometric mean
    assert found["mean"].tolist() == [85.0]
    assert found["std"].tolist() == pytest.approx([50**0.5])


def test_reach_is_the_last_point_within_the_drop_and_nothing_for_a_guess() -> None:
    points = curves(rewa=[92.0, 91.0, 90.5, 40.0], dense=[10.0, 10.0, 10.0, 10.0])
    assert reach(points, "figure3a/rewa", 2.0, "ratio", floor=20) == 100
    assert reach(points, "figure3a/rewa", 1.2, "ratio", floor=20) == 10
    assert reach(points, "figure3a/dense", 2.0, "ratio", floor=20) == 1


def test_verdicts_follow_the_numbers() -> None:
    """The paper's story, its opposite, and runs that learnt nothing."""
    papers = {
        "rewa": [92.0, 92.0, 91.0, 10.0],
        "rewa_no_M_eps": [93.0, 60.0, 10.0, 10.0],
        "rewa_no_wd_M_eps": [93.5, 59.0, 10.0, 10.0],
        "rewa_K2.25_M1.25": [93.0, 70.0, 10.0, 10.0],
        "sgd_l1_1e-5": [94.0, 93.0, 30.0, 10.0],
    }
    story = [claim.verdict for claim in findings(curves(**papers), 0.1)]
    assert story == ["reproduced"] * 5
    swapped = {**papers, "rewa": papers["sgd_l1_1e-5"], "sgd_l1_1e-5": papers["rewa"]}
    keeps, leads, *_ = findings(curves(**swapped), 0.1)
    assert (keeps.verdict, leads.verdict) == ("not reproduced", "not reproduced")
    assert "sgd_l1_1e-5" in leads.evidence
    assert findings(curves(rewa=[12.0, 11.0, 10.0, 10.0]), 0.1) == []


def test_captions_say_what_the_data_are_not(tmp_path: Path) -> None:
    folder = data_sentence(options(tmp_path, "--scale", "small", "--data", "some/cats"), 10)
    assert folder.startswith("cats, images read from a folder: not the official CIFAR-10")
    named = options(tmp_path, "--scale", "full", "--data", "some/cats", "--data-name", "CIFAR-10-JPEG75")
    assert data_sentence(named, 10).startswith("CIFAR-10-JPEG75, ")
    assert not is_official(named)
    official = options(tmp_path, "--scale", "full")
    assert data_sentence(official, 10) == "CIFAR-10, the official files"
    assert is_official(official)


def test_only_and_seeds_select_the_runs(tmp_path: Path) -> None:
    chosen = options(tmp_path, "--only", "spred_balanced_1e-4,figure3a/rewa", "--seeds", "2")
    assert [preset.name for preset in chosen.presets] == ["figure3a/rewa", "figure3a/spred_balanced_1e-4"]
    assert chosen.seeds == (1, 2)
    assert len(chosen.left_out) == len(figure3a.NAMES) - 2
    assert [preset.name for preset in options(tmp_path).presets] == list(NAMES)
    with pytest.raises(UserError, match=r"--only rewa_esp: .*did you mean 'rewa_eps'"):
        options(tmp_path, "--only", "rewa_esp")
    with pytest.raises(UserError, match="--seeds 0: must be at least 1"):
        options(tmp_path, "--seeds", "0")
    with pytest.raises(UserError, match=r"--budget 0\.3: .* for --scale smoke and small only"):
        options(tmp_path, "--scale", "full", "--budget", "0.3")


@pytest.mark.usefixtures("quick")
def test_finished_runs_are_kept_and_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ImageStudy(options(tmp_path)).run("x")
    assert [run.record.trial for run in first] == list(NAMES)
    kept = {run.record.trial: run.record.frontier for run in first}
    assert not list(tmp_path.rglob("checkpoint*"))

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("trained again")

    monkeypatch.setattr(image_study, "fit", never)
    again = ImageStudy(options(tmp_path)).run("x")
    assert {run.record.trial: run.record.frontier for run in again} == kept


@pytest.mark.usefixtures("quick")
def test_a_directory_of_other_runs_is_refused(tmp_path: Path) -> None:
    study = ImageStudy(options(tmp_path))
    with pytest.raises(UserError, match="runs of another scale, budget, workload or data"):
        ImageStudy(options(tmp_path, "--scale", "small"))
    (run,) = ImageStudy(options(tmp_path, "--only", "rewa")).run("x")
    path = tmp_path / "runs" / "figure3a-rewa" / "seed-1" / "result.json"
    path.write_text(
        run.record.model_copy(update={"config": {**run.record.config, "lr": 5.0}}).model_dump_json()
    )
    with pytest.raises(UserError, match="holds a run of other settings"):
        study.run("x")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("module", [figure3a, figure3b, table1])
def test_pages_have_every_run_and_say_that_they_are_toys(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = module.MODULE.rpartition(".")[2]
    words = ["x", "--scale", "smoke", "--output", str(tmp_path), "--json", str(tmp_path / "also.json")]
    monkeypatch.setattr(sys, "argv", words)
    module.main()
    page = (tmp_path / "README.md").read_text()
    assert "toy size" in page
    assert "50,200 convolution and linear weights" in page
    assert f"{tmp_path}/README.md" in capsys.readouterr().out
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((tmp_path / f"{name}.json").read_text())["figures"]
    assert figures == json.loads((tmp_path / "also.json").read_text())["figures"]
    ran = {preset.name.replace("/", "-") for preset in PRESETS.values()} & {
        folder.name for folder in (tmp_path / "runs").iterdir()
    }
    assert len(ran) >= 4
    points = pd.read_csv(tmp_path / "points.csv")
    for row in figures:
        assert f"| {row['preset'].partition('/')[2]} |" in page
        assert row["preset"] in set(points["preset"])


@pytest.mark.parametrize("module", [figure3a, figure3b, table1])
@pytest.mark.usefixtures("quick")
def test_a_page_is_written_when_every_run_diverged(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = TrainingResult("diverged", "the training loss became nan in epoch 1", [], {}, [], 1.0, None)
    monkeypatch.setattr(image_study, "fit", lambda *_, **__: failed)
    monkeypatch.setattr(sys, "argv", ["x", "--scale", "smoke", "--output", str(tmp_path)])
    module.main()
    page = (tmp_path / "README.md").read_text()
    assert page.count("| 0 of 1 (the training loss became nan in epoch 1) |") >= 4
    assert "Nothing to judge" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["figure3a", "figure3b", "table1"])
def test_the_smoke_commands_run(name: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", f"benchmarks.{name}", "--scale", "smoke", "--output", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "scikit-learn's handwritten digits" in (tmp_path / "README.md").read_text()
    wrong = subprocess.run([*words, "--only", "x"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
    assert len(wrong.stderr.strip().splitlines()) == 1
