"""Image files to uint8 tensors, by worker processes in batches."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms.v2 import functional

from rewa.errors import UserError

try:  # the same pixels as Pillow in two thirds to a third of the time, but to be removed from torchvision
    from torchvision.io import decode_image
except ImportError:
    decode_image = None

View = Callable[[Tensor, int], Tensor]
"""From a decoded image, uint8 (3, height, width), and its index to what a batch holds of it; picklable."""

_PNG = b"\x89PNG\r\n\x1a\n"

Paths = NDArray[np.bytes_]
"""Encoded paths in one array: a million objects would be copied into every worker, by their counts."""


def decode(path: str | Path) -> Tensor:
    """Return an image file's pixels, uint8, shape (3, height, width).

    Grey and palette images become RGB, transparency is left out, 16 bits become 8, of several frames the
    first counts. An orientation in the metadata is not applied (as in torchvision's ``ImageFolder``).

    Raises:
        UserError: Naming the file, if it cannot be read as an image.
    """
    if decode_image is None:
        return _decode_by_pillow(path)
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise _damaged(path, error.strerror or "it cannot be read") from error
    _check_png(path, data)
    try:
        image: Tensor = decode_image(torch.from_numpy(data), mode="RGB")
    except (RuntimeError, ValueError):  # such as a format that torchvision does not know
        return _decode_by_pillow(path)
    if image.ndim == 4:
        image = image[0]
    if image.dtype != torch.uint8:
        image = functional.to_dtype(image, torch.uint8, scale=True)
    return image


def encode_paths(files: Sequence[str | Path]) -> Paths:
    """Return the paths as :func:`decode_batches` takes them."""
    return np.array([os.fsencode(path) for path in files])


def decode_batches(
    files: Paths, batches: Sequence[Tensor], view: View, workers: int, pin: bool = False
) -> Iterator[Tensor]:
    """Decode files batch by batch, in order.

    Args:
        files: All files.
        batches: Per batch the indices of its files, int64, shape (n,), n > 0.
        view: Applied to every image; its results are stacked.
        workers: Processes that decode, each with one torch thread; 0: this process. They end with the
            iteration, whether it comes to its end or not.
        pin: Whether the results are in pinned memory.

    Yields:
        The stacked views of each batch, contiguous.

    Raises:
        UserError: Naming the file, if one cannot be read as an image.
    """
    loader = DataLoader(
        _Files(files, view),
        batch_size=None,
        sampler=batches,  # a batch is an item: one worker decodes all of it
        num_workers=min(workers, len(batches)),
        collate_fn=_as_is,
        pin_memory=pin,
        generator=torch.Generator(),  # else a pass would move torch's global one
    )
    loaded = iter(loader)
    try:
        for images in loaded:
            if isinstance(images, str):  # torch would wrap an exception into a worker's traceback
                raise UserError(images)
            yield images
    finally:
        del loaded  # ends the workers


class _Files(Dataset[Any]):
    """Batches of views by their indices; a message in place of a batch with a bad file."""

    def __init__(self, files: Paths, view: View) -> None:
        self._files = files
        self._view = view

    def __getitem__(self, batch: Tensor) -> Tensor | str:
        try:
            views = [self._view(decode(os.fsdecode(self._files[index])), index) for index in batch.tolist()]
        except UserError as error:
            return str(error)
        return torch.stack(views).contiguous()


def _as_is(item: Any) -> Any:
    return item


def _check_png(path: str | Path, data: NDArray[np.uint8]) -> None:
    """Refuse a PNG file whose checksums are wrong: torchvision's decoder ends the process on most of them.

    Raises:
        UserError: Naming the file.
    """
    if data[:8].tobytes() != _PNG:
        return
    view = memoryview(data.data)
    at, kind = 8, b""
    while kind != b"IEND" and at + 12 <= len(view):
        end = at + 8 + int.from_bytes(view[at : at + 4], "big")
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            break
        kind, at = bytes(view[at + 4 : at + 8]), end + 4
    else:
        if kind == b"IEND":
            return
    raise _damaged(path)


def _damaged(path: str | Path, reason: str = "it is damaged or no image") -> UserError:
    return UserError(f"Image {path} cannot be decoded ({reason}); replace or remove it.")


def _decode_by_pillow(path: str | Path) -> Tensor:
    try:
        with Image.open(path) as opened:
            if opened.mode.startswith("I;16"):  # which Pillow would clip, not scale
                pixels = np.asarray(opened).astype(np.uint32) >> 8
                rgb = np.repeat(pixels.astype(np.uint8)[:, :, None], 3, axis=2)
            else:
                rgb = np.array(opened.convert("RGB"))
    except Exception as error:  # Pillow lets many kinds through for a damaged file
        raise _damaged(path, *filter(None, [getattr(error, "strerror", None)])) from error
    return torch.from_numpy(rgb).permute(2, 0, 1).contiguous()
