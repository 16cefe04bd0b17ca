"""The figures' runs are what ``rewa train`` would give, are kept, and are not repeated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from benchmarks import figure1, figure2, sparse_study, table2
from benchmarks.claims import Claim, claims_table, judge
from benchmarks.sparse_study import Setting, Study, recovered, rewa
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.theory import growth_threshold
from rewa.training import fit

TOY = {"d": 40, "n": 120, "n_val": 50, "n_test": 80, "epochs": 60, "k": 2}
SETTINGS = [
    rewa("ReWA", lr=0.01, K=5, M=1),
    Setting("SGD-L1", "sgd_l1", {"lr": 0.01, "l1": 0.05, "momentum": 0.0}),
    Setting("Spred", "spred", {"lr": 0.01, "weight_decay": 0.05, "momentum": 0.0}),
    Setting("LASSO", "lasso", {"lambda_fraction": 0.2}),
]


def toy(folder: Path, **changes: Any) -> Study:
    return Study(folder, "full", **{**TOY, **changes})


def test_packed_runs_are_those_of_fit(tmp_path: Path) -> None:
    """Every finding of every method, from the packed loop and from the ordinary one."""
    study = toy(tmp_path)
    table = study.run(SETTINGS, [3, 4])
    assert list(table["label"]) == [s.label for _ in range(2) for s in SETTINGS]
    for row in table.to_dict("records"):
        method = get_method(row["method"]).from_values(json.loads(row["config"]))
        alone = fit(study.workload, method, int(row["seed"])).findings
        for name in ("test_mse", "estimation_error", "support_size", "support_f1"):
            assert row[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-5), (row["label"], name)
        sparsity = alone["sparsity"]
        assert isinstance(sparsity, dict)
        assert row["sparsity@0.001"] == pytest.approx(sparsity["0.001"])
    torch.manual_seed(3)
    first = float(study.workload.build_model().weight.detach()[0, 0])
    assert table["first_weight"].iloc[0] == pytest.approx(first)


def test_runs_that_are_there_are_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = toy(tmp_path).run(SETTINGS[:2], [3])

    def never(*_: Any, **__: Any) -> None:
        pytest.fail("trained again")

    monkeypatch.setattr(sparse_study, "train_packed", never)
    again = toy(tmp_path).run(SETTINGS[:2], [3])
    pd.testing.assert_frame_equal(before, again, check_dtype=False)


def test_a_planted_start_replaces_the_first_weight_only(tmp_path: Path) -> None:
    study = toy(tmp_path, k=1)
    table = study.run([SETTINGS[0]], [3], starts=[-0.05, 0.05])
    assert table["first_weight"].tolist() == pytest.approx([-0.05, 0.05])
    assert table["start"].tolist() == [-0.05, 0.05]
    assert study.run([SETTINGS[0]], [3])["start"].isna().all()


def test_runs_of_another_workload_are_refused(tmp_path: Path) -> None:
    toy(tmp_path)
    with pytest.raises(UserError, match="other workload settings"):
        toy(tmp_path, k=3)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["figure1", "figure2"])
def test_the_commands_run_and_say_where_things_are(module: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    words = [sys.executable, "-m", f"benchmarks.{module}", "--scale", "smoke", "--seeds", "9913"]
    words += ["--output", str(output), "--json", str(tmp_path / "x.json")]
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "80"}
    )
    assert done.returncode == 0, done.stderr
    assert f"{output}/README.md" in done.stdout
    page = (output / "README.md").read_text()
    assert "--scale smoke" in page
    assert "toy size" in page
    assert (output / f"{module}.png").read_bytes().startswith(b"\x89PNG")
    figures = json.loads((tmp_path / "x.json").read_text())
    assert figures["provenance"]["versions"]["torch"]
    assert len(figures["figures"]) == (26 if module == "figure1" else 22)


def test_a_directory_that_cannot_be_written_ends_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = [sys.executable, "-m", "benchmarks.figure1", "--scale", "smoke"]
    words += ["--output", str(tmp_path / "file" / "x")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_grid_is_the_papers() -> None:
    configs = [s.config for s in figure1.grid()]
    assert len(configs) == 26
    assert all(c["M"] < c["K"] and c["M"] % 2 == 0 for c in configs)
    assert {c["lr"] for c in configs} == {2e-4}
    assert {c["weight_decay"] for c in configs} == {0.25}


def test_growth_threshold_by_hand_and_by_iterating_eq_3() -> None:
    """K = 9, M = 4, lambda = 1/4, g = 2: (1/8)^3. Then 1 % above it y grows, 1 % below it shrinks."""
    assert growth_threshold(9, 4, 0.25, 2.0) == pytest.approx(1 / 512)
    assert growth_threshold(9, 1, 0.25, 2.0) == growth_threshold(9, 0.5, 9.0, 2.0) == 0
    assert growth_threshold(9, 1, 3.0, 2.0) == float("inf")
    for K, M, decay, gradient in [(9, 4, 0.25, 2.0), (5, 2, 0.3, 1.0), (3.5, 2.2, 0.1, 3.0)]:
        limit = growth_threshold(K, M, decay, gradient)
        for factor, grows in ((1.01, True), (0.99, False)):
            y = y0 = (factor * limit) ** (1 / K)
            for _ in range(100):
                y -= 1e-3 * (-(y**M) * gradient + decay * y)
            assert (y > y0) == grows
    with pytest.raises(ValueError, match="gradient = 0"):
        growth_threshold(9, 4, 0.25, 0.0)


def test_recovered_needs_every_true_weight_and_no_other() -> None:
    runs = pd.DataFrame({"support_recall": [1, 1, 0.5], "support_precision": [1, 0.5, 1]})
    assert recovered(runs).tolist() == [True, False, False]


def test_verdicts() -> None:
    assert judge([True, True]) == "reproduced"
    assert judge([True, False]) == "partly"
    assert judge([False]) == "not reproduced"
    text = claims_table([Claim("a", "b", "partly", "1 of 2")])
    assert text.splitlines()[-1] == "| a (b) | **partly** | 1 of 2 |"


def planted(sparsities: list[float], errors: list[float], hits: list[int]) -> pd.DataFrame:
    rows = zip(sparsities, errors, hits, strict=True)
    return pd.DataFrame(
        [
            {
                "panel": "c",
                "label": f"M={i}",
                "sparsity@1e-07": s,
                "kept": int(e < 2),
                "recovered": h,
                "runs": 3,
            }
            for i, (s, e, h) in enumerate(rows)
        ]
    )


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        (planted([0.1, 0.5, 0.9], [1.1, 1.1, 1.0], [0, 2, 3]), "reproduced"),
        (planted([0.1, 0.5, 1.0], [1.1, 1.0, 2.1], [0, 3, 0]), "partly"),  # sparser, but empty
        (planted([0.9, 0.5, 0.1], [1.0, 1.0, 1.0], [3, 3, 0]), "not reproduced"),
    ],
)
def test_sparser_by_losing_the_signal_is_not_reproduced(table: pd.DataFrame, verdict: str) -> None:
    claim = figure2._ablation(table, "c", "larger M is sparser")
    assert claim.verdict == verdict
    assert ("lost the true weight at M=2" in claim.evidence) == (verdict == "partly")


def test_table_2_quotes_medians_and_ratios() -> None:
    def runs(*seconds: float) -> list[dict[str, float]]:
        return [
            {
                "seconds": s,
                "peak": 3e8,
                "peak_of_training": 1e6,
                "data": 2e8,
                "gpu_peak": 0,
                "late_over_early": 1.0,
            }
            for s in seconds
        ]

    rows = table2.table({"sgd_l1": runs(10, 30, 11), "rewa": runs(22, 20, 90), "sgd": runs(9, 9, 9)})
    assert [row["seconds"] for row in rows] == [11, 22, 9]
    assert rows[1]["time_ratio"] == 2.0
    assert rows[1]["seconds_max"] == 90
