"""Networks compiled by torch.compile: the same sums in fewer passes over memory, where that pays."""

from __future__ import annotations

from functools import cache
from typing import cast

import torch
from torch import Tensor, nn

from rewa.errors import UserError


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """Return a form of the model whose forward and backward passes are compiled at their first use.

    It shares everything with the model: parameters, buffers, mode; whose state is asked for, saved and
    evaluated stays the model itself. Every size of batch is compiled by itself. Fused operations round
    differently, so the last bits are not those of the model uncompiled.

    Args:
        model: On the device; may be wrapped for several processes.
        device: Where it runs.

    Raises:
        UserError: If nothing can be compiled for the device here.
    """
    _check_compiler(device.type)
    return cast(nn.Module, torch.compile(model, dynamic=False))


@cache
def _check_compiler(device: str) -> None:
    """Compile something small, because torch says only deep inside the first step that it cannot."""
    try:
        torch.compile(_probe, dynamic=False)(torch.ones(64, device=device))
    except (RuntimeError, ImportError, OSError) as error:
        needed = "Triton and a C compiler" if device == "cuda" else "a C++ compiler such as g++"
        inner = getattr(error, "inner_exception", error)  # what torch's own exceptions wrap
        reason = (str(inner).strip().splitlines() or [type(inner).__name__])[0]
        raise UserError(
            f"compile = true cannot be used here, because torch.compile fails on a small function ({reason})"
            f"; install {needed} and Python's headers, or leave compile at false"
        ) from None


def _probe(x: Tensor) -> Tensor:
    return (x * 2 + 1).relu().sum()
