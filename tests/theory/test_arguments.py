"""What the closed forms refuse, and what they accept at the edges."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rewa import theory
from rewa.theory import (
    clipped_lp,
    decay_budget,
    effective_p,
    effective_step,
    implicit_regularizer,
    nonadaptive_stagnation_radius,
    stagnation_radius,
)

X = torch.tensor([0.5], dtype=torch.float64)
VALID: dict[Callable[..., Any], dict[str, Any]] = {
    effective_p: {"K": 3, "M": 1, "epsilon": 0.1},
    implicit_regularizer: {"x": X, "K": 3, "M": 1, "epsilon": 0.1, "weight_decay": 0.1},
    stagnation_radius: {"K": 3, "M": 1.5, "epsilon": 0.1, "lr": 0.1, "gradient_bound": 20},
    nonadaptive_stagnation_radius: {"K": 3, "lr": 0.1, "gradient_bound": 20},
    clipped_lp: {"x": X, "p": 0.5, "threshold": 0.1, "kind": "linear"},
    decay_budget: {"K": 3, "weight_decay": 0.1, "lr": 0.1, "momentum": 0.9, "schedule_sum": 100},
    effective_step: {"K": 3, "M": 1, "lr": 0.1, "momentum": 0.9, "weight_scale": 0.05},
}
BAD: dict[str, tuple[float, ...]] = {
    "K": (0.5, 0, -3, math.inf, math.nan),
    "M": (-0.1, 2.01, math.inf, math.nan),  # K - 1 = 2
    "epsilon": (-1e-9, math.inf, math.nan),
    "weight_decay": (-1e-9, math.inf, math.nan),
    "lr": (-0.1, math.inf, math.nan),
    "gradient_bound": (-1.0, math.inf, math.nan),
    "p": (0, 1, -0.5, 1.5, math.nan),
    "threshold": (0, -0.1, math.inf, math.nan),
    "momentum": (-0.1, 1, math.nan),
    "schedule_sum": (-1, math.inf, math.nan),
    "weight_scale": (-0.05, math.inf, math.nan),
}
CASES = [
    (function, name, value)
    for function, arguments in VALID.items()
    for name in arguments
    for value in BAD.get(name, ())
]


@pytest.mark.parametrize(("function", "name", "value"), CASES)
def test_out_of_range(function: Callable[..., Any], name: str, value: float) -> None:
    """The message names the value and its bound."""
    function(**VALID[function])
    with pytest.raises(ValueError, match=rf"{name} = {value} is out of range: it must .*(<|>=|>)"):
        function(**{**VALID[function], name: value})


def test_unknown_clipping() -> None:
    with pytest.raises(ValueError, match="kind = 'smooth' is unknown: choose 'constant' or 'linear'"):
        clipped_lp(X, 0.5, 0.1, "smooth")  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_integers_are_refused(dtype: torch.dtype) -> None:
    x = torch.ones(3, dtype=dtype)
    with pytest.raises(ValueError, match="floating-point"):
        clipped_lp(x, 0.5, 0.1, "linear")
    with pytest.raises(ValueError, match="floating-point"):
        implicit_regularizer(x, 3, 1, 0, 0.1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_shape_and_dtype_are_kept(dtype: torch.dtype) -> None:
    for shape in ((), (0,), (2, 3, 1)):
        x = torch.ones(shape, dtype=dtype)
        for result in (clipped_lp(x, 0.5, 0.1, "linear"), implicit_regularizer(x, 3, 1, 0.1, 0.1)):
            assert (result.shape, result.dtype) == (x.shape, dtype)


def test_nan_weights_stay_nan_and_are_told_apart() -> None:
    x = torch.tensor([math.nan, 0.5])
    for result in (clipped_lp(x, 0.5, 0.1, "constant"), implicit_regularizer(x, 3, 1, 0.1, 0.1)):
        assert result.isnan().tolist() == [True, False]


def test_rounding_of_the_constraint_is_forgiven() -> None:
    """2.3 - 1 is a little less than 1.3."""
    assert effective_p(2.3, 1.3) == pytest.approx(2 / 2.3)


def test_the_module_needs_torch_only() -> None:
    """`import rewa` may import it without becoming heavier."""
    tree = ast.parse(Path(theory.__file__).read_text())
    names = {name.name for node in tree.body if isinstance(node, ast.Import) for name in node.names}
    names |= {str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert names == {"__future__", "math", "typing", "torch"}
