"""Figures: what is drawn, and what the axis is zoomed to."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.colors import to_hex
from synthetic import CONFIG, decay, flat, make_record, realistic

from analysis.figures import data_uri, frontier_figure, png, search_figure
from analysis.limits import zoom_limits
from analysis.pareto import best_attained, dense_reference, mean_frontier
from analysis.styles import MARKERS, styles
from rewa.metric import ACCURACY
from rewa.mlflow_view import method_colour


def test_styles_are_fixed_for_known_methods_and_distinct_for_all() -> None:
    found = styles(["zeta", "alpha", *MARKERS])
    assert {name: found[name].color for name in MARKERS} == {name: method_colour(name) for name in MARKERS}
    assert styles(["rewa"])["rewa"] == found["rewa"]
    assert len({(style.color, style.marker) for style in found.values()}) == len(found)


def test_lines_have_their_methods_colour_and_mean() -> None:
    record = make_record({"rewa": flat(0.9, (0.0, -0.01, 0.01)), "magnitude": flat(0.95)})
    settings = mean_frontier(record.frontier, CONFIG, ACCURACY)
    figure = frontier_figure(
        best_attained(settings, ACCURACY), dense_reference(settings, ACCURACY), "title", ACCURACY
    )
    drawn = [line for line in figure.axes[0].get_lines() if len(line.get_xdata())]
    lines = {to_hex(line.get_color()).upper(): line for line in drawn}
    line = lines[method_colour("rewa")]
    assert list(line.get_xdata())[:3] == [1.0, 2.0, 5.0]
    assert list(line.get_ydata()) == pytest.approx([90.0] * 14)
    assert figure.axes[1].get_ylim()[0] == 0.0


def test_zoom_shows_the_rivals_and_not_the_collapse() -> None:
    record = realistic()
    settings = mean_frontier(record.frontier, CONFIG, ACCURACY)
    points, dense = best_attained(settings, ACCURACY), dense_reference(settings, ACCURACY)
    low, high = zoom_limits(points, dense, ACCURACY)
    assert dense is not None
    assert 0.85 < low < 0.95, "random's 10 % must not stretch the axis"
    assert low < dense.test < high < 1.01
    at_100 = points[(points["value"] == 100) & points["method"].isin(["rewa", "sgd_l1"])]
    assert (at_100["test_metric_mean"] > low).all()


def test_zoom_of_nothing_is_everything() -> None:
    assert zoom_limits(pd.DataFrame({"test_metric_mean": []}), None, ACCURACY) == (0.0, 1.0)


def test_png_is_the_same_every_time() -> None:
    record = make_record({"rewa": decay(100.0)}, trials=1, ratios=(1, 10, 100))
    points = best_attained(mean_frontier(record.frontier, CONFIG, ACCURACY), ACCURACY)
    first = png(frontier_figure(points, None, "t", ACCURACY), dpi=50)
    assert first == png(frontier_figure(points, None, "t", ACCURACY), dpi=50)
    assert first.startswith(b"\x89PNG")
    assert data_uri(first).startswith("data:image/png;base64,iVBOR")


def test_search_figure_counts_a_failed_run_as_nothing() -> None:
    runs = make_record({"rewa": flat(0.9)}, trials=3).runs
    runs.loc[runs["trial"] == "rewa-0000", "score"] = float("nan")
    line = search_figure(runs).axes[0].get_lines()[0]
    assert list(line.get_xdata()) == [1, 2, 3]
    assert list(line.get_ydata()) == pytest.approx([0.0, 0.51, 0.52])


def test_a_dense_line_below_the_zoom_has_no_label_to_squeeze_the_axes() -> None:
    record = make_record({"rewa": flat(0.96), "magnitude": flat(0.5)})
    settings = mean_frontier(record.frontier, CONFIG, ACCURACY)
    points, dense = best_attained(settings, ACCURACY), dense_reference(settings, ACCURACY)
    assert dense is not None
    assert dense.test < zoom_limits(points, dense, ACCURACY)[0]
    figure = frontier_figure(points, dense, "title", ACCURACY)
    assert not figure.axes[0].texts
    png(figure)  # draws it: matplotlib warns if the layout fails, and warnings are errors here
