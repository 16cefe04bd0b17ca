"""What a step of the optimizers costs: time and memory of every code path, beside torch's own and the floor.

    python -m benchmarks.optimizer_step
    python -m benchmarks.optimizer_step --reference DIR   # a checkout of the authors' repository, timed too

On the shapes of ResNet-18 and ResNet-50, with random gradients. The paths of one setting are timed in turn,
with torch's fused SGD and a pass in place (a *= s) among them, so that a slow spell of the machine meets
all; memory is measured in a process of its own.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import parser_for, run_command
from benchmarks.optimizer_paths import (
    AUTHORS,
    BASE,
    NETWORKS,
    count,
    groups_of_paths,
    peak_of_steps,
    time_group,
)
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, publish, toy_note
from rewa.errors import RunError, UserError

MODULE = "benchmarks.optimizer_step"
OUTPUT = "results/optimizer_step"
WHOLE, *REAL = ("ReWA K=9 M=2", "ReWA K=9 M=1.74", "ReWA K=2.25 M=1.25")
REPEATS = {"smoke": 3, "full": 25}
Row = dict[str, Any]


def measure(scale: str, device: str, reference: Path | None, threads: int) -> list[Row]:
    """Return one row per network and path."""
    groups, repeats = groups_of_paths(reference), REPEATS[scale]
    networks = NETWORKS[scale]
    rows: list[Row] = []
    with Meter("optimizer_step", len(networks) * len(groups) * repeats, "turns") as meter:
        for network in networks:
            if scale == "smoke":
                memory = memory_of_steps(network, device, reference)
            else:
                memory = _in_fresh_process(network, device, reference, threads)
            size, taken = count(network), 0
            for group in groups:
                timings = time_group(group, network, device, repeats, lambda: meter.advance(1))
                for path, timing in timings.items():
                    if path == BASE and taken:
                        continue
                    added, taken = memory[taken], taken + 1
                    rows.append(
                        {
                            "network": network,
                            "parameters": size,
                            "optimizer": path[0],
                            "path": path[1],
                            "milliseconds": 1e3 * timing.seconds,
                            "ratio_to_torch_sgd_fused": timing.ratio,
                            "floor_milliseconds": 1e3 * timing.floor,
                            "ratio_to_floor": timing.seconds / timing.floor,
                            "peak_bytes_added": added,
                            "peak_arrays_added": added / (4 * size),
                        }
                    )
    return rows


def memory_of_steps(network: str, device: str, reference: Path | None) -> list[int]:
    """Return the bytes that two steps of every path add, in the order of the groups, each path once."""
    makes = {path: make for group in groups_of_paths(reference) for path, make in group.items()}
    gc.freeze()  # only what the paths leave is to be collected between them
    try:
        return [peak_of_steps(make, network, device) for make in makes.values()]
    finally:
        gc.unfreeze()


def _in_fresh_process(network: str, device: str, reference: Path | None, threads: int) -> list[int]:
    """Run this module with ``--memory``, with an allocator that returns what is freed."""
    words = [sys.executable, "-m", MODULE, "--memory", network, "--device", device]
    words += ["--threads", str(threads)] + (["--reference", str(reference)] if reference else [])
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RunError(f"memory of the steps on {network}: {last}")
    found: list[int] = json.loads(done.stdout)
    return found


def verdict(rows: Sequence[Row], device: str) -> str:
    """Return the sentence that says which targets are met."""
    target = 1.25 if device == "cuda" else 1.0
    parts = []
    for network in dict.fromkeys(row["network"] for row in rows):
        at = {(row["optimizer"], row["path"]): row for row in rows if row["network"] == network}

        def ratio(name: str, at: Mapping[tuple[str, str], Row] = at) -> float:
            return float(at[name, "one pass"]["ratio_to_torch_sgd_fused"])

        ours = ratio(WHOLE)
        slowest = max(ratio(name) for name in REAL) / ours
        text = (
            f"{network}: ReWA (K=9, M=2) in one pass takes {ours:.2f} times torch's fused SGD "
            f"({_met(ours <= target)} {target:g}), its non-integer powers at most {slowest:.1f} times that "
            f"({_met(slowest <= 3)} 3)"
        )
        if AUTHORS in at:
            faster = at[AUTHORS]["ratio_to_torch_sgd_fused"] / ours
            text += f", and it is {faster:.0f} times as fast as the authors' ({_met(faster >= 20)} 20)"
        parts.append(text)
    return "; ".join(parts) + "."


def _met(holds: bool) -> str:
    return "target met:" if holds else "target missed:"


def page(rows: Sequence[Row], provenance: Provenance, scale: str, threads: int, device: str) -> str:
    """Return the results page."""
    lines = [
        "# What a step of the optimizers costs\n",
        verdict(rows, device) + "\n",
        provenance.markdown(),
        f"- {threads} thread(s), device {device}; median of {REPEATS[scale]} steps of each path, in turn\n",
        *toy_note(scale),
    ]
    if device == "cpu":
        lines.append("The CUDA path (Triton, timed by events) is written, but has not been run on a GPU.\n")
    for network in dict.fromkeys(row["network"] for row in rows):
        mine = [row for row in rows if row["network"] == network]
        lines += [
            f"## {network}: {mine[0]['parameters']:,} parameters\n",
            "| optimizer | path | step | x torch SGD fused | floor | x floor | memory added | in arrays |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in mine:
            lines.append(
                f"| {row['optimizer']} | {row['path']} | {row['milliseconds']:.2f} ms "
                f"| {row['ratio_to_torch_sgd_fused']:.2f} | {row['floor_milliseconds']:.2f} ms "
                f"| {row['ratio_to_floor']:.2f} | {row['peak_bytes_added'] / 1e6:.0f} MB "
                f"| {row['peak_arrays_added']:.2f} |"
            )
        lines.append("")
    lines += [_explanation(rows), ""]
    return "\n".join(lines)


def _explanation(rows: Sequence[Row]) -> str:
    """Say how the floor is counted, and what stands between it and the step."""
    at = [row for row in rows if row["optimizer"] == WHOLE and row["path"] == "one pass"]
    far = " and ".join(f"{row['ratio_to_floor']:.2f} ({row['network']})" for row in at)
    return (
        "Floor: the arrays that a step must move, over the bytes per second of a pass in place (a *= s, one "
        "array read and written) on the same number of threads in the same turns: the fastest traffic there "
        "is. In float32 over all parameters: SGD 5 (gradient; weights and momentum both ways), ReWA 6 (x "
        "besides), AdamW 7, ReWAAdamW 8; on a CPU one more for the two that write x, whose lines are read "
        "before they are overwritten (write-allocate). So where torch's fused SGD runs at its floor, "
        "ReWA cannot take less than 7/5 of its time on a CPU, or 6/5 if x were written past the caches.\n\n"
        "Memory: peak resident memory that two steps add (state, and temporaries), in bytes and in arrays of "
        "all parameters; ReWA's one pass needs two, y and momentum.\n\n"
        f"{WHOLE} in one pass is {far} times its floor. To come closer: write x past the caches, which saves "
        "its write-allocate but empties the cache for the forward pass; keep the momentum in bfloat16, which "
        "saves two half arrays and changes the result; or step each weight as soon as its gradient is there, "
        "while that is still in the cache."
    )


def main() -> None:
    """Measure, print and write the page."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--reference", type=Path, help="a checkout of the authors' repository, timed too")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--memory", metavar="NETWORK", help="only print the bytes that steps add, in order")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: this machine has no CUDA device; choose cpu")
    if arguments.threads < 1:
        raise UserError(f"--threads {arguments.threads} is out of range: it must be at least 1")
    torch.set_num_threads(arguments.threads)
    if arguments.memory:
        print(json.dumps(memory_of_steps(arguments.memory, arguments.device, arguments.reference)))
        return
    provenance = Provenance(MODULE)
    rows = measure(arguments.scale, arguments.device, arguments.reference, arguments.threads)
    text = page(rows, provenance, arguments.scale, arguments.threads, arguments.device)
    publish(arguments, "optimizer_step", text, provenance, rows)


if __name__ == "__main__":
    run_command(MODULE, main)
