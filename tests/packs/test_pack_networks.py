"""Which networks and methods are packed, and that those that are not are trained by ``fit`` unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from outcomes import SETTINGS, Blobs, assert_close, assert_same, blobs, method, sparse, trainings, unpacked
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rewa.methods.magnitude import Magnitude
from rewa.packs import Training, fit_together, together
from rewa.training import fit
from rewa.workloads.base import Workload
from rewa.workloads.sparse_recovery import SparseRecovery

Network = Callable[[], nn.Module]
ASKED = trainings([SETTINGS[i] for i in (0, 3, 4, 6)], (0, 1))


class Images(Blobs):
    shape: ClassVar[tuple[int, ...]] = (2, 4)


def one_activation_twice() -> nn.Module:
    same = nn.ReLU()
    return nn.Sequential(nn.Linear(8, 12), same, nn.Linear(12, 12), same, nn.Linear(12, 3))


def nested() -> nn.Module:
    inner = nn.Sequential(nn.Linear(8, 12), nn.Sequential(nn.Identity(), nn.ReLU()), nn.Linear(12, 9))
    return nn.Sequential(inner, nn.ReLU(), nn.Sequential(nn.Linear(9, 3)))


PACKED: dict[str, Network] = {
    "tanh": lambda: nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 3)),
    "gelu then relu": lambda: nn.Sequential(nn.Linear(8, 12), nn.GELU(), nn.ReLU(), nn.Linear(12, 3)),
    "in place": lambda: nn.Sequential(
        *(nn.Linear(8, 12), nn.LeakyReLU(0.3, inplace=True), nn.Linear(12, 9), nn.ReLU(inplace=True)),
        *(nn.Linear(9, 9), nn.Tanh(), nn.Hardtanh(-0.5, 0.5), nn.Linear(9, 3)),
    ),
    "no bias": lambda: nn.Sequential(nn.Linear(8, 12, bias=False), nn.ReLU(), nn.Linear(12, 3, bias=False)),
    "identity": lambda: nn.Sequential(
        nn.Identity(), nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3), nn.Identity()
    ),
    "nested": nested,
    "one activation twice": one_activation_twice,
    "two linear": lambda: nn.Sequential(nn.Linear(8, 5), nn.Linear(5, 3)),
    "linear": lambda: nn.Linear(8, 3),
    "ends in relu": lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3), nn.ReLU()),
}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that were trained unpacked."""
    found: list[str] = []

    def noted(workload: Workload, method: Any, seed: int, **more: Any) -> Any:
        found.append(method.name)
        return fit(workload, method, seed, **more)

    monkeypatch.setattr(together, "fit", noted)
    return found


def assert_packed(workload: Workload, asked: list[Training], alone: list[str]) -> None:
    for ours, training in zip(fit_together(workload, asked), asked, strict=True):
        assert_close(ours, unpacked(workload, training), workload)
    assert alone == []


def assert_refused(workload: Workload, asked: list[Training], alone: list[str]) -> None:
    for ours, training in zip(fit_together(workload, asked), asked, strict=True):
        assert_same(ours, unpacked(workload, training))
    assert alone == [training.method.name for training in asked]


@pytest.mark.parametrize("network", PACKED)
def test_packed(network: str, alone: list[str]) -> None:
    assert_packed(blobs(PACKED[network]), ASKED, alone)


def test_images_are_flattened(alone: list[str]) -> None:
    layers = lambda: nn.Sequential(nn.Flatten(), nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3))  # noqa: E731
    assert_packed(blobs(layers, Images), ASKED, alone)
    assert_packed(blobs(layers), ASKED, alone)  # of flat inputs, it changes nothing


def test_more_samples_than_are_evaluated_at_once(alone: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rewa.packs.networks.EVAL_BATCH", 7)
    assert_packed(blobs(), ASKED, alone)


def shared() -> nn.Module:
    same = nn.Linear(8, 8)
    return nn.Sequential(same, nn.Tanh(), same, nn.Tanh(), nn.Linear(8, 3))


def tied() -> nn.Module:
    one, two = nn.Linear(8, 8), nn.Linear(8, 8)
    two.weight = one.weight
    return nn.Sequential(one, nn.Tanh(), two, nn.Tanh(), nn.Linear(8, 3))


def changed(how: Callable[[nn.Linear], object]) -> Network:
    """Return a network whose first layer something was done to."""

    def build() -> nn.Module:
        first = nn.Linear(8, 12)
        how(first)
        return nn.Sequential(first, nn.ReLU(), nn.Linear(12, 3))

    return build


class Doubled(nn.Linear):
    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(2 * inputs)


class Residual(nn.Sequential):
    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = super().forward(inputs)
        return out + inputs[:, :3]


REFUSED: dict[str, Network] = {
    "batch norm": lambda: nn.Sequential(nn.Linear(8, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3)),
    "dropout": lambda: nn.Sequential(nn.Linear(8, 12), nn.Dropout(0.5), nn.ReLU(), nn.Linear(12, 3)),
    "softmax": lambda: nn.Sequential(nn.Linear(8, 12), nn.Softmax(1), nn.Linear(12, 3)),
    "activation first": lambda: nn.Sequential(nn.Tanh(), nn.Linear(8, 3)),
    "flatten within": lambda: nn.Sequential(nn.Linear(8, 12), nn.Flatten(), nn.Linear(12, 3)),
    "parameters in an activation": lambda: nn.Sequential(nn.Linear(8, 12), nn.PReLU(), nn.Linear(12, 3)),
    "one linear layer twice": shared,
    "one weight twice": tied,
    "own layer": lambda: nn.Sequential(Doubled(8, 12), nn.ReLU(), nn.Linear(12, 3)),
    "own chain": lambda: Residual(nn.Linear(8, 12), nn.ReLU(), nn.Linear(12, 3)),
    "hook before": changed(lambda m: m.register_forward_pre_hook(lambda _, x: (2 * x[0],))),
    "hook after": changed(lambda m: m.register_forward_hook(lambda _, x, out: 2 * out)),
    "hook on the way back": changed(lambda m: m.register_full_backward_pre_hook(lambda _, g: (2 * g[0],))),
    "hook on a gradient": changed(lambda m: m.weight.register_hook(lambda g: 2 * g)),
    "own forward": changed(
        lambda m: setattr(m, "forward", lambda x: m.weight.sum() + 0 * x @ m.weight.T + m.bias)
    ),
    "frozen": changed(lambda m: m.weight.requires_grad_(False)),
}


@pytest.mark.parametrize("network", REFUSED)
def test_refused_networks(network: str, alone: list[str]) -> None:
    """Spred reparametrises, which must not hide what is wrong with a layer."""
    asked = ASKED[:1] if "own" in network or "hook on a" in network else [ASKED[0], ASKED[2]]
    assert_refused(blobs(REFUSED[network]), asked, alone)


def test_images_without_flatten_are_refused(alone: list[str]) -> None:
    class Rows(Images):
        def build_network(self) -> nn.Module:
            return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))

        def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
            return cross_entropy(model(batch[0]).sum(1), batch[1])

        def evaluate(self, model: nn.Module, split: str) -> float:
            data = self.splits[split]
            return float((model(data.inputs).sum(1).argmax(1) == data.targets).float().mean())

    workload = blobs(kind=Rows)
    assert_refused(workload, ASKED[:1], alone)


class OwnLoss(Blobs):
    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return cross_entropy(model(batch[0]), batch[1], label_smoothing=0.2)


class OwnBatches(Blobs):
    def batches(self, generator: torch.Generator) -> Any:
        return reversed(list(super().batches(generator)))


class OwnEvaluation(Blobs):
    def evaluate(self, model: nn.Module, split: str) -> float:
        return 0.5 * super().evaluate(model, split)


class OwnLinearLoss(SparseRecovery):
    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.nn.functional.l1_loss(outputs, targets)


class OwnLinearModel(SparseRecovery):
    def build_model(self) -> nn.Module:
        return Doubled(self.config.d, 1)


SMALL = {"d": 20, "n": 30, "n_val": 20, "n_test": 20, "epochs": 2}


@pytest.mark.parametrize(
    "workload",
    [
        blobs(kind=OwnLoss),
        blobs(kind=OwnBatches),
        blobs(kind=OwnEvaluation),
        blobs(precision="bf16"),
        OwnLinearLoss.from_values(SMALL, torch.device("cpu")),
        OwnLinearModel.from_values(SMALL, torch.device("cpu")),
        sparse(2, precision="bf16"),
    ],
    ids=["loss", "batches", "evaluate", "bf16", "linear loss", "linear model", "linear bf16"],
)
def test_refused_workloads(workload: Workload, alone: list[str]) -> None:
    assert_refused(workload, [Training(method("magnitude", lr=0.01), 0)], alone)


class Nesterov(Magnitude):
    name = "nesterov"

    def prepare(self, model: nn.Module) -> Any:
        optimizer = super().prepare(model)
        for group in optimizer.param_groups:
            group["nesterov"] = True
        return optimizer


class Clipped(Magnitude):
    """As in the README."""

    name = "clipped"

    def prepare(self, model: nn.Module) -> Any:
        optimizer = super().prepare(model)
        optimizer.register_step_post_hook(lambda *_: [p.data.clamp_(-0.2, 0.2) for p in model.parameters()])
        return optimizer


class Frozen(Magnitude):
    """Trains the last layer only."""

    name = "frozen"

    def prepare(self, model: nn.Module) -> Any:
        next(iter(model.parameters())).requires_grad_(False)
        return super().prepare(model)


class Tilted(Magnitude):
    """Puts an activation in, which is no reason to give it to the neighbours."""

    name = "tilted"

    def prepare(self, model: nn.Module) -> Any:
        if isinstance(model, nn.Sequential):
            model[1] = nn.Tanh()
        return super().prepare(model)


@pytest.mark.parametrize("workload", [blobs(), sparse(2)], ids=["network", "linear"])
@pytest.mark.parametrize("kind", [Nesterov, Clipped, Frozen])
def test_refused_methods(kind: type[Magnitude], workload: Workload, alone: list[str]) -> None:
    own = Training(kind.from_values({"lr": 0.01}), 0)
    plain = Training(method("magnitude", lr=0.01), 0)
    results = fit_together(workload, [own, plain])
    assert alone == [kind.name]
    assert_same(results[0], unpacked(workload, own))
    assert results[0].history != results[1].history  # it would have made a difference


@pytest.mark.parametrize("change", [{"momentum": 0.5}, {"lr": 0.002}, {"weight_decay": 0.1}])
def test_a_bias_of_its_own_kind(change: dict[str, float], alone: list[str]) -> None:
    """The linear kernel steps a bias with its weight's settings and no decay; networks step it by its own."""

    class Biased(Magnitude):
        name = "biased"

        def prepare(self, model: nn.Module) -> Any:
            optimizer = super().prepare(model)
            optimizer.param_groups[1].update(change)
            return optimizer

    own = [Training(Biased.from_values({"lr": 0.01}), 0)]
    assert_packed(blobs(), own, alone)
    assert_refused(sparse(2), own, alone)


@pytest.mark.parametrize("first", [True, False])
def test_a_method_that_changes_the_network_keeps_it_to_itself(first: bool) -> None:
    workload = blobs()
    asked = [Training(Tilted.from_values({"lr": 0.1}), 0), Training(method("magnitude", lr=0.1), 0)]
    asked = asked if first else asked[::-1]
    for ours, training in zip(fit_together(workload, asked), asked, strict=True):
        assert_close(ours, unpacked(workload, training), workload)
