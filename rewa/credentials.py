"""Passwords come from the environment only, and nothing that is printed, raised or stored shows one."""

from __future__ import annotations

import base64
import os
import re
from urllib.parse import unquote

from rewa.errors import UserError

HIDDEN = "***"
SECRET_VARIABLES = (
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "PGPASSWORD",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
"""Variables whose value is a secret."""

URI_VARIABLES = ("MLFLOW_TRACKING_URI", "REWA_MLFLOW_STORE", "MLFLOW_BACKEND_STORE_URI", "REWA_STORAGE")
"""Variables that hold a URI, in which there may be a password."""

SHORTEST = 4
"""Secrets of fewer characters are not searched for in texts: the texts would become unreadable."""

_NO_LOGIN = ("sqlite", "file")
_LOGIN = re.compile(r"^([A-Za-z][\w+.-]*)://(.*)@(.*)$", re.DOTALL)
_IN_QUERY = re.compile(
    r"([?&][^=&#\s]*(?:passw|pwd|token|secret|access_key|api_key|signature)[^=&#\s]*=)([^&#\s]+)",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(r"\b((?!sqlite:|file:)[A-Za-z][\w+.-]*://[^\s:/@'\"]*):[^\s@'\"]+@")
_GISTS = (
    (re.compile(r"too many (\d{3}) error responses"), r"the server answers with status \1"),
    (re.compile(r"API request to .*\[Errno -?\d+\] ([A-Za-z][A-Za-z ]+)"), r"\1"),
    (re.compile(r"API request to .*timed out"), "no answer in time"),
    (re.compile(r"API request to .*(?:Connection aborted|RemoteDisconnected)"), "the connection was closed"),
)
"""What is worth telling of the errors of MLflow's client, which wrap one another."""


def split_login(uri: str) -> tuple[str, str | None, str | None]:
    """Return a URI without its login, and the login's user and password as written, or ``None``.

    Everything up to the last ``@`` counts as login: a password may hold characters that ought to be coded.
    """
    found = _LOGIN.match(uri)
    if found is None or found[1].partition("+")[0].lower() in _NO_LOGIN:
        return uri, None, None
    user, colon, password = found[2].partition(":")
    return f"{found[1]}://{found[3]}", user, password if colon else None


def has_password(uri: str) -> bool:
    """Return whether a URI holds a password, in its login or its query."""
    return bool(split_login(uri)[2]) or bool(_IN_QUERY.search(uri))


def redacted(uri: str) -> str:
    """Return a URI as it may be shown: the user stays, a password becomes ``***``."""
    bare, user, password = split_login(uri)
    if password is not None:
        scheme, _, rest = bare.partition("://")
        uri = f"{scheme}://{user}:{HIDDEN}@{rest}"
    return _IN_QUERY.sub(rf"\1{HIDDEN}", uri)


def refuse_password(option: str, uri: str) -> None:
    """Refuse a password on the command line, where other users of the machine see it.

    Args:
        option: Name of the option, such as ``--tracking-uri`` or ``--storage``.
        uri: Its value.

    Raises:
        UserError: If there is a password in it; the message says where passwords belong and does not show it.
    """
    if not has_password(uri):
        return
    instead = (
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN), "
        "or put the whole address into MLFLOW_TRACKING_URI"
        if option == "--tracking-uri"
        else "set the store's own variables (such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)"
    )
    raise UserError(
        f"{option}: {redacted(uri)} holds a password, which every user of this machine could read in "
        f"the list of processes; leave it out and {instead}"
    )


def without_secrets(text: str) -> str:
    """Return a text, such as a driver's error, without the secrets of this process's environment."""
    text = _IN_QUERY.sub(rf"\1{HIDDEN}", _IN_TEXT.sub(rf"\1:{HIDDEN}@", text))
    secrets = {os.environ.get(name, "") for name in SECRET_VARIABLES}
    login = ":".join(os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    secrets.add(base64.b64encode(login.encode()).decode())  # as HTTP sends it
    for name in URI_VARIABLES:
        password = split_login(os.environ.get(name, ""))[2] or ""
        secrets |= {password, unquote(password)}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= SHORTEST:
            text = text.replace(secret, HIDDEN)
    return text


def brief(error: BaseException) -> str:
    """Return the gist of an error in a line, without secrets: of a failed request, why it failed."""
    text = without_secrets(str(error)).strip()
    for pattern, gist in _GISTS:
        if found := pattern.search(text):
            return found.expand(gist)
    lines = text.splitlines()
    return lines[0][:300] if lines else type(error).__name__
