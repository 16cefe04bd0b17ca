"""What a sweep's output directory takes on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rewa.sweep.layout import CHECKPOINTS_FOLDER, PHASE_FOLDERS, SCRATCH_FOLDER


@dataclass(frozen=True)
class Disk:
    """Bytes by what they are for.

    Attributes:
        records: Of finished trainings.
        per_record: The mean of one; 0 without any.
        checkpoints: Of trainings that run or were interrupted: two of each at most.
        checkpoint_files: How many files these are.
        scratch: Ray Tune's, while a sweep runs.
        other: Studies, report, descriptions.
    """

    records: int
    per_record: int
    checkpoints: int
    checkpoint_files: int
    scratch: int
    other: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.records + self.checkpoints + self.scratch + self.other


def measure_disk(folder: Path, records: int, count: int) -> Disk:
    """Measure a directory.

    Args:
        folder: The output directory.
        records: Bytes of the finished trainings, which were measured when they were read.
        count: How many these are.
    """
    checkpoints, files = _size(folder / CHECKPOINTS_FOLDER)
    scratch, _ = _size(folder / SCRATCH_FOLDER)
    passed_over = (*PHASE_FOLDERS.values(), CHECKPOINTS_FOLDER, SCRATCH_FOLDER)
    other, _ = _size(folder, passed_over)
    return Disk(records, records // count if count else 0, checkpoints, files, scratch, other)


def _size(folder: Path, passed_over: tuple[str, ...] = ()) -> tuple[int, int]:
    """Return bytes and number of the files below a folder; files that vanish meanwhile count as none."""
    size = files = 0
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return 0, 0
    for entry in entries:
        if entry.name in passed_over:
            continue
        try:
            if entry.is_dir(follow_symlinks=False):
                more, many = _size(Path(entry.path))
                size, files = size + more, files + many
            else:
                size, files = size + entry.stat(follow_symlinks=False).st_size, files + 1
        except OSError:
            continue
    return size, files
