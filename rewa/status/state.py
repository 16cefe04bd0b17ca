"""What a sweep is doing, or what became of it: everything that ``rewa status`` shows, as plain data."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewa.errors import UserError
from rewa.status.commands import report_command, resume_command
from rewa.status.disk import Disk, measure_disk
from rewa.status.driver import Driver, find_driver
from rewa.status.methods import MethodState, method_states
from rewa.status.plain import mapping, number, read_mapping, text, whole
from rewa.status.trainings import Survey, Training, TrainingReader
from rewa.sweep.layout import PHASE_FOLDERS, REPORT_FILE, STATUS_FILE, SWEEP_FILE


@dataclass(frozen=True)
class Failure:
    """A training that failed: it raised, hung, or took its worker down."""

    trial: str
    reason: str
    at: float


@dataclass(frozen=True)
class Status:
    """A sweep's state; times are seconds since 1970, sizes bytes.

    Attributes:
        sweep: Name of the sweep.
        folder: Its output directory, as it was given.
        driver: Whether it runs, where, since when, and how it ended.
        complete: Whether all that is planned has finished.
        phase: "search", "confirm", "tracking", "starting" or "done".
        finished: Finished trainings.
        total: Planned trainings; an upper bound (``total_is_bound``) until the search is over.
        total_is_bound: See ``total``.
        per_hour: Trainings per hour of this run; ``None`` where nothing runs or none has finished yet.
        seconds_left: Estimated; ``None`` likewise.
        methods: By method, in the sweep's order.
        last_failure: The last training that failed.
        error: Last line of error.log, and when it was written.
        disk: What the directory takes.
        untracked: Trainings that MLflow does not have yet, if known.
        cluster: What the cluster has, if a driver runs.
        next: The command that comes next; empty while a driver runs.
        report: The report's page; empty without one that is newer than all results.
        notes: What is wrong with the directory's files, a sentence each.
    """

    sweep: str
    folder: str
    driver: Driver
    complete: bool
    phase: str
    finished: int
    total: int
    total_is_bound: bool
    per_hour: float | None
    seconds_left: float | None
    methods: dict[str, MethodState]
    last_failure: Failure | None
    error: Failure | None
    disk: Disk
    untracked: int | None
    cluster: dict[str, float]
    next: str
    report: str
    notes: list[str]


def read_status(folder: Path, reader: TrainingReader | None = None) -> Status:
    """Read a sweep's state from its output directory; damaged files are told in the notes.

    Args:
        folder: The output directory.
        reader: Of the same directory, kept from an earlier call; it need not read records again.

    Raises:
        UserError: If the directory is missing or is no sweep's.
    """
    _check(folder)
    meta, wrong_meta = read_mapping(folder / SWEEP_FILE)
    beat, wrong_beat = read_mapping(folder / STATUS_FILE)
    found = (reader or TrainingReader(folder)).read()
    newest = max((training.finished for training in found.trainings), default=0.0)
    driver = find_driver(folder, beat, newest)
    running = mapping(beat, "running") if driver.running else {}
    methods = method_states(meta, found.trainings, running)
    finished = len(found.trainings)
    searching = any(state.searched < state.planned for state in methods.values())
    told = whole(beat, "total")
    is_bound = searching or told is None
    bound = sum(max(state.planned, state.searched) + state.confirm_planned for state in methods.values())
    total = max(finished, bound if told is None or searching else told)
    left = total - finished
    over = not driver.running and driver.ended in ("finished", "unknown")
    complete = over and not searching and left == 0
    per_hour = _rate(beat) if driver.running else None
    phase = text(beat, "phase") or "starting"
    if not driver.running:
        phase = "done" if complete else ("search" if searching else "confirm")
    page = folder / REPORT_FILE
    reported = complete and page.is_file() and page.stat().st_mtime >= newest
    following = ""
    if not driver.running:
        following = report_command(meta, folder) if complete else resume_command(meta, folder)
    return Status(
        sweep=text(meta, "sweep") or folder.absolute().name,
        folder=str(folder),
        driver=driver,
        complete=complete,
        phase=phase,
        finished=finished,
        total=total,
        total_is_bound=is_bound,
        per_hour=per_hour,
        seconds_left=left / per_hour * 3600.0 if per_hour else None,
        methods=methods,
        last_failure=_last_failure(found.trainings),
        error=None if driver.error is None else Failure("", driver.error, driver.error_at),
        disk=measure_disk(folder, found.size, finished),
        untracked=whole(beat, "untracked"),
        cluster={key: value for key in ("CPU", "GPU") if (value := number(mapping(beat, "cluster"), key))}
        if driver.running
        else {},
        next="" if reported else following,
        report=str(page) if reported else "",
        notes=[*filter(None, (_missing(meta, wrong_meta), wrong_beat)), *_damage(found)],
    )


def _check(folder: Path) -> None:
    """Refuse what is no sweep's output directory."""
    if not folder.exists():
        raise UserError(f"{folder}: no such directory; give the --output of a sweep")
    if not folder.is_dir():
        raise UserError(f"{folder}: is a file; give the --output directory of a sweep")
    parts = (SWEEP_FILE, *PHASE_FOLDERS.values())
    try:
        if not any((folder / name).exists() for name in parts):
            raise UserError(f"{folder}: is not the output directory of a sweep (it has no {SWEEP_FILE})")
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({error.strerror})") from None


def _rate(beat: dict[str, Any]) -> float | None:
    """Return trainings per hour since the driver's first one began."""
    count, seconds = whole(beat, "done_here"), number(beat, "seconds_here")
    if not count or not seconds or seconds <= 0:
        return None
    waited = max(0.0, time.time() - (number(beat, "updated") or time.time()))
    return 3600.0 * count / (seconds + min(waited, 60.0))


def _last_failure(trainings: list[Training]) -> Failure | None:
    failed = [training for training in trainings if training.status == "failed"]
    if not failed:
        return None
    last = max(failed, key=lambda training: training.finished)
    brief = (last.reason.strip().splitlines() or ["no reason recorded"])[0]
    return Failure(last.trial, brief, last.finished)


def _missing(meta: dict[str, Any], wrong: str) -> str:
    return wrong or ("" if meta else f"{SWEEP_FILE} is missing: budget and methods are not known")


def _damage(found: Survey) -> list[str]:
    """Say which records are damaged."""
    notes = []
    if found.damaged:
        more = f" and {len(found.damaged) - 1} more" if len(found.damaged) > 1 else ""
        notes.append(
            f"{found.damaged[0]}{more} is damaged; the next --resume moves it aside and trains again"
        )
    if found.set_aside:
        count = len(found.set_aside)
        noun = "result was" if count == 1 else "results were"
        notes.append(f"{count} damaged {noun} moved aside as result.json.damaged and trained again")
    return notes
