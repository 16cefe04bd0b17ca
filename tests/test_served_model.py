"""A served model is the point of the frontier that it stands for, with batch norm and with any ranking."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rewa.methods import get_method
from rewa.packs import fit_one
from rewa.registration.served_model import Predictor, disagreements, example_inputs, outputs_of, serve
from rewa.tracking.model_files import save_model
from rewa.training import TrainingResult
from rewa.workloads import Workload, get_workload
from rewa.workloads.digits import Digits

CPU = torch.device("cpu")


class NormedDigits(Digits):
    """Digits as images through convolutions with batch norm."""

    name = "normed_digits"

    def build_network(self) -> nn.Module:
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(72, 10),
        )

    def calibration_batches(self) -> Iterator[Tensor] | None:
        return iter(self.splits["train"].inputs.split(256))


def trained(workload: Workload, method: str, **config: float) -> TrainingResult:
    return fit_one(workload, get_method(method).from_values(config), 3)


@pytest.fixture(scope="module")
def digits() -> Workload:
    return get_workload("digits").from_values({"epochs": 3}, CPU)


@pytest.fixture(scope="module")
def normed() -> Workload:
    return NormedDigits.from_values({"epochs": 4}, CPU)


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("magnitude", {"lr": 0.1}),
        ("random", {"lr": 0.1}),
        ("rewa", {"lr": 0.06, "K": 5, "M": 1.5, "weight_decay": 1e-3}),
    ],
)
def test_it_is_a_point_of_the_frontier(digits: Workload, method: str, config: dict[str, float]) -> None:
    result = trained(digits, method, **config)
    for ratio in (1.0, 2.0, 20.0, 1000.0):
        points = {p.split: p for p in result.frontier if (p.criterion, p.value) == ("ratio", ratio)}
        own = get_method(method).from_values(config)
        served = serve(digits, own, copy.deepcopy(result.model), 3, ratio, recalibrated=False)  # type: ignore[arg-type]
        assert served.metrics == {split: point.metric for split, point in points.items()}
        assert served.compression == points["val"].compression
        assert served.compression_total == points["val"].compression_total
        assert served.nonzero <= served.weights // ratio
        assert served.weights == 50_200


def test_batch_norm_is_recalibrated_as_it_was_measured(normed: Workload) -> None:
    result = trained(normed, "magnitude", lr=0.1)
    method = get_method("magnitude").from_values({"lr": 0.1})
    differ = 0
    for ratio in (2.0, 5.0, 10.0):
        found = {}
        for recalibrated in (False, True):
            served = serve(
                normed,
                method,
                copy.deepcopy(result.model),
                3,
                ratio,
                recalibrated=recalibrated,  # type: ignore[arg-type]
            )
            expected = {
                p.split: p.metric
                for p in result.frontier
                if (p.criterion, p.value, p.recalibrated) == ("ratio", ratio, recalibrated)
            }
            assert served.metrics == expected
            found[recalibrated] = served.metrics
        differ += found[False] != found[True]
    assert differ, "or the test could not tell them apart"


def test_an_exported_network_with_batch_norm_gives_the_same_for_any_batch(
    normed: Workload, tmp_path: Path
) -> None:
    model = trained(normed, "magnitude", lr=0.1).model
    assert model is not None
    served = serve(normed, get_method("magnitude").from_values({"lr": 0.1}), model, 3, 5.0, recalibrated=True)
    examples = example_inputs(normed)
    assert (examples.shape, examples.dtype) == ((5, 64), np.float32)
    val = normed.splits["val"].inputs  # type: ignore[attr-defined]
    np.testing.assert_array_equal(examples, val[:5].numpy())
    loaded = save_model(tmp_path / "model", served.model, examples, outputs_of(served.model, examples))
    for count in (1, 2, 7, len(val)):
        expected = outputs_of(served.model, val[:count].numpy())
        np.testing.assert_allclose(loaded.predict(val[:count].numpy()), expected, rtol=1e-5, atol=1e-5)
    assert normed.evaluate(Predictor(loaded.predict), "val") == served.metrics["val"]
    assert not list((tmp_path / "model").rglob("*.pkl"))
    assert not list((tmp_path / "model").rglob("*.pth"))


def test_examples_are_what_the_workload_evaluates(digits: Workload) -> None:
    linear = get_workload("sparse_recovery").from_values({"d": 20, "n": 30, "n_val": 9, "n_test": 9}, CPU)
    before = torch.random.get_rng_state()
    assert example_inputs(linear).shape == (5, 20)
    assert example_inputs(digits).shape == (5, 64)
    assert torch.equal(before, torch.random.get_rng_state())


def test_disagreements_are_beyond_what_is_allowed() -> None:
    nan, inf = math.nan, math.inf
    recorded = {"val": 0.9, "test": 0.8, "compression": inf, "x": nan}
    assert not disagreements(recorded, recorded, {})
    assert disagreements({"val": 0.905}, recorded, {"val": 0.005000001}) == []
    assert disagreements({"val": 0.906, "test": 0.8}, recorded, {"val": 0.005}) == ["val"]
    assert disagreements({"val": nan}, recorded, {"val": 1.0}) == ["val"]
    assert disagreements({"x": 0.5}, recorded, {"x": 1.0}) == ["x"]
    assert disagreements({"compression": 100.0}, recorded, {"compression": 1.0}) == ["compression"]
