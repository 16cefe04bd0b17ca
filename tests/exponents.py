"""Draws of M for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from rewa.optim import SMALLEST_M


def exponents(K: float) -> st.SearchStrategy[float]:
    """Every M that goes with a K: 0, or from the smallest that float32 can tell from 0 to K - 1."""
    return st.floats(0.0, K - 1).filter(lambda M: M == 0 or M >= SMALLEST_M)
