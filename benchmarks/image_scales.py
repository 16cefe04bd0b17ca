"""How large the image benchmarks run, and what of a preset has to follow when they run smaller.

``full`` is the paper's setting. ``small`` trains a ResNet on a few images for a few hundred steps, ``smoke``
a tiny network on scikit-learn's digits. In both the batch is smaller, so the rate of the methods on SGD
shrinks with it, and the training shorter, so every penalty grows until it does over the training what the
paper's does over its own: the decay budget D = K * lambda * sum(lr_t) / (1 - momentum) is the paper's, or a
share of it: with few steps the gradients may have too little time to hold any weight against the whole.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from rewa.data.sample_tree import write_digits_tree
from rewa.presets import Preset
from rewa.schedules import schedule_sum, triangle, warmup_cosine
from rewa.theory import decay_budget
from rewa.workloads import Workload, get_workload

SMALL_HELP = "few images and 300 steps, about five minutes a run on two CPU cores"
PENALTIES = ("weight_decay", "l1")


@dataclass(frozen=True)
class Recipe:
    """How the paper trains on one workload, as far as it decides what a penalty does.

    Attributes:
        batch_size: Images per step.
        steps: Optimizer steps: the paper holds no training images out.
        small: Settings at scale "small".
        small_share: Share of the paper's decay budget that a training at "small" spends unless told
            otherwise. The whole, spent in a few hundred steps, leaves ReWA no weight; the share puts D at
            about 5, in the middle of what trains.
    """

    batch_size: int
    steps: int
    small: Mapping[str, Any]
    small_share: float


RECIPES: Mapping[str, Recipe] = {
    "cifar10": Recipe(
        256,
        100 * (50_000 // 256),
        {
            "variant": "fast",
            "epochs": 6,
            "batch_size": 64,
            "eval_every": 2,
            "limit_train": 3200,
            "limit_val": 100,
            "limit_test": 500,
            "calibration_images": 256,
        },
        0.3,
    ),
    "imagenet": Recipe(
        512,
        88 * (1_281_167 // 512),
        {
            "model": "resnet18",
            "epochs": 4,
            "batch_size": 32,
            "eval_every": 2,
            "limit_train": 800,
            "limit_val": 20,
            "limit_test": 50,
            "calibration_images": 32,
            "flip_averaging": False,
        },
        0.03,
    ),
}

SMOKE: Mapping[str, Any] = {
    "model": "shufflenet_v2_x0_5",
    "resolution": 32,
    "augmentation": "crop",
    "flip": False,
    "epochs": 2,
    "batch_size": 32,
    "limit_train": 160,
    "limit_val": 20,
    "limit_test": 50,
    "calibration_images": 32,
}


@cache
def paper_schedule_sum(workload: str) -> float:
    """Return the sum of the learning-rate factors over the paper's training."""
    steps = RECIPES[workload].steps
    if workload == "imagenet":
        return schedule_sum(partial(triangle, total=steps, peak=2 / 88), steps)
    return schedule_sum(partial(warmup_cosine, total=steps, warmup=0.05), steps)


def build_workload(
    preset: Preset, scale: str, data: Path | None, toys: Path, device: torch.device
) -> Workload:
    """Return the workload of a preset at a scale.

    Args:
        preset: Any preset of the benchmark; all of one benchmark share the workload.
        scale: "smoke", "small" or "full".
        data: Where the images are; ``None`` for the workload's usual place. Not used at "smoke".
        toys: Where "smoke" writes its images.
        device: Where to train.

    Raises:
        UserError: If the data are not there.
    """
    workers = {"workers": min(4, os.cpu_count() or 1)}
    if scale == "smoke":
        tree = write_digits_tree(toys)
        return get_workload("image_folder").from_values({**SMOKE, "root": str(tree), **workers}, device)
    values = {
        **preset.workload_settings,
        **workers,
        **(RECIPES[preset.workload].small if scale == "small" else {}),
    }
    if data is not None:
        values["folder" if preset.workload == "cifar10" else "root"] = str(data)
    return get_workload(preset.workload).from_values(values, device)


def config_at(preset: Preset, scale: str, workload: Workload, share: float = 1.0) -> dict[str, Any]:
    """Return a preset's config with the rate and the penalties that belong to a scale.

    At "full" it is the preset's. Otherwise the rate is multiplied by the ratio of the batch sizes (not
    AdamW's, which does not depend on the gradient's size), and the penalty by the ratio of sum(lr_t).

    Args:
        preset: The setting.
        scale: "smoke", "small" or "full".
        workload: What it will run on.
        share: Of the paper's decay budget, which below "full" the penalty is to spend.
    """
    config = dict(preset.config)
    if scale == "full":
        return config
    recipe = RECIPES[preset.workload]
    before = config["lr"] * paper_schedule_sum(preset.workload)
    if preset.method != "rewa_adamw":
        config["lr"] *= workload.config.batch_size / recipe.batch_size
    after = config["lr"] * workload.schedule_sum
    for name in PENALTIES:
        if name in config:
            config[name] *= share * before / after
    return config


def budget(method: str, config: Mapping[str, Any], total: float) -> float:
    """Return what the penalty does to a weight without gradient over a training.

    Args:
        method: Name of a method.
        config: Its settings.
        total: Sum of the learning-rate factors.

    Returns:
        D: the weight shrinks by exp(-D); for ``sgd_l1`` the length by which the weight shrinks.
    """
    momentum, lr = config.get("momentum", 0.0), config["lr"]
    if method == "sgd_l1":
        return float(config["l1"] * lr * total / (1 - momentum))
    powers = {"spred": 2.0, "magnitude": 1.0}
    return decay_budget(config.get("K", powers.get(method, 1.0)), config["weight_decay"], lr, momentum, total)
