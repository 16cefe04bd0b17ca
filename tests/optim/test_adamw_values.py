"""ReWAAdamW refuses settings that are out of range, naming the value and its bound."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rewa import ReWAAdamW

NAN, INF = float("nan"), float("inf")
GOOD: dict[str, Any] = {"lr": 0.1, "K": 9, "M": 2}
FINITE = "it must be finite and >= 0."

BAD: list[tuple[dict[str, Any], str, float, str]] = [
    *(({"lr": v}, "lr", v, FINITE) for v in (-0.1, NAN, INF, -INF)),
    *(({"K": v}, "K", v, "it must be finite and >= 1.") for v in (0.99, 0, -3, NAN, INF)),
    *(({"M": v}, "M", v, "it must satisfy 0 <= M <= K - 1 = 8.") for v in (-0.1, 8.5, 9, NAN, INF)),
    *(({"M": v}, "M", v, "below 1e-30 it must be 0.") for v in (5e-324, 1e-40, 9e-31)),
    *(({"epsilon": v}, "epsilon", v, FINITE) for v in (-1e-9, NAN, INF)),
    *(({"eps": v}, "eps", v, FINITE) for v in (-1e-9, NAN, INF)),
    *(({"weight_decay": v}, "weight_decay", v, FINITE) for v in (-1e-9, NAN, INF)),
    *(
        ({"betas": (v, 0.999)}, "betas[0]", v, "it must satisfy 0 <= betas[0] < 1.")
        for v in (-0.1, 1, 1.0, 2.0, NAN, INF)
    ),
    *(
        ({"betas": (0.9, v)}, "betas[1]", v, "it must satisfy 0 <= betas[1] < 1.")
        for v in (-0.1, 1, 1.0, 2.0, NAN, INF)
    ),
]


def one(value: float = 1.0) -> nn.Parameter:
    return nn.Parameter(torch.tensor([value]))


@pytest.mark.parametrize(("bad", "name", "value", "bound"), BAD)
def test_values_out_of_range_are_named_with_their_bound(
    bad: dict[str, Any], name: str, value: float, bound: str
) -> None:
    message = "^" + re.escape(f"{name} = {value} is out of range: {bound}") + "$"
    with pytest.raises(ValueError, match=message):
        ReWAAdamW([one()], **{**GOOD, **bad})
    with pytest.raises(ValueError, match=message):
        ReWAAdamW([{"params": [one()], **bad}], **GOOD)
    optimizer = ReWAAdamW([one()], **GOOD)
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": [one()], **bad})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(("bad", "name", "value", "bound"), BAD)
def test_a_loaded_state_is_checked_and_nothing_of_it_is_taken(
    bad: dict[str, Any], name: str, value: float, bound: str
) -> None:
    optimizer = ReWAAdamW([one()], **GOOD)
    saved = optimizer.state_dict()
    saved["param_groups"][0] = {**saved["param_groups"][0], "weight_decay": 0.5, **bad}
    with pytest.raises(ValueError, match=re.escape(f"{name} = {value} is out of range: {bound}")):
        optimizer.load_state_dict(saved)
    assert {key: optimizer.param_groups[0][key] for key in GOOD} == GOOD
    assert optimizer.param_groups[0]["weight_decay"] == 0


@pytest.mark.parametrize(
    "good",
    [
        {"lr": 0.0},
        {"K": 1, "M": 0},
        {"M": 0},
        {"M": 8},
        {"K": 2.3, "M": 1.3},
        {"betas": (0.0, 0.0)},
        {"betas": (0.999999, 0.999999)},
        {"eps": 0.0},
        {"weight_decay": 0.0},
    ],
)
def test_ends_of_the_range_are_accepted(good: dict[str, Any]) -> None:
    p = one()
    p.grad = torch.ones(1)
    ReWAAdamW([p], **{**GOOD, **good}).step()
    assert p.isfinite().all()
    assert p.item() == 1 if good.get("lr") == 0 else p.item() < 1


def test_foreach_and_fused_contradict_each_other() -> None:
    with pytest.raises(ValueError, match=r"^foreach and fused cannot both be True\.$"):
        ReWAAdamW([one()], **GOOD, foreach=True, fused=True)


def test_a_tensor_as_lr_with_foreach_needs_capturable() -> None:
    """Torch's AdamW refuses the same pair."""
    lr = torch.tensor(0.1)
    with pytest.raises(ValueError, match=r"^lr as a tensor with foreach = True needs capturable = True\.$"):
        ReWAAdamW([one()], lr=lr, foreach=True)
    with pytest.raises(ValueError, match="capturable"):
        torch.optim.AdamW([one()], lr=lr, foreach=True)


@pytest.mark.parametrize("lr", [torch.tensor([0.1, 0.2]), torch.tensor([])])
def test_a_tensor_as_lr_has_one_element(lr: Tensor) -> None:
    """As in torch.optim.AdamW, a ValueError and not what truth-testing several elements raises."""
    with pytest.raises(ValueError, match="lr"):
        ReWAAdamW([one()], lr=lr)


@pytest.mark.parametrize("value", [-0.1, NAN, INF])
def test_a_tensor_as_lr_is_checked(value: float) -> None:
    with pytest.raises(ValueError, match=r"^lr = .* is out of range: it must be finite and >= 0"):
        ReWAAdamW([one()], lr=torch.tensor(value))
