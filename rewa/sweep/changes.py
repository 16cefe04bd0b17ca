"""What has changed between two nested values, such as a search space and the one a sweep was started with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

SHOWN = 5
"""How many changes are named; the others are counted."""
_LONGEST = 60


def all_differences(old: Any, new: Any, limit: int = SHOWN) -> str:
    """Name what differs, as ``key: old -> new; key: old -> new and 3 more``; empty if nothing does.

    Args:
        old: Mappings, sequences and scalars.
        new: The same, as it is now.
        limit: Name at most so many.
    """
    found = list(differences(old, new))
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return "; ".join(found[:limit]) + more


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield every difference of two nested values, as ``methods.rewa.fixed.momentum: 0.9 -> 0.8``.

    Numbers are equal by value, but ``true`` is not 1. Sequences of different lengths differ as a whole.

    Args:
        old: Mappings, sequences and scalars.
        new: The same, as it is now.
        path: Of both within what they are part of.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in new:
                yield f"{where} was removed (it was {_short(old[key])})"
            elif key not in old:
                yield f"{where} was added ({_short(new[key])})"
            else:
                yield from differences(old[key], new[key], where)
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)) and len(old) == len(new):
        for index, (one, two) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, two, f"{path}[{index}]")
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield f"{path or 'the value'}: {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    """Write a value; of a long one the beginning and the size."""
    text = repr(list(value) if isinstance(value, tuple) else value)
    if len(text) <= _LONGEST:
        return text
    size = f" ({len(value)} entries)" if isinstance(value, (dict, list, tuple)) else ""
    return f"{text[:_LONGEST]}...{size}"
