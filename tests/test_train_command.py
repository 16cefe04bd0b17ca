"""``rewa train``: what it needs, what it leaves, and how it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rewa.methods import get_method
from rewa.packs import fit_one
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.digits import Digits

Cli = Callable[..., tuple[int, str, str]]

BARE = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ray", "mlflow", "optuna", "ffcv"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from rewa.cli import main
main()
"""

SETTING = ["--set", "lr=0.062", "--set", "M=1.74", "--set", "weight_decay=1.3e-3"]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_neither_ray_nor_mlflow_nor_optuna_is_needed() -> None:
    words = ["train", "digits", "rewa", *SETTING, "--epochs", "2", "--no-tracking", "--output", "out"]
    done = subprocess.run(
        [sys.executable, "-c", BARE, *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "test accuracy" in done.stdout
    left = sorted(path.name for path in Path("out").iterdir())
    assert left == ["frontier.csv", "layers.csv", "model.pt", "result.json"]
    assert [path.name for path in Path.cwd().iterdir()] == ["out"]


def test_the_saved_model_is_the_one_that_was_measured(cli: Cli) -> None:
    assert (
        cli("train", "digits", "rewa", *SETTING, "--epochs", "3", "--no-tracking", "--output", "out")[0] == 0
    )
    workload = Digits(WorkloadConfig(epochs=3), torch.device("cpu"))
    model = workload.build_model()
    model.load_state_dict(torch.load("out/model.pt", weights_only=True))
    result = json.loads(Path("out/result.json").read_text())
    assert workload.evaluate(model.eval(), "test") == result["metrics"]["test_accuracy/unpruned"]
    assert result["samples_per_second"] > 0
    assert result["peak_memory_mb"] > 50
    kept = sum(row["kept"]["100.0"] for row in result["layers"])
    assert kept == 50_200 // 100


def test_finetuning_is_reported_beside_raw(cli: Cli) -> None:
    words = [*SETTING, "--epochs", "10", "--no-tracking", "--output", "out"]
    tuned = ["--finetune-at", "20", "--finetune-at", "100", "--finetune-epochs", "3"]
    status, out, err = cli("train", "digits", "rewa", *words, *tuned)
    assert status == 0, err
    result = json.loads(Path("out/result.json").read_text())
    values = result["finetuned_test_accuracy"]
    assert set(values) == {"20x", "100x"}
    assert values["100x"] > result["metrics"]["test_accuracy/at_100x"]
    assert "fine-tuned:" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--finetune-at", "0.5"], "--finetune-at 0.5: a compression is at least 1"),
        (["--preset", "figure3a/rewaa"], "did you mean 'figure3a/rewa'"),
        (["--preset", "figure3a/rewa"], "is for `rewa train cifar10 rewa`"),
        (["--finetune-at", "10", "--finetune-lr", "0"], "lr = 0"),
    ],
)
def test_wrong_options_are_told_before_anything_starts(cli: Cli, words: list[str], expected: str) -> None:
    status, _, err = cli("train", "digits", "rewa", *SETTING, "--no-tracking", *words)
    assert status == 2
    assert expected in err
    assert err.count("\n") == 1
    assert not Path("results").exists()


def start(output: str) -> subprocess.Popen[str]:
    words = ["train", "digits", "rewa", *SETTING, "--epochs", "80", "--no-tracking", "--output", output]
    return subprocess.Popen(
        [sys.executable, "-m", "rewa", *words, "--checkpoint-every", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell ignores it
    )


def wait_for_checkpoint(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob("checkpoint.pt.previous")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_started_again_it_ends_with_the_same_bits(how: signal.Signals) -> None:
    first = start("out")
    wait_for_checkpoint(Path("out"))
    first.send_signal(how)
    _, said = first.communicate(timeout=60)
    assert first.returncode != 0
    assert not Path("out/result.json").exists()
    if how == signal.SIGINT:
        assert first.returncode == 1
        assert "the same command goes on from there" in said
    second = start("out")
    _, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    values: dict[str, Any] = {"lr": 0.062, "M": 1.74, "weight_decay": 1.3e-3}
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    whole = fit_one(
        Digits(WorkloadConfig(epochs=80), torch.device("cpu")), get_method("rewa").from_values(values), 0
    )
    torch.set_num_threads(before)
    assert whole.model is not None
    for name, value in torch.load("out/model.pt", weights_only=True).items():
        assert torch.equal(value, whole.model.state_dict()[name])
    assert not list(Path("out").glob("*checkpoint*"))


@pytest.mark.slow
def test_a_named_folder_with_another_trainings_checkpoint_is_refused(cli: Cli) -> None:
    first = start("out")
    wait_for_checkpoint(Path("out"))
    first.kill()
    first.wait()
    words = ["--epochs", "80", "--no-tracking", "--output", "out"]
    status, _, err = cli("train", "digits", "rewa", "--set", "lr=0.05", *words)
    assert status == 2
    assert "is the checkpoint of another training" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_no_resume_starts_again(cli: Cli) -> None:
    first = start("out")
    wait_for_checkpoint(Path("out"))
    first.kill()
    first.wait()
    words = ["--epochs", "1", "--no-tracking", "--output", "out", "--no-resume"]
    assert cli("train", "digits", "rewa", "--set", "lr=0.05", *words)[0] == 0
