"""Scaling of the frontier without its evaluations: sorts, passes, time and memory, and their floors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

from benchmarks.progress import Meter
from benchmarks.scaling_clock import Copy, PeakMemory, in_turn, quantile
from rewa.sparsity.frontier import RATIOS, THRESHOLDS, measure_frontier
from rewa.sparsity.ranking import rank_weights

SIZES: Mapping[str, tuple[int, ...]] = {
    "smoke": (10**4, 10**5),
    "full": (10**4, 10**5, 10**6, 10**7, 10**8),
}
LAYERS = 10
ZEROS = 0.5
"""Share of weights that are zero before pruning, as sparse training leaves them."""


class Counting:
    """An evaluation that counts how often it is asked for, and for how many different models."""

    def __init__(self) -> None:
        self.passes = 0
        self.seen: set[int] = set()

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """Count."""
        self.passes += 1
        self.seen.add(sum(int(torch.count_nonzero(weight)) for weight in model.parameters()))
        return {"val": 0.0, "test": 0.0}


def measure(scale: str, seconds: float) -> list[dict[str, Any]]:
    """Measure at every size.

    Args:
        scale: "smoke" or "full".
        seconds: Time to spend at each size, roughly.

    Returns:
        One row per size; times are medians in seconds.
    """
    rows = []
    with Meter("frontier", len(SIZES[scale]), "sizes") as meter:
        for size in SIZES[scale]:
            rows.append(_measure(size, seconds))
            meter.advance(1)
    return rows


def _measure(size: int, seconds: float) -> dict[str, Any]:
    """Measure one size."""
    model, counting = _model(size), Counting()
    with _counted_sorts() as sorts:
        points = measure_frontier(model, counting)
    keys = rank_weights(model).values.view(torch.int32).neg()
    calls: dict[str, Callable[[], object]] = {
        "frontier": lambda: measure_frontier(model, _nothing),
        "ranking": lambda: rank_weights(model),
        "sort": lambda: keys.argsort(stable=True),
        "copy": Copy(8 * size),
    }
    times = in_turn(calls, seconds)
    with PeakMemory() as peak:
        measure_frontier(model, _nothing)
    found = {f"{name}_seconds": quantile(values) for name, values in times.items()}
    floor = found["sort_seconds"] + counting.passes * found["copy_seconds"]
    return {
        "parameters": size,
        "operating_points": len(points) // 2,
        "distinct_models": len(counting.seen),
        "forward_passes": counting.passes,
        "sorts": len(sorts),
        "repeats": len(times["frontier"]),
        **found,
        "floor_seconds": floor,
        "over_floor": found["frontier_seconds"] / floor,
        "peak_bytes_each": None if peak.mb is None else 1e6 * peak.mb / size,
    }


def _nothing(_: nn.Module) -> dict[str, float]:
    """Evaluate nothing."""
    return {"val": 0.0, "test": 0.0}


def _model(size: int) -> nn.Module:
    """Return a model of ten equal layers with ``size`` weights, half of them exact zeros."""
    generator = torch.Generator().manual_seed(0)
    layers = [nn.Linear(size // LAYERS // 10, 10, bias=False, device="meta") for _ in range(LAYERS)]
    model = nn.Sequential(*layers).to_empty(device="cpu")
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0.0, 0.05, generator=generator)
            weight.masked_fill_(torch.rand(weight.shape, generator=generator) < ZEROS, 0.0)
    return model


@contextmanager
def _counted_sorts() -> Iterator[list[str]]:
    """Note every sort that torch is asked for within the block."""
    found: list[str] = []

    def noting(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **options: Any) -> Any:
            found.append(name)
            return call(*args, **options)

        return noted

    with (
        mock.patch.object(Tensor, "argsort", noting("argsort", Tensor.argsort)),
        mock.patch.object(Tensor, "sort", noting("sort", Tensor.sort)),
        mock.patch.object(Tensor, "topk", noting("topk", Tensor.topk)),
        mock.patch.object(torch, "argsort", noting("argsort", torch.argsort)),
        mock.patch.object(torch, "sort", noting("sort", torch.sort)),
        mock.patch.object(torch, "topk", noting("topk", torch.topk)),
    ):
        yield found


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say whether one sort serves all points, and how far the time is from its floor."""
    sorts = max(row["sorts"] for row in rows)
    more = any(row["forward_passes"] > row["distinct_models"] for row in rows)
    last = rows[-1]
    return (
        f"a frontier of {len(RATIOS) + len(THRESHOLDS)} operating points takes {sorts} "
        f"sort{'s' if sorts > 1 else ''} and "
        f"{'more forward passes than' if more else 'one forward pass per'} distinct model, and ranking and "
        f"writing {last['parameters']:.0e} weights {last['over_floor']:.1f} times its floor"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section's table and what it means."""
    lines = [
        "| weights | points | distinct | forward passes | sorts | without evaluation | of it ranking | floor "
        "| ratio | most memory, bytes a weight |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        memory = row["peak_bytes_each"]
        lines.append(
            f"| {row['parameters']:,} | {row['operating_points']} | {row['distinct_models']} "
            f"| {row['forward_passes']} | {row['sorts']} | {_time(row['frontier_seconds'])} "
            f"| {_time(row['ranking_seconds'])} | {_time(row['floor_seconds'])} | {row['over_floor']:.2f} "
            f"| {'-' if memory is None or row['parameters'] < 10**7 else f'{memory:.0f}'} |"
        )
    return [
        *lines,
        "",
        f"A model of {LAYERS} layers, {100 * ZEROS:g} % of the weights exact zeros; all {len(RATIOS)} "
        f"target ratios and {len(THRESHOLDS)} thresholds, an evaluation that does nothing. Distinct: "
        "points that differ in the weights left; the others share an evaluation. Floor: one sort of the "
        "weights' bits as integers, the fastest stable sort of torch, and one copy of the weights per "
        "forward pass, timed in turn. Memory is above the model's own 4 bytes a weight, at its largest "
        "during the sort.",
        "",
        "To come closer: every point zeroes only what it newly removes, which lies scattered, in a flat "
        "copy that is then copied into the layers, and the weights above each threshold are counted in a "
        "pass of its own. Zeroing in the layers themselves would save most of the copies; selecting the "
        "boundaries of the points instead of sorting, most of the sort.",
    ]


def _time(seconds: float) -> str:
    """Write a duration with three digits and a fitting unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"
