"""What every registered workload promises; a new registry line is tested without an edit here."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from rewa.errors import UserError
from rewa.optim import prunable_weights
from rewa.workloads import REGISTRY, Workload, get_workload

CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=list(REGISTRY))
def workload(request: pytest.FixtureRequest) -> Workload:
    return get_workload(request.param).from_values({}, CPU)


def test_it_is_registered_under_its_own_name() -> None:
    for name in REGISTRY:
        found = get_workload(name)
        assert issubclass(found, Workload)
        assert found.name == name
        assert found.summary
        assert found.model_name
        assert 0 <= found.chance < 1


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


def test_an_epoch_has_every_training_sample_in_full_batches(workload: Workload) -> None:
    sizes = [len(targets) for _, targets in workload.batches(torch.Generator().manual_seed(0))]
    train, batch = workload.split_sizes["train"], workload.config.batch_size
    assert sum(sizes) == train
    assert sizes[:-1] == [batch] * (len(sizes) - 1)
    assert len(sizes) == workload.steps_per_epoch == math.ceil(train / batch)


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
        return nn.utils.parameters_to_vector(workload.build_model().parameters()).detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_evaluation_is_repeatable_and_leaves_the_model_alone(workload: Workload) -> None:
    torch.manual_seed(0)
    model = workload.build_model().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for split in ("train", "val", "test"):
        first = workload.evaluate(model, split)
        assert 0 <= first <= 1
        assert first == workload.evaluate(model, split)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
