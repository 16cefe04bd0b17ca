"""What every registered method promises; a new registry line is tested without an edit here."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rewa.errors import UserError
from rewa.methods import REGISTRY, GradientMethod, Method, Solver, get_method
from rewa.methods.base import GradientConfig
from rewa.optim import prunable_modules, prunable_weights

PENALTIES = ("weight_decay", "l1")
GRADIENT_METHODS = [name for name in REGISTRY if issubclass(get_method(name), GradientMethod)]
WITH_MOMENTUM = [name for name in GRADIENT_METHODS if issubclass(get_method(name).Config, GradientConfig)]


class TinyNet(nn.Module):
    """Convolution, normalisation, linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4 * 16, 3)

    def forward(self, images: Tensor) -> Tensor:
        hidden: Tensor = torch.relu(self.norm(self.conv(images))).flatten(1)
        return self.head(hidden)


def tiny() -> tuple[TinyNet, Tensor, Tensor]:
    torch.manual_seed(0)
    return TinyNet(), torch.randn(24, 1, 6, 6), torch.arange(24) % 3


def create(name: str, **values: Any) -> GradientMethod:
    method = get_method(name).from_values({"lr": 0.05, **values})
    assert isinstance(method, GradientMethod)
    return method


def create_any(name: str) -> Method:
    """Return any registered method with what it cannot do without."""
    return get_method(name).from_values({"lr": 0.05} if name in GRADIENT_METHODS else {})


def penalised(name: str, strength: float, **values: Any) -> GradientMethod:
    """Return the method with its penalty on the weights, whatever it is called, set."""
    fields = get_method(name).Config.model_fields
    return create(name, **{key: strength for key in PENALTIES if key in fields}, **values)


@pytest.fixture(params=GRADIENT_METHODS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(params=list(REGISTRY))
def any_name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


def test_it_is_registered_under_its_own_name(any_name: str) -> None:
    method = get_method(any_name)
    assert issubclass(method, Method)
    assert method.name == any_name
    assert method.summary
    assert "\n" not in method.summary


def test_it_is_a_gradient_method_or_a_solver(any_name: str) -> None:
    method = get_method(any_name)
    assert issubclass(method, GradientMethod) != issubclass(method, Solver)
    assert not inspect.isabstract(method)
    create_any(any_name)


def test_every_setting_is_described_or_says_itself(any_name: str) -> None:
    fields = get_method(any_name).Config.model_fields
    assert all(field.description or key == "momentum" for key, field in fields.items())


def test_a_misspelt_key_is_named_and_corrected(any_name: str) -> None:
    """The first setting with its last letter doubled."""
    key = next(iter(get_method(any_name).Config.model_fields))
    wrong = key + key[-1]
    with pytest.raises(UserError, match=rf"method '{any_name}': unknown key '{wrong}': did you mean '{key}'"):
        get_method(any_name).from_values({wrong: 1})


def test_a_learning_rate_is_enough(name: str) -> None:
    config = create(name).config
    assert config.lr == 0.05


@pytest.mark.parametrize("values", [{"lr": 0}, {"lr": float("nan")}, {"lr": "x"}])
def test_values_out_of_range_are_named(name: str, values: dict[str, Any]) -> None:
    (key,) = values
    with pytest.raises(UserError, match=f"method '{name}': {key} = "):
        create(name, **values)


@pytest.mark.parametrize("name", WITH_MOMENTUM)
def test_momentum_is_a_setting_like_others(name: str) -> None:
    assert 0 <= create(name).config.momentum < 1
    with pytest.raises(UserError, match=rf"'{name}'.*'momentun'.*did you mean 'momentum'"):
        create(name, momentun=0.9)
    with pytest.raises(UserError, match=rf"method '{name}': momentum = 1"):
        create(name, momentum=1.0)


def test_a_missing_learning_rate_is_named(name: str) -> None:
    with pytest.raises(UserError, match="missing key 'lr'"):
        get_method(name).from_values({})


def test_training_reduces_the_loss(name: str) -> None:
    model, images, labels = tiny()
    optimizer = create(name).prepare(model)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_preparing_leaves_the_function_as_it_was(name: str) -> None:
    model, images, _ = tiny()
    before = model.eval()(images)
    create(name).prepare(model)
    torch.testing.assert_close(model.eval()(images), before)


def test_every_parameter_is_optimised_once(name: str) -> None:
    model, _, _ = tiny()
    optimizer = create(name).prepare(model)
    optimised = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(optimised) == sorted(id(p) for p in model.parameters())


def test_the_learning_rate_reaches_every_group(name: str) -> None:
    model, _, _ = tiny()
    optimizer = create(name, lr=0.03).prepare(model)
    assert {group["lr"] for group in optimizer.param_groups} == {0.03}


@pytest.mark.parametrize("name", WITH_MOMENTUM)
def test_momentum_reaches_every_group(name: str) -> None:
    model, _, _ = tiny()
    optimizer = create(name, momentum=0.7).prepare(model)
    assert {group["momentum"] for group in optimizer.param_groups} == {0.7}


def test_the_penalty_is_on_the_weights_only(name: str) -> None:
    """Without any gradient, ten steps shrink the weights and leave everything else bit-identical."""
    model, _, _ = tiny()
    with torch.no_grad():
        model.norm.bias.fill_(0.3)
    rest = {
        key: p.detach().clone() for key, p in model.named_parameters() if key not in prunable_weights(model)
    }
    assert set(rest) == {"conv.bias", "norm.weight", "norm.bias", "head.bias"}
    method = penalised(name, 0.1)
    norms = [module.weight.norm().item() for _, module in prunable_modules(model)]
    optimizer = method.prepare(model)
    for _ in range(10):
        for p in model.parameters():
            p.grad = torch.zeros_like(p)
        optimizer.step()
    after = dict(model.named_parameters())
    assert all(torch.equal(after[key], value) for key, value in rest.items())
    for norm, (_, module) in zip(norms, prunable_modules(model), strict=True):
        assert module.weight.norm().item() < 0.99 * norm


def test_dense_copy_has_the_effective_weights(name: str) -> None:
    model, images, labels = tiny()
    method = create(name)
    optimizer = method.prepare(model)
    for _ in range(3):
        optimizer.zero_grad()
        cross_entropy(model(images), labels).backward()
        optimizer.step()
    effective = {f"{key}.weight": module.weight.detach().clone() for key, module in prunable_modules(model)}
    output = model.eval()(images)
    dense = method.dense_copy(model)
    plain = prunable_weights(dense)
    assert list(plain) == list(effective) == ["conv.weight", "head.weight"]
    assert all(torch.equal(plain[key], value) for key, value in effective.items())
    assert torch.equal(dense.eval()(images), output)
    assert set(dense.state_dict()) == set(TinyNet().state_dict())


def test_training_goes_on_after_a_dense_copy(name: str) -> None:
    model, images, labels = tiny()
    method = create(name)
    optimizer = method.prepare(model)
    parameters = [id(p) for p in model.parameters()]
    cross_entropy(model(images), labels).backward()
    optimizer.step()
    before = model.eval()(images).detach()
    dense = method.dense_copy(model)
    with torch.no_grad():
        for p in dense.parameters():
            p.zero_()
    assert [id(p) for p in model.parameters()] == parameters
    assert torch.equal(model.eval()(images), before)
    optimizer.zero_grad()
    cross_entropy(model(images), labels).backward()
    optimizer.step()
    assert not torch.equal(model(images), before)


def test_tied_layers_stay_tied(name: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    method = create(name)
    optimizer = method.prepare(model)
    for _ in range(3):
        optimizer.zero_grad()
        (model(torch.randn(8, 3)) ** 2).sum().backward()
        optimizer.step()
    dense = method.dense_copy(model)
    assert torch.equal(dense[0].weight, dense[2].weight)


def test_scores_have_the_shapes_of_the_weights(any_name: str) -> None:
    model, _, _ = tiny()
    weights = prunable_weights(model)
    scores = create_any(any_name).scores(weights, seed=3)
    assert {key: s.shape for key, s in scores.items()} == {key: w.shape for key, w in weights.items()}
    assert all(score.isfinite().all() and not score.requires_grad for score in scores.values())


@pytest.mark.parametrize("any_name", [name for name in REGISTRY if name != "random"])
def test_scores_are_magnitudes(any_name: str) -> None:
    weights = {"a": torch.tensor([-3.0, 0.0, 2.0])}
    assert create_any(any_name).scores(weights, seed=0)["a"].tolist() == [3, 0, 2]


def test_random_scores_depend_on_the_seed_only() -> None:
    weights = {"a": torch.randn(50, 20), "b": torch.randn(30)}
    method = create("random")
    first, again, other = (method.scores(weights, seed) for seed in (1, 1, 2))
    torch.manual_seed(5)
    shifted = method.scores({key: w * 2 for key, w in weights.items()}, 1)
    for key in weights:
        assert torch.equal(first[key], again[key])
        assert torch.equal(first[key], shifted[key])
        assert not torch.equal(first[key], other[key])
    correlation = torch.corrcoef(torch.stack([first["a"].flatten(), weights["a"].abs().flatten()]))
    assert abs(correlation[0, 1]) < 0.15  # 1,000 draws: 5 deviations


def test_an_unknown_method_is_corrected() -> None:
    with pytest.raises(UserError, match=r"unknown method 'spread'.*did you mean 'spred'"):
        get_method("spread")


def test_rewa_refuses_an_M_above_K_minus_1() -> None:
    with pytest.raises(UserError, match=r"M = 2\.5 is larger than K - 1 = 2"):
        create("rewa", K=3, M=2.5)
    assert create("rewa", K=3, M=2).config.M == 2


@pytest.mark.parametrize("method", ["rewa", "rewa_adamw"])
def test_an_M_that_float32_cannot_tell_from_0_is_refused(method: str) -> None:
    with pytest.raises(UserError, match=r"M = 1e-40 is too small: below 1e-30 it must be 0"):
        create(method, K=3, M=1e-40)
    assert create(method, K=3, M=0).config.M == 0


def test_rewa_settings_reach_the_weights_and_not_the_biases() -> None:
    model, _, _ = tiny()
    optimizer = create("rewa", K=5, M=1.5, epsilon=0.01, weight_decay=0.2).prepare(model)
    weights, rest = optimizer.param_groups
    keys = ("K", "M", "epsilon", "weight_decay")
    assert [weights[key] for key in keys] == [5, 1.5, 0.01, 0.2]
    assert [rest[key] for key in keys] == [1, 0, 0, 0]


def test_sgd_l1_by_hand() -> None:
    """One step without gradient: weights by lr * l1 towards zero, biases not."""
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -1.0]]))
        layer.bias.fill_(1.0)
    optimizer = create("sgd_l1", lr=0.5, l1=0.2).prepare(layer)
    for p in layer.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), torch.tensor([[0.9, -0.9]]))
    assert layer.bias.item() == 1.0
