"""Ready-made views of a sweep in the MLflow UI: the methods' metric against compression.

MLflow keeps a saved view as an experiment tag whose format is not documented; this module writes
that tag, as read from MLflow 3.17. Treat the result as a convenience: a later MLflow may ignore
it, and nothing in the results depends on it. The module itself needs no MLflow.

The views rely on three habits of the runs they show. The frontier's metrics are logged with the
target compression ratio as their step (MLflow has a logarithmic axis for the step only), every
run carries the tags ``rewa.method`` and ``rewa.phase``, and :func:`run_tags` gives it its colour.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

METHODS_VIEW = "rewa-methods"
"""Key of the view that compares the methods."""

CURVES_PHASE = "frontier"
"""``rewa.phase`` of the runs, one per method, that hold a method's frontier as the report shows it."""

RUNS_VIEW = "rewa-runs"
"""Key of the view with one line per run, in the method's colour."""

MAX_TAG_LENGTH = 5000
"""The shortest limit on an experiment tag's value among MLflow's stores and versions."""

_COLOURS = {
    "rewa": "#D55E00",
    "rewa_adamw": "#40004B",
    "spred": "#0072B2",
    "sgd_l1": "#009E73",
    "magnitude": "#CC79A7",
    "lasso": "#E69F00",
    "adaptive_lasso": "#56B4E9",
    "l0_5": "#332288",
    "l2_3": "#882255",
    "mcp": "#999933",
    "scad": "#661100",
    "random": "#7F7F7F",
}
_SPARE_COLOURS = ("#AA4499", "#44AA99", "#117733", "#DDCC77", "#CC6677", "#000000")

_VIEW_PREFIX = "mlflow.sharedViewState."
_NOTE_TAG = "mlflow.note.content"
_KIND_TAG = "mlflow.experimentKind"
_COLOUR_TAG = "mlflow.runColor"


class Experiment(Protocol):
    """What is read of an MLflow experiment."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the experiment by key."""


class Client(Protocol):
    """The part of ``mlflow.tracking.MlflowClient`` that :func:`install_view` uses."""

    def get_experiment(self, experiment_id: str) -> Experiment:
        """Read one experiment."""

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        """Write one tag, replacing an earlier value."""


def method_colour(method: str) -> str:
    """Colour of a method in charts, distinguishable with the common colour deficiencies.

    Args:
        method: Name of the method. An unknown name always gets the same spare colour.

    Returns:
        A colour as ``#RRGGBB``.
    """
    known = _COLOURS.get(method)
    return known or _SPARE_COLOURS[zlib.crc32(method.encode()) % len(_SPARE_COLOURS)]


def run_tags(method: str) -> dict[str, str]:
    """Tags that a run of ``method`` needs so that the UI draws it in the method's colour."""
    return {_COLOUR_TAG: method_colour(method)}


def view_url(experiment_id: str, key: str = METHODS_VIEW) -> str:
    """URL of a view after the server's address, such as ``/#/experiments/1/runs?...``.

    Args:
        experiment_id: MLflow's id of the experiment.
        key: :data:`METHODS_VIEW` or :data:`RUNS_VIEW`.
    """
    # Without the mode the page opens as a table, without the workflow type with the menus for
    # language-model applications.
    return (
        f"/#/experiments/{experiment_id}/runs?compareRunsMode=CHART"
        f"&workflowType=machine_learning&viewStateShareKey={key}"
    )


def install_view(
    client: Client,
    experiment_id: str,
    sweep: str,
    methods: Sequence[str],
    ratios: Sequence[int] = (10, 50, 100, 200),
    *,
    phase: str = "confirm",
    metric: str = "accuracy",
    lower_is_better: bool = False,
    limits: tuple[float, float] | None = None,
) -> str:
    """Give an experiment its saved views and a description that links to them.

    Calling it again replaces the views. A description that the user has written is left alone.
    Best effort by nature (see the module's docstring): a caller should report a failure and go on.

    Args:
        client: An ``MlflowClient``.
        experiment_id: MLflow's id of the experiment.
        sweep: Name of the sweep, for the description.
        methods: Methods of the sweep, in display order.
        ratios: Compression ratios R whose metrics were logged as ``test_<metric>/at_Rx``.
        phase: Which runs compare the methods, by their tag ``rewa.phase``. With :data:`CURVES_PHASE` there
            is one run per method, drawn as it is; otherwise a method is the mean of its runs.
        metric: Name of the workload's metric.
        lower_is_better: Whether the best runs have the smallest values.
        limits: Ends of the metric's axis; ``None`` leaves them to the UI.

    Returns:
        The URL, after the server's address, that opens the comparison of the methods.

    Raises:
        ValueError: If a view does not fit into a tag; nothing has been written then.
    """
    trials = "confirm" if phase == CURVES_PHASE else phase
    tags = {
        _VIEW_PREFIX + METHODS_VIEW: _envelope(
            "Methods (recommended settings)" if phase == CURVES_PHASE else f"Methods ({phase} runs)",
            2,
            _state(methods, ratios, phase, metric, lower_is_better, limits, grouped=phase != CURVES_PHASE),
        ),
        _VIEW_PREFIX + RUNS_VIEW: _envelope(
            f"Every {trials} run",
            1,
            _state(methods, ratios, trials, metric, lower_is_better, limits, grouped=False),
        ),
        _KIND_TAG: "custom_model_development",
    }
    note = client.get_experiment(experiment_id).tags.get(_NOTE_TAG, "")
    if not note.strip() or METHODS_VIEW in note:
        tags[_NOTE_TAG] = _description(experiment_id, sweep, methods, phase, metric)
    for key, value in tags.items():
        if len(value) > MAX_TAG_LENGTH:
            raise ValueError(
                f"experiment tag {key} would have {len(value)} characters, over the limit of "
                f"{MAX_TAG_LENGTH}; give fewer methods or ratios"
            )
    for key, value in tags.items():
        client.set_experiment_tag(experiment_id, key, value)
    return view_url(experiment_id)


def _description(experiment_id: str, sweep: str, methods: Sequence[str], phase: str, metric: str) -> str:
    """Markdown of the experiment's description; the UI shows its first line when folded."""
    # Links that begin with "#" stay inside the UI wherever the server is mounted.
    by_method = view_url(experiment_id, METHODS_VIEW).lstrip("/")
    by_run = view_url(experiment_id, RUNS_VIEW).lstrip("/")
    drawn = (
        "A line is a method's frontier as the report has it: at each ratio the setting that is best on "
        "validation, its mean over the confirmation seeds."
        if phase == CURVES_PHASE
        else f"A line is the mean of a method's runs with `rewa.phase = {phase}` and its band their range."
    )
    return (
        f"Sparse training methods: **[compare them]({by_method})**, or [run by run]({by_run}).\n\n"
        f"Sweep `{sweep}` compares {', '.join(methods)}. The charts show {metric} after pruning to a "
        "compression ratio (prunable weights over non-zero ones; the charts call it Step). "
        f"{drawn} The run with `rewa.phase = summary` holds the report, the figure and the tables."
    )


def _envelope(name: str, order: int, state: Mapping[str, Any]) -> str:
    """Wrap a view's state as the UI stores it: named, deflated and base64-coded."""
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    # The dates only order the UI's list of views, newest first.
    return json.dumps({"name": name, "createdAt": order, "updatedAt": order, "state": "deflate;" + packed})


def _state(
    methods: Sequence[str],
    ratios: Sequence[int],
    phase: str,
    metric: str,
    lower_is_better: bool,
    limits: tuple[float, float] | None,
    *,
    grouped: bool,
) -> dict[str, Any]:
    """State of the runs page: filter, columns, grouping and charts."""
    scores = [f"test_{metric}/at_{ratio}x" for ratio in ratios]
    curves = phase == CURVES_PHASE
    middle = [] if curves else scores[len(scores) // 2 : len(scores) // 2 + 1]
    lines = [f"frontier/test_{metric}", f"frontier/{metric}"] if curves else [f"frontier/{metric}"]
    frontier, details = "rewa-frontier", "rewa-details"
    charts = [
        *(_chart(f"line-{key}", "LINE", frontier, **_frontier_line(key, limits)) for key in lines),
        *(_chart(f"bar-{key}", "BAR", details, metricKey=key) for key in scores),
        *(_chart(f"scatter-{key}", "SCATTER", details, **_scatter(key)) for key in middle),
    ]
    # The UI cuts the names at about 30 characters and ignores titles of single charts.
    sections = [
        _section(frontier, "Step (x) = compression ratio", columns=len(lines), height=400),
        _section(details, f"Test {metric} at fixed ratios", columns=2, height=300),
    ]
    order = scores[-1] if curves and scores else "score"
    shown = scores if curves else ["score", *scores]
    columns = ["tags.`rewa.method`", *(f"metrics.`{key}`" for key in shown)]
    by_method = [{"mode": "tag", "groupByData": "rewa.method"}]
    return {
        "searchFilter": f"tags.`rewa.phase` = '{phase}'",
        "orderByKey": f"metrics.`{order}`",
        "orderByAsc": lower_is_better and order != "score",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns if not grouped else columns[1:],
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
        "groupBy": {"aggregateFunction": "average", "groupByKeys": by_method} if grouped else None,
        "groupsExpanded": {f"tag.rewa.method.{method}": False for method in methods},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": False,
    }


def _frontier_line(metric: str, limits: tuple[float, float] | None) -> dict[str, Any]:
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


def _scatter(metric: str) -> dict[str, Any]:
    """Settings of a scatter plot of ``metric`` against the search's objective."""
    return {"xaxis": {"key": "score", "type": "METRIC"}, "yaxis": {"key": metric, "type": "METRIC"}}


def _chart(uuid: str, kind: str, section: str, **settings: Any) -> dict[str, Any]:
    """One chart card of the runs page."""
    common = {"deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    return {"uuid": uuid, "type": kind, "metricSectionId": section, **common, **settings}


def _section(uuid: str, name: str, *, columns: int, height: int) -> dict[str, Any]:
    """One section of chart cards; ``isReordered`` keeps the UI from sorting it by name."""
    layout = {"columns": columns, "cardHeight": height}
    return {"uuid": uuid, "name": name, "display": True, "isReordered": True, **layout}
