"""``rewa register``: the recommended setting's model at a compression, checked, in MLflow's registry."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from analysis.summary import Summary, summarise
from analysis.tables import section
from rewa.errors import RunError, UserError
from rewa.methods import get_method
from rewa.registration.choice import Chosen, aliases_of, choose
from rewa.registration.served_model import (
    SPLITS,
    Predictor,
    ServedModel,
    disagreements,
    example_inputs,
    outputs_of,
    serve,
)
from rewa.registration.weights import allowed_differences, check, find_weights
from rewa.store_uri import is_server, redacted, resolve_uri, ui_base
from rewa.sweep.layout import SWEEP_FILE
from rewa.training import pick_device
from rewa.workloads import Workload, get_workload

if TYPE_CHECKING:
    from rewa.tracking.registry import ModelCard, Registry, Version


def register_model(
    sweep: str,
    compression: float,
    method: str | None,
    name: str | None,
    output: Path | None,
    tracking_uri: str | None,
) -> None:
    """Register a sweep's recommended model, unless it is registered already, and say how to use it.

    Its weights are those that the sweep kept; where there are none the setting is trained again.

    Args:
        sweep: Name of a sweep in the store, or its output directory.
        compression: Prunable weights over those that are kept; the next larger measured target answers.
        method: The only one to choose from; default: all.
        name: Of the registered model; default: the sweep's.
        output: The sweep's output directory, where it keeps weights; default: results/<sweep>.
        tracking_uri: As for :func:`rewa.store_uri.resolve_uri`.

    Raises:
        UserError: If the sweep, the method or the target is not there, or the name is taken.
        RunError: If the model is not what the sweep measured, or cannot be trained or exported.
    """
    from rewa.tracking import read_sweep
    from rewa.tracking.registry import ModelCard, Registry

    uri = resolve_uri(tracking_uri)
    found = _folder_sweep(Path(sweep))
    summary = summarise(read_sweep(uri, found or sweep))
    folder = output or (Path(sweep) if found else Path("results") / sweep)
    chosen = choose(summary, compression, method)
    meta = summary.record.meta
    card = ModelCard(
        name=name or summary.record.name,
        sweep=summary.record.name,
        title=f"{chosen.trial} at {chosen.ratio:g}x (model)",
        source_run=chosen.run_id,
        tags=_tags(summary, chosen),
        params={key: str(value) for key, value in _params(chosen).items()},
        description=_description(summary, chosen),
    )
    registry = Registry(uri, summary.record.name)
    registry.check_name(card, given=name is not None)
    aliases = aliases_of(chosen)
    said = f"{chosen.method} at {chosen.ratio:g}x, {chosen.trial}, seed {chosen.seed}"
    if chosen.ratio != compression:
        print(f"{compression:g}x was not measured; the next larger target is {chosen.ratio:g}x")
    if version := registry.find(card):
        registry.set_aliases(version, aliases)
        print(f"{card.name} version {version.number} is this model already: {said}")
    else:
        workload = _workload(meta)
        model, origin = find_weights(summary, chosen, workload, folder)
        print(f"weights: {origin}")
        served = serve(
            workload,
            get_method(chosen.method).from_values(chosen.config),
            model,
            chosen.seed,
            chosen.ratio,
            recalibrated=chosen.recalibrated,
        )
        print(f"checked: {check(served, chosen, summary)}")
        version = _register(registry, card, workload, served, summary)
        registry.set_aliases(version, aliases)
        print(f"registered: {card.name} version {version.number}: {said}")
    print(f"aliases: {', '.join(aliases)}")
    print(f"page: {ui_base(uri)}{version.page}{'' if is_server(uri) else ' (while `rewa ui` runs)'}")
    print(f"use it, with MLFLOW_TRACKING_URI={shlex.quote(redacted(uri))} in the environment:")
    print(f'  mlflow.pyfunc.load_model("models:/{card.name}@{aliases[0]}").predict(x)')


def _register(
    registry: Registry, card: ModelCard, workload: Workload, served: ServedModel, summary: Summary
) -> Version:
    """Export and register a model, once its files give what the model gives."""
    examples = example_inputs(workload)
    model = served.model.to("cpu").to(memory_format=torch.contiguous_format)
    metric = summary.metric
    allowed = allowed_differences(metric, served.metrics)

    def check_files(loaded: Any) -> None:
        predictor = Predictor(loaded.predict)
        found = {split: float(workload.evaluate(predictor, split)) for split in SPLITS}
        if wrong := disagreements(found, served.metrics, allowed):
            each = "; ".join(
                f"{split}: {found[split]:g} instead of {served.metrics[split]:g}" for split in wrong
            )
            raise RunError(
                f"the exported model differs from the one in memory ({each}); nothing was registered"
            )

    metrics = {
        **{f"{split}_{metric.name}": value for split, value in served.metrics.items()},
        "compression": served.compression,
        "compression_total": served.compression_total,
        "nonzero_weights": float(served.nonzero),
    }
    return registry.register(card, model, examples, outputs_of(model, examples), metrics, check_files)


def _workload(meta: dict[str, Any]) -> Workload:
    """Build the sweep's workload, where its resources say.

    Raises:
        UserError: If the sweep does not say what it trained.
    """
    space = section(meta, "space")
    settings = dict(section(space, "workload"))
    name = settings.pop("name", None)
    if name is None:
        raise UserError("this sweep has no search space on record: only those of `rewa sweep` are registered")
    wants_gpu = bool(section(space, "resources").get("gpu"))
    device = pick_device("auto" if wants_gpu else "cpu")
    return get_workload(str(name)).from_values(settings, device)


def _tags(summary: Summary, chosen: Chosen) -> dict[str, str]:
    """Return what a version is; equal tags are equal results."""
    numbers = {key: f"{value:.9g}" for key, value in chosen.recorded.items() if key in SPLITS}
    meta = summary.record.meta
    return {
        "method": chosen.method,
        "compression": f"{chosen.ratio:g}",
        "trial": chosen.trial,
        "seed": str(chosen.seed),
        "recalibrated": str(chosen.recalibrated).lower(),
        **{f"{split}_{summary.metric.name}": number for split, number in numbers.items()},
        "sweep_id": str(meta.get("id") or ""),
        "commit": str(meta.get("commit") or "unknown"),
    }


def _params(chosen: Chosen) -> dict[str, Any]:
    identity = {"method": chosen.method, "trial": chosen.trial, "seed": chosen.seed}
    return {**identity, "target_compression": f"{chosen.ratio:g}", **chosen.config}


def _description(summary: Summary, chosen: Chosen) -> str:
    """Return Markdown that says what a version is and what it takes."""
    workload, metric = section(summary.record.meta, "workload"), summary.metric
    values = ", ".join(
        f"{split} {metric.name} {summary.words.value(chosen.recorded[split])}"
        for split in SPLITS
        if split in chosen.recorded
    )
    renewed = " Batch-norm statistics were recomputed after pruning." if chosen.recalibrated else ""
    among = "the best of all methods" if chosen.is_best else f"the best of {chosen.method}"
    return (
        f"{workload.get('model', 'Network')} for `{workload.get('name')}`, trained by **{chosen.method}** "
        f"and pruned to {chosen.ratio:g}x: {values}. Setting `{chosen.trial}` is {among} at this compression "
        f"on validation; these are the numbers of its seed {chosen.seed}.{renewed}\n\n"
        "It takes what the workload gives its network, after the workload's own preprocessing, and returns "
        "the network's outputs. Pruned weights are zeros. Loading it needs `mlflow` and `torch` only."
    )


def _folder_sweep(folder: Path) -> str | None:
    """Return the name of the sweep whose output directory this is."""
    try:
        name = json.loads((folder / SWEEP_FILE).read_text())["sweep"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return str(name)
