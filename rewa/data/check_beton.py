"""Whether every byte of a folder of beton files is as it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rewa.data.beton_files import BLOCK, CONTENTS, BetonIndex, block_checksums, read_contents, read_index
from rewa.data.ffcv_package import require_ffcv
from rewa.errors import UserError

Progress = Callable[[str, int, int], None]
"""Called with a file's name, its blocks read so far, and all of its blocks."""


def check_beton(root: Path, progress: Progress | None = None) -> dict[str, int]:
    """Read all files and compare them with the checksums that ``rewa data write-beton`` left.

    Args:
        root: The folder.
        progress: Told how far it is.

    Returns:
        Number of images by file.

    Raises:
        UserError: Naming a damaged file and its damaged images, or saying that there are no checksums.
    """
    require_ffcv("Checking beton files")
    contents = read_contents(root)
    if contents is None or not contents.files:
        raise UserError(f"{root} has no {CONTENTS} that lists beton files: there is nothing to compare with.")
    checked = {}
    for name, listed in contents.files.items():
        path = root / name
        index = read_index(path, contents)
        if not listed.block_crc32:
            raise UserError(
                f"{path} was written by a version that kept no checksums of images; "
                "write it again with `rewa data write-beton`."
            )
        wrong = []
        for number, checksum in enumerate(block_checksums(path)):
            if number >= len(listed.block_crc32) or checksum != listed.block_crc32[number]:
                wrong.append(number)
            if progress is not None:
                progress(name, number + 1, len(listed.block_crc32))
        if wrong:
            raise UserError(
                f"{path} is damaged: {len(wrong)} of its {len(listed.block_crc32)} blocks of 8 MiB are not "
                f"as they were written{_images_in(index, wrong)}; copy it again or write it again with "
                "`rewa data write-beton`."
            )
        checked[name] = len(index.labels)
    return checked


def _images_in(index: BetonIndex, blocks: list[int]) -> str:
    """Say which images lie in blocks of a file."""
    first, last = index.starts // BLOCK, (index.starts + index.lengths - 1) // BLOCK
    hit: NDArray[np.bool_] = np.zeros(len(index.labels), np.bool_)
    for block in blocks:
        hit |= (first <= block) & (last >= block)
    numbers = np.flatnonzero(hit)
    if len(numbers) == 0:
        return ", none of which holds an image"
    return f", which hold {len(numbers)} images from number {numbers[0]} to {numbers[-1]}"
