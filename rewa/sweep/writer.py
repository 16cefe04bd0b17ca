"""Writes runs to MLflow beside the training, so that no trial waits for the tracker."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rewa.errors import UserError
from rewa.record import Record

if TYPE_CHECKING:
    from rewa.tracking import Tracker


class TrackingWriter:
    """A thread that owns the tracker. What it cannot write now, :meth:`finish` tries again.

    Args:
        uri: Resolved tracking URI.
        sweep: Name of the sweep.
    """

    def __init__(self, uri: str, sweep: str) -> None:
        self.uri, self.sweep = uri, sweep
        self.tracker: Tracker | None = None
        self.error: Exception | None = None
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Write a record soon."""
        self._queue.put(record)

    def finish(self, records: Iterable[Record]) -> Tracker:
        """Wait for the thread, then write whatever of these records is not in the store yet.

        Raises:
            UserError: If the store cannot be opened.
            Exception: What the store raises if it still fails.
        """
        self._queue.put(None)
        self._thread.join()
        if isinstance(self.error, UserError) or self.tracker is None:
            self.tracker = self._open()
        for record in records:
            self.tracker.log(record)
        return self.tracker

    def stop(self) -> None:
        """Write what is queued and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _open(self) -> Tracker:
        from rewa.tracking import Tracker

        return Tracker(self.uri, self.sweep)

    def _run(self) -> None:
        """Write queued records until told to stop; an error is kept for :meth:`finish` to retry."""
        while (record := self._queue.get()) is not None:
            try:
                self.tracker = self.tracker or self._open()
                self.tracker.log(record)
            except Exception as error:
                self.error = error
