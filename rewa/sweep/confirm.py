"""Which settings are worth retraining on fresh seeds."""

from __future__ import annotations

from collections.abc import Sequence

from rewa.record import Record
from rewa.sparsity.area import frontier_area
from rewa.sweep.space import Objective


def pareto_settings(records: Sequence[Record], limit: int, objective: Objective) -> list[Record]:
    """Choose the settings whose pooled frontier is best on validation.

    A setting is Pareto-optimal if, at some compression, no other setting of the method is at least as
    accurate there and at every larger one. Of those, settings are taken greedily, each time the one
    that adds most area (the sweep's objective) to the frontier attained by those already taken, so
    that a specialist for high compression is kept beside the best all-rounder.

    Args:
        records: Finished search trials of one method; diverged ones are passed over.
        limit: At most this many.
        objective: Gives the interval and the reference accuracy.

    Returns:
        Records in order of choice; empty if nothing trained.
    """
    pool = {r.trial: r for r in records if r.status == "completed" and r.accuracy_at("val")}
    candidates = [pool[name] for name in _pareto_optimal(pool)]
    chosen: list[Record] = []
    envelope: dict[float, float] = {}
    while candidates and len(chosen) < limit:
        best = max(candidates, key=lambda r: _area_with(envelope, r, objective))
        gained = _area_with(envelope, best, objective)
        if chosen and gained <= _area(envelope, objective):
            break
        chosen.append(best)
        candidates.remove(best)
        envelope = _joined(envelope, best)
    return chosen


def _pareto_optimal(pool: dict[str, Record]) -> list[str]:
    """Return the trials that own a point of the pooled front of (compression, validation accuracy)."""
    points = [
        (p.compression, p.accuracy, name)
        for name, record in pool.items()
        for p in record.frontier
        if p.split == "val" and p.criterion == "ratio"
    ]
    points.sort(key=lambda p: (-p[0], -p[1]))
    best = -1.0
    owners: dict[str, None] = {}
    for _, accuracy, name in points:
        if accuracy > best:
            best = accuracy
            owners[name] = None
    return list(owners)


def _joined(envelope: dict[float, float], record: Record) -> dict[float, float]:
    """Return the better accuracy at each ratio."""
    own = record.accuracy_at("val")
    return {ratio: max(value, envelope.get(ratio, 0.0)) for ratio, value in own.items()}


def _area(curve: dict[float, float], objective: Objective) -> float:
    return frontier_area(curve, objective.max_compression, objective.reference)


def _area_with(envelope: dict[float, float], record: Record, objective: Objective) -> float:
    return _area(_joined(envelope, record), objective)
