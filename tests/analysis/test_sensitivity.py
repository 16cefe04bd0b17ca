"""The strip of references against areas computed one by one, and its stretches against the winners."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import Record, decay, error_sweep, make_record, realistic

from analysis.evidence.sensitivity import Stretch, reference_strip, stretches
from analysis.summary import summarise


@pytest.mark.parametrize("record", [realistic(), error_sweep()], ids=["accuracy", "error"])
def test_areas_are_sums_of_rectangles(record: Record) -> None:
    summary = summarise(record)
    metric, cap = summary.metric, record.meta["objective"]["max_compression"]
    strip = reference_strip(summary, steps=9)
    assert strip.index[0] == pytest.approx(metric.chance)
    assert len(strip) == 9
    span = metric.gain(metric.ideal, metric.chance)
    assert metric.gain(strip.index[-1], metric.chance) == pytest.approx(span * 8 / 9)
    for reference, row in strip.iterrows():
        full = metric.gain(metric.ideal, float(str(reference)))
        for method, found in row.items():
            own = summary.points[summary.points["method"] == method]
            total, height = 0.0, 0.0
            for compression, value in sorted(
                zip(own["compression"], own["test_metric_mean"], strict=True), reverse=True
            ):
                gain = min(metric.gain(value, float(str(reference))), full)
                if gain > height:
                    total += math.log10(min(compression, cap)) * (gain - height)
                    height = gain
            assert found == pytest.approx(total / (math.log10(cap) * full), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(st.tuples(*[st.sampled_from([0.0, 0.3, 0.3 + 1e-13, 0.7])] * 3), min_size=1, max_size=9))
def test_stretches_hold_every_reference_once_with_its_winners(rows: list[tuple[float, ...]]) -> None:
    strip = pd.DataFrame(rows, columns=["a", "b", "c"], index=[0.1 * place for place in range(len(rows))])
    found = stretches(strip)
    for place, row in enumerate(rows):
        inside = [s for s in found if s.start <= 0.1 * place <= s.end]
        assert len(inside) == 1
        best = round(max(row), 9)
        winners = {name for name, value in zip("abc", row, strict=True) if round(value, 9) == best}
        assert set(inside[0].first) == (winners if best > 0.0 else set())
    assert all(one.first != other.first for one, other in pairwise(found))


def test_a_lenient_and_a_strict_reference_can_have_other_winners() -> None:
    # rewa is never good and never lost; spred is perfect up to 10x and nothing beyond.
    methods = {
        "rewa": lambda ratio, trial, seed: 0.6,
        "spred": lambda ratio, trial, seed: 0.99 if ratio <= 10 else 0.0,
    }
    strip = reference_strip(summarise(make_record(methods, trials=1)))
    found = stretches(strip)
    assert [stretch.first for stretch in found] == [("rewa",), ("spred",), ()]
    # log10(500) * (0.6 - r) = log10(10) * (0.99 - r) where they are equal
    decades = math.log10(500.0)
    turn = (0.6 * decades - 0.99) / (decades - 1.0)
    assert found[0].end <= turn <= found[1].start
    assert found[1].start - found[0].end == pytest.approx(1.0 / 200.0)


def test_methods_without_points_are_left_out_and_nothing_is_no_stretch() -> None:
    record = make_record({"rewa": decay(400.0), "spred": decay(300.0)})
    only = replace(record, frontier=record.frontier[record.frontier["method"] == "rewa"])
    assert reference_strip(summarise(only)).columns.tolist() == ["rewa"]
    empty = reference_strip(summarise(replace(record, frontier=record.frontier.iloc[:0])))
    assert empty.shape[1] == 0
    assert stretches(empty) == [Stretch((), empty.index[0], empty.index[-1])]
