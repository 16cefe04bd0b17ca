"""Where a command finds a sweep: in its output directory, or by its name in the MLflow store."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from rewa.errors import UserError
from rewa.record import Record, load_record
from rewa.status.commands import report_command, resume_command
from rewa.status.plain import mapping, read_mapping, text
from rewa.sweep.layout import PHASE_FOLDERS, REPORT_FILE, RESULT_FILE, SWEEP_FILE, entries, is_locked
from rewa.sweep_tables import SweepRecord, build_tables


@dataclass(frozen=True)
class Source:
    """A sweep and where it was found.

    Attributes:
        record: Its tables.
        running: Whether a driver writes in its output directory now; False where that is not known.
        resume: The command that goes on with it; empty where that is not known.
        report: The report's page if there is one, else the command that writes it.
        notes: What is wrong with its files, a sentence each.
    """

    record: SweepRecord
    running: bool = False
    resume: str = ""
    report: str = ""
    notes: list[str] = field(default_factory=list)


def read_source(sweep: str, tracking_uri: str | None) -> Source:
    """Read a sweep.

    Args:
        sweep: Its output directory, read from the files there without MLflow; else its name in the store.
        tracking_uri: The store, for a name; as for :func:`rewa.store_uri.resolve_uri`.

    Raises:
        UserError: If there is no such sweep, or it has no finished training yet.
    """
    folder = Path(sweep)
    if _is_sweep(folder):
        return _read_folder(folder)
    if folder.is_dir() and ("/" in sweep or sweep in (".", "..")):
        raise UserError(f"{sweep}: is not the output directory of a sweep (it has no {SWEEP_FILE})")
    if "/" in sweep:
        raise UserError(
            f"{sweep}: no such directory; give the --output of a sweep, or a sweep's name in MLflow"
        )
    from rewa.tracking import read_sweep

    record = read_sweep(tracking_uri, sweep)
    store = [] if tracking_uri is None else ["--tracking-uri", tracking_uri]
    report = shlex.join(["python", "-m", "analysis.report", "--sweep", record.name, *store])
    return Source(record, report=report)


def _is_sweep(folder: Path) -> bool:
    return any((folder / name).exists() for name in (SWEEP_FILE, *PHASE_FOLDERS.values()))


def _read_folder(folder: Path) -> Source:
    """Read an output directory; nothing in it is changed, a sweep may be running there."""
    meta, wrong = read_mapping(folder / SWEEP_FILE)
    notes = [f"{folder / SWEEP_FILE}: {wrong}"] if wrong else []
    if not meta and not wrong:
        notes.append(f"{folder / SWEEP_FILE} is missing: objective, budget and workload are not known.")
    if not mapping(meta, "workload"):
        meta.pop("workload", None)  # it comes with the first results, which say it too
    damaged: list[Path] = []
    name = text(meta, "sweep") or folder.absolute().name
    record = build_tables(name, meta, _records(folder, damaged))
    if record.runs.empty:
        if damaged:
            load_record(damaged[0].parent)  # says what is wrong
        raise UserError(f"{folder}: no training of this sweep has finished yet")
    if damaged:
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        notes.append(f"{damaged[0]}{more} is damaged and does not count.")
    page = folder / REPORT_FILE
    return Source(
        record,
        running=is_locked(folder),
        resume=resume_command(meta, folder),
        report=str(page) if page.is_file() else report_command(meta, folder),
        notes=notes,
    )


def _records(folder: Path, damaged: list[Path]) -> Iterator[tuple[str, Record]]:
    """Yield every finished training, without a run id; those that cannot be read are listed."""
    for name in PHASE_FOLDERS.values():
        for place in sorted(entries(folder / name), key=lambda entry: entry.name):
            path = Path(place.path) / RESULT_FILE
            try:
                yield "", Record.model_validate_json(path.read_bytes())
            except (FileNotFoundError, NotADirectoryError):
                continue  # a training that has begun
            except OSError as error:
                raise UserError(f"{path}: cannot be read ({error.strerror})") from None
            except ValidationError:
                damaged.append(path)
