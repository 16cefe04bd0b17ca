"""What a sweep leaves behind and nobody needs any more: checkpoints, half-written files, Ray Tune's scratch.

A running training has two checkpoints at most, its newest and the one before, and for a moment a third that
is being written. They are removed when it ends, whatever its end; what a killed worker or driver left is
removed here, at the start and at the end of a sweep.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rewa.sweep.layout import CHECKPOINTS_FOLDER, PHASE_FOLDERS, SCRATCH_FOLDER, entries

if TYPE_CHECKING:
    from rewa.record import Record
    from rewa.storage import Store
    from rewa.sweep.trial import TrialSpec

PREVIOUS = ".previous"
PARTIAL = ".partial"


def clean(folder: Path, live: Collection[Path], before: float = math.inf) -> int:
    """Remove what no training needs any more from an output directory; only its driver may call it.

    Records, studies and reports are never touched. A file that cannot be removed stays.

    Args:
        folder: The output directory.
        live: Checkpoints of trainings that run or will be run again; the one before each is kept too.
        before: Half-written files are removed if they were last written before this time (seconds since
            1970), such as the start of the driver; default: all are.

    Returns:
        How many bytes that freed.
    """
    freed = 0
    kept = {path.name for path in live}
    checkpoints = folder / CHECKPOINTS_FOLDER
    for entry in _files(checkpoints):
        if _is_partial(entry.name):
            freed += _remove_old(entry, before)
        elif entry.name.removesuffix(PREVIOUS) not in kept:
            freed += _remove(Path(entry.path))
    with suppress(OSError):
        checkpoints.rmdir()  # empty
    scratch = folder / SCRATCH_FOLDER
    freed += sum(entry.stat().st_size for entry in _tree(scratch))
    shutil.rmtree(scratch, ignore_errors=True)
    for place in _record_folders(folder):
        for entry in _files(place):
            if _is_partial(entry.name):
                freed += _remove_old(entry, before)
    return freed


def clean_store(store: Store, live: Collection[Path]) -> int:
    """Remove checkpoints that no training needs any more from shared storage.

    Args:
        store: The sweep's place there.
        live: As for :func:`clean`; names count, wherever the files are.

    Returns:
        How many bytes that freed.

    Raises:
        OSError: If the storage cannot be read or written.
    """
    kept = {path.name for path in live}
    freed = 0
    for key, size in store.keys(CHECKPOINTS_FOLDER).items():
        if key.rpartition("/")[2].removesuffix(PREVIOUS) not in kept:
            store.remove(key)
            freed += size
    return freed


def present_checkpoints(folder: Path) -> set[Path]:
    """Return the checkpoints in an output directory, also those of which only the one before is there."""
    checkpoints = folder / CHECKPOINTS_FOLDER
    names = (entry.name.removesuffix(PREVIOUS) for entry in _files(checkpoints))
    return {checkpoints / name for name in names if not _is_partial(name)}


def checkpoint_paths(template: TrialSpec, records: Iterable[Record]) -> set[Path]:
    """Return where trainings keep, or kept, their checkpoints.

    Args:
        template: What all trainings of the sweep share.
        records: Give method, config and seed; those with a record are over, so that these paths are dead.
    """
    from rewa.sweep.trial import checkpoint_of

    found = set()
    for record in records:
        update = {"method": record.method, "config": record.config, "seed": record.seed}
        if file := checkpoint_of(template.model_copy(update=update)):
            found.add(file.path)
    return found


def _record_folders(folder: Path) -> Iterator[Path]:
    """Yield the output directory itself and every record's folder."""
    yield folder
    for name in PHASE_FOLDERS.values():
        for entry in entries(folder / name):
            if entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _is_partial(name: str) -> bool:
    return name.startswith(".") and name.endswith(PARTIAL)


def _files(folder: Path) -> list[os.DirEntry[str]]:
    return [entry for entry in entries(folder) if entry.is_file(follow_symlinks=False)]


def _tree(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all files below a folder."""
    for entry in entries(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _tree(Path(entry.path))
        elif entry.is_file(follow_symlinks=False):
            yield entry


def _remove_old(entry: os.DirEntry[str], before: float) -> int:
    """Remove a half-written file unless somebody may be writing it."""
    try:
        return _remove(Path(entry.path)) if entry.stat().st_mtime < before else 0
    except OSError:
        return 0


def _remove(path: Path) -> int:
    """Remove a file and return its size; 0 if it stays."""
    try:
        size = path.stat().st_size
        path.unlink()
    except OSError:
        return 0
    return size
