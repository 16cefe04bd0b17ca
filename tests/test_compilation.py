"""``compile = true``: the training's passes are compiled, nothing else changes but roundings."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rewa import compilation, descent
from rewa.data.sample_tree import write_digits_tree
from rewa.descent import Descent
from rewa.description import setting_of
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.workloads import Workload, get_workload
from rewa.workloads.cifar import Cifar10

CPU = torch.device("cpu")


class Small(nn.Module):
    """Convolutions with batch norm, as quick to compile as can be."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=4)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Linear(8, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(images))).mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits_tree(tmp_path_factory.mktemp("digits") / "tree", per_class=20)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(Cifar10, "build_network", lambda self: Small())
    compilation._check_compiler.cache_clear()
    yield
    compilation._check_compiler.cache_clear()
    torch.set_num_threads(threads)


def training(tree: Path, **values: Any) -> Descent:
    settings = {"folder": str(tree), "workers": 0, "batch_size": 12, "precision": "fp32", **values}
    workload: Workload = get_workload("cifar10").from_values(settings, CPU)
    torch.manual_seed(0)
    model = workload.build_model()
    method = get_method("rewa").from_values({"lr": 0.05, "K": 3, "M": 1})
    return Descent(workload, model, method.prepare(model), workload.schedule, 100, seed=0)


class Counting(nn.Module):
    """Stands in for a compiled model."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        assert self.training
        self.calls += 1
        return self.inner(images)  # type: ignore[no-any-return]


def test_only_the_trainings_passes_are_compiled(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Counting] = []

    def compiled(model: nn.Module, device: torch.device) -> nn.Module:
        made.append(Counting(model))
        return made[-1]

    monkeypatch.setattr(descent, "compiled", compiled)
    plain = training(tree)
    plain.run_epoch()
    assert not made
    under = training(tree, compile=True)
    under.run_epoch()
    steps = under.workload.steps_per_epoch
    assert made[0].calls == steps == under.step
    assert under.evaluate("val") == plain.evaluate("val")
    under.run_epoch()  # the model is in training mode again
    assert made[0].calls == 2 * steps
    assert under.state()["model"].keys() == plain.state()["model"].keys()


def test_runs_with_and_without_are_runs_of_one_setting(tree: Path) -> None:
    with_it = setting_of(Cifar10, {"folder": str(tree), "compile": True})
    assert with_it == setting_of(Cifar10, {"folder": str(tree)})
    assert not Cifar10.Config().compile


@pytest.mark.parametrize("error", [RuntimeError("no C++ compiler\nlong story"), ImportError("no triton")])
def test_without_a_compiler_the_setting_is_refused(
    tree: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(torch, "compile", lambda *args, **kwargs: refuse)
    with pytest.raises(
        UserError, match=r"compile = true.*no (C\+\+ compiler|triton)\); install a C\+\+"
    ) as caught:
        training(tree, compile=True)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_torch_without_a_compiler_ends_in_one_sentence(tree: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "rewa", "train", "cifar10", "rewa", "--no-tracking", "--device", "cpu"]
    for setting in (f"folder={tree}", "workers=0", "batch_size=12", "epochs=1", "compile=true"):
        words += ["--set-workload", setting]
    none = {"CXX": str(tmp_path / "g++"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [*words, "--output", str(tmp_path / "run")],
        env={**os.environ, **none},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "compile = true cannot be used here" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_compiled_training_is_the_training_and_resumes_to_the_bit(tree: Path) -> None:
    torch._dynamo.reset()
    plain, whole = training(tree), training(tree, compile=True)
    losses = [(plain.run_epoch(), whole.run_epoch()) for _ in range(2)]
    for expected, found in losses:
        assert found == pytest.approx(expected, rel=1e-4)
    first = training(tree, compile=True)
    first.run_epoch()
    resumed = training(tree, compile=True)
    resumed.restore(first.state())
    resumed.run_epoch()
    for name, value in whole.state()["model"].items():
        assert torch.equal(resumed.state()["model"][name], value), name
    bf16 = training(tree, compile=True, precision="bf16", channels_last=True)
    assert bf16.run_epoch() == pytest.approx(losses[0][0], rel=0.05)
