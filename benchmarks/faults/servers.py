"""A PostgreSQL and an MLflow server of one's own, on loopback, to be stopped, killed and started again."""

from __future__ import annotations

import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType

USER = "rewa"
TIMEOUT = 120.0
"""Seconds for a server to answer."""


def missing_postgres() -> str | None:
    """Return why no PostgreSQL can be started here; ``None`` if one can."""
    if _binaries() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    try:
        import psycopg2  # noqa: F401
    except ImportError:
        return "psycopg2 is not installed (pip install 'rewa[postgres]')"
    if os.geteuid() == 0 and _unprivileged() is None:
        return "PostgreSQL refuses to run as root, and there is no user postgres or nobody"
    return None


def free_port() -> int:
    """Return a port of loopback that nothing listens on.

    It is none of those that the system gives to outgoing connections (from 32768 on Linux): one of these
    could take it while a server is down, which then could not start again. Ray's workers use 10002 to 19999.
    """
    for port in random.SystemRandom().sample(range(20000, 32768), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("no free port from 20000 to 32767")


class Postgres:
    """A PostgreSQL cluster with a password; a context manager that ends and removes it.

    Args:
        folder: Where its files go; default, and always where this process is root: a temporary folder, for
            PostgreSQL refuses root and another user may not be let into ``folder``.
        password: Of its user ``rewa``; default: drawn.
    """

    def __init__(self, folder: Path | None = None, password: str | None = None) -> None:
        self.password = password or secrets.token_urlsafe(12)
        self.port = free_port()
        self._binaries = _binaries() or Path()
        self._user = _unprivileged() if os.geteuid() == 0 else None
        self._home = (
            folder if folder and self._user is None else Path(tempfile.mkdtemp(prefix="rewa-postgres-"))
        )
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Postgres:
        self._home.mkdir(parents=True, exist_ok=True)
        secret = self._home / "password"
        secret.write_text(self.password)
        if self._user is not None:
            for path in (self._home, secret):
                shutil.chown(path, self._user)
        login = ["--username", USER, "--pwfile", str(secret), "--auth", "scram-sha-256"]
        form = ["--encoding", "UTF8", "--locale", "C", "--no-sync"]
        subprocess.run(
            [self._binaries / "initdb", "--pgdata", self.data, *login, *form],
            check=True,
            stdout=subprocess.DEVNULL,
            user=self._user,
            cwd=self._home,
        )
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self._home / "data"

    def uri(self, database: str = "postgres", password: bool = True) -> str:
        """Return the URI of a database, with its password unless told otherwise."""
        login = f"{USER}:{self.password}" if password else USER
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it answers."""
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
            "max_connections": 50,
        }
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", "-D", self.data, *words],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._home,
            )
        _wait(self._answers, self._process, "PostgreSQL")

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stop it: SIGINT breaks connections off, SIGQUIT leaves the recovery to the next start."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

    def restart(self, how: int = signal.SIGINT) -> None:
        """Stop it and start it again."""
        self.stop(how)
        self.start()

    def create(self, database: str, template: str = "template1") -> str:
        """Make a database as a copy of another, which nobody may be connected to; return its URI."""
        self.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.uri(database)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement by itself and return its rows."""
        import psycopg2

        with closing(psycopg2.connect(self.uri(database))) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []

    def _answers(self) -> bool:
        import psycopg2

        with suppress(psycopg2.OperationalError):
            self.execute("SELECT 1")
            return True
        return False


class MlflowServer:
    """``rewa mlflow-server`` as a process; a context manager that stops it.

    Args:
        store_uri: Database, which it gets through its environment.
        artifacts: Folder of the runs' files; its log goes beside it.
        port: Port of loopback, kept over restarts; default: a free one.
        environment: Variables for it besides this process's.
    """

    def __init__(
        self,
        store_uri: str,
        artifacts: Path,
        port: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.store_uri, self.artifacts = store_uri, artifacts
        self.port = port or free_port()
        self.environment = environment or {}
        self.log = artifacts.parent / f"mlflow-server-{self.port}.log"
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> MlflowServer:
        self.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def uri(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, wait: bool = True) -> None:
        """Start it and wait until it answers."""
        self.artifacts.mkdir(parents=True, exist_ok=True)
        words = ["--port", str(self.port), "--artifacts", str(self.artifacts), "--workers", "1"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rewa", "mlflow-server", *words],
                env={**os.environ, "REWA_MLFLOW_STORE": self.store_uri, **self.environment},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if wait:
            self.wait_until_healthy()

    def wait_until_healthy(self) -> None:
        """Wait until it answers."""
        assert self.process is not None
        _wait(self._answers, self.process, f"the MLflow server (see {self.log})")

    def stop(self) -> None:
        """End it as `kill` does; it ends its workers."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    def kill(self) -> None:
        """Kill it and its workers at once, as losing the machine does."""
        if self.process is not None:
            for pid in self.pids():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pids(self) -> list[int]:
        """Return the processes that it consists of."""
        found = [self.process.pid] if self.process else []
        for pid in found:
            with suppress(OSError):
                found += [
                    int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                ]
        return found

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False


def _wait(answers: Callable[[], bool], process: subprocess.Popen[bytes], name: str) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + TIMEOUT
    while not answers():
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at its start with status {process.returncode}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"{name} did not answer within {TIMEOUT:.0f} s")
        time.sleep(0.1)


def _binaries() -> Path | None:
    """Return the folder of PostgreSQL's programs: Debian's newest, else that of PATH."""
    found = sorted(
        (path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()),
        key=lambda path: int(path.parent.name) if path.parent.name.isdigit() else 0,
    )
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb and shutil.which("postgres") else None


def _unprivileged() -> str | None:
    """Return a user that PostgreSQL may run as where this process is root."""
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            pwd.getpwnam(name)
            return name
    return None
