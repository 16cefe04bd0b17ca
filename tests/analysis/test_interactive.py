"""The interactive figure: its content against the tables, its determinism, its safety inside a page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from synthetic import Record, error_sweep, flat, make_record, realistic

from analysis.page.curves import Curves, curves
from analysis.page.interactive import MARKERS, TARGET, frontier_item, hover_table, library
from analysis.page.rows import numbered_front
from analysis.styles import MARKERS as KNOWN_MARKERS
from analysis.styles import SPARE_MARKERS
from analysis.summary import Summary, summarise
from rewa.mlflow_view import method_colour


def item_of(record: Record) -> tuple[dict[str, Any], Summary, Curves]:
    summary = summarise(record)
    drawn = curves(summary, numbered_front(summary))
    return json.loads(frontier_item(drawn, summary, {})), summary, drawn


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object and reference of a document, outermost first."""
    if isinstance(value, dict):
        if "id" in value:
            yield value
        for inner in value.values():
            yield from objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from objects(inner)


def sources(item: dict[str, Any], name: str) -> list[dict[str, list[Any]]]:
    """The data of the renderers of a name."""
    found = [one for one in objects(item) if one.get("attributes", {}).get("name") == name]
    entries = [one["attributes"]["data_source"]["attributes"]["data"]["entries"] for one in found]
    return [dict(pairs) for pairs in entries]


@pytest.mark.parametrize("make", [realistic, error_sweep])
def test_every_point_is_there_with_its_whole_setting(make: Any) -> None:
    item, summary, _ = item_of(make())
    known = summary.points[summary.points["test_metric_mean"].notna()]
    told = [
        row
        for data in [*sources(item, "dots"), *sources(item, "front")]
        for row in zip(data["method"], data["trial"], data["target"], data["setting"], strict=True)
    ]
    expected = []
    for row in known.to_dict("records"):
        names = [name for name in summary.record.config_columns if not pd.isna(row[name])]
        values = [int(row[n]) if isinstance(row[n], float) and row[n].is_integer() else row[n] for n in names]
        text = " ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
        expected.append((row["method"], row["trial"], f"{row['value']:g}x", text))
    assert sorted(told) == sorted(expected)


def test_what_is_told_of_a_point() -> None:
    record = make_record({"rewa": flat(0.9, (0.0, -0.01, 0.01))}, trials=1, ratios=(1, 100))
    summary = summarise(record)
    drawn = curves(summary, numbered_front(summary))
    links = {("rewa", "rewa-0000"): "http://x/#/runs/1"}
    table = hover_table(drawn.points, summary, links)
    last = {column: values[-1] for column, values in table.items()}
    assert last == {
        "x": 100.0,
        "y": pytest.approx(90.0),
        "method": "rewa",
        "trial": "rewa-0000",
        "target": "100x",
        "test": "90.0 ± 1.0 %",
        "val": "90.0 %",
        "seeds": "confirmed on 3 seeds",
        "compression": "100x",
        "total": "41.9x",
        "link": "http://x/#/runs/1",
        "setting": "lr=0.062134567891 momentum=0.9 weight_decay=0.0013 K=9 M=1.7423456789",
    }


def test_the_front_is_emphasised_with_its_numbers() -> None:
    item, summary, _ = item_of(realistic())
    front = numbered_front(summary)
    told = {
        number: (method, trial)
        for data in sources(item, "front")
        for number, method, trial in zip(data["number"], data["method"], data["trial"], strict=True)
    }
    assert told == {
        str(number): (method, trial)
        for number, method, trial in zip(front["number"], front["method"], front["trial"], strict=True)
    }


def test_references_are_all_defined_and_ids_count_from_one() -> None:
    item, _, _ = item_of(realistic())
    defined = [one["id"] for one in objects(item) if "type" in one]
    assert len(defined) == len(set(defined))
    assert {one["id"] for one in objects(item)} == set(defined)
    assert set(defined) == {f"f{number}" for number in range(1, len(defined) + 1)}
    assert item["target_id"] == TARGET


def test_the_same_sweep_gives_the_same_figure_whatever_was_drawn_before() -> None:
    summary = summarise(make_record({"rewa": flat(0.9), "magnitude": flat(0.95)}, trials=1))
    drawn = curves(summary, numbered_front(summary))
    first = frontier_item(drawn, summary, {})
    item_of(make_record({"rewa": flat(0.9)}, trials=1))
    assert frontier_item(drawn, summary, {}) == first


def test_names_cannot_break_out_of_the_script_element() -> None:
    record = make_record({"rewa": flat(0.9)}, trials=1)
    for table in (record.runs, record.frontier):
        table["init"] = "</script><script>alert(1)</script><!--"
    summary = summarise(record)
    text = frontier_item(curves(summary, numbered_front(summary)), summary, {})
    assert "<" not in text
    assert "init=</script>" in sources(json.loads(text), "dots")[0]["setting"][0]


def test_an_empty_sweep_has_a_figure_too(caplog: pytest.LogCaptureFixture) -> None:
    item, _, _ = item_of(make_record({}, meta={}))
    assert not sources(item, "dots")
    assert not caplog.records


def test_methods_keep_their_colours_and_have_different_markers() -> None:
    item, summary, _ = item_of(realistic())
    colours = {data["method"][0]: set(data["color"]) for data in sources(item, "dots") if data["method"]}
    assert colours == {method: {method_colour(method)} for method in summary.methods}
    every = [MARKERS[marker] for marker in KNOWN_MARKERS.values()]
    assert len(set(every)) == len(every)
    assert {MARKERS[marker] for marker in SPARE_MARKERS}


def test_the_library_is_the_core_alone_and_fits_a_script_element() -> None:
    assert 5e5 < len(library()) < 2e6
    assert "</script" not in library()
