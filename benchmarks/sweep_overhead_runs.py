"""What ``benchmarks.sweep_overhead`` runs: a trivial workload's sweep, watched and traced, and the floor."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.process_memory import ProcessMemory
from rewa.errors import RunError
from rewa.record import RESULT_FILE, Record, load_record
from rewa.workloads.tensors import TensorClassification

METHODS: Mapping[str, Mapping[str, Any]] = {
    "sgd_l1": {"momentum": 0.9, "l1": 1e-4},
    "rewa": {"momentum": 0.9, "K": 5.0, "M": 1.5, "weight_decay": 1e-4},
}
STEADY_FROM = 50
"""Trials from which on a steady state is spoken of."""
STORES = ("sqlite", "journal", "memory")
"""Where the floor's Optuna study is kept."""

Figures = dict[str, Any]


class Tiny(TensorClassification):
    """Ten parameters, 64 samples: a training is over before anything can be measured."""

    name, summary, model_name, classes = "tiny", "which side of a plane", "4-2", 2

    def load_splits(self) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
        """Return 64 samples per split."""
        x = torch.randn(192, 4, generator=torch.Generator().manual_seed(0))
        y = (x[:, 0] > 0).long()
        return {split: (x[i::3], y[i::3]) for i, split in enumerate(("train", "val", "test"))}

    def build_network(self) -> torch.nn.Module:
        """Return a linear layer."""
        return torch.nn.Linear(4, 2)


def space(trials: int, concurrency: int, pack: int = 1) -> dict[str, Any]:
    """Return a search space of ``trials`` trials (an even number), ``concurrency`` of them at once."""
    share = {"log_uniform": [0.05, 0.5]}
    return {
        "name": "overhead",
        "workload": {"name": f"{__name__}:Tiny", "epochs": 1, "batch_size": 64},
        "objective": {"max_compression": 5, "reference": 0.5},
        "trials": max(1, trials // len(METHODS)),
        "confirm": {"settings": 1, "seeds": 1},
        "resources": {"cpu": _cores() / concurrency, **({"pack": pack} if pack > 1 else {})},
        "methods": {name: {"sample": {"lr": share}, "fixed": dict(fixed)} for name, fixed in METHODS.items()},
    }


def watch_sweep(given: Mapping[str, Any], concurrency: int) -> Figures:
    """Run ``rewa sweep`` as a user would, and say where the time went.

    A record's file is written the moment the driver has it, and a record knows how long its training took:
    so the files' times and the records say when trainings began and how much of the time was none.
    """
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "space.yaml").write_text(yaml.safe_dump(dict(given), sort_keys=False))
        words = [sys.executable, "-m", "rewa", "sweep", "space.yaml", "--output", "out"]
        words += ["--tracking-uri", f"sqlite:///{home}/mlflow.db"]
        started = time.time()
        log = Path(home) / "log"
        with log.open("w") as file:
            sweep = subprocess.Popen(words, cwd=home, stdout=file, stderr=file)
        with ProcessMemory(sweep.pid) as memory:
            status = sweep.wait()
        ended = time.time()
        if status:
            raise RunError(f"the sweep failed: {(log.read_text().strip().splitlines() or ['?'])[-1]}")
        out = Path(home) / "out"
        search, confirm = (_finished(out / name) for name in ("trials", "confirm"))
    first = min(end - record.seconds for end, record in search)
    last = search[-1][0]
    trained = sum(record.seconds for _, record in search)
    rest = search[len(search) // 5 :]  # without the trials in which workers warm up
    occupied = concurrency * (rest[-1][0] - rest[0][0])
    steady = (occupied - sum(r.seconds for _, r in rest[1:])) / max(1, len(rest) - 1)
    return {
        "trials": len(search),
        "concurrency": concurrency,
        "seconds": ended - started,
        "to_first_trial": first - started,
        "to_first_result": search[0][0] - started,
        "search": last - first,
        "search_training": trained,
        "per_trial": (concurrency * (last - first) - trained) / len(search),
        "per_trial_steady": steady if len(search) >= STEADY_FROM else None,
        "training_per_trial": statistics.median(record.seconds for _, record in search),
        "confirm_trials": len(confirm),
        "confirm": confirm[-1][0] - last if confirm else 0.0,
        "to_end": ended - (confirm or search)[-1][0],
        "memory_mb": memory.largest(),
    }


def _finished(folder: Path) -> list[tuple[float, Record]]:
    """Return the records of a folder with the time at which each was there, in that order."""
    files = folder.glob(f"*/{RESULT_FILE}")
    return sorted(((f.stat().st_mtime, load_record(f.parent)) for f in files), key=lambda found: found[0])


def trace_sweep(given: Mapping[str, Any], folder: Path) -> list[Figures]:
    """Run the same sweep in this process with timers around its parts; return calls and seconds of each."""
    from ray.tune.execution.tune_controller import TuneController

    from rewa.sweep import keeper, run, search
    from rewa.sweep.folder import SweepFolder
    from rewa.sweep.opening import SweepRequest, open_sweep
    from rewa.sweep.space_file import load_space
    from rewa.tracking import Tracker

    parts: Mapping[str, tuple[Any, str]] = {
        "Tune: its whole loop, waiting included": (TuneController, "step"),
        "Tune: a result, with what it causes": (TuneController, "_on_training_result"),
        "Optuna: opening the studies": (search, "build_search"),
        "Optuna: the next task": (search.MethodsInTurn, "propose"),
        "Optuna: a trial's score": (search.MethodsInTurn, "tell"),
        "records: read, kept, counted": (keeper.Keeper, "on_trial_result"),
        "records: to disk": (SweepFolder, "save"),
        "MLflow: opening the store": (Tracker, "__init__"),
        "MLflow: a run, in a thread of its own": (Tracker, "log"),
    }
    rows: dict[str, list[float]] = {name: [] for name in parts}
    for name, (owner, attribute) in parts.items():
        if plain := getattr(owner, attribute, None):
            setattr(owner, attribute, _timed(plain, rows[name]))
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(dict(given), sort_keys=False))
    settled, opened = open_sweep(SweepRequest(load_space(path), path.read_text(), folder / "out"))
    run.run_sweep(settled, opened, f"sqlite:///{folder}/mlflow.db")
    return [
        {"part": name, "calls": len(times), "seconds": sum(times), "each": sum(times) / max(1, len(times))}
        for name, times in rows.items()
    ]


def _timed(function: Callable[..., Any], into: list[float]) -> Callable[..., Any]:
    """Return the function with its times noted."""

    @functools.wraps(function)
    def timed(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            into.append(time.perf_counter() - started)

    return timed


def floor(trials: int, concurrency: int, folder: Path) -> Figures:
    """Return the wall time per trial of an empty Ray task, with a study that is asked and told, by its store.

    Args:
        trials: How many.
        concurrency: Tasks in flight.
        folder: An empty folder for the studies.
    """
    import optuna
    import ray

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ray.init(address="local", num_cpus=_cores(), include_dashboard=False, log_to_driver=False)
    task: Any = ray.remote(num_cpus=_cores() / concurrency)(_nothing)
    ray.get([task.remote(i) for i in range(4 * concurrency)])
    found: Figures = {"trials": trials}
    for store in (*STORES, "none"):
        study = None if store == "none" else _study(store, folder)
        running: dict[Any, Any] = {}
        started = time.perf_counter()
        for _ in range(trials):
            if len(running) == concurrency:
                _tell(ray, study, running)
            trial = study.ask() if study else None
            value = trial.suggest_float("lr", 0.05, 0.5, log=True) if trial else 0.1
            running[task.remote(value)] = trial
        while running:
            _tell(ray, study, running)
        found[store] = (time.perf_counter() - started) / trials
    ray.shutdown()
    return found


def _tell(ray: Any, study: Any, running: dict[Any, Any]) -> None:
    """Wait for one task and tell its study."""
    (done,), _ = ray.wait(list(running))
    trial = running.pop(done)
    value = ray.get(done)
    if study:
        study.tell(trial, value)


def _nothing(value: float) -> float:
    return value


def _study(store: str, folder: Path) -> Any:
    """Return a new Optuna study, kept as the name says."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    storage: Any = optuna.storages.InMemoryStorage()
    if store == "sqlite":
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/optuna.db")
    elif store == "journal":
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    sampler = optuna.samplers.TPESampler(seed=0)
    return optuna.create_study(storage=storage, direction="maximize", sampler=sampler)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
