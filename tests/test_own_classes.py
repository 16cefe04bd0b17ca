"""A user's own workload and method, as the README shows them, and what is said of broken ones."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with the README's moons.py, in which nothing else is."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (code,) = re.findall(r"tests/test_own_classes.py runs this -->\n```python\n(.*?)```", readme, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("moons.py").write_text(code)
    yield tmp_path
    sys.modules.pop("moons", None)
    sys.modules.pop("broken", None)


def test_the_readmes_classes_train(cli: Cli) -> None:
    words = ["--set", "lr=0.5", "--epochs", "20", "--no-tracking", "--output", "out"]
    status, out, err = cli("train", "moons:Moons", "moons:Clipped", *words)
    assert status == 0, err
    result = json.loads(Path("out/result.json").read_text())
    assert result["workload"]["name"] == "moons"
    assert result["method"] == "clipped"
    assert result["metrics"]["test_accuracy/unpruned"] > 0.95
    assert "test accuracy" in out
    weights = torch.load("out/model.pt", weights_only=True)
    assert max(float(value.abs().max()) for value in weights.values()) == 1.0


def test_own_and_built_in_mix(cli: Cli) -> None:
    words = ["--epochs", "2", "--no-tracking"]
    assert cli("train", "moons:Moons", "rewa", "--set", "lr=0.1", *words, "--output", "a")[0] == 0
    assert cli("train", "digits", "moons:Clipped", "--set", "lr=0.1", *words, "--output", "b")[0] == 0


BROKEN = """\
from rewa.workloads import Workload
from rewa.workloads.tensors import TensorClassification

class NotOne: ...

class Unfinished(TensorClassification):
    name, summary, model_name, classes = "unfinished", "s", "m", 2

class Nameless(Workload): ...
"""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("absent:Moons", ["'absent' cannot be imported", "No module named 'absent'"]),
        ("moons:Moon", ["moons has no 'Moon'", "did you mean 'Moons'"]),
        ("broken:NotOne", ["must be a subclass of rewa.workloads.base.Workload"]),
        ("broken:Unfinished", ["lacks build_network, load_splits"]),
        ("broken:Nameless", ["lacks name, summary"]),
        (":Moons", ["module '' cannot be imported"]),
        ("moons:", ["moons has no ''"]),
    ],
)
def test_broken_ones_are_told_in_one_sentence(cli: Cli, name: str, expected: list[str]) -> None:
    Path("broken.py").write_text(BROKEN)
    status, out, err = cli("train", name, "rewa", "--set", "lr=0.1", "--no-tracking")
    assert (status, out, err.count("\n")) == (2, "", 1)
    for part in expected:
        assert part in err
