"""Reads a cluster file: plain values, and the line that each stands on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from rewa.cluster.problem import Location
from rewa.errors import UserError

MAX_VALUES = 20_000
"""Values in a file, aliases counted as often as they are used; a real cluster file has hundreds."""

MAX_DEPTH = 40


class ClusterLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which is what Ray reads with, except that a key comes once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, refusing a key that is given twice: YAML would drop the first."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    problem = f"the key {key.value!r} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class ClusterDocument:
    """A cluster file as read.

    Attributes:
        path: The file; ``file_mounts`` and keys are looked up from the current directory, as Ray does.
        values: Its plain values.
        tree: Its YAML nodes, for line numbers.
    """

    path: Path
    values: dict[str, Any]
    tree: Any

    def line(self, location: Location) -> int:
        """Return the line, from 1, of the deepest value along a location that the file has."""
        line, node = 1, self.tree
        for part in location:
            found = _child(node, part)
            if found is None:
                return line
            line, node = found
        return line

    def mark(self, location: Location) -> tuple[int, int]:
        """Return line and column, from 0, where the value of a location is written; an alias's anchor's."""
        node = self.tree
        for part in location:
            found = _child(node, part)
            if found is None:
                break
            node = found[1]
        return node.start_mark.line, node.start_mark.column

    def strings(self) -> Iterator[tuple[Location, str]]:
        """Yield every text of the file with its location, keys of mappings not included."""
        for location, value in walk(self.values):
            if isinstance(value, str):
                yield location, value


def read_cluster(path: Path) -> ClusterDocument:
    """Read a cluster file.

    Raises:
        UserError: If it cannot be read, is not YAML, or is not a mapping with text keys.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
    try:
        loader = ClusterLoader(text)
        tree = loader.get_single_node()
        values = None if tree is None else loader.construct_document(tree)
    except Exception as error:  # PyYAML lets what Python raises on odd scalars and deep nesting through
        raise UserError(f"{path}: not valid YAML ({_flat(error)})") from None
    if not isinstance(values, dict):
        raise UserError(f"{path}: must be a mapping with keys such as cluster_name and provider")
    document = ClusterDocument(path, values, tree)
    for count, (location, value) in enumerate(walk(values)):
        if count > MAX_VALUES or len(location) > MAX_DEPTH:
            raise UserError(f"{path}: is too large or too deeply nested for a cluster file")
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    line = document.line((*location, str(key)))
                    raise UserError(f"{path}, line {line}: the key {key!r} must be text; put it in quotes")
    return document


def walk(values: Any) -> Iterator[tuple[Location, Any]]:
    """Yield every value below and including ``values`` with its location, not deeper than the limit."""
    todo: list[tuple[Location, Any]] = [((), values)]
    while todo:
        location, value = todo.pop()
        yield location, value
        if len(location) > MAX_DEPTH:
            continue
        if isinstance(value, dict):
            todo.extend(((*location, str(key)), child) for key, child in reversed(value.items()))
        elif isinstance(value, list):
            todo.extend(((*location, index), value[index]) for index in reversed(range(len(value))))


def _child(node: Any, part: str | int) -> tuple[int, Any] | None:
    """Return the line and node of a key or list position; ``None`` if there is none."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        value = node.value[part]
        return value.start_mark.line + 1, value
    return None


def _flat(error: Exception) -> str:
    """Return an error's text on one line."""
    return " ".join(str(error).split())
