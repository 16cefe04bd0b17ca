"""A sweep's finished trainings in shared storage, so that they outlive the machine that drives it."""

from __future__ import annotations

import json
import logging
import queue
import tempfile
import threading
from pathlib import Path
from typing import Any

from rewa.credentials import brief
from rewa.errors import UserError
from rewa.record import RESULT_FILE
from rewa.storage import Store
from rewa.sweep.folder import SweepFolder
from rewa.sweep.layout import SWEEP_FILE

log = logging.getLogger(__name__)

PARTS = ("trials", "confirm")
"""Folders of finished trainings."""


def fetch(store: Store, folder: SweepFolder) -> bool:
    """Copy what the storage has of a sweep and the directory has not; return whether there is a sweep.

    Raises:
        UserError: If it cannot be read.
    """
    try:
        keys = store.keys()
        if SWEEP_FILE not in keys:
            return False
        if not (folder.path / SWEEP_FILE).is_file():
            store.get(SWEEP_FILE, folder.path / SWEEP_FILE)
        # a training's result marks it finished: it comes after the training's other files
        for key in sorted((k for k in keys if k.startswith(PARTS)), key=lambda k: k.endswith(RESULT_FILE)):
            path = folder.path / key
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                store.get(key, path)
        return True
    except Exception as error:
        raise UserError(f"{store.uri}: cannot be read ({brief(error)})") from None


def check_same(store: Store, meta: dict[str, Any]) -> None:
    """Refuse storage that holds another sweep.

    Raises:
        UserError: If it does.
    """
    there = stored_meta(store)
    if there and there.get("id") != meta.get("id"):
        raise UserError(
            f"{store.uri}: holds another sweep, started {there.get('started', 'some time ago')}; give this "
            "one another --name, or resume that one into an empty --output with --resume"
        )


def stored_meta(store: Store) -> dict[str, Any]:
    """Return the description of the sweep in the storage; empty if there is none.

    Raises:
        UserError: If it cannot be read.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / SWEEP_FILE
        try:
            if not store.get(SWEEP_FILE, path):
                return {}
            meta: dict[str, Any] = json.loads(path.read_text())
        except Exception as error:
            raise UserError(f"{store.uri}/{SWEEP_FILE}: cannot be read ({brief(error)})") from None
    return meta


class Mirror:
    """Copies finished trainings to the storage, in a thread, so that no trial waits for it.

    Args:
        store: The sweep's place.
        folder: The sweep's directory; what it has and the storage lacks is copied first.
    """

    def __init__(self, store: Store, folder: SweepFolder) -> None:
        self.store, self.folder = store, folder
        self.unwritten: set[Path] = set()
        self._queue: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
        self._thread.start()

    def add(self, training: Path) -> None:
        """Copy a training's files soon."""
        self._queue.put(training)

    def stop(self, timeout: float = 60.0) -> int:
        """Copy what is left, and return how many trainings could not be copied.

        Args:
            timeout: Seconds to wait at most.
        """
        self._queue.put(None)
        self._thread.join(timeout)
        for training in list(self.unwritten) if not self._thread.is_alive() else []:
            self._copy(training)
        return len(self.unwritten) + self._queue.qsize()

    def _run(self) -> None:
        """Copy until told to stop."""
        self._first()
        while (training := self._queue.get()) is not None:
            self._copy(training)

    def _first(self) -> None:
        """Copy what an earlier driver did not get to."""
        try:
            self.store.put(self.folder.path / SWEEP_FILE, SWEEP_FILE)
            there = self.store.keys()
        except Exception as error:
            log.warning("%s: cannot be written now (%s)", self.store.uri, brief(error))
            there = {}
        for part in PARTS:
            for result in self.folder.path.glob(f"{part}/*/{RESULT_FILE}"):
                if self._key(result) not in there:
                    self._copy(result.parent)

    def _copy(self, training: Path) -> None:
        """Copy one training's files, its result last."""
        files = [path for path in training.iterdir() if path.is_file() and not path.name.startswith(".")]
        try:
            for path in sorted(files, key=lambda path: path.name == RESULT_FILE):
                self.store.put(path, self._key(path))
            self.unwritten.discard(training)
        except Exception as error:
            if not self.unwritten:
                log.warning("%s: cannot be written now (%s)", self.store.uri, brief(error))
            self.unwritten.add(training)

    def _key(self, path: Path) -> str:
        return path.relative_to(self.folder.path).as_posix()
