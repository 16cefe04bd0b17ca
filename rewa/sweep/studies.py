"""A sweep's Optuna studies, one per method: where they are kept, and how they follow what has finished."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.space import MethodSpace, SearchSpace

log = logging.getLogger(__name__)

Finished = Mapping[str, Mapping[str, Record]]
"""Records of the search: by method, by trial."""


def trial_name(method: str, number: int) -> str:
    """Return the name of an Optuna trial, such as ``rewa-0007``; it names a folder too."""
    return f"{method.replace(':', '.')}-{number:04d}"


def open_studies(
    folder: SweepFolder, space: SearchSpace, finished: Finished
) -> tuple[BaseStorage, dict[str, optuna.Study]]:
    """Open or create the studies and bring them in line with the finished trials, which are the truth.

    Studies that cannot be read, or that contradict a record, are set aside and made again of the records.

    Args:
        folder: Must be locked.
        space: Names the studies.
        finished: Every finished trial of the search.

    Returns:
        The storage, and the study of every method.
    """
    try:
        return _reconciled(folder, space, finished)
    except Exception as error:  # a damaged journal raises many kinds
        if not folder.studies.is_file():
            raise
        aside = folder.studies.with_name(f"{folder.studies.name}.damaged")
        folder.studies.replace(aside)
        brief = (str(error).strip().splitlines() or [type(error).__name__])[0]
        log.warning(
            "%s: cannot be used (%s); it is kept as %s and the studies are made again of the finished trials",
            folder.studies,
            brief,
            aside.name,
        )
        return _reconciled(folder, space, finished)


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


def _reconciled(
    folder: SweepFolder, space: SearchSpace, finished: Finished
) -> tuple[BaseStorage, dict[str, optuna.Study]]:
    """Open the studies and bring each in line."""
    storage = open_storage(folder)
    studies = {}
    for name, part in space.methods.items():
        study = optuna.create_study(
            storage=storage,
            study_name=f"{space.name}/{name}",
            direction="maximize",
            load_if_exists=True,
        )
        reconcile(study, name, part, finished.get(name, {}))
        studies[name] = study
    return storage, studies


def reconcile(study: optuna.Study, method: str, part: MethodSpace, finished: Mapping[str, Record]) -> None:
    """Make a study agree with the finished trials on disk.

    Finished trials that it does not have are added. Known settings are enqueued in a new study. A trial that
    was running when the driver died is told its score if its result was saved, and otherwise fails and is
    proposed again with the same values.

    Raises:
        ValueError: If it contradicts a record.
    """
    trials = study.get_trials(deepcopy=False)
    _check(study, trials, method, finished)
    is_new = not trials
    _restore(study, len(trials), method, part, finished)
    if is_new:
        for number, values in enumerate(part.known):
            if trial_name(method, number) not in finished:
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


def _check(
    study: optuna.Study, trials: list[FrozenTrial], method: str, finished: Mapping[str, Record]
) -> None:
    """Refuse a study that tells another story than the records."""
    for trial in trials:
        record = finished.get(trial_name(method, trial.number))
        if record is None:
            continue
        is_told = trial.state == TrialState.COMPLETE
        if (record.sampled and trial.params != record.sampled) or (is_told and trial.value != record.score):
            raise ValueError(f"trial {trial.number} of study {study.study_name} is not what was kept")


def _restore(
    study: optuna.Study, count: int, method: str, part: MethodSpace, finished: Mapping[str, Record]
) -> None:
    """Add the finished trials behind the last one that the study has, each under its own number."""
    numbers = [int(name.rpartition("-")[2]) for name in finished]
    for number in range(count, max(numbers, default=-1) + 1):
        record = finished.get(trial_name(method, number))
        if record is None or not record.sampled:  # holds the number's place; nothing is learnt from it
            study.add_trial(create_trial(state=TrialState.FAIL))
            continue
        drawn = {name: part.sample[name].optuna() for name in record.sampled}
        study.add_trial(create_trial(params=record.sampled, distributions=drawn, value=record.score))


def _propose_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Enqueue a lost trial's values, once."""
    if trial.params:
        study.enqueue_trial(trial.params, user_attrs={"repeats": trial.number})
    elif fixed := trial.system_attrs.get("fixed_params"):  # killed before it drew its known values
        study.enqueue_trial(fixed, user_attrs={"repeats": trial.number})
