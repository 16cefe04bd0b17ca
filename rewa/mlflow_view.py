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
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from rewa.mlflow_charts import frontier_state, search_state

METHODS_VIEW = "rewa-methods"
"""Key of the view that compares the methods."""

CURVES_PHASE = "frontier"
"""``rewa.phase`` of the runs, one per method, that hold a method's frontier as the report shows it."""

RUNS_VIEW = "rewa-runs"
"""Key of the view with one line per run, in the method's colour."""

SEARCH_VIEW = "rewa-search"
"""Key of the view of the search: settings against the objective."""

REPORT = "report.html"
"""Name of the report among the summary run's files."""

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

_WORKFLOW = "workflowType=machine_learning"
_VIEW_PREFIX = "mlflow.sharedViewState."
NOTE_TAG = "mlflow.note.content"
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
        key: :data:`METHODS_VIEW`, :data:`RUNS_VIEW` or :data:`SEARCH_VIEW`.
    """
    # Without the mode the page opens as a table; without the workflow type pages have the menus for
    # language-model applications.
    return f"/#/experiments/{experiment_id}/runs?compareRunsMode=CHART&{_WORKFLOW}&viewStateShareKey={key}"


@dataclass(frozen=True)
class SweepView:
    """What the views of a sweep are made of.

    Attributes:
        sweep: Name of the sweep.
        methods: Its methods, in display order.
        ratios: Compression ratios R whose metrics were logged as ``test_<metric>/at_Rx``.
        phase: Which runs compare the methods, by their tag ``rewa.phase``. With :data:`CURVES_PHASE` there
            is one run per method, drawn as it is; otherwise a method is the mean of its runs.
        metric: Name of the workload's metric.
        lower_is_better: Whether the best runs have the smallest values.
        limits: Ends of the metric's axis; ``None`` leaves them to the UI.
        recalibrated: Whether the runs have a second frontier after batch-norm recalibration.
        tuned: By method, the settings that the search varied; empty: no view of the search.
        report: The run that has the report among its files; empty: there is none yet.
    """

    sweep: str
    methods: Sequence[str]
    ratios: Sequence[int] = (10, 50, 100, 200)
    phase: str = "confirm"
    metric: str = "accuracy"
    lower_is_better: bool = False
    limits: tuple[float, float] | None = None
    recalibrated: bool = False
    tuned: Mapping[str, Sequence[str]] = field(default_factory=dict)
    report: str = ""


def install_view(client: Client, experiment_id: str, view: SweepView) -> str:
    """Give an experiment its saved views and a description that links to them.

    Calling it again replaces the views. A description that the user has written is left alone.
    Best effort by nature (see the module's docstring): a caller should report a failure and go on.

    Args:
        client: An ``MlflowClient``.
        experiment_id: MLflow's id of the experiment.
        view: What to show.

    Returns:
        The URL, after the server's address, that opens the comparison of the methods.

    Raises:
        ValueError: If a view does not fit into a tag; nothing has been written then.
    """
    is_curves = view.phase == CURVES_PHASE
    trials = "confirm" if is_curves else view.phase
    state = partial(
        frontier_state,
        view.methods,
        view.ratios,
        metric=view.metric,
        lower_is_better=view.lower_is_better,
        limits=view.limits,
        recalibrated=view.recalibrated,
    )
    first = "Methods (recommended settings)" if is_curves else f"Methods ({view.phase} runs)"
    by_method = state(phase=view.phase, curves=is_curves, grouped=not is_curves)
    by_run = state(phase=trials, curves=False, grouped=False)
    tags = {
        _VIEW_PREFIX + METHODS_VIEW: _envelope(first, 3, by_method),
        _VIEW_PREFIX + RUNS_VIEW: _envelope(f"Every {trials} run", 2, by_run),
        _KIND_TAG: "custom_model_development",
    }
    if view.tuned:
        search = _envelope("Search: settings and score", 1, search_state(view.tuned))
        tags[_VIEW_PREFIX + SEARCH_VIEW] = search
    present = client.get_experiment(experiment_id).tags
    note = present.get(NOTE_TAG, "")
    if not note.strip() or METHODS_VIEW in note:
        tags[NOTE_TAG] = _description(experiment_id, view)
    for key, value in tags.items():
        if len(value) > MAX_TAG_LENGTH:
            raise ValueError(
                f"experiment tag {key} would have {len(value)} characters, over the limit of "
                f"{MAX_TAG_LENGTH}; give fewer methods or ratios"
            )
    for key, value in tags.items():
        if present.get(key) != value:
            client.set_experiment_tag(experiment_id, key, value)
    return view_url(experiment_id)


def _description(experiment_id: str, view: SweepView) -> str:
    """Markdown of the experiment's description; the UI shows its first line when folded."""
    # Links that begin with "#" stay inside the UI wherever the server is mounted.
    links = [f"**[compare them]({_link(experiment_id, METHODS_VIEW)})**"]
    links.append(f"[run by run]({_link(experiment_id, RUNS_VIEW)})")
    if view.tuned:
        links.append(f"[the search]({_link(experiment_id, SEARCH_VIEW)})")
    if view.report:
        links.append(f"[the report](#{artifact_path(experiment_id, view.report, REPORT)})")
    drawn = (
        "A line is a method's frontier as the report has it: at each ratio the setting that is best on "
        "validation, its mean over the confirmation seeds."
        if view.phase == CURVES_PHASE
        else f"A line is the mean of a method's runs with `rewa.phase = {view.phase}`, its band their range."
    )
    renewed = (
        " Series that end in `_recalibrated` are after batch-norm statistics were recomputed on the pruned "
        "models."
        if view.recalibrated
        else ""
    )
    return (
        f"Sparse training methods: {', '.join(links)}.\n\n"
        f"Sweep `{view.sweep}` compares {', '.join(view.methods)}. The charts show {view.metric} after "
        "pruning to a compression ratio (prunable weights over non-zero ones; the charts call it Step). "
        f"{drawn}{renewed} The view of the search shows the first hundred runs by score; the list's "
        '"Load more" adds others. The run with `rewa.phase = summary` holds the report, the figure and the '
        "tables."
    )


def _link(experiment_id: str, key: str) -> str:
    return view_url(experiment_id, key).lstrip("/")


def run_path(experiment_id: str, run_id: str) -> str:
    """Path of a run's page within the UI, after ``#``."""
    return f"/experiments/{experiment_id}/runs/{run_id}?{_WORKFLOW}"


def artifact_path(experiment_id: str, run_id: str, name: str) -> str:
    """Path of the page that shows a run's file, after ``#``."""
    return f"/experiments/{experiment_id}/runs/{run_id}/artifacts/{name}?{_WORKFLOW}"


def _envelope(name: str, order: int, state: Mapping[str, Any]) -> str:
    """Wrap a view's state as the UI stores it: named, deflated and base64-coded."""
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    # The dates only order the UI's list of views, newest first.
    return json.dumps({"name": name, "createdAt": order, "updatedAt": order, "state": "deflate;" + packed})
