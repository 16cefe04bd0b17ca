"""A checkpoint in shared storage: it outlives the machine that wrote it."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rewa.checkpoint import CheckpointFile, State
from rewa.credentials import brief
from rewa.storage import Store


class StoredCheckpoint(CheckpointFile):
    """A :class:`~rewa.checkpoint.CheckpointFile` whose file is copied to and from shared storage.

    The storage is the truth: another machine may have gone on with the training since this one wrote its
    file. Storage that cannot be reached costs checkpoints, never the training.

    Args:
        store: Where checkpoints are kept.
        key: Of the file there; the one before it has ``.previous`` added.
        identity: As for CheckpointFile.
        every: As for CheckpointFile.
    """

    def __init__(self, store: Store, key: str, identity: Mapping[str, Any], every: float = 60.0) -> None:
        self._folder = Path(tempfile.gettempdir()) / f"rewa-checkpoint-{uuid.uuid4().hex}"
        super().__init__(self._folder / Path(key).name, identity, every)
        self.store, self.key = store, key
        self._is_there: bool | None = None

    def remove(self) -> None:
        """Delete the files, here and there."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._is_there is False:
            return  # two requests less for each of many short trials
        try:
            for key in (self.key, f"{self.key}.previous"):
                self.store.remove(key)
        except Exception as error:
            self._warn("could not be removed", error)

    def _write(self, state: State) -> None:
        super()._write(state)
        self._is_there = True
        try:
            self.store.rename(self.key, f"{self.key}.previous")
            self.store.put(self.path, self.key)
        except Exception as error:
            self._warn("could not be written; the training goes on", error)

    def _read(self) -> State | None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            newest = self.store.get(self.key, self.path)
            before = self.store.get(f"{self.key}.previous", self.previous)
            self._is_there = newest or before
        except Exception as error:
            self._warn("could not be read; the training starts at its beginning", error)
        return super()._read()

    def _warn(self, what: str, error: Exception) -> None:
        warnings.warn(f"checkpoint {self.key} in {self.store.uri} {what} ({brief(error)})", stacklevel=2)
