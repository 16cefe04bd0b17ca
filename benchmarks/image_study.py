"""Runs of the paper's image presets: one after the other, each kept when it is done, resumable."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.command_line import parser_for
from benchmarks.image_scales import RECIPES, SMALL_HELP, budget, build_workload, config_at
from benchmarks.kept import claim_directory
from benchmarks.progress import Meter
from rewa.checkpoint import CheckpointFile
from rewa.description import describe
from rewa.errors import UserError
from rewa.methods import get_method
from rewa.presets import Preset, get_preset
from rewa.record import RESULT_FILE, Record, load_record, make_record, save_record
from rewa.registry import did_you_mean
from rewa.training import Watch, fit, pick_device
from rewa.workloads import Workload

TRAINING_SHARE = 0.6
"""Of a run's progress; the rest is its frontier."""


@dataclass(frozen=True)
class Options:
    """What the command line of an image benchmark says.

    Attributes:
        output: Directory of the results page.
        runs: Directory of the runs, which benchmarks can share.
        json: Where else to write the figures, if anywhere.
        scale: "smoke", "small" or "full".
        presets: What to run.
        left_out: Names of the benchmark's presets that are not run.
        seeds: How many.
        data: Where the images are; ``None`` for the workload's usual place.
        data_name: How pages call them.
        device: "auto", "cpu" or "cuda".
        threads: Of torch on the CPU; 0 for its own choice.
        budget: Share of the paper's decay budget that is spent; 1 at "full".
    """

    output: Path
    runs: Path
    json: Path | None
    scale: str
    presets: tuple[Preset, ...]
    left_out: tuple[str, ...]
    seeds: tuple[int, ...]
    data: Path | None
    data_name: str
    device: str
    threads: int
    budget: float


def read_options(
    module: str,
    description: str | None,
    output: str,
    names: Sequence[str],
    core: Sequence[str],
    words: Sequence[str] | None = None,
) -> Options:
    """Read the command line.

    Args:
        module: The benchmark's module.
        description: Its docstring.
        output: Default output directory.
        names: All its presets, which ``--scale full`` runs.
        core: Those that the smaller scales run.
        words: The command line; default: the process's.

    Raises:
        UserError: If ``--only`` or ``--seeds`` is wrong.
    """
    parser = parser_for(module, description, output, SMALL_HELP)
    parser.add_argument("--data", type=Path, metavar="PATH", help="folder of images; needed for ImageNet")
    parser.add_argument("--data-name", help="how the page calls these images (default: the folder's name)")
    parser.add_argument(
        "--only", metavar="NAME,...", help="presets to run, with or without the part before /"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="seeds 1 to N (default: 3 at full, else 1)")
    parser.add_argument("--runs", type=Path, help="directory of the runs (default: runs in the output)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads (default: torch's choice)")
    parser.add_argument(
        "--budget",
        type=float,
        metavar="SHARE",
        help="share of the paper's decay budget (default: 1; less at small, where the whole would leave "
        "ReWA no weight)",
    )
    given: argparse.Namespace = parser.parse_args(words)
    seeds = (3 if given.scale == "full" else 1) if given.seeds is None else given.seeds
    if seeds < 1:
        raise UserError(f"--seeds {seeds}: must be at least 1")
    if given.budget is not None and (given.budget <= 0 or given.scale == "full"):
        raise UserError(
            f"--budget {given.budget:g}: must be above 0, and is for --scale smoke and small only"
        )
    usual = RECIPES[get_preset(names[0]).workload].small_share if given.scale == "small" else 1.0
    chosen = _chosen(given.only, names) if given.only else (names if given.scale == "full" else core)
    return Options(
        output=given.output,
        runs=given.runs or given.output / "runs",
        json=given.json,
        scale=given.scale,
        presets=tuple(get_preset(name) for name in chosen),
        left_out=tuple(name for name in names if name not in chosen),
        seeds=tuple(range(1, seeds + 1)),
        data=None if given.scale == "smoke" else given.data,
        data_name=given.data_name or ((given.data.name or given.data.resolve().name) if given.data else ""),
        device=given.device,
        threads=given.threads or int(given.scale == "smoke"),
        budget=usual if given.budget is None else given.budget,
    )


def _chosen(only: str, names: Sequence[str]) -> list[str]:
    """Return the presets that ``--only`` names, in the benchmark's order."""
    full = {name.partition("/")[2]: name for name in names} | {name: name for name in names}
    asked = [word.strip() for word in only.split(",") if word.strip()]
    for word in asked:
        if word not in full:
            known = [name for name in full if ("/" in name) == ("/" in word)]
            raise UserError(f"--only {word}: no such preset here{did_you_mean(word, known)}")
    wanted = {full[word] for word in asked}
    return [name for name in names if name in wanted]


@dataclass(frozen=True)
class Run:
    """One finished training of a preset."""

    preset: Preset
    record: Record


class ImageStudy:
    """All runs of one directory on one workload at one scale.

    A run is kept as ``<preset>/seed-<n>/result.json`` when it is done, and not repeated; one that was cut
    short goes on from its checkpoint.

    Args:
        options: The command line.

    Raises:
        UserError: If the data are missing, or the directory is another workload's or cannot be written.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        if options.threads:
            torch.set_num_threads(options.threads)  # many threads on a tiny network mostly wait
        device = pick_device(options.device)
        first = options.presets[0]
        self.workload: Workload = build_workload(
            first, options.scale, options.data, options.output / "digits-images", device
        )
        config = self.workload.config
        self._settings = config.model_dump(mode="json", exclude=set(type(config).machine))
        identity = {"workload": self.workload.label, "data": options.data_name, "settings": self._settings}
        recipe = json.dumps(
            {"scale": options.scale, "budget": options.budget, **identity}, sort_keys=True, indent=1
        )
        claim_directory(
            options.runs / "workload.json", recipe, "runs of another scale, budget, workload or data"
        )
        self._described = describe(self.workload)

    def config(self, preset: Preset) -> dict[str, Any]:
        """Return a preset's validated settings at this scale."""
        values = config_at(preset, self.options.scale, self.workload, self.options.budget)
        config: dict[str, Any] = get_method(preset.method).from_values(values).config.model_dump()
        return config

    def budget(self, preset: Preset) -> float:
        """Return what the penalty does over this training; see :func:`benchmarks.image_scales.budget`."""
        return budget(preset.method, self.config(preset), self.workload.schedule_sum)

    @property
    def prunable_weights(self) -> int:
        """The denominator of every compression here."""
        return int(self._described["prunable_weights"])

    def run(self, name: str) -> list[Run]:
        """Train what is missing of presets x seeds, seed by seed, and return all of it.

        Args:
            name: What the progress is called.

        Raises:
            UserError: If a kept run has another config.
        """
        wanted = [(preset, seed) for seed in self.options.seeds for preset in self.options.presets]
        found: list[Run] = []
        with Meter(name, len(wanted)) as meter:
            for preset, seed in wanted:
                folder = self.options.runs / preset.name.replace("/", "-") / f"seed-{seed}"
                if (folder / RESULT_FILE).is_file():
                    record = load_record(folder)
                    self._check(record, preset, folder)
                    meter.skip(1)
                else:
                    record = self._train(preset, seed, folder, meter)
                found.append(Run(preset, record))
        return found

    def _train(self, preset: Preset, seed: int, folder: Path, meter: Meter) -> Record:
        config = self.config(preset)
        identity = {"workload": self._settings, "method": preset.method, "config": config, "seed": seed}
        checkpoint = CheckpointFile(folder / "checkpoint.pt", identity)
        shown = 0.0

        def show(now: float) -> None:
            nonlocal shown
            meter.advance(max(0.0, now - shown))
            shown = max(shown, now)

        def on_step(done: int, total: int) -> None:
            show(TRAINING_SHARE * done / total)

        def on_point(done: int, total: int) -> None:
            show(TRAINING_SHARE + (1 - TRAINING_SHARE) * (done - 1) / total)

        method = get_method(preset.method).from_values(config)
        result = fit(
            self.workload,
            method,
            seed,
            watch=Watch(on_step=on_step, on_point=on_point),
            checkpoint=checkpoint,
        )
        record = make_record(
            result,
            sweep=f"paper-{self.workload.label}",
            workload=self._described,
            method=preset.method,
            trial=preset.name,
            phase="train",
            seed=seed,
            config=config,
        )
        save_record(record, folder)
        checkpoint.remove()
        meter.advance(1 - shown)
        return record

    def _check(self, record: Record, preset: Preset, folder: Path) -> None:
        """Refuse a kept run whose settings are not those that are asked for now."""
        if record.method != preset.method or record.config != self.config(preset):
            raise UserError(f"{folder}: holds a run of other settings; remove it, or choose another --runs")


def settings_text(config: Mapping[str, Any]) -> str:
    """Return a config as it would be typed."""
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}"
        for key, value in config.items()
    )


def by_preset(runs: Sequence[Run]) -> Iterator[tuple[Preset, list[Record]]]:
    """Yield every preset with its records, in the order of the runs."""
    presets = {run.preset.name: run.preset for run in runs}
    for name, preset in presets.items():
        yield preset, [run.record for run in runs if run.preset.name == name]
