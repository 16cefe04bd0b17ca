from __future__ import annotations

import numpy as np
import pytest
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from rewa.data.tree import SUFFIXES, read_tree
from rewa.errors import UserError


def plant(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def plant_split(root, split, classes=("cat", "dog"), count=10):
    plant(root, *(f"{split}/{name}/{i:02d}.jpg" for name in classes for i in range(count)))


def test_names_that_count_as_images_are_torchvisions():
    assert set(SUFFIXES) == set(IMG_EXTENSIONS)


def test_three_folders_are_the_three_splits_as_torchvision_lists_them(tmp_path):
    for split, count in {"train": 5, "val": 3, "test": 4}.items():
        plant_split(tmp_path, split, count=count)
    plant(tmp_path, "train/cat/a.JPEG", "train/cat/notes.txt", "train/dog/z.Png", "train/readme.md")
    tree = read_tree(tmp_path)
    assert tree.val_source == "val folder"
    assert list(tree.files) == ["train", "val", "test"]
    assert tree.sizes == {"train": 12, "val": 6, "test": 8}
    for split in tree.files:
        reference = ImageFolder(str(tmp_path / split))
        assert list(tree.classes) == reference.classes
        assert [str(path) for path in tree.files[split]] == [path for path, _ in reference.samples]
        assert tree.labels[split].tolist() == reference.targets
        assert tree.labels[split].dtype == np.int64


def test_hidden_names_are_passed_over_and_folders_in_a_class_searched(tmp_path):
    for split in ("train", "val", "test"):
        plant(tmp_path, f"{split}/cat/images/1.png", f"{split}/cat/._1.png", f"{split}/cat/.cache/2.png")
        plant(tmp_path, f"{split}/.hidden/1.png")
    tree = read_tree(tmp_path)
    assert tree.classes == ("cat",)
    assert tree.files["train"] == [tmp_path / "train/cat/images/1.png"]


@pytest.mark.parametrize("other", ["val", "test"])
def test_with_two_folders_the_other_is_the_test_and_validation_comes_out_of_train(tmp_path, other):
    plant_split(tmp_path, "train", count=20)
    plant_split(tmp_path, other, count=3)
    tree = read_tree(tmp_path, holdout=0.25)
    assert tree.val_source == "held out of train"
    assert tree.sizes == {"train": 30, "val": 10, "test": 6}
    assert all(path.parent.parent.name == other for path in tree.files["test"])
    both = [*tree.files["train"], *tree.files["val"]]
    assert sorted(both) == sorted((tmp_path / "train").glob("*/*.jpg"))
    for split in tree.files:
        assert [tree.classes[label] for label in tree.labels[split]] == [
            p.parent.name for p in tree.files[split]
        ]
        assert tree.files[split] == sorted(tree.files[split])
    assert np.bincount(tree.labels["val"]).tolist() == [5, 5]
    assert read_tree(tmp_path, holdout=0.25).files == tree.files


def test_limits_apply_per_split_after_holding_out(tmp_path):
    plant_split(tmp_path, "train", count=20)
    plant_split(tmp_path, "test", count=10)
    whole = read_tree(tmp_path, holdout=0.25)
    tree = read_tree(tmp_path, holdout=0.25, limits={"train": 8, "val": 4, "test": 0})
    assert tree.sizes == {"train": 8, "val": 4, "test": 20}
    assert set(tree.files["train"]) < set(whole.files["train"])
    assert set(tree.files["val"]) < set(whole.files["val"])
    assert [tree.classes[label] for label in tree.labels["train"]] == [
        p.parent.name for p in tree.files["train"]
    ]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "has nothing in it; it needs train/<class>/<images>"),
        (["cat/1.jpg", "dog/1.jpg"], "has only cat/, dog/; it needs"),
        (["train/cat/1.jpg"], "has only train/; it needs"),
        (["val/cat/1.jpg", "test/cat/1.jpg"], "has only test/, val/; it needs"),
        (["train/1.jpg", "val/1.jpg"], "train has no class folders"),
        (["train/cat/1.jpg", "train/dog/1.jpg", "val/cat/1.jpg"], "'dog' \\(in train/ but not in val/\\)"),
        (["train/cat/1.jpg", "val/cat/1.jpg", "val/dog/1.jpg"], "'dog' \\(in val/ but not in train/\\)"),
        (["train/cat/1.jpg", "train/dog/1.txt", "val/cat/1.jpg", "val/dog/1.jpg"], "train/dog has no images"),
        (["train/cat/1.jpg", "val/cat/1.jpg"], "train/cat has one image"),
    ],
)
def test_a_wrong_layout_is_one_sentence_that_says_what_is_there(tmp_path, names, sentence):
    plant(tmp_path, *names)
    with pytest.raises(UserError, match=sentence) as caught:
        read_tree(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_root_that_is_not_there_or_no_folder_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere has no such folder"):
        read_tree(tmp_path / "nowhere")
    plant(tmp_path, "file")
    with pytest.raises(UserError, match="being a file"):
        read_tree(tmp_path / "file")


def test_a_holdout_out_of_range_is_refused_only_where_it_is_used(tmp_path):
    plant_split(tmp_path, "train")
    plant_split(tmp_path, "test")
    with pytest.raises(UserError, match="between 0 and 1"):
        read_tree(tmp_path, holdout=0.0)
    plant_split(tmp_path, "val")
    assert read_tree(tmp_path, holdout=0.0).sizes["val"] == 20
