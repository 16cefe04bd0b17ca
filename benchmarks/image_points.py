"""From the image benchmarks' runs to tables: points, curves over seeds, best accuracy at a compression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.image_study import Run

REFERENCE = Path(__file__).parent / "reference"
COLUMNS = [
    "preset",
    "seed",
    "split",
    "criterion",
    "value",
    "recalibrated",
    "compression",
    "compression_total",
    "accuracy_percent",
]


@dataclass(frozen=True)
class Over:
    """A number over seeds: mean, sample deviation (0 for one seed) and how many."""

    mean: float
    std: float
    runs: int

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.std:.2f}" if self.runs > 1 else f"{self.mean:.2f}"


def over(values: Sequence[float]) -> Over | None:
    """Return mean and deviation; ``None`` of nothing."""
    if not len(values):
        return None
    std = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return Over(float(np.mean(values)), std, len(values))


def points_of(runs: Sequence[Run]) -> pd.DataFrame:
    """Return every operating point of every completed run, accuracies in percent."""
    rows = [
        (
            run.preset.name,
            run.record.seed,
            p.split,
            p.criterion,
            p.value,
            p.recalibrated,
            p.compression,
            p.compression_total,
            100 * p.metric,
        )
        for run in runs
        for p in run.record.frontier
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def authors() -> pd.DataFrame:
    """Return the authors' CIFAR-10 curves in the columns of :func:`points_of`, and ``curve``, their name."""
    table = pd.read_csv(REFERENCE / "cifar10_authors.csv", comment="#").rename(columns={"threshold": "value"})
    return table.assign(seed=0, split="test", criterion="threshold", recalibrated=False)


def on_test(points: pd.DataFrame, preset: str, criterion: str, recalibrated: bool = False) -> pd.DataFrame:
    """Return a preset's points on the test split; by default with batch norm as trained."""
    own = (points["preset"] == preset) & (points["split"] == "test") & (points["criterion"] == criterion)
    return points[own & (points["recalibrated"].astype(bool) == recalibrated)]


def curve(points: pd.DataFrame, preset: str, criterion: str, recalibrated: bool = False) -> pd.DataFrame:
    """Return accuracy against compression, one row per threshold or target ratio, mean over seeds.

    Args:
        points: From :func:`points_of`.
        preset: Its name.
        criterion: "threshold" or "ratio".
        recalibrated: With batch-norm statistics recomputed after pruning.

    Returns:
        ``value``, ``compression`` (geometric mean), ``mean`` and ``std`` of the accuracy in percent (0 for
        one seed); in the order of ``value``. A threshold at which a seed has no weight left is missing.
    """
    own = on_test(points, preset, criterion, recalibrated)
    own = own.assign(log=np.log(own["compression"].astype(float)))
    grouped = own.groupby("value", sort=True)
    table = pd.DataFrame(
        {
            "compression": np.exp(grouped["log"].mean()),
            "mean": grouped["accuracy_percent"].mean(),
            "std": grouped["accuracy_percent"].std().fillna(0.0),
        }
    ).reset_index()
    finite: pd.DataFrame = table[np.isfinite(table["compression"])]
    return finite


def best_at(points: pd.DataFrame, preset: str, least: float, criterion: str = "threshold") -> Over | None:
    """Return the best test accuracy among the points with a compression of at least ``least``, over seeds.

    A target ratio counts as reached despite the rounding to whole weights. The threshold is picked by test
    accuracy, as when a curve is read off a figure.
    """
    own = on_test(points, preset, criterion)
    reached = own["value"] if criterion == "ratio" else own["compression"]
    return over(own[reached >= least * (1 - 1e-9)].groupby("seed")["accuracy_percent"].max().tolist())


def at_ratio(points: pd.DataFrame, preset: str, ratio: float, recalibrated: bool = False) -> Over | None:
    """Return the test accuracy at a target ratio, over seeds."""
    own = on_test(points, preset, "ratio", recalibrated)
    return over(own[np.isclose(own["value"], ratio)]["accuracy_percent"].tolist())


def reach(points: pd.DataFrame, preset: str, drop: float, criterion: str, floor: float) -> float:
    """Return the largest compression at which accuracy is within ``drop`` points of the preset's best.

    Means over seeds. A network that has learnt nothing keeps that at every compression: 1 if the best
    accuracy is not above ``floor`` percent, or there is none.
    """
    table = curve(points, preset, criterion)
    if table.empty or table["mean"].max() <= floor:
        return 1.0
    kept = table[table["mean"] >= table["mean"].max() - drop]
    return float(kept["value" if criterion == "ratio" else "compression"].max())


def write_points(points: pd.DataFrame, path: Path) -> None:
    """Write the points as CSV with five significant digits."""
    points.to_csv(path, index=False, float_format="%.6g")
