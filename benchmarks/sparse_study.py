"""Runs of the sparse recovery workload for the paper's figures: packed, kept as they finish, resumable."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.kept import KeptRows, claim_directory
from benchmarks.progress import Meter
from rewa.linear import LinearSolution
from rewa.methods import get_method
from rewa.packed import PackedEpoch, PackedTrial, train_packed
from rewa.theory import growth_threshold
from rewa.training import fit
from rewa.workloads.sparse_recovery import PAPER_THRESHOLDS, SparseRecovery

PAPER_SEEDS = (9913, 9914, 9915)
"""Three runs, as in the paper: the authors' seed and the two after it."""

SMOKE: dict[str, Any] = {"d": 200, "n": 100, "n_val": 50, "n_test": 200, "epochs": 20}
RUNS_FILE = "runs.csv"
PACKABLE = ("rewa", "sgd_l1", "spred")
KEY = ["method", "config", "seed", "start"]

PAPER_REWA: Mapping[str, float] = SparseRecovery.method_defaults["rewa"]
GRADIENT = 2.0
"""Size of the loss gradient at the first weight while it is near zero: 2 (v_1 - x_1) for PyTorch's MSE."""
PAPER_SGD_L1: Mapping[str, float] = SparseRecovery.method_defaults["sgd_l1"]


@dataclass(frozen=True)
class Setting:
    """One method with its config, and how plots call it."""

    label: str
    method: str
    config: Mapping[str, float]

    @property
    def key(self) -> str:
        """The config as text, the same for equal configs."""
        return json.dumps(dict(sorted(self.config.items())))


def rewa(label: str, **changes: float) -> Setting:
    """Return the paper's ReWA setting (K = 9, M = 4, epsilon = 0, lambda = 0.25) with changes."""
    return Setting(label, "rewa", {**PAPER_REWA, **changes})


def smallest_start(K: float, M: float) -> float:
    """Return the initial value above which the true weight should grow, at the paper's lambda."""
    return growth_threshold(K, M, PAPER_REWA["weight_decay"], GRADIENT)


class Study:
    """All runs of one output directory on one workload.

    A run is kept in ``runs.csv`` as soon as its pack is done; a run that is there is not repeated.

    Args:
        output: The directory.
        scale: "full" is the paper's size, "smoke" a toy.
        settings: Changes of the workload's settings.

    Raises:
        UserError: If the directory holds runs of another workload, or cannot be written.
    """

    def __init__(self, output: Path, scale: str = "full", **settings: Any) -> None:
        values = {**(SMOKE if scale == "smoke" else {}), **settings}
        workload = SparseRecovery.from_values(values, torch.device("cpu"))
        assert isinstance(workload, SparseRecovery)
        self.workload = workload
        self.name = output.name
        recipe = json.dumps(workload.config.model_dump(), sort_keys=True)
        claim_directory(output / "workload.json", recipe, "runs of other workload settings")
        self._kept = KeptRows(output / RUNS_FILE, KEY)

    @property
    def runs(self) -> pd.DataFrame:
        """All runs kept so far."""
        return self._kept.table

    def run(
        self, settings: Sequence[Setting], seeds: Sequence[int], starts: Sequence[float] | None = None
    ) -> pd.DataFrame:
        """Run what is missing of settings x seeds (x starts) and return the rows of all of them.

        Args:
            settings: What to train.
            seeds: One pack each.
            starts: Initial values of the first weight, instead of the one that the seed draws.

        Returns:
            One row per run, with ``label`` first, then the columns of ``runs.csv``.
        """
        planned = starts if starts is not None else (np.nan,)
        wanted = [(s, seed, start) for seed in seeds for s in settings for start in planned]
        with Meter(self.name, len(wanted)) as meter:
            for seed in seeds:
                missing = [
                    (s, start) for s, at, start in wanted if at == seed and not self._has(s, at, start)
                ]
                meter.skip(len(settings) * len(planned) - len(missing))
                for setting, _ in (m for m in missing if m[0].method not in PACKABLE):
                    self._kept.add([self._solved(setting, seed)])
                    meter.advance(1)
                if packed := [m for m in missing if m[0].method in PACKABLE]:
                    self._kept.add(self._packed(packed, seed, meter))
        rows = [self._rows(s, seed, start).assign(label=s.label) for s, seed, start in wanted]
        return pd.concat(rows, ignore_index=True)

    def cost_note(self) -> str:
        """Say how long all runs took, this time or earlier; the wall time above is of this call."""
        return (
            f"- the {len(self.runs)} runs kept here took {self.runs['seconds'].sum() / 60:.1f} min in all\n"
        )

    def _has(self, setting: Setting, seed: int, start: float) -> bool:
        return not self._rows(setting, seed, start).empty

    def _rows(self, setting: Setting, seed: int, start: float) -> pd.DataFrame:
        runs = self.runs
        at = runs["start"].isna() if np.isnan(start) else runs["start"] == start
        return runs[
            (runs["method"] == setting.method) & (runs["config"] == setting.key) & (runs["seed"] == seed) & at
        ]

    def _packed(self, runs: Sequence[tuple[Setting, float]], seed: int, meter: Meter) -> list[dict[str, Any]]:
        """Train all settings of one seed in one pack, from the initial weights that ``fit`` would draw."""
        config = self.workload.config
        torch.manual_seed(seed)
        model = self.workload.build_model()
        weight, bias = (p.detach().numpy() for p in model.parameters())
        initial = np.repeat(weight, len(runs), axis=0)
        for row, (_, start) in zip(initial, runs, strict=True):
            if not np.isnan(start):
                row[0] = start
        data = self.workload.splits["train"]
        began = time.monotonic()

        def on_epoch(_: PackedEpoch) -> None:
            meter.advance(len(runs) / config.epochs)

        result = train_packed(
            data.inputs.numpy(),
            data.targets.numpy(),
            [PackedTrial(setting.method, **setting.config) for setting, _ in runs],  # type: ignore[arg-type]
            init_weights=initial,
            init_bias=float(bias[0]),
            epochs=config.epochs,
            batch_size=config.batch_size,
            seed=seed,
            warmup=config.warmup,
            loss=config.loss,
            on_epoch=on_epoch,
        )
        seconds = (time.monotonic() - began) / len(runs)
        rows = []
        for index, (setting, start) in enumerate(runs):
            self.workload.load_solution(
                model, LinearSolution(result.weights[index], float(result.bias[index]), {})
            )
            identity = self._identity(setting, seed, start, float(initial[index, 0]), seconds)
            rows.append({**identity, "diverged": bool(result.diverged[index]), **self._measured(model)})
        return rows

    def _solved(self, setting: Setting, seed: int) -> dict[str, Any]:
        """Run a solver."""
        result = fit(self.workload, get_method(setting.method).from_values(setting.config), seed)
        assert result.model is not None
        identity = self._identity(setting, seed, np.nan, np.nan, result.seconds)
        return {**identity, "diverged": False, **self._measured(result.model)}

    def _identity(
        self, setting: Setting, seed: int, start: float, first_weight: float, seconds: float
    ) -> dict[str, Any]:
        key = {"method": setting.method, "config": setting.key, "seed": seed, "start": start}
        return {**key, "first_weight": first_weight, "seconds": round(seconds, 2)}

    def _measured(self, model: Any) -> dict[str, float]:
        """Return the workload's findings as flat columns; sparsity at t is ``sparsity@t``."""
        found = self.workload.findings(model)
        flat = {name: value for name, value in found.items() if not isinstance(value, dict)}
        sparsity = found["sparsity"]
        assert isinstance(sparsity, dict)
        return {**flat, **{f"sparsity@{t}": share for t, share in sparsity.items()}}


SPARSITY_COLUMNS = [f"sparsity@{t:g}" for t in PAPER_THRESHOLDS]


def recovered(runs: pd.DataFrame) -> pd.Series:
    """Return, per run, whether the support above 1e-3 is exactly the truth's."""
    return (runs["support_recall"] == 1) & (runs["support_precision"] == 1)
