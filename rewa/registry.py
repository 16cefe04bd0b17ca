"""Find a method or a workload by name, importing only the one asked for."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping

from rewa.errors import UserError


def load(kind: str, name: str, table: Mapping[str, str]) -> type:
    """Import the class that a registry lists under a name.

    Args:
        kind: What is being looked up, for the error message ("method", "workload").
        name: The name to look up.
        table: Name to ``"module:Class"``.

    Raises:
        UserError: If the name is not registered.
    """
    if name not in table:
        raise UserError(f"unknown {kind} {name!r}{did_you_mean(name, table)}")
    module, attribute = table[name].split(":")
    loaded: type = getattr(importlib.import_module(module), attribute)
    return loaded


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'? (known: a, b, x)"`` for an error message, or the known ones alone."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f": did you mean {close[0]!r}?" if close else ""
    return f"{hint} (known: {', '.join(names)})"
