"""Where a registered model's weights come from, and whether they are what the sweep measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import nn

from analysis.summary import Summary
from analysis.tables import section
from rewa.checkpoint import CheckpointFile
from rewa.environment import commit
from rewa.errors import RunError
from rewa.methods import get_method
from rewa.metric import Metric
from rewa.packs import fit_one
from rewa.registration.choice import Chosen
from rewa.registration.served_model import SPLITS, ServedModel, disagreements
from rewa.storage import Store
from rewa.sweep.layout import SWEEP_FILE
from rewa.sweep.models import kept_model
from rewa.training import fresh_model
from rewa.training_bar import TrainingBar
from rewa.workloads import Workload

METRIC_TOLERANCE = 0.005
"""How far a metric may be from its record: half a percentage point of a share; of another metric this share
of the way from chance to ideal. The same machine gives the same bits, another one or a GPU does not."""

COMPRESSION_TOLERANCE = 0.01
"""How far a compression may be from its record, as a share of it."""


def find_weights(summary: Summary, chosen: Chosen, workload: Workload, folder: Path) -> tuple[nn.Module, str]:
    """Return the trained model, unpruned, and where it comes from.

    Raises:
        RunError: If it has to be trained again and diverges or is interrupted.
    """
    meta = summary.record.meta
    store = Store(meta["storage"]).child(summary.record.name) if meta.get("storage") else None
    state = None
    if chosen.phase == "confirm":
        own = folder if _is_of(folder, meta) else None
        state = kept_model(own, store, chosen.method, chosen.trial, chosen.seed, chosen.config)
    if state is not None:
        model = fresh_model(workload, chosen.seed)
        model.load_state_dict(state)
        return model, "kept by the sweep"
    return _train_again(summary, chosen, workload), f"trained again with seed {chosen.seed}"


def _train_again(summary: Summary, chosen: Chosen, workload: Workload) -> nn.Module:
    """Train the setting as the sweep did; on the same CPU with the same bits."""
    resources = section(section(summary.record.meta, "space"), "resources")
    torch.set_num_threads(max(1, int(resources.get("cpu", 1))))
    name = f"{summary.record.name}-{chosen.trial}-seed-{chosen.seed}"
    identity = {"sweep": summary.record.meta.get("id"), "trial": name, "commit": commit(), **chosen.config}
    folder = Path("results/register") / name
    checkpoint = CheckpointFile(folder / "checkpoint.pt", identity)
    print(f"no weights of {chosen.trial} are kept; it is trained again with seed {chosen.seed}", flush=True)
    try:
        with TrainingBar(workload) as bar:
            method = get_method(chosen.method).from_values(chosen.config)
            result = fit_one(workload, method, chosen.seed, watch=bar.watch, checkpoint=checkpoint)
    except KeyboardInterrupt:
        raise RunError("interrupted; nothing was registered, the same command goes on") from None
    checkpoint.remove()
    with suppress(OSError):
        folder.rmdir()  # there is none where nothing was saved
    if result.model is None:
        raise RunError(
            f"{chosen.trial} with seed {chosen.seed} diverged here ({result.reason}) and not in the sweep; "
            "nothing was registered"
        )
    return result.model


def check(served: ServedModel, chosen: Chosen, summary: Summary) -> str:
    """Say how a model compares with its record.

    Raises:
        RunError: If they are further apart than :data:`METRIC_TOLERANCE` and :data:`COMPRESSION_TOLERANCE`.
    """
    metric, recorded = summary.metric, chosen.recorded
    measured = {split: served.metrics[split] for split in SPLITS if split in recorded}
    measured |= {"compression": served.compression, "compression_total": served.compression_total}
    allowed = allowed_differences(metric, recorded)

    def shown(key: str, value: float) -> str:
        return f"{value:.6g}x" if key.startswith("compression") else _exact(value, metric)

    def each(keys: list[str]) -> str:
        return "; ".join(
            f"{key} {shown(key, measured[key])}, on record {shown(key, recorded[key])}" for key in keys
        )

    if wrong := disagreements(measured, recorded, allowed):
        raise RunError(
            f"the model of {chosen.trial}, seed {chosen.seed}, is not what was measured ({each(wrong)}); "
            f"it may differ by {shown('val', METRIC_TOLERANCE * _span(metric))} in the metric and by "
            f"{100 * COMPRESSION_TOLERANCE:g} % in compression; nothing was registered"
        )
    splits = [f"{key} {metric.name} {shown(key, measured[key])}" for key in measured if key in SPLITS]
    size = f"{served.nonzero:,} of {served.weights:,} weights ({shown('compression', served.compression)})"
    differing = disagreements(measured, recorded, {})
    return f"{', '.join([*splits, size])}: {each(differing) or 'all as recorded'}"


def allowed_differences(metric: Metric, recorded: Mapping[str, float]) -> dict[str, float]:
    """Return how far each number may be from its record, by name."""
    return {
        key: COMPRESSION_TOLERANCE * value
        if key.startswith("compression")
        else METRIC_TOLERANCE * _span(metric)
        for key, value in recorded.items()
    }


def _span(metric: Metric) -> float:
    """Return what :data:`METRIC_TOLERANCE` is a share of."""
    return 1.0 if metric.is_share else metric.gain(metric.ideal, metric.chance)


def _exact(value: float, metric: Metric) -> str:
    """Write a value with the digits that tell two models apart."""
    return f"{100 * value:.2f} %" if metric.is_share else f"{value:.6g}"


def _is_of(folder: Path, meta: Mapping[str, Any]) -> bool:
    """Return whether a directory is this sweep's."""
    try:
        own = json.loads((folder / SWEEP_FILE).read_text())
        return bool(own["id"] == meta.get("id"))
    except (OSError, ValueError, LookupError, TypeError):
        return False
