"""Synthetic sweeps: duck-typed records with planted accuracies, or with planted errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from rewa.metric import Metric
from rewa.sweep_tables import DRAW_COLUMNS, LAYER_COLUMNS

RATIOS = (1, 2, 5, 10, 20, 33, 50, 75, 100, 150, 200, 350, 500, 1000)
CONFIG = ["lr", "momentum", "weight_decay", "K", "M", "l1", "init"]

Accuracy = Callable[[float, int, int], float]  # (ratio, trial, seed) -> accuracy, or an error

MSE = Metric("mse", "min", chance=2.0, ideal=1.0)
UP = Metric("score", "max", chance=0.0, ideal=2.0)  # no share: its ideal is not 1
DOWN = Metric("loss", "min", chance=2.0, ideal=0.0)  # UP's mirror: value -> 2 - value


@dataclass(frozen=True)
class Record:
    """What `rewa.tracking.read_sweep` returns, as far as the analysis looks."""

    name: str
    meta: dict[str, Any]
    runs: pd.DataFrame
    frontier: pd.DataFrame
    config_columns: list[str] = field(default_factory=lambda: list(CONFIG))
    layers: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(LAYER_COLUMNS)))
    draws: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(DRAW_COLUMNS)))


META: dict[str, Any] = {
    "sweep": "digits",
    "command": "rewa sweep search_spaces/digits.yaml --trials 24",
    "commit": "0123abc",
    "started": "2026-01-02T03:04:05+00:00",
    "wall_seconds": 5025.0,
    "versions": {"python": "3.11.7", "torch": "2.15.0", "rewa": "0.1.0"},
    "hardware": "2 CPU cores, 8 GiB memory",
    "workload": {
        "name": "digits",
        "model": "small CNN",
        "epochs": 40,
        "batch_size": 128,
        "train_size": 1078,
        "val_size": 359,
        "test_size": 360,
        "prunable_weights": 23264,
        "parameters": 23594,
        "metric": "accuracy",
    },
    "objective": {"criterion": "ratio", "max_compression": 500, "reference": 0.8},
    "methods": ["rewa", "spred", "sgd_l1", "magnitude", "random"],
    "trials_per_method": 24,
    "search_seed": 0,
    "confirm_seeds": [1, 2, 3],
    "confirm_settings": 3,
    "space_text": "workload: digits\nmethods:\n  rewa:\n    lr: {low: 0.001, high: 1, log: true}\n",
}


def config(method: str, trial: int) -> dict[str, Any]:
    """A config with the columns its method has; the others stay NaN."""
    row: dict[str, Any] = dict.fromkeys(CONFIG, math.nan)
    row.update(lr=0.062134567891 / (1 + trial), momentum=0.9, weight_decay=0.0013)
    if method == "rewa":
        row.update(K=9.0, M=1.7423456789)
    if method == "spred":
        row.update(init="zero product")
    if method == "sgd_l1":
        row.update(l1=3.2e-4)
    return row


def frontier_rows(
    method: str,
    accuracy: Accuracy,
    trial: int,
    seed: int,
    phase: str,
    ratios: Sequence[float] = RATIOS,
) -> list[dict[str, Any]]:
    """The operating points of one run; validation accuracy is the planted one, test a bit below."""
    rows = []
    base = {"sweep": "digits", "method": method, "trial": f"{method}-{trial:04d}", "seed": seed}
    for criterion, values in (("ratio", ratios), ("threshold", (1e-8, 1e-3, 0.5))):
        for value in values:
            ratio = float(value) if criterion == "ratio" else 1.0 + 2000.0 * value
            actual = math.inf if value == 0.5 else ratio
            for split in ("val", "test"):
                rows.append(
                    {
                        **base,
                        "phase": phase,
                        "split": split,
                        "criterion": criterion,
                        "value": float(value),
                        "compression": actual,
                        "compression_total": min(actual, 23594 / (330 + 23264 / actual)),
                        "metric": accuracy(ratio, trial, seed),
                        "recalibrated": False,
                        **config(method, trial),
                    }
                )
    return rows


def run_row(method: str, trial: int, seed: int, phase: str, **changes: Any) -> dict[str, Any]:
    """One row of the runs table."""
    return {
        "sweep": "digits",
        "method": method,
        "trial": f"{method}-{trial:04d}",
        "seed": seed,
        "phase": phase,
        "status": "completed",
        "reason": "",
        "score": 0.5 + 0.01 * trial,
        "seconds": 12.5,
        "run_id": f"{method}{trial}{phase}{seed}",
        **config(method, trial),
        **changes,
    }


def make_record(
    methods: Mapping[str, Accuracy],
    *,
    trials: int = 2,
    seeds: Sequence[int] = (1, 2, 3),
    search: bool = True,
    meta: dict[str, Any] | None = None,
    ratios: Sequence[float] = RATIOS,
) -> Record:
    """A sweep: every trial searched on seed 0, then confirmed on `seeds` (none: not confirmed)."""
    runs, points = [], []
    for method, accuracy in methods.items():
        for trial in range(trials):
            todo = [("search", 0)] if search else []
            for phase, seed in [*todo, *(("confirm", seed) for seed in seeds)]:
                runs.append(run_row(method, trial, seed, phase))
                points += frontier_rows(method, accuracy, trial, seed, phase, ratios)
    columns = [*frontier_rows("rewa", lambda *_: 0.0, 0, 0, "search")[0]]
    return Record(
        name="digits",
        meta=dict(META) if meta is None else meta,
        runs=pd.DataFrame(runs, columns=list(run_row("rewa", 0, 0, "search"))),
        frontier=pd.DataFrame(points, columns=columns),
    )


def with_recalibrated(record: Record, renew: Callable[[float], float]) -> Record:
    """The same sweep, every operating point measured again: `renew` turns a raw value into a recalibrated."""
    again = record.frontier.assign(metric=record.frontier["metric"].map(renew), recalibrated=True)
    both = pd.concat([record.frontier, again]).sort_values(
        ["phase", "method", "trial", "seed"], kind="stable", ignore_index=True
    )
    return replace(record, frontier=both)


def flat(level: float, spread: Sequence[float] = (0.0,)) -> Accuracy:
    """The same accuracy at every ratio and trial; `spread` is added by seed, in turn."""
    return lambda ratio, trial, seed: level + spread[seed % len(spread)]


def decay(knee: float, top: float = 0.98, noise: float = 0.004, salt: int = 0) -> Accuracy:
    """Near `top` up to about `knee`, then down to chance; noisy, in steps of one test example."""

    def accuracy(ratio: float, trial: int, seed: int) -> float:
        rng = np.random.default_rng([salt, int(1e4 * ratio), trial, seed])
        drop = 1.0 / (1.0 + (knee * (1.0 + 0.2 * trial) / ratio) ** 3.0)
        level = 0.1 + (top - 0.002 * trial - 0.1) * (1.0 - drop) + noise * rng.standard_normal()
        return float(np.round(np.clip(level, 0.08, 1.0) * 360.0) / 360.0)

    return accuracy


def realistic(**changes: Any) -> Record:
    """Five methods as a sweep on digits leaves them."""
    methods = {
        "rewa": decay(420.0, 0.981, salt=1),
        "spred": decay(260.0, 0.978, salt=2),
        "sgd_l1": decay(380.0, 0.983, salt=3),
        "magnitude": decay(45.0, 0.984, salt=4),
        "random": decay(4.0, 0.984, salt=5),
    }
    return make_record(methods, trials=3, **changes)


ERROR_RATIOS = (*RATIOS, 2000, 5000, 10000)
SOLVER_CONFIG = ["lambda_fraction", "gamma"]
ERROR_CONFIG = [*CONFIG, *SOLVER_CONFIG]
ERROR_META: dict[str, Any] = {
    **META,
    "sweep": "sparse_recovery",
    "workload": {
        "name": "sparse_recovery",
        "model": "linear",
        **MSE.describe(),
        "headline_ratios": [10, 100, 1000, 10000],
        "epochs": 40,
        "batch_size": 25,
        "warmup": 0.0,
        "loss": "squared",
        "d": 10000,
        "n": 2000,
        "k": 1,
        "design": "toeplitz",
        "train_size": 2000,
        "val_size": 2000,
        "test_size": 2000,
        "prunable_weights": 10000,
        "parameters": 10001,
    },
    "objective": {"criterion": "ratio", "max_compression": 10000, "reference": 1.5},
    "methods": ["rewa", "sgd_l1", "lasso", "scad", "magnitude"],
    "space": {
        "workload": {"name": "sparse_recovery", "epochs": 40, "design": "toeplitz", "correlation": 0.5},
        "resources": {"cpu": 2},
    },
}


def rise(
    level: float, knee: float = math.inf, dense: float = 0.0, noise: float = 0.003, salt: int = 0
) -> Accuracy:
    """An error: `dense` above `level` at 1x, gone by 20x; `level`; from `knee` on towards chance."""

    def error(ratio: float, trial: int, seed: int) -> float:
        rng = np.random.default_rng([salt, int(10 * ratio), trial, seed])
        lost = 1.0 / (1.0 + (knee / ratio) ** 3.0) if math.isfinite(knee) else 0.0
        start = dense / (1.0 + (ratio / 6.0) ** 2.0)
        kept = level + 0.004 * trial + start + noise * rng.standard_normal()
        return float(kept + (2.05 - kept) * lost)

    return error


def bursting(level: float, knee: float, top: float = math.inf) -> Accuracy:
    """An error that explodes beyond `knee`: 1000 times as large, then `top`."""

    def error(ratio: float, trial: int, seed: int) -> float:
        if ratio > 10.0 * knee:
            return top
        return level * (1.0 if ratio <= knee else 1000.0) + 0.002 * seed

    return error


def error_sweep(**changes: Any) -> Record:
    """Ten methods as a sweep on sparse recovery leaves them; two of them end in huge and infinite errors."""
    methods = {
        "rewa": rise(1.012, dense=0.05, salt=1),
        "spred": rise(1.06, 6000.0, dense=0.2, salt=2),
        "sgd_l1": rise(1.12, 9000.0, dense=0.3, salt=3),
        "lasso": rise(1.11, noise=0.0, salt=4),
        "adaptive_lasso": rise(1.03, noise=0.0, salt=5),
        "l0_5": rise(1.015, noise=0.0, salt=6),
        "l2_3": rise(1.019, noise=0.0, salt=7),
        "scad": rise(0.995, noise=0.0, salt=8),
        "magnitude": bursting(1.85, 50.0),
        "random": bursting(1.85, 1.0, top=math.nan),
    }
    meta = {**ERROR_META, "methods": list(methods), "trials_per_method": 3}
    record = make_record(methods, trials=3, ratios=ERROR_RATIOS, **{"meta": meta, **changes})
    for table in (record.runs, record.frontier):
        solver = table["method"].isin(["lasso", "adaptive_lasso", "l0_5", "l2_3", "scad"])
        table.loc[solver, CONFIG] = math.nan
        table["lambda_fraction"] = np.where(solver, 0.0321, math.nan)
        table["gamma"] = np.where(table["method"] == "scad", 3.7, math.nan)
    return Record("sparse_recovery", record.meta, record.runs, record.frontier, list(ERROR_CONFIG))
