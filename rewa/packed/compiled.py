"""How the inner loops are compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(*fastmath: str) -> Callable[[Function], Function]:
    """Compile without the GIL, and of the fast-math rules with only those named.

    "contract" allows fused multiply-add, "reassoc" and "nsz" a vectorised sum. None of them assumes that
    values are finite, so NaN and infinity are seen.

    Machine code is kept in numba's cache: ``__pycache__`` next to the source, else the user's cache folder
    (``NUMBA_CACHE_DIR`` overrides both); where none of them is writable, every process compiles anew.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(fastmath)}

    def decorate(function: Function) -> Function:
        try:
            return cast(Function, numba.njit(cache=True, **options)(function))
        except RuntimeError:  # numba: "cannot cache function ...: no locator available"
            return cast(Function, numba.njit(**options)(function))

    return decorate
