"""What trainings say of themselves, a line each in one file: a count that trusts no Ray, Optuna or MLflow."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEDGER = "ledger"
"""Name of the file."""

BEGUN, EPOCH, ENDED = "begun", "epoch", "ended"


@dataclass(frozen=True)
class Entry:
    """One line.

    Attributes:
        time: Seconds since 1970.
        pid: Process that trains.
        event: ``begun``, ``epoch`` (one begins) or ``ended``.
        training: Which training: see :func:`training_name`.
    """

    time: float
    pid: int
    event: str
    training: str


def training_name(method: str, config: Mapping[str, Any], seed: int) -> str:
    """Return what a training is known by, wherever and whenever it runs: method, settings and seed."""
    text = json.dumps(dict(config), sort_keys=True)
    return f"{short(method)}:{hashlib.sha256(text.encode()).hexdigest()[:12]}:{seed}"


def short(method: str) -> str:
    """Return what a method is called here: the class of one that is named by its path, in small letters."""
    return method.rpartition(":")[2].lower()


def note(folder: str | Path, event: str, training: str) -> None:
    """Append a line in one write, so that lines of several processes never mix."""
    line = f"{time.time():.6f} {os.getpid()} {event} {training}\n"
    file = os.open(Path(folder) / LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def read(folder: Path) -> list[Entry]:
    """Return all lines so far; none if nothing has begun."""
    try:
        text = (folder / LEDGER).read_text()
    except FileNotFoundError:
        return []
    rows = [line.split() for line in text.splitlines()]
    return [Entry(float(at), int(pid), event, training) for at, pid, event, training in rows]


def under_way(entries: Iterable[Entry]) -> dict[int, str]:
    """Return the last training of every process that has begun one and not ended it."""
    found: dict[int, str] = {}
    for entry in entries:
        if entry.event == BEGUN:
            found[entry.pid] = entry.training
        elif entry.event == ENDED and found.get(entry.pid) == entry.training:
            del found[entry.pid]
    return found


def counted(entries: Iterable[Entry], event: str) -> Counter[str]:
    """Return how often each training has come to an event."""
    return Counter(entry.training for entry in entries if entry.event == event)
