"""What the pages of the image benchmarks share: the data, what the scale changes, and which settings ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from benchmarks.claims import Claim, claims_table
from benchmarks.image_points import write_points
from benchmarks.image_study import ImageStudy, Options, Run, by_preset, settings_text
from benchmarks.provenance import Provenance, toy_note, write_json
from rewa.record import write_text

OFFICIAL = {"cifar10": "CIFAR-10", "imagenet": "ImageNet"}


def is_official(options: Options) -> bool:
    """Return whether the runs are at the paper's size on the paper's data.

    These are CIFAR-10's official files, or a tree that was given as ImageNet, which nothing here can check.
    """
    if options.scale != "full":
        return False
    return options.data is None or options.presets[0].workload == "imagenet"


def data_sentence(options: Options, classes: int) -> str:
    """Say what was trained on, and what it is not."""
    workload = options.presets[0].workload
    paper = OFFICIAL[workload]
    if options.scale == "smoke":
        return f"scikit-learn's handwritten digits at 32 pixels, not {paper}"
    if options.data is None:
        return f"{paper}, " + ("the official files" if workload == "cifar10" else "from its usual place")
    if workload == "imagenet" and classes == 1000:
        return f"{options.data_name}, 1,000 classes, taken to be ImageNet"
    return (
        f"{options.data_name}, images read from a folder: not the official {paper}, "
        "so the paper's accuracies beside these are for orientation only"
    )


def caption(options: Options, chance: float, more: str = "") -> str:
    """Return the line below a figure."""
    toy = "" if options.scale == "full" else " A toy size, which says nothing about the paper."
    return f"Data: {data_sentence(options, round(1 / chance))}.{toy}{more} Dotted: chance."


def header(study: ImageStudy, provenance: Provenance, runs: Sequence[Run]) -> list[str]:
    """Return the lines below a page's title."""
    options, workload = study.options, study.workload
    sizes = workload.split_sizes
    seconds = sum(run.record.seconds for run in runs)
    lines = [
        provenance.markdown(),
        f"- data: {data_sentence(options, round(1 / workload.metric.chance))}",
        f"- images: {sizes['train']:,} training, {sizes['val']:,} validation, {sizes['test']:,} test; "
        f"{workload.config.epochs} epochs, batches of {workload.config.batch_size}, "
        f"precision {workload.config.precision}",
        f"- compression counts {study.prunable_weights:,} convolution and linear weights of "
        f"{getattr(workload.config, 'model', workload.model_name)}"
        + (" (the paper's denominator)" if study.prunable_weights == 11_172_032 else ""),
        f"- {_scale_sentence(options)}",
        f"- seeds: {', '.join(map(str, options.seeds))}; {len(runs)} runs, {_duration(seconds)} in all",
        "",
        *toy_note(options.scale),
    ]
    if options.left_out:
        left_out = ", ".join(name.partition("/")[2] for name in options.left_out)
        lines.append(f"Not run this time: {left_out} (`--only` runs them).\n")
    return lines


def _scale_sentence(options: Options) -> str:
    if options.scale == "full":
        return (
            "scale full: the paper's settings; the validation images are held out of training, which the "
            "paper does not do, so a training has that many steps less"
        )
    model = "another, tiny network" if options.scale == "smoke" else "few images and epochs"
    share = "" if options.budget == 1 else f"{options.budget:g} of "
    return (
        f"scale {options.scale}: {model}; the rate is scaled with the batch (not AdamW's) and every penalty "
        f"so that the decay budget D = K λ Σlr / (1 - momentum) over the training is {share}the paper's"
    )


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 120
        else f"{seconds / 60:.0f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def settings_table(study: ImageStudy, runs: Sequence[Run]) -> str:
    """Return what ran: settings as used, decay budget, outcome, source, and what the paper leaves open."""
    lines = ["| preset | method and settings as run | D | runs | in the paper |", "|---|---|---|---|---|"]
    for preset, records in by_preset(runs):
        ended = [record for record in records if record.status == "completed"]
        outcome = f"{len(ended)} of {len(records)}" if len(ended) < len(records) else f"{len(ended)}"
        reasons = "; ".join(sorted({record.reason for record in records if record.reason}))
        config = settings_text(study.config(preset))
        source = f"{preset.source}. {preset.note}" if preset.note else preset.source
        lines.append(
            f"| {preset.name.partition('/')[2]} | {preset.method}: {config} | {study.budget(preset):.3g} "
            f"| {outcome}{f' ({reasons})' if reasons else ''} | {source} |"
        )
    lines += [
        "",
        "D: a weight without gradient shrinks by exp(-D) over the training; for sgd_l1 the length by which "
        "it shrinks. Runs: how many ended; the others diverged.",
    ]
    return "\n".join(lines)


def verdicts(options: Options, claims: Sequence[Claim]) -> str:
    """Return the claims as a table; at any but the paper's size and data they are only questions."""
    if not claims:
        return (
            "Nothing to judge: the settings that the paper's claims are about did not run, or learnt nothing."
        )
    if options.scale != "full":  # too few steps for a verdict
        rows = [f"| {claim.text} ({claim.source}) | {claim.evidence} |" for claim in claims]
        return "\n".join(["| asked of these runs | the numbers |", "|---|---|", *rows])
    return claims_table(claims, "the paper claims" if is_official(options) else "asked of these runs")


def publish(
    name: str,
    options: Options,
    provenance: Provenance,
    page: Sequence[str],
    image: bytes,
    points: pd.DataFrame,
    figures: Sequence[dict[str, Any]],
) -> None:
    """Write README.md, the figure, points.csv and the figures as JSON, and say where they are."""
    output = options.output
    output.mkdir(parents=True, exist_ok=True)
    (output / f"{name}.png").write_bytes(image)
    write_points(points, output / "points.csv")
    write_text(output / "README.md", "\n".join([*page, ""]))
    for path in (output / f"{name}.json", *([options.json] if options.json else [])):
        write_json(path, provenance, figures)
    print(f"figure and findings: {output}/{name}.png, {output}/README.md; points: {output}/points.csv")
