"""rewa: sparse training with ReWA, and its tuning and comparison on equal terms.

``import rewa`` needs torch only; the search, the tracking and the report load their packages when used.
"""

from rewa.optim import ReWA, ReWAAdamW, param_groups

__version__ = "0.1.0"

__all__ = ["ReWA", "ReWAAdamW", "__version__", "param_groups"]
