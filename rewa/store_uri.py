"""Where the runs go: the tracking URI, and a quick look whether a store can be there. No MLflow needed."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from urllib.parse import unquote, urlparse

from rewa.credentials import has_password, redacted, refuse_password, split_login
from rewa.errors import UserError

__all__ = ["check_store", "redacted", "refuse_password", "resolve_uri", "sqlite_path"]

UI_HOST, UI_PORT = "127.0.0.1", 5000
"""Where ``rewa ui`` listens by default."""

SQLITE_MAGIC = b"SQLite format 3\x00"
LOGIN_VARIABLES = {
    "http": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    "https": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"),
    "postgresql": (None, "PGPASSWORD"),
    "postgres": (None, "PGPASSWORD"),
}
"""Where the login of a URI is put, by scheme, so that the URI holds no secret; libpq reads PGPASSWORD."""


def resolve_uri(option: str | None) -> str:
    """Return the tracking URI: the option, else MLFLOW_TRACKING_URI, else results/mlflow.db here.

    A password in MLFLOW_TRACKING_URI moves to the variable that MLflow or libpq read it from, so what is
    returned can be printed and stored (of stores other than http and postgresql: by :func:`redacted`).

    Raises:
        UserError: For a password in the option, and for a file store, which MLflow no longer writes.
    """
    if option:
        refuse_password("--tracking-uri", option)
    uri = option or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        uri = f"sqlite:///{Path('results/mlflow.db').absolute()}"
    scheme = urlparse(uri).scheme if "://" in uri else uri.partition(":")[0] if ":" in uri else ""
    if scheme in ("", "file"):
        raise UserError(
            f"tracking URI {redacted(uri)!r}: MLflow no longer writes file stores; "
            "use sqlite:///path/to/mlflow.db or the http address of a server"
        )
    if path := sqlite_path(uri):
        return f"sqlite:///{path}"
    return with_driver(_login_to_environment(uri, keep=not option))


def with_driver(uri: str) -> str:
    """Return a URI with the driver of PostgreSQL that rewa installs; SQLAlchemy 2.1 assumes another."""
    scheme, colon, rest = uri.partition("://")
    return f"postgresql+psycopg2://{rest}" if colon and scheme in ("postgresql", "postgres") else uri


def _login_to_environment(uri: str, keep: bool) -> str:
    """Return a URI without what its scheme can take from the environment, having put that there.

    Args:
        uri: Any store's URI.
        keep: Whether MLFLOW_TRACKING_URI is to be replaced as well: child processes read it.
    """
    scheme = uri.partition("://")[0].partition("+")[0]
    variables = LOGIN_VARIABLES.get(scheme)
    if variables is None:
        return uri
    bare, user, password = split_login(uri)
    for_user, for_password = variables
    if for_user is None and user is not None:
        bare = bare.replace("://", f"://{user}@", 1)
    elif for_user is not None and user:
        os.environ[for_user] = unquote(user)
    if password:
        os.environ[for_password] = unquote(password)
    if keep:
        os.environ["MLFLOW_TRACKING_URI"] = bare
    return bare


def check_store(uri: str) -> None:
    """Refuse a store that cannot work, quickly and without loading MLflow.

    Args:
        uri: Resolved tracking URI.

    Raises:
        UserError: If no server answers at its address, or its file is no SQLite database.
    """
    parsed = urlparse(uri) if not has_password(uri) else urlparse(split_login(uri)[0])
    if parsed.scheme in ("http", "https"):
        try:
            port = parsed.port or (443 if parsed.scheme == "https" else 80)
            socket.create_connection((parsed.hostname or "", port), timeout=5).close()
        except (OSError, ValueError) as error:
            raise UserError(f"tracking URI {redacted(uri)!r}: no server answers there ({error})") from None
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


def is_server(uri: str) -> bool:
    """Return whether a store is a tracking server, which has the UI at its address."""
    return uri.startswith(("http://", "https://"))


def ui_base(uri: str) -> str:
    """Return where the UI of a store is: the server's address, else where ``rewa ui`` serves it by default.

    Args:
        uri: Resolved tracking URI; a login in it is left out.
    """
    return split_login(uri)[0].rstrip("/") if is_server(uri) else f"http://{UI_HOST}:{UI_PORT}"


def sqlite_path(uri: str) -> Path | None:
    """Return the database file of a SQLite URI, absolute."""
    if not uri.startswith("sqlite:"):
        return None
    return Path(unquote(urlparse(uri).path)[1:]).absolute()
