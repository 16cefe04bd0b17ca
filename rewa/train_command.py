"""``rewa train``: one training by hand, with its files and its run."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from rewa.atomic import replacing
from rewa.checkpoint import CheckpointFile, identity_digest
from rewa.description import describe, setting_of
from rewa.distributed import process_group, rank
from rewa.environment import commit
from rewa.errors import RunError, UserError
from rewa.finetuning import FineTuning
from rewa.methods import Method, get_method
from rewa.packs import fit_one
from rewa.presets import get_preset
from rewa.record import FRONTIER_FILE, LAYERS_FILE, RESULT_FILE, make_record, save_record
from rewa.sealed_file import write_sealed
from rewa.store_uri import check_store, redacted, resolve_uri
from rewa.train_summary import summarise
from rewa.training import check_pair, pick_device
from rewa.training_bar import TrainingBar
from rewa.workloads import Workload, get_workload

CHECKPOINT_FILE = "checkpoint.pt"
MODEL_FILE = "model.pt"


@dataclass(frozen=True)
class TrainRequest:
    """What ``rewa train`` was asked for; the fields are its options.

    Attributes:
        workload: Registered name, or ``package.module:Class``.
        method: The same.
        settings: ``key=value`` pairs of the method.
        recipe: ``key=value`` pairs of the workload.
        preset: Name of a setting of the paper, which the pairs override.
        epochs: Default the workload's own.
        seed: Default the workload's own.
        output: Default a folder of its own in results/train.
        tracked: Whether the run goes to MLflow.
        tracking_uri: Where; default as for all commands.
        device: "auto", "cpu" or "cuda".
        threads: CPU threads.
        resume: Whether a checkpoint in the folder is taken up.
        checkpoint_every: Seconds between checkpoints.
        deterministic: Only deterministic kernels on a GPU, at some cost of speed.
        finetune_at: Target compressions to fine-tune at.
        finetune_epochs: Epochs of each fine-tuning.
        finetune_lr: Its learning rate.
    """

    workload: str
    method: str
    settings: Sequence[str] = ()
    recipe: Sequence[str] = ()
    preset: str | None = None
    epochs: int | None = None
    seed: int | None = None
    output: Path | None = None
    tracked: bool = True
    tracking_uri: str | None = None
    device: str = "auto"
    threads: int = 1
    resume: bool = True
    checkpoint_every: float = 60.0
    deterministic: bool = False
    finetune_at: Sequence[float] = ()
    finetune_epochs: int = 10
    finetune_lr: float = 0.01


@dataclass(frozen=True)
class _Plan:
    """A request whose every part was checked."""

    workload_class: type[Workload]
    workload_settings: dict[str, Any]
    method: Method
    seed: int
    trial: str
    folder: Path
    uri: str | None
    finetuning: FineTuning | None
    identity: dict[str, Any]


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


def train_once(request: TrainRequest) -> None:
    """Train, write ``result.json`` and its neighbours, record the run, and say where things are.

    Under torchrun every process calls this; process 0 writes and prints.

    Raises:
        UserError: If anything asked for is wrong, before the training starts.
        RunError: If it was interrupted, or the tracking store could not be written.
    """
    plan = _plan(request)
    torch.set_num_threads(
        request.threads
    )  # sums differ in their last bits with it, so it is part of a recipe
    if request.deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
    device = pick_device(request.device)
    with process_group(device), warnings.catch_warnings():
        warnings.showwarning = _show_warning
        _train(request, plan, device)


def _plan(request: TrainRequest) -> _Plan:
    """Check everything that was asked for."""
    method_class, workload_class = get_method(request.method), get_workload(request.workload)
    check_pair(workload_class, method_class)
    settings = dict(workload_class.method_defaults.get(request.method, {}))
    recipe: dict[str, Any] = {}
    if request.preset is not None:
        preset = get_preset(request.preset)
        if (preset.workload, preset.method) != (request.workload, request.method):
            raise UserError(
                f"--preset {request.preset}: is for `rewa train {preset.workload} {preset.method}`, "
                f"not for {request.workload} {request.method}"
            )
        settings, recipe = dict(preset.config), dict(preset.workload_settings)
    method = method_class.from_values({**settings, **parse_settings(request.settings)})
    recipe.update(parse_settings(request.recipe, "--set-workload"))
    if request.epochs is not None:
        recipe["epochs"] = request.epochs
    setting = setting_of(workload_class, recipe)
    finetuning = _finetuning(request)
    uri = None
    if request.tracked:
        uri = resolve_uri(request.tracking_uri)
        check_store(uri)
    seed = workload_class.default_seed if request.seed is None else request.seed
    config = method.config.model_dump()
    label = workload_class.label_for(workload_class.Config.parse(recipe, ""))
    tuning = finetuning and finetuning.model_dump()
    what = {"label": label, "recipe": setting, "config": config, "finetuning": tuning}
    trial = f"{method.name}-{identity_digest(what)[:8]}"
    folder = request.output or Path("results/train") / f"{label}-{trial}-seed-{seed}"
    _check_folder(folder, named=request.output is not None)
    identity = {
        "workload": label,
        "recipe": setting,
        "method": method.name,
        "config": config,
        "seed": seed,
        "commit": commit(),
    }
    return _Plan(workload_class, recipe, method, seed, trial, folder, uri, finetuning, identity)


def _finetuning(request: TrainRequest) -> FineTuning | None:
    """Return the fine-tuning that was asked for."""
    if not request.finetune_at:
        return None
    if any(ratio < 1 for ratio in request.finetune_at):
        raise UserError(f"--finetune-at {min(request.finetune_at):g}: a compression is at least 1")
    values = {
        "ratios": tuple(request.finetune_at),
        "epochs": request.finetune_epochs,
        "lr": request.finetune_lr,
    }
    return FineTuning.parse(values, "fine-tuning")


def _check_folder(folder: Path, named: bool) -> None:
    """Refuse a folder that the user named and that holds anything but a checkpoint."""
    if not folder.exists():
        return
    foreign = not folder.is_dir() or any(CHECKPOINT_FILE not in item.name for item in folder.iterdir())
    if named and foreign:
        raise UserError(f"{folder}: is taken; choose another --output")


def _train(request: TrainRequest, plan: _Plan, device: torch.device) -> None:
    """Run a checked plan."""
    checkpoint = CheckpointFile(plan.folder / CHECKPOINT_FILE, plan.identity, request.checkpoint_every)
    if not request.resume:
        checkpoint.remove()
    workload = plan.workload_class.from_values(plan.workload_settings, device)
    name = f"train-{workload.label}"
    try:
        with TrainingBar(workload, shown=rank() == 0) as bar:
            result = fit_one(
                workload,
                plan.method,
                plan.seed,
                watch=bar.watch,
                checkpoint=checkpoint,
                finetuning=plan.finetuning,
            )
    except KeyboardInterrupt:
        kept = "the last checkpoint is kept, the same command goes on from there"
        lost = "nothing was kept yet, the same command starts again"
        state = kept if checkpoint.path.exists() else lost
        raise RunError(f"interrupted; {state} ({plan.folder})") from None
    if rank() != 0:
        return
    record = make_record(
        result,
        sweep=name,
        workload=describe(workload),
        method=plan.method.name,
        trial=plan.trial,
        phase="train",
        seed=plan.seed,
        config=plan.method.config.model_dump(),
    )
    save_record(record, plan.folder)
    files = [RESULT_FILE, FRONTIER_FILE, *([LAYERS_FILE] if record.layers else [])]
    if result.model is not None:
        with replacing(plan.folder / MODEL_FILE) as file:
            write_sealed(result.model.state_dict(), file)
        files.append(MODEL_FILE)
    checkpoint.remove()
    for line in summarise(record):
        print(line)
    print(f"files: {', '.join(f'{plan.folder}/{file}' for file in files)}")
    if plan.uri is None:
        return
    from rewa.tracking import Tracker

    try:
        written = Tracker(plan.uri, record.sweep).log(record)
    except Exception as error:  # whatever the store raises: the training is on disk
        raise RunError(
            f"{redacted(plan.uri)} could not be written ({getattr(error, 'reason', error)}); "
            f"the results are in {plan.folder}"
        ) from error
    known = "" if written else " (the same setting and seed was there already)"
    print(f"run: {redacted(plan.uri)}{known}; see it with: rewa ui --sweep {record.sweep}")


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning as one line."""
    print(f"rewa: warning: {message}", file=sys.stderr)
