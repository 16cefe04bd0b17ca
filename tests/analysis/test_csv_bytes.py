"""The fast CSV is pandas' own, byte for byte."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import error_sweep, realistic

from analysis.page.csv_bytes import csv_bytes

numbers = st.sampled_from(
    [0.0, -0.0, 1.0, 1e-8, 1 / 3, 97.2222, 1e300, -5e-324, math.inf, -math.inf, math.nan]
)
words = st.sampled_from(
    ["", "a", "zero product", 'say "x"', "a,b", "two\nlines", "ü", "a\u2028b", "a\rb", "1.0"]
)


@settings(max_examples=30)
@given(
    floats=st.lists(numbers, min_size=6, max_size=6),
    texts=st.lists(st.one_of(words, st.none()), min_size=6, max_size=6),
    mixed=st.lists(
        st.one_of(st.just(1), st.just(1.0), st.just(True), words, st.none()), min_size=6, max_size=6
    ),
)
def test_every_kind_of_column(floats: list[float], texts: list[str | None], mixed: list[object]) -> None:
    table = pd.DataFrame({"floats": floats, "texts": texts, "mixed": pd.Series(mixed, dtype=object)})
    table["flags"], table["counts"] = [True, False] * 3, range(6)
    for columns in (list(table), ["floats"], ["texts"], ["counts", "flags", "floats"]):
        part = table[columns]
        assert csv_bytes(part) == part.to_csv(index=False).encode()


@pytest.mark.parametrize("sweep", [realistic, error_sweep])
def test_the_frontiers_of_sweeps(sweep: object) -> None:
    frontier = sweep().frontier  # type: ignore[operator]
    assert csv_bytes(frontier) == frontier.to_csv(index=False).encode()
    assert csv_bytes(frontier.iloc[:0]) == frontier.iloc[:0].to_csv(index=False).encode()


def test_the_index_does_not_matter() -> None:
    table = pd.DataFrame({"a": [0.1, 0.1, 0.3], "b": ["x", "x", "y"]}, index=[7, 7, 2])
    assert csv_bytes(table) == table.to_csv(index=False).encode()
    assert csv_bytes(pd.DataFrame({"a": np.arange(3, dtype=np.int64)})) == b"a\n0\n1\n2\n"
