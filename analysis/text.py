"""Numbers, settings and commands as text, in one place: page, headline and figures agree."""

from __future__ import annotations

import math
import shlex
from collections.abc import Hashable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import pandas as pd

DASH = "\u2013"


def join(parts: Sequence[str]) -> str:
    """Write a list as ``a, b and c``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def in_turn(parts: Sequence[str]) -> str:
    """Write what belongs to each of several things as a list; once where all are the same."""
    return join(parts if len(set(parts)) > 1 else parts[:1])


def span(parts: Sequence[str]) -> str:
    """First and last of some ordered texts."""
    if not parts:
        return ""
    return parts[0] if parts[0] == parts[-1] else f"{parts[0]} to {parts[-1]}"


def percent(fraction: float, digits: int = 1) -> str:
    """Write a fraction as ``97.1 %``; a dash when it is missing."""
    return DASH if math.isnan(fraction) else f"{100.0 * fraction:.{digits}f} %"


def mean_std(mean: float, std: float) -> str:
    """Write ``97.1 ± 0.2`` (percent); without spread for one seed, a dash when there is nothing."""
    if math.isnan(mean):
        return DASH
    spread = "" if math.isnan(std) else f" ± {100.0 * std:.1f}"
    return f"{100.0 * mean:.1f}{spread}"


def points(difference: float) -> str:
    """Write the size of a difference of fractions in percentage points, without the unit.

    Differences under a tenth get a second digit, so that a small lead never reads as none.
    """
    size = abs(100.0 * difference)
    if 0.0 < size < 0.005:
        return "less than 0.01"
    return f"{size:.1f}" if size >= 0.095 else f"{size:.2f}"


def ratio(compression: float) -> str:
    """Write a compression as ``99.5x``, ``100x``; a dash when it is missing."""
    if math.isnan(compression):
        return DASH
    if math.isinf(compression):
        return "all weights zero"
    return f"{compression:.0f}x" if compression >= 100.0 else f"{compression:.3g}x"


def number(value: float) -> str:
    """Write a count with thin groups, ``11 172 032``."""
    return f"{value:,.0f}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    """Write ``45 s``, ``12 min`` or ``3 h 20 min``."""
    if math.isnan(seconds):
        return DASH
    if seconds < 120.0:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60.0)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def ordinal(rank: int) -> str:
    """Write ``1st``, ``2nd``, ``3rd``, ``4th``."""
    teen = rank % 100 in (11, 12, 13)
    return f"{rank}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(rank % 10, 'th')}"


def config_of(row: Mapping[Hashable, Any], columns: Iterable[str]) -> dict[str, Any]:
    """The hyper-parameters a row has: those that are not missing."""
    present = {}
    for name in columns:
        value = row.get(name)
        if bool(pd.isna(value)) or value == "":
            continue
        present[name] = value
    return present


def config_value(value: Any, digits: int | None = None) -> str:
    """Write a hyper-parameter: whole numbers without a point, others exactly or to `digits`."""
    if isinstance(value, str | bool) or not isinstance(value, Real):
        return str(value)
    as_float = float(value)
    if as_float.is_integer() and abs(as_float) < 1e15:
        return str(int(as_float))
    return repr(as_float) if digits is None else f"{as_float:.{digits}g}"


def setting(config: Mapping[str, Any]) -> str:
    """Write a config to be read: ``K=9 M=1.74 lr=0.062``."""
    return " ".join(f"{name}={config_value(value, 3)}" for name, value in config.items())


def train_command(
    workload: str,
    method: str,
    config: Mapping[str, Any],
    epochs: int | None,
    seed: int,
    threads: int = 1,
    workload_settings: Mapping[str, Any] | None = None,
) -> str:
    """The exact command that trains a config again, numbers in full.

    Args:
        workload: Name of the workload.
        method: Name of the method.
        config: The method's settings.
        epochs: Epochs; None leaves the option out.
        seed: Seed of the training.
        threads: Threads of a training; 1 is the command's own default.
        workload_settings: The workload's settings beside the epochs that differ from its defaults.
    """
    words = ["rewa", "train", workload, method]
    for name, value in config.items():
        words += ["--set", f"{name}={config_value(value)}"]
    for name, value in (workload_settings or {}).items():
        words += ["--set-workload", f"{name}={config_value(value)}"]
    if epochs is not None:
        words += ["--epochs", str(epochs)]
    words += ["--seed", str(seed)]
    if threads != 1:
        words += ["--threads", str(threads)]
    return shlex.join(words)
