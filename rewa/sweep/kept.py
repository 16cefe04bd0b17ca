"""Where a finished training goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rewa.credentials import redacted
from rewa.record import Record
from rewa.store_uri import sqlite_path
from rewa.sweep.backlog import Leftover
from rewa.sweep.folder import SweepFolder
from rewa.sweep.mirror import Mirror
from rewa.sweep.opening import store_of
from rewa.sweep.progress import SweepProgress
from rewa.sweep.writer import TrackingWriter


class Kept:
    """Takes finished trainings: to disk, and from there to MLflow, to shared storage and to the eye.

    Args:
        folder: The output directory.
        meta: The sweep's description.
        tracking_uri: Resolved MLflow URI.
        progress: Shows it.
        earlier: Trainings that were finished before; what MLflow has beside them is none of the sweep's.
    """

    def __init__(
        self,
        folder: SweepFolder,
        meta: dict[str, Any],
        tracking_uri: str,
        progress: SweepProgress,
        earlier: Sequence[Record],
    ) -> None:
        self.folder, self.progress = folder, progress
        path = sqlite_path(tracking_uri)
        self._is_new_store = path is not None and not path.is_file()
        self.known = {record.key for record in earlier}
        self.writer = TrackingWriter(
            tracking_uri, meta["sweep"], meta["id"], known=self.known, notify=progress.message
        )
        for record in earlier:
            progress.seen(record)
            self.writer.add(record)
        store = store_of(meta)
        self.mirror = Mirror(store, folder) if store else None

    def check(self) -> None:
        """Refuse a store that holds another sweep of this name.

        Raises:
            UserError: If it does.
        """
        # a new store holds nothing, and its tables take seconds to make
        self.writer.check(wait=0.0 if self._is_new_store else 30.0)

    def new(self, record: Record) -> None:
        """Take a training that finished now, unless it is there."""
        if self.folder.has(*record.key):
            return
        self.folder.save(record)
        self.known.add(record.key)
        self.writer.add(record)
        if self.mirror:
            self.mirror.add(self.folder.record_folder(*record.key))
        self.progress.finished(record)
        if record.status == "failed":
            self.progress.message(f"{record.trial} failed: {record.reason}")

    def close(self, meta: dict[str, Any]) -> Leftover:
        """Write what is left, and return what MLflow does not have."""
        left = self.writer.stop(meta=meta)
        self.progress.untracked = len(left.records)
        if self.mirror and (missing := self.mirror.stop()):
            self.progress.message(
                f"{missing} trainings are not in {redacted(self.mirror.store.uri)}: --resume copies them"
            )
        return left
