"""How the searchers make up tasks of several trials, and what the studies are told of them."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pack_specs import spec

from rewa.sweep.pack import Packing
from rewa.sweep.search import ListedTrials, MethodsInTurn
from rewa.sweep.trial import TrialSpec


class FakeSearch:
    """Numbers its proposals, and remembers what it is told."""

    def __init__(self, method: str) -> None:
        self.method, self.number = method, 0
        self.proposed: list[str] = []
        self.told: list[tuple[str, float | None, bool]] = []

    def suggest(self, name: str) -> dict[str, Any]:
        self.proposed.append(name)
        self.number += 1
        name = f"{self.method}-{self.number - 1:04d}"
        return {"trial": name, "config": {"lr": 0.1}, "sampled": {"lr": 0.1}}

    def on_trial_complete(self, name: str, result: Any = None, error: bool = False) -> None:
        self.told.append((name, result and result["score"], error))


def searcher(
    left: dict[str, int], size: int = 3, concurrency: int = 2, alone: tuple[str, ...] = ()
) -> tuple[MethodsInTurn, dict[str, FakeSearch]]:
    searches = {name: FakeSearch(name) for name in left}
    packing = Packing(size, concurrency, frozenset(left) - set(alone))
    return MethodsInTurn(searches, left, spec(""), packing), searches  # type: ignore[arg-type]


def tasks_of(proposals: Any) -> list[list[TrialSpec]]:
    """Ask until there is no more."""
    tasks = []
    while proposed := proposals.propose():
        tasks.append(proposed)
        assert len(tasks) < 1000
    assert proposals.propose() == []
    return tasks


def check_sizes(sizes: list[int], size: int, concurrency: int) -> None:
    """No more rounds of all workers than the size demands, and none of the tasks larger than it need be."""
    rounds = math.ceil(sum(sizes) / (size * concurrency))
    assert len(sizes) <= rounds * concurrency
    assert all(0 < n <= size and n < sum(sizes) / (rounds * concurrency) + 1 for n in sizes)


@settings(max_examples=50)
@given(count=st.integers(1, 120), size=st.integers(1, 20), concurrency=st.integers(1, 9))
def test_sizes_of_tasks(count: int, size: int, concurrency: int) -> None:
    packing = Packing(size, concurrency, frozenset({"magnitude"}))
    specs = [spec(f"magnitude-{i:04d}") for i in range(count)]
    listed = tasks_of(ListedTrials(specs, packing))
    assert [one for task in listed for one in task] == specs
    check_sizes([len(task) for task in listed], size, concurrency)
    proposed = tasks_of(searcher({"magnitude": count}, size, concurrency)[0])
    assert [len(task) for task in proposed] == [len(task) for task in listed]


@settings(max_examples=40)
@given(
    left=st.dictionaries(
        st.sampled_from(["rewa", "spred", "magnitude", "sgd_l1"]), st.integers(0, 30), min_size=1
    ),
    alone=st.dictionaries(st.sampled_from(["lasso", "mcp"]), st.integers(0, 30)),
    size=st.integers(1, 12),
    concurrency=st.integers(1, 5),
)
def test_methods_stay_level(left: dict[str, int], alone: dict[str, int], size: int, concurrency: int) -> None:
    """At every moment those with the most left are level, and a trial that is alone is its method's turn."""
    every = {**left, **alone}
    turn, searches = searcher(every, size, concurrency, tuple(alone))
    rest = dict(every)
    tasks = tasks_of(turn)
    for task in tasks:
        methods = Counter(one.method for one in task)
        if set(methods) & set(alone):
            assert len(task) == 1
            assert rest[task[0].method] == max(rest.values())
        else:
            assert max(rest[name] for name in left) == max(rest.values())
        rest = {name: rest[name] - methods[name] for name in rest}
        most = max(rest[name] for name in left)
        assert all(rest[name] >= most - 1 for name in left if methods[name])
    assert rest == dict.fromkeys(every, 0)
    assert {name: search.number for name, search in searches.items()} == every
    names = [one.trial for task in tasks for one in task]
    assert sorted(names) == sorted(f"{m}-{i:04d}" for m, n in every.items() for i in range(n))
    check_sizes([len(task) for task in tasks if task[0].method in left], size, concurrency)


def test_scores_are_told_once_to_the_study_that_asked() -> None:
    turn, searches = searcher({"rewa": 2, "spred": 2}, size=4, concurrency=1)
    specs = turn.propose()
    assert [one.method for one in specs] == ["rewa", "spred", "rewa", "spred"]
    assert all(one.sampled == {"lr": 0.1} for one in specs)
    assert searches["rewa"].proposed == ["0", "2"]
    for trial, score in (("spred-0000", 0.25), ("spred-0000", 0.25), ("rewa-0000", 0.5), ("rewa-0009", 1.0)):
        turn.tell(trial, score)
    turn.tell("spred-0001", None)
    assert searches["rewa"].told == [("0", 0.5, False)]
    assert searches["spred"].told == [("1", 0.25, False), ("3", None, False)]


def test_listed_trials_come_once_the_packed_ones_first() -> None:
    methods = ["lasso", "rewa", "mcp", "spred", "rewa", "lasso", "rewa"]
    specs = [spec(f"{name}-{i:04d}", name) for i, name in enumerate(methods)]
    packing = Packing(3, 1, frozenset({"rewa", "spred"}))
    tasks = tasks_of(ListedTrials(specs, packing))
    assert [[one.method for one in task] for task in tasks] == [
        *(["rewa", "spred"], ["rewa", "rewa"]),
        *(["lasso"], ["mcp"], ["lasso"]),
    ]
    assert sorted(one.trial for task in tasks for one in task) == sorted(one.trial for one in specs)


def test_nothing_is_packed_unless_asked() -> None:
    assert [len(task) for task in tasks_of(searcher({"rewa": 3, "lasso": 2}, size=1)[0])] == [1] * 5
    specs = [spec(f"magnitude-{i:04d}") for i in range(3)]
    assert [len(task) for task in tasks_of(ListedTrials(specs, Packing()))] == [1] * 3
