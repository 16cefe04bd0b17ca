"""The results page of ``benchmarks.sparse_recovery``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.provenance import Provenance, toy_note

ALONE, PACKED = 25.0, 200.0
"""Targets: times faster than the authors' script, one training and per trial of a pack."""


def page(figures: Mapping[str, Any], provenance: Provenance, scale: str) -> str:
    """Return the page, the verdict first."""
    threads = figures["threads"]
    lines = [
        "# Speed of the sparse recovery study\n",
        verdict(figures) + "\n",
        provenance.markdown(),
        f"- {figures['epochs']} epochs, from data in memory to the finished frontier; "
        f"{figures['grid']} trainings in the pack (Figure 1's grid on three seeds)\n",
        *toy_note(scale),
        "| one training, seconds | 1 thread | all cores |" if len(threads) > 1 else "| seconds | 1 thread |",
        "|---|" + "---|" * len(threads),
        _row("the authors' script", [_authors(row) for row in threads.values()]),
        _row("`rewa.training.fit`, unpacked", [figures["unpacked"], *[None] * (len(threads) - 1)]),
        _row("alone, a pack of one", [row["pack_of_one"] for row in threads.values()]),
        _row(
            f"one of {figures['grid']} in a pack: wall time / {figures['grid']}",
            [row["grid_per_trial"] for row in threads.values()],
        ),
        _row("floor alone", [row["floor_alone"]["seconds"] for row in threads.values()]),
        _row("floor packed", [row["floor_packed"]["seconds"] for row in threads.values()]),
        "",
        *_note_on_authors(threads),
        "Floor: the products of every step and of evaluation at the rate of a product of these shapes, and "
        "the bytes of the update at the rate of a copy of the pack's latents, both measured in this run: "
        + "; ".join(_floor_sentence(count, row) for count, row in threads.items())
        + ".",
        "",
        _closer(threads),
        "",
        "## The same results",
        "",
        "| setting | seed | weights above 1e-3 | weights | test error | frontier |",
        "|---|---|---|---|---|---|",
        *(
            f"| {d['setting']} | {d['seed']} | {d['kept']} | {d['weights']:.1e} | {d['test_mse']:.1e} "
            f"| {d['frontier']:.1e} |"
            for d in figures["differences"]
        ),
        "",
        "Largest relative difference between a training in a pack of these and the same one unpacked; "
        "weights relative to the training's largest.",
        "",
        f"With lambda = 5, where every weight ends at zero, the last third of the epochs takes "
        f"{figures['late_over_early']:.2f} times the first third.",
        "",
    ]
    return "\n".join(lines)


def verdict(figures: Mapping[str, Any]) -> str:
    """Say what was found against the targets."""
    worst = max(d["weights"] for d in figures["differences"])
    said = []
    for count, row in figures["threads"].items():
        on = f"on {count} thread{'s' if count != '1' else ''}"
        if authors := _authors(row):
            alone, packed = authors / row["pack_of_one"], authors / row["grid_per_trial"]
            said.append(
                f"{on}, one training is {alone:.0f} times faster than the authors' script "
                f"(target {ALONE:.0f}: {_met(alone >= ALONE)}) and one of a pack {packed:.0f} times "
                f"(target {PACKED:.0f}: {_met(packed >= PACKED)})"
            )
        else:
            said.append(
                f"{on}, one training takes {row['pack_of_one']:.2f} s alone and "
                f"{row['grid_per_trial']:.2f} s in a pack"
            )
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}; weights differ from unpacked ones by {worst:.0e} at most."


def _met(holds: bool) -> str:
    return "met" if holds else "missed"


def _authors(row: Mapping[str, Any]) -> float | None:
    """Return the seconds of the authors' script, if it ran."""
    return float(row["authors"]["seconds"]) if "authors" in row else None


def _row(name: str, values: list[Any]) -> str:
    cells = ["-" if value is None else f"{value:.3g}" for value in values]
    return f"| {name} | {' | '.join(cells)} |"


def _note_on_authors(threads: Mapping[str, Any]) -> list[str]:
    """Say how the authors' time was found."""
    runs = {count: row["authors"] for count, row in threads.items() if "authors" in row}
    if not runs:
        return ["The authors' script did not run: `--reference` names a checkout of their repository.", ""]
    each = ", ".join(f"{run['seconds_per_epoch']:.3f} s on {count}" for count, run in runs.items())
    ran = next(iter(runs.values()))["epochs_run"]
    return [
        f"The authors' script: the median of {ran} epochs ({each} threads) times all epochs. Its imports and "
        "the drawing of its data are not counted; its evaluation after every epoch and its own tracing of "
        "memory are, as they are part of it.",
        "",
    ]


def _floor_sentence(count: str, row: Mapping[str, Any]) -> str:
    floor = row["floor_packed"]
    return (
        f"{floor['flops'] / 1e9:.0f} GFLOP at {floor['flops_per_second'] / 1e9:.0f} GFLOP/s and "
        f"{floor['bytes'] / 1e9:.1f} GB at {floor['bytes_per_second'] / 1e9:.0f} GB/s per trial on {count}"
    )


def _closer(threads: Mapping[str, Any]) -> str:
    """Say how far the floor is, and what lies between."""
    ratios = ", ".join(
        f"{row['pack_of_one'] / row['floor_alone']['seconds']:.1f} and "
        f"{row['grid_per_trial'] / row['floor_packed']['seconds']:.1f} on {count}"
        for count, row in threads.items()
    )
    return (
        f"Over the floor (alone, packed): {ratios}. Between them lie the powers |y|^M and y^K, the gathering "
        "of shuffled rows, and tiles: a pack steps its trials by fours and evaluates them by sixteens, and a "
        "training alone pays for the empty places. Loops for one trial would bring it closer; a pack, larger "
        "blocks of samples and trials per pass over the registers."
    )
