"""A sweep from start to end: search, confirmation, tracking; and its resumption."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rewa.description import describe
from rewa.methods import get_method
from rewa.packs import can_pack
from rewa.record import Record
from rewa.sweep.backlog import Leftover
from rewa.sweep.executor import check_local_resources, ray_cluster, run_trials
from rewa.sweep.folder import SweepFolder
from rewa.sweep.kept import Kept
from rewa.sweep.layout import SCRATCH_FOLDER
from rewa.sweep.models import clean_models
from rewa.sweep.opening import confirm_seeds, store_of
from rewa.sweep.pack import Packing
from rewa.sweep.plan import Plan
from rewa.sweep.progress import SweepProgress
from rewa.sweep.space import SearchSpace
from rewa.sweep.trial import TrialSpec
from rewa.training import pick_device
from rewa.workloads import Workload, WorkloadConfig, get_workload


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended.

    Attributes:
        complete: Whether every training of the plan has finished.
        ran: Trainings run this time.
        counts: All finished trainings by status.
        folder: The output directory.
        tracking_uri: Where the runs are.
        untracked: What MLflow does not have yet, because it could not be reached; false if nothing.
    """

    complete: bool
    ran: int
    counts: dict[str, int]
    folder: SweepFolder
    tracking_uri: str
    untracked: Leftover


def run_sweep(
    space: SearchSpace, folder: SweepFolder, tracking_uri: str, address: str | None = None
) -> SweepOutcome:
    """Run what is left of a sweep: search, then confirmation on fresh seeds, all tracked.

    Every finished training is on disk before anything else learns of it, so a sweep may be killed at any
    moment and resumed. Selection reads the validation split only.

    Args:
        space: From :func:`rewa.sweep.opening.open_sweep`.
        folder: From there too.
        tracking_uri: Resolved MLflow URI.
        address: Of a running Ray cluster; ``None`` uses this machine.

    Raises:
        UserError: If the workload's settings are wrong or the resources are not there.
        RunError: If workers are lost before they finish anything.
    """
    started = time.monotonic()
    if address is None:
        check_local_resources(space.resources)
    workload = get_workload(space.workload_name).from_values(space.workload_settings, pick_device("cpu"))
    meta = {**folder.read_meta(), "workload": describe(workload)}
    folder.write_meta(meta)
    plan = Plan(space, folder, _template(space, folder, meta, workload))
    plan.clean()
    records = folder.records("search") + folder.records("confirm")
    with SweepProgress(plan.total(), len(records), folder.path) as progress:
        kept = Kept(folder, meta, tracking_uri, progress, records)
        try:
            if plan.is_complete():
                kept.check()
            else:
                _run_missing(plan, workload, kept, progress, address)
        finally:
            meta["wall_seconds"] = round(meta.get("wall_seconds", 0.0) + time.monotonic() - started, 1)
            if plan.is_complete():
                meta["confirmed"] = plan.confirmed()
            folder.write_meta(meta)
            progress.interrupted = not plan.is_complete()
            progress.start_phase("tracking")
            untracked = kept.close(meta)
        plan.clean()
        if not progress.interrupted:
            chosen = [trial for trials in meta["confirmed"].values() for trial in trials]
            clean_models(folder.path, store_of(meta), chosen)
    counts = Counter(progress.states)
    return SweepOutcome(plan.is_complete(), progress.here, dict(counts), folder, tracking_uri, untracked)


def _run_missing(
    plan: Plan, workload: Workload, kept: Kept, progress: SweepProgress, address: str | None
) -> None:
    """Run the trainings that are missing."""
    from rewa.sweep.search import ListedTrials, build_search
    from rewa.sweep.tasks import Tasks

    space, folder = plan.space, plan.folder
    with ray_cluster(address, space.resources) as slots:
        kept.check()

        def confirm() -> ListedTrials:
            if not plan.is_searched():
                return ListedTrials([], packing)  # some were lost: a resumption proposes them again
            specs = plan.to_confirm()
            progress.set_total(plan.finished() + len(specs))
            progress.start_phase("confirm")
            return ListedTrials(specs, packing)

        packing = _packing(space, workload, slots.planned)
        search = build_search(space, folder, plan.template, workload.schedule_sum, packing)
        tasks = Tasks(
            search,
            confirm,
            slots.limit,
            began=lambda spec: progress.began(spec.key, spec.method),
            stopped=lambda spec: progress.stopped(spec.key),
        )
        if any(search.remaining.values()):
            progress.start_phase("search")

        def look() -> None:
            if (has := slots.look(progress.message)) is not None:
                progress.cluster = has

        def keep(record: Record) -> None:
            kept.new(record)
            if record.status == "failed":
                plan.forget(record)

        run_trials(tasks, slots, folder.path / SCRATCH_FOLDER, keep, look)


def _template(space: SearchSpace, folder: SweepFolder, meta: dict[str, Any], workload: Workload) -> TrialSpec:
    """Return what all trials share."""
    resources, store = space.resources, store_of(meta)
    return TrialSpec(
        sweep=space.name,
        workload=space.workload_name,
        workload_settings=_for_workers(workload.config, space.workload_settings),
        method="",
        trial="",
        phase="search",
        seed=space.seed,
        config={},
        objective=space.objective,
        device="cuda" if resources.gpu else "cpu",
        folder=str(folder.path),
        storage=store.uri if store else "",
        model_seed=confirm_seeds(space)[0] if space.confirm.models else None,
        timeout=resources.timeout,
        cpu=resources.cpu,
        gpu=resources.gpu,
        workers=resources.workers,
    )


def _for_workers(config: WorkloadConfig, given: dict[str, Any]) -> dict[str, Any]:
    """Return the given settings as validated: with absolute paths, for workers have other directories."""
    dumped = config.model_dump(mode="json")
    return {key: dumped[key] for key in given}


def _packing(space: SearchSpace, workload: Workload, concurrency: int) -> Packing:
    """Return how trials are packed: not at all unless the space asks and the workload allows it."""
    if space.resources.pack == 1 or space.resources.gpu:
        return Packing(concurrency=concurrency)
    packed = frozenset(name for name in space.methods if can_pack(workload, get_method(name)))
    return Packing(space.resources.pack, concurrency, packed)
