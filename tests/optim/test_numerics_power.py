"""signed_power and signed_root against mpmath, in units in the last place of the exact result."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mpmath import mp, mpf
from torch import Tensor

from rewa.optim import signed_power, signed_root

WHOLE = list(range(1, 16))
REAL = [1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 2.25, 3.7]
POINTS = 60
DIGITS = 60


def spread(K: float, dtype: torch.dtype) -> Tensor:
    """Latents of both signs whose x covers 30 orders of magnitude, 1e-25 to 1e5."""
    generator = torch.Generator().manual_seed(int(K * 100))
    exponents = torch.linspace(-25, 5, POINTS, dtype=torch.float64)
    exponents += 0.3 * torch.rand(POINTS, generator=generator, dtype=torch.float64)
    y = 10.0 ** (exponents / K)
    y[::2] *= -1
    return y.to(dtype)


def errors_in_ulp(got: Tensor, exact: list[mpf]) -> list[float]:
    """Return |got - exact| over the spacing of floating numbers at the exact value."""
    kind = got.numpy().dtype.type
    spacings = [abs(float(np.spacing(kind(float(e))))) for e in exact]
    return [float(abs(mpf(g) - e) / mpf(s)) for g, e, s in zip(got.tolist(), exact, spacings, strict=True)]


def exact_power(y: Tensor, K: float) -> list[mpf]:
    with mp.workdps(DIGITS):
        return [mp.sign(v) * abs(v) ** mpf(K) for v in map(mpf, y.tolist())]


def exact_root(x: Tensor, K: float) -> list[mpf]:
    with mp.workdps(DIGITS):
        return [mp.sign(v) * abs(v) ** (1 / mpf(K)) for v in map(mpf, x.tolist())]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("K", WHOLE)
def test_whole_powers(K: int, dtype: torch.dtype) -> None:
    """K - 1 roundings of half an ulp each, at most doubled by the binade; they never all add up."""
    y = spread(K, dtype)
    worst = max(errors_in_ulp(signed_power(y, K), exact_power(y, K)))
    assert worst <= min(K - 1, 9)


@pytest.mark.parametrize("K", REAL)
def test_real_powers_in_float64(K: float) -> None:
    y = spread(K, torch.float64)
    assert max(errors_in_ulp(signed_power(y, K), exact_power(y, K))) <= 2


@pytest.mark.parametrize("K", REAL)
def test_real_powers_in_float32(K: float) -> None:
    """K - 1 is exact in float32 but for 3.7; its rounding is then multiplied by log |x|."""
    y = spread(K, torch.float32)
    worst = max(errors_in_ulp(signed_power(y, K), exact_power(y, K)))
    assert worst <= (16 if K == 3.7 else 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("K", [*WHOLE, *REAL])
def test_root_is_exact_to_a_few_ulp(K: float, dtype: torch.dtype) -> None:
    """The rounding of 1/K, half an ulp, is multiplied by log |x|, at most 58 here; a binade may double it."""
    x = spread(1, dtype)
    assert max(errors_in_ulp(signed_root(x, K), exact_root(x, K))) <= 1.5 + 58 / K


@pytest.mark.parametrize(("dtype", "ulp"), [(torch.float32, 2.0**-23), (torch.float64, 2.0**-52)])
@pytest.mark.parametrize("K", [*WHOLE, *REAL])
def test_root_inverts_power(K: float, dtype: torch.dtype, ulp: float) -> None:
    y = spread(K, dtype)
    back = signed_root(signed_power(y, K), K)
    assert ((back - y).abs() / y.abs()).max() <= (2 + 29 / K) * ulp
    assert torch.equal(back.sign(), y.sign())


@pytest.mark.parametrize(("dtype", "ulp"), [(torch.float32, 2.0**-23), (torch.float64, 2.0**-52)])
@pytest.mark.parametrize("K", [*WHOLE, *REAL])
def test_power_inverts_root(K: float, dtype: torch.dtype, ulp: float) -> None:
    """An error of the root is multiplied by K: what a parameter changes by when its latent is made."""
    x = spread(1, dtype)
    back = signed_power(signed_root(x, K), K)
    assert ((back - x).abs() / x.abs()).max() <= (29 + 1.5 * K) * ulp


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("K", [*WHOLE, *REAL])
def test_ends_are_exact(K: float, dtype: torch.dtype) -> None:
    y = torch.tensor([0.0, -0.0, 1.0, -1.0], dtype=dtype)
    for result in (signed_power(y, K), signed_root(y, K)):
        assert torch.equal(result, y)
        assert torch.equal(result.signbit(), y.signbit())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("K", [*WHOLE, *REAL])
def test_power_is_odd_and_rising(K: float, dtype: torch.dtype) -> None:
    y = spread(K, dtype).abs().sort().values
    x = signed_power(y, K)
    assert (x.diff() > 0).all()
    assert torch.equal(signed_power(-y, K), -x)
