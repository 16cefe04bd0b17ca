"""Which settings are confirmed, against brute force on planted records."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewa.record import Record
from rewa.sparsity.area import frontier_area
from rewa.sparsity.frontier import OperatingPoint
from rewa.sweep.confirm import pareto_settings
from rewa.sweep.space import Objective
from rewa.sweep.trial import score

RATIOS = (1.0, 10.0, 100.0)
OBJECTIVE = Objective(max_compression=100, reference=0.5)


def planted(
    trial: str, val: tuple[float, ...], status: str = "completed", test: tuple[float, ...] = ()
) -> Record:
    """Return a record with these accuracies at 1x, 10x and 100x."""
    points = [
        OperatingPoint(split, criterion, ratio, ratio, ratio, accuracy)
        for split, values in (("val", val), ("test", test or val))
        for criterion in ("ratio", "threshold")
        for ratio, accuracy in zip(RATIOS, values, strict=True)
    ]
    return Record.model_validate(
        {
            "sweep": "s",
            "workload": {"name": "digits"},
            "method": "rewa",
            "trial": trial,
            "phase": "search",
            "seed": 0,
            "config": {},
            "status": status,
            "seconds": 1.0,
            "metrics": {},
            "history": [],
            "frontier": points if status == "completed" else [],
            "versions": {},
            "commit": "",
            "hardware": "",
        }
    )


def chosen(records: list[Record], limit: int = 3) -> list[str]:
    return [record.trial for record in pareto_settings(records, limit, OBJECTIVE)]


def test_the_all_rounder_is_kept_where_one_point_beats_everything() -> None:
    """The specialist's 100x point is better and sparser than all others: alone it is the front."""
    records = [planted("specialist", (0.60, 0.60, 0.91)), planted("all-rounder", (0.90, 0.90, 0.90))]
    assert chosen(records) == ["all-rounder", "specialist"]


def test_the_all_rounder_comes_first_and_the_specialist_is_kept() -> None:
    records = [
        planted("dominated", (0.90, 0.80, 0.55)),
        planted("specialist", (0.70, 0.70, 0.70)),
        planted("all-rounder", (0.95, 0.90, 0.60)),
    ]
    assert chosen(records) == ["all-rounder", "specialist"]
    assert chosen(records, limit=1) == ["all-rounder"]


def test_trainings_that_did_not_finish_are_passed_over() -> None:
    records = [
        planted("nan", (1.0, 1.0, 1.0), status="diverged"),
        planted("bug", (1.0, 1.0, 1.0), status="failed"),
        planted("fine", (0.9, 0.8, 0.7)),
    ]
    assert chosen(records) == ["fine"]
    assert chosen(records[:2]) == []
    assert chosen([]) == []


def test_the_test_split_has_no_say() -> None:
    records = [
        planted("a", (0.95, 0.90, 0.60), test=(0.1, 0.1, 0.1)),
        planted("b", (0.90, 0.80, 0.55), test=(1.0, 1.0, 1.0)),
    ]
    assert chosen(records) == ["a"]


def test_a_dominated_setting_is_not_chosen_where_all_are_worthless() -> None:
    """Below the reference every area is 0; the first record is dominated by the second."""
    records = [planted("dominated", (0.3, 0.2, 0.1)), planted("better", (0.4, 0.2, 0.1))]
    assert chosen(records) == ["better"]


accuracies = st.tuples(*[st.sampled_from([0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])] * len(RATIOS))
pools = st.lists(
    st.tuples(accuracies, st.sampled_from(["completed"] * 4 + ["diverged"])), min_size=1, max_size=7
)


def build(pool: list[tuple[tuple[float, ...], str]]) -> list[Record]:
    return [planted(f"t{i}", val, status) for i, (val, status) in enumerate(pool)]


def area(curves: list[tuple[float, ...]]) -> float:
    """Area of the best accuracy at each ratio."""
    best = map(max, zip(*curves, strict=True))
    return frontier_area(dict(zip(RATIOS, best, strict=True)), 100, 0.5)


@settings(max_examples=200, deadline=None)
@given(pools, st.integers(1, 4))
def test_choice_is_pareto_optimal_and_limited(pool: list[tuple[tuple[float, ...], str]], limit: int) -> None:
    """By brute force: no other setting is at least as good everywhere and better somewhere."""
    names = chosen(build(pool), limit)
    finished = {f"t{i}": val for i, (val, status) in enumerate(pool) if status == "completed"}
    assert len(names) == len(set(names)) <= limit
    assert set(names) <= set(finished)
    assert bool(names) == bool(finished)
    for name in names:
        own = finished[name]
        for other in finished.values():
            assert not (other != own and all(a >= b for a, b in zip(other, own, strict=True)))


def owns_a_front_point(val: tuple[float, ...], everyone: list[tuple[float, ...]]) -> bool:
    """Whether some point of a curve is dominated by no point of any curve, and the curve by no curve."""
    for other in everyone:
        if other != val and all(a >= b for a, b in zip(other, val, strict=True)):
            return False
    places = [(j, acc) for other in everyone for j, acc in enumerate(other)]
    return any(
        not any(j >= i and acc >= own and (j, acc) != (i, own) for j, acc in places)
        for i, own in enumerate(val)
    )


@settings(max_examples=200, deadline=None)
@given(pools, st.integers(1, 4))
def test_choice_is_all_rounder_then_most_accurate_then_greedy(
    pool: list[tuple[tuple[float, ...], str]], limit: int
) -> None:
    """By brute force: the largest area of all, then over the Pareto-optimal settings, gain by gain."""
    names = chosen(build(pool), limit)
    finished = {f"t{i}": val for i, (val, status) in enumerate(pool) if status == "completed"}
    owners = [val for val in finished.values() if owns_a_front_point(val, list(finished.values()))]
    top = max((val[0] for val in owners), default=0.0)
    taken: list[tuple[float, ...]] = []
    for name in names:
        own = finished[name]
        if len(taken) == 1 and taken[0][0] < top:
            assert own[0] == top, "the most accurate unpruned comes second"
        else:
            gain = area([*taken, own])
            rivals = owners if taken else list(finished.values())  # the all-rounder need not own a point
            assert gain >= max(area([*taken, val]) for val in rivals) - 1e-12
            assert not taken or gain > area(taken)
        taken.append(own)
    if limit > 1:
        assert not taken or max(val[0] for val in taken) >= top
    if taken and len(taken) < limit:
        assert all(area([*taken, val]) <= area(taken) + 1e-12 for val in owners)


@given(pools)
def test_order_of_the_records_matters_for_equals_only(
    pool: list[tuple[tuple[float, ...], str]],
) -> None:
    """With distinct areas the choice does not depend on the order in which trials finished."""
    records = build(pool)
    finished = [val for val, status in pool if status == "completed"]
    subsets = itertools.chain.from_iterable(
        itertools.combinations(finished, n) for n in range(1, min(4, len(finished)) + 1)
    )
    areas = [area(list(subset)) for subset in subsets]
    distinct = all(not math.isclose(a, b) for a, b in itertools.combinations(areas, 2))
    if distinct:
        assert chosen(records[::-1]) == chosen(records)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_limit_holds_among_many_specialists(limit: int) -> None:
    corners = [(1.0, 0.6, 0.55), (0.6, 0.9, 0.55), (0.6, 0.6, 0.8), (0.7, 0.55, 0.55)]
    records = [planted(f"t{i}", corner) for i, corner in enumerate(corners)]
    names = chosen(records, limit)
    assert len(names) == limit
    assert "t3" not in names


def recalibrated(record: Record, val: tuple[float, ...]) -> Record:
    """Add points after batch-norm recalibration."""
    extra = [
        OperatingPoint("val", "ratio", ratio, ratio, ratio, accuracy, recalibrated=True)
        for ratio, accuracy in zip(RATIOS, val, strict=True)
    ]
    return record.model_copy(update={"frontier": [*record.frontier, *extra]})


@given(
    st.lists(st.tuples(*[st.sampled_from([0.1, 0.6, 0.7, 0.9])] * 6), min_size=1, max_size=5),
)
def test_raw_and_recalibrated_points_are_never_mixed(values: list[tuple[float, ...]]) -> None:
    """Each objective chooses and scores as if the other kind of point did not exist."""
    raw = [planted(f"t{i}", v[:3]) for i, v in enumerate(values)]
    renewed = [planted(f"t{i}", v[3:]) for i, v in enumerate(values)]
    both = [recalibrated(record, v[3:]) for record, v in zip(raw, values, strict=True)]
    asks = OBJECTIVE.model_copy(update={"recalibrated": True})
    assert chosen(both) == chosen(raw)
    assert [r.trial for r in pareto_settings(both, 3, asks)] == chosen(renewed)
    assert [score(r, OBJECTIVE) for r in both] == [score(r, OBJECTIVE) for r in raw]
    assert [score(r, asks) for r in both] == [score(r, OBJECTIVE) for r in renewed]


def test_without_batch_norm_a_recalibrated_objective_takes_the_raw_points() -> None:
    asks = OBJECTIVE.model_copy(update={"recalibrated": True})
    record = planted("t", (0.9, 0.8, 0.7))
    assert score(record, asks) == score(record, OBJECTIVE)
