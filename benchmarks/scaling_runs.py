"""Sweeps of any length for the report's benchmark, copied with variations from the kept sweep on digits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rewa.descent import Epoch
from rewa.environment import commit, hardware, versions
from rewa.record import Record
from rewa.sparsity.area import frontier_area
from rewa.sparsity.frontier import HEADLINE_RATIOS, OperatingPoint
from rewa.sparsity.layers import LayerRow

KEPT = Path(__file__).parent / "results" / "digits" / "frontier.csv.gz"
"""Every operating point of a real sweep: 175 trainings of the search and 36 confirmations."""
METHODS = ("rewa", "spred", "sgd_l1", "magnitude", "random")
CONFIRM_SEEDS = (1, 2, 3)
CONFIRM_SHARE = 5
"""One run in so many is a confirmation; a long real sweep has fewer, which is easier to report."""
DIVERGED_EVERY = 8
EPOCHS = 100
EXAMPLES = 360
OBJECTIVE: dict[str, Any] = {
    "criterion": "ratio",
    "max_compression": 200.0,
    "reference": 0.9,
    "recalibrated": False,
}
WORKLOAD: dict[str, Any] = {
    "name": "digits",
    "model": "LeNet-300-100",
    "metric": "accuracy",
    "direction": "max",
    "chance": 0.1,
    "ideal": 1.0,
    "headline_ratios": list(HEADLINE_RATIOS),
    "epochs": EPOCHS,
    "batch_size": 64,
    "warmup": 0.05,
    "train_size": 1077,
    "val_size": EXAMPLES,
    "test_size": EXAMPLES,
    "prunable_weights": 50200,
    "parameters": 50610,
}
LAYERS = (("0", (300, 64)), ("2", (100, 300)), ("4", (10, 100)))
_VARIED = ("lr", "weight_decay", "M", "l1")


@dataclass(frozen=True)
class Template:
    """A kept training: its settings and its frontier."""

    config: dict[str, Any]
    points: tuple[OperatingPoint, ...]


def sweep_meta(name: str, runs: int) -> dict[str, Any]:
    """Return the description of a sweep of ``runs`` trainings."""
    return {
        "sweep": name,
        "command": f"rewa sweep {name}",
        "commit": commit(),
        "started": "2026-01-01T00:00:00+00:00",
        "wall_seconds": 4.0 * runs,
        "versions": versions(),
        "hardware": hardware(),
        "workload": WORKLOAD,
        "objective": OBJECTIVE,
        "methods": list(METHODS),
        "trials_per_method": _per_method(runs)[0],
        "search_seed": 0,
        "confirm_seeds": list(CONFIRM_SEEDS),
        "confirm_settings": _per_method(runs)[1],
        "space": {"name": name, "workload": {"name": "digits", "epochs": EPOCHS}, "resources": {"cpu": 1}},
        "space_text": f"name: {name}\n",
    }


def records(name: str, runs: int, seed: int = 0) -> Iterator[Record]:
    """Yield the trainings of a sweep.

    Every training is a kept one of the same method and phase with its own settings and accuracies: each
    accuracy moved by up to four examples, the drawn settings by up to a factor 1.2. Every eighth trial of the
    search diverged and has no frontier, as 25 of 200 did in the kept sweep.

    Args:
        name: Name of the sweep.
        runs: Number of trainings, a multiple of the five methods.
        seed: Of the variations; a training depends on it, its method and its number only.
    """
    searched, confirmed = _per_method(runs)
    sound = [number for number in range(searched) if not _diverges(number)]
    for index, method in enumerate(METHODS):
        draw = [seed, index]
        for number in range(searched):
            yield _record(name, method, number, "search", 0, draw)
        for number in sound[:: max(1, len(sound) // max(1, confirmed))][:confirmed]:
            for again in CONFIRM_SEEDS:
                yield _record(name, method, number, "confirm", again, draw)


def _per_method(runs: int) -> tuple[int, int]:
    """Return a method's trials in the search and its confirmed settings."""
    if runs <= 0 or runs % len(METHODS):
        raise ValueError(f"the number of runs must be a multiple of {len(METHODS)}, got {runs}.")
    each = runs // len(METHODS)
    settings = each // (CONFIRM_SHARE * len(CONFIRM_SEEDS))
    return each - settings * len(CONFIRM_SEEDS), settings


def _diverges(number: int) -> bool:
    """Return whether a trial of the search is one that diverged."""
    return number % DIVERGED_EVERY == DIVERGED_EVERY - 1


@cache
def _templates() -> Mapping[tuple[str, str], list[Template]]:
    """Return the kept trainings by method and phase."""
    table = pd.read_csv(KEPT).rename(columns={"accuracy": "metric"})
    first = list(table.columns).index("recalibrated") + 1
    found: dict[tuple[str, str], list[Template]] = {}
    for (method, phase, _, _), rows in table.groupby(["method", "phase", "trial", "seed"]):
        drawn = {str(key): value for key, value in rows.iloc[0, first:].items() if not pd.isna(value)}
        config = {key: value if isinstance(value, str) else float(value) for key, value in drawn.items()}
        names = ("split", "criterion", "value", "compression", "compression_total", "metric", "recalibrated")
        points = tuple(OperatingPoint(*row) for row in rows[list(names)].itertuples(index=False))
        found.setdefault((str(method), str(phase)), []).append(Template(config, points))
    return found


def _record(name: str, method: str, number: int, phase: str, seed: int, draw: list[int]) -> Record:
    """Return one training."""
    kept = _templates()[method, phase]
    own, run = (np.random.default_rng([*draw, number, *more]) for more in ([], [1 + seed]))
    setting = _templates()[method, "search"]
    config = dict(setting[number % len(setting)].config)
    for key in _VARIED:
        if key in config:
            config[key] = float(config[key] * 1.2 ** own.uniform(-1.0, 1.0))
    identity: dict[str, Any] = {
        "sweep": name,
        "workload": WORKLOAD,
        "method": method,
        "trial": f"{method}-{number:04d}",
        "phase": phase,
        "seed": seed,
        "config": config,
        "versions": versions(),
        "commit": commit(),
        "hardware": hardware(),
    }
    if phase == "search" and _diverges(number):
        end = int(own.integers(2, EPOCHS // 2))
        return Record(
            **identity,
            status="diverged",
            reason=f"loss not finite in epoch {end}",
            score=0.0,
            seconds=float(own.uniform(0.1, 1.5)),
            metrics={},
            history=_history(end, 0.1, own),
            frontier=[],
        )
    points = [_varied(point, run) for point in kept[(number + seed) % len(kept)].points]
    accuracy = {p.value: p.metric for p in points if (p.split, p.criterion) == ("val", "ratio")}
    area = frontier_area(accuracy, OBJECTIVE["max_compression"], OBJECTIVE["reference"])
    return Record(
        **identity,
        status="completed",
        score=area,
        seconds=float(run.uniform(1.5, 3.0)),
        metrics=_headline(points),
        history=_history(EPOCHS, accuracy[1.0], run),
        frontier=points,
        layers=_layers(run),
        samples_per_second=float(run.uniform(4e4, 7e4)),
    )


def _varied(point: OperatingPoint, rng: np.random.Generator) -> OperatingPoint:
    """Return an operating point with its accuracy moved by up to four examples."""
    moved = round(point.metric * EXAMPLES) + int(rng.integers(-4, 5))
    return OperatingPoint(
        point.split,
        point.criterion,
        float(point.value),
        float(point.compression),
        float(point.compression_total),
        min(max(moved, 0), EXAMPLES) / EXAMPLES,
        bool(point.recalibrated),
    )


def _history(epochs: int, accuracy: float, rng: np.random.Generator) -> list[Epoch]:
    """Return a training's epochs, ending at an accuracy."""
    noise = rng.normal(0.0, 0.01, (epochs, 2))
    found = []
    for epoch in range(1, epochs + 1):
        left = math.exp(-epoch / 8.0)
        loss = 2.3 * left + 0.02 + abs(float(noise[epoch - 1, 0]))
        reached = accuracy - (accuracy - 0.1) * left + float(noise[epoch - 1, 1])
        rate = 0.05 * (1.0 + math.cos(math.pi * epoch / EPOCHS))
        found.append(Epoch(epoch, loss, min(max(reached, 0.0), 1.0), rate))
    return found


def _headline(points: list[OperatingPoint]) -> dict[str, float]:
    """Return a record's headline numbers."""
    named = {1.0: "unpruned", **{float(ratio): f"at_{ratio:g}x" for ratio in HEADLINE_RATIOS}}
    return {
        f"{point.split}_accuracy/{named[point.value]}": point.metric
        for point in points
        if point.criterion == "ratio" and point.value in named
    }


def _layers(rng: np.random.Generator) -> list[LayerRow]:
    """Return what the three layers keep at the headline compressions."""
    rows = []
    for name, shape in LAYERS:
        weights = math.prod(shape)
        part = float(rng.uniform(0.7, 1.3))
        kept = {float(ratio): int(part * weights / ratio) for ratio in HEADLINE_RATIOS}
        rows.append(LayerRow(name, shape, weights, kept))
    return rows
