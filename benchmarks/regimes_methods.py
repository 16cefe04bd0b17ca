"""The methods of ``benchmarks.regimes``: 24 settings each, and how one data set is fitted with all of them.

Penalties are in units of the noise: a setting's ``level`` is the gradient that a zero weight (for the
gradient methods: a weight at its start) must exceed to grow, over :attr:`Regime.level`. So are the penalties
of pilot lassos. One grid then fits all regimes, and no method knows more than another.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.regimes_data import Array, Regime, Split
from rewa.linear import LinearProblem
from rewa.packed import PackedTrial, train_packed
from rewa.solvers import PathPoint, Penalty, PenaltyName, fit_path
from rewa.solvers.centred import centre
from rewa.solvers.path import solve_strengths

SETTINGS = 24
BATCH = 30
EPOCHS = {"full": 1000, "smoke": 10}
K = 9
REPAIR = " from X'y"
"""Ends the name of a variant that starts at sign(X'y) / sqrt(d), not at PyTorch's random draw."""


def _levels(high: float, low: float, count: int) -> list[float]:
    return [float(f"{level:.4g}") for level in np.geomspace(high, low, count)]


def _grid(**values: Sequence[float]) -> list[dict[str, float]]:
    return [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]


def _powers(*counts: tuple[float, float, float, int]) -> list[dict[str, float]]:
    """Return ReWA's settings: for each (M, high, low, count) so many levels."""
    return [
        setting for M, high, low, count in counts for setting in _grid(M=[M], level=_levels(high, low, count))
    ]


_SPRED = _grid(lr=[0.03, 0.1], level=_levels(2.0, 0.15, 12))
GRIDS: dict[str, list[dict[str, float]]] = {
    "lasso": _grid(level=_levels(3.0, 0.1, 24)),
    "adaptive_lasso": _grid(pilot=[1.0, 0.55, 0.3], fraction=_levels(0.5, 0.0005, 8)),
    "l2_3": _grid(level=_levels(3.0, 0.2, 24)),
    "l0_5": _grid(level=_levels(3.0, 0.2, 24)),
    "mcp": _grid(gamma=[1.5, 3.0, 20.0], level=_levels(3.0, 0.3, 8)),
    "scad": _grid(gamma=[2.3, 3.7, 20.0], level=_levels(3.0, 0.3, 8)),
    "sgd_l1": _grid(lr=[0.003, 0.01], level=_levels(2.0, 0.15, 12)),
    "spred": _SPRED,
    f"spred{REPAIR}": _SPRED,
    # Nearly all to M < 1, p slightly above 1: the only ReWA whose weights can still change their sign.
    "rewa": _powers(
        (0.5, 0.8, 0.15, 5),
        (0.7, 0.8, 0.12, 6),
        (0.85, 0.8, 0.12, 7),
        (1.0, 1.25, 0.5, 2),
        (2.0, 1.25, 0.5, 2),
        (4.0, 1.25, 0.5, 2),
    ),
    f"rewa{REPAIR}": _powers(
        (0.7, 0.5, 0.25, 2),
        (1.0, 0.6, 0.3, 2),
        (2.0, 0.9, 0.25, 5),
        (4.0, 1.25, 0.25, 8),
        (6.0, 1.25, 0.3, 7),
    ),
}
"""Settings per method. Learning rates are before the regime's factor; ReWA's is lr = 0.1 / K."""

PACKED = ("sgd_l1", "spred", f"spred{REPAIR}", "rewa", f"rewa{REPAIR}")


def penalty_name(setting: dict[str, float]) -> str:
    """Return what a setting calls its penalty."""
    return "level" if "level" in setting else "fraction"


def others(setting: dict[str, float]) -> tuple[tuple[str, float], ...]:
    """Return a setting without its penalty."""
    return tuple((name, value) for name, value in setting.items() if name != penalty_name(setting))


def penalties(method: str) -> dict[tuple[tuple[str, float], ...], list[float]]:
    """Return a method's penalties for each of its other values."""
    found: dict[tuple[tuple[str, float], ...], list[float]] = {}
    for setting in GRIDS[method]:
        found.setdefault(others(setting), []).append(setting[penalty_name(setting)])
    return found


@dataclass(frozen=True)
class Fits:
    """A method's fits, in the order of its settings; NaN where training diverged.

    Attributes:
        weights: Shape (24, d).
        biases: Shape (24,).
        seconds: What all of them took together.
    """

    weights: Array
    biases: Array
    seconds: float = 0.0


def fit_all(
    regime: Regime, train: Split, methods: Sequence[str], seed: int, epochs: int
) -> Iterator[tuple[str, Fits]]:
    """Fit one data set with all settings of some methods, the gradient methods in one pack.

    Args:
        regime: Which problem.
        train: Its training data.
        methods: Names, keys of ``GRIDS``.
        seed: Of the initial weights and the order of the data.
        epochs: Of the gradient methods.

    Yields:
        Name and fits, as they finish.
    """
    if direct := [name for name in methods if name not in PACKED]:
        targets = train.targets.astype(np.float64)
        problem = LinearProblem(
            np.asfortranarray(train.inputs, dtype=np.float64),
            targets if regime.loss == "squared" else 2.0 * targets - 1.0,
            regime.loss,
        )
        for name in direct:
            began = time.monotonic()
            points = (_adaptive if name == "adaptive_lasso" else _path)(name, problem, regime)
            weights, biases = np.stack([p.weights for p in points]), np.array([p.intercept for p in points])
            yield name, Fits(weights, biases, time.monotonic() - began)
    if packed := [name for name in methods if name in PACKED]:
        yield from _trained(packed, regime, train, seed, epochs)


def _path(name: str, problem: LinearProblem, regime: Regime) -> list[PathPoint]:
    """Solve along a warm-started path, one per gamma."""
    centred = centre(problem)
    points: list[PathPoint] = []
    for gamma, settings in itertools.groupby(GRIDS[name], lambda s: s.get("gamma")):
        penalty = Penalty(_penalty_name(name), gamma)
        levels = regime.level * np.array([s["level"] for s in settings])
        # Of features of variance 1; a quarter bounds the log loss's second derivative.
        curvature = np.full_like(levels, 1.0 if regime.loss == "squared" else 0.25)
        points += solve_strengths(centred, penalty, penalty.entry_strength(levels, curvature))
    return points


def _adaptive(name: str, problem: LinearProblem, regime: Regime) -> list[PathPoint]:
    """Solve as :class:`rewa.methods.adaptive_lasso.AdaptiveLasso` does, with gamma = 1."""
    pilots = sorted({s["pilot"] for s in GRIDS[name]}, reverse=True)
    levels = regime.level * np.array(pilots)
    points: list[PathPoint] = []
    for pilot, point in zip(pilots, solve_strengths(centre(problem), Penalty("lasso"), levels), strict=True):
        fractions = [s["fraction"] for s in GRIDS[name] if s["pilot"] == pilot]
        kept = np.flatnonzero(point.weights)
        if not kept.size:
            points += [point] * len(fractions)
            continue
        scale = np.abs(point.weights[kept])
        inputs = np.asfortranarray(problem.inputs[:, kept] * scale)
        for fit in fit_path(
            LinearProblem(inputs, problem.targets, problem.loss), Penalty("lasso"), fractions
        ):
            weights = np.zeros_like(point.weights)
            weights[kept] = fit.weights * scale
            points.append(PathPoint(fit.strength, weights, fit.intercept, fit.converged, fit.iterations))
    return points


def _penalty_name(name: str) -> PenaltyName:
    found: PenaltyName = Penalty(name).name  # type: ignore[arg-type]  # an unknown name is refused
    return found


def _trained(
    names: Sequence[str], regime: Regime, train: Split, seed: int, epochs: int
) -> Iterator[tuple[str, Fits]]:
    """Train all settings of the gradient methods in one pack; a result does not depend on the others."""
    began = time.monotonic()
    torch.manual_seed(seed)
    layer = nn.Linear(regime.d, 1)
    drawn = layer.weight.detach().numpy()[0]
    signs = np.sign(train.inputs.T @ (train.targets - train.targets.mean()))
    trials, starts = [], []
    for name in names:
        start = signs / np.sqrt(regime.d) if name.endswith(REPAIR) else drawn
        for setting in GRIDS[name]:
            trials.append(trial(name.removesuffix(REPAIR), setting, regime))
            starts.append(start)
    result = train_packed(
        train.inputs,
        train.targets,
        trials,
        init_weights=np.asarray(starts, np.float32),
        init_bias=float(layer.bias.detach()[0]),
        epochs=epochs,
        batch_size=BATCH,
        seed=seed,
        loss=regime.loss,
    )
    seconds = (time.monotonic() - began) / len(names)
    for place, name in enumerate(names):
        own = slice(place * SETTINGS, (place + 1) * SETTINGS)
        weights, biases = result.weights[own], result.bias[own]
        yield name, Fits(weights.astype(np.float64), biases.astype(np.float64), seconds)


def trial(method: str, setting: dict[str, float], regime: Regime) -> PackedTrial:
    """Return a gradient method's settings in its own units.

    The penalty's gradient at the start, |x| = 1 / sqrt(d), is the level: lambda |x|^((1 - M) / K) for ReWA,
    lambda at any size for the others. The packed squared loss is without a half, so its gradients are double.
    """
    slope = setting["level"] * regime.level * (2.0 if regime.loss == "squared" else 1.0)
    if method == "rewa":
        M = setting["M"]
        decay = slope * regime.d ** (-0.5 * (M - 1) / K)
        return PackedTrial("rewa", lr=0.1 * regime.rate / K, K=K, M=M, weight_decay=decay)
    if method == "spred":
        return PackedTrial("spred", lr=setting["lr"] * regime.rate, weight_decay=slope)
    return PackedTrial("sgd_l1", lr=setting["lr"] * regime.rate, l1=slope)


Measure = Callable[[Fits], list[dict[str, Any]]]


def measures(regime: Regime, validation: Split) -> Measure:
    """Return a function that measures fits: losses on validation, and all else against the truth.

    ``val`` and ``excess`` are of the model as it is, ``val_k`` and ``excess_k`` with its k largest weights
    only, ``val_half`` and ``excess_half`` with k / 2. ``bias`` is by how much found weights of the truth are
    too small on average, as a share; supports are of weights above 1e-3.
    """
    truth, wanted = regime.truth, regime.truth != 0
    target = truth / regime.noise if regime.loss == "logistic" else truth

    def measure(fits: Fits) -> list[dict[str, Any]]:
        ok = np.isfinite(fits.weights).all(axis=1) & np.isfinite(fits.biases)
        weights, biases = np.where(ok[:, None], fits.weights, 0.0), np.where(ok, fits.biases, 0.0)
        found = np.abs(weights) > 1e-3
        hits, size = (found & wanted).sum(axis=1), found.sum(axis=1)
        recall, precision = hits / regime.k, hits / np.maximum(size, 1)
        ratios = np.where(found & wanted, weights, 0.0)[:, wanted] / target[wanted]
        columns: dict[str, NDArray[Any]] = {
            "diverged": ~ok,
            "support_size": size,
            "precision": precision,
            "recall": recall,
            "f1": 2 * hits / (size + regime.k),
            "bias": 1 - ratios.sum(axis=1) / np.maximum(hits, 1),
            "estimation_error": np.linalg.norm(weights - target, axis=1),
        }
        columns["bias"] = np.where(hits > 0, columns["bias"], np.nan)
        for suffix, keep in (("", regime.d), ("_k", regime.k), ("_half", regime.k // 2)):
            pruned = largest(weights, keep)
            columns[f"val{suffix}"] = np.where(ok, validation.losses(pruned, biases), np.nan)
            columns[f"excess{suffix}"] = np.where(ok, regime.excess(pruned, biases), np.nan)
        return [{name: values[row].item() for name, values in columns.items()} for row in range(len(weights))]

    return measure


def _short(value: Any) -> Any:
    """Round to what the file keeps, so that a resumed study's tables are those of one go."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def largest(weights: Array, keep: int) -> Array:
    """Return a copy in which only the ``keep`` largest weights of each row are left."""
    if keep >= weights.shape[1]:
        return weights
    out = np.argpartition(-np.abs(weights), keep, axis=1)[:, keep:]
    pruned = weights.copy()
    np.put_along_axis(pruned, out, 0.0, axis=1)
    return pruned
