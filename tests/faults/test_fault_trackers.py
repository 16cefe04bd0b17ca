"""A tracking server that goes away and a database that restarts, in one sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import trackers
from benchmarks.faults.ground import Ground
from benchmarks.faults.inject import counted
from benchmarks.faults.outcome import judge
from benchmarks.faults.plan import Plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_sweep_survives_its_tracker(tmp_path: Path) -> None:
    if reason := trackers.no_postgres():
        pytest.skip(reason)

    def act(ground: Ground) -> None:
        server = trackers.start_on_postgres(ground)
        trackers.take_away(ground, server, 4.0)
        trackers.ends_with_all_written(ground)

    found = counted("trackers", Plan(trials=14, pause=0.3), act, tmp_path / "sweep")
    assert judge(found) == []
    assert len(found.recovery) == 3
