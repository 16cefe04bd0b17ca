"""What all image workloads share, against PIL, torchvision and counts by hand."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2
from trees import digit_tree

from rewa import distributed
from rewa.methods import get_method
from rewa.workloads import get_workload, images
from rewa.workloads.image_folder import ImageFolder
from rewa.workloads.images import IMAGENET_MEAN, IMAGENET_STD

CPU = torch.device("cpu")
SIZE = 16


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digit_tree(tmp_path_factory.mktemp("digits"), {"train": 9, "val": 3, "test": 4}, size=SIZE)


def make(tree: Path, **values: Any) -> ImageFolder:
    settings = {
        "root": str(tree),
        "resolution": SIZE,
        "augmentation": "none",
        "model": "shufflenet_v2_x0_5",
        "batch_size": 20,
        "workers": 0,
        **values,
    }
    return get_workload("image_folder").from_values(settings, CPU)  # type: ignore[return-value]


def by_hand(tree: Path, split: str) -> tuple[Tensor, Tensor]:
    """Read a split with PIL, class by class, and normalise in double precision."""
    files = sorted((tree / split).glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(file), dtype=np.float64) for file in files]) / 255
    normal = (pixels - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    labels = [int(file.parent.name.removeprefix("class")) for file in files]
    return torch.from_numpy(normal).permute(0, 3, 1, 2), torch.tensor(labels)


@pytest.fixture
def linear() -> nn.Module:
    """A lopsided linear model: an image and its mirror image get different logits."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, 10))
    return model.eval()


@pytest.mark.parametrize("channels_last", [False, True])
def test_normalisation_is_torchvisions(tree: Path, channels_last: bool) -> None:
    workload = make(tree, channels_last=channels_last)
    bytes_ = torch.randint(0, 256, (5, 3, 7, 6), dtype=torch.uint8)
    kept = bytes_.clone()
    expected = v2.functional.normalize(
        v2.functional.to_dtype(bytes_, torch.float32, scale=True), list(IMAGENET_MEAN), list(IMAGENET_STD)
    )
    normal = workload.normalise(bytes_)
    torch.testing.assert_close(normal, expected, rtol=1e-5, atol=1e-5)
    assert normal.dtype == torch.float32
    assert torch.equal(bytes_, kept)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    assert normal.is_contiguous(memory_format=layout)
    weight = next(p for p in workload.build_model().parameters() if p.dim() == 4)
    assert weight.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("split", ["val", "test"])
def test_accuracy_is_the_share_of_right_answers(tree: Path, linear: nn.Module, split: str) -> None:
    inputs, labels = by_hand(tree, split)
    right = (linear.double()(inputs).argmax(dim=1) == labels).double().mean()
    assert 0 < right < 1
    assert make(tree).evaluate(linear.float(), split) == pytest.approx(float(right))


def test_flip_averaging_sums_the_logits_of_both_views(tree: Path, linear: nn.Module) -> None:
    inputs, labels = by_hand(tree, "test")
    model = linear.double()
    once, mirrored = model(inputs), model(inputs.flip(-1))
    both = (once + mirrored).argmax(dim=1)
    assert not torch.equal(both, once.argmax(dim=1))
    accuracy = float((both == labels).double().mean())
    workload = make(tree, flip_averaging=True)
    assert workload.evaluate(linear.float(), "test") == pytest.approx(accuracy)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_the_loss_is_smoothed_cross_entropy(tree: Path, smoothing: float) -> None:
    logits = torch.randn(8, 10)
    labels = torch.randint(0, 10, (8,))
    logs = logits.double().log_softmax(dim=1)
    wanted = (1 - smoothing) * logs[range(8), labels] + smoothing * logs.mean(dim=1)
    loss = make(tree, label_smoothing=smoothing).loss(nn.Identity(), (logits, labels))
    assert float(loss) == pytest.approx(-float(wanted.mean()), rel=1e-5)


def test_an_epoch_is_the_generators_next_draw(tree: Path) -> None:
    workload = make(tree, augmentation="crop")

    def epoch(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        batches = list(workload.batches(generator))
        return torch.cat([b[0] for b in batches]), torch.cat([b[1] for b in batches])

    one, other = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    first, again, second = epoch(one), epoch(other), epoch(one)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[1], second[1])


def test_every_training_image_comes_once_with_its_label(tree: Path) -> None:
    inputs, labels = by_hand(tree, "train")
    wanted = {tuple(np.round(x.flatten().numpy(), 3)): int(y) for x, y in zip(inputs, labels, strict=True)}
    workload = make(tree, flip=False, batch_size=9)
    seen = [pair for batch in workload.batches(torch.Generator()) for pair in zip(*batch, strict=True)]
    found = {tuple(np.round(x.double().flatten().numpy(), 3)): int(y) for x, y in seen}
    assert len(seen) == 90
    assert found == wanted


def test_a_last_partial_batch_is_no_step_unless_it_is_the_only_one(tree: Path) -> None:
    for batch_size, steps in [(90, 1), (89, 1), (45, 2), (44, 2), (20, 4), (500, 1)]:
        workload = make(tree, batch_size=batch_size, epochs=3)
        assert workload.steps_per_epoch == len(list(workload.batches(torch.Generator()))) == steps
        assert workload.total_steps == 3 * steps


def test_processes_share_an_epoch_and_a_split(
    tree: Path, linear: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = make(tree, augmentation="crop")
    assert workload.shares_batches
    whole = list(workload.batches(torch.Generator().manual_seed(5)))
    accuracy = workload.evaluate(linear, "test")
    counts: list[int] = []
    monkeypatch.setattr(images, "sum_over_ranks", lambda count: counts.append(int(count)) or count)
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    for rank in range(3):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        parts = list(workload.batches(torch.Generator().manual_seed(5)))
        for part, batch in zip(parts, whole, strict=True):
            assert torch.equal(part[0], batch[0][rank::3])
            assert torch.equal(part[1], batch[1][rank::3])
        workload.evaluate(linear, "test")
    assert sum(counts) / 40 == accuracy


def test_calibration_images_are_always_the_same_augmented_ones(tree: Path) -> None:
    workload = make(tree, augmentation="crop", calibration_images=41, batch_size=20)
    state = torch.get_rng_state()
    first = list(workload.calibration_batches() or ())
    again = list(
        make(tree, augmentation="crop", calibration_images=41, batch_size=20).calibration_batches() or ()
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(batch) for batch in first] == [20, 20, 20]
    assert torch.equal(torch.cat(first), torch.cat(again))
    for batch in first:
        batch.zero_()  # whoever gets them may do as he likes
    assert torch.equal(torch.cat(list(workload.calibration_batches() or ())), torch.cat(again))
    still = list(make(tree, calibration_images=41, flip=False).calibration_batches() or ())
    assert not torch.equal(torch.cat(still), torch.cat(again))
    everything = make(tree, calibration_images=10**6).calibration_batches()
    assert sum(len(batch) for batch in everything or ()) == 80


def test_there_is_nothing_to_calibrate_without_batch_norm(tree: Path) -> None:
    workload = make(tree, model="squeezenet1_1", resolution=32)
    assert workload.calibration_batches() is None


def test_limits_take_every_class_in_proportion(tree: Path) -> None:
    workload = make(tree, limit_train=30, limit_val=10, limit_test=20)
    assert workload.split_sizes == {"train": 30, "val": 10, "test": 20}
    labels = torch.cat([labels for _, labels in workload.loader.eval_batches("train")])
    assert labels.bincount().tolist() == [3] * 10


def test_it_runs_under_autocast(tree: Path) -> None:
    torch.manual_seed(0)
    workload = make(tree, channels_last=True)
    model = workload.build_model()
    batch = next(iter(workload.batches(torch.Generator().manual_seed(0))))
    with torch.autocast("cpu", torch.bfloat16):
        loss = workload.loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        accuracy = workload.evaluate(model.eval(), "val")
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(
        float(workload.loss(model.train(), batch).detach()), rel=0.05
    )
    assert 0 <= accuracy <= 1


@pytest.mark.parametrize("method", ["magnitude", "rewa", "sgd_l1", "spred"])
def test_the_layout_in_memory_changes_no_step(tree: Path, method: str) -> None:
    """Latents, factors and penalties follow weights of either layout: three steps end at the same weights."""
    ended, moved = [], []
    for channels_last in (False, True):
        workload = make(tree, model="squeezenet1_1", resolution=32, channels_last=channels_last)
        torch.manual_seed(0)
        model = workload.build_model().eval()  # without dropout
        before = torch.cat([p.detach().flatten() for p in model.parameters()])
        trained = get_method(method).from_values(ImageFolder.method_defaults[method])
        optimizer = trained.prepare(model)
        for batch in islice(workload.batches(torch.Generator().manual_seed(0)), 3):
            optimizer.zero_grad()
            workload.loss(model, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        ended.append(torch.cat([p.detach().flatten() for p in trained.dense_copy(model).parameters()]))
        moved.append(float((ended[-1] - before).norm()))
    assert float((ended[0] - ended[1]).norm()) < 1e-3 * moved[0]


def test_a_result_says_where_the_images_came_from(tree: Path) -> None:
    about = make(tree).description()
    assert about["loader"] == "resident"
    assert about["val_source"] == "val folder"
    assert about["data"] == f"image folder {tree.name!r}"
    assert "resize" in about
    assert {"root", "workers"} <= ImageFolder.Config.machine


@pytest.mark.parametrize(
    ("classes", "margin"), [(2, 0.05), (10, 0.05), (20, 0.025), (100, 0.005), (1000, 0.005)]
)
def test_the_margin_of_collapse_follows_chance(
    tree: Path, monkeypatch: pytest.MonkeyPatch, classes: int, margin: float
) -> None:
    workload = make(tree)
    monkeypatch.setattr(workload.loader, "classes", tuple(map(str, range(classes))))
    assert workload.metric.chance == 1 / classes
    assert workload.collapse_margin == pytest.approx(margin)
