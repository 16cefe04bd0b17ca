"""Trials that raise, hang or kill their worker, in packs with others; and a node that vanishes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.faults.catalog import CATALOG
from benchmarks.faults.inject import counted, inject
from benchmarks.faults.losses import marked_trials
from benchmarks.faults.outcome import judge
from benchmarks.faults.plan import Plan

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_marked_trials_alone_fail(tmp_path: Path, migrated_store: Path) -> None:
    plan = Plan(trials=2, methods=("raiser", "hanger", "killer", "steady"), pack=4, timeout=12)
    found = counted("marked", plan, marked_trials, tmp_path / "sweep", migrated_store)
    assert judge(found) == []
    assert set(found.failed) == {"raiser", "hanger", "killer"}


def test_a_node_may_vanish(tmp_path: Path, migrated_store: Path) -> None:
    found = inject("node", CATALOG["node"], tmp_path / "sweep", migrated_store)
    assert judge(found) == []
    assert found.finished
