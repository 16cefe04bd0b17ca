"""Whether a sweep's driver runs, where, and how it came to its end."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewa.status.plain import number, text, whole
from rewa.sweep.heartbeat import STALE_AFTER
from rewa.sweep.layout import ERROR_FILE, LOCK_FILE, SWEEP_FILE, is_locked


@dataclass(frozen=True)
class Driver:
    """The process that drives a sweep; times are seconds since 1970.

    Attributes:
        running: Whether it runs: it holds the directory's lock, or, on another machine, gave a sign of life
            within a minute.
        pid: Its process; ``None`` if unknown.
        host: Its machine; empty if unknown.
        since: When it started; ``None`` if unknown.
        last_active: When it last did something.
        ended: "finished", "interrupted", "error", "killed" or, where no sign of life was ever written,
            "unknown"; empty while it runs.
        reason: One sentence on an error.
        error: Last line of error.log, from this or an earlier run; ``None`` without one.
        error_at: When that was written.
    """

    running: bool
    pid: int | None
    host: str
    since: float | None
    last_active: float
    ended: str
    reason: str
    error: str | None
    error_at: float


def find_driver(folder: Path, beat: Mapping[str, Any], newest: float) -> Driver:
    """Find out about a sweep's driver.

    Args:
        folder: The output directory.
        beat: Content of its ``status.json``; empty without one.
        newest: When the newest result was written; 0 without any.
    """
    pid, host, updated = whole(beat, "pid"), text(beat, "host"), number(beat, "updated") or 0.0
    started, ended = number(beat, "started"), text(beat, "ended")
    error, error_at = _last_line(folder / ERROR_FILE)
    last_active = max(updated, newest, error_at, _written(folder / SWEEP_FILE))
    here = host == platform.node()
    if is_locked(folder):
        if ended or not beat or (here and not _is_alive(pid)):  # another driver, which has not told of itself
            lock = _written(folder / LOCK_FILE)
            return Driver(True, None, "", lock or None, max(last_active, lock), "", "", error, error_at)
        return Driver(True, pid, host, started, last_active, "", "", error, error_at)
    if beat and not ended and not here and time.time() - updated < STALE_AFTER:
        return Driver(True, pid, host, started, last_active, "", "", error, error_at)
    reason = text(beat, "reason")
    if error is not None and error_at >= (started or 0.0) and ended != "interrupted":
        ended, reason = "error", error
    elif not ended:
        ended = "killed" if beat else "unknown"
    return Driver(False, pid, host, started, last_active, ended, reason, error, error_at)


def _is_alive(pid: int | None) -> bool:
    """Return whether there is such a process on this machine."""
    if not pid:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _written(path: Path) -> float:
    """Return when a file was last written; 0 without one."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _last_line(path: Path) -> tuple[str | None, float]:
    """Return the last line of a text file that has something in it, and when it was written."""
    try:
        lines = path.read_text(errors="replace").strip().splitlines()
    except OSError:
        return None, 0.0
    return (lines[-1].strip()[:500] if lines else None), _written(path)
