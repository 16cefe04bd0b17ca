"""Scaling of an optimizer step: ReWA beside torch's fused SGD and beside a plain pass over as many bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.progress import Meter
from benchmarks.scaling_clock import Pass, in_turn, quantile
from rewa.optim import ReWA

SIZES: Mapping[str, tuple[int, ...]] = {
    "smoke": (10**4, 10**5),
    "full": (10**4, 10**5, 10**6, 10**7, 10**8),
}
SPLIT = (10**6, 10**7)
"""Sizes that are also measured as a hundred tensors, as a network has them."""
TENSORS = 100
SETTING: dict[str, Any] = {"lr": 1e-3, "momentum": 0.9, "weight_decay": 1e-4}
BYTES = {"rewa": 24, "sgd": 20}
"""Bytes a parameter moved at least: SGD reads x, momentum and gradient and writes x and momentum; ReWA has y
in the place of x and writes x besides."""


def measure(scale: str, seconds: float) -> list[dict[str, Any]]:
    """Time the steps at every size.

    Args:
        scale: "smoke" or "full".
        seconds: Time to spend at each size.

    Returns:
        One row per size and number of tensors; times are medians in seconds.
    """
    cases = [(size, 1) for size in SIZES[scale]]
    cases += [(size, TENSORS) for size in SPLIT if scale == "full"] or [(10**4, 10)]
    rows = []
    with Meter("step", len(cases), "sizes") as meter:
        for size, tensors in cases:
            rows.append(_measure(size, tensors, seconds))
            meter.advance(1)
    return rows


def _measure(size: int, tensors: int, seconds: float) -> dict[str, Any]:
    """Time one size."""
    rewa = ReWA(_parameters(size, tensors), K=9, M=2, **SETTING)
    sgd = torch.optim.SGD(_parameters(size, tensors), fused=True, **SETTING)
    passes = {f"pass_{name}": Pass(moved * size) for name, moved in BYTES.items()}
    times = in_turn({"rewa": rewa.step, "sgd": sgd.step, **passes}, seconds)
    row: dict[str, Any] = {"parameters": size, "tensors": tensors, "repeats": len(times["rewa"])}
    for name, values in times.items():
        row |= {f"{name}_seconds": quantile(values), f"{name}_p10": quantile(values, 0.1)}
    row["rate_gb_s"] = passes["pass_rewa"].moved / row["pass_rewa_seconds"] / 1e9
    row["rewa_over_sgd"] = row["rewa_seconds"] / row["sgd_seconds"]
    for name in BYTES:
        row[f"{name}_over_floor"] = row[f"{name}_seconds"] / row[f"pass_{name}_seconds"]
    return row


def _parameters(size: int, tensors: int) -> list[Tensor]:
    """Return parameters with gradients, the sizes of their tensors adding up to ``size``."""
    generator = torch.Generator().manual_seed(0)
    parameters: list[Tensor] = []
    for _ in range(tensors):
        parameter = nn.Parameter(torch.empty(size // tensors).normal_(0.0, 0.05, generator=generator))
        parameter.grad = torch.empty_like(parameter).normal_(0.0, 0.01, generator=generator)
        parameters.append(parameter)
    return parameters


def verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what the steps cost at the largest size."""
    last = max(rows, key=lambda row: (row["parameters"], -row["tensors"]))
    return (
        f"a step of ReWA over {last['parameters']:.0e} parameters takes {last['rewa_over_sgd']:.2f} times "
        f"the time of torch's fused SGD with momentum and {last['rewa_over_floor']:.2f} times its "
        "bandwidth floor"
    )


def table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the section's table and what it means."""
    lines = [
        "| parameters | tensors | ReWA, ns each | SGD, ns each | ReWA / SGD | ReWA's floor, ns each | "
        "ReWA / floor | SGD / floor | pass, GB/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        each = 1e9 / row["parameters"]
        lines.append(
            f"| {row['parameters']:,} | {row['tensors']} | {row['rewa_seconds'] * each:.3g} "
            f"| {row['sgd_seconds'] * each:.3g} | {row['rewa_over_sgd']:.2f} "
            f"| {row['pass_rewa_seconds'] * each:.3g} | {row['rewa_over_floor']:.2f} "
            f"| {row['sgd_over_floor']:.2f} | {row['rate_gb_s']:.1f} |"
        )
    return [
        *lines,
        "",
        "K = 9, M = 2, momentum 0.9, weight decay; `rewa.ReWA` as it is by default, "
        "`torch.optim.SGD(fused=True)`. Floor: the time of a plain pass in place that moves as many "
        "bytes, timed in turn with the steps: ReWA reads y, momentum and gradient and writes y, momentum "
        "and x, 24 bytes a parameter; SGD 20. (A copy is no floor: the processor fetches the memory that it "
        "is going to overwrite, uncounted.) Small sizes stay in the processor's caches, pass and step alike, "
        "and pay for the calls.",
        "",
        "To come closer: at large sizes only fewer bytes help (momentum or gradient in bfloat16, or a "
        "backward pass that hands each gradient on while it is in the cache); at small ones fewer calls, "
        "as packed trainings make.",
    ]
