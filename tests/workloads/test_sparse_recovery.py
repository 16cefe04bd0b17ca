from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, log_loss, mean_squared_error, precision_score, recall_score
from torch import nn

from rewa.errors import UserError
from rewa.linear import LinearSolution
from rewa.methods import get_method
from rewa.training import fit
from rewa.workloads.sparse_recovery import PAPER_THRESHOLDS, SparseRecovery, support_scores

CPU = torch.device("cpu")
SMALL = {"d": 60, "n": 200, "n_val": 300, "n_test": 400, "epochs": 3}


def make(**values: Any) -> SparseRecovery:
    workload = SparseRecovery.from_values({**SMALL, **values}, CPU)
    assert isinstance(workload, SparseRecovery)
    return workload


def with_weights(workload: SparseRecovery, weights: np.ndarray, intercept: float = 0.0) -> nn.Module:
    model = workload.build_model()
    workload.load_solution(model, LinearSolution(weights, intercept, {}))
    return model.eval()


def test_the_defaults_are_the_papers() -> None:
    config = SparseRecovery.Config()
    wanted = {"d": 10_000, "n": 2_000, "k": 1, "amplitude": 1, "noise": 1, "batch_size": 25, "epochs": 800}
    assert {key: getattr(config, key) for key in wanted} == wanted
    assert (config.loss, config.design, config.warmup) == ("squared", "independent", 0)
    metric = SparseRecovery.metric_for(config)
    assert (metric.name, metric.direction, metric.chance, metric.ideal) == ("mse", "min", 2.0, 1.0)
    assert SparseRecovery.ratios_for(config)[-4:] == (1000, 2000, 5000, 10000)
    papers = {"lr": 2e-4, "K": 9, "M": 4, "epsilon": 0.0, "weight_decay": 0.25, "momentum": 0.0}
    assert SparseRecovery.method_defaults["rewa"] == papers


@pytest.mark.parametrize("method", list(SparseRecovery.method_defaults))
def test_default_settings_are_valid(method: str) -> None:
    get_method(method).from_values(SparseRecovery.method_defaults[method])


def test_the_initial_weights_are_pytorchs() -> None:
    torch.manual_seed(4)
    model = make().build_model()
    torch.manual_seed(4)
    assert torch.equal(model.weight, nn.Linear(60, 1).weight)  # type: ignore[arg-type]
    assert model.weight.abs().max() <= 1 / math.sqrt(60)  # type: ignore[operator]


def test_targets_are_the_truth_plus_noise() -> None:
    workload = make(k=3, amplitude=2.0, noise=0.0, signs="random")
    assert sorted(np.abs(workload.truth).tolist())[-4:] == [0, 2, 2, 2]
    for data in workload.splits.values():
        expected = data.inputs.double() @ torch.from_numpy(workload.truth)
        torch.testing.assert_close(data.targets.double(), expected, atol=1e-5, rtol=0)


def test_splits_are_different_draws_and_do_not_depend_on_each_other() -> None:
    workload, other = make(), make(n=500, n_test=10)
    train, val, test = (workload.splits[name].inputs for name in ("train", "val", "test"))
    assert not torch.equal(train[:100], val[:100])
    assert not torch.equal(val[:100], test[:100])
    assert torch.equal(other.splits["val"].inputs, val)
    assert not torch.equal(make(data_seed=1).splits["val"].inputs, val)


def test_the_metric_is_scikit_learns_mean_squared_error() -> None:
    workload = make(k=2)
    weights = np.random.default_rng(0).standard_normal(60)
    model = with_weights(workload, weights, 0.3)
    data = workload.splits["val"]
    expected = mean_squared_error(data.targets.numpy(), data.inputs.double().numpy() @ weights + 0.3)
    assert workload.evaluate(model, "val") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("design", "correlation"), [("independent", 0.0), ("toeplitz", 0.8)])
def test_chance_and_ideal_are_what_the_mean_and_the_truth_reach(design: str, correlation: float) -> None:
    """On 20,000 test samples: predicting 0, and predicting with the truth."""
    workload = make(k=4, noise=0.7, design=design, correlation=correlation, n_test=20_000)
    nothing = workload.evaluate(with_weights(workload, np.zeros(60)), "test")
    truth = workload.evaluate(with_weights(workload, workload.truth), "test")
    assert nothing == pytest.approx(workload.metric.chance, rel=0.05)  # 5 standard errors
    assert truth == pytest.approx(workload.metric.ideal, rel=0.05)


def test_chance_and_ideal_of_the_logistic_variant() -> None:
    workload = make(loss="logistic", k=2, noise=0.5, n_test=20_000)
    nothing = workload.evaluate(with_weights(workload, np.zeros(60)), "test")
    truth = workload.evaluate(with_weights(workload, workload.target_weights), "test")
    assert workload.metric.name == "log_loss"
    assert nothing == pytest.approx(math.log(2), rel=1e-5) == workload.metric.chance
    assert truth == pytest.approx(workload.metric.ideal, abs=0.02)


def test_log_loss_and_accuracy_against_scikit_learn() -> None:
    workload = make(loss="logistic", k=2)
    weights = np.random.default_rng(0).standard_normal(60)
    model = with_weights(workload, weights, 0.3)
    data = workload.splits["test"]
    scores = data.inputs.double().numpy() @ weights + 0.3
    labels = data.targets.numpy()
    found = workload.findings(model)
    assert found["test_log_loss"] == pytest.approx(log_loss(labels, 1 / (1 + np.exp(-scores))), rel=1e-5)
    assert found["test_accuracy"] == ((scores > 0) == labels).mean()
    assert "test_mse" not in found


def test_solvers_get_classes_of_minus_one_and_one() -> None:
    workload = make(loss="logistic", k=2, n=5000, d=5, noise=0.5)
    problem = workload.linear_problem()
    assert set(problem.targets) == {-1.0, 1.0}
    assert problem.inputs.flags.f_contiguous
    fitted = LogisticRegression(C=np.inf).fit(problem.inputs, problem.targets).coef_[0]
    np.testing.assert_allclose(fitted, workload.target_weights, atol=0.3)


def test_findings_against_scikit_learn() -> None:
    workload = make(k=3)
    weights = np.zeros(60)
    weights[[0, 1, 30, 31]] = [0.9, -0.002, 0.0005, 2e-7]
    weights[40] = -5.0
    found = workload.findings(with_weights(workload, weights))
    predicted, wanted = np.abs(weights) > 1e-3, workload.truth != 0
    assert found["support_precision"] == precision_score(wanted, predicted) == 2 / 3
    assert found["support_recall"] == recall_score(wanted, predicted) == 2 / 3
    assert found["support_f1"] == pytest.approx(f1_score(wanted, predicted))
    assert found["support_size"] == 3
    assert found["estimation_error"] == pytest.approx(math.dist(weights, workload.truth), rel=1e-6)
    sparsity = found["sparsity"]
    assert isinstance(sparsity, dict)
    assert list(sparsity) == ["1e-07", "5e-07", "1e-06", "5e-06", "1e-05", "0.0001", "0.001"]
    for key, share in sparsity.items():
        assert share == pytest.approx(sum(abs(w) <= float(key) for w in weights) / 60)


def test_an_empty_estimate_has_no_precision_and_no_recall() -> None:
    scores = support_scores(np.zeros(4), np.array([1.0, 0, 0, 0]), 1e-3)
    assert scores == dict.fromkeys(("support_precision", "support_recall", "support_f1", "support_size"), 0)


def test_the_frontier_has_the_papers_thresholds_and_the_truths_compression() -> None:
    workload = make(d=1000, k=7)
    assert 142 in workload.ratios  # 1000 // 7: 7 weights are kept
    assert 142 in workload.headline_ratios
    assert max(workload.ratios) == 1000
    result = fit(workload, get_method("sgd_l1").from_values({"lr": 1e-3}), 0)
    val = [p for p in result.frontier if p.split == "val"]
    assert [p.value for p in val if p.criterion == "threshold"] == list(PAPER_THRESHOLDS)
    assert [p.value for p in val if p.criterion == "ratio"] == list(workload.ratios)
    kept = next(p for p in val if p.value == 142 and p.criterion == "ratio")
    assert kept.compression == pytest.approx(1000 / 7)


def test_only_some_epochs_are_evaluated_and_the_last_one_is() -> None:
    result = fit(make(epochs=7, eval_every=3), get_method("sgd_l1").from_values({"lr": 1e-3}), 0)
    assert [epoch.epoch for epoch in result.history] == [3, 6, 7]


def test_a_model_at_chance_is_no_collapse_here() -> None:
    """Predicting the mean is a legitimate, perfectly sparse answer."""
    strong = get_method("sgd_l1").from_values({"lr": 1e-2, "l1": 100.0, "momentum": 0.0})
    assert fit(make(epochs=40, eval_every=1), strong, 0).status == "completed"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"k": 61}, "k = 61 non-zero entries do not fit into d = 60"),
        ({"loss": "logistic", "noise": 0}, "needs noise > 0"),
        ({"correlation": 0.5}, "correlation = 0.5 has no meaning with design = 'independent'"),
        ({"design": "toeplitz", "correlation": 1.0}, "correlation = 1.0"),
        ({"design": "banded"}, "design = 'banded'"),
        ({"kk": 3}, r"'kk'.*did you mean 'k'"),
        ({"d": 0}, "d = 0"),
    ],
)
def test_contradictions_are_named(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make(**values)


@pytest.mark.slow
def test_rewa_recovers_the_support_from_a_good_start_only() -> None:
    """The paper's K = 9, M = 4 on a small problem: a weight that starts on the wrong side stays lost.

    With |y|^M the gradient vanishes at zero faster than the decay, so the signal grows only from
    |y|^(M-1) > lambda / 2 on the right side (see rewa.theory); SGD-L1 has no such barrier.
    """
    workload = make(d=60, n=500, epochs=300, batch_size=50, noise=0.3)
    method = get_method("rewa").from_values(
        {"lr": 0.01, "K": 9, "M": 4, "weight_decay": 0.25, "momentum": 0.0}
    )
    outcome = {}
    for seed in range(6):
        torch.manual_seed(seed)
        start = float(workload.build_model().weight.detach()[0, 0])  # type: ignore[index]
        found = fit(workload, method, seed).findings
        outcome[seed] = (start > (0.25 / 2) ** (9 / 3), found["support_recall"] == 1)
        assert found["support_size"] == found["support_recall"]
    assert {expected for expected, _ in outcome.values()} == {True, False}
    assert all(expected == recovered for expected, recovered in outcome.values()), outcome
