"""Image classifiers: torchvision's architectures, sized for a task.

Their classifiers stay linear layers, so that they count among the prunable weights.
"""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import nn

from rewa.errors import UserError
from rewa.registry import did_you_mean

Stem = Literal["imagenet", "small"]
"""``imagenet``: a 7x7 convolution with stride 2, then max-pooling. ``small``: a 3x3 convolution with stride 1
and no pooling, for images of about 32 pixels."""

Initialisation = Literal["torchvision", "fan_in"]
"""Of the convolution and linear weights: as torchvision does it, or Kaiming-normal by fan-in."""

RESNETS = ("resnet", "resnext", "wide_resnet")
"""Beginnings of the names of the architectures that have a stem to choose."""


def known_models() -> list[str]:
    """Return the names of torchvision's classification models."""
    from torchvision import models

    return cast(list[str], models.list_models(module=models))


def check_model(name: str, stem: Stem = "imagenet") -> None:
    """Refuse a model that torchvision does not have, and a small stem where there is none to replace.

    Raises:
        UserError: Saying which are known.
    """
    if name not in (known := known_models()):
        raise UserError(f"unknown model {name!r}{did_you_mean(name, known)}")
    if stem == "small" and not name.startswith(RESNETS):
        raise UserError(f"stem = 'small' is for ResNets, and model {name!r} is none; leave it at 'imagenet'")


def build_network(
    name: str,
    classes: int,
    stem: Stem = "imagenet",
    initialisation: Initialisation = "torchvision",
    resolution: int = 224,
) -> nn.Module:
    """Return a freshly initialised classifier, drawn from torch's global RNG.

    Args:
        name: One of :func:`known_models`. Inception and GoogLeNet come without their auxiliary classifiers.
        classes: Size of the output.
        stem: Of a ResNet; see :data:`Stem`.
        initialisation: See :data:`Initialisation`.
        resolution: Height and width of the inputs in pixels, for architectures that are built for one.

    Returns:
        A model from images, shape (n, 3, resolution, resolution), to logits, shape (n, classes).

    Raises:
        UserError: If there is no such model, it has no such stem, or it cannot be built for the resolution.
    """
    from torchvision.models import get_model

    check_model(name, stem)
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    elif name.startswith("vit_"):
        options = {"image_size": resolution}
    elif name.startswith("maxvit"):
        options = {"input_size": (resolution, resolution)}
    try:
        model = get_model(name, weights=None, num_classes=classes, **options)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise UserError(f"model {name!r} cannot be built for {resolution} pixels: {error}") from None
    if stem == "small":
        _replace_stem(cast(Any, model))
    if initialisation == "fan_in":
        _initialise_by_fan_in(model)
    return cast(nn.Module, model)


def build_resnet18(
    classes: int, stem: Stem = "imagenet", initialisation: Initialisation = "torchvision"
) -> nn.Module:
    """Return a ResNet-18; with 10 classes and the ImageNet stem it has 11,172,032 prunable weights."""
    return build_network("resnet18", classes, stem, initialisation)


def build_resnet50(
    classes: int, stem: Stem = "imagenet", initialisation: Initialisation = "torchvision"
) -> nn.Module:
    """Return a ResNet-50."""
    return build_network("resnet50", classes, stem, initialisation)


@torch.no_grad()
def check_input_size(model: nn.Module, name: str, classes: int, resolution: int) -> None:
    """Refuse a model that cannot take images of a size, by showing it one.

    Args:
        model: On the CPU; its mode is kept.
        name: As the user knows it.
        classes: Expected number of outputs.
        resolution: Height and width in pixels.

    Raises:
        UserError: If the model raises, or returns anything but logits for the classes.
    """
    training = model.training
    model.eval()
    try:
        logits = model(torch.zeros(1, 3, resolution, resolution))
    except (AssertionError, ValueError, RuntimeError) as error:
        first = (str(error).splitlines() or ["it raised without a message"])[0]
        raise UserError(f"model {name!r} cannot take images of {resolution} pixels: {first}") from None
    finally:
        model.train(training)
    if not isinstance(logits, torch.Tensor) or logits.shape != (1, classes):
        raise UserError(f"model {name!r} does not return one logit per class, so it cannot be trained here")


def _replace_stem(resnet: Any) -> None:
    """Give a ResNet the stem for small images, in place, initialised as torchvision does."""
    width = resnet.conv1.out_channels
    resnet.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(resnet.conv1.weight, mode="fan_out", nonlinearity="relu")
    resnet.maxpool = nn.Identity()


def _initialise_by_fan_in(model: nn.Module) -> None:
    """Draw convolution and linear weights from N(0, 2 / fan-in), in place.

    The authors' classifier is a 1x1 convolution, so the linear layer here is drawn like one; its bias stays
    as torch draws it.
    """
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
