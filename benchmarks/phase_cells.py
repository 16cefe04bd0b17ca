"""The cells of :mod:`benchmarks.phase_transition`: problems, methods, and what counts as recovery."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rewa.data.synthetic import draw_design, draw_targets, sparse_truth
from rewa.errors import UserError
from rewa.linear import LinearProblem
from rewa.packed import PackedTrial, train_batch_of_problems
from rewa.solvers import PenaltyName, solution_path

AMPLITUDE = 1.0
NOISE = 0.1
THRESHOLD = 1e-3
"""A weight is in the unpruned support if its size is above this: a thousandth of the amplitude."""

K, M, M_CROSSING, MOMENTUM = 9.0, 4.0, 0.9, 0.9
"""The paper's powers; an M below 1, where weights can cross zero; momentum, so that weak decay settles."""

CORRELATION_SHARE = 0.1
"""From the whole of X'y/n the first steps overshoot: its entries for zeros are of size sqrt(k/n), too."""

SETTLING = 0.2
"""Share of the steps at the end over which the learning rate falls to zero, from constant."""

DECAYS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)
"""ReWA's path: the weakest lets noise of size 2 NOISE / sqrt(n) grow, the strongest holds signals down."""

FRACTIONS: dict[PenaltyName, NDArray[np.float64]] = {
    "lasso": np.geomspace(1.0, 1e-3, 30),
    "l0_5": np.geomspace(1.0, 1e-4, 30),
}
"""Of lambda_max, down to where validation no longer goes."""

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Sweep:
    """What is swept; a directory holds cells of one sweep.

    Attributes:
        d: Features.
        samples: The grid's n; as many again validate.
        supports: The grid's k.
        repeats: Problems per cell, each with its own X, signs and noise.
        starts: Random starts per problem of ReWA at M > 1.
        steps: Full-batch gradient steps of a ReWA training; twice as many for x = a - b, see there.
        seed: Of all draws.
    """

    d: int = 200
    samples: tuple[int, ...] = tuple(range(20, 201, 20))
    supports: tuple[int, ...] = (1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56)
    repeats: int = 20
    starts: int = 4
    steps: int = 3000
    seed: int = 0

    @classmethod
    def at(cls, scale: str, repeats: int | None, seed: int) -> Sweep:
        """Return the sweep of a scale; ``repeats`` of None is the scale's own number.

        Raises:
            UserError: If a number is out of range.
        """
        if (repeats is not None and repeats < 1) or seed < 0:
            raise UserError("--repeats must be at least 1 and --seed at least 0")
        if scale == "full":
            return cls(repeats=repeats or cls.repeats, seed=seed)
        return cls(40, (20, 40), (1, 2, 6), repeats or 2, 2, 200, seed)

    @property
    def recipe(self) -> str:
        """Everything that decides a cell, as text."""
        paths = {name: list(fractions) for name, fractions in FRACTIONS.items()}
        constants = {"K": K, "M": M, "M_crossing": M_CROSSING, "momentum": MOMENTUM, "decays": DECAYS}
        constants |= {"correlation_share": CORRELATION_SHARE, "settling": SETTLING}
        data = {"amplitude": AMPLITUDE, "noise": NOISE, "threshold": THRESHOLD}
        return json.dumps({**asdict(self), **constants, **data, **paths}, sort_keys=True)


@dataclass(frozen=True)
class Problems:
    """The problems of one cell; methods are given the training arrays, selection the validation ones.

    Attributes:
        inputs: Shape (P, n, d).
        targets: Shape (P, n).
        val_inputs: Shape (P, n, d).
        val_targets: Shape (P, n).
        truth: Shape (P, d).
        starts: Shape (P, starts, d): PyTorch's default initialisation, uniform in (-1/sqrt(d), 1/sqrt(d)).
    """

    inputs: F32
    targets: F64
    val_inputs: F32
    val_targets: F64
    truth: F64
    starts: F64


def draw_problems(sweep: Sweep, n: int, k: int) -> Problems:
    """Draw a cell's problems; none depends on which other cells and repeats are swept."""
    each = []
    for repeat in range(sweep.repeats):
        generator = np.random.default_rng([sweep.seed, n, k, repeat])
        truth = sparse_truth(sweep.d, k, AMPLITUDE, "random", int(generator.integers(2**31)))
        split = []
        for _ in ("train", "validation"):
            inputs = draw_design(n, sweep.d, "independent", 0.0, generator)
            split += [inputs, draw_targets(inputs @ truth, NOISE, "squared", generator)]
        bound = sweep.d**-0.5
        each.append((*split, truth, generator.uniform(-bound, bound, (sweep.starts, sweep.d))))
    return Problems(*(np.stack(arrays) for arrays in zip(*each, strict=True)))


def rewa_path(inputs: F32, targets: F64, starts: F64, M: float, steps: int) -> F64:
    """Train ReWA from every start with every weight decay.

    The learning rate makes the effective step of a weight of size 1 the inverse of the loss's largest
    curvature: with larger ones, weights are thrown over zero, and lost, while the fit settles.

    Args:
        inputs: Shape (P, n, d).
        targets: Shape (P, n).
        starts: Shape (P, tries, d).
        M: Exponent of the adaptive learning rate.
        steps: Gradient steps.

    Returns:
        Weights of shape (P, tries, settings, d), NaN where diverged.
    """
    curvatures = 2.0 * np.linalg.norm(inputs, ord=2, axis=(1, 2)) ** 2 / inputs.shape[1]
    tries = starts.shape[1]
    trials = [
        [PackedTrial("rewa", 1.0 / (K * float(c)), MOMENTUM, K, M, weight_decay=w) for w in DECAYS] * tries
        for c in curvatures
    ]
    initial = np.repeat(starts, len(DECAYS), axis=1)
    factors = np.minimum(1.0, (1.0 - np.arange(steps) / steps) / SETTLING)
    weights = train_batch_of_problems(
        inputs, targets, trials, init_weights=initial, steps=steps, factors=factors
    ).weights
    return weights.reshape(len(inputs), tries, len(DECAYS), -1).astype(np.float64)


def both_signs_path(inputs: F32, targets: F64, steps: int) -> F64:
    """Train x = a - b by ReWA on [X, -X], a and b from 1/sqrt(d): one half is on the right side of zero.

    The doubled design has twice the curvature, so half the learning rate: twice the steps decay as far.
    """
    problems, _, d = inputs.shape
    doubled = np.concatenate([inputs, -inputs], axis=2)
    halves = rewa_path(doubled, targets, np.full((problems, 1, 2 * d), d**-0.5), M, 2 * steps)
    return halves[..., :d] - halves[..., d:]


def solver_path(inputs: F32, targets: F64, penalty: PenaltyName) -> F64:
    """Solve every problem along decreasing penalties, each from the solution before.

    The solvers fit an intercept, which the problem does not have. With every sample mirrored it is zero and
    the loss is the same, so that all methods fit the same model.

    Returns:
        Weights of shape (P, 1, settings, d).
    """
    paths = []
    for x, y in zip(inputs.astype(np.float64), targets, strict=True):
        mirrored = LinearProblem(np.asfortranarray(np.vstack([x, -x])), np.append(y, -y), "squared")
        paths.append(solution_path(mirrored, penalty, FRACTIONS[penalty]))
    return np.stack(paths)[:, None]


def fit_all(inputs: F32, targets: F64, starts: F64, steps: int) -> dict[str, F64]:
    """Fit a cell by every method, on training data alone.

    Returns:
        Per method, weights of shape (P, tries, settings, d): each try chooses among its own settings.
    """
    correlation = np.einsum("pnd,pn->pd", inputs, targets)[:, None] / inputs.shape[1]
    random = rewa_path(inputs, targets, starts, M, steps)
    return {
        "rewa_one_start": random,
        "rewa_all_starts": random.reshape(len(random), 1, -1, random.shape[-1]),
        "rewa_correlation": rewa_path(inputs, targets, CORRELATION_SHARE * correlation, M, steps),
        "rewa_both_signs": both_signs_path(inputs, targets, steps),
        "rewa_crossing": rewa_path(inputs, targets, starts[:, :1], M_CROSSING, steps),
        "lasso": solver_path(inputs, targets, "lasso"),
        "l0_5": solver_path(inputs, targets, "l0_5"),
    }


def choose(weights: F64, val_inputs: F32, val_targets: F64) -> int:
    """Return which of the settings, shape (S, d), predicts best on validation; a diverged one never does."""
    errors = ((weights @ val_inputs.T.astype(np.float64) - val_targets) ** 2).mean(axis=1)
    return int(np.where(np.isnan(errors), np.inf, errors).argmin())


def exact(weights: F64, truth: F64) -> NDArray[np.bool_]:
    """Return, per setting, whether the weights above the threshold are those of the truth; no pruning."""
    found: NDArray[np.bool_] = ((np.abs(weights) > THRESHOLD) == (truth != 0)).all(axis=-1)
    return found & np.isfinite(weights).all(axis=-1)


def top_k(weights: F64, truth: F64) -> NDArray[np.bool_]:
    """Return, per setting, whether every true weight is larger than every other: pruning to k leaves them."""
    size, inside = np.abs(weights), truth != 0
    found: NDArray[np.bool_] = size[..., inside].min(axis=-1) > size[..., ~inside].max(axis=-1)
    return found


def evaluate(paths: F64, problems: Problems) -> dict[str, int]:
    """Count a method's tries that recover the support.

    Args:
        paths: Shape (P, tries, settings, d).
        problems: The cell.

    Returns:
        ``trials``; then how many recover it by either reading, with the setting that validation chose
        (``selected_...``) and with any setting of the path (``best_...``).
    """
    counts = dict.fromkeys(("trials", "selected_top_k", "selected_exact", "best_top_k", "best_exact"), 0)
    for p, tries in enumerate(paths):
        for weights in tries:
            chosen = choose(weights, problems.val_inputs[p], problems.val_targets[p])
            counts["trials"] += 1
            for name, reading in (("top_k", top_k), ("exact", exact)):
                hits = reading(weights, problems.truth[p])
                counts[f"selected_{name}"] += int(hits[chosen])
                counts[f"best_{name}"] += int(hits.any())
    return counts


def evaluate_cell(sweep: Sweep, n: int, k: int) -> list[dict[str, Any]]:
    """Return a cell's rows, one per method."""
    problems = draw_problems(sweep, n, k)
    paths = fit_all(problems.inputs, problems.targets, problems.starts, sweep.steps)
    return [{"method": name, "n": n, "k": k, **evaluate(found, problems)} for name, found in paths.items()]
