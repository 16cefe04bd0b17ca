"""Images decoded from their files every epoch, for data that fit into no memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
import torchvision
from torch import Tensor

from rewa import distributed
from rewa.data.augment import augment_one, evaluation_view
from rewa.data.batching import RESIZE, eval_indices, to_device, train_indices
from rewa.data.decode import View, decode_batches, encode_paths
from rewa.data.loader import Batch, ImageLoader, Transform
from rewa.data.tree import ImageTree


class FolderLoader(ImageLoader):
    """Decodes files in worker processes.

    What is drawn to augment an image depends on the epoch's seed and the image only, not on how many workers
    or processes there are. A process decodes its share of every batch, nothing else.

    Args:
        tree: The files.
        transform: What happens to the images.
        batch_size: Images per training batch, over all processes.
        device: Where the batches are given; to a GPU they travel while it computes.
        workers: Processes that decode, started for every pass and ended with it; 0: this one.
        eval_batch_size: Images per batch of evaluation, over all processes.
    """

    name = "folder"

    def __init__(
        self,
        tree: ImageTree,
        transform: Transform,
        batch_size: int,
        device: torch.device,
        workers: int = 4,
        eval_batch_size: int = 256,
    ) -> None:
        self.classes = tree.classes
        self._files = {split: encode_paths(files) for split, files in tree.files.items()}
        self._labels = {split: torch.from_numpy(labels) for split, labels in tree.labels.items()}
        self._transform = transform
        self._batch_size = batch_size
        self._device = device
        self._workers = workers
        self._eval_batch_size = eval_batch_size

    @property
    def sizes(self) -> dict[str, int]:
        """Number of images per split, over all processes."""
        return {split: len(files) for split, files in self._files.items()}

    def train_batches(self, epoch_seed: int) -> Iterator[Batch]:
        """Yield this process's share of one shuffled, augmented epoch."""
        generator = torch.Generator().manual_seed(epoch_seed)
        batches = train_indices(self.sizes["train"], self._batch_size, generator)
        view = partial(_random_view, transform=self._transform, epoch_seed=epoch_seed)
        yield from self._batches("train", [distributed.share(batch) for batch in batches], view)

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Yield this process's share of a split in stored order."""
        batches = eval_indices(self.sizes[split], self._eval_batch_size)
        yield from self._batches(split, batches, partial(_fixed_view, transform=self._transform))

    def spec(self) -> dict[str, str | int | bool]:
        """Return the loader, its resize kernel and the version that has it."""
        return {"loader": self.name, "resize": RESIZE, "torchvision": torchvision.__version__}

    def _batches(self, split: str, batches: list[Tensor], view: View) -> Iterator[Batch]:
        pin = self._device.type == "cuda"
        decoded = decode_batches(self._files[split], batches, view, self._workers, pin)
        for batch, images in zip(batches, decoded, strict=True):
            labels = to_device(self._labels[split][batch], self._device)
            yield images.to(self._device, non_blocking=True), labels


def _random_view(image: Tensor, index: int, transform: Transform, epoch_seed: int) -> Tensor:
    state = np.random.SeedSequence([epoch_seed, index]).generate_state(1, np.uint64)
    return augment_one(image, transform, torch.Generator().manual_seed(int(state[0])))


def _fixed_view(image: Tensor, index: int, transform: Transform) -> Tensor:
    return evaluation_view(image, transform)
