"""Phase transitions: what counts as recovery, what selection sees, resuming, and the command."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import phase_cells, phase_transition
from benchmarks.phase_cells import (
    DECAYS,
    FRACTIONS,
    THRESHOLD,
    Problems,
    Sweep,
    choose,
    draw_problems,
    evaluate,
    exact,
    fit_all,
    top_k,
)
from benchmarks.phase_maps import NAMES, chance_of_right_signs, draw, half_at, signs_right, wainwright
from rewa.errors import UserError

TINY = Sweep(d=12, samples=(10, 16), supports=(1, 3), repeats=2, starts=2, steps=50)


@pytest.fixture(scope="module")
def problems() -> Problems:
    return draw_problems(TINY, n=16, k=3)


@pytest.fixture(scope="module")
def paths(problems):
    return fit_all(problems.inputs, problems.targets, problems.starts, TINY.steps)


def test_problems_are_those_of_the_description(problems):
    assert problems.inputs.shape == problems.val_inputs.shape == (2, 16, 12)
    np.testing.assert_array_equal(np.abs(problems.truth), np.repeat([[1.0] * 3 + [0.0] * 9], 2, axis=0))
    for x, y in ((problems.inputs, problems.targets), (problems.val_inputs, problems.val_targets)):
        noise = y - np.einsum("pnd,pd->pn", x, problems.truth)
        assert 0.07 < noise.std() < 0.13
    assert np.abs(problems.starts).max() <= 12**-0.5
    assert not np.array_equal(problems.inputs[0], problems.inputs[1])
    assert not np.array_equal(problems.inputs, problems.val_inputs)


def test_a_repeat_does_not_depend_on_how_many_there_are(problems):
    more = draw_problems(Sweep(d=12, repeats=3, starts=2), n=16, k=3)
    np.testing.assert_array_equal(more.inputs[:2], problems.inputs)
    np.testing.assert_array_equal(more.truth[:2], problems.truth)
    np.testing.assert_array_equal(more.starts[:2], problems.starts)


def test_every_method_gives_a_path_per_try(paths):
    settings = {"rewa_all_starts": 2 * len(DECAYS), "lasso": 30, "l0_5": 30}
    assert list(paths) == list(NAMES)
    for method, weights in paths.items():
        tries = 2 if method == "rewa_one_start" else 1
        assert weights.shape == (2, tries, settings.get(method, len(DECAYS)), 12)
    np.testing.assert_array_equal(paths["rewa_all_starts"][:, 0], paths["rewa_one_start"].reshape(2, -1, 12))


def test_solvers_solve_the_problem_without_intercept(problems, paths):
    """LASSO's optimality conditions, on the data as they are: not centred, not mirrored."""
    x, y = problems.inputs[0].astype(float), problems.targets[0]
    top = np.abs(x.T @ y).max() / len(y)
    for fraction, w in list(zip(FRACTIONS["lasso"], paths["lasso"][0, 0], strict=True))[5:15]:
        slope = x.T @ (y - x @ w) / len(y)
        inside = w != 0
        np.testing.assert_allclose(slope[inside], fraction * top * np.sign(w[inside]), atol=1e-5 * top)
        assert (np.abs(slope[~inside]) <= fraction * top * (1 + 1e-6)).all()


def test_cells_count_what_sets_say(problems, paths):
    """The counts of a cell against a loop over sets."""
    for weights in (*paths.values(), _planted(problems)):
        counts = dict.fromkeys(("trials", "selected_top_k", "selected_exact", "best_top_k", "best_exact"), 0)
        for p in range(2):
            truth = {j for j in range(12) if problems.truth[p, j] != 0}
            for path in weights[p]:
                errors, tops, exacts = [], [], []
                for w in path:
                    errors.append(sum((problems.val_targets[p] - problems.val_inputs[p] @ w) ** 2))
                    order = sorted(range(12), key=lambda j: -abs(w[j]))
                    tied = abs(w[order[2]]) == abs(w[order[3]])
                    tops.append(set(order[:3]) == truth and not tied)
                    exacts.append({j for j in range(12) if abs(w[j]) > THRESHOLD} == truth)
                chosen = errors.index(min(errors))
                counts["trials"] += 1
                counts["selected_top_k"] += tops[chosen]
                counts["selected_exact"] += exacts[chosen]
                counts["best_top_k"] += any(tops)
                counts["best_exact"] += any(exacts)
        assert evaluate(weights, problems) == counts


def _planted(problems: Problems) -> np.ndarray:
    """The truth, the truth with a small false weight, with a large one, shrunk to nothing, and nothing."""
    path = np.repeat(problems.truth[:, None, None], 5, axis=2)
    path[:, :, 1, 5] = 0.01
    path[:, :, 2, 5] = 2.0
    path[:, :, 3] *= THRESHOLD / 2
    path[:, :, 4] = 0
    return path


def test_the_two_readings_of_recovery(problems):
    weights, truth = _planted(problems)[0, 0], problems.truth[0]
    assert exact(weights, truth).tolist() == [True, False, False, False, False]
    assert top_k(weights, truth).tolist() == [True, True, False, True, False]


def test_diverged_settings_are_neither_chosen_nor_count(problems):
    path = np.full((2, 1, 3, 12), np.nan)
    path[:, :, 1] = 0.0
    assert choose(path[0, 0], problems.val_inputs[0], problems.val_targets[0]) == 1
    assert evaluate(path, problems) == {"trials": 2} | dict.fromkeys(
        ("selected_top_k", "selected_exact", "best_top_k", "best_exact"), 0
    )


def test_neither_fits_nor_selection_see_the_truth(problems, paths):
    assert "truth" not in inspect.signature(fit_all).parameters
    assert "truth" not in inspect.signature(choose).parameters
    # with noise for targets in validation, the choice follows the validation targets, not the support
    path = _planted(problems)[0, 0]
    rotated = np.roll(problems.truth[0], 6)
    path[4] = rotated
    assert choose(path, problems.val_inputs[0], problems.val_inputs[0] @ rotated) == 4


def test_wainwrights_curve():
    assert wainwright(10, 200) == pytest.approx(20 * np.log(190) + 11)  # 115.94
    assert wainwright([1, 2], 200) == pytest.approx([2 * np.log(199) + 2, 4 * np.log(198) + 3])


def test_chance_of_right_signs_is_that_of_draws():
    n, k, generator = 200, 40, np.random.default_rng(0)
    right = []
    for _ in range(1000):
        x = generator.standard_normal((n, k))
        right.append(((x.T @ (x.sum(1) + 0.1 * generator.standard_normal(n))) > 0).all())
    assert signs_right(n, k, 0.1) == pytest.approx(np.mean(right), abs=0.06)


def test_chance_of_a_right_start():
    assert chance_of_right_signs([1, 3], 1) == pytest.approx([0.5, 0.125])
    assert chance_of_right_signs(2, 4) == pytest.approx(1 - 0.75**4)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.0, 0.25, 0.75, 1.0], 30.0),
        ([0.6, 0.4, 0.6, 1.0], 30.0),  # from the last n that is below one half
        ([0.5, 1.0, 1.0, 1.0], -np.inf),
        ([0.0, 0.0, 1.0, 0.4], np.inf),
    ],
)
def test_half_recovered_from(shares, expected):
    at = half_at(pd.Series(shares, index=[10, 20, 40, 60]))
    assert at == pytest.approx(expected)


@pytest.fixture
def counted(monkeypatch) -> list[tuple[int, int]]:
    """The cells that are evaluated, as (n, k)."""
    seen = []

    def evaluate_cell(sweep, n, k):
        seen.append((n, k))
        if len(seen) == 3 and sweep.seed == 1:
            raise KeyboardInterrupt
        return phase_cells.evaluate_cell(sweep, n, k)

    monkeypatch.setattr(phase_transition, "evaluate_cell", evaluate_cell)
    return seen


def test_finished_cells_are_kept_and_not_repeated(tmp_path, counted):
    sweep = Sweep(d=12, samples=(10, 16), supports=(1, 3), repeats=1, starts=1, steps=20, seed=1)
    with pytest.raises(KeyboardInterrupt):
        phase_transition.run(sweep, tmp_path / "stopped")
    assert len(pd.read_csv(tmp_path / "stopped" / "cells.csv")) == 2 * len(NAMES)
    resumed, before = phase_transition.run(sweep, tmp_path / "stopped")
    assert (before, len(counted)) == (2, 5)
    whole, _ = phase_transition.run(sweep, tmp_path / "whole")
    assert len(counted) == 9
    pd.testing.assert_frame_equal(resumed.drop(columns="cell_seconds"), whole.drop(columns="cell_seconds"))
    phase_transition.run(sweep, tmp_path / "whole")
    assert len(counted) == 9


def test_a_directory_holds_one_sweep(tmp_path):
    (tmp_path / "sweep.json").write_text(TINY.recipe)
    with pytest.raises(UserError, match="another sweep"):
        phase_transition.run(Sweep(), tmp_path)
    with pytest.raises(UserError, match="--repeats"):
        Sweep.at("smoke", 0, 0)


def test_the_command(tmp_path, monkeypatch, capsys):
    output: Path = tmp_path / "out"
    arguments = ["--scale", "smoke", "--output", str(output), "--json", str(tmp_path / "figures.json")]
    monkeypatch.setattr(sys, "argv", ["phase_transition", *arguments])
    phase_transition.main()
    table = pd.read_csv(output / "cells.csv")
    sweep = Sweep.at("smoke", None, 0)
    assert len(table) == len(sweep.samples) * len(sweep.supports) * len(NAMES)
    assert (output / "phase_transition.png").read_bytes().startswith(b"\x89PNG")
    page = (output / "README.md").read_text()
    assert "0 of 6 were there before" in page
    assert phase_transition.halves_table(table, sweep.starts) in page
    assert len(json.loads((tmp_path / "figures.json").read_text())["figures"]) == len(table)
    assert "figure, findings" in capsys.readouterr().out


def test_maps_without_any_recovery_are_drawn():
    grid = [(method, n, k) for method in NAMES for k in (1, 2) for n in (10, 20)]
    table = pd.DataFrame(grid, columns=["method", "n", "k"]).assign(
        trials=2, selected_top_k=0, selected_exact=0, best_top_k=0, best_exact=0
    )
    assert len(draw(table, 12, 0.1, 2).subfigs) == 2
