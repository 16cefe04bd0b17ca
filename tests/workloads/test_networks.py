"""The networks: sizes from the literature, initialisation, stems, and every family of torchvision's."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rewa.errors import UserError
from rewa.optim import prunable_weights
from rewa.workloads.networks import (
    build_network,
    build_resnet18,
    build_resnet50,
    check_input_size,
    known_models,
)

FAMILIES = {
    "alexnet": 64,
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "googlenet": 64,
    "inception_v3": 96,
    "maxvit_t": 224,
    "mnasnet0_5": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_y_400mf": 32,
    "resnext50_32x4d": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 32,
    "swin_t": 32,
    "vgg11": 32,
    "vit_b_16": 48,
    "wide_resnet50_2": 32,
}
"""One of every family, and a size in pixels that it can take."""


def weights_of(model: nn.Module) -> int:
    return sum(weight.numel() for weight in prunable_weights(model).values())


def test_the_prunable_weights_are_the_papers() -> None:
    assert weights_of(build_resnet18(10)) == 11_172_032
    # 64 filters of 7x7 become 64 of 3x3.
    assert weights_of(build_resnet18(10, "small")) == 11_172_032 - 64 * 3 * (49 - 9)
    # 25,557,032 parameters, of which 53,120 are batch norm's and 1,000 the classifier's biases.
    assert weights_of(build_resnet50(1000)) == 25_557_032 - 53_120 - 1000


def test_the_small_stem_keeps_the_resolution() -> None:
    sizes = {}
    for stem in ("small", "imagenet"):
        model = build_resnet18(10, stem).eval()
        model.layer1.register_forward_hook(
            lambda *args, stem=stem: sizes.update({stem: args[1][0].shape[-1]})
        )
        assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    assert sizes == {"small": 32, "imagenet": 8}


@pytest.mark.parametrize("stem", ["imagenet", "small"])
def test_fan_in_draws_normal_weights_of_variance_2_over_fan_in(stem: str) -> None:
    torch.manual_seed(0)
    model = build_resnet18(10, stem, "fan_in")  # type: ignore[arg-type]
    for weight in prunable_weights(model).values():
        fan_in = weight[0].numel()
        z = weight.detach().flatten().double() / math.sqrt(2 / fan_in)
        n = z.numel()
        assert abs(z.mean()) < 5 / math.sqrt(n)
        assert abs(z.pow(2).mean() - 1) < 5 * math.sqrt(2 / n)
        assert abs(z.pow(4).mean() - 3) < 5 * math.sqrt(96 / n)


def test_a_misspelt_model_is_corrected() -> None:
    with pytest.raises(UserError, match=r"unknown model 'resnet81': did you mean 'resnet18'\?"):
        build_network("resnet81", 10)


def test_only_resnets_have_a_stem_to_replace() -> None:
    with pytest.raises(UserError, match=r"stem = 'small' is for ResNets, and model 'vgg11' is none"):
        build_network("vgg11", 10, "small")


@pytest.mark.parametrize(("name", "resolution"), [("inception_v3", 32), ("vit_b_16", 50), ("alexnet", 16)])
def test_a_size_that_a_model_cannot_take_is_refused(name: str, resolution: int) -> None:
    with pytest.raises(UserError, match=rf"model '{name}' .*{resolution} pixels"):
        check_input_size(build_network(name, 4, resolution=resolution), name, 4, resolution)


def test_every_family_is_in_the_list() -> None:
    assert set(FAMILIES) <= set(known_models())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_gives_a_logit_per_class_and_trains(name: str) -> None:
    size = FAMILIES[name]
    model = build_network(name, 7, resolution=size)
    check_input_size(model, name, 7, size)
    model.train()
    logits = model(torch.randn(4, 3, size, size))
    assert logits.shape == (4, 7)
    logits.sum().backward()
    for weight in prunable_weights(model).values():
        assert weight.grad is not None
        assert weight.grad.isfinite().all()
