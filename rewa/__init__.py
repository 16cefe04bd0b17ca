"""rewa: sparse training with ReWA, and its tuning and comparison on equal terms.

``import rewa`` needs torch only, and loads it when the optimizer is first named; the search, the tracking and
the report load their packages when used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rewa.optim import ReWA, ReWAAdamW, param_groups

__version__ = "0.1.0"

__all__ = ["ReWA", "ReWAAdamW", "__version__", "param_groups"]


def __getattr__(name: str) -> Any:
    """Load the optimizer when it is asked for: commands that do not train start without torch."""
    if name in ("ReWA", "ReWAAdamW", "param_groups"):
        return getattr(import_module("rewa.optim"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
