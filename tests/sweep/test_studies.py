"""The journal of a sweep's studies after its driver was killed in the middle of a line."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest

from rewa.sweep.folder import SWEEP_FILE, SweepFolder
from rewa.sweep.studies import open_storage

optuna.logging.set_verbosity(optuna.logging.WARNING)


def study(folder: SweepFolder) -> optuna.Study:
    return optuna.create_study(study_name="s", storage=open_storage(folder), load_if_exists=True)


@pytest.mark.parametrize("kept", [0, 1, 7])
def test_a_torn_line_is_cut_off_and_the_study_goes_on(tmp_path: Path, kept: int) -> None:
    """Appended to as it is, the journal would be unreadable for ever."""
    folder = SweepFolder(tmp_path)
    begun = study(folder)
    for value in (1.0, 2.0):
        begun.tell(begun.ask({"x": optuna.distributions.FloatDistribution(0, 1)}), value)
    whole = folder.studies.read_bytes()
    begun.ask()
    torn = folder.studies.read_bytes()[len(whole) :][:kept]
    folder.studies.write_bytes(whole + torn)

    again = study(folder)
    assert [trial.value for trial in again.trials] == [1.0, 2.0]
    again.tell(again.ask(), 3.0)
    assert [trial.value for trial in study(folder).trials] == [1.0, 2.0, 3.0]


def test_no_lock_is_left_for_a_resumption_to_wait_for(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    study(folder).ask()
    assert [item.name for item in tmp_path.iterdir()] == [folder.studies.name]


def test_a_folder_of_an_older_version_keeps_its_sqlite_file(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    old = optuna.storages.RDBStorage(f"sqlite:///{folder.old_studies}")
    begun = optuna.create_study(study_name="s", storage=old)
    begun.tell(begun.ask(), 5.0)
    (tmp_path / SWEEP_FILE).write_text("{}")
    assert folder.is_started
    assert [trial.value for trial in study(folder).trials] == [5.0]
    assert not folder.studies.exists()
