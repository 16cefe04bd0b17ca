"""What the views of a sweep in the MLflow UI hold: filter, columns and charts, as the UI's own state.

The names of these settings are those of MLflow 3.17's page of runs. They are not documented, see
:mod:`rewa.mlflow_view`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

State = dict[str, Any]

MAX_PARALLEL = 8
"""Charts of parallel coordinates at most: the view has to fit into a tag."""


def frontier_state(
    methods: Sequence[str],
    ratios: Sequence[int],
    phase: str,
    metric: str,
    *,
    curves: bool,
    grouped: bool,
    lower_is_better: bool = False,
    limits: tuple[float, float] | None = None,
    recalibrated: bool = False,
) -> State:
    """Return a view of frontiers: the metric against compression, and bars at fixed ratios.

    Args:
        methods: Of the sweep.
        ratios: Compressions R whose metrics were logged as ``test_<metric>/at_Rx``.
        phase: Runs that are shown, by their tag ``rewa.phase``.
        metric: Name of the workload's metric.
        curves: Whether the runs are methods, which have a frontier on test as well; trainings have none.
        grouped: Whether a method is the mean of its runs.
        lower_is_better: Whether the best runs have the smallest values.
        limits: Ends of the metric's axis; ``None`` leaves them to the UI.
        recalibrated: Whether the series after batch-norm recalibration are shown beside the raw ones.
    """
    names = [metric, *([f"{metric}_recalibrated"] if recalibrated else [])]
    scores = [f"test_{name}/at_{ratio}x" for ratio in ratios for name in names]
    splits = ("test_", "") if curves else ("",)
    lines = [f"frontier/{split}{name}" for name in names for split in splits]
    raw = [f"test_{metric}/at_{ratio}x" for ratio in ratios]
    middle = [] if curves else raw[len(raw) // 2 : len(raw) // 2 + 1]
    frontier, details = "rewa-frontier", "rewa-details"
    charts = [
        *(_chart(f"line-{key}", "LINE", frontier, **_frontier_line(key, limits)) for key in lines),
        *(_chart(f"bar-{key}", "BAR", details, metricKey=key) for key in scores),
        *(_chart(f"scatter-{key}", "SCATTER", details, **_scatter("METRIC", "score", key)) for key in middle),
    ]
    # The UI cuts the names at about 30 characters and ignores titles of single charts.
    sections = [
        _section(frontier, "Step (x) = compression ratio", columns=min(2, len(lines)), height=400),
        _section(details, f"Test {metric} at fixed ratios", columns=2, height=300),
    ]
    order = raw[-1] if curves and raw else "score"
    shown = raw if curves else ["score", *raw]
    columns = ["tags.`rewa.method`", *(f"metrics.`{key}`" for key in shown)]
    by_method = [{"mode": "tag", "groupByData": "rewa.method"}]
    return {
        **_page(phase, order, charts, sections, ascending=lower_is_better and order != "score"),
        "selectedColumns": columns if not grouped else columns[1:],
        "groupBy": {"aggregateFunction": "average", "groupByKeys": by_method} if grouped else None,
        "groupsExpanded": {f"tag.rewa.method.{method}": False for method in methods},
    }


def search_state(tuned: Mapping[str, Sequence[str]]) -> State:
    """Return the view of the search: settings against the objective.

    Args:
        tuned: By method, the settings that its search varied.

    Two scatter plots show what most methods have, usually lr and weight_decay, in the methods' colours. A
    chart of parallel coordinates leaves out the runs that lack one of its settings, so it shows one method
    where a setting is that method's own; the others would only repeat them.
    """
    counts: dict[str, int] = {}
    for name in (name for names in tuned.values() for name in names):
        counts[name] = counts.get(name, 0) + 1
    common = sorted((name for name in counts if counts[name] > 1), key=lambda name: -counts[name])[:2]
    common = common or list(counts)[:2]
    own = [
        (method, list(names))
        for method, names in tuned.items()
        if len(names) > 1
        and not any(set(names) <= set(other) for rival, other in tuned.items() if rival != method)
    ][:MAX_PARALLEL]
    scatters = "rewa-search"
    charts = [
        _chart(f"scatter-{name}", "SCATTER", scatters, **_scatter("PARAM", name, "score")) for name in common
    ]
    sections = [_section(scatters, "Score (y) against a setting (x)", columns=2, height=360)]
    for method, names in own:
        uuid = f"rewa-{method}"
        charts.append(
            _chart(
                f"parallel-{method}",
                "PARALLEL",
                uuid,
                selectedParams=names,
                selectedMetrics=["score"],
                showAllRuns=False,
            )
        )
        sections.append(_section(uuid, f"{method}: settings and score", columns=1, height=400))
    every = [name for name in counts if name not in common]
    columns = [f"params.`{name}`" for name in [*common, *every][:MAX_PARALLEL]]
    return {
        **_page("search", "score", charts, sections, ascending=False),
        "selectedColumns": ["tags.`rewa.method`", "metrics.`score`", *columns],
        "groupBy": None,
        "groupsExpanded": {},
    }


def _page(phase: str, order: str, charts: list[State], sections: list[State], *, ascending: bool) -> State:
    """Return what the views' states have in common."""
    return {
        "searchFilter": f"tags.`rewa.phase` = '{phase}'",
        "orderByKey": f"metrics.`{order}`",
        "orderByAsc": ascending,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOW_ALL",  # by default only the first ten runs are drawn
        "compareRunCharts": charts,
        "compareRunSections": sections,
        "isAccordionReordered": True,
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": False,
    }


def _frontier_line(metric: str, limits: tuple[float, float] | None) -> State:
    """Settings of a line chart of a frontier; its x axis is the step, which is the target ratio."""
    return {
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "xAxisScaleType": "log",
        "selectedXAxisMetricKey": "",
        "scaleType": "linear",
        "yAxisKey": "metric",
        "lineSmoothness": 0,
        "displayPoints": True,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
        **({} if limits is None else {"range": {"yMin": limits[0], "yMax": limits[1]}}),
    }


def _scatter(kind: str, x: str, y: str) -> State:
    """Settings of a scatter plot of a metric against another (``METRIC``) or a parameter (``PARAM``)."""
    return {"xaxis": {"key": x, "type": kind}, "yaxis": {"key": y, "type": "METRIC"}}


def _chart(uuid: str, kind: str, section: str, **settings: Any) -> State:
    """One chart card of the runs page."""
    common = {"deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    return {"uuid": uuid, "type": kind, "metricSectionId": section, **common, **settings}


def _section(uuid: str, name: str, *, columns: int, height: int) -> State:
    """One section of chart cards; ``isReordered`` keeps the UI from sorting it by name."""
    layout = {"columns": columns, "cardHeight": height}
    return {"uuid": uuid, "name": name, "display": True, "isReordered": True, **layout}
