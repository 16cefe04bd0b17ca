"""The default sweep with its trials packed, against one trial per process.

    python -m benchmarks.packed_sweep

Runs ``rewa sweep digits`` three times per repeat, in turn and in fresh directories: one trial per process,
trained by ``rewa.training.fit``; one trial per process, in a pack of one; and as the space says. Then the
same settings are trained packed and alone, and what comes out is compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from benchmarks.command_line import parser_for, run_command
from benchmarks.progress import Meter
from benchmarks.provenance import Provenance, publish, toy_note
from benchmarks.rates import matmul_rate
from rewa.errors import RunError
from rewa.methods import get_method
from rewa.packs import Training, fit_together
from rewa.record import RESULT_FILE, Record, load_record
from rewa.sweep.space_file import find_space
from rewa.sweep.trial import score
from rewa.training import fit, pick_device
from rewa.workloads import Workload, get_workload
from rewa.workloads.digits import Digits

MODULE = "benchmarks.packed_sweep"
OUTPUT = "results/packed_sweep"
TARGET = 5.0
"""Times the trials per minute of one trial per process that packing is to reach."""
COMPARED = 40
"""Settings that are trained both ways."""
SMOKE = {"trials": 2, "epochs": 4, "confirm": {"settings": 1, "seeds": 2}}


class Unpacked(Digits):
    """Digits with an evaluation of its own, equal as it is: packs leave such a workload to ``fit``."""

    def evaluate(self, model: nn.Module, split: str) -> float:
        """Return what the parent returns."""
        return super().evaluate(model, split)


VARIANTS: Mapping[str, tuple[str, int | None]] = {
    "unpacked": (f"{MODULE}:{Unpacked.__name__}", 1),
    "packs of one": ("digits", 1),
    "packed": ("digits", None),
}
"""Workload and pack of every variant; ``None`` leaves the space's own pack."""


def space_with(workload: str, pack: int | None, scale: str) -> dict[str, Any]:
    """Return the default space with another workload and pack; ``None`` leaves its own pack."""
    space: dict[str, Any] = yaml.safe_load(find_space("digits").read_text())
    space["workload"]["name"] = workload
    if pack is not None:
        space["resources"]["pack"] = pack
    if scale == "smoke":
        space["workload"]["epochs"] = SMOKE["epochs"]
        space |= {"trials": SMOKE["trials"], "confirm": SMOKE["confirm"]}
    return space


def run_sweep(home: Path, space: Mapping[str, Any]) -> dict[str, float]:
    """Run a sweep in an empty directory and return its times and counts."""
    home.mkdir()
    (home / "space.yaml").write_text(yaml.safe_dump(dict(space), sort_keys=False))
    words = [sys.executable, "-m", "rewa", "sweep", "space.yaml", "--output", "out"]
    started, clock = time.monotonic(), time.time()
    path = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]  # workers import this module
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
    done = subprocess.run(words, cwd=home, capture_output=True, text=True, check=False, env=environment)
    wall = time.monotonic() - started
    if done.returncode:
        raise RunError(f"the sweep failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    ends = sorted(path.stat().st_mtime for path in home.glob(f"out/*/*/{RESULT_FILE}"))
    return {
        "trainings": len(ends),
        "wall_seconds": wall,
        "per_minute": 60 * len(ends) / wall,
        "first_result_after": ends[0] - clock,
        "training_seconds": ends[-1] - clock,
    }


def compare(records: Sequence[Record], workload: Workload, meter: Meter) -> dict[str, Any]:
    """Train the settings of records in packs and alone, on one thread, and compare.

    The unpacked trainings are repeated on two threads too: that changes nothing but rounding, so it is the
    scale for what packing changes.
    """
    objective = _objective()
    trainings = [Training(get_method(r.method).from_values(r.config), r.seed) for r in records]
    torch.set_num_threads(1)
    size = int(space_with("digits", None, "full")["resources"]["pack"])
    packed = []
    for begin in range(0, len(trainings), size):
        started = time.perf_counter()
        part = trainings[begin : begin + size]
        packed += fit_together(workload, part)
        meter.advance(len(part))
        if begin == 0:
            first = (time.perf_counter() - started) / len(part)
    alone = []
    for training in trainings:
        alone.append(fit(workload, training.method, training.seed))
        meter.advance(1)
    torch.set_num_threads(2)
    again = []
    for training in trainings:
        again.append(fit(workload, training.method, training.seed))
        meter.advance(1)
    torch.set_num_threads(1)

    def scored(record: Record, result: Any) -> float:
        return score(record.model_copy(update={"frontier": result.frontier}), objective)

    scores = [
        [scored(record, result) for record, result in zip(records, results, strict=True)]
        for results in (packed, alone, again)
    ]
    return {
        "settings": len(records),
        "same_status": sum(p.status == a.status for p, a in zip(packed, alone, strict=True)),
        "identical_frontiers": sum(p.frontier == a.frontier for p, a in zip(packed, alone, strict=True)),
        "identical_frontiers_by_rounding": sum(
            p.frontier == a.frontier for p, a in zip(again, alone, strict=True)
        ),
        "score_difference": _spread(scores[0], scores[1]),
        "score_difference_by_rounding": _spread(scores[2], scores[1]),
        "seconds_packed": statistics.median(result.seconds for result in packed),
        "seconds_packed_first": first,
        "seconds_alone": statistics.median(result.seconds for result in alone),
    }


def _objective() -> Any:
    from rewa.sweep.space import Objective

    return Objective.parse(space_with("digits", None, "full")["objective"], "objective")


def _spread(one: Sequence[float], other: Sequence[float]) -> dict[str, float]:
    """Return median and largest absolute difference, and the mean signed one."""
    differences = [a - b for a, b in zip(one, other, strict=True)]
    sizes = [abs(d) for d in differences]
    return {
        "median": statistics.median(sizes),
        "largest": max(sizes),
        "mean_signed": statistics.mean(differences),
    }


def floor_seconds(workload: Workload) -> dict[str, float]:
    """Return the time of one training's products alone, on one core, at the rate measured here.

    Counted: forward, and backward by weights and (but for the first layer) by inputs, of every step;
    validation after every epoch; the frontier's evaluations. Not counted: activations, loss, update.
    """
    model = workload.build_model()
    shapes = [p.shape for p in model.parameters() if p.ndim == 2]
    sizes = workload.split_sizes
    per_sample = sum(2 * a * b * (2 if at == 0 else 3) for at, (a, b) in enumerate(shapes))
    forward = sum(2 * a * b for a, b in shapes)
    epochs = int(workload.config.epochs)
    points = len(workload.ratios) + len(workload.thresholds)
    flops = epochs * (sizes["train"] * per_sample + sizes["val"] * forward)
    flops += points * (sizes["val"] + sizes["test"]) * forward
    rate = matmul_rate(64, 300, 100, batch=10)
    return {"gflop": flops / 1e9, "gflops": rate / 1e9, "seconds": flops / rate}


def page(
    sweeps: Mapping[str, Sequence[Mapping[str, float]]],
    same: Mapping[str, Any],
    floor: Mapping[str, float],
    provenance: Provenance,
    scale: str,
) -> str:
    """Return the results page."""
    alone, packed = sweeps["unpacked"], sweeps["packed"]
    ratio = _median(packed, "per_minute") / _median(alone, "per_minute")
    inside = same["seconds_alone"] / same["seconds_packed"]
    verdict = "reached" if ratio >= TARGET else "missed"
    bound = _median(alone, "wall_seconds") / (_median(alone, "trainings") * floor["seconds"] / 2)
    lines = [
        "# The default sweep, packed\n",
        f"Packed, the default sweep runs {ratio:.1f} times the trainings per minute of one trial per process "
        f"(target: {TARGET:g} times, {verdict}); within a training, packing is {inside:.1f} times as fast.\n",
        provenance.markdown(),
        f"- two workers of one core each; medians of {len(alone)} repeat(s) in turn\n",
        *toy_note(scale),
        "| | trainings | wall time | per minute | first result after |",
        "|---|---|---|---|---|",
    ]
    for name, runs in sweeps.items():
        lines.append(
            f"| {name} | {_median(runs, 'trainings'):.0f} | {_median(runs, 'wall_seconds'):.0f} s "
            f"| {_median(runs, 'per_minute'):.0f} | {_median(runs, 'first_result_after'):.0f} s |"
        )
    seen, noise = same["score_difference"], same["score_difference_by_rounding"]
    lines += [
        "",
        "## The floor\n",
        f"The products of one training are {floor['gflop']:.1f} GFLOP, {floor['seconds']:.2f} s on one core "
        f"at the {floor['gflops']:.0f} GFLOP/s that batched products of these shapes reach here. A packed "
        f"training takes {same['seconds_packed']:.2f} s ({same['seconds_packed'] / floor['seconds']:.1f} "
        f"times that, frontier included), one alone {same['seconds_alone']:.2f} s. At the floor, with time "
        f"for nothing else, this sweep would run {bound:.1f} times the trainings per minute of one trial "
        "per process. To come closer: one compiled loop for activations, loss and bias sums (a fifth of a "
        "step), and a sweep long enough that its start does not count; beyond that fewer operations or a "
        "lower precision, which would change the results.\n",
        "## The same settings both ways\n",
        f"{same['settings']} settings of the search, trained in packs and alone on one thread: "
        f"{same['same_status']} end with the same status, {same['identical_frontiers']} with the identical "
        f"frontier. Score differences: median {seen['median']:.4f}, largest {seen['largest']:.4f}, mean "
        f"(signed) {seen['mean_signed']:+.4f}. The same trainings alone on two threads instead of one, which "
        f"changes rounding only: {same['identical_frontiers_by_rounding']} identical frontiers, median "
        f"{noise['median']:.4f}, largest {noise['largest']:.4f}, mean {noise['mean_signed']:+.4f}. Sums in "
        "another order part after some dozen epochs, as any two machines do.",
        "",
    ]
    return "\n".join(lines)


def _median(runs: Sequence[Mapping[str, float]], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def main() -> None:
    """Measure, print and write."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    provenance = Provenance(MODULE)
    scale, repeats = arguments.scale, 1 if arguments.scale == "smoke" else arguments.repeats
    sweeps: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
    compared = 4 if scale == "smoke" else COMPARED
    with tempfile.TemporaryDirectory() as scratch, Meter("packed_sweep", 3 * repeats, "sweeps") as meter:
        for turn in range(repeats):
            for name in list(VARIANTS)[:: -1 if turn % 2 else 1]:
                home = Path(scratch) / f"{turn}-{name.replace(' ', '-')}"
                sweeps[name].append(run_sweep(home, space_with(*VARIANTS[name], scale)))
                meter.advance(1)
        found = sorted(Path(scratch).glob(f"0-unpacked/out/trials/*/{RESULT_FILE}"))
        records = [load_record(path.parent) for path in found[:: max(1, len(found) // compared)][:compared]]
    settings = {"epochs": SMOKE["epochs"]} if scale == "smoke" else {}
    workload = get_workload("digits").from_values(settings, pick_device("cpu"))
    with Meter("the same settings both ways", 3 * len(records), "trainings") as meter:
        same = compare(records, workload, meter)
    floor = floor_seconds(workload)
    figures = {"sweeps": sweeps, "same_settings": same, "floor": floor}
    text = page(sweeps, same, floor, provenance, scale)
    publish(arguments, "packed_sweep", text, provenance, figures)


if __name__ == "__main__":
    run_command(MODULE, main)
