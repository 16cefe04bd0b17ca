"""A short soak."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults.ground import Ground
from benchmarks.faults.inject import counted
from benchmarks.faults.outcome import judge
from benchmarks.faults.plan import Plan
from benchmarks.faults.soak import soak

SEED = 0
"""Its draws: worker, driver, worker, driver, worker, worker, ..., while two workers train."""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_random_kills_lose_nothing(tmp_path: Path, migrated_store: Path) -> None:
    killed: list[str] = []

    def act(ground: Ground) -> None:
        killed.extend(soak(ground, 8.0, SEED))

    found = counted("soak", Plan(trials=20), act, tmp_path / "sweep", migrated_store)
    assert judge(found) == []
    assert killed, "the sweep ended before anything was killed"
