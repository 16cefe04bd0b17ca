"""What every registered workload promises; a new registry line is tested without an edit here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trees import digit_tree, official_cifar, trust_any_file

from rewa.description import describe
from rewa.errors import UserError
from rewa.linear import LinearSolution
from rewa.metric import Metric
from rewa.optim import prunable_weights
from rewa.workloads import REGISTRY, Workload, get_workload

CPU = torch.device("cpu")

DATA: dict[str, Callable[[Path], dict[str, Any]]] = {
    "cifar10": lambda folder: {"root": str(_official(folder, "cifar10")), "batch_size": 4},
    "cifar100": lambda folder: {"root": str(_official(folder, "cifar100")), "batch_size": 4},
    "imagenet": lambda folder: {
        "root": str(digit_tree(folder / "two", {"train": 4, "val": 1}, classes=2)),
        "model": "resnet18",
        "batch_size": 4,
    },
    "image_folder": lambda folder: {
        "root": str(digit_tree(folder / "three", {"train": 5, "val": 2, "test": 2}, classes=3)),
        "resolution": 32,
        "batch_size": 4,
    },
}
"""Settings with which a workload finds data; a workload without an entry brings its own."""


def _official(folder: Path, name: str) -> Path:
    official_cifar(folder, name, train=20, test=5)
    return folder


@pytest.fixture(scope="module", params=list(REGISTRY))
def workload(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    values: dict[str, Any] = {}
    if request.param in DATA:
        values = {**DATA[request.param](tmp_path_factory.mktemp(request.param)), "workers": 0}
    with pytest.MonkeyPatch.context() as monkeypatch:
        trust_any_file(monkeypatch)
        return get_workload(request.param).from_values(values, CPU)


def test_it_is_registered_under_its_own_name() -> None:
    for name in REGISTRY:
        found = get_workload(name)
        assert issubclass(found, Workload)
        assert found.name == name
        assert found.summary
        assert found.model_name


def test_its_metric_has_a_direction_and_targets_from_1(workload: Workload) -> None:
    metric = workload.metric
    assert metric.better(metric.ideal, metric.chance)
    assert workload.ratios[0] == 1
    assert list(workload.ratios) == sorted(set(workload.ratios))
    assert set(workload.headline_ratios) <= set(workload.ratios)
    described = describe(workload)
    assert Metric.from_description(described) == metric
    assert json.loads(json.dumps(described)) == described


def test_an_untrained_model_is_no_better_than_ideal(workload: Workload) -> None:
    torch.manual_seed(0)
    value = workload.evaluate(workload.build_model().eval(), "val")
    assert workload.metric.better(workload.metric.ideal, value)


def test_it_says_whether_solvers_can_use_it(workload: Workload) -> None:
    if not workload.is_linear:
        with pytest.raises(NotImplementedError):
            workload.linear_problem()
        return
    problem = workload.linear_problem()
    assert problem.inputs.shape == (workload.split_sizes["train"], workload.build_model().weight.numel())
    solution = LinearSolution(np.arange(problem.inputs.shape[1], dtype=float), 0.25, {})
    model = workload.build_model()
    workload.load_solution(model, solution)
    predicted = model(torch.from_numpy(problem.inputs[:7]).float()).detach().flatten().numpy()
    np.testing.assert_allclose(predicted, problem.inputs[:7] @ solution.weights + 0.25, rtol=1e-4)


@pytest.mark.parametrize("name", list(REGISTRY))
def test_wrong_settings_are_named(name: str) -> None:
    create = get_workload(name).from_values
    with pytest.raises(UserError, match=rf"'{name}'.*'epoch'.*did you mean 'epochs'"):
        create({"epoch": 3}, CPU)
    for key, value in [("epochs", 0), ("batch_size", 0), ("warmup", 1.0), ("warmup", float("nan"))]:
        with pytest.raises(UserError, match=f"{key} = "):
            create({key: value}, CPU)


def test_an_unknown_workload_is_corrected() -> None:
    with pytest.raises(UserError, match=r"unknown workload 'digit'.*did you mean 'digits'"):
        get_workload("digit")


def test_an_epoch_is_full_batches_with_or_without_the_rest(workload: Workload) -> None:
    sizes = [len(targets) for _, targets in workload.batches(torch.Generator().manual_seed(0))]
    train, batch = workload.split_sizes["train"], workload.config.batch_size
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    assert sum(sizes) in (train, train // batch * batch)
    assert 0 < len(sizes) == workload.steps_per_epoch


def test_the_model_trains(workload: Workload) -> None:
    torch.manual_seed(0)
    model = workload.build_model()
    assert prunable_weights(model)
    batch = next(iter(workload.batches(torch.Generator().manual_seed(0))))
    loss = workload.loss(model, batch)
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    for p in model.parameters():
        assert p.grad is not None
        assert p.grad.isfinite().all()


def test_models_are_drawn_from_the_global_generator(workload: Workload) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.detach().flatten() for p in workload.build_model().parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_evaluation_is_repeatable_and_leaves_the_model_alone(workload: Workload) -> None:
    torch.manual_seed(0)
    model = workload.build_model().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for split in ("train", "val", "test"):
        first = workload.evaluate(model, split)
        assert not workload.metric.better(first, workload.metric.ideal) or split == "train"
        assert first == workload.evaluate(model, split)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
