"""A batch of problems equals its problems one by one."""

from __future__ import annotations

import numpy as np
import pytest
from unpacked import Case, by_torch, case

from rewa.errors import UserError
from rewa.packed import PackedTrial, train_batch_of_problems, train_packed

SETTINGS = [
    PackedTrial("rewa", lr=0.1, K=3, M=1, weight_decay=1e-2),
    PackedTrial("rewa", lr=0.1, momentum=0.5, K=2.5, M=1.5, epsilon=1e-3),
    PackedTrial("sgd_l1", lr=0.05, l1=0.05),
    PackedTrial("spred", lr=0.05, weight_decay=0.05),
    PackedTrial("rewa", lr=0.05, weight_decay=1e-2),
]
P, N, D = 3, 24, 33


def problems() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    c = case(n=P * N, d=D)
    return c.inputs.reshape(P, N, D), c.targets.reshape(P, N), c.weights


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_equals_full_batch_trainings(loss: str) -> None:
    inputs, targets, start = problems()
    targets = targets if loss == "squared" else (targets > 0).astype(np.float32)
    result = train_batch_of_problems(
        inputs,
        targets,
        SETTINGS,
        init_weights=start,
        init_bias=0.1,
        steps=80,
        warmup=0.1,
        loss=loss,  # type: ignore[arg-type]
        intercept=True,
    )
    assert result.weights.shape == (P, len(SETTINGS), D)
    assert not result.diverged_step.any()
    for p in range(P):
        one = Case(inputs[p], targets[p], start, 0.1, epochs=80, batch_size=N, loss=loss)
        for s, trial in enumerate(SETTINGS):
            weights, bias, losses = by_torch(one, trial)
            jumps = trial.lr * trial.l1  # at zero the subgradient amplifies rounding
            np.testing.assert_allclose(result.weights[p, s], weights, rtol=1e-4, atol=5e-6 + jumps)
            np.testing.assert_allclose(result.bias[p, s], bias, rtol=1e-4, atol=5e-6 + jumps)
            np.testing.assert_allclose(result.train_loss[p, s], np.mean(losses), rtol=1e-3)


def test_counts_settings_and_starts_of_each_problem() -> None:
    inputs, targets, start = problems()
    counts = [24, 11, 6]
    nested = [SETTINGS[p : p + 2] for p in range(P)]
    starts = np.stack([start * (p + 1) for p in range(P)])[:, None]
    shared = {"steps": 50, "factors": np.linspace(1, 0.1, 50)}
    result = train_batch_of_problems(
        inputs, targets, nested, init_weights=starts, counts=counts, workers=3, **shared
    )
    for p, m in enumerate(counts):
        one = train_batch_of_problems(
            inputs[p : p + 1, :m], targets[p : p + 1, :m], nested[p], init_weights=starts[p], **shared
        )
        np.testing.assert_array_equal(result.weights[p], one.weights[0])
    np.testing.assert_array_equal(result.bias, 0.0)


def test_more_settings_than_one_call_takes() -> None:
    inputs, targets, start = problems()
    many = [PackedTrial("rewa", lr=0.001 * (i + 1), K=2, M=1) for i in range(150)]
    result = train_batch_of_problems(inputs, targets, many, init_weights=start, steps=5)
    few = train_batch_of_problems(inputs, targets, many[77:78], init_weights=start, steps=5)
    np.testing.assert_array_equal(result.weights[:, 77], few.weights[:, 0])


def test_divergence_is_isolated() -> None:
    inputs, targets, start = problems()
    wild = PackedTrial("rewa", lr=1e3)
    calm = train_batch_of_problems(inputs, targets, SETTINGS, init_weights=start, steps=100)
    mixed = train_batch_of_problems(inputs, targets, [wild, *SETTINGS], init_weights=start, steps=100)
    assert (mixed.diverged_step[:, 0] > 0).all()
    assert not mixed.diverged_step[:, 1:].any()
    assert np.isnan(mixed.weights[:, 0]).all()
    assert np.isnan(mixed.train_loss[:, 0]).all()
    np.testing.assert_array_equal(mixed.weights[:, 1:], calm.weights)


def test_same_as_a_pack_where_both_apply() -> None:
    inputs, targets, start = problems()
    problem = train_batch_of_problems(
        inputs[:1], targets[:1], SETTINGS, init_weights=start, steps=30, intercept=True
    )
    pack = train_packed(
        inputs[0], targets[0], SETTINGS, init_weights=start, init_bias=0.0, epochs=30, batch_size=N, seed=0
    )
    np.testing.assert_allclose(problem.weights[0], pack.weights, rtol=1e-4, atol=1e-2)


def test_wrong_arguments() -> None:
    inputs, targets, start = problems()
    with pytest.raises(UserError, match="counts"):
        train_batch_of_problems(inputs, targets, SETTINGS, init_weights=start, steps=5, counts=[1, 2, 25])
    with pytest.raises(UserError, match="per problem"):
        train_batch_of_problems(inputs, targets, [SETTINGS, SETTINGS], init_weights=start, steps=5)
    with pytest.raises(UserError, match="factors"):
        train_batch_of_problems(inputs, targets, SETTINGS, init_weights=start, steps=5, factors=[1.0, 2.0])
