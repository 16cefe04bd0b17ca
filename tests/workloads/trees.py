"""Small trees of real images, and files in CIFAR's official layout, made from scikit-learn's digits."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

Pixels = NDArray[np.uint8]


def digit_images(size: int = 32) -> tuple[Pixels, NDArray[np.int64]]:
    """Return all 1,797 digits scaled up bilinearly to (n, size, size, 3), and what they show."""
    images, labels = load_digits(return_X_y=True)
    grey = np.round(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    large = [Image.fromarray(g).resize((size, size), Image.Resampling.BILINEAR).convert("RGB") for g in grey]
    return np.stack([np.asarray(image) for image in large]), labels.astype(np.int64)


def digit_tree(root: Path, per_class: Mapping[str, int], classes: int = 10, size: int = 32) -> Path:
    """Write ``root/<split>/<class>/NNNNN.png``.

    Args:
        root: Where to; made.
        per_class: Images of every class by split; splits share none.
        classes: Number of classes, at most 10; class c shows the digit c.
        size: Height and width in pixels.
    """
    images, labels = digit_images(size)
    for number in range(classes):
        own = iter(images[labels == number])
        for split, count in per_class.items():
            folder = root / split / f"class{number}"
            folder.mkdir(parents=True)
            for i in range(count):
                Image.fromarray(next(own)).save(folder / f"{i:05d}.png")
    return root


def official_cifar(
    root: Path, name: str, train: int = 100, test: int = 20
) -> tuple[Pixels, NDArray[np.int64]]:
    """Write digits as CIFAR's official files: the pickles and names of "cifar10" or "cifar100".

    Args:
        root: Folder that will hold cifar-10-batches-py or cifar-100-python.
        name: "cifar10" or "cifar100".
        train: Training images; a multiple of 5.
        test: Test images.

    Returns:
        All images, shape (train + test, 32, 32, 3), and labels, in the order of the files.
    """
    images, labels = digit_images()
    images, labels = images[: train + test], labels[: train + test]
    if name == "cifar10":
        folder, label, of_train = (
            root / "cifar-10-batches-py",
            "labels",
            [f"data_batch_{i}" for i in range(1, 6)],
        )
        meta: tuple[str, dict[str, Any]] = (
            "batches.meta",
            {"label_names": [f"digit {i}" for i in range(10)]},
        )
        of_test = "test_batch"
    else:
        folder, label, of_train = root / "cifar-100-python", "fine_labels", ["train"]
        meta = ("meta", {"fine_label_names": [f"class {i}" for i in range(100)]})
        of_test = "test"
    folder.mkdir(parents=True)
    parts = np.array_split(np.arange(train), len(of_train))
    for file, index in [*zip(of_train, parts, strict=True), (of_test, np.arange(train, train + test))]:
        rows = images[index].transpose(0, 3, 1, 2).reshape(len(index), -1)  # planes of red, green and blue
        (folder / file).write_bytes(pickle.dumps({"data": rows, label: labels[index].tolist()}))
    (folder / meta[0]).write_bytes(pickle.dumps(meta[1]))
    return images, labels


def trust_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let torchvision take a file for the official one by its name: made ones have other check sums."""
    from torchvision.datasets import cifar, utils

    for module in (cifar, utils):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: os.path.isfile(path))
