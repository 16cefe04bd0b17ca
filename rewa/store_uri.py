"""Where the runs go: the tracking URI, and a quick look whether a store can be there. No MLflow needed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import unquote, urlparse

from rewa.errors import UserError

SQLITE_MAGIC = b"SQLite format 3\x00"


def resolve_uri(option: str | None) -> str:
    """Return the tracking URI: the option, else MLFLOW_TRACKING_URI, else results/mlflow.db here.

    Raises:
        UserError: For a file store, which MLflow no longer writes.
    """
    uri = option or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        uri = f"sqlite:///{Path('results/mlflow.db').absolute()}"
    if urlparse(uri).scheme in ("", "file"):
        raise UserError(
            f"tracking URI {uri!r}: MLflow no longer writes file stores; "
            "use sqlite:///path/to/mlflow.db or the http address of a server"
        )
    if path := sqlite_path(uri):
        return f"sqlite:///{path}"
    return uri


def check_store(uri: str) -> None:
    """Refuse a store that cannot work, quickly and without loading MLflow.

    Args:
        uri: Resolved tracking URI.

    Raises:
        UserError: If no server answers at its address, or its file is no SQLite database.
    """
    parsed = urlparse(uri)
    if parsed.scheme in ("http", "https"):
        try:
            port = parsed.port or (443 if parsed.scheme == "https" else 80)
            socket.create_connection((parsed.hostname or "", port), timeout=5).close()
        except (OSError, ValueError) as error:
            raise UserError(f"tracking URI {uri!r}: no server answers there ({error})") from None
    if path := sqlite_path(uri):
        try:
            with path.open("rb") as file:
                start = file.read(len(SQLITE_MAGIC))
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"tracking URI {uri!r}: cannot be opened ({error.strerror})") from None
        if start not in (b"", SQLITE_MAGIC):
            raise UserError(f"tracking URI {uri!r}: {path} is not a SQLite database")


def sqlite_path(uri: str) -> Path | None:
    """Return the database file of a SQLite URI, absolute."""
    parsed = urlparse(uri)
    if parsed.scheme != "sqlite":
        return None
    return Path(unquote(parsed.path)[1:]).absolute()
