"""`rewa calibrate`: planted relations are found, noise is refused, budgets are what trainings do."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from synthetic import DOWN, META, RATIOS, UP, Record, error_sweep, make_record
from torch import nn

from analysis.calibration.figure import calibration_figure
from analysis.calibration.fit import FEWEST, Calibration, calibrate
from analysis.calibration.isotonic import centred_isotonic, intervals
from analysis.calibration.reached import lossless_compression, reached_table, recorded_schedule_sum
from analysis.calibration.settings import nearest_confirmed, suggestion, trained_setting
from analysis.calibration.wording import notes, sentences, sparsity
from analysis.summary import summarise
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.metric import ACCURACY
from rewa.theory import weight_decay_for_budget
from rewa.workloads import get_workload

Floats = npt.NDArray[np.float64]


def planted(decays: Sequence[float], knees: Sequence[float], lrs: Sequence[float] | None = None) -> Record:
    """Trials of rewa with given penalties whose accuracy is lost around given compressions."""

    def accuracy(ratio: float, trial: int, seed: int) -> float:
        return 0.95 - 0.18 * (ratio / knees[trial]) ** 2 if ratio < knees[trial] else 0.3

    record = make_record({"rewa": accuracy}, trials=len(decays), seeds=())
    rates = [0.1] * len(decays) if lrs is None else lrs
    for table in (record.runs, record.frontier):
        number = table["trial"].str[-4:].astype(int)
        table["weight_decay"] = number.map(lambda i: float(decays[i]))
        table["lr"] = number.map(lambda i: float(rates[i]))
    return record


def confirmed(record: Record, trials: Sequence[int], gain: float = 0.0) -> Record:
    """Some trials, again on three seeds; their test values are `gain` better and spread a little."""
    again = []
    for seed in (1, 2, 3):
        rows = record.frontier[record.frontier["trial"].isin([f"rewa-{i:04d}" for i in trials])]
        shift = np.where(rows["split"] == "test", gain + 0.001 * seed, 0.0)
        again.append(rows.assign(phase="confirm", seed=seed, metric=rows["metric"] + shift))
    import pandas as pd

    return replace(record, frontier=pd.concat([record.frontier, *again], ignore_index=True))


def grid(count: int, low: float = 1e-4, high: float = 1e-2) -> list[float]:
    return list(np.geomspace(low, high, count))


@given(
    values=st.lists(st.integers(0, 360).map(lambda hits: hits / 360), min_size=2, max_size=10),
    allowed=st.integers(0, 30).map(lambda points: points / 100),
    ratio=st.floats(1.1, 5.0),
)
def test_lossless_compression_against_a_walk(values: list[float], allowed: float, ratio: float) -> None:
    ratios = [ratio**i for i in range(len(values))]
    found, at_least = lossless_compression(np.array(ratios), np.array(values), ACCURACY, allowed)
    bound = values[0] - allowed
    within = [i for i, value in enumerate(values) if value >= bound - 1e-8]
    last = max(within)
    assert at_least == (last == len(values) - 1)
    if at_least:
        assert found == pytest.approx(ratios[-1])
        return
    steps = np.linspace(0.0, 1.0, 2001)
    here, there = values[last], values[last + 1]
    line = here + steps * (there - here)
    furthest = steps[line >= bound - 1e-8].max()
    assert math.log(found / ratios[last], ratio) == pytest.approx(furthest, abs=2e-3)


def test_both_directions_and_missing_values() -> None:
    ratios = np.array([1.0, 10.0, 100.0, 1000.0])
    up = np.array([1.5, 1.5, 1.2, math.nan])
    assert lossless_compression(ratios, up, UP, 0.1) == pytest.approx(
        lossless_compression(ratios, 2.0 - up, DOWN, 0.1)
    )
    assert lossless_compression(ratios, up, UP, 0.5) == pytest.approx((100.0, False))
    assert lossless_compression(ratios, up, UP, 0.15)[0] == pytest.approx(math.sqrt(1000.0))


@given(
    st.lists(st.tuples(st.integers(0, 12), st.floats(-3, 3)), min_size=1, max_size=30),
    st.booleans(),
)
def test_the_curve_has_the_steps_of_isotonic_regression(
    points: list[tuple[int, float]], rising: bool
) -> None:
    x, y = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    curve = centred_isotonic(x, y, rising)
    fit = IsotonicRegression(increasing=rising).fit(x, y).predict(x)
    assert (np.diff(curve.x) > 0).all()
    assert (np.diff(curve.y) * (1 if rising else -1) > -1e-9).all()
    for centre, level in zip(curve.x, curve.y, strict=True):
        members = x[np.abs(fit - level) < 1e-7]
        assert len(members)
        if (np.abs(curve.y - level) < 1e-6).sum() == 1:
            assert centre == pytest.approx(members.mean())


def test_intervals_equal_a_bootstrap_by_hand() -> None:
    rng = np.random.default_rng(5)
    x = rng.uniform(0, 1, 25)
    y = 2 * x + 0.2 * rng.standard_normal(25)
    low, high = intervals(x, y, True, np.array([1.0]))
    read = []
    for _ in range(1500):
        rows = rng.integers(0, 25, 25)
        fit = IsotonicRegression().fit(x[rows], y[rows])
        level = fit.predict(x[rows])
        centres = sorted((x[rows][level == one].mean(), one) for one in set(level))
        read.append(
            np.interp(1.0, [one for _, one in centres], [c for c, _ in centres], left=x.min(), right=x.max())
        )
    assert low[0] == pytest.approx(np.quantile(read, 0.025), abs=0.03)
    assert high[0] == pytest.approx(np.quantile(read, 0.975), abs=0.03)


def test_a_planted_relation_is_found_and_its_interval_holds_it() -> None:
    held = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        decays = np.exp(rng.uniform(math.log(1e-4), math.log(1e-2), 40))
        knees = 1e5 * decays * np.exp(0.3 * rng.standard_normal(40))  # reached = KNEE * 1e5 * decay
        found = calibrate(summarise(planted(decays, knees)), "rewa", [50.0], by="weight_decay")
        (one,) = found.placed
        truth = 50.0 / (1e5 * math.sqrt(0.01 / 0.18))
        assert one.value == pytest.approx(truth, rel=0.6)
        held.append(one.low <= truth <= one.high)
    assert sum(held) >= 3


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(8)
    held = 0
    for _ in range(25):
        x = rng.uniform(0, 1, 30)
        low, high = intervals(x, 3 * x + 0.4 * rng.standard_normal(30), True, np.array([1.5]))
        held += bool(low[0] <= 0.5 <= high[0])
    assert held >= 20


def test_noise_is_refused() -> None:
    rng = np.random.default_rng(11)
    accepted = 0
    for _ in range(10):
        knees = np.exp(rng.uniform(1, 6, 20))
        found = calibrate(summarise(planted(grid(20), knees)), "rewa", [10.0], by="weight_decay")
        accepted += not found.reason
        if found.reason:
            assert found.placed == ()
            said = sentences(found)[0]
            assert re.search(r"too weak.* alone would give in \d+\.?\d* % of the cases", said)
    assert accepted <= 1


def test_too_few_and_no_trials_are_refused() -> None:
    few = calibrate(summarise(planted(grid(FEWEST - 1), np.geomspace(3, 900, FEWEST - 1))), "rewa", [10.0])
    assert f"only {FEWEST - 1} trials" in few.reason
    with pytest.raises(UserError, match="has no penalty setting that varied"):
        calibrate(summarise(make_record({"rewa": lambda *_: 0.9}, trials=1)), "rewa", [10.0])
    with pytest.raises(
        UserError, match=r"--by K: did not vary among the trials of rewa; these did: .*weight_decay"
    ):
        calibrate(summarise(planted(grid(9), grid(9, 3, 900))), "rewa", [10.0], by="K")
    with pytest.raises(UserError, match="--method lasso: the sweep 'digits' has"):
        calibrate(summarise(planted(grid(9), grid(9, 3, 900))), "lasso", [10.0])


def rising_sweep(**changes: Any) -> Calibration:
    found = planted(grid(20), grid(20, 8, 4000))
    return calibrate(summarise(found), "rewa", [1.2, 10.0, 100.0, 5000.0], **changes)


def test_targets_out_of_range_have_no_value() -> None:
    low, ten, hundred, high = rising_sweep().placed
    assert "less was not tried" in low.reason
    assert "more was not reached" in high.reason
    assert math.isnan(low.value)
    assert math.isnan(high.value)
    assert 0 < ten.value < hundred.value
    assert ten.low <= ten.value <= ten.high


def test_bad_trials_are_shown_and_not_fitted() -> None:
    record = planted(grid(20), grid(20, 8, 4000))
    runs = record.runs.copy()
    runs.loc[runs["trial"] == "rewa-0003", "status"] = "diverged"
    runs.loc[runs["trial"] == "rewa-0004", "status"] = "failed"
    frontier = record.frontier[~record.frontier["trial"].isin(["rewa-0003", "rewa-0004"])].copy()
    frontier.loc[frontier["trial"] == "rewa-0005", "metric"] = 0.03  # chance is 0
    changed = replace(record, runs=runs, frontier=frontier)
    found = calibrate(summarise(changed), "rewa", [100.0])
    assert found.table["state"].value_counts().to_dict() == {
        "fitted": 17,
        "diverged": 1,
        "failed": 1,
        "at chance": 1,
    }
    assert len(found.fitted) == 17
    assert "1 diverged, 1 failed and 1 at chance" in notes(found)[0]
    assert found.fitted["reached"].notna().all()


def test_the_knob_that_decides_tells_more() -> None:
    rng = np.random.default_rng(2)
    lrs = np.exp(rng.uniform(math.log(0.01), math.log(1), 40))
    decays = np.exp(rng.uniform(math.log(1e-4), math.log(1e-2), 40))
    found = calibrate(summarise(planted(decays, 2e5 * lrs * decays + 4, lrs)), "rewa", [20.0])
    assert found.by == "decay_budget"
    rho = {one.knob: one.rho for one in found.correlations}
    assert rho["decay_budget"] > 0.98 > rho["weight_decay"]
    by_lambda = calibrate(
        summarise(planted(decays, 2e5 * lrs * decays + 4, lrs)), "rewa", [20.0], by="weight_decay"
    )
    assert any("decay_budget tells more" in sentence for sentence in sentences(by_lambda))


def test_the_order_of_trials_does_not_matter() -> None:
    record = planted(grid(20), grid(20, 8, 4000))
    shuffled = replace(
        record,
        runs=record.runs.sample(frac=1.0, random_state=1),
        frontier=record.frontier.sample(frac=1.0, random_state=2),
    )
    one, other = (calibrate(summarise(r), "rewa", [50.0]) for r in (record, shuffled))
    assert one.placed[0].value == pytest.approx(other.placed[0].value)


def test_a_penalty_of_the_calibrated_budget_is_the_theorys() -> None:
    record = confirmed(planted(grid(20), grid(20, 8, 4000)), [3])
    found = calibrate(summarise(record), "rewa", [100.0])
    (one,) = found.placed
    base = nearest_confirmed(found, one)
    assert base is not None
    assert base.trial == "rewa-0003"
    new = suggestion(found, one, base)
    total = recorded_schedule_sum(record.meta)
    assert new is not None
    assert total is not None
    row = base.row
    exact = weight_decay_for_budget(row["K"], one.value, row["lr"], row["momentum"], total)
    assert (new.changed, new.value) == ("weight_decay", pytest.approx(exact, rel=5e-3))
    assert f"weight_decay={new.value!r}" in new.command
    config = {name: row[name] for name in ("lr", "momentum", "K", "M")}
    drawn = get_method("rewa").from_values({**config, "weight_decay": exact}).budget(total)
    assert drawn == pytest.approx(one.value)
    same = suggestion(found, replace(one, value=base.knob), base)
    assert same is None


def test_the_trained_setting_is_the_best_on_validation_near_the_target() -> None:
    record = planted(grid(20), grid(20, 8, 4000))
    bonus = {"rewa-0009": 0.01, "rewa-0011": 0.02, "rewa-0000": 0.03}
    record.frontier["metric"] += record.frontier["trial"].map(bonus).fillna(0.0)
    summary = summarise(confirmed(record, [11], gain=0.005))
    found = calibrate(summary, "rewa", [33.0])
    table, _ = reached_table(summary, "rewa", 1.0)
    near = table[(table["reached"] >= 16.5) & (table["reached"] <= 66.0)]["trial"]
    at = record.frontier[
        (record.frontier["value"] == 33)
        & (record.frontier["split"] == "val")
        & (record.frontier["criterion"] == "ratio")
        & record.frontier["trial"].isin(near)
    ]
    best = at.loc[at["metric"].idxmax(), "trial"]
    setting = trained_setting(found, 33.0)
    assert setting is not None
    assert setting.near == len(near)
    assert setting.trial == best
    assert setting.row["phase"] == ("confirm" if best == "rewa-0011" else "search")


def test_trials_that_all_stayed_at_chance_are_told_as_such() -> None:
    record = planted(grid(20), grid(20, 8, 4000))
    record.frontier["metric"] = 0.0
    with pytest.raises(UserError, match="no search trial of rewa in 'digits' completed above chance"):
        calibrate(summarise(record), "rewa", [10.0])


def test_test_values_choose_no_setting() -> None:
    record = planted(grid(20), grid(20, 8, 4000))
    scrambled = record.frontier.copy()
    test = scrambled["split"] == "test"
    scrambled.loc[test, "metric"] = np.random.default_rng(0).uniform(size=int(test.sum()))
    one, other = (
        calibrate(summarise(r), "rewa", [50.0]) for r in (record, replace(record, frontier=scrambled))
    )
    assert one.placed == other.placed
    first, second = trained_setting(one, 50.0), trained_setting(other, 50.0)
    assert first is not None
    assert second is not None
    assert first.trial == second.trial


def test_errors_and_solvers_have_their_own_penalty() -> None:
    summary = summarise(error_sweep())
    with pytest.raises(UserError, match="lasso has no penalty setting that varied"):
        calibrate(summary, "lasso", [100.0])
    found = calibrate(summary, "rewa", [100.0])
    assert found.reason  # three trials
    assert "% of the way" not in found.reason


def test_the_figure_shows_every_trial() -> None:
    record = planted(grid(20), grid(20, 8, 4000))
    record.runs.loc[record.runs["trial"] == "rewa-0003", "status"] = "diverged"
    found = calibrate(summarise(record), "rewa", [100.0])
    axes = calibration_figure(found).axes[0]
    assert sorted(len(group.get_offsets()) for group in axes.collections) == [1, 19]


def test_sparsity_is_written_in_percent() -> None:
    assert [sparsity(ratio) for ratio in (10.0, 100.0, 1000.0, 2.0)] == ["90 %", "99 %", "99.9 %", "50 %"]


def test_the_schedules_sum_needs_no_data() -> None:
    workload = get_workload("digits").from_values({"epochs": 7, "batch_size": 100}, torch.device("cpu"))
    described = {
        "name": "digits",
        "train_size": workload.split_sizes["train"],
        **workload.config.model_dump(),
    }
    assert recorded_schedule_sum({"workload": described}) == pytest.approx(workload.schedule_sum)
    imagenet = {
        "name": "imagenet",
        "epochs": 88,
        "batch_size": 512,
        "warmup": 2 / 88,
        "train_size": 512 * 100 + 9,
    }
    assert recorded_schedule_sum({"workload": imagenet}) == pytest.approx(88 * 100 / 2, rel=1e-3)
    assert recorded_schedule_sum({"workload": {"name": "digits"}}) is None
    assert recorded_schedule_sum({"workload": {**described, "name": "of:Mine"}}) is None
    assert recorded_schedule_sum({"workload": META["workload"]}) is not None


@pytest.mark.parametrize(
    ("method", "config"),
    [
        ("rewa", {"lr": 0.05, "K": 5, "M": 1.5, "weight_decay": 0.001, "momentum": 0.9}),
        ("rewa_adamw", {"lr": 0.002, "K": 3, "M": 0, "weight_decay": 0.2}),
        ("spred", {"lr": 0.05, "weight_decay": 0.01, "momentum": 0.8}),
        ("magnitude", {"lr": 0.05, "weight_decay": 0.002, "momentum": 0.9}),
        ("random", {"lr": 0.05, "weight_decay": 0.02, "momentum": 0.0}),
        ("sgd_l1", {"lr": 0.01, "l1": 0.001, "momentum": 0.9}),
    ],
)
def test_a_budget_is_what_a_weight_without_gradient_loses(method: str, config: dict[str, Any]) -> None:
    """Real steps of the method's optimizer, with a loss that is 0 everywhere."""
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double() if method not in ("rewa", "rewa_adamw") else nn.Linear(4, 3)
    nn.init.uniform_(model.weight, 0.3, 0.9)
    made = get_method(method).from_values(config)
    before = model.weight.detach().clone()
    optimizer = made.prepare(model)  # type: ignore[attr-defined]
    steps = 1000
    for _ in range(steps):
        optimizer.zero_grad()
        (model.weight.sum() * 0.0 + model.bias.sum() * 0.0).backward()
        optimizer.step()
    made.materialise(model)  # type: ignore[attr-defined]
    budget = made.budget(steps)
    assert budget is not None
    if made.budget_name == "l1_budget":
        moved = (before - model.weight.detach()).mean().item()
        assert moved == pytest.approx(budget, rel=0.02)
    else:
        shrunk = torch.log(before / model.weight.detach()).mean().item()
        assert shrunk == pytest.approx(budget, rel=0.02)
    assert get_method(method).from_values({**config, made.penalty_setting: 0.0}).budget(steps) == 0.0


@pytest.mark.parametrize("method", ["lasso", "adaptive_lasso", "l0_5", "mcp"])
def test_solvers_have_a_penalty_and_no_budget(method: str) -> None:
    solver = get_method(method).from_values({"lambda_fraction": 0.1})
    assert solver.penalty_setting == "lambda_fraction"
    assert solver.budget(10.0) is None


def test_ratios_of_the_records_are_the_planted_ones() -> None:
    """The helper: a trial loses one point at sqrt(1/18) of its knee, up to the grid of targets."""
    table, knobs = reached_table(summarise(planted(grid(5), [20, 80, 200, 600, 2000])), "rewa", 1.0)
    expected = np.array([20, 80, 200, 600, 2000]) * math.sqrt(0.01 / 0.18)
    assert knobs.penalty == "weight_decay"
    for reached, true in zip(table["reached"], expected, strict=True):
        grid_point = max(ratio for ratio in RATIOS if ratio <= true)
        following = min(ratio for ratio in RATIOS if ratio > true)
        assert grid_point <= reached <= following
