"""Files that appear whole or not at all: a reader sees the old content or the new one, never half of it."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

STALE_AFTER = 3600.0
"""Seconds after which a partial file that nobody has written to is one whose writer was killed."""


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, see :func:`replacing`."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, see :func:`replacing`."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, keep: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a file that takes the path's place when the block ends without an exception.

    It is on the disk before it has the name. Several processes may do this at once: the last one wins. What
    a killed writer left beside the path is deleted an hour later, by whoever writes there then.

    Args:
        path: The file; its folder must exist.
        keep: The name that the old file is given. Default: it is deleted.

    Yields:
        A binary file, for writing.

    Raises:
        OSError: If it cannot be written, such as on a full disk; the old file is whole, and nothing is left
            beside it.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if keep is not None and path.exists():
            path.replace(keep)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    remove_partials(path, STALE_AFTER)


def remove_partials(path: Path, older_than: float = 0.0) -> None:
    """Delete what writers of a file that were killed left beside it.

    Args:
        path: The file.
        older_than: Only what was last written to so many seconds ago; a live writer's must be let be.
    """
    start, end = f".{path.name}.", ".partial"
    newest = time.time() - older_than
    with suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            if not (entry.name.startswith(start) and entry.name.endswith(end)):
                continue
            if not older_than or entry.stat(follow_symlinks=False).st_mtime < newest:
                os.unlink(entry.path)
