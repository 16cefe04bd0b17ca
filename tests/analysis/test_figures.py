"""Figures: what is drawn, and what the axis is zoomed to."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from synthetic import CONFIG, Record, decay, flat, make_record, realistic

from analysis.figures import data_uri, png
from analysis.limits import zoom_limits
from analysis.page.curves import curves
from analysis.page.frontier_figure import frontier_figure
from analysis.page.rows import front_rows, numbered_front
from analysis.pareto import best_attained, dense_reference, mean_frontier
from analysis.styles import MARKERS, styles
from analysis.summary import summarise
from rewa.metric import ACCURACY
from rewa.mlflow_view import method_colour


def test_styles_are_fixed_for_known_methods_and_distinct_for_all() -> None:
    found = styles(["zeta", "alpha", *MARKERS])
    assert {name: found[name].color for name in MARKERS} == {name: method_colour(name) for name in MARKERS}
    assert styles(["rewa"])["rewa"] == found["rewa"]
    assert len({(style.color, style.marker) for style in found.values()}) == len(found)


def drawing(record: Record, *, narrow: bool = False) -> Figure:
    summary = summarise(record)
    return frontier_figure(curves(summary, numbered_front(summary)), narrow=narrow)


def by_colour(axes: Axes, *, marked: bool) -> dict[str, Line2D]:
    """The lines of an axes, or its rows of points, by colour; emphasised points are left out."""
    found = {}
    for line in axes.get_lines():
        is_marks = line.get_linestyle() == "None" and line.get_markeredgecolor() != "black"
        if len(line.get_xdata()) > 1 and is_marks == marked:
            found[to_hex(line.get_color()).upper()] = line
    return found


def test_points_are_means_and_lines_what_the_median_seed_attains() -> None:
    spread = (0.0, -0.02, 0.01)  # of the seeds 3, 1, 2
    figure = drawing(make_record({"rewa": flat(0.9, spread), "magnitude": flat(0.95)}))
    points = by_colour(figure.axes[0], marked=True)[method_colour("rewa")]
    assert list(points.get_xdata())[:3] == [1.0, 2.0, 5.0]
    assert list(points.get_ydata()) == pytest.approx([90.0 - 1.0 / 3.0] * 14)
    line = by_colour(figure.axes[0], marked=False)[method_colour("rewa")]
    assert list(line.get_ydata()) == pytest.approx([90.0] * len(line.get_ydata())), "one step, 1x to 1000x"
    assert (min(line.get_xdata()), max(line.get_xdata())) == (1.0, 1000.0)
    bands = [band for band in figure.axes[0].collections if band.get_paths()]
    heights = [band.get_paths()[0].vertices[:, 1] for band in bands]
    assert any((min(h), max(h)) == pytest.approx((88.0, 91.0)) for h in heights)
    assert figure.axes[1].get_ylim()[0] == 0.0


def test_points_of_the_front_are_numbered_as_in_the_table() -> None:
    record = realistic()
    summary = summarise(record)
    front = numbered_front(summary)
    rows = front_rows(front, summary, {})
    assert [row["number"] for row in rows] == list(range(1, len(front) + 1))
    zoom = drawing(record).axes[0]
    low, high = zoom.get_ylim()
    inside = [r["number"] for r in front.to_dict("records") if low <= 100 * r["test_metric_mean"] <= high]
    numbers = [int(text.get_text()) for text in zoom.texts if text.get_text().isdigit()]
    assert numbers == inside
    emphasised = [line for line in zoom.get_lines() if line.get_markeredgecolor() == "black"]
    emphasised = [line for line in emphasised if line.get_marker() != "None"]  # not the dense line
    places = [(line.get_xdata()[0], line.get_ydata()[0]) for line in emphasised]
    expected = zip(front["compression"], 100.0 * front["test_metric_mean"], strict=True)
    assert places == [pytest.approx(place) for place in expected]


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


def test_values_that_are_not_finite_do_not_zoom() -> None:
    """A sweep without its description is taken for one of accuracies; its values may be errors."""
    summary = summarise(make_record({"rewa": flat(0.9), "zeta": flat(0.8), "spred": flat(math.inf)}, meta={}))
    without = summary.points[summary.points["method"] != "spred"]
    assert zoom_limits(summary.points, None, ACCURACY) == zoom_limits(without, None, ACCURACY)


def test_png_is_the_same_every_time() -> None:
    record = make_record({"rewa": decay(100.0)}, trials=1, ratios=(1, 10, 100))
    first = png(drawing(record), dpi=50)
    assert first == png(drawing(record), dpi=50)
    assert first.startswith(b"\x89PNG")
    assert data_uri(first).startswith("data:image/png;base64,iVBOR")


def test_a_dense_line_below_the_zoom_has_no_label_to_squeeze_the_axes() -> None:
    record = make_record({"rewa": flat(0.96), "magnitude": flat(0.5)})
    summary = summarise(record)
    assert summary.dense is not None
    assert summary.dense.test < zoom_limits(summary.points, summary.dense, ACCURACY)[0]
    figure = drawing(record)
    assert not [text for text in figure.axes[0].texts if "dense" in text.get_text()]
    png(figure)  # draws it: matplotlib warns if the layout fails, and warnings are errors here


@pytest.mark.parametrize("narrow", [False, True])
def test_an_empty_figure_has_axes(narrow: bool) -> None:
    figure = drawing(make_record({}, meta={}), narrow=narrow)
    assert png(figure, dpi=40).startswith(b"\x89PNG")
    assert not figure.legends
