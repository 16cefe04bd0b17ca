"""Search spaces: YAML to validated distributions, with errors that name file, line and key."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from rewa.config import Settings, sentence_for
from rewa.errors import UserError
from rewa.methods import REGISTRY as METHODS
from rewa.methods import get_method
from rewa.registry import did_you_mean
from rewa.sparsity.frontier import RATIOS
from rewa.sweep.coordinates import COORDINATES, Coordinates

Scalar = float | int | str | bool


class Distribution(Settings):
    """One sampled quantity: exactly one of ``uniform``, ``log_uniform``, ``int`` and ``choice``.

    Attributes:
        uniform: Lower and upper bound.
        log_uniform: The same on a logarithmic scale; the lower bound is positive.
        int: Integer bounds, both included.
        choice: The values to choose from.
        when: Sampled only if these earlier quantities have one of the listed values.
    """

    uniform: tuple[float, float] | None = None
    log_uniform: tuple[float, float] | None = None
    int_: tuple[int, int] | None = Field(default=None, alias="int")
    choice: tuple[Scalar, ...] | None = Field(default=None, min_length=1)
    when: dict[str, tuple[Scalar, ...]] = Field(default={})

    @model_validator(mode="after")
    def _one_kind(self) -> Distribution:
        kinds = [self.uniform, self.log_uniform, self.int_, self.choice]
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("give exactly one of uniform, log_uniform, int or choice")
        for bounds in (self.uniform, self.log_uniform, self.int_):
            if bounds is not None and not bounds[0] < bounds[1]:
                raise ValueError(f"the bounds {list(bounds)} must rise")
        if self.log_uniform is not None and self.log_uniform[0] <= 0:
            raise ValueError(f"log_uniform needs positive bounds, not {list(self.log_uniform)}")
        return self

    def suggest(self, trial: Any, name: str) -> Any:
        """Draw a value from an Optuna trial."""
        if self.choice is not None:
            return trial.suggest_categorical(name, list(self.choice))
        if self.int_ is not None:
            return trial.suggest_int(name, *self.int_)
        if self.log_uniform is not None:
            return trial.suggest_float(name, *self.log_uniform, log=True)
        assert self.uniform is not None
        return trial.suggest_float(name, *self.uniform)

    def contains(self, value: Any) -> bool:
        """Return whether a value could be drawn."""
        if self.choice is not None:
            return value in self.choice
        low, high = self.uniform or self.log_uniform or self.int_ or (0, 0)
        return isinstance(value, (int, float)) and low <= value <= high

    def ends(self) -> tuple[Any, ...]:
        """Return the extreme values: both bounds, or all choices."""
        return self.choice or self.uniform or self.log_uniform or self.int_ or ()


class MethodSpace(Settings):
    """What is sampled for one method.

    Attributes:
        sample: Distribution by name: a key of the method's config, or a coordinate.
        fixed: Config values that are not tuned.
        known: Settings known to be good, tried first; each gives every sampled quantity.
        coordinates: How coordinates become config values; needed when one is sampled.
    """

    sample: dict[str, Distribution] = Field(min_length=1)
    fixed: dict[str, Scalar] = Field(default={})
    known: tuple[dict[str, Scalar], ...] = ()
    coordinates: Coordinates | None = None

    def config(self, method: str, values: Mapping[str, Any], schedule: float) -> dict[str, Any]:
        """Return the method's full, validated config for sampled values.

        Args:
            method: Registered name of the method.
            values: Sampled values by name.
            schedule: Sum of the learning-rate factors over the training's steps.

        Raises:
            UserError: If the method refuses the config.
        """
        settings = get_method(method).Config
        merged: dict[str, Any] = {
            name: field.default for name, field in settings.model_fields.items() if not field.is_required()
        }
        merged.update(self.fixed)
        merged.update(values)
        if self.coordinates:
            merged = self.coordinates.to_config(merged, schedule)
        return settings.parse(merged, f"method {method!r}").model_dump()

    def active(self, values: Mapping[str, Any], name: str) -> bool:
        """Return whether a quantity is sampled, given those before it."""
        when = self.sample[name].when
        return all(values.get(key) in allowed for key, allowed in when.items())


class Objective(Settings):
    """The one number per trial: normalised area under validation accuracy over log10(compression)."""

    criterion: Literal["ratio"] = "ratio"
    max_compression: float = Field(default=500, gt=1, le=max(RATIOS))
    reference: float = Field(default=0.8, ge=0, lt=1)


class Confirm(Settings):
    """How many settings per method are retrained, on how many fresh seeds."""

    settings: int = Field(default=3, ge=1)
    seeds: int = Field(default=3, ge=1)


class Resources(Settings):
    """What one trial occupies on the cluster."""

    cpu: float = Field(default=1, gt=0)
    gpu: float = Field(default=0, ge=0)


class SearchSpace(Settings):
    """A whole search: workload, methods, objective and budget."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    workload: dict[str, Any]
    objective: Objective = Objective()
    trials: int = Field(default=32, ge=1, description="per method")
    seed: int = Field(default=0, ge=0)
    confirm: Confirm = Confirm()
    resources: Resources = Resources()
    methods: dict[str, MethodSpace] = Field(min_length=1)

    @property
    def workload_name(self) -> str:
        """Registered name of the workload."""
        return str(self.workload.get("name", ""))

    @property
    def workload_settings(self) -> dict[str, Any]:
        """The workload's settings without its name."""
        return {key: value for key, value in self.workload.items() if key != "name"}


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
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"search space {path}: cannot be read ({error})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"search space {path}: not valid YAML ({_flat(error)})") from None
    if not isinstance(values, dict):
        raise UserError(f"search space {path}: must be a mapping with keys such as name and methods")
    try:
        space = SearchSpace.model_validate(values)
        problem = _wrong_method(space)
    except ValidationError as error:
        problem = sentence_for(SearchSpace, error)
    if problem:
        location, sentence = problem
        raise UserError(f"search space {path}, line {_line(tree, location)}: {sentence}")
    return space


def space_from_values(values: Mapping[str, Any], where: str) -> SearchSpace:
    """Rebuild a space that was checked before, such as the one a sweep stored."""
    return SearchSpace.parse(values, where)


Problem = tuple[tuple[str | int, ...], str]


def _wrong_method(space: SearchSpace) -> Problem | None:
    """Check each method's part against the method itself; return the first problem."""
    for name, part in space.methods.items():
        here = ("methods", name)
        if name not in METHODS:
            return here, f"unknown method {name!r}{did_you_mean(name, METHODS)}"
        fields = get_method(name).Config.model_fields
        coordinates = COORDINATES if part.coordinates else ()
        for group, keys in (("sample", part.sample), ("fixed", part.fixed)):
            for key in keys:
                if key in COORDINATES and not part.coordinates:
                    return (
                        *here,
                        group,
                        key,
                    ), f"{key!r} needs 'coordinates: {{weight_scale: ...}}'"
                if key not in fields and key not in coordinates:
                    hint = did_you_mean(key, [*fields, *coordinates])
                    return (*here, group, key), f"method {name!r} has no setting {key!r}{hint}"
        if both := set(part.sample) & set(part.fixed):
            return (*here, "fixed", min(both)), f"{min(both)!r} is both sampled and fixed"
        problem = _wrong_conditions(here, part) or _wrong_known(here, part)
        problem = problem or _wrong_corner(here, name, part)
        if problem:
            return problem
    return None


def _wrong_conditions(here: tuple[str, str], part: MethodSpace) -> Problem | None:
    """Check that conditions refer to quantities sampled earlier."""
    earlier: list[str] = []
    for key, distribution in part.sample.items():
        for other in distribution.when:
            if other not in earlier:
                where = (*here, "sample", key)
                return where, f"'when' refers to {other!r}, which is not sampled before {key!r}"
        earlier.append(key)
    return None


def _wrong_known(here: tuple[str, str], part: MethodSpace) -> Problem | None:
    """Check that known settings lie inside the distributions."""
    for index, values in enumerate(part.known):
        where = (*here, "known", index)
        for key, value in values.items():
            if key not in part.sample:
                return where, f"known setting has {key!r}, which is not sampled"
            if not part.sample[key].contains(value):
                return where, f"known {key} = {value!r} is outside its distribution"
        for key in part.sample:
            if key not in values and part.active(values, key):
                return where, f"known setting lacks {key!r}"
    return None


def _wrong_corner(here: tuple[str, str], name: str, part: MethodSpace) -> Problem | None:
    """Check the method's config at the corners of the box, so that no draw can be invalid."""
    corners = itertools.product(*(d.ends() for d in part.sample.values()))
    for corner in itertools.islice(corners, 4096):
        values: dict[str, Any] = {}
        for key, value in zip(part.sample, corner, strict=True):
            if part.active(values, key):
                values[key] = value
        try:
            part.config(name, values, schedule=1.0)
        except (UserError, ArithmeticError, TypeError) as error:
            drawn = ", ".join(f"{key}={value}" for key, value in values.items())
            return (*here, "sample"), f"the draw ({drawn}) is not valid: {error}"
    return None


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
