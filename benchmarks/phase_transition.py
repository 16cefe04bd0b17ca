"""Phase transitions: how often ReWA, LASSO and L0.5 recover a support exactly, over samples n and non-zeros k.

    python -m benchmarks.phase_transition

Draws y = Xv + noise with X standard normal, d = 200, v with k entries of +1 or -1 and noise of standard deviation
0.1, twenty times for every (n, k), and fits each by every method along its path of penalties. The setting is chosen
on a validation split of n more samples; what the best setting of the path would have given stands beside it. Cells
are kept as they finish: the same command goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.figures import png
from benchmarks.claims import claims_table
from benchmarks.command_line import parser_for, run_command
from benchmarks.phase_maps import draw, findings, halves_table
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, write_json
from rewa.data.synthetic import draw_design, draw_targets, sparse_truth
from rewa.errors import UserError
from rewa.linear import LinearProblem
from rewa.packed import PackedTrial, train_batch_of_problems
from rewa.record import write_text
from rewa.solvers import PenaltyName, solution_path

MODULE = "benchmarks.phase_transition"
OUTPUT = "results/phase_transition"
CELLS_FILE = "cells.csv"
AMPLITUDE = 1.0
NOISE = 0.1
THRESHOLD = 1e-3
"""A weight is in the unpruned support if its size is above this: a thousandth of the amplitude."""

K, M, M_CROSSING, MOMENTUM = 9.0, 4.0, 0.9, 0.9
"""The paper's powers; an M below 1, where weights can cross zero; momentum, which settles weak decay sooner."""

DECAYS = tuple(float(w) for w in np.geomspace(0.01, 1.28, 8).round(4))
FRACTIONS: dict[PenaltyName, NDArray[np.float64]] = {
    "lasso": np.geomspace(1.0, 1e-3, 30),
    "l0_5": np.geomspace(1.0, 1e-4, 30),
}
"""Of lambda_max, wide enough that choices by validation fall inside."""

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
        starts: Random starts of ReWA at M > 1.
        steps: Full-batch gradient steps of a ReWA training.
        seed: Of all draws.
    """

    d: int = 200
    samples: tuple[int, ...] = tuple(range(20, 201, 20))
    supports: tuple[int, ...] = (1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 56)
    repeats: int = 20
    starts: int = 8
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
    """Draw a cell's problems; a cell does not depend on which others are swept, nor a repeat on their number."""
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

    The learning rate makes the effective step at weights of size 1 the inverse of the loss's largest curvature,
    2 (1 + sqrt(d/n))^2 for standard normal designs: larger ones throw weights over zero while the fit settles.

    Args:
        inputs: Shape (P, n, d).
        targets: Shape (P, n).
        starts: Shape (P, G, d).
        M: Exponent of the adaptive learning rate.
        steps: Gradient steps.

    Returns:
        Weights of shape (P, G, settings, d), NaN where diverged.
    """
    problems, n, d = inputs.shape
    lr = 1.0 / (K * 2.0 * (1.0 + (d / n) ** 0.5) ** 2)
    trials = [PackedTrial("rewa", lr, MOMENTUM, K, M, weight_decay=decay) for decay in DECAYS]
    groups = starts.shape[1]
    result = train_batch_of_problems(
        inputs, targets, trials * groups, init_weights=np.repeat(starts, len(DECAYS), axis=1), steps=steps
    )
    return result.weights.reshape(problems, groups, len(DECAYS), d).astype(np.float64)


def both_signs_path(inputs: F32, targets: F64, steps: int) -> F64:
    """Train ReWA on x = a - b, a and b at 1/sqrt(d): each weight has a half on the right side of zero.

    The doubled design [X, -X] has twice the curvature, hence half the learning rate; as X and -X see the same
    residual, that is ``rewa_path``'s with n and d doubled by repeating the samples.
    """
    problems, n, d = inputs.shape
    lr = 0.5 / (K * 2.0 * (1.0 + (d / n) ** 0.5) ** 2)
    trials = [PackedTrial("rewa", lr, MOMENTUM, K, M, weight_decay=decay) for decay in DECAYS]
    doubled = np.concatenate([inputs, -inputs], axis=2)
    halves = train_batch_of_problems(
        doubled, targets, trials, init_weights=np.full(2 * d, d**-0.5), steps=steps
    ).weights
    return (halves[..., :d] - halves[..., d:])[:, None].astype(np.float64)


def solver_path(inputs: F32, targets: F64, penalty: PenaltyName) -> F64:
    """Solve every problem along decreasing penalties, each from the solution before.

    The solvers fit an intercept, which the problem does not have. With every sample mirrored it is zero and the
    loss is the same, so that all methods fit the same model.

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
        # A tenth: from the whole of it the first steps overshoot, as its zeros start at sqrt(k/n), too.
        "rewa_correlation": rewa_path(inputs, targets, 0.1 * correlation, M, steps),
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


def evaluate_cell(sweep: Sweep, n: int, k: int) -> Iterator[dict[str, str | int]]:
    """Yield a cell's rows, one per method."""
    problems = draw_problems(sweep, n, k)
    paths = fit_all(problems.inputs, problems.targets, problems.starts, sweep.steps)
    for method, weights in paths.items():
        yield {"method": method, "n": n, "k": k, **evaluate(weights, problems)}


def run(sweep: Sweep, output: Path) -> tuple[pd.DataFrame, int]:
    """Evaluate the cells that are missing, keeping each in ``cells.csv`` at once.

    Returns:
        All rows, in the grid's order, and how many cells were there before.

    Raises:
        UserError: If the directory holds cells of another sweep, or cannot be written.
    """
    stamp, path = output / "sweep.json", output / CELLS_FILE
    try:
        output.mkdir(parents=True, exist_ok=True)
        if stamp.is_file() and stamp.read_text() != sweep.recipe:
            raise UserError(f"{output}: holds cells of another sweep; choose another --output")
        write_text(stamp, sweep.recipe)
    except OSError as error:
        raise UserError(f"{output}: cannot be written ({error.strerror})") from None
    # k outside: every stretch of the way has the same mix of n, so that the meter's estimate is fair.
    grid = [(n, k) for k in sweep.supports for n in sweep.samples]
    rows = pd.read_csv(path).to_dict("records") if path.is_file() else []
    kept = {(row["n"], row["k"]) for row in rows}
    with Meter("phase transition", len(grid), "cells") as meter:
        meter.skip(len(kept))
        for n, k in grid:
            if (n, k) not in kept:
                rows += list(evaluate_cell(sweep, n, k))
                write_text(path, pd.DataFrame(rows).to_csv(index=False))
                meter.advance(1)
    return pd.DataFrame(rows).sort_values(["k", "n"], kind="stable", ignore_index=True), len(kept)
