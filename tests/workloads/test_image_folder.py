"""A folder of one's own: what is asked for, what is refused, and which loader reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trees import digit_tree

from rewa.errors import UserError
from rewa.methods import get_method
from rewa.training import fit
from rewa.workloads import get_workload
from rewa.workloads.image_folder import ImageFolder, ImageFolderConfig

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trees") / "my digits"
    return digit_tree(root, {"train": 6, "val": 2, "test": 3}, classes=4, size=40)


def make(tree: Path, **values: Any) -> ImageFolder:
    settings = {
        "root": str(tree),
        "model": "squeezenet1_1",
        "resolution": 32,
        "batch_size": 6,
        "workers": 0,
        **values,
    }
    return get_workload("image_folder").from_values(settings, CPU)  # type: ignore[return-value]


def test_the_root_is_required() -> None:
    with pytest.raises(
        UserError, match=r"'image_folder': root is not set; it must be the folder that holds train"
    ):
        ImageFolder.from_values({}, CPU)


def test_a_root_without_classes_is_refused(tmp_path: Path) -> None:
    absent = ImageFolderConfig.parse({"root": str(tmp_path / "absent")}, "")
    for look in (ImageFolder.metric_for, lambda config: ImageFolder(config, CPU)):
        with pytest.raises(UserError, match=r"'image_folder': root .*absent .*train/<class>/<images>"):
            look(absent)
    (tmp_path / "one" / "train" / "only").mkdir(parents=True)
    with pytest.raises(UserError, match="one has one class"):
        ImageFolder.metric_for(ImageFolderConfig.parse({"root": str(tmp_path / "one")}, ""))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": "mobilenet_v3_smal"},
            "unknown model 'mobilenet_v3_smal': did you mean 'mobilenet_v3_small'",
        ),
        ({"model": "vgg11", "stem": "small"}, "stem = 'small' is for ResNets"),
        ({"resolution": 7}, "resolution = 7"),
        ({"augmentation": "crops"}, "augmentation = 'crops'"),
        ({"loader": "ram"}, "loader = 'ram'"),
        ({"model": "alexnet", "resolution": 16}, "model 'alexnet' cannot take images of 16 pixels"),
    ],
)
def test_a_wrong_setting_is_named(tree: Path, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make(tree, **values)
    assert "\n" not in str(caught.value)


def test_the_classes_are_the_folders(tree: Path) -> None:
    workload = make(tree)
    assert workload.loader.classes == ("class0", "class1", "class2", "class3")
    assert workload.metric.chance == 0.25
    assert workload.metric == ImageFolder.metric_for(workload.config)
    assert workload.label == "image_folder-my_digits"
    for model in ("mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x0_5"):
        network = make(tree, model=model).build_model().eval()
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 4)


def test_all_three_folders_are_the_splits(tree: Path) -> None:
    workload = make(tree)
    assert workload.split_sizes == {"train": 24, "val": 8, "test": 12}
    assert workload.description()["val_source"] == "val folder"


def test_auto_keeps_what_fits_and_reads_the_rest(tree: Path) -> None:
    """44 images of 37 x 37 (32 * 8 / 7) in three bytes are 180,708 bytes."""
    assert make(tree, resident_gb=180_708e-9).loader.name == "resident"
    assert make(tree, resident_gb=180_707e-9).loader.name == "folder"
    assert make(tree, resident_gb=0, loader="resident").loader.name == "resident"
    assert make(tree, loader="folder").loader.name == "folder"


@pytest.mark.parametrize("augmentation", ["resized_crop", "crop", "none"])
def test_both_loaders_evaluate_alike(tree: Path, augmentation: str) -> None:
    shown = []
    for loader in ("resident", "folder"):
        workload = make(tree, loader=loader, augmentation=augmentation)
        images, labels = next(iter(workload.loader.eval_batches("test")))
        assert images.shape[2:] == (32, 32)
        assert next(iter(workload.batches(torch.Generator())))[0].shape == (6, 3, 32, 32)
        shown.append((images, labels))
    assert torch.equal(shown[0][0], shown[1][0])
    assert torch.equal(shown[0][1], shown[1][1])


@pytest.mark.parametrize(("augmentation", "resize"), [("resized_crop", 256), ("crop", 224), ("none", 224)])
def test_evaluation_is_enlarged_as_on_imagenet_after_resized_crops(
    tree: Path, augmentation: str, resize: int
) -> None:
    workload = make(tree, resolution=224, augmentation=augmentation, flip=False)
    assert workload.transform.eval_resize == resize
    assert workload.transform.eval_resolution == workload.transform.train_resolution == 224
    assert workload.transform.flip is False


def test_beton_files_are_chosen_where_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which loader, with which arguments; that the loader itself reads them is its own test's business."""
    asked: list[tuple[Any, ...]] = []

    class Loader:
        name, classes, val_source = "beton", ("a", "b"), "held out of train"

        def __init__(self, *args: Any) -> None:
            asked.append(args)

    monkeypatch.setattr("rewa.data.beton.BetonLoader", Loader)
    for file in ("train.beton", "val.beton"):
        (tmp_path / file).touch()
    workload = make(tmp_path, holdout=0.3, limit_train=5, workers=2)
    root, transform, batch, device, workers, holdout, limits = asked[0]
    assert (root, batch, device, workers, holdout, limits) == (tmp_path, 6, CPU, 2, 0.3, {"train": 5})
    assert transform == workload.transform
    assert workload.metric.chance == 0.5


def test_the_settings_of_every_method_are_valid() -> None:
    for method, values in ImageFolder.method_defaults.items():
        get_method(method).from_values(values)


@pytest.mark.slow
def test_a_resnet_learns_digits_and_has_a_frontier(tmp_path: Path) -> None:
    """The whole way from files to a frontier."""
    tree = digit_tree(tmp_path / "digits", {"train": 40, "test": 10}, classes=4)
    workload = make(tree, model="resnet18", augmentation="crop", flip=False, epochs=6, batch_size=24)
    result = fit(workload, get_method("magnitude").from_values({"lr": 0.02}), seed=0)
    assert result.status == "completed"
    assert result.history[-1].train_loss < 0.8 * result.history[0].train_loss
    accuracy = {
        (p.value, p.recalibrated): p.metric
        for p in result.frontier
        if p.split == "test" and p.criterion == "ratio"
    }
    assert accuracy[1, False] > 0.7
    assert accuracy[1, True] > 0.7
    assert accuracy[1000, False] < accuracy[1, False]
