"""CIFAR-10 and CIFAR-100 with ResNet-18: the paper's setting (Appendix D.2), and a cheaper one."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from rewa.data.loader import ImageLoader, Transform
from rewa.errors import UserError
from rewa.metric import Metric
from rewa.precision import Precision
from rewa.workloads.images import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImageClassification,
    ImageConfig,
    accuracy,
    data_home,
    variant_defaults,
)

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

SIZE = 32
HELD_OUT = 0.1
"""Share of the training images that are the validation split: 5,000, equally many of every class."""

Variant = Literal["parity", "fast"]

TRANSFORMS: Mapping[Variant, Transform] = {
    "parity": Transform(224, 224, 256, "resized_crop", flip=True),
    "fast": Transform(SIZE, SIZE, SIZE, "crop", flip=True),
}

VARIANT_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "parity": {"precision": "fp32", "channels_last": False},
    "fast": {"precision": "bf16", "channels_last": True},
}


class CifarConfig(ImageConfig):
    """The paper's recipe. Resolution, stem, augmentation and normalisation go with the variant."""

    epochs: int = Field(default=100, ge=1)
    batch_size: int = Field(default=256, ge=1)
    warmup: float = Field(default=0.05, ge=0, lt=1, description="share of the steps, linear from 0")
    variant: Variant = Field(default="fast", description="fast: 32 pixels; parity: the paper's 224")
    precision: Precision = Field(
        default="bf16", description="of the forward pass; default bf16 for fast, fp32 for parity"
    )
    channels_last: bool = Field(
        default=True, description="memory layout of images and weights; default true for fast only"
    )
    root: str = Field(
        default="", description="where the official files are or go; default $REWA_DATA, else ~/.cache/rewa"
    )
    folder: str = Field(default="", description="read this tree of train/ and test/ class folders instead")

    machine: ClassVar[frozenset[str]] = ImageConfig.machine | {"folder"}

    @model_validator(mode="before")
    @classmethod
    def _of_variant(cls, values: Any) -> Any:
        return variant_defaults(values, "variant", "fast", VARIANT_DEFAULTS)


class Cifar(ImageClassification):
    """ResNet-18 on 32-pixel images, of which 10 % of the training images are the validation split.

    ``parity`` is the paper's: images enlarged to 224 pixels by a random resized crop, the ImageNet stem,
    evaluation at 256 cropped to 224. ``fast``: 32 pixels, random crops after padding by 4, a 3x3 stem without
    pooling. Both start from Kaiming-normal weights by fan-in. All images are kept on the device.
    """

    model_name = "ResNet-18"
    Config = CifarConfig
    classes: ClassVar[int]
    archive: ClassVar[str]
    dataset: ClassVar[str]
    """Name of torchvision's class."""
    fast_mean: ClassVar[tuple[float, float, float]]
    fast_std: ClassVar[tuple[float, float, float]]
    """Of the training images; ``parity`` normalises with ImageNet's, as the paper does."""
    method_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "rewa": {"lr": 0.256, "momentum": 0.875, "K": 9, "M": 2, "weight_decay": 1e-4},
        "rewa_adamw": {"lr": 1e-3, "K": 9, "M": 0, "weight_decay": 0.2048},
        "magnitude": {"lr": 0.256, "momentum": 0.875, "weight_decay": 1e-4},
        "random": {"lr": 0.256, "momentum": 0.875, "weight_decay": 1e-4},
        "sgd_l1": {"lr": 0.256, "momentum": 0.875, "l1": 1e-5},
        "spred": {"lr": 0.256, "momentum": 0.875, "weight_decay": 1e-5},
    }

    @classmethod
    def metric_for(cls, config: CifarConfig) -> Metric:
        """Return top-1 accuracy."""
        return accuracy(cls.classes)

    @classmethod
    def label_for(cls, config: CifarConfig) -> str:
        """Return the name with the variant, and with "-folder" where the official files are not read."""
        return f"{cls.name}-{config.variant}" + ("-folder" if config.folder else "")

    @property
    def transform(self) -> Transform:
        """The variant's."""
        return TRANSFORMS[self.config.variant]

    @property
    def channels(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation of the variant."""
        parity = self.config.variant == "parity"
        return (IMAGENET_MEAN, IMAGENET_STD) if parity else (self.fast_mean, self.fast_std)

    def build_loader(self) -> tuple[ImageLoader, dict[str, str]]:
        """Read all images; from the tree if ``folder`` is set."""
        from rewa.data.resident_images import ResidentLoader

        splits, names, about = self._read_folder() if self.config.folder else self._read_official()
        eval_batch = 256 if self.config.variant == "parity" else 1024
        loader = ResidentLoader(
            splits, names, self.transform, self.config.batch_size, self.device, eval_batch
        )
        return loader, about

    def build_network(self) -> nn.Module:
        """Return a ResNet-18 with the variant's stem."""
        from rewa.workloads.networks import build_resnet18

        stem: Literal["imagenet", "small"] = "imagenet" if self.config.variant == "parity" else "small"
        return build_resnet18(self.classes, stem, "fan_in")

    def _read_folder(self) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[str, ...], dict[str, str]]:
        from rewa.data.resident_images import read_resident
        from rewa.data.tree import read_tree

        root = Path(self.config.folder).expanduser()
        tree = read_tree(root, HELD_OUT, self.config.limits)
        if len(tree.classes) != self.classes:
            raise UserError(
                f"workload {self.name!r}: folder {root} has {len(tree.classes)} classes, not {self.classes}; "
                "use workload 'image_folder' for it"
            )
        about = {"data": f"image folder {root.resolve().name!r}", "val_source": tree.val_source}
        return read_resident(tree, SIZE, self.config.workers), tree.classes, about

    def _read_official(self) -> tuple[dict[str, tuple[Tensor, Tensor]], tuple[str, ...], dict[str, str]]:
        from rewa.data.splits import hold_out, limit_per_split

        train, test = self._official("train"), self._official("test")
        labels = {"train": np.asarray(train.targets), "test": np.asarray(test.targets)}
        kept, held = hold_out(labels["train"], HELD_OUT)
        parts = {"train": (train, kept), "val": (train, held), "test": (test, np.arange(len(test.targets)))}
        splits = {}
        for split, (source, index) in parts.items():
            of_split = np.asarray(source.targets)[index]
            index = index[limit_per_split(of_split, self.config.limits.get(split, 0))]
            splits[split] = (
                torch.from_numpy(source.data[index]).permute(0, 3, 1, 2).contiguous(),
                torch.from_numpy(np.asarray(source.targets, dtype=np.int64)[index]),
            )
        return splits, tuple(train.classes), {"data": "official files", "val_source": "held out of train"}

    def _official(self, split: str) -> CIFAR10:
        """Return the official training or test set, downloading it if it is not there."""
        import torchvision

        kind, root = getattr(torchvision.datasets, self.dataset), data_home(self.config.root)
        try:
            return kind(root, train=split == "train")
        except RuntimeError:  # absent or damaged
            pass
        try:
            with _alone_in(root):
                return kind(root, train=split == "train", download=True)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"workload {self.name!r}: the official files are not in {root} and could not be downloaded "
                f"({error}); put {self.archive} there, or set root to where it is, or set folder to a tree "
                "with train/ and test/ of class folders"
            ) from None


class Cifar10(Cifar):
    """CIFAR-10: 45,000 training, 5,000 validation and 10,000 test images in ten classes."""

    name = "cifar10"
    summary = "CIFAR-10, ResNet-18 (the paper's setting: variant=parity)"
    classes = 10
    archive = "cifar-10-python.tar.gz"
    dataset = "CIFAR10"
    fast_mean = (0.4914, 0.4822, 0.4465)
    fast_std = (0.2470, 0.2435, 0.2616)


class Cifar100(Cifar):
    """CIFAR-100: 45,000 training, 5,000 validation and 10,000 test images in a hundred classes."""

    name = "cifar100"
    summary = "CIFAR-100, ResNet-18"
    classes = 100
    archive = "cifar-100-python.tar.gz"
    dataset = "CIFAR100"
    fast_mean = (0.5071, 0.4865, 0.4409)
    fast_std = (0.2673, 0.2564, 0.2762)


@contextmanager
def _alone_in(root: Path) -> Iterator[None]:
    """Let one process of this machine at a time download into a folder."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
