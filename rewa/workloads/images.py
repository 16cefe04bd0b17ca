"""What the image workloads share: normalisation, loss, accuracy and the way data are found and read."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rewa.data.loader import ImageLoader, Transform
from rewa.distributed import sum_over_ranks
from rewa.metric import Metric
from rewa.sparsity.recalibration import has_batch_norm
from rewa.workloads.base import Batch, Workload, WorkloadConfig

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

CALIBRATION_SEED = 0
"""Epoch seed of the images that batch-norm statistics are recomputed on."""


class ImageConfig(WorkloadConfig):
    """Settings of every image workload.

    ``compile`` belongs to the machine: like the number of threads or another GPU it changes roundings, not
    what is trained, so runs with and without it are runs of one setting.
    """

    root: str = Field(default="", description="where the data are")
    workers: int = Field(default=4, ge=0, description="processes or threads that decode images")
    label_smoothing: float = Field(default=0.1, ge=0, lt=1, description="of the training loss")
    limit_train: int = Field(default=0, ge=0, description="training images, a stratified subset; 0: all")
    limit_val: int = Field(default=0, ge=0, description="validation images, likewise")
    limit_test: int = Field(default=0, ge=0, description="test images, likewise")
    calibration_images: int = Field(
        default=2560, ge=1, description="training images to recompute batch-norm statistics on"
    )
    channels_last: bool = Field(default=False, description="memory layout of images and weights")
    compile: bool = Field(
        default=False, description="train through torch.compile; needs a compiler, other roundings"
    )

    machine: ClassVar[frozenset[str]] = frozenset({"root", "workers", "compile"})

    @field_validator("root", "folder", check_fields=False)
    @classmethod
    def _absolute(cls, value: str) -> str:
        """Workers of a sweep have another current directory."""
        return str(Path(value).expanduser().absolute()) if value else value

    @property
    def limits(self) -> dict[str, int]:
        """The limits that are set, by split."""
        found = {"train": self.limit_train, "val": self.limit_val, "test": self.limit_test}
        return {split: limit for split, limit in found.items() if limit}


class ImageClassification(Workload):
    """A network that tells classes of images apart, judged by top-1 accuracy.

    Subclasses give the loader, the network and ``metric_for``.
    """

    shares_batches = True
    Config = ImageConfig

    def __init__(self, config: WorkloadConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self.loader, self._about = self.build_loader()
        mean, std = self.channels
        self._mean = torch.tensor([255 * value for value in mean], device=device).view(3, 1, 1)
        self._scale = torch.tensor([1 / (255 * value) for value in std], device=device).view(3, 1, 1)

    @abstractmethod
    def build_loader(self) -> tuple[ImageLoader, dict[str, str]]:
        """Return the source of images, and ``data`` and ``val_source`` for the description; called once."""

    @abstractmethod
    def build_network(self) -> nn.Module:
        """Return a freshly initialised network on the CPU, drawn from torch's global RNG."""

    @property
    @abstractmethod
    def transform(self) -> Transform:
        """What happens to images before they are normalised."""

    @property
    def channels(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of the three channels, in units of the full range. Default: ImageNet's."""
        return IMAGENET_MEAN, IMAGENET_STD

    @property
    def collapse_margin(self) -> float:  # type: ignore[override]
        """Half of chance, between 0.5 and 5 points: 15 % has learnt with ten classes, 0.6 % with 1,000."""
        return min(0.05, max(0.005, 0.5 * self.metric.chance))

    def build_model(self) -> nn.Module:
        """Return a freshly initialised network on the device."""
        return self.build_network().to(self.device).to(memory_format=self._layout)

    @property
    def split_sizes(self) -> dict[str, int]:
        """Number of images per split."""
        return self.loader.sizes

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in one epoch; the last, partial batch is left out unless it is the only one."""
        return max(1, self.split_sizes["train"] // int(self.config.batch_size))

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Yield one shuffled, augmented, normalised epoch: this process's share of every batch."""
        seed = int(torch.randint(2**62, (), generator=generator))
        for images, labels in self.loader.train_batches(seed):
            yield self.normalise(images), labels

    def normalise(self, images: Tensor) -> Tensor:
        """Return images with the channels' mean taken off and divided by their deviation.

        Args:
            images: uint8, shape (n, 3, height, width).

        Returns:
            float32, the same shape.
        """
        floats = images.to(torch.float32, memory_format=self._layout)
        return floats.sub_(self._mean).mul_(self._scale)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the mean cross-entropy with label smoothing."""
        images, labels = batch
        return cross_entropy(model(images).float(), labels, label_smoothing=self.config.label_smoothing)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, split: str) -> float:
        """Return top-1 accuracy on a split as a fraction, over all processes."""
        correct = torch.zeros((), dtype=torch.int64, device=self.device)
        for images, labels in self.loader.eval_batches(split):
            correct += (self.logits(model, self.normalise(images)).argmax(dim=1) == labels).sum()
        return int(sum_over_ranks(correct)) / self.split_sizes[split]

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return what the prediction is taken from, shape (n, classes)."""
        outputs: Tensor = model(images)
        return outputs

    def calibration_batches(self) -> Iterator[Tensor] | None:
        """Yield the first batches of one fixed training epoch, augmented as in training.

        They hold ``calibration_images`` images over all processes, rounded up to whole batches, or the whole
        epoch if that is less. ``None`` if the network has no batch norm.
        """
        if not self._has_batch_norm:
            return None
        return (self.normalise(images) for images in self._calibration_images)

    def description(self) -> dict[str, Any]:
        """Return the loader, how it resizes, and where the data and the validation split came from."""
        return {**self.loader.spec(), **self._about}

    @property
    def _layout(self) -> torch.memory_format:
        return torch.channels_last if self.config.channels_last else torch.contiguous_format

    @cached_property
    def _has_batch_norm(self) -> bool:
        with torch.random.fork_rng(devices=[]):
            return has_batch_norm(self.build_network())

    @cached_property
    def _calibration_images(self) -> list[Tensor]:
        """The images as bytes; kept, because every point of a frontier wants them."""
        wanted = -(-int(self.config.calibration_images) // int(self.config.batch_size))
        return [images for images, _ in islice(self.loader.train_batches(CALIBRATION_SEED), wanted)]


def accuracy(classes: int) -> Metric:
    """Return top-1 accuracy over some classes."""
    return Metric("accuracy", "max", chance=1 / classes, ideal=1.0)


def data_home(root: str) -> Path:
    """Return a setting ``root`` as a path; where it is empty, $REWA_DATA or else ~/.cache/rewa."""
    return Path(root or os.environ.get("REWA_DATA") or "~/.cache/rewa").expanduser()


def variant_defaults(values: Any, key: str, default: str, defaults: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return unvalidated settings with the defaults of the variant they name; what is given wins."""
    if not isinstance(values, Mapping):
        return values
    return {**defaults.get(str(values.get(key, default)), {}), **values}
