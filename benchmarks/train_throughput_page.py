"""The figures of benchmarks.train_throughput as rows and as a page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.provenance import Provenance
from benchmarks.train_throughput_loaders import HEIGHT, LOADERS, WIDTH
from benchmarks.train_throughput_steps import VARIANTS, Setup

EPOCHS, IMAGES = 100, 50_000
"""Of a whole training, for the projections."""
PAYS = 1.05
"""Compilation pays if it is faster by more than the noise of a few dozen steps."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """Everything that one run measured.

    Attributes:
        setup: Of the trainings.
        steps: See :func:`step_rows`.
        floor: Operations per image and rates of matrix products.
        at_once: Images per second of so many trainings together.
        loaders: See :func:`loader_rows`.
        decode_ms: CPU per image of decoding alone.
        file_bytes: Mean size of the files that were loaded.
        loader_images: Their number.
        repeats: Of every measurement.
    """

    setup: Setup
    steps: Sequence[Row]
    floor: Mapping[str, float]
    at_once: Mapping[int, float]
    loaders: Sequence[Row]
    decode_ms: float
    file_bytes: float
    loader_images: int
    repeats: int

    def figures(self) -> dict[str, Any]:
        """Return everything as plain data, with the projections; no path of this machine."""
        setup = {**asdict(self.setup), "data": "folder" if self.setup.data else "random images"}
        together = {str(count): projection(rate, count) for count, rate in self.at_once.items()}
        return {**asdict(self), "setup": setup, "at_once": together}


def step_rows(
    runs: Mapping[str, Sequence[Mapping[str, float]]], floor: Sequence[Mapping[str, float]]
) -> list[Row]:
    """Return one row per variant: medians over the runs, ratios, and the share of the matmul rate.

    Args:
        runs: The figures of every run, by variant, in the order of :data:`VARIANTS`.
        floor: The figures of every measurement of the floor, of which the best counts.
    """
    rows: list[Row] = []
    for name, found in runs.items():
        rates = [run["images_per_s"] for run in found]
        rate = statistics.median(rates)
        precision = VARIANTS[name].settings.get("precision", "fp32")
        attainable = max(f[f"{precision}_flops"] for f in floor) / floor[0]["flops_per_image"]
        rows.append(
            {
                "variant": name,
                "images_per_s": round(rate, 1),
                "min": round(min(rates), 1),
                "max": round(max(rates), 1),
                "over_plain": round(rate / (rows[0]["images_per_s"] if rows else rate), 3),
                "over_previous": round(rate / (rows[-1]["images_per_s"] if rows else rate), 3),
                "precision": precision,
                "share_of_rate": round(rate / attainable, 3),
                "optimizer_share": round(statistics.median(run["optimizer_share"] for run in found), 4),
                "data_share": round(statistics.median(run["data_share"] for run in found), 4),
                "first_step_s": round(statistics.median(run["first_step_s"] for run in found), 1),
                "peak_mb": round(max(run["peak_bytes"] for run in found) / 1e6),
            }
        )
    return rows


def loader_rows(runs: Mapping[str, Sequence[Mapping[str, float]]]) -> list[Row]:
    """Return one row per loader and resolution; the keys of ``runs`` are "loader@resolution"."""
    rows: list[Row] = []
    for key, found in runs.items():
        name, resolution = key.split("@")
        rates = [run["images_per_s"] for run in found]
        plain = [run["images_per_s"] for run in runs[f"plain@{resolution}"]]
        rows.append(
            {
                "loader": name,
                "resolution": int(resolution),
                "images_per_s": round(statistics.median(rates), 1),
                "min": round(min(rates), 1),
                "max": round(max(rates), 1),
                "over_plain": round(statistics.median(rates) / statistics.median(plain), 3),
                "cpu_ms": round(statistics.median(run["cpu_ms"] for run in found), 3),
            }
        )
    return rows


def projection(rate: float, count: int) -> dict[str, float]:
    """Return what images per second, of so many trainings together, mean for whole trainings."""
    hours = EPOCHS * IMAGES * count / rate / 3600
    return {
        "images_per_s": round(rate, 1),
        "hours_each": round(hours, 4),
        "trials_per_hour": round(count / hours, 4),
    }


def verdict(measured: Measured) -> str:
    """Return the page's first sentences."""
    at = {row["variant"]: row for row in measured.steps}
    plain, fast, dense = at["plain"], at["rewa"], at["dense"]
    share = f"{100 * fast['share_of_rate']:.0f} % of the rate of large bf16 matrix products here"
    text = (
        f"ResNet-18 `fast` trains on {_rate(fast)} images/s with ReWA and on {_rate(dense)} with dense SGD, "
        f"{fast['over_plain']:.2f} and {dense['over_plain']:.2f} times a plain DataLoader and torchvision "
        f"loop in float32 ({_rate(plain)}); ReWA's is {share}."
    )
    by_key = {(row["loader"], row["resolution"]): row for row in measured.loaders}
    ratios = [
        row["images_per_s"] / by_key["folder", resolution]["images_per_s"]
        for (name, resolution), row in by_key.items()
        if name == "beton"
    ]
    if not ratios:
        return f"{text} FFCV's beton files were not measured: FFCV is not installed here."
    return (
        f"{text} From beton files FFCV loads ImageNet-like images {_span(ratios)} times as fast as rewa's "
        "image folder."
    )


def _rate(row: Row) -> str:
    rate = row["images_per_s"]
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.1f}"


def _span(values: Sequence[float]) -> str:
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return low if low == high else f"{low} to {high}"


def page(measured: Measured, provenance: Provenance, scale: str, gpu_here: bool) -> str:
    """Return the results page.

    Args:
        measured: The figures.
        provenance: Where they come from.
        scale: "smoke" or "full".
        gpu_here: Whether this machine has a GPU, should it not have been used.
    """
    setup = measured.setup
    data = "images of a folder" if setup.data else "random images of CIFAR's size"
    toy = "**A toy size, to try the command: these figures say nothing about speed.**\n"
    lines = [
        "# Throughput of image training\n",
        provenance.markdown(),
        f"- {setup.threads} thread(s), device {setup.device}, {setup.workers} decoding workers; {data}; "
        f"fresh processes in turn, median (range) of {measured.repeats}\n",
        *([] if scale == "full" else [toy]),
        verdict(measured) + "\n",
        *_training(measured),
        *_at_once(measured),
        *_loading(measured),
        "## On a GPU\n",
        _gpu(measured, gpu_here),
        "",
    ]
    return "\n".join(lines)


def _training(measured: Measured) -> list[str]:
    setup, floor = measured.setup, measured.floor
    lines = [
        f"## ResNet-18, 32 pixels, batches of {setup.batch}\n",
        "| each adds to the line above | images/s | range | over plain | over the line above "
        "| share of the matmul rate | optimizer | data | first step | peak memory |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in measured.steps:
        cells = [
            VARIANTS[row["variant"]].adds,
            f"{row['images_per_s']:.1f}",
            f"{row['min']:.1f}-{row['max']:.1f}",
            f"{row['over_plain']:.2f}",
            f"{row['over_previous']:.2f}",
            f"{100 * row['share_of_rate']:.0f} % ({row['precision']})",
            f"{100 * row['optimizer_share']:.1f} %",
            f"{100 * row['data_share']:.1f} %",
            f"{row['first_step_s']:.1f} s",
            f"{row['peak_mb']} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    at = {row["variant"]: row for row in measured.steps}
    fast, gain = at["rewa"], at["compile"]["over_previous"]
    rest = 1 - fast["optimizer_share"] - fast["data_share"]
    pays = (
        f"torch.compile makes a step {gain:.2f} times as fast here, for {at['compile']['first_step_s']:.0f} "
        "s until the first: `--set-workload compile=true` pays on long trainings"
        if gain > PAYS
        else f"torch.compile ({gain:.2f} times the speed, {at['compile']['first_step_s']:.0f} s until the "
        "first step) does not pay here, and is off by default"
    )
    return [
        *lines,
        "",
        f"{setup.steps} steps per process after {setup.warmup} that do not count; the first step includes "
        "all that is set up before it, peak memory the whole process (on a GPU: what was allocated there). "
        "Optimizer and data: shares of a step, from steps in which each part is waited for; data of the "
        "plain loop is the wait for its workers, which take their cores from the training.",
        "",
        f"Floor: a forward and backward pass is {floor['flops_per_image'] / 1e9:.2f} billion operations per "
        "image (torch's flop counter), a large matrix product runs at "
        f"{floor['fp32_flops'] / 1e9:,.0f} (float32) and {floor['bf16_flops'] / 1e9:,.0f} (bf16) billion per "
        "second here (the best in this run): "
        f"{floor['fp32_flops'] / floor['flops_per_image']:.0f} and "
        f"{floor['bf16_flops'] / floor['flops_per_image']:.0f} images/s. Above 100 % is possible: a 3x3 "
        "convolution may be done in fewer operations than are counted.",
        "",
        f"To come closer: {100 * rest:.0f} % of ReWA's step is the forward and backward pass, of which "
        f"convolutions are what the floor counts and batch norm, ReLU and additions move memory besides; "
        f"{pays}. A faster optimizer or loader could gain "
        f"{100 * (fast['optimizer_share'] + fast['data_share']):.1f} % at most.",
        "",
    ]


def _at_once(measured: Measured) -> list[str]:
    shared = "they share the threads" if measured.setup.device == "cpu" else "they share the card"
    lines = [
        "## Trainings at once\n",
        f"ReWA's `fast`, so many processes together ({shared}); projected to {EPOCHS} epochs on {IMAGES:,} "
        "images, without evaluation.\n",
        "| at once | images/s, all together | hours each | trials per hour |",
        "|---|---|---|---|",
    ]
    for count, rate in measured.at_once.items():
        found = projection(rate, count)
        lines.append(
            f"| {count} | {found['images_per_s']:.1f} | {found['hours_each']:.2f} "
            f"| {found['trials_per_hour']:.3g} |"
        )
    return [*lines, ""]


def _loading(measured: Measured) -> list[str]:
    setup = measured.setup
    floor = 1e3 * setup.workers / measured.decode_ms
    lines = [
        "## Loading ImageNet-like files, no model\n",
        f"{measured.loader_images} JPEG files of {WIDTH} x {HEIGHT} pixels, "
        f"{measured.file_bytes / 1e3:.0f} kB on average, made here with a photograph's spectrum; random "
        "resized crops, mirrored, normalised; one epoch, the start of its workers included, with the files "
        "in the page cache.\n",
        "| loader | crop | images/s | range | over plain | CPU per image |",
        "|---|---|---|---|---|---|",
    ]
    for row in measured.loaders:
        lines.append(
            f"| {LOADERS[row['loader']]} | {row['resolution']} px | {row['images_per_s']:.0f} "
            f"| {row['min']:.0f}-{row['max']:.0f} | {row['over_plain']:.2f} | {row['cpu_ms']:.2f} ms |"
        )
    absent = not any(row["loader"] == "beton" for row in measured.loaders)
    return [
        *lines,
        *(["| beton files | | not run: FFCV is not installed here (`make ffcv`) | | | |"] if absent else []),
        "",
        "Floor of reading JPEG files: decoding them whole, and nothing else, takes "
        f"{measured.decode_ms:.2f} ms of CPU per image: {floor:.0f} images/s with {setup.workers} workers on "
        "cores of their own. Below it comes only who decodes less: stored pixels, smaller images "
        "(`--max-resolution`), or a coarser transform, as FFCV's decoder.",
        "",
    ]


def _gpu(measured: Measured, gpu_here: bool) -> str:
    """Say what was measured on a GPU, or why nothing was."""
    if measured.setup.device == "cuda":
        return "All of the above was measured on the GPU."
    why = "this machine has one, --device cuda uses it" if gpu_here else "no GPU"
    return (
        f"not run: {why}. `--device cuda` gives images/s, the share of the card's bf16 rate, the time of "
        f"{EPOCHS} epochs on {IMAGES:,} images and the trials per hour with 1, 2 and 4 trainings on the card."
    )
