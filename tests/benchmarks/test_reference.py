"""The authors' code is run from a checkout as it is; here, from stand-ins of the same layout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.reference import LINEAR_FILE, OPTIMIZER_FILE, authors_optimizer, run_authors_linear
from rewa.errors import RunError, UserError

OPTIMIZER = """\
import torch
import a_logger_nobody_has
from a_tracker_nobody_has.writer.here import Writer, Reader
from torch import optim

class ELLOptimizer(optim.Optimizer):
    writer = Writer
    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
"""
LINEAR = """\
import time
import a_logger_nobody_has
from dataset import PAUSE

def train(args):
    print("drawing")
    time.sleep(PAUSE)
    for epoch in range(1, args.epochs + 1):
        print("epoch:{}/{}---".format(epoch, args.epochs))
        time.sleep(PAUSE * epoch)
        print("loss: a", epoch)
    values = (args.order, args.ell_t, args.kappa, args.learning_rate, args.dim, args.dataset_len)
    assert values == (9, 4, 5e-5, 2e-4, 70, 30), values
    import torch
    return {"Test Loss": args.batch_size + torch.get_num_threads() / 10}
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose optimizer does nothing and whose script sleeps."""
    files = {OPTIMIZER_FILE: OPTIMIZER, LINEAR_FILE: LINEAR}
    files[LINEAR_FILE.with_name("dataset.py")] = "PAUSE = 0.1\n"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_optimizer_is_theirs_and_leaves_no_trace(checkout: Path) -> None:
    before, paths = set(sys.modules), list(sys.path)
    kind = authors_optimizer(checkout)
    parameter = torch.nn.Parameter(torch.ones(2))
    assert isinstance(kind([parameter], lr=0.1), torch.optim.Optimizer)
    assert kind.__dict__["writer"].__name__ == "Writer"
    assert sys.path == paths
    assert not {name for name in set(sys.modules) - before if "nobody_has" in name or "authors" in name}


def test_what_is_installed_is_not_replaced(checkout: Path) -> None:
    path = checkout / OPTIMIZER_FILE
    path.write_text(path.read_text() + "    concat = torch.cat\n")
    assert authors_optimizer(checkout).__dict__["concat"] is torch.cat


@pytest.mark.slow
def test_the_script_is_timed_epoch_by_epoch(checkout: Path) -> None:
    run = run_authors_linear(checkout, epochs=3, d=70, n=30, batch_size=5, threads=2)
    assert run.test_mse == pytest.approx(5.2)
    slept = [0.1, 0.2, 0.3]  # a busy machine may make them longer, never shorter
    assert all(0 <= found - s < 0.5 for found, s in zip(run.epoch_seconds, slept, strict=True))
    assert 0.1 <= run.seconds - sum(run.epoch_seconds) < 0.6
    assert run.seconds_per_epoch == sorted(run.epoch_seconds)[1]


def test_what_is_wrong_is_said_in_one_sentence(checkout: Path) -> None:
    with pytest.raises(UserError, match=r"no checkout of the authors' repository, .*ell\.py is not there"):
        authors_optimizer(checkout / "ReWA-main")
    (checkout / LINEAR_FILE).write_text("def train(args):\n    raise ValueError('no data')\n")
    with pytest.raises(RunError, match=r"linear_case\.py: ValueError: no data"):
        run_authors_linear(checkout, epochs=1)
    (checkout / OPTIMIZER_FILE).write_text("1 / 0\n")
    with pytest.raises(UserError, match=r"ell\.py: cannot be imported \(ZeroDivisionError: .*\)"):
        authors_optimizer(checkout)
    (checkout / OPTIMIZER_FILE).write_text("")
    with pytest.raises(UserError, match="has no class ELLOptimizer"):
        authors_optimizer(checkout)


@pytest.mark.slow
def test_the_command_refuses_another_directory(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks.reference", str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "is no checkout of the authors' repository" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
