"""A sweep's output directory: the truth about what has finished.

    sweep.json          what is being run: space, budget, versions, times
    optuna.log          one Optuna study per method (a journal)
    error.log           what stopped it, if something did
    trials/<trial>/     result.json and frontier.csv of every finished search trial
    confirm/<trial>-seed-<s>/   the same for retrainings

A trial is finished when its ``result.json`` is there. Optuna and MLflow are brought in line with these
files whenever a sweep starts or resumes.
"""

from __future__ import annotations

import fcntl
import json
import traceback
from pathlib import Path
from typing import IO, Any

from rewa.errors import UserError
from rewa.record import RESULT_FILE, Record, load_record, save_record, write_text

SWEEP_FILE = "sweep.json"
STUDIES_FILE = "optuna.log"
OLD_STUDIES_FILE = "optuna.db"
LOCK_FILE = ".lock"
REPORT_FILE = "report.html"


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
            self._lock = (self.path / LOCK_FILE).open("w")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
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
        path = self.path / "error.log"
        path.write_text(traceback.format_exc())
        return path

    def record_folder(self, trial: str, phase: str, seed: int) -> Path:
        """Return where a training's record is kept."""
        if phase == "search":
            return self.path / "trials" / trial
        return self.path / "confirm" / f"{trial}-seed-{seed}"

    def save(self, record: Record) -> None:
        """Keep a finished training."""
        save_record(record, self.record_folder(*record.key))

    def has(self, trial: str, phase: str, seed: int) -> bool:
        """Return whether a training is finished."""
        return (self.record_folder(trial, phase, seed) / RESULT_FILE).is_file()

    def records(self, phase: str) -> list[Record]:
        """Return all finished trainings of a phase, by name."""
        parent = self.path / ("trials" if phase == "search" else "confirm")
        return [load_record(file.parent) for file in sorted(parent.glob(f"*/{RESULT_FILE}"))]

    @property
    def studies(self) -> Path:
        """The journal of the Optuna studies."""
        return self.path / STUDIES_FILE

    @property
    def old_studies(self) -> Path:
        """The SQLite file that versions before the journal kept."""
        return self.path / OLD_STUDIES_FILE
