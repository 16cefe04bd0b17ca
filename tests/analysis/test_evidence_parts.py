"""The sections of importance, maps, failures and layers on every kind of record a report is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from planted import drawn, searched
from synthetic import Record, error_sweep, flat, frontier_rows, make_record, realistic, run_row

from analysis.figures import png
from analysis.merge import merge
from analysis.page.parts import PARTS as ALL
from analysis.page.parts import Part
from analysis.page.rendering import environment
from analysis.summary import summarise
from rewa.sweep_tables import LAYER_COLUMNS

NAMES = ("importance", "interactions", "failures", "layers")
PARTS = {part.name: part for part in ALL if part.name in NAMES}


def hand_made() -> Record:
    runs = [run_row("rewa", 0, 0, "train", score=None)]
    points = frontier_rows("rewa", flat(0.9), 0, 0, "train")
    return Record("hand", {}, pd.DataFrame(runs), pd.DataFrame(points), [])


def all_failed() -> Record:
    runs = [run_row("rewa", n, 0, "search", status="failed", reason="<b>", score=None) for n in range(12)]
    return replace(make_record({}, meta={}), runs=pd.DataFrame(runs))


def with_layers(record: Record, names: int) -> Record:
    rows = [
        (run["method"], run["trial"], run["seed"], run["phase"], f"layer{n}.conv", 100 * (n + 1), 100.0, n)
        for run in record.runs[record.runs["phase"] == "confirm"].to_dict("records")
        for n in range(names)
    ]
    return replace(record, layers=pd.DataFrame(rows, columns=list(LAYER_COLUMNS)))


def full(count: int = 20) -> Record:
    """A planted search with failures, confirmed on seeds, one of them lost; with layers."""
    found = searched(drawn(count), lambda d: d["a"], fails=lambda d: d["b"] > 0.7)
    confirmed = make_record({"rewa": flat(0.9)}, search=False, trials=2)
    lost = run_row("rewa", 1, 4, "confirm", status="failed", reason="ValueError: no", score=0.0)
    runs = pd.concat([found.runs, confirmed.runs, pd.DataFrame([lost])], ignore_index=True)
    return with_layers(replace(found, name="full", runs=runs, frontier=confirmed.frontier), 14)


def merged() -> Record:
    one = full()
    names = {"first": one, "second": replace(one, runs=one.runs.assign(lr=0.5))}
    return merge([replace(r, name=n, runs=r.runs.assign(sweep=n)) for n, r in names.items()])  # type: ignore[return-value]


RECORDS: dict[str, Callable[[], Record]] = {
    "realistic": realistic,
    "errors": error_sweep,
    "empty": lambda: make_record({}, meta={}),
    "hand-made": hand_made,
    "all failed": all_failed,
    "full": full,
    "merged": merged,
    "few layers": lambda: with_layers(make_record({"rewa": flat(0.9)}), 3),
}


def rendered(part: Part, block: dict[str, Any], names: list[str]) -> str:
    images = {name: {"wide": "data:wide", "narrow": "data:narrow"} for name in names}
    return environment().get_template(f"parts/{part.name}.html.j2").render(block=block, images=images)


def test_all_are_on_the_page() -> None:
    assert tuple(PARTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", RECORDS)
def test_every_part_on_every_record(kind: str, name: str) -> None:
    summary, part = summarise(RECORDS[kind]()), PARTS[name]
    block = part.block(summary)
    says = {
        "importance": kind != "empty",
        "interactions": kind not in ("empty", "hand-made"),
        "failures": kind in ("all failed", "full", "merged"),
        "layers": kind in ("full", "merged", "few layers"),
    }
    assert (block is not None) == says[name]
    if block is None:
        return
    wide = part.figures(summary, block, False)
    assert all(isinstance(figure, Figure) for figure in wide.values())
    html = rendered(part, block, list(wide))
    assert html.count("<h2>") == 1
    assert html.count("<img") == len(wide)
    assert "nan" not in html.replace("became nan", "")
    assert "None" not in html
    assert "<b>" not in html


@pytest.mark.parametrize("name", NAMES)
def test_equal_records_give_equal_pictures_and_words(name: str) -> None:
    def made() -> tuple[list[bytes], str]:
        summary = summarise(full())
        block = PARTS[name].block(summary)
        assert block is not None
        drawings = PARTS[name].figures(summary, block, True)
        assert list(drawings) == list(PARTS[name].figures(summary, block, False)) == [name]
        return [png(figure, dpi=40) for figure in drawings.values()], rendered(
            PARTS[name], block, list(drawings)
        )

    assert made() == made()


def test_what_the_sections_say() -> None:
    summary = summarise(full())
    told = {name: part.block(summary) for name, part in PARTS.items()}
    lost = sum(draw["b"] > 0.7 for draw in drawn(20))
    words = rendered(PARTS["failures"], told["failures"] or {}, ["failures"])
    assert f"{lost} of 20 search trials and 1 of 7 confirmation runs diverged or failed" in words
    assert "rewa trials that diverged or failed have b &gt; 0.7" in words.replace("0.68", "0.7")
    assert "failed with ValueError" in words
    counts = (told["failures"] or {})["counts"]
    assert counts.loc["rewa"].to_dict() == {"loss not finite": lost, "confirmation lost": 1}
    assert "<details>" in rendered(PARTS["layers"], told["layers"] or {}, ["layers"])
    assert "layer0.conv has no weight left on 3 of 3 seeds" in rendered(
        PARTS["layers"], told["layers"] or {}, ["layers"]
    )


def test_a_method_without_bars_is_explained() -> None:
    block = PARTS["importance"].block(summarise(realistic()))
    assert block is not None
    assert block["panels"] == []
    assert block["missing"] == [
        "rewa, spred, sgd_l1, magnitude and random: 3 trials are too few: it takes 10."
    ]
