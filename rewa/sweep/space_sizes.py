"""Numbers in a search space that are well-formed and beyond what Ray, Optuna or a machine can take."""

from __future__ import annotations

from typing import Any

from rewa.config import shown
from rewa.sweep.space import Distribution, MethodSpace, SearchSpace

Problem = tuple[tuple[str | int, ...], str]

LIMITS: dict[tuple[str, ...], float] = {
    ("trials",): 1_000_000,
    ("seed",): 2**53,
    ("confirm", "settings"): 10_000,
    ("confirm", "seeds"): 10_000,
    ("resources", "cpu"): 10_000,
    ("resources", "gpu"): 1_000,
    ("resources", "workers"): 10_000,
    ("resources", "pack"): 10_000,
    ("resources", "concurrent"): 1_000_000,
    ("resources", "timeout"): 1e9,
    ("workload", "epochs"): 1_000_000,
}
"""The largest value of a key, by its place."""

LARGEST_SETTING = 10**12
"""Of any other whole number among the workload's settings."""

LARGEST_BOUND, LARGEST_INT = 1e100, 2**53
"""Bounds of what is sampled: differences and logarithms of larger ones overflow in Optuna's samplers."""

SHARE = 1e-4
"""Ray counts cores and GPUs in ten-thousandths."""


def wrong_size(space: SearchSpace) -> Problem | None:
    """Return the first number of a space that is out of all proportion."""
    for place, most in LIMITS.items():
        value: Any = space
        for key in place:
            value = value.get(key) if isinstance(value, dict) else getattr(value, key, None)
        if isinstance(value, (int, float)) and value > most:
            return place, f"{'.'.join(place)} = {shown(value)}: must be at most {most:,.0f}"
    for key, value in space.workload.items():
        if isinstance(value, int) and abs(value) > LARGEST_SETTING:
            return ("workload", key), f"workload.{key} = {shown(value)}: must be within {LARGEST_SETTING:,}"
    for key in ("cpu", "gpu"):
        asked = getattr(space.resources, key)
        if abs(asked - round(asked, 4)) > 1e-9 or 0 < asked < SHARE:
            return ("resources", key), f"resources.{key} = {asked:g}: must be a multiple of {SHARE:g}"
    if (gpu := space.resources.gpu) > 1 and gpu != int(gpu):
        return ("resources", "gpu"), f"resources.gpu = {gpu:g}: above 1 it must be a whole number"
    return None


def wrong_distribution(here: tuple[str, ...], part: MethodSpace) -> Problem | None:
    """Return the first distribution of a method that could not be drawn from."""
    for name, distribution in part.sample.items():
        if problem := _cannot_be_drawn(distribution):
            return (*here, "sample", name), f"{'.'.join((*here, 'sample', name))}: {problem}"
        for other, values in distribution.when.items():
            if other in part.sample and not any(part.sample[other].contains(value) for value in values):
                return (
                    (*here, "sample", name),
                    f"'when' waits for {other} = {shown(values[0]) if values else 'nothing'}, never drawn",
                )
    return None


def _cannot_be_drawn(distribution: Distribution) -> str | None:
    if distribution.choice is not None:
        seen: list[Any] = []
        for value in distribution.choice:
            if value in seen:  # True equals 1 here, as it does for Optuna
                return f"choice has {shown(value)} twice"
            seen.append(value)
        return None
    if distribution.int_ is not None:
        most: float = LARGEST_INT
        bounds: tuple[float, float] = distribution.int_
    else:
        most = LARGEST_BOUND
        bounds = distribution.uniform or distribution.log_uniform or (0.0, 0.0)
    if max(map(abs, bounds)) > most:
        return f"bounds must lie within {most:.3g}, which {shown(list(bounds))} do not"
    if distribution.log_uniform and bounds[0] < 1 / most:
        return f"the lower bound of log_uniform must be at least {1 / most:g}, not {bounds[0]:g}"
    return None
