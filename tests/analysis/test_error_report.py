"""The report of a sweep that is judged by an error: sentences, page, files and figure."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation
from synthetic import (
    ERROR_CONFIG,
    ERROR_META,
    ERROR_RATIOS,
    META,
    MSE,
    Accuracy,
    bursting,
    error_sweep,
    flat,
    make_record,
    rise,
)

from analysis import figures
from analysis.caveats import caveats
from analysis.commands import commands
from analysis.figures import png
from analysis.limits import cut, drawn, zoom_limits
from analysis.page.context import context
from analysis.page.curves import curves
from analysis.page.frontier_figure import frontier_figure
from analysis.page.rows import numbered_front
from analysis.report import _curves, write_report
from analysis.styles import MARKERS, styles
from analysis.summary import Summary, summarise
from analysis.tables import headline_ratios, metric_of, order_methods
from rewa.metric import ACCURACY

THIN = (0.0, -0.001, 0.001)


def sweep(planted: dict[str, Accuracy], **changes: Any) -> Summary:
    meta = {**ERROR_META, **changes}
    return summarise(make_record(planted, meta=meta, ratios=ERROR_RATIOS))


@pytest.fixture(scope="module")
def full() -> Summary:
    return summarise(error_sweep())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("errors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "png", lambda figure, dpi=0: png(figure, dpi=40))
        write_report(error_sweep(), output)
    return output


def test_the_lower_error_leads() -> None:
    first, others = sweep({"rewa": flat(1.055, THIN), "lasso": flat(1.043, THIN)}).headline
    assert first == (
        "At 100x compression lasso leads with 1.043 test mse (noise floor: 1.0), 0.012 lower than rewa "
        "(3 seeds each): beyond the seed noise (95 % interval of the lead +0.010 to +0.014)."
    )
    assert others == "At 10x, 1000x and 10000x lasso leads rewa by 0.012 (1.043; beyond the seed noise)."


def test_the_dense_error_and_the_focus_are_named() -> None:
    methods = {m: flat(level, THIN) for m, level in (("spred", 1.1), ("scad", 1.0), ("magnitude", 1.9))}
    first = sweep({"rewa": flat(1.2, THIN), **methods}).headline[0]
    assert "1.000 test mse (dense: 1.900; noise floor: 1.0), 0.100 lower than spred" in first
    assert "rewa is 3rd of 4 with 1.200, 0.200 behind: beyond the seed noise." in first


def test_no_skill_is_said() -> None:
    def lost(ratio: float, trial: int, seed: int) -> float:
        return 1.1 if ratio <= 100 else 2.0

    first, others = sweep({"rewa": lost, "spred": lost}).headline
    assert "beats" not in first
    assert others.endswith(
        "at 1000x and 10000x no method beats predicting the mean (2.0) "
        "(best: rewa and spred 2.000; rewa and spred 2.000)."
    )


def test_huge_and_infinite_errors_read_well() -> None:
    first, others = sweep({"rewa": bursting(1.1, 10.0), "spred": rise(1.2)}).headline
    assert re.search(r"spred leads with 1\.2\d\d test mse .*, (1099|1098) lower than rewa", first)
    worse = sweep({"rewa": bursting(1.1, 1.0), "spred": rise(1.2)}).headline[0]
    assert "while rewa has no finite value" in worse
    assert "seed noise unknown with a value that is not finite" in worse
    assert "nan" not in f"{first} {others} {worse}"
    every = sweep({"rewa": bursting(1.1, 1.0), "spred": bursting(1.2, 1.0)}).headline[0]
    assert "tie at \u221e test mse" in every
    assert "no method beats predicting the mean" in every


def test_solvers_have_no_seed_noise(full: Summary) -> None:
    text = " ".join(full.headline)
    assert "no seed noise, both are the same at every seed" in text
    rows = context(full)["ratios"]
    cells = next(row for row in rows if row["ratio"] == "1000x")["cells"]
    assert cells["scad"]["best"]
    assert not any(cells[method]["equal"] for method in ("lasso", "l0_5", "magnitude", "random"))
    assert (cells["lasso"]["text"], cells["random"]["text"]) == ("1.110", "\u221e")


def test_files_are_named_after_the_metric(written: Path) -> None:
    frontier = pd.read_csv(written / "frontier.csv")
    assert "mse" in frontier.columns
    assert not {"metric", "accuracy"} & set(frontier.columns)
    assert frontier["mse"].to_numpy() == pytest.approx(
        error_sweep().frontier["metric"].to_numpy(), nan_ok=True
    )
    pareto = pd.read_csv(written / "pareto.csv")
    assert list(pareto.columns) == [
        *("method", "question", "val_mse", "test_mse_mean", "test_mse_std"),
        *("compression", "seeds", "trial", "recalibrated", *ERROR_CONFIG),
    ]
    asked = ["mse@10x", "mse@100x", "mse@1000x", "mse@10000x"]
    asked += ["compression@excess0.01", "compression@excess0.05", "compression@excess0.1"]
    assert list(pareto["question"].unique()) == asked
    assert len(pareto) == 10 * 7


def test_the_page_speaks_of_the_error_only(written: Path) -> None:
    html = re.sub(r"data:image[^\"]*", "", (written / "report.html").read_text())
    space = html[html.index("<details><summary>The search space") :]  # has the accuracies of META in it
    html = html.replace(space[: space.index("</details>")], "")
    words = re.sub(r"<style>.*?</style>|<script[^>]*>.*?</script>", "", html, flags=re.DOTALL)
    for wrong in ("accuracy", "Accuracy", "percent", "percentage", " points ahead", "nan", "binomial"):
        assert not re.search(rf"\b{wrong.strip()}\b", words), wrong
    assert "within 0.05 of the best validation mse attained" in words
    assert "Validation mse at most 1.045: the best that any setting of any method attains (0.995)" in words
    assert "plus 5 % of the way from the noise floor (1.0) to predicting the mean (2.0)." in words
    assert "mse, lower is better; predicting the mean: 2.0, noise floor: 1.0" in words
    assert "area between validation mse and 1.5 over log10(compression) up to 10000x" in words
    assert "loss squared, d 10000, n 2000, k 1, design toeplitz" in words
    assert "lasso, adaptive_lasso, l0_5, l2_3 and scad solve directly and have no epochs" in words
    assert "same or a lower validation mse" in words
    assert "Test mse at the absolute thresholds" in words


def test_hypervolume_has_the_objectives_reference(full: Summary) -> None:
    block = context(full)["hypervolume"]
    assert block["references"] == ["2.0", "1.5 (objective)", "1.2", "1.1", "1.05"]
    by_method = {row["method"]: [cell["text"] for cell in row["cells"]] for row in block["rows"]}
    assert by_method["scad"] == ["1.000"] * 5
    assert by_method["lasso"] == ["0.890", "0.780", "0.450", "0.000", "0.000"]


def test_front_leaves_out_what_has_no_skill(full: Summary) -> None:
    assert {row["method"] for row in context(full)["front"]} == {"scad"}
    hopeless = sweep({"rewa": flat(2.5)})
    assert context(hopeless)["front"] == []


def test_an_error_without_a_dense_net_has_no_caveat() -> None:
    summary = sweep({"rewa": rise(1.1), "lasso": rise(1.2)}, methods=["rewa"], trials_per_method=2)
    assert summary.dense is None
    assert caveats(summary) == []
    assert any("No magnitude" in line for line in caveats(replace(summary, metric=ACCURACY)))


def test_commands_have_the_workloads_settings_and_solvers_no_epochs(full: Summary) -> None:
    lines = {row["method"]: row["command"] for row in commands(full)}
    recipe = "--set-workload design=toeplitz --set-workload correlation=0.5"
    assert lines["rewa"].endswith(f"{recipe} --epochs 40 --seed 1 --threads 2")
    assert lines["scad"] == (
        f"rewa train sparse_recovery scad --set lambda_fraction=0.0321 --set gamma=3.7 {recipe} --seed 1"
    )


def test_the_curves_for_mlflow_are_the_figures(full: Summary) -> None:
    curves = _curves(full)
    assert set(curves) == set(full.methods)
    last = curves["scad"][-1]
    assert (last.ratio, last.val_metric, last.test_metric) == (10000.0, pytest.approx(0.995), last.val_metric)


def test_descriptions_of_old_stores_mean_accuracy() -> None:
    old = {key: value for key, value in META["workload"].items() if key != "metric"}
    assert metric_of({"workload": old}) == metric_of({}) == ACCURACY
    assert headline_ratios({"workload": old}) == (10.0, 50.0, 100.0, 200.0)
    assert headline_ratios(ERROR_META) == (10.0, 100.0, 1000.0, 10000.0)


@pytest.mark.parametrize("ratios", [[10, 1000], [3333, 10, 100]])
def test_headline_ratios_are_the_workloads(ratios: list[int]) -> None:
    meta = {**ERROR_META, "workload": {**ERROR_META["workload"], "headline_ratios": ratios}}
    record = make_record({"rewa": rise(1.1), "spred": rise(1.3)}, meta=meta, ratios=(*ERROR_RATIOS, 3333))
    summary = summarise(record)
    assert [q.name for q in summary.questions if q.ratio] == [f"mse@{r}x" for r in sorted(ratios)]
    main = 100 if 100 in ratios else max(ratios)
    assert summary.headline[0].startswith(f"At {main}x compression rewa leads")


# The figure ------------------------------------------------------------------------------------------


def figure(summary: Summary, *, narrow: bool = False) -> Any:
    return frontier_figure(curves(summary, numbered_front(summary)), narrow=narrow)


def test_huge_errors_are_cut_and_that_is_said(full: Summary) -> None:
    edge = cut(MSE)
    assert edge == 2.5
    assert cut(ACCURACY) is None
    zoom, whole = figure(full).axes
    for axes in (zoom, whole):
        heights = np.concatenate([line.get_ydata() for line in axes.get_lines()]).astype(float)
        assert np.nanmax(heights) <= 2.5
    assert "larger values are drawn at 2.5" in [text.get_text() for text in whole.texts]
    assert whole.get_ylim()[0] < 0.995 < 2.5 < whole.get_ylim()[1]
    calm = figure(sweep({"rewa": rise(1.1), "spred": rise(1.2)}))
    assert not any("drawn at" in text.get_text() for text in calm.axes[1].texts)


def test_the_mean_is_cut_not_the_mean_of_cut_seeds() -> None:
    def one_bad(ratio: float, trial: int, seed: int) -> float:
        return 1e9 if seed == 3 else 1.0

    summary = sweep({"rewa": one_bad})
    found = [line for line in figure(summary).axes[0].get_lines() if line.get_linestyle() == "None"]
    assert set(found[0].get_ydata()) == {2.5}
    assert list(drawn(pd.Series([1.0, 2.6, math.inf]), MSE)) == [1.0, 2.5, 2.5]
    assert list(drawn(pd.Series([0.5]), ACCURACY)) == [50.0]


def test_reference_lines_and_direction_are_named(full: Summary) -> None:
    zoom, whole = figure(full).axes
    texts = [t.get_text() for axes in (zoom, whole) for t in axes.texts if isinstance(t, Annotation)]
    names = [text for text in texts if not text.isdigit()]
    assert names == ["noise floor:\n1.0", "predicting\nthe mean:\n2.0"]
    assert "lower is better" in zoom.get_ylabel()


def test_zoom_shows_the_rivals_near_the_best(full: Summary) -> None:
    low, high = zoom_limits(full.points, full.dense, MSE)
    assert low < 0.995 < 1.12 < high < 1.5
    nothing = full.points.iloc[:0]
    assert zoom_limits(nothing, None, MSE)[0] < 1.0 < 2.0 < zoom_limits(nothing, None, MSE)[1]
    alike = sweep({"rewa": flat(1.0), "spred": flat(1.0)})
    low, high = zoom_limits(alike.points, None, MSE)
    assert low < 1.0 < 1.05 < high


@pytest.mark.parametrize("narrow", [False, True])
def test_everything_fits_with_a_dozen_methods_up_to_10000x(narrow: bool) -> None:
    methods = {method: rise(1.0 + 0.01 * i) for i, method in enumerate(MARKERS)}
    drawing = figure(sweep(methods), narrow=narrow)
    png(drawing, dpi=100)  # lays it out
    (legend,) = drawing.legends
    box = legend.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= drawing.bbox.width
    assert box.y0 >= 0
    assert len(legend.get_texts()) == len(methods)
    ticks = [tick.get_text() for tick in drawing.axes[1].get_xticklabels()]
    assert ticks[-1] == "10000x"


def test_an_empty_error_figure_renders() -> None:
    empty = sweep({})
    assert png(figure(empty), dpi=40).startswith(b"\x89PNG")
    assert png(figure(sweep({"rewa": bursting(1.1, 0.01)})), dpi=40).startswith(b"\x89PNG")


def test_every_known_method_looks_different() -> None:
    found = styles(list(MARKERS))
    assert len({style.marker for style in found.values()}) == len(found)
    assert len({style.color for name, style in found.items() if name != "rewa_adamw"}) == len(found) - 1
    solvers = [*("lasso", "adaptive_lasso", "l0_5", "l2_3", "mcp", "scad")]
    assert all(found[name].dashes for name in solvers)
    assert order_methods(["random", "scad", "rewa", "lasso", "sgd_l1", "zeta"]) == [
        *("rewa", "sgd_l1", "lasso", "scad", "zeta", "random")
    ]
