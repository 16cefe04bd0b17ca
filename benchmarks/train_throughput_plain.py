"""What a user would run otherwise: a DataLoader, torchvision's transforms and float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import models, transforms
from torchvision.datasets import ImageFolder

if TYPE_CHECKING:
    from benchmarks.train_throughput_steps import Setup

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class Arrays(Dataset[Any]):
    """Random images held as arrays and given as PIL images, as torchvision's CIFAR10 does."""

    def __init__(self, count: int, transform: Any) -> None:
        drawn = np.random.default_rng(0)
        self._images = drawn.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
        self._labels = drawn.integers(0, 10, count)
        self._transform = transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), int(self._labels[index])


def plain_model() -> nn.Module:
    """Return torchvision's ResNet-18 with the stem that is usual on CIFAR."""
    model: Any = models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
    model.maxpool = nn.Identity()
    network: nn.Module = model
    return network


def plain_batches(setup: Setup, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches of CIFAR-like training, epoch after epoch."""
    steps = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize(MEAN, STD)])
    dataset: Dataset[Any] = Arrays(setup.images, transform)
    if setup.data:
        dataset = ImageFolder(str(Path(setup.data) / "train"), transform)
    return _endless(_loader(dataset, setup.batch, setup.workers, device), device)


def large_batches(
    root: Path, resolution: int, batch: int, workers: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield one epoch of ImageNet-like training from a tree of class folders."""
    steps: Sequence[Any] = [transforms.RandomResizedCrop(resolution), transforms.RandomHorizontalFlip()]
    normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    transform = transforms.Compose([*steps, transforms.ToTensor(), normalise])
    yield from _once(_loader(ImageFolder(str(root / "train"), transform), batch, workers, device), device)


def _loader(dataset: Dataset[Any], batch: int, workers: int, device: torch.device) -> DataLoader[Any]:
    return DataLoader(
        dataset,
        batch_size=batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        pin_memory=device.type == "cuda",
    )


def _once(loader: DataLoader[Any], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    for images, labels in loader:
        yield images.to(device, non_blocking=True), labels.to(device, non_blocking=True)


def _endless(loader: DataLoader[Any], device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from _once(loader, device)
