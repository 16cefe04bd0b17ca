"""A sweep's output directory: the truth about what has finished.

    sweep.json          what is being run: space, budget, versions, times
    status.json         the driver's last sign of life
    optuna.log          one Optuna study per method (a journal)
    error.log           what stopped it, if something did
    trials/<trial>/     result.json and frontier.csv of every finished search trial
    confirm/<trial>-seed-<s>/   the same for retrainings

A trial is finished when its ``result.json`` is there and whole. Optuna and MLflow are brought in line with
these files whenever a sweep starts or resumes. A damaged one is set aside as ``result.json.damaged``, and its
trial is run again.
"""

from __future__ import annotations

import fcntl
import json
import time
import traceback
import warnings
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from rewa.environment import versions
from rewa.errors import UserError
from rewa.record import Record, load_record, save_record, write_text
from rewa.sweep.layout import (
    DAMAGED_FILE,
    ERROR_FILE,
    LOCK_FILE,
    OLD_STUDIES_FILE,
    PHASE_FOLDERS,
    REPORT_FILE,
    RESULT_FILE,
    STUDIES_FILE,
    SWEEP_FILE,
)

LOCK_TRIES = 5
"""How often the lock is tried, a tenth of a second apart: one who only looks may hold it for an instant."""


class SweepFolder:
    """Reads and writes one output directory.

    Args:
        path: The directory; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    @property
    def is_foreign(self) -> bool:
        """Whether something that is not a sweep is there."""
        if not self.path.exists():
            return False
        if not self.path.is_dir():
            return True
        names = {item.name for item in self.path.iterdir()}
        return SWEEP_FILE not in names and bool(names - {LOCK_FILE})

    @property
    def is_started(self) -> bool:
        """Whether a sweep here has got as far as proposing trials."""
        has_studies = self.studies.is_file() or self.old_studies.is_file()
        return (self.path / SWEEP_FILE).is_file() and has_studies

    @property
    def report(self) -> Path:
        """Where the report page is, or will be."""
        return self.path / REPORT_FILE

    def lock(self) -> None:
        """Make this process the only one that writes here; released when it ends, however it ends.

        Raises:
            UserError: If another process holds the lock, or the directory cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / LOCK_FILE).open("w")
            for tries_left in reversed(range(LOCK_TRIES)):
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if not tries_left:
                        file.close()
                        raise
                    time.sleep(0.1)
                else:
                    break
            self._lock = file
        except BlockingIOError:
            raise UserError(f"{self.path}: another sweep is running in this directory") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from None

    def unlock(self) -> None:
        """Give the directory back."""
        if self._lock:
            self._lock.close()
            self._lock = None

    def read_meta(self) -> dict[str, Any]:
        """Return the sweep's description.

        Raises:
            UserError: If it is missing or not JSON.
        """
        path = self.path / SWEEP_FILE
        try:
            meta: dict[str, Any] = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({error})") from None
        return meta

    def write_meta(self, meta: dict[str, Any]) -> None:
        """Replace the sweep's description."""
        write_text(self.path / SWEEP_FILE, json.dumps(meta, indent=1))

    def write_error(self) -> Path:
        """Keep the traceback of the exception being handled, and return where."""
        path = self.path / ERROR_FILE
        write_text(path, traceback.format_exc())
        return path

    def record_folder(self, trial: str, phase: str, seed: int) -> Path:
        """Return where a training's record is kept."""
        name = trial if phase == "search" else f"{trial}-seed-{seed}"
        return self.path / PHASE_FOLDERS[phase] / name

    def save(self, record: Record) -> None:
        """Keep a finished training."""
        save_record(record, self.record_folder(*record.key))

    def has(self, trial: str, phase: str, seed: int) -> bool:
        """Return whether a training is finished."""
        return (self.record_folder(trial, phase, seed) / RESULT_FILE).is_file()

    def records(self, phase: str) -> list[Record]:
        """Return all finished trainings of a phase, by name.

        A damaged ``result.json`` is moved aside with a warning and does not count.

        Raises:
            UserError: If one cannot be read, or is whole and another version's.
        """
        parent = self.path / PHASE_FOLDERS[phase]
        found = (self._load(file.parent) for file in sorted(parent.glob(f"*/{RESULT_FILE}")))
        return [record for record in found if record is not None]

    def damaged(self) -> list[Path]:
        """Return the damaged files that were moved aside, now or earlier."""
        return sorted(
            file for name in PHASE_FOLDERS.values() for file in self.path.glob(f"{name}/*/{DAMAGED_FILE}")
        )

    def _load(self, folder: Path) -> Record | None:
        """Return the record in a folder; ``None`` if it is damaged."""
        path = folder / RESULT_FILE
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from None
        try:
            record = Record.model_validate_json(content)
        except ValidationError:
            if _is_of_other_version(content):
                load_record(folder)  # says what is wrong
            self._set_aside(path)
            return None
        if record.phase not in PHASE_FOLDERS or self.record_folder(*record.key) != folder:
            self._set_aside(path)
            return None
        return record

    def _set_aside(self, path: Path) -> None:
        """Keep a damaged file out of the way."""
        aside = path.with_name(DAMAGED_FILE)
        path.replace(aside)
        warnings.warn(
            f"{path}: is damaged and was moved to {aside.name}; the training is run again", stacklevel=4
        )

    @property
    def studies(self) -> Path:
        """The journal of the Optuna studies."""
        return self.path / STUDIES_FILE

    @property
    def old_studies(self) -> Path:
        """The SQLite file that versions before the journal kept."""
        return self.path / OLD_STUDIES_FILE


def _is_of_other_version(content: bytes) -> bool:
    """Return whether a record that this version refuses is whole, and another version wrote it."""
    try:
        wrote = json.loads(content)["versions"]["rewa"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(wrote, str) and wrote != versions()["rewa"]
