"""Models registered on a server: the client needs the server's address only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from tiny_sweep import make_sweep

from benchmarks.faults.servers import MlflowServer
from rewa.tracking import read_sweep
from rewa.workloads.digits import Digits

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def test_a_model_is_registered_and_loaded_through_the_server(
    server: MlflowServer,
    cli: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    made = make_sweep(tmp_path / "results/tiny")
    made.track(server.uri)
    assert read_sweep(server.uri, "tiny").meta["ui"]["base"] == server.uri
    words = ("register", "tiny", "--compression", "20", "--tracking-uri", server.uri)
    status, out, err = cli(*words)
    assert status == 0, err
    assert f"page: {server.uri}/#/models/tiny/versions/1\n" in out
    assert cli(*words)[0] == 0
    client = MlflowClient(tracking_uri=server.uri, registry_uri=server.uri)
    (version,) = client.search_model_versions("name = 'tiny'")
    inputs, targets = Digits.load_splits(None)["test"]  # type: ignore[arg-type]
    mlflow.set_tracking_uri(server.uri)
    try:
        scores = mlflow.pyfunc.load_model("models:/tiny@best-20x").predict(inputs.numpy())
    finally:
        mlflow.set_tracking_uri("")
    record = made.record(version.tags["rewa.trial"], "confirm", 1)
    assert float(np.mean(scores.argmax(axis=1) == targets.numpy())) == record.metric_at("test")[20.0]
