"""What every source of images offers, whether it holds them on the device, in a folder or in a beton file.

A loader yields uint8 images on the device; normalisation is the workload's, so that all sources share it. The
order of an epoch and what is drawn to augment it depend on the epoch's seed only. When several processes
train one model (:mod:`rewa.distributed`), process r of w gets items r, r + w, r + 2w, ... of every batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""Images, uint8, shape (n, 3, height, width); labels, int64, shape (n,). Both on the device."""

Augmentation = Literal["none", "crop", "resized_crop"]


@dataclass(frozen=True)
class Transform:
    """What happens to an image before it is normalised; equal for all loaders, as far as they can.

    Attributes:
        train_resolution: Height and width of a training image, in pixels.
        eval_resolution: The same for evaluation.
        eval_resize: Length of the shorter side before the central crop to ``eval_resolution``.
        augmentation: ``crop``: pad by an eighth of the resolution (reflected) and crop at random.
            ``resized_crop``: a random area of 8 to 100 % with an aspect ratio of 3/4 to 4/3, resized.
            ``none``: as in evaluation, at the training resolution.
        flip: Mirror half of the training images.
    """

    train_resolution: int
    eval_resolution: int
    eval_resize: int
    augmentation: Augmentation
    flip: bool


class ImageLoader(ABC):
    """The three splits of an image classification task: "train", "val" and "test"."""

    name: ClassVar[str]
    """Stands in every result: "resident", "folder" or "beton"."""
    classes: tuple[str, ...]

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """Number of images per split, over all processes."""

    @abstractmethod
    def train_batches(self, epoch_seed: int) -> Iterator[Batch]:
        """Yield one shuffled, augmented epoch: this process's share of every batch.

        The batches may be kept: nothing overwrites them. The last, partial batch is left out unless it is the
        only one. Stopping early leaves no thread or process behind.
        """

    @abstractmethod
    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Yield this process's share of a split in stored order, without augmentation; every image once."""

    @abstractmethod
    def spec(self) -> dict[str, str | int | bool]:
        """Return what a result says of the loader: at least its name as ``loader`` and ``resize``."""

    def close(self) -> None:  # noqa: B027 - most loaders hold nothing open
        """Let go of files, threads and processes; the loader is not used again."""
