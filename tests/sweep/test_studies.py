"""The journal of a sweep's studies after its driver was killed in the middle of a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import optuna
import pytest
from pack_specs import spec

from rewa.record import Record
from rewa.sweep.folder import SweepFolder
from rewa.sweep.layout import SWEEP_FILE
from rewa.sweep.space import SearchSpace
from rewa.sweep.studies import open_storage, open_studies
from rewa.sweep.trial import failed_trial

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


def finished(method: str, numbers: Iterable[int]) -> dict[str, Record]:
    """Records as a sweep keeps them, each with what was drawn."""
    found = {}
    for number in numbers:
        one = spec(f"{method}-{number:04d}", method).model_copy(
            update={"sampled": {"lr": 0.01 * (1 + number)}}
        )
        found[one.trial] = failed_trial(one, "").model_copy(update={"score": number / 10})
    return found


SPACE = SearchSpace.model_validate(
    {
        "name": "s",
        "workload": {"name": "digits"},
        "methods": {
            "rewa": {"sample": {"lr": {"uniform": [0.0, 1.0]}}, "known": [{"lr": 0.5}, {"lr": 0.6}]},
            "spred": {"sample": {"lr": {"log_uniform": [0.001, 1.0]}}},
        },
    }
)


def told(folder: SweepFolder, records: dict[str, dict[str, Record]]) -> dict[str, list[tuple[str, Any, Any]]]:
    _, studies = open_studies(folder, SPACE, records)
    return {
        name: [(t.state.name, t.params.get("lr"), t.value) for t in study.trials]
        for name, study in studies.items()
    }


@pytest.mark.parametrize("damage", ["gone", "flipped", "cut", "nonsense", "other scores"])
def test_studies_that_are_lost_or_damaged_are_made_again_of_the_records(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = SweepFolder(tmp_path)
    records = {"rewa": finished("rewa", [0, 1, 3]), "spred": finished("spred", [0, 1])}
    before = told(folder, records)
    assert before["spred"] == [("COMPLETE", 0.01, 0.0), ("COMPLETE", 0.02, 0.1)]
    assert [state for state, _, _ in before["rewa"]] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    text = folder.studies.read_text()
    lines = text.splitlines(keepends=True)
    spoilt = {
        "gone": None,
        "flipped": text.replace('{"', '["', 1),
        "cut": "".join(lines[:2] + lines[3:]),
        "nonsense": "\x00\x01\n" * 9,
        "other scores": re.sub(r"(values?\W+)0\.1\b", r"\g<1>0.9", text),
    }[damage]
    if spoilt is None:
        folder.studies.unlink()
    else:
        assert spoilt != text
        folder.studies.write_text(spoilt)
    assert told(folder, records) == before
    is_kept = folder.studies.with_name("optuna.log.damaged").is_file()
    assert is_kept == (damage != "gone")
    assert ("made again" in caplog.text) == is_kept
    assert told(folder, records) == before, "and from now on they are whole"


def test_a_new_number_is_never_one_that_is_taken(tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    records = {"rewa": finished("rewa", [4]), "spred": {}}
    _, studies = open_studies(folder, SPACE, records)
    known = [studies["rewa"].ask() for _ in range(2)]
    assert [trial.number for trial in known] == [5, 6]
    assert [trial.suggest_float("lr", 0, 1) for trial in known] == [0.5, 0.6], (
        "known settings are still tried"
    )
