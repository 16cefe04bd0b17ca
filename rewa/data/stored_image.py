"""How one image file is stored in a beton file. Imports ffcv, see :mod:`rewa.data.beton_writer`."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from ffcv.fields.rgb_image import encode_jpeg
from ffcv.libffcv import ctypes_imdecode
from numpy.typing import NDArray
from PIL import Image

from rewa.data.beton_writer import EncodedImage
from rewa.data.decode import decode

SMALL = 64
"""Images up to this length of the longer side are stored as pixels unless JPEG is asked for."""


def encode(path: Path, as_jpeg: bool | None, max_resolution: int, quality: int) -> EncodedImage:
    """Read an image file and make of it what is stored.

    A JPEG that is stored as one and need not shrink keeps its bytes, so that nothing is lost twice.

    Args:
        path: The image file.
        as_jpeg: Whether to store a JPEG or pixels; ``None``: a JPEG if the file is one and not small.
        max_resolution: Longest side in pixels; larger images are shrunk by OpenCV's area average.
        quality: Of JPEGs that are encoded here, 1 to 100.

    Raises:
        UserError: Naming the file, if it cannot be read as an image.
    """
    if as_jpeg is not False and (kept := _jpeg_as_it_is(path, max_resolution, as_jpeg is None)) is not None:
        return kept
    pixels = np.ascontiguousarray(decode(path).permute(1, 2, 0).numpy())
    if as_jpeg is None:
        as_jpeg = max(pixels.shape) > SMALL and _is_jpeg(path)
    pixels = _shrunk(pixels, max_resolution)
    height, width = pixels.shape[:2]
    data = encode_jpeg(pixels, quality) if as_jpeg else pixels
    return EncodedImage(as_jpeg, height, width, data.tobytes())


def most_bytes(max_resolution: int) -> int:
    """Return a bound on the bytes of an image that :func:`encode` returns."""
    return 3 * max_resolution**2 + (1 << 16)


def _is_jpeg(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(3) == b"\xff\xd8\xff"


def _jpeg_as_it_is(path: Path, max_resolution: int, skip_small: bool) -> EncodedImage | None:
    """Return a file's bytes if they are a JPEG of fitting size that FFCV's decoder does not complain of."""
    try:
        data = path.read_bytes()
        if data[:3] != b"\xff\xd8\xff":
            return None
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None  # whoever decodes it says what is wrong
    longest = max(height, width)
    if (
        longest > max_resolution
        or (skip_small and longest <= SMALL)
        or len(data) > most_bytes(max_resolution)
    ):
        return None
    source, pixels = np.frombuffer(data, np.uint8), np.empty((height, width, 3), np.uint8)
    status = ctypes_imdecode(
        source.ctypes.data,
        source.size,
        height,
        width,
        pixels.ctypes.data,
        height,
        width,
        0,
        0,
        1,
        1,
        False,
        False,
    )
    return EncodedImage(True, height, width, data) if status == 0 else None


def _shrunk(pixels: NDArray[np.uint8], max_resolution: int) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    ratio = max_resolution / max(height, width)
    if ratio >= 1:
        return pixels
    size = max(round(width * ratio), 1), max(round(height * ratio), 1)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
