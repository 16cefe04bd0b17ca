"""A sweep whose driver and output directory are lost goes on from shared storage, with the same results."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.tracking import read_sweep

SPACE = """\
name: stored
workload: {name: digits, epochs: 2}
objective: {max_compression: 50, reference: 0.3}
trials: 6
confirm: {settings: 1, seeds: 2}
methods:
  magnitude:
    sample:
      lr: {log_uniform: [0.02, 0.2]}
    known:
      - {lr: 0.1}
  sgd_l1:
    sample:
      lr: {log_uniform: [0.02, 0.2]}
    fixed: {l1: 1.0e-4}
"""


def results(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*/result.json")}


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_a_lost_directory_is_not_a_lost_sweep(tmp_path: Path, tracking_uri: str) -> None:
    (tmp_path / "space.yaml").write_text(SPACE)
    words = [sys.executable, "-m", "rewa", "sweep", "space.yaml", "--tracking-uri", tracking_uri]
    stored = tmp_path / "shared" / "mine"
    first = ["--name", "mine", "--output", "first", "--storage", f"file://{tmp_path}/shared"]
    driver = subprocess.Popen([*words, *first], cwd=tmp_path, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while len(results(stored)) < 3 and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.1)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    kept = results(stored)
    assert 3 <= len(kept) < 12
    assert kept.items() <= results(tmp_path / "first").items()
    shutil.rmtree(tmp_path / "first")

    environment = {**os.environ, "REWA_STORAGE": f"file://{tmp_path}/shared"}
    again = ["--name", "mine", "--output", "second", "--resume"]
    done = subprocess.run(
        [*words, *again], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr
    assert "'mine' is complete" in done.stdout
    assert "--sweep mine" in done.stdout
    after = results(tmp_path / "second")
    assert kept.items() <= after.items()
    assert results(stored) == after
    folder = SweepFolder(tmp_path / "second")
    searched: list[Record] = folder.records("search")
    assert Counter(record.method for record in searched) == {"magnitude": 6, "sgd_l1": 6}
    assert len({record.trial for record in searched}) == 12
    assert len({(record.method, record.config["lr"]) for record in searched}) == 12
    assert not list(stored.glob("checkpoints/*"))
    runs = read_sweep(tracking_uri, "mine").runs
    assert Counter(zip(runs["trial"], runs["phase"], runs["seed"], strict=True)) == Counter(
        record.key for record in searched + folder.records("confirm")
    )

    other = subprocess.run(
        [*words, "--name", "mine", "--output", "third"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert other.returncode == 2
    assert "holds another sweep" in other.stderr
