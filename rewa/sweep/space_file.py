"""Reads search spaces: YAML to a checked space, with errors that name file, line and key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rewa.config import one_line, sentence_for
from rewa.errors import UserError
from rewa.registry import did_you_mean
from rewa.sweep.space import SearchSpace
from rewa.sweep.space_checks import first_problem

MOST_BYTES = 256 * 1024
"""Size of the largest file that is read; those that come with rewa have 2 to 4 thousand bytes."""

MOST_NODES, MOST_LEVELS = 50_000, 30
"""Values that a file may hold, every alias counted as what it stands for, and how deep they may be nested."""


class SpaceLoader(yaml.SafeLoader):
    """PyYAML's safe loader with two of YAML 1.2's rules: 1e-3 is a number, and a key comes once."""

    def fetch_flow_collection_start(self, token: type[yaml.Token]) -> None:
        """Take up a bracket; PyYAML's time grows with the square of their number."""
        if self.flow_level >= MOST_LEVELS:
            problem = f"more than {MOST_LEVELS} brackets within one another"
            raise yaml.scanner.ScannerError(None, None, problem, self.get_mark())
        super().fetch_flow_collection_start(token)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, refusing a key that is given twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _problem("a key must be a plain word", key)
            if key.value in seen:
                raise _problem(f"the key {key.value!r} is given twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Build a value, saying where it stands if Python cannot: PyYAML does not for odd scalars."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise _problem(str(error) or type(error).__name__, node) from None


def _problem(text: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


SpaceLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def find_space(name: str) -> Path:
    """Return the path of a search space: a file, or the name of one in search_spaces/.

    Raises:
        UserError: If there is neither.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        if not path.is_file():
            raise UserError(f"search space {name}: no such file")
        return path
    folder = spaces_folder()
    named = folder / f"{name}.yaml"
    if named.is_file():
        return named
    known = [file.stem for file in folder.glob("*.yaml")]
    raise UserError(f"no file {name!r} and no search space of that name{did_you_mean(name, known)}")


def spaces_folder() -> Path:
    """Return the folder of the search spaces that come with rewa."""
    import search_spaces

    return Path(next(iter(search_spaces.__path__)))


def load_space(path: Path) -> SearchSpace:
    """Read and check a search space, the settings of a workload that rewa has included.

    Raises:
        UserError: One sentence naming file, line, key and what would be right.
    """
    tree, values = _read(path)
    if not isinstance(values, dict):
        raise UserError(f"search space {path}: must be a mapping with keys such as name and methods")
    try:
        space = SearchSpace.model_validate(values)
        problem = first_problem(space)
    except ValidationError as error:
        problem = sentence_for(SearchSpace, error)
    except UserError as error:  # of the workload or a method, which know no file
        raise UserError(f"search space {path}: {one_line(str(error))}") from None
    if problem:
        location, sentence = problem
        raise UserError(f"search space {path}, line {_line(tree, location)}: {one_line(sentence)}")
    return space


def _read(path: Path) -> tuple[yaml.Node | None, Any]:
    """Return a file's nodes and its values."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UserError(f"search space {path}: has more than {MOST_BYTES:,} bytes, which no space needs")
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"search space {path}: cannot be read ({error})") from None
    try:
        loader = SpaceLoader(text)
        tree = loader.get_single_node()
        if tree is None:
            return None, None
        _measure(tree, {}, set())
        return tree, loader.construct_document(tree)
    except RecursionError:
        raise UserError(f"search space {path}: not valid YAML (nested too deeply)") from None
    except Exception as error:  # PyYAML lets what Python raises on odd characters through
        raise UserError(f"search space {path}: not valid YAML ({one_line(str(error))})") from None


def _measure(node: yaml.Node, known: dict[int, tuple[int, int]], above: set[int]) -> tuple[int, int]:
    """Return how many values a node stands for, aliases followed, and their levels; refuse too many.

    Args:
        node: Where to begin.
        known: Results by the identity of a node.
        above: Identities of the nodes that hold this one.
    """
    here = id(node)
    if here in known:
        return known[here]
    if here in above:
        raise _problem("an anchor holds itself", node)
    parts: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        parts = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        parts = node.value
    measured = [_measure(part, known, above | {here}) for part in parts]
    values = 1 + sum(count for count, _ in measured)
    levels = 1 + max((height for _, height in measured), default=0)
    if values > MOST_NODES or levels > MOST_LEVELS:
        raise _problem(f"more than {MOST_NODES:,} values or {MOST_LEVELS} levels, aliases followed", node)
    known[here] = values, levels
    return known[here]


def _line(node: Any, location: tuple[str | int, ...]) -> int:
    """Return the line of the deepest node along a location that the file has."""
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, value
                    break
            else:
                return line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            if part >= len(node.value):
                return line
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
