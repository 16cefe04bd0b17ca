"""A sweep's output directory with planted accuracies, for the tests of the commands that read one."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from toy_records import record

from rewa.sparsity.frontier import OperatingPoint
from rewa.sweep.folder import SweepFolder

RATIOS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
WORKLOAD: dict[str, Any] = {
    "name": "digits",
    "model": "LeNet-300-100",
    "epochs": 2,
    "batch_size": 64,
    "warmup": 0.05,
    "metric": "accuracy",
    "direction": "max",
    "chance": 0.1,
    "ideal": 1.0,
    "headline_ratios": [10, 100],
    "train_size": 1077,
    "val_size": 360,
    "test_size": 360,
}
META: dict[str, Any] = {
    "sweep": "planted",
    "command": "rewa sweep digits --output x",
    "methods": ["rewa", "magnitude"],
    "trials_per_method": 12,
    "confirm_seeds": [1, 2],
    "confirm_settings": 1,
    "workload": WORKLOAD,
    "confirmed": {"rewa": ["rewa-0008"], "magnitude": ["magnitude-0000"]},
}
CONFIGS = {
    "rewa": {"lr": 0.1, "momentum": 0.9, "K": 9.0, "M": 2.0, "epsilon": 0.0},
    "magnitude": {"lr": 0.1, "momentum": 0.9},
}


def knee(method: str, number: int) -> float:
    """The compression at which a trial has lost a tenth: it grows with the penalty for rewa only."""
    return 10.0 * 1.4**number if method == "rewa" else 8.0


def training(method: str, number: int, phase: str = "search", seed: int = 0, **other: Any) -> Any:
    """One finished training."""
    points = []
    for split in ("val", "test"):
        for ratio in RATIOS:
            lost = min(0.8, 0.1 * (ratio / knee(method, number)) ** 2)
            top = 0.96 if method == "rewa" else 0.98
            accuracy = top - 0.001 * number - lost + 0.002 * (seed - 1) * (split == "test")
            points.append(OperatingPoint(split, "ratio", ratio, ratio, ratio * 0.9, accuracy))
    config = {**CONFIGS[method], "weight_decay": 1e-4 * math.sqrt(2) ** number}
    values = {"workload": WORKLOAD, "config": config, "frontier": points, "sweep": "planted", **other}
    return record(f"{method}-{number:04d}", phase, seed, **values)


def plant(path: Path, *, complete: bool = True) -> SweepFolder:
    """Write the directory."""
    folder = SweepFolder(path)
    path.mkdir(parents=True)
    folder.write_meta(META if complete else {k: v for k, v in META.items() if k != "confirmed"})
    for method in ("rewa", "magnitude"):
        for number in range(12 if complete else 9):
            folder.save(training(method, number))
    if complete:
        for seed in (1, 2):
            folder.save(training("rewa", 8, "confirm", seed))
            folder.save(training("magnitude", 0, "confirm", seed))
    return folder
