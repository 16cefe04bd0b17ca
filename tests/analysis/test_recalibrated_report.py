"""Recalibrated points: they change no other number, stand beside the raw ones, and lead where asked to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import META, MSE, Record, error_sweep, flat, make_record, realistic, rise, with_recalibrated

from analysis import figures, report
from analysis.page import rendering
from analysis.page.context import context
from analysis.page.curves import curves
from analysis.page.frontier_figure import frontier_figure
from analysis.page.rows import numbered_front
from analysis.page.writing import pareto
from analysis.recalibration import paired, recalibration_block
from analysis.summary import Summary, summarise
from rewa.sweep_tables import LAYER_COLUMNS

THIN = (0.0, -0.001, 0.001)
RATIOS = (1, 10, 50, 100, 200)


@pytest.fixture(autouse=True)
def _no_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "png", lambda figure, dpi=0: b"\x89PNG")
    monkeypatch.setattr(rendering, "PARTS", ())
    monkeypatch.setattr(rendering, "frontier_item", lambda *_: "{}")


def small(record: Record) -> Record:
    """Three methods of a sweep."""
    methods = ["rewa", "sgd_l1", "magnitude"]
    runs, frontier = (t[t["method"].isin(methods)] for t in (record.runs, record.frontier))
    return replace(record, runs=runs, frontier=frontier, meta={**record.meta, "methods": methods})


def drawn(summary: Summary) -> list[Any]:
    """All that the frontier figure draws: lines, bands, limits, texts."""
    figure = frontier_figure(curves(summary, numbered_front(summary)))
    found: list[Any] = []
    for axes in figure.axes:
        found += [line.get_xydata() for line in axes.lines]
        found += [path.vertices for band in axes.collections for path in band.get_paths()]
        found += [np.array([*axes.get_xlim(), *axes.get_ylim()])]
        found += [np.array([text.get_text() for text in axes.texts])]
    return found


@pytest.mark.parametrize(
    ("record", "renew"),
    [
        (small(realistic()), lambda value: min(1.0, value + 0.3)),
        (small(error_sweep()), lambda value: 0.5 * value),
    ],
    ids=["accuracy", "error"],
)
def test_no_number_and_no_line_changes(record: Record, renew: Callable[[float], float]) -> None:
    """Recalibrated values far better than the raw ones: whoever looked at them would choose otherwise."""
    before, after = summarise(record), summarise(with_recalibrated(record, renew))
    for field in fields(Summary):
        old, new = getattr(before, field.name), getattr(after, field.name)
        if field.name in ("record", "renewed"):
            continue
        if isinstance(old, pd.DataFrame):
            pd.testing.assert_frame_equal(old, new)
        else:
            assert old == new, field.name
    assert before.headline == after.headline
    old_page, new_page = context(before), context(after)
    assert old_page.pop("recalibration") is None
    assert new_page.pop("recalibration") is not None
    assert old_page == new_page
    for old, new in zip(drawn(before), drawn(after), strict=True):
        np.testing.assert_array_equal(old, new)


def sweep(**objective: Any) -> Record:
    """Raw, rewa leads with its trial 1; recalibrated, sgd_l1 leads and rewa's trial 0 is its best."""
    methods = {
        "rewa": lambda ratio, trial, seed: 0.95 + 0.01 * trial + THIN[seed % 3],
        "sgd_l1": flat(0.93, THIN),
        "magnitude": flat(0.90, THIN),
    }
    meta = {**META, "methods": list(methods), "objective": {**META["objective"], **objective}}
    record = with_recalibrated(make_record(methods, meta=meta, ratios=RATIOS), lambda value: value)
    again = record.frontier["recalibrated"]
    bonus = np.where(record.frontier["method"] == "sgd_l1", 0.06, 0.01)
    bonus -= np.where(record.frontier["trial"] == "rewa-0001", 0.03, 0.0)
    frontier = record.frontier.assign(metric=record.frontier["metric"] + np.where(again, bonus, 0.0))
    return replace(record, frontier=frontier)


def test_raw_and_recalibrated_stand_beside_each_other() -> None:
    block = recalibration_block(summarise(sweep()))
    assert block is not None
    assert [row["ratio"] for row in block["rows"]] == ["10x", "50x", "100x", "200x"]
    cells = block["rows"][2]["cells"]
    assert cells["rewa"] == {"raw": "96.0 \u00b1 0.1", "renewed": "94.0 \u00b1 0.1"}, "trial 1, chosen raw"
    assert cells["sgd_l1"] == {"raw": "93.0 \u00b1 0.1", "renewed": "99.0 \u00b1 0.1"}
    assert "as pruned" in block["note"]
    assert recalibration_block(summarise(realistic())) is None


def test_a_recalibrated_objective_turns_the_report() -> None:
    summary = summarise(sweep(recalibrated=True))
    assert summary.headline[0].startswith("At 100x compression sgd_l1 leads")
    assert summary.headline[-1].startswith("All these values are after batch-norm recalibration")
    chosen = summary.answers.set_index(["question", "method"])
    assert chosen.loc[("accuracy@100x", "rewa"), "trial"] == "rewa-0000"
    assert chosen.loc[("accuracy@100x", "rewa"), "test_metric_mean"] == pytest.approx(0.96)
    block = recalibration_block(summary)
    assert block is not None
    assert block["rows"][2]["cells"]["rewa"] == {"raw": "95.0 \u00b1 0.1", "renewed": "96.0 \u00b1 0.1"}
    assert "after recalibration" in block["note"]
    facts = dict(context(summary)["fairness"])
    assert facts["Objective"].endswith("criterion ratio, after batch-norm recalibration")
    raw = summarise(sweep())
    assert raw.headline[0].startswith("At 100x compression rewa leads")
    assert "recalibration" not in dict(context(raw)["fairness"])["Objective"]


def test_without_batch_norm_the_raw_frontier_is_taken_and_said() -> None:
    record = sweep(recalibrated=True)
    summary = summarise(replace(record, frontier=record.frontier[~record.frontier["recalibrated"]]))
    assert not summary.recalibrated
    assert summary.headline[0].startswith("At 100x compression rewa leads")
    assert "the model has no batch norm" in dict(context(summary)["fairness"])["Objective"]


def test_curves_for_the_tracker_keep_their_names() -> None:
    """Whatever the objective, `metric` is raw and `recalibrated` is recalibrated, of the same setting."""
    for objective, trial, raw, renewed in (({}, 1, 0.96, 0.94), ({"recalibrated": True}, 0, 0.95, 0.96)):
        points = report._curves(summarise(sweep(**objective)))["rewa"]
        (at,) = [point for point in points if point.ratio == 100]
        assert at.trial == f"rewa-000{trial}"
        assert (at.val_metric, at.test_metric) == pytest.approx((raw, raw))
        assert (at.val_recalibrated, at.test_recalibrated) == pytest.approx((renewed, renewed))
    plain = report._curves(summarise(realistic()))["rewa"][0]
    assert (plain.val_recalibrated, plain.test_recalibrated) == (None, None)


def with_layers(record: Record, bare: dict[tuple[str, float], list[str]], seeds: tuple[int, ...]) -> Record:
    """Three layers per run; those listed by (trial, ratio) are bare on some confirmation seeds."""
    rows = [
        (*key, layer, 100, ratio, 0 if layer in bare.get((trial, ratio), []) and seed in seeds else 7)
        for key in record.runs[["method", "trial", "seed", "phase"]].itertuples(index=False)
        for trial, seed in [(key[1], key[2])]
        for layer in ("conv1", "conv2", "fc")
        for ratio in (10.0, 50.0, 100.0, 200.0)
    ]
    return replace(record, layers=pd.DataFrame(rows, columns=list(LAYER_COLUMNS)))


def test_bare_layers_of_recommended_settings_are_told_once_per_method() -> None:
    """rewa recommends trial 1 everywhere, sgd_l1 and magnitude trial 0."""
    bare = {
        ("rewa-0000", 10.0): ["conv1"],  # not recommended
        ("rewa-0001", 100.0): ["conv2", "fc"],
        ("rewa-0001", 200.0): ["conv1", "conv2", "fc"],
        ("sgd_l1-0000", 200.0): ["fc"],
    }
    page = context(summarise(with_layers(sweep(), bare, seeds=(1, 3))))
    assert page["collapse"] == [
        "rewa at 100x (rewa-0001): conv2 and 1 more (of 3 layers) have no weight left, on 2 of 3 seeds.",
        "sgd_l1 at 200x (sgd_l1-0000): fc (of 3 layers) has no weight left, on 2 of 3 seeds.",
    ]
    assert context(summarise(with_layers(sweep(), {}, ())))["collapse"] == []


def test_the_page_has_the_sections_only_when_there_is_something_to_say(tmp_path: Path) -> None:
    full = with_layers(sweep(), {("rewa-0001", 100.0): ["fc"]}, seeds=(2,))
    report.write_report(full, tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert html.index("Which setting to use") < html.index("After batch-norm recalibration")
    assert "Layers without any weight" in html
    table = pd.read_csv(tmp_path / "frontier.csv")
    assert table["recalibrated"].sum() * 2 == len(table)
    report.write_report(replace(sweep(), frontier=sweep().frontier.query("~recalibrated")), tmp_path)
    html = (tmp_path / "report.html").read_text()
    assert "batch-norm" not in html
    assert not pareto(summarise(sweep()))["recalibrated"].any()
    assert pareto(summarise(sweep(recalibrated=True)))["recalibrated"].all()
    assert "Layers without any weight" not in html


def test_errors_are_paired_too() -> None:
    """A metric that is better when lower, and a setting that lost its recalibrated value."""
    meta = {**META, "workload": {**META["workload"], **MSE.describe()}}
    record = with_recalibrated(
        make_record({"rewa": rise(1.1, noise=0.0)}, meta=meta), lambda value: value - 0.05
    )
    lost = record.frontier["recalibrated"] & (record.frontier["value"] == 100.0)
    pairs = paired(summarise(replace(record, frontier=record.frontier[~lost]))).set_index("value")
    assert pairs.loc[10.0, "test_metric_mean_renewed"] == pytest.approx(1.05)
    assert pairs.loc[100.0, "test_metric_mean_raw"] == pytest.approx(1.1)
    assert np.isnan(pairs.loc[100.0, "test_metric_mean_renewed"])
