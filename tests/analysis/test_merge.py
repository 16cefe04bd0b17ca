"""Merging sweeps is pooling their records; what they share counts once; different searches are refused."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import META, RATIOS, Record, decay, frontier_rows, make_record, run_row

from analysis import figures, report
from analysis.caveats import caveats
from analysis.chosen import in_use
from analysis.merge import merge
from analysis.report import main, write_report
from analysis.summary import summarise
from rewa.errors import UserError

SPACE: dict[str, Any] = {
    "name": "digits",
    "workload": {"name": "digits", "epochs": 40},
    "objective": {"criterion": "ratio", "max_compression": 500.0, "reference": 0.8},
    "trials": 24,
    "seed": 0,
    "confirm": {"settings": 3, "seeds": 3},
    "resources": {"cpu": 1.0},
    "methods": {
        name: {"sample": {"lr": {"log_uniform": [0.01, 1.0]}}, "fixed": {"momentum": 0.9}, "known": []}
        for name in ("rewa", "sgd_l1")
    },
}
METHODS = ("rewa", "sgd_l1")


@pytest.fixture(autouse=True)
def _no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "png", lambda figure, dpi=0: b"\x89PNG")


def sweep(
    name: str,
    *,
    trials: int = 3,
    seeds: Sequence[int] = (1, 2, 3),
    seed: int = 0,
    salt: int = 0,
    other_settings: bool = False,
    **space: Any,
) -> Record:
    """A sweep of two methods; with another seed its search, with `other_settings` its configs are others."""
    methods = {name: decay(300.0 - 60.0 * salt, salt=10 * salt + i) for i, name in enumerate(METHODS)}
    meta = {
        **META,
        "methods": list(methods),
        "trials_per_method": trials,
        "search_seed": seed,
        "confirm_seeds": list(seeds),
        "space": {**copy.deepcopy(SPACE), "name": name, "seed": seed, "trials": trials, **space},
    }
    record = make_record(methods, trials=trials, seeds=seeds, meta=meta)
    tables = []
    for table in (record.runs, record.frontier):
        moved = table.assign(sweep=name, seed=table["seed"].where(table["phase"] != "search", seed))
        moved = moved.sort_values(["phase", "method", "trial", "seed"], kind="stable", ignore_index=True)
        tables.append(moved.assign(lr=moved["lr"] * (1.0 + 0.1 * salt)) if other_settings else moved)
    return replace(record, name=name, runs=tables[0], frontier=tables[1])


def pooled_by_hand(*records: Record) -> list[dict[str, Any]]:
    """All operating points, their trials named after their sweep."""
    rows = []
    for record in records:
        for row in record.frontier.to_dict("records"):
            rows.append({**row, "trial": f"{record.name}/{row['trial']}"})
    return rows


def best_by_hand(rows: list[dict[str, Any]], method: str, ratio: float) -> tuple[str, float, float]:
    """The confirmed setting with the best validation mean: its trial, validation and test mean."""
    values: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        asked = (row["method"], row["phase"], row["criterion"], row["value"])
        if asked == (method, "confirm", "ratio", ratio):
            values.setdefault(row["trial"], {}).setdefault(row["split"], []).append(row["metric"])
    means = {t: {s: sum(v) / len(v) for s, v in splits.items()} for t, splits in values.items()}
    trial = max(sorted(means), key=lambda t: round(means[t]["val"], 9))
    return trial, means[trial]["val"], means[trial]["test"]


def test_merging_is_pooling() -> None:
    one = sweep("a")
    two = sweep("b", seed=10, seeds=(11, 12, 13), salt=1, other_settings=True)
    merged = merge([one, two])
    rows = pooled_by_hand(one, two)
    assert len(merged.frontier) == len(rows)
    assert len(merged.runs) == len(one.runs) + len(two.runs)
    points = summarise(merged).points.set_index(["method", "value"])
    for method in METHODS:
        for ratio in RATIOS:
            _, val, test = best_by_hand(rows, method, float(ratio))
            found = points.loc[(method, float(ratio))]
            assert found["val_metric"] == pytest.approx(val)
            assert found["test_metric_mean"] == pytest.approx(test)
    assert merged.meta["trials_per_method"] == 6
    assert merged.meta["shared"] == 0
    searched = merged.runs[merged.runs["phase"] == "search"]["method"].value_counts()
    assert searched.to_dict() == {"rewa": 6, "sgd_l1": 6}


def test_merging_with_itself_changes_only_names(tmp_path: Path) -> None:
    one = sweep("a")
    again = replace(one, name="b", runs=one.runs.assign(sweep="b"), frontier=one.frontier.assign(sweep="b"))
    merged = merge([one, again])
    write_report(one, tmp_path / "one")
    write_report(merged, tmp_path / "both")
    for name in ("pareto.csv", "frontier.csv"):
        alone, both = (pd.read_csv(tmp_path / folder / name) for folder in ("one", "both"))
        both["trial"] = both["trial"].str.removeprefix("a/")
        pd.testing.assert_frame_equal(alone, both)
    before, after = summarise(one), summarise(merged)
    told = after.headline
    assert told[:-1] == before.headline
    assert told[-1] == (
        "Merged from the sweeps a (3 trials per method, seed 0) and b (3 trials per method, seed 0); "
        f"{len(one.runs)} trainings that more than one of them has are counted once."
    )
    assert "trials_per_method" not in merged.meta, "the page counts what was run: 3, not the 6 planned"
    told_before = caveats(before)
    assert caveats(after) == told_before


def runs_of(name: str, keys: list[tuple[int, str, int]]) -> Record:
    """A sweep with exactly these runs: (setting, phase, seed)."""
    rows = [run_row("rewa", setting, seed, phase, sweep=name) for setting, phase, seed in keys]
    points = [
        {**point, "sweep": name}
        for setting, phase, seed in keys
        for point in frontier_rows("rewa", decay(100.0), setting, seed, phase, (1,))
    ]
    meta = {**META, "space": SPACE}
    columns = [*frontier_rows("rewa", lambda *_: 0.0, 0, 0, "search", (1,))[0]]
    runs = pd.DataFrame(rows, columns=list(run_row("rewa", 0, 0, "search")))
    return Record(name, meta, runs, pd.DataFrame(points, columns=columns))


KEYS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["search", "confirm"]), st.integers(0, 3)),
    min_size=1,
    max_size=12,
    unique=True,
)


@settings(max_examples=25)
@given(st.lists(KEYS, min_size=2, max_size=3))
def test_every_training_counts_once(sweeps: list[list[tuple[int, str, int]]]) -> None:
    merged = merge([runs_of(name, keys) for name, keys in zip("abc", sweeps, strict=False)])
    kept = [(int(run.trial[-4:]), run.phase, run.seed) for run in merged.runs.itertuples()]
    assert sorted(kept) == sorted({key for keys in sweeps for key in keys})
    assert merged.meta["shared"] == sum(map(len, sweeps)) - len(kept)
    runs = set(map(tuple, merged.runs[["trial", "phase", "seed"]].to_numpy().tolist()))
    points = set(map(tuple, merged.frontier[["trial", "phase", "seed"]].to_numpy().tolist()))
    assert points == runs
    assert len(merged.frontier) == 8 * len(runs)  # two splits of one ratio and three thresholds


def test_the_trial_with_more_seeds_stays_whole() -> None:
    few = runs_of("a", [(0, "confirm", 1), (0, "confirm", 2), (1, "confirm", 1), (1, "confirm", 2)])
    many = runs_of("b", [(0, "confirm", seed) for seed in (1, 2, 3, 4)])
    merged = merge([few, many])
    counts = merged.runs.groupby("trial")["seed"].nunique().to_dict()
    assert counts == {"a/rewa-0001": 2, "b/rewa-0000": 4}


def test_sweeps_with_fewer_seeds_still_compete() -> None:
    """Two seeds are all that were planned in `a`: its settings have lost none."""
    one = sweep("a", seeds=(1, 2))
    two = sweep("b", seed=10, seeds=(11, 12, 13), salt=3, other_settings=True)
    points = summarise(merge([one, two])).points
    assert set(points[points["value"] == 200.0]["trial"].str[0]) == {"a"}, "its knee is at 300x, b's at 120x"


def change(space: dict[str, Any], where: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    space = copy.deepcopy(space)
    where(space)
    return space


def test_other_names_seeds_budgets_and_known_settings_may_be_merged() -> None:
    one = sweep("a")
    known = change(SPACE["methods"], lambda m: m["rewa"].update(known=[{"lr": 0.3}]))
    free = {"confirm": {"settings": 1, "seeds": 5}, "resources": {"cpu": 4.0}, "methods": known}
    two = sweep("b", seed=5, trials=2, salt=1, other_settings=True, **free)
    told = summarise(merge([one, two])).headline[-1]
    assert told == (
        "Merged from the sweeps a (3 trials per method, seed 0) and b (2 trials per method, seed 5)."
    )


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"workload": {"name": "digits", "epochs": 50}}, "workload.epochs: 40 -> 50"),
        (
            {"objective": {"criterion": "ratio", "max_compression": 500.0, "reference": 0.9}},
            "objective.reference: 0.8 -> 0.9",
        ),
        (
            {
                "methods": change(
                    SPACE["methods"], lambda m: m["rewa"]["sample"]["lr"].update(log_uniform=[0.01, 0.5])
                )
            },
            r"methods.rewa.sample.lr.log_uniform\[1\]: 1.0 -> 0.5",
        ),
        (
            {"methods": change(SPACE["methods"], lambda m: m["sgd_l1"]["fixed"].update(momentum=0.8))},
            "methods.sgd_l1.fixed.momentum: 0.9 -> 0.8",
        ),
        ({"methods": change(SPACE["methods"], lambda m: m.pop("sgd_l1"))}, "methods.sgd_l1 was removed"),
    ],
)
def test_different_searches_are_refused(space: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=f"'a' and 'b' cannot be merged: their search spaces differ.*{told}"):
        merge([sweep("a"), sweep("b", **space)])


def test_other_data_are_refused() -> None:
    other = sweep("b")
    other.meta["workload"] = {**other.meta["workload"], "train_size": 500, "told_by_a_later_version": 1}
    with pytest.raises(UserError, match=r"their workloads differ \(train_size: 1078 -> 500\)"):
        merge([sweep("a"), other])


def test_what_is_no_sweep_or_named_twice_is_refused() -> None:
    with pytest.raises(UserError, match="--sweep a: is named twice"):
        merge([sweep("a"), sweep("a")])
    with pytest.raises(UserError, match="--sweep hand: has no search space on record"):
        merge([sweep("a"), replace(sweep("b"), name="hand", meta={})])


def test_unequal_budgets_are_told_first(tmp_path: Path) -> None:
    one = sweep("a")
    two = sweep("b", seed=10, seeds=(11, 12, 13), salt=1, other_settings=True)
    lost = two.runs[~((two.runs["trial"] == "rewa-0002") & (two.runs["phase"] == "search"))]
    merged = merge([one, replace(two, runs=lost)])
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "report.html").write_text("")
    write_report(merged, tmp_path / "both")
    page = (tmp_path / "both" / "report.html").read_text()
    first = page[: page.index("<figure")]
    assert "The methods did not get equal numbers of trials: rewa 5 and sgd_l1 6." in first
    assert "In b the methods did not get equal numbers of trials: rewa 2 and sgd_l1 3." in first
    assert "Merged from the sweeps a (3 trials per method, seed 0) and b (3 trials" in first
    assert '<a href="../a/report.html">a</a>' in page
    assert "rewa ui --sweep b" in re.sub("</?span[^>]*>", "", page)
    assert re.findall(r'href="(?!data:|#)([^"]*)"', page) == ["../a/report.html"]


def test_main_merges_and_leaves_the_store_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = {"a": sweep("a"), "b": sweep("b", seed=10, salt=1, other_settings=True)}
    fake = SimpleNamespace(
        read_sweep=lambda uri, name: there[name],
        log_report=lambda *_: pytest.fail("a merged report is no sweep's"),
    )
    monkeypatch.setattr(report, "tracking", fake)
    monkeypatch.chdir(tmp_path)
    assert main(["--sweep", "a", "--sweep", "b"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[-2:] == ["runs: rewa ui --sweep a", "runs: rewa ui --sweep b"]
    assert (tmp_path / "results" / "a_b" / "report.html").is_file()
    monkeypatch.setitem(there, "b", sweep("b", workload={"name": "cifar10"}))
    assert main(["--sweep", "a", "--sweep", "b"]) == 2
    assert "workload.name: 'digits' -> 'cifar10'" in capsys.readouterr().err


def test_replaced_confirmations_are_kept_but_not_used(tmp_path: Path) -> None:
    """An extended sweep chose trials 1 and 2 in the end; it had confirmed trial 0 before."""
    record = sweep("a")
    chosen = {method: [f"{method}-0001", f"{method}-0002"] for method in METHODS}
    record.meta["confirmed"] = chosen
    summary = summarise(record)
    assert set(summary.settings["trial"]) == {trial for trials in chosen.values() for trial in trials}
    write_report(record, tmp_path)
    assert len(pd.read_csv(tmp_path / "frontier.csv")) == len(record.frontier)
    page = (tmp_path / "report.html").read_text()
    assert "6 runs of 2 settings that later trials replaced are kept, but not used" in page
    assert (in_use(record.runs, {})["phase"] == "confirm").sum() == 18
    assert (in_use(record.runs, {"confirmed": {"rewa": []}})["phase"] == "confirm").sum() == 9
