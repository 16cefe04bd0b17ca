"""Images from FFCV's beton files: one file per split, read with few cores and no file system traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rewa import distributed
from rewa.data.batching import eval_indices, to_device, train_indices
from rewa.data.beton_files import SPLITS, BetonIndex, Contents, read_contents, read_index
from rewa.data.beton_views import INDEX, Ints, Stored, evaluation_views, training_views
from rewa.data.ffcv_package import ffcv_version, require_ffcv
from rewa.data.loader import Batch, ImageLoader, Transform
from rewa.data.splits import hold_out, limit_per_split
from rewa.data.tree import ValSource
from rewa.errors import UserError


@dataclass(frozen=True)
class _Split:
    """Images of one file that form a split, in stored order."""

    file: BetonIndex
    stored: Stored
    labels: Tensor


class BetonLoader(ImageLoader):
    """Decodes beton files in threads.

    What is drawn to augment an image depends on the epoch's seed and the image only. Views are resized by
    OpenCV's area average, unlike those of the other loaders: their results are not those of one experiment,
    and :meth:`spec` tells them apart.

    Args:
        root: Folder with train.beton and val.beton or test.beton or both. With one of these two it is the
            test split, and the validation split is held out of train.beton. ``classes.json`` beside them, as
            ``rewa data write-beton`` leaves it, names the classes; without it their numbers do.
        transform: What happens to the images.
        batch_size: Images per training batch, over all processes.
        device: Where the batches are given.
        workers: Threads, at most as many as there are cores.
        holdout: Share of train.beton to hold out where val.beton or test.beton is missing.
        limits: Per split, about how many images to use, every class in proportion; 0 or no entry: all.
        eval_batch_size: Images per batch of evaluation, over all processes.

    Raises:
        UserError: If ffcv cannot be imported, or files are missing, damaged or not what ``classes.json``
            says.
    """

    name = "beton"

    def __init__(
        self,
        root: Path,
        transform: Transform,
        batch_size: int,
        device: torch.device,
        workers: int = 4,
        holdout: float = 0.1,
        limits: Mapping[str, int] = MappingProxyType({}),
        eval_batch_size: int = 256,
    ) -> None:
        require_ffcv("Reading beton files")
        contents = read_contents(root)
        files = _files(root)
        indices = {split: read_index(path, contents) for split, path in files.items()}
        self.classes = _classes(indices, contents)
        self.val_source: ValSource = "val folder" if len(indices) == 3 else "held out of train"
        self._splits = _splits(indices, holdout, limits)
        self._stored = contents.stored if contents else f"unknown ({root.name} has no classes.json)"
        self._transform = transform
        self._batch_size = batch_size
        self._device = device
        self._workers = workers
        self._eval_batch_size = eval_batch_size
        self._loaders: dict[tuple[Path, int], Any] = {}
        self._epochs: set[Any] = set()

    @property
    def sizes(self) -> dict[str, int]:
        """Number of images per split, over all processes."""
        return {split: len(self._splits[split].labels) for split in SPLITS}

    def train_batches(self, epoch_seed: int) -> Iterator[Batch]:
        """Yield one epoch, see :class:`ImageLoader`; UserError if the file's images turn out damaged."""
        split = self._splits["train"]
        generator = torch.Generator().manual_seed(epoch_seed)
        batches = train_indices(len(split.labels), self._batch_size, generator)
        views = training_views(split.stored, self._transform, epoch_seed)
        shares = [distributed.share(batch) for batch in batches]
        yield from self._batches(split, views, shares, self._transform.train_resolution)

    def eval_batches(self, split: str) -> Iterator[Batch]:
        """Yield a split, see :class:`ImageLoader`; UserError if the file's images turn out damaged."""
        chosen = self._splits[split]
        batches = eval_indices(len(chosen.labels), self._eval_batch_size)
        views = evaluation_views(chosen.stored, self._transform)
        yield from self._batches(chosen, views, batches, self._transform.eval_resolution)

    def spec(self) -> dict[str, str | int | bool]:
        """Return the loader's name and version, how views are resized and how images were stored."""
        return {
            "loader": self.name,
            "resize": "cv2.INTER_AREA (ffcv)",
            "ffcv": ffcv_version(),
            "stored": self._stored,
        }

    def close(self) -> None:
        """End the threads of passes that were left open and let go of the files."""
        for epoch in list(self._epochs):
            epoch.close()
        self._epochs.clear()
        self._loaders.clear()

    def _batches(self, split: _Split, views: Ints, batches: list[Tensor], resolution: int) -> Iterator[Batch]:
        """Decode batches of places in a split; all but the last have the same length."""
        from rewa.data.beton_pipeline import Epoch

        if not batches:
            return
        order = torch.cat(batches)
        labels = torch.split(split.labels[order], len(batches[0]))
        epoch = Epoch(self._loader(split, resolution), views[order.numpy()], len(batches[0]))
        self._epochs.add(epoch)
        try:
            for batch, (images, failed), targets in zip(batches, epoch, labels, strict=True):
                if failed.any():
                    number = views[int(batch[int(failed.argmax())]), INDEX]
                    raise UserError(
                        f"{split.file.path} is damaged: the JPEG data of image {number} cannot be decoded; "
                        "copy the file again or write it again with `rewa data write-beton`."
                    )
                yield _kept(torch.from_numpy(images), self._device), to_device(targets, self._device)
        finally:
            epoch.close()
            self._epochs.discard(epoch)

    def _loader(self, split: _Split, resolution: int) -> Any:
        """Return FFCV's loader for a file and a resolution: compiled once, used for every pass."""
        from rewa.data.beton_pipeline import open_loader

        key = split.file.path, resolution
        if key not in self._loaders:
            self._loaders[key] = open_loader(split.file.path, split.file.fields, resolution, self._workers)
        return self._loaders[key]


def _files(root: Path) -> dict[str, Path]:
    """Return the beton files of a folder by split."""
    found = {split: root / f"{split}.beton" for split in SPLITS if (root / f"{split}.beton").is_file()}
    if "train" not in found or len(found) == 1:
        there = ", ".join(path.name for path in found.values()) or "no such file"
        raise UserError(
            f"{root} has {there}; it needs train.beton and val.beton or test.beton, which "
            "`rewa data write-beton` makes of an image folder."
        )
    return found


def _classes(indices: Mapping[str, BetonIndex], contents: Contents | None) -> tuple[str, ...]:
    if contents is not None:
        return contents.classes
    return tuple(str(label) for label in range(1 + max(int(file.labels.max()) for file in indices.values())))


def _splits(indices: dict[str, BetonIndex], holdout: float, limits: Mapping[str, int]) -> dict[str, _Split]:
    """Hold out and limit as :func:`rewa.data.tree.read_tree` does: the same images for the same tree."""
    chosen = {split: (file, np.arange(len(file.labels))) for split, file in indices.items()}
    if len(indices) == 2:
        other = next(split for split in indices if split != "train")
        chosen["test"] = chosen.pop(other)
        train = indices["train"]
        kept, held = hold_out(train.labels, holdout)
        chosen["train"], chosen["val"] = (train, kept), (train, held)
    return {split: _split(*chosen[split], limits.get(split, 0)) for split in SPLITS}


def _split(file: BetonIndex, places: NDArray[np.int64], limit: int) -> _Split:
    if limit:
        places = places[limit_per_split(file.labels[places], limit)]
    images = file.images
    stored = Stored(images.index[places], images.heights[places], images.widths[places])
    return _Split(file, stored, torch.from_numpy(file.labels[places]))


def _kept(images: Tensor, device: torch.device) -> Tensor:
    """Return a batch as (n, 3, height, width) on the device, in memory of its own.

    Args:
        images: uint8, shape (n, height, width, 3), in memory that the next batches overwrite: when this
            returns it has been read.
        device: Where to.
    """
    if device.type == "cpu":
        return images.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
    if device.type == "cuda":
        # A stream of its own, so that waiting for the copy does not wait for the training step.
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):
            images = images.to(device, non_blocking=True)
        stream.synchronize()
        images.record_stream(torch.cuda.current_stream(device))
    else:
        images = images.to(device)
    return images.permute(0, 3, 1, 2).contiguous()
