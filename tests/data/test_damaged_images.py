"""Damaged image files of every format: pixels, or a sentence that names the file; the process lives on."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rewa.data.decode import decode
from rewa.errors import UserError

FORMATS = {
    "jpeg": ("JPEG", {}),
    "progressive jpeg": ("JPEG", {"progressive": True}),
    "png": ("PNG", {}),
    "bmp": ("BMP", {}),
    "ppm": ("PPM", {}),
    "tiff": ("TIFF", {}),
    "lzw tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "webp": ("WEBP", {}),
    "gif": ("GIF", {}),
}

DECODING = """
import sys, warnings
from pathlib import Path
import numpy as np
import torch
from rewa.data import decode as module
from rewa.errors import UserError
warnings.simplefilter("ignore")
torch.set_num_threads(1)
folder, count = Path(sys.argv[1]), int(sys.argv[2])
generator = np.random.default_rng(2)
for source in sorted(folder.glob("*.whole")):
    whole, path = source.read_bytes(), source.with_suffix(".img")
    for turn in range(count):
        damaged = bytearray(whole)
        if turn % 3 == 0:
            del damaged[generator.integers(len(damaged)) :]
        for _ in range(generator.integers(1, 4) if turn % 3 else 0):
            damaged[generator.integers(len(damaged) if turn % 2 else 200)] ^= 1 << generator.integers(8)
        path.write_bytes(damaged)
        for decoder in (module.decode, module._decode_by_pillow):
            try:
                image = decoder(path)
            except UserError as error:
                assert str(path) in str(error) and str(error).isprintable(), error
            else:
                assert image.dtype == torch.uint8 and image.ndim == 3 and len(image) == 3, image.shape
print("lived")
"""


def photograph() -> Image.Image:
    coarse = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((60, 50), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("count", [25, pytest.param(1500, marks=pytest.mark.slow)])
def test_no_damage_ends_the_process_or_in_a_traceback(count: int, tmp_path: Path) -> None:
    """torchvision alone dies of nearly every flipped bit in a PNG."""
    for name, (kind, options) in FORMATS.items():
        image = photograph()
        (image.convert("P") if kind == "GIF" else image).save(tmp_path / f"{name}.whole", kind, **options)
    done = subprocess.run(
        [sys.executable, "-c", DECODING, str(tmp_path), str(count)],
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "lived"


def test_a_png_is_refused_for_any_flipped_bit(tmp_path: Path) -> None:
    path, data = tmp_path / "image.png", io.BytesIO()
    photograph().save(data, "PNG")
    whole = data.getvalue()
    for place in range(8, len(whole), 41):
        damaged = bytearray(whole)
        damaged[place] ^= 4
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"image\.png cannot be decoded \(it is damaged"):
            decode(path)
    path.write_bytes(whole + b"what follows the end is no part of the image")
    assert decode(path).shape == (3, 50, 60)
