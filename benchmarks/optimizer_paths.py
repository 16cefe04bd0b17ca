"""What :mod:`benchmarks.optimizer_step` measures: optimizers, their code paths, time and memory of a step."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.optim import Optimizer

from benchmarks.reference import authors_optimizer
from rewa import ReWA, ReWAAdamW, param_groups

SHARED = {"lr": 1e-4, "momentum": 0.9, "weight_decay": 1e-4}
REWA_SETTINGS: Mapping[str, Mapping[str, float]] = {
    "ReWA K=9 M=2": {"K": 9, "M": 2},
    "ReWA K=9 M=2 epsilon=1e-3": {"K": 9, "M": 2, "epsilon": 1e-3},
    "ReWA K=9 M=1.74": {"K": 9, "M": 1.74},
    "ReWA K=2.25 M=1.25": {"K": 2.25, "M": 1.25},
}
BASE = ("torch SGD", "fused")
ADAMW = "ReWAAdamW K=9 M=0"
AUTHORS = ("the authors' K=9 M=2", "their code")
NETWORKS = {"smoke": ("tiny",), "full": ("resnet18", "resnet50")}
ARRAYS = {"torch SGD": 5, "torch AdamW": 7, "ReWAAdamW": 8, "ReWA": 6, "the authors'": 6}
"""Arrays of the parameters' size that a step must move, read or written: gradient, state, weights."""


class _SGDBased(ReWA):
    """ReWA whose step on y is torch's fused kernel, between torch operations: the path before this one."""

    def _one_pass(self, params: list[Tensor], group: dict[str, Any]) -> bool:
        return False


class _AdamWBased(ReWAAdamW):
    """The same with AdamW."""

    def _one_pass(self, params: list[Tensor], group: dict[str, Any]) -> bool:
        return False


Make = Callable[[nn.Module], Optimizer]
CodePath = tuple[str, str]
"""An optimizer with its settings, and the code path."""


def arrays_of(optimizer: str, device: str = "cpu") -> int:
    """Return how many arrays of the parameters' size a step must move.

    A processor reads the lines of x before it overwrites them (write-allocate): one array more.
    """
    count = next(count for name, count in ARRAYS.items() if optimizer.startswith(name))
    return count + (device == "cpu" and optimizer.startswith("ReWA"))


def groups_of_paths(reference: Path | None) -> list[dict[CodePath, Make]]:
    """Return what is measured in turn, group after group; :data:`BASE` is in every group."""
    base: dict[CodePath, Make] = {BASE: _torch(torch.optim.SGD, fused=True, **SHARED)}
    adamw = {"lr": 1e-4, "weight_decay": 1e-4}
    first: dict[CodePath, Make] = {
        **base,
        ("torch SGD", "foreach"): _torch(torch.optim.SGD, foreach=True, **SHARED),
        ("torch AdamW", "fused"): _torch(torch.optim.AdamW, fused=True, **adamw),
        ("torch AdamW", "foreach"): _torch(torch.optim.AdamW, foreach=True, **adamw),
    }
    groups = [first]
    for name, powers in REWA_SETTINGS.items():
        groups.append({**base, **_paths(name, ReWA, _SGDBased, {**SHARED, **powers})})
    groups.append({**base, **_paths(ADAMW, ReWAAdamW, _AdamWBased, {**adamw, "K": 9, "M": 0})})
    if reference is not None:
        theirs = authors_optimizer(reference)
        groups.append({**base, AUTHORS: _authors(theirs)})
    return groups


def _paths(name: str, ours: type, torch_based: type, settings: Mapping[str, Any]) -> dict[CodePath, Make]:
    """Return the four paths of one of our optimizers."""

    def make(kind: type, **flags: bool) -> Make:
        return lambda model: kind(param_groups(model), **settings, **flags)

    return {
        (name, "one pass"): make(ours, fused=True),
        (name, "torch fused base"): make(torch_based, fused=True),
        (name, "foreach"): make(ours, foreach=True),
        (name, "loop"): make(ours, foreach=False, fused=False),
    }


def _torch(kind: type, **settings: Any) -> Make:
    return lambda model: kind(model.parameters(), **settings)


def _authors(kind: type) -> Make:
    """Their optimizer in its own units, over all parameters, which is how their training uses it."""

    def make(model: nn.Module) -> Optimizer:
        groups = [{"params": list(model.parameters()), "weight_decay": SHARED["weight_decay"]}]
        optimizer: Optimizer = kind(
            groups,
            SHARED["lr"],
            order=9,
            ell_t=2,
            ell_eps=0.0,
            momentum=SHARED["momentum"],
            base_optimizer_type="SGD",
        )
        return optimizer

    return make


def build(network: str, device: str) -> nn.Module:
    """Return a network with random weights and a random gradient in every parameter."""
    torch.manual_seed(0)
    if network == "tiny":
        model: nn.Module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8, 10))
    else:
        model = getattr(torchvision.models, network)()
    model.to(device)
    for p in model.parameters():
        p.grad = 1e-2 * torch.randn_like(p)
    return model


def count(network: str) -> int:
    """Return a network's number of parameters."""
    return sum(p.numel() for p in build(network, "cpu").parameters())


@dataclass(frozen=True)
class Timing:
    """Times of one path.

    Attributes:
        seconds: Median time of a step.
        ratio: Median of its ratio to :data:`BASE`, taken just before or after it.
        floor: Seconds that the bytes of its step take at the rate of a pass in place, in the same turns.
    """

    seconds: float
    ratio: float
    floor: float


def time_group(
    paths: Mapping[CodePath, Make], network: str, device: str, repeats: int, tick: Callable[[], None]
) -> dict[CodePath, Timing]:
    """Time the steps of some paths in turn, each on a network of its own, beside a pass in place."""
    steps: dict[CodePath, Callable[[], object]] = {}
    for path, make in paths.items():
        model = build(network, device)
        optimizer = make(model)
        steps[path] = optimizer.step
        for _ in range(2):  # state is made and kernels are compiled
            optimizer.step()
    size = sum(p.numel() for p in build(network, "cpu").parameters())
    memory = torch.ones(size, device=device)
    passes: list[float] = []
    seconds: dict[CodePath, list[float]] = {path: [] for path in steps}
    names = list(steps)
    for turn in range(repeats):
        passes.append(_once(lambda: memory.mul_(1.0001), device))
        for path in names[turn % len(names) :] + names[: turn % len(names)]:
            seconds[path].append(_once(steps[path], device))
        tick()
    bytes_per_second = 2 * 4 * size / statistics.median(passes)
    return {
        path: Timing(
            statistics.median(found),
            statistics.median(s / base for s, base in zip(found, seconds[BASE], strict=True)),
            arrays_of(path[0], device) * 4 * size / bytes_per_second,
        )
        for path, found in seconds.items()
    }


def _once(work: Callable[[], object], device: str) -> float:
    """Return the seconds that one call takes, on a GPU between two events of its stream."""
    if device == "cuda":
        event: Any = torch.cuda.Event
        start, end = event(enable_timing=True), event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        return float(start.elapsed_time(end)) / 1e3
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_of_steps(make: Make, network: str, device: str) -> int:
    """Return how many bytes of memory two steps add at their peak: state, and what comes and goes.

    Kernels are compiled, and libraries loaded, on a small network before. What was freed must have gone back
    to the system: glibc sees to it with ``MALLOC_MMAP_THRESHOLD_=65536`` in the environment.
    """
    small = make(build("tiny", device))
    for _ in range(2):
        small.step()
    model = build(network, device)
    optimizer = make(model)
    gc.collect()
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = _resident(reset=True)
    for _ in range(2):
        optimizer.step()
    return (torch.cuda.max_memory_allocated() if device == "cuda" else _resident(reset=False)) - before


def _resident(reset: bool) -> int:
    """Return this process's peak resident memory since it was last reset, in bytes (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines: Sequence[str] = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
