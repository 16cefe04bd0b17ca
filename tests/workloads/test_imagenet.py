"""ImageNet's recipe, on trees of digits in ImageNet's layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from trees import digit_tree

from rewa.data.splits import hold_out
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.workloads import get_workload
from rewa.workloads.imagenet import ImageNet, ImageNetConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_tree(tmp_path_factory.mktemp("digits"), {"train": 5, "val": 1}, classes=3)


def make(tree: Path, **values: Any) -> ImageNet:
    settings = {"root": str(tree), "model": "resnet18", "batch_size": 4, "workers": 0, **values}
    return get_workload("imagenet").from_values(settings, CPU)  # type: ignore[return-value]


def test_the_official_validation_images_are_the_test_split(tree: Path) -> None:
    workload = make(tree)
    assert workload.split_sizes == {"train": 12, "val": 3, "test": 3}
    assert workload.description()["val_source"] == "held out of train"
    assert workload.description()["loader"] == "folder"  # never resident, however small


def test_ten_thousand_of_imagenets_training_images_are_held_out() -> None:
    config = ImageNetConfig.parse({}, "")
    assert config.holdout * 1_281_167 == pytest.approx(10_000)
    sizes = np.random.default_rng(0).integers(732, 1301, 1000)  # ImageNet's classes have 732 to 1,300
    labels = np.repeat(np.arange(1000), sizes)
    held = hold_out(labels, config.holdout)[1]
    assert len(held) == pytest.approx(config.holdout * len(labels), rel=0.01)


def test_it_trains_at_160_and_evaluates_both_views_at_224(tree: Path) -> None:
    workload = make(tree)
    images, labels = next(iter(workload.batches(torch.Generator())))
    assert images.shape == (4, 3, 160, 160)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert labels.shape == (4,)
    seen = Views()
    workload.evaluate(seen, "test")
    (one, mirrored) = seen.inputs
    assert one.shape == (3, 3, 224, 224)
    assert torch.equal(one.flip(3), mirrored)


def test_the_rate_peaks_at_epoch_2_of_88_and_ends_at_0(tree: Path) -> None:
    workload = make(tree)
    assert workload.steps_per_epoch == 3
    rates = [workload.schedule(step) for step in range(workload.total_steps + 1)]
    assert rates[0] == 0
    assert rates[2 * 3] == pytest.approx(1)
    assert max(rates) == pytest.approx(1)
    assert rates[-1] == 0
    # Straight lines: half-way up and half-way down.
    assert rates[3] == pytest.approx(0.5)
    assert rates[(2 + 43) * 3] == pytest.approx(0.5)


def test_chance_and_label_follow_the_classes(tree: Path, tmp_path: Path) -> None:
    workload = make(tree)
    assert workload.metric.chance == pytest.approx(1 / 3)
    assert workload.metric == ImageNet.metric_for(workload.config)
    assert workload.label == "imagenet-resnet18-3-classes"
    assert next(reversed(list(workload.build_model().parameters()))).shape == (3,)
    for number in range(1000):
        (tmp_path / "train" / f"n{number:08d}").mkdir(parents=True)
    full = ImageNetConfig.parse({"root": str(tmp_path)}, "")
    assert ImageNet.label_for(full) == "imagenet-resnet50"


def test_without_data_the_metric_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search space is checked on machines that hold no data."""
    monkeypatch.setenv("REWA_DATA", str(tmp_path))
    config = ImageNetConfig.parse({}, "")
    assert ImageNet.metric_for(config).chance == 0.001
    with pytest.raises(UserError, match=r"'imagenet': root .*imagenet is no folder; it must be the folder"):
        ImageNet(config, CPU)
    digit_tree(tmp_path / "imagenet", {"train": 3, "val": 1}, classes=2)
    assert ImageNet.metric_for(config).chance == 0.5
    assert ImageNet(config, CPU).split_sizes["train"] == 4


def test_the_targets_are_the_usual_ones_and_the_papers_shares(tree: Path) -> None:
    ratios = make(tree).ratios
    assert ratios[0] == 1
    assert ratios[-1] == 10_000
    assert {1.0, 2.0, 5.0, 10.0, 20.0, 33.0, 50.0, 75.0, 100.0, 150.0, 200.0, 350.0, 500.0, 1000.0} < set(
        ratios
    )
    for percent in (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99, 99.5, 99.9, 99.99):
        assert any(100 * (1 - 1 / ratio) == pytest.approx(percent, abs=1e-9) for ratio in ratios)
    assert min(np.diff(ratios)) > 0.05  # none twice by rounding


def test_the_settings_of_every_method_are_valid() -> None:
    for method, values in ImageNet.method_defaults.items():
        get_method(method).from_values(values)


def test_resident_is_not_offered(tree: Path) -> None:
    with pytest.raises(UserError, match="loader = 'resident'"):
        make(tree, loader="resident")


class Views(nn.Module):
    """Remembers its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.inputs.append(images)
        return images.flatten(1)[:, :3]
