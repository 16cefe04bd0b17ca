"""The packed sweep's benchmark: what it compares, and its floor."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.packed_sweep import Unpacked, floor_seconds, space_with
from rewa.methods import get_method
from rewa.packs import can_pack
from rewa.training import fit, pick_device
from rewa.workloads.digits import Digits


def test_the_baseline_is_left_to_fit() -> None:
    cpu = pick_device("cpu")
    assert can_pack(Digits.from_values({}, cpu), get_method("rewa"))
    assert not can_pack(Unpacked.from_values({}, cpu), get_method("rewa"))


def test_variants_differ_in_workload_and_pack_only() -> None:
    one, other = space_with("a:B", 1, "full"), space_with("digits", None, "full")
    assert other["resources"]["pack"] > 1 == one["resources"]["pack"]
    one["workload"]["name"], one["resources"]["pack"] = "digits", other["resources"]["pack"]
    assert one == other


def test_the_floor_counts_the_operations_of_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against torch's own counter over a whole training with its frontier."""
    monkeypatch.setattr("benchmarks.packed_sweep.matmul_rate", lambda *_, **__: 1e9)
    workload = Unpacked.from_values({"epochs": 2}, pick_device("cpu"))
    method = get_method("magnitude").from_values({"lr": 0.1})
    torch.set_num_threads(1)
    with FlopCounterMode(display=False) as counter:
        fit(workload, method, 0)
    floor = floor_seconds(workload)
    assert floor["seconds"] == floor["gflop"]
    # points that leave the same weights share an evaluation, so a training may take a little less
    assert counter.get_total_flops() / 1e9 == pytest.approx(floor["gflop"], rel=0.2)
    assert counter.get_total_flops() / 1e9 <= floor["gflop"] * 1.001


@pytest.mark.slow
@pytest.mark.benchmark_command
@pytest.mark.timeout(900)
def test_the_whole_command_runs(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks.packed_sweep", "--scale", "smoke"]
    words += ["--output", str(tmp_path / "out"), "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())["figures"]
    assert set(figures["sweeps"]) == {"unpacked", "packs of one", "packed"}
    assert all(run[0]["trainings"] >= 10 for run in figures["sweeps"].values())
    assert (tmp_path / "out" / "README.md").read_text().startswith("# The default sweep, packed")
