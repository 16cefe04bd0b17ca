"""The direct solvers against scikit-learn, closed forms, brute force and the optimality conditions."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn import linear_model
from sklearn.metrics import log_loss
from sklearn.model_selection import KFold, StratifiedKFold

from rewa.errors import UserError
from rewa.linear import LinearLoss, LinearProblem, LinearSolution
from rewa.methods import REGISTRY, Solver, get_method
from rewa.solvers import Penalty, PenaltyName, fit_path, lambda_max, solution_path

Array = NDArray[np.float64]

SOLVERS = [name for name in REGISTRY if issubclass(get_method(name), Solver)]
PENALTIES: list[PenaltyName] = ["lasso", "l2_3", "l0_5", "mcp", "scad"]
LOSSES: list[LinearLoss] = ["squared", "logistic"]


def penalty_value(name: str, w: Array, strength: float) -> Array:
    """Return strength * penalty per weight, written from the papers."""
    size = np.abs(w)
    if name == "lasso":
        return strength * size
    if name == "l2_3":
        return strength * size ** (2 / 3)
    if name == "l0_5":
        return strength * np.sqrt(size)
    if name == "mcp":
        flat = np.full_like(size, 3 * strength**2 / 2)
        return np.where(size < 3 * strength, strength * size - size**2 / 6, flat)
    a = 3.7
    bend = (2 * a * strength * size - size**2 - strength**2) / (2 * (a - 1))
    flat = np.full_like(size, strength**2 * (a + 1) / 2)
    return np.where(size <= strength, strength * size, np.where(size <= a * strength, bend, flat))


def penalty_slope(name: str, w: Array, strength: float) -> Array:
    """Return the derivative at weights that are not zero."""
    size, sign = np.abs(w), np.sign(w)
    slopes = {
        "lasso": np.full_like(size, strength),
        "l2_3": strength * 2 / 3 * size ** (-1 / 3),
        "l0_5": strength / 2 * size**-0.5,
        "mcp": np.maximum(strength - size / 3, 0),
        "scad": np.where(size <= strength, strength, np.maximum(3.7 * strength - size, 0) / 2.7),
    }
    return sign * slopes[name]


def loss_gradient(problem: LinearProblem, weights: Array, intercept: float) -> tuple[Array, float]:
    """Return the loss's gradients in weights and intercept, on the original features."""
    scores = problem.inputs @ weights + intercept
    if problem.loss == "squared":
        slopes = scores - problem.targets
    else:
        slopes = -problem.targets / (1 + np.exp(problem.targets * scores))
    return problem.inputs.T @ slopes / len(slopes), float(slopes.mean())


def curvatures(problem: LinearProblem) -> Array:
    variance = problem.inputs.var(axis=0)
    return variance if problem.loss == "squared" else variance / 4


def make(loss: LinearLoss, n: int = 120, d: int = 30, seed: int = 0, shift: float = 1.5) -> LinearProblem:
    """Return a problem with correlated features of different sizes and means, and four true weights."""
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((n, d)) + 0.5 * rng.standard_normal((n, 1))
    inputs = np.asfortranarray(inputs * rng.uniform(0.7, 1.5, d) + rng.standard_normal(d))
    truth = np.zeros(d)
    truth[: min(4, d)] = [2.0, -1.5, 1.0, -0.7][: min(4, d)]
    scores = (inputs - inputs.mean(axis=0)) @ truth
    if loss == "squared":
        return LinearProblem(inputs, scores + shift + rng.standard_normal(n), loss)
    targets = np.where(scores + 0.5 + 2 * rng.logistic(size=n) > 0, 1.0, -1.0)
    return LinearProblem(inputs, targets, loss)


def orthonormal(targets: list[float], seed: int = 0) -> LinearProblem:
    """Return a problem with X'X/n = 1 and mean-free features, whose least squares weights are the targets."""
    rng = np.random.default_rng(seed)
    n, d = 40, len(targets)
    raw = np.column_stack([np.ones(n), rng.standard_normal((n, d))])
    inputs = np.asfortranarray(np.linalg.qr(raw)[0][:, 1:] * np.sqrt(n))
    return LinearProblem(inputs, inputs @ np.array(targets) + 3.0, "squared")


def solve(name: str, problem: LinearProblem, seed: int = 0, **values: Any) -> LinearSolution:
    method = get_method(name).from_values(values)
    assert isinstance(method, Solver)
    return method.solve(problem, seed)


@pytest.fixture(params=SOLVERS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


# What every registered solver promises.


def test_the_solvers_are_registered() -> None:
    assert {"lasso", "adaptive_lasso", "l0_5", "l2_3", "mcp", "scad"} <= set(SOLVERS)


@pytest.mark.slow
@pytest.mark.parametrize("loss", LOSSES)
def test_no_settings_are_needed_and_the_strong_features_are_found(
    name: str, loss: LinearLoss, capfd: pytest.CaptureFixture[str]
) -> None:
    problem = make(loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = solve(name, problem)
    assert solution.weights.shape == (30,)
    assert solution.weights.dtype == np.float64
    assert solution.weights[0] > 0 > solution.weights[1]
    assert solution.chosen["converged"] == 1
    assert solution.chosen["iterations"] >= 1
    assert all(isinstance(value, float) for value in solution.chosen.values())
    assert capfd.readouterr() == ("", "")


def test_the_problem_is_not_changed_and_the_solution_repeats(name: str) -> None:
    problem = make("squared")
    inputs, targets = problem.inputs.copy(), problem.targets.copy()
    first, again = solve(name, problem, seed=3), solve(name, problem, seed=3)
    assert np.array_equal(problem.inputs, inputs)
    assert np.array_equal(problem.targets, targets)
    assert np.array_equal(first.weights, again.weights)
    assert (first.intercept, first.chosen) == (again.intercept, again.chosen)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_fraction_of_one_gives_zero_weights(name: str, loss: LinearLoss) -> None:
    problem = make(loss)
    solution = solve(name, problem, lambda_fraction=1)
    if name == "adaptive_lasso":
        assert solution.chosen["pilot_nonzeros"] > 0
    assert not solution.weights.any()
    assert loss_gradient(problem, solution.weights, solution.intercept)[1] == pytest.approx(0, abs=1e-12)


def test_the_intercept_follows_the_targets(name: str) -> None:
    problem = make("squared")
    base = solve(name, problem, lambda_fraction=0.2)
    shifted = LinearProblem(problem.inputs, problem.targets + 1000, "squared")
    moved = solve(name, shifted, lambda_fraction=0.2)
    np.testing.assert_allclose(moved.weights, base.weights, atol=1e-6)
    assert moved.intercept == pytest.approx(base.intercept + 1000)
    residual = problem.targets - problem.inputs @ base.weights - base.intercept
    assert residual.mean() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("factor", [1e-3, -1e4])
def test_a_fraction_means_the_same_for_targets_in_another_unit(name: str, factor: float) -> None:
    problem = make("squared")
    base = solve(name, problem, lambda_fraction=0.2)
    scaled = solve(
        name, LinearProblem(problem.inputs, problem.targets * factor, "squared"), lambda_fraction=0.2
    )
    np.testing.assert_allclose(scaled.weights, base.weights * factor, atol=1e-5 * abs(factor))
    assert np.array_equal(scaled.weights != 0, base.weights != 0)


@pytest.mark.parametrize("value", [0, 2, -0.1, float("nan"), float("inf"), "x"])
def test_a_wrong_fraction_is_named(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"method '{name}': lambda_fraction = "):
        get_method(name).from_values({"lambda_fraction": value})


def test_constant_targets_and_features_are_harmless(name: str) -> None:
    problem = make("squared")
    flat = LinearProblem(problem.inputs, np.full(120, 7.0), "squared")
    solution = solve(name, flat)
    assert not solution.weights.any()
    assert solution.intercept == 7
    inputs = problem.inputs.copy(order="F")
    inputs[:, 0] = 0.1  # its mean is not exactly 0.1
    solution = solve(name, LinearProblem(inputs, problem.targets, "squared"), lambda_fraction=0.05)
    assert solution.weights[0] == 0
    assert np.isfinite(solution.weights).all()
    assert solution.weights.any()


def test_one_feature(name: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 1))
    solution = solve(name, LinearProblem(np.asfortranarray(x), 2 * x[:, 0], "squared"), lambda_fraction=0.05)
    assert solution.weights[0] == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("bad", ["inputs", "targets"])
def test_data_that_are_not_finite_are_refused(name: str, bad: str) -> None:
    problem = make("squared")
    getattr(problem, bad)[5] = np.nan
    with pytest.raises(UserError, match="not finite"):
        solve(name, problem, lambda_fraction=0.5)


def test_one_class_is_refused(name: str) -> None:
    problem = make("logistic")
    with pytest.raises(UserError, match="both classes"):
        solve(name, LinearProblem(problem.inputs, np.ones(120), "logistic"), lambda_fraction=0.5)


def test_a_missing_skglm_is_one_sentence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "rewa.solvers.kernels", raising=False)
    for module in [key for key in sys.modules if key.split(".")[0] == "skglm"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "skglm", None)
    with pytest.raises(UserError, match=r"need the package skglm: pip install skglm") as error:
        solve(name, make("squared"), lambda_fraction=0.5)
    assert "\n" not in str(error.value)


# Optimality.


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("fraction", [0.6, 0.2, 0.05])
def test_the_optimality_conditions_hold(penalty: PenaltyName, loss: LinearLoss, fraction: float) -> None:
    """Weights that are not zero are stationary; a zero weight's best own value, by brute force, is zero."""
    problem = make(loss)
    fractions = np.geomspace(1, fraction, 6)[1:]
    point = fit_path(problem, Penalty(penalty), fractions)[-1]
    gradient, mean = loss_gradient(problem, point.weights, point.intercept)
    assert point.converged
    assert mean == pytest.approx(0, abs=2e-6)
    kept = point.weights != 0
    slope = penalty_slope(penalty, point.weights[kept], point.strength)
    np.testing.assert_allclose(gradient[kept], -slope, atol=5e-6)
    assert kept[:2].all()
    # The solver centres the features; with the intercept optimal that leaves the gradient as it is.
    curvature = curvatures(problem)[~kept]
    if penalty in ("lasso", "mcp", "scad"):
        assert (np.abs(gradient[~kept]) <= point.strength + 5e-6).all()
    else:
        grid = np.linspace(-3, 3, 60001)
        for g, c in zip(gradient[~kept], curvature, strict=True):
            best = grid[np.argmin(g * grid + c * grid**2 / 2 + penalty_value(penalty, grid, point.strength))]
            assert best == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("size", [1.0, 0.01, 100.0])
def test_lambda_max_is_where_the_first_weight_enters(
    penalty: PenaltyName, loss: LinearLoss, size: float
) -> None:
    """Just above, zero solves; just below, it does not. Also for features of tiny or large curvature."""
    base = make(loss)
    problem = LinearProblem(np.asfortranarray(base.inputs * size), base.targets, loss)
    above, below = fit_path(problem, Penalty(penalty), [1.0, 1 - 1e-4])
    assert not above.weights.any()
    assert below.weights.any()
    top = lambda_max(problem, Penalty(penalty))
    assert above.strength == pytest.approx(top)
    null = 0.0
    if loss == "logistic":
        share = np.mean(problem.targets > 0)
        null = float(np.log(share / (1 - share)))
    else:
        null = float(problem.targets.mean())
    gradient, _ = loss_gradient(problem, np.zeros(30), null)
    if penalty in ("lasso", "mcp", "scad"):
        assert top == pytest.approx(np.abs(gradient).max())
        return
    lowest = {}
    for factor in (0.999, 1.001):
        values = []
        for g, c in zip(gradient, curvatures(problem), strict=True):
            grid = np.linspace(0, 2 * abs(g) / c, 4001)[1:]
            values.append(
                np.min(-abs(g) * grid + c * grid**2 / 2 + penalty_value(penalty, grid, factor * top))
            )
        lowest[factor] = min(values)
    assert lowest[0.999] < 0 < lowest[1.001]


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_zero_band_is_the_inverse_of_the_entry_strength(penalty: PenaltyName) -> None:
    rng = np.random.default_rng(0)
    curvature, gradient = rng.uniform(0.01, 5, 50), rng.uniform(0.01, 5, 50)
    entry = Penalty(penalty).entry_strength(gradient, curvature)
    back = [Penalty(penalty).zero_band(s, curvature[i : i + 1])[0] for i, s in enumerate(entry)]
    np.testing.assert_allclose(back, gradient)


TARGETS = [3.0, -2.0, 1.0, 0.4, -0.1, 0.0]


def closed_form(penalty: str, z: Array, s: float) -> Array:
    """Return the minimiser of (w - z)^2 / 2 + penalty: soft, firm (MCP, gamma 3), SCAD (3.7) thresholding."""
    soft = np.sign(z) * np.maximum(np.abs(z) - s, 0)
    if penalty == "lasso":
        return soft
    if penalty == "mcp":
        return np.where(np.abs(z) <= 3 * s, soft / (1 - 1 / 3), z)
    bent = ((3.7 - 1) * z - np.sign(z) * 3.7 * s) / (3.7 - 2)
    return np.where(np.abs(z) <= 2 * s, soft, np.where(np.abs(z) <= 3.7 * s, bent, z))


@pytest.mark.parametrize("penalty", ["lasso", "mcp", "scad"])
@pytest.mark.parametrize("fraction", [0.9, 0.5, 0.3, 0.1])
def test_orthonormal_features_threshold_as_in_closed_form(penalty: PenaltyName, fraction: float) -> None:
    problem = orthonormal(TARGETS)
    point = fit_path(problem, Penalty(penalty), [fraction])[-1]
    assert point.strength == pytest.approx(3 * fraction)
    np.testing.assert_allclose(
        point.weights, closed_form(penalty, np.array(TARGETS), point.strength), atol=2e-6
    )
    assert point.intercept == pytest.approx(3.0)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("fraction", [0.7, 0.3, 0.1, 0.003])
def test_orthonormal_features_reach_the_global_minimum(penalty: PenaltyName, fraction: float) -> None:
    """The minimum separates, and each part is found on a grid of 1e-4."""
    problem = orthonormal(TARGETS)
    point = fit_path(problem, Penalty(penalty), [fraction])[-1]
    grid = np.linspace(-4, 4, 80001)
    for z, w in zip(TARGETS, point.weights, strict=True):
        values = (grid - z) ** 2 / 2 + penalty_value(penalty, grid, point.strength)
        own = (w - z) ** 2 / 2 + penalty_value(penalty, np.array([w]), point.strength)[0]
        assert own <= values.min() + 1e-9
        assert w == pytest.approx(grid[np.argmin(values)], abs=2e-4)


@pytest.mark.parametrize("penalty", PENALTIES)
def test_two_correlated_features_are_minimal(penalty: PenaltyName) -> None:
    """In the whole plane, or for the quasi-norms along both axes: their paths can keep a local minimum."""
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((60, 2))
    inputs[:, 1] += 0.4 * inputs[:, 0]
    targets = inputs @ [1.5, -0.8] + 0.3 * rng.standard_normal(60)
    problem = LinearProblem(np.asfortranarray(inputs), targets, "squared")
    x, y = inputs - inputs.mean(axis=0), targets - targets.mean()
    axis = np.linspace(-2, 2, 801)
    first, second = np.meshgrid(axis, axis, indexing="ij")
    gram, cross = x.T @ x / 60, x.T @ y / 60
    loss = (gram[0, 0] * first**2 + gram[1, 1] * second**2) / 2 + gram[0, 1] * first * second
    loss = loss - cross[0] * first - cross[1] * second
    for point in fit_path(problem, Penalty(penalty), np.geomspace(1, 0.05, 11)[1:]):
        values = loss + penalty_value(penalty, first, point.strength)
        values = values + penalty_value(penalty, second, point.strength)
        own = point.weights @ gram @ point.weights / 2 - cross @ point.weights
        own += penalty_value(penalty, point.weights, point.strength).sum()
        if penalty in ("l0_5", "l2_3"):
            i, j = (int(np.argmin(np.abs(axis - w))) for w in point.weights)
            values = np.concatenate([values[i], values[:, j]])
            own -= 1e-4  # the lines through the nearest grid point, at most 0.0025 away
        assert own <= values.min() + 1e-6


def test_large_weights_keep_their_precision_under_two_thirds() -> None:
    """skglm's closed form loses ten digits where the penalty is small; stationary to 1e-9 here."""
    problem = orthonormal([100.0, 1.0])
    point = fit_path(problem, Penalty("l2_3"), [1e-5])[-1]
    gradient, _ = loss_gradient(problem, point.weights, point.intercept)
    np.testing.assert_allclose(-gradient, penalty_slope("l2_3", point.weights, point.strength), atol=2e-9)


# The lasso.


@pytest.mark.parametrize("fraction", [0.5, 0.1, 0.01])
@pytest.mark.parametrize("d", [30, 300])
def test_the_lasso_is_scikit_learns(fraction: float, d: int) -> None:
    problem = make("squared", d=d)
    solution = solve("lasso", problem, lambda_fraction=fraction)
    assert "lambda_fraction" not in solution.chosen
    x = problem.inputs - problem.inputs.mean(axis=0)
    strength = fraction * np.abs(x.T @ (problem.targets - problem.targets.mean())).max() / 120
    assert solution.chosen["lambda"] == pytest.approx(strength)
    other = linear_model.Lasso(alpha=strength, tol=1e-12, max_iter=100_000)
    other.fit(problem.inputs, problem.targets)
    np.testing.assert_allclose(solution.weights, other.coef_, atol=1e-5)
    assert solution.intercept == pytest.approx(other.intercept_, abs=1e-5)


def test_the_lassos_choice_is_lassocvs() -> None:
    problem = make("squared")
    solution = solve("lasso", problem, seed=4)
    fraction = solution.chosen["lambda_fraction"]
    top = solution.chosen["lambda"] / fraction
    other = linear_model.LassoCV(
        alphas=top * np.geomspace(1, 0.02 if fraction > 0.02 else 0.001, 40 if fraction > 0.02 else 100),
        cv=KFold(5, shuffle=True, random_state=4),
        tol=1e-8,
    ).fit(problem.inputs, problem.targets)
    assert solution.chosen["lambda"] == pytest.approx(other.alpha_)
    np.testing.assert_allclose(solution.weights, other.coef_, atol=1e-5)
    assert solution.chosen["folds_converged"] == 1
    given = solve("lasso", problem, lambda_fraction=fraction)
    np.testing.assert_allclose(given.weights, solution.weights, atol=1e-9)


def test_the_seed_decides_the_folds() -> None:
    problem = make("squared", n=40)
    assert len({solve("lasso", problem, seed=seed).chosen["lambda_fraction"] for seed in range(6)}) > 1


def test_without_noise_the_grid_reaches_further_down() -> None:
    problem = make("squared")
    truth = np.zeros(30)
    truth[:3] = 1
    clean = LinearProblem(problem.inputs, problem.inputs @ truth, "squared")
    assert solve("lasso", clean).chosen["lambda_fraction"] < 0.02


def test_few_samples_are_refused() -> None:
    with pytest.raises(UserError, match=r"cross-validation needs 10 samples.*set lambda_fraction"):
        solve("lasso", make("squared", n=9))


@pytest.mark.parametrize("penalty", ["lasso"])
def test_the_logistic_lasso_is_the_constrained_smooth_optimum(penalty: PenaltyName) -> None:
    """With w = p - q, p, q >= 0, the lasso is smooth: scipy's L-BFGS-B solves it without any of our code."""
    problem = make("logistic", d=8)
    point = fit_path(problem, Penalty(penalty), [0.1])[-1]

    def objective(z: Array) -> tuple[float, Array]:
        weights = z[:8] - z[8:16]
        scores = problem.inputs @ weights + z[16]
        gradient, mean = loss_gradient(problem, weights, z[16])
        value = np.logaddexp(0, -problem.targets * scores).mean() + point.strength * z[:16].sum()
        slope = np.concatenate([gradient + point.strength, -gradient + point.strength, [mean]])
        return float(value), slope

    bounds = [(0, None)] * 16 + [(None, None)]
    options = {"maxiter": 20_000, "maxfun": 50_000, "ftol": 1e-16, "gtol": 1e-10}
    best = minimize(objective, np.zeros(17), jac=True, bounds=bounds, method="L-BFGS-B", options=options)
    own = np.logaddexp(0, -problem.targets * (problem.inputs @ point.weights + point.intercept)).mean()
    assert own + point.strength * np.abs(point.weights).sum() <= best.fun + 1e-10
    np.testing.assert_allclose(point.weights, best.x[:8] - best.x[8:16], atol=1e-4)


def test_the_logistic_choice_is_the_least_held_out_loss_of_scikit_learns_fits() -> None:
    """The same folds and penalties with scikit-learn's saga, whose C is 1 / (n lambda)."""
    problem = make("logistic", n=150, d=10)
    solution = solve("lasso", problem, seed=2)
    fraction, top = solution.chosen["lambda_fraction"], solution.chosen["lambda"]
    top /= fraction
    strengths = top * np.geomspace(1, 0.02, 40)
    losses = np.zeros(40)
    folds = StratifiedKFold(5, shuffle=True, random_state=2)
    for fit, held in folds.split(problem.inputs, problem.targets):
        for i, strength in enumerate(strengths):
            other = linear_model.LogisticRegression(
                l1_ratio=1,
                C=1 / (len(fit) * strength),
                solver="saga",
                tol=1e-9,
                max_iter=50_000,
                random_state=0,
            ).fit(problem.inputs[fit], problem.targets[fit])
            losses[i] += log_loss(problem.targets[held], other.predict_proba(problem.inputs[held]))
    assert fraction == pytest.approx(strengths[np.argmin(losses)] / top)


# The adaptive lasso.


@pytest.mark.parametrize("gamma", [0.5, 1, 2])
def test_the_adaptive_lasso_is_scikit_learns_on_scaled_features(gamma: float) -> None:
    problem = make("squared")
    solution = solve("adaptive_lasso", problem, gamma=gamma, lambda_fraction=0.1, pilot_fraction=0.05)
    pilot = solve("lasso", problem, lambda_fraction=0.05).weights
    scale = np.abs(pilot) ** gamma
    scaled = problem.inputs * scale
    centred = scaled - scaled.mean(axis=0)
    strength = 0.1 * np.abs(centred.T @ (problem.targets - problem.targets.mean())).max() / 120
    other = linear_model.Lasso(alpha=strength, tol=1e-12, max_iter=100_000).fit(scaled, problem.targets)
    np.testing.assert_allclose(solution.weights, other.coef_ * scale, atol=1e-5)
    assert solution.chosen["lambda"] == pytest.approx(strength, rel=1e-5)
    assert solution.chosen["pilot_nonzeros"] == np.count_nonzero(pilot)


def test_an_empty_pilot_gives_zero_weights() -> None:
    solution = solve("adaptive_lasso", make("squared"), pilot_fraction=1)
    assert not solution.weights.any()
    assert solution.chosen["pilot_nonzeros"] == 0


# Paths and settings.


def test_the_path_beats_a_cold_start() -> None:
    """Over 20 problems, the objective at the end of a path is lower on average than from zero."""
    differences = []
    for seed in range(20):
        problem = make("squared", n=40, d=60, seed=seed)
        ends = [fit_path(problem, Penalty("mcp"), np.geomspace(1, 0.1, k + 1)[1:])[-1] for k in (1, 20)]
        cold, warm = (
            ((problem.targets - problem.inputs @ p.weights - p.intercept) ** 2).mean() / 2
            + penalty_value("mcp", p.weights, p.strength).sum()
            for p in ends
        )
        differences.append(warm - cold)
    assert np.mean(differences) < 0


@pytest.mark.parametrize("penalty", PENALTIES)
def test_solution_path_has_a_row_per_fraction(penalty: PenaltyName) -> None:
    problem = make("squared")
    weights = solution_path(problem, penalty, [1.0, 0.5, 0.1])
    assert weights.shape == (3, 30)
    assert not weights[0].any()
    points = fit_path(problem, Penalty(penalty), [1.0, 0.5, 0.1])
    assert all(np.array_equal(row, p.weights) for row, p in zip(weights, points, strict=True))


def test_a_method_is_the_end_of_its_path() -> None:
    problem = make("squared")
    solution = solve("l0_5", problem, lambda_fraction=0.05, path=4)
    weights = solution_path(problem, "l0_5", np.geomspace(1, 0.05, 5)[1:])
    assert np.array_equal(solution.weights, weights[-1])


@pytest.mark.parametrize("fractions", [[], [0.5, 0.5], [0.1, 0.5], [1.5], [0.5, 0.0], [float("nan")]])
def test_wrong_fractions_are_refused(fractions: list[float]) -> None:
    with pytest.raises(UserError, match="decreasing"):
        solution_path(make("squared"), "lasso", fractions)


def test_gamma_reaches_the_penalty() -> None:
    problem = orthonormal([3.0])
    for name, firm in (("mcp", 1.0), ("scad", 2.0)):
        with pytest.raises(UserError, match=f"method '{name}': gamma = "):
            get_method(name).from_values({"gamma": firm})
        with pytest.raises(UserError, match="gamma"):
            solution_path(problem, name, [0.5], gamma=firm)  # type: ignore[arg-type]
    assert solve("mcp", problem, lambda_fraction=0.5, gamma=4).weights[0] == pytest.approx(1.5 / (1 - 1 / 4))
    assert solve("scad", problem, lambda_fraction=0.4, gamma=4).weights[0] == pytest.approx((9 - 4.8) / 2)


def test_an_unknown_penalty_is_corrected() -> None:
    with pytest.raises(UserError, match=r"unknown penalty 'lass'.*did you mean 'lasso'"):
        solution_path(make("squared"), "lass", [0.5])  # type: ignore[arg-type]


@pytest.mark.parametrize("path", [0, 1.5, -1])
def test_a_wrong_path_is_named(path: float) -> None:
    with pytest.raises(UserError, match="method 'mcp': path = "):
        get_method("mcp").from_values({"path": path})


def test_a_fraction_next_to_one_on_a_long_path() -> None:
    assert not solve("mcp", make("squared"), lambda_fraction=1 - 2e-16, path=1000).weights[5:].any()


def test_listing_the_methods_does_not_import_the_solvers_libraries() -> None:
    import subprocess

    code = (
        "import sys; from rewa.methods import REGISTRY, get_method; [get_method(n) for n in REGISTRY]; "
        "print([m for m in ('skglm', 'numba', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
