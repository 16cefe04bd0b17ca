"""A pack equals its trainings one by one."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from unpacked import Case, by_hand, by_torch, case

from rewa.errors import UserError
from rewa.packed import PackedEpoch, PackedResult, PackedTrial, train_packed

TRIALS = [
    PackedTrial("rewa", lr=0.03, weight_decay=1e-2),
    PackedTrial("rewa", lr=0.03, momentum=0.9, K=1, epsilon=0.5),
    PackedTrial("rewa", lr=0.02, K=2, M=0, weight_decay=1e-2),
    PackedTrial("rewa", lr=0.02, momentum=0.5, K=3, M=2, weight_decay=1e-2),
    PackedTrial("rewa", lr=0.02, K=5, M=1, epsilon=1e-2, weight_decay=1e-2),
    PackedTrial("rewa", lr=0.005, momentum=0.9, K=9, M=2, weight_decay=1e-3),
    PackedTrial("rewa", lr=0.05, K=9, M=8, epsilon=1e-3),
    PackedTrial("rewa", lr=0.02, K=2.5, M=1.3, weight_decay=1e-2),
    PackedTrial("rewa", lr=0.02, momentum=0.9, K=3.7, M=0.4, epsilon=1e-2, weight_decay=1e-2),
    PackedTrial("rewa", lr=0.005, K=40, M=35, weight_decay=1e-3),
    PackedTrial("sgd_l1", lr=0.03, l1=0.05),
    PackedTrial("sgd_l1", lr=0.01, momentum=0.9, l1=0.1),
    PackedTrial("spred", lr=0.03, weight_decay=0.05),
    PackedTrial("spred", lr=0.01, momentum=0.9, weight_decay=0.02),
]
EXPLODES = PackedTrial("rewa", lr=1e4, K=2, M=1)


def pack(c: Case, trials: list[PackedTrial], **more: object) -> PackedResult:
    return train_packed(
        c.inputs,
        c.targets,
        trials,
        init_weights=c.weights,
        init_bias=c.bias,
        epochs=c.epochs,
        batch_size=c.batch_size,
        seed=c.seed,
        warmup=c.warmup,
        loss=c.loss,  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module", params=["squared", "logistic"])
def trained(request: pytest.FixtureRequest) -> tuple[Case, PackedResult]:
    c = case(loss=request.param)
    return c, pack(c, TRIALS)


@pytest.mark.parametrize("number", range(len(TRIALS)), ids=lambda i: f"{TRIALS[i].method}-{i}")
def test_equals_torch_and_the_equations(trained: tuple[Case, PackedResult], number: int) -> None:
    c, result = trained
    weights, bias, losses = by_torch(c, TRIALS[number])
    assert not result.diverged[number]
    assert losses[-1] < 0.8 * losses[0]  # it has learnt something to compare
    # rounding decides on which side of zero a weight is, and the subgradient jumps there
    jumps = TRIALS[number].lr * TRIALS[number].l1
    np.testing.assert_allclose(result.weights[number], weights, rtol=1e-4, atol=2e-6 + jumps)
    np.testing.assert_allclose(result.bias[number], bias, rtol=1e-4, atol=2e-6 + jumps)
    np.testing.assert_allclose(result.train_loss[:, number], losses, rtol=1e-4, atol=1e-7 + jumps)
    weights64, bias64 = by_hand(c, TRIALS[number])
    np.testing.assert_allclose(result.weights[number], weights64, rtol=2e-4, atol=5e-6 + jumps)
    np.testing.assert_allclose(result.bias[number], bias64, rtol=2e-4, atol=5e-6 + jumps)


def test_wide_inputs_take_several_blocks_of_columns() -> None:
    c = case(n=23, d=1203, epochs=8, batch_size=10)
    trials = [PackedTrial("rewa", lr=1e-3, K=3, M=0, weight_decay=0.1), PackedTrial("spred", lr=1e-3)]
    result = pack(c, trials)
    for i, trial in enumerate(trials):
        weights, _, losses = by_torch(c, trial)
        np.testing.assert_allclose(result.weights[i], weights, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(result.train_loss[:, i], losses, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 40, 64])
def test_batch_sizes(batch_size: int) -> None:
    c = case(epochs=20, batch_size=batch_size)
    trial = PackedTrial("rewa", lr=0.005, K=3, M=1, momentum=0.5, weight_decay=1e-2)
    weights, bias, _ = by_torch(c, trial)
    result = pack(c, [trial])
    np.testing.assert_allclose(result.weights[0], weights, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(result.bias[0], bias, rtol=1e-4, atol=2e-6)


def test_a_result_does_not_depend_on_the_pack(trained: tuple[Case, PackedResult]) -> None:
    c, together = trained
    reverse = pack(c, [EXPLODES, *TRIALS[::-1]], workers=1)
    np.testing.assert_array_equal(reverse.weights[1:][::-1], together.weights)
    for i in (3, 8, 12):
        alone = pack(c, [TRIALS[i]], workers=3)
        np.testing.assert_array_equal(alone.weights[0], together.weights[i])
        np.testing.assert_array_equal(alone.train_loss[:, 0], together.train_loss[:, i])


def test_the_order_is_the_seeds() -> None:
    c = case()
    same, other = pack(c, TRIALS[:1]), pack(Case(**{**vars(c), "seed": 4}), TRIALS[:1])
    assert not np.array_equal(same.weights, other.weights)


def test_divergence_is_isolated(trained: tuple[Case, PackedResult]) -> None:
    _, calm = trained
    c = trained[0]
    result = pack(c, [TRIALS[0], EXPLODES, *TRIALS[1:]])
    if c.loss == "squared":
        assert result.diverged.tolist() == [False, True, *[False] * (len(TRIALS) - 1)]
        left = result.last_epoch[1]
        assert 1 <= left < c.epochs
        assert np.isnan(result.weights[1]).all()
        assert not np.isfinite(result.train_loss[left - 1, 1])
        assert np.isfinite(result.train_loss[: left - 1, 1]).all()
        assert np.isnan(result.train_loss[left:, 1]).all()
    assert (np.delete(result.last_epoch, 1) == c.epochs).all()
    np.testing.assert_array_equal(np.delete(result.weights, 1, axis=0), calm.weights)


def test_all_diverged_ends_early() -> None:
    epochs: list[int] = []
    result = pack(case(), [EXPLODES] * 2, on_epoch=lambda e: epochs.append(e.epoch))
    assert result.diverged.all()
    assert len(epochs) == result.last_epoch[0] < 30


@pytest.mark.parametrize("method", ["rewa", "spred"])
def test_collapse_to_zero(method: str) -> None:
    """Huge decay: the latents pass through every subnormal number, and the weights end as exact zeros."""
    c = case(epochs=60)
    K = 3 if method == "rewa" else 1
    trial = PackedTrial(method, lr=0.1, K=K, M=K - 1, weight_decay=8.0)  # type: ignore[arg-type]
    result = pack(c, [trial])
    weights, bias, losses = by_torch(c, trial)
    assert (np.abs(weights) < 1e-30).all()
    np.testing.assert_array_equal(result.weights[0], 0.0)
    np.testing.assert_allclose(result.bias[0], bias, rtol=1e-4)
    np.testing.assert_allclose(result.train_loss[:, 0], losses, rtol=1e-4)


def test_the_callers_arithmetic_keeps_subnormals() -> None:
    pack(case(epochs=1), TRIALS[:1])
    assert float(torch.tensor(1e-39) * 0.5) > 0
    assert np.float32(1e-39) * np.float32(0.5) > 0


def test_callback_sees_weights_and_stops_trials() -> None:
    c = case()
    seen: list[np.ndarray] = []

    def watch(epoch: PackedEpoch) -> list[int]:
        seen.append(epoch.weights([1])[0])
        assert epoch.weights().shape == (3, 37)
        assert epoch.live.tolist() == [True, epoch.epoch <= 5, True]
        return [1] if epoch.epoch == 5 else []

    stopped, full = pack(c, TRIALS[2:5], on_epoch=watch), pack(c, TRIALS[2:5])
    assert stopped.last_epoch.tolist() == [30, 5, 30]
    assert not stopped.diverged.any()
    np.testing.assert_array_equal(stopped.weights[1], seen[4])
    np.testing.assert_array_equal(stopped.weights[[0, 2]], full.weights[[0, 2]])
    np.testing.assert_array_equal(stopped.train_loss[:5], full.train_loss[:5])
    assert np.isnan(stopped.train_loss[5:, 1]).all()


def test_starts_may_differ() -> None:
    c = case(epochs=3)
    starts = np.stack([c.weights, -c.weights])
    both = train_packed(
        c.inputs,
        c.targets,
        TRIALS[:2],
        init_weights=starts,
        init_bias=[0.1, 0.2],
        epochs=3,
        batch_size=7,
        seed=3,
    )
    one = train_packed(
        c.inputs,
        c.targets,
        TRIALS[1:2],
        init_weights=-c.weights,
        init_bias=0.2,
        epochs=3,
        batch_size=7,
        seed=3,
    )
    np.testing.assert_array_equal(both.weights[1], one.weights[0])


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_gradient_against_finite_differences(loss: str) -> None:
    """One full-batch SGD step with lr 1 and no schedule's decay is minus the gradient."""
    c = case(loss=loss, epochs=1, batch_size=40)
    result = pack(Case(**{**vars(c), "warmup": 0.0}), [PackedTrial("rewa", lr=1.0)])
    x, t = c.inputs.astype(float), c.targets.astype(float)

    def objective(w: np.ndarray, b: float) -> float:
        z = x @ w + b
        each = (z - t) ** 2 if loss == "squared" else np.logaddexp(0, z) - z * t
        return float(each.mean())

    w, h = c.weights.astype(float), 1e-5
    steps = h * np.eye(len(w))
    slopes = [(objective(w + s, c.bias) - objective(w - s, c.bias)) / (2 * h) for s in steps]
    np.testing.assert_allclose(c.weights - result.weights[0], slopes, rtol=1e-4, atol=1e-6)
    slope = (objective(w, c.bias + h) - objective(w, c.bias - h)) / (2 * h)
    assert c.bias - result.bias[0] == pytest.approx(slope, rel=1e-4)
    assert result.train_loss[0, 0] == pytest.approx(objective(w, c.bias), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"method": "adam"}, "adam"),
        ({"lr": float("nan")}, "lr"),
        ({"momentum": 1.0}, "momentum"),
        ({"K": 3, "M": 2.5}, "M = 2.5"),
        ({"l1": 0.1}, "l1"),
        ({"method": "spred", "K": 2}, "K"),
        ({"method": "sgd_l1", "weight_decay": 0.1}, "weight_decay"),
    ],
)
def test_settings_out_of_range(settings: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        PackedTrial(**{"method": "rewa", "lr": 0.1, **settings})  # type: ignore[arg-type]


def test_wrong_arguments() -> None:
    c = case()
    with pytest.raises(UserError, match="init_weights"):
        pack(Case(**{**vars(c), "weights": c.weights[:-1]}), TRIALS[:1])
    with pytest.raises(UserError, match="inputs"):
        pack(Case(**{**vars(c), "inputs": np.full_like(c.inputs, np.inf)}), TRIALS[:1])
    with pytest.raises(UserError, match="targets 0 and 1"):
        pack(Case(**{**vars(c), "loss": "logistic"}), TRIALS[:1])
    with pytest.raises(UserError, match="at least one"):
        pack(c, [])


def test_numba_waits_for_the_first_training() -> None:
    code = "import sys, rewa, rewa.packed; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
