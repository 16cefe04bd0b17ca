"""Settings that a search space could draw: those on which a mistake in its bounds shows."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any

from rewa.sweep.space import Distribution, MethodSpace

CORNERS, INSIDE = 4096, 64
"""Settings tried at the ends of all distributions, at most, and inside them."""


def draws(part: MethodSpace) -> Iterator[dict[str, Any]]:
    """Yield sampled values: the corners of the box, or many of them, and some of its inside.

    A choice on which others depend has all its values at the corners, other quantities their ends. Always the
    same for the same space.
    """
    decisive = {key for distribution in part.sample.values() for key in distribution.when}
    ends = {name: _ends(d, name in decisive) for name, d in part.sample.items()}
    rng = random.Random(0)
    if math.prod(map(len, ends.values())) <= CORNERS:
        corners: Iterator[tuple[Any, ...]] = itertools.product(*ends.values())
    else:
        corners = (tuple(map(rng.choice, ends.values())) for _ in range(CORNERS))
    inside = (tuple(_inside(d, rng) for d in part.sample.values()) for _ in range(INSIDE))
    for drawn in itertools.chain(corners, inside):
        values: dict[str, Any] = {}
        for name, value in zip(part.sample, drawn, strict=True):
            if part.active(values, name):
                values[name] = value
        yield values


def _ends(distribution: Distribution, decisive: bool) -> tuple[Any, ...]:
    """Return the extreme values, or all choices."""
    return distribution.choice if decisive and distribution.choice else distribution.ends()


def _inside(distribution: Distribution, rng: random.Random) -> Any:
    """Draw a value as Optuna's samplers do."""
    if distribution.choice is not None:
        return rng.choice(distribution.choice)
    if distribution.int_ is not None:
        return rng.randint(*distribution.int_)
    if distribution.log_uniform is not None:
        low, high = distribution.log_uniform
        return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
    assert distribution.uniform is not None
    return rng.uniform(*distribution.uniform)
