"""Workers and drivers that are killed, interrupted or started twice, all in one sweep."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults import kills
from benchmarks.faults.ground import Ground
from benchmarks.faults.inject import counted
from benchmarks.faults.outcome import judge
from benchmarks.faults.plan import Plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

CHAIN = (
    kills.kill_worker,
    kills.second_driver,
    kills.kill_driver,
    kills.interrupt,
    kills.terminate,
    kills.kill_driver_confirming,
)


def test_a_sweep_survives_every_kill(tmp_path: Path, migrated_store: Path) -> None:
    def act(ground: Ground) -> None:
        for fault in CHAIN:
            fault(ground)

    found = counted("kills", Plan(trials=10), act, tmp_path / "sweep", migrated_store)
    assert judge(found) == []
    assert len(found.recovery) == len(CHAIN)
