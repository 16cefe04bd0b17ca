"""What a user meets: exit status and one clear sentence for each mistake, files for each success."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from rewa.methods import REGISTRY as METHODS
from rewa.workloads import REGISTRY as WORKLOADS

Cli = Callable[..., tuple[int, str, str]]

SPACE = """\
name: tiny
workload: {name: digits, epochs: 2}
trials: 1
methods:
  sgd_l1:
    sample:
      lr: {log_uniform: [0.01, 0.5]}
      l1: {log_uniform: [1.0e-4, 1.0e-2]}
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str) -> str:
    Path("space.yaml").write_text(text)
    return "space.yaml"


def test_list_names_everything_registered(cli: Cli) -> None:
    status, out, _ = cli("list")
    assert status == 0
    for name in [*METHODS, *WORKLOADS, "digits"]:
        assert f"  {name}" in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["train", "digits", "rwa"], ["unknown method 'rwa'", "did you mean 'rewa'"]),
        (["train", "digit", "rewa"], ["unknown workload 'digit'", "digits"]),
        (["train", "digits", "rewa"], ["method 'rewa'", "missing key 'lr'"]),
        (["train", "digits", "rewa", "--set", "lr"], ["--set 'lr'", "key=value"]),
        (["train", "digits", "rewa", "--set", "lr=1", "--set", "lr=2"], ["given twice"]),
        (["train", "digits", "rewa", "--set", "lr=-1"], ["lr = -1", "greater than 0"]),
        (["train", "digits", "rewa", "--set", "lr=nan"], ["lr = nan", "finite"]),
        (["train", "digits", "rewa", "--set", "lr=abc"], ["lr = 'abc'", "number"]),
        (
            ["train", "digits", "rewa", "--set", "lr=1", "--set", "weigth_decay=1"],
            ["unknown key 'weigth_decay'", "did you mean 'weight_decay'"],
        ),
        (
            ["train", "digits", "rewa", "--set", "lr=.1", "--set", "K=3", "--set", "M=2.5"],
            ["M = 2.5", "K - 1 = 2"],
        ),
        (["train", "digits", "rewa", "--set", "lr=.1", "--epochs", "0"], ["epochs = 0"]),
        (["train", "digits", "rewa", "--set", "lr=.1", "--device", "tpu"], ["'tpu'", "cuda"]),
        (
            ["train", "digits", "rewa", "--set", "lr=.1", "--tracking-uri", "file:///x"],
            ["file:///x", "sqlite"],
        ),
        (
            ["sweep", "digits", "--tracking-uri", "http://127.0.0.1:1"],
            ["http://127.0.0.1:1", "no server answers"],
        ),
        (["sweep", "digts"], ["'digts'", "did you mean 'digits'"]),
        (["sweep", "missing.yaml"], ["missing.yaml", "no such file"]),
        (["ui"], ["no MLflow store", "mlflow.db"]),
    ],
)
def test_bad_input_is_told_in_one_sentence(cli: Cli, words: list[str], expected: list[str]) -> None:
    status, out, err = cli(*words)
    assert status == 2
    assert out == ""
    assert err.startswith("rewa: error: ")
    assert err.count("\n") == 1
    for part in expected:
        assert part in err


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("sgd_l1:", "sgd_l2:", ["line 5", "unknown method 'sgd_l2'", "'sgd_l1'"]),
        ("l1: {log", "L1: {log", ["line 8", "no setting 'L1'"]),
        ("trials: 1", "trails: 1", ["line 3", "unknown key 'trails'", "'trials'"]),
        ("trials: 1", "trials: 0", ["line 3", "trials = 0"]),
        ("[0.01, 0.5]", "[0.5, 0.01]", ["line 7", "rise"]),
        ("digits, epochs: 2", "digits, epoch: 2", ["workload 'digits'", "'epoch'", "'epochs'"]),
        ("name: digits", "name: digitz", ["unknown workload 'digitz'"]),
        ("trials: 1", "trials: 1\nresources: {cpu: 999}", ["resources.cpu = 999", "cores"]),
    ],
)
def test_a_wrong_search_space_is_told_with_its_place(
    cli: Cli, old: str, new: str, expected: list[str]
) -> None:
    assert old in SPACE
    status, _, err = cli("sweep", write(SPACE.replace(old, new)))
    assert status == 2
    assert err.count("\n") == 1
    for part in expected:
        assert part in err
    assert not Path("results").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_asked_for_where_there_is_none(cli: Cli) -> None:
    status, _, err = cli("sweep", write(SPACE + "resources: {gpu: 1}\n"))
    assert status == 2
    assert "resources.gpu = 1" in err
    status, _, err = cli("train", "digits", "rewa", "--set", "lr=.1", "--device", "cuda")
    assert status == 2
    assert "no GPU" in err


def test_a_taken_output_directory_is_refused_untouched(cli: Cli) -> None:
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    status, _, err = cli("sweep", write(SPACE), "--output", "mine")
    assert status == 2
    assert "mine: is taken" in err
    status, _, err = cli("train", "digits", "rewa", "--set", "lr=.1", "--output", "mine")
    assert status == 2
    assert [p.name for p in Path("mine").iterdir()] == ["thesis.txt"]


def test_train_writes_result_and_frontier(cli: Cli, tracking_uri: str) -> None:
    words = ["--set", "lr=0.1", "--epochs", "3", "--seed", "5", "--output", "out"]
    status, out, err = cli(
        "train", "digits", "magnitude", *words, "--tracking-uri", tracking_uri, "--device", "cpu"
    )
    assert status == 0, err
    assert "test accuracy" in out
    result = json.loads(Path("out/result.json").read_text())
    assert result["seed"] == 5
    assert result["config"] == {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}
    assert result["versions"]["torch"] == torch.__version__.split("+")[0]
    assert len(result["history"]) == 3
    assert result["commit"]
    with Path("out/frontier.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * (14 + 19)
    dense = next(r for r in rows if (r["split"], r["criterion"], r["value"]) == ("test", "ratio", "1.0"))
    assert float(dense["accuracy"]) == result["metrics"]["test_accuracy/unpruned"] > 0.8

    from rewa.tracking import read_sweep

    tables = read_sweep(tracking_uri, None)
    assert tables.name == "train-digits"
    assert tables.runs["phase"].tolist() == ["train"]
    assert len(tables.frontier) == len(rows)


def test_another_setting_is_another_run_and_the_same_one_is_not(cli: Cli, tracking_uri: str) -> None:
    common = ["--epochs", "1", "--tracking-uri", tracking_uri]
    for lr, seed, known in [
        ("0.1", "0", False),
        ("0.2", "0", False),
        ("0.1", "1", False),
        ("0.1", "0", True),
    ]:
        status, out, err = cli("train", "digits", "magnitude", "--set", f"lr={lr}", "--seed", seed, *common)
        assert status == 0, err
        assert ("was there already" in out) == known

    from rewa.tracking import read_sweep

    runs = read_sweep(tracking_uri, "train-digits").runs
    assert len(runs) == 3
    assert sorted(runs.groupby("trial")["seed"].nunique()) == [1, 2], "seeds of a setting share its name"
    assert len(list(Path("results/train").iterdir())) == 3


def test_a_cluster_nobody_answers_at_is_told_before_anything_is_written(cli: Cli) -> None:
    status, _, err = cli("sweep", write(SPACE), "--address", "127.0.0.1:1")
    assert status == 2
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in err
    assert not Path("results").exists()


def test_a_store_that_is_no_database_is_told_before_training(cli: Cli) -> None:
    Path("notes.txt").write_text("not a database")
    words = ["--set", "lr=0.1", "--epochs", "1", "--tracking-uri", "sqlite:///notes.txt"]
    status, _, err = cli("train", "digits", "magnitude", *words)
    assert status == 2
    assert "notes.txt is not a SQLite database" in err
    assert not Path("results").exists()


def test_a_store_that_fails_later_costs_no_result(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tracking_uri: str
) -> None:
    from rewa import tracking

    def full(*_: object) -> bool:
        raise OSError("database or disk is full")

    monkeypatch.setattr(tracking.Tracker, "log", full)
    words = ["--set", "lr=0.1", "--epochs", "1", "--output", "out", "--tracking-uri", tracking_uri]
    status, _, err = cli("train", "digits", "magnitude", *words)
    assert status == 1
    assert "database or disk is full" in err
    assert "the results are in out" in err
    assert Path("out/result.json").is_file()


def test_the_papers_synthetic_setting_is_the_default_and_its_findings_stand_in_the_result(
    cli: Cli, tracking_uri: str
) -> None:
    """At a toy size: seed, settings and findings are the workload's own; sparsity maps threshold to share."""
    small = [word for pair in ("d=300", "n=100", "n_test=50") for word in ("--set-workload", pair)]
    words = [*small, "--epochs", "2", "--output", "out", "--tracking-uri", tracking_uri]
    status, out, err = cli("train", "sparse_recovery", "rewa", "--set", "M=2", *words)
    assert status == 0, err
    assert "test mse" in out
    assert "%" not in out.splitlines()[0]
    result = json.loads(Path("out/result.json").read_text())
    assert result["seed"] == 9913
    papers = {"lr": 2e-4, "momentum": 0.0, "K": 9, "epsilon": 0.0, "weight_decay": 0.25}
    assert result["config"] == {**papers, "M": 2}
    assert (result["workload"]["d"], result["workload"]["direction"]) == (300, "min")
    assert list(result["sparsity"]) == ["1e-07", "5e-07", "1e-06", "5e-06", "1e-05", "0.0001", "0.001"]
    for name in ("test_mse", "support_precision", "support_recall", "support_f1", "estimation_error"):
        assert result[name] == result["metrics"][name]
    assert result["test_mse"] == result["metrics"]["test_mse/unpruned"]
    with Path("out/frontier.csv").open() as file:
        columns = csv.DictReader(file).fieldnames or []
    assert "mse" in columns
    assert "accuracy" not in columns

    from rewa.record import load_record

    assert load_record(Path("out")).model_extra["sparsity"] == result["sparsity"]  # type: ignore[index]


def test_a_solver_trains_from_the_command_line(cli: Cli, tracking_uri: str) -> None:
    small = [word for pair in ("d=300", "n=100", "n_test=50") for word in ("--set-workload", pair)]
    words = [*small, "--set", "lambda_fraction=0.5", "--output", "out", "--tracking-uri", tracking_uri]
    status, _, err = cli("train", "sparse_recovery", "lasso", *words)
    assert status == 0, err
    result = json.loads(Path("out/result.json").read_text())
    assert result["support_recall"] == 1
    assert result["solver"]["converged"] == 1
    assert result["history"] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["digits", "lasso"], "method 'lasso' fits linear models only"),
        (["sparse_recovery", "rewa", "--set-workload", "dd=3"], "'dd': did you mean 'd'"),
        (["sparse_recovery", "rewa", "--set-workload", "d"], "--set-workload 'd': must be key=value"),
        (["sparse_recovery", "rewa", "--set-workload", "k=0"], "k = 0"),
        (["sparse_recovery", "lasso", "--set", "lr=0.1"], "unknown key 'lr'"),
        (["sparse_recovery", "mcp", "--set", "lambda_fraction=2"], "lambda_fraction = 2"),
    ],
)
def test_what_does_not_fit_together_is_told(cli: Cli, words: list[str], sentence: str) -> None:
    status, _, err = cli("train", *words)
    assert status == 2
    assert sentence in err
    assert err.count("\n") == 1
    assert not Path("results").exists()
