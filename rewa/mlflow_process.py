"""The MLflow server as a child process: started, waited for, and ended with everything it has started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from types import FrameType

from rewa.errors import RunError, UserError

START_TIMEOUT = 180.0
"""Seconds; a first start, which makes the tables, takes about 40 on a slow disk."""

STOP_TIMEOUT = 10.0
"""Seconds for a server to end before it is killed."""

QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # saves eight idle processes
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_UVICORN_OPTS": "--log-level warning",
    "PYTHONWARNINGS": "ignore",  # of its own packages about one another
}


def run_server(
    options: Sequence[str], settings: Mapping[str, str], host: str, port: int, ready: Callable[[], None]
) -> None:
    """Run ``mlflow server`` until Ctrl-C or SIGTERM.

    Args:
        options: Its options besides host and port; everyone sees them in the list of processes.
        settings: Environment variables for it, besides this process's own.
        host: Address to listen on.
        port: Port to listen on.
        ready: Called once it answers.

    Raises:
        UserError: If something listens on the port already.
        RunError: If the server ends by itself or does not answer.
    """
    check_port(host, port)
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), *options]
    # A session of its own: Ctrl-C reaches this process only, which then ends the whole group.
    server = subprocess.Popen(
        command, env={**QUIET, **os.environ, **settings}, stdout=subprocess.DEVNULL, start_new_session=True
    )
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        wait_until_healthy(server, host, port)
        ready()
        status = server.wait()
        raise RunError(f"the MLflow server ended by itself with status {status}")
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        end_group(server)


def check_port(host: str, port: int) -> None:
    """Refuse a port that something listens on already.

    Raises:
        UserError: If so, or if the host is not an address of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); use --port or --host") from None


def wait_until_healthy(server: subprocess.Popen[bytes], host: str, port: int) -> None:
    """Wait until the server answers.

    Raises:
        RunError: If it ends before that, or takes longer than :data:`START_TIMEOUT`.
    """
    address = f"http://{loopback_of(host)}:{port}/health"
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RunError(f"the MLflow server ended at its start with status {server.returncode}")
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
    raise RunError(f"the MLflow server did not answer within {START_TIMEOUT:.0f} s")


def loopback_of(host: str) -> str:
    """Return where this machine itself reaches a server that listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)


def end_group(server: subprocess.Popen[bytes]) -> None:
    """End a server that was started in a session of its own, and its workers."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, kind)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline and _group_lives(server):
            time.sleep(0.1)
    server.wait()


def _group_lives(server: subprocess.Popen[bytes]) -> bool:
    """Return whether a process of the group is left; reaps the server itself."""
    server.poll()
    try:
        os.killpg(server.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Treat SIGTERM as Ctrl-C."""
    raise KeyboardInterrupt
