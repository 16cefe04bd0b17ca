"""A workload as plain data: what a record, a report and a checkpoint say of it."""

from __future__ import annotations

from typing import Any

import torch

from rewa.optim import prunable_weights
from rewa.record import describe_workload
from rewa.workloads.base import Workload


def describe(workload: Workload) -> dict[str, Any]:
    """Return a workload's settings, split sizes, parameter counts, and where its data came from."""
    with torch.random.fork_rng():
        model = workload.build_model()
    counts = {
        "prunable_weights": sum(w.numel() for w in prunable_weights(model).values()),
        "parameters": sum(p.numel() for p in model.parameters()),
    }
    return {**describe_workload(workload, counts), **workload.description()}


def setting_of(workload: type[Workload], settings: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe without what is a matter of the machine: equal for runs of one setting.

    Args:
        workload: The class.
        settings: Given settings; the others take their defaults.

    Raises:
        UserError: Naming the setting that is wrong.
    """
    parsed = workload.Config.parse(settings, f"workload {workload.name!r}")
    return parsed.model_dump(exclude=set(workload.Config.machine))
