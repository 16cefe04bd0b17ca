"""Table 2 of the paper: what ReWA costs over SGD-L1 in time and memory, on the full synthetic study.

    python -m benchmarks.table2

Runs ``rewa.training.fit`` with both methods, with plain SGD (the floor), and with ReWA under a decay that
drives every weight to zero (where subnormal numbers would slow a plain loop down), in fresh processes, one
after the other and in turn, so that a slow spell of the machine meets all of them; quotes medians and ratios.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.command_line import parser_for, run_command
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, publish, toy_note
from benchmarks.sparse_study import PAPER_REWA, PAPER_SEEDS, PAPER_SGD_L1, SMOKE
from rewa.errors import RunError
from rewa.methods import get_method
from rewa.training import fit, pick_device
from rewa.workloads.sparse_recovery import SparseRecovery

MODULE = "benchmarks.table2"
OUTPUT = "results/table2"
PAPER = {"sgd_l1": ("202.1 s", "307.6 MB", "3.94 MB"), "rewa": ("200.1 s", "307.8 MB", "3.98 MB")}
"""Total time, CPU peak and GPU peak in the paper's Table 2."""
METHODS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "sgd_l1": ("sgd_l1", PAPER_SGD_L1),
    "rewa": ("rewa", PAPER_REWA),
    "rewa_collapsing": ("rewa", {**PAPER_REWA, "weight_decay": 5.0}),
    "sgd": ("magnitude", SparseRecovery.method_defaults["magnitude"]),
}


def measure(name: str, scale: str, threads: int, device: str) -> dict[str, float]:
    """Train once in this process and return seconds and peak memory in bytes."""
    torch.set_num_threads(threads)
    where = pick_device(device)
    workload = SparseRecovery(SparseRecovery.Config.parse(SMOKE if scale == "smoke" else {}, "smoke"), where)
    method, config = METHODS[name]
    before = _peak()
    ticks = [time.perf_counter()]
    result = fit(
        workload,
        get_method(method).from_values(config),
        PAPER_SEEDS[0],
        lambda _: ticks.append(time.perf_counter()),
    )
    third = max(1, (len(ticks) - 1) // 3)
    on_gpu = torch.cuda.max_memory_allocated() if where.type == "cuda" else 0
    data = sum(s.inputs.nbytes + s.targets.nbytes for s in workload.splits.values())
    return {
        "seconds": result.seconds,
        "peak": _peak(),
        "peak_of_training": _peak() - before,
        "data": data,
        "gpu_peak": on_gpu,
        "late_over_early": (ticks[-1] - ticks[-1 - third]) / (ticks[third] - ticks[0]),
    }


def _peak() -> int:
    """Return this process's peak resident memory in bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_all(repeats: int, scale: str, threads: int, device: str) -> dict[str, list[dict[str, float]]]:
    """Run every method ``repeats`` times in processes of its own, in turn."""
    found: dict[str, list[dict[str, float]]] = {name: [] for name in METHODS}
    with Meter("table2", repeats * len(METHODS)) as meter:
        for turn in range(repeats):
            names = list(METHODS)[turn % len(METHODS) :] + list(METHODS)[: turn % len(METHODS)]
            for name in names:
                words = [sys.executable, "-m", MODULE, "--one", name, "--scale", scale]
                words += ["--threads", str(threads), "--device", device]
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise RunError(f"{name}: {done.stderr.strip().splitlines()[-1]}")
                found[name].append(json.loads(done.stdout))
                meter.advance(1)
    return found


def table(found: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    """Return one row per method: medians, ranges, and ratios to SGD-L1."""
    base = statistics.median(run["seconds"] for run in found["sgd_l1"])
    rows = []
    for name, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        rows.append(
            {
                "method": name,
                "seconds": round(statistics.median(seconds), 2),
                "seconds_min": round(min(seconds), 2),
                "seconds_max": round(max(seconds), 2),
                "time_ratio": round(statistics.median(seconds) / base, 3),
                "peak_mb": round(statistics.median(run["peak"] for run in runs) / 1e6, 1),
                "above_mb": round(statistics.median(run["peak_of_training"] for run in runs) / 1e6, 1),
                "data_mb": round(runs[0]["data"] / 1e6, 1),
                "gpu_peak_mb": round(max(run["gpu_peak"] for run in runs) / 1e6, 2),
                "late_over_early": round(statistics.median(run["late_over_early"] for run in runs), 2),
                "repeats": len(runs),
            }
        )
    return rows


def page(
    rows: Sequence[Mapping[str, Any]], provenance: Provenance, scale: str, threads: int, device: str
) -> str:
    """Return the results page."""
    at = {row["method"]: row for row in rows}
    ratio = at["rewa"]["time_ratio"]
    gap = at["rewa"]["peak_mb"] - at["sgd_l1"]["peak_mb"]
    lines = [
        "# Table 2: the overhead of ReWA over SGD-L1\n",
        provenance.markdown(),
        f"- {threads} thread(s), device {device}; fresh processes in turn; median (range) of the repeats\n",
        *toy_note(scale),
        f"ReWA takes {ratio:.2f} times the time of SGD-L1 and {gap:+.1f} MB of peak memory "
        f"(paper: {200.1 / 202.1:.2f} times, +0.2 MB).\n",
        "| method | time | range | ratio | late / early | CPU peak | above the start | paper: time, peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        paper = ", ".join(PAPER.get(str(row["method"]), ("-", "-"))[:2])
        lines.append(
            f"| {row['method']} | {row['seconds']:.1f} s "
            f"| {row['seconds_min']:.1f}-{row['seconds_max']:.1f} s "
            f"| {row['time_ratio']:.2f} | {row['late_over_early']:.2f} | {row['peak_mb']:.1f} MB "
            f"| {row['above_mb']:.1f} MB | {paper} |"
        )
    lines += [
        "",
        f"The data take {rows[0]['data_mb']:.0f} MB of the peak (three splits), PyTorch most of the rest; "
        "above the start: what training and evaluation add. `sgd` is plain SGD, the floor of the loop; in "
        "`rewa_collapsing` (lambda = 5) every weight ends at zero. Late / early: time of the last third of "
        "the epochs over that of the first, 1 if nothing slows down as weights vanish.",
        "",
        f"GPU peak: {_gpu_peaks(rows, device)}",
        "",
    ]
    return "\n".join(lines)


def _gpu_peaks(rows: Sequence[Mapping[str, Any]], device: str) -> str:
    """Say what the GPU held at most, beside the paper's figures, or why it was not measured."""
    if device == "cpu":
        why = "--device cuda measures it" if torch.cuda.is_available() else "this machine has no GPU"
        return f"not measured, {why}."
    peaks = ", ".join(f"{row['method']} {row['gpu_peak_mb']} MB" for row in rows)
    return f"{peaks} (paper: SGD-L1 {PAPER['sgd_l1'][2]}, ReWA {PAPER['rewa'][2]})."


def main() -> None:
    """Measure, print and write the table."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--one", choices=tuple(METHODS), help="run one method here and print JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one, arguments.scale, arguments.threads, arguments.device)))
        return
    provenance = Provenance(MODULE)
    rows = table(run_all(arguments.repeats, arguments.scale, arguments.threads, arguments.device))
    text = page(rows, provenance, arguments.scale, arguments.threads, arguments.device)
    publish(arguments, "table2", text, provenance, rows)


if __name__ == "__main__":
    run_command(MODULE, main)
