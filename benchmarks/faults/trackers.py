"""A tracking server that goes away and comes back, and a database that restarts, while results come."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from benchmarks.faults.ground import PATIENCE, Ground
from benchmarks.faults.servers import MlflowServer, Postgres, missing_postgres

UNWRITTEN = "not in MLflow yet"
"""What a sweep says that ended without its tracker."""


def no_postgres() -> str:
    """Return why no PostgreSQL can be started here; empty if one can."""
    return missing_postgres() or ""


def server_away(ground: Ground, seconds: float) -> None:
    """Kill the MLflow server for a while; the sweep must go on without it and backfill when it is back."""
    store = ground.uri  # the file that the sweep would have written to by itself
    server = ground.stack.enter_context(MlflowServer(store, ground.home / "artifacts"))
    ground.uri = server.uri
    ground.begin()
    ground.until_more(3)
    take_away(ground, server, seconds)
    ends_with_all_written(ground)


def take_away(ground: Ground, server: MlflowServer, seconds: float) -> None:
    """Kill a server for so many seconds, in which trainings must go on finishing."""
    ground.strike(server.kill)
    back = time.monotonic() + seconds
    ground.until_more(2)
    time.sleep(max(0.0, back - time.monotonic()))
    server.start()


def database_restarts(ground: Ground) -> None:
    """Restart the server's PostgreSQL twice, in order and by a crash, while runs are written."""
    start_on_postgres(ground)
    ends_with_all_written(ground)


def start_on_postgres(ground: Ground) -> MlflowServer:
    """Start a sweep that tracks to a server with PostgreSQL, and restart that twice while it writes."""
    database = ground.stack.enter_context(Postgres())
    server = ground.stack.enter_context(MlflowServer(database.uri(), Path(ground.home / "artifacts")))
    ground.uri = server.uri
    ground.begin()
    for how in (signal.SIGINT, signal.SIGQUIT):
        ground.until_more(2)
        ground.strike(lambda how=how: database.restart(how))  # type: ignore[misc]
    ground.until_more(1)
    return server


def ends_with_all_written(ground: Ground) -> None:
    """See that the sweep ends well and leaves nothing for a resumption to write."""
    status = ground.driver.wait(PATIENCE)
    ground.promise(status == 0, f"exit status {status}: {ground.driver.last_words}")
    said = ground.driver.out + ground.driver.err
    ground.promise(UNWRITTEN not in said, f"runs were left unwritten: {ground.driver.last_words}")
