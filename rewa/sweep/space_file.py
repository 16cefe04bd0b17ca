"""Reads search spaces: YAML to a checked space, with errors that name file, line and key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rewa.config import sentence_for
from rewa.errors import UserError
from rewa.registry import did_you_mean
from rewa.sweep.space import SearchSpace
from rewa.sweep.space_checks import first_problem


class SpaceLoader(yaml.SafeLoader):
    """PyYAML's safe loader with two of YAML 1.2's rules: 1e-3 is a number, and a key comes once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Build a mapping, refusing a key that is given twice."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                problem = f"the key {key.value!r} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        return super().construct_mapping(node, deep)


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
    """Read and check a search space; the workload's own settings are checked by the workload.

    Raises:
        UserError: One sentence naming file, line, key and what would be right.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"search space {path}: cannot be read ({error})") from None
    try:
        tree = yaml.compose(text, Loader=SpaceLoader)
        values = yaml.load(text, Loader=SpaceLoader)
    except Exception as error:  # PyYAML lets what Python raises on odd scalars through
        raise UserError(f"search space {path}: not valid YAML ({_flat(error)})") from None
    if not isinstance(values, dict):
        raise UserError(f"search space {path}: must be a mapping with keys such as name and methods")
    try:
        space = SearchSpace.model_validate(values)
        problem = first_problem(space)
    except ValidationError as error:
        problem = sentence_for(SearchSpace, error)
    if problem:
        location, sentence = problem
        raise UserError(f"search space {path}, line {_line(tree, location)}: {sentence}")
    return space


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


def _flat(error: Exception) -> str:
    """Return an error's text on one line."""
    return " ".join(str(error).split())
