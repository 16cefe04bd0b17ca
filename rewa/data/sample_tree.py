"""A small tree of real images to try things on: scikit-learn's handwritten digits, nothing to download."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

TEST_SHARE = 5
"""Every fifth image of a class is a test image."""


def write_digits_tree(folder: Path, size: int = 32, per_class: int = 0) -> Path:
    """Write the digits as ``folder/{train,test}/<class>/NNNNN.png``, unless the folder is there already.

    A folder appears when it is complete, so that an interrupted call leaves nothing that looks like a tree.

    Args:
        folder: Where to; its parent is made if need be.
        size: Height and width in pixels; the 8x8 digits are scaled up bilinearly, three equal channels.
        per_class: Images of each of the ten classes, both splits together; 0: all (174 to 183).

    Returns:
        The folder.
    """
    if folder.is_dir():
        return folder
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for digit in range(10):
        own = images[labels == digit].reshape(-1, 8, 8)[: per_class or None]
        for number, image in enumerate(own):
            split = "test" if number % TEST_SHARE == TEST_SHARE - 1 else "train"
            path = partial / split / str(digit) / f"{number:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.round(image * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR).convert("RGB").save(path)
    partial.replace(folder)
    return folder
