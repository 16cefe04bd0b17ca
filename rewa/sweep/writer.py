"""Writes runs to MLflow beside the training, so that no trial waits for the tracker, or fails for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from rewa.credentials import redacted
from rewa.errors import UserError
from rewa.record import Key, Record
from rewa.store_uri import sqlite_path
from rewa.sweep.backlog import Backlog, Leftover

if TYPE_CHECKING:
    from rewa.tracking import Tracker

PATIENCE = 60.0
"""Seconds without any progress after which the end of a sweep waits no longer for a server."""

FILE_PATIENCE = 300.0
"""The same for a database file: it is there, but making its tables takes long on a busy machine."""

SAY_AFTER = 3.0
"""Seconds of silence after which the end of a sweep says what it waits for."""

CLOSING_PAUSE = 2.0
"""Seconds between attempts while a sweep waits for its end."""

log = logging.getLogger(__name__)


class TrackingWriter:
    """A thread that owns a tracker. While the store is away it keeps what comes, and writes it afterwards.

    Args:
        uri: Resolved tracking URI.
        sweep: Name of the sweep.
        sweep_id: Its identity, see :class:`rewa.tracking.Tracker`.
        known: As for the tracker; may grow.
        notify: Told in one line when the store goes away and when it is back; default: the log.
        open_tracker: Opens the store; default: that of ``uri``.
    """

    def __init__(
        self,
        uri: str,
        sweep: str,
        sweep_id: str = "",
        *,
        known: Collection[Key] | None = None,
        notify: Callable[[str], None] = log.warning,
        open_tracker: Callable[[], Tracker] | None = None,
    ) -> None:
        self.uri, self.sweep, self.sweep_id, self._known = uri, sweep, sweep_id, known
        self._notify = notify
        self._backlog = Backlog(open_tracker or self._open, notify, f"MLflow at {redacted(uri)}")
        self._changed = threading.Condition()
        self._closing = self._abandoned = False
        self._refusal: UserError | None = None
        self._progress = time.monotonic()
        self._tried = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tracking", daemon=True)
        self._thread.start()

    def add(self, record: Record) -> None:
        """Write a record soon; never fails, never waits."""
        with self._changed:
            self._backlog.waiting.append(record)
            self._changed.notify_all()

    @property
    def leftover(self) -> Leftover:
        """What is not written yet."""
        return self._backlog.leftover

    @property
    def opened(self) -> bool:
        """Whether the first attempt to open the store is over, well or not."""
        return self._tried.is_set()

    def check(self, wait: float = 0.0) -> None:
        """Raise what makes every attempt useless, as far as it is known.

        Args:
            wait: Seconds to wait for the first attempt to open the store, which takes some.

        Raises:
            UserError: If the store holds another sweep of this name.
        """
        self._tried.wait(wait)
        if self._refusal is not None:
            raise self._refusal

    def stop(self, patience: float | None = None, meta: Mapping[str, Any] | None = None) -> Leftover:
        """Write what is left, and the summary, and end the thread; call it once, last.

        Args:
            patience: Seconds without progress after which it gives up; default :data:`PATIENCE`, or
                :data:`FILE_PATIENCE` for a database file.
            meta: The sweep's description for the summary run; ``None`` writes no summary.

        Returns:
            What could not be written: false where there is nothing.
        """
        if patience is None:
            patience = FILE_PATIENCE if sqlite_path(self.uri) else PATIENCE
        self._progress = time.monotonic()
        with self._changed:
            self._backlog.retry_aside()
            self._backlog.summary = meta
            self._closing = True
            self._changed.notify_all()
        said = False
        while self._thread.is_alive():
            self._thread.join(0.1)
            quiet = time.monotonic() - self._progress
            if quiet > patience:
                break
            if quiet > SAY_AFTER and self._backlog.reason and not said:
                said = True
                count = len(self._backlog.waiting)
                self._notify(
                    f"waiting up to {patience:.0f} s for MLflow at {redacted(self.uri)}: "
                    f"{count} trainings are not there yet"
                )
        self._abandoned = True
        with self._changed:
            self._changed.notify_all()
        return self._backlog.leftover

    def _open(self) -> Tracker:
        from rewa.tracking import Tracker

        return Tracker(self.uri, self.sweep, self.sweep_id, self._known)

    def _run(self) -> None:
        """Write until told to stop, and then until nothing is left."""
        from rewa.tracking import SweepTakenError

        try:
            pause = self._backlog.step()  # opened at once, as that takes seconds
            self._tried.set()
            while self._wait(pause):
                pause = self._backlog.step()
                if pause == 0:
                    self._progress = time.monotonic()
        except SweepTakenError as error:
            self._refusal = error
            self._notify(f"nothing is written to MLflow: {error}")
        finally:
            self._tried.set()

    def _wait(self, pause: float) -> bool:
        """Wait for ``pause`` seconds, and until there is something to do; return whether there is."""
        began = time.monotonic()
        with self._changed:
            while not self._abandoned:
                left = began + (min(pause, CLOSING_PAUSE) if self._closing else pause) - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                elif not self._backlog.idle:
                    return True
                elif self._closing:
                    return False
                else:
                    self._changed.wait()
        return False


def finish(
    uri: str,
    sweep: str,
    sweep_id: str,
    records: Iterable[Record],
    meta: Mapping[str, Any],
    *,
    patience: float | None = None,
    notify: Callable[[str], None] = log.warning,
) -> Leftover:
    """Bring a store in line with a sweep's records where no writer is at work.

    Returns:
        As :meth:`TrackingWriter.stop`.

    Raises:
        UserError: If the store holds another sweep of this name.
    """
    writer = TrackingWriter(uri, sweep, sweep_id, notify=notify)
    for record in records:
        writer.add(record)
    left = writer.stop(patience, meta)
    writer.check()
    return left
