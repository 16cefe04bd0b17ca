"""A sweep from start to end: search, confirmation, tracking; and its resumption."""

from __future__ import annotations

import shlex
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rewa.description import describe
from rewa.environment import commit, hardware, versions
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.packs import can_pack
from rewa.record import Record
from rewa.sweep.changes import first_difference
from rewa.sweep.confirm import pareto_settings
from rewa.sweep.executor import check_local_resources, ray_cluster, run_trials
from rewa.sweep.folder import SweepFolder
from rewa.sweep.pack import Packing
from rewa.sweep.progress import SweepProgress
from rewa.sweep.space import SearchSpace, space_from_values
from rewa.sweep.trial import TrialSpec
from rewa.sweep.writer import TrackingWriter
from rewa.tracking import Tracker
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
    """

    complete: bool
    ran: int
    counts: dict[str, int]
    folder: SweepFolder
    tracking_uri: str


def open_sweep(
    space: SearchSpace, text: str, output: Path, resume: bool, trials: int | None, seed: int | None
) -> tuple[SearchSpace, SweepFolder]:
    """Claim the output directory and settle what is to be run.

    Args:
        space: The search space as read.
        text: Its YAML, kept for the report.
        output: Output directory.
        resume: Whether to go on with a sweep that is there; without one a new sweep starts.
        trials: Trials per method, if not the space's own; on resumption, the new number.
        seed: Seed, if not the space's own.

    Returns:
        The space with budget and seed settled, and the locked directory.

    Raises:
        UserError: If the directory is taken, or the space or seed is not the one it was started with.
    """
    folder = SweepFolder(output)
    if folder.is_foreign:
        raise UserError(f"{output}: is taken and is not a sweep; choose another --output")
    folder.lock()
    if folder.is_started and not resume:
        raise UserError(
            f"{output}: holds a sweep already; add --resume to go on with it, or choose another --output"
        )
    if not folder.is_started:
        space = space.model_copy(
            update={
                "trials": space.trials if trials is None else trials,
                "seed": space.seed if seed is None else seed,
            }
        )
        folder.write_meta(_new_meta(space, text))
        return space, folder
    meta = folder.read_meta()
    stored = space_from_values(meta["space"], f"{output}/sweep.json")
    if seed is not None and seed != stored.seed:
        raise UserError(f"{output}: was started with --seed {stored.seed}, not {seed}")
    if trials is not None and trials < stored.trials:
        raise UserError(
            f"{output}: has {stored.trials} trials per method; --trials can raise that, not lower it"
        )
    # resources say where trials run, not what is searched: another cluster may go on with the sweep
    stored = stored.model_copy(update={"resources": space.resources})
    asked = space.model_copy(update={"trials": stored.trials, "seed": stored.seed})
    if changed := first_difference(stored.model_dump(by_alias=True), asked.model_dump(by_alias=True)):
        raise UserError(
            f"{output}: the search space has changed since ({changed}); "
            "restore it, or choose another --output"
        )
    space = stored.model_copy(update={"trials": trials or stored.trials})
    meta.update(trials_per_method=space.trials, space=space.model_dump(mode="json", by_alias=True))
    folder.write_meta(meta)
    return space, folder


def run_sweep(
    space: SearchSpace, folder: SweepFolder, tracking_uri: str, address: str | None = None
) -> SweepOutcome:
    """Run what is left of a sweep: search, then confirmation on fresh seeds, all tracked.

    Every finished training is on disk before the next starts, so a sweep may be killed at any moment
    and resumed. Selection reads the validation split only.

    Args:
        space: From :func:`open_sweep`.
        folder: From :func:`open_sweep`.
        tracking_uri: Resolved MLflow URI.
        address: Of a running Ray cluster; ``None`` uses this machine.

    Raises:
        UserError: If the workload's settings are wrong or the resources are not there.
    """
    started = time.monotonic()
    if address is None:
        check_local_resources(space.resources)
    device = "cuda" if space.resources.gpu else "cpu"
    local = pick_device("cpu")
    workload = get_workload(space.workload_name).from_values(space.workload_settings, local)
    meta = folder.read_meta()
    meta["workload"] = describe(workload)
    folder.write_meta(meta)
    template = TrialSpec(
        sweep=space.name,
        workload=space.workload_name,
        workload_settings=_for_workers(workload.config, space.workload_settings),
        method="",
        trial="",
        phase="search",
        seed=space.seed,
        config={},
        objective=space.objective,
        device=device,
        folder=str(folder.path),
        cpu=space.resources.cpu,
        gpu=space.resources.gpu,
        workers=space.resources.workers,
    )
    searched = folder.records("search")
    missing = len(space.methods) * space.trials - len(searched)
    planned = [] if missing > 0 else _to_confirm(space, folder, template)
    ran = 0
    if missing > 0 or planned:
        ran = _run_missing(space, folder, template, workload, tracking_uri, address)
    meta["wall_seconds"] = round(meta.get("wall_seconds", 0.0) + time.monotonic() - started, 1)
    folder.write_meta(meta)
    searched = folder.records("search")
    records = searched + folder.records("confirm")
    tracker = Tracker(tracking_uri, space.name)
    for record in records:
        tracker.log(record)
    tracker.log_summary(meta)
    enough = len(searched) >= len(space.methods) * space.trials
    complete = enough and not _to_confirm(space, folder, template)
    counts = Counter(str(record.status) for record in records)
    return SweepOutcome(complete, ran, dict(counts), folder, tracking_uri)


def _for_workers(config: WorkloadConfig, given: dict[str, Any]) -> dict[str, Any]:
    """Return the given settings as validated: with absolute paths, for workers have other directories."""
    dumped = config.model_dump(mode="json")
    return {key: dumped[key] for key in given}


def _run_missing(
    space: SearchSpace,
    folder: SweepFolder,
    template: TrialSpec,
    workload: Workload,
    tracking_uri: str,
    address: str | None,
) -> int:
    """Run the trainings that are missing and return how many finished."""
    from rewa.sweep.search import ListedTrials, SearchThenConfirm, build_search

    writer = TrackingWriter(tracking_uri, space.name)
    scratch = folder.path / "tune"
    planned_confirm = len(space.methods) * space.confirm.settings * space.confirm.seeds
    earlier = folder.records("search") + folder.records("confirm")
    total = len(space.methods) * space.trials + planned_confirm
    with (
        SweepProgress(total, len(earlier)) as progress,
        ray_cluster(address, space.resources) as concurrency,
    ):

        def keep(record: Record) -> None:
            if folder.has(*record.key):
                return
            folder.save(record)
            writer.add(record)
            progress.finished(record)
            if record.status == "failed":
                progress.message(f"{record.trial} failed: {record.reason}")

        for record in earlier:
            progress.seen(record)
            writer.add(record)
        packing = _packing(space, workload, concurrency)
        searcher, left = build_search(space, folder, template, workload.schedule_sum, packing)

        def confirm() -> ListedTrials:
            searched = len(folder.records("search"))
            if searched < len(space.methods) * space.trials:
                return ListedTrials([], packing)  # some were lost: a resumption proposes them again
            specs = _to_confirm(space, folder, template)
            progress.set_total(searched + len(folder.records("confirm")) + len(specs))
            progress.start_phase("confirm")
            return ListedTrials(specs, packing)

        if left:
            progress.start_phase("search")
        both = SearchThenConfirm(searcher, confirm)
        run_trials(both, left + planned_confirm, concurrency, space.resources, scratch, keep)
        progress.start_phase("tracking")
        writer.stop()
        return progress.here


def _packing(space: SearchSpace, workload: Workload, concurrency: int) -> Packing:
    """Return how trials are packed: not at all unless the space asks and the workload allows it."""
    if space.resources.pack == 1 or space.resources.gpu:
        return Packing(concurrency=concurrency)
    packed = frozenset(name for name in space.methods if can_pack(workload, get_method(name)))
    return Packing(space.resources.pack, concurrency, packed)


def _to_confirm(space: SearchSpace, folder: SweepFolder, template: TrialSpec) -> list[TrialSpec]:
    """Return the retrainings that are planned and not finished."""
    by_method: dict[str, list[Record]] = {name: [] for name in space.methods}
    for record in folder.records("search"):
        by_method[record.method].append(record)
    specs = []
    for records in by_method.values():
        for record in pareto_settings(records, space.confirm.settings, space.objective):
            for seed in confirm_seeds(space):
                if not folder.has(record.trial, "confirm", seed):
                    update = {
                        "method": record.method,
                        "trial": record.trial,
                        "phase": "confirm",
                        "seed": seed,
                        "config": record.config,
                    }
                    specs.append(template.model_copy(update=update))
    return specs


def confirm_seeds(space: SearchSpace) -> list[int]:
    """Return the fresh seeds: those after the search's own."""
    return [space.seed + 1 + index for index in range(space.confirm.seeds)]


def _new_meta(space: SearchSpace, text: str) -> dict[str, Any]:
    """Describe a new sweep, for the report and for its resumption."""
    return {
        "sweep": space.name,
        "command": shlex.join(["rewa", *sys.argv[1:]]),
        "commit": commit(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "wall_seconds": 0.0,
        "versions": versions(),
        "hardware": hardware(),
        "objective": space.objective.model_dump(),
        "methods": list(space.methods),
        "trials_per_method": space.trials,
        "search_seed": space.seed,
        "confirm_seeds": confirm_seeds(space),
        "confirm_settings": space.confirm.settings,
        "space": space.model_dump(mode="json", by_alias=True),
        "space_text": text,
    }
