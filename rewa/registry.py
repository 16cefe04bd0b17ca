"""Find a method or a workload by name, importing only the one asked for, or a user's own class."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TypeVar

from rewa.errors import UserError

C = TypeVar("C")


def load(kind: str, name: str, table: Mapping[str, str], base: type[C]) -> type[C]:
    """Import the class that a registry lists under a name, or the one that ``package.module:Class`` names.

    Modules of the user's own are looked for in the current directory too.

    Args:
        kind: What is being looked up, for the error message ("method", "workload").
        name: The name to look up.
        table: Name to ``"module:Class"``.
        base: What the class must be a subclass of.

    Raises:
        UserError: If the name is not registered, or there is no such class of the user's own.
    """
    if ":" in name:
        return _own(kind, name, base)
    if name not in table:
        raise UserError(f"unknown {kind} {name!r}{did_you_mean(name, table)}")
    module, attribute = table[name].split(":")
    loaded: type[C] = getattr(importlib.import_module(module), attribute)
    return loaded


def _own(kind: str, path: str, base: type[C]) -> type[C]:
    """Import a user's class and check that it can be used."""
    module_name, _, attribute = path.partition(":")
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # Ray hands the driver's sys.path on to its workers
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever the user's own code raises
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise UserError(f"{kind} {path!r}: module {module_name!r} cannot be imported ({what})") from None
    found = getattr(module, attribute, None)
    wanted = f"{base.__module__}.{base.__name__}"
    if found is None:
        classes = [
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and issubclass(value, base)
        ]
        raise UserError(
            f"{kind} {path!r}: {module_name} has no {attribute!r}{did_you_mean(attribute, classes)}"
        )
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UserError(f"{kind} {path!r}: must be a subclass of {wanted}")
    missing = [name for name in ("name", "summary", "Config") if not hasattr(found, name)]
    missing += sorted(getattr(found, "__abstractmethods__", ()))
    if missing:
        raise UserError(f"{kind} {path!r}: lacks {', '.join(missing)}; see {wanted}")
    return found


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``": did you mean 'x'? (known: a, b, x)"`` for an error message, or the known ones alone."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f": did you mean {close[0]!r}?" if close else ""
    return f"{hint} (known: {', '.join(names)})"
