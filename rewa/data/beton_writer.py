"""FFCV's file format, written in order by one process.

FFCV's own writer stops for ever when a worker meets an image that it cannot read, and which image lies where
depends on which worker was faster; here an exception is an exception and equal input gives equal files.
Imports ffcv: only after :func:`rewa.data.ffcv_package.require_ffcv`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from ffcv.fields import IntField, RGBImageField
from ffcv.types import ALLOC_TABLE_TYPE, CURRENT_VERSION, FieldDescType, HeaderType, get_metadata_type

_FIELDS = (("image", 2, RGBImageField()), ("label", 1, IntField()))
_PAGE = 8 << 20


@dataclass(frozen=True)
class EncodedImage:
    """An image as it is stored.

    Attributes:
        jpeg: Whether ``data`` is a JPEG; else it is height x width x 3 bytes.
        height: In pixels.
        width: In pixels.
        data: What is stored.
    """

    jpeg: bool
    height: int
    width: int
    data: bytes


class BetonWriter:
    """Writes one file; a context that closes it. The file is complete after :meth:`finish` only.

    Args:
        path: The file; it must not exist.
        count: Number of images.
        largest: Most bytes that an image takes.
    """

    def __init__(self, path: Path, count: int, largest: int) -> None:
        self._page = max(_PAGE, 1 << (largest - 1).bit_length())
        self._header = np.zeros((), HeaderType)
        self._header["version"], self._header["num_fields"] = CURRENT_VERSION, len(_FIELDS)
        self._header["page_size"], self._header["num_samples"] = self._page, count
        self._described = np.zeros(len(_FIELDS), FieldDescType)
        for row, (name, kind, _) in zip(self._described, _FIELDS, strict=True):
            row["type_id"] = kind
            row["name"][: len(name)] = np.frombuffer(name.encode(), np.uint8)
        self._rows = np.zeros(count, get_metadata_type([field for _, _, field in _FIELDS]))
        self._table = np.zeros(count, ALLOC_TABLE_TYPE)
        self._next = 0
        head = self._header.nbytes + self._described.nbytes + self._rows.nbytes
        self._end = -(-head // self._page) * self._page  # the images begin on a page of their own
        self._file = path.open("xb")

    def __enter__(self) -> BetonWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, image: EncodedImage, label: int) -> None:
        """Append the next image."""
        size = len(image.data)
        if self._end % self._page + size > self._page:  # no image lies on two pages
            self._end = (self._end // self._page + 1) * self._page
        self._file.seek(self._end)
        self._file.write(image.data)
        row = self._rows[self._next]
        row["f0"] = (0 if image.jpeg else 1, image.width, image.height, self._end)
        row["f1"] = label
        self._table[self._next] = (self._next, self._end, size)
        self._end += size
        self._next += 1

    def finish(self) -> None:
        """Write the index and wait until all is on the disk."""
        if self._next != len(self._rows):
            raise ValueError(f"{self._next} images were added of {len(self._rows)}")
        self._header["alloc_table_ptr"] = self._end
        self._file.seek(self._end)
        self._file.write(self._table.tobytes())
        self._file.seek(0)
        for part in (self._header, self._described, self._rows):
            self._file.write(part.tobytes())
        self._file.flush()
        os.fsync(self._file.fileno())
