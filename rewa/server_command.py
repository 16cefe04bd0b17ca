"""``rewa mlflow-server``: an MLflow server on a database and an artifact directory, for many writers.

The database's address and password come from the environment and go to the server by its environment, never
as an argument, so that they do not show in the list of processes.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path

from rewa.credentials import brief, redacted, refuse_password
from rewa.errors import UserError
from rewa.mlflow_app import app_options
from rewa.mlflow_process import check_port, loopback_of, run_server
from rewa.store_uri import sqlite_path, with_driver

STORE_VARIABLES = ("REWA_MLFLOW_STORE", "MLFLOW_BACKEND_STORE_URI")
LIBPQ_VARIABLES = ("PGDATABASE", "PGSERVICE")
"""Where one is set, the store is the PostgreSQL database that libpq's variables and ~/.pgpass describe."""

DEFAULT_STORE = "results/mlflow.db"
DEFAULT_ARTIFACTS = "results/mlartifacts"
CONNECT_TIMEOUT = 10
"""Seconds in which the database has to answer."""

PRIVATE_HOSTS = "localhost,localhost:*,127.0.0.1,127.0.0.1:*,[::1],[[]::1]:*,10.*,192.168.*," + ",".join(
    f"172.{second}.*" for second in range(16, 32)
)
"""What MLflow takes as the Host of a request unless told otherwise; a list of one's own replaces it."""


def serve_mlflow(
    host: str, port: int, artifacts: str | None, workers: int, allowed_hosts: str | None
) -> None:
    """Serve a store until interrupted.

    Args:
        host: Address to listen on; loopback unless the user decides otherwise, with a warning.
        port: Port to listen on.
        artifacts: Directory, or URI, of the runs' files; default :data:`DEFAULT_ARTIFACTS`. Clients need no
            access to it: the server hands files on.
        workers: Processes that answer requests.
        allowed_hosts: Names, comma-separated, by which clients may call it, besides private addresses.

    Raises:
        UserError: If the port is taken, or the database cannot be reached or written.
        RunError: If the server ends by itself.
    """
    store = find_store()
    check_port(host, port)
    destination = _artifacts(artifacts)
    check_database(store)
    settings = {
        "MLFLOW_BACKEND_STORE_URI": store,
        "MLFLOW_ARTIFACTS_DESTINATION": destination,
        "MLFLOW_SERVE_ARTIFACTS": "true",
        "PGCONNECT_TIMEOUT": os.environ.get("PGCONNECT_TIMEOUT", str(CONNECT_TIMEOUT)),
    }
    if allowed_hosts:
        named = [name.strip() for name in allowed_hosts.split(",") if name.strip()]
        listed = [form for name in named for form in (name, f"{name}:*")]
        settings["MLFLOW_SERVER_ALLOWED_HOSTS"] = ",".join([*listed, PRIVATE_HOSTS])
    if not is_loopback(host):
        print(_exposure(host, port, allowed_hosts), file=sys.stderr, flush=True)
    print(f"starting MLflow on {redacted(store)}, files in {redacted(destination)}", flush=True)

    def ready() -> None:
        reached = f"http://{loopback_of(host)}:{port}"
        print(
            f"MLflow is at {reached}; stop with Ctrl-C\n"
            f"use it with: rewa sweep digits --tracking-uri {reached}",
            flush=True,
        )

    run_server(["--workers", str(workers), *app_options()], settings, host, port, ready)


def find_store() -> str:
    """Return the store's URI from the environment; without one a SQLite file, whose folder is made."""
    for name in STORE_VARIABLES:
        if uri := os.environ.get(name):
            return with_driver(uri)
    if any(os.environ.get(name) for name in LIBPQ_VARIABLES):
        return with_driver("postgresql://")
    return f"sqlite:///{Path(DEFAULT_STORE).absolute()}"


def check_database(uri: str) -> None:
    """Refuse a database that cannot be used.

    Args:
        uri: With or without a password; libpq finds one in PGPASSWORD or ~/.pgpass.

    Raises:
        UserError: If it is no database's, its driver is missing, or the database does not let us in.
    """
    if path := sqlite_path(uri):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"MLflow's store {uri}: {path.parent}: {error.strerror}") from None
    from sqlalchemy import create_engine
    from sqlalchemy.exc import ArgumentError, SQLAlchemyError

    shown = redacted(uri)
    timeout = {"connect_timeout": CONNECT_TIMEOUT} if uri.startswith(("postgresql", "mysql")) else {}
    try:
        engine = create_engine(uri, connect_args=timeout)
    except ModuleNotFoundError as error:
        extra = "pip install 'rewa[postgres]'" if error.name == "psycopg2" else f"pip install {error.name}"
        raise UserError(f"MLflow's store {shown} needs the driver {error.name}: {extra}") from None
    except (ArgumentError, SQLAlchemyError, ValueError):
        raise UserError(
            f"MLflow's store {shown} is not a database's address; an example of one is "
            "postgresql://rewa@127.0.0.1/mlflow"
        ) from None
    try:
        engine.connect().close()
    except Exception as error:  # the drivers raise their own
        cause = getattr(error, "orig", None) or error
        raise UserError(f"MLflow's store {shown} cannot be opened ({brief(cause)})") from None
    finally:
        engine.dispose()


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _artifacts(artifacts: str | None) -> str:
    """Return the artifacts' place as an absolute path or a URI; a directory is made."""
    place = artifacts or DEFAULT_ARTIFACTS
    if "://" in place:
        refuse_password("--artifacts", place)
        return place
    folder = Path(place).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".rewa-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(f"--artifacts {place}: cannot be written ({error.strerror})") from None
    return str(folder)


def _exposure(host: str, port: int, allowed_hosts: str | None) -> str:
    """Say who can reach a server that does not listen on loopback."""
    every = ipaddress.ip_address(host).is_unspecified if host[:1].isdigit() or ":" in host else False
    whom = "every machine that can reach this one" if every else f"every machine that can reach {host}"
    named = "" if allowed_hosts else f" (by a name such as {socket.gethostname()}: only with --allowed-hosts)"
    return (
        f"rewa: warning: {whom} can read, change and delete all runs on port {port}{named}: "
        "MLflow asks nobody for a password. To watch from elsewhere, keep 127.0.0.1 and forward the port: "
        f"ssh -L {port}:127.0.0.1:{port} THIS-MACHINE"
    )
