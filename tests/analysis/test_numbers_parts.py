"""The sections on intervals, references and search progress: what they say is what the tables hold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from synthetic import META, Record, decay, error_sweep, flat, make_record, realistic

from analysis.evidence.intervals import comparisons
from analysis.evidence.progress import search_ends, search_progress
from analysis.figures import png
from analysis.page.parts import fixed, progress, sensitivity
from analysis.page.rendering import environment
from analysis.summary import Summary, summarise

MODULES = (fixed, sensitivity, progress)
REAL = summarise(realistic())
ERROR = summarise(error_sweep())
PAIR = {"rewa": decay(420.0, salt=1), "spred": decay(260.0, salt=2)}


def html(module: ModuleType, block: Mapping[str, Any]) -> str:
    name = module.__name__.rpartition(".")[2]
    images = {key: {"wide": "w", "narrow": "n"} for key in ("intervals", "strip", "progress")}
    return environment().get_template(f"parts/{name}.html.j2").render(block=block, images=images)


@pytest.mark.parametrize(
    ("module", "summary"),
    [(fixed, REAL), (fixed, ERROR), (sensitivity, ERROR), (progress, REAL)],
    ids=["fixed", "fixed error", "sensitivity", "progress"],
)
def test_a_section_renders_and_draws_the_same_bytes_twice(module: ModuleType, summary: Summary) -> None:
    block = module.block(summary)
    page = html(module, block)
    assert "nan" not in re.sub(r"<[^>]+>", " ", page).lower().split()
    assert html(module, module.block(summary)) == page
    wide, again = (module.figures(summary, block, False) for _ in range(2))
    narrow = module.figures(summary, block, True)
    assert list(wide) == list(again) == list(narrow)
    for name, figure in wide.items():
        assert png(figure, dpi=30) == png(again[name], dpi=30)
        assert figure.get_figwidth() == 8.6
        assert narrow[name].get_figwidth() == 4.3


def bare(record: Record) -> Record:
    """The same as hand-made runs, without a description."""
    tables = {}
    for name in ("runs", "frontier"):
        table = getattr(record, name)
        tables[name] = table[table["phase"] == "search"].assign(phase="train")
    return replace(record, meta={}, **tables)


POOR = {
    "unconfirmed": make_record(PAIR, seeds=(), trials=1),
    "one seed": make_record(PAIR, seeds=(1,), trials=1),
    "two seeds": make_record(PAIR, seeds=(1, 2), trials=1),
    "hand-made": bare(make_record(PAIR, trials=1)),
    "alone": make_record({"rewa": decay(400.0)}, trials=1),
    "equal": make_record({"rewa": flat(0.97), "spred": flat(0.97)}, trials=1),
    "hopeless": make_record({"rewa": flat(0.05), "spred": flat(0.04)}, trials=1),
    "missing": make_record({"rewa": decay(400.0), "spred": flat(math.nan)}, trials=1),
}


@pytest.mark.parametrize("name", POOR)
def test_poor_sweeps_are_told_or_left_out_and_never_break_the_page(name: str) -> None:
    summary = summarise(POOR[name])
    for module in MODULES:
        block = module.block(summary)
        if block is not None:
            html(module, block)
            for figure in module.figures(summary, block, True).values():
                if name in ("alone", "equal", "missing"):  # those that could upset a layout
                    png(figure, dpi=30)


def test_without_results_or_a_search_a_section_is_left_out() -> None:
    nothing = replace(realistic(), frontier=realistic().frontier.iloc[:0])
    assert fixed.block(summarise(nothing)) is None
    assert sensitivity.block(summarise(nothing)) is None
    assert progress.block(summarise(bare(realistic()))) is None
    assert sensitivity.block(summarise(make_record({"rewa": decay(400.0)}))) is None


def test_the_table_has_every_rival_of_the_leader_and_bold_what_holds() -> None:
    block = fixed.block(REAL)
    assert block is not None
    table = comparisons(REAL)
    leading = table[table["leads"]]
    assert [(row["leader"], row["rival"]) for row in block["rows"]] == list(
        zip(leading["method"], leading["rival"], strict=True)
    )
    assert [row["holds"] for row in block["rows"]] == (leading["p_adjusted"] < 0.05).tolist()
    count = int((leading["p_adjusted"] < 0.05).sum())
    assert (
        f"Of {int(leading['p'].notna().sum())} tested comparisons with the leader, {count} hold"
        in (block["sentence"])
    )
    assert f"for all {int(table['p'].notna().sum())} tests" in block["sentence"]
    assert "cannot give a p below 0.25" in block["sentence"]


def test_enough_seeds_are_not_called_too_few() -> None:
    block = fixed.block(summarise(realistic(seeds=tuple(range(1, 8)))))
    assert block is not None
    assert "cannot give a p" not in block["sentence"]
    assert "no more than their range" not in block["figure_note"]


def test_verdicts_that_differ_from_the_headline_are_named() -> None:
    # Beyond the noise by Welch, and the same difference at every seed: no paired t test.
    same = {"rewa": flat(0.90, (0.0, 0.001, 0.002)), "spred": flat(0.95, (0.0, 0.001, 0.002))}
    block = fixed.block(summarise(make_record(same, trials=1)))
    assert block is not None
    assert "spred against rewa at 10x (Welch: beyond; paired: no test, the same difference" in block["welch"]
    # By Welch within, as the seeds are noisy, but the same seeds are lucky for both.
    shared = (0.0, 0.03, 0.06)
    lucky = {"rewa": flat(0.85, shared), "spred": flat(0.8702, (0.0, 0.0301, 0.0599))}
    block = fixed.block(summarise(make_record(lucky, trials=1)))
    assert block is not None
    assert "spred against rewa at 10x (Welch: within; paired: beyond)" in block["welch"]
    # Far apart and noisy alike: nothing to name.
    far = {"rewa": flat(0.5, (0.0, 0.01, 0.003)), "spred": flat(0.9, (0.004, 0.0, 0.009))}
    block = fixed.block(summarise(make_record(far, trials=1)))
    assert block is not None
    assert "same verdict" in block["welch"]


def test_what_the_correction_takes_from_the_headline_is_counted() -> None:
    block = fixed.block(REAL)
    assert block is not None
    leading = comparisons(REAL)
    leading = leading[leading["leads"]]
    beyond = leading[leading["welch"].map(lambda verdict: verdict is True)]
    lost = int((~(beyond["p_adjusted"] < 0.05)).sum())
    assert 0 < lost < len(beyond)
    assert f"Of {len(beyond)} rows beyond the seed noise by Welch's interval, {lost} do" in block["welch"]


def test_the_sentence_on_references_names_the_ranges() -> None:
    methods = {
        "rewa": lambda ratio, trial, seed: 0.6,
        "spred": lambda ratio, trial, seed: 0.99 if ratio <= 10 else 0.0,
    }
    meta = {**META, "objective": {"criterion": "ratio", "max_compression": 500, "reference": 0.5}}
    block = sensitivity.block(summarise(make_record(methods, trials=1, meta=meta)))
    assert block is not None
    assert "rewa at 0 % to 37 %" in block["sentence"]  # equal at 0.370, see test_sensitivity
    assert "spred at 38 % to 98 %" in block["sentence"]
    assert "at stricter ones no method beats the reference" in block["sentence"]
    # rewa: 0.1 of 0.5; spred: 0.49 of 0.5 over log10(10) of log10(500)
    assert "spred has 0.363 and rewa 0.200" in block["sentence"]


def test_a_first_place_that_changes_often_is_summed_up() -> None:
    strip = pd.DataFrame(
        {"rewa": [0.5, 0.4] * 8, "spred": [0.4, 0.5] * 8}, index=[0.05 * n for n in range(16)]
    )
    found = sensitivity.stretches(strip)
    sentence = sensitivity._sentence(found, strip, REAL)
    assert "changes 15 times" in sentence
    assert "rewa is first at 50 %" in sentence


def test_progress_is_told_as_the_table_has_it() -> None:
    block = progress.block(REAL)
    assert block is not None
    ends = search_ends(search_progress(REAL)).set_index("method")
    for row in block["rows"]:
        end = ends.loc[row["method"]]
        assert row["final"] == f"{end['hypervolume']:.3f}"
        assert row["trials"] == 3
        assert row["last"].startswith(f"{end['last']} (" if end["last"] else "none")
    silent = make_record({"rewa": lambda ratio, trial, seed: 0.95 - 0.01 * trial}, trials=8)
    block = progress.block(summarise(silent))
    assert block is not None
    assert block["sentence"] == "In the last 2 of 8 trials no method gained anything."
    rising = make_record({"rewa": lambda ratio, trial, seed: 0.85 + 0.01 * trial}, trials=8)
    block = progress.block(summarise(rising))
    assert block is not None
    assert "rewa gained 0.100 (16.7 % of its final value)" in block["sentence"]  # 0.9 to 0.92 above 0.8
    assert "More trials might still help rewa." in block["sentence"]


def test_p_values_as_text() -> None:
    assert fixed.probability(math.nan) == "\u2013"
    assert fixed.probability(0.00049) == "< 0.001"
    assert fixed.probability(0.25) == "0.250"
