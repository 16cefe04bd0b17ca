"""ImageNet with ResNet-50: FFCV's recipe, which Appendix D.3 of the paper follows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from rewa.data.loader import Transform
from rewa.metric import Metric
from rewa.precision import Precision
from rewa.schedules import triangle
from rewa.sparsity.frontier import RATIOS
from rewa.workloads.image_tree import ImageTreeClassification, ImageTreeConfig, Source, class_names
from rewa.workloads.images import accuracy, data_home

CLASSES = 1000

KEPT = (9000, 8000, 7000, 6000, 5000, 4000, 3000, 2000, 1000, 500, 200, 100, 50, 20, 10, 5, 2, 1)
"""Weights kept of 10,000, for the paper's axis: pruned shares from 10 to 99.99 %."""

TRANSFORM = Transform(160, 224, 256, "resized_crop", flip=True)


class ImageNetConfig(ImageTreeConfig):
    """The recipe: 88 epochs in batches of 512, the rate rising until epoch 2 and falling to 0."""

    epochs: int = Field(default=88, ge=1)
    batch_size: int = Field(default=512, ge=1)
    warmup: float = Field(
        default=2 / 88, ge=0, lt=1, description="share of the steps, linear from 0; then linear to 0"
    )
    precision: Precision = Field(default="bf16", description="of the forward pass; weights stay float32")
    channels_last: bool = Field(default=True, description="memory layout of images and weights")
    root: str = Field(
        default="", description="folder or beton files; default imagenet below $REWA_DATA or ~/.cache/rewa"
    )
    model: Literal["resnet50", "resnet18"] = Field(default="resnet50", description="resnet50 or resnet18")
    loader: Literal["auto", "folder", "beton"] = Field(
        default="auto", description="auto: beton where root holds such files, else folder"
    )
    holdout: float = Field(
        default=10_000 / 1_281_167,
        gt=0,
        lt=1,
        description="share of train held out where there is no third split; default: 10,000 of all",
    )
    flip_averaging: bool = Field(
        default=True, description="evaluate on the sum of the logits of an image and its mirror image"
    )


class ImageNet(ImageTreeClassification):
    """ResNet-50 trained at 160 and evaluated at 224 pixels, on an image and its mirror image.

    The official validation images are the test split; about 10,000 training images are held out for
    validation, every class in proportion. Another tree than ImageNet's can be given to try things out; chance
    and the label then follow its number of classes.
    """

    name = "imagenet"
    summary = "ImageNet (yours: a folder or beton files), ResNet-50, 160 pixels"
    model_name = "ResNet-50"
    Config = ImageNetConfig
    method_defaults: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "rewa": {"lr": 1.0, "momentum": 0.9, "K": 3, "M": 0, "epsilon": 1e-4, "weight_decay": 5e-5},
        "magnitude": {"lr": 1.7, "momentum": 0.9, "weight_decay": 1e-4},
        "random": {"lr": 1.7, "momentum": 0.9, "weight_decay": 1e-4},
        "sgd_l1": {"lr": 1.7, "momentum": 0.9, "l1": 2e-6},
    }

    @classmethod
    def root_of(cls, config: ImageNetConfig) -> Path:
        """Return ``root``, or the folder imagenet of the data's usual place."""
        return data_home(config.root) if config.root else data_home("") / "imagenet"

    @classmethod
    def classes_of(cls, config: ImageNetConfig) -> int:
        """Return the number of classes below the root; 1,000 where nothing is there yet."""
        return len(class_names(cls.root_of(config))) or CLASSES

    @classmethod
    def metric_for(cls, config: ImageNetConfig) -> Metric:
        """Return top-1 accuracy."""
        return accuracy(cls.classes_of(config))

    @classmethod
    def ratios_for(cls, config: ImageNetConfig) -> tuple[float, ...]:
        """Return the usual targets and the paper's shares, up to 10,000 times."""
        return tuple(sorted({*map(float, RATIOS), *(10_000 / kept for kept in KEPT)}))

    @classmethod
    def label_for(cls, config: ImageNetConfig) -> str:
        """Return the name with the model, and with the number of classes where it is not ImageNet's."""
        classes = cls.classes_of(config)
        return f"{cls.name}-{config.model}" + (f"-{classes}-classes" if classes != CLASSES else "")

    @property
    def source(self) -> Source:
        """As set; never resident."""
        source: Source = self.config.loader
        return source

    @property
    def transform(self) -> Transform:
        """Random resized crops to 160 pixels; evaluation at 256 cropped to 224."""
        return TRANSFORM

    def schedule(self, step: int) -> float:
        """Return the factor of the cyclic schedule: linear up for the warm-up, then linear down to 0."""
        return triangle(step, self.total_steps, self.config.warmup)

    def build_network(self) -> nn.Module:
        """Return the ResNet with the ImageNet stem and torchvision's initialisation."""
        from rewa.workloads.networks import build_network

        return build_network(self.config.model, len(self.loader.classes))
