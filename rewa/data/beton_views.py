"""Which part of each stored image a batch shows, as one table per pass over a split.

All that is random is drawn here, before anything is decoded, by whole arrays: what is drawn for an image
depends on the epoch's seed and its place in the split only, not on threads, processes or batches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rewa.data.loader import Transform

Ints = NDArray[np.int64]

COLUMNS = 8
INDEX, TOP, LEFT, HEIGHT, WIDTH, DOWN, RIGHT, MIRRORED = range(COLUMNS)
"""Columns of a table: number in the file; box of the stored image that is resized to the view; by how many
pixels the view is then shifted over its own reflection; 1 if it is mirrored."""

_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_TRIES = 10
_CHUNK = 1 << 16  # images drawn at a time, which bounds the memory of the draws


@dataclass(frozen=True)
class Stored:
    """The images of a split as they lie in a file.

    Attributes:
        index: Their numbers in the file, shape (n,).
        heights: In pixels, shape (n,).
        widths: In pixels, shape (n,).
    """

    index: Ints
    heights: Ints
    widths: Ints

    def __len__(self) -> int:
        return len(self.index)


def evaluation_views(stored: Stored, transform: Transform, resolution: int | None = None) -> Ints:
    """Return the central views of evaluation.

    The part that remains of an image when its shorter side is resized to ``eval_resize`` and the centre
    cropped; here that part is resized, once.

    Args:
        stored: The images.
        transform: The sizes.
        resolution: Of the view; default ``eval_resolution``. Another one changes ``eval_resize`` in
            proportion, and the same part of the image is seen.

    Returns:
        Table of shape (n, COLUMNS).
    """
    resize, resolution = transform.eval_resize, resolution or transform.eval_resolution
    if resolution != transform.eval_resolution:
        resize = max(round(resize * resolution / transform.eval_resolution), resolution)
    return _table(stored, _central(stored, resolution / resize))


def training_views(stored: Stored, transform: Transform, epoch_seed: int) -> Ints:
    """Draw the views of one epoch, see :class:`rewa.data.loader.Transform`.

    Args:
        stored: The images of the whole training split, also where several processes share it.
        transform: What to draw.
        epoch_seed: Non-negative; decides all draws.

    Returns:
        Table of shape (n, COLUMNS), in the split's order.
    """
    if transform.augmentation == "none":
        table = evaluation_views(stored, transform, transform.train_resolution)
    else:
        table = _table(stored, _central(stored, 1.0))
    generator = np.random.default_rng([epoch_seed, 0xBE70])
    for start in range(0, len(stored), _CHUNK):
        part = slice(start, start + _CHUNK)
        rows = table[part]
        if transform.augmentation == "resized_crop":
            rows[:, TOP : WIDTH + 1] = _boxes(stored.heights[part], stored.widths[part], generator)
        elif transform.augmentation == "crop":
            room = transform.train_resolution // 8
            rows[:, DOWN : RIGHT + 1] = generator.integers(-room, room + 1, (len(rows), 2))
        if transform.flip:
            rows[:, MIRRORED] = generator.random(len(rows)) < 0.5
    return table


def _table(stored: Stored, boxes: Ints) -> Ints:
    table = np.zeros((len(stored), COLUMNS), dtype=np.int64)
    table[:, INDEX] = stored.index
    table[:, TOP : WIDTH + 1] = boxes
    return table


def _central(stored: Stored, share: float) -> Ints:
    """Return the central squares whose sides are a share of the shorter sides, shape (n, 4)."""
    height, width = stored.heights, stored.widths
    side = np.clip(np.rint(np.minimum(height, width) * share), 1, None)
    # Half to even, as torchvision's center_crop.
    top, left = np.rint((height - side) / 2), np.rint((width - side) / 2)
    return np.stack([top, left, side, side], axis=1).astype(np.int64)


def _boxes(height: Ints, width: Ints, generator: np.random.Generator) -> Ints:
    """Draw the boxes of torchvision's ``RandomResizedCrop``, shape (n, 4).

    A uniform share of the area and a log-uniform aspect ratio, ten tries to fit them into the image, then the
    largest central box of an allowed aspect ratio.
    """
    share, aspect, place = np.split(
        generator.random((len(height), 2 * _TRIES + 2)), [_TRIES, 2 * _TRIES], axis=1
    )
    low, high = (math.log(ratio) for ratio in _ASPECT)
    area = (height * width)[:, None] * (_AREA[0] + (_AREA[1] - _AREA[0]) * share)
    ratio = np.exp(low + (high - low) * aspect)
    wide, tall = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (wide > 0) & (wide <= width[:, None]) & (tall > 0) & (tall <= height[:, None])
    first = fits.argmax(axis=1)[:, None]
    found = fits.any(axis=1)
    whole_tall = np.minimum(height, np.rint(width / _ASPECT[0]))
    whole_wide = np.minimum(width, np.rint(height * _ASPECT[1]))
    h = np.where(found, np.take_along_axis(tall, first, 1)[:, 0], whole_tall)
    w = np.where(found, np.take_along_axis(wide, first, 1)[:, 0], whole_wide)
    top = np.where(found, np.floor(place[:, 0] * (height - h + 1)), (height - h) // 2)
    left = np.where(found, np.floor(place[:, 1] * (width - w + 1)), (width - w) // 2)
    return np.stack([top, left, h, w], axis=1).astype(np.int64)
