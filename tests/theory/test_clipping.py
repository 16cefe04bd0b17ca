"""Definition 3.6 and Theorem 3.7: clipping |x|^p trades the gradient bound against the error."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rewa.theory import Clipping, clipped_lp

KINDS: tuple[Clipping, ...] = ("constant", "linear")
exponents = st.floats(0.05, 0.95)
thresholds = st.floats(1e-4, 5)


def grid(threshold: float) -> Tensor:
    """From far inside to far outside the clipped part, with zero and both sides of the threshold."""
    inside = torch.linspace(0, 1, 400, dtype=torch.float64)
    outside = torch.logspace(1e-6, 2, 400, dtype=torch.float64)
    return threshold * torch.cat([inside, outside])


def bound_and_error(p: float, threshold: float, kind: Clipping) -> tuple[float, float]:
    """Largest slope and largest distance to |x|^p, measured on the function's values and autograd."""
    x = grid(threshold).requires_grad_()
    clipped = clipped_lp(x, p, threshold, kind)
    clipped.sum().backward()
    assert x.grad is not None
    error = (clipped.detach() - x.detach() ** p).abs().max().item()
    return x.grad.abs().max().item(), error


def test_values_by_hand() -> None:
    """p = 1/2, t = 4: |x|^(1/2) = 2 and slope 1/4 at t."""
    x = torch.tensor([0.0, 1, -2, 4, -9, 16], dtype=torch.float64)
    assert clipped_lp(x, 0.5, 4, "constant").tolist() == pytest.approx([2, 2, 2, 2, 3, 4])
    assert clipped_lp(x, 0.5, 4, "linear").tolist() == pytest.approx([1, 1.25, 1.5, 2, 3, 4])


@settings(deadline=None)
@given(p=exponents, threshold=thresholds, kind=st.sampled_from(KINDS))
def test_shape(p: float, threshold: float, kind: Clipping) -> None:
    """Even, |x|^p outside, above |x|^p inside (both forms), continuous, never falling."""
    x = grid(threshold)
    values = clipped_lp(x, p, threshold, kind)
    assert torch.equal(values, clipped_lp(-x, p, threshold, kind))
    torch.testing.assert_close(values[400:], x[400:] ** p)
    assert (values - x**p >= -1e-12).all()
    assert (values.diff() >= -1e-12).all()
    below, above = clipped_lp(
        torch.tensor([threshold * (1 - 1e-9), threshold * (1 + 1e-9)], dtype=torch.float64),
        p,
        threshold,
        kind,
    ).tolist()
    assert above == pytest.approx(below, rel=1e-7)


@settings(deadline=None)
@given(p=exponents, threshold=thresholds)
def test_linear_is_the_tangent(p: float, threshold: float) -> None:
    """Straight inside, with the slope of |x|^p at the threshold; constant lies above it."""
    values = clipped_lp(grid(threshold)[:400], p, threshold, "linear")
    slopes = values.diff() / (threshold / 399)
    torch.testing.assert_close(slopes, torch.full_like(slopes, p * threshold ** (p - 1)), rtol=1e-6, atol=0)
    assert (clipped_lp(grid(threshold)[:400], p, threshold, "constant") >= values).all()


@settings(deadline=None)
@given(p=exponents, threshold=thresholds)
def test_bound_and_error_in_closed_form(p: float, threshold: float) -> None:
    slope = p * threshold ** (p - 1)
    for kind, share in (("constant", 1.0), ("linear", 1 - p)):
        bound, error = bound_and_error(p, threshold, kind)  # type: ignore[arg-type]
        assert bound == pytest.approx(slope, rel=1e-4)
        assert error == pytest.approx(share * threshold**p, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [0.2, 2 / 3, 0.9])
def test_trade_off_is_monotone(kind: Clipping, p: float) -> None:
    """A larger threshold has the smaller gradient bound and the larger error."""
    pairs = [bound_and_error(p, float(t), kind) for t in torch.logspace(-4, 1, 30)]
    bounds, errors = (torch.tensor(column) for column in zip(*pairs, strict=True))
    assert (bounds.diff() < 0).all()
    assert (errors.diff() > 0).all()
    assert bounds[0] > 10 * bounds[-1] or p == 0.9
    product = errors.double() * bounds.double() ** (p / (1 - p))  # what no threshold changes
    torch.testing.assert_close(product, product[:1].expand(30), rtol=1e-3, atol=0)


@settings(deadline=None)
@given(p=exponents, threshold=thresholds)
def test_theorem_3_7_both_cannot_be_small(p: float, threshold: float) -> None:
    """G <= 1 rules out E <= 1/e, and for the line E <= (1 - p)/e, so E <= c/e where p <= 1 - c."""
    for kind, share in (("constant", 1.0), ("linear", 1 - p)):
        bound, error = bound_and_error(p, threshold, kind)  # type: ignore[arg-type]
        assert not (bound <= 1 and error <= share / math.e)


def test_theorem_3_7_bounds_are_tight() -> None:
    """p -> 1 at G = 1: the error falls to 1/e, the line's to nothing, hence its condition p <= 1 - c."""
    p = 0.999
    threshold = p ** (1 / (1 - p))  # where G = 1
    assert bound_and_error(p, threshold, "constant")[1] == pytest.approx(1 / math.e, rel=2e-3)
    assert bound_and_error(p, threshold, "linear")[1] < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_at_zero_is_finite(kind: Clipping) -> None:
    """Unlike that of |x|^p: the clipped forms can be trained with."""
    x = torch.zeros(2, requires_grad=True)
    clipped_lp(x, 0.5, 0.01, kind).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 0]
