"""Which settings are worth retraining on fresh seeds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from rewa.metric import Metric
from rewa.record import Record
from rewa.sweep.space import Objective


def pareto_settings(records: Sequence[Record], limit: int, objective: Objective) -> list[Record]:
    """Choose the settings whose pooled frontier is best on validation.

    A setting is Pareto-optimal if no setting of the method is at least as accurate at at least the same
    compression as one of its points, and better in one of the two. The best all-rounder (by the sweep's
    objective) comes first, Pareto-optimal or not: where pruning a dense model all the way to the truth's size
    beats every sparse one by a hair, that single point would be the whole front. Then comes the most accurate
    unpruned of the Pareto-optimal settings, where every frontier starts and drops are counted from, and then
    greedily whatever adds most area to the frontier attained by those already taken, so that a specialist for
    high compression is kept beside them.

    Args:
        records: Finished search trials of one method; diverged ones are passed over.
        limit: At most this many.
        objective: Gives the interval and the reference value.

    Returns:
        Records in order of choice; empty if nothing trained.
    """
    pool = {r.trial: r for r in records if r.status == "completed" and objective.points(r)}
    candidates = [pool[name] for name in _pareto_optimal(pool, objective)]
    chosen: list[Record] = []
    envelope: dict[float, float] = {}

    def take(record: Record) -> None:
        nonlocal envelope
        chosen.append(record)
        if record in candidates:
            candidates.remove(record)
        envelope = _joined(envelope, record, objective)

    def gain(record: Record) -> float:
        return objective.area(_joined(envelope, record, objective), record.metric)

    def unpruned(record: Record) -> float:
        return record.metric.gain(objective.curve(record)[1], record.metric.ideal)

    if candidates:
        take(max([*candidates, *pool.values()], key=lambda r: (gain(r), unpruned(r))))
    if candidates and limit > 1:
        accurate = max(candidates, key=lambda r: (unpruned(r), gain(r)))
        if unpruned(accurate) > unpruned(chosen[0]):
            take(accurate)
    while candidates and len(chosen) < limit:
        best = max(candidates, key=gain)
        if gain(best) <= objective.area(envelope, best.metric):
            break
        take(best)
    return chosen


def _pareto_optimal(pool: dict[str, Record], objective: Objective) -> list[str]:
    """Return the trials that own a point of the pooled front of (compression, validation metric).

    Where trials tie, one that is nowhere better and somewhere worse than another is left out.
    """
    points = [
        (p.compression, record.metric.gain(p.metric, record.metric.ideal), name)
        for name, record in pool.items()
        for p in objective.points(record)
        if not math.isnan(p.metric)
    ]
    points.sort(key=lambda p: -p[0])
    best = -math.inf
    owners: dict[str, None] = {}
    for _, group in itertools.groupby(points, key=lambda p: p[0]):
        level = list(group)
        top = max(gain for _, gain, _ in level)
        if top > best:
            owners |= {name: None for _, gain, name in level if gain == top}
            best = top
    curves = {name: objective.curve(pool[name]) for name in owners}
    return [
        name
        for name in owners
        if not any(
            _dominates(curves[other], curves[name], pool[name].metric) for other in owners if other != name
        )
    ]


def _dominates(one: dict[float, float], other: dict[float, float], metric: Metric) -> bool:
    """Return whether a curve is nowhere worse than another and somewhere better."""
    return one != other and not any(metric.better(value, one[ratio]) for ratio, value in other.items())


def _joined(envelope: dict[float, float], record: Record, objective: Objective) -> dict[float, float]:
    """Return the better value at each ratio."""
    metric = record.metric
    own = objective.curve(record)
    return {ratio: metric.best((value, envelope.get(ratio, metric.worst))) for ratio, value in own.items()}
