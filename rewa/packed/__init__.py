"""Many linear models in one process: one pass over the data for all of them, compiled with numba.

Importing this package needs torch only; numba is imported by the first training.
"""

from rewa.packed.linear import OnEpoch, PackedEpoch, PackedResult, train_packed
from rewa.packed.problems import ProblemsResult, train_batch_of_problems
from rewa.packed.table import PackedMethod, PackedTrial

__all__ = [
    "OnEpoch",
    "PackedEpoch",
    "PackedMethod",
    "PackedResult",
    "PackedTrial",
    "ProblemsResult",
    "train_batch_of_problems",
    "train_packed",
]
