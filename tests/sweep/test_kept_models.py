"""The weights a sweep keeps: those of the first confirmation seed, to the bit, never at a training's cost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_sweep import TinySweep, make_sweep

from rewa.methods import get_method
from rewa.packs import fit_one
from rewa.storage import Store
from rewa.sweep import models, trial
from rewa.sweep.models import clean_models, keep_model, kept_model, key_of
from rewa.sweep.opening import confirm_seeds
from rewa.sweep.space import space_from_values
from rewa.sweep.trial import TrialSpec, run_trial
from rewa.training import pick_device
from rewa.workloads import get_workload

DIGITS = {"epochs": 3}


@pytest.fixture(
    scope="module", params=[True, pytest.param(False, marks=pytest.mark.slow)], ids=["pack", "alone"]
)
def sweep(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TinySweep:
    return make_sweep(tmp_path_factory.mktemp("sweep") / "tiny", together=request.param)


def spec(folder: Path, **changes: Any) -> TrialSpec:
    values: dict[str, Any] = {
        "sweep": "s",
        "workload": "digits",
        "workload_settings": DIGITS,
        "method": "rewa",
        "trial": "rewa-0000",
        "phase": "confirm",
        "seed": 1,
        "config": {"lr": 0.06, "K": 5, "M": 1.5, "weight_decay": 1e-3},
        "objective": {"max_compression": 100, "reference": 0.5},
        "device": "cpu",
        "folder": str(folder),
        "model_seed": 1,
    }
    return TrialSpec.model_validate({**values, **changes})


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("models/*")}


def test_the_first_seed_of_every_confirmed_setting_is_kept(sweep: TinySweep) -> None:
    confirmed = {trial for trials in sweep.meta["confirmed"].values() for trial in trials}
    assert len(confirmed) == 2
    assert names(sweep.folder.path) == {f"{trial}.pt" for trial in confirmed}
    assert confirm_seeds(space_from_values(sweep.meta["space"], ""))[0] == 1


def test_kept_weights_are_those_of_the_training_to_the_bit(sweep: TinySweep) -> None:
    workload = get_workload("digits").from_values({"epochs": 12}, pick_device("cpu"))
    torch.set_num_threads(1)
    for method, (name,) in sweep.meta["confirmed"].items():
        record = sweep.record(name, "confirm", 1)
        kept = kept_model(sweep.folder.path, None, method, name, 1, record.config)
        assert kept is not None
        again = fit_one(workload, get_method(method).from_values(record.config), 1).model
        assert again is not None
        trained = again.state_dict()
        assert set(kept) == set(trained)
        assert all(torch.equal(kept[key], trained[key]) for key in kept)
        assert all(value.dtype == torch.float32 for value in kept.values())


@pytest.mark.parametrize(
    "change",
    [{"model_seed": None}, {"seed": 2}, {"phase": "search"}],
    ids=["not asked", "another seed", "search"],
)
def test_no_other_weights_are_kept(tmp_path: Path, change: dict[str, Any]) -> None:
    assert run_trial(spec(tmp_path, **change)).status == "completed"
    assert not names(tmp_path)


def test_the_space_can_say_no(tmp_path: Path) -> None:
    made = make_sweep(tmp_path / "tiny", confirm={"settings": 1, "seeds": 1, "models": False}, trials=1)
    assert len(made.folder.records("confirm")) == 2
    assert not names(made.folder.path)


def test_a_diverged_training_keeps_none(tmp_path: Path) -> None:
    config = {"lr": 1e4, "weight_decay": 0.0}
    assert run_trial(spec(tmp_path, method="magnitude", config=config)).status == "diverged"
    assert not names(tmp_path)


def test_a_disk_that_cannot_be_written_costs_the_model_only(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("in the way")
    with pytest.warns(UserWarning, match="could not be kept"):
        record = run_trial(spec(tmp_path))
    assert record.status == "completed"
    assert record.frontier


def test_a_worker_killed_between_model_and_result_leaves_the_training_to_be_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is there, the result is not: the next worker trains again and writes the same model."""

    class KilledError(BaseException):
        pass

    def killed(*arguments: Any) -> None:
        keep_model(*arguments)
        raise KilledError

    monkeypatch.setattr(trial, "keep_model", killed)
    with pytest.raises(KilledError):
        run_trial(spec(tmp_path))
    first = (tmp_path / "models/rewa-0000.pt").read_bytes()
    monkeypatch.setattr(trial, "keep_model", keep_model)
    assert run_trial(spec(tmp_path)).status == "completed"
    assert (tmp_path / "models/rewa-0000.pt").read_bytes() == first


def test_damage_and_other_trainings_are_passed_over(tmp_path: Path) -> None:
    one = spec(tmp_path)
    run_trial(one)
    path = tmp_path / key_of(one.trial)
    asked = (one.method, one.trial, one.seed)
    assert kept_model(tmp_path, None, *asked, one.config) is not None
    assert kept_model(tmp_path, None, *asked, {**one.config, "K": 5.0, "M": 1.5}) is not None
    with pytest.warns(UserWarning, match="another training's"):
        assert kept_model(tmp_path, None, *asked, {**one.config, "lr": 0.07}) is None
    with pytest.warns(UserWarning, match="another training's"):
        assert kept_model(tmp_path, None, one.method, one.trial, 2, one.config) is None
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert kept_model(tmp_path, None, *asked, one.config) is None
    path.unlink()
    assert kept_model(tmp_path, None, *asked, one.config) is None
    assert kept_model(None, None, *asked, one.config) is None


def test_shared_storage_has_them_instead(tmp_path: Path) -> None:
    store = Store(f"file://{tmp_path}/store")
    one = spec(tmp_path / "here", storage=store.uri)
    run_trial(one)
    assert not names(tmp_path / "here")
    assert set(store.keys("models")) == {"models/rewa-0000.pt"}
    found = kept_model(tmp_path / "elsewhere", store, one.method, one.trial, one.seed, one.config)
    assert found is not None
    assert clean_models(tmp_path / "here", store, ["rewa-0000"]) == 0
    assert clean_models(tmp_path / "here", store, []) > 0
    assert not store.keys("models")
    assert kept_model(None, store, one.method, one.trial, one.seed, one.config) is None


def test_replaced_settings_and_half_written_files_are_removed(sweep: TinySweep, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(sweep.folder.path, folder)
    (old,) = sweep.meta["confirmed"]["magnitude"]
    (new,) = sweep.meta["confirmed"]["sgd_l1"]
    (folder / "models/.rewa-0000.pt.1234.partial").write_bytes(b"x" * 10)
    size = (folder / key_of(old)).stat().st_size
    assert clean_models(folder, None, [new]) == size + 10
    assert names(folder) == {f"{new}.pt"}
    assert clean_models(folder, None, [new]) == 0
    clean_models(folder, None, [])
    assert not (folder / models.MODELS_FOLDER).exists()
