"""What a sweep costs beside its trainings: how it is taken apart, and a real small one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from benchmarks import sweep_overhead
from benchmarks.process_memory import ProcessMemory
from benchmarks.sweep_overhead import verdict
from benchmarks.sweep_overhead_runs import Tiny, space
from rewa.methods import get_method
from rewa.sweep.space_file import load_space
from rewa.training import fit
from rewa.workloads import get_workload

HOLDS = """\
import sys
held = bytearray(80_000_000)
print("ready", flush=True)
sys.stdin.read()
"""


def test_the_space_is_one_that_rewa_accepts(tmp_path: Path) -> None:
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(space(100, 2)))
    loaded = load_space(path)
    assert loaded.trials * len(loaded.methods) == 100
    assert get_workload(loaded.workload_name) is Tiny


def test_the_workload_is_trivial_and_still_measured() -> None:
    torch.set_num_threads(1)
    workload = Tiny.from_values({"epochs": 1, "batch_size": 64}, torch.device("cpu"))
    method = get_method("sgd_l1").from_values({"lr": 0.1, "momentum": 0.9, "l1": 1e-4})
    result = fit(workload, method, 0)
    assert result.model is not None
    assert sum(p.numel() for p in result.model.parameters()) == 10
    assert result.frontier


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's /proc")
def test_memory_is_that_of_a_process_and_of_its_children() -> None:
    own = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLDS!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", own], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        memory = ProcessMemory(process.pid)
        memory.look()
        memory.look()  # a second look counts nothing twice
        process.communicate()
    found = memory.largest()
    assert {role: row["processes"] for role, row in found.items()} == {"driver": 1, "Ray's own": 1}
    assert 80 <= found["Ray's own"]["uss"] < 120
    assert found["driver"]["uss"] < 60
    assert found["Ray's own"]["rss"] >= found["Ray's own"]["uss"]


def test_the_verdict_says_what_is_met() -> None:
    sweep = {"per_trial": 0.15, "to_first_trial": 15.5, "per_trial_steady": None}
    said = verdict({"sweep": sweep})
    assert "0.150 s beside its training (target 0.2 s: met);" in said
    assert "15.5 s after the command (target 15 s: missed)" in said
    assert "0.080 s after the first fifth" in verdict({"sweep": {**sweep, "per_trial_steady": 0.08}})


@pytest.mark.slow
@pytest.mark.benchmark_command
@pytest.mark.timeout(600)
def test_a_small_sweep_is_taken_apart(tmp_path: Path) -> None:
    words = [sys.executable, "-m", sweep_overhead.MODULE, "--scale", "smoke", "--output", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "sweep_overhead.json").read_text())["figures"]
    sweep = figures["sweep"]
    assert sweep["trials"] == 6
    assert sweep["confirm_trials"] == 2
    spent = sweep["to_first_trial"] + sweep["search"] + sweep["confirm"] + sweep["to_end"]
    assert spent == pytest.approx(sweep["seconds"])
    assert 0 < sweep["search_training"] < 2 * sweep["search"]
    assert sweep["memory_mb"]["workers"]["uss"] > 50
    calls = {part["part"]: part["calls"] for part in figures["parts"]}
    assert calls["records: to disk"] == 8
    assert figures["floor"]["none"] > 0
    assert "A toy size" in (tmp_path / "README.md").read_text()
