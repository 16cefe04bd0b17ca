"""Checks a search space against the methods it names, before anything is run."""

from __future__ import annotations

import math

from pydantic import ValidationError

from rewa.config import sentence_for, sentence_of, shown
from rewa.errors import UserError
from rewa.methods import REGISTRY as METHODS
from rewa.methods import get_method
from rewa.registry import did_you_mean
from rewa.sweep.coordinates import DECIDES
from rewa.sweep.space import MethodSpace, SearchSpace
from rewa.sweep.space_draws import draws
from rewa.sweep.space_sizes import Problem, wrong_distribution, wrong_size
from rewa.training import check_pair
from rewa.workloads import REGISTRY as WORKLOADS
from rewa.workloads import Workload, get_workload

Place = tuple[str, str]


def first_problem(space: SearchSpace) -> Problem | None:
    """Check the parts against the methods and the workload they name; return the first problem."""
    if problem := wrong_size(space) or _wrong_objective(space):
        return problem
    for name, part in space.methods.items():
        here = ("methods", name)
        if unknown := _unknown_method(name):
            return here, unknown
        problem = (
            _wrong_pair(here, name, space.workload_name)
            or _wrong_keys(here, name, part)
            or wrong_distribution(here, part)
            or _wrong_coordinates(here, name, part)
            or _wrong_fixed(here, name, part)
            or _wrong_conditions(here, part)
            or _wrong_known(here, part)
            or _wrong_corner(here, name, part)
        )
        if problem:
            return problem
    return None


def _unknown_method(name: str) -> str:
    """Say what is wrong with a method's name: neither registered nor an importable class of one's own."""
    if ":" not in name:
        return "" if name in METHODS else f"unknown method {name!r}{did_you_mean(name, METHODS)}"
    try:
        get_method(name)
    except UserError as error:
        return str(error)
    return ""


def _wrong_objective(space: SearchSpace) -> Problem | None:
    """Check that the objective fits the workload's metric and targets."""
    name = space.workload_name
    workload = _workload(name)
    if workload is None:
        if ":" in name:
            return None  # a class of the user's own is imported when the sweep starts
        return ("workload", "name"), f"unknown workload {shown(name)}{did_you_mean(name, WORKLOADS)}"
    try:
        config = workload.Config.model_validate(space.workload_settings)
    except ValidationError as error:
        location, sentence = sentence_for(workload.Config, error)
        return ("workload", *location), f"workload {name!r}: {sentence}"
    except (ArithmeticError, OSError, RuntimeError, TypeError) as error:  # of a validator of its own
        return ("workload",), f"workload {name!r}: {error}"
    try:
        metric, objective = workload.metric_for(config), space.objective
    except (MemoryError, ArithmeticError) as error:
        return ("workload",), f"workload {workload.name!r} cannot be made ({error or type(error).__name__})"
    good = metric.better(metric.ideal, objective.reference) and math.isfinite(objective.reference)
    if not good or (metric.is_share and objective.reference < 0):
        side = "at least 0 and below" if metric.is_share else "worse than"
        return ("objective", "reference"), (
            f"objective.reference = {objective.reference:g}: for {metric.name} it must be {side} "
            f"{metric.ideal:g}, the best possible"
        )
    largest = max(workload.ratios_for(config))
    if objective.max_compression > largest:
        return ("objective", "max_compression"), (
            f"objective.max_compression = {objective.max_compression:g}: must be at most {largest:g}, "
            f"the largest target of workload {workload.name!r}"
        )
    return None


def _wrong_pair(here: Place, method: str, workload: str) -> Problem | None:
    """Check that the method can be used on the workload."""
    known = _workload(workload)
    try:
        if known is not None:
            check_pair(known, get_method(method))
    except UserError as error:
        return here, str(error)
    return None


def _workload(name: str) -> type[Workload] | None:
    """Return a workload's class, or None if there is none of that name."""
    return get_workload(name) if name in WORKLOADS else None


def _wrong_keys(here: Place, name: str, part: MethodSpace) -> Problem | None:
    """Check that what is sampled or fixed exists, once."""
    fields = get_method(name).Config.model_fields
    known = [*fields, *DECIDES] if part.coordinates else list(fields)
    for group, keys in (("sample", part.sample), ("fixed", part.fixed)):
        for key in keys:
            if key not in fields and key not in DECIDES:
                return (
                    *here,
                    group,
                    key,
                ), f"method {name!r} has no setting {key!r}{did_you_mean(key, known)}"
    if both := set(part.sample) & set(part.fixed):
        return (*here, "fixed", min(both)), f"{min(both)!r} is both sampled and fixed"
    return None


def _wrong_coordinates(here: Place, name: str, part: MethodSpace) -> Problem | None:
    """Check that coordinates are defined, make sense for the method, and decide nothing twice."""
    given = {**dict.fromkeys(part.sample, "sample"), **dict.fromkeys(part.fixed, "fixed")}
    if part.coordinates:
        needed = {"K", "momentum", *DECIDES.values()}
        if lacking := sorted(needed - set(get_method(name).Config.model_fields)):
            return (
                *here,
                "coordinates",
            ), f"coordinates need a method with {lacking[0]}, which {name!r} has not"
    for coordinate, decided in DECIDES.items():
        if coordinate not in given:
            continue
        where = (*here, given[coordinate], coordinate)
        if not part.coordinates:
            return where, f"{coordinate!r} needs 'coordinates: {{weight_scale: ...}}'"
        if decided in given:
            where = (*here, given[decided], decided)
            return where, f"{decided!r} is decided by {coordinate!r} already; remove one of them"
    return None


def _wrong_fixed(here: Place, name: str, part: MethodSpace) -> Problem | None:
    """Check each fixed value by itself."""
    settings = get_method(name).Config
    try:
        settings.model_validate({k: v for k, v in part.fixed.items() if k not in DECIDES})
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            if detail["loc"] and detail["loc"][0] in part.fixed:
                return (*here, "fixed", str(detail["loc"][0])), sentence_of(settings, detail)
    return None


def _wrong_conditions(here: Place, part: MethodSpace) -> Problem | None:
    """Check that conditions refer to quantities sampled earlier."""
    earlier: list[str] = []
    for key, distribution in part.sample.items():
        for other in distribution.when:
            if other not in earlier:
                where = (*here, "sample", key)
                return where, f"'when' refers to {other!r}, which is not sampled before {key!r}"
        earlier.append(key)
    return None


def _wrong_known(here: Place, part: MethodSpace) -> Problem | None:
    """Check that known settings lie inside the distributions."""
    for index, values in enumerate(part.known):
        where = (*here, "known", index)
        for key, value in values.items():
            if key not in part.sample:
                return where, f"known setting has {key!r}, which is not sampled"
            if not part.sample[key].contains(value):
                return where, f"known {key} = {shown(value)} is outside its distribution"
        for key in part.sample:
            if key not in values and part.active(values, key):
                return where, f"known setting lacks {key!r}"
    return None


def _wrong_corner(here: Place, name: str, part: MethodSpace) -> Problem | None:
    """Check the method's config at the corners of the box and inside, so that no draw can be invalid."""
    for values in draws(part):
        try:
            part.config(name, values, schedule=1.0)
        except KeyError as error:  # a coordinate reads a setting that nothing gives
            return (*here, "sample"), f"the coordinates need {error}, which is neither sampled nor fixed"
        except (ValueError, ArithmeticError, TypeError) as error:
            drawn = ", ".join(f"{key}={shown(value)}" for key, value in values.items())
            return (*here, "sample"), f"the draw ({drawn}) is not valid: {error}"
    return None
