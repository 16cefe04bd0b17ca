from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from rewa.optim import prunable_weights
from rewa.workloads.base import WorkloadConfig
from rewa.workloads.digits import Digits

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits() -> Digits:
    return Digits(WorkloadConfig(), CPU)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.asarray(load_digits().data)


def test_split_sizes(digits: Digits) -> None:
    sizes = digits.split_sizes
    assert sizes == {"train": 1077, "val": 360, "test": 360}
    assert sum(sizes.values()) == 1797 == len(load_digits().target)


def matching(digits: Digits, images: np.ndarray, split: str) -> np.ndarray:
    """Return, for each row of a split, the index of the scikit-learn image that it is.

    Standardising is affine per pixel, so the extremes of all rows are those of all images.
    """
    everything = torch.cat([s.inputs for s in digits.splits.values()]).double().numpy()
    low, high = everything.min(axis=0), everything.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    grey = (digits.splits[split].inputs.double().numpy() - low) / span * images.max(axis=0)
    assert np.abs(grey - grey.round()).max() < 1e-3
    index = {tuple(image): i for i, image in enumerate(images.astype(int).tolist())}
    return np.array([index[tuple(row)] for row in grey.round().astype(int).tolist()])


def test_the_splits_partition_the_images(digits: Digits, images: np.ndarray) -> None:
    """Each row is recognised among the original images, with its label; all 1,797 occur once."""
    found = np.concatenate([matching(digits, images, split) for split in digits.splits])
    assert sorted(found) == list(range(1797))
    targets = np.concatenate([split.targets.numpy() for split in digits.splits.values()])
    assert (load_digits().target[found] == targets).all()


def test_the_splits_are_stratified(digits: Digits) -> None:
    overall = np.bincount(load_digits().target, minlength=10) / 1797
    for split in digits.splits.values():
        share = np.bincount(split.targets.numpy(), minlength=10) / len(split)
        assert np.abs(share - overall).max() < 1.5 / len(split)


def test_the_split_does_not_depend_on_any_seed(digits: Digits) -> None:
    np.random.seed(7)  # noqa: NPY002 - the global generator is the point
    torch.manual_seed(7)
    again = Digits(WorkloadConfig(epochs=3, batch_size=10), CPU)
    for name, split in digits.splits.items():
        assert torch.equal(split.inputs, again.splits[name].inputs)
        assert torch.equal(split.targets, again.splits[name].targets)


def test_training_inputs_are_standardised(digits: Digits) -> None:
    inputs = digits.splits["train"].inputs.double()
    assert inputs.mean(dim=0).abs().max() < 1e-5
    deviation = inputs.std(dim=0, correction=0)
    constant = deviation == 0
    assert 0 < constant.sum() < 10
    torch.testing.assert_close(deviation[~constant], torch.ones_like(deviation[~constant]), atol=1e-5, rtol=0)


def test_the_scale_comes_from_training_data_only(digits: Digits, images: np.ndarray) -> None:
    train, val = (matching(digits, images, split) for split in ("train", "val"))
    mean, std = images[train].mean(axis=0), images[train].std(axis=0)
    expected = (images[val] - mean) / np.where(std > 0, std, 1)
    np.testing.assert_allclose(digits.splits["val"].inputs.numpy(), expected, atol=1e-4)


def test_sizes_of_the_network(digits: Digits) -> None:
    """64 x 300 + 300 x 100 + 100 x 10 weights, and 410 biases."""
    model = digits.build_model()
    assert sum(w.numel() for w in prunable_weights(model).values()) == 50_200
    assert sum(p.numel() for p in model.parameters()) == 50_610


def epoch_order(digits: Digits, generator: torch.Generator) -> Tensor:
    return torch.cat([inputs for inputs, _ in digits.batches(generator)])


def test_an_epoch_has_each_sample_once_with_its_label(digits: Digits) -> None:
    train = digits.splits["train"]
    shuffled = [torch.cat(parts) for parts in zip(*digits.batches(torch.Generator()), strict=True)]

    def rows(inputs: Tensor, targets: Tensor) -> list[tuple[float, ...]]:
        return sorted(tuple(row) for row in torch.cat([inputs, targets[:, None]], dim=1).tolist())

    assert rows(*shuffled) == rows(train.inputs, train.targets)
    assert not torch.equal(shuffled[0], train.inputs)


def test_the_order_depends_on_the_generator_only(digits: Digits) -> None:
    torch.manual_seed(1)
    generator = torch.Generator().manual_seed(5)
    first, second = epoch_order(digits, generator), epoch_order(digits, generator)
    torch.manual_seed(2)
    again = epoch_order(digits, torch.Generator().manual_seed(5))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)


def test_accuracy_is_the_share_of_right_answers(digits: Digits) -> None:
    """A model that always answers 3 is right as often as 3 occurs."""

    class Three(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.eye(10)[3].repeat(len(inputs), 1)

    for name, split in digits.splits.items():
        share = sum(target == 3 for target in split.targets.tolist()) / len(split)
        assert digits.evaluate(Three(), name) == share


def test_loss_of_equal_logits_is_log_10(digits: Digits) -> None:
    class Flat(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.zeros(len(inputs), 10)

    batch = next(iter(digits.batches(torch.Generator())))
    assert digits.loss(Flat(), batch).item() == pytest.approx(np.log(10), rel=1e-6)
