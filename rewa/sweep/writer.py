"""Writes runs to MLflow beside the training, so that no trial waits for the tracker."""

from __future__ import annotations

import logging
import queue
import threading
from contextlib import suppress

from rewa.record import Record

log = logging.getLogger(__name__)


class TrackingWriter:
    """A thread that owns a tracker. What it cannot write now, the end of the sweep writes.

    Args:
        uri: Resolved tracking URI.
        sweep: Name of the sweep.
    """

    def __init__(self, uri: str, sweep: str) -> None:
        self.uri, self.sweep = uri, sweep
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Write a record soon."""
        self._queue.put(record)

    def stop(self) -> None:
        """Write what is queued and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        """Write queued records until told to stop; one that fails now is written by the sweep's end."""
        from rewa.tracking import Tracker

        tracker: Tracker | None = None
        with suppress(Exception):  # opened at once, as that takes seconds; tried again with the first record
            tracker = Tracker(self.uri, self.sweep)
        while (record := self._queue.get()) is not None:
            try:
                tracker = tracker or Tracker(self.uri, self.sweep)
                tracker.log(record)
            except Exception as error:  # the sweep's end writes what is missing, and raises if it cannot
                log.warning("%s is not in the store yet: %s", record.trial, error)
