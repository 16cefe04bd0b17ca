"""A sweep's Optuna studies, one per method: where they are kept, and how they follow what has finished."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.space import MethodSpace


def trial_name(method: str, number: int) -> str:
    """Return the name of an Optuna trial, such as ``rewa-0007``."""
    return f"{method}-{number:04d}"


def open_storage(folder: SweepFolder) -> BaseStorage:
    """Return the storage of the studies, which is created if need be; the folder must be locked.

    A journal takes a tenth of SQLite's time per trial. A line that a killed driver left half-written is cut
    off. Folders of older versions hold a SQLite file, which is then used.
    """
    if folder.old_studies.is_file():
        return RDBStorage(f"sqlite:///{folder.old_studies}")
    journal = folder.studies
    if journal.is_file():
        _cut_torn_line(journal)
    return JournalStorage(JournalFileBackend(str(journal), _FolderIsLocked(str(journal))))


class _FolderIsLocked(JournalFileOpenLock):
    """No lock of its own: one left by kill -9 would stall the resumption, and the folder's serves."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


def _cut_torn_line(journal: Path) -> None:
    """Cut off what follows the last line end."""
    with journal.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)


def reconcile(study: optuna.Study, method: str, part: MethodSpace, finished: dict[str, Record]) -> None:
    """Make a study agree with the finished trials on disk.

    Known settings are enqueued in a new study. A trial that was running when the driver died is told
    its score if its result was saved, and otherwise fails and is proposed again with the same values.
    """
    trials = study.get_trials(deepcopy=False)
    if not trials:
        for values in part.known:
            study.enqueue_trial(dict(values), user_attrs={"source": "known"})
        return
    repeated = {trial.user_attrs.get("repeats") for trial in trials}
    for trial in trials:
        record = finished.get(trial_name(method, trial.number))
        if trial.state == TrialState.RUNNING:
            if record is not None:
                study.tell(trial.number, record.score)
            else:
                study.tell(trial.number, state=TrialState.FAIL)
                _propose_again(study, trial)  # from now on known as repeated
        elif record is None and trial.state.is_finished() and trial.number not in repeated:
            _propose_again(study, trial)


def _propose_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueue a lost trial's values, once."""
    if trial.params:
        study.enqueue_trial(trial.params, user_attrs={"repeats": trial.number})
    elif fixed := trial.system_attrs.get("fixed_params"):  # killed before it drew its known values
        study.enqueue_trial(fixed, user_attrs={"repeats": trial.number})
