"""A trained model made ready for use: pruned to a compression, and measured as its frontier was."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from rewa.methods.base import Method
from rewa.optim import prunable_weights
from rewa.precision import autocast
from rewa.sparsity.masks import apply_masks, top_masks
from rewa.sparsity.recalibration import has_batch_norm, recalibrate
from rewa.workloads.base import Workload

SPLITS = ("val", "test")

EXAMPLES = 5
"""Inputs of the example that a model is exported with; more than one, or the export fixes their number."""


@dataclass(frozen=True)
class ServedModel:
    """A model at one operating point.

    Attributes:
        model: Pruned, in evaluation mode, in plain weights; pruned weights are exact zeros.
        metrics: The workload's metric on "val" and "test", measured now.
        compression: Prunable weights / non-zero prunable weights; inf where none is left.
        compression_total: All parameters / (non-zero prunable weights + all other parameters).
        nonzero: Prunable weights that are not zero.
        weights: Prunable weights.
    """

    model: nn.Module
    metrics: dict[str, float]
    compression: float
    compression_total: float
    nonzero: int
    weights: int


def serve(
    workload: Workload, method: Method, model: nn.Module, seed: int, ratio: float, *, recalibrated: bool
) -> ServedModel:
    """Prune a trained model as its frontier was measured, and measure it again at that one point.

    Args:
        workload: Evaluates it.
        method: Ranks the weights.
        model: In plain weights; modified in place.
        seed: The training's: a random ranking is drawn from it.
        ratio: Target compression, >= 1.
        recalibrated: Recompute batch-norm statistics after pruning, where there are any.
    """
    model.eval()
    scores = method.scores(prunable_weights(model), seed)
    apply_masks(model, top_masks(model, ratio, scores))
    with autocast(workload.device, workload.config.precision):
        if recalibrated and has_batch_norm(model):
            recalibrate(model, workload.calibration_batches() or iter(()))
        metrics = {split: float(workload.evaluate(model, split)) for split in SPLITS}
    pruned = prunable_weights(model).values()
    weights = sum(weight.numel() for weight in pruned)
    nonzero = sum(int(torch.count_nonzero(weight)) for weight in pruned)
    total = sum(parameter.numel() for parameter in model.parameters())
    left = nonzero + total - weights
    return ServedModel(
        model=model,
        metrics=metrics,
        compression=weights / nonzero if nonzero else float("inf"),
        compression_total=total / left if left else float("inf"),
        nonzero=nonzero,
        weights=weights,
    )


class _SeenError(Exception):
    """The first batch has come by."""


def example_inputs(workload: Workload) -> npt.NDArray[Any]:
    """Return a few inputs of the validation split as the network is given them, shape (n, ...).

    They are what the workload's own evaluation feeds to a fresh network, which ends at its first batch.
    """
    seen: list[Tensor] = []

    def catch(_module: nn.Module, arguments: tuple[Any, ...]) -> None:
        seen.append(arguments[0])
        raise _SeenError

    with torch.random.fork_rng():
        model = workload.build_model()
    model.eval()
    model.register_forward_pre_hook(catch)
    with suppress(_SeenError):
        workload.evaluate(model, "val")
    if not seen:
        raise RuntimeError(f"workload {workload.name!r} evaluates without calling its network.")
    examples: npt.NDArray[Any] = seen[0][:EXAMPLES].detach().cpu().contiguous().numpy()
    return examples


@torch.no_grad()
def outputs_of(model: nn.Module, inputs: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a model's outputs on the CPU."""
    outputs: npt.NDArray[Any] = model(torch.from_numpy(inputs)).numpy()
    return outputs


class Predictor(nn.Module):
    """What has a ``predict`` on arrays, as a module that a workload can evaluate.

    Args:
        predict: Takes and returns NumPy arrays.
    """

    def __init__(self, predict: Any) -> None:
        super().__init__()
        self._predict = predict

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the predictions on the inputs' device."""
        found = self._predict(np.ascontiguousarray(inputs.cpu().numpy()))
        return torch.from_numpy(found).to(inputs.device)


def disagreements(
    measured: Mapping[str, float], recorded: Mapping[str, float], allowed: Mapping[str, float]
) -> list[str]:
    """Return the names of numbers that are further apart than allowed; NaN agrees with NaN only.

    Args:
        measured: By name.
        recorded: The same names.
        allowed: Largest absolute difference, by name; a missing one is 0.
    """
    return [
        name
        for name, value in measured.items()
        if not (
            value == recorded[name]
            or abs(value - recorded[name]) <= allowed.get(name, 0.0)
            or (value != value and recorded[name] != recorded[name])
        )
    ]
