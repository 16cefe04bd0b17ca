"""A PostgreSQL and an MLflow server for all tests of this folder: starting them takes half a minute."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.faults.servers import MlflowServer, Postgres, missing_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if reason := missing_postgres():
        pytest.skip(reason)
    with Postgres() as server:
        server.create("mlflow")
        yield server


@pytest.fixture(scope="session")
def server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(postgres.uri("mlflow"), tmp_path_factory.mktemp("server") / "artifacts") as running:
        yield running
