"""``rewa ui``: the MLflow UI, opened on the comparison of a sweep's methods."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser

from rewa.errors import UserError
from rewa.store_uri import resolve_uri
from rewa.tracking import ui_address

START_TIMEOUT = 120.0
"""Seconds; a first start on a slow disk takes about 40."""


def serve_ui(tracking_uri: str | None, sweep: str | None, host: str, port: int) -> None:
    """Serve the UI until interrupted, and say which address shows the comparison.

    Args:
        tracking_uri: As for :func:`rewa.tracking.resolve_uri`; a server's own address is only printed.
        sweep: Name of the sweep; ``None`` is the newest.
        host: Address to listen on; loopback unless the user decides otherwise.
        port: Port to listen on.

    Raises:
        UserError: If the store or sweep is missing, or the port is in use.
    """
    uri = resolve_uri(tracking_uri)
    fragment = ui_address(tracking_uri, sweep)
    if uri.startswith(("http://", "https://")):
        print(f"comparison of the methods: {uri.rstrip('/')}{fragment}")
        return
    _check_port(host, port)
    address = f"http://{host}:{port}"
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # saves eight idle processes
    server = subprocess.Popen(command, env={**os.environ, **quiet}, stdout=subprocess.DEVNULL)
    try:
        _wait_until_healthy(server, address)
        print(f"comparison of the methods: {address}{fragment}\nstop with Ctrl-C", flush=True)
        if _has_display():
            webbrowser.open(f"{address}{fragment}")
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        server.wait()


def _check_port(host: str, port: int) -> None:
    """Refuse a port that something listens on already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UserError(f"cannot listen on {host}:{port} ({error.strerror}); use --port") from None


def _wait_until_healthy(server: subprocess.Popen[bytes], address: str) -> None:
    """Wait until the server answers."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the MLflow UI ended with status {server.returncode} at its start")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    raise RuntimeError(f"the MLflow UI did not answer within {START_TIMEOUT:.0f} s")


def _has_display() -> bool:
    """Return whether a browser can be opened here."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
