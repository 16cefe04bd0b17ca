"""Which settings are worth retraining on fresh seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from rewa.record import Record
from rewa.sparsity.area import frontier_area
from rewa.sweep.space import Objective


def pareto_settings(records: Sequence[Record], limit: int, objective: Objective) -> list[Record]:
    """Choose the settings whose pooled frontier is best on validation.

    A setting is Pareto-optimal if no setting of the method is at least as accurate at at least the same
    compression as one of its points, and better in one of the two. Of those, the best all-rounder (by the
    sweep's objective) comes first, then the most accurate unpruned, where every frontier starts and drops
    are counted from, and then greedily whatever adds most area to the frontier attained by those already
    taken, so that a specialist for high compression is kept beside them.

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

    def take(record: Record) -> None:
        nonlocal envelope
        chosen.append(record)
        candidates.remove(record)
        envelope = _joined(envelope, record)

    def gain(record: Record) -> float:
        return _area(_joined(envelope, record), objective)

    if candidates:
        take(max(candidates, key=lambda r: (gain(r), _unpruned(r))))
    if candidates and limit > 1:
        accurate = max(candidates, key=lambda r: (_unpruned(r), gain(r)))
        if _unpruned(accurate) > _unpruned(chosen[0]):
            take(accurate)
    while candidates and len(chosen) < limit:
        best = max(candidates, key=gain)
        if gain(best) <= _area(envelope, objective):
            break
        take(best)
    return chosen


def _unpruned(record: Record) -> float:
    """Return the validation accuracy before anything is removed."""
    return record.accuracy_at("val")[1]


def _pareto_optimal(pool: dict[str, Record]) -> list[str]:
    """Return the trials that own a point of the pooled front of (compression, validation accuracy).

    Where trials tie, one that is nowhere better and somewhere worse than another is left out.
    """
    points = [
        (p.compression, p.accuracy, name)
        for name, record in pool.items()
        for p in record.frontier
        if p.split == "val" and p.criterion == "ratio"
    ]
    points.sort(key=lambda p: -p[0])
    best = -1.0
    owners: dict[str, None] = {}
    for _, group in itertools.groupby(points, key=lambda p: p[0]):
        level = list(group)
        top = max(accuracy for _, accuracy, _ in level)
        if top > best:
            owners |= {name: None for _, accuracy, name in level if accuracy == top}
            best = top
    curves = {name: pool[name].accuracy_at("val") for name in owners}
    return [
        name
        for name in owners
        if not any(_dominates(curves[other], curves[name]) for other in owners if other != name)
    ]


def _dominates(one: dict[float, float], other: dict[float, float]) -> bool:
    """Return whether a curve is nowhere below another and somewhere above it."""
    return one != other and all(one[ratio] >= value for ratio, value in other.items())


def _joined(envelope: dict[float, float], record: Record) -> dict[float, float]:
    """Return the better accuracy at each ratio."""
    own = record.accuracy_at("val")
    return {ratio: max(value, envelope.get(ratio, 0.0)) for ratio, value in own.items()}


def _area(curve: dict[float, float], objective: Objective) -> float:
    return frontier_area(curve, objective.max_compression, objective.reference)
