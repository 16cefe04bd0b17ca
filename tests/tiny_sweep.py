"""A small sweep of real trainings, made by the engine's own parts without Ray: seconds, not a minute."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewa.description import describe
from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.opening import SweepRequest, open_sweep
from rewa.sweep.pack import run_task
from rewa.sweep.plan import Plan
from rewa.sweep.run import _template
from rewa.sweep.space import space_from_values
from rewa.sweep.writer import finish
from rewa.training import pick_device
from rewa.workloads import get_workload

SPACE: dict[str, Any] = {
    "name": "tiny",
    "workload": {"name": "digits", "epochs": 12},
    "objective": {"max_compression": 50, "reference": 0.5},
    "trials": 2,
    "confirm": {"settings": 1, "seeds": 2},
    "methods": {
        "magnitude": {"sample": {"lr": {"log_uniform": [0.01, 0.5]}}},
        "sgd_l1": {
            "sample": {"lr": {"log_uniform": [0.01, 0.5]}, "l1": {"log_uniform": [1e-4, 1e-2]}},
        },
    },
}
DRAWN: dict[str, list[dict[str, float]]] = {
    "magnitude": [{"lr": 0.1}, {"lr": 0.02}],
    "sgd_l1": [{"lr": 0.1, "l1": 2e-3}, {"lr": 0.05, "l1": 1e-4}],
}


@dataclass(frozen=True)
class TinySweep:
    """Where it is, and what it came to."""

    folder: SweepFolder
    meta: dict[str, Any]
    records: list[Record]

    def track(self, uri: str) -> None:
        """Write it to a store."""
        assert not finish(uri, self.meta["sweep"], self.meta["id"], self.records, self.meta)

    def record(self, trial: str, phase: str, seed: int) -> Record:
        """Return one training's."""
        return next(one for one in self.records if one.key == (trial, phase, seed))


def make_sweep(output: Path, together: bool = True, **changes: Any) -> TinySweep:
    """Search and confirm; ``changes`` replace parts of the space.

    Args:
        output: The sweep's directory.
        together: Whether confirmations share a pack.
    """
    space, folder = open_sweep(SweepRequest(space_from_values({**SPACE, **changes}, "tiny"), "", output))
    workload = get_workload(space.workload_name).from_values(space.workload_settings, pick_device("cpu"))
    meta = {**folder.read_meta(), "workload": describe(workload)}
    template = _template(space, folder, meta, workload)
    plan = Plan(space, folder, template)
    for method, methods in space.methods.items():
        for number, drawn in enumerate(DRAWN[method][: space.trials]):
            config = methods.config(method, drawn, workload.schedule_sum)
            own = {"method": method, "trial": f"{method}-{number:04d}", "config": config, "sampled": drawn}
            run_task([template.model_copy(update=own)], lambda _, record: folder.save(record))
    tasks = [plan.to_confirm()] if together else [[spec] for spec in plan.to_confirm()]
    for task in tasks:
        run_task(task, lambda _, record: folder.save(record))
    meta["confirmed"] = plan.confirmed()
    folder.write_meta(meta)
    folder.unlock()
    return TinySweep(folder, meta, folder.records("search") + folder.records("confirm"))
