"""Where things are in a sweep's output directory, and who holds it."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

SWEEP_FILE = "sweep.json"
STATUS_FILE = "status.json"
STUDIES_FILE = "optuna.log"
OLD_STUDIES_FILE = "optuna.db"
LOCK_FILE = ".lock"
ERROR_FILE = "error.log"
REPORT_FILE = "report.html"
RESULT_FILE = "result.json"
DAMAGED_FILE = f"{RESULT_FILE}.damaged"
PHASE_FOLDERS = {"search": "trials", "confirm": "confirm"}
CHECKPOINTS_FOLDER = "checkpoints"
SCRATCH_FOLDER = "tune"
"""Ray Tune's own files while a sweep runs."""


def is_locked(folder: Path) -> bool:
    """Return whether a process of this machine, or of one that shares its locks, writes in a sweep's folder.

    The kernel is asked which locks there are; only where it does not tell, the lock is tried for an instant.
    """
    path = folder / LOCK_FILE
    with suppress(OSError):
        if _kernel_lists(path):
            return True
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(descriptor)
    return False


def _kernel_lists(path: Path) -> bool:
    """Return whether the table of locks that Linux shows this process has an exclusive one on a file."""
    status = path.stat()
    place = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    for line in Path("/proc/locks").read_text().splitlines():
        parts = line.split()
        if "->" not in parts and parts[1:2] == ["FLOCK"] and place in parts and "WRITE" in parts:
            return True
    return False


def entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what is in a folder; nothing where there is none."""
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []
