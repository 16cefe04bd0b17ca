"""What the batches of beton files hold, against the folder they were made from. FFCV compiles: slow."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from rewa import distributed
from rewa.data.beton import BetonLoader
from rewa.data.beton_views import DOWN, HEIGHT, LEFT, MIRRORED, RIGHT, TOP, WIDTH, training_views
from rewa.data.folder import FolderLoader
from rewa.data.loader import Batch, Transform
from rewa.data.tree import read_tree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240), pytest.mark.usefixtures("ffcv")]

CPU = torch.device("cpu")


Opened = Callable[..., BetonLoader]


def transform(augmentation: str = "none", size: int = 32, flip: bool = False) -> Transform:
    return Transform(size, size, size, augmentation, flip)  # type: ignore[arg-type]


def joined(batches: Iterator[Batch]) -> tuple[Tensor, Tensor]:
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


class TestAgainstTheFolder:
    @pytest.mark.parametrize("limits", [{}, {"train": 30, "val": 6, "test": 9}], ids=["all", "limited"])
    def test_stored_pixels_are_the_same_images_in_the_same_splits(
        self, raw: tuple[Path, Path], opened: Opened, limits: dict[str, int]
    ) -> None:
        tree = read_tree(raw[0], limits=limits)
        folder = FolderLoader(tree, transform(), 16, CPU, workers=0)
        loader = opened(raw[1], transform(), limits=limits)
        assert loader.classes == tree.classes
        assert loader.val_source == tree.val_source
        assert loader.sizes == folder.sizes
        for split in ("train", "val", "test"):
            images, labels = joined(loader.eval_batches(split))
            theirs, their_labels = joined(folder.eval_batches(split))
            assert torch.equal(images, theirs)
            assert torch.equal(labels, their_labels)
            assert labels.shape == (loader.sizes[split],)
        # Without augmentation an epoch is the same to the bit: the order too.
        for ours, other in zip(loader.train_batches(11), folder.train_batches(11), strict=True):
            assert torch.equal(ours[0], other[0])
            assert torch.equal(ours[1], other[1])

    def test_jpegs_are_the_same_but_for_resizing_and_decoding(
        self, jpeg: tuple[Path, Path], opened: Opened
    ) -> None:
        chosen = Transform(32, 48, 56, "none", False)
        folder = FolderLoader(read_tree(jpeg[0]), chosen, 16, CPU, workers=0)
        loader = opened(jpeg[1], chosen)
        assert loader.val_source == "val folder"
        for split in ("train", "val", "test"):
            images, labels = joined(loader.eval_batches(split))
            theirs, their_labels = joined(folder.eval_batches(split))
            assert images.shape == (30, 3, 48, 48)
            assert torch.equal(labels, their_labels)
            assert (images.int() - theirs.int()).abs().float().mean() < 4  # of 255; unrelated images: 90

    def test_it_says_what_it_is(self, raw: tuple[Path, Path], opened: Opened) -> None:
        spec = opened(raw[1], transform()).spec()
        assert spec["loader"] == "beton"
        assert spec["resize"] == "cv2.INTER_AREA (ffcv)"
        assert "500 px" in str(spec["stored"])


class TestViews:
    def test_shifted_and_mirrored_views_are_slices_of_the_reflected_image(
        self, raw: tuple[Path, Path], opened: Opened
    ) -> None:
        loader = opened(raw[1], transform("crop", flip=True), 81)
        plain, _ = joined(loader.eval_batches("train"))
        images, _ = joined(loader.train_batches(5))
        order = torch.randperm(81, generator=torch.Generator().manual_seed(5))
        table = training_views(loader._splits["train"].stored, transform("crop", flip=True), 5)
        for image, place in zip(images, order, strict=True):
            row = table[place]
            padded = np.pad(plain[place].numpy(), ((0, 0), (4, 4), (4, 4)), mode="reflect")
            expected = padded[:, 4 + row[DOWN] :, 4 + row[RIGHT] :][:, :32, :32]
            expected = expected[:, :, ::-1] if row[MIRRORED] else expected
            assert np.array_equal(image.numpy(), expected)

    def test_resized_views_are_area_averages_of_their_boxes(
        self, jpeg: tuple[Path, Path], opened: Opened
    ) -> None:
        import cv2  # comes with ffcv

        chosen = transform("resized_crop", 40, flip=True)
        loader = opened(jpeg[1], chosen, 30)
        images, labels = joined(loader.train_batches(8))
        order = torch.randperm(30, generator=torch.Generator().manual_seed(8))
        tree = read_tree(jpeg[0])
        assert torch.equal(labels, torch.from_numpy(tree.labels["train"])[order])
        table = training_views(loader._splits["train"].stored, chosen, 8)
        for image, place in zip(images, order.tolist(), strict=True):
            row = table[place]
            pixels = cv2.imread(str(tree.files["train"][place]))[:, :, ::-1]
            box = pixels[row[TOP] : row[TOP] + row[HEIGHT], row[LEFT] : row[LEFT] + row[WIDTH]]
            view = cv2.resize(np.ascontiguousarray(box), (40, 40), interpolation=cv2.INTER_AREA)
            view = view[:, ::-1] if row[MIRRORED] else view
            # FFCV decodes JPEG by its fast transform, which is off by a few grey levels.
            assert abs(image.permute(1, 2, 0).int().numpy() - view).max() <= 12

    def test_views_depend_on_epoch_and_image_not_on_workers(
        self, jpeg: tuple[Path, Path], opened: Opened
    ) -> None:
        chosen = transform("resized_crop", 24, flip=True)
        one, two = (opened(jpeg[1], chosen, 10, workers=workers) for workers in (1, 2))
        first, again, other = (joined(two.train_batches(seed)) for seed in (3, 3, 4))
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[0], joined(one.train_batches(3))[0])
        # Another batch size shows every image as before: the batches are other cuts of one order.
        assert torch.equal(first[0], joined(opened(jpeg[1], chosen, 6).train_batches(3))[0])
        back = [
            torch.randperm(30, generator=torch.Generator().manual_seed(seed)).argsort() for seed in (3, 4)
        ]
        changed = first[0][back[0]] != other[0][back[1]]
        assert changed.flatten(1).any(dim=1).sum() >= 29

    def test_the_last_partial_batch_is_left_out_in_training_only(
        self, raw: tuple[Path, Path], opened: Opened
    ) -> None:
        loader = opened(raw[1], transform(), 16, eval_batch_size=16)
        assert [len(labels) for _, labels in loader.train_batches(0)] == [16] * 5  # of 81
        assert [len(labels) for _, labels in loader.eval_batches("test")] == [16] * 5 + [10]
        assert [len(labels) for _, labels in opened(raw[1], transform(), 500).train_batches(0)] == [81]

    @pytest.mark.parametrize("processes", [2, 3])
    def test_processes_share_every_batch(
        self, raw: tuple[Path, Path], opened: Opened, monkeypatch: pytest.MonkeyPatch, processes: int
    ) -> None:
        loader = opened(raw[1], transform("crop", flip=True), 16, eval_batch_size=25)

        def both() -> list[Batch]:
            return [*loader.train_batches(2), *loader.eval_batches("test")]

        alone = both()
        monkeypatch.setattr(distributed, "world_size", lambda: processes)
        shares = []
        for rank in range(processes):
            monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
            shares.append(both())
        for whole, *parts in zip(alone, *shares, strict=True):
            for rank, part in enumerate(parts):
                assert torch.equal(part[0], whole[0][rank::processes])
                assert torch.equal(part[1], whole[1][rank::processes])


def test_files_of_ffcvs_own_writer_are_read(raw: tuple[Path, Path], tmp_path: Path, opened: Opened) -> None:
    from ffcv.fields import IntField, RGBImageField
    from ffcv.writer import DatasetWriter
    from PIL import Image

    tree = read_tree(raw[0])
    for split, name in (("train", "train"), ("val", "val"), ("test", "test")):
        pairs = [
            (np.asarray(Image.open(path)), int(label))
            for path, label in zip(tree.files[split], tree.labels[split], strict=True)
        ]
        fields = {"image": RGBImageField(write_mode="raw"), "label": IntField()}
        writer = DatasetWriter(str(tmp_path / f"{name}.beton"), fields, num_workers=1)
        writer.from_indexed_dataset(pairs)
    theirs = opened(tmp_path, transform())
    ours = opened(raw[1], transform())
    assert theirs.classes == ("0", "1", "2")
    for split in ("train", "val", "test"):
        for mine, other in zip(ours.eval_batches(split), theirs.eval_batches(split), strict=True):
            assert torch.equal(mine[0], other[0])
            assert torch.equal(mine[1], other[1])


def test_ffcvs_own_loader_reads_our_files(raw: tuple[Path, Path], opened: Opened) -> None:
    from ffcv.loader import Loader, OrderOption

    from rewa.data.ffcv_package import torch_threads_kept

    with torch_threads_kept():
        # Reading page by page: the other way, a memory map, changes numba's types for the whole process.
        plain = Loader(
            str(raw[1] / "test.beton"),
            30,
            num_workers=1,
            os_cache=False,
            order=OrderOption.SEQUENTIAL,
            drop_last=False,
        )
        for (images, labels), (ours, our_labels) in zip(
            plain, opened(raw[1], transform(), eval_batch_size=30).eval_batches("test"), strict=True
        ):
            assert torch.equal(images.permute(0, 3, 1, 2), ours)
            assert torch.equal(labels[:, 0], our_labels)
