"""``rewa train``: one training by hand, with its files and its run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rewa.errors import RunError, UserError
from rewa.methods import Method, get_method
from rewa.record import Record, make_record, save_record
from rewa.store_uri import check_store, resolve_uri
from rewa.sweep.trial import describe
from rewa.tracking import Tracker
from rewa.training import Epoch, TrainingResult, check_pair, fit, pick_device
from rewa.workloads import get_workload


def parse_settings(pairs: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Read ``key=value`` pairs; values are YAML scalars, so ``1e-3`` is a number and ``x`` is text.

    Raises:
        UserError: If a pair has no ``=`` or a key comes twice.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UserError(f"{option} {pair!r}: must be key=value, such as {option} lr=0.1")
        if key in settings:
            raise UserError(f"{option} {pair!r}: {key!r} is given twice")
        settings[key] = _scalar(text)
    return settings


def _scalar(text: str) -> Any:
    """Return a number where the text is one (YAML alone would read 1e-3 as text)."""
    try:
        return float(text) if not text.lstrip("+-").isdigit() else int(text)
    except ValueError:
        return yaml.safe_load(text) if text in ("true", "false", "null") else text


def train_once(
    workload_name: str,
    method_name: str,
    pairs: Sequence[str],
    recipe_pairs: Sequence[str],
    epochs: int | None,
    seed: int | None,
    output: Path | None,
    tracking_uri: str | None,
    device: str,
    threads: int,
) -> None:
    """Train, write ``result.json`` and ``frontier.csv``, record the run, and say where things are.

    Raises:
        UserError: If anything asked for is wrong, before the training starts.
    """
    method_class, workload_class = get_method(method_name), get_workload(workload_name)
    check_pair(workload_class, method_class)
    seed = workload_class.default_seed if seed is None else seed
    defaults = workload_class.method_defaults.get(method_name, {})
    method = method_class.from_values({**defaults, **parse_settings(pairs)})
    recipe = parse_settings(recipe_pairs, "--set-workload")
    if epochs is not None:
        recipe["epochs"] = epochs
    workload_class.Config.parse(recipe, f"workload {workload_name!r}")
    uri = resolve_uri(tracking_uri)
    check_store(uri)
    trial = f"{method_name}-{_digest(workload_class.Config.parse(recipe, '').model_dump(), method)}"
    folder = output or Path("results/train") / f"{workload_name}-{trial}-seed-{seed}"
    if output and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is taken; choose another --output")
    torch.set_num_threads(threads)  # sums differ in their last bits with it, so it is part of a recipe
    workload = workload_class.from_values(recipe, pick_device(device))
    result = _fit_with_bar(workload, method, seed)
    record = make_record(
        result,
        sweep=f"train-{workload_name}",
        workload=describe(workload),
        method=method_name,
        trial=trial,
        phase="train",
        seed=seed,
        config=method.config.model_dump(),
    )
    save_record(record, folder)
    print(_summary(record))
    print(f"files: {folder}/result.json, {folder}/frontier.csv")
    try:
        written = Tracker(uri, record.sweep).log(record)
    except Exception as error:  # whatever the store raises: the training is on disk
        raise RunError(f"{uri} could not be written ({error}); the results are in {folder}") from error
    known = "" if written else " (the same setting and seed was there already)"
    print(f"run: {uri}{known}; see it with: rewa ui --sweep {record.sweep}")


def _digest(recipe: dict[str, Any], method: Method) -> str:
    """Return eight characters that name a setting: the same for all its seeds, different otherwise."""
    text = json.dumps([recipe, method.config.model_dump()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _fit_with_bar(workload: Any, method: Any, seed: int) -> TrainingResult:
    """Train under a progress bar on stderr."""
    with Progress(
        TextColumn("epoch"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("", total=workload.config.epochs)

        def show(epoch: Epoch) -> None:
            text = f"loss {epoch.train_loss:.4f}  val {workload.metric.name} {epoch.val_metric:.4f}"
            bar.update(task, completed=epoch.epoch, description=text)

        return fit(workload, method, seed, show)


def _summary(record: Record) -> str:
    """Say in one sentence what came out."""
    if record.status == "diverged":
        return f"diverged: {record.reason}"
    metric, values = record.metric, record.metric_at("test")

    def text(value: float) -> str:
        return f"{100 * value:.1f} %" if metric.is_share else f"{value:.4g}"

    asked = (ratio for ratio in record.workload["headline_ratios"] if ratio in values)
    kept = ", ".join(f"{text(values[ratio])} at {ratio:g}x" for ratio in asked)
    return f"test {metric.name} {text(values[1])} unpruned, {kept} ({record.seconds:.1f} s)"
