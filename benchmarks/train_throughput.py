"""Throughput of image training: what each ingredient brings, and how near the machine's own rate it comes.

    python -m benchmarks.train_throughput

Times the steps of ResNet-18 (CIFAR's size, the workload's `fast`) with ReWA and with dense SGD, beside a
plain DataLoader and torchvision loop in float32 and every variant between, in fresh processes and in turn;
then reads JPEG files of ImageNet's size through an image folder, through FFCV's beton files and through plain
torchvision, without a model.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import parser_for, run_command
from benchmarks.provenance import Provenance, publish
from benchmarks.train_throughput_loaders import LOADERS, LoaderSetup, has_ffcv, write_files
from benchmarks.train_throughput_page import Measured, loader_rows, page, step_rows
from benchmarks.train_throughput_runs import (
    MODULE,
    at_once,
    decoding_task,
    floor_task,
    in_turn,
    loader_task,
    run_here,
    steps_task,
)
from benchmarks.train_throughput_steps import VARIANTS, Setup
from rewa.errors import UserError
from rewa.training import pick_device

OUTPUT = "results/train_throughput"
RESOLUTIONS = (160, 224)
AT_ONCE = {"cpu": (1, 2), "cuda": (1, 2, 4)}


def measure(
    setup: Setup, repeats: int, loader_images: int, loader_batch: int, resolutions: tuple[int, ...]
) -> Measured:
    """Run everything and return the figures.

    Args:
        setup: Of the trainings.
        repeats: Of every measurement.
        loader_images: Files to load.
        loader_batch: Images per batch of the loaders.
        resolutions: Of the loaders' crops.
    """
    tasks = {"floor": floor_task(setup), **{name: steps_task(name, setup) for name in VARIANTS}}
    trained = in_turn(tasks, repeats, "training")
    floor = trained.pop("floor")
    together = at_once("rewa", setup, AT_ONCE[setup.device])
    with tempfile.TemporaryDirectory() as folder:
        file_bytes = write_files(Path(folder), loader_images)
        loading = LoaderSetup(folder, setup.device, setup.threads, setup.workers, loader_batch)
        names = [name for name in LOADERS if has_ffcv() or not name.startswith("beton")]
        loaders = {f"{n}@{r}": loader_task(n, r, loading) for r in resolutions for n in names}
        loaded = in_turn({"decoding": decoding_task(loading), **loaders}, repeats, "loading")
    decoding = loaded.pop("decoding")
    return Measured(
        setup=setup,
        steps=step_rows(trained, floor),
        floor={key: max(run[key] for run in floor) for key in floor[0]},
        at_once=together,
        loaders=loader_rows(loaded),
        decode_ms=min(run["cpu_ms"] for run in decoding),
        file_bytes=file_bytes,
        loader_images=loader_images,
        repeats=repeats,
    )


def main() -> None:
    """Measure, print and write the page."""
    parser = parser_for(MODULE, __doc__, OUTPUT)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--data", type=Path, help="32-pixel images: train/ and test/ of ten class folders")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=cores, help=f"of torch (default: {cores}, all cores)")
    parser.add_argument("--workers", type=int, default=2, help="decoding processes or threads (default: 2)")
    parser.add_argument("--batch", type=int, default=256, help="images per training step (default: 256)")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(run_here(json.loads(arguments.one))))
        return
    _check(arguments)
    on_gpu = arguments.device == "cuda"
    setup = Setup(
        device=arguments.device,
        threads=arguments.threads,
        batch=arguments.batch,
        steps=200 if on_gpu else 12,
        warmup=20 if on_gpu else 2,
        workers=arguments.workers,
        data=str(arguments.data.absolute()) if arguments.data else "",
    )
    provenance = Provenance(MODULE)
    if arguments.scale == "smoke":
        setup = replace(setup, batch=8, steps=2, warmup=1, threads=1)
        measured = measure(setup, 1, 32, 8, RESOLUTIONS[:1])
    else:
        measured = measure(setup, arguments.repeats, 2048, 128, RESOLUTIONS)
    text = page(measured, provenance, arguments.scale, torch.cuda.is_available())
    figures = measured.figures()
    publish(arguments, "train_throughput", text, provenance, figures)


def _check(arguments: Any) -> None:
    """Refuse what would fail in the middle."""
    pick_device(arguments.device)
    for name in ("threads", "workers", "batch", "repeats"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name} {getattr(arguments, name)}: must be at least 1")
    if arguments.data and not (arguments.data / "train").is_dir():
        raise UserError(f"--data {arguments.data}: is no folder with train/ and test/ of ten class folders")


if __name__ == "__main__":
    run_command(MODULE, main)
