"""Images that fit on the device: all of them there from the start, and augmented there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
import torchvision
from torch import Tensor

from rewa import distributed
from rewa.data.augment import apply, central_square, draw, evaluation_view
from rewa.data.batching import RESIZE, eval_indices, to_device, train_indices
from rewa.data.decode import decode_batches, encode_paths
from rewa.data.loader import Batch, ImageLoader, Transform
from rewa.data.tree import ImageTree

_CHUNK = 256  # files that a worker decodes at a time


class ResidentLoader(ImageLoader):
    """Holds all splits on the device.

    What is drawn to augment a batch is drawn for the whole of it, so that one process and many see the same
    images.

    Args:
        splits: "train", "val" and "test": images, uint8, shape (n, 3, height, width), and labels, int64,
            shape (n,), on any device.
        classes: Names of the classes.
        transform: What happens to the images.
        batch_size: Images per training batch, over all processes.
        device: Where the images are held and the batches given.
        eval_batch_size: Images per batch of evaluation, over all processes.
    """

    name = "resident"

    def __init__(
        self,
        splits: Mapping[str, tuple[Tensor, Tensor]],
        classes: Sequence[str],
        transform: Transform,
        batch_size: int,
        device: torch.device,
        eval_batch_size: int = 1024,
    ) -> None:
        self.classes = tuple(classes)
        self._splits = {
            split: (images.to(device), labels.to(device)) for split, (images, labels) in splits.items()
        }
        self._transform = transform
        self._batch_size = batch_size
        self._device = device
        self._eval_batch_size = eval_batch_size

    @property
    def sizes(self) -> dict[str, int]:
        """Number of images per split, over all processes."""
        return {split: len(labels) for split, (_, labels) in self._splits.items()}

    def train_batches(self, epoch_seed: int) -> Iterator[Batch]:
        """Yield this process's share of one shuffled, augmented epoch."""
        images, labels = self._splits["train"]
        generator = torch.Generator().manual_seed(epoch_seed)
        height, width = images.shape[-2:]
        for batch in train_indices(len(labels), self._batch_size, generator):
            draws = draw(len(batch), height, width, self._transform, generator)
            index = to_device(distributed.share(batch), self._device)
            mine = draws[distributed.rank() :: distributed.world_size()]
            yield apply(images.index_select(0, index), self._transform, mine), labels[index]

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Yield this process's share of a split in stored order."""
        images, labels = self._splits[split]
        for batch in eval_indices(len(labels), self._eval_batch_size):
            index = to_device(batch, self._device)
            yield evaluation_view(images.index_select(0, index), self._transform).contiguous(), labels[index]

    def spec(self) -> dict[str, str | int | bool]:
        """Return the loader, its resize kernel, the version that has it and the stored size."""
        height, width = self._splits["train"][0].shape[-2:]
        return {
            "loader": self.name,
            "resize": RESIZE,
            "torchvision": torchvision.__version__,
            "stored": f"{height} x {width}",
        }


def read_resident(
    tree: ImageTree, size: int, workers: int, progress: Callable[[int, int], None] | None = None
) -> dict[str, tuple[Tensor, Tensor]]:
    """Decode all images to squares for a :class:`ResidentLoader`, on the CPU.

    Args:
        tree: The files.
        size: Height and width to keep, see :func:`rewa.data.augment.central_square`. With the transform's
            ``eval_resize`` evaluation is that of the :class:`rewa.data.folder.FolderLoader`.
        workers: Processes that decode; 0: this one.
        progress: Called with the number of images decoded and of all.

    Returns:
        Per split the images, uint8, shape (n, 3, size, size), and the labels, int64, shape (n,).

    Raises:
        UserError: Naming the file, if one cannot be read as an image.
    """
    total, done = sum(tree.sizes.values()), 0
    splits = {}
    for split, files in tree.files.items():
        images = torch.empty(len(files), 3, size, size, dtype=torch.uint8)
        places = torch.split(torch.arange(len(files)), _CHUNK)
        view = partial(_square, size=size)
        for batch, squares in zip(
            places, decode_batches(encode_paths(files), places, view, workers), strict=True
        ):
            images[batch[0] : batch[-1] + 1] = squares
            done += len(batch)
            if progress is not None:
                progress(done, total)
        splits[split] = images, torch.from_numpy(tree.labels[split])
    return splits


def resident_bytes(tree: ImageTree, size: int) -> int:
    """Return the memory that :func:`read_resident`'s images take."""
    return sum(tree.sizes.values()) * 3 * size * size


def _square(image: Tensor, index: int, size: int) -> Tensor:
    return central_square(image, size)
