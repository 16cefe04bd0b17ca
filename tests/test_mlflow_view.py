from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rewa import mlflow_view
from rewa.mlflow_view import SweepView, install_view, method_colour, run_tags, view_url

METHODS = ["rewa", "spred", "sgd_l1", "magnitude", "random"]
PREFIX = "mlflow.sharedViewState."


class FakeClient:
    """Experiment tags in a dictionary."""

    def __init__(self, **tags: str) -> None:
        self.tags: dict[str, str] = {key.replace("__", "."): value for key, value in tags.items()}
        self.ids: set[str] = set()

    def get_experiment(self, experiment_id: str) -> SimpleNamespace:
        self.ids.add(experiment_id)
        return SimpleNamespace(tags=dict(self.tags))

    def set_experiment_tag(self, experiment_id: str, key: str, value: Any) -> None:
        self.ids.add(experiment_id)
        self.tags[key] = value


def read_view(tags: dict[str, str], key: str) -> dict[str, Any]:
    """Read a view the way the UI does."""
    envelope = json.loads(tags[PREFIX + key])
    assert isinstance(envelope["name"], str)
    assert isinstance(envelope["createdAt"], int)
    marker, packed = envelope["state"].split(";", 1)
    assert marker == "deflate"
    return json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))


@pytest.fixture
def client() -> FakeClient:
    client = FakeClient()
    install_view(client, "7", SweepView("digits", METHODS))
    return client


@pytest.mark.parametrize("key", [mlflow_view.METHODS_VIEW, mlflow_view.RUNS_VIEW])
def test_first_chart_is_accuracy_over_log_compression(client: FakeClient, key: str) -> None:
    state = read_view(client.tags, key)
    first = state["compareRunCharts"][0]
    assert first["type"] == "LINE"
    assert first["selectedMetricKeys"] == ["frontier/accuracy"]
    # The UI has a logarithmic axis only for the step, and only off the page-wide setting.
    assert (first["xAxisKey"], first["xAxisScaleType"]) == ("step", "log")
    assert first["useGlobalXaxisKey"] is False
    assert first["metricSectionId"] == state["compareRunSections"][0]["uuid"]
    assert state["isAccordionReordered"] is True


def test_all_confirm_runs_are_drawn(client: FakeClient) -> None:
    state = read_view(client.tags, mlflow_view.RUNS_VIEW)
    assert state["searchFilter"] == "tags.`rewa.phase` = 'confirm'"
    assert state["runsHiddenMode"] == "SHOW_ALL"
    assert state["groupBy"] is None


def test_methods_view_averages_by_method_and_folds_the_groups(client: FakeClient) -> None:
    state = read_view(client.tags, mlflow_view.METHODS_VIEW)
    assert state["groupBy"]["aggregateFunction"] == "average"
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "rewa.method"}]
    assert state["groupsExpanded"] == {f"tag.rewa.method.{name}": False for name in METHODS}


def test_charts_have_unique_ids_and_existing_sections(client: FakeClient) -> None:
    state = read_view(client.tags, mlflow_view.METHODS_VIEW)
    ids = [chart["uuid"] for chart in state["compareRunCharts"]]
    assert len(set(ids)) == len(ids)
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == sections


def test_ratios_select_the_bars_and_the_scatter() -> None:
    client = FakeClient()
    install_view(client, "7", SweepView("digits", METHODS, ratios=(5, 20, 80)))
    charts = read_view(client.tags, mlflow_view.METHODS_VIEW)["compareRunCharts"]
    bars = [chart["metricKey"] for chart in charts if chart["type"] == "BAR"]
    assert bars == ["test_accuracy/at_5x", "test_accuracy/at_20x", "test_accuracy/at_80x"]
    (scatter,) = [chart for chart in charts if chart["type"] == "SCATTER"]
    assert scatter["xaxis"] == {"key": "score", "type": "METRIC"}
    assert scatter["yaxis"] == {"key": "test_accuracy/at_20x", "type": "METRIC"}


def test_no_ratios_leave_the_frontier_alone() -> None:
    client = FakeClient()
    install_view(client, "7", SweepView("digits", METHODS, ratios=()))
    charts = read_view(client.tags, mlflow_view.METHODS_VIEW)["compareRunCharts"]
    assert [chart["type"] for chart in charts] == ["LINE"]


def test_phase_selects_the_runs() -> None:
    client = FakeClient()
    install_view(client, "7", SweepView("digits", METHODS, phase="train"))
    state = read_view(client.tags, mlflow_view.METHODS_VIEW)
    assert state["searchFilter"] == "tags.`rewa.phase` = 'train'"


def test_curves_are_drawn_run_by_run_and_test_first() -> None:
    client = FakeClient()
    install_view(client, "7", SweepView("digits", METHODS, phase=mlflow_view.CURVES_PHASE, limits=(0.8, 1.0)))
    state = read_view(client.tags, mlflow_view.METHODS_VIEW)
    assert state["searchFilter"] == "tags.`rewa.phase` = 'frontier'"
    assert state["groupBy"] is None, "grouping would replace the methods' colours"
    lines = [chart for chart in state["compareRunCharts"] if chart["type"] == "LINE"]
    assert [chart["metricKey"] for chart in lines] == ["frontier/test_accuracy", "frontier/accuracy"]
    assert all(chart["range"] == {"yMin": 0.8, "yMax": 1.0} for chart in lines)
    assert not [chart for chart in state["compareRunCharts"] if chart["type"] == "SCATTER"]
    runs = read_view(client.tags, mlflow_view.RUNS_VIEW)
    assert runs["searchFilter"] == "tags.`rewa.phase` = 'confirm'"


def test_url_and_description_lead_to_the_view(client: FakeClient) -> None:
    url = install_view(client, "7", SweepView("digits", METHODS))
    assert url == view_url("7", mlflow_view.METHODS_VIEW)
    assert url.startswith("/#/experiments/7/runs?")
    assert "compareRunsMode=CHART" in url
    assert "workflowType=machine_learning" in url
    first_line, *rest = client.tags["mlflow.note.content"].splitlines()
    linked = re.findall(r"\(#/[^)]*viewStateShareKey=([\w-]+)\)", first_line)
    assert [PREFIX + key in client.tags for key in linked] == [True, True]
    assert all(name in "".join(rest) for name in ["digits", *METHODS])
    assert client.ids == {"7"}


def test_calling_twice_changes_nothing(client: FakeClient) -> None:
    before = dict(client.tags)
    install_view(client, "7", SweepView("digits", METHODS))
    assert client.tags == before


def test_calling_again_updates_views_and_own_description(client: FakeClient) -> None:
    before = dict(client.tags)
    install_view(client, "7", SweepView("digits", [*METHODS, "newcomer"]))
    assert client.tags.keys() == before.keys()
    assert "newcomer" in client.tags["mlflow.note.content"]


def test_description_of_the_user_is_kept() -> None:
    client = FakeClient(mlflow__note__content="my notes")
    install_view(client, "7", SweepView("digits", METHODS))
    assert client.tags["mlflow.note.content"] == "my notes"


def test_tags_fit_the_store_with_many_methods() -> None:
    client = FakeClient()
    install_view(client, "7", SweepView("digits", [f"method_{i}" for i in range(40)], ratios=range(1, 15)))
    assert max(map(len, client.tags.values())) <= mlflow_view.MAX_TAG_LENGTH


def test_view_that_does_not_fit_is_refused_before_writing() -> None:
    client = FakeClient()
    with pytest.raises(ValueError, match="over the limit"):
        install_view(client, "7", SweepView("digits", [f"{i:x}" * 9 for i in range(900)]))
    assert client.tags == {}


def test_colours_are_stable_and_distinct() -> None:
    assert method_colour("rewa") == "#D55E00"
    assert len({method_colour(name) for name in METHODS}) == len(METHODS)
    unknown = method_colour("newcomer")
    assert unknown == "#CC6677"  # the same in every process
    assert unknown not in {method_colour(name) for name in METHODS}
    assert run_tags("newcomer") == {"mlflow.runColor": unknown}
    assert all(re.fullmatch("#[0-9A-F]{6}", method_colour(f"m{i}")) for i in range(50))


@pytest.mark.slow
def test_real_store_keeps_the_views(tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    client = tracking.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("digits", artifact_location=str(tmp_path / "artifacts"))
    run = client.create_run(experiment, tags={"rewa.phase": "confirm", **run_tags("rewa")})
    for _ in range(2):
        url = install_view(client, experiment, SweepView("digits", METHODS))
    assert f"/experiments/{experiment}/" in url
    tags = client.get_experiment(experiment).tags
    assert sum(key.startswith(PREFIX) for key in tags) == 2
    state = read_view(tags, mlflow_view.METHODS_VIEW)
    # The filter of the view is one that the store accepts.
    found = client.search_runs([experiment], filter_string=state["searchFilter"])
    assert [r.info.run_id for r in found] == [run.info.run_id]
    assert found[0].data.tags["mlflow.runColor"] == method_colour("rewa")


def test_recalibrated_series_stand_beside_the_raw_ones() -> None:
    client = FakeClient()
    view = SweepView("digits", METHODS, ratios=(10, 100), phase=mlflow_view.CURVES_PHASE, recalibrated=True)
    install_view(client, "7", view)
    charts = read_view(client.tags, mlflow_view.METHODS_VIEW)["compareRunCharts"]
    lines = [chart["metricKey"] for chart in charts if chart["type"] == "LINE"]
    assert lines == [
        *("frontier/test_accuracy", "frontier/accuracy"),
        *("frontier/test_accuracy_recalibrated", "frontier/accuracy_recalibrated"),
    ]
    bars = [chart["metricKey"] for chart in charts if chart["type"] == "BAR"]
    assert bars == [
        *("test_accuracy/at_10x", "test_accuracy_recalibrated/at_10x"),
        *("test_accuracy/at_100x", "test_accuracy_recalibrated/at_100x"),
    ]
    assert "_recalibrated" in client.tags["mlflow.note.content"]
    runs = read_view(client.tags, mlflow_view.RUNS_VIEW)["compareRunCharts"]
    assert [c["metricKey"] for c in runs if c["type"] == "LINE"] == [
        "frontier/accuracy",
        "frontier/accuracy_recalibrated",
    ]


def test_the_search_is_settings_against_score() -> None:
    client = FakeClient()
    tuned = {
        "rewa": ["K", "M", "lr", "weight_decay"],
        "spred": ["lr", "weight_decay"],
        "sgd_l1": ["lr", "l1"],
        "magnitude": ["lr", "weight_decay"],
    }
    install_view(client, "7", SweepView("digits", list(tuned), tuned=tuned, report="abc"))
    state = read_view(client.tags, mlflow_view.SEARCH_VIEW)
    assert state["searchFilter"] == "tags.`rewa.phase` = 'search'"
    scatters = [c for c in state["compareRunCharts"] if c["type"] == "SCATTER"]
    assert [(c["xaxis"]["key"], c["xaxis"]["type"]) for c in scatters] == [
        ("lr", "PARAM"),
        ("weight_decay", "PARAM"),
    ]
    assert {c["yaxis"]["key"] for c in scatters} == {"score"}
    parallel = {c["uuid"]: c for c in state["compareRunCharts"] if c["type"] == "PARALLEL"}
    assert set(parallel) == {"parallel-rewa", "parallel-sgd_l1"}, "the others' settings are rewa's too"
    assert parallel["parallel-rewa"]["selectedParams"] == tuned["rewa"]
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == sections
    first_line = client.tags["mlflow.note.content"].splitlines()[0]
    assert "viewStateShareKey=rewa-search" in first_line
    assert "(#/experiments/7/runs/abc/artifacts/report.html" in first_line


def test_without_a_search_or_a_report_nothing_points_there(client: FakeClient) -> None:
    assert PREFIX + mlflow_view.SEARCH_VIEW not in client.tags
    assert "rewa-search" not in client.tags["mlflow.note.content"]
    assert "report.html" not in client.tags["mlflow.note.content"]


def test_the_search_of_many_methods_fits_into_a_tag() -> None:
    client = FakeClient()
    tuned = {f"method_{i}": ["lr", f"own_{i}", "weight_decay"] for i in range(40)}
    install_view(client, "7", SweepView("digits", list(tuned), tuned=tuned))
    assert max(map(len, client.tags.values())) <= mlflow_view.MAX_TAG_LENGTH


def test_what_is_there_already_is_not_written_again(client: FakeClient) -> None:
    written: list[str] = []
    before = client.set_experiment_tag
    client.set_experiment_tag = lambda i, k, v: (written.append(k), before(i, k, v))[1]  # type: ignore[method-assign]
    install_view(client, "7", SweepView("digits", METHODS))
    assert not written
    install_view(client, "7", SweepView("digits", METHODS, report="abc"))
    assert written == ["mlflow.note.content"]
