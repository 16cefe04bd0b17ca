"""What a sweep costs beside its trainings: seconds per trial, seconds to the first trial, memory.

    python -m benchmarks.sweep_overhead

Runs ``rewa sweep`` over a workload of ten parameters, a hundred trials at concurrency 2 with a fresh MLflow
store, and sets the wall time against the records' own seconds of training. Then runs it again with timers
around its parts, and an empty Ray task with an Optuna study that is asked and told: the floor.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.command_line import parser_for, run_command
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, publish, toy_note
from benchmarks.sweep_overhead_runs import Figures, floor, space, trace_sweep, watch_sweep
from rewa.errors import RunError

MODULE = "benchmarks.sweep_overhead"
OUTPUT = "results/sweep_overhead"
PER_TRIAL, TO_FIRST = 0.2, 15.0
"""Targets in seconds: of a worker, per trial, outside training; from the command to the first trial."""
TRIALS = {"full": 100, "smoke": 6}


def measure(trials: int, concurrency: int, pack: int) -> Figures:
    """Run everything, one after the other, each in processes of its own."""
    with Meter("sweep_overhead", 3, "parts") as meter:
        watched = watch_sweep(space(trials, concurrency, pack), concurrency)
        meter.advance(1)
        traced = _elsewhere("trace", trials, concurrency, pack)
        meter.advance(1)
        least = _elsewhere("floor", trials, concurrency, pack)
        meter.advance(1)
    return {"sweep": watched, "parts": traced, "floor": least}


def _elsewhere(part: str, trials: int, concurrency: int, pack: int) -> Any:
    """Run one part in a fresh process and return what it found."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "found.json"
        words = [sys.executable, "-m", MODULE, "--part", part, "--trials", str(trials), "--json", str(kept)]
        words += ["--concurrency", str(concurrency), "--pack", str(pack), "--output", folder]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode or not kept.is_file():
            raise RunError(f"{part}: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
        return json.loads(kept.read_text())


def run_part(part: str, trials: int, concurrency: int, pack: int, folder: Path) -> Any:
    """Run one part in this process."""
    if part == "trace":
        return trace_sweep(space(trials, concurrency, pack), folder)
    return floor(trials, concurrency, folder)


def verdict(figures: Figures) -> str:
    """Say what was found against the targets."""
    sweep = figures["sweep"]
    each, first, steady = sweep["per_trial"], sweep["to_first_trial"], sweep["per_trial_steady"]
    warm = "" if steady is None else f", {steady:.3f} s after the first fifth"
    return (
        f"A trial occupies its worker for {each:.3f} s beside its training "
        f"(target {PER_TRIAL} s: {_met(each <= PER_TRIAL)}){warm}; the first trial begins {first:.1f} s "
        f"after the command (target {TO_FIRST:.0f} s: {_met(first <= TO_FIRST)})."
    )


def _met(holds: bool) -> str:
    return "met" if holds else "missed"


def page(figures: Figures, provenance: Provenance, scale: str) -> str:
    """Return the results page."""
    sweep, least = figures["sweep"], figures["floor"]
    count = sweep["concurrency"]
    wall = sweep["per_trial"] / count
    lines = [
        "# What a sweep costs beside its trainings\n",
        verdict(figures) + "\n",
        provenance.markdown(),
        f"- {sweep['trials']} trials of a ten-parameter model, {count} at once; a new MLflow store\n",
        *toy_note(scale),
        "| part of `rewa sweep` | seconds |",
        "|---|---|",
        f"| command to first trial (Python, Ray, studies, workers) | {sweep['to_first_trial']:.1f} |",
        f"| first trial to last result: {sweep['trials']} trials | {sweep['search']:.1f} |",
        f"| of it training, by the records, over {count} workers | {sweep['search_training'] / count:.1f} |",
        f"| last result to the last of {sweep['confirm_trials']} confirmations | {sweep['confirm']:.1f} |",
        f"| to the end of the command (MLflow, Ray's end) | {sweep['to_end']:.1f} |",
        f"| in all | {sweep['seconds']:.1f} |",
        "",
        "Per trial: (workers x wall time - training) / trials. The first training of a worker takes "
        f"{sweep['to_first_result'] - sweep['to_first_trial']:.1f} s, the median "
        f"{sweep['training_per_trial']:.3f} s: the first optimizer imports PyTorch's compiler, and compiled "
        "loops are loaded. That counts as training.",
        "",
        "## Floor",
        "",
        "An empty Ray task per trial and a study that is asked and told, as many tasks in flight:",
        "",
        "| study in | seconds of wall time per trial | the sweep's, over it |",
        "|---|---|---|",
        *(
            f"| {name} | {least[name]:.4f} | {wall / least[name]:.1f} |"
            for name in ("sqlite", "journal", "memory", "none")
        ),
        "",
        f"The sweep's own: {wall:.4f} s. It also keeps every result on disk before anything else learns of "
        "it, and writes MLflow's run beside. To come closer, Tune's turns (a result, its end, the worker's "
        "reset and its next trial) would have to become one.",
        "",
        "## Where the time goes in the driver",
        "",
        "| part | calls | seconds | each |",
        "|---|---|---|---|",
        *_part_rows(figures["parts"]),
        "",
        "From a second run with timers; parts lie within each other (all of Optuna and the records within "
        "Tune's loop), and threads share the interpreter.",
        "",
        "## Memory",
        "",
        "| processes | how many | USS of the largest | RSS of the largest |",
        "|---|---|---|---|",
        *_memory_rows(sweep["memory_mb"]),
        "",
        "USS is what would be free without the process; RSS counts shared libraries in every process. A "
        "worker keeps all of it between trials: PyTorch, Ray, compiled loops and the workload's data.",
        "",
    ]
    return "\n".join(lines)


def _part_rows(parts: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"| {p['part']} | {p['calls']} | {p['seconds']:.2f} | {1e3 * p['each']:.1f} ms |"
        for p in parts
        if p["calls"]
    ]


def _memory_rows(memory: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"| {role} | {found['processes']} | {found['uss']:.0f} MB | {found['rss']:.0f} MB |"
        for role, found in memory.items()
    ]


def _options() -> argparse.Namespace:
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--trials", type=int, help="default: 100, or 6 at scale smoke")
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--pack", type=int, default=1, help="trials per task, at most (default: 1)")
    parser.add_argument("--part", choices=("trace", "floor"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print and write the page."""
    given = _options()
    trials = given.trials or TRIALS[given.scale]
    if given.part:
        found = run_part(given.part, trials, given.concurrency, given.pack, given.output)
        given.json.write_text(json.dumps(found))
        return
    provenance = Provenance(MODULE)
    figures = measure(trials, given.concurrency, given.pack)
    text = page(figures, provenance, given.scale)
    publish(given, "sweep_overhead", text, provenance, figures)


if __name__ == "__main__":
    run_command(MODULE, main)
