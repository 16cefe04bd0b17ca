"""The sign of life of a sweep's driver: a small file in the output directory, replaced every few seconds."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from rewa.sweep.layout import STATUS_FILE

EVERY = 5.0
"""Seconds between two beats."""
AT_MOST_EVERY = 2.0
"""Seconds that pass at least between two beats, however often one is asked for."""
STALE_AFTER = 60.0
"""Seconds without a beat after which a driver on another machine counts as gone."""


class Heartbeat:
    """Writes what a driver is doing, from a thread of its own; a beat takes a fraction of a millisecond.

    A disk that is full or gone costs beats, never the sweep.

    Args:
        folder: The sweep's output directory.
        describe: Returns what is to be told, as plain data; called from the thread.
        every: Seconds between beats.
    """

    def __init__(self, folder: Path, describe: Callable[[], Mapping[str, Any]], every: float = EVERY) -> None:
        self.path = folder / STATUS_FILE
        self._describe = describe
        self._every = every
        self._tick = min(AT_MOST_EVERY, every)
        self._identity = {"pid": os.getpid(), "host": platform.node(), "started": time.time()}
        self._last = 0.0
        self._asked = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beat now, and from now on."""
        self._write({})
        self._thread.start()

    def beat(self) -> None:
        """Ask for a beat soon: something has changed."""
        self._asked = True

    def stop(self, how: str, reason: str = "") -> None:
        """Beat for the last time.

        Args:
            how: "finished", "interrupted" or "error".
            reason: One sentence, for an error.
        """
        self._stop.set()
        self._thread.join()
        self._write({"ended": how, "reason": reason})

    def _run(self) -> None:
        while not self._stop.wait(self._tick):
            if self._asked or time.monotonic() - self._last >= self._every:
                self._asked = False
                self._write({})

    def _write(self, end: Mapping[str, str]) -> None:
        self._last = time.monotonic()
        with suppress(OSError, RuntimeError):  # a table that grew while it was walked: the next beat has it
            _replace(self.path, {**self._identity, "updated": time.time(), **self._describe(), **end})


def amend(folder: Path, **changes: Any) -> None:
    """Change the last beat of a driver that has stopped beating, such as what it still had to do.

    Nothing happens where there is none, or where it cannot be written.
    """
    path = folder / STATUS_FILE
    with suppress(OSError, ValueError):
        _replace(path, {**json.loads(path.read_text()), **changes})


def _replace(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file in one step, without waiting for the disk."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(content))
    partial.replace(path)
