"""A run saved in one process and continued in another equals the uninterrupted one, bit by bit."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from rewa import ReWA, ReWAAdamW

CONTINUE = """
import sys
import torch
from torch import nn
import rewa

saved = torch.load(sys.argv[1], weights_only=True)
for case in saved.values():
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).to(case["inputs"].dtype)
    weights = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    build = getattr(rewa, case["optimizer"])
    optimizer = build([{"params": weights}, {"params": biases}], lr=1.0, K=7, M=3, epsilon=0.7)
    model.load_state_dict(case["state"]["model"])
    optimizer.load_state_dict(case["state"]["optimizer"])
    case["settings"] = [
        {name: group[name] for name in ("lr", "K", "M", "epsilon")} for group in optimizer.param_groups
    ]
    for x, y in zip(case["inputs"], case["targets"]):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
    case["state"] = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
torch.save(saved, sys.argv[2])
"""

Pair = tuple[nn.Sequential, Optimizer]
OPTIMIZERS: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "sgd": (ReWA, {"M": 1.5, "momentum": 0.9, "weight_decay": 0.01}),
    "sgd-nesterov-foreach": (ReWA, {"M": 0, "momentum": 0.9, "nesterov": True, "foreach": True}),
    "adamw": (ReWAAdamW, {"M": 0, "weight_decay": 0.01}),
    "adamw-amsgrad": (ReWAAdamW, {"M": 1.5, "amsgrad": True, "betas": (0.8, 0.9)}),
    "adamw-fused": (ReWAAdamW, {"M": 1.5, "fused": True}),
    "sgd-fused": (ReWA, {"M": 1.5, "momentum": 0.9, "fused": True}),
}
DTYPES = [torch.float32, torch.bfloat16]
CASES = [(name, dtype) for name in OPTIMIZERS for dtype in DTYPES]
STEPS = 5


def build(name: str, dtype: torch.dtype) -> Pair:
    """A network whose weights are reparameterised and whose biases are not."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1)).to(dtype)
    weights = [p for p in model.parameters() if p.ndim == 2]
    biases = [p for p in model.parameters() if p.ndim == 1]
    optimizer_class, settings = OPTIMIZERS[name]
    groups = [{"params": weights}, {"params": biases, "K": 1, "M": 0, "epsilon": 0.0}]
    return model, optimizer_class(groups, lr=0.05, **{"K": 3, "epsilon": 1e-3, **settings})


def data(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(2 * STEPS, 4, 6, generator=generator)
    return inputs.to(dtype), inputs.sum(2, keepdim=True).to(dtype)


def steps(pair: Pair, inputs: Tensor, targets: Tensor) -> None:
    model, optimizer = pair
    for x, y in zip(inputs, targets, strict=True):
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()


def full_state(pair: Pair) -> dict[str, Any]:
    return {"model": pair[0].state_dict(), "optimizer": pair[1].state_dict()}


def assert_same(ours: Any, theirs: Any) -> None:
    """Compare nested states, tensors by bits and precision; of settings, those that the original has.

    (Torch's __setstate__ adds one of its own, "differentiable".)
    """
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() - {"differentiable"} == theirs.keys() - {"differentiable"}
        for key in theirs.keys() - {"differentiable"}:
            assert_same(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(ours, Tensor):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)
    else:
        assert ours == theirs


def label(name: str, dtype: torch.dtype) -> str:
    return f"{name}/{dtype}"


@pytest.fixture(scope="module")
def continued(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Every case half-trained here and then continued by one fresh process."""
    folder: Path = tmp_path_factory.mktemp("resume")
    saved = {}
    for name, dtype in CASES:
        pair, (inputs, targets) = build(name, dtype), data(dtype)
        steps(pair, inputs[:STEPS], targets[:STEPS])
        saved[label(name, dtype)] = {
            "optimizer": type(pair[1]).__name__,
            "state": full_state(pair),
            "inputs": inputs[STEPS:],
            "targets": targets[STEPS:],
        }
    torch.save(saved, folder / "half.pt")
    command = [sys.executable, "-c", CONTINUE, str(folder / "half.pt"), str(folder / "whole.pt")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = torch.load(folder / "whole.pt", weights_only=True)
    return result


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_a_fresh_process_continues_bit_identically(
    name: str, dtype: torch.dtype, continued: dict[str, Any]
) -> None:
    pair, (inputs, targets) = build(name, dtype), data(dtype)
    steps(pair, inputs[:STEPS], targets[:STEPS])
    half = copy.deepcopy(pair[0].state_dict())
    steps(pair, inputs[STEPS:], targets[STEPS:])
    assert_same(continued[label(name, dtype)]["state"], full_state(pair))
    assert not torch.equal(half["0.weight"], pair[0][0].weight)


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_settings_come_from_the_saved_state(name: str, dtype: torch.dtype, continued: dict[str, Any]) -> None:
    weights, biases = continued[label(name, dtype)]["settings"]
    assert weights == {"lr": 0.05, "K": 3, "M": OPTIMIZERS[name][1]["M"], "epsilon": 1e-3}
    assert biases == {"lr": 0.05, "K": 1, "M": 0, "epsilon": 0.0}


@pytest.mark.parametrize("name", ["adamw", "adamw-amsgrad"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_moments_are_kept_in_float32(name: str, dtype: torch.dtype, continued: dict[str, Any]) -> None:
    for state in continued[label(name, dtype)]["state"]["optimizer"]["state"].values():
        moments = {"exp_avg", "exp_avg_sq"} | ({"max_exp_avg_sq"} if name == "adamw-amsgrad" else set())
        assert {part: state[part].dtype for part in moments} == dict.fromkeys(moments, torch.float32)
        assert state["step"].item() == 2 * STEPS


def by_pickle(pair: Pair) -> Pair:
    copied: Pair = pickle.loads(pickle.dumps(pair))
    return copied


@pytest.mark.parametrize("duplicate", [copy.deepcopy, by_pickle])
@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_copies_continue_bit_identically_and_apart(
    name: str, dtype: torch.dtype, duplicate: Callable[[Pair], Pair]
) -> None:
    pair, (inputs, targets) = build(name, dtype), data(dtype)
    steps(pair, inputs[:STEPS], targets[:STEPS])
    twin = duplicate(pair)
    at_copy = copy.deepcopy(full_state(twin))
    steps(pair, inputs[STEPS:], targets[STEPS:])
    assert_same(full_state(twin), at_copy)
    steps(twin, inputs[STEPS:], targets[STEPS:])
    assert_same(full_state(twin), full_state(pair))
