"""Between its checks the training loop never makes the host wait for the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.models import shufflenet_v2_x0_5

from rewa import descent
from rewa.data.sample_tree import write_digits_tree
from rewa.descent import Descent
from rewa.methods import get_method
from rewa.workloads import Workload, get_workload

CPU = torch.device("cpu")
VALUES_READ = {"_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal", "masked_select", "_unique2"}
"""Operators whose result, or its shape, is on the host: on a GPU each waits for all that was asked before."""
METHODS_READ = {"item", "tolist", "cpu", "__bool__", "__float__", "__int__", "__index__", "__iter__"}


class Waits:
    """Notes at which step an operator or a tensor's method would have waited."""

    def __init__(self) -> None:
        self.step = 0
        self.found: list[tuple[int, str]] = []

    def note(self, name: str) -> None:
        self.found.append((self.step, name))


class Operators(TorchDispatchMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        if name in VALUES_READ:
            self.waits.note(name)
        if name.startswith("index") and any(
            isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8)
            for given in args
            if isinstance(given, (list, tuple))
            for i in given
        ):
            self.waits.note("index by a mask")
        return func(*args, **(kwargs or {}))


class Methods(TorchFunctionMode):
    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if (name := getattr(func, "__name__", "")) in METHODS_READ:
            self.waits.note(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.setattr(
        "rewa.workloads.cifar.Cifar.build_network", lambda self: shufflenet_v2_x0_5(num_classes=10)
    )
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits_tree(tmp_path_factory.mktemp("digits") / "tree", per_class=10)


def cifar(tree: Path, device: torch.device) -> Workload:
    return get_workload("cifar10").from_values(
        {"folder": str(tree), "workers": 0, "batch_size": 12, "label_smoothing": 0.1}, device
    )


def resized_crops(tree: Path, device: torch.device) -> Workload:
    values = {"root": str(tree), "resolution": 32, "model": "shufflenet_v2_x0_5", "batch_size": 12}
    values |= {"precision": "bf16", "workers": 0, "loader": "resident"}
    return get_workload("image_folder").from_values(values, device)


def digits(tree: Path, device: torch.device) -> Workload:
    return get_workload("digits").from_values({"batch_size": 200}, device)


def prepared(workload: Workload, method: str) -> Descent:
    torch.manual_seed(0)
    model = workload.build_model()
    rule = {"rewa": {"lr": 0.01}, "magnitude": {"lr": 0.01}, "sgd_l1": {"lr": 0.01, "l1": 1e-5}}[method]
    optimizer = get_method(method).from_values(rule).prepare(model)
    return Descent(workload, model, optimizer, workload.schedule, workload.total_steps, seed=0)


@pytest.mark.parametrize("method", ["rewa", "magnitude", "sgd_l1"])
@pytest.mark.parametrize("make", [cifar, resized_crops, digits])
def test_no_step_reads_a_value_but_the_checks(
    tree: Path, make: Callable[..., Workload], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step may: it sets up the epoch and the optimizer's state."""
    monkeypatch.setattr(descent, "CHECK_EVERY", 2)
    training = prepared(make(tree, CPU), method)
    last = training.workload.steps_per_epoch
    assert last >= 5
    waits = Waits()

    def on_step(step: int, total: int) -> None:
        waits.step = step

    with Operators(waits), Methods(waits):
        training.run_epoch(on_step)
    between = {step for step, _ in waits.found if 1 <= step < last}
    assert between == set(range(2, last, 2)), waits.found


def test_the_recorder_sees_what_it_should() -> None:
    waits = Waits()
    x = torch.arange(4.0)
    with Operators(waits), Methods(waits):
        for read in (
            lambda: x.sum().item(),
            lambda: float(x[0]),
            lambda: bool(x[0] > 0),
            lambda: x[x > 1],
            lambda: x.nonzero(),
            lambda: torch.equal(x, x),
            lambda: x.tolist(),
        ):
            waits.step += 1
            read()
        waits.step += 1
        _ = x.index_select(0, torch.tensor([0, 1])) + torch.where(x > 1, x, 0.0)[:2]
    assert {step for step, _ in waits.found} == set(range(1, 8))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks CUDA itself")
@pytest.mark.parametrize("method", ["rewa", "magnitude", "sgd_l1"])
@pytest.mark.parametrize("make", [cifar, resized_crops, digits])
def test_cuda_sees_no_synchronisation(tree: Path, make: Callable[..., Workload], method: str) -> None:
    training = prepared(make(tree, torch.device("cuda")), method)
    last = training.workload.steps_per_epoch

    def on_step(step: int, total: int) -> None:
        torch.cuda.set_sync_debug_mode("error" if step < last else "default")

    try:
        training.run_epoch(on_step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
