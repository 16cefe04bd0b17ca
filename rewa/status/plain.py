"""Values out of JSON files that may be damaged: the wanted kind, or nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read_mapping(path: Path) -> tuple[dict[str, Any], str]:
    """Return a JSON file's mapping and what is wrong with the file; both empty where there is no file."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ""
    except OSError as error:
        return {}, f"{path.name} cannot be read ({error.strerror})"
    except (ValueError, RecursionError):
        return {}, f"{path.name} is damaged"
    return (found, "") if isinstance(found, dict) else ({}, f"{path.name} is damaged")


def number(values: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number; ``None`` for anything else."""
    found = values.get(key)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        return None
    return float(found) if abs(found) < 1e300 and math.isfinite(found) else None


def whole(values: Mapping[str, Any], key: str) -> int | None:
    """Return an integer that is not negative; ``None`` for anything else."""
    found = number(values, key)
    return int(found) if found is not None and found >= 0 and found == int(found) else None


def text(values: Mapping[str, Any], key: str) -> str:
    """Return a text; empty for anything else."""
    found = values.get(key)
    return found if isinstance(found, str) else ""


def texts(values: Mapping[str, Any], key: str) -> list[str]:
    """Return the texts of a list."""
    found = values.get(key)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def mapping(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a mapping; empty for anything else."""
    found = values.get(key)
    return found if isinstance(found, dict) else {}
