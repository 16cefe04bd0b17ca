"""Safe access to values whose types nobody has promised."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def mapping(value: Any) -> dict[str, Any]:
    """Return a mapping as it is, anything else as an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """Return a list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def whole(value: Any) -> int | None:
    """Return a whole number; ``None`` for anything else, truth values included."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def provider_of(values: dict[str, Any]) -> str:
    """Return the provider's type; empty if there is none."""
    found = mapping(values.get("provider")).get("type")
    return found if isinstance(found, str) else ""


def node_types(values: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and settings of every node type that is a mapping."""
    for name, settings in mapping(values.get("available_node_types")).items():
        if isinstance(settings, dict):
            yield name, settings


def worker_types(values: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and settings of every node type but the head's."""
    for name, settings in node_types(values):
        if name != values.get("head_node_type"):
            yield name, settings


def commands(values: dict[str, Any], key: str) -> str:
    """Return a list of shell commands as one text."""
    return "\n".join(command for command in sequence(values.get(key)) if isinstance(command, str))
