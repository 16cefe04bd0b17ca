"""What a sweep is to come to, and what of it is there."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from rewa.record import RESULT_FILE, Record
from rewa.storage import Store
from rewa.sweep.confirm import pareto_settings
from rewa.sweep.folder import SweepFolder
from rewa.sweep.housekeeping import PREVIOUS, checkpoint_paths, clean, clean_store, present_checkpoints
from rewa.sweep.layout import CHECKPOINTS_FOLDER, PHASE_FOLDERS
from rewa.sweep.opening import confirm_seeds
from rewa.sweep.space import SearchSpace
from rewa.sweep.trial import TrialSpec, checkpoint_of

log = logging.getLogger(__name__)


class Plan:
    """What a sweep is to come to, and what of it is there.

    Args:
        space: The search space.
        folder: The output directory.
        template: What all trials share.
    """

    def __init__(self, space: SearchSpace, folder: SweepFolder, template: TrialSpec) -> None:
        self.space, self.folder, self.template = space, folder, template

    def total(self) -> int:
        """Return how many trainings there will be: for the confirmation an upper bound until it begins."""
        if self.is_searched():
            return self.finished() + len(self.to_confirm())
        space = self.space
        return len(space.methods) * (space.trials + space.confirm.settings * space.confirm.seeds)

    def finished(self) -> int:
        """Return how many trainings are finished."""
        return sum(self._count(phase) for phase in PHASE_FOLDERS)

    def is_searched(self) -> bool:
        """Return whether every method has its trials."""
        return self._count("search") >= len(self.space.methods) * self.space.trials

    def is_complete(self) -> bool:
        """Return whether nothing is left to do."""
        return self.is_searched() and not self.to_confirm()

    def to_confirm(self) -> list[TrialSpec]:
        """Return the retrainings that are planned and not finished."""
        return [
            self._spec(record, seed)
            for records in self._chosen().values()
            for record in records
            for seed in confirm_seeds(self.space)
            if not self.folder.has(record.trial, "confirm", seed)
        ]

    def confirmed(self) -> dict[str, list[str]]:
        """Return the settings that are confirmed, by method: the report uses the retrainings of no others."""
        return {method: [record.trial for record in records] for method, records in self._chosen().items()}

    def _chosen(self) -> dict[str, list[Record]]:
        """Return the settings to confirm, by method."""
        space = self.space
        by_method: dict[str, list[Record]] = {name: [] for name in space.methods}
        for record in self.folder.records("search"):
            by_method[record.method].append(record)
        return {
            method: pareto_settings(records, space.confirm.settings, space.objective)
            for method, records in by_method.items()
        }

    def clean(self) -> None:
        """Remove what no training needs any more, in the directory and in the storage.

        A search trial that was interrupted is proposed again with its setting: all checkpoints are kept that
        belong to no finished training, until the sweep is complete.
        """
        folder, store = self.folder.path, Store(self.template.storage) if self.template.storage else None
        clean(folder, self._live(present_checkpoints(folder)))
        if store is None:
            return
        try:
            there = {Path(key.removesuffix(PREVIOUS)) for key in store.keys(CHECKPOINTS_FOLDER)}
            clean_store(store, self._live(there))
        except Exception as error:  # providers raise many kinds; a later sweep cleans up
            log.warning("%s: old checkpoints could not be removed (%s)", store.uri, error)

    def forget(self, record: Record) -> None:
        """Remove the checkpoint of a training that will not be run again, wherever its worker was."""
        update = record.model_dump(include={"method", "config", "seed"})
        with suppress(Exception):  # its setting may be what failed
            if file := checkpoint_of(self.template.model_copy(update=update)):
                file.remove()

    def _live(self, present: set[Path]) -> set[Path]:
        """Return those of some checkpoints that a resumption may take up."""
        if not present or self.is_complete():
            return set()
        records = self.folder.records("search") + self.folder.records("confirm")
        over = {path.name for path in checkpoint_paths(self.template, records)}
        return {path for path in present if path.name not in over}

    def _count(self, phase: str) -> int:
        """Return how many trainings of a phase are finished, without reading them."""
        return sum(1 for _ in (self.folder.path / PHASE_FOLDERS[phase]).glob(f"*/{RESULT_FILE}"))

    def _spec(self, record: Record, seed: int) -> TrialSpec:
        """Return the retraining of a searched setting."""
        own = record.model_dump(include={"method", "trial", "config", "sampled"})
        return self.template.model_copy(update={**own, "phase": "confirm", "seed": seed})
