"""Your own images: any folder of class folders with any of torchvision's classifiers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import nn

from rewa.data.loader import Augmentation, Transform
from rewa.errors import UserError
from rewa.metric import Metric
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.image_tree import (
    EXPECTED,
    ImageTreeClassification,
    ImageTreeConfig,
    Source,
    class_names,
)
from rewa.workloads.images import accuracy, data_home
from rewa.workloads.networks import Stem, build_network, check_input_size, check_model


class ImageFolderConfig(ImageTreeConfig):
    """Settings of a task of one's own."""

    batch_size: int = Field(default=256, ge=1)
    root: str = Field(default="", description="required: a folder with train/ and val/ or test/, or betons")
    model: str = Field(default="resnet18", description="any of torchvision's classification models")
    stem: Stem = Field(default="imagenet", description="of a ResNet; small: for images of about 32 pixels")
    resolution: int = Field(default=224, ge=8, description="height and width of the images in pixels")
    augmentation: Augmentation = Field(default="resized_crop", description="resized_crop, crop or none")
    flip: bool = Field(default=True, description="mirror half of the training images")
    loader: Source = Field(
        default="auto", description="auto: beton where there are such files, resident if it fits, else folder"
    )
    resident_gb: float = Field(
        default=2.0, ge=0, description="most that loader = auto keeps decoded on the device (of 1e9 bytes)"
    )

    @model_validator(mode="after")
    def _possible(self) -> ImageFolderConfig:
        if not self.root:
            raise ValueError(f"root is not set; it must be {EXPECTED}")
        check_model(self.model, self.stem)
        return self


class ImageFolder(ImageTreeClassification):
    """A torchvision classifier on a folder of class folders.

    With random resized crops, evaluation enlarges the shorter side to 8/7 of the resolution before cropping,
    as usual on ImageNet; otherwise to the resolution. Channels are normalised with ImageNet's statistics.
    """

    name = "image_folder"
    summary = "a folder of class folders of yours (root=...), any torchvision classifier"
    model_name = "torchvision"
    Config = ImageFolderConfig
    method_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # Places to start from: CIFAR-10's.
        "rewa": {"lr": 0.256, "momentum": 0.875, "K": 9, "M": 2, "weight_decay": 1e-4},
        "magnitude": {"lr": 0.256, "momentum": 0.875, "weight_decay": 1e-4},
        "random": {"lr": 0.256, "momentum": 0.875, "weight_decay": 1e-4},
        "sgd_l1": {"lr": 0.256, "momentum": 0.875, "l1": 1e-5},
        "spred": {"lr": 0.256, "momentum": 0.875, "weight_decay": 1e-5},
    }

    def __init__(self, config: WorkloadConfig, device: torch.device) -> None:
        super().__init__(config, device)
        with torch.random.fork_rng(devices=[]):
            network = self.build_network()
        check_input_size(network, self.config.model, len(self.loader.classes), self.config.resolution)

    @classmethod
    def root_of(cls, config: ImageFolderConfig) -> Path:
        """Return ``root``."""
        return data_home(config.root)

    @classmethod
    def metric_for(cls, config: ImageFolderConfig) -> Metric:
        """Return top-1 accuracy over the class folders.

        Raises:
            UserError: If there are none.
        """
        root = cls.root_of(config)
        if len(classes := class_names(root)) < 2:
            found = "one class" if classes else "no classes"
            raise UserError(f"workload {cls.name!r}: root {root} has {found}; it must be {EXPECTED}")
        return accuracy(len(classes))

    @classmethod
    def label_for(cls, config: ImageFolderConfig) -> str:
        """Return the name with that of the folder."""
        return f"{cls.name}-" + re.sub(r"[^\w.-]+", "_", cls.root_of(config).resolve().name)

    @property
    def source(self) -> Source:
        """As set."""
        source: Source = self.config.loader
        return source

    @property
    def resident_bytes(self) -> float:
        """As set."""
        return 1e9 * float(self.config.resident_gb)

    @property
    def transform(self) -> Transform:
        """As set; evaluation at the training resolution."""
        c = self.config
        resize = round(c.resolution * 8 / 7) if c.augmentation == "resized_crop" else c.resolution
        return Transform(c.resolution, c.resolution, resize, c.augmentation, c.flip)

    def build_network(self) -> nn.Module:
        """Return the classifier with an output per class folder."""
        c = self.config
        return build_network(c.model, len(self.loader.classes), c.stem, resolution=c.resolution)
