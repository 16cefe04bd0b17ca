"""What a benchmark keeps in its output directory: one recipe, and rows that are written as they come."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rewa.errors import UserError
from rewa.record import write_text


def claim_directory(stamp: Path, recipe: str, holds: str) -> None:
    """Make a directory the home of one recipe, so that what is kept there is never mixed with another's.

    Args:
        stamp: File in the directory that holds the recipe; written if it is not there.
        recipe: Everything that decides what will be kept, as text.
        holds: What the directory holds if it is another's, for the message.

    Raises:
        UserError: If the directory holds another recipe's, or cannot be written.
    """
    folder = stamp.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if stamp.is_file() and stamp.read_text() != recipe:
            raise UserError(f"{folder}: holds {holds}; choose another --output")
        write_text(stamp, recipe)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from None


class KeptRows:
    """A table on disk that only grows, a whole file at every moment.

    Args:
        path: The CSV file; need not exist.
        columns: Columns of the empty table.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path = path
        self.table = pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=list(columns))

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows and write the file."""
        fresh = pd.DataFrame(rows)
        self.table = fresh if self.table.empty else pd.concat([self.table, fresh], ignore_index=True)
        write_text(self.path, self.table.to_csv(index=False))
