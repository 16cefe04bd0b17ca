"""How the costs grow: an optimizer's step, a frontier without its evaluations, and the report of many runs.

    python -m benchmarks.scaling
    python -m benchmarks.scaling --part report

Optimizer: `rewa.ReWA` and torch's fused SGD over 10^4 to 10^8 parameters. Frontier: sorts, forward passes,
time and memory over 10^4 to 10^8 weights. Report: 10 to 10,000 runs written to MLflow (SQLite) and reported
from there. Each beside its floor, measured in the same run. The report's part takes most of the time and one
gigabyte of the temporary directory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks import scaling_frontier, scaling_report, scaling_step
from benchmarks.command_line import parser_for, run_command
from benchmarks.provenance import Provenance, toy_note, write_json
from benchmarks.scaling_figures import FIGURES
from rewa.record import write_text

MODULE = "benchmarks.scaling"
OUTPUT = "results/scaling"
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Part:
    """One thing that grows.

    Attributes:
        title: Of its section.
        verdict: Says how it stands, from its rows.
        table: Returns its section's lines.
    """

    title: str
    verdict: Callable[[Rows], str]
    table: Callable[[Rows], list[str]]


PARTS: Mapping[str, Part] = {
    "report": Part("The report over many runs", scaling_report.verdict, scaling_report.table),
    "frontier": Part("The frontier over many weights", scaling_frontier.verdict, scaling_frontier.table),
    "step": Part("A step over many parameters", scaling_step.verdict, scaling_step.table),
}


def measure(part: str, scale: str, seconds: float) -> list[dict[str, Any]]:
    """Measure one part; see its module."""
    if part == "report":
        return scaling_report.measure(scale)
    if part == "frontier":
        return scaling_frontier.measure(scale, seconds)
    return scaling_step.measure(scale, seconds)


def page(figures: Mapping[str, Rows], provenance: Provenance, scale: str) -> str:
    """Return the results page.

    Args:
        figures: Rows by part, for the parts that were measured.
        provenance: Of the run.
        scale: "smoke" or "full".
    """
    told = "; ".join(PARTS[part].verdict(rows) for part, rows in figures.items())
    lines = [
        "# Scaling: step, frontier and report\n",
        f"{told[0].upper()}{told[1:]}.\n",
        *toy_note(scale),
        provenance.markdown(),
        f"- {torch.get_num_threads()} thread(s)\n",
    ]
    for part, rows in figures.items():
        lines += [
            f"## {PARTS[part].title}\n",
            f"![{PARTS[part].title}]({part}.png)\n",
            *PARTS[part].table(rows),
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write the tables."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    parser.add_argument("--part", choices=tuple(PARTS), help="one part alone (default: all)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="(default: torch's own)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for each size of step and frontier")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    provenance = Provenance(MODULE)
    output: Path = arguments.output
    output.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Rows] = {}
    for part in [arguments.part] if arguments.part else PARTS:
        figures[part] = measure(
            part, arguments.scale, 0.2 if arguments.scale == "smoke" else arguments.seconds
        )
        (output / f"{part}.png").write_bytes(FIGURES[part](figures[part]))
    text = page(figures, provenance, arguments.scale)
    write_text(output / "README.md", text)
    for path in (output / "scaling.json", arguments.json):
        if path:
            write_json(path, provenance, figures)
    print(text)
    print(f"written: {output}/README.md, {output}/scaling.json")


if __name__ == "__main__":
    run_command(MODULE, main)
