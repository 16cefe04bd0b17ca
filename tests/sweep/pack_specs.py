"""Trials for the tests of packs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rewa.sweep.space import Objective
from rewa.sweep.trial import TrialSpec


def spec(name: str, method: str = "magnitude", folder: Path | None = None, **config: Any) -> TrialSpec:
    shape = {"d": 20, "n": 30, "n_val": 20, "n_test": 20, "epochs": 3, "eval_every": 1}
    return TrialSpec(
        sweep="s",
        workload="sparse_recovery",
        workload_settings=shape,
        method=method,
        trial=name,
        phase="search",
        seed=3,
        config={"lr": 0.01, **config},
        objective=Objective(max_compression=20, reference=2.0),
        device="cpu",
        folder="" if folder is None else str(folder),
    )
