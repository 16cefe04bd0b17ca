"""The finished trainings of a sweep, read in a hurry: the head of each file, once."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rewa.status.plain import number, text, whole
from rewa.sweep.layout import DAMAGED_FILE, PHASE_FOLDERS, RESULT_FILE, entries

HEAD = 8192
"""Bytes of a record that are read first; what is wanted stands before its metrics."""
_TAIL = 64
_WANTED_END = "metrics"
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Training:
    """What the status needs of a finished training; times are seconds since 1970."""

    method: str
    trial: str
    phase: str
    seed: int
    status: str
    reason: str
    score: float | None
    config: dict[str, Any]
    finished: float


@dataclass(frozen=True)
class Survey:
    """All finished trainings.

    Attributes:
        trainings: Those that can be read.
        damaged: Results that cannot, relative to the output directory.
        set_aside: Results that a sweep has moved aside as damaged.
        size: Bytes of all records' files.
    """

    trainings: list[Training]
    damaged: list[str]
    set_aside: list[str]
    size: int


class TrainingReader:
    """Reads a sweep's records again and again; each file once, unless it changes.

    Args:
        folder: The sweep's output directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, tuple[tuple[int, int, int], Training | None]] = {}

    def read(self) -> Survey:
        """Return what is there now."""
        trainings, damaged, set_aside, size = [], [], [], 0
        for phase, name in PHASE_FOLDERS.items():
            for place in entries(self.folder / name):
                for entry in entries(Path(place.path)) if place.is_dir() else []:
                    try:
                        status = entry.stat()
                    except OSError:
                        continue  # replaced this moment
                    size += status.st_size
                    if entry.name == DAMAGED_FILE:
                        set_aside.append(f"{name}/{place.name}")
                    if entry.name != RESULT_FILE:
                        continue
                    stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
                    known = self._known.get(entry.path)
                    if known is None or known[0] != stamp:
                        known = stamp, _read(entry.path, phase, place.name, status.st_mtime)
                        self._known[entry.path] = known
                    if known[1]:
                        trainings.append(known[1])
                    else:
                        damaged.append(f"{name}/{place.name}/{RESULT_FILE}")
        return Survey(trainings, sorted(damaged), sorted(set_aside), size)


def _read(path: str, phase: str, folder: str, finished: float) -> Training | None:
    """Return a training; ``None`` if its file is damaged as far as that can be told at a glance."""
    try:
        with open(path, "rb", buffering=0) as file:
            start = file.read(HEAD) or b""
            end = start
            if len(start) == HEAD:
                file.seek(-_TAIL, os.SEEK_END)
                end = file.read(_TAIL) or b""
            if not end.rstrip().endswith(b"}"):
                return None
            values = _head(start.decode(errors="replace"))
            if values is None:
                file.seek(0)
                values = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    trial, seed, config = text(values, "trial"), whole(values, "seed"), values.get("config")
    method, status = text(values, "method"), text(values, "status")
    name = trial if phase == "search" else f"{trial}-seed-{seed}"
    if name != folder or values.get("phase") != phase or not method or not isinstance(config, dict):
        return None
    if seed is None or status not in ("completed", "diverged", "failed"):
        return None
    score, reason = number(values, "score"), text(values, "reason")
    return Training(method, trial, phase, seed, status, reason, score, config, finished)


def _head(content: str) -> dict[str, Any] | None:
    """Return a record's values up to its metrics; ``None`` if they are not all in the text."""
    found: dict[str, Any] = {}
    place = _skip(content, 0)
    if content[place : place + 1] != "{":
        return None
    try:
        while True:
            key, place = _DECODER.raw_decode(content, _skip(content, place + 1))
            if key == _WANTED_END:
                return found
            place = _skip(content, place)
            if content[place] != ":":
                return None
            found[key], place = _DECODER.raw_decode(content, _skip(content, place + 1))
            place = _skip(content, place)
            if content[place] != ",":
                return None
    except (ValueError, IndexError, TypeError, RecursionError):
        return None


def _skip(content: str, place: int) -> int:
    """Return where the next thing that is no space stands."""
    found = _SPACE.match(content, place)
    return found.end() if found else place
