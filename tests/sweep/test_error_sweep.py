"""A real sweep of a workload judged by an error, with gradient methods and solvers side by side."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SPACE = """\
# a toy
name: toy
workload: {name: sparse_recovery, d: 400, n: 300, n_val: 200, n_test: 200, k: 4, epochs: 30}
objective: {max_compression: 100, reference: 5.0}
trials: 3
confirm: {settings: 1, seeds: 2}
methods:
  rewa:
    sample: {lr: {log_uniform: [1.0e-2, 3.0e-2]}}
    fixed: {momentum: 0, epsilon: 0, K: 9, M: 0.5, weight_decay: 0.1}
  sgd_l1:
    sample: {l1: {log_uniform: [0.1, 0.5]}}
    fixed: {momentum: 0, lr: 5.0e-3}
  mcp:
    sample: {lambda_fraction: {log_uniform: [0.1, 0.5]}}
"""


def test_it_searches_confirms_and_reports_the_lowest_error(tmp_path: Path, migrated_store: Path) -> None:
    (tmp_path / "toy.yaml").write_text(SPACE)
    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    store = ["--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    command = ["-c", "from rewa.cli import main; main()", "sweep", "toy.yaml", "--output", "out", *store]
    assert "15 completed" in run(*command)
    out = run("-m", "analysis.report", "--sweep", "toy", "--output", "out", *store)
    assert "lower than" in out.splitlines()[0]

    results = [json.loads(path.read_text()) for path in tmp_path.glob("out/*/*/result.json")]
    assert all("sparsity" in result for result in results)
    scores = {r["trial"]: r["score"] for r in results if r["phase"] == "search" and r["method"] == "mcp"}
    confirmed = {r["trial"] for r in results if r["phase"] == "confirm" and r["method"] == "mcp"}
    assert confirmed <= set(scores)

    frontier, pareto = (pd.read_csv(tmp_path / "out" / name) for name in ("frontier.csv", "pareto.csv"))
    assert {"mse", "compression"} <= set(frontier)
    assert "accuracy" not in frontier
    asked = pareto[pareto["question"] == "mse@100x"].set_index("method")
    assert set(asked.index) == {"rewa", "sgd_l1", "mcp"}
    best = asked["test_mse_mean"].idxmin()
    assert f"At 100x compression {best} leads" in out
    # what is reported for mcp is the mean test error of its confirmation runs at 100x
    at_100 = [r["metrics"]["test_mse/at_100x"] for r in results if r["trial"] == asked.loc["mcp", "trial"]]
    own = frontier.query("method == 'mcp' and split == 'test' and value == 100 and phase == 'confirm'")
    assert asked.loc["mcp", "test_mse_mean"] == pytest.approx(own["mse"].mean())
    assert own["mse"].isin(at_100).all()
