"""A folder of images: which files it has, in which classes and splits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from rewa.data.splits import hold_out, limit_per_split
from rewa.errors import UserError

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Names that count as images, in lower case: those of torchvision's ``ImageFolder``."""

ValSource = Literal["val folder", "held out of train"]

_EXPECTED = "it needs train/<class>/<images> and the like in val/ or test/, or both"


@dataclass(frozen=True)
class ImageTree:
    """The images of a folder by split: "train", "val" and "test".

    Attributes:
        classes: Names of the class folders, sorted; a label is a position in it.
        files: Per split, the paths, sorted by class and then by path.
        labels: Per split, the class of each file, shape (n,).
        val_source: Whether the validation split is a folder of its own or was held out of train/.
    """

    classes: tuple[str, ...]
    files: dict[str, list[Path]]
    labels: dict[str, NDArray[np.int64]]
    val_source: ValSource

    @property
    def sizes(self) -> dict[str, int]:
        """Number of images per split."""
        return {split: len(files) for split, files in self.files.items()}


def read_tree(
    root: Path,
    holdout: float = 0.1,
    limits: Mapping[str, int] = MappingProxyType({}),
) -> ImageTree:
    """List the images below ``root``/{train,val,test}/<class>/, in a fixed order.

    With all three folders each is the split of its name. With train/ and one other, the official ImageNet
    layout, the other is the test split and the validation split is held out of train/, every class in
    proportion, always the same images. Class folders are searched in depth; hidden names are passed over.

    Args:
        root: Folder that holds the splits.
        holdout: Share of train/ to hold out where val/ or test/ is missing.
        limits: Per split, about how many images to use, every class in proportion; 0 or no entry: all.

    Raises:
        UserError: If folders are missing, the splits differ in their classes, a class is empty, or a
            share or limit is out of range.
    """
    found = [split for split in ("train", "val", "test") if (root / split).is_dir()]
    if "train" not in found or len(found) == 1:
        raise UserError(f"Image folder {root} has {_contents(root)}; {_EXPECTED}.")
    classes = {split: _class_folders(root / split) for split in found}
    for split in found[1:]:
        _check_same(root, classes["train"], classes[split], split)
    files: dict[str, list[Path]] = {}
    labels: dict[str, NDArray[np.int64]] = {}
    for split in found:
        files[split], labels[split] = _images(root / split, classes["train"])
    source: ValSource = "val folder"
    if len(found) == 2:
        source = "held out of train"
        files["test"], labels["test"] = files.pop(found[1]), labels.pop(found[1])
        _check_pairs(root / "train", classes["train"], labels["train"])
        kept, held = hold_out(labels["train"], holdout)
        files["val"], labels["val"] = _take(files["train"], labels["train"], held)
        files["train"], labels["train"] = _take(files["train"], labels["train"], kept)
    for split in files:
        if limit := limits.get(split, 0):
            chosen = limit_per_split(labels[split], limit)
            files[split], labels[split] = _take(files[split], labels[split], chosen)
    order = ("train", "val", "test")
    return ImageTree(
        tuple(classes["train"]),
        {split: files[split] for split in order},
        {split: labels[split] for split in order},
        source,
    )


def _contents(root: Path) -> str:
    """Say what is in a folder, shortly."""
    if not root.is_dir():
        return "no such folder" if not root.exists() else "no contents, being a file"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in os.scandir(root))
    if not names:
        return "nothing in it"
    return "only " + ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _class_folders(split: Path) -> list[str]:
    names = sorted(
        entry.name for entry in os.scandir(split) if not entry.name.startswith(".") and entry.is_dir()
    )
    if not names:
        raise UserError(
            f"{split} has no class folders; put the images of each class into a folder of its own."
        )
    return names


def _check_same(root: Path, train: list[str], other: list[str], split: str) -> None:
    missing, extra = sorted(set(train) - set(other)), sorted(set(other) - set(train))
    if missing or extra:
        where, which = (
            (f"train/ but not in {split}/", missing) if missing else (f"{split}/ but not in train/", extra)
        )
        raise UserError(
            f"Image folder {root} has {len(missing) + len(extra)} class folders that are not in both train/ "
            f"and {split}/, such as {which[0]!r} (in {where}); every split needs the same classes."
        )


def _check_pairs(train: Path, classes: list[str], labels: NDArray[np.int64]) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    if counts.min() < 2:
        raise UserError(
            f"{train / classes[int(counts.argmin())]} has one image; holding a validation split out of "
            "train/ needs two of every class."
        )


def _images(split: Path, classes: list[str]) -> tuple[list[Path], NDArray[np.int64]]:
    files: list[Path] = []
    counts = []
    for name in classes:
        of_class = sorted(_walk(os.path.join(split, name)))
        if not of_class:
            raise UserError(f"{split / name} has no images ({' '.join(SUFFIXES)}); every class needs some.")
        counts.append(len(of_class))
        files.extend(map(Path, of_class))
    return files, np.repeat(np.arange(len(classes)), counts)


def _walk(folder: str) -> Iterator[str]:
    """Yield the images of a folder and of those below it, in no order."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(SUFFIXES):
                yield entry.path
            elif entry.is_dir():
                yield from _walk(entry.path)


def _take(
    files: list[Path], labels: NDArray[np.int64], index: NDArray[np.int64]
) -> tuple[list[Path], NDArray[np.int64]]:
    return [files[i] for i in index.tolist()], labels[index]
