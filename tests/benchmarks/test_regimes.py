"""The benchmark of regimes: its risks, its selection and tests, and the command end to end at toy size."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from benchmarks import regimes as command
from benchmarks import regimes_tables as tables
from benchmarks.regimes_data import REGIMES, regimes
from benchmarks.regimes_methods import GRIDS, REPAIR, SETTINGS, Fits, fit_all, largest, measures, trial
from rewa.data.synthetic import bayes_log_loss
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.solvers import Penalty, lambda_max
from rewa.theory import growth_threshold
from rewa.workloads.sparse_recovery import SparseRecovery

SMOKE = regimes("smoke")
RUN = [regime for regime in SMOKE if regime.name in ("strong", "weak", "mixed")]
"""What the command runs here: skglm compiles each penalty anew for the log loss, seconds apiece."""


@pytest.fixture(scope="module", autouse=True)
def _three_regimes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "regimes", lambda scale: RUN if scale == "smoke" else regimes(scale))
        yield


@pytest.mark.parametrize("regime", REGIMES, ids=lambda r: r.name)
def test_the_population_excess_risk_is_what_a_large_sample_gives(regime):
    # Arrange: a model near the truth, and paired losses of both on fresh rows
    small = replace(regime, d=40, k=10, n=2, n_val=200_000)
    generator = np.random.default_rng(0)
    weights = small.truth + 0.1 * generator.standard_normal((1, small.d))
    bias = np.array([0.3])
    _, rows = small.draw(3)
    # Act
    exact = small.excess(weights, bias)[0]
    scores = rows.inputs @ np.stack([weights[0], small.truth]).T + np.array([0.3, 0.0])
    y = rows.targets[:, None].astype(float)
    losses = (scores - y) ** 2 if regime.loss == "squared" else np.logaddexp(0, scores) - y * scores
    gaps = losses[:, 0] - losses[:, 1]
    # Assert
    error = gaps.std() / np.sqrt(len(gaps))
    assert abs(exact - gaps.mean()) < 4 * error
    assert exact > 10 * error


@pytest.mark.parametrize("regime", REGIMES, ids=lambda r: r.name)
def test_the_truth_has_no_excess_risk(regime):
    found = regime.excess(regime.truth[None], np.zeros(1))[0]
    assert found == pytest.approx(0, abs=1e-9)


def test_the_zero_model_misses_all_there_is_to_know():
    logistic = next(r for r in REGIMES if r.loss == "logistic")
    zero = logistic.excess(np.zeros((1, logistic.d)), np.zeros(1))[0]
    assert zero == pytest.approx(np.log(2) - bayes_log_loss(np.sqrt(10)), rel=1e-9)


@pytest.mark.parametrize("name", ["strong", "toeplitz", "equicorrelated", "logistic"])
def test_the_data_are_the_workload_s(name):
    regime = next(r for r in SMOKE if r.name == name)
    values = {"d": regime.d, "n": regime.n, "n_val": regime.n_val, "n_test": 2, "k": regime.k}
    values |= {
        "design": regime.design,
        "correlation": regime.correlation,
        "loss": regime.loss,
        "data_seed": 4,
    }
    workload = SparseRecovery.from_values(values, torch.device("cpu"))
    for split, drawn in zip(("train", "val"), regime.draw(4), strict=True):
        np.testing.assert_array_equal(drawn.inputs, workload.splits[split].inputs.numpy())
        np.testing.assert_array_equal(drawn.targets, workload.splits[split].targets.numpy())


def test_every_method_has_the_same_number_of_different_settings():
    for grid in GRIDS.values():
        assert len(grid) == SETTINGS
        assert len({tuple(setting.items()) for setting in grid}) == SETTINGS
    for method in ("rewa", f"rewa{REPAIR}"):
        assert {setting["M"] for setting in GRIDS[method]} >= {0.7, 1, 2, 4}


@pytest.mark.parametrize("M", [2.0, 4.0])
def test_rewa_s_level_is_what_outgrows_the_decay_at_the_start(M):
    regime = REGIMES[0]
    settings = trial("rewa", {"M": M, "level": 0.7}, regime)
    gradient = 2 * 0.7 * regime.level  # the packed squared loss is without a half
    start = growth_threshold(settings.K, M, settings.weight_decay, gradient)
    assert start == pytest.approx(1 / np.sqrt(regime.d))


@pytest.mark.parametrize("loss", ["squared", pytest.param("logistic", marks=pytest.mark.slow)])
def test_the_paths_are_the_methods_own_solutions(loss):
    # Arrange
    regime = next(r for r in SMOKE if r.loss == loss)
    train, _ = regime.draw(1)
    values = {
        "d": regime.d,
        "n": regime.n,
        "n_val": 2,
        "n_test": 2,
        "k": regime.k,
        "loss": loss,
        "data_seed": 1,
    }
    problem = SparseRecovery.from_values(values, torch.device("cpu")).linear_problem()
    top = lambda_max(problem, Penalty("lasso"))
    # Act
    fits = dict(fit_all(regime, train, ["lasso", "adaptive_lasso", "rewa"], 1, 2))
    # Assert: a strength below lambda_max, as a fraction of it
    place = next(i for i, s in enumerate(GRIDS["lasso"]) if s["level"] * regime.level < 0.5 * top)
    fraction = GRIDS["lasso"][place]["level"] * regime.level / top
    own = get_method("lasso").from_values({"lambda_fraction": fraction}).solve(problem, 0)
    np.testing.assert_allclose(fits["lasso"].weights[place], own.weights, atol=1e-5)
    setting = GRIDS["adaptive_lasso"][-3]
    pilot = setting["pilot"] * regime.level / top
    config = {"lambda_fraction": setting["fraction"], "pilot_fraction": pilot}
    own = get_method("adaptive_lasso").from_values(config).solve(problem, 0)
    np.testing.assert_allclose(fits["adaptive_lasso"].weights[-3], own.weights, atol=1e-4)
    assert fits["rewa"].weights.shape == (SETTINGS, regime.d)


def test_measures_of_a_known_model():
    # Arrange: half of the truth, at 80 %, and one false weight; and a diverged fit
    regime = SMOKE[0]
    weights = np.zeros((2, regime.d))
    weights[0, : regime.k // 2] = 0.8
    weights[0, -1] = 0.1
    weights[1] = np.nan
    # Act
    found, lost = measures(regime, regime.draw(1)[1])(Fits(weights, np.array([0.0, np.nan])))
    # Assert
    half = regime.k / 2
    assert found["recall"] == 0.5
    assert found["precision"] == pytest.approx(half / (half + 1))
    assert found["f1"] == pytest.approx(stats.hmean([found["recall"], found["precision"]]), rel=1e-5)
    assert found["bias"] == pytest.approx(0.2)
    assert found["excess"] == pytest.approx(half * 0.04 + half + 0.01)
    assert found["excess_half"] == pytest.approx(half * 0.04 + half)
    assert lost["diverged"]
    assert np.isnan(lost["val"])


def test_pruning_keeps_the_largest():
    pruned = largest(np.array([[3.0, -1.0, 2.0], [0.5, -4.0, 0.1]]), 1)
    np.testing.assert_array_equal(pruned, [[3, 0, 0], [0, -4, 0]])


def _made_up_runs(seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    rows = [(r, m, s, i) for r in ("a", "b") for m in GRIDS for s in range(1, 5) for i in range(SETTINGS)]
    runs = pd.DataFrame(rows, columns=["regime", "method", "seed", "setting"])
    names = ["val", "val_k", "val_half", "excess", "excess_k", "excess_half", "f1", "precision", "recall"]
    for name in [*names, "support_size", "bias", "estimation_error", "seconds"]:
        runs[name] = generator.random(len(runs))
    return runs.assign(diverged=False)


def test_the_choice_depends_on_validation_alone():
    # Arrange: the same validation losses beside permuted results, in another order of rows
    runs = _made_up_runs()
    generator = np.random.default_rng(1)
    other = runs.copy()
    for name in runs.columns.difference(["regime", "method", "seed", "setting", "val", "val_k", "val_half"]):
        other[name] = generator.permutation(other[name])
    other = other.sample(frac=1, random_state=2)
    # Act and assert
    for by in ("val", "val_k", "val_half"):
        mine = tables.choose(runs, by)["setting"].to_list()
        assert mine == tables.choose(other, by)["setting"].to_list()
        lowest = runs.loc[runs.groupby(tables.UNIT)[by].idxmin()].sort_values(tables.UNIT)
        assert mine == lowest["setting"].to_list()


def test_a_diverged_run_is_chosen_last():
    runs = _made_up_runs()
    first = runs["setting"] == 0
    runs.loc[~first, "val"] = np.nan
    assert (tables.choose(runs)["setting"] == 0).all()


@pytest.mark.parametrize("count", [2, 4, 10])
def test_the_paired_test_is_scipy_s(count):
    differences = np.random.default_rng(count).normal(0.5, 1, count)
    ours = tables.paired(differences)
    theirs = stats.permutation_test(
        (differences, np.zeros(count)),
        lambda a, b: np.mean(a - b),
        permutation_type="samples",
        n_resamples=2000,
    )
    assert ours == pytest.approx(theirs.pvalue)


def test_the_paired_test_of_many_pairs_and_of_equal_ones():
    many = np.random.default_rng(0).normal(0.4, 1, 40)
    assert tables.paired(many) == pytest.approx(stats.ttest_1samp(many, 0).pvalue, abs=0.01)
    assert tables.paired(np.zeros(6)) == 1
    assert tables.paired(np.array([np.nan])) == 1


def test_holm_is_scipy_s_step_down_of_bonferroni():
    p = np.array([0.01, 0.04, 0.03, 0.5])
    np.testing.assert_allclose(tables.holm(p), [0.04, 0.09, 0.09, 0.5])


def test_standings_mark_the_best_and_what_the_test_cannot_tell_from_it():
    # Arrange: ten data sets; b is worse than a by the data's noise, c by far
    generator = np.random.default_rng(3)
    base = generator.random(10) + 1
    columns = {"a": base, "b": base * np.exp(generator.normal(0.02, 0.1, 10)), "c": 3 * base}
    columns["d"] = np.where(np.arange(10) < 8, np.nan, 0.1 * base)  # diverged on all but two
    rows = [("r", m, s, values[s]) for m, values in columns.items() for s in range(10)]
    chosen = pd.DataFrame(rows, columns=["regime", "method", "seed", "excess"])
    # Act
    found = tables.compare(chosen, "excess", lower=True).set_index("method")
    # Assert
    assert set(found.loc[["a", "b"], "standing"]) == {"best", "tied"}
    assert set(found.loc[["c", "d"], "standing"]) == {""}
    assert found.loc["c", "p"] <= 3 * 2 / 2**10


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("regimes")
    _run(output)
    return output


def _run(output: Path, *words: str) -> None:
    before = sys.argv
    sys.argv = ["regimes", "--scale", "smoke", "--repeats", "2", "--output", str(output), *words]
    try:
        command.main()
    finally:
        sys.argv = before


@pytest.mark.slow
def test_the_command_writes_everything(smoke):
    runs, table = pd.read_csv(smoke / "runs.csv"), pd.read_csv(smoke / "table.csv")
    assert len(runs) == len(RUN) * 2 * len(GRIDS) * SETTINGS
    assert len(table) == len(RUN) * len(GRIDS)
    assert (table["standing"] == "best").sum() == len(RUN)
    assert (smoke / "regimes.png").read_bytes()[:4] == b"\x89PNG"
    text = (smoke / "README.md").read_text()
    assert text.splitlines()[2].startswith("**ReWA has the lowest error in ")
    assert text.count("\n## ") == len(RUN) + 1


@pytest.mark.slow
def test_a_second_run_repeats_nothing_and_changes_nothing(smoke, monkeypatch):
    before = {name: (smoke / name).read_bytes() for name in ("runs.csv", "table.csv")}
    monkeypatch.setattr(command, "fit_all", lambda *_: pytest.fail("fitted again"))
    _run(smoke)
    assert before == {name: (smoke / name).read_bytes() for name in before}


@pytest.mark.slow
def test_only_what_is_missing_is_run(smoke, tmp_path, monkeypatch):
    # Arrange: one method of one data set is missing
    runs = pd.read_csv(smoke / "runs.csv")
    missing = (runs["regime"] == "weak") & (runs["seed"] == 2) & (runs["method"] == "rewa")
    (tmp_path / "recipe.json").write_bytes((smoke / "recipe.json").read_bytes())
    runs[~missing].to_csv(tmp_path / "runs.csv", index=False)
    asked = []
    real = command.fit_all

    def recorded(regime, train, methods, seed, epochs):
        asked.append((regime.name, seed, list(methods)))
        return real(regime, train, methods, seed, epochs)

    monkeypatch.setattr(command, "fit_all", recorded)
    # Act
    again = command.Study(tmp_path, "smoke").run([1, 2])
    # Assert: only that one, and to the same values, whatever else was in its pack
    assert asked == [("weak", 2, ["rewa"])]
    keys = ["regime", "method", "seed", "setting"]
    both = [frame.sort_values(keys).drop(columns="seconds").reset_index(drop=True) for frame in (runs, again)]
    pd.testing.assert_frame_equal(*both, check_dtype=False)


@pytest.mark.slow
def test_another_recipe_is_refused(smoke):
    with pytest.raises(UserError, match="another recipe"):
        command.Study(smoke, "full")
