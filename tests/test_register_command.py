"""``rewa register``: what is registered is what was measured, once, and refused if it is not."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from tiny_sweep import TinySweep, make_sweep

from rewa import register_command
from rewa.registration.served_model import Predictor
from rewa.sealed_file import read_sealed, write_sealed
from rewa.tracking import Tracker, read_sweep
from rewa.workloads.digits import Digits

Cli = Callable[..., tuple[int, str, str]]

RATIO = 20.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> TinySweep:
    return make_sweep(tmp_path_factory.mktemp("sweep") / "results/tiny")


@pytest.fixture
def tiny(made: TinySweep, tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TinySweep:
    """The sweep in this test's own directory and store; both are what commands take by default."""
    shutil.copytree(made.folder.path.parent, tmp_path / "results")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    made.track(tracking_uri)
    return made


@pytest.fixture
def client(tracking_uri: str) -> MlflowClient:
    return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


def versions(client: MlflowClient, name: str = "tiny") -> list[Any]:
    return sorted(client.search_model_versions(f"name = '{name}'"), key=lambda v: int(v.version))


def aliases(client: MlflowClient) -> dict[str, str]:
    """Alias to number; SQLite gives integers, a server texts."""
    return {alias: str(number) for alias, number in client.get_registered_model("tiny").aliases.items()}


def logged_model(version: Any) -> str:
    """The id of the logged model that a version is of."""
    kind, _, model_id = str(version.source).partition(":/")
    assert kind == "models"
    return model_id


def files(client: MlflowClient, version: Any) -> Path:
    """Where a version's files are."""
    return Path(client.get_logged_model(logged_model(version)).artifact_location.removeprefix("file://"))


def model_runs(client: MlflowClient) -> list[Any]:
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return client.search_runs([experiment.experiment_id], "tags.`rewa.phase` = 'model'")


def recorded(sweep: TinySweep, trial: str, split: str, ratio: float = RATIO) -> float:
    return sweep.record(trial, "confirm", 1).metric_at(split)[ratio]


def best_trial(sweep: TinySweep, ratio: float = RATIO) -> str:
    """By hand: the highest mean over the seeds on validation."""
    trials = [trial for listed in sweep.meta["confirmed"].values() for trial in listed]
    means = {t: sum(sweep.record(t, "confirm", s).metric_at("val")[ratio] for s in (1, 2)) for t in trials}
    return max(means, key=lambda t: means[t])


def test_the_registered_model_gives_the_recorded_accuracy(
    tiny: TinySweep, cli: Cli, client: MlflowClient, monkeypatch: pytest.MonkeyPatch, tracking_uri: str
) -> None:
    status, out, err = cli("register", "tiny", "--compression", "20")
    assert status == 0, err
    trial = best_trial(tiny)
    assert "weights: kept by the sweep" in out
    assert "all as recorded" in out
    (line,) = re.findall(r"mlflow\.pyfunc\.load_model\(.*\)\.predict\(x\)", out)

    import mlflow

    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)
    mlflow.set_tracking_uri(tracking_uri)
    try:
        for split in ("val", "test"):
            inputs, targets = Digits.load_splits(None)[split]  # type: ignore[arg-type]
            scores = eval(line, {"mlflow": mlflow, "x": inputs.numpy()})
            assert scores.shape == (len(targets), 10)
            assert float(np.mean(scores.argmax(axis=1) == targets.numpy())) == recorded(tiny, trial, split)
            one = eval(line, {"mlflow": mlflow, "x": inputs[:1].numpy()})
            np.testing.assert_allclose(one, scores[:1], rtol=1e-5, atol=1e-5)
    finally:
        mlflow.set_tracking_uri("")

    (version,) = versions(client)
    method = trial.partition("-")[0]
    assert aliases(client) == {"best-20x": "1", f"{method}-20x": "1"}
    assert version.tags["rewa.trial"] == trial
    assert (version.tags["rewa.method"], version.tags["rewa.compression"]) == (method, "20")
    assert (version.tags["rewa.seed"], version.tags["rewa.commit"]) == ("1", tiny.meta["commit"])
    source = client.get_run(version.run_id)
    assert (source.data.tags["rewa.trial"], source.data.tags["rewa.phase"]) == (trial, "confirm")
    assert source.data.tags["rewa.seed"] == "1"

    (run,) = model_runs(client)
    assert run.info.status == "FINISHED"
    values = run.data.metrics
    assert values["test_accuracy"] == recorded(tiny, trial, "test")
    assert values["nonzero_weights"] == 50_200 // 20
    assert values["compression"] == 20.0
    assert float(run.data.params["lr"]) == tiny.record(trial, "confirm", 1).config["lr"]
    assert version.run_id in run.data.tags["mlflow.note.content"]

    folder = files(client, version)
    described = (folder / "MLmodel").read_text()
    assert '"dtype": "float32", "shape": [-1, 64]' in described
    assert "[-1, 10]" in re.sub(r"\s+", " ", described)
    assert (folder / "input_example.json").is_file()
    needed = (folder / "requirements.txt").read_text()
    assert "rewa" not in needed
    assert {line.partition("==")[0] for line in needed.split()} == {"mlflow", "torch", "numpy"}
    exported = torch.export.load(folder / "data/model.pt2").module()
    assert sum(int(p.count_nonzero()) for n, p in exported.named_parameters() if "weight" in n) == 2510


def test_again_makes_nothing_new_and_leaves_trainings_alone(
    tiny: TinySweep, cli: Cli, client: MlflowClient, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_sweep(tracking_uri, "tiny")
    assert cli("register", "tiny", "--compression", "20")[0] == 0
    client.delete_registered_model_alias("tiny", "best-20x")
    monkeypatch.setattr(register_command, "find_weights", lambda *_: pytest.fail("nothing needs training"))
    status, out, _ = cli("register", "results/tiny", "--compression", "19.5")
    assert status == 0
    assert "19.5x was not measured; the next larger target is 20x" in out
    assert "version 1 is this model already" in out
    assert aliases(client)["best-20x"] == "1"
    assert len(versions(client)) == len(model_runs(client)) == 1
    after = read_sweep(tracking_uri, "tiny")
    assert before.runs.equals(after.runs)
    assert not Tracker(tracking_uri, "tiny", tiny.meta["id"]).log(tiny.records[0]), (
        "and a resumed sweep goes on"
    )
    assert len(model_runs(client)) == 1


@pytest.mark.slow
def test_the_store_may_be_named_instead_of_in_the_environment(
    tiny: TinySweep, cli: Cli, client: MlflowClient, tracking_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    status, _, err = cli("register", "tiny", "--compression", "20", "--tracking-uri", tracking_uri)
    assert status == 0, err
    assert len(versions(client)) == 1
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert not Path("mlflow.db").exists(), "nothing was looked for elsewhere"


@pytest.mark.slow
def test_a_method_of_ones_own_choice_gets_its_own_alias(
    tiny: TinySweep, cli: Cli, client: MlflowClient
) -> None:
    best = best_trial(tiny).partition("-")[0]
    (other,) = set(tiny.meta["methods"]) - {best}
    assert cli("register", "tiny", "--compression", "20", "--method", other)[0] == 0
    assert aliases(client) == {f"{other}-20x": "1"}


def test_without_kept_weights_it_is_trained_again_to_the_same_model(
    tiny: TinySweep, cli: Cli, client: MlflowClient, tmp_path: Path
) -> None:
    assert cli("register", "tiny", "--compression", "20")[0] == 0
    shutil.rmtree(tmp_path / "results/tiny/models")
    status, out, err = cli("register", "tiny", "--compression", "20", "--name", "again")
    assert status == 0, err
    assert "trained again with seed 1" in out
    assert "all as recorded" in out
    pair = []
    for name in ("tiny", "again"):
        (version,) = versions(client, name)
        pair.append(torch.export.load(files(client, version) / "data/model.pt2").state_dict)
    assert set(pair[0]) == set(pair[1])
    assert all(torch.equal(pair[0][key], pair[1][key]) for key in pair[0])
    assert not list((tmp_path / "results").glob("register/*"))


def test_a_model_that_is_not_what_was_measured_is_refused(
    tiny: TinySweep, cli: Cli, client: MlflowClient, tmp_path: Path
) -> None:
    trial = best_trial(tiny)
    path = tmp_path / f"results/tiny/models/{trial}.pt"
    kept = read_sealed(path)
    kept["model"] = {name: torch.ones_like(value) for name, value in kept["model"].items()}
    with path.open("wb") as file:
        write_sealed(kept, file)
    status, out, err = cli("register", "tiny", "--compression", "20")
    assert status == 1
    value = recorded(tiny, trial, "test")
    assert re.search(rf"test \d+\.\d\d %, on record {100 * value:.2f} %", err)
    assert "it may differ by 0.50 %" in err
    assert "nothing was registered" in err
    assert not versions(client)
    assert not model_runs(client)
    assert "registered:" not in out


@pytest.mark.slow
def test_an_exported_model_that_differs_is_refused(
    tiny: TinySweep, cli: Cli, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = Predictor.forward
    monkeypatch.setattr(Predictor, "forward", lambda self, x: -forward(self, x))
    status, _, err = cli("register", "tiny", "--compression", "20")
    assert status == 1
    assert "the exported model differs from the one in memory" in err
    assert not versions(client)
    assert not model_runs(client)


@pytest.mark.slow
def test_what_a_killed_command_left_is_replaced(
    tiny: TinySweep, cli: Cli, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_model_version", killed)
        with pytest.raises(KilledError):
            cli("register", "tiny", "--compression", "20")
    assert len(model_runs(client)) == 1
    assert not versions(client)
    assert cli("register", "tiny", "--compression", "20")[0] == 0
    (version,) = versions(client)
    (run,) = model_runs(client)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (logged,) = client.search_logged_models([experiment.experiment_id])
    assert (logged.model_id, logged.source_run_id) == (logged_model(version), run.info.run_id)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tiny", "--compression", "5000"], "--compression 5000: was not measured; the targets are 1x, 2x"),
        (["tiny", "--compression", "20", "--method", "rewa"], "--method rewa: the sweep 'tiny' has"),
        (["other", "--compression", "20"], "no sweep 'other' in"),
        (["tiny", "--compression", "20", "--name", "a/b"], "--name 'a/b': a model's name has no /"),
    ],
)
def test_mistakes_are_one_sentence(tiny: TinySweep, cli: Cli, words: list[str], sentence: str) -> None:
    status, out, err = cli("register", *words)
    assert status == 2
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
    assert not out


def test_a_registered_model_of_somebody_else_is_left_alone(
    tiny: TinySweep, cli: Cli, client: MlflowClient
) -> None:
    client.create_registered_model("tiny")
    status, _, err = cli("register", "tiny", "--compression", "20")
    assert status == 2
    assert "that is not of sweep 'tiny'; give this one a --name of its own" in err
    assert not versions(client)
    assert cli("register", "tiny", "--compression", "20", "--name", "tiny")[0] == 0
    assert len(versions(client)) == 1


def test_it_registers_what_best_recommends(tiny: TinySweep, cli: Cli, client: MlflowClient) -> None:
    status, out, err = cli("best", "results/tiny", "--compression", "20", "--json")
    assert status == 0, err
    assert best_trial(tiny) in json.dumps(json.loads(out))
    assert cli("register", "tiny", "--compression", "20")[0] == 0
    first = json.loads(out)["answers"][0]
    (version,) = versions(client)
    assert (version.tags["rewa.trial"], version.tags["rewa.method"]) == (first["trial"], first["method"])
