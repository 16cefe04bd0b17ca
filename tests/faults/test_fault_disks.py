"""Disks that are full, and a damaged checkpoint."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.faults import disks
from benchmarks.faults.catalog import CATALOG
from benchmarks.faults.ground import Ground
from benchmarks.faults.inject import counted, inject
from benchmarks.faults.outcome import judge

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_full_disks_cost_neither_results_nor_trials(tmp_path: Path, migrated_store: Path) -> None:
    if reason := disks.missing_small_disk():
        pytest.skip(reason)

    def act(ground: Ground) -> None:
        disks.results_on_full_disk(ground)
        disks.checkpoint_on_full_disk(ground)

    plan = replace(CATALOG["checkpoint-disk-full"].plan, trials=8)
    found = counted("disks", plan, act, tmp_path / "sweep", migrated_store)
    assert judge(found) == []
    assert len(found.recovery) == 2


def test_a_damaged_checkpoint_costs_an_epoch(tmp_path: Path, migrated_store: Path) -> None:
    fault = CATALOG["damaged-checkpoint"]
    smaller = replace(fault, plan=replace(fault.plan, trials=1))
    assert judge(inject("damaged", smaller, tmp_path / "sweep", migrated_store)) == []
