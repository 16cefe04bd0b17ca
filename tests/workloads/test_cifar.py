"""CIFAR: the variants that must not be mixed, and the official files, made here in their layout."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from trees import digit_tree, official_cifar, trust_any_file

from rewa.config import Settings
from rewa.description import setting_of
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.optim import prunable_weights
from rewa.workloads import get_workload
from rewa.workloads.cifar import Cifar, Cifar10, Cifar100, CifarConfig
from rewa.workloads.images import IMAGENET_MEAN, IMAGENET_STD

CPU = torch.device("cpu")


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that torchvision takes for the place of the official files, and no network."""
    trust_any_file(monkeypatch)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", _no_network)
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", _no_network)
    return tmp_path / "data"


def _no_network(*args: Any, **kwargs: Any) -> None:
    raise URLError("no network here")


def make(name: str = "cifar10", **values: Any) -> Cifar:
    return get_workload(name).from_values({"batch_size": 10, "workers": 0, **values}, CPU)  # type: ignore[return-value]


def pixels(workload: Cifar, split: str) -> tuple[Tensor, Tensor]:
    """Return a split's images as evaluation shows them (for ``fast``, as stored), and labels, in order."""
    batches = list(workload.loader.eval_batches(split))
    return torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_official_files_give_their_images_and_labels(official: Path, name: str) -> None:
    images, labels = official_cifar(official, name, train=300, test=50)
    workload = make(name, root=str(official))
    assert workload.label == f"{name}-fast"
    assert workload.description()["data"] == "official files"
    assert workload.description()["val_source"] == "held out of train"
    expected = [(x.transpose(2, 0, 1).tobytes(), int(y)) for x, y in zip(images, labels, strict=True)]

    def of(split: str) -> list[tuple[bytes, int]]:
        return [(x.numpy().tobytes(), int(y)) for x, y in zip(*pixels(workload, split), strict=True)]

    assert of("test") == expected[300:]
    train, val = of("train"), of("val")
    assert sorted(train + val) == sorted(expected[:300])
    assert train == [item for item in expected[:300] if item in set(train)]  # the order of the files
    counts = np.bincount(labels[:300], minlength=10)
    assert np.bincount([y for _, y in val], minlength=10).tolist() == np.round(0.1 * counts).tolist()


def test_the_validation_split_is_always_the_same(official: Path) -> None:
    official_cifar(official, "cifar10")
    one, other = (pixels(make(root=str(official), epochs=n), "val")[0] for n in (1, 2))
    assert torch.equal(one, other)


def test_files_are_found_through_the_environment(official: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    official_cifar(official, "cifar10", train=100, test=20)
    monkeypatch.setenv("REWA_DATA", str(official))
    assert make().split_sizes == {"train": 90, "val": 10, "test": 20}
    limited = make(limit_train=20, limit_val=10, limit_test=10)
    assert limited.split_sizes == {"train": 20, "val": 10, "test": 10}


def test_an_archive_that_is_there_is_unpacked(official: Path) -> None:
    official_cifar(official, "cifar100")
    folder = official / "cifar-100-python"
    with tarfile.open(official / "cifar-100-python.tar.gz", "w:gz") as archive:
        archive.add(folder, folder.name)
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    assert make("cifar100", root=str(official)).split_sizes["test"] == 20


def test_without_files_and_network_it_says_where_to_put_them(official: Path) -> None:
    with pytest.raises(UserError) as caught:
        make(root=str(official))
    message = str(caught.value)
    assert "\n" not in message
    for part in ("'cifar10'", str(official), "cifar-10-python.tar.gz", "no network here", "set folder to"):
        assert part in message


def test_a_tree_is_read_but_never_passes_for_the_official_files(tmp_path: Path) -> None:
    tree = digit_tree(tmp_path / "digits", {"train": 10, "test": 3})
    for variant in ("fast", "parity"):
        workload = make(folder=str(tree), variant=variant)
        assert workload.label == f"cifar10-{variant}-folder"
        assert workload.description()["data"] == "image folder 'digits'"
    assert workload.split_sizes == {"train": 90, "val": 10, "test": 30}
    moved = {"folder": "elsewhere", "root": "there", "workers": 7}
    assert setting_of(Cifar10, {"folder": str(tree)}) == setting_of(Cifar10, moved)


def test_a_tree_of_other_classes_is_refused(tmp_path: Path) -> None:
    tree = digit_tree(tmp_path / "three", {"train": 2, "test": 1}, classes=3)
    with pytest.raises(UserError, match=r"three has 3 classes, not 100; use workload 'image_folder'"):
        make("cifar100", folder=str(tree))


@pytest.mark.parametrize(
    ("variant", "precision", "channels_last"), [("fast", "bf16", True), ("parity", "fp32", False)]
)
def test_the_variant_gives_defaults_that_explicit_settings_override(
    variant: str, precision: str, channels_last: bool
) -> None:
    def parse(**values: Any) -> Settings:
        return CifarConfig.parse({"variant": variant, **values}, "")

    assert parse().model_dump(include={"precision", "channels_last"}) == {
        "precision": precision,
        "channels_last": channels_last,
    }
    given = {"precision": "fp16", "channels_last": not channels_last}
    assert parse(**given).model_dump(include=set(given)) == given


def test_the_default_is_fast_and_the_recipe_is_the_papers() -> None:
    config = CifarConfig.parse({}, "")
    assert config == CifarConfig.parse({"variant": "fast"}, "")
    assert (config.epochs, config.batch_size, config.label_smoothing) == (100, 256, 0.1)
    assert config.warmup * config.epochs == 5


def test_what_a_variant_fixes_is_no_setting() -> None:
    for key in ("resolution", "stem", "augmentation", "flip"):
        with pytest.raises(UserError, match=f"unknown key '{key}'"):
            CifarConfig.parse({key: 1}, "workload 'cifar10'")
    with pytest.raises(UserError, match="variant = 'fats'"):
        CifarConfig.parse({"variant": "fats"}, "workload 'cifar10'")
    with pytest.raises(UserError, match=r"variant = \['fast'\]"):
        CifarConfig.parse({"variant": ["fast"]}, "workload 'cifar10'")


def test_parity_is_the_papers_pixels_and_network(tmp_path: Path) -> None:
    """224 pixels in training, 256 cropped to 224 in evaluation, ImageNet's statistics, 11,172,032 weights."""
    tree = digit_tree(tmp_path / "digits", {"train": 2, "test": 1})
    workload = make(folder=str(tree), variant="parity", label_smoothing=0.0)
    images, _ = next(iter(workload.batches(torch.Generator())))
    assert images.shape == (10, 3, 224, 224)
    low = (0 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    high = (1 - torch.tensor(IMAGENET_MEAN)) / torch.tensor(IMAGENET_STD)
    channels = images.transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.amin(dim=1), low)
    torch.testing.assert_close(channels.amax(dim=1), high)
    seen = Shapes()
    workload.evaluate(seen, "test")
    assert seen.shapes == [(10, 3, 224, 224)]
    raw, _ = pixels(make(folder=str(tree)), "test")
    large = torch.nn.functional.interpolate(raw.double(), size=256, mode="bilinear")[..., 16:-16, 16:-16]
    given, _ = pixels(workload, "test")
    assert float((given.double() - large).abs().max()) <= 1
    assert sum(w.numel() for w in prunable_weights(workload.build_model()).values()) == 11_172_032


def test_fast_is_32_pixels_cropped_from_a_reflected_border(tmp_path: Path) -> None:
    tree = digit_tree(tmp_path / "digits", {"train": 2, "test": 1})
    workload = make(folder=str(tree))
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in workload.channels)
    originals, _ = pixels(workload, "train")
    padded = torch.nn.functional.pad(originals.float(), (4, 4, 4, 4), mode="reflect")
    windows = padded.unfold(2, 32, 1).unfold(3, 32, 1)[:, 0].reshape(-1, 32, 32)
    known = {w.to(torch.uint8).numpy().tobytes() for view in (windows, windows.flip(2)) for w in view}
    images, _ = next(iter(workload.batches(torch.Generator())))
    assert images.shape == (10, 3, 32, 32)
    bytes_ = ((images * std + mean) * 255).round().to(torch.uint8)
    assert all(image[0].numpy().tobytes() in known for image in bytes_)


@pytest.mark.parametrize("method", sorted(Cifar10.method_defaults))
def test_the_settings_of_every_method_are_valid(method: str) -> None:
    for workload in (Cifar10, Cifar100):
        get_method(method).from_values(workload.method_defaults[method])


class Shapes(nn.Module):
    """Remembers the shapes that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return images.flatten(1)[:, :10]
