"""What a check finds: one sentence about one place of a cluster file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Location = tuple[str | int, ...]
"""Keys and list positions from the top of the file to a value; empty for the file as a whole."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, or that is probably not meant.

    Attributes:
        location: Where; also where the line number comes from.
        sentence: What is wrong and what would be right, without a final stop.
        severity: ``error`` if the cluster would not start or not be what was asked for, ``warning`` if it
            would start.
    """

    location: Location
    sentence: str
    severity: Literal["error", "warning"] = "error"


def warning(location: Location, sentence: str) -> Problem:
    """Return a problem that does not keep the cluster from starting."""
    return Problem(location, sentence, "warning")


def dotted(location: Location) -> str:
    """Return a location as it is written in messages: ``available_node_types.gpu.resources``."""
    return ".".join(str(part) for part in location)


def shown(value: object) -> str:
    """Return a value for a message: on one line and not endless."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
