"""What changed in a search space is said by file, key, old and new value; no change goes unnamed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rewa.sweep.changes import all_differences, differences
from rewa.sweep.space_file import find_space, load_space

SPACES = {
    name: load_space(find_space(name)).model_dump(mode="json", by_alias=True)
    for name in ("digits", "sparse_recovery")
}


def leaves(value: Any, path: str = "") -> dict[str, tuple[list[str | int], Any]]:
    """Every scalar of a nested value by its written path: keys after points, positions in brackets."""
    found: dict[str, tuple[list[str | int], Any]] = {}

    def walk(here: Any, steps: list[str | int], written: str) -> None:
        if isinstance(here, dict):
            for key, inner in here.items():
                walk(inner, [*steps, key], f"{written}.{key}" if written else key)
        elif isinstance(here, list):
            for index, inner in enumerate(here):
                walk(inner, [*steps, index], f"{written}[{index}]")
        else:
            found[written] = (steps, here)

    walk(value, [], path)
    return found


def put(space: Any, steps: list[str | int], value: Any) -> None:
    for step in steps[:-1]:
        space = space[step]
    space[steps[-1]] = value


@settings(max_examples=60)
@given(st.data())
def test_any_single_change_is_named_with_old_and_new(data: st.DataObject) -> None:
    old = SPACES[data.draw(st.sampled_from(sorted(SPACES)))]
    found = leaves(old)
    written = data.draw(st.sampled_from(sorted(found)))
    steps, before = found[written]
    after = data.draw(
        st.one_of(
            st.integers(-9, 9), st.floats(-9, 9), st.booleans(), st.text("ab1. é", max_size=9), st.none()
        ).filter(lambda value: value != before or isinstance(value, bool) != isinstance(before, bool))
    )
    new = copy.deepcopy(old)
    put(new, steps, after)
    assert list(differences(old, new)) == [f"{written}: {before!r} -> {after!r}"]
    assert all_differences(old, old) == ""


@settings(max_examples=30)
@given(st.data())
def test_any_removed_or_added_key_is_named(data: st.DataObject) -> None:
    old = SPACES[data.draw(st.sampled_from(sorted(SPACES)))]
    parents = {tuple(steps[:-1]) for steps, _ in leaves(old).values() if isinstance(steps[-1], str)}
    steps = data.draw(st.sampled_from(sorted(parents, key=str)))
    new = copy.deepcopy(old)
    place = new
    for step in steps:
        place = place[step]
    key = data.draw(st.sampled_from(sorted(place)))
    del place[key]
    (told,) = differences(old, new)
    assert f"{key} was removed" in told
    (told,) = differences(new, old)
    assert f"{key} was added" in told


def test_five_are_named_and_the_others_counted() -> None:
    old = {f"k{i}": i for i in range(8)}
    new = {key: value + 1 for key, value in old.items()}
    told = all_differences(old, new)
    assert told == "k0: 0 -> 1; k1: 1 -> 2; k2: 2 -> 3; k3: 3 -> 4; k4: 4 -> 5 and 3 more"
    assert all_differences({"a": 1, "b": 2}, {"a": 1, "b": 3}) == "b: 2 -> 3"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"lr": (0.1, 1.0)}, {"lr": [0.1, 1]}, ""),
        ({"lr": (0.1, 1.0)}, {"lr": [0.1, 0.5]}, "lr[1]: 1.0 -> 0.5"),
        ({"K": [3, 5]}, {"K": [3, 5, 7]}, "K: [3, 5] -> [3, 5, 7]"),
        ({"nesterov": 1}, {"nesterov": True}, "nesterov: 1 -> True"),
        ({"a": {"b": 1}}, {"a": 3}, "a: {'b': 1} -> 3"),
    ],
)
def test_the_words(old: Any, new: Any, told: str) -> None:
    assert all_differences(old, new) == told


def test_a_long_value_is_cut_but_counted() -> None:
    told = all_differences({"choice": list(range(100))}, {"choice": list(range(99))})
    assert told.startswith("choice: [0, 1, 2")
    assert "(100 entries) -> " in told
    assert len(told) < 200
