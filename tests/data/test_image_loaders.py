from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

import rewa.distributed
from rewa.data.folder import FolderLoader
from rewa.data.loader import Transform
from rewa.data.resident_images import ResidentLoader, read_resident, resident_bytes
from rewa.data.tree import read_tree
from rewa.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")

CPU = torch.device("cpu")
SIZES = [(24, 24), (40, 30), (31, 57), (20, 20), (64, 48)]
TRAIN, EVAL = 23, 11
RECIPE = Transform(16, 20, 24, "crop", flip=True)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Noise of several sizes; 23 training images, 11 of each other split, in three classes."""
    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for split, count in {"train": TRAIN, "val": EVAL, "test": EVAL}.items():
        for i in range(count):
            folder = root / split / "abc"[i % 3]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (*SIZES[i % len(SIZES)], 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{i:02d}.png")
    return read_tree(root)


def resident(tree, recipe=RECIPE, batch_size=5, eval_batch_size=4):
    splits = read_resident(tree, recipe.eval_resize, workers=0)
    return ResidentLoader(splits, tree.classes, recipe, batch_size, CPU, eval_batch_size)


def folder(tree, recipe=RECIPE, batch_size=5, eval_batch_size=4, workers=0):
    return FolderLoader(tree, recipe, batch_size, CPU, workers, eval_batch_size)


LOADERS = pytest.mark.parametrize("make", [resident, folder])


def numbered(tree):
    """The same tree with every training image its own class, so that labels say which image it is."""
    return type(tree)(
        tree.classes,
        tree.files,
        {**tree.labels, "train": np.arange(TRAIN), "val": np.arange(EVAL)},
        "val folder",
    )


def labels_of(batches):
    return [labels.tolist() for _, labels in batches]


def same(first, second):
    return len(first) == len(second) and all(
        torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(first, second, strict=True)
    )


def as_rank(monkeypatch, rank, world):
    monkeypatch.setattr(rewa.distributed, "rank", lambda: rank)
    monkeypatch.setattr(rewa.distributed, "world_size", lambda: world)


@LOADERS
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_evaluation_shows_every_image_once_as_torchvision_would(tree, make, split):
    reference = v2.Compose([v2.PILToTensor(), v2.Resize(24, antialias=True), v2.CenterCrop(20)])
    batches = list(make(tree).eval_batches(split))
    images = torch.cat([images for images, _ in batches])
    expected = [reference(Image.open(path)) for path in tree.files[split]]
    assert torch.equal(images, torch.stack(expected))
    assert torch.cat([labels for _, labels in batches]).tolist() == tree.labels[split].tolist()
    assert all(len(labels) == 4 for _, labels in batches[:-1])


@pytest.mark.parametrize(
    "recipe", [RECIPE, Transform(32, 32, 32, "none", False), Transform(8, 21, 27, "crop", True)]
)
def test_both_loaders_evaluate_on_the_same_images(tree, recipe):
    for split in ("val", "test"):
        assert same(
            list(resident(tree, recipe).eval_batches(split)), list(folder(tree, recipe).eval_batches(split))
        )


def test_both_loaders_take_the_images_of_an_epoch_in_one_order(tree):
    tree = numbered(tree)
    order = torch.randperm(TRAIN, generator=torch.Generator().manual_seed(3)).tolist()
    expected = [order[i : i + 5] for i in range(0, 20, 5)]
    assert labels_of(resident(tree).train_batches(3)) == expected
    assert labels_of(folder(tree).train_batches(3)) == expected


@pytest.mark.parametrize("augmentation", ["none", "crop"])
def test_both_loaders_train_on_the_same_images_where_nothing_is_drawn(tree, augmentation):
    """A crop of 7 pixels has no room to move: a padding of 7 // 8."""
    recipe = Transform(7, 7, 7, augmentation, flip=False)
    assert same(list(resident(tree, recipe).train_batches(1)), list(folder(tree, recipe).train_batches(1)))


@LOADERS
@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(5, [5] * 4), (23, [23]), (50, [23]), (22, [22]), (1, [1] * 23)]
)
def test_an_epoch_has_every_image_once_up_to_the_dropped_tail(tree, make, batch_size, sizes):
    found = labels_of(make(numbered(tree), batch_size=batch_size).train_batches(0))
    assert [len(labels) for labels in found] == sizes
    flat = [label for labels in found for label in labels]
    assert len(set(flat)) == len(flat)


@LOADERS
@pytest.mark.parametrize("augmentation", ["none", "crop", "resized_crop"])
def test_training_images_have_the_training_resolution(tree, make, augmentation):
    for images, labels in make(tree, Transform(16, 20, 24, augmentation, True)).train_batches(0):
        assert images.shape == (5, 3, 16, 16)
        assert images.dtype == torch.uint8
        assert images.is_contiguous()
        assert labels.dtype == torch.int64
    for images, _ in make(tree).eval_batches("val"):
        assert images.is_contiguous()


@LOADERS
@pytest.mark.parametrize("augmentation", ["crop", "resized_crop"])
def test_an_epoch_depends_on_its_seed_only(tree, make, augmentation):
    loader = make(numbered(tree), Transform(16, 20, 24, augmentation, True), batch_size=TRAIN)
    first = list(loader.train_batches(1))
    torch.manual_seed(5)
    assert same(first, list(loader.train_batches(1)))
    other = list(loader.train_batches(2))
    assert labels_of(first) != labels_of(other)
    by_label = {label: image for image, label in zip(*other[0], strict=True) for label in [int(label)]}
    moved = [not torch.equal(image, by_label[int(label)]) for image, label in zip(*first[0], strict=True)]
    assert sum(moved) > TRAIN // 2  # it is not only the order that changes


@LOADERS
@pytest.mark.parametrize("augmentation", ["crop", "resized_crop"])
def test_every_image_of_an_epoch_has_a_view_of_its_own(tree, make, augmentation):
    files = {**tree.files, "train": [tree.files["train"][0]] * TRAIN}
    repeated = type(tree)(tree.classes, files, tree.labels, tree.val_source)
    (images, _), *_ = make(repeated, Transform(32, 32, 32, augmentation, True), TRAIN).train_batches(0)
    assert len({image.numpy().tobytes() for image in images}) > TRAIN // 2


@LOADERS
@pytest.mark.parametrize("augmentation", ["none", "crop", "resized_crop"])
@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_batches_of_one_process(tree, make, augmentation, world, monkeypatch):
    loader = make(tree, Transform(16, 20, 24, augmentation, True))
    whole = {"train": list(loader.train_batches(4)), "test": list(loader.eval_batches("test"))}
    for rank in range(world):
        as_rank(monkeypatch, rank, world)
        assert loader.sizes == {"train": TRAIN, "val": EVAL, "test": EVAL}
        parts = {"train": list(loader.train_batches(4)), "test": list(loader.eval_batches("test"))}
        for split, batches in whole.items():
            expected = [(images[rank::world], labels[rank::world]) for images, labels in batches]
            assert same(parts[split], [batch for batch in expected if len(batch[1])])


@LOADERS
def test_more_processes_than_images_in_a_batch_are_refused(tree, make, monkeypatch):
    as_rank(monkeypatch, 0, 6)
    with pytest.raises(UserError, match="batch of 5 images cannot be shared by 6 processes"):
        next(iter(make(tree).train_batches(0)))


@LOADERS
def test_batches_may_be_kept_and_changed(tree, make):
    loader = make(tree)
    for passes in (lambda: loader.train_batches(0), lambda: loader.eval_batches("val")):
        copies = [(images.clone(), labels.clone()) for images, labels in passes()]
        kept = list(passes())
        assert same(kept, copies)
        for images, labels in kept:
            images.zero_()
            labels.zero_()
        assert same(list(passes()), copies)


def test_workers_change_nothing_and_end_with_the_pass(tree):
    alone, helped = folder(tree), folder(tree, workers=2)
    assert same(list(alone.train_batches(6)), list(helped.train_batches(6)))
    assert same(list(alone.eval_batches("val")), list(helped.eval_batches("val")))
    for _ in helped.train_batches(6):
        break
    assert not multiprocessing.active_children()


def test_reading_says_how_far_it_is_and_keeps_the_order(tree):
    told = []
    splits = read_resident(tree, 24, workers=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(23, 45), (34, 45), (45, 45)]
    for split, (images, labels) in splits.items():
        assert images.shape == (len(tree.files[split]), 3, 24, 24)
        assert labels.tolist() == tree.labels[split].tolist()
    assert resident_bytes(tree, 24) == sum(images.nbytes for images, _ in splits.values())
    for split, (images, _) in read_resident(tree, 24, workers=0).items():
        assert torch.equal(images, splits[split][0])


def test_a_damaged_file_is_named(tree, tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"none")
    files = {**tree.files, "val": [*tree.files["val"][:-1], bad]}
    broken = type(tree)(tree.classes, files, tree.labels, tree.val_source)
    for read in (lambda: list(folder(broken).eval_batches("val")), lambda: resident(broken)):
        with pytest.raises(UserError, match=r"bad\.png cannot be decoded"):
            read()


@LOADERS
def test_a_result_says_which_loader_and_kernel(tree, make):
    spec = make(tree).spec()
    assert spec["loader"] == make.__name__
    assert spec["resize"] == "antialiased bilinear (torchvision)"
    assert make(tree).classes == ("a", "b", "c")
