"""What has changed between two nested values."""

from __future__ import annotations

from typing import Any


def first_difference(old: Any, new: Any, path: str = "") -> str:
    """Say where two nested values first differ, as ``key: old -> new``; empty if they do not."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in new or key not in old:
                return f"{where} was {'added' if key in new else 'removed'}"
            if found := first_difference(old[key], new[key], where):
                return found
        return ""
    if isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and len(old) == len(new):
        for index, (one, two) in enumerate(zip(old, new, strict=True)):
            if found := first_difference(one, two, f"{path}[{index}]"):
                return found
        return ""
    return "" if old == new else f"{path}: {old!r} -> {new!r}"
