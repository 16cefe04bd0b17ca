"""Whatever is done to a cluster file, a check ends in sentences."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster_files import PROJECT, SHIPPED, filled, told
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rewa.cluster.document import walk
from rewa.errors import UserError

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**20),
    st.floats(),
    st.sampled_from(["", "0.0.0.0", "\x1b", "~/x", "FILL-IN", "a" * 300, "*", "{}", "é\n"]),
    st.sampled_from([[], {}, [[]], [None], {"a": None}, {"CPU": {}}, [{"x": [1]}], ["a", 1, {}]]),
    st.dates(),
)


@pytest.fixture(autouse=True)
def _in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)


def places(values: Any) -> list[tuple[str | int, ...]]:
    """Where values stand below the top."""
    return [location for location, _ in walk(values) if location]


def changed(values: Any, location: tuple[str | int, ...], how: str, value: Any) -> Any:
    """A copy with a value replaced, a key removed, renamed, or added beside it."""
    result = copy.deepcopy(values)
    parent = result
    for part in location[:-1]:
        parent = parent[part]
    last: Any = location[-1]
    if how == "remove":
        del parent[last]
    elif how == "replace":
        parent[last] = value
    elif isinstance(parent, dict):
        key = f"{last}x" if how == "rename" else "surplus"
        parent[key] = parent.pop(last) if how == "rename" else value
    return result


FEW = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
MANY = settings(FEW, max_examples=600)


@pytest.mark.parametrize("name", SHIPPED)
@FEW
@given(data=st.data())
def test_a_changed_file_gives_no_traceback(name: str, data: st.DataObject, tmp_path: Path) -> None:
    check_changed(name, data, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
@MANY
@given(data=st.data())
def test_many_changed_files_give_no_traceback(name: str, data: st.DataObject, tmp_path: Path) -> None:
    check_changed(name, data, tmp_path)


def check_changed(name: str, data: st.DataObject, folder: Path) -> None:
    values = yaml.safe_load(filled(name))
    for _ in range(data.draw(st.integers(1, 4))):
        location = data.draw(st.sampled_from(places(values) or [("cluster_name",)]))
        if not values:
            break
        how = data.draw(st.sampled_from(["replace", "replace", "remove", "rename", "add"]))
        values = changed(values, location, how, data.draw(ODD))
    check(folder, yaml.safe_dump(values, allow_unicode=True))


@pytest.mark.parametrize("name", SHIPPED)
@FEW
@given(data=st.data())
def test_a_file_with_characters_lost_or_added_gives_no_traceback(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    text = filled(name)
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 30))
    put = data.draw(st.text(alphabet="{}[]:&*!|>'\"%@`#-? \nax0", max_size=6))
    check(tmp_path, text[:at] + put + text[at + cut :])


def check(folder: Path, text: str) -> None:
    """Every finding is one line of readable text."""
    try:
        found = told(folder, text)
    except UserError as error:
        found = [str(error)]
    assert all(line and "\n" not in line and "Traceback" not in line for line in found), found
