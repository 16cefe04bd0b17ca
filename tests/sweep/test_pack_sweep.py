"""A real sweep whose tasks are packs: every trial is kept once, everywhere, and the sweep can be enlarged."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pytest
import torch

from rewa.methods import get_method
from rewa.record import Record, load_record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.studies import open_storage
from rewa.tracking import read_sweep
from rewa.training import fit
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.digits import Digits

SPACE = """\
name: packed
workload: {name: digits, epochs: 2}
objective: {max_compression: 50, reference: 0.3}
trials: 4
confirm: {settings: 2, seeds: 2}
resources: {cpu: 1, pack: 3}
methods:
  rewa:
    sample:
      lr: {log_uniform: [0.02, 0.1]}
    fixed: {K: 3, M: 1, weight_decay: 1.0e-3}
    known:
      - {lr: 0.05}
  magnitude:
    sample:
      lr: {log_uniform: [0.02, 0.2]}
      weight_decay: {log_uniform: [1.0e-4, 1.0e-2]}
  rewa_adamw:
    sample:
      lr: {log_uniform: [0.001, 0.01]}
"""
METHODS = ("rewa", "magnitude", "rewa_adamw")


def sweep(folder: Path, uri: str, *more: str) -> str:
    words = ["sweep", "space.yaml", "--output", "out", "--tracking-uri", uri, *more]
    done = subprocess.run(
        [sys.executable, "-m", "rewa", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "is complete" in done.stdout
    return done.stdout


def check(out: Path, uri: str, trials: int) -> list[Record]:
    """Every trial once: in the folder, in Optuna with its score, in MLflow."""
    folder = SweepFolder(out)
    searched, confirmed = folder.records("search"), folder.records("confirm")
    assert Counter(record.method for record in searched) == dict.fromkeys(METHODS, trials)
    assert {record.status for record in searched + confirmed} == {"completed"}
    names = sorted(f"{method}-{number:04d}" for method in METHODS for number in range(trials))
    assert sorted(record.trial for record in searched) == names
    assert len({json.dumps(record.config) for record in searched}) == len(names)
    assert {record.seed for record in confirmed} == {1, 2}
    storage = open_storage(folder)
    told = {}
    for method in METHODS:
        for one in optuna.load_study(study_name=f"packed/{method}", storage=storage).trials:
            assert one.state == optuna.trial.TrialState.COMPLETE
            told[f"{method}-{one.number:04d}"] = one.value
    assert told == {record.trial: record.score for record in searched}
    runs = read_sweep(uri, "packed").runs
    assert Counter(zip(runs["trial"], runs["phase"], runs["seed"], strict=True)) == Counter(
        record.key for record in searched + confirmed
    )
    assert not list(out.glob("checkpoints/*"))
    return searched + confirmed


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_packed_sweep(tmp_path: Path, tracking_uri: str) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    out = tmp_path / "out"
    sweep(tmp_path, tracking_uri)
    first = check(out, tracking_uri, 4)
    for record in (load_record(out / "trials" / f"{method}-0003") for method in METHODS):
        method = get_method(record.method).from_values(record.config)
        single = fit(Digits(WorkloadConfig(epochs=2), torch.device("cpu")), method, record.seed)
        assert [e.train_loss for e in record.history] == pytest.approx(
            [e.train_loss for e in single.history], rel=1e-5
        )
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/*/result.json")}
    sweep(tmp_path, tracking_uri, "--resume", "--trials", "6")
    check(out, tracking_uri, 6)
    assert len(before) == len(first)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
