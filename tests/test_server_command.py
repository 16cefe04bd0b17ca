"""``rewa mlflow-server``: what it refuses, what it warns of, and what it hands to MLflow."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.faults.servers import free_port
from rewa import server_command
from rewa.errors import UserError
from rewa.server_command import check_database, find_store, is_loopback

CANARY = "c4naryPassw0rd"

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("REWA_MLFLOW_STORE", "MLFLOW_BACKEND_STORE_URI", "PGDATABASE", "PGSERVICE", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], dict[str, str]]]:
    """Options and environment with which MLflow would have been started."""
    calls: list[tuple[list[str], dict[str, str]]] = []

    def run(
        options: list[str], settings: dict[str, str], _h: str, _p: int, ready: Callable[[], None]
    ) -> None:
        calls.append((list(options), dict(settings)))
        ready()

    monkeypatch.setattr(server_command, "run_server", run)
    return calls


def test_a_taken_port_is_told(cli: Cli) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, _, err = cli("mlflow-server", "--port", port)
    assert status == 2
    assert f"cannot listen on 127.0.0.1:{port} (Address already in use)" in err
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("store", "what"),
    [
        (f"postgresql://me:{CANARY}@127.0.0.1:1/db", "me:***@127.0.0.1:1/db cannot be opened (.*refused"),
        (f"oracle://me:{CANARY}@h/db", "me:***@h/db needs the driver"),
        (f"nonsense://me:{CANARY}@h/db", "nonsense://me:***@h/db is not a database's address"),
        ("127.0.0.1:5432", "is not a database's address"),
        ("sqlite:////proc/none/mlflow.db", "/proc/none"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_without_its_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, store: str, what: str
) -> None:
    import re

    monkeypatch.setenv("REWA_MLFLOW_STORE", store)
    status, out, err = cli("mlflow-server", "--port", str(free_port()))
    assert status == 2, err
    assert err.count("\n") == 1
    assert re.search(re.escape(what).replace(r"\.\*", ".*"), err), err
    assert CANARY not in out + err


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)
    with pytest.raises(UserError, match=r"needs the driver psycopg2: pip install 'rewa\[postgres\]'"):
        check_database("postgresql+psycopg2://rewa@127.0.0.1/x")


def test_artifacts_that_cannot_be_written_are_told(cli: Cli) -> None:
    Path("file").write_text("")
    status, _, err = cli("mlflow-server", "--port", str(free_port()), "--artifacts", "file")
    assert status == 2
    assert "--artifacts file: cannot be written" in err
    status, _, err = cli("mlflow-server", "--port", str(free_port()), "--artifacts", f"s3://k:{CANARY}@b/x")
    assert status == 2
    assert "--artifacts: s3://k:***@b/x holds a password" in err


def test_the_store_goes_by_the_environment_and_never_by_the_arguments(
    cli: Cli, served: list[tuple[list[str], dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_command, "check_database", lambda _: None)
    monkeypatch.setenv("REWA_MLFLOW_STORE", f"postgresql://me:{CANARY}@db/mlflow")
    port = str(free_port())
    status, out, err = cli("mlflow-server", "--port", port, "--artifacts", "a/b", "--workers", "3")
    assert status == 0, err
    ((options, settings),) = served
    assert options == ["--workers", "3", "--app-name", "rewa"]
    assert settings["MLFLOW_BACKEND_STORE_URI"] == f"postgresql+psycopg2://me:{CANARY}@db/mlflow"
    assert settings["MLFLOW_ARTIFACTS_DESTINATION"] == str(Path("a/b").absolute())
    assert Path("a/b").is_dir()
    assert CANARY not in out + err
    assert f"rewa sweep digits --tracking-uri http://127.0.0.1:{port}" in out
    assert err == ""


def test_who_can_reach_a_server_that_is_not_on_loopback_is_told(
    cli: Cli, served: list[tuple[list[str], dict[str, str]]]
) -> None:
    words = ["--port", str(free_port()), "--host", "0.0.0.0", "--allowed-hosts", "head.example"]
    status, out, err = cli("mlflow-server", *words)
    assert status == 0
    assert "every machine that can reach this one can read, change and delete all runs" in err
    assert "ssh -L" in err
    assert "--tracking-uri http://127.0.0.1:" in out
    from mlflow.server.security_utils import get_default_allowed_hosts, is_allowed_host_header

    allowed = served[0][1]["MLFLOW_SERVER_ALLOWED_HOSTS"].split(",")
    for host in (
        "head.example",
        "head.example:5000",
        "localhost:5000",
        "127.0.0.1:5000",
        "[::1]:1",
        "10.1.2.3:5",
    ):
        assert is_allowed_host_header(allowed, host)
    for host in ("evil.example", "head.example.evil", "172.32.0.1"):
        assert not is_allowed_host_header(allowed, host)
    assert set(get_default_allowed_hosts()) <= {*allowed, "0.0.0.0", "0.0.0.0:*", "fc00:*", "fd00:*"}


def test_the_store_is_found_in_the_order_that_is_documented(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert find_store() == f"sqlite:///{tmp_path}/results/mlflow.db"
    monkeypatch.setenv("PGDATABASE", "mlflow")
    assert find_store() == "postgresql+psycopg2://"
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "sqlite:////x.db")
    assert find_store() == "sqlite:////x.db"
    monkeypatch.setenv("REWA_MLFLOW_STORE", "postgres://h/d")
    assert find_store() == "postgresql+psycopg2://h/d"


@pytest.mark.parametrize(
    ("host", "ours"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("::", False), ("192.168.1.2", False), ("head.example", False)],
)  # fmt: skip
def test_what_counts_as_loopback(host: str, ours: bool) -> None:
    assert is_loopback(host) == ours
