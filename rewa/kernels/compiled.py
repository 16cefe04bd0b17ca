"""How the inner loops are compiled."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(*fastmath: str, inline: bool = False) -> Callable[[Function], Function]:
    """Compile without the GIL, and of the fast-math rules with only those named.

    "contract" allows fused multiply-add, "reassoc" and "nsz" a vectorised sum. None of them assumes that
    values are finite, so NaN and infinity are seen.

    Machine code is kept in numba's cache: ``__pycache__`` next to the source, else the user's cache folder
    (``NUMBA_CACHE_DIR`` overrides both); where none of them is writable, every process compiles anew. A
    change of any file beside the function's own makes it compile anew too, so functions and constants may
    come from other files of the same folder.

    Args:
        *fastmath: LLVM's names of the rules.
        inline: Always inline the machine code into callers.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": set(fastmath),
        "forceinline": inline,
    }

    def decorate(function: Function) -> Function:
        # numba's check for staleness looks at the function's own file only; but its files are named after
        # the qualified name
        folder = Path(function.__code__.co_filename).parent
        function.__qualname__ += f"_{sources_digest(folder)}"
        try:
            return cast(Function, numba.njit(cache=True, **options)(function))
        except RuntimeError:  # numba: "cannot cache function ...: no locator available"
            return cast(Function, numba.njit(**options)(function))

    return decorate


@cache
def sources_digest(folder: Path) -> str:
    """Return a digest of all Python files in a folder, not below it."""
    found = hashlib.sha256()
    for file in sorted(folder.glob("*.py")):
        found.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return found.hexdigest()[:12]
