"""A sweep whose trials train one model on two processes each: Ray Train inside Ray Tune."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rewa.methods import get_method
from rewa.record import load_record
from rewa.training import fit
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.digits import Digits

SPACE = """\
name: together
workload: {name: digits, epochs: 2}
trials: 1
confirm: {settings: 1, seeds: 1}
resources: {cpu: 1, workers: 2}
methods:
  sgd_l1:
    sample:
      lr: {log_uniform: [0.05, 0.2]}
    fixed: {momentum: 0.9, l1: 1.0e-4}
    known:
      - {lr: 0.1}
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_trial_of_two_workers_is_a_trial_of_one(tmp_path: Path, tracking_uri: str) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    words = ["sweep", "space.yaml", "--output", "out", "--tracking-uri", tracking_uri]
    words += ["--storage", f"file://{tmp_path}/shared"]  # where machines that train together meet
    done = subprocess.run(
        [sys.executable, "-m", "rewa", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 completed" in done.stdout
    record = load_record(tmp_path / "out" / "trials" / "sgd_l1-0000")
    assert record.config["lr"] == 0.1
    method = get_method("sgd_l1").from_values(record.config)
    single = fit(Digits(WorkloadConfig(epochs=2), torch.device("cpu")), method, record.seed)
    losses = [epoch.train_loss for epoch in single.history]
    assert [epoch.train_loss for epoch in record.history] == pytest.approx(losses, rel=1e-4)
    accuracy = {p.value: p.metric for p in single.frontier if (p.split, p.criterion) == ("val", "ratio")}
    assert record.metric_at("val") == pytest.approx(accuracy, abs=0.02)
    assert not list((tmp_path / "out").glob("checkpoints/*"))
    assert (tmp_path / "shared" / "together" / "trials" / "sgd_l1-0000" / "result.json").is_file()


@pytest.mark.slow
def test_more_workers_than_cores_are_refused(tmp_path: Path, tracking_uri: str) -> None:
    (tmp_path / "space.yaml").write_text(SPACE.replace("workers: 2", "workers: 999"))
    done = subprocess.run(
        [sys.executable, "-m", "rewa", "sweep", "space.yaml", "--tracking-uri", tracking_uri],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2
    assert "resources.cpu = 1 for each of 999 workers" in done.stderr
    assert done.stderr.count("\n") == 1
