"""signed_power and signed_root against Python's own floats, which are IEEE doubles."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rewa.optim import X_FLOOR, signed_power, signed_root
from rewa.optim.power import abs_power, latent_to_parameter

POWERS = [1, 2, 3, 4, 5, 9, 13, 32, 33, 1.5, 2.25, 7.7]
values = st.floats(min_value=-10, max_value=10, allow_subnormal=False)


def python_power(y: float, K: float) -> float:
    return math.copysign(abs(y) ** K, y)


@pytest.mark.parametrize("K", POWERS)
@given(y=values)
def test_signed_power_is_pythons(K: float, y: float) -> None:
    got = signed_power(torch.tensor([y], dtype=torch.float64), K).item()
    assert got == pytest.approx(python_power(y, K), rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("K", POWERS)
@given(x=values)
def test_signed_root_is_pythons(K: float, x: float) -> None:
    got = signed_root(torch.tensor([x], dtype=torch.float64), K).item()
    assert got == pytest.approx(math.copysign(abs(x) ** (1 / K), x), rel=1e-13, abs=1e-300)


@pytest.mark.parametrize("K", POWERS)
def test_root_inverts_power_in_float32(K: float) -> None:
    y = torch.linspace(-3, 3, 101)
    torch.testing.assert_close(signed_root(signed_power(y, K), K), y, rtol=1e-5, atol=1e-6)


def test_power_by_hand() -> None:
    y = torch.tensor([-2.0, -1.0, 0.0, 0.5, 3.0])
    assert signed_power(y, 2).tolist() == [-4.0, -1.0, 0.0, 0.25, 9.0]
    assert signed_power(y, 3).tolist() == [-8.0, -1.0, 0.0, 0.125, 27.0]
    assert signed_root(torch.tensor([-16.0, 0.0, 81.0]), 4).tolist() == [-2.0, 0.0, 3.0]


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, 8, 31, 40, 0.5, 2.5])
def test_abs_power_is_pythons(exponent: float) -> None:
    magnitudes = [0.0, 1e-3, 0.7, 1.0, 1.9]
    got = abs_power(torch.tensor(magnitudes, dtype=torch.float64), exponent)
    assert got.tolist() == pytest.approx([m**exponent for m in magnitudes], rel=1e-13)


@pytest.mark.parametrize("K", [1, 2, 9, 2.5])
def test_inputs_are_not_changed(K: float) -> None:
    y = torch.tensor([-2.0, 0.0, 0.5])
    before = y.clone()
    for result in (signed_power(y, K), signed_root(y, K)):
        result.add_(1.0)
        assert torch.equal(y, before)


@pytest.mark.parametrize("K", [2, 3, 9, 2.25])
def test_parameter_is_exact_zero_below_the_floor_only(K: float) -> None:
    sizes = torch.tensor([X_FLOOR * 0.9, X_FLOOR * 1.1], dtype=torch.float64)
    x = latent_to_parameter(signed_root(torch.cat([sizes, -sizes]), K), K)
    assert x[0] == 0
    assert x[2] == 0
    assert x[[1, 3]].tolist() == pytest.approx([1.1e-30, -1.1e-30], rel=1e-9)
