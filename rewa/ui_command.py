"""``rewa ui``: the MLflow UI, opened on the comparison of a sweep's methods."""

from __future__ import annotations

import os
import sys
import webbrowser

from rewa.mlflow_app import app_options
from rewa.mlflow_process import check_port, run_server
from rewa.store_uri import redacted, resolve_uri
from rewa.tracking import ui_address


def serve_ui(tracking_uri: str | None, sweep: str | None, host: str, port: int) -> None:
    """Serve the UI until interrupted, and say which address shows the comparison.

    Args:
        tracking_uri: As for :func:`rewa.store_uri.resolve_uri`; a server's own address is only printed.
        sweep: Name of the sweep; ``None`` is the newest.
        host: Address to listen on; loopback unless the user decides otherwise.
        port: Port to listen on.

    Raises:
        UserError: If the store or sweep is missing, or the port is in use.
        RunError: If the server ends by itself.
    """
    uri = resolve_uri(tracking_uri)
    fragment = ui_address(uri, sweep)
    if uri.startswith(("http://", "https://")):
        print(f"comparison of the methods: {redacted(uri).rstrip('/')}{fragment}")
        return
    check_port(host, port)
    address = f"http://{host}:{port}{fragment}"

    def ready() -> None:
        print(f"comparison of the methods: {address}\nstop with Ctrl-C", flush=True)
        if _has_display():
            webbrowser.open(address)

    run_server(["--workers", "1", *app_options()], {"MLFLOW_BACKEND_STORE_URI": uri}, host, port, ready)


def _has_display() -> bool:
    """Return whether a browser can be opened here."""
    return sys.platform in ("darwin", "win32") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
