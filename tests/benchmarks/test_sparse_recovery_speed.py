"""The speed of sparse recovery: what is compared, counted and said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks import sparse_recovery
from benchmarks.sparse_recovery import COLLAPSING, difference, floors, late_over_early, packed, unpacked
from benchmarks.sparse_recovery_page import verdict
from benchmarks.sparse_study import rewa
from rewa.errors import UserError
from rewa.outcome import TrainingResult
from rewa.sparsity.frontier import OperatingPoint
from rewa.workloads.sparse_recovery import SparseRecovery

TOY = {"d": 60, "n": 50, "n_val": 30, "n_test": 40, "epochs": 40, "eval_every": 4}


@pytest.fixture
def toy() -> SparseRecovery:
    torch.set_num_threads(1)
    workload = SparseRecovery.from_values(TOY, torch.device("cpu"))
    assert isinstance(workload, SparseRecovery)
    return workload


def outcome(weights: list[float], mse: float, metrics: list[float]) -> TrainingResult:
    model = nn.Linear(len(weights), 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([weights]))
        model.bias.zero_()
    points = [
        OperatingPoint("val", "ratio", float(i + 1), i + 1.0, i + 1.0, m) for i, m in enumerate(metrics)
    ]
    return TrainingResult("completed", "", points, {"test_mse": mse}, [], 1.0, model)


def test_differences_are_relative_and_the_largest() -> None:
    found = difference(outcome([1.0, -4.2, 0.0], 1.1, [2.0, 3.3]), outcome([1.0, -4.0, 0.1], 1.0, [2.0, 3.0]))
    assert found["weights"] == pytest.approx(0.2 / 4.0, rel=1e-5)
    assert found["test_mse"] == pytest.approx(0.1)
    assert found["frontier"] == pytest.approx(0.1)
    assert found["kept"] == 3


def test_weights_at_zero_are_compared_with_the_threshold() -> None:
    found = difference(outcome([0.0, 1e-6], 1.0, [1.0]), outcome([0.0, 0.0], 1.0, [1.0]))
    assert found["weights"] == pytest.approx(1e-3)
    assert found["kept"] == 0


def test_packed_and_unpacked_trainings_agree_even_where_all_weights_vanish(toy: SparseRecovery) -> None:
    vanishing = rewa("all gone", lr=0.01, weight_decay=20.0)
    given = [sparse_recovery.training(setting, 3) for setting in (rewa("some", lr=0.01, K=5, M=1), vanishing)]
    _, together = packed(toy, given)
    for one, result in zip(given, together, strict=True):
        _, alone = unpacked(toy, one)
        found = difference(result, alone)
        assert max(found["weights"], found["test_mse"], found["frontier"]) < 1e-4
    assert difference(together[1], together[1])["kept"] == 0
    assert COLLAPSING.config["weight_decay"] == 5.0


def test_every_evaluation_is_a_tick(toy: SparseRecovery) -> None:
    ticks: list[float] = []
    packed(toy, [sparse_recovery.training(rewa("any"), 1, ticks)])
    assert len(ticks) == 10
    assert ticks == sorted(ticks)


def test_the_last_third_is_set_against_the_first() -> None:
    assert late_over_early(0.0, [1, 2, 3, 5, 7, 9, 12, 15, 18]) == pytest.approx(3.0)
    assert late_over_early(10.0, [12.0]) == 1.0


def test_the_floor_counts_every_product(toy: SparseRecovery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_recovery, "matmul_rate", lambda *_: 1e6)
    monkeypatch.setattr(sparse_recovery, "copy_rate", lambda *_: 1e5)
    found = floors(toy, trials=5, points=8)
    multiplications = 0
    for epoch in range(1, 41):
        for _ in range(2):  # 50 samples are two batches of 25
            multiplications += 2 * 25 * 60
        if epoch % 4 == 0:
            multiplications += 30 * 60
    multiplications += 4 * (30 + 40) * 60  # eight points are four on each of two splits
    assert found["flops"] == 2 * multiplications
    assert found["bytes"] == 80 * 60 * (4 + 4 + 25 * 4 / 5)
    assert found["seconds"] == pytest.approx(found["flops"] / 1e6 + found["bytes"] / 1e5)


def row(alone: float, each: float, authors: float | None) -> dict[str, Any]:
    found: dict[str, Any] = {"pack_of_one": alone, "grid_per_trial": each}
    return found if authors is None else {**found, "authors": {"seconds": authors}}


def test_the_verdict_says_what_is_met() -> None:
    differences = [{"weights": 3e-7}, {"weights": 2e-6}]
    said = verdict({"threads": {"1": row(10.0, 0.5, 240.0)}, "differences": differences})
    assert "24 times faster than the authors' script (target 25: missed)" in said
    assert "480 times (target 200: met)" in said
    assert "by 2e-06 at most" in said
    assert "takes 10.00 s alone" in verdict(
        {"threads": {"1": row(10.0, 0.5, None)}, "differences": differences}
    )


@pytest.mark.slow
def test_the_command_writes_its_page(tmp_path: Path) -> None:
    words = [
        sys.executable,
        "-m",
        sparse_recovery.MODULE,
        "--scale",
        "smoke",
        "--output",
        str(tmp_path / "out"),
    ]
    words += ["--json", str(tmp_path / "figures.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "out" / "README.md").read_text()
    assert "A toy size" in page
    assert "The authors' script did not run" in page
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert len(figures["differences"]) == len(sparse_recovery.COMPARED)
    assert max(d["weights"] for d in figures["differences"]) < 1e-3
    assert all(min(r["pack_of_one"], r["grid_per_trial"]) > 0 for r in figures["threads"].values())


def test_a_wrong_reference_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["benchmark", "--reference", str(tmp_path), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(UserError, match="is no checkout of the authors' repository"):
        sparse_recovery.main()
    assert not (tmp_path / "out").exists()
