"""Phase transitions: how often ReWA, LASSO and L0.5 recover a support exactly, over n samples, k non-zeros.

    python -m benchmarks.phase_transition

Draws y = Xv + noise with X standard normal, d = 200, v with k entries of +1 or -1 and noise of standard
deviation 0.1, twenty times for every (n, k), and fits each by every method along its path of penalties. The
setting is chosen on a validation split of n more samples; what the best setting of the path would have given
stands beside it. Cells are kept as they finish: the same command goes on where it was stopped.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.figures import png
from benchmarks.claims import Claim, claims_table, judge
from benchmarks.command_line import parser_for, run_command
from benchmarks.kept import KeptRows, claim_directory
from benchmarks.phase_cells import (
    DECAYS,
    FRACTIONS,
    M_CROSSING,
    MOMENTUM,
    NOISE,
    SETTLING,
    THRESHOLD,
    K,
    M,
    Sweep,
    evaluate_cell,
)
from benchmarks.phase_maps import (
    NAMES,
    READINGS,
    chance_of_right_signs,
    draw,
    halves,
    pooled,
    probability,
    signs_right,
    wainwright,
)
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, toy_note, write_json
from rewa.record import write_text

MODULE = "benchmarks.phase_transition"
OUTPUT = "results/phase_transition"
CELLS_FILE = "cells.csv"


def run(sweep: Sweep, output: Path) -> tuple[pd.DataFrame, int]:
    """Evaluate the cells that are missing, keeping each in ``cells.csv`` at once.

    Returns:
        All rows, in the grid's order, and how many cells were there before.

    Raises:
        UserError: If the directory holds cells of another sweep, or cannot be written.
    """
    claim_directory(output / "sweep.json", sweep.recipe, "cells of another sweep")
    cells = KeptRows(output / CELLS_FILE, ["n", "k"])
    # k outside: every stretch of the way has the same mix of n, so that the meter's estimate is fair.
    grid = [(n, k) for k in sweep.supports for n in sweep.samples]
    kept = set(zip(cells.table["n"], cells.table["k"], strict=True))
    with Meter("phase transition", len(grid), "cells") as meter:
        meter.skip(len(kept))
        for n, k in grid:
            if (n, k) not in kept:
                began = time.monotonic()
                fresh = evaluate_cell(sweep, n, k)
                seconds = round(time.monotonic() - began, 1)
                cells.add([{**row, "cell_seconds": seconds} for row in fresh])
                meter.advance(1)
    return cells.table.sort_values(["k", "n"], kind="stable", ignore_index=True), len(kept)


def explanation(sweep: Sweep) -> str:
    """Return what was run and how to read it, as Markdown."""
    return f"""\
Problems: y = Xv + noise, X standard normal, d = {sweep.d}, k entries of v are +1 or -1, noise {NOISE:g}.
Every problem has its own X, signs, noise and starts, and n more samples that choose the setting.

ReWA: K = {K:g}, epsilon = 0, M = {M:g} or {M_CROSSING:g}; {sweep.steps} full-batch steps (x = a - b: twice
as many, at half the learning rate), momentum {MOMENTUM:g}, effective step at |x| = 1 one over the loss's
largest curvature, constant, then falling to zero over the last {SETTLING:.0%}; lambda in
{", ".join(map(str, DECAYS))}. A random start is PyTorch's default, uniform
in (-1/sqrt(d), 1/sqrt(d)). LASSO and L0.5: coordinate descent from each penalty to the next,
{len(FRACTIONS["lasso"])} fractions of lambda_max, down to {FRACTIONS["lasso"][-1]:g} and
{FRACTIONS["l0_5"][-1]:g}.

Three readings of recovery:

- *the k largest weights are the support*, in the setting that validation chose: what pruning
  to k weights gives;
- *weights above {THRESHOLD:g} are the support*, in the same setting: no pruning, no oracle. It depends on how
  far weak decay is trained, as validation prefers it weak;
- *some setting of the path* has exactly the support above {THRESHOLD:g}: an oracle's choice, what theory is
  about.
"""


def halves_table(table: pd.DataFrame, starts: int) -> str:
    """Return the n from which on half of the problems are recovered, as Markdown, by reading and method."""
    ks = [k for k in sorted(table["k"].unique()) if k != 1] or [1]
    low, high = table["n"].min(), table["n"].max()
    words = {-np.inf: f"≤ {low}", np.inf: f"> {high}"}
    lines = ["| | " + " | ".join(f"k = {k}" for k in ks) + " |", "|---|" + "---:|" * len(ks)]
    for reading, title in READINGS.items():
        lines.append(f"| **{title}** ".replace("\n", " ") + "|" * (len(ks) + 1))
        for method, name in NAMES.items():
            at = halves(table, method, reading)
            cells = [words.get(at[k], f"{at[k]:.0f}") for k in ks]
            lines.append(f"| {name.format(starts=starts)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def findings(table: pd.DataFrame, sweep: Sweep) -> list[Claim]:
    """Judge what is expected of these maps; none of it is in the paper."""
    return [
        *_random_starts(table, sweep),
        _correlation(table),
        _both_signs(table),
        _crossing(table),
        _lasso(table, sweep.d),
        _unpruned(table, sweep.starts),
    ]


def _random_starts(table: pd.DataFrame, sweep: Sweep) -> list[Claim]:
    claims = []
    for method, tries, formula in (
        ("rewa_one_start", 1, "2^-k"),
        ("rewa_all_starts", sweep.starts, f"1 - (1 - 2^-k)^{sweep.starts}"),
    ):
        rows = pooled(table, method)
        rows = rows.assign(chance=chance_of_right_signs(rows.index, tries))
        close = (rows["p"] - rows["chance"]).abs() < 0.1
        listed = "; ".join(f"k = {k}: {r.p:.3f} ({r.chance:.3f})" for k, r in rows.head(6).iterrows())
        kind = "one random start" if tries == 1 else f"the best of {tries} random starts"
        claims.append(
            Claim(
                f"from {kind}, ReWA with K = 9, M = 4 recovers k weights of random signs with probability "
                f"{formula}, whatever n",
                "rewa.theory.growth_threshold",
                judge(close),
                f"measured (expected), n from {sweep.samples[-1] // 2} up: {listed}; "
                f"{int(rows['trials'].max())} tries per k",
            )
        )
    return claims


def _correlation(table: pd.DataFrame) -> Claim:
    shares = probability(table, "rewa_correlation", "selected_top_k").stack()
    ks, ns = (shares.index.get_level_values(name).to_numpy() for name in ("k", "n"))
    chance = signs_right(ns, ks, NOISE)
    apart = np.abs(shares.to_numpy() - chance)
    ruled = shares.to_numpy()[chance < 0.2]
    ease = shares.to_numpy()[chance > 0.8]
    return Claim(
        "started at a tenth of X'y/n it recovers where all signs of X'y are right",
        "rewa.theory.growth_threshold",
        judge([_mean(ruled) < 0.2, _mean(ease) > 0.8]),
        f"recovered where the chance of right signs is above 0.8: {_percent(ease)}, below 0.2: "
        f"{_percent(ruled)}; mean difference over all cells {apart.mean():.2f}",
    )


def _both_signs(table: pd.DataFrame) -> Claim:
    ours, best = (_shares(table, method, "best_exact") for method in ("rewa_both_signs", "l0_5"))
    top, lasso = _shares(table, "rewa_both_signs", "selected_top_k"), _shares(table, "lasso", "best_exact")
    return Claim(
        "trained as x = a - b, both halves from one positive value, ReWA with M = 4 needs no luck and "
        "recovers where L0.5 does",
        "p = (K+1-M)/K = 2/3, Theorem 3.3",
        judge([ours.mean() > lasso.mean(), ours.mean() > best.mean() - 0.05]),
        f"mean over all cells, unpruned, best setting: {_percent(ours)}, L0.5 {_percent(best)}, LASSO "
        f"{_percent(lasso)}; k largest, by validation: {_percent(top)}, L0.5 "
        f"{_percent(_shares(table, 'l0_5', 'selected_top_k'))}, LASSO "
        f"{_percent(_shares(table, 'lasso', 'selected_top_k'))}",
    )


def _crossing(table: pd.DataFrame) -> Claim:
    top, lasso = (_shares(table, method, "selected_top_k") for method in ("rewa_crossing", "lasso"))
    exact, lasso_exact = (_shares(table, method, "best_exact") for method in ("rewa_crossing", "lasso"))
    return Claim(
        "with M = 0.9 weights cross zero, so that one random start suffices; the penalty is then nearly "
        "LASSO's (p = 1.01)",
        "Theorem 3.10; Theorem 3.3",
        judge([abs(top.mean() - lasso.mean()) < 0.05, abs(exact.mean() - lasso_exact.mean()) < 0.1]),
        f"mean over all cells, k largest, by validation: {_percent(top)}, LASSO {_percent(lasso)}; unpruned, "
        f"best setting: {_percent(exact)}, LASSO {_percent(lasso_exact)}",
    )


def _lasso(table: pd.DataFrame, d: int) -> Claim:
    shares = probability(table, "lasso", "best_exact").stack()
    ks, ns = (shares.index.get_level_values(name).to_numpy() for name in ("k", "n"))
    ratio = ns / wainwright(ks, d)
    above, below = shares.to_numpy()[ratio > 1.25], shares.to_numpy()[ratio < 0.75]
    return Claim(
        "LASSO's exact recovery sets in at n = 2k log(d-k) + k + 1",
        "Wainwright 2009",
        judge([_mean(above) > 0.75, _mean(below) < 0.25]),
        f"unpruned, best setting: {_percent(above)} from a quarter above that n, {_percent(below)} from a "
        "quarter below it",
    )


def _unpruned(table: pd.DataFrame, starts: int) -> Claim:
    chosen = {m: _shares(table, m, "selected_exact") for m in NAMES}
    rows = [f"{NAMES[m].format(starts=starts)}: {_percent(p)}" for m, p in chosen.items()]
    return Claim(
        "the setting that predicts best does not have the exact support: LASSO's keeps small false weights, "
        "penalties with p < 1 do better",
        "Meinshausen and Bühlmann 2006; Theorem 3.3",
        judge(
            [
                chosen["lasso"].mean() < 0.1,
                chosen["rewa_both_signs"].mean() > 0.3,
                chosen["l0_5"].mean() > 0.3,
            ]
        ),
        "mean over all cells, weights above 1e-3, by validation: " + "; ".join(rows),
    )


def _shares(table: pd.DataFrame, method: str, reading: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return a method's shares in all cells."""
    return probability(table, method, reading).to_numpy(dtype=float)


def _percent(shares: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    return f"{100 * _mean(shares):.0f} %"


def _mean(shares: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Return the mean; NaN where a toy grid has no such cells."""
    return float(shares.mean()) if shares.size else float("nan")


def main() -> None:
    """Evaluate what is missing, then write the figure and the findings."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--repeats", type=int, help="problems per cell (default: 20, smoke: 2)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default: 0)")
    arguments = parser.parse_args()
    output: Path = arguments.output
    sweep = Sweep.at(arguments.scale, arguments.repeats, arguments.seed)
    provenance = Provenance(MODULE)
    table, before = run(sweep, output)
    claims = claims_table(findings(table, sweep), "expected")  # of theory, not of the paper
    (output / "phase_transition.png").write_bytes(png(draw(table, sweep.d, NOISE, sweep.starts)))
    page = [
        "# Phase transitions: exact support recovery over n and k\n",
        provenance.markdown(),
        f"- scale: {arguments.scale}; seed {sweep.seed}; {sweep.repeats} problems per cell; "
        f"the cells took {table.drop_duplicates(['n', 'k'])['cell_seconds'].sum() / 60:.0f} min, "
        f"{before} of {len(sweep.samples) * len(sweep.supports)} were there before\n",
        *toy_note(arguments.scale),
        explanation(sweep),
        "![phase transitions](phase_transition.png)\n",
        claims,
        "\nThe n from which on at least half of the problems are recovered:\n",
        halves_table(table, sweep.starts),
        "",
    ]
    write_text(output / "README.md", "\n".join(page))
    if arguments.json:
        write_json(arguments.json, provenance, table.to_dict("records"))
    print(claims)
    print(f"figure, findings and counts: {output}/phase_transition.png, README.md, {CELLS_FILE}")


if __name__ == "__main__":
    run_command(MODULE, main)
