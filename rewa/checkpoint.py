"""A training's checkpoint on disk: written whole or not at all, read without running code from it."""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rewa.atomic import remove_partials, replacing
from rewa.distributed import from_rank_zero, rank
from rewa.errors import UserError
from rewa.sealed_file import read_sealed, write_sealed

FORMAT = 1
"""Version of what a checkpoint holds; another one is refused."""

State = dict[str, Any]


class CheckpointFile:
    """Keeps the newest state of one training in a file, and the one before it beside it.

    With several processes only process 0 reads and writes; the others are given what it read.

    Args:
        path: The file; its folder need not exist.
        identity: What decides the training (workload, method, config, seed), as plain data. A file of another
            training is refused.
        every: Seconds between saves; a training shorter than that is never written. 0 saves every epoch.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], every: float = 60.0) -> None:
        self.path = path
        self.every = every
        self._identity = identity_digest(identity)
        self._last = time.monotonic()
        self._broken = False

    @property
    def previous(self) -> Path:
        """Where the state before the newest is kept."""
        return self.path.with_name(f"{self.path.name}.previous")

    def load(self) -> State | None:
        """Return the newest readable state; ``None`` if there is none.

        A file that is damaged is passed over with a warning for the one before.

        Raises:
            UserError: If the checkpoint is another training's, or another version's.
        """
        found: State | None = None
        problem: str | None = None
        if rank() == 0:
            try:
                found = self._read()
            except UserError as error:  # told on every process, or the others would wait for ever
                problem = str(error)
        found, problem = from_rank_zero((found, problem))
        if problem:
            raise UserError(problem)
        return found

    def save_when_due(self, state: Callable[[], State], force: bool = False) -> None:
        """Save if enough time has passed since the last save; every process must call it.

        A full or vanished disk ends the saving with a warning, not the training.

        Args:
            state: Returns the state; called only when it is needed.
            force: Save if any checkpoint was saved or due before: for the state before a long evaluation.
        """
        waited = time.monotonic() - self._last
        due = waited >= self.every or (force and (self.path.exists() or waited >= self.every))
        if not from_rank_zero(due and not self._broken):
            return
        whole = {"format": FORMAT, "identity": self._identity, **state()}
        if rank() == 0:
            try:
                self._write(whole)
            except OSError as error:
                self._broken = True
                warnings.warn(
                    f"{self.path}: no checkpoint could be written ({error.strerror or error}); "
                    "the training goes on without",
                    stacklevel=2,
                )
        self._last = time.monotonic()

    def remove(self) -> None:
        """Delete the files: the training is over."""
        if rank() == 0:
            for path in (self.path, self.previous):
                path.unlink(missing_ok=True)
            remove_partials(self.path)

    def _write(self, state: State) -> None:
        """Write the state to disk before the name of the old one is given up."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(self.path, self.previous) as file:
            write_sealed(state, file)

    def _read(self) -> State | None:
        """Return the newest readable state of this training."""
        for path in (self.path, self.previous):
            if not path.is_file():
                continue
            try:
                state: State = read_sealed(path)
                kind, identity = state.pop("format"), state.pop("identity")
            except Exception as error:  # torch raises many kinds for a damaged file
                brief = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
                warnings.warn(f"{path}: cannot be read ({brief}); passed over", stacklevel=3)
                continue
            if identity != self._identity or kind != FORMAT:
                raise UserError(
                    f"{path}: is the checkpoint of another training or version; "
                    "remove it, or choose another output folder"
                )
            return state
        return None


def identity_digest(identity: Mapping[str, Any]) -> str:
    """Return a fingerprint of plain data; the order of keys does not matter."""
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
