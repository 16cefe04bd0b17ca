"""A sweep over a user's own workload and method, with data at a path relative to where it is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rewa.record import load_record

MINE = """\
import torch
from rewa.methods.magnitude import Magnitude
from rewa.workloads.images import ImageConfig
from rewa.workloads.tensors import TensorClassification


class LinesConfig(ImageConfig):
    pass


class Lines(TensorClassification):
    name, summary, model_name, classes, Config = "lines", "left or right of a line", "1-8-2", 2, LinesConfig

    def load_splits(self):
        x = torch.tensor([float(line) for line in open(self.config.root)])
        parts = {split: x[i::3] for i, split in enumerate(("train", "val", "test"))}
        return {split: (part[:, None], (part > 0).long()) for split, part in parts.items()}

    def build_network(self):
        return torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))


class Halved(Magnitude):
    name, summary = "halved", "half of what its rival takes"
"""

SPACE = """\
name: lines
workload: {name: "lines_of_mine:Lines", root: numbers.txt, epochs: 12, batch_size: 16}
objective: {max_compression: 5, reference: 0.5}
trials: 1
confirm: {settings: 1, seeds: 1}
methods:
  sgd_l1:
    sample:
      lr: {log_uniform: [0.05, 0.5]}
    fixed: {momentum: 0.9, l1: 1.0e-4}
    known:
      - {lr: 0.2}
  "lines_of_mine:Halved":
    sample:
      lr: {log_uniform: [0.05, 0.5]}
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_own_workload_and_a_relative_path_reach_the_workers(tmp_path: Path, tracking_uri: str) -> None:
    (tmp_path / "lines_of_mine.py").write_text(MINE)
    (tmp_path / "numbers.txt").write_text("\n".join(str((i * 37 % 101 - 50.5) / 50) for i in range(606)))
    (tmp_path / "space.yaml").write_text(SPACE)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "rewa",
            "sweep",
            "space.yaml",
            "--output",
            "out",
            "--tracking-uri",
            tracking_uri,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=380,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    own = load_record(tmp_path / "out" / "trials" / "lines_of_mine.Halved-0000")
    assert (own.status, own.method) == ("completed", "lines_of_mine:Halved")
    record = load_record(tmp_path / "out" / "trials" / "sgd_l1-0000")
    assert (record.status, record.workload["name"]) == ("completed", "lines")
    assert record.metric_at("test")[1] > 0.9
