"""Rules about this machine's files and about what must not be left as it is: mounts, keys, placeholders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rewa.cluster.document import ClusterDocument
from rewa.cluster.problem import Problem, dotted, shown
from rewa.cluster.shape import mapping, provider_of

PLACEHOLDER = re.compile(r"\bFILL[-_ ]?IN\b|\bCHANGE[-_ ]?ME\b")
DOCUMENTATION = re.compile(r"(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+")
"""Addresses that no machine has (RFC 5737); the shipped file of own machines has them."""


def file_problems(document: ClusterDocument) -> Iterator[Problem]:
    """Yield missing files, keys that are not there, and placeholders that nobody replaced."""
    yield from _placeholders(document)
    yield from _mounts(document.values)
    yield from _keys(document.values)


def _placeholders(document: ClusterDocument) -> Iterator[Problem]:
    seen: set[tuple[int, int]] = set()
    for location, text in document.strings():
        mark = document.mark(location)
        if mark in seen:
            continue  # an alias of what was told before
        seen.add(mark)
        if DOCUMENTATION.fullmatch(text):
            yield Problem(
                location,
                f"{dotted(location)} = {text!r}: no machine has it; replace it by a machine's of yours",
            )
        if found := PLACEHOLDER.search(text):
            around = text[max(0, found.start() - 30) : found.end() + 20].strip()
            yield Problem(
                location,
                f"{dotted(location)}: {found[0]} in {shown(around)} must be replaced by a value of yours",
            )


def _mounts(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield mounts whose local side is missing; Ray would stop in the middle of starting the head."""
    for remote, local in mapping(values.get("file_mounts")).items():
        here = ("file_mounts", remote)
        if not isinstance(local, str):
            yield Problem(here, f"file_mounts.{remote} = {shown(local)}: must be a path on this machine")
        elif not PLACEHOLDER.search(local) and not _exists(local):
            if remote.endswith("auth_token"):
                made = "make it with: ray get-auth-token --generate"
            else:
                made = "run from the folder that has it, or correct the path"
            yield Problem(here, f"file_mounts.{remote} = {local!r}: is not on this machine; {made}")


def _keys(values: dict[str, Any]) -> Iterator[Problem]:
    """Yield ssh keys that are not there, or that a cloud would not know."""
    auth = mapping(values.get("auth"))
    for key in ("ssh_private_key", "ssh_public_key"):
        path = auth.get(key)
        if isinstance(path, str) and not PLACEHOLDER.search(path) and not _exists(path):
            yield Problem(
                ("auth", key),
                f"auth.{key} = {path!r}: is not on this machine; make it with ssh-keygen, or correct it",
            )
    if provider_of(values) == "local" and "ssh_user" not in auth:
        yield Problem(("auth",), "missing key 'auth.ssh_user': the user to log in as on your machines")
    if provider_of(values) == "aws" and "ssh_private_key" in auth:
        for name, settings in mapping(values.get("available_node_types")).items():
            node = mapping(mapping(settings).get("node_config"))
            if "KeyName" not in node and "UserData" not in node:
                here = ("available_node_types", name, "node_config")
                yield Problem(
                    here,
                    f"{dotted(here)}: auth.ssh_private_key needs KeyName here, the key pair's name on AWS",
                )


def _exists(path: str) -> bool:
    """Return whether a path is there; one that no file system can hold is not."""
    try:
        return Path(path).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
