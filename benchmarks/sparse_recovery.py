"""How fast the paper's sparse recovery study runs: one training, and the Figure 1 grid packed.

    python -m benchmarks.sparse_recovery --reference DIR

Times whole trainings of 800 epochs, from data in memory to the finished frontier: one alone, unpacked and as
a pack of one; then every setting of Figure 1 on three seeds in one pack. With ``--reference``, a checkout of
the authors' repository, their script runs beside it. What comes out is compared with unpacked trainings.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import figure1
from benchmarks.command_line import parser_for, run_command
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, publish
from benchmarks.rates import copy_rate, matmul_rate
from benchmarks.reference import LinearSetting, check_checkout, run_authors_linear
from benchmarks.sparse_recovery_page import page
from benchmarks.sparse_study import PAPER_SEEDS, SMOKE, Setting, rewa
from rewa.methods import get_method
from rewa.outcome import TrainingResult, Watch
from rewa.packed.pack import default_workers
from rewa.packs import Training, fit_together
from rewa.training import fit
from rewa.workloads.sparse_recovery import SparseRecovery

MODULE = "benchmarks.sparse_recovery"
OUTPUT = "results/sparse_recovery_speed"
COLLAPSING = rewa("lambda = 5", weight_decay=5.0)
"""Every weight ends at zero, a third of the way through."""
COMPARED = (
    (rewa("K=9 M=4"), PAPER_SEEDS[0]),
    (rewa("K=9 M=4"), PAPER_SEEDS[1]),
    (rewa("K=3 M=0", K=3, M=0), PAPER_SEEDS[0]),
    (rewa("K=5 M=2", K=5, M=2), PAPER_SEEDS[2]),
    (rewa("K=13 M=10", K=13, M=10), PAPER_SEEDS[0]),
    (COLLAPSING, PAPER_SEEDS[0]),
)
"""Trainings that are done unpacked too: recovering, dense, at zero."""

Figures = dict[str, Any]


def training(setting: Setting, seed: int, ticks: list[float] | None = None) -> Training:
    """Return a setting as a training; the times of its evaluations go to ``ticks``."""
    watch = Watch() if ticks is None else Watch(on_epoch=lambda _: ticks.append(time.perf_counter()))
    return Training(get_method(setting.method).from_values(dict(setting.config)), seed, watch=watch)


def packed(workload: SparseRecovery, trainings: Sequence[Training]) -> tuple[float, list[TrainingResult]]:
    """Return the wall time of a pack, and its outcomes."""
    started = time.perf_counter()
    results = fit_together(workload, trainings)
    return time.perf_counter() - started, results


def unpacked(workload: SparseRecovery, one: Training) -> tuple[float, TrainingResult]:
    """Return the wall time of one training by the ordinary loop, and its outcome."""
    started = time.perf_counter()
    result = fit(workload, one.method, one.seed, watch=one.watch)
    return time.perf_counter() - started, result


def late_over_early(started: float, ticks: Sequence[float]) -> float:
    """Return the time of the last third of the evaluated epochs over that of the first."""
    marks = [started, *ticks]
    third = max(1, len(ticks) // 3)
    return (marks[-1] - marks[-1 - third]) / (marks[third] - marks[0])


def difference(one: TrainingResult, other: TrainingResult) -> Figures:
    """Return the largest relative differences of weights, test error and frontier between two outcomes.

    Weights are compared relative to the training's largest, or to 1e-3, the threshold of its support, where
    none is larger.
    """
    ours, theirs = _weights(one), _weights(other)
    size = max(float(theirs.abs().max()), 1e-3)
    points = [abs(a.metric / b.metric - 1) for a, b in zip(one.frontier, other.frontier, strict=True)]
    return {
        "weights": float((ours - theirs).abs().max()) / size,
        "test_mse": abs(_test_mse(one) / _test_mse(other) - 1),
        "frontier": max(points),
        "kept": int((theirs.abs() > 1e-3).sum()),
    }


def _weights(result: TrainingResult) -> torch.Tensor:
    assert isinstance(result.model, torch.nn.Linear)
    return result.model.weight.detach().flatten()


def _test_mse(result: TrainingResult) -> float:
    value = result.findings["test_mse"]
    assert isinstance(value, float)
    return value


def floors(workload: SparseRecovery, trials: int, points: int) -> Figures:
    """Return the least seconds of a trial in a pack on the present threads, at rates measured here.

    Counted: the products X.W and X'.r of every step, those of evaluation, and the update's bytes (latents
    read and written, the batch read once for all trials). Powers, loss and gathering of the batch are not.
    """
    c = workload.config
    steps, evaluations = workload.total_steps, -(-c.epochs // c.eval_every)
    flops = 4.0 * c.batch_size * c.d * steps
    flops += 2.0 * c.d * (evaluations * c.n_val + points // 2 * (c.n_val + c.n_test))
    rate = matmul_rate(c.batch_size, c.d, max(trials, 1))
    moved = (8.0 + 4.0 * c.batch_size / trials) * c.d * steps
    memory = copy_rate(max(1, 4 * c.d * trials // 1_000_000))
    return {
        "flops": flops,
        "flops_per_second": rate,
        "bytes": moved,
        "bytes_per_second": memory,
        "seconds": flops / rate + moved / memory,
    }


def measure(scale: str, reference: Path | None, reference_epochs: int) -> Figures:
    """Run everything; every part on one thread and on all cores."""
    workload = SparseRecovery.from_values(SMOKE if scale == "smoke" else {}, torch.device("cpu"))
    assert isinstance(workload, SparseRecovery)
    grid = [(s, seed) for seed in PAPER_SEEDS for s in figure1.grid()]
    paper = rewa("K=9 M=4")
    if scale == "smoke":
        grid = grid[::20]
    cores = default_workers()
    threads = sorted({1, cores})
    warm = SparseRecovery.from_values({**SMOKE, "epochs": 1}, torch.device("cpu"))
    fit_together(warm, [training(paper, 1)])  # compiles, or loads what was compiled
    found: Figures = {"epochs": workload.config.epochs, "cores": cores, "grid": len(grid), "threads": {}}
    parts = len(threads) * (2 + bool(reference)) + 3
    with Meter("sparse_recovery", parts, "parts") as meter:
        for count in threads:
            torch.set_num_threads(count)
            row: Figures = {}
            row["pack_of_one"], alone = packed(workload, [training(paper, PAPER_SEEDS[0])])
            row["floor_alone"] = floors(workload, 1, len(alone[0].frontier))
            meter.advance(1)
            row["grid"], _ = packed(workload, [training(*each) for each in grid])
            row["grid_per_trial"] = row["grid"] / len(grid)
            row["floor_packed"] = floors(workload, len(grid), len(alone[0].frontier))
            meter.advance(1)
            if reference:
                row["authors"] = _authors(workload, reference, reference_epochs, count)
                meter.advance(1)
            found["threads"][str(count)] = row
        torch.set_num_threads(1)
        found["unpacked"], _ = unpacked(workload, training(paper, PAPER_SEEDS[0]))
        meter.advance(1)
        ticks: list[float] = []
        started = time.perf_counter()
        packed(workload, [training(COLLAPSING, PAPER_SEEDS[0], ticks)])
        found["late_over_early"] = late_over_early(started, ticks)
        meter.advance(1)
        found["differences"] = _differences(workload)
        meter.advance(1)
    return found


def _authors(workload: SparseRecovery, reference: Path, epochs: int, threads: int) -> Figures:
    """Time the authors' script on this workload's sizes and scale it to the workload's epochs."""
    c = workload.config
    setting = replace(LinearSetting(), epochs=epochs, d=c.d, n=c.n, batch_size=c.batch_size, threads=threads)
    run = run_authors_linear(reference, setting)
    return {
        "epochs_run": epochs,
        "seconds_per_epoch": run.seconds_per_epoch,
        "seconds": run.seconds_per_epoch * c.epochs,
    }


def _differences(workload: SparseRecovery) -> list[Figures]:
    """Compare a handful of trainings, packed together, with the same ones unpacked."""
    _, together = packed(workload, [training(*each) for each in COMPARED])
    rows = []
    for (setting, seed), result in zip(COMPARED, together, strict=True):
        _, alone = unpacked(workload, training(setting, seed))
        rows.append({"setting": setting.label, "K": setting.config["K"], "seed": seed})
        rows[-1] |= difference(result, alone)
    return rows


def main() -> None:
    """Measure, print and write the page."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--reference", type=Path, help="a checkout of the authors' repository")
    parser.add_argument(
        "--reference-epochs", type=int, default=10, help="epochs of their script, scaled up (default: 10)"
    )
    given = parser.parse_args()
    if given.reference:
        check_checkout(given.reference)
    provenance = Provenance(MODULE)
    figures = measure(given.scale, given.reference, given.reference_epochs)
    text = page(figures, provenance, given.scale)
    publish(given, "sparse_recovery", text, provenance, figures)


if __name__ == "__main__":
    run_command(MODULE, main)
